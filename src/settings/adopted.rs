//! What files of other release tools say already: `.changeset/config.json` and `lerna.json`, below everything of ours.

use serde_json::{Map, Value};

use crate::explain::Failure;
use crate::settings::config::{ConfigFile, Form, object, text_of};
use crate::settings::given::{Given, Inputs, Source, list, not_there_yet};
use crate::settings::table::{self, Kind};

/// The configuration of changesets.
pub const CHANGESETS: &str = ".changeset/config.json";
/// The configuration of lerna.
pub const LERNA: &str = "lerna.json";

/// The versions that release-please keeps.
pub const RELEASE_PLEASE: &str = ".release-please-manifest.json";
/// The configuration of the older tool this one follows.
pub const OLD_PKGS: &str = "pkgs.config.json";
/// What that tool has that is no setting here.
const OLD_KEYS: [&str; 5] = ["packagesPath", "rootPackage", "version", "publish", "run"];

/// A setting that such a file decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The setting.
    pub setting: &'static str,
    /// The file.
    pub file: String,
}

/// Reads what means the same to us. Whatever else stands in the file is for the other tool.
pub(super) fn read(file: &ConfigFile, inputs: &mut Inputs, problems: &mut Vec<Failure>) {
    let object = match object(file) {
        Ok(object) => object.unwrap_or_default(),
        Err(failure) => {
            problems.push(failure);
            return;
        }
    };
    match file.form {
        Form::Changesets => changesets(&file.name, &object, inputs, problems),
        Form::Lerna => lerna(&file.name, &object, inputs),
        Form::ReleasePlease => release_please(&file.name, &object, inputs),
        Form::Own | Form::Field | Form::OldPkgs => {}
    }
}

/// Each entry is a package with a version of its own.
fn release_please(file: &str, object: &Map<String, Value>, inputs: &mut Inputs) {
    if object.len() > 1 {
        offer(inputs, file, "packages", "mode", "diff".to_owned());
    }
}

/// Reads the file of the older tool; gives the directories that it looks for packages in.
pub(super) fn read_old_pkgs(
    file: &ConfigFile,
    inputs: &mut Inputs,
    problems: &mut Vec<Failure>,
) -> Option<Vec<String>> {
    let mut object = match object(file) {
        Ok(object) => object.unwrap_or_default(),
        Err(failure) => {
            problems.push(failure);
            return None;
        }
    };
    let packages = old_pkgs(&file.name, &mut object, inputs, problems);
    let mode = object.get("mode").unwrap_or(&Value::Null);
    match text_of(mode, Kind::Text, "mode", &file.name) {
        Ok(Some(mode)) => offer(inputs, &file.name, "mode", "mode", mode),
        Ok(None) => {}
        Err(failure) => problems.push(failure),
    }
    if object.contains_key("push") {
        problems.push(unpushed("push", &file.name));
    }
    packages.or_else(|| Some(vec!["packages/**".to_owned()]))
}

/// That a release of ours always pushes.
fn unpushed(key: &str, file: &str) -> Failure {
    not_there_yet(&format!("{key} in {file}"))
        .hint("take it out: a release pushes its commit and its tags")
}

/// Takes what the older tool understands out of `object` and gives the directories that it looks for packages in, where it is that tool's: what
/// it does in `run`, and that the root is a package, needs no setting here.
pub(super) fn old_pkgs(
    file: &str,
    object: &mut Map<String, Value>,
    inputs: &mut Inputs,
    problems: &mut Vec<Failure>,
) -> Option<Vec<String>> {
    let pushes = |value: &Value| value.as_bool() == Some(true);
    if object.get("push").is_some_and(pushes) {
        object.swap_remove("push");
    }
    let is_old = OLD_KEYS.iter().any(|key| object.contains_key(*key));
    let [packages, _, version, publish, _] =
        OLD_KEYS.map(|key| object.swap_remove(key).unwrap_or(Value::Null));
    for (key, value, setting, kind) in [
        ("version.mode", &version["mode"], "mode", Kind::Text),
        (
            "version.message",
            &version["message"],
            "commit-message",
            Kind::Lines,
        ),
        ("publish.tag", &publish["tag"], "npm-tag", Kind::Text),
    ] {
        match text_of(value, kind, key, file) {
            Ok(Some(text)) => offer(inputs, file, key, setting, text),
            Ok(None) => {}
            Err(failure) => problems.push(failure),
        }
    }
    for (key, value) in [
        ("version.push", &version["push"]),
        ("publish.push", &publish["push"]),
    ] {
        if value.as_bool() == Some(false) {
            problems.push(unpushed(key, file));
        }
    }
    let listed = match &packages {
        Value::Null => vec!["packages/**".to_owned()],
        Value::String(one) => vec![one.clone()],
        other => match text_of(other, Kind::List, "packagesPath", file) {
            Ok(text) => list(&text.unwrap_or_default()),
            Err(failure) => {
                problems.push(failure);
                Vec::new()
            }
        },
    };
    is_old.then_some(listed)
}

fn offer(inputs: &mut Inputs, file: &str, key: &str, setting: &str, value: String) {
    let source = Source::Adopted {
        file: file.to_owned(),
        key: key.to_owned(),
    };
    if let Some(setting) = table::find(setting) {
        inputs.offer(setting, Given { value, source });
    }
}

/// Changesets gives each package a version of its own. What it calls `ignore` are packages that are not released.
fn changesets(
    file: &str,
    object: &Map<String, Value>,
    inputs: &mut Inputs,
    problems: &mut Vec<Failure>,
) {
    offer(inputs, file, "version", "mode", "diff".to_owned());
    for (key, setting, kind) in [
        ("fixed", "fixed", Kind::Groups),
        ("linked", "linked", Kind::Groups),
        ("ignore", "filter", Kind::List),
        ("baseBranch", "branch", Kind::Text),
        ("access", "access", Kind::Text),
    ] {
        let value = object.get(key).unwrap_or(&Value::Null);
        match text_of(value, kind, key, file) {
            Ok(Some(text)) if text != "none" => {
                let text = match key {
                    "ignore" => {
                        let names: Vec<String> =
                            text.lines().map(|name| format!("!{name}")).collect();
                        names.join("\n")
                    }
                    _ => text,
                };
                offer(inputs, file, key, setting, text);
            }
            Ok(_) => {}
            Err(failure) => problems.push(failure),
        }
    }
}

/// `independent` gives each package a version of its own, a version all of them one.
fn lerna(file: &str, object: &Map<String, Value>, inputs: &mut Inputs) {
    let Some(version) = object.get("version").and_then(Value::as_str) else {
        return;
    };
    let mode = if version == "independent" {
        "diff"
    } else {
        "sync"
    };
    offer(inputs, file, "version", "mode", mode.to_owned());
}
