//! `abandon`: gives up a decided release that cannot be finished. Its tags keep their versions and are no base: the next release measures from
//! the one before, and contains all its packages at higher versions.
//!
//! Where there is a store, the release manifest decides, which is written once: either the release is complete or it is given up. A tag says so
//! to whoever plans from git alone; without a store that tag is all there is. Whoever comes after a crash in between pushes it.

use crate::apply::decide::{self, Decided, Draft};
use crate::apply::outcome::Deeds;
use crate::apply::{record, seal};
use crate::commands::decisions::{self, Decision};
use crate::commands::scene::Scene;
use crate::commands::{Session, finish, mirror, rebuild};
use crate::explain::{Exit, Failure};
use crate::local::git::Tag;
use crate::name::{CommitId, ReleaseId};
use crate::plan::next::{self, Delivery, SealName, abandoned_message, abandoned_tag};
use crate::release::layout;
use crate::release::manifest::{ReleaseManifest, SCHEMA, Status};
use crate::remote::registry::Registry as _;
use crate::report::abandoned::Abandoned;
use crate::settings::command::AbandonSettings;

/// Gives up the release that is asked for, else the newest.
///
/// # Errors
/// `abandon::complete`, exit 3, when it is complete; `abandon::unknown` and `abandon::ambiguous`, exit 2.
pub async fn abandon(session: &Session<'_>, asked: &AbandonSettings) -> Result<Abandoned, Failure> {
    let scene = Scene::read(session)?;
    let commit = chosen(session, &scene, asked.to.as_deref())?;
    let decision = &scene.decisions[&commit];
    let id = session.release_id(&commit)?;
    let reason = asked.reason.as_deref();
    let is_new = match &decision.seal {
        Some(name) => in_store(session, &scene, (&commit, decision), name, reason).await?,
        None if scene.is_given_up(&commit) => false,
        None => {
            require_unfinished(session, &commit, decision, &id).await?;
            true
        }
    };
    if !session.settings.dry_run {
        mark(session, &scene, &commit, reason)?;
    }
    Ok(Abandoned {
        schema: crate::report::abandoned::SCHEMA,
        dry_run: session.settings.dry_run,
        already: !is_new,
        id: id.to_string(),
        commit: commit.to_string(),
        tags: decision.tags.iter().map(ToString::to_string).collect(),
        reason: asked.reason.clone(),
    })
}

/// The commit of the release that `to` names by its id, a tag or a version; without it the newest.
fn chosen(session: &Session<'_>, scene: &Scene<'_>, to: Option<&str>) -> Result<CommitId, Failure> {
    let unknown = |what: String| Failure::new(Exit::Usage, "abandon::unknown", what);
    let Some(to) = to else {
        let newest = decisions::newest(session.repo, &scene.tip, &scene.decisions)?;
        return newest.ok_or_else(|| {
            unknown(format!("there is no release on {}", scene.branch))
                .hint("`plan` shows what a release would do")
        });
    };
    decisions::named(
        session,
        scene,
        to,
        ("abandon::unknown", "abandon::ambiguous"),
    )
}

fn complete(id: &ReleaseId) -> Failure {
    let what = format!("release {id} is complete");
    Failure::new(Exit::Refused, "abandon::complete", what)
        .because("everything that it names is where it says, so there is nothing to give up")
        .hint("release a fix; `rollback` and `mark-bad` are for what runs somewhere")
}

/// Writes the manifest that gives a sealed release up. Tells whether it was not given up before.
async fn in_store(
    session: &Session<'_>,
    scene: &Scene<'_>,
    (commit, decision): (&CommitId, &Decision),
    name: &SealName,
    reason: Option<&str>,
) -> Result<bool, Failure> {
    let id = session.release_id(commit)?;
    let store = session.remotes.store.as_deref();
    let Some(store) = store else {
        return Err(finish::store_needed(commit, name));
    };
    seal::claim(store, &session.repository_name(), false).await?;
    if store
        .get(&layout::repository(), crate::release::LONGEST_DOCUMENT)
        .await?
        .is_none()
    {
        return Err(finish::store_needed(commit, name)
            .because(format!("{} holds no release yet", store.describe())));
    }
    let recorded = record::read(store, &id).await?;
    let status = match recorded {
        None if session.settings.dry_run => return Ok(true),
        None => {
            let manifest = manifest(session, scene, (commit, decision), name, reason)?;
            record::give_up(store, &manifest).await?
        }
        Some(manifest) => Some(manifest.status),
    };
    match status {
        None => Ok(true),
        Some(Status::Abandoned) => Ok(false),
        Some(Status::Complete) => Err(complete(&id)),
    }
}

fn manifest(
    session: &Session<'_>,
    scene: &Scene<'_>,
    (commit, decision): (&CommitId, &Decision),
    name: &SealName,
    reason: Option<&str>,
) -> Result<ReleaseManifest, Failure> {
    let repo = session.repo;
    let previous = decisions::before(repo, commit)?;
    let previous = previous
        .map(|commit| session.release_id(&commit))
        .transpose()?;
    Ok(ReleaseManifest {
        schema: SCHEMA.to_owned(),
        id: session.release_id(commit)?.to_string(),
        status: Status::Abandoned,
        base: repo.release_base(commit)?.to_string(),
        commit: commit.to_string(),
        branch: scene.branch.clone(),
        tags: decision.tags.iter().map(ToString::to_string).collect(),
        seal: name.key.clone(),
        packages: Vec::new(),
        apps: Vec::new(),
        previous: previous.as_ref().map(ToString::to_string),
        reason: reason.map(str::to_owned),
    })
}

/// Refuses a release without a seal of which nothing is missing on the registry.
async fn require_unfinished(
    session: &Session<'_>,
    commit: &CommitId,
    decision: &Decision,
    id: &ReleaseId,
) -> Result<(), Failure> {
    if decision.is_of_versions() {
        return match rebuild::first_lacking(session, commit, true).await? {
            Some(_) => Ok(()),
            None => Err(complete(id)),
        };
    }
    let workspace = session.workspace_at(commit)?;
    for (name, integrity) in &decision.integrities {
        let version = workspace
            .package(name)
            .and_then(|package| package.version.clone());
        let Some(version) = version else {
            return Ok(());
        };
        let known = session.remotes.registry.package(name).await?;
        let version = known.and_then(|mut known| known.versions.remove(&version.to_string()));
        let published = version
            .as_ref()
            .map(|version| (version.integrity.as_deref(), version.git_head.as_deref()));
        match next::delivery(published, integrity, commit, false) {
            Delivery::Same | Delivery::SameCommit => {}
            Delivery::Absent | Delivery::Foreign => return Ok(()),
        }
    }
    Err(complete(id))
}

/// Pushes the tag by which git alone tells that a release was given up; one that is there stays as it is.
pub fn mark(
    session: &Session<'_>,
    scene: &Scene<'_>,
    commit: &CommitId,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let name = abandoned_tag(&session.release_id(commit)?)?;
    if scene.is_given_up(commit) {
        return Ok(());
    }
    let message = abandoned_message(&name, reason);
    let object = session.repo.make_tag(&name, commit, &message)?;
    let draft = Draft {
        commit: commit.clone(),
        tip: scene.tip.clone(),
        new_tip: scene.tip.clone(),
        tags: vec![(name.clone(), object)],
    };
    if let Decided::Moved(why) = decide::decide(&scene.remote, &scene.branch, &draft, session.stop)?
    {
        // Another run may have given it up for another reason.
        let seen = scene.remote.look(&scene.branch)?;
        if seen.tags.iter().all(|tag| tag.name != name) {
            return Err(why.hint("run again: it looks at what is there first"));
        }
        scene.remote.fetch(&scene.branch, &seen)?;
    }
    let seen = scene.remote.look(&scene.branch)?;
    let tags: Vec<Tag> = seen
        .tags
        .into_iter()
        .filter(|tag| tag.name == name)
        .collect();
    let remote = &session.settings.remote;
    session
        .repo
        .note_remote(remote, &scene.branch, &scene.tip, &tags)?;
    tracing::info!("{} is given up: {name}", commit.short());
    mirror::follow(session, &scene.branch, &mut Deeds::default());
    Ok(())
}
