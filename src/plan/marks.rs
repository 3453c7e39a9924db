//! Judges what people say about an environment without pointing it elsewhere: hold, unhold, mark-bad, pin, unpin.

use super::promote::{Judgement, Wish, describe, unknown_version, while_held};
use crate::environment::entry::{Event, State};
use crate::explain::{Exit, Failure};
use crate::version::Version;

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Stop automation.
    Hold {
        /// Why, where that is said.
        reason: Option<String>,
    },
    /// Allow automation again.
    Unhold,
    /// This version is bad.
    Bad(Version),
    /// Keep this version.
    Pin(Version),
    /// No longer keep it.
    Unpin(Version),
}

/// Judges `mark` while `state` is true; `recorded` are the versions of which the store holds a build, the newest first.
#[must_use]
pub fn judge(state: &State, wish: &Wish<'_>, mark: &Mark, recorded: &[Version]) -> Judgement {
    match mark {
        Mark::Hold { reason } => match &state.hold {
            Some(hold) if reason.is_some() && *reason != hold.reason => append(
                Event::Hold,
                format!(
                    "its reason is another one now; before it was {}",
                    describe(hold)
                ),
            ),
            Some(hold) => already(format!("{}; nothing changed", describe(hold))),
            None => append(
                Event::Hold,
                while_held(wish.app.as_str(), wish.environment.as_str()),
            ),
        },
        Mark::Unhold => match &state.hold {
            Some(hold) => append(Event::Unhold, format!("was {}", describe(hold))),
            None => already(format!("{} is not held", wish.environment)),
        },
        Mark::Bad(version) => judge_bad(state, wish, version, recorded),
        Mark::Pin(version) => judge_pin(state, wish, version, recorded),
        Mark::Unpin(version) => {
            if state.pinned.contains(&version.to_string()) {
                append(
                    Event::Unpin(version.clone()),
                    format!(
                        "{version} is no longer kept: 'gc' deletes it when nothing else needs it"
                    ),
                )
            } else {
                already(format!("{version} is not pinned"))
            }
        }
    }
}

fn judge_bad(state: &State, wish: &Wish<'_>, version: &Version, recorded: &[Version]) -> Judgement {
    let text = version.to_string();
    if state.is_bad(&text) {
        return already(format!("{version} is marked bad"));
    }
    if !recorded.contains(version) {
        return Judgement::Refused(unknown_version(wish.app, version, recorded));
    }
    let reason = if state.version() == Some(text.as_str()) {
        format!("{version} stays live: 'rollback' leaves it")
    } else {
        format!("neither automation nor a rollback goes to {version} any more")
    };
    append(Event::MarkBad(version.clone()), reason)
}

fn judge_pin(state: &State, wish: &Wish<'_>, version: &Version, recorded: &[Version]) -> Judgement {
    let text = version.to_string();
    if state.pinned.contains(&text) {
        return already(format!("{version} is pinned"));
    }
    if state.is_retired(&text) {
        let retired = Failure::new(
            Exit::Refused,
            "environment::retired",
            format!("{} {version} cannot be pinned", wish.app),
        );
        return Judgement::Refused(
            retired
                .because("it is retired: its files are, or will be, deleted")
                .hint("release its commit again under a new version"),
        );
    }
    if !recorded.contains(version) {
        return Judgement::Refused(unknown_version(wish.app, version, recorded));
    }
    let reason = format!("'gc' leaves {version} until 'unpin'");
    append(Event::Pin(version.clone()), reason)
}

fn append(event: Event, reason: String) -> Judgement {
    Judgement::Append {
        event,
        reasons: vec![reason],
    }
}

fn already(reason: String) -> Judgement {
    Judgement::AlreadyThere {
        reasons: vec![reason],
    }
}

#[cfg(test)]
mod tests {
    use super::super::promote::By;
    use super::super::promote::tests::outcome;
    use super::*;
    use crate::environment::entry::tests::{log, promote};
    use crate::name::{EnvironmentName, PackageName};

    #[test]
    fn marks() {
        let app = PackageName::parse("web").unwrap();
        let environment = EnvironmentName::parse("prod").unwrap();
        let wish = Wish {
            app: &app,
            environment: &environment,
            by: By::Person,
            force: false,
        };
        let one = || Version::parse("1.0.0").unwrap();
        let hold = |reason: Option<&str>| Mark::Hold {
            reason: reason.map(str::to_owned),
        };
        let live = || vec![promote("1.0.0")];
        let live_then = |event| vec![promote("1.0.0"), event];
        let cases = [
            (live(), hold(None), true, "append hold"),
            (live_then(Event::Hold), hold(None), true, "already there"),
            (
                live_then(Event::Hold),
                hold(Some("an audit")),
                true,
                "append hold",
            ),
            (live_then(Event::Hold), Mark::Unhold, true, "append unhold"),
            (live(), Mark::Unhold, true, "already there"),
            (live(), Mark::Bad(one()), true, "append mark-bad"),
            (
                live_then(Event::MarkBad(one())),
                Mark::Bad(one()),
                true,
                "already there",
            ),
            (
                live(),
                Mark::Bad(one()),
                false,
                "3 environment::unknown_version",
            ),
            (live(), Mark::Pin(one()), true, "append pin"),
            (
                live(),
                Mark::Pin(one()),
                false,
                "3 environment::unknown_version",
            ),
            (
                live_then(Event::Pin(one())),
                Mark::Pin(one()),
                true,
                "already there",
            ),
            (
                live_then(Event::Retire(one())),
                Mark::Pin(one()),
                true,
                "3 environment::retired",
            ),
            (
                live_then(Event::Pin(one())),
                Mark::Unpin(one()),
                true,
                "append unpin",
            ),
            (live(), Mark::Unpin(one()), true, "already there"),
        ];
        for (events, mark, is_known, expected) in cases {
            let recorded: &[Version] = if is_known { &[one()] } else { &[] };
            let judgement = judge(&log(&events).state, &wish, &mark, recorded);
            assert_eq!(outcome(&judgement), expected, "{mark:?} after {events:?}");
        }
    }
}
