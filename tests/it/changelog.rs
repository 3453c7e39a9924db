//! Stories of the notes of a release: in changelogs, on release pages and in plans.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::http::{Listener, Response};
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;
use crate::support::world::World;

/// Two libraries, of which one has a changelog that people wrote on Windows, and no final line end.
const BY_HAND: &str = "\u{feff}# History\r\n\r\nAll of it.\r\n\r\n## 1.0.0\r\n\r\n* begin";

fn monorepo(changelog: &str) -> Monorepo {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .depends("@acme/text", "core", "^1.0.0")
        .config(&json!({"mode": "diff", "changelog": changelog}));
    let mut root = monorepo.json("package.json");
    root["repository"] = json!("github:acme/mono");
    monorepo
        .file("package.json", &format!("{root:#}\n"))
        .commit("feat: begin", &[("packages/text/CHANGELOG.md", BY_HAND)])
}

fn release(world: &World) -> Run {
    world.binary(&["release"]).env("PKGS_STORE", "none").run()
}

/// The text of a file at a tag, its commits called by what they are.
fn text(world: &World, tag: &str, path: &str) -> String {
    let mut text = world.origin_git(&["cat-file", "blob", &format!("{tag}:{path}")]);
    for line in world.origin_git(&["log", "--format=%H %s", tag]).lines() {
        let (id, subject) = line.split_once(' ').expect("an id and a subject");
        text = text.replace(id, &format!("<{subject}>"));
        text = text.replace(&id[..7], "<id>");
    }
    text
}

#[test]
fn changelogs_of_packages_and_root_grow_at_the_top_in_the_release_commit() {
    let world = World::local(monorepo("both"));
    // The first release takes the versions that are there: nothing to edit.
    let head = world.monorepo.head();
    let _ = release(&world).expect(0);
    assert_eq!(world.origin_git(&["rev-parse", "main"]), head);

    let world = world.develop(
        "feat(core): count",
        &[("packages/core/src/index.js", "exports.count = 1;\n")],
    );
    let world = world.develop(
        "fix: ![x](javascript:y) <b> for @ada\u{1b}[2J",
        &[
            ("packages/core/src/a.js", ""),
            ("packages/text/src/a.js", ""),
        ],
    );
    let _ = release(&world).expect(0);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    let hostile = r"!\[x\](javascript:y) \<b\> for `@ada\u{1b}[2J`";
    let day = world.origin_git(&["log", "-1", "--format=%cs", "core@1.1.0"]);
    let commit =
        |subject: &str| format!("[`<id>`](https://github.com/acme/mono/commit/<{subject}>)");
    let feature = commit("feat(core): count");
    let fix = commit("fix: ![x](javascript:y) <b> for @ada\u{1b}[2J");
    let compare = |name: &str, from: &str, to: &str| {
        format!("[{to}](https://github.com/acme/mono/compare/{name}@{from}...{name}@{to})")
    };
    let of_core = format!(
        "## {} ({day})\n\n### Features\n\n- {feature} **core:** count\n\n### Fixes\n\n- {fix} {hostile}\n",
        compare("core", "1.0.0", "1.1.0")
    );
    assert_eq!(
        text(&world, "core@1.1.0", "packages/core/CHANGELOG.md"),
        format!("# Changelog\n\n{of_core}").trim_end()
    );
    let of_text = format!(
        "## {} ({day})\n\n### Fixes\n\n- {fix} {hostile}\n\n",
        compare("@acme/text", "1.0.0", "1.0.1")
    );
    let (title, rest) = BY_HAND.split_at(BY_HAND.find("## 1.0.0").expect("a section"));
    assert_eq!(
        text(&world, "core@1.1.0", "packages/text/CHANGELOG.md"),
        format!("{title}{}{rest}", of_text.replace('\n', "\r\n"))
    );
    let of_all = format!(
        "## {day}\n\n`core` 1.1.0, `@acme/text` 1.0.1\n\n### Features\n\n- {feature} **core:** count (`core`)\n\n### Fixes\n\n- {fix} {hostile} (`core`, `@acme/text`)\n"
    );
    assert_eq!(
        text(&world, "core@1.1.0", "CHANGELOG.md"),
        format!("# Changelog\n\n{of_all}").trim_end()
    );

    // The next one goes on top, and brings a dependency in one line.
    let world = world.develop("feat!: less", &[("packages/core/src/a.js", "1;\n")]);
    let _ = release(&world).expect(0);
    let less = commit("feat!: less");
    let core = text(&world, "core@2.0.0", "packages/core/CHANGELOG.md");
    let newest = format!(
        "## {} ({day})\n\n### Breaking changes\n\n- {less} less\n\n",
        compare("core", "1.1.0", "2.0.0")
    );
    assert_eq!(core, format!("# Changelog\n\n{newest}{of_core}").trim_end());
    let text_now = text(&world, "core@2.0.0", "packages/text/CHANGELOG.md");
    let newest = format!(
        "## {} ({day})\n\n### Dependencies\n\n- `core` 2.0.0\n\n",
        compare("@acme/text", "1.0.1", "1.0.2")
    );
    let before = format!("{}{rest}", of_text.replace('\n', "\r\n"));
    assert_eq!(
        text_now,
        format!("{title}{}{before}", newest.replace('\n', "\r\n"))
    );
    // Nobody has anything to release after that.
    let again = release(&world).expect(0);
    assert!(again.stdout.contains("released"), "{}", again.stdout);
    assert_eq!(world.origin_git(&["tag", "--list"]).lines().count(), 6);
}

#[test]
fn no_notes_in_the_tree_and_the_same_notes_as_json() {
    let monorepo = monorepo("none")
        .released()
        .commit("fix(text): it", &[("packages/text/src/a.js", "")]);
    let id = monorepo.head();
    let world = World::local(monorepo);
    let plan = world.run(&["plan", "--format", "json"]).expect(0).json();
    let edits: Vec<&str> = plan["edits"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|edit| edit["path"].as_str())
        .collect();
    assert_eq!(edits, ["package-lock.json", "packages/text/package.json"]);
    assert_eq!(
        plan["packages"][0]["notes"],
        json!({
            "changes": [{"group": "fixes", "commit": id, "url": format!("https://github.com/acme/mono/commit/{id}"), "scope": "text", "text": "it"}],
            "dependencies": [],
            "compare": "https://github.com/acme/mono/compare/@acme/text@1.0.0...@acme/text@1.0.1",
        })
    );
}

#[test]
fn a_section_that_somebody_wrote_stays_and_what_is_no_file_is_refused() {
    let monorepo = monorepo("packages").released();
    let by_hand = "## 1.0.1\n\nThis was hard.\n";
    let monorepo = monorepo.commit("fix: it", &[("packages/core/CHANGELOG.md", by_hand)]);
    let world = World::local(monorepo);
    let _ = release(&world).expect(0);
    let at = |path: &str| {
        world.origin_git(&["diff", "--stat", "core@1.0.1~1", "core@1.0.1", "--", path])
    };
    assert_eq!(at("packages/core/CHANGELOG.md"), "");
    assert_ne!(at("packages/core/package.json"), "");

    world.follow();
    let core = world.monorepo.path().join("packages/core");
    std::fs::remove_file(core.join("CHANGELOG.md")).expect("removed");
    std::os::unix::fs::symlink("../text/CHANGELOG.md", core.join("CHANGELOG.md")).expect("a link");
    let world = world.develop("fix: one for both", &[("packages/core/src/b.js", "")]);
    let run = release(&world).expect(3);
    assert!(
        run.stderr
            .contains("error[plan::changelog]: the notes of the release cannot be written to packages/core/CHANGELOG.md"),
        "{}",
        run.stderr
    );
    let run = world.run(&["plan", "--changelog", "none"]).expect(0);
    assert!(run.stdout.contains("core@1.0.2"), "{}", run.stdout);
}

#[test]
fn a_file_that_is_not_committed_is_never_overwritten() {
    let monorepo = monorepo("packages")
        .released()
        .commit("fix(core): it", &[("packages/core/src/a.js", "")]);
    let world = World::local(monorepo);
    world.monorepo.write("packages/core/CHANGELOG.md", "mine\n");
    let run = release(&world).expect(3);
    assert!(
        run.stderr.contains("error[worktree::in_the_way]"),
        "{}",
        run.stderr
    );
    assert_eq!(world.monorepo.read("packages/core/CHANGELOG.md"), "mine\n");
    assert_eq!(world.monorepo.git(&["diff"]), "");
    assert_eq!(world.origin_git(&["tag", "--list", "*@1.0.1"]), "");
}

#[test]
fn a_run_that_was_killed_leaves_no_changelog_and_the_next_one_writes_the_same_bytes() {
    let world = || {
        let monorepo = monorepo("both").released();
        World::local(monorepo.commit("fix(core): it", &[("packages/core/src/a.js", "")]))
    };
    let (killed, whole) = (world(), world());
    let _ = release(&whole).expect(0);
    let run = killed
        .binary(&["release"])
        .env("PKGS_STORE", "none")
        .env("PKGS_BUILD", "kill -9 $PPID")
        .run();
    assert_eq!(run.killed_by, Some(9), "{}", run.stderr);
    let left = killed.monorepo.git(&["status", "--porcelain"]);
    assert!(left.contains("?? CHANGELOG.md"), "{left}");
    let _ = release(&killed).expect(0);
    assert_eq!(killed.monorepo.git(&["status", "--porcelain"]), "");
    killed.follow();
    let released = |world: &World| world.origin_git(&["rev-parse", "core@1.0.1^{commit}"]);
    assert_eq!(released(&killed), released(&whole));
}

#[test]
fn a_release_page_says_the_same_when_a_later_run_tells_it() {
    let monorepo = monorepo("packages")
        .released()
        .commit("feat(core): count", &[("packages/core/src/a.js", "")]);
    let world = World::local(monorepo);
    let origin = world.monorepo.origin_directory();
    let server = world.monorepo.sandbox().path().join("acme");
    std::fs::create_dir(&server).expect("a directory");
    std::os::unix::fs::symlink(origin, server.join("monorepo.git")).expect("a link");
    // A forge that has no release, and does not take the first.
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&told);
    let forge = Listener::answering(move |request| {
        if request.method == "GET" {
            return Response::new(404, "application/json", "{\"message\":\"Not Found\"}");
        }
        let mut told = seen.lock().expect("no holder panics");
        told.push(serde_json::from_slice(&request.body).expect("JSON"));
        let status = if told.len() == 1 { 403 } else { 201 };
        Response::new(status, "application/json", "{}")
    });
    let tell = || {
        world
            .binary(&["release"])
            .in_actions("push", "refs/heads/main")
            .env(
                "GITHUB_SERVER_URL",
                format!("file://{}", world.monorepo.sandbox().path().display()),
            )
            .env("GITHUB_API_URL", forge.url())
            .env("PKGS_TOKEN", "ghs_canary")
            .env("PKGS_BRANCH", "main")
            .env("PKGS_STORE", "none")
            .env("PKGS_FORGE_RELEASE", "true")
            .run()
            .expect(0)
    };
    let _ = tell();
    let _ = tell();
    let told = told.lock().expect("no holder panics");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], told[1]);
    let body = told[0]["body"].as_str().expect("a text");
    let id = world.origin_git(&["rev-parse", "core@1.1.0~1"]);
    let entry = format!(
        "### Features\n\n- [`{}`](https://github.com/acme/mono/commit/{id}) **core:** count\n\n### Packages\n\n- `core` 1.0.0 → 1.1.0\n\nRelease `",
        &id[..7]
    );
    assert!(body.starts_with(&entry), "{body}");
}
