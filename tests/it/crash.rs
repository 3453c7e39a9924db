//! A release is killed at every outside request, before it leaves and after it was served, and run again: nothing is lost, nothing happens twice.
//!
//! Builds differ at every run here (each puts the name of its attempt into its files), so that bytes of two attempts can never pass for the
//! same. The killed run of every case has the same name, so that what it leaves can be compared: from states that are equal to the last byte,
//! the healing is tried once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pkgs_action::name::{Digest, Key};
use pkgs_action::release::layout;

use super::oracle::{self, World};
use super::support::fault_proxy::{Fault, FaultProxy, Seen};
use super::support::git_server::GitServer;
use super::support::http;
use super::support::monorepo::Monorepo;
use super::support::moto::{self, Moto};
use super::support::sandbox::{Invocation, Run};
use super::support::state;
use super::support::verdaccio::Verdaccio;

/// The bucket of a stage.
const BUCKET: &str = "crash";

/// Servers of one's own behind a proxy, and a repository that was released once and has changed since: everything is put back before each case.
pub struct Stage {
    git: GitServer,
    registry: Verdaccio,
    store: Option<Moto>,
    /// Stands before all of them.
    pub proxy: FaultProxy,
    monorepo: Monorepo,
    environment: Vec<(String, String)>,
    attempts: AtomicUsize,
    begin: Snapshot,
}

/// Where the second run takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checkout {
    /// The checkout in which the first run died.
    Same,
    /// A shallow clone of the original commit, as a runner makes it.
    Fresh,
}

/// Servers and the first checkout at one moment.
#[derive(Default)]
struct Snapshot {
    name: &'static str,
    objects: Vec<Saved>,
}

struct Saved {
    key: String,
    bytes: Vec<u8>,
    headers: Vec<(String, String)>,
    tag: String,
}

impl Stage {
    /// Libraries, a service and a site, with a store and an environment that every release activates.
    pub fn with_store() -> Stage {
        let monorepo = Monorepo::five();
        let mut config = monorepo.json("pkgs.json");
        config["install"] = "none".into();
        config["apps"]["web"]["build"] = "cat \"$HOME/attempt\" > service/nonce.txt".into();
        config["apps"]["site"]["build"] = "node build.js".into();
        let build = monorepo.read("packages/site/build.js");
        let build =
            format!("{build}write('nonce.txt', readFileSync(`${{process.env.HOME}}/attempt`));\n");
        let monorepo = monorepo
            .config(&config)
            .file("packages/site/build.js", &build);
        Stage::new(monorepo, Some(Moto::start()))
    }

    /// Libraries alone, without a store.
    pub fn without_store() -> Stage {
        let monorepo = Monorepo::new()
            .package("core", "1.0.0")
            .package("@acme/text", "1.1.0")
            .cli("@acme/cli", "0.3.0")
            .depends("@acme/text", "core", "^1.0.0")
            .depends("@acme/cli", "@acme/text", "^1.1.0")
            .config(&serde_json::json!({"mode": "diff", "install": "none"}));
        Stage::new(monorepo, None)
    }

    fn new(monorepo: Monorepo, store: Option<Moto>) -> Stage {
        let ignored = format!("{}nonce.txt\n", monorepo.read(".gitignore"));
        let mut core = monorepo.json("packages/core/package.json");
        core["scripts"]["prepack"] = "cat \"$HOME/attempt\" > src/nonce.txt".into();
        let core = serde_json::to_string_pretty(&core).expect("JSON");
        let monorepo = monorepo.commit(
            "feat: builds that differ every time",
            &[
                (".gitignore", &ignored),
                ("packages/core/package.json", &core),
            ],
        );
        let (git, registry, proxy) = (GitServer::start(), Verdaccio::start(), FaultProxy::new());
        git.bare("acme/monorepo");
        let remote = proxy.before("git", &git.url("acme/monorepo"));
        let mut environment = vec![
            (
                "PKGS_REGISTRY".to_owned(),
                proxy.before("npm", &registry.url),
            ),
            ("NPM_TOKEN".to_owned(), registry.token.clone()),
        ];
        if let Some(moto) = &store {
            moto.bucket(BUCKET);
            environment.extend(
                moto.environment()
                    .into_iter()
                    .filter(|(name, _)| name != "AWS_ENDPOINT_URL"),
            );
            let endpoint = proxy.before("s3", &moto.endpoint);
            for (name, value) in [
                ("PKGS_STORE", format!("s3://{BUCKET}/store")),
                ("PKGS_STATIC", format!("s3://{BUCKET}/static")),
                ("PKGS_STORE_ENDPOINT", endpoint),
            ] {
                environment.push((name.to_owned(), value));
            }
        }
        monorepo.git(&["remote", "add", "origin", &remote]);
        monorepo.git(&["push", "--quiet", "--set-upstream", "origin", "main"]);
        let mut stage = Stage {
            git,
            registry,
            store,
            proxy,
            monorepo,
            environment,
            attempts: AtomicUsize::new(0),
            begin: Snapshot::default(),
        };
        let first = stage.binary(stage.monorepo.path()).run().expect(0);
        stage.object(1, "the first release", &[&first]);
        stage.change("feat: everything changes");
        stage.save();
        stage
    }

    /// Changes every package and pushes.
    fn change(&mut self, message: &str) {
        for file in [
            "core/src/index.js",
            "text/src/index.js",
            "cli/bin/acme.js",
            "cli/src/index.js",
            "web/service/index.js",
            "site/src/robots.txt",
            "site/src/js/site.js",
        ] {
            let path = format!("packages/{file}");
            if self.monorepo.path().join(&path).exists() {
                let text = self.monorepo.read(&path);
                self.monorepo.write(&path, &format!("{text}\n"));
            }
        }
        self.monorepo.git(&["add", "--all"]);
        self.monorepo
            .git(&["commit", "--quiet", "--message", message]);
        self.monorepo.git(&["push", "--quiet", "origin", "main"]);
    }

    /// Keeps this moment, from which every case starts.
    fn save(&mut self) {
        let remote = self.monorepo.git(&["remote", "get-url", "origin"]);
        let fresh = self.saved_at("fresh").display().to_string();
        let clone = ["clone", "--quiet", "--depth=1", "--no-tags"];
        self.monorepo
            .git(&[&clone[..], &[&remote, &fresh]].concat());
        copy(self.monorepo.path(), &self.checkout(Checkout::Same));
        self.begin = self.take("begin");
    }

    fn saved_at(&self, name: &str) -> PathBuf {
        self.monorepo.sandbox().path().join("saved").join(name)
    }

    /// Where the directories of a snapshot come from.
    fn parts(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("bare", self.bare()),
            ("registry", self.registry.storage()),
            ("same", self.checkout(Checkout::Same)),
        ]
    }

    fn take(&self, name: &'static str) -> Snapshot {
        let kept = self.saved_at(name);
        std::fs::create_dir_all(&kept).expect("a directory");
        for (part, directory) in self.parts() {
            copy(&directory, &kept.join(part));
        }
        let objects = self.store.as_ref().map(saved_objects).unwrap_or_default();
        Snapshot { name, objects }
    }

    /// Puts everything back to a snapshot, and the fresh checkout to its beginning; the proxy forgets what it saw.
    fn put(&self, snapshot: &Snapshot) {
        for (part, directory) in self.parts() {
            copy(&self.saved_at(snapshot.name).join(part), &directory);
        }
        copy(&self.saved_at("fresh"), &self.checkout(Checkout::Fresh));
        if let Some(moto) = &self.store {
            put_back(moto, &snapshot.objects);
        }
        self.proxy.reset();
    }

    /// Puts servers and checkouts back to the moment before the release under test, and forgets what the proxy saw.
    pub fn restore(&self) {
        self.put(&self.begin);
    }

    /// Everything that a run in `checkout` would find.
    fn state(&self, checkout: Checkout) -> String {
        let mut text = state::bare(&self.bare()) + &state::registry(&self.registry.storage());
        if let Some(moto) = &self.store {
            text += &state::bucket(&moto.endpoint, BUCKET);
        }
        text + &state::checkout(&self.checkout(checkout))
    }

    /// The directory of a checkout.
    pub fn checkout(&self, checkout: Checkout) -> PathBuf {
        let name = match checkout {
            Checkout::Same => "first",
            Checkout::Fresh => "second",
        };
        self.monorepo.sandbox().path().join(name)
    }

    /// The bare repository.
    pub fn bare(&self) -> PathBuf {
        self.git.directory("acme/monorepo")
    }

    /// `release` in a directory, as an attempt of its own.
    pub fn binary(&self, directory: &Path) -> Invocation {
        let number = self.attempts.fetch_add(1, Ordering::SeqCst);
        self.attempt(directory, &format!("attempt {number}"))
    }

    /// `release` in a directory; two attempts of one name build the same bytes.
    fn attempt(&self, directory: &Path, name: &str) -> Invocation {
        let home = self.monorepo.sandbox().path().join("homes").join(name);
        std::fs::create_dir_all(&home).expect("a directory");
        std::fs::write(home.join("attempt"), name).expect("a file");
        self.monorepo
            .sandbox()
            .binary(directory, &["release", "--format=json"])
            .envs(&self.environment)
            .env("HOME", home)
    }

    /// What the oracle objects to after so many releases.
    pub fn objections(&self, releases: usize) -> Vec<String> {
        oracle::objections(&World {
            bare: &self.bare(),
            registry: &self.registry.url,
            bucket: self
                .store
                .as_ref()
                .map(|moto| (moto.endpoint.as_str(), BUCKET)),
            releases,
            environment: "sit",
        })
    }

    /// Asserts that the oracle objects to nothing.
    pub fn object(&self, releases: usize, context: &str, runs: &[&Run]) {
        let objections = self.objections(releases);
        assert!(
            objections.is_empty(),
            "{context}: {objections:#?}\n{}\n{}",
            said(runs),
            self.proxy.transcript()
        );
    }

    /// Runs twice undisturbed: the first run finishes the release, the second finds nothing to write. What is wrong is given as text.
    fn heals(&self, checkout: Checkout) -> Result<(), String> {
        self.proxy.reset();
        let directory = self.checkout(checkout);
        let second = self.binary(&directory).run();
        let healed = self.proxy.transcript();
        if second.code != 0 {
            return Err(format!(
                "the next run failed\n{}\n{healed}",
                said(&[&second])
            ));
        }
        self.proxy.reset();
        let third = self.binary(&directory).run();
        let written: String = self
            .proxy
            .log()
            .iter()
            .filter(|seen| seen.writes())
            .fold(String::new(), |text, seen| format!("{text}{seen}\n"));
        if third.code != 0 || !written.is_empty() {
            return Err(format!(
                "the third run wrote:\n{written}{}",
                said(&[&third])
            ));
        }
        let objections = self.objections(2);
        if objections.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "{objections:#?}\n{}\n{healed}",
                said(&[&second, &third])
            ))
        }
    }
}

/// What runs said, for a person who looks for the reason.
pub fn said(runs: &[&Run]) -> String {
    runs.iter().fold(String::new(), |mut text, run| {
        let _ = write!(text, "--- exit {}\n{}{}", run.code, run.stdout, run.stderr);
        text
    })
}

/// Makes `to` what `from` is.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("sh")
        .args(["-c", "rm -rf \"$2\" && cp -a \"$1\" \"$2\"", "copy"])
        .args([from, to])
        .status()
        .expect("sh runs");
    assert!(status.success(), "{} to {}", from.display(), to.display());
}

fn saved_objects(moto: &Moto) -> Vec<Saved> {
    let keys = oracle::bucket_tags(&moto.endpoint, BUCKET);
    keys.into_keys()
        .map(|key| {
            let url = format!("{}/{BUCKET}/{key}", moto.endpoint);
            let answer = http::send("GET", &url, &[moto::SIGNED], b"").expect("an answer");
            let kept = |name: &str| {
                let name = name.to_ascii_lowercase();
                ["content-type", "cache-control", "content-encoding"].contains(&name.as_str())
                    || name.starts_with("x-amz-meta-")
            };
            let tag = answer.headers.get("etag").unwrap_or_default().to_owned();
            let headers = answer.headers.0.into_iter();
            Saved {
                key,
                bytes: answer.body,
                headers: headers.filter(|(name, _)| kept(name)).collect(),
                tag,
            }
        })
        .collect()
}

fn put_back(moto: &Moto, saved: &[Saved]) {
    let url = |key: &str| format!("{}/{BUCKET}/{key}", moto.endpoint);
    let present = oracle::bucket_tags(&moto.endpoint, BUCKET);
    for key in present.keys() {
        if !saved.iter().any(|object| object.key == *key) {
            let answer = http::send("DELETE", &url(key), &[moto::SIGNED], b"").expect("an answer");
            assert_eq!(answer.status, 204, "DELETE {key}");
        }
    }
    for object in saved {
        if present.get(&object.key) == Some(&object.tag) {
            continue;
        }
        let headers: Vec<(&str, &str)> = object
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain([moto::SIGNED])
            .collect();
        let answer =
            http::send("PUT", &url(&object.key), &headers, &object.bytes).expect("an answer");
        assert_eq!(answer.status, 200, "PUT {}", object.key);
    }
}

/// How many stages work side by side.
const LANES: usize = 2;
/// After so many failures a lane gives up.
const ENOUGH: usize = 3;
/// The requests of a release of five packages, of which two are apps, after one that is finished; each file of the release commit, as
/// each changelog, costs two: it is stored, and read back before the decision. Before each class of static files that others may want otherwise the log is
/// read again, and `static.json` twice, which spares the looks at files that are the same. Whether the log names a CDN that this run could not tell is asked
/// before the decision.
const MOST_REQUESTS: usize = 148;
/// The request after which no run is killed any more, for a first look: `PKGS_TEST_KILLS=40`.
const KILLS: &str = "PKGS_TEST_KILLS";

/// What all lanes know together.
#[derive(Default)]
struct Progress {
    requests: AtomicUsize,
    cases: AtomicUsize,
    /// What the killed runs left, each with the checkout in which it was healed.
    healed: Mutex<BTreeSet<(Checkout, Digest)>>,
    failures: Mutex<Vec<String>>,
}

impl Progress {
    /// Whether nobody has healed this state yet; from now on somebody has.
    fn is_new(&self, checkout: Checkout, state: &str) -> bool {
        let mut healed = self.healed.lock().expect("no holder panics");
        healed.insert((checkout, Digest::of(state.as_bytes())))
    }

    fn failed(&self, what: String) {
        tell(&what);
        self.failures.lock().expect("no holder panics").push(what);
    }
}

/// Kills at request 1, 2, … until a run comes to its end unharmed, before and after it was served, and heals in both checkouts.
fn kill_everywhere(make: fn() -> Stage) {
    let started = Instant::now();
    let last = std::env::var_os(KILLS).and_then(|text| text.to_str()?.parse().ok());
    let next = AtomicUsize::new(1);
    let progress = Progress::default();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let stage = make();
                let mut failed = 0;
                while failed < ENOUGH {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if last.is_some_and(|last: usize| number > last) {
                        break;
                    }
                    let mut beyond = false;
                    for fault in [Fault::KillBefore, Fault::KillAfter] {
                        match killed_at(&stage, number, fault, &progress) {
                            Ok(true) => {
                                progress.requests.fetch_max(number, Ordering::SeqCst);
                            }
                            Ok(false) => beyond = true,
                            Err(why) => {
                                failed += 1;
                                progress.failed(format!("{fault:?} {number}, {why}"));
                            }
                        }
                    }
                    if beyond {
                        break;
                    }
                }
            });
        }
    });
    let failures = progress.failures.into_inner().expect("no holder panics");
    let healed = progress
        .healed
        .into_inner()
        .expect("no holder panics")
        .len();
    let (cases, requests) = (progress.cases.into_inner(), progress.requests.into_inner());
    tell(&format!(
        "{requests} requests, {cases} cases, {healed} states, {:.0?}",
        started.elapsed()
    ));
    assert!(
        failures.is_empty(),
        "{} cases failed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    assert!(requests > 10, "{requests} requests");
}

#[expect(
    clippy::print_stderr,
    reason = "a measurement for whoever reads the log"
)]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// The two cases of one kill, one for each checkout; `false` when the run had fewer requests than that.
fn killed_at(
    stage: &Stage,
    number: usize,
    fault: Fault,
    progress: &Progress,
) -> Result<bool, String> {
    stage.restore();
    stage.proxy.at(number, fault);
    let running = stage
        .attempt(&stage.checkout(Checkout::Same), "the killed one")
        .start();
    stage.proxy.victim(running.pid());
    let first = running.wait();
    let before = stage.proxy.transcript();
    if !stage.proxy.struck() {
        return if first.code == 0 {
            Ok(false)
        } else {
            Err(format!(
                "undisturbed, it failed\n{}\n{before}",
                said(&[&first])
            ))
        };
    }
    if first.killed_by != Some(9) {
        return Err(format!("it was not killed\n{}\n{before}", said(&[&first])));
    }
    let mut new = [Checkout::Same, Checkout::Fresh].to_vec();
    progress.cases.fetch_add(new.len(), Ordering::SeqCst);
    new.retain(|checkout| progress.is_new(*checkout, &stage.state(*checkout)));
    let killed = (new.len() > 1).then(|| stage.take("killed"));
    for checkout in new {
        if let Some(killed) = &killed {
            stage.put(killed);
        }
        stage.heals(checkout).map_err(|why| {
            let run = said(&[&first]);
            format!("{checkout:?}: {why}\nthe killed run:\n{run}{before}")
        })?;
    }
    Ok(true)
}

#[test]
fn an_undisturbed_release_leaves_nothing_to_write() {
    for stage in [Stage::with_store(), Stage::without_store()] {
        stage.restore();
        let run = stage
            .binary(&stage.checkout(Checkout::Same))
            .run()
            .expect(0);
        let log = stage.proxy.log();
        let writes = log.iter().filter(|seen| seen.writes()).count();
        tell(&format!("{} requests, {writes} of them writes", log.len()));
        if let Err(why) = stage.heals(Checkout::Same) {
            panic!("{}{why}", said(&[&run]));
        }
    }
}

/// What a request is about, without the names in it.
fn kind(seen: &Seen) -> String {
    let target = seen.target.split('?').next().unwrap_or_default();
    let about = [
        ("/blobs/", "blob"),
        ("/seals/", "seal"),
        ("/releases/", "release"),
        ("/probe/", "probe"),
        ("/log/", "log entry"),
        ("current.json", "current.json"),
        ("static.json", "static.json"),
        ("repository.json", "repository.json"),
        (".tar.zst", "archive"),
        ("/v1/apps/", "app manifest"),
        ("/static/", "static file"),
        ("whoami", "whoami"),
    ];
    let found = about.iter().find(|(part, _)| target.contains(part));
    let about = match (found, seen.server.as_str()) {
        (Some((_, about)), _) => about,
        (None, "s3") => "list",
        (None, "npm") => "package",
        _ => target.rsplit('/').next().unwrap_or_default(),
    };
    format!("{} {} {about}", seen.server, seen.method)
}

#[test]
fn a_release_asks_nothing_twice_that_cannot_change() {
    let stage = Stage::with_store();
    stage.restore();
    let directory = stage.checkout(Checkout::Same);
    let _ = stage.binary(&directory).run().expect(0);
    let log = stage.proxy.log();
    let mut kinds = BTreeMap::<String, usize>::new();
    let mut reads = BTreeMap::<&str, usize>::new();
    for seen in &log {
        *kinds.entry(kind(seen)).or_default() += 1;
        let object = seen.target.split('?').next().unwrap_or_default();
        let key = object.split_once("/store/").map(|(_, key)| key);
        let once = key.and_then(|key| Key::parse(key).ok());
        if seen.status == Some(200)
            && seen.method == "GET"
            && once.is_some_and(|key| layout::is_written_once(&key))
        {
            *reads.entry(object).or_default() += 1;
        }
    }
    tell(&format!("{} requests: {kinds:#?}", log.len()));
    reads.retain(|_, count| *count > 1);
    assert!(reads.is_empty(), "{reads:#?}");
    assert!(log.len() <= MOST_REQUESTS, "{}", stage.proxy.transcript());
}

#[test]
fn a_release_with_a_store_survives_a_kill_at_every_request() {
    kill_everywhere(Stage::with_store);
}

#[test]
fn a_release_without_a_store_survives_a_kill_at_every_request() {
    kill_everywhere(Stage::without_store);
}

/// Which request a signal arrives with.
struct Moment {
    what: &'static str,
    is: fn(&Seen) -> bool,
}

const MOMENTS: &[Moment] = &[
    Moment {
        what: "the first look at the remote",
        is: |seen| seen.server == "git",
    },
    Moment {
        what: "the first blob",
        is: |seen| seen.writes() && seen.target.contains("/blobs/"),
    },
    Moment {
        what: "the seal",
        is: |seen| seen.writes() && seen.target.contains("/seals/"),
    },
    Moment {
        what: "the push",
        is: |seen| seen.writes() && seen.server == "git",
    },
    Moment {
        what: "the first publish",
        is: |seen| seen.writes() && seen.server == "npm",
    },
    Moment {
        what: "the first app manifest",
        is: |seen| seen.writes() && seen.target.contains("/any.json"),
    },
];

#[test]
fn a_signal_ends_a_release_in_time_and_the_next_run_finishes_it() {
    const PROMPT: Duration = Duration::from_secs(1);
    let stage = Stage::with_store();
    for moment in MOMENTS {
        stage.restore();
        let victim: Arc<Mutex<Option<u32>>> = Arc::default();
        let signalled: Arc<Mutex<Option<Instant>>> = Arc::default();
        let late = Arc::new(Mutex::new(Vec::new()));
        let (pid, at, wrote, is) = (
            Arc::clone(&victim),
            Arc::clone(&signalled),
            Arc::clone(&late),
            moment.is,
        );
        stage.proxy.when(move |seen| {
            let mut at = at.lock().expect("no holder panics");
            match *at {
                Some(at) if seen.writes() && at.elapsed() > PROMPT => {
                    wrote
                        .lock()
                        .expect("no holder panics")
                        .push(seen.to_string());
                }
                None if is(seen) => {
                    let pid = pid.lock().expect("no holder panics");
                    let pid = pid.and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
                    if let Some(pid) = pid {
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                        *at = Some(Instant::now());
                    }
                }
                _ => {}
            }
            None
        });
        // Held until the process is known to the rule.
        let mut held = victim.lock().expect("no holder panics");
        let running = stage.binary(&stage.checkout(Checkout::Same)).start();
        *held = Some(running.pid());
        drop(held);
        let first = running.wait();
        let at = signalled
            .lock()
            .expect("no holder panics")
            .expect(moment.what);
        let context = || {
            format!(
                "{}\n{}{}",
                moment.what,
                said(&[&first]),
                stage.proxy.transcript()
            )
        };
        assert_eq!(first.code, 143, "{}", context());
        assert!(
            at.elapsed() < Duration::from_secs(5),
            "{:?} {}",
            at.elapsed(),
            context()
        );
        assert!(
            first.stderr.contains("again"),
            "no word how to go on: {}",
            context()
        );
        assert!(
            late.lock().expect("no holder panics").is_empty(),
            "{late:?} {}",
            context()
        );
        if let Err(why) = stage.heals(Checkout::Same) {
            panic!("{}\n{why}", context());
        }
    }
}
