//! A directory whose files appear whole or not at all, and are durable when they do: what the directory store and the directory registry
//! stand on. Synchronous; its callers run it beside the runtime.
//!
//! Every path is walked part by part from the open root, and no part may be a symbolic link, so nothing below the root leads out of it.

use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::explain::Exit;
use crate::name::Digest;

/// What our own files and directories at the root start with; never the name of an object.
pub(super) const RESERVED: &str = ".pkgs-";

const TEMPORARY: &str = ".pkgs-tmp";
/// How often a step is tried that another run's removal can undo at any time.
const TRIES: u32 = 100;
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// A part of the path is a file where a directory is needed, or the other way round, or is too long for the file system.
    #[error("{0}")]
    Shape(&'static str),
    /// A part of the path is a symbolic link.
    #[error("a part of its path is a symbolic link")]
    Link,
    /// Nothing changed.
    #[error("{0}")]
    Before(io::Error),
    /// The change was made, but may not survive a loss of power.
    #[error("{0}")]
    After(io::Error),
}

impl From<Errno> for DiskError {
    fn from(error: Errno) -> DiskError {
        match error {
            Errno::NAMETOOLONG => {
                DiskError::Shape("a part of it is longer than the file system allows")
            }
            Errno::LOOP => DiskError::Link,
            error => DiskError::Before(error.into()),
        }
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> DiskError {
        DiskError::Before(error)
    }
}

/// The exit code for an error of the disk: 5 where the disk refuses (read-only, not permitted), else 75: one that is full can be emptied.
pub(super) fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::Unsupported => Exit::RemoteRefused,
        _ => Exit::Temporary,
    }
}

/// Copies `from` to `to` and tells length and digest; stops after `limit` bytes with `None`.
pub(super) fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    limit: u64,
) -> io::Result<Option<(u64, Digest)>> {
    use sha2::Digest as _;
    let mut sum = sha2::Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut length = 0u64;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(Some((length, Digest::from_sha256(sum.finalize())))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += count as u64;
        if length > limit {
            return Ok(None);
        }
        sum.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
    }
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    path: PathBuf,
    swept: Once,
}

/// A complete, durable file without a name of its own yet; gone when dropped.
pub(super) struct Temporary {
    directory: OwnedFd,
    name: String,
    // Locked as long as its maker lives: by that others know that it is in use.
    file: File,
}

impl Temporary {
    /// Makes an empty file and locks it. Another run may take it for abandoned before it is locked: then another one is made.
    fn new(directory: OwnedFd) -> Result<Temporary, DiskError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        for _ in 0..TRIES {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let random = std::collections::hash_map::RandomState::new().hash_one(number);
            let name = format!("{}-{number}-{random:016x}", std::process::id());
            let mode = Mode::from_raw_mode(0o666);
            let file = rustix::fs::openat(&directory, name.as_str(), flags, mode)?;
            // A file system without locks lets nobody take a file for abandoned either.
            let _ = rustix::fs::flock(&file, FlockOperation::LockExclusive);
            if rustix::fs::fstat(&file)?.st_nlink > 0 {
                let file = File::from(file);
                return Ok(Temporary {
                    directory,
                    name,
                    file,
                });
            }
        }
        Err(DiskError::Before(io::ErrorKind::NotFound.into()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; what cannot be removed is never shown to anyone.
        let _ = rustix::fs::unlinkat(&self.directory, self.name.as_str(), AtFlags::empty());
    }
}

/// A lock on a file, released when dropped and when its process ends.
pub(super) struct Lock {
    _file: OwnedFd,
}

impl Root {
    /// Opens the directory at `path`, which may itself be a symbolic link.
    pub(super) fn open(path: &Path) -> io::Result<Root> {
        let directory = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Root {
            directory,
            path: path.to_owned(),
            swept: Once::new(),
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file `name`, open for reading; `None` when there is no file.
    pub(super) fn file(&self, name: &str) -> Result<Option<File>, DiskError> {
        let (parents, last) = split(name);
        let Some(directory) = self.walk(&parents, false)? else {
            return Ok(None);
        };
        // Without NONBLOCK, a fifo that someone put there would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&directory, last, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(file.metadata()?.is_file().then_some(file))
    }

    /// A temporary file that `write` writes and that is durable after it.
    pub(super) fn temporary(
        &self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<Temporary, DiskError> {
        let directory = self.make(&[TEMPORARY])?;
        self.swept.call_once(|| remove_abandoned(&directory));
        let mut temporary = Temporary::new(directory)?;
        write(&mut temporary.file)?;
        temporary.file.sync_all()?;
        Ok(temporary)
    }

    /// Gives a temporary file the name `name` if nothing has it, and tells whether it did.
    pub(super) fn create(&self, temporary: &Temporary, name: &str) -> Result<bool, DiskError> {
        self.place(name, |directory, last| {
            match rustix::fs::linkat(
                &temporary.directory,
                temporary.name.as_str(),
                directory,
                last,
                AtFlags::empty(),
            ) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .and_then(|(created, directory, last)| {
            if !created {
                let there = rustix::fs::statat(&directory, last, AtFlags::SYMLINK_NOFOLLOW)?;
                match FileType::from_raw_mode(there.st_mode) {
                    FileType::RegularFile => {}
                    FileType::Symlink => return Err(DiskError::Link),
                    _ => return Err(DiskError::Shape("other files lie below it")),
                }
            }
            // Also when another created it: what we are about to decide on its presence must not vanish.
            rustix::fs::fsync(&directory).map_err(|error| DiskError::After(error.into()))?;
            Ok(created)
        })
    }

    /// Gives a temporary file the name `name`, whatever has it.
    pub(super) fn replace(&self, temporary: &Temporary, name: &str) -> Result<(), DiskError> {
        let ((), directory, _) = self.place(name, |directory, last| {
            rustix::fs::renameat(
                &temporary.directory,
                temporary.name.as_str(),
                directory,
                last,
            )
        })?;
        rustix::fs::fsync(&directory).map_err(|error| DiskError::After(error.into()))
    }

    /// Removes the file `name` and the directories that are empty without it; success when there is none.
    pub(super) fn remove(&self, name: &str) -> Result<(), DiskError> {
        let (mut parents, mut last) = split(name);
        let Some(directory) = self.walk(&parents, false)? else {
            return Ok(());
        };
        match rustix::fs::unlinkat(&directory, last, AtFlags::empty()) {
            Ok(()) => {}
            // EISDIR: a directory has that name, so no file does.
            Err(Errno::NOENT | Errno::ISDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        rustix::fs::fsync(&directory).map_err(|error| DiskError::After(error.into()))?;
        while let Some(parent) = parents.pop() {
            last = parent;
            let Some(directory) = self.walk(&parents, false)? else {
                break;
            };
            if rustix::fs::unlinkat(&directory, last, AtFlags::REMOVEDIR).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the lock file `name` and holds it.
    pub(super) fn lock(&self, name: &str) -> Result<Lock, DiskError> {
        let (parents, last) = split(name);
        let directory = self.make(&parents)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, last, flags, Mode::from_raw_mode(0o666))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The names of the files whose names start with `prefix`, in byte order; without ours, links, and names that are not UTF-8.
    pub(super) fn files(&self, prefix: &str) -> Result<Vec<String>, DiskError> {
        let below = prefix
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| *part == "." || *part == "..")
            || self.walk(&parts, false)?.is_none()
        {
            return Ok(Vec::new());
        }
        let start = parts
            .iter()
            .fold(self.path.clone(), |path, part| path.join(part));
        let mut names = Vec::new();
        let walk = walkdir::WalkDir::new(&start)
            .follow_root_links(true)
            .into_iter()
            .filter_entry(|entry| {
                let ours = entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| name.starts_with(RESERVED));
                !(ours && entry.path().parent() == Some(&self.path))
            });
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => match error.into_io_error() {
                    // Removed while we looked.
                    Some(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Some(error) => return Err(error.into()),
                    None => return Err(DiskError::Link),
                },
            };
            let name = entry
                .path()
                .strip_prefix(&self.path)
                .ok()
                .and_then(Path::to_str);
            if let Some(name) = name.filter(|name| name.starts_with(prefix))
                && entry.file_type().is_file()
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Runs `deed` on the directory that holds `name`, made where it is missing.
    fn place<'name, T>(
        &self,
        name: &'name str,
        deed: impl Fn(&OwnedFd, &str) -> Result<T, Errno>,
    ) -> Result<(T, OwnedFd, &'name str), DiskError> {
        let (parents, last) = split(name);
        let mut tries = 0;
        loop {
            tries += 1;
            let directory = match self.make(&parents) {
                Err(DiskError::Before(error))
                    if error.kind() == io::ErrorKind::NotFound && tries < TRIES =>
                {
                    continue;
                }
                made => made?,
            };
            match deed(&directory, last) {
                Ok(value) => return Ok((value, directory, last)),
                // A removal took the directory away because it was empty.
                Err(Errno::NOENT) if tries < TRIES => {}
                Err(Errno::ISDIR) => return Err(DiskError::Shape("other files lie below it")),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn make(&self, parts: &[&str]) -> Result<OwnedFd, DiskError> {
        self.walk(parts, true)?
            .ok_or_else(|| DiskError::Before(io::ErrorKind::NotFound.into()))
    }

    /// The directory at `parts`; where it is missing, made or `None`.
    fn walk(&self, parts: &[&str], make: bool) -> Result<Option<OwnedFd>, DiskError> {
        let mut directory = self.directory.try_clone()?;
        for part in parts {
            let next = match rustix::fs::openat(&directory, *part, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    match rustix::fs::mkdirat(&directory, *part, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    rustix::fs::fsync(&directory)?;
                    rustix::fs::openat(&directory, *part, DIRECTORY, Mode::empty())
                }
                opened => opened,
            };
            directory = match next {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let there = rustix::fs::statat(&directory, *part, AtFlags::SYMLINK_NOFOLLOW)?;
                    if FileType::from_raw_mode(there.st_mode) == FileType::Symlink {
                        return Err(DiskError::Link);
                    }
                    if make {
                        return Err(DiskError::Shape("a part of its path is a file"));
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Some(directory))
    }
}

/// Removes the temporary files that killed runs left. It is their lock that tells, not the number of their process: the directory may be
/// shared with other machines. What cannot be removed stays for a later run: it is in nobody's way.
fn remove_abandoned(directory: &OwnedFd) {
    let Ok(entries) = rustix::fs::Dir::read_from(directory) else {
        return;
    };
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Ok(file) = rustix::fs::openat(directory, name, flags, Mode::empty()) else {
            continue;
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
        }
    }
}

fn split(name: &str) -> (Vec<&str>, &str) {
    let mut parts: Vec<&str> = name.split('/').collect();
    let last = parts.pop().unwrap_or_default();
    (parts, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Root::open(directory.path()).expect("its root");
        (directory, root)
    }

    fn write(root: &Root, name: &str, text: &str) -> Result<bool, DiskError> {
        let temporary = root.temporary(|file| file.write_all(text.as_bytes()))?;
        root.create(&temporary, name)
    }

    #[test]
    fn the_first_one_stays_and_nothing_is_left_behind() {
        let (directory, root) = root();
        assert!(write(&root, "a/b", "one").expect("created"));
        assert!(!write(&root, "a/b", "two").expect("found"));
        assert_eq!(
            std::fs::read(directory.path().join("a/b")).expect("a file"),
            b"one"
        );
        assert_eq!(root.files("").expect("a list"), ["a/b"]);
        let left = std::fs::read_dir(directory.path().join(TEMPORARY)).expect("a directory");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_file_is_no_directory() {
        let (_directory, root) = root();
        assert!(write(&root, "x", "one").expect("created"));
        assert!(write(&root, "d/y", "one").expect("created"));
        assert!(matches!(
            write(&root, "x/y", "two"),
            Err(DiskError::Shape(_))
        ));
        assert!(matches!(write(&root, "d", "two"), Err(DiskError::Shape(_))));
        assert!(root.file("x/y").expect("looked").is_none());
        assert!(root.file("d").expect("looked").is_none());
    }

    #[test]
    fn links_lead_nowhere() {
        let (directory, root) = root();
        let outside = tempfile::tempdir().expect("a directory");
        std::fs::write(outside.path().join("secret"), "s").expect("written");
        std::os::unix::fs::symlink(outside.path(), directory.path().join("out")).expect("linked");
        std::os::unix::fs::symlink(outside.path().join("secret"), directory.path().join("file"))
            .expect("linked");
        assert!(matches!(root.file("out/secret"), Err(DiskError::Link)));
        assert!(matches!(root.file("file"), Err(DiskError::Link)));
        assert!(matches!(write(&root, "out/new", "x"), Err(DiskError::Link)));
        assert!(matches!(write(&root, "file", "x"), Err(DiskError::Link)));
        assert!(matches!(root.remove("out/secret"), Err(DiskError::Link)));
        assert_eq!(root.files("").expect("a list"), Vec::<String>::new());
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn an_emptied_directory_makes_room() {
        let (_directory, root) = root();
        assert!(write(&root, "a/b/c", "one").expect("created"));
        root.remove("a/b/c").expect("removed");
        root.remove("a/b/c").expect("nothing there");
        assert!(write(&root, "a", "one").expect("created"));
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_in_use_stays() {
        let (directory, first) = root();
        let used = first.temporary(|_| Ok(())).expect("made");
        let left = directory.path().join(TEMPORARY).join("1-0-left");
        std::fs::write(&left, "half").expect("written");
        let later = Root::open(directory.path()).expect("its root");
        assert!(write(&later, "a", "one").expect("created"));
        assert!(!left.exists());
        assert!(first.create(&used, "b").expect("created"));
    }

    #[test]
    fn a_directory_that_another_run_empties_meanwhile_is_made_again() {
        let (_directory, root) = root();
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let root = &root;
                scope.spawn(move || {
                    let temporary = root.temporary(|_| Ok(())).expect("made");
                    for _ in 0..1000 {
                        let name = format!("a/b/c/{writer}");
                        root.create(&temporary, &name).expect("created");
                        root.remove(&name).expect("removed");
                    }
                });
            }
        });
    }
}
