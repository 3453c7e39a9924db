//! What is known before the running service is touched: the manifest is the one that the tip names, and this host can run it.

use url::Url;

use super::{Install, blocking};
use crate::explain::{Exit, Failure, quoted};
use crate::local::host;
use crate::plan::pull::Tip;
use crate::release::app::{AppManifest, Archive, Scripts};
use crate::settings::address;
use crate::settings::form::is_variable_name;

/// The archive that a tip names, when the manifest is that build's and can be run.
pub(super) fn checked<'a>(manifest: &'a AppManifest, tip: &Tip) -> Result<&'a Archive, Failure> {
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
    if manifest.archives().any(|other| !archive.is_same_tar(other)) {
        return refuse("its archives do not hold the same tar".to_owned());
    }
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
pub(super) fn health(scripts: &Scripts) -> Result<Option<Url>, Failure> {
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

pub(super) fn port(scripts: &Scripts) -> Option<u16> {
    health(scripts).ok().flatten()?.port_or_known_default()
}

impl Install<'_> {
    /// All that can be known before the running service is touched.
    pub(super) async fn preflight(
        &self,
        manifest: &AppManifest,
        archive: &Archive,
    ) -> Result<(), Failure> {
        let host = self.host.clone();
        let runtime = manifest.runtime.clone();
        let (variables, children) = (
            self.settings.variables.clone(),
            self.settings.children.clone(),
        );
        let (bytes, files) = (
            // What a delta rebuilds is compressed faster than what was released.
            archive
                .size
                .saturating_mul(2)
                .saturating_add(archive.tar_size),
            archive.entries,
        );
        let new_port = port(&manifest.scripts);
        let old_port = self
            .state
            .installed
            .as_ref()
            .and_then(|old| port(&self.scripts_of(&old.directory).ok()?));
        let state = self.state.clone();
        blocking(move || {
            host.check_layout(&state)?;
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
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::apply::install::InstallOutcome;
    use crate::apply::install::site::{GOOD, Site, eventually};
    use crate::local::host::who_listens;
    use crate::release::host::Phase;

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
}
