//! Stories of environments: promote, rollback, hold, unhold, mark-bad, status, and what a release does to them by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::fault_proxy::FaultProxy;
use crate::support::monorepo::Monorepo;
use crate::support::moto::Moto;
use crate::support::sandbox::{Run, Sandbox};
use crate::support::world::{World, files};

/// A repository with a service alone, which a release activates in `sit`.
fn service() -> Monorepo {
    Monorepo::new()
        .service("web", "1.0.0")
        .config(&json!({
            "mode": "diff",
            "apps": {"web": {"type": "service", "environments": ["sit", "prod"], "auto": ["sit"]}},
        }))
        .commit("feat: begin", &[])
}

/// `service()` after releases of 1.0.0 up to 1.0.`last`; each is live in `sit`.
fn released(last: usize) -> World {
    let mut world = World::local(service());
    let _ = world.run(&["release"]).expect(0);
    for patch in 1..=last {
        world = fixed(world, patch);
        let _ = world.run(&["release"]).expect(0);
    }
    world
}

/// A commit that the next patch version of `web` consists of.
fn fixed(world: World, patch: usize) -> World {
    let file = format!("packages/web/service/{patch}.js");
    world.develop(&format!("fix(web): {patch}"), &[(&file, "")])
}

/// Runs a command about environments without a checkout and gives the first app of its JSON.
fn point(world: &World, arguments: &[&str]) -> Value {
    let run = operate(world, arguments).expect(0);
    run.json()["apps"][0].clone()
}

fn operate(world: &World, arguments: &[&str]) -> Run {
    let mut all = arguments.to_vec();
    all.extend(["--format", "json"]);
    world.operate(&all)
}

#[test]
fn a_version_in_the_store_whose_tag_was_deleted_is_refused_until_the_tag_is_back() {
    let world = released(1);
    world.follow();
    let commit = world.origin_git(&["rev-parse", "web@1.0.1^{commit}"]);
    world.origin_git(&["tag", "--delete", "web@1.0.1"]);
    world.monorepo.git(&["tag", "--delete", "web@1.0.1"]);
    let refs = world.origin_git(&["show-ref"]);
    for _ in 0..2 {
        let run = world.run(&["release"]).expect(3);
        refusal(&run, "record::version_taken");
        assert!(run.stderr.contains(&commit), "{}", run.stderr);
        assert_eq!(world.origin_git(&["show-ref"]), refs);
    }
    world.origin_git(&["tag", "web@1.0.1", &commit]);
    let world = fixed(world, 2);
    let _ = world.run(&["release"]).expect(0);
    assert!(world.origin_git(&["tag", "--list"]).contains("web@1.0.2"));
}

/// What `status` says of an environment of the only app.
fn status(world: &World, environment: &str) -> Value {
    let status = operate(world, &["status"]).expect(0).json();
    assert_eq!(status["schema"], "pkgs.status/1");
    let environments = status["apps"][0]["environments"].as_array().cloned();
    environments
        .unwrap_or_default()
        .into_iter()
        .find(|found| found["environment"] == environment)
        .unwrap_or_default()
}

fn refusal(run: &Run, code: &str) {
    assert!(
        run.stderr.contains(&format!("error[{code}]")),
        "{code}:\n{}",
        run.stderr
    );
    assert!(run.stderr.contains("hint:"), "no hint:\n{}", run.stderr);
}

#[test]
fn a_person_promotes_goes_back_twice_and_forward_again() {
    let world = released(2);
    assert_eq!(status(&world, "sit")["current"], "1.0.2");
    assert_eq!(status(&world, "prod"), Value::Null);

    // By version, by release id, by another environment's version.
    let prod = ["promote", "--environment", "prod"];
    let promote = |more: &[&str]| point(&world, &[&prod, more].concat());
    let first = promote(&["--to", "1.0.0"]);
    assert_eq!(
        (&first["op"], &first["seq"]),
        (&json!("promote"), &json!(1))
    );
    assert_eq!(
        (&first["from"], &first["to"]),
        (&Value::Null, &json!("1.0.0"))
    );
    let id = release_of(&world, "1.0.1");
    assert_eq!(promote(&["--to", &id])["to"], "1.0.1");
    let third = promote(&["--from", "sit"]);
    assert_eq!((&third["to"], &third["seq"]), (&json!("1.0.2"), &json!(3)));
    let again = promote(&["--from", "sit"]);
    assert_eq!(
        (&again["outcome"], &again["seq"]),
        (&json!("already-done"), &json!(3))
    );

    // A dry run of a rollback says where it goes and writes nothing.
    let store = files(&world.outside.path().join("store"));
    let back = ["rollback", "--environment", "prod"];
    let rollback = |more: &[&str]| point(&world, &[&back, more].concat());
    let dry = rollback(&["--dry-run"]);
    assert_eq!(
        (&dry["dryRun"], &dry["from"], &dry["to"]),
        (&json!(true), &json!("1.0.2"), &json!("1.0.1"))
    );
    assert_eq!(files(&world.outside.path().join("store")), store);

    // Twice goes further back, each time marking what it leaves; then there is nowhere to go.
    let once = rollback(&["--reason", "it is slow"]);
    assert_eq!(
        (&once["from"], &once["to"]),
        (&json!("1.0.2"), &json!("1.0.1"))
    );
    assert_eq!(once["held"], true);
    let twice = rollback(&[]);
    assert_eq!(
        (&twice["from"], &twice["to"]),
        (&json!("1.0.1"), &json!("1.0.0"))
    );
    let nowhere = operate(&world, &back).expect(3);
    refusal(&nowhere, "environment::nothing_to_roll_back_to");
    let live = status(&world, "prod");
    assert_eq!(live["current"], "1.0.0");
    assert_eq!(live["bad"], json!(["1.0.2", "1.0.1"]));
    assert_eq!(live["by"], "ada");
    assert_eq!(live["op"], "rollback");
    assert_eq!(live["seq"], 5);
    assert_eq!(live["rollbackTo"], Value::Null);

    // A bad version and a held environment: a person is asked to insist, once.
    let refused = operate(&world, &[&prod[..], &["--to", "1.0.2"]].concat()).expect(3);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(promote(&["--to", "1.0.2", "--force"])["to"], "1.0.2");
    let live = status(&world, "prod");
    assert_eq!(
        (&live["current"], &live["hold"]),
        (&json!("1.0.2"), &Value::Null)
    );
    assert_eq!(live["bad"], json!(["1.0.1"]));
    assert_eq!(live["rollbackTo"], "1.0.0");

    // `--to` takes a version and an entry's number too.
    assert_eq!(rollback(&["--to", "1.0.0"])["to"], "1.0.0");

    // Nothing of all this is known to `sit`.
    let sit = status(&world, "sit");
    assert_eq!(
        (&sit["current"], &sit["hold"]),
        (&json!("1.0.2"), &Value::Null)
    );
    assert_eq!(sit["bad"], json!([]));
    check_log(&world.outside.path().join("store"), "prod", 7);
    let text = world.operate(&["status"]).expect(0).stdout;
    assert!(
        text.contains("apps\n  web\n    prod: 1.0.0 since "),
        "{text}"
    );
    assert!(
        text.ends_with("\n    versions: 1.0.2, 1.0.1, 1.0.0\n"),
        "{text}"
    );
    assert!(text.contains("      held by ada since entry 7\n"), "{text}");
    assert!(text.contains("      bad: 1.0.1, 1.0.2\n"), "{text}");
}

#[test]
fn status_answers_for_names_versions_hosts_and_every_deed() {
    let world = released(1);
    refusal(
        &operate(&world, &["status", "--environment", "prdo"]).expect(2),
        "environment::unknown",
    );
    let unknown = operate(&world, &["status", "--app", "wbe"]).expect(2);
    refusal(&unknown, "environment::unknown_app");
    assert!(
        unknown.stderr.contains("did you mean web?"),
        "{}",
        unknown.stderr
    );
    let unused = world.operate(&["status", "--environment", "pre"]).expect(0);
    assert_eq!(
        unused.stdout,
        "apps\n  web\n    pre was never pointed at a version\n    versions: 1.0.1, 1.0.0\n"
    );

    // A version that does not exist is told with those that do.
    let prod = ["--environment", "prod"];
    let missing = operate(&world, &[&["promote", "--to", "9.9.9"], &prod[..]].concat()).expect(3);
    refusal(&missing, "environment::unknown_version");
    assert!(
        missing.stderr.contains("the store records 1.0.1, 1.0.0"),
        "{}",
        missing.stderr
    );

    let done = |arguments: &[&str]| point(&world, &[arguments, &prod[..]].concat());
    let _ = done(&["promote", "--to", "1.0.0"]);
    let _ = done(&["hold", "--reason", "a demonstration"]);
    let _ = done(&["pin", "--to", "1.0.0"]);
    let _ = done(&["mark-bad", "--to", "1.0.1", "--reason", "it leaks"]);
    for (host, report) in [
        (
            "web1",
            json!({"version": "1.0.0", "state": "installed", "seq": 1}),
        ),
        (
            "web2",
            json!({"state": "failed", "error": "no disk", "seq": 0}),
        ),
        ("web3", json!({"schema": "pkgs.host/9"})),
    ] {
        let mut whole = json!({"schema": "pkgs.host/1", "host": host, "app": "web", "environment": "prod", "at": "2026-01-31T00:00:00Z"});
        let fields = report.as_object().expect("an object").clone();
        whole.as_object_mut().expect("an object").extend(fields);
        let directory = world
            .outside
            .path()
            .join("store/v1/apps/web/environments/prod/hosts");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join(format!("{host}.json")), whole.to_string())
            .expect("a report");
    }
    let live = status(&world, "prod");
    let told = |past: &Value| {
        [
            &past["op"],
            &past["version"],
            &past["actor"],
            &past["reason"],
        ]
        .map(Clone::clone)
    };
    let history: Vec<_> = live["history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(told)
        .collect();
    assert_eq!(
        history,
        [
            [
                json!("mark-bad"),
                json!("1.0.1"),
                json!("ada"),
                json!("it leaks")
            ],
            [json!("pin"), json!("1.0.0"), json!("ada"), Value::Null],
            [
                json!("hold"),
                Value::Null,
                json!("ada"),
                json!("a demonstration")
            ],
            [json!("promote"), json!("1.0.0"), json!("ada"), Value::Null],
        ]
    );
    let hosts = live["hosts"].as_array().cloned().unwrap_or_default();
    let hosts: Vec<_> = hosts
        .iter()
        .map(|host| (&host["host"], &host["state"], &host["behind"]))
        .collect();
    assert_eq!(
        hosts,
        [
            (&json!("web1"), &json!("installed"), &json!(false)),
            (&json!("web2"), &json!("failed"), &json!(true)),
        ]
    );
    let text = world.operate(&["status"]).expect(0);
    for line in [
        "      until 'unhold --environment prod --app web', releases leave it as it is and 'promote' needs '--force'; 'rollback' still works\n",
        "      host web1: 1.0.0 runs, installed at entry 1, 2026-01-31T00:00:00Z\n",
        "      host web2: nothing runs, failed at entry 0, 2026-01-31T00:00:00Z, behind: \"no disk\"\n",
        "  mark-bad 1.0.1 by ada: \"it leaks\"\n",
        "  hold by ada: \"a demonstration\"\n",
    ] {
        assert!(text.stdout.contains(line), "{line}\n{}", text.stdout);
    }
    assert!(
        text.stderr.contains("a host's report is left out"),
        "{}",
        text.stderr
    );
}

#[test]
fn a_version_that_is_bad_where_it_is_taken_from_and_a_place_that_is_not_the_apps_are_refused() {
    let world = released(1);
    let sit = ["--environment", "sit"];
    let bad = ["mark-bad", "--to", "1.0.1", "--reason", "it leaks"];
    let _ = point(&world, &[&bad[..], &sit].concat());
    let promote = ["promote", "--environment", "prod", "--from", "sit"];
    let refused = operate(&world, &promote).expect(3);
    refusal(&refused, "environment::bad");
    let words = "1.0.1 is marked bad in sit by entry 3 (mark-bad by \"ada\", ";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("\"it leaks\")"),
        "{}",
        refused.stderr
    );
    assert_eq!(status(&world, "prod"), Value::Null);

    // Where the configuration is at hand, it says where an app may go; without it nobody can.
    let pre = ["promote", "--to", "1.0.1", "--environment", "pre"];
    let run = world.run(&pre).expect(2);
    refusal(&run, "environment::unknown");
    assert!(
        run.stderr.contains("its environments are sit, prod"),
        "{}",
        run.stderr
    );
    let warned = point(&world, &pre);
    let reasons = warned["reasons"].to_string();
    assert!(
        reasons.contains("warning: 1.0.1 is marked bad in sit by entry 3"),
        "{reasons}"
    );
    let _ = world.run(&pre).expect(0);
}

#[test]
fn status_in_a_checkout_says_what_is_not_released_and_why_nothing_can_be_planned() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .service("web", "1.0.0")
        .config(&json!({"mode": "diff", "maxBump": "patch", "apps": {"web": {"type": "service"}}}))
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    let all = world.run(&["status"]).expect(0).stdout;
    let heads = ["packages\n  core 1.0.0\n  web 1.0.0\napps\n  web\n"];
    assert!(heads.iter().all(|head| all.starts_with(head)), "{all}");
    let world = world.develop("feat(core): more", &[("packages/core/more.js", "")]);
    let core = world.run(&["status", "--app", "web"]).expect(0).stdout;
    assert!(!core.contains("core 1.0.0"), "{core}");

    let text = world.run(&["status", "--store", "none"]).expect(0).stdout;
    assert!(
        text.starts_with("packages\n  core 1.0.0, 1 unreleased, next unknown\n  web 1.0.0\n  nothing can be planned: "),
        "{text}"
    );
    let json = world
        .run(&["status", "--store", "none", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(json["packages"][0]["next"], Value::Null);
    assert_eq!(json["nextUnknown"]["code"], "plan::max_bump", "{json}");
}

#[test]
fn a_hold_refuses_a_person_until_it_is_lifted_or_forced_for_good() {
    let world = released(1);
    let prod = ["--environment", "prod"];
    let done = |arguments: &[&str]| point(&world, &[arguments, &prod[..]].concat());
    let hold = done(&["hold"]);
    let while_held = "until 'unhold --environment prod --app web', releases leave it as it is and 'promote' needs '--force'; 'rollback' still works";
    assert_eq!(hold["reasons"], json!([while_held]));

    // Held already: it stays as it is, or has the reason that is given now.
    let again = done(&["hold"]);
    assert_eq!(again["outcome"], "already-done");
    let reasons = again["reasons"].to_string();
    for words in [
        "held by \\\"ada\\\" since entry 1; nothing changed",
        "held since 20",
    ] {
        assert!(reasons.contains(words), "{words}: {reasons}");
    }
    let because = ["hold", "--reason", "an audit"];
    let updated = done(&because);
    assert_eq!(
        (&updated["outcome"], &updated["seq"]),
        (&json!("done"), &json!(2))
    );
    assert!(
        updated["reasons"]
            .to_string()
            .contains("before it was held by"),
        "{updated}"
    );
    assert_eq!(status(&world, "prod")["hold"]["reason"], "an audit");
    assert_eq!(done(&because)["seq"], 2);

    let promote = ["promote", "--to", "1.0.0", "--environment", "prod"];
    let refused = operate(&world, &promote).expect(3);
    refusal(&refused, "environment::held");
    assert!(
        refused.stderr.contains(
            "'unhold --environment prod --app web' lifts the hold; if you mean it, 'force' (--force, PKGS_FORCE or the input force) promotes and lifts the hold for good"
        ),
        "{}",
        refused.stderr
    );

    let forced = done(&["promote", "--to", "1.0.0", "--force"]);
    let reasons = forced["reasons"].to_string();
    assert!(
        reasons.contains("forced: the hold is lifted (held by"),
        "{reasons}"
    );
    assert!(
        reasons.contains("releases change prod again, 'hold' stops them"),
        "{reasons}"
    );
    assert_eq!(forced["held"], false);
    assert_eq!(status(&world, "prod")["hold"], Value::Null);
    assert_eq!(done(&["promote", "--to", "1.0.1"])["to"], "1.0.1");
    let help = world.operate(&["hold", "--help"]).expect(0).stdout;
    assert!(help.contains("promote needs --force"), "{help}");
}

#[test]
fn a_rollback_to_what_is_newer_and_was_never_live_is_told_to_be_forward() {
    let world = released(2);
    let prod = ["--environment", "prod"];
    let done = |arguments: &[&str]| point(&world, &[arguments, &prod[..]].concat());
    let _ = done(&["promote", "--to", "1.0.0"]);
    let _ = done(&["promote", "--to", "1.0.1"]);
    let warning = "warning: 1.0.2 is newer than 1.0.1 and was never live in prod: that is forward, not back. 'promote --environment prod --app web --to 1.0.2'";
    for more in [&["--dry-run"][..], &[]] {
        let told = done(&[&["rollback", "--to", "1.0.2"], more].concat());
        let reasons = told["reasons"].to_string();
        assert!(reasons.contains(warning), "{reasons}");
    }
    let back = done(&["rollback", "--to", "1.0.0"])["reasons"].to_string();
    assert!(!back.contains("warning"), "{back}");
}

#[test]
fn what_cannot_be_read_of_one_environment_hides_no_other_one() {
    let service = json!({"type": "service", "environments": ["sit", "prod"], "auto": ["sit"]});
    let site = json!({"type": "static", "build": "npm run build", "environments": ["sit"], "auto": ["sit"]});
    let monorepo = Monorepo::new()
        .service("web", "1.0.0")
        .static_site("site", "1.0.0")
        .config(&json!({"mode": "diff", "apps": {"web": service, "site": site}}))
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    let promote = [
        "promote",
        "--app",
        "web",
        "--environment",
        "prod",
        "--to",
        "1.0.0",
    ];
    let _ = world.operate(&promote).expect(0);
    let apps = world.outside.path().join("store/v1/apps");
    let log = apps.join("web/environments/sit/log/000000000001.json");
    for damaged in [&apps.join("site/environments/sit/static.json"), &log] {
        std::fs::write(damaged, "{").expect("a file");
    }

    let run = operate(&world, &["status"]).expect(6);
    let told = run.json();
    let of = |app: usize, environment: usize| &told["apps"][app]["environments"][environment];
    let (site, prod, sit) = (of(0, 0), of(1, 0), of(1, 1));
    // What is only said of static files is said anew by whoever promotes what is live.
    assert_eq!(
        (&site["current"], &site["staticApplied"]),
        (&json!("1.0.0"), &json!(false))
    );
    assert_eq!(site["unreadable"], json!([]));
    assert_eq!(
        (&prod["current"], &prod["unreadable"]),
        (&json!("1.0.0"), &json!([]))
    );
    assert_eq!((&sit["current"], &sit["seq"]), (&Value::Null, &json!(0)));
    assert!(sit["unreadable"][0]["code"].is_string(), "{sit:#}");
    let words = "this is of sit of web; everything else is told";
    assert!(run.stderr.contains(words), "{}", run.stderr);
    assert!(run.stderr.contains("hint: put it back"), "{}", run.stderr);
    let text = world.operate(&["status"]).expect(6).stdout;
    assert!(text.contains("    prod: 1.0.0 since "), "{text}");
    assert!(
        text.contains("    sit: what is live is not known\n      cannot be read: "),
        "{text}"
    );
    let page = world.operate(&["status", "--format", "html"]).expect(6);
    assert!(page.stdout.contains("cannot be read: "), "{}", page.stdout);
}

/// The log has the entries 1 to `last`, each naming the one before by number and digest.
fn check_log(store: &Path, environment: &str, last: u64) {
    let directory = store.join(format!("v1/apps/web/environments/{environment}/log"));
    let mut before = Value::Null;
    for number in 1..=last {
        let file = directory.join(format!("{number:012}.json"));
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("entry {number}: {error}"));
        let entry: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(entry["seq"], number);
        assert_eq!(entry["previous"], before, "entry {number}");
        let digest = pkgs_action::name::Digest::of(&bytes).to_string();
        before = json!({"seq": number, "digest": digest});
    }
    let next = directory.join(format!("{:012}.json", last + 1));
    assert!(!next.exists(), "an entry too many");
}

/// The release id of a version of `web`.
fn release_of(world: &World, version: &str) -> String {
    let file = world
        .outside
        .path()
        .join(format!("store/v1/apps/web/{version}/any.json"));
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(file).expect("a manifest")).expect("JSON");
    manifest["release"].as_str().expect("an id").to_owned()
}

#[test]
fn automation_stops_where_a_person_holds_and_never_goes_to_what_is_bad() {
    let world = released(1);
    let sit = ["--environment", "sit"];
    let hold = point(
        &world,
        &[&["hold"], &sit[..], &["--reason", "a demonstration"]].concat(),
    );
    assert_eq!((&hold["op"], &hold["held"]), (&json!("hold"), &json!(true)));

    // The release is made; the environment stays.
    let world = fixed(world, 2);
    let outputs = world.outside.path().join("outputs");
    let run = world
        .binary(&["release", "--format", "json"])
        .env("GITHUB_OUTPUT", &outputs)
        .run()
        .expect(0);
    assert_eq!(run.outputs["outcome"], "released");
    assert_eq!(run.outputs["held"], "true");
    assert_eq!(run.output("pointers")[0]["outcome"], "held");
    assert_eq!(run.json()["release"]["pointers"][0]["held"], true);
    let live = status(&world, "sit");
    assert_eq!(live["current"], "1.0.1");
    assert_eq!(live["hold"]["by"], "ada");
    assert_eq!(live["hold"]["reason"], "a demonstration");

    // `unhold` activates nothing, and says what waits.
    let unhold = point(&world, &[&["unhold"], &sit[..]].concat());
    assert_eq!(unhold["waiting"], "1.0.2");
    assert_eq!(status(&world, "sit")["current"], "1.0.1");
    assert_eq!(status(&world, "sit")["hold"], Value::Null);

    // Running the release again lets it catch up.
    let caught = world.run(&["release"]).expect(0);
    assert!(
        caught.stdout.contains("web 1.0.2 in sit"),
        "{}",
        caught.stdout
    );
    assert_eq!(status(&world, "sit")["current"], "1.0.2");

    // A version judged bad before it is live is not activated by a release.
    let world = fixed(world, 3);
    let _ = point(&world, &[&["hold"], &sit[..]].concat());
    let _ = world.run(&["release"]).expect(0);
    let bad = point(
        &world,
        &[&["mark-bad"], &sit[..], &["--to", "1.0.3"]].concat(),
    );
    assert_eq!(bad["op"], "mark-bad");
    let _ = point(&world, &[&["unhold"], &sit[..]].concat());
    let _ = world.run(&["release"]).expect(0);
    let live = status(&world, "sit");
    assert_eq!(
        (&live["current"], &live["bad"]),
        (&json!("1.0.2"), &json!(["1.0.3"]))
    );

    // The next one is.
    let world = fixed(world, 4);
    let _ = world.run(&["release"]).expect(0);
    assert_eq!(status(&world, "sit")["current"], "1.0.4");

    // A release that is there already tells what is live since somebody went back.
    let back = point(&world, &[&["rollback"], &sit[..]].concat());
    let again = world.run(&["release"]).expect(0);
    let stands = format!(
        "  web in sit: 1.0.2 is live and held, 1.0.4 was activated before by entry {}\n",
        back["seq"].as_u64().expect("a number") - 1
    );
    assert!(again.stdout.contains(&stands), "{}", again.stdout);
    assert!(
        !again.stdout.contains("web 1.0.4 in sit"),
        "{}",
        again.stdout
    );
}

/// The texts that a static root serves; headers lie beside them where the root is a directory.
fn served(root: &Path) -> BTreeMap<String, String> {
    files(root)
        .into_iter()
        .filter(|(path, _)| !path.starts_with(".pkgs-headers/"))
        .map(|(path, bytes)| (path, String::from_utf8(bytes).expect("text")))
        .collect()
}

#[test]
fn a_static_directory_that_is_missing_is_told_by_its_setting() {
    let world = World::local(service());
    let nowhere = [
        "release",
        "--static",
        "file:///nowhere/at/all/{environment}",
    ];
    let run = world.run(&nowhere).expect(2);
    refusal(&run, "static::directory");
    assert!(
        run.stderr.contains("`static` names /nowhere/at/all/sit"),
        "{}",
        run.stderr
    );
}

#[test]
fn static_files_follow_the_pointer_forward_and_back() {
    let monorepo = Monorepo::new()
        .static_site("site", "1.0.0")
        .file("packages/site/src/robots.txt", "one\n")
        .config(&json!({
            "mode": "diff",
            "apps": {"site": {
                "type": "static",
                "build": "npm run build && cp src/robots.txt dist/",
                "environments": ["sit", "prod"],
                "auto": ["sit"],
            }},
        }))
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    let world = world.develop(
        "fix(site): two",
        &[
            ("packages/site/src/robots.txt", "two\n"),
            ("packages/site/src/site.js", "console.log(2);\n"),
        ],
    );
    let root = world.outside.path().join("static");
    let served = |environment: &str| served(&root.join(environment));
    let one = served("sit");
    let _ = world.run(&["release"]).expect(0);
    let two = served("sit");
    let hashed = |files: &BTreeMap<String, String>| {
        let keys = files.keys().filter(|path| path.starts_with("js/"));
        keys.cloned().collect::<Vec<_>>()
    };
    assert_eq!(one["robots.txt"], "one\n");
    assert_eq!(two["robots.txt"], "two\n");
    assert_eq!((hashed(&one).len(), hashed(&two).len()), (1, 2));
    assert_ne!(one["index.html"], two["index.html"]);

    // `prod` has a place of its own; `status` knows that all is laid out.
    assert_eq!(served("prod").len(), 0);
    let with_static = |arguments: &[&str]| {
        let sandbox = Sandbox::new();
        let home = sandbox.home();
        world
            .outside
            .store(sandbox.binary(&home, arguments))
            .env("PKGS_ACTOR", "ada")
            .env(
                "PKGS_STATIC",
                format!("file://{}/{{environment}}", root.display()),
            )
            .run()
    };
    let promote = ["promote", "--environment", "prod", "--to", "1.0.1"];
    let _ = with_static(&promote).expect(0);
    assert_eq!(served("prod"), two);
    assert_eq!(status(&world, "prod")["staticApplied"], true);

    // Back: what has no hash has its old bytes, what has one stays; the root is known from the log.
    let back = point(&world, &["rollback", "--environment", "sit"]);
    assert_eq!(
        (&back["from"], &back["to"]),
        (&json!("1.0.1"), &json!("1.0.0"))
    );
    let now = served("sit");
    assert_eq!(now["robots.txt"], "one\n");
    assert_eq!(now["index.html"], one["index.html"]);
    assert_eq!(hashed(&now), hashed(&two));
    assert_eq!(back["static"]["changed"], 2);

    // Forward again.
    let forward = with_static(&[
        "promote",
        "--environment",
        "sit",
        "--to",
        "1.0.1",
        "--force",
    ]);
    let _ = forward.expect(0);
    assert_eq!(served("sit"), two);

    // Where the static root is set, as in a workflow, a rollback says the same.
    let dry = with_static(&["rollback", "--environment", "sit", "--dry-run"]).expect(0);
    assert!(
        dry.stdout.contains("would rollback 1.0.1 → 1.0.0"),
        "{}",
        dry.stdout
    );
    assert_eq!(served("sit"), two);

    // Another root than the recorded one changes nothing.
    let elsewhere = world.outside.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    let elsewhere = format!("file://{}", elsewhere.display());
    for command in [
        &["promote", "--environment", "prod", "--to", "1.0.0"][..],
        &["rollback", "--environment", "sit"],
    ] {
        let differs = [command, &["--static", &elsewhere]].concat();
        refusal(&operate(&world, &differs).expect(2), "static::root_differs");
    }
    assert_eq!(status(&world, "prod")["current"], "1.0.1");
    assert_eq!(status(&world, "sit")["current"], "1.0.1");
    assert_eq!(served("prod"), two);
}

#[test]
fn a_rollback_that_was_overtaken_changes_nothing() {
    let moto = Moto::shared();
    moto.bucket("overtaken");
    let world = World::local(service());
    let store = |invocation: crate::support::sandbox::Invocation, endpoint: &str| {
        invocation
            .envs(moto.environment())
            .env("PKGS_STORE", "s3://overtaken/team")
            .env("PKGS_STORE_ENDPOINT", endpoint)
            .env("PKGS_ACTOR", "ada")
            .run()
    };
    let release = |world: &World| {
        let _ = store(world.binary(&["release"]), &moto.endpoint).expect(0);
    };
    release(&world);
    let world = fixed(world, 1);
    release(&world);
    let world = fixed(world, 2);
    release(&world);
    let promote = |version: &str| {
        let sandbox = Sandbox::new();
        let home = sandbox.home();
        let arguments = ["promote", "--environment", "prod", "--to", version];
        store(sandbox.binary(&home, &arguments), &moto.endpoint)
    };
    let _ = promote("1.0.0").expect(0);
    let _ = promote("1.0.1").expect(0);

    // In the moment in which the rollback writes its entry, somebody else promotes.
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("store", &moto.endpoint);
    let overtaken = Arc::new(AtomicBool::new(false));
    let arguments = ["rollback", "--environment", "prod"];
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    std::thread::scope(|scope| {
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let (done, finished) = std::sync::mpsc::channel::<()>();
        let promote = &promote;
        scope.spawn(move || {
            if asked.recv().is_ok() {
                let _ = promote("1.0.2").expect(0);
                let _ = done.send(());
            }
        });
        let once = Arc::clone(&overtaken);
        proxy.when(move |seen| {
            let entry = seen.method == "PUT" && seen.target.contains("/prod/log/");
            if entry && !once.swap(true, Ordering::SeqCst) {
                let _ = ask.send(());
                let _ = finished.recv();
            }
            None
        });
        let run = store(sandbox.binary(&home, &arguments), &endpoint).expect(4);
        refusal(&run, "environment::overtaken");
        proxy.reset();
    });
    assert!(overtaken.load(Ordering::SeqCst));
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    let arguments = ["status", "--format", "json"];
    let status = store(sandbox.binary(&home, &arguments), &moto.endpoint).expect(0);
    let status = status.json();
    let environments = status["apps"][0]["environments"].as_array();
    let prod = environments
        .into_iter()
        .flatten()
        .find(|found| found["environment"] == "prod")
        .expect("prod");
    assert_eq!(prod["current"], "1.0.2");
    assert_eq!(prod["seq"], 3);
    assert_eq!(prod["hold"], Value::Null);
}
