//! What changed, and why: tags and commits in, what touched each package out.

pub mod commit;
pub mod component;
pub mod intent;
pub mod owner;
pub mod tag;

use std::collections::{BTreeMap, BTreeSet};

use crate::changes::commit::{Cancelled, Commit};
use crate::changes::owner::{Ignored, Owners};
use crate::name::{CommitId, RepoPath};
use crate::version::{Bump, Version};

/// Why a package is in a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A commit touched it.
    Commit {
        /// The commit.
        id: CommitId,
        /// The first line of its message.
        subject: String,
        /// What the message asks for.
        bump: Bump,
        /// What it says that breaks: the texts behind `BREAKING CHANGE:`.
        breaking: Vec<String>,
    },
    /// An intent names it.
    Intent {
        /// The intent's file.
        file: RepoPath,
        /// The line there that names the package, from 1.
        line: usize,
        /// How far it says that the package grows.
        bump: Bump,
        /// What it tells users, as Markdown.
        text: String,
    },
    /// A range it declares no longer holds, or an app uses what changed.
    Dependency {
        /// The package that changed.
        on: String,
        /// The version it grows from.
        from: Version,
        /// The version it gets.
        to: Version,
        /// The declared range that this leaves; `None`: an app that uses it, whatever it declares, or a range that needed a prerelease.
        range: Option<String>,
    },
    /// Its tarball carries a package that changed: one that it bundles, or one that such a package needs.
    Bundled {
        /// The package that changed.
        on: String,
        /// The version it grows from.
        from: Version,
        /// The version it gets.
        to: Version,
    },
    /// A package of its production closure changed in the lockfile.
    Lockfile {
        /// That package; the lockfile itself where its older state cannot be read.
        on: String,
    },
    /// A catalog gives something it depends on another range.
    Catalog {
        /// What it depends on.
        on: String,
        /// The range that it had at the base.
        from: String,
        /// The range that it has.
        to: String,
    },
    /// All packages share one version.
    Group,
    /// It is in a group of packages that share one version.
    Together {
        /// Whether the whole group is released; else only what of it grows gets that version.
        fixed: bool,
        /// The packages of the group that grow the most by themselves.
        with: Vec<String>,
    },
    /// Its last release was given up.
    Abandoned {
        /// The tag of that release.
        tag: String,
    },
    /// It was never released.
    First,
    /// It was released as this prerelease, which becomes something else: a release, or a prerelease of another kind.
    Graduate {
        /// The prerelease.
        from: Version,
    },
    /// A person asked for this bump.
    Asked,
    /// A commit asks for this version.
    ReleaseAs {
        /// The commit.
        id: CommitId,
        /// The version.
        version: Version,
    },
    /// Its manifest holds a higher version than its last release.
    Written,
}

/// The commits that count for one directory since its base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// What the commits ask for together; `None`: nothing that is released.
    pub bump: Option<Bump>,
    /// The commits that ask for something, newest first.
    pub reasons: Vec<Reason>,
    /// Whether a commit that counts says how far versions grow, as the convention has it or by a `Release-As`; of others `bump` is a guess.
    pub says_how: bool,
    /// The highest `Release-As`, and the commit that says it.
    pub release_as: Option<(Version, CommitId)>,
    /// The commits whose `Release-As` is no version, with why.
    pub misread: BTreeMap<CommitId, String>,
    /// Whether its files, or those of packages that are released with it, differ from those at its base.
    pub differs: bool,
    /// Every commit that touched it with what became of it, newest first; only where it is traced.
    pub traced: Vec<Traced>,
    /// How many merges there were that changed nothing themselves; only where it is traced.
    pub merges: usize,
}

/// A commit that touched a package, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The commit.
    pub id: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// The files of the package that it touched.
    pub files: Vec<TracedFile>,
    /// What became of it.
    pub verdict: Verdict,
}

/// A file that a commit touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedFile {
    /// The file.
    pub path: RepoPath,
    /// Whether `ignore` says that it does not count.
    pub ignored: bool,
}

/// What becomes of a commit for a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It asks for this bump.
    Counts(Bump),
    /// Its kind counts for nothing.
    Silent,
    /// All files of the package that it touched are ignored.
    Ignored,
    /// It is a release commit of ours.
    OwnRelease,
    /// It cancels out.
    Cancelled(Cancelled),
    /// It would ask for this bump, but intents decide about the package.
    Outweighed(Bump),
}

/// Sorts commits to the packages they touch, once for all packages.
pub struct Sorter<'a> {
    owners: Owners,
    ignored: &'a Ignored,
    cancelled: BTreeMap<CommitId, Cancelled>,
    own: &'a BTreeSet<CommitId>,
}

/// A file that a commit touched, with the directory of the package that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnedFile<'s> {
    /// The file.
    pub path: &'s RepoPath,
    /// The directory of its package.
    pub owner: &'s RepoPath,
    /// Whether `ignore` says that it does not count.
    pub ignored: bool,
}

impl<'a> Sorter<'a> {
    /// `directories` are all package directories; `own` are our own release commits, which count for nothing.
    pub fn new(
        directories: impl IntoIterator<Item = RepoPath>,
        ignored: &'a Ignored,
        commits: &[Commit],
        own: &'a BTreeSet<CommitId>,
    ) -> Sorter<'a> {
        Sorter {
            owners: Owners::new(directories),
            ignored,
            cancelled: commit::cancelled(commits),
            own,
        }
    }

    /// Why a commit counts for no package at all; `None` where its files and its message decide.
    pub fn passed_over(&self, commit: &Commit) -> Option<Verdict> {
        if self.own.contains(&commit.id) {
            return Some(Verdict::OwnRelease);
        }
        let cancelled = self.cancelled.get(&commit.id)?;
        Some(Verdict::Cancelled(cancelled.clone()))
    }

    /// The files of packages that a commit touched.
    pub fn files<'s>(&'s self, commit: &'s Commit) -> impl Iterator<Item = OwnedFile<'s>> {
        commit.paths.iter().filter_map(|path| {
            let owner = self.owners.of(path)?;
            let ignored = self.ignored.matches(path, owner);
            Some(OwnedFile {
                path,
                owner,
                ignored,
            })
        })
    }
}

impl Touched {
    /// Counts a commit that nothing passes over, and tells what became of it.
    pub fn count(&mut self, commit: &Commit) -> Verdict {
        let mut bump = commit::bump(&commit.subject, &commit.body);
        match commit::release_as(&commit.body) {
            Some(Ok(version)) => {
                self.says_how = true;
                let said = Some((version, commit.id.clone()));
                self.release_as = self.release_as.take().max(said);
                // Who asks for a version asks for a release, whatever the kind of the commit.
                bump = bump.or(Some(Bump::Patch));
            }
            Some(Err(why)) => {
                self.misread.insert(commit.id.clone(), why.to_string());
            }
            None => {}
        }
        let Some(bump) = bump else {
            return Verdict::Silent;
        };
        self.says_how |= commit::says_how(&commit.subject, &commit.body);
        self.bump = self.bump.max(Some(bump));
        self.reasons.push(Reason::Commit {
            id: commit.id.clone(),
            subject: commit.subject.clone(),
            bump,
            breaking: commit::breaking(&commit.subject, &commit.body),
        });
        Verdict::Counts(bump)
    }
}
