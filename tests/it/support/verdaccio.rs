//! A real npm registry: verdaccio, empty, without uplinks.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sha2::Sha512;
use tempfile::TempDir;

use super::http;
use super::servers::{Server, installed};

/// A running registry.
#[derive(Debug)]
pub struct Verdaccio {
    /// Its address, with a final slash.
    pub url: String,
    /// A user who may publish anything.
    pub user: String,
    /// That user's token.
    pub token: String,
    server: Server,
    directory: TempDir,
}

impl Verdaccio {
    /// Starts one of one's own: for stories that need the sample's own names. Takes a second or three.
    pub fn start() -> Verdaccio {
        Verdaccio::with_rules("")
    }

    /// Starts one with lines of `packages:` that come before the rule for everyone: `'@team/*': { access: $all, publish: owner }`.
    pub fn with_rules(rules: &str) -> Verdaccio {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let configuration = directory.path().join("config.yaml");
        let (server, port) = Server::start_on_free_port(directory.path(), "/-/ping", |port| {
            std::fs::write(&configuration, configure(directory.path(), port, rules))
                .expect("the configuration is written");
            let mut command = Command::new(installed().join("node/bin/node"));
            command
                .arg(installed().join("verdaccio/node_modules/verdaccio/bin/verdaccio"))
                .arg("--config")
                .arg(&configuration);
            command
        });
        let url = format!("http://127.0.0.1:{port}/");
        let user = "releaser".to_owned();
        let token = add_user(&url, &user);
        Verdaccio {
            url,
            user,
            token,
            server,
            directory,
        }
    }

    /// The one that all tests of this process share; give packages names of your own.
    pub fn shared() -> &'static Verdaccio {
        static SHARED: OnceLock<Verdaccio> = OnceLock::new();
        SHARED.get_or_init(Verdaccio::start)
    }

    /// Publishes a tarball as it is.
    pub fn offer(&self, tarball: &[u8]) {
        let mut manifest = manifest_of(tarball);
        let [name, version] = ["name", "version"].map(|field| {
            let text = manifest[field].as_str().expect("text");
            text.to_owned()
        });
        let file = format!("{name}-{version}.tgz");
        let shasum = Sha1::digest(tarball);
        let shasum = shasum.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        manifest["_id"] = format!("{name}@{version}").into();
        manifest["dist"] = serde_json::json!({
            "integrity": format!("sha512-{}", STANDARD.encode(Sha512::digest(tarball))),
            "shasum": shasum,
            "tarball": format!("{}{name}/-/{file}", self.url),
        });
        let data = STANDARD.encode(tarball);
        let body = serde_json::json!({
            "_id": name,
            "name": name,
            "dist-tags": {"latest": version},
            "versions": {version: manifest},
            "_attachments": {file: {"content_type": "application/octet-stream", "data": data, "length": tarball.len()}},
        });
        let url = format!("{}{}", self.url, name.replace('/', "%2f"));
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", authorization.as_str()),
        ];
        let answer = http::send("PUT", &url, &headers, body.to_string().as_bytes());
        let answer = answer.expect("the registry answers");
        assert_eq!(answer.status, 201, "PUT {url}: {}", self.server.log());
    }

    /// Adds a user and gives the token.
    pub fn user(&self, name: &str) -> String {
        add_user(&self.url, name)
    }

    /// The lines of an `.npmrc` that make npm use this registry as the releaser.
    pub fn npmrc(&self) -> String {
        npmrc(&self.url, &self.token)
    }

    /// The packument of a package as an anonymous reader gets it, `None` when there is none.
    pub fn packument(&self, package: &str) -> Option<serde_json::Value> {
        let url = format!("{}{}", self.url, package.replace('/', "%2f"));
        let answer = http::send("GET", &url, &[], b"").expect("the registry answers");
        match answer.status {
            200 => Some(serde_json::from_slice(&answer.body).expect("a packument is JSON")),
            404 => None,
            other => panic!("GET {url}: {other}\n{}", self.server.log()),
        }
    }

    /// The published versions of a package, in the order of the packument.
    pub fn versions(&self, package: &str) -> Vec<String> {
        let packument = self.packument(package).unwrap_or_default();
        packument["versions"]
            .as_object()
            .map(|versions| versions.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// What it wrote so far, a line for each request.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Where it keeps the packages: `<package>/package.json` and the tarballs.
    pub fn storage(&self) -> std::path::PathBuf {
        self.directory.path().join("storage")
    }
}

/// The `package.json` in a tarball.
fn manifest_of(tarball: &[u8]) -> serde_json::Value {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(tarball));
    let entries = archive.entries().expect("a tar file");
    let manifest = entries.map(|entry| entry.expect("an entry")).find(|entry| {
        entry
            .path()
            .is_ok_and(|path| path.ends_with("package.json"))
    });
    serde_json::from_reader(manifest.expect("a package.json")).expect("JSON")
}

/// The lines of an `.npmrc` that make npm use the registry at `url` (with a final slash) with `token`.
pub fn npmrc(url: &str, token: &str) -> String {
    let origin = url.trim_start_matches("http:");
    format!("registry={url}\n{origin}:_authToken={token}\n")
}

/// Tokens are JWTs: verdaccio's own kind costs it a bcrypt round at every request.
fn configure(directory: &Path, port: u16, rules: &str) -> String {
    format!(
        "storage: {directory}/storage
listen: 127.0.0.1:{port}
max_body_size: 200mb
web: {{ enable: false }}
uplinks: {{}}
auth:
  htpasswd: {{ file: {directory}/htpasswd, algorithm: bcrypt, rounds: 4, max_users: 1000 }}
security:
  api: {{ legacy: false, jwt: {{ sign: {{ expiresIn: 29d }} }} }}
packages:
  {rules}
  '@*/*': {{ access: $all, publish: $authenticated, unpublish: $authenticated }}
  '**': {{ access: $all, publish: $authenticated, unpublish: $authenticated }}
server: {{ keepAliveTimeout: 60 }}
userRateLimit: {{ windowMs: 1000, max: 100000 }}
middlewares: {{ audit: {{ enabled: false }} }}
log: {{ type: stdout, format: pretty, level: http, colors: false }}
",
        directory = directory.display()
    )
}

fn add_user(url: &str, name: &str) -> String {
    let body = serde_json::json!({
        "_id": format!("org.couchdb.user:{name}"),
        "name": name,
        "password": format!("{name}-password"),
        "email": format!("{name}@example.invalid"),
        "type": "user",
        "roles": [],
    });
    let answer = http::send(
        "PUT",
        &format!("{url}-/user/org.couchdb.user:{name}"),
        &[("Content-Type", "application/json")],
        body.to_string().as_bytes(),
    )
    .expect("the registry answers");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 201, "adding a user: {text}");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("a JSON answer");
    answer["token"].as_str().expect("a token").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::sandbox::Sandbox;

    #[test]
    fn npm_publishes_with_the_token_and_not_without() {
        let registry = Verdaccio::shared();
        let sandbox = Sandbox::new();
        let package = sandbox.path().join("package");
        std::fs::create_dir(&package).unwrap();
        std::fs::write(
            package.join("package.json"),
            r#"{"name":"@verdaccio-self-test/a","version":"1.0.0"}"#,
        )
        .unwrap();
        let publish = || {
            let mut npm = sandbox.command("npm", &package);
            npm.args(["publish", "--access", "public", "--registry", &registry.url]);
            npm.output().unwrap()
        };
        assert!(!publish().status.success());
        assert_eq!(registry.packument("@verdaccio-self-test/a"), None);
        std::fs::write(sandbox.npmrc(), registry.npmrc()).unwrap();
        let output = publish();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(registry.versions("@verdaccio-self-test/a"), ["1.0.0"]);
    }
}
