//! One build of an app: its own command, its static files, and its archive.

use std::path::Path;

use super::Builder;
use crate::explain::{Exit, Failure};
use crate::local::files;
use crate::name::{Digest, Variant};
use crate::plan::release::PlannedApp;
use crate::plan::static_files::static_set;
use crate::release::app::{Build, Runtime, Scripts, StaticFiles};
use crate::release::seal::SealedApp;
use crate::settings::AppSettings;
use crate::workspace::package::{Kind, Package};

/// Where a build leaves static files unless `dist` says otherwise.
pub const DIST: &str = "dist";

impl Builder<'_> {
    /// Builds one variant of an app and packs what it ships.
    pub(super) fn app(
        &mut self,
        app: &PlannedApp,
        variant: &Variant,
    ) -> Result<SealedApp, Failure> {
        let package = &self.workspace.packages[app.index];
        let own = self.settings.app_settings(&app.name).clone();
        self.require_whole(package)?;
        let directory = self.top.join(package.directory.as_str());
        let dist = own.dist.clone().unwrap_or_else(|| DIST.to_owned());
        // What lies there as it is was built by somebody.
        let builds = self.repo.is_some();
        let command = self.build_command(&own, variant).filter(|_| builds);
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
        let (archives, files, runtime) = if package.kind == Kind::Service {
            self.archive(app, variant, &own)?
        } else {
            (Vec::new(), None, Runtime::default())
        };
        let mut archives = archives.into_iter();
        let archive = archives.next();
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
        let lockfile_digest = self
            .released_lockfile()
            .map(|(_, text)| Digest::of(text.as_bytes()).to_string());
        Ok(SealedApp {
            name: app.name.to_string(),
            version: app.to.to_string(),
            variant: variant.to_string(),
            archive,
            alternatives: archives.collect(),
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
    pub(super) fn require_inside(&self, path: &Path) -> Result<(), Failure> {
        let Ok(physical) = path.canonicalize() else {
            return Ok(());
        };
        let root = self.top.canonicalize();
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
        if !self.repo.is_some_and(|repo| repo.is_ignored(&path)) {
            return Ok(());
        }
        let dist = self.top.join(path.as_str());
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
}
