//! What follows from a change, on generated workspaces: against an oracle that tries every answer, and by laws.

use std::collections::{BTreeMap, BTreeSet};

use pkgs_action::changes::Touched;
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

type Number = (u64, u64, u64);

const VERSIONS: [Number; 4] = [(1, 0, 0), (0, 2, 0), (1, 2, 3), (0, 0, 4)];
const FIELDS: [&str; 3] = ["dependencies", "peerDependencies", "devDependencies"];
const BUMPS: [Bump; 3] = [Bump::Patch, Bump::Minor, Bump::Major];

/// A workspace: the version of each package, and its dependencies by `(from, to, field)` with the form of their range.
#[derive(Debug, Clone)]
struct Generated {
    versions: Vec<Number>,
    edges: BTreeMap<(usize, usize, usize), usize>,
    /// How far each package grows by itself: 0 not at all, 1 patch, 2 minor, 3 major.
    changes: Vec<usize>,
    /// In which order their directories lie.
    order: Vec<usize>,
}

fn generated() -> impl Strategy<Value = Generated> {
    (2_usize..=5).prop_flat_map(|count| {
        let version = (0..VERSIONS.len()).prop_map(|index| VERSIONS[index]);
        let edges =
            proptest::collection::btree_map((0..count, 0..count, 0_usize..3), 0_usize..7, 0..9);
        let change = prop_oneof![2 => Just(0_usize), 1 => 1_usize..4];
        (
            proptest::collection::vec(version, count),
            edges,
            proptest::collection::vec(change, count),
            Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
        )
            .prop_map(|(versions, mut edges, changes, order)| {
                edges.retain(|(from, to, _), _| from != to);
                Generated {
                    versions,
                    edges,
                    changes,
                    order,
                }
            })
    })
}

fn text((major, minor, patch): Number) -> String {
    format!("{major}.{minor}.{patch}")
}

fn range(form: usize, version: Number) -> String {
    let version = text(version);
    match form {
        0 => format!("^{version}"),
        1 => format!("~{version}"),
        2 => version,
        3 => "workspace:*".to_owned(),
        4 => "workspace:^".to_owned(),
        5 => format!(">={version} <99"),
        _ => "*".to_owned(),
    }
}

/// The oracle's own reading of [`range`]: whether what was made for `from` takes `to`, which is not lower.
fn holds(form: usize, from: Number, to: Number) -> bool {
    match form {
        0 | 4 if from.0 > 0 => to.0 == from.0,
        0 | 4 if from.1 > 0 => to.0 == 0 && to.1 == from.1,
        0 | 4 | 2 | 3 => to == from,
        1 => (to.0, to.1) == (from.0, from.1),
        5 => to.0 < 99,
        _ => true,
    }
}

/// The oracle's own growing: below 1.0.0 everything counts one less.
fn grown(version: Number, level: usize) -> Number {
    let (major, minor, patch) = version;
    match (level, major) {
        (0, _) => version,
        (3, 1..) => (major + 1, 0, 0),
        (3, 0) | (2, 1..) => (major, minor + 1, 0),
        _ => (major, minor, patch + 1),
    }
}

/// The least levels that leave no dependent behind, found by trying all.
fn oracle(generated: &Generated) -> Vec<usize> {
    let count = generated.versions.len();
    let mut best: Option<Vec<usize>> = None;
    for number in 0..4_usize.pow(u32::try_from(count).expect("few")) {
        let levels: Vec<usize> = (0..count)
            .map(|index| number / 4_usize.pow(u32::try_from(index).expect("few")) % 4)
            .collect();
        let enough = levels
            .iter()
            .zip(&generated.changes)
            .all(|(level, change)| level >= change);
        let consistent = generated.edges.iter().all(|((from, to, field), form)| {
            let version = generated.versions[*to];
            FIELDS[*field] == "devDependencies"
                || levels[*from] > 0
                || holds(*form, version, grown(version, levels[*to]))
        });
        if enough
            && consistent
            && best
                .as_ref()
                .is_none_or(|best| levels.iter().sum::<usize>() < best.iter().sum())
        {
            best = Some(levels);
        }
    }
    best.expect("everything at major is consistent")
}

fn name(index: usize) -> String {
    format!("p{index}")
}

fn settings() -> Settings {
    let collected = collect(&["plan".to_owned()], &BTreeMap::new()).expect("it is understood");
    let Asked::Run(collected) = collected else {
        panic!("plan runs")
    };
    Settings::resolve(*collected, &[], World::default()).expect("defaults are right")
}

/// The new version of each package by name, and all manifests afterwards.
fn planned(generated: &Generated) -> (BTreeMap<String, Number>, BTreeMap<String, Value>) {
    let settings = settings();
    let mut members = BTreeMap::new();
    for (index, version) in generated.versions.iter().enumerate() {
        let mut manifest = json!({"name": name(index), "version": text(*version)});
        for ((from, to, field), form) in &generated.edges {
            if *from == index {
                manifest[FIELDS[*field]][name(*to)] = range(*form, generated.versions[*to]).into();
            }
        }
        let directory = format!("packages/{}", generated.order[index]);
        members.insert(
            RepoPath::parse(&directory).expect("a path"),
            manifest.to_string(),
        );
    }
    let sources = Sources {
        root: RepoPath::root(),
        root_manifest: "{}".to_owned(),
        members: members.clone(),
        has_members: true,
        manager: manager::tell(&Signs::default()).expect("npm"),
        catalogs: None,
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
            }
        })
        .collect();
    let tags = BTreeSet::new();
    let facts = Facts {
        workspace: &workspace,
        edges: &edges,
        mode: Mode::Diff,
        mode_reason: String::new(),
        head: commit,
        packages,
        tags: &tags,
        base: None,
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
            .map(|(path, text)| (path.to_string(), text.clone())),
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn exactly_what_must_follow_follows(generated in generated()) {
        let (versions, _) = planned(&generated);
        let expected: BTreeMap<String, Number> = oracle(&generated)
            .into_iter()
            .enumerate()
            .map(|(index, level)| (name(index), grown(generated.versions[index], level)))
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
            prop_assert_eq!(manifest["version"].as_str(), Some(expected.as_str()));
            let declared = FIELDS.iter().filter_map(|field| manifest[*field].as_object()).flatten();
            for (on, range) in declared {
                let range = range.as_str().expect("text");
                let version = Version::parse(&text(versions[on])).expect("a version");
                let held = range.starts_with("workspace:") || Range::parse(range).expect("a range").contains(&version);
                prop_assert!(held, "{} declares {} {}, which is {}", name, on, range, version);
            }
        }
    }
}
