//! Settings: where a value comes from, which one wins, and what is said about those that cannot be right.

use std::collections::BTreeMap;

use pkgs_action::settings::command::COMMANDS_TO_COME;
use pkgs_action::settings::inputs::{Asked, collect};
use pkgs_action::settings::table::{Kind, Reach, SETTINGS, SETTINGS_TO_COME, camel_case};
use pkgs_action::settings::{BumpRequest, Command, Settings, World};
use serde_json::json;

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Run, Sandbox};

/// A library and a service with a fix in the library, without an origin.
fn repository() -> Monorepo {
    Monorepo::new()
        .package("core", "1.0.0")
        .package("text", "1.0.0")
        .released()
        .commit("fix(core): trim", &[("packages/core/a.js", "")])
}

/// The address of a directory of the sandbox.
fn place(monorepo: &Monorepo, name: &str) -> String {
    let directory = monorepo.sandbox().path().join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    format!("file://{}", directory.display())
}

fn plan(monorepo: &Monorepo, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let registry = place(monorepo, "npm");
    monorepo
        .binary(&[&["plan", "--format=json"], arguments].concat())
        .env("PKGS_REGISTRY", registry)
        .envs(environment)
        .run()
}

#[test]
fn a_flag_wins_over_an_input_over_a_variable_over_the_file_over_the_default() {
    let monorepo = repository();
    let tag = |arguments: &[&str], environment: &[(&str, &str)]| {
        let plan = plan(&monorepo, arguments, environment).expect(0).json();
        plan["packages"][0]["tag"]
            .as_str()
            .expect("a tag")
            .to_owned()
    };
    let of_variable = ("PKGS_TAG_FORMAT", "variable-{name}-{version}");
    let of_input = ("INPUT_TAG-FORMAT", "input-{name}-{version}");
    assert_eq!(tag(&[], &[]), "core@1.0.1");
    monorepo.write(
        "pkgs.json",
        "{\"mode\":\"diff\",\"tagFormat\":\"file-{name}-{version}\"}",
    );
    assert_eq!(tag(&[], &[]), "file-core-1.0.1");
    assert_eq!(tag(&[], &[of_variable]), "variable-core-1.0.1");
    assert_eq!(tag(&[], &[of_variable, of_input]), "input-core-1.0.1");
    let of_flag = ["--tag-format", "flag-{name}-{version}"];
    assert_eq!(tag(&of_flag, &[of_variable, of_input]), "flag-core-1.0.1");

    // An empty value is unset; `none` empties what lies below.
    assert_eq!(
        tag(&[], &[of_variable, ("INPUT_TAG-FORMAT", "")]),
        "variable-core-1.0.1"
    );
    assert_eq!(
        tag(&[], &[("PKGS_TAG_FORMAT", ""), ("INPUT_TAG-FORMAT", "")]),
        "file-core-1.0.1"
    );
    assert_eq!(
        tag(&["--tag-format=none"], &[of_variable, of_input]),
        "core@1.0.1"
    );

    // The field of package.json counts where there is no pkgs.json.
    std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("it was there");
    monorepo.write(
        "package.json",
        &json!({"name": "m", "private": true, "workspaces": ["packages/*"], "pkgs": {"mode": "diff", "tagFormat": "field-{name}-{version}"}}).to_string(),
    );
    assert_eq!(tag(&[], &[]), "field-core-1.0.1");
    monorepo.write(
        "other.json",
        "{\"mode\":\"diff\",\"tagFormat\":\"other-{name}-{version}\"}",
    );
    assert_eq!(tag(&["--config=other.json"], &[]), "other-core-1.0.1");
    assert_eq!(
        tag(&[], &[("PKGS_CONFIG", "other.json")]),
        "other-core-1.0.1"
    );
}

#[test]
fn the_same_order_holds_for_other_kinds_of_values() {
    let monorepo = repository();
    let mode = |arguments: &[&str], environment: &[(&str, &str)]| {
        plan(&monorepo, arguments, environment).expect(0).json()["mode"].clone()
    };
    assert_eq!(mode(&[], &[]), "diff");
    assert_eq!(mode(&[], &[("PKGS_MODE", "fixed")]), "sync");
    assert_eq!(
        mode(
            &[],
            &[("PKGS_MODE", "fixed"), ("INPUT_MODE", "independent")]
        ),
        "diff"
    );
    assert_eq!(mode(&["--mode", "sync"], &[("INPUT_MODE", "diff")]), "sync");
    // Its packages have release tags of their own.
    assert_eq!(mode(&["--mode", "none"], &[("INPUT_MODE", "sync")]), "diff");

    let names = |arguments: &[&str], environment: &[(&str, &str)]| -> Vec<String> {
        let plan = plan(&monorepo, arguments, environment).expect(0).json();
        let packages = plan["packages"].as_array().expect("a list").clone();
        packages
            .iter()
            .map(|package| package["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(names(&[], &[]), ["core"]);
    monorepo.write("pkgs.json", "{\"mode\":\"diff\",\"ignore\":[\"*.js\"]}");
    assert_eq!(names(&[], &[]), nothing);
    assert_eq!(names(&[], &[("PKGS_IGNORE", "none")]), ["core"]);
    assert_eq!(
        names(&[], &[("PKGS_IGNORE", "*.md\n*.{js,css}\n")]),
        nothing
    );
    assert_eq!(names(&[], &[("PKGS_IGNORE", "*.md, *.js")]), nothing);
    assert_eq!(
        names(
            &["--ignore=*.md", "--ignore=*.ts"],
            &[("PKGS_IGNORE", "*.js")]
        ),
        ["core"]
    );
    assert_eq!(
        names(&["--filter=text"], &[("INPUT_IGNORE", "none")]),
        nothing
    );
    assert_eq!(
        names(
            &["--filter=packages/*", "--filter=!text"],
            &[("INPUT_IGNORE", "none")]
        ),
        ["core"]
    );
}

#[test]
fn truth_values_and_the_hyphen_of_the_runner() {
    let monorepo = repository().origin();
    let place = |name: &str| place(&monorepo, name);
    let tags = monorepo.tags();
    for value in ["true", "True", "TRUE"] {
        for name in ["INPUT_DRY-RUN", "INPUT_DRY_RUN", "PKGS_DRY_RUN"] {
            let environment = [
                (name, value),
                ("PKGS_REGISTRY", &place("npm")),
                ("PKGS_STORE", &place("store")),
            ];
            let run = monorepo
                .binary(&["release", "--install=none"])
                .envs(environment)
                .run()
                .expect(0);
            assert_eq!(monorepo.tags(), tags, "{name}={value}: {}", run.stdout);
        }
    }
    for (arguments, value) in [
        (&["--dry-run"][..], "false"),
        (&["--dry-run=true"], "False"),
        (&[], "TRUE"),
    ] {
        let arguments = [&["release", "--install=none"], arguments].concat();
        let environment = [
            ("INPUT_DRY-RUN", value),
            ("PKGS_REGISTRY", &place("npm")),
            ("PKGS_STORE", &place("store")),
        ];
        let _ = monorepo
            .binary(&arguments)
            .envs(environment)
            .run()
            .expect(0);
        assert_eq!(monorepo.tags(), tags, "{arguments:?}");
    }
    for value in ["yes", "1", "tRue", "none"] {
        let run = monorepo
            .binary(&["release"])
            .env("INPUT_DRY-RUN", value)
            .run()
            .expect(2);
        assert!(
            run.stderr
                .contains("error[settings::boolean]: INPUT_DRY-RUN"),
            "{value}: {}",
            run.stderr
        );
    }
}

#[test]
fn every_problem_is_reported_at_once_by_the_name_it_was_set_with() {
    let monorepo = repository();
    monorepo.write(
        "pkgs.json",
        r#"{"mode":"dif","tagFromat":"x","store":"s3://bucket","npmToken":"Canary0042","registry":"https://evil.example/","environment":"prod",
            "ignore":7,"fixed":[],"filter":["a, b"],"forgeRelease":"yes","apps":{"core":{"healht":"x","type":"servce"},"../x":{}}}"#,
    );
    let run = monorepo
        .binary(&["plan", "--max-concurrency=0", "--format=yaml"])
        .env("INPUT_DRY-RAN", "true")
        .env("PKGS_BUMP", "huge")
        .env("INPUT_ARGS", "left to the runner")
        .env("INPUT_ENTRYPOINT", "left to the runner")
        .run()
        .expect(2);
    for said in [
        "INPUT_DRY-RAN",
        "did you mean INPUT_DRY-RUN?",
        "PKGS_BUMP is \"huge\"",
        "--max-concurrency is \"0\"",
        "write a number, for example 16",
        "--format is \"yaml\"",
        "mode in pkgs.json is \"dif\"",
        "did you mean diff?",
        "tagFromat in pkgs.json",
        "did you mean tagFormat?",
        "store in pkgs.json cannot be set by a file",
        "npmToken in pkgs.json cannot be set by a file",
        "registry in pkgs.json cannot be set by a file",
        "environment in pkgs.json cannot be set by a file",
        "PKGS_REGISTRY",
        "ignore in pkgs.json is not a list of strings",
        "filter in pkgs.json is not a list of strings, each of them one entry without a comma",
        "forgeRelease in pkgs.json is not true or false",
        "apps.core.healht in pkgs.json",
        "did you mean health?",
        "apps.core.type in pkgs.json is \"servce\"",
        "\"../x\"",
    ] {
        assert!(
            run.stderr.contains(said),
            "{said:?} is not said:\n{}",
            run.stderr
        );
    }
    for unsaid in [
        "left to the runner",
        "INPUT_ARGS",
        "INPUT_ENTRYPOINT",
        "Canary0042",
        "evil.example",
    ] {
        assert!(
            !run.stderr.contains(unsaid),
            "{unsaid:?} is said:\n{}",
            run.stderr
        );
    }
    let in_actions = monorepo
        .binary(&["plan", "--max-concurrency=0"])
        .in_actions("push", "refs/heads/main")
        .run()
        .expect(2);
    let annotations: Vec<&str> = in_actions
        .stdout
        .lines()
        .filter(|line| line.starts_with("::error "))
        .collect();
    assert_eq!(annotations.len(), 10, "{}", in_actions.stdout);
    assert!(annotations[9].contains("more errors"), "{}", annotations[9]);
}

#[test]
fn a_run_without_a_command_releases_where_it_is_due_and_plans_elsewhere() {
    let monorepo = repository().origin();
    monorepo.git(&["switch", "--quiet", "--create", "feature"]);
    monorepo.git(&["switch", "--quiet", "main"]);
    let place = |name: &str| place(&monorepo, name);
    let registry = place("npm");
    let origin = monorepo
        .origin_directory()
        .parent()
        .expect("a parent")
        .display()
        .to_string();
    // A local directory is the forge: acme/monorepo lies there.
    let forge = monorepo.sandbox().path().join("acme");
    std::fs::create_dir(&forge).expect("a directory");
    std::os::unix::fs::symlink(monorepo.origin_directory(), forge.join("monorepo.git"))
        .expect("a link");
    let server = format!("file://{origin}");
    let run = |event: &str, reference: &str| {
        monorepo
            .binary(&[])
            .in_actions(event, reference)
            .env("PKGS_REGISTRY", &registry)
            .env("PKGS_INSTALL", "none")
            .env("GITHUB_SERVER_URL", &server)
            .env("PKGS_BRANCH", "main")
            .run()
            .expect(0)
    };
    for (event, reference, reason) in [
        (
            "pull_request",
            "refs/pull/1/merge",
            "a pull_request event never releases",
        ),
        (
            "merge_group",
            "refs/heads/main",
            "a merge_group event never releases",
        ),
        ("pull_request_target", "refs/heads/main", "never releases"),
        (
            "push",
            "refs/heads/feature",
            "feature is not a release branch (main)",
        ),
        ("push", "refs/tags/v1.0.0", "is not a release branch (main)"),
    ] {
        let run = run(event, reference);
        let said = run.stdout.lines().last().unwrap_or_default();
        assert!(
            said.starts_with("this was a plan: ") && said.contains(reason),
            "{event} {reference}: {}",
            run.stdout
        );
    }
    let by_hand = monorepo
        .binary(&[])
        .env("PKGS_REGISTRY", &registry)
        .run()
        .expect(0);
    assert!(
        by_hand
            .stdout
            .contains("this was a plan: outside a workflow"),
        "{}",
        by_hand.stdout
    );
    let config = monorepo.read("pkgs.json");
    std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("it was there");
    let run_without = run("push", "refs/heads/main");
    assert!(
        run_without
            .stdout
            .contains("this was a plan: the repository has no pkgs.json"),
        "{}",
        run_without.stdout
    );
    monorepo.write("pkgs.json", &config);
    assert_eq!(monorepo.tags(), ["core@1.0.0", "text@1.0.0"]);

    let released = run("push", "refs/heads/main");
    assert_eq!(released.outputs["released"], "true", "{}", released.stdout);
    assert_eq!(monorepo.tags(), ["core@1.0.0", "core@1.0.1", "text@1.0.0"]);
}

#[test]
fn a_command_setting_carries_its_arguments() {
    let monorepo = repository();
    let registry = place(&monorepo, "npm");
    let run = |command: &str| {
        let environment = [("INPUT_COMMAND", command), ("PKGS_REGISTRY", &registry)];
        monorepo.binary(&[]).envs(environment).run()
    };
    assert_eq!(
        run("plan --format json").expect(0).json()["schema"],
        "pkgs.plan/1"
    );
    let quoted = run("plan --format=json --tag-format 'x-{name}-{version}'").expect(0);
    assert_eq!(quoted.json()["packages"][0]["tag"], "x-core-1.0.1");
    let expanded = run("plan --filter $HOME").expect(2);
    assert!(expanded.stderr.contains("\"$HOME\""), "{}", expanded.stderr);
    let open = run("plan 'open").expect(2);
    assert!(
        open.stderr
            .contains("error[settings::command]: INPUT_COMMAND"),
        "{}",
        open.stderr
    );
    assert!(run("help").expect(0).stdout.contains("Usage: pkgs-action"));
    let outer = monorepo
        .binary(&["plan"])
        .env("INPUT_COMMAND", "rollback")
        .env("PKGS_REGISTRY", &registry)
        .run();
    let _ = outer.expect(0);
}

#[test]
fn help_version_and_completions() {
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| sandbox.run(sandbox.path(), arguments, &[]);
    let help = run(&["--help"]).expect(0).stdout;
    let release = help
        .find("\nRelease:\n")
        .or_else(|| help.find("Release:\n"))
        .expect("a group");
    let environments = help.find("\nEnvironments:\n").expect("a group");
    for (command, after) in [
        ("plan", release),
        ("release", release),
        ("rehearse", release),
        ("promote", environments),
        ("rollback", environments),
        ("pull", environments),
    ] {
        let at = help[after..].find(&format!("\n  {command} "));
        assert!(at.is_some(), "{command}:\n{help}");
    }
    assert_eq!(run(&["help"]).expect(0).stdout, help);
    assert_eq!(run(&["-h"]).expect(0).stdout, help);
    let of_plan = run(&["plan", "--help"]).expect(0).stdout;
    for said in [
        "General:",
        "What is in the release:",
        "npm:",
        "--tag-format",
        "[default: ",
        "PKGS_DRY_RUN",
    ] {
        assert!(of_plan.contains(said), "{said}:\n{of_plan}");
    }
    for secret in ["--token", "--npm-token"] {
        assert!(!of_plan.contains(secret), "{secret}:\n{of_plan}");
    }
    assert_eq!(run(&["help", "plan"]).expect(0).stdout, of_plan);
    let order = ["npm:", "Store and static files:", "General:", "Examples:"]
        .map(|title| of_plan.find(title));
    assert!(order.is_sorted() && order[0].is_some(), "{of_plan}");
    // A flag that would change nothing is not taken.
    let of_hold = run(&["hold", "-h"]).expect(0).stdout;
    for other in [
        "--to", "--from", "--force", "--static", "--filter", "--once",
    ] {
        assert!(!of_hold.contains(&format!("  {other} ")), "{of_hold}");
    }
    assert!(run(&["help", "pln"]).expect(2).stderr.contains("hint: "));
    assert_eq!(
        run(&["--version"]).expect(0).stdout,
        format!("pkgs-action {}\n", env!("CARGO_PKG_VERSION"))
    );
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef pkgs-action"),
        ("fish", "complete -c pkgs-action"),
    ] {
        let script = run(&["completions", shell]).expect(0).stdout;
        assert!(
            script.contains(sign) && script.contains("rollback"),
            "{shell}"
        );
    }
    for (arguments, said) in [
        (
            &["completions"][..],
            "`completions` needs the name of a shell",
        ),
        (
            &["completions", "tcsh"],
            "there are no completions for \"tcsh\"",
        ),
    ] {
        let refused = run(arguments).expect(2).stderr;
        let hint = "hint: name one of bash, zsh, fish, elvish, powershell\n";
        assert!(
            refused.contains(said) && refused.ends_with(hint),
            "{refused}"
        );
    }
}

#[test]
fn what_will_come_is_said_to_be_not_there_yet() {
    let sandbox = Sandbox::new();
    let said = |arguments: &[&str], environment: &[(&str, &str)], what: &str, hint: &str| {
        let stderr = sandbox
            .run(sandbox.path(), arguments, environment)
            .expect(2)
            .stderr;
        let wanted =
            format!("error[settings::not_there_yet]: {what} is not there yet\nhint: {hint}");
        assert!(stderr.starts_with(&wanted), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("did you mean"), "{stderr}");
    };
    for (name, today) in COMMANDS_TO_COME {
        let (what, hint) = (format!("the command `{name}`"), format!("today: {today}\n"));
        said(&[name], &[], &what, &hint);
        said(&["help", name], &[], &what, &hint);
        said(&[name, "core", "--format=json"], &[], &what, &hint);
        said(
            &[],
            &[("INPUT_COMMAND", &format!("{name} test"))],
            &what,
            &hint,
        );
    }
    for name in SETTINGS_TO_COME {
        let variable = format!("PKGS_{}", name.to_uppercase().replace('-', "_"));
        let hint = "leave it out for now\n";
        said(&["plan"], &[(&variable, "x")], &variable, hint);
        said(
            &["plan", &format!("--{name}=x")],
            &[],
            &format!("--{name}"),
            hint,
        );
    }
    std::fs::write(sandbox.path().join("pkgs.json"), "{\"nodeVersion\":\"x\"}").expect("a file");
    said(
        &["plan"],
        &[],
        "nodeVersion in pkgs.json",
        "leave it out for now\n",
    );
}

#[test]
fn flags_without_a_command_are_those_of_the_command_that_the_rules_choose() {
    let monorepo = repository().origin();
    let registry = place(&monorepo, "npm");
    let by_hand = |arguments: &[&str]| {
        monorepo
            .binary(arguments)
            .env("PKGS_REGISTRY", &registry)
            .run()
    };
    let plan = by_hand(&["--dry-run", "--filter", "core"]).expect(0).stdout;
    assert!(
        plan.contains("core  1.0.0 → 1.0.1")
            && plan.contains("this was a plan: outside a workflow"),
        "{plan}"
    );
    assert_eq!(
        by_hand(&["--format=json"]).expect(0).json()["schema"],
        "pkgs.plan/1"
    );
    for (arguments, said) in [
        (
            &["--dry-run", "release"][..],
            "the command release stands behind a flag\nhint: write it first: `pkgs-action release …`",
        ),
        (
            &["--environment", "prod"],
            "a run without a command does not take --environment\nhint: `pkgs-action --help` lists the commands",
        ),
        (
            &["release", "--to", "1.0.0"],
            "`release` does not take --to\nhint: `pkgs-action release --help`",
        ),
        (
            &["release", "--dry-run", "false"],
            "`release` takes no argument \"false\"\nhint: a switch has its value behind `=`: --dry-run=false",
        ),
        (
            &["promote", "prod"],
            "`promote` takes no argument \"prod\"\nhint: `pkgs-action promote --help`",
        ),
        (
            &["promote", "2.0.1", "--environment", "prod"],
            "`promote` takes no argument \"2.0.1\"\nhint: did you mean --to 2.0.1?",
        ),
        (
            &["--verison"],
            "a run without a command has no flag \"--verison\"\nhint: did you mean --version?",
        ),
        (
            &["PLAN"],
            "\"PLAN\" is not a command\nhint: did you mean plan?",
        ),
        (
            &["relaese"],
            "\"relaese\" is not a command\nhint: did you mean release?",
        ),
    ] {
        let stderr = by_hand(arguments).expect(2).stderr;
        assert!(
            stderr.starts_with(&format!("error[settings::flags]: {said}")),
            "{stderr}"
        );
    }
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_with_its_place() {
    let monorepo = repository();
    let path = monorepo.path().join("pkgs.json");
    let refused = |title: &str, said: &[&str]| {
        let stderr = plan(&monorepo, &[], &[]).expect(2).stderr;
        for said in said {
            assert!(
                stderr.contains(said),
                "{title}: {said:?} is not said:\n{stderr}"
            );
        }
        stderr
    };
    let deep = "[".repeat(100_000);
    let long = format!("{{\"{}\":1}}", "a".repeat(5000));
    for (text, said) in [
        (
            "",
            &[
                "error[settings::json]: pkgs.json is empty",
                "pkgs.json:1:1",
                "hint: write {}",
            ][..],
        ),
        (
            "{},",
            &[
                "error[settings::json]: pkgs.json is not valid JSON",
                "pkgs.json:1:3",
            ],
        ),
        (
            &deep,
            &[
                "error[settings::json]",
                "pkgs.json:1:",
                "because it nests too deep",
            ],
        ),
        (
            "[]",
            &[
                "error[settings::config]: pkgs.json is not a JSON object",
                "hint: write {}",
            ],
        ),
        (
            &long,
            &[
                "error[settings::unknown_key]",
                "aaaa… in pkgs.json\" is not a setting",
            ],
        ),
        (
            "{\"logDirectory\":\"/logs\"}",
            &[
                "error[settings::not_in_file]",
                "hint: set the variable PKGS_LOG_DIRECTORY or the flag",
            ],
        ),
        // Neither `bump` nor `dryRun` may stand there.
        (
            "{\"bumb\":\"patch\"}",
            &[
                "\"bumb in pkgs.json\" is not a setting",
                "hint: `pkgs-action <command> --help`",
            ],
        ),
        (
            "{\"dryrun\":true}",
            &[
                "\"dryrun in pkgs.json\" is not a setting",
                "hint: `pkgs-action <command> --help`",
            ],
        ),
        (
            "{\"apps\":{\"core\":7}}",
            &["apps.core in pkgs.json is not an object", "hint: write {}"],
        ),
    ] {
        monorepo.write("pkgs.json", text);
        let _ = refused(text.get(..20).unwrap_or(text), said);
    }
    // One problem is not told twice in other words.
    monorepo.write(
        "pkgs.json",
        "{\"apps\":{\"core\":{\"environments\":[\"Prod\"],\"auto\":[\"sit\"]}}}",
    );
    let stderr = refused("environments", &["error[name::environment]"]);
    assert_eq!(stderr.matches("error[").count(), 1, "{stderr}");

    std::fs::write(&path, b"\xff\xfe{\0}\0").expect("a file");
    let _ = refused(
        "UTF-16",
        &["error[settings::encoding]", "hint: write it in UTF-8"],
    );
    std::fs::remove_file(&path).expect("it was there");
    std::fs::create_dir(&path).expect("a directory");
    let _ = refused(
        "a directory",
        &["error[settings::config]", "because it is no file", "hint: "],
    );
    std::fs::remove_dir(&path).expect("it was there");
    for target in ["nowhere", "/dev/zero", "pkgs.json"] {
        std::os::unix::fs::symlink(target, &path).expect("a link");
        let _ = refused(
            target,
            &[
                "error[settings::config]",
                "pkgs.json cannot be read",
                "hint: ",
            ],
        );
        std::fs::remove_file(&path).expect("it was there");
    }
}

#[test]
fn an_address_that_is_none_is_refused_with_one_that_would_be() {
    let monorepo = repository();
    for (flag, said) in [
        ("--registry=npm.example", "hint: write it like https://"),
        (
            "--registry=file://npm",
            "hint: write file:///absolute/directory",
        ),
        (
            "--registry=file:///a/../b",
            "because the parts of its path may not be '.' or '..'",
        ),
        (
            "--store-endpoint=minio:9000",
            "hint: write it like https://",
        ),
        (
            "--static=s3://bucket/{env}",
            "hint: it may hold {app} and {environment}",
        ),
    ] {
        let stderr = monorepo.binary(&["plan", flag]).run().expect(2).stderr;
        let (name, _) = flag.split_once('=').expect("a flag with a value");
        assert!(
            stderr.contains(name) && stderr.contains(said),
            "{flag}: {stderr}"
        );
    }
    let directory = monorepo.sandbox().path().join("npm here");
    std::fs::create_dir(&directory).expect("a directory");
    let address = format!("--registry=file://{}", directory.display()).replace(' ', "%20");
    let _ = monorepo.binary(&["plan", &address]).run().expect(0);
}

#[test]
fn control_characters_are_refused_in_every_setting_of_a_file() {
    let monorepo = repository();
    for setting in SETTINGS
        .iter()
        .filter(|setting| setting.reach != Reach::Outside && setting.kind != Kind::Boolean)
    {
        let key = camel_case(setting.name);
        for bad in ["a\0b", "a\u{1b}[2Jb", "a\u{85}b"] {
            let value = match setting.kind {
                Kind::List => json!([bad]),
                Kind::Groups => json!([[bad]]),
                Kind::Objects => json!([{"file": "a", "search": bad, "replace": "b"}]),
                _ => json!(bad),
            };
            monorepo.write("pkgs.json", &json!({ &key: value }).to_string());
            let stderr = plan(&monorepo, &[], &[]).expect(2).stderr;
            let part = match setting.kind {
                Kind::Objects => "[0].search",
                _ => "",
            };
            let wanted = format!(
                "error[settings::control_character]: {key}{part} in pkgs.json holds the control character U+"
            );
            assert!(stderr.contains(&wanted), "{stderr}");
            assert!(
                !stderr.contains('\u{1b}') && !stderr.contains('\0'),
                "{stderr:?}"
            );
        }
    }
    monorepo.write(
        "pkgs.json",
        &json!({"apps": {"core": {"type": "service", "build": "a\0b", "start": "c\u{7}"}}})
            .to_string(),
    );
    let stderr = plan(&monorepo, &[], &[]).expect(2).stderr;
    for key in ["apps.core.build", "apps.core.start"] {
        assert!(
            stderr.contains(&format!("{key} in pkgs.json holds the control character")),
            "{stderr}"
        );
    }
    monorepo.write("pkgs.json", &json!({"mode": "diff", "build": "npm ci\n\tnpm run x", "commitMessage": "chore: {version}\n\nbody"}).to_string());
    let _ = plan(&monorepo, &[], &[]).expect(0);
}

#[test]
fn what_is_no_text_is_refused_without_a_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let monorepo = repository();
    let broken = OsStr::from_bytes(b"\xff\xfe");
    let run = monorepo
        .binary(&["plan"])
        .env("PKGS_MODE", broken)
        .run()
        .expect(2);
    assert!(
        run.stderr
            .contains("error[settings::encoding]: PKGS_MODE is not UTF-8"),
        "{}",
        run.stderr
    );
    let registry = place(&monorepo, "npm");
    // What is not ours may be anything.
    let _ = monorepo
        .binary(&["plan"])
        .env("OTHER", broken)
        .env("PKGS_REGISTRY", registry)
        .run()
        .expect(0);
    let mut command = monorepo
        .sandbox()
        .command(env!("CARGO_BIN_EXE_pkgs-action"), monorepo.path());
    let output = command.arg("plan").arg(broken).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("error[settings::encoding]: the argument"),
        "{said}"
    );
}

#[test]
fn a_version_may_carry_the_v_of_a_tag() {
    let settings = |line: &str| {
        let words = shell_words::split(line).expect("words");
        let Ok(Asked::Run(collected)) = collect(&words, &BTreeMap::new()) else {
            panic!("{line} runs")
        };
        Settings::resolve(*collected, &[], World::default()).expect("it is right")
    };
    for command in ["promote", "rollback", "mark-bad", "pin", "unpin"] {
        for (given, meant) in [
            ("v2.0.3", "2.0.3"),
            ("2.0.3", "2.0.3"),
            ("previous", "previous"),
            ("20260131-0123456789ab", "20260131-0123456789ab"),
        ] {
            let line = format!("{command} --environment=prod --store=file:///store --to={given}");
            let Command::Point(_, asked) = settings(&line).command else {
                panic!("{line} is about an environment")
            };
            assert_eq!(asked.to.as_deref(), Some(meant), "{line}");
        }
    }
    let bump = settings("release --bump v2.0.3").bump;
    assert!(matches!(bump, BumpRequest::To(version) if version.to_string() == "2.0.3"));
}
