//! `why`: the whole chain behind a version, or behind its absence.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;

/// Runs without any credential: a registry that nobody answers at is not asked for packages with a tag.
fn run(monorepo: &Monorepo, arguments: &[&str]) -> Run {
    monorepo
        .binary(&[&["why"], arguments].concat())
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
}

fn why(monorepo: &Monorepo, arguments: &[&str]) -> Value {
    run(monorepo, &[arguments, &["--format=json"]].concat())
        .expect(0)
        .json()
}

/// `subject: verdict: files` of each commit, ignored files in parentheses.
fn commits(why: &Value) -> Vec<String> {
    let file = |file: &Value| {
        let path = file["path"].as_str().expect("a path");
        match file["ignored"].as_bool() {
            Some(true) => format!("({path})"),
            _ => path.to_owned(),
        }
    };
    let list = why["commits"].as_array().expect("a list");
    list.iter()
        .map(|commit| {
            let files: Vec<String> = commit["files"]
                .as_array()
                .expect("a list")
                .iter()
                .map(file)
                .collect();
            let [subject, verdict] =
                ["subject", "verdict"].map(|field| commit[field].as_str().expect("text"));
            format!("{subject}: {verdict}: {}", files.join(" "))
        })
        .collect()
}

/// What was said, without the ids of commits.
fn spoken(monorepo: &Monorepo, arguments: &[&str]) -> String {
    let said = run(monorepo, arguments).expect(0).stdout;
    let ids = monorepo.git(&["log", "--format=%h %s", "--abbrev=7"]);
    ids.lines().fold(said, |said, line| {
        let (id, _) = line.split_once(' ').expect("id and subject");
        said.replace(id, "#")
    })
}

#[test]
fn a_bundle_is_told_with_the_way_to_what_changed_in_it() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("c", "1.0.0")
        .depends("a", "b", "^1.0.0")
        .depends("b", "c", "^1.0.0")
        .edit("packages/a/package.json", |manifest| {
            manifest["bundleDependencies"] = json!(["b"]);
        })
        .released()
        .commit("fix(c): less", &[("packages/c/c.js", "1\n")]);
    let told = why(&monorepo, &["a"]);
    assert_eq!(told["rule"]["kind"], "bundled");
    assert_eq!(
        told["chain"][0]["reasons"],
        json!([{"kind": "bundled", "on": "c", "from": "1.0.0", "to": "1.0.1", "through": ["b"]}])
    );
    assert_eq!(
        spoken(&monorepo, &["a"]),
        "a 1.0.0 → 1.0.1 (patch) [library]\n  \
           what it bundles is part of its tarball, and is released: patch\n\
         base: a@1.0.0 (#), its own last release tag that leads here\n\
         files: none differs from the base\n\
         bundles c 1.0.0 → 1.0.1, through b\n\
         c 1.0.0 → 1.0.1:\n  \
           # fix(c): less (patch)\n    \
             packages/c/c.js\n"
    );
    let monorepo = monorepo.commit("fix(b): less", &[("packages/b/b.js", "1\n")]);
    let effect = |told: &Value| {
        let dependencies = told["dependencies"].as_array().expect("a list");
        let effects = dependencies.iter().map(|one| one["effect"].clone());
        effects.collect::<Vec<_>>()
    };
    assert_eq!(effect(&why(&monorepo, &["a"])), ["bundled"]);
    assert_eq!(effect(&why(&monorepo, &["a", "--filter=!a"])), ["filtered"]);
}

#[test]
fn the_chain_goes_from_a_file_to_the_last_dependent() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("c", "1.0.0")
        .package("d", "1.0.0")
        .service("web", "2.0.0")
        .depends("b", "a", "~1.0.0")
        .depends("c", "a", "^1.0.0")
        .depends_in("devDependencies", "d", "a", "~1.0.0")
        .depends("web", "c", "^1.0.0")
        .released()
        .commit(
            "feat(a): more",
            &[("packages/a/a.js", "1\n"), ("packages/a/b.js", "1\n")],
        );
    let head = monorepo.head();
    let b = why(&monorepo, &["b"]);
    let commit = json!({"kind": "commit", "commit": head, "subject": "feat(a): more", "bump": "minor", "files": ["packages/a/a.js", "packages/a/b.js"]});
    assert_eq!(
        b["chain"],
        json!([
            {"name": "b", "from": "1.0.0", "to": "1.0.1", "reasons": [{"kind": "dependency", "on": "a", "from": "1.0.0", "to": "1.1.0", "range": "~1.0.0"}]},
            {"name": "a", "from": "1.0.0", "to": "1.1.0", "reasons": [commit]},
        ]),
        "{b:#}"
    );
    assert_eq!(b["schema"], "pkgs.why/1");
    assert_eq!(
        [&b["released"], &b["to"], &b["bump"], &b["rule"]["kind"]],
        [
            &json!(true),
            &json!("1.0.1"),
            &json!("patch"),
            &json!("dependency")
        ]
    );
    assert_eq!(
        spoken(&monorepo, &["b"]),
        "b 1.0.0 → 1.0.1 (patch) [library]\n  \
           a range that it declares no longer holds: patch\n\
         base: b@1.0.0 (#), its own last release tag that leads here\n\
         files: none differs from the base\n\
         depends on a ~1.0.0, which 1.0.0 → 1.1.0 leaves\n\
         a 1.0.0 → 1.1.0:\n  \
           # feat(a): more (minor)\n    \
             packages/a/a.js\n    \
             packages/a/b.js\n"
    );
    assert_eq!(
        spoken(&monorepo, &["packages/a/"]),
        "a 1.0.0 → 1.1.0 (minor) [library]\n  \
           the commits that touched it, and what it depends on, ask for minor at most\n\
         base: a@1.0.0 (#), its own last release tag that leads here\n\
         commits since the base:\n  \
           # feat(a): more: minor\n    \
             packages/a/a.js\n    \
             packages/a/b.js\n"
    );
    // What stays, and why.
    assert_eq!(
        spoken(&monorepo, &["c"]),
        "c 1.0.0 is not released [library]\n  \
           no file of it differs from its base, and no range that would release it is left\n\
         base: c@1.0.0 (#), its own last release tag that leads here\n\
         files: none differs from the base\n\
         a 1.0.0 → 1.1.0: its range ^1.0.0 still holds\n"
    );
    let d = why(&monorepo, &["d"]);
    assert_eq!(d["dependencies"][0]["effect"], "only-development", "{d:#}");
    // An app is released with what it uses, however far away.
    let web = why(&monorepo, &["web"]);
    assert_eq!(
        web["chain"][0]["reasons"],
        json!([{"kind": "dependency", "on": "a", "from": "1.0.0", "to": "1.1.0", "through": ["c"]}])
    );
    assert_eq!(web["chain"][1]["reasons"], json!([commit]));
    let said = spoken(&monorepo, &["web"]);
    assert!(said.contains("uses a 1.0.0 → 1.1.0, through c\n"), "{said}");
}

#[test]
fn what_counts_for_nothing_is_told_with_its_reason() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .released()
        .commit("docs(a): explain", &[("packages/a/doc.js", "1\n")])
        .commit("fix(a): notes", &[("packages/a/README.md", "x\n")])
        .commit("feat(a): undone", &[("packages/a/undone.js", "1\n")]);
    monorepo.git(&["revert", "--no-edit", "HEAD"]);
    monorepo.git(&["switch", "--quiet", "--create", "topic"]);
    let monorepo = monorepo.commit("test(a): more", &[("packages/a/more.test.js", "1\n")]);
    monorepo.git(&["switch", "--quiet", "main"]);
    let monorepo = monorepo.commit("ci: elsewhere", &[("ci.yml", "")]);
    monorepo.git(&["merge", "--quiet", "--no-ff", "--no-edit", "topic"]);
    let a = why(&monorepo, &["a", "--ignore=*.md"]);
    assert_eq!(
        commits(&a),
        [
            "test(a): more: silent: packages/a/more.test.js",
            "Revert \"feat(a): undone\": only-reverts: packages/a/undone.js",
            "feat(a): undone: reverted: packages/a/undone.js",
            "fix(a): notes: ignored: (packages/a/README.md)",
            "docs(a): explain: silent: packages/a/doc.js",
        ],
        "{a:#}"
    );
    let by = monorepo.git(&["log", "--format=%H", "--grep=^Revert"]);
    assert_eq!(a["commits"][2]["by"], by);
    assert_eq!(
        [&a["merges"], &a["released"], &a["rule"]["kind"]],
        [&json!(1), &json!(false), &json!("silent")]
    );
    let said = spoken(&monorepo, &["a", "--ignore=*.md"]);
    for line in [
        "  # docs(a): explain: nothing, as docs, test, ci and style are\n",
        "  # fix(a): notes: nothing, all its files here are ignored\n    packages/a/README.md (ignored)\n",
        "  # feat(a): undone: nothing, # reverts it\n",
        "  1 merge: nothing, what it brings counts by itself\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let filtered = monorepo
        .package("b", "1.0.0")
        .commit("feat: b", &[])
        .tag("b@1.0.0")
        .commit("fix(a): x", &[("packages/a/a.js", "1\n")]);
    let a = why(&filtered, &["a", "--filter=b"]);
    assert_eq!(
        [&a["released"], &a["rule"]["kind"]],
        [&json!(false), &json!("filtered")]
    );
    assert_eq!(commits(&a)[0], "fix(a): x: counts: packages/a/a.js");
}

#[test]
fn our_own_release_is_told_apart() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .depends_in("devDependencies", "b", "a", "1.0.0")
        .released()
        .commit("fix(a): x", &[("packages/a/a.js", "1\n")])
        .origin();
    let npm = monorepo.sandbox().path().join("npm");
    std::fs::create_dir_all(&npm).expect("a directory");
    let _ = monorepo
        .binary(&["release", "--store=none"])
        .env("PKGS_REGISTRY", format!("file://{}", npm.display()))
        .env("PKGS_INSTALL", "none")
        .run()
        .expect(0);
    monorepo.git(&["pull", "--quiet", "--ff-only", "origin", "main"]);
    let b = why(&monorepo, &["b"]);
    assert_eq!(
        commits(&b),
        ["chore: version 1.0.1: own-release: packages/b/package.json"]
    );
    assert_eq!(b["rule"]["kind"], "silent");
}

#[test]
fn the_base_says_how_it_was_chosen() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .released()
        .file(
            "packages/a/package.json",
            "{\"name\":\"a\",\"version\":\"1.1.0\"}\n",
        )
        .commit("fix(a): one", &[])
        .tag("v1.1.0")
        .commit("fix(a): two", &[("packages/a/a.js", "2\n")]);
    monorepo.git(&["switch", "--quiet", "--create", "abandoned", "HEAD~1"]);
    let monorepo = monorepo
        .commit("feat(a): elsewhere", &[("packages/a/other.js", "")])
        .tag("a@1.5.0");
    monorepo.git(&["switch", "--quiet", "main"]);
    let a = why(&monorepo, &["a"]);
    assert_eq!(
        a["base"],
        json!({"kind": "shared-tag", "tag": "v1.1.0", "commit": monorepo.git(&["rev-parse", "HEAD~1"]), "version": "1.1.0",
               "unreachable": ["a@1.5.0"], "older": "a@1.0.0", "differs": true})
    );
    let said = spoken(&monorepo, &["a"]);
    for line in [
        "base: v1.1.0 (#), the last release tag of the repository that leads here\n",
        "  a@1.0.0 leads here, too, and is older\n",
        "  a@1.5.0 is no base: its commit does not lead here\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let asked = why(&monorepo, &["b", "--base=HEAD~1"]);
    assert_eq!(asked["base"]["kind"], "asked");
    let new = monorepo.package("new", "0.1.0").commit("feat: new", &[]);
    let first = why(&new, &["new"]);
    assert_eq!(
        [&first["base"]["kind"], &first["rule"]["kind"]],
        [&json!("none"), &json!("first")]
    );
    assert_eq!(first["warnings"][0]["code"], "plan::registry_unasked");
}

#[test]
fn in_sync_mode_it_names_the_packages_that_changed() {
    let monorepo = Monorepo::new()
        .config(&json!({}))
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .commit("feat: begin", &[])
        .tag("v1.0.0")
        .commit("feat(a): more", &[("packages/a/a.js", "1\n")]);
    let b = why(&monorepo, &["b"]);
    assert_eq!(
        [
            &b["mode"],
            &b["rule"]["kind"],
            &b["to"],
            &b["chain"][0]["reasons"][0]["kind"]
        ],
        ["sync", "group", "1.1.0", "group"]
    );
    assert_eq!(b["chain"][1]["name"], "a");
    assert_eq!(
        b["chain"][1]["reasons"][0]["files"],
        json!(["packages/a/a.js"])
    );
}

#[test]
fn a_name_that_is_none_gets_the_nearest_ones() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .released();
    for (asked, hint) in [
        ("corr", "did you mean core?"),
        ("text", "did you mean @acme/text?"),
        ("nothing-like-it", "`pkgs-action plan` lists the packages"),
    ] {
        let refused = run(&monorepo, &[asked]).expect(2).stderr;
        assert!(
            refused.contains("error[plan::unknown_package]") && refused.contains(hint),
            "{refused}"
        );
    }
    let refused = run(&monorepo, &[]).expect(2).stderr;
    assert!(refused.contains("error[settings::missing]"), "{refused}");
    let refused = run(&monorepo, &["core", "more"]).expect(2).stderr;
    assert!(refused.contains("error[settings::flags]"), "{refused}");
    // The same in a workflow, where the command comes as one text.
    let in_workflow = monorepo
        .binary(&[])
        .env("INPUT_COMMAND", "why core")
        .run()
        .expect(0);
    assert!(in_workflow.stdout.starts_with("core 1.0.0"));
}

#[test]
fn a_version_that_a_commit_asks_for_is_told_with_the_commit() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .released()
        .commit(
            "feat: x\n\nRelease-As: 7.0.0",
            &[("packages/a/a.js", "1\n")],
        );
    let id = monorepo.head();
    let monorepo = monorepo.commit("fix: y", &[("packages/a/a.js", "2\n")]);
    let reason = json!({"kind": "release-as", "commit": id, "version": "7.0.0"});
    let line = format!("{} says Release-As: 7.0.0", &id[..7]);
    for mode in ["--mode=diff", "--mode=sync"] {
        let found = monorepo
            .run(&["plan", "--format=json", mode])
            .expect(0)
            .json();
        let a = &found["packages"][0];
        assert_eq!(
            [&a["name"], &a["to"], &a["reasons"][0]],
            [&json!("a"), &json!("7.0.0"), &reason],
            "{found:#}"
        );
        for command in [&["plan", mode][..], &["why", "a", mode]] {
            let said = monorepo.run(command).expect(0).stdout;
            assert!(said.contains(&line), "{said}");
        }
        assert_eq!(why(&monorepo, &["a", mode])["rule"]["kind"], "release-as");
    }
    let beta = why(&monorepo, &["a", "--prerelease=beta"]);
    assert_eq!(
        [&beta["to"], &beta["rule"]["kind"]],
        ["7.0.0-beta.0", "release-as"],
        "{beta:#}"
    );
    let asked = monorepo.run(&["plan", "--bump=minor"]).expect(0).stdout;
    assert!(
        asked.contains("1.1.0") && !asked.contains("Release-As"),
        "{asked}"
    );
}

#[test]
fn a_version_that_cannot_be_is_told_by_its_commit_and_why_answers_all_the_same() {
    let monorepo = Monorepo::new()
        .package("a", "1.1.0")
        .package("b", "1.1.0")
        .released()
        .commit(
            "feat: x\n\nRelease-As: 1.1.0",
            &[("packages/b/b.js", "1\n")],
        );
    let id = monorepo.head();
    let said = format!(
        "cannot become 1.1.0, as {} \"feat: x\" says by Release-As: it is at 1.1.0 already",
        &id[..7]
    );
    for mode in ["--mode=diff", "--mode=sync"] {
        let refused = monorepo.run(&["plan", mode]).expect(3).stderr;
        assert!(
            refused.contains("error[plan::bump]") && refused.contains(&said),
            "{refused}"
        );
        assert!(refused.contains("with a higher Release-As"), "{refused}");
        let told = why(&monorepo, &["b", mode]);
        assert_eq!(told["to"], "1.2.0", "{told:#}");
        let warning = &told["warnings"][0];
        assert_eq!(warning["code"], "plan::bump");
        assert!(
            warning["message"].as_str().expect("text").contains(&said),
            "{told:#}"
        );
    }
    let repaired = monorepo.commit("fix: y\n\nRelease-As: 1.4.0", &[("packages/b/b.js", "2\n")]);
    let told = repaired.run(&["plan", "--mode=diff"]).expect(0).stdout;
    assert!(told.contains("1.1.0 → 1.4.0"), "{told}");
}
