//! Stop the old service, switch, start the new one, wait until it is healthy.

use super::check::port;
use super::{Install, blocking};
use crate::explain::Failure;
use crate::release::app::{AppManifest, Scripts};
use crate::release::host::{BEFORE, Installed, MARK_SCHEMA, Mark, Phase};
use crate::settings::{START, STOP};

impl Install<'_> {
    /// The last step that touches nothing: it is written down that the old service, or what ran here before us, is to stop.
    pub(super) async fn announce_stop(&mut self, manifest: &AppManifest) -> Result<(), Failure> {
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
                    start: START.to_owned(),
                    stop: STOP.to_owned(),
                    environment_variable: manifest.scripts.environment_variable.clone(),
                    health: None,
                },
            };
            self.host.write_mark(BEFORE, &mark)?;
        }
        self.enter(Phase::Stopping).await
    }

    /// Stops the old service, switches, starts the new one and waits until it is healthy. From here on a failure means the way back.
    pub(super) async fn replace(&mut self, manifest: &AppManifest) -> Result<(), Failure> {
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
    pub(super) fn adopts(&self) -> Result<bool, Failure> {
        let is_before = |installed: &Installed| installed.directory == BEFORE;
        Ok(self.state.installed.as_ref().is_some_and(is_before) && self.host.current()?.is_none())
    }

    pub(super) async fn switch(&mut self, release: &Installed) -> Result<(), Failure> {
        let (host, directory) = (self.host.clone(), release.directory.clone());
        blocking(move || host.switch_current(&directory)).await?;
        self.story
            .did(format_args!("current is releases/{}", release.directory));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::apply::install::site::{CRASHES, DAEMON, GOOD, STUBBORN, Site, eventually};

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
}
