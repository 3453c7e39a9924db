//! How the work tree differs from what was committed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use git2::{ObjectType, Oid};

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

/// Whether a file is what an entry of the index noted, as [git](https://git-scm.com/docs/racy-git) and libgit2 decide it: one that was written
/// as late as the index itself, `written`, may have changed since. Entries of any special kind are not judged.
fn is_as_noted(entry: &git2::IndexEntry, found: &Metadata, written: &Metadata) -> bool {
    const FILE: u32 = 0o100_644;
    const EXECUTABLE: u32 = 0o100_755;
    const LINK: u32 = 0o120_000;
    // What is left is the length of the name: no conflict, nothing that git was told not to look at.
    let is_plain = entry.flags & 0xf000 == 0 && entry.flags_extended == 0;
    let mode = match found.mode() & 0o170_000 {
        0o120_000 => LINK,
        0o100_000 if found.mode() & 0o100 != 0 => EXECUTABLE,
        0o100_000 => FILE,
        _ => return false,
    };
    let noted = |time: git2::IndexTime| (i64::from(time.seconds()), i64::from(time.nanoseconds()));
    // Git empties the size of an entry that it could not trust.
    let is_trusted = entry.file_size > 0 || Oid::hash_object(ObjectType::Blob, b"") == Ok(entry.id);
    #[expect(clippy::cast_possible_truncation, reason = "as the index holds it")]
    let (inode, size) = (found.ino() as u32, found.size() as u32);
    is_plain
        && is_trusted
        && entry.mode == mode
        && entry.file_size == size
        && (entry.ino, entry.uid, entry.gid) == (inode, found.uid(), found.gid())
        && noted(entry.ctime) == (found.ctime(), found.ctime_nsec())
        && noted(entry.mtime) == (found.mtime(), found.mtime_nsec())
        && noted(entry.mtime) < (written.mtime(), written.mtime_nsec())
}

impl Repo {
    /// Whether git ignores a path of the work tree.
    pub fn is_ignored(&self, path: &RepoPath) -> bool {
        self.git.is_path_ignored(path.as_str()).unwrap_or(false)
    }

    /// The attribute of a file that makes git commit other bytes than the work tree has, as gitattributes write it; that of line ends, after
    /// which it is the same text, is none.
    pub fn converting_attribute(&self, path: &RepoPath) -> Result<Option<String>, Failure> {
        for name in ["filter", "working-tree-encoding", "ident"] {
            let file = Path::new(path.as_str());
            let flags = git2::AttrCheckFlags::FILE_THEN_INDEX;
            let value = self.git.get_attr(file, name, flags);
            let value = value.map_err(|error| {
                broken(format!("the attributes of {path} cannot be read"), &error)
            })?;
            let converts = match git2::AttrValue::from_string(value) {
                git2::AttrValue::True if name == "ident" => Some(name.to_owned()),
                git2::AttrValue::String(value) if name != "ident" => {
                    Some(format!("{name}={value}"))
                }
                _ => None,
            };
            let is_utf8 = ["working-tree-encoding=utf-8", "working-tree-encoding=utf8"];
            let converts =
                converts.filter(|one| !is_utf8.contains(&one.to_ascii_lowercase().as_str()));
            if converts.is_some() {
                return Ok(converts);
            }
        }
        Ok(None)
    }

    /// Whether a tracked file's content in the work tree or the index differs from `HEAD`.
    pub fn is_dirty(&self) -> Result<bool, Failure> {
        if self.is_untouched().unwrap_or(false) {
            return Ok(false);
        }
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

    /// Whether the directories around these paths are directories here, and no links that lead to others.
    pub(super) fn lie_in_directories<'p>(&self, paths: impl Iterator<Item = &'p [u8]>) -> bool {
        let parents = paths.filter_map(|path| {
            let end = path.iter().rposition(|byte| *byte == b'/')?;
            Some(&path[..end])
        });
        let parents: BTreeSet<&[u8]> = parents.collect();
        let all: BTreeSet<&Path> = parents
            .into_iter()
            .flat_map(|parent| Path::new(OsStr::from_bytes(parent)).ancestors())
            .collect();
        all.into_iter().all(|path| {
            let found = std::fs::symlink_metadata(self.root.join(path));
            path.as_os_str().is_empty() || found.is_ok_and(|found| found.is_dir())
        })
    }

    /// Whether the index holds what `HEAD` does and each file's times, size and place on the disk tell that nobody wrote it since git looked.
    /// Most work trees are so, and then no directory need be listed. `false` says nothing: look closer.
    fn is_untouched(&self) -> Result<bool, git2::Error> {
        // First, so that what is read is no older.
        let Ok(written) = std::fs::metadata(self.git.path().join("index")) else {
            return Ok(false);
        };
        let mut index = self.git.index()?;
        index.read(false)?;
        let is_untouched = |entry: &git2::IndexEntry| {
            let path = self.root.join(OsStr::from_bytes(&entry.path));
            let found = std::fs::symlink_metadata(path);
            found.is_ok_and(|found| is_as_noted(entry, &found, &written))
        };
        let entries: Vec<git2::IndexEntry> = index.iter().collect();
        let paths = entries.iter().map(|entry| entry.path.as_slice());
        if !self.lie_in_directories(paths) || !entries.iter().all(is_untouched) {
            return Ok(false);
        }
        let tree = self.git.head()?.peel_to_tree()?;
        let staged = self
            .git
            .diff_tree_to_index(Some(&tree), Some(&index), None)?;
        Ok(staged.deltas().len() == 0)
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    /// A checkout of some files, whose index is as late as a person's would be.
    fn checkout() -> (tempfile::TempDir, Repo) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("d")).unwrap();
        for (path, text) in [("a", "one"), ("d/b", "two"), ("empty", "")] {
            fs::write(directory.path().join(path), text).unwrap();
        }
        std::os::unix::fs::symlink("a", directory.path().join("link")).unwrap();
        let repo = Repo::create(directory.path(), "main", 0).unwrap();
        settle(directory.path());
        (directory, repo)
    }

    fn settle(directory: &Path) {
        let path = directory.join(".git/index");
        let index = File::options().append(true).open(path).unwrap();
        let now = index.metadata().unwrap().modified().unwrap();
        index.set_modified(now + Duration::from_secs(5)).unwrap();
    }

    fn git(directory: &Path, arguments: &[&str]) {
        let command = std::process::Command::new("git")
            .arg("-C")
            .arg(directory)
            .args(arguments)
            .status();
        assert!(command.unwrap().success());
    }

    #[test]
    fn what_nobody_wrote_is_seen_at_a_glance() {
        let (directory, repo) = checkout();
        assert!(repo.is_untouched().unwrap());
        assert!(!repo.is_dirty().unwrap());
        fs::write(directory.path().join("untracked"), "").unwrap();
        assert!(repo.is_untouched().unwrap());
        // As late as the index: nobody knows.
        let index = directory.path().join(".git/index");
        let written = fs::metadata(directory.path().join("a")).unwrap();
        let index = File::options().append(true).open(index).unwrap();
        index.set_modified(written.modified().unwrap()).unwrap();
        assert!(!repo.is_untouched().unwrap());
        assert!(!repo.is_dirty().unwrap());
    }

    #[test]
    fn whatever_is_changed_is_never_taken_for_untouched() {
        type Change = fn(&Path);
        let changes: [(Change, bool); 10] = [
            (
                |at| {
                    fs::rename(at.join("d"), at.join("moved")).unwrap();
                    std::os::unix::fs::symlink("moved", at.join("d")).unwrap();
                },
                true,
            ),
            (|at| fs::write(at.join("a"), "eno").unwrap(), true),
            (|at| fs::write(at.join("empty"), "1").unwrap(), true),
            (|at| fs::remove_file(at.join("d/b")).unwrap(), true),
            (|at| fs::remove_dir_all(at.join("d")).unwrap(), true),
            (
                |at| {
                    fs::remove_file(at.join("a")).unwrap();
                    std::os::unix::fs::symlink("one", at.join("a")).unwrap();
                },
                true,
            ),
            (
                |at| crate::local::files::make_executable(&at.join("a")).unwrap(),
                true,
            ),
            (
                |at| {
                    fs::write(at.join("new"), "").unwrap();
                    git(at, &["add", "new"]);
                    settle(at);
                },
                true,
            ),
            (
                |at| {
                    git(at, &["rm", "--quiet", "--cached", "a"]);
                    settle(at);
                },
                true,
            ),
            // The same bytes again: only a closer look tells.
            (|at| fs::write(at.join("a"), "one").unwrap(), false),
        ];
        for (place, (change, is_dirty)) in changes.into_iter().enumerate() {
            let (directory, repo) = checkout();
            change(directory.path());
            assert!(!repo.is_untouched().unwrap(), "{place}");
            assert_eq!(repo.is_dirty().unwrap(), is_dirty, "{place}");
        }
        let (directory, repo) = checkout();
        git(
            directory.path(),
            &["update-index", "--assume-unchanged", "a"],
        );
        settle(directory.path());
        assert!(!repo.is_untouched().unwrap());
    }
}
