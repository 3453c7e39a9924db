//! The lockfiles of npm, pnpm, yarn and bun in a release commit, against what these managers themselves write and accept.

use std::fmt::Write;

use crate::support::managers::{
    self, BERRY_3, BERRY_4, BUN, CLASSIC, Manager, NPM, NPM_V2, PNPM_10, PNPM_12, SHRINKWRAP,
};
use crate::support::monorepo::{Monorepo, directory_of};
use crate::support::world::World;

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

/// What comes from a registry: field, name and spec.
const THIRD: [(&str, &str, &str); 8] = [
    ("dependencies", "is-number", "^7.0.0"),
    // It needs is-number 6.
    ("dependencies", "is-odd", "^3.0.0"),
    ("devDependencies", "debug", "~4.4.0"),
    ("dependencies", "use-sync-external-store", "^1.5.0"),
    ("peerDependencies", "react", ">=18"),
    ("devDependencies", "number", "npm:is-number@6.x"),
    ("dependencies", "left-pad", "1.3.0"),
    // For one system only.
    ("optionalDependencies", "fsevents", "^2.3.0"),
];

/// A released workspace: each package depends on some before it, now and then in two fields at once; the root, which has no name in
/// every second one, on some; the root, and now and then another, on a package that is no workspace; all but the first on some of a registry.
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
    for name in &NAMES[1..] {
        for (field, third, spec) in THIRD {
            if dice.below(3) == 0 {
                monorepo = monorepo.depends_in(field, name, third, spec);
            }
        }
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
        "{{{name}\"private\": true, \"workspaces\": [\"packages/*\", \"none/*\"], \"devDependencies\": {{{:?}: \"^{}\", {:?}: \"{}\", \"third\": \"file:./third\", \"ms\": \"^2.1.0\", \"react\": \"^19.0.0\"}}}}\n",
        NAMES[0], versions[0], NAMES[5], versions[5],
    );
    let monorepo = manager.settled(monorepo.file("package.json", &root).file(
        "third/package.json",
        "{\"name\": \"third\", \"version\": \"1.0.0\"}\n",
    ));
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
        let run = world.binary(&["release"]).envs(managers::environment());
        let _ = run.run().expect(0);
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
    is_as_written_by(&NPM_V2, 2..4, true);
    is_as_written_by(&SHRINKWRAP, 4..5, true);
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
