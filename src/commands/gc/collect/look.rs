//! Looking at a store: what is there, how old it is, and what names what.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::apply::builds;
use crate::apply::point::{Log, Tip};
use crate::apply::static_files::{self, Applied, read_set};
use crate::environment::target::Standing;
use crate::explain::{Exit, Failure};
use crate::name::{Digest, EnvironmentName, Key, PackageName};
use crate::plan::retention::{
    self, App, Delta, Facts, Moved, Names, Object, Place, Policy, Recorded, Sealed, Stored,
};
use crate::plan::static_root;
use crate::release::app::StaticFiles;
use crate::release::manifest::{self, ReleaseManifest, Status};
use crate::release::seal::{self, Seal};
use crate::release::{LONGEST_DOCUMENT, from_bytes, layout};
use crate::remote::store::Store;
use crate::version::Version;

/// Looks at a store.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) policy: Policy,
    pub(super) policies: &'a BTreeMap<PackageName, Policy>,
    pub(super) now: i64,
    pub(super) concurrency: usize,
}

/// The objects that start with `prefix`.
pub(super) async fn objects(store: &dyn Store, prefix: &str) -> Result<Vec<Object>, Failure> {
    let listed = store.inventory(prefix).await?;
    Ok(listed
        .into_iter()
        .map(|found| Object {
            key: found.key,
            size: found.size,
            modified: found.modified,
        })
        .collect())
}

/// The entries of one log: number and time.
type Entries = Vec<(u64, Option<i64>)>;

/// The objects of one version of an app.
#[derive(Default)]
struct Held {
    manifests: Vec<Object>,
    copies: Vec<Object>,
}

/// The objects of an app, version by version.
type Versions = BTreeMap<Version, Held>;

/// Everything in the store, by what it is.
#[derive(Default)]
struct Shelves {
    apps: BTreeMap<PackageName, Versions>,
    logs: BTreeMap<PackageName, BTreeMap<EnvironmentName, Entries>>,
    deltas: BTreeMap<PackageName, Vec<Delta>>,
    releases: Vec<Key>,
    seals: Vec<Object>,
    blobs: Vec<(Digest, Object)>,
    probes: Vec<Object>,
}

impl Shelves {
    fn sort(objects: Vec<Object>) -> Shelves {
        let mut shelves = Shelves::default();
        for object in objects {
            shelves.add(object);
        }
        shelves
    }

    fn add(&mut self, object: Object) {
        let key = &object.key;
        let text = key.as_str();
        if let Some(digest) = layout::blob_of(key) {
            self.blobs.push((digest, object));
        } else if let Some((app, version, _)) = layout::build_of(key) {
            let versions = self.apps.entry(app).or_default();
            versions.entry(version).or_default().manifests.push(object);
        } else if let Some((app, version)) = layout::archive_of(key) {
            let versions = self.apps.entry(app).or_default();
            versions.entry(version).or_default().copies.push(object);
        } else if let Some((app, to, from)) = layout::delta_of(key) {
            let deltas = self.deltas.entry(app).or_default();
            deltas.push(Delta { to, from, object });
        } else if let (Some((app, environment)), Some(seq)) =
            (layout::environment_of(key), layout::log_entry_seq(key))
        {
            let logs = self.logs.entry(app).or_default();
            logs.entry(environment)
                .or_default()
                .push((seq, object.modified));
        } else if text.starts_with(layout::RELEASES) {
            self.releases.push(object.key);
        } else if text.starts_with(layout::SEALS) {
            self.seals.push(object);
        } else if text.starts_with(layout::PROBES) {
            self.probes.push(object);
        }
    }
}

impl Look<'_> {
    /// Everything that decides what goes.
    pub(super) async fn facts(&self) -> Result<Facts, Failure> {
        let mut shelves = Shelves::sort(objects(self.store, layout::EVERYTHING).await?);
        let releases = self.releases(&shelves.releases).await?;
        let mut names: Vec<PackageName> = shelves.apps.keys().cloned().collect();
        names.extend(shelves.logs.keys().cloned());
        names.extend(shelves.deltas.keys().cloned());
        names.sort();
        names.dedup();
        let mut apps = Vec::new();
        for name in names {
            let versions = shelves.apps.remove(&name).unwrap_or_default();
            let logs = shelves.logs.remove(&name).unwrap_or_default();
            apps.push(App {
                policy: self.policy_of(&name),
                versions: self.versions(&name, versions, &releases).await?,
                places: self.places_of(&name, &logs).await?,
                deltas: shelves.deltas.remove(&name).unwrap_or_default(),
                name,
            });
        }
        let releases = releases.into_values().map(recorded).collect();
        Ok(Facts {
            now: self.now,
            apps,
            releases,
            seals: self.seals(shelves.seals).await?,
            blobs: shelves.blobs,
            probes: shelves.probes,
        })
    }

    pub(super) fn policy_of(&self, app: &PackageName) -> Policy {
        self.policies.get(app).copied().unwrap_or(self.policy)
    }

    async fn releases(&self, keys: &[Key]) -> Result<BTreeMap<String, ReleaseManifest>, Failure> {
        let reads = keys.iter().map(|key| async move {
            let bytes = self.store.get(key, LONGEST_DOCUMENT).await?;
            let read = bytes
                .map(|bytes| from_bytes::<ReleaseManifest>(manifest::SCHEMA, key.as_str(), &bytes));
            Ok::<_, Failure>(read.transpose()?.map(|read| (read.id.clone(), read)))
        });
        let reads = stream::iter(reads.collect::<Vec<_>>()).buffered(self.concurrency);
        reads
            .try_filter_map(|read| async move { Ok(read) })
            .try_collect()
            .await
    }

    async fn versions(
        &self,
        app: &PackageName,
        versions: Versions,
        releases: &BTreeMap<String, ReleaseManifest>,
    ) -> Result<Vec<Stored>, Failure> {
        let reads: Vec<_> = versions
            .into_iter()
            .map(|(version, held)| async move { self.version(app, version, held, releases).await })
            .collect();
        stream::iter(reads)
            .buffered(self.concurrency)
            .try_collect()
            .await
    }

    async fn version(
        &self,
        app: &PackageName,
        version: Version,
        held: Held,
        releases: &BTreeMap<String, ReleaseManifest>,
    ) -> Result<Stored, Failure> {
        let mut stored = Stored {
            version: version.clone(),
            release: String::new(),
            standing: Standing::Ready,
            manifests: Vec::new(),
            copies: held.copies,
            names: Names::default(),
        };
        for object in held.manifests {
            let Some((_, _, variant)) = layout::build_of(&object.key) else {
                continue;
            };
            // One that is gone was deleted by another run while we looked.
            let Some(bytes) = self.store.get(&object.key, LONGEST_DOCUMENT).await? else {
                continue;
            };
            let read = builds::read(app, &version, &variant, object.key.as_str(), &bytes)?;
            let names = self
                .names(&object.key, read.blobs()?, read.static_files.as_ref())
                .await?;
            let Some(names) = names else { continue };
            stored.names.add(&names);
            stored.standing = worse(stored.standing, standing(releases.get(&read.release)));
            stored.release = read.release;
            stored.manifests.push(object);
        }
        Ok(stored)
    }

    async fn seals(&self, objects: Vec<Object>) -> Result<Vec<Sealed>, Failure> {
        let reads: Vec<_> = objects
            .into_iter()
            .map(|object| async move { self.seal(object).await })
            .collect();
        let reads = stream::iter(reads).buffered(self.concurrency);
        reads
            .try_filter_map(|read| async move { Ok(read) })
            .try_collect()
            .await
    }

    async fn seal(&self, object: Object) -> Result<Option<Sealed>, Failure> {
        let Some(bytes) = self.store.get(&object.key, LONGEST_DOCUMENT).await? else {
            return Ok(None);
        };
        let read: Seal = from_bytes(seal::SCHEMA, object.key.as_str(), &bytes)?;
        let mut names = Names::default();
        let edits = read
            .commit
            .edits
            .iter()
            .filter_map(|edit| edit.digest.as_ref());
        let packages = read.packages.iter();
        let tarballs =
            packages.flat_map(|package| [Some(&package.digest), package.manifest.as_ref()]);
        for digest in edits.chain(tarballs.flatten()) {
            names.blobs.insert(Digest::parse(digest)?);
        }
        for app in &read.apps {
            let found = self
                .names(&object.key, app.blobs()?, app.static_files.as_ref())
                .await?;
            match found {
                Some(found) => names.add(&found),
                None => return Ok(None),
            }
        }
        Ok(Some(Sealed {
            object,
            tags: read.tags,
            names,
        }))
    }

    /// What a build names: `blobs`, and its static files; `None` where the document at `key`, which tells of it, is gone by now.
    async fn names(
        &self,
        key: &Key,
        blobs: Vec<Digest>,
        static_files: Option<&StaticFiles>,
    ) -> Result<Option<Names>, Failure> {
        let mut names = Names::default();
        names.blobs.extend(blobs);
        let Some(static_files) = static_files else {
            return Ok(Some(names));
        };
        let digest = Digest::parse(&static_files.digest)?;
        let Some(set) = read_set(self.store, &digest).await? else {
            return match self.store.head(key).await? {
                None => Ok(None),
                Some(_) => Err(unknown_names(key, &digest)),
            };
        };
        names.blobs.extend(set.blobs()?);
        let paths = set.files.into_iter().map(|file| file.path);
        names.paths.extend(paths);
        Ok(Some(names))
    }

    /// What seals name that are not among the `known` ones, which they are from now on.
    pub(super) async fn new_names(&self, known: &mut BTreeSet<Key>) -> Result<Names, Failure> {
        let mut there = objects(self.store, layout::SEALS).await?;
        there.retain(|object| known.insert(object.key.clone()));
        let mut names = Names::default();
        for seal in self.seals(there).await? {
            names.add(&seal.names);
        }
        Ok(names)
    }

    /// The environments of an app as they are now.
    pub(super) async fn places(&self, app: &PackageName) -> Result<Vec<Place>, Failure> {
        let mut shelves = Shelves::sort(objects(self.store, &layout::environments(app)).await?);
        let logs = shelves.logs.remove(app).unwrap_or_default();
        self.places_of(app, &logs).await
    }

    async fn places_of(
        &self,
        app: &PackageName,
        logs: &BTreeMap<EnvironmentName, Entries>,
    ) -> Result<Vec<Place>, Failure> {
        let mut places = Vec::new();
        for (environment, entries) in logs {
            let log = Log {
                store: self.store,
                app,
                environment,
            };
            if let Some(tip) = log.tip().await? {
                places.push(self.place(log, &tip, entries).await?);
            }
        }
        Ok(places)
    }

    /// An environment as its newest entry, `tip`, tells it; `entries` are those of its log that were listed, with their times.
    pub(super) async fn place(
        &self,
        log: Log<'_>,
        tip: &Tip,
        entries: &[(u64, Option<i64>)],
    ) -> Result<Place, Failure> {
        let listed: BTreeMap<u64, Option<i64>> = entries.iter().copied().collect();
        let moves = log.moves(tip).await?;
        let moves = moves.into_iter().map(|step| Moved {
            // Two clocks tell when: the later one keeps more.
            at: seconds(&step.at).max(listed.get(&step.seq).copied().flatten()),
            version: step.version,
        });
        let before = match retention::a_day_ago(self.now, entries) {
            Some(seq) => log.entry(seq).await?,
            None => None,
        };
        let state = &tip.entry.state;
        Ok(Place {
            environment: log.environment.clone(),
            current: state.version().map(str::to_owned),
            moves: moves.collect(),
            bad: state.bad.clone(),
            pinned: state.pinned.clone(),
            retired: state.retired.clone(),
            retired_for_a_day: before.map_or_else(Vec::new, |tip| tip.entry.state.retired),
        })
    }

    /// The static roots from which environments are served, placeholders replaced.
    pub(super) async fn roots(&self, facts: &Facts) -> Result<BTreeSet<String>, Failure> {
        let mut roots = BTreeSet::new();
        for app in &facts.apps {
            for place in &app.places {
                let log = Log {
                    store: self.store,
                    app: &app.name,
                    environment: &place.environment,
                };
                let key = layout::static_state(log.app, log.environment);
                if let Some(bytes) = self.store.get(&key, LONGEST_DOCUMENT).await? {
                    let applied: Applied = from_bytes(static_files::SCHEMA, key.as_str(), &bytes)?;
                    roots.insert(applied.root);
                }
                let tip = log.tip().await?;
                if let Some(served) = tip.and_then(|tip| tip.entry.static_place) {
                    roots.insert(static_root::resolve(
                        &served.root,
                        log.app,
                        log.environment,
                    )?);
                }
            }
        }
        Ok(roots)
    }
}

/// A moment as an entry writes it; `None` where it writes none.
fn seconds(moment: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(moment, &Rfc3339).ok()?;
    Some(moment.unix_timestamp())
}

fn standing(release: Option<&ReleaseManifest>) -> Standing {
    match release.map(|release| release.status) {
        Some(Status::Complete) => Standing::Ready,
        Some(Status::Abandoned) => Standing::Abandoned,
        None => Standing::Incomplete,
    }
}

/// Of two builds of one version, the one that says more about what is still to come.
fn worse(one: Standing, other: Standing) -> Standing {
    match (one, other) {
        (Standing::Ready, other) => other,
        (_, Standing::Incomplete) => Standing::Incomplete,
        (one, _) => one,
    }
}

fn recorded(release: ReleaseManifest) -> Recorded {
    Recorded {
        id: release.id,
        seal: release.seal,
        tags: release.tags,
        previous: release.previous,
        is_abandoned: release.status == Status::Abandoned,
    }
}

fn unknown_names(key: &Key, digest: &Digest) -> Failure {
    Failure::new(
        Exit::Integrity,
        "static::set",
        format!("the list of static files that {key} names is missing"),
    )
    .because(format!("the store has no bytes with {digest}"))
    .hint("restore it from the store's own versions: without it nobody knows which bytes are needed, so nothing was deleted")
}
