//! `when-moved: merge`: a run releases its own commit although others pushed since, and the branch gets a merge.

use serde_json::Value;

use crate::support::monorepo::Monorepo;
use crate::support::world::World;

/// Two packages that were released, a fix of `a` that was not, and a developer who pushed `files` after it.
fn overtaken(message: &str, files: &[(&str, &str)], more: &[&str]) -> (World, Monorepo) {
    let monorepo = Monorepo::new()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = release(&world, &world.monorepo, more);
    let world = world.develop("fix: a", &[("packages/a/src/index.js", "1\n")]);
    let developer = world.monorepo.clone_fresh(None).commit(message, files);
    developer.git(&["push", "--quiet", "origin", "HEAD:main"]);
    (world, developer)
}

fn release(world: &World, monorepo: &Monorepo, more: &[&str]) -> Value {
    let arguments = [&["release", "--install=none", "--format=json"], more].concat();
    let run = world.binary_in(monorepo, &arguments).run();
    run.expect(0).json()
}

const MERGE: &str = "--when-moved=merge";

/// The commit that a revision of the origin is, and its parents.
fn parents(world: &World, revision: &str) -> Vec<String> {
    let line = world.origin_git(&["rev-list", "--parents", "--max-count=1", revision]);
    line.split(' ').map(|id| id.trim().to_owned()).collect()
}

fn tags(world: &World) -> Vec<String> {
    let tags = world.origin_git(&["tag", "--list"]);
    tags.lines().map(str::to_owned).collect()
}

fn check(more: &[&str]) {
    let (world, developer) = overtaken("feat: b", &[("packages/b/src/index.js", "1\n")], more);
    let (head, tip) = (world.monorepo.head(), developer.head());
    let merge = [&[MERGE], more].concat();
    // It is not the default.
    assert_eq!(
        release(&world, &world.monorepo, more)["outcome"],
        "superseded"
    );
    let released = release(&world, &world.monorepo, &merge);
    assert_eq!(released["outcome"], "released", "{released:#}");
    let release_commit = parents(&world, "a@1.0.1^{commit}");
    assert_eq!(release_commit[1..], [head]);
    assert_eq!(released["release"]["commit"], release_commit[0].as_str());
    assert_eq!(
        parents(&world, "main")[1..],
        [tip, release_commit[0].clone()]
    );
    assert!(
        world
            .at("main", "packages/a/package.json")
            .contains("\"1.0.1\"")
    );
    assert_eq!(world.at("main", "packages/b/src/index.js").trim_end(), "1");
    // The job again finds it done, and says so.
    let before = world.origin_git(&["show-ref"]);
    let again = release(&world, &world.monorepo, &merge);
    assert_eq!(again["outcome"], "released", "{again:#}");
    assert_eq!(again["release"]["commit"], release_commit[0].as_str());
    assert_eq!(world.origin_git(&["show-ref"]), before);
    // The run of the other commit goes on at the merge, and releases what is its own alone.
    let theirs = release(&world, &developer, more);
    assert_eq!(theirs["outcome"], "released", "{theirs:#}");
    assert_eq!(tags(&world), ["a@1.0.0", "a@1.0.1", "b@1.0.0", "b@1.1.0"]);
    let merged = world.origin_git(&["rev-parse", "b@1.1.0^{commit}^"]);
    assert_eq!(merged.trim(), parents(&world, "main^")[0]);
    let end = release(&world, &world.monorepo.clone_fresh(None), more);
    assert!(
        end["plan"]["packages"]
            .as_array()
            .is_some_and(Vec::is_empty),
        "{end:#}"
    );
}

#[test]
fn a_run_that_was_overtaken_releases_its_commit_and_the_branch_gets_a_merge() {
    check(&[]);
}

#[test]
fn a_run_that_was_overtaken_releases_its_commit_without_a_store_too() {
    check(&["--store=none"]);
}

/// Its tags are on a commit beside the branch's own line; it is finished from there all the same.
#[test]
fn a_merged_release_that_was_interrupted_is_finished_from_the_branch() {
    let (world, developer) = overtaken("docs: b", &[("packages/b/src/index.js", "1\n")], &[]);
    let released = release(&world, &world.monorepo, &[MERGE]);
    let manifest = released["release"]["manifest"]
        .as_str()
        .expect("a key")
        .to_owned();
    let file = world.outside.path().join("store").join(manifest);
    std::fs::remove_file(&file).expect("it was recorded");
    let finished = release(&world, &developer, &[]);
    assert!(file.exists());
    // Neither the merge nor what it brought counts for more than the commits do.
    assert_eq!(
        finished["plan"]["packages"],
        serde_json::json!([]),
        "{finished:#}"
    );
    assert_eq!(tags(&world), ["a@1.0.0", "a@1.0.1", "b@1.0.0"]);
}

#[test]
fn a_manifest_that_both_sides_changed_apart_is_merged_and_one_that_they_changed_alike_is_superseded()
 {
    let text = |version: &str, license: &str, last: &str| {
        format!(
            "{{\n  \"name\": \"a\",\n  \"version\": \"{version}\",\n  \"license\": \"{license}\",\n  \"main\": \"src/index.js\",\n  \"files\": [\n    \"src\"\n  ],\n  \"type\": \"{last}\"\n}}\n"
        )
    };
    let manifest = "packages/a/package.json";
    let (world, _) = overtaken(
        "fix: both",
        &[(manifest, &text("9.0.0", "MIT", "commonjs"))],
        &[],
    );
    let before = world.origin_git(&["show-ref"]);
    let run = world.run(&["release", "--install=none", MERGE]).expect(0);
    assert!(
        run.stdout
            .contains("superseded: others pushed meanwhile and changed \"package-lock.json\""),
        "{}",
        run.stdout
    );
    assert_eq!(world.origin_git(&["show-ref"]), before);

    let (world, developer) = overtaken(
        "docs: apart",
        &[(manifest, &text("1.0.0", "MIT", "commonjs"))],
        &[],
    );
    assert_eq!(
        release(&world, &world.monorepo, &[MERGE])["outcome"],
        "released"
    );
    let merged = world.at("main", manifest);
    assert!(
        merged.contains("\"1.0.1\"") && merged.contains("\"type\""),
        "{merged}"
    );
    // The merge itself counts for nothing, although it changed a file that differs from both sides.
    let end = release(&world, &developer, &[]);
    assert_eq!(end["plan"]["packages"], serde_json::json!([]), "{end:#}");
}
