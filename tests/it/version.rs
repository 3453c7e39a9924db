//! Stories of `version` and `publish`: what is decided without a build, by whom it is pushed, and how it is delivered later.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Invocation, Run};
use crate::support::world::World;

/// Two libraries, the second of which needs the first, and one alone; released, and the first one changed.
fn world() -> World {
    World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .package("@acme/text", "1.0.0")
            .package("other", "1.0.0")
            .depends("@acme/text", "core", "~1.0.0")
            .config(&json!({"mode": "diff"}))
            .released()
            .commit("feat(core): count", &[("packages/core/a.js", "1\n")]),
    )
}

fn invocation(world: &World, arguments: &[&str]) -> Invocation {
    world.binary(arguments).env("PKGS_STORE", "none")
}

fn run(world: &World, arguments: &[&str]) -> Run {
    invocation(world, arguments).run()
}

fn version(world: &World, arguments: &[&str]) -> Run {
    run(world, &[&["version"], arguments].concat())
}

/// What the directory registry holds of a package: versions and the commits they were built from.
fn published(world: &World, name: &str) -> Vec<(String, String)> {
    let file = world.outside.path().join("npm").join(name);
    let Ok(text) = std::fs::read_to_string(file) else {
        return Vec::new();
    };
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let versions = document["versions"].as_object().expect("versions");
    let of = |(version, known): (&String, &Value)| {
        let commit = known["gitHead"].as_str().expect("a commit");
        (version.clone(), commit.to_owned())
    };
    versions.iter().map(of).collect()
}

fn git(world: &World, arguments: &[&str]) -> String {
    world.monorepo.git(arguments)
}

#[test]
fn what_is_decided_is_pushed_at_once_and_published_later() {
    let world = world();
    let before = world.monorepo.head();
    let planned = version(&world, &["--dry-run"]).expect(0);
    assert!(
        planned.stdout.contains("nothing was written"),
        "{}",
        planned.stdout
    );
    assert_eq!(world.origin_git(&["rev-parse", "main"]), before);

    let decided = version(&world, &[]).expect(0);
    assert!(decided.stdout.contains("\ndecided "), "{}", decided.stdout);
    let commit = world.origin_git(&["rev-parse", "main"]);
    assert_eq!(world.origin_git(&["rev-parse", "main~1"]), before);
    let refs = [
        "refs/heads/main",
        "refs/tags/@acme/text@1.0.1",
        "refs/tags/core@1.1.0",
    ];
    let mut pushed = world.pushes().pop().expect("a push");
    pushed.sort();
    assert_eq!(pushed, refs);
    let message = world.origin_git(&["tag", "--list", "--format=%(contents)", "core@1.1.0"]);
    assert_eq!(message.trim(), "core@1.1.0\n\nPkgs-Seal: none");
    // The work tree follows, with lockfile and notes.
    assert_eq!(world.monorepo.head(), commit);
    assert_eq!(git(&world, &["status", "--porcelain"]), "");
    let lockfile = world.monorepo.json("package-lock.json");
    assert_eq!(lockfile["packages"]["packages/core"]["version"], "1.1.0");
    assert!(
        world
            .monorepo
            .read("packages/core/CHANGELOG.md")
            .contains("count")
    );
    assert_eq!(published(&world, "core"), []);

    // Again: nothing new, and it says what stands.
    let again = invocation(&world, &["version", "--format=json"])
        .run()
        .expect(0)
        .json();
    assert_eq!(again["outcome"], "decided");
    assert_eq!(again["release"]["commit"], commit.as_str());
    assert_eq!(world.origin_git(&["rev-parse", "main"]), commit);

    let planned = run(&world, &["publish", "--dry-run"]).expect(0);
    assert!(planned.stdout.contains("core@1.1.0"), "{}", planned.stdout);
    assert_eq!(published(&world, "core"), []);
    let _ = run(&world, &["publish"]).expect(0);
    assert_eq!(
        published(&world, "core"),
        [("1.1.0".to_owned(), commit.clone())]
    );
    assert_eq!(
        published(&world, "@acme/text"),
        [("1.0.1".to_owned(), commit.clone())]
    );
    assert_eq!(published(&world, "other"), []);
    let again = run(&world, &["publish"]).expect(0);
    assert!(
        again.stdout.contains("nothing to publish"),
        "{}",
        again.stdout
    );
    let _ = run(&world, &["release"]).expect(0);
    assert_eq!(world.origin_git(&["rev-parse", "main"]), commit);
}

#[test]
fn a_release_finishes_what_was_decided_and_two_decisions_are_published_in_turn() {
    let world = world();
    let _ = version(&world, &[]).expect(0);
    let first = world.monorepo.head();
    let world = world.develop("fix(other): it", &[("packages/other/a.js", "1\n")]);
    let _ = version(&world, &[]).expect(0);
    let second = world.monorepo.head();
    let _ = run(&world, &["release"]).expect(0);
    assert_eq!(
        published(&world, "core"),
        [("1.1.0".to_owned(), first.clone())]
    );
    assert_eq!(
        published(&world, "@acme/text"),
        [("1.0.1".to_owned(), first)]
    );
    assert_eq!(
        published(&world, "other"),
        [("1.0.1".to_owned(), second.clone())]
    );
    assert_eq!(world.origin_git(&["rev-parse", "main"]), second);
}

/// A filter keeps a package out whose range is left; what is published of it declares the old one until it is released.
#[test]
fn what_a_filter_held_back_is_released_by_the_next_run() {
    for range in ["~1.0.0", "workspace:~"] {
        let monorepo = Monorepo::new()
            .package("core", "1.0.0")
            .package("@acme/text", "1.0.0")
            .package("@acme/dev", "1.0.0")
            .depends("@acme/text", "core", range)
            .depends_in("devDependencies", "@acme/dev", "core", range)
            .config(&json!({"mode": "diff"}))
            .released()
            .commit("feat(core): count", &[("packages/core/a.js", "1\n")]);
        let world = World::local(monorepo);
        let _ = version(&world, &["--filter", "core"]).expect(0);
        let plan = run(&world, &["plan", "--format=json"]).expect(0).json();
        let reason = json!({"kind": "dependency", "on": "core", "from": "1.0.0", "to": "1.1.0", "range": "~1.0.0"});
        let packages = plan["packages"].as_array().expect("packages");
        assert_eq!(packages.len(), 1, "{plan:#}");
        assert_eq!(packages[0]["name"], "@acme/text");
        assert_eq!(packages[0]["to"], "1.0.1");
        assert_eq!(packages[0]["reasons"], json!([reason]));
        let _ = version(&world, &[]).expect(0);
        let plan = run(&world, &["plan", "--format=json"]).expect(0).json();
        assert_eq!(plan["packages"], json!([]), "{plan:#}");
    }
}

/// Who writes a higher version into a manifest releases it, and whatever its dependents' ranges no longer hold.
#[test]
fn a_version_that_is_raised_by_hand_takes_its_dependents_along() {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .package("exact", "1.0.0")
            .package("wide", "1.0.0")
            .depends("exact", "core", "1.0.0")
            .depends("wide", "core", "^1.0.0")
            .config(&json!({"mode": "diff"}))
            .released(),
    );
    let manifest = world.monorepo.read("packages/core/package.json");
    let raised = manifest.replace("\"1.0.0\"", "\"1.1.0\"");
    world.monorepo.write("packages/core/package.json", &raised);
    git(
        &world,
        &["commit", "--quiet", "--all", "--message", "raise"],
    );
    git(&world, &["push", "--quiet"]);
    let stale = version(&world, &[]).expect(3);
    assert!(
        stale.stderr.contains("workspace::lockfile_stale"),
        "{}",
        stale.stderr
    );
    git(&world, &["rm", "--quiet", "package-lock.json"]);
    git(&world, &["commit", "--quiet", "--message", "no lockfile"]);
    git(&world, &["push", "--quiet"]);
    let decided = version(&world, &[]).expect(0);
    assert!(
        decided.stdout.contains("core@1.1.0, exact@1.0.1"),
        "{}",
        decided.stdout
    );
    let manifest = world.monorepo.json("packages/exact/package.json");
    assert_eq!(manifest["dependencies"]["core"], "1.1.0");
}

/// A package that fails to pack stops everything that comes after it, until its release is given up.
#[test]
fn what_was_decided_and_can_never_be_built_is_given_up() {
    let world = world();
    let manifest = world.monorepo.read("packages/core/package.json");
    let broken = manifest.replacen('{', "{\"scripts\": {\"prepack\": \"exit 7\"},", 1);
    let world = world.develop(
        "fix(core): pack",
        &[("packages/core/package.json", &broken)],
    );
    let _ = version(&world, &[]).expect(0);
    let mended = broken.replace("exit 7", "exit 0");
    let mended = mended.replace("\"1.0.0\"", "\"1.1.0\"");
    let world = world.develop(
        "fix(core): unpack",
        &[("packages/core/package.json", &mended)],
    );
    let failed = run(&world, &["publish"]).expect(1);
    assert!(failed.stderr.contains("`abandon`"), "{}", failed.stderr);
    let _ = run(&world, &["abandon"]).expect(0);
    let decided = version(&world, &[]).expect(0);
    assert!(decided.stdout.contains("core@1.2.0"), "{}", decided.stdout);
    let _ = run(&world, &["publish"]).expect(0);
    let versions = |name| -> Vec<String> {
        published(&world, name)
            .into_iter()
            .map(|(version, _)| version)
            .collect()
    };
    assert_eq!(versions("core"), ["1.2.0"]);
    assert_eq!(versions("@acme/text"), ["1.0.2"]);
    let complete = run(&world, &["abandon"]).expect(3);
    assert!(
        complete.stderr.contains("abandon::complete"),
        "{}",
        complete.stderr
    );
}

#[test]
fn without_push_commit_and_tags_are_here_only() {
    let world = world();
    let before = world.monorepo.head();
    let _ = version(&world, &["--push=false"]).expect(0);
    let commit = world.monorepo.head();
    assert_ne!(commit, before);
    assert_eq!(git(&world, &["rev-parse", "core@1.1.0^{commit}"]), commit);
    assert_eq!(git(&world, &["symbolic-ref", "--short", "HEAD"]), "main");
    assert_eq!(git(&world, &["status", "--porcelain"]), "");
    assert_ne!(world.origin_git(&["rev-parse", "main"]), commit);
    let again = version(&world, &["--push=false"]).expect(0);
    assert!(again.stdout.contains("already decided"), "{}", again.stdout);
    assert_eq!(world.monorepo.head(), commit);

    // Nobody else knows of it: it cannot be published, nor without its tags.
    let refused = run(&world, &["publish"]).expect(3);
    assert!(
        refused.stderr.contains("release::not_on_branch"),
        "{}",
        refused.stderr
    );
    git(&world, &["push", "--quiet", "origin", "main"]);
    let refused = run(&world, &["publish"]).expect(3);
    assert!(
        refused.stderr.contains("publish::not_pushed"),
        "{}",
        refused.stderr
    );
    git(
        &world,
        &[
            "push",
            "--quiet",
            "--atomic",
            "--follow-tags",
            "origin",
            "main",
        ],
    );
    git(&world, &["push", "--quiet", "--tags", "origin"]);
    let _ = run(&world, &["publish"]).expect(0);
    assert_eq!(published(&world, "core"), [("1.1.0".to_owned(), commit)]);
}

#[test]
fn a_run_that_was_killed_before_the_branch_moved_decided_nothing() {
    let world = world();
    let before = world.monorepo.head();
    let _ = version(&world, &["--push=false"]).expect(0);
    let commit = world.monorepo.head();
    // As a killed run leaves it: some of the tags, and the branch where it was.
    git(&world, &["reset", "--quiet", "--hard", &before]);
    git(&world, &["tag", "--delete", "core@1.1.0"]);
    let _ = version(&world, &["--push=false"]).expect(0);
    assert_eq!(world.monorepo.head(), commit);
    assert_eq!(git(&world, &["rev-parse", "core@1.1.0^{commit}"]), commit);
    assert_eq!(
        git(&world, &["rev-parse", "@acme/text@1.0.1^{commit}"]),
        commit
    );

    // With another wish the tags of the killed run are gone.
    git(&world, &["reset", "--quiet", "--hard", &before]);
    let _ = version(&world, &["--push=false", "--bump=major"]).expect(0);
    assert!(!world.monorepo.tags().contains(&"core@1.1.0".to_owned()));
    assert!(world.monorepo.tags().contains(&"core@2.0.0".to_owned()));
    // A branch behind the remote decides nothing.
    git(&world, &["push", "--quiet", "origin", "main"]);
    git(&world, &["reset", "--quiet", "--hard", &before]);
    let refused = version(&world, &["--push=false"]).expect(3);
    assert!(
        refused.stderr.contains("release::behind"),
        "{}",
        refused.stderr
    );
}

#[test]
fn version_and_release_at_once_decide_once() {
    let world = world();
    let other = world.monorepo.clone_fresh(None);
    let one = invocation(&world, &["version"]).start();
    let two = world
        .binary_in(&other, &["release"])
        .env("PKGS_STORE", "none")
        .start();
    let (one, two) = (one.wait(), two.wait());
    assert_eq!(
        (one.code, two.code),
        (0, 0),
        "{}\n{}",
        one.stderr,
        two.stderr
    );
    let _ = run(&world, &["publish"]).expect(0);
    let commit = world.origin_git(&["rev-parse", "main"]);
    assert_eq!(
        world.origin_git(&["rev-list", "--count", &format!("{commit}~1..main")]),
        "1"
    );
    assert_eq!(published(&world, "core"), [("1.1.0".to_owned(), commit)]);
}

#[test]
fn prereleases_and_intents_are_decided_too() {
    let intent = "---\n\"other\": minor\n---\n\nMore.\n";
    let world = world().develop("chore: say", &[(".changeset/more.md", intent)]);
    let _ = version(&world, &["--prerelease=beta"]).expect(0);
    let tags = world.origin_git(&["tag", "--list", "*beta*"]);
    let tags: Vec<&str> = tags.lines().collect();
    assert!(tags.contains(&"core@1.1.0-beta.0"), "{tags:?}");
    assert!(tags.contains(&"other@1.1.0-beta.0"), "{tags:?}");
    let _ = run(&world, &["publish"]).expect(0);
    let commit = world.origin_git(&["rev-parse", "main"]);
    assert_eq!(
        published(&world, "other"),
        [("1.1.0-beta.0".to_owned(), commit)]
    );
}

#[test]
fn what_version_cannot_do_is_refused_before_anything_is_written() {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .service("web", "1.0.0")
            .config(&json!({"mode": "diff"}))
            .commit("feat: begin", &[]),
    );
    let head = world.monorepo.head();
    let check = |arguments: &[&str], exit: i32, code: &str| {
        let refused = world.run(arguments).expect(exit);
        assert!(refused.stderr.contains(code), "{}", refused.stderr);
        assert_eq!(world.origin_git(&["rev-parse", "main"]), head);
        assert_eq!(world.origin_git(&["tag", "--list"]), "");
    };
    check(&["version"], 2, "version::apps");
    for command in ["version", "publish"] {
        let refused = world.binary(&[command]).env("PKGS_SNAPSHOT", "pr-1");
        let refused = refused.in_actions("pull_request", "refs/pull/1/merge");
        let refused = refused.run().expect(2);
        assert!(
            refused.stderr.contains("version::snapshot"),
            "{}",
            refused.stderr
        );
        assert_eq!(world.origin_git(&["tag", "--list"]), "");
    }
    let refused = world
        .binary(&["release"])
        .env("PKGS_PUSH", "false")
        .run()
        .expect(2);
    assert!(
        refused.stderr.contains("release::needs_push"),
        "{}",
        refused.stderr
    );
    let unpublished = run(&world, &["publish"]).expect(0);
    assert!(
        unpublished.stdout.contains("nothing to publish"),
        "{}",
        unpublished.stdout
    );
    let _ = world.run(&["version", "--filter=core"]).expect(0);
    assert_eq!(world.origin_git(&["tag", "--list"]), "core@1.0.0");
}

#[test]
fn a_run_that_was_killed_after_its_push_or_between_two_packages_is_finished() {
    let world = world();
    let before = world.monorepo.head();
    let _ = version(&world, &[]).expect(0);
    let commit = world.monorepo.head();
    // As a killed run leaves it: the decision is out, the work tree where it was.
    git(&world, &["reset", "--quiet", "--hard", &before]);
    let again = version(&world, &[]).expect(0);
    assert!(again.stdout.contains("already decided"), "{}", again.stdout);
    assert_eq!(world.monorepo.head(), commit);
    assert_eq!(world.pushes().len(), 1);

    let _ = run(&world, &["publish"]).expect(0);
    std::fs::remove_file(world.outside.path().join("npm/@acme/text")).expect("a document");
    git(&world, &["reset", "--quiet", "--hard", &before]);
    let finished = run(&world, &["publish", "--format=json"]).expect(0).json();
    let deeds = finished["deeds"].as_array().expect("a list").iter();
    let deeds = deeds.map(|deed| format!("{} {}", deed["about"], deed["outcome"]));
    let deeds: Vec<String> = deeds.filter(|deed| deed.contains('@')).take(2).collect();
    let wanted = [
        "\"core@1.1.0\" \"already there\"",
        "\"@acme/text@1.0.1\" \"done\"",
    ];
    assert_eq!(deeds, wanted, "{finished:#}");
    assert_eq!(
        published(&world, "@acme/text"),
        [("1.0.1".to_owned(), commit)]
    );
}

#[test]
fn bytes_of_others_under_a_decided_version_stop_everything() {
    let world = world();
    let _ = version(&world, &[]).expect(0);
    let _ = run(&world, &["publish"]).expect(0);
    let file = world.outside.path().join("npm/core");
    let text = std::fs::read_to_string(&file).expect("a document");
    let mut document: Value = serde_json::from_str(&text).expect("JSON");
    let known = &mut document["versions"]["1.1.0"];
    known["gitHead"] = json!("0000000000000000000000000000000000000000");
    known["dist"]["integrity"] = json!(format!("sha512-{}==", "A".repeat(86)));
    std::fs::write(&file, document.to_string()).expect("a document");
    let refused = run(&world, &["publish"]).expect(6);
    assert!(
        refused.stderr.contains("publish::other_bytes"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_sealed_release_needs_its_store_only_where_npm_lacks_something() {
    let world = world();
    let _ = world.run(&["release"]).expect(0);
    let there = run(&world, &["publish"]).expect(0);
    assert!(
        there.stdout.contains("nothing to publish"),
        "{}",
        there.stdout
    );
    std::fs::remove_file(world.outside.path().join("npm/@acme/text")).expect("a document");
    let refused = run(&world, &["publish"]).expect(2);
    assert!(
        refused.stderr.contains("release::store_needed"),
        "{}",
        refused.stderr
    );
    world.follow();
    let planned = world.run(&["publish", "--dry-run"]).expect(0);
    assert!(
        planned.stdout.contains("@acme/text@1.0.1"),
        "{}",
        planned.stdout
    );
    let _ = world.run(&["publish"]).expect(0);
    assert_eq!(published(&world, "@acme/text").len(), 1);
}

#[test]
fn an_event_that_anybody_can_cause_decides_and_publishes_nothing() {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .config(&json!({"mode": "diff"}))
            .released()
            .commit("feat(core): count", &[("packages/core/a.js", "1\n")]),
    );
    for event in ["pull_request", "merge_group"] {
        for command in ["version", "publish"] {
            let refused = invocation(&world, &[command])
                .in_actions(event, "refs/heads/main")
                .run()
                .expect(3);
            let code = "release::untrusted_event";
            assert!(refused.stderr.contains(code), "{event}: {}", refused.stderr);
        }
    }
}

#[test]
fn tags_that_a_killed_run_left_here_stop_nobody() {
    for command in ["version", "release"] {
        let world = world();
        let before = world.monorepo.head();
        let _ = version(&world, &["--push=false"]).expect(0);
        // As a killed run leaves it: the tags, and the branch where it was. Then work went on.
        git(&world, &["reset", "--quiet", "--hard", &before]);
        let world = world.develop("feat(other): it", &[("packages/other/a.js", "1\n")]);
        let _ = run(&world, &[command]).expect(0);
        let commit = world.origin_git(&["rev-parse", "core@1.1.0^{commit}"]);
        assert_eq!(
            world.origin_git(&["rev-parse", "main"]),
            commit,
            "{command}"
        );
        assert_eq!(git(&world, &["rev-parse", "core@1.1.0^{commit}"]), commit);
    }
}

#[test]
fn what_another_branch_decided_here_keeps_its_tags() {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .config(&json!({"mode": "diff", "branches": {"next": "beta"}}))
            .released()
            .commit("feat(core): count", &[("packages/core/a.js", "1\n")]),
    );
    git(&world, &["checkout", "--quiet", "-b", "next"]);
    let _ = version(&world, &["--push=false"]).expect(0);
    let beta = world.monorepo.head();
    git(&world, &["checkout", "--quiet", "main"]);
    let _ = version(&world, &["--push=false"]).expect(0);
    let tags = ["core@1.1.0-beta.0^{commit}", "core@1.1.0^{commit}"];
    let tags = tags.map(|tag| git(&world, &["rev-parse", tag]));
    assert_eq!(tags, [beta, world.monorepo.head()]);
}

#[test]
fn nothing_is_decided_upon_a_release_that_is_not_delivered() {
    let world = world();
    let _ = world.run(&["release"]).expect(0);
    let commit = world.origin_git(&["rev-parse", "main"]);
    // As a run leaves it that was killed after it decided.
    let npm = world.outside.path().join("npm/@acme/text");
    let document = std::fs::read(&npm).expect("a document");
    std::fs::remove_file(&npm).expect("a document");
    let world = world.develop("fix(other): it", &[("packages/other/a.js", "1\n")]);
    let head = world.monorepo.head();
    for push in ["--push=true", "--push=false", "--dry-run"] {
        let refused = version(&world, &[push]).expect(3);
        let lacking = "npm lacks @acme/text@1.0.1";
        assert!(
            refused.stderr.contains("version::unfinished"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains(lacking), "{}", refused.stderr);
        assert_eq!(world.origin_git(&["rev-parse", "main"]), head);
        assert_eq!(world.monorepo.head(), head);
    }
    std::fs::write(&npm, document).expect("a document");
    // Everything is on npm, and the store lacks the record.
    let id = commit.get(..12).expect("an id");
    let store = world.outside.path().join("store");
    let records = walkdir::WalkDir::new(&store).into_iter().flatten();
    let mut records = records.filter(|entry| {
        let name = entry.file_name().to_string_lossy();
        name.contains(id) && entry.file_type().is_file()
    });
    let record = records.next().expect("a record");
    std::fs::remove_file(record.path()).expect("a record");
    let refused = world.run(&["version"]).expect(3);
    assert!(refused.stderr.contains("no record"), "{}", refused.stderr);
    let _ = world.run(&["release"]).expect(0);
    let _ = version(&world, &[]).expect(0);
}

#[test]
fn a_file_in_the_way_of_the_work_tree_is_found_before_the_push() {
    let world = world();
    let notes = world.monorepo.path().join("packages/core/CHANGELOG.md");
    std::fs::write(&notes, "mine\n").expect("a file");
    let head = world.monorepo.head();
    let refused = version(&world, &[]).expect(3);
    assert!(
        refused.stderr.contains("worktree::in_the_way"),
        "{}",
        refused.stderr
    );
    assert_eq!(world.origin_git(&["rev-parse", "main"]), head);
    for flag in ["--push=false", "--dry-run"] {
        let refused = version(&world, &[flag]).expect(3).stderr;
        assert!(
            refused.contains("worktree::in_the_way"),
            "{flag}\n{refused}"
        );
        assert_eq!(world.monorepo.head(), head);
        assert_eq!(git(&world, &["tag", "--list", "core@1.1.0"]), "");
    }
    assert_eq!(std::fs::read_to_string(&notes).expect("a file"), "mine\n");
}

#[test]
fn what_a_detached_head_decides_is_pushed_from_there() {
    let world = world();
    git(&world, &["checkout", "--quiet", "--detach"]);
    let decided = version(&world, &["--push=false", "--branch=main"]).expect(0);
    let push = "git push --atomic --follow-tags origin HEAD:refs/heads/main";
    assert!(decided.stderr.contains(push), "{}", decided.stderr);
    let words: Vec<&str> = push.split(' ').skip(1).collect();
    git(&world, &words);
    let _ = run(&world, &["publish", "--branch=main"]).expect(0);
    assert_eq!(published(&world, "core").len(), 1);
}

#[test]
fn of_two_decisions_made_here_both_must_be_pushed() {
    let world = world();
    let _ = version(&world, &["--push=false"]).expect(0);
    let file = world.monorepo.path().join("packages/other/a.js");
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    std::fs::write(&file, "1\n").expect("a file");
    git(&world, &["add", "packages/other"]);
    git(&world, &["commit", "--quiet", "--message=fix(other): it"]);
    let _ = version(&world, &["--push=false"]).expect(0);
    git(
        &world,
        &["push", "--quiet", "origin", "main", "other@1.0.1"],
    );
    let refused = run(&world, &["publish"]).expect(3);
    let hint = "git push --atomic origin @acme/text@1.0.1 core@1.1.0";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
    assert_eq!(published(&world, "other"), []);
    git(&world, &["push", "--quiet", "--tags", "origin"]);
    let _ = run(&world, &["publish"]).expect(0);
    for name in ["core", "other"] {
        assert_eq!(published(&world, name).len(), 1, "{name}");
    }
}

#[test]
fn files_that_git_was_told_not_to_look_at_are_refused_where_they_would_be_written() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let world = world();
        let head = world.monorepo.head();
        let manifest = "packages/core/package.json";
        let text = world.monorepo.read(manifest);
        for path in [manifest, "packages/other/package.json"] {
            git(&world, &["update-index", flag, path]);
            let changed = format!("{}\n", world.monorepo.read(path));
            world.monorepo.write(path, &changed);
        }
        for push in ["--push=true", "--push=false"] {
            for arguments in [&[push, "--dry-run"][..], &[push]] {
                let refused = version(&world, arguments).expect(3);
                let told = refused.stderr.contains("error[build::hidden_changes]")
                    && refused.stderr.contains(manifest)
                    && !refused.stderr.contains("packages/other");
                assert!(told, "{flag} {arguments:?}: {}", refused.stderr);
                assert_eq!(world.origin_git(&["rev-parse", "main"]), head);
                assert_eq!(world.monorepo.head(), head);
            }
        }
        // What it does not write may differ, and what it writes may be hidden where it is the commit's.
        world.monorepo.write(manifest, &text);
        let _ = version(&world, &["--dry-run"]).expect(0);
        let _ = version(&world, &[]).expect(0);
        assert!(world.monorepo.read(manifest).contains("1.1.0"), "{flag}");
        assert_eq!(git(&world, &["status", "--porcelain"]), "", "{flag}");
    }
}

#[test]
fn a_sparse_checkout_may_leave_out_what_is_not_written() {
    let world = world();
    let sparse = |pattern: &str| {
        git(
            &world,
            &["sparse-checkout", "set", "--no-cone", "/*", pattern],
        );
    };
    sparse("!/packages/core/");
    for arguments in [&["--dry-run"][..], &[]] {
        let refused = version(&world, arguments).expect(3);
        let told = refused.stderr.contains("error[build::not_checked_out]")
            && refused.stderr.contains("packages/core/package.json");
        assert!(told, "{}", refused.stderr);
    }
    sparse("!/packages/other/");
    let _ = version(&world, &["--dry-run"]).expect(0);
    let _ = version(&world, &[]).expect(0);
    assert!(!world.monorepo.path().join("packages/other").exists());
    assert_eq!(git(&world, &["status", "--porcelain"]), "");
    let tags = world.origin_git(&["tag", "--list", "*1.1.0"]);
    assert_eq!(tags, "core@1.1.0");
}

#[test]
fn versions_that_a_later_decision_overtook_are_told_as_skipped() {
    let world = world();
    let _ = version(&world, &[]).expect(0);
    let first = world.monorepo.head();
    let world = world.develop("fix(core): it", &[("packages/core/b.js", "1\n")]);
    let _ = version(&world, &[]).expect(0);
    let done = run(&world, &["publish"]).expect(0);
    let said = format!(
        "core@1.1.0 is skipped: it was decided at {}, and 1.1.1 after it",
        &first[..7]
    );
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    assert!(
        !done.stderr.contains("@acme/text@1.0.1 is skipped"),
        "{}",
        done.stderr
    );
    let versions: Vec<String> = published(&world, "core")
        .into_iter()
        .map(|(version, _)| version)
        .collect();
    assert_eq!(versions, ["1.1.1"]);
    let again = run(&world, &["publish"]).expect(0);
    assert!(again.stderr.contains(&said), "{}", again.stderr);
    assert!(
        again
            .stdout
            .contains("every decided version that the branch still holds"),
        "{}",
        again.stdout
    );
}

#[test]
fn who_committed_beside_a_release_is_told_to_pull_before_a_push() {
    let world = world();
    let behind = world.monorepo.clone_fresh(None);
    let _ = version(&world, &[]).expect(0);
    let behind = behind.commit("fix(core): d", &[("packages/core/d.js", "1\n")]);
    let refused = world
        .binary_in(&behind, &["version"])
        .env("PKGS_STORE", "none")
        .run()
        .expect(3)
        .stderr;
    assert!(
        refused.contains("error[release::not_on_branch]")
            && refused.contains(
                "hint: pull first, then push your commits: git pull --rebase origin main"
            ),
        "{refused}"
    );
    // Where nobody else pushed, only the push is missing.
    world
        .monorepo
        .git(&["commit", "--quiet", "--allow-empty", "--message=fix: it"]);
    let refused = version(&world, &[]).expect(3).stderr;
    assert!(
        refused.contains("hint: push your commits first"),
        "{refused}"
    );
}

#[test]
fn what_is_refused_after_the_decision_is_no_refusal_that_changed_nothing() {
    let world = world();
    let tarballs = world.outside.path().join("npm/-/tarballs");
    std::fs::create_dir_all(&tarballs).expect("a directory");
    std::fs::write(tarballs.join("core"), "").expect("a file in the way");
    let failed = run(&world, &["release"]).expect(75);
    assert!(
        failed.stderr.contains("error[registry::disk]"),
        "{}",
        failed.stderr
    );
    assert!(
        failed.stdout.contains("decided, but not finished"),
        "{}",
        failed.stdout
    );
    // The run that goes on with it says so, too.
    let failed = run(&world, &["release"]).expect(75);
    assert!(
        failed.stderr.contains("error[registry::disk]"),
        "{}",
        failed.stderr
    );
    std::fs::remove_file(tarballs.join("core")).expect("the file in the way");
    let _ = run(&world, &["release"]).expect(0);
    assert_eq!(published(&world, "core").len(), 1);
}
