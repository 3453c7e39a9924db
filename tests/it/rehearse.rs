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
fn a_package_that_is_published_without_a_tag_is_missing_one_for_the_real_thing() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    world.monorepo.git(&["tag", "--list"]);
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
