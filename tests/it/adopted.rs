//! What `.changeset/config.json` and `lerna.json` say already.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::plans::versions;
use crate::support::sandbox::Run;

/// Packages that hold one version, without a configuration of ours.
fn repository() -> Monorepo {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("c", "1.0.0");
    std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("there is one");
    monorepo.released()
}

fn changed(monorepo: Monorepo) -> Monorepo {
    monorepo.commit(
        "feat: x",
        &[("packages/a/a.js", "1\n"), ("packages/c/c.js", "1\n")],
    )
}

fn run(monorepo: &Monorepo, arguments: &[&str]) -> Run {
    monorepo
        .binary(&[&["plan"], arguments].concat())
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
}

fn plan(monorepo: &Monorepo, arguments: &[&str]) -> Value {
    run(monorepo, &[&["--format=json"], arguments].concat())
        .expect(0)
        .json()
}

#[test]
fn changesets_decides_mode_groups_packages_left_out_branch_access_and_intents() {
    let config = json!({
        "$schema": "https://example.org/schema.json", "changelog": false, "commit": false, "updateInternalDependencies": "patch",
        "fixed": [["a", "b"]], "linked": [], "ignore": ["c"], "baseBranch": "trunk", "access": "restricted",
    });
    let monorepo = changed(
        repository()
            .file(
                "packages/a/package.json",
                "{\"name\":\"a\",\"version\":\"1.0.0\",\"publishConfig\":{\"access\":\"public\"}}\n",
            )
            .file(".changeset/config.json", &config.to_string())
            .file(".changeset/x.md", "---\na: minor\n---\n"),
    );
    let found = plan(&monorepo, &[]);
    assert_eq!(versions(&found), ["a 1.1.0", "b 1.1.0"], "{found:#}");
    assert_eq!(
        [&found["mode"], &found["modeReason"]],
        ["diff", "as .changeset/config.json says"]
    );
    let file = ".changeset/config.json";
    let adopted: Vec<Value> = [
        "access",
        "branch",
        "bump-from",
        "changelog",
        "filter",
        "fixed",
        "mode",
    ]
    .map(|setting| json!({"setting": setting, "file": file}))
    .to_vec();
    assert_eq!(found["adopted"], json!(adopted));
    let said = run(&monorepo, &[]).expect(0).stdout;
    let line =
        "from .changeset/config.json: access, branch, bump-from, changelog, filter, fixed, mode\n";
    assert!(said.contains(line), "{said}");
    // `changelog` is false there.
    assert!(
        !found["edits"].to_string().contains("CHANGELOG"),
        "{found:#}"
    );
    // What a package declares itself counts more, what we are told most.
    let access = |arguments: &[&str]| -> Vec<Value> {
        let found = plan(&monorepo, arguments);
        let list = found["packages"].as_array().expect("a list").iter();
        list.map(|package| package["access"].clone()).collect()
    };
    assert_eq!(access(&["--access=public"]), ["public", "public"]);
    // npm refuses to restrict a name without a scope.
    assert_eq!(access(&[]), [json!("public"), Value::Null]);
    let scoped = Monorepo::new()
        .file(
            "packages/s/package.json",
            "{\"name\":\"@acme/s\",\"version\":\"1.0.0\"}\n",
        )
        .file(".changeset/config.json", "{\"access\":\"restricted\"}")
        .commit("feat: begin", &[]);
    assert_eq!(plan(&scoped, &[])["packages"][0]["access"], "restricted");
    // Releases are made from its base branch; ours wins.
    let off = monorepo
        .binary(&["release", "--store=none"])
        .env(
            "PKGS_REGISTRY",
            format!("file://{}", monorepo.sandbox().path().display()),
        )
        .run()
        .expect(3);
    let refused = off.stderr.contains("error[release::wrong_branch]");
    assert!(refused && off.stderr.contains("trunk"), "{}", off.stderr);
    let own = monorepo.file(
        "pkgs.json",
        "{\"fixed\":[],\"filter\":[\"c\"],\"bumpFrom\":\"both\"}",
    );
    let found = plan(&own, &[]);
    assert_eq!(versions(&found), ["c 1.1.0"], "{found:#}");
}

#[test]
fn lerna_decides_the_mode() {
    for (version, mode, expected) in [
        ("independent", "diff", &["a 1.1.0", "c 1.1.0"][..]),
        ("1.0.0", "sync", &["a 1.1.0", "b 1.1.0", "c 1.1.0"]),
    ] {
        let config = json!({"version": version, "npmClient": "npm"});
        let monorepo = changed(repository().file("lerna.json", &config.to_string()));
        let found = plan(&monorepo, &[]);
        assert_eq!(versions(&found), expected, "{found:#}");
        assert_eq!(
            [&found["mode"], &found["modeReason"]],
            [mode, "as lerna.json says"]
        );
        let said = plan(&monorepo, &["--mode=diff"]);
        assert_eq!(said["modeReason"], "as it is set");
        assert!(said["adopted"].is_null(), "{said:#}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_and_opts_in_to_nothing() {
    let monorepo = changed(repository());
    for (text, code) in [
        ("{", "settings::json"),
        ("[]", "settings::config"),
        ("{\"fixed\":[\"a\"]}", "settings::type"),
        ("{\"access\":\"everybody\"}", "settings::choice"),
    ] {
        let monorepo = changed(repository().file(".changeset/config.json", text));
        let refused = run(&monorepo, &[]).expect(2).stderr;
        assert!(
            refused.contains(&format!("error[{code}]"))
                && refused.contains(".changeset/config.json"),
            "{refused}"
        );
    }
    let monorepo = monorepo.file("lerna.json", "{\"version\":\"independent\"}");
    let unnamed = monorepo
        .binary(&[])
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
        .expect(0)
        .stdout;
    assert!(
        unnamed.contains("the repository has no pkgs.json"),
        "{unnamed}"
    );
}

/// A line of what is said about a failure or a plan.
fn said(monorepo: &Monorepo, arguments: &[&str], code: i32, expected: &str) {
    let run = run(monorepo, arguments).expect(code);
    let text = run.stdout + &run.stderr;
    assert!(text.contains(expected), "{expected}\n{text}");
}

#[test]
fn what_another_tools_file_says_is_called_as_it_stands_there() {
    let changesets = |text: &str| changed(repository().file(".changeset/config.json", text));
    let ignoring = changesets("{\"ignore\":[\"c\"]}");
    for (monorepo, arguments, code, expected) in [
        (
            &ignoring,
            &["--mode=sync"][..],
            2,
            "error[plan::filter]: ignore in .changeset/config.json cannot leave packages out in sync mode",
        ),
        (
            &changesets("{\"ignore\":[\"corre\"]}"),
            &[],
            2,
            "error[plan::filter]: ignore in .changeset/config.json \"corre\" names no package",
        ),
        (
            &changesets("{\"ignore\":[\"c\"],\"fixed\":[[\"a\",\"c\"]]}"),
            &[],
            2,
            "error[plan::filter]: ignore in .changeset/config.json takes in a and leaves out c",
        ),
        (
            &changesets("{\"fixed\":[[\"a\",\"x\"]]}"),
            &[],
            2,
            "error[plan::group]: fixed in .changeset/config.json \"x\" names no package",
        ),
        (
            &changesets("{\"fixed\":[[\"a\",\"b\"]]}"),
            &["--mode=sync"],
            0,
            "warning[plan::adopted]: fixed in .changeset/config.json does nothing in sync mode",
        ),
    ] {
        said(monorepo, arguments, code, expected);
    }
    for reference in [
        "origin/main",
        "refs/heads/main",
        "refs/remotes/origin/main",
        "main",
    ] {
        let config = json!({"baseBranch": reference}).to_string();
        let monorepo = changesets(&config).origin();
        let done = monorepo
            .binary(&["release", "--store=none", "--dry-run"])
            .env(
                "PKGS_REGISTRY",
                format!("file://{}", monorepo.sandbox().path().display()),
            )
            .run();
        let _ = done.expect(0);
    }
}

#[test]
fn lerna_and_we_agree_on_the_version_of_all() {
    let lerna = "{\r\n\t\"npmClient\": \"npm\",\r\n\t\"version\" :\"1.0.0\"\r\n}";
    let monorepo = changed(repository().file("lerna.json", lerna)).origin();
    let release = |arguments: &[&str]| {
        monorepo
            .binary(&[&["release", "--store=none"], arguments].concat())
            .env(
                "PKGS_REGISTRY",
                format!("file://{}", monorepo.sandbox().path().display()),
            )
            .run()
    };
    let _ = release(&[]).expect(0);
    monorepo.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    assert_eq!(monorepo.read("lerna.json"), lerna.replace("1.0.0", "1.1.0"));
    // Where each package has its own version, lerna's file holds none.
    let own = json!({"version": "independent"}).to_string();
    let own = changed(repository().file("lerna.json", &own));
    let found = plan(&own, &["--mode=sync"]);
    assert!(
        !found["edits"].to_string().contains("lerna.json"),
        "{found:#}"
    );

    for version in [json!("next"), json!(""), json!(5), json!({})] {
        let text = json!({"version": version}).to_string();
        let wrong = changed(repository().file("lerna.json", &text));
        said(
            &wrong,
            &[],
            2,
            "error[settings::choice]: version in lerna.json is",
        );
    }
}

#[test]
fn what_lernas_commands_are_told_counts_where_we_can_say_the_same() {
    let with = |lerna: Value| {
        let monorepo = Monorepo::new()
            .package("a", "1.0.0")
            .file("lerna.json", &lerna.to_string());
        std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("there is one");
        monorepo.released().commit(
            "feat: x",
            &[("packages/a/a.md", "1\n"), ("packages/a/docs/a.js", "1\n")],
        )
    };
    let adopted = |found: &Value| -> Vec<String> {
        let list = found["adopted"].as_array().expect("a list").iter();
        list.map(|one| one["setting"].as_str().expect("text").to_owned())
            .collect()
    };
    let told = json!({"version": "1.0.0", "command": {
        "publish": {"ignoreChanges": ["*.md", "**/docs/**", "packages/*/test/*"]},
        "version": {"ignoreChanges": [], "message": "chore: %s (%v)", "allowBranch": ["main", "next"]},
    }});
    let monorepo = with(told);
    let found = plan(&monorepo, &[]);
    assert_eq!(
        adopted(&found),
        ["branch", "commit-message", "ignore", "mode"]
    );
    // Every file that changed is one of those that do not count.
    assert_eq!(found["packages"], json!([]), "{found:#}");
    assert_eq!(found["warnings"], json!([]));
    let monorepo = monorepo
        .commit("feat: y", &[("packages/a/a.js", "1\n")])
        .origin();
    let _ = monorepo
        .binary(&["release", "--store=none"])
        .env(
            "PKGS_REGISTRY",
            format!("file://{}", monorepo.sandbox().path().display()),
        )
        .run()
        .expect(0);
    monorepo.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    let subject = monorepo.git(&["log", "-1", "--format=%s"]);
    assert_eq!(subject.trim(), "chore: v1.1.0 (1.1.0)");

    let other = json!({"version": "independent", "command": {"version": {
        "ignoreChanges": ["docs/**"], "message": "chore: %s", "allowBranch": "release/*", "push": false,
    }}});
    let found = plan(&with(other.clone()), &[]);
    assert_eq!(adopted(&found), ["mode"]);
    let warning = "command.version.allowBranch, command.version.ignoreChanges, command.version.message in lerna.json cannot be taken over as it stands; say here what you mean: branch, ignore, commit-message";
    let push = "not taken over from lerna.json: command.version.push (release pushes always; push false keeps what version decides here)";
    let notice = |message| json!({"code": "plan::adopted", "message": message});
    assert_eq!(found["warnings"], json!([notice(warning), notice(push)]));
    // What we are told ourselves leaves nothing to say.
    let ours = json!({"branch": ["main"], "ignore": ["docs/**"], "commitMessage": "chore: x", "push": false});
    let found = plan(&with(other).config(&ours), &[]);
    assert_eq!(found["warnings"], json!([]), "{found:#}");
}

#[test]
fn keys_that_are_not_taken_over_are_told_with_what_holds_instead() {
    let warnings = |file: &str, text: &Value, ours: &[&str]| -> Vec<String> {
        let monorepo = changed(repository().file(file, &text.to_string()));
        let found = plan(&monorepo, ours);
        let list = found["warnings"].as_array().expect("a list").iter();
        let told = list.filter(|one| one["code"] == "plan::adopted");
        told.map(|one| one["message"].as_str().expect("text").to_owned())
            .collect()
    };
    let file = ".changeset/config.json";
    let config = json!({
        "$schema": "x", "changelog": ["x", {}], "commit": false, "snapshot": {"useCalculatedVersion": true}, "nonsense": 1,
        "privatePackages": false, "updateInternalDependencies": "minor", "bumpVersionsWithWorkspaceProtocolOnly": true, "ignore": ["b"],
    });
    let told = warnings(file, &config, &[]);
    assert_eq!(told.len(), 1, "{told:?}");
    for key in [
        "changelog (",
        "commit (",
        "snapshot (",
        "nonsense (nothing here knows it)",
        "privatePackages (",
        "updateInternalDependencies (",
        "bumpVersionsWithWorkspaceProtocolOnly (",
    ] {
        assert!(told[0].contains(key), "{key}: {told:?}");
    }
    assert!(!told[0].contains("schema"), "{told:?}");
    let told = warnings(file, &config, &["--changelog=root", "--filter=none"]);
    assert!(
        !told[0].contains(" changelog (") && !told[0].contains("privatePackages ("),
        "{told:?}"
    );

    let lerna = json!({"version": "independent", "command": {
        "version": {"exact": true, "preid": "rc", "tagVersionPrefix": "r"},
        "publish": {"distTag": "next", "registry": "https://r.example/", "packages": []},
    }});
    // Where the registry is set, the one that stands there needs no line.
    let told = warnings("lerna.json", &lerna, &[]);
    let keys: Vec<&str> = told[0]
        .split(|letter: char| letter.is_whitespace())
        .filter(|word| word.starts_with("command."))
        .collect();
    assert_eq!(
        keys,
        [
            "command.version.exact",
            "command.version.preid",
            "command.publish.packages",
        ],
        "{told:?}"
    );
}

#[test]
fn lernas_tags_and_dist_tag_are_ours() {
    for (lerna, tag, dist_tag) in [
        (
            json!({"version": "1.0.0", "tagVersionPrefix": "r"}),
            "r1.1.0",
            "latest",
        ),
        (
            json!({"version": "1.0.0", "tagVersionPrefix": ""}),
            "1.1.0",
            "latest",
        ),
        (
            json!({"version": "1.0.0", "command": {"publish": {"distTag": "next"}}}),
            "v1.1.0",
            "next",
        ),
        (
            json!({"version": "independent", "tagVersionPrefix": "r"}),
            "a@1.1.0",
            "latest",
        ),
        (
            json!({"version": "independent", "tagVersionSeparator": "_"}),
            "a_1.1.0",
            "latest",
        ),
    ] {
        let monorepo = changed(repository().file("lerna.json", &lerna.to_string()));
        let found = plan(&monorepo, &[]);
        let package = &found["packages"][0];
        assert_eq!(
            [&package["tag"], &package["distTag"]],
            [tag, dist_tag],
            "{found:#}"
        );
        assert_eq!(found["warnings"], json!([]), "{lerna}");
    }
}
