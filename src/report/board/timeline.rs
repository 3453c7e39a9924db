//! The picture of releases and rollbacks: a lane for each environment, a step for each move, the oldest on the left.
//!
//! Steps have the same width: a minute between two moves is as readable as a month, and the axis says when each was. Places along the axis are in
//! percent, so that letters keep their size on every screen; for narrow ones there is a second picture with fewer steps.

use std::collections::BTreeSet;

use super::words::{Tick, name, seconds, shown};
use super::{counted, is_bad};
use crate::report::environments::{EnvironmentStatus, Past};

/// What fits on a screen.
pub(super) struct Screen {
    steps: usize,
    /// The least width of the picture, in pixels.
    width: usize,
    /// The width of a letter or digit in a bar, in tenths of a pixel.
    letter: usize,
    longest_name: usize,
}

pub(super) const WIDE: Screen = Screen {
    steps: 14,
    width: 760,
    letter: 80,
    longest_name: 90,
};
pub(super) const NARROW: Screen = Screen {
    steps: 4,
    width: 300,
    letter: 73,
    longest_name: 30,
};

/// How many environments have a lane: those that moved last.
const LANES: usize = 8;
const LANE_HEIGHT: usize = 52;
const BAR_HEIGHT: usize = 24;
/// Where the bar begins below the top of its lane.
const BAR_TOP: usize = 22;
const AXIS_HEIGHT: usize = 24;
/// What stands left and right of the letters in a bar, and the arrow of a rollback before them.
const LEFT: usize = 6;
const RIGHT: usize = 3;
const ARROW: usize = 11;
/// The least distance between two labels of the axis.
const LABEL: usize = 54;

/// The picture.
pub(super) struct Picture {
    pub(super) label: String,
    pub(super) height: usize,
    pub(super) bottom: usize,
    pub(super) axis: usize,
    pub(super) ticks: Vec<Mark>,
    pub(super) lanes: Vec<Lane>,
    pub(super) more_lanes: usize,
    /// How many moves are seen of how many, where not all are.
    pub(super) cut: Option<String>,
}

/// A step on the axis.
pub(super) struct Mark {
    pub(super) x: String,
    pub(super) label: Option<String>,
}

/// What was live in one environment.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) name_y: usize,
    pub(super) bars: Vec<Bar>,
}

/// A version, from one move to the next.
pub(super) struct Bar {
    pub(super) kind: &'static str,
    pub(super) x: String,
    pub(super) y: usize,
    pub(super) width: String,
    pub(super) height: usize,
    pub(super) label: Option<String>,
    pub(super) label_x: usize,
    pub(super) is_rollback: bool,
    pub(super) title: String,
}

/// A move and when it was made; in one lane moments never go back, whatever the clocks said.
struct Move<'s> {
    lane: usize,
    at: i64,
    past: &'s Past,
}

impl Picture {
    /// `None` where nothing ever moved.
    pub(super) fn of(
        environments: &[&EnvironmentStatus],
        screen: &Screen,
        now: &str,
    ) -> Option<Picture> {
        let (shown_lanes, more_lanes) = lanes(environments);
        let mut moves: Vec<Move<'_>> = Vec::new();
        for (lane, environment) in shown_lanes.iter().enumerate() {
            moves.extend(moves_of(lane, environment));
        }
        moves.sort_by_key(|one| (one.at, one.lane, one.past.seq));
        let first = moves.len().saturating_sub(screen.steps);
        let steps = moves.len() - first;
        if steps == 0 {
            return None;
        }
        let lanes = shown_lanes.iter().enumerate().map(|(lane, environment)| {
            let top = lane * LANE_HEIGHT;
            let held = if environment.hold.is_some() {
                " · held"
            } else {
                ""
            };
            Lane {
                name: shown(&environment.environment, screen.longest_name) + held,
                name_y: top + BAR_TOP - 7,
                bars: bars(lane, environment, &moves, first, screen),
            }
        });
        let lanes: Vec<Lane> = lanes.collect();
        let bottom = lanes.len() * LANE_HEIGHT;
        Some(Picture {
            label: label(&shown_lanes, &moves[first..], moves.len()),
            cut: (first > 0).then(|| format!("The last {steps} of {} moves.", moves.len())),
            height: bottom + AXIS_HEIGHT,
            bottom,
            axis: bottom + AXIS_HEIGHT - 7,
            ticks: ticks(&moves[first..], screen, seconds(now)),
            lanes,
            more_lanes,
        })
    }
}

/// The environments that have a lane, in their order, and how many more there are.
fn lanes<'s>(environments: &[&'s EnvironmentStatus]) -> (Vec<&'s EnvironmentStatus>, usize) {
    let mut by_age: Vec<(usize, Option<i64>)> = Vec::new();
    for (index, environment) in environments.iter().enumerate() {
        let newest = moves_of(0, environment).last().map(|newest| newest.at);
        if newest.is_some() {
            by_age.push((index, newest));
        }
    }
    let all = by_age.len();
    by_age.sort_by_key(|(index, newest)| (std::cmp::Reverse(*newest), *index));
    by_age.truncate(LANES);
    let chosen: BTreeSet<usize> = by_age.into_iter().map(|(index, _)| index).collect();
    let lanes = chosen.iter().map(|index| environments[*index]).collect();
    (lanes, all - chosen.len())
}

/// The moves of one environment, the oldest first.
fn moves_of(lane: usize, environment: &EnvironmentStatus) -> Vec<Move<'_>> {
    let mut newest = i64::MIN;
    let moved = environment
        .history
        .iter()
        .rev()
        .filter(|past| matches!(past.op, "promote" | "rollback") && past.version.is_some());
    let mut in_order: Vec<&Past> = moved.collect();
    in_order.sort_by_key(|past| past.seq);
    let dated = in_order.into_iter().filter_map(|past| {
        newest = newest.max(seconds(&past.at)?);
        Some(Move {
            lane,
            at: newest,
            past,
        })
    });
    dated.collect()
}

/// What was live in a lane, step by step. What was live before the first step is there from the left edge on.
fn bars(
    lane: usize,
    environment: &EnvironmentStatus,
    moves: &[Move<'_>],
    first: usize,
    screen: &Screen,
) -> Vec<Bar> {
    let steps = moves.len() - first;
    let in_lane = moves.iter().enumerate().filter(|(_, one)| one.lane == lane);
    let in_lane: Vec<(usize, &Move<'_>)> = in_lane.collect();
    let mut bars = Vec::new();
    for (place, (index, one)) in in_lane.iter().enumerate() {
        let next = in_lane.get(place + 1).map(|(next, _)| *next);
        let end = next.map_or(steps, |next| next.saturating_sub(first));
        if end == 0 {
            continue;
        }
        let start = index.saturating_sub(first);
        let is_seen = *index >= first;
        bars.push(bar(
            environment,
            one,
            &Span {
                lane,
                start,
                end,
                steps,
                is_last: next.is_none(),
                is_rollback: is_seen && one.past.op == "rollback",
            },
            screen,
        ));
    }
    bars
}

/// Where a bar lies.
struct Span {
    lane: usize,
    start: usize,
    end: usize,
    steps: usize,
    is_last: bool,
    is_rollback: bool,
}

fn bar(environment: &EnvironmentStatus, one: &Move<'_>, span: &Span, screen: &Screen) -> Bar {
    let version = one.past.version.as_deref().unwrap_or_default();
    let is_marked_bad = environment.bad.iter().any(|bad| bad == version);
    let kind = match (span.is_last, is_marked_bad) {
        (true, _) if is_bad(environment) => "bad",
        (true, _) => "live",
        (false, true) => "bad",
        (false, false) => "past",
    };
    let label_x = LEFT + if span.is_rollback { ARROW } else { 0 };
    let room = (span.end - span.start) * screen.width / span.steps;
    let letters = room.saturating_sub(label_x + RIGHT) * 10 / screen.letter;
    Bar {
        kind,
        x: percent(span.start, span.steps),
        y: span.lane * LANE_HEIGHT + BAR_TOP,
        width: percent(span.end - span.start, span.steps),
        height: BAR_HEIGHT,
        label: fitting(&name(version), letters),
        label_x,
        is_rollback: span.is_rollback,
        title: format!("{} {}", one.past.op, name(version)),
    }
}

/// A version in a bar with room for so many letters: whole, else its beginning; `None` where that would say nothing.
fn fitting(version: &str, letters: usize) -> Option<String> {
    const FEWEST: usize = 4;
    if version.chars().count() <= letters {
        return Some(version.to_owned());
    }
    let beginning: String = version.chars().take(letters.checked_sub(1)?).collect();
    (letters >= FEWEST).then(|| beginning + "…")
}

/// `part` of `whole`, in percent with two digits.
pub(super) fn percent(part: usize, whole: usize) -> String {
    let hundredths = (part * 10_000).checked_div(whole).unwrap_or_default();
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Which step is labelled how: with its day where that is another one than the label before says, else with its hour.
fn ticks(moves: &[Move<'_>], screen: &Screen, now: Option<i64>) -> Vec<Mark> {
    let steps = moves.len();
    let mut told: Option<(usize, Tick)> = None;
    let marks = moves.iter().enumerate().map(|(step, one)| {
        let place = step * screen.width / steps;
        let tick = Tick::of(one.at, now);
        let has_room = place + LABEL <= screen.width
            && told
                .as_ref()
                .is_none_or(|(before, _)| place >= before + LABEL);
        let label = match &told {
            _ if !has_room => None,
            Some((_, before)) if before.date != tick.date => Some(tick.day.clone()),
            Some((_, before)) if before.hour == tick.hour => None,
            Some(_) => Some(tick.hour.clone()),
            None => Some(tick.day.clone()),
        };
        if label.is_some() {
            told = Some((place, tick));
        }
        Mark {
            x: percent(step, steps),
            label,
        }
    });
    marks.collect()
}

/// The picture in a sentence, for those who do not see it.
fn label(environments: &[&EnvironmentStatus], moves: &[Move<'_>], all: usize) -> String {
    let rollbacks = moves.iter().filter(|one| one.past.op == "rollback").count();
    let live = environments.iter().map(|environment| {
        let version = environment.current.as_deref().unwrap_or("nothing");
        format!(
            "{} in {}",
            shown(version, 40),
            shown(&environment.environment, 40)
        )
    });
    let seen = if moves.len() < all {
        format!("{} of {all} moves", moves.len())
    } else {
        counted(moves.len(), "move", "moves")
    };
    format!(
        "The last {seen} with {}. Live now: {}.",
        counted(rollbacks, "rollback", "rollbacks"),
        live.collect::<Vec<_>>().join(", ")
    )
}
