//! Judges a `promote` on the newest entry of the log.

use crate::environment::entry::{BadMark, Event, Hold, Live, Source, State};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{EnvironmentName, PackageName};
use crate::version::Version;

/// What a request comes to on the newest entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Write this into the log.
    Append {
        /// The deed.
        event: Event,
        /// Why it may be done, and what it overrides.
        reasons: Vec<String>,
    },
    /// The wish is true already; nothing is written.
    AlreadyThere {
        /// What is true.
        reasons: Vec<String>,
    },
    /// Automation is stopped here; nothing changes (exit 0).
    Held {
        /// Who stopped it, and why.
        hold: Hold,
        /// The version that waits.
        version: String,
    },
    /// Automation met a version that was judged bad; nothing changes (exit 0).
    Bad {
        /// The version.
        version: String,
        /// Who judged it, and why.
        why: String,
    },
    /// Automation only goes forward, and this is not forward; nothing changes (exit 0).
    NotDescendant {
        /// The version that stays live.
        live: String,
        /// The version that was asked for.
        version: String,
        /// How that is known.
        why: String,
    },
    /// It may not be done; nothing changes.
    Refused(Failure),
}

/// What a hold of `app` in `environment` means, for people.
#[must_use]
pub fn while_held(app: &str, environment: &str) -> String {
    format!(
        "until '{}', releases leave it as it is and 'promote' needs '--force'; 'rollback' still works",
        unhold(app, environment)
    )
}

/// The command that lifts a hold.
fn unhold(app: &str, environment: &str) -> String {
    format!("unhold --environment {environment} --app {app}")
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person: asked to insist where a person said stop.
    Person,
    /// A release or a schedule: never overrides a person.
    Automation,
}

/// A request about one app in one environment.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The app.
    pub app: &'a PackageName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// Who asks.
    pub by: By,
    /// Whether held, bad and "not a descendant" are overridden.
    pub force: bool,
}

/// What the store holds of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A build that may run in this environment, of a complete release.
    Ready(Box<Live>),
    /// A build whose release (its id) is not recorded as complete.
    Incomplete(String),
    /// A build whose release (its id) was given up.
    Abandoned(String),
    /// No build for this environment; these variants there are.
    NoBuild(Vec<String>),
    /// Nothing at all of this version; these are the versions that are recorded, the newest first.
    Unknown(Vec<Version>),
}

/// What people said against a version. A mark is of one environment; elsewhere it warns.
#[derive(Debug, Clone, Default)]
pub struct Against<'a> {
    /// Where the version is marked bad, and by which entry; `None` where that is too long ago to look for.
    pub bad: Vec<(EnvironmentName, Option<BadMark>)>,
    /// The environment from which the version is taken.
    pub source: Option<&'a EnvironmentName>,
}

impl Against<'_> {
    /// Who judged `version` bad in `environment`, and why; the bare fact where nobody looked.
    #[must_use]
    pub fn describe(&self, version: &str, environment: &EnvironmentName) -> String {
        let judged = format!("{version} is marked bad in {environment}");
        let mark = self.bad.iter().find(|(place, _)| place == environment);
        let Some((_, Some(mark))) = mark else {
            return judged;
        };
        let reason = mark
            .reason
            .as_deref()
            .map_or_else(String::new, |reason| format!(": {}", quoted(reason)));
        format!(
            "{judged} by entry {} ({} by {}, {}{reason})",
            mark.seq,
            mark.op.as_str(),
            quoted(&mark.by),
            crate::explain::plain(&mark.at),
        )
    }

    /// The environment from which it is taken, if it is marked bad there.
    fn bad_source(&self) -> Option<&EnvironmentName> {
        let is_bad = |source: &&EnvironmentName| self.bad.iter().any(|(place, _)| place == *source);
        self.source.filter(is_bad)
    }
}

/// Judges pointing the environment at `version` while `state` is true there. `against` is what people said against the version.
///
/// `live_source` is where the live version comes from. `is_descendant` says whether the commit of `found` descends from it;
/// where nobody knows (`None`), the later commit date counts as a descendant, because a history that is not at hand cannot be asked.
#[must_use]
pub fn judge(
    state: &State,
    live_source: Option<&Source>,
    wish: &Wish<'_>,
    version: &Version,
    found: &Found,
    against: &Against<'_>,
    is_descendant: Option<bool>,
) -> Judgement {
    let live = match runnable(state, wish, version, found) {
        Ok(live) => live,
        Err(failure) => return Judgement::Refused(failure),
    };
    let text = version.to_string();
    let stopped = state.hold.is_some() || state.is_bad(&text);
    if state.current.as_ref() == Some(&live.build) && !(wish.force && stopped) {
        return Judgement::AlreadyThere {
            reasons: already_live(state, wish, &text),
        };
    }
    if !wish.force {
        if let Some(stop) = person_said_stop(state, wish, &text, against) {
            return stop;
        }
        if wish.by == By::Automation
            && let Some(stop) = not_forward(state, live_source, &text, live, is_descendant)
        {
            return stop;
        }
    }
    Judgement::Append {
        event: Event::Promote {
            live: live.clone(),
            forced: wish.force,
        },
        reasons: reasons(state, wish, &text, live, against),
    }
}

/// The build of `version` that this environment may run; force never helps here.
pub(super) fn runnable<'a>(
    state: &State,
    wish: &Wish<'_>,
    version: &Version,
    found: &'a Found,
) -> Result<&'a Live, Failure> {
    let Wish {
        app, environment, ..
    } = wish;
    let refuse = |code, why: String| {
        Failure::new(
            Exit::Refused,
            code,
            format!("{environment} cannot run {app} {version}"),
        )
        .because(why)
    };
    if state.is_retired(&version.to_string()) {
        return Err(refuse(
            "environment::retired",
            "it is retired: its files are, or will be, deleted".to_owned(),
        )
        .hint("release its commit again under a new version"));
    }
    match found {
        Found::Ready(live) => Ok(live),
        Found::Incomplete(release) => Err(refuse(
            "environment::incomplete",
            format!("its release {release} is not recorded as complete"),
        )
        .hint("run 'release' again on its branch: it finishes what was begun")),
        Found::Abandoned(release) => Err(refuse(
            "environment::abandoned",
            format!("its release {release} was abandoned"),
        )
        .hint("promote a version of a later release")),
        Found::Unknown(recorded) => Err(unknown_version(app, version, recorded)),
        Found::NoBuild(variants) => Err(refuse(
            "environment::no_build",
            format!("it was built for {} only", variants.join(", ")),
        )
        .hint(format!(
            "name {environment} in build-for, and release {app} again: its next version has a build for {environment}"
        ))),
    }
}

/// Nothing is recorded of `version`; `recorded` are the versions there are, the newest first.
pub(super) fn unknown_version(
    app: &PackageName,
    version: &Version,
    recorded: &[Version],
) -> Failure {
    const SHOWN: usize = 5;
    let failure = Failure::new(
        Exit::Refused,
        "environment::unknown_version",
        format!("there is no version {version} of {app}"),
    );
    let shown: Vec<String> = recorded
        .iter()
        .take(SHOWN)
        .map(Version::to_string)
        .collect();
    let older = recorded.len() - shown.len();
    let failure = match (shown.is_empty(), older) {
        (true, _) => failure.because("the store records no version of it"),
        (false, 0) => failure.because(format!("the store records {}", shown.join(", "))),
        (false, _) => failure.because(format!(
            "the store records {} and {older} older",
            shown.join(", ")
        )),
    };
    failure.hint("'status' lists what is recorded")
}

/// A hold or a mark stops automation silently and a person loudly.
fn person_said_stop(
    state: &State,
    wish: &Wish<'_>,
    version: &str,
    against: &Against<'_>,
) -> Option<Judgement> {
    if wish.by == By::Automation {
        if let Some(hold) = &state.hold {
            return Some(Judgement::Held {
                hold: hold.clone(),
                version: version.to_owned(),
            });
        }
        return state.is_bad(version).then(|| Judgement::Bad {
            version: version.to_owned(),
            why: against.describe(version, wish.environment),
        });
    }
    let mut stops = Vec::new();
    if let Some(hold) = &state.hold {
        stops.push(("environment::held", describe(hold)));
    }
    let source = against.bad_source();
    let judges = state.is_bad(version).then_some(wish.environment);
    stops.extend(judges.into_iter().chain(source).map(|environment| {
        let why = against.describe(version, environment);
        ("environment::bad", why)
    }));
    let (code, _) = *stops.first()?;
    let failure = Failure::new(
        Exit::Refused,
        code,
        format!(
            "{} of {} was not pointed at {version}",
            wish.environment, wish.app
        ),
    )
    .hint(what_force_does(wish, state.hold.is_some(), judges, source));
    Some(Judgement::Refused(
        stops
            .into_iter()
            .fold(failure, |failure, (_, why)| failure.because(why)),
    ))
}

/// What to do about a hold, a mark here and one in the environment from which the version is taken.
fn what_force_does(
    wish: &Wish<'_>,
    is_held: bool,
    here: Option<&EnvironmentName>,
    source: Option<&EnvironmentName>,
) -> String {
    const FORCE: &str = "'force' (--force, PKGS_FORCE or the input force)";
    if is_held && here.is_none() && source.is_none() {
        let unhold = unhold(wish.app.as_str(), wish.environment.as_str());
        return format!(
            "'{unhold}' lifts the hold; if you mean it, {FORCE} promotes and lifts the hold for good"
        );
    }
    let lifts = match (is_held, here.is_some()) {
        (true, true) => Some("lifts the hold and clears the mark of this version, both for good"),
        (true, false) => Some("lifts the hold for good"),
        (false, true) => Some("clears the mark of this version for good"),
        (false, false) => None,
    };
    let stays = source.map(|source| format!("leaves the mark in {source}"));
    let does: Vec<String> = lifts.map(str::to_owned).into_iter().chain(stays).collect();
    format!(
        "if you mean it, repeat it with {FORCE}: that {}",
        does.join(", and ")
    )
}

fn not_forward(
    state: &State,
    live_source: Option<&Source>,
    version: &str,
    wanted: &Live,
    is_descendant: Option<bool>,
) -> Option<Judgement> {
    let live = state.version()?;
    let source = live_source?;
    if source.commit == wanted.source.commit {
        return None;
    }
    let (forward, why) = match is_descendant {
        Some(forward) => (
            forward,
            format!(
                "commit {} does not descend from {}",
                short(&wanted.source.commit),
                short(&source.commit)
            ),
        ),
        None => (
            is_later(&wanted.source.committed_at, &source.committed_at),
            format!(
                "the history is not at hand, and its commit of {} is not later than the live one of {}",
                wanted.source.committed_at, source.committed_at
            ),
        ),
    };
    (!forward).then(|| Judgement::NotDescendant {
        live: live.to_owned(),
        version: version.to_owned(),
        why,
    })
}

/// Whether one RFC 3339 moment is after another; what cannot be read is not after anything.
fn is_later(moment: &str, than: &str) -> bool {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    match (
        OffsetDateTime::parse(moment, &Rfc3339),
        OffsetDateTime::parse(than, &Rfc3339),
    ) {
        (Ok(moment), Ok(than)) => moment > than,
        _ => false,
    }
}

fn already_live(state: &State, wish: &Wish<'_>, version: &str) -> Vec<String> {
    let mut reasons = vec![format!("{version} is live in {} already", wish.environment)];
    if let Some(hold) = &state.hold {
        reasons.push(describe(hold));
    }
    reasons
}

fn is_older(version: &str, than: &str) -> bool {
    let parsed = Version::parse(version).ok().zip(Version::parse(than).ok());
    parsed.is_some_and(|(version, than)| version < than)
}

fn reasons(
    state: &State,
    wish: &Wish<'_>,
    version: &str,
    live: &Live,
    against: &Against<'_>,
) -> Vec<String> {
    let mut reasons = vec![match live.build.variant.as_str() {
        "any" => "its build runs in any environment".to_owned(),
        variant => format!("its build was made for {variant}"),
    }];
    match (wish.by, state.version()) {
        (_, None) => reasons.push("nothing was live before".to_owned()),
        (By::Automation, Some(before)) if !wish.force => {
            reasons.push(format!("it comes after {before}"));
        }
        (By::Person, Some(before)) if is_older(version, before) => reasons.push(format!(
            "warning: {version} is older than {before}, which is live: that is back. 'rollback' goes back as well, and marks what it leaves as bad and holds"
        )),
        _ => {}
    }
    if wish.force {
        if let Some(hold) = &state.hold {
            reasons.push(format!(
                "forced: the hold is lifted ({}); releases change {} again, 'hold' stops them",
                describe(hold),
                wish.environment
            ));
        }
        if state.is_bad(version) {
            reasons.push(format!("forced: {version} is no longer marked bad"));
        }
    }
    let elsewhere = against.bad.iter().map(|(environment, _)| environment);
    for environment in elsewhere.filter(|environment| *environment != wish.environment) {
        let judged = against.describe(version, environment);
        reasons.push(format!("warning: {judged}; it stays so there"));
    }
    reasons
}

/// A hold in words: who, since which entry, why.
#[must_use]
pub fn describe(hold: &Hold) -> String {
    let reason = hold
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {}", quoted(reason)));
    format!(
        "held by {} since entry {}{reason}",
        quoted(&hold.by),
        hold.seq
    )
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::environment::entry::tests::{live, log, promote, rollback};

    pub(crate) const FORCE: bool = true;

    pub(crate) fn outcome(judgement: &Judgement) -> String {
        match judgement {
            Judgement::Append { event, .. } => format!("append {}", event.op().as_str()),
            Judgement::AlreadyThere { .. } => "already there".to_owned(),
            Judgement::Held { .. } => "held".to_owned(),
            Judgement::Bad { .. } => "bad".to_owned(),
            Judgement::NotDescendant { .. } => "not a descendant".to_owned(),
            Judgement::Refused(failure) => format!("{} {}", failure.exit().code(), failure.code()),
        }
    }

    pub(crate) fn ready(version: &str, commit: char, day: u8) -> Found {
        let mut live = live(version);
        live.source.commit = commit.to_string().repeat(40);
        live.source.committed_at = format!("2026-01-{day:02}T00:00:00Z");
        Found::Ready(Box::new(live))
    }

    struct Case<'a> {
        events: &'a [Event],
        by: By,
        force: bool,
        version: &'a str,
        found: Found,
        is_descendant: Option<bool>,
    }

    #[track_caller]
    fn check(case: &Case<'_>, expected: &str) {
        let app = PackageName::parse("web").unwrap();
        let environment = EnvironmentName::parse("prod").unwrap();
        let wish = Wish {
            app: &app,
            environment: &environment,
            by: case.by,
            force: case.force,
        };
        let tip = (!case.events.is_empty()).then(|| log(case.events));
        let judgement = judge(
            &tip.as_ref()
                .map_or_else(|| State::new(&[]), |tip| tip.state.clone()),
            tip.as_ref().and_then(|tip| tip.source.as_ref()),
            &wish,
            &Version::parse(case.version).unwrap(),
            &case.found,
            &Against::default(),
            case.is_descendant,
        );
        assert_eq!(outcome(&judgement), expected, "{judgement:?}");
    }

    fn both(events: &[Event], force: bool, version: &str, person: &str, automation: &str) {
        for (by, expected) in [(By::Person, person), (By::Automation, automation)] {
            check(
                &Case {
                    events,
                    by,
                    force,
                    version,
                    found: ready(version, 'b', 2),
                    is_descendant: Some(true),
                },
                expected,
            );
        }
    }

    #[test]
    fn an_open_environment_takes_what_it_is_given() {
        both(&[], !FORCE, "1.0.0", "append promote", "append promote");
        both(
            &[promote("1.0.0")],
            !FORCE,
            "1.1.0",
            "append promote",
            "append promote",
        );
        both(
            &[promote("1.0.0")],
            !FORCE,
            "1.0.0",
            "already there",
            "already there",
        );
    }

    #[test]
    fn a_hold_stops_automation_silently_and_people_loudly() {
        let held = [promote("1.0.0"), promote("1.1.0"), rollback("1.0.0")];
        both(&held, !FORCE, "1.2.0", "3 environment::held", "held");
        both(&held, !FORCE, "1.1.0", "3 environment::held", "held");
        both(&held, !FORCE, "1.0.0", "already there", "already there");
        both(&held, FORCE, "1.2.0", "append promote", "append promote");
        both(&held, FORCE, "1.0.0", "append promote", "append promote");
    }

    #[test]
    fn a_bad_version_needs_a_persons_word() {
        let bad = [
            promote("1.0.0"),
            Event::MarkBad(Version::parse("1.1.0").unwrap()),
        ];
        both(&bad, !FORCE, "1.1.0", "3 environment::bad", "bad");
        both(&bad, FORCE, "1.1.0", "append promote", "append promote");
    }

    #[test]
    fn a_mark_elsewhere_stops_what_is_taken_from_there_and_else_warns() {
        let app = PackageName::parse("web").unwrap();
        let place = |name: &str| EnvironmentName::parse(name).unwrap();
        let (prod, sit, pre) = (place("prod"), place("sit"), place("pre"));
        let mark = BadMark {
            seq: 4,
            op: crate::environment::entry::Op::Rollback,
            by: "ada".to_owned(),
            at: "2026-01-02T00:00:00Z".to_owned(),
            reason: Some("slow".to_owned()),
        };
        let check = |events: &[Event], source, force, expected: &str, says: &str| {
            let wish = Wish {
                app: &app,
                environment: &prod,
                by: By::Person,
                force,
            };
            let against = Against {
                bad: vec![(sit.clone(), Some(mark.clone())), (pre.clone(), None)],
                source,
            };
            let version = Version::parse("1.1.0").unwrap();
            let found = ready("1.1.0", 'b', 2);
            let state = log(events).state;
            let judgement = judge(&state, None, &wish, &version, &found, &against, None);
            assert_eq!(outcome(&judgement), expected, "{judgement:?}");
            let told = match judgement {
                Judgement::Refused(failure) => {
                    let advice = failure.advice().unwrap_or_default();
                    format!("{}\n{advice}", failure.causes().join("\n"))
                }
                Judgement::Append { reasons, .. } => reasons.join("\n"),
                other => format!("{other:?}"),
            };
            assert!(told.contains(says), "{told}");
        };
        let words = "1.1.0 is marked bad in sit by entry 4 (rollback by \"ada\", 2026-01-02T00:00:00Z: \"slow\")";
        let open = [promote("1.0.0")];
        let held = [promote("1.0.0"), Event::Hold];
        let warns =
            format!("warning: {words}; it stays so there\nwarning: 1.1.0 is marked bad in pre;");
        check(&open, None, !FORCE, "append promote", &warns);
        check(&open, Some(&sit), FORCE, "append promote", &warns);
        check(&open, Some(&sit), !FORCE, "3 environment::bad", words);
        let advice = "force): that leaves the mark in sit";
        check(&open, Some(&sit), !FORCE, "3 environment::bad", advice);
        let advice = "force): that lifts the hold for good, and leaves the mark in sit";
        check(&held, Some(&sit), !FORCE, "3 environment::held", advice);
        check(&open, Some(&prod), !FORCE, "append promote", &warns);
    }

    #[test]
    fn automation_only_goes_forward() {
        let live = [promote("1.0.0")];
        for (commit, day, is_descendant, person, automation) in [
            ('b', 2, Some(true), "append promote", "append promote"),
            ('b', 2, Some(false), "append promote", "not a descendant"),
            ('b', 2, None, "append promote", "append promote"),
            ('b', 1, None, "append promote", "not a descendant"),
            ('a', 1, None, "append promote", "append promote"),
        ] {
            for (by, expected) in [(By::Person, person), (By::Automation, automation)] {
                check(
                    &Case {
                        events: &live,
                        by,
                        force: false,
                        version: "1.1.0",
                        found: ready("1.1.0", commit, day),
                        is_descendant,
                    },
                    expected,
                );
            }
        }
    }

    #[test]
    fn force_never_makes_a_build() {
        for (found, expected) in [
            (Found::Unknown(vec![]), "3 environment::unknown_version"),
            (
                Found::NoBuild(vec!["sit".into()]),
                "3 environment::no_build",
            ),
            (Found::Incomplete("x".into()), "3 environment::incomplete"),
            (Found::Abandoned("x".into()), "3 environment::abandoned"),
        ] {
            check(
                &Case {
                    events: &[],
                    by: By::Person,
                    force: true,
                    version: "1.0.0",
                    found,
                    is_descendant: None,
                },
                expected,
            );
        }
        check(
            &Case {
                events: &[Event::Retire(Version::parse("1.0.0").unwrap())],
                by: By::Person,
                force: true,
                version: "1.0.0",
                found: ready("1.0.0", 'b', 2),
                is_descendant: None,
            },
            "3 environment::retired",
        );
    }
}
