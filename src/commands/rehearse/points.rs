//! Pointing the environments of a rehearsal.

use crate::commands::environments::{self, Request};
use crate::commands::{open_store, point};
use crate::explain::{Exit, Failure};
use crate::local::process::Children;
use crate::local::stop::Stop;
use crate::name::{EnvironmentName, PackageName};
use crate::plan::promote::By;
use crate::report::environments::{Points, points as told};
use crate::settings::Settings;
use crate::settings::{Apps, Choice};
use crate::version::Version;

/// The environment that is rehearsed: the last one, which a release does not activate by itself.
fn environment(settings: &Settings, app: &PackageName) -> Result<EnvironmentName, Failure> {
    let own = settings.app_settings(app);
    own.environments
        .iter()
        .rev()
        .find(|name| !own.auto.contains(name))
        .or(own.environments.last())
        .cloned()
        .map_or_else(|| EnvironmentName::parse("prod"), Ok)
}

fn request(
    settings: &Settings,
    stop: &Stop,
    app: &PackageName,
    to: Option<String>,
    force: bool,
    deed: &str,
) -> Result<Request, Failure> {
    Ok(Request {
        apps: Apps::Named(vec![app.clone()]),
        environment: environment(settings, app)?,
        to,
        from: None,
        reason: Some("rehearsal".to_owned()),
        actor: "rehearsal".to_owned(),
        by: By::Person,
        force,
        dry_run: false,
        now: crate::report::moment(settings.now),
        operation: format!("{:032x} {deed}", settings.nonce),
        run: None,
        environments: point::configured(settings),
        static_root: settings.static_root.clone(),
        // Nobody hears of what is only tried.
        cdn: Choice::Off,
        static_url: None,
        attempt: point::attempt(settings),
        concurrency: settings.max_concurrency,
        stop: stop.clone(),
        ancestry: None,
    })
}

pub(super) async fn point_at(
    settings: &Settings,
    stop: &Stop,
    app: &PackageName,
    version: &Version,
    force: bool,
) -> Result<Vec<String>, Failure> {
    let request = request(
        settings,
        stop,
        app,
        Some(version.to_string()),
        force,
        &format!("promote {version} {force}"),
    )?;
    let points = environments::promote(&request, &environment_remotes(settings).await?).await?;
    finish(&points)
}

pub(super) async fn roll_back(
    settings: &Settings,
    stop: &Stop,
    app: &PackageName,
) -> Result<Vec<String>, Failure> {
    let request = request(settings, stop, app, None, false, "rollback")?;
    let points = environments::rollback(&request, &environment_remotes(settings).await?).await?;
    finish(&points)
}

async fn environment_remotes(settings: &Settings) -> Result<environments::Remotes, Failure> {
    let Some(store) = settings.store.value() else {
        return Err(Failure::new(
            Exit::Usage,
            "settings::missing",
            "a rehearsal has a store of its own",
        ));
    };
    Ok(point::remotes(
        settings,
        open_store(store).await?,
        &Children::default(),
    ))
}

fn finish(points: &Points) -> Result<Vec<String>, Failure> {
    match &points.failure {
        Some(failure) => Err(failure.clone()),
        None => Ok(told(points).lines().map(str::to_owned).collect()),
    }
}
