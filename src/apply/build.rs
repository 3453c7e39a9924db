//! Building and packing: the edits of the release in the work tree, the project's own commands without secrets, then every byte packed with its digest. Writes nothing outside this machine.

mod app;
mod archive;
mod contained;
mod scripts;
mod tarball;

pub use app::DIST;
use scripts::LIFECYCLE;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::changes::owner::Ignored;
use crate::explain::{Exit, Failure, quoted, safe_line};
use crate::local::archive::npm_tarball;
use crate::local::files;
use crate::local::git::Repo;
use crate::local::npm_package::{self, NpmPackage};
use crate::local::process::{Children, Orphans, Output, Project, ShellCommand};
use crate::local::scratch::Scratch;
use crate::local::status;
use crate::local::worktree::{EditedTree, named};
use crate::name::{Digest, Integrity, PackageName, RepoPath};
use crate::plan::release::{Notice, Plan, PlannedApp};
use crate::release::seal::SealedApp;
use crate::release::to_bytes;
use crate::settings::{Install, Settings};
use crate::version::Version;
use crate::workspace::catalogs::Catalogs;
use crate::workspace::manager::Manager;
use crate::workspace::npm_manifest::normalised;
use crate::workspace::package::Kind;
use crate::workspace::package_json::Form;
use crate::workspace::publish_config::executables;
use crate::workspace::publishable::{Reader, publishable};
use crate::workspace::script_environment::Toolchain;
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
    _directory: Option<Scratch>,
}

impl Packed {
    /// What lies in files that stay.
    pub(super) fn lying(
        packages: Vec<PackedPackage>,
        apps: Vec<SealedApp>,
        blobs: BTreeMap<Digest, PathBuf>,
    ) -> Packed {
        Packed {
            packages,
            apps,
            blobs,
            notices: Vec::new(),
            _directory: None,
        }
    }
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
    /// Its sha1, in hexadecimal digits.
    pub shasum: String,
    /// Its name in `blobs/`.
    pub digest: Digest,
    /// The digest of the tar inside.
    pub tar_digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Path inside the package, length and mode of every file, in the tarball's order.
    pub files: Vec<(String, u64, u32)>,
    /// What a registry is told of it, as npm makes it of the package's directory.
    pub manifest: Map<String, Value>,
    /// Where that lies in `blobs/`; `None` where the tarball tells the same.
    pub manifest_digest: Option<Digest>,
}

/// What is built and packed.
pub struct Wanted<'a> {
    /// What the release commit changes; it is in the work tree already.
    pub edits: &'a [(RepoPath, Option<String>)],
    /// Packages.
    pub packages: Vec<WantedPackage>,
    /// Apps with their builds.
    pub apps: Vec<PlannedApp>,
    /// The time of every file in an archive, in seconds since 1970.
    pub moment: i64,
}

/// A package that is released, or packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPackage {
    /// Its place in the workspace.
    pub index: usize,
    /// Its version.
    pub version: Version,
    /// Whether it becomes a tarball.
    pub is_packed: bool,
}

impl<'a> Wanted<'a> {
    /// What a plan releases.
    fn of(plan: &'a Plan, moment: i64) -> Wanted<'a> {
        let packages = plan.packages.iter().filter_map(|planned| {
            Some(WantedPackage {
                index: planned.index?,
                version: planned.to.clone(),
                is_packed: planned.kind == Kind::Library,
            })
        });
        Wanted {
            edits: &plan.edits,
            packages: packages.collect(),
            apps: plan.apps.clone(),
            moment,
        }
    }
}

/// One build at work.
struct Builder<'a> {
    /// `None`: what lies in a directory is packed as it is.
    repo: Option<&'a Repo>,
    wanted: Wanted<'a>,
    workspace: &'a Workspace,
    settings: &'a Settings,
    project: Project,
    /// The directory that paths begin at: the repository's.
    top: PathBuf,
    /// The workspace's directory.
    root: PathBuf,
    versions: BTreeMap<PackageName, Version>,
    /// As the release commit has them.
    catalogs: Catalogs,
    /// Tracked files that are not checked out.
    absent: Vec<RepoPath>,
    directory: Scratch,
    blobs: BTreeMap<Digest, PathBuf>,
    notices: Vec<Notice>,
    /// What scripts call, once something asks.
    toolchain: OnceCell<Toolchain>,
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
    let orphans = Orphans::adopt()?;
    let edited = EditedTree::write(repo, &plan.edits)?;
    let wanted = Wanted::of(plan, repo.committed_at(&plan.head)?);
    let built =
        Builder::new(repo.root(), wanted, workspace, settings, children).and_then(|builder| {
            Builder {
                repo: Some(repo),
                absent,
                ..builder
            }
            .run()
        });
    // Before the tree is put back, and before git is told how to push.
    let ended = orphans.end();
    let built = built.and_then(|packed| ended.map(|()| packed));
    match (built, edited.restore()) {
        (Ok(packed), Ok(())) => Ok(packed),
        (Ok(_), Err(failure)) | (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(left)) => {
            Err(failure.because(format!("and the work tree could not be put back: {left}")))
        }
    }
}

/// Packs what lies in a directory as it is: nothing is installed or built, and of the scripts only those run that npm runs around packing. What may
/// not leave is told, not refused: whoever looks at a package wants to see it.
///
/// # Errors
/// What npm could not pack, and what nobody could install; those of the disk and of the scripts.
pub fn pack(
    top: &Path,
    wanted: Wanted<'_>,
    workspace: &Workspace,
    settings: &Settings,
    children: Children,
) -> Result<Packed, Failure> {
    Builder::new(top, wanted, workspace, settings, children).and_then(Builder::run_as_it_is)
}

/// The catalogs as the release commit has them.
fn released_catalogs(wanted: &Wanted<'_>, workspace: &Workspace) -> Result<Catalogs, Failure> {
    let Some(file) = &workspace.catalogs else {
        return Ok(Catalogs::new());
    };
    match wanted.edits.iter().find(|(path, _)| *path == file.path) {
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
        top: &Path,
        wanted: Wanted<'a>,
        workspace: &'a Workspace,
        settings: &'a Settings,
        children: Children,
    ) -> Result<Builder<'a>, Failure> {
        // Scripts are told where they are, and git ends that with a slash.
        let top: PathBuf = top.components().collect();
        let mut project = Project::new(&settings.child_environment, children);
        if settings.runner.is_actions {
            project = project.stopping_commands(format!("{:032x}", settings.nonce));
        }
        let packages = workspace.packages.iter();
        let held =
            packages.filter_map(|package| Some((package.name.clone(), package.version.clone()?)));
        let mut versions: BTreeMap<PackageName, Version> = held.collect();
        let new = wanted.packages.iter().map(|one| {
            let package = &workspace.packages[one.index];
            (package.name.clone(), one.version.clone())
        });
        versions.extend(new);
        Ok(Builder {
            catalogs: released_catalogs(&wanted, workspace)?,
            key_files: Ignored::of("key-files", &settings.key_files)?,
            root: place(&top, &workspace.directory),
            top,
            repo: None,
            wanted,
            workspace,
            settings,
            project,
            versions,
            absent: Vec::new(),
            directory: Scratch::new()?,
            blobs: BTreeMap::new(),
            notices: Vec::new(),
            toolchain: OnceCell::new(),
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
        let (apps, packages) = self.all(&LIFECYCLE)?;
        self.refuse_other_changes()?;
        match Failure::all(std::mem::take(&mut self.problems)) {
            Some(failure) => Err(failure),
            None => Ok(self.end(apps, packages)),
        }
    }

    fn run_as_it_is(mut self) -> Result<Packed, Failure> {
        let (apps, packages) = self.all(&LIFECYCLE[1..])?;
        let problems = std::mem::take(&mut self.problems);
        let notices = problems.iter().map(|problem| Notice {
            code: problem.code(),
            message: [problem.what()]
                .into_iter()
                .chain(problem.causes().iter().map(String::as_str))
                .collect::<Vec<&str>>()
                .join(": "),
        });
        self.notices.extend(notices);
        Ok(self.end(apps, packages))
    }

    /// Every app and library; of each library `scripts` run, the last one after it is packed.
    fn all(&mut self, scripts: &[&str]) -> Result<(Vec<SealedApp>, Vec<PackedPackage>), Failure> {
        let mut apps = Vec::new();
        for app in self.wanted.apps.clone() {
            for variant in &app.variants {
                apps.push(self.app(&app, variant)?);
            }
        }
        let mut packages = Vec::new();
        for wanted in self.wanted.packages.clone() {
            if wanted.is_packed {
                let package = &self.workspace.packages[wanted.index];
                packages.push(self.library(package, &wanted.version, scripts)?);
            }
        }
        Ok((apps, packages))
    }

    fn end(self, apps: Vec<SealedApp>, packages: Vec<PackedPackage>) -> Packed {
        Packed {
            packages,
            apps,
            blobs: self.blobs,
            notices: self.notices,
            _directory: Some(self.directory),
        }
    }

    /// What was packed must be what the release commit holds: a tracked file that the build changed would be in the tarball and not in
    /// the commit. An edited file that the build put back to `HEAD` is such a file too, although git calls it clean.
    fn refuse_other_changes(&self) -> Result<(), Failure> {
        let Some(repo) = self.repo else {
            return Ok(());
        };
        let edits = self.wanted.edits;
        let lost = edits.iter().filter(|(path, text)| {
            let present = std::fs::read(self.top.join(path.as_str())).ok();
            present.as_deref() != text.as_ref().map(String::as_bytes)
        });
        let mut changed: Vec<RepoPath> = lost.map(|(path, _)| path.clone()).collect();
        let mut dirty = status::dirty(repo, &self.settings.child_environment)?;
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
            &self.top,
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
        let wanted = || {
            let packages = self.wanted.packages.iter();
            packages.map(|one| &self.workspace.packages[one.index])
        };
        let own_build = |app: &PlannedApp| self.settings.app_settings(&app.name).build.is_some();
        let builds = self.settings.build.is_some() || self.wanted.apps.iter().any(own_build);
        let is_scripted = |package: &Package| {
            let scripts = &package.manifest.scripts;
            LIFECYCLE.iter().any(|script| scripts.contains_key(*script))
        };
        let scripts = self.settings.scripts && wanted().any(is_scripted);
        let ships = wanted().any(|package| {
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
        let lockfile = self.workspace.lockfile.as_ref()?;
        let path = &lockfile.path;
        let edited = self.wanted.edits.iter().find(|(edited, _)| edited == path);
        let text = edited.and_then(|(_, text)| text.as_deref());
        Some((path, text.unwrap_or(&lockfile.text)))
    }

    fn keep(&mut self, digest: &Digest, path: PathBuf) {
        self.blobs.entry(digest.clone()).or_insert(path);
    }

    /// Writes bytes to a file of their own that will become a blob.
    fn keep_bytes(&mut self, bytes: &[u8]) -> Result<Digest, Failure> {
        let digest = Digest::of(bytes);
        let path = self.directory.path().join(digest.hex());
        // It is read by this run alone, so nothing of it has to outlive a power cut.
        std::fs::write(&path, bytes)
            .map_err(|error| files::failed("files::write", "write", &path, &error))?;
        self.keep(&digest, path);
        Ok(digest)
    }

    fn library(
        &mut self,
        package: &Package,
        version: &Version,
        scripts: &[&str],
    ) -> Result<PackedPackage, Failure> {
        let directory = place(&self.top, &package.directory);
        let (before, last) = scripts.split_at(scripts.len().saturating_sub(1));
        self.lifecycle(package, &directory, before, None)?;
        let reader = Reader::Installer {
            from_git: self.settings.git_dependencies,
            manager: self.workspace.manager.manager,
            // As it is, what npm packs is packed; a release is what its author believes.
            form: if self.repo.is_some() {
                Form::Documented
            } else {
                Form::Packed
            },
        };
        let packed = self.packed(package, &directory, reader)?;
        let tarball = npm_tarball(&packed.files)?;
        self.examine(package, &packed, &tarball)?;
        let digest = self.keep_bytes(&tarball.bytes)?;
        self.lifecycle(package, &directory, last, Some(&tarball.integrity))?;
        let (manifest, manifest_digest) = self.told(&packed)?;
        Ok(PackedPackage {
            name: package.name.clone(),
            version: version.clone(),
            integrity: tarball.integrity,
            shasum: files::shasum(&tarball.bytes),
            digest,
            tar_digest: tarball.tar_digest,
            size: tarball.size,
            files: tarball.files,
            manifest,
            manifest_digest,
        })
    }

    /// What a registry is told of a package. What the tarball does not tell, because npm reads files that it does not pack, is kept beside it:
    /// whoever goes on with the release tells the same.
    fn told(
        &mut self,
        packed: &NpmPackage,
    ) -> Result<(Map<String, Value>, Option<Digest>), Failure> {
        let Some(manifest) = packed.manifest.as_object() else {
            return Ok((Map::new(), None));
        };
        let paths = packed.files.iter().map(|file| file.path.as_str()).collect();
        let told = normalised(manifest, &packed.beside);
        if told == normalised(manifest, &packed.beside.within(&paths)) {
            return Ok((told, None));
        }
        let digest = self.keep_bytes(&to_bytes(&told))?;
        Ok((told, Some(digest)))
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
        let published = publishable(file.as_str(), &text, &self.versions, &self.catalogs, reader);
        let published = match published {
            // Whoever looks at a package as it is wants to see it; npm packs it, too.
            Err(failure) if self.repo.is_none() => {
                self.problems.extend(failure.each().cloned());
                text.clone()
            }
            published => published?,
        };
        let members = self.members_inside(package);
        let surroundings = files::Surroundings {
            root: (package.directory != self.workspace.directory).then_some(self.root.as_path()),
            members: &members,
        };
        let mut packed =
            npm_package::read(directory, surroundings, &published, self.settings.npm_rules)?;
        if matches!(reader, Reader::Installer { .. }) {
            packed.make_executable(&executables(&text, self.workspace.manager.manager));
        }
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
            .filter(|member| member.directory != package.directory)
            .filter_map(|member| below(&package.directory, &member.directory))
            .map(|inside| inside.to_string())
            .collect()
    }

    /// A package may be packed twice, for itself and in an archive; it is told once.
    fn tell_dropped(&mut self, package: &Package, dropped: &[String]) {
        let mut told: HashSet<String> = self
            .notices
            .iter()
            .map(|notice| notice.message.clone())
            .collect();
        for path in dropped {
            let notice = Notice {
                code: "build::link_dropped",
                message: format!(
                    "{} is packed without {}: it is a symbolic link or a special file, and npm packs neither",
                    package.name,
                    quoted(path)
                ),
            };
            if told.insert(notice.message.clone()) {
                self.notices.push(notice);
            }
        }
    }
}

/// A directory of the repository, without the slash that joining nothing would leave.
fn place(top: &Path, directory: &RepoPath) -> PathBuf {
    match directory.as_str() {
        "" => top.to_owned(),
        below => top.join(below),
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
