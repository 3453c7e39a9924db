//! The project's own commands: run through the shell in a cleared environment, in a process group of their own, with their
//! output on our stderr (stdout carries results).
//!
//! A child gets the allowed part of the environment and what the caller adds, and nothing else: no credential can be inherited.

mod environment;
mod npm;
mod orphans;
mod output;
mod toolchain;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

pub use environment::allowed;
pub use npm::{Package, Ran, search_path};
pub use orphans::Orphans;
pub use output::LONGEST_CAPTURE;
use output::{Collectors, to_stderr};

use crate::explain::{Exit, Failure, quoted};
use crate::local::proc::group_lives;

/// How long a command that is to end may take for its last words, before it is killed.
pub const GRACE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(10);

/// Environment variables by name.
pub type Variables = BTreeMap<String, String>;

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
    /// What is hidden in all that it writes and is shown, or told in a failure.
    pub secrets: Vec<String>,
    /// The file that it reads from its stdin; `None`: nothing.
    pub input: Option<&'a Path>,
    /// After this time its process group is ended; `None` waits for ever.
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
            secrets: Vec::new(),
            input: None,
            limit: None,
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> ShellCommand<'a> {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a variable with a secret, which is hidden in what it writes.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: &str) -> ShellCommand<'a> {
        self.secrets.push(value.to_owned());
        self.with(name, value)
    }

    /// Lets it read a file from its stdin.
    #[must_use]
    pub fn reading(mut self, input: &'a Path) -> ShellCommand<'a> {
        self.input = Some(input);
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
    /// Ends every command that still runs, and all of its process group; none starts any more. It takes no longer than [`GRACE`].
    ///
    /// A process that went into a session of its own (`setsid`, a daemon) cannot be told from a service that is to stay, and stays.
    pub fn end(&self) {
        self.cancel(Exit::Terminated);
        let until = Instant::now() + GRACE;
        while !self.living().groups.is_empty() && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
        self.kill();
    }

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

    /// Runs a command to its end. What it leaves running in its process group is ended: TERM, [`GRACE`], KILL.
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
        let refused = |error: std::io::Error| not_started(command.line, command.directory, &error);
        let input = match command.input {
            Some(path) => Stdio::from(std::fs::File::open(path).map_err(refused)?),
            None => Stdio::null(),
        };
        let mut process = Command::new("/bin/sh");
        process
            .arg("-c")
            .arg(command.line)
            .current_dir(command.directory)
            .env_clear()
            .envs(&self.variables)
            .envs(&command.variables)
            .stdin(input)
            .process_group(0);
        let collectors = self
            .connect(&mut process, command, output)
            .map_err(refused)?;
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

    fn connect(
        &self,
        process: &mut Command,
        command: &ShellCommand<'_>,
        output: Output<'_>,
    ) -> std::io::Result<Collectors> {
        if output == Output::Show && command.secrets.is_empty() && self.is_at_terminal() {
            process
                .stdout(Stdio::from(std::io::stderr()))
                .stderr(Stdio::inherit());
            return Ok(Collectors::default());
        }
        let (reader, writer) = std::io::pipe()?;
        let mut collectors = Collectors::default();
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
        collectors.relay(reader, label, command.secrets.clone());
        Ok(collectors)
    }

    /// Waits for a child's end, ends what is left of its group while its id cannot be given to anyone else, then reaps it.
    fn wait(
        &self,
        child: &mut Child,
        limit: Option<Duration>,
    ) -> std::io::Result<(ExitStatus, bool)> {
        let group = child.id();
        let in_time = wait_without_reaping(group, limit);
        self.end_group(group);
        let mut living = self.children.living();
        kill_group(group, Signal::KILL);
        living.groups.remove(&group);
        drop(living);
        let status = child.wait()?;
        Ok((status, !in_time?))
    }

    /// Ends what is left of a group: TERM, unless a cancel has sent it, a little time, KILL.
    fn end_group(&self, group: u32) {
        if !group_lives(group) {
            return;
        }
        if self.children.living().cancelled.is_none() {
            kill_group(group, Signal::TERM);
        }
        let until = Instant::now() + GRACE;
        while group_lives(group) && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether what is shown reaches a terminal as it is.
    #[must_use]
    pub fn is_at_terminal(&self) -> bool {
        self.stop_commands.is_none() && std::io::stderr().is_terminal()
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
    .because(how)
    .hint("it is a command of the project: its output says why; run it by hand in that directory");
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

    pub(super) fn project() -> Project {
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
    fn what_a_command_leaves_behind_may_say_its_last_words() {
        const LINE: &str = "(trap 'sleep 0.1; touch said; exit' TERM; touch ready; while :; do sleep 0.05; done) & while [ ! -e ready ]; do sleep 0.05; done";
        let directory = tempfile::tempdir().expect("a directory");
        let command = ShellCommand::new(LINE, directory.path());
        let _ = project().run(&command, Output::Capture).expect("it runs");
        assert!(directory.path().join("said").exists());
    }

    #[test]
    fn nothing_of_a_command_outlives_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let children = Children::default();
        let project = Project::new(&base(), children.clone());
        let ready = directory.path().join("ready");
        let line = "trap '' TERM; sleep 1000 & echo $! > new; mv new ready; wait; wait";
        std::thread::scope(|scope| {
            let running = scope
                .spawn(|| project.run(&ShellCommand::new(line, directory.path()), Output::Capture));
            assert!(eventually(|| ready.exists()));
            let grandchild = std::fs::read_to_string(&ready).expect("a number");
            let grandchild: u32 = grandchild.trim().parse().expect("a number");
            assert!(alive(grandchild));
            children.end();
            assert!(eventually(|| !alive(grandchild)));
            let failure = running.join().expect("no panic").expect_err("ended");
            assert_eq!(failure.code(), "process::cancelled");
        });
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
