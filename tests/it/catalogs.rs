//! Workspaces of yarn and bun with catalogs, from a plan to what npm gets. Those of pnpm have stories of their own.

use serde_json::{Value, json};

use crate::support::managers::{self, BERRY_4, BUN, Manager};
use crate::support::monorepo::Monorepo;
use crate::support::plans;
use crate::support::world::World;

/// A manager with catalogs: how its files say them.
struct Case {
    manager: &'static Manager,
    /// The file that holds the catalogs.
    file: &'static str,
    /// What stands in that file before and after what the manager asks for; in JSON the root's whole `package.json`.
    text: &'static str,
    /// What names the catalog called default.
    default: &'static str,
    /// Whether the range of a peer may be one of a catalog.
    peers: bool,
}

const YARN: Case = Case {
    manager: &BERRY_4,
    file: ".yarnrc.yml",
    text: "catalog:
  core: ^1.0.0 # ours
  '@x/peer': workspace:^
  ms: ^2.1.0
catalogs:
  old:
    \"core\": \"~1.0.0\"
    is-number: 6.0.0
    odd: npm:is-odd@^3.0.0
  aliases: { c: npm:core@>=1.0.0 <2 }
",
    default: "catalog:",
    peers: false,
};
const INSIDE: Case = Case {
    manager: &BUN,
    file: "package.json",
    text: "{
\t\"name\": \"root\", \"version\": \"0.0.0\", \"private\": true,
\t\"workspaces\": {
\t\t\"packages\": [\"packages/*\", \"none/*\"],
\t\t\"catalog\": {\"core\": \"^1.0.0\",  \"@x/peer\": \"workspace:^\", \"ms\": \"^2.1.0\"},
\t\t\"catalogs\": {
\t\t\t\"old\": {\"core\":\"~1.0.0\", \"is-number\": \"6.0.0\", \"odd\": \"npm:is-odd@^3.0.0\"},
\t\t\t\"aliases\": {\"c\": \"npm:core@>=1.0.0 <2\"}
\t\t}
\t},
\t\"devDependencies\": {\"core\": \"catalog:old\", \"old\": \"1.0.0\"}
}
",
    default: "catalog:default",
    peers: true,
};
const BESIDE: Case = Case {
    text: "{
  \"name\": \"root\",
  \"private\": true,
  \"workspaces\": [\"packages/*\", \"none/*\"],
  \"devDependencies\": {\"core\": \"catalog:old\", \"old\": \"1.0.0\"},
  \"catalogs\": {
    \"aliases\": {\"c\": \"npm:core@>=1.0.0 <2\"},
    \"old\": {\"core\":\"~1.0.0\", \"is-number\": \"6.0.0\", \"odd\": \"npm:is-odd@^3.0.0\"},
    \"default\": {\"core\": \"^1.0.0\",  \"@x/peer\": \"workspace:^\", \"ms\": \"^2.1.0\"}
  }
}
",
    ..INSIDE
};

/// `web` by the catalog, `old` by another one, `alias` under another name, `tools` for its tests alone, each with something of a registry.
fn workspace(case: &Case) -> Monorepo {
    let root = "{\"name\": \"root\", \"private\": true, \"workspaces\": [\"packages/*\", \"none/*\"], \"devDependencies\": {\"core\": \"catalog:old\", \"old\": \"1.0.0\"}}\n";
    let monorepo = case
        .manager
        .settled(Monorepo::empty().file("package.json", root))
        .config(&json!({"mode": "diff"}));
    let beside = match case.file {
        "package.json" => String::new(),
        file => monorepo.read(file),
    };
    let monorepo = monorepo.file(case.file, &format!("{beside}{}", case.text));
    let peer = if case.peers { "catalog:" } else { "^1.0.0" };
    ["core", "@x/peer", "web", "old", "alias", "tools"]
        .into_iter()
        .fold(monorepo, |monorepo, name| monorepo.package(name, "1.0.0"))
        .depends("web", "core", "catalog:")
        .depends("web", "ms", "catalog:")
        .depends("web", "@x/peer", case.default)
        .depends_in("peerDependencies", "@x/peer", "core", peer)
        .depends("old", "core", "catalog:old")
        .depends("old", "is-number", "catalog:old")
        .depends_in("optionalDependencies", "old", "odd", "catalog:old")
        .depends("alias", "c", "catalog:aliases")
        .depends_in("devDependencies", "tools", "core", "catalog:")
        .depends_in("devDependencies", "tools", "ms", "catalog:")
}

/// The manifest of a package as the registry has it.
fn published(world: &World, name: &str, version: &str) -> Value {
    let file = world.outside.path().join("npm").join(name);
    let document = std::fs::read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let document: Value = serde_json::from_slice(&document).expect("JSON");
    document["versions"][version].clone()
}

#[test]
fn a_release_commits_what_the_manager_writes_and_publishes_what_catalogs_say() {
    for case in [YARN, INSIDE, BESIDE] {
        let Case { manager, file, .. } = case;
        let monorepo = workspace(&case);
        let _ = manager.writes(&monorepo);
        let monorepo = monorepo.released().commit(
            "feat(core)!: another world",
            &[("packages/core/src/index.js", "")],
        );
        let (before, catalogs) = (monorepo.read(manager.lockfile), monorepo.read(file));
        let world = World::local(monorepo);
        let run = world
            .binary(&["release", "--install=none"])
            .env("PKGS_STORE", "none");
        let _ = run.run().expect(0);
        world.follow();
        let ours = world.monorepo.read(manager.lockfile);
        assert_ne!(ours, before, "{file}");
        let web = world.monorepo.json("packages/web/package.json");
        assert_eq!(web["dependencies"]["core"], "catalog:");
        let moved = catalogs
            .replace("^1.0.0", "^2.0.0")
            .replace("~1.0.0", "~2.0.0")
            .replace(">=1.0.0 <2", ">=2.0.0 <3.0.0")
            .replace("\"old\": \"1.0.0\"", "\"old\": \"1.0.1\"");
        assert_eq!(world.monorepo.read(file), moved);
        manager
            .accepts(&world.monorepo)
            .expect("the manager installs from the lockfile");
        assert_eq!(world.monorepo.read(manager.lockfile), ours, "{file} frozen");
        world.monorepo.write(manager.lockfile, &before);
        assert_eq!(manager.writes(&world.monorepo), ours, "{file}");
        world.monorepo.git(&["diff", "--exit-code"]);
        let dependencies = |name: &str| published(&world, name, "1.0.1")["dependencies"].clone();
        let ranges = json!({"core": "^2.0.0", "ms": "^2.1.0", "@x/peer": "^1.0.1"});
        assert_eq!(dependencies("web"), ranges);
        assert_eq!(
            dependencies("old"),
            json!({"core": "~2.0.0", "is-number": "6.0.0"})
        );
        assert_eq!(
            dependencies("alias"),
            json!({"c": "npm:core@>=2.0.0 <3.0.0"})
        );
        let peer = &published(&world, "@x/peer", "1.0.1")["peerDependencies"]["core"];
        assert_eq!(peer, "^2.0.0", "{file}");
        let plan = plans::plan(&world.monorepo, &[]);
        assert_eq!(plan["packages"], json!([]), "{file} {plan:#}");
    }
}

#[test]
fn another_range_in_a_catalog_releases_what_is_published_with_it() {
    for case in [YARN, INSIDE, BESIDE] {
        let Case { manager, file, .. } = case;
        let monorepo = workspace(&case);
        let _ = manager.writes(&monorepo);
        let monorepo = monorepo.released();
        let moved = monorepo.read(file).replace("^2.1.0", "^2.1.1");
        monorepo.write(file, &moved);
        let _ = manager.writes(&monorepo);
        let monorepo = monorepo.commit("chore: another ms", &[]);
        let plan = plans::plan(&monorepo, &[]);
        assert_eq!(plans::versions(&plan), ["web 1.0.1"], "{file} {plan:#}");
        let reason = json!({"kind": "catalog", "on": "ms", "from": "^2.1.0", "to": "^2.1.1"});
        assert_eq!(plan["packages"][0]["reasons"], json!([reason]));
    }
}

#[test]
fn what_is_wrong_with_catalogs_is_refused_before_anything_is_decided() {
    let cases: [(&Case, &dyn Fn(&str) -> String, &str, &str); 7] = [
        (
            &YARN,
            &|text| text.replace("core: ^1.0.0", "core: ^1.0.1"),
            "workspace::lockfile_stale",
            "catalogs.default.core, .yarnrc.yml has \"^1.0.1\"",
        ),
        (
            &YARN,
            &|text| text.replace("\"core\":", "cores:"),
            "workspace::catalog",
            "`catalog` and `catalogs` of .yarnrc.yml are read",
        ),
        (
            &YARN,
            &|text| text.replace("catalog:\n", "catalog: [core]\nnone:\n"),
            "workspace::yaml_syntax",
            ".yarnrc.yml:7:10",
        ),
        (
            &YARN,
            &|text| {
                text.replace("ms: ^2.1.0", "ms: &a ^2.1.0\n  core: *b")
                    .replace("core: ^1.0.0 # ours", "x: &b ^1.0.0")
            },
            "workspace::catalog_edit",
            "catalogs.default.core in .yarnrc.yml",
        ),
        (
            &INSIDE,
            &|text| text.replace("\"core\": \"^1.0.0\"", "\"core\": \"^1.0.0 \""),
            "workspace::lockfile_stale",
            "catalogs.default.core",
        ),
        (
            &INSIDE,
            &|text| text.replace("\"core\": \"^1.0.0\",", ""),
            "workspace::catalog",
            "`catalog` and `catalogs` of package.json are read",
        ),
        (
            &BESIDE,
            &|text| text.replace("\"core\": \"^1.0.0\"", "\"core\": 1"),
            "workspace::field",
            "package.json:9:25",
        ),
    ];
    for (case, spoil, code, said) in cases {
        let monorepo = workspace(case);
        let _ = case.manager.writes(&monorepo);
        let monorepo = monorepo.released();
        let spoilt = spoil(&monorepo.read(case.file));
        let changed = [
            ("packages/core/src/index.js", ""),
            (case.file, spoilt.as_str()),
        ];
        let world = World::local(monorepo.commit("feat!: it", &changed));
        let run = world.binary(&["release"]).envs(managers::environment());
        let run = run.run().expect(3);
        let told = run.stderr.contains(&format!("error[{code}]")) && run.stderr.contains(said);
        assert!(told, "{code}: {}", run.stderr);
        assert_eq!(world.origin_git(&["tag", "--list", "core@2*"]), "");
    }
}

#[test]
fn where_no_file_holds_catalogs_a_package_of_the_workspace_is_not_lost() {
    for (package_manager, said) in [
        ("npm@11.0.0", "npm has no catalogs"),
        ("yarn@1.22.22", "yarn 1 has no catalogs"),
        (
            "yarn@4.18.1",
            "yarn 2 or newer reads catalogs from .yarnrc.yml",
        ),
        (
            "bun@1.4.5",
            "`catalog` and `catalogs` of package.json are read",
        ),
    ] {
        let root = json!({"private": true, "workspaces": ["packages/**"], "packageManager": package_manager});
        let monorepo = Monorepo::empty()
            .file("package.json", &root.to_string())
            .config(&json!({"mode": "diff"}))
            .package("core", "1.0.0")
            .package("web", "1.0.0")
            .depends("web", "core", "catalog:")
            .commit("feat: begin", &[]);
        let run = plans::run(&monorepo, &["plan"]).expect(3);
        let code = run.stderr.contains("error[workspace::catalog]");
        assert!(code && run.stderr.contains(said), "{}", run.stderr);
    }
}

#[test]
fn what_a_catalog_says_must_be_publishable_and_a_plan_tells_it_first() {
    for entry in [
        "file:../ms",
        "patch:ms@npm%3A2.1.0#./ms.patch",
        "2.1.0\u{1}",
    ] {
        let root = json!({
            "private": true,
            "workspaces": ["packages/**"],
            "packageManager": "bun@1.4.5",
            "catalogs": {"old": {"ms": entry}},
        });
        let monorepo = Monorepo::empty()
            .file("package.json", &root.to_string())
            .config(&json!({"mode": "diff"}))
            .package("core", "1.0.0")
            .package("web", "1.0.0")
            .depends("web", "ms", "catalog:old")
            .commit("feat: begin", &[])
            .tag("core@1.0.0")
            .tag("web@1.0.0")
            .commit("fix(web): it", &[("packages/web/src/index.js", "")]);
        let world = World::local(monorepo);
        for arguments in [
            &["plan"][..],
            &["version", "--dry-run"],
            &["version"],
            &["release", "--dry-run", "--install=none"],
            &["release", "--install=none"],
            &["release", "--snapshot=pr-1", "--install=none"],
        ] {
            let run = world.binary(arguments).env("PKGS_STORE", "none");
            let run = run.run().expect(3);
            for said in [
                "error[workspace::unpublishable]",
                "packages/web/package.json",
                "the catalog \"old\" has",
            ] {
                assert!(run.stderr.contains(said), "{arguments:?}: {}", run.stderr);
            }
        }
        assert_eq!(world.origin_git(&["tag", "--list", "*1.0.1"]), "");
        // What is not released may say what it likes.
        let world = world.develop("fix(core): it", &[("packages/core/src/index.js", "")]);
        let only = world.run(&["plan", "--filter=core"]).expect(0);
        assert!(only.stdout.contains("core"), "{}", only.stdout);
    }
}
