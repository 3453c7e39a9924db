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

/// What is known of each library before it is published. Where all go to a directory nobody is asked.
///
/// # Errors
/// That the platform or the registry does not answer.
pub async fn candidates(
    session: &Session<'_>,
    libraries: &[&Package],
) -> Result<Vec<Candidate>, Failure> {
    if !matches!(session.settings.registry, RegistryAddress::Npm(_)) {
        return Ok(without_identity(libraries));
    }
    let asked = libraries.iter().map(|package| candidate(session, package));
    let most = session.settings.max_concurrency.min(EXCHANGES);
    let mut answers = stream::iter(asked).buffered(most);
    let mut candidates = Vec::new();
    while let Some(answer) = answers.next().await {
        candidates.push(answer?);
    }
    Ok(candidates)
}

/// What is known of libraries that are published with a token, or in a directory.
pub fn without_identity(libraries: &[&Package]) -> Vec<Candidate> {
    let each = libraries.iter().copied();
    each.map(unasked).collect()
}

fn unasked(package: &Package) -> Candidate {
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
        ..unasked(package)
    })
}

/// What was asked about names and ways.
pub fn policy(session: &Session<'_>) -> Policy {
    Policy {
        first_publish: session.settings.first_publish,
        npm_publish: session.settings.npm_publish,
    }
}

/// Judges the libraries of a release by what is known of them, with what is decided about the provenance of each that is not left out.
///
/// # Errors
/// Those of [`provenance::settle`]; what stands in the way is part of the verdict.
pub async fn verdict(
    session: &Session<'_>,
    libraries: &[&Package],
    candidates: &[Candidate],
    policy: Policy,
) -> Result<Verdict, Failure> {
    let mut verdict = trusted::judge(candidates, policy);
    let goes = |package: &&&Package| !verdict.left_out.contains(&package.name);
    let going: Vec<&Package> = libraries.iter().filter(goes).copied().collect();
    let settled = provenance::settle(session, &going, candidates).await?;
    verdict.failures.extend(settled.failures);
    verdict.provenance = settled.by_name;
    Ok(verdict)
}

/// Tells with what libraries are published at a registry.
pub fn tell(session: &Session<'_>, candidates: &[Candidate]) {
    if candidates.is_empty() || !matches!(session.settings.registry, RegistryAddress::Npm(_)) {
        return;
    }
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
}
