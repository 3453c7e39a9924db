//! A host with one app and a store with its builds, for the tests of every step.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;

use super::{Install, InstallOutcome, InstallSettings, ProbePatience};
use crate::explain::Failure;
use crate::local::archive;
use crate::local::host::{Host, Patience, Service, who_listens};
use crate::local::process::Children;
use crate::local::process::kill_group;
use crate::name::Digest;
use crate::name::{EnvironmentName, Key, PackageName};
use crate::plan::pull::Tip;
use crate::release::app::{AppManifest, Archive, Encoding, Scripts};
use crate::release::app::{Build, Git, Runtime};
use crate::release::host::{HostState, Installed, MARK_SCHEMA, Mark, Phase};
use crate::release::layout;
use crate::remote::store::Store;
use crate::remote::store::{Body, Created, Headers, Listed, ObjectInfo, StoreError};
use crate::version::Version;

/// A store that holds blobs and answers `fetch` alone.
#[derive(Default)]
pub(super) struct Shelf(pub(super) BTreeMap<String, Vec<u8>>);

#[async_trait]
impl Store for Shelf {
    async fn get(&self, _: &Key, _: u64) -> Result<Option<Vec<u8>>, StoreError> {
        unreachable!("an install only fetches")
    }
    async fn fetch(&self, key: &Key, to: &Path, _: u64) -> Result<Option<Digest>, StoreError> {
        Ok(self.0.get(key.as_str()).map(|bytes| {
            std::fs::write(to, bytes).expect("written");
            Digest::of(bytes)
        }))
    }
    async fn head(&self, _: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        unreachable!("an install only fetches")
    }
    async fn create(&self, _: &Key, _: &Body, _: &Headers) -> Result<Created, StoreError> {
        unreachable!("an install only fetches")
    }
    async fn replace(&self, _: &Key, _: &Body, _: &Headers) -> Result<(), StoreError> {
        unreachable!("an install only fetches")
    }
    async fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Key>, StoreError> {
        unreachable!("an install only fetches")
    }
    async fn inventory(&self, _: &str) -> Result<Vec<Listed>, StoreError> {
        unreachable!("an install only fetches")
    }
    async fn delete(&self, _: &Key) -> Result<(), StoreError> {
        unreachable!("an install only fetches")
    }
    fn describe(&self) -> String {
        "a shelf".to_owned()
    }
}

/// Answers with its release and environment.
pub(super) const GOOD: &str = "require('http').createServer((q, s) => s.end(process.env.RELEASE_ID + ' ' + process.env.SERVER_ENV + ' ' + process.pid)).listen(+process.env.PORT, '127.0.0.1');";
pub(super) const CRASHES: &str = "console.error('no such database'); process.exit(3);";
pub(super) const UNWELL: &str = "require('http').createServer((q, s) => { s.statusCode = 503; s.end(); }).listen(+process.env.PORT, '127.0.0.1');";
pub(super) const STUBBORN: &str =
    "process.on('SIGTERM', () => {}); process.on('SIGHUP', () => {});";
/// Takes every connection and never answers.
pub(super) const HANGS: &str =
    "require('net').createServer(() => {}).listen(+process.env.PORT, '127.0.0.1');";
/// Starts itself again in a session of its own and ends, as a daemon does.
pub(super) const DAEMON: &str = "if (!process.env.INNER) { require('child_process').spawn(process.execPath, [__filename], { detached: true, stdio: 'ignore', env: { ...process.env, INNER: '1' } }).unref(); return; }";

/// A host with one app, and a store with its builds.
pub(super) struct Site {
    pub(super) root: tempfile::TempDir,
    pub(super) host: Host,
    pub(super) shelf: Shelf,
    pub(super) port: u16,
    pub(super) settings: InstallSettings,
    seq: u64,
}

impl Site {
    pub(super) fn new() -> Site {
        let root = tempfile::tempdir().expect("a directory");
        let app = PackageName::parse("@org/web").expect("a name");
        let host =
            Host::open(&root.path().join("app"), &root.path().join("logs"), &app).expect("opened");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let short = Duration::from_millis(20);
        let settings = InstallSettings {
            variables: [
                ("PATH", env!("PATH").to_owned()),
                ("HOME", root.path().to_string_lossy().into_owned()),
                ("PORT", port.to_string()),
                ("npm_config_update_notifier", "false".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            keep: 5,
            at: "2026-01-31T00:00:00Z".to_owned(),
            children: Children::default(),
            stop: Patience {
                stop_script: Duration::from_mins(1),
                settle: Duration::from_millis(200),
                terminate: Duration::from_millis(200),
                kill: Duration::from_secs(20),
                poll: Duration::from_millis(10),
            },
            probe: ProbePatience {
                successes: 2,
                attempts: 500,
                interval: short,
                timeout: Duration::from_secs(10),
                looks: 3,
            },
            retry: false,
            deltas: true,
        };
        Site {
            root,
            host,
            shelf: Shelf::default(),
            port,
            settings,
            seq: 0,
        }
    }

    /// Puts a build with this server onto the shelf, and a tip that names it.
    pub(super) fn release(&mut self, version: &str, server: &str) -> (AppManifest, Tip) {
        self.seq += 1;
        let manifest = r#"{"name":"@org/web","scripts":{"start":"node service/server.js"}}"#;
        let entries = [("package.json", manifest), ("service/server.js", server)]
            .map(|(path, text)| archive::Entry {
                path: path.to_owned(),
                source: archive::EntrySource::Bytes(text.as_bytes().to_vec()),
                executable: false,
            })
            .to_vec();
        let to = self
            .root
            .path()
            .join(format!("{version}-{}.tar.zst", self.seq));
        let packed = archive::pack(entries, 0, &[(Encoding::Zstd, to)]).expect("packed");
        let bytes = std::fs::read(&packed.archives[0].path).expect("read");
        let digest = packed.archives[0].digest.clone();
        let archive = Archive {
            digest: digest.to_string(),
            size: packed.archives[0].size,
            encoding: Encoding::Zstd.as_str().to_owned(),
            tar_digest: packed.tar_digest.to_string(),
            tar_size: packed.tar_size,
            entries: packed.entries,
        };
        self.shelf
            .0
            .insert(layout::blob(&digest).to_string(), bytes);
        let tip = Tip {
            app: self.host.app().clone(),
            environment: EnvironmentName::parse("prod").expect("a name"),
            version: Version::parse(version).expect("a version"),
            seq: self.seq,
            since: self.seq,
            archive: digest,
            named_by: format!("entry {}", self.seq),
        };
        (self.manifest(version, archive), tip)
    }

    fn manifest(&self, version: &str, archive: Archive) -> AppManifest {
        AppManifest {
            schema: crate::release::app::SCHEMA.to_owned(),
            app: "@org/web".to_owned(),
            version: version.to_owned(),
            variant: "any".to_owned(),
            release: "20260131-0123456789ab".to_owned(),
            git: Git {
                repository: "org/repository".to_owned(),
                commit: "0".repeat(40),
                tag: format!("v{version}"),
                committed_at: "2026-01-31T00:00:00Z".to_owned(),
            },
            build: Build {
                run: None,
                attempt: None,
                command: None,
                lockfile_digest: None,
            },
            runtime: Runtime::default(),
            archive: Some(archive),
            alternatives: Vec::new(),
            files: None,
            static_files: None,
            scripts: Scripts {
                start: "node service/server.js".to_owned(),
                stop: "npm run stop --if-present".to_owned(),
                environment_variable: "SERVER_ENV".to_owned(),
                health: Some(format!("http://127.0.0.1:{}/health", self.port)),
            },
        }
    }

    pub(super) async fn install(&self, of: &(AppManifest, Tip)) -> Result<InstallOutcome, Failure> {
        // A caller may run it on any thread.
        fn movable<T: Send>(work: T) -> T {
            work
        }
        let mut install = movable(Install::begin(&self.host, &self.settings)).await?;
        movable(install.run(&self.shelf, &of.0, &of.1)).await
    }

    /// Finishes or undoes an interrupted install; why it went back.
    pub(super) async fn recover(&self) -> Result<Option<String>, Failure> {
        let install = Install::begin(&self.host, &self.settings).await?;
        Ok(install.taken_back)
    }

    pub(super) async fn installed(&mut self, version: &str, server: &str) -> (AppManifest, Tip) {
        let release = self.release(version, server);
        assert_eq!(
            self.install(&release).await,
            Ok(InstallOutcome::Installed),
            "{}",
            self.log()
        );
        release
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.host.log_file()).unwrap_or_default()
    }

    /// What the service answers: release and environment.
    pub(super) fn answer(&self) -> Option<String> {
        let (said, _) = self.full_answer()?;
        Some(said)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.full_answer().map(|(_, pid)| pid)
    }

    fn full_answer(&self) -> Option<(String, u32)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (_, body) = text.split_once("\r\n\r\n")?;
        let (said, pid) = body.rsplit_once(' ')?;
        Some((said.to_owned(), pid.parse().ok()?))
    }

    pub(super) fn state(&self) -> HostState {
        self.host.state().expect("a state")
    }

    pub(super) fn current(&self) -> Option<String> {
        self.host.current().expect("readable")
    }

    /// Leaves the state that a crash in `phase` leaves, while `coming` is being installed.
    pub(super) fn crashed_in(&self, phase: Phase, coming: &(AppManifest, Tip)) {
        let mut state = self.state();
        state.state = phase;
        state.coming = Some(Installed {
            version: coming.1.version.to_string(),
            directory: coming.1.version.to_string(),
            digest: Some(coming.1.archive.to_string()),
            seq: coming.1.seq,
            since: coming.1.since,
        });
        self.host.remember(&state).expect("remembered");
    }

    /// Lays a release out below `releases/` as an install does before it stops anything.
    pub(super) fn lay_out(&self, of: &(AppManifest, Tip), server: &str) {
        let name = of.1.version.to_string();
        let directory = self.host.release(&name).join("service");
        std::fs::create_dir_all(&directory).expect("made");
        std::fs::write(directory.join("server.js"), server).expect("written");
        let mark = Mark {
            schema: MARK_SCHEMA.to_owned(),
            app: of.0.app.clone(),
            version: name.clone(),
            digest: Some(of.1.archive.to_string()),
            seq: of.1.seq,
            scripts: of.0.scripts.clone(),
        };
        self.host.write_mark(&name, &mark).expect("marked");
    }

    fn service(&self, of: &(AppManifest, Tip)) -> Service {
        Service {
            directory: self.host.release(&of.0.version),
            version: of.0.version.clone(),
            environment: "prod".to_owned(),
            scripts: of.0.scripts.clone(),
            variables: self.settings.variables.clone(),
        }
    }

    /// Starts a service as an install does, and forgets it.
    pub(super) fn start(&self, of: &(AppManifest, Tip)) {
        let mut state = self.state();
        let started = self.host.start(&self.service(of), |group| {
            state.group = Some(group.clone());
            self.host.remember(&state)
        });
        drop(started.expect("started"));
    }

    pub(super) fn stop_everything(&self) {
        if let Some(group) = self.host.state().ok().and_then(|state| state.group)
            && self.host.is_alive(&group)
        {
            kill_group(group.id, Signal::KILL);
        }
        for listener in who_listens(self.port).unwrap_or_default() {
            if let Some(process) = listener.process
                && process.is_inside(self.root.path())
            {
                kill_process(process.id);
            }
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop_everything();
    }
}

pub(super) fn kill_process(id: u32) {
    let id = i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(id.expect("a process"), Signal::KILL);
}

pub(super) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    (0..1000).any(|_| {
        let holds = condition();
        if !holds {
            std::thread::sleep(Duration::from_millis(10));
        }
        holds
    })
}
