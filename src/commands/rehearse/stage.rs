//! The stand-ins that a rehearsal plays against, and what it brings along.

use std::path::{Path, PathBuf};

use url::Url;

use crate::explain::{Exit, Failure};
use crate::local::files;
use crate::local::git::Repo;
use crate::name::RepoPath;
use crate::settings::address::StoreAddress;
use crate::settings::provenance::{Job, Wanted};
use crate::settings::registries::Registries;
use crate::settings::runner::Runner;
use crate::settings::{
    CdnSettings, Choice, Command, FirstPublish, NpmPublish, RegistryAddress, Settings,
    StoreSettings,
};

/// The places of a rehearsal, below one temporary directory that stays, so that a person can look.
pub(super) struct Stage {
    pub(super) root: PathBuf,
    pub(super) work: PathBuf,
    pub(super) store: PathBuf,
    pub(super) registry: PathBuf,
    pub(super) static_root: PathBuf,
}

/// Copies what git ignores (dependencies, build results) from the repository into the clone, but for files that hold secrets by custom.
pub(super) fn bring_ignored(source: &Repo, work: &Path) -> Result<Vec<String>, Failure> {
    let mut brought = Vec::new();
    for path in source.ignored()? {
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        if name.starts_with(".env") || name == ".npmrc" {
            continue;
        }
        let (from, to) = (source.root().join(path.as_str()), work.join(path.as_str()));
        let failed = |error: std::io::Error| {
            let what = format!("{path} could not be copied");
            Failure::new(Exit::Temporary, "rehearse::disk", what)
                .because(error)
                .hint("check the disk, or set TMPDIR")
        };
        // Nothing else may lie in that directory: then the clone does not have it.
        std::fs::create_dir_all(files::parent(&to)).map_err(failed)?;
        if from.is_dir() {
            files::copy_tree(&from, &to, |_, _| true)?;
        } else if from.is_file() {
            std::fs::copy(&from, &to).map_err(failed)?;
        }
        brought.push(path.to_string());
    }
    Ok(brought)
}

impl Stage {
    pub(super) fn make() -> Result<Stage, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(
                Exit::Temporary,
                "rehearse::disk",
                "a temporary directory could not be made",
            )
            .because(error)
            .hint("check the disk, or set TMPDIR")
        };
        let root = tempfile::Builder::new()
            .prefix("pkgs-action-rehearsal-")
            .tempdir()
            .map_err(failed)?
            .keep();
        let stage = Stage {
            work: root.join("work"),
            store: root.join("store"),
            registry: root.join("npm"),
            static_root: root.join("static"),
            root,
        };
        for directory in [&stage.store, &stage.registry, &stage.static_root] {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        Ok(stage)
    }

    /// The settings of the repository, with everything outside replaced by a directory; `workspace` is where it lies in the repository.
    pub(super) fn settings(
        &self,
        settings: &Settings,
        workspace: &RepoPath,
        branch: String,
    ) -> Settings {
        Settings {
            command: Command::Release,
            directory: self.work.join(workspace.as_str()),
            dry_run: false,
            registry: RegistryAddress::Directory {
                path: self.registry.clone(),
                url: None::<Url>,
            },
            registries: Registries::default(),
            npm_token: None,
            identity: None,
            // A directory stages nothing.
            npm_publish: match settings.npm_publish {
                NpmPublish::Stage => NpmPublish::Direct,
                other => other,
            },
            first_publish: FirstPublish::Allow,
            // What is tried out leaves no trace in a public log.
            provenance: Wanted::No,
            job: Job::default(),
            token: None,
            forge_release: false,
            store: Choice::On(StoreSettings {
                address: StoreAddress::Directory(self.store.clone()),
                endpoint: None,
                region: None,
                role: None,
            }),
            // What is set is a place of the real board.
            board: None,
            static_root: Choice::On(format!(
                "file://{}/{{environment}}/{{app}}",
                self.static_root.display()
            )),
            static_url: None,
            cdn: CdnSettings::default(),
            remote: "origin".to_owned(),
            mirrors: Vec::new(),
            branches: vec![branch],
            snapshot: None,
            actor: Some("rehearsal".to_owned()),
            runner: Runner::default(),
            ..settings.clone()
        }
    }
}
