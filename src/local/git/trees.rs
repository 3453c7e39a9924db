//! Trees as they lie in the object store, compared entry by entry: what is the same is neither unfolded nor copied.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use git2::{ErrorClass, ErrorCode, ObjectType, Odb, Oid};

use crate::name::RepoPath;

/// How many bytes of trees are kept for the next question. A tree of a thousand packages has 40 KB, and a walk asks for each twice in a row.
const MOST_KEPT: usize = 2 << 20;

/// How long an object's id is in a tree, in bytes.
const ID: usize = 20;

/// Trees by their id, and how many bytes they are together.
type Kept = (HashMap<Oid, Arc<[u8]>>, usize);

/// The trees that were read last.
#[derive(Default)]
pub(super) struct Trees {
    kept: RefCell<Kept>,
}

/// A line of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<'t> {
    mode: &'t [u8],
    name: &'t [u8],
    id: &'t [u8],
}

/// A path that differs between two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Difference<'t> {
    /// The path. What is not UTF-8 is never told.
    pub path: &'t str,
    old: Option<Entry<'t>>,
    new: Option<Entry<'t>>,
}

impl Difference<'_> {
    /// Whether it is a directory, on the side or sides where it is: what was a file and became a directory is told twice.
    pub fn is_directory(&self) -> bool {
        self.new
            .or(self.old)
            .is_some_and(|entry| entry.is_directory())
    }

    /// Whether nothing is there any more.
    pub fn is_gone(&self) -> bool {
        self.new.is_none()
    }

    /// The content that is there now, where that is a file and no link.
    pub fn file(&self) -> Option<Oid> {
        let entry = self.new.filter(|entry| entry.mode.starts_with(b"100"))?;
        entry.object().ok()
    }
}

impl<'t> Entry<'t> {
    /// Takes the first line off a tree; `None` at its end.
    fn take(tree: &mut &'t [u8]) -> Result<Option<Entry<'t>>, git2::Error> {
        if tree.is_empty() {
            return Ok(None);
        }
        let split = || {
            let (head, rest) = tree.split_at_checked(tree.iter().position(|byte| *byte == 0)?)?;
            let (id, rest) = rest.get(1..)?.split_at_checked(ID)?;
            let space = head.iter().position(|byte| *byte == b' ')?;
            let (mode, name) = (&head[..space], &head[space + 1..]);
            Some((Entry { mode, name, id }, rest))
        };
        let (entry, rest) = split().ok_or_else(malformed)?;
        *tree = rest;
        Ok(Some(entry))
    }

    fn is_directory(&self) -> bool {
        matches!(self.mode, b"40000" | b"040000")
    }

    /// Git's order: a directory is sorted as if its name ended in `/`.
    fn order(&self, other: &Entry<'_>) -> Ordering {
        let shared = self.name.len().min(other.name.len());
        let end = |entry: &Entry<'_>| match entry.name.get(shared) {
            Some(next) => *next,
            None if entry.is_directory() => b'/',
            None => 0,
        };
        self.name[..shared]
            .cmp(&other.name[..shared])
            .then_with(|| end(self).cmp(&end(other)))
            .then_with(|| self.name.len().cmp(&other.name.len()))
    }

    fn object(&self) -> Result<Oid, git2::Error> {
        Oid::from_bytes(self.id)
    }
}

/// The name of a directory that is looked for, in the order in which a tree holds directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted<'n>(&'n str);

impl<'n> Wanted<'n> {
    fn entry(self) -> Entry<'n> {
        Entry {
            mode: b"40000",
            name: self.0.as_bytes(),
            id: &[],
        }
    }
}

impl Ord for Wanted<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.entry().order(&other.entry())
    }
}

impl PartialOrd for Wanted<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn malformed() -> git2::Error {
    git2::Error::new(ErrorCode::Invalid, ErrorClass::Tree, "a tree is malformed")
}

impl Trees {
    fn read(&self, odb: &Odb<'_>, id: Option<Oid>) -> Result<Arc<[u8]>, git2::Error> {
        let Some(id) = id else {
            return Ok(Arc::from([]));
        };
        if let Some(tree) = self.kept.borrow().0.get(&id) {
            return Ok(Arc::clone(tree));
        }
        let object = odb.read(id)?;
        if object.kind() != ObjectType::Tree {
            return Err(malformed());
        }
        let tree: Arc<[u8]> = Arc::from(object.data());
        let (kept, size) = &mut *self.kept.borrow_mut();
        if *size + tree.len() > MOST_KEPT {
            kept.clear();
            *size = 0;
        }
        *size += tree.len();
        kept.insert(id, Arc::clone(&tree));
        Ok(tree)
    }

    /// What lies at each of `directories`, below the tree `root`; `None` where there is no directory.
    pub fn find(
        &self,
        odb: &Odb<'_>,
        root: Oid,
        directories: &[&RepoPath],
    ) -> Result<Vec<Option<Oid>>, git2::Error> {
        let mut found = vec![None; directories.len()];
        let all = directories.iter().map(|directory| directory.as_str());
        let mut open: Vec<(Oid, Vec<(usize, &str)>)> = vec![(root, all.enumerate().collect())];
        while let Some((id, asked)) = open.pop() {
            let mut inside: BTreeMap<Wanted<'_>, Vec<(usize, &str)>> = BTreeMap::new();
            for (index, path) in asked {
                if path.is_empty() {
                    found[index] = Some(id);
                    continue;
                }
                let (name, rest) = path.split_once('/').unwrap_or((path, ""));
                inside.entry(Wanted(name)).or_default().push((index, rest));
            }
            if inside.is_empty() {
                continue;
            }
            let tree = self.read(odb, Some(id))?;
            let mut tree = &*tree;
            let mut inside = inside.into_iter().peekable();
            while let (Some((wanted, _)), Some(entry)) = (inside.peek(), Entry::take(&mut tree)?) {
                let mut order = entry.order(&wanted.entry());
                while order.is_gt() {
                    inside.next();
                    order = match inside.peek() {
                        Some((wanted, _)) => entry.order(&wanted.entry()),
                        None => Ordering::Less,
                    };
                }
                if order.is_eq()
                    && let Some((_, asked)) = inside.next()
                {
                    open.push((entry.object()?, asked));
                }
            }
        }
        Ok(found)
    }

    /// Tells `each` every path that differs between two trees; `None` is the empty tree. A directory that differs is told, and then
    /// entered when `each` answers true.
    pub fn compare(
        &self,
        odb: &Odb<'_>,
        old: Option<Oid>,
        new: Option<Oid>,
        mut each: impl FnMut(Difference<'_>) -> bool,
    ) -> Result<(), git2::Error> {
        let mut open = vec![(String::new(), old, new)];
        while let Some((mut path, old, new)) = open.pop() {
            let (old, new) = (self.read(odb, old)?, self.read(odb, new)?);
            let below = path.len();
            each_difference(&old, &new, |old, new| {
                let name = old
                    .or(new)
                    .and_then(|entry| std::str::from_utf8(entry.name).ok());
                let Some(name) = name else { return Ok(()) };
                path.truncate(below);
                path.push_str(name);
                let difference = Difference {
                    path: &path,
                    old,
                    new,
                };
                if each(difference) && difference.is_directory() {
                    let id =
                        |entry: Option<Entry<'_>>| entry.map(|entry| entry.object()).transpose();
                    open.push((format!("{path}/"), id(old)?, id(new)?));
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Tells `each` the entries that differ, by name: the old one, the new one, or both.
fn each_difference<'t>(
    mut old: &'t [u8],
    mut new: &'t [u8],
    mut each: impl FnMut(Option<Entry<'t>>, Option<Entry<'t>>) -> Result<(), git2::Error>,
) -> Result<(), git2::Error> {
    while old != new {
        let same = whole_entries(old, common_prefix(old, new))?;
        (old, new) = (&old[same..], &new[same..]);
        let (mut old_rest, mut new_rest) = (old, new);
        let before = Entry::take(&mut old_rest)?;
        let after = Entry::take(&mut new_rest)?;
        let order = match (&before, &after) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => before.order(after),
        };
        if order.is_le() {
            old = old_rest;
        }
        if order.is_ge() {
            new = new_rest;
        }
        each(
            before.filter(|_| order.is_le()),
            after.filter(|_| order.is_ge()),
        )?;
    }
    Ok(())
}

/// How many bytes are the same at the start of both.
fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let blocks = left.chunks_exact(BLOCK).zip(right.chunks_exact(BLOCK));
    let equal = BLOCK * blocks.take_while(|(left, right)| left == right).count();
    let rest = left[equal..].iter().zip(&right[equal..]);
    equal + rest.take_while(|(left, right)| left == right).count()
}

/// How many of the first `length` bytes of a tree are entries that end there.
fn whole_entries(tree: &[u8], length: usize) -> Result<usize, git2::Error> {
    let mut end = 0;
    while end < length {
        let name = tree[end..].iter().position(|byte| *byte == 0);
        let next = end + name.ok_or_else(malformed)? + 1 + ID;
        if next > length {
            break;
        }
        end = next;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use git2::Repository;
    use proptest::prelude::*;

    use super::*;

    /// A tree with a file, link or submodule for each path; a later path replaces what is in its way.
    fn tree(git: &Repository, files: &[(String, u8)]) -> Oid {
        let mut index = git2::Index::new().unwrap();
        for (path, kind) in files {
            let _ = index.remove_dir(Path::new(path), 0);
            for (end, _) in path.match_indices('/') {
                let _ = index.remove(Path::new(&path[..end]), 0);
            }
            let mode = [0o100_644, 0o100_755, 0o120_000, 0o160_000][usize::from(kind % 4)];
            let entry = git2::IndexEntry {
                ctime: git2::IndexTime::new(0, 0),
                mtime: git2::IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode,
                uid: 0,
                gid: 0,
                file_size: 0,
                id: git.blob(&[kind / 4]).unwrap(),
                flags: 0,
                flags_extended: 0,
                path: path.clone().into_bytes(),
            };
            index.add(&entry).unwrap();
        }
        index.write_tree_to(git).unwrap()
    }

    fn differing_files(git: &Repository, old: Option<Oid>, new: Option<Oid>) -> BTreeSet<String> {
        let mut files = BTreeSet::new();
        Trees::default()
            .compare(&git.odb().unwrap(), old, new, |difference| {
                if !difference.is_directory() {
                    files.insert(difference.path.to_owned());
                }
                true
            })
            .unwrap();
        files
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// What is told agrees with libgit2's own comparison.
        #[test]
        fn differences_are_those_of_git(
            old in proptest::collection::vec(("[ab.-]?[ab0](/[ab.-]?[ab0]){0,3}", 0_u8..8), 0..12),
            new in proptest::collection::vec(("[ab.-]?[ab0](/[ab.-]?[ab0]){0,3}", 0_u8..8), 0..12),
            shared in proptest::collection::vec(("[ab.-]?[ab0](/[ab.-]?[ab0]){0,3}", 0_u8..8), 0..12),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let git = Repository::init_bare(directory.path()).unwrap();
            let old = tree(&git, &[shared.clone(), old].concat());
            let new = tree(&git, &[shared, new].concat());
            for (old, new) in [(Some(old), Some(new)), (None, Some(new)), (Some(old), None)] {
                let find = |id: Option<Oid>| id.map(|id| git.find_tree(id).unwrap());
                let diff = git.diff_tree_to_tree(find(old).as_ref(), find(new).as_ref(), None).unwrap();
                let expected: BTreeSet<String> = diff
                    .deltas()
                    .flat_map(|delta| [delta.old_file(), delta.new_file()].map(|file| file.path().unwrap().to_str().unwrap().to_owned()))
                    .collect();
                prop_assert_eq!(differing_files(&git, old, new), expected);
            }
        }
    }

    #[test]
    fn directories_are_found_among_names_that_sort_around_them() {
        let directory = tempfile::tempdir().unwrap();
        let git = Repository::init_bare(directory.path()).unwrap();
        let files = [
            "a.b/x", "a/b/x", "a/b.c/x", "a0/x", "ab", "b/x", "c-/x", "c/x",
        ];
        let root = tree(&git, &files.map(|path| (path.to_owned(), 0)));
        let asked = [
            "a", "", "a.b", "a/b", "a/b.c", "a/c", "a0", "aa", "ab", "b/x", "c", "d/e",
        ];
        let asked = asked.map(|path| RepoPath::parse(path).unwrap());
        let asked: Vec<&RepoPath> = asked.iter().collect();
        let found = Trees::default()
            .find(&git.odb().unwrap(), root, &asked)
            .unwrap();
        let expected: Vec<Option<Oid>> = asked
            .iter()
            .map(|path| {
                if path.is_root() {
                    return Some(root);
                }
                let entry = git
                    .find_tree(root)
                    .unwrap()
                    .get_path(Path::new(path.as_str()));
                let entry = entry
                    .ok()
                    .filter(|entry| entry.kind() == Some(ObjectType::Tree));
                entry.map(|entry| entry.id())
            })
            .collect();
        assert_eq!(found, expected);
        assert_eq!(found.iter().flatten().count(), 7);
    }

    #[test]
    fn only_what_is_asked_for_is_entered() {
        let directory = tempfile::tempdir().unwrap();
        let git = Repository::init_bare(directory.path()).unwrap();
        let files = |kind: u8| ["a/b/x", "a/y", "c/z", "d"].map(|path| (path.to_owned(), kind));
        let (old, new) = (tree(&git, &files(0)), tree(&git, &files(4)));
        let mut told = Vec::new();
        let odb = git.odb().unwrap();
        let each = |difference: Difference<'_>| {
            told.push(difference.path.to_owned());
            difference.path == "a"
        };
        Trees::default()
            .compare(&odb, Some(old), Some(new), each)
            .unwrap();
        assert_eq!(told, ["a", "c", "d", "a/b", "a/y"]);
    }

    #[test]
    fn malformed_trees_are_refused() {
        for bytes in [
            "100644",
            "100644 a",
            "100644 a\0",
            "100644 a\0short",
            "nospace\0aaaaaaaaaaaaaaaaaaaa",
        ] {
            let bytes = bytes.as_bytes();
            assert!(each_difference(bytes, &[], |_, _| Ok(())).is_err());
            assert!(each_difference(&[], bytes, |_, _| Ok(())).is_err());
        }
    }
}
