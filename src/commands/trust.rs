//! Asks the registry, for every library at once and before anything is decided, whether this run may publish it: with the token that was given,
//! or with the job's own identity. Nothing is written.

use futures_util::{StreamExt as _, stream};

use crate::commands::{Session, provenance};
use crate::explain::Failure;
use crate::plan::trusted::{self, Candidate, Policy, Verdict};
use crate::remote::registry::Registry as _;
use crate::settings::{FirstPublish, NpmPublish, RegistryAddress};
use crate::workspace::npm_manifest::repository_in;
use crate::workspace::package::Package;

/// How many exchanges run at once: registries answer more with 429.
const EXCHANGES: usize = 6;

/// What is known of each library before it is published.
///
/// # Errors
/// That the platform or the registry does not answer.
pub async fn candidates(
    session: &Session<'_>,
    libraries: &[&Package],
) -> Result<Vec<Candidate>, Failure> {
    let asked = libraries.iter().map(|package| candidate(session, package));
    let most = session.settings.max_concurrency.min(EXCHANGES);
    let mut answers = stream::iter(asked).buffered(most);
    let mut candidates = Vec::new();
    while let Some(answer) = answers.next().await {
        candidates.push(answer?);
    }
    Ok(candidates)
}

/// What is known of a library that is published with a token, or in a directory.
fn without_identity(package: &Package) -> Candidate {
    Candidate {
        name: package.name.clone(),
        file: package.file().to_string(),
        repository: repository_in(&package.text),
        is_new: false,
        trust: None,
    }
}

async fn candidate(session: &Session<'_>, package: &Package) -> Result<Candidate, Failure> {
    let registry = session.remotes.registry.as_ref();
    let stages = session.settings.npm_publish == NpmPublish::Stage;
    let trust = registry.trusts(&package.name, stages).await?;
    let matters = match &trust {
        Some(trust) => trust.refused.is_some(),
        None => session.settings.first_publish != FirstPublish::Allow,
    };
    Ok(Candidate {
        is_new: matters && registry.package(&package.name).await?.is_none(),
        trust,
        ..without_identity(package)
    })
}

/// What was asked about names and ways.
pub fn policy(session: &Session<'_>) -> Policy {
    Policy {
        first_publish: session.settings.first_publish,
        npm_publish: session.settings.npm_publish,
    }
}

/// Refuses to begin with libraries of a decided release of which this job may not publish all: what is published first would be alone.
///
/// # Errors
/// Those of [`candidates`], and `npm::self_hosted`, `npm::untrusted`, `npm::repository`, `npm::new_name` and those of
/// [`crate::plan::provenance`] for all packages at once.
pub async fn require(session: &Session<'_>, libraries: &[&Package]) -> Result<(), Failure> {
    // Its names were judged when it was decided.
    let decided = Policy {
        first_publish: FirstPublish::Allow,
        ..policy(session)
    };
    let candidates = if session.settings.identity.is_some() {
        candidates(session, libraries).await?
    } else {
        let each = libraries.iter().copied();
        each.map(without_identity).collect()
    };
    let mut failures = trusted::judge(&candidates, decided).failures;
    failures.extend(provenance::settle(session, libraries, &candidates).await?);
    Failure::all(failures).map_or(Ok(()), Err)
}

/// Judges the libraries of a release, and tells with what they are published.
///
/// # Errors
/// Those of [`candidates`].
pub async fn verdict(session: &Session<'_>, libraries: &[&Package]) -> Result<Verdict, Failure> {
    if libraries.is_empty() {
        return Ok(Verdict::default());
    }
    if !matches!(session.settings.registry, RegistryAddress::Npm(_)) {
        let each = libraries.iter().copied();
        let candidates: Vec<Candidate> = each.map(without_identity).collect();
        return Ok(Verdict {
            failures: provenance::settle(session, libraries, &candidates).await?,
            ..Verdict::default()
        });
    }
    let candidates = candidates(session, libraries).await?;
    let claims = candidates
        .iter()
        .find_map(|candidate| Some(&candidate.trust.as_ref()?.claims));
    if let Some(claims) = claims {
        tracing::info!(
            "npm: trusted publishing, package by package; what each trusted publisher must say is what this job is: {}",
            trusted::told(claims)
        );
    } else if let Some(from) = &session.settings.npm_token_from {
        tracing::info!(
            "npm: {from} is the token of all packages; without it, a job with an identity publishes by trusted publishing"
        );
    }
    let mut verdict = trusted::judge(&candidates, policy(session));
    let goes = |package: &&&Package| !verdict.left_out.contains(&package.name);
    let going: Vec<&Package> = libraries.iter().filter(goes).copied().collect();
    let failures = provenance::settle(session, &going, &candidates).await?;
    verdict.failures.extend(failures);
    Ok(verdict)
}
