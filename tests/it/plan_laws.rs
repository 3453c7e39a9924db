//! What follows from a change, on generated workspaces: against an oracle that tries every answer, and by laws.

use std::collections::{BTreeMap, BTreeSet};

use pkgs_action::changes::Touched;
use pkgs_action::commands::observe::observe;
use pkgs_action::local::git::Repo;
use pkgs_action::name::{CommitId, RepoPath, TagName};
use pkgs_action::plan::release::{Base, Facts, PackageFacts, plan};
use pkgs_action::settings::inputs::{Asked, collect};
use pkgs_action::settings::{Mode, Settings, World};
use pkgs_action::version::range::Range;
use pkgs_action::version::{Bump, Version};
use pkgs_action::workspace::manager::{self, Signs};
use pkgs_action::workspace::{Sources, Workspace};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::random;

pub type Number = (u64, u64, u64);

const VERSIONS: [Number; 4] = [(1, 0, 0), (0, 2, 0), (1, 2, 3), (0, 0, 4)];
pub const FIELDS: [&str; 4] = [
    "dependencies",
    "peerDependencies",
    "devDependencies",
    "optionalDependencies",
];
const BUMPS: [Bump; 3] = [Bump::Patch, Bump::Minor, Bump::Major];

/// A workspace: the version of each package, and its dependencies by `(from, to, field)` with the form of their range.
#[derive(Debug, Clone)]
pub struct Generated {
    pub versions: Vec<Number>,
    pub edges: BTreeMap<(usize, usize, usize), usize>,
    /// Which packages share one version, and whether the group is released whole.
    pub groups: Vec<(bool, Vec<usize>)>,
    /// How far each package grows by itself: 0 not at all, 1 patch, 2 minor, 3 major.
    pub changes: Vec<usize>,
    /// What each bundles.
    pub bundles: Vec<Bundles>,
    /// In which order their directories lie.
    pub order: Vec<usize>,
    pub rules: Rules,
}

/// What a package bundles, where it depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bundles {
    /// All `dependencies`.
    All,
    /// These.
    These(BTreeSet<usize>),
}

/// Nothing is bundled.
pub const NOTHING: Bundles = Bundles::These(BTreeSet::new());

/// By which rules versions grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A dependent is released although its range still holds.
    pub always_follows: bool,
    /// A dependent is released although it declares the package for development only.
    pub development_follows: bool,
    /// How far a package grows whose peer leaves its range; 0: not at all.
    pub peer: usize,
    /// Whether everything counts one less below 1.0.0.
    pub shift: bool,
}

/// Ours, where nothing is set.
pub const OURS: Rules = Rules {
    always_follows: false,
    development_follows: false,
    peer: 1,
    shift: true,
};

fn generated() -> impl Strategy<Value = Generated> {
    (2_usize..=5).prop_flat_map(|count| {
        let version = (0..VERSIONS.len()).prop_map(|index| VERSIONS[index]);
        let edges =
            proptest::collection::btree_map((0..count, 0..count, 0..FIELDS.len()), 0..FORMS, 0..9);
        // Of four numbers two are groups.
        let groups = (
            proptest::collection::vec(0_usize..4, count),
            any::<[bool; 2]>(),
        )
            .prop_map(|(numbers, fixed)| {
                let members = |group: usize| -> Vec<usize> {
                    (0..numbers.len())
                        .filter(|index| numbers[*index] == group)
                        .collect()
                };
                (0..2)
                    .map(|group| (fixed[group], members(group)))
                    .filter(|(_, members)| !members.is_empty())
                    .collect::<Vec<_>>()
            });
        let change = prop_oneof![2 => Just(0_usize), 1 => 1_usize..4];
        let bundles = prop_oneof![
            4 => Just(NOTHING),
            1 => Just(Bundles::All),
            2 => proptest::collection::btree_set(0..count, 1..=count).prop_map(Bundles::These),
        ];
        let rules = (0_usize..4, any::<bool>()).prop_map(|(peer, shift)| Rules {
            peer,
            shift,
            ..OURS
        });
        (
            proptest::collection::vec(version, count),
            edges,
            groups,
            proptest::collection::vec(change, count),
            proptest::collection::vec(bundles, count),
            Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
            rules,
        )
            .prop_map(
                |(versions, mut edges, groups, changes, bundles, order, rules)| {
                    edges.retain(|(from, to, _), _| from != to);
                    Generated {
                        versions,
                        edges,
                        groups,
                        changes,
                        bundles,
                        order,
                        rules,
                    }
                },
            )
    })
}

pub fn text((major, minor, patch): Number) -> String {
    format!("{major}.{minor}.{patch}")
}

/// How many forms of ranges there are.
pub const FORMS: usize = 13;

/// A range that holds for `version`.
pub fn range(form: usize, (major, minor, patch): Number) -> String {
    let version = text((major, minor, patch));
    match form {
        0 => format!("^{version}"),
        1 => format!("~{version}"),
        2 => version,
        3 => "workspace:*".to_owned(),
        4 => "workspace:^".to_owned(),
        5 => format!(">={version} <99"),
        6 => "*".to_owned(),
        7 => "workspace:~".to_owned(),
        8 => format!("workspace:^{version}"),
        9 => format!("^{version} || ^99.0.0"),
        10 => format!("{major}.x"),
        11 => format!("{version} - {major}.{minor}"),
        _ => format!("<={major}"),
    }
}

/// The oracle's own reading of [`range`]: whether what was made for `from` takes `to`, which is not lower.
fn holds(form: usize, from: Number, to: Number) -> bool {
    match form {
        0 | 4 | 8 | 9 if from.0 > 0 => to.0 == from.0,
        0 | 4 | 8 | 9 if from.1 > 0 => to.0 == 0 && to.1 == from.1,
        0 | 4 | 8 | 9 | 2 | 3 => to == from,
        1 | 7 | 11 => (to.0, to.1) == (from.0, from.1),
        10 | 12 => to.0 == from.0,
        5 => to.0 < 99,
        _ => true,
    }
}

/// The oracle's own growing.
fn grown(version: Number, level: usize, rules: Rules) -> Number {
    let (major, minor, patch) = version;
    match (level, rules.shift && major == 0) {
        (0, _) => version,
        (3, false) => (major + 1, 0, 0),
        (3, true) | (2, false) => (major, minor + 1, 0),
        _ => (major, minor, patch + 1),
    }
}

/// The version of each package at these levels; `None` where a group does not hold together. A group grows from its highest version.
fn at(generated: &Generated, levels: &[usize]) -> Option<Vec<Number>> {
    let mut versions: Vec<Number> = generated
        .versions
        .iter()
        .zip(levels)
        .map(|(version, level)| grown(*version, *level, generated.rules))
        .collect();
    for (fixed, members) in &generated.groups {
        let highest = members.iter().map(|member| generated.versions[*member]);
        let highest = highest.max().expect("a member");
        let level = members.iter().map(|member| levels[*member]).max();
        let level = level.expect("a member");
        for member in members {
            if levels[*member] == level {
                if level > 0 {
                    versions[*member] = grown(highest, level, generated.rules);
                }
            } else if *fixed || levels[*member] > 0 {
                return None;
            }
        }
    }
    Some(versions)
}

/// How far the package that declares it must grow at least, because of one dependency.
fn needed(generated: &Generated, (field, form): (usize, usize), on: usize, to: Number) -> usize {
    let (from, rules) = (generated.versions[on], generated.rules);
    let left = if rules.always_follows {
        to != from
    } else {
        !holds(form, from, to)
    };
    match FIELDS[field] {
        _ if !left => 0,
        "devDependencies" => usize::from(rules.development_follows),
        "peerDependencies" => rules.peer,
        _ => 1,
    }
}

/// Everything that the tarball of a package holds of others: what it bundles, and what that needs to run.
fn carried(generated: &Generated, package: usize) -> BTreeSet<usize> {
    let runs_with = |from: usize| {
        let edges = generated.edges.keys();
        let edges = edges.filter(move |(other, _, field)| {
            *other == from && ["dependencies", "optionalDependencies"].contains(&FIELDS[*field])
        });
        edges.map(|(_, to, field)| (*to, FIELDS[*field]))
    };
    let asked = |to: usize, field: &str| match &generated.bundles[package] {
        Bundles::All => field == "dependencies" || generated.edges.contains_key(&(package, to, 0)),
        Bundles::These(names) => names.contains(&to),
    };
    let mut carried: BTreeSet<usize> = runs_with(package)
        .filter(|(to, field)| asked(*to, field))
        .map(|(to, _)| to)
        .collect();
    // What such a package needs of this one is this one itself, of which npm packs no more than without that.
    for _ in 0..generated.versions.len() {
        let others = carried.iter().copied().filter(|other| *other != package);
        let needed: Vec<usize> = others.flat_map(runs_with).map(|(to, _)| to).collect();
        carried.extend(needed);
    }
    carried.remove(&package);
    carried
}

/// The versions of the least levels that leave no dependent behind, found by trying all.
pub fn oracle(generated: &Generated) -> Vec<Number> {
    let count = generated.versions.len();
    let carried: Vec<BTreeSet<usize>> = (0..count).map(|index| carried(generated, index)).collect();
    let mut best: Option<(Vec<usize>, Vec<Number>)> = None;
    for number in 0..4_usize.pow(u32::try_from(count).expect("few")) {
        let levels: Vec<usize> = (0..count)
            .map(|index| number / 4_usize.pow(u32::try_from(index).expect("few")) % 4)
            .collect();
        let enough = levels
            .iter()
            .zip(&generated.changes)
            .all(|(level, change)| level >= change);
        let Some(versions) = at(generated, &levels) else {
            continue;
        };
        let consistent = generated.edges.iter().all(|((from, to, field), form)| {
            levels[*from] >= needed(generated, (*field, *form), *to, versions[*to])
        });
        let stale = |(package, carried): (usize, &BTreeSet<usize>)| {
            let mut carried = carried.iter();
            levels[package] == 0
                && carried.any(|other| versions[*other] != generated.versions[*other])
        };
        let consistent = consistent && !carried.iter().enumerate().any(stale);
        if enough
            && consistent
            && best
                .as_ref()
                .is_none_or(|(best, _)| levels.iter().sum::<usize>() < best.iter().sum())
        {
            best = Some((levels, versions));
        }
    }
    best.expect("everything at major is consistent").1
}

pub fn name(index: usize) -> String {
    format!("p{index}")
}

fn settings(generated: &Generated) -> Settings {
    use pkgs_action::settings::PeerPolicy;
    use pkgs_action::version::ZeroMajor;
    let mut settings = settings_in(&generated.groups, World::default());
    let peer = generated.rules.peer.checked_sub(1);
    settings.peer = peer.map_or(PeerPolicy::Never, |level| PeerPolicy::Bump(BUMPS[level]));
    if !generated.rules.shift {
        settings.zero_major = ZeroMajor::Strict;
    }
    settings
}

fn settings_in(groups: &[(bool, Vec<usize>)], world: World) -> Settings {
    let group = |(fixed, members): &(bool, Vec<usize>)| {
        let names: Vec<String> = members.iter().map(|member| name(*member)).collect();
        let setting = if *fixed { "fixed" } else { "linked" };
        format!("--{setting}={}", names.join(" "))
    };
    let words: Vec<String> = std::iter::once("plan".to_owned())
        .chain(groups.iter().map(group))
        .collect();
    let collected = collect(&words, &BTreeMap::new()).expect("it is understood");
    let Asked::Run(collected) = collected else {
        panic!("plan runs")
    };
    Settings::resolve(*collected, &[], world).expect("defaults are right")
}

/// The new version of each package by name, and all manifests afterwards.
pub fn planned(generated: &Generated) -> (BTreeMap<String, Number>, BTreeMap<String, Value>) {
    let settings = settings(generated);
    let mut members = BTreeMap::new();
    for (index, version) in generated.versions.iter().enumerate() {
        let mut manifest = json!({"name": name(index), "version": text(*version)});
        for ((from, to, field), form) in &generated.edges {
            if *from == index {
                manifest[FIELDS[*field]][name(*to)] = range(*form, generated.versions[*to]).into();
            }
        }
        match &generated.bundles[index] {
            Bundles::All => manifest["bundledDependencies"] = true.into(),
            Bundles::These(names) if names.is_empty() => {}
            Bundles::These(names) => {
                manifest["bundleDependencies"] = names.iter().map(|other| name(*other)).collect();
            }
        }
        let directory = format!("packages/{}", generated.order[index]);
        members.insert(
            RepoPath::parse(&directory).expect("a path"),
            manifest.to_string(),
        );
    }
    let sources = Sources {
        form: pkgs_action::workspace::package_json::Form::Documented,
        root: RepoPath::root(),
        root_manifest: "{}".to_owned(),
        members: members.clone(),
        has_members: true,
        manager: manager::tell(&Signs::default()).expect("npm"),
        catalogs: None,
        lerna: None,
        lockfile: None,
    };
    let workspace = Workspace::parse(sources, &settings.apps, |_| false).expect("a workspace");
    let edges = workspace.edges().expect("edges");
    let commit = CommitId::parse(&"a".repeat(40)).expect("an id");
    let packages = workspace
        .packages
        .iter()
        .map(|package| {
            let index: usize = package.name.as_str()[1..].parse().expect("a number");
            let version = package.version.clone().expect("a version");
            let change = generated.changes[index];
            PackageFacts {
                base: Base::Tag {
                    name: TagName::parse(&format!("{}@{version}", package.name)).expect("a tag"),
                    commit: commit.clone(),
                    version,
                },
                touched: Touched {
                    bump: change.checked_sub(1).map(|change| BUMPS[change]),
                    ..Touched::default()
                },
                lockfile: BTreeSet::new(),
                catalogs: Vec::new(),
                held_back: Vec::new(),
                given_up: None,
                undecided: Vec::new(),
                answer: None,
                since_release: None,
            }
        })
        .collect();
    let tags = BTreeSet::new();
    let facts = Facts {
        workspace: &workspace,
        edges: &edges,
        lockfile_stale: None,
        mode: Mode::Diff,
        mode_reason: String::new(),
        head: commit,
        packages,
        intents: &[],
        tags: &tags,
        line: None,
        base: None,
        day: "2026-01-31".to_owned(),
        forge: None,
    };
    let plan = plan(&facts, &settings).expect("a plan");
    let number = |version: &Version| {
        let parts: Vec<u64> = version
            .to_string()
            .split('.')
            .map(|part| part.parse().expect("a number"))
            .collect();
        (parts[0], parts[1], parts[2])
    };
    let mut versions: BTreeMap<String, Number> = generated
        .versions
        .iter()
        .enumerate()
        .map(|(index, version)| (name(index), *version))
        .collect();
    for package in &plan.packages {
        versions.insert(package.name.to_string(), number(&package.to));
    }
    let mut texts: BTreeMap<String, String> = members
        .iter()
        .map(|(path, text)| (format!("{path}/package.json"), text.clone()))
        .collect();
    texts.extend(
        plan.edits
            .iter()
            .map(|(path, text)| (path.to_string(), text.clone().expect("a text"))),
    );
    let manifests = texts
        .values()
        .map(|text| {
            let manifest: Value = serde_json::from_str(text).expect("JSON");
            (
                manifest["name"].as_str().expect("a name").to_owned(),
                manifest,
            )
        })
        .collect();
    (versions, manifests)
}

fn cases(usually: u64) -> ProptestConfig {
    ProptestConfig::with_cases(u32::try_from(random::many(usually)).unwrap_or(u32::MAX))
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn exactly_what_must_follow_follows(generated in generated()) {
        let (versions, _) = planned(&generated);
        let expected: BTreeMap<String, Number> = oracle(&generated)
            .into_iter()
            .enumerate()
            .map(|(index, version)| (name(index), version))
            .collect();
        prop_assert_eq!(versions, expected);
    }

    #[test]
    fn the_order_of_packages_does_not_matter(generated in generated()) {
        let mut other = generated.clone();
        other.order.reverse();
        prop_assert_eq!(planned(&generated), planned(&other));
    }

    #[test]
    fn one_change_more_lowers_no_version(generated in generated(), which in 0_usize..5, level in 1_usize..4) {
        let mut more = generated.clone();
        let which = which % more.changes.len();
        more.changes[which] = more.changes[which].max(level);
        let (before, after) = (planned(&generated).0, planned(&more).0);
        for (name, version) in &before {
            prop_assert!(after[name] >= *version, "{}: {:?} became {:?}", name, version, after[name]);
        }
    }

    #[test]
    fn every_range_holds_after_the_edits(generated in generated()) {
        let (versions, manifests) = planned(&generated);
        for (name, manifest) in &manifests {
            let expected = text(versions[name]);
            let listed = match &generated.bundles[name[1..].parse::<usize>().expect("a number")] {
                Bundles::All => json!(true) == manifest["bundledDependencies"],
                Bundles::These(names) => {
                    let list = manifest["bundleDependencies"].as_array();
                    list.map_or(0, Vec::len) == names.len()
                }
            };
            prop_assert!(listed, "{}", manifest);
            prop_assert_eq!(manifest["version"].as_str(), Some(expected.as_str()));
            let declared = FIELDS.iter().filter_map(|field| manifest[*field].as_object()).flatten();
            for (on, range) in declared {
                let range = range.as_str().expect("text");
                let version = Version::parse(&text(versions[on])).expect("a version");
                let range = range.strip_prefix("workspace:").unwrap_or(range);
                let held = matches!(range, "^" | "~" | "*") || Range::parse(range).expect("a range").contains(&version);
                prop_assert!(held, "{} declares {} {}, which is {}", name, on, range, version);
            }
        }
    }
}

/// Two packages of two files each: what every file holds.
type Contents = [u8; 4];
/// Files that a commit writes.
type Edits = Vec<(usize, u8)>;

/// What main and a topic do beside each other, and what the merge changes itself.
#[derive(Debug, Clone)]
struct Round {
    main: Vec<Edits>,
    topic: Vec<Edits>,
    merge: Edits,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let edits = || proptest::collection::vec((0_usize..4, 0_u8..3), 0..3);
    let side = move || proptest::collection::vec(edits(), 0..3);
    let round =
        (side(), side(), edits()).prop_map(|(main, topic, merge)| Round { main, topic, merge });
    proptest::collection::vec(round, 1..4)
}

fn edited(mut contents: Contents, edits: &Edits) -> Contents {
    for (file, content) in edits {
        contents[*file] = *content;
    }
    contents
}

/// A history that is being written.
struct Written {
    git: git2::Repository,
    commits: Vec<(git2::Oid, Contents)>,
}

impl Written {
    fn commit(&mut self, parents: &[usize], contents: Contents) -> usize {
        let mut index = git2::Index::new().expect("an index");
        let mut files = vec![(
            "package.json".to_owned(),
            r#"{"name": "root", "private": true, "workspaces": ["p0", "p1"]}"#.to_owned(),
        )];
        for package in 0..2 {
            let manifest =
                json!({"name": name(package), "version": format!("{}.0.0", package + 1)});
            files.push((format!("p{package}/package.json"), manifest.to_string()));
        }
        for (file, content) in contents.iter().enumerate() {
            files.push((format!("p{}/{file}.js", file / 2), content.to_string()));
        }
        for (path, text) in files {
            let entry = git2::IndexEntry {
                ctime: git2::IndexTime::new(0, 0),
                mtime: git2::IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode: 0o100_644,
                uid: 0,
                gid: 0,
                file_size: 0,
                id: self.git.blob(text.as_bytes()).expect("a blob"),
                flags: 0,
                flags_extended: 0,
                path: path.into_bytes(),
            };
            index.add(&entry).expect("an entry");
        }
        let tree = index.write_tree_to(&self.git).expect("a tree");
        let tree = self.git.find_tree(tree).expect("a tree");
        let who = git2::Signature::new("a", "a@b", &git2::Time::new(0, 0)).expect("who");
        let parents: Vec<git2::Commit<'_>> = parents
            .iter()
            .map(|parent| self.git.find_commit(self.commits[*parent].0).expect("here"))
            .collect();
        let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
        let message = format!("fix: {}", self.commits.len());
        let id = self.git.commit(None, &who, &who, &message, &tree, &parents);
        self.commits.push((id.expect("a commit"), contents));
        self.commits.len() - 1
    }

    fn side(&mut self, from: usize, commits: &[Edits]) -> usize {
        commits.iter().fold(from, |parent, edits| {
            let contents = edited(self.commits[parent].1, edits);
            self.commit(&[parent], contents)
        })
    }

    fn round(&mut self, fork: usize, round: &Round) -> usize {
        let (main, topic) = (self.side(fork, &round.main), self.side(fork, &round.topic));
        let [base, ours, theirs] = [fork, main, topic].map(|place| self.commits[place].1);
        let merged: Contents = std::array::from_fn(|file| {
            match (ours[file] == base[file], theirs[file] == base[file]) {
                (true, _) => theirs[file],
                (false, true) => ours[file],
                (false, false) if ours[file] == theirs[file] => ours[file],
                (false, false) => 9,
            }
        });
        self.commit(&[main, topic], edited(merged, &round.merge))
    }
}

proptest! {
    #![proptest_config(cases(48))]

    /// Nothing is ignored and every commit asks for something: what differs from its base is planned, however it came to differ.
    #[test]
    fn what_differs_is_planned(rounds in rounds(), bases in proptest::array::uniform2(any::<prop::sample::Index>())) {
        let directory = tempfile::tempdir().expect("a directory");
        let git = git2::Repository::init(directory.path()).expect("a repository");
        let mut written = Written { git, commits: Vec::new() };
        let first = written.commit(&[], [0; 4]);
        let head = rounds.iter().fold(first, |fork, round| written.round(fork, round));
        let bases = bases.map(|base| base.index(written.commits.len()));
        for (package, base) in bases.iter().enumerate() {
            let target = written.git.find_object(written.commits[*base].0, None).expect("here");
            let tag = format!("p{package}@{}.0.0", package + 1);
            written.git.tag_lightweight(&tag, &target, false).expect("a tag");
        }
        let settings = settings_in(&[], World { directory: directory.path().to_owned(), ..World::default() });
        let repo = Repo::open(directory.path()).expect("a repository");
        let commit = CommitId::parse(&written.commits[head].0.to_string()).expect("an id");
        let observed = observe(&repo, &commit, &settings).expect("observed");
        let facts = observed.facts(&repo, &settings, false).expect("facts");
        let plan = plan(&facts, &settings).expect("a plan");
        for (package, base) in bases.iter().enumerate() {
            let files = package * 2..package * 2 + 2;
            let differs = written.commits[*base].1[files.clone()] != written.commits[head].1[files];
            let planned = plan.packages.iter().any(|planned| planned.name.as_str() == name(package));
            prop_assert!(planned || !differs, "p{} is not planned", package);
        }
    }
}
