//! Stories of going back on npm: with an environment, by tags alone, interrupted, and where a credential does not allow it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::http::{Listener, Request, Response};
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Invocation, Run};
use crate::support::servers;
use crate::support::trusted::Trusting;
use crate::support::verdaccio::{Verdaccio, npmrc};
use crate::support::world::World;

/// A service and two libraries, the second of which needs the first.
fn team() -> Monorepo {
    Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .depends("@acme/text", "core", "^1.0.0")
        .service("web", "1.0.0")
        .config(&json!({
            "mode": "diff",
            "apps": {"web": {"type": "service", "environments": ["prod"], "auto": ["prod"]}},
        }))
        .commit("feat: begin", &[])
}

/// Releases after the first: `core` alone, then everything.
fn released(bucket: &str) -> World {
    let mut world = World::served(team(), bucket);
    let _ = world.run(&["release"]).expect(0);
    world = change(world, "fix(core): one", &["core"]);
    let _ = world.run(&["release"]).expect(0);
    world = change(world, "feat: two", &["core", "text", "web/service"]);
    let _ = world.run(&["release"]).expect(0);
    world
}

fn change(world: World, message: &str, directories: &[&str]) -> World {
    let files: Vec<(String, String)> = directories
        .iter()
        .map(|directory| {
            let file = if directory.contains('/') {
                "two.js"
            } else {
                "src/index.js"
            };
            (
                format!("packages/{directory}/{file}"),
                format!("// {message}\n"),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    world.develop(message, &files)
}

/// `latest` of a package, and the messages of its deprecated versions.
fn shown(registry: &Verdaccio, package: &str) -> (String, Vec<(String, String)>) {
    let packument = registry.packument(package).expect("a document");
    let latest = packument["dist-tags"]["latest"]
        .as_str()
        .unwrap_or_default();
    let versions = packument["versions"].as_object().expect("versions");
    let messages = versions.iter().filter_map(|(version, found)| {
        let message = found["deprecated"].as_str()?;
        (!message.is_empty()).then(|| (version.clone(), message.to_owned()))
    });
    (latest.to_owned(), messages.collect())
}

fn message(version: &str, message: &str) -> (String, String) {
    (version.to_owned(), message.to_owned())
}

#[track_caller]
fn refusal(run: &Run, code: &str) {
    let told = format!("error[{code}]");
    assert!(run.stderr.contains(&told), "{code}:\n{}", run.stderr);
    assert!(run.stderr.contains("hint:"), "no hint:\n{}", run.stderr);
}

#[test]
fn packages_follow_an_environment_back_and_forward_again() {
    let world = released("npm-rollback");
    let registry = world.outside.registry();
    assert_eq!(shown(registry, "core"), ("1.1.0".to_owned(), vec![]));
    let back = [
        "rollback",
        "--environment",
        "prod",
        "--reason",
        "it loses orders",
    ];
    let npm = |more: &[&str]| world.run(&[&back, more, &["--npm-rollback"]].concat());

    // A dry run tells what would be, and writes nothing.
    let dry = npm(&["--dry-run"]).expect(0);
    assert!(
        dry.stdout
            .contains("core: would be: latest 1.1.0 → 1.0.0, 1.0.1 deprecated, 1.1.0 deprecated"),
        "{}",
        dry.stdout
    );
    assert_eq!(shown(registry, "core"), ("1.1.0".to_owned(), vec![]));

    // The app goes from 1.1.0 to 1.0.0: two releases are left, and in one of them `core` alone was published.
    let run = npm(&["--format", "json"]).expect(0).json();
    assert_eq!(run["apps"][0]["to"], "1.0.0");
    let packages = run["npm"]["packages"].as_array().expect("packages");
    assert_eq!(run["npm"]["releases"].as_array().map(Vec::len), Some(2));
    assert_eq!(packages.len(), 2);
    assert_eq!(
        packages[1]["distTags"],
        json!([{"tag": "latest", "from": "1.1.0", "to": "1.0.0"}])
    );
    let told = "Rolled back to 1.0.0 (latest): it loses orders";
    let back_at_one = (
        "1.0.0".to_owned(),
        vec![
            message("1.0.1", "Rolled back to 1.0.0: it loses orders"),
            message("1.1.0", told),
        ],
    );
    assert_eq!(shown(registry, "core"), back_at_one);
    assert_eq!(
        shown(registry, "@acme/text"),
        ("1.0.0".to_owned(), vec![message("1.1.0", told)])
    );

    // Forward again: what the rollback took is given back.
    let forward = [
        "promote",
        "--environment",
        "prod",
        "--to",
        "1.1.0",
        "--force",
    ];
    let run = world
        .run(&[&forward[..], &["--npm-rollback"]].concat())
        .expect(0);
    assert!(
        run.stdout.contains(
            "core: latest 1.0.0 → 1.1.0, 1.0.1 no longer deprecated, 1.1.0 no longer deprecated"
        ),
        "{}",
        run.stdout
    );
    for package in ["core", "@acme/text"] {
        assert_eq!(
            shown(registry, package),
            ("1.1.0".to_owned(), vec![]),
            "{package}"
        );
    }

    // Without the setting npm stays as it is.
    let later = world
        .binary(&back)
        .env("GITHUB_RUN_ID", "1002")
        .run()
        .expect(0);
    assert!(
        later.stdout.contains("rollback 1.1.0 → 1.0.0"),
        "{}",
        later.stdout
    );
    assert_eq!(shown(registry, "core"), ("1.1.0".to_owned(), vec![]));
}

#[test]
fn what_a_missing_token_keeps_from_npm_keeps_nothing_from_the_environment() {
    let world = released("npm-rollback-denied");
    let back = ["rollback", "--environment", "prod", "--npm-rollback"];
    let run = world
        .binary(&back)
        .env("PKGS_NPM_TOKEN", "")
        .run()
        .expect(2);
    refusal(&run, "npm::no_credential");
    assert!(
        run.stdout.contains("web in prod: rollback 1.1.0 → 1.0.0"),
        "{}",
        run.stdout
    );
    let registry = world.outside.registry();
    assert_eq!(shown(registry, "core"), ("1.1.0".to_owned(), vec![]));

    // The failure tells how to go on with npm alone, in another job too.
    let told = "`rollback --npm-rollback --environment prod --app web --to 1.0.0` goes on with npm";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    let words: Vec<&str> = told
        .split('`')
        .nth(1)
        .unwrap_or_default()
        .split(' ')
        .collect();
    for run_id in ["1001", "1007"] {
        let run = world
            .binary(&words)
            .env("GITHUB_RUN_ID", run_id)
            .run()
            .expect(0);
        assert!(
            run.stdout.contains("web in prod: nothing to do"),
            "{}",
            run.stdout
        );
        let (latest, messages) = shown(registry, "core");
        assert_eq!(
            (latest.as_str(), messages.len()),
            ("1.0.0", 2),
            "{}",
            run.stdout
        );
    }

    // A registry that the packages were not published to gets nothing.
    let other = Verdaccio::shared();
    let forward = [
        "promote",
        "--environment",
        "prod",
        "--to",
        "1.1.0",
        "--force",
    ];
    let forward_too = [&forward[..], &["--npm-rollback"]].concat();
    let _ = world.run(&forward_too).expect(0);
    assert_eq!(shown(registry, "core"), ("1.1.0".to_owned(), vec![]));
    let run = world
        .binary(&back)
        .env("GITHUB_RUN_ID", "1002")
        .env("PKGS_REGISTRY", &other.url)
        .env("PKGS_NPM_TOKEN", &other.token)
        .run()
        .expect(2);
    refusal(&run, "npm::elsewhere");
    assert_eq!(shown(registry, "core"), ("1.1.0".to_owned(), vec![]));
}

/// Two libraries in a repository without a store, released three times.
fn libraries() -> (World, FaultProxy, String) {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .depends("@acme/text", "core", "^1.0.0")
        .config(&json!({"mode": "diff"}))
        .commit("feat: begin", &[]);
    let mut world = World::served(monorepo, "npm-rollback-tags");
    let proxy = FaultProxy::new();
    let url = proxy.before("registry", &world.outside.registry().url);
    let _ = by_tags(&world, &url, &["release"]).run().expect(0);
    world = change(world, "fix(core): one", &["core"]);
    let _ = by_tags(&world, &url, &["release"]).run().expect(0);
    world = change(world, "feat: two", &["core", "text"]);
    let _ = by_tags(&world, &url, &["release"]).run().expect(0);
    (world, proxy, url)
}

fn by_tags(world: &World, url: &str, arguments: &[&str]) -> Invocation {
    world
        .binary(arguments)
        .env("PKGS_STORE", "none")
        .env("PKGS_REGISTRY", url)
}

fn both(world: &World) -> Vec<(String, Vec<(String, String)>)> {
    let registry = world.outside.registry();
    ["core", "@acme/text"]
        .map(|name| shown(registry, name))
        .to_vec()
}

#[test]
fn without_an_environment_a_release_is_named_and_killed_runs_are_continued() {
    let (world, proxy, url) = libraries();
    let npm =
        |arguments: &[&str]| by_tags(&world, &url, &[arguments, &["--npm-rollback"]].concat());
    let before = both(&world);

    // Run again, "the one before" would be another one: it is not guessed.
    let run = npm(&["rollback"]).run().expect(2);
    refusal(&run, "rollback::no_target");
    assert!(run.stderr.contains("core@1.0.1"), "{}", run.stderr);
    let run = npm(&["rollback", "--to", "core@7.0.0"]).run().expect(2);
    refusal(&run, "rollback::unknown");
    let run = npm(&["rollback", "--to", "1.0.0"]).run().expect(2);
    refusal(&run, "rollback::ambiguous");
    let run = npm(&["rollback", "--to", "core@1.0.0"]).run().expect(0);
    assert!(
        run.stdout.contains("core: latest 1.1.0 → 1.0.0"),
        "{}",
        run.stdout
    );
    let back = both(&world);
    let forward = npm(&["promote", "--to", "core@1.1.0"]).run().expect(0);
    assert!(
        forward.stdout.contains("latest 1.0.0 → 1.1.0"),
        "{}",
        forward.stdout
    );
    assert_eq!(both(&world), before);

    // Killed around every write, it ends as if it had not been.
    let way_back = ["rollback", "--to", "core@1.0.0", "--max-concurrency", "1"];
    for (way, start, end) in [
        (&way_back[..], &before, &back),
        (&["promote", "--to", "core@1.1.0"], &back, &before),
    ] {
        proxy.reset();
        let _ = npm(way).run().expect(0);
        let writes: Vec<usize> = proxy
            .log()
            .iter()
            .filter(|seen| seen.writes())
            .map(|seen| seen.number)
            .collect();
        assert!(writes.len() >= 4, "{}", proxy.transcript());
        let undo: &[&str] = if way[0] == "rollback" {
            &["promote", "--to", "core@1.1.0"]
        } else {
            &way_back
        };
        for number in writes {
            for fault in [Fault::KillBefore, Fault::KillAfter, Fault::AnswerAfter(503)] {
                proxy.reset();
                let _ = npm(undo).run().expect(0);
                assert_eq!(&both(&world), start);
                proxy.reset();
                proxy.at(number, fault);
                let running = npm(way).start();
                proxy.victim(running.pid());
                let _ = running.wait();
                proxy.reset();
                let _ = npm(way).run().expect(0);
                assert_eq!(&both(&world), end, "{fault:?} at {number}");
            }
        }
        // Done already: nothing is written.
        proxy.reset();
        let _ = npm(way).run().expect(0);
        assert!(
            proxy.log().iter().all(|seen| !seen.writes()),
            "{}",
            proxy.transcript()
        );
    }
}

#[test]
fn the_identity_of_a_job_publishes_and_goes_no_way_back() {
    let (world, _, _) = libraries();
    let registry = Trusting::before(world.outside.registry());
    for name in ["core", "@acme/text"] {
        registry.trust(name, "release.yml");
    }
    let before = both(&world);
    let run = by_tags(
        &world,
        &registry.url(),
        &["rollback", "--to", "core@1.0.0", "--npm-rollback"],
    )
    .env("PKGS_NPM_TOKEN", "")
    .envs(registry.job())
    .run()
    .expect(5);
    refusal(&run, "npm::publishes_only");
    assert!(run.stderr.contains("npm deprecate"), "{}", run.stderr);
    assert_eq!(both(&world), before);
}

/// A registry that shows one document, and keeps every PUT.
fn recorder(document: &Value) -> (Listener, Arc<Mutex<Vec<Request>>>) {
    let puts: Arc<Mutex<Vec<Request>>> = Arc::default();
    let (kept, document) = (Arc::clone(&puts), document.clone());
    let listener = Listener::answering(move |request| {
        let path = request.path();
        let body = match request.method.as_str() {
            "PUT" => {
                let mut kept = kept.lock().expect("no holder panics");
                kept.push(request.clone());
                json!({"ok": true})
            }
            _ if path == "/-/whoami" => json!({"username": "ada"}),
            _ if path.ends_with("/dist-tags") => document["dist-tags"].clone(),
            _ => document.clone(),
        };
        Response::new(200, "application/json", body.to_string())
    });
    (listener, puts)
}

/// What tells one write from another.
fn told(request: &Request) -> (String, Vec<Option<String>>, Value) {
    let headers = [
        "content-type",
        "npm-command",
        "npm-auth-type",
        "authorization",
    ];
    let header = |name| request.headers.get(name).map(str::to_owned);
    let body = serde_json::from_slice(&request.body).unwrap_or_default();
    (request.target.clone(), headers.map(header).to_vec(), body)
}

#[test]
fn a_registry_is_told_what_npm_tells_it() {
    const TOKEN: &str = "npm_tokenOfThePublisher0123456789abcdef";
    let version =
        |number: &str| json!({"name": "@acme/text", "version": number, "x": [1, {"y": 2.50}]});
    let document = json!({
        "_id": "@acme/text", "_rev": "7-a", "name": "@acme/text", "time": {"created": "2026"},
        "dist-tags": {"latest": "1.1.0"}, "users": {"ada": true},
        "versions": {"1.0.0": version("1.0.0"), "1.1.0": version("1.1.0")},
    });
    let monorepo = Monorepo::empty()
        .file(
            "package.json",
            "{\"name\": \"@acme/text\", \"version\": \"1.0.0\"}\n",
        )
        .config(&json!({"changelog": "none"}))
        .commit("feat: begin", &[])
        .origin();
    for version in ["1.0.0", "1.1.0"] {
        monorepo.write(
            "package.json",
            &format!("{{\"name\": \"@acme/text\", \"version\": \"{version}\"}}\n"),
        );
        monorepo.git(&["commit", "--quiet", "--allow-empty", "-am", "fix: more"]);
        let tag = format!("v{version}");
        let lines = format!("{tag}\n\nPkgs-Seal: none\n");
        monorepo.git(&["tag", "--annotate", &tag, "--message", &lines]);
    }
    let origin = monorepo.origin_directory().display().to_string();
    monorepo.git(&["push", "--quiet", "--follow-tags", &origin, "HEAD:main"]);

    let (listener, ours) = recorder(&document);
    // It never shows what it was told, so the run cannot be sure.
    let run = monorepo
        .binary(&[
            "rollback",
            "--npm-rollback",
            "--to",
            "1.0.0",
            "--reason",
            "bad",
        ])
        .env("PKGS_REGISTRY", listener.url())
        .env("PKGS_NPM_TOKEN", TOKEN)
        .run()
        .expect(75);
    refusal(&run, "npm::not_shown");
    let ours = ours.lock().expect("no holder panics").clone();

    let (listener, theirs) = recorder(&document);
    let userconfig = monorepo.sandbox().path().join("npmrc");
    let url = format!("{}/", listener.url().trim_end_matches('/'));
    std::fs::write(&userconfig, npmrc(&url, TOKEN)).expect("written");
    let program = servers::installed().join("npm/package/bin/npm-cli.js");
    for arguments in [
        [
            "deprecate",
            "@acme/text@1.1.0",
            "Rolled back to 1.0.0 (latest): bad",
        ],
        ["dist-tag", "add", "@acme/text@1.0.0"],
    ] {
        let npm = monorepo
            .sandbox()
            .command("node", monorepo.path())
            .arg(&program)
            .args(arguments)
            .args(["--registry", &url, "--loglevel=error"])
            .env("npm_config_userconfig", &userconfig)
            .output()
            .expect("node starts");
        assert!(npm.status.success(), "{npm:?}");
    }
    let theirs = theirs.lock().expect("no holder panics").clone();
    assert_eq!(theirs.len(), 2);
    assert!(ours.len() >= 2, "{}", ours.len());
    for (own, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(told(own), told(theirs));
        assert_eq!(own.body, theirs.body);
    }
}
