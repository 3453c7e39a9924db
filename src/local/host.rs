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

mod proc;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

pub use proc::{Listener, Process, group, members, who_listens};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::local::process::{self, Children, Output, Project, ShellCommand, Variables};
use crate::name::PackageName;
use crate::release::app::{Runtime, Scripts};
use crate::release::host::{BEFORE, Group, HostState, MARK_SCHEMA, Mark, STATE_SCHEMA};
use crate::release::{LONGEST_DOCUMENT, from_bytes, to_bytes};

const OURS: [&str; 4] = ["releases", "current", "shared", ".pkgs"];
const LONGEST_TAIL: u64 = 4 << 10;

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

/// How long a service may take to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The most its stop script may take.
    pub stop_script: Duration,
    /// How long it may go on after its stop script ended, before anything else is done to it.
    pub settle: Duration,
    /// How long it may go on after TERM, before KILL.
    pub terminate: Duration,
    /// How long the kernel may take for a KILL.
    pub kill: Duration,
    /// The pause between two looks.
    pub poll: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            stop_script: Duration::from_secs(30),
            settle: Duration::from_secs(10),
            terminate: Duration::from_secs(15),
            kill: Duration::from_secs(5),
            poll: Duration::from_millis(100),
        }
    }
}

/// How a service is run: the same for start and stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The physical directory of the release.
    pub directory: PathBuf,
    /// Its version: `RELEASE_ID`.
    pub version: String,
    /// The environment, for the variable that the scripts name.
    pub environment: String,
    /// Its scripts.
    pub scripts: Scripts,
    /// The rest of its environment, complete.
    pub variables: Variables,
}

/// A service that was started.
#[derive(Debug)]
pub struct Started {
    child: Child,
    group: Group,
    log: PathBuf,
    log_start: u64,
}

/// What became of a start command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Running,
    /// It ended well: it has left a service in the background, or its work is done.
    LeftBackground,
    /// It ended otherwise; how.
    Ended(String),
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
            .write(true)
            .open(&path)
            .map_err(|error| trouble(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Exit::Temporary,
                "host::busy",
                format!("{} is being changed by another process", self.app),
            )
            .hint("run again when it is done")),
            Err(TryLockError::Error(error)) => Err(trouble(&path, &error)),
        }
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
                ));
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

    /// Starts a service: its start script through the shell, in its physical directory, in a process group of its own, with its
    /// output added to [`Host::log_file`].
    ///
    /// The process group is given to `remember` before the script begins; when that fails, or this process dies in between, the
    /// script never begins. So no service runs that nobody knows of.
    ///
    /// # Errors
    /// `host::start`, exit 1, when the shell cannot be run; what `remember` fails with. Whether the service comes up is another
    /// question.
    pub fn start(
        &self,
        service: &Service,
        remember: impl FnOnce(&Group) -> Result<(), Failure>,
    ) -> Result<Started, Failure> {
        // The shell waits for a line, and ends without one.
        const WAITING: &str = "read -r _ && exec /bin/sh -c \"$0\" </dev/null";
        let path = self.log_file();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| trouble(&path, &error))?;
        let errors = log.try_clone().map_err(|error| trouble(&path, &error))?;
        let log_start = log.metadata().map_or(0, |metadata| metadata.len());
        let refused = |error: std::io::Error| {
            Failure::new(
                Exit::CommandFailed,
                "host::start",
                format!(
                    "{} could not be run in {}",
                    quoted(&service.scripts.start),
                    quoted(&service.directory.to_string_lossy())
                ),
            )
            .because(error)
        };
        let (waits_for, mut go) = std::io::pipe().map_err(refused)?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", WAITING])
            .arg(&service.scripts.start)
            .current_dir(&service.directory)
            .env_clear()
            .envs(service.environment())
            .stdin(waits_for)
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(refused)?;
        let group = group(child.id());
        let begun = remember(&group).and_then(|()| go.write_all(b"\n").map_err(refused));
        drop(go);
        if let Err(failure) = begun {
            // Without its line it ends by itself; the kill is for a process that was told nothing at all.
            let _ = child.kill();
            let _ = child.wait();
            return Err(failure);
        }
        Ok(Started {
            child,
            group,
            log: path,
            log_start,
        })
    }

    /// Whether any process of `group` lives and is ours.
    #[must_use]
    pub fn is_alive(&self, group: &Group) -> bool {
        !members(group, &self.directory).is_empty()
    }

    /// Stops a service: its own stop script; then its process group, TERM and KILL; then who listens on `port`, if that process
    /// works inside our directory. A service without a stop script, or one that does not run, is nothing special. Returns what
    /// was worth telling.
    ///
    /// # Errors
    /// `host::port_taken`, exit 5, when a stranger listens on `port`; `host::still_running`, exit 1, when even KILL did not help.
    pub fn stop(
        &self,
        service: &Service,
        group: Option<&Group>,
        port: Option<u16>,
        children: &Children,
        patience: &Patience,
    ) -> Result<Vec<String>, Failure> {
        let mut notes = Vec::new();
        let stands_still = || {
            group.is_none_or(|group| !self.is_alive(group))
                && port.is_none_or(|port| self.ours_on(port).is_ok_and(|ours| ours.is_empty()))
        };
        if service.has_stop_script() {
            notes.extend(service.run_stop_script(children, patience));
            wait_until(patience.settle, patience.poll, stands_still);
        }
        if let Some(group) = group {
            self.end_group(group, patience)?;
        }
        if let Some(port) = port {
            self.end_listeners(port, patience)?;
            self.refuse_strangers(port)?;
        }
        Ok(notes)
    }

    fn end_group(&self, group: &Group, patience: &Patience) -> Result<(), Failure> {
        for (signal, time) in [
            (Signal::TERM, patience.terminate),
            (Signal::KILL, patience.kill),
        ] {
            if !self.is_alive(group) {
                reap(group.id);
                return Ok(());
            }
            process::kill_group(group.id, signal);
            wait_until(time, patience.poll, || !self.is_alive(group));
        }
        reap(group.id);
        match members(group, &self.directory).first() {
            None => Ok(()),
            Some(process) => Err(self.still_running(process)),
        }
    }

    fn end_listeners(&self, port: u16, patience: &Patience) -> Result<(), Failure> {
        for (signal, time) in [
            (Signal::TERM, patience.terminate),
            (Signal::KILL, patience.kill),
        ] {
            let ours = self.ours_on(port)?;
            if ours.is_empty() {
                return Ok(());
            }
            for process in ours {
                kill_process(&process, signal);
            }
            wait_until(time, patience.poll, || {
                self.ours_on(port).is_ok_and(|ours| ours.is_empty())
            });
        }
        match self.ours_on(port)?.first() {
            None => Ok(()),
            Some(process) => Err(self.still_running(process)),
        }
    }

    fn still_running(&self, process: &Process) -> Failure {
        Failure::new(
            Exit::CommandFailed,
            "host::still_running",
            format!(
                "process {} {} of {} does not end",
                process.id,
                quoted(&process.name),
                self.app
            ),
        )
        .because("it was sent TERM and KILL")
    }

    fn ours_on(&self, port: u16) -> Result<Vec<Process>, Failure> {
        Ok(who_listens(port)?
            .into_iter()
            .filter_map(|listener| listener.process)
            .filter(|process| process.is_inside(&self.directory))
            .collect())
    }

    /// Refuses to go on when somebody listens on `port` who does not work inside our directory.
    ///
    /// # Errors
    /// `host::port_taken`, exit 5, saying who.
    pub fn refuse_strangers(&self, port: u16) -> Result<(), Failure> {
        // Several processes may share a socket: one of ours among them makes it ours.
        if !self.ours_on(port)?.is_empty() {
            return Ok(());
        }
        match who_listens(port)?.first() {
            None => Ok(()),
            Some(stranger) => Err(Failure::new(
                Exit::RemoteRefused,
                "host::port_taken",
                format!(
                    "port {port} of {} is taken by {}",
                    self.app,
                    stranger.describe()
                ),
            )
            .because(format!(
                "it does not work inside {}, so it is not ours to stop",
                quoted(&self.directory.to_string_lossy())
            ))
            .hint("stop it, or give the app another port")),
        }
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
                "{} MiB are needed, {} MiB are free",
                needed >> 20,
                free >> 20
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

impl Service {
    /// Its whole environment.
    fn environment(&self) -> Variables {
        let mut variables = self.variables.clone();
        variables.insert(
            self.scripts.environment_variable.clone(),
            self.environment.clone(),
        );
        variables.insert("RELEASE_ID".to_owned(), self.version.clone());
        variables
    }

    fn run_stop_script(&self, children: &Children, patience: &Patience) -> Option<String> {
        let project = Project::with_exactly(self.environment(), children.clone());
        let command =
            ShellCommand::new(&self.scripts.stop, &self.directory).within(patience.stop_script);
        // A stop script that fails leaves the service to the next rung.
        match project.run(&command, Output::Prefix("stop")) {
            Ok(_) => None,
            Err(failure) => Some(format!("{failure}: {}", failure.causes().join("; "))),
        }
    }

    /// Whether running the stop script can do anything: the default one only where `package.json` has a `stop`.
    fn has_stop_script(&self) -> bool {
        if self.scripts.stop.trim().is_empty() {
            return false;
        }
        if self.scripts.stop != "npm run stop --if-present" {
            return true;
        }
        let Ok(Some(bytes)) = read_bounded(&self.directory.join("package.json")) else {
            return false;
        };
        serde_json::from_slice::<serde_json::Value>(&bytes)
            .is_ok_and(|manifest| manifest.pointer("/scripts/stop").is_some())
    }
}

impl Started {
    /// The process group it runs in.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// What became of its start command by now.
    pub fn look(&mut self) -> Life {
        match self.child.try_wait() {
            Ok(None) => Life::Running,
            Ok(Some(status)) if status.success() => Life::LeftBackground,
            Ok(Some(status)) => Life::Ended(process::describe_status(status)),
            Err(error) => Life::Ended(error.to_string()),
        }
    }

    /// The last lines that the service wrote since it was started; at most 4 KiB.
    #[must_use]
    pub fn last_words(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut log = File::open(&self.log)?;
            let length = log.metadata()?.len();
            let start = self.log_start.max(length.saturating_sub(LONGEST_TAIL));
            log.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            log.take(LONGEST_TAIL).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let lines = read().unwrap_or_default();
        let lines: Vec<String> = lines
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(5)
            .map(quoted)
            .collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Checks that the Node on this host can run what `runtime` describes. Only what it asks for is looked at; without native
/// modules it asks for nothing and no Node is started.
///
/// # Errors
/// `host::runtime`, exit 3, with every difference; the running service was not touched.
pub fn check_runtime(
    runtime: &Runtime,
    directory: &Path,
    variables: &Variables,
    children: &Children,
) -> Result<(), Failure> {
    let asks_libc = runtime.libc.is_some() || runtime.min_glibc.is_some();
    if !asks_libc && runtime.modules_abi.is_none() && runtime.os.is_none() && runtime.arch.is_none()
    {
        return Ok(());
    }
    let glibc = if asks_libc {
        "(process.report.excludeNetwork=true,process.report.getReport().header.glibcVersionRuntime)||''"
    } else {
        "''"
    };
    let line = format!(
        "node -p \"JSON.stringify({{abi:process.versions.modules,os:process.platform,arch:process.arch,glibc:{glibc}}})\""
    );
    let refused = |why: String| {
        Failure::new(
            Exit::Refused,
            "host::runtime",
            "this host cannot run the release: its native modules were built for another one",
        )
        .because(why)
        .hint("install the Node that the release was built with, or build for this kind of host; the running service was not touched")
    };
    let command = ShellCommand::new(&line, directory).within(Duration::from_secs(30));
    let finished = Project::with_exactly(variables.clone(), children.clone())
        .run(&command, Output::Capture)
        .map_err(|failure| {
            refused(format!(
                "node does not answer: {}",
                failure.causes().join("; ")
            ))
        })?;
    let here: NodeFacts = serde_json::from_str(finished.stdout.trim())
        .map_err(|error| refused(format!("node does not answer: {error}")))?;
    let differences = here.differences(runtime);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(refused(differences.join("; ")))
    }
}

#[derive(Debug, serde::Deserialize)]
struct NodeFacts {
    abi: String,
    os: String,
    arch: String,
    glibc: String,
}

impl NodeFacts {
    fn differences(&self, runtime: &Runtime) -> Vec<String> {
        let libc = if self.glibc.is_empty() {
            "musl"
        } else {
            "glibc"
        };
        let exact = [
            ("Node ABI", &runtime.modules_abi, self.abi.as_str()),
            ("operating system", &runtime.os, self.os.as_str()),
            ("architecture", &runtime.arch, self.arch.as_str()),
            ("C library", &runtime.libc, libc),
        ];
        let mut found: Vec<String> = exact
            .into_iter()
            .filter_map(|(what, wanted, here)| {
                let wanted = wanted.as_deref().filter(|wanted| *wanted != here)?;
                Some(format!(
                    "{what}: it needs {}, here is {}",
                    quoted(wanted),
                    quoted(here)
                ))
            })
            .collect();
        if let Some(wanted) = &runtime.min_glibc
            && libc == "glibc"
            && numbers(&self.glibc) < numbers(wanted)
        {
            found.push(format!(
                "glibc: it needs {} or newer, here is {}",
                quoted(wanted),
                quoted(&self.glibc)
            ));
        }
        found
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

/// Looks until `condition` holds or the time is over; whether it holds.
fn wait_until(time: Duration, poll: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + time;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(poll);
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id)
        .ok()
        .filter(|id| *id > 1)
        .and_then(Pid::from_raw)
}

/// Signals a process if it is still the one that was seen.
fn kill_process(process: &Process, signal: Signal) {
    if Process::look(process.id).as_ref() == Some(process)
        && let Some(id) = pid(process.id)
    {
        // It may have ended in between, which is what was wanted.
        let _ = rustix::process::kill_process(id, signal);
    }
}

/// Takes note of the end of a service that this very process started earlier; nothing happens for any other.
fn reap(id: u32) {
    if let Some(id) = pid(id) {
        let _ = rustix::process::waitpid(Some(id), rustix::process::WaitOptions::NOHANG);
    }
}

fn trouble(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::CommandFailed,
        "host::disk_error",
        format!(
            "{} cannot be changed or read",
            quoted(&path.to_string_lossy())
        ),
    )
    .because(error)
    .place(Place::file(path.to_string_lossy()))
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| trouble(path, &error))
}

/// Names and paths of a directory's entries in order of name; none when there is no such directory.
fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
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
fn remove(path: &Path) -> Result<(), Failure> {
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

fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
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
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
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

fn sync_directory(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| trouble(path, &error))
}

/// Brings everything below `path` to the disk: one call for a tree of tens of thousands of files.
#[cfg(target_os = "linux")]
fn sync_file_system(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|directory| Ok(rustix::fs::syncfs(&directory)?))
        .map_err(|error| trouble(path, &error))
}

/// Brings everything to the disk.
#[cfg(not(target_os = "linux"))]
fn sync_file_system(_path: &Path) -> Result<(), Failure> {
    rustix::fs::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::host::Phase;

    fn host() -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().expect("a directory");
        let app = PackageName::parse("@org/web").expect("a name");
        let host =
            Host::open(&root.path().join("app"), &root.path().join("logs"), &app).expect("opened");
        (root, host)
    }

    fn mark(version: &str, seq: u64) -> Mark {
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
    fn no_service_begins_before_it_is_remembered() {
        let (_root, host) = host();
        fs::create_dir_all(host.release("1.0.0")).expect("made");
        let service = Service {
            directory: host.release("1.0.0"),
            version: "1.0.0".to_owned(),
            environment: "prod".to_owned(),
            scripts: Scripts {
                start: "echo $RELEASE_ID $SERVER_ENV > ran".to_owned(),
                ..mark("1.0.0", 1).scripts
            },
            variables: [("PATH".to_owned(), env!("PATH").to_owned())].into(),
        };
        let ran = service.directory.join("ran");
        let refused = host.start(&service, |_| {
            Err(Failure::new(
                Exit::CommandFailed,
                "host::disk_error",
                "full",
            ))
        });
        assert_eq!(refused.expect_err("refused").code(), "host::disk_error");
        assert!(!ran.exists());
        let mut known = None;
        let mut started = host
            .start(&service, |group| {
                assert!(!ran.exists());
                assert!(host.is_alive(group));
                known = Some(group.clone());
                Ok(())
            })
            .expect("started");
        assert!(started.child.wait().expect("it ends").success());
        assert_eq!(started.look(), Life::LeftBackground);
        assert_eq!(known.as_ref(), Some(started.group()));
        assert!(!host.is_alive(started.group()));
        assert_eq!(
            fs::read_to_string(ran).ok().as_deref(),
            Some("1.0.0 prod\n")
        );
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

    #[test]
    fn a_runtime_is_compared_only_where_it_asks() {
        let here = NodeFacts {
            abi: "115".to_owned(),
            os: "linux".to_owned(),
            arch: "x64".to_owned(),
            glibc: "2.36".to_owned(),
        };
        let check = |change: fn(&mut Runtime), expected: usize| {
            let mut runtime = Runtime::default();
            change(&mut runtime);
            let found = here.differences(&runtime);
            assert_eq!(found.len(), expected, "{runtime:?} {found:?}");
        };
        check(|_| {}, 0);
        check(|runtime| runtime.modules_abi = Some("115".to_owned()), 0);
        check(|runtime| runtime.modules_abi = Some("127".to_owned()), 1);
        check(|runtime| runtime.arch = Some("arm64".to_owned()), 1);
        check(|runtime| runtime.libc = Some("musl".to_owned()), 1);
        check(|runtime| runtime.min_glibc = Some("2.9".to_owned()), 0);
        check(|runtime| runtime.min_glibc = Some("2.38".to_owned()), 1);
    }

    #[test]
    fn the_node_here_is_asked() {
        let (_root, host) = host();
        let variables: Variables = [("PATH".to_owned(), env!("PATH").to_owned())].into();
        let check = |runtime: &Runtime, variables: &Variables| {
            check_runtime(runtime, host.directory(), variables, &Children::default())
        };
        let mut runtime = Runtime {
            os: Some("linux".to_owned()),
            min_glibc: Some("2.1".to_owned()),
            ..Runtime::default()
        };
        assert_eq!(check(&runtime, &variables), Ok(()));
        runtime.modules_abi = Some("1".to_owned());
        assert_eq!(
            check(&runtime, &variables).expect_err("another ABI").code(),
            "host::runtime"
        );
        let nowhere = [("PATH".to_owned(), "/no/such".to_owned())].into();
        assert_eq!(
            check(&runtime, &nowhere).expect_err("no node").code(),
            "host::runtime"
        );
        assert_eq!(check(&Runtime::default(), &nowhere), Ok(()));
    }
}
