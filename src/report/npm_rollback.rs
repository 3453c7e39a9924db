//! What a rollback and a way forward did on npm.

use std::fmt::Write as _;

use serde::Serialize;

use crate::explain::{Failure, safe_line};
use crate::name::PackageName;
use crate::plan::npm_rollback::Step;

/// What was done on npm, package by package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnNpm {
    /// Whether nothing was written because that was asked for.
    pub dry_run: bool,
    /// The releases whose packages it is about, the newest first.
    pub releases: Vec<String>,
    /// The packages, by name.
    pub packages: Vec<PackageOnNpm>,
    /// Why there are no more.
    pub reasons: Vec<String>,
}

/// What was done to one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageOnNpm {
    /// Its name.
    pub name: String,
    /// The dist-tags that were pointed elsewhere.
    pub dist_tags: Vec<MovedTag>,
    /// The versions that were deprecated, and the message of each; `null` took that back.
    pub deprecated: Vec<Deprecated>,
    /// What stays as it is, and why.
    pub reasons: Vec<String>,
    /// What failed.
    pub error: Option<String>,
}

/// A dist-tag that was pointed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedTag {
    /// The dist-tag.
    pub tag: String,
    /// The version that it pointed at.
    pub from: String,
    /// The version that it points at.
    pub to: String,
}

/// A version whose message was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deprecated {
    /// The version.
    pub version: String,
    /// Its message; `null`: it is good again.
    pub message: Option<String>,
}

impl PackageOnNpm {
    /// What `steps` did to a package.
    #[must_use]
    pub fn new(
        name: &PackageName,
        steps: &[Step],
        reasons: Vec<String>,
        failure: Option<&Failure>,
    ) -> PackageOnNpm {
        let mut package = PackageOnNpm {
            name: name.to_string(),
            dist_tags: Vec::new(),
            deprecated: Vec::new(),
            reasons,
            error: failure.map(|failure| failure.what().to_owned()),
        };
        for step in steps {
            match step.clone() {
                Step::Tag { tag, from, to } => {
                    package.dist_tags.push(MovedTag { tag, from, to });
                }
                Step::Messages(messages) => {
                    let messages = messages.into_iter();
                    let messages =
                        messages.map(|(version, message)| Deprecated { version, message });
                    package.deprecated.extend(messages);
                }
            }
        }
        package
    }

    fn line(&self, would: &str) -> String {
        let tags = self.dist_tags.iter();
        let tags = tags.map(|moved| format!("{} {} → {}", moved.tag, moved.from, moved.to));
        let messages = self.deprecated.iter().map(|deprecated| {
            let verb = match deprecated.message {
                Some(_) => "deprecated",
                None => "no longer deprecated",
            };
            format!("{} {verb}", deprecated.version)
        });
        let done: Vec<String> = tags.chain(messages).collect();
        match (done.is_empty(), &self.error) {
            (true, None) => "nothing to do".to_owned(),
            (true, Some(error)) => safe_line(error),
            (false, None) => format!("{would}{}", done.join(", ")),
            (false, Some(error)) => format!("{}; then {}", done.join(", "), safe_line(error)),
        }
    }
}

impl OnNpm {
    /// For people: a line for each package, and why.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.releases.is_empty() {
            let _ = writeln!(text, "npm, releases {}:", self.releases.join(", "));
        } else if !self.reasons.is_empty() {
            text.push_str("npm:\n");
        }
        let would = if self.dry_run { "would be: " } else { "" };
        for package in &self.packages {
            let line = format!("{}: {}", package.name, package.line(would));
            let _ = writeln!(text, "  {}", safe_line(&line));
            for reason in &package.reasons {
                let _ = writeln!(text, "    {}", safe_line(reason));
            }
        }
        for reason in &self.reasons {
            let _ = writeln!(text, "  {}", safe_line(reason));
        }
        text
    }
}
