//! The walls of the house: `src/lib.rs` names the rooms in order, and a room may use only the rooms above it.
//!
//! This reads source as text. It cannot see everything a compiler sees, but what it finds it finds with a line number.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::LazyLock;

use regex::Regex;

use crate::support::servers::repository;
use crate::support::source::Source;

/// No disk, network, environment, clock, randomness, terminal, or `async`.
const PURE: [&str; 11] = [
    "explain",
    "secret",
    "name",
    "version",
    "settings",
    "workspace",
    "changes",
    "release",
    "environment",
    "plan",
    "report",
];

/// The edges carry out; they never know what for.
const EDGES: [&str; 2] = ["local", "remote"];

/// What the edges never use, wherever it stands in the order.
const ABOVE_THE_EDGES: [&str; 4] = ["plan", "apply", "report", "commands"];

/// What a pure room may not say outside its tests, each as a pattern over code without comments and strings.
const IMPURE: [&str; 11] = [
    r"\bstd\s*::\s*(fs|env|net|process|thread|os)\b",
    r"\bstd\s*::\s*io\s*::\s*(stdin|stdout|stderr)\b",
    r"\bstd\s*::\s*\{[^;]*\b(fs|env|net|process|thread|os)\b[^;]*\}\s*;",
    r"\b(SystemTime|Instant)\b",
    r"\b(tokio|git2|reqwest|octocrab|walkdir|tempfile|rustix|indicatif|tracing_subscriber)\b",
    r"\baws_\w+",
    r"\basync\s+(fn|move)\b|\basync\s*\{|\.await\b|\basync_trait\b",
    r"\be?print(ln)?!",
    r"\.(canonicalize|read_dir|symlink_metadata|try_exists)\(",
    r"\b(now_utc|now_local)\(",
    r"\b(rand|getrandom|fastrand|RandomState)\b|\bUlid\s*::\s*(new|generate)\b",
];

static CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[a-z]+::[a-z_]+$").expect("a pattern"));

/// `crate::`, or the chain of `super::` that leads there, and what follows it.
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(crate|super(?:\s*::\s*super)*)\s*::\s*([\w{])").expect("a pattern")
});

/// The rooms in the order of `src/lib.rs`.
fn rooms() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("src/lib.rs")).expect("src/lib.rs");
    let source = Source::new("src/lib.rs", &text);
    let declaration =
        Regex::new(r"(?m)^\s*(?:pub(?:\([a-z]+\))?\s+)?mod\s+(\w+)\s*;").expect("a pattern");
    declaration
        .captures_iter(&source.bare)
        .map(|found| found[1].to_owned())
        .collect()
}

/// The room that a file belongs to; `None` for `lib.rs` and `main.rs`, which stand outside.
fn room_of(path: &Path) -> Option<String> {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let room = parts.nth(1)?.trim_end_matches(".rs").to_owned();
    (room != "lib" && room != "main").then_some(room)
}

/// How many modules deep a file is: `src/plan/mod.rs` and `src/name.rs` are 1, `src/plan/edits.rs` is 2.
fn depth_of(path: &Path) -> usize {
    let inside = path.components().count() - 1;
    if path.ends_with("mod.rs") {
        inside - 1
    } else {
        inside
    }
}

/// Every use of a room in a file: where, and which. Also those inside `use crate::{…}` and by way of `super`.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let mut uses = Vec::new();
    for found in PATH.captures_iter(&source.bare) {
        let (whole, start, next) = (
            found.get(0).expect("a match"),
            &found[1],
            found.get(2).expect("a match"),
        );
        let supers = start.matches("super").count();
        let inner_module = usize::from(source.in_inner_tests(whole.start()));
        let reaches_the_root = supers == 0 || supers == depth_of(&source.path) + inner_module;
        if !reaches_the_root {
            continue;
        }
        if next.as_str() == "{" {
            uses.extend(first_names(&source.bare, next.end()));
        } else {
            uses.push((next.start(), word(&source.bare[next.start()..]).to_owned()));
        }
    }
    uses
}

/// The first name of each path in the braces whose content begins at `start`.
fn first_names(text: &str, start: usize) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let (mut depth, mut expected) = (0, true);
    for (offset, character) in text[start..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            _ if expected && (character.is_alphanumeric() || character == '_') => {
                let at = start + offset;
                names.push((at, word(&text[at..]).to_owned()));
                expected = false;
            }
            _ => {}
        }
    }
    names
}

/// The identifier at the start.
fn word(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// What uses what it may not.
fn upward_uses(rooms: &[String], sources: &[Source]) -> Vec<String> {
    let order: BTreeMap<&str, usize> = rooms
        .iter()
        .enumerate()
        .map(|(number, room)| (room.as_str(), number))
        .collect();
    let mut wrong = Vec::new();
    for source in sources {
        let Some(room) = room_of(&source.path) else {
            continue;
        };
        let Some(own) = order.get(room.as_str()) else {
            wrong.push(format!(
                "{}: the room `{room}` is not in src/lib.rs",
                source.path.display()
            ));
            continue;
        };
        for (position, used) in uses(source) {
            let place = source.place(position);
            let edge = EDGES.contains(&room.as_str());
            match order.get(used.as_str()) {
                Some(other) if other > own => wrong.push(format!(
                    "{place}: `{room}` uses `{used}`, which stands below it in src/lib.rs"
                )),
                Some(_) if edge && ABOVE_THE_EDGES.contains(&used.as_str()) => wrong.push(
                    format!("{place}: the edge `{room}` uses `{used}`; edges carry out and do not know what for"),
                ),
                _ => {}
            }
        }
    }
    wrong
}

/// What a pure room says that it may not.
fn impurities(sources: &[Source]) -> Vec<String> {
    let patterns = IMPURE.map(|pattern| Regex::new(pattern).expect("a pattern"));
    let mut wrong = Vec::new();
    for source in sources {
        let Some(room) = room_of(&source.path).filter(|room| PURE.contains(&room.as_str())) else {
            continue;
        };
        for found in patterns
            .iter()
            .flat_map(|pattern| pattern.find_iter(&source.bare))
        {
            if !source.in_tests(found.start()) {
                let place = source.place(found.start());
                let said = found.as_str().replace('\n', " ");
                wrong.push(format!("{place}: `{said}` in the pure room `{room}`"));
            }
        }
    }
    wrong
}

/// Keys of the store that are spelled elsewhere than in the layout.
fn spelled_keys(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        if source.path == Path::new("src/release/layout.rs") {
            continue;
        }
        for (position, text) in source.strings() {
            if text.starts_with("v1/") && !source.in_tests(position) {
                let place = source.place(position);
                wrong.push(format!(
                    "{place}: the key {text:?} is spelled here; keys come from src/release/layout.rs"
                ));
            }
        }
    }
    wrong
}

/// The codes of failures that are not `room::name`.
fn odd_codes(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        for (at, call) in source.bare.match_indices("Failure::new(") {
            let arguments = at + call.len();
            let Some(code) = second_string(source, arguments) else {
                continue;
            };
            if !CODE.is_match(code) && !source.in_tests(at) {
                let place = source.place(at);
                wrong.push(format!(
                    "{place}: the code {code:?} is not like `room::name`"
                ));
            }
        }
    }
    wrong
}

/// The second argument of a call whose arguments begin at `start`, if it is a string literal.
fn second_string(source: &Source, start: usize) -> Option<&str> {
    let mut depth = 0_usize;
    for (offset, character) in source.bare[start..].char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => return None,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                let rest = &source.bare[start + offset + 1..];
                let quote = start + offset + 1 + rest.find(|next: char| !next.is_whitespace())?;
                return source
                    .strings()
                    .into_iter()
                    .find(|(position, _)| *position == quote + 1)
                    .map(|(_, text)| text);
            }
            _ => {}
        }
    }
    None
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    let rooms = rooms();
    for room in PURE.iter().chain(&EDGES).chain(&ABOVE_THE_EDGES) {
        assert!(
            rooms.iter().any(|named| named == room),
            "src/lib.rs has no room `{room}`"
        );
    }
    assert_none(&upward_uses(&rooms, &Source::all(repository(), "src")));
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    assert_none(&impurities(&Source::all(repository(), "src")));
}

#[test]
fn keys_are_spelled_in_the_layout_alone() {
    assert_none(&spelled_keys(&Source::all(repository(), "src")));
}

#[test]
fn every_failure_has_a_code_of_the_promised_form() {
    assert_none(&odd_codes(&Source::all(repository(), "src")));
}

#[test]
fn the_public_registry_is_named_in_the_settings_alone() {
    // In two parts, or this would be a second place.
    let host = ["registry.npmjs", "org"].join(".");
    let mut named = Vec::new();
    let files = walkdir::WalkDir::new(repository())
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| {
            let name = entry.file_name().to_str().unwrap_or_default();
            !matches!(name, "target" | ".cache" | ".git" | "node_modules" | "dist")
        });
    for entry in files.flatten().filter(|entry| entry.file_type().is_file()) {
        let path = entry
            .path()
            .strip_prefix(repository())
            .expect("below the root");
        let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
        let source = Source::new(path, "");
        for (position, _) in text.match_indices(&host) {
            let line = 1 + text[..position].matches('\n').count();
            named.push((source.path.clone(), line));
        }
    }
    let elsewhere: Vec<String> = named
        .iter()
        .filter(|(path, _)| path != Path::new("src/settings/mod.rs"))
        .map(|(path, line)| format!("{}:{line}: names the public registry", path.display()))
        .collect();
    assert_none(&elsewhere);
    assert!(named.len() <= 1, "named more than once: {named:?}");
}

/// The checks themselves, on source that breaks each rule.
mod the_checks {
    use super::*;

    fn rooms_of_the_example() -> Vec<String> {
        ["name", "local", "plan", "apply"]
            .map(str::to_owned)
            .to_vec()
    }

    fn check(path: &str, text: &str, expected: &[&str]) {
        let found = upward_uses(&rooms_of_the_example(), &[Source::new(path, text)]);
        let used: Vec<&str> = found
            .iter()
            .map(|line| line.split('`').nth(3).unwrap_or_default())
            .collect();
        assert_eq!(used, expected, "{path}: {text}\n{found:?}");
    }

    #[test]
    fn a_use_is_seen_in_every_spelling() {
        check("src/plan/mod.rs", "use crate::apply::x;", &["apply"]);
        check(
            "src/plan/mod.rs",
            "fn a() { crate::apply::x() }",
            &["apply"],
        );
        check(
            "src/plan/mod.rs",
            "use crate::{\n name::{A, B},\n apply,\n};",
            &["apply"],
        );
        check("src/plan/mod.rs", "use super::apply;", &["apply"]);
        check(
            "src/plan/edits.rs",
            "use super::super::apply::x;",
            &["apply"],
        );
        check("src/plan.rs", "use super::{name, apply::x};", &["apply"]);
    }

    #[test]
    fn what_is_no_use_is_left_alone() {
        check("src/plan/mod.rs", "use crate::{name::apply, local};", &[]);
        check("src/plan/edits.rs", "use super::apply;", &[]);
        check(
            "src/plan/mod.rs",
            "//! See [`crate::apply`].\nconst A: &str = \"crate::apply\";",
            &[],
        );
        check(
            "src/plan/mod.rs",
            "#[cfg(test)]\nmod tests { use super::apply; }",
            &[],
        );
        check("src/main.rs", "use crate::apply;", &[]);
    }

    #[test]
    fn an_edge_never_knows_what_for() {
        let rooms = ["plan", "local"].map(str::to_owned);
        let source = Source::new("src/local/git.rs", "use crate::plan::Plan;");
        let found = upward_uses(&rooms, &[source]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("src/local/git.rs:1: the edge `local` uses `plan`"));
    }

    #[test]
    fn impure_words_are_found_outside_tests_only() {
        for text in [
            "use std::fs;",
            "use std::{collections::BTreeMap, env};",
            "fn a() { std::time::Instant::now(); }",
            "async fn a() {}",
            "fn a() { println!(); }",
            "use aws_sdk_s3::Client;",
            "fn a() { std::process::exit(1) }",
        ] {
            let found = impurities(&[Source::new("src/plan/mod.rs", text)]);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(
                impurities(&[Source::new("src/local/mod.rs", text)]),
                [] as [String; 0]
            );
            let in_tests = format!("#[cfg(test)]\nmod tests {{ {text} }}");
            let source = Source::new("src/plan/mod.rs", &in_tests);
            assert_eq!(impurities(&[source]), [] as [String; 0], "{in_tests}");
        }
        let harmless = "use std::{fmt, collections::BTreeMap};\nstruct Instants; // std::fs\n";
        assert_eq!(
            impurities(&[Source::new("src/plan/mod.rs", harmless)]),
            [] as [String; 0]
        );
    }

    #[test]
    fn keys_and_codes_are_read_out_of_strings() {
        let text =
            "fn a() { format!(\"v1/x/{a}\"); Failure::new(Exit::of(1, 2), \"Room::Code\", b) }";
        let sources = [Source::new("src/plan/mod.rs", text)];
        assert_eq!(spelled_keys(&sources).len(), 1);
        assert_eq!(odd_codes(&sources).len(), 1);
        let text = "fn a() { \"/v1/x\"; Failure::new(exit, code, b); Failure::new(\nE,\n \"room::a_code\",\n b) }";
        let sources = [Source::new("src/plan/mod.rs", text)];
        assert_eq!(spelled_keys(&sources), [] as [String; 0]);
        assert_eq!(odd_codes(&sources), [] as [String; 0]);
    }
}
