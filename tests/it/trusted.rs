//! Stories of trusted publishing and of versions that wait for approval, against a registry that knows both.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::http;
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Invocation, Run, Sandbox};
use crate::support::servers::installed;
use crate::support::trusted::{RIGHT_TO_ASK, Seen, Trusting};
use crate::support::world::World;

const NAMES: [&str; 3] = ["core", "@acme/text", "@acme/cli"];
const BREAKING: &[(&str, &str)] = &[("packages/core/src/index.js", "exports.b = 2;\n")];

fn with_repository(monorepo: Monorepo, directory: &str) -> Monorepo {
    monorepo.edit(&format!("packages/{directory}/package.json"), |manifest| {
        manifest["repository"] = "git+https://github.com/acme/monorepo.git".into();
    })
}

/// Three libraries, each needing the one before it, that name their repository and write down what their scripts see.
fn three() -> Monorepo {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .package("@acme/cli", "1.0.0")
        .depends("@acme/text", "core", "^1.0.0")
        .depends("@acme/cli", "core", "^1.0.0")
        .depends("@acme/cli", "@acme/text", "^1.0.0")
        .file(".gitignore", "node_modules/\nseen.json\n");
    let monorepo = ["core", "text", "cli"]
        .into_iter()
        .fold(monorepo, with_repository);
    let script =
        "node -e \"require('fs').writeFileSync('seen.json', JSON.stringify(process.env))\"";
    let monorepo = monorepo.edit("packages/core/package.json", |manifest| {
        manifest["scripts"] = json!({"prepack": script});
    });
    monorepo
        .config(&json!({"mode": "diff"}))
        .commit("feat: begin", &[])
}

/// A world in which the three are released as 1.0.0, with a token, and a registry that trusts the workflow with all of them.
fn released(bucket: &str) -> (World, Trusting) {
    let world = World::served(three(), bucket);
    let registry = Trusting::before(world.outside.registry());
    let run = by_token(&world, &registry, &["release"]).run().expect(0);
    assert_eq!(run.outputs["outcome"], "released");
    for name in NAMES {
        registry.trust(name, "release.yml");
    }
    registry.forget();
    (world, registry)
}

fn by_token(world: &World, registry: &Trusting, arguments: &[&str]) -> Invocation {
    world
        .binary(arguments)
        .env("PKGS_STORE", "none")
        .env("PKGS_STATIC", "none")
        .env("PKGS_REGISTRY", registry.url())
}

/// A run of a job that has no token, but an identity.
fn by_identity(world: &World, registry: &Trusting, arguments: &[&str]) -> Invocation {
    by_token(world, registry, arguments).envs(registry.job())
}

fn writes(registry: &Trusting) -> Vec<Seen> {
    let seen = registry.seen().into_iter();
    seen.filter(|seen| seen.method == "PUT" || seen.target.starts_with("/-/stage/package/"))
        .collect()
}

fn exchanges(registry: &Trusting) -> Vec<String> {
    let seen = registry.seen().into_iter();
    seen.filter_map(|seen| {
        let name = seen
            .target
            .strip_prefix("/-/npm/v1/oidc/token/exchange/package/")?;
        Some(name.replace("%2f", "/"))
    })
    .collect()
}

/// Nothing of what a registry or platform gave stands anywhere: in what the run said, in files of the repository, its remote, its store.
fn keeps_secrets(world: &World, registry: &Trusting, run: &Run) {
    let secrets = registry.secrets();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let places = [world.monorepo.origin_directory(), world.outside.path()];
    let sandbox = world.monorepo.sandbox();
    sandbox.keeps_secret(&secrets, run, &places, &[]);
    for text in [&run.summary, &format!("{:?}", run.outputs)] {
        assert!(
            secrets.iter().all(|secret| !text.contains(secret)),
            "{text}"
        );
    }
}

fn versions(world: &World) -> BTreeMap<&'static str, Vec<String>> {
    let registry = world.outside.registry();
    let versions = NAMES.map(|name| (name, registry.versions(name)));
    versions.into_iter().collect()
}

#[test]
fn three_packages_are_published_without_any_token_each_with_its_own() {
    let (world, registry) = released("trusted");
    let world = world.develop("feat(core)!: begin anew", BREAKING);
    let run = by_identity(&world, &registry, &["release"])
        .env("NPM_CONFIG_LOGLEVEL", "silly")
        .run()
        .expect(0);
    assert_eq!(run.outputs["outcome"], "released");
    for (name, versions) in versions(&world) {
        assert_eq!(versions.len(), 2, "{name}: {versions:?}");
    }
    // What the job is stands beside what npm expects, before anything is published.
    let told = "repository acme/monorepo, workflow file release.yml, environment none, runner github-hosted";
    assert!(run.stderr.contains(told), "{}", run.stderr);

    // One exchange for each package before the first write, then one right before its own.
    let puts = writes(&registry);
    assert_eq!(puts.len(), 3);
    let order: Vec<String> = registry
        .seen()
        .iter()
        .filter_map(|seen| {
            let name = |text: &str| text.replace("%2f", "/");
            let exchange = "/-/npm/v1/oidc/token/exchange/package/";
            match (seen.method.as_str(), seen.target.strip_prefix(exchange)) {
                ("POST", Some(package)) => Some(format!("exchange {}", name(package))),
                ("PUT", _) => Some(format!("put {}", name(&seen.target[1..]))),
                _ => None,
            }
        })
        .collect();
    let (mut before, after) = (order[..3].to_vec(), &order[3..]);
    before.sort();
    let all = ["exchange @acme/cli", "exchange @acme/text", "exchange core"];
    assert_eq!(before, all);
    let expected = NAMES.map(|name| [format!("exchange {name}"), format!("put {name}")]);
    assert_eq!(after, expected.concat());
    for put in &puts {
        let package = put.target[1..].replace("%2f", "/");
        let token = put.bearer.as_deref().expect("a token");
        assert_eq!(
            registry.package_of(token).as_deref(),
            Some(package.as_str())
        );
    }
    keeps_secrets(&world, &registry, &run);
    let seen = world.monorepo.read("packages/core/seen.json");
    for secret in registry.secrets() {
        assert!(!seen.contains(&secret), "{seen}");
    }
    assert!(!seen.contains("ID_TOKEN"), "{seen}");

    // Once more: nothing is exchanged, for nothing is published.
    registry.forget();
    let again = by_identity(&world, &registry, &["release"]).run().expect(0);
    assert_eq!(again.output("tags"), run.output("tags"));
    assert_eq!(exchanges(&registry), [] as [&str; 0]);
}

#[test]
fn an_identity_that_the_platform_made_for_npm_is_exchanged_as_it_is_and_shown_to_nobody() {
    let (world, registry) = released("given-identity");
    let world = world.develop("fix(core): trim", BREAKING);
    let url = format!("{}identity?audience=npm%3A127.0.0.1", registry.url());
    let right = format!("Bearer {RIGHT_TO_ASK}");
    let issued = http::send("GET", &url, &[("Authorization", &right)], b"").expect("an answer");
    let issued: Value = serde_json::from_slice(&issued.body).expect("JSON");
    let identity = issued["value"].as_str().expect("a token");
    registry.forget();
    let run = by_token(&world, &registry, &["release"])
        .env("PKGS_NPM_TOKEN", "")
        .env("NPM_ID_TOKEN", identity)
        .run()
        .expect(0);
    assert_eq!(run.output("tags"), json!(["core@1.0.1"]));
    let seen = registry.seen();
    assert!(
        seen.iter()
            .all(|seen| !seen.target.starts_with("/identity"))
    );
    assert_eq!(exchanges(&registry), ["core", "core"]);
    keeps_secrets(&world, &registry, &run);
    let script = world.monorepo.read("packages/core/seen.json");
    assert!(
        !script.contains(identity) && !script.contains("ID_TOKEN"),
        "{script}"
    );
}

#[test]
fn a_token_that_is_given_comes_first_and_no_identity_is_asked_for() {
    let (world, registry) = released("trusted-token");
    let world = world.develop("fix(core): trim", BREAKING);
    let run = by_identity(&world, &registry, &["release"])
        .env("PKGS_NPM_TOKEN", registry.token())
        .run()
        .expect(0);
    assert!(
        run.stderr
            .contains("npm: PKGS_NPM_TOKEN is the token of all packages"),
        "{}",
        run.stderr
    );
    let asked = registry.seen().into_iter();
    let asked = asked
        .filter(|seen| seen.target.starts_with("/identity"))
        .count();
    assert_eq!((asked, exchanges(&registry).len()), (0, 0));
    assert!(
        writes(&registry)
            .iter()
            .all(|put| put.bearer.as_deref() == Some(registry.token()))
    );
}

/// A run that is refused before anything is decided.
fn refused(world: &World, registry: &Trusting, run: Run, (exit, code): (i32, &str)) -> Run {
    let pushes = world.pushes();
    let run = run.expect(exit);
    let error = format!("error[{code}]");
    assert!(run.stderr.contains(&error), "{}", run.stderr);
    assert_eq!(run.outputs["released"], "false");
    assert_eq!(world.pushes(), pushes);
    assert!(writes(registry).is_empty());
    keeps_secrets(world, registry, &run);
    run
}

#[test]
fn packages_without_a_trusted_publisher_cost_no_version_and_are_named_at_once_with_the_steps() {
    let (world, registry) = released("untrusted");
    let world = world.develop("feat(core)!: begin anew", BREAKING);
    registry.trust("@acme/text", "publish.yml");
    registry.trust("@acme/cli", "other.yml");
    let run = by_identity(&world, &registry, &["release"]).run();
    let run = refused(&world, &registry, run, (5, "npm::untrusted"));
    let texts = [
        "no trusted publisher of this job lets it publish @acme/cli, @acme/text",
        "OIDC token exchange error - package not found",
        "workflow file release.yml",
        "npm trust github @acme/text --file release.yml --repo acme/monorepo --allow-publish",
        "npm trust github @acme/cli --file release.yml --repo acme/monorepo --allow-publish",
    ];
    for text in texts {
        assert!(run.stderr.contains(text), "{text} in\n{}", run.stderr);
    }
    assert!(run.summary.contains("npm trust github"), "{}", run.summary);

    // The runner, and a manifest that names another repository, are told beside it.
    registry.trust("@acme/text", "release.yml");
    registry.trust("@acme/cli", "release.yml");
    registry.claim("runner_environment", "self-hosted");
    registry.forget();
    let run = by_identity(&world, &registry, &["release"]).run();
    let _ = refused(&world, &registry, run, (5, "npm::self_hosted"));
    registry.claim("runner_environment", "github-hosted");
    registry.forget();
    let other = |manifest: &str| manifest.replace("acme/monorepo", "Acme/monorepo");
    let manifest = other(&world.monorepo.read("packages/core/package.json"));
    let files = [("packages/core/package.json", manifest.as_str())];
    let world = world.develop("chore: capital letters", &files);
    let run = by_identity(&world, &registry, &["release"]).run();
    let run = refused(&world, &registry, run, (3, "npm::repository"));
    assert!(
        run.stderr.contains("packages/core/package.json"),
        "{}",
        run.stderr
    );

    // A platform that refuses, and a registry that has no time.
    registry.refuse_exchanges(Some(503));
    registry.forget();
    let run = by_identity(&world, &registry, &["release"]).run();
    let _ = refused(&world, &registry, run, (75, "identity::unanswered"));
    registry.refuse_exchanges(None);
    registry.forget();
    let run = by_identity(&world, &registry, &["release"])
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "another0right")
        .run();
    let _ = refused(&world, &registry, run, (5, "identity::refused"));
    // A job without `id-token: write`.
    let run = by_token(&world, &registry, &["release"])
        .env("PKGS_NPM_TOKEN", "")
        .run();
    let run = refused(&world, &registry, run, (2, "npm::no_credential"));
    assert!(run.stderr.contains("id-token: write"), "{}", run.stderr);
}

#[test]
fn a_new_name_is_refused_left_out_or_published_once_with_a_token() {
    let (world, registry) = released("new-name");
    world.follow();
    let monorepo = world.monorepo;
    let monorepo = with_repository(
        monorepo
            .package("@acme/fresh", "0.1.0")
            .package("@acme/user", "0.1.0")
            .depends("@acme/user", "@acme/fresh", "^0.1.0"),
        "fresh",
    );
    let monorepo = with_repository(monorepo, "user");
    let world = World {
        monorepo,
        outside: world.outside,
    };
    let world = world.develop("feat(core)!: begin anew", BREAKING);
    let released = |policy: &str| {
        registry.forget();
        by_identity(&world, &registry, &["release"])
            .env("PKGS_FIRST_PUBLISH", policy)
            .run()
    };
    let run = released("allow");
    let run = refused(&world, &registry, run, (2, "npm::new_name"));
    let texts = [
        "not on the registry yet: @acme/fresh, @acme/user",
        "1. run this release once with npm-token set",
        "npm trust github @acme/fresh --file release.yml --repo acme/monorepo --allow-publish && npm trust github @acme/user",
        "first-publish: skip",
    ];
    for text in texts {
        assert!(run.stderr.contains(text), "{text} in\n{}", run.stderr);
    }
    let run = released("fail");
    let _ = refused(&world, &registry, run, (3, "npm::new_name"));

    // Packages that share a version are not released in part.
    registry.forget();
    let run = by_identity(&world, &registry, &["release"])
        .env("PKGS_FIRST_PUBLISH", "skip")
        .env("PKGS_MODE", "sync")
        .run();
    let run = refused(&world, &registry, run, (2, "npm::new_name"));
    assert!(
        run.stderr.contains("cannot be left out here"),
        "{}",
        run.stderr
    );

    let run = released("skip").expect(0);
    let told =
        "not on the registry yet, so not released, as first-publish says: @acme/fresh, @acme/user";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(run.stdout.contains(told), "{}", run.stdout);
    assert_eq!(writes(&registry).len(), 3);
    assert_eq!(world.outside.registry().packument("@acme/fresh"), None);

    // The way that the refusal tells: once with a token, then trust, then without.
    let files = [("packages/fresh/src/index.js", "exports.b = 2;\n")];
    let world = world.develop("feat(fresh): begin", &files);
    let run = by_token(&world, &registry, &["release"]).run().expect(0);
    assert_eq!(
        run.output("tags"),
        json!(["@acme/fresh@0.1.0", "@acme/user@0.1.0"])
    );
    registry.trust("@acme/fresh", "release.yml");
    registry.trust("@acme/user", "release.yml");
    let files = [("packages/fresh/src/index.js", "exports.c = 3;\n")];
    let world = world.develop("fix(fresh): count", &files);
    let run = by_identity(&world, &registry, &["release"]).run().expect(0);
    assert_eq!(run.output("tags"), json!(["@acme/fresh@0.1.1"]));
}

/// What the doctor found, before the annotations of a run that failed.
fn checkup(run: &Run) -> Value {
    let json = run.stdout.split("::error").next().unwrap_or_default();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
}

#[test]
fn the_doctor_looks_at_every_package_and_writes_nothing() {
    let (world, registry) = released("doctor");
    let world = world.develop("feat(core)!: begin anew", BREAKING);
    let check = |run: &Run, about: &str| {
        let checkup = checkup(run);
        assert_eq!(checkup["schema"], "pkgs.doctor/1");
        let checks = checkup["checks"].as_array().cloned().unwrap_or_default();
        let found = checks.into_iter().find(|check| check["about"] == about);
        found.unwrap_or_else(|| panic!("no check of {about} in {checkup:#}"))
    };
    let doctor = || by_identity(&world, &registry, &["doctor", "--format", "json"]).run();
    let before = (world.pushes(), world.monorepo.git(&["for-each-ref"]));
    let run = doctor().expect(0);
    assert_eq!(checkup(&run)["outcome"], "ok", "{}", run.stdout);
    for name in NAMES {
        assert_eq!(check(&run, name)["state"], "ok");
    }
    assert_eq!(check(&run, "git")["message"], "main may be pushed to");
    assert!(
        run.summary
            .starts_with("## A release has all that it needs"),
        "{}",
        run.summary
    );

    registry.trust("@acme/cli", "other.yml");
    let run = doctor().expect(5);
    assert_eq!(checkup(&run)["outcome"], "failed");
    assert_eq!(check(&run, "@acme/cli")["code"], "npm::untrusted");
    assert_eq!(check(&run, "core")["state"], "ok");
    assert!(
        run.stderr.contains("error[doctor::failed]: 1 of"),
        "{}",
        run.stderr
    );
    keeps_secrets(&world, &registry, &run);
    let text = by_identity(&world, &registry, &["doctor"]).run().expect(5);
    let line = "failed  @acme/cli: no trusted publisher of this job lets it publish @acme/cli [npm::untrusted]\n";
    assert!(text.stdout.contains(line), "{}", text.stdout);
    assert!(
        text.stdout.contains("hint: once, as an owner"),
        "{}",
        text.stdout
    );

    // A token is judged by what the registry says of it.
    let run = by_token(&world, &registry, &["doctor", "--format", "json"])
        .run()
        .expect(0);
    assert_eq!(check(&run, "npm")["state"], "ok");
    let run = by_token(&world, &registry, &["doctor", "--format", "json"])
        .env("PKGS_NPM_TOKEN", "wrong0token")
        .run()
        .expect(5);
    assert_eq!(check(&run, "npm")["code"], "npm::unauthorized");
    let after = (world.pushes(), world.monorepo.git(&["for-each-ref"]));
    assert_eq!(before, after);
    assert!(writes(&registry).is_empty());
}

#[test]
fn staged_versions_wait_for_approval_and_the_next_release_waits_with_them() {
    let (world, registry) = released("staged");
    for name in NAMES {
        registry.trust_to_stage(name, "release.yml");
    }
    let world = world.develop("feat(core)!: begin anew", BREAKING);
    let release = |world: &World, arguments: &[&str]| {
        by_identity(world, &registry, arguments)
            .env("PKGS_STORE", format!("s3://staged/{}", "team"))
            .env("PKGS_NPM_PUBLISH", "stage")
            .run()
    };
    let run = release(&world, &["release"]).expect(0);
    assert_eq!(run.outputs["outcome"], "pending");
    assert_eq!(run.outputs["released"], "false");
    let waiting = registry.waiting();
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    let pending = run.output("pending");
    let names: Vec<&str> = pending
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, NAMES, "in the order in which they may be approved");
    for one in pending.as_array().into_iter().flatten() {
        let [name, version, id] =
            ["name", "version", "stageId"].map(|field| one[field].as_str().expect("text"));
        assert_eq!(waiting[&format!("{name}@{version}")], id);
        assert_eq!(one["approve"], format!("npm stage approve {id}"));
        assert!(
            run.stdout.contains(&format!("npm stage approve {id}")),
            "{}",
            run.stdout
        );
        assert!(
            run.summary.contains(&format!("npm stage approve {id}")),
            "{}",
            run.summary
        );
    }
    assert!(
        run.summary.contains(" waits for approval"),
        "{}",
        run.summary
    );
    for package in run.output("packages").as_array().into_iter().flatten() {
        assert_eq!(
            (&package["published"], &package["url"]),
            (&json!(false), &Value::Null)
        );
    }
    // It is decided, and nothing is recorded.
    let commit = world.pushes().last().cloned().expect("a push");
    assert!(
        commit
            .iter()
            .any(|reference| reference == "refs/heads/main"),
        "{commit:?}"
    );
    let recorded = || {
        let keys: Vec<String> = world.outside.bucket().into_keys().collect();
        keys.into_iter()
            .filter(|key| key.contains("/releases/"))
            .count()
    };
    assert_eq!(recorded(), 0);
    keeps_secrets(&world, &registry, &run);
    for (name, versions) in versions(&world) {
        assert_eq!(versions.len(), 1, "{name}: {versions:?}");
    }

    // The same run again waits, and stages nothing twice.
    let again = release(&world, &["release"]).expect(0);
    assert_eq!(again.outputs["outcome"], "pending");
    assert_eq!(registry.waiting(), waiting);
    // With a token the ids are known again.
    let told = by_token(&world, &registry, &["release"])
        .env("PKGS_STORE", "s3://staged/team")
        .env("PKGS_NPM_PUBLISH", "stage")
        .run()
        .expect(0);
    assert_eq!(told.output("pending"), pending);

    // So does the next release, also while a part is approved.
    registry.approve(&waiting["core@2.0.0"]);
    let files = [("packages/cli/src/index.js", "exports.d = 4;\n")];
    let world = world.develop("fix(cli): say more", &files);
    let pushes = world.pushes().len();
    let next = release(&world, &["release"]).expect(0);
    assert_eq!(next.outputs["outcome"], "pending");
    assert_eq!(next.output("pending").as_array().map(Vec::len), Some(2));
    assert_eq!(world.pushes().len(), pushes);

    // Approved, it is recorded; and what came after it is staged in turn.
    for (version, id) in registry.waiting() {
        assert!(waiting.contains_key(&version));
        registry.approve(&id);
    }
    let run = release(&world, &["release"]).expect(0);
    assert_eq!(run.outputs["outcome"], "pending");
    let keys: Vec<String> = world.outside.bucket().into_keys().collect();
    assert_eq!(
        keys.iter().filter(|key| key.contains("/releases/")).count(),
        1
    );
    let open = registry.waiting();
    assert_eq!(open.len(), 1, "{open:?}");
    for id in open.values() {
        registry.approve(id);
    }
    let run = release(&world, &["release"]).expect(0);
    assert_eq!(run.outputs["outcome"], "released");
    assert_eq!(run.output("pending"), json!([]));
    let keys: Vec<String> = world.outside.bucket().into_keys().collect();
    assert_eq!(
        keys.iter().filter(|key| key.contains("/releases/")).count(),
        2
    );
}

#[test]
fn a_stage_that_is_not_answered_is_not_made_twice_and_one_that_is_rejected_is_given_up() {
    let (world, registry) = released("rejected");
    let world = world.develop("fix(core): trim", BREAKING);
    let proxy = FaultProxy::new();
    let url = proxy.before("npm", &registry.url());
    let first = AtomicBool::new(true);
    proxy.when(move |seen| {
        let is_stage = seen.target.starts_with("/-/stage/package/");
        (is_stage && first.swap(false, Ordering::SeqCst)).then_some(Fault::AnswerAfter(503))
    });
    let staged = |arguments: &[&str]| {
        by_identity(&world, &registry, arguments)
            .env("PKGS_NPM_PUBLISH", "stage")
            .env("PKGS_REGISTRY", &url)
            .run()
            .expect(0)
    };
    let run = staged(&["release"]);
    assert_eq!(run.outputs["outcome"], "pending");
    assert!(proxy.struck(), "{proxy:?}");
    let pending = run.output("pending");
    // The answer that held the id is lost, and the job's identity may not ask for it.
    assert_eq!(pending[0]["stageId"], Value::Null);
    assert_eq!(pending[0]["approve"], "npm stage list core");
    let waiting = registry.waiting();
    assert_eq!(waiting.len(), 1, "{waiting:?}");

    // Who rejects it gives the release up; else the next run stages it once more.
    registry.reject(&waiting["core@1.0.1"]);
    proxy.reset();
    let run = staged(&["release"]);
    assert_eq!(run.outputs["outcome"], "pending");
    let waiting = registry.waiting();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    registry.reject(&waiting["core@1.0.1"]);
    let _ = by_identity(&world, &registry, &["abandon"]).run().expect(0);
    let run = staged(&["release"]);
    assert_eq!(run.output("tags"), json!(["core@1.0.2"]));
    assert_eq!(
        registry.waiting().keys().collect::<Vec<_>>(),
        ["core@1.0.2"]
    );
}

#[test]
fn a_snapshot_is_published_by_identity_and_never_staged() {
    let (world, registry) = released("trusted-snapshot");
    let world = world.develop("fix(core): trim", BREAKING);
    let snapshot = ["release", "--snapshot", "pr-7"];
    let run = by_identity(&world, &registry, &snapshot).run().expect(0);
    assert_eq!(run.outputs["outcome"], "released");
    let mut exchanged = exchanges(&registry);
    exchanged.sort();
    // Whoever needs exactly the snapshot of another is a part of it.
    let twice = ["@acme/cli", "@acme/text", "core"].map(|name| [name, name]);
    assert_eq!(exchanged, twice.concat());
    let packument = world.outside.registry().packument("core").expect("there");
    let version = packument["dist-tags"]["pr-7"].as_str().expect("a version");
    assert!(version.starts_with("0.0.0-pr-7-"), "{version}");
    let run = by_identity(&world, &registry, &snapshot)
        .env("PKGS_NPM_PUBLISH", "stage")
        .run()
        .expect(2);
    assert!(
        run.stderr.contains("error[publish::snapshot]"),
        "{}",
        run.stderr
    );
}

#[test]
fn bytes_that_somebody_else_staged_are_not_waited_for() {
    let (world, registry) = released("other-staged");
    let world = world.develop("fix(core): trim", BREAKING);
    registry.stage_other_bytes("core", "1.0.1");
    let run = by_token(&world, &registry, &["release"])
        .env("PKGS_STORE", "s3://other-staged/team")
        .env("PKGS_NPM_PUBLISH", "stage")
        .run()
        .expect(6);
    assert!(
        run.stderr.contains("error[publish::other_staged]"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("npm stage reject ffffffff-"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_is_decided_is_begun_only_where_all_of_it_can_be_published() {
    let (world, registry) = released("decided");
    let world = world.develop("feat(core)!: begin anew", BREAKING);
    let run = by_identity(&world, &registry, &["version"]).run().expect(0);
    assert_eq!(run.outputs["outcome"], "decided");
    registry.trust("@acme/cli", "other.yml");
    registry.forget();
    for command in ["publish", "release"] {
        let run = by_identity(&world, &registry, &[command]).run().expect(5);
        assert!(
            run.stderr.contains("error[npm::untrusted]"),
            "{}",
            run.stderr
        );
        assert!(writes(&registry).is_empty());
    }
    registry.trust("@acme/cli", "release.yml");
    let run = by_identity(&world, &registry, &["publish"]).run().expect(0);
    assert_eq!(run.outputs["outcome"], "released");
    assert_eq!(writes(&registry).len(), 3);
}

#[test]
fn what_may_only_be_staged_is_staged_by_the_next_run_without_another_version() {
    let (world, registry) = released("stage-only");
    registry.trust_to_stage("core", "release.yml");
    let world = world.develop("fix(core): trim", BREAKING);
    let run = by_identity(&world, &registry, &["release"]).run().expect(5);
    assert!(
        run.stderr.contains("error[npm::untrusted]"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("set npm-publish to stage"),
        "{}",
        run.stderr
    );
    let tags = world.origin_git(&["tag", "--list"]);
    let staged = || {
        by_identity(&world, &registry, &["publish"])
            .env("PKGS_NPM_PUBLISH", "stage")
            .run()
            .expect(0)
    };
    let run = staged();
    assert_eq!(run.outputs["outcome"], "pending");
    let waiting = registry.waiting();
    assert_eq!(waiting.keys().collect::<Vec<_>>(), ["core@1.0.1"]);
    assert_eq!(world.origin_git(&["tag", "--list"]), tags);
    // Published directly, it cannot be while it waits.
    registry.trust("core", "release.yml");
    let run = by_identity(&world, &registry, &["publish"])
        .run()
        .expect(75);
    assert!(run.stderr.contains("error[npm::waiting]"), "{}", run.stderr);
    registry.approve(&waiting["core@1.0.1"]);
    assert_eq!(staged().outputs["outcome"], "released");
}

#[test]
fn with_npm_publish_none_libraries_are_versioned_and_tagged_only() {
    let (world, registry) = released("no-npm");
    let world = world.develop("fix(core): trim", BREAKING);
    let none = |arguments: &[&str]| {
        by_token(&world, &registry, arguments)
            .env("PKGS_NPM_TOKEN", "")
            .env("PKGS_NPM_PUBLISH", "none")
            .run()
    };
    for _ in 0..2 {
        let run = none(&["release"]).expect(0);
        assert_eq!(run.outputs["outcome"], "released");
        assert_eq!(run.output("tags"), json!(["core@1.0.1"]));
        assert_eq!(run.output("packages")[0]["published"], false);
    }
    assert!(writes(&registry).is_empty());
    let run = none(&["publish"]).expect(2);
    assert!(
        run.stderr.contains("error[publish::none]"),
        "{}",
        run.stderr
    );
}

/// What npm 12 does in the environment of a job, in a directory with a `package.json`.
fn npm(registry: &Trusting, directory: &Path, arguments: &[&str]) {
    let sandbox = Sandbox::new();
    let output = sandbox
        .command(installed().join("node/bin/node"), directory)
        .arg(installed().join("npm/package/bin/npm-cli.js"))
        .args(arguments)
        .args(["--registry", &registry.url(), "--ignore-scripts"])
        .envs(registry.job())
        .env("GITHUB_ACTIONS", "true")
        .env("CI", "true")
        .output()
        .expect("npm runs");
    assert!(output.status.success(), "npm {arguments:?}: {output:?}");
}

/// A request as far as it is the same for everyone who publishes: its line, what credential it carries, the headers that registries look at, and
/// what is in its body.
fn shape(registry: &Trusting, seen: &Seen) -> String {
    let credential = match seen.bearer.as_deref() {
        None => "nothing".to_owned(),
        Some(token) if token.starts_with("eyJ") => "the identity".to_owned(),
        Some(token) => match registry.package_of(token) {
            Some(package) => format!("the token of {package}"),
            None => "the right to ask".to_owned(),
        },
    };
    let header = |name: &str| seen.request.headers.get(name).unwrap_or("-").to_owned();
    let client = header("user-agent").split('/').next().map(str::to_owned);
    let client = client.filter(|_| seen.target.contains("/exchange/"));
    let body: Value = serde_json::from_slice(&seen.request.body).unwrap_or_default();
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object().into_iter().flatten();
        let mut keys: Vec<String> = object.map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    };
    format!(
        "{} {} with {credential}; {}, {}, {}; {client:?}; {:?} {:?} {}",
        seen.method,
        seen.target,
        header("npm-command"),
        header("npm-auth-type"),
        header("content-type"),
        keys(&body),
        keys(&body["_attachments"]),
        body["dist-tags"],
    )
}

#[test]
fn identity_exchange_publish_and_stage_are_requested_as_npm_12_does() {
    let (world, registry) = released("npm-oracle");
    let world = world.develop(
        "fix(cli): say more",
        &[("packages/cli/src/index.js", "exports.d = 4;\n")],
    );
    let related = |registry: &Trusting| -> Vec<String> {
        let seen = registry.seen();
        let seen = seen
            .iter()
            .filter(|seen| seen.method != "GET" || seen.target.starts_with("/identity"));
        let mut shapes: Vec<String> = seen.map(|seen| shape(registry, seen)).collect();
        // A preflight asks as a publication does.
        shapes.dedup();
        let once: std::collections::BTreeSet<String> = shapes.drain(..).collect();
        once.into_iter().collect()
    };
    for (way, arguments) in [
        (
            "direct",
            &["publish", "--access", "public", "--tag", "latest"][..],
        ),
        (
            "stage",
            &["stage", "publish", "--access", "public", "--tag", "latest"][..],
        ),
    ] {
        registry.forget();
        let run = by_identity(&world, &registry, &["release"])
            .env("PKGS_NPM_PUBLISH", way)
            .env("PKGS_ACCESS", "public")
            .run()
            .expect(0);
        let version = if way == "direct" { "1.0.1" } else { "1.0.2" };
        assert_eq!(run.output("packages")[0]["to"], version);
        let ours = related(&registry);
        assert!(!ours.is_empty());

        // npm publishes the same version of the same package once more, to a registry that has not seen it.
        let sandbox = Sandbox::new();
        let package = sandbox.path().join("package");
        fs::create_dir(&package).expect("a directory");
        let mut manifest = world.monorepo.json("packages/cli/package.json");
        let theirs = if way == "direct" { "0.7.5" } else { "0.7.6" };
        manifest["version"] = theirs.into();
        fs::write(package.join("package.json"), manifest.to_string()).expect("a file");
        registry.forget();
        npm(&registry, &package, arguments);
        let npms: Vec<String> = related(&registry)
            .into_iter()
            .map(|shape| shape.replace(theirs, version))
            .collect();
        assert_eq!(ours, npms);
        if way == "direct" {
            let monorepo = &world.monorepo;
            world.follow();
            monorepo.write("packages/cli/src/index.js", "exports.e = 5;\n");
            monorepo.git(&[
                "commit",
                "--quiet",
                "--all",
                "--message",
                "fix(cli): say less",
            ]);
            let origin = monorepo.origin_directory().display().to_string();
            monorepo.git(&["push", "--quiet", &origin, "HEAD:main"]);
        }
    }
}
