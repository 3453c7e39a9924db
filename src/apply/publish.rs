//! PUBLISH and VERIFY: dependencies first, each version once. Present with the decided bytes is success; present with other bytes stops everything.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Map, Value};

use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::explain::{Exit, Failure};
use crate::local::archive;
use crate::local::stop::Stop;
use crate::name::{CommitId, Integrity, PackageName};
use crate::plan::next::{DecidedPackage, Delivery, delivery};
use crate::remote::registry::{Publication, PublishedPackage, Registry, RegistryError};
use crate::settings::{Access, Settings};
use crate::workspace::npm_manifest;

/// What is delivered, and how it is judged.
pub struct Delivering<'a> {
    /// Where it goes.
    pub registry: &'a dyn Registry,
    /// The release commit.
    pub commit: &'a CommitId,
    /// Whether a seal fixed the bytes; without one, another attempt may have built them again.
    pub sealed: bool,
    /// Packages in waves, dependencies first.
    pub waves: &'a [Vec<DecidedPackage>],
    /// What was asked.
    pub settings: &'a Settings,
    /// The wish to stop.
    pub stop: &'a Stop,
}

/// Gives the bytes of a tarball when they are needed.
#[async_trait::async_trait(?Send)]
pub trait Tarballs {
    /// The bytes of a package's tarball.
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure>;

    /// What the registry is told of a package; `None`: what its tarball tells.
    async fn manifest(&self, _: &DecidedPackage) -> Result<Option<Map<String, Value>>, Failure> {
        Ok(None)
    }
}

/// Publishes what is not there. Packages of one wave go side by side; a failure lets the wave end and starts no later one.
pub async fn publish(
    delivering: &Delivering<'_>,
    tarballs: &dyn Tarballs,
    deeds: &mut Deeds,
) -> Result<(), Failure> {
    let mut failed = None;
    for wave in delivering.waves {
        if failed.is_some() {
            for package in wave {
                deeds.note(Stage::Publish, label(package), Outcome::NotStarted);
            }
            continue;
        }
        let mut outcomes: Vec<(&DecidedPackage, Result<Outcome, Failure>)> =
            futures_util::stream::iter(wave)
                .map(|package| async move {
                    (package, publish_one(delivering, tarballs, package).await)
                })
                .buffer_unordered(delivering.settings.max_concurrency.min(PUBLISHES))
                .collect()
                .await;
        outcomes.sort_by(|left, right| left.0.name.cmp(&right.0.name));
        for (package, outcome) in outcomes {
            match outcome {
                Ok(outcome) => deeds.note(Stage::Publish, label(package), outcome),
                Err(failure) => {
                    deeds.note(
                        Stage::Publish,
                        label(package),
                        Outcome::Failed(failure.clone()),
                    );
                    failed.get_or_insert(failure);
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Looks at what is there, and notes what [`publish`] would publish.
pub async fn note_lacking(delivering: &Delivering<'_>, deeds: &mut Deeds) -> Result<(), Failure> {
    for package in delivering.waves.iter().flatten() {
        let outcome = match judged(delivering, package).await? {
            Delivery::Absent => Outcome::Planned,
            _ => Outcome::AlreadyDone,
        };
        deeds.note(Stage::Publish, label(package), outcome);
    }
    Ok(())
}

/// How many packages are published at once: registries answer more with 429.
const PUBLISHES: usize = 6;

fn label(package: &DecidedPackage) -> String {
    format!("{}@{}", package.name, package.version)
}

async fn publish_one(
    delivering: &Delivering<'_>,
    tarballs: &dyn Tarballs,
    package: &DecidedPackage,
) -> Result<Outcome, Failure> {
    const TRIES: u32 = 5;
    if judged(delivering, package).await? != Delivery::Absent {
        return Ok(Outcome::AlreadyDone);
    }
    let publication = publication(delivering, tarballs, package).await?;
    let mut last = None;
    for attempt in 1..=TRIES {
        delivering.stop.check()?;
        let failure = match delivering.registry.publish(&publication).await {
            Ok(()) => return Ok(Outcome::Done),
            Err(RegistryError::Failed(failure)) => return Err(decided_already(failure, package)),
            Err(RegistryError::Busy {
                retry_after,
                failure,
            }) => {
                let wait = retry_after.unwrap_or_else(|| pause(attempt));
                if wait > LONGEST_WAIT {
                    return Err(failure.hint(format!("the registry asks to wait {} seconds; run again then: it continues where this run stopped", wait.as_secs())));
                }
                tokio::time::sleep(wait).await;
                failure
            }
            Err(RegistryError::Uncertain(failure) | RegistryError::AlreadyThere(failure)) => {
                if judged(delivering, package).await? != Delivery::Absent {
                    return Ok(Outcome::Done);
                }
                tokio::time::sleep(pause(attempt)).await;
                failure
            }
        };
        last = Some(failure);
        if judged(delivering, package).await? != Delivery::Absent {
            return Ok(Outcome::Done);
        }
    }
    let failure = last.unwrap_or_else(|| {
        Failure::new(
            Exit::Temporary,
            "publish::unanswered",
            format!("{} was not answered", label(package)),
        )
    });
    Err(Failure::new(
        Exit::Temporary,
        "publish::unfinished",
        format!("{} is not published yet", label(package)),
    )
    .because(failure)
    .hint("run again: it continues where this run stopped"))
}

/// A refusal that no look before could foresee: the tags stand, and only what is missing is done later.
fn decided_already(failure: Failure, package: &DecidedPackage) -> Failure {
    failure.because(format!(
        "{} is decided and tagged: when the registry takes it, run again, and it continues here without another version",
        label(package)
    ))
}

/// The longest wait that a registry may ask for within a run.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

fn pause(attempt: u32) -> Duration {
    Duration::from_millis(250 * u64::from(attempt) * u64::from(attempt))
}

/// What the registry holds under a version. Foreign bytes are an integrity failure.
async fn judged(
    delivering: &Delivering<'_>,
    package: &DecidedPackage,
) -> Result<Delivery, Failure> {
    let known = delivering.registry.package(&package.name).await?;
    judge(delivering, package, known.as_ref())
}

fn judge(
    delivering: &Delivering<'_>,
    package: &DecidedPackage,
    known: Option<&PublishedPackage>,
) -> Result<Delivery, Failure> {
    let version = known.and_then(|known| known.versions.get(&package.version.to_string()));
    let published =
        version.map(|version| (version.integrity.as_deref(), version.git_head.as_deref()));
    match delivery(
        published,
        &package.integrity,
        delivering.commit,
        delivering.sealed,
    ) {
        Delivery::Foreign => Err(Failure::new(
            Exit::Integrity,
            "publish::other_bytes",
            format!("the registry holds other bytes as {}", label(package)),
        )
        .because(format!(
            "theirs is {}, ours is {}",
            published
                .and_then(|published| published.0)
                .unwrap_or("without integrity"),
            package.integrity
        ))
        .hint(
            "somebody else published this version: find out who; then `abandon` gives this release up, and the next one contains its packages at higher versions",
        )),
        Delivery::SameCommit => {
            tracing::warn!(
                "{} was published by another attempt of this release from the same commit; its bytes stay",
                label(package)
            );
            Ok(Delivery::SameCommit)
        }
        other => Ok(other),
    }
}

async fn publication(
    delivering: &Delivering<'_>,
    tarballs: &dyn Tarballs,
    package: &DecidedPackage,
) -> Result<Publication, Failure> {
    let tarball = tarballs.bytes(package).await?;
    let manifest = tarballs.manifest(package).await?;
    let contents = archive::read_npm_tarball(&tarball)?;
    let declared = contents
        .manifest
        .get("publishConfig")
        .and_then(|config| config.get("access"))
        .and_then(Value::as_str);
    let declared = match declared {
        Some("public") => Some(Access::Public),
        Some("restricted") => Some(Access::Restricted),
        _ => None,
    };
    let access = delivering.settings.access_of(&package.name, declared);
    Ok(Publication {
        name: package.name.clone(),
        version: package.version.clone(),
        dist_tag: package.dist_tag.clone(),
        access,
        integrity: if delivering.sealed {
            package.integrity.clone()
        } else {
            // Built again after an interruption, the bytes may differ from those that the tag was made for.
            Integrity::of(&tarball)
        },
        shasum: crate::local::files::shasum(&tarball),
        manifest: manifest
            .unwrap_or_else(|| npm_manifest::normalised(&contents.manifest, &contents.beside)),
        git_head: delivering.commit.clone(),
        tarball,
    })
}

/// Waits until every version is visible with the decided bytes.
///
/// # Errors
/// `publish::not_visible`, exit 75, after fifteen minutes: run again.
pub async fn verify(delivering: &Delivering<'_>, deeds: &mut Deeds) -> Result<(), Failure> {
    const PAUSE: Duration = Duration::from_secs(3);
    const LOOKS: u32 = 300;
    let mut open: BTreeMap<&PackageName, &DecidedPackage> = delivering
        .waves
        .iter()
        .flatten()
        .map(|package| (&package.name, package))
        .collect();
    for look in 0..LOOKS {
        if look > 0 {
            delivering.stop.check()?;
            tokio::time::sleep(PAUSE).await;
        }
        let looked: Vec<(&PackageName, Result<Delivery, Failure>)> =
            futures_util::stream::iter(open.clone())
                .map(|(name, package)| async move { (name, judged(delivering, package).await) })
                .buffer_unordered(delivering.settings.max_concurrency)
                .collect()
                .await;
        for (name, delivery) in looked {
            if delivery? != Delivery::Absent {
                open.remove(name);
            }
        }
        if open.is_empty() {
            return Ok(());
        }
    }
    let waiting: Vec<String> = open.values().map(|package| label(package)).collect();
    for package in &waiting {
        deeds.note(Stage::Verify, package, Outcome::NotStarted);
    }
    Err(Failure::new(
        Exit::Temporary,
        "publish::not_visible",
        format!("the registry does not show {} yet", waiting.join(", ")),
    )
    .hint("run again later: it continues where this run stopped"))
}
