//! promote, rollback, hold, unhold, mark-bad, pin, unpin.
//!
//! They need the store and the static root only: no checkout, no git, no npm, no forge. What an environment points at is decided
//! by one conditional write; everything after it can be repeated, and is, by the same command run again.

mod deeds;
mod judging;
pub(super) mod names;
mod request;
mod targets;

pub use request::{Ancestry, Configured, Remotes, Request};

pub(super) use deeds::address;
pub(super) use judging::walk_back;

use crate::environment::target::To;
use crate::explain::Failure;
use crate::plan::marks::Mark;
use crate::remote::store::Store;
use crate::report::environments::Points;
use crate::version::Version;
use names::usage;
use request::check_texts;

/// Points environments at a version.
///
/// # Errors
/// Usage (2), a refusal (3), an integrity violation (6) or something temporary (75); with several apps, the failure of a later one
/// is in [`Points::failure`].
pub async fn promote(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    check_texts(request)?;
    let story = Story {
        request,
        remotes,
        op: "promote",
    };
    let targets = match (&request.to, &request.from) {
        (Some(_), Some(_)) => {
            return Err(usage("environment::to_and_from", "'to' and 'from' are both set")
                .hint("'to' names a version, 'from' takes the one that is live in another environment"));
        }
        (None, None) => {
            return Err(usage(
                "environment::no_target",
                "promote was not told which version",
            )
            .hint("name it with --to, PKGS_TO or the input to: 1.4.2 or a release id; or the environment where it is live with --from, PKGS_FROM or the input from"));
        }
        (Some(to), None) => story.targets(&To::parse(to)?).await?,
        (None, Some(from)) => story.live_in(from).await?,
    };
    let deeds = targets
        .into_iter()
        .map(|(app, aim)| (app, Deed::Promote(aim)))
        .collect();
    story.tell(deeds).await
}

/// Points environments at the last good version, marks the one left as bad, and holds automation.
///
/// # Errors
/// As [`promote()`]; `environment::overtaken` (4) when another version became live meanwhile.
pub async fn rollback(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    check_texts(request)?;
    if request.from.is_some() {
        return Err(usage("environment::from", "rollback does not take 'from'")
            .hint("'to' names the version to go back to; without it, the last good one is found"));
    }
    let story = Story {
        request,
        remotes,
        op: "rollback",
    };
    let to = match &request.to {
        Some(to) => To::parse(to)?,
        None => To::Previous,
    };
    let deeds = story
        .targets(&to)
        .await?
        .into_iter()
        .map(|(app, aim)| (app, Deed::Rollback(aim)))
        .collect();
    story.tell(deeds).await
}

/// Stops automation. Where it is stopped already, another reason takes the place of the one that was given.
///
/// # Errors
/// As [`promote()`].
pub async fn hold(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    let reason = request.reason.clone();
    judge_environment(request, remotes, "hold", Mark::Hold { reason }).await
}

/// Allows automation again. Activates nothing, and says what waits.
///
/// # Errors
/// As [`promote()`].
pub async fn unhold(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_environment(request, remotes, "unhold", Mark::Unhold).await
}

/// Judges a version bad.
///
/// # Errors
/// As [`promote()`].
pub async fn mark_bad(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_version(request, remotes, "mark-bad", Mark::Bad).await
}

/// Keeps a version from being deleted.
///
/// # Errors
/// As [`promote()`].
pub async fn pin(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_version(request, remotes, "pin", Mark::Pin).await
}

/// Stops keeping a version.
///
/// # Errors
/// As [`promote()`].
pub async fn unpin(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_version(request, remotes, "unpin", Mark::Unpin).await
}

async fn judge_environment(
    request: &Request,
    remotes: &Remotes,
    op: &'static str,
    mark: Mark,
) -> Result<Points, Failure> {
    check_texts(request)?;
    if request.to.is_some() || request.from.is_some() {
        return Err(usage(
            "environment::target",
            format!("{op} does not take a version"),
        ));
    }
    let story = Story {
        request,
        remotes,
        op,
    };
    let deeds = story
        .apps(None)
        .await?
        .into_iter()
        .map(|app| (app, Deed::Environment(mark.clone())))
        .collect();
    story.tell(deeds).await
}

async fn judge_version(
    request: &Request,
    remotes: &Remotes,
    op: &'static str,
    mark: fn(Version) -> Mark,
) -> Result<Points, Failure> {
    check_texts(request)?;
    let Some(to) = &request.to else {
        return Err(usage(
            "environment::no_target",
            format!("{op} was not told which version"),
        )
        .hint("name it with --to, PKGS_TO or the input to: 1.4.2"));
    };
    let story = Story {
        request,
        remotes,
        op,
    };
    let deeds = story
        .targets(&To::parse(to)?)
        .await?
        .into_iter()
        .map(|(app, aim)| (app, Deed::Version(aim, mark)))
        .collect();
    story.tell(deeds).await
}

/// Where one app is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Aim {
    Version(Version),
    Previous,
    Seq(u64),
}

/// What is to be done to one app.
#[derive(Clone)]
enum Deed {
    Promote(Aim),
    Rollback(Aim),
    Environment(Mark),
    Version(Aim, fn(Version) -> Mark),
}

/// One request on its way through its apps.
struct Story<'a> {
    request: &'a Request,
    remotes: &'a Remotes,
    op: &'static str,
}

impl Story<'_> {
    fn store(&self) -> &dyn Store {
        self.remotes.store.as_ref()
    }
}

#[cfg(test)]
mod tests;
