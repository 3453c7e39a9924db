//! Out of a move between two commits that was cut short: work tree and index back to `HEAD`, unless a person has worked there since.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::Oid;

use super::{Repo, broken};
use crate::explain::Failure;
use crate::name::{CommitId, RepoPath};

/// A file that a move writes: its blob before and after; `None` where it is not there.
struct Moved {
    path: RepoPath,
    old: Option<Oid>,
    new: Option<Oid>,
}

impl Repo {
    /// The lock files that a move takes, which a killed one leaves behind.
    #[must_use]
    pub fn locks_of_move(&self) -> Vec<PathBuf> {
        let mut locks = ["index.lock", "HEAD.lock"]
            .map(|name| self.git.path().join(name))
            .to_vec();
        if let Some(branch) = self.current_branch() {
            let name = format!("refs/heads/{branch}.lock");
            locks.push(self.git.commondir().join(name));
        }
        locks
    }

    /// Brings every file that a move from `old` to `new` writes back to `HEAD`, in the work tree and in the index, and tells whether it
    /// did. Nothing is touched when one of them holds anything but its content at `old`, at `new`, or the beginning of the latter.
    ///
    /// # Errors
    /// `git::read`, where the repository cannot be read or written.
    pub fn undo_move(&self, old: &CommitId, new: &CommitId) -> Result<bool, Failure> {
        let failed = |error| {
            broken(
                "an interrupted move of the work tree cannot be undone",
                &error,
            )
        };
        let Some(moved) = self.moved(old, new).map_err(failed)? else {
            return Ok(false);
        };
        let mut index = self.git.index().map_err(failed)?;
        index.read(true).map_err(failed)?;
        let staged = |moved: &Moved| {
            let entry = index.get_path(Path::new(moved.path.as_str()), 0);
            let id = entry.map(|entry| entry.id);
            id == moved.old || id == moved.new
        };
        for file in &moved {
            if !staged(file) || !self.is_of_move(file).map_err(failed)? {
                return Ok(false);
            }
        }
        self.reset(&mut index, &moved).map_err(failed)?;
        Ok(true)
    }

    /// What differs between two commits; `None` where that are not files alone.
    fn moved(&self, old: &CommitId, new: &CommitId) -> Result<Option<Vec<Moved>>, git2::Error> {
        let tree = |commit: &CommitId| {
            self.git
                .find_commit(Oid::from_str(commit.as_str())?)?
                .tree()
        };
        let diff = self
            .git
            .diff_tree_to_tree(Some(&tree(old)?), Some(&tree(new)?), None)?;
        let side = |file: &git2::DiffFile<'_>| match file.mode() {
            git2::FileMode::Unreadable => Some(None),
            git2::FileMode::Blob | git2::FileMode::BlobExecutable => Some(Some(file.id())),
            _ => None,
        };
        let moved = diff.deltas().map(|delta| {
            let path = delta
                .new_file()
                .path()
                .or_else(|| delta.old_file().path())?;
            Some(Moved {
                path: RepoPath::parse(path.to_str()?).ok()?,
                old: side(&delta.old_file())?,
                new: side(&delta.new_file())?,
            })
        });
        Ok(moved.collect())
    }

    /// Whether a file of the work tree holds what the move found or wrote there.
    fn is_of_move(&self, moved: &Moved) -> Result<bool, git2::Error> {
        let path = self.root.join(moved.path.as_str());
        let present = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(moved.old.is_none() || moved.new.is_none());
            }
            Ok(metadata) if metadata.is_file() => fs::read(&path),
            _ => return Ok(false),
        };
        let Ok(present) = present else {
            return Ok(false);
        };
        let content = |id: Option<Oid>| id.map(|id| self.git.find_blob(id)).transpose();
        Ok(
            content(moved.old)?.is_some_and(|old| old.content() == present)
                || content(moved.new)?.is_some_and(|new| new.content().starts_with(&present)),
        )
    }

    /// Sets files to `HEAD`: first in the index, without times, so that every one of them is compared by its content then.
    fn reset(&self, index: &mut git2::Index, files: &[Moved]) -> Result<(), git2::Error> {
        let head = self.git.head()?.peel_to_commit()?;
        let tree = head.tree()?;
        let mut checkout = git2::build::CheckoutBuilder::new();
        checkout
            .force()
            .remove_untracked(true)
            .remove_ignored(true)
            .disable_pathspec_match(true)
            .update_index(false);
        for file in files {
            let path = Path::new(file.path.as_str());
            match tree.get_path(path) {
                Ok(entry) => index.add(&unseen(&entry, &file.path))?,
                Err(_) if index.get_path(path, 0).is_some() => index.remove(path, 0)?,
                Err(_) => {}
            }
            checkout.path(path);
        }
        index.write()?;
        if files.is_empty() {
            return Ok(());
        }
        self.git
            .checkout_tree(head.as_object(), Some(&mut checkout))
    }
}

/// An entry of the index for a file that nobody has looked at yet.
fn unseen(entry: &git2::TreeEntry<'_>, path: &RepoPath) -> git2::IndexEntry {
    git2::IndexEntry {
        ctime: git2::IndexTime::new(0, 0),
        mtime: git2::IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: entry.filemode().cast_unsigned(),
        uid: 0,
        gid: 0,
        file_size: 0,
        id: entry.id(),
        flags: 0,
        flags_extended: 0,
        path: path.as_str().as_bytes().to_vec(),
    }
}
