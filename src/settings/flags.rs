//! The command line: commands and flags, built from the tables of commands and settings.

mod help;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use clap_complete::Shell;

use crate::explain::{Exit, Failure, quoted};
use crate::settings::command::{self, COMMANDS, COMMANDS_TO_COME};
use crate::settings::given::{Given, Inputs, Source, nearest, not_there_yet};
use crate::settings::table::{self, Kind, SETTINGS, SETTINGS_TO_COME, Setting};
use crate::version::Version;

/// The shells that get completions.
const SHELLS: [(&str, Shell); 5] = [
    ("bash", Shell::Bash),
    ("zsh", Shell::Zsh),
    ("fish", Shell::Fish),
    ("elvish", Shell::Elvish),
    ("powershell", Shell::PowerShell),
];

/// What a command line asks for.
#[derive(Debug)]
pub enum Line {
    /// Run.
    Run {
        /// The command's name, if one was given.
        command: Option<String>,
        /// The values.
        inputs: Inputs,
        /// What stands behind the command besides values.
        own: Own,
    },
    /// Print this text on stdout and exit 0: help, version, completions.
    Print(String),
}

/// What a single command is told, and no setting says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Whether `--once` was given.
    pub once: bool,
    /// Whether `--planned` was given.
    pub planned: bool,
    /// The package that was named behind the command.
    pub package: Option<String>,
}

/// Reads a command line, without the program's name. Flags without a command are those of a release, which the rules for such a run may choose.
///
/// # Errors
/// Exit 2: `settings::flags` for what is no command or flag, `settings::secret_flag` for a credential, `settings::not_there_yet` for what will come.
pub fn read(words: &[String]) -> Result<Line, Failure> {
    const OWN: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let is_nameless = words
        .first()
        .is_some_and(|word| word.starts_with('-') && !OWN.contains(&word.as_str()));
    let named = is_nameless.then(|| "release".to_owned());
    let words: Vec<String> = named.into_iter().chain(words.iter().cloned()).collect();
    let begun = std::iter::once("pkgs-action".to_owned());
    let matches = match command_line().try_get_matches_from(begun.chain(words.iter().cloned())) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Line::Print(error.to_string())),
        Err(error) => return Err(failure(&error, words.first(), is_nameless)),
    };
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(Line::Run {
            command: None,
            inputs: Inputs::default(),
            own: Own::default(),
        });
    };
    match name {
        "help" => return help(matches.get_one::<String>("topic").map(String::as_str)),
        "completions" => return completions(matches.get_one::<String>("shell")),
        _ => {}
    }
    let is_given = |switch: &str| {
        let given = matches.try_get_one::<bool>(switch).ok().flatten();
        given.copied().unwrap_or_default()
    };
    let package = matches.try_get_one::<String>("package").ok().flatten();
    Ok(Line::Run {
        command: (!is_nameless).then(|| name.to_owned()),
        inputs: inputs(matches),
        own: Own {
            once: is_given("once"),
            planned: is_given("planned"),
            package: package.cloned(),
        },
    })
}

/// What the flags say.
fn inputs(matches: &ArgMatches) -> Inputs {
    let mut inputs = Inputs::default();
    for setting in SETTINGS.iter().filter(|setting| table::has_flag(setting)) {
        if let Some(value) = value(matches, setting).filter(|value| !value.is_empty()) {
            let source = Source::Flag;
            inputs.offer(setting, Given { value, source });
        }
    }
    inputs
}

/// What the flag of a setting says; the values of a list, one per line.
fn value(matches: &ArgMatches, setting: &Setting) -> Option<String> {
    match setting.kind {
        Kind::List | Kind::Groups | Kind::Map => {
            let values = matches.try_get_many::<String>(setting.name).ok()??;
            Some(values.cloned().collect::<Vec<_>>().join("\n"))
        }
        _ => matches.try_get_one::<String>(setting.name).ok()?.cloned(),
    }
}

/// The whole command line.
fn command_line() -> Command {
    let commands = COMMANDS.iter().map(|page| {
        let flags = SETTINGS
            .iter()
            .filter(|setting| table::has_flag(setting) && command::takes(page.name, setting))
            .map(flag);
        let switch = help::switch(page.name).map(|(name, help)| {
            Arg::new(name)
                .long(name)
                .action(ArgAction::SetTrue)
                .help(help)
        });
        let package = (page.name == "why").then(|| Arg::new("package").value_name("package"));
        Command::new(page.name)
            .about(page.does)
            .override_help(help::of_command(page))
            .args(flags)
            .args(switch)
            .args(package)
    });
    Command::new("pkgs-action")
        .version(env!("CARGO_PKG_VERSION"))
        .override_help(help::of_all())
        .disable_help_subcommand(true)
        .subcommands(commands)
        .subcommand(
            Command::new("completions")
                .hide(true)
                .arg(Arg::new("shell")),
        )
        .subcommand(Command::new("help").hide(true).arg(Arg::new("topic")))
}

fn flag(setting: &'static Setting) -> Arg {
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .help(setting.help)
        .value_name(help::value_name(setting));
    match setting.kind {
        Kind::Boolean => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Kind::List | Kind::Groups | Kind::Map => argument.action(ArgAction::Append),
        Kind::Text | Kind::Lines | Kind::Objects | Kind::Secret => argument,
    }
}

/// The help of the whole, or of the command that `topic` names.
fn help(topic: Option<&str>) -> Result<Line, Failure> {
    let page = match topic {
        None | Some("help") => return Ok(Line::Print(help::of_all())),
        Some(topic) => command::find(topic).ok_or_else(|| no_command(topic))?,
    };
    Ok(Line::Print(help::of_command(page)))
}

/// Completions for a shell.
fn completions(shell: Option<&String>) -> Result<Line, Failure> {
    let names = SHELLS.map(|(name, _)| name).join(", ");
    let refuse = |what: String| {
        Failure::new(Exit::Usage, "settings::flags", what).hint(format!("name one of {names}"))
    };
    let name = shell.ok_or_else(|| refuse("`completions` needs the name of a shell".to_owned()))?;
    let (_, shell) = SHELLS
        .into_iter()
        .find(|(known, _)| known == name)
        .ok_or_else(|| refuse(format!("there are no completions for {}", quoted(name))))?;
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "pkgs-action", &mut bytes);
    Ok(Line::Print(String::from_utf8_lossy(&bytes).into_owned()))
}

/// What clap refused, in our words. `command` is the first word.
fn failure(error: &clap::Error, command: Option<&String>, is_nameless: bool) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let command = command.map_or("release", String::as_str);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            no_command(text(ContextKind::InvalidSubcommand).unwrap_or(command))
        }
        ErrorKind::UnknownArgument => {
            let argument = text(ContextKind::InvalidArg).unwrap_or_default();
            no_argument(argument, command, is_nameless)
        }
        _ => {
            let rendered = error.to_string();
            let first = rendered.lines().next().unwrap_or_default();
            let what = first.trim_start_matches("error: ");
            Failure::new(Exit::Usage, "settings::flags", what)
                .hint(lists_flags(command, is_nameless))
        }
    }
}

fn lists_flags(command: &str, is_nameless: bool) -> String {
    if is_nameless {
        "`pkgs-action --help` lists the commands".to_owned()
    } else {
        format!("`pkgs-action {command} --help` lists its flags")
    }
}

/// That there is no command of this name.
fn no_command(name: &str) -> Failure {
    if let Some((name, today)) = COMMANDS_TO_COME.iter().find(|(known, _)| *known == name) {
        return not_there_yet(&format!("the command `{name}`")).hint(format!("today: {today}"));
    }
    let what = format!("{} is not a command", quoted(name));
    let failure = Failure::new(Exit::Usage, "settings::flags", what);
    match nearest(name, COMMANDS.iter().map(|page| page.name)) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint("`pkgs-action --help` lists the commands"),
    }
}

/// That a command does not take an argument.
fn no_argument(argument: &str, command: &str, is_nameless: bool) -> Failure {
    let lists = lists_flags(command, is_nameless);
    let whose = if is_nameless {
        "a run without a command".to_owned()
    } else {
        format!("`{command}`")
    };
    let refuse = |what: String| Failure::new(Exit::Usage, "settings::flags", what);
    let Some(flag) = argument.strip_prefix("--") else {
        if is_nameless && command::find(argument).is_some() {
            return refuse(format!("the command {argument} stands behind a flag"))
                .hint(format!("write it first: `pkgs-action {argument} …`"));
        }
        let failure = refuse(format!("{whose} takes no argument {}", quoted(argument)));
        let names_version = Version::parse(argument).is_ok();
        if names_version && table::find("to").is_some_and(|to| command::takes(command, to)) {
            return failure.hint(format!("did you mean --to {argument}?"));
        }
        return failure.hint(match argument {
            "true" | "false" => format!("a switch has its value behind `=`: --dry-run={argument}"),
            _ => lists,
        });
    };
    let flag = flag.split('=').next().unwrap_or(flag);
    match table::find(flag) {
        Some(setting) if setting.kind == Kind::Secret => secret_flag(setting),
        Some(setting) if table::has_flag(setting) => {
            refuse(format!("{whose} does not take --{flag}")).hint(lists)
        }
        _ if SETTINGS_TO_COME.contains(&flag) => {
            not_there_yet(&format!("--{flag}")).hint("leave it out for now")
        }
        _ => {
            let own = SETTINGS
                .iter()
                .filter(|setting| table::has_flag(setting) && command::takes(command, setting))
                .map(|setting| setting.name)
                .chain(["help", "version"]);
            let hint = nearest(flag, own).map_or(lists, |near| format!("did you mean --{near}?"));
            refuse(format!("{whose} has no flag {}", quoted(argument))).hint(hint)
        }
    }
}

fn secret_flag(setting: &Setting) -> Failure {
    Failure::new(
        Exit::Usage,
        "settings::secret_flag",
        format!("{} cannot be given as a flag", setting.name),
    )
    .because("everybody on the machine can read the arguments of a process")
    .hint(format!(
        "set the variable {} or the input {}",
        table::variable(setting.name),
        setting.name
    ))
}
