//! What is built and packed: nothing is left out silently, and nothing else is packed than what the release commit holds.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;
use crate::support::world::{self, World};

/// Runs `release` and expects that it is refused with `code` and decides nothing.
fn refused(world: &World, exit: i32, code: &str) -> Run {
    let before = world.monorepo.git(&["status", "--porcelain"]);
    let run = world.run(&["release"]).expect(exit);
    assert!(
        run.stderr.contains(&format!("error[{code}]")),
        "{}",
        run.stderr
    );
    assert_eq!(world.origin_git(&["tag", "--list"]), "");
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), before);
    run
}

/// A site whose build runs `script`.
fn site(script: &str) -> World {
    let site = Monorepo::new().static_site("site", "1.0.0");
    World::local(site.commit("feat: begin", &[("packages/site/build.js", script)]))
}

#[test]
fn a_link_in_dist_is_served_as_what_it_leads_to_or_refused() {
    let world = site(
        "const fs = require('fs'); fs.mkdirSync('dist/js', { recursive: true }); fs.writeFileSync('dist/js/a.js', 'a'); fs.symlinkSync('js/a.js', 'dist/now.js');",
    );
    let _ = world.run(&["release"]).expect(0);
    let manifest = world::files(&world.outside.path().join("store/v1/apps/site/1.0.0"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&manifest["any.json"]).expect("a manifest");
    assert_eq!(manifest["static"]["count"], 2);

    for target in ["gone.js", "../package.json", "/etc/hostname"] {
        let world = site(&format!(
            "const fs = require('fs'); fs.mkdirSync('dist'); fs.writeFileSync('dist/a.js', 'a'); fs.symlinkSync('{target}', 'dist/now.js');"
        ));
        let run = refused(&world, 3, "files::link");
        assert!(run.stderr.contains("dist/now.js"), "{}", run.stderr);
    }
}

#[test]
fn a_link_in_a_service_is_packed_as_what_it_leads_to_or_refused() {
    let service = |target: &str| {
        let monorepo = Monorepo::new().service("web", "1.0.0");
        symlink(target, monorepo.path().join("packages/web/service/now.js")).expect("a link");
        World::local(monorepo.commit("feat: begin", &[]))
    };
    let world = service("index.js");
    let _ = world.run(&["release"]).expect(0);
    let archive = world
        .outside
        .path()
        .join("store/v1/apps/web/1.0.0/web-1.0.0.tar.zst");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let web = scratch.path().join("web");
    crate::release::unpack(&fs::read(archive).expect("an archive"), &web);
    let files = world::files(&web);
    assert_eq!(files["service/now.js"], files["service/index.js"]);
    assert!(
        fs::symlink_metadata(web.join("service/now.js"))
            .expect("a file")
            .is_file()
    );

    for target in ["gone.js", "../package.json", "/etc/hostname"] {
        let run = refused(&service(target), 3, "files::link");
        assert!(run.stderr.contains("service/now.js"), "{}", run.stderr);
    }
}

#[test]
fn a_link_that_npm_drops_is_told() {
    let monorepo = Monorepo::new().package("core", "1.0.0");
    symlink("index.js", monorepo.path().join("packages/core/src/now.js")).expect("a link");
    let world = World::local(monorepo.commit("feat: begin", &[]));
    let run = world
        .binary(&["release", "--format", "json"])
        .run()
        .expect(0);
    let warnings = run.json()["plan"]["warnings"].clone();
    assert_eq!(
        warnings,
        json!([{"code": "build::link_dropped", "message": "core is packed without \"src/now.js\": it is a symbolic link or a special file, and npm packs neither"}])
    );
}

#[test]
fn what_a_killed_run_leaves_in_the_temporary_directory_the_next_run_removes() {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .commit("feat: begin", &[]),
    );
    let temporary = world.monorepo.sandbox().path().join("tmp");
    let left = || -> usize {
        let ours = fs::read_dir(&temporary).expect("a directory").flatten();
        ours.map(|ours| {
            fs::read_dir(ours.path())
                .expect("a directory of ours")
                .count()
        })
        .sum()
    };
    let killed = world
        .binary(&["release"])
        .env("PKGS_BUILD", "kill -9 $PPID")
        .run();
    assert_eq!(killed.killed_by, Some(9), "{}", killed.stderr);
    assert!(left() > 0);
    let _ = world.run(&["release"]).expect(0);
    assert_eq!(left(), 0);
}
