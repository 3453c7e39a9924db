//! `replacements`: what a release writes into files that nobody else would know of.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::plans::{plan, versions};
use crate::support::world::{self, World};

/// Three packages with versions of their own in files that only people know of.
fn monorepo() -> Monorepo {
    let config = json!({"mode": "diff", "replacements": [
        {"file": "packages/*/src/version.js", "search": "'[^']+'", "replace": "'{version}'"},
        {"file": "./README.md", "package": "core", "search": "(core@)[0-9.]+", "replace": "$1{version}"},
        {"file": "packages/text/notes.txt", "package": "core", "search": "^core .*$", "replace": "core {version} {name} {tag} {date}"},
    ]});
    ["core", "text", "other"]
        .into_iter()
        .fold(Monorepo::new().config(&config), |monorepo, name| {
            let version = format!("packages/{name}/src/version.js");
            monorepo
                .package(name, "1.0.0")
                .file(&version, "exports.version = '1.0.0';\r\n")
        })
        .depends("text", "core", "^1.0.0")
        .file(
            "README.md",
            "[a](core@1.0.0) [b](core@1.0.0), [text@1.0.0]\n",
        )
        .file("packages/text/notes.txt", "\u{feff}first\r\ncore ?\r\nlast")
        .released()
}

/// The paths that a commit changed.
fn changed(monorepo: &Monorepo, commit: &str) -> Vec<String> {
    let listed = monorepo.git(&["diff", "--name-only", &format!("{commit}~1"), commit]);
    listed.lines().map(str::to_owned).collect()
}

fn edits(plan: &Value) -> Vec<&str> {
    let edits = plan["edits"].as_array().expect("a list").iter();
    edits
        .map(|edit| edit["path"].as_str().expect("a path"))
        .collect()
}

/// The text of a file in the tarball of a package that went to the directory.
fn packed(world: &World, tarball: &str, path: &str) -> String {
    let files = world::files(&world.outside.path().join("npm"));
    let found = files.keys().find(|file| file.ends_with(tarball));
    let found = found.unwrap_or_else(|| panic!("no {tarball} in {:?}", files.keys()));
    let tarball = world.outside.path().join("npm").join(found);
    let mut tar = world
        .monorepo
        .sandbox()
        .command("tar", world.outside.path());
    world::output(tar.arg("-xzOf").arg(tarball).arg(format!("package/{path}")))
}

#[test]
fn a_release_replaces_in_further_files_and_the_next_finds_nothing() {
    let monorepo = monorepo().commit("feat(core): count", &[("packages/core/src/a.js", "1\n")]);
    let planned = plan(&monorepo, &[]);
    let expected = [
        "README.md",
        "package-lock.json",
        "packages/core/CHANGELOG.md",
        "packages/core/package.json",
        "packages/core/src/version.js",
        "packages/text/notes.txt",
    ];
    assert_eq!(edits(&planned), expected);
    assert_eq!(versions(&planned), ["core 1.1.0"]);

    let world = World::local(monorepo);
    let _ = world.run(&["release", "--install=none"]).expect(0);
    let monorepo = &world.monorepo;
    let commit = world.origin_git(&["rev-parse", "main"]);
    assert_eq!(monorepo.git(&["status", "--porcelain"]), "");
    world.follow();
    assert_eq!(changed(monorepo, &commit), expected);
    assert_eq!(
        monorepo.read("README.md"),
        "[a](core@1.1.0) [b](core@1.1.0), [text@1.0.0]\n"
    );
    assert_eq!(
        monorepo.read("packages/text/notes.txt"),
        "\u{feff}first\r\ncore 1.1.0 core core@1.1.0 2026-01-02\r\nlast"
    );
    // What was packed is what the release commit holds.
    let version = "exports.version = '1.1.0';\r\n";
    assert_eq!(monorepo.read("packages/core/src/version.js"), version);
    assert_eq!(packed(&world, "core-1.1.0.tgz", "src/version.js"), version);

    // The release itself changed a file of `text`: nothing follows from that.
    assert_eq!(versions(&plan(monorepo, &[])), Vec::<String>::new());
    let again = world.run(&["release", "--install=none"]).expect(0);
    assert_eq!(
        world.origin_git(&["rev-parse", "main"]),
        commit,
        "{again:?}"
    );

    // Only what is released is told.
    let world = world.develop("fix(text): less", &[("packages/text/src/a.js", "1\n")]);
    let planned = plan(&world.monorepo, &[]);
    assert_eq!(versions(&planned), ["text 1.0.1"]);
    assert!(!edits(&planned).contains(&"README.md"), "{planned:#}");
    assert!(edits(&planned).contains(&"packages/text/src/version.js"));
    let _ = world.run(&["release", "--install=none"]).expect(0);
    assert_eq!(
        world.at("main", "packages/text/src/version.js"),
        "exports.version = '1.0.1';\r"
    );
    assert_eq!(
        world.at("main~1", "README.md"),
        world.at("main", "README.md")
    );
}

#[test]
fn the_files_hold_what_is_replaced_while_it_is_built_and_come_back() {
    let monorepo = monorepo()
        .file("tool.sh", "echo core@1.0.0\n")
        .edit("pkgs.json", |config| {
            config["replacements"][1]["file"] = json!("tool.sh");
        })
        .commit("feat(core): count", &[("packages/core/src/a.js", "1\n")]);
    let tool = monorepo.path().join("tool.sh");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("a mode");
    let world = World::local(monorepo.commit("chore: a tool", &[]));
    let seen = world.outside.path().join("seen");
    let build = format!("--build=./tool.sh > {}; exit 1", seen.display());
    let failed = world.run(&["release", "--install=none", &build]).expect(1);
    let seen = fs::read_to_string(seen).expect("it was built");
    assert_eq!(seen, "core@1.1.0\n", "{failed:?}");
    assert_eq!(world.monorepo.read("tool.sh"), "echo core@1.0.0\n");
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    let _ = world.run(&["release", "--install=none"]).expect(0);
    assert_eq!(world.at("main", "tool.sh"), "echo core@1.1.0");
    let listed = world.origin_git(&["ls-tree", "main", "tool.sh"]);
    assert!(listed.starts_with("100755 "), "{listed}");
}

#[test]
fn with_one_version_for_all_files_of_no_package_follow_it() {
    let config = json!({"mode": "sync", "replacements": [
        {"file": "docs/**", "search": "v[0-9.]+[0-9]", "replace": "{tag}"},
        {"file": "docs/a.md", "search": "^# .*$", "replace": "# Version {version}"},
    ]});
    let monorepo = Monorepo::new()
        .config(&config)
        .package("a", "1.0.0")
        .file("docs/a.md", "# Version\nsince v1.0.0\n")
        .file("docs/deep/b.md", "Nothing here.\n")
        .file("docs/deep/c.md", "v1.0.0, v0.9.0\n");
    symlink("a.md", monorepo.path().join("docs/link.md")).expect("a link");
    let monorepo = monorepo
        .commit("feat: begin", &[])
        .tag("v1.0.0")
        .commit("fix(a): less", &[("packages/a/src/b.js", "1\n")]);
    let world = World::local(monorepo);
    let _ = world.run(&["release", "--install=none"]).expect(0);
    assert_eq!(
        world.at("v1.0.1", "docs/a.md"),
        "# Version 1.0.1\nsince v1.0.1"
    );
    assert_eq!(world.at("v1.0.1", "docs/deep/b.md"), "Nothing here.");
    assert_eq!(world.at("v1.0.1", "docs/deep/c.md"), "v1.0.1, v1.0.1");
    world.follow();
    assert!(
        plan(&world.monorepo, &[])["packages"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}

#[test]
fn a_repository_with_one_package_and_a_snapshot_have_them_too() {
    let config = json!({"replacements": [
        {"file": "version.js", "search": "'.*'", "replace": "'{version}'"},
    ]});
    let monorepo = Monorepo::empty()
        .config(&config)
        .file("package.json", "{\"name\":\"one\",\"version\":\"1.0.0\"}\n")
        .file("version.js", "exports.version = '';\n")
        .commit("feat: begin", &[])
        .tag("v1.0.0")
        .commit("fix: less", &[("a.js", "1\n")]);
    let world = World::local(monorepo);
    let before = world.monorepo.head();
    let released = world
        .run(&[
            "release",
            "--install=none",
            "--snapshot=pr-1",
            "--format=json",
        ])
        .expect(0)
        .json();
    let version = released["plan"]["packages"][0]["to"]
        .as_str()
        .expect("a version");
    let text = packed(&world, &format!("one-{version}.tgz"), "version.js");
    assert_eq!(text, format!("exports.version = '{version}';\n"));
    assert_eq!(world.origin_git(&["rev-parse", "main"]), before);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");

    let _ = world.run(&["version"]).expect(0);
    assert_eq!(
        world.at("v1.0.1", "version.js"),
        "exports.version = '1.0.1';"
    );
    assert_eq!(versions(&plan(&world.monorepo, &[])), Vec::<String>::new());
}

#[test]
fn line_ends_that_git_converts_are_no_obstacle() {
    let config = json!({"mode": "diff", "replacements": [
        {"file": "README.md", "package": "core", "search": "^core .*$", "replace": "core {version}"},
    ]});
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .file(".gitattributes", "README.md text eol=crlf\n")
        .file("README.md", "core 1.0.0\r\nand more\r\n")
        .config(&config)
        .released()
        .commit("fix(core): it", &[("packages/core/src/a.js", "1\n")]);
    let world = World::local(monorepo);
    for (command, version) in [("version", "1.0.1"), ("release", "1.0.2")] {
        let run = world.binary(&[command]).env("PKGS_STORE", "none");
        let _ = run.env("PKGS_INSTALL", "none").run().expect(0);
        world.follow();
        let blob = world.origin_git(&["cat-file", "-p", "main:README.md"]);
        assert_eq!(blob, format!("core {version}\nand more"));
        let here = world.monorepo.read("README.md");
        assert_eq!(here, format!("core {version}\r\nand more\r\n"), "{command}");
        assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
        let text = format!("{version}\n");
        let monorepo = &world.monorepo;
        monorepo.write("packages/core/src/a.js", &text);
        monorepo.git(&[
            "commit",
            "--quiet",
            "--all",
            "--message",
            "fix(core): again",
        ]);
        monorepo.git(&["push", "--quiet", "origin", "HEAD:main"]);
    }
}

#[test]
fn what_is_replaced_is_part_of_the_digest_and_may_come_from_a_flag() {
    let monorepo = monorepo()
        .config(&json!({"mode": "diff"}))
        .commit("feat(core): count", &[("packages/core/src/a.js", "1\n")]);
    let with = |replace: &str| {
        let entry = json!([{"file": "README.md", "package": "core", "search": "core@v?[0-9.]+", "replace": replace}]);
        plan(&monorepo, &["--replacements", &entry.to_string()])
    };
    let (one, same, other) = (
        with("core@{version}"),
        with("core@{version}"),
        with("core@v{version}"),
    );
    assert!(edits(&one).contains(&"README.md"));
    assert_eq!(one["digest"], same["digest"]);
    assert_eq!(edits(&one), edits(&other));
    assert_ne!(one["digest"], other["digest"]);
    let without = plan(&monorepo, &["--replacements=none"]);
    assert!(!edits(&without).contains(&"README.md"));
}

#[test]
fn own_files_are_passed_over_by_globs() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .file("packages/core/CHANGELOG.md", "# Changelog\n\n## 1.0.0\n\ncore@1.0.0\n")
        .file("packages/core/README.md", "core@1.0.0\n")
        .file(".changeset/two.md", "---\ncore: minor\n---\n\nSince core@1.0.0.\n")
        .config(&json!({"mode": "diff", "replacements": [
            {"file": "**", "package": "core", "search": "core@[0-9.]+[0-9]", "replace": "core@{version}"},
        ]}))
        .released()
        .commit("fix: more", &[("packages/core/src/a.js", "1\n")]);
    let world = World::local(monorepo);
    let _ = world.run(&["release", "--install=none"]).expect(0);
    let changelog = world.at("main", "packages/core/CHANGELOG.md");
    assert!(changelog.contains("\ncore@1.0.0"), "{changelog}");
    assert!(changelog.contains("Since core@1.0.0."), "{changelog}");
    assert_eq!(world.at("main", "packages/core/README.md"), "core@1.1.0");
    let config = world.at("main", "pkgs.json");
    assert!(config.contains("core@[0-9.]+[0-9]"), "{config}");
}
