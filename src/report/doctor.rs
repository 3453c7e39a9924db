//! What `doctor` found, as text, as `pkgs.doctor/1` and as a summary.

use std::fmt::Write as _;

use serde::Serialize;

use crate::explain::{Exit, Failure, safe_line};
use crate::plan::notes::markdown::code;
use crate::plan::release::Notice;
use crate::plan::render::Missing;

/// The schema of [`Checkup`].
pub const SCHEMA: &str = "pkgs.doctor/1";

/// What was found, check by check.
#[derive(Debug, Clone, Serialize)]
pub struct Checkup {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The worst of all checks.
    pub outcome: State,
    /// The checks, in the order in which a release needs them.
    pub checks: Vec<Check>,
    /// The exit code of the worst one.
    #[serde(skip)]
    worst: Option<Exit>,
}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was not looked at.
    Skipped,
    /// A release has what it needs here.
    Ok,
    /// It has, and a person should know something.
    Warning,
    /// It would be refused.
    Failed,
}

impl State {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Skipped => "skipped",
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `git`, `npm`, a package, `store`.
    pub about: String,
    /// How it ended.
    pub state: State,
    /// The code of what was found, where it is not ok.
    pub code: Option<&'static str>,
    /// What was found.
    pub message: String,
    /// Why.
    pub because: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Default for Checkup {
    fn default() -> Checkup {
        Checkup {
            schema: SCHEMA,
            outcome: State::Ok,
            checks: Vec::new(),
            worst: None,
        }
    }
}

impl Checkup {
    /// Notes that a release has what it needs.
    pub fn ok(&mut self, about: &str, message: impl Into<String>) {
        self.note(Check {
            about: about.to_owned(),
            state: State::Ok,
            code: None,
            message: message.into(),
            because: Vec::new(),
            hint: None,
        });
    }

    /// Notes that something was not looked at, and why.
    pub fn skipped(&mut self, about: &str, why: impl Into<String>) {
        self.note(Check {
            about: about.to_owned(),
            state: State::Skipped,
            code: None,
            message: format!("not checked: {}", why.into()),
            because: Vec::new(),
            hint: None,
        });
    }

    /// Notes what a person should know.
    pub fn warn(&mut self, about: &str, notice: Notice) {
        self.note(Check {
            about: about.to_owned(),
            state: State::Warning,
            code: Some(notice.code),
            message: notice.message,
            because: Vec::new(),
            hint: None,
        });
    }

    /// Notes what a release would be refused for; several found at once are noted one by one.
    pub fn failed(&mut self, about: &str, failure: &Failure) {
        for failure in failure.each() {
            self.count(failure.exit());
            self.note(Check {
                about: about.to_owned(),
                state: State::Failed,
                code: Some(failure.code()),
                message: failure.what().to_owned(),
                because: failure.causes().to_vec(),
                hint: failure.advice().map(str::to_owned),
            });
        }
    }

    /// Notes what a release can do without, and something else cannot.
    pub fn warned(&mut self, about: &str, failure: &Failure) {
        self.note(Check {
            about: about.to_owned(),
            state: State::Warning,
            code: Some(failure.code()),
            message: failure.what().to_owned(),
            because: failure.causes().to_vec(),
            hint: failure.advice().map(str::to_owned),
        });
    }

    /// Notes a setting or credential that a release needs and does not have.
    pub fn missing(&mut self, missing: &Missing) {
        self.count(Exit::Usage);
        self.note(Check {
            about: missing.what.clone(),
            state: State::Failed,
            code: Some("doctor::missing"),
            message: format!("{} is missing", missing.what),
            because: Vec::new(),
            hint: Some(missing.hint.clone()),
        });
    }

    fn count(&mut self, exit: Exit) {
        let weight = |exit: &Exit| match exit {
            Exit::Integrity => 5,
            Exit::RemoteRefused => 4,
            Exit::Refused => 3,
            Exit::Usage => 2,
            _ => 1,
        };
        let worst = self.worst.into_iter().chain([exit]);
        self.worst = worst.max_by_key(weight);
    }

    fn note(&mut self, check: Check) {
        self.outcome = self.outcome.max(check.state);
        self.checks.push(check);
    }

    /// What the run ends with, where a release would be refused: the exit code of the worst check.
    pub fn failure(&self) -> Option<Failure> {
        let worst = self.worst?;
        let failed = self.checks.iter();
        let failed = failed.filter(|check| check.state == State::Failed).count();
        let what = format!("{failed} of {} checks failed", self.checks.len());
        Some(Failure::new(worst, "doctor::failed", what).hint("do what stands behind each of them"))
    }

    /// The checks for a person, a line for each and what to do below.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let code = check
                .code
                .map_or_else(String::new, |code| format!("[{code}]"));
            let _ = writeln!(
                text,
                "{:7} {}: {}{}",
                check.state.as_str(),
                safe_line(&check.about),
                safe_line(&check.message),
                if code.is_empty() {
                    String::new()
                } else {
                    format!(" {code}")
                }
            );
            for cause in check.because.iter().flat_map(|cause| cause.lines()) {
                let _ = writeln!(text, "          because {}", safe_line(cause));
            }
            if let Some(hint) = &check.hint {
                let _ = writeln!(text, "          hint: {}", safe_line(hint));
            }
        }
        text
    }

    /// The checks as a table.
    pub fn summary(&self) -> String {
        let title = match self.outcome {
            State::Skipped | State::Ok => "A release has all that it needs",
            State::Warning => "A release has all that it needs, with warnings",
            State::Failed => "A release would be refused",
        };
        let mut text =
            format!("## {title}\n\n| check | outcome | what was found |\n|---|---|---|\n");
        let cell = |text: &str| code(text).replace('|', "\\|");
        for check in &self.checks {
            let hint = check
                .hint
                .as_deref()
                .map_or_else(String::new, |hint| format!("<br>{}", cell(hint)));
            let _ = writeln!(
                text,
                "| {} | {} | {}{hint} |",
                cell(&check.about),
                check.state.as_str(),
                cell(&check.message)
            );
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_decides() {
        let mut checkup = Checkup::default();
        checkup.skipped("store", "`store` is not set");
        assert_eq!(checkup.outcome, State::Ok);
        checkup.ok("git", "may be pushed");
        assert_eq!((checkup.outcome, checkup.failure()), (State::Ok, None));
        checkup.warn(
            "a",
            Notice {
                code: "npm::right_unknown",
                message: "nobody knows".to_owned(),
            },
        );
        assert_eq!((checkup.outcome, checkup.failure()), (State::Warning, None));
        let failure = |exit| Failure::new(exit, "npm::untrusted", "no");
        checkup.failed("a", &failure(Exit::Temporary));
        checkup.failed("a", &failure(Exit::RemoteRefused));
        checkup.failed("a", &failure(Exit::Usage));
        let failure = checkup.failure().expect("a failure");
        assert_eq!(failure.exit(), Exit::RemoteRefused);
        assert_eq!(failure.what(), "3 of 6 checks failed");
    }
}
