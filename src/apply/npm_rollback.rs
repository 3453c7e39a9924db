//! The npm side of going back and forward, carried out: look, write, look again.

use std::time::Duration;

use futures_util::StreamExt as _;

use crate::apply::clock::Clock;
use crate::explain::{Exit, Failure};
use crate::local::stop::Stop;
use crate::name::PackageName;
use crate::plan::npm_rollback::{self, Judgement, Shown, Step, Trail};
use crate::remote::registry::{PublishedPackage, Registry, RegistryError};
use crate::remote::retry::{LONGEST_WAIT, backoff};
use crate::settings::command::Direction;

/// How often a package is written to before what it lacks is left to another run.
const TRIES: u32 = 5;

/// What became of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The package.
    pub name: PackageName,
    /// What was done; in a dry run, what would be.
    pub steps: Vec<Step>,
    /// What stays as it is, and why.
    pub reasons: Vec<String>,
    /// Whether the registry has any of its versions.
    pub is_there: bool,
    /// Why not all of it is done.
    pub failure: Option<Failure>,
}

/// What packages are taken along with.
pub struct Following<'a> {
    /// Where they are.
    pub registry: &'a dyn Registry,
    /// Which way they go.
    pub direction: Direction,
    /// Why they go back.
    pub reason: Option<&'a str>,
    /// How many go side by side.
    pub concurrency: usize,
    /// The wish to stop.
    pub stop: &'a Stop,
    /// What waits.
    pub clock: Clock,
}

impl Following<'_> {
    /// Tells what each package lacks, and writes nothing.
    pub async fn foresee(&self, trails: &[Trail]) -> Vec<Followed> {
        let foreseen = futures_util::stream::iter(trails).map(|trail| async move {
            let (judgement, failure) = match self.judged(trail).await {
                Ok(judgement) => (judgement, None),
                Err(failure) => (Judgement::default(), Some(failure)),
            };
            Followed {
                name: trail.name.clone(),
                steps: judgement.steps,
                reasons: judgement.reasons,
                is_there: judgement.is_there,
                failure,
            }
        });
        foreseen.buffered(self.concurrency.max(1)).collect().await
    }

    /// Takes every package its way. One that fails keeps no other from it.
    pub async fn carry_out(&self, trails: &[Trail]) -> Vec<Followed> {
        let followed = futures_util::stream::iter(trails).map(|trail| async move {
            let mut followed = Followed {
                name: trail.name.clone(),
                steps: Vec::new(),
                reasons: Vec::new(),
                is_there: false,
                failure: None,
            };
            followed.failure = self.follow(trail, &mut followed).await.err();
            followed
        });
        followed.buffered(self.concurrency.max(1)).collect().await
    }

    async fn judged(&self, trail: &Trail) -> Result<Judgement, Failure> {
        let shown = shown(self.registry.package(&trail.name).await?);
        Ok(match self.direction {
            Direction::Back => npm_rollback::back(trail, &shown, self.reason),
            Direction::Forward => npm_rollback::forward(trail, &shown),
        })
    }

    async fn follow(&self, trail: &Trail, followed: &mut Followed) -> Result<(), Failure> {
        let name = &trail.name;
        let mut judgement = self.judged(trail).await?;
        followed.reasons = std::mem::take(&mut judgement.reasons);
        followed.is_there = judgement.is_there;
        let mut last = None;
        for attempt in 1..=TRIES {
            if judgement.steps.is_empty() {
                return Ok(());
            }
            let wait = match self.send(name, &judgement.steps, followed).await? {
                // What was taken is shown at once, or a moment later.
                Sent::All if attempt == 1 => Duration::ZERO,
                Sent::All => backoff(attempt, name.as_str()),
                Sent::Held { failure, after } => {
                    last = Some(failure);
                    let wait = after.unwrap_or_else(|| backoff(attempt, name.as_str()));
                    wait.min(LONGEST_WAIT)
                }
            };
            self.clock.rest(wait, self.stop).await?;
            // What is not shown yet is sent again: each step may be.
            judgement = self.judged(trail).await?;
        }
        if judgement.steps.is_empty() {
            return Ok(());
        }
        let registry = self.registry.describe();
        let what = format!("{registry} does not show yet what {name} was told");
        let failure = Failure::new(Exit::Temporary, "npm::not_shown", what)
            .hint("run again with the same `to`: it continues with what is missing");
        Err(match last {
            Some(last) => failure.because(last),
            None => failure,
        })
    }

    /// Sends steps in their order and notes those that were taken; the first that may not have been ends it.
    async fn send(
        &self,
        name: &PackageName,
        steps: &[Step],
        followed: &mut Followed,
    ) -> Result<Sent, Failure> {
        for step in steps {
            self.stop.check()?;
            let answer = match step {
                Step::Tag { tag, to, .. } => self.registry.set_dist_tag(name, tag, to).await,
                Step::Messages(messages) => self.registry.deprecate(name, messages).await,
            };
            match answer {
                Ok(()) if followed.steps.contains(step) => {}
                Ok(()) => followed.steps.push(step.clone()),
                Err(RegistryError::Busy {
                    retry_after: after,
                    failure,
                }) => return Ok(Sent::Held { failure, after }),
                Err(RegistryError::Uncertain(failure) | RegistryError::Contended(failure)) => {
                    let after = None;
                    return Ok(Sent::Held { failure, after });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Sent::All)
    }
}

/// What became of steps that were sent.
enum Sent {
    /// All were taken.
    All,
    /// One may not have been.
    Held {
        failure: Failure,
        /// How long the registry asks to wait.
        after: Option<Duration>,
    },
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
