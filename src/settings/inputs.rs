//! Raw settings: every value as the person gave it, with the name under which it was given.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, quoted};
use crate::settings::table::{self, Group, Kind, Setting};

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
            Source::File { file, key } => format!("{key} in {file}"),
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

    /// Forgets texts that say `none`: the word empties what a lower source gives. The settings in which it has a meaning of its own,
    /// lists and secrets keep it.
    pub fn empty_nones(&mut self) {
        const OWN_MEANING: [&str; 5] = ["command", "install", "build", "store", "static"];
        self.0.retain(|name, given| {
            let is_text = table::find(name).is_some_and(|setting| setting.kind == Kind::Text);
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

/// What the command line and the environment say.
#[derive(Debug)]
pub struct Collected {
    /// The command's name, if one was given.
    pub command: Option<String>,
    /// The values.
    pub inputs: Inputs,
    /// Whether `--once` was given.
    pub once: bool,
    /// Problems so far; reported together with the later ones.
    pub problems: Vec<Failure>,
}

/// What the command line asks for instead of a command.
#[derive(Debug)]
pub enum Asked {
    /// Run with these values.
    Run(Box<Collected>),
    /// Print this text on stdout and exit 0: help, version, completions.
    Print(String),
}

/// Reads the command line (without the program's name) and the environment.
///
/// Without a command on the command line, the setting `command` may carry one with arguments, split like a shell splits, nothing expanded.
pub fn collect(
    arguments: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Asked, Failure> {
    let mut problems = Vec::new();
    let mut from_environment = Inputs::default();
    for (prefix, is_input) in [("INPUT_", true), ("PKGS_", false)] {
        offer_environment(
            prefix,
            is_input,
            environment,
            &mut from_environment,
            &mut problems,
        );
    }
    let words = match from_environment.get("command") {
        Some(given) if arguments.is_empty() => {
            shell_words::split(&given.value).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    "settings::command",
                    format!("{} cannot be split into words", given.name("command")),
                )
                .because(error)
            })?
        }
        _ => arguments.to_vec(),
    };
    let matches = match crate::settings::flags::command_line()
        .try_get_matches_from(std::iter::once("pkgs-action".to_owned()).chain(words))
    {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Asked::Print(error.to_string())),
        Err(error) => return Err(flag_failure(&error)),
    };
    let mut inputs = Inputs::default();
    let mut once = false;
    let mut command = None;
    if let Some((name, matches)) = matches.subcommand() {
        if name == "help" {
            return help(matches.get_many::<String>("topic").into_iter().flatten());
        }
        if name == "completions" {
            let shell = matches
                .get_one::<String>("shell")
                .map_or("bash", String::as_str);
            return Ok(Asked::Print(crate::settings::flags::completions(shell)));
        }
        command = Some(name.to_owned());
        for setting in table::SETTINGS
            .iter()
            .filter(|setting| table::has_flag(setting))
        {
            let value = match setting.kind {
                Kind::List => matches
                    .try_get_many::<String>(setting.name)
                    .ok()
                    .flatten()
                    .map(|values| values.cloned().collect::<Vec<_>>().join("\n")),
                _ => matches
                    .try_get_one::<String>(setting.name)
                    .ok()
                    .flatten()
                    .cloned(),
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                inputs.offer(
                    setting,
                    Given {
                        value,
                        source: Source::Flag,
                    },
                );
            }
        }
        once = matches
            .try_get_one::<bool>("once")
            .ok()
            .flatten()
            .copied()
            .unwrap_or_default();
    }
    for (name, given) in from_environment.0 {
        inputs.0.entry(name).or_insert(given);
    }
    Ok(Asked::Run(Box::new(Collected {
        command,
        inputs,
        once,
        problems,
    })))
}

/// The help of the whole, or of the command that `topic` names.
fn help<'a>(topic: impl Iterator<Item = &'a String>) -> Result<Asked, Failure> {
    let words = std::iter::once("pkgs-action")
        .chain(topic.map(String::as_str))
        .chain(["--help"]);
    match crate::settings::flags::command_line().try_get_matches_from(words) {
        Err(error) if error.use_stderr() => Err(flag_failure(&error)),
        Err(error) => Ok(Asked::Print(error.to_string())),
        Ok(_) => unreachable!("--help always prints"),
    }
}

/// The values of all credentials that the environment holds: what nothing that is printed may show.
pub fn secret_values(environment: &BTreeMap<String, String>) -> Vec<String> {
    const OTHERS: [&str; 6] = [
        "NODE_AUTH_TOKEN",
        "NPM_TOKEN",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ];
    let is_secret = |name: &str| {
        let own = name
            .strip_prefix("INPUT_")
            .or_else(|| name.strip_prefix("PKGS_"))
            .map(|name| name.to_lowercase().replace('_', "-"));
        OTHERS.contains(&name)
            || own
                .and_then(|own| table::find(&own))
                .is_some_and(|setting| setting.kind == Kind::Secret)
    };
    environment
        .iter()
        .filter(|(name, _)| is_secret(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

/// Takes the variables with `prefix`; `envy` strips the prefix and lowers the case. The runner keeps hyphens (`INPUT_DRY-RUN`),
/// shells cannot, so both spellings mean the same.
fn offer_environment(
    prefix: &str,
    is_input: bool,
    environment: &BTreeMap<String, String>,
    inputs: &mut Inputs,
    problems: &mut Vec<Failure>,
) {
    const RUNNERS_OWN: [&str; 2] = ["args", "entrypoint"];
    let variables = environment
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let values: BTreeMap<String, String> = match envy::prefixed(prefix).from_iter(variables) {
        Ok(values) => values,
        Err(error) => {
            problems.push(
                Failure::new(
                    Exit::Usage,
                    "settings::environment",
                    format!("the {prefix}* variables cannot be read"),
                )
                .because(error),
            );
            return;
        }
    };
    for (name, value) in values {
        let spelled = spelling(environment, prefix, &name);
        let kebab = name.replace('_', "-");
        if is_input && RUNNERS_OWN.contains(&kebab.as_str()) {
            continue;
        }
        match table::find(&kebab) {
            Some(setting) if !value.is_empty() => {
                let source = if is_input {
                    Source::Input(spelled)
                } else {
                    Source::Variable(spelled)
                };
                inputs.offer(setting, Given { value, source });
            }
            Some(_) => {}
            None => problems.push(unknown("settings::unknown", &spelled, &kebab, |near| {
                if is_input {
                    format!("INPUT_{}", near.to_uppercase())
                } else {
                    format!("PKGS_{}", near.to_uppercase().replace('-', "_"))
                }
            })),
        }
    }
}

/// The variable's name as the environment spells it.
fn spelling(environment: &BTreeMap<String, String>, prefix: &str, lowered: &str) -> String {
    environment
        .keys()
        .find(|key| {
            key.strip_prefix(prefix)
                .is_some_and(|rest| rest.to_lowercase() == lowered)
        })
        .cloned()
        .unwrap_or_else(|| format!("{prefix}{lowered}"))
}

/// An unknown name, with the nearest right one.
pub fn unknown(
    code: &'static str,
    spelled: &str,
    kebab: &str,
    spell: impl Fn(&str) -> String,
) -> Failure {
    let failure = Failure::new(
        Exit::Usage,
        code,
        format!("{} is not a setting", quoted(spelled)),
    );
    match nearest(kebab, table::SETTINGS.iter().map(|setting| setting.name)) {
        Some(near) => failure.hint(format!("did you mean {}?", spell(near))),
        None => failure.hint("`pkgs-action <command> --help` lists the settings of a command"),
    }
}

/// The most similar of `names`, if one is similar enough to be meant.
///
/// ```
/// use pkgs_action::settings::inputs::nearest;
/// assert_eq!(nearest("wbe", ["api", "web"].into_iter()), Some("web"));
/// assert_eq!(nearest("enviroment", ["app", "environment"].into_iter()), Some("environment"));
/// assert_eq!(nearest("nope", ["sit", "prod"].into_iter()), None);
/// ```
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.75;
    // One slip of the finger in a short name leaves little that is alike.
    let slipped =
        |candidate: &str| candidate.len() > 2 && strsim::damerau_levenshtein(name, candidate) == 1;
    names
        .map(|candidate| {
            if slipped(candidate) {
                (1.0, candidate)
            } else {
                (strsim::jaro_winkler(name, candidate), candidate)
            }
        })
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

fn flag_failure(error: &clap::Error) -> Failure {
    use clap::error::{ContextKind, ContextValue};
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.strip_prefix("--"),
        _ => None,
    };
    let secret = flag
        .and_then(|flag| table::find(flag.split('=').next().unwrap_or(flag)))
        .filter(|setting| setting.kind == Kind::Secret);
    if let Some(secret) = secret {
        return Failure::new(
            Exit::Usage,
            "settings::secret_flag",
            format!("{} cannot be given as a flag", secret.name),
        )
        .because("everybody on the machine can read the arguments of a process")
        .hint(format!(
            "set the variable PKGS_{} or the input {}",
            secret.name.to_uppercase().replace('-', "_"),
            secret.name
        ));
    }
    let rendered = error.to_string();
    let mut lines = rendered
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let what = lines
        .next()
        .unwrap_or("the command line is not understood")
        .trim_start_matches("error: ")
        .to_owned();
    let failure = Failure::new(Exit::Usage, "settings::flags", what);
    let tip = lines.find_map(|line| line.strip_prefix("tip: ").map(str::to_owned));
    failure.hint(tip.unwrap_or_else(|| "`pkgs-action help` lists commands and flags".to_owned()))
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
/// use pkgs_action::settings::inputs::list;
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

/// Which groups of settings a command's `--help` shows and its flags accept.
pub fn groups_of(command: &str) -> &'static [Group] {
    use Group::{App, Environment, General, Git, Host, Npm, Release, Store};
    match command {
        "plan" => &[General, Release, Git, Npm, Store, App],
        "release" | "rehearse" => &[General, Release, Git, Npm, Store, App, Environment],
        "pull" => &[General, Store, Environment, Host],
        _ => &[General, Store, Environment],
    }
}
