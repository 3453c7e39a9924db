//! What changed, and why: tags and commits in, what touched each package out.

pub mod commit;
pub mod owner;
pub mod tag;

use std::collections::BTreeSet;

use crate::changes::commit::Commit;
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
    },
    /// A range it declares no longer holds, or an app uses what changed.
    Dependency {
        /// The package that changed.
        on: String,
        /// The version it grows from.
        from: Version,
        /// The version it gets.
        to: Version,
        /// The declared range that this leaves; `None`: an app that uses it, whatever it declares.
        range: Option<String>,
    },
    /// A package of its production closure changed in the lockfile.
    Lockfile {
        /// That package; the lockfile itself where its older state cannot be read.
        on: String,
    },
    /// All packages share one version.
    Group,
    /// It was never released.
    First,
    /// A person asked for this bump.
    Asked,
}

/// The commits that count for one directory since its base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// What the commits ask for together; `None`: nothing that is released.
    pub bump: Option<Bump>,
    /// The commits that ask for something, newest first.
    pub reasons: Vec<Reason>,
    /// How many commits touched it and ask for nothing.
    pub silent: usize,
    /// The highest `Release-As`.
    pub release_as: Option<Version>,
}

/// Sorts commits to the packages they touch, once for all packages.
pub struct Sorter<'a> {
    owners: Owners,
    ignored: &'a Ignored,
    cancelled: BTreeSet<CommitId>,
    own: &'a BTreeSet<CommitId>,
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

    /// The package directories that a commit counts for.
    pub fn touched<'s>(&'s self, commit: &'s Commit) -> BTreeSet<&'s RepoPath> {
        if self.own.contains(&commit.id) || self.cancelled.contains(&commit.id) {
            return BTreeSet::new();
        }
        commit
            .paths
            .iter()
            .filter_map(|path| {
                self.owners
                    .of(path)
                    .filter(|directory| !self.ignored.matches(path, directory))
            })
            .collect()
    }
}

impl Touched {
    /// Counts a commit.
    pub fn count(&mut self, commit: &Commit) {
        match commit::bump(&commit.subject, &commit.body) {
            Some(bump) => {
                self.bump = self.bump.max(Some(bump));
                self.reasons.push(Reason::Commit {
                    id: commit.id.clone(),
                    subject: commit.subject.clone(),
                    bump,
                });
            }
            None => self.silent += 1,
        }
    }
}
