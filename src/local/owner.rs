//! Working as the owner of a mounted workspace: a container runs as root, and files that it leaves must not belong to root.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::explain::{Exit, Failure, quoted};
use crate::local::scratch;

/// When this process is root and `directory` belongs to somebody else, becomes that user for good: whatever git, npm and builds leave there belongs to them,
/// and git trusts the repository. `environment` gets a `HOME` that the user may write to.
///
/// Only the calling thread changes, so it must be the only one yet.
///
/// # Errors
/// `owner::refused`, exit 2, where the container forbids it; `owner::foreign_home`, exit 3, where somebody else prepared that `HOME`.
pub fn become_owner(
    directory: &Path,
    environment: &mut BTreeMap<String, String>,
) -> Result<(), Failure> {
    let Ok(metadata) = std::fs::metadata(directory) else {
        return Ok(());
    };
    let (uid, gid) = (metadata.uid(), metadata.gid());
    if !geteuid().is_root() || uid == 0 {
        return Ok(());
    }
    let refuse = |error: std::io::Error| {
        Failure::new(Exit::Usage, "owner::refused", format!("root could not become user {uid}, who owns {}", directory.display()))
            .because(error)
            .hint("run the container as root with its default capabilities, or as that user: docker run --user")
    };
    let home_is_theirs = environment
        .get("HOME")
        .is_some_and(|home| std::fs::metadata(home).is_ok_and(|home| home.uid() == uid));
    if !home_is_theirs {
        let home = home_below(Path::new("/tmp"), uid, gid)?;
        look_for_git_config_in(&home);
        environment.insert("HOME".to_owned(), home.display().to_string());
    }
    let gid = Gid::from_raw(gid);
    set_thread_groups(&[gid]).map_err(|error| refuse(error.into()))?;
    set_thread_gid(gid).map_err(|error| refuse(error.into()))?;
    set_thread_uid(Uid::from_raw(uid)).map_err(|error| refuse(error.into()))
}

/// A directory that its user alone may look into: new, or one that was made by us or belongs to the user and that nobody else could
/// write to. The `.npmrc` and `.gitconfig` of anybody else would run commands as the user.
fn home_below(temporary: &Path, uid: u32, gid: u32) -> Result<PathBuf, Failure> {
    let home = temporary.join(format!("pkgs-action-home-{uid}"));
    let foreign = |why: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Refused,
            "owner::foreign_home",
            format!(
                "{} cannot be the home directory of user {uid}",
                quoted(&home.display().to_string())
            ),
        )
        .because(why)
        .hint("remove it, or set HOME to a directory of that user")
    };
    match DirBuilder::new().mode(0o700).create(&home) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(foreign(&error)),
        _ => {}
    }
    let directory = scratch::open(&home).map_err(|error| foreign(&error))?;
    let metadata = directory.metadata().map_err(|error| foreign(&error))?;
    let of_ours = [uid, geteuid().as_raw()].contains(&metadata.uid());
    if !of_ours || metadata.mode() & 0o022 != 0 {
        return Err(foreign(&"somebody else may have put files there"));
    }
    let handed_over = fchown(&directory, Some(uid), Some(gid));
    handed_over
        .and_then(|()| directory.set_permissions(Permissions::from_mode(0o700)))
        .map_err(|error| foreign(&error))?;
    Ok(home)
}

/// libgit2 took `HOME` from the process, and refuses to go on when it may not look there.
#[expect(
    unsafe_code,
    reason = "libgit2's options are global: this runs before any other thread and any repository"
)]
fn look_for_git_config_in(home: &Path) {
    for level in [git2::ConfigLevel::Global, git2::ConfigLevel::XDG] {
        // SAFETY: no other thread exists yet, so nothing reads the option while it changes.
        if let Err(error) = unsafe { git2::opts::set_search_path(level, home) } {
            tracing::warn!("git's configuration may not be found: {}", error.message());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(temporary: &Path) -> Result<PathBuf, Failure> {
        let metadata = std::fs::metadata(temporary).unwrap();
        home_below(temporary, metadata.uid(), metadata.gid())
    }

    #[test]
    fn a_home_is_private_and_found_again() {
        let temporary = tempfile::tempdir().unwrap();
        let home = here(temporary.path()).unwrap();
        std::fs::write(home.join("cache"), "kept").unwrap();
        assert_eq!(here(temporary.path()).unwrap(), home);
        assert!(home.join("cache").exists());
        assert_eq!(std::fs::metadata(home).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_home_that_others_prepared_is_refused() {
        let code = |temporary: &Path| here(temporary).unwrap_err().code();
        let user = geteuid().as_raw();
        let name = format!("pkgs-action-home-{user}");
        let writable = tempfile::tempdir().unwrap();
        let home = writable.path().join(&name);
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(code(writable.path()), "owner::foreign_home");

        let linked = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), linked.path().join(&name)).unwrap();
        assert_eq!(code(linked.path()), "owner::foreign_home");

        let foreign = tempfile::tempdir().unwrap();
        let home = foreign.path().join(&name);
        std::fs::create_dir(&home).unwrap();
        // Only root can give a directory away.
        if std::os::unix::fs::chown(&home, Some(user + 4242), None).is_ok() {
            assert_eq!(code(foreign.path()), "owner::foreign_home");
            assert_eq!(std::fs::metadata(home).unwrap().uid(), user + 4242);
        }
    }
}
