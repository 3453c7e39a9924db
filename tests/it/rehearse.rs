//! Stories of `rehearse`: everything happens, elsewhere.

use serde_json::Value;

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Run, Sandbox};
use crate::support::world::{World, files};

fn titles(run: &Run) -> Vec<String> {
    let steps = run.json()["steps"].clone();
    let steps: Vec<Value> = serde_json::from_value(steps).expect("steps");
    steps
        .iter()
        .map(|step| step["title"].as_str().expect("a title").to_owned())
        .collect()
}

fn has(titles: &[String], start: &str) -> bool {
    titles.iter().any(|title| title.starts_with(start))
}

#[test]
fn the_bundled_sample_is_rehearsed_where_there_is_no_repository() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .binary(sandbox.path(), &["rehearse", "--format", "json"])
        .run()
        .expect(0);
    let titles = titles(&run);
    for step in [
        "cloned branch main",
        "released what changed",
        "promoted web 2.0.0",
        "rolled web back",
        "rolled web forward to 2.0.1 again",
    ] {
        assert!(has(&titles, step), "{step} of {titles:?}");
    }
    let missing = run.json()["missing"].clone();
    let missing: Vec<&str> = missing
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|missing| missing["what"].as_str())
        .collect();
    assert_eq!(missing, ["npm-token", "store", "static", "remote"]);
}

#[test]
fn a_repository_that_was_released_is_rehearsed_and_left_as_it_was() {
    let world = World::local(Monorepo::five());
    let _ = world.run(&["release"]).expect(0);
    world.follow();
    let world = world.develop(
        "feat(core): more",
        &[("packages/core/src/more.js", "exports.more = 1;\n")],
    );
    let outside = files(&world.outside.path().join("store"));
    let state = |world: &World| {
        let git = |arguments: &[&str]| world.monorepo.git(arguments);
        (
            git(&["rev-parse", "HEAD"]),
            git(&["for-each-ref"]),
            git(&["status", "--porcelain=v1", "--ignored"]),
        )
    };
    let before = state(&world);
    let run = world
        .binary(&["rehearse", "--format", "json"])
        .run()
        .expect(0);
    assert_eq!(state(&world), before);
    assert_eq!(files(&world.outside.path().join("store")), outside);
    let titles = titles(&run);
    assert!(has(&titles, "rolled web back"), "{titles:?}");
}

#[test]
fn a_workspace_in_a_directory_is_released_and_rehearsed_there() {
    let manifest = |name: &str| format!("{{\"name\": \"{name}\", \"version\": \"1.0.0\"}}\n");
    let monorepo = Monorepo::empty()
        .file("README.md", "a backend, and a frontend\n")
        .file(".gitignore", "node_modules/\n")
        .file(
            "frontend/package.json",
            "{\"private\": true, \"workspaces\": [\"packages/*\"]}\n",
        )
        .file("frontend/packages/a/package.json", &manifest("a"))
        .file("frontend/packages/b/package.json", &manifest("b"))
        .commit("feat: begin", &[("backend/main.go", "package main\n")]);
    let world = World::local(monorepo);
    // What a package leaves behind when it is gone.
    world
        .monorepo
        .write("frontend/packages/gone/node_modules/x/index.js", "");
    let run =
        |arguments: &[&str]| world.run(&[arguments, &["--working-directory=frontend"]].concat());
    let titles = titles(&run(&["rehearse", "--format=json"]).expect(0));
    assert!(
        has(&titles, "changed frontend/packages/a/rehearsal-1.txt"),
        "{titles:?}"
    );
    let _ = run(&["release", "--mode=diff"]).expect(0);
    assert_eq!(
        world
            .origin_git(&["tag", "--list"])
            .lines()
            .collect::<Vec<_>>(),
        ["a@1.0.0", "b@1.0.0"]
    );
    let status = run(&["status", "--format=json"]).expect(0).json();
    assert_eq!(status["packages"][1]["dir"], "frontend/packages/b");
    // A directory that is named and holds no workspace is not taken for another one.
    for command in ["plan", "release"] {
        let wrong = world
            .run(&[command, "--working-directory=backend"])
            .expect(2);
        let refused = wrong.stderr.contains("error[workspace::no_manifest]");
        assert!(
            refused && wrong.stderr.contains("backend/package.json"),
            "{}",
            wrong.stderr
        );
    }
}

#[test]
fn a_package_that_is_published_without_a_tag_is_missing_one_for_the_real_thing() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    world.origin_git(&["update-ref", "-d", "refs/tags/core@1.0.0"]);
    let lost = world
        .monorepo
        .git_output(&["tag", "--delete", "core@1.0.0"]);
    assert!(lost.status.success());
    world.monorepo.git(&[
        "commit",
        "--quiet",
        "--amend",
        "--message",
        "feat: begin again",
    ]);
    let _ = world.run(&["plan"]).expect(3);
    let run = world
        .binary(&["rehearse", "--format", "json"])
        .run()
        .expect(0);
    let missing = run.json()["missing"].clone();
    let tag = missing
        .as_array()
        .expect("a list")
        .iter()
        .find(|missing| missing["what"] == "tag")
        .unwrap_or_else(|| panic!("{missing:#}"));
    let hint = tag["hint"].as_str().expect("text");
    assert!(hint.contains("core 1.0.0 is on the registry"), "{hint}");
}

#[test]
fn what_is_missing_is_told_by_what_was_rehearsed() {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .service("web", "1.0.0")
        .released();
    let run = monorepo
        .binary(&["rehearse", "--format", "json"])
        .env("PKGS_REGISTRY", "https://127.0.0.1:9/")
        .run()
        .expect(0);
    let missing = run.json()["missing"].clone();
    let missing: Vec<&str> = missing
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|missing| missing["what"].as_str())
        .collect();
    // Nothing is due at the commit itself.
    assert!(
        missing.starts_with(&["npm-token"]) || missing.starts_with(&["store"]),
        "{missing:?}"
    );
}
