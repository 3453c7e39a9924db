//! The configuration file: `pkgs.json`, else the `pkgs` field of the root `package.json`; keys in camelCase.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::PackageName;
use crate::settings::inputs::{Given, Inputs, Source, nearest, unknown};
use crate::settings::table::{self, Kind, Reach, SETTINGS, Setting, camel_case};

/// What the file says beyond plain settings.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Whether the repository has opted in to releases by having a configuration.
    pub opted_in: bool,
    /// `apps`: package name → the app's own settings by kebab-case name, and `type`.
    pub apps: BTreeMap<PackageName, BTreeMap<&'static str, Given>>,
}

/// The longest configuration file, in bytes.
pub const LONGEST: u64 = 1 << 20;

/// Reads `text`, the content of `file` (or of its `pkgs` field, when `field` is set), into `inputs` and the rest into a [`Config`].
pub fn read(
    file: &str,
    text: &str,
    field: Option<&str>,
    inputs: &mut Inputs,
    problems: &mut Vec<Failure>,
) -> Config {
    let value = match serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        Ok(Unambiguous(value)) => value,
        Err(error) => {
            let (code, what) = if error.is_data() {
                ("settings::json_duplicate", "holds a key twice")
            } else {
                ("settings::json", "is not valid JSON")
            };
            problems.push(
                Failure::new(Exit::Usage, code, format!("{file} {what}"))
                    .because(
                        error
                            .to_string()
                            .split(" at line")
                            .next()
                            .unwrap_or_default(),
                    )
                    .place(Place::at(file, error.line(), error.column()))
                    .hint(if error.is_data() {
                        "keep one of them"
                    } else {
                        "correct it there: it must be strict JSON, without comments"
                    }),
            );
            return Config {
                opted_in: true,
                ..Config::default()
            };
        }
    };
    let shown = field.map_or_else(
        || file.to_owned(),
        |field| format!("the {field} field of {file}"),
    );
    let value = match field {
        Some(field) => match value.get(field) {
            Some(value) => value,
            None => return Config::default(),
        },
        None => &value,
    };
    let Value::Object(object) = value else {
        problems.push(Failure::new(
            Exit::Usage,
            "settings::config",
            format!("{shown} is not a JSON object"),
        ));
        return Config {
            opted_in: true,
            ..Config::default()
        };
    };
    let mut config = Config {
        opted_in: true,
        ..Config::default()
    };
    for (key, value) in object {
        match key.as_str() {
            "$schema" => {}
            "apps" => read_apps(&shown, value, &mut config, problems),
            key => match SETTINGS
                .iter()
                .find(|setting| camel_case(setting.name) == key)
            {
                Some(setting) if setting.reach == Reach::Outside => problems.push(
                    Failure::new(
                        Exit::Usage,
                        "settings::not_in_file",
                        format!("{key} in {shown} cannot be set by a file of the repository"),
                    )
                    .because("it speaks of one run, or decides where a credential is sent")
                    .hint(outside(setting)),
                ),
                Some(setting) => {
                    if let Some(value) = text_of(value, setting.kind, key, &shown, problems) {
                        inputs.offer(
                            setting,
                            Given {
                                value,
                                source: Source::File {
                                    file: shown.clone(),
                                    key: key.to_owned(),
                                },
                            },
                        );
                    }
                }
                None => problems.push(unknown(
                    "settings::unknown_key",
                    &format!("{key} in {shown}"),
                    &kebab_case(key),
                    camel_case,
                )),
            },
        }
    }
    config
}

/// How a setting is given from outside the repository.
fn outside(setting: &Setting) -> String {
    let variable = setting.name.to_uppercase().replace('-', "_");
    let flag = if table::has_flag(setting) {
        format!(" or the flag --{}", setting.name)
    } else {
        String::new()
    };
    format!(
        "set the input {} or the variable PKGS_{variable}{flag}",
        setting.name
    )
}

/// A JSON value whose objects hold each key once: of two, Node takes the last and other tools the first.
struct Unambiguous(Value);

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
        let mut object = serde_json::Map::new();
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

fn read_apps(shown: &str, value: &Value, config: &mut Config, problems: &mut Vec<Failure>) {
    let Value::Object(apps) = value else {
        problems.push(
            Failure::new(
                Exit::Usage,
                "settings::config",
                format!("apps in {shown} is not an object"),
            )
            .hint("write apps: { \"<package name>\": { … } }"),
        );
        return;
    };
    for (name, value) in apps {
        let package = match PackageName::parse(name) {
            Ok(package) => package,
            Err(failure) => {
                problems.push(
                    Failure::new(
                        Exit::Usage,
                        "settings::app",
                        format!("apps.{} in {shown} names no package", quoted(name)),
                    )
                    .because(failure)
                    .hint("write the name of the package as its package.json has it"),
                );
                continue;
            }
        };
        let Value::Object(object) = value else {
            problems.push(Failure::new(
                Exit::Usage,
                "settings::config",
                format!("apps.{name} in {shown} is not an object"),
            ));
            continue;
        };
        let mut settings = BTreeMap::new();
        for (key, value) in object {
            let spelled = format!("apps.{name}.{key}");
            let known = if key == "type" {
                Some(("type", Kind::Text))
            } else if key == "build" {
                Some(("build", Kind::Text))
            } else {
                SETTINGS
                    .iter()
                    .find(|setting| setting.reach == Reach::App && camel_case(setting.name) == *key)
                    .map(|setting| (setting.name, setting.kind))
            };
            if let Some((setting, kind)) = known {
                if let Some(value) = text_of(value, kind, &spelled, shown, problems) {
                    settings.insert(
                        setting,
                        Given {
                            value,
                            source: Source::File {
                                file: shown.to_owned(),
                                key: spelled,
                            },
                        },
                    );
                }
            } else {
                let names = SETTINGS
                    .iter()
                    .filter(|setting| setting.reach == Reach::App)
                    .map(|setting| setting.name)
                    .chain(["type", "build"]);
                let failure = Failure::new(
                    Exit::Usage,
                    "settings::unknown_key",
                    format!("{spelled} in {shown} is not a setting of an app"),
                );
                problems.push(match nearest(&kebab_case(key), names) {
                    Some(near) => failure.hint(format!("did you mean {}?", camel_case(near))),
                    None => failure,
                });
            }
        }
        config.apps.insert(package, settings);
    }
}

/// A value of the file as the text that a flag would have carried; `null` is unset.
fn text_of(
    value: &Value,
    kind: Kind,
    key: &str,
    shown: &str,
    problems: &mut Vec<Failure>,
) -> Option<String> {
    let refuse = |problems: &mut Vec<Failure>, wanted: &str| {
        problems.push(
            Failure::new(
                Exit::Usage,
                "settings::type",
                format!("{key} in {shown} is not {wanted}"),
            )
            .hint(format!("write {wanted}")),
        );
        None
    };
    match (kind, value) {
        (_, Value::Null) => None,
        (Kind::Boolean, Value::Bool(value)) => Some(value.to_string()),
        (Kind::Boolean, _) => refuse(problems, "true or false"),
        (Kind::List, Value::Array(entries)) => {
            let texts: Option<Vec<&str>> = entries.iter().map(Value::as_str).collect();
            match texts {
                Some(texts) if texts.is_empty() => Some("none".to_owned()),
                Some(texts) => Some(texts.join("\n") + "\n"),
                None => refuse(problems, "a list of strings"),
            }
        }
        (_, Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
        (Kind::Text, Value::Number(number)) => Some(number.to_string()),
        (Kind::List, _) => refuse(problems, "a list of strings"),
        _ => refuse(problems, "a string"),
    }
}

fn kebab_case(key: &str) -> String {
    table::SETTINGS
        .iter()
        .find(|setting| camel_case(setting.name) == key)
        .map_or_else(
            || {
                key.chars()
                    .flat_map(|letter| {
                        if letter.is_ascii_uppercase() {
                            vec!['-', letter.to_ascii_lowercase()]
                        } else {
                            vec![letter]
                        }
                    })
                    .collect()
            },
            |setting| setting.name.to_owned(),
        )
}
