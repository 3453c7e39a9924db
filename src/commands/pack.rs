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
use crate::name::{CommitId, RepoPath, Variant};
use crate::plan::release::{Notice, PlannedApp, check_filter, selected};
use crate::plan::render;
use crate::release::pack::Pack;
use crate::settings::{Choice, Mode, Settings};
use crate::workspace::Workspace;
use crate::workspace::package::{Kind, Package};

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
    check_filter(workspace, Mode::Diff, settings)?;
    if only.is_some() && !settings.filter.is_empty() {
        let what = format!(
            "{} leaves packages out, and one was chosen by its directory",
            settings.spelled("filter")
        );
        return Err(Failure::new(Exit::Usage, "pack::filter", what)
            .hint("leave one of both out; in the workspace's own directory the filter chooses"));
    }
    let is_wanted = |package: &&(usize, &Package)| {
        only.as_ref()
            .map_or(selected(package.1, &settings.filter), |only| {
                package.1.directory == *only
            })
    };
    let packages: Vec<(usize, &Package)> = workspace.packages.iter().enumerate().collect();
    let is_alone = workspace.root.is_none() || only.is_some();
    let mut wanted = Wanted {
        edits: &[],
        packages: Vec::new(),
        apps: Vec::new(),
        moment,
    };
    let mut notices = Vec::new();
    for (index, package) in packages.iter().filter(is_wanted) {
        match package.kind {
            Kind::Service | Kind::Static if settings.store != Choice::Off => {
                match app(top, *index, package, settings)? {
                    Ok(app) => wanted.apps.push(app),
                    Err(notice) => notices.push(notice),
                }
            }
            Kind::Library => wanted.packages.push(tarball(*index, package)?),
            Kind::Private if is_alone => wanted.packages.push(tarball(*index, package)?),
            Kind::Service | Kind::Static | Kind::Private => {}
        }
    }
    let mut packed = build::pack(top, wanted, workspace, settings, children.clone())?;
    packed.notices.extend(notices);
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
    (session.say)(&render::text(&shown, &[]));
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

fn tarball(index: usize, package: &Package) -> Result<WantedPackage, Failure> {
    let Some(version) = package.version.clone() else {
        let what = format!("{} has no version", package.file());
        return Err(Failure::new(Exit::Refused, "pack::no_version", what)
            .because("the name of a tarball holds the version")
            .hint("add one, or leave the package out with filter"));
    };
    Ok(WantedPackage {
        index,
        version,
        is_packed: true,
    })
}

/// What an app is packed as, or why it cannot be packed as it is.
fn app(
    top: &Path,
    index: usize,
    package: &Package,
    settings: &Settings,
) -> Result<Result<PlannedApp, Notice>, Failure> {
    let version = tarball(index, package)?.version;
    let own = settings.app_settings(&package.name);
    let build = own.build.as_deref().or(settings.build.as_deref());
    if build.is_some_and(|build| build.contains("{environment}")) {
        return Ok(Err(Notice {
            code: "pack::build_per_environment",
            message: format!(
                "{} is left out: it is built for each environment, which `pack --planned` does",
                package.name
            ),
        }));
    }
    let dist = package
        .directory
        .join(own.dist.as_deref().unwrap_or(DIST))?;
    if package.kind == Kind::Static && !top.join(dist.as_str()).exists() {
        return Ok(Err(Notice {
            code: "pack::not_built",
            message: format!(
                "{} is left out: there is no {dist} yet, which its build or `pack --planned` makes",
                package.name
            ),
        }));
    }
    Ok(Ok(PlannedApp {
        index,
        name: package.name.clone(),
        from: version.clone(),
        to: version,
        variants: vec![Variant::Any],
    }))
}
