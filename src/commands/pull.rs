//! `pull`: on a host, run what the pointer names. Fetches, verifies and unpacks before anything is touched; goes back by itself when the new release does not become healthy.

use crate::apply::install::{self, InstallOutcome, InstallSettings, ProbePatience, install};
use crate::apply::point::Log;
use crate::commands::open_store;
use crate::explain::{Exit, Failure};
use crate::local::host::{Host, Patience};
use crate::local::process::Children;
use crate::name::{Digest, PackageName};
use crate::plan::pull::{Pull, Tip, decide};
use crate::release::host::HostState;
use crate::release::{layout, to_bytes};
use crate::remote::store::{Body, Headers, Store};
use crate::settings::{PullSettings, Settings};
use crate::version::Version;

/// What a pull came to, for one app.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// `pkgs.pull/1`.
    pub schema: &'static str,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The version that the pointer names.
    pub version: String,
    /// The number of the entry that made it live.
    pub seq: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// How a pull that is no failure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The release runs now.
    Installed,
    /// It ran already.
    UpToDate,
    /// It was installed, but had ended; it runs again.
    StartedAgain,
    /// A dry run: it would be installed.
    WouldInstall,
    /// It failed here before and is not tried again; the old one runs.
    FailedBefore,
}

impl Pulled {
    /// For a person.
    pub fn text(&self) -> String {
        let Pulled {
            app,
            environment,
            version,
            ..
        } = self;
        match self.outcome {
            Outcome::Installed => format!("{app} {version} runs ({environment})\n"),
            Outcome::StartedAgain => {
                format!("{app} {version} had ended and runs again ({environment})\n")
            }
            Outcome::WouldInstall => {
                format!("dry run: {app} {version} would be installed ({environment})\n")
            }
            Outcome::UpToDate => format!("{app} {version} runs already ({environment})\n"),
            Outcome::FailedBefore => format!(
                "{app} {version} failed here before and is not tried again; the old release runs ({environment})\n"
            ),
        }
    }
}

/// Installs once what the pointer names.
///
/// # Errors
/// `pull::went_back`, exit 1, when the new release did not become healthy; the old one runs again.
pub async fn pull(
    settings: &Settings,
    asked: &PullSettings,
    children: &Children,
) -> Result<Pulled, Failure> {
    let environment = &asked.environment;
    if !settings.dry_run {
        finish_interrupted(settings, asked, children).await?;
    }
    let store = open_store(&asked.store).await?;
    let app = match &asked.app {
        Some(app) => app.clone(),
        None => only_app(store.as_ref()).await?,
    };
    let log = Log {
        store: store.as_ref(),
        app: &app,
        environment,
    };
    let Some(live) = log.tip().await? else {
        return Err(Failure::new(Exit::Refused, "pull::nothing_live", format!("{app} was never promoted to {environment}")).hint(format!("promote a version first: pkgs-action promote --environment {environment} --to <version>")));
    };
    let Some(build) = live.entry.state.current.clone() else {
        return Err(Failure::new(
            Exit::Refused,
            "pull::nothing_live",
            format!("nothing of {app} is live in {environment}"),
        ));
    };
    let manifest = crate::apply::builds::manifest(store.as_ref(), &app, &build).await?;
    let Some(archive) = &manifest.archive else {
        return Err(Failure::new(
            Exit::Refused,
            "pull::static_app",
            format!(
                "{app} {} is served as files and runs on no host",
                manifest.version
            ),
        ));
    };
    let tip = Tip {
        app: app.clone(),
        environment: environment.clone(),
        version: Version::parse(&manifest.version)?,
        seq: live.entry.seq,
        since: live.entry.state.since.unwrap_or(live.entry.seq),
        archive: Digest::parse(&archive.digest)?,
    };
    if settings.dry_run {
        return would(asked, &tip);
    }
    let host = Host::open(&asked.host_directory, &asked.log_directory, &app)?;
    let install_settings = install_settings(settings, asked, children);
    let outcome = install(store.as_ref(), &host, &manifest, &tip, &install_settings).await;
    let at = crate::report::moment(settings.now);
    report(store.as_ref(), asked, &host, &tip, &outcome, &at).await;
    let pulled = |outcome| Pulled {
        schema: "pkgs.pull/1",
        app: app.to_string(),
        environment: environment.to_string(),
        version: manifest.version.clone(),
        seq: tip.since,
        outcome,
    };
    match outcome? {
        InstallOutcome::Installed => Ok(pulled(Outcome::Installed)),
        InstallOutcome::UpToDate => Ok(pulled(Outcome::UpToDate)),
        InstallOutcome::StartedAgain => Ok(pulled(Outcome::StartedAgain)),
        InstallOutcome::AlreadyFailedHere if host.state()?.installed.is_some() => {
            Ok(pulled(Outcome::FailedBefore))
        }
        InstallOutcome::AlreadyFailedHere => Err(Failure::new(
            Exit::CommandFailed,
            "pull::nothing_runs",
            format!(
                "{app} {} failed here before, and nothing runs in its place",
                manifest.version
            ),
        )
        .hint(
            "find out why in its log, then try it again with --force, or promote another version",
        )),
        InstallOutcome::WentBack { why } => {
            let now = if host.state()?.installed.is_some() {
                "what ran before runs again"
            } else {
                "nothing ran before, so nothing runs"
            };
            Err(Failure::new(
                Exit::CommandFailed,
                "pull::went_back",
                format!("{app} {} did not become healthy; {now}", manifest.version),
            )
            .because(why)
            .hint(format!(
                "its log is {}; this entry is not tried again by itself: promote or roll back, or say --force",
                host.log_file().display()
            )))
        }
    }
}

/// What a pull would do, from what the host remembers; nothing is made or changed.
fn would(asked: &PullSettings, tip: &Tip) -> Result<Pulled, Failure> {
    let directory = asked.host_directory.join(tip.app.as_str());
    let state = if directory.join(".pkgs/state.json").exists() {
        Host::open(&asked.host_directory, &asked.log_directory, &tip.app)?.state()?
    } else {
        HostState::default()
    };
    let outcome = match decide(tip, &state)? {
        Pull::UpToDate | Pull::Remember => Outcome::UpToDate,
        Pull::AlreadyFailedHere if !asked.force => Outcome::FailedBefore,
        _ => Outcome::WouldInstall,
    };
    Ok(Pulled {
        schema: "pkgs.pull/1",
        app: tip.app.to_string(),
        environment: tip.environment.to_string(),
        version: tip.version.to_string(),
        seq: tip.since,
        outcome,
    })
}

/// Finishes or undoes what an interrupted pull began, before the store is asked: the service must come back even while the store is away.
async fn finish_interrupted(
    settings: &Settings,
    asked: &PullSettings,
    children: &Children,
) -> Result<(), Failure> {
    let Some(app) = &asked.app else {
        return Ok(());
    };
    let directory = asked.host_directory.join(app.as_str());
    if !directory.join(".pkgs/state.json").exists() {
        return Ok(());
    }
    let host = Host::open(&asked.host_directory, &asked.log_directory, app)?;
    let install_settings = install_settings(settings, asked, children);
    if let Some(why) = install::recover(&host, &install_settings).await? {
        tracing::warn!("an interrupted install of {app} was taken back: {why}");
    }
    Ok(())
}

fn install_settings(
    settings: &Settings,
    asked: &PullSettings,
    children: &Children,
) -> InstallSettings {
    InstallSettings {
        variables: settings.person_environment.clone(),
        keep: asked.keep_releases,
        at: crate::report::moment(settings.now),
        children: children.clone(),
        stop: Patience::default(),
        probe: ProbePatience::default(),
        retry: asked.force,
    }
}

/// The app of a store that holds only one.
async fn only_app(store: &dyn Store) -> Result<PackageName, Failure> {
    let apps = crate::apply::builds::apps(store).await?;
    match apps.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(
            Exit::Refused,
            "pull::no_apps",
            format!("{} holds no app", store.describe()),
        )),
        many => {
            let names: Vec<&str> = many.iter().map(PackageName::as_str).collect();
            Err(
                Failure::new(Exit::Usage, "pull::one_app", "the store holds several apps")
                    .hint(format!("name one with --app: {}", names.join(", "))),
            )
        }
    }
}

/// Reports to the store what this host runs. A report that cannot be written is no reason to touch the service: it is said and left.
async fn report(
    store: &dyn Store,
    asked: &PullSettings,
    host: &Host,
    tip: &Tip,
    outcome: &Result<InstallOutcome, Failure>,
    at: &str,
) {
    let Some(name) = &asked.host_name else {
        return;
    };
    let written = async {
        let state = host.state()?;
        let report = install::report(name, tip, &state, outcome, at);
        let key = layout::host(&tip.app, &tip.environment, name)?;
        let body = Body::Bytes(to_bytes(&report));
        store
            .replace(&key, &body, &Headers::changing_json())
            .await?;
        Ok::<(), Failure>(())
    };
    if let Err(failure) = written.await {
        tracing::warn!("the report of this host could not be written: {failure}");
    }
}
