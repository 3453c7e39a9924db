//! What `--help` prints: the same text on every terminal, at most 80 columns wide.

use std::fmt::Write as _;

use crate::settings::command::{self, COMMANDS, Page};
use crate::settings::table::{self, Group, Kind, SETTINGS, Setting};

/// The most columns of a line.
const WIDTH: usize = 80;

/// The switch of its own that a command has, and what it means.
pub(super) fn switch(command: &str) -> Option<(&'static str, &'static str)> {
    match command {
        "pull" => Some(("once", "install what the environment names now, and end")),
        "pack" => Some(("planned", "install, build and pack at the planned versions")),
        _ => None,
    }
}

/// The help of the whole.
pub(super) fn of_all() -> String {
    let mut text = String::from(
        "Release Node packages and services; point environments at versions; roll back.\n\n\
         Usage: pkgs-action <command> [flags]\n       pkgs-action <command> --help\n",
    );
    let mut group = "";
    for page in COMMANDS {
        if page.group != group {
            group = page.group;
            let _ = writeln!(text, "\n{group}:");
        }
        let _ = writeln!(text, "  {:<9} {}", page.name, page.does);
    }
    text.push_str(
        "\nWithout a command: `release` where a release is due in a workflow, else `plan`.\n\n\
         Examples:\n  pkgs-action plan\n  pkgs-action rehearse\n  pkgs-action rollback --environment prod --dry-run\n\n\
         `pkgs-action --version` prints the version, `pkgs-action completions <shell>`
\
         completions for bash, zsh, fish, elvish or powershell.
",
    );
    text
}

/// The help of a command: what it does, its flags with the ones used most first, examples.
pub(super) fn of_command(page: &Page) -> String {
    let mut text = format!("{}\n", page.does);
    if !page.more.is_empty() {
        wrap(&mut text, page.more, 0);
    }
    text.push_str("\nUsage: ");
    wrap(
        &mut text,
        &format!("pkgs-action {} {}", page.name, page.usage),
        7,
    );
    for group in groups(page.name) {
        let mut rows: Vec<(String, String)> = SETTINGS
            .iter()
            .filter(|setting| {
                setting.group == group
                    && table::has_flag(setting)
                    && command::takes(page.name, setting)
            })
            .map(|setting| row(page.name, setting))
            .collect();
        let first = match page.name {
            "pull" => Group::Host,
            _ => Group::General,
        };
        if let Some((name, help)) = switch(page.name).filter(|_| group == first) {
            rows.insert(0, (format!("--{name}"), help.to_owned()));
        }
        if group == Group::General {
            rows.push(("-h, --help".to_owned(), "print this".to_owned()));
        }
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{}:", group.title());
            write_rows(&mut text, &rows);
        }
    }
    text.push_str("\nExamples:\n");
    for example in page.examples {
        let _ = writeln!(text, "  pkgs-action {example}");
    }
    text.push_str(
        "\nA flag with a value is also a variable (--dry-run: PKGS_DRY_RUN); which are\ninputs of the action, action.yml tells.\n",
    );
    text
}

/// The groups of flags, the ones that are used most first.
fn groups(command: &str) -> [Group; 8] {
    use Group::{App, Environment, General, Git, Host, Npm, Release, Store};
    match command {
        "plan" | "why" | "release" | "version" | "publish" | "rehearse" => {
            [Release, Npm, Store, Git, Environment, App, Host, General]
        }
        _ => [Environment, Host, Store, General, Release, Npm, App, Git],
    }
}

fn row(command: &str, setting: &Setting) -> (String, String) {
    let value = value_name(setting);
    let flag = match setting.kind {
        Kind::Boolean => format!("--{}", setting.name),
        _ => format!("--{} <{value}>", setting.name),
    };
    // A host has one app at a time, and nothing to override but its own failure.
    if command == "pull" && setting.name == "app" {
        return (
            format!("--{} <{value}>", setting.name),
            "the app".to_owned(),
        );
    }
    if command == "pull" && setting.name == "force" {
        return (
            format!("--{}", setting.name),
            "try again what failed here".to_owned(),
        );
    }
    let help = match setting.default {
        "not set" | "false" => setting.help.to_owned(),
        default => format!("{} [default: {default}]", setting.help),
    };
    (flag, help)
}

/// What stands for a setting's value.
pub(super) fn value_name(setting: &Setting) -> &'static str {
    match setting.kind {
        Kind::Boolean => "true|false",
        Kind::List => "list",
        Kind::Groups => "group",
        Kind::Map => "name=value",
        Kind::Objects => "json",
        Kind::Lines => "text",
        Kind::Text | Kind::Secret => "value",
    }
}

/// Writes two columns, the second one wrapped.
fn write_rows(text: &mut String, rows: &[(String, String)]) {
    let widest = rows
        .iter()
        .map(|(flag, _)| flag.len())
        .max()
        .unwrap_or_default();
    for (flag, help) in rows {
        let _ = write!(text, "  {flag:<widest$}  ");
        wrap(text, help, widest + 4);
    }
}

/// Writes words, breaking lines before [`WIDTH`]; the first line goes on where the text stands, the others begin at `indent`.
fn wrap(text: &mut String, words: &str, indent: usize) {
    let mut column = indent;
    for (index, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_fits_a_terminal_and_ends_with_examples_that_can_be_read() {
        for page in COMMANDS {
            let text = of_command(page);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(WIDTH), "{text}");
            for example in page.examples {
                let words = shell_words::split(example).expect("words");
                assert_eq!(words[0], page.name);
                assert!(super::super::read(&words).is_ok(), "{example}");
            }
        }
        assert!(
            of_all().lines().all(|line| line.chars().count() <= WIDTH),
            "{}",
            of_all()
        );
    }
}
