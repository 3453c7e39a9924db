//! The workspace at a commit: where it is, who manages it, which packages it has.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure};
use crate::local::git::Repo;
use crate::name::{CommitId, RepoPath};
use crate::settings::Settings;
use crate::workspace::catalogs::CatalogFile;
use crate::workspace::lerna::{self, LernaFile};
use crate::workspace::lockfile::{Lockfile, LockfileKind};
use crate::workspace::manager::{self, Signs, Told};
use crate::workspace::members::{Declared, Patterns, Rules};
use crate::workspace::package_json::PackageJson;
use crate::workspace::{Sources, Workspace, below, pnpm_workspace};

/// The workspace's directory in the repository.
pub fn workspace_directory(repo: &Repo, settings: &Settings) -> Result<RepoPath, Failure> {
    let outside = || {
        Failure::new(
            Exit::Usage,
            "settings::working_directory",
            format!(
                "{} is not inside the repository {}",
                settings.directory.display(),
                repo.root().display()
            ),
        )
    };
    let root = repo
        .root()
        .canonicalize()
        .map_err(|error| outside().because(error))?;
    let directory = settings
        .directory
        .canonicalize()
        .map_err(|error| outside().because(error))?;
    let relative = directory.strip_prefix(root).map_err(|_| outside())?;
    RepoPath::parse(relative.to_str().ok_or_else(outside)?)
}

/// Whether there is a workspace at a commit: a `package.json` in the workspace's directory.
pub fn is_there(repo: &Repo, commit: &CommitId, settings: &Settings) -> Result<bool, Failure> {
    let file = workspace_directory(repo, settings)?.join("package.json")?;
    Ok(repo.file(commit, &file)?.is_some())
}

/// The workspace as it stands at a commit.
pub fn workspace_at(
    repo: &Repo,
    commit: &CommitId,
    settings: &Settings,
) -> Result<Workspace, Failure> {
    let root = workspace_directory(repo, settings)?;
    refuse_member(repo, commit, &root)?;
    let manifest_path = root.join("package.json")?;
    let Some(root_manifest) = repo.text(commit, &manifest_path)? else {
        return Err(Failure::new(
            Exit::Usage,
            "workspace::no_manifest",
            format!("there is no {manifest_path} at {}", commit.short()),
        )
        .hint("run in the root of a Node repository, or name it with --working-directory"));
    };
    let manifest = PackageJson::parse(manifest_path.as_str(), &root_manifest)?;
    let layout = layout(
        repo,
        commit,
        &root,
        &manifest,
        settings.packages_path.as_ref(),
    )?;
    let members = match &layout.patterns {
        Some(patterns) => repo.package_files(
            commit,
            |directory| below(&root, directory).is_some_and(|path| patterns.matches(&path)),
            |directory| {
                root.is_below(directory)
                    || below(&root, directory).is_some_and(|path| patterns.may_contain(&path))
            },
        )?,
        None => BTreeMap::new(),
    };
    let has_service = |directory: &RepoPath| {
        directory.join("service").is_ok_and(|path| {
            repo.object_at(commit, &path)
                .is_ok_and(|found| found.is_some())
        })
    };
    Workspace::parse(
        Sources {
            root,
            root_manifest,
            members,
            has_members: layout.patterns.is_some(),
            manager: layout.manager,
            catalogs: layout.catalogs,
            lerna: layout.lerna,
            lockfile: layout.lockfiles.into_iter().next(),
        },
        &settings.apps,
        has_service,
    )
}

/// What the files at the root of a workspace say about it.
struct Layout {
    /// Its package manager, and what told it.
    manager: Told,
    /// Which directories are members; `None` where none are declared.
    patterns: Option<Patterns>,
    /// What `catalog:` stands for.
    catalogs: Option<CatalogFile>,
    /// `lerna.json`.
    lerna: Option<LernaFile>,
    /// Its lockfiles.
    lockfiles: Vec<Lockfile>,
}

/// Reads it; `otherwise` are the directories of packages where nothing lists them.
fn layout(
    repo: &Repo,
    commit: &CommitId,
    root: &RepoPath,
    manifest: &PackageJson,
    otherwise: Option<&Vec<String>>,
) -> Result<Layout, Failure> {
    let pnpm_path = root.join("pnpm-workspace.yaml")?;
    let pnpm = match repo.text(commit, &pnpm_path)? {
        Some(text) => Some((pnpm_workspace::read("pnpm-workspace.yaml", &text)?, text)),
        None => None,
    };
    let lerna_path = root.join("lerna.json")?;
    let lerna = repo.text(commit, &lerna_path)?;
    let lerna = lerna.map(|text| LernaFile {
        path: lerna_path,
        text,
    });
    let lerna_packages = match &lerna {
        Some(file) => lerna::packages("lerna.json", &file.text)?,
        None => None,
    };
    let lockfiles = lockfiles(repo, commit, root)?;
    let manager = manager::tell(&Signs {
        package_manager: manifest.package_manager.as_deref(),
        lockfiles: &lockfiles.iter().map(|one| one.kind).collect::<Vec<_>>(),
        bun_lockb: repo.object_at(commit, &root.join("bun.lockb")?)?.is_some(),
        pnpm_workspace: pnpm.is_some(),
    })?;
    let declared = Declared {
        pnpm: pnpm.as_ref().map(|(pnpm, _)| pnpm.packages.clone()),
        lerna: lerna_packages,
        workspaces: manifest.workspaces.clone(),
    };
    let patterns = declared.patterns(&manager)?;
    let otherwise = otherwise.map(|list| (Rules::YarnBerry, list.clone()));
    let patterns = patterns.or(otherwise);
    let patterns = patterns.map(|(rules, list)| Patterns::parse(rules, &list));
    Ok(Layout {
        manager,
        patterns: patterns.transpose()?,
        catalogs: pnpm.map(|(pnpm, text)| CatalogFile {
            path: pnpm_path,
            text,
            catalogs: pnpm.catalogs,
        }),
        lerna,
        lockfiles,
    })
}

/// Refuses a directory that is a package of a workspace above it: released for itself, its lockfile and dependents would be left behind.
fn refuse_member(repo: &Repo, commit: &CommitId, directory: &RepoPath) -> Result<(), Failure> {
    let parents = directory.as_str().rmatch_indices('/');
    let parents = parents.map(|(end, _)| &directory.as_str()[..end]);
    for parent in parents.chain((!directory.is_root()).then_some("")) {
        let parent = RepoPath::parse(parent)?;
        let file = parent.join("package.json")?;
        let Some(manifest) = repo.text(commit, &file)? else {
            continue;
        };
        let manifest = PackageJson::parse(file.as_str(), &manifest)?;
        let members = layout(repo, commit, &parent, &manifest, None)?.patterns;
        let path = below(&parent, directory);
        if !members
            .zip(path)
            .is_some_and(|(members, path)| members.matches(&path))
        {
            continue;
        }
        let what = format!(
            "{directory} is a package of the workspace in {}",
            parent.display()
        );
        return Err(Failure::new(Exit::Usage, "workspace::member", what)
            .because("released for itself, its dependents and the lockfile would be left behind")
            .hint(format!(
                "leave working-directory out; --filter {directory} releases this package alone"
            )));
    }
    Ok(())
}

/// The lockfiles at the root of the workspace; of npm's two only the one that npm reads.
fn lockfiles(repo: &Repo, commit: &CommitId, root: &RepoPath) -> Result<Vec<Lockfile>, Failure> {
    let mut found: Vec<Lockfile> = Vec::new();
    for name in LockfileKind::FILE_NAMES {
        let path = root.join(name)?;
        let text = repo.text(commit, &path)?;
        let kind = text
            .as_deref()
            .and_then(|text| LockfileKind::of(name, text));
        let (Some(kind), Some(text)) = (kind, text) else {
            continue;
        };
        let shrinkwrapped = found.iter().any(|one| one.kind == LockfileKind::Shrinkwrap);
        if !(shrinkwrapped && kind == LockfileKind::Npm) {
            found.push(Lockfile { kind, path, text });
        }
    }
    Ok(found)
}
