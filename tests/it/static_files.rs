//! Stories of static files: what a CDN hears, what is served while pointers move, and what is left after runs that race and die.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pkgs_action::name::Digest;
use serde_json::{Value, json};

use crate::support::cloudfront::Distribution;
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::http;
use crate::support::monorepo::Monorepo;
use crate::support::moto::{self, Moto};
use crate::support::s3;
use crate::support::sandbox::{Invocation, Run, Sandbox};
use crate::support::world::{World, files};

/// A site whose page names a hashed script, with files that keep their names beside it; a release activates it in `sit`.
fn site() -> Monorepo {
    let build = "npm run build && cp src/*.txt dist/ && printf '\\213' | cat src/site.js - > dist/note.txt.br && cp src/site.js dist/note.txt && cp src/site.js dist/app.wasm.gz";
    Monorepo::new()
        .static_site("site", "1.0.0")
        .file("packages/site/src/a b.txt", "same\n")
        .file("packages/site/src/robots.txt", "1\n")
        .config(&json!({
            "mode": "diff",
            "apps": {"site": {
                "type": "static", "build": build, "environments": ["sit", "prod"], "auto": ["sit"],
            }},
        }))
        .commit("feat: begin", &[])
}

/// The next patch version of the site: another script, another page, another `robots.txt`.
fn next(world: World, version: u32) -> World {
    world.develop(
        &format!("fix(site): {version}"),
        &[
            ("packages/site/src/robots.txt", &format!("{version}\n")),
            (
                "packages/site/src/site.js",
                &format!("console.log({version});\n"),
            ),
        ],
    )
}

/// The site after releases 1.0.0 to 1.0.`last`, all of them live in `sit` once.
fn released(last: u32) -> World {
    let mut world = World::local(site());
    let _ = world.run(&["release"]).expect(0);
    for version in 1..=last {
        world = next(world, version + 1);
        let _ = world.run(&["release"]).expect(0);
    }
    world
}

/// A command in an empty directory that knows the store and nothing else.
fn operator(world: &World, arguments: &[&str]) -> (Sandbox, Invocation) {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let invocation = sandbox.binary(&home, arguments);
    let invocation = world.outside.store(invocation).env("PKGS_ACTOR", "ada");
    (sandbox, invocation)
}

fn refusal(run: &Run, code: &str) {
    let told = format!("error[{code}]");
    assert!(run.stderr.contains(&told), "{code}:\n{}", run.stderr);
    assert!(run.stderr.contains("hint:"), "no hint:\n{}", run.stderr);
}

fn store(world: &World) -> PathBuf {
    world.outside.path().join("store")
}

fn static_json(world: &World, environment: &str) -> Value {
    let path = format!("v1/apps/site/environments/{environment}/static.json");
    let bytes = std::fs::read(store(world).join(path)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// The newest entry of the log of the site.
fn tip(world: &World, environment: &str) -> Value {
    let log = store(world).join(format!("v1/apps/site/environments/{environment}/log"));
    let newest = files(&log).into_values().next_back();
    newest.map_or(Value::Null, |bytes| {
        serde_json::from_slice(&bytes).expect("JSON")
    })
}

#[test]
fn a_distribution_hears_of_exactly_what_changed_and_a_rollback_needs_no_setting() {
    let moto = Moto::shared();
    moto.bucket("behind-cloudfront");
    let distribution = Distribution::make();
    let world = World::local(site());
    let with_aws = |invocation: Invocation| {
        invocation
            .envs(moto.environment())
            .env("PKGS_STATIC", "s3://behind-cloudfront/{environment}")
    };
    let release = |world: &World| {
        let invocation = with_aws(world.binary(&["release"]))
            .env("PKGS_CDN_DISTRIBUTION", format!("sit={}", distribution.id))
            .env("PKGS_STATIC_URL", "https://static.example/");
        invocation.run().expect(0)
    };
    let _ = release(&world);
    let first = distribution.last();
    let names: Vec<&str> = first.iter().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "/",
            "/a%20b.txt",
            "/app.wasm.gz",
            "/index.html",
            "/note.txt",
            "/note.txt.br",
            "/robots.txt"
        ]
    );
    let world = next(world, 2);
    let told = release(&world);
    assert!(
        told.stdout.contains("served at") || told.stdout.contains("site 1.0.1 in sit"),
        "{}",
        told.stdout
    );
    let changed = [
        "/",
        "/app.wasm.gz",
        "/index.html",
        "/note.txt",
        "/note.txt.br",
        "/robots.txt",
    ];
    assert_eq!(distribution.last(), changed);

    // A compressed copy of text is that text, for browsers and for boto3.
    let objects = s3::dump(&moto.endpoint, "behind-cloudfront");
    let note = &objects["sit/note.txt.br"];
    assert_eq!(note.content_encoding.as_deref(), Some("br"));
    assert_eq!(
        note.content_type.as_deref(),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(objects["sit/note.txt"].content_encoding, None);
    assert_eq!(objects["sit/app.wasm.gz"].content_encoding, None);

    // Back, with credentials and nothing else: the log knows the root, the distribution and the address.
    let back = ["rollback", "--environment", "sit", "--format", "json"];
    let (_sandbox, invocation) = operator(&world, &back);
    let run = invocation.run().expect(2);
    refusal(&run, "cdn::credentials");
    let (_sandbox, invocation) = operator(&world, &back);
    let run = invocation.envs(moto.environment()).run().expect(0);
    assert_eq!(run.json()["apps"][0]["url"], "https://static.example/");
    assert_eq!(distribution.last(), changed);
    assert_eq!(distribution.invalidations().len(), 3);
    let (_sandbox, invocation) = operator(&world, &["status"]);
    let status = invocation.run().expect(0).stdout;
    assert!(
        status.contains("      served at https://static.example/\n"),
        "{status}"
    );

    // One that is not there is known before anything is written.
    let seq = tip(&world, "sit")["seq"].clone();
    let promote = [
        "promote",
        "--environment",
        "sit",
        "--to",
        "1.0.1",
        "--force",
    ];
    let (_sandbox, invocation) = operator(&world, &promote);
    let run = with_aws(invocation)
        .env("PKGS_CDN_DISTRIBUTION", "E0NOWHERE")
        .run()
        .expect(2);
    refusal(&run, "cdn::no_distribution");
    assert_eq!(tip(&world, "sit")["seq"], seq);
}

/// The requests for invalidations fail or kill; in the end the CDN has heard of everything and `static.json` says so, in this order.
#[test]
fn whatever_becomes_of_the_invalidation_it_was_accepted_before_static_json_moves() {
    let world = released(1);
    let moto = Moto::shared();
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("cdn", &moto.endpoint);
    let root = format!(
        "file://{}/{{environment}}",
        world.outside.path().join("static").display()
    );
    let run = |arguments: &[&str], id: &str| {
        let (sandbox, invocation) = operator(&world, arguments);
        let invocation = invocation
            .envs(moto.environment())
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            .env("AWS_ENDPOINT_URL_CLOUDFRONT", &endpoint)
            .env("PKGS_STATIC", &root)
            .env("PKGS_CDN_DISTRIBUTION", id);
        let running = invocation.start();
        proxy.victim(running.pid());
        (running.wait(), sandbox)
    };
    let promote = |version| {
        [
            "promote",
            "--environment",
            "prod",
            "--force",
            "--to",
            version,
        ]
    };
    let asks = |seen: &crate::support::fault_proxy::Seen| {
        seen.method == "POST" && seen.target.ends_with("/invalidation")
    };
    for (fault, versions) in [
        (Fault::KillBefore, ["1.0.0", "1.0.1"]),
        (Fault::KillAfter, ["1.0.1", "1.0.0"]),
        (Fault::BreakAfter, ["1.0.0", "1.0.1"]),
        (Fault::AnswerBefore(503), ["1.0.1", "1.0.0"]),
    ] {
        let distribution = Distribution::make();
        proxy.reset();
        let (first, _sandbox) = run(&promote(versions[0]), &distribution.id);
        assert_eq!(first.code, 0, "{}", first.stderr);
        let known = distribution.invalidations().len();
        let before = static_json(&world, "prod");
        let met = AtomicUsize::new(0);
        proxy.when(move |seen| {
            let first = asks(seen) && met.fetch_add(1, Ordering::SeqCst) == 0;
            first.then_some(fault)
        });
        let (faulty, _sandbox) = run(&promote(versions[1]), &distribution.id);
        assert!(proxy.struck(), "{fault:?}\n{proxy:?}");
        let live = tip(&world, "prod")["state"]["current"]["version"].clone();
        assert_eq!(live, versions[1], "{fault:?}");
        if faulty.code != 0 {
            let mut said = static_json(&world, "prod");
            if let Value::Object(said) = &mut said {
                said.remove("awaitsCdn");
            }
            assert_eq!(said, before, "{fault:?}");
            // The files lie there before anybody is told.
            let robots = world.outside.path().join("static/prod/robots.txt");
            let robots = std::fs::read_to_string(robots).expect("a file");
            assert_eq!(
                robots == "2\n",
                versions[1] == "1.0.1",
                "{fault:?}: {robots}"
            );
            proxy.reset();
            let (finished, _sandbox) = run(&promote(versions[1]), &distribution.id);
            assert_eq!(finished.code, 0, "{fault:?}\n{}", finished.stderr);
        }
        assert_eq!(
            static_json(&world, "prod")["version"],
            versions[1],
            "{fault:?}"
        );
        let told = distribution.invalidations().split_off(known);
        let changed = [
            "/",
            "/app.wasm.gz",
            "/index.html",
            "/note.txt",
            "/note.txt.br",
            "/robots.txt",
        ];
        assert!(
            told.iter().all(|one| one.paths == changed),
            "{fault:?}: {told:?}"
        );
        // Sent again by the same run it is the same invalidation; another run asks for one of its own.
        let references: BTreeSet<&String> = told.iter().map(|one| &one.reference).collect();
        let wanted = match fault {
            Fault::KillAfter => (2, 2),
            Fault::BreakAfter => (2, 1),
            _ => (1, 1),
        };
        assert_eq!(
            (told.len(), references.len()),
            wanted,
            "{fault:?}: {told:?}"
        );
    }
}

#[test]
fn who_waits_for_a_distribution_says_so_and_ends_when_it_is_to_stop() {
    let world = released(0);
    let moto = Moto::shared();
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("cdn", &moto.endpoint);
    let root = format!(
        "file://{}/{{environment}}",
        world.outside.path().join("static").display()
    );
    let distribution = Distribution::make();
    let promote = || {
        let (sandbox, invocation) = operator(
            &world,
            &["promote", "--environment", "prod", "--to", "1.0.0"],
        );
        let invocation = invocation
            .envs(moto.environment())
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            .env("AWS_ENDPOINT_URL_CLOUDFRONT", &endpoint)
            .env("PKGS_STATIC", &root)
            .env("PKGS_CDN_DISTRIBUTION", &distribution.id);
        (sandbox, invocation)
    };
    let (tell, told) = std::sync::mpsc::channel();
    proxy.when(move |seen| {
        let asks = seen.method == "POST" && seen.target.ends_with("/invalidation");
        if asks {
            let _ = tell.send(());
        }
        asks.then_some(Fault::AnswerBefore(503))
    });
    let (_sandbox, invocation) = promote();
    let running = invocation.start();
    // It has waited once, and waits again.
    for _ in 0..2 {
        told.recv_timeout(Duration::from_mins(1))
            .expect("a request");
    }
    running.signal(rustix::process::Signal::INT);
    let run = running.wait();
    assert_eq!(run.code, 130, "{}", run.stderr);
    for words in [
        "run::interrupted",
        "waiting for the CloudFront distribution",
        "'promote --environment prod --app site --to 1.0.0' finishes it",
    ] {
        assert!(run.stderr.contains(words), "{words}\n{}", run.stderr);
    }
    let said = static_json(&world, "prod");
    assert_eq!(
        (&said["untold"], &said["awaitsCdn"]),
        (&json!(true), &json!(1))
    );
    proxy.reset();
    let (_sandbox, invocation) = promote();
    let _ = invocation.run().expect(0);
    assert_eq!(static_json(&world, "prod")["version"], "1.0.0");
    assert_eq!(distribution.invalidations().len(), 1);
}

#[test]
fn a_command_tells_another_cdn_and_sees_only_what_was_named() {
    const TOKEN: &str = "cfToken_0123456789abcdefghijklmnop";
    let world = released(1);
    let directory = world.outside.path().join("told");
    std::fs::create_dir(&directory).expect("a directory");
    let told = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    let root = format!(
        "file://{}/{{environment}}",
        world.outside.path().join("static").display()
    );
    let tells = format!(
        "cd {}; cat > stdin; cp \"$CDN_PATHS\" file; env | sort > environment",
        directory.display()
    );
    let run = |arguments: &[&str], command: Option<&str>| {
        let (sandbox, invocation) = operator(&world, arguments);
        let invocation = invocation
            .env("PKGS_STATIC", &root)
            .env("PKGS_STATIC_URL", "https://example.org/{app}/{environment}")
            .env("PKGS_CDN_ENVIRONMENT", "CLOUDFLARE_API_TOKEN")
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
            .env("OTHER_TOKEN", "hunter2")
            .env("NPM_TOKEN", "hunter2")
            .env("GITHUB_TOKEN", "hunter2")
            .env("AWS_SECRET_ACCESS_KEY", "hunter2");
        let invocation = match command {
            Some(command) => invocation.env("PKGS_CDN_COMMAND", command),
            None => invocation,
        };
        (invocation.run(), sandbox)
    };
    let promote = |version| ["promote", "--environment", "prod", "--to", version];

    let (first, _sandbox) = run(&promote("1.0.0"), Some(&tells));
    let first = first.expect(0);
    assert!(
        first
            .stdout
            .contains("  served at https://example.org/site/prod/\n"),
        "{}",
        first.stdout
    );
    let all = "/site/prod/\n/site/prod/a%20b.txt\n/site/prod/app.wasm.gz\n/site/prod/index.html\n/site/prod/note.txt\n/site/prod/note.txt.br\n/site/prod/robots.txt\n";
    assert_eq!(
        (told("stdin"), told("file")),
        (all.to_owned(), all.to_owned())
    );
    let environment = told("environment");
    for line in [
        &format!("CLOUDFLARE_API_TOKEN={TOKEN}\n"),
        "CDN_APP=site\n",
        "CDN_ENVIRONMENT=prod\n",
        "CDN_VERSION=1.0.0\n",
        "CDN_URL=https://example.org/site/prod/\n",
        "CDN_ORIGIN=https://example.org\n",
    ] {
        assert!(environment.contains(line), "{line}\n{environment}");
    }
    assert!(!environment.contains("hunter2"), "{environment}");
    assert!(!environment.contains("PKGS_"), "{environment}");

    // It fails: the pointer stands, and what is said finishes the rest.
    let fails = format!("{tells}; echo \"no zone for $CLOUDFLARE_API_TOKEN\" >&2; exit 3");
    let before = static_json(&world, "prod");
    let (failed, _sandbox) = run(&promote("1.0.1"), Some(&fails));
    let failed = failed.expect(75);
    refusal(&failed, "static::cdn_command");
    for words in [
        "it ended with exit code 3",
        "prod of site points at 1.0.1 already (entry 2); what follows that is not finished",
        "'promote --environment prod --app site --to 1.0.1' finishes it",
    ] {
        assert!(failed.stderr.contains(words), "{words}\n{}", failed.stderr);
    }
    assert!(!failed.stderr.contains(TOKEN), "{}", failed.stderr);
    assert!(
        failed.stdout.contains("→ 1.0.1 (entry 2), not finished"),
        "{}",
        failed.stdout
    );
    let mut awaits = before;
    awaits["awaitsCdn"] = json!(2);
    assert_eq!(static_json(&world, "prod"), awaits);
    let (status, _sandbox) = run(&["status", "--environment", "prod"], None);
    let words = "the CDN was not told of the static files: 'promote --environment prod --app site --to 1.0.1' finishes it";
    assert!(status.stdout.contains(words), "{}", status.stdout);
    let as_json = ["--format", "json", "--environment", "prod"];
    let (status, _sandbox) = run(&[&["status"], &as_json[..]].concat(), None);
    let awaits = status.expect(0).json()["apps"][0]["environments"][0].clone();
    assert_eq!(
        (&awaits["staticApplied"], &awaits["awaitsCdn"]),
        (&json!(true), &json!(true))
    );
    let finish = ["promote", "--app", "site", "--to", "1.0.1"];
    let rehearsal = [&finish[..], &as_json, &["--dry-run"]].concat();
    let (rehearsed, _sandbox) = run(&rehearsal, Some(&tells));
    assert_eq!(
        rehearsed.expect(0).json()["apps"][0]["static"]["cdnPaths"],
        6
    );
    let (finished, _sandbox) = run(
        &[&finish[..], &["--environment", "prod"]].concat(),
        Some(&tells),
    );
    let finished = finished.expect(0).stdout;
    assert!(
        finished.contains("the CDN was told of 6 paths"),
        "{finished}"
    );
    let changed = "/site/prod/\n/site/prod/app.wasm.gz\n/site/prod/index.html\n/site/prod/note.txt\n/site/prod/note.txt.br\n/site/prod/robots.txt\n";
    assert_eq!(told("stdin"), changed);
    assert_eq!(static_json(&world, "prod")["version"], "1.0.1");

    // The log says that a command is needed, and not which: without it nothing is written.
    let entry = tip(&world, "prod");
    assert_eq!(entry["static"]["cdn"], "command");
    assert!(!entry.to_string().contains("stdin"), "{entry}");
    let back = ["rollback", "--environment", "prod"];
    let (refused, _sandbox) = run(&back, None);
    refusal(&refused.expect(2), "static::no_cdn");
    assert_eq!(tip(&world, "prod"), entry);

    // The command that `status` gives to copy is one for a shell, and says what it lacks.
    let (status, _sandbox) = run(
        &["status", "--format", "json", "--environment", "prod"],
        None,
    );
    let status = status.expect(0).json();
    let copied = &status["apps"][0]["environments"][0]["rollbackCommand"];
    let pasted = format!("{} --dry-run", copied.as_str().expect("a command"));
    let shell = Sandbox::new();
    let paste = |tells: Option<&str>| {
        let programs = Path::new(env!("CARGO_BIN_EXE_pkgs-action"));
        let path = format!(
            "{}:/usr/bin:/bin",
            programs.parent().expect("a directory").display()
        );
        let mut command = shell.command("sh", &shell.home());
        command.args(["-c", &pasted]).env("PATH", path);
        let output = command
            .envs(tells.map(|line| ("PKGS_CDN_COMMAND", line)))
            .output();
        let output = output.expect("a shell");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (done, said) = paste(None);
    assert!(
        !done && said.contains("set it to the command that tells the CDN"),
        "{said}"
    );
    let (done, said) = paste(Some("cat > /dev/null"));
    assert!(
        done && said.contains("would rollback 1.0.1 → 1.0.0"),
        "{said}"
    );

    let (_, told_before) = (
        run(&back, Some("cat > /dev/null")).0.expect(0),
        told("stdin"),
    );
    assert_eq!(told_before, changed, "another command was told");

    // What it needs and is not set is said before anything is written.
    let (_sandbox, invocation) = operator(
        &world,
        &[
            "promote",
            "--environment",
            "prod",
            "--to",
            "1.0.1",
            "--force",
        ],
    );
    let unset = invocation
        .env("PKGS_CDN_COMMAND", "true")
        .env("PKGS_CDN_ENVIRONMENT", "CLOUDFLARE_API_TOKEN");
    refusal(&unset.run().expect(2), "static::cdn_environment");
    for (name, code) in [
        ("NPM_TOKEN", "settings::cdn_environment"),
        ("GITHUB_TOKEN", "settings::cdn_environment"),
        ("PKGS_NPM_TOKEN", "settings::cdn_environment"),
        ("CLOUDFLARE_API_TOKEN=x", "settings::cdn_environment"),
    ] {
        let (_sandbox, invocation) = operator(&world, &back);
        let run = invocation.env("PKGS_CDN_ENVIRONMENT", name).run().expect(2);
        refusal(&run, code);
        assert!(
            run.stderr.contains("PKGS_CDN_ENVIRONMENT"),
            "{}",
            run.stderr
        );
    }
    for (name, value, code) in [
        (
            "PKGS_CDN_DISTRIBUTION",
            "e2example1",
            "settings::cdn_distribution",
        ),
        (
            "PKGS_CDN_DISTRIBUTION",
            "prod=https://x",
            "settings::cdn_distribution",
        ),
        ("PKGS_STATIC_URL", "ftp://static.example", "settings::url"),
        (
            "PKGS_STATIC_URL",
            "https://u:p@static.example",
            "settings::url",
        ),
        (
            "PKGS_STATIC_URL",
            "https://static.example/{version}",
            "static::placeholder",
        ),
    ] {
        let (_sandbox, invocation) = operator(&world, &back);
        let run = invocation.env(name, value).run().expect(2);
        refusal(&run, code);
        assert!(run.stderr.contains(name), "{}", run.stderr);
    }
    // Nor does the repository say what is run.
    world.monorepo.edit_json("pkgs.json", |config| {
        config["cdnCommand"] = json!("touch ran");
    });
    let run = world.run(&["plan"]).expect(2);
    assert!(
        run.stderr.contains("cdnCommand in pkgs.json"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_release_that_could_not_tell_the_cdn_decides_nothing() {
    let world = World::local(site());
    let with_command = |world: &World, arguments: &[&str], command: Option<&str>| {
        let invocation = world.binary(arguments);
        match command {
            Some(command) => invocation.env("PKGS_CDN_COMMAND", command).run(),
            None => invocation.run(),
        }
    };
    let _ = with_command(&world, &["release"], Some("cat > /dev/null")).expect(0);
    assert_eq!(tip(&world, "sit")["static"]["cdn"], "command");
    let world = next(world, 2);
    let (tags, before) = (world.origin_git(&["tag", "--list"]), tip(&world, "sit"));
    let refused = with_command(&world, &["release"], None).expect(2);
    refusal(&refused, "static::no_cdn");
    assert!(
        refused.stderr.contains("nothing was decided"),
        "{}",
        refused.stderr
    );
    assert_eq!(world.origin_git(&["tag", "--list"]), tags);
    assert_eq!(tip(&world, "sit"), before);
    let doctor = with_command(&world, &["doctor"], None).expect(2);
    assert!(
        doctor.stdout.contains("[static::no_cdn]"),
        "{}",
        doctor.stdout
    );
    // What is held is not activated, so nobody has to be told.
    let _ = world.operate(&["hold", "--environment", "sit"]).expect(0);
    let _ = with_command(&world, &["release"], None).expect(0);
    assert_ne!(world.origin_git(&["tag", "--list"]), tags);
    // A word that there is no CDN any more counts, too.
    let _ = world.operate(&["unhold", "--environment", "sit"]).expect(0);
    let world = next(world, 3);
    let _ = with_command(&world, &["release"], Some("none")).expect(0);
    assert_eq!(tip(&world, "sit")["target"]["version"], "1.0.2");
}

#[test]
fn a_line_for_a_cdn_of_an_environment_that_nobody_knows_is_told() {
    let world = released(0);
    let promote = |lines: &str| {
        let arguments = ["promote", "--environment", "sit", "--to", "1.0.0"];
        let (_sandbox, invocation) = operator(&world, &arguments);
        let run = invocation.env("PKGS_CDN_DISTRIBUTION", lines).run();
        run.expect(0).stderr
    };
    let said = "`cdn-distribution` names siit, an environment that neither";
    let stderr = promote("siit=E2EXAMPLE1");
    assert!(stderr.contains(said), "{stderr}");
    let stderr = promote("prod=E2EXAMPLE1, sit=none");
    assert!(!stderr.contains("cdn-distribution"), "{stderr}");
}

/// Also where nothing is set but the board: the log knows where files are served from.
#[test]
fn a_board_among_files_that_are_served_is_not_written() {
    let world = released(1);
    let promote = ["promote", "--environment", "prod", "--to", "1.0.1"];
    let (_sandbox, promote) = operator(&world, &promote);
    let _ = promote.run().expect(0);
    let root = world.outside.path().join("static");
    let root = format!("file://{}", root.display());
    let board = format!("{root}/prod");
    let hold = ["hold", "--environment", "prod", "--reason", "loses orders"];
    let (_sandbox, hold) = operator(&world, &hold);
    let run = hold.env("PKGS_BOARD", &board).run().expect(0);
    assert!(
        run.stderr
            .contains("among the static files of site in prod"),
        "{}",
        run.stderr
    );
    let page = ["status", "--format", "html"];
    let (_sandbox, page) = operator(&world, &page);
    refusal(
        &page.env("PKGS_BOARD", &board).run().expect(2),
        "board::in_static",
    );
    let served = files(&world.outside.path().join("static/prod"));
    let served: Vec<Vec<u8>> = served.into_values().collect();
    let tells = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("loses orders");
    assert!(!served.is_empty() && !served.iter().any(tells));

    let back = [
        "promote",
        "--environment",
        "prod",
        "--to",
        "1.0.0",
        "--force",
        "--dry-run",
    ];
    let (_sandbox, back) = operator(&world, &back);
    let told = back.run().expect(0).stdout;
    assert!(
        told.contains("1.0.0 is older than 1.0.1, which is live: that is back"),
        "{told}"
    );
}

/// Reads by key below a store or a static root.
type Read = Arc<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

fn in_directory(directory: PathBuf) -> Read {
    Arc::new(move |key| std::fs::read(directory.join(key)).ok())
}

fn in_bucket(url: String) -> Read {
    Arc::new(move |key| {
        let url = format!("{url}/{}", key.replace(' ', "%20"));
        let answer = http::send("GET", &url, &[moto::SIGNED], b"").expect("an answer");
        (answer.status == 200).then_some(answer.body)
    })
}

/// One look of a reader: from the pointer to the manifest, to the list of static files and their bytes; and from the page to what it
/// names. The answer is what was wrong, if anything was.
fn look(store: &Read, root: &Read, environment: &str) -> Result<(), String> {
    let place = format!("v1/apps/site/environments/{environment}");
    let parse = |what: &str, bytes: Option<Vec<u8>>| -> Result<Value, String> {
        let bytes = bytes.ok_or_else(|| format!("{what} is missing"))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{what}: {error}"))
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pointer = parse("current.json", store(&format!("{place}/current.json")))?;
    let current = &pointer["state"]["current"];
    let manifest = format!(
        "v1/apps/site/{}/{}.json",
        text(&current["version"]),
        text(&current["variant"])
    );
    let manifest = parse(&manifest, store(&manifest))?;
    let blob = |digest: &Value| {
        let digest = text(digest);
        let hex = digest.trim_start_matches("sha256:").to_owned();
        let bytes = store(&format!("v1/blobs/sha256/{}/{hex}", &hex[..2]));
        match bytes {
            Some(bytes) if Digest::of(&bytes).as_str() == digest => Ok(bytes),
            Some(_) => Err(format!("the blob {digest} has other bytes")),
            None => Err(format!("the blob {digest} is missing")),
        }
    };
    let set: Value = serde_json::from_slice(&blob(&manifest["static"]["digest"])?)
        .map_err(|error| error.to_string())?;
    for file in set["files"].as_array().into_iter().flatten() {
        blob(&file["digest"])?;
        let path = text(&file["path"]);
        if file["class"] != "immutable" {
            root(&path).ok_or_else(|| format!("{path} answers 404"))?;
        }
    }
    let page = root("index.html").ok_or("the page answers 404")?;
    let page = String::from_utf8_lossy(&page).into_owned();
    let script = page
        .split('"')
        .nth(1)
        .ok_or_else(|| format!("no page: {page}"))?;
    let bytes =
        root(script).ok_or_else(|| format!("the page names {script}, which answers 404"))?;
    let digest = Digest::of(&bytes);
    if !script.contains(&digest.hex()[..10]) {
        return Err(format!("{script} has the bytes of another"));
    }
    Ok(())
}

/// Looks again and again while `work` goes on; how often, and everything that was wrong.
fn while_reading(
    looks: &(dyn Fn() -> Result<(), String> + Sync),
    work: impl FnOnce(),
) -> (usize, Vec<String>) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut count, mut wrong) = (0, Vec::new());
            while !done.load(Ordering::SeqCst) {
                count += 1;
                wrong.extend(looks().err());
            }
            (count, wrong)
        });
        work();
        done.store(true, Ordering::SeqCst);
        reader.join().expect("a reader")
    })
}

/// How often pointers are moved below a reader, unless `PKGS_TEST_MOVES` says another number.
fn moves(otherwise: usize) -> usize {
    let said = std::env::var_os("PKGS_TEST_MOVES");
    said.and_then(|said| said.to_str()?.parse().ok())
        .unwrap_or(otherwise)
}

/// Tells a figure to whoever runs a test by hand.
#[expect(clippy::print_stderr, reason = "a test's output is for people")]
fn figure(text: &str) {
    eprintln!("{text}");
}

/// Forward by `promote`, back by `rollback`.
fn forward_and_back(world: &World, count: usize, dress: impl Fn(Invocation) -> Invocation) {
    for number in 0..count {
        let arguments: &[&str] = if number % 2 == 0 {
            &["rollback", "--environment", "sit"]
        } else {
            &[
                "promote",
                "--environment",
                "sit",
                "--to",
                "1.0.1",
                "--force",
            ]
        };
        let (_sandbox, invocation) = operator(world, arguments);
        let _ = dress(invocation).run().expect(0);
    }
}

#[test]
fn a_reader_never_meets_an_error_while_pointers_move() {
    let world = released(1);
    let store = in_directory(store(&world));
    let root = in_directory(world.outside.path().join("static/sit"));
    let count = moves(60);
    let (looks, wrong) = while_reading(&|| look(&store, &root, "sit"), || {
        forward_and_back(&world, count, |invocation| invocation);
    });
    assert_eq!(wrong, Vec::<String>::new(), "after {looks} looks");
    assert!(looks > count, "{looks} looks at {count} moves");
    figure(&format!("{count} moves, {looks} looks, no error"));
}

/// A world whose store and static root are one bucket of the S3 server each, after two releases that are live nowhere but in `sit`.
fn in_buckets(name: &str, last: u32) -> (World, impl Fn(Invocation, &str) -> Invocation + use<>) {
    let moto = Moto::shared();
    moto.bucket(name);
    moto.bucket(&format!("{name}-static"));
    let (store, root) = (
        format!("s3://{name}/team"),
        format!("s3://{name}-static/{{environment}}"),
    );
    let dress = move |invocation: Invocation, endpoint: &str| {
        invocation
            .envs(Moto::shared().environment())
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("PKGS_STORE", &store)
            .env("PKGS_STATIC", &root)
    };
    let mut world = World::local(site());
    for version in 1..=last + 1 {
        if version > 1 {
            world = next(world, version);
        }
        let run = dress(world.binary(&["release"]), &moto.endpoint).run();
        let _ = run.expect(0);
    }
    (world, dress)
}

#[test]
fn a_reader_of_buckets_never_meets_an_error_while_pointers_move() {
    let moto = Moto::shared();
    let (world, dress) = in_buckets("read-while-moving", 1);
    let store = in_bucket(format!("{}/read-while-moving/team", moto.endpoint));
    let root = in_bucket(format!("{}/read-while-moving-static/sit", moto.endpoint));
    let (looks, wrong) = while_reading(&|| look(&store, &root, "sit"), || {
        forward_and_back(&world, moves(12).min(100), |invocation| {
            dress(invocation, &moto.endpoint)
        });
    });
    assert_eq!(wrong, Vec::<String>::new(), "after {looks} looks");
    assert!(looks > 2, "{looks} looks");
}

/// The files of the site that keep their names.
const NAMED: [&str; 6] = [
    "a%20b.txt",
    "app.wasm.gz",
    "index.html",
    "note.txt",
    "note.txt.br",
    "robots.txt",
];

/// What a bucket serves of `prod`, by path.
fn served(bucket: &str) -> BTreeMap<String, Option<Vec<u8>>> {
    let read = in_bucket(format!("{}/{bucket}/prod", Moto::shared().endpoint));
    NAMED.map(|path| (path.to_owned(), read(path))).into()
}

/// What is served after a promote of each version that nobody disturbs.
fn undisturbed(
    bucket: &str,
    promote: &dyn Fn(&str) -> Run,
) -> BTreeMap<String, BTreeMap<String, Option<Vec<u8>>>> {
    let each = ["1.0.0", "1.0.1", "1.0.2"].map(|version| {
        let _ = promote(version).expect(0);
        (version.to_owned(), served(bucket))
    });
    each.into()
}

fn live(world: &World, dress: &dyn Fn(Invocation) -> Invocation) -> String {
    let (_sandbox, invocation) = operator(
        world,
        &["status", "--environment", "prod", "--format", "json"],
    );
    let status = dress(invocation).run().expect(0).json();
    let current = &status["apps"][0]["environments"][0]["current"];
    current.as_str().unwrap_or_default().to_owned()
}

/// One of two racing promotes is killed at each of its requests in turn (at every fifth, where `PKGS_TEST_MOVES` is not set). The other ends well all the same; and what is served afterwards, once
/// somebody finished what the dead one began, is what is live.
#[test]
fn of_two_racing_promotes_one_dies_anywhere_and_what_is_live_is_served() {
    let moto = Moto::shared();
    let (world, dress) = in_buckets("race-and-die", 2);
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &moto.endpoint);
    let directly = |invocation| dress(invocation, &moto.endpoint);
    let promote = |version: &str, endpoint: &str| {
        let arguments = [
            "promote",
            "--environment",
            "prod",
            "--force",
            "--to",
            version,
        ];
        let (sandbox, invocation) = operator(&world, &arguments);
        (dress(invocation, endpoint), sandbox)
    };
    let alone = |version: &str| {
        let (invocation, _sandbox) = promote(version, &moto.endpoint);
        invocation.run()
    };
    let expected = undisturbed("race-and-die-static", &alone);
    let stride = if moves(0) > 0 { 1 } else { 5 };
    let (mut request, mut unrepaired) = (0, 0);
    loop {
        request += stride;
        let _ = alone("1.0.0").expect(0);
        proxy.reset();
        let kill = [Fault::KillBefore, Fault::KillAfter][request % 2];
        proxy.at(request, kill);
        let (victim, _one) = promote("1.0.1", &endpoint);
        let (other, _two) = promote("1.0.2", &moto.endpoint);
        let (victim, other) = (victim.start(), other.start());
        proxy.victim(victim.pid());
        let (victim, other) = (victim.wait(), other.wait());
        let context = format!(
            "request {request}\n{}\n{}\n{proxy:?}",
            victim.stderr, other.stderr
        );
        assert_eq!(other.code, 0, "{context}");
        let version = live(&world, &directly);
        let is_served = served("race-and-die-static") == expected[&version];
        if !proxy.struck() {
            assert_eq!(victim.code, 0, "{context}");
            assert!(is_served, "{version} is live\n{context}");
            break;
        }
        unrepaired += usize::from(!is_served);
        let _ = alone(&version).expect(0);
        assert_eq!(live(&world, &directly), version, "{context}");
        assert_eq!(
            served("race-and-die-static"),
            expected[&version],
            "{version} is live\n{context}"
        );
    }
    assert!(request > 10, "{request} requests");
    figure(&format!(
        "{request} requests; after {unrepaired} deaths the next run had files to mend"
    ));
}

/// A promote stops right before it writes a file, and wakes up when another one, which began later, has long ended: it finds that, and leaves the
/// files of the later one.
#[test]
fn a_writer_that_wakes_up_late_leaves_the_files_of_what_is_live() {
    let moto = Moto::shared();
    let (world, dress) = in_buckets("woken-late", 2);
    let promote = |arguments: &[&str], endpoint: &str| {
        let (_sandbox, invocation) = operator(&world, arguments);
        dress(invocation, endpoint).run()
    };
    let alone = |version: &str| {
        let arguments = [
            "promote",
            "--environment",
            "prod",
            "--force",
            "--to",
            version,
        ];
        promote(&arguments, &moto.endpoint)
    };
    let expected = undisturbed("woken-late-static", &alone);
    // The later one lays out other bytes, or those that the sleeper saw before it slept.
    for later in [
        &[
            "promote",
            "--environment",
            "prod",
            "--force",
            "--to",
            "1.0.2",
        ][..],
        &["rollback", "--environment", "prod", "--to", "1.0.0"],
    ] {
        let _ = alone("1.0.0").expect(0);
        let proxy = FaultProxy::new();
        let endpoint = proxy.before("s3", &moto.endpoint);
        let slept = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (ask, asked) = std::sync::mpsc::channel::<()>();
            let (done, finished) = std::sync::mpsc::channel::<()>();
            let promote = &promote;
            scope.spawn(move || {
                if asked.recv().is_ok() {
                    let _ = promote(later, &moto.endpoint).expect(0);
                    let _ = done.send(());
                }
            });
            let once = Arc::clone(&slept);
            proxy.when(move |seen| {
                let page = seen.method == "PUT" && seen.target.contains("/prod/index.html");
                if page && !once.swap(true, Ordering::SeqCst) {
                    let _ = ask.send(());
                    let _ = finished.recv();
                }
                None
            });
            let sleeper = [
                "promote",
                "--environment",
                "prod",
                "--force",
                "--to",
                "1.0.1",
            ];
            let _ = promote(&sleeper, &endpoint).expect(0);
            proxy.reset();
        });
        assert!(slept.load(Ordering::SeqCst));
        let version = live(&world, &|invocation| dress(invocation, &moto.endpoint));
        assert_ne!(version, "1.0.1");
        assert_eq!(
            served("woken-late-static"),
            expected[&version],
            "{version} is live"
        );
    }
}
