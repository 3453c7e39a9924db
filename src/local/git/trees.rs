//! Trees as they lie in the object store, compared entry by entry: what is the same is neither unfolded nor copied.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use git2::{ErrorClass, ErrorCode, ObjectType, Odb, Oid};

/// How many bytes of trees are kept for the next question. A tree of a thousand packages has 40 KB, and a walk asks for each twice in a row.
const MOST_KEPT: usize = 2 << 20;

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

    /// The content that is there now, where that is a file and no link.
    pub fn file(&self) -> Option<Oid> {
        let entry = self.new.filter(|entry| entry.mode.starts_with(b"100"))?;
        entry.object().ok()
    }
}

impl<'t> Entry<'t> {
    /// Takes the first line off a tree; `None` at its end.
    fn take(tree: &mut &'t [u8]) -> Result<Option<Entry<'t>>, git2::Error> {
        const ID: usize = 20;
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
    loop {
        let (mut old_rest, mut new_rest) = (old, new);
        let before = Entry::take(&mut old_rest)?;
        let same = &old[..old.len() - old_rest.len()];
        if before.is_some() && new.starts_with(same) {
            (old, new) = (old_rest, &new[same.len()..]);
            continue;
        }
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
