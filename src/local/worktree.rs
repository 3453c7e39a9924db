//! The edits of a release in the work tree while it builds, and the original bytes back afterwards, whatever happens in between.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::explain::{Exit, Failure};
use crate::local::files;
use crate::local::git::Repo;
use crate::name::{CommitId, RepoPath};

/// What an interrupted run must be able to take back: for each edited file the blob id of its edited bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    edits: Vec<(String, String)>,
}

/// Holds the edits in the work tree; dropping it puts the original bytes back.
pub struct EditedTree<'a> {
    repo: &'a Repo,
    originals: Vec<(PathBuf, Vec<u8>)>,
}

fn journal_path(repo: &Repo) -> PathBuf {
    repo.git_directory().join("pkgs-action-edits.json")
}

impl<'a> EditedTree<'a> {
    /// Writes `edits` (path and new text) into the work tree, each file in one step, after noting how to take them back.
    pub fn write(repo: &'a Repo, edits: &[(RepoPath, String)]) -> Result<EditedTree<'a>, Failure> {
        let journal = Journal {
            edits: edits
                .iter()
                .filter_map(|(path, text)| {
                    Some((path.to_string(), Repo::blob_id(text.as_bytes())?))
                })
                .collect(),
        };
        let bytes = serde_json::to_vec(&journal)
            .unwrap_or_else(|error| unreachable!("a journal always serializes: {error}"));
        files::write_atomically(&journal_path(repo), &bytes)?;
        let mut tree = EditedTree {
            repo,
            originals: Vec::new(),
        };
        for (path, text) in edits {
            let file = repo.root().join(path.as_str());
            let original = std::fs::read(&file).map_err(|error| {
                Failure::new(
                    Exit::Refused,
                    "worktree::read",
                    format!("{path} could not be read"),
                )
                .because(error)
            })?;
            tree.originals.push((file.clone(), original));
            files::overwrite(&file, text.as_bytes())?;
        }
        Ok(tree)
    }

    /// Puts the original bytes back.
    pub fn restore(mut self) -> Result<(), Failure> {
        self.put_back()
    }

    fn put_back(&mut self) -> Result<(), Failure> {
        for (file, original) in self.originals.drain(..) {
            files::overwrite(&file, &original)?;
        }
        drop(std::fs::remove_file(journal_path(self.repo)));
        Ok(())
    }
}

impl Drop for EditedTree<'_> {
    fn drop(&mut self) {
        if let Err(failure) = self.put_back() {
            tracing::warn!(
                "the work tree could not be put back: {failure}; the next run tries again"
            );
        }
    }
}

/// Refuses tracked changes in the work tree. One that is dirty with exactly an interrupted run's edits is put back first.
pub fn require_clean(repo: &Repo, head: &CommitId) -> Result<(), Failure> {
    const SHOWN: usize = 10;
    let dirty = take_back(repo, head)?;
    if dirty.is_empty() {
        return Ok(());
    }
    let mut shown: Vec<&str> = dirty.iter().take(SHOWN).map(RepoPath::as_str).collect();
    if dirty.len() > SHOWN {
        shown.push("…");
    }
    Err(Failure::new(
        Exit::Refused,
        "worktree::dirty",
        format!(
            "the work tree has changes that are not committed: {}",
            shown.join(", ")
        ),
    )
    .because("a release is made of a commit, and what is built must be that commit")
    .hint("commit, stash or undo them"))
}

/// Removes what a killed run left of a file that it was writing beside `file`.
fn remove_temporaries(file: &std::path::Path) {
    let directory = files::parent(file);
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(files::TEMPORARY.0) && name.ends_with(files::TEMPORARY.1) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Puts an interrupted run's edits back, if the work tree holds exactly those, and gives the files that are dirty then.
fn take_back(repo: &Repo, head: &CommitId) -> Result<Vec<RepoPath>, Failure> {
    let dirty = repo.dirty()?;
    let journal: Option<Journal> = std::fs::read(journal_path(repo))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(journal) = journal else {
        return Ok(dirty);
    };
    for (path, _) in &journal.edits {
        if let Ok(path) = RepoPath::parse(path) {
            remove_temporaries(&repo.root().join(path.as_str()));
        }
    }
    let is_ours = |path: &RepoPath| {
        let noted = journal
            .edits
            .iter()
            .find(|(noted, _)| noted == path.as_str());
        noted.is_some_and(|(_, id)| {
            std::fs::read(repo.root().join(path.as_str()))
                .ok()
                .and_then(|bytes| Repo::blob_id(&bytes))
                .is_some_and(|present| present == *id)
        })
    };
    if !dirty.iter().all(is_ours) {
        return Ok(dirty);
    }
    for path in &dirty {
        if let Some(bytes) = repo.file(head, path)? {
            files::overwrite(&repo.root().join(path.as_str()), &bytes)?;
        }
    }
    drop(std::fs::remove_file(journal_path(repo)));
    repo.dirty()
}

/// Lets one release at a time work in a checkout; a second one waits. The kernel frees the lock when the process dies.
pub fn alone(repo: &Repo) -> Result<std::fs::File, Failure> {
    let path = repo.git_directory().join("pkgs-action.lock");
    let refuse = |error: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Temporary,
            "worktree::lock",
            format!("{} could not be locked", path.display()),
        )
        .because(error)
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| refuse(&error))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| refuse(&error))?;
    Ok(file)
}
