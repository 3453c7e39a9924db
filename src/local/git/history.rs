//! The commits behind a commit, each read once, and the paths that they touched.

use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use git2::{ErrorClass, ErrorCode, ObjectType, Odb, Oid};

use super::{IDENTITY, Repo, broken, commit_id, object_id};
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

    /// The merges that contain a commit (by its place), newest first, each with those of its parents that contain it too.
    fn merges_after(&self, base: usize) -> Vec<(usize, Vec<usize>)> {
        let mut contains = vec![false; self.commits.len()];
        contains[base] = true;
        let mut merges = Vec::new();
        for place in (0..base).rev() {
            let parents = &self.commits[place].parents;
            let on_the_way = parents.iter().copied().filter(|parent| contains[*parent]);
            let on_the_way: Vec<usize> = on_the_way.collect();
            contains[place] = !on_the_way.is_empty();
            if contains[place] && parents.len() > 1 {
                merges.push((place, on_the_way));
            }
        }
        merges.reverse();
        merges
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
    let mut lines = object.split(|byte| *byte == b'\n');
    let tree = object_id(lines.next()?.strip_prefix(b"tree ")?)?;
    let mut parents = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(parent) = line.strip_prefix(b"parent ") {
            parents.push(object_id(parent)?);
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

    /// The files in `directories` that differ between a commit of `history` and its newest.
    ///
    /// # Errors
    /// `git::unreadable` when a tree cannot be read.
    pub fn differing_files(
        &self,
        history: &History,
        base: &CommitId,
        directories: &[&RepoPath],
    ) -> Result<BTreeSet<RepoPath>, Failure> {
        let (Some(base), Some(head)) = (history.place(base), history.commits.first()) else {
            return Ok(BTreeSet::new());
        };
        let asked = Asked::new(directories);
        let read = |repo: &Repo| {
            let objects = repo.git.odb()?;
            repo.differing_from(&objects, history, Some(base), head.tree, &asked, None)
        };
        let paths = read(self).map_err(|error| broken("a tree cannot be read", &error))?;
        Ok(files(paths).into_iter().collect())
    }

    /// The merges between a commit and the newest of `history`, newest first, with the files in `directories` in which each differs from a
    /// parent that contains that commit: what it gave them from another side, or changed itself.
    ///
    /// # Errors
    /// `git::unreadable` when a commit or a tree cannot be read.
    pub fn merges_since(
        &self,
        history: &History,
        base: &CommitId,
        directories: &[&RepoPath],
    ) -> Result<Vec<Commit>, Failure> {
        let asked = Asked::new(directories);
        let read = |place: usize, sides: &[usize]| {
            let objects = self.git.odb()?;
            let tree = history.commits[place].tree;
            let mut paths = BTreeSet::new();
            for side in sides {
                let side = Some(*side);
                paths.extend(self.differing_from(&objects, history, side, tree, &asked, None)?);
            }
            let mut commit = Repo::commit_without_paths(&objects, history, place)?;
            commit.paths = files(paths);
            Ok(commit)
        };
        let merges = history.place(base).map(|base| history.merges_after(base));
        let merges = merges.into_iter().flatten();
        merges
            .map(|(place, sides)| {
                read(place, &sides).map_err(|error: git2::Error| {
                    let what = format!("commit {} cannot be read", history.commits[place].id);
                    broken(what, &error)
                })
            })
            .collect()
    }

    /// A commit with the paths that it touches where it is asked: those that differ from every parent, which for a merge are what it
    /// changed itself, as [`git diff-tree -c`](https://git-scm.com/docs/git-diff-tree#_combined_diff_format) has them.
    fn walked_commit<'a, 'd: 'a>(
        &self,
        history: &History,
        place: usize,
        asked: impl Fn(&Commit) -> &'a Asked<'d>,
    ) -> Result<Commit, git2::Error> {
        let objects = self.git.odb()?;
        let node = &history.commits[place];
        let mut commit = Repo::commit_without_paths(&objects, history, place)?;
        let asked = asked(&commit);
        let parents = node.parents.iter().map(|parent| Some(*parent));
        let first = parents.clone().next().flatten();
        let mut paths = self.differing_from(&objects, history, first, node.tree, asked, None)?;
        for parent in parents.skip(1) {
            if paths.is_empty() {
                break;
            }
            paths =
                self.differing_from(&objects, history, parent, node.tree, asked, Some(&paths))?;
        }
        commit.paths = files(paths);
        Ok(commit)
    }

    fn commit_without_paths(
        objects: &Odb<'_>,
        history: &History,
        place: usize,
    ) -> Result<Commit, git2::Error> {
        let node = &history.commits[place];
        let object = objects.read(node.id)?;
        let message = message(object.data());
        let message = String::from_utf8_lossy(&message[..message.len().min(LONGEST_MESSAGE)]);
        let (subject, body) = message.split_once('\n').unwrap_or((&message, ""));
        Ok(Commit {
            id: commit_id(node.id),
            subject: subject.trim_end().to_owned(),
            body: body.to_owned(),
            parents: node.parents.len(),
            paths: Vec::new(),
        })
    }

    /// What differs between a commit (by its place; `None`: nothing at all) and a tree, and whether each is a directory, where it is asked and,
    /// if given, among `known`.
    fn differing_from(
        &self,
        objects: &Odb<'_>,
        history: &History,
        parent: Option<usize>,
        tree: Oid,
        asked: &Asked<'_>,
        known: Option<&BTreeSet<(String, bool)>>,
    ) -> Result<BTreeSet<(String, bool)>, git2::Error> {
        let old = parent.map(|parent| history.commits[parent].tree);
        let mut paths = BTreeSet::new();
        self.trees.compare(objects, old, Some(tree), |difference| {
            let within = asked.within(difference.path);
            let found = (difference.path.to_owned(), difference.is_directory());
            let enter = within || asked.leads_to(difference.path);
            if !enter || known.is_some_and(|known| !known.contains(&found)) {
                return false;
            }
            if within || found.1 {
                paths.insert(found);
            }
            enter
        })?;
        Ok(paths)
    }

    /// Seconds since 1970 at which a commit was committed.
    pub fn committed_at(&self, commit: &CommitId) -> Result<i64, Failure> {
        Ok(self.find(commit)?.time().seconds())
    }

    /// The first parent of a commit.
    pub fn parent(&self, commit: &CommitId) -> Result<Option<CommitId>, Failure> {
        Ok(self.find(commit)?.parent_id(0).ok().map(commit_id))
    }

    /// The commit that a release was made on: the parent of a commit of ours; where nothing was to edit, the commit itself.
    pub fn release_base(&self, commit: &CommitId) -> Result<CommitId, Failure> {
        let parent = self.parent(commit)?;
        let parent = parent.filter(|_| self.is_made_by_us(commit));
        Ok(parent.unwrap_or_else(|| commit.clone()))
    }

    /// What a commit's message says behind its subject; what is not UTF-8 says nothing.
    pub fn body(&self, commit: &CommitId) -> Result<String, Failure> {
        let commit = self.find(commit)?;
        let body = commit.body().ok().flatten();
        Ok(body.unwrap_or_default().to_owned())
    }

    /// Whether a commit was made by [`Repo::make_commit`], as its identity says. That proves nothing without a tag of ours.
    pub fn is_made_by_us(&self, commit: &CommitId) -> bool {
        self.find(commit).is_ok_and(|commit| {
            let committer = commit.committer();
            committer.name() == Ok(IDENTITY.0) && committer.email() == Ok(IDENTITY.1)
        })
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

    /// Whether a branch, of this clone or of a remote as it was last seen, leads to a commit.
    pub fn is_on_a_branch(&self, commit: &CommitId) -> Result<bool, Failure> {
        let failed = |error: git2::Error| broken("the branches cannot be read", &error);
        for branch in self.git.branches(None).map_err(failed)? {
            let (branch, _) = branch.map_err(failed)?;
            let tip = branch.get().target().map(commit_id);
            if let Some(tip) = tip
                && self.is_ancestor(commit, &tip)?
            {
                return Ok(true);
            }
        }
        Ok(false)
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
}

/// The files among paths of which each is told to be a directory or not.
fn files(paths: BTreeSet<(String, bool)>) -> Vec<RepoPath> {
    let files = paths.into_iter().filter(|(_, is_directory)| !is_directory);
    files
        .filter_map(|(path, _)| RepoPath::parse(&path).ok())
        .collect()
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

#[cfg(test)]
mod tests {
    use git2::Repository;
    use proptest::prelude::*;

    use super::*;

    const TREE: &str = "tree 1111111111111111111111111111111111111111\n";
    const PARENT: &str = "parent 2222222222222222222222222222222222222222\n";
    const PEOPLE: &str = "author A <a@b> 5 +0000\ncommitter B C <b@c d> -7 +0100\nencoding latin1\n\n\nwhy\n\nbody\n";

    #[test]
    fn a_commit_object_is_read_by_its_lines() {
        let text = format!("{TREE}{PARENT}{PARENT}{PEOPLE}");
        let read = header(text.as_bytes()).expect("a commit");
        assert_eq!(read.tree.to_string(), "1".repeat(40));
        assert_eq!(read.parents.len(), 2);
        assert_eq!(read.committed, -7);
        assert_eq!(message(text.as_bytes()), b"why\n\nbody\n");
        assert_eq!(message(TREE.as_bytes()), b"");
    }

    #[test]
    fn what_is_no_commit_object_is_refused() {
        for text in [
            String::new(),
            PEOPLE.to_owned(),
            TREE.to_owned(),
            format!("{TREE}parent 2\n{PEOPLE}"),
            format!("tree 1\n{PEOPLE}"),
            format!("{TREE}committer B\n\n"),
            format!("{TREE}committer B <b> soon +0000\n\n"),
            format!("{TREE}\ncommitter B <b> 5 +0000\n"),
        ] {
            assert_eq!(header(text.as_bytes()), None, "{text:?}");
        }
    }

    /// Commits with the parents and moments that are asked for: each names earlier ones by how far they lie back.
    fn repository(
        directory: &std::path::Path,
        commits: &[(Vec<usize>, i64)],
    ) -> (Repository, Vec<Oid>) {
        let git = Repository::init(directory).expect("a repository");
        let mut ids: Vec<Oid> = Vec::new();
        for (number, (back, moment)) in commits.iter().enumerate() {
            let who = git2::Signature::new("a", "a@b", &git2::Time::new(*moment, 0)).expect("who");
            let mut parents: Vec<Oid> = back
                .iter()
                .filter_map(|back| Some(ids[ids.len().checked_sub(back + 1)?]))
                .collect();
            parents.sort();
            parents.dedup();
            let parents: Vec<git2::Commit<'_>> = parents
                .iter()
                .map(|id| git.find_commit(*id).expect("here"))
                .collect();
            let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
            let tree = git.treebuilder(None).and_then(|tree| tree.write());
            let tree = git.find_tree(tree.expect("a tree")).expect("a tree");
            let message = number.to_string();
            let id = git.commit(None, &who, &who, &message, &tree, &parents);
            ids.push(id.expect("a commit"));
        }
        (git, ids)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// In histories with merges and clocks that go wrong: what is reached, what a base contains, and children before parents, as git has it.
        #[test]
        fn a_walk_agrees_with_git(
            commits in proptest::collection::vec((proptest::collection::vec(0_usize..4, 0..3), -9_i64..9), 1..14),
            bases in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let directory = tempfile::tempdir().expect("a directory");
            let (git, ids) = repository(directory.path(), &commits);
            let repo = Repo::open(directory.path()).expect("a repository");
            let head = *ids.last().expect("one");
            let reaches = |from: Oid, to: Oid| from == to || git.graph_descendant_of(from, to).expect("here");
            let history = repo.history(&commit_id(head)).expect("whole");
            for id in &ids {
                prop_assert_eq!(history.contains(&commit_id(*id)), reaches(head, *id));
            }
            for (place, node) in history.commits.iter().enumerate() {
                prop_assert!(node.parents.iter().all(|parent| *parent > place));
            }
            let bases: Vec<Oid> = bases.iter().map(|index| *index.get(&ids)).collect();
            let named: Vec<CommitId> = bases.iter().map(|id| commit_id(*id)).collect();
            let known: Vec<usize> = (0..bases.len()).filter(|bit| reaches(head, bases[*bit])).collect();
            let walked = repo.commits_since(&history, &named, &[]).expect("read");
            let walked: HashMap<String, Bits> = walked.into_iter().map(|one| (one.commit.id.to_string(), one.inside)).collect();
            for id in ids.iter().filter(|id| reaches(head, **id)) {
                let inside = |bit: usize| known.contains(&bit) && reaches(bases[bit], *id);
                let all = !bases.is_empty() && (0..bases.len()).all(inside);
                prop_assert_eq!(walked.contains_key(&id.to_string()), !all);
                if let Some(bits) = walked.get(&id.to_string()) {
                    for bit in 0..bases.len() {
                        prop_assert_eq!(bits.has(bit), inside(bit));
                    }
                }
            }
        }
    }

    #[test]
    fn a_missing_commit_is_never_the_beginning_of_history() {
        let directory = tempfile::tempdir().expect("a directory");
        let (git, ids) = repository(directory.path(), &[(vec![], 0), (vec![0], 1)]);
        let first = ids[0].to_string();
        let object = git
            .path()
            .join("objects")
            .join(&first[..2])
            .join(&first[2..]);
        std::fs::remove_file(object).expect("loose");
        let repo = Repo::open(directory.path()).expect("a repository");
        let failure = repo.history(&commit_id(ids[1])).err().expect("cut");
        assert_eq!(failure.code(), "git::cut_history");
    }
}
