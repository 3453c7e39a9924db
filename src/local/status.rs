//! How the work tree differs from `HEAD`, as git itself sees it: with the filters, line ends and attributes that git is configured with.
//!
//! libgit2 knows no filter programs, so a file of git-lfs may look changed to it; what it calls clean is clean. git is asked where
//! it matters: in an environment without secrets, because filters are programs of others, and without writing the index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::explain::{Exit, Failure};
use crate::local::git::Repo;
use crate::local::git_program;
use crate::local::process::{Variables, allowed};
use crate::local::scratch::Scratch;
use crate::name::RepoPath;

/// Tracked files that differ from `HEAD`, in order.
///
/// # Errors
/// `git::missing`, `git::status`.
pub fn dirty(repo: &Repo, environment: &Variables) -> Result<Vec<RepoPath>, Failure> {
    if !repo.is_dirty()? {
        return Ok(Vec::new());
    }
    let differing = Git::new(repo, environment, None).differing()?;
    Ok(differing.into_iter().collect())
}

/// Files that git was told not to look at (`assume-unchanged`, `skip-worktree`) and that are not what `HEAD` holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// There, with another content.
    pub changed: Vec<RepoPath>,
    /// Not there, as everything that a sparse checkout leaves out.
    pub absent: Vec<RepoPath>,
}

/// Looks where git was told not to look. Costs nothing where it was told nothing.
///
/// # Errors
/// `git::missing`, `git::status`, those of [`Scratch::new`].
pub fn unseen(repo: &Repo, environment: &Variables) -> Result<Unseen, Failure> {
    let hidden = repo.hidden()?;
    if hidden.is_empty() {
        return Ok(Unseen::default());
    }
    let scratch = Scratch::new()?;
    let index = scratch.path().join("index");
    copy_index(&repo.git_directory().join("index"), &index).map_err(|error| unanswered(&error))?;
    // In the copy nothing is hidden.
    let git = Git::new(repo, environment, Some(&index));
    let names: Vec<&str> = hidden.iter().map(RepoPath::as_str).collect();
    for flag in ["--no-assume-unchanged", "--no-skip-worktree"] {
        git.run(&["update-index", flag, "-z", "--stdin"], &names.join("\0"))?;
    }
    let differing = git.differing()?;
    let (changed, absent) = hidden
        .into_iter()
        .filter(|path| differing.contains(path))
        .partition(|path| std::fs::symlink_metadata(repo.root().join(path.as_str())).is_ok());
    Ok(Unseen { changed, absent })
}

/// With its time of change: by it git knows which files were written too shortly before to trust their times.
fn copy_index(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to)?;
    let changed = std::fs::metadata(from)?.modified()?;
    File::options().write(true).open(to)?.set_modified(changed)
}

/// git, asked about one work tree.
struct Git<'a> {
    repo: &'a Repo,
    variables: BTreeMap<String, String>,
    index: Option<&'a Path>,
}

impl<'a> Git<'a> {
    fn new(repo: &'a Repo, environment: &Variables, index: Option<&'a Path>) -> Git<'a> {
        Git {
            repo,
            variables: allowed(environment),
            index,
        }
    }

    fn differing(&self) -> Result<BTreeSet<RepoPath>, Failure> {
        let answer = self.run(
            &[
                "status",
                "--porcelain=v1",
                "-z",
                "--untracked-files=no",
                "--no-renames",
            ],
            "",
        )?;
        // Each record is two letters, a space and the path.
        answer
            .split('\0')
            .filter_map(|record| record.get(3..))
            .map(RepoPath::parse)
            .collect()
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<String, Failure> {
        let mut command = Command::new("git");
        command
            .args([
                "--no-optional-locks",
                "-c",
                "core.fsmonitor=false",
                "-c",
                "safe.directory=*",
            ])
            .args(arguments)
            .current_dir(self.repo.root())
            .env_clear()
            .envs(&self.variables)
            .env("LC_ALL", "C");
        if let Some(index) = self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        let output = git_program::run(&mut command, input)?.map_err(|error| unanswered(&error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(unanswered(&String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn unanswered(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Refused,
        "git::status",
        "git could not tell how the work tree differs from its commit",
    )
    .because(why)
    .hint("run `git status` and mend what it says")
}
