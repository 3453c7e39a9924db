//! `version`: decide, and deliver nothing. Commit and tags go out in one push; where `push` is off, they are made here only, for people who push
//! themselves. The tags name no seal and hold no integrity: `publish` or `release` build what was decided.

use std::collections::BTreeMap;

use crate::apply::decide::{self, Draft};
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::commands::scene::Scene;
use crate::commands::{Session, decisions, preflight, release, released};
use crate::explain::{Exit, Failure};
use crate::local::git::{Repo, Tag};
use crate::local::push::Remote;
use crate::local::worktree;
use crate::name::{CommitId, TagName};
use crate::plan::next::Position;
use crate::plan::release::Plan;
use crate::plan::render;
use crate::report::release::{Ended, ReleaseReport, Released};
use crate::settings::Choice;

/// Decides the versions of what changed. When it fails half-way, the report says what is done and what is not.
///
/// # Errors
/// What nothing was written before.
pub async fn version(session: &Session<'_>) -> Result<ReleaseReport, Failure> {
    let started = session.repo.head()?;
    let mut deeds = Deeds::default();
    for _ in 0..release::ROUNDS {
        let attempt = if session.settings.push {
            pushed(session, &started, &mut deeds).await
        } else {
            here(session, &mut deeds).await.map(Some)
        };
        match attempt {
            Ok(Some(report)) => return Ok(report.with(deeds)),
            Ok(None) => tracing::info!("the remote moved meanwhile: judging again"),
            Err(failure) if deeds.is_empty() => return Err(failure),
            Err(failure) => return Ok(ReleaseReport::new(Ended::Failed(failure)).with(deeds)),
        }
    }
    Err(release::contended())
}

/// One round against the remote; `None` when a ref moved before the decision.
async fn pushed(
    session: &Session<'_>,
    started: &CommitId,
    deeds: &mut Deeds,
) -> Result<Option<ReleaseReport>, Failure> {
    let scene = Scene::read(session)?;
    let newest = decisions::newest(session.repo, &scene.tip, &scene.decisions)?;
    let is_superseded = scene.position == Position::Superseded;
    let own = newest
        .map(|commit| standing(session, &commit))
        .transpose()?;
    let own = own.filter(|release| {
        (!is_superseded && release.commit == scene.tip) || release.stands_at(started)
    });
    if is_superseded {
        let tip = scene.tip.clone();
        return Ok(Some(ended(
            Ended::Superseded {
                tip,
                conflict: None,
            },
            own,
        )));
    }
    scene.move_to_tip(session)?;
    let plan = match plan(session, &scene.tip, own).await? {
        Planned::Open(plan) => plan,
        Planned::Done(report) => return Ok(Some(*report)),
    };
    match preflight::permission_to_push(&scene) {
        Err(_) if scene.has_moved() => return Ok(None),
        may => may?,
    }
    let draft = draft(session, &plan)?;
    let Some(commit) = release::push(session, &scene, draft, deeds)? else {
        return Ok(None);
    };
    if session.repo.head()? != commit {
        worktree::fast_forward(session.repo, &commit)?;
    }
    decided(session, *plan, &commit).map(Some)
}

/// Decides here alone. The move of the branch decides: tags that a killed run left before it count for nothing.
async fn here(session: &Session<'_>, deeds: &mut Deeds) -> Result<ReleaseReport, Failure> {
    let repo = session.repo;
    let branch = match session.release_branch(None) {
        // Only the remote knows, and it is asked for nothing else.
        Err(failure) if failure.code() == "git::default_branch" => {
            let remote = Remote::open(repo, session.address()?)?;
            session.release_branch(Some(&remote))?
        }
        known => known?,
    };
    let head = repo.head()?;
    require_newest(session, &branch, &head)?;
    let (is_decided, left_behind) = decided_here(repo, &head)?;
    if !session.settings.dry_run {
        repo.remove_tags(&left_behind)?;
    }
    let own = is_decided.then(|| standing(session, &head)).transpose()?;
    let plan = match plan(session, &head, own).await? {
        Planned::Open(plan) => plan,
        Planned::Done(report) => return Ok(*report),
    };
    let draft = draft(session, &plan)?;
    session.stop.check()?;
    let names: Vec<TagName> = draft.tags.iter().map(|(name, _)| name.clone()).collect();
    let tags = draft.tags.into_iter();
    let tags: Vec<Tag> = tags.map(|(name, object)| Tag { name, object }).collect();
    repo.add_tags(&tags)?;
    if draft.commit != head
        && let Err(failure) = worktree::fast_forward(repo, &draft.commit)
    {
        repo.remove_tags(&names)?;
        return Err(failure);
    }
    let names: Vec<&str> = names.iter().map(TagName::as_str).collect();
    let about = format!(
        "{} on {branch}, {}, here only",
        draft.commit.short(),
        names.join(", ")
    );
    deeds.note(Stage::Decide, about, Outcome::Done);
    tracing::info!(
        "push both at once: `git push --atomic --follow-tags {} {branch}`",
        session.settings.remote
    );
    decided(session, *plan, &draft.commit)
}

/// Refuses to decide behind what the remote was last seen to hold: nobody could push that.
fn require_newest(session: &Session<'_>, branch: &str, head: &CommitId) -> Result<(), Failure> {
    let name = format!("refs/remotes/{}/{branch}", session.settings.remote);
    let Ok(tip) = session.repo.resolve(&name) else {
        return Ok(());
    };
    if session.repo.is_ancestor(&tip, head)? {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "release::behind",
        format!(
            "{branch} is at {} on the remote, and that is not here",
            tip.short()
        ),
    )
    .hint("pull first"))
}

/// Whether versions are decided at `head`, and the tags of a run that was killed before it moved the branch: on a commit of ours upon `head`
/// that nothing leads to.
fn decided_here(repo: &Repo, head: &CommitId) -> Result<(bool, Vec<TagName>), Failure> {
    let is_upon = |commit: &CommitId| {
        let parent = repo.has_commit(commit).then(|| repo.parent(commit));
        let parent = parent.transpose()?.flatten();
        Ok::<_, Failure>(parent.as_ref() == Some(head) && repo.is_made_by_us(commit))
    };
    let mut decisions = decisions::here(repo, |commit| Ok(commit == head || is_upon(commit)?))?;
    let is_decided = decisions.remove(head).is_some();
    let left = decisions.into_values();
    let left = left.filter(decisions::Decision::is_of_versions);
    Ok((is_decided, left.flat_map(|left| left.tags).collect()))
}

/// What there is to decide.
enum Planned {
    /// These versions.
    Open(Box<Plan>),
    /// Nothing, or this is a dry run.
    Done(Box<ReleaseReport>),
}

/// Plans at a commit, whose release so far is `own`.
async fn plan(
    session: &Session<'_>,
    head: &CommitId,
    own: Option<Released>,
) -> Result<Planned, Failure> {
    let repo = session.repo;
    worktree::require_clean(repo, &repo.head()?, &session.settings.child_environment)?;
    let (_, plan) = release::plan_at(session, head, true).await?;
    let done = |kind, plan: Plan, own| {
        let document = render::document(&plan, session.settings, Vec::new());
        Planned::Done(Box::new(ended(kind, own).planned(plan, document)))
    };
    if plan.packages.is_empty() {
        return Ok(done(Ended::Nothing, plan, own));
    }
    refuse_apps(session, &plan)?;
    (session.say)(&render::text(&plan, &[]));
    if session.settings.dry_run {
        return Ok(done(Ended::Planned, plan, None));
    }
    Ok(Planned::Open(Box::new(plan)))
}

/// An app that is built and recorded nowhere would have a version that no environment can be pointed at.
fn refuse_apps(session: &Session<'_>, plan: &Plan) -> Result<(), Failure> {
    let Some(app) = plan.apps.first() else {
        return Ok(());
    };
    if session.settings.store == Choice::Off {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "version::apps",
        format!("{} is an app, and `version` builds nothing", app.name),
    )
    .because("no later command builds an app whose version is decided already")
    .hint("use `release`, which builds apps before it decides; `store: none` decides versions only; `filter` leaves apps out"))
}

fn draft(session: &Session<'_>, plan: &Plan) -> Result<Draft, Failure> {
    let edits = release::own_edits(plan);
    decide::draft(
        session.repo,
        plan,
        &edits,
        &plan.message,
        None,
        &BTreeMap::new(),
    )
}

/// What is decided at a commit, as far as git tells.
fn standing(session: &Session<'_>, commit: &CommitId) -> Result<Released, Failure> {
    let parent = session.repo.parent(commit)?;
    let parent = parent.filter(|_| session.repo.is_made_by_us(commit));
    let base = parent.as_ref().unwrap_or(commit);
    released::released(session, commit, base.as_str(), &[], &[])
}

fn decided(session: &Session<'_>, plan: Plan, commit: &CommitId) -> Result<ReleaseReport, Failure> {
    let document = render::document(&plan, session.settings, Vec::new());
    let own = standing(session, commit)?;
    Ok(ended(Ended::Decided, Some(own)).planned(plan, document))
}

/// A run that ended like this, unless versions are decided at its commit already.
fn ended(kind: Ended, own: Option<Released>) -> ReleaseReport {
    let kind = if own.is_some() { Ended::Decided } else { kind };
    ReleaseReport::new(kind).released(own)
}
