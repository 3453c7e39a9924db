//! Where a rollback goes, and what a person may name as a target.

use std::collections::BTreeMap;
use std::fmt;

use super::entry::State;
use crate::explain::{Exit, Failure, quoted};
use crate::name::{EnvironmentName, PackageName, ReleaseId};
use crate::version::Version;

/// What `to` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// The last good version before the live one: where a rollback goes by itself.
    Previous,
    /// The version that was live after this entry of the log.
    Seq(u64),
    /// The versions of this release's apps.
    Release(ReleaseId),
    /// This version.
    Version(Version),
}

impl To {
    /// Reads a target.
    ///
    /// ```
    /// use pkgs_action::environment::target::To;
    /// assert_eq!(To::parse("previous").unwrap(), To::Previous);
    /// assert_eq!(To::parse("41").unwrap(), To::Seq(41));
    /// assert!(matches!(To::parse("20260131-0123456789ab").unwrap(), To::Release(_)));
    /// assert!(matches!(To::parse("1.4.2").unwrap(), To::Version(_)));
    /// assert!(To::parse("v1").is_err());
    /// ```
    ///
    /// # Errors
    /// `environment::target`, exit 2.
    pub fn parse(text: &str) -> Result<To, Failure> {
        if text == "previous" {
            return Ok(To::Previous);
        }
        if let Ok(version) = Version::parse(text) {
            return Ok(To::Version(version));
        }
        if let Ok(release) = ReleaseId::parse(text) {
            return Ok(To::Release(release));
        }
        if text.len() <= 12
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(seq) = text.parse()
        {
            return Ok(To::Seq(seq));
        }
        Err(Failure::new(
            Exit::Usage,
            "environment::target",
            format!("{} is not a target", quoted(text)),
        )
        .hint("name a version (1.4.2), a release id (20260131-0123456789ab), a number of the log (41) or 'previous'"))
    }
}

/// Whether an environment could run a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its release is complete and it has a build for this environment.
    Ready,
    /// Its release is not recorded as complete.
    Incomplete,
    /// Its release was given up.
    Abandoned,
    /// It has no build for this environment.
    NoBuild,
}

/// Why a rollback does not go to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It is the one that is left.
    Current,
    /// It was judged bad.
    Bad,
    /// It was given up and may be gone.
    Retired,
    /// Its release is not recorded as complete.
    Incomplete,
    /// Its release was given up.
    Abandoned,
    /// It has no build for this environment.
    NoBuild,
}

impl fmt::Display for Skip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Skip::Current => "it is live now",
            Skip::Bad => "it is marked bad",
            Skip::Retired => "it is retired",
            Skip::Incomplete => "its release is not complete",
            Skip::Abandoned => "its release was abandoned",
            Skip::NoBuild => "it has no build for this environment",
        })
    }
}

/// A version that a rollback passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The version.
    pub version: String,
    /// Why.
    pub why: Skip,
}

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.version, self.why)
    }
}

/// Where the walk back through the history leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walk {
    /// Find out how this version stands, then walk again.
    Ask(Version),
    /// Here.
    Go {
        /// The version.
        version: Version,
        /// The versions passed over, the newest first.
        skipped: Vec<Skipped>,
    },
    /// Nowhere: every version was passed over.
    Nowhere(Vec<Skipped>),
}

/// Walks the history back to the first version that is not current, not bad, not retired, complete, and has a build.
///
/// `known` says how versions stand; the walk asks for one at a time, so nobody looks at more of them than it needs.
#[must_use]
pub fn walk(state: &State, known: &BTreeMap<Version, Standing>) -> Walk {
    let mut skipped: Vec<Skipped> = Vec::new();
    for step in &state.history {
        if skipped.iter().any(|past| past.version == step.version) {
            continue;
        }
        let Ok(version) = Version::parse(&step.version) else {
            continue;
        };
        let why = if state.version() == Some(step.version.as_str()) {
            Skip::Current
        } else if state.is_bad(&step.version) {
            Skip::Bad
        } else if state.is_retired(&step.version) {
            Skip::Retired
        } else {
            match known.get(&version) {
                None => return Walk::Ask(version),
                Some(Standing::Ready) => return Walk::Go { version, skipped },
                Some(Standing::Incomplete) => Skip::Incomplete,
                Some(Standing::Abandoned) => Skip::Abandoned,
                Some(Standing::NoBuild) => Skip::NoBuild,
            }
        };
        skipped.push(Skipped {
            version: step.version.clone(),
            why,
        });
    }
    Walk::Nowhere(skipped)
}

/// The failure of a walk that leads nowhere, with every version it passed over and why.
#[must_use]
pub fn nothing_to_roll_back_to(
    app: &PackageName,
    environment: &EnvironmentName,
    skipped: &[Skipped],
) -> Failure {
    let failure = Failure::new(
        Exit::Refused,
        "environment::nothing_to_roll_back_to",
        format!("{environment} of {app} has no earlier version to go back to"),
    )
    .hint("name one with --to, PKGS_TO or the input to, for example a version that was never live here; force accepts one that is marked bad");
    if skipped.is_empty() {
        return failure.because("nothing was ever live there");
    }
    skipped.iter().fold(failure, Failure::because)
}

/// The version that was live after entry `seq`, as far back as the history reaches.
#[must_use]
pub fn live_at(state: &State, seq: u64) -> Option<Version> {
    let step = state.history.iter().find(|step| step.seq <= seq)?;
    Version::parse(&step.version).ok()
}

#[cfg(test)]
mod tests {
    use super::super::entry::Event;
    use super::super::entry::tests::{log, promote, rollback};
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    /// Walks, answering every question from `standings` (ready where it names nothing).
    fn walked(events: &[Event], standings: &[(&str, Standing)]) -> (Walk, usize) {
        let state = log(events).state;
        let mut known = BTreeMap::new();
        loop {
            match walk(&state, &known) {
                Walk::Ask(asked) => {
                    let standing = standings
                        .iter()
                        .find(|(text, _)| *text == asked.to_string())
                        .map_or(Standing::Ready, |(_, standing)| *standing);
                    assert!(
                        known.insert(asked, standing).is_none(),
                        "nothing is asked twice"
                    );
                }
                end => return (end, known.len()),
            }
        }
    }

    #[track_caller]
    fn check(events: &[Event], standings: &[(&str, Standing)], to: &str, skipped: &[&str]) {
        let (end, _) = walked(events, standings);
        let (found, past) = match end {
            Walk::Go { version, skipped } => (version.to_string(), skipped),
            Walk::Nowhere(skipped) => ("-".to_owned(), skipped),
            Walk::Ask(_) => unreachable!(),
        };
        let past: Vec<String> = past.iter().map(Skipped::to_string).collect();
        assert_eq!(
            (found.as_str(), past),
            (to, skipped.iter().map(|text| (*text).to_owned()).collect())
        );
    }

    #[test]
    fn a_rollback_goes_to_the_last_good_version() {
        let three = [promote("1.0.0"), promote("1.1.0"), promote("1.2.0")];
        check(&three, &[], "1.1.0", &["1.2.0: it is live now"]);
        check(
            &three,
            &[("1.1.0", Standing::Incomplete)],
            "1.0.0",
            &[
                "1.2.0: it is live now",
                "1.1.0: its release is not complete",
            ],
        );
        check(
            &three,
            &[("1.1.0", Standing::NoBuild), ("1.0.0", Standing::Abandoned)],
            "-",
            &[
                "1.2.0: it is live now",
                "1.1.0: it has no build for this environment",
                "1.0.0: its release was abandoned",
            ],
        );
        check(&[Event::Hold], &[], "-", &[]);
        check(&[promote("1.0.0")], &[], "-", &["1.0.0: it is live now"]);
    }

    #[test]
    fn rolling_back_twice_goes_further_back_and_never_to_the_bad_one() {
        let mut events = vec![
            promote("1.0.0"),
            promote("1.1.0"),
            promote("1.2.0"),
            rollback("1.1.0"),
        ];
        check(
            &events,
            &[],
            "1.0.0",
            &["1.1.0: it is live now", "1.2.0: it is marked bad"],
        );
        events.push(rollback("1.0.0"));
        check(
            &events,
            &[],
            "-",
            &[
                "1.0.0: it is live now",
                "1.1.0: it is marked bad",
                "1.2.0: it is marked bad",
            ],
        );
    }

    #[test]
    fn marks_and_retired_versions_are_passed_over() {
        check(
            &[
                promote("1.0.0"),
                promote("1.1.0"),
                promote("1.2.0"),
                promote("1.3.0"),
                Event::MarkBad(version("1.2.0")),
                Event::Retire(version("1.1.0")),
            ],
            &[],
            "1.0.0",
            &[
                "1.3.0: it is live now",
                "1.2.0: it is marked bad",
                "1.1.0: it is retired",
            ],
        );
    }

    #[test]
    fn no_more_versions_are_looked_at_than_needed() {
        let (_, asked) = walked(&[promote("1.0.0"), promote("1.1.0"), promote("1.2.0")], &[]);
        assert_eq!(asked, 1);
    }

    #[test]
    fn nowhere_says_why_of_every_version() {
        let app = PackageName::parse("web").unwrap();
        let prod = EnvironmentName::parse("prod").unwrap();
        let (Walk::Nowhere(skipped), _) = walked(&[promote("1.0.0"), rollback("0.9.0")], &[])
        else {
            panic!("it went somewhere");
        };
        let failure = nothing_to_roll_back_to(&app, &prod, &skipped);
        assert_eq!(failure.exit(), Exit::Refused);
        assert_eq!(
            failure.causes(),
            ["0.9.0: it is live now", "1.0.0: it is marked bad"]
        );
        assert!(failure.advice().is_some());
    }

    #[test]
    fn a_number_names_what_was_live_then() {
        let state = log(&[promote("1.0.0"), Event::Hold, promote("1.1.0")]).state;
        for (seq, expected) in [
            (0, None),
            (1, Some("1.0.0")),
            (2, Some("1.0.0")),
            (3, Some("1.1.0")),
        ] {
            assert_eq!(live_at(&state, seq), expected.map(version), "{seq}");
        }
    }
}
