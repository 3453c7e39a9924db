//! `pack`: tarballs and archives into a directory. What lies there as it is, or at the planned versions; nothing leaves this machine.

use std::path::{Path, PathBuf};

use crate::apply::artifacts;
use crate::apply::build::{self, DIST, Packed, Wanted, WantedPackage};
use crate::commands::{Session, monorepo, release};
use crate::explain::{Exit, Failure};
use crate::local::archive::NPM_MOMENT;
use crate::local::git::Repo;
use crate::local::process::Children;
use crate::local::source::OnDisk;
use crate::local::worktree;
use crate::name::{CommitId, RepoPath};
use crate::plan::provenance::Foreseen;
use crate::plan::{pack, render};
use crate::release::pack::Pack;
use crate::settings::Settings;
use crate::workspace::Workspace;
use crate::workspace::package::Package;

/// Packs what lies in the directory as it is, in a repository or not. With a workspace that is its packages that are not private, the root's
/// own too, and its services; else the package that is there.
///
/// # Errors
/// `workspace::no_manifest`, exit 2; `pack::no_version` and `pack::inside_package`, exit 3; those of packing.
pub fn as_it_is(settings: &Settings, children: &Children) -> Result<Pack, Failure> {
    let found = find(settings)?;
    let Found {
        top,
        workspace,
        only,
    } = &found;
    let checked_out = checked_out(settings)?;
    let moment = checked_out
        .as_ref()
        .map_or(i64::from(NPM_MOMENT), |(_, at)| *at);
    let lacks = |package: &Package| lacks(top, package, settings);
    let chosen = pack::as_it_is(workspace, only.as_ref(), settings, lacks)?;
    let packages = chosen.packages.into_iter();
    let wanted = Wanted {
        edits: &[],
        packages: packages
            .map(|(index, version)| WantedPackage {
                index,
                version,
                is_packed: true,
            })
            .collect(),
        apps: chosen.apps,
        moment,
    };
    let mut packed = build::pack(top, wanted, workspace, settings, children.clone())?;
    packed.notices.extend(chosen.notices);
    let base = checked_out.map(|(head, _)| head);
    if let Some(head) = &base {
        for package in &mut packed.packages {
            let head = serde_json::json!(head.as_str());
            package.manifest.insert("gitHead".to_owned(), head);
        }
    }
    finish(settings, (top, workspace), &packed, base, None)
}

/// The commit that is checked out, and its time in seconds since 1970; `None` where there is no repository, or no commit yet.
fn checked_out(settings: &Settings) -> Result<Option<(CommitId, i64)>, Failure> {
    let found = Repo::open(&settings.directory).and_then(|repo| {
        let head = repo.head()?;
        let at = repo.committed_at(&head)?;
        Ok((head, at))
    });
    match found {
        Err(failure)
            if matches!(
                failure.code(),
                "git::no_repository" | "git::no_commit" | "git::bare"
            ) =>
        {
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// Packs what `release` would release: at the planned versions, after install and build.
///
/// # Errors
/// Those of the plan and of the build.
pub async fn planned(session: &Session<'_>) -> Result<Pack, Failure> {
    let settings = session.settings;
    let head = session.repo.head()?;
    worktree::require_clean(session.repo, &head, &settings.child_environment)?;
    let (observed, plan) = release::plan_at(session, &head, true).await?;
    let document = render::document(&plan, settings, Vec::new());
    let mut shown = plan.clone();
    // The report tells them.
    shown.warnings.clear();
    (session.say)(&render::text(&shown, &[], &Foreseen::default()));
    let mut packed = tokio::task::block_in_place(|| {
        let children = session.children.clone();
        build::build(session.repo, &plan, &observed.workspace, settings, children)
    })?;
    packed.notices.extend(plan.warnings.iter().cloned());
    let within = (session.repo.root(), &observed.workspace);
    finish(settings, within, &packed, Some(head), Some(document.digest))
}

/// Writes the files, but for a dry run.
fn finish(
    settings: &Settings,
    (top, workspace): (&Path, &Workspace),
    packed: &Packed,
    base: Option<CommitId>,
    plan_digest: Option<String>,
) -> Result<Pack, Failure> {
    let base = base.map(|base| base.to_string());
    let pack = artifacts::describe(packed, base, plan_digest);
    if !settings.dry_run {
        let to = settings.artifacts.as_deref();
        let packages = workspace.packages.iter();
        let directories =
            packages.map(|package| (&package.name, top.join(package.directory.as_str())));
        artifacts::refuse_inside(to, packed, directories)?;
        artifacts::write(to, packed, &pack)?;
    }
    Ok(pack)
}

/// The workspace on the disk.
struct Found {
    /// The directory that its paths begin at.
    top: PathBuf,
    workspace: Workspace,
    /// The one package of it that was named by its directory.
    only: Option<RepoPath>,
}

fn find(settings: &Settings) -> Result<Found, Failure> {
    let directory = absolute(&settings.directory)?;
    let (top, inside) = around(&directory)?;
    let source = OnDisk { root: top.clone() };
    let (root, only) = match monorepo::workspace_around(&source, &inside)? {
        Some(root) => (root, Some(inside)),
        None => (inside, None),
    };
    let missing =
        |path: &RepoPath| monorepo::no_manifest(format!("there is no {path} in {}", top.display()));
    let found = monorepo::workspace_in(&source, root, settings)?;
    let workspace = found.map_err(|path| missing(&path))?;
    if let Some(only) = &only
        && !workspace.packages.iter().any(|one| one.directory == *only)
    {
        return Err(missing(&only.join("package.json")?));
    }
    Ok(Found {
        top,
        workspace,
        only,
    })
}

/// The directory above which no workspace is looked for, and the way from there: as for npm, the outermost one with a `package.json`.
fn around(directory: &Path) -> Result<(PathBuf, RepoPath), Failure> {
    let is_package = |directory: &&Path| directory.join("package.json").is_file();
    let outermost = directory.ancestors().filter(is_package).last();
    let top = outermost.unwrap_or(directory);
    let inside = directory.strip_prefix(top).unwrap_or(Path::new(""));
    let inside = inside.to_str().ok_or_else(|| {
        let what = format!("{} is not UTF-8", directory.display());
        Failure::new(Exit::Usage, "settings::encoding", what).hint("rename it")
    })?;
    Ok((top.to_owned(), RepoPath::parse(inside)?))
}

fn absolute(directory: &Path) -> Result<PathBuf, Failure> {
    directory.canonicalize().map_err(|error| {
        let what = format!("{} cannot be read", directory.display());
        Failure::new(Exit::Usage, "settings::working_directory", what).because(error)
    })
}

/// The directory of static files that an app does not have.
fn lacks(top: &Path, package: &Package, settings: &Settings) -> Result<Option<RepoPath>, Failure> {
    let own = settings.app_settings(&package.name);
    let dist = own.dist.as_deref().unwrap_or(DIST);
    let dist = package.directory.join(dist)?;
    let is_there = top.join(dist.as_str()).exists();
    Ok((!is_there).then_some(dist))
}
