//! What was published, as those who install it find it: by npm, pnpm, yarn and bun, from a real registry, also after kills.

use std::fs;

use serde_json::{Value, json};

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::managers::{self, Manager};
use crate::support::monorepo::Monorepo;
use crate::support::random::Random;
use crate::support::sandbox::Run;
use crate::support::verdaccio::Verdaccio;
use crate::support::world::World;

fn release(world: &World, registry: &str, token: &str, more: &[&str]) -> Run {
    let arguments = [&["release"], more].concat();
    world
        .binary(&arguments)
        .env("PKGS_REGISTRY", registry)
        .env("PKGS_NPM_TOKEN", token)
        .run()
}

/// A project that needs `dependencies`, installed by a manager from a registry.
fn installed(manager: &Manager, registry: &str, dependencies: &Value) -> Monorepo {
    let mut manifest = json!({"name": "user", "version": "1.0.0", "private": true});
    manifest["dependencies"] = dependencies.clone();
    let project = Monorepo::empty().file("package.json", &manifest.to_string());
    let project = manager.settled(project);
    let (file, settings) = manager.settings();
    let ours = managers::registry().trim_end_matches('/');
    let settings = settings.replace(ours, registry.trim_end_matches('/'));
    project.write(file, &settings);
    let mut command = manager.command(&project, &["install"]);
    // yarn changes its lockfile in CI only where it is told to.
    command.env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false");
    for variable in ["npm_config_registry", "pnpm_config_registry"] {
        command.env(variable, registry);
    }
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}: {output:?}", manager.name);
    project
}

/// What `node` says of an expression in a project.
fn node(project: &Monorepo, expression: &str) -> String {
    let mut node = project.sandbox().command("node", project.path());
    let output = node.args(["-p", expression]).output().expect("node starts");
    assert!(output.status.success(), "{expression}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn every_manager_installs_what_was_published_and_it_runs() {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .package("@acme/text", "1.0.0")
            .depends("@acme/text", "core", "^1.0.0")
            .cli("tell", "1.0.0")
            .config(&json!({"mode": "diff", "branches": {"next": "beta"}}))
            .commit("feat: begin", &[]),
    );
    let registry = Verdaccio::start();
    let (url, token) = (registry.url.as_str(), registry.token.as_str());
    let _ = release(&world, url, token, &[]).expect(0);
    let more = "exports.more = true;\n";
    let world = world.develop("feat: more", &[("packages/core/src/more.js", more)]);
    let _ = release(&world, url, token, &[]).expect(0);
    let world = world.develop("feat: later", &[("packages/core/src/later.js", more)]);
    let _ = release(
        &world,
        url,
        token,
        &["--prerelease", "beta", "--filter", "core"],
    )
    .expect(0);
    assert_eq!(
        registry.versions("core"),
        ["1.0.0", "1.1.0", "1.2.0-beta.0"]
    );
    for manager in [
        &managers::NPM,
        &managers::PNPM_10,
        &managers::PNPM_12,
        &managers::CLASSIC,
        &managers::BERRY_4,
        &managers::BUN,
    ] {
        let project = installed(
            manager,
            url,
            &json!({"@acme/text": "^1.0.0", "core": "beta", "tell": "latest"}),
        );
        let name = manager.name;
        assert_eq!(
            node(&project, "require('@acme/text').name"),
            "@acme/text",
            "{name}"
        );
        let version = node(&project, "require('core/package.json').version");
        assert_eq!(version, "1.2.0-beta.0", "{name}");
        let told = project
            .sandbox()
            .command(
                project.path().join("node_modules/.bin/tell"),
                project.path(),
            )
            .output()
            .expect("the command starts");
        assert_eq!(String::from_utf8_lossy(&told.stdout), "tell\n", "{name}");
    }
}

/// How many packages are released.
const PACKAGES: usize = 100;

/// How often a run is killed.
const KILLS: u64 = 50;

#[test]
fn a_hundred_packages_are_there_once_after_fifty_kills() {
    let name = |index: usize| format!("p{index:02}");
    let mut monorepo = Monorepo::new();
    for index in 0..PACKAGES {
        monorepo = monorepo.package(&name(index), "1.0.0");
        if index >= 10 {
            monorepo = monorepo.depends(&name(index), &name(index / 10), "^1.0.0");
        }
    }
    let world = World::local(monorepo.commit("feat: a hundred", &[]));
    let registry = Verdaccio::start();
    let proxy = FaultProxy::new();
    let before = proxy.before("npm", &registry.url);
    let mut kills = 0;
    for seed in 1..=KILLS {
        let mut random = Random::of(seed);
        proxy.reset();
        let (target, fault) = (1 + random.below(2), Fault::KILLS[random.below(4)]);
        let writes = std::sync::atomic::AtomicUsize::new(0);
        proxy.when(move |seen| {
            let count = || 1 + writes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            (seen.writes() && count() == target).then_some(fault)
        });
        let running = world
            .binary(&["release"])
            .env("PKGS_REGISTRY", &before)
            .env("PKGS_NPM_TOKEN", &registry.token)
            .start();
        proxy.victim(running.pid());
        let run = running.wait();
        if run.killed_by.is_none() {
            assert_eq!(run.code, 0, "{}", run.stderr);
            break;
        }
        kills += 1;
    }
    assert!(kills >= KILLS / 2, "{kills} kills");
    proxy.reset();
    let _ = release(&world, &before, &registry.token, &[]).expect(0);
    for index in 0..PACKAGES {
        assert_eq!(registry.versions(&name(index)), ["1.0.0"]);
    }
    let tags = world.origin_git(&["tag", "--list"]);
    assert_eq!(tags.lines().count(), PACKAGES);
    let dependencies = (0..PACKAGES).map(|index| (name(index), json!("1.0.0")));
    let dependencies: serde_json::Map<String, Value> = dependencies.collect();
    let project = installed(&managers::NPM, &registry.url, &Value::Object(dependencies));
    let entries = fs::read_dir(project.path().join("node_modules")).expect("a directory");
    let found = entries.filter(|entry| {
        let entry = entry.as_ref().expect("an entry");
        entry.file_name().to_string_lossy().starts_with('p')
    });
    assert_eq!(found.count(), PACKAGES);
}
