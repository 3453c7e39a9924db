//! Working as the owner of a mounted workspace: a container runs as root, and files that it leaves must not belong to root.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::explain::{Exit, Failure};

/// When this process is root and `directory` belongs to somebody else, becomes that user for good: whatever git, npm and builds leave there belongs to them,
/// and git trusts the repository. `environment` gets a `HOME` that the user may write to.
///
/// Only the calling thread changes, so it must be the only one yet.
///
/// # Errors
/// `owner::refused`, exit 2, where the container forbids it.
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
        let home = Path::new("/tmp").join(format!("pkgs-action-home-{uid}"));
        std::fs::create_dir_all(&home).map_err(refuse)?;
        std::os::unix::fs::chown(&home, Some(uid), Some(gid)).map_err(refuse)?;
        look_for_git_config_in(&home);
        environment.insert("HOME".to_owned(), home.display().to_string());
    }
    let gid = Gid::from_raw(gid);
    set_thread_groups(&[gid]).map_err(|error| refuse(error.into()))?;
    set_thread_gid(gid).map_err(|error| refuse(error.into()))?;
    set_thread_uid(Uid::from_raw(uid)).map_err(|error| refuse(error.into()))
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
