use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::apply::point::{Log, Tip};
use crate::apply::static_files::{Ground, OpenRoot};
use crate::apply::trial::{Dice, Fault, Run, Trial, block_on, interleave};
use crate::commands::status::{StatusRequest, status};
use crate::environment::entry::CdnName;
use crate::explain::Exit;
use crate::local::stop::Stop;
use crate::name::{CommitId, Key, Variant};
use crate::name::{Digest, EnvironmentName, PackageName, ReleaseId};
use crate::plan::promote::By;
use crate::release::app::AppManifest;
use crate::release::app::{self, Build, Git, Runtime, Scripts, StaticFiles};
use crate::release::layout;
use crate::release::manifest;
use crate::release::manifest::{RecordedApp, ReleaseManifest};
use crate::release::static_set::{self, Class, StaticFile, StaticSet};
use crate::remote::cdn::{Cdn, Change, OpenCdn};
use crate::remote::store::{Body, Headers};
use crate::report::environments::PointOutcome;
use crate::settings::{Apps, Choice};

const SHARED: &str = "s3://cdn/{app}";
const APART: &str = "s3://cdn/{app}/{environment}";

/// Static roots in memory; the same address is the same place.
#[derive(Default)]
struct Roots(Mutex<BTreeMap<String, Arc<Trial>>>);

impl Roots {
    fn at(&self, root: &str) -> Arc<Trial> {
        let mut roots = self.0.lock().unwrap();
        Arc::clone(roots.entry(root.to_owned()).or_default())
    }
}

#[async_trait]
impl OpenRoot for Roots {
    async fn open(&self, root: &str) -> Result<Arc<dyn Store>, Failure> {
        Ok(self.at(root))
    }
}

/// What a CDN was told: its name, the reference, the paths.
type Told = (String, String, Vec<String>);

#[derive(Default)]
struct ToldCdn {
    told: Arc<Mutex<Vec<Told>>>,
    /// Whether it refuses what it is told.
    refuses: std::sync::atomic::AtomicBool,
    /// Whether a command was set.
    has_command: std::sync::atomic::AtomicBool,
}

struct Ear {
    name: String,
    told: Arc<Mutex<Vec<Told>>>,
    refuses: bool,
}

#[async_trait]
impl Cdn for Ear {
    async fn tell(&self, change: &Change<'_>) -> Result<(), Failure> {
        if self.refuses {
            return Err(Failure::new(Exit::Temporary, "trial::refused", "no"));
        }
        self.told.lock().unwrap().push((
            self.name.clone(),
            change.reference.to_owned(),
            change.paths.to_vec(),
        ));
        Ok(())
    }
}

#[async_trait]
impl OpenCdn for ToldCdn {
    async fn open(&self, cdn: &CdnName) -> Result<Option<Arc<dyn Cdn>>, Failure> {
        use std::sync::atomic::Ordering;
        if *cdn == CdnName::Command && !self.has_command.load(Ordering::SeqCst) {
            return Ok(None);
        }
        Ok(Some(Arc::new(Ear {
            name: cdn.recorded().to_owned(),
            told: Arc::clone(&self.told),
            refuses: self.refuses.load(Ordering::SeqCst),
        })))
    }
}

impl ToldCdn {
    fn paths(&self) -> Vec<Vec<String>> {
        let told = self.told.lock().unwrap();
        told.iter().map(|(_, _, paths)| paths.clone()).collect()
    }
}

struct World {
    store: Arc<Trial>,
    roots: Arc<Roots>,
    cdn: Arc<ToldCdn>,
}

fn name(text: &str) -> PackageName {
    PackageName::parse(text).unwrap()
}

fn environment(text: &str) -> EnvironmentName {
    EnvironmentName::parse(text).unwrap()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn commit_of(version: &str) -> CommitId {
    CommitId::parse(&Digest::of(version.as_bytes()).hex()[..40]).unwrap()
}

fn class_of(path: &str) -> Class {
    match path {
        "sw.js" => Class::Last,
        "index.html" => Class::Html,
        path if path.contains("-hash") => Class::Immutable,
        _ => Class::Mutable,
    }
}

impl World {
    fn new() -> World {
        World {
            store: Arc::new(Trial::default()),
            roots: Arc::new(Roots::default()),
            cdn: Arc::new(ToldCdn::default()),
        }
    }

    fn remotes(&self) -> Remotes {
        Remotes {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            static_roots: Arc::clone(&self.roots) as Arc<dyn OpenRoot>,
            cdns: Arc::clone(&self.cdn) as Arc<dyn OpenCdn>,
        }
    }

    /// Versions of `web` without static files, each of a complete release.
    fn with(self, versions: &[&str]) -> World {
        for version in versions {
            self.release("web", version, "any", None, "complete");
        }
        self
    }

    fn release(
        &self,
        app: &str,
        version: &str,
        variant: &str,
        files: Option<(&str, &[(&str, &str)])>,
        status: &str,
    ) -> ReleaseId {
        let commit = commit_of(version);
        let id = ReleaseId::of(&commit, "20260101");
        let manifest = AppManifest {
            schema: app::SCHEMA.to_owned(),
            app: app.to_owned(),
            version: version.to_owned(),
            variant: variant.to_owned(),
            release: id.to_string(),
            git: Git {
                repository: "org/mono".to_owned(),
                commit: commit.to_string(),
                tag: format!("{app}@{version}"),
                committed_at: format!(
                    "2026-01-01T00:{:02}:00Z",
                    Version::parse(version).unwrap().minor()
                ),
            },
            build: Build {
                run: None,
                attempt: None,
                command: None,
                lockfile_digest: None,
            },
            runtime: Runtime::default(),
            archive: None,
            alternatives: vec![],
            files: None,
            static_files: files.map(|(root, files)| self.static_files(root, files)),
            scripts: Scripts {
                start: "npm run start".to_owned(),
                stop: "npm run stop --if-present".to_owned(),
                environment_variable: "SERVER_ENV".to_owned(),
                health: None,
            },
        };
        self.store.put(
            &layout::app(
                &name(app),
                &Version::parse(version).unwrap(),
                &Variant::parse(variant).unwrap(),
            ),
            &crate::release::to_bytes(&manifest),
        );
        if status != "none" {
            let mut apps = vec![RecordedApp {
                name: app.to_owned(),
                version: version.to_owned(),
                variants: vec![variant.to_owned()],
            }];
            if let Some(bytes) = self.store.bytes(&layout::release(&id)) {
                let before: ReleaseManifest = serde_json::from_slice(&bytes).unwrap();
                apps.extend(before.apps);
            }
            let record = ReleaseManifest {
                schema: manifest::SCHEMA.to_owned(),
                id: id.to_string(),
                status: match status {
                    "abandoned" => manifest::Status::Abandoned,
                    _ => manifest::Status::Complete,
                },
                base: commit.to_string(),
                commit: commit.to_string(),
                branch: "main".to_owned(),
                tags: vec![],
                seal: "none".to_owned(),
                packages: vec![],
                apps,
                previous: None,
                reason: None,
            };
            self.store
                .put(&layout::release(&id), &crate::release::to_bytes(&record));
        }
        id
    }

    fn static_files(&self, root: &str, files: &[(&str, &str)]) -> StaticFiles {
        let files: Vec<StaticFile> = files
            .iter()
            .map(|(path, text)| {
                let digest = Digest::of(text.as_bytes());
                self.store.put(&layout::blob(&digest), text.as_bytes());
                StaticFile {
                    path: (*path).to_owned(),
                    class: class_of(path),
                    digest: digest.to_string(),
                    size: text.len() as u64,
                    content_type: "text/plain".to_owned(),
                    cache_control: "no-cache".to_owned(),
                    content_encoding: None,
                }
            })
            .collect();
        let mutable = files.iter().filter(|file| file.class != Class::Immutable);
        let (count, mutable) = (files.len() as u64, mutable.count() as u64);
        let set = StaticSet {
            schema: static_set::SCHEMA.to_owned(),
            files,
        };
        let bytes = crate::release::to_bytes(&set);
        let digest = Digest::of(&bytes);
        self.store.put(&layout::blob(&digest), &bytes);
        StaticFiles {
            digest: digest.to_string(),
            root: root.to_owned(),
            count,
            bytes: 0,
            mutable,
        }
    }

    fn promote(&self, version: &str) -> Result<Points, Failure> {
        block_on(promote(&to(version), &self.remotes()))
    }

    fn live(&self, app: &str, place: &str) -> Option<String> {
        let tip = self.tip(app, place)?;
        tip.entry.state.version().map(str::to_owned)
    }

    fn tip(&self, app: &str, place: &str) -> Option<Tip> {
        let (app, environment) = (name(app), environment(place));
        let log = Log {
            store: self.store.as_ref(),
            app: &app,
            environment: &environment,
        };
        block_on(log.tip()).unwrap()
    }

    fn file(&self, root: &str, path: &str) -> Option<String> {
        let bytes = self.roots.at(root).bytes(&key(path))?;
        Some(String::from_utf8(bytes).unwrap())
    }
}

fn request() -> Request {
    Request {
        apps: Apps::Default,
        environment: environment("prod"),
        to: None,
        from: None,
        reason: None,
        actor: "ada".to_owned(),
        by: By::Person,
        force: false,
        dry_run: false,
        now: "2026-01-02T00:00:00Z".to_owned(),
        operation: unique(),
        run: None,
        environments: Configured {
            others: ["stable", "sit", "pre", "prod"].map(environment).into(),
            ..Configured::default()
        },
        static_root: Choice::Unset,
        cdn: Choice::Unset,
        static_url: None,
        attempt: unique(),
        concurrency: 4,
        stop: Stop::default(),
        ancestry: None,
    }
}

fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

fn to(version: &str) -> Request {
    Request {
        to: Some(version.to_owned()),
        ..request()
    }
}

fn code(result: Result<Points, Failure>) -> (u8, &'static str) {
    let failure = result.unwrap_err();
    (failure.exit().code(), failure.code())
}

#[test]
fn promote_then_roll_back_then_promote_again() {
    let world = World::new().with(&["1.0.0", "1.1.0", "1.2.0"]);
    let remotes = world.remotes();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        world.promote(version).unwrap();
    }
    let points = block_on(rollback(&request(), &remotes)).unwrap();
    let point = &points.apps[0];
    assert_eq!(point.from.as_deref(), Some("1.2.0"));
    assert_eq!(point.to.as_deref(), Some("1.1.0"));
    assert!(point.held);
    block_on(rollback(&request(), &remotes)).unwrap();
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    assert_eq!(
        code(block_on(rollback(&request(), &remotes))),
        (3, "environment::nothing_to_roll_back_to")
    );
    assert_eq!(code(world.promote("1.2.0")), (3, "environment::held"));
    let forced = Request {
        force: true,
        ..to("1.2.0")
    };
    block_on(promote(&forced, &remotes)).unwrap();
    let tip = world.tip("web", "prod").unwrap();
    assert_eq!(tip.entry.state.bad, ["1.1.0"]);
    assert!(tip.entry.state.hold.is_none());
}

#[test]
fn automation_stops_at_a_hold_and_unhold_says_what_waits() {
    let world = World::new().with(&["1.0.0", "1.1.0", "1.2.0"]);
    let remotes = world.remotes();
    world.promote("1.0.0").unwrap();
    block_on(hold(&request(), &remotes)).unwrap();
    let automatic = |version: &str| Request {
        by: By::Automation,
        ..to(version)
    };
    let points = block_on(promote(&automatic("1.1.0"), &remotes)).unwrap();
    assert_eq!(points.apps[0].outcome, PointOutcome::Held);
    assert!(points.apps[0].held);
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    let points = block_on(unhold(&request(), &remotes)).unwrap();
    assert_eq!(points.apps[0].waiting.as_deref(), Some("1.2.0"));
    assert!(!points.apps[0].held);
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    block_on(promote(&automatic("1.1.0"), &remotes)).unwrap();
    let points = block_on(promote(&automatic("1.0.0"), &remotes)).unwrap();
    assert_eq!(points.apps[0].outcome, PointOutcome::NotDescendant);
}

#[test]
fn a_later_attempt_of_the_same_request_does_nothing() {
    let world = World::new().with(&["1.0.0", "1.1.0"]);
    let remotes = world.remotes();
    world.promote("1.0.0").unwrap();
    world.promote("1.1.0").unwrap();
    let request = request();
    block_on(rollback(&request, &remotes)).unwrap();
    let points = block_on(rollback(&request, &remotes)).unwrap();
    assert_eq!(points.apps[0].outcome, PointOutcome::AlreadyDone);
    assert_eq!(points.apps[0].from.as_deref(), Some("1.1.0"));
    assert_eq!(points.apps[0].to.as_deref(), Some("1.0.0"));
    assert_eq!(world.tip("web", "prod").unwrap().entry.seq, 3);
}

#[test]
fn targets() {
    let world = World::new().with(&["1.0.0", "1.1.0"]);
    let remotes = world.remotes();
    let release = world.release("web", "1.2.0", "any", None, "complete");
    world.release("web", "1.3.0", "any", None, "none");
    let given_up = world.release("web", "1.4.0", "any", None, "abandoned");
    world.release("web", "1.5.0", "sit", None, "complete");
    world.promote("1.0.0").unwrap();
    world.promote("1.1.0").unwrap();
    world.promote(release.as_str()).unwrap();
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.2.0"));
    world.promote("1").unwrap();
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    for (target, expected) in [
        ("1.3.0", (3, "environment::incomplete")),
        ("1.4.0", (3, "environment::abandoned")),
        (given_up.as_str(), (3, "environment::abandoned")),
        ("20260101-000000000000", (3, "environment::unknown_release")),
        ("1.5.0", (3, "environment::no_build")),
        ("9.9.9", (3, "environment::unknown_version")),
        ("0", (3, "environment::unknown_seq")),
        ("latest", (2, "environment::target")),
    ] {
        assert_eq!(code(world.promote(target)), expected, "{target}");
    }
    assert_eq!(
        code(block_on(promote(&request(), &remotes))),
        (2, "environment::no_target")
    );
    let sit = Request {
        environment: environment("sit"),
        ..to("1.5.0")
    };
    block_on(promote(&sit, &remotes)).unwrap();
    let from = |place: &str| Request {
        from: Some(environment(place)),
        ..request()
    };
    assert_eq!(
        code(block_on(promote(&from("sit"), &remotes))),
        (3, "environment::no_build")
    );
    assert_eq!(
        code(block_on(promote(&from("sti"), &remotes))),
        (2, "environment::unknown")
    );
}

#[test]
fn what_is_bad_where_it_is_taken_from_goes_nowhere_without_force() {
    let world = World::new().with(&["1.0.0", "1.1.0"]);
    let remotes = world.remotes();
    let in_sit = |request: Request| Request {
        environment: environment("sit"),
        reason: Some("it leaks".to_owned()),
        ..request
    };
    block_on(promote(&in_sit(to("1.1.0")), &remotes)).unwrap();
    block_on(mark_bad(&in_sit(to("1.1.0")), &remotes)).unwrap();
    // The mark is found behind entries that came later.
    block_on(pin(&in_sit(to("1.0.0")), &remotes)).unwrap();
    let words = "1.1.0 is marked bad in sit by entry 2 (mark-bad by \"ada\", 2026-01-02T00:00:00Z: \"it leaks\")";
    let from = |force| Request {
        from: Some(environment("sit")),
        force,
        ..request()
    };
    let failure = block_on(promote(&from(false), &remotes)).unwrap_err();
    assert_eq!(failure.code(), "environment::bad");
    assert_eq!(failure.exit(), Exit::Refused);
    assert_eq!(failure.causes(), [words]);
    assert!(world.tip("web", "prod").is_none());
    let warning = format!("warning: {words}; it stays so there");
    let mut warned = Vec::new();
    for (request, place) in [(from(true), "prod"), (to("1.1.0"), "pre")] {
        let request = Request {
            environment: environment(place),
            ..request
        };
        let points = block_on(promote(&request, &remotes)).unwrap();
        warned.extend(points.apps[0].reasons.last().cloned());
    }
    assert_eq!(warned, [warning.clone(), warning]);
    assert_eq!(world.tip("web", "sit").unwrap().entry.state.bad, ["1.1.0"]);
}

#[test]
fn a_refused_mark_says_who_made_it() {
    let world = World::new().with(&["1.0.0", "1.1.0"]);
    let remotes = world.remotes();
    world.promote("1.0.0").unwrap();
    world.promote("1.1.0").unwrap();
    let back = Request {
        reason: Some("slow".to_owned()),
        ..request()
    };
    block_on(rollback(&back, &remotes)).unwrap();
    block_on(unhold(&request(), &remotes)).unwrap();
    let words = "1.1.0 is marked bad in prod by entry 3 (rollback by \"ada\", 2026-01-02T00:00:00Z: \"slow\")";
    let promoted = world.promote("1.1.0").unwrap_err();
    let rolled = block_on(rollback(&to("1.1.0"), &remotes)).unwrap_err();
    for failure in [promoted, rolled] {
        assert_eq!(failure.code(), "environment::bad");
        assert_eq!(failure.causes(), [words]);
    }
    let automatic = Request {
        by: By::Automation,
        ..to("1.1.0")
    };
    let points = block_on(promote(&automatic, &remotes)).unwrap();
    assert_eq!(points.apps[0].reasons, [words]);
}

#[test]
fn the_build_made_for_an_environment_comes_first() {
    let world = World::new().with(&["1.0.0"]);
    world.release("web", "1.0.0", "prod", None, "complete");
    world.promote("1.0.0").unwrap();
    let state = world.tip("web", "prod").unwrap().entry.state;
    assert_eq!(state.current.unwrap().variant, "prod");
}

#[test]
fn several_apps_must_be_named() {
    let world = World::new().with(&["1.0.0", "1.1.0"]);
    world.release("@org/api", "1.0.0", "any", None, "complete");
    world.release("@org/api", "1.1.0", "any", None, "complete");
    world.release("other", "3.0.0", "any", None, "complete");
    let remotes = world.remotes();
    let failure = world.promote("1.0.0").unwrap_err();
    assert_eq!(failure.code(), "environment::which_app");
    assert!(failure.what().contains("@org/api, other, web"));
    let all = |version: &str| Request {
        apps: Apps::All,
        ..to(version)
    };
    let points = block_on(promote(&all("1.0.0"), &remotes)).unwrap();
    assert_eq!(points.apps.len(), 2);
    let release = ReleaseId::of(&commit_of("1.1.0"), "20260101");
    let points = block_on(promote(&to(release.as_str()), &remotes)).unwrap();
    assert_eq!(points.apps.len(), 2);
    let everything = Request {
        apps: Apps::All,
        ..request()
    };
    let points = block_on(rollback(&everything, &remotes)).unwrap();
    assert_eq!(points.apps.len(), 2);
    assert_eq!(world.live("@org/api", "prod").as_deref(), Some("1.0.0"));
    let typo = Request {
        apps: Apps::Named(vec![name("wbe")]),
        ..to("1.0.0")
    };
    let failure = block_on(promote(&typo, &remotes)).unwrap_err();
    assert_eq!(failure.code(), "environment::unknown_app");
    assert_eq!(failure.advice(), Some("did you mean web?"));
}

#[test]
fn one_refused_app_stops_all_before_anything_is_written() {
    let world = World::new().with(&["1.0.0", "1.1.0"]);
    world.release("api", "1.0.0", "any", None, "complete");
    world.release("api", "1.1.0", "any", None, "complete");
    let remotes = world.remotes();
    let all = |version: &str| Request {
        apps: Apps::All,
        ..to(version)
    };
    block_on(promote(&all("1.0.0"), &remotes)).unwrap();
    let held = Request {
        apps: Apps::Named(vec![name("web")]),
        ..request()
    };
    block_on(hold(&held, &remotes)).unwrap();
    assert_eq!(
        code(block_on(promote(&all("1.1.0"), &remotes))),
        (3, "environment::held")
    );
    assert_eq!(world.live("api", "prod").as_deref(), Some("1.0.0"));
}

#[test]
fn unknown_environments_are_answered_with_the_nearest_name() {
    let world = World::new().with(&["1.0.0"]);
    let typo = Request {
        environment: environment("prdo"),
        ..to("1.0.0")
    };
    let failure = block_on(promote(&typo, &world.remotes())).unwrap_err();
    assert_eq!(failure.code(), "environment::unknown");
    assert_eq!(failure.exit(), Exit::Usage);
    assert_eq!(failure.advice(), Some("did you mean prod?"));
}

#[test]
fn an_app_goes_only_where_its_configuration_says_or_where_it_was_before() {
    let world = World::new().with(&["1.0.0"]);
    world.release("web", "1.0.0", "stage", None, "complete");
    world.release("api", "1.0.0", "any", None, "complete");
    let remotes = world.remotes();
    let into = |app: &str, place: &str, by_configuration| Request {
        apps: Apps::Named(vec![name(app)]),
        environment: environment(place),
        environments: Configured {
            apps: BTreeMap::from([(name("web"), ["sit", "prod"].map(environment).into())]),
            others: ["stable", "pre"].map(environment).into(),
            by_configuration,
        },
        ..to("1.0.0")
    };
    let refused = |request: &Request| {
        let failure = block_on(promote(request, &remotes)).unwrap_err();
        assert_eq!(failure.code(), "environment::unknown");
        assert_eq!(failure.exit(), Exit::Usage);
        failure.what().to_owned()
    };
    let why = refused(&into("web", "pre", true));
    assert!(why.ends_with("its environments are sit, prod"), "{why}");
    // Those of another app do not help, and neither does a build that somebody made.
    let _ = refused(&into("api", "prod", true));
    let _ = refused(&into("web", "stage", true));
    for request in [
        into("web", "prod", true),
        into("api", "pre", true),
        into("web", "stage", false),
        // It was used before.
        into("web", "stage", true),
    ] {
        block_on(promote(&request, &remotes)).unwrap();
    }
}

#[test]
fn versions_are_judged_and_kept() {
    let world = World::new().with(&["1.0.0", "1.1.0", "1.2.0"]);
    let remotes = world.remotes();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        world.promote(version).unwrap();
    }
    block_on(mark_bad(&to("1.1.0"), &remotes)).unwrap();
    block_on(pin(&to("1.0.0"), &remotes)).unwrap();
    assert_eq!(
        code(block_on(pin(&to("7.0.0"), &remotes))),
        (3, "environment::unknown_version")
    );
    let status = block_on(status(&StatusRequest::default(), &remotes)).unwrap();
    let prod = &status.apps[0].environments[0];
    assert_eq!(prod.rollback_to.as_deref(), Some("1.0.0"));
    assert_eq!(prod.current.as_deref(), Some("1.2.0"));
    assert_eq!(prod.by.as_deref(), Some("ada"));
    assert_eq!(prod.op, Some("promote"));
    assert_eq!(prod.bad, ["1.1.0"]);
    assert_eq!(prod.pinned, ["1.0.0"]);
    assert_eq!(prod.seq, 5);
    block_on(unpin(&to("1.0.0"), &remotes)).unwrap();
    assert!(
        world
            .tip("web", "prod")
            .unwrap()
            .entry
            .state
            .pinned
            .is_empty()
    );
}

#[test]
fn a_reason_that_plays_with_the_terminal_is_refused() {
    let world = World::new().with(&["1.0.0"]);
    for reason in ["\u{1b}[2J", "a\nb", "\u{202e}x", &"x".repeat(501)] {
        let request = Request {
            reason: Some(reason.to_owned()),
            ..to("1.0.0")
        };
        assert_eq!(
            code(block_on(promote(&request, &world.remotes()))),
            (2, "environment::text")
        );
    }
}

#[test]
fn a_changed_or_missing_manifest_is_an_integrity_failure() {
    let world = World::new();
    let files: &[(&str, &str)] = &[("a.js", "1")];
    world.release("web", "1.0.0", "any", Some((SHARED, files)), "complete");
    world.promote("1.0.0").unwrap();
    let at = layout::app(&name("web"), &Version::new(1, 0, 0), &Variant::Any);
    let mut bytes = world.store.bytes(&at).unwrap();
    bytes.push(b' ');
    world.store.put(&at, &bytes);
    // The same request again finds its entry, and lays out what that entry names.
    let app = name("web");
    let place = environment("prod");
    let remotes = world.remotes();
    let ground = Ground {
        log: Log {
            store: remotes.store.as_ref(),
            app: &app,
            environment: &place,
        },
        roots: remotes.static_roots.as_ref(),
        cdns: None,
        without_cdn: false,
        attempt: "",
        concurrency: 1,
        now: "",
        stop: &Stop::default(),
    };
    let failure = block_on(async {
        ground
            .settle(&ground.log.tip().await?.unwrap(), false)
            .await
    })
    .unwrap_err();
    assert_eq!(failure.code(), "environment::manifest_changed");
    world.store.remove(&at);
    let failure = block_on(async {
        ground
            .settle(&ground.log.tip().await?.unwrap(), false)
            .await
    })
    .unwrap_err();
    assert_eq!(failure.code(), "environment::manifest_gone");
}

const ONE: &[(&str, &str)] = &[
    ("a-hash1.js", "one"),
    ("app.css", "same"),
    ("index.html", "one"),
    ("sw.js", "one"),
];
const TWO: &[(&str, &str)] = &[
    ("a-hash2.js", "two"),
    ("app.css", "same"),
    ("index.html", "two"),
    ("sw.js", "two"),
];

fn static_world(root: &str) -> World {
    let world = World::new();
    world.release("web", "1.0.0", "any", Some((root, ONE)), "complete");
    world.release("web", "1.1.0", "any", Some((root, TWO)), "complete");
    world
}

fn laid(points: &Points) -> (u64, u64) {
    let counts = points.apps[0].static_files;
    (counts.changed, counts.unchanged)
}

#[test]
fn static_files_follow_promote_and_rollback_in_order() {
    let world = static_world(APART);
    let root = "s3://cdn/web/prod";
    assert_eq!(laid(&world.promote("1.0.0").unwrap()), (4, 0));
    assert_eq!(
        world.roots.at(root).take_writes(),
        ["a-hash1.js", "app.css", "index.html", "sw.js"]
    );
    let dry = Request {
        dry_run: true,
        ..to("1.1.0")
    };
    let points = block_on(promote(&dry, &world.remotes())).unwrap();
    assert_eq!(laid(&points), (3, 1));
    assert!(points.apps[0].dry_run);
    assert!(world.roots.at(root).take_writes().is_empty());
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    assert_eq!(laid(&world.promote("1.1.0").unwrap()), (3, 1));
    assert_eq!(world.file(root, "index.html").as_deref(), Some("two"));
    assert_eq!(
        world.file(root, "a-hash1.js").as_deref(),
        Some("one"),
        "open pages keep their chunks"
    );
    let points = block_on(rollback(&request(), &world.remotes())).unwrap();
    assert_eq!(laid(&points), (2, 2));
    assert_eq!(world.file(root, "index.html").as_deref(), Some("one"));
    let applied = world
        .store
        .bytes(&layout::static_state(&name("web"), &environment("prod")))
        .unwrap();
    let applied: serde_json::Value = serde_json::from_slice(&applied).unwrap();
    assert_eq!(applied["seq"], 3);
    assert_eq!(applied["version"], "1.0.0");
    assert_eq!(applied["root"], root);
    assert_eq!(applied["schema"], "pkgs.static/1");
}

/// Why what follows the pointer of the first app is not finished.
fn unfinished(points: Result<Points, Failure>) -> Failure {
    let points = points.unwrap();
    assert_eq!(points.apps[0].outcome, PointOutcome::Unfinished);
    points.failure.unwrap()
}

fn behind(version: &str, cdn: CdnName) -> Request {
    Request {
        cdn: Choice::On(cdn),
        ..to(version)
    }
}

fn distribution(id: &str) -> CdnName {
    CdnName::Distribution(id.to_owned())
}

#[test]
fn the_cdn_hears_of_exactly_the_changed_paths() {
    let world = static_world(APART);
    let promote_behind = |version, id| {
        let request = behind(version, distribution(id));
        let rehearsal = Request {
            dry_run: true,
            ..request.clone()
        };
        let rehearsed = block_on(promote(&rehearsal, &world.remotes())).unwrap();
        let does = block_on(promote(&request, &world.remotes())).unwrap();
        assert_eq!(rehearsed.apps[0].static_files, does.apps[0].static_files);
        does.apps[0].static_files.cdn_paths
    };
    assert_eq!(promote_behind("1.0.0", "E1"), Some(4));
    assert_eq!(promote_behind("1.1.0", "E2"), Some(3));
    // The distribution is remembered by the entries: the one of today.
    block_on(rollback(&request(), &world.remotes())).unwrap();
    assert_eq!(
        world.cdn.paths(),
        [
            vec!["/", "/app.css", "/index.html", "/sw.js"],
            vec!["/", "/index.html", "/sw.js"],
            vec!["/", "/index.html", "/sw.js"]
        ]
    );
    let told = world.cdn.told.lock().unwrap().clone();
    let names: Vec<&str> = told.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["E1", "E2", "E2"]);
    // Nothing changed, so nothing is told.
    let again = Request {
        force: true,
        ..to("1.0.0")
    };
    let again = block_on(promote(&again, &world.remotes())).unwrap();
    assert_eq!(again.apps[0].static_files.cdn_paths, Some(0));
    assert_eq!(world.cdn.paths().len(), 3);
}

#[test]
fn a_cdn_that_refuses_is_told_again_and_static_json_waits_for_it() {
    use std::sync::atomic::Ordering;
    let world = static_world(APART);
    world.cdn.has_command.store(true, Ordering::SeqCst);
    world.cdn.refuses.store(true, Ordering::SeqCst);
    let request = behind("1.0.0", CdnName::Command);
    let failure = unfinished(block_on(promote(&request, &world.remotes())));
    assert_eq!(failure.code(), "trial::refused");
    let advice = failure.advice().unwrap_or_default();
    assert!(
        advice.contains("promote --environment prod --app web --to 1.0.0"),
        "{advice}"
    );
    let key = layout::static_state(&name("web"), &environment("prod"));
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    let standing = || {
        let status = block_on(status(&StatusRequest::default(), &world.remotes())).unwrap();
        let told = &status.apps[0].environments[0];
        (told.static_applied, told.awaits_cdn)
    };
    assert_eq!(standing(), (Some(true), Some(true)));
    world.cdn.refuses.store(false, Ordering::SeqCst);
    // As the advice says; the entry knows that a command is to be told.
    world.promote("1.0.0").unwrap();
    assert_eq!(standing(), (Some(true), Some(false)));
    world.promote("1.0.0").unwrap();
    let first = vec!["/", "/app.css", "/index.html", "/sw.js"];
    assert_eq!(world.cdn.paths(), std::slice::from_ref(&first));
    // The next one does not reach it either. It is told of what changed since it heard last, no more, when it answers again.
    world.cdn.refuses.store(true, Ordering::SeqCst);
    let _ = unfinished(world.promote("1.1.0"));
    assert_eq!(standing(), (Some(true), Some(true)));
    let said = world.store.bytes(&key).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
    assert_eq!((&said["seq"], &said["awaitsCdn"]), (&1.into(), &2.into()));
    world.cdn.refuses.store(false, Ordering::SeqCst);
    let points = world.promote("1.1.0").unwrap();
    assert_eq!(points.apps[0].static_files.cdn_paths, Some(3));
    assert_eq!(standing(), (Some(true), Some(false)));
    assert_eq!(
        world.cdn.paths(),
        [first, vec!["/", "/index.html", "/sw.js"]]
    );
}

#[test]
fn a_file_that_was_mended_is_told_to_the_cdn_however_often_that_fails() {
    use std::sync::atomic::Ordering;
    let world = static_world(APART);
    world.cdn.has_command.store(true, Ordering::SeqCst);
    block_on(promote(
        &behind("1.0.0", CdnName::Command),
        &world.remotes(),
    ))
    .unwrap();
    // Somebody writes over a file, and the CDN may have seen it.
    let place = APART
        .replace("{app}", "web")
        .replace("{environment}", "prod");
    let root = world.roots.at(&place);
    root.put(&key("app.css"), b"foreign");
    world.cdn.refuses.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let failure = unfinished(world.promote("1.0.0"));
        assert_eq!(failure.code(), "trial::refused");
        assert_ne!(root.bytes(&key("app.css")).unwrap(), b"foreign");
    }
    world.cdn.refuses.store(false, Ordering::SeqCst);
    world.promote("1.0.0").unwrap();
    let told = world.cdn.paths();
    assert_eq!(told.len(), 2);
    assert!(told[1].contains(&"/app.css".to_owned()), "{told:?}");
    world.promote("1.0.0").unwrap();
    assert_eq!(world.cdn.paths().len(), 2);
}

#[test]
fn who_is_to_stop_writes_nothing() {
    let world = static_world(APART);
    let promoted = to("1.0.0");
    promoted.stop.request(15);
    let held = Request {
        to: None,
        ..promoted.clone()
    };
    for deed in [
        block_on(promote(&promoted, &world.remotes())),
        block_on(hold(&held, &world.remotes())),
    ] {
        let failure = deed.unwrap_err();
        assert_eq!(failure.code(), "run::interrupted");
        assert_eq!(failure.exit(), Exit::Terminated);
    }
    assert!(world.tip("web", "prod").is_none());
}

/// What names an entry that the log does not have yet is damaged, or of a log that was there before: it is written anew, and not believed once the log has
/// come that far.
#[test]
fn static_json_of_an_entry_that_is_not_in_the_log_is_written_anew() {
    let world = static_world(APART);
    world.promote("1.0.0").unwrap();
    let key = layout::static_state(&name("web"), &environment("prod"));
    let said = || -> serde_json::Value {
        serde_json::from_slice(&world.store.bytes(&key).unwrap()).unwrap()
    };
    let mut foreign = said();
    foreign["seq"] = 2.into();
    world.store.put(&key, foreign.to_string().as_bytes());
    let applied = || {
        let status = block_on(status(&StatusRequest::default(), &world.remotes())).unwrap();
        status.apps[0].environments[0].static_applied
    };
    assert_eq!(applied(), Some(false));
    world.promote("1.0.0").unwrap();
    assert_eq!(said()["seq"], 1);
    assert_eq!(applied(), Some(true));
    // The pointer log goes on without moves; none of these numbers is that of a move.
    world.store.put(&key, foreign.to_string().as_bytes());
    block_on(pin(&to("1.0.0"), &world.remotes())).unwrap();
    world.promote("1.0.0").unwrap();
    assert_eq!(said()["seq"], 1);
    world.promote("1.1.0").unwrap();
    assert_eq!(said()["seq"], 3);
}

/// A log that was lost begins anew, and its entries have the numbers of others.
#[test]
fn static_json_of_a_lost_log_hides_no_file_that_differs() {
    use std::sync::atomic::Ordering;
    let world = static_world(APART);
    world.promote("1.0.0").unwrap();
    let (app, place) = (name("web"), environment("prod"));
    world.store.remove(&layout::log_entry(&app, &place, 1));
    world.store.remove(&layout::current(&app, &place));
    world.cdn.has_command.store(true, Ordering::SeqCst);
    world.cdn.refuses.store(true, Ordering::SeqCst);
    let request = behind("1.1.0", CdnName::Command);
    let key = layout::static_state(&app, &place);
    let lost = world.store.bytes(&key).unwrap();
    let failure = unfinished(block_on(promote(&request, &world.remotes())));
    assert_eq!(failure.code(), "trial::refused");
    world.store.put(&key, &lost);
    // `static.json` speaks of entry 1 and 1.0.0; entry 1 made 1.1.0 live.
    let status = block_on(status(&StatusRequest::default(), &world.remotes())).unwrap();
    assert_eq!(status.apps[0].environments[0].static_applied, Some(false));
    world.cdn.refuses.store(false, Ordering::SeqCst);
    world.promote("1.0.0").unwrap();
    for (path, text) in ONE {
        let there = world.file("s3://cdn/web/prod", path);
        assert_eq!(there.as_deref(), Some(*text), "{path}");
    }
}

#[test]
fn lost_bytes_refuse_a_promote_before_anything_moves() {
    let world = static_world(APART);
    world.promote("1.0.0").unwrap();
    let root = world.roots.at("s3://cdn/web/prod");
    let _ = root.take_writes();
    world.store.remove(&layout::blob(&Digest::of(b"two")));
    assert_eq!(code(world.promote("1.1.0")), (6, "static::blob"));
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    assert!(root.take_writes().is_empty());
}

#[test]
fn who_says_that_no_cdn_is_there_any_more_is_believed() {
    use std::sync::atomic::Ordering;
    let world = static_world(APART);
    world.cdn.has_command.store(true, Ordering::SeqCst);
    world.cdn.refuses.store(true, Ordering::SeqCst);
    let request = behind("1.0.0", CdnName::Command);
    let _ = unfinished(block_on(promote(&request, &world.remotes())));
    world.cdn.has_command.store(false, Ordering::SeqCst);
    assert_eq!(unfinished(world.promote("1.0.0")).code(), "static::no_cdn");
    let none = Request {
        cdn: Choice::Off,
        ..to("1.0.0")
    };
    block_on(promote(&none, &world.remotes())).unwrap();
    // The log still names it, so it is not forgotten that it was never told.
    let status = block_on(status(&StatusRequest::default(), &world.remotes())).unwrap();
    assert_eq!(status.apps[0].environments[0].awaits_cdn, Some(true));
    world.cdn.has_command.store(true, Ordering::SeqCst);
    world.cdn.refuses.store(false, Ordering::SeqCst);
    let points = world.promote("1.0.0").unwrap();
    assert_eq!(points.apps[0].static_files.cdn_paths, Some(4));
}

/// Two apps go back while the CDN of one is away: the other goes back, too, and the same command again finishes what is left and goes no further.
#[test]
fn a_cdn_that_is_away_keeps_no_other_app_and_the_same_rollback_finishes() {
    use std::sync::atomic::Ordering;
    let world = static_world(APART);
    world.cdn.has_command.store(true, Ordering::SeqCst);
    world.release("worker", "0.9.0", "any", None, "complete");
    let worker = Request {
        apps: Apps::Named(vec![name("worker")]),
        ..to("0.9.0")
    };
    block_on(promote(&worker, &world.remotes())).unwrap();
    for version in ["1.0.0", "1.1.0"] {
        let web = Request {
            apps: Apps::Named(vec![name("web")]),
            ..behind(version, CdnName::Command)
        };
        block_on(promote(&web, &world.remotes())).unwrap();
        world.release("worker", version, "any", None, "complete");
        let worker = Request {
            apps: Apps::Named(vec![name("worker")]),
            ..to(version)
        };
        block_on(promote(&worker, &world.remotes())).unwrap();
    }
    let back = Request {
        apps: Apps::Named(vec![name("web"), name("worker")]),
        ..request()
    };
    world.cdn.refuses.store(true, Ordering::SeqCst);
    let points = block_on(rollback(&back, &world.remotes())).unwrap();
    let outcomes: Vec<PointOutcome> = points.apps.iter().map(|point| point.outcome).collect();
    assert_eq!(outcomes, [PointOutcome::Unfinished, PointOutcome::Done]);
    assert_eq!(points.failure.unwrap().code(), "trial::refused");
    assert_eq!(points.apps[0].seq, Some(3));
    let again = |apps: &[&str]| {
        let request = Request {
            apps: Apps::Named(apps.iter().map(|app| name(app)).collect()),
            ..request()
        };
        block_on(rollback(&request, &world.remotes()))
    };
    assert_eq!(unfinished(again(&["web"])).code(), "trial::refused");
    world.cdn.refuses.store(false, Ordering::SeqCst);
    let points = again(&["web", "worker"]).unwrap();
    let outcomes: Vec<PointOutcome> = points.apps.iter().map(|point| point.outcome).collect();
    assert_eq!(outcomes, [PointOutcome::AlreadyDone; 2]);
    assert_eq!(points.apps[0].static_files.cdn_paths, Some(3));
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.0.0"));
    assert_eq!(world.live("worker", "prod").as_deref(), Some("1.0.0"));
    // Once it is finished, another one is another one.
    again(&["worker"]).unwrap();
    assert_eq!(world.live("worker", "prod").as_deref(), Some("0.9.0"));
    assert_eq!(
        code(again(&["web"])),
        (3, "environment::nothing_to_roll_back_to")
    );
}

/// A number that no entry has is no version that is live.
#[test]
fn an_entry_that_is_not_there_yet_is_nothing_to_aim_at() {
    let world = static_world(APART);
    world.promote("1.0.0").unwrap();
    let refused = |points| assert_eq!(code(points), (3, "environment::unknown_seq"));
    refused(block_on(promote(&to("2"), &world.remotes())));
    refused(block_on(mark_bad(&to("2"), &world.remotes())));
    refused(block_on(pin(&to("2"), &world.remotes())));
    refused(block_on(rollback(&to("2"), &world.remotes())));
}

/// Whenever somebody else's file comes, before the look, between look and write, or after all: it is there in the end.
#[test]
fn what_comes_into_a_place_meanwhile_is_not_written_over() {
    let (mut refused, mut done) = (0, 0);
    for seed in 0..300 {
        let world = static_world(APART);
        let root = world.roots.at("s3://cdn/web/prod");
        world.store.start_pausing();
        root.start_pausing();
        let mut dice = Dice::new(seed);
        let remotes = world.remotes();
        let (intruder, steps) = (Arc::clone(&root), dice.below(60));
        let runs: Vec<Run> = vec![
            Box::pin(async move { promote(&to("1.0.0"), &remotes).await.map(|_| ()) }),
            Box::pin(async move {
                for _ in 0..steps {
                    intruder.head(&key("other")).await?;
                }
                let body = Body::Bytes(b"theirs".to_vec());
                let headers = owned_by("api", "prod");
                intruder
                    .replace(&key("index.html"), &body, &headers)
                    .await?;
                Ok(())
            }),
        ];
        let outcomes = interleave(runs, seed + 1000);
        world.store.stop_pausing();
        root.stop_pausing();
        match &outcomes[0] {
            Ok(()) => done += 1,
            Err(failure) => {
                assert_eq!(failure.code(), "static::owned", "seed {seed}");
                refused += 1;
            }
        }
        let there = world.file("s3://cdn/web/prod", "index.html");
        assert_eq!(there.as_deref(), Some("theirs"), "seed {seed}");
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
}

#[test]
fn without_what_tells_the_cdn_nothing_is_written() {
    use std::sync::atomic::Ordering;
    let world = static_world(APART);
    world.cdn.has_command.store(true, Ordering::SeqCst);
    block_on(promote(
        &behind("1.0.0", CdnName::Command),
        &world.remotes(),
    ))
    .unwrap();
    world.promote("1.1.0").unwrap();
    world.cdn.has_command.store(false, Ordering::SeqCst);
    let back = block_on(rollback(&request(), &world.remotes()));
    assert_eq!(code(back), (2, "static::no_cdn"));
    assert_eq!(world.live("web", "prod").as_deref(), Some("1.1.0"));
    // Unless it is said that there is none any more.
    let off = Request {
        cdn: Choice::Off,
        ..request()
    };
    block_on(rollback(&off, &world.remotes())).unwrap();
    assert_eq!(
        world
            .tip("web", "prod")
            .unwrap()
            .entry
            .static_place
            .unwrap()
            .cdn,
        None
    );
}

/// A run dies right after the CDN heard of its files; another version is live before anybody finishes. What the dead run laid out may
/// have been copied, so it is told, too.
#[test]
fn the_cdn_forgets_what_an_unfinished_activation_laid_out() {
    let world = World::new();
    for (version, one, two) in [
        ("1.0.0", "1", "1"),
        ("1.1.0", "1", "2"),
        ("1.2.0", "3", "1"),
    ] {
        let files = [("one.css", one), ("two.css", two)];
        world.release("web", version, "any", Some((APART, &files)), "complete");
    }
    let promote_behind = |version| {
        block_on(promote(
            &behind(version, distribution("E1")),
            &world.remotes(),
        ))
    };
    promote_behind("1.0.0").unwrap();
    world
        .cdn
        .refuses
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let _ = unfinished(promote_behind("1.1.0"));
    // Whoever made 1.2.0 live laid it out and died: nothing is left to write.
    let _ = unfinished(promote_behind("1.2.0"));
    world
        .cdn
        .refuses
        .store(false, std::sync::atomic::Ordering::SeqCst);
    promote_behind("1.2.0").unwrap();
    let last = world.cdn.paths().pop().unwrap();
    assert_eq!(last, ["/one.css", "/two.css"]);
}

/// The public address is remembered as the root is, and its path comes before the paths of files.
#[test]
fn the_public_address_is_remembered_and_told() {
    let world = static_world(APART);
    let request_at = Request {
        static_url: Some("https://example.org/{app}/{environment}".to_owned()),
        ..behind("1.0.0", distribution("E1"))
    };
    let points = block_on(promote(&request_at, &world.remotes())).unwrap();
    let url = Some("https://example.org/web/prod/");
    assert_eq!(points.apps[0].url.as_deref(), url);
    let points = world.promote("1.1.0").unwrap();
    assert_eq!(points.apps[0].url.as_deref(), url);
    let last = world.cdn.paths().pop().unwrap();
    assert_eq!(
        last,
        ["/web/prod/", "/web/prod/index.html", "/web/prod/sw.js"]
    );
    let status = block_on(status(&StatusRequest::default(), &world.remotes())).unwrap();
    assert_eq!(status.apps[0].environments[0].url.as_deref(), url);
}

#[test]
fn a_root_without_environment_serves_one_environment() {
    let world = static_world(SHARED);
    world.promote("1.0.0").unwrap();
    let pre = Request {
        environment: environment("pre"),
        ..to("1.1.0")
    };
    assert_eq!(
        code(block_on(promote(&pre, &world.remotes()))),
        (3, "static::shared_root")
    );
    assert!(world.tip("web", "pre").is_none());
    let meant = Request {
        static_root: Choice::Off,
        ..pre
    };
    let points = block_on(promote(&meant, &world.remotes())).unwrap();
    assert_eq!(laid(&points), (0, 0));
    assert_eq!(world.file("s3://cdn/web", "sw.js").as_deref(), Some("one"));
}

#[test]
fn a_root_that_differs_changes_nothing() {
    let world = static_world(APART);
    let other = Request {
        static_root: Choice::On("s3://elsewhere".to_owned()),
        ..to("1.0.0")
    };
    assert_eq!(
        code(block_on(promote(&other, &world.remotes()))),
        (2, "static::root_differs")
    );
    assert!(world.tip("web", "prod").is_none());
}

fn owned_by(app: &str, place: &str) -> Headers {
    Headers {
        metadata: BTreeMap::from([
            ("app".to_owned(), app.to_owned()),
            ("environment".to_owned(), place.to_owned()),
        ]),
        ..Headers::default()
    }
}

#[test]
fn files_of_others_are_not_overwritten() {
    for (app, place) in [("api", "prod"), ("web", "pre")] {
        let world = static_world(SHARED);
        let root = world.roots.at("s3://cdn/web");
        root.put_with(&key("sw.js"), b"theirs", owned_by(app, place));
        assert_eq!(code(world.promote("1.0.0")), (3, "static::owned"));
        assert!(world.tip("web", "prod").is_none());
        assert!(root.take_writes().is_empty());
    }
}

#[test]
fn files_without_an_owner_are_adopted() {
    let world = static_world(SHARED);
    let root = world.roots.at("s3://cdn/web");
    root.put(&key("sw.js"), b"older");
    root.put(&key("a-hash1.js"), b"one");
    assert_eq!(laid(&world.promote("1.0.0").unwrap()), (4, 0));
    assert_eq!(world.file("s3://cdn/web", "sw.js").as_deref(), Some("one"));
}

/// A version may list a file under `mutable` that the one before did not: what it laid out gives way to a rollback.
#[test]
fn a_file_that_was_mutable_in_between_gives_way_to_the_immutable_one() {
    let world = static_world(APART);
    let root = world.roots.at("s3://cdn/web/prod");
    world.promote("1.0.0").unwrap();
    let mutable = |environment: &str| {
        let headers = owned_by("web", environment);
        let body = Body::Bytes(b"two".to_vec());
        block_on(root.replace(&key("a-hash1.js"), &body, &headers)).unwrap();
    };
    mutable("sit");
    assert_eq!(unfinished(world.promote("1.0.0")).code(), "static::owned");
    mutable("prod");
    world.promote("1.0.0").unwrap();
    let there = world.file("s3://cdn/web/prod", "a-hash1.js");
    assert_eq!(there.as_deref(), Some("one"));
}

#[test]
fn an_immutable_file_with_other_bytes_stops_everything() {
    let world = static_world(SHARED);
    world
        .roots
        .at("s3://cdn/web")
        .put(&key("a-hash1.js"), b"eno");
    assert_eq!(
        code(world.promote("1.0.0")),
        (6, "static::immutable_changed")
    );
    assert!(world.tip("web", "prod").is_none());
}

/// A run that dies anywhere, in the store or in the static root, is finished by the same request run again.
#[test]
fn a_crash_anywhere_is_finished_by_the_next_attempt() {
    for at_root in [false, true] {
        for effect_first in [false, true] {
            for call in 0.. {
                let world = static_world(APART);
                let root = world.roots.at("s3://cdn/web/prod");
                world.promote("1.0.0").unwrap();
                let request = to("1.1.0");
                let store = if at_root { &root } else { &world.store };
                store.fail_at(call, Fault::Crash { effect_first });
                let _ = block_on(promote(&request, &world.remotes()));
                let reached = store.fault_was_met();
                store.heal();
                block_on(promote(&request, &world.remotes())).unwrap();
                let tip = world.tip("web", "prod").unwrap();
                assert_eq!(tip.entry.seq, 2, "call {call}");
                assert_eq!(
                    world.file("s3://cdn/web/prod", "sw.js").as_deref(),
                    Some("two")
                );
                let status = block_on(status(&StatusRequest::default(), &world.remotes())).unwrap();
                assert_eq!(status.apps[0].environments[0].static_applied, Some(true));
                if !reached {
                    assert!(call > 5);
                    break;
                }
            }
        }
    }
}

/// Promotes and a rollback race, one request at a time in an order that the seed decides, and some die on the way. Afterwards the
/// log is a chain in which each deed occurs at most once, and the static files are those of the version that is live.
#[test]
fn racing_runs_leave_one_truth() {
    for seed in 0..300 {
        let world = World::new();
        for (version, text) in [
            ("1.0.0", "1"),
            ("1.1.0", "2"),
            ("1.2.0", "3"),
            ("1.3.0", "4"),
        ] {
            let files = [("a.js", text), ("index.html", text)];
            world.release("web", version, "any", Some((APART, &files)), "complete");
        }
        world.promote("1.0.0").unwrap();
        world.promote("1.1.0").unwrap();
        let root = world.roots.at("s3://cdn/web/prod");
        world.store.start_pausing();
        root.start_pausing();
        let mut dice = Dice::new(seed);
        let promotes = [to("1.2.0"), to("1.3.0")];
        let mut runs: Vec<Run> = Vec::new();
        for request in promotes.clone() {
            let remotes = world.remotes();
            runs.push(Box::pin(async move {
                promote(&request, &remotes).await.map(|_| ())
            }));
        }
        let remotes = world.remotes();
        let back = request();
        runs.push(Box::pin(async move {
            rollback(&back, &remotes).await.map(|_| ())
        }));
        if dice.below(3) == 0 {
            let victim = dice.below(runs.len());
            let steps = dice.below(30);
            let run = runs.remove(victim);
            runs.push(crate::apply::trial::dying(run, steps));
        }
        let outcomes = interleave(runs, seed + 1000);
        world.store.stop_pausing();
        root.stop_pausing();
        for outcome in &outcomes {
            if let Err(failure) = outcome {
                assert!(
                    matches!(
                        failure.code(),
                        "environment::held" | "environment::overtaken" | "trial::died"
                    ),
                    "seed {seed}: {failure:?}"
                );
            }
        }
        check_log(&world, seed);
        let app = name("web");
        let place = environment("prod");
        let remotes = world.remotes();
        let ground = Ground {
            log: Log {
                store: remotes.store.as_ref(),
                app: &app,
                environment: &place,
            },
            roots: remotes.static_roots.as_ref(),
            cdns: None,
            without_cdn: false,
            attempt: "",
            concurrency: 1,
            now: "",
            stop: &Stop::default(),
        };
        let died = outcomes
            .iter()
            .any(|outcome| matches!(outcome, Err(failure) if failure.code() == "trial::died"));
        if died {
            block_on(async {
                ground
                    .settle(&ground.log.tip().await?.unwrap(), false)
                    .await
            })
            .unwrap();
        }
        let live = world.live("web", "prod").unwrap();
        let minor = Version::parse(&live).unwrap().minor() + 1;
        for path in ["a.js", "index.html"] {
            assert_eq!(
                world.file("s3://cdn/web/prod", path),
                Some(minor.to_string()),
                "seed {seed}: {live} is live"
            );
        }
    }
}

/// A promote does some requests, a rollback does some, the promote ends, the rollback ends: whatever the numbers, the static files
/// are those of the version that is live.
#[test]
fn a_rollback_beside_a_slow_promote_gets_its_files() {
    for first in 0..40 {
        for second in 0..40 {
            let world = World::new();
            for (version, text) in [("1.0.0", "1"), ("1.1.0", "2"), ("1.2.0", "3")] {
                let files = [("a.js", text)];
                world.release("web", version, "any", Some((APART, &files)), "complete");
            }
            world.promote("1.0.0").unwrap();
            world.promote("1.1.0").unwrap();
            let root = world.roots.at("s3://cdn/web/prod");
            world.store.start_pausing();
            root.start_pausing();
            let (remotes, forward) = (world.remotes(), to("1.2.0"));
            let slow: Run = Box::pin(async move { promote(&forward, &remotes).await.map(|_| ()) });
            let (remotes, back) = (world.remotes(), request());
            let rollback: Run =
                Box::pin(async move { rollback(&back, &remotes).await.map(|_| ()) });
            crate::apply::trial::in_turns(slow, rollback, first, second);
            world.store.stop_pausing();
            root.stop_pausing();
            let live = world.live("web", "prod").unwrap();
            let minor = Version::parse(&live).unwrap().minor() + 1;
            assert_eq!(
                world.file("s3://cdn/web/prod", "a.js"),
                Some(minor.to_string()),
                "{live} is live after {first} and {second} requests"
            );
        }
    }
}

fn check_log(world: &World, seed: u64) {
    let app = name("web");
    let place = environment("prod");
    let log = Log {
        store: world.store.as_ref(),
        app: &app,
        environment: &place,
    };
    let last = block_on(log.tip()).unwrap().unwrap().entry.seq;
    let mut before: Option<Tip> = None;
    let mut operations = std::collections::BTreeSet::new();
    for seq in 1..=last {
        let tip = block_on(log.entry(seq)).unwrap().unwrap();
        assert!(
            operations.insert(tip.entry.operation.clone()),
            "seed {seed}"
        );
        if let Some(before) = &before {
            tip.entry
                .check_chain(&before.entry, &before.digest)
                .unwrap();
            let leaves = before.entry.state.version();
            assert_eq!(tip.entry.leaves.as_deref(), leaves, "seed {seed}");
            assert!(
                before.entry.state.hold.is_none(),
                "seed {seed}: nobody was to pass a hold"
            );
        }
        before = Some(tip);
    }
}
