//! The lockfiles of npm, pnpm, yarn and bun in a release commit, against what these managers themselves write and accept.

use std::ffi::OsStr;
use std::fmt::Write;

use crate::support::monorepo::{Monorepo, directory_of};
use crate::support::servers;
use crate::support::world::World;

/// A package manager as the tests run it.
struct Manager {
    name: &'static str,
    program: Program,
    lockfile: &'static str,
    write: &'static [&'static str],
    frozen: &'static [&'static str],
    /// The forms of dependencies on a workspace; `V` stands for its version.
    forms: &'static [&'static str],
    settings: (&'static str, &'static str),
}

/// How a package manager is started.
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
const OFFLINE: (&str, &str) = (
    ".yarnrc.yml",
    "enableGlobalCache: false\nenableNetwork: false\nenableTelemetry: false\nnodeLinker: node-modules\n",
);

const NPM: Manager = Manager {
    name: "npm",
    program: Program::Found("npm"),
    lockfile: "package-lock.json",
    write: &[
        "install",
        "--package-lock-only",
        "--offline",
        "--ignore-scripts",
        "--no-audit",
    ],
    frozen: &["ci", "--offline", "--ignore-scripts", "--no-audit"],
    forms: &RANGES,
    settings: (".npmrc", "fund=false\n"),
};
const CLASSIC: Manager = Manager {
    name: "yarn-1",
    program: Program::Script("managers/node_modules/yarn-1/bin/yarn.js"),
    lockfile: "yarn.lock",
    write: &[
        "install",
        "--offline",
        "--non-interactive",
        "--ignore-scripts",
    ],
    frozen: &[
        "install",
        "--offline",
        "--non-interactive",
        "--frozen-lockfile",
    ],
    forms: &RANGES,
    settings: (".yarnrc", "disable-self-update-check true\n"),
};
const BERRY_3: Manager = Manager {
    name: "yarn-3",
    program: Program::Script("managers/node_modules/yarn-3/bin/yarn.js"),
    lockfile: "yarn.lock",
    write: &["install", "--mode=update-lockfile"],
    frozen: &["install", "--immutable"],
    forms: &WITH_PROTOCOLS,
    settings: OFFLINE,
};
const BERRY_4: Manager = Manager {
    name: "yarn-4",
    program: Program::Script("managers/node_modules/yarn-4/bin/yarn.js"),
    ..BERRY_3
};
const BUN: Manager = Manager {
    name: "bun",
    program: Program::File("managers/node_modules/bun/bin/bun.exe"),
    lockfile: "bun.lock",
    write: &["install", "--lockfile-only"],
    frozen: &["install", "--frozen-lockfile"],
    forms: &WITH_PROTOCOLS,
    settings: ("bunfig.toml", "telemetry = false\n"),
};

const PNPM_10: Manager = Manager {
    name: "pnpm-10",
    program: Program::Script("pnpm/node_modules/pnpm-10/bin/pnpm.cjs"),
    lockfile: "pnpm-lock.yaml",
    write: &[
        "install",
        "--lockfile-only",
        "--offline",
        "--no-frozen-lockfile",
    ],
    frozen: &["install", "--frozen-lockfile", "--offline"],
    forms: &WITH_PROTOCOLS,
    settings: (
        "pnpm-workspace.yaml",
        "packages:\n  - packages/*\nlinkWorkspacePackages: true\n",
    ),
};
const PNPM_12: Manager = Manager {
    name: "pnpm-12",
    program: Program::File("pnpm/node_modules/pnpm-12/pnpm"),
    ..PNPM_10
};

impl Manager {
    fn run(&self, monorepo: &Monorepo, arguments: &[&str]) -> Result<(), String> {
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
        let output = command
            .args(arguments)
            .output()
            .expect("the manager starts");
        let said = || {
            format!(
                "{} {arguments:?}: {}{}",
                self.name,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        };
        if output.status.success() {
            Ok(())
        } else {
            Err(said())
        }
    }

    /// What it writes for the manifests as they are now, from the lockfile that is there.
    fn writes(&self, monorepo: &Monorepo) -> String {
        self.run(monorepo, self.write)
            .expect("the manager writes its lockfile");
        monorepo.read(self.lockfile)
    }

    fn accepts(&self, monorepo: &Monorepo) -> Result<(), String> {
        self.run(monorepo, self.frozen)
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const FIELDS: [&str; 4] = [
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
];
const NAMES: [&str; 8] = ["@x/a", "b", "b-b", "@x/d", "e", "f", "g", "h"];
const VERSIONS: [&str; 4] = ["1.0.0", "1.2.3", "0.4.1", "2.0.0"];

/// A released workspace: each package depends on some before it, now and then in two fields at once; the root, which has no name in
/// every second one, on some; the root, and now and then another, on a package that is no workspace.
fn generated(manager: &Manager, seed: u64) -> (Monorepo, String) {
    let mut dice = Dice(seed);
    let mut monorepo = Monorepo::new();
    let mut versions = Vec::new();
    for (index, name) in NAMES.into_iter().enumerate() {
        let version = dice.of(&VERSIONS);
        monorepo = monorepo.package(name, version);
        for _ in 0..dice.below(4).min(index) {
            let (on, at) = (dice.below(index), dice.of(&FIELDS));
            let mut form = dice.of(manager.forms);
            if form == "npm:" && at == "peerDependencies" {
                form = "*";
            }
            let spec = if form == "npm:" {
                format!("npm:{}@^{}", NAMES[on], versions[on])
            } else {
                form.replace('V', versions[on])
            };
            monorepo = if form == "npm:" {
                monorepo.depends_in(at, name, &format!("alias-{on}"), &spec)
            } else {
                monorepo.depends_in(at, name, NAMES[on], &spec)
            };
        }
        versions.push(version);
    }
    for name in NAMES {
        if let Some(spec) = [
            None,
            None,
            Some("file:../../third"),
            Some("file:./../../third/"),
        ][dice.below(4)]
        {
            monorepo = monorepo.depends_in("devDependencies", name, "third", spec);
        }
    }
    let name = ["", "\"name\": \"monorepo\", "][usize::from(seed.is_multiple_of(2))];
    let root = format!(
        "{{{name}\"private\": true, \"workspaces\": [\"packages/*\", \"none/*\"], \"devDependencies\": {{{:?}: \"^{}\", {:?}: \"{}\", \"third\": \"file:./third\"}}}}\n",
        NAMES[0], versions[0], NAMES[5], versions[5],
    );
    let monorepo = monorepo
        .file("package.json", &root)
        .file(
            "third/package.json",
            "{\"name\": \"third\", \"version\": \"1.0.0\"}\n",
        )
        .file(manager.settings.0, manager.settings.1)
        .file(".gitignore", "node_modules/\n.yarn/\n.pnp*\n");
    if manager.lockfile == "yarn.lock" && manager.name != "yarn-1" {
        monorepo.write("yarn.lock", "");
    }
    let lockfile = manager.writes(&monorepo);
    (monorepo.released(), lockfile)
}

/// Releases a generated workspace after a change of some packages and compares the lockfile with the manager's own.
fn is_as_written_by(manager: &Manager, seeds: std::ops::Range<u64>, differs: bool) {
    for seed in seeds {
        let (monorepo, before) = generated(manager, seed);
        let mut dice = Dice(seed + 1000);
        let mut message = String::from("feat!: everything\n");
        let mut files = Vec::new();
        for name in NAMES {
            if dice.below(2) == 0 || name == NAMES[0] {
                let directory = directory_of(name);
                files.push(format!("{directory}/src/index.js"));
                let _ = write!(message, "\n{name}");
            }
        }
        let changed: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "")).collect();
        let world = World::local(monorepo.commit(&message, &changed));
        let _ = world.run(&["release"]).expect(0);
        world.follow();
        let monorepo = &world.monorepo;
        let ours = monorepo.read(manager.lockfile);
        assert_eq!(ours != before, differs, "{} seed {seed}", manager.name);
        let root = monorepo.json("package.json");
        let first = monorepo.json("packages/a/package.json");
        let range = format!("^{}", first["version"].as_str().expect("a version"));
        assert_eq!(root["devDependencies"][NAMES[0]], range.as_str());
        manager
            .accepts(monorepo)
            .expect("the manager installs from the lockfile");
        assert_eq!(monorepo.read(manager.lockfile), ours, "frozen");
        monorepo.write(manager.lockfile, &before);
        assert_eq!(
            manager.writes(monorepo),
            ours,
            "{} seed {seed}",
            manager.name
        );
    }
}

#[test]
fn npm_writes_the_lockfile_that_a_release_commits() {
    is_as_written_by(&NPM, 0..2, true);
}

#[test]
fn yarn_classic_installs_from_the_lockfile_of_a_release_which_is_as_it_was() {
    is_as_written_by(&CLASSIC, 0..2, false);
}

#[test]
fn yarn_3_writes_the_lockfile_that_a_release_commits() {
    is_as_written_by(&BERRY_3, 0..2, true);
}

#[test]
fn yarn_4_writes_the_lockfile_that_a_release_commits() {
    is_as_written_by(&BERRY_4, 0..3, true);
}

#[test]
fn bun_writes_the_lockfile_that_a_release_commits() {
    is_as_written_by(&BUN, 0..3, true);
}

#[test]
fn pnpm_writes_the_lockfile_that_a_release_commits() {
    is_as_written_by(&PNPM_10, 0..2, true);
    is_as_written_by(&PNPM_12, 2..4, true);
}

#[test]
fn a_lockfile_that_only_its_manager_can_mend_is_refused_before_anything_is_decided() {
    let conflict = |text: &str| format!("<<<<<<< HEAD\n{text}");
    let cases: [(&Manager, &dyn Fn(&str) -> String, &str, &str); 6] = [
        (
            &CLASSIC,
            &conflict,
            "workspace::lockfile_conflict",
            "run `yarn install`",
        ),
        (
            &CLASSIC,
            &|text| text.replace("third@", "fourth@"),
            "workspace::lockfile_stale",
            "devDependencies.third of .",
        ),
        (
            &BERRY_4,
            &conflict,
            "workspace::lockfile_conflict",
            "run `yarn install",
        ),
        (
            &BERRY_4,
            &|text| text.replace("@npm:", "@npm:>"),
            "workspace::lockfile_stale",
            "run `yarn install",
        ),
        (
            &BUN,
            &conflict,
            "workspace::lockfile_conflict",
            "run `bun install",
        ),
        (
            &BUN,
            &|text| text.replace("\"version\": \"", "\"version\": \"1"),
            "workspace::lockfile_stale",
            "for the version of packages/a",
        ),
    ];
    for (manager, spoil, code, said) in cases {
        let (monorepo, lockfile) = generated(manager, 1);
        let spoilt = spoil(&lockfile);
        let changed = [
            ("packages/a/src/index.js", ""),
            (manager.lockfile, spoilt.as_str()),
        ];
        let world = World::local(monorepo.commit("feat!: it", &changed));
        let tags = world.origin_git(&["tag", "--list"]);
        let run = world.run(&["release"]).expect(3);
        let told = run.stderr.contains(&format!("error[{code}]")) && run.stderr.contains(said);
        assert!(told, "{} {code}: {}", manager.name, run.stderr);
        assert_eq!(world.origin_git(&["tag", "--list"]), tags);
    }
}
