//! The project's own commands: run through the shell in a cleared environment, in a process group of their own, with their
//! output on our stderr (stdout carries results).
//!
//! A child gets the allowed part of the environment and what the caller adds, and nothing else: no credential can be inherited.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, PipeReader, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::explain::{Exit, Failure, quoted};

/// Environment variables by name.
pub type Variables = BTreeMap<String, String>;

/// The most that [`Output::Capture`] keeps of a command's stdout, in bytes.
pub const LONGEST_CAPTURE: usize = 16 << 20;

const TAIL_LINES: usize = 20;
const LONGEST_LINE: usize = 8 << 10;
/// How long output may still arrive after its command ended: someone outside its process group may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Names that children see. Paths, language, terminal and the tuning of Node and npm; nothing that signs anyone in.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "CI",
    "NODE_ENV",
    "NODE_OPTIONS",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "COREPACK_HOME",
    "PNPM_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// Names that children see in either case, as curl and npm read them.
const ALLOWED_IN_ANY_CASE: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "npm_config_cache",
    "npm_config_registry",
    "npm_config_offline",
    "npm_config_prefer_offline",
    "npm_config_cafile",
    "npm_config_audit",
    "npm_config_fund",
    "npm_config_loglevel",
    "npm_config_update_notifier",
    "npm_config_maxsockets",
    "npm_config_fetch_retries",
    "npm_config_fetch_timeout",
];

/// The part of `base` that a project's command may see.
///
/// A value with user information in an address (`https://user:password@proxy`) is left out whatever its name, and so is a value with a NUL.
///
/// ```
/// use pkgs_action::local::process::allowed;
/// let base = [("PATH", "/bin"), ("LC_ALL", "C"), ("NPM_TOKEN", "t"), ("INPUT_TOKEN", "t"), ("AWS_REGION", "x"), ("HTTPS_PROXY", "http://u:p@proxy")];
/// let base = base.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
/// assert_eq!(allowed(&base).into_keys().collect::<Vec<_>>(), ["LC_ALL", "PATH"]);
/// ```
#[must_use]
pub fn allowed(base: &Variables) -> Variables {
    base.iter()
        .filter(|(name, value)| {
            (ALLOWED.contains(&name.as_str())
                || name.starts_with("LC_")
                || ALLOWED_IN_ANY_CASE.contains(&name.to_ascii_lowercase().as_str()))
                && !carries_credentials(value)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn carries_credentials(value: &str) -> bool {
    value.contains('\0')
        || value.split_whitespace().any(|word| {
            word.split_once("://").is_some_and(|(_, rest)| {
                rest.split(['/', '?', '#'])
                    .next()
                    .is_some_and(|authority| authority.contains('@'))
            })
        })
        || value.contains("_authToken")
}

/// Where a command's output goes. Never to our stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<'a> {
    /// To our stderr as it comes; straight to the terminal where there is one, so that tools keep their colours.
    Show,
    /// Kept: stdout is in [`Finished::stdout`], stderr only in a failure's last lines.
    Capture,
    /// To our stderr, each line after `<label>: `; for commands that run side by side.
    Prefix(&'a str),
}

/// A line for the shell and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellCommand<'a> {
    /// Run by `/bin/sh -c`.
    pub line: &'a str,
    /// The directory it runs in.
    pub directory: &'a Path,
    /// Variables beside the allowed ones; they win.
    pub variables: Variables,
    /// After this time its process group is killed; `None` waits for ever.
    pub limit: Option<Duration>,
}

impl<'a> ShellCommand<'a> {
    /// `line` in `directory`, with nothing added and no time limit.
    #[must_use]
    pub fn new(line: &'a str, directory: &'a Path) -> ShellCommand<'a> {
        ShellCommand {
            line,
            directory,
            variables: Variables::new(),
            limit: None,
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> ShellCommand<'a> {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the time limit.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> ShellCommand<'a> {
        self.limit = Some(limit);
        self
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
    /// Its stdout, with [`Output::Capture`]; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// The last lines that it wrote, as far as they went through our hands.
    pub last_lines: Vec<String>,
}

/// The commands that run now, so that a signal handler can end them; clones speak of the same commands.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<Living>>);

#[derive(Debug, Default)]
struct Living {
    groups: BTreeSet<u32>,
    cancelled: Option<Exit>,
    showing: usize,
}

impl Children {
    /// Asks every running command to end (TERM to its process group) and lets no further one start: those fail with
    /// `process::cancelled` and the exit code `exit`.
    pub fn cancel(&self, exit: Exit) {
        let mut living = self.living();
        living.cancelled = Some(exit);
        for group in &living.groups {
            kill_group(*group, Signal::TERM);
        }
    }

    /// Kills every running command's process group.
    pub fn kill(&self) {
        for group in &self.living().groups {
            kill_group(*group, Signal::KILL);
        }
    }

    fn living(&self) -> MutexGuard<'_, Living> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process and knows its group from its first moment on, so that no cancel can miss it.
    fn spawn(&self, command: &mut Command, line: &str, directory: &Path) -> Result<Child, Failure> {
        let mut living = self.living();
        if let Some(exit) = living.cancelled {
            return Err(Failure::new(
                exit,
                "process::cancelled",
                format!("{} was not started: the run was cancelled", quoted(line)),
            ));
        }
        let child = command
            .spawn()
            .map_err(|error| not_started(line, directory, &error))?;
        living.groups.insert(child.id());
        Ok(child)
    }
}

/// Sends `signal` to every process of the group `group`; whether there was one to receive it.
pub fn kill_group(group: u32, signal: Signal) -> bool {
    // 0 would be our own group and 1 everything: neither was ever started by us.
    let target = i32::try_from(group)
        .ok()
        .filter(|id| *id > 1)
        .and_then(Pid::from_raw);
    target.is_some_and(|target| rustix::process::kill_process_group(target, signal).is_ok())
}

/// Runs a project's commands with one environment and one way of showing output.
#[derive(Debug, Clone)]
pub struct Project {
    variables: Variables,
    stop_commands: Option<String>,
    children: Children,
}

impl Project {
    /// For the project's own commands: they see the [`allowed`] part of `base`, the environment as it was read at the start.
    #[must_use]
    pub fn new(base: &Variables, children: Children) -> Project {
        Project::with_exactly(allowed(base), children)
    }

    /// For a service on its own host: its commands see exactly `variables`.
    #[must_use]
    pub fn with_exactly(variables: Variables, children: Children) -> Project {
        Project {
            variables,
            stop_commands: None,
            children,
        }
    }

    /// In GitHub Actions: the runner reads no workflow command from a child's output. `token` must be one that no child can
    /// guess, letters and digits only.
    #[must_use]
    pub fn stopping_commands(mut self, token: String) -> Project {
        self.stop_commands = Some(token);
        self
    }

    /// Runs a command to its end. What it leaves running in its process group is killed.
    ///
    /// # Errors
    /// `process::failed`, exit 1, when it ends with anything but 0 or out of time; `process::not_started`, exit 1;
    /// `process::cancelled`.
    pub fn run(&self, command: &ShellCommand<'_>, output: Output<'_>) -> Result<Finished, Failure> {
        let finished = self.attempt(command, output)?;
        if finished.status.success() && !finished.timed_out {
            Ok(finished)
        } else {
            Err(failed(command, &finished))
        }
    }

    /// Like [`Project::run`], but how the command ended is a value and not a failure.
    pub fn attempt(
        &self,
        command: &ShellCommand<'_>,
        output: Output<'_>,
    ) -> Result<Finished, Failure> {
        let mut process = Command::new("/bin/sh");
        process
            .arg("-c")
            .arg(command.line)
            .current_dir(command.directory)
            .env_clear()
            .envs(&self.variables)
            .envs(&command.variables)
            .stdin(Stdio::null())
            .process_group(0);
        let refused = |error: std::io::Error| not_started(command.line, command.directory, &error);
        let collectors = self.connect(&mut process, output).map_err(refused)?;
        let _shown = matches!(output, Output::Show | Output::Prefix(_)).then(|| self.show());
        let spawned = self
            .children
            .spawn(&mut process, command.line, command.directory);
        // Our ends of the pipes close with it: the collectors see the end when the last child's end closes.
        drop(process);
        let mut child = spawned?;
        let ended = self.wait(&mut child, command.limit);
        let (stdout, tail) = collectors.finish();
        let (status, timed_out) = ended.map_err(refused)?;
        if let Some(exit) = self.children.living().cancelled {
            return Err(Failure::new(
                exit,
                "process::cancelled",
                format!("{} was ended: the run was cancelled", quoted(command.line)),
            ));
        }
        if stdout.len() > LONGEST_CAPTURE {
            return Err(Failure::new(
                Exit::CommandFailed,
                "process::too_much",
                format!("{} wrote more than 16 MiB", quoted(command.line)),
            ));
        }
        Ok(Finished {
            status,
            timed_out,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            last_lines: tail.lines.into(),
        })
    }

    fn connect(&self, process: &mut Command, output: Output<'_>) -> std::io::Result<Collectors> {
        let straight = self.stop_commands.is_none() && std::io::stderr().is_terminal();
        if output == Output::Show && straight {
            process
                .stdout(Stdio::from(std::io::stderr()))
                .stderr(Stdio::inherit());
            return Ok(Collectors::default());
        }
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (reader, writer) = std::io::pipe()?;
        let mut collectors = Collectors {
            tail: Arc::clone(&tail),
            ..Collectors::default()
        };
        match output {
            Output::Capture => {
                let (stdout_reader, stdout_writer) = std::io::pipe()?;
                process.stdout(stdout_writer);
                collectors.capture(stdout_reader);
            }
            // One pipe for both keeps the order in which the child wrote.
            Output::Show | Output::Prefix(_) => {
                process.stdout(writer.try_clone()?);
            }
        }
        process.stderr(writer);
        let label = match output {
            Output::Show => Some(String::new()),
            Output::Prefix(label) => Some(format!("{label}: ")),
            Output::Capture => None,
        };
        collectors.relay(reader, label);
        Ok(collectors)
    }

    /// Waits for a child's end, kills what is left of its group while its id cannot be given to anyone else, then reaps it.
    fn wait(
        &self,
        child: &mut Child,
        limit: Option<Duration>,
    ) -> std::io::Result<(ExitStatus, bool)> {
        let group = child.id();
        let in_time = wait_without_reaping(group, limit);
        let mut living = self.children.living();
        kill_group(group, Signal::KILL);
        living.groups.remove(&group);
        drop(living);
        let status = child.wait()?;
        Ok((status, !in_time?))
    }

    fn show(&self) -> Option<Shown<'_>> {
        let token = self.stop_commands.as_deref()?;
        let mut living = self.children.living();
        living.showing += 1;
        if living.showing == 1 {
            to_stderr(format!("::stop-commands::{token}\n").as_bytes());
        }
        Some(Shown {
            children: &self.children,
            token,
        })
    }

    /// Runs `script` of a package as `npm run` does: `pre<script>`, the script with `arguments`, `post<script>`, each with the
    /// `node_modules/.bin` of the package and of every directory up to the repository's root before `PATH`.
    pub fn npm_run(
        &self,
        package: &Package<'_>,
        script: &str,
        arguments: &[String],
        output: Output<'_>,
    ) -> Result<Ran, Failure> {
        let Some(body) = package.scripts.get(script) else {
            return Ok(Ran::NoSuchScript);
        };
        let main = if arguments.is_empty() {
            body.clone()
        } else {
            format!("{body} {}", shell_words::join(arguments))
        };
        let lifecycle = |name: String| package.scripts.get(&name).map(|line| (name, line.clone()));
        let steps = [
            lifecycle(format!("pre{script}")),
            Some((script.to_owned(), main)),
            lifecycle(format!("post{script}")),
        ];
        for (event, line) in steps.into_iter().flatten() {
            self.run(&self.npm_command(package, &event, &line), output)?;
        }
        Ok(Ran::Done)
    }

    fn npm_command<'a>(
        &self,
        package: &Package<'a>,
        event: &str,
        line: &'a str,
    ) -> ShellCommand<'a> {
        let inherited = self.variables.get("PATH").map_or("", String::as_str);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        ShellCommand::new(line, package.directory)
            .with(
                "PATH",
                search_path(package.directory, package.root, inherited),
            )
            .with("INIT_CWD", text(package.invoked_in))
            .with("npm_command", "run-script")
            .with("npm_lifecycle_event", event)
            .with("npm_lifecycle_script", line)
            .with("npm_package_name", package.name)
            .with("npm_package_version", package.version)
            .with(
                "npm_package_json",
                text(&package.directory.join("package.json")),
            )
    }
}

/// A package whose scripts are run.
#[derive(Debug, Clone, Copy)]
pub struct Package<'a> {
    /// Where its `package.json` lies, absolute.
    pub directory: &'a Path,
    /// The repository's root, absolute, at or above `directory`.
    pub root: &'a Path,
    /// Where the person or workflow stands: `INIT_CWD`.
    pub invoked_in: &'a Path,
    /// Its name; may be empty.
    pub name: &'a str,
    /// Its version; may be empty.
    pub version: &'a str,
    /// The `scripts` of its `package.json`.
    pub scripts: &'a BTreeMap<String, String>,
}

/// Whether a script was there to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// It ran and ended well.
    Done,
    /// The package has no such script; nothing ran.
    NoSuchScript,
}

/// `PATH` with the `node_modules/.bin` of `directory` and of every directory up to `root` before `inherited`.
#[must_use]
pub fn search_path(directory: &Path, root: &Path, inherited: &str) -> String {
    let mut places: Vec<PathBuf> = directory
        .ancestors()
        .take_while(|ancestor| ancestor.starts_with(root))
        .map(|ancestor| ancestor.join("node_modules/.bin"))
        .collect();
    if places.is_empty() {
        places.push(directory.join("node_modules/.bin"));
    }
    let mut path = String::new();
    for place in &places {
        let _ = write!(path, "{}:", place.display());
    }
    path.push_str(inherited);
    path.trim_end_matches(':').to_owned()
}

/// While it lives, the runner reads no commands from our stderr; the last of several lets it read again.
struct Shown<'a> {
    children: &'a Children,
    token: &'a str,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let mut living = self.children.living();
        living.showing = living.showing.saturating_sub(1);
        if living.showing == 0 {
            to_stderr(format!("::{}::\n", self.token).as_bytes());
        }
    }
}

#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
}

impl Tail {
    fn push(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// The threads that read a command's output.
#[derive(Default)]
struct Collectors {
    stdout: Arc<Mutex<Vec<u8>>>,
    tail: Arc<Mutex<Tail>>,
    ends: Vec<Receiver<()>>,
}

impl Collectors {
    fn capture(&mut self, mut reader: PipeReader) {
        let kept = Arc::clone(&self.stdout);
        let (done, end) = channel();
        self.ends.push(end);
        std::thread::spawn(move || {
            let mut chunk = [0; 8 << 10];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                // One byte more than allowed tells that there was too much; the rest is read and dropped, so nobody blocks.
                let room = (LONGEST_CAPTURE + 1).saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..length.min(room)]);
            }
            let _ = done.send(());
        });
    }

    /// Reads lines; shows each behind `label`, or keeps it to itself without one.
    fn relay(&mut self, mut reader: PipeReader, label: Option<String>) {
        let tail = Arc::clone(&self.tail);
        let (done, end) = channel();
        self.ends.push(end);
        std::thread::spawn(move || {
            let mut pending = Vec::new();
            // Many short lines are shown with one write, or a chatty command would wait for us.
            let tell = |lines: &[u8]| {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                let mut shown = Vec::with_capacity(lines.len());
                for line in lines
                    .strip_suffix(b"\n")
                    .unwrap_or(lines)
                    .split(|byte| *byte == b'\n')
                {
                    tail.push(line);
                    if let Some(label) = &label {
                        shown.extend([label.as_bytes(), line, b"\n"].concat());
                    }
                }
                to_stderr(&shown);
            };
            let mut chunk = [0; 8 << 10];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                pending.extend_from_slice(&chunk[..length]);
                let whole = match pending.iter().rposition(|byte| *byte == b'\n') {
                    Some(end) => end + 1,
                    None if pending.len() > LONGEST_LINE => pending.len(),
                    None => continue,
                };
                tell(&pending[..whole]);
                pending.drain(..whole);
            }
            if !pending.is_empty() {
                tell(&pending);
            }
            let _ = done.send(());
        });
    }

    fn finish(self) -> (Vec<u8>, Tail) {
        let until = Instant::now() + LAST_WORDS;
        for end in &self.ends {
            let _ = end.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
        let stdout =
            std::mem::take(&mut *self.stdout.lock().unwrap_or_else(PoisonError::into_inner));
        let tail = std::mem::take(&mut *self.tail.lock().unwrap_or_else(PoisonError::into_inner));
        (stdout, tail)
    }
}

fn to_stderr(bytes: &[u8]) {
    // A closed stderr is no reason to fail a command.
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// Waits until the child `pid` ended, leaving it unreaped; false when the time was over first.
fn wait_without_reaping(pid: u32, limit: Option<Duration>) -> std::io::Result<bool> {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(true);
    };
    let until = limit.map(|limit| Instant::now() + limit);
    let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    if until.is_some() {
        options |= WaitIdOptions::NOHANG;
    }
    let mut pause = Duration::from_millis(1);
    loop {
        match rustix::process::waitid(WaitId::Pid(id), options) {
            Ok(Some(_)) => return Ok(true),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(None) => {}
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// How a process ended, for people: `exit code 2`, `signal 9`.
#[must_use]
pub fn describe_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn failed(command: &ShellCommand<'_>, finished: &Finished) -> Failure {
    let how = match command.limit {
        Some(limit) if finished.timed_out => {
            format!("it was not done after {} s and was killed", limit.as_secs())
        }
        _ => format!("it ended with {}", describe_status(finished.status)),
    };
    let failure = Failure::new(
        Exit::CommandFailed,
        "process::failed",
        format!(
            "{} failed in {}",
            quoted(command.line),
            quoted(&command.directory.to_string_lossy())
        ),
    )
    .because(how);
    if finished.last_lines.is_empty() {
        return failure;
    }
    failure.because(format!(
        "its last lines were\n{}",
        finished.last_lines.join("\n")
    ))
}

fn not_started(line: &str, directory: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::CommandFailed,
        "process::not_started",
        format!(
            "{} could not be run in {}",
            quoted(line),
            quoted(&directory.to_string_lossy())
        ),
    )
    .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Variables {
        [
            ("PATH", env!("PATH")),
            ("HOME", "/nowhere"),
            ("NPM_TOKEN", "hunter2"),
            ("GITHUB_TOKEN", "hunter2"),
            ("INPUT_NPM-TOKEN", "hunter2"),
            ("PKGS_STORE", "hunter2"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
            ("npm_config__auth", "hunter2"),
            ("NPM_CONFIG_REGISTRY", "https://u:hunter2@registry.example"),
            ("https_proxy", "http://hunter2@proxy.example:1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn project() -> Project {
        Project::new(&base(), Children::default())
    }

    #[test]
    fn a_child_sees_no_secret() {
        let directory = tempfile::tempdir().expect("a directory");
        let command = ShellCommand::new("env", directory.path()).with("EXTRA", "yes");
        let finished = project().run(&command, Output::Capture).expect("it runs");
        assert!(!finished.stdout.contains("hunter2"), "{}", finished.stdout);
        assert!(finished.stdout.contains("EXTRA=yes\n"));
        assert!(finished.stdout.contains("HOME=/nowhere\n"));
    }

    #[test]
    fn a_failure_names_command_directory_status_and_last_lines() {
        let directory = tempfile::tempdir().expect("a directory");
        let command = ShellCommand::new("echo one; printf two >&2; exit 7", directory.path());
        for output in [Output::Show, Output::Prefix("x")] {
            let failure = project().run(&command, output).expect_err("it fails");
            assert_eq!(failure.code(), "process::failed");
            assert_eq!(failure.exit(), Exit::CommandFailed);
            assert!(failure.what().contains("exit 7"), "{failure}");
            let directory = directory.path().to_string_lossy().into_owned();
            assert!(failure.what().contains(&directory), "{failure}");
            assert_eq!(
                failure.causes(),
                ["it ended with exit code 7", "its last lines were\none\ntwo"]
            );
        }
    }

    #[test]
    fn what_a_command_leaves_behind_is_killed() {
        let directory = tempfile::tempdir().expect("a directory");
        let command = ShellCommand::new("sleep 1000 & echo $!", directory.path());
        let finished = project().run(&command, Output::Capture).expect("it runs");
        let pid: u32 = finished.stdout.trim().parse().expect("a pid");
        assert!(eventually(|| !alive(pid)));
    }

    #[test]
    fn a_time_limit_kills_the_group() {
        let directory = tempfile::tempdir().expect("a directory");
        let command = ShellCommand::new("trap '' TERM; sleep 1000", directory.path())
            .within(Duration::from_millis(50));
        let failure = project()
            .run(&command, Output::Capture)
            .expect_err("out of time");
        assert!(failure.causes()[0].contains("not done"), "{failure:?}");
    }

    #[test]
    fn cancelling_ends_commands_and_starts_no_more() {
        let directory = tempfile::tempdir().expect("a directory");
        let children = Children::default();
        let project = Project::new(&base(), children.clone());
        let ready = directory.path().join("ready");
        let failure = std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let command = ShellCommand::new("touch ready; sleep 1000", directory.path());
                project.run(&command, Output::Capture)
            });
            assert!(eventually(|| ready.exists()));
            children.cancel(Exit::Terminated);
            running.join().expect("no panic").expect_err("cancelled")
        });
        assert_eq!(failure.code(), "process::cancelled");
        assert_eq!(failure.exit(), Exit::Terminated);
        let next = project.run(
            &ShellCommand::new("true", directory.path()),
            Output::Capture,
        );
        assert_eq!(next.expect_err("refused").code(), "process::cancelled");
    }

    #[test]
    fn captured_output_is_bounded() {
        let directory = tempfile::tempdir().expect("a directory");
        let command = ShellCommand::new("head -c 17000000 /dev/zero", directory.path());
        let failure = project()
            .run(&command, Output::Capture)
            .expect_err("too much");
        assert_eq!(failure.code(), "process::too_much");
    }

    #[test]
    fn a_missing_directory_is_said() {
        let command = ShellCommand::new("true", Path::new("/no/such/directory"));
        let failure = project()
            .run(&command, Output::Capture)
            .expect_err("no directory");
        assert_eq!(failure.code(), "process::not_started");
    }

    #[test]
    fn npm_scripts_see_binaries_and_their_package() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = root.path().join("packages/a");
        std::fs::create_dir_all(&directory).expect("made");
        let scripts: BTreeMap<String, String> = [
            ("prebuild", "echo pre >> said"),
            (
                "build",
                "printf '%s|%s|%s|%s|%s\\n' \"$npm_lifecycle_event\" \"$npm_package_name\" \"$npm_package_version\" \"$INIT_CWD\" \"$PATH\" >> said; echo",
            ),
            ("postbuild", "echo post >> said"),
        ]
        .map(|(name, line)| (name.to_owned(), line.to_owned()))
        .into();
        let package = Package {
            directory: &directory,
            root: root.path(),
            invoked_in: root.path(),
            name: "@x/a",
            version: "1.0.0",
            scripts: &scripts,
        };
        let arguments = ["it's".to_owned()];
        let ran = project().npm_run(&package, "build", &arguments, Output::Capture);
        assert_eq!(ran, Ok(Ran::Done));
        let said = std::fs::read_to_string(directory.join("said")).expect("written");
        let top = root.path().display();
        let start = format!(
            "pre\nbuild|@x/a|1.0.0|{top}|{top}/packages/a/node_modules/.bin:{top}/packages/node_modules/.bin:{top}/node_modules/.bin:/"
        );
        assert!(said.starts_with(&start), "{said}");
        assert!(said.ends_with("\npost\n"), "{said}");
        assert_eq!(
            project().npm_run(&package, "test", &[], Output::Capture),
            Ok(Ran::NoSuchScript)
        );
    }

    fn alive(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn eventually(mut condition: impl FnMut() -> bool) -> bool {
        (0..500).any(|_| {
            let holds = condition();
            if !holds {
                std::thread::sleep(Duration::from_millis(10));
            }
            holds
        })
    }
}
