//! What the store holds of a version: its app manifest for an environment, and whether its release is complete.

use futures_util::future::try_join_all;

use crate::environment::entry::Build;
use crate::explain::{Exit, Failure};
use crate::name::{Digest, EnvironmentName, PackageName, ReleaseId, Variant};
use crate::plan::promote::Found;
use crate::release::app::AppManifest;
use crate::release::manifest::{ReleaseManifest, Status};
use crate::release::{self, LONGEST_DOCUMENT, layout};
use crate::remote::store::Store;
use crate::version::Version;

/// What was found of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// A build of a complete release that may run in the environment.
    Ready {
        /// The build.
        build: Build,
        /// Its manifest.
        manifest: Box<AppManifest>,
    },
    /// Why there is none; never [`Found::Ready`].
    Not(Found),
}

/// Looks for the build of `version` that `environment` may run: the one made for it, else `any`.
///
/// # Errors
/// `environment::foreign_manifest` (exit 6) when a manifest speaks of something else; those of the store.
pub async fn find(
    store: &dyn Store,
    app: &PackageName,
    environment: &EnvironmentName,
    version: &Version,
) -> Result<Located, Failure> {
    let variants = [Variant::Environment(environment.clone()), Variant::Any];
    let reads = variants.map(|variant| async move {
        let key = layout::app(app, version, &variant);
        let bytes = store.get(&key, LONGEST_DOCUMENT).await?;
        Ok::<_, Failure>((variant, key, bytes))
    });
    for (variant, key, bytes) in try_join_all(reads).await? {
        let Some(bytes) = bytes else {
            continue;
        };
        let manifest = read(app, version, &variant, key.as_str(), &bytes)?;
        let build = Build {
            version: version.to_string(),
            variant: variant.to_string(),
            manifest_digest: Digest::of(&bytes).to_string(),
        };
        return Ok(match release_status(store, &manifest.release).await? {
            Some(Status::Complete) => Located::Ready {
                build,
                manifest: Box::new(manifest),
            },
            Some(Status::Abandoned) => Located::Not(Found::Abandoned(manifest.release)),
            None => Located::Not(Found::Incomplete(manifest.release)),
        });
    }
    let recorded = versions(store, app).await?;
    let variants: Vec<String> = recorded
        .iter()
        .filter(|(recorded, _)| recorded == version)
        .map(|(_, variant)| variant.to_string())
        .collect();
    Ok(Located::Not(if variants.is_empty() {
        Found::Unknown(newest_first(recorded))
    } else {
        Found::NoBuild(variants)
    }))
}

/// The manifest of a build that an entry names.
///
/// # Errors
/// `environment::manifest_gone` and `environment::manifest_changed` (exit 6) when it is not what the entry promised.
pub async fn manifest(
    store: &dyn Store,
    app: &PackageName,
    build: &Build,
) -> Result<AppManifest, Failure> {
    let version = Version::parse(&build.version)?;
    let variant = Variant::parse(&build.variant)?;
    let key = layout::app(app, &version, &variant);
    let Some(bytes) = store.get(&key, LONGEST_DOCUMENT).await? else {
        return Err(Failure::new(
            Exit::Integrity,
            "environment::manifest_gone",
            format!("{key} is missing, but the pointer log names it"),
        )
        .hint("restore it from the store's own versions, or 'rollback' to another version"));
    };
    let digest = Digest::of(&bytes);
    if digest.as_str() != build.manifest_digest {
        return Err(Failure::new(
            Exit::Integrity,
            "environment::manifest_changed",
            format!("{key} is not the manifest that the pointer log names"),
        )
        .because(format!(
            "its bytes have {digest}, the log says {}",
            build.manifest_digest
        ))
        .hint("a manifest is written once: restore it from the store's own versions"));
    }
    read(app, &version, &variant, key.as_str(), &bytes)
}

/// The record of a release, `None` when there is none.
///
/// # Errors
/// Those of the store, and `release::document`.
pub async fn release(
    store: &dyn Store,
    id: &ReleaseId,
) -> Result<Option<ReleaseManifest>, Failure> {
    let key = layout::release(id);
    let Some(bytes) = store.get(&key, LONGEST_DOCUMENT).await? else {
        return Ok(None);
    };
    let manifest: ReleaseManifest =
        release::from_bytes(release::manifest::SCHEMA, key.as_str(), &bytes)?;
    Ok(Some(manifest))
}

/// Every build of `app` that has a manifest.
///
/// # Errors
/// Those of the store.
pub async fn versions(
    store: &dyn Store,
    app: &PackageName,
) -> Result<Vec<(Version, Variant)>, Failure> {
    Ok(store
        .list(&layout::builds(app), None)
        .await?
        .iter()
        .filter_map(layout::build_of)
        .map(|(_, version, variant)| (version, variant))
        .collect())
}

/// The versions of some builds, each once, the newest first.
#[must_use]
pub fn newest_first(builds: Vec<(Version, Variant)>) -> Vec<Version> {
    let mut versions: Vec<Version> = builds.into_iter().map(|(version, _)| version).collect();
    versions.sort_by(|left, right| right.cmp(left));
    versions.dedup();
    versions
}

/// Every app that the store knows, by name.
///
/// # Errors
/// Those of the store.
pub async fn apps(store: &dyn Store) -> Result<Vec<PackageName>, Failure> {
    let names: std::collections::BTreeSet<PackageName> = store
        .list(layout::APPS, None)
        .await?
        .iter()
        .filter_map(|key| {
            layout::environment_of(key)
                .map(|(app, _)| app)
                .or_else(|| layout::build_of(key).map(|(app, _, _)| app))
        })
        .collect();
    Ok(names.into_iter().collect())
}

async fn release_status(store: &dyn Store, id: &str) -> Result<Option<Status>, Failure> {
    let id = ReleaseId::parse(id)?;
    Ok(release(store, &id).await?.map(|manifest| manifest.status))
}

/// The manifest of one build, which `bytes` at `key` are.
///
/// # Errors
/// `environment::foreign_manifest` and `release::document`, exit 6.
pub fn read(
    app: &PackageName,
    version: &Version,
    variant: &Variant,
    key: &str,
    bytes: &[u8],
) -> Result<AppManifest, Failure> {
    let manifest: AppManifest = release::from_bytes(release::app::SCHEMA, key, bytes)?;
    let is_ours = manifest.app == app.as_str()
        && manifest.version == version.to_string()
        && manifest.variant == variant.as_str();
    if !is_ours {
        return Err(Failure::new(
            Exit::Integrity,
            "environment::foreign_manifest",
            format!("{key} does not describe {app} {version} ({variant})"),
        )
        .hint("someone copied or changed it by hand: restore it from the store's own versions"));
    }
    Ok(manifest)
}
