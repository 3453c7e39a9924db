//! `release`: read, decide, do, tell. There is no journal: what an earlier run left is read from tags, seals, registry and manifests,
//! and finished first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use globset::GlobMatcher;

use crate::apply::artifacts;
use crate::apply::build::{self, Packed};
use crate::apply::decide::{self, Decided, Draft};
use crate::apply::outcome::{Deeds, Outcome, Stage};
use crate::apply::seal::{self, Named};
use crate::changes::commit::release_as;
use crate::commands::finish::Own;
use crate::commands::observe::{self, Observed};
use crate::commands::preflight::{Checked, Ready};
use crate::commands::scene::Scene;
use crate::commands::{Session, decisions, finish, preflight, ranges};
use crate::explain::{Exit, Failure, size};
use crate::local::git::{FileAt, FileEdit, Repo, Tag};
use crate::local::worktree;
use crate::name::{CommitId, Digest, Integrity, PackageName, RepoPath};
use crate::plan::next::Position;
use crate::plan::provenance::Foreseen;
use crate::plan::release::{self as planning, Plan};
use crate::plan::render::{self, PlanDocument};
use crate::plan::replacements::Unread;
use crate::plan::{notes, registry, replacements, trusted};
use crate::report::release::{Ended, ReleaseReport};
use crate::settings::Settings;
use crate::version::Version;
use crate::workspace::{Workspace, below};

/// How often a run judges again because something moved meanwhile.
pub(super) const ROUNDS: usize = 5;

/// Releases what changed, after finishing what an earlier run decided. When it fails half-way, the report says what is done and what is not.
pub async fn release(session: &Session<'_>) -> Result<ReleaseReport, Failure> {
    let started = session.repo.head()?;
    require_push(session)?;
    let mut deeds = Deeds::default();
    let mut proven = false;
    for _ in 0..ROUNDS {
        match attempt(session, &started, &mut deeds, &mut proven, None).await {
            Ok(Some(report)) => return Ok(report.with(deeds)),
            Ok(None) => tracing::info!("the remote moved meanwhile: judging again"),
            Err(failure) if deeds.is_empty() => return Err(failure),
            Err(failure) => return Ok(ReleaseReport::new(Ended::Failed(failure)).with(deeds)),
        }
    }
    Ok(ReleaseReport::new(Ended::Failed(contended())).with(deeds))
}

/// The remote did not hold still in any round.
pub(super) fn contended() -> Failure {
    Failure::new(
        Exit::Temporary,
        "release::contended",
        "the remote kept moving while this run tried to decide",
    )
    .hint("run again")
}

/// A release publishes what is decided for everybody, so its decision is pushed.
fn require_push(session: &Session<'_>) -> Result<(), Failure> {
    if session.settings.push {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "release::needs_push",
        "`push` is false, and `release` decides by its push",
    )
    .hint("leave `push` out; or decide here with `version`, push branch and tags, then `publish`"))
}

/// One round, whose deeds go to `deeds`; `None` when a ref moved before the decision. `told` is what the plan says besides.
async fn attempt(
    session: &Session<'_>,
    started: &CommitId,
    deeds: &mut Deeds,
    proven: &mut bool,
    told: Option<planning::Notice>,
) -> Result<Option<ReleaseReport>, Failure> {
    let scene = Scene::read(session)?;
    let earlier = finish::earlier(session, &scene, deeds).await?;
    if let Some(waiting) = earlier.as_ref().filter(|earlier| earlier.is_pending()) {
        let report = ReleaseReport::new(Ended::Pending);
        return Ok(Some(report.released(Some(waiting.clone()))));
    }
    // Outputs speak of the release at the commit that this run was started for, not of a newer one.
    let own = earlier.filter(|release| {
        let at_tip = scene.position != Position::Superseded && release.commit == scene.tip;
        at_tip || release.stands_at(started)
    });
    let or = |ended| {
        if own.is_some() {
            Ended::Released
        } else {
            ended
        }
    };
    if scene.position == Position::Superseded && !scene.merges {
        worktree::put_back(session.repo, started, &session.settings.child_environment)?;
        if own.is_none() {
            scene.require_newest(session)?;
        }
        let ended = or(Ended::Superseded {
            tip: scene.tip.clone(),
            conflict: None,
        });
        return Ok(Some(ReleaseReport::new(ended).released(own)));
    }
    scene.move_to_tip(session)?;
    let head = session.repo.head()?;
    worktree::require_clean(session.repo, &head, &session.settings.child_environment)?;
    if !session.settings.dry_run {
        let tagged = session.repo.tagged()?;
        decisions::remove_left_behind(session.repo, &tagged, &scene.tip, Some(scene.tags()))?;
    }
    let (observed, mut plan) = plan_at(session, scene.planned(), true).await?;
    plan.warnings.extend(told);
    if plan.packages.is_empty() {
        let document = render::document(&plan, session.settings, Vec::new());
        let report = ReleaseReport::new(or(Ended::Nothing)).planned(plan, document);
        return Ok(Some(report.released(own)));
    }
    if let Some(conflict) = conflict(session, &scene, &plan)? {
        let ended = or(Ended::Superseded {
            tip: scene.tip.clone(),
            conflict: Some(conflict),
        });
        return Ok(Some(ReleaseReport::new(ended).released(own)));
    }
    let given = session.settings.artifacts.as_deref();
    let given = given.map(|given| {
        // Before the registry has its say about dist-tags, which a job that packs does not ask.
        let digest = render::document(&plan, session.settings, Vec::new()).digest;
        artifacts::read(given, &plan, &digest, session.settings)
    });
    let given = given.transpose()?;
    let workspace = &observed.workspace;
    let ready = match preflight::preflight(session, &scene, workspace, plan, proven).await {
        // What another run released meanwhile is no obstacle: it is what this run was to do.
        Err(_) if scene.has_moved() => return Ok(None),
        Err(failure) => return Err(failure),
        Ok(Checked::Ready(ready)) => *ready,
        Ok(Checked::Without(names)) => {
            let again = without(session, workspace, &names)?;
            let (settings, notice) = (&again.0, Some(again.1));
            let session = Session {
                settings,
                ..*session
            };
            let again = Box::pin(attempt(&session, started, deeds, proven, notice)).await;
            return again.map_err(cannot_leave_out);
        }
    };
    let Ready {
        mut plan,
        provenance,
    } = ready;
    let document = render::document(&plan, session.settings, Vec::new());
    (session.say)(&render::text(&plan, &[], &Foreseen::default()));
    let bytes = bytes(session, &scene, &observed, &plan, &document, given, deeds).await?;
    plan.warnings.extend(bytes.notices().iter().cloned());
    let document = render::document(&plan, session.settings, Vec::new());
    if session.settings.dry_run {
        return Ok(Some(
            ReleaseReport::new(Ended::Planned).planned(plan, document),
        ));
    }
    let Some(commit) = decide(session, &scene, &plan, &bytes, deeds).await? else {
        return Ok(None);
    };
    let own = Own {
        plan: &plan,
        provenance: &provenance,
    };
    let released = match bytes {
        Bytes::Sealed { named, packed } => {
            let own = Some((own, packed));
            finish::sealed(session, &scene.branch, &commit, &named, own, deeds).await?
        }
        Bytes::Loose(packed) => {
            finish::unsealed(session, &scene.branch, &commit, own, packed, deeds).await?
        }
    };
    let ended = if released.is_pending() {
        Ended::Pending
    } else {
        Ended::Released
    };
    let report = ReleaseReport::new(ended).planned(plan, document);
    Ok(Some(report.released(Some(released))))
}

/// The settings that leave out new names and what depends on them, and how that is told.
fn without(
    session: &Session<'_>,
    workspace: &Workspace,
    names: &BTreeSet<PackageName>,
) -> Result<(Settings, planning::Notice), Failure> {
    let list = |names: &mut dyn Iterator<Item = &PackageName>| {
        let names: Vec<&str> = names.map(PackageName::as_str).collect();
        names.join(", ")
    };
    let all = trusted::with_dependents(workspace, names)?;
    let others = list(&mut all.difference(names));
    let others = if others.is_empty() {
        String::new()
    } else {
        format!(", nor is what depends on them: {others}")
    };
    let message = format!(
        "not on the registry yet, so not released, as first-publish says: {}{others}",
        list(&mut names.iter())
    );
    tracing::warn!("{message}");
    let mut settings = session.settings.clone();
    settings
        .filter
        .extend(all.iter().map(|name| format!("!{name}")));
    let code = "npm::left_out";
    Ok((settings, planning::Notice { code, message }))
}

/// What a plan that cannot do without new names is refused with.
fn cannot_leave_out(failure: Failure) -> Failure {
    if !matches!(failure.code(), "plan::filter" | "artifacts::other_plan") {
        return failure;
    }
    let what = "first-publish is skip, and new names cannot be left out here";
    Failure::new(Exit::Usage, "npm::new_name", what)
        .because(failure)
        .hint("publish them once, with first-publish allow and a token that may, or name the packages to release with `filter`, in every job")
}

/// A file that the release would change and that others changed as well, where the two are to be merged.
fn conflict(
    session: &Session<'_>,
    scene: &Scene<'_>,
    plan: &Plan,
) -> Result<Option<String>, Failure> {
    if !scene.merges || plan.edits.is_empty() {
        return Ok(None);
    }
    let repo = session.repo;
    let commit = repo.make_commit(&plan.head, &own_edits(plan), &plan.message)?;
    Ok(repo.merge_release(&scene.tip, &commit)?.err())
}

/// The plan at a commit, of packages that npm could take and people install. With `strict`, a registry that does not answer is an error; else a warning.
pub async fn plan_at(
    session: &Session<'_>,
    head: &CommitId,
    strict: bool,
) -> Result<(Observed, Plan), Failure> {
    let (observed, unasked) = observed_at(session, head, strict).await?;
    let facts = observed.facts(session.repo, session.settings, false)?;
    let mut plan = planning::plan(&facts, session.settings)?;
    plan.warnings.extend(unasked);
    plan.warnings.extend(asked_of_nobody(session.repo, head)?);
    complete(session, &observed, &mut plan, strict).await?;
    Ok((observed, plan))
}

/// A version that the newest commit asks for while it changes nothing: no package can be meant.
fn asked_of_nobody(repo: &Repo, head: &CommitId) -> Result<Option<planning::Notice>, Failure> {
    let Some(parent) = repo.parent(head)? else {
        return Ok(None);
    };
    let changes_nothing = repo.tree_id(head)? == repo.tree_id(&parent)?;
    if !changes_nothing || release_as(&repo.body(head)?).is_none() {
        return Ok(None);
    }
    Ok(Some(planning::Notice {
        code: "plan::release_as",
        message: format!(
            "{} says Release-As and changes no file, so it is about no package: say it in a commit that does, or give `bump` the version",
            head.short()
        ),
    }))
}

/// Adds to a plan what is made of its versions, and refuses one of packages that npm could not take or nobody install. `strict` is that of
/// [`plan_at`].
pub(super) async fn complete(
    session: &Session<'_>,
    observed: &Observed,
    plan: &mut Plan,
    strict: bool,
) -> Result<(), Failure> {
    add_texts(session, observed, plan)?;
    registry::require_publishable(&observed.workspace, plan, session.settings)?;
    ranges::check(session, observed, plan, strict).await
}

/// Adds to the edits of a plan what it writes into changelogs, of which a snapshot has none, and what it replaces in further files.
fn add_texts(session: &Session<'_>, observed: &Observed, plan: &mut Plan) -> Result<(), Failure> {
    if !plan.is_snapshot {
        let head = plan.head.clone();
        let root = &observed.workspace.directory;
        let found = |directories: &[&RepoPath]| changelogs_in(session.repo, &head, directories);
        let changelogs = notes::changelogs(plan, session.settings.changelog, root, found)?;
        let changelogs = changelogs.into_iter();
        plan.edits
            .extend(changelogs.map(|(path, text)| (path, Some(text))));
    }
    replace(session, observed, plan)?;
    plan.edits.sort();
    Ok(())
}

/// Adds to the edits of a plan what it replaces in further files.
fn replace(session: &Session<'_>, observed: &Observed, plan: &mut Plan) -> Result<(), Failure> {
    let (repo, head) = (session.repo, &plan.head);
    let workspace = &observed.workspace;
    let like = |glob: &GlobMatcher| {
        let path = |text: &str| RepoPath::parse(text).ok();
        let inside = |text: &str| below(&workspace.directory, &path(text)?);
        repo.files_like(
            head,
            |text| inside(text).is_some_and(|inside| glob.is_match(inside.as_str())),
            |text| {
                let directory = path(text);
                directory.is_some_and(|directory| {
                    directory.is_below(&workspace.directory)
                        || workspace.directory.is_below(&directory)
                })
            },
        )
    };
    let read = |path: &RepoPath| {
        let why = match repo.file_at(head, path, replacements::LONGEST)? {
            FileAt::Content(bytes) => {
                let converting = repo.converting_attribute(path)?;
                return Ok(converting.map_or(Ok(bytes), |one| Err(Unread::Attribute(one))));
            }
            FileAt::Absent => "there is no such file",
            FileAt::NotAFile => "it is a link or a directory",
            FileAt::TooLong => "it is longer than 8 MiB",
        };
        Ok(Err(Unread::Because(why)))
    };
    let edits = replacements::edits(plan, workspace, session.settings, like, read)?;
    plan.edits.extend(edits);
    Ok(())
}

/// Everything that a plan at a commit is made from, the registry asked, and warnings of what it did not answer. `strict` is that of [`plan_at`].
pub async fn observed_at(
    session: &Session<'_>,
    head: &CommitId,
    strict: bool,
) -> Result<(Observed, Vec<planning::Notice>), Failure> {
    let mut observed = observe::observe(session.repo, head, session.settings)?;
    session.look_at(&observed.workspace);
    let mut unasked = Vec::new();
    let untagged: Vec<(usize, PackageName)> = observed
        .untagged()
        .into_iter()
        .map(|(index, name)| (index, name.clone()))
        .collect();
    // One that goes nowhere is refused where it is released.
    let goes =
        |(_, name): &&(usize, PackageName)| session.remotes.registry.destination(name).is_ok();
    let untagged: Vec<&(usize, PackageName)> = untagged.iter().filter(goes).collect();
    let answers = session.asked(untagged.iter().map(|(_, name)| name)).await;
    for ((index, name), (_, answer)) in untagged.into_iter().zip(answers) {
        match answer {
            Ok(None) => {}
            Ok(Some(published)) => {
                let versions = published.versions.iter();
                let highest = versions
                    .filter_map(|(version, known)| Some((Version::parse(version).ok()?, known)))
                    .filter(|(version, _)| !version.is_snapshot() && !is_placeholder(version))
                    .max_by(|left, right| left.0.cmp(&right.0));
                if let Some((version, known)) = highest {
                    observed.was_published(*index, version, known.git_head.as_deref())?;
                }
            }
            Err(error) if strict => return Err(error.into()),
            Err(error) => unasked.push(planning::Notice {
                code: "plan::registry_unasked",
                message: format!(
                    "{name} has no tag, and the registry could not be asked whether it was published before: {error}"
                ),
            }),
        }
    }
    Ok((observed, unasked))
}

/// Whether a version is the one that npm itself makes of [a name that is only staged yet](https://docs.npmjs.com/staged-publishing).
fn is_placeholder(version: &Version) -> bool {
    version.to_string() == "0.0.0-stage"
}

/// The changelog of each directory at a commit: where it is, or would be made, and its text.
fn changelogs_in(
    repo: &Repo,
    commit: &CommitId,
    directories: &[&RepoPath],
) -> Result<Vec<(RepoPath, Option<String>)>, Failure> {
    let refused = |path: &RepoPath, why: &str| {
        let what = format!("the notes of the release cannot be written to {path}");
        Failure::new(Exit::Refused, "plan::changelog", what)
            .because(why)
            .hint("make it a file of UTF-8 text, or set changelog to none")
    };
    let found = repo.first_in_each(commit, directories, &notes::FILES)?;
    let each = directories.iter().zip(found);
    each.map(|(directory, found)| match found {
        None => Ok((directory.join(notes::FILE)?, None)),
        Some((path, None)) => Err(refused(&path, "it is a link or a directory")),
        Some((path, Some(bytes))) => match String::from_utf8(bytes) {
            Ok(text) => Ok((path, Some(text))),
            Err(_) => Err(refused(&path, "it is not UTF-8 text")),
        },
    })
    .collect()
}

/// The bytes of a release before it is decided.
enum Bytes {
    /// In the store, fixed by a seal.
    Sealed {
        /// The seal.
        named: Box<Named>,
        /// The same bytes on this machine, where they were built here.
        packed: Option<Arc<Packed>>,
    },
    /// On this machine alone: there is no store, or this is a dry run.
    Loose(Arc<Packed>),
}

/// BUILD and SEAL: the seal of an earlier run where there is one, else what was `given`, else what this run builds.
async fn bytes(
    session: &Session<'_>,
    scene: &Scene<'_>,
    observed: &Observed,
    plan: &Plan,
    document: &PlanDocument,
    given: Option<Packed>,
    deeds: &mut Deeds,
) -> Result<Bytes, Failure> {
    let store = session
        .remotes
        .store
        .as_deref()
        .filter(|_| !session.settings.dry_run);
    if let Some(store) = store
        && let Some(named) = seal::adopt(
            store,
            &plan.head,
            &Digest::parse(&document.digest)?,
            session.settings.now,
        )
        .await?
    {
        tracing::info!("adopting the seal of an earlier run: nothing is built again");
        deeds.note(Stage::Seal, named.name.short(), Outcome::AlreadyDone);
        let named = Box::new(named);
        return Ok(Bytes::Sealed {
            named,
            packed: None,
        });
    }
    scene.require_tip(session)?;
    let packed = match given {
        Some(given) => given,
        None => tokio::task::block_in_place(|| {
            build::build(
                session.repo,
                plan,
                &observed.workspace,
                session.settings,
                session.children.clone(),
            )
        })?,
    };
    let packed = Arc::new(packed);
    let Some(store) = store else {
        if session.settings.dry_run {
            note_planned(&packed, deeds);
        }
        return Ok(Bytes::Loose(packed));
    };
    let commit = session
        .repo
        .make_commit(&plan.head, &own_edits(plan), &plan.message)?;
    let described = seal::describe(plan, document, session.repo.tree_id(&commit)?, &packed);
    let sealing = seal::Sealing {
        concurrency: session.settings.max_concurrency * crate::apply::UPLOADS,
        stop: session.stop,
        now: session.settings.now,
    };
    let sealed = seal::seal(store, &described, plan, &packed, &sealing);
    let (named, ours, sent) = sealed.await?;
    let outcome = if ours {
        Outcome::Done
    } else {
        Outcome::AlreadyDone
    };
    let about = format!("{} ({sent})", named.name.short());
    deeds.note(Stage::Seal, about, outcome);
    Ok(Bytes::Sealed {
        named: Box::new(named),
        packed: Some(packed),
    })
}

/// The edits of a plan, as a commit takes them.
pub(super) fn own_edits(plan: &Plan) -> Vec<FileEdit> {
    let edits = plan.edits.iter();
    edits
        .map(|(path, text)| (path.clone(), text.clone().map(String::into_bytes)))
        .collect()
}

/// What a dry run would have written, with sizes and digests.
pub(super) fn note_planned(packed: &Packed, deeds: &mut Deeds) {
    for package in &packed.packages {
        let about = format!(
            "{}@{} ({}, {} files, {})",
            package.name,
            package.version,
            size(package.size),
            package.files.len(),
            package.integrity
        );
        deeds.note(Stage::Publish, about, Outcome::Planned);
    }
    for app in &packed.apps {
        let archive = app.archive.as_ref().map_or_else(
            || "no archive".to_owned(),
            |archive| format!("{}, {}", size(archive.size), archive.digest),
        );
        let about = format!("{} {} ({}; {archive})", app.name, app.version, app.variant);
        deeds.note(Stage::Record, about, Outcome::Planned);
    }
}

impl Bytes {
    /// What building them showed.
    fn notices(&self) -> &[planning::Notice] {
        match self {
            Bytes::Sealed {
                packed: Some(packed),
                ..
            }
            | Bytes::Loose(packed) => &packed.notices,
            Bytes::Sealed { packed: None, .. } => &[],
        }
    }

    /// Each library's integrity.
    fn libraries(&self) -> Result<BTreeMap<PackageName, Integrity>, Failure> {
        match self {
            Bytes::Sealed { named, .. } => {
                let packages = named.seal.packages.iter();
                packages
                    .map(|package| {
                        let name = PackageName::parse(&package.name)?;
                        Ok((name, Integrity::parse(&package.integrity)?))
                    })
                    .collect()
            }
            Bytes::Loose(packed) => {
                let packages = packed.packages.iter();
                Ok(packages
                    .map(|package| (package.name.clone(), package.integrity.clone()))
                    .collect())
            }
        }
    }
}

/// What the branch's tip becomes where others pushed since: a merge of both, or the same where the release edits nothing. `None`: both changed
/// a file, which the next round tells.
fn merged(
    session: &Session<'_>,
    scene: &Scene<'_>,
    commit: &CommitId,
) -> Result<Option<CommitId>, Failure> {
    if *commit == scene.head {
        return Ok(Some(scene.tip.clone()));
    }
    Ok(session.repo.merge_release(&scene.tip, commit)?.ok())
}

/// DECIDE. `None` when a ref moved first.
async fn decide(
    session: &Session<'_>,
    scene: &Scene<'_>,
    plan: &Plan,
    bytes: &Bytes,
    deeds: &mut Deeds,
) -> Result<Option<CommitId>, Failure> {
    let (edits, message, seal) = match (bytes, session.remotes.store.as_deref()) {
        (Bytes::Sealed { named, .. }, Some(store)) => {
            let edits = decide::sealed_edits(store, &named.seal).await?;
            (edits, &named.seal.commit.message, Some(&named.name))
        }
        _ => (own_edits(plan), &plan.message, None),
    };
    let libraries = bytes.libraries()?;
    let repo = session.repo;
    let is_released = decisions::is_released(repo, &plan.head)?;
    let mut draft = decide::draft(repo, plan, &edits, message, seal, &libraries, is_released)?;
    if scene.merges {
        let Some(merge) = merged(session, scene, &draft.commit)? else {
            return Ok(None);
        };
        draft.tip = scene.tip.clone();
        draft.new_tip = merge;
    }
    push(session, scene, draft, deeds)
}

/// Pushes a draft, and notes here what the remote holds then. `None` when a ref moved first.
pub(super) fn push(
    session: &Session<'_>,
    scene: &Scene<'_>,
    draft: Draft,
    deeds: &mut Deeds,
) -> Result<Option<CommitId>, Failure> {
    if let Decided::Moved(why) = decide::decide(&scene.remote, &scene.branch, &draft, session.stop)?
    {
        tracing::info!("{why}");
        return Ok(None);
    }
    let names: Vec<&str> = draft.tags.iter().map(|(name, _)| name.as_str()).collect();
    let about = format!(
        "{} on {}, {}",
        draft.commit.short(),
        scene.branch,
        names.join(", ")
    );
    deeds.note(Stage::Decide, about, Outcome::Done);
    let tags: Vec<Tag> = draft
        .tags
        .into_iter()
        .map(|(name, object)| Tag { name, object })
        .collect();
    let remote = &session.settings.remote;
    session
        .repo
        .note_remote(remote, &scene.branch, &draft.new_tip, &tags)?;
    Ok(Some(draft.commit))
}
