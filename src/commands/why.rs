//! `why`: the whole chain behind a package's version, or behind its absence. Reads what `plan` reads, writes nothing, needs no credential.

use crate::commands::{Session, release};
use crate::explain::Failure;
use crate::plan::release as planning;
use crate::plan::why::{self, Why};

/// Why the package called `asked` is in the release of the commit checked out, or is not; also where that release is refused
/// because a version may not be what it would be.
///
/// # Errors
/// `plan::unknown_package`, exit 2; those of a plan.
pub async fn why(session: &Session<'_>, asked: &str) -> Result<Why, Failure> {
    let head = session.repo.head()?;
    let (observed, unasked) = release::observed_at(session, &head, false).await?;
    let facts = observed.facts(session.repo, session.settings, true)?;
    let mut plan = planning::explained(&facts, session.settings)?;
    plan.warnings.extend(unasked);
    why::why(
        &facts,
        &observed.other_bases,
        &plan,
        session.settings,
        asked,
    )
}
