//! The service of one release: how it is run, stopped, started and asked for its health.

use super::check::{health, port};
use super::probe::{Check, ProbePatience, probe};
use super::{Install, InstallOutcome, blocking, in_one_line};
use crate::explain::{Exit, Failure, quoted};
use crate::local::host::{Life, Service, Started};
use crate::release::app::Scripts;
use crate::release::host::Installed;

impl Install<'_> {
    pub(super) fn scripts_of(&self, directory: &str) -> Result<Scripts, Failure> {
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
    pub(super) async fn stop(
        &mut self,
        release: &Installed,
        other_port: Option<u16>,
    ) -> Result<(), Failure> {
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
            tracing::warn!("{}: {note}", self.host.app());
        }
        self.story
            .did(format_args!("{} stands still", release.version));
        Ok(())
    }

    /// Starts a release; its process group is remembered before its script begins.
    pub(super) async fn start(&mut self, release: &Installed) -> Result<Started, Failure> {
        let service = self.service(release)?;
        let start = quoted(&service.scripts.start);
        let (host, mut state) = (self.host.clone(), self.state.clone());
        let started = blocking(move || {
            host.start(&service, |group| {
                state.group = Some(group.clone());
                host.remember(&state)
            })
        })
        .await?;
        self.state.group = Some(started.group().clone());
        self.story.did(format_args!(
            "started {} by {start}, process group {}",
            release.version,
            started.group().id
        ));
        Ok(started)
    }

    pub(super) async fn probe(
        &mut self,
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
        if healthy.is_ok() {
            let how = check.health.as_ref().map_or_else(
                || "its process lives".to_owned(),
                |health| format!("{health} answered well"),
            );
            self.story
                .did(format_args!("{} is healthy: {how}", release.version));
        }
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

    pub(super) fn group_lives(&self) -> bool {
        let group = self.state.group.as_ref();
        group.is_some_and(|group| self.host.is_alive(group))
    }

    /// Starts what is installed again if it has ended. A service that went into the background is left to whoever supervises it there.
    pub(super) async fn keep_running(
        &mut self,
        outcome: InstallOutcome,
    ) -> Result<InstallOutcome, Failure> {
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

    pub(super) fn coming_port(&self) -> Option<u16> {
        let coming = self.state.coming.as_ref()?;
        port(&self.scripts_of(&coming.directory).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::install::site::{CRASHES, GOOD, Site, eventually};

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
}
