//! Monorepos to release: built step by step on real git, with identities and dates that never change.
//!
//! ```ignore
//! let monorepo = Monorepo::new()
//!     .package("core", "1.0.0")
//!     .service("web", "2.1.0")
//!     .depends("web", "core", "^1.0.0")
//!     .released()
//!     .commit("fix(core): trim", &[("packages/core/src/index.js", "…")]);
//! monorepo.run(&["plan"]).expect(0);
//! ```
//!
//! A package `@acme/text` lies in `packages/text`. The lockfile follows every commit, as it does where people work with npm.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Map, Value, json};

use super::git_server::{self, GitServer};
use super::sandbox::{Invocation, Run, Sandbox};
use super::servers::repository;

/// 2026-01-02T00:00:00Z: the date of the first commit. Each commit is a minute younger than its parent.
const FIRST_DATE: u64 = 1_767_312_000;

/// A repository in a sandbox of its own.
#[derive(Debug)]
pub struct Monorepo {
    sandbox: Sandbox,
    directory: PathBuf,
    origin: Option<Origin>,
}

#[derive(Debug, Clone)]
struct Origin {
    url: String,
    directory: PathBuf,
}

impl Default for Monorepo {
    fn default() -> Self {
        Monorepo::new()
    }
}

/// Building.
impl Monorepo {
    /// A workspace without packages, opted in with `pkgs.json`, in mode `diff`.
    pub fn new() -> Monorepo {
        let monorepo = Monorepo::empty();
        monorepo.write_json(
            "package.json",
            &json!({"name": "monorepo", "private": true, "workspaces": ["packages/*"]}),
        );
        monorepo
            .file(".gitignore", "node_modules/\ndist/\n")
            .config(&json!({"mode": "diff"}))
    }

    /// The five packages of `tests/sample/`, in one commit, without tags.
    pub fn five() -> Monorepo {
        let monorepo = Monorepo::empty();
        for path in sample_files() {
            let file = monorepo.directory.join(&path);
            fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            fs::copy(repository().join("tests/sample").join(path), file).expect("a file");
        }
        monorepo.commit("feat: begin", &[])
    }

    /// A repository without any file.
    pub fn empty() -> Monorepo {
        let sandbox = Sandbox::new();
        let directory = sandbox.path().join("monorepo");
        fs::create_dir(&directory).expect("a directory");
        let monorepo = Monorepo {
            sandbox,
            directory,
            origin: None,
        };
        monorepo.git(&["init", "--quiet", "--initial-branch=main"]);
        monorepo
    }

    /// Adds a library that exports its own name.
    #[must_use]
    pub fn package(self, name: &str, version: &str) -> Monorepo {
        let mut manifest = json!({
            "name": name,
            "version": version,
            "license": "MIT",
            "main": "src/index.js",
            "files": ["src"],
        });
        if name.starts_with('@') {
            manifest["publishConfig"] = json!({"access": "public"});
        }
        let directory = directory_of(name);
        self.write_json(&format!("{directory}/package.json"), &manifest);
        let source = format!("exports.name = {};\n", json!(name));
        self.file(&format!("{directory}/src/index.js"), &source)
    }

    /// Adds a library with a command that prints its own name.
    #[must_use]
    pub fn cli(self, name: &str, version: &str) -> Monorepo {
        let directory = directory_of(name);
        let command = directory
            .rsplit('/')
            .next()
            .unwrap_or(&directory)
            .to_owned();
        let monorepo = self.package(name, version);
        monorepo.edit_json(&format!("{directory}/package.json"), |manifest| {
            manifest["bin"] = json!({(command): "src/index.js"});
        });
        let source = format!("#!/usr/bin/env node\nconsole.log({});\n", json!(name));
        let path = format!("{directory}/src/index.js");
        monorepo.write(&path, &source);
        // npm makes commands executable when it installs; committed otherwise, they would look changed after it.
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(monorepo.directory.join(path), executable).expect("a mode");
        monorepo
    }

    /// Adds a private service: `/` answers its name, `/health` its version, on `$PORT`.
    #[must_use]
    pub fn service(self, name: &str, version: &str) -> Monorepo {
        let directory = directory_of(name);
        self.write_json(
            &format!("{directory}/package.json"),
            &json!({
                "name": name,
                "version": version,
                "private": true,
                "scripts": {"start": "node service/index.js"},
            }),
        );
        self.file(
            &format!("{directory}/service/index.js"),
            "const { createServer } = require('node:http');
const { name, version } = require('../package.json');

createServer((request, response) => response.end(request.url === '/health' ? version : name))
  .listen(Number(process.env.PORT), '127.0.0.1');
",
        )
    }

    /// Adds a private static site, with its entry in `pkgs.json`: its build makes `dist/index.html` and `dist/js/site.<hash>.js`
    /// of `src/index.html` and `src/site.js`.
    #[must_use]
    pub fn static_site(self, name: &str, version: &str) -> Monorepo {
        let directory = directory_of(name);
        self.write_json(
            &format!("{directory}/package.json"),
            &json!({
                "name": name,
                "version": version,
                "private": true,
                "scripts": {"build": "node build.js"},
            }),
        );
        self.edit_json("pkgs.json", |config| {
            config["apps"][name] = json!({"type": "static", "build": "npm run build"});
        });
        self.file(
            &format!("{directory}/build.js"),
            "const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs');

const script = readFileSync('src/site.js');
const path = `js/site.${createHash('sha256').update(script).digest('hex').slice(0, 10)}.js`;
mkdirSync('dist/js', { recursive: true });
writeFileSync(`dist/${path}`, script);
writeFileSync('dist/index.html', readFileSync('src/index.html').toString().replace('site.js', path));
",
        )
        .file(
            &format!("{directory}/src/index.html"),
            "<!doctype html><script src=\"site.js\"></script>\n",
        )
        .file(&format!("{directory}/src/site.js"), "console.log(1);\n")
    }

    /// Makes `dependent` depend on `dependency` by `range`.
    #[must_use]
    pub fn depends(self, dependent: &str, dependency: &str, range: &str) -> Monorepo {
        self.depends_in("dependencies", dependent, dependency, range)
    }

    /// The same in another field of the manifest: `devDependencies`, `peerDependencies`, `optionalDependencies`.
    #[must_use]
    pub fn depends_in(
        self,
        field: &str,
        dependent: &str,
        dependency: &str,
        range: &str,
    ) -> Monorepo {
        let manifest = format!("{}/package.json", directory_of(dependent));
        self.edit_json(&manifest, |manifest| {
            manifest[field][dependency] = json!(range);
        });
        self
    }

    /// Changes a JSON file without committing it.
    #[must_use]
    pub fn edit(self, path: &str, edit: impl FnOnce(&mut Value)) -> Monorepo {
        self.edit_json(path, edit);
        self
    }

    /// Writes a file without committing it.
    #[must_use]
    pub fn file(self, path: &str, text: &str) -> Monorepo {
        self.write(path, text);
        self
    }

    /// Replaces `pkgs.json`.
    #[must_use]
    pub fn config(self, config: &Value) -> Monorepo {
        self.write_json("pkgs.json", config);
        self
    }

    /// Commits everything in the work tree with these files changed. What was there before the first commit becomes a commit
    /// of its own.
    #[must_use]
    pub fn commit(self, message: &str, files: &[(&str, &str)]) -> Monorepo {
        if !files.is_empty() && self.date_of_head().is_none() {
            self.commit_all("feat: begin");
        }
        for (path, text) in files {
            self.write(path, text);
        }
        self.commit_all(message);
        self
    }

    /// An annotated tag at HEAD.
    #[must_use]
    pub fn tag(self, name: &str) -> Monorepo {
        self.git(&["tag", "--annotate", "--message", name, name]);
        self
    }

    /// Commits what is not committed yet and tags every package that has a version, `name@version`, at HEAD.
    #[must_use]
    pub fn released(self) -> Monorepo {
        if !self.git(&["status", "--porcelain"]).is_empty() {
            self.commit_all("chore: release");
        }
        let mut monorepo = self;
        for (_, manifest) in monorepo.manifests() {
            if let (Some(name), Some(version)) =
                (manifest["name"].as_str(), manifest["version"].as_str())
            {
                monorepo = monorepo.tag(&format!("{name}@{version}"));
            }
        }
        monorepo
    }

    /// Makes a bare repository beside it, the remote `origin` by `file://`, and pushes branch and tags.
    #[must_use]
    pub fn origin(self) -> Monorepo {
        let directory = self.sandbox.path().join("origin.git");
        git_server::bare(&directory);
        let url = format!("file://{}", directory.display());
        self.with_origin(Origin { url, directory })
    }

    /// The same as the repository `name` of a server.
    #[must_use]
    pub fn origin_at(self, server: &GitServer, name: &str) -> Monorepo {
        let directory = server.bare(name);
        let url = server.url(name);
        self.with_origin(Origin { url, directory })
    }

    fn with_origin(mut self, origin: Origin) -> Monorepo {
        self.git(&["remote", "add", "origin", &origin.url]);
        self.origin = Some(origin);
        self.pushed()
    }

    /// Pushes branch and tags to the origin.
    #[must_use]
    pub fn pushed(self) -> Monorepo {
        self.git(&[
            "push",
            "--quiet",
            "--set-upstream",
            "origin",
            "HEAD",
            "--tags",
        ]);
        self
    }
}

/// Looking, and running.
impl Monorepo {
    /// The work tree.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The sandbox around it.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The bare repository behind `origin`.
    ///
    /// # Panics
    /// When there is none.
    pub fn origin_directory(&self) -> &Path {
        &self.origin.as_ref().expect("an origin").directory
    }

    /// A clone of the origin in a sandbox of its own: whole and with tags, or, with a depth, as `actions/checkout` does it: the
    /// branch alone, shallow, without tags.
    pub fn clone_fresh(&self, depth: Option<u32>) -> Monorepo {
        let origin = self.origin.clone().expect("an origin");
        let sandbox = Sandbox::new();
        let directory = sandbox.path().join("monorepo");
        let mut git = sandbox.command("git", sandbox.path());
        git.args(["clone", "--quiet"]);
        if let Some(depth) = depth {
            git.arg(format!("--depth={depth}")).arg("--no-tags");
        }
        git.arg(&origin.url).arg(&directory);
        let output = git.output().expect("git runs");
        assert!(output.status.success(), "git clone: {output:?}");
        Monorepo {
            sandbox,
            directory,
            origin: Some(origin),
        }
    }

    /// The binary with `arguments` in the work tree, to be run or started.
    pub fn binary(&self, arguments: &[&str]) -> Invocation {
        self.sandbox.binary(&self.directory, arguments)
    }

    /// Runs the binary with `arguments` in the work tree.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.binary(arguments).run()
    }

    /// Runs git and gives what it printed, without the final line break.
    ///
    /// # Panics
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.git_output(arguments);
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }

    /// Runs git, whatever comes of it.
    pub fn git_output(&self, arguments: &[&str]) -> Output {
        let date = format!("{} +0000", self.date_of_head().unwrap_or(FIRST_DATE));
        self.git_at(&date, arguments)
    }

    /// The id of HEAD.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// The tags, sorted by name.
    pub fn tags(&self) -> Vec<String> {
        let tags = self.git(&["tag", "--list"]);
        tags.lines().map(str::to_owned).collect()
    }

    /// Runs npm.
    ///
    /// # Panics
    /// When npm fails.
    pub fn npm(&self, arguments: &[&str]) -> String {
        let mut npm = self.sandbox.command("npm", &self.directory);
        let output = npm.args(arguments).output().expect("npm runs");
        assert!(output.status.success(), "npm {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The text of a file in the work tree.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.directory.join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A JSON file in the work tree.
    pub fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file in the work tree, with the directories above it.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.directory.join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        fs::write(file, text).expect("a file");
    }

    fn write_json(&self, path: &str, value: &Value) {
        let text = serde_json::to_string_pretty(value).expect("JSON");
        self.write(path, &format!("{text}\n"));
    }

    /// Changes a JSON file of the work tree, without a commit.
    pub fn edit_json(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut value = self.json(path);
        edit(&mut value);
        self.write_json(path, &value);
    }

    /// Seconds since 1970 of HEAD's commit, `None` before the first.
    fn date_of_head(&self) -> Option<u64> {
        let output = self.git_at("0 +0000", &["log", "-1", "--format=%ct"]);
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    fn git_at(&self, date: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
        let identity = ("Developer", "developer@example.invalid");
        self.sandbox
            .command("git", &self.directory)
            .env("GIT_AUTHOR_NAME", identity.0)
            .env("GIT_AUTHOR_EMAIL", identity.1)
            .env("GIT_AUTHOR_DATE", date)
            .env("GIT_COMMITTER_NAME", identity.0)
            .env("GIT_COMMITTER_EMAIL", identity.1)
            .env("GIT_COMMITTER_DATE", date)
            .args(arguments)
            .output()
            .expect("git runs")
    }

    fn commit_all(&self, message: &str) {
        self.lock();
        self.git(&["add", "--all"]);
        let date = self.date_of_head().map_or(FIRST_DATE, |date| date + 60);
        let output = self.git_at(
            &format!("{date} +0000"),
            &["commit", "--quiet", "--allow-empty", "--message", message],
        );
        assert!(output.status.success(), "git commit: {output:?}");
    }

    /// Directory and manifest of every package below `packages/`, in order of directory.
    fn manifests(&self) -> Vec<(String, Value)> {
        let mut directories: Vec<String> = fs::read_dir(self.directory.join("packages"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| format!("packages/{}", entry.file_name().to_string_lossy()))
            .filter(|path| self.directory.join(path).join("package.json").is_file())
            .collect();
        directories.sort();
        let manifest = |path: &String| self.json(&format!("{path}/package.json"));
        directories
            .into_iter()
            .map(|path| (path.clone(), manifest(&path)))
            .collect()
    }

    /// Brings `package-lock.json` in line with the manifests, as npm writes it. A lockfile that names packages of a registry, or
    /// a repository that is no npm workspace, is left alone.
    fn lock(&self) {
        let workspace = self.directory.join("package.json").is_file()
            && self.json("package.json")["workspaces"] == json!(["packages/*"]);
        let path = self.directory.join("package-lock.json");
        let foreign = fs::read_to_string(&path).is_ok_and(|text| text.contains("\"integrity\""));
        if workspace && !foreign {
            let lockfile = lockfile(&self.json("package.json"), &self.manifests());
            self.write_json("package-lock.json", &lockfile);
        }
    }
}

/// The paths of the files of `tests/sample/`, without what a build leaves behind.
pub fn sample_files() -> Vec<PathBuf> {
    let root = repository().join("tests/sample");
    walkdir::WalkDir::new(&root)
        .into_iter()
        .filter_entry(|entry| !matches!(entry.file_name().to_str(), Some("node_modules" | "dist")))
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(&root);
            path.expect("below the root").to_owned()
        })
        .collect()
}

/// Where a package lies.
pub fn directory_of(name: &str) -> String {
    format!("packages/{}", name.rsplit('/').next().unwrap_or(name))
}

/// npm's lockfile, version 3, of a workspace whose packages depend on each other alone.
fn lockfile(root: &Value, manifests: &[(String, Value)]) -> Value {
    let mut packages = BTreeMap::new();
    packages.insert(String::new(), locked(root, ""));
    for (directory, manifest) in manifests {
        let name = manifest["name"].as_str().expect("a name");
        packages.insert(
            format!("node_modules/{name}"),
            json!({"resolved": directory, "link": true}),
        );
        packages.insert(directory.clone(), locked(manifest, directory));
    }
    let mut lockfile = Map::new();
    lockfile.insert("name".into(), root["name"].clone());
    if let Some(version) = root.get("version") {
        lockfile.insert("version".into(), version.clone());
    }
    lockfile.insert("lockfileVersion".into(), json!(3));
    lockfile.insert("requires".into(), json!(true));
    lockfile.insert("packages".into(), json!(packages));
    Value::Object(lockfile)
}

/// What the lockfile keeps of a manifest, in npm's order: plain values before objects.
fn locked(manifest: &Value, directory: &str) -> Value {
    const KEPT: [&str; 13] = [
        "name",
        "version",
        "cpu",
        "hasInstallScript",
        "license",
        "os",
        "workspaces",
        "dependencies",
        "bin",
        "devDependencies",
        "engines",
        "optionalDependencies",
        "peerDependencies",
    ];
    let implied = directory.rsplit('/').next();
    let mut kept = Map::new();
    for field in KEPT {
        let named_by_directory = field == "name" && manifest["name"].as_str() == implied;
        if let Some(value) = manifest.get(field)
            && !named_by_directory
        {
            kept.insert(field.to_owned(), value.clone());
        }
    }
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::http::send;
    use crate::support::servers::{Server, free_port};

    /// What npm itself makes of the manifests.
    fn npm_lockfile(monorepo: &Monorepo) -> String {
        fs::remove_file(monorepo.path().join("package-lock.json")).unwrap();
        monorepo.npm(&[
            "install",
            "--package-lock-only",
            "--offline",
            "--ignore-scripts",
        ]);
        monorepo.read("package-lock.json")
    }

    #[test]
    fn the_lockfile_is_what_npm_writes() {
        let monorepo = Monorepo::new()
            .package("core", "1.0.0")
            .package("@acme/text", "1.1.0")
            .cli("@acme/cli", "0.3.0")
            .service("web", "2.1.0")
            .static_site("site", "1.0.0")
            .depends("@acme/text", "core", "^1.0.0")
            .depends("web", "@acme/text", "^1.0.0")
            .depends("web", "core", "^1.0.0")
            .depends_in("devDependencies", "site", "core", "^1.0.0")
            .depends_in("peerDependencies", "@acme/cli", "@acme/text", "1.x")
            .released();
        let ours = monorepo.read("package-lock.json");
        monorepo.npm(&["ci", "--offline"]);
        assert_eq!(monorepo.git(&["status", "--porcelain"]), "");
        assert_eq!(ours, npm_lockfile(&monorepo));
        assert_eq!(
            monorepo.tags(),
            [
                "@acme/cli@0.3.0",
                "@acme/text@1.1.0",
                "core@1.0.0",
                "site@1.0.0",
                "web@2.1.0"
            ]
        );
    }

    #[test]
    fn the_sample_installs_builds_and_serves_without_a_network() {
        let monorepo = Monorepo::five();
        let sample = fs::read_to_string(repository().join("tests/sample/package-lock.json"));
        assert_eq!(monorepo.read("package-lock.json"), sample.unwrap());
        assert_eq!(monorepo.read("package-lock.json"), npm_lockfile(&monorepo));
        monorepo.npm(&["ci", "--offline"]);
        monorepo.npm(&["test", "--workspaces", "--if-present"]);
        monorepo.npm(&["run", "build", "--workspace", "site"]);
        let page = monorepo.read("packages/site/dist/index.html");
        assert!(
            page.contains("css/site.") && !page.contains("css/site.css"),
            "{page}"
        );
        let version = monorepo.json("packages/site/dist/version.json");
        assert_eq!(version, json!({"version": "1.0.0"}));

        let port = free_port();
        let directory = monorepo.path().join("packages/web");
        let mut node = monorepo.sandbox().command("node", &directory);
        node.arg("service/index.js").env("PORT", port.to_string());
        let scratch = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let _server = Server::start(&node, scratch.path(), &url).expect("the service starts");
        let get = |path: &str| send("GET", &format!("{url}{path}"), &[], b"").unwrap().body;
        assert_eq!(get("/health"), b"2.0.0");
        assert_eq!(get("/"), b"A Service That Answers");
        assert_eq!(monorepo.git(&["status", "--porcelain"]), "");
    }

    #[test]
    fn the_same_steps_make_the_same_commits_and_tags() {
        let make = || {
            Monorepo::new()
                .package("a", "1.0.0")
                .released()
                .commit("fix(a): b", &[("packages/a/src/index.js", "")])
        };
        let (one, two) = (make(), make());
        assert_eq!(one.head(), two.head());
        assert_eq!(
            one.git(&["rev-parse", "a@1.0.0"]),
            two.git(&["rev-parse", "a@1.0.0"])
        );
        assert_eq!(one.git(&["rev-list", "--count", "HEAD"]), "2");
    }

    #[test]
    fn a_clone_is_whole_or_as_shallow_as_a_checkout_in_a_workflow() {
        let monorepo = Monorepo::new()
            .package("a", "1.0.0")
            .released()
            .commit("fix(a): b", &[("packages/a/src/index.js", "")])
            .origin();
        let whole = monorepo.clone_fresh(None);
        assert_eq!(whole.head(), monorepo.head());
        assert_eq!(whole.tags(), ["a@1.0.0"]);
        let shallow = monorepo.clone_fresh(Some(1));
        assert_eq!(shallow.git(&["rev-list", "--count", "HEAD"]), "1");
        assert_eq!(shallow.tags(), Vec::<String>::new());
        let further = shallow
            .commit("fix(a): c", &[("packages/a/c.js", "")])
            .pushed();
        let refs = git_server::refs(monorepo.origin_directory());
        assert!(
            refs.contains(&("refs/heads/main".to_owned(), further.head())),
            "{refs:?}"
        );
    }
}
