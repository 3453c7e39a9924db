//! What may not leave: packages that nobody could install or use, keys, and too much. All of it is told together, before anything is decided.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::json;

use crate::support::http::{Listener, Response};
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Run;
use crate::support::world::World;

/// A workspace without a lockfile.
fn loose() -> Monorepo {
    Monorepo::empty()
        .file(
            "package.json",
            "{\"private\": true, \"workspaces\": [\"packages/*\", \"none/*\"]}\n",
        )
        .file(".gitignore", "node_modules/\ndist/\n")
        .config(&json!({"mode": "diff"}))
}

/// Expects a run to be refused for all of `told`, with nothing written anywhere.
fn nothing_left(world: &World, run: Run, told: &[&str]) {
    let run = run.expect(3);
    for text in told {
        assert!(run.stderr.contains(text), "{text}\n{}", run.stderr);
    }
    assert_eq!(world.origin_git(&["tag", "--list"]), "");
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    // What the preflight tries to write in is hidden, and left without files.
    let npm = fs::read_dir(world.outside.path().join("npm")).expect("a directory");
    let npm = npm.flatten().map(|entry| entry.file_name());
    let published: Vec<_> = npm
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .collect();
    assert!(published.is_empty(), "{published:?}");
}

#[test]
fn what_may_not_leave_is_told_of_all_packages_at_once() {
    let monorepo = Monorepo::new()
        .package("entry", "1.0.0")
        .edit("packages/entry/package.json", |manifest| {
            manifest["main"] = json!("dist/index.js");
            manifest["types"] = json!("src/index.d.ts");
            manifest["bin"] = json!({"entry": "bin/entry.js"});
            manifest["files"] = json!(["src", "dist"]);
        })
        .package("subpaths", "1.0.0")
        .edit("packages/subpaths/package.json", |manifest| {
            manifest["main"] = json!("old.js");
            manifest["exports"] = json!({
                ".": {"import": "./src/index.mjs", "default": "./src/index.js"},
                "./x/*": "./x/*.js",
                "./private": null,
            });
        })
        .file("packages/subpaths/x/a.js", "")
        .package("keys", "1.0.0")
        .file("packages/keys/src/.env", "TOKEN=1\n")
        .file("packages/keys/src/.env.example", "TOKEN=\n")
        .file(
            "packages/keys/src/test/server.txt",
            "-----BEGIN RSA PRIVATE KEY-----\nMII\n",
        )
        .package("long", "1.0.0")
        .file("packages/long/src/words.txt", &words())
        .config(&json!({"mode": "diff", "maxPackageSize": {"packages/*": "5MB", "long": "2 kB"}}));
    let world = World::local(monorepo.commit("feat: begin", &[]));
    let told = [
        "error[build::entry_point]: main of packages/entry/package.json names \"dist/index.js\"",
        "types of packages/entry/package.json names \"src/index.d.ts\"",
        "bin.entry of packages/entry/package.json names \"bin/entry.js\"",
        "exports[\".\"].import of packages/subpaths/package.json names \"./src/index.mjs\"",
        "exports[\"./x/*\"] of packages/subpaths/package.json names \"./x/*.js\", and no file",
        "error[build::key_file]: the tarball of keys would hold \"src/.env\"",
        "the tarball of keys would hold \"src/test/server.txt\"",
        "error[build::package_size]: the tarball of long has",
        "its longest files are \"src/words.txt\" (",
    ];
    nothing_left(&world, world.run(&["release", "--dry-run"]), &told);
    let run = world.run(&["release"]);
    assert_eq!(run.stderr.matches("error[").count(), 8, "{}", run.stderr);
    nothing_left(&world, run, &told);

    // Each is repaired in another way: built, declared, packed, meant, allowed.
    let World { monorepo, outside } = world;
    let monorepo = monorepo
        .edit("packages/entry/package.json", |manifest| {
            manifest["scripts"] = json!({"prepack": "mkdir -p dist && echo 1 > dist/index.js"});
        })
        .file("packages/entry/src/index.d.ts", "")
        .file("packages/entry/bin/entry.js", "")
        .file("packages/subpaths/src/index.mjs", "")
        .edit("packages/subpaths/package.json", |manifest| {
            manifest["files"] = json!(["src", "x"]);
        })
        .file("packages/keys/.npmignore", "")
        .edit("packages/keys/package.json", |manifest| {
            manifest["files"] = json!(["src", "!src/.env"]);
        })
        .config(&json!({"mode": "diff", "keyFiles": ["packages/keys/src/test/**"]}))
        .commit("fix: what is packed", &[]);
    let world = World { monorepo, outside };
    let origin = world.monorepo.origin_directory().display().to_string();
    world
        .monorepo
        .git(&["push", "--quiet", &origin, "HEAD:main"]);
    let _ = world.run(&["release"]).expect(0);
    let tags = world.origin_git(&["tag", "--list"]);
    assert_eq!(tags.lines().count(), 4, "{tags}");
}

/// Text that no compression makes short.
fn words() -> String {
    let mut state: u64 = 1;
    let mut text = String::new();
    for _ in 0..2_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        writeln!(text, "{:x}", state >> 20).expect("memory");
    }
    text
}

#[test]
fn a_library_depends_on_git_only_where_that_is_meant() {
    let monorepo = loose()
        .package("a", "1.0.0")
        .depends("a", "left", "github:acme/left")
        .depends_in("devDependencies", "a", "right", "acme/right")
        .depends_in(
            "optionalDependencies",
            "a",
            "tar",
            "https://acme.example/tar.tgz",
        );
    let world = World::local(monorepo.commit("feat: begin", &[]));
    let told = [
        "error[workspace::git_dependency]: \"left\" in dependencies of packages/a/package.json",
        "\"tar\" in optionalDependencies of packages/a/package.json",
        "git-dependencies: allow",
    ];
    for command in [
        &["plan"] as &[&str],
        &["version", "--dry-run"],
        &["release", "--dry-run"],
        &["release"],
    ] {
        let run = world.run(command);
        assert!(!run.stderr.contains("\"right\""), "{}", run.stderr);
        nothing_left(&world, run, &told);
    }
    let allowed = ["release", "--git-dependencies=allow", "--install=none"];
    let _ = world.run(&allowed).expect(0);
    assert_eq!(world.origin_git(&["tag", "--list"]), "a@1.0.0");
}

#[test]
fn a_range_is_met_by_this_release_an_earlier_one_or_the_registry() {
    let monorepo = loose()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .package("hidden", "1.0.0")
        .edit("packages/hidden/package.json", |manifest| {
            manifest["private"] = json!(true);
        })
        .depends("a", "b", "^1.0.0")
        .depends_in("devDependencies", "a", "hidden", "^1.0.0")
        .depends("b", "hidden", "^1.0.0");
    let world = World::local(monorepo.commit("feat: begin", &[]));
    let private = [
        "error[plan::range_unpublished]: \"hidden\" in dependencies of packages/b/package.json is \"^1.0.0\"",
        "hidden is private and never published",
    ];
    for command in [
        &["plan"] as &[&str],
        &["release", "--dry-run"],
        &["release"],
    ] {
        nothing_left(&world, world.run(command), &private);
    }
    // Alone it would need what was never released.
    let alone = ["release", "--dry-run", "--filter=a"];
    let told = [
        "\"b\" in dependencies of packages/a/package.json",
        "release b as well",
    ];
    nothing_left(&world, world.run(&alone), &told);

    let World { monorepo, outside } = world;
    let monorepo = monorepo
        .edit("packages/b/package.json", |manifest| {
            manifest["dependencies"] = json!({});
        })
        .commit("fix(b): without it", &[]);
    let world = World { monorepo, outside };
    let origin = world.monorepo.origin_directory().display().to_string();
    world
        .monorepo
        .git(&["push", "--quiet", &origin, "HEAD:main"]);
    let _ = world.run(&["release", "--install=none"]).expect(0);
    let world = world.develop("fix(a): more", &[("packages/a/src/more.js", "")]);
    let _ = world.run(&["release", "--install=none"]).expect(0);
    assert_eq!(world.origin_git(&["tag", "--list", "a@1.0.1"]), "a@1.0.1");
}

/// A registry that knows `versions` of `b`, or answers everything with 503, and notes what it is asked.
fn registry(versions: Option<&[&str]>) -> (Listener, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let document = versions.map(|versions| {
        let each = versions.iter().map(|version| {
            let dist = json!({"tarball": "http://127.0.0.1/b.tgz"});
            (
                (*version).to_owned(),
                json!({"name": "b", "version": version, "dist": dist}),
            )
        });
        let each: serde_json::Map<String, serde_json::Value> = each.collect();
        json!({"name": "b", "dist-tags": {}, "versions": each}).to_string()
    });
    let listener = Listener::answering(move |request| {
        let path = request.path();
        noted.lock().expect("a lock").push(path.clone());
        match (&document, path.as_str()) {
            (None, _) => Response::text(503, "later"),
            (Some(_), "/-/whoami") => {
                Response::new(200, "application/json", "{\"username\": \"ada\"}")
            }
            (Some(document), "/b") => {
                Response::new(200, "application/json", document.clone().into_bytes())
            }
            (Some(_), _) => Response::text(404, "no"),
        }
    });
    (listener, asked)
}

#[test]
fn without_a_lockfile_the_registry_is_asked_once_for_each_name_from_elsewhere() {
    let monorepo = loose()
        .package("a", "1.0.0")
        .package("c", "1.0.0")
        .depends("a", "b", "^2.0.0")
        .depends("c", "b", "^1.0.0")
        .depends("c", "none", "^1.0.0");
    let world = World::local(monorepo.commit("feat: begin", &[]));
    let release = |registry: &Listener| {
        world
            .binary(&["release", "--dry-run", "--install=none"])
            .env("PKGS_REGISTRY", registry.url())
            .env("PKGS_NPM_TOKEN", "npm_0123456789abcdefghijklmnopqrstuvwxyz")
            .run()
    };
    let (old, asked) = registry(Some(&["1.0.0", "2.0.0-rc.1"]));
    let told = [
        "error[plan::range_unpublished]: \"b\" in dependencies of packages/a/package.json is \"^2.0.0\"",
        "is 2.0.0-rc.1",
    ];
    nothing_left(&world, release(&old), &told);
    let asked = asked.lock().expect("a lock").clone();
    let of_b = asked.iter().filter(|path| *path == "/b").count();
    assert_eq!(of_b, 1, "{asked:?}");
    let (new, _) = registry(Some(&["1.0.0", "2.0.0"]));
    let _ = release(&new).expect(0);
}

#[test]
fn a_registry_that_does_not_answer_stops_a_release_and_not_a_plan() {
    let monorepo = loose()
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .released()
        .package("a", "1.0.0")
        .depends("a", "b", "^0.9.0");
    let monorepo = monorepo.commit("feat(a): an old b", &[]);
    let world = World::local(monorepo);
    let (silent, _) = registry(None);
    let run = |command: &[&str]| {
        world
            .binary(command)
            .env("PKGS_REGISTRY", silent.url())
            .env("PKGS_NPM_TOKEN", "npm_0123456789abcdefghijklmnopqrstuvwxyz")
            .run()
    };
    let planned = run(&["plan", "--format=json"]).expect(0).json();
    assert_eq!(
        planned["warnings"][0]["code"], "plan::range_unasked",
        "{planned:#}"
    );
    let refused = run(&["release", "--dry-run"]).expect(75);
    assert!(
        refused.stderr.contains("npm::unreachable"),
        "{}",
        refused.stderr
    );
}
