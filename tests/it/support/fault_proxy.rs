//! Stands between the binary and any number of servers, counts every request, and fails or kills where a test says so.
//!
//! ```ignore
//! let proxy = FaultProxy::new();
//! let registry = proxy.before("npm", &verdaccio.url);   // give the binary this address instead
//! let store = proxy.before("s3", &moto.endpoint);
//! proxy.at(12, Fault::KillAfter);                       // the server did it, the process never hears
//! let running = sandbox.binary(..).start();
//! proxy.victim(running.pid());
//! assert_eq!(running.wait().killed_by, Some(9));
//! proxy.reset();                                        // or `revive`, before the next process starts
//! ```
//!
//! `Host` passes unchanged, so signatures hold and a registry names the proxy in its tarball addresses. Requests of one process
//! may travel side by side; the number of a request is the order in which whole requests arrived here.

use std::fmt;
use std::io::{BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::http::{Listener, Request, Response, read_request, read_response};
use super::sandbox::kill_group;

/// What happens to a request instead of a plain passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process group is killed; the server hears nothing.
    KillBefore,
    /// The process group is killed when the server has half of the body; without a body the same as `KillBefore`.
    KillDuringRequest,
    /// The process group is killed when the server has answered; the process hears nothing.
    KillAfter,
    /// The process group is killed when half of the answer has been passed on.
    KillDuringAnswer,
    /// The connection breaks; the server hears nothing.
    BreakBefore,
    /// The connection breaks when the server has answered.
    BreakAfter,
    /// This status instead; the server hears nothing.
    AnswerBefore(u16),
    /// This status instead of the server's answer: the server did it, the process is told otherwise.
    AnswerAfter(u16),
}

impl Fault {
    /// The four moments at which a process can die around a request.
    pub const KILLS: [Fault; 4] = [
        Fault::KillBefore,
        Fault::KillDuringRequest,
        Fault::KillAfter,
        Fault::KillDuringAnswer,
    ];
}

/// A request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number, from 1, over all servers.
    pub number: usize,
    /// The server it was meant for, as named in [`FaultProxy::before`].
    pub server: String,
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// What the server answered; `None` when it was not asked, or broke off.
    pub status: Option<u16>,
    /// What was done to it.
    pub fault: Option<Fault>,
    /// Its header `Authorization`.
    pub authorization: Option<String>,
}

impl Seen {
    /// Whether it asks for a change: not GET, HEAD or OPTIONS, and not the half of a git fetch that is a POST.
    pub fn writes(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
            && !self.target.ends_with("/git-upload-pack")
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen {
            number,
            server,
            method,
            target,
            ..
        } = self;
        write!(formatter, "{number} {server} {method} {target}")?;
        match self.status {
            Some(status) => write!(formatter, " {status}")?,
            None => write!(formatter, " -")?,
        }
        self.fault
            .map_or(Ok(()), |fault| write!(formatter, " {fault:?}"))
    }
}

type Rule = Box<dyn Fn(&Seen) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    log: Vec<Seen>,
    rules: Vec<Rule>,
    victim: Option<u32>,
    /// A killed process sends nothing more; what of it still arrives is not passed on.
    dead: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    victim_known: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Kills the victim, which a test may name a moment after it has begun to send.
    fn kill(&self) {
        const PATIENCE: Duration = Duration::from_secs(30);
        let (mut state, waited) = self
            .victim_known
            .wait_timeout_while(self.state(), PATIENCE, |state| {
                state.victim.is_none() && !state.dead
            })
            .expect("no holder panics");
        if waited.timed_out() {
            return;
        }
        state.dead = true;
        if let Some(pid) = state.victim.take() {
            kill_group(pid);
        }
    }
}

/// The proxy. It listens once for each server before which it stands.
#[derive(Default)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    listeners: Mutex<Vec<Listener>>,
}

impl FaultProxy {
    /// One that stands before nothing yet.
    pub fn new() -> FaultProxy {
        FaultProxy::default()
    }

    /// Stands before the server at `upstream` (`http://127.0.0.1:<port>`, what follows is kept) and gives the address to use
    /// instead. `name` is for the log.
    pub fn before(&self, name: &str, upstream: &str) -> String {
        let rest = upstream
            .strip_prefix("http://")
            .unwrap_or_else(|| panic!("not an http address: {upstream}"));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (shared, name, authority) = (
            Arc::clone(&self.shared),
            name.to_owned(),
            authority.to_owned(),
        );
        let listener = Listener::start(move |connection| {
            pass_connection(&shared, &name, &authority, connection);
        });
        let url = format!("{}{path}", listener.url());
        self.listeners
            .lock()
            .expect("no holder panics")
            .push(listener);
        url
    }

    /// The process (and group) that the next kill hits. It may be named a moment after it has begun to send: a kill waits for it.
    pub fn victim(&self, pid: u32) {
        self.shared.state().victim = Some(pid);
        self.shared.victim_known.notify_all();
    }

    /// After a kill nothing is passed on, so that nothing of the dead is; from now on requests are passed again. Log and rules
    /// stay.
    pub fn revive(&self) {
        let mut state = self.shared.state();
        state.dead = false;
        state.victim = None;
    }

    /// Does `fault` to request number `number`.
    pub fn at(&self, number: usize, fault: Fault) {
        self.when(move |seen| (seen.number == number).then_some(fault));
    }

    /// Does what `rule` says; of several rules the first that says something.
    pub fn when(&self, rule: impl Fn(&Seen) -> Option<Fault> + Send + 'static) {
        self.shared.state().rules.push(Box::new(rule));
    }

    /// Forgets log, rules, victim and kills; the next request is number 1.
    pub fn reset(&self) {
        *self.shared.state() = State::default();
    }

    /// Every request that arrived, by number.
    pub fn log(&self) -> Vec<Seen> {
        self.shared.state().log.clone()
    }

    /// The log for a person, a line for each request.
    pub fn transcript(&self) -> String {
        self.log().iter().fold(String::new(), |mut text, seen| {
            text += &seen.to_string();
            text.push('\n');
            text
        })
    }

    /// Whether a fault has happened.
    pub fn struck(&self) -> bool {
        self.log().iter().any(|seen| seen.fault.is_some())
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.transcript())
    }
}

fn pass_connection(shared: &Shared, server: &str, upstream: &str, connection: TcpStream) {
    let mut connection = BufReader::new(connection);
    while let Ok(Some(request)) = read_request(&mut connection) {
        let passed = pass(shared, server, upstream, &request, connection.get_mut());
        if !passed || !request.keeps_alive() {
            break;
        }
    }
    let _ = connection.get_ref().shutdown(Shutdown::Both);
}

/// Whether the connection may carry another request.
fn pass(
    shared: &Shared,
    server: &str,
    upstream: &str,
    request: &Request,
    client: &mut TcpStream,
) -> bool {
    let Some((number, fault)) = admit(shared, server, request) else {
        return false;
    };
    let reply = |client: &mut TcpStream, response: &Response| {
        client
            .write_all(&response.to_bytes(&request.method))
            .is_ok()
    };
    match fault {
        Some(Fault::KillBefore) => {
            shared.kill();
            return false;
        }
        Some(Fault::KillDuringRequest) => {
            if !request.wire.is_empty() {
                // The server sees a body that breaks off.
                let _ = forward(upstream, request, request.wire.len() / 2);
            }
            shared.kill();
            return false;
        }
        Some(Fault::BreakBefore) => return false,
        Some(Fault::AnswerBefore(status)) => return reply(client, &made_up(status)),
        _ => {}
    }
    let answer = forward(upstream, request, request.wire.len())
        .and_then(|stream| read_response(&mut BufReader::new(stream), &request.method));
    let Ok(answer) = answer else {
        return false;
    };
    if let Some(seen) = shared.state().log.get_mut(number - 1) {
        seen.status = Some(answer.status);
    }
    match fault {
        Some(Fault::KillAfter) => {
            shared.kill();
            false
        }
        Some(Fault::KillDuringAnswer) => {
            let bytes = answer.to_bytes(&request.method);
            let _ = client.write_all(&bytes[..bytes.len() / 2]);
            shared.kill();
            false
        }
        Some(Fault::BreakAfter) => false,
        Some(Fault::AnswerAfter(status)) => reply(client, &made_up(status)),
        _ => reply(client, &answer),
    }
}

/// Numbers a request and decides what happens to it; `None` when its sender is dead already.
fn admit(shared: &Shared, server: &str, request: &Request) -> Option<(usize, Option<Fault>)> {
    let mut state = shared.state();
    if state.dead {
        return None;
    }
    let mut seen = Seen {
        number: state.log.len() + 1,
        server: server.to_owned(),
        method: request.method.clone(),
        target: request.target.clone(),
        status: None,
        fault: None,
        authorization: request.headers.get("authorization").map(str::to_owned),
    };
    seen.fault = state.rules.iter().find_map(|rule| rule(&seen));
    let admitted = (seen.number, seen.fault);
    state.log.push(seen);
    Some(admitted)
}

/// Sends a request on, with the first `length` bytes of its body only, on a connection of its own.
pub(super) fn forward(
    upstream: &str,
    request: &Request,
    length: usize,
) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(upstream)?;
    let mut head = Vec::new();
    write!(head, "{} {} HTTP/1.1\r\n", request.method, request.target)?;
    for (name, value) in &request.headers.0 {
        let hop = ["connection", "keep-alive", "expect"]
            .iter()
            .any(|hop| name.eq_ignore_ascii_case(hop));
        if !hop {
            write!(head, "{name}: {value}\r\n")?;
        }
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    stream.write_all(&head)?;
    stream.write_all(&request.wire[..length])?;
    Ok(stream)
}

/// An error that S3 clients and npm clients both understand.
fn made_up(status: u16) -> Response {
    let code = match status {
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        503 => "SlowDown",
        _ => "InternalError",
    };
    Response::new(
        status,
        "application/xml",
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>made by the fault proxy</Message></Error>"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::http::send;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A server that counts what reaches it.
    fn counting() -> (Listener, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let server = Listener::answering(move |request| {
            counted.fetch_add(1, Ordering::SeqCst);
            Response::text(200, &request.body.len().to_string())
        });
        (server, count)
    }

    #[test]
    fn requests_to_all_servers_share_one_count() {
        let (one, _) = counting();
        let (two, _) = counting();
        let proxy = FaultProxy::new();
        let (one, two) = (
            proxy.before("one", &format!("{}/base/", one.url())),
            proxy.before("two", &two.url()),
        );
        assert!(one.ends_with("/base/"), "{one}");
        send("GET", &format!("{one}a?b"), &[], b"").unwrap();
        send("PUT", &format!("{two}/c"), &[], b"xyz").unwrap();
        assert_eq!(
            proxy.transcript(),
            "1 one GET /base/a?b 200\n2 two PUT /c 200\n"
        );
        assert_eq!(proxy.log().iter().filter(|seen| seen.writes()).count(), 1);
        proxy.reset();
        send("GET", &one, &[], b"").unwrap();
        assert_eq!(proxy.transcript(), "1 one GET /base/ 200\n");
    }

    #[test]
    fn before_means_unheard_and_after_means_done() {
        for (fault, answered, heard) in [
            (Fault::BreakBefore, None, 0),
            (Fault::BreakAfter, None, 1),
            (Fault::AnswerBefore(503), Some(503), 0),
            (Fault::AnswerAfter(503), Some(503), 1),
        ] {
            let (server, count) = counting();
            let proxy = FaultProxy::new();
            let url = proxy.before("s3", &server.url());
            proxy.at(1, fault);
            let answer = send("PUT", &format!("{url}/k"), &[], b"body").ok();
            assert_eq!(answer.map(|answer| answer.status), answered, "{fault:?}");
            assert_eq!(count.load(Ordering::SeqCst), heard, "{fault:?}");
            assert!(proxy.struck());
        }
    }

    #[test]
    fn a_kill_takes_the_process_at_its_request() {
        use std::os::unix::process::{CommandExt, ExitStatusExt};
        for (fault, heard) in [
            (Fault::KillBefore, 0),
            (Fault::KillDuringRequest, 0),
            (Fault::KillAfter, 1),
            (Fault::KillDuringAnswer, 1),
        ] {
            let (server, count) = counting();
            let proxy = FaultProxy::new();
            let url = proxy.before("s3", &server.url());
            proxy.at(2, fault);
            let script = "import sys, urllib.request as r
o = r.build_opener(r.ProxyHandler({}))
for _ in range(3): o.open(r.Request(sys.argv[1], data=b'x' * 1000, method='PUT')).read()";
            let mut child = std::process::Command::new("python3")
                .args(["-c", script, &format!("{url}/k")])
                .stderr(std::process::Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap();
            proxy.victim(child.id());
            let status = child.wait().unwrap();
            assert_eq!(status.signal(), Some(9), "{fault:?}");
            assert_eq!(count.load(Ordering::SeqCst), 1 + heard, "{fault:?}");
            assert_eq!(proxy.log().len(), 2, "{fault:?}\n{proxy:?}");
        }
    }

    #[test]
    fn an_npm_publish_passes_through() {
        use crate::support::{sandbox::Sandbox, verdaccio};
        let registry = verdaccio::Verdaccio::shared();
        let proxy = FaultProxy::new();
        let url = proxy.before("npm", &registry.url);
        let sandbox = Sandbox::new();
        std::fs::write(sandbox.npmrc(), verdaccio::npmrc(&url, &registry.token)).unwrap();
        std::fs::write(
            sandbox.path().join("package.json"),
            r#"{"name":"fault-proxy-self-test","version":"1.0.0","files":["package.json"]}"#,
        )
        .unwrap();
        let mut npm = sandbox.command("npm", sandbox.path());
        let output = npm.args(["publish", "--registry", &url]).output().unwrap();
        assert!(output.status.success(), "{output:?}\n{proxy:?}");
        assert_eq!(registry.versions("fault-proxy-self-test"), ["1.0.0"]);
        let transcript = proxy.transcript();
        assert!(
            transcript.contains("npm PUT /fault-proxy-self-test 201"),
            "{transcript}"
        );
    }

    #[test]
    fn a_git_push_and_another_s3_client_pass_through() {
        use crate::support::{git_server::GitServer, http, monorepo::Monorepo, moto, s3};
        let proxy = FaultProxy::new();
        let server = GitServer::start();
        server.bare("a");
        let monorepo = Monorepo::new()
            .package("a", "1.0.0")
            // Long enough for git to send it in chunks.
            .file("packages/a/random", &"0123456789abcdef".repeat(1 << 16))
            .released();
        let url = proxy.before("git", &server.url("a"));
        let config = ["-c", "http.postBuffer=1024", "-c", "core.compression=0"];
        let push = ["push", "--quiet", "--atomic", &url, "main", "--tags"];
        monorepo.git(&[&config[..], &push[..]].concat());
        let moved = monorepo.git(&["ls-remote", &url, "main"]);
        assert!(moved.starts_with(&monorepo.head()), "{moved}");

        let moto = moto::Moto::shared();
        moto.bucket("fault-proxy-self-test");
        let endpoint = proxy.before("s3", &moto.endpoint);
        let object = format!("{endpoint}/fault-proxy-self-test/key");
        let answer = http::send("PUT", &object, &[moto::SIGNED], b"bytes").unwrap();
        assert_eq!(answer.status, 200);
        let objects = s3::dump(&endpoint, "fault-proxy-self-test");
        assert_eq!(objects["key"].size, 5);

        let log = proxy.log();
        let written = |server: &str| {
            let writes = log
                .iter()
                .filter(|seen| seen.server == server && seen.writes());
            writes.map(|seen| seen.target.clone()).collect::<Vec<_>>()
        };
        assert!(
            written("git")
                .iter()
                .all(|target| target == "/a.git/git-receive-pack")
        );
        assert_eq!(written("s3"), ["/fault-proxy-self-test/key"]);
        assert!(log.iter().all(|seen| seen.status == Some(200)), "{proxy:?}");
    }
}
