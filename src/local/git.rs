//! Reading the repository, and making commits and tags as objects. Nothing here runs a child process; refs move only in `fast_forward` and
//! `note_remote`.

mod history;
mod tags;
mod trees;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use git2::{ObjectType, Odb, Oid, Repository, Tree};

use crate::explain::{Exit, Failure, quoted};
use crate::name::{CommitId, RepoPath, TagName};
pub use history::{Bits, History, WalkedCommit};
pub use tags::Tags;
use trees::Trees;

/// The longest manifest or lockfile that is read from history, in bytes.
const LONGEST_FILE: usize = 64 << 20;
/// The most text of a commit message that is read, in bytes.
const LONGEST_MESSAGE: usize = 64 << 10;

/// Our identity in release commits and tags: fixed, so that the same release has the same id on every machine.
pub const IDENTITY: (&str, &str) = ("pkgs-action", "pkgs-action@users.noreply.github.com");

/// A repository on disk.
pub struct Repo {
    git: Repository,
    root: PathBuf,
    trees: Trees,
}

/// A tag with the object that its ref holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: TagName,
    /// The id of the object that its ref holds, 40 digits.
    pub object: String,
}

/// An object's id, for comparing: the same id means the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectId(Oid);

/// An annotated tag as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagMessage {
    /// The commit it names.
    pub commit: CommitId,
    /// Its message; empty for a lightweight tag.
    pub message: String,
}

/// A file of a release commit that differs from its parent: path and new bytes; `None` removes it.
pub type FileEdit = (RepoPath, Option<Vec<u8>>);

/// What a repository looks like from outside: equal snapshots mean that nobody would notice a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    head: CommitId,
    branch: Option<String>,
    refs: Vec<(String, Option<String>)>,
    status: Vec<(String, u32)>,
}

/// What a thread answered; its panic goes on here.
pub fn joined<R>(thread: std::thread::ScopedJoinHandle<'_, R>) -> R {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn broken(what: impl Into<String>, error: &git2::Error) -> Failure {
    Failure::new(Exit::Refused, "git::read", what)
        .because(error.message())
        .hint("`git fsck` tells whether the repository is damaged")
}

fn not_text(path: &RepoPath) -> Failure {
    Failure::new(
        Exit::Refused,
        "git::encoding",
        format!("{path} is not UTF-8 text"),
    )
}

fn commit_id(oid: Oid) -> CommitId {
    CommitId::parse(&oid.to_string())
        .unwrap_or_else(|failure| unreachable!("object ids are commit ids: {failure}"))
}

impl Repo {
    /// Opens the repository that contains `directory`.
    pub fn open(directory: &Path) -> Result<Repo, Failure> {
        // Like git itself, objects are trusted on reading: what is packed carries a checksum, `git fsck` and every fetch check the
        // names. Hashing each tree of a walk again would cost more than the walk.
        git2::opts::strict_hash_verification(false);
        let git = Repository::discover(directory).map_err(|error| {
            Failure::new(
                Exit::Usage,
                "git::no_repository",
                format!("{} is not inside a git repository", directory.display()),
            )
            .because(error.message())
            .hint("run in a checkout, or name one with --working-directory")
        })?;
        let root = git.workdir().map(Path::to_path_buf).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "git::bare",
                format!("{} is a bare repository", git.path().display()),
            )
            .hint("run in a checkout")
        })?;
        Ok(Repo {
            git,
            root,
            trees: Trees::default(),
        })
    }

    /// Asks the repository about each of `items`, many of them on several threads, each of which opens the repository for itself. The
    /// answers come in their order.
    pub fn side_by_side<T: Sync, R: Send>(
        &self,
        items: &[T],
        each: impl Fn(&Repo, &T) -> Result<R, Failure> + Sync,
    ) -> Result<Vec<R>, Failure> {
        /// What a thread costs more than it saves.
        const FEW: usize = 32;
        const MOST_THREADS: usize = 8;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(items.len() / FEW).clamp(1, MOST_THREADS);
        let (here, there) = items.split_at(items.len() / threads);
        let root = &self.root;
        std::thread::scope(|scope| {
            let there: Vec<_> = there
                .chunks(items.len().div_ceil(threads).max(1))
                .map(|part| {
                    scope.spawn(|| {
                        let repo = Repo::open(root)?;
                        let answers = part.iter().map(|item| each(&repo, item));
                        answers.collect::<Result<Vec<R>, Failure>>()
                    })
                })
                .collect();
            let here = here.iter().map(|item| each(self, item));
            let mut answers = here.collect::<Result<Vec<R>, Failure>>()?;
            for part in there {
                answers.extend(joined(part)?);
            }
            Ok(answers)
        })
    }

    /// The work tree's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The repository's own directory, `.git`.
    pub fn git_directory(&self) -> &Path {
        self.git.path()
    }

    /// The directory shared by all work trees of the repository, where objects and refs live.
    pub fn common_directory(&self) -> &Path {
        self.git.commondir()
    }

    /// The commit checked out.
    pub fn head(&self) -> Result<CommitId, Failure> {
        let head = self
            .git
            .head()
            .and_then(|head| head.peel_to_commit())
            .map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    "git::no_commit",
                    "the repository has no commit yet",
                )
                .because(error.message())
                .hint("commit something first")
            })?;
        Ok(commit_id(head.id()))
    }

    /// The branch checked out; `None` on a detached head.
    pub fn current_branch(&self) -> Option<String> {
        let head = self.git.head().ok()?;
        if head.is_branch() {
            head.shorthand().ok().map(str::to_owned)
        } else {
            None
        }
    }

    /// The branch that a remote calls its default, as the last clone or fetch noted it.
    pub fn default_branch(&self, remote: &str) -> Option<String> {
        let reference = self
            .git
            .find_reference(&format!("refs/remotes/{remote}/HEAD"))
            .ok()?;
        reference
            .symbolic_target()
            .ok()
            .flatten()?
            .strip_prefix(&format!("refs/remotes/{remote}/"))
            .map(str::to_owned)
    }

    /// Whether history is cut.
    pub fn is_shallow(&self) -> bool {
        self.git.is_shallow()
    }

    /// The address of a remote, as it is configured.
    pub fn remote_address(&self, remote: &str) -> Option<String> {
        self.git
            .find_remote(remote)
            .ok()?
            .url()
            .ok()
            .map(str::to_owned)
    }

    /// The names of the remotes that are configured.
    pub fn remotes(&self) -> Vec<String> {
        let Ok(names) = self.git.remotes() else {
            return Vec::new();
        };
        let names = names.iter().filter_map(|name| name.ok().flatten());
        names.map(str::to_owned).collect()
    }

    /// Git's `user.email`, for the record of who did something.
    pub fn user_email(&self) -> Option<String> {
        self.git.config().ok()?.get_string("user.email").ok()
    }

    /// The commit that a ref, tag or id names.
    pub fn resolve(&self, name: &str) -> Result<CommitId, Failure> {
        let object = self
            .git
            .revparse_single(name)
            .and_then(|object| object.peel_to_commit())
            .map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    "git::unknown_ref",
                    format!("{} names no commit here", quoted(name)),
                )
                .because(error.message())
                .hint("fetch it first (actions/checkout: fetch-depth: 0)")
            })?;
        Ok(commit_id(object.id()))
    }

    /// The ids that local refs hold, for telling a remote what is here already.
    pub fn tips(&self) -> Vec<String> {
        let Ok(references) = self.git.references() else {
            return Vec::new();
        };
        let mut tips: Vec<String> = references
            .filter_map(|reference| reference.ok()?.target().map(|oid| oid.to_string()))
            .collect();
        tips.extend(
            self.git
                .head()
                .ok()
                .and_then(|head| head.target())
                .map(|oid| oid.to_string()),
        );
        tips.sort();
        tips.dedup();
        tips
    }

    /// Whether an object is in the object store.
    pub fn has_object(&self, object: &str) -> bool {
        Oid::from_str(object).is_ok_and(|oid| self.git.odb().is_ok_and(|odb| odb.exists(oid)))
    }

    /// Whether the commit is in the object store.
    pub fn has_commit(&self, commit: &CommitId) -> bool {
        self.find(commit).is_ok()
    }

    fn find(&self, commit: &CommitId) -> Result<git2::Commit<'_>, Failure> {
        Oid::from_str(commit.as_str())
            .and_then(|oid| self.git.find_commit(oid))
            .map_err(|error| broken(format!("commit {commit} cannot be read"), &error))
    }

    fn tree(&self, commit: &CommitId) -> Result<Tree<'_>, Failure> {
        self.find(commit)?
            .tree()
            .map_err(|error| broken(format!("the tree of {commit} cannot be read"), &error))
    }

    /// The commit that a tag's object names in the end; `None` when it names something else, or is not here.
    pub fn peel(&self, object: &str) -> Option<CommitId> {
        let mut object = self
            .git
            .find_object(Oid::from_str(object).ok()?, None)
            .ok()?;
        loop {
            match object
                .as_tag()
                .map(|tag| (tag.target_type(), tag.target_id()))
            {
                None => {
                    return (object.kind() == Some(ObjectType::Commit))
                        .then(|| commit_id(object.id()));
                }
                // Not read, only looked for: a thousand tags may name one commit with a long message.
                Some((Some(ObjectType::Commit), commit)) => {
                    return self
                        .git
                        .odb()
                        .ok()?
                        .exists(commit)
                        .then(|| commit_id(commit));
                }
                Some((kind, id)) => object = self.git.find_object(id, kind).ok()?,
            }
        }
    }

    /// The object that a tag's ref holds here.
    pub fn resolve_tag(&self, name: &TagName) -> Option<String> {
        self.git
            .find_reference(&name.as_ref_name())
            .ok()?
            .target()
            .map(|oid| oid.to_string())
    }

    /// What a tag's object says; `None` when it names no commit, or is not here.
    pub fn tag_message(&self, object: &str) -> Option<TagMessage> {
        let commit = self.peel(object)?;
        let tag = Oid::from_str(object)
            .ok()
            .and_then(|oid| self.git.find_tag(oid).ok());
        let message = tag
            .and_then(|tag| {
                tag.message()
                    .ok()
                    .flatten()
                    .map(|message| message.chars().take(LONGEST_MESSAGE).collect())
            })
            .unwrap_or_default();
        Some(TagMessage { commit, message })
    }

    /// The content of a file at a commit; `None` when there is no such file. A link or a directory is no file.
    pub fn file(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<Vec<u8>>, Failure> {
        let tree = self.tree(commit)?;
        let Ok(entry) = tree.get_path(Path::new(path.as_str())) else {
            return Ok(None);
        };
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

    /// The id of what lies at `path` at a commit: the same id means the same content.
    pub fn object_at(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<String>, Failure> {
        let tree = self.tree(commit)?;
        if path.is_root() {
            return Ok(Some(tree.id().to_string()));
        }
        Ok(tree
            .get_path(Path::new(path.as_str()))
            .ok()
            .map(|entry| entry.id().to_string()))
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

    fn objects(&self) -> Result<Odb<'_>, Failure> {
        self.git
            .odb()
            .map_err(|error| broken("the object store cannot be opened", &error))
    }

    /// Every `package.json` of a commit, by its directory, that `wanted` asks for; directories that `may_contain` denies are not entered.
    pub fn package_files(
        &self,
        commit: &CommitId,
        wanted: impl Fn(&RepoPath) -> bool,
        may_contain: impl Fn(&RepoPath) -> bool,
    ) -> Result<BTreeMap<RepoPath, String>, Failure> {
        let tree = self.tree(commit)?.id();
        let mut members: HashSet<RepoPath> = HashSet::new();
        members.extend(Some(RepoPath::root()).filter(|root| wanted(root)));
        let mut found = Vec::new();
        self.trees
            .compare(&self.objects()?, None, Some(tree), |entry| {
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
            })
            .map_err(|error| broken(format!("the tree of {commit} cannot be read"), &error))?;
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

    /// Seconds since 1970 at which a commit was committed.
    pub fn committed_at(&self, commit: &CommitId) -> Result<i64, Failure> {
        Ok(self.find(commit)?.time().seconds())
    }

    /// The first parent of a commit.
    pub fn parent(&self, commit: &CommitId) -> Result<Option<CommitId>, Failure> {
        Ok(self.find(commit)?.parent_id(0).ok().map(commit_id))
    }

    /// Whether a commit was made by [`Repo::make_commit`], as its identity says. That proves nothing without a tag of ours.
    pub fn is_made_by_us(&self, commit: &CommitId) -> bool {
        self.find(commit).is_ok_and(|commit| {
            let committer = commit.committer();
            committer.name() == Ok(IDENTITY.0) && committer.email() == Ok(IDENTITY.1)
        })
    }

    /// The id of a commit's tree.
    pub fn tree_id(&self, commit: &CommitId) -> Result<String, Failure> {
        Ok(self.tree(commit)?.id().to_string())
    }

    /// Whether `ancestor` is `commit` or can be reached from it.
    pub fn is_ancestor(&self, ancestor: &CommitId, commit: &CommitId) -> Result<bool, Failure> {
        let id = |commit: &CommitId| {
            Oid::from_str(commit.as_str()).map_err(|error| broken("an id cannot be read", &error))
        };
        Ok(ancestor == commit
            || self
                .git
                .graph_descendant_of(id(commit)?, id(ancestor)?)
                .map_err(|error| {
                    broken(format!("the history of {commit} cannot be read"), &error)
                })?)
    }

    /// Commits that `tip` reaches and `base` does not, oldest first; at most `limit`, `None` when there are more.
    pub fn between(
        &self,
        base: &CommitId,
        tip: &CommitId,
        limit: usize,
    ) -> Result<Option<Vec<CommitId>>, Failure> {
        let unreadable = |error: git2::Error| {
            broken(
                format!("the commits from {base} to {tip} cannot be read"),
                &error,
            )
        };
        let mut walk = self.git.revwalk().map_err(unreadable)?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)
            .map_err(unreadable)?;
        walk.push(Oid::from_str(tip.as_str()).map_err(unreadable)?)
            .map_err(unreadable)?;
        walk.hide(Oid::from_str(base.as_str()).map_err(unreadable)?)
            .map_err(unreadable)?;
        let commits = walk
            .take(limit + 1)
            .map(|oid| oid.map(commit_id))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        Ok((commits.len() <= limit).then_some(commits))
    }

    /// Makes a release commit as an object: `parent`'s tree with `edits`, our identity, both dates those of `parent`. The same input gives the same id on every machine; no ref moves.
    pub fn make_commit(
        &self,
        parent: &CommitId,
        edits: &[FileEdit],
        message: &str,
    ) -> Result<CommitId, Failure> {
        let failed = |error: git2::Error| {
            Failure::new(
                Exit::Temporary,
                "git::write",
                "the release commit could not be made",
            )
            .because(error.message())
            .hint("check the disk and run again")
        };
        let parent = self.find(parent)?;
        let mut builder = git2::build::TreeUpdateBuilder::new();
        let tree = parent.tree().map_err(failed)?;
        for (path, content) in edits {
            match content {
                Some(bytes) => {
                    let mode = match tree
                        .get_path(Path::new(path.as_str()))
                        .map(|entry| entry.filemode())
                    {
                        Ok(0o100_755) => git2::FileMode::BlobExecutable,
                        _ => git2::FileMode::Blob,
                    };
                    builder.upsert(path.as_str(), self.git.blob(bytes).map_err(failed)?, mode);
                }
                None => {
                    builder.remove(path.as_str());
                }
            }
        }
        let tree = builder.create_updated(&self.git, &tree).map_err(failed)?;
        let tree = self.git.find_tree(tree).map_err(failed)?;
        let identity = git2::Signature::new(
            IDENTITY.0,
            IDENTITY.1,
            &git2::Time::new(parent.time().seconds(), 0),
        )
        .map_err(failed)?;
        let commit = self
            .git
            .commit(None, &identity, &identity, message, &tree, &[&parent])
            .map_err(failed)?;
        Ok(commit_id(commit))
    }

    /// Makes an annotated tag as an object, with our identity and the date of `commit`; no ref moves. Gives the object's id.
    pub fn make_tag(
        &self,
        name: &TagName,
        commit: &CommitId,
        message: &str,
    ) -> Result<String, Failure> {
        let failed = |error: git2::Error| {
            Failure::new(
                Exit::Temporary,
                "git::write",
                format!("tag {name} could not be made"),
            )
            .because(error.message())
            .hint("check the disk and run again")
        };
        let target = self.find(commit)?;
        let identity = git2::Signature::new(
            IDENTITY.0,
            IDENTITY.1,
            &git2::Time::new(target.time().seconds(), 0),
        )
        .map_err(failed)?;
        let tag = self
            .git
            .tag_annotation_create(name.as_str(), target.as_object(), &identity, message)
            .map_err(failed)?;
        Ok(tag.to_string())
    }

    /// Moves the work tree and `HEAD` from a commit to its descendant. Refuses to touch a file that differs from `HEAD`.
    pub fn fast_forward(&self, to: &CommitId) -> Result<(), Failure> {
        let failed = |error: git2::Error| {
            Failure::new(
                Exit::Refused,
                "git::checkout",
                format!("the work tree could not move to {}", to.short()),
            )
            .because(error.message())
            .hint("commit or stash your changes and run again")
        };
        let target = self.find(to)?;
        let mut checkout = git2::build::CheckoutBuilder::new();
        checkout.safe();
        self.git
            .checkout_tree(target.as_object(), Some(&mut checkout))
            .map_err(failed)?;
        match self.git.head().map_err(failed)? {
            mut head if head.is_branch() => {
                head.set_target(target.id(), "pkgs-action: fast-forward to the release")
                    .map_err(failed)?;
            }
            _ => self.git.set_head_detached(target.id()).map_err(failed)?,
        }
        Ok(())
    }

    /// Clones the repository into a new directory, at a commit, sharing its objects.
    pub fn clone_at(&self, commit: &CommitId, into: &Path) -> Result<Repo, Failure> {
        let failed = |error: git2::Error| {
            Failure::new(
                Exit::Temporary,
                "git::clone",
                "the repository could not be cloned",
            )
            .because(error.message())
            .hint("check the disk and run again")
        };
        let clone = Repository::init(into).map_err(failed)?;
        clone
            .odb()
            .and_then(|odb| {
                odb.add_disk_alternate(&self.common_directory().join("objects").to_string_lossy())
            })
            .map_err(failed)?;
        std::fs::write(
            into.join(".git/objects/info/alternates"),
            format!("{}\n", self.common_directory().join("objects").display()),
        )
        .map_err(|error| {
            Failure::new(
                Exit::Temporary,
                "git::clone",
                "the repository could not be cloned",
            )
            .because(error)
        })?;
        let clone = Repository::open(into).map_err(failed)?;
        clone
            .set_head_detached(Oid::from_str(commit.as_str()).map_err(failed)?)
            .map_err(failed)?;
        clone
            .checkout_head(Some(git2::build::CheckoutBuilder::new().force()))
            .map_err(failed)?;
        Ok(Repo {
            git: clone,
            root: into.to_path_buf(),
            trees: Trees::default(),
        })
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

    /// Makes a repository of the files in `directory`: one commit on `branch`, made at `moment` (seconds since 1970).
    pub fn create(directory: &Path, branch: &str, moment: i64) -> Result<Repo, Failure> {
        let failed = |error: git2::Error| {
            Failure::new(
                Exit::Temporary,
                "git::create",
                "a repository could not be made",
            )
            .because(error.message())
        };
        let git = Repository::init_opts(
            directory,
            git2::RepositoryInitOptions::new().initial_head(branch),
        )
        .map_err(failed)?;
        let mut index = git.index().map_err(failed)?;
        index
            .add_all(["*"], git2::IndexAddOption::DEFAULT, None)
            .map_err(failed)?;
        index.write().map_err(failed)?;
        let tree = index.write_tree().map_err(failed)?;
        let identity = git2::Signature::new(IDENTITY.0, IDENTITY.1, &git2::Time::new(moment, 0))
            .map_err(failed)?;
        git.commit(
            Some("HEAD"),
            &identity,
            &identity,
            "feat: the sample",
            &git.find_tree(tree).map_err(failed)?,
            &[],
        )
        .map_err(failed)?;
        drop(index);
        Repo::open(directory)
    }

    /// Clones `branch` at the commit checked out, with all tags, into a new bare repository `origin` and a new checkout `work` of it. Both borrow
    /// this repository's objects; nothing is written here.
    pub fn clone_for_rehearsal(
        &self,
        origin: &Path,
        work: &Path,
        branch: &str,
    ) -> Result<Repo, Failure> {
        let failed = |error: git2::Error| {
            Failure::new(
                Exit::Temporary,
                "git::clone",
                "the repository could not be cloned",
            )
            .because(error.message())
            .hint("check the disk and run again")
        };
        let disk = |error: std::io::Error| {
            Failure::new(
                Exit::Temporary,
                "git::clone",
                "the repository could not be cloned",
            )
            .because(error)
            .hint("check the disk and run again")
        };
        let head = self.head()?;
        let oid = Oid::from_str(head.as_str()).map_err(failed)?;
        let objects = self
            .common_directory()
            .join("objects")
            .canonicalize()
            .map_err(disk)?;
        let borrow = |git_directory: &Path| {
            std::fs::write(
                git_directory.join("objects/info/alternates"),
                format!("{}\n", objects.display()),
            )
            .map_err(disk)
        };
        Repository::init_opts(
            origin,
            git2::RepositoryInitOptions::new()
                .bare(true)
                .initial_head(branch),
        )
        .map_err(failed)?;
        borrow(origin)?;
        let bare = Repository::open_bare(origin).map_err(failed)?;
        bare.reference(&format!("refs/heads/{branch}"), oid, true, "rehearsal")
            .map_err(failed)?;
        let clone = Repository::init_opts(
            work,
            git2::RepositoryInitOptions::new().initial_head(branch),
        )
        .map_err(failed)?;
        borrow(clone.path())?;
        let clone = Repository::open(work).map_err(failed)?;
        for tag in self.tags()? {
            let object = Oid::from_str(&tag.object).map_err(failed)?;
            bare.reference(&tag.name.as_ref_name(), object, true, "rehearsal")
                .map_err(failed)?;
            clone
                .reference(&tag.name.as_ref_name(), object, true, "rehearsal")
                .map_err(failed)?;
        }
        clone
            .remote("origin", &origin.to_string_lossy())
            .map_err(failed)?;
        clone
            .reference(&format!("refs/heads/{branch}"), oid, true, "rehearsal")
            .map_err(failed)?;
        clone
            .checkout_head(Some(git2::build::CheckoutBuilder::new().force()))
            .map_err(failed)?;
        drop(clone);
        Repo::open(work)
    }

    /// Commits one new file on the branch checked out, as our own identity, at `moment` (seconds since 1970).
    pub fn commit_file(
        &self,
        path: &RepoPath,
        bytes: &[u8],
        message: &str,
        moment: i64,
    ) -> Result<CommitId, Failure> {
        let failed = |error: git2::Error| {
            Failure::new(Exit::Temporary, "git::write", "a commit could not be made")
                .because(error.message())
        };
        let parent = self.find(&self.head()?)?;
        let mut builder = git2::build::TreeUpdateBuilder::new();
        builder.upsert(
            path.as_str(),
            self.git.blob(bytes).map_err(failed)?,
            git2::FileMode::Blob,
        );
        let tree = builder
            .create_updated(&self.git, &parent.tree().map_err(failed)?)
            .map_err(failed)?;
        let identity = git2::Signature::new(IDENTITY.0, IDENTITY.1, &git2::Time::new(moment, 0))
            .map_err(failed)?;
        let commit = self
            .git
            .commit(
                None,
                &identity,
                &identity,
                message,
                &self.git.find_tree(tree).map_err(failed)?,
                &[&parent],
            )
            .map_err(failed)?;
        let commit = commit_id(commit);
        self.fast_forward(&commit)?;
        Ok(commit)
    }

    /// Notes locally what a remote was seen to hold: tags that are not here yet, and where its branch is.
    pub fn note_remote(
        &self,
        remote: &str,
        branch: &str,
        tip: &CommitId,
        tags: &[Tag],
    ) -> Result<(), Failure> {
        let failed = |error: git2::Error| {
            Failure::new(
                Exit::Temporary,
                "git::write",
                "what the remote holds could not be noted",
            )
            .because(error.message())
            .hint("run again")
        };
        for tag in tags {
            let oid = Oid::from_str(&tag.object).map_err(failed)?;
            match self.git.reference(
                &tag.name.as_ref_name(),
                oid,
                false,
                "pkgs-action: seen on the remote",
            ) {
                Err(error) if error.code() != git2::ErrorCode::Exists => return Err(failed(error)),
                _ => {}
            }
        }
        let oid = Oid::from_str(tip.as_str()).map_err(failed)?;
        self.git
            .reference(
                &format!("refs/remotes/{remote}/{branch}"),
                oid,
                true,
                "pkgs-action: seen on the remote",
            )
            .map_err(failed)?;
        Ok(())
    }

    /// The id that `bytes` would have as a file.
    pub fn blob_id(bytes: &[u8]) -> Option<String> {
        Oid::hash_object(ObjectType::Blob, bytes)
            .ok()
            .map(|oid| oid.to_string())
    }
}
