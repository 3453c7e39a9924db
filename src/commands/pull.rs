//! `pull`: on a host, run what the pointer names. Fetches, verifies and unpacks before anything is touched; goes back by itself when the new release does not become healthy.

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
    let (store, environment) = asked(settings)?;
    if settings.dry_run {
        let wanted = look(settings, open_store(store).await?.as_ref(), environment).await?;
        return would(settings, &wanted.tip);
    }
    let install_settings = install_settings(settings, children);
    // Nobody moves an app that we read about, and its service comes back even while the store is away.
    let known = known_host(settings)?;
    let mut held = match &known {
        Some(host) => Some(Install::begin(host, &install_settings).await?),
        None => None,
    };
    let looked = async {
        let store = open_store(store).await?;
        let wanted = look(settings, store.as_ref(), environment).await?;
        Ok((store, wanted))
    };
    let (store, mut wanted) = match (looked.await, &mut held) {
        (Ok(looked), _) => looked,
        (Err(failure), None) => return Err(failure),
        (Err(failure), Some(install)) => return Err(install.left_alone(failure).await),
    };
    let made;
    let mut install = match held {
        Some(install) => install,
        None => {
            made = open(settings, &wanted.tip.app)?;
            let install = Install::begin(&made, &install_settings).await?;
            // Until now somebody else might have installed a newer one.
            wanted = look(settings, store.as_ref(), environment).await?;
            install
        }
    };
    let outcome = install
        .run(store.as_ref(), &wanted.manifest, &wanted.tip)
        .await;
    report(
        store.as_ref(),
        settings,
        install.state(),
        &wanted.tip,
        &outcome,
    )
    .await;
    let pulled = tell(settings, &wanted.tip, install.state(), outcome?)?;
    if pulled.outcome == Outcome::UpToDate {
        tracing::info!("{}", pulled.line());
    }
    Ok(pulled)
}

/// What a pull cannot do without.
fn asked(settings: &Settings) -> Result<(&StoreSettings, &EnvironmentName), Failure> {
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
    Ok((store, environment))
}

/// What the pointer names.
struct Wanted {
    tip: Tip,
    manifest: AppManifest,
}

async fn look(
    settings: &Settings,
    store: &dyn Store,
    environment: &EnvironmentName,
) -> Result<Wanted, Failure> {
    let app = only_app(settings, store).await?;
    let log = Log {
        store,
        app: &app,
        environment,
    };
    let newest = log.tip().await?;
    let (entry, build) = live(&app, environment, newest.as_ref().map(|tip| &tip.entry))?;
    let manifest = crate::apply::builds::manifest(store, &app, build).await?;
    let tip = Tip::new(&app, environment, entry, &manifest)?;
    Ok(Wanted { tip, manifest })
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
