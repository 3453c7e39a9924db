//! The commits behind a commit, each read once, and the paths that they touched.

use std::collections::{BinaryHeap, HashMap, HashSet};

use git2::{ErrorClass, ErrorCode, ObjectType, Odb, Oid};

use super::{Repo, broken, commit_id};
use crate::changes::commit::{Commit, reverts};
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, RepoPath};

/// The most text of a commit message that is read, in bytes.
const LONGEST_MESSAGE: usize = 64 << 10;

/// The commits that can be reached from one commit.
pub struct History {
    /// Children before parents, and of those that may be told in any order the later first.
    commits: Vec<Node>,
    places: HashMap<Oid, usize>,
}

/// A commit's place among the others.
struct Node {
    id: Oid,
    tree: Oid,
    /// Its parents, by their place.
    parents: Vec<usize>,
}

/// A commit with the set of bases (by their place in the request) that already contain it.
#[derive(Debug, Clone)]
pub struct WalkedCommit {
    /// The commit, with the paths it touches.
    pub commit: Commit,
    /// Which bases contain it.
    pub inside: Bits,
}

/// A set of small numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

/// What a commit object says, as far as a walk needs it.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    tree: Oid,
    parents: Vec<Oid>,
    /// When it was committed, in seconds since 1970.
    committed: i64,
}

impl History {
    /// Whether a commit is part of this history.
    pub fn contains(&self, commit: &CommitId) -> bool {
        self.place(commit).is_some()
    }

    /// How far a commit lies back in the walk: 0 is the newest; `None` when it is not part of this history.
    pub fn age(&self, commit: &CommitId) -> Option<usize> {
        self.place(commit)
    }

    fn place(&self, commit: &CommitId) -> Option<usize> {
        let id = Oid::from_str(commit.as_str()).ok()?;
        self.places.get(&id).copied()
    }

    /// For each commit, children first: which of `bases` (by their place in the slice) can reach it.
    fn inside(&self, bases: &[CommitId]) -> Vec<Bits> {
        let mut inside = vec![Bits::new(bases.len()); self.commits.len()];
        for (bit, base) in bases.iter().enumerate() {
            if let Some(place) = self.place(base) {
                inside[place].set(bit);
            }
        }
        for (child, node) in self.commits.iter().enumerate() {
            for &parent in &node.parents {
                let (before, after) = inside.split_at_mut(parent);
                if let (Some(from), Some(to)) = (before.get(child), after.first_mut()) {
                    to.merge(from);
                }
            }
        }
        inside
    }
}

impl Bits {
    fn new(length: usize) -> Bits {
        Bits(vec![0; length.div_ceil(64)])
    }

    fn set(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn merge(&mut self, other: &Bits) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
    }

    /// Whether the number is in the set.
    pub fn has(&self, bit: usize) -> bool {
        self.0
            .get(bit / 64)
            .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Reads a commit object: the header lines `tree`, `parent` and `committer`, in [git's form](https://git-scm.com/docs/gitdatamodel).
fn header(object: &[u8]) -> Option<Header> {
    let id = |hex: &[u8]| Oid::from_str(std::str::from_utf8(hex).ok()?).ok();
    let mut lines = object.split(|byte| *byte == b'\n');
    let tree = id(lines.next()?.strip_prefix(b"tree ")?)?;
    let mut parents = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(parent) = line.strip_prefix(b"parent ") {
            parents.push(id(parent)?);
        } else if let Some(committer) = line.strip_prefix(b"committer ") {
            let moment = committer.rsplit(|byte| *byte == b' ').nth(1)?;
            let committed = std::str::from_utf8(moment).ok()?.parse().ok()?;
            return Some(Header {
                tree,
                parents,
                committed,
            });
        }
    }
    None
}

/// A commit's message: what follows its headers, without empty lines before it.
fn message(object: &[u8]) -> &[u8] {
    let start = object.windows(2).position(|pair| pair == b"\n\n");
    let message = start.map_or(&[][..], |start| &object[start + 2..]);
    let text = message.iter().position(|byte| *byte != b'\n');
    text.map_or(&[], |text| &message[text..])
}

fn read_header(objects: &Odb<'_>, id: Oid) -> Result<Header, git2::Error> {
    let object = objects.read(id)?;
    let malformed = || {
        let what = format!("{id} is not a commit");
        git2::Error::new(ErrorCode::Invalid, ErrorClass::Object, what)
    };
    if object.kind() != ObjectType::Commit {
        return Err(malformed());
    }
    header(object.data()).ok_or_else(malformed)
}

impl Repo {
    /// Walks everything that can be reached from `head`, once.
    ///
    /// # Errors
    /// `git::cut_history` when a commit is not here.
    pub fn history(&self, head: &CommitId) -> Result<History, Failure> {
        let cut = |error: git2::Error| {
            Failure::new(
                Exit::Usage,
                "git::cut_history",
                "the history is not complete here",
            )
            .because(error.message())
            .hint("fetch it all: actions/checkout with fetch-depth: 0, or `git fetch --unshallow`")
        };
        let objects = self.objects()?;
        let head = Oid::from_str(head.as_str()).map_err(cut)?;
        let mut headers = HashMap::new();
        let mut open = vec![head];
        while let Some(id) = open.pop() {
            if let std::collections::hash_map::Entry::Vacant(place) = headers.entry(id) {
                let header = place.insert(read_header(&objects, id).map_err(cut)?);
                open.extend(&header.parents);
            }
        }
        Ok(in_order(head, headers))
    }

    /// The commits of `history` that at least one of `bases` does not contain, newest first, with the paths they touch in `directories`;
    /// a commit that reverts others and those that it names come with all their paths, by which they are compared.
    pub fn commits_since(
        &self,
        history: &History,
        bases: &[CommitId],
        directories: &[&RepoPath],
    ) -> Result<Vec<WalkedCommit>, Failure> {
        let since: Vec<(usize, Bits)> = history
            .inside(bases)
            .into_iter()
            .enumerate()
            .filter(|(_, inside)| bases.is_empty() || inside.count() < bases.len())
            .collect();
        let root = RepoPath::root();
        let (some, all) = (Asked::new(directories), Asked::new(&[&root]));
        let read = |repo: &Repo, place: usize, all_paths: bool| {
            let asked = |commit: &Commit| {
                let all_paths = all_paths || !reverts(&commit.body).is_empty();
                if all_paths { &all } else { &some }
            };
            repo.walked_commit(history, place, asked).map_err(|error| {
                let what = format!("commit {} cannot be read", history.commits[place].id);
                broken(what, &error)
            })
        };
        let mut commits =
            self.side_by_side(&since, |repo, (place, _)| read(repo, *place, false))?;
        let reverted: HashSet<CommitId> = commits
            .iter()
            .flat_map(|commit| reverts(&commit.body))
            .collect();
        for ((place, _), commit) in since.iter().zip(&mut commits) {
            if reverted.contains(&commit.id) {
                *commit = read(self, *place, true)?;
            }
        }
        let walked = commits.into_iter().zip(since);
        Ok(walked
            .map(|(commit, (_, inside))| WalkedCommit { commit, inside })
            .collect())
    }

    /// A commit with the paths that it touches where it is asked; none for a merge.
    fn walked_commit<'a, 'd: 'a>(
        &self,
        history: &History,
        place: usize,
        asked: impl Fn(&Commit) -> &'a Asked<'d>,
    ) -> Result<Commit, git2::Error> {
        let objects = self.git.odb()?;
        let node = &history.commits[place];
        let object = objects.read(node.id)?;
        let message = message(object.data());
        let message = String::from_utf8_lossy(&message[..message.len().min(LONGEST_MESSAGE)]);
        let (subject, body) = message.split_once('\n').unwrap_or((&message, ""));
        let mut commit = Commit {
            id: commit_id(node.id),
            subject: subject.trim_end().to_owned(),
            body: body.to_owned(),
            parents: node.parents.len(),
            paths: Vec::new(),
        };
        if commit.parents > 1 {
            return Ok(commit);
        }
        let asked = asked(&commit);
        let old = node
            .parents
            .first()
            .map(|parent| history.commits[*parent].tree);
        let mut paths = Vec::new();
        self.trees
            .compare(&objects, old, Some(node.tree), |difference| {
                let within = asked.within(difference.path);
                if within && !difference.is_directory() {
                    paths.extend(RepoPath::parse(difference.path));
                }
                within || asked.leads_to(difference.path)
            })?;
        commit.paths = paths;
        Ok(commit)
    }
}

/// Puts commits in order: children before parents, the later committed first where both may come.
fn in_order(head: Oid, mut headers: HashMap<Oid, Header>) -> History {
    let mut children: HashMap<Oid, usize> = HashMap::with_capacity(headers.len());
    for header in headers.values() {
        for parent in &header.parents {
            *children.entry(*parent).or_default() += 1;
        }
    }
    let mut ordered = Vec::with_capacity(headers.len());
    let mut free = BinaryHeap::new();
    free.extend(headers.get(&head).map(|header| (header.committed, head)));
    while let Some((_, id)) = free.pop() {
        let Some(header) = headers.remove(&id) else {
            continue;
        };
        for parent in &header.parents {
            let Some(waiting) = children.get_mut(parent) else {
                continue;
            };
            *waiting -= 1;
            if *waiting == 0 {
                free.extend(
                    headers
                        .get(parent)
                        .map(|header| (header.committed, *parent)),
                );
            }
        }
        ordered.push((id, header));
    }
    let places: HashMap<Oid, usize> = ordered
        .iter()
        .enumerate()
        .map(|(place, (id, _))| (*id, place))
        .collect();
    let commits = ordered
        .into_iter()
        .map(|(id, header)| Node {
            id,
            tree: header.tree,
            parents: header
                .parents
                .iter()
                .filter_map(|parent| places.get(parent).copied())
                .collect(),
        })
        .collect();
    History { commits, places }
}

/// Directories that a question is about.
struct Asked<'d> {
    directories: HashSet<&'d str>,
    /// Every directory that contains one of them.
    above: HashSet<&'d str>,
}

impl<'d> Asked<'d> {
    fn new(directories: &[&'d RepoPath]) -> Asked<'d> {
        let texts = directories.iter().map(|directory| directory.as_str());
        Asked {
            above: texts.clone().flat_map(parents).collect(),
            directories: texts.collect(),
        }
    }

    /// Whether a path is one of them or lies in one.
    fn within(&self, path: &str) -> bool {
        std::iter::once(path)
            .chain(parents(path))
            .any(|directory| self.directories.contains(directory))
    }

    /// Whether one of them lies below a directory.
    fn leads_to(&self, directory: &str) -> bool {
        self.above.contains(directory)
    }
}

/// The directories that contain a path, the repository's root first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.match_indices('/').map(|(end, _)| &path[..end]);
    (!path.is_empty()).then_some("").into_iter().chain(inner)
}
