//! PUBLISH and VERIFY: dependencies first, each version once. Present with the decided bytes is success; present with other bytes stops everything.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::apply::attest::attest;
use crate::apply::clock::Clock;
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::explain::{Exit, Failure};
use crate::local::archive;
use crate::local::stop::Stop;
use crate::name::{CommitId, Integrity, PackageName};
use crate::plan::next::{DecidedPackage, Delivery, delivery};
use crate::plan::provenance::Provenance;
use crate::remote::registry::{Publication, PublishedPackage, Registry, RegistryError, StageId};
use crate::remote::sigstore::Sigstore;
use crate::settings::{Access, NpmPublish, Settings};
use crate::version::Version;
use crate::workspace::npm_manifest;

/// What is delivered, and how it is judged.
pub struct Delivering<'a> {
    /// Where it goes.
    pub registry: &'a dyn Registry,
    /// What was decided of each package that may be lacking: whether it gets a signed statement of where it was built.
    pub provenance: &'a BTreeMap<PackageName, Provenance>,
    /// What signs.
    pub signer: Option<&'a Sigstore>,
    /// The release commit.
    pub commit: &'a CommitId,
    /// Whether a seal fixed the bytes; without one, another attempt may have built them again.
    pub sealed: bool,
    /// Packages in waves, dependencies first.
    pub waves: &'a [Vec<DecidedPackage>],
    /// What was asked.
    pub settings: &'a Settings,
    /// How the registry is written to.
    pub pace: Pace,
    /// The wish to stop.
    pub stop: &'a Stop,
}

/// How a registry is written to by all packages together: so many at once, fewer where it has no time, and no longer than it can be waited for.
#[derive(Debug)]
pub struct Pace {
    /// For tarballs in memory.
    room: Semaphore,
    gate: Semaphore,
    /// How many may still write at once.
    limit: AtomicUsize,
    /// When it first had no time.
    busy_since: OnceLock<Instant>,
    clock: Clock,
}

impl Pace {
    /// At most `limit` writes at once.
    pub fn new(limit: usize) -> Pace {
        let limit = limit.clamp(1, PUBLISHES);
        Pace {
            room: Semaphore::new(limit),
            gate: Semaphore::new(limit),
            limit: AtomicUsize::new(limit),
            busy_since: OnceLock::new(),
            clock: Clock::default(),
        }
    }

    /// From now on one less writes at once; the last one stays.
    fn slow_down(&self, permit: SemaphorePermit<'_>) {
        let lower = |limit: usize| (limit > 1).then(|| limit - 1);
        let lowered = self
            .limit
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lower);
        if let Ok(before) = lowered {
            permit.forget();
            tracing::info!(
                "the registry has no time: {} packages are published at once from now on",
                before - 1
            );
        }
    }

    /// Whether a run may wait so long; all its waits together have an end.
    fn may_wait(&self, wait: Duration) -> bool {
        let now = self.clock.now();
        let since = *self.busy_since.get_or_init(|| now);
        wait <= LONGEST_WAIT && now - since + wait <= PATIENCE
    }
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

/// A version that waits on the registry for a person's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The dist-tag that will point at it.
    pub dist_tag: String,
    /// Under which id it waits, where the registry tells that.
    pub stage: Option<StageId>,
}

/// What became of one version.
enum Delivered {
    Ended(Outcome),
    Waits(Option<StageId>),
}

/// Publishes or stages what is not there. Packages of one wave go side by side; a failure lets the wave end and starts no later one. Gives what
/// waits for approval, in the order in which it may be approved.
pub async fn publish(
    delivering: &Delivering<'_>,
    tarballs: &dyn Tarballs,
    deeds: &mut Deeds,
) -> Result<Vec<Pending>, Failure> {
    let mut failed = None;
    let mut pending = Vec::new();
    for wave in delivering.waves {
        if failed.is_some() {
            for package in wave {
                deeds.note(Stage::Publish, label(package), Outcome::NotStarted);
            }
            continue;
        }
        let mut outcomes: Vec<(&DecidedPackage, Result<Delivered, Failure>)> =
            futures_util::stream::iter(wave)
                .map(|package| async move {
                    (package, publish_one(delivering, tarballs, package).await)
                })
                .buffer_unordered(delivering.settings.max_concurrency)
                .collect()
                .await;
        outcomes.sort_by(|left, right| left.0.name.cmp(&right.0.name));
        for (package, outcome) in outcomes {
            match outcome {
                Ok(Delivered::Ended(outcome)) => {
                    deeds.note(Stage::Publish, label(package), outcome);
                }
                Ok(Delivered::Waits(stage)) => {
                    deeds.note(Stage::Publish, label(package), Outcome::Pending);
                    pending.push(Pending {
                        name: package.name.clone(),
                        version: package.version.clone(),
                        dist_tag: package.dist_tag.clone(),
                        stage,
                    });
                }
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
    failed.map_or(Ok(pending), Err)
}

/// Looks at what is there, and notes what [`publish`] would publish.
pub async fn note_lacking(delivering: &Delivering<'_>, deeds: &mut Deeds) -> Result<(), Failure> {
    let packages: Vec<_> = delivering.waves.iter().flatten().collect();
    let looks = packages.iter().map(|package| judged(delivering, package));
    let looks = futures_util::stream::iter(looks.collect::<Vec<_>>());
    let looks: Vec<Result<Delivery, Failure>> = looks
        .buffered(delivering.settings.max_concurrency)
        .collect()
        .await;
    for (package, delivery) in packages.into_iter().zip(looks) {
        let outcome = match delivery? {
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
) -> Result<Delivered, Failure> {
    const TRIES: usize = 5;
    if judged(delivering, package).await? != Delivery::Absent {
        return Ok(Delivered::Ended(Outcome::AlreadyDone));
    }
    let stages = delivering.settings.npm_publish == NpmPublish::Stage;
    if stages && let Some(stage) = waiting(delivering, tarballs, package).await? {
        return Ok(Delivered::Waits(Some(stage)));
    }
    // Nobody closes it.
    let _room = delivering.pace.room.acquire().await.ok();
    let mut publication = publication(delivering, tarballs, package).await?;
    // One for all tries: the registry has not taken it, and its bytes stay. After a refusal another run makes its own.
    publication.attestation = attest(delivering, &publication).await?;
    let mut last = None;
    for attempt in 1..=TRIES {
        delivering.stop.check()?;
        let error = match write(delivering, &publication).await {
            Ok(delivered) => return Ok(delivered),
            Err(error) => error,
        };
        let present = judged(delivering, package).await;
        if let Ok(Delivery::Same | Delivery::SameCommit) = present {
            return Ok(Delivered::Ended(Outcome::Done));
        }
        let (wait, failure) = match error {
            RegistryError::Failed(failure) => return Err(refused(failure, present, package)),
            // It shows what it has later than it takes it: VERIFY waits for that, and compares.
            RegistryError::AlreadyThere(_) if present.is_ok() => {
                return Ok(Delivered::Ended(Outcome::AlreadyDone));
            }
            // npm says the same of what is published.
            RegistryError::Waiting(failure) if !stages => {
                return Err(refused(failure, present, package));
            }
            RegistryError::Waiting(_) => {
                present?;
                return Ok(Delivered::Waits(
                    waiting(delivering, tarballs, package).await?,
                ));
            }
            RegistryError::AlreadyThere(failure) | RegistryError::Uncertain(failure) => {
                (pause(attempt), failure)
            }
            RegistryError::Contended(failure) => (CONTENDED[attempt.min(3) - 1], failure),
            RegistryError::Busy {
                retry_after,
                failure,
            } => {
                let wait = retry_after.unwrap_or_else(|| pause(attempt));
                if !delivering.pace.may_wait(wait) {
                    return Err(failure.hint(format!("the registry asks to wait {} seconds; run again then: it continues where this run stopped", wait.as_secs())));
                }
                (wait, failure)
            }
        };
        present?;
        last = Some(failure);
        delivering.pace.clock.rest(wait, delivering.stop).await?;
        if judged(delivering, package).await? != Delivery::Absent {
            return Ok(Delivered::Ended(Outcome::Done));
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

/// Sends one write, as soon as others leave room for it.
async fn write(
    delivering: &Delivering<'_>,
    publication: &Publication,
) -> Result<Delivered, RegistryError> {
    // Nobody closes it.
    let permit = delivering.pace.gate.acquire().await.ok();
    let answer = send(delivering, publication).await;
    if let (Err(RegistryError::Busy { .. }), Some(permit)) = (&answer, permit) {
        delivering.pace.slow_down(permit);
    }
    answer
}

/// Sends a version once, in the way that was asked for.
async fn send(
    delivering: &Delivering<'_>,
    publication: &Publication,
) -> Result<Delivered, RegistryError> {
    let registry = delivering.registry;
    if delivering.settings.npm_publish == NpmPublish::Stage {
        return registry.stage(publication).await.map(Delivered::Waits);
    }
    registry.publish(publication).await?;
    Ok(Delivered::Ended(Outcome::Done))
}

/// The id under which a version waits already, where the registry tells that; other bytes than those that a seal fixed are an integrity failure.
async fn waiting(
    delivering: &Delivering<'_>,
    tarballs: &dyn Tarballs,
    package: &DecidedPackage,
) -> Result<Option<StageId>, Failure> {
    let staged = delivering.registry.staged(&package.name).await;
    let staged = staged.and_then(|mut staged| staged.remove(&package.version.to_string()));
    let Some(staged) = staged else {
        return Ok(None);
    };
    if let Some(theirs) = staged.shasum.filter(|_| delivering.sealed) {
        let ours = crate::local::files::shasum(&tarballs.bytes(package).await?);
        if ours != theirs {
            return Err(Failure::new(
                Exit::Integrity,
                "publish::other_staged",
                format!("other bytes are staged as {}", label(package)),
            )
            .because(format!("the sha1 of theirs is {theirs}, of ours {ours}"))
            .hint(format!(
                "somebody else staged this version: find out who; then `npm stage reject {}` and run again",
                staged.id.as_str()
            )));
        }
    }
    Ok(Some(staged.id))
}

/// A refusal that no look before could foresee: the tags stand, and only what is missing is done later. Where others' bytes turn out to be there,
/// that is what is told.
fn refused(
    failure: Failure,
    present: Result<Delivery, Failure>,
    package: &DecidedPackage,
) -> Failure {
    if let Err(foreign) = present
        && foreign.exit() == Exit::Integrity
    {
        return foreign;
    }
    failure.because(format!(
        "{} is decided and tagged: when the registry takes it, run again, and it continues here without another version",
        label(package)
    ))
}

/// The longest wait that a registry may ask for within a run.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// How long a registry may have no time within a run.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long another write of the same name is given.
const CONTENDED: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
];

fn pause(attempt: usize) -> Duration {
    let attempt = u64::try_from(attempt).unwrap_or(u64::MAX);
    Duration::from_millis(250 * attempt * attempt)
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
            "if that is not the registry that you release to, set `registry`; else somebody else published this version: find out who, then `abandon` gives this release up, and the next one contains its packages at higher versions",
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
        attestation: None,
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
            delivering.pace.clock.rest(PAUSE, delivering.stop).await?;
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::remote::registry::{PublishedVersion, Staged};
    use crate::settings::World;
    use crate::settings::identity::Trust;
    use crate::settings::inputs::{Asked, collect};
    use crate::version::Version;

    const MANIFEST: &str = r#"{"name":"a","version":"1.0.0"}"#;

    /// What happens to a write.
    enum Answer {
        /// It is taken, and that is said.
        Taken,
        /// It is taken, and this is said.
        Lost(RegistryError),
        /// It is not taken.
        Left(RegistryError),
    }

    /// A registry that answers as a test says, and shows what it took after a while.
    struct Scripted {
        clock: Clock,
        answers: Mutex<VecDeque<Answer>>,
        lag: Duration,
        taken: Mutex<Option<(Instant, String)>>,
        writes: AtomicUsize,
    }

    #[async_trait::async_trait]
    impl Registry for Scripted {
        async fn package(
            &self,
            _: &PackageName,
        ) -> Result<Option<PublishedPackage>, RegistryError> {
            let taken = self.taken.lock().unwrap().clone();
            let shown = taken.filter(|(since, _)| self.clock.now() - *since >= self.lag);
            Ok(shown.map(|(_, integrity)| PublishedPackage {
                versions: BTreeMap::from([(
                    "1.0.0".to_owned(),
                    PublishedVersion {
                        integrity: Some(integrity),
                        ..PublishedVersion::default()
                    },
                )]),
                dist_tags: BTreeMap::new(),
            }))
        }

        async fn publish(&self, publication: &Publication) -> Result<(), RegistryError> {
            self.writes.fetch_add(1, Ordering::SeqCst);
            let mut taken = self.taken.lock().unwrap();
            if taken.is_some() {
                return Err(RegistryError::AlreadyThere(failure("npm::already_there")));
            }
            let answer = self.answers.lock().unwrap().pop_front();
            let is_taken = !matches!(answer, Some(Answer::Left(_)));
            if is_taken {
                *taken = Some((self.clock.now(), publication.integrity.to_string()));
            }
            match answer {
                None | Some(Answer::Taken) => Ok(()),
                Some(Answer::Lost(error) | Answer::Left(error)) => Err(error),
            }
        }

        async fn trusts(&self, _: &PackageName, _: bool) -> Result<Option<Trust>, RegistryError> {
            Ok(None)
        }

        async fn stage(&self, _: &Publication) -> Result<Option<StageId>, RegistryError> {
            Err(RegistryError::Failed(failure("npm::no_stages")))
        }

        async fn staged(&self, _: &PackageName) -> Option<BTreeMap<String, Staged>> {
            None
        }

        async fn set_dist_tag(
            &self,
            _: &PackageName,
            _: &str,
            _: &str,
        ) -> Result<(), RegistryError> {
            Err(RegistryError::Failed(failure("npm::refused")))
        }

        async fn deprecate(
            &self,
            _: &PackageName,
            _: &BTreeMap<String, Option<String>>,
        ) -> Result<(), RegistryError> {
            Err(RegistryError::Failed(failure("npm::refused")))
        }

        fn describe(&self) -> String {
            "a registry".to_owned()
        }
    }

    fn failure(code: &'static str) -> Failure {
        Failure::new(Exit::RemoteRefused, code, "no")
    }

    fn busy(seconds: u64) -> RegistryError {
        RegistryError::Busy {
            retry_after: Some(Duration::from_secs(seconds)),
            failure: failure("npm::busy"),
        }
    }

    struct Packed(Vec<u8>);

    #[async_trait::async_trait(?Send)]
    impl Tarballs for Packed {
        async fn bytes(&self, _: &DecidedPackage) -> Result<Vec<u8>, Failure> {
            Ok(self.0.clone())
        }
    }

    fn settings() -> Settings {
        let Ok(Asked::Run(collected)) = collect(&["publish".to_owned()], &BTreeMap::new()) else {
            panic!("publish is a command");
        };
        Settings::resolve(*collected, &[], World::default()).unwrap()
    }

    /// Publishes what gets no statement and waits until it is seen; answers how it ended, the writes that took, and the seconds.
    async fn published(answers: Vec<Answer>, lag: u64) -> (Result<(), &'static str>, usize, u64) {
        published_as(Some(Provenance::Left("x".to_owned())), answers, lag).await
    }

    /// The same of a package about which this was decided, where nothing signs.
    async fn published_as(
        decided: Option<Provenance>,
        answers: Vec<Answer>,
        lag: u64,
    ) -> (Result<(), &'static str>, usize, u64) {
        let tarball = archive::npm_tarball(&[archive::NpmFile {
            path: "package.json".to_owned(),
            source: archive::EntrySource::Bytes(MANIFEST.as_bytes().to_vec()),
            mode: 0o644,
        }])
        .unwrap();
        let pace = Pace::new(16);
        let clock = pace.clock.clone();
        let registry = Scripted {
            clock: clock.clone(),
            answers: Mutex::new(answers.into()),
            lag: Duration::from_secs(lag),
            taken: Mutex::default(),
            writes: AtomicUsize::new(0),
        };
        let name = PackageName::parse("a").unwrap();
        let decided = decided.map(|decided| (name.clone(), decided));
        let provenance = decided.into_iter().collect();
        let waves = vec![vec![DecidedPackage {
            name,
            version: Version::new(1, 0, 0),
            dist_tag: "latest".to_owned(),
            integrity: tarball.integrity.clone(),
        }]];
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let (settings, stop) = (settings(), Stop::default());
        let delivering = Delivering {
            registry: &registry,
            provenance: &provenance,
            signer: None,
            commit: &commit,
            sealed: true,
            waves: &waves,
            settings: &settings,
            pace,
            stop: &stop,
        };
        let begun = clock.now();
        let mut deeds = Deeds::default();
        let published = publish(&delivering, &Packed(tarball.bytes), &mut deeds).await;
        let mut ended = published.map(drop);
        if ended.is_ok() {
            ended = verify(&delivering, &mut deeds).await;
        }
        let ended = ended.map_err(|failure| failure.code());
        let writes = registry.writes.load(Ordering::SeqCst);
        (ended, writes, (clock.now() - begun).as_secs())
    }

    #[tokio::test]
    async fn each_answer_is_met_as_what_it_means() {
        let uncertain = || RegistryError::Uncertain(failure("npm::uncertain"));
        let contended = || RegistryError::Contended(failure("npm::uncertain"));
        let refused = || RegistryError::Failed(failure("npm::forbidden"));
        let check = async |what: &str, answers: Vec<Answer>, lag, expected| {
            let (ended, writes, seconds) = published(answers, lag).await;
            assert_eq!((ended, writes), expected, "{what}, after {seconds} s");
            seconds
        };
        let taken = check("taken", vec![Answer::Taken], 0, (Ok(()), 1)).await;
        assert_eq!(taken, 0);
        let lagging = check("shown late", vec![Answer::Taken], 120, (Ok(()), 1)).await;
        assert_eq!(lagging, 120);
        let lost = vec![Answer::Lost(uncertain())];
        check("lost, and shown", lost, 0, (Ok(()), 1)).await;
        let lost = vec![Answer::Lost(uncertain())];
        check("lost, and shown late", lost, 120, (Ok(()), 2)).await;
        let conflicts = vec![
            Answer::Left(contended()),
            Answer::Left(contended()),
            Answer::Left(contended()),
        ];
        let waited = check("three conflicts", conflicts, 0, (Ok(()), 4)).await;
        assert_eq!(waited, 2 + 5 + 15);
        let landed = vec![Answer::Lost(contended())];
        check("a conflict with itself", landed, 0, (Ok(()), 1)).await;
        let lie = vec![Answer::Lost(refused())];
        check("refused, and there", lie, 0, (Ok(()), 1)).await;
        let no = vec![Answer::Left(refused())];
        check("refused", no, 0, (Err("npm::forbidden"), 1)).await;
        let later = vec![Answer::Left(busy(90)), Answer::Left(busy(90))];
        let waited = check("busy", later, 0, (Ok(()), 3)).await;
        assert_eq!(waited, 180);
        let too_long = vec![Answer::Left(busy(1934))];
        check("busy for long", too_long, 0, (Err("npm::busy"), 1)).await;
        let never = (0..9).map(|_| Answer::Left(uncertain())).collect();
        check("never", never, 0, (Err("publish::unfinished"), 5)).await;
        let hidden = vec![Answer::Taken];
        check(
            "never shown",
            hidden,
            100_000,
            (Err("publish::not_visible"), 1),
        )
        .await;
    }

    #[tokio::test]
    async fn what_was_decided_to_be_signed_is_published_signed_or_not_at_all() {
        let check = async |decided, expected| {
            let told = format!("{decided:?}");
            let (ended, writes, _) = published_as(decided, vec![Answer::Taken], 0).await;
            assert_eq!((ended, writes), expected, "{told}");
        };
        let left = Some(Provenance::Left("x".to_owned()));
        check(left, (Ok(()), 1)).await;
        let signed = Some(Provenance::Signed("x".to_owned()));
        check(signed, (Err("provenance::no_signer"), 0)).await;
        check(None, (Err("provenance::undecided"), 0)).await;
    }

    #[tokio::test]
    async fn a_busy_registry_gets_fewer_writes_at_once_and_an_end() {
        let pace = Pace::new(16);
        for left in [5, 4, 3, 2, 1, 1] {
            let permit = pace.gate.acquire().await.unwrap();
            pace.slow_down(permit);
            assert_eq!(pace.gate.available_permits(), left);
        }
        assert!(pace.may_wait(LONGEST_WAIT));
        pace.clock.sleep(Duration::from_mins(8)).await;
        assert!(pace.may_wait(LONGEST_WAIT));
        pace.clock.sleep(Duration::from_secs(1)).await;
        assert!(!pace.may_wait(LONGEST_WAIT));
        assert!(pace.may_wait(Duration::from_mins(1)));
    }
}
