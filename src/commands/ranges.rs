//! Asking the registry about the ranges of what is published, where nothing in the repository shows that a version meets them.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::Session;
use crate::commands::observe::Observed;
use crate::explain::Failure;
use crate::name::PackageName;
use crate::plan::ranges;
use crate::plan::release::{Notice, Plan};
use crate::settings::{PUBLIC_REGISTRY, RegistryAddress};
use crate::version::Version;

/// Refuses a plan that publishes a package with a range that no version meets, neither of this release nor of the registry.
///
/// A lockfile, which agrees with the manifests, shows that packages from elsewhere were found. Where there is none, they are asked about, but not
/// for a `plan` (`strict` is false), which says nothing of other people's packages, and not at a directory, which holds one's own alone.
///
/// # Errors
/// `plan::range_unpublished`, exit 3. With `strict`, those of a registry that does not answer; else that is a warning of the plan.
pub async fn check(
    session: &Session<'_>,
    observed: &Observed,
    plan: &mut Plan,
    strict: bool,
) -> Result<(), Failure> {
    let workspace = &observed.workspace;
    let registry = &session.settings.registry;
    let knows_others = matches!(registry, RegistryAddress::Npm(_));
    let with_others = strict && knows_others && workspace.lockfile.is_none();
    let mut open = ranges::open(workspace, plan, &observed.bases, with_others);
    // Where the repository says that a package is, and the workflow does not, is not asked.
    let registries = &session.remotes.registry;
    open.retain(|one| registries.destination(&one.name).is_ok());
    if open.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<&PackageName> = open.iter().map(|one| &one.name).collect();
    let published = match session.published(names.iter().copied()).await {
        Ok(published) => published,
        Err(failure) if strict => return Err(failure),
        Err(failure) => {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            plan.warnings.push(Notice {
                code: "plan::range_unasked",
                message: format!(
                    "the registry could not be asked whether there are versions that others depend on, of {}: {failure}",
                    names.join(", ")
                ),
            });
            return Ok(());
        }
    };
    let versions = published.into_iter().map(|(name, package)| {
        let versions = package.versions.keys();
        let versions = versions.filter_map(|version| Version::parse(version).ok());
        (name, versions.collect())
    });
    let versions: BTreeMap<PackageName, Vec<Version>> = versions.collect();
    let is_public =
        matches!(registry, RegistryAddress::Npm(url) if url.as_str() == PUBLIC_REGISTRY);
    let registry = |name: &PackageName| registries.describe_of(name);
    ranges::require_met(&open, &versions, registry, is_public)
}
