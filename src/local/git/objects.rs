//! New objects, made in memory and brought to the disk at once: a few as files of their own, many as one pack, as git itself does after a
//! fetch and in `git fast-import`. The forms are those of [Git Objects](https://git-scm.com/book/en/v2/Git-Internals-Git-Objects) and
//! [gitformat-pack](https://git-scm.com/docs/gitformat-pack).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};

use flate2::{Compress, Compression, FlushCompress, Status};
use git2::{Indexer, ObjectType, OdbLookupFlags, Oid};
use sha1::{Digest as _, Sha1};

use super::Repo;
use super::write::IDENTITY;

/// From how many objects on they are written as a pack: what git has for `transfer.unpackLimit` unless told otherwise.
const MANY: usize = 100;
/// How fast they are compressed: what git has for `core.looseCompression` unless told otherwise. A later `git gc` stores differences.
const COMPRESSION: Compression = Compression::fast();

/// The mode of a directory in a tree.
const DIRECTORY: i32 = 0o040_000;
/// The mode of a file in a tree.
const FILE: i32 = 0o100_644;
/// The mode of an executable file in a tree.
const EXECUTABLE: i32 = 0o100_755;

/// Objects that are not on the disk yet, those that others name first.
#[derive(Default)]
pub(super) struct NewObjects<'b> {
    made: Vec<NewObject<'b>>,
    known: HashSet<Oid>,
}

struct NewObject<'b> {
    id: Oid,
    kind: ObjectType,
    bytes: Cow<'b, [u8]>,
}

/// What becomes of a file: its new content, or nothing.
pub(super) type FileChange<'b> = (&'b str, Option<&'b [u8]>);

/// What becomes of an entry of a tree and of what lies below it.
#[derive(Default)]
struct EntryChange<'b> {
    file: Option<FileChange<'b>>,
    below: Vec<FileChange<'b>>,
}

/// Entries of a tree by name, each with its mode and object.
type Entries = BTreeMap<Vec<u8>, (i32, Oid)>;

fn refused(what: impl AsRef<str>) -> git2::Error {
    git2::Error::from_str(what.as_ref())
}

/// Our identity at a moment, in seconds since 1970, as a line of an object. Moments before that are written as libgit2 and git read them.
fn identity(moment: i64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what libgit2 does"
    )]
    let moment = moment as u32;
    format!("{} <{}> {moment} +0000", IDENTITY.0, IDENTITY.1)
}

impl<'b> NewObjects<'b> {
    fn add(
        &mut self,
        kind: ObjectType,
        bytes: impl Into<Cow<'b, [u8]>>,
    ) -> Result<Oid, git2::Error> {
        let bytes = bytes.into();
        let id = Oid::hash_object(kind, &bytes)?;
        if self.known.insert(id) {
            self.made.push(NewObject { id, kind, bytes });
        }
        Ok(id)
    }

    /// Makes a commit with our identity, both dates at `moment`.
    pub(super) fn commit(
        &mut self,
        tree: Oid,
        parent: Oid,
        moment: i64,
        message: &str,
    ) -> Result<Oid, git2::Error> {
        let who = identity(moment);
        let text = format!(
            "tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\n{}",
            without_nul(message)?
        );
        self.add(ObjectType::Commit, text.into_bytes())
    }

    /// Makes an annotated tag of a commit, with our identity at `moment`.
    pub(super) fn tag(
        &mut self,
        name: &str,
        commit: Oid,
        moment: i64,
        message: &str,
    ) -> Result<Oid, git2::Error> {
        let who = identity(moment);
        let text = format!(
            "object {commit}\ntype commit\ntag {name}\ntagger {who}\n\n{}",
            without_nul(message)?
        );
        self.add(ObjectType::Tag, text.into_bytes())
    }

    /// Makes a tree of `old` with files changed. A file that is there keeps its mode, a directory with nothing left in it goes.
    pub(super) fn tree(
        &mut self,
        repo: &Repo,
        old: Oid,
        changes: &[FileChange<'b>],
    ) -> Result<Oid, git2::Error> {
        let entries = self.entries(repo, Some(old), changes)?;
        self.add(ObjectType::Tree, serialized(&entries))
    }

    fn entries(
        &mut self,
        repo: &Repo,
        old: Option<Oid>,
        changes: &[FileChange<'b>],
    ) -> Result<Entries, git2::Error> {
        let mut entries = Entries::new();
        if let Some(old) = old {
            let tree = repo.git.find_tree(old)?;
            let old = tree.iter().map(|entry| {
                let held = (entry.filemode_raw(), entry.id());
                (entry.name_bytes().to_vec(), held)
            });
            entries.extend(old);
        }
        let mut by_name: BTreeMap<&str, EntryChange<'b>> = BTreeMap::new();
        for (path, content) in changes {
            match path.split_once('/') {
                None => by_name.entry(path).or_default().file = Some((path, *content)),
                Some((name, rest)) => {
                    let change = by_name.entry(name).or_default();
                    change.below.push((rest, *content));
                }
            }
        }
        for (name, change) in by_name {
            if let Some((_, content)) = change.file {
                self.change_file(&mut entries, name, content)?;
            }
            if !change.below.is_empty() {
                self.change_directory(repo, &mut entries, name, &change.below)?;
            }
        }
        Ok(entries)
    }

    fn change_file(
        &mut self,
        entries: &mut Entries,
        name: &str,
        content: Option<&'b [u8]>,
    ) -> Result<(), git2::Error> {
        let present = entries.remove(name.as_bytes());
        if present.is_some_and(|(mode, _)| mode == DIRECTORY) {
            return Err(refused(format!("{name} is a directory")));
        }
        match (content, present) {
            (None, None) => Err(refused(format!("{name} is not there"))),
            (None, Some(_)) => Ok(()),
            (Some(bytes), present) => {
                let is_executable = present.is_some_and(|(mode, _)| mode & 0o170_100 == 0o100_100);
                let mode = if is_executable { EXECUTABLE } else { FILE };
                let id = self.add(ObjectType::Blob, bytes)?;
                entries.insert(name.as_bytes().to_vec(), (mode, id));
                Ok(())
            }
        }
    }

    fn change_directory(
        &mut self,
        repo: &Repo,
        entries: &mut Entries,
        name: &str,
        below: &[FileChange<'b>],
    ) -> Result<(), git2::Error> {
        let old = match entries.remove(name.as_bytes()) {
            None => None,
            Some((DIRECTORY, id)) => Some(id),
            Some(_) => return Err(refused(format!("{name} is no directory"))),
        };
        let below = self.entries(repo, old, below)?;
        if !below.is_empty() {
            let id = self.add(ObjectType::Tree, serialized(&below))?;
            entries.insert(name.as_bytes().to_vec(), (DIRECTORY, id));
        }
        Ok(())
    }
}

/// An object's text ends at a NUL for some readers.
fn without_nul(message: &str) -> Result<&str, git2::Error> {
    if message.contains('\0') {
        return Err(refused("the message holds a NUL"));
    }
    Ok(message)
}

/// A tree as git stores it: a directory is sorted as if its name ended in `/`.
fn serialized(entries: &Entries) -> Vec<u8> {
    let mut ordered: Vec<(&Vec<u8>, &(i32, Oid))> = entries.iter().collect();
    ordered.sort_by_cached_key(|(name, (mode, _))| {
        let mut key = (*name).clone();
        key.extend((*mode == DIRECTORY).then_some(b'/'));
        key
    });
    let mut bytes = Vec::new();
    for (name, (mode, id)) in ordered {
        bytes.extend_from_slice(format!("{mode:o} ").as_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

impl Repo {
    /// Brings objects to the disk, before anything names them.
    pub(super) fn write_objects(&self, new: &NewObjects<'_>) -> Result<(), git2::Error> {
        let store = self.git.odb()?;
        let is_there =
            |object: &&NewObject<'_>| store.exists_ext(object.id, OdbLookupFlags::NO_REFRESH);
        let (mut loose, mut packed): (Vec<_>, Vec<_>) = new.made.iter().partition(is_there);
        if packed.len() < MANY {
            packed = Vec::new();
            loose = new.made.iter().collect();
        }
        // Also what is there already: it counts as new from now on, and `git gc` leaves it.
        for object in loose {
            store.write(object.kind, &object.bytes)?;
        }
        if !packed.is_empty() {
            self.write_pack(&packed)
                .map_err(|error| refused(error.to_string()))?;
            store.refresh()?;
        }
        Ok(())
    }

    fn write_pack(&self, objects: &[&NewObject<'_>]) -> io::Result<()> {
        let store = self.git.commondir().join("objects");
        // Git's own name for such a directory: `git gc` removes what a killed run left.
        let aside = tempfile::Builder::new()
            .prefix("tmp_objdir-pkgs-action-")
            .tempdir_in(&store)?;
        let mut indexer =
            Indexer::new(None, aside.path(), 0o444, false).map_err(io::Error::other)?;
        indexer.write_all(&pack(objects)?)?;
        let name = indexer.commit().map_err(io::Error::other)?;
        let files = ["pack", "idx"].map(|kind| format!("pack-{name}.{kind}"));
        // As git does it: the bytes are on the disk before they are reachable, and a pack is there before its index tells of it.
        for file in &files {
            File::open(aside.path().join(file))?.sync_all()?;
        }
        let packs = store.join("pack");
        fs::create_dir_all(&packs)?;
        for file in &files {
            fs::rename(aside.path().join(file), packs.join(file))?;
        }
        Ok(())
    }
}

/// A pack of whole objects.
fn pack(objects: &[&NewObject<'_>]) -> io::Result<Vec<u8>> {
    let count = u32::try_from(objects.len()).map_err(io::Error::other)?;
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend_from_slice(&count.to_be_bytes());
    // One for all: making its tables anew takes longer than compressing a small object.
    let mut compressor = Compress::new(COMPRESSION, true);
    for object in objects {
        let kind = match object.kind {
            ObjectType::Commit => 1,
            ObjectType::Tree => 2,
            ObjectType::Blob => 3,
            _ => 4,
        };
        extend_with_header(&mut pack, kind, object.bytes.len());
        extend_compressed(&mut pack, &mut compressor, &object.bytes)?;
    }
    let checksum = Sha1::digest(&pack);
    pack.extend_from_slice(&checksum);
    Ok(pack)
}

fn extend_compressed(
    pack: &mut Vec<u8>,
    compressor: &mut Compress,
    bytes: &[u8],
) -> io::Result<()> {
    compressor.reset();
    let mut rest = bytes;
    loop {
        pack.reserve(rest.len() / 2 + 64);
        let before = compressor.total_in();
        let status = compressor.compress_vec(rest, pack, FlushCompress::Finish)?;
        if status == Status::StreamEnd {
            return Ok(());
        }
        let taken = usize::try_from(compressor.total_in() - before).map_err(io::Error::other)?;
        rest = &rest[taken..];
    }
}

/// Kind and length of an object: four bits of the length beside the kind, seven in each byte that follows, the lowest first.
fn extend_with_header(pack: &mut Vec<u8>, kind: u8, length: usize) {
    let low = |bits: usize| u8::try_from(bits).unwrap_or_default();
    let mut byte = (kind << 4) | low(length & 0x0f);
    let mut rest = length >> 4;
    while rest > 0 {
        pack.push(byte | 0x80);
        byte = low(rest & 0x7f);
        rest >>= 7;
    }
    pack.push(byte);
}

#[cfg(test)]
mod tests {
    use git2::Repository;
    use proptest::prelude::*;

    use super::*;

    const PATHS: [&str; 9] = [
        "a", "a-b", "a.c", "a/b", "a/c/d", "a/c/e", "b", "b0/x", "b/x",
    ];

    /// A repository with files: one is executable, one a link.
    fn repository(directory: &std::path::Path, files: &[&str]) -> (Repository, Oid) {
        let git = Repository::init(directory).expect("a repository");
        let mut builder = git2::build::TreeUpdateBuilder::new();
        for (number, path) in files.iter().enumerate() {
            let blob = git.blob(path.as_bytes()).expect("a blob");
            let modes = [
                git2::FileMode::Blob,
                git2::FileMode::BlobExecutable,
                git2::FileMode::Link,
            ];
            builder.upsert(*path, blob, modes[number % 3]);
        }
        let empty = git.treebuilder(None).and_then(|tree| tree.write());
        let empty = git.find_tree(empty.expect("a tree")).expect("a tree");
        let tree = builder.create_updated(&git, &empty).expect("a tree");
        drop(empty);
        (git, tree)
    }

    /// What libgit2 makes of the same.
    fn by_libgit2(
        git: &Repository,
        old: Oid,
        changes: &[FileChange<'_>],
    ) -> Result<Oid, git2::Error> {
        let old = git.find_tree(old)?;
        let mut builder = git2::build::TreeUpdateBuilder::new();
        for (path, content) in changes {
            match content {
                Some(bytes) => {
                    let present = old.get_path(std::path::Path::new(path));
                    let mode = match present.map(|entry| entry.filemode()) {
                        Ok(0o100_755) => git2::FileMode::BlobExecutable,
                        _ => git2::FileMode::Blob,
                    };
                    builder.upsert(*path, git.blob(bytes)?, mode);
                }
                None => {
                    builder.remove(*path);
                }
            }
        }
        builder.create_updated(git, &old)
    }

    /// Paths of which none lies in another.
    fn apart(picked: &[bool]) -> Vec<&'static str> {
        let mut paths: Vec<&str> = Vec::new();
        for (path, picked) in PATHS.iter().zip(picked) {
            let within = |one: &str, other: &str| one.starts_with(&format!("{other}/"));
            let clashes = |other: &&str| within(path, other) || within(other, path);
            if *picked && !paths.iter().any(clashes) {
                paths.push(path);
            }
        }
        paths
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Trees with directories that come and go, beside files whose names sort around theirs.
        #[test]
        fn a_changed_tree_is_the_one_that_libgit2_makes(
            there in proptest::collection::vec(any::<bool>(), PATHS.len()),
            changed in proptest::collection::vec(any::<bool>(), PATHS.len()),
            removed in proptest::collection::vec(any::<bool>(), PATHS.len()),
        ) {
            let directory = tempfile::tempdir().expect("a directory");
            let (there, changed) = (apart(&there), apart(&changed));
            let (git, old) = repository(directory.path(), &there);
            let changes: Vec<FileChange<'_>> = changed.iter().zip(removed)
                .filter(|(path, removed)| !removed || there.contains(path))
                .map(|(path, removed)| (*path, (!removed).then_some(b"new".as_slice())))
                .collect();
            let repo = Repo::open(directory.path()).expect("a repository");
            let mut new = NewObjects::default();
            let ours = new.tree(&repo, old, &changes);
            if let Ok(theirs) = by_libgit2(&git, old, &changes) {
                prop_assert_eq!(ours.expect("a tree"), theirs);
            }
        }
    }

    #[test]
    fn commits_and_tags_are_those_that_libgit2_makes() {
        let directory = tempfile::tempdir().unwrap();
        let (git, tree) = repository(directory.path(), &["a"]);
        for moment in [0, 1_700_000_000, -7] {
            let who =
                git2::Signature::new(IDENTITY.0, IDENTITY.1, &git2::Time::new(moment, 0)).unwrap();
            let found = git.find_tree(tree).unwrap();
            let commit = |parents: &[&git2::Commit<'_>]| {
                git.commit(None, &who, &who, "fix: ü\n\nwhy\n", &found, parents)
                    .unwrap()
            };
            let parent = git.find_commit(commit(&[])).unwrap();
            let theirs = commit(&[&parent]);
            let mut new = NewObjects::default();
            let ours = new.commit(tree, parent.id(), moment, "fix: ü\n\nwhy\n");
            assert_eq!(ours.unwrap(), theirs);
            let object = git.find_object(theirs, None).unwrap();
            let tag = git.tag_annotation_create("@x/a@1.0.0", &object, &who, "@x/a@1.0.0\n");
            let ours = new.tag("@x/a@1.0.0", theirs, moment, "@x/a@1.0.0\n");
            assert_eq!(ours.unwrap(), tag.unwrap());
        }
        let mut new = NewObjects::default();
        assert!(new.commit(tree, tree, 0, "a\0b").is_err());
    }

    #[test]
    fn few_objects_are_files_and_many_are_one_pack_that_git_reads() {
        for (count, packs) in [(3, 0), (300, 1)] {
            let directory = tempfile::tempdir().unwrap();
            let (_, old) = repository(directory.path(), &["a"]);
            let repo = Repo::open(directory.path()).unwrap();
            let contents: Vec<(String, Vec<u8>)> = (0..count)
                .map(|number: usize| (format!("p{number}/x"), vec![b'x'; number * number]))
                .collect();
            let changes = contents.iter();
            let changes: Vec<FileChange<'_>> = changes
                .map(|(path, bytes)| (path.as_str(), Some(bytes.as_slice())))
                .collect();
            let mut new = NewObjects::default();
            let tree = new.tree(&repo, old, &changes).unwrap();
            // Again: what is there already stays as it is.
            for _ in 0..2 {
                repo.write_objects(&new).unwrap();
                let store = directory.path().join(".git/objects");
                let names = fs::read_dir(store.join("pack")).unwrap();
                let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                let names: Vec<String> = names.collect();
                let found = |kind: &str| names.iter().filter(|name| name.ends_with(kind)).count();
                assert_eq!([found(".pack"), found(".idx")], [packs, packs]);
                assert_eq!(names.len(), 2 * packs);
                let left = fs::read_dir(&store).unwrap();
                let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                assert!(left.into_iter().all(|name| !name.starts_with("tmp")));
            }
            assert!(repo.has_object(&tree.to_string()));
            for (path, bytes) in changes {
                let path = crate::name::RepoPath::parse(path).unwrap();
                let held = repo.file_of_tree(tree, &path);
                assert_eq!(held.as_deref(), bytes);
            }
            let fsck = std::process::Command::new("git")
                .arg("-C")
                .arg(directory.path())
                .args(["fsck", "--strict", "--no-dangling", &tree.to_string()])
                .output()
                .unwrap();
            assert!(fsck.status.success(), "{fsck:?}");
        }
    }

    impl Repo {
        fn file_of_tree(&self, tree: Oid, path: &crate::name::RepoPath) -> Option<Vec<u8>> {
            let tree = self.git.find_tree(tree).ok()?;
            let entry = tree.get_path(std::path::Path::new(path.as_str())).ok()?;
            Some(self.git.find_blob(entry.id()).ok()?.content().to_vec())
        }
    }
}
