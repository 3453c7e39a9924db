//! One entry of the pointer log, and the state that folding all entries gives.
//!
//! Every entry carries the folded state, so a reader needs the newest entry only. Entries are never rewritten; a rollback is an
//! entry like any other, one number higher.

use serde::{Deserialize, Serialize};

use crate::explain::{Exit, Failure};
use crate::name::{Digest, EnvironmentName, PackageName, Variant};
use crate::release;
use crate::version::Version;

/// The schema of [`Entry`].
pub const SCHEMA: &str = "pkgs.environment/1";

/// How many moves the folded state remembers.
pub const LONGEST_HISTORY: usize = 100;

/// The highest number an entry may have: keys hold 12 digits, and one more entry must fit.
const HIGHEST_SEQ: u64 = 999_999_999_998;

/// `apps/<app>/environments/<env>/log/<12 digits>.json`; written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`SCHEMA`].
    pub schema: String,
    /// The app's name.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// Its number: 1, 2, 3, … without gaps.
    pub seq: u64,
    /// What was done.
    pub op: Op,
    /// The id of the deed (a ULID): whoever finds it here knows that it happened already.
    pub operation: String,
    /// The version that was live before; a rollback judged it bad.
    pub leaves: Option<String>,
    /// What the deed was about; `hold` and `unhold` have none.
    pub target: Option<Target>,
    /// The entry before, `null` in the first one.
    pub previous: Option<Previous>,
    /// Who did it.
    pub actor: String,
    /// Why, in the words of whoever did it.
    pub reason: Option<String>,
    /// The workflow run, where there is one.
    pub run: Option<String>,
    /// Where the live version comes from.
    pub source: Option<Source>,
    /// Where the static files of the live version are served from; `null` when it has none or none are laid out.
    #[serde(rename = "static")]
    pub static_place: Option<StaticPlace>,
    /// When, RFC 3339.
    pub at: String,
    /// What is true after this entry.
    pub state: State,
}

/// What an entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Pointed the environment at a version.
    Promote,
    /// Pointed it at an earlier one, marked the one left as bad, and held automation.
    Rollback,
    /// Stopped automation.
    Hold,
    /// Allowed automation again.
    Unhold,
    /// Judged a version bad.
    MarkBad,
    /// Kept a version from being deleted.
    Pin,
    /// Stopped keeping it.
    Unpin,
    /// Gave up a version before it is deleted.
    Retire,
}

impl Op {
    /// As it is written in entries and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Promote => "promote",
            Op::Rollback => "rollback",
            Op::Hold => "hold",
            Op::Unhold => "unhold",
            Op::MarkBad => "mark-bad",
            Op::Pin => "pin",
            Op::Unpin => "unpin",
            Op::Retire => "retire",
        }
    }
}

/// What a deed was about: a build for moves, a version for judgements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The version.
    pub version: String,
    /// `any` or an environment; only moves name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The digest of the app manifest; only moves name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
}

/// One build of an app, named so that nobody can put another one in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// The version.
    pub version: String,
    /// `any` or an environment.
    pub variant: String,
    /// The digest of the app manifest's bytes.
    pub manifest_digest: String,
}

/// The entry before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its number.
    pub seq: u64,
    /// The digest of its bytes: the log is a hash chain.
    pub digest: String,
}

/// Where a version comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The release commit.
    pub commit: String,
    /// Its date, RFC 3339.
    pub committed_at: String,
}

/// Where static files are served from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticPlace {
    /// The static root as it was set, `{app}` and `{environment}` not replaced.
    pub root: String,
    /// The CDN in front of it, as [`CdnName`] is recorded.
    pub cdn: Option<String>,
    /// The public address of the root as it was set, `{app}` and `{environment}` not replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl StaticPlace {
    /// The CDN in front of it.
    #[must_use]
    pub fn in_front(&self) -> Option<CdnName> {
        self.cdn.as_deref().map(CdnName::read)
    }
}

/// Which CDN must hear of the static files that changed, as an entry names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CdnName {
    /// The `CloudFront` distribution with this id.
    Distribution(String),
    /// One that a command of whoever moves the pointer tells. The command itself is never recorded: who may write an entry must not
    /// decide what others run.
    Command,
}

impl CdnName {
    /// What stands in an entry for a command. Ids of distributions hold capitals and digits only.
    const COMMAND: &str = "command";

    /// As it is recorded.
    #[must_use]
    pub fn recorded(&self) -> &str {
        match self {
            CdnName::Distribution(id) => id,
            CdnName::Command => CdnName::COMMAND,
        }
    }

    /// As it was recorded.
    #[must_use]
    pub fn read(recorded: &str) -> CdnName {
        match recorded {
            CdnName::COMMAND => CdnName::Command,
            id => CdnName::Distribution(id.to_owned()),
        }
    }
}

/// What is true after an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What is live; `null` before the first promote.
    pub current: Option<Build>,
    /// The number of the entry that made it live: a host that has this one has nothing to do.
    pub since: Option<u64>,
    /// Set while automation is stopped.
    pub hold: Option<Hold>,
    /// Versions that were judged bad.
    pub bad: Vec<String>,
    /// Versions that are kept.
    pub pinned: Vec<String>,
    /// Versions that are given up and may be gone.
    pub retired: Vec<String>,
    /// Promotes and rollbacks, the newest first, at most [`LONGEST_HISTORY`].
    pub history: Vec<Move>,
}

/// Why automation is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who stopped it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// The number of the entry that stopped it.
    pub seq: u64,
}

/// A promote or a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The number of its entry.
    pub seq: u64,
    /// Promote or rollback.
    pub op: Op,
    /// The version that became live.
    pub version: String,
    /// The id of the deed.
    pub operation: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A build that becomes live, and what its entry says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The build.
    pub build: Build,
    /// Where it comes from.
    pub source: Source,
    /// Where its static files go.
    pub static_place: Option<StaticPlace>,
}

/// What is about to be written into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Points the environment at a build; forced, it also lifts the hold and clears the mark of that version.
    Promote {
        /// The build.
        live: Live,
        /// Whether a person overrode a hold or a mark.
        forced: bool,
    },
    /// Points it at an earlier build, marks the live version as bad, and holds automation. Forced, it clears the target's mark.
    Rollback {
        /// The build.
        live: Live,
        /// Whether a person overrode the target's mark.
        forced: bool,
    },
    /// Stops automation.
    Hold,
    /// Allows automation again.
    Unhold,
    /// Judges a version bad.
    MarkBad(Version),
    /// Keeps a version.
    Pin(Version),
    /// Stops keeping it.
    Unpin(Version),
    /// Gives up a version.
    Retire(Version),
}

impl Event {
    /// The op of its entry.
    #[must_use]
    pub fn op(&self) -> Op {
        match self {
            Event::Promote { .. } => Op::Promote,
            Event::Rollback { .. } => Op::Rollback,
            Event::Hold => Op::Hold,
            Event::Unhold => Op::Unhold,
            Event::MarkBad(_) => Op::MarkBad,
            Event::Pin(_) => Op::Pin,
            Event::Unpin(_) => Op::Unpin,
            Event::Retire(_) => Op::Retire,
        }
    }

    fn target(&self) -> Option<Target> {
        match self {
            Event::Promote { live, .. } | Event::Rollback { live, .. } => Some(Target {
                version: live.build.version.clone(),
                variant: Some(live.build.variant.clone()),
                manifest_digest: Some(live.build.manifest_digest.clone()),
            }),
            Event::Hold | Event::Unhold => None,
            Event::MarkBad(version)
            | Event::Pin(version)
            | Event::Unpin(version)
            | Event::Retire(version) => Some(Target {
                version: version.to_string(),
                variant: None,
                manifest_digest: None,
            }),
        }
    }
}

/// Who does something, where, when and why: what an entry says besides the deed itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// The app.
    pub app: PackageName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The id of the deed.
    pub operation: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The workflow run.
    pub run: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

/// The id of the deed that `text` describes: a ULID, the same for the same text and another one for any other.
#[must_use]
pub fn operation(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let number = u128::from_str_radix(&digest.hex()[..32], 16)
        .unwrap_or_else(|error| unreachable!("a digest has hexadecimal digits: {error}"));
    ulid::Ulid::from_bytes(number.to_be_bytes()).to_string()
}

/// The entry that follows `tip` (the newest entry and the digest of its bytes; `None` when the log is empty).
///
/// `retired_elsewhere` is what the app's other environments have retired; only a log's first entry copies it.
#[must_use]
pub fn append(
    tip: Option<(&Entry, &Digest)>,
    event: &Event,
    circumstances: &Circumstances,
    retired_elsewhere: &[String],
) -> Entry {
    let seq = tip.map_or(1, |(entry, _)| entry.seq + 1);
    let before = tip.map_or_else(
        || State::new(retired_elsewhere),
        |(entry, _)| entry.state.clone(),
    );
    let (source, static_place) = match event {
        Event::Promote { live, .. } | Event::Rollback { live, .. } => {
            (Some(live.source.clone()), live.static_place.clone())
        }
        _ => tip.map_or((None, None), |(entry, _)| {
            (entry.source.clone(), entry.static_place.clone())
        }),
    };
    Entry {
        schema: SCHEMA.to_owned(),
        app: circumstances.app.to_string(),
        environment: circumstances.environment.to_string(),
        seq,
        op: event.op(),
        operation: circumstances.operation.clone(),
        leaves: match event {
            Event::Promote { .. } | Event::Rollback { .. } => {
                before.current.as_ref().map(|build| build.version.clone())
            }
            _ => None,
        },
        target: event.target(),
        previous: tip.map(|(entry, digest)| Previous {
            seq: entry.seq,
            digest: digest.to_string(),
        }),
        actor: circumstances.actor.clone(),
        reason: circumstances.reason.clone(),
        run: circumstances.run.clone(),
        source,
        static_place,
        at: circumstances.at.clone(),
        state: before.after(seq, event, circumstances),
    }
}

impl State {
    /// The state before the first entry.
    #[must_use]
    pub fn new(retired_elsewhere: &[String]) -> State {
        let mut state = State::default();
        for version in retired_elsewhere {
            add(&mut state.retired, version);
        }
        state
    }

    /// The state after entry number `seq`.
    fn after(mut self, seq: u64, event: &Event, by: &Circumstances) -> State {
        let hold = Hold {
            by: by.actor.clone(),
            reason: by.reason.clone(),
            seq,
        };
        match event {
            Event::Promote { live, forced } => {
                if *forced {
                    self.hold = None;
                    remove(&mut self.bad, &live.build.version);
                }
                self.point_at(seq, Op::Promote, live, by);
            }
            Event::Rollback { live, forced } => {
                if *forced {
                    remove(&mut self.bad, &live.build.version);
                }
                if let Some(left) = self.current.as_ref().map(|build| build.version.clone()) {
                    add(&mut self.bad, &left);
                }
                self.hold = Some(hold);
                self.point_at(seq, Op::Rollback, live, by);
            }
            Event::Hold => self.hold = Some(hold),
            Event::Unhold => self.hold = None,
            Event::MarkBad(version) => add(&mut self.bad, &version.to_string()),
            Event::Pin(version) => add(&mut self.pinned, &version.to_string()),
            Event::Unpin(version) => remove(&mut self.pinned, &version.to_string()),
            Event::Retire(version) => add(&mut self.retired, &version.to_string()),
        }
        self
    }

    /// Hosts act on `since`: pointing again at the very build that is live gives them nothing to do.
    fn point_at(&mut self, seq: u64, op: Op, live: &Live, by: &Circumstances) {
        if self.current.as_ref() != Some(&live.build) {
            self.current = Some(live.build.clone());
            self.since = Some(seq);
        }
        self.history.insert(
            0,
            Move {
                seq,
                op,
                version: live.build.version.clone(),
                operation: by.operation.clone(),
                at: by.at.clone(),
            },
        );
        self.history.truncate(LONGEST_HISTORY);
    }

    /// The version that is live.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.current.as_ref().map(|build| build.version.as_str())
    }

    /// Whether `version` was judged bad.
    #[must_use]
    pub fn is_bad(&self, version: &str) -> bool {
        self.bad.iter().any(|bad| bad == version)
    }

    /// Whether `version` was given up.
    #[must_use]
    pub fn is_retired(&self, version: &str) -> bool {
        self.retired.iter().any(|retired| retired == version)
    }
}

fn add(versions: &mut Vec<String>, version: &str) {
    if !versions.iter().any(|known| known == version) {
        versions.push(version.to_owned());
    }
}

fn remove(versions: &mut Vec<String>, version: &str) {
    versions.retain(|known| known != version);
}

impl Entry {
    /// Reads the entry with number `seq` of `app` in `environment`; `key` says where the bytes come from.
    ///
    /// # Errors
    /// `release::document` (exit 6) when the bytes are no entry, `environment::foreign_entry` (exit 6) when they are the entry of
    /// another app, environment or number, or name things that cannot be.
    pub fn read(
        app: &PackageName,
        environment: &EnvironmentName,
        seq: u64,
        key: &str,
        bytes: &[u8],
    ) -> Result<Entry, Failure> {
        let entry: Entry = release::from_bytes(SCHEMA, key, bytes)?;
        entry.check(app, environment, seq).map_err(|why| {
            Failure::new(
                Exit::Integrity,
                "environment::foreign_entry",
                format!("{key} is not entry {seq} of {app} in {environment}"),
            )
            .because(why)
            .hint("someone copied or changed it by hand: compare it with its neighbours in the log before anything else is done")
        })?;
        Ok(entry)
    }

    fn check(
        &self,
        app: &PackageName,
        environment: &EnvironmentName,
        seq: u64,
    ) -> Result<(), String> {
        use crate::explain::quoted;
        if self.app != app.as_str() {
            return Err(format!("it speaks of the app {}", quoted(&self.app)));
        }
        if self.environment != environment.as_str() {
            return Err(format!(
                "it speaks of the environment {}",
                quoted(&self.environment)
            ));
        }
        if self.seq != seq || seq == 0 || seq > HIGHEST_SEQ {
            return Err(format!("its number is {}", self.seq));
        }
        let before = self.previous.as_ref().map_or(0, |previous| previous.seq);
        if before != seq - 1 {
            return Err(format!("it follows entry {before}"));
        }
        if let Some(previous) = &self.previous {
            Digest::parse(&previous.digest).map_err(|failure| failure.to_string())?;
        }
        self.state.check(seq)
    }

    /// The bytes that are written and digested.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        release::to_bytes(self)
    }

    /// Whether this entry follows `before`, whose bytes have the digest `digest`. Entries that are not neighbours say nothing.
    ///
    /// # Errors
    /// `environment::chain`, exit 6, when the neighbour was rewritten.
    pub fn check_chain(&self, before: &Entry, digest: &Digest) -> Result<(), Failure> {
        let Some(previous) = &self.previous else {
            return Ok(());
        };
        if previous.seq != before.seq || previous.digest == digest.as_str() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Integrity,
            "environment::chain",
            format!(
                "entry {} of {} in {} is not the one that entry {} follows",
                before.seq, self.app, self.environment, self.seq
            ),
        )
        .because(format!(
            "entry {} names {}, but its bytes have {digest}",
            self.seq, previous.digest
        ))
        .hint("an entry was rewritten: restore the log from the store's own versions"))
    }

    /// What this entry says of `version`, where it is one that judges it bad.
    #[must_use]
    pub fn judged_bad(&self, version: &str) -> Option<BadMark> {
        let judged = match self.op {
            Op::MarkBad => self.target.as_ref().map(|target| target.version.as_str()),
            Op::Rollback => self.leaves.as_deref(),
            _ => None,
        };
        (judged == Some(version)).then(|| BadMark {
            seq: self.seq,
            op: self.op,
            by: self.actor.clone(),
            at: self.at.clone(),
            reason: self.reason.clone(),
        })
    }

    /// Where `operation` is found in this log, as far as its newest entry tells: then it happened already.
    #[must_use]
    pub fn happened(&self, operation: &str) -> Option<Happened> {
        if self.operation == operation {
            return Some(Happened {
                seq: self.seq,
                op: self.op,
                version: self.target.as_ref().map(|target| target.version.clone()),
            });
        }
        let step = self
            .state
            .history
            .iter()
            .find(|step| step.operation == operation)?;
        Some(Happened {
            seq: step.seq,
            op: step.op,
            version: Some(step.version.clone()),
        })
    }
}

/// Which entry judged a version bad, and in whose words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMark {
    /// The number of the entry.
    pub seq: u64,
    /// `mark-bad`, or the rollback that left the version.
    pub op: Op,
    /// Who.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
    /// Why.
    pub reason: Option<String>,
}

/// A deed that is in the log already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The number of its entry.
    pub seq: u64,
    /// What it did.
    pub op: Op,
    /// The version it was about.
    pub version: Option<String>,
}

impl State {
    fn check(&self, seq: u64) -> Result<(), String> {
        let versions = self
            .bad
            .iter()
            .chain(&self.pinned)
            .chain(&self.retired)
            .chain(self.history.iter().map(|step| &step.version))
            .chain(self.current.iter().map(|build| &build.version));
        for version in versions {
            Version::parse(version).map_err(|failure| failure.to_string())?;
        }
        if let Some(build) = &self.current {
            Variant::parse(&build.variant).map_err(|failure| failure.to_string())?;
            Digest::parse(&build.manifest_digest).map_err(|failure| failure.to_string())?;
        }
        if self.current.is_some() != self.since.is_some() {
            return Err("'current' and 'since' are set or not set together".to_owned());
        }
        let numbers = self
            .history
            .iter()
            .map(|step| step.seq)
            .chain(self.since)
            .chain(self.hold.iter().map(|hold| hold.seq));
        if numbers.into_iter().any(|number| number > seq) {
            return Err("its state speaks of entries that come after it".to_owned());
        }
        if !self
            .history
            .windows(2)
            .all(|pair| pair[0].seq > pair[1].seq)
        {
            return Err("its history is not in order, the newest first".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn live(version: &str) -> Live {
        Live {
            build: Build {
                version: version.to_owned(),
                variant: "any".to_owned(),
                manifest_digest: Digest::of(version.as_bytes()).to_string(),
            },
            source: Source {
                commit: "a".repeat(40),
                committed_at: "2026-01-01T00:00:00Z".to_owned(),
            },
            static_place: None,
        }
    }

    pub(crate) fn circumstances(operation: &str) -> Circumstances {
        Circumstances {
            app: PackageName::parse("web").unwrap(),
            environment: EnvironmentName::parse("prod").unwrap(),
            operation: operation.to_owned(),
            actor: "ada".to_owned(),
            reason: Some("why not".to_owned()),
            run: None,
            at: "2026-01-02T00:00:00Z".to_owned(),
        }
    }

    /// The newest entry of a log to which `events` were appended.
    pub(crate) fn log(events: &[Event]) -> Entry {
        let mut tip: Option<(Entry, Digest)> = None;
        for (number, event) in events.iter().enumerate() {
            let entry = append(
                tip.as_ref().map(|(entry, digest)| (entry, digest)),
                event,
                &circumstances(&format!("op{number}")),
                &["0.0.1".to_owned()],
            );
            let bytes = entry.to_bytes();
            let read = Entry::read(
                &PackageName::parse("web").unwrap(),
                &EnvironmentName::parse("prod").unwrap(),
                entry.seq,
                "key",
                &bytes,
            );
            assert_eq!(read.unwrap(), entry);
            if let Some((before, digest)) = &tip {
                entry.check_chain(before, digest).unwrap();
            }
            tip = Some((entry, Digest::of(&bytes)));
        }
        tip.unwrap().0
    }

    pub(crate) fn promote(version: &str) -> Event {
        Event::Promote {
            live: live(version),
            forced: false,
        }
    }

    pub(crate) fn rollback(version: &str) -> Event {
        Event::Rollback {
            live: live(version),
            forced: false,
        }
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[track_caller]
    fn check(events: &[Event], current: &str, held: bool, bad: &[&str], history: &[&str]) {
        let state = log(events).state;
        assert_eq!(state.version().unwrap_or("-"), current);
        assert_eq!(state.hold.is_some(), held);
        assert_eq!(state.bad, bad);
        let versions: Vec<&str> = state
            .history
            .iter()
            .map(|step| step.version.as_str())
            .collect();
        assert_eq!(versions, history);
    }

    #[test]
    fn the_fold() {
        check(&[promote("1.0.0")], "1.0.0", false, &[], &["1.0.0"]);
        check(&[Event::Hold], "-", true, &[], &[]);
        check(
            &[promote("1.0.0"), promote("1.1.0"), rollback("1.0.0")],
            "1.0.0",
            true,
            &["1.1.0"],
            &["1.0.0", "1.1.0", "1.0.0"],
        );
        check(
            &[
                promote("1.0.0"),
                promote("1.1.0"),
                rollback("1.0.0"),
                Event::Promote {
                    live: live("1.1.0"),
                    forced: true,
                },
            ],
            "1.1.0",
            false,
            &[],
            &["1.1.0", "1.0.0", "1.1.0", "1.0.0"],
        );
        check(
            &[
                promote("1.0.0"),
                Event::Hold,
                Event::MarkBad(version("1.0.0")),
                Event::MarkBad(version("1.0.0")),
                Event::Unhold,
            ],
            "1.0.0",
            false,
            &["1.0.0"],
            &["1.0.0"],
        );
    }

    #[test]
    fn pins_and_retired_versions_are_kept_and_copied() {
        let state = log(&[
            Event::Pin(version("1.0.0")),
            Event::Pin(version("2.0.0")),
            Event::Unpin(version("1.0.0")),
            Event::Retire(version("0.1.0")),
        ])
        .state;
        assert_eq!(state.pinned, ["2.0.0"]);
        assert_eq!(state.retired, ["0.0.1", "0.1.0"]);
    }

    #[test]
    fn what_is_live_keeps_its_source_and_its_number() {
        let tip = log(&[promote("1.0.0"), Event::Hold, Event::Unhold]);
        assert_eq!(tip.seq, 3);
        assert_eq!(tip.state.since, Some(1));
        assert_eq!(tip.source, Some(live("1.0.0").source));
        let again = log(&[
            promote("1.0.0"),
            Event::Hold,
            Event::Promote {
                live: live("1.0.0"),
                forced: true,
            },
        ]);
        assert_eq!(
            again.state.since,
            Some(1),
            "hosts have nothing to do when the same build is named again"
        );
        assert!(again.state.hold.is_none());
    }

    #[test]
    fn the_history_is_bounded() {
        let events: Vec<Event> = (0..120)
            .map(|number| promote(&format!("1.{number}.0")))
            .collect();
        let tip = log(&events);
        assert_eq!(tip.state.history.len(), LONGEST_HISTORY);
        assert_eq!(tip.state.history[0].version, "1.119.0");
    }

    #[test]
    fn an_operation_is_found_where_it_happened() {
        let tip = log(&[promote("1.0.0"), promote("1.1.0"), Event::Hold]);
        assert_eq!(tip.happened("op1").unwrap().seq, 2);
        assert_eq!(tip.happened("op2").unwrap().op, Op::Hold);
        assert_eq!(tip.happened("other"), None);
    }

    type Change = fn(&mut Entry);

    #[test]
    fn foreign_and_impossible_entries_are_refused() {
        let good = log(&[promote("1.0.0"), promote("1.1.0")]);
        let app = PackageName::parse("web").unwrap();
        let prod = EnvironmentName::parse("prod").unwrap();
        let changes: [(&str, Change); 9] = [
            ("another app", |entry| entry.app = "api".into()),
            ("another environment", |entry| {
                entry.environment = "pre".into();
            }),
            ("another number", |entry| entry.seq = 3),
            ("a gap", |entry| entry.previous.as_mut().unwrap().seq = 0),
            ("no predecessor", |entry| entry.previous = None),
            ("a path for a version", |entry| {
                entry.state.bad = vec!["../../x".into()];
            }),
            ("a short digest", |entry| {
                entry.state.current.as_mut().unwrap().manifest_digest = "sha256:00".into();
            }),
            ("the future", |entry| entry.state.since = Some(7)),
            ("history upside down", |entry| entry.state.history.reverse()),
        ];
        for (what, change) in changes {
            let mut entry = good.clone();
            change(&mut entry);
            let failure = Entry::read(&app, &prod, 2, "key", &entry.to_bytes()).unwrap_err();
            assert_eq!(failure.code(), "environment::foreign_entry", "{what}");
            assert_eq!(failure.exit(), Exit::Integrity, "{what}");
        }
    }

    #[test]
    fn a_rewritten_neighbour_is_noticed() {
        let before = log(&[promote("1.0.0")]);
        let tip = log(&[promote("1.0.0"), promote("1.1.0")]);
        let digest = Digest::of(&before.to_bytes());
        assert!(tip.check_chain(&before, &digest).is_ok());
        let failure = tip.check_chain(&before, &Digest::of(b"x")).unwrap_err();
        assert_eq!(failure.code(), "environment::chain");
    }

    #[test]
    fn the_wire_form_is_the_promised_one() {
        let json: serde_json::Value =
            serde_json::from_slice(&log(&[promote("1.0.0"), rollback("0.9.0")]).to_bytes())
                .unwrap();
        let names: Vec<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            [
                "schema",
                "app",
                "environment",
                "seq",
                "op",
                "operation",
                "leaves",
                "target",
                "previous",
                "actor",
                "reason",
                "run",
                "source",
                "static",
                "at",
                "state"
            ]
        );
        assert_eq!(json["op"], "rollback");
        assert_eq!(json["leaves"], "1.0.0");
        assert_eq!(json["state"]["hold"]["seq"], 2);
    }
}
