//! The npm side of going back: which dist-tags return to what shipped before, what is deprecated, and how both are undone.
//!
//! The registry holds the record: the message of a version that was left names the dist-tags that were taken from it and where they went. So
//! a run that was interrupted is continued by the next one, and whoever goes forward again needs nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::explain::quoted;
use crate::name::PackageName;
use crate::version::Version;

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
    /// The versions that are left, or gone back to, the newest first.
    pub versions: Vec<Version>,
    /// What shipped before them, the newest first.
    pub earlier: Vec<Version>,
}

/// The trails of all packages of `releases`, by name. `earlier` is what was released before them. Both begin with the newest.
#[must_use]
pub fn trails(releases: &[PastRelease], earlier: &[PastRelease]) -> Vec<Trail> {
    let mut trails: BTreeMap<&PackageName, Trail> = BTreeMap::new();
    for (name, version) in releases.iter().flat_map(|release| &release.packages) {
        let trail = trails.entry(name).or_insert_with(|| Trail {
            name: name.clone(),
            versions: Vec::new(),
            earlier: Vec::new(),
        });
        trail.versions.push(version.clone());
    }
    for (name, version) in earlier.iter().flat_map(|release| &release.packages) {
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
}

/// One thing to do on the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Deprecate a version; an empty message takes that back.
    Deprecate {
        /// The version.
        version: String,
        /// What whoever installs it is told.
        message: String,
    },
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
        let tags = tags.split(", ").filter(|tag| !tag.is_empty());
        Some(Note {
            to,
            tags: tags.map(str::to_owned).collect(),
            reason,
        })
    }
}

/// Whether a message can hold the name of a dist-tag, so that it can be given back.
fn can_be_noted(tag: &str) -> bool {
    let is_plain = |character: char| character.is_alphanumeric() || "._-@+~".contains(character);
    !tag.is_empty() && tag.chars().all(is_plain)
}

/// Leaves the versions of a trail: every dist-tag that points at one goes back to what shipped before, and each is deprecated with the reason.
#[must_use]
pub fn back(trail: &Trail, shown: &Shown, reason: Option<&str>) -> Judgement {
    let mut judgement = Judgement::default();
    let mut left = Vec::new();
    for version in &trail.versions {
        if shown.has(version) {
            left.push(version);
        } else {
            judgement
                .reasons
                .push(format!("{version} is not on the registry"));
        }
    }
    let mut moves = Vec::new();
    for version in &left {
        let text = version.to_string();
        let points_here = shown.dist_tags.iter().filter(|(_, at)| **at == text);
        let (tags, unnamed): (BTreeSet<&str>, BTreeSet<&str>) = points_here
            .map(|(tag, _)| tag.as_str())
            .partition(|tag| can_be_noted(tag));
        for tag in unnamed {
            let tag = quoted(tag);
            judgement
                .reasons
                .push(format!("{tag} stays at {text}: no message can name it"));
        }
        let to = before(trail, version, shown, &mut judgement.reasons);
        let Some(to) = &to else {
            stay(&mut judgement.reasons, &tags, &text);
            deprecate(&mut judgement, shown, version, &Note::default(), reason);
            continue;
        };
        let taken = Note {
            to: Some(to.clone()),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            reason: None,
        };
        deprecate(&mut judgement, shown, version, &taken, reason);
        moves.extend(tags.into_iter().map(|tag| Step::Tag {
            tag: tag.to_owned(),
            from: text.clone(),
            to: to.clone(),
        }));
    }
    // The message is the record of what the tags were: it comes first.
    judgement.steps.extend(moves);
    judgement
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

/// Notes a version as left, unless it is noted already. What a person wrote stays.
fn deprecate(
    judgement: &mut Judgement,
    shown: &Shown,
    version: &Version,
    taken: &Note,
    reason: Option<&str>,
) {
    let text = version.to_string();
    let present = shown.versions.get(&text).and_then(Option::as_deref);
    let mut note = match present.map(Note::parse) {
        Some(Some(note)) => note,
        Some(None) => {
            let why = quoted(present.unwrap_or_default());
            judgement
                .reasons
                .push(format!("{text} is deprecated already: {why}"));
            return;
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
        judgement.steps.push(Step::Deprecate {
            version: text,
            message,
        });
    }
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
    let earlier = trail.earlier.iter().filter(|version| *version < left);
    for version in earlier.map(Version::to_string) {
        if is_sound(&version) {
            return Some(version);
        }
        let why = match shown.versions.get(&version) {
            Some(_) => "deprecated",
            None => "not on the registry",
        };
        let reason = format!("{version} is passed over: it is {why}");
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

/// Goes forward to the versions of a trail again: what a rollback deprecated no longer is, and every dist-tag that it took returns, unless it was
/// pointed elsewhere since.
#[must_use]
pub fn forward(trail: &Trail, shown: &Shown) -> Judgement {
    let mut judgement = Judgement::default();
    let noted: Vec<(String, Note)> = trail
        .versions
        .iter()
        .filter_map(|version| Some((version.to_string(), shown.note(version)?)))
        .collect();
    let went_to: BTreeSet<&str> = noted
        .iter()
        .filter_map(|(_, note)| note.to.as_deref())
        .collect();
    let mut returned = BTreeSet::new();
    for (version, note) in &noted {
        for tag in note.tags.iter().filter(|tag| !returned.contains(*tag)) {
            match shown.dist_tags.get(tag).map(String::as_str) {
                Some(at) if at == version => {}
                Some(at) if went_to.contains(at) => judgement.steps.push(Step::Tag {
                    tag: tag.clone(),
                    from: at.to_owned(),
                    to: version.clone(),
                }),
                Some(at) => judgement
                    .reasons
                    .push(format!("{tag} stays at {at}: it was pointed there since")),
                None => judgement
                    .reasons
                    .push(format!("{tag} is gone: somebody removed it since")),
            }
        }
        returned.extend(&note.tags);
    }
    // The message is the record of what the tags were: it goes last.
    let cleared = noted.into_iter().map(|(version, _)| Step::Deprecate {
        version,
        message: String::new(),
    });
    judgement.steps.extend(cleared);
    judgement
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
            Step::Deprecate { version, message } => format!("{version}={message}"),
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
            "1.2.0=Rolled back to 1.0.0 (latest): bad; 1.1.0=Rolled back to 1.0.0 (slow): bad; latest:1.2.0>1.0.0; slow:1.1.0>1.0.0",
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
            "latest:1.1.0>1.0.0; (1.0.1 is passed over: it is deprecated); (1.1.0 is deprecated already: \"use 2\")",
        );
        check_back(
            "1.1.0",
            "1.0.0",
            "1.0.0 | latest=1.0.0",
            "(1.1.0 is not on the registry)",
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
            "latest:1.0.0>1.2.0; 1.2.0=; 1.1.0=",
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
    }

    #[test]
    fn trails_follow_a_package_through_releases() {
        let release = |id: &str, packages: &[(&str, &str)]| PastRelease {
            id: id.to_owned(),
            packages: packages
                .iter()
                .map(|(package, version)| (name(package), Version::parse(version).unwrap()))
                .collect(),
        };
        let left = [
            release("3", &[("core", "1.2.0")]),
            release("2", &[("core", "1.1.0"), ("text", "2.0.0")]),
        ];
        let earlier = [release("1", &[("core", "1.0.0"), ("other", "1.0.0")])];
        let told: Vec<String> = trails(&left, &earlier)
            .iter()
            .map(|trail| format!("{} {:?} {:?}", trail.name, trail.versions, trail.earlier))
            .collect();
        assert_eq!(told.len(), 2);
        assert_eq!(trails(&left, &earlier)[0].versions, versions("1.2.0 1.1.0"));
        assert_eq!(trails(&left, &earlier)[0].earlier, versions("1.0.0"));
        assert_eq!(trails(&left, &earlier)[1].earlier, versions(""));
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
