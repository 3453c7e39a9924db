//! `pull`: on a host, run what the pointer names. Fetches, verifies and unpacks before anything is touched; goes back by itself when the new release does not become healthy.

use crate::apply::install::{InstallOutcome, InstallSettings, ProbePatience, install};
use crate::apply::point::Log;
use crate::apply::seal::json;
use crate::commands::{environments::Apps, open_store, point};
use crate::explain::{Exit, Failure};
use crate::local::host::{Host, Patience};
use crate::local::process::Children;
use crate::name::{Digest, PackageName};
use crate::plan::pull::Tip;
use crate::release::host::{HostReport, REPORT_SCHEMA};
use crate::release::{layout, to_bytes};
use crate::remote::store::{Body, Store};
use crate::settings::Settings;
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
    /// `installed`, `up-to-date`, `failed-before` or `went-back`.
    pub outcome: &'static str,
    /// Why it went back.
    pub why: Option<String>,
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
            "installed" => format!("{app} {version} runs ({environment})\n"),
            "up-to-date" => format!("{app} {version} runs already ({environment})\n"),
            "failed-before" => format!(
                "{app} {version} failed here before and is not tried again; the old release runs ({environment})\n"
            ),
            _ => format!(
                "{app} {version} did not become healthy; the old release runs again ({environment}): {}\n",
                self.why.as_deref().unwrap_or("no reason")
            ),
        }
    }
}

/// Installs once what the pointer names.
///
/// # Errors
/// `pull::went_back`, exit 1, when the new release did not become healthy; the old one runs again.
pub async fn pull(settings: &Settings, children: &Children) -> Result<Pulled, Failure> {
    if !settings.once {
        return Err(Failure::new(
            Exit::Usage,
            "pull::once",
            "`pull` installs once and ends; following the pointer is not there yet",
        )
        .hint("say `pull --once`, and start it from a timer"));
    }
    let (Some(store), Some(environment)) = (settings.store.value(), &settings.environment) else {
        return Err(Failure::new(
            Exit::Usage,
            "settings::missing",
            "`pull` needs a store and an environment",
        )
        .hint("name them with --store and --environment"));
    };
    let store = open_store(store).await?;
    let app = only_app(settings, store.as_ref()).await?;
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
    let host = Host::open(&settings.host_directory, &settings.log_directory, &app)?;
    let install_settings = InstallSettings {
        variables: settings.person_environment.clone(),
        keep: settings.keep_releases,
        at: crate::report::moment(settings.now),
        children: children.clone(),
        stop: Patience::default(),
        probe: ProbePatience::default(),
    };
    let outcome = install(store.as_ref(), &host, &manifest, &tip, &install_settings).await;
    let pulled = |outcome, why| Pulled {
        schema: "pkgs.pull/1",
        app: app.to_string(),
        environment: environment.to_string(),
        version: manifest.version.clone(),
        seq: tip.since,
        outcome,
        why,
    };
    let (pulled, failed) = match outcome {
        Ok(InstallOutcome::Installed) => (pulled("installed", None), None),
        Ok(InstallOutcome::UpToDate) => (pulled("up-to-date", None), None),
        Ok(InstallOutcome::AlreadyFailedHere) => (pulled("failed-before", None), None),
        Ok(InstallOutcome::WentBack { why }) => {
            let failure = Failure::new(Exit::CommandFailed, "pull::went_back", format!("{app} {} did not become healthy; what ran before runs again", manifest.version)).because(&why).hint("this entry is not tried again on this host: promote or roll back to another version");
            (pulled("went-back", Some(why)), Some(failure))
        }
        Err(failure) => (pulled("failed", Some(failure.to_string())), Some(failure)),
    };
    report(store.as_ref(), settings, &app, &host, &pulled).await;
    match failed {
        Some(failure) => Err(failure),
        None => Ok(pulled),
    }
}

async fn only_app(settings: &Settings, store: &dyn Store) -> Result<PackageName, Failure> {
    match point::apps(settings)? {
        Apps::Named(names) if names.len() == 1 => Ok(names[0].clone()),
        Apps::Named(_) | Apps::All => {
            Err(
                Failure::new(Exit::Usage, "pull::one_app", "`pull` installs one app")
                    .hint("run it once for each: --app <name>"),
            )
        }
        Apps::Default => {
            let apps = crate::apply::builds::apps(store).await?;
            match apps.as_slice() {
                [only] => Ok(only.clone()),
                [] => Err(Failure::new(
                    Exit::Refused,
                    "pull::no_apps",
                    format!("{} holds no app", store.describe()),
                )),
                many => {
                    Err(
                        Failure::new(Exit::Usage, "pull::one_app", "the store holds several apps")
                            .hint(format!(
                                "name one with --app: {}",
                                many.iter()
                                    .map(PackageName::as_str)
                                    .collect::<Vec<_>>()
                                    .join(", ")
                            )),
                    )
                }
            }
        }
    }
}

/// Reports to the store what this host runs. A report that cannot be written is no reason to touch the service: it is said and left.
async fn report(
    store: &dyn Store,
    settings: &Settings,
    app: &PackageName,
    host: &Host,
    pulled: &Pulled,
) {
    let Some(name) = &settings.host_name else {
        return;
    };
    let Some(environment) = &settings.environment else {
        return;
    };
    let Ok(key) = layout::host(app, environment, name) else {
        return;
    };
    let installed = host.state().ok().and_then(|state| state.installed);
    let report = HostReport {
        schema: REPORT_SCHEMA.to_owned(),
        host: name.clone(),
        app: app.to_string(),
        environment: environment.to_string(),
        seq: pulled.seq,
        version: installed.map(|installed| installed.version),
        state: pulled.outcome.to_owned(),
        error: pulled.why.clone(),
        at: crate::report::moment(settings.now),
    };
    if let Err(error) = store
        .replace(&key, &Body::Bytes(to_bytes(&report)), &json())
        .await
    {
        tracing::warn!("the report of this host could not be written: {error}");
    }
}
