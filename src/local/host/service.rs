//! The service that runs from a release: started in a process group of its own, stopped by its own script, its group, its port.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::files::{read_bounded, trouble};
use super::{Host, Process, group, members, who_listens};
use crate::explain::{Exit, Failure, quoted};
use crate::local::process::{self, Children, Output, Project, ShellCommand, Variables};
use crate::release::app::Scripts;
use crate::release::host::Group;
use crate::settings::STOP;

const LONGEST_TAIL: u64 = 4 << 10;

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
        let log = self.open_log()?;
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
        if self.scripts.stop != STOP {
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

    /// The last lines that the service wrote since it was started, of at most 4 KiB: five, without the frames of a stack, which hide the
    /// error above them.
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
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("at "))
            .take(5)
            .map(quoted)
            .collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::local::host::tests::{host, mark};

    fn service(host: &Host, start: &str) -> Service {
        fs::create_dir_all(host.release("1.0.0")).expect("made");
        Service {
            directory: host.release("1.0.0"),
            version: "1.0.0".to_owned(),
            environment: "prod".to_owned(),
            scripts: Scripts {
                start: start.to_owned(),
                ..mark("1.0.0", 1).scripts
            },
            variables: [("PATH".to_owned(), env!("PATH").to_owned())].into(),
        }
    }

    #[test]
    fn no_service_begins_before_it_is_remembered() {
        let (_root, host) = host();
        let service = service(&host, "echo $RELEASE_ID $SERVER_ENV > ran");
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
    fn last_words_are_the_error_and_not_its_stack() {
        let (_root, host) = host();
        let service = service(&host, "node -e \"throw new Error('no database')\"");
        let mut started = host.start(&service, |_| Ok(())).expect("started");
        assert!(!started.child.wait().expect("it ends").success());
        let words = started.last_words();
        assert!(words.contains("Error: no database"), "{words}");
    }
}
