//! What lies at a commit: files, directories, and the manifests of a workspace.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use git2::{ObjectType, Odb, Oid};

use super::tags::bounded;
use super::{ObjectId, Repo, broken, index};
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, RepoPath};

/// The longest manifest or lockfile that is read from history, in bytes.
const LONGEST_FILE: usize = 64 << 20;

/// The longest index that is read, in bytes. Where it is longer, trees are.
const LONGEST_INDEX: u64 = 1 << 30;

/// A file that differs between two commits, and its text at the later one; `None`: it is gone.
pub type ChangedText = (RepoPath, Option<String>);

/// Where something lies, and its content if it is a file.
pub type FoundFile = (RepoPath, Option<Vec<u8>>);

/// A directory that a walk comes to.
pub struct Directory<'r> {
    /// Its path.
    pub path: RepoPath,
    /// Its name.
    pub name: &'r str,
    /// Gives the text of a file in it; `None` where there is no such file.
    pub(in crate::local) read: &'r dyn Fn(&str) -> Result<Option<String>, Failure>,
}

impl Directory<'_> {
    /// The text of a file in it; `None` where there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is not UTF-8 text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        (self.read)(name)
    }
}

/// What a commit has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAt {
    /// Nothing.
    Absent,
    /// A link, a directory or a submodule.
    NotAFile,
    /// A file that is longer than was asked for.
    TooLong,
    /// A file, and its content.
    Content(Vec<u8>),
}

impl Repo {
    /// What a commit has at a path; a file of more than `longest` bytes is not read.
    pub fn file_at(
        &self,
        commit: &CommitId,
        path: &RepoPath,
        longest: usize,
    ) -> Result<FileAt, Failure> {
        let unreadable = |error| broken(format!("{path} at {commit} cannot be read"), &error);
        let entry = match self.tree(commit)?.get_path(Path::new(path.as_str())) {
            Ok(entry) => entry,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(FileAt::Absent),
            Err(error) => return Err(unreadable(error)),
        };
        if entry.kind() != Some(ObjectType::Blob) || entry.filemode() == 0o120_000 {
            return Ok(FileAt::NotAFile);
        }
        let (size, _) = self
            .objects()?
            .read_header(entry.id())
            .map_err(unreadable)?;
        if size > longest {
            return Ok(FileAt::TooLong);
        }
        let blob = self.git.find_blob(entry.id()).map_err(unreadable)?;
        Ok(FileAt::Content(blob.content().to_vec()))
    }

    /// The regular files of a commit, in order of path, that are `wanted`; of directories only those are entered that `may_contain` one.
    pub fn files_like(
        &self,
        commit: &CommitId,
        wanted: impl Fn(&str) -> bool,
        may_contain: impl Fn(&str) -> bool,
    ) -> Result<Vec<RepoPath>, Failure> {
        let tree = self.tree(commit)?.id();
        let mut found = Vec::new();
        let compared = self
            .trees
            .compare(&self.objects()?, None, Some(tree), |entry| {
                if entry.is_directory() {
                    return may_contain(entry.path);
                }
                let is_wanted = entry.file().is_some() && wanted(entry.path);
                let path = RepoPath::parse(entry.path).ok();
                found.extend(path.filter(|_| is_wanted));
                false
            });
        compared.map_err(|error| broken(format!("the tree of {commit} cannot be read"), &error))?;
        found.sort();
        Ok(found)
    }

    /// The content of a file at a commit; `None` when there is no such file. A link or a directory is no file.
    pub fn file(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<Vec<u8>>, Failure> {
        let tree = self.tree(commit)?;
        match tree.get_path(Path::new(path.as_str())) {
            Ok(entry) => self.content(commit, path, &entry),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(broken(format!("{path} at {commit} cannot be read"), &error)),
        }
    }

    /// Whether a file of a commit may be run.
    pub fn is_executable(&self, commit: &CommitId, path: &RepoPath) -> Result<bool, Failure> {
        let tree = self.tree(commit)?;
        let entry = tree.get_path(Path::new(path.as_str()));
        Ok(entry.is_ok_and(|entry| entry.filemode() == 0o100_755))
    }

    /// The files of a directory at a commit, in order of name, whose names are `wanted`; `None` for what is no file but a link.
    pub fn files_in(
        &self,
        commit: &CommitId,
        directory: &RepoPath,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<FoundFile>, Failure> {
        let unreadable = |error| broken(format!("the tree of {commit} cannot be read"), &error);
        let found = self.directories_at(commit, &[directory])?;
        let Some(ObjectId(id)) = found.into_iter().flatten().next() else {
            return Ok(Vec::new());
        };
        let tree = self.git.find_tree(id).map_err(unreadable)?;
        let entries = tree.iter().filter_map(|entry| {
            let name = entry.name().ok()?.to_owned();
            let is_file = entry.kind() == Some(ObjectType::Blob);
            (is_file && wanted(&name)).then_some((name, entry))
        });
        entries
            .map(|(name, entry)| {
                let path = directory.join(&name)?;
                let content = self.content(commit, &path, &entry)?;
                Ok((path, content))
            })
            .collect()
    }

    /// The first of `names` that lies in each of `directories` at a commit.
    pub fn first_in_each(
        &self,
        commit: &CommitId,
        directories: &[&RepoPath],
        names: &[&str],
    ) -> Result<Vec<Option<FoundFile>>, Failure> {
        let unreadable = |error| broken(format!("the tree of {commit} cannot be read"), &error);
        let ids = self.directories_at(commit, directories)?;
        let first = |(directory, id): (&&RepoPath, Option<ObjectId>)| {
            let Some(ObjectId(id)) = id else {
                return Ok(None);
            };
            let tree = self.git.find_tree(id).map_err(unreadable)?;
            let mut entries = names
                .iter()
                .filter_map(|name| Some((name, tree.get_name(name)?)));
            let Some((name, entry)) = entries.next() else {
                return Ok(None);
            };
            let path = directory.join(name)?;
            let content = self.content(commit, &path, &entry)?;
            Ok(Some((path, content)))
        };
        directories.iter().zip(ids).map(first).collect()
    }

    fn content(
        &self,
        commit: &CommitId,
        path: &RepoPath,
        entry: &git2::TreeEntry<'_>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if entry.kind() != Some(ObjectType::Blob) || entry.filemode() == 0o120_000 {
            return Ok(None);
        }
        let blob = self
            .git
            .find_blob(entry.id())
            .map_err(|error| broken(format!("{path} at {commit} cannot be read"), &error))?;
        if blob.size() > LONGEST_FILE {
            return Err(Failure::new(
                Exit::Refused,
                "git::large_file",
                format!("{path} is longer than 64 MiB"),
            ));
        }
        Ok(Some(blob.content().to_vec()))
    }

    /// The text of a file at a commit; refuses what is not UTF-8.
    pub fn text(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<String>, Failure> {
        self.file(commit, path)?
            .map(|bytes| String::from_utf8(bytes).map_err(|_| not_text(path)))
            .transpose()
    }

    /// The files that differ between two commits, with their text at the later one, none for those that are gone; `None` where something else
    /// differs too: a link, a file that is no text.
    ///
    /// # Errors
    /// `git::read` when a tree or a file cannot be read.
    pub fn texts_changed(
        &self,
        old: &CommitId,
        new: &CommitId,
    ) -> Result<Option<Vec<ChangedText>>, Failure> {
        let unreadable = |error| {
            broken(
                format!("what differs between {old} and {new} cannot be read"),
                &error,
            )
        };
        let mut paths = Some(Vec::new());
        let (before, after) = (self.tree(old)?.id(), self.tree(new)?.id());
        let compared =
            self.trees
                .compare(&self.objects()?, Some(before), Some(after), |difference| {
                    if !difference.is_directory() {
                        let path = RepoPath::parse(difference.path).ok();
                        let is_gone = difference.is_gone();
                        let path = path.filter(|_| is_gone || difference.file().is_some());
                        match (&mut paths, path) {
                            (Some(paths), Some(path)) => paths.push((path, is_gone)),
                            _ => paths = None,
                        }
                    }
                    true
                });
        compared.map_err(unreadable)?;
        let Some(paths) = paths else {
            return Ok(None);
        };
        let mut texts = Vec::new();
        for (path, is_gone) in paths {
            if is_gone {
                texts.push((path, None));
                continue;
            }
            let bytes = self.file(new, &path)?;
            let Some(Ok(text)) = bytes.map(String::from_utf8) else {
                return Ok(None);
            };
            texts.push((path, Some(text)));
        }
        texts.sort();
        Ok(Some(texts))
    }

    /// The id of what lies at `path` at a commit: the same id means the same content.
    pub fn object_at(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<String>, Failure> {
        let tree = self.tree(commit)?;
        if path.is_root() {
            return Ok(Some(tree.id().to_string()));
        }
        match tree.get_path(Path::new(path.as_str())) {
            Ok(entry) => Ok(Some(entry.id().to_string())),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(error) => Err(broken(format!("{path} at {commit} cannot be read"), &error)),
        }
    }

    /// The id of what lies at each of `directories` at a commit: the same id means the same content; `None` where there is no directory.
    pub fn directories_at(
        &self,
        commit: &CommitId,
        directories: &[&RepoPath],
    ) -> Result<Vec<Option<ObjectId>>, Failure> {
        let unreadable = |error| broken(format!("the tree of {commit} cannot be read"), &error);
        let found = self
            .trees
            .find(&self.objects()?, self.tree(commit)?.id(), directories);
        let found = found.map_err(unreadable)?;
        Ok(found.into_iter().map(|id| id.map(ObjectId)).collect())
    }

    /// Every `package.json` of a commit, by its directory, that `wanted` asks for; directories that `may_contain` denies are not entered.
    pub fn package_files(
        &self,
        commit: &CommitId,
        wanted: impl Fn(&RepoPath) -> bool,
        may_contain: impl Fn(&RepoPath) -> bool,
    ) -> Result<BTreeMap<RepoPath, String>, Failure> {
        let tree = self.tree(commit)?.id();
        let is_checked_out = self.head().is_ok_and(|head| head == *commit);
        let in_index = is_checked_out.then(|| self.package_files_in_index(tree, &wanted));
        let found = match in_index.flatten() {
            Some(found) => found,
            None => self
                .package_files_in_tree(&self.objects()?, tree, &wanted, &may_contain)
                .map_err(|error| broken(format!("the tree of {commit} cannot be read"), &error))?,
        };
        let texts = self.side_by_side(&found, |repo, (directory, file)| {
            let path = directory.join("package.json")?;
            let blob = repo
                .git
                .find_blob(*file)
                .map_err(|error| broken(format!("{path} cannot be read"), &error))?;
            std::str::from_utf8(blob.content())
                .map(str::to_owned)
                .map_err(|_| not_text(&path))
        })?;
        let directories = found.into_iter().map(|(directory, _)| directory);
        Ok(directories.zip(texts).collect())
    }

    /// The files of [`Repo::package_files`] in a tree, with their directories, as the index has them; `None` where it is not that tree's.
    pub(super) fn package_files_in_index(
        &self,
        tree: Oid,
        wanted: &impl Fn(&RepoPath) -> bool,
    ) -> Option<Vec<(RepoPath, Oid)>> {
        let file = self.git.path().join("index");
        let index = bounded(&file, LONGEST_INDEX).ok()??;
        let mut found = Vec::new();
        for entry in index::entries_of(&index, tree)? {
            let Some(parent) = entry.path.strip_suffix(b"package.json") else {
                continue;
            };
            let parent = match parent.strip_suffix(b"/") {
                Some(parent) => parent,
                None if parent.is_empty() => parent,
                None => continue,
            };
            let parent = std::str::from_utf8(parent).ok();
            let is_installed = |path: &&str| path.split('/').any(|part| part == "node_modules");
            let parent = parent.filter(|path| !is_installed(path));
            if let Some(directory) = parent.and_then(|path| RepoPath::parse(path).ok())
                && wanted(&directory)
                && let Some(file) = entry.file()
            {
                found.push((directory, file));
            }
        }
        Some(found)
    }

    /// The same by the tree itself.
    pub(super) fn package_files_in_tree(
        &self,
        objects: &Odb<'_>,
        tree: Oid,
        wanted: &impl Fn(&RepoPath) -> bool,
        may_contain: &impl Fn(&RepoPath) -> bool,
    ) -> Result<Vec<(RepoPath, Oid)>, git2::Error> {
        let mut members: HashSet<RepoPath> = HashSet::new();
        members.extend(Some(RepoPath::root()).filter(|root| wanted(root)));
        let mut found = Vec::new();
        self.trees.compare(objects, None, Some(tree), |entry| {
            let (parent, name) = entry.path.rsplit_once('/').unwrap_or(("", entry.path));
            if entry.is_directory() {
                let Some(directory) = RepoPath::parse(entry.path)
                    .ok()
                    .filter(|_| name != "node_modules")
                else {
                    return false;
                };
                let is_member = wanted(&directory);
                let enter = is_member || may_contain(&directory);
                members.extend(is_member.then_some(directory));
                return enter;
            }
            if name == "package.json"
                && let Some(file) = entry.file()
                && let Some(directory) = RepoPath::parse(parent).ok()
                && members.contains(&directory)
            {
                found.push((directory, file));
            }
            false
        })?;
        Ok(found)
    }

    /// Walks the directories below one at a commit, from the outside in. `enter` gets what it gave for the directory around, there `begin`, and
    /// gives what it is to get for those inside; `None`: they are left out.
    ///
    /// # Errors
    /// `git::read`, and what `enter` fails with.
    pub fn walk_directories<S>(
        &self,
        commit: &CommitId,
        directory: &RepoPath,
        begin: S,
        mut enter: impl FnMut(&S, &Directory<'_>) -> Result<Option<S>, Failure>,
    ) -> Result<(), Failure> {
        let unreadable = |error| broken(format!("the tree of {commit} cannot be read"), &error);
        let found = self.directories_at(commit, &[directory])?;
        let found = found.into_iter().flatten().next();
        let mut open: Vec<(RepoPath, Oid, S)> = found
            .map(|ObjectId(id)| (directory.clone(), id, begin))
            .into_iter()
            .collect();
        while let Some((around, id, state)) = open.pop() {
            let tree = self.git.find_tree(id).map_err(unreadable)?;
            for entry in &tree {
                let name = entry.name().ok();
                let name = name.filter(|_| entry.kind() == Some(ObjectType::Tree));
                let path = name.and_then(|name| Some((name, around.join(name).ok()?)));
                let Some((name, path)) = path else {
                    continue;
                };
                let text = |file: &str| self.text_in(entry.id(), &path, file);
                let inside = Directory {
                    path: path.clone(),
                    name,
                    read: &text,
                };
                if let Some(state) = enter(&state, &inside)? {
                    open.push((path, entry.id(), state));
                }
            }
        }
        Ok(())
    }

    /// The text of a file in the tree of a directory.
    fn text_in(
        &self,
        tree: Oid,
        directory: &RepoPath,
        name: &str,
    ) -> Result<Option<String>, Failure> {
        let path = directory.join(name)?;
        let unreadable = |error| broken(format!("{path} cannot be read"), &error);
        let tree = self.git.find_tree(tree).map_err(unreadable)?;
        let file = tree
            .get_name(name)
            .filter(|entry| entry.filemode() & 0o170_000 == 0o100_000);
        let Some(file) = file else {
            return Ok(None);
        };
        let blob = self.git.find_blob(file.id()).map_err(unreadable)?;
        let text = std::str::from_utf8(blob.content()).map_err(|_| not_text(&path))?;
        Ok(Some(text.to_owned()))
    }

    /// The id of a commit's tree.
    pub fn tree_id(&self, commit: &CommitId) -> Result<String, Failure> {
        Ok(self.tree(commit)?.id().to_string())
    }

    /// The id that `bytes` would have as a file.
    pub fn blob_id(bytes: &[u8]) -> Option<String> {
        Oid::hash_object(ObjectType::Blob, bytes)
            .ok()
            .map(|oid| oid.to_string())
    }
}

fn not_text(path: &RepoPath) -> Failure {
    Failure::new(
        Exit::Refused,
        "git::encoding",
        format!("{path} is not UTF-8 text"),
    )
    .hint("save it in UTF-8 and commit it")
}
