//! `npm-rollback`: packages on npm follow a rollback, and a `promote` that goes forward again.
//!
//! Beside an environment they follow the app: what was released with the versions that are left goes back, by the records in the store. Without an
//! environment they follow a release that is named, by the tags of the repository.

mod history;

use std::collections::BTreeMap;

use crate::apply::builds::{self, Located};
use crate::apply::clock::Clock;
use crate::apply::npm_rollback::{Followed, Following, shown};
use crate::apply::point::Log;
use crate::changes::tag;
use crate::commands::environments::Request;
use crate::commands::scene::Scene;
use crate::commands::{Session, decisions, preflight};
use crate::environment::entry::Op;
use crate::explain::{Exit, Failure, quoted};
use crate::local::stop::Stop;
use crate::name::{PackageName, ReleaseId, TagName};
use crate::plan::npm_rollback::{Ended, Stretch, Trail};
use crate::remote::registry::Registry as _;
use crate::remote::registry::by_package::ByPackage;
use crate::remote::store::Store;
use crate::report::environments::{POINT_SCHEMA, Point, PointOutcome, Points};
use crate::report::npm_rollback::{OnNpm, PackageOnNpm};
use crate::settings::Settings;
use crate::settings::command::{Direction, OnNpmSettings};
use crate::settings::form::without_v;
use crate::version::Version;
use history::{Recorded, Tagged, back_to, left_behind, too_far};

/// How packages are written to.
pub struct Writing<'a> {
    /// What was asked.
    pub settings: &'a Settings,
    /// Where packages are.
    pub registry: &'a ByPackage,
    /// The wish to stop.
    pub stop: &'a Stop,
    /// Which way they go.
    pub direction: Direction,
    /// Why they go back.
    pub reason: Option<&'a str>,
}

/// Which packages go which way.
#[derive(Default)]
struct Wanted {
    stretch: Stretch,
    /// Where each package was published, as far as that is recorded.
    places: BTreeMap<PackageName, String>,
    /// Why there are no more.
    reasons: Vec<String>,
}

/// Takes packages on npm along with what environments were pointed at. It fails beside what is pointed, never instead of it: what failed is in
/// [`Points::failure`].
///
/// # Errors
/// Those of the store, and `rollback::too_far`.
pub async fn follow(
    writing: &Writing<'_>,
    store: &dyn Store,
    request: &Request,
    points: &mut Points,
) -> Result<(), Failure> {
    let mut wanted = Wanted::default();
    for point in &points.apps {
        let is_done = matches!(
            point.outcome,
            PointOutcome::Done | PointOutcome::AlreadyDone | PointOutcome::Unfinished
        );
        if is_done && !point.is_past() {
            wanted.along_with(writing, store, request, point).await?;
        }
    }
    let (on_npm, failure) = write(writing, &wanted, request.dry_run).await;
    points.npm = Some(on_npm);
    let failure = match failure {
        None if !request.dry_run => overtaken(store, request, points).await?,
        failure => failure,
    };
    if let (Some(failure), None) = (failure, &points.failure) {
        points.failure = Some(going_on(failure, request, points));
    }
    Ok(())
}

/// That an environment was pointed elsewhere while its packages followed.
async fn overtaken(
    store: &dyn Store,
    request: &Request,
    points: &Points,
) -> Result<Option<Failure>, Failure> {
    for point in &points.apps {
        let app = PackageName::parse(&point.app)?;
        let log = Log {
            store,
            app: &app,
            environment: &request.environment,
        };
        let tip = log.tip().await?;
        let live = tip.as_ref().and_then(|tip| tip.entry.state.version());
        if live != point.to.as_deref() && !point.is_past() {
            let live = live.unwrap_or("nothing");
            let what = format!(
                "{app} in {} was pointed at {live} while its packages on npm followed",
                request.environment
            );
            return Ok(Some(
                Failure::new(Exit::Overtaken, "rollback::overtaken", what)
                    .hint("look with 'status' and `npm view`; the run that pointed it there takes its own packages along"),
            ));
        }
    }
    Ok(None)
}

/// Tells how to go on with npm alone, where an environment is pointed already.
fn going_on(failure: Failure, request: &Request, points: &Points) -> Failure {
    let [
        Point {
            app,
            op,
            to: Some(to),
            ..
        },
    ] = points.apps.as_slice()
    else {
        return failure;
    };
    if request.dry_run {
        return failure;
    }
    let environment = &request.environment;
    failure.because(format!(
        "{environment} of {app} points at {to} already; `{op} --npm-rollback --environment {environment} --app {app} --to {to}` goes on with npm"
    ))
}

impl Wanted {
    /// What goes along with one app.
    async fn along_with(
        &mut self,
        writing: &Writing<'_>,
        store: &dyn Store,
        request: &Request,
        point: &Point,
    ) -> Result<(), Failure> {
        let (app, to) = (PackageName::parse(&point.app)?, point.to.as_deref());
        let newest = match writing.direction {
            Direction::Forward => point.to.clone(),
            Direction::Back => left(store, request, &app, point).await?,
        };
        let (Some(newest), Some(to)) = (newest, to) else {
            self.reasons.push(format!(
                "no rollback made {} of {app} live: its packages stay",
                to.unwrap_or("nothing")
            ));
            return Ok(());
        };
        let Some(id) = release_of(store, request, &app, &newest).await? else {
            self.reasons.push(format!(
                "the store has no release of {app} {newest} any more: its packages stay"
            ));
            return Ok(());
        };
        let mut history = Recorded::new(store, id);
        let stretch = match writing.direction {
            Direction::Forward => left_behind(&mut history, writing.registry).await?,
            Direction::Back => {
                let id = release_of(store, request, &app, to).await?;
                let id = id.as_ref().map_or("", ReleaseId::as_str);
                match back_to(&mut history, id).await? {
                    Ended::There(stretch) => stretch,
                    Ended::TooFar => return Err(too_far()),
                    Ended::Nowhere => {
                        self.reasons.push(format!(
                            "{app} {to} was not released before {newest}: its packages stay"
                        ));
                        return Ok(());
                    }
                }
            }
        };
        self.stretch.add(stretch);
        self.places.extend(history.places);
        Ok(())
    }
}

/// The version that a rollback left: also of one that was done before, whose packages did not follow then.
async fn left(
    store: &dyn Store,
    request: &Request,
    app: &PackageName,
    point: &Point,
) -> Result<Option<String>, Failure> {
    if point.from != point.to {
        return Ok(point.from.clone());
    }
    let log = Log {
        store,
        app,
        environment: &request.environment,
    };
    let Some(tip) = log.tip().await? else {
        return Ok(None);
    };
    let newest = tip.entry.state.history.first();
    let Some(back) = newest.filter(|newest| newest.op == Op::Rollback) else {
        return Ok(None);
    };
    Ok(log.entry(back.seq).await?.and_then(|tip| tip.entry.leaves))
}

/// The release of a version of an app, if the store still has its record.
async fn release_of(
    store: &dyn Store,
    request: &Request,
    app: &PackageName,
    version: &str,
) -> Result<Option<ReleaseId>, Failure> {
    let version = Version::parse(version)?;
    match builds::find(store, app, &request.environment, &version).await? {
        Located::Ready { manifest, .. } => ReleaseId::parse(&manifest.release).map(Some),
        Located::Not(_) => Ok(None),
    }
}

/// Takes the packages of releases back to the one that is named, or forward to it, where no environment follows.
///
/// # Errors
/// `rollback::no_target`, `rollback::unknown` and `rollback::ambiguous`, exit 2; `rollback::too_far`, exit 3. What failed on npm is in
/// [`Points::failure`].
pub async fn by_tags(
    session: &Session<'_>,
    direction: Direction,
    asked: &OnNpmSettings,
) -> Result<Points, Failure> {
    let scene = Scene::read(session)?;
    let releases = Tagged::new(session, &scene)?;
    let Some(to) = &asked.to else {
        return Err(unnamed(session, &scene, direction, &releases));
    };
    let writing = Writing {
        settings: session.settings,
        registry: &session.remotes.registry,
        stop: session.stop,
        direction,
        reason: asked.reason.as_deref(),
    };
    let wanted = named(session, &scene, &writing, releases, to).await?;
    // What is published now goes where the newest commit says.
    session.workspace_at(&scene.tip)?;
    let (on_npm, failure) = write(&writing, &wanted, session.settings.dry_run).await;
    Ok(Points {
        schema: POINT_SCHEMA,
        apps: Vec::new(),
        npm: Some(on_npm),
        failure,
    })
}

async fn named(
    session: &Session<'_>,
    scene: &Scene<'_>,
    writing: &Writing<'_>,
    mut releases: Tagged<'_>,
    to: &str,
) -> Result<Wanted, Failure> {
    names_one(scene, session.settings, to)?;
    let codes = ("rollback::unknown", "rollback::ambiguous");
    let commit = decisions::named(session, scene, to, codes)
        .map_err(|failure| among(failure, &newest(session, scene, &releases)))?;
    let id = session.release_id(&commit)?;
    let history = session.repo.history(&scene.tip)?;
    let age = history.age(&commit);
    let mut on_the_way = Vec::new();
    for release in releases.commits.drain(..) {
        let is_before = history.age(&release) >= age;
        let goes_back = writing.direction == Direction::Back;
        if is_before || goes_back && session.repo.is_ancestor(&commit, &release)? {
            on_the_way.push(release);
        }
    }
    releases.commits = on_the_way.into();
    let mut wanted = Wanted::default();
    match writing.direction {
        Direction::Forward => {
            wanted.stretch = left_behind(&mut releases, writing.registry).await?;
        }
        Direction::Back => match back_to(&mut releases, id.as_str()).await? {
            Ended::There(stretch) if !stretch.releases.is_empty() => {
                not_left(writing.registry, &stretch).await?;
                wanted.stretch = stretch;
            }
            Ended::TooFar => return Err(too_far()),
            Ended::There(_) => wanted
                .reasons
                .push(format!("nothing was released after {id}")),
            // It was given up: `named` knows it, and no way leads there.
            Ended::Nowhere => {
                let what = format!("{id} was given up, so nothing can go back to it");
                return Err(Failure::new(Exit::Refused, "rollback::abandoned", what)
                    .hint("name another release"));
            }
        },
    }
    Ok(wanted)
}

/// Refuses a way back to a release that a rollback left itself.
async fn not_left(registry: &ByPackage, stretch: &Stretch) -> Result<(), Failure> {
    let Some(to) = stretch.earlier.first() else {
        return Ok(());
    };
    for (name, version) in &to.packages {
        if shown(registry.package(name).await?).was_left(version) {
            let what = format!("{name} {version} was itself left by a rollback");
            return Err(
                Failure::new(Exit::Refused, "rollback::left", what).hint(format!(
                    "`promote --npm-rollback --to {}` brings it back",
                    to.id
                )),
            );
        }
    }
    Ok(())
}

/// Refuses a version alone where every package has versions of its own: it names a release that holds other packages too.
fn names_one(scene: &Scene<'_>, settings: &Settings, to: &str) -> Result<(), Failure> {
    let format = settings.tag_format.as_deref();
    let tags = scene.decisions.values().flat_map(|decision| &decision.tags);
    let is_of = |tag: &&TagName| {
        let read = tag::read_with(tag, format);
        read.is_some_and(|(name, version)| {
            name.is_some() && tag.as_str() != to && version.to_string() == without_v(to)
        })
    };
    let Some(tag) = tags.into_iter().find(is_of) else {
        return Ok(());
    };
    let what = format!(
        "{} is a version of one package, and a release may hold others",
        quoted(to)
    );
    Err(
        Failure::new(Exit::Usage, "rollback::ambiguous", what).hint(format!(
            "name a tag, {tag} for example, or the id of a release"
        )),
    )
}

/// That a run without an environment names its release: run again, "the one before" would be another one.
fn unnamed(
    session: &Session<'_>,
    scene: &Scene<'_>,
    direction: Direction,
    releases: &Tagged<'_>,
) -> Failure {
    let command = direction.command();
    let what = format!("`{command}` on npm alone was not told which release");
    let failure = Failure::new(Exit::Usage, "rollback::no_target", what).hint(format!(
        "name the release that is good with --to: its id or a tag; or point an environment, with --environment, and its {command} finds it"
    ));
    among(failure, &newest(session, scene, releases))
}

/// A failure to find a release, with those that there are.
fn among(failure: Failure, newest: &[String]) -> Failure {
    match newest {
        [] => failure.because("no tag of ours marks a release on this branch"),
        newest => failure.because(format!("the newest are {}", newest.join(", "))),
    }
}

/// The newest releases, each by its id and a tag.
fn newest(session: &Session<'_>, scene: &Scene<'_>, releases: &Tagged<'_>) -> Vec<String> {
    const SHOWN: usize = 5;
    let told = releases.commits.iter().take(SHOWN).filter_map(|commit| {
        let tags = &scene.decisions[commit].tags;
        let first = tags.first().map_or("", |tag| tag.as_str());
        let more = match tags.len() {
            0 | 1 => String::new(),
            several => format!(" and {} more", several - 1),
        };
        Some(format!(
            "{} ({first}{more})",
            session.release_id(commit).ok()?
        ))
    });
    told.collect()
}

/// Checks what can be known, carries out, and tells what became of each package.
async fn write(writing: &Writing<'_>, wanted: &Wanted, dry_run: bool) -> (OnNpm, Option<Failure>) {
    let registry = writing.registry;
    let (mut failures, mut packages, mut here) = (Vec::new(), Vec::new(), Vec::new());
    for trail in wanted.stretch.trails() {
        let place = registry.describe_of(&trail.name);
        match wanted
            .places
            .get(&trail.name)
            .filter(|published| **published != place)
        {
            None => here.push(trail),
            Some(published) => {
                let failure = elsewhere(&trail.name, published, &place);
                packages.push(PackageOnNpm::new(
                    &trail.name,
                    &[],
                    Vec::new(),
                    Some(&failure),
                ));
                failures.push(failure);
            }
        }
    }
    match followed(writing, &here, dry_run).await {
        Err(failure) => failures.push(failure),
        Ok(all) => {
            if !all.is_empty() && all.iter().all(|one| !one.is_there && one.failure.is_none()) {
                failures.push(nowhere(registry));
            }
            for one in all {
                let failure = one.failure.as_ref();
                let package = PackageOnNpm::new(&one.name, &one.steps, one.reasons, failure);
                packages.push(package);
                failures.extend(one.failure);
            }
        }
    }
    packages.sort_by(|left, right| left.name.cmp(&right.name));
    let mut reasons = wanted.reasons.clone();
    if packages.is_empty() && reasons.is_empty() {
        reasons.push(match writing.direction {
            Direction::Back => "nothing was published in the releases that are left".to_owned(),
            Direction::Forward => "no rollback left a package of these releases".to_owned(),
        });
    }
    let on_npm = OnNpm {
        dry_run,
        releases: wanted.stretch.ids(),
        packages,
        reasons,
    };
    (on_npm, Failure::all(failures))
}

async fn followed(
    writing: &Writing<'_>,
    trails: &[Trail],
    dry_run: bool,
) -> Result<Vec<Followed>, Failure> {
    let names: Vec<&str> = trails.iter().map(|trail| trail.name.as_str()).collect();
    preflight::credentials(writing.settings, writing.registry, &names, "change").await?;
    let following = Following {
        registry: writing.registry,
        direction: writing.direction,
        reason: writing.reason,
        concurrency: writing.settings.max_concurrency,
        stop: writing.stop,
        clock: Clock::default(),
    };
    Ok(if dry_run {
        following.foresee(trails).await
    } else {
        following.carry_out(trails).await
    })
}

/// That a registry has none of what was released.
fn nowhere(registry: &ByPackage) -> Failure {
    let what = format!("{} has none of these versions", registry.describe());
    Failure::new(Exit::Usage, "npm::elsewhere", what)
        .hint("name the registry that they were published to with `registry`, or with `registries`")
}

fn elsewhere(name: &PackageName, published: &str, here: &str) -> Failure {
    let published = quoted(published);
    let what = format!("{name} was published to {published}, and this run would write to {here}");
    Failure::new(Exit::Usage, "npm::elsewhere", what)
        .hint("name that registry with `registry`, or with `registries` for its scope")
}
