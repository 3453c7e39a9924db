//! `npm-rollback`: packages on npm follow a rollback, and a `promote` that goes forward again.
//!
//! Beside an environment it follows the app: what was released with the versions that are left goes back, by the records in the store. Without an
//! environment it follows a release that is named, by the tags of the repository.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use async_trait::async_trait;

use crate::apply::builds::{self, Located};
use crate::apply::npm_rollback::{Carrying, Way, carry_out, shown};
use crate::commands::environments::Request;
use crate::commands::scene::Scene;
use crate::commands::{Session, decisions, preflight};
use crate::explain::{Exit, Failure, quoted};
use crate::local::stop::Stop;
use crate::name::{CommitId, PackageName, ReleaseId};
use crate::plan::next::Marked;
use crate::plan::npm_rollback::{PastRelease, Trail, trails};
use crate::release::manifest::Status;
use crate::remote::registry::Registry as _;
use crate::remote::registry::by_package::ByPackage;
use crate::remote::store::Store;
use crate::report::environments::{POINT_SCHEMA, Point, PointOutcome, Points};
use crate::report::npm_rollback::{OnNpm, PackageOnNpm};
use crate::settings::Settings;
use crate::settings::command::{Deed, OnNpmSettings};
use crate::version::Version;
use crate::workspace::package::Kind;

/// How many releases are looked at to find what shipped before.
const LOOKED_AT: usize = 100;

/// The releases on the way back from one, the newest first.
#[async_trait(?Send)]
trait History {
    /// The next older one; `None` where nothing older is known.
    async fn next(&mut self) -> Result<Option<PastRelease>, Failure>;
}

/// As the store records them.
struct Recorded<'a> {
    store: &'a dyn Store,
    next: Option<ReleaseId>,
    /// Where each package was published.
    places: BTreeMap<PackageName, String>,
}

#[async_trait(?Send)]
impl History for Recorded<'_> {
    async fn next(&mut self) -> Result<Option<PastRelease>, Failure> {
        while let Some(id) = self.next.take() {
            let Some(release) = builds::release(self.store, &id).await? else {
                return Ok(None);
            };
            let previous = release.previous.as_deref();
            self.next = previous.map(ReleaseId::parse).transpose()?;
            if release.status == Status::Abandoned {
                continue;
            }
            let mut packages = Vec::new();
            for package in release.packages {
                let name = PackageName::parse(&package.name)?;
                self.places.entry(name.clone()).or_insert(package.registry);
                packages.push((name, Version::parse(&package.version)?));
            }
            return Ok(Some(PastRelease {
                id: release.id,
                packages,
            }));
        }
        Ok(None)
    }
}

/// As the tags of the branch tell them.
struct Tagged<'a> {
    session: &'a Session<'a>,
    scene: &'a Scene<'a>,
    commits: VecDeque<CommitId>,
}

impl<'a> Tagged<'a> {
    /// Every release that the branch leads back to and that was not given up.
    fn of(session: &'a Session<'a>, scene: &'a Scene<'a>) -> Result<Tagged<'a>, Failure> {
        let history = session.repo.history(&scene.tip)?;
        let releases = scene.decisions.keys();
        let mut commits: Vec<(usize, CommitId)> = releases
            .filter(|commit| !scene.is_given_up(commit))
            .filter_map(|commit| Some((history.age(commit)?, commit.clone())))
            .collect();
        commits.sort();
        Ok(Tagged {
            session,
            scene,
            commits: commits.into_iter().map(|(_, commit)| commit).collect(),
        })
    }
}

#[async_trait(?Send)]
impl History for Tagged<'_> {
    async fn next(&mut self) -> Result<Option<PastRelease>, Failure> {
        let Some(commit) = self.commits.pop_front() else {
            return Ok(None);
        };
        let session = self.session;
        let workspace = session.workspace_at(&commit)?;
        let tags = &self.scene.decisions[&commit].tags;
        let marked = Marked::read(tags, session.settings.tag_format.as_deref());
        let libraries = workspace.packages.iter();
        let libraries = libraries.filter(|package| package.kind == Kind::Library);
        let packages = libraries.filter_map(|package| {
            let version = package.version.clone()?;
            marked.tag(package.name.as_str(), &version)?;
            Some((package.name.clone(), version))
        });
        Ok(Some(PastRelease {
            id: session.release_id(&commit)?.to_string(),
            packages: packages.collect(),
        }))
    }
}

/// The releases before `to` on a history, and those from it on that tell what each package was before; `None` where the history does not lead there.
async fn until(
    history: &mut dyn History,
    to: &str,
) -> Result<Option<(Vec<PastRelease>, Vec<PastRelease>)>, Failure> {
    let (mut left, mut earlier) = (Vec::new(), Vec::new());
    let mut missing: BTreeSet<PackageName> = BTreeSet::new();
    for _ in 0..LOOKED_AT {
        let Some(release) = history.next().await? else {
            break;
        };
        let names = release.packages.iter().map(|(name, _)| name);
        if earlier.is_empty() && release.id != to {
            missing.extend(names.cloned());
            left.push(release);
            continue;
        }
        for name in names {
            missing.remove(name);
        }
        earlier.push(release);
        if missing.is_empty() {
            break;
        }
    }
    Ok((!earlier.is_empty()).then_some((left, earlier)))
}

/// The releases on a history that a rollback left, from its newest on.
async fn left_behind(
    history: &mut dyn History,
    registry: &ByPackage,
) -> Result<Vec<PastRelease>, Failure> {
    let mut left = Vec::new();
    for _ in 0..LOOKED_AT {
        let Some(release) = history.next().await? else {
            break;
        };
        let mut was_left = release.packages.is_empty();
        for (name, version) in &release.packages {
            was_left |= shown(registry.package(name).await?).was_left(version);
        }
        if !was_left {
            break;
        }
        left.push(release);
    }
    Ok(left)
}

/// What is needed to write to npm.
pub struct Registries<'a> {
    /// What was asked.
    pub settings: &'a Settings,
    /// Where packages are.
    pub registry: &'a ByPackage,
    /// The wish to stop.
    pub stop: &'a Stop,
}

/// Takes packages on npm along with what environments were pointed at. It fails beside what is pointed, never instead of it.
///
/// # Errors
/// `npm::no_credential` (2) and `npm::unauthorized` (5); what a package failed of is in [`Points::failure`].
pub async fn follow(
    registries: &Registries<'_>,
    store: &dyn Store,
    deed: Deed,
    request: &Request,
    points: &mut Points,
) -> Result<(), Failure> {
    let mut on_npm = OnNpm {
        dry_run: request.dry_run,
        ..OnNpm::default()
    };
    let (mut left, mut earlier) = (Vec::new(), Vec::new());
    let mut places = BTreeMap::new();
    let moved = |point: &&Point| {
        matches!(
            point.outcome,
            PointOutcome::Done | PointOutcome::AlreadyDone
        ) && !point.is_past()
    };
    for point in points.apps.iter().filter(moved) {
        let newest = match deed {
            Deed::Promote => &point.to,
            _ => &point.from,
        };
        let Some(newest) = newest else { continue };
        let app = PackageName::parse(&point.app)?;
        let Some(id) = release_of(store, request, &app, newest).await? else {
            on_npm.reasons.push(format!(
                "the store has no release of {app} {newest} any more: its packages stay"
            ));
            continue;
        };
        let mut history = Recorded {
            store,
            next: Some(id),
            places: BTreeMap::new(),
        };
        if deed == Deed::Promote {
            left.extend(left_behind(&mut history, registries.registry).await?);
        } else if let Some(to) = &point.to {
            let id = release_of(store, request, &app, to).await?;
            let id = id.as_ref().map_or("", ReleaseId::as_str);
            match until(&mut history, id).await? {
                Some((newer, older)) => {
                    left.extend(newer);
                    earlier.extend(older);
                }
                None => on_npm.reasons.push(format!(
                    "{app} {to} was not released before {newest}: its packages stay"
                )),
            }
        }
        places.extend(history.places);
    }
    let way = way(deed, request.reason.as_deref());
    let trails = trails(&left, &earlier);
    on_npm.releases = ids(&left);
    points.npm = Some(on_npm);
    carry(registries, way, request.dry_run, (&trails, &places), points).await
}

/// Takes the packages of releases back to the one that is named, or forward to it, where no environment follows.
///
/// # Errors
/// `rollback::unknown` and `rollback::ambiguous`, exit 2; those of [`follow`].
pub async fn by_tags(
    session: &Session<'_>,
    deed: Deed,
    asked: &OnNpmSettings,
) -> Result<Points, Failure> {
    let scene = Scene::read(session)?;
    let history = session.repo.history(&scene.tip)?;
    let mut releases = Tagged::of(session, &scene)?;
    let Some(to) = &asked.to else {
        return Err(unnamed(session, deed, &releases)?);
    };
    let codes = ("rollback::unknown", "rollback::ambiguous");
    let commit = decisions::named(session, &scene, to, codes)?;
    let id = session.release_id(&commit)?;
    let (left, earlier) = if deed == Deed::Promote {
        let age = history.age(&commit);
        releases.commits.retain(|commit| history.age(commit) >= age);
        let left = left_behind(&mut releases, &session.remotes.registry).await?;
        (left, Vec::new())
    } else {
        let mut kept = VecDeque::new();
        for release in releases.commits.drain(..) {
            let is_before = history.age(&release) >= history.age(&commit);
            if is_before || session.repo.is_ancestor(&commit, &release)? {
                kept.push_back(release);
            }
        }
        releases.commits = kept;
        until(&mut releases, id.as_str()).await?.unwrap_or_default()
    };
    // What is published now goes where the newest commit says.
    session.workspace_at(&scene.tip)?;
    let dry_run = session.settings.dry_run;
    let mut reasons = Vec::new();
    if left.is_empty() {
        reasons.push(match deed {
            Deed::Promote => format!("no rollback left a package of {id} or before it"),
            _ => format!("nothing was released after {id}"),
        });
    }
    let mut points = Points {
        schema: POINT_SCHEMA,
        apps: Vec::new(),
        npm: Some(OnNpm {
            dry_run,
            releases: ids(&left),
            reasons,
            ..OnNpm::default()
        }),
        failure: None,
    };
    let registries = Registries {
        settings: session.settings,
        registry: &session.remotes.registry,
        stop: session.stop,
    };
    let way = way(deed, asked.reason.as_deref());
    let trails = trails(&left, &earlier);
    let places = BTreeMap::new();
    carry(&registries, way, dry_run, (&trails, &places), &mut points).await?;
    Ok(points)
}

/// That a run without an environment names its release: run again, "the one before" would be another one.
fn unnamed(session: &Session<'_>, deed: Deed, releases: &Tagged<'_>) -> Result<Failure, Failure> {
    const SHOWN: usize = 5;
    let command = if deed == Deed::Promote {
        "promote"
    } else {
        "rollback"
    };
    let mut known = Vec::new();
    for commit in releases.commits.iter().take(SHOWN) {
        let tags = &releases.scene.decisions[commit].tags;
        let first = tags.first().map_or("", |tag| tag.as_str());
        let more = match tags.len() {
            0 | 1 => String::new(),
            several => format!(" and {} more", several - 1),
        };
        known.push(format!("{} ({first}{more})", session.release_id(commit)?));
    }
    let what = format!("`{command}` on npm alone was not told which release");
    let failure = Failure::new(Exit::Usage, "rollback::no_target", what);
    Ok(match known.as_slice() {
        [] => failure.because("no tag of ours marks a release on this branch"),
        known => failure
            .because(format!("the newest are {}", known.join(", ")))
            .hint(format!(
                "name the release that is good with --to: its id, a tag or a version; or point an environment, with --environment, and its {command} finds it"
            )),
    })
}

fn way(deed: Deed, reason: Option<&str>) -> Way<'_> {
    match deed {
        Deed::Promote => Way::Forward,
        _ => Way::Back { reason },
    }
}

fn ids(releases: &[PastRelease]) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for release in releases {
        if !release.packages.is_empty() && !ids.contains(&release.id) {
            ids.push(release.id.clone());
        }
    }
    ids
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

/// Checks what can be known, carries out, and notes what became of each package.
async fn carry(
    registries: &Registries<'_>,
    way: Way<'_>,
    dry_run: bool,
    (trails, places): (&[Trail], &BTreeMap<PackageName, String>),
    points: &mut Points,
) -> Result<(), Failure> {
    let (here, elsewhere): (Vec<&Trail>, Vec<&Trail>) = trails.iter().partition(|trail| {
        let published = places.get(&trail.name);
        published.is_none_or(|place| *place == registries.registry.describe_of(&trail.name))
    });
    let here: Vec<Trail> = here.into_iter().cloned().collect();
    let names: Vec<&str> = here.iter().map(|trail| trail.name.as_str()).collect();
    let mut failures = Vec::new();
    let mut told = Vec::new();
    for trail in elsewhere {
        let failure = published_elsewhere(registries, &trail.name, places);
        told.push(PackageOnNpm::new(
            &trail.name,
            &[],
            Vec::new(),
            Some(&failure),
        ));
        failures.push(failure);
    }
    preflight::credential_to_change(registries.settings, registries.registry, &names).await?;
    let carrying = Carrying {
        registry: registries.registry,
        way,
        dry_run,
        concurrency: registries.settings.max_concurrency,
        stop: registries.stop,
    };
    for carried in carry_out(&carrying, &here).await {
        let failure = carried.failure.as_ref();
        told.push(PackageOnNpm::new(
            &carried.name,
            &carried.steps,
            carried.reasons,
            failure,
        ));
        failures.extend(carried.failure);
    }
    told.sort_by(|left, right| left.name.cmp(&right.name));
    if let Some(npm) = &mut points.npm {
        npm.packages = told;
    }
    if points.failure.is_none() {
        points.failure = Failure::all(failures);
    }
    Ok(())
}

fn published_elsewhere(
    registries: &Registries<'_>,
    name: &PackageName,
    places: &BTreeMap<PackageName, String>,
) -> Failure {
    let place = places.get(name).map_or("", String::as_str);
    let here = registries.registry.describe_of(name);
    let what = format!(
        "{name} was published to {}, and this run would write to {here}",
        quoted(place)
    );
    Failure::new(Exit::Usage, "npm::elsewhere", what)
        .hint("name that registry with `registry`, or with `registries` for its scope")
}
