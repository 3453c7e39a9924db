//! Files that survive a power cut, and failures that name the path.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::release::LONGEST_DOCUMENT;

/// What the disk refused: what is in the way, and what to do about it.
pub(super) fn trouble(path: &Path, error: &std::io::Error) -> Failure {
    let (exit, code, hint) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            Exit::Temporary,
            "host::disk",
            "make room on its disk, then pull again",
        ),
        ErrorKind::PermissionDenied => (
            Exit::Refused,
            "host::disk_error",
            "pull as the user it belongs to, or let this user write there",
        ),
        ErrorKind::ReadOnlyFilesystem => (
            Exit::Refused,
            "host::disk_error",
            "mount its disk for writing, or name another place with --host-directory or --log-directory",
        ),
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => (
            Exit::Refused,
            "host::disk_error",
            "a file is where a directory must be, or the other way round: move it away, or name another place with --host-directory or --log-directory",
        ),
        ErrorKind::CrossesDevices => (
            Exit::Refused,
            "host::disk_error",
            "everything in the app's directory must be on one file system: a release appears whole because it is renamed",
        ),
        _ => (
            Exit::Temporary,
            "host::disk_error",
            "look at the disk, then pull again",
        ),
    };
    let path = path.to_string_lossy();
    let what = format!("{} cannot be changed or read", quoted(&path));
    Failure::new(exit, code, what)
        .because(error)
        .place(Place::file(path))
        .hint(hint)
}

pub(super) fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| trouble(path, &error))
}

/// Names and paths of a directory's entries in order of name; none when there is no such directory.
pub(super) fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let failed = |error: &std::io::Error| trouble(path, error);
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|error| failed(&error))?;
        let name = entry.file_name().into_string().map_err(|name| {
            failed(&std::io::Error::other(format!(
                "{} is not UTF-8",
                quoted(&name.to_string_lossy())
            )))
        })?;
        found.push((name, entry.path()));
    }
    found.sort();
    Ok(found)
}

/// Removes a file, a link or a whole tree; success when there is none.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(trouble(path, &error)),
        _ => Ok(()),
    }
}

pub(super) fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble(path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_DOCUMENT)
        .read_to_end(&mut bytes)
        .map_err(|error| trouble(path, &error))?;
    Ok(Some(bytes))
}

/// Replaces a file in one step: readers and power cuts see the old or the new bytes.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| trouble(path, &error))?;
    match path.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

pub(super) fn sync_directory(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| trouble(path, &error))
}

/// Brings everything below `path` to the disk: one call for a tree of tens of thousands of files.
#[cfg(target_os = "linux")]
pub(super) fn sync_file_system(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|directory| Ok(rustix::fs::syncfs(&directory)?))
        .map_err(|error| trouble(path, &error))
}

/// Brings everything to the disk.
#[cfg(not(target_os = "linux"))]
pub(super) fn sync_file_system(_path: &Path) -> Result<(), Failure> {
    rustix::fs::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_the_disk_refuses_is_said_with_its_place_and_what_to_do() {
        let check = |error: Errno, exit: Exit, hint: &str| {
            let failure = trouble(Path::new("/srv/web"), &error.into());
            assert_eq!(failure.exit(), exit, "{error}");
            let place = failure.where_in().map(ToString::to_string);
            assert_eq!(place.as_deref(), Some("/srv/web"));
            let advice = failure.advice().unwrap_or_default();
            assert!(advice.contains(hint), "{error}: {advice}");
        };
        check(Errno::NOSPC, Exit::Temporary, "make room");
        check(Errno::DQUOT, Exit::Temporary, "make room");
        check(Errno::ACCESS, Exit::Refused, "as the user");
        check(Errno::PERM, Exit::Refused, "as the user");
        check(Errno::ROFS, Exit::Refused, "for writing");
        check(Errno::NOTDIR, Exit::Refused, "move it away");
        check(Errno::EXIST, Exit::Refused, "move it away");
        check(Errno::XDEV, Exit::Refused, "one file system");
        check(Errno::IO, Exit::Temporary, "look at the disk");
    }
}
