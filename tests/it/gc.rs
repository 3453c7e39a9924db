//! Stories of `gc`: what it deletes and when, what stays, and that nobody who works beside it ever misses anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pkgs_action::name::Digest;
use serde_json::{Value, json};

use crate::support::ceph::Ceph;
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::monorepo::Monorepo;
use crate::support::moto::Moto;
use crate::support::s3;
use crate::support::sandbox::{Run, Running, Sandbox};
use crate::support::stand_in::Days;
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

fn fixed(world: World, patch: usize) -> World {
    let file = format!("packages/web/service/{patch}.js");
    world.develop(&format!("fix(web): {patch}"), &[(&file, "")])
}

/// `service()` after releases of 1.0.0 up to 1.0.`last`; each was live in `sit`.
fn released(last: usize) -> World {
    released_in(World::local(service()), last)
}

fn released_in(mut world: World, last: usize) -> World {
    let _ = world.run(&["release"]).expect(0);
    for patch in 1..=last {
        world = fixed(world, patch);
        let _ = world.run(&["release"]).expect(0);
    }
    world
}

/// Makes everything in a directory so many days older.
fn age(directory: &Path, days: u64) {
    let back = Duration::from_secs(days * 86_400);
    for entry in walkdir::WalkDir::new(directory).into_iter().flatten() {
        if entry.file_type().is_file() {
            let written = entry.metadata().expect("metadata").modified();
            let file = File::options().append(true).open(entry.path());
            let file = file.expect("a file");
            let older = written.expect("a time") - back;
            file.set_modified(older).expect("another time");
        }
    }
}

fn store(world: &World) -> std::path::PathBuf {
    world.outside.path().join("store")
}

const KEEP: [&str; 4] = ["--keep-releases", "2", "--keep-days", "0"];

fn gc(world: &World, more: &[&str]) -> Value {
    let arguments = [&["gc", "--format", "json"], &KEEP[..], more].concat();
    let run = world.operate(&arguments).expect(0);
    assert_eq!(run.json()["schema"], "pkgs.gc/1");
    run.json()
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|one| one["version"].as_str()).collect()
}

fn versions(world: &World) -> Vec<String> {
    let apps = store(world).join("v1/apps/web");
    let mut names: Vec<String> = fs::read_dir(apps)
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !matches!(name.as_str(), "environments" | "deltas"))
        .collect();
    names.sort();
    names
}

#[test]
fn old_versions_are_retired_then_deleted_and_everything_that_is_needed_works_on() {
    let world = released(5);
    let pin = ["pin", "--environment", "sit", "--to", "1.0.0"];
    let _ = world.operate(&pin).expect(0);
    let young = gc(&world, &[]);
    assert_eq!(young["retired"], json!([]), "{young:#}");
    age(&store(&world), 40);

    let before = files(&store(&world));
    let dry = gc(&world, &["--dry-run"]);
    assert_eq!(dry["dryRun"], true);
    assert_eq!(names(&dry["retired"]), ["1.0.1", "1.0.2"], "{dry:#}");
    assert_eq!(files(&store(&world)), before, "a dry run writes nothing");
    let dry_text = world.operate(&[&["gc", "--dry-run"], &KEEP[..]].concat());
    let dry_text = dry_text.expect(0).stdout;
    let line = "would retire web 1.0.1 in sit: no environment, window or pin needs it\n";
    assert!(dry_text.contains(line), "{dry_text}");
    assert!(
        dry_text.contains(" would be deleted; 4 versions stay\n"),
        "{dry_text}"
    );
    let (_, why) = dry_text.split_once(" versions stay\n").expect("what stays");
    let counts = why.lines().map(|line| {
        let (count, reason) = line.split_once(" because it ").expect(line);
        assert!(!reason.is_empty(), "{line}");
        count.trim().parse::<usize>().expect("a number")
    });
    assert_eq!(counts.sum::<usize>(), 4, "{why}");
    assert!(why.contains("  1 because it is live in sit\n"), "{why}");

    let summary = world.outside.path().join("summary");
    let sandbox = Sandbox::new();
    let arguments = [&["gc"], &KEEP[..]].concat();
    let run = world
        .outside
        .store(sandbox.binary(&sandbox.home(), &arguments))
        .env("GITHUB_STEP_SUMMARY", &summary)
        .run()
        .expect(0);
    assert!(
        run.stdout.contains("retired web 1.0.1 in sit"),
        "{}",
        run.stdout
    );
    let summary = fs::read_to_string(summary).expect("a summary");
    assert!(summary.starts_with("## gc deleted: "), "{summary}");
    assert!(
        summary.contains("| `web 1.0.1` | retired in sit |"),
        "{summary}"
    );
    assert_eq!(
        versions(&world).len(),
        6,
        "nothing is deleted on the same day"
    );
    let waits = gc(&world, &[]);
    assert_eq!(names(&waits["waiting"]), ["1.0.1", "1.0.2"]);

    age(&store(&world), 2);
    let done = gc(&world, &[]);
    let gone = names(&done["deleted"]);
    assert_eq!(gone, ["1.0.1", "1.0.2"], "{done:#}");
    assert!(done["bytes"].as_u64() > Some(100));
    assert_eq!(versions(&world), ["1.0.0", "1.0.3", "1.0.4", "1.0.5"]);
    assert_eq!(
        fs::read_dir(store(&world).join("v1/releases"))
            .expect("releases")
            .count(),
        6
    );

    // A person can go back, not to what is gone; the next release finds all it needs; what is unpinned goes.
    let promote = ["promote", "--environment", "sit", "--to", "1.0.1"];
    let refused = world.operate(&promote).expect(3);
    assert!(
        refused.stderr.contains("environment::retired"),
        "{}",
        refused.stderr
    );
    let back = ["rollback", "--environment", "sit", "--format", "json"];
    let back = world.operate(&back).expect(0).json();
    assert_eq!(back["apps"][0]["to"], "1.0.4");
    let _ = world.operate(&["unhold", "--environment", "sit"]).expect(0);
    let world = fixed(world, 6);
    let _ = world.run(&["release"]).expect(0);
    let _ = world.run(&["release"]).expect(0);
    let unpin = ["unpin", "--environment", "sit", "--to", "1.0.0"];
    let _ = world.operate(&unpin).expect(0);
    age(&store(&world), 10);
    assert_eq!(names(&gc(&world, &[])["retired"]), ["1.0.0"]);

    // A complete release whose seal is gone is complete all the same.
    for entry in walkdir::WalkDir::new(store(&world).join("v1/seals"))
        .into_iter()
        .flatten()
    {
        if entry.file_type().is_file() {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    let _ = world.run(&["release"]).expect(0);
    let world = fixed(world, 7);
    let _ = world.run(&["release"]).expect(0);
    let status = world
        .operate(&["status", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(status["apps"][0]["environments"][0]["current"], "1.0.7");
}

#[test]
fn what_is_kept_is_said_in_files_flags_and_variables_and_a_store_is_needed() {
    let world = World::local(
        Monorepo::new()
            .service("web", "1.0.0")
            .config(&json!({
                "mode": "diff",
                "keepDays": 0,
                "apps": {"web": {"type": "service", "environments": ["sit"], "auto": ["sit"], "keepReleases": 3}},
            }))
            .commit("feat: begin", &[]),
    );
    let _ = world.run(&["release"]).expect(0);
    let mut world = world;
    for patch in 1..=4 {
        world = fixed(world, patch);
        let _ = world.run(&["release"]).expect(0);
    }
    age(&store(&world), 40);
    let retired = |run: Run| names(&run.expect(0).json()["retired"]).join(" ");
    let dry = ["gc", "--dry-run", "--format", "json"];
    assert_eq!(retired(world.run(&dry)), "1.0.0");
    assert_eq!(
        retired(world.operate(&dry)),
        "",
        "without the file all of them stay"
    );
    let flag = [&dry[..], &["--keep-releases", "2"]].concat();
    assert_eq!(retired(world.run(&flag)), "1.0.0 1.0.1");
    let variable = world.binary(&dry).env("PKGS_KEEP_RELEASES", "2").run();
    assert_eq!(retired(variable), "1.0.0 1.0.1");

    let sandbox = Sandbox::new();
    let run = sandbox.run(sandbox.path(), &["gc"], &[]).expect(2);
    assert!(run.stderr.contains("settings::missing"), "{}", run.stderr);
    let run = world.operate(&["gc", "--keep-releases", "1"]).expect(2);
    assert!(run.stderr.contains("settings::number"), "{}", run.stderr);
    assert_eq!(
        run.stderr.matches("settings::number").count(),
        1,
        "{}",
        run.stderr
    );
    let run = world.operate(&["gc", "--app", "web"]).expect(2);
    assert!(run.stderr.contains("settings::flags"), "{}", run.stderr);
}

#[test]
fn a_bucket_is_swept_as_a_directory_is() {
    let moto = Moto::shared();
    moto.bucket("gc-bucket");
    let old = Days::before(&moto.endpoint);
    let world = World::local(service());
    let with_store = |invocation: crate::support::sandbox::Invocation, endpoint: &str| {
        invocation
            .envs(moto.environment())
            .env("PKGS_STORE", "s3://gc-bucket/team")
            .env("PKGS_STORE_ENDPOINT", endpoint)
            .env("PKGS_ACTOR", "ada")
            .run()
    };
    let mut world = world;
    let _ = with_store(world.binary(&["release"]), &moto.endpoint).expect(0);
    for patch in 1..=4 {
        world = fixed(world, patch);
        let _ = with_store(world.binary(&["release"]), &moto.endpoint).expect(0);
    }
    let gc = |endpoint: &str| {
        let sandbox = Sandbox::new();
        let arguments = [&["gc", "--format", "json"], &KEEP[..]].concat();
        with_store(sandbox.binary(&sandbox.home(), &arguments), endpoint)
            .expect(0)
            .json()
    };
    assert_eq!(
        gc(&moto.endpoint)["retired"],
        json!([]),
        "all of it is young"
    );
    old.pass(40);
    let first = gc(&old.url());
    assert_eq!(names(&first["retired"]), ["1.0.0", "1.0.1"]);
    old.pass(2);
    let second = gc(&old.url());
    assert_eq!(names(&second["deleted"]), ["1.0.0", "1.0.1"]);
    let there = s3::dump(&moto.endpoint, "gc-bucket");
    let is_there = |key: &str| there.contains_key(&format!("team/v1/{key}"));
    assert!(!is_there("apps/web/1.0.1/any.json") && is_there("apps/web/1.0.2/any.json"));
    assert!(!is_there("apps/web/1.0.1/web-1.0.1.tar.zst"));
    let blobs = there.keys().filter(|key| key.contains("/blobs/"));
    let named: BTreeSet<String> = there
        .keys()
        .filter(|key| key.ends_with("/any.json") || key.contains("/seals/"))
        .map(|key| {
            let url = format!("{}/gc-bucket/{key}", moto.endpoint);
            let answer =
                crate::support::http::send("GET", &url, &[crate::support::moto::SIGNED], b"");
            String::from_utf8(answer.expect("an answer").body).expect("text")
        })
        .collect();
    for blob in blobs {
        let hex = blob.rsplit('/').next().expect("a name");
        assert!(
            named.iter().any(|document| document.contains(hex)),
            "{blob} is named by nothing"
        );
    }
    let probes = there.keys().filter(|key| key.contains("/probe/"));
    assert_eq!(probes.count(), 0);
}

/// What one process of a round is asked.
struct Asked {
    arguments: Vec<String>,
    running: Running,
    _sandbox: Option<Sandbox>,
}

/// Where a store lies, looked at directly and never with the tool's own code.
enum Shelf {
    Directory(PathBuf),
    Bucket {
        endpoint: String,
        bucket: String,
        days: Days,
    },
}

impl Shelf {
    /// The keys that start with `prefix`, which ends with `/`.
    fn keys(&self, prefix: &str) -> Vec<String> {
        match self {
            Shelf::Directory(root) => {
                let names = fs::read_dir(root.join(prefix));
                let names = names.into_iter().flatten().flatten();
                names
                    .map(|entry| format!("{prefix}{}", entry.file_name().to_string_lossy()))
                    .collect()
            }
            Shelf::Bucket {
                endpoint, bucket, ..
            } => {
                let keys = s3::list(endpoint, bucket, &format!("team/{prefix}"));
                let keys = keys.iter().filter_map(|key| key.strip_prefix("team/"));
                keys.map(str::to_owned).collect()
            }
        }
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self {
            Shelf::Directory(root) => fs::read(root.join(key)).ok(),
            Shelf::Bucket {
                endpoint, bucket, ..
            } => s3::get(endpoint, bucket, &format!("team/{key}")),
        }
    }

    /// What is there grows so many days older.
    fn age(&self, days: u32) {
        match self {
            Shelf::Directory(root) => age(root, days.into()),
            Shelf::Bucket { days: passed, .. } => passed.pass(days.into()),
        }
    }

    fn has(&self, version: &str) -> bool {
        self.get(&format!("v1/apps/web/{version}/any.json"))
            .is_some()
    }
}

/// Every entry of a log; the log has no gap and is a chain, and each deed is in it once.
fn entries(shelf: &Shelf, environment: &str) -> Vec<Value> {
    let directory = format!("v1/apps/web/environments/{environment}/log/");
    let count = shelf.keys(&directory).len();
    let (mut before, mut operations) = (Value::Null, BTreeSet::new());
    (1..=count)
        .map(|number| {
            let bytes = shelf.get(&format!("{directory}{number:012}.json"));
            let bytes = bytes.unwrap_or_else(|| panic!("entry {number} of {count}"));
            let entry: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(entry["previous"], before, "entry {number} of {environment}");
            assert!(
                operations.insert(entry["operation"].to_string()),
                "entry {number}"
            );
            before = json!({"seq": number, "digest": Digest::of(&bytes).to_string()});
            entry
        })
        .collect()
}

/// Reads what is live as a host does: the newest entry, the manifest that it names, the archive that this names. Whatever happens meanwhile, all are there
/// and belong together.
fn read_as_a_host(shelf: &Shelf, environment: &str) {
    let log = shelf.keys(&format!("v1/apps/web/environments/{environment}/log/"));
    let names = log.into_iter().filter(|key| key.contains(".json"));
    let Some(newest) = names.max() else {
        return;
    };
    let entry = shelf.get(&newest).expect("an entry");
    let entry: Value = serde_json::from_slice(&entry).expect("JSON");
    let live = &entry["state"]["current"];
    let Some(version) = live["version"].as_str() else {
        return;
    };
    let bytes = shelf.get(&format!("v1/apps/web/{version}/any.json"));
    let bytes = bytes.unwrap_or_else(|| panic!("{environment} names {version}"));
    assert_eq!(
        live["manifestDigest"],
        Digest::of(&bytes).to_string(),
        "a mix"
    );
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let digest = manifest["archive"]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    let hex = digest.strip_prefix("sha256:").expect("a digest");
    let bytes = shelf.get(&format!("v1/blobs/sha256/{}/{hex}", &hex[..2]));
    let bytes = bytes.unwrap_or_else(|| panic!("{version} names {hex}"));
    assert_eq!(Digest::of(&bytes).to_string(), digest);
}

/// The versions that a log needs: what is live, and the last two before it to which a rollback may go.
fn window(entries: &[Value]) -> Vec<String> {
    let state = &entries.last().expect("an entry")["state"];
    let has = |list: &str, version: &str| {
        state[list]
            .as_array()
            .into_iter()
            .flatten()
            .any(|one| one == version)
    };
    let mut window: Vec<String> = Vec::new();
    for step in state["history"].as_array().into_iter().flatten() {
        let version = step["version"].as_str().expect("a version");
        let is_live = state["current"]["version"] == version;
        let is_out = has("bad", version) || has("retired", version);
        if window.len() < 3 && (is_live || !is_out) && !window.contains(&version.to_owned()) {
            window.push(version.to_owned());
        }
    }
    window
}

/// How many rounds are asked for; without a word, `few`.
#[expect(
    clippy::disallowed_methods,
    reason = "a longer run is asked for from outside"
)]
fn rounds(few: usize) -> usize {
    let asked = std::env::var("PKGS_GC_ROUNDS").ok();
    asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(few)
}

/// Ten processes promote, roll back, release and collect at once; between the rounds three days go by. `PKGS_GC_ROUNDS` says how many rounds.
#[test]
fn ten_processes_beside_each_other_lose_nothing() {
    let world = World::local(service());
    let shelf = Shelf::Directory(store(&world));
    nothing_is_lost(world, &shelf, rounds(6));
}

/// The same, on a server whose conditions, lists and answers are those of a real one.
#[test]
fn ten_processes_beside_each_other_lose_nothing_in_a_bucket() {
    let endpoint = &Ceph::shared().endpoint;
    let days = Days::before(endpoint);
    let world = World::in_bucket(service(), &days.url(), "gc-race");
    let shelf = Shelf::Bucket {
        endpoint: endpoint.clone(),
        bucket: "gc-race".to_owned(),
        days,
    };
    nothing_is_lost(world, &shelf, rounds(2));
}

fn nothing_is_lost(world: World, shelf: &Shelf, rounds: usize) {
    let mut world = released_in(world, 4);
    shelf.age(40);
    let (mut deleted, mut done) = (0, BTreeMap::<String, usize>::new());
    for round in 1..=rounds {
        world = fixed(world, 4 + round);
        shelf.age(3);
        let newest = 3 + round;
        let is_over = AtomicBool::new(false);
        let runs: Vec<(Vec<String>, Run)> = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    for environment in ["sit", "prod"] {
                        read_as_a_host(shelf, environment);
                    }
                }
            });
            let running = ten(&world, round, newest);
            let runs = running
                .into_iter()
                .map(|asked| (asked.arguments, asked.running.wait()))
                .collect();
            is_over.store(true, Ordering::SeqCst);
            reader.join().expect("the reader missed nothing");
            runs
        });
        let logs: BTreeMap<&str, Vec<Value>> = ["sit", "prod"]
            .map(|name| (name, entries(shelf, name)))
            .into();
        for (arguments, run) in &runs {
            let context = format!(
                "round {round}: {arguments:?}\n{}\n{}",
                run.stdout, run.stderr
            );
            assert!(matches!(run.code, 0 | 3 | 4 | 75), "{context}");
            assert!(
                run.code != 3 || !matches!(arguments[0].as_str(), "gc" | "release"),
                "{context}"
            );
            *done
                .entry(format!("{} {}", arguments[0], run.code))
                .or_default() += 1;
            if run.code != 0 || arguments[0] == "release" {
                continue;
            }
            let json = run.json();
            deleted += names(&json["deleted"]).len();
            for point in json["apps"].as_array().into_iter().flatten() {
                if point["outcome"] == "done" {
                    let place = point["environment"].as_str().expect("a name");
                    let seq = point["seq"].as_u64().expect("a number");
                    let entry = &logs[place][usize::try_from(seq).expect("small") - 1];
                    assert_eq!(entry["op"], point["op"], "{context}");
                    assert_eq!(entry["target"]["version"], point["to"], "{context}");
                }
            }
        }
        for (environment, entries) in &logs {
            for version in window(entries) {
                assert!(
                    shelf.has(&version),
                    "round {round}: {environment} needs {version}"
                );
            }
            read_as_a_host(shelf, environment);
        }
        let status = world
            .operate(&["status", "--format", "json"])
            .expect(0)
            .json();
        for environment in status["apps"][0]["environments"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if let Some(target) = environment["rollbackTo"].as_str() {
                assert!(shelf.has(target), "round {round}: {target}");
            }
        }
        // What somebody said against releases in this round does not stop the next ones.
        let _ = world.operate(&["unhold", "--environment", "sit"]);
    }
    // When nobody is in the way, what is left goes, and the windows stay whole.
    for _ in 0..2 {
        shelf.age(10);
        deleted += names(&gc(&world, &[])["deleted"]).len();
    }
    assert!(deleted > 0, "{done:?}");
    for environment in ["sit", "prod"] {
        read_as_a_host(shelf, environment);
        for version in window(&entries(shelf, environment)) {
            assert!(shelf.has(&version), "{environment} needs {version}");
        }
    }
}

/// Starts the ten of a round.
fn ten(world: &World, round: usize, newest: usize) -> Vec<Asked> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let old = |back: usize| format!("1.0.{}", newest.saturating_sub(back));
    let keep = KEEP.join(" ");
    let lines = [
        format!("promote --environment prod --force --to {}", old(0)),
        format!(
            "promote --environment prod --force --to {}",
            old(2 + round % 4)
        ),
        format!(
            "promote --environment sit --force --to {}",
            old(3 + round % 3)
        ),
        format!("promote --environment prod --force --to {}", old(5)),
        "promote --environment prod --from sit --force".to_owned(),
        "rollback --environment prod".to_owned(),
        "rollback --environment sit".to_owned(),
        format!("gc {keep}"),
        format!("gc {keep}"),
    ];
    let mut running: Vec<Asked> = vec![Asked {
        arguments: words("release"),
        running: world.binary(&["release"]).start(),
        _sandbox: None,
    }];
    for line in lines {
        let sandbox = Sandbox::new();
        let arguments = words(&format!("{line} --format json"));
        let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let invocation = sandbox.binary(&sandbox.home(), &texts);
        let started = world
            .outside
            .store(invocation)
            .env("PKGS_ACTOR", "ada")
            .start();
        running.push(Asked {
            arguments,
            running: started,
            _sandbox: Some(sandbox),
        });
    }
    running
}

#[test]
fn times_come_from_the_store() {
    // A file from the future is young, whatever this machine's clock says.
    let world = released(4);
    age(&store(&world), 40);
    let manifest = store(&world).join("v1/apps/web/1.0.0/any.json");
    let file = File::options().append(true).open(manifest).expect("a file");
    let written = file.metadata().expect("metadata").modified();
    let later = written.expect("a time") + Duration::from_hours(42 * 24);
    file.set_modified(later).expect("another time");
    assert_eq!(names(&gc(&world, &["--dry-run"])["retired"]), ["1.0.1"]);
}

#[test]
fn uploads_that_nobody_completed_are_given_back_a_day_later() {
    let server = &Ceph::shared().endpoint;
    let (days, proxy) = (Days::before(server), FaultProxy::new());
    let world = World::in_bucket(service(), &proxy.before("s3", &days.url()), "gc-unfinished");
    let _ = world.run(&["release"]).expect(0);
    let begin = |key: &str| s3::begin_upload(server, "gc-unfinished", key);
    let ours = [
        "team/v1/apps/web/1.0.0/web-1.0.0.tar.zst",
        "team/v1/blobs/sha256/00/00",
    ];
    // Of others: beside the store, below a prefix that only begins like it, and what a person put there.
    let theirs = [
        "report.pdf",
        "team/report.pdf",
        "team2/v1/blobs/sha256/00/00",
    ];
    let part = format!(
        "{server}/gc-unfinished/{}?partNumber=1&uploadId={}",
        ours[1],
        begin(ours[1])
    );
    assert_eq!(s3::send("PUT", &part, b"what has arrived").status, 200);
    for key in [&ours[..1], &theirs].concat() {
        let _ = begin(key);
    }
    let there = || s3::uploads(server, "gc-unfinished");
    let all = there();
    assert_eq!(all.len(), 5);
    let uploads = |collected: &Value| -> Vec<String> {
        let deleted = collected["deleted"].as_array().into_iter().flatten();
        let uploads = deleted.filter(|deleted| deleted["kind"] == "upload");
        uploads
            .flat_map(|deleted| deleted["keys"].as_array().cloned().unwrap_or_default())
            .map(|key| format!("team/{}", key.as_str().expect("a key")))
            .collect()
    };

    days.pass(1);
    assert_eq!(
        uploads(&gc(&world, &[])),
        [""; 0],
        "two clocks may differ by a day"
    );
    days.pass(1);
    let under_way = begin(ours[0]);
    let dry = gc(&world, &["--dry-run"]);
    assert_eq!(uploads(&dry), ours);
    assert_eq!(dry["bytes"], 0);
    assert_eq!(there().len(), 6, "a dry run gives nothing back");
    let told = world.operate(&["gc", "--dry-run"]).expect(0).stdout;
    let line = "would delete 2 unfinished uploads: begun more than a day ago, and not completed\n";
    assert!(told.contains(line), "{told}");

    // A store that forbids the look, or the deed, is no failure.
    for (method, query, permission) in [
        ("GET", "?uploads", "s3:ListBucketMultipartUploads"),
        ("DELETE", "uploadId=", "s3:AbortMultipartUpload"),
    ] {
        proxy.reset();
        proxy.when(move |seen| {
            let asks = seen.method == method && seen.target.contains(query);
            asks.then_some(Fault::AnswerBefore(403))
        });
        let forbidden = gc(&world, &[]);
        assert_eq!(uploads(&forbidden), [""; 0]);
        let notice = forbidden["notices"][0].as_str().expect("a notice");
        assert!(notice.contains(permission), "{notice}");
        assert_eq!(there().len(), 6);
    }
    proxy.reset();
    // An answer that is lost is no failure either.
    proxy.when(|seen| {
        let gives_back = seen.method == "DELETE" && seen.target.contains("uploadId=");
        (gives_back && seen.number % 2 == 0).then_some(Fault::BreakAfter)
    });
    assert_eq!(uploads(&gc(&world, &[])), ours);
    assert!(proxy.struck());
    proxy.reset();
    let left: Vec<String> = there();
    let mut stays = [&theirs[..], &ours[..1]].concat();
    stays.sort_unstable();
    assert_eq!(left, stays);
    let part = format!(
        "{server}/gc-unfinished/{}?partNumber=1&uploadId={under_way}",
        ours[0]
    );
    assert_eq!(s3::send("PUT", &part, b"goes on").status, 200);
    assert_eq!(uploads(&gc(&world, &[])), [""; 0]);
}
