//! `pull`: on a host, run what the pointer names. Fetches, verifies and unpacks before anything is touched; goes back by itself when the new release does not become healthy.

use std::sync::Arc;

use crate::apply::builds;
use crate::apply::install::{self, Install, InstallOutcome, InstallSettings, ProbePatience};
use crate::apply::point::{Log, environments_of};
use crate::commands::environments::names::{meant, unknown_app};
use crate::commands::open_store;
use crate::explain::{Exit, Failure};
use crate::local::host::{Host, Patience};
use crate::local::process::Children;
use crate::name::{EnvironmentName, PackageName};
use crate::plan::pull::{Pull, Tip, check_environment, decide, live};
use crate::release::app::AppManifest;
use crate::release::host::HostState;
use crate::release::{layout, to_bytes};
use crate::remote::store::{Body, Headers, Store};
use crate::report::pull::{Outcome, Pulled};
use crate::settings::{PullSettings, Settings};

/// Installs once what the pointer names.
///
/// # Errors
/// `pull::went_back`, exit 1, when the new release did not become healthy; the old one runs again.
pub async fn pull(
    settings: &Settings,
    asked: &PullSettings,
    children: &Children,
) -> Result<Pulled, Failure> {
    if settings.dry_run {
        let planned = would(asked, &look(asked).await?.tip)?;
        return Ok(Pulled {
            dry_run: true,
            ..planned
        });
    }
    let install_settings = install_settings(settings, asked, children);
    if let Some(host) = known_host(asked)? {
        if let Err(other) = check_environment(host.app(), &asked.environment, &host.state()?) {
            // It may be a slip of the finger, which is no reason to touch what runs.
            let _ = look(asked).await?;
            return Err(other);
        }
        // Nobody installs while we read, and the service comes back even while the store is away.
        let mut install = Install::begin(&host, &install_settings).await?;
        return match look(asked).await {
            Ok(wanted) => act(settings, asked, &mut install, &wanted).await,
            Err(failure) => Err(install.left_alone(failure).await),
        };
    }
    // No directory is made for an app that is not live.
    let app = look(asked).await?.tip.app;
    let host = open(asked, &app)?;
    let mut install = Install::begin(&host, &install_settings).await?;
    // Until the lock was ours, somebody else might have installed a newer one.
    let wanted = look(asked).await?;
    act(settings, asked, &mut install, &wanted).await
}

/// Installs what is wanted, reports it to the store, and says what came of it.
async fn act(
    settings: &Settings,
    asked: &PullSettings,
    install: &mut Install<'_>,
    wanted: &Wanted,
) -> Result<Pulled, Failure> {
    let (store, tip) = (wanted.store.as_ref(), &wanted.tip);
    let outcome = install.run(store, &wanted.manifest, tip).await;
    let at = crate::report::moment(settings.now);
    report(store, asked, install.state(), tip, &outcome, &at).await;
    let mut pulled = tell(asked, tip, install.state(), outcome?)?;
    if pulled.outcome == Outcome::Installed {
        let archive = wanted.manifest.archive.as_ref();
        pulled.fetched_bytes = Some(install.fetched());
        pulled.archive_bytes = archive.map(|archive| archive.size);
    }
    if matches!(pulled.outcome, Outcome::UpToDate | Outcome::FailedBefore) {
        tracing::info!("{}", pulled.line());
    }
    Ok(pulled)
}

/// What the pointer names, and the store that says so.
struct Wanted {
    store: Arc<dyn Store>,
    tip: Tip,
    manifest: AppManifest,
}

async fn look(asked: &PullSettings) -> Result<Wanted, Failure> {
    let store = open_store(&asked.store).await?;
    let app = match &asked.app {
        Some(app) => app.clone(),
        None => only_app(store.as_ref()).await?,
    };
    let log = Log {
        store: store.as_ref(),
        app: &app,
        environment: &asked.environment,
    };
    let newest = log.tip().await?;
    let newest = newest.as_ref().map(|tip| &tip.entry);
    let (entry, build) = match live(&app, &asked.environment, newest) {
        Ok(live) => live,
        Err(failure) => return Err(of_names(log, failure).await?),
    };
    let manifest = builds::manifest(store.as_ref(), &app, build).await?;
    let tip = Tip::new(&app, &asked.environment, entry, &manifest)?;
    Ok(Wanted {
        store,
        tip,
        manifest,
    })
}

/// Nothing is live, because of `failure`: if a name is wrong, what was meant.
async fn of_names(log: Log<'_>, failure: Failure) -> Result<Failure, Failure> {
    let apps = builds::apps(log.store).await?;
    if !apps.is_empty() && !apps.contains(log.app) {
        return Ok(unknown_app(log.app, &apps));
    }
    let used = environments_of(log.store, log.app).await?;
    if used.is_empty() || used.contains(log.environment) {
        return Ok(failure);
    }
    let names: Vec<&str> = used.iter().map(EnvironmentName::as_str).collect();
    let failure = failure.because(format!("it was promoted to {}", names.join(", ")));
    Ok(match meant(log.environment, &used) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure,
    })
}

/// The host's directory of the app that was named, where it was pulled before.
fn known_host(asked: &PullSettings) -> Result<Option<Host>, Failure> {
    let known = asked
        .app
        .as_ref()
        .filter(|app| Host::is_known(&asked.host_directory, app));
    known.map(|app| open(asked, app)).transpose()
}

fn open(asked: &PullSettings, app: &PackageName) -> Result<Host, Failure> {
    Host::open(&asked.host_directory, &asked.log_directory, app)
}

/// What a pull would do, from what the host remembers; nothing is made or changed.
fn would(asked: &PullSettings, tip: &Tip) -> Result<Pulled, Failure> {
    let state = if Host::is_known(&asked.host_directory, &tip.app) {
        open(asked, &tip.app)?.state()?
    } else {
        HostState::default()
    };
    let outcome = match decide(tip, &state)? {
        Pull::UpToDate | Pull::Remember => Outcome::UpToDate,
        Pull::AlreadyFailedHere if !asked.force => Outcome::FailedBefore,
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
        fetched_bytes: None,
        archive_bytes: None,
        dry_run: false,
    }
}

/// What is said about an install that ended.
fn tell(
    asked: &PullSettings,
    tip: &Tip,
    state: &HostState,
    outcome: InstallOutcome,
) -> Result<Pulled, Failure> {
    let Tip { app, version, .. } = tip;
    let log = asked.log_directory.join(app.as_str()).join("service.log");
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
        deltas: asked.deltas,
    }
}

/// The app of a store that holds only one.
async fn only_app(store: &dyn Store) -> Result<PackageName, Failure> {
    let apps = builds::apps(store).await?;
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
    state: &HostState,
    tip: &Tip,
    outcome: &Result<InstallOutcome, Failure>,
    at: &str,
) {
    let Some(name) = &asked.host_name else {
        return;
    };
    let written = async {
        let report = install::report(name, tip, state, outcome, at);
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
