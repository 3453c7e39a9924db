//! Decides, for every library at once and before anything is decided of the release, which of them get a signed statement of where they were built. The
//! registry may be asked who may see a package; nothing is signed here.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::commands::Session;
use crate::explain::Failure;
use crate::name::PackageName;
use crate::plan::provenance::{self, Known, Place, Provenance};
use crate::plan::trusted::{self, Candidate};
use crate::remote::registry::Registry as _;
use crate::settings::provenance::Wish;
use crate::settings::{PUBLIC_REGISTRY, RegistryAddress};
use crate::workspace::package::Package;

/// Where a package goes; one that goes nowhere is refused elsewhere.
fn place(session: &Session<'_>, name: &PackageName) -> Place {
    let destination = session.remotes.registry.destination(name).ok().flatten();
    let address = match (&destination, &session.settings.registry) {
        (Some(address), _) | (None, RegistryAddress::Npm(address)) => address,
        (None, RegistryAddress::Directory { .. }) => return Place::Directory,
    };
    if address.as_str() == PUBLIC_REGISTRY {
        Place::Public
    } else {
        Place::Other
    }
}

fn wish(session: &Session<'_>, package: &Package) -> Wish {
    let declared = package.manifest.publish_config.provenance;
    session.settings.provenance_of(declared)
}

/// Whether anything asks for a statement about one of these packages.
pub fn is_asked_for(session: &Session<'_>, libraries: &[&Package]) -> bool {
    let mut wishes = libraries.iter().map(|package| wish(session, package));
    wishes.any(|wish| wish.wanted == Some(true))
}

/// What is decided of each library, and what stands in its way.
#[derive(Debug, Default)]
pub struct Decided {
    /// By name.
    pub by_name: BTreeMap<PackageName, Provenance>,
    /// That some were asked for and cannot be made, or would be refused.
    pub failures: Vec<Failure>,
}

/// Decides of each of `libraries`, of which the registry said what stands in `candidates`; those that it takes by nobody's right are left to that.
///
/// # Errors
/// That the registry does not say who may see a package.
pub async fn decide(
    session: &Session<'_>,
    libraries: &[&Package],
    candidates: &[Candidate],
) -> Result<Decided, Failure> {
    let candidates: BTreeMap<&PackageName, &Candidate> = candidates
        .iter()
        .map(|candidate| (&candidate.name, candidate))
        .collect();
    let known = libraries.iter().filter_map(|package| {
        let candidate = candidates.get(&package.name)?;
        let trust = candidate.trust.as_ref();
        let is_refused = trust.is_some_and(|trust| trust.refused.is_some());
        let known = Known {
            wish: wish(session, package),
            place: place(session, &package.name),
            job: &session.settings.job,
            trusted: trust.map(|trust| &trust.claims),
            access: session
                .settings
                .access_of(&package.name, package.manifest.publish_config.access),
            is_public: None,
        };
        (!is_refused).then_some((*candidate, known))
    });
    let asked = known.map(|(candidate, known)| async move {
        let provenance = match provenance::judge(&known) {
            Provenance::Ask => {
                let shown = session.remotes.registry.is_public(&candidate.name).await?;
                provenance::judge(&Known {
                    is_public: Some(shown),
                    ..known
                })
            }
            other => other,
        };
        Ok::<_, Failure>((candidate, provenance))
    });
    let most = session.settings.max_concurrency;
    let decided: Vec<(&Candidate, Provenance)> =
        stream::iter(asked).buffered(most).try_collect().await?;
    let mut failures = Vec::new();
    let mut refused = BTreeMap::new();
    for (candidate, provenance) in &decided {
        match provenance {
            Provenance::Refused(why) => {
                refused.insert(candidate.name.clone(), why.clone());
            }
            Provenance::Signed(_) if candidate.trust.is_none() => {
                let repository = session.settings.job.repository();
                failures
                    .extend(repository.and_then(|wanted| trusted::of_another(candidate, wanted)));
            }
            _ => {}
        }
    }
    failures.extend(provenance::failures(&refused));
    let by_name = decided
        .into_iter()
        .map(|(candidate, provenance)| (candidate.name.clone(), provenance))
        .collect();
    Ok(Decided { by_name, failures })
}

/// Decides, tells what comes of it, and keeps it for when packages are published. Gives what stands in the way.
///
/// # Errors
/// Those of [`decide`].
pub async fn settle(
    session: &Session<'_>,
    libraries: &[&Package],
    candidates: &[Candidate],
) -> Result<Vec<Failure>, Failure> {
    let decided = decide(session, libraries, candidates).await?;
    let is_trusted = candidates.iter().any(|candidate| candidate.trust.is_some());
    if is_trusted || is_asked_for(session, libraries) {
        for sentence in provenance::told(&decided.by_name) {
            tracing::info!("npm: {sentence}");
        }
    }
    session.remotes.attesting.note(&decided.by_name);
    Ok(decided.failures)
}

/// What a plan says of provenance, which asks nobody: a sentence for people, and what hinders it where it is asked for.
pub fn foreseen(session: &Session<'_>, libraries: &[&Package]) -> (Vec<String>, Vec<String>) {
    let settings = session.settings;
    let by_identity = |name: &PackageName| {
        let destination = session.remotes.registry.destination(name);
        settings.identity.is_some() && matches!(destination, Ok(None))
    };
    let each: Vec<(PackageName, Wish, Place)> = libraries
        .iter()
        .map(|package| {
            let name = package.name.clone();
            let place = place(session, &name);
            (name, wish(session, package), place)
        })
        .collect();
    let foreseen = provenance::foreseen(&each, &settings.job, by_identity);
    let missing = foreseen.refused.into_iter();
    let missing =
        missing.map(|(name, refused)| format!("{name}: {}; {}", refused.why(), refused.hint()));
    (foreseen.sentences, missing.collect())
}
