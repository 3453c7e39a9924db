//! Files and directories: digests, atomic writes, copies, bounded reads, and the walk over a package.
//!
//! Every failure names the path. What a person put there or forgot is exit 3; a disk that is full or failing is exit 75.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::Digest as _;
use walkdir::{DirEntry, WalkDir};

use crate::explain::{Exit, Failure, quoted, size};
use crate::name::{Digest, hexadecimal};
use crate::workspace::pack_list::{IgnoreFiles, PackageTree, TreeFile};

/// How many bytes are read at a time.
pub(crate) const CHUNK: usize = 128 << 10;

/// The most files and directories that a package may have.
const MOST_FILES: usize = 200_000;

/// The deepest directory that is entered, counted from the package.
const DEEPEST: usize = 128;

/// The longest `.npmignore` or `.gitignore`, in bytes.
const LONGEST_IGNORE_FILE: u64 = 1 << 20;

/// A failure of the system on a file: temporary where running again can help, else refused.
pub(crate) fn failed(code: &'static str, deed: &str, path: &Path, error: &io::Error) -> Failure {
    let exit = if is_temporary(error) {
        Exit::Temporary
    } else {
        Exit::Refused
    };
    let failure = Failure::new(
        exit,
        code,
        format!("cannot {deed} {}", quoted(&path.display().to_string())),
    )
    .because(error);
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => failure.hint("free some space, then run again"),
        _ => failure,
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(
            Errno::NOSPC
                | Errno::DQUOT
                | Errno::IO
                | Errno::MFILE
                | Errno::NFILE
                | Errno::NOMEM
                | Errno::AGAIN
                | Errno::BUSY
                | Errno::STALE
                | Errno::TIMEDOUT
                | Errno::INTR
        )
    )
}

/// Opens a regular file for reading; a symbolic link, a directory or a device is refused.
///
/// # Errors
/// `files::read`; `files::kind`, exit 3, for anything but a regular file.
pub(crate) fn open_regular(path: &Path) -> Result<(File, fs::Metadata), Failure> {
    // Without NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| {
            if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
                not_regular(path)
            } else {
                failed("files::read", "open", path, &error)
            }
        })?;
    let metadata = file
        .metadata()
        .map_err(|error| failed("files::read", "read", path, &error))?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(not_regular(path))
    }
}

/// The length of a regular file, in bytes, without opening it; what is not one is refused as [`open_regular`] does.
///
/// # Errors
/// `files::read`; `files::kind`, exit 3, for anything but a regular file.
pub(crate) fn regular_length(path: &Path) -> Result<u64, Failure> {
    let metadata =
        fs::symlink_metadata(path).map_err(|error| failed("files::read", "open", path, &error))?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(not_regular(path))
    }
}

fn not_regular(path: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        "files::kind",
        format!(
            "{} is not a regular file",
            quoted(&path.display().to_string())
        ),
    )
}

/// The sha256 digest of a regular file that is to be shipped and its length in bytes, read in pieces.
///
/// # Errors
/// `files::read`, `files::kind`; `build::lfs_pointer` for a file that git-lfs did not fetch.
pub fn hash_file(path: &Path) -> Result<(Digest, u64), Failure> {
    let (mut file, _) = super::lfs::open(path)?;
    let mut sum = sha2::Sha256::new();
    let length = for_each_chunk(&mut file, |chunk| sum.update(chunk))
        .map_err(|error| failed("files::read", "read", path, &error))?;
    Ok((Digest::from_sha256(sum.finalize()), length))
}

/// Hands everything that `source` gives to `each`, in pieces; answers how many bytes that were.
pub(crate) fn for_each_chunk(
    source: &mut dyn Read,
    mut each: impl FnMut(&[u8]),
) -> io::Result<u64> {
    thread_local! {
        /// Made once: most files are shorter than it takes to clear it.
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut buffer = BUFFER.take();
    buffer.resize(CHUNK, 0);
    let read = for_each_in(&mut buffer, source, &mut each);
    BUFFER.set(buffer);
    read
}

fn for_each_in(
    buffer: &mut [u8],
    source: &mut dyn Read,
    each: &mut impl FnMut(&[u8]),
) -> io::Result<u64> {
    let mut length = 0;
    loop {
        match source.read(buffer) {
            Ok(0) => return Ok(length),
            Ok(count) => {
                each(&buffer[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The sha1 of `bytes` as 40 hexadecimal digits: npm's `shasum`.
///
/// ```
/// assert_eq!(pkgs_action::local::files::shasum(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
/// ```
#[must_use]
pub fn shasum(bytes: &[u8]) -> String {
    use sha1::Digest as _;
    hexadecimal(&sha1::Sha1::digest(bytes))
}

/// Reads a file (through a link, if it is one) of at most `limit` bytes.
///
/// # Errors
/// `files::read`; `files::kind` for anything but a file; `files::too_long`, exit 3.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let fail = |error: io::Error| failed("files::read", "read", path, &error);
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(not_regular(path));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(
            Exit::Refused,
            "files::too_long",
            format!(
                "{} is longer than {}",
                quoted(&path.display().to_string()),
                size(limit)
            ),
        ));
    }
    Ok(bytes)
}

/// Makes the names in a directory outlast a power cut.
///
/// # Errors
/// `files::sync`.
pub fn fsync_directory(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed("files::sync", "flush the directory", path, &error))
}

/// How the name of a temporary file of ours starts and ends.
pub(crate) const TEMPORARY: (&str, &str) = (".pkgs-", ".tmp");

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A temporary file that becomes `path` by [`persist`], in the same directory, so that the rename stays inside one file system.
pub(crate) fn temporary_beside(path: &Path) -> Result<tempfile::NamedTempFile, Failure> {
    tempfile::Builder::new()
        .prefix(TEMPORARY.0)
        .suffix(TEMPORARY.1)
        .tempfile_in(parent(path))
        .map_err(|error| {
            failed(
                "files::write",
                "create a temporary file in",
                parent(path),
                &error,
            )
        })
}

/// Flushes a temporary file and renames it to `path`.
pub(crate) fn persist(
    file: tempfile::NamedTempFile,
    path: &Path,
    mode: u32,
) -> Result<(), Failure> {
    let fail = |error: &io::Error| failed("files::write", "write", path, error);
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))
        .map_err(|error| fail(&error))?;
    file.as_file().sync_all().map_err(|error| fail(&error))?;
    file.persist(path).map_err(|error| fail(&error.error))?;
    fsync_directory(parent(path))
}

/// Writes a whole file: whoever reads `path`, at any moment and after a power cut, finds the old bytes or the new ones.
///
/// An existing file keeps its mode, a new one gets 0644. A symbolic link at `path` is replaced, never followed.
///
/// # Errors
/// `files::write`, `files::sync`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mode = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.permissions().mode() & 0o7777,
        _ => 0o644,
    };
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)
        .map_err(|error| failed("files::write", "write", path, &error))?;
    persist(file, path, mode)
}

/// Copies a regular file as [`write_atomically`] writes, in pieces; the copy gets the mode 0644.
///
/// # Errors
/// `files::read`, `files::kind`, `files::write`, `files::sync`.
pub fn copy_atomically(from: &Path, to: &Path) -> Result<(), Failure> {
    let (mut source, _) = open_regular(from)?;
    let mut file = temporary_beside(to)?;
    io::copy(&mut source, &mut file)
        .map_err(|error| failed("files::write", "write", to, &error))?;
    persist(file, to, 0o644)
}

/// A path below a root as `/`-separated text.
///
/// # Errors
/// `files::name`, exit 3, when it is not Unicode.
fn relative_text(path: &Path, root: &Path) -> Result<String, Failure> {
    let relative = path.strip_prefix(root).unwrap_or(path);
    relative.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            "files::name",
            format!(
                "the name of {} is not Unicode",
                quoted(&path.display().to_string())
            ),
        )
        .hint("rename it, or leave it out")
    })
}

/// Copies the directory `from` to `to`, which must not exist yet. Links stay links, modes stay; owners and times do not.
///
/// `filter` gets each path below `from`, `/`-separated, and whether it is a directory; a directory that it refuses is not entered.
///
/// # Errors
/// `files::read`, `files::write`, `files::name`; `files::kind`, exit 3, for pipes, sockets and devices; `files::inside` when `to` lies in `from`.
pub fn copy_tree(
    from: &Path,
    to: &Path,
    mut filter: impl FnMut(&str, bool) -> bool,
) -> Result<(), Failure> {
    refuse_copy_into_itself(from, to)?;
    let mut walk = WalkDir::new(from).sort_by_file_name().into_iter();
    // Modes come last: a directory that may not be written to could not be filled.
    let mut directories: Vec<(PathBuf, fs::Permissions)> = Vec::new();
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|error| walk_failed(from, &error))?;
        let relative = relative_text(entry.path(), from)?;
        let is_directory = entry.file_type().is_dir();
        if !relative.is_empty() && !filter(&relative, is_directory) {
            if is_directory {
                walk.skip_current_dir();
            }
            continue;
        }
        let target = if relative.is_empty() {
            to.to_owned()
        } else {
            to.join(&relative)
        };
        if is_directory {
            let metadata = entry
                .metadata()
                .map_err(|error| walk_failed(from, &error))?;
            fs::create_dir(&target)
                .map_err(|error| failed("files::write", "create", &target, &error))?;
            directories.push((target, metadata.permissions()));
        } else {
            copy_one(entry.path(), &target, entry.file_type())?;
        }
    }
    for (directory, permissions) in directories.into_iter().rev() {
        fs::set_permissions(&directory, permissions)
            .map_err(|error| failed("files::write", "set the mode of", &directory, &error))?;
    }
    Ok(())
}

fn copy_one(from: &Path, to: &Path, kind: fs::FileType) -> Result<(), Failure> {
    if kind.is_symlink() {
        let target =
            fs::read_link(from).map_err(|error| failed("files::read", "read", from, &error))?;
        std::os::unix::fs::symlink(target, to)
            .map_err(|error| failed("files::write", "create", to, &error))
    } else if kind.is_file() {
        fs::copy(from, to)
            .map(drop)
            .map_err(|error| failed("files::write", "copy to", to, &error))
    } else {
        Err(not_regular(from))
    }
}

fn refuse_copy_into_itself(from: &Path, to: &Path) -> Result<(), Failure> {
    if physical(parent(to))?.starts_with(physical(from)?) {
        return Err(Failure::new(
            Exit::Refused,
            "files::inside",
            format!(
                "cannot copy {} into itself",
                quoted(&from.display().to_string())
            ),
        ));
    }
    Ok(())
}

fn walk_failed(root: &Path, error: &walkdir::Error) -> Failure {
    let path = error.path().unwrap_or(root);
    if let Some(above) = error.loop_ancestor() {
        let above = quoted(&above.display().to_string());
        return bad_link(path, format!("it leads back to {above}, which holds it"));
    }
    match error.io_error() {
        Some(error) if path.is_symlink() && !is_temporary(error) => {
            bad_link(path, format!("it leads to nothing: {error}"))
        }
        Some(error) => failed("files::read", "read", path, error),
        None => Failure::new(
            Exit::Refused,
            "files::read",
            format!("cannot read {}", quoted(&path.display().to_string())),
        )
        .because(error),
    }
}

/// Writes `bytes` to a file that exists, in one step, and leaves its mode and owner as they are.
///
/// # Errors
/// `files::read`, `files::write`, exit 75.
pub fn overwrite(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let look = || fs::metadata(path).map_err(|error| failed("files::read", "read", path, &error));
    let metadata = look()?;
    write_atomically(path, bytes)?;
    let written = look()?;
    if (written.uid(), written.gid()) == (metadata.uid(), metadata.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(metadata.uid()), Some(metadata.gid()))
        .map_err(|error| failed("files::write", "write", path, &error))
}

/// Whether its owner may run a file.
pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0)
}

/// Lets everybody run a file.
///
/// # Errors
/// `files::write`.
pub fn make_executable(path: &Path) -> Result<(), Failure> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| failed("files::write", "write", path, &error))
}

/// A regular file below a directory that was walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path below that directory, `/`-separated, by way of the links that lead to it.
    pub path: String,
    /// Where its bytes lie; no link itself.
    pub at: PathBuf,
    /// Whether its owner may run it.
    pub executable: bool,
}

/// What a walk does with symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// They are met as links.
    Meet,
    /// What they lead to is met in their place; one that leads to nothing, outside or around is refused.
    Follow,
}

/// Every regular file below `directory`, in order of path. A link counts as what it leads to, which must lie in `directory` too.
///
/// # Errors
/// `files::read`, `files::name`; exit 3: `files::link` for a link that leads to nothing, outside or around, `files::kind` for pipes,
/// sockets and devices, `files::too_many` above 200,000 files and directories.
pub fn walk_files(directory: &Path) -> Result<Vec<Found>, Failure> {
    found_below(directory, |_| false)
}

/// Every regular file of an installed package, without the `node_modules` below it.
///
/// Also left out is `build/node_gyp_bins`: after every native build a link to the machine's Python lies there, and nothing reads it.
///
/// # Errors
/// As [`walk_files`].
pub fn walk_package(directory: &Path) -> Result<Vec<Found>, Failure> {
    found_below(directory, |relative| {
        relative == "node_modules" || relative == "build/node_gyp_bins"
    })
}

fn found_below(
    directory: &Path,
    leave_out: impl FnMut(&str) -> bool,
) -> Result<Vec<Found>, Failure> {
    let mut files = Vec::new();
    walk(directory, Links::Follow, leave_out, |entry, path| {
        if entry.file_type().is_dir() {
            return Ok(());
        }
        if !entry.file_type().is_file() {
            return Err(not_regular(entry.path()));
        }
        let at = if entry.path_is_symlink() {
            physical(entry.path())?
        } else {
            entry.path().to_owned()
        };
        files.push(Found {
            path,
            at,
            executable: is_executable_entry(directory, entry)?,
        });
        Ok(())
    })?;
    Ok(files)
}

/// Hands `directory` and every entry below it to `meet`, in order of path, with its path as [`relative_text`] gives it; what is
/// to be left out is neither met nor entered.
fn walk(
    directory: &Path,
    links: Links,
    mut leave_out: impl FnMut(&str) -> bool,
    mut meet: impl FnMut(&DirEntry, String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut walk = WalkDir::new(directory)
        .sort_by_file_name()
        .follow_links(links == Links::Follow)
        .max_depth(DEEPEST + 1)
        .into_iter();
    let mut seen = 0;
    while let Some(entry) = walk.next() {
        let entry = entry.map_err(|error| walk_failed(directory, &error))?;
        seen += 1;
        if seen > MOST_FILES || entry.depth() > DEEPEST {
            return Err(too_many(directory));
        }
        let relative = relative_text(entry.path(), directory)?;
        if leave_out(&relative) {
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        if links == Links::Follow && entry.path_is_symlink() && entry.depth() > 0 {
            refuse_outside(directory, entry.path())?;
        }
        meet(&entry, relative)?;
    }
    Ok(())
}

/// A path without links.
pub(crate) fn physical(path: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(path).map_err(|error| failed("files::read", "find", path, &error))
}

/// Refuses a link that leads out of `directory`.
fn refuse_outside(directory: &Path, link: &Path) -> Result<(), Failure> {
    let (inside, target) = (physical(directory)?, physical(link)?);
    if target.starts_with(&inside) {
        return Ok(());
    }
    let why = format!(
        "it leads to {}, out of {}",
        quoted(&target.display().to_string()),
        quoted(&inside.display().to_string())
    );
    Err(bad_link(link, why))
}

fn bad_link(link: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Refused,
        "files::link",
        format!(
            "what the symbolic link {} leads to cannot be packed",
            quoted(&link.display().to_string())
        ),
    )
    .because(why)
    .hint("put a copy in its place, or leave it out of what is shipped")
}

fn is_executable_entry(directory: &Path, entry: &DirEntry) -> Result<bool, Failure> {
    Ok(mode_of(directory, entry)? & 0o100 != 0)
}

fn mode_of(directory: &Path, entry: &DirEntry) -> Result<u32, Failure> {
    let metadata = entry
        .metadata()
        .map_err(|error| walk_failed(directory, &error))?;
    Ok(metadata.permissions().mode())
}

/// Where a package lies among others, as far as it decides what is packed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// The workspace's root, when the package is a member of one and not the root itself.
    pub root: Option<&'a Path>,
    /// The folders of the members, relative to the package and `/`-separated, when the package is the root of a workspace.
    pub members: &'a [String],
}

/// Reads what npm would look at when it packs `directory`: regular files, ignore files, and the ignore files of the folders above.
///
/// Symbolic links and special files, which npm drops, are listed apart; the `node_modules` of the package itself, every `.git`, and the
/// folders of members are left out.
///
/// # Errors
/// `files::read`, `files::name`; `files::too_many`, exit 3, above 200,000 files and directories.
pub fn read_package(
    directory: &Path,
    surroundings: Surroundings<'_>,
) -> Result<PackageTree, Failure> {
    let mut tree = PackageTree {
        members: surroundings.members.to_vec(),
        outer_ignores: match surroundings.root {
            Some(root) => outer_ignores(root, directory)?,
            None => Vec::new(),
        },
        ..PackageTree::default()
    };
    let members = surroundings.members;
    let leave_out = |relative: &str| is_never_entered(relative, members);
    walk(directory, Links::Meet, leave_out, |entry, path| {
        if entry.file_type().is_dir() {
            let found = ignore_files(entry.path(), !members.is_empty())?;
            if found != IgnoreFiles::default() {
                tree.ignore_files.insert(path, found);
            }
        } else if entry.file_type().is_file() {
            tree.files.push(TreeFile {
                path,
                mode: mode_of(directory, entry)? & 0o7777,
            });
        } else {
            tree.links.push(path);
        }
        Ok(())
    })?;
    Ok(tree)
}

fn too_many(directory: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        "files::too_many",
        format!(
            "{} holds more than {MOST_FILES} files, or more than {DEEPEST} levels of directories",
            quoted(&directory.display().to_string())
        ),
    )
    .hint("a package of this size is a mistake: look for a cache or a build directory inside")
}

fn is_never_entered(relative: &str, members: &[String]) -> bool {
    relative == "node_modules"
        || relative.rsplit('/').next() == Some(".git")
        || members.iter().any(|member| member == relative)
}

/// The contents of a directory's ignore files, and of its `package.json` where that counts as one.
fn ignore_files(directory: &Path, with_manifest: bool) -> Result<IgnoreFiles, Failure> {
    let read = |name: &str| -> Result<Option<String>, Failure> {
        let path = directory.join(name);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(None);
        }
        let bytes = read_bounded(&path, LONGEST_IGNORE_FILE)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    };
    Ok(IgnoreFiles {
        npmignore: read(".npmignore")?,
        gitignore: read(".gitignore")?,
        manifest: if with_manifest {
            read("package.json")?
        } else {
            None
        },
    })
}

/// The ignore file of each folder from the workspace's root down to the one that holds the package; `.npmignore` counts instead of `.gitignore`.
fn outer_ignores(root: &Path, directory: &Path) -> Result<Vec<String>, Failure> {
    let Ok(inside) = directory.strip_prefix(root) else {
        return Ok(Vec::new());
    };
    let mut folder = root.to_owned();
    let mut found = Vec::new();
    for part in inside.components() {
        let ignores = ignore_files(&folder, false)?;
        found.extend(ignores.npmignore.or(ignores.gitignore));
        folder.push(part);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn digests_are_those_of_the_bytes() {
        let directory = directory();
        let path = directory.path().join("a");
        let bytes = vec![7; CHUNK * 2 + 5];
        fs::write(&path, &bytes).unwrap();
        assert_eq!(
            hash_file(&path).unwrap(),
            (Digest::of(&bytes), bytes.len() as u64)
        );
    }

    #[test]
    fn only_regular_files_have_digests() {
        let directory = directory();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        assert_eq!(hash_file(&link).unwrap_err().code(), "files::kind");
        assert_eq!(
            hash_file(directory.path()).unwrap_err().code(),
            "files::kind"
        );
        let missing = hash_file(&directory.path().join("no")).unwrap_err();
        assert_eq!(
            (missing.code(), missing.exit()),
            ("files::read", Exit::Refused)
        );
        assert!(missing.what().contains("/no\""));
    }

    #[test]
    fn a_full_disk_is_temporary() {
        let error = io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error());
        let failure = failed("files::write", "write", Path::new("x"), &error);
        assert_eq!(failure.exit(), Exit::Temporary);
        assert!(failure.advice().is_some());
    }

    #[test]
    fn writing_keeps_the_mode_and_leaves_nothing_behind() {
        let directory = directory();
        let path = directory.path().join("run");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );
        let fresh = directory.path().join("fresh");
        write_atomically(&fresh, b"").unwrap();
        assert_eq!(
            fs::metadata(&fresh).unwrap().permissions().mode() & 0o777,
            0o644
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn writing_replaces_a_link_and_leaves_its_target() {
        let directory = directory();
        let (target, link) = (directory.path().join("t"), directory.path().join("l"));
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"kept");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
    }

    #[test]
    fn reading_is_bounded() {
        let directory = directory();
        let path = directory.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(
            read_bounded(&path, 4).unwrap_err().code(),
            "files::too_long"
        );
    }

    #[test]
    fn a_copy_keeps_links_and_modes() {
        let directory = directory();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("closed")).unwrap();
        fs::create_dir_all(from.join("skipped")).unwrap();
        fs::write(from.join("closed/run"), "x").unwrap();
        fs::write(from.join("skipped/y"), "y").unwrap();
        fs::set_permissions(from.join("closed/run"), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("../nowhere", from.join("closed/link")).unwrap();
        fs::set_permissions(from.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();

        copy_tree(&from, &to, |path, _| path != "skipped").unwrap();

        let mode = |path: &str| fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("closed"), mode("closed/run")), (0o555, 0o750));
        assert_eq!(
            fs::read_link(to.join("closed/link")).unwrap(),
            Path::new("../nowhere")
        );
        assert!(!to.join("skipped").exists());
        assert_eq!(
            copy_tree(&from, &from.join("inside"), |_, _| true)
                .unwrap_err()
                .code(),
            "files::inside"
        );
        for closed in [from.join("closed"), to.join("closed")] {
            fs::set_permissions(closed, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn a_package_is_read_with_the_ignore_files_above_it() {
        let root = directory();
        let package = root.path().join("packages/a");
        for folder in ["lib", "node_modules/x", ".git", "lib/node_modules"] {
            fs::create_dir_all(package.join(folder)).unwrap();
        }
        for file in [
            "package.json",
            "lib/run.js",
            "node_modules/x/i.js",
            ".git/HEAD",
            "lib/node_modules/y.js",
        ] {
            fs::write(package.join(file), "").unwrap();
        }
        fs::write(root.path().join(".gitignore"), "*.log").unwrap();
        fs::write(root.path().join("packages/.npmignore"), "*.tmp").unwrap();
        fs::write(root.path().join("packages/.gitignore"), "no").unwrap();
        fs::write(package.join("lib/.npmignore"), "x").unwrap();
        fs::set_permissions(
            package.join("lib/run.js"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        std::os::unix::fs::symlink("package.json", package.join("link")).unwrap();

        let tree = read_package(
            &package,
            Surroundings {
                root: Some(root.path()),
                members: &[],
            },
        )
        .unwrap();

        let files: Vec<_> = tree
            .files
            .iter()
            .map(|file| (file.path.as_str(), file.mode & 0o100 != 0))
            .collect();
        assert_eq!(
            files,
            [
                ("lib/.npmignore", false),
                ("lib/node_modules/y.js", false),
                ("lib/run.js", true),
                ("package.json", false)
            ]
        );
        assert_eq!(tree.links, ["link"]);
        assert_eq!(
            tree.ignore_files["lib"],
            IgnoreFiles {
                npmignore: Some("x".to_owned()),
                ..IgnoreFiles::default()
            }
        );
        assert_eq!(tree.outer_ignores, ["*.log", "*.tmp"]);
    }

    /// Makes files (`path`), and links (`path -> target`).
    fn tree(lines: &[&str]) -> tempfile::TempDir {
        let directory = directory();
        for line in lines {
            let (path, target) = line.split_once(" -> ").unwrap_or((line, ""));
            let path = directory.path().join(path);
            fs::create_dir_all(parent(&path)).unwrap();
            if target.is_empty() {
                fs::write(&path, line).unwrap();
            } else {
                std::os::unix::fs::symlink(target, &path).unwrap();
            }
        }
        directory
    }

    #[test]
    fn a_link_counts_as_what_it_leads_to() {
        let directory = tree(&[
            "package/js/a.js",
            "package/now.js -> js/a.js",
            "package/lib -> ./js/../js",
            "package/chain -> now.js",
            "package/node_modules/x.js",
            "package/build/node_gyp_bins/python3 -> /usr/bin/python3",
        ]);
        let root = directory.path().join("package");
        let found: Vec<(String, Vec<u8>)> = walk_package(&root)
            .unwrap()
            .into_iter()
            .map(|file| {
                (
                    file.path,
                    fs::read(open_regular(&file.at).map(|_| file.at).unwrap()).unwrap(),
                )
            })
            .collect();
        let bytes = b"package/js/a.js".to_vec();
        let expected = ["chain", "js/a.js", "lib/a.js", "now.js"];
        assert_eq!(found, expected.map(|path| (path.to_owned(), bytes.clone())));
    }

    #[test]
    fn a_link_that_leads_nowhere_outside_or_around_is_refused_with_its_path() {
        for (line, why) in [
            ("dist/link -> gone.js", "leads to nothing"),
            ("dist/link -> link", "leads to nothing"),
            ("dist/link -> ../outside.js", "out of"),
            ("dist/link -> /etc/hostname", "out of"),
            ("dist/link -> /etc", "out of"),
            ("dist/link -> ../dist-of-another", "out of"),
            ("dist/link -> .", "leads back to"),
        ] {
            let directory = tree(&["dist/a.js", "outside.js", "dist-of-another/b.js", line]);
            let failure = walk_files(&directory.path().join("dist")).unwrap_err();
            assert_eq!(
                (failure.code(), failure.exit()),
                ("files::link", Exit::Refused),
                "{line}"
            );
            assert!(failure.what().contains("/dist/link\""), "{failure}");
            assert!(
                failure.causes().join("\n").contains(why),
                "{line}: {failure}"
            );
        }
    }

    #[test]
    fn what_is_no_file_is_not_left_out_silently() {
        let directory = tree(&["dist/a.js"]);
        let _socket =
            std::os::unix::net::UnixListener::bind(directory.path().join("dist/s")).unwrap();
        let failure = walk_files(&directory.path().join("dist")).unwrap_err();
        assert_eq!(failure.code(), "files::kind");
    }
}
