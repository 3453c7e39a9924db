//! What `static.json` is believed when static files are laid out, and what it says next, decided from what was read.
//!
//! It names the set that is fully laid out. Whoever may believe that looks only at what differs, and tells the CDN only of what differs. It is
//! not believed where somebody else may have written since: somebody whose activation was begun and not finished, or who made the same one live.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::name::Digest;
use crate::release::DAY;
use crate::release::static_state::{Applied, SCHEMA};

/// How many activations that were begun and not finished are looked at; behind more, all that may have changed has.
const MOST_BEGUN: usize = 8;

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The number of the entry that makes something live.
    pub seq: u64,
    /// The numbers of all entries that did, as far as the log remembers them.
    pub moves: &'a [u64],
    /// Whether this run writes that entry: nobody else lays it out by right.
    pub is_ours: bool,
    /// Whether it looks for the first time: the pointer did not move meanwhile.
    pub is_first: bool,
}

/// An activation whose static files are laid out.
#[derive(Debug, Clone, Copy)]
pub struct Activation<'a> {
    /// Whose turn it is.
    pub turn: Turn<'a>,
    /// The version.
    pub version: &'a str,
    /// The digest of its static set.
    pub set: &'a Digest,
    /// The static root, placeholders replaced.
    pub root: &'a str,
    /// Whether a CDN is in front of the root, and can be told.
    pub has_cdn: bool,
    /// Whether the log knows a CDN, and whoever asks says that none is there any more.
    pub leaves_cdn_out: bool,
    /// Now, RFC 3339.
    pub now: &'a str,
}

/// Why something is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing was live before.
    First,
    /// Another run has made it live, or an earlier attempt of this one.
    NotOurs,
    /// The pointer moved while files were written.
    Moved,
    /// There is no `static.json` that can be read.
    Unsaid,
    /// `static.json` speaks of the entry `said`, and what was live before is of the entry `before`.
    NotFinished {
        /// The entry that made live what was live before.
        before: u64,
        /// The entry of which `static.json` speaks.
        said: u64,
    },
    /// `static.json` speaks of another version than the log does: it is of a log that is lost.
    OtherVersion,
    /// `static.json` speaks of another static root.
    OtherRoot,
    /// Then an activation was found that was begun and not finished; whoever made it may still write.
    MayWrite(String),
    /// Files were mended of which the CDN never heard; which, nobody knows.
    Untold,
    /// So many activations were begun and not finished since.
    ManyBegun(usize),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::First => f.write_str("nothing was live before"),
            Doubt::NotOurs => {
                f.write_str("another run or attempt made it live, and may still write")
            }
            Doubt::Moved => f.write_str("the pointer moved while files were written"),
            Doubt::Unsaid => f.write_str("there is no static.json to believe"),
            Doubt::NotFinished { before, said } => write!(
                f,
                "the files of entry {before} were not finished: static.json speaks of entry {said}"
            ),
            Doubt::OtherVersion => {
                f.write_str("static.json speaks of another version than the log does")
            }
            Doubt::OtherRoot => f.write_str("static.json speaks of another static root"),
            Doubt::MayWrite(found) => write!(
                f,
                "whoever made an activation that was found unfinished at {found} may still write"
            ),
            Doubt::Untold => f.write_str("files were mended of which the CDN never heard"),
            Doubt::ManyBegun(count) => {
                write!(f, "{count} activations were begun and not finished since")
            }
        }
    }
}

impl Turn<'_> {
    /// The number of the entry that made live what was live before.
    fn before(&self) -> Option<u64> {
        let moves = self.moves.iter().copied();
        moves.filter(|seq| *seq < self.seq).max()
    }
}

/// Why `static.json` is not of this log, whose newest move is the entry `newest`; `None` where it may be.
///
/// It always names a move, and the version that it made live: `made`, as far as the log remembers. One that comes after the newest is damage, or stands there since another log did; it would be believed for ever.
#[must_use]
pub fn foreign(said: &Applied, newest: Option<u64>, made: Option<&str>) -> Option<String> {
    let newest = newest.unwrap_or_default();
    if let Some(made) = made.filter(|made| *made != said.version) {
        return Some(format!(
            "static.json says that entry {} made {} live, and the log says {made}: it is of a log that is lost, and is written anew",
            said.seq, said.version
        ));
    }
    (said.seq > newest).then(|| {
        format!(
            "static.json speaks of entry {}, and the newest that made something live is entry {newest}: it is damaged, or of another log, and is written anew",
            said.seq
        )
    })
}

/// The entry whose files may be believed to lie there, asked before `static.json` is read.
///
/// # Errors
/// The doubt: every file is looked at.
pub fn may_believe(turn: &Turn<'_>) -> Result<u64, Doubt> {
    if !turn.is_ours {
        return Err(Doubt::NotOurs);
    }
    if !turn.is_first {
        return Err(Doubt::Moved);
    }
    turn.before().ok_or(Doubt::First)
}

/// What `static.json` says to lie at `root`, where it is of the entry `before`: what is the same in its set and in the new one needs no look.
///
/// # Errors
/// The doubt: every file is looked at.
pub fn lies_there<'s>(
    said: Option<&'s Applied>,
    before: u64,
    root: &str,
) -> Result<&'s Applied, Doubt> {
    let said = said.ok_or(Doubt::Unsaid)?;
    if said.seq != before {
        let said = said.seq;
        return Err(Doubt::NotFinished { before, said });
    }
    if said.root != root {
        return Err(Doubt::OtherRoot);
    }
    match &said.unfinished {
        Some(found) => Err(Doubt::MayWrite(found.clone())),
        None => Ok(said),
    }
}

/// Whether `static.json` speaks of the version that its entry made live, which is `made`.
///
/// # Errors
/// The doubt: every file is looked at.
pub fn is_of_entry(said: &Applied, made: Option<&str>) -> Result<(), Doubt> {
    if made == Some(said.version.as_str()) {
        Ok(())
    } else {
        Err(Doubt::OtherVersion)
    }
}

/// Whether `static.json` is of any use before the first write, where this run `writes`.
#[must_use]
pub fn asks_before_writing(activation: &Activation<'_>, writes: bool) -> bool {
    activation.has_cdn || (!activation.turn.is_ours && writes)
}

/// What `static.json` must say before the first write, where it says something else: what nobody could tell of a run that dies after that. Files are
/// mended that are the same in the set that it names (`mends`), so that nobody would find out that the CDN has not heard of them; or they are
/// written by a run that did not make them live. Where nothing was ever laid out, whoever comes next believes nothing anyway.
#[must_use]
pub fn before_writing(
    activation: &Activation<'_>,
    said: Option<&Applied>,
    mends: bool,
) -> Option<Applied> {
    let said = said?;
    let unfinished = if activation.turn.is_ours {
        said.unfinished.clone()
    } else {
        Some(activation.now.to_owned())
    };
    let next = Applied {
        unfinished,
        untold: said.untold || (mends && activation.has_cdn),
        ..said.clone()
    };
    (next != *said).then_some(next)
}

/// What laying out came to.
#[derive(Debug, Clone, Copy)]
pub struct Laid {
    /// Whether this run wrote files.
    pub wrote: bool,
    /// Whether every file was looked at.
    pub is_whole: bool,
    /// Whether `static.json` said before this run that the CDN had not heard of everything.
    pub was_untold: bool,
}

/// How an activation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Nobody is told anything.
    Nothing(Rest),
    /// The CDN, where there is one, is told what it may hold old copies of; then `static.json` says `says`.
    Says {
        /// What it may hold copies of; `None` where there is no CDN.
        copies: Option<Copies>,
        /// What `static.json` says then.
        says: Box<Applied>,
    },
}

/// Why nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// A later activation has come to its end, and decides what is said.
    Later(u64),
    /// It was said before, and nothing was written since.
    Said,
}

/// What a CDN may hold copies of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copies {
    /// Of anything.
    Anything(Doubt),
    /// Of the set with this digest, and of those that these entries made live, whose activations were begun after it.
    Sets {
        /// The digest of the set that `static.json` names.
        last: String,
        /// The entries, as the log has them.
        begun: Vec<u64>,
    },
}

/// Who is told what once all files lie there, while `static.json` says `said`.
#[must_use]
pub fn ending(activation: &Activation<'_>, said: Option<&Applied>, laid: Laid) -> Ending {
    if let Some(later) = later(activation, said) {
        return Ending::Nothing(later);
    }
    let is_said = said.is_some_and(|said| {
        said.seq == activation.turn.seq
            && said.digest == activation.set.as_str()
            && said.root == activation.root
            && !said.untold
    });
    if is_said && !laid.wrote {
        return Ending::Nothing(Rest::Said);
    }
    let copies = || copies(activation, said, laid.was_untold);
    Ending::Says {
        copies: activation.has_cdn.then(copies),
        says: Box::new(Applied {
            schema: SCHEMA.to_owned(),
            seq: activation.turn.seq,
            version: activation.version.to_owned(),
            digest: activation.set.to_string(),
            root: activation.root.to_owned(),
            at: activation.now.to_owned(),
            unfinished: unfinished(activation, said, laid.is_whole),
            untold: activation.leaves_cdn_out,
            awaits_cdn: None,
        }),
    }
}

/// What `static.json` says before the CDN is told, where all files lie there, it says `said`, and `says` will be said once the CDN knows. It goes on
/// naming the set of which the CDN was told last, so that whoever tells it next tells it of what differs from that one; where it was never told, it
/// names the new one, of which everything is told.
#[must_use]
pub fn awaiting_cdn(said: Option<&Applied>, says: &Applied) -> Applied {
    let awaits = said.and_then(|said| said.awaits_cdn).max(Some(says.seq));
    match said {
        Some(said) => Applied {
            awaits_cdn: awaits,
            ..said.clone()
        },
        None => Applied {
            untold: true,
            awaits_cdn: awaits,
            ..says.clone()
        },
    }
}

/// What `static.json` says once the CDN was told, where it said `before` while it was told, and says `now`. Where another run wrote it meanwhile, what the
/// CDN does not know of that run stays said.
#[must_use]
pub fn after_telling(before: &Applied, now: Option<&Applied>, says: Applied) -> Applied {
    let Some(now) = now.filter(|now| *now != before) else {
        return says;
    };
    Applied {
        untold: says.untold || now.untold,
        awaits_cdn: now.awaits_cdn.filter(|awaits| *awaits > says.seq),
        ..says
    }
}

/// What `static.json` said when the CDN was told last, where it says `said` now; `None` where it never was. As long as that is the same, a CDN that is told
/// of the same again hears the same message.
#[must_use]
pub fn heard(said: Option<&Applied>) -> Option<Applied> {
    let said = said.filter(|said| !said.untold || said.awaits_cdn != Some(said.seq))?;
    Some(Applied {
        awaits_cdn: None,
        ..said.clone()
    })
}

/// How far the static files of what a move made live have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not all lie there.
    Begun,
    /// All lie there; the CDN in front of them does not know yet. Where a run died while it mended files, one of them may be missing still.
    AwaitsCdn,
    /// All is done.
    Done,
}

/// How far the files of the entry `since` have come, where `static.json` says `said`.
#[must_use]
pub fn progress(said: Option<&Applied>, since: u64) -> Progress {
    match said {
        Some(said) if said.seq >= since && !said.untold => Progress::Done,
        Some(said) if said.seq >= since || said.awaits_cdn == Some(since) => Progress::AwaitsCdn,
        _ => Progress::Begun,
    }
}

/// That a later activation came to its end, where `static.json` says `said`. Telling a CDN takes minutes, so that it is asked once more after that.
#[must_use]
pub fn later(activation: &Activation<'_>, said: Option<&Applied>) -> Option<Rest> {
    let said = said.filter(|said| said.seq > activation.turn.seq)?;
    Some(Rest::Later(said.seq))
}

/// Since when somebody else may still write, once this set is laid out: from now on where the activation before was not finished, or this run finished
/// another's. It is forgotten when all files were looked at a day later or more.
fn unfinished(
    activation: &Activation<'_>,
    said: Option<&Applied>,
    is_whole: bool,
) -> Option<String> {
    let is_next = said.map(|said| said.seq) == activation.turn.before();
    if !activation.turn.is_ours || !is_next {
        return Some(activation.now.to_owned());
    }
    let found = said.and_then(|said| said.unfinished.as_ref())?;
    let is_over = is_whole && is_a_day_later(found, activation.now);
    (!is_over).then(|| found.clone())
}

fn copies(activation: &Activation<'_>, said: Option<&Applied>, was_untold: bool) -> Copies {
    if was_untold {
        return Copies::Anything(Doubt::Untold);
    }
    let Some(said) = said else {
        return Copies::Anything(Doubt::Unsaid);
    };
    if said.root != activation.root {
        return Copies::Anything(Doubt::OtherRoot);
    }
    let begun = activation.turn.moves.iter().copied();
    let begun: Vec<u64> = begun
        .filter(|seq| *seq > said.seq && *seq != activation.turn.seq)
        .collect();
    if begun.len() > MOST_BEGUN {
        return Copies::Anything(Doubt::ManyBegun(begun.len()));
    }
    Copies::Sets {
        last: said.digest.clone(),
        begun,
    }
}

/// Whether it is a day after `then` now; both RFC 3339, and where one is not, no.
fn is_a_day_later(then: &str, now: &str) -> bool {
    let read = |text| OffsetDateTime::parse(text, &Rfc3339).ok();
    match (read(then), read(now)) {
        (Some(then), Some(now)) => (now - then).whole_seconds() >= DAY,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-03T00:00:00Z";
    const ROOT: &str = "s3://cdn/web/prod";

    /// An activation by entry 7; entry 5 made live what was live before.
    struct Case {
        is_ours: bool,
        is_first: bool,
        moves: &'static [u64],
        has_cdn: bool,
        /// What is written; `None`: nothing. Whether it mends what is the same in the set laid out before.
        writes: Option<bool>,
        laid: Laid,
        said: Option<Applied>,
    }

    fn set(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    /// `static.json` as whoever made entry `seq` live left it.
    fn said(seq: u64) -> Applied {
        Applied {
            schema: SCHEMA.to_owned(),
            seq,
            version: "1.0.0".to_owned(),
            digest: set("before").to_string(),
            root: ROOT.to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            unfinished: None,
            untold: false,
            awaits_cdn: None,
        }
    }

    /// The plainest case: our own activation of files that differ, after one that was finished, without a CDN.
    fn plain() -> Case {
        Case {
            is_ours: true,
            is_first: true,
            moves: &[7, 5, 2],
            has_cdn: false,
            writes: Some(false),
            laid: Laid {
                wrote: true,
                is_whole: false,
                was_untold: false,
            },
            said: Some(said(5)),
        }
    }

    fn behind_a_cdn() -> Case {
        Case {
            has_cdn: true,
            ..plain()
        }
    }

    /// Nothing is left to be written.
    fn idle(case: Case) -> Case {
        let laid = Laid {
            wrote: false,
            ..case.laid
        };
        Case {
            writes: None,
            laid,
            ..case
        }
    }

    /// What `static.json` says, in short.
    fn short(applied: &Applied) -> String {
        let unfinished = applied.unfinished.as_ref();
        let unfinished = unfinished.map_or_else(String::new, |found| match found.as_str() {
            NOW => ", unfinished now".to_owned(),
            found => format!(", unfinished {found}"),
        });
        let untold = if applied.untold { ", untold" } else { "" };
        format!("{}{unfinished}{untold}", applied.seq)
    }

    /// What is believed, what `static.json` says before the first write, what the CDN is told, and what `static.json` says in the end.
    fn check(why: &str, case: &Case, expected: [&str; 4]) {
        let new = set("new");
        let turn = Turn {
            seq: 7,
            moves: case.moves,
            is_ours: case.is_ours,
            is_first: case.is_first,
        };
        let activation = Activation {
            turn,
            version: "1.1.0",
            set: &new,
            root: ROOT,
            has_cdn: case.has_cdn,
            leaves_cdn_out: false,
            now: NOW,
        };
        let newest = case.moves.first().copied();
        let foreign = case
            .said
            .as_ref()
            .and_then(|said| foreign(said, newest, None));
        let said = case.said.as_ref().filter(|_| foreign.is_none());
        let believed = may_believe(&turn)
            .and_then(|before| lies_there(said, before, activation.root))
            .map_or_else(
                |doubt| doubt.to_string(),
                |said| format!("as of {}", said.seq),
            );
        let asks = asks_before_writing(&activation, case.writes.is_some());
        let noted = case.writes.filter(|_| asks);
        let noted = noted.and_then(|mends| before_writing(&activation, said, mends));
        let noted = noted.as_ref().map_or_else(|| "-".to_owned(), short);
        let (told, says) = match ending(&activation, said, case.laid) {
            Ending::Nothing(rest) => (format!("{rest:?}"), "-".to_owned()),
            Ending::Says { copies, says } => {
                assert_eq!(says.digest, new.as_str());
                let told = match copies {
                    None => "-".to_owned(),
                    Some(Copies::Anything(doubt)) => format!("all: {doubt}"),
                    Some(Copies::Sets { last, begun }) => {
                        assert_eq!(last, set("before").as_str());
                        let seq = said.map(|said| said.seq).unwrap_or_default();
                        format!("since {seq} and {begun:?}")
                    }
                };
                (told, short(&says))
            }
        };
        let found = [
            believed.as_str(),
            noted.as_str(),
            told.as_str(),
            says.as_str(),
        ];
        assert_eq!(found, expected, "{why}");
    }

    #[test]
    fn what_was_finished_is_believed_by_who_comes_next() {
        check("plain", &plain(), ["as of 5", "-", "-", "7"]);
        check(
            "behind a CDN",
            &behind_a_cdn(),
            ["as of 5", "-", "since 5 and []", "7"],
        );
        check(
            "nothing to write",
            &idle(plain()),
            ["as of 5", "-", "-", "7"],
        );
        let first = Case {
            moves: &[7],
            said: None,
            ..behind_a_cdn()
        };
        let words = "nothing was live before";
        check(
            "the first",
            &first,
            [words, "-", "all: there is no static.json to believe", "7"],
        );
    }

    #[test]
    fn others_that_may_write_are_remembered() {
        let skipped = Case {
            said: Some(said(2)),
            ..behind_a_cdn()
        };
        let words = "the files of entry 5 were not finished: static.json speaks of entry 2";
        check(
            "5 died",
            &skipped,
            [words, "-", "since 2 and [5]", "7, unfinished now"],
        );
        let lost = Case {
            said: None,
            ..behind_a_cdn()
        };
        let words = "there is no static.json to believe";
        let all = "all: there is no static.json to believe";
        check(
            "static.json is gone",
            &lost,
            [words, "-", all, "7, unfinished now"],
        );
        let theirs = Case {
            is_ours: false,
            ..plain()
        };
        let words = "another run or attempt made it live, and may still write";
        check(
            "finishing another's",
            &theirs,
            [words, "5, unfinished now", "-", "7, unfinished now"],
        );
        check(
            "all of it was there",
            &idle(theirs),
            [words, "-", "-", "7, unfinished now"],
        );
        let moved = Case {
            is_first: false,
            ..plain()
        };
        let words = "the pointer moved while files were written";
        check("looked at again", &moved, [words, "-", "-", "7"]);
    }

    #[test]
    fn they_are_forgotten_when_everything_was_looked_at_a_day_later() {
        let check = |found: &str, is_whole, says: &str| {
            let laid = Laid {
                is_whole,
                ..plain().laid
            };
            let may_write = Applied {
                unfinished: Some(found.to_owned()),
                ..said(5)
            };
            let case = Case {
                laid,
                said: Some(may_write),
                ..plain()
            };
            let words = format!(
                "whoever made an activation that was found unfinished at {found} may still write"
            );
            check(found, &case, [&words, "-", "-", says]);
        };
        check("2026-01-02T00:00:00Z", true, "7");
        check(
            "2026-01-02T00:00:00Z",
            false,
            "7, unfinished 2026-01-02T00:00:00Z",
        );
        check(
            "2026-01-02T00:00:01Z",
            true,
            "7, unfinished 2026-01-02T00:00:01Z",
        );
        check("yesterday", true, "7, unfinished yesterday");
    }

    #[test]
    fn what_the_cdn_has_not_heard_is_told_whoever_comes_next() {
        let mends = Case {
            writes: Some(true),
            ..behind_a_cdn()
        };
        check(
            "mended",
            &mends,
            ["as of 5", "5, untold", "since 5 and []", "7"],
        );
        let without = Case {
            has_cdn: false,
            ..mends
        };
        check("nobody to tell", &without, ["as of 5", "-", "-", "7"]);
        let untold = Case {
            laid: Laid {
                was_untold: true,
                ..plain().laid
            },
            said: Some(Applied {
                untold: true,
                ..said(5)
            }),
            ..behind_a_cdn()
        };
        let all = "all: files were mended of which the CDN never heard";
        check("never told", &untold, ["as of 5", "-", all, "7"]);
        let elsewhere = Case {
            said: Some(Applied {
                root: "s3://old".to_owned(),
                ..said(5)
            }),
            ..behind_a_cdn()
        };
        let words = "static.json speaks of another static root";
        check(
            "moved elsewhere",
            &elsewhere,
            [words, "-", &format!("all: {words}"), "7"],
        );
        let many = Case {
            moves: &[7, 6, 5, 4, 3, 2, 1],
            said: Some(said(0)),
            ..behind_a_cdn()
        };
        let words = "the files of entry 6 were not finished: static.json speaks of entry 0";
        let sets = "since 0 and [6, 5, 4, 3, 2, 1]";
        check("some died", &many, [words, "-", sets, "7, unfinished now"]);
    }

    #[test]
    fn many_that_died_are_not_looked_at() {
        let (new, moves) = (set("new"), [20, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        let check = |seq, expected: &Copies| {
            let turn = Turn {
                seq: 20,
                moves: &moves,
                is_ours: true,
                is_first: true,
            };
            let activation = Activation {
                turn,
                version: "1.1.0",
                set: &new,
                root: ROOT,
                has_cdn: true,
                leaves_cdn_out: false,
                now: NOW,
            };
            assert_eq!(copies(&activation, Some(&said(seq)), false), *expected);
        };
        let last = set("before").to_string();
        let begun = vec![9, 8, 7, 6, 5, 4, 3, 2];
        check(1, &Copies::Sets { last, begun });
        check(0, &Copies::Anything(Doubt::ManyBegun(9)));
    }

    #[test]
    fn what_is_said_already_or_by_a_later_run_stays() {
        let same = Applied {
            digest: set("new").to_string(),
            ..said(7)
        };
        let again = |said: Applied| Case {
            is_ours: false,
            said: Some(said),
            ..behind_a_cdn()
        };
        let words = "another run or attempt made it live, and may still write";
        check(
            "again",
            &idle(again(same.clone())),
            [words, "-", "Said", "-"],
        );
        let later = Case {
            moves: &[9, 7, 5],
            ..again(said(9))
        };
        check(
            "a later one ended",
            &idle(later),
            [words, "-", "Later(9)", "-"],
        );
        let untold = Applied {
            untold: true,
            ..same
        };
        let heard = "since 7 and []";
        let mut untold = again(untold);
        untold.said = untold.said.map(|said| Applied {
            digest: set("before").to_string(),
            ..said
        });
        check(
            "never told",
            &idle(untold),
            [words, "-", heard, "7, unfinished now"],
        );
    }

    #[test]
    fn what_the_cdn_was_not_told_of_is_said_and_names_what_it_heard_of_last() {
        let next = Applied {
            version: "1.1.0".to_owned(),
            ..said(7)
        };
        let waits = awaiting_cdn(Some(&said(5)), &next);
        assert_eq!((waits.seq, waits.awaits_cdn), (5, Some(7)));
        let first = awaiting_cdn(None, &next);
        assert_eq!(
            (first.seq, first.untold, first.awaits_cdn),
            (7, true, Some(7))
        );
        assert_eq!(heard(Some(&waits)), Some(said(5)));
        assert_eq!(heard(Some(&first)), None);
        assert_eq!(heard(None), None);
        // A run that tells it slowly takes nothing away that another wrote meanwhile.
        assert_eq!(after_telling(&waits, Some(&waits), next.clone()), next);
        assert_eq!(after_telling(&waits, None, next.clone()), next);
        let mended = Applied {
            untold: true,
            awaits_cdn: Some(9),
            ..waits.clone()
        };
        let kept = after_telling(&waits, Some(&mended), next.clone());
        assert_eq!((kept.seq, kept.untold, kept.awaits_cdn), (7, true, Some(9)));
        // A run that was overtaken forgets nothing of a later one.
        let earlier = Applied {
            seq: 6,
            ..next.clone()
        };
        assert_eq!(awaiting_cdn(Some(&waits), &earlier), waits);
        for (said, since, expected) in [
            (None, 7, Progress::Begun),
            (Some(&said(5)), 7, Progress::Begun),
            (Some(&waits), 7, Progress::AwaitsCdn),
            (Some(&first), 7, Progress::AwaitsCdn),
            (Some(&waits), 8, Progress::Begun),
            (Some(&first), 8, Progress::Begun),
            (Some(&next), 7, Progress::Done),
            (Some(&waits), 5, Progress::Done),
        ] {
            assert_eq!(progress(said, since), expected, "{said:?} since {since}");
        }
        let behind = |said: Applied| Case {
            is_ours: false,
            said: Some(said),
            ..behind_a_cdn()
        };
        let words = "another run or attempt made it live, and may still write";
        let heard = "since 5 and []";
        let after = "7, unfinished now";
        check("again", &idle(behind(waits)), [words, "-", heard, after]);
        let all = "all: files were mended of which the CDN never heard";
        let mut first = idle(behind(Applied {
            digest: set("new").to_string(),
            ..first
        }));
        first.laid.was_untold = true;
        check("the first again", &first, [words, "-", all, after]);
    }

    #[test]
    fn an_entry_that_is_not_in_the_log_is_not_believed() {
        let case = Case {
            said: Some(said(9)),
            ..behind_a_cdn()
        };
        let words = "there is no static.json to believe";
        let all = "all: there is no static.json to believe";
        check("damaged", &case, [words, "-", all, "7, unfinished now"]);
        let told = foreign(&said(9), Some(7), None).unwrap_or_default();
        assert!(
            told.contains("speaks of entry 9") && told.contains("is entry 7"),
            "{told}"
        );
        assert_eq!(foreign(&said(7), Some(7), None), None);
        assert!(foreign(&said(1), None, None).is_some());
        let said = said(7);
        assert_eq!(foreign(&said, Some(7), Some(&said.version)), None);
        assert!(foreign(&said, Some(7), Some("9.9.9")).is_some());
        assert_eq!(is_of_entry(&said, Some(&said.version)), Ok(()));
        for made in [Some("9.9.9"), None] {
            assert_eq!(is_of_entry(&said, made), Err(Doubt::OtherVersion));
        }
    }
}
