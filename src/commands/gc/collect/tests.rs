//! Deleting from a store in memory that fails where it is told to and lets others go first.

use std::sync::{Arc, Mutex};

use super::*;
use crate::apply::point::environments_of;
use crate::apply::static_files::read_set;
use crate::apply::trial::{Dice, Fault, Run, Trial, block_on, dying, in_turns, interleave};
use crate::apply::{builds, seal};
use crate::commands::environments::{self, Configured, Remotes, Request};
use crate::commands::status::{StatusRequest, status};
use crate::environment::entry::CdnName;
use crate::name::{CommitId, Digest, ReleaseId, Variant};
use crate::plan::promote::By as Asked;
use crate::release::app::{
    self, AppManifest, Archive, Build, Encoding, Git, Runtime, Scripts, StaticFiles,
};
use crate::release::manifest::{self, RecordedApp, ReleaseManifest};
use crate::release::seal::{Seal, SealedApp, SealedCommit, SealedEdit};
use crate::release::static_set::{self, Class, StaticFile, StaticSet};
use crate::release::{DAY, GRACE, to_bytes};
use crate::remote::cdn::{Cdn, OpenCdn};
use crate::remote::store::{Headers, create_once};
use crate::settings::{Apps, Choice};

const NOW: i64 = 1_767_312_000;
const ROOT: &str = "s3://cdn/{environment}";

/// Static roots in memory; the same address is the same place.
#[derive(Default)]
struct Roots(Mutex<BTreeMap<String, Arc<Trial>>>);

impl Roots {
    fn at(&self, root: &str) -> Arc<Trial> {
        let mut roots = self.0.lock().unwrap();
        let root = roots.entry(root.to_owned()).or_default();
        root.set_now(NOW);
        Arc::clone(root)
    }
}

#[async_trait]
impl OpenRoot for Roots {
    async fn open(&self, root: &str) -> Result<Arc<dyn Store>, Failure> {
        Ok(self.at(root))
    }
}

/// No CDN can be told.
struct NoCdn;

#[async_trait]
impl OpenCdn for NoCdn {
    async fn open(&self, _: &CdnName) -> Result<Option<Arc<dyn Cdn>>, Failure> {
        Ok(None)
    }
}

struct World {
    store: Arc<Trial>,
    roots: Arc<Roots>,
}

fn app() -> PackageName {
    PackageName::parse("web").unwrap()
}

fn place(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

fn text(minor: u64) -> String {
    format!("1.{minor}.0")
}

impl World {
    /// Versions 1.0.0 up to 1.`last`.0, each with an archive, a copy of it, a seal and static files; all of them recorded long ago.
    fn new(last: u64) -> World {
        let world = World {
            store: Arc::new(Trial::default()),
            roots: Arc::new(Roots::default()),
        };
        world.store.set_now(NOW - 100 * DAY);
        for minor in 0..=last {
            world.release(minor, (minor > 0).then(|| minor - 1));
        }
        world.store.set_now(NOW);
        world
    }

    fn blob(&self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes);
        self.store.put(&layout::blob(&digest), bytes);
        digest.to_string()
    }

    fn id(minor: u64) -> (CommitId, ReleaseId) {
        let commit = CommitId::parse(&Digest::of(text(minor).as_bytes()).hex()[..40]).unwrap();
        let id = ReleaseId::of(&commit, "20260101");
        (commit, id)
    }

    fn release(&self, minor: u64, previous: Option<u64>) {
        let version = Version::parse(&text(minor)).unwrap();
        let (commit, id) = World::id(minor);
        let archive = Archive {
            digest: self.blob(format!("archive of {version}").as_bytes()),
            size: 1,
            encoding: "tar+zstd".to_owned(),
            tar_digest: Digest::of(b"").to_string(),
            tar_size: 1,
            entries: 1,
        };
        let file = |path: &str, class, bytes: &str| StaticFile {
            path: path.to_owned(),
            class,
            digest: self.blob(bytes.as_bytes()),
            size: bytes.len() as u64,
            content_type: "text/plain".to_owned(),
            cache_control: "no-cache".to_owned(),
            content_encoding: None,
        };
        let hashed = format!("js/{minor}-hash.js");
        let files = vec![
            file("index.html", Class::Html, &format!("page of {version}")),
            file("js/same-hash.js", Class::Immutable, "the same in all"),
            file(&hashed, Class::Immutable, &format!("script of {version}")),
        ];
        let set = StaticSet {
            schema: static_set::SCHEMA.to_owned(),
            files,
        };
        let static_files = StaticFiles {
            digest: self.blob(&to_bytes(&set)),
            root: ROOT.to_owned(),
            count: 3,
            bytes: 0,
            mutable: 1,
        };
        let seal = self.seal(minor, &commit, &archive, &static_files);
        let manifest = AppManifest {
            schema: app::SCHEMA.to_owned(),
            app: "web".to_owned(),
            version: version.to_string(),
            variant: "any".to_owned(),
            release: id.to_string(),
            git: Git {
                repository: "org/mono".to_owned(),
                commit: commit.to_string(),
                tag: format!("v{version}"),
                committed_at: format!("2026-01-01T00:{minor:02}:00Z"),
            },
            build: build(),
            runtime: Runtime::default(),
            archive: Some(archive),
            alternatives: vec![],
            files: None,
            static_files: Some(static_files),
            scripts: scripts(),
        };
        let variant = Variant::Any;
        self.store.put(
            &layout::archive(&app(), &version, &variant, Encoding::Zstd),
            b"a copy",
        );
        self.store.put(
            &layout::app(&app(), &version, &variant),
            &to_bytes(&manifest),
        );
        if let Some(before) = minor.checked_sub(1) {
            let before = Version::parse(&text(before)).unwrap();
            let delta = layout::delta(&app(), &version, &before, &variant);
            self.store.put(&delta, b"a delta");
        }
        let record = ReleaseManifest {
            schema: manifest::SCHEMA.to_owned(),
            id: id.to_string(),
            status: manifest::Status::Complete,
            base: commit.to_string(),
            commit: commit.to_string(),
            branch: "main".to_owned(),
            tags: vec![format!("v{version}")],
            seal: seal.to_string(),
            packages: vec![],
            apps: vec![RecordedApp {
                name: "web".to_owned(),
                version: version.to_string(),
                variants: vec!["any".to_owned()],
            }],
            previous: previous.map(|minor| World::id(minor).1.to_string()),
            reason: None,
        };
        self.store.put(&layout::release(&id), &to_bytes(&record));
    }

    fn seal(&self, minor: u64, base: &CommitId, archive: &Archive, files: &StaticFiles) -> Key {
        let plan = Digest::of(text(minor).as_bytes());
        let seal = Seal {
            schema: crate::release::seal::SCHEMA.to_owned(),
            base: base.to_string(),
            plan: serde_json::Value::Null,
            plan_digest: plan.to_string(),
            commit: SealedCommit {
                tree: "0".repeat(40),
                message: "chore: release".to_owned(),
                edits: vec![],
            },
            tags: vec![format!("v{}", text(minor))],
            packages: vec![],
            apps: vec![SealedApp {
                name: "web".to_owned(),
                version: text(minor),
                variant: "any".to_owned(),
                archive: Some(archive.clone()),
                alternatives: vec![],
                static_files: Some(files.clone()),
                files: None,
                build: build(),
                runtime: Runtime::default(),
                scripts: scripts(),
            }],
        };
        let key = layout::seal(base, &plan);
        self.store.put(&key, &to_bytes(&seal));
        key
    }

    fn remotes(&self) -> Remotes {
        Remotes {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            static_roots: Arc::clone(&self.roots) as Arc<dyn OpenRoot>,
            cdns: Arc::new(NoCdn),
        }
    }

    fn promote(&self, environment: &str, minor: u64) {
        let request = request(environment, Some(minor));
        block_on(environments::promote(&request, &self.remotes())).unwrap();
    }

    /// Everything becomes so many days older.
    fn days_later(&self, days: i64) {
        self.store.age(days * DAY);
        for root in self.roots.0.lock().unwrap().values() {
            root.age(days * DAY);
        }
    }

    fn gc(&self) -> Collected {
        let collected = block_on(gc(
            Arc::clone(&self.store),
            Arc::clone(&self.roots),
            unique(),
        ))
        .unwrap();
        assert!(collected.failure.is_none(), "{:?}", collected.failure);
        collected
    }

    /// Nothing that anything names is missing, what is live can be served, and what `status` says of a rollback can be done.
    fn check(&self, context: &str) {
        let store = self.store.as_ref();
        for key in self.store.keys("v1/seals/") {
            let read: Seal =
                serde_json::from_slice(&self.store.bytes(&Key::parse(&key).unwrap()).unwrap())
                    .unwrap();
            for app in read.apps {
                self.check_build(app.archive.as_ref(), app.static_files.as_ref(), context);
            }
        }
        for (version, variant) in block_on(builds::versions(store, &app())).unwrap() {
            let key = layout::app(&app(), &version, &variant);
            let read: AppManifest =
                serde_json::from_slice(&self.store.bytes(&key).unwrap()).unwrap();
            self.check_build(read.archive.as_ref(), read.static_files.as_ref(), context);
        }
        for environment in block_on(environments_of(store, &app())).unwrap() {
            let name = app();
            let log = Log {
                store,
                app: &name,
                environment: &environment,
            };
            let tip = block_on(log.tip()).unwrap().unwrap();
            let state = &tip.entry.state;
            let live = state.current.as_ref().unwrap();
            let manifest = block_on(builds::manifest(store, &name, live))
                .unwrap_or_else(|failure| panic!("{context}: {failure}"));
            let told = || -> Vec<String> {
                let entries =
                    (1..=tip.entry.seq).filter_map(|seq| block_on(log.entry(seq)).unwrap());
                entries
                    .map(|tip| {
                        let target = tip.entry.target.map(|target| target.version);
                        format!("{:?} {}", tip.entry.op, target.unwrap_or_default())
                    })
                    .collect()
            };
            assert!(
                !state.is_retired(&live.version),
                "{context}: {} in {environment}: {:?}",
                live.version,
                told()
            );
            let set = Digest::parse(&manifest.static_files.unwrap().digest).unwrap();
            let set = block_on(read_set(store, &set)).unwrap().unwrap();
            let root = self.roots.at(&format!("s3://cdn/{environment}"));
            for file in set.files {
                let bytes = root.bytes(&Key::parse(&file.path).unwrap());
                assert!(bytes.is_some(), "{context}: {} in {environment}", file.path);
            }
        }
        let status = block_on(status(&StatusRequest::default(), &self.remotes())).unwrap();
        for environment in &status.apps[0].environments {
            if let Some(target) = &environment.rollback_to {
                let key = layout::app(&app(), &Version::parse(target).unwrap(), &Variant::Any);
                assert!(self.store.bytes(&key).is_some(), "{context}: {target}");
            }
        }
    }

    fn check_build(&self, archive: Option<&Archive>, files: Option<&StaticFiles>, context: &str) {
        let there = |digest: &str| {
            self.store
                .bytes(&layout::blob(&Digest::parse(digest).unwrap()))
        };
        assert!(there(&archive.unwrap().digest).is_some(), "{context}");
        let set = there(&files.unwrap().digest).unwrap_or_else(|| panic!("{context}"));
        let set: StaticSet = serde_json::from_slice(&set).unwrap();
        for file in set.files {
            assert!(there(&file.digest).is_some(), "{context}: {}", file.path);
        }
    }

    fn versions(&self) -> Vec<u64> {
        let builds = block_on(builds::versions(self.store.as_ref(), &app())).unwrap();
        builds
            .into_iter()
            .map(|(version, _)| version.minor())
            .collect()
    }
}

fn build() -> Build {
    Build {
        run: None,
        attempt: None,
        command: None,
        lockfile_digest: None,
    }
}

fn scripts() -> Scripts {
    Scripts {
        start: "npm run start".to_owned(),
        stop: "npm run stop --if-present".to_owned(),
        environment_variable: "SERVER_ENV".to_owned(),
        health: None,
    }
}

fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

fn request(environment: &str, minor: Option<u64>) -> Request {
    Request {
        apps: Apps::Default,
        environment: place(environment),
        to: minor.map(text),
        from: None,
        reason: None,
        actor: "ada".to_owned(),
        by: Asked::Person,
        force: true,
        dry_run: false,
        // Long ago by the entries; the store's own times tell how long.
        now: "2025-01-01T00:00:00Z".to_owned(),
        operation: unique(),
        run: None,
        environments: Configured {
            others: ["sit", "prod", "new"].map(place).into(),
            ..Configured::default()
        },
        static_root: Choice::Unset,
        cdn: Choice::Unset,
        static_url: None,
        attempt: String::new(),
        concurrency: 4,
        stop: Stop::default(),
        ancestry: None,
    }
}

const POLICY: Policy = Policy {
    keep_releases: 2,
    keep_days: 10,
};

async fn gc(store: Arc<Trial>, roots: Arc<Roots>, operation: String) -> Result<Collected, Failure> {
    let (policies, stop) = (BTreeMap::new(), Stop::default());
    let ground = ground(store.as_ref(), roots.as_ref(), &policies, &stop, operation);
    ground.collect().await
}

fn ground<'a>(
    store: &'a Trial,
    roots: &'a Roots,
    policies: &'a BTreeMap<PackageName, Policy>,
    stop: &'a Stop,
    operation: String,
) -> Ground<'a> {
    Ground {
        store,
        roots,
        policy: POLICY,
        policies,
        now: NOW,
        concurrency: 4,
        stop,
        by: By {
            actor: "gc".to_owned(),
            run: None,
            at: "2026-01-02T00:00:00Z".to_owned(),
            operation,
        },
    }
}

/// Eight versions; all were live in `prod`, the older ones in `sit` too, and all of that is long ago.
fn lived() -> World {
    let world = World::new(7);
    for minor in 0..=7 {
        world.promote("prod", minor);
    }
    for minor in [0, 1, 4, 5] {
        world.promote("sit", minor);
    }
    world.days_later(40);
    world
}

#[test]
fn what_nobody_needs_is_retired_first_and_deleted_by_a_later_run() {
    let world = lived();
    let before = world.store.keys("");
    let (policies, stop) = (BTreeMap::new(), Stop::default());
    let dry = ground(&world.store, &world.roots, &policies, &stop, unique());
    let dry = block_on(dry.rehearse()).unwrap();
    assert!(dry.dry_run);
    assert_eq!(world.store.keys(""), before);

    let first = world.gc();
    let retired: Vec<_> = first
        .retired
        .iter()
        .map(|retired| (retired.version.as_str(), retired.environments.len()))
        .collect();
    assert_eq!(retired, [("1.0.0", 2), ("1.2.0", 2), ("1.3.0", 2)]);
    assert_eq!(first.retired, dry.retired);
    assert_eq!(first.deleted, dry.deleted);
    assert_eq!(
        world.versions().len(),
        8,
        "no version goes on the day on which it was given up"
    );
    // Seals of complete releases go, but for the newest.
    assert_eq!(world.store.keys("v1/seals/").len(), 1);
    world.check("after the first run");
    let again = world.gc();
    assert!(
        again.retired.is_empty() && again.deleted.is_empty(),
        "{}",
        again.text()
    );
    assert_eq!(again.waiting.len(), 3);

    world.days_later(2);
    let second = world.gc();
    let versions: Vec<&str> = second
        .deleted
        .iter()
        .filter_map(|deleted| deleted.version.as_deref())
        .collect();
    assert_eq!(versions, ["1.0.0", "1.2.0", "1.3.0"]);
    assert_eq!(world.versions(), [1, 4, 5, 6, 7]);
    // Those whose two ends are there.
    assert_eq!(
        world.store.keys("v1/apps/web/deltas/"),
        [(5, 4), (6, 5), (7, 6)].map(|(to, from)| format!(
            "v1/apps/web/deltas/{}/{}.zst",
            text(to),
            text(from)
        ))
    );
    let blobs = |minor: u64| {
        layout::blob(&Digest::of(
            format!("archive of {}", text(minor)).as_bytes(),
        ))
    };
    assert!(world.store.bytes(&blobs(0)).is_none());
    assert!(world.store.bytes(&blobs(1)).is_some());
    for (environment, path, is_there) in [
        ("prod", "js/0-hash.js", false),
        ("prod", "js/1-hash.js", true),
        ("prod", "js/same-hash.js", true),
        ("prod", "index.html", true),
        ("sit", "js/0-hash.js", false),
        ("sit", "js/5-hash.js", true),
    ] {
        let root = world.roots.at(&format!("s3://cdn/{environment}"));
        assert_eq!(
            root.bytes(&Key::parse(path).unwrap()).is_some(),
            is_there,
            "{environment} {path}"
        );
    }
    world.check("after the second run");
    // Release manifests and log entries stay for ever.
    assert_eq!(world.store.keys("v1/releases/").len(), 8);
    assert_eq!(
        world.store.keys("v1/apps/web/environments/prod/log/").len(),
        8 + 3
    );
    let rolled = block_on(environments::rollback(
        &request("prod", None),
        &world.remotes(),
    ))
    .unwrap();
    assert_eq!(rolled.apps[0].to.as_deref(), Some("1.6.0"));
    let gone = block_on(environments::promote(
        &request("prod", Some(0)),
        &world.remotes(),
    ))
    .unwrap_err();
    assert_eq!(gone.code(), "environment::retired");
}

#[test]
fn files_of_others_and_what_cannot_be_read_stay() {
    let world = lived();
    let root = world.roots.at("s3://cdn/prod");
    root.put(&Key::parse("robots.txt").unwrap(), b"theirs");
    world.days_later(40);
    let _ = world.gc();
    world.days_later(2);
    let _ = world.gc();
    assert!(root.bytes(&Key::parse("robots.txt").unwrap()).is_some());

    let world = lived();
    let key = layout::app(&app(), &Version::new(1, 4, 0), &Variant::Any);
    world.store.put(&key, b"{}");
    let keys = world.store.keys("");
    let failure = block_on(gc(
        Arc::clone(&world.store),
        Arc::clone(&world.roots),
        unique(),
    ))
    .unwrap_err();
    assert_eq!(failure.exit(), Exit::Integrity);
    assert_eq!(world.store.keys(""), keys);
}

/// A run that dies anywhere leaves nothing half: what names something goes before what it names, and the next run goes on.
#[test]
fn a_crash_anywhere_leaves_what_is_named_and_is_finished_by_the_next_run() {
    for later in [false, true] {
        for effect_first in [false, true] {
            for call in (0..).step_by(3) {
                let world = lived();
                if later {
                    let _ = world.gc();
                    world.days_later(2);
                }
                world.store.fail_at(call, Fault::Crash { effect_first });
                let _ = block_on(gc(
                    Arc::clone(&world.store),
                    Arc::clone(&world.roots),
                    unique(),
                ));
                let reached = world.store.fault_was_met();
                world.store.heal();
                let context = format!("call {call}, {later}, {effect_first}");
                world.check(&context);
                let _ = world.gc();
                world.days_later(2);
                let _ = world.gc();
                world.check(&context);
                assert_eq!(world.versions(), [1, 4, 5, 6, 7], "{context}");
                if !reached {
                    assert!(call > 50);
                    break;
                }
            }
        }
    }
}

/// Two `gc`, promotes of what they give up or delete, a rollback and a new environment race, one request at a time, and some die on the way.
#[test]
fn racing_runs_lose_nothing_that_is_needed() {
    for seed in 0..120 {
        let world = lived();
        if seed % 2 == 0 {
            // Some is retired, and not everywhere.
            let operation = unique();
            let run: Run = Box::pin({
                let (store, roots) = (Arc::clone(&world.store), Arc::clone(&world.roots));
                async move { gc(store, roots, operation).await.map(|_| ()) }
            });
            world.store.start_pausing();
            let _ = interleave(vec![dying(run, 60 + usize::try_from(seed).unwrap())], seed);
            world.store.stop_pausing();
            world.days_later(2);
        }
        let mut dice = Dice::new(seed);
        world.store.start_pausing();
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..2 {
            let (store, roots) = (Arc::clone(&world.store), Arc::clone(&world.roots));
            runs.push(Box::pin(async move {
                let collected = gc(store, roots, unique()).await?;
                collected.failure.map_or(Ok(()), Err)
            }));
        }
        let targets = [
            ("prod", dice.below(8)),
            ("sit", dice.below(8)),
            ("new", dice.below(8)),
        ];
        for (environment, minor) in targets {
            let request = request(environment, Some(u64::try_from(minor).unwrap()));
            let remotes = world.remotes();
            runs.push(Box::pin(async move {
                environments::promote(&request, &remotes).await.map(|_| ())
            }));
        }
        let (back, remotes) = (request("sit", None), world.remotes());
        runs.push(Box::pin(async move {
            environments::rollback(&back, &remotes).await.map(|_| ())
        }));
        let died = dice.below(3) == 0;
        if died {
            let victim = dice.below(2);
            let run = runs.remove(victim);
            runs.push(dying(run, dice.below(200)));
        }
        let outcomes = interleave(runs, seed + 1000);
        world.store.stop_pausing();
        for failure in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(
                matches!(
                    failure.code(),
                    "environment::retired"
                        | "environment::unknown_version"
                        | "environment::overtaken"
                        | "environment::contended"
                        | "environment::nothing_to_roll_back_to"
                        | "trial::died"
                ),
                "seed {seed}: {failure:?}"
            );
        }
        world.check(&format!("seed {seed}"));
    }
}

/// A release that finds bytes which nothing names any more, beside a `gc` that is about to delete them: whenever the `gc` stands still, as long as
/// it goes on before the release has ended, the bytes are there afterwards.
#[test]
fn bytes_that_a_release_takes_up_again_are_there_when_it_is_sealed() {
    let bytes = b"old bytes";
    let digest = Digest::of(bytes);
    let mut deleted = 0;
    for first in 0..60 {
        for second in 0..6 {
            let world = World::new(0);
            world.promote("prod", 0);
            world.store.set_now(NOW - 2 * GRACE);
            world.store.put(&layout::blob(&digest), bytes);
            world.store.set_now(NOW);
            world.store.start_pausing();
            let (store, roots) = (Arc::clone(&world.store), Arc::clone(&world.roots));
            let collects: Run =
                Box::pin(async move { gc(store, roots, unique()).await.map(|_| ()) });
            let store = Arc::clone(&world.store);
            let seals: Run = Box::pin(async move {
                let key = Key::parse("v1/seals/new.json").unwrap();
                let naming = async {
                    let seal = to_bytes(&sealing(&Digest::of(bytes)));
                    let none = Headers::json();
                    create_once(store.as_ref(), &key, &seal, &none)
                        .await
                        .map(|_| ())
                };
                seal::put_and_name(store.as_ref(), bytes, NOW, naming).await
            });
            in_turns(collects, seals, first, second);
            world.store.stop_pausing();
            let context = format!("{first} requests, then {second}");
            assert!(
                world.store.bytes(&layout::blob(&digest)).is_some(),
                "{context}"
            );
            deleted += usize::from(world.store.was_deleted(&layout::blob(&digest)));
        }
    }
    assert!(deleted > 0, "the two met at no time");
}

/// A seal that names these bytes alone.
fn sealing(digest: &Digest) -> Seal {
    Seal {
        schema: crate::release::seal::SCHEMA.to_owned(),
        base: "0".repeat(40),
        plan: serde_json::Value::Null,
        plan_digest: digest.to_string(),
        commit: SealedCommit {
            tree: "0".repeat(40),
            message: "chore: release".to_owned(),
            edits: vec![SealedEdit {
                path: "package.json".to_owned(),
                digest: Some(digest.to_string()),
            }],
        },
        tags: vec![],
        packages: vec![],
        apps: vec![],
    }
}

#[test]
fn a_history_longer_than_an_entry_remembers_is_read_whole() {
    let world = World::new(3);
    for round in 0..130 {
        world.promote("prod", 1 + round % 2);
        if round == 0 {
            world.promote("prod", 0);
        }
    }
    let name = app();
    let environment = place("prod");
    let log = Log {
        store: world.store.as_ref(),
        app: &name,
        environment: &environment,
    };
    let moves = block_on(async { log.moves(&log.tip().await?.unwrap()).await }).unwrap();
    assert_eq!(moves.len(), 131);
    assert_eq!(moves.last().map(|step| step.seq), Some(1));
    assert!(moves.windows(2).all(|pair| pair[0].seq == pair[1].seq + 1));
}

#[test]
fn an_upload_without_an_id_is_counted_and_the_others_are_given_back() {
    let upload = |id: &str, begun| Unfinished {
        key: Key::parse("v1/blobs/a").unwrap(),
        id: id.to_owned(),
        begun: Some(begun),
    };
    let old = NOW - 2 * DAY;
    let uploads = vec![
        upload("", old),
        upload("a", old),
        upload("", NOW),
        upload("b", NOW),
    ];
    let (left, nameless) = left_of(NOW, uploads);
    assert_eq!((left, nameless), (vec![upload("a", old)], 1));
}
