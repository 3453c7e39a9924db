//! The release manifest: the record that a release is complete, or was given up.

use serde::{Deserialize, Serialize};

/// The schema of [`ReleaseManifest`].
pub const SCHEMA: &str = "pkgs.release/1";

/// `releases/<release id>.json`; written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseManifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The release's id.
    pub id: String,
    /// How it ended.
    pub status: Status,
    /// The commit it was planned on.
    pub base: String,
    /// The release commit.
    pub commit: String,
    /// The branch it was released from.
    pub branch: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The key of its seal.
    pub seal: String,
    /// What is on npm.
    pub packages: Vec<RecordedPackage>,
    /// What environments can be pointed at.
    pub apps: Vec<RecordedApp>,
    /// The release before it on its branch.
    pub previous: Option<String>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything it names is where it says.
    Complete,
    /// It was given up; its tags hold the versions, but are no base.
    Abandoned,
}

/// A published package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its `sha512-…`.
    pub integrity: String,
    /// The registry it is on.
    pub registry: String,
}

/// A recorded app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedApp {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its builds.
    pub variants: Vec<String>,
}
