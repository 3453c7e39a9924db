//! The releases on the way back from one, the newest first: as the store records them, or as the tags of the branch tell them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use async_trait::async_trait;

use crate::apply::builds;
use crate::apply::npm_rollback::shown;
use crate::commands::Session;
use crate::commands::scene::Scene;
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, PackageName, ReleaseId};
use crate::plan::next::Marked;
use crate::plan::npm_rollback::{Ended, MOST_RELEASES, Met, PastRelease, Stretch, WayBack};
use crate::release::manifest::Status;
use crate::remote::registry::Registry as _;
use crate::remote::registry::by_package::ByPackage;
use crate::remote::store::Store;
use crate::version::Version;
use crate::workspace::package::Kind;

/// The releases on the way back from one, the newest first.
#[async_trait(?Send)]
pub(super) trait History {
    /// The next older one; `None` where nothing older is known.
    async fn next(&mut self) -> Result<Option<PastRelease>, Failure>;
}

/// As the store records them.
pub(super) struct Recorded<'a> {
    store: &'a dyn Store,
    next: Option<ReleaseId>,
    /// Those that were met: what leads back to itself leads nowhere.
    met: BTreeSet<ReleaseId>,
    /// Where each package was published, of the releases that were met.
    pub(super) places: BTreeMap<PackageName, String>,
}

impl<'a> Recorded<'a> {
    /// From the release with the id `newest` on.
    pub(super) fn new(store: &'a dyn Store, newest: ReleaseId) -> Recorded<'a> {
        Recorded {
            store,
            next: Some(newest),
            met: BTreeSet::new(),
            places: BTreeMap::new(),
        }
    }
}

#[async_trait(?Send)]
impl History for Recorded<'_> {
    async fn next(&mut self) -> Result<Option<PastRelease>, Failure> {
        while let Some(id) = self.next.take() {
            if !self.met.insert(id.clone()) {
                return Ok(None);
            }
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
                id: id.to_string(),
                packages,
            }));
        }
        Ok(None)
    }
}

/// As the tags of the branch tell them.
pub(super) struct Tagged<'a> {
    session: &'a Session<'a>,
    scene: &'a Scene<'a>,
    /// Their commits, the newest first.
    pub(super) commits: VecDeque<CommitId>,
}

impl<'a> Tagged<'a> {
    /// Every release that the branch leads back to and that was not given up.
    pub(super) fn new(
        session: &'a Session<'a>,
        scene: &'a Scene<'a>,
    ) -> Result<Tagged<'a>, Failure> {
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

/// Where the way back to the release `to` ends.
pub(super) async fn back_to(history: &mut dyn History, to: &str) -> Result<Ended, Failure> {
    let mut way = WayBack::new(to);
    while let Some(release) = history.next().await? {
        if way.take(release) == Met::Enough {
            break;
        }
    }
    Ok(way.end())
}

/// The releases that a rollback left, from the newest on.
///
/// # Errors
/// `rollback::too_far`, exit 3; those of the registry.
pub(super) async fn left_behind(
    history: &mut dyn History,
    registry: &ByPackage,
) -> Result<Stretch, Failure> {
    let mut stretch = Stretch::default();
    while let Some(release) = history.next().await? {
        let mut was_left = release.packages.is_empty();
        for (name, version) in &release.packages {
            was_left |= shown(registry.package(name).await?).has_left(version);
        }
        if !was_left {
            break;
        }
        if stretch.releases.len() == MOST_RELEASES {
            return Err(too_far());
        }
        stretch.releases.push(release);
    }
    Ok(stretch)
}

/// That more releases lie in between than are looked at.
pub(super) fn too_far() -> Failure {
    let what = format!("more than {MOST_RELEASES} releases lie on the way");
    Failure::new(Exit::Refused, "rollback::too_far", what)
        .because("so many packages are not changed at once")
        .hint("go to a release in between first")
}
