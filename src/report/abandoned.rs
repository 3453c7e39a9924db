//! What `abandon` gave up, as text and as `pkgs.abandoned/1`.

use serde::Serialize;

/// The schema of [`Abandoned`].
pub const SCHEMA: &str = "pkgs.abandoned/1";

/// A release that was given up.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Abandoned {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Whether it was given up before.
    pub already: bool,
    /// Its id.
    pub id: String,
    /// Its commit.
    pub commit: String,
    /// Its tags, which keep their versions.
    pub tags: Vec<String>,
    /// Why it was given up.
    pub reason: Option<String>,
}

impl Abandoned {
    /// For a person.
    pub fn text(&self) -> String {
        let (id, tags) = (&self.id, self.tags.join(", "));
        let did = match (self.dry_run, self.already) {
            (true, false) => "dry run: nothing was written; this would be given up:",
            (false, false) => "gave up",
            (_, true) => "already given up:",
        };
        format!(
            "{did} {id} ({tags})\nits versions stay taken; the next release contains its packages at higher ones\n"
        )
    }

    /// What the steps after it get.
    pub fn outputs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("release-id", self.id.clone()),
            ("commit", self.commit.clone()),
            ("tags", serde_json::json!(self.tags).to_string()),
        ]
    }
}
