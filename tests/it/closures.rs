//! Apps follow what they run with: the packages of their production closure in the lockfile, whichever manager wrote it, and the packages
//! of the workspace. The managers themselves write the lockfiles, with packages of a registry that stands beside.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pkgs_action::name::RepoPath;
use pkgs_action::workspace::lockfile::closure::Graph;
use pkgs_action::workspace::lockfile::{Lockfile, LockfileKind};
use pkgs_action::workspace::package_json::PackageJson;
use serde_json::{Value, json};

use crate::support::managers::{BERRY_3, BERRY_4, BUN, CLASSIC, Manager, NPM, PNPM_10, PNPM_12};
use crate::support::monorepo::Monorepo;
use crate::support::plans;
use crate::support::random::{Random, seeds};
use crate::support::shelf::Shelf;

/// Its workspaces are no pattern of the builder's, so the lockfile is the test's own affair.
const ROOT: &str =
    "{\"name\": \"monorepo\", \"private\": true, \"workspaces\": [\"packages/*\", \"none/*\"]}\n";

/// How a manager writes its lockfile, and how it installs.
pub fn arguments(manager: &Manager) -> [&'static [&'static str]; 2] {
    match manager.name {
        "npm" => [
            &["install", "--package-lock-only", "--ignore-scripts"],
            &["install", "--ignore-scripts"],
        ],
        "yarn-1" => [&["install", "--non-interactive", "--ignore-scripts"]; 2],
        "yarn-3" | "yarn-4" => [&["install", "--mode=update-lockfile"], &["install"]],
        "bun" => [&["install", "--lockfile-only"], &["install"]],
        _ => [
            &["install", "--lockfile-only", "--no-frozen-lockfile"],
            &["install", "--no-frozen-lockfile"],
        ],
    }
}

pub fn run(manager: &Manager, monorepo: &Monorepo, shelf: &Shelf, arguments: &[&str]) {
    let mut command = manager.command(monorepo, arguments);
    shelf.serves(&mut command, monorepo);
    let output = command.output().expect("the manager starts");
    assert!(output.status.success(), "{}: {output:?}", manager.name);
}

/// The lockfile as the manager writes it where there is none.
pub fn write_lockfile(manager: &Manager, monorepo: &Monorepo, shelf: &Shelf) {
    let path = monorepo.path().join(manager.lockfile);
    if matches!(manager.name, "yarn-3" | "yarn-4") {
        fs::write(&path, "").expect("an empty lockfile, which marks the root");
    } else if path.exists() {
        fs::remove_file(&path).expect("no lockfile");
    }
    run(manager, monorepo, shelf, arguments(manager)[0]);
}

pub fn empty(manager: &Manager) -> Monorepo {
    let monorepo = Monorepo::new()
        .file("package.json", ROOT)
        .file(".gitignore", "node_modules/\n.yarn/\n.pnp*\n");
    match manager.name {
        "yarn-3" | "yarn-4" => monorepo.file(
            ".yarnrc.yml",
            "enableGlobalCache: false\nenableTelemetry: false\nnodeLinker: node-modules\n",
        ),
        "pnpm-10" | "pnpm-12" => monorepo.file(
            "pnpm-workspace.yaml",
            "packages:\n  - packages/*\nlinkWorkspacePackages: true\n",
        ),
        _ => monorepo,
    }
}

/// `name: reason, reason` for each package of a plan.
fn released(monorepo: &Monorepo) -> Vec<String> {
    let plan = plans::plan(monorepo, &[]);
    let reason = |reason: &Value| match reason["kind"].as_str().expect("a kind") {
        kind @ ("lockfile" | "dependency") => {
            format!("{kind} {}", reason["on"].as_str().expect("a name"))
        }
        kind => kind.to_owned(),
    };
    let list = plan["packages"].as_array().expect("a list");
    list.iter()
        .map(|package| {
            let reasons = package["reasons"].as_array().expect("a list");
            let reasons: Vec<String> = reasons.iter().map(reason).collect();
            format!(
                "{}: {}",
                package["name"].as_str().expect("a name"),
                reasons.join(", ")
            )
        })
        .collect()
}

/// Moves packages of the registry one after the other, in the lockfile alone; `spec` is how packages of the workspace name one another.
fn follows(manager: &Manager, spec: &str) {
    let mut shelf = Shelf::start();
    let needs = |name: &str| match name {
        "koa" => json!({"dependencies": {"inner": "^1.0.0"}}),
        "tool" => json!({"dependencies": {"screw": "^1.0.0"}}),
        _ => json!({}),
    };
    for name in ["koa", "inner", "deep", "tool", "screw", "far"] {
        shelf.add(name, "1.0.0", &needs(name));
    }
    let mut monorepo = empty(manager)
        .config(&json!({"mode": "diff", "apps": {"site": {"build": "true"}}}))
        .service("web", "1.0.0")
        .depends("web", "lib", spec)
        .depends("web", "koa", "^1.0.0")
        .depends_in("devDependencies", "web", "tool", "^1.0.0")
        .service("other", "1.0.0")
        .depends("other", "far", "^1.0.0")
        .depends_in("devDependencies", "other", "lib", spec)
        .service("site", "1.0.0")
        .depends_in("devDependencies", "site", "lib", spec)
        .package("lib", "1.0.0")
        .depends("lib", "deep", "^1.0.0")
        .depends_in("devDependencies", "lib", "screw", "^1.0.0");
    write_lockfile(manager, &monorepo, &shelf);
    monorepo = monorepo.released();
    assert_eq!(released(&monorepo), [""; 0], "{}", manager.name);
    let moves: [(&str, &[&str]); 6] = [
        ("tool", &[]),
        ("screw", &[]),
        ("koa", &["web: lockfile koa"]),
        ("deep", &["web: lockfile deep, lockfile koa"]),
        (
            "inner",
            &["web: lockfile deep, lockfile inner, lockfile koa"],
        ),
        (
            "far",
            &[
                "other: lockfile far",
                "web: lockfile deep, lockfile inner, lockfile koa",
            ],
        ),
    ];
    for (moved, expected) in moves {
        shelf.add(moved, "1.0.1", &needs(moved));
        let before = monorepo.read(manager.lockfile);
        write_lockfile(manager, &monorepo, &shelf);
        assert_ne!(monorepo.read(manager.lockfile), before, "{}", manager.name);
        monorepo = monorepo.commit("chore: update", &[]);
        assert_eq!(released(&monorepo), expected, "{} {moved}", manager.name);
    }
    monorepo = ["web", "other"]
        .into_iter()
        .fold(monorepo, |monorepo, name| {
            monorepo.tag(&format!("{name}@1.0.1"))
        });
    let monorepo = monorepo.commit("fix(lib): it", &[("packages/lib/src/index.js", "")]);
    let expected = ["lib: commit", "site: dependency lib", "web: dependency lib"];
    assert_eq!(released(&monorepo), expected, "{}", manager.name);
}

#[test]
fn an_app_follows_what_it_runs_with_in_the_lockfile_of_npm() {
    follows(&NPM, "^1.0.0");
}

#[test]
fn an_app_follows_what_it_runs_with_in_the_lockfile_of_pnpm() {
    follows(&PNPM_10, "workspace:*");
    follows(&PNPM_12, "^1.0.0");
}

#[test]
fn an_app_follows_what_it_runs_with_in_the_lockfile_of_yarn_classic() {
    follows(&CLASSIC, "^1.0.0");
}

#[test]
fn an_app_follows_what_it_runs_with_in_the_lockfile_of_yarn_berry() {
    follows(&BERRY_3, "^1.0.0");
    follows(&BERRY_4, "workspace:^");
}

#[test]
fn an_app_follows_what_it_runs_with_in_the_lockfile_of_bun() {
    follows(&BUN, "workspace:~");
}

/// What the lockfile says that the package in `directory` runs with.
fn locked(manager: &Manager, monorepo: &Monorepo, directory: &str) -> BTreeSet<String> {
    let text = monorepo.read(manager.lockfile);
    let lockfile = Lockfile {
        kind: LockfileKind::of(manager.lockfile, &text).expect("a kind"),
        path: RepoPath::parse(manager.lockfile).expect("a path"),
        text,
    };
    let mut manifests = Vec::new();
    for directory in ["", "packages/web", "packages/a", "packages/b"] {
        let file = Path::new(directory).join("package.json");
        let text = monorepo.read(file.to_str().expect("a path"));
        let manifest = PackageJson::parse("package.json", &text).expect("a manifest");
        manifests.push((RepoPath::parse(directory).expect("a path"), manifest));
    }
    let manifests: Vec<(RepoPath, &PackageJson)> = manifests
        .iter()
        .map(|(directory, manifest)| (directory.clone(), manifest))
        .collect();
    let graph = Graph::read(&lockfile, &manifests).expect("a lockfile");
    let installed = graph.installed(&RepoPath::parse(directory).expect("a path"));
    let installed = installed.expect("a closure");
    installed
        .packages()
        .map(|(name, version)| format!("{name}@{version}"))
        .collect()
}

/// What Node finds from the package in `directory`: from each package, what its `package.json` says, in the `node_modules` above it.
fn found(monorepo: &Monorepo, directory: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![fs::canonicalize(monorepo.path().join(directory)).expect("a directory")];
    while let Some(package) = open.pop() {
        if !seen.insert(package.clone()) {
            continue;
        }
        let text = fs::read_to_string(package.join("package.json")).expect("a manifest");
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        if package
            .components()
            .any(|part| part.as_os_str() == "node_modules")
        {
            let [name, version] =
                ["name", "version"].map(|key| manifest[key].as_str().expect("text"));
            found.insert(format!("{name}@{version}"));
        }
        for field in ["dependencies", "optionalDependencies"] {
            for name in manifest[field]
                .as_object()
                .into_iter()
                .flat_map(|all| all.keys())
            {
                let mut places = package
                    .ancestors()
                    .map(|above| above.join("node_modules").join(name));
                let place = places.find(|place| place.exists());
                let place = place.unwrap_or_else(|| panic!("{name} of {}", package.display()));
                open.push(fs::canonicalize(place).expect("a package"));
            }
        }
    }
    found
}

/// A registry and a workspace: packages in two versions each that need one another, also in turn, by ranges of either; an app with an alias, a
/// peer and packages of the workspace.
pub fn generated(manager: &Manager, seed: u64) -> (Monorepo, Shelf) {
    const NAMES: [&str; 8] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];
    const RANGES: [&str; 2] = ["^1.0.0", "^2.0.0"];
    let mut random = Random::of(seed);
    let mut shelf = Shelf::start();
    for name in NAMES {
        for version in ["1.0.0", "2.0.0"] {
            let mut fields = json!({});
            for _ in 0..random.below(3) {
                let other = random.of_list(&NAMES);
                let field =
                    random.of_list(&["dependencies", "dependencies", "optionalDependencies"]);
                if other != name && fields["dependencies"][other].is_null() {
                    fields[field][other] = json!(random.of_list(&RANGES));
                }
            }
            if random.one_in(4) {
                fields["peerDependencies"] = json!({"host": "^1.0.0"});
            }
            shelf.add(name, version, &fields);
        }
    }
    shelf.add("host", "1.0.0", &json!({"dependencies": {"t7": "^1.0.0"}}));
    let mut monorepo = empty(manager)
        .package("a", "1.0.0")
        .package("b", "1.0.0")
        .service("web", "1.0.0")
        .depends("web", "a", "^1.0.0")
        .depends("web", "host", "^1.0.0")
        .depends("web", "alias", "npm:t3@^1.0.0")
        .depends_in("devDependencies", "web", "b", "^1.0.0");
    for package in ["a", "b", "web"] {
        for field in [
            "dependencies",
            "dependencies",
            "optionalDependencies",
            "devDependencies",
        ] {
            let name = random.of_list(&NAMES);
            let manifest = monorepo.json(&format!("packages/{package}/package.json"));
            let fields = ["dependencies", "optionalDependencies", "devDependencies"];
            if fields.iter().all(|field| manifest[*field][name].is_null()) {
                monorepo = monorepo.depends_in(field, package, name, random.of_list(&RANGES));
            }
        }
    }
    (monorepo, shelf)
}

#[test]
fn the_lockfile_of_every_manager_tells_what_node_finds() {
    for manager in [NPM, PNPM_10, PNPM_12, CLASSIC, BERRY_3, BERRY_4, BUN] {
        for seed in seeds(1) {
            let (monorepo, shelf) = generated(&manager, seed);
            write_lockfile(&manager, &monorepo, &shelf);
            run(&manager, &monorepo, &shelf, arguments(&manager)[1]);
            let found = found(&monorepo, "packages/web");
            let told = locked(&manager, &monorepo, "packages/web");
            assert!(!found.is_empty());
            assert_eq!(told, found, "{} seed {seed}", manager.name);
        }
    }
}
