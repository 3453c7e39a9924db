//! The npm side of going back: which dist-tags return to what shipped before, what is deprecated, and how both are undone.
//!
//! The registry holds the record: the message of a version that was left names the dist-tags that were taken from it and where they went. So
//! a run that was interrupted is continued by the next one, and whoever goes forward again needs nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::explain::quoted;
use crate::name::PackageName;
use crate::version::Version;

/// How many releases may be met on the way to one.
pub const MOST_RELEASES: usize = 1000;

/// What a message begins with that says that a version was left.
const LEFT: &str = "Rolled back";

/// A release, as far as npm has anything of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRelease {
    /// Its id.
    pub id: String,
    /// What it published.
    pub packages: Vec<(PackageName, Version)>,
}

/// The way of one package through releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The package.
    pub name: PackageName,
    /// The versions that are left, or gone forward to, the newest first.
    pub versions: Vec<Version>,
    /// What shipped before them, the newest first.
    pub earlier: Vec<Version>,
}

/// Releases that are left, or gone forward to, and what was released before them. A rollback of several apps may leave several stretches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    /// The releases, the newest first.
    pub releases: Vec<PastRelease>,
    /// Those before them that tell what each of their packages was, the newest first.
    pub earlier: Vec<PastRelease>,
}

impl Stretch {
    /// Takes in another one.
    pub fn add(&mut self, other: Stretch) {
        self.releases.extend(other.releases);
        self.earlier.extend(other.earlier);
    }

    /// The trails of all packages of its releases, by name.
    #[must_use]
    pub fn trails(&self) -> Vec<Trail> {
        let mut trails: BTreeMap<&PackageName, Trail> = BTreeMap::new();
        for (name, version) in published(&self.releases) {
            let trail = trails.entry(name).or_insert_with(|| Trail {
                name: name.clone(),
                versions: Vec::new(),
                earlier: Vec::new(),
            });
            trail.versions.push(version.clone());
        }
        for (name, version) in published(&self.earlier) {
            if let Some(trail) = trails.get_mut(name)
                && !trail.versions.contains(version)
            {
                trail.earlier.push(version.clone());
            }
        }
        let newest_first = |versions: &mut Vec<Version>| {
            versions.sort_by(|left, right| right.cmp(left));
            versions.dedup();
        };
        let mut trails: Vec<Trail> = trails.into_values().collect();
        for trail in &mut trails {
            newest_first(&mut trail.versions);
            newest_first(&mut trail.earlier);
        }
        trails
    }

    /// The ids of its releases that published anything, each once.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for release in &self.releases {
            if !release.packages.is_empty() && !ids.contains(&release.id) {
                ids.push(release.id.clone());
            }
        }
        ids
    }
}

fn published(releases: &[PastRelease]) -> impl Iterator<Item = &(PackageName, Version)> {
    releases.iter().flat_map(|release| &release.packages)
}

/// The way back from a release to an earlier one, as releases are met on it, the newest first.
#[derive(Debug)]
pub struct WayBack {
    to: String,
    stretch: Stretch,
    /// Packages of which it is not known yet what they were before.
    missing: BTreeSet<PackageName>,
    /// How many more releases may be met.
    room: usize,
}

/// Whether more releases need to be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// All is known.
    Enough,
    /// The next older one may tell more.
    More,
}

/// Where a way back ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// At the release that was looked for.
    There(Stretch),
    /// At the oldest release, without meeting it.
    Nowhere,
    /// Before that, since so many releases may be met and no more.
    TooFar,
}

impl WayBack {
    /// The way to the release with the id `to`.
    #[must_use]
    pub fn new(to: &str) -> WayBack {
        WayBack {
            to: to.to_owned(),
            stretch: Stretch::default(),
            missing: BTreeSet::new(),
            room: MOST_RELEASES,
        }
    }

    /// Takes the next older release.
    pub fn take(&mut self, release: PastRelease) -> Met {
        self.room = self.room.saturating_sub(1);
        let names = release.packages.iter().map(|(name, _)| name.clone());
        let is_left = self.stretch.earlier.is_empty() && release.id != self.to;
        if is_left {
            self.missing.extend(names);
            self.stretch.releases.push(release);
        } else {
            names.for_each(|name| {
                self.missing.remove(&name);
            });
            self.stretch.earlier.push(release);
        }
        if self.room == 0 || !is_left && self.missing.is_empty() {
            return Met::Enough;
        }
        Met::More
    }

    /// What came of it.
    #[must_use]
    pub fn end(self) -> Ended {
        if !self.stretch.earlier.is_empty() {
            Ended::There(self.stretch)
        } else if self.room == 0 {
            Ended::TooFar
        } else {
            Ended::Nowhere
        }
    }
}

/// What the registry shows of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its versions, and why they are deprecated where they are.
    pub versions: BTreeMap<String, Option<String>>,
    /// Where its dist-tags point.
    pub dist_tags: BTreeMap<String, String>,
}

impl Shown {
    fn has(&self, version: &Version) -> bool {
        self.versions.contains_key(&version.to_string())
    }

    fn note(&self, version: &Version) -> Option<Note> {
        let message = self.versions.get(&version.to_string())?.as_deref()?;
        Note::parse(message)
    }

    /// Whether a version was left by a rollback of ours.
    #[must_use]
    pub fn was_left(&self, version: &Version) -> bool {
        self.note(version).is_some()
    }

    /// Whether a version, or one below it, was left by a rollback of ours.
    #[must_use]
    pub fn has_left(&self, version: &Version) -> bool {
        self.notes().any(|(left, _)| left <= *version)
    }

    /// Every version that was left by a rollback of ours, and its message.
    fn notes(&self) -> impl Iterator<Item = (Version, Note)> {
        self.versions.iter().filter_map(|(version, message)| {
            let note = Note::parse(message.as_deref()?)?;
            Some((Version::parse(version).ok()?, note))
        })
    }
}

/// One thing to do on the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Write what whoever installs these versions is told; `None`: that they are good.
    Messages(BTreeMap<String, Option<String>>),
    /// Point a dist-tag at another version.
    Tag {
        /// The dist-tag.
        tag: String,
        /// The version that it points at now.
        from: String,
        /// The version that it will point at.
        to: String,
    },
}

/// What is to be done with one package, in this order, and why not more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The steps, each of which may be repeated.
    pub steps: Vec<Step>,
    /// What stays as it is, and why.
    pub reasons: Vec<String>,
    /// Whether the registry has any of the versions.
    pub is_there: bool,
}

/// The message of a version that was left: `Rolled back to 1.4.1 (latest, next): loses orders`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Note {
    /// The version that its dist-tags went to.
    to: Option<String>,
    /// The dist-tags that were taken from it.
    tags: BTreeSet<String>,
    /// Why.
    reason: Option<String>,
}

impl Note {
    fn text(&self) -> String {
        let mut text = LEFT.to_owned();
        if let Some(to) = &self.to {
            text.push_str(" to ");
            text.push_str(to);
        }
        if !self.tags.is_empty() {
            let tags: Vec<&str> = self.tags.iter().map(String::as_str).collect();
            text.push_str(" (");
            text.push_str(&tags.join(", "));
            text.push(')');
        }
        if let Some(reason) = &self.reason {
            text.push_str(": ");
            text.push_str(reason);
        }
        text
    }

    fn parse(text: &str) -> Option<Note> {
        let rest = text.strip_prefix(LEFT)?;
        let (head, reason) = match rest.split_once(": ") {
            Some((head, reason)) => (head, Some(reason.to_owned())),
            None => (rest, None),
        };
        let (to, tags) = match head.strip_suffix(')') {
            Some(head) => head.split_once(" (")?,
            None => (head, ""),
        };
        let to = match to {
            "" => None,
            to => Some(Version::parse(to.strip_prefix(" to ")?).ok()?.to_string()),
        };
        let tags = tags.split(", ").filter(|tag| can_be_noted(tag));
        Some(Note {
            to,
            tags: tags.map(str::to_owned).collect(),
            reason,
        })
    }
}

/// Whether a message can hold the name of a dist-tag, so that it can be given back.
fn can_be_noted(tag: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    !tag.trim_matches('.').is_empty() && tag.chars().all(is_plain)
}

/// Leaves the versions of a trail: every dist-tag that points at one goes back to what shipped before, and each is deprecated with the reason.
#[must_use]
pub fn back(trail: &Trail, shown: &Shown, reason: Option<&str>) -> Judgement {
    let mut reasons = Vec::new();
    let mut left = Vec::new();
    for version in &trail.versions {
        if shown.has(version) {
            left.push(version);
        } else {
            reasons.push(format!("{version} is not on the registry"));
        }
    }
    let is_there = !left.is_empty();
    let (mut messages, mut moves) = (BTreeMap::new(), Vec::new());
    for version in left {
        let text = version.to_string();
        let points_here = shown.dist_tags.iter().filter(|(_, at)| **at == text);
        let (tags, unnamed): (BTreeSet<&str>, BTreeSet<&str>) = points_here
            .map(|(tag, _)| tag.as_str())
            .partition(|tag| can_be_noted(tag));
        for tag in unnamed {
            let tag = quoted(tag);
            reasons.push(format!("{tag} stays at {text}: no message can name it"));
        }
        let to = before(trail, version, shown, &mut reasons);
        let Some(to) = &to else {
            stay(&mut reasons, &tags, &text);
            let nothing = Note::default();
            deprecate(
                &mut messages,
                &mut reasons,
                shown,
                version,
                &nothing,
                reason,
            );
            continue;
        };
        let taken = Note {
            to: Some(to.clone()),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            reason: None,
        };
        let is_noted = deprecate(&mut messages, &mut reasons, shown, version, &taken, reason);
        if !is_noted && !tags.is_empty() {
            let tags: Vec<&str> = tags.iter().copied().collect();
            reasons.push(format!(
                "`promote` will not give {} back to {text}: its message is a person's, and notes nothing",
                tags.join(", ")
            ));
        }
        moves.extend(tags.into_iter().map(|tag| Step::Tag {
            tag: tag.to_owned(),
            from: text.clone(),
            to: to.clone(),
        }));
    }
    // The message is the record of what the tags were: it comes first.
    let messages = (!messages.is_empty()).then_some(Step::Messages(messages));
    Judgement {
        steps: messages.into_iter().chain(moves).collect(),
        reasons,
        is_there,
    }
}

fn stay(reasons: &mut Vec<String>, tags: &BTreeSet<&str>, version: &str) {
    let tags: Vec<&str> = tags.iter().copied().collect();
    if !tags.is_empty() {
        let (tags, verb) = (
            tags.join(", "),
            if tags.len() > 1 { "stay" } else { "stays" },
        );
        reasons.push(format!(
            "{tags} {verb} at {version}: nothing shipped before it"
        ));
    }
}

/// Notes a version as left, unless it is noted already. What a person wrote stays: then nothing can be noted, which is what it answers.
fn deprecate(
    messages: &mut BTreeMap<String, Option<String>>,
    reasons: &mut Vec<String>,
    shown: &Shown,
    version: &Version,
    taken: &Note,
    reason: Option<&str>,
) -> bool {
    let text = version.to_string();
    let present = shown.versions.get(&text).and_then(Option::as_deref);
    let mut note = match present.map(Note::parse) {
        Some(Some(note)) => note,
        Some(None) => {
            let why = quoted(present.unwrap_or_default());
            reasons.push(format!("{text} is deprecated already: {why}"));
            return false;
        }
        None => Note {
            reason: reason.map(str::to_owned),
            ..Note::default()
        },
    };
    if note.to.is_none() || !taken.tags.is_empty() {
        note.to.clone_from(&taken.to);
    }
    note.tags.extend(taken.tags.iter().cloned());
    let message = note.text();
    if present != Some(message.as_str()) {
        messages.insert(text, Some(message));
    }
    true
}

/// The version that dist-tags go back to: what shipped before; where nothing is known of that, the highest below on the registry that is as much a
/// prerelease as what is left.
fn before(
    trail: &Trail,
    left: &Version,
    shown: &Shown,
    reasons: &mut Vec<String>,
) -> Option<String> {
    let is_sound = |version: &str| matches!(shown.versions.get(version), Some(None));
    // A prerelease is nothing that everybody gets.
    let fits =
        |version: &&Version| *version < left && (left.is_prerelease() || !version.is_prerelease());
    let earlier = trail.earlier.iter().filter(fits);
    for version in earlier.map(Version::to_string) {
        if is_sound(&version) {
            return Some(version);
        }
        let why = match shown.versions.get(&version).map(Option::as_deref) {
            None => "is not on the registry",
            Some(message) if message.and_then(Note::parse).is_some() => "was left by a rollback",
            Some(_) => "is deprecated",
        };
        let reason = format!("{version} is passed over: it {why}");
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let line = |version: &Version| {
        (
            version.is_prerelease(),
            version.identifier().map(str::to_owned),
        )
    };
    let lowest = trail.versions.iter().min()?;
    let all = shown.versions.keys();
    let below = all
        .filter(|version| is_sound(version))
        .filter_map(|version| Version::parse(version).ok())
        .filter(|version| version < lowest && line(version) == line(lowest));
    below.max().map(|version| version.to_string())
}

/// Goes forward to the versions of a trail again: what a rollback deprecated no longer is, and every dist-tag that a rollback took from one of them, or
/// led past it, returns to the newest, unless it points beyond by now.
#[must_use]
pub fn forward(trail: &Trail, shown: &Shown) -> Judgement {
    let mut judgement = Judgement {
        is_there: trail.versions.iter().any(|version| shown.has(version)),
        ..Judgement::default()
    };
    let noted: Vec<&Version> = trail
        .versions
        .iter()
        .filter(|version| shown.was_left(version))
        .collect();
    let mut returned = BTreeSet::new();
    for version in &noted {
        for (tag, to) in taken_over(version, shown) {
            if returned.insert(tag.clone()) {
                give_back(&mut judgement, shown, tag, &to, version);
            }
        }
    }
    // The message is the record of what the tags were: it goes last.
    let cleared = noted.into_iter().map(|version| (version.to_string(), None));
    let cleared: BTreeMap<String, Option<String>> = cleared.collect();
    if !cleared.is_empty() {
        judgement.steps.push(Step::Messages(cleared));
    }
    judgement
}

/// The dist-tags that a rollback took from a version, or from a newer one and led past it, and the lowest version that any led them to.
fn taken_over(version: &Version, shown: &Shown) -> BTreeMap<String, Version> {
    let mut lowest: BTreeMap<String, Version> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (left, note) in shown.notes() {
        let Some(to) = note.to.as_deref().and_then(|to| Version::parse(to).ok()) else {
            continue;
        };
        for tag in note.tags {
            if left >= *version && to < *version {
                taken.insert(tag.clone());
            }
            let known = lowest.entry(tag).or_insert_with(|| to.clone());
            if to < *known {
                known.clone_from(&to);
            }
        }
    }
    lowest.retain(|tag, _| taken.contains(tag));
    lowest
}

fn give_back(
    judgement: &mut Judgement,
    shown: &Shown,
    tag: String,
    to: &Version,
    version: &Version,
) {
    let Some(at) = shown.dist_tags.get(&tag) else {
        judgement
            .reasons
            .push(format!("{tag} is gone: somebody removed it since"));
        return;
    };
    match Version::parse(at) {
        Ok(now) if now == *version => {}
        Ok(now) if *to <= now && now < *version => judgement.steps.push(Step::Tag {
            tag,
            from: at.clone(),
            to: version.to_string(),
        }),
        _ => judgement
            .reasons
            .push(format!("{tag} stays at {at}: it was pointed there since")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PackageName {
        PackageName::parse(text).unwrap()
    }

    fn versions(text: &str) -> Vec<Version> {
        let words = text.split_whitespace();
        words.map(|word| Version::parse(word).unwrap()).collect()
    }

    /// `1.0.0 1.1.0=why | latest=1.1.0`.
    fn shown(text: &str) -> Shown {
        let (versions, tags) = text.split_once('|').unwrap();
        let versions = versions.split(';').map(str::trim);
        Shown {
            versions: versions
                .filter(|word| !word.is_empty())
                .map(|word| match word.split_once('=') {
                    Some((version, why)) => (version.to_owned(), Some(why.to_owned())),
                    None => (word.to_owned(), None),
                })
                .collect(),
            dist_tags: tags
                .split_whitespace()
                .map(|word| word.split_once('=').unwrap())
                .map(|(tag, at)| (tag.to_owned(), at.to_owned()))
                .collect(),
        }
    }

    fn told(judgement: &Judgement) -> String {
        let steps = judgement.steps.iter().map(|step| match step {
            Step::Messages(messages) => {
                let messages = messages.iter();
                let messages = messages.map(|(version, message)| {
                    format!("{version}={}", message.as_deref().unwrap_or_default())
                });
                messages.collect::<Vec<_>>().join("; ")
            }
            Step::Tag { tag, from, to } => format!("{tag}:{from}>{to}"),
        });
        let reasons = judgement.reasons.iter().map(|why| format!("({why})"));
        steps.chain(reasons).collect::<Vec<_>>().join("; ")
    }

    fn trail(left: &str, earlier: &str) -> Trail {
        Trail {
            name: name("core"),
            versions: versions(left),
            earlier: versions(earlier),
        }
    }

    #[track_caller]
    fn check_back(left: &str, earlier: &str, registry: &str, expected: &str) {
        let judgement = back(&trail(left, earlier), &shown(registry), Some("bad"));
        assert_eq!(told(&judgement), expected);
    }

    #[track_caller]
    fn check_forward(versions: &str, registry: &str, expected: &str) {
        let judgement = forward(&trail(versions, ""), &shown(registry));
        assert_eq!(told(&judgement), expected);
    }

    #[test]
    fn dist_tags_go_back_and_what_is_left_is_deprecated() {
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0; 1.1.0 | latest=1.1.0",
            "1.1.0=Rolled back to 1.0.0 (latest): bad; latest:1.1.0>1.0.0",
        );
        // Several releases at once, and a tag that points elsewhere.
        check_back(
            "1.2.0 1.1.0",
            "1.0.0",
            "1.0.0; 1.1.0; 1.2.0 | latest=1.2.0 slow=1.1.0 old=1.0.0",
            "1.1.0=Rolled back to 1.0.0 (slow): bad; 1.2.0=Rolled back to 1.0.0 (latest): bad; latest:1.2.0>1.0.0; slow:1.1.0>1.0.0",
        );
        // Something newer is out already.
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0; 1.1.0; 1.2.0 | latest=1.2.0",
            "1.1.0=Rolled back to 1.0.0: bad",
        );
    }

    #[test]
    fn what_was_begun_is_continued_and_what_is_done_stays() {
        // Killed between the message and the tag.
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0; 1.1.0=Rolled back to 1.0.0 (latest): bad | latest=1.1.0",
            "latest:1.1.0>1.0.0",
        );
        // Killed between two tags: the message keeps both.
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0; 1.1.0=Rolled back to 1.0.0 (latest, slow): bad | latest=1.0.0 slow=1.1.0",
            "slow:1.1.0>1.0.0",
        );
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0; 1.1.0=Rolled back to 1.0.0 (latest): bad | latest=1.0.0",
            "",
        );
    }

    #[test]
    fn where_nothing_shipped_before_tags_stay() {
        check_back(
            "1.0.0",
            "",
            "1.0.0 | latest=1.0.0",
            "1.0.0=Rolled back: bad; (latest stays at 1.0.0: nothing shipped before it)",
        );
        // Published before releases were recorded.
        check_back(
            "1.1.0",
            "",
            "0.9.0; 1.0.0; 1.0.1-next.0; 1.1.0 | latest=1.1.0",
            "1.1.0=Rolled back to 1.0.0 (latest): bad; latest:1.1.0>1.0.0",
        );
        check_back(
            "1.1.0-next.1",
            "",
            "1.0.0; 1.1.0-next.0; 1.1.0-beta.3; 1.1.0-next.1 | next=1.1.0-next.1",
            "1.1.0-next.1=Rolled back to 1.1.0-next.0 (next): bad; next:1.1.0-next.1>1.1.0-next.0",
        );
    }

    #[test]
    fn what_others_said_stays() {
        check_back(
            "1.1.0",
            "1.0.1 1.0.0",
            "1.0.0; 1.0.1=leaks; 1.1.0=use 2 | latest=1.1.0",
            "latest:1.1.0>1.0.0; (1.0.1 is passed over: it is deprecated); (1.1.0 is deprecated already: \"use 2\"); (`promote` will not give latest back to 1.1.0: its message is a person's, and notes nothing)",
        );
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0 | latest=1.0.0",
            "(1.1.0 is not on the registry)",
        );
        // Nobody gets a prerelease who did not ask for one.
        check_back(
            "1.1.0",
            "1.1.0-next.0 1.0.0",
            "1.0.0; 1.1.0-next.0; 1.1.0 | latest=1.1.0",
            "1.1.0=Rolled back to 1.0.0 (latest): bad; latest:1.1.0>1.0.0",
        );
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0; 1.1.0 | a,b=1.1.0",
            "1.1.0=Rolled back to 1.0.0: bad; (\"a,b\" stays at 1.1.0: no message can name it)",
        );
    }

    #[test]
    fn going_forward_gives_back_what_was_taken() {
        check_forward(
            "1.1.0",
            "1.0.0; 1.1.0=Rolled back to 1.0.0 (latest): bad | latest=1.0.0",
            "latest:1.0.0>1.1.0; 1.1.0=",
        );
        // Went back twice.
        check_forward(
            "1.2.0 1.1.0",
            "1.0.0; 1.1.0=Rolled back to 1.0.0 (latest); 1.2.0=Rolled back to 1.1.0 (latest) | latest=1.0.0",
            "latest:1.0.0>1.2.0; 1.1.0=; 1.2.0=",
        );
        // Killed between the tag and the message.
        check_forward(
            "1.1.0",
            "1.0.0; 1.1.0=Rolled back to 1.0.0 (latest): bad | latest=1.1.0",
            "1.1.0=",
        );
        check_forward(
            "1.1.0",
            "1.0.0; 1.1.0=Rolled back to 1.0.0 (latest) | latest=3.0.0",
            "1.1.0=; (latest stays at 3.0.0: it was pointed there since)",
        );
        check_forward("1.1.0", "1.0.0; 1.1.0=use 2 | latest=1.0.0", "");
        // A part of the way: the tag was taken from what stays left, and led past this one.
        let both = "1.0.0; 1.1.0=Rolled back to 1.0.0; 1.2.0=Rolled back to 1.0.0 (latest)";
        check_forward(
            "1.1.0",
            &format!("{both} | latest=1.0.0"),
            "latest:1.0.0>1.1.0; 1.1.0=",
        );
        // The rest of it.
        check_forward(
            "1.2.0",
            "1.0.0; 1.1.0; 1.2.0=Rolled back to 1.0.0 (latest) | latest=1.1.0",
            "latest:1.1.0>1.2.0; 1.2.0=",
        );
    }

    fn release(id: &str, packages: &[(&str, &str)]) -> PastRelease {
        let packages = packages.iter();
        PastRelease {
            id: id.to_owned(),
            packages: packages
                .map(|(package, version)| (name(package), Version::parse(version).unwrap()))
                .collect(),
        }
    }

    /// The releases of a history, the newest first.
    fn history() -> Vec<PastRelease> {
        vec![
            release("5", &[("core", "1.2.0")]),
            release("4", &[]),
            release("3", &[("core", "1.1.0"), ("text", "2.0.0")]),
            release("2", &[("core", "1.0.0"), ("other", "1.0.0")]),
            release("1", &[("text", "1.0.0")]),
            release("0", &[("core", "0.9.0"), ("text", "0.9.0")]),
        ]
    }

    #[track_caller]
    fn check_way(to: &str, left: &[&str], earlier: &[&str]) {
        let mut way = WayBack::new(to);
        let mut releases = history().into_iter();
        let _ = releases.find(|release| way.take(release.clone()) == Met::Enough);
        let Ended::There(stretch) = way.end() else {
            panic!("it leads there");
        };
        let ids = |releases: &[PastRelease]| -> Vec<String> {
            releases.iter().map(|release| release.id.clone()).collect()
        };
        assert_eq!(ids(&stretch.releases), left);
        assert_eq!(ids(&stretch.earlier), earlier);
    }

    #[test]
    fn a_way_back_leads_on_until_it_is_known_what_was_before() {
        check_way("4", &["5"], &["4", "3"]);
        check_way("2", &["5", "4", "3"], &["2", "1"]);
        check_way("5", &[], &["5"]);
        let mut nowhere = WayBack::new("7");
        for release in history() {
            assert_eq!(nowhere.take(release), Met::More);
        }
        assert_eq!(nowhere.end(), Ended::Nowhere);
        let mut far = WayBack::new("7");
        let met = (0..MOST_RELEASES).map(|_| far.take(release("5", &[])));
        assert_eq!(met.last(), Some(Met::Enough));
        assert_eq!(far.end(), Ended::TooFar);
    }

    #[test]
    fn trails_follow_a_package_through_releases() {
        let history = history();
        let stretch = Stretch {
            releases: history[..3].to_vec(),
            earlier: history[3..].to_vec(),
        };
        let trail = |package: &str, left: &str, earlier: &str| Trail {
            name: name(package),
            versions: versions(left),
            earlier: versions(earlier),
        };
        let expected = [
            trail("core", "1.2.0 1.1.0", "1.0.0 0.9.0"),
            trail("text", "2.0.0", "1.0.0 0.9.0"),
        ];
        assert_eq!(stretch.trails(), expected);
        assert_eq!(stretch.ids(), ["5", "3"]);
    }

    proptest::proptest! {
        #[test]
        fn a_message_tells_what_it_was_made_of(
            to in proptest::option::of("[1-9]\\.[0-9]\\.[0-9](-next\\.[0-9])?"),
            tags in proptest::collection::btree_set("[a-z][a-z0-9.-]{0,8}", 0..4),
            reason in proptest::option::of("[^\\p{C}]{1,40}"),
        ) {
            let note = Note { to, tags, reason };
            proptest::prop_assert_eq!(Note::parse(&note.text()), Some(note));
        }

        #[test]
        fn any_message_can_be_read(text in "(Rolled back)?\\PC{0,40}") {
            let _ = Note::parse(&text);
        }
    }
}
