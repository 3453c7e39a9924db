//! The way back, and what an interrupted install asks for.

use super::{Install, blocking, in_one_line};
use crate::explain::{Exit, Failure};
use crate::plan::pull::{self, Recovery};
use crate::release::host::{FailedEntry, Installed, Phase};

/// The most failed entries that a host remembers.
const MOST_FAILED: usize = 100;

impl Install<'_> {
    /// Throws away what was fetched; the running service was not touched.
    pub(super) async fn discard(&mut self) -> Result<(), Failure> {
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
    pub(super) async fn recover(&mut self) -> Result<Option<String>, Failure> {
        let recovery = pull::after_restart(self.state.state);
        if recovery != Recovery::Nothing {
            let step = self.state.state.as_str();
            self.story.told(format_args!(
                "an install was interrupted in its step {step}"
            ));
        }
        match recovery {
            Recovery::Nothing => Ok(None),
            Recovery::Discard => self.discard().await.map(|()| None),
            Recovery::StartOldAgain => self.go_back(None).await.map(|()| None),
            Recovery::ProbeElseBack => self.probe_else_back().await,
            Recovery::GoBackAgain => {
                let why = self
                    .why_coming_failed()
                    .unwrap_or_else(|| "the install was interrupted".to_owned());
                self.go_back(None).await.map(|()| Some(why))
            }
        }
    }

    async fn probe_else_back(&mut self) -> Result<Option<String>, Failure> {
        let Some(coming) = self.state.coming.clone() else {
            return self.go_back(None).await.map(|()| None);
        };
        let is_current = self.host.current()?.as_deref() == Some(coming.directory.as_str());
        let lived = is_current && self.group_lives();
        let patience = if lived {
            self.settings.probe
        } else {
            self.settings.probe.without_waiting()
        };
        let healthy = if is_current {
            let probed = self.probe(&coming, None, patience).await;
            probed.map_err(|failure| in_one_line(&failure))
        } else {
            Err("the release was not current yet".to_owned())
        };
        match healthy {
            Ok(()) => self.commit(coming.seq).await.map(|()| None),
            Err(then) => {
                let why = format!("the install was interrupted, and then {then}");
                // That nothing ran any more may be the machine's fault, once. Whoever is interrupted twice may be what brings it down.
                let again = self.state.interrupted.replace(coming.since) == Some(coming.since);
                let failed = (lived || again).then_some(why.as_str());
                self.go_back(failed).await.map(|()| Some(why))
            }
        }
    }

    fn why_coming_failed(&self) -> Option<String> {
        let coming = self.state.coming.as_ref()?;
        let mut failed = self.state.failed.iter();
        let entry = failed.find(|failed| failed.since == coming.since)?;
        Some(entry.why.clone())
    }

    /// Stops what came, makes the old release current and starts it. With `why`, the entry has failed and is not tried again.
    /// Interrupted, it is called again from its beginning. One failing step keeps no later one from being tried: what counts
    /// is that the old service runs.
    pub(super) async fn go_back(&mut self, why: Option<&str>) -> Result<(), Failure> {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::install::InstallOutcome;
    use crate::apply::install::site::{CRASHES, GOOD, Site, UNWELL, eventually, kill_process};
    use crate::release::host::BEFORE;

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
        let mut work = Install::begin(&site.host, &site.settings)
            .await
            .expect("begun");
        work.state.environment = Some("prod".to_owned());
        work.announce_stop(&next.0).await.expect("announced");
        drop(work);
        site.crashed_in(Phase::Stopping, &next);
        assert_eq!(site.recover().await, Ok(None));
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
            assert_eq!(site.recover().await, Ok(None));
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
        assert_eq!(site.recover().await, Ok(None));
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::Installed));
    }

    #[tokio::test]
    async fn interrupted_later_it_is_kept_when_it_answers() {
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
    async fn interrupted_while_it_ran_one_good_answer_is_not_enough() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let next = site.release("1.1.0", GOOD);
        let crashes_soon = "let asked = 0; require('http').createServer((q, s) => ++asked > 1 ? process.exit(1) : s.end()).listen(+process.env.PORT, '127.0.0.1');";
        site.lay_out(&next, crashes_soon);
        site.stop_everything();
        assert!(eventually(|| site.pid().is_none()));
        site.host.switch_current("1.1.0").expect("switched");
        site.start(&next);
        assert!(eventually(|| std::net::TcpStream::connect((
            "127.0.0.1",
            site.port
        ))
        .is_ok()));
        site.crashed_in(Phase::Probing, &next);
        site.settings.probe.attempts = 150;
        let outcome = site.install(&next).await;
        assert!(
            matches!(outcome, Ok(InstallOutcome::WentBack { .. })),
            "{outcome:?}"
        );
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        let outcome = site.install(&next).await;
        assert_eq!(outcome, Ok(InstallOutcome::AlreadyFailedHere));
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
        let went = site.recover().await;
        assert!(matches!(went, Ok(Some(_))), "{went:?}");
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
        assert_eq!(site.state().state, Phase::Committed);
    }

    #[tokio::test]
    async fn interrupted_once_it_is_tried_again_but_twice_it_has_failed() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let next = site.release("1.1.0", GOOD);
        for (time, failed) in [(1, false), (2, true)] {
            // The machine went down before `current` moved.
            site.lay_out(&next, GOOD);
            site.crashed_in(Phase::Switched, &next);
            let went = site.recover().await;
            assert!(matches!(went, Ok(Some(_))), "{went:?}");
            assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
            assert_eq!(!site.state().failed.is_empty(), failed, "time {time}");
        }
        let outcome = site.install(&next).await;
        assert_eq!(outcome, Ok(InstallOutcome::AlreadyFailedHere));
        site.settings.retry = true;
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::Installed));
        assert_eq!(site.state().interrupted, None);
    }
}
