//! `release` of a snapshot: what is not released yet is built and published once, under a version that names the commit. There is no commit, tag or seal:
//! whoever runs again finds the version on the registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::apply::build::{self, Packed};
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::commands::released::url_of;
use crate::commands::tarballs::Built;
use crate::commands::{Session, finish, preflight, release};
use crate::explain::{Exit, Failure};
use crate::local::worktree;
use crate::name::PackageName;
use crate::plan::next::DecidedPackage;
use crate::plan::provenance::{Foreseen, Provenance};
use crate::plan::release::{Plan, PlannedPackage};
use crate::plan::{render, waves};
use crate::remote::registry::PublishedVersion;
use crate::report::release::{Ended, ReleaseReport, Released, ReleasedPackage};
use crate::settings::NpmPublish;
use crate::workspace::Workspace;

fn never(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, "publish::snapshot", what)
}

/// Publishes a snapshot of the commit checked out. When it fails half-way, the report says what is done and what is not.
///
/// # Errors
/// What nothing was published before.
pub async fn snapshot(session: &Session<'_>) -> Result<ReleaseReport, Failure> {
    let mut deeds = Deeds::default();
    match attempt(session, &mut deeds).await {
        Ok(report) => Ok(report.with(deeds)),
        Err(failure) if deeds.is_empty() => Err(failure),
        Err(failure) => Ok(ReleaseReport::new(Ended::Failed(failure)).with(deeds)),
    }
}

async fn attempt(session: &Session<'_>, deeds: &mut Deeds) -> Result<ReleaseReport, Failure> {
    if session.settings.npm_publish != NpmPublish::Direct {
        let what = "a snapshot is for trying out at once, and npm-publish is not direct";
        return Err(never(what).hint("set npm-publish to direct for snapshots"));
    }
    if session.settings.artifacts.is_some() {
        let what = "a snapshot is built where it is published, and artifacts are given";
        return Err(never(what).hint("leave `artifacts` out of snapshots"));
    }
    let head = session.repo.head()?;
    worktree::require_clean(session.repo, &head, &session.settings.child_environment)?;
    let (observed, mut plan) = release::plan_at(session, &head, true).await?;
    let ended = |ended, plan: Plan| {
        let document = render::document(&plan, session.settings, Vec::new());
        ReleaseReport::new(ended).planned(plan, document)
    };
    if plan.packages.is_empty() {
        return Ok(ended(Ended::Nothing, plan));
    }
    preflight::credential(session, &plan).await?;
    let verdict = preflight::trusted(session, &observed.workspace, &plan).await?;
    if let Some(name) = verdict.left_out.first() {
        return Err(never(format!(
            "{name} is not on the registry yet, and first-publish is skip"
        ))
        .hint("release it first, or leave it out with `filter`"));
    }
    let published = published(session, &mut plan).await?;
    (session.say)(&render::text(&plan, &[], &Foreseen::default()));
    let is_made = |package: &PlannedPackage| {
        let found = published.get(&package.name);
        found.is_some_and(|found| found.git_head.as_deref() == Some(head.as_str()))
    };
    if plan.packages.iter().all(is_made) {
        for package in &plan.packages {
            let about = format!("{}@{}", package.name, package.to);
            deeds.note(Stage::Publish, about, Outcome::AlreadyDone);
        }
        let released = released(session, &plan, &integrities(&published))?;
        return Ok(ended(Ended::Released, plan).released(Some(released)));
    }
    let packed = Arc::new(tokio::task::block_in_place(|| {
        let children = session.children.clone();
        build::build(
            session.repo,
            &plan,
            &observed.workspace,
            session.settings,
            children,
        )
    })?);
    plan.warnings.extend(packed.notices.iter().cloned());
    if session.settings.dry_run {
        release::note_planned(&packed, deeds);
        return Ok(ended(Ended::Planned, plan));
    }
    let workspace = &observed.workspace;
    let decided = (&plan, &verdict.provenance);
    deliver(session, workspace, decided, &packed, deeds).await?;
    let packages = packed.packages.iter();
    let integrities = packages.map(|package| (package.name.clone(), package.integrity.to_string()));
    let released = released(session, &plan, &integrities.collect())?;
    Ok(ended(Ended::Released, plan).released(Some(released)))
}

/// What the registry holds of the snapshot already. A name that it does not know at all is told.
async fn published(
    session: &Session<'_>,
    plan: &mut Plan,
) -> Result<BTreeMap<PackageName, PublishedVersion>, Failure> {
    let mut found = BTreeMap::new();
    let mut published = session
        .published(plan.packages.iter().map(|package| &package.name))
        .await?;
    for package in &plan.packages {
        let Some(mut known) = published.remove(&package.name) else {
            plan.warnings
                .push(preflight::first_is_latest(&package.name));
            continue;
        };
        let version = known.versions.remove(&package.to.to_string());
        found.extend(version.map(|version| (package.name.clone(), version)));
    }
    Ok(found)
}

fn integrities(
    published: &BTreeMap<PackageName, PublishedVersion>,
) -> BTreeMap<PackageName, String> {
    let each = published.iter();
    each.filter_map(|(name, version)| Some((name.clone(), version.integrity.clone()?)))
        .collect()
}

/// Publishes what was packed, dependencies first, with the provenance that was decided beside the plan.
async fn deliver(
    session: &Session<'_>,
    workspace: &Workspace,
    (plan, provenance): (&Plan, &BTreeMap<PackageName, Provenance>),
    packed: &Arc<Packed>,
    deeds: &mut Deeds,
) -> Result<(), Failure> {
    let planned = plan.packages.iter().zip(&packed.packages);
    let packages = planned.map(|(planned, packed)| {
        let package = DecidedPackage {
            name: packed.name.clone(),
            version: packed.version.clone(),
            dist_tag: planned.dist_tag.clone().unwrap_or_default(),
            integrity: packed.integrity.clone(),
        };
        (packed.name.clone(), package)
    });
    let waves = waves::in_waves(workspace, packages.collect())?;
    let delivering = finish::delivering(session, &plan.head, false, &waves, provenance);
    let pending = finish::put(&delivering, &Built::new(packed), deeds).await?;
    debug_assert!(pending.is_empty(), "snapshots are not staged");
    Ok(())
}

/// The snapshot, for the report.
fn released(
    session: &Session<'_>,
    plan: &Plan,
    integrities: &BTreeMap<PackageName, String>,
) -> Result<Released, Failure> {
    let package = |package: &PlannedPackage| ReleasedPackage {
        name: package.name.clone(),
        directory: package.directory.clone(),
        kind: package.kind,
        from: package.from.clone(),
        to: package.to.clone(),
        bump: None,
        tag: package.tag.clone(),
        dist_tag: package.dist_tag.clone(),
        published: true,
        url: Some(url_of(session, &package.name)),
        integrity: integrities.get(&package.name).cloned(),
    };
    Ok(Released {
        id: session.release_id(&plan.head)?,
        commit: plan.head.clone(),
        base: plan.head.clone(),
        tags: Vec::new(),
        version: plan.packages.first().map(|first| first.to.clone()),
        packages: plan.packages.iter().map(package).collect(),
        apps: Vec::new(),
        manifest: None,
        pointers: Vec::new(),
        pending: Vec::new(),
    })
}
