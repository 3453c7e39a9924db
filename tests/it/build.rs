//! What is built and packed: nothing is left out silently, and nothing else is packed than what the release commit holds.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;

use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Run, search_path};
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
fn a_file_that_git_lfs_did_not_fetch_is_not_shipped() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let monorepo = Monorepo::new;
    for (monorepo, file) in [
        (monorepo().package("web", "1.0.0"), "src/model.bin"),
        (monorepo().service("web", "1.0.0"), "service/model.bin"),
        (monorepo().static_site("web", "1.0.0"), "dist/model.bin"),
    ] {
        let copies = "const fs = require('fs'); fs.mkdirSync('dist'); fs.copyFileSync('src/model.bin', 'dist/model.bin');";
        let written = if file.starts_with("dist") {
            "src/model.bin"
        } else {
            file
        };
        let files = [
            (format!("packages/web/{written}"), pointer),
            ("packages/web/build.js".to_owned(), copies),
        ];
        let files = files.each_ref().map(|(path, text)| (path.as_str(), *text));
        let world = World::local(monorepo.commit("feat: begin", &files));
        let run = refused(&world, 3, "build::lfs_pointer");
        for said in [file, "git lfs pull", "lfs: true"] {
            assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        }
    }
}

#[test]
fn an_archive_with_native_modules_tells_what_they_were_installed_for() {
    let monorepo = Monorepo::new().service("web", "1.0.0").commit(
        "feat: begin",
        &[("packages/web/service/addon.node", "not really")],
    );
    let world = World::local(monorepo);
    let silent = tempfile::tempdir().expect("a temporary directory");
    let node = silent.path().join("node");
    fs::write(&node, "#!/bin/sh\nexit 1\n").expect("a program");
    fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).expect("permissions");
    let mut path = silent.path().as_os_str().to_owned();
    path.push(":");
    path.push(search_path());
    let run = world
        .binary(&["release"])
        .env("PATH", &path)
        .run()
        .expect(3);
    assert!(
        run.stderr.contains("error[build::runtime_unknown]"),
        "{}",
        run.stderr
    );
    assert_eq!(world.origin_git(&["tag", "--list"]), "");

    let _ = world.run(&["release"]).expect(0);
    let manifest = world::files(&world.outside.path().join("store/v1/apps/web/1.0.0"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&manifest["any.json"]).expect("a manifest");
    for known in ["modulesAbi", "os", "arch", "libc"] {
        assert!(
            manifest["runtime"][known].is_string(),
            "{known}: {manifest}"
        );
    }
}

#[test]
fn a_service_whose_archive_cannot_be_made_is_released_without_a_store() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .service("web", "1.0.0")
        .depends("web", "core", "^1.0.0")
        .commit("feat: begin", &[]);
    monorepo.git(&["rm", "--quiet", "package-lock.json"]);
    monorepo.git(&["commit", "--quiet", "--message", "chore: no lockfile"]);
    let world = World::local(monorepo);
    let release = || {
        let release = world.binary(&["release", "--format=json"]);
        release.env("PKGS_INSTALL", "none")
    };
    let run = release().run().expect(3);
    for said in [
        "error[build::no_lockfile]",
        "`store: none` releases versions only",
    ] {
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
    let run = release().env("PKGS_STORE", "none").run().expect(0);
    assert_eq!(run.json()["plan"]["apps"], json!([]));
    assert_eq!(
        world.origin_git(&["tag", "--list"]),
        "core@1.0.0\nweb@1.0.0"
    );
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

/// A library that was released, and a change since.
fn changed() -> Monorepo {
    Monorepo::new()
        .package("core", "1.0.0")
        .file("docs/guide.md", "guide")
        .released()
        .commit(
            "fix(core): it",
            &[("packages/core/src/index.js", "exports.it = 1;\n")],
        )
}

#[test]
fn what_a_build_leaves_running_is_ended_before_git_is_told_how_to_push() {
    let world = World::local(changed());
    let file = world.outside.path().join("left.pid");
    let file = file.display();
    // In a session of its own, and its parent gone: nothing leads to it but that it was born here.
    let build = format!(
        "(setsid sh -c 'echo $$ > {file}; exec sleep 100000' &) & while [ ! -s {file} ]; do :; done"
    );
    let run = world.binary(&["release"]).env("PKGS_BUILD", &build).run();
    let run = run.expect(0);
    assert!(run.stderr.contains("left running"), "{}", run.stderr);
    let id = fs::read_to_string(world.outside.path().join("left.pid")).expect("a number");
    let line = fs::read_to_string(format!("/proc/{}/cmdline", id.trim())).unwrap_or_default();
    assert!(!line.contains("100000"), "{line} still runs");
}

/// The tags of the origin but the first release's.
fn decided(world: &World) -> String {
    world.origin_git(&["tag", "--list", "*1.0.1"])
}

#[test]
fn what_git_was_told_not_to_look_at_is_not_packed_unless_it_is_the_commit() {
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let world = World::local(changed());
        let hide = |path: &str| world.monorepo.git(&["update-index", flag, path]);
        hide("docs/guide.md");
        hide("packages/core/src/index.js");
        world
            .monorepo
            .write("packages/core/src/index.js", "exports.it = 2;\n");
        assert_eq!(
            world.monorepo.git(&["status", "--porcelain"]),
            "",
            "git sees nothing"
        );
        let run = world.run(&["release"]).expect(3);
        let told = run.stderr.contains("error[build::hidden_changes]")
            && run.stderr.contains("packages/core/src/index.js")
            && !run.stderr.contains("guide.md");
        assert!(told, "{}", run.stderr);
        assert_eq!(decided(&world), "");

        world
            .monorepo
            .write("packages/core/src/index.js", "exports.it = 1;\n");
        let _ = world.run(&["release"]).expect(0);
        assert_eq!(decided(&world), "core@1.0.1");
    }
}

#[test]
fn a_sparse_checkout_may_leave_out_what_is_not_packed() {
    let world = World::local(changed());
    let sparse = |pattern: &str| {
        world
            .monorepo
            .git(&["sparse-checkout", "set", "--no-cone", "/*", pattern]);
    };
    // The release commit changes a file where no directory is.
    sparse("!/packages/core/");
    let run = world.run(&["release"]).expect(3);
    for said in [
        "error[build::not_checked_out]: files that the release changes are not checked out: packages/core/package.json",
        "hint: run `git sparse-checkout disable`",
    ] {
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
    assert_eq!(decided(&world), "");
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    sparse("!/packages/core/src/");
    let run = world.run(&["release"]).expect(3);
    assert!(
        run.stderr.contains("error[build::not_checked_out]"),
        "{}",
        run.stderr
    );
    assert_eq!(decided(&world), "");
    sparse("!/docs/");
    assert!(!world.monorepo.path().join("docs").exists());
    let _ = world.run(&["release"]).expect(0);
    assert_eq!(decided(&world), "core@1.0.1");
}

#[test]
fn a_tree_that_git_calls_clean_is_clean_whatever_filters_it_goes_through() {
    let monorepo = changed().commit(
        "chore: attributes",
        &[
            (
                ".gitattributes",
                "*.bin filter=large\n*.txt text eol=crlf\n",
            ),
            ("large.bin", "pointer\n"),
            ("lines.txt", "one\ntwo\n"),
        ],
    );
    monorepo.git(&["config", "filter.large.clean", "sed s/contents/pointer/"]);
    monorepo.git(&["config", "filter.large.smudge", "sed s/pointer/contents/"]);
    for path in ["large.bin", "lines.txt"] {
        fs::remove_file(monorepo.path().join(path)).expect("removed");
        monorepo.git(&["checkout", "--quiet", "--", path]);
    }
    assert_eq!(monorepo.read("large.bin"), "contents\n");
    assert_eq!(monorepo.read("lines.txt"), "one\r\ntwo\r\n");
    assert_eq!(monorepo.git(&["status", "--porcelain"]), "");
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    assert_eq!(decided(&world), "core@1.0.1");

    let world = world.develop("fix(core): more", &[("packages/core/src/index.js", "")]);
    world.monorepo.write("large.bin", "other\n");
    let run = world.run(&["release"]).expect(3);
    assert!(
        run.stderr.contains("error[worktree::dirty]"),
        "{}",
        run.stderr
    );
}

#[test]
fn whatever_a_build_does_the_answer_is_clear_and_the_manifests_are_put_back() {
    for (build, exit, said) in [
        (
            "git checkout --quiet -- .",
            3,
            "error[build::changed_sources]",
        ),
        ("rm -r packages/core", 3, "error[build::changed_sources]"),
        (
            "rm packages/core/package.json package-lock.json",
            3,
            "error[build::changed_sources]",
        ),
        (
            "echo '{}' > packages/core/package.json",
            3,
            "error[build::changed_sources]",
        ),
        ("printf '\\377\\n'; exit 3", 1, "it ended with exit code 3"),
        ("kill -9 $$", 1, "it ended with signal 9"),
        ("read answer", 1, "error[process::failed]"),
        ("exit 3", 1, "run it by hand in that directory"),
        (
            "true \n true '\u{202e}'",
            0,
            r"running true \n true '\u{202e}'",
        ),
        ("cat; setsid sleep 5 & echo started", 0, "started"),
        ("head -c 30000000 /dev/zero | tr '\\0' x", 0, ""),
    ] {
        let world = World::local(changed());
        let manifest = world.monorepo.read("packages/core/package.json");
        let lockfile = world.monorepo.read("package-lock.json");
        let run = world.binary(&["release"]).env("PKGS_BUILD", build).run();
        let end = &run.stderr[run.stderr.len().saturating_sub(2000)..];
        assert_eq!(run.code, exit, "{build}: {end}");
        assert!(run.stderr.contains(said), "{build}: {end}");
        assert_eq!(
            world.monorepo.read("packages/core/package.json"),
            manifest,
            "{build}"
        );
        assert_eq!(
            world.monorepo.read("package-lock.json"),
            lockfile,
            "{build}"
        );
        assert_eq!(decided(&world).is_empty(), exit != 0, "{build}");
    }
}

#[test]
fn an_app_without_anything_after_its_build_is_refused() {
    let run = refused(
        &site("require('fs').rmSync('dist', { recursive: true, force: true });"),
        3,
        "build::empty_app",
    );
    assert!(run.stderr.contains("apps.<name>.dist"), "{}", run.stderr);
}
