//! Stories of intents: what they decide, what they tell, and how a release consumes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::plans::versions;
use crate::support::sandbox::Run;
use crate::support::servers;
use crate::support::world::{World, output};

/// An intent for `core`, whose commit breaks, and one that counts for nothing.
const COUNT: &str = "---\r\n# what changed\r\n'core': minor\r\n---\r\n\r\nCount **words**.\r\n\r\n## How\r\n\r\n- `count(text)`\r\n";
const TYPO: &str = "---\n\"core\": none\n\"@acme/text\": none\n---\n\nA typo.\n";

fn repository() -> Monorepo {
    Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .package("other", "1.0.0")
        .depends("@acme/text", "core", "~1.0.0")
}

/// The packages, all changed by commits since they were released, with intents.
fn changed(monorepo: Monorepo) -> Monorepo {
    monorepo
        .released()
        .commit("feat!: less", &[("packages/core/a.js", "1\n")])
        .commit(
            "fix: it",
            &[
                ("packages/text/a.js", "1\n"),
                ("packages/other/a.js", "1\n"),
            ],
        )
        .commit(
            "chore: say what is new",
            &[
                (".changeset/count.md", COUNT),
                (".changeset/typo.md", TYPO),
                (".changeset/README.md", "# What these files are\n"),
            ],
        )
}

fn run(monorepo: &Monorepo, arguments: &[&str]) -> Run {
    monorepo
        .binary(arguments)
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
}

fn plan(monorepo: &Monorepo, arguments: &[&str]) -> Value {
    run(monorepo, &[&["plan", "--format=json"], arguments].concat())
        .expect(0)
        .json()
}

/// The files that a plan changes, `-` in front of those that it deletes.
fn edits(plan: &Value) -> Vec<String> {
    let list = plan["edits"].as_array().expect("a list");
    list.iter()
        .map(|edit| {
            let path = edit["path"].as_str().expect("a path");
            match edit["deleted"].as_bool() {
                Some(true) => format!("-{path}"),
                _ => path.to_owned(),
            }
        })
        .collect()
}

fn codes(plan: &Value) -> Vec<&str> {
    let list = plan["warnings"].as_array().expect("a list");
    list.iter()
        .filter_map(|warning| warning["code"].as_str())
        .collect()
}

#[test]
fn an_intent_wins_for_the_package_it_names_and_says_so() {
    let monorepo = changed(repository());
    let found = plan(&monorepo, &[]);
    assert_eq!(
        versions(&found),
        ["core 1.1.0", "other 1.0.1", "@acme/text 1.0.1"],
        "{found:#}"
    );
    let core = &found["packages"][0];
    assert_eq!(
        core["reasons"],
        json!([{"kind": "intent", "file": ".changeset/count.md", "line": 3, "bump": "minor"}])
    );
    assert_eq!(
        core["notes"]["changes"],
        json!([{"group": "features", "file": ".changeset/count.md", "text": "Count **words**.\n\n## How\n\n- `count(text)`"}])
    );
    assert_eq!(
        edits(&found),
        [
            "-.changeset/count.md",
            "-.changeset/typo.md",
            "package-lock.json",
            "packages/core/CHANGELOG.md",
            "packages/core/package.json",
            "packages/other/CHANGELOG.md",
            "packages/other/package.json",
            "packages/text/CHANGELOG.md",
            "packages/text/package.json"
        ]
    );
    let said = run(&monorepo, &["plan"]).expect(0).stdout;
    for line in [
        "    .changeset/count.md:3 Count **words**. (minor)\n",
        "consumes: .changeset/count.md, .changeset/typo.md\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let told = run(&monorepo, &["why", "core"]).expect(0).stdout;
    for line in [
        "core 1.0.0 → 1.1.0 (minor) [library]\n  the intents that name it, and what it depends on, ask for minor at most;",
        " feat!: less: nothing, intents decide here\n",
        "\n.changeset/count.md:3 Count **words**. (minor)\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let story = run(&monorepo, &["why", "core", "--format=json"])
        .expect(0)
        .json();
    assert_eq!(story["rule"]["kind"], "intents");
    assert_eq!(story["commits"][0]["verdict"], "outweighed");
    // Commits alone: nobody reads intents, and they stay.
    for from in ["--bump-from=commits", "--bump-from=commits --mode=sync"] {
        let arguments: Vec<&str> = from.split(' ').collect();
        let found = plan(&monorepo, &arguments);
        assert_eq!(versions(&found)[0], "core 2.0.0");
        assert!(!edits(&found).iter().any(|edit| edit.contains(".changeset")));
    }
    // One version for all grows as far as an intent says, or a commit to what none names.
    let found = plan(&monorepo, &["--mode=sync"]);
    assert_eq!(versions(&found)[0], "core 1.1.0");
}

#[test]
fn with_intents_alone_a_package_without_one_only_follows() {
    let ours = json!({"mode": "diff", "bumpFrom": "intents"});
    let theirs = |monorepo: Monorepo| monorepo.file(".changeset/config.json", "{\"fixed\": []}\n");
    let monorepo = theirs(changed(repository()));
    for monorepo in [&monorepo, &changed(repository().config(&ours))] {
        let found = plan(monorepo, &[]);
        assert_eq!(
            versions(&found),
            ["core 1.1.0", "@acme/text 1.0.1"],
            "{found:#}"
        );
        let text = &found["packages"][1]["reasons"];
        assert_eq!(text[0]["kind"], "dependency", "{text}");
        assert_eq!(text.as_array().map(Vec::len), Some(1));
    }
    let adopted = &plan(&monorepo, &[])["adopted"];
    let file = ".changeset/config.json";
    assert!(
        adopted
            .as_array()
            .expect("a list")
            .contains(&json!({"setting": "bump-from", "file": file}))
    );
    let other = run(&monorepo, &["why", "other", "--format=json"])
        .expect(0)
        .json();
    assert_eq!(other["rule"]["kind"], "no-intent", "{other:#}");
    let both = monorepo
        .binary(&["plan", "--format=json"])
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .env("PKGS_BUMP_FROM", "both")
        .run();
    assert_eq!(versions(&both.expect(0).json()).len(), 3);
    let input = monorepo
        .binary(&["plan", "--format=json"])
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .env("INPUT_BUMP-FROM", "commits")
        .run();
    assert_eq!(versions(&input.expect(0).json())[0], "core 2.0.0");
    let refused = run(&monorepo, &["plan", "--bump-from=intent"])
        .expect(2)
        .stderr;
    assert!(refused.contains("did you mean intents?"), "{refused}");

    let none = monorepo.commit(
        "chore: nothing to say",
        &[(".changeset/count.md", "---\n---\n")],
    );
    let found = plan(&none, &[]);
    assert_eq!((versions(&found).len(), edits(&found).len()), (0, 0));
    assert_eq!(codes(&found), ["plan::no_intent"]);
    let said = run(&none, &["plan"]).expect(0).stdout;
    assert!(
        said.contains("nothing to release: no intent names what changed\n"),
        "{said}"
    );
}

#[test]
fn a_release_consumes_its_intents_and_the_next_run_finds_nothing() {
    for store in [true, false] {
        let world = World::local(changed(repository()));
        let release = || {
            let invocation = world.binary(&["release"]);
            let invocation = if store {
                invocation
            } else {
                invocation.env("PKGS_STORE", "none")
            };
            invocation.run()
        };
        let _ = release().expect(0);
        assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
        assert_eq!(world.monorepo.read(".changeset/count.md"), COUNT);
        let left = world.origin_git(&["ls-tree", "--name-only", "main", ".changeset/"]);
        assert_eq!(left, ".changeset/README.md");
        let changelog = world.at("core@1.1.0", "packages/core/CHANGELOG.md");
        let day = world.origin_git(&["log", "-1", "--format=%cs", "core@1.1.0"]);
        assert_eq!(
            changelog,
            format!(
                "# Changelog\n\n## 1.1.0 ({day})\n\n### Features\n\n- Count **words**.\n\n  **How**\n\n  - `count(text)`"
            )
        );
        world.origin_git(&["fsck", "--strict", "--full"]);
        let again = release().expect(0);
        assert!(again.stdout.contains("released"), "{}", again.stdout);
        assert_eq!(world.origin_git(&["tag", "--list"]).lines().count(), 6);
        world.follow();
        assert!(!world.monorepo.path().join(".changeset/typo.md").exists());
        let found = world.run(&["plan", "--format=json"]).expect(0).json();
        assert_eq!(versions(&found), Vec::<String>::new());
    }
}

#[test]
fn prereleases_consume_intents_and_what_they_become_tells_all_of_them() {
    let say = |word: &str, told: &str| format!("---\ncore: {word}\n---\n\n{told}\n");
    let world = World::local(repository().released());
    let (first, second, third) = (
        say("minor", "One."),
        say("patch", "Two."),
        say("none", "Three."),
    );
    let world = world.develop(
        "feat: a",
        &[(".changeset/x.md", &first), ("packages/core/a.js", "1\n")],
    );
    // A snapshot consumes nothing.
    let snapshot = world
        .run(&["plan", "--format=json", "--snapshot=try"])
        .expect(0)
        .json();
    assert!(
        !edits(&snapshot).contains(&"-.changeset/x.md".to_owned()),
        "{snapshot:#}"
    );
    let _ = world.run(&["release", "--prerelease=core=beta"]).expect(0);
    let world = world.develop(
        "fix: b",
        &[(".changeset/x.md", &second), ("packages/core/a.js", "2\n")],
    );
    let _ = world.run(&["release", "--prerelease=core=beta"]).expect(0);
    let changelog = world.at("core@1.1.0-beta.1", "packages/core/CHANGELOG.md");
    assert_eq!(changelog.matches("- One.").count(), 1, "{changelog}");
    let world = world.develop("docs: c", &[(".changeset/y.md", &third)]);
    let found = world
        .run(&["plan", "--format=json", "--bump=graduate"])
        .expect(0)
        .json();
    assert_eq!(versions(&found)[0], "core 1.1.0");
    let changes = found["packages"][0]["notes"]["changes"]
        .as_array()
        .expect("a list");
    let told: Vec<&str> = changes
        .iter()
        .filter_map(|change| change["text"].as_str())
        .collect();
    assert_eq!(told, ["One.", "Two."], "{found:#}");
    assert!(edits(&found).contains(&"-.changeset/y.md".to_owned()));
}

#[test]
fn a_release_that_was_decided_is_built_again_in_the_checkout_of_its_base() {
    let world = World::local(changed(repository()));
    let release = || world.binary(&["release"]).env("PKGS_STORE", "none").run();
    let _ = release().expect(0);
    let npm = world.outside.path().join("npm");
    std::fs::remove_dir_all(&npm).expect("removed");
    std::fs::create_dir(&npm).expect("a directory");
    let again = release().expect(0);
    assert!(
        again.stderr.contains("again in this checkout"),
        "{}",
        again.stderr
    );
    assert!(npm.join("core").exists());
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    // It went on to the tip.
    assert_eq!(
        world.monorepo.head(),
        world.origin_git(&["rev-parse", "main"])
    );
    assert!(!world.monorepo.path().join(".changeset/count.md").exists());
}

#[test]
fn a_directory_of_which_all_is_consumed_is_gone() {
    let intent = [(".changeset/x.md", "---\ncore: patch\n---\n")];
    let monorepo = repository().released().commit("chore: say it", &intent);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(monorepo.path().join(".changeset/x.md"), executable).expect("a mode");
    let world = World::local(monorepo.commit("chore: let it run", &[]));
    let _ = world.run(&["release"]).expect(0);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    assert_eq!(world.origin_git(&["ls-tree", "main", ".changeset"]), "");
    // What a tree of git's own would be.
    world.follow();
    assert_eq!(
        world.monorepo.git(&["write-tree"]),
        world.origin_git(&["rev-parse", "main^{tree}"])
    );
}

#[test]
fn a_run_that_was_killed_leaves_no_trace_and_the_next_one_makes_the_same_commit() {
    let released = |world: &World| world.origin_git(&["rev-parse", "core@1.1.0^{commit}"]);
    let release = |world: &World| world.binary(&["release"]).env("PKGS_STORE", "none");
    let (killed, whole) = (
        World::local(changed(repository())),
        World::local(changed(repository())),
    );
    let _ = release(&whole).run().expect(0);
    let run = release(&killed).env("PKGS_BUILD", "kill -9 $PPID").run();
    assert_eq!(run.killed_by, Some(9), "{}", run.stderr);
    let left = killed.monorepo.git(&["status", "--porcelain"]);
    assert!(left.contains(" D .changeset/count.md"), "{left}");
    let _ = release(&killed).run().expect(0);
    assert_eq!(killed.monorepo.git(&["status", "--porcelain"]), "");
    assert_eq!(killed.monorepo.read(".changeset/count.md"), COUNT);
    assert_eq!(released(&killed), released(&whole));
}

#[test]
fn a_seal_that_an_earlier_run_made_is_decided_with_what_it_deletes() {
    let world = World::local(changed(repository()));
    let hook = world.monorepo.origin_directory().join("hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").expect("a hook");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let _ = world.run(&["release"]).expect(5);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    std::fs::remove_file(hook).expect("removed");
    let adopted = world
        .binary(&["release"])
        .env("PKGS_BUILD", "")
        .run()
        .expect(0);
    assert!(
        adopted.stderr.contains("adopting the seal"),
        "{}",
        adopted.stderr
    );
    let left = world.origin_git(&["ls-tree", "--name-only", "main", ".changeset/"]);
    assert_eq!(left, ".changeset/README.md");
}

#[test]
fn a_build_that_brings_an_intent_back_is_refused() {
    let world = World::local(changed(repository()));
    let run = world
        .binary(&["release", "--build", "git checkout --quiet -- .changeset"])
        .run()
        .expect(3);
    assert!(
        run.stderr.contains("error[build::changed_sources]"),
        "{}",
        run.stderr
    );
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
}

#[test]
fn intents_of_packages_that_are_kept_out_stay() {
    let three = "---\n\"core\": minor\n\"other\": patch\n---\n\nBoth.\n";
    let monorepo = changed(repository()).commit(
        "chore: say more",
        &[
            (".changeset/both.md", three),
            (".changeset/other.md", "---\nother: patch\n---\n\nOther.\n"),
        ],
    );
    let world = World::local(monorepo);
    let _ = world.run(&["release", "--filter=!other"]).expect(0);
    let left = world.origin_git(&["ls-tree", "--name-only", "main", ".changeset/"]);
    assert_eq!(
        left,
        ".changeset/README.md\n.changeset/both.md\n.changeset/other.md"
    );
    assert_eq!(
        world.at("main", ".changeset/both.md"),
        three.replace("\"core\": minor\n", "").trim_end()
    );
    world.follow();
    let found = world
        .run(&["plan", "--format=json", "--filter=!other"])
        .expect(0)
        .json();
    assert_eq!(versions(&found), Vec::<String>::new());
    let _ = world.run(&["release"]).expect(0);
    let changelog = world.at("other@1.0.1", "packages/other/CHANGELOG.md");
    assert!(
        changelog.ends_with("### Fixes\n\n- Both.\n- Other."),
        "{changelog}"
    );

    // What changesets is told to ignore it keeps, too, but only by itself.
    let config = "{\"ignore\": [\"other\"]}\n";
    let mixed = changed(repository()).commit(
        "chore: say more",
        &[
            (".changeset/both.md", three),
            (".changeset/config.json", config),
        ],
    );
    let refused = run(&mixed, &["plan"]).expect(3).stderr;
    assert!(
        refused.contains("error[intent::ignored]") && refused.contains(".changeset/both.md:3:1"),
        "{refused}"
    );
    let alone = mixed.commit(
        "chore: apart",
        &[(".changeset/both.md", "---\nother: patch\n---\n")],
    );
    assert!(!edits(&plan(&alone, &[])).contains(&"-.changeset/both.md".to_owned()));
}

#[test]
fn a_repository_of_changesets_is_rehearsed() {
    let monorepo = Monorepo::new()
        .service("web", "1.0.0")
        .file(".changeset/config.json", "{}\n")
        .commit(
            "chore: say it",
            &[(".changeset/x.md", "---\nweb: minor\n---\n\nIt.\n")],
        );
    let run = run(&monorepo, &["rehearse"]).expect(0).stdout;
    assert!(run.contains("rolled web back"), "{run}");
}

#[test]
fn what_an_intent_cannot_say_is_refused_all_at_once() {
    let monorepo = repository().released();
    std::fs::remove_file(monorepo.path().join("packages/other/package.json")).expect("removed");
    let monorepo = monorepo
        .file(
            "packages/other/package.json",
            "{\"name\": \"other\", \"private\": true}\n",
        )
        .commit(
            "chore: mistakes",
            &[
                (
                    ".changeset/a.md",
                    "---\n\"core\": minor\n\"@acme/txt\": patch\n---\n",
                ),
                (".changeset/b.md", "---\nother: patch\n---\n"),
                (".changeset/c.md", "---\ncore: huge\n\"core\": patch\n---\n"),
                (".changeset/d.md", "words\n"),
                (".changeset/e.md", "---\nmonorepo: patch\n---\n"),
                (".changeset/deeper/f.md", "words\n"),
            ],
        );
    std::os::unix::fs::symlink("a.md", monorepo.path().join(".changeset/g.md")).expect("a link");
    let monorepo = monorepo.commit("chore: a link", &[]);
    let refused = run(&monorepo, &["plan"]).expect(3).stderr;
    for said in [
        "error[intent::unknown_package]: .changeset/a.md names \"@acme/txt\", which is no package of the workspace",
        ".changeset/a.md:3:1",
        "hint: did you mean @acme/text?",
        "error[intent::unversioned]: .changeset/b.md names \"other\", which has no version",
        "error[intent::bump]: .changeset/c.md asks for \"huge\" of \"core\"",
        "error[intent::twice]: .changeset/c.md names \"core\" twice",
        ".changeset/c.md:3:1",
        "error[intent::form]: .changeset/d.md is no intent",
        "error[intent::unknown_package]: .changeset/e.md names \"monorepo\"",
        "it is the root, which is never released by itself",
        "error[intent::form]: .changeset/g.md is no intent",
    ] {
        assert!(refused.contains(said), "{said} is not in {refused}");
    }
    assert!(!refused.contains("deeper"), "{refused}");
    let _ = run(&monorepo, &["plan", "--bump-from=commits"]).expect(0);
    // Whoever looks what runs where is not stopped by it.
    let world = World::local(monorepo);
    let status = world.run(&["status"]).expect(0);
    assert!(status.stdout.contains("core 1.0.0"), "{}", status.stdout);
    assert!(
        status.stderr.contains("without intents"),
        "{}",
        status.stderr
    );

    let pre = changed(repository()).commit(
        "chore: begin",
        &[(".changeset/pre.json", "{\"mode\": \"pre\"}\n")],
    );
    let refused = run(&pre, &["plan"]).expect(3).stderr;
    assert!(
        refused.contains("error[intent::pre_mode]") && refused.contains("changeset pre exit"),
        "{refused}"
    );
    let _ = run(&pre, &["plan", "--bump-from=commits"]).expect(0);
}

#[test]
fn before_the_first_release_an_intent_only_tells() {
    let intent = [(".changeset/x.md", "---\ncore: major\n---\n\nIt begins.\n")];
    let world = World::local(repository().commit("feat: begin", &intent));
    let found = world.run(&["plan", "--format=json"]).expect(0).json();
    assert_eq!(versions(&found)[0], "core 1.0.0");
    assert_eq!(
        edits(&found),
        ["-.changeset/x.md", "packages/core/CHANGELOG.md"]
    );
    let _ = world.run(&["release"]).expect(0);
    assert!(
        world
            .at("core@1.0.0", "packages/core/CHANGELOG.md")
            .contains("It begins.")
    );
    assert_eq!(
        world.origin_git(&["ls-tree", "core@1.0.0", ".changeset"]),
        ""
    );
}

#[test]
fn in_a_repository_with_one_package_an_intent_is_no_change_of_it() {
    let manifest = "{\"name\": \"one\", \"version\": \"1.0.0\", \"license\": \"MIT\"}\n";
    let monorepo = Monorepo::empty()
        .file("package.json", manifest)
        .file("pkgs.json", "{}\n")
        .commit("feat: begin", &[])
        .tag("v1.0.0");
    let none = [(".changeset/x.md", "---\none: none\n---\n")];
    let monorepo = monorepo.commit("chore: nothing", &none);
    assert_eq!(versions(&plan(&monorepo, &[])), Vec::<String>::new());
    let more = [(".changeset/y.md", "---\none: minor\n---\n\nMore.\n")];
    let world = World::local(monorepo.commit("chore: say it", &more));
    let _ = world.run(&["release"]).expect(0);
    assert!(world.at("v1.1.0", "CHANGELOG.md").contains("- More."));
    assert_eq!(world.origin_git(&["ls-tree", "v1.1.0", ".changeset"]), "");
}

#[test]
fn messages_tell_what_breaks_and_a_version_that_is_none_is_told() {
    let monorepo = repository().released().commit(
        "fix(core): less\n\nBREAKING CHANGE: `get` is gone for <b>all</b>,\nask `find`.\n\nRelease-As: v2",
        &[("packages/core/a.js", "1\n")],
    );
    let short = &monorepo.head()[..7];
    let found = plan(&monorepo, &[]);
    assert_eq!(codes(&found), ["plan::release_as"]);
    let message = found["warnings"][0]["message"].as_str().expect("a text");
    assert!(
        message.starts_with(short) && message.contains("\"v2\""),
        "{message}"
    );
    assert_eq!(
        found["packages"][0]["notes"]["changes"][0]["breaking"],
        json!(["`get` is gone for <b>all</b>, ask `find`."])
    );
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    let changelog = world.at("core@2.0.0", "packages/core/CHANGELOG.md");
    let entry =
        "**core:** less\n  - BREAKING CHANGE: `get` is gone for \\<b\\>all\\</b\\>, ask `find`.";
    assert!(changelog.contains(entry), "{changelog}");
}

/// Choices that follow from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("a number") % end
    }
}

/// A repository of changesets with intents, all of whose packages were released.
fn generated(seed: u64) -> Monorepo {
    const NAMES: [&str; 5] = ["a", "@x/b", "c", "@x/d", "e"];
    let random = &mut Random(seed);
    let mut monorepo = Monorepo::new();
    std::fs::remove_file(monorepo.path().join("pkgs.json")).expect("there is one");
    for name in NAMES {
        monorepo = monorepo.package(name, ["1.0.0", "1.2.3", "0.2.0"][random.below(3)]);
    }
    for (index, name) in NAMES.iter().enumerate().skip(1) {
        let on = NAMES[random.below(index)];
        let path = format!(
            "packages/{}/package.json",
            on.rsplit('/').next().expect("a name")
        );
        let version = monorepo.json(&path)["version"]
            .as_str()
            .expect("a version")
            .to_owned();
        let range = ["^", "~", ""][random.below(3)];
        let field = ["dependencies", "peerDependencies", "devDependencies"][random.below(3)];
        monorepo = monorepo.depends_in(field, name, on, &format!("{range}{version}"));
    }
    let together = json!([[NAMES[random.below(2)], NAMES[2 + random.below(3)]]]);
    let (fixed, linked) = match random.below(3) {
        0 => (together, json!([])),
        1 => (json!([]), together),
        _ => (json!([]), json!([])),
    };
    let config = json!({
        "changelog": false, "commit": false, "access": "public", "baseBranch": "main", "ignore": [], "fixed": fixed, "linked": linked,
    });
    monorepo = monorepo
        .file(".changeset/config.json", &config.to_string())
        .released();
    for number in 0..=random.below(4) {
        let mut intent = "---\n".to_owned();
        for name in NAMES {
            if random.below(3) == 0 {
                let quote = if name.starts_with('@') {
                    "\""
                } else {
                    ["", "'", "\""][random.below(3)]
                };
                let word = ["patch", "minor", "major", "none"][random.below(4)];
                let _ = writeln!(intent, "{quote}{name}{quote}: {word}");
            }
        }
        intent.push_str("---\n\nIt.\n");
        let intent = if random.below(2) == 0 {
            intent.replace('\n', "\r\n")
        } else {
            intent
        };
        monorepo = monorepo.file(&format!(".changeset/{number}.md"), &intent);
    }
    monorepo.commit(
        "feat: it",
        &[("packages/a/it.js", "1\n"), ("packages/d/it.js", "1\n")],
    )
}

fn manifests(monorepo: &Monorepo) -> BTreeMap<String, String> {
    let each = ["a", "b", "c", "d", "e"].map(|directory| {
        let manifest = monorepo.json(&format!("packages/{directory}/package.json"));
        let [name, version] =
            ["name", "version"].map(|field| manifest[field].as_str().expect("text").to_owned());
        (name, version)
    });
    each.into()
}

#[test]
fn changesets_makes_the_same_versions_of_the_same_intents_and_consumes_the_same() {
    let installed = servers::installed();
    for seed in 1..=6 {
        let monorepo = generated(seed);
        let ours = plan(&monorepo, &["--zero-major=strict"]);
        let mut expected = manifests(&monorepo);
        for package in ours["packages"].as_array().expect("a list") {
            let [name, to] =
                ["name", "to"].map(|field| package[field].as_str().expect("text").to_owned());
            expected.insert(name, to);
        }
        let mut changesets = monorepo
            .sandbox()
            .command(installed.join("node/bin/node"), monorepo.path());
        changesets
            .arg(installed.join("releasers/node_modules/@changesets/cli/bin.js"))
            .arg("version");
        let _ = output(&mut changesets);
        assert_eq!(manifests(&monorepo), expected, "seed {seed}: {ours:#}");
        if !expected.is_empty() && !versions(&ours).is_empty() {
            let gone = monorepo.git(&["ls-files", "--deleted", ".changeset"]);
            let deleted: Vec<String> = gone.lines().map(|path| format!("-{path}")).collect();
            let consumed: Vec<String> = edits(&ours)
                .into_iter()
                .filter(|edit| edit.starts_with('-'))
                .collect();
            assert_eq!(consumed, deleted, "seed {seed}");
        }
    }
}
