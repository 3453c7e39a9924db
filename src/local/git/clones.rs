//! Copies of a repository that borrow its objects: fast, and nothing is written to what they are made of.

use std::fmt::Display;
use std::path::Path;

use git2::build::CheckoutBuilder;
use git2::{Oid, Repository, RepositoryInitOptions};

use super::Repo;
use crate::explain::{Exit, Failure};
use crate::name::CommitId;

fn not_cloned(error: impl Display) -> Failure {
    Failure::new(
        Exit::Temporary,
        "git::clone",
        "the repository could not be cloned",
    )
    .because(error)
    .hint("check the disk and run again")
}

impl Repo {
    /// Clones the repository into a new directory, at a commit.
    pub fn clone_at(&self, commit: &CommitId, into: &Path) -> Result<Repo, Failure> {
        let clone = self.borrowing(into, &mut RepositoryInitOptions::new())?;
        let commit = Oid::from_str(commit.as_str()).map_err(not_cloned)?;
        clone.set_head_detached(commit).map_err(not_cloned)?;
        check_out(&clone)?;
        Repo::open(into)
    }

    /// Clones `branch` at the commit checked out, with all tags, into a new bare repository `origin` and a new checkout `work` of it.
    pub fn clone_for_rehearsal(
        &self,
        origin: &Path,
        work: &Path,
        branch: &str,
    ) -> Result<Repo, Failure> {
        let mut options = RepositoryInitOptions::new();
        let bare = self.borrowing(origin, options.bare(true).initial_head(branch))?;
        let mut options = RepositoryInitOptions::new();
        let clone = self.borrowing(work, options.initial_head(branch))?;
        let head = (format!("refs/heads/{branch}"), self.head()?.to_string());
        let tags = self.tags()?.into_iter();
        let tags = tags.map(|tag| (tag.name.as_ref_name(), tag.object));
        for (name, object) in tags.chain([head]) {
            let object = Oid::from_str(&object).map_err(not_cloned)?;
            for repository in [&bare, &clone] {
                repository
                    .reference(&name, object, true, "rehearsal")
                    .map_err(not_cloned)?;
            }
        }
        clone
            .remote("origin", &origin.to_string_lossy())
            .map_err(not_cloned)?;
        check_out(&clone)?;
        Repo::open(work)
    }

    /// A new repository that finds the objects of this one.
    fn borrowing(
        &self,
        directory: &Path,
        options: &mut RepositoryInitOptions,
    ) -> Result<Repository, Failure> {
        let objects = self.common_directory().join("objects");
        let objects = objects.canonicalize().map_err(not_cloned)?;
        let made = Repository::init_opts(directory, options).map_err(not_cloned)?;
        let alternates = made.path().join("objects/info/alternates");
        std::fs::write(alternates, format!("{}\n", objects.display())).map_err(not_cloned)?;
        // What is open already would not look there.
        Repository::open(directory).map_err(not_cloned)
    }
}

fn check_out(clone: &Repository) -> Result<(), Failure> {
    clone
        .checkout_head(Some(CheckoutBuilder::new().force()))
        .map_err(not_cloned)
}
