//! From settings to requests about environments, and the environments that a release activates by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::apply::builds;
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::apply::point::{Log, environments_of as environments_with_log};
use crate::apply::static_files::{OpenRoot, no_cdn};
use crate::commands::environments::{self, Configured, Remotes, Request};
use crate::commands::{Session, open_store};
use crate::environment::entry::CdnName;
use crate::explain::{Exit, Failure};
use crate::local::git::Repo;
use crate::local::process::{Children, Project};
use crate::local::stop::Stop;
use crate::name::{CommitId, EnvironmentName, PackageName, Variant};
use crate::plan::promote::By;
use crate::plan::static_root;
use crate::release::app::AppManifest;
use crate::remote::cdn::cloudfront::CloudFront;
use crate::remote::cdn::command::CdnCommand;
use crate::remote::cdn::{Cdn, OpenCdn};
use crate::remote::store::Store;
use crate::remote::store::remembering::Remembering;
use crate::report::environments::{Point, PointOutcome, activation};
use crate::settings::address::StoreAddress;
use crate::settings::{AppSettings, Apps, Choice, PointSettings, Role, Settings, StoreSettings};

/// Opens static roots with the endpoint and region of the store. Below a directory that was named and exists, the directories of apps and
/// environments are made; the directory itself never is: it may be a disk that is not mounted.
pub struct Roots {
    store: Option<StoreSettings>,
    template: Option<String>,
    /// Those that are open: each is looked into once.
    open: tokio::sync::Mutex<BTreeMap<String, Arc<dyn Store>>>,
}

impl Roots {
    /// Roots beside the store that `settings` name.
    pub fn new(settings: &Settings) -> Roots {
        Roots {
            store: settings.store.value().cloned(),
            template: settings.static_root.value().cloned(),
            open: tokio::sync::Mutex::default(),
        }
    }
}

#[async_trait]
impl OpenRoot for Roots {
    async fn open(&self, root: &str) -> Result<Arc<dyn Store>, Failure> {
        let mut open = self.open.lock().await;
        if let Some(store) = open.get(root) {
            return Ok(Arc::clone(store));
        }
        let address = StoreAddress::parse(root)?;
        if let (StoreAddress::Directory(directory), Some(template)) = (&address, &self.template) {
            make_below(directory, template)?;
        }
        if let StoreAddress::Directory(directory) = &address
            && !directory.is_dir()
        {
            return Err(missing(directory));
        }
        let beside = self.store.as_ref();
        let store = open_store(&StoreSettings {
            address,
            endpoint: beside.and_then(|store| store.endpoint.clone()),
            region: beside.and_then(|store| store.region.clone()),
            role: beside.and_then(|store| store.role.clone()),
        })
        .await?;
        open.insert(root.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}

/// Opens CDNs: distributions of `CloudFront` with the credentials of the store, and the command that the settings name.
pub struct Cdns {
    region: Option<String>,
    role: Option<Role>,
    command: Option<CdnCommand>,
    /// Those that are open: each is looked at once.
    open: tokio::sync::Mutex<BTreeMap<String, Arc<dyn Cdn>>>,
}

impl Cdns {
    /// The CDNs that `settings` can tell.
    pub fn new(settings: &Settings, children: &Children) -> Cdns {
        let store = settings.store.value();
        let command = settings.cdn.command.value().map(|line| {
            let mut project = Project::new(&settings.child_environment, children.clone());
            if settings.runner.is_actions {
                project = project.stopping_commands(format!("{:032x}", settings.nonce));
            }
            CdnCommand {
                line: line.clone(),
                directory: settings.directory.clone(),
                variables: settings.cdn.variables.clone(),
                project,
            }
        });
        Cdns {
            region: store.and_then(|store| store.region.clone()),
            role: store.and_then(|store| store.role.clone()),
            command,
            open: tokio::sync::Mutex::default(),
        }
    }
}

#[async_trait]
impl OpenCdn for Cdns {
    async fn open(&self, cdn: &CdnName) -> Result<Option<Arc<dyn Cdn>>, Failure> {
        let mut open = self.open.lock().await;
        if let Some(cdn) = open.get(cdn.recorded()) {
            return Ok(Some(Arc::clone(cdn)));
        }
        let opened: Arc<dyn Cdn> = match (cdn, &self.command) {
            (CdnName::Distribution(id), _) => {
                let (region, role) = (self.region.as_deref(), self.role.as_ref());
                Arc::new(CloudFront::connect(id, region, role).await?)
            }
            (CdnName::Command, Some(command)) => {
                check_variables(command)?;
                Arc::new(command.clone())
            }
            (CdnName::Command, None) => return Ok(None),
        };
        open.insert(cdn.recorded().to_owned(), Arc::clone(&opened));
        Ok(Some(opened))
    }
}

/// Refuses a command that would not find what it was promised.
fn check_variables(command: &CdnCommand) -> Result<(), Failure> {
    let unset = command
        .variables
        .iter()
        .filter(|(_, value)| value.is_empty());
    let unset: Vec<&str> = unset.map(|(name, _)| name.as_str()).collect();
    if unset.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "static::cdn_environment",
        format!(
            "`cdn-environment` names {}, and that is not set",
            unset.join(", ")
        ),
    )
    .because(
        "the command that tells the CDN would fail after the pointer moved; nothing was changed",
    )
    .hint("set it for this step, for example from a secret, or take its name out"))
}

pub(super) fn missing(directory: &Path) -> Failure {
    let directory = directory.display();
    Failure::new(
        Exit::Usage,
        "static::directory",
        format!("`static` names {directory}, and there is no such directory"),
    )
    .because("one that is missing may be a disk that is not mounted, so it is not made")
    .hint("make it, or mount what belongs there; `static` says where static files are served from")
}

/// Makes `directory`, if it lies below the part of `template` before its first placeholder and that part is there.
fn make_below(directory: &Path, template: &str) -> Result<(), Failure> {
    let Some((named, _)) = template.split_once('{') else {
        return Ok(());
    };
    let named = Path::new(named.strip_prefix("file://").unwrap_or(named));
    let named = if named.is_dir() {
        named
    } else {
        named.parent().unwrap_or(named)
    };
    if !named.is_dir() || !directory.starts_with(named) {
        return Ok(());
    }
    std::fs::create_dir_all(directory).map_err(|error| {
        Failure::new(
            Exit::Usage,
            "static::directory",
            format!("{} could not be made", directory.display()),
        )
        .because(error)
        .hint("let this user write there, or make it")
    })
}

/// Opens the static root of every environment that a release would activate by itself, and the CDN in front of it, so that what is missing is known
/// before anything is decided.
///
/// # Errors
/// As the store at that root and the CDN tell it; `static::no_cdn`, exit 2, where the log names a CDN that nothing here can tell.
pub async fn check_roots(session: &Session<'_>, apps: &[PackageName]) -> Result<(), Failure> {
    let Some(template) = session.settings.static_root.value() else {
        return Ok(());
    };
    let roots = &session.remotes.static_roots;
    for app in apps {
        for environment in &session.settings.app_settings(app).auto {
            let root = static_root::resolve(template, app, environment)?;
            roots.open(&root).await?;
            let Some(cdn) = cdn_in_front(session, template, app, environment).await else {
                continue;
            };
            if session.remotes.cdns.open(&cdn).await?.is_none() {
                return Err(untold(app, environment));
            }
        }
    }
    Ok(())
}

/// The CDN that a release would tell of what it changes: the one that is set, else the one that the log names. A log that cannot be read is said, and
/// stops nobody before its own environment's turn; where automation is held, nobody is told.
pub(super) async fn cdn_in_front(
    session: &Session<'_>,
    template: &str,
    app: &PackageName,
    environment: &EnvironmentName,
) -> Option<CdnName> {
    let set = static_root::set(&session.settings.cdn, environment);
    if set != Choice::Unset {
        return set.value().cloned();
    }
    let store = session.remotes.store.as_deref()?;
    let log = Log {
        store,
        app,
        environment,
    };
    let entry = match log.tip().await {
        Ok(tip) => tip?.entry,
        Err(failure) => {
            tracing::warn!(
                %failure,
                "which CDN stands in front of {environment} of {app} is not known"
            );
            return None;
        }
    };
    if entry.state.hold.is_some() {
        return None;
    }
    static_root::in_front(template, &set, None, entry.static_place.as_ref(), None).cdn
}

/// That a release would lay out files behind a CDN that it cannot tell of them.
pub(super) fn untold(app: &PackageName, environment: &EnvironmentName) -> Failure {
    no_cdn(app, environment, &CdnName::Command).because(format!(
        "a release would activate {environment} by itself and leave old copies there; nothing was decided"
    ))
}

/// Says which environments of `cdn-distribution` nobody knows, as far as that can be found out: it keeps nobody from pointing.
pub async fn warn_of_unknown_distributions(
    settings: &Settings,
    asked: &PointSettings,
    store: &dyn Store,
) {
    match unknown_distributions(settings, asked, store).await {
        Ok(names) => {
            for name in names {
                tracing::warn!(
                    "`cdn-distribution` names {name}, an environment that neither a configuration nor the store knows: no CDN is told by that line"
                );
            }
        }
        Err(failure) => {
            tracing::debug!(%failure, "which environments of `cdn-distribution` are known was not found out");
        }
    }
}

/// The environments of `cdn-distribution` that nobody knows: neither the settings, nor what is asked, nor the store. Where there is a configuration,
/// the settings refuse them.
///
/// # Errors
/// Those of the store.
async fn unknown_distributions(
    settings: &Settings,
    asked: &PointSettings,
    store: &dyn Store,
) -> Result<Vec<EnvironmentName>, Failure> {
    let said = settings.cdn.distributions.keys().flatten();
    let mut unknown: BTreeSet<EnvironmentName> = said.cloned().collect();
    for known in environments_of(settings) {
        unknown.remove(&known);
    }
    for known in [Some(&asked.environment), asked.from.as_ref()] {
        known.map(|known| unknown.remove(known));
    }
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    for app in builds::apps(store).await? {
        if unknown.is_empty() {
            break;
        }
        for (_, variant) in builds::versions(store, &app).await? {
            if let Variant::Environment(known) = variant {
                unknown.remove(&known);
            }
        }
        for known in environments_with_log(store, &app).await? {
            unknown.remove(&known);
        }
    }
    Ok(unknown.into_iter().collect())
}

/// What the commands about environments speak to; what `store` never changes is read once.
pub fn remotes(settings: &Settings, store: Arc<dyn Store>, children: &Children) -> Remotes {
    Remotes {
        store: Arc::new(Remembering::new(store)),
        static_roots: Arc::new(Roots::new(settings)),
        cdns: Arc::new(Cdns::new(settings, children)),
    }
}

/// The request that the settings describe, as a person asks it.
pub fn request(settings: &Settings, asked: &PointSettings, stop: &Stop) -> Request {
    Request {
        apps: asked.apps.clone(),
        environment: asked.environment.clone(),
        to: asked.to.clone(),
        from: asked.from.clone(),
        reason: asked.reason.clone(),
        actor: actor(settings),
        by: By::Person,
        force: asked.force,
        dry_run: settings.dry_run,
        now: crate::report::moment(settings.now),
        operation: operation(settings),
        run: settings.runner.run_id.clone(),
        environments: configured(settings),
        static_root: settings.static_root.clone(),
        static_url: settings.static_url.clone(),
        cdn: static_root::set(&settings.cdn, &asked.environment),
        attempt: attempt(settings),
        concurrency: settings.max_concurrency,
        stop: stop.clone(),
        ancestry: None,
    }
}

/// What makes this request one: the same in every attempt of the same job step.
pub fn operation(settings: &Settings) -> String {
    let key = settings.runner.run_key();
    key.unwrap_or_else(|| format!("{:032x}", settings.nonce))
}

/// What no other run has, another attempt of the same job step neither.
pub fn attempt(settings: &Settings) -> String {
    format!("{:032x}", settings.nonce)
}

/// Who asks, for the record: as it was set, else as git knows the person.
pub fn actor(settings: &Settings) -> String {
    settings
        .actor
        .clone()
        .or_else(|| Repo::open(&settings.directory).ok()?.user_email())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The environments that are configured, app by app.
pub fn configured(settings: &Settings) -> Configured {
    let of = |(name, app): (&PackageName, &AppSettings)| (name.clone(), app.environments.clone());
    Configured {
        apps: settings.apps.iter().map(of).collect(),
        others: settings.app_defaults.environments.clone(),
        by_configuration: settings.opted_in,
    }
}

/// The environments that are configured for any app: first those of apps that name none, each list in its own order.
pub fn environments_of(settings: &Settings) -> Vec<EnvironmentName> {
    let mut seen = BTreeSet::new();
    [&settings.app_defaults]
        .into_iter()
        .chain(settings.apps.values())
        .flat_map(|app| app.environments.iter().cloned())
        .filter(|environment| seen.insert(environment.clone()))
        .collect()
}

/// POINT: moves every environment that an app activates by itself. What is held or goes back stays as it is, which is no failure. One that fails is
/// noted and keeps no other from moving.
pub async fn automatic(
    session: &Session<'_>,
    commit: &CommitId,
    manifests: &[AppManifest],
    deeds: &mut Deeds,
) -> Result<Vec<Point>, Failure> {
    let Some(store) = session.remotes.store.clone() else {
        return Ok(Vec::new());
    };
    let remotes = Remotes {
        store,
        static_roots: Arc::clone(&session.remotes.static_roots),
        cdns: Arc::clone(&session.remotes.cdns),
    };
    let release = session.release_id(commit)?;
    let mut moved = Vec::new();
    let mut apps: Vec<(PackageName, &str)> = manifests
        .iter()
        .map(|manifest| {
            Ok((
                PackageName::parse(&manifest.app)?,
                manifest.version.as_str(),
            ))
        })
        .collect::<Result<_, Failure>>()?;
    apps.dedup();
    for (app, version) in apps {
        for environment in session.settings.app_settings(&app).auto.clone() {
            session.stop.check()?;
            let request = automatic_request(
                session,
                &app,
                version,
                environment.clone(),
                release.as_str(),
            );
            let points = match environments::promote(&request, &remotes).await {
                Ok(points) => points,
                Err(failure) => {
                    let about = format!("{app} {version} in {environment}");
                    deeds.note(Stage::Point, about, Outcome::Failed(failure));
                    continue;
                }
            };
            if let Some(failure) = points.failure {
                let about = format!("{app} {version} in {environment}");
                deeds.note(Stage::Point, about, Outcome::Failed(failure));
                let is_moved = |point: &Point| point.outcome == PointOutcome::Unfinished;
                moved.extend(points.apps.into_iter().filter(is_moved));
                continue;
            }
            for point in points.apps {
                let outcome = match point.outcome {
                    PointOutcome::Done => Outcome::Done,
                    PointOutcome::Held | PointOutcome::Bad | PointOutcome::NotDescendant => {
                        Outcome::Skipped
                    }
                    _ if point.is_past() => Outcome::Skipped,
                    _ => Outcome::AlreadyDone,
                };
                deeds.note(Stage::Point, activation(&point), outcome);
                moved.push(point);
            }
        }
    }
    Ok(moved)
}

fn automatic_request(
    session: &Session<'_>,
    app: &PackageName,
    version: &str,
    environment: EnvironmentName,
    release: &str,
) -> Request {
    let settings = session.settings;
    let root = session.repo.root().to_path_buf();
    Request {
        apps: Apps::Named(vec![app.clone()]),
        cdn: static_root::set(&settings.cdn, &environment),
        static_url: settings.static_url.clone(),
        attempt: attempt(settings),
        environment,
        to: Some(version.to_owned()),
        from: None,
        reason: None,
        actor: actor(settings),
        by: By::Automation,
        force: false,
        dry_run: false,
        now: crate::report::moment(settings.now),
        operation: format!("release {release}"),
        run: settings.runner.run_id.clone(),
        environments: configured(settings),
        static_root: settings.static_root.clone(),
        concurrency: settings.max_concurrency,
        stop: session.stop.clone(),
        ancestry: Some(Arc::new(move |ancestor: &str, commit: &str| {
            let repo = Repo::open(&root).ok()?;
            repo.is_ancestor(
                &CommitId::parse(ancestor).ok()?,
                &CommitId::parse(commit).ok()?,
            )
            .ok()
        })),
    }
}
