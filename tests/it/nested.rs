//! Packages inside packages: yarn 2 and newer looks for workspaces in a package that lists some, the others do not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::managers::{BERRY_3, BERRY_4, BUN, CLASSIC, Manager, NPM, PNPM_10, PNPM_12};
use crate::support::monorepo::Monorepo;
use crate::support::plans;
use crate::support::world::World;

const FILES: [(&str, &str); 10] = [
    (
        "packages/a",
        r#"{"name": "a", "version": "1.0.0", "workspaces": ["inner/*", "!inner/no"], "dependencies": {"c": "^1.0.0"}}"#,
    ),
    (
        "packages/a/inner/b",
        r#"{"name": "b", "version": "1.0.0", "workspaces": {"packages": ["deep/**"]}, "dependencies": {"c": "^1.0.0"}}"#,
    ),
    (
        "packages/a/inner/no",
        r#"{"name": "no", "version": "1.0.0"}"#,
    ),
    (
        "packages/a/inner/b/deep/x/y",
        r#"{"name": "c", "version": "1.0.0", "dependencies": {"ms": "^2.1.0"}}"#,
    ),
    (
        "packages/a/inner/b/deep/.hidden/z",
        r#"{"name": "hidden", "version": "1.0.0"}"#,
    ),
    (
        "packages/d",
        r#"{"name": "d", "version": "1.0.0", "workspaces": ["."]}"#,
    ),
    ("packages/e/sub", r#"{"name": "sub", "version": "1.0.0"}"#),
    (
        "packages/f",
        r#"{"name": "f", "version": "1.0.0", "workspaces": [], "peerDependencies": {"b": "^1.0.0"}}"#,
    ),
    (
        "packages/g",
        r#"{"name": "g", "version": "1.0.0", "workspaces": ["**"]}"#,
    ),
    (
        "packages/g/one/two",
        r#"{"name": "two", "version": "1.0.0", "workspaces": ["three"]}"#,
    ),
];

fn workspace(manager: &Manager) -> Monorepo {
    let root = "{\"name\": \"root\", \"private\": true, \"workspaces\": [\"packages/a\", \"packages/*\"]}\n";
    let monorepo = manager.settled(Monorepo::empty().file("package.json", root));
    let monorepo = monorepo.config(&json!({"mode": "diff"}));
    FILES.into_iter().fold(monorepo, |monorepo, (path, text)| {
        monorepo
            .file(&format!("{path}/package.json"), &format!("{text}\n"))
            .file(&format!("{path}/index.js"), "")
    })
}

/// The packages of a first release, by directory.
fn planned(monorepo: &Monorepo) -> BTreeSet<String> {
    let plan = plans::plan(monorepo, &[]);
    let list = plan["packages"].as_array().expect("a list").iter();
    list.map(|package| package["dir"].as_str().expect("a path").to_owned())
        .collect()
}

#[test]
fn the_packages_are_those_that_yarn_lists_and_its_lockfile_and_tarballs_follow() {
    for manager in [&BERRY_3, &BERRY_4] {
        let monorepo = workspace(manager);
        let listed = manager.run(&monorepo, &["workspaces", "list", "--json"]);
        let listed = listed.expect("yarn lists them");
        let listed = listed.lines().map(|line| {
            let one: Value = serde_json::from_str(line).expect("JSON");
            one["location"].as_str().expect("a path").to_owned()
        });
        let listed: BTreeSet<String> = listed.filter(|path| path != ".").collect();
        assert!(listed.contains("packages/a/inner/b/deep/x/y"), "{listed:?}");
        let before = manager.writes(&monorepo);
        let monorepo = monorepo.commit("feat: begin", &[]);
        assert_eq!(planned(&monorepo), listed, "{}", manager.name);
        let file = "packages/a/inner/b/deep/x/y/index.js";
        let monorepo = ["a", "b", "c", "d", "f", "g", "two"]
            .into_iter()
            .fold(monorepo, |monorepo, name| {
                monorepo.tag(&format!("{name}@1.0.0"))
            })
            .commit("feat!: another", &[(file, "1\n")]);
        let world = World::local(monorepo);
        let run = world.binary(&["release", "--install=none"]);
        let _ = run.env("PKGS_STORE", "none").run().expect(0);
        world.follow();
        let released = world.origin_git(&["tag", "--list", "--points-at", "main"]);
        assert_eq!(released, "a@1.0.1\nb@1.0.1\nc@2.0.0", "{}", manager.name);
        let ours = world.monorepo.read(manager.lockfile);
        assert_ne!(ours, before);
        manager.accepts(&world.monorepo).expect("yarn installs");
        world.monorepo.write(manager.lockfile, &before);
        assert_eq!(manager.writes(&world.monorepo), ours, "{}", manager.name);
        let tarball = world.outside.path().join("npm/-/tarballs/a/a-1.0.1.tgz");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(
            std::fs::File::open(tarball).expect("a tarball"),
        ));
        let entries = archive.entries().expect("a tar file");
        let paths = entries.map(|entry| {
            let entry = entry.expect("an entry");
            entry.path().expect("a path").display().to_string()
        });
        let paths: BTreeSet<String> = paths.collect();
        let expected = [
            "CHANGELOG.md",
            "index.js",
            "inner/no/index.js",
            "inner/no/package.json",
            "package.json",
        ];
        let expected = expected.map(|path| format!("package/{path}"));
        assert_eq!(paths, BTreeSet::from(expected));
    }
}

#[test]
fn the_others_look_no_further_than_the_root_says() {
    let top: BTreeSet<String> = ["a", "d", "f", "g"]
        .map(|name| format!("packages/{name}"))
        .into();
    for manager in [&NPM, &CLASSIC, &BUN, &PNPM_10, &PNPM_12] {
        let monorepo = workspace(manager);
        // What lies further inside is no package of theirs, so nothing of a registry may be called like it.
        for (path, text) in FILES {
            let text = text.replace(r#", "dependencies": {"c": "^1.0.0"}"#, "");
            let text = text.replace(r#", "peerDependencies": {"b": "^1.0.0"}"#, "");
            monorepo.write(&format!("{path}/package.json"), &text);
        }
        if manager.lockfile == "pnpm-lock.yaml" {
            monorepo.write("package.json", "{\"name\": \"root\", \"private\": true}\n");
        }
        let lockfile = manager.writes(&monorepo);
        let installs = match manager.lockfile {
            "yarn.lock" => manager
                .run(&monorepo, &["--silent", "workspaces", "info"])
                .expect("yarn tells them"),
            _ => lockfile,
        };
        assert!(installs.contains("packages/a"), "{installs}");
        let further = ["packages/a/inner", "packages/g/one"];
        assert!(
            !further.iter().any(|path| installs.contains(path)),
            "{}: {installs}",
            manager.name
        );
        let monorepo = monorepo.commit("feat: begin", &[]);
        let mut found = planned(&monorepo);
        // pnpm's root is always a project; it is private here.
        found.remove("");
        assert_eq!(found, top, "{}", manager.name);
    }
}

#[test]
fn a_pattern_inside_a_package_that_cannot_be_read_says_whose_it_is() {
    let monorepo = workspace(&BERRY_4);
    let _ = BERRY_4.writes(&monorepo);
    let monorepo = monorepo
        .file(
            "packages/d/package.json",
            r#"{"name": "d", "version": "1.0.0", "workspaces": ["../../other/*"]}"#,
        )
        .commit("feat: begin", &[]);
    let run = plans::run(&monorepo, &["plan"]).expect(3);
    let code = run.stderr.contains("error[workspace::glob_escape]");
    let place = run.stderr.contains("packages/d/package.json");
    assert!(code && place, "{}", run.stderr);
}

#[test]
fn lists_inside_lists_are_followed_in_one_walk() {
    // Were each list looked after for itself, no run would end in time.
    const DEPTH: usize = 400;
    let monorepo = Monorepo::empty().config(&json!({"mode": "diff"}));
    let manifest = |name: &str| {
        format!(
            "{{\"name\": \"{name}\", \"version\": \"1.0.0\", \"workspaces\": [\"**\", \"**/d/**\", \"!**/none/**\"]}}\n"
        )
    };
    let root = json!({"private": true, "workspaces": ["d/**"], "packageManager": "yarn@4.18.1"});
    let mut monorepo = monorepo.file("package.json", &root.to_string());
    let mut directory = String::new();
    for level in 0..DEPTH {
        directory.push_str(if level == 0 { "d" } else { "/d" });
        let path = format!("{directory}/package.json");
        monorepo = monorepo.file(&path, &manifest(&format!("p{level}")));
    }
    let monorepo = monorepo.commit("feat: begin", &[]);
    assert_eq!(planned(&monorepo).len(), DEPTH);
}
