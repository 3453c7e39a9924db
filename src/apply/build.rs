//! Building and packing: the edits of the release in the work tree, the project's own commands without secrets, then every byte packed with its digest. Writes nothing outside this machine.

mod app;
mod archive;
mod tarball;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::changes::owner::Ignored;
use crate::explain::{Exit, Failure, quoted, safe_line};
use crate::local::archive::npm_tarball;
use crate::local::files;
use crate::local::git::Repo;
use crate::local::npm_package::{self, NpmPackage};
use crate::local::process::{Children, Output, Package as Scripted, Project, ShellCommand};
use crate::local::scratch::Scratch;
use crate::local::status;
use crate::local::worktree::{EditedTree, named};
use crate::name::{Digest, Integrity, PackageName, RepoPath};
use crate::plan::release::{Notice, Plan};
use crate::release::seal::SealedApp;
use crate::settings::{Install, Settings};
use crate::version::Version;
use crate::workspace::catalogs::Catalogs;
use crate::workspace::manager::Manager;
use crate::workspace::package::Kind;
use crate::workspace::publishable::{Reader, publishable};
use crate::workspace::{Workspace, below, package::Package};

/// Everything a release consists of, on this machine.
pub struct Packed {
    /// npm tarballs.
    pub packages: Vec<PackedPackage>,
    /// Builds of apps.
    pub apps: Vec<SealedApp>,
    /// Every file that goes into `blobs/`, by digest.
    pub blobs: BTreeMap<Digest, PathBuf>,
    /// What a person should know about them.
    pub notices: Vec<Notice>,
    /// Holds the files until the end of the run.
    _directory: Scratch,
}

/// An npm tarball on this machine.
#[derive(Debug, Clone)]
pub struct PackedPackage {
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// npm's `integrity`.
    pub integrity: Integrity,
    /// Its name in `blobs/`.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// How many files it holds.
    pub files: usize,
}

/// One build at work.
struct Builder<'a> {
    repo: &'a Repo,
    plan: &'a Plan,
    workspace: &'a Workspace,
    settings: &'a Settings,
    project: Project,
    root: PathBuf,
    versions: BTreeMap<PackageName, Version>,
    /// As the release commit has them.
    catalogs: Catalogs,
    moment: i64,
    /// Tracked files that are not checked out.
    absent: Vec<RepoPath>,
    directory: Scratch,
    blobs: BTreeMap<Digest, PathBuf>,
    notices: Vec<Notice>,
    /// The files that may look like keys.
    key_files: Ignored,
    /// What may not leave, of all packages.
    problems: Vec<Failure>,
}

/// Builds and packs a plan in the work tree, which must be clean and at the plan's head; its original bytes are back afterwards, also on failure.
pub fn build(
    repo: &Repo,
    plan: &Plan,
    workspace: &Workspace,
    settings: &Settings,
    children: Children,
) -> Result<Packed, Failure> {
    let absent = require_seen(repo, settings)?;
    require_editable(plan, &absent)?;
    let edited = EditedTree::write(repo, &plan.edits)?;
    let built =
        Builder::new(repo, plan, workspace, settings, children, absent).and_then(Builder::run);
    match (built, edited.restore()) {
        (Ok(packed), Ok(())) => Ok(packed),
        (Ok(_), Err(failure)) | (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(left)) => {
            Err(failure.because(format!("and the work tree could not be put back: {left}")))
        }
    }
}

/// The catalogs as the release commit has them.
fn released_catalogs(plan: &Plan, workspace: &Workspace) -> Result<Catalogs, Failure> {
    let Some(file) = &workspace.catalogs else {
        return Ok(Catalogs::new());
    };
    match plan.edits.iter().find(|(path, _)| *path == file.path) {
        Some((_, Some(text))) => file.catalogs_in(text),
        Some((_, None)) | None => Ok(file.catalogs.clone()),
    }
}

/// Refuses changes that git was told not to look at; gives the files that it was told to leave out.
fn require_seen(repo: &Repo, settings: &Settings) -> Result<Vec<RepoPath>, Failure> {
    let unseen = status::unseen(repo, &settings.child_environment)?;
    match unseen.changed.as_slice() {
        [] => Ok(unseen.absent),
        changed => Err(hidden_changes(changed)),
    }
}

/// Refuses a plan that edits files which git was told not to look at and which are not here as the commit has them: the work tree could
/// not follow. What else is hidden, or left out of a sparse checkout, does not matter where nothing is built.
///
/// # Errors
/// `build::hidden_changes` and `build::not_checked_out`, exit 3; those of [`status::unseen`].
pub fn require_writable(repo: &Repo, plan: &Plan, settings: &Settings) -> Result<(), Failure> {
    let mut unseen = status::unseen(repo, &settings.child_environment)?;
    unseen
        .changed
        .retain(|path| plan.edits.iter().any(|(edited, _)| edited == path));
    match unseen.changed.as_slice() {
        [] => require_editable(plan, &unseen.absent),
        changed => Err(hidden_changes(changed)),
    }
}

fn hidden_changes(changed: &[RepoPath]) -> Failure {
    Failure::new(
        Exit::Refused,
        "build::hidden_changes",
        format!(
            "files differ from the commit, and git was told not to look at them: {}",
            named(changed)
        ),
    )
    .because("what is here, and what is packed, must be what the release commit holds")
    .hint("`git update-index --no-assume-unchanged -- <file>` and `git update-index --no-skip-worktree -- <file>` let git see them again; then commit or undo the changes")
}

/// A sparse checkout may leave out nothing that the release commit changes: it is written here, at the latest when the work tree follows.
fn require_editable(plan: &Plan, absent: &[RepoPath]) -> Result<(), Failure> {
    let edited = plan.edits.iter().map(|(path, _)| path);
    let missing: Vec<RepoPath> = edited
        .filter(|path| absent.contains(path))
        .cloned()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(not_checked_out("files that the release changes", &missing))
}

fn not_checked_out(whose: &str, missing: &[RepoPath]) -> Failure {
    Failure::new(
        Exit::Refused,
        "build::not_checked_out",
        format!("{whose} are not checked out: {}", named(missing)),
    )
    .because("git was told to leave them out, as a sparse checkout does, and the release commit holds them")
    .hint("run `git sparse-checkout disable`, or `git update-index --no-skip-worktree -- <file>` and `git checkout -- <file>`")
}

impl<'a> Builder<'a> {
    fn new(
        repo: &'a Repo,
        plan: &'a Plan,
        workspace: &'a Workspace,
        settings: &'a Settings,
        children: Children,
        absent: Vec<RepoPath>,
    ) -> Result<Builder<'a>, Failure> {
        let mut project = Project::new(&settings.child_environment, children);
        if settings.runner.is_actions {
            project = project.stopping_commands(format!("{:032x}", settings.nonce));
        }
        let mut versions: BTreeMap<PackageName, Version> = workspace
            .packages
            .iter()
            .filter_map(|package| Some((package.name.clone(), package.version.clone()?)))
            .collect();
        versions.extend(
            plan.packages
                .iter()
                .map(|package| (package.name.clone(), package.to.clone())),
        );
        let directory = Scratch::new()?;
        Ok(Builder {
            catalogs: released_catalogs(plan, workspace)?,
            key_files: Ignored::of("key-files", &settings.key_files)?,
            root: repo.root().join(workspace.directory.as_str()),
            moment: repo.committed_at(&plan.head)?,
            repo,
            plan,
            workspace,
            settings,
            project,
            versions,
            absent,
            directory,
            blobs: BTreeMap::new(),
            notices: Vec::new(),
            problems: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Packed, Failure> {
        self.install()?;
        let build = self.settings.build.clone();
        if let Some(command) = build
            .as_deref()
            .filter(|command| !command.contains("{environment}"))
        {
            self.command(command, &self.root)?;
            // Told before packing stumbles over it.
            self.refuse_other_changes()?;
        }
        let mut apps = Vec::new();
        for app in &self.plan.apps {
            for variant in &app.variants {
                apps.push(self.app(app, variant)?);
            }
        }
        let mut packages = Vec::new();
        for planned in &self.plan.packages {
            if let (Kind::Library, Some(index)) = (planned.kind, planned.index) {
                packages.push(self.library(&self.workspace.packages[index], &planned.to)?);
            }
        }
        self.refuse_other_changes()?;
        if let Some(failure) = Failure::all(std::mem::take(&mut self.problems)) {
            return Err(failure);
        }
        let Builder {
            blobs,
            notices,
            directory,
            ..
        } = self;
        Ok(Packed {
            packages,
            apps,
            blobs,
            notices,
            _directory: directory,
        })
    }

    /// What was packed must be what the release commit holds: a tracked file that the build changed would be in the tarball and not in
    /// the commit. An edited file that the build put back to `HEAD` is such a file too, although git calls it clean.
    fn refuse_other_changes(&self) -> Result<(), Failure> {
        let edits = &self.plan.edits;
        let lost = edits.iter().filter(|(path, text)| {
            let present = std::fs::read(self.repo.root().join(path.as_str())).ok();
            present.as_deref() != text.as_ref().map(String::as_bytes)
        });
        let mut changed: Vec<RepoPath> = lost.map(|(path, _)| path.clone()).collect();
        let mut dirty = status::dirty(self.repo, &self.settings.child_environment)?;
        dirty.retain(|path| !edits.iter().any(|(edited, _)| edited == path));
        changed.extend(dirty);
        if changed.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            "build::changed_sources",
            format!(
                "install, build or a script changed files that git tracks: {}",
                named(&changed)
            ),
        )
        .because("what is packed must be what the release commit holds")
        .hint("commit what the build makes, or let git ignore it; `git checkout -- <file>` puts a file back"))
    }

    /// A sparse checkout may leave out what nothing needs, but nothing of what is packed.
    fn require_whole(&self, package: &Package) -> Result<(), Failure> {
        let own = package.directory.as_str();
        let mut missing = self.absent.clone();
        missing.retain(|path| {
            own.is_empty()
                || path
                    .as_str()
                    .strip_prefix(own)
                    .is_some_and(|rest| rest.starts_with('/'))
        });
        if missing.is_empty() {
            return Ok(());
        }
        let whose = format!("files of {}", package.name);
        Err(not_checked_out(&whose, &missing))
    }

    fn command(&self, line: &str, directory: &Path) -> Result<(), Failure> {
        tracing::info!("running {}", safe_line(line));
        self.project
            .run(
                &ShellCommand::new(line, directory).with("PATH", self.search_path(directory)),
                Output::Show,
            )
            .map(drop)
    }

    fn search_path(&self, directory: &Path) -> String {
        crate::local::process::search_path(
            directory,
            self.repo.root(),
            self.settings
                .child_environment
                .get("PATH")
                .map_or("", String::as_str),
        )
    }

    /// Installs dependencies where they are missing and something needs them.
    fn install(&self) -> Result<(), Failure> {
        let line = match &self.settings.install {
            Install::None => return Ok(()),
            Install::Command(line) => line.clone(),
            Install::Auto => {
                if self.root.join("node_modules").exists() || !self.needs_dependencies() {
                    return Ok(());
                }
                match &self.workspace.lockfile {
                    Some(lockfile) => lockfile.kind.frozen_install().to_owned(),
                    None => {
                        return Err(Failure::new(Exit::Refused, "build::no_lockfile", "dependencies are missing, and there is no lockfile to install them from").because("without a lockfile every machine would install something else").hint("commit a lockfile, or say `install: none`"));
                    }
                }
            }
        };
        self.command(&line, &self.root)
    }

    /// Whether anything that will run or be packed can need `node_modules`.
    fn needs_dependencies(&self) -> bool {
        let planned = |package: &&Package| {
            self.plan
                .packages
                .iter()
                .any(|planned| planned.name == package.name)
        };
        let builds = self.settings.build.is_some()
            || self
                .plan
                .apps
                .iter()
                .any(|app| self.settings.app_settings(&app.name).build.is_some());
        let scripts = self.settings.scripts
            && self
                .workspace
                .packages
                .iter()
                .filter(planned)
                .any(|package| {
                    LIFECYCLE
                        .iter()
                        .any(|script| package.manifest.scripts.contains_key(*script))
                });
        let ships = self
            .workspace
            .packages
            .iter()
            .filter(planned)
            .any(|package| {
                package.kind == Kind::Service && !package.manifest.dependencies.is_empty()
            });
        let declares = self
            .workspace
            .manifests()
            .any(|one| !one.manifest.dependencies.is_empty());
        ships || ((builds || scripts) && declares)
    }

    /// Path and text of the lockfile as the release commit has it.
    fn released_lockfile(&self) -> Option<(&RepoPath, &str)> {
        let (path, text) = self.workspace.lockfile.as_ref()?.npm()?;
        let edited = self.plan.edits.iter().find(|(edited, _)| edited == path);
        Some((
            path,
            edited.and_then(|(_, text)| text.as_deref()).unwrap_or(text),
        ))
    }

    fn keep(&mut self, digest: &Digest, path: PathBuf) {
        self.blobs.entry(digest.clone()).or_insert(path);
    }

    /// Writes bytes to a file of their own that will become a blob.
    fn keep_bytes(&mut self, bytes: &[u8]) -> Result<Digest, Failure> {
        let digest = Digest::of(bytes);
        let path = self.directory.path().join(digest.hex());
        files::write_atomically(&path, bytes)?;
        self.keep(&digest, path);
        Ok(digest)
    }

    fn library(&mut self, package: &Package, version: &Version) -> Result<PackedPackage, Failure> {
        let directory = self.repo.root().join(package.directory.as_str());
        if self.settings.scripts {
            self.lifecycle(package, version, &directory, &LIFECYCLE[..3])?;
        }
        let reader = Reader::Installer {
            from_git: self.settings.git_dependencies,
        };
        let packed = self.packed(package, &directory, reader)?;
        let tarball = npm_tarball(&packed.files)?;
        self.examine(package, &packed, &tarball)?;
        let digest = self.keep_bytes(&tarball.bytes)?;
        if self.settings.scripts {
            self.lifecycle(package, version, &directory, &LIFECYCLE[3..])?;
        }
        Ok(PackedPackage {
            name: package.name.clone(),
            version: version.clone(),
            integrity: tarball.integrity,
            digest,
            size: tarball.size,
            files: packed.files.len(),
        })
    }

    fn lifecycle(
        &self,
        package: &Package,
        version: &Version,
        directory: &Path,
        scripts: &[&str],
    ) -> Result<(), Failure> {
        let version = version.to_string();
        for script in scripts {
            if let Some(line) = package.manifest.scripts.get(*script) {
                tracing::info!("running {script} of {}", package.name);
                let only = BTreeMap::from([((*script).to_owned(), line.clone())]);
                let scripted = Scripted {
                    directory,
                    root: self.repo.root(),
                    invoked_in: self.repo.root(),
                    name: package.name.as_str(),
                    version: &version,
                    scripts: &only,
                };
                self.project.npm_run(&scripted, script, &[], Output::Show)?;
            }
        }
        Ok(())
    }

    /// What npm would pack of a package, `package.json` as it is published.
    fn packed(
        &mut self,
        package: &Package,
        directory: &Path,
        reader: Reader,
    ) -> Result<NpmPackage, Failure> {
        self.require_whole(package)?;
        let file = package.file();
        let text = built_manifest(package, directory)?;
        let published = publishable(file.as_str(), &text, &self.versions, &self.catalogs, reader)?;
        let members = self.members_inside(package);
        let surroundings = files::Surroundings {
            root: (package.directory != self.workspace.directory).then_some(self.root.as_path()),
            members: &members,
        };
        let packed = npm_package::read(directory, surroundings, &published)?;
        self.tell_dropped(package, &packed.dropped);
        Ok(packed)
    }

    /// The packages inside a package that are not packed with it: of the root's directory all of them, elsewhere those of yarn 2 and
    /// newer, which alone knows packages inside packages.
    fn members_inside(&self, package: &Package) -> Vec<String> {
        let is_root = package.directory == self.workspace.directory;
        if !is_root && self.workspace.manager.manager != Manager::YarnBerry {
            return Vec::new();
        }
        let members = self.workspace.packages.iter();
        members
            .filter_map(|member| below(&package.directory, &member.directory))
            .map(|inside| inside.to_string())
            .collect()
    }

    /// A package may be packed twice, for itself and in an archive; it is told once.
    fn tell_dropped(&mut self, package: &Package, dropped: &[String]) {
        for path in dropped {
            let notice = Notice {
                code: "build::link_dropped",
                message: format!(
                    "{} is packed without {}: it is a symbolic link or a special file, and npm packs neither",
                    package.name,
                    quoted(path)
                ),
            };
            if !self.notices.contains(&notice) {
                self.notices.push(notice);
            }
        }
    }
}

/// The text of a package's `package.json` as the build left it.
fn built_manifest(package: &Package, directory: &Path) -> Result<String, Failure> {
    let bytes = files::read_bounded(
        &directory.join("package.json"),
        crate::workspace::LONGEST_MANIFEST as u64,
    )?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::new(
            Exit::Refused,
            "build::encoding",
            format!("{} is not UTF-8 text", package.file()),
        )
    })
}

/// The scripts that run around packing, in npm's order; the last one runs after it.
const LIFECYCLE: [&str; 4] = ["prepublishOnly", "prepack", "prepare", "postpack"];
