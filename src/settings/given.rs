//! Values as a person gave them, each with the name under which it was given.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, quoted};
use crate::settings::table::{self, Kind, Setting};

/// Where a value came from; higher sources win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A command-line flag.
    Flag,
    /// `INPUT_<NAME>`, set by the Actions runner.
    Input(String),
    /// `PKGS_<NAME>`.
    Variable(String),
    /// A key of the configuration file.
    File {
        /// The file's name.
        file: String,
        /// The key as it stands there.
        key: String,
    },
    /// A key of a file of another release tool.
    Adopted {
        /// The file's name.
        file: String,
        /// The key as it stands there.
        key: String,
    },
}

/// A value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The text; never empty.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

impl Given {
    /// The name under which the person set it.
    pub fn name(&self, setting: &str) -> String {
        match &self.source {
            Source::Flag => format!("--{setting}"),
            Source::Input(variable) | Source::Variable(variable) => variable.clone(),
            Source::File { file, key } | Source::Adopted { file, key } => {
                format!("{key} in {file}")
            }
        }
    }

    /// What a part of the value is called: `replacements[0] in pkgs.json`, `PKGS_REPLACEMENTS[0]`.
    pub fn part(&self, setting: &str, part: &str) -> String {
        match &self.source {
            Source::File { file, key } | Source::Adopted { file, key } => {
                format!("{key}{part} in {file}")
            }
            _ => format!("{}{part}", self.name(setting)),
        }
    }
}

/// All values that were given, by the setting's name; of several sources the highest.
#[derive(Debug, Clone, Default)]
pub struct Inputs(BTreeMap<&'static str, Given>);

impl Inputs {
    /// The value of a setting, unless it is unset.
    pub fn get(&self, setting: &str) -> Option<&Given> {
        debug_assert!(table::find(setting).is_some(), "{setting} is not a setting");
        self.0.get(setting)
    }

    /// Sets a value unless a higher source already has.
    pub fn offer(&mut self, setting: &'static Setting, given: Given) {
        self.0.entry(setting.name).or_insert(given);
    }

    /// Takes the values of a lower source where this has none.
    pub fn fill(&mut self, lower: Inputs) {
        for (name, given) in lower.0 {
            self.0.entry(name).or_insert(given);
        }
    }

    /// All values, by the setting's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        self.0.iter().map(|(name, given)| (*name, given))
    }

    /// Forgets texts that say `none`: the word empties what a lower source gives. The settings in which it has a meaning of its own,
    /// lists and secrets keep it.
    pub fn empty_nones(&mut self) {
        const OWN_MEANING: [&str; 8] = [
            "command",
            "install",
            "build",
            "store",
            "static",
            "cdn-command",
            "changelog",
            "npm-publish",
        ];
        self.0.retain(|name, given| {
            let is_text = table::find(name)
                .is_some_and(|setting| matches!(setting.kind, Kind::Text | Kind::Lines));
            !is_text || given.value != "none" || OWN_MEANING.contains(name)
        });
    }

    /// Replaces a value, whatever its source.
    pub fn set(&mut self, setting: &'static str, value: &str) {
        self.0.insert(
            setting,
            Given {
                value: value.to_owned(),
                source: Source::Flag,
            },
        );
    }
}

/// A truth value: YAML's spellings, as Actions takes them.
pub fn boolean(given: &Given, setting: &str) -> Result<bool, Failure> {
    match given.value.as_str() {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        other => Err(Failure::new(
            Exit::Usage,
            "settings::boolean",
            format!(
                "{} is {}, not a truth value",
                given.name(setting),
                quoted(other)
            ),
        )
        .hint("write true or false")),
    }
}

/// A list: one entry per line; commas separate only where no `{}` occurs. The word `none` is the empty list.
///
/// ```
/// use pkgs_action::settings::given::list;
/// assert_eq!(list("a\nb"), ["a", "b"]);
/// assert_eq!(list("a, b"), ["a", "b"]);
/// assert_eq!(list("*.{js,css}"), ["*.{js,css}"]);
/// assert!(list("none").is_empty());
/// ```
pub fn list(value: &str) -> Vec<String> {
    if value == "none" {
        return Vec::new();
    }
    let commas = !value.contains('{');
    value
        .lines()
        .flat_map(|line| {
            if commas {
                line.split(',').collect::<Vec<_>>()
            } else {
                vec![line]
            }
        })
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Groups: one per line, entries divided by spaces, or by commas where the line has no `{}`. The word `none` is no group.
///
/// ```
/// use pkgs_action::settings::given::groups;
/// assert_eq!(groups("a, b\nc @x/{d,e}"), [vec!["a", "b"], vec!["c", "@x/{d,e}"]]);
/// assert!(groups("none").is_empty());
/// ```
pub fn groups(value: &str) -> Vec<Vec<String>> {
    if value == "none" {
        return Vec::new();
    }
    let group = |line: &str| -> Vec<String> {
        let commas = !line.contains('{');
        line.split(|letter: char| letter.is_whitespace() || (commas && letter == ','))
            .filter(|entry| !entry.is_empty())
            .map(str::to_owned)
            .collect()
    };
    value
        .lines()
        .map(group)
        .filter(|group| !group.is_empty())
        .collect()
}

/// An unknown name, with the nearest right one of those that may stand there.
pub fn unknown(
    code: &'static str,
    spelled: &str,
    kebab: &str,
    spell: impl Fn(&str) -> String,
    may_stand: impl Fn(&table::Setting) -> bool,
) -> Failure {
    if table::SETTINGS_TO_COME.contains(&kebab) {
        return not_there_yet(spelled).hint("leave it out for now");
    }
    let failure = Failure::new(
        Exit::Usage,
        code,
        format!("{} is not a setting", quoted(spelled)),
    );
    let possible = table::SETTINGS.iter().filter(|setting| may_stand(setting));
    match nearest(kebab, possible.map(|setting| setting.name)) {
        Some(near) => failure.hint(format!("did you mean {}?", spell(near))),
        None => failure.hint("`pkgs-action <command> --help` lists the settings of a command"),
    }
}

/// The most similar of `names`, if one is similar enough to be meant.
///
/// ```
/// use pkgs_action::settings::given::nearest;
/// assert_eq!(nearest("wbe", ["api", "web"].into_iter()), Some("web"));
/// assert_eq!(nearest("Enviroment", ["app", "environment"].into_iter()), Some("environment"));
/// assert_eq!(nearest("nope", ["sit", "prod"].into_iter()), None);
/// ```
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    similar(name, names).into_iter().next()
}

/// Those of `names` that are similar enough to be meant, the most similar first.
///
/// ```
/// use pkgs_action::settings::given::similar;
/// assert_eq!(similar("corr", ["core", "web", "cors"].into_iter()), ["cors", "core"]);
/// ```
pub fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const SIMILAR: f64 = 0.8;
    let name = name.to_lowercase();
    // One slip of the finger in a short name leaves little that is alike.
    let slipped =
        |candidate: &str| candidate.len() > 2 && strsim::damerau_levenshtein(&name, candidate) == 1;
    let mut candidates: Vec<(f64, &str)> = names
        .map(|candidate| {
            if slipped(candidate) {
                (1.0, candidate)
            } else {
                (strsim::jaro_winkler(&name, candidate), candidate)
            }
        })
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .collect();
    candidates.sort_by(|left, right| left.0.total_cmp(&right.0));
    candidates.into_iter().rev().map(|(_, name)| name).collect()
}

/// That something which was promised cannot be used yet.
pub fn not_there_yet(spelled: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        "settings::not_there_yet",
        format!("{spelled} is not there yet"),
    )
}
