//! From settings to requests about environments, and the environments that a release activates by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::apply::static_files::OpenRoot;
use crate::commands::environments::{self, Configured, Remotes, Request};
use crate::commands::{Session, open_store};
use crate::explain::{Exit, Failure};
use crate::local::git::Repo;
use crate::name::{CommitId, EnvironmentName, PackageName};
use crate::plan::promote::By;
use crate::release::app::AppManifest;
use crate::remote::store::Store;
use crate::report::environments::{Point, PointOutcome, activation};
use crate::settings::address::StoreAddress;
use crate::settings::{AppSettings, Apps, PointSettings, Settings, StoreSettings};

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
        let (endpoint, region) = self.store.as_ref().map_or((None, None), |store| {
            (store.endpoint.clone(), store.region.clone())
        });
        let address = StoreAddress::parse(root)?;
        if let (StoreAddress::Directory(directory), Some(template)) = (&address, &self.template) {
            make_below(directory, template)?;
        }
        if let StoreAddress::Directory(directory) = &address
            && !directory.is_dir()
        {
            return Err(missing(directory));
        }
        let store = open_store(&StoreSettings {
            address,
            endpoint,
            region,
        })
        .await?;
        open.insert(root.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}

fn missing(directory: &Path) -> Failure {
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

/// Opens the static root of every environment that a release would activate by itself, so that one that is missing is known before anything is decided.
///
/// # Errors
/// As the store at that root tells it.
pub async fn check_roots(session: &Session<'_>, apps: &[PackageName]) -> Result<(), Failure> {
    let Some(template) = session.settings.static_root.value() else {
        return Ok(());
    };
    let roots = &session.remotes.static_roots;
    for app in apps {
        for environment in &session.settings.app_settings(app).auto {
            let root = crate::plan::static_root::resolve(template, app, environment)?;
            roots.open(&root).await?;
        }
    }
    Ok(())
}

/// What the commands about environments speak to.
pub fn remotes(settings: &Settings, store: Arc<dyn Store>) -> Remotes {
    Remotes {
        store,
        static_roots: Arc::new(Roots::new(settings)),
        cdn: None,
    }
}

/// The request that the settings describe, as a person asks it.
pub fn request(settings: &Settings, asked: &PointSettings) -> Request {
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
        cdn: None,
        concurrency: settings.max_concurrency,
        ancestry: None,
    }
}

/// What makes this request one: the same in every attempt of the same job step.
pub fn operation(settings: &Settings) -> String {
    let key = settings.runner.run_key();
    key.unwrap_or_else(|| format!("{:032x}", settings.nonce))
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
        cdn: None,
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
        environment,
        to: Some(version.to_owned()),
        from: None,
        reason: None,
        actor: settings
            .actor
            .clone()
            .unwrap_or_else(|| "pkgs-action".to_owned()),
        by: By::Automation,
        force: false,
        dry_run: false,
        now: crate::report::moment(settings.now),
        operation: format!("release {release}"),
        run: settings.runner.run_id.clone(),
        environments: configured(settings),
        static_root: settings.static_root.clone(),
        cdn: None,
        concurrency: settings.max_concurrency,
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
