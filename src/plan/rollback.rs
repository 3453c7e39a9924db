//! Judges a `rollback` on the newest entry of the log.

use super::promote::{Against, Found, Judgement, Wish, runnable, while_held};
use crate::environment::entry::{Event, LONGEST_HISTORY, State};
use crate::explain::{Exit, Failure};
use crate::version::Version;

/// What a rollback leaves: the version that was live when it first looked.
///
/// # Errors
/// `environment::nothing_live`, exit 3, where nothing is live.
pub fn leaves(state: &State, wish: &Wish<'_>) -> Result<String, Failure> {
    state.version().map(str::to_owned).ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            "environment::nothing_live",
            format!("nothing is live in {} of {}", wish.environment, wish.app),
        )
        .hint("'promote' points it at a version")
    })
}

/// Judges leaving `leaves` for `version` while `state` is true. `against` is what people said against the version.
///
/// A hold does not stop a rollback: rolling back is what people do while automation is held.
#[must_use]
pub fn judge(
    state: &State,
    wish: &Wish<'_>,
    leaves: &str,
    version: &Version,
    found: &Found,
    against: &Against<'_>,
) -> Judgement {
    let live_now = state.version().unwrap_or("nothing");
    if live_now != leaves {
        return Judgement::Refused(overtaken(wish, leaves, live_now));
    }
    let text = version.to_string();
    if text == leaves {
        return Judgement::AlreadyThere {
            reasons: vec![format!("{text} is live in {} already", wish.environment)],
        };
    }
    let live = match runnable(state, wish, version, found) {
        Ok(live) => live,
        Err(failure) => return Judgement::Refused(failure),
    };
    let is_bad = state.is_bad(&text);
    if is_bad && !wish.force {
        return Judgement::Refused(
            Failure::new(
                Exit::Refused,
                "environment::bad",
                format!(
                    "{} of {} was not rolled back to {text}",
                    wish.environment, wish.app
                ),
            )
            .because(against.describe(&text, wish.environment))
            .hint(
                "without a target, rollback finds the last good version; 'force' (--force, PKGS_FORCE or the input force) clears the mark",
            ),
        );
    }
    let mut reasons = vec![
        format!("leaves {leaves} and marks it bad"),
        format!(
            "holds {}: {}",
            wish.environment,
            while_held(wish.app.as_str(), wish.environment.as_str())
        ),
    ];
    reasons.extend(is_forward(state, wish, leaves, version));
    if is_bad {
        reasons.push(format!("forced: {text} is no longer marked bad"));
    }
    Judgement::Append {
        event: Event::Rollback {
            live: live.clone(),
            forced: wish.force,
        },
        reasons,
    }
}

/// That a rollback goes to a newer version that was never live, where it does: whoever means that means `promote`.
fn is_forward(state: &State, wish: &Wish<'_>, leaves: &str, version: &Version) -> Option<String> {
    let text = version.to_string();
    // A full history may have forgotten it.
    let was_live = state.history.len() == LONGEST_HISTORY
        || state.history.iter().any(|step| step.version == text);
    let is_newer = Version::parse(leaves).is_ok_and(|leaves| *version > leaves);
    let Wish {
        app, environment, ..
    } = wish;
    (is_newer && !was_live).then(|| {
        format!(
            "warning: {text} is newer than {leaves} and was never live in {environment}: that is forward, not back. 'promote --environment {environment} --app {app} --to {text}' goes there, marks nothing bad and holds nothing"
        )
    })
}

/// Another version is live than the one that was to be left.
#[must_use]
pub fn overtaken(wish: &Wish<'_>, leaves: &str, live_now: &str) -> Failure {
    Failure::new(
        Exit::Overtaken,
        "environment::overtaken",
        format!(
            "the rollback of {} in {} was to leave {leaves}, but {live_now} is live now",
            wish.app, wish.environment
        ),
    )
    .because("someone else pointed the environment elsewhere in the meantime; nothing was written")
    .hint("look with 'status', and roll back again if it is still needed")
}

#[cfg(test)]
mod tests {
    use super::super::promote::By;
    use super::super::promote::tests::{FORCE, outcome, ready};
    use super::*;
    use crate::environment::entry::tests::{log, promote, rollback};
    use crate::name::{EnvironmentName, PackageName};

    #[track_caller]
    fn check(events: &[Event], force: bool, leaves: &str, to: &str, expected: &str) {
        let app = PackageName::parse("web").unwrap();
        let environment = EnvironmentName::parse("prod").unwrap();
        let wish = Wish {
            app: &app,
            environment: &environment,
            by: By::Person,
            force,
        };
        let judgement = judge(
            &log(events).state,
            &wish,
            leaves,
            &Version::parse(to).unwrap(),
            &ready(to, 'b', 2),
            &Against::default(),
        );
        assert_eq!(outcome(&judgement), expected);
    }

    #[test]
    fn rollbacks() {
        let two = [promote("1.0.0"), promote("1.1.0")];
        check(&two, !FORCE, "1.1.0", "1.0.0", "append rollback");
        check(&two, !FORCE, "1.1.0", "1.1.0", "already there");
        check(&two, !FORCE, "1.0.0", "0.9.0", "4 environment::overtaken");
        check(&two, FORCE, "1.0.0", "0.9.0", "4 environment::overtaken");
        let held = [promote("1.0.0"), promote("1.1.0"), rollback("1.0.0")];
        check(&held, !FORCE, "1.0.0", "0.9.0", "append rollback");
        check(&held, !FORCE, "1.0.0", "1.1.0", "3 environment::bad");
        check(&held, FORCE, "1.0.0", "1.1.0", "append rollback");
    }

    #[test]
    fn what_is_newer_and_was_never_live_is_forward() {
        let check = |events: &[Event], leaves: &str, to: &str, expected: bool| {
            let app = PackageName::parse("web").unwrap();
            let environment = EnvironmentName::parse("prod").unwrap();
            let wish = Wish {
                app: &app,
                environment: &environment,
                by: By::Person,
                force: true,
            };
            let to = Version::parse(to).unwrap();
            let (found, against) = (ready(&to.to_string(), 'b', 2), Against::default());
            let state = log(events).state;
            let judgement = judge(&state, &wish, leaves, &to, &found, &against);
            let Judgement::Append { reasons, .. } = judgement else {
                panic!("{judgement:?}")
            };
            let warned = reasons.iter().find(|reason| reason.starts_with("warning"));
            assert_eq!(warned.is_some(), expected, "{reasons:?}");
            if let Some(warned) = warned {
                assert!(warned.contains("'promote --environment prod --app web --to 1.2.0'"));
            }
        };
        let two = [promote("1.0.0"), promote("1.1.0")];
        check(&two, "1.1.0", "1.2.0", true);
        check(&two, "1.1.0", "1.0.0", false);
        check(&two, "1.1.0", "0.9.0", false);
        // It was there once, and is come back to.
        let back = [promote("1.0.0"), promote("1.2.0"), rollback("1.0.0")];
        check(&back, "1.0.0", "1.2.0", false);
    }

    #[test]
    fn there_must_be_something_to_leave() {
        let app = PackageName::parse("web").unwrap();
        let environment = EnvironmentName::parse("prod").unwrap();
        let wish = Wish {
            app: &app,
            environment: &environment,
            by: By::Person,
            force: false,
        };
        let failure = leaves(&State::new(&[]), &wish).unwrap_err();
        assert_eq!(failure.code(), "environment::nothing_live");
        assert_eq!(
            leaves(&log(&[promote("1.0.0")]).state, &wish).unwrap(),
            "1.0.0"
        );
    }
}
