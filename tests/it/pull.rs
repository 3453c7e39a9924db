//! Stories of `pull --once`: what runs on a host, and what a host does when the new release does not.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::http::send;
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::kill_group;
use crate::support::servers::free_port;
use crate::support::world::{Machine, World};

/// A service that answers its version at `/health`, and at any other path what `SERVER_ENV` says.
fn source(extra: &str) -> String {
    format!(
        "const {{ createServer }} = require('node:http');
const {{ appendFileSync }} = require('node:fs');
const {{ version }} = require('../package.json');

{extra}
console.log(`started ${{version}} as ${{process.pid}}`);
createServer((request, response) => response.end(request.url === '/health' ? version : process.env.SERVER_ENV))
  .listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"
    )
}

fn service(port: u16) -> World {
    let monorepo = Monorepo::new()
        .service("web", "1.0.0")
        .file("packages/web/service/index.js", &source(""))
        .config(&json!({
            "mode": "diff",
            "apps": {"web": {
                "type": "service",
                "environments": ["sit", "prod"],
                "auto": ["sit"],
                "health": format!("http://127.0.0.1:{port}/health"),
            }},
        }))
        .commit("feat: begin", &[]);
    World::local(monorepo)
}

fn get(port: u16, path: &str) -> String {
    let url = format!("http://127.0.0.1:{port}{path}");
    let answer = send("GET", &url, &[], b"").expect("the service answers");
    String::from_utf8(answer.body).expect("text")
}

/// What the store knows of the host.
fn report(world: &World) -> Value {
    let file = world
        .outside
        .path()
        .join("store/v1/apps/web/environments/sit/hosts/host-1.json");
    serde_json::from_slice(&fs::read(file).expect("a report")).expect("JSON")
}

#[test]
fn a_release_that_does_not_answer_is_left_by_itself_and_not_tried_again() {
    let port = free_port();
    let world = service(port);
    let host = Machine::new();

    // Nothing is live yet: nothing is touched.
    let early = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(3);
    assert!(
        early.stderr.contains("error[pull::nothing_live]"),
        "{}",
        early.stderr
    );
    assert!(!host.app("web").join("current").exists());

    let _ = world.run(&["release"]).expect(0);
    let first = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(0);
    assert_eq!(first.stdout, "web 1.0.0 runs (sit)\n");
    assert_eq!(
        (get(port, "/health"), get(port, "/")),
        ("1.0.0".into(), "sit".into())
    );
    let current = fs::read_link(host.app("web").join("current")).expect("a link");
    assert_eq!(current, std::path::Path::new("releases/1.0.0"));
    assert_eq!(report(&world)["version"], "1.0.0");
    assert_eq!(report(&world)["state"], "installed");

    // Again: the same process goes on.
    let process = host.state("web")["group"].clone();
    let again = host
        .pull(&world.outside, "web", "sit", port)
        .env("PKGS_FORMAT", "json")
        .run()
        .expect(0);
    assert_eq!(again.json()["outcome"], "up-to-date");
    assert_eq!(again.json()["schema"], "pkgs.pull/1");
    assert_eq!(host.state("web")["group"], process);

    // A version that ends at once: back by itself, exit 1, and the next pull leaves it alone.
    let broken = source("throw new Error('broken');");
    let world = world.develop(
        "fix(web): break",
        &[("packages/web/service/index.js", &broken)],
    );
    let _ = world.run(&["release"]).expect(0);
    let failed = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(1);
    assert!(
        failed.stderr.contains("error[pull::went_back]"),
        "{}",
        failed.stderr
    );
    assert_eq!(get(port, "/health"), "1.0.0");
    assert_eq!(host.current("web").as_deref(), Some("1.0.0"));
    let told = report(&world);
    assert_eq!(
        (&told["state"], &told["version"]),
        (&json!("went-back"), &json!("1.0.0"))
    );
    assert!(told["error"].is_string(), "{told}");
    let process = host.state("web")["group"].clone();
    let left = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(0);
    // Said once, when it failed: cron sends no mail of it every minute.
    assert_eq!(left.stdout, "");
    assert!(
        left.stderr.contains("is not tried again"),
        "{}",
        left.stderr
    );
    assert_eq!(host.state("web")["group"], process);

    // The next one runs.
    let world = world.develop(
        "fix(web): mend",
        &[("packages/web/service/index.js", &source("// 2"))],
    );
    let _ = world.run(&["release"]).expect(0);
    let _ = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(0);
    assert_eq!(get(port, "/health"), "1.0.2");
    assert_eq!(report(&world)["version"], "1.0.2");
}

#[test]
fn bytes_that_are_not_what_the_manifest_says_never_reach_the_service() {
    let port = free_port();
    let world = service(port);
    let host = Machine::new();
    let _ = world.run(&["release"]).expect(0);
    let _ = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(0);
    let process = host.state("web")["group"].clone();
    let world = world.develop(
        "fix(web): more",
        &[("packages/web/service/index.js", &source("// 1"))],
    );
    let _ = world.run(&["release"]).expect(0);

    // Somebody writes into the bucket: the same length, other bytes.
    let store = world.outside.path().join("store/v1");
    let manifest: Value = serde_json::from_slice(
        &fs::read(store.join("apps/web/1.0.1/any.json")).expect("a manifest"),
    )
    .expect("JSON");
    let digest = manifest["archive"]["digest"].as_str().expect("a digest");
    let hex = digest.trim_start_matches("sha256:");
    let blob = store.join("blobs/sha256").join(&hex[..2]).join(hex);
    let bytes = fs::read(&blob).expect("a blob");
    let mut others = bytes.clone();
    others[bytes.len() / 2] ^= 1;
    fs::remove_file(&blob).expect("it goes");
    fs::write(&blob, &others).expect("a file");
    let refused = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(6);
    assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
    assert_eq!(get(port, "/health"), "1.0.0");
    assert_eq!(host.state("web")["group"], process);
    assert_eq!(host.current("web").as_deref(), Some("1.0.0"));
    assert!(!host.app("web").join("releases/1.0.1").exists());

    // When the bytes are right again, so is the host.
    fs::write(&blob, &bytes).expect("a file");
    let _ = host
        .pull(&world.outside, "web", "sit", port)
        .run()
        .expect(0);
    assert_eq!(get(port, "/health"), "1.0.1");
}

fn kill_service(host: &Machine) {
    let group = host.state("web")["group"]["id"].as_u64().expect("a group");
    kill_group(u32::try_from(group).expect("a process"));
}

#[test]
fn a_service_that_ended_is_started_again_and_a_dry_run_touches_nothing() {
    let port = free_port();
    let world = service(port);
    let host = Machine::new();
    let _ = world.run(&["release"]).expect(0);
    let pull = || host.pull(&world.outside, "web", "sit", port);
    let dry = pull().env("PKGS_DRY_RUN", "true").run().expect(0);
    assert_eq!(dry.stdout, "dry run: web 1.0.0 would be installed (sit)\n");
    assert!(!host.app("web").exists());

    let _ = pull().run().expect(0);
    kill_service(&host);
    let again = pull().run().expect(0);
    assert_eq!(again.stdout, "web 1.0.0 had ended and runs again (sit)\n");
    assert_eq!(get(port, "/health"), "1.0.0");
}

#[test]
fn a_first_release_that_fails_says_that_nothing_runs_and_can_be_tried_again() {
    let port = free_port();
    let world = service(port).develop(
        "fix(web): need a file of the host",
        &[(
            "packages/web/service/index.js",
            &source("require('node:fs').readFileSync(process.env.HOME + '/needed');"),
        )],
    );
    let host = Machine::new();
    let _ = world.run(&["release"]).expect(0);
    let home = tempfile::tempdir().expect("a directory");
    let pull = || {
        let home = home.path().to_string_lossy().into_owned();
        host.pull(&world.outside, "web", "sit", port)
            .env("HOME", &home)
    };
    let failed = pull().run().expect(1);
    assert!(failed.stderr.contains("nothing runs"), "{}", failed.stderr);
    let again = pull().run().expect(1);
    assert!(
        again.stderr.contains("error[pull::nothing_runs]"),
        "{}",
        again.stderr
    );
    fs::write(home.path().join("needed"), "").expect("a file");
    let _ = pull().env("PKGS_FORCE", "true").run().expect(0);
    assert_eq!(get(port, "/health"), "1.0.0");
}

/// Asserts that a text says these things in this order.
fn assert_tells(text: &str, story: &[&str]) {
    let mut rest = text;
    for part in story {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("{part:?} is not said, or not here:\n{text}");
        };
        rest = after;
    }
}

#[test]
fn a_pull_tells_its_story_and_one_that_changes_nothing_is_quiet() {
    let port = free_port();
    let world = service(port);
    let host = Machine::new();
    let pull = |world: &World| host.pull(&world.outside, "web", "sit", port);
    let _ = world.run(&["release"]).expect(0);
    let first = pull(&world).run().expect(0);
    assert_tells(&first.stderr, &["from nothing to 1.0.0 in sit"]);

    let quiet = pull(&world).run().expect(0);
    assert_eq!(quiet.stdout, "");
    assert_eq!(quiet.stderr.trim(), "INFO web 1.0.0 runs already (sit)");
    let cron = pull(&world).env("PKGS_LOG_LEVEL", "warn").run().expect(0);
    assert_eq!((cron.stdout.as_str(), cron.stderr.as_str()), ("", ""));
    let dry = pull(&world).env("PKGS_DRY_RUN", "true").run().expect(0);
    assert_eq!(
        dry.stdout,
        "dry run: web 1.0.0 is installed already (sit)\n"
    );

    let world = world.develop("fix(web): more", &[("packages/web/more", "")]);
    let _ = world.run(&["release"]).expect(0);
    let changed = pull(&world).run().expect(0);
    assert_eq!(changed.stdout, "web 1.0.1 runs (sit)\n");
    assert_tells(
        &changed.stderr,
        &[
            "web: from 1.0.0 to 1.0.1 in sit, as entry 2 (promote by ",
            "web: fetched ",
            "web: unpacked ",
            "into releases/1.0.1 (",
            "web: 1.0.0 stands still (",
            "web: current is releases/1.0.1 (",
            "web: started 1.0.1 by ",
            "web: 1.0.1 is healthy: http://127.0.0.1:",
            " s)",
            "web: 1.0.1 runs, ",
            " s after the pull began",
        ],
    );
    assert!(!changed.stderr.contains("WARN"), "{}", changed.stderr);
}

#[test]
fn a_pull_that_is_killed_at_any_step_is_finished_by_the_next() {
    const STEPS: [&str; 8] = [
        "fetching",
        "verified",
        "extracted",
        "stopping",
        "switched",
        "starting",
        "probing",
        "committed",
    ];
    let port = free_port();
    let world = service(port);
    let host = Machine::new();
    let pull = |world: &World| host.pull(&world.outside, "web", "sit", port);
    let _ = world.run(&["release"]).expect(0);
    let _ = pull(&world).run().expect(0);
    let world = world.develop("fix(web): more", &[("packages/web/more", "")]);
    let _ = world.run(&["release"]).expect(0);
    let mut killed = 0;
    for (wanted, step) in STEPS[..7].iter().enumerate() {
        let (from, to) = if wanted % 2 == 0 {
            ("1.0.0", "1.0.1")
        } else {
            ("1.0.1", "1.0.0")
        };
        if wanted > 0 {
            let point = ["promote", "--app=web", "--environment=sit", "--to", to];
            let _ = world.run(&point).expect(0);
        }
        assert_eq!(host.current("web").as_deref(), Some(from), "before {step}");
        // It has to be fetched and unpacked again.
        let _ = fs::remove_dir_all(host.app("web").join("releases").join(to));
        let running = pull(&world).start();
        loop {
            let state = host.state("web");
            let comes = state["coming"]["version"] == to;
            let reached = STEPS.iter().position(|step| state["state"] == *step);
            if comes && reached >= Some(wanted) {
                running.signal(Signal::KILL);
                break;
            }
            if state["installed"]["version"] == to {
                break;
            }
        }
        let first = running.wait();
        killed += usize::from(first.killed_by.is_some());
        let next = pull(&world).run().expect(0);
        let said = format!("{step}:\n{}\n{}", first.stderr, next.stderr);
        assert_eq!(get(port, "/health"), to, "{said}");
        assert_eq!(host.current("web").as_deref(), Some(to), "{said}");
        let state = host.state("web");
        assert_eq!(state["state"], "committed", "{said}");
        assert_eq!(state["coming"], Value::Null, "{said}");
        assert_eq!(state["failed"], json!([]), "{said}");
        assert_eq!(pull(&world).run().expect(0).stdout, "", "{said}");
    }
    // Steps that take a moment are met, whatever the machine.
    assert!(killed > 0, "no pull was killed");
}

#[test]
fn a_place_that_cannot_work_is_refused_and_what_runs_goes_on() {
    let port = free_port();
    let world = service(port);
    let host = Machine::new();
    let pull = |world: &World| host.pull(&world.outside, "web", "sit", port);
    let _ = world.run(&["release"]).expect(0);
    let file = host.app("file");
    fs::create_dir_all(host.app("")).expect("a directory");
    fs::write(&file, "").expect("a file");
    for setting in ["PKGS_HOST_DIRECTORY", "PKGS_LOG_DIRECTORY"] {
        let refused = pull(&world).env(setting, &file).run().expect(3);
        assert_tells(
            &refused.stderr,
            &["error[host::disk_error]", "  at ", "hint: "],
        );
    }
    let _ = pull(&world).run().expect(0);
    let world = world.develop("fix(web): more", &[("packages/web/more", "")]);
    let _ = world.run(&["release"]).expect(0);
    let process = host.state("web")["group"].clone();
    let current = host.app("web").join("current");
    fs::remove_file(&current).expect("a link");
    fs::create_dir(&current).expect("a directory");
    let refused = pull(&world).run().expect(3);
    assert_tells(
        &refused.stderr,
        &["error[host::layout]", "current", "hint: "],
    );
    assert_eq!(get(port, "/health"), "1.0.0");
    assert_eq!(host.state("web")["group"], process);
    fs::remove_dir(&current).expect("a directory");
    // A link that names nothing is only moved.
    std::os::unix::fs::symlink("releases/0.9.0", &current).expect("a link");
    let _ = pull(&world).run().expect(0);
    assert_eq!(get(port, "/health"), "1.0.1");
}

#[test]
fn a_mistyped_name_is_answered_with_the_right_one_and_touches_nothing() {
    let port = free_port();
    let world = service(port);
    let host = Machine::new();
    let _ = world.run(&["release"]).expect(0);
    let pull = |app: &str, environment: &str, exit: i32| {
        host.pull(&world.outside, app, environment, port)
            .run()
            .expect(exit)
            .stderr
    };
    let wrong = |app: &str, environment: &str, exit: i32, story: &[&str]| {
        let told = pull(app, environment, exit);
        assert_tells(&told, story);
        assert!(!told.contains("starting"), "{told}");
    };
    let st = [
        "error[pull::nothing_live]: web was never promoted to st",
        "because it was promoted to sit",
        "hint: did you mean sit?",
    ];
    let wbe = [
        "error[environment::unknown_app]: the store knows no app wbe",
        "hint: did you mean web?",
    ];
    wrong("web", "st", 3, &st);
    wrong("wbe", "sit", 2, &wbe);
    let _ = pull("web", "sit", 0);
    kill_service(&host);
    let remembered = host.state("web");
    wrong("web", "st", 3, &st);
    wrong("wbe", "sit", 2, &wbe);
    let prod = ["promote", "--environment", "prod", "--to", "1.0.0"];
    let _ = world.operate(&prod).expect(0);
    wrong("web", "prod", 3, &["error[pull::other_environment]"]);
    assert_eq!(host.state("web"), remembered);
    assert!(!host.app("wbe").exists());
}

#[test]
fn a_service_that_ended_comes_back_while_the_store_is_away() {
    let port = free_port();
    let world = service(port);
    let host = Machine::new();
    let _ = world.run(&["release"]).expect(0);
    let pull = || host.pull(&world.outside, "web", "sit", port);
    let _ = pull().run().expect(0);
    kill_service(&host);
    let nowhere = format!("file://{}/nowhere", world.outside.path().display());
    let away = pull().env("PKGS_STORE", nowhere).run();
    assert_ne!(away.code, 0, "{}", away.stderr);
    assert_tells(&away.stderr, &["had ended: starting it again", "error["]);
    assert_eq!(get(port, "/health"), "1.0.0");
}
