//! The repository on disk, read and written without a child process.

mod clones;
mod files;
mod history;
mod index;
mod moves;
mod objects;
mod tags;
mod trees;
mod work_tree;
mod write;

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Odb, Oid, Repository, Tree};

use crate::explain::{Exit, Failure, quoted};
use crate::name::CommitId;
pub use files::{Directory, FileAt};
pub use history::{Bits, History, WalkedCommit};
pub use tags::{Tag, TagMessage, Tagged, Tags};
use trees::Trees;
pub use work_tree::Snapshot;
pub use write::{FileEdit, IDENTITY};

/// A repository on disk.
pub struct Repo {
    git: Repository,
    root: PathBuf,
    trees: Trees,
}

/// An object's id, for comparing: the same id means the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectId(Oid);

/// What a thread answered; its panic goes on here.
pub fn joined<R>(thread: std::thread::ScopedJoinHandle<'_, R>) -> R {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn broken(what: impl Into<String>, error: &git2::Error) -> Failure {
    // An extension of git's index that must be understood, and is not: a sparse index, or a split one.
    let hint = if error.message().contains("mandatory extension") {
        "`git sparse-checkout reapply --no-sparse-index` and `git update-index --no-split-index` write the index as every reader of it knows it"
    } else {
        "`git fsck` tells whether the repository is damaged"
    };
    Failure::new(Exit::Refused, "git::read", what)
        .because(error.message())
        .hint(hint)
}

/// The value of each hexadecimal digit; [`NO_DIGIT`] of every other byte.
const HEX: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        values[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

const NO_DIGIT: u8 = 16;

/// An id as git's own files hold it: 40 hexadecimal digits. The refs of a large repository are tens of thousands of them.
fn object_id(hex: &[u8]) -> Option<Oid> {
    let (pairs, rest) = hex.as_chunks::<2>();
    let mut id = [0; 20];
    if pairs.len() != id.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in id.iter_mut().zip(pairs) {
        let (high, low) = (HEX[usize::from(*high)], HEX[usize::from(*low)]);
        if high.max(low) == NO_DIGIT {
            return None;
        }
        *byte = high << 4 | low;
    }
    Oid::from_bytes(&id).ok()
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
            let why = error.message();
            if why.contains("extension") || why.contains("object format") {
                return Failure::new(
                    Exit::Usage,
                    "git::unsupported",
                    format!("the git repository of {} is of a kind that is not supported", directory.display()),
                )
                .because(why)
                .hint("objects must have SHA-1 names and refs be files: `git rev-parse --show-object-format --show-ref-format` says what it has; clone into a repository with `--ref-format=files`");
            }
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
            .map_err(|error| match error.code() {
                ErrorCode::UnbornBranch => Failure::new(
                    Exit::Usage,
                    "git::no_commit",
                    "the repository has no commit yet",
                )
                .because(error.message())
                .hint("commit something first"),
                _ => broken("the commit checked out cannot be read", &error),
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

    /// The remote that has the objects which this clone leaves out (`git clone --filter`), if it is such a clone.
    pub fn partial_from(&self) -> Option<String> {
        let mut remotes = self.remotes().into_iter();
        let config = self.git.config().ok()?;
        remotes.find(|remote| {
            config
                .get_bool(&format!("remote.{remote}.promisor"))
                .is_ok_and(|is_partial| is_partial)
        })
    }

    /// Whether this clone was told to leave the tags of a remote out (`git clone --no-tags`).
    pub fn leaves_tags_out(&self, remote: &str) -> bool {
        let option = self
            .git
            .config()
            .and_then(|config| config.get_string(&format!("remote.{remote}.tagOpt")));
        option.is_ok_and(|option| option == "--no-tags")
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
                .because(match error.message() {
                    // What git's library says of `HEAD~1` at the first commit.
                    message if message.starts_with("parent ") => "the history here begins after it",
                    message => message,
                })
                .hint(if self.is_shallow() {
                    "fetch the whole history first: actions/checkout with fetch-depth: 0, or `git fetch --unshallow`"
                } else {
                    "name a commit, branch or tag that is here; `git fetch --tags` brings those of the remote"
                })
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

    fn objects(&self) -> Result<Odb<'_>, Failure> {
        self.git
            .odb()
            .map_err(|error| broken("the object store cannot be opened", &error))
    }
}
