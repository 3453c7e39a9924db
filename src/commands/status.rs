//! `status`: what runs where, since when, by whom, what a rollback would do, and what of a checkout is not released yet.

use crate::apply::builds;
use crate::apply::point::{Log, Tip, environments_of};
use crate::apply::static_files::Ground;
use crate::commands::environments::{Apps, Remotes, walk_back};
use crate::commands::observe;
use crate::explain::Failure;
use crate::local::git::Repo;
use crate::name::EnvironmentName;
use crate::plan::release::{Base, plan};
use crate::report::environments::{
    AppStatus, EnvironmentStatus, PackageStatus, STATUS_SCHEMA, Status,
};
use crate::settings::{Command, Settings};

/// What `status` is asked.
#[derive(Debug, Clone, Default)]
pub struct StatusRequest {
    /// Which apps; [`Apps::Default`] means all.
    pub apps: Apps,
    /// Only this environment.
    pub environment: Option<EnvironmentName>,
    /// The packages of the repository, where there is one.
    pub packages: Vec<PackageStatus>,
}

/// What runs where, since when, by whom, and what a rollback would do.
///
/// # Errors
/// Those of the store, and an integrity violation (6).
pub async fn status(request: &StatusRequest, remotes: &Remotes) -> Result<Status, Failure> {
    let store = remotes.store.as_ref();
    let names = match &request.apps {
        Apps::Named(names) => names.clone(),
        Apps::Default | Apps::All => builds::apps(store).await?,
    };
    let mut apps = Vec::new();
    for app in names {
        let mut environments = Vec::new();
        for environment in environments_of(store, &app).await? {
            if request
                .environment
                .as_ref()
                .is_some_and(|only| *only != environment)
            {
                continue;
            }
            let log = Log {
                store,
                app: &app,
                environment: &environment,
            };
            if let Some(tip) = log.tip().await? {
                environments.push(environment_status(log, &tip, remotes).await?);
            }
        }
        apps.push(AppStatus {
            name: app.to_string(),
            environments,
        });
    }
    Ok(Status {
        schema: STATUS_SCHEMA,
        packages: request.packages.clone(),
        apps,
    })
}

async fn environment_status(
    log: Log<'_>,
    tip: &Tip,
    remotes: &Remotes,
) -> Result<EnvironmentStatus, Failure> {
    let state = &tip.entry.state;
    let made_live = match state.since {
        Some(since) if since == tip.entry.seq => Some(tip.clone()),
        Some(since) => log.entry(since).await?,
        None => None,
    };
    let (end, _) = walk_back(log, state).await?;
    let ground = Ground {
        log,
        roots: remotes.static_roots.as_ref(),
        cdn: None,
        concurrency: 1,
        now: "",
    };
    let static_applied = match (&tip.entry.static_place, state.since) {
        (Some(_), Some(since)) => {
            let applied = ground.applied().await?;
            Some(applied.is_some_and(|applied| applied.seq >= since))
        }
        _ => None,
    };
    Ok(EnvironmentStatus {
        environment: log.environment.to_string(),
        current: state.version().map(str::to_owned),
        since: made_live.as_ref().map(|made| made.entry.at.clone()),
        seq: tip.entry.seq,
        by: made_live.as_ref().map(|made| made.entry.actor.clone()),
        op: made_live.as_ref().map(|made| made.entry.op.as_str()),
        hold: state.hold.clone(),
        bad: state.bad.clone(),
        pinned: state.pinned.clone(),
        rollback_to: end.map(|version| version.to_string()),
        static_applied,
        history: state.history.clone(),
    })
}

/// The packages of the checkout that the settings name; none outside of one. Asks git alone, so a package without a tag counts as never released.
pub fn packages(settings: &Settings) -> Result<Vec<PackageStatus>, Failure> {
    let Ok(repo) = Repo::open(&settings.directory) else {
        return Ok(Vec::new());
    };
    let Ok(head) = repo.head() else {
        return Ok(Vec::new());
    };
    if repo.is_shallow()
        || repo
            .file(&head, &crate::name::RepoPath::parse("package.json")?)?
            .is_none()
    {
        return Ok(Vec::new());
    }
    let observed = observe::observe(&repo, &head, settings)?;
    let facts = observed.facts(&repo, settings)?;
    let planning = Settings {
        command: Command::Plan,
        ..settings.clone()
    };
    // What is not released is worth telling even where nothing could be released now.
    let planned = plan(&facts, &planning)
        .map(|plan| plan.packages)
        .unwrap_or_default();
    let packages = facts.workspace.packages.iter().zip(&facts.packages);
    Ok(packages
        .map(|(package, known)| PackageStatus {
            name: package.name.to_string(),
            dir: package.directory.to_string(),
            version: package.version.as_ref().map(ToString::to_string),
            tag: match &known.base {
                Base::Tag { name, .. } => Some(name.to_string()),
                _ => None,
            },
            published: None,
            unreleased: known.touched.reasons.len() as u64,
            next: planned
                .iter()
                .find(|planned| planned.name == package.name)
                .map(|planned| planned.to.to_string()),
        })
        .collect())
}
