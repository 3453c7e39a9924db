//! Where we run: the facts that a workflow runner gives, or none of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a pull request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A branch of the repository itself.
    Own,
    /// Another repository, or one that is gone.
    Fork,
}

/// The runner's facts; on a person's machine all are absent.
#[derive(Debug, Clone, Default)]
pub struct Runner {
    /// `GITHUB_ACTIONS`: workflow commands are understood.
    pub is_actions: bool,
    /// `CI`, as nearly every runner sets it: nobody is there to be asked.
    pub is_ci: bool,
    /// `GITHUB_EVENT_NAME`.
    pub event: Option<String>,
    /// `GITHUB_REF`, a full ref name.
    pub reference: Option<String>,
    /// `GITHUB_BASE_REF`: the branch that a pull request is for.
    pub base: Option<String>,
    /// `GITHUB_REPOSITORY`, `owner/name`.
    pub repository: Option<String>,
    /// `GITHUB_SERVER_URL`.
    pub server_url: Option<String>,
    /// `GITHUB_API_URL`.
    pub api_url: Option<String>,
    /// `GITHUB_ACTOR`.
    pub actor: Option<String>,
    /// `GITHUB_RUN_ID`.
    pub run_id: Option<String>,
    /// `GITHUB_RUN_ATTEMPT`.
    pub run_attempt: Option<String>,
    /// `GITHUB_JOB`.
    pub job: Option<String>,
    /// `GITHUB_ACTION`: the step.
    pub step: Option<String>,
    /// `GITHUB_OUTPUT`: the file that takes outputs.
    pub output_file: Option<PathBuf>,
    /// `GITHUB_STEP_SUMMARY`: the file that takes the summary.
    pub summary_file: Option<PathBuf>,
    /// The repository's default branch, from the event.
    pub default_branch: Option<String>,
    /// Where the event's pull request comes from, if it is about one.
    pub request: Option<Request>,
    /// `RUNNER_DEBUG`: the person asked for a debug log.
    pub debug: bool,
}

impl Runner {
    /// Reads the variables and the text of the event file, where there is one.
    pub fn read(environment: &BTreeMap<String, String>, event: Option<&str>) -> Runner {
        let text = |name: &str| {
            environment
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
        };
        let payload: serde_json::Value = event
            .and_then(|event| serde_json::from_str(event).ok())
            .unwrap_or_default();
        let at = |pointer: &str| {
            payload
                .pointer(pointer)
                .and_then(serde_json::Value::as_str)
                .map(str::to_owned)
        };
        let head = at("/pull_request/head/repo/full_name");
        Runner {
            is_actions: text("GITHUB_ACTIONS").as_deref() == Some("true"),
            is_ci: text("CI").is_some(),
            event: text("GITHUB_EVENT_NAME"),
            reference: text("GITHUB_REF"),
            base: text("GITHUB_BASE_REF"),
            repository: text("GITHUB_REPOSITORY"),
            server_url: text("GITHUB_SERVER_URL"),
            api_url: text("GITHUB_API_URL"),
            actor: text("GITHUB_ACTOR"),
            run_id: text("GITHUB_RUN_ID"),
            run_attempt: text("GITHUB_RUN_ATTEMPT"),
            job: text("GITHUB_JOB"),
            step: text("GITHUB_ACTION"),
            output_file: text("GITHUB_OUTPUT").map(PathBuf::from),
            summary_file: text("GITHUB_STEP_SUMMARY").map(PathBuf::from),
            default_branch: at("/repository/default_branch"),
            request: payload.get("pull_request").map(|_| {
                if head.is_some() && head == at("/repository/full_name") {
                    Request::Own
                } else {
                    Request::Fork
                }
            }),
            debug: text("RUNNER_DEBUG").as_deref() == Some("1"),
        }
    }

    /// The branch that the workflow runs for, if it runs for one.
    pub fn branch(&self) -> Option<&str> {
        self.reference.as_deref()?.strip_prefix("refs/heads/")
    }

    /// A name for this run that stays the same over its attempts.
    pub fn run_key(&self) -> Option<String> {
        Some(format!(
            "{}-{}-{}",
            self.run_id.as_deref()?,
            self.job.as_deref().unwrap_or("job"),
            self.step.as_deref().unwrap_or("step")
        ))
    }

    /// Whether the event may release: only those that take write access to cause, and never one of a fork.
    pub fn may_release(&self) -> bool {
        const TRUSTED: [&str; 5] = [
            "push",
            "schedule",
            "workflow_dispatch",
            "repository_dispatch",
            "release",
        ];
        let trusted = match self.event.as_deref() {
            Some(event) => TRUSTED.contains(&event),
            None => !self.is_actions,
        };
        trusted && self.request != Some(Request::Fork)
    }

    /// Whether the event may publish a snapshot: those that may release, and pull requests from the repository itself, whose authors may push.
    pub fn may_snapshot(&self) -> bool {
        let is_request = self.event.as_deref() == Some("pull_request");
        self.may_release() || (is_request && self.request == Some(Request::Own))
    }
}
