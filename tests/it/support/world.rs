//! A repository with everything around it: an origin, a registry, a store, a static root, and perhaps a host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::git_server::GitServer;
use super::monorepo::Monorepo;
use super::moto::Moto;
use super::s3;
use super::sandbox::{Invocation, Run, Sandbox, kill_group};
use super::verdaccio::Verdaccio;

/// The token that the git server of [`World::served`] asks for.
pub const GIT_TOKEN: &str = "ghs_canaryOfTheForgeToken0123456789abcd";

/// What a monorepo is released to.
#[derive(Debug)]
pub struct World {
    pub monorepo: Monorepo,
    pub outside: Outside,
}

/// Everything but the repository.
#[derive(Debug)]
pub struct Outside {
    directory: TempDir,
    servers: Option<Servers>,
    bucket: Option<Bucket>,
}

/// Where store (`team` in it) and static files (in another one, `-static`) lie when they lie in no directory.
#[derive(Debug)]
struct Bucket {
    endpoint: String,
    name: String,
}

#[derive(Debug)]
struct Servers {
    git: GitServer,
    registry: Verdaccio,
}

impl World {
    /// Directories for store, static root and registry; the origin by `file://`.
    pub fn local(monorepo: Monorepo) -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["store", "static/sit", "static/prod", "npm"] {
            fs::create_dir_all(directory.path().join(name)).expect("a directory");
        }
        let monorepo = monorepo.origin();
        count_pushes(monorepo.origin_directory());
        World {
            monorepo,
            outside: Outside {
                directory,
                servers: None,
                bucket: None,
            },
        }
    }

    /// The same, but that store and static root are the buckets `bucket` and `bucket-static` of the S3 server at `endpoint`, which are made.
    pub fn in_bucket(monorepo: Monorepo, endpoint: &str, bucket: &str) -> World {
        s3::make_bucket(endpoint, bucket);
        s3::make_bucket(endpoint, &format!("{bucket}-static"));
        let mut world = World::local(monorepo);
        world.outside.bucket = Some(Bucket {
            endpoint: endpoint.to_owned(),
            name: bucket.to_owned(),
        });
        world
    }

    /// Servers for all of them: git over HTTP as `acme/monorepo` (open until [`World::close`]), verdaccio, and the buckets
    /// `bucket` and `bucket-static` of the shared S3 server. Runs are runs of a workflow.
    pub fn served(monorepo: Monorepo, bucket: &str) -> World {
        let git = GitServer::start();
        let monorepo = monorepo.origin_at(&git, "acme/monorepo");
        count_pushes(monorepo.origin_directory());
        Moto::shared().bucket(bucket);
        Moto::shared().bucket(&format!("{bucket}-static"));
        World {
            monorepo,
            outside: Outside {
                directory: tempfile::tempdir().expect("a temporary directory"),
                servers: Some(Servers {
                    git,
                    registry: Verdaccio::start(),
                }),
                bucket: Some(Bucket {
                    endpoint: Moto::shared().endpoint.clone(),
                    name: bucket.to_owned(),
                }),
            },
        }
    }

    /// From now on git asks for the token.
    pub fn close(&self) {
        if let Some(servers) = &self.outside.servers {
            servers.git.require(GIT_TOKEN);
        }
    }

    /// A developer takes what is released, commits on it, and pushes.
    #[must_use]
    pub fn develop(self, message: &str, files: &[(&str, &str)]) -> World {
        self.follow();
        let World { monorepo, outside } = self;
        let monorepo = monorepo.commit(message, files);
        let world = World { monorepo, outside };
        let origin = world.monorepo.origin_directory().display().to_string();
        world
            .monorepo
            .git(&["push", "--quiet", &origin, "HEAD:main"]);
        world
    }

    /// Moves the work tree to the tip of the branch, tags included.
    pub fn follow(&self) {
        let origin = self.monorepo.origin_directory().display().to_string();
        let fetch = ["fetch", "--quiet", "--tags", &origin, "main"];
        self.monorepo.git(&fetch);
        self.monorepo
            .git(&["merge", "--quiet", "--ff-only", "FETCH_HEAD"]);
    }

    /// A run of the binary in the work tree that knows the outside; with servers, a run of a workflow.
    pub fn binary(&self, arguments: &[&str]) -> Invocation {
        self.binary_in(&self.monorepo, arguments)
    }

    /// The same in another work tree, a clone for example.
    pub fn binary_in(&self, monorepo: &Monorepo, arguments: &[&str]) -> Invocation {
        self.outside
            .around(self.outside.workflow(monorepo.binary(arguments)))
    }

    /// Runs the binary in the work tree.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.binary(arguments).run()
    }

    /// Runs the binary in an empty directory of an empty sandbox, with nothing but the store and an environment.
    pub fn operate(&self, arguments: &[&str]) -> Run {
        let sandbox = Sandbox::new();
        let directory = sandbox.path().join("empty");
        fs::create_dir(&directory).expect("a directory");
        self.outside
            .store(sandbox.binary(&directory, arguments))
            .env("PKGS_ACTOR", "ada")
            .run()
    }

    /// Each push that the origin took, as the refs that it moved.
    pub fn pushes(&self) -> Vec<Vec<String>> {
        let file = self.monorepo.origin_directory().join("pushes");
        let mut pushes: Vec<Vec<String>> = Vec::new();
        for line in fs::read_to_string(file).unwrap_or_default().lines() {
            match (line, pushes.last_mut()) {
                ("push", _) => pushes.push(Vec::new()),
                (reference, Some(push)) => push.push(reference.to_owned()),
                (other, None) => panic!("{other} before any push"),
            }
        }
        pushes
    }

    /// The text of a file at a revision in the origin.
    pub fn at(&self, revision: &str, path: &str) -> String {
        self.origin_git(&["show", &format!("{revision}:{path}")])
    }

    /// What git says in the origin.
    pub fn origin_git(&self, arguments: &[&str]) -> String {
        let output = self
            .monorepo
            .sandbox()
            .command("git", self.monorepo.origin_directory())
            .args(arguments)
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end_matches('\n')
            .to_owned()
    }
}

impl Outside {
    /// Where the outside of a local world lies: `store`, `static`, `npm`, and whatever a test adds.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The registry.
    ///
    /// # Panics
    /// In a world of directories.
    pub fn registry(&self) -> &Verdaccio {
        &self.servers.as_ref().expect("servers").registry
    }

    /// What the store holds, by key below its prefix, read by boto3.
    pub fn bucket(&self) -> BTreeMap<String, s3::Object> {
        let bucket = self.bucket.as_ref().expect("a bucket");
        s3::dump(&bucket.endpoint, &bucket.name)
    }

    /// What the static root holds, read by boto3.
    pub fn static_bucket(&self) -> BTreeMap<String, s3::Object> {
        let bucket = self.bucket.as_ref().expect("a bucket");
        s3::dump(&bucket.endpoint, &format!("{}-static", bucket.name))
    }

    /// The bytes of an object of the store.
    pub fn object(&self, key: &str) -> Vec<u8> {
        let bucket = self.bucket.as_ref().expect("a bucket");
        let found = s3::get(&bucket.endpoint, &bucket.name, key);
        found.unwrap_or_else(|| panic!("no {key} in {}", bucket.name))
    }

    /// The same as JSON.
    pub fn document(&self, key: &str) -> Value {
        serde_json::from_slice(&self.object(key)).expect("JSON")
    }

    /// The address of the git server, as the platform names it.
    pub fn origin(&self) -> String {
        let servers = self.servers.as_ref().expect("servers");
        servers.git.origin()
    }

    fn workflow(&self, invocation: Invocation) -> Invocation {
        let Some(servers) = &self.servers else {
            return invocation;
        };
        invocation
            .in_actions("push", "refs/heads/main")
            .env("GITHUB_SERVER_URL", servers.git.origin())
            .env("PKGS_TOKEN", GIT_TOKEN)
    }

    /// Tells a run where the store is, and how to get in.
    pub fn store(&self, invocation: Invocation) -> Invocation {
        let Some(Bucket { endpoint, name }) = &self.bucket else {
            let store = self.path().join("store");
            return invocation.env("PKGS_STORE", format!("file://{}", store.display()));
        };
        let mut environment = s3::environment(endpoint);
        environment.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
        invocation
            .envs(&environment)
            .env("PKGS_STORE", format!("s3://{name}/team"))
            .env("PKGS_STORE_ENDPOINT", endpoint)
    }

    fn around(&self, invocation: Invocation) -> Invocation {
        let invocation = self.store(invocation).env("PKGS_FORGE_RELEASE", "false");
        let url = |name: &str| format!("file://{}", self.path().join(name).display());
        let root = match &self.bucket {
            Some(bucket) => format!("s3://{}-static/{{environment}}", bucket.name),
            None => format!("{}/{{environment}}", url("static")),
        };
        let invocation = invocation.env("PKGS_STATIC", root);
        match &self.servers {
            Some(servers) => invocation
                .env("PKGS_REGISTRY", &servers.registry.url)
                .env("PKGS_NPM_TOKEN", &servers.registry.token),
            None => invocation.env("PKGS_REGISTRY", url("npm")),
        }
    }
}

/// Lets the bare repository write down each push that it took, with its refs.
fn count_pushes(directory: &Path) {
    let hook = directory.join("hooks/post-receive");
    fs::create_dir_all(directory.join("hooks")).expect("a directory");
    let script =
        "#!/bin/sh\n{ echo push; while read -r old new ref; do echo \"$ref\"; done; } >>pushes\n";
    fs::write(&hook, script).expect("a hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("an executable hook");
}

/// A machine that runs apps: a directory for them and one for their logs. What it runs ends with it.
#[derive(Debug)]
pub struct Machine {
    directory: TempDir,
    sandbox: Sandbox,
}

impl Default for Machine {
    fn default() -> Self {
        Machine::new()
    }
}

impl Machine {
    /// A machine without apps.
    pub fn new() -> Machine {
        Machine {
            directory: tempfile::tempdir().expect("a temporary directory"),
            sandbox: Sandbox::new(),
        }
    }

    /// The directory of an app.
    pub fn app(&self, app: &str) -> PathBuf {
        self.directory.path().join("app").join(app)
    }

    /// `pull --once` of `app` in `environment`; the service is told `port`.
    pub fn pull(&self, outside: &Outside, app: &str, environment: &str, port: u16) -> Invocation {
        let home = self.sandbox.home();
        let arguments = ["pull", "--once", "--app", app, "--environment", environment];
        let invocation = self.sandbox.binary(&home, &arguments);
        outside
            .store(invocation)
            .env("PKGS_HOST_DIRECTORY", self.directory.path().join("app"))
            .env("PKGS_LOG_DIRECTORY", self.directory.path().join("logs"))
            .env("PKGS_HOST_NAME", "host-1")
            .env("PORT", port.to_string())
    }

    /// The version that `current` names, if it exists.
    pub fn current(&self, app: &str) -> Option<String> {
        let link = fs::read_link(self.app(app).join("current")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }

    /// What the host remembers of an app.
    pub fn state(&self, app: &str) -> Value {
        let text = fs::read(self.app(app).join(".pkgs/state.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for entry in walkdir::WalkDir::new(self.directory.path())
            .into_iter()
            .flatten()
            .filter(|entry| entry.path().ends_with(".pkgs/state.json"))
        {
            let text = fs::read(entry.path()).unwrap_or_default();
            let state: Value = serde_json::from_slice(&text).unwrap_or_default();
            if let Some(group) = state["group"]["id"].as_u64()
                && let Ok(group) = u32::try_from(group)
            {
                kill_group(group);
            }
        }
    }
}

/// Every file below a directory with its bytes, by path; of a missing directory nothing.
pub fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(directory);
            let path = path.expect("below it").to_string_lossy().into_owned();
            (path, fs::read(entry.path()).expect("a readable file"))
        })
        .collect()
}

/// Runs a program and gives what it printed.
///
/// # Panics
/// When it fails.
pub fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
