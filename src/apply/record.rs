//! RECORD: app manifests, then the release manifest, each written once. The release manifest is the second commit point: whoever can read it can read everything it names.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::apply::seal::Named;
use crate::explain::{Exit, Failure};
use crate::local::stop::Stop;
use crate::name::{CommitId, Key, PackageName, ReleaseId, TagName, Variant};
use crate::plan::next::{DecidedPackage, tag_of};
use crate::release::app::{AppManifest, Git};
use crate::release::manifest::{RecordedApp, RecordedPackage, ReleaseManifest, SCHEMA, Status};
use crate::release::seal::{Seal, SealedApp};
use crate::release::{LONGEST_DOCUMENT, app, from_bytes, layout, to_bytes};
use crate::remote::registry::by_package::ByPackage;
use crate::remote::store::{Headers, Once, Store, create_once};
use crate::version::Version;

/// What the manifests of a release say besides its bytes.
#[derive(Clone)]
pub struct Recording {
    /// Its id.
    pub id: ReleaseId,
    /// The repository, as `owner/name`.
    pub repository: String,
    /// The release commit.
    pub commit: CommitId,
    /// Its date, RFC 3339.
    pub committed_at: String,
    /// The repository's own form of tags.
    pub tag_format: Option<String>,
    /// The branch it was made on.
    pub branch: String,
    /// The registries that packages are on.
    pub registry: Arc<ByPackage>,
    /// The release before it on that branch.
    pub previous: Option<ReleaseId>,
}

impl Recording {
    /// The manifests of the builds that `seal` holds.
    pub fn app_manifests(&self, seal: &Seal) -> Result<Vec<AppManifest>, Failure> {
        let apps = seal.apps.iter();
        apps.map(|app| self.app_manifest(seal, app)).collect()
    }

    fn app_manifest(&self, seal: &Seal, app: &SealedApp) -> Result<AppManifest, Failure> {
        let tags: Vec<TagName> = seal
            .tags
            .iter()
            .map(|tag| TagName::parse(tag))
            .collect::<Result<_, _>>()?;
        let version = Version::parse(&app.version)?;
        let tag = tag_of(&tags, self.tag_format.as_deref(), &app.name, &version)
            // The release may have been decided under another format.
            .or(tags.first());
        Ok(AppManifest {
            schema: app::SCHEMA.to_owned(),
            app: app.name.clone(),
            version: app.version.clone(),
            variant: app.variant.clone(),
            release: self.id.to_string(),
            git: Git {
                repository: self.repository.clone(),
                commit: self.commit.to_string(),
                tag: tag.map(ToString::to_string).unwrap_or_default(),
                committed_at: self.committed_at.clone(),
            },
            build: app.build.clone(),
            runtime: app.runtime.clone(),
            archive: app.archive.clone(),
            alternatives: app.alternatives.clone(),
            files: app.files.clone(),
            static_files: app.static_files.clone(),
            scripts: app.scripts.clone(),
        })
    }

    /// The manifest of the whole release; `packages` are its libraries.
    #[must_use]
    pub fn release_manifest(&self, named: &Named, packages: &[DecidedPackage]) -> ReleaseManifest {
        let seal = &named.seal;
        let mut apps: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for app in &seal.apps {
            let build = (app.name.clone(), app.version.clone());
            apps.entry(build).or_default().push(app.variant.clone());
        }
        let library = |package: &DecidedPackage| RecordedPackage {
            name: package.name.to_string(),
            version: package.version.to_string(),
            integrity: package.integrity.to_string(),
            registry: self.registry.describe_of(&package.name),
        };
        ReleaseManifest {
            schema: SCHEMA.to_owned(),
            id: self.id.to_string(),
            status: Status::Complete,
            base: seal.base.clone(),
            commit: self.commit.to_string(),
            branch: self.branch.clone(),
            tags: seal.tags.clone(),
            seal: named.name.key.clone(),
            packages: packages.iter().map(library).collect(),
            apps: apps
                .into_iter()
                .map(|((name, version), variants)| RecordedApp {
                    name,
                    version,
                    variants,
                })
                .collect(),
            previous: self.previous.as_ref().map(ToString::to_string),
            reason: None,
        }
    }
}

/// The record of a release, if there is one.
pub async fn read(store: &dyn Store, id: &ReleaseId) -> Result<Option<ReleaseManifest>, Failure> {
    let key = layout::release(id);
    match store.get(&key, LONGEST_DOCUMENT).await? {
        Some(bytes) => from_bytes(SCHEMA, key.as_str(), &bytes).map(Some),
        None => Ok(None),
    }
}

/// The build of a version of an app that is recorded already, unless the release with the seal at `seal` recorded it itself.
pub async fn taken(
    store: &dyn Store,
    app: &PackageName,
    version: &Version,
    seal: &Key,
) -> Result<Option<AppManifest>, Failure> {
    let keys = store.list(&layout::version(app, version), None).await?;
    for key in keys.iter().filter(|key| layout::build_of(key).is_some()) {
        let Some(bytes) = store.get(key, LONGEST_DOCUMENT).await? else {
            continue;
        };
        let build: AppManifest = from_bytes(app::SCHEMA, key.as_str(), &bytes)?;
        let release = read(store, &ReleaseId::parse(&build.release)?).await?;
        if release.is_none_or(|release| release.seal != seal.as_str()) {
            return Ok(Some(build));
        }
    }
    Ok(None)
}

/// Writes the manifests. What is there already must say the same about the bytes; who built it and when may differ between attempts.
///
/// # Errors
/// `record::conflict`, exit 6, when a manifest of another build is there.
pub async fn record(
    store: &dyn Store,
    apps: &[AppManifest],
    manifest: &ReleaseManifest,
    stop: &Stop,
    deeds: &mut Deeds,
) -> Result<(), Failure> {
    for app in apps {
        stop.check()?;
        let key = layout::app(
            &PackageName::parse(&app.app)?,
            &Version::parse(&app.version)?,
            &Variant::parse(&app.variant)?,
        );
        let outcome = match create_once(store, &key, &to_bytes(app), &Headers::json()).await? {
            Once::Created => Outcome::Done,
            Once::Same => Outcome::AlreadyDone,
            Once::Other(bytes) => {
                let theirs: AppManifest = from_bytes(app::SCHEMA, key.as_str(), &bytes)?;
                if theirs.release != app.release
                    || theirs.archive != app.archive
                    || theirs.alternatives != app.alternatives
                    || theirs.static_files != app.static_files
                {
                    return Err(conflict(key.as_str()));
                }
                Outcome::AlreadyDone
            }
        };
        deeds.note(
            Stage::Record,
            format!("{} {} ({})", app.app, app.version, app.variant),
            outcome,
        );
    }
    stop.check()?;
    let key = layout::release(&ReleaseId::parse(&manifest.id)?);
    let outcome = match create_once(store, &key, &to_bytes(manifest), &Headers::json()).await? {
        Once::Created => Outcome::Done,
        Once::Same => Outcome::AlreadyDone,
        Once::Other(bytes) => {
            let theirs: ReleaseManifest = from_bytes(SCHEMA, key.as_str(), &bytes)?;
            if theirs.status == Status::Abandoned {
                return Err(given_up(&ReleaseId::parse(&manifest.id)?));
            }
            if theirs.seal != manifest.seal || theirs.commit != manifest.commit {
                return Err(conflict(key.as_str()));
            }
            Outcome::AlreadyDone
        }
    };
    deeds.note(Stage::Record, format!("release {}", manifest.id), outcome);
    Ok(())
}

/// Records that a release was given up. `None`: it is now; else how it ended before.
pub async fn give_up(
    store: &dyn Store,
    manifest: &ReleaseManifest,
) -> Result<Option<Status>, Failure> {
    let key = layout::release(&ReleaseId::parse(&manifest.id)?);
    match create_once(store, &key, &to_bytes(manifest), &Headers::json()).await? {
        Once::Created => Ok(None),
        Once::Same => Ok(Some(Status::Abandoned)),
        Once::Other(bytes) => {
            let theirs: ReleaseManifest = from_bytes(SCHEMA, key.as_str(), &bytes)?;
            Ok(Some(theirs.status))
        }
    }
}

/// That somebody gave a release up while it was being finished.
pub fn given_up(id: &ReleaseId) -> Failure {
    let what = format!("release {id} was given up meanwhile");
    Failure::new(Exit::Refused, "record::given_up", what)
        .because("`abandon` was faster, so nothing of it is recorded or activated")
        .hint("run again: the next release contains its packages at higher versions")
}

fn conflict(key: &str) -> Failure {
    Failure::new(
        Exit::Integrity,
        "record::conflict",
        format!("{key} records another build of this release"),
    )
    .hint("somebody else wrote into the store: find out who before anything is promoted")
}
