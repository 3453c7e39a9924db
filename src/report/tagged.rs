//! What `tag` made, as text and as `pkgs.tagged/1`.

use std::fmt::Write as _;

use serde::Serialize;

use crate::plan::baseline::Mark;
use crate::plan::release::Notice;

/// The schema of [`Tagged`].
pub const SCHEMA: &str = "pkgs.tagged/1";

/// The tags of what was released before.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tagged {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Whether they were only listed.
    pub dry_run: bool,
    /// The commit checked out.
    pub head: String,
    /// The tags.
    pub tags: Vec<TaggedVersion>,
    /// What a person should know.
    pub warnings: Vec<TaggedNotice>,
}

/// One tag.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaggedVersion {
    /// Its name.
    pub tag: String,
    /// The version that it marks.
    pub version: String,
    /// The packages whose version that is.
    pub packages: Vec<String>,
    /// The commit that it names.
    pub commit: String,
    /// Whether the registry says that the version was built from that commit.
    pub built_there: bool,
}

/// A warning.
#[derive(Debug, Clone, Serialize)]
pub struct TaggedNotice {
    /// Its code.
    pub code: &'static str,
    /// What it says.
    pub message: String,
}

impl Tagged {
    /// The report of these tags.
    pub fn new(head: &str, dry_run: bool, marks: &[Mark], notices: Vec<Notice>) -> Tagged {
        let tags = marks.iter().map(|mark| TaggedVersion {
            tag: mark.tag.to_string(),
            version: mark.version.to_string(),
            packages: mark.packages.iter().map(ToString::to_string).collect(),
            commit: mark.commit.to_string(),
            built_there: mark.built_there,
        });
        let warnings = notices.into_iter().map(|notice| TaggedNotice {
            code: notice.code,
            message: notice.message,
        });
        Tagged {
            schema: SCHEMA,
            dry_run,
            head: head.to_owned(),
            tags: tags.collect(),
            warnings: warnings.collect(),
        }
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for tag in &self.tags {
            let short = tag.commit.get(..7).unwrap_or(&tag.commit);
            let place = if tag.built_there {
                "the registry says that it was built there"
            } else {
                "the commit checked out"
            };
            let _ = writeln!(text, "{} at {short} ({place})", tag.tag);
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning[{}]: {}", warning.code, warning.message);
        }
        text.push_str(match (self.tags.is_empty(), self.dry_run) {
            (true, _) => "every version has its tag: nothing to do\n",
            (false, true) => "dry run: nothing was written\n",
            (false, false) => "from these tags on, `plan` says what changed\n",
        });
        text
    }

    /// What the steps after it get.
    pub fn outputs(&self) -> Vec<(&'static str, String)> {
        let tags: Vec<&str> = self.tags.iter().map(|tag| tag.tag.as_str()).collect();
        vec![("tags", serde_json::json!(tags).to_string())]
    }
}
