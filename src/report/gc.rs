//! What `gc` did, or would do, as text, as `pkgs.gc/1` and as a summary.

use std::fmt::Write as _;

use serde::Serialize;

use crate::explain::{Failure, safe_line, size};
use crate::name::Key;
use crate::plan::notes::markdown::code;
use crate::plan::retention::{Given, Gone, Object, Why};

/// For how many reasons it is told how many versions stay.
const TOLD_REASONS: usize = 12;

/// The schema of [`Collected`].
pub const SCHEMA: &str = "pkgs.gc/1";

/// What was given up and deleted, and what stays.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Whether it is only what would be done.
    pub dry_run: bool,
    /// How many bytes were deleted.
    pub bytes: u64,
    /// Versions that environments gave up now.
    pub retired: Vec<Retired>,
    /// Versions that all environments gave up less than a day ago.
    pub waiting: Vec<Waiting>,
    /// What was deleted.
    pub deleted: Vec<Deleted>,
    /// Versions that stay.
    pub kept: Vec<KeptVersion>,
    /// How many old seals stay because the store alone cannot tell whether they were decided.
    pub open_seals: usize,
    /// What could not be looked at.
    pub notices: Vec<String>,
    /// What went wrong on the way.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// A version that environments gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retired {
    /// The app.
    pub app: String,
    /// The version.
    pub version: String,
    /// The environments.
    pub environments: Vec<String>,
    /// Why.
    pub why: String,
    /// What it holds under its own name, in bytes.
    pub bytes: u64,
    /// Why it stays after all: somebody needed it meanwhile.
    pub kept: Option<String>,
}

/// A version that is deleted a day after it was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The app.
    pub app: String,
    /// The version.
    pub version: String,
}

/// A version that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptVersion {
    /// The app.
    pub app: String,
    /// The version.
    pub version: String,
    /// Why.
    pub why: String,
}

/// What kind of thing was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A version of an app: its manifests and archives.
    Version,
    /// A copy of an archive.
    Archive,
    /// A delta between two archives.
    Delta,
    /// A seal.
    Seal,
    /// What a check of the store left.
    Probe,
    /// Bytes by their digest.
    Blob,
    /// A static file.
    Static,
    /// What had arrived of an upload that nobody completed; the store does not tell how many bytes that is.
    Upload,
}

impl Kind {
    fn several(self) -> &'static str {
        match self {
            Kind::Version => "versions",
            Kind::Archive => "archives",
            Kind::Delta => "deltas",
            Kind::Seal => "seals",
            Kind::Probe => "probes",
            Kind::Blob => "blobs",
            Kind::Static => "static files",
            Kind::Upload => "unfinished uploads",
        }
    }

    /// How many bytes, for a person; `None` where that is not known.
    fn size(self, bytes: u64) -> Option<String> {
        (self != Kind::Upload).then(|| size(bytes))
    }
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// What it is.
    pub kind: Kind,
    /// The app; only a version names it.
    pub app: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// The static root; only static files name it.
    pub root: Option<String>,
    /// The keys.
    pub keys: Vec<String>,
    /// How many bytes.
    pub bytes: u64,
    /// Why.
    pub why: String,
}

impl Deleted {
    /// A version.
    #[must_use]
    pub fn version(given: &Given) -> Deleted {
        Deleted {
            kind: Kind::Version,
            app: Some(given.app.to_string()),
            version: Some(given.version.to_string()),
            root: None,
            keys: keys(&given.objects),
            bytes: bytes(&given.objects),
            why: given.why.to_string(),
        }
    }

    /// One object.
    #[must_use]
    pub fn object(kind: Kind, gone: &Gone) -> Deleted {
        Deleted {
            kind,
            app: None,
            version: None,
            root: None,
            keys: vec![gone.object.key.to_string()],
            bytes: gone.object.size,
            why: gone.why.to_string(),
        }
    }
}

fn keys(objects: &[Object]) -> Vec<String> {
    objects
        .iter()
        .map(|object| object.key.to_string())
        .collect()
}

fn bytes(objects: &[Object]) -> u64 {
    objects.iter().map(|object| object.size).sum()
}

impl Default for Collected {
    fn default() -> Collected {
        Collected::new()
    }
}

impl Collected {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Collected {
        Collected {
            schema: SCHEMA,
            dry_run: false,
            bytes: 0,
            retired: Vec::new(),
            waiting: Vec::new(),
            deleted: Vec::new(),
            kept: Vec::new(),
            open_seals: 0,
            notices: Vec::new(),
            failure: None,
        }
    }

    /// Notes objects of one kind.
    pub fn gone<'gone>(&mut self, kind: Kind, gone: impl Iterator<Item = &'gone Gone>) {
        self.deleted
            .extend(gone.map(|gone| Deleted::object(kind, gone)));
    }

    /// Notes uploads that nobody completed, by the keys that they would have.
    pub fn uploads<'key>(&mut self, keys: impl Iterator<Item = &'key Key>) {
        self.deleted.extend(keys.map(|key| Deleted {
            kind: Kind::Upload,
            app: None,
            version: None,
            root: None,
            keys: vec![key.to_string()],
            bytes: 0,
            why: Why::Unfinished.to_string(),
        }));
    }

    /// Notes static files of one root.
    pub fn files(&mut self, root: &str, objects: &[Object]) {
        if !objects.is_empty() {
            self.deleted.push(Deleted {
                kind: Kind::Static,
                app: None,
                version: None,
                root: Some(root.to_owned()),
                keys: keys(objects),
                bytes: bytes(objects),
                why: Why::Unnamed.to_string(),
            });
        }
    }

    /// Counts what was deleted.
    #[must_use]
    pub fn counted(mut self) -> Collected {
        self.bytes = self.deleted.iter().map(|deleted| deleted.bytes).sum();
        self
    }

    /// What was deleted besides versions, kind by kind and reason by reason: how many objects, how many bytes.
    fn groups(&self) -> Vec<(Kind, &str, usize, u64)> {
        let mut groups: std::collections::BTreeMap<(Kind, &str), (usize, u64)> =
            std::collections::BTreeMap::new();
        for deleted in self
            .deleted
            .iter()
            .filter(|deleted| deleted.kind != Kind::Version)
        {
            // Of seals each has a reason of its own.
            let why = if deleted.kind == Kind::Seal {
                "their releases need them no more"
            } else {
                deleted.why.as_str()
            };
            let group = groups.entry((deleted.kind, why)).or_default();
            group.0 += deleted.keys.len();
            group.1 += deleted.bytes;
        }
        groups
            .into_iter()
            .map(|((kind, why), (count, bytes))| (kind, why, count, bytes))
            .collect()
    }

    /// For a person, a line for each version and for each kind of object.
    #[must_use]
    pub fn text(&self) -> String {
        let would = if self.dry_run { "would " } else { "" };
        let verb = |done: &'static str, base: &'static str| if self.dry_run { base } else { done };
        let mut text = String::new();
        for retired in &self.retired {
            if !retired.environments.is_empty() {
                let _ = writeln!(
                    text,
                    "{would}{} {} {} in {}: {}",
                    verb("retired", "retire"),
                    retired.app,
                    retired.version,
                    retired.environments.join(", "),
                    safe_line(&retired.why)
                );
            }
            if let Some(kept) = &retired.kept {
                let _ = writeln!(
                    text,
                    "left {} {}: {}",
                    retired.app,
                    retired.version,
                    safe_line(kept)
                );
            }
        }
        for waiting in &self.waiting {
            let _ = writeln!(
                text,
                "waits: {} {} was retired everywhere, and is deleted a day later",
                waiting.app, waiting.version
            );
        }
        for deleted in &self.deleted {
            if let (Some(app), Some(version)) = (&deleted.app, &deleted.version) {
                let _ = writeln!(
                    text,
                    "{would}{} {app} {version} ({}): {}",
                    verb("deleted", "delete"),
                    size(deleted.bytes),
                    deleted.why
                );
            }
        }
        for (kind, why, count, bytes) in self.groups() {
            let _ = writeln!(
                text,
                "{would}{} {count} {}{}: {why}",
                verb("deleted", "delete"),
                kind.several(),
                kind.size(bytes)
                    .map(|size| format!(" ({size})"))
                    .unwrap_or_default()
            );
        }
        if self.open_seals > 0 {
            let _ = writeln!(
                text,
                "{} old seals stay: no release is recorded of them, and the store does not tell whether a tag names them",
                self.open_seals
            );
        }
        for notice in &self.notices {
            let _ = writeln!(text, "warning: {}", safe_line(notice));
        }
        if self.retired.is_empty() && self.deleted.is_empty() {
            let _ = writeln!(text, "nothing is to be deleted; {}", self.staying());
        } else {
            let _ = writeln!(
                text,
                "{} {}; {}",
                size(self.bytes),
                if self.dry_run {
                    "would be deleted"
                } else {
                    "deleted"
                },
                self.staying()
            );
        }
        let reasons = self.reasons();
        for (why, count) in reasons.iter().take(TOLD_REASONS) {
            let _ = writeln!(text, "  {count} because {}", safe_line(why));
        }
        if let Some(more) = reasons
            .len()
            .checked_sub(TOLD_REASONS)
            .filter(|more| *more > 0)
        {
            let _ = writeln!(
                text,
                "  the others for {more} more reasons, which --format json tells"
            );
        }
        text
    }

    /// How many versions stay.
    fn staying(&self) -> String {
        match self.kept.len() {
            1 => "1 version stays".to_owned(),
            many => format!("{many} versions stay"),
        }
    }

    /// Why versions stay, and how many of them; the commonest reason first. Of several reasons of one version the first counts.
    fn reasons(&self) -> Vec<(&str, usize)> {
        let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        for kept in &self.kept {
            *counts.entry(kept.why.as_str()).or_default() += 1;
        }
        let mut reasons: Vec<(&str, usize)> = counts.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// As a table.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!(
            "## {}: {}\n\n",
            if self.dry_run {
                "gc would delete"
            } else {
                "gc deleted"
            },
            size(self.bytes)
        );
        if !self.kept.is_empty() {
            let _ = writeln!(text, "{}:\n", self.staying());
        }
        for (why, count) in self.reasons().into_iter().take(TOLD_REASONS) {
            let _ = writeln!(text, "- {count} because {}", safe_line(why));
        }
        text.push('\n');
        if self.retired.is_empty() && self.deleted.is_empty() {
            text.push_str("Nothing is to be deleted.\n\n");
            return text;
        }
        text.push_str("| what | how | bytes | why |\n| --- | --- | --- | --- |\n");
        for retired in &self.retired {
            let _ = writeln!(
                text,
                "| {} | retired in {} | | {} |",
                code(&format!("{} {}", retired.app, retired.version)),
                retired.environments.join(", "),
                retired.kept.as_deref().unwrap_or(&retired.why)
            );
        }
        for deleted in &self.deleted {
            if let (Some(app), Some(version)) = (&deleted.app, &deleted.version) {
                let what = code(&format!("{app} {version}"));
                let _ = writeln!(
                    text,
                    "| {what} | deleted | {} | {} |",
                    size(deleted.bytes),
                    deleted.why
                );
            }
        }
        for (kind, why, count, bytes) in self.groups() {
            let _ = writeln!(
                text,
                "| {count} {} | deleted | {} | {why} |",
                kind.several(),
                kind.size(bytes).unwrap_or_default()
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
    fn what_stays_is_told_with_why_and_how_much_of_it() {
        let kept = |why: &str| KeptVersion {
            app: "web".to_owned(),
            version: "1.0.0".to_owned(),
            why: why.to_owned(),
        };
        let check = |kept: Vec<KeptVersion>, expected: &str| {
            let collected = Collected {
                kept,
                dry_run: true,
                ..Collected::new()
            };
            assert_eq!(collected.text(), expected);
        };
        check(Vec::new(), "nothing is to be deleted; 0 versions stay\n");
        check(
            vec![
                kept("it is pinned in prod"),
                kept("it was recorded within 7 days"),
                kept("it was recorded within 7 days"),
            ],
            "nothing is to be deleted; 3 versions stay\n  2 because it was recorded within 7 days\n  1 because it is pinned in prod\n",
        );
        let many = (0..14).map(|index| kept(&format!("it is live in e{index:02}")));
        let collected = Collected {
            kept: many.collect(),
            ..Collected::new()
        };
        let text = collected.text();
        assert!(text.contains("  1 because it is live in e11\n"), "{text}");
        assert!(
            text.ends_with("  the others for 2 more reasons, which --format json tells\n"),
            "{text}"
        );
    }
}
