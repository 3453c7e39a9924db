//! Intents: what they decide about packages, and how a release consumes them.

use std::collections::HashMap;

use crate::changes::intent::{self, Entry, Intent};
use crate::changes::{Reason, Verdict};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::plan::asking::{self, Named};
use crate::plan::release::{Edit, Facts, Notice, PackageFacts, Plan, selected};
use crate::settings::adopted::CHANGESETS;
use crate::settings::given::nearest;
use crate::settings::{BumpFrom, Settings};
use crate::workspace::Workspace;
use crate::workspace::package::Package;

/// A file that may be an intent: its bytes; `None`: it is a link.
pub type Found = (RepoPath, Option<Vec<u8>>);

/// Reads the intents of a workspace, in order of file.
///
/// # Errors
/// Exit 3, everything that is found: `intent::form`, `intent::bump`, `intent::twice`; `intent::unknown_package`, `intent::unversioned`
/// and `intent::ignored` where an intent names what cannot be released.
pub fn read(
    found: &[Found],
    workspace: &Workspace,
    settings: &Settings,
) -> Result<Vec<Intent>, Failure> {
    let mut intents = Vec::new();
    let mut problems = Vec::new();
    for (file, content) in found {
        let read = match content {
            Some(content) => Intent::parse(file, content),
            None => Err(intent::malformed(file, None, "it is a link")),
        };
        match read {
            Ok(intent) => {
                let named = intent.entries.iter();
                problems.extend(named.filter_map(|entry| refused(&intent, entry, workspace)));
                problems.extend(half_ignored(&intent, workspace, settings));
                intents.push(intent);
            }
            Err(failure) => problems.push(failure),
        }
    }
    Failure::all(problems).map_or(Ok(intents), Err)
}

/// Why an intent cannot name what it names.
fn refused(intent: &Intent, entry: &Entry, workspace: &Workspace) -> Option<Failure> {
    let name = quoted(&entry.package);
    let refuse = |code, what: String| {
        let place = Place::at(intent.file.as_str(), entry.line, 1);
        Failure::new(Exit::Refused, code, what).place(place)
    };
    match package(workspace, &entry.package) {
        Some(package) if package.version.is_some() => None,
        Some(_) => {
            let what = format!("{} names {name}, which has no version", intent.file);
            Some(
                refuse("intent::unversioned", what).hint(
                    "name the packages that use it, or give it a version in its package.json",
                ),
            )
        }
        None => {
            let what = format!(
                "{} names {name}, which is no package of the workspace",
                intent.file
            );
            let failure = refuse("intent::unknown_package", what);
            let mut root = workspace
                .root
                .iter()
                .filter_map(|root| root.manifest.name.as_ref());
            let is_root = root.any(|name| name.as_str() == entry.package);
            let names = workspace.packages.iter();
            let near = nearest(&entry.package, names.map(|package| package.name.as_str()));
            Some(match near {
                _ if is_root => failure
                    .because("it is the root, which is never released by itself")
                    .hint("name the packages that changed"),
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure.hint("name a package as its package.json does, or delete the line"),
            })
        }
    }
}

/// That an intent names packages that changesets is told to ignore beside others: it could be neither consumed nor kept there.
fn half_ignored(intent: &Intent, workspace: &Workspace, settings: &Settings) -> Option<Failure> {
    if settings.adopted_from("filter") != Some(CHANGESETS) {
        return None;
    }
    let is_taken = |entry: &&Entry| is_taken(entry, workspace, settings);
    let ignored = intent.entries.iter().find(|entry| !is_taken(entry))?;
    let taken = intent.entries.iter().find(is_taken)?;
    let what = format!(
        "{} names {}, which is ignored, beside {}, which is not",
        intent.file, ignored.package, taken.package
    );
    Some(
        Failure::new(Exit::Refused, "intent::ignored", what)
            .because(format!(
                "ignore in {CHANGESETS} keeps its intents until it is released"
            ))
            .place(Place::at(intent.file.as_str(), ignored.line, 1))
            .hint("make it two intents"),
    )
}

fn package<'w>(workspace: &'w Workspace, name: &str) -> Option<&'w Package> {
    let mut packages = workspace.packages.iter();
    packages.find(|package| package.name.as_str() == name)
}

/// Whether the filter lets in what an intent names.
fn is_taken(entry: &Entry, workspace: &Workspace, settings: &Settings) -> bool {
    let package = package(workspace, &entry.package);
    package.is_none_or(|package| selected(package, &settings.filter))
}

/// Lets intents decide: about each package that one names, and with `bump-from` `intents` about all. What its commits ask for counts for
/// nothing then. `known` is what is known of each of `packages`.
pub fn decide(
    intents: &[Intent],
    packages: &[Package],
    bump_from: BumpFrom,
    known: &mut [PackageFacts],
) {
    let mut named: HashMap<&str, Vec<Reason>> = HashMap::new();
    for intent in intents {
        for entry in &intent.entries {
            let reasons = named.entry(&entry.package).or_default();
            reasons.extend(entry.bump.map(|bump| Reason::Intent {
                file: intent.file.clone(),
                line: entry.line,
                bump,
                text: intent.text.clone(),
            }));
        }
    }
    for (package, known) in packages.iter().zip(known) {
        let reasons = named.remove(package.name.as_str());
        let named = match reasons.as_deref() {
            None => Named::Nowhere,
            Some([]) => Named::ForNothing,
            Some(_) => Named::WithBump,
        };
        known.undecided = asking::undecided(known, bump_from, named);
        let reasons = reasons.unwrap_or_default();
        let decides = match bump_from {
            BumpFrom::Intents => true,
            BumpFrom::Both => !reasons.is_empty(),
            BumpFrom::Commits => false,
        };
        if !decides {
            continue;
        }
        if reasons.is_empty() {
            known.lockfile.clear();
            known.catalogs.clear();
        }
        let touched = &mut known.touched;
        let asked = |reason: &Reason| match reason {
            Reason::Intent { bump, .. } => Some(*bump),
            _ => None,
        };
        touched.bump = reasons.iter().filter_map(asked).max();
        touched.reasons = reasons;
        touched.release_as = None;
        touched.misread.clear();
        for traced in &mut touched.traced {
            if let Verdict::Counts(bump) = traced.verdict {
                traced.verdict = Verdict::Outweighed(bump);
            }
        }
    }
}

/// The intents that a release consumed: those `before` it, without what was still said after it.
pub fn released(before: Vec<Intent>, after: &[Intent]) -> Vec<Intent> {
    let is_kept = |file: &RepoPath, entry: &Entry| {
        let mut kept = after.iter().filter(|kept| kept.file == *file);
        kept.any(|kept| {
            kept.entries
                .iter()
                .any(|other| other.package == entry.package)
        })
    };
    let without = |mut intent: Intent| {
        let Intent { file, entries, .. } = &mut intent;
        entries.retain(|entry| !is_kept(file, entry));
        intent
    };
    before.into_iter().map(without).collect()
}

/// How the release commit consumes intents: what concerns nobody that the filter keeps out is deleted, of anything else the rest stays.
pub(super) fn consumed(
    intents: &[Intent],
    workspace: &Workspace,
    settings: &Settings,
) -> Vec<Edit> {
    let is_taken = |entry: &Entry| is_taken(entry, workspace, settings);
    let edit = |intent: &Intent| {
        let stays = |entry: &Entry| !is_taken(entry);
        if !intent.entries.iter().any(stays) {
            return Some((intent.file.clone(), None));
        }
        let is_touched = intent.entries.iter().any(is_taken);
        is_touched.then(|| (intent.file.clone(), Some(intent.without(is_taken))))
    };
    intents.iter().filter_map(edit).collect()
}

/// That nothing is released because no intent names what changed.
pub(super) fn unnamed(plan: &Plan, facts: &Facts<'_>, settings: &Settings) -> Option<Notice> {
    const NAMED: usize = 5;
    if settings.bump_from != BumpFrom::Intents || !plan.packages.is_empty() {
        return None;
    }
    let each = facts.workspace.packages.iter().zip(&facts.packages);
    let changed = each.filter(|(_, known)| known.touched.differs && known.answer.is_none());
    let mut names: Vec<&str> = changed.map(|(package, _)| package.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(NAMED);
    Some(Notice {
        code: "plan::no_intent",
        message: format!(
            "bump-from is intents, and none names what changed since its last release: {}{more}",
            names.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::changes::{Touched, Traced};
    use crate::name::CommitId;
    use crate::plan::release::Base;
    use crate::settings::World;
    use crate::settings::inputs::{Asked, collect};
    use crate::version::{Bump, Version};
    use crate::workspace::Sources;
    use crate::workspace::manager::{self, Signs};

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    /// Settings as the words of a command line give them.
    fn settings(words: &[&str]) -> Settings {
        let words: Vec<String> = [&["plan"], words]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let Ok(Asked::Run(collected)) = collect(&words, &BTreeMap::new()) else {
            panic!("{words:?} is a plan");
        };
        Settings::resolve(*collected, &[], World::default()).unwrap()
    }

    /// The packages `a` and `b`.
    fn workspace() -> Workspace {
        let manifest = |name: &str| format!(r#"{{"name": "{name}", "version": "1.0.0"}}"#);
        let sources = Sources {
            form: crate::workspace::package_json::Form::Documented,
            root: RepoPath::root(),
            root_manifest: "{}".to_owned(),
            members: ["a", "b"].map(|name| (path(name), manifest(name))).into(),
            has_members: true,
            manager: manager::tell(&Signs::default()).unwrap(),
            catalogs: None,
            lerna: None,
            lockfile: None,
        };
        Workspace::parse(sources, &BTreeMap::new(), |_| false).unwrap()
    }

    /// Intents of which each line is one, such as `a: minor, b: none`.
    fn intents(lines: &str) -> Vec<Intent> {
        let intent = |(index, line): (usize, &str)| {
            let text = format!("---\n{}\n---\n\nIt.\n", line.replace(", ", "\n"));
            Intent::parse(&path(&format!(".changeset/{index}.md")), text.as_bytes()).unwrap()
        };
        lines.lines().enumerate().map(intent).collect()
    }

    /// A package that a commit asks to grow to 3.0.0, and whose lockfile changed.
    fn changed() -> PackageFacts {
        let id = CommitId::parse(&"a".repeat(40)).unwrap();
        let traced = Traced {
            id: id.clone(),
            subject: String::new(),
            files: Vec::new(),
            verdict: Verdict::Counts(Bump::Minor),
        };
        PackageFacts {
            base: Base::Asked(id.clone()),
            touched: Touched {
                bump: Some(Bump::Minor),
                reasons: vec![Reason::Asked],
                says_how: true,
                release_as: Version::parse("3.0.0")
                    .ok()
                    .map(|version| (version, id.clone())),
                misread: BTreeMap::from([(id, String::new())]),
                differs: true,
                traced: vec![traced],
                merges: 0,
            },
            lockfile: BTreeSet::from(["koa".to_owned()]),
            catalogs: Vec::new(),
            held_back: Vec::new(),
            since_release: None,
            given_up: None,
            undecided: Vec::new(),
            answer: None,
        }
    }

    #[test]
    fn who_decides_about_a_package() {
        /// `a` afterwards: how far it grows, and by how many reasons; `commits`: nothing changed.
        fn check(bump_from: BumpFrom, lines: &str, expected: &str) {
            let mut packages = [changed(), changed()];
            decide(
                &intents(lines),
                &workspace().packages,
                bump_from,
                &mut packages,
            );
            let [
                PackageFacts {
                    touched, lockfile, ..
                },
                _,
            ] = &packages;
            let found = match (touched.bump, touched.reasons.as_slice()) {
                (Some(Bump::Minor), [Reason::Asked]) => {
                    assert!(touched.release_as.is_some() && !touched.misread.is_empty());
                    assert_eq!(touched.traced[0].verdict, Verdict::Counts(Bump::Minor));
                    "commits".to_owned()
                }
                (bump, reasons) => {
                    assert!(touched.release_as.is_none() && touched.misread.is_empty());
                    assert_eq!(touched.traced[0].verdict, Verdict::Outweighed(Bump::Minor));
                    assert_eq!(lockfile.is_empty(), reasons.is_empty());
                    format!("{} {}", bump.map_or("nothing", Bump::as_str), reasons.len())
                }
            };
            assert_eq!(found, expected, "{bump_from:?} {lines:?}");
        }
        for (lines, intents, both) in [
            ("", "nothing 0", "commits"),
            ("b: major", "nothing 0", "commits"),
            ("a: none", "nothing 0", "commits"),
            ("a: patch", "patch 1", "patch 1"),
            ("a: patch, b: major", "patch 1", "patch 1"),
            (
                "a: none\na: patch\na: major\na: minor",
                "major 3",
                "major 3",
            ),
        ] {
            check(BumpFrom::Intents, lines, intents);
            check(BumpFrom::Both, lines, both);
            check(BumpFrom::Commits, lines, "commits");
        }
    }

    #[test]
    fn what_a_release_consumes() {
        /// What becomes of the only intent: it stays, it is deleted, or these lines are left.
        fn check(line: &str, words: &[&str], expected: &str) {
            let consumed = consumed(&intents(line), &workspace(), &settings(words));
            let found = match consumed.as_slice() {
                [] => "stays".to_owned(),
                [(_, None)] => "deleted".to_owned(),
                [(_, Some(text))] => text.lines().nth(1).unwrap().to_owned(),
                more => panic!("{more:?}"),
            };
            assert_eq!(found, expected, "{line:?} {words:?}");
        }
        check("a: minor, b: patch", &[], "deleted");
        check("a: minor, b: patch", &["--filter=a"], "b: patch");
        check("a: minor, b: patch", &["--filter=!a"], "a: minor");
        check("b: patch", &["--filter=a"], "stays");
        check("b: none", &["--filter=a"], "stays");
        check("a: none", &["--filter=a"], "deleted");
        check("# nothing", &["--filter=a"], "deleted");
    }
}
