//! What files of other release tools say already: `.changeset/config.json` and `lerna.json`, below everything of ours.

mod untaken;

use serde_json::{Map, Value};

use crate::explain::{Exit, Failure, quoted};
use crate::settings::config::{ConfigFile, Form, object, text_of};
use crate::settings::given::{Given, Inputs, Source, list, not_there_yet};
use crate::settings::table::{self, Kind};
use crate::version::Version;

pub use untaken::Untaken;

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
    /// The key as it stands there.
    pub key: String,
}

/// A key of such a file that we have a setting for, but that says what the setting cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The setting.
    pub setting: &'static str,
    /// The file.
    pub file: String,
    /// The key as it stands there.
    pub key: String,
}

/// What such a file says that does nothing here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// What we have a setting for but cannot take as it stands.
    pub passed_over: Vec<PassedOver>,
    /// What no setting takes over.
    pub untaken: Vec<Untaken>,
}

/// Reads what means the same to us, and gives what does not.
pub(super) fn read(file: &ConfigFile, inputs: &mut Inputs, problems: &mut Vec<Failure>) -> Left {
    let object = match object(file) {
        Ok(object) => object.unwrap_or_default(),
        Err(failure) => {
            problems.push(failure);
            return Left::default();
        }
    };
    match file.form {
        Form::Changesets => {
            changesets(&file.name, &object, inputs, problems);
            return Left {
                passed_over: Vec::new(),
                untaken: untaken::of_changesets(&object),
            };
        }
        Form::Lerna => match lerna(&file.name, &object, inputs, problems) {
            Ok(left) => return left,
            Err(failure) => problems.push(failure),
        },
        Form::ReleasePlease => release_please(&file.name, &object, inputs),
        Form::Own | Form::Field | Form::OldPkgs => {}
    }
    Left::default()
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

/// Changesets gives each package a version of its own, as far as intents say. What it calls `ignore` are packages that are not released.
fn changesets(
    file: &str,
    object: &Map<String, Value>,
    inputs: &mut Inputs,
    problems: &mut Vec<Failure>,
) {
    offer(inputs, file, "version", "mode", "diff".to_owned());
    offer(inputs, file, "version", "bump-from", "intents".to_owned());
    if object.get("changelog") == Some(&Value::Bool(false)) {
        offer(inputs, file, "changelog", "changelog", "none".to_owned());
    }
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
                    "baseBranch" => branch(&text, inputs),
                    _ => text,
                };
                offer(inputs, file, key, setting, text);
            }
            Ok(_) => {}
            Err(failure) => problems.push(failure),
        }
    }
}

/// The branch that a ref of it means, here or of the remote.
fn branch(reference: &str, inputs: &Inputs) -> String {
    let remote = inputs.get("remote");
    let remote = remote.map_or("origin", |given| given.value.as_str());
    let name = ["refs/heads/", "refs/remotes/"]
        .iter()
        .find_map(|before| reference.strip_prefix(before))
        .unwrap_or(reference);
    let of_remote = name.strip_prefix(remote);
    let of_remote = of_remote.and_then(|name| name.strip_prefix('/'));
    of_remote.unwrap_or(name).to_owned()
}

/// `independent` gives each package a version of its own, a version all of them one. What it says of its commands counts from the most
/// special to the most general place, as lerna reads it.
fn lerna(
    file: &str,
    object: &Map<String, Value>,
    inputs: &mut Inputs,
    problems: &mut Vec<Failure>,
) -> Result<Left, Failure> {
    let version = object.get("version").filter(|value| !value.is_null());
    let is_independent = version.is_some_and(|version| version == "independent");
    if let Some(version) = version {
        let text = version.as_str();
        if !is_independent && text.is_none_or(|text| Version::parse(text).is_err()) {
            let shown = text.map_or_else(|| version.to_string(), str::to_owned);
            let what = format!(
                "version in {file} is {}, neither a version nor independent",
                quoted(&shown)
            );
            return Err(Failure::new(Exit::Usage, "settings::choice", what)
                .hint("write the one version of all packages, or independent"));
        }
        let mode = if is_independent { "diff" } else { "sync" };
        offer(inputs, file, "version", "mode", mode.to_owned());
    }
    let mut passed_over = Vec::new();
    for (key, setting) in [
        ("allowBranch", "branch"),
        ("ignoreChanges", "ignore"),
        ("message", "commit-message"),
    ] {
        let Some((key, value)) = said_of_commands(object, key) else {
            continue;
        };
        let taken = match setting {
            "branch" => plain_branches(value),
            "ignore" => same_globs(value, object),
            _ => same_message(value, is_independent),
        };
        let Some(taken) = taken else {
            passed_over.push(PassedOver {
                setting,
                file: file.to_owned(),
                key,
            });
            continue;
        };
        let kind = table::find(setting).map_or(Kind::Text, |setting| setting.kind);
        match text_of(&taken, kind, &key, file) {
            Ok(Some(text)) => offer(inputs, file, &key, setting, text),
            Ok(None) => {}
            Err(failure) => problems.push(failure),
        }
    }
    let taken = said_alike(file, object, inputs);
    Ok(Left {
        passed_over,
        untaken: untaken::of_lerna(object, &taken),
    })
}

/// Takes what lerna's commands are told that is a setting of ours in other words; gives the whole keys that are.
fn said_alike(file: &str, object: &Map<String, Value>, inputs: &mut Inputs) -> Vec<String> {
    let mode = inputs.get("mode").map(|given| given.value.clone());
    let is_shared = matches!(mode.as_deref(), Some("sync" | "fixed"));
    let is_each = matches!(mode.as_deref(), Some("diff" | "independent"));
    let mut taken = Vec::new();
    for key in [
        "tagVersionPrefix",
        "tagVersionSeparator",
        "distTag",
        "changelog",
    ] {
        let Some((whole, value)) = said_of_commands(object, key) else {
            continue;
        };
        let text = value.as_str().filter(|text| !text.contains(['{', '}']));
        let alike = match (key, text) {
            // Where each package has a version of its own the prefix is no part of lerna's tags, and the separator only there.
            ("tagVersionPrefix", _) if is_each => None,
            ("tagVersionSeparator", _) if is_shared => None,
            ("tagVersionPrefix", Some(prefix)) if is_shared && prefix != "v" => {
                Some(("tag-format", format!("{prefix}{{version}}")))
            }
            ("tagVersionSeparator", Some(between)) if is_each && between != "@" => {
                Some(("tag-format", format!("{{name}}{between}{{version}}")))
            }
            ("distTag", Some(tag)) if tag != "latest" => Some(("npm-tag", tag.to_owned())),
            ("changelog", _) if *value == Value::Bool(false) => {
                Some(("changelog", "none".to_owned()))
            }
            _ => continue,
        };
        if let Some((setting, text)) = alike {
            offer(inputs, file, &whole, setting, text);
        }
        taken.push(whole);
    }
    taken
}

/// What lerna's commands are told, with the whole key.
fn said_of_commands<'o>(object: &'o Map<String, Value>, key: &str) -> Option<(String, &'o Value)> {
    let of = |command: &str| {
        let said = object.get("command")?.get(command)?.get(key)?;
        Some((format!("command.{command}.{key}"), said))
    };
    of("publish")
        .or_else(|| of("version"))
        .or_else(|| Some((key.to_owned(), object.get(key)?)))
        .filter(|(_, said)| !said.is_null())
}

/// A value that lerna takes alone or in a list, as a list of texts.
fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(entries) => entries.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Branches, if all are plain names.
fn plain_branches(value: &Value) -> Option<Value> {
    let names = texts(value)?;
    let is_plain = |name: &&str| !name.is_empty() && !name.contains(['*', '?', '[', '{', '!', '(']);
    names.iter().all(is_plain).then(|| names.into())
}

/// Globs, if all mean the same here. Both match one without `/` against base names; any other lerna matches against the path from the root
/// alone, so it must begin with `**/` or with the directory of the packages.
fn same_globs(value: &Value, object: &Map<String, Value>) -> Option<Value> {
    let globs = texts(value)?;
    let packages = object.get("packages").and_then(texts);
    let packages = packages.unwrap_or_else(|| vec!["packages/*"]);
    let directories = packages.iter().filter_map(|pattern| {
        let (directory, _) = pattern.trim_start_matches("./").split_once('/')?;
        (!directory.contains(['*', '?', '[', '{', '!'])).then_some(directory)
    });
    let directories: Vec<&str> = directories.collect();
    let is_same = |glob: &&str| {
        let extended = ["@(", "?(", "*(", "+(", "!("];
        let is_anywhere = match glob.split_once('/') {
            Some((first, _)) => first == "**" || directories.contains(&first),
            None => !glob.is_empty(),
        };
        is_anywhere
            && !glob.ends_with('/')
            && !glob.starts_with(['!', '#'])
            && !extended.iter().any(|opening| glob.contains(opening))
    };
    globs.iter().all(is_same).then(|| globs.into())
}

/// A message, if ours can say the same: where all share a version lerna writes its tag for `%s` and the version for `%v`, else nothing.
fn same_message(value: &Value, is_independent: bool) -> Option<Value> {
    let message = value.as_str().filter(|message| !message.contains('{'))?;
    if is_independent {
        let is_plain = !message.contains("%s") && !message.contains("%v");
        return is_plain.then(|| message.into());
    }
    let message = message.replace("%s", "{tags}").replace("%v", "{version}");
    Some(message.into())
}
