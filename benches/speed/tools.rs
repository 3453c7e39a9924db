//! The commands that are measured: the tool itself, the floor, and what people use for the same, each as its users run it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::measure::Contestant;
use crate::versions::Place;

const TOOL: &str = env!("CARGO_BIN_EXE_pkgs-action");

/// The tool as a person without settings or credentials would run it.
pub fn tool(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = bare(TOOL, directory);
    command.args(arguments);
    // All packages have tags: whoever asked a registry after all would fail here, and be seen.
    command.env("PKGS_REGISTRY", "http://127.0.0.1:9");
    command
}

fn bare(program: impl AsRef<std::ffi::OsStr>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn json(said: &str) -> Option<Value> {
    serde_json::from_str(said).ok()
}

/// `plan`, which makes the edits of a release too, and writes nothing.
pub fn plan(directory: &Path) -> Contestant<'_> {
    Contestant {
        name: "plan --format json",
        command: Box::new(move || Ok(tool(directory, &["plan", "--format", "json"]))),
        named: Box::new(|said| Some(json(said)?["packages"].as_array()?.len())),
    }
}

/// `version`, whose commit and tags stay here.
pub fn version(place: &Place) -> Contestant<'_> {
    Contestant {
        name: "version --push=false",
        command: Box::new(move || {
            place.restore()?;
            Ok(tool(place.directory(), &["version", "--push=false"]))
        }),
        named: Box::new(|_| place.tagged()),
    }
}

/// A script that writes what it is told: `bare_version.py`.
pub fn bare_script<'a>(place: &'a Place, told: &'a Path) -> Contestant<'a> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/speed/bare_version.py");
    Contestant {
        name: "bare script",
        command: Box::new(move || {
            place.restore()?;
            let mut command = bare("python3", place.directory());
            command.arg(&script).arg(told);
            Ok(command)
        }),
        named: Box::new(|_| place.tagged()),
    }
}

/// The floor: [`crate::floor`] in a process of its own.
pub fn floor<'a>(directory: &'a Path, tag: &'a str) -> Contestant<'a> {
    Contestant {
        name: "floor",
        command: Box::new(move || {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("floor").arg(directory).arg(tag);
            Ok(command)
        }),
        named: Box::new(|said| said.trim().parse().ok()),
    }
}

/// Whether a program is on the path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// rclone, told by the environment where the server is.
pub fn rclone(directory: &Path) -> Command {
    let mut command = bare("rclone", directory);
    command
        .env("HOME", directory)
        .env("RCLONE_CONFIG", "/dev/null")
        .env("RCLONE_S3_PROVIDER", "Ceph")
        .env("RCLONE_S3_ENV_AUTH", "true");
    command
}

/// What people use for the same, installed from the registries of npm and Python.
pub struct Peers {
    cache: PathBuf,
    home: tempfile::TempDir,
}

impl Peers {
    /// Installs what is missing, as the tests do.
    pub fn install() -> io::Result<Peers> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cache = std::env::var_os("PKGS_TEST_CACHE")
            .map_or_else(|| repository.join(".cache/servers"), PathBuf::from);
        let status = Command::new("sh")
            .arg(repository.join("tests/servers/install.sh"))
            .arg("benchmark")
            .status()?;
        if !status.success() {
            return Err(io::Error::other("tests/servers/install.sh failed"));
        }
        let home = tempfile::tempdir()?;
        Ok(Peers { cache, home })
    }

    /// npm, which asks the registry.
    pub fn npm_online(&self, directory: &Path) -> Command {
        let program = self.cache.join("npm/package/bin/npm-cli.js");
        let mut command = self.command(&self.cache.join("node/bin/node"), directory);
        command.arg(program).env("npm_config_offline", "false");
        // Where the way to the registry leads through a proxy with a certificate of its own, Node is told of it by this.
        let certificates = std::env::var_os("NODE_EXTRA_CA_CERTS");
        command.envs(certificates.map(|file| ("NODE_EXTRA_CA_CERTS", file)));
        command
    }

    /// npm, which takes everything out of its cache.
    pub fn npm_from_cache(&self, directory: &Path) -> Command {
        let program = self.cache.join("npm/package/bin/npm-cli.js");
        let mut command = self.command(&self.cache.join("node/bin/node"), directory);
        command.arg(program);
        command
    }

    /// s5cmd.
    pub fn s5cmd(&self, directory: &Path) -> Command {
        let mut command = bare(self.cache.join("s3/bin/s5cmd"), directory);
        command.env("HOME", self.home.path());
        command
    }

    /// AWS's own command line.
    pub fn aws(&self, directory: &Path) -> Command {
        let mut command = bare(self.cache.join("s3/bin/aws"), directory);
        command.env("HOME", self.home.path());
        command
    }

    fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = bare(program, directory);
        let node = self.cache.join("node/bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(node).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap_or_default());
        command.env("HOME", self.home.path()).env("CI", "true");
        command.env("NX_DAEMON", "false").env("DO_NOT_TRACK", "1");
        // Nothing is missing: the lockfile names everything.
        for setting in ["offline=true", "audit=false", "fund=false"] {
            let (name, value) = setting.split_once('=').unwrap_or_default();
            command.env(format!("npm_config_{name}"), value);
        }
        command
    }

    /// `pnpm --filter "...[TAG]" list` in a workspace of pnpm.
    pub fn pnpm<'a>(&'a self, directory: &'a Path, tag: &'a str) -> Contestant<'a> {
        let program = self.cache.join("pnpm/node_modules/pnpm-12/pnpm");
        Contestant {
            name: "pnpm --filter ...[tag] list",
            command: Box::new(move || {
                let mut command = self.command(&program, directory);
                // It would fetch the pnpm that `packageManager` names.
                command.arg("--config.pm-on-fail=ignore");
                command.args(["--filter", &format!("...[{tag}]")]);
                command.args(["list", "--depth", "-1", "--json"]);
                Ok(command)
            }),
            named: Box::new(|said| Some(json(said)?.as_array()?.len())),
        }
    }

    /// `turbo ls --affected`, its binary without the launcher in JavaScript.
    pub fn turbo<'a>(&'a self, directory: &'a Path, tag: &'a str) -> io::Result<Contestant<'a>> {
        let builds = self.cache.join("turbo/node_modules/@turbo");
        let build = std::fs::read_dir(builds)?
            .next()
            .ok_or(io::ErrorKind::NotFound)??;
        let program = build.path().join("bin/turbo");
        Ok(Contestant {
            name: "turbo ls --affected",
            command: Box::new(move || {
                let mut command = self.command(&program, directory);
                command.args(["--skip-infer", "--no-update-notifier"]);
                command.args(["ls", "--affected", "--output", "json"]);
                command
                    .env("TURBO_SCM_BASE", tag)
                    .env("TURBO_SCM_HEAD", "HEAD");
                command.env("TURBO_TELEMETRY_DISABLED", "1");
                Ok(command)
            }),
            named: Box::new(|said| {
                usize::try_from(json(said)?["packages"]["count"].as_u64()?).ok()
            }),
        })
    }

    /// A command of npm, online, with npm's own settings from a file.
    fn online(&self, program: &Path, directory: &Path, config: &Path) -> Command {
        let mut command = self.command(program, directory);
        command.env_remove("npm_config_offline");
        command.env("npm_config_userconfig", config);
        command
    }

    /// `npm publish --workspaces`.
    pub fn npm_publish(&self, directory: &Path, config: &Path) -> Command {
        let mut command = self.online(&self.cache.join("node/bin/node"), directory, config);
        command.arg(self.cache.join("npm/package/bin/npm-cli.js"));
        command.args(["publish", "--workspaces", "--ignore-scripts"]);
        command
    }

    /// `pnpm -r publish`.
    pub fn pnpm_publish(&self, directory: &Path, config: &Path) -> Command {
        let program = self.cache.join("pnpm/node_modules/pnpm-12/pnpm");
        let mut command = self.online(&program, directory, config);
        command.args(["-r", "publish", "--no-git-checks", "--ignore-scripts"]);
        command
    }

    /// `lerna publish from-package`.
    pub fn lerna_publish(&self, directory: &Path, config: &Path) -> Command {
        let mut command = self.online(&self.cache.join("node/bin/node"), directory, config);
        let script = "releasers/node_modules/lerna/dist/cli.js";
        command.arg(self.cache.join(script));
        command.args(["publish", "from-package", "--yes", "--no-verify-access"]);
        command
    }

    /// `changeset publish`.
    pub fn changeset_publish(&self, directory: &Path, config: &Path) -> Command {
        let mut command = self.online(&self.cache.join("node/bin/node"), directory, config);
        let script = "releasers/node_modules/@changesets/cli/bin.js";
        command.arg(self.cache.join(script));
        command.args(["publish", "--no-git-tag"]);
        command
    }

    /// `npm pack`, into a directory.
    pub fn npm_pack(&self, directory: &Path, to: &Path) -> Command {
        let mut command = self.command(&self.cache.join("node/bin/node"), directory);
        command.arg(self.cache.join("npm/package/bin/npm-cli.js"));
        command.args(["pack", "--pack-destination"]).arg(to);
        command
    }

    /// `pnpm pack`, into a directory.
    pub fn pnpm_pack(&self, directory: &Path, to: &Path) -> Command {
        let program = self.cache.join("pnpm/node_modules/pnpm-12/pnpm");
        let mut command = self.command(&program, directory);
        command.args(["pack", "--pack-destination"]).arg(to);
        command
    }

    /// `lerna changed`, in mode `independent`.
    pub fn lerna<'a>(&'a self, directory: &'a Path) -> Contestant<'a> {
        let node = self.cache.join("node/bin/node");
        let script = self.cache.join("releasers/node_modules/lerna/dist/cli.js");
        Contestant {
            name: "lerna changed",
            command: Box::new(move || {
                let mut command = self.command(&node, directory);
                command
                    .arg(&script)
                    .args(["changed", "--json", "--loglevel", "error"]);
                Ok(command)
            }),
            named: Box::new(|said| Some(json(said)?.as_array()?.len())),
        }
    }

    /// `lerna version`, in mode `independent`, with changelogs.
    pub fn lerna_version<'a>(&'a self, place: &'a Place) -> Contestant<'a> {
        let node = self.cache.join("node/bin/node");
        let script = self.cache.join("releasers/node_modules/lerna/dist/cli.js");
        Contestant {
            name: "lerna version",
            command: Box::new(move || {
                place.restore()?;
                let mut command = self.command(&node, place.directory());
                command.arg(&script).arg("version");
                command.args(["--conventional-commits", "--exact"]);
                command.args(["--yes", "--no-push"]);
                Ok(command)
            }),
            named: Box::new(|_| place.tagged()),
        }
    }

    /// What those who use changesets run: `changeset version`, npm's lockfile, a commit, `changeset tag`.
    pub fn changesets<'a>(&'a self, place: &'a Place) -> Contestant<'a> {
        let node = self.cache.join("node/bin/node");
        let script = "releasers/node_modules/@changesets/cli/bin.js";
        let script = self.cache.join(script);
        let steps = format!(
            "set -e
             '{node}' '{script}' version
             npm install --package-lock-only --ignore-scripts
             git add --all
             git commit --quiet --message 'chore: release'
             '{node}' '{script}' tag",
            node = node.display(),
            script = script.display()
        );
        Contestant {
            name: "changeset version, npm, tag",
            command: Box::new(move || {
                place.restore()?;
                let mut command = self.command(Path::new("sh"), place.directory());
                command.args(["-c", &steps]);
                Ok(command)
            }),
            named: Box::new(|_| place.tagged()),
        }
    }
}
