//! Temporary directories that a killed run does not leave behind for ever: the next run removes them.
//!
//! All of them lie in one directory of ours, `pkgs-action-<user>` in `TMPDIR` or `/tmp`. Whoever works in one holds a lock on it, which
//! the kernel frees when the process dies; whoever makes one first removes every other that nobody holds. Making and removing happen
//! under the lock of the common directory, so none is removed before its maker could lock it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::explain::{Exit, Failure, quoted};

/// A directory that nobody else can look into and that is removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    // Removed before the lock is freed.
    directory: tempfile::TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes an empty directory, after removing those that killed runs left.
    ///
    /// # Errors
    /// `scratch::disk`, exit 75; `scratch::foreign`, exit 3, when the common directory belongs to another user.
    pub fn new() -> Result<Scratch, Failure> {
        Scratch::below(&tempfile::env::temp_dir())
    }

    fn below(temporary: &Path) -> Result<Scratch, Failure> {
        let user = rustix::process::geteuid();
        let common = temporary.join(format!("pkgs-action-{}", user.as_raw()));
        let failed = |error: io::Error| {
            Failure::new(
                Exit::Temporary,
                "scratch::disk",
                format!(
                    "a temporary directory could not be made in {}",
                    quoted(&common.display().to_string())
                ),
            )
            .because(error)
            .hint("check the disk, or let TMPDIR name another place")
        };
        match DirBuilder::new().mode(0o700).create(&common) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let gate = open(&common).map_err(failed)?;
        if gate.metadata().map_err(failed)?.uid() != user.as_raw() {
            return Err(foreign(&common));
        }
        flock(&gate, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        remove_abandoned(&common);
        let directory = tempfile::Builder::new()
            .prefix("")
            .tempdir_in(&common)
            .map_err(failed)?;
        let lock = open(directory.path()).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed(error.into()))?;
        Ok(Scratch {
            directory,
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Opens a directory, never by way of a link.
pub(super) fn open(directory: &Path) -> io::Result<File> {
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(directory)
}

fn foreign(common: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        "scratch::foreign",
        format!(
            "{} belongs to another user",
            quoted(&common.display().to_string())
        ),
    )
    .because("whoever owns it could change what is packed in it")
    .hint("let TMPDIR name a directory of your own")
}

/// What cannot be removed stays for a later run: it is in nobody's way.
fn remove_abandoned(common: &Path) {
    let entries = fs::read_dir(common).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).collect::<Vec<PathBuf>>() {
        let Ok(lock) = open(&path) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            drop(fs::remove_dir_all(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A death frees the lock and removes nothing.
    fn die(scratch: Scratch) -> PathBuf {
        scratch.directory.keep()
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_in_use_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let abandoned = Scratch::below(temporary.path()).unwrap();
        fs::create_dir(abandoned.path().join("sub")).unwrap();
        fs::write(abandoned.path().join("sub/file"), "left").unwrap();
        let left = die(abandoned);

        let used = Scratch::below(temporary.path()).unwrap();
        assert!(!left.exists());
        fs::write(used.path().join("file"), "kept").unwrap();
        let other = Scratch::below(temporary.path()).unwrap();
        assert_eq!(fs::read(used.path().join("file")).unwrap(), b"kept");
        assert_ne!(used.path(), other.path());

        let common = used.path().parent().unwrap().to_owned();
        drop((used, other));
        assert_eq!(fs::read_dir(common).unwrap().count(), 0);
    }

    #[test]
    fn many_at_once_keep_their_directories() {
        let temporary = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let scratch = Scratch::below(temporary.path()).unwrap();
                        fs::write(scratch.path().join("file"), "mine").unwrap();
                        assert!(scratch.path().join("file").exists());
                    }
                });
            }
        });
    }

    #[test]
    fn the_common_directory_is_never_a_link() {
        let temporary = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let elsewhere = temporary.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let common = temporary.path().join(format!("pkgs-action-{user}"));
        std::os::unix::fs::symlink(&elsewhere, common).unwrap();
        let failure = Scratch::below(temporary.path()).unwrap_err();
        assert_eq!(failure.code(), "scratch::disk");
    }
}
