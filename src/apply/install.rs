//! Installing a release on a host: fetch, verify, unpack, stop, switch, start, ask for its health, and the way back.
//!
//! Whoever interrupts it where, the next call finishes or undoes what was begun, and the old service runs again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::local::archive::{Expect, unpack};
use crate::local::host::{self, Host, Life, Patience, Service, Started, who_listens};
use crate::local::process::{Children, Variables};
use crate::name::Digest;
use crate::plan::pull::{self, Pull, Recovery, Tip};
use crate::release::app::{AppManifest, Archive, Scripts};
use crate::release::host::{
    BEFORE, FailedEntry, HostReport, HostState, Installed, MARK_SCHEMA, Mark, Phase, REPORT_SCHEMA,
};
use crate::release::layout;
use crate::remote::store::Store;
use crate::settings::address;
use crate::settings::form::is_variable_name;

/// The header by which a service may say which release answers: its `RELEASE_ID`.
pub const RELEASE_HEADER: &str = "x-release-id";

/// The most failed entries that a host remembers.
const MOST_FAILED: usize = 100;

/// How an install is done on this host.
#[derive(Debug, Clone)]
pub struct InstallSettings {
    /// The service's environment, complete but for what the manifest names and `RELEASE_ID`.
    pub variables: Variables,
    /// How many releases stay on the disk, beside the current and the previous one.
    pub keep: usize,
    /// Now, RFC 3339: for the record alone.
    pub at: String,
    /// The commands that run, for a signal handler.
    pub children: Children,
    /// How long a service may take to stop.
    pub stop: Patience,
    /// How long it may take to become healthy.
    pub probe: ProbePatience,
    /// Try an entry again that failed here before.
    pub retry: bool,
}

/// How often and how long a service is asked for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePatience {
    /// How many good answers in a row, from the same processes, make it healthy.
    pub successes: u32,
    /// How often it is asked at most.
    pub attempts: u32,
    /// The pause between two questions.
    pub interval: Duration,
    /// The most one answer may take.
    pub timeout: Duration,
    /// How many looks a service without a health address must live through.
    pub looks: u32,
}

impl Default for ProbePatience {
    fn default() -> ProbePatience {
        ProbePatience {
            successes: 3,
            attempts: 60,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            looks: 10,
        }
    }
}

impl ProbePatience {
    fn once(self) -> ProbePatience {
        ProbePatience {
            successes: 1,
            attempts: 1,
            looks: 1,
            ..self
        }
    }
}

/// How an install ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallOutcome {
    /// The release runs and is healthy.
    Installed,
    /// It ran already; nothing was touched.
    UpToDate,
    /// It was installed, but had ended; it runs again.
    StartedAgain,
    /// This entry failed here before; nothing was touched.
    AlreadyFailedHere,
    /// It did not become healthy; the old one runs again, if there was one.
    WentBack {
        /// Why it did not.
        why: String,
    },
}

/// Makes this host run what `tip` names. `manifest` is the verified app manifest of that build.
///
/// An interrupted install is finished or undone first. When this fails before the old service was stopped, nothing has changed.
///
/// # Errors
/// `host::busy`, exit 75; `pull::*` for a tip that cannot be this host's; `install::manifest`, `install::archive`, exit 6, when
/// the store's bytes are not what the tip names; `host::runtime`, `host::disk` before anything is touched; `host::port_taken`,
/// exit 5, with the old service running again; `install::old_one_down`, exit 1, when not even the old service came back.
pub async fn install(
    store: &dyn Store,
    host: &Host,
    manifest: &AppManifest,
    tip: &Tip,
    settings: &InstallSettings,
) -> Result<InstallOutcome, Failure> {
    let _lock = host.lock()?;
    let mut work = Work {
        host,
        settings,
        state: host.state()?,
    };
    if let Some(why) = work.recover().await?
        && work.has_failed(tip.since)
    {
        return Ok(InstallOutcome::WentBack { why });
    }
    if settings.retry {
        work.state.failed.retain(|failed| failed.since != tip.since);
    }
    match pull::decide(tip, &work.state)? {
        Pull::UpToDate => work.keep_running(InstallOutcome::UpToDate).await,
        Pull::AlreadyFailedHere => work.keep_running(InstallOutcome::AlreadyFailedHere).await,
        Pull::Remember => {
            work.state.seen = tip.seq;
            if let Some(installed) = &mut work.state.installed {
                installed.seq = tip.seq;
                installed.since = tip.since;
            }
            work.remember().await?;
            work.keep_running(InstallOutcome::UpToDate).await
        }
        // Recovery leaves nothing to recover.
        Pull::Install | Pull::Recover(_) => {
            let archive = checked(manifest, tip)?;
            work.install(store, manifest, archive, tip).await
        }
    }
}

/// Finishes or undoes an interrupted install without a tip, as after a restart of the machine while the store is away. Returns
/// why it went back, if it did.
pub async fn recover(host: &Host, settings: &InstallSettings) -> Result<Option<String>, Failure> {
    let _lock = host.lock()?;
    let mut work = Work {
        host,
        settings,
        state: host.state()?,
    };
    work.recover().await
}

/// What the host tells the store about `outcome`; the key is [`layout::host`].
#[must_use]
pub fn report(
    host_name: &str,
    tip: &Tip,
    state: &HostState,
    outcome: &Result<InstallOutcome, Failure>,
    at: &str,
) -> HostReport {
    let (word, error) = match outcome {
        Ok(InstallOutcome::Installed | InstallOutcome::UpToDate | InstallOutcome::StartedAgain) => {
            ("installed", None)
        }
        Ok(InstallOutcome::AlreadyFailedHere) => (
            "failed-before",
            state
                .failed
                .iter()
                .rfind(|failed| failed.since == tip.since)
                .map(|failed| failed.why.clone()),
        ),
        Ok(InstallOutcome::WentBack { why }) => ("went-back", Some(why.clone())),
        Err(failure) => ("failed", Some(in_one_line(failure))),
    };
    HostReport {
        schema: REPORT_SCHEMA.to_owned(),
        host: host_name.to_owned(),
        app: tip.app.to_string(),
        environment: tip.environment.to_string(),
        seq: tip.seq,
        version: state
            .installed
            .as_ref()
            .map(|installed| installed.version.clone()),
        state: word.to_owned(),
        error,
        at: at.to_owned(),
    }
}

fn in_one_line(failure: &Failure) -> String {
    std::iter::once(failure.what())
        .chain(failure.causes().iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(": ")
        .replace('\n', " ")
}

/// The archive that a tip names, when the manifest is that build's and can be run.
fn checked<'a>(manifest: &'a AppManifest, tip: &Tip) -> Result<&'a Archive, Failure> {
    let refuse = |why: String| {
        Err(Failure::new(
            Exit::Integrity,
            "install::manifest",
            format!(
                "the manifest of {} {} is not what entry {} of {} names",
                tip.app, tip.version, tip.seq, tip.environment
            ),
        )
        .because(why))
    };
    if manifest.app != tip.app.as_str() || manifest.version != tip.version.to_string() {
        return refuse(format!(
            "it is of {} {}",
            quoted(&manifest.app),
            quoted(&manifest.version)
        ));
    }
    if manifest.variant != "any" && manifest.variant != tip.environment.as_str() {
        return refuse(format!("it was made for {}", quoted(&manifest.variant)));
    }
    let archive = match &manifest.archive {
        Some(archive) if archive.digest == tip.archive.as_str() => archive,
        _ => return refuse(format!("it has no archive {}", tip.archive)),
    };
    let variable = &manifest.scripts.environment_variable;
    if !is_variable_name(variable) {
        return refuse(format!(
            "{} is not the name of an environment variable",
            quoted(variable)
        ));
    }
    health(&manifest.scripts)?;
    Ok(archive)
}

/// The health address of a service: plain HTTP on this machine.
fn health(scripts: &Scripts) -> Result<Option<Url>, Failure> {
    let Some(text) = &scripts.health else {
        return Ok(None);
    };
    address::health(text).map(Some).map_err(|why| {
        Failure::new(
            Exit::Usage,
            "install::health_address",
            format!("{} is not a health address", quoted(text)),
        )
        .because(why)
        .hint("write it like http://127.0.0.1:8080/health")
    })
}

fn port(scripts: &Scripts) -> Option<u16> {
    health(scripts).ok().flatten()?.port_or_known_default()
}

/// One install under the lock. `state` is what the disk holds, or what it shall hold next.
struct Work<'a> {
    host: &'a Host,
    settings: &'a InstallSettings,
    state: HostState,
}

impl Work<'_> {
    async fn remember(&self) -> Result<(), Failure> {
        let (host, state) = (self.host.clone(), self.state.clone());
        blocking(move || host.remember(&state)).await
    }

    async fn enter(&mut self, phase: Phase) -> Result<(), Failure> {
        tracing::info!(app = %self.host.app(), phase = phase.as_str(), "host");
        self.state.state = phase;
        self.remember().await
    }

    fn has_failed(&self, since: u64) -> bool {
        self.state.failed.iter().any(|failed| failed.since == since)
    }

    async fn install(
        &mut self,
        store: &dyn Store,
        manifest: &AppManifest,
        archive: &Archive,
        tip: &Tip,
    ) -> Result<InstallOutcome, Failure> {
        self.preflight(manifest, archive).await?;
        self.state.environment = Some(tip.environment.to_string());
        let mut ready = self.prepare(store, manifest, archive, tip).await;
        if ready.is_ok() {
            ready = self.announce_stop(manifest).await;
        }
        if let Err(failure) = ready {
            return Err(match self.discard().await {
                Ok(()) => failure,
                Err(trouble) => failure.because(format!("and then {}", in_one_line(&trouble))),
            });
        }
        let replaced = self.replace(manifest).await;
        let failure = match replaced {
            Ok(()) => {
                self.commit(tip.seq).await?;
                return Ok(InstallOutcome::Installed);
            }
            Err(failure) => failure,
        };
        let why = in_one_line(&failure);
        self.go_back(Some(&why)).await?;
        if failure.code() == "host::port_taken" {
            return Err(failure);
        }
        Ok(InstallOutcome::WentBack { why })
    }

    /// All that can be known before the running service is touched.
    async fn preflight(&self, manifest: &AppManifest, archive: &Archive) -> Result<(), Failure> {
        let host = self.host.clone();
        let runtime = manifest.runtime.clone();
        let (variables, children) = (
            self.settings.variables.clone(),
            self.settings.children.clone(),
        );
        let (bytes, files) = (
            archive.size.saturating_add(archive.tar_size),
            archive.entries,
        );
        let new_port = port(&manifest.scripts);
        let old_port = self
            .state
            .installed
            .as_ref()
            .and_then(|old| port(&self.scripts_of(&old.directory).ok()?));
        blocking(move || {
            host::check_runtime(&runtime, host.directory(), &variables, &children)?;
            host.check_disk(bytes, files)?;
            // Where the old service has the port, its own stop script may be the only one that can free it.
            match new_port {
                Some(port) if old_port != new_port && !host.has_something_before()? => {
                    host.refuse_strangers(port)
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// Brings the release to its place below `releases/`, complete and verified, and makes it the one that comes.
    async fn prepare(
        &mut self,
        store: &dyn Store,
        manifest: &AppManifest,
        archive: &Archive,
        tip: &Tip,
    ) -> Result<(), Failure> {
        let directory = self.directory_for(tip)?;
        self.state.coming = Some(Installed {
            version: tip.version.to_string(),
            directory: directory.clone(),
            digest: Some(tip.archive.to_string()),
            seq: tip.seq,
            since: tip.since,
        });
        self.enter(Phase::Fetching).await?;
        let there = self.host.mark(&directory)?;
        let mark = Mark {
            schema: MARK_SCHEMA.to_owned(),
            app: manifest.app.clone(),
            version: manifest.version.clone(),
            digest: Some(archive.digest.clone()),
            seq: there.as_ref().map_or(0, |mark| mark.seq),
            scripts: manifest.scripts.clone(),
        };
        if there.is_none() {
            self.unpack(store, archive, &tip.archive, &directory)
                .await?;
        }
        let host = self.host.clone();
        blocking(move || host.write_mark(&directory, &mark)).await?;
        self.enter(Phase::Extracted).await
    }

    /// The name of a release's directory: its version, unless other bytes of that version (another environment's build) are there.
    fn directory_for(&self, tip: &Tip) -> Result<String, Failure> {
        let version = tip.version.to_string();
        let taken = self
            .host
            .mark(&version)?
            .is_some_and(|mark| mark.digest.as_deref() != Some(tip.archive.as_str()));
        Ok(if taken {
            format!("{version}+{}", &tip.archive.hex()[..12])
        } else {
            version
        })
    }

    async fn unpack(
        &mut self,
        store: &dyn Store,
        archive: &Archive,
        digest: &Digest,
        directory: &str,
    ) -> Result<(), Failure> {
        let host = self.host.clone();
        blocking(move || host.clear_temporary()).await?;
        let file = self.host.temporary("archive");
        fetch(store, archive, digest, &file).await?;
        self.enter(Phase::Verified).await?;
        let (host, archive, directory) = (self.host.clone(), archive.clone(), directory.to_owned());
        blocking(move || {
            let tree = host.temporary("tree");
            extract(&file, &tree, &archive)?;
            host.place_release(&tree, &directory)?;
            host.clear_temporary()
        })
        .await
    }

    /// The last step that touches nothing: it is written down that the old service, or what ran here before us, is to stop.
    async fn announce_stop(&mut self, manifest: &AppManifest) -> Result<(), Failure> {
        if self.state.installed.is_none() && self.host.has_something_before()? {
            self.state.installed = Some(Installed {
                version: BEFORE.to_owned(),
                directory: BEFORE.to_owned(),
                digest: None,
                seq: 0,
                since: 0,
            });
            let mark = Mark {
                schema: MARK_SCHEMA.to_owned(),
                app: manifest.app.clone(),
                version: BEFORE.to_owned(),
                digest: None,
                seq: 0,
                scripts: Scripts {
                    start: "npm run start".to_owned(),
                    stop: "npm run stop --if-present".to_owned(),
                    environment_variable: manifest.scripts.environment_variable.clone(),
                    health: None,
                },
            };
            self.host.write_mark(BEFORE, &mark)?;
        }
        self.enter(Phase::Stopping).await
    }

    /// Stops the old service, switches, starts the new one and waits until it is healthy. From here on a failure means the way back.
    async fn replace(&mut self, manifest: &AppManifest) -> Result<(), Failure> {
        let new_port = port(&manifest.scripts);
        if let Some(old) = self.state.installed.clone() {
            self.stop(&old, new_port).await?;
        }
        let host = self.host.clone();
        let adopts = self.adopts()?;
        blocking(move || {
            if let Some(port) = new_port {
                host.refuse_strangers(port)?;
            }
            if adopts { host.adopt() } else { Ok(()) }
        })
        .await?;
        let Some(coming) = self.state.coming.clone() else {
            return Ok(());
        };
        self.state.group = None;
        self.enter(Phase::Switched).await?;
        self.switch(&coming).await?;
        self.enter(Phase::Starting).await?;
        let mut started = self.start(&coming).await?;
        self.enter(Phase::Probing).await?;
        self.probe(&coming, Some(&mut started), self.settings.probe)
            .await
    }

    /// Whether what was here before us has yet to become a release: `current` names something only afterwards.
    fn adopts(&self) -> Result<bool, Failure> {
        let is_before = |installed: &Installed| installed.directory == BEFORE;
        Ok(self.state.installed.as_ref().is_some_and(is_before) && self.host.current()?.is_none())
    }

    async fn commit(&mut self, seq: u64) -> Result<(), Failure> {
        let Some(coming) = self.state.coming.take() else {
            return Ok(());
        };
        if let Some(mut mark) = self.host.mark(&coming.directory)? {
            mark.seq = seq;
            self.host.write_mark(&coming.directory, &mark)?;
        }
        let old = self.state.installed.replace(coming.clone());
        if let Some(old) = old.filter(|old| old.directory != coming.directory) {
            self.state.previous = Some(old);
        }
        self.state.seen = self.state.seen.max(seq);
        self.state.foreground = self.group_lives();
        self.enter(Phase::Committed).await?;
        self.prune(&coming.directory).await;
        Ok(())
    }

    /// The release runs: what cannot be cleaned up is told and changes nothing.
    async fn prune(&self, installed: &str) {
        let host = self.host.clone();
        let keep = self.settings.keep;
        let mut kept = vec![installed.to_owned()];
        kept.extend(
            self.state
                .previous
                .as_ref()
                .map(|previous| previous.directory.clone()),
        );
        let pruned = blocking(move || {
            host.clear_temporary()?;
            let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
            host.prune(keep, &kept)
        })
        .await;
        match pruned {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => tracing::info!(removed = removed.join(" "), "old releases removed"),
            Err(failure) => tracing::warn!("{}", in_one_line(&failure)),
        }
    }

    /// Throws away what was fetched; the running service was not touched.
    async fn discard(&mut self) -> Result<(), Failure> {
        self.state.coming = None;
        self.rest().await?;
        let host = self.host.clone();
        blocking(move || host.clear_temporary()).await
    }

    async fn rest(&mut self) -> Result<(), Failure> {
        let phase = if self.state.installed.is_some() {
            Phase::Committed
        } else {
            Phase::Idle
        };
        self.enter(phase).await
    }

    /// Finishes or undoes an interrupted install; why it went back, if it did.
    async fn recover(&mut self) -> Result<Option<String>, Failure> {
        match pull::after_restart(self.state.state) {
            Recovery::Nothing => Ok(None),
            Recovery::Discard => self.discard().await.map(|()| None),
            Recovery::StartOldAgain => self.go_back(None).await.map(|()| None),
            Recovery::ProbeOnceElseBack => self.probe_once_else_back().await,
            Recovery::GoBackAgain => {
                let why = self
                    .state
                    .failed
                    .last()
                    .map_or_else(|| "interrupted".to_owned(), |failed| failed.why.clone());
                self.go_back(None).await.map(|()| Some(why))
            }
        }
    }

    async fn probe_once_else_back(&mut self) -> Result<Option<String>, Failure> {
        let Some(coming) = self.state.coming.clone() else {
            return self.go_back(None).await.map(|()| None);
        };
        let is_current = self.host.current()?.as_deref() == Some(coming.directory.as_str());
        let healthy = if is_current {
            self.probe(&coming, None, self.settings.probe.once()).await
        } else {
            Err(interrupted())
        };
        match healthy {
            Ok(()) => self.commit(coming.seq).await.map(|()| None),
            Err(failure) => {
                let why = format!(
                    "the install was interrupted, and then {}",
                    in_one_line(&failure)
                );
                self.go_back(Some(&why)).await.map(|()| Some(why))
            }
        }
    }

    /// Stops what came, makes the old release current and starts it. With `why`, the entry has failed and is not tried again.
    /// Interrupted, it is called again from its beginning. One failing step keeps no later one from being tried: what counts
    /// is that the old service runs.
    async fn go_back(&mut self, why: Option<&str>) -> Result<(), Failure> {
        let stopped_only = self.state.state == Phase::Stopping;
        let coming = self.state.coming.clone();
        if let (Some(why), Some(coming)) = (why, &coming) {
            self.note_failed(coming, why);
        }
        let mut troubles = Vec::new();
        if !stopped_only {
            troubles.extend(self.enter(Phase::GoingBack).await.err());
        }
        let old = self.state.installed.clone();
        let stands = if stopped_only { &old } else { &coming };
        if let Some(stands) = stands {
            troubles.extend(self.stop(stands, self.coming_port()).await.err());
        }
        self.state.group = None;
        let back = match &old {
            Some(old) => self.bring_back(old).await,
            None => self.host.clear_current(),
        };
        if let Some(coming) = self.state.coming.take() {
            self.state.seen = self.state.seen.max(coming.seq);
        }
        let rested = self.rest().await;
        let Err(failure) = back else {
            for trouble in troubles {
                tracing::warn!("{}", in_one_line(&trouble));
            }
            return rested;
        };
        troubles.insert(0, failure);
        troubles.extend(rested.err());
        let told: Vec<String> = troubles.iter().map(in_one_line).collect();
        Err(Failure::new(
            Exit::CommandFailed,
            "install::old_one_down",
            format!(
                "{} could not be brought back to the release before",
                self.host.app()
            ),
        )
        .because(told.join("; "))
        .because(format!(
            "it went back because {}",
            why.unwrap_or("the install was interrupted")
        ))
        .hint("a person must look at the service now; its log is in the log directory"))
    }

    fn group_lives(&self) -> bool {
        let group = self.state.group.as_ref();
        group.is_some_and(|group| self.host.is_alive(group))
    }

    /// Starts what is installed again if it has ended. A service that went into the background is left to whoever supervises it there.
    async fn keep_running(&mut self, outcome: InstallOutcome) -> Result<InstallOutcome, Failure> {
        let Some(installed) = self.state.installed.clone() else {
            return Ok(outcome);
        };
        if !self.state.foreground || self.group_lives() {
            return Ok(outcome);
        }
        tracing::warn!(
            "{} {} had ended: starting it again",
            self.host.app(),
            installed.version
        );
        let mut started = self.start(&installed).await?;
        self.remember().await?;
        self.probe(&installed, Some(&mut started), self.settings.probe)
            .await?;
        Ok(match outcome {
            InstallOutcome::UpToDate => InstallOutcome::StartedAgain,
            other => other,
        })
    }

    fn coming_port(&self) -> Option<u16> {
        let coming = self.state.coming.as_ref()?;
        port(&self.scripts_of(&coming.directory).ok()?)
    }

    async fn bring_back(&mut self, old: &Installed) -> Result<(), Failure> {
        if self.adopts()? {
            let host = self.host.clone();
            blocking(move || host.adopt()).await?;
        }
        self.switch(old).await?;
        let mut started = self.start(old).await?;
        self.probe(old, Some(&mut started), self.settings.probe)
            .await
    }

    fn note_failed(&mut self, coming: &Installed, why: &str) {
        if self.has_failed(coming.since) {
            return;
        }
        if self.state.failed.len() >= MOST_FAILED {
            self.state.failed.remove(0);
        }
        self.state.failed.push(FailedEntry {
            since: coming.since,
            version: coming.version.clone(),
            why: why.to_owned(),
            at: self.settings.at.clone(),
        });
    }

    fn scripts_of(&self, directory: &str) -> Result<Scripts, Failure> {
        match self.host.mark(directory)? {
            Some(mark) => Ok(mark.scripts),
            None => Err(Failure::new(
                Exit::Integrity,
                "install::release_gone",
                format!(
                    "the release {} of {} is not on the disk any more",
                    quoted(directory),
                    self.host.app()
                ),
            )
            .hint("someone removed it or its mark below .pkgs/releases; promote again to install it anew")),
        }
    }

    fn service(&self, release: &Installed) -> Result<Service, Failure> {
        let scripts = self.scripts_of(&release.directory)?;
        Ok(self.service_with(release, scripts))
    }

    fn service_with(&self, release: &Installed, scripts: Scripts) -> Service {
        Service {
            directory: self.host.works_in(&release.directory),
            version: release.version.clone(),
            environment: self.state.environment.clone().unwrap_or_default(),
            scripts,
            variables: self.settings.variables.clone(),
        }
    }

    /// Stops a release's service; `other_port` is looked at where its own scripts name none.
    async fn stop(&self, release: &Installed, other_port: Option<u16>) -> Result<(), Failure> {
        // A release whose tree someone removed may run still; there is only no script of its own to ask.
        let service = self.service(release).unwrap_or_else(|failure| {
            tracing::warn!("{}", in_one_line(&failure));
            self.service_with(
                release,
                Scripts {
                    start: String::new(),
                    stop: String::new(),
                    environment_variable: "SERVER_ENV".to_owned(),
                    health: None,
                },
            )
        });
        let port = port(&service.scripts).or(other_port);
        let (host, group) = (self.host.clone(), self.state.group.clone());
        let (children, patience) = (self.settings.children.clone(), self.settings.stop);
        let notes =
            blocking(move || host.stop(&service, group.as_ref(), port, &children, &patience))
                .await?;
        for note in notes {
            tracing::warn!("{note}");
        }
        Ok(())
    }

    async fn switch(&self, release: &Installed) -> Result<(), Failure> {
        let (host, directory) = (self.host.clone(), release.directory.clone());
        blocking(move || host.switch_current(&directory)).await
    }

    /// Starts a release; its process group is remembered before its script begins.
    async fn start(&mut self, release: &Installed) -> Result<Started, Failure> {
        let service = self.service(release)?;
        let (host, mut state) = (self.host.clone(), self.state.clone());
        let started = blocking(move || {
            host.start(&service, |group| {
                state.group = Some(group.clone());
                host.remember(&state)
            })
        })
        .await?;
        self.state.group = Some(started.group().clone());
        Ok(started)
    }

    async fn probe(
        &self,
        release: &Installed,
        mut started: Option<&mut Started>,
        patience: ProbePatience,
    ) -> Result<(), Failure> {
        let service = self.service(release)?;
        let check = Check {
            health: health(&service.scripts)?,
            app_directory: self.host.directory().to_owned(),
            release_directory: service.directory,
            version: release.version.clone(),
        };
        let life = || match &mut started {
            Some(started) => started.look(),
            None if self.group_lives() => Life::Running,
            // What a service does that has gone into the background, its health alone can tell.
            None if check.health.is_some() => Life::LeftBackground,
            None => Life::Ended("none of its processes running".to_owned()),
        };
        let healthy = probe(&check, life, patience).await;
        healthy.map_err(|why| {
            let failure = Failure::new(
                Exit::CommandFailed,
                "install::unhealthy",
                format!(
                    "{} {} did not become healthy",
                    self.host.app(),
                    release.version
                ),
            )
            .because(why);
            match started.map(|started| started.last_words()) {
                Some(words) if !words.is_empty() => {
                    failure.because(format!("it wrote last\n{words}"))
                }
                _ => failure,
            }
        })
    }
}

fn interrupted() -> Failure {
    Failure::new(
        Exit::CommandFailed,
        "install::interrupted",
        "the release was not current yet",
    )
}

/// What is asked of a service, and how its answer is known to be its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The address that answers when it is healthy; without one its process must live.
    pub health: Option<Url>,
    /// The app's directory, physical: nobody else in there may listen.
    pub app_directory: PathBuf,
    /// The release's directory, physical: who listens works in there.
    pub release_directory: PathBuf,
    /// The version that [`RELEASE_HEADER`] may name instead.
    pub version: String,
}

/// Asks until the service has answered well several times in a row, or why it is given up. `life` tells what became of its start
/// command; one that ended badly is not waited for.
pub async fn probe(
    check: &Check,
    mut life: impl FnMut() -> Life,
    patience: ProbePatience,
) -> Result<(), String> {
    let (wanted, most) = match check.health {
        Some(_) => (patience.successes, patience.attempts),
        None => (patience.looks, patience.looks),
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(patience.timeout)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| error.to_string())?;
    let mut in_a_row = 0;
    let mut by = Vec::new();
    let mut last = "it was never asked".to_owned();
    for attempt in 0..most {
        if attempt > 0 {
            tokio::time::sleep(patience.interval).await;
        }
        if let Life::Ended(how) = life() {
            return Err(format!("its start command ended with {how}"));
        }
        let answer = match &check.health {
            Some(url) => ask(&client, url, check).await,
            None => Ok(Vec::new()),
        };
        match answer {
            // Another process than the one before: it was restarted meanwhile, and is judged anew.
            Ok(answered) if answered != by => {
                by = answered;
                in_a_row = 1;
            }
            Ok(_) => in_a_row += 1,
            Err(why) => {
                in_a_row = 0;
                last = why;
            }
        }
        if in_a_row >= wanted {
            return Ok(());
        }
    }
    Err(format!(
        "asked {most} times, it did not answer well {wanted} times in a row; last: {last}"
    ))
}

/// Asks once: the processes that answered (none where the answer itself says which release it is from), or what was wrong.
async fn ask(client: &reqwest::Client, url: &Url, check: &Check) -> Result<Vec<u32>, String> {
    let answer = client.get(url.clone()).send().await.map_err(|error| {
        if error.is_timeout() {
            format!("{url} did not answer in time")
        } else {
            format!("{url} did not answer")
        }
    })?;
    if !answer.status().is_success() {
        return Err(format!("{url} answered {}", answer.status().as_u16()));
    }
    if let Some(says) = answer.headers().get(RELEASE_HEADER) {
        return if says.as_bytes() == check.version.as_bytes() {
            Ok(Vec::new())
        } else {
            Err(format!(
                "{url} was answered by release {}",
                quoted(&String::from_utf8_lossy(says.as_bytes()))
            ))
        };
    }
    let port = url.port_or_known_default().unwrap_or(80);
    let listeners = blocking(move || who_listens(port))
        .await
        .map_err(|failure| in_one_line(&failure))?;
    let (ours, others): (Vec<_>, Vec<_>) = listeners.iter().partition(|listener| {
        listener
            .process
            .as_ref()
            .is_some_and(|process| process.is_inside(&check.release_directory))
    });
    let other_release = others.iter().find(|listener| {
        listener
            .process
            .as_ref()
            .is_some_and(|process| process.is_inside(&check.app_directory))
    });
    match (other_release.or(others.first()), ours.is_empty()) {
        (Some(other), true) => Err(format!("{url} was answered by {}", other.describe())),
        (None, true) => Err(format!("nobody was seen to listen at {url}")),
        (_, false) => match other_release {
            Some(other) => Err(format!("{} still listens at {url}", other.describe())),
            None => Ok(ours
                .iter()
                .filter_map(|listener| Some(listener.process.as_ref()?.id))
                .collect()),
        },
    }
}

/// Fetches an archive and verifies its length and digest.
async fn fetch(
    store: &dyn Store,
    archive: &Archive,
    digest: &Digest,
    to: &Path,
) -> Result<(), Failure> {
    let key = layout::blob(digest);
    let refuse = |why: String| {
        Failure::new(
            Exit::Integrity,
            "install::archive",
            format!(
                "{key} in {} is not the archive that was released",
                store.describe()
            ),
        )
        .because(why)
        .hint("nothing was changed on this host; roll back, or restore the object")
    };
    let fetched = store
        .fetch(&key, to, archive.size)
        .await
        .map_err(Failure::from)?
        .ok_or_else(|| refuse("it is not there".to_owned()))?;
    if fetched != *digest {
        return Err(refuse(format!("its digest is {fetched}")));
    }
    let length = tokio::fs::metadata(to)
        .await
        .map_err(|error| refuse(error.to_string()))?
        .len();
    if length != archive.size {
        return Err(refuse(format!(
            "it has {length} bytes instead of {}",
            archive.size
        )));
    }
    Ok(())
}

/// Unpacks the verified archive `file` into the new directory `into`. The digest of the tar inside fixes every entry, so the list of files need not be fetched.
fn extract(file: &Path, into: &Path, archive: &Archive) -> Result<(), Failure> {
    const MOST_BYTES: u64 = 16 << 30;
    if archive.encoding != "tar+zstd" {
        return Err(Failure::new(
            Exit::Integrity,
            "install::encoding",
            format!(
                "archives of encoding {} are not unpacked here",
                quoted(&archive.encoding)
            ),
        ));
    }
    let expect = Expect {
        digest: Digest::parse(&archive.digest)?,
        size: archive.size,
        tar_digest: Digest::parse(&archive.tar_digest)?,
        tar_size: archive.tar_size,
        entries: archive.entries,
        files: None,
        most_bytes: MOST_BYTES,
    };
    std::fs::create_dir(into).map_err(|error| {
        Failure::new(
            Exit::Temporary,
            "install::disk",
            format!("{} could not be made", into.display()),
        )
        .because(error)
    })?;
    unpack(file, into, &expect)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(
            Exit::Temporary,
            "install::interrupted",
            "the work on this host was interrupted",
        )
        .because(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use async_trait::async_trait;
    use rustix::process::Signal;

    use super::*;
    use crate::local::archive;
    use crate::local::process::kill_group;
    use crate::name::{EnvironmentName, Key, PackageName};
    use crate::release::app::{Build, Git, Runtime};
    use crate::remote::store::{Body, Created, Headers, ObjectInfo, StoreError};
    use crate::version::Version;

    /// A store that holds blobs and answers `fetch` alone.
    #[derive(Default)]
    struct Shelf(BTreeMap<String, Vec<u8>>);

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
        async fn delete(&self, _: &Key) -> Result<(), StoreError> {
            unreachable!("an install only fetches")
        }
        fn describe(&self) -> String {
            "a shelf".to_owned()
        }
    }

    /// Answers with its release and environment.
    const GOOD: &str = "require('http').createServer((q, s) => s.end(process.env.RELEASE_ID + ' ' + process.env.SERVER_ENV + ' ' + process.pid)).listen(+process.env.PORT, '127.0.0.1');";
    const CRASHES: &str = "console.error('no such database'); process.exit(3);";
    const UNWELL: &str = "require('http').createServer((q, s) => { s.statusCode = 503; s.end(); }).listen(+process.env.PORT, '127.0.0.1');";
    const STUBBORN: &str = "process.on('SIGTERM', () => {}); process.on('SIGHUP', () => {});";
    /// Starts itself again in a session of its own and ends, as a daemon does.
    const DAEMON: &str = "if (!process.env.INNER) { require('child_process').spawn(process.execPath, [__filename], { detached: true, stdio: 'ignore', env: { ...process.env, INNER: '1' } }).unref(); return; }";

    /// A host with one app, and a store with its builds.
    struct Site {
        root: tempfile::TempDir,
        host: Host,
        shelf: Shelf,
        port: u16,
        settings: InstallSettings,
        seq: u64,
    }

    impl Site {
        fn new() -> Site {
            let root = tempfile::tempdir().expect("a directory");
            let app = PackageName::parse("@org/web").expect("a name");
            let host = Host::open(&root.path().join("app"), &root.path().join("logs"), &app)
                .expect("opened");
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
        fn release(&mut self, version: &str, server: &str) -> (AppManifest, Tip) {
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
            let packed = archive::pack(entries, 0, &to).expect("packed");
            let bytes = std::fs::read(&packed.path).expect("read");
            let digest = packed.digest;
            let archive = Archive {
                digest: digest.to_string(),
                size: packed.size,
                encoding: "tar+zstd".to_owned(),
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

        async fn install(&self, of: &(AppManifest, Tip)) -> Result<InstallOutcome, Failure> {
            // A caller may run it on any thread.
            fn movable<T: Send>(work: T) -> T {
                work
            }
            movable(install(
                &self.shelf,
                &self.host,
                &of.0,
                &of.1,
                &self.settings,
            ))
            .await
        }

        async fn installed(&mut self, version: &str, server: &str) -> (AppManifest, Tip) {
            let release = self.release(version, server);
            assert_eq!(
                self.install(&release).await,
                Ok(InstallOutcome::Installed),
                "{}",
                self.log()
            );
            release
        }

        fn log(&self) -> String {
            std::fs::read_to_string(self.host.log_file()).unwrap_or_default()
        }

        /// What the service answers: release and environment.
        fn answer(&self) -> Option<String> {
            let (said, _) = self.full_answer()?;
            Some(said)
        }

        fn pid(&self) -> Option<u32> {
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

        fn state(&self) -> HostState {
            self.host.state().expect("a state")
        }

        fn current(&self) -> Option<String> {
            self.host.current().expect("readable")
        }

        /// Leaves the state that a crash in `phase` leaves, while `coming` is being installed.
        fn crashed_in(&self, phase: Phase, coming: &(AppManifest, Tip)) {
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
        fn lay_out(&self, of: &(AppManifest, Tip), server: &str) {
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
        fn start(&self, of: &(AppManifest, Tip)) {
            let mut state = self.state();
            let started = self.host.start(&self.service(of), |group| {
                state.group = Some(group.clone());
                self.host.remember(&state)
            });
            drop(started.expect("started"));
        }

        fn stop_everything(&self) {
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

    fn kill_process(id: u32) {
        let id = i32::try_from(id)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::kill_process(id.expect("a process"), Signal::KILL);
    }

    fn eventually(mut condition: impl FnMut() -> bool) -> bool {
        (0..1000).any(|_| {
            let holds = condition();
            if !holds {
                std::thread::sleep(Duration::from_millis(10));
            }
            holds
        })
    }

    #[tokio::test]
    async fn a_first_install_then_a_second_then_back_to_the_first() {
        let mut site = Site::new();
        let first = site.installed("1.0.0", GOOD).await;
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        assert_eq!(site.current().as_deref(), Some("1.0.0"));
        assert_eq!(site.state().state, Phase::Committed);
        assert_eq!(site.install(&first).await, Ok(InstallOutcome::UpToDate));

        site.installed("1.1.0", GOOD).await;
        assert_eq!(site.answer().as_deref(), Some("1.1.0 prod"));
        assert_eq!(
            site.state().previous.map(|previous| previous.version),
            Some("1.0.0".to_owned())
        );
        // Rolled back: the directory is there already, so the store is not needed.
        site.shelf.0.clear();
        let again = Tip {
            seq: 3,
            since: 3,
            ..first.1.clone()
        };
        let again = (first.0, again);
        assert_eq!(site.install(&again).await, Ok(InstallOutcome::Installed));
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
    }

    #[tokio::test]
    async fn one_install_at_a_time() {
        let mut site = Site::new();
        let release = site.release("1.0.0", GOOD);
        let lock = site.host.lock().expect("free");
        let failure = site.install(&release).await.expect_err("taken");
        assert_eq!(
            (failure.code(), failure.exit()),
            ("host::busy", Exit::Temporary)
        );
        drop(lock);
        assert_eq!(site.install(&release).await, Ok(InstallOutcome::Installed));
    }

    #[tokio::test]
    async fn a_release_that_does_not_come_up_is_left_for_the_old_one_and_not_tried_again() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let bad = site.release("1.1.0", CRASHES);
        let Ok(InstallOutcome::WentBack { why }) = site.install(&bad).await else {
            panic!("it went on");
        };
        assert!(why.contains("exit code 3"), "{why}");
        assert!(why.contains("no such database"), "{why}");
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        assert_eq!(site.current().as_deref(), Some("1.0.0"));
        let pid = site.pid();
        assert_eq!(
            site.install(&bad).await,
            Ok(InstallOutcome::AlreadyFailedHere)
        );
        assert_eq!(site.pid(), pid);
        let report = report(
            "host-1",
            &bad.1,
            &site.state(),
            &Ok(InstallOutcome::AlreadyFailedHere),
            "now",
        );
        assert_eq!(report.version.as_deref(), Some("1.0.0"));
        assert!(
            report
                .error
                .is_some_and(|error| error.contains("exit code 3"))
        );
        site.installed("1.2.0", GOOD).await;
    }

    #[tokio::test]
    async fn a_release_that_never_answers_well_is_left_for_the_old_one() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let bad = site.release("1.1.0", &format!("{STUBBORN}{UNWELL}"));
        site.settings.probe.attempts = 150;
        let Ok(InstallOutcome::WentBack { why }) = site.install(&bad).await else {
            panic!("it went on");
        };
        assert!(why.contains("150 times"), "{why}");
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
    }

    #[tokio::test]
    async fn a_first_install_that_fails_leaves_nothing_current() {
        let mut site = Site::new();
        let bad = site.release("1.0.0", CRASHES);
        let outcome = site.install(&bad).await;
        assert!(
            matches!(outcome, Ok(InstallOutcome::WentBack { .. })),
            "{outcome:?}"
        );
        assert_eq!(site.current(), None);
        assert_eq!(site.state().state, Phase::Idle);
    }

    #[tokio::test]
    async fn without_a_health_address_the_process_must_live() {
        let mut site = Site::new();
        let mut release = site.release("1.0.0", GOOD);
        release.0.scripts.health = None;
        assert_eq!(site.install(&release).await, Ok(InstallOutcome::Installed));
        let mut bad = site.release("1.1.0", CRASHES);
        bad.0.scripts.health = None;
        // It may live for a moment before it ends.
        site.settings.probe.looks = 200;
        let outcome = site.install(&bad).await;
        assert!(
            matches!(outcome, Ok(InstallOutcome::WentBack { .. })),
            "{outcome:?}"
        );
        assert!(eventually(|| site.answer().as_deref() == Some("1.0.0 prod")));
    }

    #[tokio::test]
    async fn wrong_bytes_touch_nothing() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let pid = site.pid();
        let next = site.release("1.1.0", GOOD);
        let key = layout::blob(&next.1.archive).to_string();
        let good = site.shelf.0.remove(&key).expect("there");
        let mut other = good.clone();
        other[0] ^= 1;
        for bytes in [None, Some(other)] {
            if let Some(bytes) = bytes {
                site.shelf.0.insert(key.clone(), bytes);
            }
            let failure = site.install(&next).await.expect_err("refused");
            assert_eq!(
                (failure.code(), failure.exit()),
                ("install::archive", Exit::Integrity)
            );
            assert_eq!(site.state().state, Phase::Committed);
            assert_eq!(site.pid(), pid);
        }
        site.shelf.0.insert(key, good);
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::Installed));
    }

    #[tokio::test]
    async fn another_manifest_or_host_is_refused_before_anything_is_touched() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let pid = site.pid();
        let next = site.release("1.1.0", GOOD);
        let code = |outcome: Result<InstallOutcome, Failure>| outcome.expect_err("refused").code();
        let mut other = next.clone();
        other.0.variant = "sit".to_owned();
        assert_eq!(code(site.install(&other).await), "install::manifest");
        let mut other = next.clone();
        other.0.scripts.health = Some("http://registry.example/health".to_owned());
        assert_eq!(code(site.install(&other).await), "install::health_address");
        let mut other = next.clone();
        other.0.runtime.modules_abi = Some("1".to_owned());
        assert_eq!(code(site.install(&other).await), "host::runtime");
        let mut other = next;
        if let Some(archive) = &mut other.0.archive {
            archive.tar_size = 1 << 60;
        }
        assert_eq!(code(site.install(&other).await), "host::disk");
        assert_eq!(site.pid(), pid);
        assert_eq!(site.state().state, Phase::Committed);
    }

    #[tokio::test]
    async fn a_stranger_on_the_port_is_named_and_left_alone() {
        let mut site = Site::new();
        // This process works in the repository, not in the app's directory.
        let stranger = TcpListener::bind(("127.0.0.1", site.port)).expect("free");
        let release = site.release("1.0.0", GOOD);
        let failure = site.install(&release).await.expect_err("taken");
        assert_eq!(
            (failure.code(), failure.exit()),
            ("host::port_taken", Exit::RemoteRefused)
        );
        let me = format!("process {} ", std::process::id());
        assert!(failure.what().contains(&me), "{failure}");
        assert_eq!(site.state().state, Phase::Idle);
        drop(stranger);
        // A child of another test may hold the socket until it executes.
        assert!(eventually(
            || who_listens(site.port).is_ok_and(|all| all.is_empty())
        ));
        assert_eq!(site.install(&release).await, Ok(InstallOutcome::Installed));
    }

    #[tokio::test]
    async fn a_service_that_ignores_term_is_stopped() {
        let mut site = Site::new();
        site.installed("1.0.0", &format!("{STUBBORN}{GOOD}")).await;
        site.installed("1.1.0", GOOD).await;
        assert_eq!(site.answer().as_deref(), Some("1.1.0 prod"));
    }

    #[tokio::test]
    async fn a_daemon_outside_its_group_is_found_by_its_port() {
        let mut site = Site::new();
        site.installed("1.0.0", &format!("{DAEMON}{STUBBORN}{GOOD}"))
            .await;
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        site.installed("1.1.0", GOOD).await;
        assert_eq!(site.answer().as_deref(), Some("1.1.0 prod"));
    }

    #[tokio::test]
    async fn what_ran_before_is_stopped_by_its_own_script_and_kept() {
        for (server, expected) in [(GOOD, "1.0.0 prod"), (CRASHES, "before prod")] {
            let mut site = Site::new();
            let directory = site.host.directory().to_owned();
            let manifest = r#"{"scripts":{"start":"node server.js","stop":"echo stopped > stopped; kill $(cat pid)"}}"#;
            std::fs::write(directory.join("package.json"), manifest).expect("written");
            let legacy = format!("require('fs').writeFileSync('pid', '' + process.pid);{GOOD}");
            std::fs::write(directory.join("server.js"), legacy).expect("written");
            let mut old = Command::new("node")
                .arg("server.js")
                .current_dir(&directory)
                .env("PORT", site.port.to_string())
                .stdin(Stdio::null())
                .process_group(0)
                .spawn()
                .expect("started");
            assert!(eventually(|| site.answer().is_some()));
            let release = site.release("1.0.0", server);
            let outcome = site.install(&release).await;
            let _ = old.kill();
            let _ = old.wait();
            assert!(outcome.is_ok(), "{outcome:?} {}", site.log());
            assert!(
                eventually(|| site.answer().as_deref() == Some(expected)),
                "{:?} {}",
                site.answer(),
                site.log()
            );
            let before = site.host.release(BEFORE);
            assert!(before.join("stopped").exists());
            assert!(!directory.join("package.json").exists());
            let current = if server == GOOD { "1.0.0" } else { BEFORE };
            assert_eq!(site.current().as_deref(), Some(current));
        }
    }

    #[tokio::test]
    async fn an_adoption_that_was_interrupted_is_finished_and_what_ran_before_runs_again() {
        let mut site = Site::new();
        let directory = site.host.directory().to_owned();
        let next = site.release("1.0.0", GOOD);
        site.lay_out(&next, GOOD);
        let before = site.host.release(BEFORE);
        std::fs::create_dir_all(&before).expect("made");
        std::fs::write(
            before.join("package.json"),
            r#"{"scripts":{"start":"node server.js"}}"#,
        )
        .expect("written");
        std::fs::write(directory.join("server.js"), GOOD).expect("written");
        let mut work = Work {
            host: &site.host,
            settings: &site.settings,
            state: site.state(),
        };
        work.state.environment = Some("prod".to_owned());
        work.announce_stop(&next.0).await.expect("announced");
        site.crashed_in(Phase::Stopping, &next);
        assert_eq!(recover(&site.host, &site.settings).await, Ok(None));
        assert_eq!(site.current().as_deref(), Some(BEFORE));
        assert!(!directory.join("server.js").exists());
        assert!(eventually(
            || site.answer().as_deref() == Some("before prod")
        ));
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::Installed));
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
    }

    #[tokio::test]
    async fn interrupted_before_the_stop_nothing_is_touched() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let pid = site.pid();
        for phase in [Phase::Fetching, Phase::Verified, Phase::Extracted] {
            let next = site.release("1.1.0", GOOD);
            site.crashed_in(phase, &next);
            std::fs::write(site.host.temporary("archive"), "half").expect("written");
            assert_eq!(recover(&site.host, &site.settings).await, Ok(None));
            assert_eq!(site.state().state, Phase::Committed, "{phase:?}");
            assert_eq!(site.state().coming, None);
            assert_eq!(site.pid(), pid, "{phase:?}");
            assert!(!site.host.temporary("archive").exists());
        }
    }

    #[tokio::test]
    async fn interrupted_while_stopping_the_old_one_runs_again_and_the_entry_has_not_failed() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let next = site.release("1.1.0", GOOD);
        site.lay_out(&next, GOOD);
        site.crashed_in(Phase::Stopping, &next);
        kill_process(site.pid().expect("it runs"));
        assert!(eventually(|| site.pid().is_none()));
        assert_eq!(recover(&site.host, &site.settings).await, Ok(None));
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::Installed));
    }

    #[tokio::test]
    async fn interrupted_later_it_is_asked_once_and_kept_when_it_answers() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let next = site.release("1.1.0", GOOD);
        site.lay_out(&next, GOOD);
        site.stop_everything();
        assert!(eventually(|| site.pid().is_none()));
        site.host.switch_current("1.1.0").expect("switched");
        site.start(&next);
        assert!(eventually(|| site.pid().is_some()));
        let pid = site.pid();
        site.crashed_in(Phase::Starting, &next);
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::UpToDate));
        assert_eq!(site.pid(), pid);
        assert_eq!(
            site.state().installed.map(|installed| installed.version),
            Some("1.1.0".to_owned())
        );
    }

    #[tokio::test]
    async fn interrupted_later_it_goes_back_when_it_does_not_answer() {
        for phase in [Phase::Switched, Phase::Starting, Phase::Probing] {
            let mut site = Site::new();
            site.installed("1.0.0", GOOD).await;
            let next = site.release("1.1.0", GOOD);
            site.lay_out(&next, UNWELL);
            site.stop_everything();
            assert!(eventually(|| site.pid().is_none()));
            if phase > Phase::Switched {
                site.host.switch_current("1.1.0").expect("switched");
                site.start(&next);
            }
            site.crashed_in(phase, &next);
            let outcome = site.install(&next).await;
            assert!(
                matches!(outcome, Ok(InstallOutcome::WentBack { .. })),
                "{phase:?} {outcome:?}"
            );
            assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"), "{phase:?}");
            assert_eq!(site.current().as_deref(), Some("1.0.0"));
        }
    }

    #[tokio::test]
    async fn interrupted_on_the_way_back_it_goes_back_again() {
        let mut site = Site::new();
        let first = site.installed("1.0.0", GOOD).await;
        let next = site.release("1.1.0", GOOD);
        site.lay_out(&next, CRASHES);
        site.stop_everything();
        assert!(eventually(|| site.pid().is_none()));
        // The old one was started again already.
        site.start(&first);
        assert!(eventually(|| site.pid().is_some()));
        site.crashed_in(Phase::GoingBack, &next);
        let went = recover(&site.host, &site.settings).await;
        assert!(matches!(went, Ok(Some(_))), "{went:?}");
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        assert_eq!(site.state().state, Phase::Committed);
    }

    #[tokio::test]
    async fn an_answer_of_another_release_is_no_answer() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let check = Check {
            health: Url::parse(&format!("http://127.0.0.1:{}/", site.port)).ok(),
            app_directory: site.host.directory().to_owned(),
            release_directory: site.host.release("1.1.0"),
            version: "1.1.0".to_owned(),
        };
        let why = probe(&check, || Life::Running, site.settings.probe.once())
            .await
            .expect_err("it is the old one");
        assert!(why.contains("releases/1.0.0"), "{why}");
    }

    #[tokio::test]
    async fn old_releases_go_but_never_the_current_and_the_previous_one() {
        let mut site = Site::new();
        site.settings.keep = 1;
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            site.installed(version, GOOD).await;
        }
        assert!(!site.host.release("1.0.0").exists());
        assert!(site.host.release("1.1.0").exists());
        assert!(site.host.release("1.2.0").exists());
    }

    #[tokio::test]
    async fn another_build_of_the_same_version_lies_beside_it() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let other = site.installed("1.0.0", &format!("{GOOD}//")).await;
        let name = format!("1.0.0+{}", &other.1.archive.hex()[..12]);
        assert_eq!(site.current(), Some(name));
        assert!(site.host.release("1.0.0").exists());
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
    }
}
