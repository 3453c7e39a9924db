//! The command line: commands and flags, built from the table of settings.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};

use crate::settings::inputs::groups_of;
use crate::settings::table::{self, Kind, SETTINGS};

/// The commands, in the order in which people meet them: group, name, what it does.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "Release",
        "plan",
        "Show what a release would do and why; writes nothing, needs no credential",
    ),
    (
        "Release",
        "release",
        "Go the whole way: build, seal, commit and tag, publish, record, point",
    ),
    (
        "Release",
        "rehearse",
        "Do a whole release and a rollback of this repository against local stand-ins, in a temporary directory",
    ),
    (
        "Environments",
        "promote",
        "Point an environment at a version: --environment pre --to 1.4.2, or --from sit; refused while held, without --force",
    ),
    (
        "Environments",
        "rollback",
        "Point an environment at its last good version, mark the one left bad, hold the environment",
    ),
    (
        "Environments",
        "hold",
        "Hold an environment: releases leave it as it is, promote needs --force, rollback still works",
    ),
    (
        "Environments",
        "unhold",
        "Lift the hold: releases and promote change the environment again; activates nothing itself",
    ),
    (
        "Environments",
        "mark-bad",
        "Judge a version: no rollback goes there, no automation activates it",
    ),
    ("Environments", "pin", "Keep a version whatever its age"),
    ("Environments", "unpin", "Stop keeping a version"),
    (
        "Environments",
        "status",
        "Show what runs where, since when, by whom, and what a rollback would do",
    ),
    (
        "Environments",
        "pull",
        "On a host: fetch, verify, unpack, stop, switch, start, check, go back by itself",
    ),
];

/// The whole command line.
pub fn command_line() -> Command {
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
pub fn completions(shell: &str) -> String {
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
