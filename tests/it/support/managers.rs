//! The package managers as the tests run them, and packages of others for them to install.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::OnceLock;

use super::monorepo::Monorepo;
use super::servers;
use super::verdaccio::Verdaccio;

/// The address of a registry with the packages that `install.sh` fetched: one with two versions that are both needed, one that depends
/// on others, one with a peer, one that is optional and not for this machine.
pub fn registry() -> &'static str {
    static OFFERED: OnceLock<()> = OnceLock::new();
    let registry = Verdaccio::shared();
    OFFERED.get_or_init(|| {
        let directory = servers::installed().join("packages");
        let entries = std::fs::read_dir(directory).expect("packages");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut tarballs: Vec<_> = paths
            .filter(|path| path.extension() == Some(OsStr::new("tgz")))
            .collect();
        tarballs.sort();
        for tarball in tarballs {
            registry.offer(&std::fs::read(tarball).expect("a tarball"));
        }
        // yarn adds it to what has something to compile.
        registry.offer(&packed("{\"name\": \"node-gyp\", \"version\": \"11.0.0\"}"));
    });
    &registry.url
}

/// A tarball that holds a `package.json` alone.
fn packed(manifest: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(manifest.len() as u64);
    header.set_mode(0o644);
    let level = flate2::Compression::default();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), level));
    archive
        .append_data(&mut header, "package/package.json", manifest.as_bytes())
        .expect("memory takes it");
    let compressed = archive.into_inner().expect("a whole archive");
    compressed.finish().expect("memory takes it")
}

/// What makes every manager use it: the sandbox names another.
pub fn environment() -> [(&'static str, &'static str); 2] {
    [
        ("npm_config_registry", registry()),
        ("pnpm_config_registry", registry()),
    ]
}

/// A package manager as the tests run it.
#[derive(Debug)]
pub struct Manager {
    pub name: &'static str,
    program: Program,
    /// The name of its lockfile.
    pub lockfile: &'static str,
    write: &'static [&'static str],
    frozen: &'static [&'static str],
    /// The forms of dependencies on a workspace; `V` stands for its version.
    pub forms: &'static [&'static str],
    /// A file with its settings and what stands there; `{registry}` stands for the registry's address.
    settings: (&'static str, &'static str),
    /// What its lockfile holds before the first install; nothing where it makes the file itself.
    begin: Option<&'static str>,
}

/// How a package manager is started.
#[derive(Debug)]
enum Program {
    /// As the machine has it.
    Found(&'static str),
    /// A file below the directory of the tests' servers.
    File(&'static str),
    /// The same, run by Node.
    Script(&'static str),
}

const RANGES: [&str; 7] = ["^V", "~V", "V", ">=V", "*", "1.x || ^V", ">=V <9"];
const WITH_PROTOCOLS: [&str; 12] = [
    "^V",
    "~V",
    "V",
    ">=V",
    "*",
    "1.x || ^V",
    ">=V <9",
    "workspace:^",
    "workspace:~",
    "workspace:*",
    "workspace:^V",
    "npm:",
];
const YARN_3: &str = "enableGlobalCache: false
enableTelemetry: false
nodeLinker: node-modules
npmRegistryServer: \"{registry}\"
unsafeHttpWhitelist: [\"127.0.0.1\"]
";
const YARN_4: &str = "enableGlobalCache: false
enableTelemetry: false
nodeLinker: node-modules
npmMinimalAgeGate: 0
npmRegistryServer: \"{registry}\"
unsafeHttpWhitelist: [\"127.0.0.1\"]
";

pub const NPM: Manager = Manager {
    name: "npm",
    program: Program::Found("npm"),
    lockfile: "package-lock.json",
    write: &[
        "install",
        "--package-lock-only",
        "--ignore-scripts",
        "--no-audit",
    ],
    frozen: &["ci", "--ignore-scripts", "--no-audit"],
    forms: &RANGES,
    settings: (".npmrc", "fund=false\n"),
    begin: None,
};
/// npm with the older form of its lockfile, which has every dependency twice.
pub const NPM_V2: Manager = Manager {
    name: "npm, version 2",
    write: &[
        "install",
        "--package-lock-only",
        "--lockfile-version=2",
        "--ignore-scripts",
        "--no-audit",
    ],
    ..NPM
};
pub const SHRINKWRAP: Manager = Manager {
    name: "npm, shrinkwrap",
    lockfile: "npm-shrinkwrap.json",
    begin: Some("{\"lockfileVersion\": 3, \"requires\": true, \"packages\": {}}\n"),
    ..NPM
};
pub const CLASSIC: Manager = Manager {
    name: "yarn-1",
    program: Program::Script("managers/node_modules/yarn-1/bin/yarn.js"),
    lockfile: "yarn.lock",
    write: &["install", "--non-interactive", "--ignore-scripts"],
    frozen: &["install", "--non-interactive", "--frozen-lockfile"],
    forms: &RANGES,
    settings: (".yarnrc", "disable-self-update-check true\n"),
    begin: None,
};
pub const BERRY_3: Manager = Manager {
    name: "yarn-3",
    program: Program::Script("managers/node_modules/yarn-3/bin/yarn.js"),
    lockfile: "yarn.lock",
    write: &["install", "--mode=update-lockfile"],
    frozen: &["install", "--immutable"],
    forms: &WITH_PROTOCOLS,
    settings: (".yarnrc.yml", YARN_3),
    // Without one yarn looks for a workspace further up.
    begin: Some(""),
};
pub const BERRY_4: Manager = Manager {
    name: "yarn-4",
    program: Program::Script("managers/node_modules/yarn-4/bin/yarn.js"),
    settings: (".yarnrc.yml", YARN_4),
    ..BERRY_3
};
pub const BUN: Manager = Manager {
    name: "bun",
    program: Program::File("managers/node_modules/bun/bin/bun.exe"),
    lockfile: "bun.lock",
    write: &["install", "--lockfile-only"],
    frozen: &["install", "--frozen-lockfile"],
    forms: &WITH_PROTOCOLS,
    settings: (
        "bunfig.toml",
        "telemetry = false\n[install]\nregistry = \"{registry}\"\n",
    ),
    begin: None,
};

pub const PNPM_10: Manager = Manager {
    name: "pnpm-10",
    program: Program::Script("pnpm/node_modules/pnpm-10/bin/pnpm.cjs"),
    lockfile: "pnpm-lock.yaml",
    write: &["install", "--lockfile-only", "--no-frozen-lockfile"],
    frozen: &["install", "--frozen-lockfile"],
    forms: &WITH_PROTOCOLS,
    settings: (
        "pnpm-workspace.yaml",
        "packages:\n  - packages/*\nlinkWorkspacePackages: true\nminimumReleaseAge: 0\n",
    ),
    begin: None,
};
pub const PNPM_12: Manager = Manager {
    name: "pnpm-12",
    program: Program::File("pnpm/node_modules/pnpm-12/pnpm"),
    ..PNPM_10
};

impl Manager {
    /// The file with its settings, and what stands there.
    pub fn settings(&self) -> (&'static str, String) {
        let (file, text) = self.settings;
        let registry = registry();
        (
            file,
            text.replace("{registry}", registry.trim_end_matches('/')),
        )
    }

    /// It in a repository, with arguments, to be run.
    pub fn command(&self, monorepo: &Monorepo, arguments: &[&str]) -> Command {
        let start = |program: &OsStr| monorepo.sandbox().command(program, monorepo.path());
        let installed = |path: &str| servers::installed().join(path);
        let mut command = match self.program {
            Program::Found(name) => start(OsStr::new(name)),
            Program::File(path) => start(installed(path).as_os_str()),
            Program::Script(path) => {
                let mut node = start(OsStr::new("node"));
                node.arg(installed(path));
                node
            }
        };
        command.args(arguments);
        command
    }

    /// Runs it.
    ///
    /// # Errors
    /// What it said, when it fails.
    pub fn run(&self, monorepo: &Monorepo, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.command(monorepo, arguments);
        let output = command
            .envs(environment())
            .output()
            .expect("the manager starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} {arguments:?}: {text}{errors}", self.name))
    }

    /// What it writes for the manifests as they are now, from the lockfile that is there.
    pub fn writes(&self, monorepo: &Monorepo) -> String {
        self.run(monorepo, self.write)
            .expect("the manager writes its lockfile");
        monorepo.read(self.lockfile)
    }

    /// Lets it install exactly what its lockfile says.
    ///
    /// # Errors
    /// What it said, when it refuses.
    pub fn accepts(&self, monorepo: &Monorepo) -> Result<(), String> {
        self.run(monorepo, self.frozen).map(drop)
    }

    /// Puts its settings, and a lockfile where it asks for one, into a repository.
    #[must_use]
    pub fn settled(&self, monorepo: Monorepo) -> Monorepo {
        let (file, text) = self.settings();
        if let Some(begin) = self.begin {
            monorepo.write(self.lockfile, begin);
        }
        monorepo
            .file(file, &text)
            .file(".gitignore", "node_modules/\n.yarn/\n.pnp*\n")
    }
}
