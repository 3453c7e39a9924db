//! `why`: the whole chain behind a package's version, or behind its absence. Reads what `plan` reads, writes nothing, needs no credential.

use crate::commands::{Session, release};
use crate::explain::Failure;
use crate::plan::release as planning;
use crate::plan::why::{self, Why};

/// Why the package called `asked` is in the release of the commit checked out, or is not; also where `max-bump` refuses that release.
///
/// # Errors
/// `plan::unknown_package`, exit 2; those of a plan.
pub async fn why(session: &Session<'_>, asked: &str) -> Result<Why, Failure> {
    let head = session.repo.head()?;
    let (observed, unasked) = release::observed_at(session, &head, false).await?;
    let facts = observed.facts(session.repo, session.settings, true)?;
    let mut plan = planning::unbounded(&facts, session.settings)?;
    if let Err(refused) = planning::check_max_bump(&plan, session.settings) {
        plan.warnings.push(planning::Notice {
            code: refused.code(),
            message: refused.what().to_owned(),
        });
    }
    plan.warnings.extend(unasked);
    why::why(
        &facts,
        &observed.other_bases,
        &plan,
        session.settings,
        asked,
    )
}
