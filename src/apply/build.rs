//! Building and packing: the edits of the release in the work tree, the project's own commands without secrets, then every byte packed with its digest. Writes nothing outside this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::explain::{Exit, Failure, quoted};
use crate::local::archive::{self, Content, Entry, EntrySource};
use crate::local::files;
use crate::local::git::Repo;
use crate::local::process::{Children, Output, Package as Scripted, Project, ShellCommand};
use crate::local::scratch::Scratch;
use crate::local::status;
use crate::local::worktree::{EditedTree, named};
use crate::name::{Digest, Integrity, PackageName, RepoPath, Variant};
use crate::plan::release::{Notice, Plan, PlannedApp};
use crate::plan::static_files::static_set;
use crate::release::app::{Archive, Build, FileList, Runtime, Scripts, StaticFiles};
use crate::release::seal::SealedApp;
use crate::settings::{AppSettings, Install, Settings};
use crate::version::Version;
use crate::workspace::lockfile::npm::Lock;
use crate::workspace::pack_list::{dropped, pack_list};
use crate::workspace::package::Kind;
use crate::workspace::production::{self, Source};
use crate::workspace::publishable::publishable;
use crate::workspace::{Workspace, package::Package};

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
    moment: i64,
    /// Tracked files that are not checked out.
    absent: Vec<RepoPath>,
    directory: Scratch,
    blobs: BTreeMap<Digest, PathBuf>,
    notices: Vec<Notice>,
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

/// Refuses changes that git was told not to look at; gives the files that it was told to leave out.
fn require_seen(repo: &Repo, settings: &Settings) -> Result<Vec<RepoPath>, Failure> {
    let unseen = status::unseen(repo, &settings.child_environment)?;
    if unseen.changed.is_empty() {
        return Ok(unseen.absent);
    }
    Err(Failure::new(
        Exit::Refused,
        "build::hidden_changes",
        format!(
            "files differ from the commit, and git was told not to look at them: {}",
            named(&unseen.changed)
        ),
    )
    .because("what is packed must be what the release commit holds")
    .hint("`git update-index --no-assume-unchanged -- <file>` and `git update-index --no-skip-worktree -- <file>` let git see them again; then commit or undo the changes"))
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
            std::fs::read(self.repo.root().join(path.as_str()))
                .map_or(true, |bytes| bytes != text.as_bytes())
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
        Err(Failure::new(
            Exit::Refused,
            "build::not_checked_out",
            format!(
                "files of {} are not checked out: {}",
                package.name,
                named(&missing)
            ),
        )
        .because("git was told to leave them out, and the release commit holds them")
        .hint("run `git sparse-checkout disable`, or `git update-index --no-skip-worktree -- <file>` and `git checkout -- <file>`"))
    }

    fn command(&self, line: &str, directory: &Path) -> Result<(), Failure> {
        tracing::info!("running {line}");
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
                match self
                    .workspace
                    .lockfile
                    .as_ref()
                    .map(|(path, _)| path.as_str())
                {
                    Some(_) => "npm ci --no-audit --no-fund".to_owned(),
                    None if self.root.join("pnpm-lock.yaml").exists() => {
                        "pnpm install --frozen-lockfile".to_owned()
                    }
                    None if self.root.join("yarn.lock").exists() => {
                        "yarn install --immutable".to_owned()
                    }
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
            .packages
            .iter()
            .chain(&self.workspace.root)
            .any(|package| !package.manifest.dependencies.is_empty());
        ships || ((builds || scripts) && declares)
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
        let files = self.packed_files(package, &directory, true)?;
        let count = files.len();
        let tarball = archive::npm_tarball(&files)?;
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
            files: count,
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

    /// The files that npm would pack of a package, `package.json` as it is published.
    fn packed_files(
        &mut self,
        package: &Package,
        directory: &Path,
        strict: bool,
    ) -> Result<Vec<(String, EntrySource, bool)>, Failure> {
        self.require_whole(package)?;
        let file = package.file();
        let text = String::from_utf8(files::read_bounded(
            &directory.join("package.json"),
            crate::workspace::LONGEST_MANIFEST as u64,
        )?)
        .map_err(|_| {
            Failure::new(
                Exit::Refused,
                "build::encoding",
                format!("{file} is not UTF-8 text"),
            )
        })?;
        let published = publishable(file.as_str(), &text, &self.versions, strict)?;
        let manifest =
            serde_json::from_str(published.trim_start_matches('\u{feff}')).map_err(|error| {
                Failure::new(
                    Exit::Refused,
                    "build::manifest",
                    format!("{file} is not valid JSON any more"),
                )
                .because(error)
            })?;
        let members: Vec<String> = if package.directory == self.workspace.directory {
            self.workspace
                .packages
                .iter()
                .filter(|member| member.directory != package.directory)
                .map(|member| member.directory.to_string())
                .collect()
        } else {
            Vec::new()
        };
        let surroundings = files::Surroundings {
            root: (package.directory != self.workspace.directory).then_some(self.root.as_path()),
            members: &members,
        };
        let tree = files::read_package(directory, surroundings)?;
        let executables: std::collections::BTreeSet<&str> = tree
            .files
            .iter()
            .filter(|file| file.executable)
            .map(|file| file.path.as_str())
            .collect();
        let list = pack_list(&manifest, &tree)?;
        self.tell_dropped(package, &dropped(&manifest, &tree)?);
        Ok(list
            .into_iter()
            .map(|path| {
                let source = if path == "package.json" {
                    EntrySource::Bytes(published.clone().into_bytes())
                } else {
                    EntrySource::File(directory.join(&path))
                };
                let executable = executables.contains(path.as_str());
                (path, source, executable)
            })
            .collect())
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

    fn app(&mut self, app: &PlannedApp, variant: &Variant) -> Result<SealedApp, Failure> {
        let package = &self.workspace.packages[app.index];
        let own = self.settings.app_settings(&app.name).clone();
        self.require_whole(package)?;
        let directory = self.repo.root().join(package.directory.as_str());
        let dist = own.dist.clone().unwrap_or_else(|| "dist".to_owned());
        let command = self.build_command(&own, variant);
        if matches!(variant, Variant::Environment(_)) {
            self.remove_output(package, &dist)?;
        }
        if let Some(command) = &command {
            let at = if own.build.is_some() {
                &directory
            } else {
                &self.root
            };
            self.command(command, at)?;
        }
        package.directory.join(&dist)?;
        self.require_inside(&directory.join(&dist))?;
        let static_files = self.static_files(package, &own, &directory.join(&dist), variant)?;
        let (archive, files, runtime) = if package.kind == Kind::Service {
            self.archive(app, variant, package, &own, &directory, &dist)?
        } else {
            (None, None, Runtime::default())
        };
        if archive.is_none() && static_files.is_none() {
            return Err(Failure::new(
                Exit::Refused,
                "build::empty_app",
                format!("{} has nothing to ship", app.name),
            )
            .because(format!(
                "it is no service, and {} does not exist after the build",
                directory.join(&dist).display()
            ))
            .hint(
                "name its build with apps.<name>.build, or its directory with apps.<name>.dist",
            ));
        }
        let lockfile_digest = self.workspace.lockfile.as_ref().map(|(path, text)| {
            self.plan
                .edits
                .iter()
                .find(|(edited, _)| edited == path)
                .map_or_else(
                    || Digest::of(text.as_bytes()),
                    |(_, text)| Digest::of(text.as_bytes()),
                )
                .to_string()
        });
        Ok(SealedApp {
            name: app.name.to_string(),
            version: app.to.to_string(),
            variant: variant.to_string(),
            archive,
            static_files,
            files,
            build: Build {
                run: self.settings.runner.run_id.clone(),
                attempt: self.settings.runner.run_attempt.clone(),
                command,
                lockfile_digest,
            },
            runtime,
            scripts: Scripts {
                start: own.start,
                stop: own.stop,
                environment_variable: own.environment_variable,
                health: own.health,
            },
        })
    }

    /// A link may not lead what is shipped out of the repository.
    fn require_inside(&self, path: &Path) -> Result<(), Failure> {
        let Ok(physical) = path.canonicalize() else {
            return Ok(());
        };
        let root = self.repo.root().canonicalize();
        if root.is_ok_and(|root| physical.starts_with(root)) {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            "build::outside",
            format!("{} leads out of the repository", path.display()),
        )
        .because(format!("it is {}", physical.display()))
        .hint("ship what lies in the repository: replace the link by a copy"))
    }

    fn build_command(&self, own: &AppSettings, variant: &Variant) -> Option<String> {
        let shared = self
            .settings
            .build
            .as_ref()
            .filter(|command| command.contains("{environment}"));
        let command = own.build.as_ref().or(shared)?;
        Some(match variant {
            Variant::Any => command.clone(),
            Variant::Environment(environment) => {
                command.replace("{environment}", environment.as_str())
            }
        })
    }

    /// Removes an earlier variant's output, so that each build starts from nothing; tracked files stay.
    fn remove_output(&self, package: &Package, dist: &str) -> Result<(), Failure> {
        let path = package.directory.join(dist)?;
        if !self.repo.is_ignored(&path) {
            return Ok(());
        }
        let dist = self.repo.root().join(path.as_str());
        match std::fs::remove_dir_all(&dist) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Failure::new(
                Exit::Temporary,
                "build::disk",
                format!("{} could not be emptied", dist.display()),
            )
            .because(error)),
        }
    }

    fn static_files(
        &mut self,
        package: &Package,
        own: &AppSettings,
        dist: &Path,
        variant: &Variant,
    ) -> Result<Option<StaticFiles>, Failure> {
        if !dist.is_dir() {
            return Ok(None);
        }
        let mut listed = Vec::new();
        for file in files::walk_files(dist)? {
            let path = file.at;
            let (digest, size) = files::hash_file(&path)?;
            // The next variant's build writes over these files.
            let path = match variant {
                Variant::Any => path,
                Variant::Environment(_) => {
                    let copy = self.directory.path().join(digest.hex());
                    std::fs::copy(&path, &copy).map_err(|error| {
                        Failure::new(
                            Exit::Temporary,
                            "build::disk",
                            format!("{} could not be kept", path.display()),
                        )
                        .because(error)
                    })?;
                    copy
                }
            };
            self.keep(&digest, path);
            listed.push((file.path, digest, size));
        }
        let set = static_set(listed, &own.immutable, &own.mutable).map_err(|failure| {
            failure.because(format!("a file of {} in {}", package.name, dist.display()))
        })?;
        if set.files.is_empty() {
            return Ok(None);
        }
        let (count, bytes) = (
            set.files.len() as u64,
            set.files.iter().map(|file| file.size).sum(),
        );
        let mutable = set
            .files
            .iter()
            .filter(|file| file.class != crate::release::static_set::Class::Immutable)
            .count() as u64;
        let digest = self.keep_bytes(&crate::release::to_bytes(&set))?;
        let root = self
            .settings
            .static_root
            .value()
            .cloned()
            .unwrap_or_default();
        Ok(Some(StaticFiles {
            digest: digest.to_string(),
            root,
            count,
            bytes,
            mutable,
        }))
    }

    fn archive(
        &mut self,
        app: &PlannedApp,
        variant: &Variant,
        package: &Package,
        own: &AppSettings,
        directory: &Path,
        dist: &str,
    ) -> Result<(Option<Archive>, Option<FileList>, Runtime), Failure> {
        let mut entries = Vec::new();
        let include = own.include.clone().unwrap_or_else(|| {
            ["package.json", "lockfile", "service", "node_modules"]
                .map(str::to_owned)
                .to_vec()
        });
        let explicit = own.include.is_some();
        for name in &include {
            match name.trim_end_matches('/') {
                "package.json" => {
                    let file = package.file();
                    let text = String::from_utf8_lossy(&files::read_bounded(
                        &directory.join("package.json"),
                        crate::workspace::LONGEST_MANIFEST as u64,
                    )?)
                    .into_owned();
                    entries.push(Entry {
                        path: "package.json".to_owned(),
                        source: EntrySource::Bytes(
                            publishable(file.as_str(), &text, &self.versions, false)?.into_bytes(),
                        ),
                        executable: false,
                    });
                }
                "lockfile" => {
                    if let Some((path, _)) = &self.workspace.lockfile {
                        let name = path
                            .as_str()
                            .rsplit('/')
                            .next()
                            .unwrap_or_default()
                            .to_owned();
                        entries.push(Entry {
                            path: name,
                            source: EntrySource::File(self.repo.root().join(path.as_str())),
                            executable: false,
                        });
                    }
                }
                "node_modules" => entries.extend(self.production(package)?),
                path => {
                    package.directory.join(path)?;
                    self.require_inside(&directory.join(path))?;
                    entries.extend(included(directory, path, explicit)?);
                }
            }
        }
        if !own.dist_in_archive.is_empty() {
            let globs = crate::plan::static_files::globs(&own.dist_in_archive)?;
            for file in files::walk_files(&directory.join(dist))? {
                if globs.is_match(&file.path) {
                    entries.push(Entry {
                        path: format!("{dist}/{}", file.path),
                        source: EntrySource::File(file.at),
                        executable: false,
                    });
                }
            }
        }
        let is_native = entries.iter().any(|entry| {
            Path::new(&entry.path)
                .extension()
                .is_some_and(|extension| extension == "node")
        });
        let runtime = self.runtime(is_native);
        let to = self
            .directory
            .path()
            .join(crate::release::layout::archive_file_name(
                &app.name, &app.to, variant,
            ));
        let packed = archive::pack(entries, self.moment, &to)?;
        self.keep(&packed.digest, packed.path.clone());
        let list = FileListDocument {
            schema: "pkgs.files/1",
            files: packed.files.iter().map(ListedDocument::from).collect(),
        };
        let list = self.keep_bytes(&crate::release::to_bytes(&list))?;
        let archive = Archive {
            digest: packed.digest.to_string(),
            size: packed.size,
            encoding: "tar+zstd".to_owned(),
            tar_digest: packed.tar_digest.to_string(),
            tar_size: packed.tar_size,
            entries: packed.entries,
        };
        Ok((
            Some(archive),
            Some(FileList {
                digest: list.to_string(),
            }),
            runtime,
        ))
    }

    /// What a host must offer. Native modules tie an archive to the kind of machine it was installed on.
    fn runtime(&self, is_native: bool) -> Runtime {
        let ask = |expression: &str| {
            let line = format!("node -p {expression}");
            self.project
                .run(&ShellCommand::new(&line, &self.root), Output::Capture)
                .ok()
                .map(|finished| finished.stdout.trim().to_owned())
                .filter(|answer| !answer.is_empty())
        };
        let mut runtime = Runtime {
            node: ask("process.versions.node"),
            package_manager: self
                .workspace
                .root
                .as_ref()
                .and_then(|root| root.manifest.package_manager.clone()),
            ..Runtime::default()
        };
        if is_native {
            runtime.modules_abi = ask("process.versions.modules");
            runtime.os = ask("process.platform");
            runtime.arch = ask("process.arch");
            runtime.libc =
                ask("\"process.report.getReport().header.glibcVersionRuntime?'glibc':'musl'\"");
        }
        runtime
    }

    /// The app's production dependencies, taken out of the installed `node_modules` by the lockfile.
    fn production(&mut self, package: &Package) -> Result<Vec<Entry>, Failure> {
        let ships = package.manifest.dependencies.iter().any(|dependency| {
            dependency.field != crate::workspace::package_json::DependencyField::DevDependencies
        });
        let Some((path, text)) = &self.workspace.lockfile else {
            if !ships {
                return Ok(Vec::new());
            }
            return Err(Failure::new(Exit::Refused, "build::no_lockfile", format!("{} has dependencies, but the workspace has no package-lock.json", package.name))
                .because("what an archive holds is taken from the lockfile, so that machines do not differ")
                .hint("commit package-lock.json; archives of services in pnpm, yarn and bun workspaces are not made yet"));
        };
        let text = self
            .plan
            .edits
            .iter()
            .find(|(edited, _)| edited == path)
            .map_or(text, |(_, text)| text);
        let lock = Lock::parse(path.as_str(), text)?;
        let directory = package
            .directory
            .as_str()
            .strip_prefix(self.workspace.directory.as_str())
            .map(|rest| rest.trim_start_matches('/'))
            .unwrap_or_default();
        let mut entries = Vec::new();
        for placement in production::closure(&lock, &RepoPath::parse(directory)?)? {
            match placement.from {
                Source::Installed { location } => {
                    let installed = self.root.join(&location);
                    if !installed.is_dir() {
                        if placement.optional {
                            continue;
                        }
                        return Err(Failure::new(
                            Exit::Refused,
                            "build::not_installed",
                            format!("{location} is in the lockfile, but not installed"),
                        )
                        .hint("run `npm ci` before, or let `install: auto` do it"));
                    }
                    for file in files::walk_package(&installed)? {
                        entries.push(Entry {
                            path: format!("{}/{}", placement.to, file.path),
                            source: EntrySource::File(file.at),
                            executable: file.executable,
                        });
                    }
                }
                Source::Workspace { dir } => {
                    let inside = self.workspace.directory.join(dir.as_str())?;
                    let Some(member) = self
                        .workspace
                        .packages
                        .iter()
                        .find(|member| member.directory == inside)
                    else {
                        return Err(Failure::new(
                            Exit::Refused,
                            "build::lockfile_member",
                            format!(
                                "the lockfile links {dir}, which is no package of the workspace"
                            ),
                        )
                        .hint("run `npm install` and commit the lockfile"));
                    };
                    for (file, source, executable) in self.packed_files(
                        member,
                        &self.repo.root().join(member.directory.as_str()),
                        false,
                    )? {
                        entries.push(Entry {
                            path: format!("{}/{file}", placement.to),
                            source,
                            executable,
                        });
                    }
                }
            }
        }
        Ok(entries)
    }
}

/// The scripts that run around packing, in npm's order; the last one runs after it.
const LIFECYCLE: [&str; 4] = ["prepublishOnly", "prepack", "prepare", "postpack"];

/// Everything at `path` below an app's directory.
fn included(directory: &Path, path: &str, explicit: bool) -> Result<Vec<Entry>, Failure> {
    let checked = RepoPath::parse(path)?;
    let at = directory.join(checked.as_str());
    if at.is_file() {
        return Ok(vec![Entry {
            path: path.to_owned(),
            executable: files::is_executable(&at),
            source: EntrySource::File(at),
        }]);
    }
    if !at.is_dir() {
        if explicit {
            return Err(Failure::new(
                Exit::Refused,
                "build::include",
                format!(
                    "include names {path}, which does not exist in {} after the build",
                    directory.display()
                ),
            ));
        }
        return Ok(Vec::new());
    }
    Ok(files::walk_package(&at)?
        .into_iter()
        .map(|file| Entry {
            path: format!("{path}/{}", file.path),
            source: EntrySource::File(file.at),
            executable: file.executable,
        })
        .collect())
}

#[derive(serde::Serialize)]
struct FileListDocument {
    schema: &'static str,
    files: Vec<ListedDocument>,
}

#[derive(serde::Serialize)]
struct ListedDocument {
    path: String,
    mode: u32,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl From<&archive::ListedFile> for ListedDocument {
    fn from(file: &archive::ListedFile) -> ListedDocument {
        let (digest, link) = match &file.content {
            Content::Digest(digest) => (Some(digest.to_string()), None),
            Content::Link(target) => (None, Some(target.clone())),
        };
        ListedDocument {
            path: file.path.clone(),
            mode: file.mode,
            size: file.size,
            digest,
            link,
        }
    }
}
