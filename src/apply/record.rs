//! RECORD: app manifests, then the release manifest, each written once. The release manifest is the second commit point: whoever can read it can read everything it names.

use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::explain::{Exit, Failure};
use crate::local::stop::Stop;
use crate::name::{PackageName, ReleaseId, Variant};
use crate::release::app::AppManifest;
use crate::release::manifest::{ReleaseManifest, SCHEMA};
use crate::release::{LONGEST_DOCUMENT, app, from_bytes, layout, to_bytes};
use crate::remote::store::{Headers, Once, Store, create_once};
use crate::version::Version;

/// The record of a release, if there is one.
pub async fn read(store: &dyn Store, id: &ReleaseId) -> Result<Option<ReleaseManifest>, Failure> {
    let key = layout::release(id);
    match store.get(&key, LONGEST_DOCUMENT).await? {
        Some(bytes) => from_bytes(SCHEMA, key.as_str(), &bytes).map(Some),
        None => Ok(None),
    }
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
            if theirs.seal != manifest.seal || theirs.commit != manifest.commit {
                return Err(conflict(key.as_str()));
            }
            Outcome::AlreadyDone
        }
    };
    deeds.note(Stage::Record, format!("release {}", manifest.id), outcome);
    Ok(())
}

fn conflict(key: &str) -> Failure {
    Failure::new(
        Exit::Integrity,
        "record::conflict",
        format!("{key} records another build of this release"),
    )
    .hint("somebody else wrote into the store: find out who before anything is promoted")
}
