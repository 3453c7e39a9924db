//! What may leave the workspace: ranges that only mean something inside it are replaced, and what no installer outside could follow is refused.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::PackageName;
use crate::version::Version;
use crate::workspace::catalogs::{self, Catalogs};
use crate::workspace::javascript;
use crate::workspace::manager::Manager;
use crate::workspace::package_json::{
    self, Change, Dependency, DependencyField, Form, PackageJson,
};
use crate::workspace::publish_config::hoisted;

/// Who reads a `package.json` that leaves the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A host, which finds everything installed.
    Host,
    /// npm and what else installs from a registry.
    Installer {
        /// Whether dependencies on git and on addresses are meant.
        from_git: bool,
        /// The manager of the workspace: what it makes of `publishConfig`.
        manager: Manager,
        /// Which form the `package.json` must have.
        form: Form,
    },
}

/// The text of a `package.json` as it is published or shipped: `workspace:` forms become ranges of the versions in `versions`, as pnpm does it
/// (`*` exact, `^` and `~` with the version, a range as it stands, `workspace:name@range` an alias).
///
/// `catalog:` becomes what `catalogs` say of it.
///
/// For an installer, dependencies that it cannot follow are refused, wherever their text stands, here or in a catalog: `catalog:` without an
/// entry, a path, a protocol that npm does not know, a control character; and, unless they are meant, those on git and on addresses, which
/// [npm 12 follows only where it is told to](https://docs.npmjs.com/cli/v12/using-npm/config#allow-git). devDependencies are never installed
/// from a registry and may stay, and what is bundled needs no address. `publishConfig` stands for other fields as for [`hoisted`].
///
/// # Errors
/// `workspace::unpublishable` and `workspace::git_dependency`, exit 3, naming every such dependency; those of [`hoisted`] and of [`PackageJson::parse`].
pub fn publishable(
    file: &str,
    text: &str,
    versions: &BTreeMap<PackageName, Version>,
    catalogs: &Catalogs,
    reader: Reader,
) -> Result<String, Failure> {
    let form = match reader {
        Reader::Installer { form, .. } => form,
        Reader::Host => Form::Documented,
    };
    let manifest = PackageJson::parse_in(form, file, text)?;
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    for dependency in &manifest.dependencies {
        let listed = catalogs::entry(catalogs, &dependency.name, &dependency.spec);
        let spec = listed.unwrap_or(&dependency.spec);
        if let Some(inside) = spec.strip_prefix("workspace:") {
            match resolved(&dependency.name, inside, versions) {
                Some(spec) => changes.push(Change::SetSpec {
                    field: dependency.field,
                    name: dependency.name.clone(),
                    spec,
                }),
                None => problems.push(
                    unpublishable(file, dependency, listed)
                        .hint("the workspace has no such package"),
                ),
            }
            continue;
        }
        if let Some(range) = listed {
            changes.push(Change::SetSpec {
                field: dependency.field,
                name: dependency.name.clone(),
                spec: range.to_owned(),
            });
        }
        let Reader::Installer { from_git, .. } = reader else {
            continue;
        };
        if dependency.field == DependencyField::DevDependencies {
            continue;
        }
        if !leads_anywhere(spec) {
            let hint = match catalogs::named(spec) {
                Some(_) => {
                    "add an entry to the catalog, write the range itself, or make the package private"
                }
                None => "depend on a published range, or make the package private",
            };
            problems.push(unpublishable(file, dependency, listed).hint(hint));
        } else if !from_git && comes_from_git(spec) && !manifest.bundled.contains(&dependency.name)
        {
            problems.push(git_dependency(file, dependency, listed));
        }
    }
    let hoisted = match reader {
        Reader::Installer { manager, .. } => hoisted(file, text, manager),
        Reader::Host => Ok(None),
    };
    problems.extend(hoisted.as_ref().err().cloned());
    if let Some(failure) = Failure::all(problems) {
        return Err(failure);
    }
    let hoisted = hoisted.ok().flatten();
    let text = hoisted.as_deref().unwrap_or(text);
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    package_json::edit(file, text, &changes)
}

/// The text of a `package.json` without `patchedDependencies`, which says nothing to those who install the package; `None` where it has
/// none. The rest is written anew with its indent, as npm 12 does.
///
/// # Errors
/// Those of [`serde_json`].
pub fn without_patches(text: &str) -> Result<Option<String>, serde_json::Error> {
    let text = text.trim_start_matches('\u{feff}');
    let mut manifest: serde_json::Value = serde_json::from_str(text)?;
    let had_patches = manifest
        .as_object_mut()
        .is_some_and(|manifest| manifest.shift_remove("patchedDependencies").is_some());
    if !had_patches {
        return Ok(None);
    }
    Ok(Some(javascript::written_like(text, &manifest)))
}

fn resolved(key: &str, inside: &str, versions: &BTreeMap<PackageName, Version>) -> Option<String> {
    let version = |name: &str| {
        PackageName::parse(name)
            .ok()
            .and_then(|name| versions.get(&name))
    };
    if let Some((name, range)) = inside.rsplit_once('@').filter(|(name, _)| !name.is_empty()) {
        let version = version(name)?;
        return Some(format!("npm:{name}@{}", ranged(range, version)));
    }
    Some(ranged(inside, version(key)?))
}

fn ranged(range: &str, version: &Version) -> String {
    match range {
        "*" | "" => version.to_string(),
        "^" | "~" => format!("{range}{version}"),
        range => range.to_owned(),
    }
}

/// What stands before the colon of an address that npm follows on any machine, as
/// [npm-package-arg](https://github.com/npm/npm-package-arg/blob/main/lib/npa.js) and the services that it knows tell.
const FOLLOWED: [&str; 15] = [
    "npm",
    "http",
    "https",
    "git",
    "git+http",
    "git+https",
    "git+ssh",
    "git+rsync",
    "git+ftp",
    "ssh",
    "github",
    "gitlab",
    "bitbucket",
    "gist",
    "sourcehut",
];

/// Whether an installer outside can follow a dependency's text: a range, a dist-tag, an address.
fn leads_anywhere(spec: &str) -> bool {
    let text = spec.trim();
    let is_path = text.starts_with(['.', '/', '\\']) || text.starts_with("~/");
    let is_followed = |protocol: &str| {
        let other = |letter: char| !letter.is_ascii_alphanumeric() && letter != '+';
        // `git@host:path` and `user/repository#semver:^1.0.0` begin with no protocol.
        protocol.contains(other)
            || FOLLOWED
                .iter()
                .any(|known| protocol.eq_ignore_ascii_case(known))
    };
    let protocol = text.split_once(':').map(|(protocol, _)| protocol);
    !is_path && !spec.chars().any(char::is_control) && protocol.is_none_or(is_followed)
}

/// Whether a dependency that can be followed is on git or on an address, and not on a registry.
fn comes_from_git(spec: &str) -> bool {
    let text = spec.trim();
    let place = text.split('#').next().unwrap_or_default();
    match place.split_once(':') {
        Some((protocol, _)) if protocol.eq_ignore_ascii_case("npm") => false,
        Some(_) => true,
        // `user/repository`: neither a range nor a dist-tag has a slash.
        None => place.contains('/'),
    }
}

fn git_dependency(file: &str, dependency: &Dependency, listed: Option<&str>) -> Failure {
    let Dependency { field, name, spec } = dependency;
    let what = format!(
        "{} in {field} of {file} comes from git or an address: {}",
        quoted(name),
        quoted(spec)
    );
    let failure = Failure::new(Exit::Refused, "workspace::git_dependency", what)
        .place(Place::file(file))
        .because("npm 12 and newer install neither for those who did not allow it, so the package could not be installed")
        .hint("depend on a published range, or bundle it (bundleDependencies); `git-dependencies: allow` publishes it all the same");
    with_catalog(failure, spec, listed)
}

/// The failure of a dependency, which may stand for something that is `listed` in a catalog.
fn unpublishable(file: &str, dependency: &Dependency, listed: Option<&str>) -> Failure {
    let Dependency { field, name, spec } = dependency;
    let failure = Failure::new(
        Exit::Refused,
        "workspace::unpublishable",
        format!(
            "{} in {field} of {file} means nothing outside the workspace: {}",
            quoted(name),
            quoted(spec)
        ),
    )
    .place(Place::file(file));
    with_catalog(failure, spec, listed)
}

/// A failure with what the catalog has that the text names.
fn with_catalog(failure: Failure, spec: &str, listed: Option<&str>) -> Failure {
    match (listed, catalogs::named(spec)) {
        (Some(listed), Some(catalog)) => failure.because(format!(
            "the catalog {} has {} for it",
            quoted(catalog),
            quoted(listed)
        )),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANT: Reader = Reader::Installer {
        from_git: true,
        manager: Manager::Npm,
        form: Form::Documented,
    };

    fn check(spec: &str, expected: Option<&str>) {
        let versions = BTreeMap::from([(PackageName::parse("b").unwrap(), Version::new(1, 2, 3))]);
        let catalogs = [
            ("default", "^1.1.0"),
            ("old", "workspace:^"),
            ("file", "file:../b"),
            ("patch", "patch:b@npm%3A1.0.0#./b.patch"),
            ("control", "^1.0.0\u{1b}"),
        ]
        .map(|(name, range)| {
            let entries = BTreeMap::from([("b".to_owned(), range.to_owned())]);
            (name.to_owned(), entries)
        });
        let catalogs = Catalogs::from(catalogs);
        let text = format!(
            "{{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":{{\"b\":\"{spec}\"}}}}"
        );
        let published = publishable("package.json", &text, &versions, &catalogs, MEANT).ok();
        assert_eq!(
            published,
            expected.map(|expected| text.replace(spec, expected)),
            "{spec}"
        );
    }

    #[test]
    fn patches_stay_here() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                without_patches(text).unwrap().as_deref(),
                expected,
                "{text}"
            );
        };
        check(r#"{"name":"a"}"#, None);
        check(
            r#"{"name":"a","patchedDependencies":{}}"#,
            Some(r#"{"name":"a"}"#),
        );
        check(
            "\u{feff}{\r\n\t\"patchedDependencies\": {},\r\n\t\"files\": [\"a\"]\r\n}\r\n",
            Some("{\r\n\t\"files\": [\r\n\t\t\"a\"\r\n\t]\r\n}\r\n"),
        );
    }

    #[test]
    fn a_catalog_without_an_entry_is_named() {
        let text = r#"{"name":"a","version":"1.0.0","dependencies":{"koa":"catalog:"}}"#;
        let failure =
            publishable("x", text, &BTreeMap::new(), &Catalogs::new(), MEANT).unwrap_err();
        assert_eq!(failure.code(), "workspace::unpublishable");
        assert!(
            failure
                .advice()
                .unwrap()
                .contains("add an entry to the catalog")
        );
    }

    #[test]
    fn ranges_that_only_mean_something_inside_are_replaced() {
        check("workspace:*", Some("1.2.3"));
        check("workspace:^", Some("^1.2.3"));
        check("workspace:~", Some("~1.2.3"));
        check("workspace:^1.0.0", Some("^1.0.0"));
        check("workspace:b@^", Some("npm:b@^1.2.3"));
        check("workspace:c@^", None);
        check("^1.0.0", Some("^1.0.0"));
        check("file:../b", None);
        check("catalog:", Some("^1.1.0"));
        check("catalog:default", Some("^1.1.0"));
        check("catalog:old", Some("^1.2.3"));
        check("catalog:none", None);
        check("catalog:file", None);
        check("catalog:patch", None);
        check("catalog:control", None);
    }

    #[test]
    fn what_npm_cannot_follow_is_refused_and_what_it_can_stays() {
        for spec in [
            "FILE:../b",
            " file:../b",
            "link:../b",
            "portal:../b",
            "patch:b@1.0.0#b.patch",
            "exec:./make.js",
            "jsr:@b/b@1",
            "git+file:///b",
            "C:/b",
            "../b",
            "./b.tgz",
            "/b",
            "~/b",
            "1.0.0\\u0001",
            "1.0.0\\n",
        ] {
            check(spec, None);
        }
        for spec in [
            "~1.0.0 || >=2.0.0 <3",
            "",
            "latest",
            "npm:c@^1.0.0",
            "https://b.example/b.tgz",
            "git+ssh://git@b.example/b.git#v1",
            "git@b.example:b/b.git",
            "b/b#semver:^1.0.0",
            "github:b/b",
            "gist:b",
        ] {
            check(spec, Some(spec));
        }
    }

    #[test]
    fn what_comes_from_git_is_published_where_it_is_meant_only() {
        let check = |more: &str, spec: &str, reader: Reader, expected: Option<&str>| {
            let text = format!(r#"{{"name": "a", {more}: {{"b": "{spec}"}}}}"#);
            let entries = BTreeMap::from([("b".to_owned(), "github:b/b".to_owned())]);
            let catalogs = Catalogs::from([("git".to_owned(), entries)]);
            let failure = publishable("x", &text, &BTreeMap::new(), &catalogs, reader).err();
            assert_eq!(failure.as_ref().map(Failure::code), expected, "{text}");
        };
        let refused = Reader::Installer {
            from_git: false,
            manager: Manager::Npm,
            form: Form::Documented,
        };
        let code = Some("workspace::git_dependency");
        for spec in [
            "git+ssh://git@b.example/b.git#v1",
            "git://b.example/b.git",
            "ssh://git@b.example/b.git",
            "git@b.example:b.git",
            "github:b/b",
            "GitHub:b/b",
            "gist:b",
            "b/b",
            "b/b#semver:^1.0.0",
            "https://b.example/b.tgz",
            "http://b.example/b.tgz",
            "catalog:git",
        ] {
            check(r#""dependencies""#, spec, refused, code);
            check(r#""optionalDependencies""#, spec, refused, code);
            check(r#""peerDependencies""#, spec, refused, code);
            check(r#""devDependencies""#, spec, refused, None);
            check(r#""dependencies""#, spec, MEANT, None);
            check(r#""dependencies""#, spec, Reader::Host, None);
            let bundled = r#""bundleDependencies": ["b"], "dependencies""#;
            check(bundled, spec, refused, None);
        }
        for spec in [
            "",
            "latest",
            "^1.0.0 || 2",
            "npm:c@^1",
            "npm:@c/d@1",
            "1.0.0 - 2",
        ] {
            check(r#""dependencies""#, spec, refused, None);
        }
        check(
            r#""dependencies""#,
            "file:../b",
            refused,
            Some("workspace::unpublishable"),
        );
    }

    #[test]
    fn what_a_catalog_says_is_named_with_it() {
        let entries = BTreeMap::from([("koa".to_owned(), "file:../koa".to_owned())]);
        let catalogs = Catalogs::from([("old".to_owned(), entries)]);
        let text = r#"{"name":"a","version":"1.0.0","dependencies":{"koa":"catalog:old"}}"#;
        let failure = publishable("x", text, &BTreeMap::new(), &catalogs, MEANT).unwrap_err();
        let expected = r#"the catalog "old" has "file:../koa" for it"#;
        assert_eq!(failure.causes(), [expected]);
        assert!(
            failure
                .what()
                .ends_with(r#"outside the workspace: "catalog:old""#)
        );
        assert!(failure.advice().unwrap().contains("published range"));
    }
}
