//! How the work tree differs from what was committed.

use std::collections::HashSet;

use super::{Repo, broken};
use crate::explain::Failure;
use crate::name::{CommitId, RepoPath};

/// What a repository looks like from outside: equal snapshots mean that nobody would notice a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    head: CommitId,
    branch: Option<String>,
    refs: Vec<(String, Option<String>)>,
    status: Vec<(String, u32)>,
}

impl Repo {
    /// Whether git ignores a path of the work tree.
    pub fn is_ignored(&self, path: &RepoPath) -> bool {
        self.git.is_path_ignored(path.as_str()).unwrap_or(false)
    }

    /// Tracked files whose content in the work tree or the index differs from `HEAD`, in order.
    pub fn dirty(&self) -> Result<Vec<RepoPath>, Failure> {
        let mut options = git2::StatusOptions::new();
        options
            .include_untracked(false)
            .include_ignored(false)
            .include_unreadable(true);
        let statuses = self
            .git
            .statuses(Some(&mut options))
            .map_err(|error| broken("the state of the work tree cannot be read", &error))?;
        let paths: HashSet<RepoPath> = statuses
            .iter()
            .filter(|entry| entry.status() != git2::Status::CURRENT)
            .filter_map(|entry| {
                entry
                    .path()
                    .ok()
                    .and_then(|path| RepoPath::parse(path).ok())
            })
            .collect();
        let mut paths: Vec<RepoPath> = paths.into_iter().collect();
        paths.sort();
        Ok(paths)
    }

    /// Tracked files that git was told not to look at (`assume-unchanged`, `skip-worktree`), in order.
    pub fn hidden(&self) -> Result<Vec<RepoPath>, Failure> {
        let failed = |error| broken("the index cannot be read", &error);
        let mut index = self.git.index().map_err(failed)?;
        index.read(false).map_err(failed)?;
        let assumed = git2::IndexEntryFlag::VALID.bits();
        let skipped = git2::IndexEntryExtendedFlag::SKIP_WORKTREE.bits();
        Ok(index
            .iter()
            .filter(|entry| entry.flags & assumed != 0 || entry.flags_extended & skipped != 0)
            .filter_map(|entry| RepoPath::parse(str::from_utf8(&entry.path).ok()?).ok())
            .collect())
    }

    /// What must stay as it is during a rehearsal: `HEAD`, every ref, and `git status` with untracked files.
    pub fn snapshot(&self) -> Result<Snapshot, Failure> {
        let failed =
            |error: git2::Error| broken("the state of the repository cannot be read", &error);
        let mut refs = Vec::new();
        for reference in self.git.references().map_err(failed)? {
            let reference = reference.map_err(failed)?;
            let target = reference.target().map(|oid| oid.to_string()).or_else(|| {
                reference
                    .symbolic_target()
                    .ok()
                    .flatten()
                    .map(str::to_owned)
            });
            refs.push((
                String::from_utf8_lossy(reference.name_bytes()).into_owned(),
                target,
            ));
        }
        refs.sort();
        let mut options = git2::StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true);
        let status = self.git.statuses(Some(&mut options)).map_err(failed)?;
        let status = status
            .iter()
            .map(|entry| {
                (
                    String::from_utf8_lossy(entry.path_bytes()).into_owned(),
                    entry.status().bits(),
                )
            })
            .collect();
        let head = self.git.find_reference("HEAD").map_err(failed)?;
        let branch = head.symbolic_target().ok().flatten().map(str::to_owned);
        Ok(Snapshot {
            head: self.head()?,
            branch,
            refs,
            status,
        })
    }

    /// Files and directories of the work tree that git ignores, each directory once, in order.
    pub fn ignored(&self) -> Result<Vec<RepoPath>, Failure> {
        let mut options = git2::StatusOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .include_ignored(true)
            .recurse_ignored_dirs(false);
        let statuses = self
            .git
            .statuses(Some(&mut options))
            .map_err(|error| broken("the state of the work tree cannot be read", &error))?;
        let mut paths: Vec<RepoPath> = statuses
            .iter()
            .filter(|entry| entry.status().contains(git2::Status::IGNORED))
            .filter_map(|entry| RepoPath::parse(entry.path().ok()?.trim_end_matches('/')).ok())
            .collect();
        paths.sort();
        Ok(paths)
    }
}
