//! `prerelease`, `branches`, `bump=prepatch … graduate`: which prereleases there are, what they become, and where `latest` stays.

use pkgs_action::version::line::Identifier;
use pkgs_action::version::{Bump, Version, ZeroMajor};
use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::plans::{plan, run};
use crate::support::sandbox::{Run, Sandbox, search_path};
use crate::support::static_server::StaticServer;

/// `name from -> to [dist-tag]: kinds of reasons`, for each package.
fn lines(plan: &Value) -> Vec<String> {
    let packages = plan["packages"].as_array().expect("a list");
    let line = |package: &Value| {
        let text = |field: &str| package[field].as_str().unwrap_or("-").to_owned();
        let reasons = package["reasons"].as_array().expect("a list").iter();
        let kinds: Vec<&str> = reasons
            .map(|reason| reason["kind"].as_str().expect("a kind"))
            .collect();
        let [name, from, to, tag] = ["name", "from", "to", "distTag"].map(text);
        format!("{name} {from} -> {to} [{tag}]: {}", kinds.join(", "))
    };
    packages.iter().map(line).collect()
}

fn warnings(plan: &Value) -> Vec<&str> {
    let warnings = plan["warnings"].as_array().expect("a list").iter();
    warnings
        .map(|warning| warning["code"].as_str().expect("a code"))
        .collect()
}

fn check(title: &str, monorepo: &Monorepo, arguments: &[&str], expected: &[&str]) {
    let plan = plan(monorepo, arguments);
    assert_eq!(lines(&plan), expected, "{title}: {plan:#}");
}

fn refused(monorepo: &Monorepo, arguments: &[&str], exit: i32, wanted: &[&str]) {
    let stderr = run(monorepo, &[&["plan"], arguments].concat())
        .expect(exit)
        .stderr;
    for wanted in wanted {
        assert!(stderr.contains(wanted), "no {wanted:?} in {stderr}");
    }
}

/// Releases what the branch holds and takes the release commit.
fn release(monorepo: &Monorepo) {
    monorepo.git(&["push", "--quiet", "--set-upstream", "origin", "HEAD"]);
    let _ = run(monorepo, &["release"]).expect(0);
    monorepo.git(&["pull", "--quiet", "--ff-only"]);
}

/// `a`, `b` that depends on it, and `c` alone; released from `main`.
fn three(config: &Value) -> Monorepo {
    Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("c", "1.0.0")
        .depends("b", "a", "^1.0.0")
        .config(config)
        .released()
}

fn change(monorepo: Monorepo, package: &str, subject: &str) -> Monorepo {
    let text = format!("// {subject}\n");
    monorepo.commit(
        subject,
        &[(&format!("packages/{package}/src/more.js"), &text)],
    )
}

/// What npm knows of a package in the directory registry.
fn dist_tags(monorepo: &Monorepo, package: &str) -> Value {
    let npm = monorepo.sandbox().path().join("npm");
    let server = StaticServer::start(npm);
    let asked = [
        "view",
        package,
        "dist-tags",
        "--json",
        "--registry",
        &server.url(),
    ];
    serde_json::from_str(&monorepo.npm(&asked)).expect("JSON")
}

#[test]
fn a_branch_releases_betas_and_the_main_branch_what_they_announce() {
    let monorepo = three(&json!({"mode": "diff", "branches": {"next": "beta"}})).origin();
    monorepo.git(&["checkout", "--quiet", "-b", "next"]);
    let monorepo = change(monorepo, "a", "feat(a): one");
    let found = plan(&monorepo, &[]);
    assert_eq!(
        lines(&found),
        [
            "a 1.0.0 -> 1.1.0-beta.0 [beta]: commit",
            "b 1.0.0 -> 1.0.1-beta.0 [beta]: dependency",
        ]
    );
    assert_eq!(found["unchanged"], json!(["c"]));
    release(&monorepo);
    assert_eq!(
        monorepo.json("packages/b/package.json")["dependencies"],
        json!({"a": "^1.1.0-beta.0"})
    );
    let monorepo = change(monorepo, "a", "fix(a): two");
    let next = ["a 1.1.0-beta.0 -> 1.1.0-beta.1 [beta]: commit"];
    check("the range of b holds", &monorepo, &[], &next);
    release(&monorepo);
    check("nothing changed", &monorepo, &[], &[]);
    let monorepo = change(monorepo, "a", "feat(a)!: three");
    release(&monorepo);

    // npm takes the beta, and from its dependent the exact beta that it was made for.
    let server = StaticServer::start(monorepo.sandbox().path().join("npm"));
    let project = monorepo.sandbox().path().join("project");
    std::fs::create_dir(&project).expect("a directory");
    std::fs::write(project.join("package.json"), "{}").expect("a file");
    let prefix = project.display().to_string();
    monorepo.npm(&[
        "install",
        "--prefix",
        &prefix,
        "--registry",
        &server.url(),
        "b@beta",
    ]);
    let installed = |name: &str| {
        let path = project.join("node_modules").join(name).join("package.json");
        let text = std::fs::read_to_string(path).expect("a file");
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        manifest["version"].as_str().expect("text").to_owned()
    };
    assert_eq!(
        [installed("a"), installed("b")],
        ["2.0.0-beta.0", "1.0.1-beta.1"]
    );

    monorepo.git(&["checkout", "--quiet", "main"]);
    check("main holds nothing of it yet", &monorepo, &[], &[]);
    monorepo.git(&["merge", "--quiet", "--no-ff", "--no-edit", "next"]);
    let graduated = [
        "a 2.0.0-beta.0 -> 2.0.0 [latest]: graduate, commit, commit, commit",
        "b 1.0.1-beta.1 -> 1.0.1 [latest]: graduate, dependency",
    ];
    check("merged", &monorepo, &[], &graduated);
    let found = plan(&monorepo, &[]);
    assert_eq!(
        found["packages"][1]["reasons"],
        json!([
            {"kind": "graduate", "from": "1.0.1-beta.1"},
            {"kind": "dependency", "on": "a", "from": "2.0.0-beta.0", "to": "2.0.0"},
        ])
    );
    assert_eq!(
        found["packages"][1]["notes"]["dependencies"],
        json!([{"name": "a", "version": "2.0.0"}])
    );
    let why = run(&monorepo, &["why", "b"]).expect(0).stdout;
    assert!(
        why.contains(
            "it was released as 1.0.1-beta.1, and this branch does not go on with that: 1.0.1"
        ),
        "{why}"
    );
    release(&monorepo);
    assert_eq!(
        monorepo.json("packages/b/package.json")["dependencies"],
        json!({"a": "^2.0.0"})
    );
    let section = monorepo.read("packages/a/CHANGELOG.md");
    let section = section.split("\n## ").nth(1).expect("a section");
    for words in ["2.0.0 (", "three", "one", "two"] {
        assert!(section.contains(words), "everything since 1.0.0: {section}");
    }
    assert_eq!(
        dist_tags(&monorepo, "a"),
        json!({"beta": "2.0.0-beta.0", "latest": "2.0.0"})
    );
    check("and that is all", &monorepo, &[], &[]);
    let again = change(monorepo, "a", "fix(a): four");
    let after = ["a 2.0.0 -> 2.0.1 [latest]: commit"];
    check("main goes on", &again, &[], &after);
}

#[test]
fn release_as_names_what_the_betas_announce() {
    let config = json!({"mode": "diff", "prerelease": "beta"});
    let monorepo = change(three(&config), "c", "feat(c): x\n\nRelease-As: 3.0.0");
    let first = ["c 1.0.0 -> 3.0.0-beta.0 [beta]: release-as, commit"];
    check("named", &monorepo, &[], &first);
    let monorepo = monorepo.origin();
    release(&monorepo);
    let monorepo = change(monorepo, "c", "feat(c): y");
    let second = ["c 3.0.0-beta.0 -> 3.0.0-beta.1 [beta]: commit"];
    check("counted", &monorepo, &[], &second);
}

#[test]
fn a_group_counts_together_and_graduates_together() {
    let config = json!({"mode": "diff", "fixed": [["a", "c"]], "branches": {"next": "beta"}});
    let monorepo = three(&config).origin();
    monorepo.git(&["checkout", "--quiet", "-b", "next"]);
    let monorepo = change(monorepo, "c", "feat(c): one");
    let first = [
        "a 1.0.0 -> 1.1.0-beta.0 [beta]: group",
        "b 1.0.0 -> 1.0.1-beta.0 [beta]: dependency",
        "c 1.0.0 -> 1.1.0-beta.0 [beta]: commit",
    ];
    check("both", &monorepo, &[], &first);
    release(&monorepo);
    let monorepo = change(monorepo, "a", "fix(a): two");
    let second = [
        "a 1.1.0-beta.0 -> 1.1.0-beta.1 [beta]: commit",
        "c 1.1.0-beta.0 -> 1.1.0-beta.1 [beta]: group",
    ];
    check("together", &monorepo, &[], &second);
    release(&monorepo);
    let graduated = [
        "a 1.1.0-beta.1 -> 1.1.0 [latest]: graduate, commit",
        "b 1.0.1-beta.0 -> 1.0.1 [latest]: graduate, dependency",
        "c 1.1.0-beta.1 -> 1.1.0 [latest]: graduate, commit",
    ];
    check("all", &monorepo, &["--bump=graduate"], &graduated);
}

#[test]
fn a_pull_request_is_planned_as_what_its_branch_will_release() {
    let config = json!({"mode": "diff", "branches": {"next": "beta", "1.x": "1.x"}});
    let monorepo = change(three(&config), "c", "feat(c): one");
    for (base, expected) in [
        ("main", "c 1.0.0 -> 1.1.0 [latest]: commit"),
        ("next", "c 1.0.0 -> 1.1.0-beta.0 [beta]: commit"),
        ("1.x", "c 1.0.0 -> 1.1.0 [latest-1]: commit"),
    ] {
        let planned = monorepo
            .binary(&["plan", "--format=json"])
            .in_actions("pull_request", "refs/pull/12/merge")
            .env("GITHUB_BASE_REF", base)
            .env("PKGS_STORE", "none")
            .run()
            .expect(0);
        assert_eq!(lines(&planned.json()), [expected], "{base}");
    }
}

#[test]
fn a_sealed_beta_of_an_app_and_what_it_uses() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .service("web", "1.0.0")
        .depends("web", "a", "^1.0.0")
        .config(&json!({"mode": "diff", "install": "none", "branches": {"next": "beta"}}))
        .released()
        .origin();
    let store = monorepo.sandbox().path().join("store");
    let npm = monorepo.sandbox().path().join("npm");
    for directory in [&store, &npm] {
        std::fs::create_dir_all(directory).expect("a directory");
    }
    monorepo.git(&["checkout", "--quiet", "-b", "next"]);
    let monorepo = change(monorepo, "a", "feat(a): one").pushed();
    let released = || {
        monorepo
            .binary(&["release", "--format=json"])
            .env("PKGS_REGISTRY", format!("file://{}", npm.display()))
            .env("PKGS_STORE", format!("file://{}", store.display()))
            .run()
            .expect(0)
            .json()
    };
    let found = released();
    let package = |index: usize| {
        let package = &found["release"]["packages"][index];
        ["name", "to", "distTag", "tag"].map(|field| package[field].clone())
    };
    assert_eq!(
        [package(0), package(1)],
        [
            [
                json!("a"),
                json!("1.1.0-beta.0"),
                json!("beta"),
                json!("a@1.1.0-beta.0")
            ],
            [
                json!("web"),
                json!("1.0.1-beta.0"),
                Value::Null,
                json!("web@1.0.1-beta.0")
            ],
        ]
    );
    assert!(store.join("v1/apps/web/1.0.1-beta.0/any.json").is_file());
    let again = released();
    assert_eq!(again["outcome"], "released");
    assert_eq!(again["release"]["tags"], found["release"]["tags"]);
}

#[test]
fn a_merge_that_squashes_or_rebases_graduates_too() {
    let monorepo = three(&json!({"mode": "diff", "branches": {"next": "beta"}})).origin();
    monorepo.git(&["checkout", "--quiet", "-b", "next"]);
    let monorepo = change(monorepo, "c", "feat(c): one");
    release(&monorepo);
    monorepo.git(&["checkout", "--quiet", "main"]);
    monorepo.git(&["merge", "--quiet", "--squash", "next"]);
    let monorepo = monorepo.commit("feat(c): all of next", &[]);
    let squashed = ["c 1.1.0-beta.0 -> 1.1.0 [latest]: graduate, commit"];
    check("squashed", &monorepo, &[], &squashed);
}

#[test]
fn betas_whose_release_another_branch_made_announce_all_that_it_does_not_hold() {
    for mode in ["diff", "sync"] {
        let monorepo = Monorepo::new()
            .package("a", "1.0.0")
            .config(&json!({"mode": mode, "branches": {"next": "beta"}}))
            .released()
            .origin();
        monorepo.git(&["checkout", "--quiet", "-b", "next"]);
        let monorepo = change(monorepo, "a", "feat(a)!: of next");
        release(&monorepo);
        monorepo.git(&["checkout", "--quiet", "main"]);
        let monorepo = monorepo.commit("feat(a)!: of main", &[("packages/a/src/main.js", "1\n")]);
        release(&monorepo);
        assert_eq!(monorepo.json("packages/a/package.json")["version"], "2.0.0");
        monorepo.git(&["checkout", "--quiet", "next"]);
        let monorepo = monorepo.commit("fix(a): after", &[("packages/a/src/after.js", "1\n")]);
        let found = plan(&monorepo, &[]);
        assert_eq!(
            found["packages"][0]["to"], "3.0.0-beta.0",
            "{mode}: {found:#}"
        );
        let kinds = found["packages"][0]["reasons"].as_array().map(Vec::len);
        assert_eq!(kinds, Some(2), "{mode}: {found:#}");
    }
}

#[test]
fn an_intent_that_two_branches_released_is_told_once() {
    let intent = |name: &str, package: &str, text: &str| {
        let text = format!("---\n{package}: minor\n---\n\n{text}\n");
        (format!(".changeset/{name}.md"), text)
    };
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .config(&json!({"mode": "diff", "branches": {"next": "beta"}}))
        .released();
    let told = |monorepo: Monorepo, name: &str, text: &str| {
        let (file, content) = intent(name, "a", text);
        monorepo.commit("feat: tell", &[(&file, &content)])
    };
    let monorepo = told(monorepo, "x", "Of both").origin();
    monorepo.git(&["checkout", "--quiet", "-b", "next"]);
    release(&monorepo);
    monorepo.git(&["checkout", "--quiet", "main"]);
    release(&monorepo);
    monorepo.git(&["checkout", "--quiet", "next"]);
    let monorepo = told(monorepo, "y", "Of next");
    release(&monorepo);
    monorepo.git(&["checkout", "--quiet", "main"]);
    let merge = [
        "merge",
        "--quiet",
        "--no-edit",
        "--strategy-option=theirs",
        "next",
    ];
    monorepo.git(&merge);
    let notes = plan(&monorepo, &[])["packages"][0]["notes"].to_string();
    assert!(notes.contains("Of next"), "{notes}");
    assert!(!notes.contains("Of both"), "{notes}");
}

#[test]
fn a_snapshot_of_what_was_never_released_is_no_base() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .commit("feat: begin", &[])
        .origin();
    monorepo.git(&["checkout", "--quiet", "-b", "request"]);
    let monorepo = change(monorepo, "a", "feat(a): try this");
    let _ = run(&monorepo, &["release", "--snapshot=pr-1"]).expect(0);
    check(
        "at the commit itself",
        &monorepo,
        &[],
        &["a 1.0.0 -> 1.0.0 [latest]: first"],
    );
    monorepo.git(&["checkout", "--quiet", "main"]);
    monorepo.git(&["branch", "--quiet", "--delete", "--force", "request"]);
    check(
        "where it does not lead",
        &monorepo,
        &[],
        &["a 1.0.0 -> 1.0.0 [latest]: first"],
    );
    release(&monorepo);
    assert_eq!(dist_tags(&monorepo, "a")["latest"], "1.0.0");
}

#[test]
fn a_prerelease_of_one_package_makes_no_others_prereleases() {
    let config = json!({"mode": "diff", "prerelease": {"a": "rc"}});
    let monorepo = change(three(&config), "a", "feat(a): one");
    let found = plan(&monorepo, &[]);
    assert_eq!(
        lines(&found),
        [
            "a 1.0.0 -> 1.1.0-rc.0 [rc]: commit",
            "b 1.0.0 -> 1.0.1 [latest]: dependency",
        ]
    );
    assert_eq!(warnings(&found), ["plan::prerelease_needed"]);
    let all = [
        "a 1.0.0 -> 1.1.0-beta.0 [beta]: commit",
        "b 1.0.0 -> 1.0.1-beta.0 [beta]: dependency",
    ];
    check("asked of all", &monorepo, &["--prerelease=beta"], &all);
    let but_b = ["--prerelease=packages/*=beta", "--prerelease=b=none"];
    let but = [
        "a 1.0.0 -> 1.1.0-beta.0 [beta]: commit",
        "b 1.0.0 -> 1.0.1 [latest]: dependency",
    ];
    check("the last that matches decides", &monorepo, &but_b, &but);
    refused(
        &monorepo,
        &["--prerelease=d=beta"],
        2,
        &["error[plan::prerelease]: prerelease \"d\" names no package"],
    );
    refused(
        &monorepo,
        &["--prerelease=latest"],
        2,
        &["error[version::identifier]: --prerelease:"],
    );
    refused(
        &monorepo,
        &["--fixed=a c"],
        2,
        &["error[plan::prerelease]", "share one version"],
    );
    refused(
        &monorepo,
        &["--mode=sync"],
        2,
        &["error[plan::prerelease]", "in sync mode"],
    );
}

#[test]
fn bumps_to_prereleases_are_those_of_npm_and_graduate_ends_them() {
    let monorepo = change(three(&json!({"mode": "diff"})), "c", "fix(c): one");
    for (bump, to) in [
        ("prepatch", "1.0.1-beta.0"),
        ("preminor", "1.1.0-beta.0"),
        ("premajor", "2.0.0-beta.0"),
        ("prerelease", "1.0.1-beta.0"),
        ("major", "2.0.0-beta.0"),
    ] {
        let wanted = format!("c 1.0.0 -> {to} [beta]: asked, commit");
        let asked = [&format!("--bump={bump}"), "--prerelease=beta"];
        check(bump, &monorepo, &asked, &[&wanted]);
    }
    refused(
        &monorepo,
        &["--bump=preminor"],
        2,
        &[
            "error[plan::no_identifier]: c is at 1.0.0",
            "--prerelease beta",
        ],
    );
    check(
        "graduate is auto for what is no prerelease",
        &monorepo,
        &["--bump=graduate"],
        &["c 1.0.0 -> 1.0.1 [latest]: commit"],
    );
    let beta = Monorepo::new()
        .package("c", "1.1.0-beta.4")
        .package("d", "1.0.0")
        .released();
    check("a beta stays", &beta, &[], &[]);
    check(
        "unless it is asked for",
        &beta,
        &["--bump=graduate"],
        &["c 1.1.0-beta.4 -> 1.1.0 [latest]: graduate"],
    );
    let beta = change(beta, "c", "fix(c): one");
    for (bump, to) in [
        ("prerelease", "1.1.0-beta.5"),
        ("preminor", "1.2.0-beta.0"),
        ("prepatch", "1.1.1-beta.0"),
    ] {
        let wanted = format!("c 1.1.0-beta.4 -> {to} [beta]: asked, commit");
        check(bump, &beta, &[&format!("--bump={bump}")], &[&wanted]);
    }
    refused(
        &beta,
        &["--prerelease=alpha"],
        3,
        &["error[plan::bump]: c cannot become 1.1.0-alpha.0: it is at 1.1.0-beta.4 already"],
    );
}

#[test]
fn all_packages_at_one_version_are_prereleases_together() {
    let monorepo = Monorepo::new()
        .config(&json!({"mode": "sync", "branches": {"next": "beta"}}))
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .depends("b", "a", "^1.0.0")
        .commit("chore: release", &[])
        .tag("v1.0.0")
        .origin();
    monorepo.git(&["checkout", "--quiet", "-b", "next"]);
    let monorepo = change(monorepo, "a", "feat(a): one");
    let betas = [
        "a 1.0.0 -> 1.1.0-beta.0 [beta]: commit",
        "b 1.0.0 -> 1.1.0-beta.0 [beta]: group",
    ];
    check("next", &monorepo, &[], &betas);
    release(&monorepo);
    monorepo.git(&["checkout", "--quiet", "main"]);
    monorepo.git(&["merge", "--quiet", "--ff-only", "next"]);
    let graduated = [
        "a 1.1.0-beta.0 -> 1.1.0 [latest]: graduate, commit",
        "b 1.1.0-beta.0 -> 1.1.0 [latest]: graduate",
    ];
    check("main", &monorepo, &[], &graduated);
}

#[test]
fn an_older_line_never_touches_latest_and_is_never_left() {
    let config = json!({"mode": "diff", "branches": {"1.x": "1.x", "v1.0": "1.0.x"}});
    let monorepo = Monorepo::new()
        .package("c", "1.0.0")
        .package("d", "1.0.0")
        .config(&config)
        .commit("feat: begin", &[])
        .origin();
    release(&monorepo);
    monorepo.git(&["branch", "1.x"]);
    monorepo.git(&["branch", "v1.0"]);
    let monorepo = change(monorepo, "c", "feat(c)!: two");
    release(&monorepo);
    monorepo.git(&["checkout", "--quiet", "1.x"]);
    let monorepo = change(monorepo, "c", "feat(c): for the old line");
    let found = plan(&monorepo, &[]);
    assert_eq!(lines(&found), ["c 1.0.0 -> 1.1.0 [latest-1]: commit"]);
    assert_eq!(warnings(&found), ["plan::older_line"]);
    release(&monorepo);
    let tags = json!({"latest": "2.0.0", "latest-1": "1.1.0"});
    assert_eq!(dist_tags(&monorepo, "c"), tags);
    // A run that was killed before it published left only its tags: the next one goes on, and `latest` stays all the same.
    let packument = monorepo.sandbox().path().join("npm/c");
    let text = std::fs::read_to_string(&packument).expect("a packument");
    let mut before: Value = serde_json::from_str(&text).expect("JSON");
    before["dist-tags"] = json!({"latest": "2.0.0"});
    before["versions"]
        .as_object_mut()
        .expect("an object")
        .remove("1.1.0");
    std::fs::write(&packument, before.to_string()).expect("a file");
    let _ = run(&monorepo, &["release"]).expect(0);
    assert_eq!(dist_tags(&monorepo, "c"), tags);
    let breaking = change(monorepo, "c", "feat(c)!: too far");
    refused(
        &breaking,
        &[],
        3,
        &["error[plan::line]: c would go from 1.1.0 to 2.0.0, but this branch is for 1.x"],
    );
    // What the error sends to answers.
    let why = run(&breaking, &["why", "c"]).expect(0).stdout;
    assert!(
        why.contains("warning[plan::line]: c would go from 1.1.0 to 2.0.0")
            && why.contains("too far"),
        "{why}"
    );
    breaking.git(&["checkout", "--quiet", "v1.0"]);
    let monorepo = change(breaking, "c", "fix(c): for an older line");
    release(&monorepo);
    // `latest-1` names 1.1.0, which is higher.
    let tags = json!({"latest": "2.0.0", "latest-1": "1.1.0", "latest-1.0": "1.0.1"});
    assert_eq!(dist_tags(&monorepo, "c"), tags);
    let feature = change(monorepo, "c", "feat(c): too far");
    refused(&feature, &[], 3, &["error[plan::line]", "1.0.x"]);
    let named = ["--bump=patch", "--npm-tag=old"];
    let asked = ["c 1.0.1 -> 1.0.2 [old]: asked, commit"];
    check("a named dist-tag", &feature, &named, &asked);
}

#[test]
fn what_prereleases_are_called_is_checked_wherever_it_is_said() {
    let monorepo = three(&json!({"mode": "diff"}));
    for (config, wanted) in [
        (
            json!({"branches": {"next": "1"}}),
            "error[version::identifier]: branches in pkgs.json:",
        ),
        (
            json!({"branches": "beta"}),
            "error[settings::branches]: branches in pkgs.json",
        ),
        (
            json!({"branches": ["next"]}),
            "error[settings::type]: branches in pkgs.json",
        ),
        (
            json!({"prerelease": {"a": 1}}),
            "error[settings::type]: prerelease in pkgs.json",
        ),
        (
            json!({"prerelease": "be.ta"}),
            "error[version::identifier]: prerelease in pkgs.json:",
        ),
    ] {
        monorepo.write("pkgs.json", &config.to_string());
        refused(&monorepo, &[], 2, &[wanted]);
    }
    monorepo.write("pkgs.json", r#"{"mode": "diff", "prerelease": "beta"}"#);
    let monorepo = change(monorepo, "c", "fix(c): one");
    let beta = ["c 1.0.0 -> 1.0.1-beta.0 [beta]: commit"];
    check("a file", &monorepo, &[], &beta);
    let rc = monorepo
        .binary(&["plan", "--format=json"])
        .env("PKGS_STORE", "none")
        .env("PKGS_PRERELEASE", "rc")
        .run()
        .expect(0);
    assert_eq!(lines(&rc.json()), ["c 1.0.0 -> 1.0.1-rc.0 [rc]: commit"]);
    let none = ["c 1.0.0 -> 1.0.1 [latest]: commit"];
    check("none empties it", &monorepo, &["--prerelease=none"], &none);
}

#[test]
fn the_plan_of_a_prerelease_for_people() {
    let monorepo = three(&json!({"mode": "diff", "prerelease": {"a": "beta"}}));
    let monorepo = change(monorepo, "a", "feat(a): one");
    let head = monorepo.head();
    let text = run(&monorepo, &["plan"]).expect(0).stdout;
    assert_eq!(
        text.lines()
            .filter(|line| !line.starts_with("missing"))
            .collect::<Vec<_>>()
            .join("\n"),
        format!(
            "\
mode diff (as it is set)
  a  1.0.0 → 1.1.0-beta.0  [npm, beta]
       {} feat(a): one (minor)
  b  1.0.0 → 1.0.1  [npm, latest]
       depends on a ^1.0.0, which 1.0.0 → 1.1.0-beta.0 leaves
tags: a@1.1.0-beta.0, b@1.0.1
edits: package-lock.json, packages/a/CHANGELOG.md, packages/a/package.json, packages/b/CHANGELOG.md, packages/b/package.json
publish order: a, b
not released: c
warning[plan::prerelease_needed]: b 1.0.1 is no prerelease, and needs the prerelease 1.1.0-beta.0 of a",
            &head[..7]
        )
    );
}

/// A pull request from the repository `from`, which may be gone.
fn request(monorepo: &Monorepo, from: &Value, arguments: &[&str]) -> Run {
    let event = monorepo.sandbox().path().join("request.json");
    let payload = json!({
        "pull_request": {"head": {"repo": from}},
        "repository": {"full_name": "acme/monorepo"},
    });
    std::fs::write(&event, payload.to_string()).expect("a file");
    let npm = monorepo.sandbox().path().join("npm");
    monorepo
        .binary(arguments)
        .in_actions("pull_request", "refs/pull/12/merge")
        .env("GITHUB_EVENT_PATH", event)
        .env("PKGS_REGISTRY", format!("file://{}", npm.display()))
        .env("PKGS_INSTALL", "none")
        .run()
}

#[test]
fn a_snapshot_is_published_once_and_leaves_nothing_but_itself() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("c", "1.0.0")
        .service("web", "1.0.0")
        .depends("b", "a", "^1.0.0")
        .depends("web", "b", "^1.0.0")
        .config(&json!({"mode": "diff"}))
        .commit("feat: begin", &[])
        .origin();
    release(&monorepo);
    let monorepo = change(monorepo, "a", "feat(a): try this");
    monorepo.git(&["checkout", "--quiet", "--detach"]);
    let (head, tags) = (monorepo.head(), monorepo.tags());
    let version = format!("0.0.0-pr-12-{}", &head[..12]);
    let release = ["release", "--snapshot=pr-12"];

    let own = json!({"full_name": "acme/monorepo"});
    let fork = json!({"full_name": "mallory/monorepo"});
    for (from, arguments) in [
        (&fork, &release[..]),
        (&Value::Null, &release[..]),
        (&own, &["release"][..]),
    ] {
        let refused = request(&monorepo, from, arguments).expect(3).stderr;
        let code = "error[release::untrusted_event]";
        assert!(refused.contains(code), "{refused}");
    }
    refused(
        &monorepo,
        &["--snapshot=true", "--bump=minor"],
        2,
        &["error[plan::snapshot]"],
    );
    check(
        "planned",
        &monorepo,
        &["--snapshot=true"],
        &[
            &format!(
                "a 1.0.0 -> 0.0.0-snapshot-{} [snapshot]: commit",
                &head[..12]
            ),
            &format!(
                "b 1.0.0 -> 0.0.0-snapshot-{} [snapshot]: dependency",
                &head[..12]
            ),
        ],
    );

    let first = request(&monorepo, &own, &release).expect(0);
    let told = format!(
        "published the snapshot of {}\n  a {version} on the registry\n  b {version} on the registry\n",
        &head[..7]
    );
    assert!(first.stdout.ends_with(&told), "{}", first.stdout);
    assert_eq!(
        (
            first.outputs["released"].as_str(),
            first.outputs["tags"].as_str()
        ),
        ("true", "[]")
    );
    assert_eq!((monorepo.head(), monorepo.tags()), (head.clone(), tags));
    assert_eq!(monorepo.git(&["status", "--porcelain"]), "");
    for package in ["a", "b"] {
        let tags = json!({"latest": "1.0.0", "pr-12": version});
        assert_eq!(dist_tags(&monorepo, package), tags);
    }
    assert_eq!(dist_tags(&monorepo, "c"), json!({"latest": "1.0.0"}));
    let server = StaticServer::start(monorepo.sandbox().path().join("npm"));
    let address = server.url();
    let needs = |package: &str| {
        let asked = [
            "view",
            package,
            "dependencies",
            "--json",
            "--registry",
            &address,
        ];
        serde_json::from_str::<Value>(&monorepo.npm(&asked)).expect("JSON")
    };
    assert_eq!(needs("b@pr-12"), json!({"a": version}));

    let again = request(&monorepo, &own, &release).expect(0);
    let told = format!("already published: the snapshot of {}\n", &head[..7]);
    assert!(again.stdout.contains(&told), "{}", again.stdout);

    // A later snapshot takes the dist-tag, whatever its commit is called.
    let monorepo = change(monorepo, "a", "fix(a): try that");
    let later = format!("0.0.0-pr-12-{}", &monorepo.head()[..12]);
    let _ = request(&monorepo, &own, &release).expect(0);
    let tags = json!({"latest": "1.0.0", "pr-12": later});
    assert_eq!(dist_tags(&monorepo, "b"), tags);
}

/// What npm's own `semver.inc` makes of each version with each kind of prerelease, as lines.
fn npms_own(versions: &[String], kinds: &[&str]) -> Vec<String> {
    const SCRIPT: &str = "\
        const [versions, kinds] = process.argv.slice(1).map((list) => list.split(' '));\n\
        const at = (directory) => require('path').join(directory, 'npm');\n\
        const npm = process.env.PATH.split(':').map(at).find(require('fs').existsSync);\n\
        const semver = require('module').createRequire(require('fs').realpathSync(npm))('semver');\n\
        for (const version of versions) for (const kind of kinds)\n\
          console.log(version, kind, semver.inc(version, kind, 'beta'));\n";
    let sandbox = Sandbox::new();
    let arguments = ["-e", SCRIPT, &versions.join(" "), &kinds.join(" ")];
    let output = sandbox
        .command("node", sandbox.path())
        .args(arguments)
        .env("PATH", search_path())
        .output()
        .expect("node runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().map(str::to_owned).collect()
}

#[test]
fn prereleases_count_as_npm_counts_them() {
    let cores = [
        "0.0.0", "0.0.3", "0.2.0", "0.2.3", "1.0.0", "1.2.0", "1.2.3", "9.9.9",
    ];
    let ends = [
        "",
        "-beta.0",
        "-beta.9",
        "-beta",
        "-alpha.3",
        "-0",
        "-beta.1.2",
        "-beta.x.2",
    ];
    let versions: Vec<String> = cores
        .iter()
        .flat_map(|core| ends.iter().map(move |end| format!("{core}{end}")))
        .collect();
    let kinds = ["prerelease", "prepatch", "preminor", "premajor"];
    let beta = Identifier::parse("beta").expect("an identifier");
    let bumps = [Bump::Patch, Bump::Minor, Bump::Major];
    let ours = versions.iter().flat_map(|text| {
        let version = Version::parse(text).expect("a version");
        let next = version.next_prerelease(Bump::Patch, &beta, ZeroMajor::Strict);
        let new = bumps.map(|bump| version.new_prerelease(bump, &beta, ZeroMajor::Strict));
        let all = std::iter::once(next).chain(new).zip(kinds);
        let lines = all.map(move |(made, kind)| format!("{text} {kind} {made}"));
        lines.collect::<Vec<_>>()
    });
    assert_eq!(ours.collect::<Vec<_>>(), npms_own(&versions, &kinds));
}
