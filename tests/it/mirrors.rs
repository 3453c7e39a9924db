//! Several remotes: the first decides, the others follow.

use crate::support::git_server;
use crate::support::monorepo::Monorepo;
use crate::support::world::World;

fn world() -> World {
    World::local(
        Monorepo::new()
            .package("a", "1.0.0")
            .commit("feat: begin", &[]),
    )
}

/// A bare repository beside the work tree, as the remote `name`.
fn mirror(world: &World, name: &str) -> std::path::PathBuf {
    let directory = world.outside.path().join(format!("{name}.git"));
    git_server::bare(&directory);
    let address = directory.display().to_string();
    world.monorepo.git(&["remote", "add", name, &address]);
    directory
}

fn refs(world: &World, remote: &str) -> String {
    world
        .monorepo
        .git(&["ls-remote", remote, "refs/heads/main", "refs/tags/*"])
}

#[test]
fn mirrors_follow_the_remote_that_decides_and_one_that_cannot_is_only_told() {
    let world = world();
    let directory = mirror(&world, "mirror");
    let remotes = "--remote=origin,mirror,gone";
    let release = ["release", "--install=none", remotes, "--format=json"];
    let run = world.run(&release).expect(0);
    assert!(
        run.stderr.contains("tell mirror gone: failed"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("tell mirror mirror: done"),
        "{}",
        run.stderr
    );
    assert_eq!(run.json()["outcome"], "released");
    assert_eq!(refs(&world, "origin"), refs(&world, "mirror"));
    // It was away for a release: the next run brings all of it, also one that has nothing to release.
    let away = directory.with_extension("away");
    std::fs::rename(&directory, &away).expect("moves");
    let world = world.develop("fix: a", &[("packages/a/src/index.js", "1\n")]);
    let run = world.run(&release).expect(0);
    assert!(
        run.stderr.contains("tell mirror mirror: failed"),
        "{}",
        run.stderr
    );
    std::fs::rename(&away, &directory).expect("moves");
    assert_ne!(refs(&world, "origin"), refs(&world, "mirror"));
    world.follow();
    let _ = world.run(&release).expect(0);
    assert_eq!(refs(&world, "origin"), refs(&world, "mirror"));
    assert!(refs(&world, "mirror").contains("refs/tags/a@1.0.1"));
}

#[test]
fn a_mirror_that_holds_something_else_is_left_as_it_is() {
    let world = world();
    mirror(&world, "mirror");
    let tree = world.monorepo.git(&["rev-parse", "HEAD^{tree}"]);
    let other = world.monorepo.git(&["commit-tree", &tree, "-m", "other"]);
    world.monorepo.git(&[
        "push",
        "--quiet",
        "mirror",
        &format!("{other}:refs/heads/main"),
    ]);
    let before = refs(&world, "mirror");
    let run = world
        .run(&["release", "--install=none", "--remote=origin,mirror"])
        .expect(0);
    assert!(
        run.stderr.contains("holds something else"),
        "{}",
        run.stderr
    );
    assert_eq!(refs(&world, "mirror"), before);
}
