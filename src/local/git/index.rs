//! Git's index, read for what its cached trees promise: where the one of the root is that of a commit, the index lists all files of the commit,
//! in one file instead of a tree for each directory.
//!
//! The form is that of [gitformat-index](https://git-scm.com/docs/gitformat-index), versions 2 and 3. Whatever else there is, or is of another
//! form, is no error: then the trees are read.

use git2::Oid;

/// How long an object's id is, in bytes.
const ID: usize = 20;

/// What is before an entry's id: times, device, inode, mode, owner and size.
const STATUS: usize = 40;

/// A file, link or submodule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'i> {
    /// As git writes it: not every one is UTF-8.
    pub path: &'i [u8],
    mode: u32,
    id: &'i [u8],
}

impl Entry<'_> {
    /// The content, where this is a file and no link.
    pub fn file(&self) -> Option<Oid> {
        const KIND: u32 = 0o170_000;
        const FILE: u32 = 0o100_000;
        let id = Oid::from_bytes(self.id).ok();
        id.filter(|_| self.mode & KIND == FILE)
    }
}

/// The entries of an index that holds exactly the tree `root`, in order of path; `None` where it does not, or does not say so.
pub(super) fn entries_of(index: &[u8], root: Oid) -> Option<Vec<Entry<'_>>> {
    let (header, mut rest) = index.split_at_checked(12)?;
    let (signature, version) = (&header[..4], number(&header[4..8])?);
    if signature != b"DIRC" || !matches!(version, 2 | 3) {
        return None;
    }
    let count = usize::try_from(number(&header[8..])?).ok()?;
    // No entry is shorter than its fixed part, so that no count can ask for more than there is.
    let mut entries = Vec::with_capacity(count.min(index.len() / (STATUS + ID)));
    for _ in 0..count {
        entries.push(take_entry(&mut rest)?);
    }
    (cached_root(rest)? == root.as_bytes()).then_some(entries)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn take_entry<'i>(rest: &mut &'i [u8]) -> Option<Entry<'i>> {
    const EXTENDED: u16 = 0x4000;
    let (status, after) = rest.split_at_checked(STATUS)?;
    let (id, after) = after.split_at_checked(ID)?;
    let flags = u16::from_be_bytes(after.get(..2)?.try_into().ok()?);
    let name = if flags & EXTENDED == 0 { 2 } else { 4 };
    let path = after.get(name..)?;
    let path = &path[..path.iter().position(|byte| *byte == 0)?];
    // One to eight NULs fill it up.
    let length = (STATUS + ID + name + path.len() + 8) / 8 * 8;
    let mode = number(&status[24..28])?;
    *rest = rest.get(length..)?;
    Some(Entry { path, mode, id })
}

/// The id of the root's tree that the extensions hold, where nothing was staged since it was written; `None` also where what they say changes
/// what the entries mean.
fn cached_root(mut extensions: &[u8]) -> Option<&[u8]> {
    let mut root = None;
    // What is left at the end is a checksum.
    while extensions.len() > ID {
        let (header, rest) = extensions.split_at_checked(8)?;
        let length = usize::try_from(number(&header[4..])?).ok()?;
        let (content, rest) = rest.split_at_checked(length)?;
        match &header[..4] {
            b"TREE" => root = Some(root_in(content)?),
            // Whoever does not know one whose name is small must not read the index: it is split, or sparse.
            [first, ..] if !first.is_ascii_uppercase() => return None,
            _ => {}
        }
        extensions = rest;
    }
    root
}

/// The first of the cached trees, that of the root: its name, which is empty, NUL, how many entries are below it, how many trees are, newline, id.
fn root_in(trees: &[u8]) -> Option<&[u8]> {
    let of_root = trees.strip_prefix(b"\0")?;
    let end = of_root.iter().position(|byte| *byte == b'\n')?;
    let is_valid = !of_root.starts_with(b"-");
    of_root.get(end + 1..)?.get(..ID).filter(|_| is_valid)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::process::Command;

    use crate::local::git::Repo;
    use crate::name::RepoPath;

    /// `git` in a directory, which must succeed.
    fn git(directory: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(directory).args(arguments);
        assert!(command.output().unwrap().status.success(), "{arguments:?}");
    }

    /// A checkout with packages in several depths, and what is none.
    fn checkout() -> (tempfile::TempDir, Repo) {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            "package.json",
            "packages/a/package.json",
            "packages/b/deep/package.json",
            "packages/long-enough/package.json",
            "packages/not/my-package.json",
            "packages/directory/package.json/file",
            "packages/a/node_modules/c/package.json",
            "ümlaut/package.json",
        ];
        for path in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        std::fs::create_dir(directory.path().join("packages/link")).unwrap();
        let link = directory.path().join("packages/link/package.json");
        std::os::unix::fs::symlink("../a/package.json", link).unwrap();
        let repo = Repo::create(directory.path(), "main", 0).unwrap();
        git(directory.path(), &["reset", "--quiet", "--hard"]);
        (directory, repo)
    }

    /// The directories that hold a `package.json`: by the index, where it tells, and by the tree.
    fn both(repo: &Repo) -> (Option<BTreeSet<RepoPath>>, BTreeSet<RepoPath>) {
        let tree = repo.tree(&repo.head().unwrap()).unwrap().id();
        let all = |_: &RepoPath| true;
        let directories = |found: Vec<(RepoPath, git2::Oid)>| {
            let found = found.into_iter();
            found.map(|(directory, _)| directory).collect()
        };
        let by_index = repo.package_files_in_index(tree, &all).map(directories);
        let objects = repo.objects().unwrap();
        let by_tree = repo.package_files_in_tree(&objects, tree, &all, &all);
        (by_index, directories(by_tree.unwrap()))
    }

    #[test]
    fn an_index_tells_what_the_tree_tells() {
        let (directory, repo) = checkout();
        let (by_index, by_tree) = both(&repo);
        assert_eq!(by_index.as_ref(), Some(&by_tree));
        let shown: Vec<&str> = by_tree.iter().map(RepoPath::as_str).collect();
        let expected = [
            "",
            "packages/a",
            "packages/b/deep",
            "packages/long-enough",
            "ümlaut",
        ];
        assert_eq!(shown, expected);
        // What is changed and not staged is not the commit's.
        std::fs::remove_file(directory.path().join("package.json")).unwrap();
        std::fs::write(directory.path().join("packages/package.json"), "{}").unwrap();
        assert_eq!(both(&repo), (by_index, by_tree));
    }

    #[test]
    fn an_index_that_holds_something_else_tells_nothing() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 8] = [
            ("staged", |at| {
                std::fs::write(at.join("packages/package.json"), "{}").unwrap();
                git(at, &["add", "."]);
            }),
            ("removed", |at| {
                git(at, &["rm", "--quiet", "--cached", "package.json"]);
            }),
            ("to be added", |at| {
                std::fs::write(at.join("new"), "").unwrap();
                git(at, &["add", "--intent-to-add", "new"]);
            }),
            ("another commit", |at| {
                std::fs::write(at.join("new"), "").unwrap();
                git(at, &["add", "new"]);
                git(at, &["write-tree"]);
            }),
            ("compressed", |at| {
                git(at, &["update-index", "--index-version", "4"]);
            }),
            ("split", |at| git(at, &["update-index", "--split-index"])),
            ("sparse", |at| {
                let set = ["sparse-checkout", "set", "--cone", "--sparse-index"];
                git(at, &[&set[..], &["packages/a"]].concat());
            }),
            ("gone", |at| {
                std::fs::remove_file(at.join(".git/index")).unwrap();
            }),
        ];
        for (name, change) in changes {
            let (directory, repo) = checkout();
            change(directory.path());
            let (by_index, by_tree) = both(&repo);
            assert_eq!(by_index, None, "{name}");
            assert_eq!(by_tree.len(), 5, "{name}");
        }
    }

    #[test]
    fn an_index_that_is_cut_anywhere_tells_nothing() {
        let (directory, repo) = checkout();
        let tree = repo.tree(&repo.head().unwrap()).unwrap().id();
        let index = std::fs::read(directory.path().join(".git/index")).unwrap();
        assert!(super::entries_of(&index, tree).is_some());
        let told = (0..index.len())
            .filter(|end| super::entries_of(&index[..*end], tree).is_some())
            .min();
        // Only what comes after its cached trees may be missing.
        let trees = index.windows(4).rposition(|four| four == b"TREE").unwrap();
        let length = u32::from_be_bytes(index[trees + 4..trees + 8].try_into().unwrap());
        let end = trees + 8 + usize::try_from(length).unwrap();
        assert!(told.is_none_or(|told| told >= end), "{told:?} {end}");
        for place in 0..index.len() {
            let mut wrong = index.clone();
            wrong[place] ^= 0xff;
            let _ = super::entries_of(&wrong, tree);
        }
    }
}
