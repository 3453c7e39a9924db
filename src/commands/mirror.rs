//! The remotes behind the first: mirrors that follow what it holds. Repeatable, never decisive: one that cannot follow is told, and follows the next time.

use std::collections::HashMap;

use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::commands::Session;
use crate::explain::{Exit, Failure, quoted};
use crate::local::push::{Address, PushError, RefUpdate, Remote, Seen};
use crate::name::TagName;

/// Brings the branch and all tags of the remote that decides to the mirrors.
pub fn follow(session: &Session<'_>, branch: &str, deeds: &mut Deeds) {
    let settings = session.settings;
    if settings.mirrors.is_empty() || settings.dry_run {
        return;
    }
    let first = seen(session, branch);
    for mirror in &settings.mirrors {
        let outcome = match &first {
            Ok(seen) => one(session, mirror, branch, seen).unwrap_or_else(Outcome::Failed),
            Err(failure) => Outcome::Failed(failure.clone()),
        };
        deeds.note(Stage::Tell, format!("mirror {mirror}"), outcome);
    }
}

/// What the remote that decides holds, with all of it here.
fn seen(session: &Session<'_>, branch: &str) -> Result<Seen, Failure> {
    let first = Remote::open(session.repo, session.address()?)?;
    let seen = first.look(branch)?;
    first.fetch(branch, &seen)?;
    Ok(seen)
}

fn one(
    session: &Session<'_>,
    mirror: &str,
    branch: &str,
    first: &Seen,
) -> Result<Outcome, Failure> {
    // The token is that of the first remote, so a mirror is reached as git is configured.
    let address = Address::Configured {
        remote: mirror.to_owned(),
        environment: session.settings.person_environment.clone(),
    };
    let remote = Remote::open(session.repo, address)?;
    let there = remote.look(branch)?;
    remote.fetch(branch, &there)?;
    let updates = updates(session, mirror, branch, first, &there)?;
    if updates.is_empty() {
        return Ok(Outcome::AlreadyDone);
    }
    match remote.push(&updates, false) {
        Ok(()) => Ok(Outcome::Done),
        Err(
            PushError::Moved(failure) | PushError::Refused(failure) | PushError::Uncertain(failure),
        ) => Err(failure),
    }
}

/// What the mirror lacks.
///
/// # Errors
/// `git::mirror`, where it holds something else: a mirror is never made to forget.
fn updates(
    session: &Session<'_>,
    mirror: &str,
    branch: &str,
    first: &Seen,
    there: &Seen,
) -> Result<Vec<RefUpdate>, Failure> {
    let differs = |why: String| {
        let what = format!("the mirror {} holds something else", quoted(mirror));
        Failure::new(Exit::Refused, "git::mirror", what)
            .because(why)
            .hint("push there only what the first remote has; the release itself is complete")
    };
    let held: HashMap<&TagName, &str> = there
        .tags
        .iter()
        .map(|tag| (&tag.name, tag.object.as_str()))
        .collect();
    let mut updates = Vec::new();
    for tag in &first.tags {
        match held.get(&tag.name) {
            Some(object) if *object == tag.object => {}
            Some(_) => {
                return Err(differs(format!(
                    "tag {} names another object there",
                    tag.name
                )));
            }
            None => updates.push(RefUpdate {
                name: tag.name.as_ref_name(),
                expected: None,
                new: tag.object.clone(),
            }),
        }
    }
    let Some(tip) = first
        .tip
        .as_ref()
        .filter(|tip| there.tip.as_ref() != Some(tip))
    else {
        return Ok(updates);
    };
    if let Some(own) = &there.tip
        && !session.repo.is_ancestor(own, tip)?
    {
        return Err(differs(format!(
            "{branch} is at {} there, which does not lead to {}",
            own.short(),
            tip.short()
        )));
    }
    updates.push(RefUpdate {
        name: format!("refs/heads/{branch}"),
        // Empty: the branch must not exist.
        expected: Some(
            there
                .tip
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        new: tip.to_string(),
    });
    Ok(updates)
}
