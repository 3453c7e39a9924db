//! What git says before anything is decided: the branch, its tip on the remote, the releases it holds, and where the commit checked out stands.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::Session;
use crate::commands::decisions::{self, Decision};
use crate::explain::{Exit, Failure};
use crate::local::git::Tag;
use crate::local::push::{Remote, Seen};
use crate::local::worktree;
use crate::name::{CommitId, TagName};
use crate::plan::next::{Position, position};
use crate::settings::WhenMoved;

/// The most commits that may lie between the commit checked out and the tip.
const MOST_BETWEEN: usize = 10_000;

/// The facts that git holds.
pub struct Scene<'a> {
    /// The remote that decides.
    pub remote: Remote<'a>,
    /// The release branch.
    pub branch: String,
    /// Its tip on the remote.
    pub tip: CommitId,
    /// The commit checked out.
    pub head: CommitId,
    /// Where that stands.
    pub position: Position,
    /// The releases that tags of ours mark, by commit.
    pub decisions: BTreeMap<CommitId, Decision>,
    /// Whether the commit checked out is released although others pushed since: that is asked for, and nothing was released after it.
    pub merges: bool,
    /// The commits of releases that were given up.
    given_up: BTreeSet<CommitId>,
    seen: Seen,
}

impl<'a> Scene<'a> {
    /// Looks at the remote and brings what is missing here.
    ///
    /// # Errors
    /// Exit 3 on a wrong branch, when the commit is not part of it, or when a tag here differs from the remote's.
    pub fn read(session: &Session<'a>) -> Result<Scene<'a>, Failure> {
        let repo = session.repo;
        let remote = Remote::open(repo, session.address()?)?;
        let branch = session.release_branch(Some(&remote))?;
        let (seen, tip) = fetch(session, &remote, &branch)?;
        let decisions = decisions::read(repo, &seen);
        let head = repo.head()?;
        let mut is_first = false;
        let position = if repo.is_ancestor(&head, &tip)? {
            match repo.between(&head, &tip, MOST_BETWEEN)? {
                // A commit of others that was released as it was is still a commit that this run was not started for.
                Some(between) => {
                    is_first = !between.iter().any(|commit| decisions.contains_key(commit));
                    position(Some(&between), |commit| {
                        let is_release = |commit: &CommitId| decisions.contains_key(commit);
                        is_release(commit) && repo.is_made_by_us(commit)
                            || repo.is_merge_of_release(commit, is_release)
                    })
                }
                None => Position::Superseded,
            }
        } else {
            Position::Elsewhere
        };
        if position == Position::Elsewhere {
            let is_only_ahead = repo.is_ancestor(&tip, &head)?;
            return Err(not_on_branch(session, &branch, &head, &tip, is_only_ahead));
        }
        let merges = position == Position::Superseded
            && session.settings.when_moved == WhenMoved::Merge
            && is_first;
        Ok(Scene {
            merges,
            remote,
            branch,
            tip,
            head,
            position,
            decisions,
            given_up: decisions::given_up(repo, &seen),
            seen,
        })
    }

    /// Refuses a commit that others pushed after, where a person is there: no run for theirs is on its way.
    pub fn require_newest(&self, session: &Session<'_>) -> Result<(), Failure> {
        if session.terminal.is_none() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            "release::behind",
            format!(
                "{} is at {} on the remote, ahead of {} here",
                self.branch,
                self.tip.short(),
                self.head.short()
            ),
        )
        .hint("pull first, then run again; nothing was released"))
    }

    /// Whether the release at a commit was given up.
    pub fn is_given_up(&self, commit: &CommitId) -> bool {
        self.given_up.contains(commit)
    }

    /// The tags that the remote holds.
    pub fn tags(&self) -> &[Tag] {
        &self.seen.tags
    }

    /// Whether the remote holds something else by now: what was judged on this scene must be judged again.
    pub fn has_moved(&self) -> bool {
        let now = self.remote.look(&self.branch);
        now.is_ok_and(|now| now != self.seen)
    }

    /// The commit that is planned on.
    pub fn planned(&self) -> &CommitId {
        if self.merges { &self.head } else { &self.tip }
    }

    /// Moves the work tree over our own release commits; a dry run leaves it where it is.
    pub fn move_to_tip(&self, session: &Session<'_>) -> Result<(), Failure> {
        if self.position != Position::BehindReleases || session.settings.dry_run {
            return Ok(());
        }
        worktree::require_clean(
            session.repo,
            &self.head,
            &session.settings.child_environment,
        )?;
        worktree::fast_forward(session.repo, &self.tip)?;
        tracing::info!(
            "moved to {}: only our own release commits lie between",
            self.tip.short()
        );
        Ok(())
    }

    /// What is built must be the commit that was planned on; only a dry run can stand elsewhere.
    pub fn require_tip(&self, session: &Session<'_>) -> Result<(), Failure> {
        if session.repo.head()? == *self.planned() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            "release::behind",
            format!(
                "the branch is at {}, so a dry run cannot build here",
                self.tip.short()
            ),
        )
        .hint("pull first"))
    }
}

/// That a commit is not on the branch of the remote. `is_only_ahead` tells whether all of that branch leads to it.
fn not_on_branch(
    session: &Session<'_>,
    branch: &str,
    head: &CommitId,
    tip: &CommitId,
    is_only_ahead: bool,
) -> Failure {
    let what = format!("{} is not part of {branch} on the remote", head.short());
    let failure = Failure::new(Exit::Refused, "release::not_on_branch", what);
    if is_only_ahead {
        return failure
            .because(format!("{branch} is at {} there", tip.short()))
            .hint("push your commits first, or check out the branch");
    }
    let remote = &session.settings.remote;
    failure
        .because(format!(
            "{branch} is at {} there, which is not in the history here: a release commit, or what others pushed",
            tip.short()
        ))
        .hint(format!(
            "pull first, then push your commits: git pull --rebase {remote} {branch} && git push {remote} HEAD:{branch}; or check out the branch"
        ))
}

/// Looks at the remote, brings what is missing, and refuses tags that differ between here and there.
fn fetch(
    session: &Session<'_>,
    remote: &Remote<'_>,
    branch: &str,
) -> Result<(Seen, CommitId), Failure> {
    let repo = session.repo;
    let seen = remote.look(branch)?;
    let Some(tip) = seen.tip.clone() else {
        return Err(Failure::new(
            Exit::Usage,
            "git::no_branch",
            format!("the remote has no branch {branch}"),
        )
        .hint("push it first, or name the release branch with `branch`"));
    };
    remote.fetch(branch, &seen)?;
    let here: BTreeMap<TagName, String> = repo
        .tags()?
        .into_iter()
        .map(|tag| (tag.name, tag.object))
        .collect();
    let differs = |tag: &&Tag| {
        here.get(&tag.name)
            .is_some_and(|object| *object != tag.object)
    };
    if let Some(tag) = seen.tags.iter().find(differs) {
        return Err(Failure::new(
            Exit::Refused,
            "git::tag_differs",
            format!(
                "tag {} names one thing here and another on the remote",
                tag.name
            ),
        )
        .because("tags are the record of what was released, so they must agree")
        .hint(format!(
            "delete the wrong one: git tag -d {} && git fetch --tags",
            tag.name
        )));
    }
    if !session.settings.dry_run {
        repo.note_remote(&session.settings.remote, branch, &tip, &seen.tags)?;
    }
    Ok((seen, tip))
}
