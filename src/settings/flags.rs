//! The command line: commands and flags, built from the table of settings.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::explain::{Exit, Failure};
use crate::settings::command::COMMANDS;
use crate::settings::given::{Given, Inputs, Source};
use crate::settings::table::{self, Group, Kind, SETTINGS, Setting};

/// What a command line asks for.
#[derive(Debug)]
pub enum Line {
    /// Run.
    Run {
        /// The command's name, if one was given.
        command: Option<String>,
        /// The values.
        inputs: Inputs,
        /// Whether `--once` was given.
        once: bool,
    },
    /// Print this text on stdout and exit 0: help, version, completions.
    Print(String),
}

/// Reads a command line, without the program's name.
///
/// # Errors
/// `settings::flags`, exit 2, for what is no command or flag; `settings::secret_flag` for a credential.
pub fn read(words: Vec<String>) -> Result<Line, Failure> {
    let matches = match command_line()
        .try_get_matches_from(std::iter::once("pkgs-action".to_owned()).chain(words))
    {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Line::Print(error.to_string())),
        Err(error) => return Err(failure(&error)),
    };
    let mut inputs = Inputs::default();
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(Line::Run {
            command: None,
            inputs,
            once: false,
        });
    };
    match name {
        "help" => return help(matches.get_many::<String>("topic").into_iter().flatten()),
        "completions" => {
            let shell = matches.get_one::<String>("shell");
            return Ok(Line::Print(completions(
                shell.map_or("bash", String::as_str),
            )));
        }
        _ => {}
    }
    for setting in SETTINGS.iter().filter(|setting| table::has_flag(setting)) {
        if let Some(value) = value(matches, setting).filter(|value| !value.is_empty()) {
            inputs.offer(
                setting,
                Given {
                    value,
                    source: Source::Flag,
                },
            );
        }
    }
    let once = matches.try_get_one::<bool>("once").ok().flatten();
    Ok(Line::Run {
        command: Some(name.to_owned()),
        inputs,
        once: once.copied().unwrap_or_default(),
    })
}

/// What the flag of a setting says; the values of a list, one per line.
fn value(matches: &ArgMatches, setting: &Setting) -> Option<String> {
    match setting.kind {
        Kind::List => {
            let values = matches.try_get_many::<String>(setting.name).ok()??;
            Some(values.cloned().collect::<Vec<_>>().join("\n"))
        }
        _ => matches.try_get_one::<String>(setting.name).ok()?.cloned(),
    }
}

/// The help of the whole, or of the command that `topic` names.
fn help<'a>(topic: impl Iterator<Item = &'a String>) -> Result<Line, Failure> {
    let words = std::iter::once("pkgs-action")
        .chain(topic.map(String::as_str))
        .chain(["--help"]);
    match command_line().try_get_matches_from(words) {
        Err(error) if error.use_stderr() => Err(failure(&error)),
        Err(error) => Ok(Line::Print(error.to_string())),
        Ok(_) => unreachable!("--help always prints"),
    }
}

/// The whole command line.
fn command_line() -> Command {
    let mut commands = Command::new("pkgs-action")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Release Node packages and services: detect, version, publish, pack, point, roll back.",
        )
        .after_help(after_help())
        .help_template("{about}\n\n{usage-heading} {usage}\n\n{options}{after-help}")
        .disable_help_subcommand(true)
        .override_usage("pkgs-action <command> [flags]\n       pkgs-action <command> --help");
    for (_, name, about) in COMMANDS {
        commands = commands.subcommand(subcommand(name, about));
    }
    commands
        .subcommand(
            Command::new("completions")
                .about("Print completions for a shell")
                .hide(true)
                .arg(
                    Arg::new("shell")
                        .required(true)
                        .value_parser(PossibleValuesParser::new([
                            "bash",
                            "zsh",
                            "fish",
                            "elvish",
                            "powershell",
                        ])),
                ),
        )
        .subcommand(
            Command::new("help")
                .hide(true)
                .arg(Arg::new("topic").num_args(0..)),
        )
}

fn subcommand(name: &'static str, about: &'static str) -> Command {
    let mut command = Command::new(name).about(about).override_usage(format!("pkgs-action {name} [flags]")).after_help("Every flag is also a variable: --dry-run is PKGS_DRY_RUN, and the input dry-run of the action.");
    for setting in SETTINGS
        .iter()
        .filter(|setting| table::has_flag(setting) && groups_of(name).contains(&setting.group))
    {
        let help = format!("{} [default: {}]", setting.help, setting.default);
        let argument = Arg::new(setting.name)
            .long(setting.name)
            .help(help)
            .help_heading(setting.group.title());
        command = command.arg(match setting.kind {
            Kind::Boolean => argument
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("true|false"),
            Kind::List => argument.action(ArgAction::Append).value_name("LIST"),
            Kind::Text | Kind::Secret => argument.value_name("VALUE"),
        });
    }
    if name == "pull" {
        command = command.arg(
            Arg::new("once")
                .long("once")
                .action(ArgAction::SetTrue)
                .help("Install what the pointer names now, and end")
                .help_heading("Hosts"),
        );
    }
    command
}

fn after_help() -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut group = "";
    for (of, name, about) in COMMANDS {
        if *of != group {
            group = of;
            let _ = writeln!(text, "{}{group}:", if text.is_empty() { "" } else { "\n" });
        }
        let _ = writeln!(text, "  {name:<10} {about}");
    }
    text.push_str("\nWithout a command: `release` where a release is due in a workflow, else `plan`.\n`pkgs-action <command> --help` explains the flags of a command; `pkgs-action completions <shell>` prints completions.");
    text
}

/// Completions for a shell, as text; an unknown shell gets bash's.
fn completions(shell: &str) -> String {
    use clap_complete::Shell;
    let shell = match shell {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        "elvish" => Shell::Elvish,
        "powershell" => Shell::PowerShell,
        _ => Shell::Bash,
    };
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "pkgs-action", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What clap refused, in our words.
fn failure(error: &clap::Error) -> Failure {
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

/// Which groups of settings a command's `--help` shows and its flags accept.
fn groups_of(command: &str) -> &'static [Group] {
    use Group::{App, Environment, General, Git, Host, Npm, Release, Store};
    match command {
        "plan" => &[General, Release, Git, Npm, Store, App],
        "release" | "rehearse" => &[General, Release, Git, Npm, Store, App, Environment],
        "pull" => &[General, Store, Environment, Host],
        _ => &[General, Store, Environment],
    }
}
