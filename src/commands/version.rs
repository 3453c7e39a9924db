//! `version`: decide, and deliver nothing. Commit and tags go out in one push; where `push` is off, they are made here only, for people who push
//! themselves. The tags name no seal and hold no integrity: `publish` or `release` build what was decided.

mod answers;

use std::collections::BTreeMap;

use answers::Answers;

use crate::apply::build;
use crate::apply::decide::{self, Draft};
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::apply::record;
use crate::commands::decisions::Decision;
use crate::commands::observe::Observed;
use crate::commands::released::Versions;
use crate::commands::scene::Scene;
use crate::commands::{Session, decisions, open_store, preflight, rebuild, release, released};
use crate::explain::{Exit, Failure};
use crate::local::git::Tag;
use crate::local::push::Remote;
use crate::local::worktree;
use crate::name::{CommitId, TagName};
use crate::plan::asking;
use crate::plan::next::Position;
use crate::plan::provenance::Foreseen;
use crate::plan::release::{self as planning, Plan};
use crate::plan::render;
use crate::report::release::{Ended, ReleaseReport, Released};
use crate::settings::{Choice, Settings};

/// Decides the versions of what changed. When it fails half-way, the report says what is done and what is not.
///
/// # Errors
/// What nothing was written before.
pub async fn version(session: &Session<'_>) -> Result<ReleaseReport, Failure> {
    let started = session.repo.head()?;
    let mut deeds = Deeds::default();
    let mut answers = Answers::default();
    for _ in 0..release::ROUNDS {
        answers.begin_round();
        let attempt = if session.settings.push {
            pushed(session, &started, &mut answers, &mut deeds).await
        } else {
            let attempt = here(session, &mut answers, &mut deeds).await;
            attempt.map(Some)
        };
        if attempt.is_ok() {
            answers.tell_dropped();
        }
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
    answers: &mut Answers,
    deeds: &mut Deeds,
) -> Result<Option<ReleaseReport>, Failure> {
    let scene = Scene::read(session)?;
    let newest = decisions::newest(session.repo, &scene.tip, &scene.decisions)?;
    let is_superseded = scene.position == Position::Superseded;
    let own = newest
        .as_ref()
        .map(|commit| standing(session, commit))
        .transpose()?;
    let own = own.filter(|release| {
        (!is_superseded && release.commit == scene.tip) || release.stands_at(started)
    });
    if is_superseded {
        if own.is_none() {
            scene.require_newest(session)?;
        }
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
    if !session.settings.dry_run {
        let tagged = session.repo.tagged()?;
        decisions::remove_left_behind(session.repo, &tagged, &scene.tip, Some(scene.tags()))?;
    }
    let newest = newest.filter(|commit| !scene.is_given_up(commit));
    let newest = newest.and_then(|commit| scene.decisions.get_key_value(&commit));
    let (plan, before) = match plan(session, &scene.tip, own, newest, answers).await? {
        Planned::Open(plan, before) => (plan, before),
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
    if session.repo.head()? != commit
        && let Err(failure) = worktree::fast_forward(session.repo, &commit)
    {
        // Everything is decided. Who committed meanwhile keeps that, and brings both together.
        if session.repo.is_ancestor(&session.repo.head()?, &commit)? {
            return Err(failure);
        }
        tracing::warn!("{}: {}", failure.what(), failure.causes().join("; "));
    }
    decided(session, *plan, &before, &commit).map(Some)
}

/// Decides here alone. The move of the branch decides: tags that a killed run left before it count for nothing.
async fn here(
    session: &Session<'_>,
    answers: &mut Answers,
    deeds: &mut Deeds,
) -> Result<ReleaseReport, Failure> {
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
    let tagged = repo.tagged()?;
    if !session.settings.dry_run {
        decisions::remove_left_behind(repo, &tagged, &head, None)?;
    }
    let is_decided = decisions::at(repo, &tagged, &head).is_some();
    let own = is_decided.then(|| standing(session, &head)).transpose()?;
    let newest = decisions::newest_here(repo, &tagged, &head)?;
    let newest = newest.as_ref().map(|(commit, decision)| (commit, decision));
    let (plan, before) = match plan(session, &head, own, newest, answers).await? {
        Planned::Open(plan, before) => (plan, before),
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
        "{} on {branch}, {}, in this clone only",
        draft.commit.short(),
        names.join(", ")
    );
    deeds.note(Stage::Decide, about, Outcome::Done);
    let pushed = match repo.current_branch() {
        Some(current) if current == branch => branch,
        _ => format!("HEAD:refs/heads/{branch}"),
    };
    tracing::info!(
        "push both at once: `git push --atomic --follow-tags {} {pushed}`",
        session.settings.remote
    );
    decided(session, *plan, &before, &draft.commit)
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

/// Refuses to decide upon a release that was built and is not delivered yet: what comes after it is delivered instead, and it never would be.
async fn require_finished(
    session: &Session<'_>,
    newest: Option<(&CommitId, &Decision)>,
) -> Result<(), Failure> {
    let Some((commit, decision)) = newest.filter(|(_, decision)| !decision.is_of_versions()) else {
        return Ok(());
    };
    let refuse = |lacking: String| {
        let what = format!("the release {} is not finished: {lacking}", commit.short());
        Err(Failure::new(Exit::Refused, "version::unfinished", what)
            .because("nothing finishes it once something else is decided")
            .hint("finish it with `release`, or give it up with `abandon`; then run again"))
    };
    if let Some(lacking) = rebuild::first_lacking(session, commit, false).await? {
        return refuse(format!("npm lacks {lacking}"));
    }
    let store = session.settings.store.value();
    if let (Some(_), Some(store)) = (&decision.seal, store) {
        let store = open_store(store).await?;
        let recorded = record::read(store.as_ref(), &session.release_id(commit)?).await?;
        if recorded.is_none() {
            return refuse("its store has no record of it".to_owned());
        }
    }
    Ok(())
}

/// What there is to decide.
enum Planned {
    /// These versions, instead of those.
    Open(Box<Plan>, Versions),
    /// Nothing, or this is a dry run.
    Done(Box<ReleaseReport>),
}

/// Plans at a commit, whose release so far is `own`; `newest` is the last one that leads there and was not given up.
async fn plan(
    session: &Session<'_>,
    head: &CommitId,
    own: Option<Released>,
    newest: Option<(&CommitId, &Decision)>,
    answers: &mut Answers,
) -> Result<Planned, Failure> {
    let (observed, plan) = Box::pin(asked(session, head, newest, answers)).await?;
    let done = |kind, plan: Plan, own| {
        let document = render::document(&plan, session.settings, Vec::new());
        Planned::Done(Box::new(ended(kind, own).planned(plan, document)))
    };
    if plan.packages.is_empty() {
        return Ok(done(Ended::Nothing, plan, own));
    }
    (session.say)(&render::text(&plan, &[], &Foreseen::default()));
    if session.settings.dry_run {
        return Ok(done(Ended::Planned, plan, None));
    }
    let before = released::versions(&observed.workspace);
    Ok(Planned::Open(Box::new(plan), before))
}

/// The plan at a commit, after the person at the terminal was asked what nothing decides. It can be written here, and npm could take it.
async fn asked(
    session: &Session<'_>,
    head: &CommitId,
    newest: Option<(&CommitId, &Decision)>,
    answers: &mut Answers,
) -> Result<(Observed, Plan), Failure> {
    let (repo, settings) = (session.repo, session.settings);
    worktree::require_clean(repo, &repo.head()?, &settings.child_environment)?;
    let (observed, unasked) = release::observed_at(session, head, true).await?;
    let mut facts = observed.facts(repo, settings, false)?;
    let first = planning::plan(&facts, settings)?;
    let is_question = || asking::next(&facts, settings, &first).is_some();
    if !first.packages.is_empty() || (session.terminal.is_some() && is_question()) {
        require_finished(session, newest).await?;
    }
    let known = answers.count();
    let mut plan = tokio::task::block_in_place(|| answers.plan(session, &mut facts, first))?;
    // While a question is open, a person may work here.
    if answers.count() > known {
        worktree::require_clean(repo, &repo.head()?, &settings.child_environment)?;
    }
    plan.warnings.extend(unasked);
    release::complete(session, &observed, &mut plan, true).await?;
    build::require_writable(repo, &plan, settings)?;
    // The work tree follows after the decision, when nothing can be refused any more; one that is elsewhere does not follow.
    if repo.head()? == *head {
        let written = plan.edits.iter().filter(|(_, text)| text.is_some());
        worktree::require_way_free(repo, head, written.map(|(path, _)| path))?;
    }
    Ok((observed, plan))
}

/// An app that is built and recorded nowhere would have a version that no environment can be pointed at.
fn refuse_apps(settings: &Settings, plan: &Plan) -> Result<(), Failure> {
    let Some(app) = plan.apps.first() else {
        return Ok(());
    };
    if settings.store == Choice::Off {
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
        decisions::is_released(session.repo, &plan.head)?,
    )
}

/// What is decided at a commit, as far as git tells.
fn standing(session: &Session<'_>, commit: &CommitId) -> Result<Released, Failure> {
    let base = session.repo.release_base(commit)?;
    released::released(session, commit, base.as_str(), &[], &[])
}

/// What this run decided, read back. `before` are the versions that the plan was made of.
fn decided(
    session: &Session<'_>,
    plan: Plan,
    before: &Versions,
    commit: &CommitId,
) -> Result<ReleaseReport, Failure> {
    let document = render::document(&plan, session.settings, Vec::new());
    let base = session.repo.release_base(commit)?;
    let own = if base == plan.head {
        released::released_upon(session, commit, base, before, &[], &[])?
    } else {
        standing(session, commit)?
    };
    Ok(ended(Ended::Decided, Some(own)).planned(plan, document))
}

/// A run that ended like this, unless versions are decided at its commit already.
fn ended(kind: Ended, own: Option<Released>) -> ReleaseReport {
    let kind = if own.is_some() { Ended::Decided } else { kind };
    ReleaseReport::new(kind).released(own)
}
