//! `apps/<app>/environments/<environment>/static.json`: which static set is fully laid out.

use serde::{Deserialize, Serialize};

/// The schema of [`Applied`].
pub const SCHEMA: &str = "pkgs.static/1";

/// What was laid out last, and who may still write there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// [`SCHEMA`].
    pub schema: String,
    /// The number of the entry that made it live.
    pub seq: u64,
    /// The version.
    pub version: String,
    /// The digest of its static set.
    pub digest: String,
    /// The static root, placeholders replaced.
    pub root: String,
    /// When, RFC 3339.
    pub at: String,
    /// When it was last found that an activation before this one was begun and not finished, RFC 3339: whoever made it may still write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
    /// Whether files were written since of which the CDN was not told yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
    /// The number of the entry whose files all lie there, too, and of which the CDN is being told, or could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits_cdn: Option<u64>,
}
