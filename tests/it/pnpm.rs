//! A pnpm workspace with catalogs, aliases and injected packages, from a plan to what npm gets.

use std::path::Path;

use serde_json::json;

use crate::support::monorepo::Monorepo;
use crate::support::servers;
use crate::support::world::{World, output};

const WORKSPACE: &str = "packages:
  - packages/*
linkWorkspacePackages: true
catalog:
  core: ^1.0.0 # ours
catalogs:
  old:
    \"core\": \"~1.0.0\"
";

fn pnpm(program: &Path, monorepo: &Monorepo, arguments: &[&str]) {
    let mut command = if program.extension().is_some() {
        let mut node = monorepo.sandbox().command("node", monorepo.path());
        node.arg(program);
        node
    } else {
        monorepo.sandbox().command(program, monorepo.path())
    };
    let _ = output(command.args(arguments).arg("--offline"));
}

fn workspace() -> Monorepo {
    let monorepo = Monorepo::empty()
        .file(".gitignore", "node_modules/\n")
        .file("package.json", "{\"name\": \"root\", \"private\": true, \"devDependencies\": {\"core\": \"workspace:^1.0.0\"}}\n")
        .file("pnpm-workspace.yaml", WORKSPACE)
        .config(&json!({"mode": "diff"}));
    ["core", "peer", "web", "old", "alias"]
        .into_iter()
        .fold(monorepo, |monorepo, name| monorepo.package(name, "1.0.0"))
        .depends("web", "core", "catalog:")
        .depends_in("devDependencies", "web", "peer", ">=1.0.0")
        .depends("old", "core", "catalog:old")
        .depends_in("devDependencies", "core", "core", "workspace:^1.0.0")
        .depends("old", "peer", "workspace:^1.0.0")
        .depends_in("dependenciesMeta", "old", "peer", "")
        .depends_in("peerDependencies", "peer", "core", "workspace:^1.0.0")
        .depends("alias", "c", "workspace:core@^1.0.0")
        .depends_in("optionalDependencies", "alias", "core", "workspace:*")
}

#[test]
fn a_release_commits_what_pnpm_writes_and_publishes_what_catalogs_say() {
    let installed = servers::installed().join("pnpm/node_modules");
    for program in ["pnpm-10/bin/pnpm.cjs", "pnpm-12/pnpm"] {
        let pnpm = |monorepo: &Monorepo, arguments: &[&str]| {
            pnpm(&installed.join(program), monorepo, arguments);
        };
        let monorepo = workspace();
        let old = monorepo.read("packages/old/package.json");
        let injected = old.replace("\"peer\": \"\"", "\"peer\": {\"injected\": true}");
        monorepo.write("packages/old/package.json", &injected);
        pnpm(&monorepo, &["install", "--lockfile-only"]);
        let monorepo = monorepo.released().commit(
            "feat(core)!: another world",
            &[("packages/core/src/index.js", "")],
        );
        let before = monorepo.read("pnpm-lock.yaml");
        let world = World::local(monorepo);
        let run = world
            .binary(&["release", "--install=none"])
            .env("PKGS_STORE", "none");
        let _ = run.run().expect(0);
        world.follow();
        let ours = world.monorepo.read("pnpm-lock.yaml");
        assert_ne!(ours, before, "{program}");
        pnpm(&world.monorepo, &["install", "--frozen-lockfile"]);
        world.monorepo.write("pnpm-lock.yaml", &before);
        pnpm(
            &world.monorepo,
            &["install", "--lockfile-only", "--no-frozen-lockfile"],
        );
        assert_eq!(world.monorepo.read("pnpm-lock.yaml"), ours, "{program}");
        let catalogs = WORKSPACE
            .replace("^1.0.0", "^2.0.0")
            .replace("~1.0.0", "~2.0.0");
        assert_eq!(world.monorepo.read("pnpm-workspace.yaml"), catalogs);
        assert_eq!(
            world.monorepo.json("packages/web/package.json")["dependencies"]["core"],
            "catalog:"
        );
        let published = |name: &str| {
            let document = std::fs::read(world.outside.path().join("npm").join(name));
            let document: serde_json::Value =
                serde_json::from_slice(&document.expect("a package")).expect("JSON");
            document["versions"]["1.0.1"]["dependencies"].clone()
        };
        assert_eq!(published("web"), json!({"core": "^2.0.0"}));
        assert_eq!(published("old")["core"], "~2.0.0");
        assert_eq!(published("alias")["c"], "npm:core@^2.0.0");
    }
}

#[test]
fn another_range_in_a_catalog_releases_what_is_published_with_it() {
    let catalog = |range: &str| {
        format!("packages:\n  - packages/*\ncatalog:\n  koa: {range}\n  still: ^1.0.0\n")
    };
    let monorepo = Monorepo::empty()
        .file("package.json", "{\"name\": \"root\", \"private\": true}\n")
        .file("pnpm-workspace.yaml", &catalog("^6.0.0"))
        .config(&json!({"mode": "diff"}));
    let monorepo = ["a", "b", "c"]
        .into_iter()
        .fold(monorepo, |monorepo, name| monorepo.package(name, "1.0.0"))
        .depends_in("peerDependencies", "a", "koa", "catalog:")
        .depends_in("devDependencies", "b", "koa", "catalog:")
        .depends("c", "still", "catalog:")
        .released()
        .commit(
            "chore: another koa",
            &[("pnpm-workspace.yaml", &catalog("^7.0.0"))],
        );
    let ask = |arguments: &[&str]| {
        let asked = monorepo.binary(arguments).env("PKGS_INSTALL", "none");
        asked.run().expect(0)
    };
    let plan = ask(&["plan", "--format=json"]).json();
    let packages = plan["packages"].as_array().expect("a list");
    assert_eq!(packages.len(), 1, "{plan:#}");
    assert_eq!([&packages[0]["name"], &packages[0]["to"]], ["a", "1.0.1"]);
    let reason = json!({"kind": "catalog", "on": "koa", "from": "^6.0.0", "to": "^7.0.0"});
    assert_eq!(packages[0]["reasons"], json!([reason]));
    for command in [&["plan"][..], &["why", "a"]] {
        let said = ask(command).stdout;
        let told = "koa is ^7.0.0 in the catalog now, and was ^6.0.0";
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn a_lockfile_that_pnpm_would_refuse_is_refused_before_anything_is_decided() {
    let lockfile = "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n\nimporters:\n\n  .: {}\n\n  packages/core: {}\n";
    let cases = [
        (
            lockfile.to_owned(),
            "workspace::lockfile_stale",
            "packages/web",
        ),
        (
            format!("<<<<<<< HEAD\n{lockfile}"),
            "workspace::lockfile_conflict",
            "pnpm-lock.yaml:1:1",
        ),
    ];
    for (lockfile, code, said) in cases {
        let monorepo = Monorepo::empty()
            .file("package.json", "{\"private\": true}\n")
            .file("pnpm-workspace.yaml", "packages: [packages/*]\n")
            .config(&json!({"mode": "diff"}))
            .package("core", "1.0.0")
            .package("web", "1.0.0")
            .file("pnpm-lock.yaml", &lockfile)
            .released()
            .commit("fix(core): it", &[("packages/core/src/index.js", "")]);
        let world = World::local(monorepo);
        let run = world.run(&["release"]).expect(3);
        let told = run.stderr.contains(&format!("error[{code}]")) && run.stderr.contains(said);
        assert!(
            told && run.stderr.contains("pnpm install --lockfile-only"),
            "{code}: {}",
            run.stderr
        );
        assert_eq!(world.origin_git(&["tag", "--list", "*1.0.1"]), "");
    }
}
