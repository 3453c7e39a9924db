//! The workspace at a commit, or on the disk as it is: where it is, who manages it, which packages it has.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::explain::{Exit, Failure, Place};
use crate::local::git::Repo;
use crate::local::source::{AtCommit, Source};
use crate::name::{CommitId, RepoPath};
use crate::settings::Settings;
use crate::workspace::catalogs::{CatalogFile, Keeper};
use crate::workspace::lerna::{self, LernaFile};
use crate::workspace::lockfile::{Lockfile, LockfileKind};
use crate::workspace::manager::{self, Manager, Signs, Told};
use crate::workspace::members::{Declared, Patterns, Progress, Rules};
use crate::workspace::package_json::{Form, PackageJson};
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
    let source = AtCommit { repo, commit };
    if let Some(around) = workspace_around(&source, &root)? {
        return Err(member(&root, &around));
    }
    let found = workspace_in(&source, root, settings)?;
    found.map_err(|path| {
        let what = format!("there is no {path} at {}", commit.short());
        no_manifest(what)
    })
}

/// That there is nothing to work with.
pub fn no_manifest(what: String) -> Failure {
    Failure::new(Exit::Usage, "workspace::no_manifest", what)
        .hint("run in the root of a Node repository, or name it with --working-directory")
}

/// The workspace in a directory; the inner error is the path of the `package.json` that is not there.
pub fn workspace_in<From: Source>(
    source: &From,
    root: RepoPath,
    settings: &Settings,
) -> Result<Result<Workspace, RepoPath>, Failure> {
    let manifest_path = root.join("package.json")?;
    let Some(root_manifest) = source.text(&manifest_path)? else {
        return Ok(Err(manifest_path));
    };
    let manifest = PackageJson::parse_in(From::FORM, manifest_path.as_str(), &root_manifest)?;
    let layout = layout(source, &root, &manifest, settings.packages_path.as_ref())?;
    let mut members = members(source, &root, &layout)?;
    let is_packed = From::FORM == Form::Packed;
    let has_members = layout.patterns.is_some() && !(is_packed && members.is_empty());
    if is_packed && has_members && manifest.name.is_some() && !manifest.private {
        // A release never publishes the root; `npm pack` there packs it.
        members.insert(root.clone(), root_manifest.clone());
    }
    let has_service = |directory: &RepoPath| {
        let service = directory.join("service");
        service.is_ok_and(|path| source.is_there(&path).unwrap_or(false))
    };
    Workspace::parse(
        Sources {
            form: From::FORM,
            root,
            root_manifest,
            members,
            has_members,
            manager: layout.manager,
            catalogs: layout.catalogs,
            lerna: layout.lerna,
            lockfile: layout.lockfiles.into_iter().next(),
        },
        &settings.apps,
        has_service,
    )
    .map(Ok)
}

/// The `package.json` of each member.
fn members(
    source: &impl Source,
    root: &RepoPath,
    layout: &Layout,
) -> Result<BTreeMap<RepoPath, String>, Failure> {
    let Some(patterns) = &layout.patterns else {
        return Ok(BTreeMap::new());
    };
    let mut found = listed(source, root, patterns)?;
    if !layout.is_nested {
        return Ok(found);
    }
    // What lies around another comes before it, and whatever its walk reaches is done then.
    let with_lists = found.iter().filter(|(_, text)| names_members(text));
    let with_lists: Vec<RepoPath> = with_lists.map(|(path, _)| path.clone()).collect();
    let mut done = BTreeSet::new();
    for directory in with_lists {
        if !done.contains(&directory) {
            add_inner(source, &directory, &mut found, &mut done)?;
        }
    }
    Ok(found)
}

/// Adds the members that the lists of the package in a directory and of those inside it name. All lists are followed in one walk down: were each
/// looked after for itself, packages in packages would take the cube of their depth.
fn add_inner(
    source: &impl Source,
    directory: &RepoPath,
    found: &mut BTreeMap<RepoPath, String>,
    done: &mut BTreeSet<RepoPath>,
) -> Result<(), Failure> {
    let Some(list) = inner_patterns(directory, &found[directory])? else {
        return Ok(());
    };
    let begin = vec![Progress::begin(Rc::new(list))];
    source.walk_directories(directory, begin, |lists, inside| {
        let mut lists: Vec<Progress> = lists.iter().map(|list| list.enter(inside.name)).collect();
        let is_member = lists.iter().any(Progress::is_member);
        if is_member
            && !found.contains_key(&inside.path)
            && let Some(text) = inside.text("package.json")?
        {
            found.insert(inside.path.clone(), text);
        }
        lists.retain(Progress::may_contain);
        if let Some(text) = found.get(&inside.path) {
            done.insert(inside.path.clone());
            let list = inner_patterns(&inside.path, text)?;
            lists.extend(list.map(|list| Progress::begin(Rc::new(list))));
        }
        Ok((!lists.is_empty()).then_some(lists))
    })
}

/// The packages that patterns below a directory name.
fn listed(
    source: &impl Source,
    base: &RepoPath,
    patterns: &Patterns,
) -> Result<BTreeMap<RepoPath, String>, Failure> {
    source.package_files(
        |directory| below(base, directory).is_some_and(|path| patterns.matches(&path)),
        |directory| {
            base.is_below(directory)
                || below(base, directory).is_some_and(|path| patterns.may_contain(&path))
        },
    )
}

/// Whether a manifest may list further members; most do not, and need not be read.
fn names_members(text: &str) -> bool {
    text.contains("\"workspaces\"")
}

/// The patterns of the packages inside a package. What is wrong with its manifest is told where all manifests are read.
fn inner_patterns(directory: &RepoPath, text: &str) -> Result<Option<Patterns>, Failure> {
    if !names_members(text) {
        return Ok(None);
    }
    let file = directory.join("package.json")?;
    let manifest = PackageJson::parse(file.as_str(), text).ok();
    let list = manifest.and_then(|manifest| manifest.workspaces);
    let patterns = list.map(|list| Patterns::parse(Rules::YarnBerry, &list));
    let patterns = patterns.transpose();
    patterns.map_err(|failure| failure.place(Place::file(file.as_str())))
}

/// The `package.json` files of the workspace in the directory `root` as they stood at a commit, the root's and all members', by directory;
/// none where there was no workspace.
pub fn manifests_at(
    repo: &Repo,
    commit: &CommitId,
    root: &RepoPath,
    settings: &Settings,
) -> Result<BTreeMap<RepoPath, String>, Failure> {
    let source = &AtCommit { repo, commit };
    let path = root.join("package.json")?;
    let Some(text) = source.text(&path)? else {
        return Ok(BTreeMap::new());
    };
    let manifest = PackageJson::parse(path.as_str(), &text)?;
    let packages_path = settings.packages_path.as_ref();
    let layout = layout(source, root, &manifest, packages_path)?;
    let mut manifests = members(source, root, &layout)?;
    manifests.insert(root.clone(), text);
    Ok(manifests)
}

/// What the files at the root of a workspace say about it.
struct Layout {
    /// Its package manager, and what told it.
    manager: Told,
    /// Which directories are members; `None` where none are declared.
    patterns: Option<Patterns>,
    /// Whether a member's own `workspaces` names further members.
    is_nested: bool,
    /// What `catalog:` stands for.
    catalogs: Option<CatalogFile>,
    /// `lerna.json`.
    lerna: Option<LernaFile>,
    /// Its lockfiles.
    lockfiles: Vec<Lockfile>,
}

/// Reads it; `otherwise` are the directories of packages where nothing lists them.
fn layout<From: Source>(
    source: &From,
    root: &RepoPath,
    manifest: &PackageJson,
    otherwise: Option<&Vec<String>>,
) -> Result<Layout, Failure> {
    let pnpm_path = root.join("pnpm-workspace.yaml")?;
    let pnpm = match source.text(&pnpm_path)? {
        Some(text) => Some(pnpm_workspace::packages(pnpm_path.as_str(), &text)?),
        None => None,
    };
    let lerna_path = root.join("lerna.json")?;
    let lerna = source.text(&lerna_path)?;
    let lerna = lerna.map(|text| LernaFile {
        path: lerna_path,
        text,
    });
    let lerna_packages = match &lerna {
        Some(file) => lerna::packages("lerna.json", &file.text)?,
        None => None,
    };
    let lockfiles = lockfiles(source, root)?;
    let told = manager::tell(&Signs {
        package_manager: manifest.package_manager.as_deref(),
        lockfiles: &lockfiles.iter().map(|one| one.kind).collect::<Vec<_>>(),
        bun_lockb: source.is_there(&root.join("bun.lockb")?)?,
        pnpm_workspace: pnpm.is_some(),
    });
    let is_alone = pnpm.is_none() && lerna_packages.is_none() && manifest.workspaces.is_none();
    let manager = match told {
        // To pack one package as it lies there, nobody has to know who installs it.
        Err(_) if is_alone && From::FORM == Form::Packed => manager::tell(&Signs::default())?,
        told => told?,
    };
    // yarn 2 and newer alone looks further; what lerna lists is all there is.
    let is_nested = manager.manager == Manager::YarnBerry && lerna_packages.is_none();
    let declared = Declared {
        pnpm,
        lerna: lerna_packages,
        workspaces: manifest.workspaces.clone(),
    };
    let patterns = declared.patterns(&manager)?;
    let otherwise = otherwise.map(|list| (Rules::YarnBerry, list.clone()));
    let patterns = patterns.or(otherwise);
    let patterns = patterns.map(|(rules, list)| Patterns::parse(rules, &list));
    Ok(Layout {
        catalogs: catalogs(source, root, manager.manager)?,
        manager,
        patterns: patterns.transpose()?,
        is_nested,
        lerna,
        lockfiles,
    })
}

/// The file that the package manager reads catalogs from, where there is one.
fn catalogs(
    source: &impl Source,
    root: &RepoPath,
    manager: Manager,
) -> Result<Option<CatalogFile>, Failure> {
    let Some(keeper) = Keeper::of(manager) else {
        return Ok(None);
    };
    let path = root.join(keeper.file_name())?;
    match source.text(&path)? {
        Some(text) => CatalogFile::read(keeper, path, text).map(Some),
        None => Ok(None),
    }
}

/// The directory of the workspace above that a directory is a package of.
pub fn workspace_around<From: Source>(
    source: &From,
    directory: &RepoPath,
) -> Result<Option<RepoPath>, Failure> {
    let parents = directory.as_str().rmatch_indices('/');
    let parents = parents.map(|(end, _)| &directory.as_str()[..end]);
    for parent in parents.chain((!directory.is_root()).then_some("")) {
        let parent = RepoPath::parse(parent)?;
        let file = parent.join("package.json")?;
        let Some(manifest) = source.text(&file)? else {
            continue;
        };
        let manifest = PackageJson::parse_in(From::FORM, file.as_str(), &manifest);
        let members = manifest.and_then(|manifest| layout(source, &parent, &manifest, None));
        let members = match members {
            // Whoever packs what lies there has nothing to do with what is above it and cannot be read; npm passes over it, too.
            Err(_) if From::FORM == Form::Packed => continue,
            members => members?.patterns,
        };
        let path = below(&parent, directory);
        if members
            .zip(path)
            .is_some_and(|(members, path)| members.matches(&path))
        {
            return Ok(Some(parent));
        }
    }
    Ok(None)
}

/// That a directory is a package of a workspace above it: released for itself, its lockfile and dependents would be left behind.
fn member(directory: &RepoPath, parent: &RepoPath) -> Failure {
    let what = format!(
        "{directory} is a package of the workspace in {}",
        parent.display()
    );
    Failure::new(Exit::Usage, "workspace::member", what)
        .because("released for itself, its dependents and the lockfile would be left behind")
        .hint(format!(
            "leave working-directory out; --filter {directory} releases this package alone"
        ))
}

/// The lockfiles at the root of the workspace; of npm's two only the one that npm reads.
pub fn lockfiles(source: &impl Source, root: &RepoPath) -> Result<Vec<Lockfile>, Failure> {
    let mut found: Vec<Lockfile> = Vec::new();
    for name in LockfileKind::FILE_NAMES {
        let path = root.join(name)?;
        let text = source.text(&path)?;
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
