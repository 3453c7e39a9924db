//! How the work tree differs from what was committed.

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

    /// Whether a tracked file's content in the work tree or the index differs from `HEAD`.
    pub fn is_dirty(&self) -> Result<bool, Failure> {
        let mut options = git2::StatusOptions::new();
        options
            .include_untracked(false)
            .include_ignored(false)
            .include_unreadable(true);
        let statuses = self
            .git
            .statuses(Some(&mut options))
            .map_err(|error| broken("the state of the work tree cannot be read", &error))?;
        let mut states = statuses.iter().map(|entry| entry.status());
        Ok(states.any(|status| status != git2::Status::CURRENT))
    }

    /// Tracked files that git was told not to look at (`assume-unchanged`, `skip-worktree`), in order.
    pub fn hidden(&self) -> Result<Vec<RepoPath>, Failure> {
        let failed = |error| broken("the index cannot be read", &error);
        let mut index = self.git.index().map_err(failed)?;
        index.read(false).map_err(failed)?;
        let assumed = git2::IndexEntryFlag::VALID.bits();
        let skipped = git2::IndexEntryExtendedFlag::SKIP_WORKTREE.bits();
        index
            .iter()
            .filter(|entry| entry.flags & assumed != 0 || entry.flags_extended & skipped != 0)
            .map(|entry| RepoPath::parse(&String::from_utf8_lossy(&entry.path)))
            .collect()
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
        let ignored = statuses
            .iter()
            .filter(|entry| entry.status().contains(git2::Status::IGNORED))
            .map(|entry| {
                let path = String::from_utf8_lossy(entry.path_bytes());
                RepoPath::parse(path.trim_end_matches('/'))
            });
        let mut paths = ignored.collect::<Result<Vec<RepoPath>, Failure>>()?;
        paths.sort();
        Ok(paths)
    }
}
