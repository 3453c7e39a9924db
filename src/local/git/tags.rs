//! Which tags there are, read from the refs as they lie on disk: all names at once, an object only where somebody asks for it.
//!
//! A fetch into an empty repository, as CI does it, writes a file for every tag. Opening ten thousand of them to look at a few would cost
//! more than the rest of a plan. The form of `packed-refs` is that of
//! [gitrepository-layout](https://git-scm.com/docs/gitrepository-layout) and of git's own `refs/packed-backend.c`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};
use rustix::fs::OFlags;

use super::{Repo, commit_id, object_id};
use crate::explain::{Exit, Failure, size};
use crate::name::{CommitId, TagName};

/// The longest `packed-refs` that is read, in bytes: two million refs.
const LONGEST_PACKED_REFS: u64 = 256 << 20;
/// The longest file of one ref, in bytes.
const LONGEST_REF: u64 = 4 << 10;

/// The most text of a tag's message that is read, in bytes.
const LONGEST_MESSAGE: usize = 64 << 10;

/// A tag with the object that its ref holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name.
    pub name: TagName,
    /// The id of the object that its ref holds, 40 digits.
    pub object: String,
}

/// An annotated tag as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagMessage {
    /// The commit it names.
    pub commit: CommitId,
    /// Its message; empty for a lightweight tag.
    pub message: String,
}

/// The tags of a repository at one moment.
pub struct Tags {
    held: BTreeMap<TagName, Held>,
    /// Where the refs that are files of their own lie.
    directory: PathBuf,
}

/// The tags of a repository at one moment, by the commit that each names in the end.
pub struct Tagged {
    /// Names and the objects that the refs hold, in order of name. What `packed-refs` says is named may be no commit.
    by_commit: BTreeMap<Oid, Vec<(TagName, Oid)>>,
}

impl Tagged {
    /// The commits that tags name.
    pub fn commits(&self) -> impl Iterator<Item = CommitId> {
        self.by_commit.keys().map(|id| commit_id(*id))
    }

    /// The commits that such tags name.
    pub fn commits_of(&self, wanted: impl Fn(&TagName) -> bool) -> BTreeSet<CommitId> {
        let named = self.by_commit.iter();
        let named = named.filter(|(_, tags)| tags.iter().any(|(name, _)| wanted(name)));
        named.map(|(id, _)| commit_id(*id)).collect()
    }
}

/// Where it stands what a tag holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// In `packed-refs`: the object, and what it names in the end where that is written too.
    Packed(Oid, Option<Oid>),
    /// In a file of its own.
    Loose,
}

impl Tags {
    /// Reads the names below a directory that holds `refs/tags` and `packed-refs`. A name that git allows and we do not is left out.
    fn read(directory: &Path) -> io::Result<Tags> {
        // Files first: git packs a ref before it removes the file, so no tag is missed in between.
        let loose = loose(&directory.join("refs/tags"))?;
        let text = bounded(&directory.join("packed-refs"), LONGEST_PACKED_REFS)?;
        // They lie in order there, which makes this cheap.
        let mut held: BTreeMap<_, _> = packed(&text.unwrap_or_default())?.into_iter().collect();
        held.extend(loose.into_iter().map(|name| (name, Held::Loose)));
        Ok(Tags {
            held,
            directory: directory.to_path_buf(),
        })
    }

    /// The tags of the repository with this [`Repo::common_directory`].
    pub fn of(directory: &Path) -> Result<Tags, Failure> {
        Tags::read(directory).map_err(|error| unreadable("the tags", error))
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &TagName> {
        self.held.keys()
    }

    /// All names, without what they hold.
    pub fn into_names(self) -> BTreeSet<TagName> {
        self.held.into_keys().collect()
    }

    /// The object that a tag's ref holds; `None` where there is no such tag any more, or it is a symbolic ref.
    fn object(&self, name: &TagName) -> io::Result<Option<Oid>> {
        match self.held.get(name) {
            None => Ok(None),
            Some(Held::Packed(object, _)) => Ok(Some(*object)),
            Some(Held::Loose) => {
                let Some(text) = bounded(&self.directory.join(name.as_ref_name()), LONGEST_REF)?
                else {
                    return Ok(None);
                };
                let text = text.trim_ascii_end();
                if text.starts_with(b"ref:") {
                    return Ok(None);
                }
                object_id(text).map(Some).ok_or_else(|| {
                    let what = format!("{} holds no object id", name.as_ref_name());
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })
            }
        }
    }
}

impl Repo {
    /// The names of all tags.
    pub fn tag_names(&self) -> Result<Tags, Failure> {
        Tags::of(self.common_directory())
    }

    /// All tags with the objects their refs hold, in order of name. A broken ref is warned of and left out, as git does; whoever needs that
    /// tag is told by [`Repo::tag_target`].
    pub fn tags(&self) -> Result<Vec<Tag>, Failure> {
        let tags = self.tag_names()?;
        let mut held = Vec::new();
        for name in tags.names() {
            let object = match tags.object(name) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!("the tag {name} is left out: {error}");
                    None
                }
                object => object.map_err(|error| unreadable(name, error))?,
            };
            held.extend(object.map(|object| Tag {
                name: name.clone(),
                object: object.to_string(),
            }));
        }
        Ok(held)
    }

    /// What a tag names in the end, if that is a commit; where `packed-refs` tells, nothing is read, and nobody checked that it is one.
    pub fn tag_target(&self, tags: &Tags, name: &TagName) -> Result<Option<CommitId>, Failure> {
        if let Some(Held::Packed(_, Some(target))) = tags.held.get(name) {
            return Ok(Some(commit_id(*target)));
        }
        let object = tags.object(name).map_err(|error| unreadable(name, error))?;
        let target = object.map(|object| self.target(object)).transpose();
        let target = target.map_err(|error| unreadable(name, io::Error::other(error)))?;
        Ok(target.flatten().map(commit_id))
    }

    /// The tags that name commits. Where `packed-refs` tells what a tag names, its object is not read. A broken ref is warned of and left out,
    /// as in [`Repo::tags`].
    pub fn tagged(&self) -> Result<Tagged, Failure> {
        let tags = self.tag_names()?;
        let mut by_commit: BTreeMap<Oid, Vec<(TagName, Oid)>> = BTreeMap::new();
        for (name, held) in &tags.held {
            let object = match tags.object(name) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!("the tag {name} is left out: {error}");
                    None
                }
                object => object.map_err(|error| unreadable(name, error))?,
            };
            let Some(object) = object else {
                continue;
            };
            let target = match held {
                Held::Packed(_, Some(target)) => Some(*target),
                _ => self.target(object).ok().flatten(),
            };
            if let Some(target) = target {
                let named = by_commit.entry(target).or_default();
                named.push((name.clone(), object));
            }
        }
        Ok(Tagged { by_commit })
    }

    /// The tags that name a commit, with what they say, in order of name.
    pub fn tag_messages(&self, tagged: &Tagged, commit: &CommitId) -> Vec<(TagName, TagMessage)> {
        let named = object_id(commit.as_str().as_bytes()).and_then(|id| tagged.by_commit.get(&id));
        let named = named.into_iter().flatten();
        named
            .filter_map(|(name, object)| {
                Some((name.clone(), self.tag_message(&object.to_string())?))
            })
            .collect()
    }

    /// The commit that an object is or, as a tag, names in the end.
    fn target(&self, mut object: Oid) -> Result<Option<Oid>, git2::Error> {
        let objects = self.git.odb()?;
        loop {
            let read = objects.read(object)?;
            let named = match read.kind() {
                ObjectType::Commit => return Ok(Some(object)),
                ObjectType::Tag => tagged(read.data()),
                _ => None,
            };
            match named {
                // Not read, only looked for: a thousand tags may name one commit with a long message.
                Some((commit, b"commit")) if objects.exists(commit) => return Ok(Some(commit)),
                Some((other, _)) => object = other,
                None => return Ok(None),
            }
        }
    }

    /// The commit that a tag's object names in the end; `None` when it names something else, or is not here.
    pub fn peel(&self, object: &str) -> Option<CommitId> {
        let target = self.target(object_id(object.as_bytes())?).ok()??;
        Some(commit_id(target))
    }

    /// The object that a tag's ref holds here.
    pub fn resolve_tag(&self, name: &TagName) -> Option<String> {
        self.git
            .find_reference(&name.as_ref_name())
            .ok()?
            .target()
            .map(|oid| oid.to_string())
    }

    /// What a tag's object says; `None` when it names no commit, or is not here.
    pub fn tag_message(&self, object: &str) -> Option<TagMessage> {
        let commit = self.peel(object)?;
        let tag = Oid::from_str(object)
            .ok()
            .and_then(|oid| self.git.find_tag(oid).ok());
        let message = tag
            .and_then(|tag| {
                tag.message()
                    .ok()
                    .flatten()
                    .map(|message| message.chars().take(LONGEST_MESSAGE).collect())
            })
            .unwrap_or_default();
        Some(TagMessage { commit, message })
    }
}

fn unreadable(what: impl std::fmt::Display, error: io::Error) -> Failure {
    Failure::new(Exit::Refused, "git::read", format!("{what} cannot be read"))
        .because(error)
        .hint("`git fsck` tells whether the repository is damaged")
}

/// What a tag object names, and of which kind that is, by its first two lines.
fn tagged(tag: &[u8]) -> Option<(Oid, &[u8])> {
    let mut lines = tag.split(|byte| *byte == b'\n');
    let object = object_id(lines.next()?.strip_prefix(b"object ")?)?;
    Some((object, lines.next()?.strip_prefix(b"type ")?))
}

/// The names of the files below `refs/tags`.
fn loose(directory: &Path) -> io::Result<Vec<TagName>> {
    let mut names = Vec::new();
    for entry in walkdir::WalkDir::new(directory) {
        let entry = match entry {
            Ok(entry) => entry,
            // Another process may pack refs or delete a tag while we look.
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.path().strip_prefix(directory).ok();
        // Git's own lock files end in `.lock`, which no ref may.
        names.extend(path.and_then(|path| TagName::parse(path.to_str()?).ok()));
    }
    Ok(names)
}

fn is_gone(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// A file's bytes; `None` where there is none.
pub(super) fn bounded(path: &Path, longest: u64) -> io::Result<Option<Vec<u8>>> {
    // Without NONBLOCK, a fifo in its place would hold us for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        let what = format!("{} is no regular file", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let what = format!("{} is longer than {}", path.display(), size(longest));
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some(bytes))
}

/// The tags of `packed-refs`: lines `ID NAME`, each followed by `^ID` where the first names an annotated tag.
fn packed(text: &[u8]) -> io::Result<Vec<(TagName, Held)>> {
    let mut lines = text.split(|byte| *byte == b'\n').enumerate().peekable();
    let mut fully_peeled = false;
    let mut tags = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.starts_with(b"#") {
            // With this mark, what has no `^` line is no annotated tag.
            fully_peeled |= line
                .split(|byte| *byte == b' ')
                .any(|word| word == b"fully-peeled");
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let peeled = lines
            .next_if(|(_, line)| line.starts_with(b"^"))
            .map(|(_, line)| object_id(&line[1..]));
        let read = line.split_at_checked(40).and_then(|(object, name)| {
            let peeled = match peeled {
                Some(peeled) => Some(peeled?),
                None => None,
            };
            Some((object_id(object)?, peeled, name.strip_prefix(b" ")?))
        });
        let Some((object, peeled, name)) = read else {
            let what = format!("line {} of packed-refs is malformed", number + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let name = name
            .strip_prefix(b"refs/tags/")
            .and_then(|name| TagName::parse(std::str::from_utf8(name).ok()?).ok());
        if let Some(name) = name {
            let target = peeled.or(fully_peeled.then_some(object));
            tags.push((name, Held::Packed(object, target)));
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use git2::Repository;

    use super::*;

    #[test]
    fn a_fifo_in_the_place_of_a_ref_holds_nobody() {
        let directory = tempfile::tempdir().unwrap();
        tagged_repository(directory.path());
        let repository = Repo::open(directory.path()).unwrap();
        let fifo = directory.path().join(".git/refs/tags/fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(
            repository
                .tags()
                .unwrap()
                .iter()
                .all(|tag| tag.name.as_str() != "fifo")
        );
        let tags = repository.tag_names().unwrap();
        let name = TagName::parse("fifo").unwrap();
        let failure = repository.tag_target(&tags, &name).unwrap_err();
        assert_eq!(failure.code(), "git::read");
        assert!(failure.causes()[0].contains("no regular file"));
    }

    /// A repository with a lightweight and an annotated tag, a tag of a tag, and one of a file.
    fn tagged_repository(directory: &Path) -> Repository {
        let git = Repository::init(directory).unwrap();
        let who = git2::Signature::new("a", "a@b", &git2::Time::new(0, 0)).unwrap();
        let tree = git
            .find_tree(git.treebuilder(None).unwrap().write().unwrap())
            .unwrap();
        let commit = git
            .commit(Some("HEAD"), &who, &who, "one", &tree, &[])
            .unwrap();
        let object = git.find_object(commit, None).unwrap();
        git.tag_lightweight("light", &object, false).unwrap();
        let tag = git
            .tag("@x/a@1.0.0", &object, &who, "first", false)
            .unwrap();
        let tag = git.find_object(tag, None).unwrap();
        git.tag("tag-of-tag", &tag, &who, "second", false).unwrap();
        let file = git.find_object(git.blob(b"file").unwrap(), None).unwrap();
        git.tag_lightweight("file", &file, false).unwrap();
        drop((tree, object, tag, file));
        git
    }

    fn told(directory: &Path) -> Vec<(String, String, bool)> {
        let repo = Repo::open(directory).unwrap();
        let tags = repo.tag_names().unwrap();
        let named = tags.names().map(|name| {
            let target = repo.tag_target(&tags, name).unwrap();
            let object = tags.object(name).unwrap().unwrap();
            (
                name.to_string(),
                object.to_string(),
                target == repo.head().ok(),
            )
        });
        named.collect()
    }

    fn pack(directory: &Path, arguments: &[&str]) {
        let packed = std::process::Command::new("git")
            .arg("-C")
            .arg(directory)
            .arg("pack-refs")
            .args(arguments)
            .status();
        assert!(packed.unwrap().success());
    }

    #[test]
    fn packed_and_loose_tags_say_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let git = tagged_repository(directory.path());
        let object = |name: &str| {
            let reference = git.find_reference(&format!("refs/tags/{name}")).unwrap();
            reference.target().unwrap().to_string()
        };
        let expected = [
            ("@x/a@1.0.0", true),
            ("file", false),
            ("light", true),
            ("tag-of-tag", true),
        ]
        .map(|(name, commit)| (name.to_owned(), object(name), commit));
        assert_eq!(told(directory.path()), expected);
        pack(directory.path(), &["--all"]);
        assert!(!directory.path().join(".git/refs/tags/light").exists());
        assert_eq!(told(directory.path()), expected);
    }

    #[test]
    fn a_file_outweighs_what_was_packed_before() {
        let directory = tempfile::tempdir().unwrap();
        let git = tagged_repository(directory.path());
        pack(directory.path(), &["--all"]);
        let file = git.find_reference("refs/tags/file").unwrap();
        git.reference("refs/tags/light", file.target().unwrap(), true, "moved")
            .unwrap();
        let moved = told(directory.path())
            .into_iter()
            .find(|(name, ..)| name == "light");
        assert_eq!(moved.unwrap().1, file.target().unwrap().to_string());
    }

    #[test]
    fn packed_refs_are_read_line_by_line() {
        let id = "0123456789012345678901234567890123456789";
        for (text, expected) in [
            (String::new(), Some(vec![])),
            (format!("{id} refs/heads/main\n^{id}\n"), Some(vec![])),
            (
                format!("{id} refs/tags/a\n{id} refs/tags/b..c\n"),
                Some(vec!["a"]),
            ),
            (
                format!("{id} refs/tags/a\n^{id}\n\n{id} refs/tags/b"),
                Some(vec!["a", "b"]),
            ),
            (format!("{id} refs/tags/a\n^short\n"), None),
            (format!("^{id}\n"), None),
            (format!("{id}refs/tags/a\n"), None),
            ("nothing\n".to_owned(), None),
        ] {
            let names = packed(text.as_bytes()).map(|tags| {
                tags.iter()
                    .map(|(name, _)| name.to_string())
                    .collect::<Vec<_>>()
            });
            let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect());
            assert_eq!(names.ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_empty_ref_is_told_and_never_taken_for_none() {
        let directory = tempfile::tempdir().unwrap();
        tagged_repository(directory.path());
        std::fs::write(directory.path().join(".git/refs/tags/light"), "").unwrap();
        let repo = Repo::open(directory.path()).unwrap();
        let tags = repo.tag_names().unwrap();
        let name = TagName::parse("light").unwrap();
        let held = repo.tags().unwrap();
        assert!(held.len() == 3 && held.iter().all(|tag| tag.name != name));
        assert_eq!(
            repo.tag_target(&tags, &name).unwrap_err().code(),
            "git::read"
        );
    }

    #[test]
    fn only_the_mark_tells_that_every_annotated_tag_is_peeled() {
        let id = "0123456789012345678901234567890123456789";
        let line = format!("{id} refs/tags/a\n");
        let name = TagName::parse("a").unwrap();
        let oid = Oid::from_str(id).unwrap();
        for (header, peeled) in [
            ("# pack-refs with: peeled fully-peeled sorted \n", Some(oid)),
            ("# pack-refs with: peeled \n", None),
            ("", None),
        ] {
            let tags = packed(format!("{header}{line}").as_bytes()).unwrap();
            let held = Held::Packed(oid, peeled);
            assert_eq!(tags, [(name.clone(), held)], "{header:?}");
        }
    }
}
