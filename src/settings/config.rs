//! The configuration file: `pkgs.json`, else the `pkgs` field of the root `package.json`; keys in camelCase.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::PackageName;
use crate::settings::adopted;
use crate::settings::given::{Given, Inputs, Source, list, nearest, unknown};
use crate::settings::table::{self, Kind, Reach, SETTINGS, Setting, camel_case};

/// An app's own settings, by kebab-case name; `type` and `build` are among them.
pub type AppEntry = BTreeMap<&'static str, Given>;

/// A configuration file, as it was read from the disk.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// Its name, for messages.
    pub name: String,
    /// Its content.
    pub text: String,
    /// Whose it is.
    pub form: Form,
}

/// Whose configuration a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Ours.
    Own,
    /// Ours, as the field `pkgs` of a `package.json`.
    Field,
    /// That of changesets.
    Changesets,
    /// That of lerna.
    Lerna,
    /// What release-please keeps.
    ReleasePlease,
    /// That of the older tool this one follows.
    OldPkgs,
}

impl ConfigFile {
    /// The name of the configuration, for messages.
    fn shown(&self) -> String {
        if self.form == Form::Field {
            format!("the pkgs field of {}", self.name)
        } else {
            self.name.clone()
        }
    }
}

/// What the file says beyond plain settings.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Whether the repository has opted in to releases by having a configuration.
    pub opted_in: bool,
    /// `apps`: what each package's entry says.
    pub apps: BTreeMap<PackageName, AppEntry>,
    /// What has them, for messages.
    pub apps_in: Option<String>,
    /// Where the older tool looks for packages, where nothing else lists them.
    pub packages_path: Option<Vec<String>>,
}

/// The file that holds our own configuration, unless another is named.
pub const FILE: &str = "pkgs.json";
/// The longest file that may hold a configuration, in bytes.
pub const LONGEST: u64 = 2 << 20;

/// Reads a configuration: plain settings go into `inputs`, the rest into a [`Config`], whatever is wrong into `problems`.
pub fn read(file: &ConfigFile, inputs: &mut Inputs, problems: &mut Vec<Failure>) -> Config {
    let mut config = Config {
        opted_in: true,
        ..Config::default()
    };
    let mut object = match object(file) {
        Ok(Some(object)) => object,
        Ok(None) => return Config::default(),
        Err(failure) => {
            problems.push(failure);
            return config;
        }
    };
    let shown = file.shown();
    config.packages_path = adopted::old_pkgs(&shown, &mut object, inputs, problems);
    for (key, value) in &object {
        match key.as_str() {
            "$schema" => {}
            "apps" => match read_apps(&shown, value, problems) {
                Ok(apps) => {
                    config.apps = apps;
                    config.apps_in = Some(shown.clone());
                }
                Err(failure) => problems.push(failure),
            },
            key => match read_setting(&shown, key, value) {
                Ok(Some((setting, given))) => inputs.offer(setting, given),
                Ok(None) => {}
                Err(failure) => problems.push(failure),
            },
        }
    }
    config
}

/// The object that the configuration is; `None` where the file has no such field.
pub(super) fn object(file: &ConfigFile) -> Result<Option<Map<String, Value>>, Failure> {
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    let Unambiguous(value) = serde_json::from_str(text).map_err(|error| unread(file, &error))?;
    let value = match value {
        Value::Object(mut object) if file.form == Form::Field => match object.swap_remove("pkgs") {
            Some(value) => value,
            None => return Ok(None),
        },
        value => value,
    };
    match value {
        Value::Object(object) => Ok(Some(object)),
        _ => Err(Failure::new(
            Exit::Usage,
            "settings::config",
            format!("{} is not a JSON object", file.shown()),
        )
        .hint("write {} where nothing is to be said")),
    }
}

/// Why a file cannot be read as JSON, and where.
fn unread(file: &ConfigFile, error: &serde_json::Error) -> Failure {
    const EMPTY: &str = "write {} where nothing is to be said";
    let (code, what, hint) = if file.text.trim().is_empty() {
        ("settings::json", "is empty", EMPTY)
    } else if error.is_data() {
        (
            "settings::json_duplicate",
            "holds a key twice",
            "keep one of them",
        )
    } else {
        (
            "settings::json",
            "is not valid JSON",
            "correct it there: it must be strict JSON, without comments",
        )
    };
    let why = error.to_string();
    let why = match why.split(" at line").next() {
        Some("recursion limit exceeded") => "it nests too deep",
        why => why.unwrap_or_default(),
    };
    Failure::new(Exit::Usage, code, format!("{} {what}", file.name))
        .because(why)
        .place(Place::at(&file.name, error.line(), error.column().max(1)))
        .hint(hint)
}

/// A key of the whole configuration as a setting; `None` where it is `null`.
fn read_setting(
    shown: &str,
    key: &str,
    value: &Value,
) -> Result<Option<(&'static Setting, Given)>, Failure> {
    let known = SETTINGS
        .iter()
        .find(|setting| camel_case(setting.name) == key);
    let Some(setting) = known else {
        return Err(unknown(
            "settings::unknown_key",
            &format!("{} in {shown}", short(key)),
            &kebab_case(key),
            camel_case,
            |setting| setting.reach != Reach::Outside,
        ));
    };
    if setting.reach == Reach::Outside {
        return Err(Failure::new(
            Exit::Usage,
            "settings::not_in_file",
            format!("{key} in {shown} cannot be set by a file of the repository"),
        )
        .because("it speaks of one run, or decides where a credential is sent")
        .hint(outside(setting)));
    }
    let value = text_of(value, setting.kind, key, shown)?;
    Ok(value.map(|value| (setting, given(shown, key.to_owned(), value))))
}

fn given(shown: &str, key: String, value: String) -> Given {
    Given {
        value,
        source: Source::File {
            file: shown.to_owned(),
            key,
        },
    }
}

/// The entries of `apps`; one that is wrong goes to `problems` and keeps no other from being read.
fn read_apps(
    shown: &str,
    value: &Value,
    problems: &mut Vec<Failure>,
) -> Result<BTreeMap<PackageName, AppEntry>, Failure> {
    let Value::Object(entries) = value else {
        return Err(Failure::new(
            Exit::Usage,
            "settings::config",
            format!("apps in {shown} is not an object"),
        )
        .hint("write apps: { \"<package name>\": { … } }"));
    };
    let mut apps = BTreeMap::new();
    for (name, value) in entries {
        match PackageName::parse(name) {
            Ok(package) => {
                apps.insert(package, read_app(shown, name, value, problems));
            }
            Err(failure) => problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::app",
                    format!("apps.{} in {shown} names no package", quoted(name)),
                )
                .because(failure)
                .hint("write the name of the package as its package.json has it"),
            ),
        }
    }
    Ok(apps)
}

fn read_app(shown: &str, name: &str, value: &Value, problems: &mut Vec<Failure>) -> AppEntry {
    let mut entry = AppEntry::new();
    let Value::Object(object) = value else {
        problems.push(
            Failure::new(
                Exit::Usage,
                "settings::config",
                format!("apps.{name} in {shown} is not an object"),
            )
            .hint("write {} where nothing is to be said"),
        );
        return entry;
    };
    for (key, value) in object {
        let spelled = format!("apps.{name}.{}", short(key));
        let read = setting_of_app(key)
            .ok_or_else(|| unknown_of_app(&spelled, key, shown))
            .and_then(|(setting, kind)| Ok((setting, text_of(value, kind, &spelled, shown)?)));
        match read {
            Ok((setting, Some(value))) => {
                entry.insert(setting, given(shown, spelled, value));
            }
            Ok((_, None)) => {}
            Err(failure) => problems.push(failure),
        }
    }
    entry
}

/// What an app's entry may say beside the settings that the table gives it.
const APPS_OWN: [(&str, Kind); 2] = [("type", Kind::Text), ("build", Kind::Lines)];

/// The settings of an app, by their names.
fn settings_of_app() -> impl Iterator<Item = (&'static str, Kind)> {
    SETTINGS
        .iter()
        .filter(|setting| setting.reach == Reach::App)
        .map(|setting| (setting.name, setting.kind))
        .chain(APPS_OWN)
}

/// What form a setting has where it stands in an app's entry.
pub(super) fn kind_of_app(setting: &str) -> Kind {
    settings_of_app()
        .find(|(name, _)| *name == setting)
        .map_or(Kind::Text, |(_, kind)| kind)
}

fn setting_of_app(key: &str) -> Option<(&'static str, Kind)> {
    settings_of_app().find(|(name, _)| camel_case(name) == key)
}

fn unknown_of_app(spelled: &str, key: &str, shown: &str) -> Failure {
    let failure = Failure::new(
        Exit::Usage,
        "settings::unknown_key",
        format!(
            "{} is not a setting of an app",
            quoted(&format!("{spelled} in {shown}"))
        ),
    );
    let names = settings_of_app().map(|(name, _)| name);
    match nearest(&kebab_case(key), names) {
        Some(near) => failure.hint(format!("did you mean {}?", camel_case(near))),
        None => failure,
    }
}

/// How a setting is given from outside the repository.
fn outside(setting: &Setting) -> String {
    let variable = table::variable(setting.name);
    let flag = if table::has_flag(setting) {
        format!(" or the flag --{}", setting.name)
    } else {
        String::new()
    };
    let input = if setting.in_action {
        format!("the input {} or ", setting.name)
    } else {
        String::new()
    };
    format!("set {input}the variable {variable}{flag}")
}

/// A JSON value whose objects hold each key once: of two, Node takes the last and other tools the first.
pub(super) struct Unambiguous(pub(super) Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unambiguous, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Unambiguous;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Unambiguous, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(value)) = entries.next_element()? {
            list.push(value);
        }
        Ok(Unambiguous(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unambiguous, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(quoted(&key)));
            }
            let Unambiguous(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(Unambiguous(object.into()))
    }
}

/// A value of the file as the text that a flag would have carried; `null` and `""` are unset.
pub(super) fn text_of(
    value: &Value,
    kind: Kind,
    key: &str,
    shown: &str,
) -> Result<Option<String>, Failure> {
    let refuse = |wanted: &str| {
        Err(Failure::new(
            Exit::Usage,
            "settings::type",
            format!("{key} in {shown} is not {wanted}"),
        )
        .hint(format!("write {wanted}")))
    };
    match (kind, value) {
        (_, Value::Null) => Ok(None),
        // Also where `true` is one of several words.
        (Kind::Boolean | Kind::Text, Value::Bool(value)) => Ok(Some(value.to_string())),
        (Kind::Boolean, _) => refuse("true or false"),
        (Kind::List, Value::Array(entries)) => {
            let texts: Option<Vec<&str>> = entries.iter().map(Value::as_str).collect();
            match texts {
                Some(texts) if texts.is_empty() => Ok(Some("none".to_owned())),
                Some(texts) if texts.iter().any(|text| list(text).len() != 1) => {
                    refuse("a list of strings, each of them one entry without a comma")
                }
                Some(texts) => Ok(Some(texts.join("\n") + "\n")),
                None => refuse("a list of strings"),
            }
        }
        (Kind::Groups, Value::Array(groups)) => match groups_of(groups) {
            Some(text) => Ok(Some(text)),
            None => refuse("a list of lists of names"),
        },
        (Kind::Groups, _) => refuse("a list of lists of names"),
        (Kind::Objects, Value::Array(entries)) if entries.is_empty() => Ok(Some("none".to_owned())),
        (Kind::Objects, Value::Array(_)) => Ok(Some(value.to_string())),
        (Kind::Objects, _) => refuse("a list of objects"),
        (Kind::Map, Value::Object(entries)) => match map_of(entries) {
            Some(text) => Ok(Some(text)),
            None => refuse("an object of names and texts"),
        },
        (_, Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        (Kind::Text | Kind::Lines, Value::Number(number)) => Ok(Some(number.to_string())),
        (Kind::List, _) => refuse("a list of strings"),
        (Kind::Map, _) => refuse("an object of names and texts"),
        _ => refuse("a string"),
    }
}

/// Groups as the text of a flag, one per line; `None` where an entry is no text, empty or would be taken for two.
fn groups_of(groups: &[Value]) -> Option<String> {
    let is_one = |name: &&str| {
        let divided = name.contains([' ', '\t', '\r', '\n']);
        !name.is_empty() && !divided && (!name.contains(',') || name.contains('{'))
    };
    let mut text = String::new();
    for group in groups {
        for name in group.as_array()? {
            text.push_str(name.as_str().filter(is_one)?);
            text.push(' ');
        }
        text.push('\n');
    }
    Some(if groups.is_empty() {
        "none".to_owned()
    } else {
        text
    })
}

/// A map as the text of a flag, one entry per line; `None` where a value is no text, or a name or value would be taken for more.
fn map_of(entries: &Map<String, Value>) -> Option<String> {
    let is_one = |text: &str| {
        !text.trim().is_empty()
            && !text.contains(['\n', '\r'])
            && (!text.contains(',') || text.contains('{'))
    };
    let mut text = String::new();
    for (name, value) in entries {
        let value = value.as_str().filter(|value| !value.contains('='))?;
        if !is_one(name) || !is_one(value) {
            return None;
        }
        text.extend([name, "=", value, "\n"]);
    }
    Some(if entries.is_empty() {
        "none".to_owned()
    } else {
        text
    })
}

/// A key that is no setting, short enough to leave room for where it stands.
fn short(key: &str) -> String {
    const LONGEST: usize = 40;
    match key.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// A key as the table spells it: `tagFormat` is `tag-format`.
fn kebab_case(key: &str) -> String {
    let mut text = String::new();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
