//! The documents say what the code does: settings, inputs, outputs, commands, error codes, workflows, and the example in the README.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use pkgs_action::settings::command::{COMMANDS, COMMANDS_TO_COME};
use pkgs_action::settings::table::{self, Kind, Reach, SETTINGS, SETTINGS_TO_COME, Setting};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Sandbox;
use crate::support::servers::{free_port, repository};
use crate::support::source::Source;
use crate::support::static_server::StaticServer;

/// As much of `action.yml` as is checked.
#[derive(Deserialize)]
struct Action {
    inputs: BTreeMap<String, Input>,
    outputs: BTreeMap<String, Output>,
    runs: Value,
}

#[derive(Deserialize)]
struct Input {
    description: String,
    #[serde(default)]
    required: Option<bool>,
    #[serde(default)]
    default: Option<String>,
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

/// The README and the pages it leads to.
const PAGES: [&str; 6] = [
    "README.md",
    "docs/settings.md",
    "docs/errors.md",
    "docs/hosts.md",
    "docs/inside.md",
    "docs/coming-from.md",
];

/// The text of all pages.
fn pages() -> String {
    PAGES.map(document).join("\n")
}

/// The text of the section under `## <title>`, on whichever page it stands.
fn section(title: &str) -> String {
    let pages = pages();
    let start = pages
        .find(&format!("\n## {title}\n"))
        .unwrap_or_else(|| panic!("no page has a section {title:?}"));
    let text = &pages[start + 1..];
    let end = text[1..]
        .find("\n## ")
        .into_iter()
        .chain(text.find("\n\n# "))
        .min()
        .map_or(text.len(), |end| end + 1);
    text[..end].to_owned()
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^):]+)\)").expect("a pattern");
    let mut wrong = Vec::new();
    for page in PAGES {
        let directory = repository()
            .join(page)
            .parent()
            .expect("a directory")
            .to_owned();
        for found in link.captures_iter(&document(page)) {
            let (path, anchor) = found[1].split_once('#').unwrap_or((&found[1], ""));
            let target = if path.is_empty() {
                repository().join(page)
            } else {
                directory.join(path)
            };
            let text = std::fs::read_to_string(&target).unwrap_or_default();
            let mut anchors = text
                .lines()
                .filter_map(|line| line.strip_prefix('#'))
                .map(|line| {
                    let words = line.trim_start_matches('#').trim().to_lowercase();
                    words
                        .replace(
                            |letter: char| !letter.is_alphanumeric() && letter != ' ',
                            "",
                        )
                        .replace(' ', "-")
                });
            if text.is_empty() || !anchor.is_empty() && !anchors.any(|known| known == anchor) {
                wrong.push(format!("{page}: {}", &found[1]));
            }
        }
    }
    assert_none("links that lead nowhere", &wrong);
}

/// The fenced blocks of a Markdown text: language and content, without the indentation of the fence.
fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut fence: Option<usize> = None;
    for line in markdown.lines() {
        let indent = line.len() - line.trim_start().len();
        match (fence, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                blocks.push((language.to_owned(), String::new()));
                fence = Some(indent);
            }
            (Some(_), Some(_)) => fence = None,
            (Some(indent), None) => {
                let (_, content) = blocks.last_mut().expect("an open block");
                content.push_str(line.get(indent..).unwrap_or_default());
                content.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(fence.is_none(), "a block is never closed");
    blocks
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

/// The files that are compiled for tests only: `#[cfg(test)] mod <name>;` stands in their parent.
fn test_files(sources: &[Source]) -> BTreeSet<PathBuf> {
    let declared =
        Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\([a-z]+\))?\s+)?mod (\w+);").expect("a pattern");
    let mut files = BTreeSet::new();
    for source in sources {
        let parent = match source.path.file_stem() {
            Some(stem) if stem == "mod" || stem == "lib" => source.path.with_file_name(""),
            _ => source.path.with_extension(""),
        };
        for found in declared.captures_iter(&source.code) {
            files.insert(parent.join(format!("{}.rs", &found[1])));
        }
    }
    files
}

/// Every error code with the place where the code first stands.
fn codes_in_source() -> BTreeMap<String, String> {
    let code = Regex::new(r"^[a-z]+::[a-z_]+$").expect("a pattern");
    let mut codes = BTreeMap::new();
    let sources = Source::all(repository(), "src");
    let only_tests = test_files(&sources);
    for source in sources
        .iter()
        .filter(|source| !only_tests.contains(&source.path))
    {
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

/// Asserts that a section has exactly this text somewhere.
fn assert_section_has(title: &str, wanted: &str) {
    assert!(
        section(title).contains(wanted),
        "the section {title:?} should hold this:\n\n{wanted}\n"
    );
}

#[test]
fn every_error_code_is_documented_and_none_is_that_cannot_happen() {
    let explained: BTreeSet<String> = first_cells(&section("Errors"))
        .into_iter()
        .filter(|name| name.contains("::"))
        .collect();
    let codes = codes_in_source();
    let unexplained: Vec<String> = codes
        .iter()
        .filter(|(code, _)| !explained.contains(*code))
        .map(|(code, place)| format!("{place}: {code}"))
        .collect();
    assert_none(
        "error codes that docs/errors.md does not explain",
        &unexplained,
    );
    let impossible: Vec<String> = explained
        .into_iter()
        .filter(|code| !codes.contains_key(code))
        .collect();
    assert_none(
        "error codes in docs/errors.md that src/ does not have",
        &impossible,
    );
}

/// The row of a setting, as docs/settings.md has it.
fn row(setting: &Setting) -> String {
    let mut places = Vec::new();
    if setting.in_action {
        places.push("input");
    }
    match setting.reach {
        Reach::Anywhere => places.push("file"),
        Reach::App => places.extend(["file", "app"]),
        Reach::Outside => {}
    }
    format!(
        "| `{}` | {} | {} | {} |\n",
        setting.name,
        setting.help,
        setting.default,
        places.join(", ")
    )
}

#[test]
fn the_settings_in_the_documents_are_the_table_of_settings() {
    let mut wanted = String::new();
    for (index, setting) in SETTINGS.iter().enumerate() {
        if index == 0 || SETTINGS[index - 1].group != setting.group {
            let between = if index == 0 { "" } else { "\n" };
            let title = setting.group.title();
            write!(
                wanted,
                "{between}### {title}\n\n| setting | means | default | where |\n| --- | --- | --- | --- |\n"
            )
            .expect("text");
        }
        wanted.push_str(&row(setting));
    }
    assert_section_has("Settings", &wanted);
}

#[test]
fn the_commands_in_the_documents_are_those_of_the_binary() {
    let mut wanted = String::from("| command | does |\n| --- | --- |\n");
    for page in COMMANDS {
        writeln!(wanted, "| `{}` | {} |", page.name, page.does).expect("text");
    }
    assert_section_has("Commands", &wanted);
}

#[test]
fn what_will_come_is_the_same_in_the_readme_and_in_the_binary() {
    let mut wanted = String::from("| command | today |\n| --- | --- |\n");
    for (name, today) in COMMANDS_TO_COME {
        assert!(COMMANDS.iter().all(|page| page.name != *name), "{name}");
        writeln!(wanted, "| `{name}` | {today} |").expect("text");
    }
    assert_section_has("What is not there yet", &wanted);
    assert!(
        SETTINGS_TO_COME
            .iter()
            .all(|name| table::find(name).is_none())
    );
    let names: Vec<String> = SETTINGS_TO_COME
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    assert_section_has(
        "What is not there yet",
        &format!("settings: {}.\n", names.join(", ")),
    );
}

#[test]
fn the_inputs_of_the_action_are_the_settings_that_say_so() {
    let action = action();
    let wanted: BTreeSet<&str> = SETTINGS
        .iter()
        .filter(|setting| setting.in_action)
        .map(|setting| setting.name)
        .collect();
    let declared: BTreeSet<&str> = action.inputs.keys().map(String::as_str).collect();
    assert_eq!(declared, wanted);
    for (name, input) in &action.inputs {
        let setting = table::find(name).expect("a setting");
        assert_eq!(
            input.description.to_lowercase(),
            setting.help.to_lowercase(),
            "the description of {name} is the help of the setting"
        );
        assert_eq!(input.required, None, "{name}: the runner enforces nothing");
        // A default of the action would hide what pkgs.json says.
        let token = (setting.kind == Kind::Secret && name == "token")
            .then(|| "${{ github.token }}".to_owned());
        assert_eq!(input.default, token, "the default of {name}");
    }
}

#[test]
fn the_outputs_are_the_same_in_the_code_in_the_action_and_in_the_documents() {
    let output = Regex::new(r#"\(\s*"([a-z-]+)","#).expect("a pattern");
    let source: String = document("src/report/outputs.rs")
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let written: BTreeSet<String> = output
        .captures_iter(&source)
        .map(|found| found[1].to_owned())
        .collect();
    let action = action();
    let declared: BTreeSet<String> = action.outputs.keys().cloned().collect();
    assert_eq!(declared, written, "action.yml and src/report/outputs.rs");
    assert_eq!(
        first_cells(&section("Outputs")),
        written,
        "docs/settings.md and src/report/outputs.rs"
    );
    for (name, output) in &action.outputs {
        assert!(!output.description.trim().is_empty(), "{name}");
    }
}

#[test]
fn the_action_runs_a_prebuilt_public_image_as_it_is() {
    let runs = action().runs;
    assert_eq!(runs["using"], "docker");
    let image = runs["image"].as_str().expect("an image");
    assert!(image.starts_with("docker://ghcr.io/"), "{image}");
    // Arguments travel through a command line of the runner's, which only escapes quotes; inputs travel as they are.
    for key in ["args", "entrypoint", "env"] {
        assert!(runs.get(key).is_none(), "runs.{key}");
    }
}

#[test]
fn the_workflows_in_the_documents_can_be_read_and_use_inputs_that_exist() {
    let inputs = action().inputs;
    let mut steps = 0;
    for (language, text) in blocks(&pages()) {
        if language != "yaml" {
            continue;
        }
        let workflow: Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for step in steps_of(&workflow) {
            if !step["uses"]
                .as_str()
                .is_some_and(|uses| uses.contains("/pkgs-action@"))
            {
                continue;
            }
            steps += 1;
            let with = step["with"].as_object().cloned().unwrap_or_default();
            let unknown: Vec<String> = with
                .keys()
                .filter(|name| !inputs.contains_key(*name))
                .cloned()
                .collect();
            assert_none("inputs that action.yml does not have", &unknown);
        }
    }
    assert!(
        steps >= 3,
        "README.md shows a release, its outputs and a rollback"
    );
}

/// The steps of a workflow, or of a part of one.
fn steps_of(workflow: &Value) -> Vec<Value> {
    let of_jobs = workflow["jobs"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, job)| job["steps"].as_array());
    workflow
        .as_array()
        .into_iter()
        .chain(of_jobs)
        .flatten()
        .cloned()
        .collect()
}

#[test]
fn every_command_and_flag_in_the_documents_exists() {
    let call =
        Regex::new(r"(?:^|[\s`])(?:pkgs-action|-- |pkgs-action:1) ?([a-z][a-z-]*)((?: [^`\n|]*)?)")
            .expect("a pattern");
    let flag = Regex::new(r"(?:^|\s)--([a-z][a-z-]*)").expect("a pattern");
    let known: BTreeSet<&str> = COMMANDS.iter().map(|page| page.name).collect();
    let mut wrong = Vec::new();
    let mut calls = 0;
    for (language, text) in blocks(&pages()) {
        if language != "sh" && language != "console" && !language.is_empty() {
            continue;
        }
        for line in text.lines().filter(|line| !line.contains("environmnt")) {
            for found in call.captures_iter(line) {
                let command = &found[1];
                if command == "completions" {
                    continue;
                }
                calls += 1;
                if !known.contains(command) {
                    wrong.push(format!("{command} in {line:?}"));
                }
                wrong.extend(
                    flag.captures_iter(&found[2])
                        .map(|flag| flag[1].to_owned())
                        .filter(|name| name != "once" && table::find(name).is_none())
                        .map(|name| format!("--{name} in {line:?}")),
                );
            }
        }
    }
    assert_none("commands and flags that do not exist", &wrong);
    assert!(calls > 10, "{calls} calls were found");
}

/// What differs between two runs of one example: ids, days and moments.
fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, instead) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<moment>"),
        (r"\b\d{8}-[0-9a-f]{12}\b", "<release id>"),
        (r"\b[0-9a-f]{64}\b", "<digest>"),
        (r"\b[0-9a-f]{40}\b", "<commit>"),
        (r"\b[0-9a-f]{12}\b", "<seal>"),
        (r"\b[0-9a-f]{7}\b", "<short>"),
    ] {
        text = Regex::new(pattern)
            .expect("a pattern")
            .replace_all(&text, instead)
            .into_owned();
    }
    text.trim().to_owned()
}

/// The commands of a `console` block, each with what it prints.
fn transcript(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), String::new()));
        } else {
            let (_, printed) = commands.last_mut().expect("a block begins with a command");
            printed.push_str(line);
            printed.push('\n');
        }
    }
    commands
}

#[test]
fn the_example_in_the_readme_works_word_for_word() {
    // A test machine may have no curl; Node is there.
    const CURL: &str = r#"curl() { node -e 'const ask = (left) => fetch(process.argv[1]).then((answer) => answer.text()).then((text) => process.stdout.write(text), () => left ? setTimeout(ask, 100, left - 1) : process.exit(7)); ask(100)' "${@: -1}"; }"#;
    const NEXT: char = '\u{1e}';
    let blocks = blocks(&section("See it work"));
    let (first, middle, last) = match blocks.as_slice() {
        [(first, setup), middle @ .., (last, end)] if first == "sh" && last == "sh" => {
            (setup, middle, end)
        }
        _ => panic!("the example begins and ends with a block of commands"),
    };
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_pkgs-action"));
    let setup = first
        .replace("cargo build --release\n", "")
        .replace(
            "$PWD/target/release",
            &binary.parent().expect("a directory").display().to_string(),
        )
        .replace("PORT=3000", &format!("PORT={}", free_port()));
    assert!(
        !setup.contains("target/release") && !setup.contains("PORT=3000"),
        "the set-up names what this test replaces"
    );
    let expected: Vec<(String, String)> = middle
        .iter()
        .inspect(|(language, _)| assert_eq!(language, "console"))
        .flat_map(|(_, block)| transcript(block))
        .collect();
    let mut script = format!("set -eu\n{CURL}\nend() {{\n{last}}}\ntrap end EXIT\n{setup}");
    for (command, _) in &expected {
        write!(script, "printf '{NEXT}'\n{command}\n").expect("text");
    }
    writeln!(script, "printf '{NEXT}'").expect("text");
    let sandbox = Sandbox::new();
    let output = sandbox
        .command("bash", repository())
        .args(["-c", &script])
        .output()
        .expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let parts: Vec<&str> = printed.split(NEXT).skip(1).collect();
    assert_eq!(parts.len(), expected.len() + 1, "{printed}");
    for ((command, wanted), printed) in expected.iter().zip(parts) {
        assert_eq!(
            steady(wanted),
            steady(printed),
            "what `{command}` prints is on the right, what README.md says on the left"
        );
    }
}

#[test]
fn the_errors_in_the_documents_are_what_the_binary_says() {
    let sandbox = Sandbox::new();
    let mut seen = 0;
    for (language, block) in blocks(&section("Errors")) {
        assert_eq!(language, "console");
        for (command, wanted) in transcript(&block) {
            let words = shell_words::split(&command).expect("words");
            let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            let run = sandbox.run(sandbox.path(), &arguments, &[]).expect(2);
            assert_eq!(wanted, run.stderr, "{command}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_directory_registry_below_a_path_serves_a_scope_beside_another_registry() {
    let blocks = blocks(&section("A directory as npm registry"));
    let [release, npmrc, install] = [0, 1, 2].map(|index: usize| blocks[index].1.trim().to_owned());
    let www = tempfile::tempdir().expect("a directory");
    let public = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(www.path().join("npm")).expect("a directory");
    let (server, elsewhere) = (
        StaticServer::start(www.path()),
        StaticServer::start(public.path()),
    );
    let ours = |text: &str| {
        text.replace("https://files.acme.example/", &server.url())
            .replace("/srv/www", &www.path().display().to_string())
    };
    let released = |monorepo: &Monorepo, arguments: &[&str]| {
        let _ = monorepo
            .binary(&[&["release", "--install=none"], arguments].concat())
            .run()
            .expect(0);
    };
    let dependency = Monorepo::new()
        .package("plain", "1.0.0")
        .commit("feat: begin", &[])
        .origin();
    let address = format!("--registry=file://{}", public.path().display());
    released(&dependency, &[&address]);
    let monorepo = Monorepo::new()
        .package("@acme/text", "1.0.0")
        .depends("@acme/text", "plain", "^1.0.0")
        .commit("feat: begin", &[]);
    // The other registry is known to whoever installs, not to what writes lockfiles here.
    monorepo.git(&["rm", "--quiet", "package-lock.json"]);
    monorepo.git(&["commit", "--quiet", "--amend", "--no-edit"]);
    let monorepo = monorepo.origin();
    let words = shell_words::split(&ours(&release)).expect("words");
    let words: Vec<&str> = words.iter().skip(2).map(String::as_str).collect();
    released(&monorepo, &words);

    let sandbox = Sandbox::new();
    let project = sandbox.path().join("project");
    std::fs::create_dir(&project).expect("a directory");
    std::fs::write(project.join("package.json"), "{\"private\":true}").expect("a file");
    let npmrc = ours(&npmrc);
    std::fs::write(project.join(".npmrc"), npmrc).expect("a file");
    let words = shell_words::split(&install).expect("words");
    let output = sandbox
        .command(&words[0], &project)
        .args(&words[1..])
        .env("npm_config_registry", elsewhere.url())
        .output()
        .expect("npm runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (package, version) in [("@acme/text", "1.0.0"), ("plain", "1.0.0")] {
        let manifest = project
            .join("node_modules")
            .join(package)
            .join("package.json");
        let manifest: Value =
            serde_json::from_str(&std::fs::read_to_string(manifest).expect(package)).expect("JSON");
        assert_eq!(manifest["version"], version, "{package}");
    }
}
