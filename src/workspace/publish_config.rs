//! `publishConfig`: fields of a `package.json` that stand for others once the package leaves, where the package manager takes them so.

use serde_json::{Map, Value};

use super::javascript;
use crate::explain::{Exit, Failure, Place, quoted};
use crate::workspace::manager::Manager;

/// What [pnpm](https://pnpm.io/package_json#publishconfig) puts into the place of the package's own, and takes out of `publishConfig`.
const PNPM: [&str; 18] = [
    "bin",
    "browser",
    "cpu",
    "engines",
    "es2015",
    "esnext",
    "exports",
    "imports",
    "libc",
    "main",
    "module",
    "os",
    "type",
    "types",
    "typesVersions",
    "typings",
    "umd:main",
    "unpkg",
];

/// What [yarn 2 and newer](https://yarnpkg.com/configuration/manifest#publishConfig) puts into the place of the package's own, and leaves in
/// `publishConfig`, too.
const YARN: [&str; 8] = [
    "bin", "browser", "exports", "imports", "main", "module", "type", "types",
];

/// The text of a `package.json` with what its `publishConfig` puts into the place of other fields for `manager`; `None` where it changes nothing. What
/// changes is written anew with the indent of the file, as the manager does.
///
/// # Errors
/// `workspace::publish_config`, exit 3, for `name` and `directory` of pnpm: another package would be published than the one that is versioned here.
pub fn hoisted(file: &str, text: &str, manager: Manager) -> Result<Option<String>, Failure> {
    let fields: &[&str] = match manager {
        Manager::Pnpm => &PNPM,
        Manager::YarnBerry => &YARN,
        Manager::Npm | Manager::YarnClassic | Manager::Bun => return Ok(None),
    };
    if !text.contains("\"publishConfig\"") {
        return Ok(None);
    }
    let plain = text.trim_start_matches('\u{feff}');
    let Ok(Value::Object(mut manifest)) = serde_json::from_str(plain) else {
        // Told where all manifests are read.
        return Ok(None);
    };
    let Some(Value::Object(config)) = manifest.get("publishConfig").cloned() else {
        return Ok(None);
    };
    if manager == Manager::Pnpm {
        refuse_others(file, &config, manifest.get("name"))?;
    }
    let mut left = config.clone();
    let mut moved = false;
    for (key, value) in config {
        if !fields.contains(&key.as_str()) {
            continue;
        }
        moved = true;
        if manager == Manager::Pnpm {
            left.shift_remove(&key);
        }
        manifest.insert(key, value);
    }
    if !moved {
        return Ok(None);
    }
    if left.is_empty() {
        manifest.shift_remove("publishConfig");
    } else {
        manifest.insert("publishConfig".to_owned(), Value::Object(left));
    }
    Ok(Some(javascript::written_like(
        plain,
        &Value::Object(manifest),
    )))
}

/// The files that `publishConfig.executableFiles` lets everybody run, relative to the package, for the managers that know it
/// ([pnpm](https://pnpm.io/package_json#publishconfigexecutablefiles), [yarn](https://yarnpkg.com/configuration/manifest#publishConfig)).
pub fn executables(text: &str, manager: Manager) -> Vec<String> {
    if !matches!(manager, Manager::Pnpm | Manager::YarnBerry) {
        return Vec::new();
    }
    let manifest: Option<Value> = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok();
    let listed = manifest
        .as_ref()
        .and_then(|manifest| manifest.pointer("/publishConfig/executableFiles"))
        .and_then(Value::as_array);
    let paths = listed.into_iter().flatten().filter_map(Value::as_str);
    paths
        .map(|path| path.trim_start_matches("./").to_owned())
        .collect()
}

/// Refuses what would publish another package, or another directory.
fn refuse_others(
    file: &str,
    config: &Map<String, Value>,
    name: Option<&Value>,
) -> Result<(), Failure> {
    let refused = |field: &str, value: &Value, why: &str, hint: &str| {
        let what = format!(
            "publishConfig.{field} of {file} is {}, which is not followed",
            quoted(value.as_str().unwrap_or_default())
        );
        Err(
            Failure::new(Exit::Refused, "workspace::publish_config", what)
                .place(Place::file(file))
                .because(why.to_owned())
                .hint(hint.to_owned()),
        )
    };
    let other_name = config.get("name").filter(|other| Some(*other) != name);
    if let Some(other) = other_name {
        return refused(
            "name",
            other,
            "tags, dependents and the registry know a package by one name",
            "give the package the name that it is published under",
        );
    }
    let directory = config.get("directory").filter(|directory| {
        let directory = directory.as_str().unwrap_or_default();
        !matches!(directory, "" | "." | "./")
    });
    match directory {
        Some(directory) => refused(
            "directory",
            directory,
            "pnpm would publish that directory with a package.json of its own",
            "let `files` name what is published, and `exports` and `main` point there",
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manager: Manager, text: &str, expected: Result<Option<&str>, &str>) {
        let found = hoisted("package.json", text, manager);
        let found = found.as_ref();
        assert_eq!(
            found.map(Option::as_deref).map_err(Failure::code),
            expected,
            "{manager:?} {text}"
        );
    }

    #[test]
    fn what_stands_for_other_fields_does_so_once_the_package_leaves() {
        let text = r#"{"name":"a","main":"src/a.ts","publishConfig":{"main":"a.js","access":"public","types":"a.d.ts"},"z":1}"#;
        let pnpm = r#"{"name":"a","main":"a.js","publishConfig":{"access":"public"},"z":1,"types":"a.d.ts"}"#;
        let yarn = r#"{"name":"a","main":"a.js","publishConfig":{"main":"a.js","access":"public","types":"a.d.ts"},"z":1,"types":"a.d.ts"}"#;
        check(Manager::Pnpm, text, Ok(Some(pnpm)));
        check(Manager::YarnBerry, text, Ok(Some(yarn)));
        for manager in [Manager::Npm, Manager::YarnClassic, Manager::Bun] {
            check(manager, text, Ok(None));
        }
        check(
            Manager::Pnpm,
            "{\n  \"publishConfig\": {\n    \"exports\": \"./a.js\"\n  }\n}\n",
            Ok(Some("{\n  \"exports\": \"./a.js\"\n}\n")),
        );
        check(
            Manager::YarnBerry,
            r#"{"publishConfig":{"os":["linux"]}}"#,
            Ok(None),
        );
        check(
            Manager::Pnpm,
            r#"{"publishConfig":{"access":"public"}}"#,
            Ok(None),
        );
        check(Manager::Pnpm, r#"{"publishConfig":"x"}"#, Ok(None));
        check(Manager::Pnpm, r#"{"publishConfig":"#, Ok(None));
    }

    #[test]
    fn files_are_made_executable() {
        let text = r#"{"publishConfig":{"executableFiles":["./bin/a.js","b.js",1]}}"#;
        assert_eq!(executables(text, Manager::Pnpm), ["bin/a.js", "b.js"]);
        assert_eq!(executables(text, Manager::Npm), [""; 0]);
        assert_eq!(executables("{", Manager::YarnBerry), [""; 0]);
    }

    #[test]
    fn another_package_is_not_published() {
        let refused = Err("workspace::publish_config");
        check(
            Manager::Pnpm,
            r#"{"name":"a","publishConfig":{"name":"b"}}"#,
            refused,
        );
        check(
            Manager::Pnpm,
            r#"{"name":"a","publishConfig":{"directory":"dist"}}"#,
            refused,
        );
        check(
            Manager::Pnpm,
            r#"{"name":"a","publishConfig":{"name":"a","directory":"."}}"#,
            Ok(None),
        );
        check(
            Manager::YarnBerry,
            r#"{"name":"a","publishConfig":{"name":"b"}}"#,
            Ok(None),
        );
    }
}
