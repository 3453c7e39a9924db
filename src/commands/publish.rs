//! `publish`: what was decided and npm lacks. Nothing is decided, recorded or pointed.

use crate::apply::outcome::{Deeds, Outcome};
use crate::commands::decisions;
use crate::commands::scene::Scene;
use crate::commands::{Session, finish};
use crate::explain::{Exit, Failure};
use crate::local::push::Seen;
use crate::name::TagName;
use crate::report::release::{Ended, ReleaseReport};

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
    let scene = Scene::read(session)?;
    require_pushed(session, &scene)?;
    let released = finish::deliver(session, &scene, deeds).await?;
    let is_planned = deeds.iter().any(|deed| deed.outcome == Outcome::Planned);
    let ended = match &released {
        _ if is_planned => Ended::Planned,
        Some(_) => Ended::Released,
        None => Ended::Nothing,
    };
    Ok(ReleaseReport::new(ended).released(released.filter(|_| !is_planned)))
}

/// Versions that were decided here and are not on the remote are nobody else's yet.
fn require_pushed(session: &Session<'_>, scene: &Scene<'_>) -> Result<(), Failure> {
    let seen = Seen {
        tip: None,
        tags: session.repo.tags()?,
    };
    let here = decisions::read(session.repo, &seen);
    let Some(newest) = decisions::newest(session.repo, &scene.tip, &here)? else {
        return Ok(());
    };
    let there = scene.decisions.get(&newest);
    let missing: Vec<&str> = here[&newest]
        .tags
        .iter()
        .filter(|tag| there.is_none_or(|there| !there.tags.contains(tag)))
        .map(TagName::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "publish::not_pushed",
        format!(
            "tags of {} are not on the remote: {}",
            newest.short(),
            missing.join(", ")
        ),
    )
    .because("what is published must be decided for everybody")
    .hint(format!(
        "git push --atomic {} {}",
        session.settings.remote,
        missing.join(" ")
    )))
}
