//! `publish`: what was decided and npm lacks. Nothing is decided, recorded or pointed.

use std::collections::BTreeSet;

use crate::apply::outcome::{Deeds, Outcome};
use crate::commands::scene::Scene;
use crate::commands::{Session, decisions, finish, monorepo};
use crate::explain::{Exit, Failure};
use crate::local::push::Seen;
use crate::name::TagName;
use crate::plan::next::Marked;
use crate::report::release::{Ended, ReleaseReport};
use crate::settings::NpmPublish;

/// Delivers what the decided versions of the branch lack on npm. When it fails half-way, the report says what is done and what is not.
///
/// # Errors
/// What nothing was published before.
pub async fn publish(session: &Session<'_>) -> Result<ReleaseReport, Failure> {
    let mut deeds = Deeds::default();
    match attempt(session, &mut deeds).await {
        Ok(report) => Ok(report.with(deeds)),
        Err(failure) if deeds.is_empty() => Err(failure),
        Err(failure) => Ok(ReleaseReport::new(Ended::Failed(failure)).with(deeds)),
    }
}

/// Whether nothing was lacking.
pub fn had_nothing_to_do(report: &ReleaseReport) -> bool {
    let is_there = |outcome: &Outcome| *outcome == Outcome::AlreadyDone;
    report.ended == Ended::Released && report.deeds.iter().all(|deed| is_there(&deed.outcome))
}

async fn attempt(session: &Session<'_>, deeds: &mut Deeds) -> Result<ReleaseReport, Failure> {
    if session.settings.npm_publish == NpmPublish::None {
        let what = "npm-publish is none, and `publish` does nothing else";
        return Err(Failure::new(Exit::Usage, "publish::none", what)
            .hint("set npm-publish to direct or stage"));
    }
    let scene = Scene::read(session)?;
    require_pushed(session, &scene)?;
    let released = finish::deliver(session, &scene, deeds).await?;
    let is_planned = deeds.iter().any(|deed| deed.outcome == Outcome::Planned);
    let ended = match &released {
        Some(released) if released.is_pending() => Ended::Pending,
        _ if is_planned => Ended::Planned,
        Some(_) => Ended::Released,
        None => Ended::Nothing,
    };
    Ok(ReleaseReport::new(ended).released(released.filter(|_| !is_planned)))
}

/// Versions that were decided here and are not on the remote are nobody else's yet. Only those count that the branch still holds: older tags may
/// have been cleared away there.
fn require_pushed(session: &Session<'_>, scene: &Scene<'_>) -> Result<(), Failure> {
    let here = Seen {
        tip: None,
        tags: session.repo.tags()?,
    };
    let there: BTreeSet<&TagName> = scene.tags().iter().map(|tag| &tag.name).collect();
    let history = session.repo.history(&scene.tip)?;
    let missing: Vec<TagName> = decisions::read(session.repo, &here)
        .into_iter()
        .filter(|(commit, _)| history.age(commit).is_some())
        .flat_map(|(_, decision)| decision.tags)
        .filter(|tag| !there.contains(tag))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let tip = monorepo::workspace_at(session.repo, &scene.tip, session.settings)?;
    let marked = Marked::read(&missing, session.settings.tag_format.as_deref());
    let packages = tip.packages.iter();
    let held =
        packages.filter_map(|package| marked.tag(package.name.as_str(), package.version.as_ref()?));
    let held: BTreeSet<&str> = held.map(TagName::as_str).collect();
    if held.is_empty() {
        return Ok(());
    }
    let held: Vec<&str> = held.into_iter().collect();
    let what = format!("tags are not on the remote: {}", held.join(", "));
    Err(Failure::new(Exit::Refused, "publish::not_pushed", what)
        .because("what is published must be decided for everybody")
        .hint(format!(
            "git push --atomic {} {}",
            session.settings.remote,
            held.join(" ")
        )))
}
