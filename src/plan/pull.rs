//! What a host does next: facts in, one step out.

use crate::environment::entry::{Build, Entry};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{Digest, EnvironmentName, PackageName};
use crate::release::app::AppManifest;
use crate::release::host::{HostState, Installed, Phase};
use crate::version::Version;

/// What the newest entry of the pointer log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// The app that the log belongs to.
    pub app: PackageName,
    /// The environment that the log belongs to.
    pub environment: EnvironmentName,
    /// The version to run.
    pub version: Version,
    /// The entry's number.
    pub seq: u64,
    /// The number of the entry that made the version current; a hold or a mark later leaves it.
    pub since: u64,
    /// The digest of the archive to run.
    pub archive: Digest,
    /// The entry in words: its number, what it did, who and why.
    pub named_by: String,
}

impl Tip {
    /// What `entry`, the newest of the log, names, with the manifest of that build.
    ///
    /// # Errors
    /// `pull::static_app`, exit 3: the app runs on no host.
    pub fn new(
        app: &PackageName,
        environment: &EnvironmentName,
        entry: &Entry,
        manifest: &AppManifest,
    ) -> Result<Tip, Failure> {
        let Some(archive) = &manifest.archive else {
            return Err(Failure::new(
                Exit::Refused,
                "pull::static_app",
                format!(
                    "{app} {} is served as files and runs on no host",
                    manifest.version
                ),
            )
            .hint("there is nothing to pull for it: remove it from this host's timer"));
        };
        Ok(Tip {
            app: app.clone(),
            environment: environment.clone(),
            version: Version::parse(&manifest.version)?,
            seq: entry.seq,
            since: entry.state.since.unwrap_or(entry.seq),
            archive: Digest::parse(&archive.digest)?,
            named_by: named_by(entry),
        })
    }
}

/// The build that is live after `entry`, the newest of the log.
///
/// # Errors
/// `pull::nothing_live`, exit 3.
pub fn live<'a>(
    app: &PackageName,
    environment: &EnvironmentName,
    entry: Option<&'a Entry>,
) -> Result<(&'a Entry, &'a Build), Failure> {
    let refuse = |what: String| {
        Failure::new(Exit::Refused, "pull::nothing_live", what).hint(format!("check the names of app and environment, or promote a version first: pkgs-action promote --environment {environment} --app {app} --to <version>"))
    };
    let entry =
        entry.ok_or_else(|| refuse(format!("{app} was never promoted to {environment}")))?;
    match &entry.state.current {
        Some(build) => Ok((entry, build)),
        None => Err(refuse(format!("nothing of {app} is live in {environment}"))),
    }
}

/// Which entry made live what is live: a hold or a mark that came later did not.
fn named_by(entry: &Entry) -> String {
    let since = entry.state.since.unwrap_or(entry.seq);
    if since == entry.seq {
        let reason = entry.reason.as_deref().map(quoted);
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let (op, by) = (entry.op.as_str(), quoted(&entry.actor));
        return format!("entry {since} ({op} by {by}{reason})");
    }
    let moved = entry.state.history.iter().find(|moved| moved.seq == since);
    match moved {
        Some(moved) => format!("entry {since} ({})", moved.op.as_str()),
        None => format!("entry {since}"),
    }
}

/// What to do about a tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// It runs already.
    UpToDate,
    /// The same bytes run already, named by an earlier entry: only the entry is remembered, nothing is stopped.
    Remember,
    /// This entry failed here before and is not tried again.
    AlreadyFailedHere,
    /// It is to be installed.
    Install,
    /// An install was interrupted; first this.
    Recover(Recovery),
}

/// What to do about an install that was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing was interrupted.
    Nothing,
    /// The running service was not touched: what was fetched is thrown away.
    Discard,
    /// The old service may stand still: it is started again. The entry has not failed.
    StartOldAgain,
    /// The new one must become healthy as after any start; if it does not, back to the old one.
    ProbeElseBack,
    /// The way back was interrupted: it is gone from its beginning.
    GoBackAgain,
}

/// What follows from the tip of the log and what this host remembers.
///
/// # Errors
/// `pull::stale`, exit 6: the tip is older than one that was seen here (a log only grows).
/// `pull::other_environment`, exit 3: the directory serves another environment.
pub fn decide(tip: &Tip, state: &HostState) -> Result<Pull, Failure> {
    let recovery = after_restart(state.state);
    if recovery != Recovery::Nothing {
        return Ok(Pull::Recover(recovery));
    }
    check_environment(&tip.app, &tip.environment, state)?;
    if tip.seq < state.seen {
        return Err(Failure::new(
            Exit::Integrity,
            "pull::stale",
            format!(
                "the log of {} in {} ends at entry {}, but entry {} was seen here before",
                tip.app, tip.environment, tip.seq, state.seen
            ),
        )
        .because("entries are never removed from a log, so this is another or an older store")
        .hint("check the store; nothing was changed on this host"));
    }
    if state.failed.iter().any(|failed| failed.since == tip.since) {
        return Ok(Pull::AlreadyFailedHere);
    }
    Ok(match &state.installed {
        Some(installed) if installed.since == tip.since && same(tip, installed) => Pull::UpToDate,
        Some(installed) if same(tip, installed) => Pull::Remember,
        _ => Pull::Install,
    })
}

/// Refuses to run another environment than the one that this host serves already.
///
/// # Errors
/// `pull::other_environment`, exit 3.
pub fn check_environment(
    app: &PackageName,
    environment: &EnvironmentName,
    state: &HostState,
) -> Result<(), Failure> {
    match &state.environment {
        Some(serves) if serves != environment.as_str() => Err(Failure::new(
            Exit::Refused,
            "pull::other_environment",
            format!("{app} on this host serves {serves}, not {environment}"),
        )
        .hint("give the other environment a directory of its own, or remove the app's directory first")),
        _ => Ok(()),
    }
}

fn same(tip: &Tip, installed: &Installed) -> bool {
    installed.version == tip.version.to_string()
        && installed.digest.as_deref() == Some(tip.archive.as_str())
}

/// What an interrupted install asks for, by how far it had come.
#[must_use]
pub fn after_restart(state: Phase) -> Recovery {
    match state {
        Phase::Idle | Phase::Committed => Recovery::Nothing,
        Phase::Fetching | Phase::Verified | Phase::Extracted => Recovery::Discard,
        Phase::Stopping => Recovery::StartOldAgain,
        Phase::Switched | Phase::Starting | Phase::Probing => Recovery::ProbeElseBack,
        Phase::GoingBack => Recovery::GoBackAgain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::host::FailedEntry;

    fn tip(version: &str, seq: u64, since: u64) -> Tip {
        Tip {
            app: PackageName::parse("koa-kkl").expect("a name"),
            environment: EnvironmentName::parse("prod").expect("a name"),
            version: Version::parse(version).expect("a version"),
            seq,
            since,
            archive: Digest::of(version.as_bytes()),
            named_by: format!("entry {since}"),
        }
    }

    fn installed(version: &str, since: u64) -> Installed {
        Installed {
            version: version.to_owned(),
            directory: version.to_owned(),
            digest: Some(Digest::of(version.as_bytes()).as_str().to_owned()),
            seq: since,
            since,
        }
    }

    fn failed(since: u64) -> FailedEntry {
        FailedEntry {
            since,
            version: "1.0.0".to_owned(),
            why: String::new(),
            at: String::new(),
        }
    }

    fn state() -> HostState {
        HostState {
            state: Phase::Committed,
            environment: Some("prod".to_owned()),
            seen: 5,
            installed: Some(installed("1.0.0", 5)),
            ..HostState::default()
        }
    }

    fn check(tip: &Tip, state: &HostState, expected: Result<Pull, &str>) {
        let decided = decide(tip, state);
        assert_eq!(
            decided.as_ref().map_err(Failure::code),
            expected.as_ref().map_err(|code| *code),
            "{tip:?} {state:?}"
        );
    }

    #[test]
    fn a_tip_is_judged() {
        let fresh = HostState::default();
        check(&tip("1.0.0", 1, 1), &fresh, Ok(Pull::Install));
        check(&tip("1.0.0", 5, 5), &state(), Ok(Pull::UpToDate));
        // A hold moves the tip and nothing else.
        check(&tip("1.0.0", 6, 5), &state(), Ok(Pull::UpToDate));
        check(&tip("1.1.0", 6, 6), &state(), Ok(Pull::Install));
        // There and back while this host was away.
        check(&tip("1.0.0", 7, 7), &state(), Ok(Pull::Remember));
        check(&tip("1.0.0", 4, 4), &state(), Err("pull::stale"));
        let other = HostState {
            environment: Some("sit".to_owned()),
            ..state()
        };
        check(&tip("1.1.0", 6, 6), &other, Err("pull::other_environment"));
    }

    fn entry(seq: u64, since: Option<u64>, current: bool) -> Entry {
        let json = serde_json::json!({
            "schema": "pkgs.environment/1", "app": "koa-kkl", "environment": "prod", "seq": seq, "op": "promote",
            "operation": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "actor": "mia", "reason": "slow \u{1b}", "at": "2026-01-31T00:00:00Z",
            "state": {
                "current": current.then(|| serde_json::json!({"version": "1.0.0", "variant": "any", "manifestDigest": "sha256:0"})),
                "since": since, "bad": [], "pinned": [], "retired": [],
                "history": [{"seq": 3, "op": "rollback", "version": "1.0.0", "operation": "x", "at": "2026-01-31T00:00:00Z"}],
            },
        });
        serde_json::from_value(json).expect("an entry")
    }

    #[test]
    fn what_is_live_is_named_by_the_entry_that_made_it_live() {
        let check = |seq, since, expected: &str| {
            assert_eq!(named_by(&entry(seq, since, true)), expected);
        };
        check(5, Some(5), "entry 5 (promote by \"mia\": \"slow \\u{1b}\")");
        check(5, Some(3), "entry 3 (rollback)");
        check(5, Some(4), "entry 4");
        check(5, None, "entry 5 (promote by \"mia\": \"slow \\u{1b}\")");
    }

    #[test]
    fn nothing_live_is_refused_with_what_to_do() {
        let tip = tip("1.0.0", 1, 1);
        let check = |entry: Option<&Entry>, expected: Option<&str>| {
            let failure = live(&tip.app, &tip.environment, entry).err();
            assert_eq!(failure.as_ref().map(Failure::what), expected);
            assert!(failure.is_none_or(|failure| failure.advice().is_some()));
        };
        check(None, Some("koa-kkl was never promoted to prod"));
        check(
            Some(&entry(1, None, false)),
            Some("nothing of koa-kkl is live in prod"),
        );
        check(Some(&entry(1, Some(1), true)), None);
    }

    #[test]
    fn the_same_version_with_other_bytes_is_installed() {
        let other_build = Tip {
            archive: Digest::of(b"another build"),
            ..tip("1.0.0", 6, 6)
        };
        check(&other_build, &state(), Ok(Pull::Install));
    }

    #[test]
    fn a_failed_entry_is_not_tried_again_but_a_new_one_is() {
        let state = HostState {
            failed: vec![failed(6)],
            ..state()
        };
        check(&tip("1.1.0", 6, 6), &state, Ok(Pull::AlreadyFailedHere));
        check(&tip("1.1.0", 8, 6), &state, Ok(Pull::AlreadyFailedHere));
        check(&tip("1.1.0", 9, 9), &state, Ok(Pull::Install));
    }

    #[test]
    fn an_interrupted_install_comes_first() {
        for (phase, expected) in [
            (Phase::Idle, Recovery::Nothing),
            (Phase::Fetching, Recovery::Discard),
            (Phase::Verified, Recovery::Discard),
            (Phase::Extracted, Recovery::Discard),
            (Phase::Stopping, Recovery::StartOldAgain),
            (Phase::Switched, Recovery::ProbeElseBack),
            (Phase::Starting, Recovery::ProbeElseBack),
            (Phase::Probing, Recovery::ProbeElseBack),
            (Phase::GoingBack, Recovery::GoBackAgain),
            (Phase::Committed, Recovery::Nothing),
        ] {
            assert_eq!(after_restart(phase), expected, "{phase:?}");
            if expected != Recovery::Nothing {
                let state = HostState {
                    state: phase,
                    ..state()
                };
                check(&tip("9.9.9", 1, 1), &state, Ok(Pull::Recover(expected)));
            }
        }
    }
}
