//! The scripts that run around packing, as npm runs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Builder, built_manifest, place};
use crate::explain::Failure;
use crate::local::process::{Output, Package as Scripted, Variables, allowed};
use crate::name::Integrity;
use crate::settings::Settings;
use crate::workspace::manager::Manager;
use crate::workspace::package::Package;
use crate::workspace::script_environment::{
    Situation, Toolchain, github_actions, of_manager, of_package,
};

/// In npm's order; the last one runs after packing.
pub(super) const LIFECYCLE: [&str; 4] = ["prepublishOnly", "prepack", "prepare", "postpack"];

/// Where the programs lie that npm lends to scripts, below its own directory.
const LENT: &str = "node_modules/@npmcli/run-script/lib/node-gyp-bin";

impl Builder<'_> {
    /// Runs those of `scripts` that a package has; `packed` is what was packed of it.
    pub(super) fn lifecycle(
        &self,
        package: &Package,
        directory: &Path,
        scripts: &[&str],
        packed: Option<&Integrity>,
    ) -> Result<(), Failure> {
        if !self.settings.scripts {
            return Ok(());
        }
        for script in scripts {
            let Some(line) = package.manifest.scripts.get(*script) else {
                continue;
            };
            tracing::info!("running {script} of {}", package.name);
            let toolchain = self.toolchain();
            let mut variables = self.told_to_scripts(package, toolchain);
            // An earlier script may have written what this one is told.
            let text = built_manifest(package, directory)?;
            let plain = text.trim_start_matches('\u{feff}');
            let manifest: Value = serde_json::from_str(plain).unwrap_or_default();
            variables.extend(of_package(&manifest));
            variables.extend(of_packing(script, directory, packed));
            let lent = toolchain.npm.iter();
            let lent = lent.map(|npm| Path::new(&npm.directory).join(LENT));
            let programs: Vec<PathBuf> = lent.filter(|lent| lent.is_dir()).collect();
            let scripted = Scripted {
                directory,
                root: &self.top,
                invoked_in: &self.root,
                variables: &variables,
                programs: &programs,
                scripts: &BTreeMap::from([((*script).to_owned(), line.clone())]),
            };
            self.project.npm_run(&scripted, script, &[], Output::Show)?;
        }
        Ok(())
    }

    /// Looked for once, and only where something will ask.
    fn toolchain(&self) -> &Toolchain {
        let manager = self.workspace.manager.manager;
        self.toolchain
            .get_or_init(|| self.project.toolchain(manager, &self.root))
    }

    fn told_to_scripts(&self, package: &Package, toolchain: &Toolchain) -> Variables {
        let seen = allowed(&self.settings.child_environment);
        let root = self.workspace.root.as_ref();
        let root = root.map_or(&package.manifest, |root| &root.manifest);
        let ci = ci(self.settings);
        let situation = Situation {
            command: if self.repo.is_some() {
                "publish"
            } else {
                "pack"
            },
            manager: self.workspace.manager.manager,
            package_manager: root.package_manager.as_deref(),
            root: &self.root.to_string_lossy(),
            is_member: package.directory != self.workspace.directory,
            home: seen.get("HOME").map(String::as_str),
            ci: ci.as_deref(),
            at_terminal: self.project.is_at_terminal(),
        };
        let mut variables = of_manager(toolchain, situation, &seen);
        if self.workspace.manager.manager == Manager::Pnpm {
            let directory = place(&self.top, &package.directory);
            let directory = directory.to_string_lossy().into_owned();
            variables.insert("PNPM_SCRIPT_SRC_DIR".to_owned(), directory);
        }
        variables
    }
}

/// The runner, as npm names it.
fn ci(settings: &Settings) -> Option<String> {
    let runner = &settings.runner;
    let environment = settings.child_environment.get("RUNNER_ENVIRONMENT");
    runner.is_actions.then(|| {
        github_actions(
            runner.server_url.as_deref(),
            environment.map(String::as_str),
        )
    })
}

/// What npm tells of the packing itself: where the package lies, and what came out.
fn of_packing(script: &str, directory: &Path, packed: Option<&Integrity>) -> Variables {
    let mut variables = Variables::new();
    let place = directory.to_string_lossy();
    if script == "prepare" || packed.is_some() {
        variables.insert(
            "npm_package_resolved".to_owned(),
            place.clone().into_owned(),
        );
    }
    if let Some(integrity) = packed {
        variables.insert("npm_package_from".to_owned(), format!("file:{place}"));
        variables.insert("npm_package_integrity".to_owned(), integrity.to_string());
    }
    variables
}
