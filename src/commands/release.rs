//! `release`: read, decide, do, tell. There is no journal: what an earlier run left is read from tags, seals, registry and manifests, and finished first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::apply::build::{self, Packed};
use crate::apply::decide::{self, Decided};
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::apply::publish::{self, Delivering, Tarballs};
use crate::apply::record;
use crate::apply::seal::{self, Named};
use crate::commands::observe::{self, Observed};
use crate::commands::{Session, decisions};
use crate::explain::{Exit, Failure};
use crate::local::git::FileEdit;
use crate::local::push::{Remote, Seen};
use crate::local::worktree;
use crate::name::{CommitId, Digest, Integrity, PackageName, TagName};
use crate::plan::next::{DecidedPackage, Position, position};
use crate::plan::release::{self as planning, Plan};
use crate::plan::render::{self, PlanDocument};
use crate::release::app::{AppManifest, Git};
use crate::release::manifest::{self, RecordedApp, RecordedPackage, ReleaseManifest, Status};
use crate::release::seal::SealedApp;
use crate::report::release::{ReleaseReport, Released, Result as Ended};
use crate::settings::RegistryAddress;
use crate::workspace::package::Kind;

/// How often a run judges again because something moved meanwhile.
const ROUNDS: usize = 5;

/// Releases what changed, after finishing what an earlier run decided.
pub async fn release(session: &Session<'_>) -> Result<ReleaseReport, Failure> {
    let started = session.repo.head()?;
    for _ in 0..ROUNDS {
        if let Some(report) = attempt(session, &started).await? {
            return Ok(report);
        }
        tracing::info!("the remote moved meanwhile: judging again");
    }
    Err(Failure::new(
        Exit::Temporary,
        "release::contended",
        "the remote kept moving while this run tried to decide",
    )
    .hint("run again"))
}

/// One round; `None` when a ref moved before the decision.
async fn attempt(
    session: &Session<'_>,
    started: &CommitId,
) -> Result<Option<ReleaseReport>, Failure> {
    let repo = session.repo;
    let remote = Remote::open(repo, session.address()?)?;
    let branch = session.release_branch(Some(&remote))?;
    let (seen, tip) = fetch(session, &remote, &branch)?;
    let decisions = decisions::read(repo, &seen);
    let head = repo.head()?;
    let between = if repo.has_commit(&head) && repo.is_ancestor(&head, &tip)? {
        repo.between(&head, &tip, 10_000)?
    } else {
        None
    };
    let position = match (repo.is_ancestor(&head, &tip)?, &between) {
        (true, None) => Position::Superseded,
        // A commit of others that was released as it was is still a commit that this run was not started for.
        (_, between) => position(between.as_deref(), |commit| {
            decisions.contains_key(commit) && repo.is_made_by_us(commit)
        }),
    };
    if position == Position::Elsewhere {
        return Err(Failure::new(
            Exit::Refused,
            "release::not_on_branch",
            format!("{} is not part of {branch} on the remote", head.short()),
        )
        .because(format!("{branch} is at {} there", tip.short()))
        .hint("push your commits first, or check out the branch"));
    }
    if position == Position::BehindReleases && !session.settings.dry_run {
        worktree::require_clean(repo, &head)?;
        repo.fast_forward(&tip)?;
        tracing::info!(
            "moved to {}: only our own release commits lie between",
            tip.short()
        );
    }
    let mut deeds = Deeds::default();
    let newest = decisions::newest(repo, &tip, &decisions)?;
    let finished = match newest {
        Some(commit) if !session.settings.dry_run => Some(
            finish_earlier(
                session,
                &remote,
                &branch,
                &commit,
                &decisions[&commit],
                &mut deeds,
            )
            .await?,
        ),
        _ => None,
    };
    // Outputs speak of the release at the commit that this run was started for, not of a newer one.
    let own = finished.filter(|release| {
        let at_tip = position != Position::Superseded && release.commit == tip;
        at_tip || release.commit == *started || release.base == *started
    });
    if position == Position::Superseded {
        let ended = if own.is_some() {
            Ended::Released
        } else {
            Ended::Superseded { tip }
        };
        return Ok(Some(ReleaseReport {
            ended,
            plan: None,
            release: own,
            deeds,
        }));
    }
    worktree::require_clean(repo, &repo.head()?)?;
    let head = if session.settings.dry_run { head } else { tip };
    let (observed, plan) = plan_at(session, &head, true).await?;
    let document = render::document(&plan, session.settings, Vec::new());
    if plan.packages.is_empty() {
        let ended = if own.is_some() {
            Ended::Released
        } else {
            Ended::Nothing
        };
        return Ok(Some(ReleaseReport {
            ended,
            plan: Some((plan, document)),
            release: own,
            deeds,
        }));
    }
    let plan = preflight(session, &remote, &branch, plan).await?;
    let document = render::document(&plan, session.settings, Vec::new());
    let Some(decided) = build_and_decide(
        session, &remote, &branch, &observed, &plan, &document, &mut deeds,
    )
    .await?
    else {
        return Ok(None);
    };
    let Decision::Made(made) = decided else {
        return Ok(Some(ReleaseReport {
            ended: Ended::Planned,
            plan: Some((plan, document)),
            release: None,
            deeds,
        }));
    };
    let Made {
        commit,
        seal,
        packed,
    } = *made;
    let release = match seal {
        Some(named) => finish_sealed(session, &branch, &commit, &named, packed, &mut deeds).await?,
        None => {
            finish_unsealed(
                session, &branch, &commit, &observed, &plan, packed, &mut deeds,
            )
            .await?
        }
    };
    Ok(Some(ReleaseReport {
        ended: Ended::Released,
        plan: Some((plan, document)),
        release: Some(release),
        deeds,
    }))
}

/// Looks at the remote, brings what is missing, and refuses tags that differ between here and there.
fn fetch(
    session: &Session<'_>,
    remote: &Remote<'_>,
    branch: &str,
) -> Result<(Seen, CommitId), Failure> {
    let repo = session.repo;
    let seen = remote.look(branch)?;
    let Some(tip) = seen.tip.clone() else {
        return Err(Failure::new(
            Exit::Usage,
            "git::no_branch",
            format!("the remote has no branch {branch}"),
        )
        .hint("push it first, or name the release branch with `branch`"));
    };
    if repo.is_shallow() {
        tracing::info!("the history here is cut: fetching the rest");
        remote.deepen(branch)?;
    }
    remote.fetch(branch, &seen)?;
    let here: BTreeMap<TagName, String> = repo
        .tags()?
        .into_iter()
        .map(|tag| (tag.name, tag.object))
        .collect();
    if let Some(tag) = seen.tags.iter().find(|tag| {
        here.get(&tag.name)
            .is_some_and(|object| *object != tag.object)
    }) {
        return Err(Failure::new(
            Exit::Refused,
            "git::tag_differs",
            format!(
                "tag {} names one thing here and another on the remote",
                tag.name
            ),
        )
        .because("tags are the record of what was released, so they must agree")
        .hint(format!(
            "delete the wrong one: git tag -d {} && git fetch --tags",
            tag.name
        )));
    }
    if !session.settings.dry_run {
        repo.note_remote(&session.settings.remote, branch, &tip, &seen.tags)?;
    }
    Ok((seen, tip))
}

/// The plan at a commit. With `strict`, a registry that does not answer is an error; else a warning.
pub async fn plan_at(
    session: &Session<'_>,
    head: &CommitId,
    strict: bool,
) -> Result<(Observed, Plan), Failure> {
    let mut observed = observe::observe(session.repo, head, session.settings)?;
    let mut unasked = Vec::new();
    let untagged: Vec<(usize, PackageName)> = observed
        .untagged()
        .into_iter()
        .map(|(index, name)| (index, name.clone()))
        .collect();
    for (index, name) in untagged {
        match session.remotes.registry.package(&name).await {
            Ok(Some(published)) => {
                let highest = published.versions.iter().filter_map(|(version, known)| Some((crate::version::Version::parse(version).ok()?, known))).max_by(|left, right| left.0.cmp(&right.0));
                if let Some((version, known)) = highest {
                    let git_head = known.git_head.clone();
                    observed.was_published(index, version, git_head.as_deref())?;
                }
            }
            Ok(None) => {}
            Err(error) if strict => return Err(error.into()),
            Err(error) => unasked.push(planning::Notice { code: "plan::registry_unasked", message: format!("{name} has no tag, and the registry could not be asked whether it was published before: {error}") }),
        }
    }
    let facts = observed.facts(session.repo, session.settings)?;
    let mut plan = planning::plan(&facts, session.settings)?;
    plan.warnings.extend(unasked);
    Ok((observed, plan))
}

/// Everything that can be known before the first outside write is known here: credentials, permission to push, the store's behaviour, versions that are taken, dist-tags that would go backwards.
async fn preflight(
    session: &Session<'_>,
    remote: &Remote<'_>,
    branch: &str,
    mut plan: Plan,
) -> Result<Plan, Failure> {
    let settings = session.settings;
    let libraries: Vec<&planning::PlannedPackage> = plan
        .packages
        .iter()
        .filter(|package| package.kind == Kind::Library)
        .collect();
    if !libraries.is_empty() && matches!(settings.registry, RegistryAddress::Npm(_)) {
        if settings.npm_token.is_none() {
            let names: Vec<&str> = libraries
                .iter()
                .map(|package| package.name.as_str())
                .collect();
            return Err(Failure::new(Exit::Usage, "npm::no_credential", format!("there is no npm credential to publish {}", names.join(", "))).hint("set npm-token (or NODE_AUTH_TOKEN, NPM_TOKEN); a missing credential costs no version"));
        }
        session.remotes.registry.check_credential().await?;
    }
    let mut warnings = Vec::new();
    let mut lowered = BTreeMap::new();
    for package in &libraries {
        let Some(published) = session.remotes.registry.package(&package.name).await? else {
            continue;
        };
        if published.versions.contains_key(&package.to.to_string()) {
            return Err(Failure::new(
                Exit::Refused,
                "npm::version_taken",
                format!(
                    "{} {} is on the registry already, but no tag of ours decided it",
                    package.name, package.to
                ),
            )
            .hint(
                "raise the version in package.json above it, or tag the commit it was built from",
            ));
        }
        let tag = package.dist_tag.as_deref().unwrap_or("latest");
        let higher = published
            .dist_tags
            .get(tag)
            .and_then(|version| crate::version::Version::parse(version).ok())
            .filter(|present| *present > package.to);
        if let Some(present) = higher {
            let instead = format!("{tag}-{}", package.to.major());
            warnings.push(planning::Notice {
                code: "npm::dist_tag_kept",
                message: format!(
                    "{tag} of {} stays at {present}: {} is published as {instead}",
                    package.name, package.to
                ),
            });
            lowered.insert(package.name.clone(), instead);
        }
    }
    for package in &mut plan.packages {
        if let Some(instead) = lowered.remove(&package.name) {
            package.dist_tag = Some(instead);
        }
    }
    plan.warnings.extend(warnings);
    if let Some(app) = plan
        .apps
        .iter()
        .find(|app| observe_static_without_root(&plan, app, settings))
    {
        return Err(Failure::new(Exit::Usage, "plan::no_static_root", format!("{} is served as files, but no static root is set", app.name)).hint("set static to s3://bucket/prefix or file:///dir; `static: none` says that something else serves them"));
    }
    if let Some(store) = session.remotes.store.as_deref() {
        let repository = session.repository_name();
        seal::claim(store, &repository, !settings.dry_run).await?;
        if !settings.dry_run {
            crate::remote::store::prove_conditions(store, &format!("{:032x}", settings.nonce))
                .await?;
        }
    }
    let probe = crate::local::push::RefUpdate {
        name: format!("refs/heads/{branch}"),
        expected: Some(plan.head.to_string()),
        new: plan.head.to_string(),
    };
    match remote.push(&[probe], true) {
        Ok(()) | Err(crate::local::push::PushError::Moved(_)) => Ok(plan),
        Err(
            crate::local::push::PushError::Refused(failure)
            | crate::local::push::PushError::Uncertain(failure),
        ) => Err(failure),
    }
}

fn observe_static_without_root(
    plan: &Plan,
    app: &planning::PlannedApp,
    settings: &crate::settings::Settings,
) -> bool {
    let is_static = plan
        .packages
        .iter()
        .any(|package| package.name == app.name && package.kind == Kind::Static);
    is_static && settings.static_root == crate::settings::Choice::Unset
}

/// What became of a plan.
enum Decision {
    /// A dry run: built, nothing written.
    Rehearsed,
    /// It is decided.
    Made(Box<Made>),
}

/// A release that was just decided.
struct Made {
    /// The release commit.
    commit: CommitId,
    /// Its seal; without a store there is none.
    seal: Option<Named>,
    /// The bytes on this machine, where they were built here.
    packed: Option<Arc<Packed>>,
}

/// BUILD, SEAL, DECIDE. `None` when a ref moved before the decision.
async fn build_and_decide(
    session: &Session<'_>,
    remote: &Remote<'_>,
    branch: &str,
    observed: &Observed,
    plan: &Plan,
    document: &PlanDocument,
    deeds: &mut Deeds,
) -> Result<Option<Decision>, Failure> {
    let digest = Digest::parse(&document.digest)?;
    let store = session.remotes.store.as_deref();
    let adopted = match store {
        Some(store) if !session.settings.dry_run => seal::adopt(store, &plan.head, &digest).await?,
        _ => None,
    };
    let own_edits = || {
        plan.edits
            .iter()
            .map(|(path, text)| (path.clone(), Some(text.clone().into_bytes())))
            .collect::<Vec<FileEdit>>()
    };
    let (named, packed) = match (adopted, store) {
        (Some(named), _) => {
            tracing::info!("adopting the seal of an earlier run: nothing is built again");
            deeds.note(Stage::Seal, named.name.key.clone(), Outcome::AlreadyDone);
            (Some(named), None)
        }
        (None, store) => {
            let packed = Arc::new(tokio::task::block_in_place(|| {
                build::build(
                    session.repo,
                    plan,
                    &observed.workspace,
                    session.settings,
                    session.children.clone(),
                )
            })?);
            if session.settings.dry_run {
                for package in &packed.packages {
                    deeds.note(
                        Stage::Publish,
                        format!(
                            "{}@{} ({} bytes, {} files, {})",
                            package.name,
                            package.version,
                            package.size,
                            package.files,
                            package.integrity
                        ),
                        Outcome::Planned,
                    );
                }
                for app in &packed.apps {
                    let archive = app.archive.as_ref().map_or_else(
                        || "no archive".to_owned(),
                        |archive| format!("{} bytes, {}", archive.size, archive.digest),
                    );
                    deeds.note(
                        Stage::Record,
                        format!("{} {} ({}; {archive})", app.name, app.version, app.variant),
                        Outcome::Planned,
                    );
                }
                return Ok(Some(Decision::Rehearsed));
            }
            let named = match store {
                Some(store) => {
                    let commit =
                        session
                            .repo
                            .make_commit(&plan.head, &own_edits(), &plan.message)?;
                    let described =
                        seal::describe(plan, document, session.repo.tree_id(&commit)?, &packed);
                    let (named, ours) = seal::seal(
                        store,
                        &described,
                        plan,
                        &packed,
                        session.settings.max_concurrency,
                        session.stop,
                    )
                    .await?;
                    deeds.note(
                        Stage::Seal,
                        named.name.key.clone(),
                        if ours {
                            Outcome::Done
                        } else {
                            Outcome::AlreadyDone
                        },
                    );
                    Some(named)
                }
                None => None,
            };
            (named, Some(packed))
        }
    };
    let libraries: BTreeMap<PackageName, Integrity> = match (&named, &packed) {
        (Some(named), _) => named
            .seal
            .packages
            .iter()
            .map(|package| {
                Ok((
                    PackageName::parse(&package.name)?,
                    Integrity::parse(&package.integrity)?,
                ))
            })
            .collect::<Result<_, Failure>>()?,
        (None, Some(packed)) => packed
            .packages
            .iter()
            .map(|package| (package.name.clone(), package.integrity.clone()))
            .collect(),
        (None, None) => BTreeMap::new(),
    };
    let edits = match (&named, store) {
        (Some(named), Some(store)) => decide::sealed_edits(store, &named.seal).await?,
        _ => own_edits(),
    };
    let message = named
        .as_ref()
        .map_or(&plan.message, |named| &named.seal.commit.message);
    let draft = decide::draft(
        session.repo,
        plan,
        &edits,
        message,
        named.as_ref().map(|named| &named.name),
        &libraries,
    )?;
    match decide::decide(remote, branch, &draft, session.stop)? {
        Decided::Moved(why) => {
            tracing::info!("{why}");
            Ok(None)
        }
        Decided::Ours => {
            deeds.note(
                Stage::Decide,
                format!(
                    "{} on {branch}, {}",
                    draft.commit.short(),
                    plan.tags
                        .iter()
                        .map(TagName::as_str)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                Outcome::Done,
            );
            let tags: Vec<crate::local::git::Tag> = draft
                .tags
                .iter()
                .map(|(name, object)| crate::local::git::Tag {
                    name: name.clone(),
                    object: object.clone(),
                })
                .collect();
            session
                .repo
                .note_remote(&session.settings.remote, branch, &draft.commit, &tags)?;
            Ok(Some(Decision::Made(Box::new(Made {
                commit: draft.commit,
                seal: named,
                packed,
            }))))
        }
    }
}

/// Finishes a release that is decided already; every step that is done is found done.
async fn finish_earlier(
    session: &Session<'_>,
    _remote: &Remote<'_>,
    branch: &str,
    commit: &CommitId,
    decision: &decisions::Decision,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    match (&decision.seal, session.remotes.store.as_deref()) {
        (Some(name), Some(store)) => {
            let named = seal::read(store, name).await?;
            let complete = named
                .seal
                .tags
                .iter()
                .all(|tag| decision.tags.iter().any(|known| known.as_str() == tag));
            let parent = session.repo.parent(commit)?;
            let based = named.seal.base == commit.as_str()
                || parent.is_some_and(|parent| parent.as_str() == named.seal.base);
            if !complete || !based {
                return Err(Failure::new(Exit::Integrity, "release::forged", format!("the tags of {} name a seal that does not fit them", commit.short())).because("a decision needs every tag of its seal on one commit, and that commit must be made on the seal's base").hint("find out who pushed these tags"));
            }
            finish_sealed(session, branch, commit, &named, None, deeds).await
        }
        (Some(name), None) => Err(Failure::new(
            Exit::Usage,
            "release::store_needed",
            format!(
                "the release {} was sealed in a store ({}), and no store is set",
                commit.short(),
                name.key
            ),
        )
        .hint("set `store` to the store it was made with")),
        (None, _) => finish_earlier_unsealed(session, branch, commit, decision, deeds).await,
    }
}

struct Sealed<'a> {
    store: &'a dyn crate::remote::store::Store,
    digests: BTreeMap<PackageName, (Digest, u64)>,
    packed: Option<Arc<Packed>>,
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Sealed<'_> {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let Some((digest, size)) = self.digests.get(&package.name) else {
            return Err(Failure::new(
                Exit::Integrity,
                "seal::package",
                format!("the seal does not hold {}", package.name),
            ));
        };
        if let Some(local) = self
            .packed
            .as_deref()
            .and_then(|packed| seal::local_bytes(packed, digest, *size))
        {
            return local;
        }
        seal::blob(self.store, digest, *size).await
    }
}

async fn finish_sealed(
    session: &Session<'_>,
    branch: &str,
    commit: &CommitId,
    named: &Named,
    packed: Option<Arc<Packed>>,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let Some(store) = session.remotes.store.as_deref() else {
        return Err(Failure::new(
            Exit::Usage,
            "release::store_needed",
            "a sealed release needs its store",
        ));
    };
    let id = session.release_id(commit)?;
    let recorded = record::read(store, &id).await?;
    let waves = sealed_waves(session, commit, named)?;
    let digests = named
        .seal
        .packages
        .iter()
        .map(|package| {
            Ok((
                PackageName::parse(&package.name)?,
                (Digest::parse(&package.digest)?, package.size),
            ))
        })
        .collect::<Result<_, Failure>>()?;
    let packages: Vec<DecidedPackage> = waves.iter().flatten().cloned().collect();
    let manifests = app_manifests(session, commit, named)?;
    if recorded.is_none() {
        let delivering = Delivering {
            registry: session.remotes.registry.as_ref(),
            commit,
            sealed: true,
            waves: &waves,
            settings: session.settings,
            stop: session.stop,
        };
        publish::publish(
            &delivering,
            &Sealed {
                store,
                digests,
                packed,
            },
            deeds,
        )
        .await?;
        publish::verify(&delivering, deeds).await?;
        let manifest = release_manifest(session, branch, commit, named, &packages)?;
        record::record(store, &manifests, &manifest, session.stop, deeds).await?;
    }
    let mut released = session.released(commit, &named.seal.base, &packages, &named.seal.apps)?;
    released.manifest = Some(crate::release::layout::release(&id).to_string());
    if recorded.is_none_or(|recorded| recorded.status == Status::Complete) {
        released.pointers =
            crate::commands::point::automatic(session, commit, &manifests, deeds).await?;
        tell(session, &released, deeds).await;
    }
    Ok(released)
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

fn in_waves(
    session: &Session<'_>,
    commit: &CommitId,
    mut packages: BTreeMap<PackageName, DecidedPackage>,
) -> Result<Vec<Vec<DecidedPackage>>, Failure> {
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    let workspace = observe::workspace_at(session.repo, commit, session.settings)?;
    let names: Vec<PackageName> = packages.keys().cloned().collect();
    let place = |index: usize| {
        names
            .iter()
            .position(|name| *name == workspace.packages[index].name)
    };
    let dependencies: Vec<(usize, usize)> = workspace
        .edges()?
        .iter()
        .filter(|edge| {
            edge.field != crate::workspace::package_json::DependencyField::DevDependencies
        })
        .filter_map(|edge| Some((place(edge.from?)?, place(edge.to)?)))
        .collect();
    let waves = crate::workspace::graph::waves(names.len(), &dependencies);
    Ok(waves
        .into_iter()
        .map(|wave| {
            wave.into_iter()
                .filter_map(|number| packages.remove(&names[number]))
                .collect()
        })
        .collect())
}

fn app_manifests(
    session: &Session<'_>,
    commit: &CommitId,
    named: &Named,
) -> Result<Vec<AppManifest>, Failure> {
    let id = session.release_id(commit)?;
    let committed_at = crate::report::moment(session.repo.committed_at(commit)?);
    Ok(named
        .seal
        .apps
        .iter()
        .map(|app: &SealedApp| AppManifest {
            schema: crate::release::app::SCHEMA.to_owned(),
            app: app.name.clone(),
            version: app.version.clone(),
            variant: app.variant.clone(),
            release: id.to_string(),
            git: Git {
                repository: session.repository_name(),
                commit: commit.to_string(),
                tag: named
                    .seal
                    .tags
                    .iter()
                    .find(|tag| tag.starts_with(&format!("{}@", app.name)))
                    .or_else(|| named.seal.tags.first())
                    .cloned()
                    .unwrap_or_default(),
                committed_at: committed_at.clone(),
            },
            build: app.build.clone(),
            runtime: app.runtime.clone(),
            archive: app.archive.clone(),
            alternatives: Vec::new(),
            files: app.files.clone(),
            static_files: app.static_files.clone(),
            scripts: app.scripts.clone(),
        })
        .collect())
}

fn release_manifest(
    session: &Session<'_>,
    branch: &str,
    commit: &CommitId,
    named: &Named,
    packages: &[DecidedPackage],
) -> Result<ReleaseManifest, Failure> {
    let mut apps: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for app in &named.seal.apps {
        apps.entry((app.name.clone(), app.version.clone()))
            .or_default()
            .push(app.variant.clone());
    }
    let registry = session.remotes.registry.describe();
    Ok(ReleaseManifest {
        schema: manifest::SCHEMA.to_owned(),
        id: session.release_id(commit)?.to_string(),
        status: Status::Complete,
        base: named.seal.base.clone(),
        commit: commit.to_string(),
        branch: branch.to_owned(),
        tags: named.seal.tags.clone(),
        seal: named.name.key.clone(),
        packages: packages
            .iter()
            .map(|package| RecordedPackage {
                name: package.name.to_string(),
                version: package.version.to_string(),
                integrity: package.integrity.to_string(),
                registry: registry.clone(),
            })
            .collect(),
        apps: apps
            .into_iter()
            .map(|((name, version), variants)| RecordedApp {
                name,
                version,
                variants,
            })
            .collect(),
        previous: decisions::before(session.repo, commit)?
            .map(|commit| session.release_id(&commit))
            .transpose()?
            .map(|id| id.to_string()),
        reason: None,
    })
}

/// Tarballs that were built on this machine.
struct Built(Arc<Packed>);

#[async_trait::async_trait(?Send)]
impl Tarballs for Built {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let built = self
            .0
            .packages
            .iter()
            .find(|built| built.name == package.name);
        match built.and_then(|built| seal::local_bytes(&self.0, &built.digest, built.size)) {
            Some(bytes) => bytes,
            None => Err(Failure::new(
                Exit::Integrity,
                "build::lost",
                format!("{} was not built", package.name),
            )),
        }
    }
}

/// Tarballs of a decided release without a seal, built only when one is missing on the registry.
struct Rebuilt<'a, 'b> {
    session: &'a Session<'b>,
    commit: &'a CommitId,
    built: tokio::sync::OnceCell<Arc<Packed>>,
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Rebuilt<'_, '_> {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let built = self
            .built
            .get_or_try_init(|| async {
                tokio::task::block_in_place(|| {
                    crate::commands::rebuild::rebuild(self.session, self.commit)
                })
                .map(Arc::new)
            })
            .await?;
        Built(Arc::clone(built)).bytes(package).await
    }
}

async fn finish_unsealed(
    session: &Session<'_>,
    branch: &str,
    commit: &CommitId,
    observed: &Observed,
    plan: &Plan,
    packed: Option<Arc<Packed>>,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let Some(packed) = packed else {
        return Err(Failure::new(
            Exit::Integrity,
            "build::lost",
            "the release was decided without being built",
        ));
    };
    let _ = (branch, observed);
    let packages = packed.packages.iter().map(|package| {
        let dist_tag = plan
            .packages
            .iter()
            .find(|planned| planned.name == package.name)
            .and_then(|planned| planned.dist_tag.clone())
            .unwrap_or_else(|| "latest".to_owned());
        (
            package.name.clone(),
            DecidedPackage {
                name: package.name.clone(),
                version: package.version.clone(),
                dist_tag,
                integrity: package.integrity.clone(),
            },
        )
    });
    deliver_unsealed(
        session,
        commit,
        packages.collect(),
        &Built(Arc::clone(&packed)),
        deeds,
    )
    .await
}

async fn finish_earlier_unsealed(
    session: &Session<'_>,
    _branch: &str,
    commit: &CommitId,
    decision: &decisions::Decision,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let workspace = observe::workspace_at(session.repo, commit, session.settings)?;
    let mut packages = BTreeMap::new();
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
        let dist_tag = planning::dist_tag(&version, package, session.settings);
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
    let tarballs = Rebuilt {
        session,
        commit,
        built: tokio::sync::OnceCell::new(),
    };
    deliver_unsealed(session, commit, packages, &tarballs, deeds).await
}

async fn deliver_unsealed(
    session: &Session<'_>,
    commit: &CommitId,
    packages: BTreeMap<PackageName, DecidedPackage>,
    tarballs: &dyn Tarballs,
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let listed: Vec<DecidedPackage> = packages.values().cloned().collect();
    let waves = in_waves(session, commit, packages)?;
    let delivering = Delivering {
        registry: session.remotes.registry.as_ref(),
        commit,
        sealed: false,
        waves: &waves,
        settings: session.settings,
        stop: session.stop,
    };
    publish::publish(&delivering, tarballs, deeds).await?;
    publish::verify(&delivering, deeds).await?;
    let parent = session
        .repo
        .parent(commit)?
        .filter(|_| session.repo.is_made_by_us(commit));
    let base = parent.as_ref().unwrap_or(commit).as_str();
    let released = session.released(commit, base, &listed, &[])?;
    tell(session, &released, deeds).await;
    Ok(released)
}

/// TELL: forge releases. Repeatable, never decisive: a failure is noted and the release is still complete.
async fn tell(session: &Session<'_>, released: &Released, deeds: &mut Deeds) {
    let Some(forge) = session
        .remotes
        .forge
        .as_deref()
        .filter(|_| session.settings.forge_release)
    else {
        return;
    };
    let tags: BTreeSet<&TagName> = released
        .packages
        .iter()
        .map(|package| &package.tag)
        .collect();
    for tag in tags {
        let packages: Vec<&crate::report::release::ReleasedPackage> = released
            .packages
            .iter()
            .filter(|package| package.tag == *tag)
            .collect();
        let is_prerelease = packages.iter().any(|package| package.to.is_prerelease());
        let body = crate::report::summary::forge_body(released, &packages);
        let outcome = match forge
            .ensure_release(tag, tag.as_str(), &body, is_prerelease, false)
            .await
        {
            Ok(crate::remote::forge::github::Told::Done(_)) => Outcome::Done,
            Ok(_) => Outcome::AlreadyDone,
            Err(failure) => Outcome::Failed(failure),
        };
        deeds.note(Stage::Tell, tag.to_string(), outcome);
    }
}
