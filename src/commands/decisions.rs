//! Reading decisions from tags: which commits of the branch are releases of ours.

use std::collections::{BTreeMap, BTreeSet};

use crate::changes::tag;
use crate::commands::Session;
use crate::commands::scene::Scene;
use crate::explain::{Exit, Failure, quoted};
use crate::local::git::{Repo, Tag, TagMessage, Tagged};
use crate::local::push::Seen;
use crate::name::{CommitId, Integrity, PackageName, TagName};
use crate::plan::next::{ABANDONED, SealName, tag_lines};
use crate::settings::form::without_v;

/// What the tags of a release commit say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its tags of ours, in order of name.
    pub tags: Vec<TagName>,
    /// The seal that they name; `None`: released without a store.
    pub seal: Option<SealName>,
    /// Its libraries and the integrity of their tarballs.
    pub integrities: BTreeMap<PackageName, Integrity>,
}

impl Decision {
    /// Whether versions alone were decided, as `version` does: nothing was built before.
    pub fn is_of_versions(&self) -> bool {
        self.seal.is_none() && self.integrities.is_empty()
    }
}

/// Every commit that tags of ours name, with what they say. A tag without our lines is not ours.
pub fn read(repo: &Repo, seen: &Seen) -> BTreeMap<CommitId, Decision> {
    let tags = seen.tags.iter();
    of(tags.filter_map(|tag| Some((tag.name.clone(), repo.tag_message(&tag.object)?))))
}

/// What tags of ours here say of a commit; `None` where none names it.
pub fn at(repo: &Repo, tagged: &Tagged, commit: &CommitId) -> Option<Decision> {
    of(repo.tag_messages(tagged, commit)).remove(commit)
}

/// Whether tags of ours mark a commit.
pub fn is_released(repo: &Repo, commit: &CommitId) -> Result<bool, Failure> {
    Ok(at(repo, &repo.tagged()?, commit).is_some())
}

fn of(tags: impl IntoIterator<Item = (TagName, TagMessage)>) -> BTreeMap<CommitId, Decision> {
    let mut decisions: BTreeMap<CommitId, Decision> = BTreeMap::new();
    for (tag_name, message) in tags {
        let Some(lines) = tag_lines(&message.message) else {
            continue;
        };
        let decision = decisions.entry(message.commit).or_insert_with(|| Decision {
            tags: Vec::new(),
            seal: lines.seal.clone(),
            integrities: BTreeMap::new(),
        });
        let own = tag::read(&tag_name).and_then(|(name, _)| PackageName::parse(name?).ok());
        decision.tags.push(tag_name);
        for (name, integrity) in lines.integrities {
            if let Some(name) = name.or_else(|| own.clone()) {
                decision.integrities.insert(name, integrity);
            }
        }
    }
    decisions
}

/// The commits of releases that were given up.
pub fn given_up(repo: &Repo, seen: &Seen) -> BTreeSet<CommitId> {
    let tags = seen.tags.iter();
    let marks = tags.filter(|tag| tag.name.as_str().starts_with(ABANDONED));
    marks.filter_map(|tag| repo.peel(&tag.object)).collect()
}

/// The newest decision that the branch's tip leads back to.
pub fn newest(
    repo: &Repo,
    tip: &CommitId,
    decisions: &BTreeMap<CommitId, Decision>,
) -> Result<Option<CommitId>, Failure> {
    if decisions.is_empty() {
        return Ok(None);
    }
    let history = repo.history(tip)?;
    Ok(decisions
        .keys()
        .filter_map(|commit| Some((history.age(commit)?, commit)))
        .min()
        .map(|(_, commit)| commit.clone()))
}

/// The newest decision that leads to `head` as this clone has it, and was not given up. No more tags are read than it takes.
pub fn newest_here(
    repo: &Repo,
    tagged: &Tagged,
    head: &CommitId,
) -> Result<Option<(CommitId, Decision)>, Failure> {
    let history = repo.history(head)?;
    let given_up = tagged.commits_of(|name| name.as_str().starts_with(ABANDONED));
    let mut by_age: Vec<(usize, CommitId)> = tagged
        .commits()
        .filter_map(|commit| Some((history.age(&commit)?, commit)))
        .filter(|(_, commit)| !given_up.contains(commit))
        .collect();
    by_age.sort();
    let mut commits = by_age.into_iter().map(|(_, commit)| commit);
    Ok(commits.find_map(|commit| {
        let decision = at(repo, tagged, &commit)?;
        Some((commit, decision))
    }))
}

/// The commit of the release on the branch that `to` names: by its id, a tag or a version. `codes` are those of its errors.
///
/// # Errors
/// The first code where no release is called so, the second where several are; exit 2.
pub fn named(
    session: &Session<'_>,
    scene: &Scene<'_>,
    to: &str,
    (unknown, ambiguous): (&'static str, &'static str),
) -> Result<CommitId, Failure> {
    let history = session.repo.history(&scene.tip)?;
    let format = session.settings.tag_format.as_deref();
    let mut found = Vec::new();
    for (commit, decision) in &scene.decisions {
        let is_version = |text: &str| {
            let marks = decision.tags.iter();
            let mut versions = marks.filter_map(|name| tag::read_with(name, format));
            versions.any(|(_, version)| version.to_string() == without_v(text))
        };
        let is_meant = session.release_id(commit)?.as_str() == to
            || decision.tags.iter().any(|tag| tag.as_str() == to)
            || is_version(to);
        if is_meant && history.contains(commit) {
            found.push(commit.clone());
        }
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(
            Exit::Usage,
            unknown,
            format!("no release on {} is {}", scene.branch, quoted(to)),
        )
        .hint("name its id, a tag of it or a version; `plan` shows where the branch stands")),
        several => {
            let ids = several.iter().map(|commit| session.release_id(commit));
            let ids: Vec<String> = ids
                .map(|id| Ok(id?.to_string()))
                .collect::<Result<_, Failure>>()?;
            let what = format!("{} is in several releases: {}", quoted(to), ids.join(", "));
            Err(Failure::new(Exit::Usage, ambiguous, what).hint("name one of these ids, or a tag"))
        }
    }
}

/// Removes the tags that a run without a push made here and, killed, never moved the branch for. Of what the remote holds, `pushed`, none goes;
/// where the remote was not asked, only tags upon `head` itself do.
pub fn remove_left_behind(
    repo: &Repo,
    tagged: &Tagged,
    head: &CommitId,
    pushed: Option<&[Tag]>,
) -> Result<(), Failure> {
    let tags = left_behind(repo, tagged, head, pushed)?;
    if tags.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = tags.iter().map(TagName::as_str).collect();
    tracing::info!(
        "removing tags that a run without a push left behind: {}",
        names.join(", ")
    );
    repo.remove_tags(&tags)
}

/// The tags of decisions on commits of ours that no branch leads to.
fn left_behind(
    repo: &Repo,
    tagged: &Tagged,
    head: &CommitId,
    pushed: Option<&[Tag]>,
) -> Result<Vec<TagName>, Failure> {
    let history = pushed.map(|_| repo.history(head)).transpose()?;
    let leads_here = |commit: &CommitId| match &history {
        Some(history) => history.age(commit).is_some(),
        None => commit == head,
    };
    let is_upon = |commit: &CommitId| {
        if leads_here(commit) || !repo.has_commit(commit) || !repo.is_made_by_us(commit) {
            return Ok::<_, Failure>(false);
        }
        Ok(repo.parent(commit)?.as_ref().is_some_and(leads_here))
    };
    let pushed: BTreeSet<&TagName> = pushed.into_iter().flatten().map(|tag| &tag.name).collect();
    let mut left = Vec::new();
    for commit in tagged.commits() {
        if !is_upon(&commit)? {
            continue;
        }
        let Some(decision) = at(repo, tagged, &commit) else {
            continue;
        };
        if decision.is_of_versions() && !repo.is_on_a_branch(&commit)? {
            let tags = decision.tags.into_iter();
            left.extend(tags.filter(|tag| !pushed.contains(tag)));
        }
    }
    Ok(left)
}

/// The release before the one at `commit`, on the way back from it.
pub fn before(repo: &Repo, commit: &CommitId) -> Result<Option<CommitId>, Failure> {
    let seen = Seen {
        tip: None,
        tags: repo.tags()?,
    };
    let mut decisions = read(repo, &seen);
    decisions.remove(commit);
    newest(repo, commit, &decisions)
}

/// The tags of ours at a commit, in order of name.
pub fn tags_at(repo: &Repo, commit: &CommitId) -> Result<Vec<TagName>, Failure> {
    let decision = at(repo, &repo.tagged()?, commit);
    Ok(decision.map(|decision| decision.tags).unwrap_or_default())
}
