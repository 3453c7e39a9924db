//! Asks the registry, for every library at once and before anything is decided, whether this run may publish it: with the token that was given,
//! or with the job's own identity. Nothing is written.

use futures_util::{StreamExt as _, stream};

use crate::commands::Session;
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

async fn candidate(session: &Session<'_>, package: &Package) -> Result<Candidate, Failure> {
    let registry = session.remotes.registry.as_ref();
    let stages = session.settings.npm_publish == NpmPublish::Stage;
    let trust = registry.trusts(&package.name, stages).await?;
    let matters = match &trust {
        Some(trust) => trust.refused.is_some(),
        None => session.settings.first_publish != FirstPublish::Allow,
    };
    Ok(Candidate {
        name: package.name.clone(),
        file: package.file().to_string(),
        repository: repository_in(&package.text),
        is_new: matters && registry.package(&package.name).await?.is_none(),
        trust,
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
/// Those of [`candidates`], and `npm::self_hosted`, `npm::untrusted`, `npm::repository`, `npm::new_name` for all packages at once.
pub async fn require(session: &Session<'_>, libraries: &[&Package]) -> Result<(), Failure> {
    if session.settings.identity.is_none() {
        return Ok(());
    }
    // Its names were judged when it was decided.
    let decided = Policy {
        first_publish: FirstPublish::Allow,
        ..policy(session)
    };
    let candidates = candidates(session, libraries).await?;
    let verdict = trusted::judge(&candidates, decided);
    Failure::all(verdict.failures).map_or(Ok(()), Err)
}

/// Judges the libraries of a release, and tells with what they are published.
///
/// # Errors
/// Those of [`candidates`].
pub async fn verdict(session: &Session<'_>, libraries: &[&Package]) -> Result<Verdict, Failure> {
    if libraries.is_empty() || !matches!(session.settings.registry, RegistryAddress::Npm(_)) {
        return Ok(Verdict::default());
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
    Ok(trusted::judge(&candidates, policy(session)))
}
