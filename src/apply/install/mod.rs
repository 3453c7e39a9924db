//! Installing a release on a host, step by step: check, fetch, replace, commit; or the way back.
//!
//! Whoever interrupts it where, the next call finishes or undoes what was begun, and the old service runs again.

mod back;
mod check;
mod commit;
mod fetch;
mod probe;
mod replace;
mod report;
mod service;
#[cfg(test)]
mod site;

pub use probe::{Check, ProbePatience, RELEASE_HEADER, probe};
pub use report::report;

use crate::explain::{Exit, Failure};
use crate::local::host::{Host, Patience};
use crate::local::process::{Children, Variables};
use crate::plan::pull::{self, Pull, Tip};
use crate::release::app::{AppManifest, Archive};
use crate::release::host::{HostState, Phase};
use crate::remote::store::Store;
use check::checked;

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
    use super::site::{CRASHES, GOOD, STUBBORN, Site, UNWELL};
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
}
