//! The pointer log of one app in one environment: reading its newest entry, and appending to it.
//!
//! Appending is one conditional write. Whoever loses the race judges again on the entry that won; a write whose answer was lost is
//! read back and known by its operation id, so every deed has exactly one entry.

use async_trait::async_trait;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::environment::entry::{
    self, BadMark, Circumstances, Entry, Happened, LONGEST_HISTORY, Move, State,
};
use crate::explain::{Exit, Failure};
use crate::name::{Digest, EnvironmentName, Key, PackageName};
use crate::plan::promote::Judgement;
use crate::release::layout;
use crate::remote::store::until_known::until_known;
use crate::remote::store::{Body, Created, Headers, Store, StoreError};

/// How often a request is judged again after another one won.
const ROUNDS: usize = 5;
/// How many entries are read to find the one that judged a version bad, and how many of them at once.
const LOOKED_BACK: u64 = 200;
const READS: usize = 16;
/// The longest entry that is read: a history of 100 moves is far below.
const LONGEST_ENTRY: u64 = 4 << 20;

/// The pointer log of one app in one environment.
#[derive(Clone, Copy)]
pub struct Log<'a> {
    /// Where it lies.
    pub store: &'a dyn Store,
    /// The app.
    pub app: &'a PackageName,
    /// The environment.
    pub environment: &'a EnvironmentName,
}

/// An entry and the digest of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// The entry.
    pub entry: Entry,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number that `current.json` named when this entry, or the one that it follows, was looked for; `None` where it was not read, or named none.
    pub hint: Option<u64>,
}

/// Judges a request on the newest entry; asked again whenever another entry came first.
#[async_trait]
pub trait Judge: Send {
    /// What the request comes to while `state` is true; `tip` is `None` as long as the log is empty.
    async fn judge(&mut self, state: &State, tip: Option<&Tip>) -> Result<Judgement, Failure>;
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointed {
    /// It is in the log.
    Appended {
        /// Its entry.
        tip: Tip,
        /// What was true before.
        before: State,
        /// Why it was done.
        reasons: Vec<String>,
    },
    /// It was in the log already: an earlier attempt wrote it.
    Happened {
        /// The newest entry.
        tip: Tip,
        /// Where it was found.
        past: Happened,
    },
    /// It was judged otherwise; nothing was written.
    Stayed {
        /// The newest entry.
        tip: Option<Tip>,
        /// The judgement, never `Append`.
        judgement: Judgement,
    },
}

/// What judging on one tip came to.
enum Round {
    Ended(Pointed),
    Write(Next),
}

/// An entry that is about to be written.
struct Next {
    tip: Tip,
    before: State,
    reasons: Vec<String>,
}

impl Next {
    fn appended(self) -> Pointed {
        Pointed::Appended {
            tip: self.tip,
            before: self.before,
            reasons: self.reasons,
        }
    }
}

/// What became of one send of an entry.
enum Sent {
    Won,
    Lost,
}

impl Pointed {
    /// The newest entry, as far as it was seen.
    #[must_use]
    pub fn tip(&self) -> Option<&Tip> {
        match self {
            Pointed::Appended { tip, .. } | Pointed::Happened { tip, .. } => Some(tip),
            Pointed::Stayed { tip, .. } => tip.as_ref(),
        }
    }
}

impl Log<'_> {
    /// The newest entry, `None` when there is none.
    ///
    /// # Errors
    /// `environment::log_gap` (exit 6) when an entry is missing; those of [`Entry::read`] and of the store.
    pub async fn tip(&self) -> Result<Option<Tip>, Failure> {
        let hint = self.hint().await?;
        let from = hint.unwrap_or_default();
        // The hint is seldom behind, so what it names is read while the log is listed.
        let (newest, hinted) = join(self.newest_after(from), self.entry(from)).await;
        let tip = match (newest?, hint) {
            (Some(newest), _) => self.must_have(newest).await?,
            (None, Some(hint)) => hinted?.ok_or_else(|| self.gone(hint))?,
            (None, None) => return Ok(None),
        };
        Ok(Some(Tip { hint, ..tip }))
    }

    /// The newest entry, where `known` was the newest a moment ago.
    ///
    /// # Errors
    /// As [`Log::tip`].
    pub async fn tip_from(&self, known: &Tip) -> Result<Tip, Failure> {
        match self.newest_after(known.entry.seq).await? {
            Some(seq) => self.must_have(seq).await,
            None => Ok(known.clone()),
        }
    }

    async fn must_have(&self, seq: u64) -> Result<Tip, Failure> {
        self.entry(seq).await?.ok_or_else(|| self.gone(seq))
    }

    /// The entry with number `seq`, `None` when there is none.
    ///
    /// # Errors
    /// Those of [`Entry::read`] and of the store.
    pub async fn entry(&self, seq: u64) -> Result<Option<Tip>, Failure> {
        if seq == 0 {
            return Ok(None);
        }
        let key = layout::log_entry(self.app, self.environment, seq);
        let Some(bytes) = self.store.get(&key, LONGEST_ENTRY).await? else {
            return Ok(None);
        };
        Ok(Some(Tip {
            entry: Entry::read(self.app, self.environment, seq, key.as_str(), &bytes)?,
            digest: Digest::of(&bytes),
            hint: None,
        }))
    }

    /// Every move of the log, the newest first. `tip` is the newest entry; it remembers the newest moves, and the entry before the oldest of them
    /// remembers those before.
    ///
    /// # Errors
    /// As [`Log::tip`].
    pub async fn moves(&self, tip: &Tip) -> Result<Vec<Move>, Failure> {
        let mut moves = tip.entry.state.history.clone();
        let mut last = moves.len();
        while last == LONGEST_HISTORY
            && let Some(oldest) = moves.last().filter(|oldest| oldest.seq > 1)
        {
            let before = self.must_have(oldest.seq - 1).await?;
            last = before.entry.state.history.len();
            moves.extend(before.entry.state.history);
        }
        Ok(moves)
    }

    /// The newest entry that judged `version` bad, where `tip` says that it is; `None` where that is too long ago to look for.
    ///
    /// # Errors
    /// As [`Log::entry`].
    pub async fn bad_mark(&self, tip: &Tip, version: &str) -> Result<Option<BadMark>, Failure> {
        if let Some(mark) = tip.entry.judged_bad(version) {
            return Ok(Some(mark));
        }
        let newest = tip.entry.seq;
        let seqs = (newest.saturating_sub(LOOKED_BACK).max(1)..newest).rev();
        let reads = seqs.map(|seq| async move { self.entry(seq).await });
        let mut reads = stream::iter(reads).buffered(READS);
        while let Some(read) = reads.try_next().await? {
            if let Some(mark) = read.and_then(|read| read.entry.judged_bad(version)) {
                return Ok(Some(mark));
            }
        }
        Ok(None)
    }

    /// Does what `judge` decides, at most once for each `operation`.
    ///
    /// # Errors
    /// What the judge fails with; `environment::contended` and `environment::uncertain` (exit 75); an integrity failure (exit 6)
    /// when the log is not a chain.
    pub async fn append(
        &self,
        circumstances: &Circumstances,
        judge: &mut dyn Judge,
    ) -> Result<Pointed, Failure> {
        let mut seen: Option<Tip> = None;
        for _ in 0..ROUNDS {
            let tip = self.tip().await?;
            check_progress(seen.as_ref(), tip.as_ref(), self)?;
            let next = match self.judge_on(tip.clone(), circumstances, judge).await? {
                Round::Ended(pointed) => return Ok(pointed),
                Round::Write(next) => next,
            };
            match self.send(&next.tip.entry).await? {
                Sent::Won => return Ok(next.appended()),
                Sent::Lost => seen = tip,
            }
        }
        Err(Failure::new(
            Exit::Temporary,
            "environment::contended",
            format!(
                "{} of {} is being changed by others all the time",
                self.environment, self.app
            ),
        )
        .because(format!(
            "{ROUNDS} times in a row another entry came first; nothing was written"
        ))
        .hint("look with 'status', then run it again"))
    }

    /// What [`Log::append`] would do, without writing anything.
    ///
    /// # Errors
    /// What the judge fails with, and an integrity failure (exit 6) when the log is not a chain.
    pub async fn rehearse(
        &self,
        circumstances: &Circumstances,
        judge: &mut dyn Judge,
    ) -> Result<Pointed, Failure> {
        let tip = self.tip().await?;
        match self.judge_on(tip, circumstances, judge).await? {
            Round::Ended(pointed) => Ok(pointed),
            Round::Write(next) => Ok(next.appended()),
        }
    }

    async fn judge_on(
        &self,
        tip: Option<Tip>,
        circumstances: &Circumstances,
        judge: &mut dyn Judge,
    ) -> Result<Round, Failure> {
        if let Some(tip) = &tip
            && let Some(past) = tip.entry.happened(&circumstances.operation)
        {
            let tip = tip.clone();
            return Ok(Round::Ended(Pointed::Happened { tip, past }));
        }
        let retired = match &tip {
            Some(_) => Vec::new(),
            None => self.retired_elsewhere().await?,
        };
        let state = tip
            .as_ref()
            .map_or_else(|| State::new(&retired), |tip| tip.entry.state.clone());
        let (event, reasons) = match judge.judge(&state, tip.as_ref()).await? {
            Judgement::Append { event, reasons } => (event, reasons),
            judgement => return Ok(Round::Ended(Pointed::Stayed { tip, judgement })),
        };
        let entry = entry::append(
            tip.as_ref().map(|tip| (&tip.entry, &tip.digest)),
            &event,
            circumstances,
            &retired,
        );
        let digest = Digest::of(&entry.to_bytes());
        Ok(Round::Write(Next {
            tip: Tip {
                entry,
                digest,
                hint: tip.and_then(|tip| tip.hint),
            },
            before: state,
            reasons,
        }))
    }

    /// Sends one entry until it is known who has its number.
    async fn send(&self, entry: &Entry) -> Result<Sent, Failure> {
        let key = layout::log_entry(self.app, self.environment, entry.seq);
        let bytes = entry.to_bytes();
        let digest = Digest::of(&bytes);
        let body = Body::Bytes(bytes);
        let headers = Headers::changing_json();
        let send = || async {
            let created = self.store.create(&key, &body, &headers).await?;
            Ok((created == Created::New).then_some(Sent::Won))
        };
        let look = || async {
            let there = self.entry(entry.seq).await?;
            Ok(there.map(|there| {
                if there.digest == digest {
                    Sent::Won
                } else {
                    // Also where another run of the same release wrote it: what is there counts, and holds another moment.
                    Sent::Lost
                }
            }))
        };
        let open = |doubt: Option<Failure>| {
            let failure = Failure::new(
                Exit::Temporary,
                "environment::uncertain",
                format!(
                    "nobody can say whether entry {} of {} in {} was written",
                    entry.seq, self.app, self.environment
                ),
            )
            .hint("look with 'status' first: if it is there, it is done; else run it again");
            match doubt {
                Some(doubt) => failure.because_of(&doubt),
                None => {
                    failure.because("the store says that the entry exists, and that it does not")
                }
            }
        };
        let known = until_known(&key, send, look).await;
        known.map_err(|unknown| unknown.or(open))
    }

    /// Moves the hint to `tip`, forward as far as this run has seen it: where another run moves it further at the same moment, it may stay behind.
    /// It is a hint: then, and when moving it fails, readers list a little more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn advance_hint(&self, tip: &Tip) -> Result<(), Failure> {
        let seq = tip.entry.seq;
        let seen = match tip.hint {
            Some(hint) => Some(hint),
            None => self.hint().await?,
        };
        match seen {
            Some(hint) if hint == seq => return Ok(()),
            // A hint that is ahead of the log is no hint, and would stop every later one.
            Some(hint) if hint > seq && self.entry(hint).await?.is_some() => return Ok(()),
            _ => {}
        }
        let key = layout::current(self.app, self.environment);
        let body = Body::Bytes(tip.entry.to_bytes());
        self.store
            .replace(&key, &body, &Headers::changing_json())
            .await?;
        Ok(())
    }

    /// The app's other environments that have a log.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn other_environments(&self) -> Result<Vec<EnvironmentName>, Failure> {
        let mut names = environments_of(self.store, self.app).await?;
        names.retain(|name| name != self.environment);
        Ok(names)
    }

    /// The same log in another environment.
    #[must_use]
    pub fn beside<'b>(&'b self, environment: &'b EnvironmentName) -> Log<'b> {
        Log {
            store: self.store,
            app: self.app,
            environment,
        }
    }

    async fn retired_elsewhere(&self) -> Result<Vec<String>, Failure> {
        let mut retired = Vec::new();
        for name in self.other_environments().await? {
            if let Some(tip) = self.beside(&name).tip().await? {
                retired.extend(tip.entry.state.retired);
            }
        }
        Ok(retired)
    }

    /// The number that `current.json` names; a hint that cannot be read is no hint.
    async fn hint(&self) -> Result<Option<u64>, Failure> {
        #[derive(serde::Deserialize)]
        struct Hint {
            seq: u64,
        }
        let key = layout::current(self.app, self.environment);
        let read = match self.store.get(&key, LONGEST_ENTRY).await {
            Err(StoreError::Failed(failure)) if failure.code() == "store::too_large" => {
                Some(Vec::new())
            }
            read => read?,
        };
        let Some(bytes) = read else {
            return Ok(None);
        };
        match serde_json::from_slice::<Hint>(&bytes) {
            Ok(hint) if (1..=999_999_999_999).contains(&hint.seq) => Ok(Some(hint.seq)),
            _ => {
                tracing::warn!(%key, "the hint cannot be read; the whole log is listed");
                Ok(None)
            }
        }
    }

    /// The newest number after `hint`, after making sure that none is missing between.
    async fn newest_after(&self, hint: u64) -> Result<Option<u64>, Failure> {
        let after = (hint > 0).then(|| layout::log_entry(self.app, self.environment, hint));
        let keys = self
            .store
            .list(
                &layout::log(self.app, self.environment),
                after.as_ref().map(Key::as_str),
            )
            .await?;
        let mut newest = hint;
        for seq in keys.iter().filter_map(layout::log_entry_seq) {
            if seq != newest + 1 {
                return Err(self.gone(newest + 1));
            }
            newest = seq;
        }
        Ok((newest > hint).then_some(newest))
    }

    fn gone(&self, seq: u64) -> Failure {
        Failure::new(
            Exit::Integrity,
            "environment::log_gap",
            format!(
                "entry {seq} of the pointer log of {} in {} is missing",
                self.app, self.environment
            ),
        )
        .because("entries are never deleted, and their numbers have no gaps")
        .hint("restore it from the store's own versions before anything else is done")
    }
}

/// The environments of `app` that have a log.
///
/// # Errors
/// Those of the store.
pub async fn environments_of(
    store: &dyn Store,
    app: &PackageName,
) -> Result<Vec<EnvironmentName>, Failure> {
    let keys = store.list(&layout::environments(app), None).await?;
    let mut names: Vec<EnvironmentName> = keys
        .iter()
        .filter(|key| layout::log_entry_seq(key).is_some())
        .filter_map(layout::environment_of)
        .map(|(_, environment)| environment)
        .collect();
    names.dedup();
    Ok(names)
}

/// Between two rounds the log only grows, and the entry seen before is still the one that follows.
fn check_progress(before: Option<&Tip>, now: Option<&Tip>, log: &Log<'_>) -> Result<(), Failure> {
    let Some(before) = before else { return Ok(()) };
    match now {
        Some(now) if now.entry.seq > before.entry.seq => {
            now.entry.check_chain(&before.entry, &before.digest)
        }
        Some(now) if now.entry.seq == before.entry.seq && now.digest == before.digest => Ok(()),
        _ => Err(log.gone(before.entry.seq)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::apply::trial::{Fault, Trial, block_on};
    use crate::environment::entry::tests::{circumstances, live};
    use crate::environment::entry::{Event, Op};

    fn names() -> (PackageName, EnvironmentName) {
        (
            PackageName::parse("web").unwrap(),
            EnvironmentName::parse("prod").unwrap(),
        )
    }

    /// Promotes a version whatever the state is.
    struct Always(&'static str);

    #[async_trait]
    impl Judge for Always {
        async fn judge(&mut self, _: &State, _: Option<&Tip>) -> Result<Judgement, Failure> {
            Ok(Judgement::Append {
                event: Event::Promote {
                    live: live(self.0),
                    forced: false,
                },
                reasons: Vec::new(),
            })
        }
    }

    async fn promote(store: &Trial, version: &'static str) -> Result<Pointed, Failure> {
        promote_by(store, version, &circumstances(version)).await
    }

    async fn promote_by(
        store: &Trial,
        version: &'static str,
        circumstances: &Circumstances,
    ) -> Result<Pointed, Failure> {
        let (app, environment) = names();
        let log = Log {
            store,
            app: &app,
            environment: &environment,
        };
        let pointed = log.append(circumstances, &mut Always(version)).await?;
        if let Pointed::Appended { tip, .. } | Pointed::Happened { tip, .. } = &pointed {
            log.advance_hint(tip).await?;
        }
        Ok(pointed)
    }

    fn tip(store: &Trial) -> Option<Tip> {
        let (app, environment) = names();
        block_on(
            Log {
                store,
                app: &app,
                environment: &environment,
            }
            .tip(),
        )
        .unwrap()
    }

    fn operations(store: &Trial) -> Vec<String> {
        let (app, environment) = names();
        let log = Log {
            store,
            app: &app,
            environment: &environment,
        };
        let last = tip(store).map_or(0, |tip| tip.entry.seq);
        (1..=last)
            .map(|seq| block_on(log.entry(seq)).unwrap().unwrap().entry.operation)
            .collect()
    }

    #[test]
    fn entries_follow_each_other() {
        let store = Trial::default();
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            block_on(promote(&store, version)).unwrap();
        }
        let tip = tip(&store).unwrap();
        assert_eq!((tip.entry.seq, tip.entry.op), (3, Op::Promote));
        assert_eq!(operations(&store), ["1.0.0", "1.1.0", "1.2.0"]);
    }

    #[test]
    fn what_happened_already_does_not_happen_again() {
        let store = Trial::default();
        for version in ["1.0.0", "1.1.0", "1.0.0"] {
            block_on(promote(&store, version)).unwrap();
        }
        assert!(matches!(
            block_on(promote(&store, "1.0.0")).unwrap(),
            Pointed::Happened { past, .. } if past.seq == 1
        ));
        assert_eq!(operations(&store), ["1.0.0", "1.1.0"]);
    }

    /// Whatever single call of the store loses its answer, before or after its effect, there is one entry, and we say so.
    #[test]
    fn a_lost_answer_never_loses_or_doubles_an_entry() {
        for effect_first in [false, true] {
            for call in 0.. {
                let store = Trial::default();
                block_on(promote(&store, "1.0.0")).unwrap();
                store.fail_at(call, Fault::Uncertain { effect_first });
                let outcome = block_on(promote(&store, "1.1.0"));
                let reached = store.fault_was_met();
                store.heal();
                if outcome.is_err() {
                    block_on(promote(&store, "1.1.0")).unwrap();
                }
                assert_eq!(
                    operations(&store),
                    ["1.0.0", "1.1.0"],
                    "call {call}, effect first: {effect_first}"
                );
                if !reached {
                    assert!(call > 4, "the faults met nothing");
                    break;
                }
            }
        }
    }

    #[test]
    fn a_crash_at_any_call_is_continued_by_the_next_run() {
        for effect_first in [false, true] {
            for call in 0.. {
                let store = Trial::default();
                block_on(promote(&store, "1.0.0")).unwrap();
                store.fail_at(call, Fault::Crash { effect_first });
                let crashed = block_on(promote(&store, "1.1.0")).is_err();
                let reached = store.fault_was_met();
                store.heal();
                assert_eq!(crashed, reached);
                block_on(promote(&store, "1.1.0")).unwrap();
                assert_eq!(operations(&store), ["1.0.0", "1.1.0"], "call {call}");
                if !reached {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_store_that_never_answers_is_given_up_as_temporary() {
        let store = Trial::default();
        store.fail_always(Fault::Uncertain {
            effect_first: false,
        });
        let failure = block_on(promote(&store, "1.0.0")).unwrap_err();
        assert_eq!(failure.exit(), Exit::Temporary);
        assert_eq!(failure.code(), "environment::uncertain");
    }

    #[test]
    fn racing_promotes_all_end_up_in_the_log_once() {
        for seed in 0..300 {
            let store = Arc::new(Trial::default());
            store.start_pausing();
            let versions = ["1.0.0", "1.1.0", "1.2.0"];
            let runs = versions.map(|version| {
                let store = Arc::clone(&store);
                Box::pin(async move { promote(&store, version).await.map(|_| ()) })
                    as crate::apply::trial::Run
            });
            for outcome in crate::apply::trial::interleave(runs.into(), seed) {
                outcome.unwrap();
            }
            store.stop_pausing();
            let mut found = operations(&store);
            found.sort();
            assert_eq!(found, versions, "seed {seed}");
        }
    }

    /// Two runs of one release differ in their moment: what the log holds is what the hint says, whoever was first.
    #[test]
    fn of_two_runs_of_one_deed_the_hint_is_the_one_that_the_log_holds() {
        for seed in 0..100 {
            let store = Arc::new(Trial::default());
            store.start_pausing();
            let runs = ["2026-01-02T00:00:00Z", "2026-01-02T00:00:01Z"].map(|at| {
                let store = Arc::clone(&store);
                let by = Circumstances {
                    at: at.to_owned(),
                    ..circumstances("1.0.0")
                };
                Box::pin(async move { promote_by(&store, "1.0.0", &by).await.map(|_| ()) })
                    as crate::apply::trial::Run
            });
            for outcome in crate::apply::trial::interleave(runs.into(), seed) {
                outcome.unwrap();
            }
            store.stop_pausing();
            assert_eq!(operations(&store), ["1.0.0"]);
            let (app, environment) = names();
            let hint = store.bytes(&layout::current(&app, &environment));
            let entry = store.bytes(&layout::log_entry(&app, &environment, 1));
            assert!(entry.is_some() && hint == entry, "seed {seed}");
        }
    }

    #[test]
    fn hints_may_lag_be_lost_or_be_wrong() {
        let (app, environment) = names();
        let key = layout::current(&app, &environment);
        for hint in [
            &b""[..],
            b"{",
            b"{\"seq\":0}",
            b"{\"seq\":1}",
            b"{\"seq\":2}",
            b"{\"seq\":99999999999999999999}",
        ] {
            let store = Trial::default();
            block_on(promote(&store, "1.0.0")).unwrap();
            block_on(promote(&store, "1.1.0")).unwrap();
            store.put(&key, hint);
            assert_eq!(tip(&store).unwrap().entry.seq, 2);
            block_on(promote(&store, "1.2.0")).unwrap();
            assert_eq!(tip(&store).unwrap().entry.seq, 3);
            let repaired: serde_json::Value =
                serde_json::from_slice(&store.bytes(&key).unwrap()).unwrap();
            assert_eq!(repaired["seq"], 3);
        }
    }

    #[test]
    fn a_hint_at_an_entry_that_is_not_there_tells_that_the_log_lost_one() {
        let (app, environment) = names();
        let store = Trial::default();
        block_on(promote(&store, "1.0.0")).unwrap();
        store.put(&layout::current(&app, &environment), b"{\"seq\":2}");
        let failure = block_on(promote(&store, "1.1.0")).unwrap_err();
        assert_eq!(failure.code(), "environment::log_gap");
        assert_eq!(failure.exit(), Exit::Integrity);
    }

    #[test]
    fn a_hint_that_stays_behind_hides_no_entry() {
        let (app, environment) = names();
        let store = Trial::default();
        block_on(promote(&store, "1.0.0")).unwrap();
        block_on(promote(&store, "1.1.0")).unwrap();
        let old = tip(&store).unwrap();
        block_on(promote(&store, "1.2.0")).unwrap();
        let log = Log {
            store: &store,
            app: &app,
            environment: &environment,
        };
        let check = |old: &Tip, hint: u64| {
            block_on(log.advance_hint(old)).unwrap();
            assert_eq!(block_on(log.hint()).unwrap(), Some(hint));
            assert_eq!(tip(&store).unwrap().entry.seq, 3);
        };
        // Whoever has not looked at the hint, or has seen a later one, leaves it.
        let unseen = Tip {
            hint: None,
            ..old.clone()
        };
        check(&unseen, 3);
        let later = Tip {
            hint: Some(3),
            ..old.clone()
        };
        check(&later, 3);
        // Another run moved it after this one had looked.
        let before = Tip {
            hint: Some(1),
            ..old
        };
        check(&before, 2);
        block_on(promote(&store, "1.3.0")).unwrap();
        assert_eq!(block_on(log.hint()).unwrap(), Some(4));
    }

    #[test]
    fn a_missing_entry_is_noticed() {
        let (app, environment) = names();
        let store = Trial::default();
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            block_on(promote(&store, version)).unwrap();
        }
        store.remove(&layout::current(&app, &environment));
        store.remove(&layout::log_entry(&app, &environment, 2));
        let log = Log {
            store: &store,
            app: &app,
            environment: &environment,
        };
        let failure = block_on(log.tip()).unwrap_err();
        assert_eq!(failure.code(), "environment::log_gap");
    }

    #[test]
    fn a_new_environment_knows_what_the_others_retired() {
        struct Retire;
        #[async_trait]
        impl Judge for Retire {
            async fn judge(&mut self, _: &State, _: Option<&Tip>) -> Result<Judgement, Failure> {
                Ok(Judgement::Append {
                    event: Event::Retire(crate::version::Version::new(0, 1, 0)),
                    reasons: Vec::new(),
                })
            }
        }
        let (app, environment) = names();
        let pre = EnvironmentName::parse("pre").unwrap();
        let store = Trial::default();
        let log = Log {
            store: &store,
            app: &app,
            environment: &environment,
        };
        let beside = log.beside(&pre);
        let mut by = circumstances("retire");
        by.environment = pre.clone();
        block_on(beside.append(&by, &mut Retire)).unwrap();
        block_on(promote(&store, "1.0.0")).unwrap();
        assert_eq!(tip(&store).unwrap().entry.state.retired, ["0.1.0"]);
    }
}
