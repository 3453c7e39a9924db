//! Installing a release on a host, step by step: check, fetch, replace, commit; or the way back.
//!
//! Whoever interrupts it where, the next call finishes or undoes what was begun, and the old service runs again.

mod back;
mod check;
mod commit;
pub(super) mod fetch;
mod probe;
mod replace;
mod report;
mod service;
#[cfg(test)]
mod site;
mod story;

pub use probe::{Check, ProbePatience, RELEASE_HEADER, probe};
pub use report::report;

use crate::explain::{Exit, Failure};
use crate::local::host::{Host, Lock, Patience};
use crate::local::process::{Children, Variables};
use crate::plan::pull::{self, Pull, Tip};
use crate::release::app::{AppManifest, Archive};
use crate::release::host::{HostState, Phase};
use crate::remote::store::Store;
use check::checked;
use story::Story;

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
    /// Fetch deltas where they lead to a release, and keep the last archives for them.
    pub deltas: bool,
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

/// The app's directory under the lock: while it lives, nobody else installs here.
pub struct Install<'a> {
    host: &'a Host,
    settings: &'a InstallSettings,
    /// What the disk holds, or what it shall hold next.
    state: HostState,
    story: Story,
    /// How many bytes of archives and deltas were fetched.
    fetched: u64,
    /// Why an interrupted install went back, when it was found.
    taken_back: Option<String>,
    _lock: Lock,
}

impl<'a> Install<'a> {
    /// Takes the lock, and finishes or undoes what an interrupted install left. It asks no store: the service must come back even while
    /// that is away.
    ///
    /// # Errors
    /// `host::busy`, exit 75; `install::old_one_down`, exit 1, when the old service did not come back.
    pub async fn begin(host: &'a Host, settings: &'a InstallSettings) -> Result<Self, Failure> {
        let lock = host.lock()?;
        let mut install = Install {
            host,
            settings,
            state: host.state()?,
            story: Story::of(host.app()),
            fetched: 0,
            taken_back: None,
            _lock: lock,
        };
        install.taken_back = install.recover().await?;
        if let Some(why) = &install.taken_back {
            tracing::warn!(
                "{}: an interrupted install was taken back: {why}",
                host.app()
            );
        }
        Ok(install)
    }

    /// What this host remembers.
    #[must_use]
    pub fn state(&self) -> &HostState {
        &self.state
    }

    /// How many bytes of archives and deltas were fetched.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// Makes this host run what `tip` names. `manifest` is the verified app manifest of that build. When this fails before the old
    /// service was stopped, nothing has changed and the old one runs.
    ///
    /// # Errors
    /// `pull::*` for a tip that cannot be this host's; `install::manifest`, `install::archive`, exit 6, when the store's bytes are not
    /// what the tip names; `host::runtime`, `host::disk`, `host::layout` before anything is touched; `host::port_taken`, exit 5, with
    /// the old service running again; `install::old_one_down`, exit 1, when not even the old service came back.
    pub async fn run(
        &mut self,
        store: &dyn Store,
        manifest: &AppManifest,
        tip: &Tip,
    ) -> Result<InstallOutcome, Failure> {
        if let Some(why) = self.taken_back.take()
            && self.has_failed(tip.since)
        {
            return Ok(InstallOutcome::WentBack { why });
        }
        if self.settings.retry {
            self.state.failed.retain(|failed| failed.since != tip.since);
        }
        match pull::decide(tip, &self.state)? {
            Pull::UpToDate => self.keep_running(InstallOutcome::UpToDate).await,
            Pull::AlreadyFailedHere => self.keep_running(InstallOutcome::AlreadyFailedHere).await,
            Pull::Remember => {
                self.state.seen = tip.seq;
                if let Some(installed) = &mut self.state.installed {
                    installed.seq = tip.seq;
                    installed.since = tip.since;
                }
                self.remember().await?;
                self.keep_running(InstallOutcome::UpToDate).await
            }
            // Recovery leaves nothing to recover.
            Pull::Install | Pull::Recover(_) => {
                let archive = checked(manifest, tip)?;
                self.install(store, manifest, archive, tip).await
            }
        }
    }

    /// Nothing new can be had, because of `failure`: what is installed shall run at least, and is started again if it has ended.
    pub async fn left_alone(&mut self, failure: Failure) -> Failure {
        match self.keep_running(InstallOutcome::UpToDate).await {
            Ok(_) => failure,
            Err(trouble) => failure.because(format!("and then {}", in_one_line(&trouble))),
        }
    }

    async fn remember(&self) -> Result<(), Failure> {
        let (host, state) = (self.host.clone(), self.state.clone());
        blocking(move || host.remember(&state)).await
    }

    async fn enter(&mut self, phase: Phase) -> Result<(), Failure> {
        tracing::debug!("{}: {}", self.host.app(), phase.as_str());
        self.state.state = phase;
        self.remember().await
    }

    /// What runs here, for people.
    fn runs(&self) -> String {
        let installed = self.state.installed.as_ref();
        installed.map_or_else(
            || "nothing".to_owned(),
            |installed| installed.version.clone(),
        )
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
        if let Err(failure) = self.preflight(manifest, archive).await {
            return Err(self.left_alone(failure).await);
        }
        let from = self.runs();
        self.story.told(format_args!(
            "from {from} to {} in {}, as {} says",
            tip.version, tip.environment, tip.named_by
        ));
        self.state.environment = Some(tip.environment.to_string());
        let mut ready = self.prepare(store, manifest, archive, tip).await;
        if ready.is_ok() {
            ready = self.announce_stop(manifest).await;
        }
        if let Err(failure) = ready {
            return Err(match self.discard().await {
                Ok(()) => self.left_alone(failure).await,
                Err(trouble) => failure.because(format!("and then {}", in_one_line(&trouble))),
            });
        }
        let failure = match self.replace(manifest).await {
            Ok(()) => {
                self.commit(tip.seq).await?;
                self.story.ended(format_args!("{} runs", tip.version));
                return Ok(InstallOutcome::Installed);
            }
            Err(failure) => failure,
        };
        let why = in_one_line(&failure);
        tracing::warn!(
            "{}: back from {} to {from}: {why}",
            self.host.app(),
            tip.version
        );
        self.go_back(Some(&why)).await?;
        if failure.code() == "host::port_taken" {
            return Err(failure);
        }
        Ok(InstallOutcome::WentBack { why })
    }
}

fn in_one_line(failure: &Failure) -> String {
    std::iter::once(failure.what())
        .chain(failure.causes().iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(": ")
        .replace('\n', " ")
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
    use std::time::Duration;

    use super::site::{CRASHES, GOOD, HANGS, STUBBORN, Site, UNWELL, eventually};
    use super::*;

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
    async fn a_release_that_never_answers_at_all_is_left_for_the_old_one() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let hangs = site.release("1.1.0", HANGS);
        let patience = site.settings.probe;
        site.settings.probe.timeout = Duration::from_millis(60);
        site.settings.probe.attempts = 150;
        let outcome = site.install(&hangs).await;
        let Ok(InstallOutcome::WentBack { why }) = outcome else {
            panic!("{outcome:?} {}", site.log());
        };
        assert!(why.contains("did not answer"), "{why}");
        site.settings.probe = patience;
        assert!(eventually(|| site.answer().as_deref() == Some("1.0.0 prod")));
    }

    #[tokio::test]
    async fn a_start_command_that_does_not_exist_leads_back() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let mut next = site.release("1.1.0", GOOD);
        next.0.scripts.start = "no-such-program".to_owned();
        let outcome = site.install(&next).await;
        let Ok(InstallOutcome::WentBack { why }) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(why.contains("exit code 127"), "{why}");
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
    }

    #[tokio::test]
    async fn the_same_bytes_named_again_are_only_remembered() {
        let mut site = Site::new();
        let (manifest, tip) = site.installed("1.0.0", GOOD).await;
        let pid = site.pid();
        let again = Tip {
            seq: 9,
            since: 8,
            ..tip
        };
        let outcome = site.install(&(manifest, again)).await;
        assert_eq!(outcome, Ok(InstallOutcome::UpToDate));
        assert_eq!(site.pid(), pid);
        assert_eq!(site.state().seen, 9);
        let installed = site.state().installed.map(|installed| installed.since);
        assert_eq!(installed, Some(8));
    }

    #[tokio::test]
    async fn who_asks_again_gets_the_files_again() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let next = site.release("1.1.0", GOOD);
        // Somebody removed a file of a release that is marked as whole.
        site.lay_out(&next, GOOD);
        let server = site.host.release("1.1.0").join("service/server.js");
        std::fs::remove_file(&server).expect("it goes");
        let outcome = site.install(&next).await;
        assert!(
            matches!(outcome, Ok(InstallOutcome::WentBack { .. })),
            "{outcome:?}"
        );
        site.settings.retry = true;
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::Installed));
        assert!(server.is_file());
    }
}
