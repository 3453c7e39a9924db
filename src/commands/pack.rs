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
use crate::name::{RepoPath, Variant};
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
    let repo = Repo::open(&settings.directory).ok();
    let head = repo.as_ref().and_then(|repo| repo.head().ok());
    let moment = match (&repo, &head) {
        (Some(repo), Some(head)) => repo.committed_at(head)?,
        _ => i64::try_from(NPM_MOMENT).unwrap_or_default(),
    };
    check_filter(workspace, Mode::Diff, settings)?;
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
    let directories = packages
        .iter()
        .map(|(_, package)| (&package.name, top.join(package.directory.as_str())));
    artifacts::refuse_inside(settings.artifacts.as_deref(), &packed, directories)?;
    if let Some(head) = &head {
        for package in &mut packed.packages {
            let head = serde_json::json!(head.as_str());
            package.manifest.insert("gitHead".to_owned(), head);
        }
    }
    let base = head.map(|head| head.to_string());
    finish(settings, &packed, base, None)
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
    (session.say)(&render::text(&plan, &[]));
    let mut packed = tokio::task::block_in_place(|| {
        let children = session.children.clone();
        build::build(session.repo, &plan, &observed.workspace, settings, children)
    })?;
    packed.notices.extend(plan.warnings.iter().cloned());
    let base = Some(head.to_string());
    finish(settings, &packed, base, Some(document.digest))
}

/// Writes the files, but for a dry run.
fn finish(
    settings: &Settings,
    packed: &Packed,
    base: Option<String>,
    plan_digest: Option<String>,
) -> Result<Pack, Failure> {
    let pack = artifacts::describe(packed, base, plan_digest);
    if !settings.dry_run {
        artifacts::write(settings.artifacts.as_deref(), packed, &pack)?;
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
    let found = monorepo::workspace_in(&source, root, settings)?;
    let workspace = found.map_err(|path| {
        monorepo::no_manifest(format!("there is no {path} in {}", top.display()))
    })?;
    Ok(Found {
        top,
        workspace,
        only,
    })
}

/// Whether a directory is a package of the workspace in one above it.
///
/// # Errors
/// Those of the files that describe the workspace.
pub fn is_package_of(directory: &Path, around: &Path) -> Result<bool, Failure> {
    let inside = directory.strip_prefix(around).ok().and_then(Path::to_str);
    let Some(inside) = inside.map(RepoPath::parse).and_then(Result::ok) else {
        return Ok(false);
    };
    let root = around.to_owned();
    let found = monorepo::workspace_around(&OnDisk { root }, &inside)?;
    Ok(found.is_some_and(|found| found.is_root()))
}

/// The directory above which no workspace is looked for, and the way from there: as for npm, the outermost one with a `package.json`.
fn around(directory: &Path) -> Result<(PathBuf, RepoPath), Failure> {
    let is_package = |directory: &&Path| directory.join("package.json").is_file();
    let outermost = directory.ancestors().filter(is_package).last();
    let top = outermost.unwrap_or(directory);
    let inside = directory.strip_prefix(top).ok().and_then(Path::to_str);
    let inside = RepoPath::parse(inside.unwrap_or_default())?;
    Ok((top.to_owned(), inside))
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
