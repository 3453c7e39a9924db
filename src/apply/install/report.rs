//! What the host tells the store.

use super::{InstallOutcome, in_one_line};
use crate::explain::Failure;
use crate::plan::pull::Tip;
use crate::release::host::{HostReport, HostState, REPORT_SCHEMA};

/// What the host tells the store about `outcome`; the key is [`layout::host`](crate::release::layout::host).
#[must_use]
pub fn report(
    host_name: &str,
    tip: &Tip,
    state: &HostState,
    outcome: &Result<InstallOutcome, Failure>,
    at: &str,
) -> HostReport {
    let (word, error) = match outcome {
        Ok(InstallOutcome::Installed | InstallOutcome::UpToDate | InstallOutcome::StartedAgain) => {
            ("installed", None)
        }
        Ok(InstallOutcome::AlreadyFailedHere) => (
            "failed-before",
            state
                .failed
                .iter()
                .rfind(|failed| failed.since == tip.since)
                .map(|failed| failed.why.clone()),
        ),
        Ok(InstallOutcome::WentBack { why }) => ("went-back", Some(why.clone())),
        Err(failure) => ("failed", Some(in_one_line(failure))),
    };
    HostReport {
        schema: REPORT_SCHEMA.to_owned(),
        host: host_name.to_owned(),
        app: tip.app.to_string(),
        environment: tip.environment.to_string(),
        seq: tip.seq,
        version: state
            .installed
            .as_ref()
            .map(|installed| installed.version.clone()),
        state: word.to_owned(),
        error,
        at: at.to_owned(),
    }
}
