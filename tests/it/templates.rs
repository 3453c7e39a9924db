//! `commit-message` and `tag-format`: what the release commit and the tags are called.

use serde_json::json;

use crate::support::monorepo::Monorepo;
use crate::support::world::World;

/// Asserts the subject of the release commit, and the tags, of a second release that the configuration makes.
fn check(config: &serde_json::Value, subject: &str, tags: &[&str]) {
    let monorepo = Monorepo::new()
        .config(config)
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .depends("b", "a", "1.0.0")
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let release = ["release", "--install=none", "--store=none"];
    let _ = world.run(&release).expect(0);
    let before = world.monorepo.head();
    let world = world.develop("fix: a", &[("packages/a/src/index.js", "1\n")]);
    let _ = world.run(&release).expect(0);
    assert_eq!(
        world
            .origin_git(&["log", "-1", "--format=%s", "main"])
            .trim(),
        subject
    );
    let found = world.origin_git(&["tag", "--list", "--contains", "main"]);
    assert_eq!(found.lines().collect::<Vec<_>>(), tags);
    assert_ne!(world.monorepo.head(), before);
    // What the templates make is understood again.
    world.follow();
    let plan = world.run(&["plan", "--format=json"]).expect(0).json();
    assert_eq!(plan["packages"], json!([]), "{plan:#}");
}

#[test]
fn the_release_commit_and_its_tags_are_called_as_the_templates_say() {
    check(
        &json!({"mode": "diff", "commitMessage": "release {count}: {tags}", "tagFormat": "{name}/v{version}"}),
        "release 2: a/v1.0.1, b/v1.0.1",
        &["a/v1.0.1", "b/v1.0.1"],
    );
    check(
        &json!({"mode": "sync", "commitMessage": "chore: version %s", "tagFormat": "release-{version}"}),
        "chore: version 1.0.1",
        &["release-1.0.1"],
    );
}
