//! Uploads: long files in parts, what is there already, interruption, and the role that a job assumes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pkgs_action::name::Digest;
use serde_json::json;

use crate::support::fault_proxy::{Fault, FaultProxy, Seen};
use crate::support::http::{self, Listener, Response};
use crate::support::monorepo::Monorepo;
use crate::support::moto::{self, Moto};
use crate::support::sandbox::Run;
use crate::support::world::World;

/// A site whose build makes `files` small files and, where `long` says so, one of so many MiB that nothing compresses.
fn site(files: usize, long: usize) -> Monorepo {
    let build = format!(
        "const {{ mkdirSync, readFileSync, writeFileSync }} = require('node:fs');
mkdirSync('dist', {{ recursive: true }});
writeFileSync('dist/index.html', readFileSync('src/index.html'));
for (let file = 0; file < {files}; file += 1) writeFileSync(`dist/${{file}}.txt`, `file ${{file}}\\n`);
let seed = 1;
const word = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0);
if ({long} > 0) writeFileSync('dist/long.bin', Buffer.from(Uint32Array.from({{ length: {long} << 18 }}, word).buffer));
"
    );
    Monorepo::new()
        .static_site("site", "1.0.0")
        .file("packages/site/build.js", &build)
        .config(&json!({
            "mode": "diff",
            "apps": {"site": {"type": "static", "build": "npm run build", "environments": ["sit", "prod"]}},
        }))
        .commit("feat: begin", &[])
}

fn parts(log: &[Seen]) -> impl Iterator<Item = &Seen> {
    log.iter()
        .filter(|seen| seen.method == "PUT" && seen.target.contains("partNumber="))
}

/// What the server still holds of uploads that nobody completed.
fn unfinished(bucket: &str) -> usize {
    let url = format!("{}/{bucket}?uploads", Moto::shared().endpoint);
    let answer = http::send("GET", &url, &[moto::SIGNED], b"").expect("an answer");
    assert_eq!(answer.status, 200, "GET {url}");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    text.matches("<UploadId>").count()
}

#[test]
fn a_long_file_is_sent_in_parts_and_a_part_that_is_lost_is_sent_again() {
    let world = World::served(site(3, 70), "uploads-parts");
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    let failed = Mutex::new(0);
    proxy.when(move |seen| {
        let is_second = seen.method == "PUT" && seen.target.contains("partNumber=2");
        let mut failed = failed.lock().expect("no holder panics");
        *failed += usize::from(is_second);
        (is_second && *failed <= 2).then_some(if *failed == 1 {
            Fault::AnswerBefore(503)
        } else {
            Fault::BreakAfter
        })
    });
    let run = world
        .binary(&["release"])
        .env("PKGS_STORE_ENDPOINT", &endpoint)
        .run()
        .expect(0);
    let log = proxy.log();
    assert_eq!(parts(&log).count(), 9 + 2, "{}", proxy.transcript());
    assert!(proxy.struck());
    assert_eq!(unfinished("uploads-parts"), 0);
    let bucket = world.outside.bucket();
    let stored = bucket.values().find(|object| object.size == 70 << 20);
    let stored = stored.expect("the long file");
    let path = world.monorepo.path().join("packages/site/dist/long.bin");
    let bytes = std::fs::read(path).expect("the file");
    assert_eq!(stored.digest, Digest::of(&bytes).to_string());
    assert!(
        run.stderr.contains("MiB/s") && run.stderr.contains("sent "),
        "{}",
        run.stderr
    );
}

#[test]
fn a_run_that_is_interrupted_while_it_uploads_ends_and_the_next_one_goes_on() {
    let world = World::served(site(3, 70), "uploads-stopped");
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    let release = || {
        world
            .binary(&["release"])
            .env("PKGS_STORE_ENDPOINT", &endpoint)
            .within(Duration::from_mins(2))
    };
    // Of one part the server never has time, so that the upload is on its way when the signal arrives.
    let (tell, told) = std::sync::mpsc::channel();
    proxy.when(move |seen| {
        let is_fifth = seen.method == "PUT" && seen.target.contains("partNumber=5");
        if is_fifth {
            let _ = tell.send(());
        }
        is_fifth.then_some(Fault::AnswerBefore(503))
    });
    let running = release().start();
    told.recv_timeout(Duration::from_mins(2)).expect("a part");
    running.signal(rustix::process::Signal::TERM);
    let run = running.wait();
    assert_eq!(run.code, 143, "{}", run.stderr);
    proxy.reset();
    let _ = release().run().expect(0);
    let log = proxy.log();
    let small = |seen: &&Seen| seen.method == "PUT" && seen.status == Some(412);
    assert!(
        log.iter().filter(small).count() >= 1,
        "{}",
        proxy.transcript()
    );
}

/// Completions of uploads in parts.
fn completions(log: &[Seen]) -> usize {
    log.iter().filter(|seen| completes(seen)).count()
}

fn completes(seen: &Seen) -> bool {
    seen.method == "POST" && seen.target.contains("uploadId=")
}

/// The faults that the first completions meet, one after the other.
fn at_completions(proxy: &FaultProxy, faults: &'static [Fault]) {
    let met = AtomicUsize::new(0);
    proxy.when(move |seen| {
        let number = completes(seen).then(|| met.fetch_add(1, Ordering::SeqCst))?;
        faults.get(number).copied()
    });
}

#[test]
fn a_completion_whose_answer_is_lost_is_looked_for_and_no_part_is_sent_again() {
    let bucket = "uploads-completed";
    let world = World::in_bucket(site(0, 70), &Moto::shared().endpoint, bucket);
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    // It happened, and nobody heard.
    at_completions(&proxy, &[Fault::BreakAfter]);
    let release = world.binary(&["release"]);
    let _ = release
        .env("PKGS_STORE_ENDPOINT", &endpoint)
        .run()
        .expect(0);
    let log = proxy.log();
    let sent = (parts(&log).count(), completions(&log));
    assert_eq!(sent, (9, 1), "{}", proxy.transcript());
    // It did not happen; then it did, and nobody heard.
    proxy.reset();
    at_completions(&proxy, &[Fault::AnswerBefore(503), Fault::AnswerAfter(503)]);
    let _ = point(&world, &endpoint, &["promote", "--to", "1.0.0"]).expect(0);
    let log = proxy.log();
    let sent = (parts(&log).count(), completions(&log));
    assert_eq!(sent, (9, 2), "{}", proxy.transcript());
    let served = world.outside.static_bucket();
    assert_eq!(served["prod/long.bin"].size, 70 << 20);
    assert_eq!(unfinished(bucket), 0);
    assert_eq!(unfinished("uploads-completed-static"), 0);
    // The server has no time for it at all: nothing is sent once more, and why is said.
    proxy.reset();
    at_completions(&proxy, &[Fault::AnswerBefore(503); 9]);
    let failed = point_in(&world, &endpoint, "sit", &["promote", "--to", "1.0.0"]).expect(75);
    let log = proxy.log();
    let sent = (parts(&log).count(), completions(&log));
    assert_eq!(sent, (9, 5), "{}", proxy.transcript());
    assert_eq!(unfinished("uploads-completed-static"), 1);
    for words in [
        "error[store::uncertain]",
        "the server answered 503",
        "'promote --environment sit --app site --to 1.0.0' finishes it",
    ] {
        assert!(failed.stderr.contains(words), "{words}\n{}", failed.stderr);
    }
}

#[test]
fn a_promote_that_is_interrupted_gives_back_what_it_sent_in_part_and_says_what_finishes_it() {
    let bucket = "uploads-promote-stopped";
    let world = World::in_bucket(site(3, 70), &Moto::shared().endpoint, bucket);
    let _ = world.run(&["release"]).expect(0);
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    // Of the last part the server never has time; when it is sent again all others have arrived, and nobody computes anything.
    let (tell, told) = std::sync::mpsc::channel();
    proxy.when(move |seen| {
        let is_last = seen.method == "PUT" && seen.target.contains("partNumber=9");
        if is_last {
            let _ = tell.send(());
        }
        is_last.then_some(Fault::AnswerBefore(503))
    });
    let promote = ["promote", "--environment", "prod", "--to", "1.0.0"];
    let running = world
        .binary(&promote)
        .env("PKGS_STORE_ENDPOINT", &endpoint)
        .within(Duration::from_mins(2))
        .start();
    for _ in 0..2 {
        told.recv_timeout(Duration::from_mins(2)).expect("a part");
    }
    running.signal(rustix::process::Signal::TERM);
    let run = running.wait();
    assert_eq!(run.code, 143, "{}", run.stderr);
    for words in [
        "run::interrupted",
        "prod of site points at 1.0.0 already (entry 1)",
        "'promote --environment prod --app site --to 1.0.0' finishes it",
    ] {
        assert!(run.stderr.contains(words), "{words}\n{}", run.stderr);
    }
    let is_static = |seen: &&Seen| seen.target.contains("-static/");
    let last = proxy.log().into_iter().rfind(|seen| is_static(&seen));
    assert_eq!(last.map(|seen| seen.method).as_deref(), Some("DELETE"));
    assert_eq!(unfinished("uploads-promote-stopped-static"), 0);
    proxy.reset();
    let _ = world.run(&promote).expect(0);
    let served = world.outside.static_bucket();
    assert_eq!(served["prod/long.bin"].size, 70 << 20);
    assert_eq!(unfinished("uploads-promote-stopped-static"), 0);
}

#[test]
fn a_release_that_is_interrupted_while_it_copies_an_archive_gives_back_what_it_sent_in_part() {
    let build = "const { writeFileSync } = require('node:fs');
const word = (_, number) => Math.imul(number ^ 0x5bd1e995, 0x9e3779b1) ^ Math.imul(number >>> 7, 0x85ebca6b);
writeFileSync('service/long.bin', Buffer.from(Uint32Array.from({ length: 70 << 18 }, word).buffer));
";
    let bucket = "uploads-archive-stopped";
    let monorepo = Monorepo::new()
        .service("web", "1.0.0")
        .file("packages/web/build.js", build)
        .config(&json!({
            "mode": "diff",
            "apps": {"web": {"type": "service", "build": "node build.js", "environments": ["sit"]}},
        }))
        .commit("feat: begin", &[]);
    let world = World::in_bucket(monorepo, &Moto::shared().endpoint, bucket);
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    let (tell, told) = std::sync::mpsc::channel();
    proxy.when(move |seen| {
        let is_last = seen.method == "PUT"
            && seen.target.contains("/v1/apps/web/")
            && seen.target.contains("partNumber=9");
        if is_last {
            let _ = tell.send(());
        }
        is_last.then_some(Fault::AnswerBefore(503))
    });
    let running = world
        .binary(&["release"])
        .env("PKGS_STORE_ENDPOINT", &endpoint)
        .within(Duration::from_mins(2))
        .start();
    for _ in 0..2 {
        told.recv_timeout(Duration::from_mins(2)).expect("a part");
    }
    running.signal(rustix::process::Signal::TERM);
    let run = running.wait();
    assert_eq!(run.code, 143, "{}", run.stderr);
    assert_eq!(unfinished(bucket), 0, "{}", run.stderr);
    let _ = world.run(&["release"]).expect(0);
    let stored = world.outside.bucket();
    assert!(stored.contains_key("team/v1/apps/web/1.0.0/web-1.0.0.tar.zst"));
}

/// The writes below `blobs/`, and the looks there.
fn of_blobs(log: &[Seen]) -> Vec<&Seen> {
    log.iter()
        .filter(|seen| seen.target.contains("/blobs/"))
        .collect()
}

/// The lists of shelves.
fn lists(log: &[Seen]) -> usize {
    let of_shelf = |seen: &&Seen| seen.method == "GET" && seen.target.contains("blobs%2F");
    log.iter().filter(of_shelf).count()
}

#[test]
fn what_the_version_before_names_is_not_sent_again_unless_somebody_took_it_away() {
    let world = World::served(site(300, 0), "uploads-known");
    let _ = world.run(&["release"]).expect(0);
    let world = world.develop(
        "fix(site): other words",
        &[(
            "packages/site/src/index.html",
            "<!doctype html><p>other</p>\n",
        )],
    );
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    let run = world
        .binary(&["release"])
        .env("PKGS_STORE_ENDPOINT", &endpoint)
        .run()
        .expect(0);
    let log = proxy.log();
    let writes: Vec<&Seen> = of_blobs(&log)
        .into_iter()
        .filter(|seen| seen.method == "PUT")
        .collect();
    // The page, the list of files, and the edits of the release commit: manifest, changelog, lockfile.
    assert!(writes.len() <= 6, "{}", proxy.transcript());
    // Several on one shelf are one list.
    let looks = of_blobs(&log).len() - writes.len() + lists(&log);
    assert!(looks <= 210, "{looks} looks: {}", proxy.transcript());
    assert!(run.stderr.contains("; 300, "), "{}", run.stderr);
    // One is gone.
    let lost = pkgs_action::release::layout::blob(&Digest::of(b"file 7\n"));
    let target = format!("{}/uploads-known/team/{lost}", Moto::shared().endpoint);
    let gone = http::send("DELETE", &target, &[moto::SIGNED], b"").expect("an answer");
    assert_eq!(gone.status, 204);
    let world = world.develop(
        "fix(site): yet other words",
        &[("packages/site/src/index.html", "<p>yet other</p>\n")],
    );
    let _ = world.run(&["release"]).expect(0);
    assert!(world.outside.bucket().contains_key(&format!("team/{lost}")));
    let site = world.outside.document("team/v1/apps/site/1.0.2/any.json");
    assert_eq!(site["static"]["count"], 301);
}

#[test]
fn what_only_a_version_names_that_was_given_up_is_sent_again() {
    let world = World::served(site(40, 0), "uploads-given-up");
    let _ = world.run(&["release"]).expect(0);
    for environment in ["sit", "prod"] {
        let promoted = world.operate(&["promote", "--environment", environment, "--to", "1.0.0"]);
        let _ = promoted.expect(0);
    }
    // As `gc` writes it, for a version that is still there.
    let key = "team/v1/apps/site/environments/sit/log/000000000001.json";
    let before = world.outside.object(key);
    let mut entry = world.outside.document(key);
    entry["seq"] = json!(2);
    entry["previous"] = json!({"seq": 1, "digest": Digest::of(&before).to_string()});
    entry["op"] = json!("retire");
    entry["operation"] = json!("01JE0000000000000000000000");
    entry["state"]["retired"] = json!(["1.0.0"]);
    let target = format!(
        "{}/uploads-given-up/team/v1/apps/site/environments/sit/log/000000000002.json",
        Moto::shared().endpoint
    );
    let written = http::send(
        "PUT",
        &target,
        &[moto::SIGNED],
        entry.to_string().as_bytes(),
    );
    assert_eq!(written.expect("an answer").status, 200);
    let world = world.develop(
        "fix(site): other words",
        &[(
            "packages/site/src/index.html",
            "<!doctype html><p>other</p>\n",
        )],
    );
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    let run = world
        .binary(&["release"])
        .env("PKGS_STORE_ENDPOINT", &endpoint)
        .run();
    let _ = run.expect(0);
    let log = proxy.log();
    let puts = of_blobs(&log)
        .into_iter()
        .filter(|seen| seen.method == "PUT");
    assert!(puts.count() >= 40, "{}", proxy.transcript());
}

const ROLE: &str = "arn:aws:iam::123456789012:role/release";
const RIGHT: &str = "canaryOfTheRightToAskForAnIdentity01";

/// A platform that makes identities, and the service of AWS that gives credentials of a role for them.
struct Aws {
    listener: Listener,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Aws {
    /// Gives credentials that are good `until` then, unless it refuses.
    fn start(until: &'static str, refuses: bool) -> Aws {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let listener = Listener::answering(move |request| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let mut log = log.lock().expect("no holder panics");
            if request.method == "GET" {
                assert_eq!(
                    request.headers.get("authorization"),
                    Some(format!("Bearer {RIGHT}").as_str())
                );
                assert_eq!(request.query(), "audience=sts.amazonaws.com");
                log.push("identity".to_owned());
                let payload = "eyJzdWIiOiJyZXBvOmFjbWUvbW9ub3JlcG86cmVmOnJlZnMvaGVhZHMvbWFpbiJ9";
                let token = json!({"value": format!("e30.{payload}.canaryOfTheIdentity0123")});
                return Response::new(200, "application/json", token.to_string());
            }
            assert!(body.contains("Action=AssumeRoleWithWebIdentity"), "{body}");
            assert!(body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Frelease"));
            assert!(body.contains("RoleSessionName=pkgs-action-"), "{body}");
            assert!(body.contains("canaryOfTheIdentity0123"));
            assert_eq!(request.headers.get("authorization"), None);
            let number = log.iter().filter(|one| *one == "role").count();
            log.push("role".to_owned());
            if refuses {
                return Response::new(
                    403,
                    "text/xml",
                    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>",
                );
            }
            Response::new(
                200,
                "text/xml",
                format!(
                    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
<AccessKeyId>ASIAASSUMED{number}</AccessKeyId><SecretAccessKey>canaryOfTheAssumedSecret</SecretAccessKey>\
<SessionToken>canaryOfTheSession</SessionToken><Expiration>{until}</Expiration></Credentials>\
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                ),
            )
        });
        Aws { listener, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no holder panics").clone()
    }
}

fn assuming(world: &World, aws: &Aws, endpoint: &str) -> Run {
    world
        .binary(&["release"])
        .env("AWS_ACCESS_KEY_ID", "")
        .env("AWS_SECRET_ACCESS_KEY", "")
        .env("AWS_ENDPOINT_URL_STS", aws.listener.url())
        .env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            format!("{}/identity", aws.listener.url()),
        )
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", RIGHT)
        .env("PKGS_STORE_ENDPOINT", endpoint)
        .env("PKGS_ROLE_TO_ASSUME", ROLE)
        .run()
}

fn credentials(log: &[Seen]) -> Vec<String> {
    let used = log.iter().filter_map(|seen| seen.authorization.as_ref());
    let mut keys: Vec<String> = used
        .filter_map(|header| {
            Some(
                header
                    .split_once("Credential=")?
                    .1
                    .split('/')
                    .next()?
                    .to_owned(),
            )
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn a_job_assumes_a_role_by_its_identity_and_gets_new_credentials_when_they_run_out() {
    let world = World::served(site(3, 0), "uploads-role");
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    let aws = Aws::start("2099-01-01T00:00:00Z", false);
    let run = assuming(&world, &aws, &endpoint).expect(0);
    assert_eq!(credentials(&proxy.log()), ["ASIAASSUMED0"]);
    assert_eq!(aws.asked(), ["identity", "role"]);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(!told.contains("canary"), "{told}");

    // Those that have run out are not taken for the next request.
    let world = world.develop(
        "fix(site): more",
        &[("packages/site/src/index.html", "<p>more</p>\n")],
    );
    proxy.reset();
    let aws = Aws::start("2020-01-01T00:00:00Z", false);
    let _ = assuming(&world, &aws, &endpoint).expect(0);
    assert!(credentials(&proxy.log()).len() > 1, "{:?}", aws.asked());
}

#[test]
fn a_role_that_cannot_be_assumed_is_told_before_anything_is_done() {
    let world = World::served(site(3, 0), "uploads-no-role");
    let aws = Aws::start("2099-01-01T00:00:00Z", true);
    let refused = assuming(&world, &aws, &Moto::shared().endpoint).expect(5);
    let told = &refused.stderr;
    for part in [
        "store::role",
        "repo:acme/monorepo:ref:refs/heads/main",
        ROLE,
        "AccessDenied",
        "sts.amazonaws.com",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!told.contains("canary"), "{told}");
    assert_eq!(world.pushes().len(), 0);

    let outside = |name: &str, value: &str| {
        world
            .binary(&["release"])
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", "")
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
            .env(name, value)
            .run()
            .expect(2)
    };
    let told = outside("PKGS_ROLE_TO_ASSUME", ROLE);
    assert!(
        told.stderr.contains("settings::no_identity"),
        "{}",
        told.stderr
    );
    let told = outside("PKGS_ROLE_TO_ASSUME", "arn:aws:iam::12:role/x");
    assert!(told.stderr.contains("settings::role"), "{}", told.stderr);
}

/// Two versions of a site of 41 files that differ in one page, both in the store, the second one live in `prod`; every request of the deeds that follow
/// goes through the proxy.
fn two_versions(bucket: &str) -> (World, FaultProxy, String) {
    let world = World::served(site(40, 0), bucket);
    let _ = world.run(&["release"]).expect(0);
    let world = world.develop(
        "fix(site): other words",
        &[(
            "packages/site/src/index.html",
            "<!doctype html><p>other</p>\n",
        )],
    );
    let _ = world.run(&["release"]).expect(0);
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &Moto::shared().endpoint);
    for version in ["1.0.0", "1.0.1"] {
        let _ = point(&world, &endpoint, &["promote", "--to", version]).expect(0);
    }
    proxy.reset();
    (world, proxy, endpoint)
}

fn point(world: &World, endpoint: &str, arguments: &[&str]) -> Run {
    point_in(world, endpoint, "prod", arguments)
}

fn point_in(world: &World, endpoint: &str, environment: &str, arguments: &[&str]) -> Run {
    // Each is a run of its own: the same one again has happened already.
    static RUN: AtomicU64 = AtomicU64::new(1000);
    let run = RUN.fetch_add(1, Ordering::Relaxed).to_string();
    let invocation = world.binary(arguments).env("GITHUB_RUN_ID", run);
    let invocation = invocation.env("PKGS_ENVIRONMENT", environment);
    invocation.env("PKGS_STORE_ENDPOINT", endpoint).run()
}

/// What of the static root was looked at.
fn looks(proxy: &FaultProxy) -> usize {
    let log = proxy.log();
    let of_root = |seen: &&Seen| seen.method == "HEAD" && seen.target.contains("-static/");
    log.iter().filter(of_root).count()
}

#[test]
fn a_rollback_looks_at_what_differs_alone_and_at_everything_where_something_was_not_finished() {
    let (world, proxy, endpoint) = two_versions("uploads-back");
    let run = point(&world, &endpoint, &["rollback"]).expect(0);
    // The page, before the pointer moves, and after.
    assert_eq!(looks(&proxy), 2, "{}\n{}", run.stdout, proxy.transcript());
    let served = world.outside.static_bucket();
    let first = Digest::of(b"<!doctype html><script src=\"site.js\"></script>\n").to_string();
    assert_eq!(served["prod/index.html"].digest, first);

    // An activation that dies half-way: whoever comes next does not believe the lists, and neither does the one after.
    proxy.reset();
    proxy.when(|seen| {
        let is_page = seen.method == "PUT" && seen.target.contains("-static/prod/index.html");
        is_page.then_some(Fault::AnswerBefore(403))
    });
    let forward = ["promote", "--to", "1.0.1", "--force"];
    let _ = point(&world, &endpoint, &forward).expect(5);
    for arguments in [&["promote", "--to", "1.0.0", "--force"][..], &forward] {
        proxy.reset();
        let _ = point(&world, &endpoint, arguments).expect(0);
        assert!(looks(&proxy) >= 41, "{arguments:?}\n{}", proxy.transcript());
    }
    let served = world.outside.static_bucket();
    let second = Digest::of(b"<!doctype html><p>other</p>\n").to_string();
    assert_eq!(served["prod/index.html"].digest, second);
}

#[test]
fn the_first_files_of_an_environment_are_not_looked_for_one_by_one() {
    let (world, proxy, endpoint) = two_versions("uploads-first");
    let first = ["promote", "--environment", "sit", "--to", "1.0.0"];
    let _ = point(&world, &endpoint, &first).expect(0);
    assert_eq!(looks(&proxy), 0, "{}", proxy.transcript());
    let served = world.outside.static_bucket();
    assert!(served.contains_key("sit/7.txt") && served.contains_key("sit/index.html"));
}

/// The newest entry costs three requests, the next one a write, the hint a look and a write; the others open the store, find the app, and ask what the
/// version is that it goes back to.
#[test]
fn a_rollback_of_the_pointer_alone_asks_little() {
    const MOST_REQUESTS: usize = 11;
    let (world, proxy, endpoint) = two_versions("uploads-pointer");
    let back = ["rollback", "--static", "none"];
    let run = point(&world, &endpoint, &back).expect(0);
    let asked = proxy.log().len();
    assert!(
        asked <= MOST_REQUESTS,
        "{asked}\n{}\n{}",
        run.stdout,
        proxy.transcript()
    );
}

#[test]
fn what_somebody_took_away_is_mended_by_the_promote_of_what_is_live() {
    let (world, proxy, endpoint) = two_versions("uploads-mended");
    let target = format!(
        "{}/uploads-mended-static/prod/7.txt",
        Moto::shared().endpoint
    );
    let gone = http::send("DELETE", &target, &[moto::SIGNED], b"").expect("an answer");
    assert_eq!(gone.status, 204);
    let _ = point(&world, &endpoint, &["promote", "--to", "1.0.1"]).expect(0);
    assert!(looks(&proxy) >= 41, "{}", proxy.transcript());
    let served = world.outside.static_bucket();
    assert!(served.contains_key("prod/7.txt"));
}
