//! The real binary in an environment that holds nothing of the machine's but `PATH`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use tempfile::TempDir;

use super::terminal::AtTerminal;

/// After this long a run counts as hanging.
const DEADLINE: Duration = Duration::from_mins(2);

/// `PATH` as this process has it.
pub fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// A temporary directory with a home, and the environment that goes with it.
#[derive(Debug)]
pub struct Sandbox {
    root: TempDir,
    runs: AtomicUsize,
}

impl Default for Sandbox {
    fn default() -> Self {
        Sandbox::new()
    }
}

impl Sandbox {
    /// An empty one.
    pub fn new() -> Sandbox {
        let root = tempfile::Builder::new()
            .prefix("pkgs-")
            .tempdir()
            .expect("a temporary directory");
        for name in ["home", "tmp"] {
            fs::create_dir(root.path().join(name)).expect("a directory");
        }
        Sandbox {
            root,
            runs: AtomicUsize::new(0),
        }
    }

    /// Its root; everything below it goes with it.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The home directory.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The `.npmrc` that npm reads here.
    pub fn npmrc(&self) -> PathBuf {
        self.home().join(".npmrc")
    }

    /// The whole environment. git and npm find no configuration of the machine's, and npm no registry unless a test names one.
    pub fn environment(&self) -> BTreeMap<OsString, OsString> {
        let text = |text: &str| OsString::from(text);
        BTreeMap::from([
            (text("PATH"), search_path()),
            (text("HOME"), self.home().into()),
            (text("TMPDIR"), self.path().join("tmp").into()),
            (text("XDG_CACHE_HOME"), self.home().join(".cache").into()),
            (text("LANG"), text("C.UTF-8")),
            (text("TZ"), text("UTC")),
            (text("GIT_CONFIG_GLOBAL"), text("/dev/null")),
            (text("GIT_CONFIG_NOSYSTEM"), text("1")),
            (text("GIT_TERMINAL_PROMPT"), text("0")),
            (
                text("npm_config_cache"),
                self.path().join("npm-cache").into(),
            ),
            (text("npm_config_userconfig"), self.npmrc().into()),
            (
                text("npm_config_globalconfig"),
                self.home().join("global.npmrc").into(),
            ),
            (text("npm_config_registry"), text("http://127.0.0.1:9/")),
            (text("npm_config_update_notifier"), text("false")),
            (text("npm_config_audit"), text("false")),
            (text("npm_config_fund"), text("false")),
            (text("npm_config_fetch_retries"), text("0")),
            (text("AWS_CONFIG_FILE"), text("/dev/null")),
            (text("AWS_SHARED_CREDENTIALS_FILE"), text("/dev/null")),
            (text("AWS_EC2_METADATA_DISABLED"), text("true")),
        ])
    }

    /// Another program in the same environment, without input.
    pub fn command(&self, program: impl AsRef<OsStr>, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.environment())
            .current_dir(directory)
            .stdin(Stdio::null());
        command
    }

    /// The binary with `arguments` in `directory`, to be run or started.
    pub fn binary(&self, directory: &Path, arguments: &[&str]) -> Invocation {
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        let files = self.path().join(format!("run-{number}"));
        fs::create_dir(&files).expect("a directory");
        let mut command = self.command(env!("CARGO_BIN_EXE_pkgs-action"), directory);
        command.args(arguments);
        Invocation {
            command,
            files,
            deadline: DEADLINE,
        }
    }

    /// Runs the binary with `arguments` and further environment variables in `directory`.
    pub fn run(&self, directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        self.binary(directory, arguments).envs(environment).run()
    }

    /// Asserts that no secret occurs in what `run` said or in any file below this sandbox or one of `others`; compressed files
    /// are looked into. `except` are files that hold a secret rightly, for example an `.npmrc` that the test wrote.
    pub fn keeps_secret(&self, secrets: &[&str], run: &Run, others: &[&Path], except: &[&Path]) {
        let mut found = Vec::new();
        for secret in secrets {
            let forms = forms(secret);
            for (what, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
                found.extend(
                    occurs(text.as_bytes(), &forms).map(|form| format!("{form} in {what}")),
                );
            }
            for root in [self.path()].iter().chain(others) {
                for entry in walkdir::WalkDir::new(root).into_iter().flatten() {
                    let excepted = except.iter().any(|path| entry.path().starts_with(path));
                    if excepted || !entry.file_type().is_file() {
                        continue;
                    }
                    let bytes = fs::read(entry.path()).unwrap_or_default();
                    let shown = entry.path().display();
                    found.extend(occurs(&bytes, &forms).map(|form| format!("{form} in {shown}")));
                    found.extend(
                        occurs(&decompressed(&bytes), &forms)
                            .map(|form| format!("{form} in {shown}, compressed")),
                    );
                }
            }
        }
        assert!(found.is_empty(), "secrets leaked:\n{}", found.join("\n"));
    }
}

/// What JavaScript's `encodeURIComponent` encodes.
const COMPONENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The forms in which a secret could travel, each with a name.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let each_byte = |form: fn(u8) -> String| secret.bytes().map(form).collect::<Vec<_>>().concat();
    let hex = each_byte(|byte| format!("{byte:02x}"));
    let percent = each_byte(|byte| format!("%{byte:02X}"));
    let as_component = percent_encoding::utf8_percent_encode(secret, COMPONENT);
    let mut forms = vec![
        ("the secret", secret.as_bytes().to_vec()),
        ("the secret reversed", secret.bytes().rev().collect()),
        (
            "the secret in uppercase hex",
            hex.to_uppercase().into_bytes(),
        ),
        ("the secret in hex", hex.into_bytes()),
        ("the secret percent-encoded", percent.into_bytes()),
        (
            "the secret percent-encoded",
            as_component.to_string().into_bytes(),
        ),
    ];
    let json = serde_json::to_string(secret).expect("text is JSON");
    forms.push((
        "the secret in JSON",
        json.trim_matches('"').as_bytes().to_vec(),
    ));
    // Inside a longer text (`user:<secret>`), base64 of the secret depends on where it begins modulo 3; characters at both ends
    // that also depend on its neighbours are left out.
    for before in 0..3 {
        let shifted = [&b"xxx"[..before], secret.as_bytes()].concat();
        for (name, engine) in [
            ("the secret in base64", STANDARD),
            ("the secret in base64url", URL_SAFE),
        ] {
            let encoded = engine.encode(&shifted);
            let start = [0, 2, 3][before];
            let end = shifted.len() / 3 * 4;
            if end > start + 4 {
                forms.push((name, encoded.as_bytes()[start..end].to_vec()));
            }
        }
    }
    forms
}

fn occurs<'a>(
    bytes: &'a [u8],
    forms: &'a [(&'static str, Vec<u8>)],
) -> impl Iterator<Item = &'static str> + use<'a> {
    forms.iter().filter_map(|(name, form)| {
        let inside = form.len() <= bytes.len() && contains(bytes, form);
        inside.then_some(*name)
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else {
        return false;
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(part) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The content of a gzip, zstd or zlib file (git's loose objects are such), as far as it can be read; empty for other files.
fn decompressed(bytes: &[u8]) -> Vec<u8> {
    const MOST: u64 = 256 << 20;
    let mut content = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let _ = flate2::read::MultiGzDecoder::new(bytes)
            .take(MOST)
            .read_to_end(&mut content);
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        if let Ok(decoder) = zstd::stream::read::Decoder::new(bytes) {
            let _ = decoder.take(MOST).read_to_end(&mut content);
        }
    } else if bytes.starts_with(&[0x78]) {
        let _ = flate2::read::ZlibDecoder::new(bytes)
            .take(MOST)
            .read_to_end(&mut content);
    }
    content
}

/// A run of the binary that has not begun.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    files: PathBuf,
    deadline: Duration,
}

impl Invocation {
    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Invocation {
        self.command.env(name, value);
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = impl std::borrow::Borrow<(N, V)>>,
    ) -> Invocation {
        for variable in variables {
            let (name, value) = variable.borrow();
            self.command.env(name, value);
        }
        self
    }

    /// Starts it as another user; only root can.
    #[must_use]
    pub fn by_user(mut self, user: u32) -> Invocation {
        self.command.uid(user).gid(user);
        self
    }

    /// What the runner of a workflow sets: the event `event` on the ref `reference` (`refs/heads/main`) in `acme/monorepo`, and
    /// the files for outputs and summary.
    #[must_use]
    pub fn in_actions(self, event: &str, reference: &str) -> Invocation {
        let (output, summary, payload) = (
            self.files.join("output"),
            self.files.join("summary"),
            self.files.join("event.json"),
        );
        for file in [&output, &summary] {
            fs::write(file, "").expect("a file");
        }
        fs::write(&payload, "{}").expect("a file");
        let workspace = self.command.get_current_dir().map(PathBuf::from);
        let name = reference.rsplit('/').next().unwrap_or(reference);
        self.env("GITHUB_ACTIONS", "true")
            .env("CI", "true")
            .env("GITHUB_OUTPUT", output)
            .env("GITHUB_STEP_SUMMARY", summary)
            .env("GITHUB_EVENT_PATH", payload)
            .env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_REF", reference)
            .env("GITHUB_REF_NAME", name)
            .env("GITHUB_REPOSITORY", "acme/monorepo")
            .env("GITHUB_SERVER_URL", "https://github.example")
            .env("GITHUB_API_URL", "https://github.example/api/v3")
            .env("GITHUB_WORKSPACE", workspace.unwrap_or_default())
            .env("GITHUB_ACTOR", "octo")
            .env("GITHUB_WORKFLOW", "release")
            .env("GITHUB_JOB", "release")
            .env("GITHUB_RUN_ID", "1001")
            .env("GITHUB_RUN_ATTEMPT", "1")
    }

    /// How long it may take before it is killed and the test fails; two minutes unless told.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Invocation {
        self.deadline = deadline;
        self
    }

    /// Starts it, in a process group of its own.
    pub fn start(mut self) -> Running {
        // Files, not pipes: a service that the binary leaves running may keep them open.
        let open = |name: &str| File::create(self.files.join(name)).expect("a file");
        let mut child = self
            .command
            .stdout(open("stdout"))
            .stderr(open("stderr"))
            .process_group(0)
            .spawn()
            .expect("the binary starts");
        let pid = child.id();
        let file = |name: &str| {
            let found = self.command.get_envs().find(|(key, _)| *key == name);
            found.and_then(|(_, value)| value).map(PathBuf::from)
        };
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = ended.send(child.wait());
        });
        Running {
            pid,
            end,
            output: file("GITHUB_OUTPUT"),
            summary: file("GITHUB_STEP_SUMMARY"),
            files: self.files,
            deadline: self.deadline,
            over: false,
        }
    }

    /// Starts it at a terminal of its own.
    pub fn at_terminal(self) -> AtTerminal {
        AtTerminal::start(&self.command, self.files.join("stdout"))
    }

    /// Runs it to its end.
    pub fn run(self) -> Run {
        self.start().wait()
    }
}

/// A run that has begun. Dropped before its end, it is killed.
#[derive(Debug)]
pub struct Running {
    pid: u32,
    end: mpsc::Receiver<std::io::Result<ExitStatus>>,
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
    files: PathBuf,
    deadline: Duration,
    over: bool,
}

impl Running {
    /// The process, which leads a group of the same number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid.cast_signed()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        read(&self.files.join("stderr"))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When the deadline passes; the process and its group are killed then.
    pub fn wait(mut self) -> Run {
        let status = match self.end.recv_timeout(self.deadline) {
            Ok(status) => status.expect("the status of a child"),
            Err(RecvTimeoutError::Timeout) => {
                panic!(
                    "still running after {:?}:\n{}{}",
                    self.deadline,
                    read(&self.files.join("stdout")),
                    self.stderr()
                );
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the waiting thread ended"),
        };
        self.over = true;
        let killed_by = status.signal();
        Run {
            code: status
                .code()
                .unwrap_or_else(|| 128 + killed_by.unwrap_or_default()),
            killed_by,
            stdout: read(&self.files.join("stdout")),
            stderr: self.stderr(),
            outputs: self
                .output
                .as_ref()
                .map(|file| parse_outputs(&read(file)))
                .unwrap_or_default(),
            summary: self
                .summary
                .as_ref()
                .map(|file| read(file))
                .unwrap_or_default(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            kill_group(self.pid);
        }
    }
}

/// Kills a process group, and waits until nothing of it runs any more: a signal is sent sooner than it is obeyed.
pub fn kill_group(pid: u32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    while lives(pid) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Whether a process of a group runs; of one that nobody waited for yet only its exit status is left.
fn lives(group: u32) -> bool {
    let processes = fs::read_dir("/proc").expect("the process table");
    processes.flatten().any(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next();
        fields.nth(1) == Some(&group.to_string()) && !matches!(state, Some("Z" | "X"))
    })
}

/// A file as text; a missing one is empty.
fn read(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How a run ended and what it said.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; 128 + the signal's number where a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub killed_by: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// `GITHUB_OUTPUT` as the runner understands it; empty where it was not set.
    pub outputs: BTreeMap<String, String>,
    /// `GITHUB_STEP_SUMMARY`; empty where it was not set.
    pub summary: String,
}

impl Run {
    /// This run, if it ended with exit code `code`.
    ///
    /// # Panics
    /// With all that the run said, when it ended otherwise.
    #[must_use]
    pub fn expect(self, code: i32) -> Run {
        assert_eq!(
            self.code, code,
            "exit code\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// `stdout` as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{}", self.stdout))
    }

    /// An output that is JSON, as most are.
    pub fn output(&self, name: &str) -> serde_json::Value {
        let text = self
            .outputs
            .get(name)
            .unwrap_or_else(|| panic!("no output {name} among {:?}", self.outputs));
        serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text.as_str()))
    }
}

/// The file format of `GITHUB_OUTPUT`: `name=value`, or `name<<end`, lines, `end`.
///
/// # Panics
/// On what the runner would refuse.
pub fn parse_outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let equals = line.find('=').unwrap_or(usize::MAX);
        let heredoc = line.find("<<").unwrap_or(usize::MAX);
        assert!(equals != heredoc, "neither = nor << in the output {line:?}");
        let (name, value) = if equals < heredoc {
            (&line[..equals], line[equals + 1..].to_owned())
        } else {
            let end = &line[heredoc + 2..];
            let mut value = Vec::new();
            loop {
                let next = lines.next();
                let next = next.unwrap_or_else(|| panic!("{line:?} has no end"));
                if next == end {
                    break;
                }
                value.push(next);
            }
            (&line[..heredoc], value.join("\n"))
        };
        outputs.insert(name.to_owned(), value);
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_holds_nothing_of_the_machine() {
        let sandbox = Sandbox::new();
        let output = sandbox.command("env", sandbox.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        assert!(names.contains(&"HOME"), "{names:?}");
        assert!(
            !names.contains(&"USER") && !names.contains(&"CARGO_HOME"),
            "{names:?}"
        );
    }

    #[test]
    fn a_run_ends_with_a_code_and_a_killed_one_with_its_signal() {
        let sandbox = Sandbox::new();
        let run = sandbox
            .binary(sandbox.path(), &["--version"])
            .in_actions("push", "refs/heads/main")
            .run();
        assert_eq!(run.killed_by, None, "{run:?}");
        let mut invocation = sandbox.binary(sandbox.path(), &[]);
        invocation.command = sandbox.command("sleep", sandbox.path());
        invocation.command.arg("60");
        let running = invocation.start();
        running.signal(rustix::process::Signal::TERM);
        assert_eq!(running.wait().code, 143);
    }

    #[test]
    #[should_panic(expected = "still running after")]
    fn a_run_that_hangs_is_killed_and_fails_the_test() {
        let sandbox = Sandbox::new();
        let mut invocation = sandbox.binary(sandbox.path(), &[]);
        invocation.command = sandbox.command("sleep", sandbox.path());
        invocation.command.arg("60");
        invocation.within(Duration::from_millis(50)).run();
    }

    #[test]
    fn outputs_are_read_as_the_runner_reads_them() {
        let outputs = parse_outputs("a=1\nb<<X\none\ntwo=2\nX\nc=x<<y\n");
        let expected = [("a", "1"), ("b", "one\ntwo=2"), ("c", "x<<y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(outputs, BTreeMap::from(expected));
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "npm_S3cr3t/Canary+0123";
        let forms = forms(secret);
        let basic = STANDARD.encode(format!("user:{secret}"));
        let url_safe = URL_SAFE.encode(format!("u:{secret}!"));
        let shouted: Vec<String> = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
        let shouted = shouted.concat();
        for text in [
            secret,
            &basic,
            &url_safe,
            &shouted,
            "npm_S3cr3t%2FCanary%2B0123",
        ] {
            let text = format!("before {text} after");
            assert!(occurs(text.as_bytes(), &forms).next().is_some(), "{text}");
        }
        assert_eq!(occurs(b"npm_S3cr3t/Canary", &forms).next(), None);
    }

    #[test]
    #[should_panic(expected = "compressed")]
    fn a_secret_in_a_compressed_file_is_found() {
        let sandbox = Sandbox::new();
        let run = sandbox.run(sandbox.path(), &["--version"], &[]);
        let bytes = zstd::encode_all(&b"token=hunter2hunter2"[..], 3).unwrap();
        fs::write(sandbox.path().join("a.tar.zst"), bytes).unwrap();
        sandbox.keeps_secret(&["hunter2hunter2"], &run, &[], &[]);
    }
}
