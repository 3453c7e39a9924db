//! What files of other release tools say already: `.changeset/config.json` and `lerna.json`, below everything of ours.

use serde_json::{Map, Value};

use crate::explain::Failure;
use crate::settings::config::{ConfigFile, Form, object, text_of};
use crate::settings::given::{Given, Inputs, Source};
use crate::settings::table::{self, Kind};

/// The configuration of changesets.
pub const CHANGESETS: &str = ".changeset/config.json";
/// The configuration of lerna.
pub const LERNA: &str = "lerna.json";

/// A setting that such a file decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The setting.
    pub setting: &'static str,
    /// The file.
    pub file: String,
    /// The key as it stands there.
    pub key: String,
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
        Form::Own | Form::Field => {}
    }
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
