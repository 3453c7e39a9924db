//! What the command line and the environment say, before anything is resolved.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure};
use crate::settings::flags::{self, Line, Own};
use crate::settings::given::{Given, Inputs, Source, unknown};
use crate::settings::table;

/// What the command line and the environment say.
#[derive(Debug)]
pub struct Collected {
    /// The command's name, if one was given.
    pub command: Option<String>,
    /// The values.
    pub inputs: Inputs,
    /// What stands behind the command besides values.
    pub own: Own,
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
    let (command, mut inputs, own) = match flags::read(&words)? {
        Line::Print(text) => return Ok(Asked::Print(text)),
        Line::Run {
            command,
            inputs,
            own,
        } => (command, inputs, own),
    };
    inputs.fill(from_environment);
    Ok(Asked::Run(Box::new(Collected {
        command,
        inputs,
        own,
        problems,
    })))
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
            None => problems.push(unknown(
                "settings::unknown",
                &spelled,
                &kebab,
                |near| {
                    if is_input {
                        format!("INPUT_{}", near.to_uppercase())
                    } else {
                        table::variable(near)
                    }
                },
                |_| true,
            )),
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
