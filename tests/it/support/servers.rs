//! Where the servers are installed, and child processes that die with the test process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http;

/// The root of this repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory with the installed servers; installs what is missing.
pub fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let script = repository().join("tests/servers/install.sh");
        let status = Command::new(&script)
            .stdin(Stdio::null())
            .status()
            .expect("sh runs tests/servers/install.sh");
        assert!(status.success(), "tests/servers/install.sh: {status}");
        std::env::var_os("PKGS_TEST_CACHE")
            .filter(|path| !path.is_empty())
            .map_or_else(|| repository().join(".cache/servers"), PathBuf::from)
    })
}

/// Starts its arguments but the first, and kills them, with all that they started, when its own standard input ends: a killed test
/// process cannot run a destructor, but its pipes are closed. Then the scratch directory, its first argument, is of no use any more.
const GUARD: &str = r#"
scratch=$1
shift
exec 3<&0
setsid "$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -s KILL -- "-$server" || kill -9 "$server"; } 2>/dev/null &
guard=$!
wait "$server"
status=$?
kill "$guard" 2>/dev/null
kill -s KILL -- "-$server" 2>/dev/null
if [ "$status" -eq 137 ]; then
    # What is being killed may still write.
    tries=0
    until rm -rf "$scratch" 2>/dev/null || [ "$tries" -eq 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
fi
exit "$status"
"#;

/// A server in a child process. It is killed when this is dropped, or when the test process ends.
#[derive(Debug)]
pub struct Server {
    guard: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command` (its program, arguments, environment and directory) and waits until `url` answers anything at all.
    /// `scratch` is a directory for this server alone, its home and where its temporary files lie: its output is there, too, and the directory
    /// goes with the server. `None` when the server ended before it answered, for example because its port was taken.
    pub fn start(command: &Command, scratch: &Path, url: &str) -> Option<Server> {
        const PATIENCE: Duration = Duration::from_mins(2);
        let log = scratch.join("log");
        let output = File::create(&log).expect("a log file");
        let mut guarded = Command::new("sh");
        guarded.arg("-c").arg(GUARD).arg("guard").arg(scratch);
        guarded.arg(command.get_program()).args(command.get_args());
        guarded.env_clear();
        guarded.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        guarded.env("HOME", scratch).env("TMPDIR", scratch);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                guarded.env(name, value);
            }
        }
        if let Some(directory) = command.get_current_dir() {
            guarded.current_dir(directory);
        }
        let guard = guarded
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("sh starts");
        let mut server = Server { guard, log };
        let deadline = Instant::now() + PATIENCE;
        while http::send("GET", url, &[], b"").is_err() {
            if matches!(server.guard.try_wait(), Ok(Some(_))) {
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "{url} does not answer:\n{}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// Starts what `command` makes for a free port, on another port when that one was taken meanwhile.
    pub fn start_on_free_port(
        scratch: &Path,
        ready: &str,
        command: impl Fn(u16) -> Command,
    ) -> (Server, u16) {
        for _ in 0..5 {
            let port = free_port();
            let url = format!("http://127.0.0.1:{port}{ready}");
            if let Some(server) = Server::start(&command(port), scratch, &url) {
                return (server, port);
            }
        }
        panic!(
            "{} does not start:\n{}",
            command(0).get_program().display(),
            std::fs::read_to_string(scratch.join("log")).unwrap_or_default()
        );
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A loopback port that nobody listens on, each time another one. It lies below those that systems hand out by themselves: one of these may be another
/// connection's by the time somebody listens on it.
pub fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        // Runs side by side begin at other places.
        let port = FIRST + std::process::id().wrapping_mul(131).wrapping_add(next) % COUNT;
        let port = u16::try_from(port).expect("a port");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no loopback port is free");
}

/// What a program for Node answers, both in JSON: the question comes on its stdin.
pub fn node(arguments: &[&OsStr], question: &Value) -> Value {
    let mut node = Command::new(installed().join("node/bin/node"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let text = question.to_string();
    let mut input = node.stdin.take().expect("a pipe");
    let writing = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = node.wait_with_output().expect("node ends");
    writing.join().expect("it ends").expect("node reads");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_ends_with_its_value() {
        let directory = tempfile::tempdir().unwrap();
        let (server, port) = Server::start_on_free_port(directory.path(), "/", |port| {
            let mut command = Command::new("python3");
            command
                .args(["-m", "http.server", "--bind", "127.0.0.1"])
                .arg(port.to_string())
                .current_dir(directory.path());
            command
        });
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(http::send("GET", &url, &[], b"").unwrap().status, 200);
        drop(server);
        assert!(http::send("GET", &url, &[], b"").is_err());
        assert!(!directory.path().exists());
    }

    #[test]
    fn what_a_server_started_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let (server, port) = Server::start_on_free_port(directory.path(), "/", |port| {
            let mut command = Command::new("sh");
            command
                .args(["-c", "python3 -m http.server --bind 127.0.0.1 $0 & wait"])
                .arg(port.to_string());
            command
        });
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(http::send("GET", &url, &[], b"").unwrap().status, 200);
        drop(server);
        assert!(http::send("GET", &url, &[], b"").is_err());
    }

    #[test]
    fn a_server_that_ends_at_once_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{}/", free_port());
        assert!(Server::start(&Command::new("false"), directory.path(), &url).is_none());
    }
}
