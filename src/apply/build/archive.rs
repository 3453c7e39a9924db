//! What a service's archive holds: what `include` names, and production dependencies by the lockfile.

use std::collections::BTreeMap;
use std::path::Path;

use super::app::DIST;
use super::contained::Contents;
use super::{Builder, built_manifest};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::local::archive::{self, Content, Entry, EntrySource};
use crate::local::process::{Output, ShellCommand};
use crate::local::{files, installed};
use crate::name::{PackageName, RepoPath, Variant};
use crate::plan::release::{Notice, PlannedApp};
use crate::release::app::{Archive, Encoding, FileList, Runtime};
use crate::release::layout::archive_file_name;
use crate::settings::{AppSettings, Compress};
use crate::workspace::below;
use crate::workspace::lockfile::Lockfile;
use crate::workspace::lockfile::closure::{Graph, on_disk};
use crate::workspace::lockfile::npm::Lock;
use crate::workspace::manager::Manager;
use crate::workspace::native::{self, Machine, Module};
use crate::workspace::package::Package;
use crate::workspace::package_json::DependencyField;
use crate::workspace::production::{self, Placement, Source};
use crate::workspace::publishable::{Reader, publishable};

impl Builder<'_> {
    /// Packs what the app's host needs, in every encoding that is asked for, and lists it.
    pub(super) fn archive(
        &mut self,
        app: &PlannedApp,
        variant: &Variant,
        own: &AppSettings,
    ) -> Result<(Vec<Archive>, Option<FileList>, Runtime), Failure> {
        let package = &self.workspace.packages[app.index];
        let mut contents = Contents::default();
        match &own.include {
            Some(include) => {
                for name in include {
                    self.include(package, name, true, &mut contents)?;
                }
            }
            None => {
                for name in ["package.json", "lockfile", "service", "node_modules"] {
                    self.include(package, name, false, &mut contents)?;
                }
            }
        }
        contents.entries.extend(self.dist_in_archive(package, own)?);
        self.contain(package, &mut contents)?;
        let entries = contents.entries;
        let runtime = self.runtime(&app.name, &entries)?;
        let place = |encoding: Encoding| {
            let name = archive_file_name(&app.name, &app.to, variant, encoding);
            (encoding, self.directory.path().join(name))
        };
        let places: Vec<_> = encodings(own.compress).iter().copied().map(place).collect();
        let packed = archive::pack(entries, self.wanted.moment, &places)?;
        let list = FileListDocument {
            schema: "pkgs.files/1",
            files: packed.files.iter().map(ListedDocument::from).collect(),
        };
        let list = self.keep_bytes(&crate::release::to_bytes(&list))?;
        let archives = packed.archives.into_iter().map(|archive| {
            self.keep(&archive.digest, archive.path);
            Archive {
                digest: archive.digest.to_string(),
                size: archive.size,
                encoding: archive.encoding.as_str().to_owned(),
                tar_digest: packed.tar_digest.to_string(),
                tar_size: packed.tar_size,
                entries: packed.entries,
            }
        });
        let archives = archives.collect();
        let list = FileList {
            digest: list.to_string(),
        };
        Ok((archives, Some(list), runtime))
    }

    /// Adds what one name of `include` stands for; a path must be there only where a person named it.
    fn include(
        &mut self,
        package: &Package,
        name: &str,
        named: bool,
        contents: &mut Contents,
    ) -> Result<(), Failure> {
        let directory = self.top.join(package.directory.as_str());
        match name.trim_end_matches('/') {
            "package.json" => contents.entries.push(self.manifest(package, &directory)?),
            "lockfile" => contents.entries.extend(self.lockfile()),
            "node_modules" => self.production(package, contents)?,
            path => {
                package.directory.join(path)?;
                self.require_inside(&directory.join(path))?;
                contents.entries.extend(included(&directory, path, named)?);
            }
        }
        Ok(())
    }

    /// The app's `package.json`, with the versions of the workspace in it.
    fn manifest(&self, package: &Package, directory: &Path) -> Result<Entry, Failure> {
        let text = built_manifest(package, directory)?;
        let text = publishable(
            package.file().as_str(),
            &text,
            &self.versions,
            &self.catalogs,
            Reader::Host,
        )?;
        Ok(Entry {
            path: "package.json".to_owned(),
            source: EntrySource::Bytes(text.into_bytes()),
            executable: false,
        })
    }

    fn lockfile(&self) -> Option<Entry> {
        let path = &self.workspace.lockfile.as_ref()?.path;
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        Some(Entry {
            path: name.to_owned(),
            source: EntrySource::File(self.top.join(path.as_str())),
            executable: false,
        })
    }

    /// The files of `dist` that the server itself reads.
    fn dist_in_archive(&self, package: &Package, own: &AppSettings) -> Result<Vec<Entry>, Failure> {
        if own.dist_in_archive.is_empty() {
            return Ok(Vec::new());
        }
        let dist = own.dist.as_deref().unwrap_or(DIST);
        let directory = self.top.join(package.directory.as_str());
        let globs = crate::plan::static_files::globs(&own.dist_in_archive)?;
        let mut found = files::walk_files(&directory.join(dist))?;
        found.retain(|file| globs.is_match(&file.path));
        Ok(found
            .into_iter()
            .map(|file| Entry {
                path: format!("{dist}/{}", file.path),
                source: EntrySource::File(file.at),
                executable: false,
            })
            .collect())
    }

    /// What a host must offer. Native modules tie an archive to the kind of machine it was installed on: what that is must be known.
    fn runtime(&mut self, app: &PackageName, entries: &[Entry]) -> Result<Runtime, Failure> {
        let package_manager = self.workspace.root.as_ref();
        let mut runtime = Runtime {
            node: self.node("process.versions.node").unwrap_or(None),
            package_manager: package_manager.and_then(|root| root.manifest.package_manager.clone()),
            ..Runtime::default()
        };
        let modules = native_modules(entries)?;
        if modules.is_empty() {
            return Ok(runtime);
        }
        let os = self.known("process.platform")?;
        let arch = self.known("process.arch")?;
        let libc =
            self.known("\"process.report.getReport().header.glibcVersionRuntime?'glibc':'musl'\"")?;
        let machine = Machine {
            os: &os,
            arch: &arch,
            libc: &libc,
        };
        let contract = native::contract(machine, &modules);
        self.notices
            .extend(without_modules(app, machine, &contract.without));
        if contract.is_native {
            runtime.modules_abi = Some(self.known("process.versions.modules")?);
            runtime.min_glibc = contract.min_glibc;
            (runtime.os, runtime.arch, runtime.libc) = (Some(os), Some(arch), Some(libc));
        }
        Ok(runtime)
    }

    /// What Node says of itself.
    fn node(&self, expression: &str) -> Result<Option<String>, Failure> {
        let line = format!("node -p {expression}");
        let run = self
            .project
            .run(&ShellCommand::new(&line, &self.root), Output::Capture)?;
        let answer = run.stdout.trim().to_owned();
        Ok(Some(answer).filter(|answer| !answer.is_empty()))
    }

    /// The same where it must be known.
    fn known(&self, expression: &str) -> Result<String, Failure> {
        let unknown = || {
            Failure::new(Exit::Refused, "build::runtime_unknown", "the app has native modules, but `node` does not say what they were installed for")
                .hint("make node available where the release runs: the archive must tell hosts which of them it fits")
        };
        match self.node(expression) {
            Ok(answer) => answer.ok_or_else(unknown),
            Err(failure) => Err(unknown().because(failure.what())),
        }
    }

    /// Adds the app's production dependencies, taken out of the installed `node_modules` by the lockfile.
    fn production(&mut self, package: &Package, contents: &mut Contents) -> Result<(), Failure> {
        let ships = package
            .manifest
            .dependencies
            .iter()
            .any(|dependency| dependency.field != DependencyField::DevDependencies);
        let Some(lockfile) = &self.workspace.lockfile else {
            if !ships {
                return Ok(());
            }
            return Err(Failure::new(
                Exit::Refused,
                "build::no_lockfile",
                format!(
                    "{} has dependencies, but the workspace has no lockfile",
                    package.name
                ),
            )
            .because(
                "what an archive holds is taken from the lockfile, so that machines do not differ",
            )
            .hint(
                "commit the lockfile of your package manager; `store: none` releases versions only",
            ));
        };
        let app = below(&self.workspace.directory, &package.directory);
        let app = app.unwrap_or_else(RepoPath::root);
        let of_npm = lockfile.kind.manager() == Manager::Npm;
        let placements = match self.released_lockfile().filter(|_| of_npm) {
            Some((path, text)) => production::closure(&Lock::parse(path.as_str(), text)?, &app)?,
            None => self.installed_closure(lockfile, &app)?,
        };
        let mut placed = BTreeMap::new();
        for placement in placements {
            let (entries, asks) = match &placement.from {
                Source::Installed { location } => (
                    self.installed(&placement, location)?,
                    Some(placement.asks.clone()),
                ),
                Source::Workspace { dir } => (self.member(&placement, dir)?, None),
            };
            // An optional package that is not there leaves nothing behind.
            if !entries.is_empty() {
                placed.insert(placement.to, asks);
                contents.entries.extend(entries);
            }
        }
        contents.placed = Some(placed);
        Ok(())
    }

    /// What an app needs and where it lies, by what is installed; not of npm, whose lockfile tells both.
    fn installed_closure(
        &self,
        lockfile: &Lockfile,
        app: &RepoPath,
    ) -> Result<Vec<Placement>, Failure> {
        let root = (self.root.canonicalize())
            .map_err(|error| files::failed("files::read", "read", &self.root, &error))?;
        for name in [".pnp.cjs", ".pnp.js"] {
            if root.join(name).exists() {
                return Err(plug_and_play(name, lockfile.kind.manager()));
            }
        }
        let graph = Graph::read(lockfile, &self.workspace.manifests_below())?;
        let install = lockfile.kind.frozen_install();
        let mut look = |location: &str| installed::look(&root, location);
        let instances = on_disk::instances(&graph, app, install, &mut look)?;
        production::lay_out(lockfile.path.as_str(), &instances, app)
    }

    /// The files of an installed package at its place.
    fn installed(&self, placement: &Placement, location: &str) -> Result<Vec<Entry>, Failure> {
        let installed = self.root.join(location);
        if !installed.is_dir() {
            if placement.optional {
                return Ok(Vec::new());
            }
            return Err(Failure::new(
                Exit::Refused,
                "build::not_installed",
                format!("{location} is in the lockfile, but not installed"),
            )
            .hint("run `npm ci` before, or let `install: auto` do it"));
        }
        Ok(files::walk_package(&installed)?
            .into_iter()
            .map(|file| Entry {
                path: format!("{}/{}", placement.to, file.path),
                source: EntrySource::File(file.at),
                executable: file.executable,
            })
            .collect())
    }

    /// The files that npm would pack of a package of the workspace, at its place.
    fn member(&mut self, placement: &Placement, dir: &RepoPath) -> Result<Vec<Entry>, Failure> {
        let inside = self.workspace.directory.join(dir.as_str())?;
        let mut members = self.workspace.packages.iter();
        let Some(member) = members.find(|member| member.directory == inside) else {
            return Err(Failure::new(
                Exit::Refused,
                "build::lockfile_member",
                format!("the lockfile links {dir}, which is no package of the workspace"),
            )
            .hint("make it a member of the workspace, or install it from a registry; then commit the lockfile"));
        };
        let directory = self.top.join(member.directory.as_str());
        Ok(self
            .packed(member, &directory, Reader::Host)?
            .files
            .into_iter()
            .map(|file| Entry {
                path: format!("{}/{}", placement.to, file.path),
                source: file.source,
                executable: file.mode & 0o100 != 0,
            })
            .collect())
    }
}

/// The encodings of an archive, the one that counts first.
fn encodings(compress: Compress) -> &'static [Encoding] {
    match compress {
        Compress::Zst => &[Encoding::Zstd],
        Compress::Gz => &[Encoding::Gzip],
        Compress::Both => &[Encoding::Zstd, Encoding::Gzip],
    }
}

/// The native modules among some entries, and what they are for.
fn native_modules(entries: &[Entry]) -> Result<Vec<(String, Option<Module>)>, Failure> {
    let mut modules = Vec::new();
    for entry in entries {
        if let EntrySource::File(at) = &entry.source
            && native::may_be_native(&entry.path)
        {
            modules.push((entry.path.clone(), installed::native_module(at)?));
        }
    }
    Ok(modules)
}

/// Tells of packages that would not find their native modules on hosts like this machine.
fn without_modules(app: &PackageName, machine: Machine<'_>, packages: &[String]) -> Option<Notice> {
    let named = packages.iter().map(|package| match package.as_str() {
        "" => "the app itself".to_owned(),
        package => quoted(package),
    });
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| Notice {
        code: "build::native_elsewhere",
        message: format!(
            "in the archive of {app} these have native modules for other machines only, and none for {} {}: {}",
            machine.os,
            machine.arch,
            named.join(", ")
        ),
    })
}

/// yarn's Plug'n'Play, which pnpm can write, too.
fn plug_and_play(name: &str, manager: Manager) -> Failure {
    let setting = match manager {
        Manager::Pnpm => "`nodeLinker: isolated` in pnpm-workspace.yaml",
        _ => "`nodeLinker: node-modules` in .yarnrc.yml",
    };
    Failure::new(
        Exit::Refused,
        "build::plug_and_play",
        "the workspace is installed without node_modules, by Plug'n'Play",
    )
    .because("an archive holds a node_modules that Node reads by itself, on machines without a package manager")
    .place(Place::file(name))
    .hint(format!("set {setting} and install anew; `store: none` releases versions only"))
}

/// Everything at `path` below an app's directory.
fn included(directory: &Path, path: &str, named: bool) -> Result<Vec<Entry>, Failure> {
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
        if named {
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
