//! The binary at a terminal, and the person in front of it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// After this long without anything new on the screen a run counts as hanging.
const DEADLINE: Duration = Duration::from_mins(2);

/// The arrow key that goes down in a list.
pub const DOWN: &str = "\u{1b}[B";
pub const ENTER: &str = "\r";
pub const ESCAPE: &str = "\u{1b}";
pub const CONTROL_C: &str = "\u{3}";
pub const CONTROL_D: &str = "\u{4}";

/// A run at a terminal. Dropped before its end, it loses the terminal.
#[derive(Debug)]
pub struct AtTerminal {
    child: Child,
    keys: ChildStdin,
    shown: Receiver<Vec<u8>>,
    screen: Vec<u8>,
    /// Up to where the person has read.
    read: usize,
    stdout: PathBuf,
}

/// A run at a terminal that is over.
#[derive(Debug)]
pub struct Seen {
    pub code: Option<i32>,
    /// Everything that the terminal showed.
    pub screen: String,
    pub stdout: String,
}

impl AtTerminal {
    /// Starts a command at a terminal of its own; its stdout goes to the file `stdout`.
    pub fn start(command: &Command, stdout: PathBuf) -> AtTerminal {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/terminal.py");
        let mut python = Command::new("python3");
        python.arg(script).arg(&stdout).arg(command.get_program());
        python.args(command.get_args()).env_clear();
        let variables = command.get_envs();
        python.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        python.env("NO_COLOR", "1").env("TERM", "xterm");
        if let Some(directory) = command.get_current_dir() {
            python.current_dir(directory);
        }
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3 starts");
        let keys = child.stdin.take().expect("a pipe");
        let mut pipe = child.stdout.take().expect("a pipe");
        let (sender, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut part) {
                if sender.send(part[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        AtTerminal {
            child,
            keys,
            shown,
            screen: Vec::new(),
            read: 0,
            stdout,
        }
    }

    /// Reads on until `text` is there.
    pub fn until(&mut self, text: &str) -> &mut AtTerminal {
        loop {
            let unread = &self.screen[self.read..];
            let found = unread
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(at) = found {
                self.read += at + text.len();
                return self;
            }
            let Ok(more) = self.shown.recv_timeout(DEADLINE) else {
                let screen = String::from_utf8_lossy(&self.screen);
                panic!("{text:?} is not shown:\n{screen}");
            };
            self.screen.extend(more);
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &[&str]) -> &mut AtTerminal {
        let keys = keys.concat();
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
        self
    }

    /// Tells the program that its terminal goes away.
    pub fn hang_up(&mut self) {
        self.signal(rustix::process::Signal::USR1);
    }

    /// Takes the terminal away, as a connection does that breaks.
    pub fn close(&mut self) {
        self.signal(rustix::process::Signal::USR2);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let python = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(python, signal).expect("it runs");
    }

    /// Reads to the end.
    pub fn end(mut self) -> Seen {
        loop {
            match self.shown.recv_timeout(DEADLINE) {
                Ok(more) => self.screen.extend(more),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let screen = String::from_utf8_lossy(&self.screen);
                    panic!("still running:\n{screen}");
                }
            }
        }
        let code = self.child.wait().expect("a status").code();
        Seen {
            code,
            screen: String::from_utf8_lossy(&self.screen).into_owned(),
            stdout: std::fs::read_to_string(&self.stdout).expect("stdout"),
        }
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Seen {
    /// Itself, where it ended so.
    #[must_use]
    pub fn expect(self, code: i32) -> Seen {
        assert_eq!(self.code, Some(code), "{}\n{}", self.screen, self.stdout);
        self
    }
}
