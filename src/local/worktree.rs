//! The edits of a release in the work tree while it builds, and the original bytes back afterwards, whatever happens in between.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::explain::{Exit, Failure};
use crate::local::files;
use crate::local::git::Repo;
use crate::local::process::Variables;
use crate::local::status;
use crate::name::{CommitId, RepoPath};

/// What an interrupted run must be able to take back: for each edited file the blob id of its edited bytes, none for one that is deleted.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    edits: Vec<(String, Option<String>)>,
}

/// Holds the edits in the work tree; dropping it puts the original bytes back.
pub struct EditedTree<'a> {
    repo: &'a Repo,
    originals: Vec<(PathBuf, Original)>,
}

/// What was at a path before the edits.
enum Original {
    /// Nothing: the release adds the file.
    Nothing,
    /// A file.
    File { bytes: Vec<u8>, is_executable: bool },
}

/// What an interrupted run must be able to bring to one of both: the work tree was moved from a commit to another.
#[derive(Debug, Serialize, Deserialize)]
struct Move {
    from: String,
    to: String,
}

fn move_path(repo: &Repo) -> PathBuf {
    repo.git_directory().join("pkgs-action-move.json")
}

/// Moves the work tree and `HEAD` to a descendant, after noting it: a run that is killed on the way leaves nothing that the next one
/// could not tell from a person's work. The caller holds [`alone`].
///
/// # Errors
/// `git::checkout`, exit 3, when a file differs from `HEAD` or another git works in the repository.
pub fn fast_forward(repo: &Repo, to: &CommitId) -> Result<(), Failure> {
    if let Some(lock) = repo.locks_of_move().iter().find(|lock| lock.exists()) {
        return Err(Failure::new(
            Exit::Refused,
            "git::checkout",
            format!("the work tree could not move to {}", to.short()),
        )
        .because(format!(
            "{} is there: another git works here, or one was killed",
            lock.display()
        ))
        .hint("wait for it; when none runs, remove that file"));
    }
    let noted = Move {
        from: repo.head()?.to_string(),
        to: to.to_string(),
    };
    let bytes = serde_json::to_vec(&noted)
        .unwrap_or_else(|error| unreachable!("a journal always serializes: {error}"));
    files::write_atomically(&move_path(repo), &bytes)?;
    let moved = repo.fast_forward(to);
    if moved.is_ok() || undo(repo, &noted).unwrap_or(false) {
        drop(std::fs::remove_file(move_path(repo)));
    }
    moved
}

/// Ends a move that was interrupted; a person's work in its files stays, and is refused as any other.
fn finish_move(repo: &Repo) -> Result<(), Failure> {
    let path = move_path(repo);
    let noted: Option<Move> = std::fs::read(&path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(noted) = noted else {
        return Ok(());
    };
    remove_locks(repo, &path);
    if undo(repo, &noted)? {
        tracing::info!("a move of the work tree was interrupted: it is at its commit again");
        drop(std::fs::remove_file(path));
    }
    Ok(())
}

/// Removes the locks that a killed move left. Whoever was killed held them at once after its journal: a later one is somebody else's.
fn remove_locks(repo: &Repo, journal: &Path) {
    const LONGEST_MOVE: Duration = Duration::from_mins(1);
    let changed = |path: &Path| std::fs::symlink_metadata(path)?.modified();
    for lock in repo.locks_of_move() {
        let (Ok(began), Ok(locked)) = (changed(journal), changed(&lock)) else {
            continue;
        };
        if locked
            .duration_since(began)
            .is_ok_and(|after| after < LONGEST_MOVE)
        {
            drop(std::fs::remove_file(lock));
        }
    }
}

/// Brings work tree and index to `HEAD`, if that is one end of the move and nobody worked there since.
fn undo(repo: &Repo, noted: &Move) -> Result<bool, Failure> {
    let head = repo.head()?.to_string();
    if head != noted.from && head != noted.to {
        return Ok(false);
    }
    let (from, to) = (CommitId::parse(&noted.from)?, CommitId::parse(&noted.to)?);
    repo.undo_move(&from, &to)
}

fn journal_path(repo: &Repo) -> PathBuf {
    repo.git_directory().join("pkgs-action-edits.json")
}

impl<'a> EditedTree<'a> {
    /// Writes `edits` (path and new text, `None` deletes) into the work tree, each file in one step, after noting how to take them back.
    pub fn write(
        repo: &'a Repo,
        edits: &[(RepoPath, Option<String>)],
    ) -> Result<EditedTree<'a>, Failure> {
        let noted = |(path, text): &(RepoPath, Option<String>)| match text {
            Some(text) => Some((path.to_string(), Some(Repo::blob_id(text.as_bytes())?))),
            None => Some((path.to_string(), None)),
        };
        let journal = Journal {
            edits: edits.iter().filter_map(noted).collect(),
        };
        let bytes = serde_json::to_vec(&journal)
            .unwrap_or_else(|error| unreachable!("a journal always serializes: {error}"));
        let head = repo.head()?;
        for (path, _) in edits {
            is_new(repo, &head, path)?;
        }
        files::write_atomically(&journal_path(repo), &bytes)?;
        let mut tree = EditedTree {
            repo,
            originals: Vec::new(),
        };
        for (path, text) in edits {
            let file = repo.root().join(path.as_str());
            let Some(text) = text else {
                // A sparse checkout does not have it at all.
                if std::fs::symlink_metadata(&file).is_ok() {
                    tree.originals.push((file.clone(), original(path, &file)?));
                    remove(&file)?;
                }
                continue;
            };
            if is_new(repo, &head, path)? {
                tree.originals.push((file.clone(), Original::Nothing));
                files::write_atomically(&file, text.as_bytes())?;
                continue;
            }
            tree.originals.push((file.clone(), original(path, &file)?));
            files::overwrite(&file, text.as_bytes())?;
        }
        Ok(tree)
    }

    /// Puts the original bytes back.
    pub fn restore(mut self) -> Result<(), Failure> {
        self.put_back()
    }

    /// Goes on after a failure: one file that a build made unwritable keeps no other from coming back.
    fn put_back(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        for (file, original) in self.originals.drain(..) {
            result = result.and(match original {
                Original::File {
                    bytes,
                    is_executable,
                } => write_back(&file, &bytes, is_executable),
                Original::Nothing => remove(&file),
            });
        }
        if result.is_ok() {
            drop(std::fs::remove_file(journal_path(self.repo)));
        }
        result
    }
}

fn original(path: &RepoPath, file: &Path) -> Result<Original, Failure> {
    let bytes = std::fs::read(file).map_err(|error| {
        Failure::new(
            Exit::Refused,
            "worktree::read",
            format!("{path} could not be read"),
        )
        .because(error)
    })?;
    Ok(Original::File {
        bytes,
        is_executable: files::is_executable(file),
    })
}

/// Writes a file's original bytes, also where it was deleted, and its directory with it.
fn write_back(file: &Path, original: &[u8], is_executable: bool) -> Result<(), Failure> {
    if std::fs::symlink_metadata(file).is_ok() {
        return files::overwrite(file, original);
    }
    let directory = files::parent(file);
    std::fs::create_dir_all(directory)
        .map_err(|error| files::failed("files::write", "create", directory, &error))?;
    files::write_atomically(file, original)?;
    if is_executable {
        files::make_executable(file)?;
    }
    Ok(())
}

fn remove(file: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(files::failed("files::write", "remove", file, &error))
        }
        _ => Ok(()),
    }
}

/// Refuses a release that would write `written` upon `head`, where it adds a file and one lies that no commit holds.
///
/// # Errors
/// `worktree::in_the_way`, exit 3.
pub fn require_way_free<'p>(
    repo: &Repo,
    head: &CommitId,
    written: impl IntoIterator<Item = &'p RepoPath>,
) -> Result<(), Failure> {
    for path in written {
        is_new(repo, head, path)?;
    }
    Ok(())
}

/// Whether the release adds a file. Refuses to where one lies already that no commit holds: nothing could bring it back.
fn is_new(repo: &Repo, head: &CommitId, path: &RepoPath) -> Result<bool, Failure> {
    if repo.file(head, path)?.is_some() {
        return Ok(false);
    }
    if std::fs::symlink_metadata(repo.root().join(path.as_str())).is_err() {
        return Ok(true);
    }
    Err(Failure::new(
        Exit::Refused,
        "worktree::in_the_way",
        format!("{path} is not committed, and the release adds a file there"),
    )
    .hint("commit it, or move it away"))
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
pub fn require_clean(repo: &Repo, head: &CommitId, environment: &Variables) -> Result<(), Failure> {
    let dirty = take_back(repo, head, environment)?;
    if dirty.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "worktree::dirty",
        format!(
            "the work tree has changes that are not committed: {}",
            named(&dirty)
        ),
    )
    .because("a release is made of a commit, and what is built must be that commit")
    .hint("commit, stash or undo them"))
}

/// Paths for a message: the first of them.
pub fn named(paths: &[RepoPath]) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<&str> = paths.iter().take(SHOWN).map(RepoPath::as_str).collect();
    if paths.len() > SHOWN {
        shown.push("…");
    }
    shown.join(", ")
}

/// Removes what a killed run left of a file that it was writing beside `file`.
fn remove_temporaries(file: &Path) {
    let directory = files::parent(file);
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(files::TEMPORARY.0) && name.ends_with(files::TEMPORARY.1) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

/// Puts an interrupted run's edits back, if the work tree holds exactly those; whatever else is changed there stays.
pub fn put_back(repo: &Repo, head: &CommitId, environment: &Variables) -> Result<(), Failure> {
    if journal_path(repo).exists() {
        drop(take_back(repo, head, environment)?);
    }
    Ok(())
}

/// Puts an interrupted run's edits back, if the work tree holds exactly those, and gives the files that are dirty then.
fn take_back(
    repo: &Repo,
    head: &CommitId,
    environment: &Variables,
) -> Result<Vec<RepoPath>, Failure> {
    finish_move(repo)?;
    let dirty = status::dirty(repo, environment)?;
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
        let file = repo.root().join(path.as_str());
        noted.is_some_and(|(_, id)| match id {
            Some(id) => std::fs::read(file)
                .ok()
                .and_then(|bytes| Repo::blob_id(&bytes))
                .is_some_and(|present| present == *id),
            None => std::fs::symlink_metadata(file).is_err(),
        })
    };
    if !dirty.iter().all(is_ours) {
        return Ok(dirty);
    }
    for (path, _) in &journal.edits {
        let Ok(path) = RepoPath::parse(path) else {
            continue;
        };
        if repo.file(head, &path)?.is_none() && is_ours(&path) {
            remove(&repo.root().join(path.as_str()))?;
        }
    }
    for path in &dirty {
        if let Some(bytes) = repo.file(head, path)? {
            let file = repo.root().join(path.as_str());
            write_back(&file, &bytes, repo.is_executable(head, path)?)?;
        }
    }
    drop(std::fs::remove_file(journal_path(repo)));
    status::dirty(repo, environment)
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

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "{ \"version\": \"1.0.0\" }\n";
    const NEW: &str = "{ \"version\": \"1.1.0\" }\n";

    fn variables() -> Variables {
        [("PATH".to_owned(), env!("PATH").to_owned())].into()
    }

    /// A checkout at the first of two commits; the second changes a file and adds another.
    fn between() -> (tempfile::TempDir, Repo, CommitId, CommitId) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("package.json"), OLD).unwrap();
        std::fs::write(directory.path().join("other"), "other").unwrap();
        std::fs::write(directory.path().join("gone"), "gone").unwrap();
        let repo = Repo::create(directory.path(), "main", 0).unwrap();
        let old = repo.head().unwrap();
        let file = |path: &str, text: &str| {
            (
                RepoPath::parse(path).unwrap(),
                Some(text.as_bytes().to_vec()),
            )
        };
        let edits = [
            file("package.json", NEW),
            file("CHANGELOG.md", "1.1.0\n"),
            (RepoPath::parse("gone").unwrap(), None),
        ];
        let new = repo.make_commit(&old, &edits, "release").unwrap();
        (directory, repo, old, new)
    }

    /// The journal of a killed move.
    fn killed(repo: &Repo, from: &CommitId, to: &CommitId) {
        let noted = format!(r#"{{"from":"{from}","to":"{to}"}}"#);
        std::fs::write(move_path(repo), noted).unwrap();
    }

    #[test]
    fn a_move_that_was_killed_anywhere_is_ended_by_the_next_run() {
        for present in [OLD, "", &NEW[..9], NEW] {
            for added in [None, Some(""), Some("1.1.0\n")] {
                for staged in [false, true] {
                    let (directory, repo, old, new) = between();
                    let at = |path: &str| directory.path().join(path);
                    if staged {
                        repo.fast_forward(&new).unwrap();
                        let head = repo.git_directory().join("refs/heads/main");
                        std::fs::write(head, format!("{old}\n")).unwrap();
                    }
                    killed(&repo, &old, &new);
                    std::fs::write(at("package.json"), present).unwrap();
                    let _ = std::fs::remove_file(at("CHANGELOG.md"));
                    if let Some(added) = added {
                        std::fs::write(at("CHANGELOG.md"), added).unwrap();
                        let _ = std::fs::remove_file(at("gone"));
                    }
                    std::fs::write(repo.git_directory().join("index.lock"), "").unwrap();
                    let again = Repo::open(directory.path()).unwrap();
                    require_clean(&again, &old, &variables()).unwrap();
                    assert_eq!(std::fs::read_to_string(at("package.json")).unwrap(), OLD);
                    assert_eq!(std::fs::read_to_string(at("gone")).unwrap(), "gone");
                    assert!(!at("CHANGELOG.md").exists());
                    assert!(!move_path(&repo).exists());
                    fast_forward(&again, &new).unwrap();
                    require_clean(&again, &new, &variables()).unwrap();
                    assert!(!at("gone").exists());
                    assert_eq!(std::fs::read_to_string(at("package.json")).unwrap(), NEW);
                    assert!(!move_path(&repo).exists());
                }
            }
        }
    }

    /// A checkout with an intent that anybody may run, and the edits of a release.
    fn edited() -> (tempfile::TempDir, Repo, Vec<(RepoPath, Option<String>)>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(".changeset")).unwrap();
        let intent = directory.path().join(".changeset/x.md");
        std::fs::write(&intent, "x").unwrap();
        files::make_executable(&intent).unwrap();
        std::fs::write(directory.path().join("package.json"), OLD).unwrap();
        let repo = Repo::create(directory.path(), "main", 0).unwrap();
        let edit = |path: &str, text: Option<&str>| {
            (RepoPath::parse(path).unwrap(), text.map(str::to_owned))
        };
        let edits = vec![
            edit(".changeset/x.md", None),
            edit("CHANGELOG.md", Some("1.1.0\n")),
            edit("package.json", Some(NEW)),
        ];
        (directory, repo, edits)
    }

    fn check_as_it_was(directory: &Path, repo: &Repo) {
        require_clean(repo, &repo.head().unwrap(), &variables()).unwrap();
        let intent = directory.join(".changeset/x.md");
        assert_eq!(std::fs::read_to_string(&intent).unwrap(), "x");
        assert!(files::is_executable(&intent));
        assert!(!directory.join("CHANGELOG.md").exists());
        assert!(!journal_path(repo).exists());
    }

    #[test]
    fn edits_are_taken_back_also_where_a_build_removed_the_directory() {
        for removes in [false, true] {
            let (directory, repo, edits) = edited();
            let tree = EditedTree::write(&repo, &edits).unwrap();
            assert!(!directory.path().join(".changeset/x.md").exists());
            if removes {
                std::fs::remove_dir(directory.path().join(".changeset")).unwrap();
            }
            tree.restore().unwrap();
            check_as_it_was(directory.path(), &repo);
        }
    }

    #[test]
    fn edits_of_a_killed_run_are_taken_back_by_the_next_one() {
        // Each is what a run that was killed there has done.
        for done in 0..=3 {
            let (directory, repo, edits) = edited();
            std::mem::forget(EditedTree::write(&repo, &edits).unwrap());
            let original = repo.head().unwrap();
            for (path, _) in &edits[done..] {
                let file = directory.path().join(path.as_str());
                match repo.file(&original, path).unwrap() {
                    Some(bytes) => {
                        let is_executable = repo.is_executable(&original, path).unwrap();
                        write_back(&file, &bytes, is_executable).unwrap();
                    }
                    None => std::fs::remove_file(file).unwrap(),
                }
            }
            check_as_it_was(directory.path(), &repo);
        }
    }

    #[test]
    fn what_a_person_wrote_after_a_killed_run_stays() {
        let (directory, repo, edits) = edited();
        std::mem::forget(EditedTree::write(&repo, &edits).unwrap());
        let intent = directory.path().join(".changeset/x.md");
        std::fs::write(&intent, "mine").unwrap();
        let failure = require_clean(&repo, &repo.head().unwrap(), &variables()).unwrap_err();
        assert_eq!(failure.code(), "worktree::dirty");
        assert_eq!(std::fs::read_to_string(&intent).unwrap(), "mine");
    }

    #[test]
    fn a_move_that_was_killed_after_its_end_stays() {
        let (directory, repo, old, new) = between();
        repo.fast_forward(&new).unwrap();
        killed(&repo, &old, &new);
        require_clean(&repo, &new, &variables()).unwrap();
        assert_eq!(repo.head().unwrap(), new);
        let present = std::fs::read_to_string(directory.path().join("package.json"));
        assert_eq!(present.unwrap(), NEW);
        assert!(!move_path(&repo).exists());
    }

    #[test]
    fn what_a_person_wrote_after_a_killed_move_stays() {
        for (path, text) in [
            ("package.json", "mine"),
            ("CHANGELOG.md", "mine"),
            ("other", "mine"),
        ] {
            let (directory, repo, old, new) = between();
            killed(&repo, &old, &new);
            std::fs::write(directory.path().join("package.json"), "").unwrap();
            let file = directory.path().join(path);
            std::fs::write(&file, text).unwrap();
            let failure = require_clean(&repo, &old, &variables()).unwrap_err();
            assert_eq!(failure.code(), "worktree::dirty");
            assert_eq!(std::fs::read_to_string(file).unwrap(), text);
        }
    }

    #[test]
    fn another_gits_lock_stays_and_nothing_moves() {
        let (directory, repo, old, new) = between();
        let lock = repo.git_directory().join("index.lock");
        std::fs::write(&lock, "").unwrap();
        let failure = fast_forward(&repo, &new).unwrap_err();
        assert_eq!(failure.code(), "git::checkout");
        assert!(lock.exists() && !move_path(&repo).exists());
        let present = std::fs::read_to_string(directory.path().join("package.json"));
        assert_eq!(present.unwrap(), OLD);
        assert_eq!(repo.head().unwrap(), old);
    }
}
