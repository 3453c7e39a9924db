//! Which way versions grow: to releases, or to prereleases of one; and when a prerelease does not go on as it began.

use std::collections::BTreeSet;

use crate::explain::{Exit, Failure};
use crate::name::TagName;
use crate::plan::release::{Base, Facts, PackageFacts, matches, tag_format};
use crate::settings::{BumpRequest, Mode, Settings};
use crate::version::line::{Identifier, Line};
use crate::version::{Bump, Version, ZeroMajor};
use crate::workspace::package::Package;

/// Which way a version grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// To a release.
    Release,
    /// To the next prerelease of what the changes ask for together.
    Prerelease(Identifier),
    /// To the first prerelease of something higher.
    NewPrerelease(Identifier),
    /// To the snapshot of the commit, whatever it holds.
    Snapshot(Version),
}

impl Way {
    /// The way of a package.
    pub(super) fn of(package: &Package, facts: &Facts<'_>, settings: &Settings) -> Way {
        if let Some(name) = &settings.snapshot {
            return Way::Snapshot(Version::snapshot(name, facts.head.as_str()));
        }
        match identifier(package, settings, facts.line) {
            Some(identifier) => Way::Prerelease(identifier.clone()),
            None => Way::Release,
        }
    }

    /// The way of a package that grows by itself, as far as a bump is asked for with `request`.
    ///
    /// # Errors
    /// `plan::no_identifier`, exit 2, where a prerelease was asked for and nothing names it.
    pub(super) fn asked(
        package: &Package,
        from: &Version,
        request: &BumpRequest,
        facts: &Facts<'_>,
        settings: &Settings,
    ) -> Result<Way, Failure> {
        let own = identifier(package, settings, facts.line);
        let named = || {
            let at_hand = from
                .identifier()
                .and_then(|text| Identifier::parse(text).ok());
            own.cloned().or(at_hand).ok_or_else(|| {
                let what = format!(
                    "{} is at {from}, and nothing names its prereleases",
                    package.name
                );
                Failure::new(Exit::Usage, "plan::no_identifier", what)
                    .hint("set prerelease, for example: --prerelease beta")
            })
        };
        Ok(match request {
            BumpRequest::NewPrerelease(_) => Way::NewPrerelease(named()?),
            BumpRequest::Prerelease => Way::Prerelease(named()?),
            _ => Way::of(package, facts, settings),
        })
    }

    /// The version after `from`.
    pub(super) fn next(&self, from: &Version, bump: Bump, zero_major: ZeroMajor) -> Version {
        match self {
            Way::Release => from.next(bump, zero_major),
            Way::Prerelease(identifier) => from.next_prerelease(bump, identifier, zero_major),
            Way::NewPrerelease(identifier) => from.new_prerelease(bump, identifier, zero_major),
            Way::Snapshot(version) => version.clone(),
        }
    }

    /// The version after `from` where a person named the `target`: on the way to prereleases, a release is what they announce.
    pub(super) fn toward(&self, from: &Version, target: &Version) -> Version {
        match self {
            Way::Prerelease(identifier) | Way::NewPrerelease(identifier)
                if !target.is_prerelease() =>
            {
                from.toward(target, identifier)
            }
            Way::Snapshot(version) => version.clone(),
            _ => target.clone(),
        }
    }

    /// Whether versions that go this way must be above those before.
    pub(super) fn climbs(&self) -> bool {
        !matches!(self, Way::Snapshot(_))
    }
}

/// The identifier of a package's prereleases; `None`: it gets releases.
pub(super) fn identifier<'a>(
    package: &Package,
    settings: &'a Settings,
    line: Option<&'a Line>,
) -> Option<&'a Identifier> {
    if settings.bump == BumpRequest::Graduate {
        return None;
    }
    let about = settings.prerelease.iter().rev().find(|entry| {
        let packages = entry.packages.as_deref();
        packages.is_none_or(|pattern| matches(package, pattern))
    });
    match about {
        Some(entry) => entry.identifier.as_ref(),
        None => line.and_then(Line::identifier),
    }
}

/// Whether a version is a prerelease that becomes something else here although nothing changed: `graduate` was asked for, or it is one of another
/// branch, which was merged.
pub(super) fn arrives(version: &Version, own: Option<&Identifier>, settings: &Settings) -> bool {
    if settings.bump == BumpRequest::Graduate {
        return version.is_prerelease();
    }
    let is_found = |identifier: &Identifier| version.identifier() == Some(identifier.as_str());
    let of_a_branch = || {
        settings
            .lines
            .values()
            .filter_map(Line::identifier)
            .any(is_found)
    };
    version.is_prerelease() && !own.is_some_and(is_found) && of_a_branch()
}

/// The version to grow from instead of a prerelease that was overtaken: what it announces was released on another branch, so the next prerelease
/// announces something above that.
pub(super) fn overtaken(
    facts: &Facts<'_>,
    settings: &Settings,
    package: &Package,
    version: Version,
) -> Version {
    if is_overtaken(
        package,
        &version,
        settings,
        (facts.mode, facts.tags),
        facts.line,
    ) {
        version.announced()
    } else {
        version
    }
}

/// Whether what a package's prerelease announces was released on another branch. What counts since the last release that leads here, it does
/// not hold.
#[must_use]
pub fn is_overtaken(
    package: &Package,
    version: &Version,
    settings: &Settings,
    tags: (Mode, &BTreeSet<TagName>),
    line: Option<&Line>,
) -> bool {
    identifier(package, settings, line).is_some()
        && version.is_prerelease()
        && is_tagged(package, &version.announced(), settings, tags)
}

/// Whether a version that a manifest holds, above its package's last release, was released where this history does not lead: a branch was merged by
/// squashing or rebasing. What a person writes for the first time has no tag.
pub(super) fn was_released(
    facts: &Facts<'_>,
    settings: &Settings,
    package: &Package,
    version: &Version,
    own: Option<&Identifier>,
) -> bool {
    (own.is_some() || version.is_prerelease())
        && is_tagged(package, version, settings, (facts.mode, facts.tags))
}

fn is_tagged(
    package: &Package,
    version: &Version,
    settings: &Settings,
    (mode, tags): (Mode, &BTreeSet<TagName>),
) -> bool {
    let format = tag_format(mode, settings);
    let tag = crate::changes::tag::format(format, package.name.as_str(), version);
    TagName::parse(&tag).is_ok_and(|tag| tags.contains(&tag))
}

/// Whether a package whose last release is a prerelease gets a release now, so that its notes tell everything since the release before.
#[must_use]
pub fn graduates(
    package: &Package,
    known: &PackageFacts,
    settings: &Settings,
    line: Option<&Line>,
) -> bool {
    let own = identifier(package, settings, line);
    let Base::Tag { version, .. } = &known.base else {
        return false;
    };
    own.is_none()
        && version.is_prerelease()
        && (known.changed().is_some() || arrives(version, own, settings))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::changes::Touched;
    use crate::name::{CommitId, RepoPath};
    use crate::plan::release::plan;
    use crate::settings::World;
    use crate::settings::inputs::{Asked, collect};
    use crate::workspace::manager::{self, Signs};
    use crate::workspace::{Sources, Workspace};

    /// What is known of the package `a`.
    struct Case {
        /// Its last release; empty: there is none.
        released: &'static str,
        /// What its manifest holds.
        manifest: &'static str,
        /// What its commits since then ask for.
        changed: Option<Bump>,
        /// Further tags, of no commit that leads here.
        tags: &'static [&'static str],
    }

    fn case(released: &'static str, manifest: &'static str, changed: Option<Bump>) -> Case {
        Case {
            released,
            manifest,
            changed,
            tags: &[],
        }
    }

    fn settings(words: &[&str]) -> Settings {
        let words: Vec<String> = std::iter::once("plan")
            .chain(words.iter().copied())
            .map(str::to_owned)
            .collect();
        let Ok(Asked::Run(collected)) = collect(&words, &BTreeMap::new()) else {
            panic!("{words:?} is a plan");
        };
        Settings::resolve(*collected, &[], World::default()).unwrap()
    }

    /// The version that `a` gets on a branch, `-` for none, or the code of what refuses it.
    fn planned(case: &Case, mode: Mode, branch: &str, words: &[&str]) -> String {
        let settings = settings(words);
        let manifest = format!(r#"{{"name": "a", "version": "{}"}}"#, case.manifest);
        let sources = Sources {
            form: crate::workspace::package_json::Form::Documented,
            root: RepoPath::root(),
            root_manifest: "{}".to_owned(),
            members: BTreeMap::from([(RepoPath::parse("a").unwrap(), manifest)]),
            has_members: true,
            manager: manager::tell(&Signs::default()).unwrap(),
            catalogs: None,
            lerna: None,
            lockfile: None,
        };
        let workspace = Workspace::parse(sources, &settings.apps, |_| false).unwrap();
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let tags: BTreeSet<TagName> = case
            .tags
            .iter()
            .map(|tag| TagName::parse(tag).unwrap())
            .collect();
        let base = Version::parse(case.released).map_or(Base::First, |version| Base::Tag {
            name: TagName::parse("base").unwrap(),
            commit: commit.clone(),
            version,
        });
        let facts = Facts {
            workspace: &workspace,
            edges: &[],
            lockfile_stale: None,
            mode,
            mode_reason: String::new(),
            head: commit,
            packages: vec![PackageFacts {
                base,
                touched: Touched {
                    bump: case.changed,
                    ..Touched::default()
                },
                lockfile: BTreeSet::new(),
                catalogs: Vec::new(),
                held_back: Vec::new(),
                since_release: None,
                given_up: None,
                undecided: Vec::new(),
                answer: None,
            }],
            intents: &[],
            tags: &tags,
            line: settings.lines.get(branch),
            base: None,
            day: "2026-01-31".to_owned(),
            forge: None,
        };
        match plan(&facts, &settings) {
            Ok(plan) => plan
                .packages
                .first()
                .map_or("-".to_owned(), |package| package.to.to_string()),
            Err(failure) => failure.code().to_owned(),
        }
    }

    const BRANCHES: [&str; 3] = [
        "--branches=next=beta",
        "--branches=canary=alpha",
        "--branches=1.x=1.x",
    ];

    fn check(case: &Case, branch: &str, words: &[&str], expected: &str) {
        let words = [&BRANCHES[..], words].concat();
        for mode in [Mode::Diff, Mode::Sync] {
            let found = planned(case, mode, branch, &words);
            let Case {
                released,
                manifest,
                changed,
                ..
            } = case;
            assert_eq!(
                found, expected,
                "{mode:?} {branch} {words:?}: {released} {manifest} {changed:?}"
            );
        }
    }

    #[test]
    fn a_branch_decides_what_a_change_makes() {
        const FIX: Option<Bump> = Some(Bump::Patch);
        const FEATURE: Option<Bump> = Some(Bump::Minor);
        const BREAKING: Option<Bump> = Some(Bump::Major);
        for (released, changed, next, main) in [
            ("1.0.0", None, "-", "-"),
            ("1.0.0", FIX, "1.0.1-beta.0", "1.0.1"),
            ("1.0.0", FEATURE, "1.1.0-beta.0", "1.1.0"),
            ("1.1.0-beta.0", FEATURE, "1.1.0-beta.1", "1.1.0"),
            ("1.1.0-beta.1", BREAKING, "2.0.0-beta.0", "2.0.0"),
            ("2.0.0-beta.0", FIX, "2.0.0-beta.1", "2.0.0"),
            // Merged into the main branch, it is released; merged into the branch of betas, an alpha becomes one.
            ("1.1.0-beta.1", None, "-", "1.1.0"),
            ("1.1.0-alpha.1", None, "1.1.0-beta.0", "1.1.0"),
            // Nobody's branch: a person wrote it, and it stays until something changes.
            ("1.1.0-rc.1", None, "-", "-"),
            ("1.1.0-rc.1", FIX, "plan::bump", "1.1.0"),
            ("0.2.3", BREAKING, "0.3.0-beta.0", "0.3.0"),
            // The first release announces what the manifest holds.
            ("", None, "3.0.0-beta.0", "3.0.0"),
        ] {
            let manifest = if released.is_empty() {
                "3.0.0"
            } else {
                released
            };
            let case = case(released, manifest, changed);
            check(&case, "next", &[], next);
            check(&case, "main", &[], main);
        }
    }

    #[test]
    fn what_another_branch_released_is_not_announced_any_more() {
        for (changed, expected) in [
            (None, "-"),
            (Some(Bump::Patch), "1.1.1-beta.0"),
            (Some(Bump::Minor), "1.2.0-beta.0"),
        ] {
            let case = Case {
                tags: &["a@1.1.0", "v1.1.0"],
                ..case("1.1.0-beta.3", "1.1.0-beta.3", changed)
            };
            check(&case, "next", &[], expected);
        }
    }

    #[test]
    fn what_a_person_writes_is_released_and_what_a_merge_brought_is_not_again() {
        let by_hand = |manifest| case("1.0.0", manifest, Some(Bump::Patch));
        let merged = |manifest, tag| Case {
            tags: tag,
            ..by_hand(manifest)
        };
        for (case, branch, expected) in [
            (by_hand("2.0.0"), "main", "2.0.0"),
            (by_hand("2.0.0"), "next", "2.0.0-beta.0"),
            (by_hand("2.0.0-beta.4"), "next", "2.0.0-beta.4"),
            (by_hand("2.0.0-rc.1"), "main", "2.0.0-rc.1"),
            (by_hand("1.4.0"), "1.x", "1.4.0"),
            (by_hand("2.0.0"), "1.x", "plan::line"),
            (
                merged("2.0.0-beta.4", &["a@2.0.0-beta.4", "v2.0.0-beta.4"]),
                "main",
                "2.0.0",
            ),
            (
                merged("2.0.0", &["a@2.0.0", "v2.0.0"]),
                "next",
                "2.0.1-beta.0",
            ),
            (
                merged("2.0.0", &["a@2.0.0", "v2.0.0"]),
                "main",
                "plan::tag_exists",
            ),
        ] {
            check(&case, branch, &[], expected);
        }
    }

    #[test]
    fn bumps_that_are_asked_for() {
        let changed = |released| case(released, released, Some(Bump::Patch));
        for (released, bump, expected) in [
            ("1.0.0", "prerelease", "plan::no_identifier"),
            ("1.1.0-rc.1", "prerelease", "1.1.0-rc.2"),
            ("1.1.0-rc.1", "preminor", "1.2.0-rc.0"),
            ("1.1.0-rc.1", "graduate", "1.1.0"),
            ("1.1.0-rc.1", "1.1.0-rc.9", "1.1.0-rc.9"),
            ("1.0.0", "graduate", "1.0.1"),
        ] {
            let bump = format!("--bump={bump}");
            check(&changed(released), "main", &[&bump], expected);
        }
        for (bump, expected) in [
            ("prerelease", "1.0.1-beta.0"),
            ("premajor", "2.0.0-beta.0"),
            ("major", "2.0.0-beta.0"),
            ("graduate", "1.0.1"),
            ("1.7.0", "1.7.0"),
        ] {
            let bump = format!("--bump={bump}");
            check(&changed("1.0.0"), "next", &[&bump], expected);
        }
        let unchanged = case("1.1.0-rc.1", "1.1.0-rc.1", None);
        check(&unchanged, "main", &["--bump=graduate"], "1.1.0");
        check(&unchanged, "main", &["--bump=prerelease"], "-");
    }

    #[test]
    fn an_older_line_is_not_left() {
        for (released, changed, expected) in [
            ("1.4.2", Bump::Patch, "1.4.3"),
            ("1.4.2", Bump::Minor, "1.5.0"),
            ("1.4.2", Bump::Major, "plan::line"),
            ("3.0.0", Bump::Patch, "plan::line"),
        ] {
            check(
                &case(released, released, Some(changed)),
                "1.x",
                &[],
                expected,
            );
        }
    }
}
