//! The documents say what the code does: error codes and inputs.
//!
//! Reads `README.md` and `action.yml` at the root of the repository.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Deserialize;

use crate::support::servers::repository;
use crate::support::source::Source;

/// As much of `action.yml` as is checked.
#[derive(Deserialize)]
struct Action {
    inputs: BTreeMap<String, Input>,
    outputs: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Input {
    description: String,
}

#[derive(Deserialize)]
struct Output {
    description: String,
}

fn document(path: &str) -> String {
    std::fs::read_to_string(repository().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn action() -> Action {
    serde_saphyr::from_str(&document("action.yml"))
        .unwrap_or_else(|error| panic!("action.yml: {error}"))
}

/// What stands between backticks in the first cell of the rows of every table of a Markdown text.
fn first_cells(markdown: &str) -> BTreeSet<String> {
    let quoted = Regex::new(r"`([^`]+)`").expect("a pattern");
    markdown
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('|'))
        .filter_map(|row| row.split('|').next())
        .flat_map(|cell| {
            let names = quoted.captures_iter(cell).map(|found| found[1].to_owned());
            names.collect::<Vec<_>>()
        })
        .collect()
}

/// Every error code with the place where the code first stands.
fn codes_in_source() -> BTreeMap<String, String> {
    let code = Regex::new(r"^[a-z]+::[a-z_]+$").expect("a pattern");
    let mut codes = BTreeMap::new();
    for source in Source::all(repository(), "src") {
        for (position, text) in source.strings() {
            // Codes also travel through helpers, so every string of their form counts.
            if code.is_match(text) && !source.in_tests(position) {
                codes
                    .entry(text.to_owned())
                    .or_insert_with(|| source.place(position));
            }
        }
    }
    codes
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}\n", wrong.join("\n"));
}

#[test]
fn every_error_code_is_in_the_readme_and_none_is_there_that_cannot_happen() {
    let explained: BTreeSet<String> = first_cells(&document("README.md"))
        .into_iter()
        .filter(|name| name.contains("::"))
        .collect();
    let codes = codes_in_source();
    let unexplained: Vec<String> = codes
        .iter()
        .filter(|(code, _)| !explained.contains(*code))
        .map(|(code, place)| format!("{place}: {code}"))
        .collect();
    assert_none("error codes that README.md does not explain", &unexplained);
    let impossible: Vec<String> = explained
        .into_iter()
        .filter(|code| !codes.contains_key(code))
        .collect();
    assert_none(
        "error codes in README.md that src/ does not have",
        &impossible,
    );
}

#[test]
fn every_input_of_the_action_is_a_setting_in_the_readme() {
    let settings = first_cells(&document("README.md"));
    let unknown: Vec<String> = action()
        .inputs
        .into_keys()
        .filter(|input| !settings.contains(input))
        .collect();
    assert_none(
        "inputs of action.yml that no table of README.md has",
        &unknown,
    );
}

#[test]
fn every_output_of_the_action_is_in_the_readme() {
    let documented = first_cells(&document("README.md"));
    let unknown: Vec<String> = action()
        .outputs
        .into_keys()
        .filter(|output| !documented.contains(output))
        .collect();
    assert_none(
        "outputs of action.yml that no table of README.md has",
        &unknown,
    );
}

#[test]
fn every_input_and_output_of_the_action_is_described() {
    let Action { inputs, outputs } = action();
    let inputs = inputs
        .iter()
        .map(|(name, input)| (name, &input.description));
    let outputs = outputs
        .iter()
        .map(|(name, output)| (name, &output.description));
    let silent: Vec<String> = inputs
        .chain(outputs)
        .filter(|(_, description)| description.trim().is_empty())
        .map(|(name, _)| name.clone())
        .collect();
    assert_none(
        "inputs and outputs of action.yml without a description",
        &silent,
    );
}

#[test]
fn the_workflow_in_the_readme_uses_inputs_that_exist() {
    let step = Regex::new(r"(?ms)uses:\s*\S*pkgs-action@\S+\s*\n\s+with:\n(.*?)(?:^\s*-|^```|\z)")
        .expect("a pattern");
    let key = Regex::new(r"(?m)^\s+([a-z][a-z-]*):").expect("a pattern");
    let inputs = action().inputs;
    let readme = document("README.md");
    let unknown: Vec<String> = step
        .captures_iter(&readme)
        .flat_map(|found| {
            let block = found.get(1).expect("a match").as_str();
            key.captures_iter(block).map(|key| key[1].to_owned())
        })
        .filter(|name| !inputs.contains_key(name))
        .collect();
    assert_none(
        "inputs that a workflow in README.md uses and action.yml lacks",
        &unknown,
    );
}
