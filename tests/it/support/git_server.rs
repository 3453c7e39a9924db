//! Bare repositories over smart HTTP: git's own `git http-backend` behind a listener, with refusals and credentials.

use std::ffi::OsString;
use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use tempfile::TempDir;

use super::http::{Listener, Request, Response, read_response};
use super::sandbox::search_path;

/// A running server; its repositories go with it.
#[derive(Debug)]
pub struct GitServer {
    root: TempDir,
    token: Arc<Mutex<Option<String>>>,
    listener: Listener,
}

impl GitServer {
    /// Starts one without repositories, open to everyone.
    pub fn start() -> GitServer {
        let root = tempfile::tempdir().expect("a temporary directory");
        let token: Arc<Mutex<Option<String>>> = Arc::default();
        let (directory, required) = (root.path().to_owned(), Arc::clone(&token));
        let listener = Listener::answering(move |request| {
            let required = required.lock().expect("no holder panics").clone();
            match required {
                Some(token) if !carries(request, &token) => refused(),
                _ => backend(&directory, request),
            }
        });
        GitServer {
            root,
            token,
            listener,
        }
    }

    /// Makes the empty bare repository `name`, whose branch will be `main`, and gives its directory.
    pub fn bare(&self, name: &str) -> PathBuf {
        let directory = self.directory(name);
        bare(&directory);
        directory
    }

    /// Where the repository `name` lies.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}.git"))
    }

    /// The address of the repository `name`.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.listener.url())
    }

    /// The address of the server, without a final slash.
    pub fn origin(&self) -> String {
        self.listener.url()
    }

    /// From now on, only requests with this token are served: as a bearer token or as the password of any user.
    pub fn require(&self, token: &str) {
        *self.token.lock().expect("no holder panics") = Some(token.to_owned());
    }
}

/// Makes an empty bare repository that takes pushes over HTTP and remembers every move of every ref.
pub fn bare(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory");
    git(
        directory,
        &["init", "--quiet", "--bare", "--initial-branch=main"],
    );
    for (name, value) in [
        ("http.receivepack", "true"),
        ("core.logAllRefUpdates", "always"),
        ("uploadpack.allowAnySHA1InWant", "true"),
        ("uploadpack.allowFilter", "true"),
        ("gc.auto", "0"),
    ] {
        git(directory, &["config", name, value]);
    }
}

/// From now on the bare repository refuses to move refs that match one of `patterns` (of the shell: `refs/tags/*`), as a branch
/// protection does: each ref by itself, unless the push is atomic. No pattern: everything is allowed again.
pub fn refuse(directory: &Path, patterns: &[&str]) {
    let hook = directory.join("hooks/update");
    if patterns.is_empty() {
        let _ = fs::remove_file(hook);
        return;
    }
    let script = format!(
        "#!/bin/sh\ncase $1 in {}) echo \"$1 is protected\" >&2; exit 1;; esac\n",
        patterns.join("|")
    );
    fs::create_dir_all(directory.join("hooks")).expect("a directory");
    fs::write(&hook, script).expect("a hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("an executable hook");
}

/// The refs of a repository with what they point at, sorted by name.
pub fn refs(directory: &Path) -> Vec<(String, String)> {
    git(
        directory,
        &["for-each-ref", "--format=%(refname) %(objectname)"],
    )
    .lines()
    .filter_map(|line| line.split_once(' '))
    .map(|(name, id)| (name.to_owned(), id.to_owned()))
    .collect()
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment())
        .stdin(Stdio::null())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn environment() -> [(&'static str, OsString); 3] {
    [
        ("PATH", search_path()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
    ]
}

fn carries(request: &Request, token: &str) -> bool {
    let Some((scheme, value)) = request
        .headers
        .get("authorization")
        .and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => value == token,
        "basic" => base64::engine::general_purpose::STANDARD
            .decode(value)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.split_once(':').map(|(_, password)| password == token))
            .unwrap_or(false),
        _ => false,
    }
}

fn refused() -> Response {
    let mut response = Response::text(401, "a token is needed");
    let challenge = (
        "WWW-Authenticate".to_owned(),
        "Basic realm=\"git\"".to_owned(),
    );
    response.headers.0.push(challenge);
    response
}

/// Hands a request to `git http-backend`, which speaks CGI.
fn backend(root: &Path, request: &Request) -> Response {
    let header = |name: &str| request.headers.get(name).unwrap_or_default().to_owned();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .envs(environment())
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_COMMITTER_NAME", "git server")
        .env("GIT_COMMITTER_EMAIL", "git-server@example.invalid")
        .env("PATH_INFO", request.path())
        .env("QUERY_STRING", request.query())
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", "somebody")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git http-backend starts");
    let mut input = child.stdin.take().expect("a pipe");
    let body = request.body.clone();
    let writer = std::thread::spawn(move || {
        // It may stop reading early: then its answer says why.
        let _ = input.write_all(&body);
    });
    let output = child.wait_with_output().expect("git http-backend ends");
    let _ = writer.join();
    // CGI is an HTTP answer without a status line.
    let message = [b"HTTP/1.1 200 OK\r\n", output.stdout.as_slice()].concat();
    let mut response =
        read_response(&mut BufReader::new(message.as_slice()), "GET").expect("a CGI answer");
    if let Some(at) = response
        .headers
        .0
        .iter()
        .position(|(name, _)| name == "Status")
    {
        let (_, status) = response.headers.0.remove(at);
        let code = status.split(' ').next().and_then(|code| code.parse().ok());
        response.status = code.expect("a CGI status");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::monorepo::Monorepo;

    fn pushed(monorepo: &Monorepo, url: &str) -> bool {
        monorepo
            .git_output(&["push", "--quiet", "--atomic", url, "main", "--tags"])
            .status
            .success()
    }

    #[test]
    fn one_refused_ref_stops_an_atomic_push() {
        let server = GitServer::start();
        let bare = server.bare("a");
        let monorepo = Monorepo::new().package("a", "1.0.0").released();
        refuse(&bare, &["refs/tags/*"]);
        assert!(!pushed(&monorepo, &server.url("a")));
        assert_eq!(refs(&bare), []);
        refuse(&bare, &[]);
        assert!(pushed(&monorepo, &server.url("a")));
        let names: Vec<String> = refs(&bare).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["refs/heads/main", "refs/tags/a@1.0.0"]);
    }

    #[test]
    fn a_token_opens_the_door_as_a_password_too() {
        let server = GitServer::start();
        server.bare("a");
        server.require("t0ken");
        let monorepo = Monorepo::new().package("a", "1.0.0").released();
        let with = |credentials: &str| server.url("a").replace("//", &format!("//{credentials}"));
        assert!(!pushed(&monorepo, &with("")));
        assert!(!pushed(&monorepo, &with("x-access-token:other@")));
        assert!(pushed(&monorepo, &with("x-access-token:t0ken@")));
        let header = "http.extraHeader=Authorization: Bearer t0ken";
        let list = monorepo.git_output(&["-c", header, "ls-remote", &server.url("a")]);
        assert!(list.status.success(), "{list:?}");
    }
}
