//! How large builds became, release by release.

use super::timeline::percent;
use super::words::{Moment, name, shown};
use crate::explain::size;
use crate::report::environments::{AppStatus, BuildStatus, VersionStatus};

/// The fewest slots of a plot: a few releases are not stretched over all of it.
const SLOTS: usize = 8;
/// What of a slot its bar fills, in percent.
const FILLED: usize = 86;
/// The height of a plot's ground, in pixels.
const HEIGHT: usize = 96;

/// One measure over the releases, the oldest on the left.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) label: String,
    pub(super) bars: Vec<Bar>,
    pub(super) newest: String,
    pub(super) change: Option<String>,
    pub(super) most: String,
    pub(super) oldest_version: String,
    /// `None` where it is the oldest.
    pub(super) newest_version: Option<String>,
    /// Where the newest bar ends.
    pub(super) end: String,
}

/// One release.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) y: usize,
    pub(super) height: usize,
    pub(super) is_newest: bool,
    pub(super) title: String,
}

/// A row of the table beside the plots.
pub(super) struct Weight {
    pub(super) version: String,
    pub(super) variant: String,
    pub(super) at: Moment,
    pub(super) archive: String,
    pub(super) static_files: String,
}

/// The plots that there is something to show in.
pub(super) fn plots(app: &AppStatus) -> Vec<Plot> {
    let archive = |build: &BuildStatus| build.archive_bytes;
    let static_files = |build: &BuildStatus| build.static_bytes;
    [
        plot("Archive", &app.versions, archive),
        plot("Static files", &app.versions, static_files),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Of several builds of a version the largest counts.
fn plot(
    title: &'static str,
    newest_first: &[VersionStatus],
    measure: fn(&BuildStatus) -> Option<u64>,
) -> Option<Plot> {
    let measured: Vec<(&str, u64)> = newest_first
        .iter()
        .rev()
        .filter_map(|version| {
            let largest = version.builds.iter().filter_map(measure).max()?;
            Some((version.version.as_str(), largest))
        })
        .collect();
    let (oldest, newest) = (measured.first()?, measured.last()?);
    let most = measured.iter().map(|(_, bytes)| *bytes).max()?;
    let before = measured.len().checked_sub(2).map(|index| measured[index]);
    let slots = measured.len().max(SLOTS);
    let bars = measured
        .iter()
        .enumerate()
        .map(|(index, (version, bytes))| {
            let height = height(*bytes, most);
            Bar {
                x: percent(index, slots),
                width: percent(FILLED, slots * 100),
                y: HEIGHT - height,
                height,
                is_newest: index + 1 == measured.len(),
                title: format!("{}: {}", name(version), size(*bytes)),
            }
        });
    Some(Plot {
        title,
        label: format!(
            "{title} over {} releases, from {} ({}) to {} ({}), at most {}.",
            measured.len(),
            size(oldest.1),
            shown(oldest.0, 40),
            size(newest.1),
            shown(newest.0, 40),
            size(most)
        ),
        bars: bars.collect(),
        newest: size(newest.1),
        change: before.and_then(|(version, bytes)| change(bytes, newest.1, version)),
        most: size(most),
        oldest_version: shown(oldest.0, 24),
        newest_version: (measured.len() > 1).then(|| shown(newest.0, 24)),
        end: percent(100 * measured.len() - 100 + FILLED, slots * 100),
    })
}

/// The height of a bar; what is there at all is seen.
fn height(bytes: u64, most: u64) -> usize {
    let scaled = u128::from(bytes) * HEIGHT as u128 / u128::from(most.max(1));
    usize::try_from(scaled).unwrap_or(HEIGHT).clamp(3, HEIGHT)
}

/// `+3 % since 1.0.0`; `None` where there was nothing before.
fn change(before: u64, now: u64, version: &str) -> Option<String> {
    let (before, now) = (i128::from(before), i128::from(now));
    let permille = ((now - before) * 1000).checked_div(before)?;
    let (sign, permille) = match permille {
        0 => return Some(format!("as {}", shown(version, 24))),
        less if less < 0 => ("−", -less),
        more => ("+", more),
    };
    Some(format!(
        "{sign}{}.{} % since {}",
        permille / 10,
        permille % 10,
        shown(version, 24)
    ))
}

/// Every build that was weighed, the newest first.
pub(super) fn weights(app: &AppStatus) -> Vec<Weight> {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(super::dash, size);
    let weights = app.versions.iter().flat_map(|version| {
        version.builds.iter().map(|build| Weight {
            version: name(&version.version),
            variant: name(&build.variant),
            at: Moment::read(&build.committed_at),
            archive: bytes(build.archive_bytes),
            static_files: bytes(build.static_bytes),
        })
    });
    weights.take(MOST_WEIGHTS).collect()
}

/// How many rows the table has.
const MOST_WEIGHTS: usize = 24;
