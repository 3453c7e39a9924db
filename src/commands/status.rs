//! `status`: what runs where, since when, by whom, what a rollback would do, and what of a checkout is not released yet.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::apply::builds;
use crate::apply::point::{Log, Tip, environments_of};
use crate::apply::static_files::progress;
use crate::commands::environments::names::{check_environment, unknown_app};
use crate::commands::environments::{Remotes, address, walk_back};
use crate::commands::{monorepo, observe};
use crate::environment::entry::{CdnName, Entry, StaticPlace};
use crate::explain::{Exit, Failure};
use crate::local::git::Repo;
use crate::name::{EnvironmentName, PackageName, Variant};
use crate::plan::release::{Base, plan};
use crate::plan::static_trust::Progress;
use crate::release::host::{HostReport, REPORT_SCHEMA};
use crate::release::{LONGEST_DOCUMENT, from_bytes, layout};
use crate::remote::store::Store;
use crate::report::environments::{
    AppStatus, BuildStatus, EnvironmentStatus, HostStatus, PackageStatus, Past, STATUS_SCHEMA,
    Status, StoreStatus, Unknown, VersionStatus, WayBack, rollback_command,
};
use crate::settings::Apps;
use crate::settings::{BumpFrom, Command, Settings};
use crate::version::Version;
use crate::workspace::package::Package;

/// How many entries of a log are read to tell who did what and why.
const READ_ENTRIES: u64 = 20;
/// How many documents of one environment are read at once.
const READS: usize = 8;
/// How many apps are looked at side by side, and how many environments of each.
const APPS_AT_ONCE: usize = 4;
const ENVIRONMENTS_AT_ONCE: usize = 4;
/// Of how many versions it is told what their builds weigh.
const WEIGHED_VERSIONS: usize = 20;

/// What mends a document that cannot be read.
const MENDS: &str = "put it back from a copy of the store; `static.json` is made anew by promoting the live version again";

/// What `status` is asked.
#[derive(Debug, Clone, Default)]
pub struct StatusRequest {
    /// Which apps; [`Apps::Default`] means all.
    pub apps: Apps,
    /// Only this environment.
    pub environment: Option<EnvironmentName>,
    /// The environments that are configured, in the order in which they are shown.
    pub environments: Vec<EnvironmentName>,
    /// The store, as it is told.
    pub store: Option<StoreStatus>,
    /// Whether what builds weigh is told too, which takes a request for each.
    pub builds: bool,
    /// Now, RFC 3339.
    pub now: String,
    /// What of the checkout is not released, where there is one.
    pub unreleased: Unreleased,
}

/// The packages of a checkout, and what of them is not released.
#[derive(Debug, Clone, Default)]
pub struct Unreleased {
    /// The packages.
    pub packages: Vec<PackageStatus>,
    /// Why their next versions are not known.
    pub next_unknown: Option<Unknown>,
}

/// What runs where, since when, by whom, and what a rollback would do.
///
/// What cannot be read of one environment is named there and in [`Status::failure`], and keeps nobody from seeing everything else.
///
/// # Errors
/// `environment::unknown_app` and `environment::unknown` (2) for a name that nobody knows; those of the store.
pub async fn status(request: &StatusRequest, remotes: &Remotes) -> Result<Status, Failure> {
    let store = remotes.store.as_ref();
    let known = builds::apps(store).await?;
    let names = match &request.apps {
        Apps::Named(names) => names.clone(),
        Apps::Default | Apps::All => known.clone(),
    };
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(unknown_app(unknown, &known));
    }
    let reads = names.iter().map(|app| app_status(app, request, remotes));
    let read: Vec<AppRead> = stream::iter(reads.collect::<Vec<_>>())
        .buffered(APPS_AT_ONCE)
        .try_collect()
        .await?;
    let (mut apps, mut places, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for app in read {
        apps.push(app.status);
        places.extend(app.places);
        failures.extend(app.failures);
    }
    if let Some(asked) = &request.environment {
        let known = request.environments.iter().chain(&places).cloned();
        check_environment(asked, known.collect())?;
    }
    let mut environments: Vec<String> = Vec::new();
    for name in request.environments.iter().chain(&places) {
        if !environments.iter().any(|known| known == name.as_str()) {
            environments.push(name.to_string());
        }
    }
    Ok(Status {
        schema: STATUS_SCHEMA,
        at: request.now.clone(),
        store: request.store.clone(),
        environments,
        packages: request.unreleased.packages.clone(),
        next_unknown: request.unreleased.next_unknown.clone(),
        apps,
        asked: request.environment.as_ref().map(ToString::to_string),
        failure: Failure::all(failures),
    })
}

/// One app, every environment that it is or may be pointed at, and what of them could not be read.
struct AppRead {
    status: AppStatus,
    places: Vec<EnvironmentName>,
    failures: Vec<Failure>,
}

/// What of one environment could not be read.
#[derive(Default)]
struct Unread(Vec<Failure>);

impl Unread {
    /// What was read; `None` where it could not be, which is kept.
    fn kept<T>(&mut self, read: Result<T, Failure>) -> Option<T> {
        let keep = |failure| {
            if !self.0.contains(&failure) {
                self.0.push(failure);
            }
        };
        read.map_err(keep).ok()
    }
}

async fn app_status(
    app: &PackageName,
    request: &StatusRequest,
    remotes: &Remotes,
) -> Result<AppRead, Failure> {
    let store = remotes.store.as_ref();
    let recorded = builds::versions(store, app).await?;
    let mut places = environments_of(store, app).await?;
    let asked = places.iter().filter(|environment| {
        let only = request.environment.as_ref();
        only.is_none_or(|only| only == *environment)
    });
    let reads = asked.map(|environment| async move {
        let log = Log {
            store,
            app,
            environment,
        };
        let mut unread = Unread::default();
        let status = match unread.kept(log.tip().await) {
            Some(Some(tip)) => environment_status(log, &tip, request, &mut unread).await,
            Some(None) => return None,
            None => EnvironmentStatus::unknown(environment.as_str()),
        };
        let failures = unread.0.into_iter().map(|failure| {
            let place = format!("this is of {environment} of {app}; everything else is told");
            let failure = failure.because(place);
            match failure.advice() {
                None if failure.exit() == Exit::Integrity => failure.hint(MENDS),
                _ => failure,
            }
        });
        Some((status, failures.collect::<Vec<_>>()))
    });
    let read: Vec<Option<(EnvironmentStatus, Vec<Failure>)>> =
        stream::iter(reads.collect::<Vec<_>>())
            .buffered(ENVIRONMENTS_AT_ONCE)
            .collect()
            .await;
    let (mut environments, mut failures) = (Vec::new(), Vec::new());
    for (mut status, unread) in read.into_iter().flatten() {
        status.unreadable = unread.iter().map(Unknown::from).collect();
        environments.push(status);
        failures.extend(unread);
    }
    let made_for = recorded.iter().filter_map(|(_, variant)| match variant {
        Variant::Environment(environment) => Some(environment.clone()),
        Variant::Any => None,
    });
    places.extend(made_for);
    let mut versions = versions_of(&recorded);
    if request.builds {
        weigh(store, app, recorded, &mut versions).await?;
    }
    let status = AppStatus {
        name: app.to_string(),
        versions,
        environments,
    };
    Ok(AppRead {
        status,
        places,
        failures,
    })
}

/// Tells of the newest versions what their builds weigh. A manifest that cannot be read is said, and keeps nobody from seeing the others.
async fn weigh(
    store: &dyn Store,
    app: &PackageName,
    recorded: Vec<(Version, Variant)>,
    versions: &mut [VersionStatus],
) -> Result<(), Failure> {
    let newest: BTreeSet<String> = versions
        .iter()
        .take(WEIGHED_VERSIONS)
        .map(|version| version.version.clone())
        .collect();
    let wanted = recorded
        .into_iter()
        .filter(|(version, _)| newest.contains(&version.to_string()));
    let reads = wanted.map(|(version, variant)| async move {
        let key = layout::app(app, &version, &variant);
        let bytes = store.get(&key, LONGEST_DOCUMENT).await?;
        let read = bytes.map(|bytes| builds::read(app, &version, &variant, key.as_str(), &bytes));
        Ok::<_, Failure>(read)
    });
    let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffered(READS);
    while let Some(read) = reads.next().await {
        let manifest = match read? {
            Some(Ok(manifest)) => manifest,
            Some(Err(failure)) => {
                tracing::warn!(%failure, "what a build weighs is left out");
                continue;
            }
            None => continue,
        };
        let version = versions
            .iter_mut()
            .find(|version| version.version == manifest.version);
        if let Some(version) = version {
            version.builds.push(BuildStatus {
                variant: manifest.variant,
                release: manifest.release,
                committed_at: manifest.git.committed_at,
                archive_bytes: manifest.archive.map(|archive| archive.size),
                static_bytes: manifest.static_files.map(|files| files.bytes),
            });
        }
    }
    Ok(())
}

/// What is recorded of an app, the newest version first.
fn versions_of(builds: &[(Version, Variant)]) -> Vec<VersionStatus> {
    let mut variants: BTreeMap<Version, Vec<String>> = BTreeMap::new();
    for (version, variant) in builds {
        variants
            .entry(version.clone())
            .or_default()
            .push(variant.to_string());
    }
    let newest_first = variants.into_iter().rev();
    newest_first
        .map(|(version, variants)| VersionStatus {
            version: version.to_string(),
            variants,
            builds: Vec::new(),
        })
        .collect()
}

async fn environment_status(
    log: Log<'_>,
    tip: &Tip,
    request: &StatusRequest,
    unread: &mut Unread,
) -> EnvironmentStatus {
    let state = &tip.entry.state;
    let made_live = match state.since {
        Some(since) if since == tip.entry.seq => Some(tip.clone()),
        Some(since) => unread.kept(log.entry(since).await).flatten(),
        None => None,
    };
    let walked = unread.kept(walk_back(log, state).await);
    let rollback_to = walked.and_then(|(end, _)| Some(end?.0.to_string()));
    let in_front = tip.entry.static_place.as_ref();
    let in_front = in_front.and_then(StaticPlace::in_front);
    let rollback_command = request
        .store
        .as_ref()
        .zip(rollback_to.as_deref())
        .map(|(store, to)| {
            let way = WayBack {
                app: log.app.as_str(),
                environment: log.environment.as_str(),
                leaves: state.version().unwrap_or("nothing"),
                to,
                needs_cdn_command: in_front == Some(CdnName::Command),
            };
            rollback_command(store, &way)
        });
    let progress = unread.kept(progress(log, tip).await).flatten();
    let (static_applied, awaits_cdn) = match progress {
        None => (None, None),
        Some(Progress::Begun) => (Some(false), None),
        Some(Progress::AwaitsCdn) => (Some(true), Some(true)),
        Some(Progress::Done) => (Some(true), Some(false)),
    };
    EnvironmentStatus {
        environment: log.environment.to_string(),
        current: state.version().map(str::to_owned),
        since: made_live.as_ref().map(|made| made.entry.at.clone()),
        seq: tip.entry.seq,
        by: made_live.as_ref().map(|made| made.entry.actor.clone()),
        op: made_live.as_ref().map(|made| made.entry.op.as_str()),
        hold: state.hold.clone(),
        bad: state.bad.clone(),
        pinned: state.pinned.clone(),
        rollback_to,
        rollback_command,
        static_applied,
        awaits_cdn,
        url: address(log, tip),
        hosts: unread
            .kept(hosts(log, state.since).await)
            .unwrap_or_default(),
        history: history(log, tip, unread).await,
        unreadable: Vec::new(),
    }
}

/// What hosts reported last. A report that cannot be read is said, and keeps nobody from seeing the others.
async fn hosts(log: Log<'_>, since: Option<u64>) -> Result<Vec<HostStatus>, Failure> {
    let keys = log
        .store
        .list(&layout::hosts(log.app, log.environment), None)
        .await?;
    let reads = keys.iter().map(|key| async move {
        let bytes = log.store.get(key, LONGEST_DOCUMENT).await?;
        Ok::<_, Failure>(
            bytes.map(|bytes| from_bytes::<HostReport>(REPORT_SCHEMA, key.as_str(), &bytes)),
        )
    });
    let mut reads = stream::iter(reads).buffered(READS);
    let mut hosts = Vec::new();
    while let Some(read) = reads.next().await {
        match read? {
            Some(Ok(report)) => hosts.push(HostStatus {
                behind: since.is_some_and(|since| report.seq < since),
                host: report.host,
                version: report.version,
                state: report.state,
                seq: report.seq,
                error: report.error,
                at: report.at,
            }),
            Some(Err(failure)) => tracing::warn!(%failure, "a host's report is left out"),
            None => {}
        }
    }
    Ok(hosts)
}

/// The newest entries of the log with their words; before them the moves that the newest entry remembers.
async fn history(log: Log<'_>, tip: &Tip, unread: &mut Unread) -> Vec<Past> {
    let newest = tip.entry.seq;
    let oldest = newest.saturating_sub(READ_ENTRIES - 1).max(1);
    let reads = (oldest..newest)
        .rev()
        .map(|seq| async move { log.entry(seq).await });
    let mut reads = stream::iter(reads).buffered(READS);
    let mut history = vec![past(&tip.entry)];
    while let Some(read) = reads.next().await {
        let read = unread.kept(read).flatten();
        history.extend(read.map(|read| past(&read.entry)));
    }
    let moves = tip.entry.state.history.iter();
    history.extend(moves.filter(|step| step.seq < oldest).map(|step| Past {
        seq: step.seq,
        op: step.op.as_str(),
        version: Some(step.version.clone()),
        operation: step.operation.clone(),
        at: step.at.clone(),
        actor: None,
        reason: None,
    }));
    history
}

fn past(entry: &Entry) -> Past {
    Past {
        seq: entry.seq,
        op: entry.op.as_str(),
        version: entry.target.as_ref().map(|target| target.version.clone()),
        operation: entry.operation.clone(),
        at: entry.at.clone(),
        actor: Some(entry.actor.clone()),
        reason: entry.reason.clone(),
    }
}

/// The packages of the checkout that the settings name, of all or of those that are asked for; none outside of one. Asks git alone, so a
/// package without a tag counts as never released.
pub fn unreleased(settings: &Settings, asked: &Apps) -> Result<Unreleased, Failure> {
    let Ok(repo) = Repo::open(&settings.directory) else {
        return Ok(Unreleased::default());
    };
    let Ok(head) = repo.head() else {
        return Ok(Unreleased::default());
    };
    if repo.is_shallow() || !monorepo::is_there(&repo, &head, settings)? {
        return Ok(Unreleased::default());
    }
    let mut planning = Settings {
        command: Command::Plan,
        ..settings.clone()
    };
    let observed = match observe::observe(&repo, &head, &planning) {
        // Whoever looks what runs where must not mend a note about the next release first.
        Err(failure) if failure.code().starts_with("intent::") => {
            tracing::warn!("{failure}: what is unreleased is told without intents");
            planning.bump_from = BumpFrom::Commits;
            observe::observe(&repo, &head, &planning)?
        }
        observed => observed?,
    };
    let facts = observed.facts(&repo, &planning, false)?;
    // What is not released is worth telling even where nothing could be released now.
    let (planned, next_unknown) = match plan(&facts, &planning) {
        Ok(plan) => (plan.packages, None),
        Err(failure) => (Vec::new(), Some(Unknown::from(&failure))),
    };
    let is_asked = |package: &Package| match asked {
        Apps::Named(names) => names.contains(&package.name),
        Apps::Default | Apps::All => true,
    };
    let packages = facts.workspace.packages.iter().zip(&facts.packages);
    let packages = packages
        .filter(|(package, _)| is_asked(package))
        .map(|(package, known)| PackageStatus {
            name: package.name.to_string(),
            dir: package.directory.to_string(),
            version: package.version.as_ref().map(ToString::to_string),
            tag: match &known.base {
                Base::Tag { name, .. } => Some(name.to_string()),
                _ => None,
            },
            published: None,
            unreleased: known.touched.reasons.len() as u64,
            next: planned
                .iter()
                .find(|planned| planned.name == package.name)
                .map(|planned| planned.to.to_string()),
        })
        .collect();
    Ok(Unreleased {
        packages,
        next_unknown,
    })
}
