//! What a release replaces in files beside manifests, lockfile and changelogs: in which, for which package, and their new texts. Pure: whoever calls
//! this reads the files.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobMatcher;

use crate::changes::owner::Owners;
use crate::changes::{intent, tag};
use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::{PackageName, RepoPath};
use crate::plan::notes;
use crate::plan::release::{Edit, Plan, tag_format};
use crate::settings::config;
use crate::settings::given::nearest;
use crate::settings::replacement::{Effort, Files, Placeholder, Replacement, Unapplied, Values};
use crate::settings::{BumpFrom, Changelog, Mode, Settings};
use crate::workspace::Workspace;

/// The longest file in which something is replaced, in bytes.
pub const LONGEST: usize = 8 << 20;
/// How long all files together may be, in bytes.
const MOST_BYTES: usize = 256 << 20;
/// The most files that one entry means.
const MOST_FILES: usize = 10_000;
/// How much text all searches together may look at, in bytes. What is written is searched once more, and each match counts the rest of its file.
const MOST_SEARCHED: u64 = 1 << 30;
/// How a file begins that git-lfs keeps elsewhere, says the [specification](https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\n";

/// What a file holds, or why nothing can be replaced in it.
pub type Read = Result<Vec<u8>, Unread>;

/// Why nothing can be replaced in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// What it is.
    Because(&'static str),
    /// An attribute makes git keep other bytes than the work tree has, as gitattributes write it: `filter=lfs`.
    Attribute(String),
}

/// Refuses replacements for packages that there are not, or that are never released.
///
/// # Errors
/// `plan::replacement`, exit 2.
pub(super) fn check(workspace: &Workspace, mode: Mode, settings: &Settings) -> Result<(), Failure> {
    let problems = settings.replacements.iter().filter_map(|replacement| {
        let name = replacement.package.as_ref()?;
        let called = replacement.called("package");
        let refuse = |why: &str| refused(format!("{called}: {name} {why}"));
        if is_root(workspace, name) && mode == Mode::Sync {
            return None;
        }
        if is_root(workspace, name) {
            let failure = refuse("is the root, which is released in sync mode only");
            return Some(failure.hint("name the package whose version the file follows"));
        }
        let names = workspace
            .packages
            .iter()
            .map(|package| package.name.as_str());
        match workspace.package(name) {
            Some(package) if package.version.is_some() => None,
            Some(_) => Some(
                refuse("has no version, so it is never released")
                    .hint("name the package whose version the file follows"),
            ),
            None => Some(match nearest(name.as_str(), names) {
                Some(near) => {
                    refuse("is no package of the workspace").hint(format!("did you mean {near}?"))
                }
                None => refuse("is no package of the workspace")
                    .hint("write the name that its package.json has"),
            }),
        }
    });
    Failure::all(problems.collect()).map_or(Ok(()), Err)
}

/// The files in which the release of a plan replaces something, with their new texts, in order of path. What several entries replace in one file comes
/// together, in their order. `like` gives the regular files that a glob means, `read` what a file holds, both at the commit that is planned on.
///
/// # Errors
/// Everything that is wrong: `plan::replacement`, exit 2, for a file that has no package, or that the release edits itself; exit 3:
/// `plan::replacement_file`, `plan::replacement_attribute`, `plan::replacement_match` where a search matches nothing, or would in the next
/// release, `plan::replacement_repeats` where to replace once more would change what was just written, `plan::replacement_effort`.
pub fn edits(
    plan: &Plan,
    workspace: &Workspace,
    settings: &Settings,
    like: impl Fn(&GlobMatcher) -> Result<Vec<RepoPath>, Failure>,
    read: impl Fn(&RepoPath) -> Result<Read, Failure>,
) -> Result<Vec<Edit>, Failure> {
    if plan.packages.is_empty() || settings.replacements.is_empty() {
        return Ok(Vec::new());
    }
    let mut replacing = Replacing {
        plan,
        workspace,
        settings,
        owners: owners(workspace),
        own: own_files(plan, workspace, settings),
        read,
        texts: BTreeMap::new(),
        read_bytes: 0,
        effort: Effort::new(MOST_SEARCHED),
        problems: Vec::new(),
    };
    for replacement in &settings.replacements {
        match replacing.files(replacement, &like) {
            Ok(files) => replacing.replace(replacement, files)?,
            Err(failure) => replacing.problems.push(failure),
        }
    }
    replacing.settle()
}

fn refused(what: String) -> Failure {
    Failure::new(Exit::Usage, "plan::replacement", what)
}

fn is_root(workspace: &Workspace, name: &PackageName) -> bool {
    let root = workspace.root.as_ref();
    root.and_then(|root| root.manifest.name.as_ref()) == Some(name)
}

/// The directories of the packages that can be released.
fn owners(workspace: &Workspace) -> Owners {
    let packages = workspace.packages.iter();
    let versioned = packages.filter(|package| package.version.is_some());
    Owners::new(versioned.map(|package| package.directory.clone()))
}

/// The files that a release edits by itself, or is told by: nothing else may edit them.
fn own_files(plan: &Plan, workspace: &Workspace, settings: &Settings) -> BTreeSet<RepoPath> {
    let manifests = workspace.manifests().map(|manifest| manifest.file());
    let lockfile = workspace.lockfile.iter().map(|file| file.path.clone());
    let catalogs = workspace.catalogs.iter().map(|file| file.path.clone());
    let lerna = workspace.lerna.iter().map(|file| file.path.clone());
    let (packages, root) = match notes::changelog(plan.mode, settings.changelog) {
        Changelog::Packages => (true, false),
        Changelog::Root => (false, true),
        Changelog::Both => (true, true),
        Changelog::None => (false, false),
    };
    let members = workspace.packages.iter().filter(|_| packages);
    let directories = members.map(|package| &package.directory);
    let directories = directories.chain(Some(&workspace.directory).filter(|_| root));
    let changelogs = directories.flat_map(|directory| {
        let names = notes::FILES.iter();
        names.filter_map(|name| directory.join(name).ok())
    });
    let edited = plan.edits.iter().map(|(path, _)| path.clone());
    manifests
        .chain(lockfile)
        .chain(catalogs)
        .chain(lerna)
        .chain(changelogs)
        .chain(edited)
        .collect()
}

/// The release of a package, as a file may tell it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    /// `None`: the root without a name, in sync mode.
    name: Option<String>,
    version: String,
    /// `None`: nothing can be the tag of all packages.
    tag: Option<String>,
}

/// What becomes of one file.
struct Text<'r> {
    before: String,
    after: String,
    /// What replaces in it, for which release, and how often it matched.
    by: Vec<(&'r Replacement, Told, usize)>,
}

struct Replacing<'p, R> {
    plan: &'p Plan,
    workspace: &'p Workspace,
    settings: &'p Settings,
    owners: Owners,
    own: BTreeSet<RepoPath>,
    read: R,
    texts: BTreeMap<RepoPath, Text<'p>>,
    /// How long the texts were together, in bytes.
    read_bytes: usize,
    effort: Effort,
    problems: Vec<Failure>,
}

impl<'p, R: Fn(&RepoPath) -> Result<Read, Failure>> Replacing<'p, R> {
    /// The files that an entry means in this release, for each release that they follow.
    fn files(
        &self,
        replacement: &Replacement,
        like: impl Fn(&GlobMatcher) -> Result<Vec<RepoPath>, Failure>,
    ) -> Result<BTreeMap<Told, Vec<RepoPath>>, Failure> {
        if let Some(name) = &replacement.package
            && self.told_of(name).is_none()
        {
            return Ok(BTreeMap::new());
        }
        let paths = match &replacement.files {
            Files::One(path) => {
                let path = self.workspace.directory.join(path.as_str())?;
                if self.is_own(replacement, &path) {
                    let called = replacement.called("file");
                    let what = format!("{called} names {path}, which a release edits by itself");
                    return Err(refused(what)
                        .because("manifests, lockfiles, changelogs, intents and the configuration are not for replacements")
                        .hint("name another file"));
                }
                vec![path]
            }
            Files::Like(glob) => {
                let mut found = like(glob)?;
                found.retain(|path| !self.is_own(replacement, path));
                found
            }
        };
        let Some(first) = paths.first() else {
            return Err(file_refused(replacement, None, "there is no such file"));
        };
        if paths.len() > MOST_FILES {
            let why = "it means more than 10,000 files";
            return Err(file_refused(replacement, Some(first), why));
        }
        let mut files: BTreeMap<Told, Vec<RepoPath>> = BTreeMap::new();
        for path in paths {
            if let Some(told) = self.told(replacement, &path)? {
                require_values(replacement, &path, &told)?;
                files.entry(told).or_default().push(path);
            }
        }
        Ok(files)
    }

    fn is_own(&self, replacement: &Replacement, path: &RepoPath) -> bool {
        let inside = self.workspace.inside(path);
        let (directory, name) = inside.as_str().rsplit_once('/').unwrap_or_default();
        let is_intent = self.settings.bump_from != BumpFrom::Commits
            && directory == intent::DIRECTORY
            && intent::is_intent(name);
        let is_configuration = inside.as_str() == config::FILE
            || replacement.declared_in.as_deref() == Some(inside.as_str());
        is_intent || is_configuration || self.own.contains(path)
    }

    /// The release that a file follows; `None`: its package is not in this one.
    fn told(&self, replacement: &Replacement, path: &RepoPath) -> Result<Option<Told>, Failure> {
        if let Some(name) = &replacement.package {
            return Ok(self.told_of(name));
        }
        if let Some(directory) = self.owners.of(path) {
            let packages = self.plan.packages.iter();
            let mut released = packages.filter(|package| package.index.is_some());
            let released = released.find(|package| package.directory == *directory);
            return Ok(released.and_then(|package| self.told_of(&package.name)));
        }
        if self.plan.mode == Mode::Sync {
            return Ok(self.told_of_all());
        }
        let what = format!(
            "{} names {path}, which belongs to no package with a version",
            replacement.called("file")
        );
        Err(refused(what)
            .because("in mode diff each package has a version of its own")
            .hint("say with `package` whose version it follows"))
    }

    fn told_of(&self, name: &PackageName) -> Option<Told> {
        let mut packages = self.plan.packages.iter();
        let planned = packages.find(|planned| planned.name == *name);
        let told = planned.map(|planned| Told {
            name: Some(name.to_string()),
            version: planned.to.to_string(),
            tag: Some(planned.tag.to_string()),
        });
        let root = || self.told_of_all().filter(|_| is_root(self.workspace, name));
        told.or_else(root)
    }

    /// The release of all packages together.
    fn told_of_all(&self) -> Option<Told> {
        let version = self.plan.version.as_ref()?;
        let root = self.workspace.root.as_ref();
        let name = root.and_then(|root| root.manifest.name.as_ref());
        let form = tag_format(self.plan.mode, self.settings);
        let name = name.map(PackageName::as_str);
        let is_known = name.is_some() || !form.contains("{name}");
        Some(Told {
            name: name.map(str::to_owned),
            version: version.to_string(),
            tag: is_known.then(|| tag::format(form, name.unwrap_or_default(), version)),
        })
    }

    /// Replaces in the files that follow each release. Of the files of a package one must match: what never does is a mistake, or stale.
    fn replace(
        &mut self,
        replacement: &'p Replacement,
        files: BTreeMap<Told, Vec<RepoPath>>,
    ) -> Result<(), Failure> {
        for (told, paths) in files {
            let mut matched = false;
            let mut failed = false;
            for path in &paths {
                match self.replace_in(replacement, &told, path)? {
                    Ok(count) => matched |= count > 0,
                    Err(failure) => {
                        failed = true;
                        self.problems.push(failure);
                    }
                }
            }
            if let Some(first) = paths.first().filter(|_| !matched && !failed) {
                let called = replacement.called("search");
                let also = match paths.len() {
                    1 => String::new(),
                    count => format!(" nor in {} others", count - 1),
                };
                let what = format!("{called} matches nothing in {first}{also}");
                self.problems.push(
                    Failure::new(Exit::Refused, "plan::replacement_match", what)
                        .because(format!("{} is to stand there", told.version))
                        .place(Place::file(first.as_str()))
                        .hint("correct the search, or take the entry out"),
                );
            }
        }
        Ok(())
    }

    fn replace_in(
        &mut self,
        replacement: &'p Replacement,
        told: &Told,
        path: &RepoPath,
    ) -> Result<Result<usize, Failure>, Failure> {
        if !self.texts.contains_key(path) {
            let text = match (self.read)(path)?.and_then(text) {
                Ok(text) => text,
                Err(Unread::Because(why)) => {
                    return Ok(Err(file_refused(replacement, Some(path), why)));
                }
                Err(Unread::Attribute(attribute)) => {
                    return Ok(Err(converted(replacement, path, &attribute)));
                }
            };
            self.read_bytes += text.len();
            if self.read_bytes > MOST_BYTES {
                let why = "with it the files of all replacements are longer than 256 MiB";
                return Err(file_refused(replacement, Some(path), why));
            }
            let text = Text {
                before: text.clone(),
                after: text,
                by: Vec::new(),
            };
            self.texts.insert(path.clone(), text);
        }
        let Some(text) = self.texts.get_mut(path) else {
            return Ok(Ok(0));
        };
        let values = values(told, &self.plan.day);
        match replacement.apply(&text.after, values, LONGEST, &mut self.effort) {
            Ok((after, count)) => {
                text.after = after;
                text.by.push((replacement, told.clone(), count));
                Ok(Ok(count))
            }
            Err(Unapplied::TooLong) => {
                let why = "it would become longer than 8 MiB";
                Ok(Err(file_refused(replacement, Some(path), why)))
            }
            Err(Unapplied::TooMuchWork) => Err(too_much_work(replacement, path)),
        }
    }

    /// The edits, if nothing is wrong, to replace once more would change nothing, and the next release finds what it is to replace.
    fn settle(mut self) -> Result<Vec<Edit>, Failure> {
        let mut found: BTreeMap<(String, &Told), Found<'_>> = BTreeMap::new();
        for (path, text) in &self.texts {
            let mut repeats = None;
            for (replacement, told, count) in &text.by {
                let values = values(told, &self.plan.day);
                let again = replacement.apply(&text.after, values, LONGEST, &mut self.effort);
                let found = found
                    .entry((replacement.called("search"), told))
                    .or_insert(Found {
                        first: path,
                        now: 0,
                        then: 0,
                    });
                found.now += count;
                match again {
                    Err(Unapplied::TooMuchWork) => return Err(too_much_work(replacement, path)),
                    Ok((again, count)) if again == text.after => found.then += count,
                    Ok(_) | Err(Unapplied::TooLong) => {
                        found.then += 1;
                        repeats = repeats.or(Some(replacement));
                    }
                }
            }
            self.problems
                .extend(repeats.map(|replacement| repeated(replacement, path)));
        }
        // A snapshot is no text that anything is replaced in again.
        let lost = found
            .into_iter()
            .filter(|(_, found)| !self.plan.is_snapshot && found.now > 0 && found.then == 0);
        let lost = lost.map(|((called, told), found)| {
            let path = found.first;
            let what = format!("{called} will match nothing in {path} after this release");
            Failure::new(Exit::Refused, "plan::replacement_match", what)
                .because(format!(
                    "what is written for {} is nothing that it finds, so it would stop the next release",
                    told.version
                ))
                .place(Place::file(path.as_str()))
                .hint("let search match what replace writes as well; a version may end in -beta.1")
        });
        self.problems.extend(lost);
        if let Some(failure) = Failure::all(self.problems) {
            return Err(failure);
        }
        let changed = self.texts.into_iter();
        let changed = changed.filter(|(_, text)| text.before != text.after);
        Ok(changed
            .map(|(path, text)| (path, Some(text.after)))
            .collect())
    }
}

/// How often a search matched in the files of a release.
struct Found<'f> {
    first: &'f RepoPath,
    /// In what was there.
    now: usize,
    /// In what is written.
    then: usize,
}

fn repeated(replacement: &Replacement, path: &RepoPath) -> Failure {
    let called = replacement.called("replace");
    let what = format!("what {called} writes into {path} would be replaced again");
    Failure::new(Exit::Refused, "plan::replacement_repeats", what)
        .because("to replace once more would give another text")
        .place(Place::file(path.as_str()))
        .hint("let search match all that replace writes; a version may end in -beta.1")
}

fn too_much_work(replacement: &Replacement, path: &RepoPath) -> Failure {
    let called = replacement.called("search");
    let what = format!("{called}: with {path}, all searches together look at more than 1 GiB");
    Failure::new(Exit::Refused, "plan::replacement_effort", what)
        .because("each looks at its files twice, and at the rest of a file once for each match")
        .place(Place::file(path.as_str()))
        .hint("name fewer or shorter files, or let search match less often")
}

/// The failure of a file whose bytes in the work tree are made of others: what is replaced in one would not be right in the other.
fn converted(replacement: &Replacement, path: &RepoPath, attribute: &str) -> Failure {
    let called = replacement.called("file");
    let what = format!("{called}: nothing can be replaced in {path}");
    Failure::new(Exit::Refused, "plan::replacement_attribute", what)
        .because(format!(
            "its attribute {attribute} makes git commit other bytes than the work tree has"
        ))
        .place(Place::file(path.as_str()))
        .hint("name other files, or take the attribute from this one in .gitattributes")
}

fn values<'v>(told: &'v Told, day: &'v str) -> Values<'v> {
    Values {
        version: &told.version,
        name: told.name.as_deref().unwrap_or_default(),
        tag: told.tag.as_deref().unwrap_or_default(),
        date: day,
    }
}

/// Refuses placeholders that nothing can stand for: all packages together may have no name, and no one tag.
fn require_values(replacement: &Replacement, path: &RepoPath, told: &Told) -> Result<(), Failure> {
    let missing = [
        (Placeholder::Name, told.name.is_none()),
        (Placeholder::Tag, told.tag.is_none()),
    ];
    let mut missing = missing.into_iter();
    let missing =
        missing.find(|(placeholder, is_missing)| *is_missing && replacement.holds(*placeholder));
    match missing {
        None => Ok(()),
        Some((placeholder, _)) => {
            let what = format!(
                "{} holds {}, and {path} belongs to no package",
                replacement.called("replace"),
                placeholder.as_str()
            );
            Err(refused(what).hint("say with `package` whose release it follows"))
        }
    }
}

fn file_refused(replacement: &Replacement, path: Option<&RepoPath>, why: &str) -> Failure {
    let called = replacement.called("file");
    let meant = match (path, &replacement.files) {
        (Some(path), _) | (None, Files::One(path)) => path.to_string(),
        (None, Files::Like(glob)) => quoted(glob.glob().glob()),
    };
    let what = format!("{called}: nothing can be replaced in {meant}");
    let failure = Failure::new(Exit::Refused, "plan::replacement_file", what)
        .because(why)
        .hint("name committed files of UTF-8 text; a glob may have to say more of their names");
    match path {
        Some(path) => failure.place(Place::file(path.as_str())),
        None => failure,
    }
}

/// The text that bytes are, if something may be replaced in it.
fn text(bytes: Vec<u8>) -> Result<String, Unread> {
    match String::from_utf8(bytes) {
        Ok(text) if text.starts_with(LFS_POINTER) => Err(Unread::Because(
            "it is kept by git-lfs: what is committed is a pointer",
        )),
        Ok(text) => Ok(text),
        Err(_) => Err(Unread::Because("it is not UTF-8 text")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::name::{CommitId, TagName};
    use crate::plan::release::{Base, PlannedPackage};
    use crate::settings::World;
    use crate::settings::flags;
    use crate::settings::inputs::Collected;
    use crate::version::{Version, ZeroMajor};
    use crate::workspace::Sources;
    use crate::workspace::manager::{self, Signs};

    /// `a` and `b` have versions, `inner` has none.
    fn workspace(settings: &Settings) -> Workspace {
        let members = [
            ("packages/a", r#"{"name":"a","version":"1.0.0"}"#),
            ("packages/b", r#"{"name":"b","version":"1.0.0"}"#),
            ("packages/a/inner", r#"{"name":"inner","private":true}"#),
        ];
        let member = |(directory, text): (&str, &str)| {
            (RepoPath::parse(directory).unwrap(), text.to_owned())
        };
        let sources = Sources {
            form: crate::workspace::package_json::Form::Documented,
            root: RepoPath::root(),
            root_manifest: r#"{"private":true}"#.to_owned(),
            members: members.into_iter().map(member).collect(),
            has_members: true,
            manager: manager::tell(&Signs::default()).unwrap(),
            catalogs: None,
            lerna: None,
            lockfile: None,
        };
        Workspace::parse(sources, &settings.apps, |_| false).unwrap()
    }

    fn settings(replacements: &str) -> Settings {
        let words = ["plan", "--replacements", replacements].map(str::to_owned);
        let flags::Line::Run {
            command, inputs, ..
        } = flags::read(&words).unwrap()
        else {
            panic!("plan runs")
        };
        let collected = Collected {
            command,
            inputs,
            own: crate::settings::flags::Own::default(),
            problems: Vec::new(),
        };
        Settings::resolve(collected, &[], World::default()).unwrap()
    }

    /// `a` goes to 1.1.0; in sync mode `b` as well.
    fn plan(mode: Mode, workspace: &Workspace) -> Plan {
        let to = Version::new(1, 1, 0);
        let released = workspace
            .packages
            .iter()
            .enumerate()
            .filter(|(_, package)| {
                package.version.is_some() && (mode == Mode::Sync || package.name.as_str() == "a")
            });
        let packages = released.map(|(index, package)| PlannedPackage {
            index: Some(index),
            name: package.name.clone(),
            directory: package.directory.clone(),
            kind: package.kind,
            private: false,
            from: Version::new(1, 0, 0),
            to: to.clone(),
            bump: None,
            tag: TagName::parse(&format!("{}@1.1.0", package.name)).unwrap(),
            dist_tag: None,
            access: None,
            registry: None,
            reasons: Vec::new(),
            base: Base::First,
            is_written: true,
        });
        Plan {
            mode,
            mode_reason: String::new(),
            adopted: Vec::new(),
            zero_major: ZeroMajor::Shift,
            base: None,
            head: CommitId::parse(&"a".repeat(40)).unwrap(),
            packages: packages.collect(),
            unchanged: Vec::new(),
            put_off: Vec::new(),
            waves: Vec::new(),
            apps: Vec::new(),
            tags: Vec::new(),
            version: (mode == Mode::Sync).then_some(to),
            edits: Vec::new(),
            message: String::new(),
            warnings: Vec::new(),
            day: "2026-01-31".to_owned(),
            forge: None,
            is_snapshot: false,
        }
    }

    const FILES: [(&str, &str); 6] = [
        ("README.md", "a@1 b@1"),
        ("packages/a/x.md", "a@1"),
        ("packages/a/y.md", "nothing"),
        ("packages/a/package.json", "a@1"),
        ("packages/a/inner/x.md", "a@1"),
        ("packages/b/x.md", "b@1"),
    ];

    /// What is edited (`path: text`), or the codes of what is wrong; and which files were read.
    fn edited(mode: Mode, replacements: &str) -> (Vec<String>, Vec<String>) {
        let settings = settings(replacements);
        let workspace = workspace(&settings);
        let plan = plan(mode, &workspace);
        let read = RefCell::new(Vec::new());
        let found = check(&workspace, mode, &settings).and_then(|()| {
            edits(
                &plan,
                &workspace,
                &settings,
                |glob| {
                    let paths = FILES.iter().map(|(path, _)| *path);
                    let like = paths.filter(|path| glob.is_match(path));
                    like.map(RepoPath::parse).collect()
                },
                |path| {
                    read.borrow_mut().push(path.to_string());
                    let mut files = FILES.iter();
                    let found = files.find(|(known, _)| *known == path.as_str());
                    let bytes = found.map(|(_, text)| text.as_bytes().to_vec());
                    Ok(bytes.ok_or(Unread::Because("there is no such file")))
                },
            )
        });
        let told = match found {
            Ok(edits) => edits
                .into_iter()
                .map(|(path, text)| format!("{path}: {}", text.unwrap()))
                .collect(),
            Err(failure) => failure.each().map(|one| one.code().to_owned()).collect(),
        };
        (told, read.into_inner())
    }

    #[test]
    fn each_file_follows_the_package_that_has_it_or_that_is_named() {
        for (mode, replacements, expected) in [
            (
                Mode::Diff,
                r#"[{"file":"packages/*/x.md","search":"@[^ ]+","replace":"@{version}"}]"#,
                &["packages/a/x.md: a@1.1.0"][..],
            ),
            // What has no version belongs to what it lies in.
            (
                Mode::Diff,
                r#"[{"file":"packages/a/inner/x.md","search":"a@[^ ]+","replace":"{tag}"}]"#,
                &["packages/a/inner/x.md: a@1.1.0"],
            ),
            (
                Mode::Diff,
                r#"[{"file":"README.md","package":"a","search":"a@[^ ]+","replace":"{tag}"}]"#,
                &["README.md: a@1.1.0 b@1"],
            ),
            (
                Mode::Diff,
                r#"[{"file":"README.md","package":"b","search":"nowhere","replace":"{tag}"}]"#,
                &[],
            ),
            (
                Mode::Diff,
                r#"[{"file":"gone","package":"b","search":"nowhere","replace":"{tag}"}]"#,
                &[],
            ),
            (
                Mode::Diff,
                r#"[{"file":"README.md","search":"a@1","replace":"a@{version}"}]"#,
                &["plan::replacement"],
            ),
            (
                Mode::Sync,
                r#"[{"file":"README.md","search":"@[^ ]+","replace":"@{tag}"}]"#,
                &["README.md: a@v1.1.0 b@v1.1.0"],
            ),
            (
                Mode::Sync,
                r#"[{"file":"README.md","search":"@[^ ]+","replace":"@{name}"}]"#,
                &["plan::replacement"],
            ),
            // Of the files of one package one must match; those that the release edits itself are none of them.
            (
                Mode::Diff,
                r#"[{"file":"packages/a/*","search":"a@[^ ]+","replace":"a@{version}"}]"#,
                &["packages/a/x.md: a@1.1.0"],
            ),
            (
                Mode::Diff,
                r#"[{"file":"packages/a/y.*","search":"a@[^ ]+","replace":"a@{version}"}]"#,
                &["plan::replacement_match"],
            ),
            (
                Mode::Sync,
                r#"[{"file":"packages/*/x.md","search":"a@[^ ]+","replace":"a@{version}"}]"#,
                &["plan::replacement_match"],
            ),
            (
                Mode::Diff,
                r#"[{"file":"packages/a/package.json","search":"a","replace":"a"}]"#,
                &["plan::replacement"],
            ),
            // Several in one file come together, in their order.
            (
                Mode::Diff,
                r#"[{"file":"README.md","package":"a","search":"a@[^ ]+","replace":"a@{version}"},{"file":"README.md","package":"a","search":"b@1(,c@)?","replace":"b@1,c@"},{"file":"README.md","package":"a","search":"(,c@)[0-9.]*","replace":"$1{version}"}]"#,
                &["README.md: a@1.1.0 b@1,c@1.1.0"],
            ),
            // What the next release could not find is refused in this one, also where another entry takes it away.
            (
                Mode::Diff,
                r#"[{"file":"README.md","package":"a","search":"a@1$|a@1 ","replace":"a v{version} "}]"#,
                &["plan::replacement_match"],
            ),
            (
                Mode::Diff,
                r#"[{"file":"README.md","package":"a","search":"b","replace":"c"},{"file":"README.md","package":"a","search":"(?:c|d)@","replace":"d@"}]"#,
                &["plan::replacement_match"],
            ),
            // One of the files of a package is enough.
            (
                Mode::Diff,
                r#"[{"file":"packages/a/**","search":"a@1(?:.1.0)?$|^nothing","replace":"a@{version}"}]"#,
                &[
                    "packages/a/inner/x.md: a@1.1.0",
                    "packages/a/x.md: a@1.1.0",
                    "packages/a/y.md: a@1.1.0",
                ],
            ),
            (
                Mode::Diff,
                r#"[{"file":"README.md","package":"a","search":"a@1","replace":"a@1 {version}"}]"#,
                &["plan::replacement_repeats"],
            ),
            (
                Mode::Diff,
                r#"[{"file":"README.md","package":"a","search":"a@1","replace":"b@1"},{"file":"README.md","package":"a","search":"b@1","replace":"a@1"}]"#,
                &["plan::replacement_repeats", "plan::replacement_match"],
            ),
            // What stands there already is no edit.
            (
                Mode::Diff,
                r#"[{"file":"packages/a/x.md","search":"a@1","replace":"a@1"}]"#,
                &[],
            ),
            (
                Mode::Diff,
                r#"[{"file":"gone","package":"a","search":"a","replace":"a"},{"file":"packages/a/y.md","search":"b","replace":"b"}]"#,
                &["plan::replacement_file", "plan::replacement_match"],
            ),
            (
                Mode::Diff,
                r#"[{"file":"x","package":"inner","search":"a","replace":"a"},{"file":"x","package":"c","search":"a","replace":"a"}]"#,
                &["plan::replacement", "plan::replacement"],
            ),
        ] {
            assert_eq!(edited(mode, replacements).0, expected, "{replacements}");
        }
    }

    #[test]
    fn only_files_of_what_is_released_are_read_and_each_once() {
        let both = r#"[{"file":"packages/*/x.md","search":"@[^ ]+","replace":"@{version}"},{"file":"packages/**/x.md","search":"a","replace":"a"}]"#;
        let (_, read) = edited(Mode::Diff, both);
        assert_eq!(read, ["packages/a/x.md", "packages/a/inner/x.md"]);
    }
}
