//! DECIDE: the release commit and all its tags in one atomic push. This is the first commit point: before it nothing is taken, after it the release only goes forward.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::explain::Failure;
use crate::local::git::{FileEdit, Repo};
use crate::local::push::{PushError, RefUpdate, Remote, Seen};
use crate::local::stop::Stop;
use crate::name::{CommitId, Digest, Integrity, PackageName, RepoPath, TagName};
use crate::plan::next::{SealName, tag_message};
use crate::plan::release::Plan;
use crate::release::seal::Seal;

/// A release as it is about to be decided.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The release commit.
    pub commit: CommitId,
    /// The branch's tip that it was made for.
    pub tip: CommitId,
    /// What the branch's tip becomes; the same where only tags are pushed.
    pub new_tip: CommitId,
    /// Tag names and the objects made for them.
    pub tags: Vec<(TagName, String)>,
}

/// How a push ended, after its refs were read back.
#[derive(Debug)]
pub enum Decided {
    /// All refs are where they should be.
    Ours,
    /// Something else is there: judge again.
    Moved(Failure),
}

/// Makes the release commit and its tags as objects; no ref moves. `is_released` tells whether the commit that was planned on is a release itself:
/// then this one has a commit of its own, though it may edit nothing, for a release is known by its commit. Two runs with the same seal (or the same tarballs) make the same objects.
pub fn draft(
    repo: &Repo,
    plan: &Plan,
    edits: &[FileEdit],
    message: &str,
    seal: Option<&SealName>,
    libraries: &BTreeMap<PackageName, Integrity>,
    is_released: bool,
) -> Result<Draft, Failure> {
    let mut marked: HashMap<&TagName, Vec<(&PackageName, &Integrity)>> = HashMap::new();
    for package in &plan.packages {
        let library = libraries.get(&package.name);
        let library = library.map(|integrity| (&package.name, integrity));
        marked.entry(&package.tag).or_default().extend(library);
    }
    let tags: Vec<(TagName, String)> = plan
        .tags
        .iter()
        .map(|tag| {
            let marked = marked.get(tag).map(Vec::as_slice).unwrap_or_default();
            (tag.clone(), tag_message(tag, seal, marked))
        })
        .collect();
    let (commit, objects) = repo.make_release((&plan.head, !is_released), edits, message, &tags)?;
    let tags = tags
        .into_iter()
        .map(|(name, _)| name)
        .zip(objects)
        .collect();
    Ok(Draft {
        new_tip: commit.clone(),
        tip: plan.head.clone(),
        commit,
        tags,
    })
}

/// The edits of a sealed release: its own bytes from the store, so that whoever adopts a seal makes the commit that was sealed.
pub async fn sealed_edits(
    store: &dyn crate::remote::store::Store,
    seal: &Seal,
) -> Result<Vec<FileEdit>, Failure> {
    let mut edits = Vec::new();
    for edit in &seal.commit.edits {
        let path = RepoPath::parse(&edit.path)?;
        let bytes = match &edit.digest {
            Some(digest) => {
                Some(crate::apply::seal::blob(store, &Digest::parse(digest)?, 64 << 20).await?)
            }
            None => None,
        };
        edits.push((path, bytes));
    }
    Ok(edits)
}

/// Pushes a draft: the branch from its base, every tag from nothing. A push whose answer is lost is judged by the refs.
///
/// # Errors
/// Exit 5 when the remote refuses; exit 75 when it does not answer.
pub fn decide(
    remote: &Remote<'_>,
    branch: &str,
    draft: &Draft,
    stop: &Stop,
) -> Result<Decided, Failure> {
    const TRIES: u32 = 6;
    let mut updates: Vec<RefUpdate> = draft
        .tags
        .iter()
        .map(|(name, object)| RefUpdate {
            name: name.as_ref_name(),
            expected: None,
            new: object.clone(),
        })
        .collect();
    if draft.new_tip != draft.tip {
        updates.insert(
            0,
            RefUpdate {
                name: format!("refs/heads/{branch}"),
                expected: Some(draft.tip.to_string()),
                new: draft.new_tip.to_string(),
            },
        );
    }
    let mut pause = Duration::from_millis(200);
    for tries in 1.. {
        stop.check()?;
        let (failure, is_final) = match remote.push(&updates, false) {
            Ok(()) => return Ok(Decided::Ours),
            Err(PushError::Refused(failure)) => (failure, true),
            Err(PushError::Moved(failure) | PushError::Uncertain(failure)) => {
                (failure, tries >= TRIES)
            }
        };
        // Beside another push, a server may refuse in any words: the refs decide.
        let seen = remote.look(branch)?;
        if holds(&seen, draft) {
            return Ok(Decided::Ours);
        }
        if moved(&seen, draft) {
            return Ok(Decided::Moved(failure));
        }
        if is_final {
            return Err(failure);
        }
        // The other push may hold its locks while its hooks run.
        std::thread::sleep(pause);
        pause *= 2;
    }
    unreachable!("the last try returns")
}

fn holds(seen: &Seen, draft: &Draft) -> bool {
    let objects = objects(seen);
    let mut tags = draft.tags.iter();
    tags.all(|(name, object)| objects.get(name) == Some(&object.as_str()))
}

fn moved(seen: &Seen, draft: &Draft) -> bool {
    let objects = objects(seen);
    let mut tags = draft.tags.iter();
    seen.tip.as_ref() != Some(&draft.tip) || tags.any(|(name, _)| objects.contains_key(name))
}

/// The objects of the tags that a remote holds, by name.
fn objects(seen: &Seen) -> HashMap<&TagName, &str> {
    let tags = seen.tags.iter();
    tags.map(|tag| (&tag.name, tag.object.as_str())).collect()
}
