//! Finishing a decided release: publish, verify, record, point, tell. Every step looks first, so that whoever starts after a crash, or beside another run, finds what is done.

mod versions;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::apply::build::Packed;
use crate::apply::deltas::Making;
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::apply::publish::{self, Delivering, Pace, Pending, Tarballs};
use crate::apply::record::{self, Recording};
use crate::apply::seal::{self, Named};
use crate::apply::until_stopped;
use crate::commands::decisions::{self, Decision};
use crate::commands::scene::Scene;
use crate::commands::tarballs::{Built, Rebuilt, Sealed, Storeless};
use crate::commands::{
    Session, abandon, board, mirror, observe, point, provenance, rebuild, released, trust,
};
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, Integrity, PackageName, TagName};
use crate::plan::asking;
use crate::plan::next::{DecidedPackage, SealName};
use crate::plan::provenance::Provenance;
use crate::plan::release::{self as planning, Plan};
use crate::plan::trusted::Policy;
use crate::plan::waves;
use crate::release::app::AppManifest;
use crate::release::manifest::Status;
use crate::remote::forge::github::Told;
use crate::remote::registry::PublishedPackage;
use crate::remote::store::Store;
use crate::report::release::{Released, ReleasedPackage};
use crate::settings::{FirstPublish, NpmPublish};
use crate::version::Version;
use crate::workspace::Workspace;
use crate::workspace::package::Package;

/// What this run decided itself.
#[derive(Clone, Copy)]
pub struct Own<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What is decided about the provenance of its libraries.
    pub provenance: &'a BTreeMap<PackageName, Provenance>,
}

/// RECOVER: finishes the newest decided release of the branch. A dry run leaves it.
pub async fn earlier(
    session: &Session<'_>,
    scene: &Scene<'_>,
    deeds: &mut Deeds,
) -> Result<Option<Released>, Failure> {
    let newest = decisions::newest(session.repo, &scene.tip, &scene.decisions)?;
    if !session.settings.dry_run
        && let Some(pending) = versions::older(session, scene, newest.as_ref(), deeds).await?
    {
        return Ok(Some(pending));
    }
    let is_open = |commit: &CommitId| {
        !scene.is_given_up(commit) && !session.settings.dry_run && session.settled != Some(commit)
    };
    let Some(commit) = newest.filter(is_open) else {
        return Ok(None);
    };
    let decision = &scene.decisions[&commit];
    if let (Some(_), Some(store)) = (&decision.seal, session.remotes.store.as_deref()) {
        let recorded = record::read(store, &session.release_id(&commit)?).await?;
        if let Some(given_up) = recorded.filter(|recorded| recorded.status == Status::Abandoned) {
            // Whoever gave it up was interrupted before git knew.
            let reason = given_up.reason.as_deref();
            abandon::mark(session, scene, &commit, reason)?;
            return Ok(None);
        }
    }
    finish_earlier(session, &scene.branch, &commit, decision, deeds).await
}

/// Publishes what the decided versions of the branch lack on npm, and does no more. A dry run notes it.
pub async fn deliver(
    session: &Session<'_>,
    scene: &Scene<'_>,
    deeds: &mut Deeds,
) -> Result<Option<Released>, Failure> {
    if session.settings.dry_run {
        scene.require_tip(session)?;
    }
    let newest = decisions::newest(session.repo, &scene.tip, &scene.decisions)?;
    if let Some(pending) = versions::older(session, scene, newest.as_ref(), deeds).await? {
        return Ok(Some(pending));
    }
    versions::tell_overtaken(session, scene, newest.as_ref()).await?;
    let Some(commit) = newest.filter(|commit| !scene.is_given_up(commit)) else {
        return Ok(None);
    };
    let decision = &scene.decisions[&commit];
    match &decision.seal {
        Some(name) => deliver_sealed(session, &commit, decision, name, deeds).await,
        None => finish_earlier_unsealed(session, &scene.branch, &commit, decision, deeds)
            .await
            .map(Some),
    }
}

/// Publishes the packages of a sealed release; the store is needed only where one is lacking.
async fn deliver_sealed(
    session: &Session<'_>,
    commit: &CommitId,
    decision: &Decision,
    name: &SealName,
    deeds: &mut Deeds,
) -> Result<Option<Released>, Failure> {
    let (waves, tarballs): (_, Box<dyn Tarballs + '_>) =
        if let Some(store) = session.remotes.store.as_deref() {
            let Some(named) = seal_of(session, store, commit, name).await? else {
                return Ok(None);
            };
            if !fits(session, commit, decision, &named)? {
                return Ok(None);
            }
            let tarballs = Box::new(Sealed::new(store, &named.seal, None)?);
            (sealed_waves(session, commit, &named)?, tarballs)
        } else {
            let workspace = session.workspace_at(commit)?;
            let packages = decided_packages(session, commit, decision, &workspace).await?;
            let tarballs = Box::new(Storeless(store_needed(commit, name)));
            (in_waves(session, commit, packages)?, tarballs)
        };
    let provenance = require_trusted(session, commit, &waves).await?;
    let delivering = delivering(session, commit, true, &waves, &provenance);
    let pending = put(&delivering, tarballs.as_ref(), deeds).await?;
    let packages = delivered(session, &waves);
    let base = session.repo.release_base(commit)?;
    let released = released::released(session, commit, base.as_str(), &packages, &[])?;
    Ok(Some(released.waiting_for(pending)))
}

/// What is delivered of `commit`, wave after wave; `sealed` tells whether its bytes are fixed by a seal, `provenance` what was decided of each package.
pub(super) fn delivering<'a>(
    session: &'a Session<'_>,
    commit: &'a CommitId,
    sealed: bool,
    waves: &'a [Vec<DecidedPackage>],
    provenance: &'a BTreeMap<PackageName, Provenance>,
) -> Delivering<'a> {
    Delivering {
        registry: session.remotes.registry.as_ref(),
        provenance,
        signer: session.remotes.signer.as_deref(),
        commit,
        sealed,
        waves,
        settings: session.settings,
        pace: Pace::new(session.settings.max_concurrency),
        stop: session.stop,
    }
}

/// PUBLISH and VERIFY; gives what waits for approval, which is nothing to verify yet. A dry run only looks, and notes what is lacking.
pub(super) async fn put(
    delivering: &Delivering<'_>,
    tarballs: &dyn Tarballs,
    deeds: &mut Deeds,
) -> Result<Vec<Pending>, Failure> {
    if delivering.settings.npm_publish == NpmPublish::None {
        return Ok(Vec::new());
    }
    if delivering.settings.dry_run {
        publish::note_lacking(delivering, deeds).await?;
        return Ok(Vec::new());
    }
    let pending = publish::publish(delivering, tarballs, deeds).await?;
    if pending.is_empty() {
        publish::verify(delivering, deeds).await?;
    }
    Ok(pending)
}

/// Refuses to begin with what an earlier run decided where this job may not publish all of what is lacking, or cannot tell of it as was asked; a token
/// is judged by the registry. Gives what is decided about the provenance of what may be lacking.
async fn require_trusted(
    session: &Session<'_>,
    commit: &CommitId,
    waves: &[Vec<DecidedPackage>],
) -> Result<BTreeMap<PackageName, Provenance>, Failure> {
    let settings = session.settings;
    if waves.is_empty() || settings.dry_run || settings.npm_publish == NpmPublish::None {
        return Ok(BTreeMap::new());
    }
    let workspace = session.workspace_at(commit)?;
    let packages = |names: &[&PackageName]| -> Vec<&Package> {
        let packages = names.iter().map(|name| workspace.package(name));
        packages.flatten().collect()
    };
    let mut names: Vec<&PackageName> = waves
        .iter()
        .flatten()
        .map(|package| &package.name)
        .collect();
    let by_identity = settings.identity.is_some();
    // What nobody asked for and a token publishes gets none, whatever the registry has: it is not asked.
    if by_identity || provenance::is_asked_for(session, &packages(&names)) {
        let published = session
            .published(waves.iter().flatten().map(|package| &package.name))
            .await?;
        let is_lacking = |package: &&DecidedPackage| {
            let known = published.get(&package.name);
            known.is_none_or(|known| !known.versions.contains_key(&package.version.to_string()))
        };
        let lacking = waves.iter().flatten().filter(is_lacking);
        names = lacking.map(|package| &package.name).collect();
    }
    let libraries = packages(&names);
    let candidates = if by_identity {
        trust::candidates(session, &libraries).await?
    } else {
        trust::without_identity(&libraries)
    };
    // Its names were judged when it was decided.
    let policy = Policy {
        first_publish: FirstPublish::Allow,
        ..trust::policy(session)
    };
    let verdict = trust::verdict(session, &libraries, &candidates, policy).await?;
    provenance::tell(session, &libraries, &candidates, &verdict.provenance);
    Failure::all(verdict.failures).map_or(Ok(()), Err)?;
    tell_other_commit(session, commit, &verdict.provenance)?;
    Ok(verdict.provenance)
}

/// Tells that statements will name another commit than the release was made of: a job can prove its own alone.
fn tell_other_commit(
    session: &Session<'_>,
    commit: &CommitId,
    decided: &BTreeMap<PackageName, Provenance>,
) -> Result<(), Failure> {
    let mut decided = decided.values();
    let is_signed = decided.any(|decided| matches!(decided, Provenance::Signed(_)));
    let Some(of_job) = session.settings.job.commit().filter(|_| is_signed) else {
        return Ok(());
    };
    let base = session.repo.release_base(commit)?;
    if of_job != commit.as_str() && of_job != base.as_str() {
        tracing::warn!(
            "this job runs for {of_job}, and the provenance of what it publishes will name that, not {}, of which the release was made",
            base.short()
        );
    }
    Ok(())
}

/// The libraries of a release that go to the registry.
fn delivered(session: &Session<'_>, waves: &[Vec<DecidedPackage>]) -> Vec<DecidedPackage> {
    let goes = session.settings.npm_publish != NpmPublish::None;
    let packages = waves.iter().flatten().filter(|_| goes);
    packages.cloned().collect()
}

/// Whether a decision holds: every tag of its seal, on a commit made on the seal's base.
fn fits(
    session: &Session<'_>,
    commit: &CommitId,
    decision: &Decision,
    named: &Named,
) -> Result<bool, Failure> {
    let mut tags = named.seal.tags.iter();
    let complete = tags.all(|tag| decision.tags.iter().any(|known| known.as_str() == tag));
    let parent = session.repo.parent(commit)?;
    let based = named.seal.base == commit.as_str()
        || parent.is_some_and(|parent| parent.as_str() == named.seal.base);
    if complete && based {
        return Ok(true);
    }
    tracing::warn!(
        "the tags of {} name a seal that does not fit them, so they decide nothing: a decision needs every tag of its seal on one commit, made on the seal's base",
        commit.short()
    );
    Ok(false)
}

/// The seal of a decided release; `None` where `gc` deleted it, which it does only once the release is recorded: then nothing is left to be finished.
async fn seal_of(
    session: &Session<'_>,
    store: &dyn Store,
    commit: &CommitId,
    name: &SealName,
) -> Result<Option<Named>, Failure> {
    match seal::read(store, name).await {
        Err(failure) if failure.code() == "seal::missing" => {
            let recorded = record::read(store, &session.release_id(commit)?).await?;
            match recorded {
                Some(recorded) if recorded.seal == name.key => {
                    tracing::info!(
                        "release {} is complete, and `gc` deleted its seal",
                        recorded.id
                    );
                    Ok(None)
                }
                _ => Err(failure),
            }
        }
        read => read.map(Some),
    }
}

/// Finishes a release that is decided already; every step that is done is found done.
async fn finish_earlier(
    session: &Session<'_>,
    branch: &str,
    commit: &CommitId,
    decision: &Decision,
    deeds: &mut Deeds,
) -> Result<Option<Released>, Failure> {
    match (&decision.seal, session.remotes.store.as_deref()) {
        (Some(name), Some(store)) => {
            let Some(named) = seal_of(session, store, commit, name).await? else {
                return Ok(None);
            };
            if !fits(session, commit, decision, &named)? {
                return Ok(None);
            }
            sealed(session, branch, commit, &named, None, deeds)
                .await
                .map(Some)
        }
        (Some(name), None) => Err(store_needed(commit, name)),
        (None, _) => finish_earlier_unsealed(session, branch, commit, decision, deeds)
            .await
            .map(Some),
    }
}

/// That a sealed release needs its store.
pub fn store_needed(commit: &CommitId, name: &SealName) -> Failure {
    let what = format!(
        "the release {} was sealed in a store ({}), and no store is set",
        commit.short(),
        name.key
    );
    Failure::new(Exit::Usage, "release::store_needed", what)
        .hint("set `store` to the store it was made with")
}

/// Finishes a sealed release; `own` is what this run decided, where it did, with the bytes on this machine, where it built them.
pub async fn sealed(
    session: &Session<'_>,
    branch: &str,
    commit: &CommitId,
    named: &Named,
    own: Option<(Own<'_>, Option<Arc<Packed>>)>,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let (own, packed) = own.unzip();
    let packed = packed.flatten();
    let Some(store) = session.remotes.store.as_deref() else {
        return Err(Failure::new(
            Exit::Usage,
            "release::store_needed",
            "a sealed release needs its store",
        ));
    };
    let id = session.release_id(commit)?;
    let recorded = record::read(store, &id).await?;
    if recorded
        .as_ref()
        .is_some_and(|recorded| recorded.status == Status::Abandoned)
    {
        return Err(record::given_up(&id));
    }
    let waves = sealed_waves(session, commit, named)?;
    let packages = delivered(session, &waves);
    let recording = recording(session, branch, commit)?;
    let manifests = recording.app_manifests(&named.seal)?;
    let released = || {
        let seal = &named.seal;
        released::released(session, commit, &seal.base, &packages, &seal.apps)
    };
    if recorded.is_none() {
        let judged = judged(session, commit, &waves, own).await?;
        let delivering = delivering(session, commit, true, &waves, &judged);
        let tarballs = Sealed::new(store, &named.seal, packed.clone())?;
        let pending = put(&delivering, &tarballs, deeds).await?;
        if !pending.is_empty() {
            return Ok(released()?.waiting_for(pending));
        }
        let manifest = recording.release_manifest(named, &packages);
        let copies = seal::name_archives(store, &named.seal, packed.as_deref(), session.stop);
        until_stopped(store, session.stop, copies).await?;
        lead_to(session, store, &manifests, packed.as_deref()).await?;
        record::record(store, &manifests, &manifest, session.stop, deeds).await?;
    }
    let mut released = released()?;
    released.manifest = Some(crate::release::layout::release(&id).to_string());
    released.pointers = point::automatic(session, commit, &manifests, deeds).await?;
    let plan = own.map(|own| own.plan);
    tell(session, branch, &released, plan, deeds).await;
    show(session, &manifests).await;
    Ok(released)
}

/// Makes deltas to the builds of a release, before anybody is pointed at them.
async fn lead_to(
    session: &Session<'_>,
    store: &dyn Store,
    manifests: &[AppManifest],
    packed: Option<&Packed>,
) -> Result<(), Failure> {
    let making = Making {
        store,
        packed,
        stop: session.stop,
    };
    for manifest in manifests {
        let app = PackageName::parse(&manifest.app)?;
        if session.settings.app_settings(&app).deltas {
            making.lead_to(manifest).await?;
        }
    }
    Ok(())
}

/// Writes the release board anew, where a release holds apps.
async fn show(session: &Session<'_>, manifests: &[AppManifest]) {
    let settings = session.settings;
    let store = settings.store.value().zip(session.remotes.store.as_ref());
    if let Some((named, store)) = store.filter(|_| !manifests.is_empty()) {
        board::refresh(settings, named, store).await;
    }
}

/// What is decided about the provenance of a release: what this run decided, else what it decides of an earlier one's.
async fn judged<'o>(
    session: &Session<'_>,
    commit: &CommitId,
    waves: &[Vec<DecidedPackage>],
    own: Option<Own<'o>>,
) -> Result<Cow<'o, BTreeMap<PackageName, Provenance>>, Failure> {
    match own {
        Some(own) => Ok(Cow::Borrowed(own.provenance)),
        None => require_trusted(session, commit, waves)
            .await
            .map(Cow::Owned),
    }
}

/// What the manifests of a release say besides its bytes.
fn recording(session: &Session<'_>, branch: &str, commit: &CommitId) -> Result<Recording, Failure> {
    let previous = decisions::before(session.repo, commit)?;
    Ok(Recording {
        id: session.release_id(commit)?,
        repository: session.repository_name(),
        commit: commit.clone(),
        committed_at: crate::report::moment(session.repo.committed_at(commit)?),
        tag_format: session.settings.tag_format.clone(),
        branch: branch.to_owned(),
        registry: Arc::clone(&session.remotes.registry),
        previous: previous
            .map(|commit| session.release_id(&commit))
            .transpose()?,
    })
}

/// The packages of a seal in the order in which they are published.
fn sealed_waves(
    session: &Session<'_>,
    commit: &CommitId,
    named: &Named,
) -> Result<Vec<Vec<DecidedPackage>>, Failure> {
    let mut packages: BTreeMap<PackageName, DecidedPackage> = BTreeMap::new();
    for package in &named.seal.packages {
        let name = PackageName::parse(&package.name)?;
        packages.insert(
            name.clone(),
            DecidedPackage {
                name,
                version: crate::version::Version::parse(&package.version)?,
                dist_tag: package.dist_tag.clone(),
                integrity: Integrity::parse(&package.integrity)?,
            },
        );
    }
    in_waves(session, commit, packages)
}

/// Packages of the release at `commit` in the order in which they are published.
fn in_waves(
    session: &Session<'_>,
    commit: &CommitId,
    packages: BTreeMap<PackageName, DecidedPackage>,
) -> Result<Vec<Vec<DecidedPackage>>, Failure> {
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    let workspace = session.workspace_at(commit)?;
    waves::in_waves(&workspace, packages)
}

/// Finishes a release that this run just decided without a store.
pub async fn unsealed(
    session: &Session<'_>,
    branch: &str,
    commit: &CommitId,
    own: Own<'_>,
    packed: Arc<Packed>,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let decided = |package: &crate::apply::build::PackedPackage| {
        let mut planned = own.plan.packages.iter();
        let planned = planned.find(|planned| planned.name == package.name);
        DecidedPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            dist_tag: planned
                .and_then(|planned| planned.dist_tag.clone())
                .unwrap_or_else(|| "latest".to_owned()),
            integrity: package.integrity.clone(),
        }
    };
    let packages = packed
        .packages
        .iter()
        .map(|package| (package.name.clone(), decided(package)))
        .collect();
    let built = Built::new(&packed);
    let release = (branch, commit);
    deliver_unsealed(session, release, packages, &built, Some(own), deeds).await
}

async fn finish_earlier_unsealed(
    session: &Session<'_>,
    branch: &str,
    commit: &CommitId,
    decision: &Decision,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    if session.settings.npm_publish == NpmPublish::None {
        let (release, tarballs) = ((branch, commit), Rebuilt::new(session, commit));
        return deliver_unsealed(session, release, BTreeMap::new(), &tarballs, None, deeds).await;
    }
    let workspace = session.workspace_at(commit)?;
    if decision.is_of_versions() {
        let marked = rebuild::libraries_of(session, commit, &workspace)?;
        let release = (branch, commit);
        return versions::deliver(session, release, &workspace, &marked, deeds).await;
    }
    let packages = decided_packages(session, commit, decision, &workspace).await?;
    let tarballs = Rebuilt::new(session, commit);
    let release = (branch, commit);
    deliver_unsealed(session, release, packages, &tarballs, None, deeds).await
}

/// The libraries of a release whose tags hold their integrity.
async fn decided_packages(
    session: &Session<'_>,
    commit: &CommitId,
    decision: &Decision,
    workspace: &Workspace,
) -> Result<BTreeMap<PackageName, DecidedPackage>, Failure> {
    let mut packages = BTreeMap::new();
    let known = decision.integrities.keys();
    let known = known.filter(|name| workspace.package(name).is_some());
    let published = session.published(known).await?;
    for (name, integrity) in &decision.integrities {
        let Some(package) = workspace.package(name) else {
            return Err(Failure::new(
                Exit::Integrity,
                "release::forged",
                format!(
                    "the tags of {} name {name}, which is not in that commit",
                    commit.short()
                ),
            )
            .hint("find out who pushed these tags"));
        };
        let Some(version) = package.version.clone() else {
            continue;
        };
        let dist_tag = dist_tag(session, package, &version, published.get(name));
        packages.insert(
            name.clone(),
            DecidedPackage {
                name: name.clone(),
                version,
                dist_tag,
                integrity: integrity.clone(),
            },
        );
    }
    let marked = rebuild::libraries_of(session, commit, workspace)?;
    if let Some(unknown) = marked.iter().find(|name| !packages.contains_key(*name)) {
        return Err(Failure::new(
            Exit::Integrity,
            "release::no_integrity",
            format!(
                "the tags of {} mark {unknown}, but hold no integrity of its tarball",
                commit.short()
            ),
        )
        .because("without it nobody can tell whether the registry holds what was decided")
        .hint("find out who pushed these tags"));
    }
    Ok(packages)
}

/// The dist-tag of a version that was decided, beside what the registry holds by now.
fn dist_tag(
    session: &Session<'_>,
    package: &Package,
    version: &Version,
    published: Option<&PublishedPackage>,
) -> String {
    let tag = planning::dist_tag(version, package, session.settings, session.line());
    let beside = published
        .and_then(|published| planning::dist_tag_beside(&tag, version, &published.dist_tags));
    beside.unwrap_or(tag)
}

async fn deliver_unsealed(
    session: &Session<'_>,
    (branch, commit): (&str, &CommitId),
    packages: BTreeMap<PackageName, DecidedPackage>,
    tarballs: &dyn Tarballs,
    own: Option<Own<'_>>,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let waves = in_waves(session, commit, packages)?;
    let listed = delivered(session, &waves);
    let judged = judged(session, commit, &waves, own).await?;
    let delivering = delivering(session, commit, false, &waves, &judged);
    let pending = put(&delivering, tarballs, deeds).await?;
    let base = session.repo.release_base(commit)?;
    let released = released::released(session, commit, base.as_str(), &listed, &[])?;
    if !pending.is_empty() {
        return Ok(released.waiting_for(pending));
    }
    let plan = own.map(|own| own.plan);
    tell(session, branch, &released, plan, deeds).await;
    Ok(released)
}

/// TELL: forge releases and mirrors. Repeatable, never decisive: a failure is noted and the release is still complete. `plan` is what was
/// decided, where this run did; else it is planned again.
async fn tell(
    session: &Session<'_>,
    branch: &str,
    released: &Released,
    plan: Option<&Plan>,
    deeds: &mut Deeds,
) {
    tell_forge(session, released, plan, deeds).await;
    tokio::task::block_in_place(|| mirror::follow(session, branch, deeds));
}

async fn tell_forge(
    session: &Session<'_>,
    released: &Released,
    plan: Option<&Plan>,
    deeds: &mut Deeds,
) {
    let Some(forge) = session
        .remotes
        .forge
        .as_deref()
        .filter(|_| session.settings.forge_release && !session.settings.dry_run)
    else {
        return;
    };
    let tags: BTreeSet<&TagName> = released
        .packages
        .iter()
        .map(|package| &package.tag)
        .collect();
    let again = match plan {
        Some(_) => None,
        None => planned_again(session, released)
            .inspect_err(|why| tracing::info!("the release is told without notes: {why}"))
            .ok(),
    };
    // Of several tags none is the repository's newest release, and an older line has none.
    let is_older = session
        .line()
        .is_some_and(|line| line.maintenance().is_some());
    let is_only = tags.len() == 1 && !is_older;
    for tag in tags {
        let packages: Vec<&ReleasedPackage> = released
            .packages
            .iter()
            .filter(|package| package.tag == *tag)
            .collect();
        let is_prerelease = packages.iter().any(|package| package.to.is_prerelease());
        let body = crate::report::summary::forge_body(released, &packages, plan.or(again.as_ref()));
        let outcome = match forge
            .ensure_release(tag, tag.as_str(), &body, is_prerelease, is_only)
            .await
        {
            Ok(Told::Done) => Outcome::Done,
            Ok(Told::AlreadyDone) => Outcome::AlreadyDone,
            Err(failure) => Outcome::Failed(failure),
        };
        deeds.note(Stage::Tell, tag.to_string(), outcome);
    }
}

/// The plan of a release that an earlier run decided, made again of the commit it was planned on, as if its tags were not there yet.
fn planned_again(session: &Session<'_>, released: &Released) -> Result<Plan, Failure> {
    let mut observed = observe::observe(session.repo, &released.base, session.settings)?;
    observed.tags.retain(|tag| !released.tags.contains(tag));
    let mut facts = observed.facts(session.repo, session.settings, false)?;
    asking::remember(&mut facts, |name| {
        let mut packages = released.packages.iter();
        let found = packages.find(|package| package.name == *name)?;
        Some(found.to.clone())
    });
    planning::plan(&facts, session.settings)
}
