//! One app's directory on a host: its releases, which of them is current, and the service that runs there.
//!
//! ```text
//! <root>/<app>/releases/<version>/    complete, verified trees
//!              current                → releases/<version>
//!              shared/                the app's own, never touched
//!              .pkgs/state.json       how far an install has come
//!                    releases/*.json  marks: this release is complete, and is run like this
//!                    lock tmp/ cache/
//! <logs>/<app>/service.log            what the service writes
//! ```

mod cache;
mod files;
mod runtime;
mod service;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use crate::local::proc::{Listener, Process, group, members, who_listens};
pub use runtime::check_runtime;
pub use service::{Life, Patience, Service, Started};

use crate::explain::{Exit, Failure, Place, exact_size, quoted};
use crate::name::PackageName;
use crate::release::host::{BEFORE, HostState, MARK_SCHEMA, Mark, STATE_SCHEMA};
use crate::release::{from_bytes, to_bytes};
use files::{
    entries, make_directory, read_bounded, remove, sync_directory, sync_file_system, trouble,
    write_durably,
};

const OURS: [&str; 4] = ["releases", "current", "shared", ".pkgs"];
/// The directory of one app on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    app: PackageName,
    directory: PathBuf,
    logs: PathBuf,
}

/// While it lives, no other process changes the app's directory. The kernel frees it when the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that another thread is just starting holds the file until it executes.
        let _ = self.file.unlock();
    }
}

impl Host {
    /// Opens the app's directory `<root>/<app>` and makes what is missing there; logs go to `<logs>/<app>/`.
    pub fn open(root: &Path, logs: &Path, app: &PackageName) -> Result<Host, Failure> {
        let wanted = root.join(app.as_str());
        for made in [".pkgs/releases", ".pkgs/tmp", ".pkgs/cache"] {
            make_directory(&wanted.join(made))?;
        }
        let logs = logs.join(app.as_str());
        make_directory(&logs)?;
        // Processes tell the physical directory they work in; ours has to compare with it.
        let directory = fs::canonicalize(&wanted).map_err(|error| trouble(&wanted, &error))?;
        Ok(Host {
            app: app.clone(),
            directory,
            logs,
        })
    }

    /// Whether something was ever begun in `<root>/<app>`.
    #[must_use]
    pub fn is_known(root: &Path, app: &PackageName) -> bool {
        root.join(app.as_str()).join(".pkgs/state.json").exists()
    }

    /// The app.
    #[must_use]
    pub fn app(&self) -> &PackageName {
        &self.app
    }

    /// The app's directory, physical.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the service's output goes.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.logs.join("service.log")
    }

    /// A path below `.pkgs/tmp`.
    #[must_use]
    pub fn temporary(&self, name: &str) -> PathBuf {
        self.directory.join(".pkgs/tmp").join(name)
    }

    /// The directory of a release, whether it is there or not.
    #[must_use]
    pub fn release(&self, name: &str) -> PathBuf {
        self.directory.join("releases").join(name)
    }

    /// The directory that a release runs in: [`BEFORE`] runs in the app's own directory until it is adopted.
    #[must_use]
    pub fn works_in(&self, name: &str) -> PathBuf {
        let release = self.release(name);
        if name == BEFORE && !release.is_dir() {
            return self.directory.clone();
        }
        release
    }

    /// Takes the app's lock without waiting.
    ///
    /// # Errors
    /// `host::busy`, exit 75, when another process has it.
    pub fn lock(&self) -> Result<Lock, Failure> {
        let path = self.directory.join(".pkgs/lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| trouble(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {
                let mut named = &file;
                file.set_len(0)
                    .and_then(|()| writeln!(named, "{}", std::process::id()))
                    .map_err(|error| trouble(&path, &error))?;
                Ok(Lock { file })
            }
            Err(TryLockError::WouldBlock) => Err(self.busy(&file)),
            Err(TryLockError::Error(error)) => Err(trouble(&path, &error)),
        }
    }

    fn busy(&self, lock: &File) -> Failure {
        let mut holder = String::new();
        let read = lock.take(20).read_to_string(&mut holder);
        let holder: Option<u32> = read.ok().and_then(|_| holder.trim().parse().ok());
        let by = holder.map_or_else(String::new, |holder| format!(", process {holder}"));
        Failure::new(
            Exit::Temporary,
            "host::busy",
            format!("{} is being changed by another pull{by}", self.app),
        )
        .hint("run again when it is done; a pull that died holds nothing")
    }

    /// What this host remembers; the default when nothing was ever installed.
    ///
    /// # Errors
    /// `release::document`, exit 6, when the file is not what this program wrote.
    pub fn state(&self) -> Result<HostState, Failure> {
        let path = self.state_file();
        match read_bounded(&path)? {
            Some(bytes) => from_bytes(STATE_SCHEMA, &path.to_string_lossy(), &bytes),
            None => Ok(HostState {
                schema: STATE_SCHEMA.to_owned(),
                ..HostState::default()
            }),
        }
    }

    /// Remembers `state`; when it returns, a power cut does not undo it.
    pub fn remember(&self, state: &HostState) -> Result<(), Failure> {
        write_durably(&self.state_file(), &to_bytes(state))
    }

    fn state_file(&self) -> PathBuf {
        self.directory.join(".pkgs/state.json")
    }

    fn mark_file(&self, name: &str) -> PathBuf {
        self.directory.join(format!(".pkgs/releases/{name}.json"))
    }

    /// The mark of a release; `None` when it has none or its directory is gone.
    pub fn mark(&self, name: &str) -> Result<Option<Mark>, Failure> {
        if !self.works_in(name).is_dir() {
            return Ok(None);
        }
        let path = self.mark_file(name);
        read_bounded(&path)?
            .map(|bytes| from_bytes(MARK_SCHEMA, &path.to_string_lossy(), &bytes))
            .transpose()
    }

    /// Writes the mark of a release, whose tree is on the disk by now.
    pub fn write_mark(&self, name: &str, mark: &Mark) -> Result<(), Failure> {
        write_durably(&self.mark_file(name), &to_bytes(mark))
    }

    /// The release that `current` names; `None` when there is no `current`.
    ///
    /// # Errors
    /// `host::layout`, exit 3, when `current` is no link into `releases/`.
    pub fn current(&self) -> Result<Option<String>, Failure> {
        let path = self.directory.join("current");
        let strange = |why: String| {
            Failure::new(
                Exit::Refused,
                "host::layout",
                format!("{} is not ours", quoted(&path.to_string_lossy())),
            )
            .because(why)
            .place(Place::file(path.to_string_lossy()))
            .hint("move it away, or make it a link to releases/<version>")
        };
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(strange(error.to_string())),
        };
        target
            .to_str()
            .and_then(|target| target.strip_prefix("releases/"))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .map(|name| Some(name.to_owned()))
            .ok_or_else(|| {
                strange(format!(
                    "it is a link to {}",
                    quoted(&target.to_string_lossy())
                ))
            })
    }

    /// Makes `current` name the release `name`. At every instant it names the old or the new one.
    pub fn switch_current(&self, name: &str) -> Result<(), Failure> {
        self.current()?;
        let link = self.directory.join("current");
        let temporary = self.temporary("current");
        remove(&temporary)?;
        std::os::unix::fs::symlink(format!("releases/{name}"), &temporary)
            .and_then(|()| fs::rename(&temporary, &link))
            .map_err(|error| trouble(&link, &error))?;
        sync_directory(&self.directory)
    }

    /// Removes `current`: nothing is installed.
    pub fn clear_current(&self) -> Result<(), Failure> {
        if self.current()?.is_some() {
            remove(&self.directory.join("current"))?;
            sync_directory(&self.directory)?;
        }
        Ok(())
    }

    /// Empties `.pkgs/tmp`.
    pub fn clear_temporary(&self) -> Result<(), Failure> {
        for (_, path) in entries(&self.directory.join(".pkgs/tmp"))? {
            remove(&path)?;
        }
        Ok(())
    }

    /// Makes the complete tree `from` (below `.pkgs/tmp`) the release `name`; what lay there without a mark is replaced.
    /// Everything is on the disk before its name appears.
    pub fn place_release(&self, from: &Path, name: &str) -> Result<(), Failure> {
        let to = self.release(name);
        if to.exists() {
            if self.current()?.as_deref() == Some(name) {
                return Err(Failure::new(
                    Exit::Integrity,
                    "host::layout",
                    format!(
                        "{} is current but was never completed",
                        quoted(&to.to_string_lossy())
                    ),
                )
                .place(Place::file(to.to_string_lossy()))
                .hint("make `current` name a release that is whole, or stop the service and remove `current`; then pull again"));
            }
            self.discard(&to)?;
        }
        sync_file_system(from)?;
        let releases = self.directory.join("releases");
        make_directory(&releases)?;
        fs::rename(from, &to).map_err(|error| trouble(&to, &error))?;
        sync_directory(&releases)
    }

    /// Removes a tree so that no half of it is ever seen in its place.
    fn discard(&self, path: &Path) -> Result<(), Failure> {
        let aside = self.temporary("discarded");
        remove(&aside)?;
        fs::rename(path, &aside).map_err(|error| trouble(path, &error))?;
        remove(&aside)
    }

    /// Checks what an install will meet in the app's directory, before anything is touched: `current` and `releases/` are ours or not
    /// there, the service's log can be written, and whatever is renamed lies on one file system.
    ///
    /// # Errors
    /// `host::layout`, `host::disk_error`, exit 3, with the place and what to do.
    pub fn check_layout(&self, state: &HostState) -> Result<(), Failure> {
        let current = self.current()?;
        let releases = self.directory.join("releases");
        if state.environment.is_none() && !entries(&releases)?.is_empty() {
            return Err(not_ours(&releases, "nothing was ever pulled here"));
        }
        if let (None, Some(name)) = (&state.installed, &current)
            && self.mark(name)?.is_none()
        {
            let why = format!("`current` names {}, which was not pulled", quoted(name));
            return Err(not_ours(&releases, &why));
        }
        make_directory(&releases)?;
        self.open_log()?;
        let own = device(&self.directory)?;
        // What is adopted is renamed too.
        let adopted = if self.has_something_before()? {
            self.foreign()?
        } else {
            Vec::new()
        };
        // A link is renamed as such, but `releases` may be one that is looked through.
        let looked_through =
            fs::canonicalize(&releases).map_err(|error| trouble(&releases, &error))?;
        let renamed = adopted.into_iter().map(|(_, path)| path);
        for path in renamed.chain([looked_through]) {
            if device(&path)? != own {
                return Err(trouble(&path, &std::io::ErrorKind::CrossesDevices.into()));
            }
        }
        Ok(())
    }

    /// Opens the service's log at its end.
    fn open_log(&self) -> Result<File, Failure> {
        let path = self.log_file();
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| trouble(&path, &error))
    }

    /// Whether there is something in the app's directory that came before us: files that are not ours and no `current`.
    pub fn has_something_before(&self) -> Result<bool, Failure> {
        Ok(self.current()?.is_none() && !self.foreign()?.is_empty())
    }

    fn foreign(&self) -> Result<Vec<(String, PathBuf)>, Failure> {
        let mut found = entries(&self.directory)?;
        found.retain(|(name, _)| !OURS.contains(&name.as_str()));
        Ok(found)
    }

    /// Makes what came before us the release [`BEFORE`], by moving every entry of the app's directory that is not ours. Its
    /// service stands still by now. Interrupted, it is called again and moves the rest.
    pub fn adopt(&self) -> Result<(), Failure> {
        let before = self.release(BEFORE);
        make_directory(&before)?;
        for (name, path) in self.foreign()? {
            let to = before.join(name);
            fs::rename(&path, &to).map_err(|error| trouble(&path, &error))?;
        }
        sync_directory(&before)?;
        sync_directory(&self.directory)
    }

    /// Removes releases beyond the newest `keep`, by the number of the log entry they were last installed for; never one named
    /// in `protected` nor the current one. What lies in `releases/` without a mark is a leftover and goes too. Returns the
    /// names of what was removed.
    pub fn prune(&self, keep: usize, protected: &[&str]) -> Result<Vec<String>, Failure> {
        let current = self.current()?;
        let mut found = Vec::new();
        for (name, path) in entries(&self.directory.join("releases"))? {
            let seq = self.mark(&name)?.map(|mark| mark.seq);
            found.push((seq, name, path));
        }
        found.sort();
        found.reverse();
        let mut removed = Vec::new();
        for (place, (seq, name, path)) in found.into_iter().enumerate() {
            let is_kept = protected.contains(&name.as_str())
                || current.as_deref() == Some(name.as_str())
                || (seq.is_some() && place < keep);
            if is_kept {
                continue;
            }
            // Without its mark it counts for nothing, whatever happens next.
            remove(&self.mark_file(&name))?;
            self.discard(&path)?;
            removed.push(name);
        }
        Ok(removed)
    }

    /// Checks that the disk takes `bytes` more in `files` more files, with a tenth to spare.
    ///
    /// # Errors
    /// `host::disk`, exit 75, with what is needed and what is free.
    pub fn check_disk(&self, bytes: u64, files: u64) -> Result<(), Failure> {
        let disk = rustix::fs::statvfs(&self.directory)
            .map_err(|error| trouble(&self.directory, &error.into()))?;
        let needed = bytes
            .saturating_add(files.saturating_mul(disk.f_frsize))
            .saturating_mul(11)
            / 10;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // File systems that make inodes as they need them say 0.
        let too_many_files = disk.f_files > 0 && disk.f_favail < files;
        if needed <= free && !too_many_files {
            return Ok(());
        }
        let why = if too_many_files {
            format!(
                "{files} files are coming, room for {} is left",
                disk.f_favail
            )
        } else {
            format!(
                "{} are needed, {} are free",
                exact_size(needed),
                exact_size(free)
            )
        };
        Err(Failure::new(
            Exit::Temporary,
            "host::disk",
            format!(
                "the disk of {} is too full",
                quoted(&self.directory.to_string_lossy())
            ),
        )
        .because(why)
        .hint("make room; the running service was not touched"))
    }
}

fn not_ours(releases: &Path, why: &str) -> Failure {
    let releases = releases.to_string_lossy();
    Failure::new(
        Exit::Refused,
        "host::layout",
        format!("{} is not ours", quoted(&releases)),
    )
    .because(why)
    .place(Place::file(releases))
    .hint("stop what runs there, move `current` and `releases` away, and pull again")
}

/// The file system that a path itself lies on.
fn device(path: &Path) -> Result<u64, Failure> {
    let metadata = fs::symlink_metadata(path).map_err(|error| trouble(path, &error))?;
    Ok(metadata.dev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::app::Scripts;
    use crate::release::host::Phase;

    pub(super) fn host() -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().expect("a directory");
        let app = PackageName::parse("@org/web").expect("a name");
        let host =
            Host::open(&root.path().join("app"), &root.path().join("logs"), &app).expect("opened");
        (root, host)
    }

    pub(super) fn mark(version: &str, seq: u64) -> Mark {
        Mark {
            schema: MARK_SCHEMA.to_owned(),
            app: "@org/web".to_owned(),
            version: version.to_owned(),
            digest: None,
            seq,
            scripts: Scripts {
                start: String::new(),
                stop: String::new(),
                environment_variable: "SERVER_ENV".to_owned(),
                health: None,
            },
        }
    }

    #[test]
    fn a_layout_that_an_install_would_stumble_over_is_refused_before() {
        let link = |host: &Host, to: &str| {
            std::os::unix::fs::symlink(to, host.directory().join("current")).expect("linked");
        };
        let check = |arrange: &dyn Fn(&Host) -> HostState, expected: Option<(&str, &str)>| {
            let (_root, host) = host();
            let state = arrange(&host);
            let failure = host.check_layout(&state).err();
            let found = failure.as_ref().map(|failure| {
                assert_eq!(failure.exit(), Exit::Refused);
                assert!(failure.advice().is_some());
                let place = failure.where_in().expect("a place").file.clone();
                let name = place.rsplit('/').next().unwrap_or_default().to_owned();
                (failure.code(), name)
            });
            let found = found.as_ref().map(|(code, name)| (*code, name.as_str()));
            assert_eq!(found, expected, "{failure:?}");
        };
        let fresh = HostState::default;
        let begun = || HostState {
            environment: Some("prod".to_owned()),
            ..HostState::default()
        };
        let layout = |name| Some(("host::layout", name));
        check(&|_| fresh(), None);
        check(
            &|host| {
                fs::create_dir(host.directory().join("current")).expect("made");
                begun()
            },
            layout("current"),
        );
        check(
            &|host| {
                link(host, "/srv/web");
                begun()
            },
            layout("current"),
        );
        check(
            &|host| {
                fs::create_dir_all(host.release("20250101")).expect("made");
                link(host, "releases/20250101");
                fresh()
            },
            layout("releases"),
        );
        check(
            &|host| {
                fs::create_dir_all(host.release("20250101")).expect("made");
                fresh()
            },
            layout("releases"),
        );
        // An install that was killed left a half release: it is replaced.
        check(
            &|host| {
                fs::create_dir_all(host.release("1.0.0")).expect("made");
                begun()
            },
            None,
        );
        // A link that dangles names no release of ours; with one installed it only moves.
        check(
            &|host| {
                link(host, "releases/1.0.0");
                begun()
            },
            layout("releases"),
        );
        check(
            &|host| {
                link(host, "releases/0.9.0");
                HostState {
                    installed: Some(crate::release::host::Installed {
                        version: "1.0.0".to_owned(),
                        directory: "1.0.0".to_owned(),
                        digest: None,
                        seq: 1,
                        since: 1,
                    }),
                    ..begun()
                }
            },
            None,
        );
        check(
            &|host| {
                fs::create_dir(host.log_file()).expect("made");
                begun()
            },
            Some(("host::disk_error", "service.log")),
        );
        check(
            &|host| {
                fs::write(host.directory().join("releases"), "").expect("written");
                begun()
            },
            Some(("host::disk_error", "releases")),
        );
    }

    #[test]
    fn releases_on_another_disk_are_refused_before_anything_is_fetched() {
        let (_root, host) = host();
        let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
            return;
        };
        let device = |path: &Path| fs::metadata(path).expect("there").dev();
        if device(elsewhere.path()) == device(host.directory()) {
            return;
        }
        let link = host.directory().join("releases");
        std::os::unix::fs::symlink(elsewhere.path(), link).expect("linked");
        let failure = host
            .check_layout(&HostState::default())
            .expect_err("another disk");
        assert_eq!(failure.code(), "host::disk_error");
        assert!(
            failure
                .advice()
                .is_some_and(|hint| hint.contains("one file system"))
        );
    }

    #[test]
    fn a_lock_that_is_held_names_its_holder() {
        let (_root, host) = host();
        let _lock = host.lock().expect("free");
        let failure = host.lock().expect_err("held");
        let me = format!("process {}", std::process::id());
        assert!(failure.what().ends_with(&me), "{failure}");
    }

    #[test]
    fn a_file_where_a_directory_must_be_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let app = PackageName::parse("web").expect("a name");
        let (file, other) = (root.path().join("file"), root.path().join("other"));
        fs::write(&file, "").expect("written");
        for (apps, logs) in [(&file, &other), (&other, &file)] {
            let failure = Host::open(apps, logs, &app).expect_err("a file");
            assert_eq!(
                (failure.code(), failure.exit()),
                ("host::disk_error", Exit::Refused)
            );
            assert!(failure.where_in().is_some() && failure.advice().is_some());
        }
    }

    #[test]
    fn the_directory_carries_the_whole_name() {
        let (root, host) = host();
        assert!(host.directory().ends_with("app/@org/web"));
        assert_eq!(
            host.log_file(),
            root.path().join("logs/@org/web/service.log")
        );
    }

    #[test]
    fn what_is_remembered_is_read_again_and_a_broken_file_is_refused() {
        let (_root, host) = host();
        let mut state = host.state().expect("the default");
        assert_eq!(state.state, Phase::Idle);
        state.state = Phase::Probing;
        state.seen = 7;
        host.remember(&state).expect("written");
        assert_eq!(host.state(), Ok(state));
        fs::write(host.state_file(), "{\"schema\":\"pkgs.host-state/2\"}").expect("written");
        let failure = host.state().expect_err("another schema");
        assert_eq!(failure.exit(), Exit::Integrity);
    }

    #[test]
    fn current_moves_in_one_step_and_only_ours_is_moved() {
        let (_root, host) = host();
        assert_eq!(host.current(), Ok(None));
        for version in ["1.0.0", "1.1.0"] {
            host.switch_current(version).expect("switched");
            assert_eq!(host.current(), Ok(Some(version.to_owned())));
        }
        let link = fs::read_link(host.directory().join("current")).expect("a link");
        assert_eq!(link, Path::new("releases/1.1.0"));
        host.clear_current().expect("cleared");
        assert_eq!(host.current(), Ok(None));
        let strange: [fn(&Path) -> std::io::Result<()>; 2] = [
            |path| fs::create_dir(path),
            |path| std::os::unix::fs::symlink("/srv/app", path),
        ];
        for make in strange {
            let path = host.directory().join("current");
            make(&path).expect("made");
            let failure = host.switch_current("1.2.0").expect_err("not ours");
            assert_eq!(failure.code(), "host::layout");
            remove(&path).expect("removed");
        }
    }

    #[test]
    fn an_interrupted_adoption_is_finished() {
        let (_root, host) = host();
        assert_eq!(host.has_something_before(), Ok(false));
        fs::write(host.directory().join("package.json"), "{}").expect("written");
        fs::create_dir(host.directory().join("service")).expect("made");
        fs::create_dir(host.directory().join("shared")).expect("made");
        assert_eq!(host.has_something_before(), Ok(true));
        assert_eq!(host.works_in(BEFORE), host.directory());
        // A crash came after the first entry had moved.
        let before = host.release(BEFORE);
        fs::create_dir_all(&before).expect("made");
        fs::rename(
            host.directory().join("package.json"),
            before.join("package.json"),
        )
        .expect("moved");
        for _ in 0..2 {
            host.adopt().expect("adopted");
            assert!(before.join("package.json").is_file());
            assert!(before.join("service").is_dir());
            assert!(host.directory().join("shared").is_dir());
            assert_eq!(host.has_something_before(), Ok(false));
        }
        assert_eq!(host.works_in(BEFORE), before);
    }

    #[test]
    fn pruning_keeps_the_newest_the_protected_and_the_current_and_removes_leftovers() {
        let (_root, host) = host();
        for (version, seq) in [("1.0.0", 1), ("1.1.0", 9), ("1.2.0", 3), ("1.3.0", 4)] {
            fs::create_dir_all(host.release(version)).expect("made");
            host.write_mark(version, &mark(version, seq))
                .expect("marked");
        }
        fs::create_dir(host.release("9.9.9")).expect("made");
        host.switch_current("1.2.0").expect("switched");
        assert_eq!(
            host.prune(1, &["1.0.0"]),
            Ok(vec!["1.3.0".to_owned(), "9.9.9".to_owned()])
        );
        assert_eq!(host.mark("1.3.0"), Ok(None));
        assert_eq!(host.prune(1, &["1.0.0"]), Ok(Vec::new()));
    }

    #[test]
    fn a_release_is_placed_whole_and_replaces_a_leftover() {
        let (_root, host) = host();
        let tree = host.temporary("tree");
        fs::create_dir_all(host.release("1.0.0").join("half")).expect("made");
        fs::create_dir(&tree).expect("made");
        fs::write(tree.join("whole"), "").expect("written");
        host.place_release(&tree, "1.0.0").expect("placed");
        assert!(host.release("1.0.0").join("whole").is_file());
        assert!(!host.release("1.0.0").join("half").exists());
    }

    #[test]
    fn an_impossible_amount_does_not_fit_the_disk() {
        let (_root, host) = host();
        assert_eq!(host.check_disk(1, 1), Ok(()));
        for (bytes, files) in [(u64::MAX, 1), (1, u64::MAX)] {
            let failure = host.check_disk(bytes, files).expect_err("too much");
            assert_eq!(
                (failure.code(), failure.exit()),
                ("host::disk", Exit::Temporary)
            );
        }
    }
}
