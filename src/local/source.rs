//! Where the files of a workspace are read from: a commit of its repository, or the disk as it is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::explain::{Exit, Failure};
use crate::local::files;
use crate::local::git::{Directory, Repo};
use crate::name::{CommitId, RepoPath};
use crate::workspace::package_json::Form;

/// The longest file of a workspace that is read from the disk, in bytes.
const LONGEST_FILE: u64 = 64 << 20;

/// The deepest directory that is entered, counted from the workspace's.
const DEEPEST: usize = 128;

/// Gives the files that describe a workspace. Nothing below `node_modules` is part of one.
pub trait Source {
    /// Which form a `package.json` must have.
    const FORM: Form;

    /// The text of a file; `None` where there is no file.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is not UTF-8 text.
    fn text(&self, path: &RepoPath) -> Result<Option<String>, Failure>;

    /// Whether anything is there.
    ///
    /// # Errors
    /// When nobody can tell.
    fn is_there(&self, path: &RepoPath) -> Result<bool, Failure>;

    /// Every `package.json`, by its directory, that `wanted` asks for; directories that `may_contain` denies are not entered.
    ///
    /// # Errors
    /// Those of [`Source::text`].
    fn package_files(
        &self,
        wanted: impl Fn(&RepoPath) -> bool,
        may_contain: impl Fn(&RepoPath) -> bool,
    ) -> Result<BTreeMap<RepoPath, String>, Failure>;

    /// Walks the directories below one, from the outside in. `enter` gets what it gave for the directory around, there `begin`, and gives what it
    /// is to get for those inside; `None`: they are left out.
    ///
    /// # Errors
    /// What `enter` fails with, and what cannot be read.
    fn walk_directories<S>(
        &self,
        directory: &RepoPath,
        begin: S,
        enter: impl FnMut(&S, &Directory<'_>) -> Result<Option<S>, Failure>,
    ) -> Result<(), Failure>;
}

/// What a commit holds.
#[derive(Clone, Copy)]
pub struct AtCommit<'r> {
    /// The repository.
    pub repo: &'r Repo,
    /// The commit.
    pub commit: &'r CommitId,
}

impl Source for AtCommit<'_> {
    const FORM: Form = Form::Documented;

    fn text(&self, path: &RepoPath) -> Result<Option<String>, Failure> {
        self.repo.text(self.commit, path)
    }

    fn is_there(&self, path: &RepoPath) -> Result<bool, Failure> {
        Ok(self.repo.object_at(self.commit, path)?.is_some())
    }

    fn package_files(
        &self,
        wanted: impl Fn(&RepoPath) -> bool,
        may_contain: impl Fn(&RepoPath) -> bool,
    ) -> Result<BTreeMap<RepoPath, String>, Failure> {
        self.repo.package_files(self.commit, wanted, may_contain)
    }

    fn walk_directories<S>(
        &self,
        directory: &RepoPath,
        begin: S,
        enter: impl FnMut(&S, &Directory<'_>) -> Result<Option<S>, Failure>,
    ) -> Result<(), Failure> {
        self.repo
            .walk_directories(self.commit, directory, begin, enter)
    }
}

/// What a directory holds now, in a repository or not. Links to directories are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDisk {
    /// The directory that paths begin at.
    pub root: PathBuf,
}

impl OnDisk {
    /// The directories in one, by name; none where there is no directory.
    fn inside(&self, directory: &RepoPath) -> Result<Vec<(String, RepoPath)>, Failure> {
        let at = self.root.join(directory.as_str());
        let failed = |error: io::Error| files::failed("files::read", "read", &at, &error);
        let entries = match fs::read_dir(&at) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let is_directory = entry.file_type().map_err(failed)?.is_dir();
            let name = entry.file_name().into_string().ok();
            let name = name.filter(|name| is_directory && name != "node_modules" && name != ".git");
            if let Some(name) = name
                && let Ok(path) = directory.join(&name)
            {
                found.push((name, path));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Whether an error says that nothing is there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Source for OnDisk {
    const FORM: Form = Form::Packed;

    fn text(&self, path: &RepoPath) -> Result<Option<String>, Failure> {
        let at = self.root.join(path.as_str());
        match at.metadata() {
            Ok(metadata) if metadata.is_dir() => return Ok(None),
            Err(error) if is_absent(&error) => return Ok(None),
            _ => {}
        }
        let bytes = files::read_bounded(&at, LONGEST_FILE)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            let what = format!("{path} is not UTF-8 text");
            Failure::new(Exit::Refused, "files::encoding", what).hint("write it in UTF-8")
        })?;
        Ok(Some(text))
    }

    fn is_there(&self, path: &RepoPath) -> Result<bool, Failure> {
        Ok(self.root.join(path.as_str()).symlink_metadata().is_ok())
    }

    fn package_files(
        &self,
        wanted: impl Fn(&RepoPath) -> bool,
        may_contain: impl Fn(&RepoPath) -> bool,
    ) -> Result<BTreeMap<RepoPath, String>, Failure> {
        let mut found = BTreeMap::new();
        let mut open = vec![(RepoPath::root(), 0)];
        while let Some((directory, depth)) = open.pop() {
            if wanted(&directory)
                && let Some(text) = self.text(&directory.join("package.json")?)?
            {
                found.insert(directory.clone(), text);
            }
            if depth == DEEPEST {
                continue;
            }
            for (_, path) in self.inside(&directory)? {
                if wanted(&path) || may_contain(&path) {
                    open.push((path, depth + 1));
                }
            }
        }
        Ok(found)
    }

    fn walk_directories<S>(
        &self,
        directory: &RepoPath,
        begin: S,
        mut enter: impl FnMut(&S, &Directory<'_>) -> Result<Option<S>, Failure>,
    ) -> Result<(), Failure> {
        let mut open = vec![(directory.clone(), 0, begin)];
        while let Some((around, depth, state)) = open.pop() {
            if depth == DEEPEST {
                continue;
            }
            for (name, path) in self.inside(&around)? {
                let text = |file: &str| self.text(&path.join(file)?);
                let inside = Directory {
                    path: path.clone(),
                    name: &name,
                    read: &text,
                };
                if let Some(state) = enter(&state, &inside)? {
                    open.push((path, depth + 1, state));
                }
            }
        }
        Ok(())
    }
}
