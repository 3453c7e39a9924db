//! What may be deleted from a store, and what every environment must give up before.
//!
//! A version is retired in the log of every environment of its app first: a promote and a retire write the same number of the same log, so either the
//! promote comes first, and the retire is judged again and left, or the retire does, and the promote is refused. Only what was retired everywhere for a
//! day is deleted, by a later run that looked again. Bytes, seals and static files have no log: they go by what still names them, and by their age.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::promote::Judgement;
use crate::environment::entry::Event;
use crate::environment::target::Standing;
use crate::name::{Digest, EnvironmentName, Key, PackageName};
use crate::release::{DAY, GRACE};
use crate::version::Version;

/// How much an app keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// So many versions that were live last, in each environment, and so many that were never live.
    pub keep_releases: usize,
    /// All that were live within so many days.
    pub keep_days: i64,
}

/// All that is looked at.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Now, in seconds since 1970.
    pub now: i64,
    /// The apps of the store.
    pub apps: Vec<App>,
    /// The recorded releases.
    pub releases: Vec<Recorded>,
    /// The seals.
    pub seals: Vec<Sealed>,
    /// The bytes by their digest.
    pub blobs: Vec<(Digest, Object)>,
    /// What checks of the store left.
    pub probes: Vec<Object>,
}

/// An app.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name.
    pub name: PackageName,
    /// How much it keeps.
    pub policy: Policy,
    /// What the store holds of it.
    pub versions: Vec<Stored>,
    /// Its environments that have a log.
    pub places: Vec<Place>,
    /// The deltas between its archives.
    pub deltas: Vec<Delta>,
}

/// A delta between two versions of an app.
#[derive(Debug, Clone)]
pub struct Delta {
    /// The version to which it leads.
    pub to: Version,
    /// The version from which it leads.
    pub from: Version,
    /// Where it lies.
    pub object: Object,
}

/// An object in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, by the store's clock; `None` where that is not known.
    pub modified: Option<i64>,
}

/// One version of an app.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The version.
    pub version: Version,
    /// The id of its release.
    pub release: String,
    /// Whether its release is complete.
    pub standing: Standing,
    /// Its app manifests.
    pub manifests: Vec<Object>,
    /// The archives under the names that people look for.
    pub copies: Vec<Object>,
    /// What its manifests name.
    pub names: Names,
}

/// What a document names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Bytes by their digest.
    pub blobs: BTreeSet<Digest>,
    /// Paths of static files.
    pub paths: BTreeSet<String>,
}

impl Names {
    /// Adds what `other` names.
    pub fn add(&mut self, other: &Names) {
        self.blobs.extend(other.blobs.iter().cloned());
        self.paths.extend(other.paths.iter().cloned());
    }
}

/// One environment of an app, as its newest entry tells it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The environment.
    pub environment: EnvironmentName,
    /// The version that is live.
    pub current: Option<String>,
    /// Every version that became live, the newest first.
    pub moves: Vec<Moved>,
    /// The versions that were judged bad.
    pub bad: Vec<String>,
    /// The versions that are kept.
    pub pinned: Vec<String>,
    /// The versions that are given up.
    pub retired: Vec<String>,
    /// Those that were given up a day ago already.
    pub retired_for_a_day: Vec<String>,
}

/// That a version became live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The version.
    pub version: String,
    /// When; `None` where that is not known.
    pub at: Option<i64>,
}

/// A recorded release.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its id.
    pub id: String,
    /// The key of its seal.
    pub seal: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The release before it on its branch.
    pub previous: Option<String>,
    /// Whether it was given up.
    pub is_abandoned: bool,
}

/// A seal.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Where it lies.
    pub object: Object,
    /// The tags that its release has, or would have.
    pub tags: Vec<String>,
    /// What it names.
    pub names: Names,
}

/// Why a version stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// It is live.
    Live(EnvironmentName),
    /// It is pinned.
    Pinned(EnvironmentName),
    /// It is one of the last that were live.
    Recent(EnvironmentName, usize),
    /// It was live not long ago.
    Days(EnvironmentName, i64),
    /// It is the newest of its app, or of the newest release of a branch.
    Newest,
    /// It is one of the newest that were never live.
    NeverLive(usize),
    /// It was recorded not long ago.
    Young,
    /// Its release is not complete.
    Incomplete,
    /// Its app has no environment yet, so nothing says what is needed.
    NoEnvironment,
}

impl fmt::Display for Keep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::Live(environment) => write!(formatter, "it is live in {environment}"),
            Keep::Pinned(environment) => write!(formatter, "it is pinned in {environment}"),
            Keep::Recent(environment, count) => write!(
                formatter,
                "it is one of the last {count} that were live in {environment}"
            ),
            Keep::Days(environment, days) => {
                write!(formatter, "it was live in {environment} within {days} days")
            }
            Keep::Newest => formatter.write_str("it is the newest, of its app or on a branch"),
            Keep::NeverLive(count) => write!(
                formatter,
                "it is one of the newest {count} that were never live"
            ),
            Keep::Young => formatter.write_str("it was recorded within 7 days"),
            Keep::Incomplete => formatter.write_str("its release is not complete"),
            Keep::NoEnvironment => formatter.write_str("its app has no environment yet"),
        }
    }
}

/// Why something goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// No environment needs the version; its release is complete.
    Unneeded,
    /// The release of the version was given up.
    Abandoned,
    /// All environments gave the version up, a day ago or longer.
    Retired,
    /// A copy of an archive whose build is not recorded.
    NoManifest,
    /// The release of the seal is recorded.
    Recorded(String),
    /// Another release has a tag of the seal's.
    Overtaken {
        /// The release.
        release: String,
        /// The tag.
        tag: String,
    },
    /// Nothing names it.
    Unnamed,
    /// It was left by a check of the store.
    Probe,
    /// A delta whose one end is not there, or goes.
    NoEnd(Version),
    /// An upload that nobody completed for a day.
    Unfinished,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Unneeded => formatter.write_str("no environment, window or pin needs it"),
            Why::Abandoned => formatter.write_str("its release was abandoned"),
            Why::Retired => formatter.write_str("every environment gave it up"),
            Why::NoManifest => formatter.write_str("its build is not recorded"),
            Why::Recorded(release) => write!(formatter, "release {release} is recorded"),
            Why::Overtaken { release, tag } => {
                write!(formatter, "release {release} has its tag {tag}")
            }
            Why::Probe => formatter.write_str("a check of the store left it"),
            Why::NoEnd(version) => write!(formatter, "{version} is not there any more"),
            Why::Unfinished => formatter.write_str("begun more than a day ago, and not completed"),
            Why::Unnamed => formatter.write_str("no manifest and no seal names it"),
        }
    }
}

/// A version that environments give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retire {
    /// The app.
    pub app: PackageName,
    /// The version.
    pub version: Version,
    /// The environments that have not given it up yet.
    pub environments: Vec<EnvironmentName>,
    /// Why.
    pub why: Why,
    /// What it holds under its own name, in bytes.
    pub bytes: u64,
}

/// A version that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The app.
    pub app: PackageName,
    /// The version.
    pub version: Version,
    /// Its objects in the order in which they go: the manifests last.
    pub objects: Vec<Object>,
    /// What it names, which stays where it stays after all.
    pub names: Names,
    /// Why.
    pub why: Why,
}

/// An object that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The object.
    pub object: Object,
    /// Why.
    pub why: Why,
}

/// A version that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The app.
    pub app: PackageName,
    /// The version.
    pub version: Version,
    /// Why.
    pub why: Keep,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// Versions that environments give up.
    pub retire: Vec<Retire>,
    /// Versions that all environments gave up less than a day ago.
    pub waiting: Vec<(PackageName, Version)>,
    /// Versions that go.
    pub versions: Vec<Given>,
    /// Copies of archives that go by themselves.
    pub copies: Vec<Gone>,
    /// Deltas that go.
    pub deltas: Vec<Gone>,
    /// Seals that go.
    pub seals: Vec<Gone>,
    /// What checks of the store left.
    pub probes: Vec<Gone>,
    /// Bytes that go.
    pub blobs: Vec<Gone>,
    /// What is still named when all that is gone.
    pub named: Names,
    /// Versions that stay.
    pub kept: Vec<Kept>,
    /// How many seals stay that no recorded release explains: whether a tag names them cannot be seen from the store.
    pub open_seals: usize,
}

/// How old something is for certain, in seconds. The clocks of two machines may differ by a day: what the store says is a day younger.
#[must_use]
pub fn age(now: i64, modified: Option<i64>) -> i64 {
    modified.map_or(0, |modified| {
        now.saturating_sub(modified).saturating_sub(DAY).max(0)
    })
}

/// Whether something is old enough to go when nothing names it.
#[must_use]
pub fn is_old(now: i64, object: &Object) -> bool {
    age(now, object.modified) >= GRACE
}

/// Whether an upload that was begun at `begun` and is not completed was left by whoever began it: no run uploads for a day.
#[must_use]
pub fn is_left(now: i64, begun: Option<i64>) -> bool {
    age(now, begun) >= DAY
}

/// The newest of some log entries, given by number and time, that was there a day ago.
#[must_use]
pub fn a_day_ago(now: i64, entries: &[(u64, Option<i64>)]) -> Option<u64> {
    let old = entries
        .iter()
        .filter(|(_, modified)| age(now, *modified) >= DAY);
    old.map(|(seq, _)| *seq).max()
}

impl Place {
    /// Why this environment needs a version, for each that it needs.
    #[must_use]
    pub fn window(&self, policy: Policy, now: i64) -> BTreeMap<String, Keep> {
        let mut window = BTreeMap::new();
        let mut need = |version: &str, why: Keep| {
            window.entry(version.to_owned()).or_insert(why);
        };
        let here = || self.environment.clone();
        if let Some(current) = &self.current {
            need(current, Keep::Live(here()));
        }
        for pinned in &self.pinned {
            need(pinned, Keep::Pinned(here()));
        }
        let mut seen: BTreeSet<&str> = self.current.as_deref().into_iter().collect();
        let mut others = 0;
        for step in &self.moves {
            if others == policy.keep_releases {
                break;
            }
            if seen.insert(&step.version) {
                need(&step.version, Keep::Recent(here(), policy.keep_releases));
                // No rollback goes to these, so they take nobody's place.
                let is_out =
                    self.bad.contains(&step.version) || self.retired.contains(&step.version);
                others += usize::from(!is_out);
            }
        }
        // A version was live until the next one was.
        let mut until: Option<i64> = None;
        for step in &self.moves {
            let is_within = age(now, until) < policy.keep_days.saturating_mul(DAY);
            if until.is_none() || is_within {
                need(&step.version, Keep::Days(here(), policy.keep_days));
            }
            until = Some(step.at.unwrap_or(now));
        }
        window
    }
}

/// Judges giving `version` up in `place`, as its newest entry tells it.
#[must_use]
pub fn judge(place: &Place, policy: Policy, now: i64, version: &Version) -> Judgement {
    let text = version.to_string();
    if place.retired.contains(&text) {
        let reasons = vec![format!("{text} is retired in {}", place.environment)];
        return Judgement::AlreadyThere { reasons };
    }
    match place.window(policy, now).get(&text) {
        Some(keep) => Judgement::AlreadyThere {
            reasons: vec![keep.to_string()],
        },
        None => Judgement::Append {
            event: Event::Retire(version.clone()),
            reasons: vec![Why::Unneeded.to_string()],
        },
    }
}

impl App {
    /// Why a version stays, for each that does.
    fn keeps(&self, newest_releases: &BTreeSet<&str>, now: i64) -> BTreeMap<&Version, Keep> {
        let windows: Vec<_> = self
            .places
            .iter()
            .map(|place| place.window(self.policy, now))
            .collect();
        let mut never_live = self.never_live();
        never_live.truncate(self.policy.keep_releases);
        let is_whole = |stored: &&Stored| stored.standing != Standing::Abandoned;
        let newest = self.versions.iter().filter(is_whole);
        let newest = newest.map(|stored| &stored.version).max();
        let mut keeps = BTreeMap::new();
        for stored in &self.versions {
            let version = &stored.version;
            let text = version.to_string();
            let needed = windows.iter().find_map(|window| window.get(&text).cloned());
            let young = stored
                .manifests
                .iter()
                .any(|manifest| !is_old(now, manifest));
            let why = if needed.is_some() {
                needed
            } else if stored.standing == Standing::Incomplete {
                Some(Keep::Incomplete)
            } else if self.places.is_empty() {
                Some(Keep::NoEnvironment)
            } else if newest == Some(version) || newest_releases.contains(stored.release.as_str()) {
                Some(Keep::Newest)
            } else if never_live.contains(&version) {
                Some(Keep::NeverLive(self.policy.keep_releases))
            } else {
                young.then_some(Keep::Young)
            };
            keeps.extend(why.map(|why| (version, why)));
        }
        keeps
    }

    /// The versions that were live nowhere and may still be, the newest first.
    fn never_live(&self) -> Vec<&Version> {
        let moves = self.places.iter().flat_map(|place| &place.moves);
        let lived: BTreeSet<&str> = moves.map(|step| step.version.as_str()).collect();
        let is_retired = |text: &String| {
            let mut places = self.places.iter();
            places.any(|place| place.retired.contains(text))
        };
        let mut versions: Vec<&Version> = self
            .versions
            .iter()
            .filter(|stored| {
                let text = stored.version.to_string();
                stored.standing == Standing::Ready
                    && !lived.contains(text.as_str())
                    && !is_retired(&text)
            })
            .map(|stored| &stored.version)
            .collect();
        versions.sort_by(|left, right| right.cmp(left));
        versions
    }
}

/// Whether all environments of an app gave a version up.
fn is_given_up(places: &[Place], version: &str, retired: fn(&Place) -> &Vec<String>) -> bool {
    let holds = |place: &Place| retired(place).iter().any(|gone| gone == version);
    !places.is_empty() && places.iter().all(holds)
}

fn is_live(places: &[Place], version: &str) -> bool {
    let mut places = places.iter();
    places.any(|place| place.current.as_deref() == Some(version))
}

/// Whether a version may be deleted now, as the environments of its app are: all of them gave it up a day ago, so nobody can come back to it.
#[must_use]
pub fn is_deletable(places: &[Place], version: &str) -> bool {
    is_given_up(places, version, |place| &place.retired)
        && is_given_up(places, version, |place| &place.retired_for_a_day)
        && !is_live(places, version)
}

/// Decides what goes, and why.
#[must_use]
pub fn sweep(facts: &Facts) -> Sweep {
    let mut sweep = Sweep::default();
    let newest = newest_releases(&facts.releases);
    for app in &facts.apps {
        sweep.app(app, &newest, facts.now);
    }
    sweep.seals(facts, &newest);
    let probes = facts.probes.iter().filter(|probe| is_old(facts.now, probe));
    sweep.probes = probes
        .map(|probe| Gone {
            object: probe.clone(),
            why: Why::Probe,
        })
        .collect();
    let unnamed = facts.blobs.iter().filter(|(digest, object)| {
        !sweep.named.blobs.contains(digest) && is_old(facts.now, object)
    });
    sweep.blobs = unnamed
        .map(|(_, object)| Gone {
            object: object.clone(),
            why: Why::Unnamed,
        })
        .collect();
    sweep
}

/// The ids of complete releases after which no other one was recorded on their branch. Whoever runs there next repeats what follows a release.
fn newest_releases(releases: &[Recorded]) -> BTreeSet<&str> {
    let previous: BTreeSet<&str> = releases
        .iter()
        .filter_map(|release| release.previous.as_deref())
        .collect();
    let newest = releases
        .iter()
        .filter(|release| !release.is_abandoned && !previous.contains(release.id.as_str()));
    newest.map(|release| release.id.as_str()).collect()
}

impl Sweep {
    fn app(&mut self, app: &App, newest: &BTreeSet<&str>, now: i64) {
        let keeps = app.keeps(newest, now);
        for stored in &app.versions {
            let text = stored.version.to_string();
            if stored.manifests.is_empty() {
                let old = stored.copies.iter().filter(|copy| is_old(now, copy));
                self.copies.extend(old.map(|copy| Gone {
                    object: copy.clone(),
                    why: Why::NoManifest,
                }));
                continue;
            }
            let everywhere = is_given_up(&app.places, &text, |place| &place.retired);
            if is_deletable(&app.places, &text) {
                let objects = stored.copies.iter().chain(&stored.manifests);
                self.versions.push(Given {
                    app: app.name.clone(),
                    version: stored.version.clone(),
                    objects: objects.cloned().collect(),
                    names: stored.names.clone(),
                    why: Why::Retired,
                });
                continue;
            }
            self.named.add(&stored.names);
            if everywhere && !is_live(&app.places, &text) {
                self.waiting
                    .push((app.name.clone(), stored.version.clone()));
            } else if let Some(why) = keeps.get(&stored.version) {
                self.kept.push(Kept {
                    app: app.name.clone(),
                    version: stored.version.clone(),
                    why: why.clone(),
                });
            } else {
                self.retire.push(retire(app, stored));
            }
        }
        self.deltas(app, now);
    }

    /// A delta goes with either of its versions. One to a version that is still to be recorded waits.
    fn deltas(&mut self, app: &App, now: i64) {
        let recorded = app.versions.iter();
        let recorded = recorded.filter(|stored| !stored.manifests.is_empty());
        let recorded: BTreeSet<&Version> = recorded.map(|stored| &stored.version).collect();
        let goes = |version: &Version| {
            let mut given = self.versions.iter();
            given.any(|given| given.app == app.name && given.version == *version)
        };
        let mut gone = Vec::new();
        for delta in &app.deltas {
            let ends = [&delta.from, &delta.to];
            let lost = ends.into_iter().find(|end| !recorded.contains(end));
            let lost = lost.filter(|_| is_old(now, &delta.object));
            if let Some(end) = ends.into_iter().find(|end| goes(end)).or(lost) {
                gone.push(Gone {
                    object: delta.object.clone(),
                    why: Why::NoEnd(end.clone()),
                });
            }
        }
        self.deltas.extend(gone);
    }

    fn seals(&mut self, facts: &Facts, newest: &BTreeSet<&str>) {
        for seal in &facts.seals {
            let is_explained = facts
                .releases
                .iter()
                .any(|release| release.seal == seal.object.key.as_str());
            let why = explained(seal, &facts.releases, newest);
            if let Some(why) = why.filter(|_| is_old(facts.now, &seal.object)) {
                self.seals.push(Gone {
                    object: seal.object.clone(),
                    why,
                });
                continue;
            }
            self.named.add(&seal.names);
            if !is_explained && is_old(facts.now, &seal.object) {
                self.open_seals += 1;
            }
        }
    }
}

fn retire(app: &App, stored: &Stored) -> Retire {
    let text = stored.version.to_string();
    let open = app.places.iter();
    let objects = stored.copies.iter().chain(&stored.manifests);
    Retire {
        app: app.name.clone(),
        version: stored.version.clone(),
        environments: open
            .filter(|place| !place.retired.contains(&text))
            .map(|place| place.environment.clone())
            .collect(),
        why: match stored.standing {
            Standing::Abandoned => Why::Abandoned,
            _ => Why::Unneeded,
        },
        bytes: objects.map(|object| object.size).sum(),
    }
}

/// Why a seal is not needed any more, if it is not.
///
/// The seal of a branch's newest release stays. Of a seal without a recorded release the tags
/// decide whether it was decided; from the store they cannot be seen, but a tag names one seal only, so a tag that a recorded release has is none of its.
fn explained(seal: &Sealed, releases: &[Recorded], newest: &BTreeSet<&str>) -> Option<Why> {
    let own = releases
        .iter()
        .find(|release| release.seal == seal.object.key.as_str());
    if let Some(own) = own {
        let is_newest = newest.contains(own.id.as_str());
        return (!is_newest).then(|| Why::Recorded(own.id.clone()));
    }
    releases.iter().find_map(|release| {
        let tag = seal.tags.iter().find(|tag| release.tags.contains(tag))?;
        Some(Why::Overtaken {
            release: release.id.clone(),
            tag: tag.clone(),
        })
    })
}

/// The static files of a root that no manifest and no seal names and that are old enough to go.
#[must_use]
pub fn unnamed<'a>(now: i64, objects: &'a [Object], named: &Names) -> Vec<&'a Object> {
    let objects = objects.iter();
    objects
        .filter(|object| !named.paths.contains(object.key.as_str()) && is_old(now, object))
        .collect()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
