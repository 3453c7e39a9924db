//! `pull`: on a host, run what the pointer names. Fetches, verifies and unpacks before anything is touched; goes back by itself when the new release does not become healthy.

use std::sync::Arc;

use crate::apply::install::{self, Install, InstallOutcome, InstallSettings, ProbePatience};
use crate::apply::point::Log;
use crate::commands::{environments::Apps, open_store, point};
use crate::explain::{Exit, Failure};
use crate::local::host::{Host, Patience};
use crate::local::process::Children;
use crate::name::{EnvironmentName, PackageName};
use crate::plan::pull::{Pull, Tip, decide, live};
use crate::release::app::AppManifest;
use crate::release::host::HostState;
use crate::release::{layout, to_bytes};
use crate::remote::store::{Body, Headers, Store};
use crate::report::pull::{Outcome, Pulled};
use crate::settings::{Settings, StoreSettings};

/// Installs once what the pointer names.
///
/// # Errors
/// `pull::went_back`, exit 1, when the new release did not become healthy; the old one runs again.
pub async fn pull(settings: &Settings, children: &Children) -> Result<Pulled, Failure> {
    let asked = Asked::read(settings)?;
    if settings.dry_run {
        return would(settings, &look(settings, &asked).await?.tip);
    }
    let install_settings = install_settings(settings, children);
    if let Some(host) = known_host(settings)? {
        // Nobody installs while we read, and the service comes back even while the store is away.
        let mut install = Install::begin(&host, &install_settings).await?;
        return match look(settings, &asked).await {
            Ok(wanted) => act(settings, &mut install, &wanted).await,
            Err(failure) => Err(install.left_alone(failure).await),
        };
    }
    // No directory is made for an app that is not live.
    let app = look(settings, &asked).await?.tip.app;
    let host = open(settings, &app)?;
    let mut install = Install::begin(&host, &install_settings).await?;
    // Until the lock was ours, somebody else might have installed a newer one.
    let wanted = look(settings, &asked).await?;
    act(settings, &mut install, &wanted).await
}

/// Installs what is wanted, reports it to the store, and says what came of it.
async fn act(
    settings: &Settings,
    install: &mut Install<'_>,
    wanted: &Wanted,
) -> Result<Pulled, Failure> {
    let (store, tip) = (wanted.store.as_ref(), &wanted.tip);
    let outcome = install.run(store, &wanted.manifest, tip).await;
    report(store, settings, install.state(), tip, &outcome).await;
    let pulled = tell(settings, tip, install.state(), outcome?)?;
    if pulled.outcome == Outcome::UpToDate {
        tracing::info!("{}", pulled.line());
    }
    Ok(pulled)
}

/// What a pull cannot do without.
struct Asked<'a> {
    store: &'a StoreSettings,
    environment: &'a EnvironmentName,
}

impl Asked<'_> {
    fn read(settings: &Settings) -> Result<Asked<'_>, Failure> {
        if !settings.once {
            return Err(Failure::new(
                Exit::Usage,
                "pull::once",
                "`pull` installs once and ends; following the pointer is not there yet",
            )
            .hint("say `pull --once`, and start it from a timer"));
        }
        let (Some(store), Some(environment)) = (settings.store.value(), &settings.environment)
        else {
            return Err(Failure::new(
                Exit::Usage,
                "settings::missing",
                "`pull` needs a store and an environment",
            )
            .hint("name them with --store and --environment"));
        };
        Ok(Asked { store, environment })
    }
}

/// What the pointer names, and the store that says so.
struct Wanted {
    store: Arc<dyn Store>,
    tip: Tip,
    manifest: AppManifest,
}

async fn look(settings: &Settings, asked: &Asked<'_>) -> Result<Wanted, Failure> {
    let store = open_store(asked.store).await?;
    let app = only_app(settings, store.as_ref()).await?;
    let log = Log {
        store: store.as_ref(),
        app: &app,
        environment: asked.environment,
    };
    let newest = log.tip().await?;
    let newest = newest.as_ref().map(|tip| &tip.entry);
    let (entry, build) = live(&app, asked.environment, newest)?;
    let manifest = crate::apply::builds::manifest(store.as_ref(), &app, build).await?;
    let tip = Tip::new(&app, asked.environment, entry, &manifest)?;
    Ok(Wanted {
        store,
        tip,
        manifest,
    })
}

/// The host's directory of the one app that was named, where it was pulled before.
fn known_host(settings: &Settings) -> Result<Option<Host>, Failure> {
    match point::apps(settings)? {
        Apps::Named(names) if names.len() == 1 => match names.first() {
            Some(app) if Host::is_known(&settings.host_directory, app) => {
                open(settings, app).map(Some)
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

fn open(settings: &Settings, app: &PackageName) -> Result<Host, Failure> {
    Host::open(&settings.host_directory, &settings.log_directory, app)
}

/// What a pull would do, from what the host remembers; nothing is made or changed.
fn would(settings: &Settings, tip: &Tip) -> Result<Pulled, Failure> {
    let state = if Host::is_known(&settings.host_directory, &tip.app) {
        open(settings, &tip.app)?.state()?
    } else {
        HostState::default()
    };
    let outcome = match decide(tip, &state)? {
        Pull::UpToDate | Pull::Remember => Outcome::UpToDate,
        Pull::AlreadyFailedHere if !settings.force => Outcome::FailedBefore,
        _ => Outcome::WouldInstall,
    };
    Ok(pulled(tip, outcome))
}

fn pulled(tip: &Tip, outcome: Outcome) -> Pulled {
    Pulled {
        schema: "pkgs.pull/1",
        app: tip.app.to_string(),
        environment: tip.environment.to_string(),
        version: tip.version.to_string(),
        seq: tip.since,
        outcome,
    }
}

/// What is said about an install that ended.
fn tell(
    settings: &Settings,
    tip: &Tip,
    state: &HostState,
    outcome: InstallOutcome,
) -> Result<Pulled, Failure> {
    let Tip { app, version, .. } = tip;
    let log = settings
        .log_directory
        .join(app.as_str())
        .join("service.log");
    match outcome {
        InstallOutcome::Installed => Ok(pulled(tip, Outcome::Installed)),
        InstallOutcome::UpToDate => Ok(pulled(tip, Outcome::UpToDate)),
        InstallOutcome::StartedAgain => Ok(pulled(tip, Outcome::StartedAgain)),
        InstallOutcome::AlreadyFailedHere if state.installed.is_some() => {
            Ok(pulled(tip, Outcome::FailedBefore))
        }
        InstallOutcome::AlreadyFailedHere => Err(Failure::new(
            Exit::CommandFailed,
            "pull::nothing_runs",
            format!("{app} {version} failed here before, and nothing runs in its place"),
        )
        .hint(format!(
            "its log is {}; try it again with --force, or promote another version",
            log.display()
        ))),
        InstallOutcome::WentBack { why } => {
            let now = match &state.installed {
                Some(old) => format!("{} runs again", old.version),
                None => "nothing ran before, so nothing runs".to_owned(),
            };
            Err(Failure::new(
                Exit::CommandFailed,
                "pull::went_back",
                format!("{app} {version} did not become healthy; {now}"),
            )
            .because(why)
            .hint(format!(
                "its log is {}; this entry is not tried again by itself: promote or roll back, or say --force",
                log.display()
            )))
        }
    }
}

fn install_settings(settings: &Settings, children: &Children) -> InstallSettings {
    InstallSettings {
        variables: settings.person_environment.clone(),
        keep: settings.keep_releases,
        at: crate::report::moment(settings.now),
        children: children.clone(),
        stop: Patience::default(),
        probe: ProbePatience::default(),
        retry: settings.force,
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
    state: &HostState,
    tip: &Tip,
    outcome: &Result<InstallOutcome, Failure>,
) {
    let Some(name) = &settings.host_name else {
        return;
    };
    let written = async {
        let at = crate::report::moment(settings.now);
        let report = install::report(name, tip, state, outcome, &at);
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
