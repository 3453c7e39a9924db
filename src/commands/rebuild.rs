//! Building a decided release again, where no store kept its bytes: in this checkout when it stands at the release or its base, else in a clean clone.

use std::path::Path;

use crate::apply::artifacts;
use crate::apply::build::{Packed, build};
use crate::commands::Session;
use crate::explain::{Exit, Failure, quoted};
use crate::local::git::Repo;
use crate::local::scratch::Scratch;
use crate::local::worktree;
use crate::name::{CommitId, PackageName};
use crate::plan::next::Marked;
use crate::plan::pack::other_packages;
use crate::plan::release::{Base, Plan, PlannedPackage, dist_tag};
use crate::settings::{Mode, NpmPublish};
use crate::workspace::Workspace;
use crate::workspace::package::Kind;

/// Packs every library of the release at `commit`; where artifacts were given, these are taken, and nothing is built.
pub fn rebuild(session: &Session<'_>, commit: &CommitId) -> Result<Packed, Failure> {
    if let Some(given) = &session.settings.artifacts {
        return given_for(session, commit, given);
    }
    let workspace = session.workspace_at(commit)?;
    let mut plan = as_it_stands(session, commit, &workspace)?;
    let head = session.repo.head()?;
    let here = if head == *commit {
        Some(Vec::new())
    } else if session.repo.parent(commit)?.as_ref() == Some(&head) {
        session.repo.texts_changed(&head, commit)?
    } else {
        None
    };
    if let Some(edits) = here {
        worktree::require_clean(session.repo, &head, &session.settings.child_environment)?;
        tracing::info!("building {} again in this checkout", commit.short());
        plan.edits = edits;
        return build_in(session.repo, &plan, &workspace, session);
    }
    tracing::info!("building {} again in a clean clone", commit.short());
    let directory = Scratch::new()?;
    let clone = session
        .repo
        .clone_at(commit, &directory.path().join("clone"))?;
    build_in(&clone, &plan, &workspace, session)
}

/// The artifacts that were packed for the release at `commit`: at its base, or at the commit itself, its libraries at the decided versions.
fn given_for(session: &Session<'_>, commit: &CommitId, given: &Path) -> Result<Packed, Failure> {
    let pack = artifacts::document(given)?;
    let workspace = session.workspace_at(commit)?;
    let decided = as_it_stands(session, commit, &workspace)?;
    let base = session.repo.release_base(commit)?;
    let at = pack.base.as_deref().unwrap_or("no commit");
    let why = if ![&base, commit].iter().any(|one| one.as_str() == at) {
        Some(format!(
            "it was packed at {at}, and the release was made on {base}"
        ))
    } else if pack.plan_digest.is_none() {
        Some("it was packed without --planned".to_owned())
    } else {
        other_packages(&pack, &decided)
    };
    match why {
        Some(why) => Err(other_release(given, commit, why)),
        None => artifacts::taken(given, &pack, session.settings),
    }
}

/// That artifacts are not those of a decided release.
pub fn other_release(given: &Path, commit: &CommitId, why: String) -> Failure {
    let what = format!(
        "{} was not packed for the release {}, which is not delivered yet",
        quoted(&given.display().to_string()),
        commit.short()
    );
    Failure::new(Exit::Refused, "artifacts::other_release", what)
        .because(why)
        .hint("run again with the artifacts of that release; or leave `artifacts` out once: what is missing is then built here")
}

fn build_in(
    clone: &Repo,
    plan: &Plan,
    workspace: &Workspace,
    session: &Session<'_>,
) -> Result<Packed, Failure> {
    build(clone, plan, workspace, session.settings, session.children.clone()).map_err(|failure| failure.hint("if files are made by an earlier step of the job, re-run the job of the release's base commit; what can never be built is given up with `abandon`"))
}

/// The libraries that the tags at a release commit mark.
pub fn libraries_of(
    session: &Session<'_>,
    commit: &CommitId,
    workspace: &Workspace,
) -> Result<Vec<PackageName>, Failure> {
    let plan = as_it_stands(session, commit, workspace)?;
    Ok(plan
        .packages
        .into_iter()
        .map(|package| package.name)
        .collect())
}

/// The first library of a release, as `name@version`, of which the registry has no such version, or, where it must be `own`, has one that was
/// built from another commit; `None` where it has all.
pub async fn first_lacking(
    session: &Session<'_>,
    commit: &CommitId,
    own: bool,
) -> Result<Option<String>, Failure> {
    if session.settings.npm_publish == NpmPublish::None {
        return Ok(None);
    }
    let workspace = session.workspace_at(commit)?;
    let libraries = libraries_of(session, commit, &workspace)?;
    let published = session.published(&libraries).await?;
    for name in &libraries {
        let package = workspace.package(name);
        let Some(version) = package.and_then(|package| package.version.as_ref()) else {
            continue;
        };
        let known = published.get(name);
        let known = known.and_then(|known| known.versions.get(&version.to_string()));
        let is_own = |git_head: &Option<String>| git_head.as_deref() == Some(commit.as_str());
        if !known.is_some_and(|known| !own || is_own(&known.git_head)) {
            return Ok(Some(format!("{name}@{version}")));
        }
    }
    Ok(None)
}

/// The release at a commit as a plan: every library of it at the version it holds, nothing to edit.
fn as_it_stands(
    session: &Session<'_>,
    commit: &CommitId,
    workspace: &Workspace,
) -> Result<Plan, Failure> {
    let tags = crate::commands::decisions::tags_at(session.repo, commit)?;
    let format = session.settings.tag_format.as_deref();
    let marked = Marked::read(&tags, format);
    let mut packages = Vec::new();
    for (index, package) in workspace
        .packages
        .iter()
        .enumerate()
        .filter(|(_, package)| package.kind == Kind::Library)
    {
        let Some(version) = package.version.clone() else {
            continue;
        };
        let Some(tag) = marked.tag(package.name.as_str(), &version) else {
            continue;
        };
        packages.push(PlannedPackage {
            index: Some(index),
            name: package.name.clone(),
            directory: package.directory.clone(),
            kind: package.kind,
            private: false,
            from: version.clone(),
            dist_tag: Some(dist_tag(
                &version,
                package,
                session.settings,
                session.line(),
            )),
            access: None,
            registry: None,
            bump: None,
            reasons: Vec::new(),
            base: Base::First,
            is_written: false,
            tag: tag.clone(),
            to: version,
        });
    }
    Ok(Plan {
        adopted: Vec::new(),
        mode: Mode::Diff,
        mode_reason: String::new(),
        zero_major: session.settings.zero_major,
        base: None,
        head: commit.clone(),
        packages,
        unchanged: Vec::new(),
        put_off: Vec::new(),
        waves: Vec::new(),
        apps: Vec::new(),
        tags,
        version: None,
        edits: Vec::new(),
        message: String::new(),
        warnings: Vec::new(),
        day: String::new(),
        forge: None,
        is_snapshot: false,
    })
}
