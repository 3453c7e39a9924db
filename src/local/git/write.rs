//! Making commits and tags as objects, and moving what is checked out. Refs move only in [`Repo::fast_forward`], [`Repo::note_remote`],
//! [`Repo::add_tags`] and [`Repo::remove_tags`].

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use git2::{Oid, Repository};

use super::objects::{FileChange, NewObjects};
use super::{Repo, Tag, commit_id};
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, RepoPath, TagName};

/// Our identity in release commits and tags: fixed, so that the same release has the same id on every machine.
pub const IDENTITY: (&str, &str) = ("pkgs-action", "pkgs-action@users.noreply.github.com");

/// A file of a release commit that differs from its parent: path and new bytes; `None` removes it.
pub type FileEdit = (RepoPath, Option<Vec<u8>>);

fn not_written(what: impl Into<String>, error: &git2::Error) -> Failure {
    let hint = if error.code() == git2::ErrorCode::Locked {
        "another git is at work here, or was killed: when none is, remove the lock (`find .git -name '*.lock'`) and run again"
    } else {
        "check the disk and run again"
    };
    Failure::new(Exit::Temporary, "git::write", what)
        .because(error.message())
        .hint(hint)
}

fn not_moved(to: &CommitId, why: &str, hint: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "git::checkout",
        format!("the work tree could not move to {}", to.short()),
    )
    .because(why)
    .hint(hint)
}

fn tag_exists(name: &TagName) -> Failure {
    Failure::new(
        Exit::Refused,
        "git::tag_exists",
        format!("tag {name} is here already, and names something else"),
    )
    .hint("delete it, or raise the version in package.json above it")
}

/// Our identity at a moment, in seconds since 1970.
fn identity(moment: i64) -> Result<git2::Signature<'static>, git2::Error> {
    git2::Signature::new(IDENTITY.0, IDENTITY.1, &git2::Time::new(moment, 0))
}

impl Repo {
    /// Makes a release commit as an object: `parent`'s tree with `edits`, our identity, both dates those of `parent`. The same input gives the same id on every machine; no ref moves.
    pub fn make_commit(
        &self,
        parent: &CommitId,
        edits: &[FileEdit],
        message: &str,
    ) -> Result<CommitId, Failure> {
        let failed = |error| not_written("the release commit could not be made", &error);
        let mut new = NewObjects::default();
        let commit = self
            .new_commit(&mut new, parent, edits, message)
            .map_err(failed)?;
        self.write_objects(&new).map_err(failed)?;
        Ok(commit_id(commit))
    }

    fn new_commit<'b>(
        &self,
        new: &mut NewObjects<'b>,
        parent: &CommitId,
        edits: &'b [FileEdit],
        message: &str,
    ) -> Result<Oid, git2::Error> {
        let parent = self.git.find_commit(Oid::from_str(parent.as_str())?)?;
        let changes: Vec<FileChange<'b>> = edits
            .iter()
            .map(|(path, content)| (path.as_str(), content.as_deref()))
            .collect();
        let tree = new.tree(self, parent.tree_id(), &changes)?;
        new.commit(tree, parent.id(), parent.time().seconds(), message)
    }

    /// Makes a release commit as [`Repo::make_commit`] does, or takes `parent` itself where there are no edits and it `may_stand`, and annotated tags
    /// of it, with our identity and its date; all of it comes to the disk at once, and no ref moves. Gives the commit and the tags' objects, in their order.
    pub fn make_release(
        &self,
        (parent, may_stand): (&CommitId, bool),
        edits: &[FileEdit],
        message: &str,
        tags: &[(TagName, String)],
    ) -> Result<(CommitId, Vec<String>), Failure> {
        let failed = |error| not_written("the release commit could not be made", &error);
        let mut new = NewObjects::default();
        let moment = self.find(parent)?.time().seconds();
        let commit = if edits.is_empty() && may_stand {
            Oid::from_str(parent.as_str()).map_err(failed)?
        } else {
            self.new_commit(&mut new, parent, edits, message)
                .map_err(failed)?
        };
        let mut objects = Vec::with_capacity(tags.len());
        for (name, message) in tags {
            let tag = new
                .tag(name.as_str(), commit, moment, message)
                .map_err(|error| not_written(format!("tag {name} could not be made"), &error))?;
            objects.push(tag.to_string());
        }
        self.write_objects(&new).map_err(failed)?;
        Ok((commit_id(commit), objects))
    }

    /// Makes the merge of a release commit into the branch as an object: parents `tip` and `release`, our identity, both dates those of `tip`.
    /// The same input gives the same id on every machine; no ref moves. The inner error is a path that both sides changed.
    pub fn merge_release(
        &self,
        tip: &CommitId,
        release: &CommitId,
    ) -> Result<Result<CommitId, String>, Failure> {
        let failed = |error| not_written("the merge of the release could not be made", &error);
        let (tip, release) = (self.find(tip)?, self.find(release)?);
        let base = self
            .git
            .merge_base(tip.id(), release.id())
            .and_then(|base| self.git.find_commit(base))
            .map_err(failed)?;
        let mut options = git2::MergeOptions::new();
        // A file that was moved is a conflict: what the release wrote belongs where it was built.
        options.find_renames(false);
        let [base, ours, theirs] =
            [&base, &tip, &release].map(|commit| commit.tree().map_err(failed));
        let mut index = self
            .git
            .merge_trees(&base?, &ours?, &theirs?, Some(&options))
            .map_err(failed)?;
        let mut conflicts = index.conflicts().map_err(failed)?;
        if let Some(conflict) = conflicts.next() {
            let conflict = conflict.map_err(failed)?;
            let side = conflict.their.or(conflict.our).or(conflict.ancestor);
            let path = side.map(|side| String::from_utf8_lossy(&side.path).into_owned());
            return Ok(Err(path.unwrap_or_default()));
        }
        drop(conflicts);
        let tree = index.write_tree_to(&self.git).map_err(failed)?;
        let tree = self.git.find_tree(tree).map_err(failed)?;
        let identity = identity(tip.time().seconds()).map_err(failed)?;
        let message = format!(
            "chore: merge the release {}\n",
            &release.id().to_string()[..12]
        );
        let parents = [&tip, &release];
        let commit = self
            .git
            .commit(None, &identity, &identity, &message, &tree, &parents)
            .map_err(failed)?;
        Ok(Ok(commit_id(commit)))
    }

    /// Whether a commit is what [`Repo::merge_release`] makes of its first parent and a release.
    pub fn is_merge_of_release(
        &self,
        commit: &CommitId,
        is_release: impl Fn(&CommitId) -> bool,
    ) -> bool {
        let Ok(found) = self.find(commit) else {
            return false;
        };
        let parents: Vec<CommitId> = found.parent_ids().map(commit_id).collect();
        let [tip, release] = parents.as_slice() else {
            return false;
        };
        is_release(release)
            && self.is_made_by_us(commit)
            && matches!(self.merge_release(tip, release), Ok(Ok(made)) if made == *commit)
    }

    /// Makes an annotated tag as an object, with our identity and the date of `commit`; no ref moves. Gives the object's id.
    pub fn make_tag(
        &self,
        name: &TagName,
        commit: &CommitId,
        message: &str,
    ) -> Result<String, Failure> {
        let failed = |error| not_written(format!("tag {name} could not be made"), &error);
        let target = self.find(commit)?;
        let identity = identity(target.time().seconds()).map_err(failed)?;
        let tag = self
            .git
            .tag_annotation_create(name.as_str(), target.as_object(), &identity, message)
            .map_err(failed)?;
        Ok(tag.to_string())
    }

    /// Moves the work tree and `HEAD` to a descendant of where `HEAD` is. Refuses to touch a file that differs from `HEAD`, and to leave a commit
    /// behind that somebody made meanwhile.
    ///
    /// # Errors
    /// `git::checkout`, exit 3.
    pub fn fast_forward(&self, to: &CommitId) -> Result<(), Failure> {
        let hint = "commit or stash your changes and run again";
        let failed = |error: git2::Error| not_moved(to, error.message(), hint);
        let target = self.find(to)?;
        let mut in_the_way = Vec::new();
        let head = self.git.head().map_err(failed)?;
        let from = head.peel_to_commit().map_err(failed)?.id();
        let leads_there = from == target.id()
            || (self.git.graph_descendant_of(target.id(), from)).map_err(failed)?;
        if !leads_there {
            let why = format!("HEAD is at {from} by now, which does not lead there");
            return Err(not_moved(
                to,
                &why,
                "nothing of yours was touched; `git pull` brings both together",
            ));
        }
        let checked_out = self.check_out(&target, &mut in_the_way);
        checked_out.map_err(|error| match in_the_way.as_slice() {
            [] => failed(error),
            paths => failed(error).because(format!("changed here: {}", paths.join(", "))),
        })?;
        if let (true, Ok(name)) = (head.is_branch(), head.name()) {
            let log = "pkgs-action: fast-forward to the release";
            self.git
                .reference_matching(name, target.id(), true, from, log)
                .map_err(failed)?;
        } else {
            self.git.set_head_detached(target.id()).map_err(failed)?;
        }
        Ok(())
    }

    /// Brings work tree and index to a commit. Only the files that differ from `HEAD` are looked at, for a large work tree takes long to look
    /// through; where one of them does not lie in a directory, what is in its place must be found first, and everything is looked at.
    /// The first files that differ from `HEAD` and keep it from moving go to `in_the_way`.
    fn check_out(
        &self,
        target: &git2::Commit<'_>,
        in_the_way: &mut Vec<String>,
    ) -> Result<(), git2::Error> {
        const NAMED: usize = 10;
        let mut checkout = git2::build::CheckoutBuilder::new();
        checkout.safe().disable_pathspec_match(true);
        checkout.notify_on(git2::CheckoutNotificationType::CONFLICT);
        checkout.notify(|_, path, _, _, _| {
            let path = path.filter(|_| in_the_way.len() < NAMED);
            in_the_way.extend(path.map(|path| path.display().to_string()));
            true
        });
        let old = self.git.head()?.peel_to_tree()?;
        let diff = self
            .git
            .diff_tree_to_tree(Some(&old), Some(&target.tree()?), None)?;
        let paths = diff.deltas().flat_map(|delta| {
            let sides = [delta.old_file(), delta.new_file()];
            sides.map(|side| side.path_bytes().map(<[u8]>::to_vec))
        });
        let paths: BTreeSet<Vec<u8>> = paths.flatten().collect();
        if paths.is_empty() {
            return Ok(());
        }
        if self.lie_in_directories(paths.iter().map(Vec::as_slice)) {
            for path in &paths {
                checkout.path(path.as_slice());
            }
        }
        self.git
            .checkout_tree(target.as_object(), Some(&mut checkout))
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
        let identity = identity(moment).map_err(failed)?;
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

    /// Commits one new file on the branch checked out, as our own identity, at `moment` (seconds since 1970).
    pub fn commit_file(
        &self,
        path: &RepoPath,
        bytes: &[u8],
        message: &str,
        moment: i64,
    ) -> Result<CommitId, Failure> {
        let failed = |error| not_written("a commit could not be made", &error);
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
        let identity = identity(moment).map_err(failed)?;
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

    /// Makes tags of objects that [`Repo::make_release`] made.
    ///
    /// # Errors
    /// `git::tag_exists`, exit 3, where one of them names something else already.
    pub fn add_tags(&self, tags: &[Tag]) -> Result<(), Failure> {
        let failed =
            |tag: &Tag, error| not_written(format!("tag {} could not be made", tag.name), &error);
        if let Some((tag, present)) = self.clash(tags)? {
            let error = git2::Error::from_str(&format!("the tag {present} is in its way"));
            return Err(failed(tag, error));
        }
        for tag in tags {
            self.add_tag(tag).map_err(|error| failed(tag, error))??;
        }
        Ok(())
    }

    /// libgit2's own way to make a ref compares its name with every ref there is, each time; this one looks under the ref's lock for it alone.
    fn add_tag(&self, tag: &Tag) -> Result<Result<(), Failure>, git2::Error> {
        let oid = Oid::from_str(&tag.object)?;
        let name = tag.name.as_ref_name();
        let mut transaction = self.git.transaction()?;
        transaction.lock_ref(&name)?;
        match self.git.refname_to_id(&name) {
            Ok(present) if present == oid => return Ok(Ok(())),
            Ok(_) => return Ok(Err(tag_exists(&tag.name))),
            Err(error) if error.code() != git2::ErrorCode::NotFound => return Err(error),
            Err(_) => {}
        }
        transaction.set_target(&name, oid, None, "pkgs-action: decided")?;
        transaction.commit().map(Ok)
    }

    /// A tag that cannot be beside one that is here, as `a/b` cannot beside `a`: each is a directory or a file.
    fn clash<'t>(&self, tags: &'t [Tag]) -> Result<Option<(&'t Tag, TagName)>, Failure> {
        fn above(name: &str) -> impl Iterator<Item = &str> {
            name.match_indices('/').map(|(end, _)| &name[..end])
        }
        let here = self.tag_names()?;
        let here: HashMap<&str, &TagName> =
            here.names().map(|name| (name.as_str(), name)).collect();
        let new: HashMap<&str, &Tag> = tags.iter().map(|tag| (tag.name.as_str(), tag)).collect();
        let below_new = here.iter().find_map(|(name, present)| {
            let tag = above(name).find_map(|name| new.get(name))?;
            Some((*tag, (*present).clone()))
        });
        let above_new = tags.iter().find_map(|tag| {
            let present = above(tag.name.as_str()).find_map(|name| here.get(name))?;
            Some((tag, (*present).clone()))
        });
        Ok(below_new.or(above_new))
    }

    /// Removes tags that are here only.
    pub fn remove_tags(&self, names: &[TagName]) -> Result<(), Failure> {
        for name in names {
            let failed = |error| not_written(format!("tag {name} could not be removed"), &error);
            let removed = self.git.find_reference(&name.as_ref_name());
            match removed.and_then(|mut reference| reference.delete()) {
                Err(error) if error.code() != git2::ErrorCode::NotFound => {
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes locally what a remote was seen to hold: tags that are not here yet, and where its branch is.
    pub fn note_remote(
        &self,
        remote: &str,
        branch: &str,
        tip: &CommitId,
        tags: &[Tag],
    ) -> Result<(), Failure> {
        let failed = |error| not_written("what the remote holds could not be noted", &error);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_made_where_nothing_is_in_their_way() {
        for packed in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("a"), "a").unwrap();
            let repo = Repo::create(directory.path(), "main", 0).unwrap();
            let head = repo.head().unwrap();
            let tag = |name: &str| {
                let name = TagName::parse(name).unwrap();
                let message = name.to_string();
                let made = repo.make_release((&head, true), &[], "", &[(name.clone(), message)]);
                let object = made.unwrap().1.remove(0);
                Tag { name, object }
            };
            let first = [tag("@x/a@1.0.0"), tag("b/c/d")];
            repo.add_tags(&first).unwrap();
            if packed {
                let packed = std::process::Command::new("git")
                    .arg("-C")
                    .arg(directory.path())
                    .args(["pack-refs", "--all"])
                    .status();
                assert!(packed.unwrap().success());
            }
            let all = || repo.tags().unwrap();
            assert_eq!(all(), first);
            for name in ["@x", "b/c", "b/c/d/e"] {
                let failure = repo.add_tags(&[tag("new"), tag(name)]).unwrap_err();
                assert_eq!(failure.code(), "git::write");
                assert!(failure.causes()[0].contains("in its way"), "{failure:?}");
                assert_eq!(all(), first);
            }
            // The same again is no other; another object under a name that is taken is.
            repo.add_tags(&first).unwrap();
            let other = Tag {
                object: head.to_string(),
                ..first[0].clone()
            };
            let failure = repo.add_tags(&[other]).unwrap_err();
            assert_eq!(failure.code(), "git::tag_exists");
            repo.add_tags(&[tag("b/c/e")]).unwrap();
            assert_eq!(all().len(), 3);
        }
    }

    /// What lies untracked where a move writes stays, and nothing moves.
    #[test]
    fn a_move_goes_around_nothing_that_is_in_its_way() {
        for (blocked, added) in [
            ("x", "x/y"),
            ("new", "new"),
            ("new/inner", "new"),
            ("d/new", "d/new"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::create_dir(directory.path().join("d")).unwrap();
            for file in ["a", "d/b"] {
                std::fs::write(directory.path().join(file), "old").unwrap();
            }
            let repo = Repo::create(directory.path(), "main", 0).unwrap();
            let head = repo.head().unwrap();
            let edits = ["a", added].map(|path| {
                let path = RepoPath::parse(path).unwrap();
                (path, Some(b"new".to_vec()))
            });
            let new = repo.make_commit(&head, &edits, "new").unwrap();
            let file = directory.path().join(blocked);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "mine").unwrap();
            let failure = repo.fast_forward(&new).unwrap_err();
            assert_eq!(failure.code(), "git::checkout", "{blocked}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
            let text = std::fs::read_to_string(directory.path().join("a"));
            assert_eq!(text.unwrap(), "old", "{blocked}");
            assert_eq!(repo.head().unwrap(), head);
            std::fs::remove_file(&file).unwrap();
            repo.fast_forward(&new).unwrap();
            let text = std::fs::read_to_string(directory.path().join(added));
            assert_eq!(text.unwrap(), "new");
            assert!(!repo.is_dirty().unwrap());
        }
    }
}
