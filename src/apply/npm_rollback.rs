//! The npm side of going back and forward, carried out: look, write, look again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;

use crate::explain::{Exit, Failure};
use crate::local::stop::Stop;
use crate::name::PackageName;
use crate::plan::npm_rollback::{self, Judgement, Shown, Step, Trail};
use crate::remote::registry::{PublishedPackage, Registry, RegistryError};
use crate::remote::retry::{LONGEST_WAIT, backoff};

/// How often a package is looked at before what it lacks is left to another run.
const TRIES: u32 = 5;

/// Which way packages go.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// To what shipped before.
    Back {
        /// Why.
        reason: Option<&'a str>,
    },
    /// To what was left before.
    Forward,
}

/// What became of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The package.
    pub name: PackageName,
    /// What was done; in a dry run, what would be.
    pub steps: Vec<Step>,
    /// What stays as it is, and why.
    pub reasons: Vec<String>,
    /// Why not all of it is done.
    pub failure: Option<Failure>,
}

/// What is needed to carry it out.
pub struct Carrying<'a> {
    /// Where the packages are.
    pub registry: &'a dyn Registry,
    /// Which way they go.
    pub way: Way<'a>,
    /// Everything but the writes.
    pub dry_run: bool,
    /// How many packages go side by side.
    pub concurrency: usize,
    /// The wish to stop.
    pub stop: &'a Stop,
}

/// Takes every package its way. One that fails keeps no other from it.
pub async fn carry_out(carrying: &Carrying<'_>, trails: &[Trail]) -> Vec<Carried> {
    futures_util::stream::iter(trails)
        .map(|trail| one(carrying, trail))
        .buffered(carrying.concurrency.max(1))
        .collect()
        .await
}

async fn one(carrying: &Carrying<'_>, trail: &Trail) -> Carried {
    let mut carried = Carried {
        name: trail.name.clone(),
        steps: Vec::new(),
        reasons: Vec::new(),
        failure: None,
    };
    if let Err(failure) = carry(carrying, trail, &mut carried).await {
        carried.failure = Some(failure);
    }
    carried
}

async fn carry(
    carrying: &Carrying<'_>,
    trail: &Trail,
    carried: &mut Carried,
) -> Result<(), Failure> {
    let name = &trail.name;
    let mut last = None;
    for attempt in 1..=TRIES {
        let shown = shown(carrying.registry.package(name).await?);
        let Judgement { steps, reasons } = match carrying.way {
            Way::Back { reason } => npm_rollback::back(trail, &shown, reason),
            Way::Forward => npm_rollback::forward(trail, &shown),
        };
        if attempt == 1 {
            carried.reasons = reasons;
        }
        if carrying.dry_run {
            carried.steps = steps;
            return Ok(());
        }
        if steps.is_empty() {
            return Ok(());
        }
        // What was sent and is not shown yet is sent again: each step may be.
        let wait = match write(carrying, name, &steps, &mut carried.steps).await? {
            None => Duration::ZERO,
            Some((failure, asked)) => {
                last = Some(failure);
                asked
                    .unwrap_or_else(|| backoff(attempt, name.as_str()))
                    .min(LONGEST_WAIT)
            }
        };
        let wait = if attempt > 1 && wait.is_zero() {
            backoff(attempt, name.as_str())
        } else {
            wait
        };
        tokio::time::sleep(wait).await;
    }
    let failure = Failure::new(
        Exit::Temporary,
        "npm::not_shown",
        format!(
            "{} does not show yet what {name} was told",
            carrying.registry.describe()
        ),
    )
    .hint("run the same command again: it continues with what is missing");
    Err(match last {
        Some(last) => failure.because(last),
        None => failure,
    })
}

/// Sends steps in their order and notes those that were taken; the first that may not have been ends it, with what to wait for.
async fn write(
    carrying: &Carrying<'_>,
    name: &PackageName,
    steps: &[Step],
    done: &mut Vec<Step>,
) -> Result<Option<(Failure, Option<Duration>)>, Failure> {
    let is_message = |step: &Step| matches!(step, Step::Deprecate { .. });
    for group in steps.chunk_by(|left, right| is_message(left) && is_message(right)) {
        carrying.stop.check()?;
        let answer = match group {
            [Step::Tag { tag, to, .. }] => carrying.registry.set_dist_tag(name, tag, to).await,
            messages => {
                let messages: BTreeMap<String, String> = messages
                    .iter()
                    .filter_map(|step| match step {
                        Step::Deprecate { version, message } => {
                            Some((version.clone(), message.clone()))
                        }
                        Step::Tag { .. } => None,
                    })
                    .collect();
                carrying.registry.deprecate(name, &messages).await
            }
        };
        match answer {
            Ok(()) => {
                let new = group.iter().filter(|step| !done.contains(step)).cloned();
                let new: Vec<Step> = new.collect();
                done.extend(new);
            }
            Err(RegistryError::Busy {
                retry_after,
                failure,
            }) => return Ok(Some((failure, retry_after))),
            Err(RegistryError::Uncertain(failure) | RegistryError::Contended(failure)) => {
                return Ok(Some((failure, None)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// What a registry shows of a package, as it is judged; of one that it does not have, nothing.
#[must_use]
pub fn shown(package: Option<PublishedPackage>) -> Shown {
    let package = package.unwrap_or_default();
    let versions = package.versions.into_iter();
    Shown {
        versions: versions
            .map(|(version, found)| (version, found.deprecated))
            .collect(),
        dist_tags: package.dist_tags,
    }
}
