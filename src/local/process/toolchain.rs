//! Which Node, npm and package manager the project's commands would call.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Output, Project, ShellCommand};
use crate::local::files;
use crate::settings::npmrc;
use crate::workspace::LONGEST_MANIFEST;
use crate::workspace::manager::Manager;
use crate::workspace::script_environment::{Node, Npm, Toolchain};

/// A Node that says nothing for so long is none.
const PATIENCE: Duration = Duration::from_secs(30);
const QUESTION: &str =
    "node -p 'JSON.stringify([process.execPath, process.version, process.platform, process.arch])'";

impl Project {
    /// What of the tools that scripts call is there: Node as `PATH` finds it from `root` on, the npm of `PATH` or else the one beside
    /// that Node, and `manager`'s own program. What is not there, or cannot say what it is, is left out.
    #[must_use]
    pub fn toolchain(&self, manager: Manager, root: &Path) -> Toolchain {
        let node = self.node(root);
        let npm = self.program("npm").as_deref().and_then(npm_of);
        let npm = npm.or_else(|| {
            let prefix = node.as_ref()?.prefix()?;
            npm_in(&Path::new(prefix).join("lib/node_modules/npm"))
        });
        let manager = match manager {
            Manager::Npm => None,
            Manager::Pnpm => self.program("pnpm"),
            Manager::YarnClassic | Manager::YarnBerry => self.program("yarn"),
            Manager::Bun => self.program("bun"),
        };
        let mut files = vec![root.join(".npmrc")];
        let home = self.variables.get("HOME").filter(|home| !home.is_empty());
        files.extend(home.map(|home| Path::new(home).join(".npmrc")));
        let prefix = node.as_ref().and_then(Node::prefix);
        files.extend(prefix.map(|prefix| Path::new(prefix).join("etc/npmrc")));
        let builtin = npm.as_ref().map(|npm| Path::new(&npm.directory));
        files.extend(builtin.map(|directory| directory.join("npmrc")));
        Toolchain {
            in_files: files.iter().flat_map(|file| keys(file)).collect(),
            manager: manager.and_then(|program| Some(program.to_str()?.to_owned())),
            node,
            npm,
        }
    }

    fn node(&self, root: &Path) -> Option<Node> {
        self.program("node")?;
        // What a person lets Node load is for scripts; it could also change what is said here.
        let question = ShellCommand::new(QUESTION, root)
            .with("NODE_OPTIONS", "")
            .within(PATIENCE);
        let said = self
            .run(&question, Output::Capture)
            .inspect_err(|failure| tracing::warn!("Node does not say what it is: {failure}"))
            .ok()?;
        let [program, version, platform, arch] = serde_json::from_str(&said.stdout).ok()?;
        Some(Node {
            program,
            version,
            platform,
            arch,
        })
    }

    /// A program as `PATH` finds it, behind all links.
    fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.variables.get("PATH")?;
        let directories = path.split(':').filter(|entry| entry.starts_with('/'));
        let mut files = directories.map(|directory| Path::new(directory).join(name));
        let found = files.find(|file| file.is_file() && files::is_executable(file))?;
        found.canonicalize().ok()
    }
}

/// The npm that a program belongs to. A program that only calls npm, as those that choose between versions do, belongs to none.
fn npm_of(program: &Path) -> Option<Npm> {
    npm_in(program.parent()?.parent()?)
}

fn npm_in(directory: &Path) -> Option<Npm> {
    let directory = directory.canonicalize().ok()?;
    let limit = LONGEST_MANIFEST as u64;
    let bytes = files::read_bounded(&directory.join("package.json"), limit).ok()?;
    let manifest: Value = serde_json::from_slice(&bytes).ok()?;
    let is_npm = manifest.get("name").and_then(Value::as_str) == Some("npm");
    let version = manifest.get("version").and_then(Value::as_str)?;
    let npm = Npm {
        directory: directory.to_str()?.to_owned(),
        version: version.to_owned(),
    };
    (is_npm && directory.join("bin/npm-cli.js").is_file()).then_some(npm)
}

/// The keys that a settings file of npm holds; none where it cannot be read, for npm cannot either.
fn keys(file: &Path) -> BTreeSet<String> {
    let text = files::read_bounded(file, npmrc::LONGEST).ok();
    let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let entries = text.and_then(|text| npmrc::entries(".npmrc", &text).ok());
    let entries = entries.into_iter().flatten();
    entries.map(|entry| entry.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::files::make_executable;
    use crate::local::process::{Children, Variables};
    use std::os::unix::fs::symlink;

    fn project(path: &str, home: &Path) -> Project {
        let home = home.display().to_string();
        let variables = [("PATH", path.to_owned()), ("HOME", home)];
        let variables: Variables = variables
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        Project::with_exactly(variables, Children::default())
    }

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        make_executable(path).unwrap();
    }

    #[test]
    fn programs_are_found_behind_links_and_with_what_their_files_say() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let npm = place.join("node/lib/node_modules/npm");
        write(
            &npm.join("package.json"),
            r#"{"name": "npm", "version": "12.9.1"}"#,
        );
        write(&npm.join("bin/npm-cli.js"), "");
        write(&npm.join("npmrc"), "prefix=/elsewhere\n");
        let node = place.join("node/bin/node");
        let said = format!(r#"["{}", "v24.0.1", "linux", "x64"]"#, node.display());
        write(&node, &format!("#!/bin/sh\necho '{said}'\n"));
        write(
            &place.join("node/etc/npmrc"),
            "; cache=x\nloglevel = warn\n",
        );
        write(
            &place.join("home/.npmrc"),
            "//npm.example/:_authToken=x\ninit-module=a\n",
        );
        write(&place.join("pnpm.cjs"), "");
        symlink(place.join("pnpm.cjs"), place.join("node/bin/pnpm")).unwrap();
        symlink(npm.join("bin/npm-cli.js"), place.join("node/bin/npm")).unwrap();
        let root = place.join("repository");
        std::fs::create_dir(&root).unwrap();

        let path = format!("relative::/nowhere:{}", place.join("node/bin").display());
        let project = project(&path, &place.join("home"));
        let found = project.toolchain(Manager::Pnpm, &root);
        assert_eq!(
            found.node,
            Some(Node {
                program: node.display().to_string(),
                version: "v24.0.1".to_owned(),
                platform: "linux".to_owned(),
                arch: "x64".to_owned(),
            })
        );
        let expected = Some(Npm {
            directory: npm.display().to_string(),
            version: "12.9.1".to_owned(),
        });
        assert_eq!(found.npm, expected);
        let pnpm = place.join("pnpm.cjs").display().to_string();
        assert_eq!(found.manager, Some(pnpm));
        let keys: Vec<&str> = found.in_files.iter().map(String::as_str).collect();
        let expected = [
            "//npm.example/:_authToken",
            "init-module",
            "loglevel",
            "prefix",
        ];
        assert_eq!(keys, expected);

        // A program that is not npm's own, as of tools that choose versions: the npm beside that Node.
        std::fs::remove_file(place.join("node/bin/npm")).unwrap();
        write(&place.join("node/bin/npm"), "#!/bin/sh\n");
        let again = project.toolchain(Manager::Npm, &root);
        assert_eq!(again.npm, found.npm);
        assert_eq!(again.manager, None);
    }

    #[test]
    fn what_is_not_there_is_none() {
        let place = tempfile::tempdir().unwrap();
        let project = project("/nowhere", place.path());
        let found = project.toolchain(Manager::Bun, place.path());
        assert_eq!(found, Toolchain::default());
    }
}
