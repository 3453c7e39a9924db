//! What a rehearsal did: `pkgs.rehearsal/1`, and the same for people.

use std::fmt::Write as _;

use serde::Serialize;

use crate::plan::render::Missing;

/// The schema of [`Rehearsal`].
pub const SCHEMA: &str = "pkgs.rehearsal/1";

/// What a rehearsal did, as it is told.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The repository that was rehearsed.
    pub of: String,
    /// Where everything lies.
    pub directory: String,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// What the real thing would still need.
    pub missing: Vec<Missing>,
}

/// One thing that was done.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What.
    pub title: String,
    /// What it told.
    pub lines: Vec<String>,
}

impl Rehearsal {
    /// Adds a step.
    pub fn step(&mut self, title: impl Into<String>, lines: Vec<String>) {
        self.steps.push(Step {
            title: title.into(),
            lines,
        });
    }

    /// The rehearsal for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("rehearsal of {}\n", self.of);
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(text, "\n{}. {}", number + 1, step.title);
            for line in &step.lines {
                let _ = writeln!(text, "   {line}");
            }
        }
        let _ = writeln!(
            text,
            "\nlook around in {} (delete it when you are done)",
            self.directory
        );
        for (name, what) in [
            ("work", "the clone that was released"),
            ("origin.git", "the remote: commits and tags"),
            ("npm", "the registry, as files: what would be published"),
            ("store", "archives, manifests and pointer logs"),
            ("static", "static files as they would be served"),
        ] {
            let _ = writeln!(text, "  {name:10} {what}");
        }
        if self.missing.is_empty() {
            text.push_str("\nnothing is missing for the real thing\n");
        } else {
            text.push_str("\nmissing for the real thing\n");
            for Missing { what, hint } in &self.missing {
                let _ = writeln!(text, "  {what:10} {hint}");
            }
        }
        text
    }
}
