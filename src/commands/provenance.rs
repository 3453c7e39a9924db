//! Decides, for every library at once and before anything is decided of the release, which of them get a signed statement of where they were built. The
//! registry may be asked who may see a package; nothing is signed here.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::commands::Session;
use crate::explain::Failure;
use crate::name::PackageName;
use crate::plan::provenance::{self, Alike, Destination, Judged, Known, Provenance, Unasked};
use crate::plan::trusted::{self, Candidate};
use crate::remote::registry::Registry as _;
use crate::settings::identity::Claims;
use crate::settings::provenance::{Wanted, Wish};
use crate::settings::{PUBLIC_REGISTRY, RegistryAddress};
use crate::workspace::package::Package;

/// Where a package goes; one that goes nowhere is refused elsewhere.
fn destination(session: &Session<'_>, name: &PackageName) -> Destination {
    let destination = session.remotes.registry.destination(name).ok().flatten();
    let address = match (&destination, &session.settings.registry) {
        (Some(address), _) | (None, RegistryAddress::Npm(address)) => address,
        (None, RegistryAddress::Directory { .. }) => return Destination::Directory,
    };
    if address.as_str() == PUBLIC_REGISTRY {
        Destination::Npm
    } else {
        Destination::Other
    }
}

fn wish(session: &Session<'_>, package: &Package) -> Wish {
    let declared = package.manifest.publish_config.provenance;
    session.settings.provenance_of(declared)
}

/// Whether anything asks for a statement about one of these packages.
pub fn is_asked_for(session: &Session<'_>, libraries: &[&Package]) -> bool {
    let mut wishes = libraries.iter().map(|package| wish(session, package));
    wishes.any(|wish| wish.wanted == Wanted::Yes)
}

/// What is known of a package before the registry is asked who may see it; `trusted` is what the job said of itself to a registry that takes it.
fn known<'s>(session: &Session<'s>, package: &Package, trusted: Option<&'s Claims>) -> Known<'s> {
    let declared = package.manifest.publish_config.access;
    Known {
        wish: wish(session, package),
        destination: destination(session, &package.name),
        job: &session.settings.job,
        trusted,
        access: session.settings.access_of(&package.name, declared),
    }
}

/// What is known of a package of a plan, which asks nobody.
pub fn unasked<'s>(session: &Session<'s>, package: &Package) -> Unasked<'s> {
    let destination = session.remotes.registry.destination(&package.name);
    Unasked {
        name: package.name.clone(),
        known: known(session, package, None),
        by_identity: session.settings.identity.is_some() && matches!(destination, Ok(None)),
    }
}

/// What is decided of each library, and what stands in its way.
#[derive(Debug, Default)]
pub struct Settled {
    /// By name.
    pub by_name: BTreeMap<PackageName, Provenance>,
    /// That some were asked for and cannot be made, or would be refused.
    pub failures: Vec<Failure>,
}

/// Decides of each of `libraries`, of which the registry said what stands in `candidates`; those that it takes by nobody's right are left to that.
///
/// # Errors
/// That the registry does not say who may see a package.
pub async fn settle(
    session: &Session<'_>,
    libraries: &[&Package],
    candidates: &[Candidate],
) -> Result<Settled, Failure> {
    let candidates: BTreeMap<&PackageName, &Candidate> = candidates
        .iter()
        .map(|candidate| (&candidate.name, candidate))
        .collect();
    let known = libraries.iter().filter_map(|package| {
        let candidate = *candidates.get(&package.name)?;
        let trust = candidate.trust.as_ref();
        let is_refused = trust.is_some_and(|trust| trust.refused.is_some());
        let known = known(session, package, trust.map(|trust| &trust.claims));
        (!is_refused).then_some((candidate, known))
    });
    let asked = known.map(|(candidate, known)| async move {
        let provenance = judged(session, &candidate.name, known).await?;
        Ok::<_, Failure>((candidate, provenance))
    });
    let most = session.settings.max_concurrency;
    let decided: Vec<(&Candidate, Provenance)> =
        stream::iter(asked).buffered(most).try_collect().await?;
    let mut settled = Settled::default();
    for (candidate, provenance) in decided {
        if matches!(provenance, Provenance::Signed(_)) && candidate.trust.is_none() {
            let repository = session.settings.job.repository();
            let of_another = repository.and_then(|wanted| trusted::of_another(candidate, wanted));
            settled.failures.extend(of_another);
        }
        settled.by_name.insert(candidate.name.clone(), provenance);
    }
    settled
        .failures
        .extend(provenance::failures(&settled.by_name));
    Ok(settled)
}

/// What is decided of a package, the registry asked who sees it where that matters.
async fn judged(
    session: &Session<'_>,
    name: &PackageName,
    known: Known<'_>,
) -> Result<Provenance, Failure> {
    match provenance::judge(&known) {
        Judged::Decided(provenance) => Ok(provenance),
        Judged::AskWhoSeesIt { shown, hidden } => {
            let is_shown = session.remotes.registry.is_public(name).await?;
            Ok(if is_shown { shown } else { hidden })
        }
    }
}

/// Tells with what the libraries are published, where anything asks for statements or the job's identity publishes.
pub fn tell(
    session: &Session<'_>,
    libraries: &[&Package],
    candidates: &[Candidate],
    decided: &BTreeMap<PackageName, Provenance>,
) {
    let is_trusted = candidates.iter().any(|candidate| candidate.trust.is_some());
    if is_trusted || is_asked_for(session, libraries) {
        for sentence in provenance::told(decided).iter().map(Alike::sentence) {
            tracing::info!("npm: {sentence}");
        }
    }
}
