//! What a release brings, for the people who use its packages: in changelogs, on the forge's release pages and as JSON.
//!
//! Everything here follows from the plan alone, so from the commit and its tags: a release that is planned again after a crash says
//! the same in the same bytes.

pub mod file;
pub mod forge;
pub mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::changes::{Reason, commit};
use crate::explain::Failure;
use crate::name::{CommitId, PackageName, RepoPath};
use crate::plan::release::{Base, Edit, Plan, PlannedPackage};
use crate::settings::{Changelog, Mode};
use crate::version::Bump;
use markdown::{code, inline};

/// The file that sections are written to.
pub const FILE: &str = "CHANGELOG.md";
/// How that file may be spelled where there is one.
pub const FILES: [&str; 4] = [FILE, "changelog.md", "Changelog.md", "ChangeLog.md"];

/// Where the notes of a release are written.
pub fn changelog(mode: Mode, setting: Option<Changelog>) -> Changelog {
    setting.unwrap_or(match mode {
        Mode::Diff => Changelog::Packages,
        Mode::Sync => Changelog::Root,
    })
}

/// Under which heading a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Users must change something.
    Breaking,
    /// `feat`.
    Features,
    /// `fix`.
    Fixes,
    /// Anything else that counts.
    Other,
}

impl Group {
    /// What an intent says is told by how far it lets a package grow.
    fn of_intent(bump: Bump) -> Group {
        match bump {
            Bump::Major => Group::Breaking,
            Bump::Minor => Group::Features,
            Bump::Patch => Group::Fixes,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Group::Breaking => "Breaking changes",
            Group::Features => "Features",
            Group::Fixes => "Fixes",
            Group::Other => "Other changes",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Under which heading it stands.
    pub group: Group,
    /// The commit that made it; an intent does not say which.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// The intent that tells it.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub file: Option<RepoPath>,
    /// The commit's page on the forge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What part of a package it is about, as the commit says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What it is, as the commit says: untrusted; or as the intent says, in Markdown.
    pub text: String,
    /// What breaks, as the commit says: untrusted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaking: Vec<String>,
    /// The packages that it touched.
    #[serde(skip)]
    pub packages: Vec<PackageName>,
}

/// A dependency that a release brings in another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dependency {
    /// Its name; the lockfile's where only that is known to differ.
    pub name: String,
    /// Its version, where the plan knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a release brings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// The changes, by group, within a group the newest first; each commit and each intent once.
    pub changes: Vec<Change>,
    /// The dependencies it brings, in order of name.
    pub dependencies: Vec<Dependency>,
    /// The page that shows everything since the last release, on the forge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde hands a field as it is")]
fn as_text<T: ToString, S: serde::Serializer>(
    name: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    name.as_ref().map(ToString::to_string).serialize(serializer)
}

/// What `packages` of a plan bring together.
#[must_use]
pub fn notes(plan: &Plan, packages: &[&PlannedPackage]) -> Notes {
    let mut changes: Vec<Change> = Vec::new();
    // Several releases may have had an intent in one file, each with a text of its own.
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut dependencies = BTreeSet::new();
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    for package in packages {
        for reason in &package.reasons {
            match reason {
                Reason::Commit { id, .. } => {
                    let place = *places.entry((id.as_str(), "")).or_insert_with(|| {
                        changes.extend(change_of_commit(plan, reason));
                        changes.len() - 1
                    });
                    changes[place].packages.push(package.name.clone());
                }
                Reason::Intent { text, .. } if text.is_empty() => {}
                Reason::Intent {
                    file, bump, text, ..
                } => {
                    let place = *places.entry((file.as_str(), text)).or_insert_with(|| {
                        changes.push(change_of_intent(file, *bump, text));
                        changes.len() - 1
                    });
                    let change = &mut changes[place];
                    change.group = change.group.min(Group::of_intent(*bump));
                    change.packages.push(package.name.clone());
                }
                // With one version for all, a dependency's version says nothing new.
                Reason::Dependency { .. } | Reason::Bundled { .. } if plan.mode == Mode::Sync => {}
                // It has its own place here.
                Reason::Dependency { on, .. } | Reason::Bundled { on, .. }
                    if names.contains(on.as_str()) => {}
                Reason::Dependency { on, to, .. } | Reason::Bundled { on, to, .. } => {
                    dependencies.insert(Dependency {
                        name: on.clone(),
                        version: Some(to.to_string()),
                    });
                }
                Reason::Lockfile { on } | Reason::Catalog { on, .. } => {
                    dependencies.insert(Dependency {
                        name: on.clone(),
                        version: None,
                    });
                }
                Reason::Group
                | Reason::Together { .. }
                | Reason::Abandoned { .. }
                | Reason::First
                | Reason::Graduate { .. }
                | Reason::Asked
                | Reason::ReleaseAs { .. }
                | Reason::Written => {}
            }
        }
    }
    changes.sort_by_key(|change| change.group);
    Notes {
        changes,
        dependencies: dependencies.into_iter().collect(),
        compare: compare(plan, packages),
    }
}

fn change_of_intent(file: &RepoPath, bump: Bump, text: &str) -> Change {
    Change {
        group: Group::of_intent(bump),
        commit: None,
        file: Some(file.clone()),
        url: None,
        scope: None,
        text: text.to_owned(),
        breaking: Vec::new(),
        packages: Vec::new(),
    }
}

fn change_of_commit(plan: &Plan, reason: &Reason) -> Option<Change> {
    let Reason::Commit {
        id,
        subject,
        bump,
        breaking,
    } = reason
    else {
        return None;
    };
    let header = commit::header(subject).filter(|header| !header.description.is_empty());
    let kind = header.map(|header| header.kind.to_ascii_lowercase());
    let group = match (*bump, kind.as_deref()) {
        (Bump::Major, _) => Group::Breaking,
        (_, Some("feat")) => Group::Features,
        (_, Some("fix")) => Group::Fixes,
        _ => Group::Other,
    };
    // The heading says the kind, but for the many kinds of the last one.
    let header = header.filter(|_| group != Group::Other);
    let scope = header.and_then(|header| header.scope).map(str::trim);
    Some(Change {
        group,
        commit: Some(id.clone()),
        file: None,
        url: plan.forge.as_ref().map(|forge| forge.commit(id)),
        scope: scope.filter(|scope| !scope.is_empty()).map(str::to_owned),
        text: header
            .map_or(subject.as_str(), |header| header.description)
            .to_owned(),
        breaking: breaking.clone(),
        packages: Vec::new(),
    })
}

/// The page that shows everything since the release before: where that is one place, and so is this.
fn compare(plan: &Plan, packages: &[&PlannedPackage]) -> Option<String> {
    let forge = plan.forge.as_ref()?;
    let since: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| match &package.base {
            Base::First => None,
            Base::Tag { name, .. } => Some(name.as_str()),
            Base::Published { commit, .. } | Base::Asked(commit) => Some(commit.as_str()),
        })
        .collect();
    let tags: BTreeSet<_> = packages.iter().map(|package| &package.tag).collect();
    let mut both = since.iter().zip(&tags);
    let (since, tag) = both
        .next()
        .filter(|_| since.len() == 1 && tags.len() == 1)?;
    forge.compare(since, tag)
}

/// A line of a section, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Heading(String),
    Entry(String),
}

impl Notes {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.dependencies.is_empty()
    }

    /// Headings and entries; `with_packages`, each entry names the packages it is about.
    fn lines(&self, with_packages: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut group = None;
        for change in &self.changes {
            if group.replace(change.group) != Some(change.group) {
                lines.push(Line::Heading(change.group.title().to_owned()));
            }
            lines.push(Line::Entry(entry(change, with_packages)));
        }
        if !self.dependencies.is_empty() {
            let each = self.dependencies.iter().map(|dependency| {
                let name = code(&dependency.name);
                match &dependency.version {
                    Some(version) => format!("{name} {version}"),
                    None => name,
                }
            });
            lines.push(Line::Heading("Dependencies".to_owned()));
            lines.push(Line::Entry(each.collect::<Vec<_>>().join(", ")));
        }
        lines
    }
}

/// A change as an entry of a list.
fn entry(change: &Change, with_packages: bool) -> String {
    const PACKAGES_SHOWN: usize = 3;
    let names = change.packages.iter().take(PACKAGES_SHOWN);
    let mut names: Vec<String> = names.map(|name| code(name.as_str())).collect();
    let more = change.packages.len().saturating_sub(PACKAGES_SHOWN);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let names = with_packages.then(|| names.join(", "));
    match &change.commit {
        Some(commit) => entry_of_commit(change, commit, names.as_deref()),
        None => markdown::entry(names.as_deref(), &change.text),
    }
}

/// It begins with the commit, so that nothing untrusted stands where a heading, a list or a quote begins.
fn entry_of_commit(change: &Change, commit: &CommitId, names: Option<&str>) -> String {
    let short = code(commit.short());
    let mut entry = match &change.url {
        Some(url) => format!("[{short}]({url}) "),
        None => format!("{short} "),
    };
    if let Some(scope) = &change.scope {
        let _ = write!(entry, "**{}:** ", inline(scope));
    }
    entry.push_str(&inline(&change.text));
    if let Some(names) = names {
        let _ = write!(entry, " ({names})");
    }
    for text in &change.breaking {
        let _ = write!(entry, "\n  - BREAKING CHANGE: {}", inline(text));
    }
    entry
}

/// Lines as Markdown, with an empty line around each heading.
fn markdown_of(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        match line {
            Line::Heading(title) => {
                let before = if text.is_empty() { "" } else { "\n" };
                let _ = write!(text, "{before}### {title}\n\n");
            }
            Line::Entry(entry) => {
                // What cannot stand behind other words begins on a line of its own.
                let space = if entry.starts_with('\n') { "" } else { " " };
                let _ = writeln!(text, "-{space}{entry}");
            }
        }
    }
    text
}

/// A section of a package's own changelog; `None` where there is nothing to say.
fn section_of_package(plan: &Plan, package: &PlannedPackage) -> Option<String> {
    let notes = notes(plan, &[package]);
    let title = linked(&package.to.to_string(), notes.compare.as_deref());
    (!notes.is_empty()).then(|| {
        let lines = markdown_of(&notes.lines(false));
        format!("## {title} ({})\n\n{lines}", plan.day)
    })
}

/// A section of the repository's changelog; `None` where there is nothing to say.
fn section_of_all(plan: &Plan) -> Option<String> {
    let packages: Vec<&PlannedPackage> = plan.packages.iter().collect();
    let notes = notes(plan, &packages);
    let heading = if let Some(version) = &plan.version {
        let title = linked(&version.to_string(), notes.compare.as_deref());
        format!("## {title} ({})\n", plan.day)
    } else {
        let each = packages
            .iter()
            .map(|package| format!("{} {}", code(package.name.as_str()), package.to));
        let each: Vec<String> = each.collect();
        format!("## {}\n\n{}\n", plan.day, each.join(", "))
    };
    let lines = markdown_of(&notes.lines(packages.len() > 1));
    (!notes.is_empty()).then(|| format!("{heading}\n{lines}"))
}

fn linked(title: &str, address: Option<&str>) -> String {
    match address {
        Some(address) => format!("[{title}]({address})"),
        None => title.to_owned(),
    }
}

/// The changelogs of a plan as they will be, by path. `root` is the workspace's directory, `found` gives the changelogs of
/// directories, one each, as they are at the commit that is planned on.
///
/// A section is written where the release commit writes a version or consumes an intent. Where the manifest holds the version already (a first
/// release, one that a person or a merged pull request wrote), the changelog is otherwise theirs too.
///
/// # Errors
/// Those of `found`.
pub fn changelogs(
    plan: &Plan,
    setting: Option<Changelog>,
    root: &RepoPath,
    found: impl FnOnce(&[&RepoPath]) -> Result<Vec<(RepoPath, Option<String>)>, Failure>,
) -> Result<Vec<(RepoPath, String)>, Failure> {
    let setting = changelog(plan.mode, setting);
    let mut written = plan
        .packages
        .iter()
        .filter(|package| {
            let is_intent = |reason: &Reason| matches!(reason, Reason::Intent { .. });
            package.is_written || package.reasons.iter().any(is_intent)
        })
        .peekable();
    let mut sections = BTreeMap::new();
    if matches!(setting, Changelog::Root | Changelog::Both) && written.peek().is_some() {
        sections.insert(root, (section_of_all(plan), plan.version.as_ref()));
    }
    if matches!(setting, Changelog::Packages | Changelog::Both) {
        for package in written {
            let section = section_of_package(plan, package);
            let of = &package.directory;
            sections.entry(of).or_insert((section, Some(&package.to)));
        }
    }
    sections.retain(|_, (section, _)| section.is_some());
    let directories: Vec<&RepoPath> = sections.keys().copied().collect();
    let mut changelogs = Vec::new();
    for ((path, text), (section, version)) in
        found(&directories)?.into_iter().zip(sections.into_values())
    {
        let Some(section) = section else { continue };
        let text = match text {
            Some(text) => file::with_section(&text, &section, version),
            None => Some(file::begun_with(&section)),
        };
        changelogs.extend(text.map(|text| (path, text)));
    }
    Ok(changelogs)
}

/// What `packages`, which one tag marks, bring, where the plan is known, and then which they are (`listed`), in at most `longest` units of UTF-16. Where that is not
/// enough, whole entries are left out and counted, with a link to where they all stand.
#[must_use]
pub fn release_page(
    plan: Option<&Plan>,
    packages: &[&PlannedPackage],
    listed: &[String],
    longest: usize,
) -> String {
    let notes = plan.map_or_else(Notes::default, |plan| notes(plan, packages));
    let mut lines = notes.lines(packages.len() > 1);
    if !lines.is_empty() {
        lines.push(Line::Heading("Packages".to_owned()));
    }
    lines.extend(listed.iter().cloned().map(Line::Entry));
    let all = plan
        .and_then(|plan| whole_notes(plan, packages))
        .or(notes.compare);
    shortened(lines, all.as_deref(), longest)
}

/// The page of the changelog that holds everything, where the release writes one.
fn whole_notes(plan: &Plan, packages: &[&PlannedPackage]) -> Option<String> {
    let first = packages.first()?;
    let forge = plan.forge.as_ref()?;
    let is_of_all = |directory: &RepoPath| {
        let mut each = plan.packages.iter();
        each.all(|package| package.directory.is_below(directory))
    };
    let changelog = |(path, _): &&Edit| {
        let (directory, name) = path
            .as_str()
            .rsplit_once('/')
            .unwrap_or(("", path.as_str()));
        let is_own = packages.len() == 1 && directory == first.directory.as_str();
        name.eq_ignore_ascii_case(FILE)
            && (is_own || RepoPath::parse(directory).is_ok_and(|directory| is_of_all(&directory)))
    };
    let (path, _) = plan.edits.iter().find(changelog)?;
    Some(forge.file(&first.tag, path))
}

fn shortened(mut lines: Vec<Line>, all: Option<&str>, longest: usize) -> String {
    let text = markdown_of(&lines);
    if length(&text) <= longest {
        return text;
    }
    let more = |count: usize| {
        let count = format!("{count} more");
        format!("\n… and {}\n", linked(&count, all))
    };
    let mut left = longest.saturating_sub(length(&more(lines.len())));
    let fitting = lines.iter().take_while(|line| {
        // A heading has an empty line on both sides.
        let needed = match line {
            Line::Heading(title) => length(title) + 7,
            Line::Entry(entry) => length(entry) + 3,
        };
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    });
    let mut kept = fitting.count();
    while kept > 0 && matches!(lines[kept - 1], Line::Heading(_)) {
        kept -= 1;
    }
    let cut = lines.split_off(kept);
    let cut = cut.iter().filter(|line| matches!(line, Line::Entry(_)));
    format!("{}{}", markdown_of(&lines), more(cut.count()))
}

/// As a forge may count characters, at the most.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::forge::Forge;
    use super::*;
    use crate::name::TagName;
    use crate::settings::Mode;
    use crate::version::{Version, ZeroMajor};
    use crate::workspace::package::Kind;

    fn commit(digit: char, subject: &str, bump: Bump) -> Reason {
        Reason::Commit {
            id: CommitId::parse(&digit.to_string().repeat(40)).unwrap(),
            subject: subject.to_owned(),
            bump,
            breaking: commit::breaking(subject, ""),
        }
    }

    fn intent(file: &str, bump: Bump, text: &str) -> Reason {
        Reason::Intent {
            file: RepoPath::parse(file).unwrap(),
            line: 2,
            bump,
            text: text.to_owned(),
        }
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn package(
        name: &str,
        from: &str,
        to: &str,
        tag: &str,
        reasons: Vec<Reason>,
    ) -> PlannedPackage {
        let base = Base::Tag {
            name: TagName::parse(&tag.replace(to, from)).unwrap(),
            commit: CommitId::parse(&"b".repeat(40)).unwrap(),
            version: version(from),
        };
        PlannedPackage {
            index: Some(0),
            name: PackageName::parse(name).unwrap(),
            directory: RepoPath::parse(&format!("packages/{}", name.rsplit('/').next().unwrap()))
                .unwrap(),
            kind: Kind::Library,
            private: false,
            from: version(from),
            to: version(to),
            bump: None,
            tag: TagName::parse(tag).unwrap(),
            dist_tag: None,
            access: None,
            registry: None,
            reasons,
            base,
            is_written: true,
        }
    }

    fn plan(mode: Mode, packages: Vec<PlannedPackage>) -> Plan {
        Plan {
            mode,
            mode_reason: String::new(),
            zero_major: ZeroMajor::Shift,
            base: None,
            head: CommitId::parse(&"a".repeat(40)).unwrap(),
            unchanged: Vec::new(),
            put_off: Vec::new(),
            waves: Vec::new(),
            apps: Vec::new(),
            tags: Vec::new(),
            version: packages
                .first()
                .filter(|_| mode == Mode::Sync)
                .map(|first| first.to.clone()),
            edits: Vec::new(),
            message: String::new(),
            warnings: Vec::new(),
            adopted: Vec::new(),
            day: "2026-01-31".to_owned(),
            is_snapshot: false,
            forge: Forge::of_manifest("acme/mono"),
            packages,
        }
    }

    fn two(mode: Mode, tags: [&str; 2]) -> Plan {
        let shared = commit('3', "feat(api)!: answer 404", Bump::Major);
        let core = vec![
            commit('1', "fix: a crash on `null`", Bump::Patch),
            commit('2', "perf: faster", Bump::Patch),
            shared.clone(),
            commit('4', "Thanks @ada <b>", Bump::Patch),
        ];
        let text = vec![
            shared,
            commit('5', "feat: count *all* words (#12)", Bump::Minor),
            Reason::Dependency {
                on: "@x/core".to_owned(),
                from: version("1.4.0"),
                to: version("2.0.0"),
                range: Some("^1.0.0".to_owned()),
            },
            Reason::Lockfile {
                on: "koa".to_owned(),
            },
        ];
        plan(
            mode,
            vec![
                package("@x/core", "1.4.0", "2.0.0", tags[0], core),
                package("text", "1.4.0", "2.0.0", tags[1], text),
            ],
        )
    }

    /// Every changelog of a plan, where there is none yet.
    fn check(plan: &Plan, setting: Option<Changelog>) -> String {
        let found = |directories: &[&RepoPath]| {
            let each = directories.iter();
            each.map(|directory| Ok((directory.join(FILE)?, None)))
                .collect()
        };
        let written = changelogs(plan, setting, &RepoPath::root(), found).unwrap();
        let each = written
            .iter()
            .map(|(path, text)| format!("==> {path}\n{text}"));
        each.collect()
    }

    #[test]
    fn each_package_has_its_changes_in_groups() {
        let plan = two(Mode::Diff, ["@x/core@2.0.0", "text@2.0.0"]);
        insta::assert_snapshot!(check(&plan, None), @r"
        ==> packages/core/CHANGELOG.md
        # Changelog

        ## [2.0.0](https://github.com/acme/mono/compare/@x/core@1.4.0...@x/core@2.0.0) (2026-01-31)

        ### Breaking changes

        - [`3333333`](https://github.com/acme/mono/commit/3333333333333333333333333333333333333333) **api:** answer 404

        ### Fixes

        - [`1111111`](https://github.com/acme/mono/commit/1111111111111111111111111111111111111111) a crash on `null`

        ### Other changes

        - [`2222222`](https://github.com/acme/mono/commit/2222222222222222222222222222222222222222) perf: faster
        - [`4444444`](https://github.com/acme/mono/commit/4444444444444444444444444444444444444444) Thanks `@ada` \<b\>
        ==> packages/text/CHANGELOG.md
        # Changelog

        ## [2.0.0](https://github.com/acme/mono/compare/text@1.4.0...text@2.0.0) (2026-01-31)

        ### Breaking changes

        - [`3333333`](https://github.com/acme/mono/commit/3333333333333333333333333333333333333333) **api:** answer 404

        ### Features

        - [`5555555`](https://github.com/acme/mono/commit/5555555555555555555555555555555555555555) count \*all\* words (#12)

        ### Dependencies

        - `@x/core` 2.0.0, `koa`
        ");
    }

    #[test]
    fn the_changelog_of_the_root_says_each_change_once() {
        let plan = two(Mode::Diff, ["@x/core@2.0.0", "text@2.0.0"]);
        insta::assert_snapshot!(check(&plan, Some(Changelog::Root)), @r"
        ==> CHANGELOG.md
        # Changelog

        ## 2026-01-31

        `@x/core` 2.0.0, `text` 2.0.0

        ### Breaking changes

        - [`3333333`](https://github.com/acme/mono/commit/3333333333333333333333333333333333333333) **api:** answer 404 (`@x/core`, `text`)

        ### Features

        - [`5555555`](https://github.com/acme/mono/commit/5555555555555555555555555555555555555555) count \*all\* words (#12) (`text`)

        ### Fixes

        - [`1111111`](https://github.com/acme/mono/commit/1111111111111111111111111111111111111111) a crash on `null` (`@x/core`)

        ### Other changes

        - [`2222222`](https://github.com/acme/mono/commit/2222222222222222222222222222222222222222) perf: faster (`@x/core`)
        - [`4444444`](https://github.com/acme/mono/commit/4444444444444444444444444444444444444444) Thanks `@ada` \<b\> (`@x/core`)

        ### Dependencies

        - `koa`
        ");
    }

    #[test]
    fn with_one_version_for_all_the_root_has_the_changelog() {
        let mut plan = two(Mode::Sync, ["v2.0.0", "v2.0.0"]);
        insta::assert_snapshot!(check(&plan, None), @r"
        ==> CHANGELOG.md
        # Changelog

        ## [2.0.0](https://github.com/acme/mono/compare/v1.4.0...v2.0.0) (2026-01-31)

        ### Breaking changes

        - [`3333333`](https://github.com/acme/mono/commit/3333333333333333333333333333333333333333) **api:** answer 404 (`@x/core`, `text`)

        ### Features

        - [`5555555`](https://github.com/acme/mono/commit/5555555555555555555555555555555555555555) count \*all\* words (#12) (`text`)

        ### Fixes

        - [`1111111`](https://github.com/acme/mono/commit/1111111111111111111111111111111111111111) a crash on `null` (`@x/core`)

        ### Other changes

        - [`2222222`](https://github.com/acme/mono/commit/2222222222222222222222222222222222222222) perf: faster (`@x/core`)
        - [`4444444`](https://github.com/acme/mono/commit/4444444444444444444444444444444444444444) Thanks `@ada` \<b\> (`@x/core`)

        ### Dependencies

        - `koa`
        ");
        // A package that nothing touched has nothing to say.
        plan.packages[1].reasons = vec![Reason::Group];
        let both = check(&plan, Some(Changelog::Both));
        let paths: Vec<&str> = both
            .lines()
            .filter(|line| line.starts_with("==>"))
            .collect();
        assert_eq!(
            paths,
            ["==> CHANGELOG.md", "==> packages/core/CHANGELOG.md"]
        );
        assert_eq!(check(&plan, Some(Changelog::None)), "");
    }

    #[test]
    fn where_the_version_stands_already_nothing_is_written() {
        let mut plan = two(Mode::Diff, ["@x/core@2.0.0", "text@2.0.0"]);
        for package in &mut plan.packages {
            package.is_written = false;
        }
        assert_eq!(check(&plan, Some(Changelog::Both)), "");
    }

    #[test]
    fn without_a_forge_there_are_no_links() {
        let mut plan = two(Mode::Diff, ["@x/core@2.0.0", "text@2.0.0"]);
        plan.forge = None;
        let text = check(&plan, Some(Changelog::Both));
        assert!(!text.contains("]("), "{text}");
        assert!(text.contains("\n## 2.0.0 (2026-01-31)\n"), "{text}");
    }

    /// Two packages of which intents tell.
    fn intents(tags: [&str; 2]) -> Plan {
        let table = "Count words.\n\n## How\n\n```js\n## 2.0.0\ncount(x)";
        let core = vec![
            intent(".changeset/a.md", Bump::Minor, table),
            intent(".changeset/b.md", Bump::Patch, ""),
            intent(".changeset/c.md", Bump::Patch, "```\nx\n```\n**so**"),
        ];
        let text = vec![
            intent(".changeset/a.md", Bump::Major, table),
            Reason::Commit {
                id: CommitId::parse(&"6".repeat(40)).unwrap(),
                subject: "feat!: less".to_owned(),
                bump: Bump::Major,
                breaking: vec!["# <b>gone</b>".to_owned(), "all".to_owned()],
            },
        ];
        plan(
            Mode::Diff,
            vec![
                package("@x/core", "1.4.0", "1.5.0", tags[0], core),
                package("text", "1.4.0", "2.0.0", tags[1], text),
            ],
        )
    }

    #[test]
    fn intents_are_told_in_their_own_words_and_breaking_changes_below_their_commit() {
        let mut plan = intents(["@x/core@1.5.0", "text@2.0.0"]);
        plan.forge = None;
        insta::assert_snapshot!(check(&plan, Some(Changelog::Both)), @r"
        ==> CHANGELOG.md
        # Changelog

        ## 2026-01-31

        `@x/core` 1.5.0, `text` 2.0.0

        ### Breaking changes

        - `@x/core`, `text`: Count words.

          **How**

          ```js
          ## 2.0.0
          count(x)
          ```
        - `6666666` less (`text`)
          - BREAKING CHANGE: # \<b\>gone\</b\>
          - BREAKING CHANGE: all

        ### Fixes

        - `@x/core`:
          ```
          x
          ```
          **so**
        ==> packages/core/CHANGELOG.md
        # Changelog

        ## 1.5.0 (2026-01-31)

        ### Features

        - Count words.

          **How**

          ```js
          ## 2.0.0
          count(x)
          ```

        ### Fixes

        -
          ```
          x
          ```
          **so**
        ==> packages/text/CHANGELOG.md
        # Changelog

        ## 2.0.0 (2026-01-31)

        ### Breaking changes

        - Count words.

          **How**

          ```js
          ## 2.0.0
          count(x)
          ```
        - `6666666` less
          - BREAKING CHANGE: # \<b\>gone\</b\>
          - BREAKING CHANGE: all
        ");
        let json = serde_json::to_value(notes(&plan, &[&plan.packages[1]])).unwrap();
        let changes = &json["changes"];
        assert_eq!(changes[0]["file"], ".changeset/a.md");
        assert_eq!(changes[0]["commit"], serde_json::Value::Null);
        assert_eq!(changes[1]["breaking"][1], "all");
        // What the release consumes is told, also where a person wrote the version.
        for package in &mut plan.packages {
            package.is_written = false;
        }
        assert!(check(&plan, None).contains("Count words."));
    }

    #[test]
    fn notes_as_json() {
        let plan = two(Mode::Diff, ["@x/core@2.0.0", "text@2.0.0"]);
        let json = serde_json::to_string_pretty(&notes(&plan, &[&plan.packages[1]])).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "changes": [
            {
              "group": "breaking",
              "commit": "3333333333333333333333333333333333333333",
              "url": "https://github.com/acme/mono/commit/3333333333333333333333333333333333333333",
              "scope": "api",
              "text": "answer 404"
            },
            {
              "group": "features",
              "commit": "5555555555555555555555555555555555555555",
              "url": "https://github.com/acme/mono/commit/5555555555555555555555555555555555555555",
              "text": "count *all* words (#12)"
            }
          ],
          "dependencies": [
            {
              "name": "@x/core",
              "version": "2.0.0"
            },
            {
              "name": "koa"
            }
          ],
          "compare": "https://github.com/acme/mono/compare/text@1.4.0...text@2.0.0"
        }
        "#);
        assert_eq!(
            serde_json::to_string(&Notes::default()).unwrap(),
            r#"{"changes":[],"dependencies":[]}"#
        );
    }

    /// The page of `v2.0.0`, cut to `longest`.
    fn page(plan: &Plan, longest: usize) -> String {
        let packages: Vec<&PlannedPackage> = plan.packages.iter().collect();
        let listed = [
            "`@x/core` 1.4.0 → 2.0.0".to_owned(),
            "`text` 1.4.0 → 2.0.0".to_owned(),
        ];
        release_page(Some(plan), &packages, &listed, longest)
    }

    #[test]
    fn a_page_is_cut_at_a_whole_entry_and_links_to_the_rest() {
        let mut plan = two(Mode::Sync, ["v2.0.0", "v2.0.0"]);
        let changelog = RepoPath::parse("CHANGELOG.md").unwrap();
        plan.edits = vec![(changelog, Some(String::new()))];
        insta::assert_snapshot!(page(&plan, 125_000), @r"
        ### Breaking changes

        - [`3333333`](https://github.com/acme/mono/commit/3333333333333333333333333333333333333333) **api:** answer 404 (`@x/core`, `text`)

        ### Features

        - [`5555555`](https://github.com/acme/mono/commit/5555555555555555555555555555555555555555) count \*all\* words (#12) (`text`)

        ### Fixes

        - [`1111111`](https://github.com/acme/mono/commit/1111111111111111111111111111111111111111) a crash on `null` (`@x/core`)

        ### Other changes

        - [`2222222`](https://github.com/acme/mono/commit/2222222222222222222222222222222222222222) perf: faster (`@x/core`)
        - [`4444444`](https://github.com/acme/mono/commit/4444444444444444444444444444444444444444) Thanks `@ada` \<b\> (`@x/core`)

        ### Dependencies

        - `koa`

        ### Packages

        - `@x/core` 1.4.0 → 2.0.0
        - `text` 1.4.0 → 2.0.0
        ");
        let whole = page(&plan, 125_000);
        for longest in 120..=length(&whole) {
            let cut = page(&plan, longest);
            assert!(length(&cut) <= longest, "{longest}: {cut}");
            let left_out: usize = cut.split_once("… and [").map_or(0, |(_, rest)| {
                rest.split(' ').next().unwrap().parse().unwrap()
            });
            let entries = |text: &str| text.lines().filter(|line| line.starts_with("- ")).count();
            assert_eq!(
                entries(&cut) + left_out,
                entries(&whole),
                "{longest}: {cut}"
            );
            assert!(
                cut.lines()
                    .filter(|line| line.starts_with("- "))
                    .all(|line| whole.contains(line)),
                "{cut}"
            );
        }
        insta::assert_snapshot!(page(&plan, 400), @r"
        ### Breaking changes

        - [`3333333`](https://github.com/acme/mono/commit/3333333333333333333333333333333333333333) **api:** answer 404 (`@x/core`, `text`)

        ### Features

        - [`5555555`](https://github.com/acme/mono/commit/5555555555555555555555555555555555555555) count \*all\* words (#12) (`text`)

        … and [6 more](https://github.com/acme/mono/blob/v2.0.0/CHANGELOG.md)
        ");
    }

    #[test]
    fn a_page_without_a_plan_lists_the_packages() {
        assert_eq!(
            release_page(None, &[], &["`a` 1.0.0 → 1.1.0".to_owned()], 100),
            "- `a` 1.0.0 → 1.1.0\n"
        );
    }
}
