//! Lines for `$GITHUB_OUTPUT`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::name::TagName;
use crate::report::environments::Points;
use crate::report::release::{Ended, ReleaseReport};

/// The outputs of a release, name and value. They speak of the release at this commit, also when an earlier attempt made it.
pub fn of_release(report: &ReleaseReport) -> Vec<(&'static str, String)> {
    let released = report.release.as_ref();
    let list = |value: Option<Value>| value.unwrap_or_else(|| json!([])).to_string();
    let mut outputs = vec![
        (
            "released",
            (released.is_some() && !matches!(report.ended, Ended::Decided | Ended::Pending))
                .to_string(),
        ),
        ("outcome", report.ended.as_str().to_owned()),
        (
            "tags",
            list(released.map(|released| released.tags.iter().map(TagName::as_str).collect())),
        ),
        (
            "packages",
            list(released.map(super::release::Released::packages_json)),
        ),
        (
            "apps",
            list(released.map(super::release::Released::apps_json)),
        ),
        (
            "pointers",
            list(released.map(|released| json!(released.pointers))),
        ),
        (
            "matrix",
            matrix(released.map(super::release::Released::packages_json)),
        ),
        (
            "app-matrix",
            matrix(released.map(super::release::Released::apps_json)),
        ),
        (
            "held",
            released
                .is_some_and(|released| released.pointers.iter().any(|point| point.held))
                .to_string(),
        ),
        (
            "pending",
            list(released.map(super::release::Released::pending_json)),
        ),
    ];
    if let Some(released) = released {
        if !released.is_snapshot() {
            outputs.push(("release-id", released.id.to_string()));
        }
        outputs.push(("commit", released.commit.to_string()));
        if let Some(version) = &released.version {
            outputs.push(("version", version.to_string()));
        }
        if let Some(manifest) = &released.manifest {
            outputs.push(("manifest", manifest.clone()));
        }
    }
    outputs
}

/// The outputs of a release that failed, for the steps that run nevertheless.
pub fn of_failure() -> Vec<(&'static str, String)> {
    let mut outputs = vec![
        ("released", "false".to_owned()),
        ("outcome", "failed".to_owned()),
        ("matrix", matrix(None)),
        ("app-matrix", matrix(None)),
        ("held", "false".to_owned()),
    ];
    let lists = ["tags", "packages", "apps", "pointers", "pending"];
    outputs.extend(lists.map(|name| (name, "[]".to_owned())));
    outputs
}

/// The outputs of a command about environments; with one app also the details of its pointer. Beside `pointers` they say what is true now,
/// which a dry run does not change.
pub fn of_points(points: &Points) -> Vec<(&'static str, String)> {
    let mut outputs = vec![
        ("pointers", json!(points.apps).to_string()),
        (
            "held",
            points
                .apps
                .iter()
                .any(|point| point.now.as_ref().is_some_and(|now| now.held))
                .to_string(),
        ),
    ];
    if let [only] = points.apps.as_slice() {
        outputs.push(("environment", only.environment.clone()));
        let now = only.now.as_ref();
        let seq = if only.dry_run {
            now.and_then(|now| now.seq)
        } else {
            only.seq
        };
        outputs.push(("seq", seq.map(|seq| seq.to_string()).unwrap_or_default()));
        let current = now.and_then(|now| now.current.clone());
        outputs.push(("current", current.unwrap_or_default()));
        outputs.push(("previous", only.from.clone().unwrap_or_default()));
    }
    outputs
}

fn matrix(include: Option<Value>) -> String {
    json!({ "include": include.unwrap_or_else(|| json!([])) }).to_string()
}

/// The text to append to `$GITHUB_OUTPUT`. Values stand on one line each: line breaks inside become spaces, so that no value can start another.
///
/// ```
/// use pkgs_action::report::outputs::lines;
/// assert_eq!(lines(&[("outcome", "released".into()), ("x", "a\nb=c".into())]), "outcome=released\nx=a b=c\n");
/// ```
pub fn lines(outputs: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in outputs {
        let _ = writeln!(text, "{name}={}", value.replace(['\r', '\n'], " "));
    }
    text
}
