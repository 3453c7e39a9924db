//! Every order in which promotes, rollbacks and two `gc` can meet, each of which may die at any step, over the real log, judges and decisions; and
//! proof that each of the rules is needed: without it, the same search finds a window without its bytes.
//!
//! A store is linearizable: the steps are one request each. Only a day is assumed of clocks: whoever judges a promote writes it within one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use super::*;
use crate::environment::entry::tests::{circumstances, live};
use crate::environment::entry::{self, Entry, State};
use crate::environment::target::{Walk, walk};
use crate::plan::promote::{self, Against, By, Found, Wish};
use crate::plan::rollback;

const NOW: i64 = 1_000 * DAY;
const POLICY: Policy = Policy {
    keep_releases: 1,
    keep_days: 0,
};

/// How many versions there are.
const VERSIONS: u8 = 6;

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Look at every pointer, then delete.
    RetireFirst,
    /// Retire in one environment only.
    EveryEnvironment,
    /// Retire what was unneeded when the run began.
    TheTip,
    /// Promote what is retired.
    RetiredIsRefused,
    /// A new environment begins with nothing retired.
    CopiedRetired,
    /// Delete right after retiring.
    ADay,
    /// Write an entry over another one.
    Conditions,
}

/// What an entry of a model's log did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Did {
    Promote(u8),
    Rollback(u8),
    Retire(u8),
    /// The first entry of a log that copies what others retired (as bits).
    Begin(u8, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Run {
    /// Looks at an environment and is about to point it at a version; `written` is the length of the log that it judged, and what it writes.
    Promote {
        place: u8,
        version: u8,
        judged: Option<(u8, Did)>,
    },
    Rollback {
        place: u8,
        leaves: Option<u8>,
        judged: Option<(u8, Did)>,
    },
    /// Gives a version up, place after place.
    Gc {
        version: u8,
        step: Step,
    },
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Look,
    Judge { place: u8 },
    Write { place: u8, judged: u8 },
    Wait { since: u8 },
    LookAgain,
    Delete,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    logs: Vec<Vec<Did>>,
    /// How long each log was a day ago.
    a_day_ago: Vec<u8>,
    days: u8,
    stored: BTreeSet<u8>,
    runs: Vec<Run>,
}

fn text(version: u8) -> String {
    format!("1.{version}.0")
}

fn number(version: &str) -> u8 {
    version.split('.').nth(1).unwrap().parse().unwrap()
}

/// The real entries that a model's logs stand for, and what follows from them; each is made once.
#[derive(Default)]
struct Logs {
    tips: HashMap<Vec<Did>, Option<Entry>>,
    states: HashMap<Vec<Did>, Rc<State>>,
    needs: HashMap<Vec<Did>, Rc<Vec<u8>>>,
}

impl Logs {
    fn tip(&mut self, log: &[Did]) -> Option<Entry> {
        if let Some(known) = self.tips.get(log) {
            return known.clone();
        }
        let tip = log.split_last().map(|(last, before)| {
            let before = self.tip(before);
            let digest = before.as_ref().map(|entry| Digest::of(&entry.to_bytes()));
            let mut copied = Vec::new();
            let event = match *last {
                Did::Begin(version, retired) => {
                    copied = (0..8)
                        .filter(|bit| retired >> bit & 1 == 1)
                        .map(text)
                        .collect();
                    Event::Promote {
                        live: live(&text(version)),
                        forced: false,
                    }
                }
                Did::Promote(version) => Event::Promote {
                    live: live(&text(version)),
                    forced: false,
                },
                Did::Rollback(version) => Event::Rollback {
                    live: live(&text(version)),
                    forced: false,
                },
                Did::Retire(version) => Event::Retire(Version::parse(&text(version)).unwrap()),
            };
            let by = circumstances(&log.len().to_string());
            let tip = before.as_ref().zip(digest.as_ref());
            entry::append(tip, &event, &by, &copied)
        });
        self.tips.insert(log.to_vec(), tip.clone());
        tip
    }

    fn state(&mut self, log: &[Did]) -> Rc<State> {
        if let Some(known) = self.states.get(log) {
            return Rc::clone(known);
        }
        let state = self
            .tip(log)
            .map_or_else(|| State::new(&[]), |tip| tip.state);
        let state = Rc::new(state);
        self.states.insert(log.to_vec(), Rc::clone(&state));
        state
    }

    fn place(&mut self, world: &World, place: usize) -> Place {
        let log = &world.logs[place];
        let before = &log[..usize::from(world.a_day_ago[place])];
        Place {
            environment: EnvironmentName::parse(&format!("place{place}")).unwrap(),
            ..self.place_of(log, before)
        }
    }

    fn place_of(&mut self, log: &[Did], before: &[Did]) -> Place {
        let (state, before) = (self.state(log), self.state(before));
        Place {
            environment: EnvironmentName::parse("place").unwrap(),
            current: state.version().map(str::to_owned),
            // In the model every move is long ago.
            moves: state
                .history
                .iter()
                .map(|step| Moved {
                    version: step.version.clone(),
                    at: Some(0),
                })
                .collect(),
            bad: state.bad.clone(),
            pinned: state.pinned.clone(),
            retired: state.retired.clone(),
            retired_for_a_day: before.retired.clone(),
        }
    }

    /// The versions that a log's environment needs: what is live, and what it may go back to.
    fn needed(&mut self, log: &[Did]) -> Rc<Vec<u8>> {
        if let Some(known) = self.needs.get(log) {
            return Rc::clone(known);
        }
        let place = self.place_of(log, &[]);
        let window = place.window(POLICY, NOW).into_iter();
        let needed = window.filter(|(version, keep)| {
            matches!(keep, Keep::Live(_)) || !place.retired.contains(version)
        });
        let needed = Rc::new(needed.map(|(version, _)| number(&version)).collect());
        self.needs.insert(log.to_vec(), Rc::clone(&needed));
        needed
    }

    fn places(&mut self, world: &World) -> Vec<Place> {
        let used = (0..world.logs.len()).filter(|place| !world.logs[*place].is_empty());
        used.map(|place| self.place(world, place)).collect()
    }
}

impl World {
    fn run(&self, number: usize, run: Run) -> World {
        let mut world = self.clone();
        world.runs[number] = run;
        world
    }

    /// What the others retired, as bits.
    fn retired_elsewhere(&self, logs: &mut Logs) -> u8 {
        let mut bits = 0;
        for log in &self.logs {
            for version in &logs.state(log).retired {
                bits |= 1 << number(version);
            }
        }
        bits
    }

    fn found(&self, version: u8) -> Found {
        if self.stored.contains(&version) {
            Found::Ready(Box::new(live(&text(version))))
        } else {
            Found::Unknown(Vec::new())
        }
    }
}

struct Search {
    without: Without,
    logs: Logs,
}

impl Search {
    fn next(&mut self, world: &World) -> Vec<World> {
        let mut found = Vec::new();
        for (at, run) in world.runs.iter().enumerate() {
            match *run {
                Run::Ended => continue,
                Run::Promote {
                    place,
                    version,
                    judged,
                } => found.push(match judged {
                    None => self.judge_promote(world, at, place, version),
                    Some((length, did)) => self.write(
                        world,
                        at,
                        place,
                        length,
                        did,
                        Run::Promote {
                            place,
                            version,
                            judged: None,
                        },
                    ),
                }),
                Run::Rollback {
                    place,
                    leaves,
                    judged,
                } => found.push(match judged {
                    None => self.judge_rollback(world, at, place, leaves),
                    Some((length, did)) => self.write(
                        world,
                        at,
                        place,
                        length,
                        did,
                        Run::Rollback {
                            place,
                            leaves,
                            judged: None,
                        },
                    ),
                }),
                Run::Gc { version, step } => found.extend(self.gc(world, at, version, step)),
            }
            // It may die here.
            found.push(world.run(at, Run::Ended));
        }
        // A day goes by: whoever judged a promote has written it by then.
        let is_writing = |run: &Run| {
            matches!(
                run,
                Run::Promote {
                    judged: Some(_),
                    ..
                } | Run::Rollback {
                    judged: Some(_),
                    ..
                }
            )
        };
        if world.days < 2 && !world.runs.iter().any(is_writing) {
            let mut later = world.clone();
            later.days += 1;
            later.a_day_ago = later
                .logs
                .iter()
                .map(|log| u8::try_from(log.len()).unwrap())
                .collect();
            found.push(later);
        }
        found
    }

    fn wish<T>(place: u8, ask: impl FnOnce(&Wish<'_>) -> T) -> T {
        let app = PackageName::parse("web").unwrap();
        let environment = EnvironmentName::parse(&format!("place{place}")).unwrap();
        ask(&Wish {
            app: &app,
            environment: &environment,
            by: By::Person,
            force: true,
        })
    }

    fn judge_promote(&mut self, world: &World, at: usize, place: u8, version: u8) -> World {
        let log = &world.logs[usize::from(place)];
        let copied = if log.is_empty() && self.without != Without::CopiedRetired {
            world.retired_elsewhere(&mut self.logs)
        } else {
            0
        };
        let mut state = State::clone(&self.logs.state(log));
        if log.is_empty() {
            state.retired = (0..8)
                .filter(|bit| copied >> bit & 1 == 1)
                .map(text)
                .collect();
        }
        if self.without == Without::RetiredIsRefused {
            state.retired.clear();
        }
        let target = Version::parse(&text(version)).unwrap();
        let judgement = Self::wish(place, |wish| {
            promote::judge(
                &state,
                None,
                wish,
                &target,
                &world.found(version),
                &Against::default(),
                None,
            )
        });
        let judged = matches!(judgement, Judgement::Append { .. }).then(|| {
            let did = if log.is_empty() {
                Did::Begin(version, copied)
            } else {
                Did::Promote(version)
            };
            (u8::try_from(log.len()).unwrap(), did)
        });
        world.run(
            at,
            judged.map_or(Run::Ended, |judged| Run::Promote {
                place,
                version,
                judged: Some(judged),
            }),
        )
    }

    fn judge_rollback(&mut self, world: &World, at: usize, place: u8, leaves: Option<u8>) -> World {
        let log = &world.logs[usize::from(place)];
        let state = self.logs.state(log);
        let current = state.version().map(number);
        let left = leaves.or(current);
        let mut known = BTreeMap::new();
        let target = loop {
            match walk(&state, &known) {
                Walk::Ask(version) => {
                    let is_there = world.stored.contains(&number(&version.to_string()));
                    known.insert(
                        version,
                        if is_there {
                            Standing::Ready
                        } else {
                            Standing::NoBuild
                        },
                    );
                }
                Walk::Go { version, .. } => break Some(version),
                Walk::Nowhere(_) => break None,
            }
        };
        let judged = target.zip(left).and_then(|(version, left)| {
            let found = world.found(number(&version.to_string()));
            let judgement = Self::wish(place, |wish| {
                rollback::judge(
                    &state,
                    wish,
                    &text(left),
                    &version,
                    &found,
                    &Against::default(),
                )
            });
            matches!(judgement, Judgement::Append { .. }).then(|| {
                (
                    u8::try_from(log.len()).unwrap(),
                    Did::Rollback(number(&version.to_string())),
                )
            })
        });
        world.run(
            at,
            judged.map_or(Run::Ended, |judged| Run::Rollback {
                place,
                leaves: left,
                judged: Some(judged),
            }),
        )
    }

    fn write(
        &self,
        world: &World,
        at: usize,
        place: u8,
        length: u8,
        did: Did,
        again: Run,
    ) -> World {
        let log = &world.logs[usize::from(place)];
        let is_free = log.len() == usize::from(length);
        if !is_free && self.without != Without::Conditions {
            return world.run(at, again);
        }
        let mut next = world.run(at, Run::Ended);
        let log = &mut next.logs[usize::from(place)];
        if is_free {
            log.push(did);
        } else {
            log[usize::from(length)] = did;
        }
        next
    }

    fn gc(&mut self, world: &World, at: usize, version: u8, step: Step) -> Option<World> {
        let to = |step: Step| world.run(at, Run::Gc { version, step });
        let end = || world.run(at, Run::Ended);
        Some(match step {
            Step::Look => {
                let stored = world.stored.iter().map(|version| Stored {
                    version: Version::parse(&text(*version)).unwrap(),
                    release: String::new(),
                    standing: Standing::Ready,
                    manifests: vec![Object {
                        key: Key::parse("x").unwrap(),
                        size: 1,
                        modified: Some(0),
                    }],
                    copies: Vec::new(),
                    names: Names::default(),
                });
                let app = App {
                    name: PackageName::parse("web").unwrap(),
                    policy: POLICY,
                    versions: stored.collect(),
                    places: self.logs.places(world),
                    deltas: Vec::new(),
                };
                let sweep = sweep(&Facts {
                    now: NOW,
                    apps: vec![app],
                    ..Facts::default()
                });
                let is_it = |found: &Version| *found == Version::parse(&text(version)).unwrap();
                if sweep.versions.iter().any(|given| is_it(&given.version)) {
                    to(Step::LookAgain)
                } else if sweep.waiting.iter().any(|(_, waiting)| is_it(waiting)) {
                    to(Step::Wait { since: world.days })
                } else if sweep.retire.iter().any(|retire| is_it(&retire.version)) {
                    to(if self.without == Without::RetireFirst {
                        Step::Delete
                    } else {
                        Step::Judge { place: 0 }
                    })
                } else {
                    end()
                }
            }
            Step::Judge { place } if usize::from(place) == world.logs.len() => {
                to(Step::Wait { since: world.days })
            }
            Step::Judge { place } if world.logs[usize::from(place)].is_empty() => {
                to(Step::Judge { place: place + 1 })
            }
            Step::Judge { place } if place > 0 && self.without == Without::EveryEnvironment => {
                to(Step::Delete)
            }
            Step::Judge { place } => {
                let seen = self.logs.place(world, usize::from(place));
                let target = Version::parse(&text(version)).unwrap();
                let length = u8::try_from(world.logs[usize::from(place)].len()).unwrap();
                match judge(&seen, POLICY, NOW, &target) {
                    Judgement::Append { .. } => to(Step::Write {
                        place,
                        judged: length,
                    }),
                    _ if seen.retired.contains(&text(version)) => {
                        to(Step::Judge { place: place + 1 })
                    }
                    _ if self.without == Without::TheTip => to(Step::Write {
                        place,
                        judged: length,
                    }),
                    _ => end(),
                }
            }
            Step::Write { place, judged } => self.write_retire(world, at, version, place, judged),
            Step::Wait { since } => {
                if world.days == since && self.without != Without::ADay {
                    return None;
                }
                to(Step::LookAgain)
            }
            Step::LookAgain => {
                let mut places = self.logs.places(world);
                if self.without == Without::ADay {
                    for place in &mut places {
                        place.retired_for_a_day.clone_from(&place.retired);
                    }
                }
                if is_deletable(&places, &text(version)) {
                    to(Step::Delete)
                } else {
                    end()
                }
            }
            Step::Delete => {
                let mut next = end();
                next.stored.remove(&version);
                next
            }
        })
    }

    fn write_retire(&self, world: &World, at: usize, version: u8, place: u8, judged: u8) -> World {
        let log = &world.logs[usize::from(place)];
        let mut next = world.clone();
        if log.len() == usize::from(judged) || self.without == Without::Conditions {
            let log = &mut next.logs[usize::from(place)];
            log.truncate(usize::from(judged));
            log.push(Did::Retire(version));
            if self.without == Without::Conditions {
                log.extend(
                    world.logs[usize::from(place)]
                        .iter()
                        .skip(usize::from(judged) + 1),
                );
            }
            next.runs[at] = Run::Gc {
                version,
                step: Step::Judge { place: place + 1 },
            };
        } else {
            // Another entry was first: it is judged again on that.
            next.runs[at] = Run::Gc {
                version,
                step: Step::Judge { place },
            };
        }
        next
    }

    /// A version that an environment needs, and that is given up there or not in the store.
    fn wrong(&mut self, world: &World) -> Option<String> {
        for log in world.logs.iter().filter(|log| !log.is_empty()) {
            let state = self.logs.state(log);
            if let Some(live) = state.version().filter(|live| state.is_retired(live)) {
                return Some(format!("{live} is live where it was given up"));
            }
        }
        if world.stored.len() == usize::from(VERSIONS) {
            return None;
        }
        for log in &world.logs {
            let needed = self.logs.needed(log);
            if let Some(version) = needed
                .iter()
                .find(|version| !world.stored.contains(version))
            {
                return Some(format!("1.{version}.0 is gone, and a window needs it"));
            }
        }
        None
    }
}

/// How many worlds were seen, and what is wrong in the first that is.
fn search(without: Without, runs: &[Run]) -> (usize, Option<String>) {
    let first = World {
        logs: vec![
            vec![Did::Promote(1), Did::Promote(2), Did::Promote(3)],
            vec![Did::Promote(2), Did::Promote(3), Did::Promote(4)],
            Vec::new(),
        ],
        a_day_ago: vec![3, 3, 0],
        days: 0,
        stored: (1..=VERSIONS).collect(),
        runs: runs.to_vec(),
    };
    let mut search = Search {
        without,
        logs: Logs::default(),
    };
    let mut seen: std::collections::HashSet<World> = [first.clone()].into();
    let mut open = VecDeque::from([first]);
    while let Some(world) = open.pop_front() {
        if let Some(wrong) = search.wrong(&world) {
            return (seen.len(), Some(wrong));
        }
        for next in search.next(&world) {
            if seen.insert(next.clone()) {
                open.push_back(next);
            }
        }
    }
    (seen.len(), None)
}

fn gc(version: u8) -> Run {
    Run::Gc {
        version,
        step: Step::Look,
    }
}

fn promote(place: u8, version: u8) -> Run {
    Run::Promote {
        place,
        version,
        judged: None,
    }
}

/// A person goes back to an old version in one environment and promotes it in another, automation promotes a new one, and two `gc` look at once.
fn mixed() -> Vec<Run> {
    vec![promote(0, 1), promote(1, 1), promote(0, 5), gc(1), gc(1)]
}

/// Somebody rolls back while a `gc` gives up what he may go to.
fn back() -> Vec<Run> {
    vec![
        Run::Rollback {
            place: 0,
            leaves: None,
            judged: None,
        },
        promote(0, 1),
        gc(1),
        gc(2),
    ]
}

/// An environment begins with a version that is about to be given up.
fn new_environment() -> Vec<Run> {
    vec![promote(2, 1), promote(1, 5), gc(1), gc(1)]
}

#[test]
fn no_order_of_steps_and_deaths_loses_what_a_window_needs() {
    for runs in [mixed(), back(), new_environment()] {
        let (worlds, wrong) = search(Without::Nothing, &runs);
        assert_eq!(wrong, None, "{runs:?}");
        assert!(worlds > 1000, "{worlds} worlds of {runs:?}");
    }
}

#[test]
fn every_rule_is_needed() {
    for without in [
        Without::RetireFirst,
        Without::EveryEnvironment,
        Without::TheTip,
        Without::RetiredIsRefused,
        Without::CopiedRetired,
        Without::ADay,
        Without::Conditions,
    ] {
        let mut found = [mixed(), back(), new_environment()].into_iter();
        let wrong = found.find_map(|runs| search(without, &runs).1);
        assert!(wrong.is_some(), "nothing is lost without {without:?}");
    }
}
