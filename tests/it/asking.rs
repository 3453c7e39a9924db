//! Stories of a person at a terminal who is asked what nothing decides: how far a package grows.

use serde_json::json;

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Invocation;
use crate::support::terminal::{AtTerminal, CONTROL_C, CONTROL_D, DOWN, ENTER, ESCAPE, Seen};
use crate::support::world::World;

/// Two libraries, of which `text` needs `core`, and one alone; released, and two of them changed by commits that say nothing of versions.
fn world() -> World {
    changed(&json!({"mode": "diff"}), "Count again", "Say it louder")
}

fn changed(config: &serde_json::Value, core: &str, other: &str) -> World {
    World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .package("text", "1.0.0")
            .package("other", "1.0.0")
            .depends("text", "core", "~1.0.0")
            .config(config)
            .released()
            .commit(core, &[("packages/core/a.js", "1\n")])
            .commit(other, &[("packages/other/a.js", "1\n")]),
    )
}

fn invocation(world: &World, arguments: &[&str]) -> Invocation {
    let arguments = [&["version"], arguments].concat();
    world.binary(&arguments).env("PKGS_STORE", "none")
}

fn at_terminal(world: &World, arguments: &[&str]) -> AtTerminal {
    invocation(world, arguments).at_terminal()
}

/// Reads a question to its end.
fn asked<'a>(terminal: &'a mut AtTerminal, question: &str) -> &'a mut AtTerminal {
    terminal.until(question).until("nothing is written")
}

/// The tags of the origin beside those of the first release.
fn tags(world: &World) -> Vec<String> {
    let tags = world.origin_git(&["tag", "--list"]);
    let first = |tag: &&str| !tag.ends_with("1.0.0");
    tags.lines().filter(first).map(str::to_owned).collect()
}

/// That nothing was written, here or on the remote.
fn assert_untouched(world: &World, head: &str) {
    assert_eq!(world.origin_git(&["rev-parse", "main"]), head);
    assert_eq!(world.monorepo.head(), head);
    assert_eq!(tags(world), Vec::<String>::new());
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    let here = world.monorepo.tags();
    assert!(here.iter().all(|tag| tag.ends_with("1.0.0")), "{here:?}");
}

fn assert_not_asked(seen: &Seen) {
    assert!(!seen.screen.contains("becomes"), "{}", seen.screen);
}

#[test]
fn each_package_that_nothing_decides_about_is_asked_about_and_others_follow() {
    let world = world();
    let mut terminal = at_terminal(&world, &[]);
    terminal
        .until("nothing says how far core grows; since core@1.0.0")
        .until("Count again");
    asked(&mut terminal, "core 1.0.0 becomes").press(&[DOWN, ENTER]);
    terminal.until("Say it louder");
    // Patch, minor, major, not now.
    asked(&mut terminal, "other 1.0.0 becomes").press(&[DOWN, DOWN, DOWN, ENTER]);
    let seen = terminal.end().expect(0);
    assert_eq!(tags(&world), ["core@1.1.0", "text@1.0.1"]);
    assert!(seen.stdout.contains("\ndecided "), "{}", seen.stdout);
    assert!(seen.stdout.contains("asked for"), "{}", seen.stdout);
    assert!(!seen.stdout.contains("becomes"), "{}", seen.stdout);
    let notes = world.monorepo.read("packages/core/CHANGELOG.md");
    assert!(notes.contains("Count again"), "{notes}");
    let message = world.origin_git(&["log", "-1", "--format=%B", "main"]);
    assert!(message.contains("core 1.0.0 -> 1.1.0"), "{message}");

    // What was put off is still to be released.
    let _ = invocation(&world, &[]).run().expect(0);
    assert_eq!(tags(&world), ["core@1.1.0", "other@1.0.1", "text@1.0.1"]);
}

#[test]
fn where_all_share_a_version_one_question_is_asked() {
    let world = changed(&json!({"mode": "sync"}), "Count again", "Say it louder");
    let mut terminal = at_terminal(&world, &["--dry-run"]);
    terminal.until("Count again").until("Say it louder");
    asked(&mut terminal, "all packages, 1.0.0, become").press(&[DOWN, DOWN, DOWN, ENTER]);
    let seen = terminal.end().expect(0);
    assert!(seen.stdout.contains("nothing to "), "{}", seen.stdout);

    let mut terminal = at_terminal(&world, &[]);
    asked(&mut terminal, "all packages, 1.0.0, become").press(&[DOWN, DOWN, ENTER]);
    let _ = terminal.end().expect(0);
    assert_eq!(tags(&world), ["v2.0.0"]);
}

#[test]
fn a_version_that_is_typed_must_be_higher() {
    let world = world();
    let mut terminal = at_terminal(&world, &["--filter=core"]);
    let other = [DOWN, DOWN, DOWN, DOWN, ENTER];
    asked(&mut terminal, "core 1.0.0 becomes").press(&other);
    terminal.until("esc goes back").press(&["0.9.0", ENTER]);
    terminal.until("core cannot become 0.9.0");
    terminal.until("esc goes back").press(&["new", ENTER]);
    terminal.until("is not a version");
    // Back to the list, and here again.
    terminal.until("esc goes back").press(&[ESCAPE]);
    asked(&mut terminal, "core 1.0.0 becomes").press(&other);
    terminal.until("esc goes back").press(&["1.5.0", ENTER]);
    let _ = terminal.end().expect(0);
    assert_eq!(tags(&world), ["core@1.5.0"]);
}

#[test]
fn who_leaves_a_question_decides_nothing() {
    let world = world();
    let head = world.monorepo.head();
    for push in ["--push=true", "--push=false"] {
        for key in [CONTROL_C, CONTROL_D, ESCAPE] {
            let mut terminal = at_terminal(&world, &[push]);
            asked(&mut terminal, "core 1.0.0 becomes").press(&[ENTER]);
            asked(&mut terminal, "other 1.0.0 becomes").press(&[key]);
            let seen = terminal.end().expect(130);
            assert!(seen.screen.contains("interrupted"), "{}", seen.screen);
            assert_eq!(seen.stdout, "");
            assert_untouched(&world, &head);
        }
    }
}

#[test]
fn a_commit_that_is_made_while_a_question_is_open_is_kept() {
    for (push, code) in [("--push=true", 0), ("--push=false", 3)] {
        let world = world();
        let mut terminal = at_terminal(&world, &[push]);
        asked(&mut terminal, "core 1.0.0 becomes").press(&[ENTER]);
        asked(&mut terminal, "other 1.0.0 becomes");
        world.monorepo.write("mine.txt", "mine\n");
        world.monorepo.git(&["add", "mine.txt"]);
        world
            .monorepo
            .git(&["commit", "--quiet", "--message", "feat: mine"]);
        let mine = world.monorepo.head();
        terminal.press(&[ENTER]);
        let seen = terminal.end().expect(code);
        assert!(
            seen.screen.contains("does not lead there"),
            "{}",
            seen.screen
        );
        assert_eq!(world.monorepo.head(), mine);
        assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
        let decided = tags(&world);
        assert_eq!(decided.is_empty(), code == 3, "{decided:?}");
        let here = world.monorepo.tags();
        assert!(
            code == 0 || here.iter().all(|tag| tag.ends_with("1.0.0")),
            "{here:?}"
        );
    }
}

#[test]
fn a_file_that_is_changed_while_a_question_is_open_is_named_and_nothing_is_decided() {
    for push in ["--push=true", "--push=false"] {
        let world = world();
        let head = world.monorepo.head();
        let mut terminal = at_terminal(&world, &[push]);
        asked(&mut terminal, "core 1.0.0 becomes").press(&[ENTER]);
        asked(&mut terminal, "other 1.0.0 becomes");
        let manifest = world.monorepo.read("packages/core/package.json");
        world
            .monorepo
            .write("packages/core/package.json", &format!("{manifest}\n"));
        terminal.press(&[ENTER]);
        let seen = terminal.end().expect(3);
        let told = seen.screen.contains("error[worktree::dirty]")
            && seen.screen.contains("packages/core/package.json");
        assert!(told, "{}", seen.screen);
        world
            .monorepo
            .write("packages/core/package.json", &manifest);
        assert_untouched(&world, &head);
    }
}

#[test]
fn an_answer_that_another_run_made_vain_is_told() {
    let world = world();
    let mut terminal = at_terminal(&world, &[]);
    asked(&mut terminal, "core 1.0.0 becomes").press(&[DOWN, ENTER]);
    asked(&mut terminal, "other 1.0.0 becomes");
    let elsewhere = world.monorepo.clone_fresh(None);
    let _ = world
        .binary_in(&elsewhere, &["version", "--filter=core"])
        .env("PKGS_STORE", "none")
        .run()
        .expect(0);
    terminal.press(&[DOWN, ENTER]);
    let seen = terminal.end().expect(0);
    let told = "the answer for core, 1.0.0, counts for nothing";
    assert!(seen.screen.contains(told), "{}", seen.screen);
    let kept = "the answer for other";
    assert!(!seen.screen.contains(kept), "{}", seen.screen);
    assert_eq!(tags(&world), ["core@1.0.1", "other@1.1.0"]);
}

#[test]
fn a_hangup_leaves_the_terminal_as_it_was() {
    let world = world();
    let head = world.monorepo.head();
    let mut terminal = at_terminal(&world, &[]);
    asked(&mut terminal, "core 1.0.0 becomes");
    terminal.hang_up();
    let seen = terminal.end().expect(143);
    assert!(seen.screen.contains("interrupted"), "{}", seen.screen);
    assert!(
        seen.screen.contains("the terminal is as it was"),
        "{}",
        seen.screen
    );
    assert_untouched(&world, &head);
}

#[test]
fn who_closes_the_terminal_at_a_question_ends_the_run() {
    let world = world();
    let head = world.monorepo.head();
    let mut terminal = at_terminal(&world, &[]);
    asked(&mut terminal, "core 1.0.0 becomes");
    terminal.close();
    let _ = terminal.end().expect(143);
    assert_untouched(&world, &head);
}

#[test]
fn nobody_is_asked_where_nobody_may_be_there() {
    let world = world();
    let in_ci = invocation(&world, &["--dry-run"]).env("CI", "true");
    let in_actions = invocation(&world, &["--dry-run"]).env("GITHUB_ACTIONS", "true");
    let of_push = in_actions.env("GITHUB_EVENT_NAME", "push");
    let json = invocation(&world, &["--dry-run", "--format=json"]);
    for invocation in [in_ci, of_push, json] {
        let seen = invocation.at_terminal().end().expect(0);
        assert_not_asked(&seen);
        assert!(seen.stdout.contains("1.0.1"), "{}", seen.stdout);
    }
    let piped = invocation(&world, &[]).run().expect(0);
    assert!(!piped.stderr.contains("becomes"), "{}", piped.stderr);
    assert_eq!(tags(&world), ["core@1.0.1", "other@1.0.1"]);
}

#[test]
fn what_is_decided_is_not_asked() {
    let intent = "---\n\"other\": minor\n---\n\nMore.\n";
    let config = json!({"mode": "diff"});
    let world = changed(&config, "fix(core): count", "Say it louder")
        .develop("chore: say", &[(".changeset/more.md", intent)]);
    let seen = at_terminal(&world, &[]).end().expect(0);
    assert_not_asked(&seen);
    assert_eq!(tags(&world), ["core@1.0.1", "other@1.1.0"]);

    let world = self::world();
    let seen = at_terminal(&world, &["--bump=minor"]).end().expect(0);
    assert_not_asked(&seen);
    assert_eq!(tags(&world), ["core@1.1.0", "other@1.1.0", "text@1.0.1"]);
}

#[test]
fn where_intents_decide_what_none_names_is_asked() {
    let intent = "---\n\"core\": patch\n---\n\nMore.\n";
    let config = json!({"mode": "diff", "bumpFrom": "intents"});
    let world = changed(&config, "feat(core): count", "feat(other): say")
        .develop("chore: say", &[(".changeset/more.md", intent)]);
    // Where nobody is asked it is not released, and that is preselected.
    let mut terminal = at_terminal(&world, &["--dry-run"]);
    asked(&mut terminal, "other 1.0.0 becomes").press(&[ENTER]);
    let seen = terminal.end().expect(0);
    assert!(!seen.stdout.contains("other 1.0"), "{}", seen.stdout);

    let mut terminal = at_terminal(&world, &["--prerelease=beta"]);
    let up = "\u{1b}[A";
    terminal.until("other 1.0.0 becomes").until("1.1.0-beta.0");
    asked(&mut terminal, "not now").press(&[up, up, ENTER]);
    let _ = terminal.end().expect(0);
    assert_eq!(
        tags(&world),
        [
            "core@1.0.1-beta.0",
            "other@1.1.0-beta.0",
            "text@1.0.1-beta.0"
        ]
    );
    let notes = world.monorepo.read("packages/other/CHANGELOG.md");
    assert!(notes.contains("say"), "{notes}");
}

#[test]
fn answers_are_kept_where_the_remote_moves_meanwhile() {
    let world = world().develop("fix(text): it", &[("packages/text/a.js", "1\n")]);
    let mut terminal = at_terminal(&world, &[]);
    asked(&mut terminal, "core 1.0.0 becomes").press(&[ENTER]);
    asked(&mut terminal, "other 1.0.0 becomes");
    let elsewhere = world.monorepo.clone_fresh(None);
    let _ = world
        .binary_in(&elsewhere, &["version", "--filter=text"])
        .env("PKGS_STORE", "none")
        .run()
        .expect(0);
    terminal.press(&[DOWN, ENTER]);
    let seen = terminal.end().expect(0);
    assert!(seen.screen.contains("judging again"), "{}", seen.screen);
    for package in ["core", "other"] {
        let story = format!("how far {package} grows");
        assert_eq!(seen.screen.matches(&story).count(), 1, "{}", seen.screen);
    }
    assert_eq!(tags(&world), ["core@1.0.1", "other@1.1.0", "text@1.0.1"]);
}

#[test]
fn what_was_answered_not_now_is_said_and_not_that_nothing_counts() {
    let world = changed(
        &json!({"mode": "diff"}),
        "docs(core): how to count",
        "Say it louder",
    );
    let world = world.develop("Count again", &[("packages/core/b.js", "1\n")]);
    let mut terminal = at_terminal(&world, &["--filter=core"]);
    // That a page was written says nothing of the version.
    asked(&mut terminal, "core 1.0.0 becomes").press(&[DOWN, DOWN, DOWN, ENTER]);
    let seen = terminal.end().expect(0);
    let said = "nothing to release: what changed was answered not now\nnot released: ";
    assert!(seen.stdout.contains(said), "{}", seen.stdout);
}

#[test]
fn who_is_behind_is_told_to_pull_for_no_run_of_others_is_on_its_way() {
    let world = world();
    let elsewhere = world.monorepo.clone_fresh(None);
    let world = world.develop("fix(core): it", &[("packages/core/c.js", "1\n")]);
    for command in ["version", "release"] {
        let behind = || {
            world
                .binary_in(&elsewhere, &[command])
                .env("PKGS_STORE", "none")
        };
        let seen = behind().at_terminal().end().expect(3);
        assert!(
            seen.screen.contains("error[release::behind]") && seen.screen.contains("pull first"),
            "{}",
            seen.screen
        );
        let in_ci = behind().env("CI", "true").run().expect(0);
        assert!(in_ci.stdout.starts_with("superseded"), "{}", in_ci.stdout);
    }
    assert_eq!(tags(&world), Vec::<String>::new());
}
