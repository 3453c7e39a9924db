//! What a host remembers of itself, and what it reports to the store.

use serde::{Deserialize, Serialize};

use crate::release::app::{Archive, Scripts};

/// The schema of [`HostState`].
pub const STATE_SCHEMA: &str = "pkgs.host-state/1";
/// The schema of [`Mark`].
pub const MARK_SCHEMA: &str = "pkgs.host-release/1";
/// The schema of [`KeptArchive`].
pub const KEPT_SCHEMA: &str = "pkgs.host-archive/1";
/// The schema of [`HostReport`].
pub const REPORT_SCHEMA: &str = "pkgs.host/1";

/// The name of a directory that was there before the first install, as a version and below `releases/`.
pub const BEFORE: &str = "before";

/// How far an install has come. Each is written down, and safe on the disk, before its step begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing was ever installed, or what came first had to go.
    #[default]
    Idle,
    /// The archive is on its way.
    Fetching,
    /// Its length and digest are right; it is being unpacked.
    Verified,
    /// It lies complete below `releases/`.
    Extracted,
    /// The old service is being stopped.
    Stopping,
    /// The old service stands still; `current` moves.
    Switched,
    /// The new service is being started.
    Starting,
    /// It is asked for its health.
    Probing,
    /// The way back: the new service is stopped, `current` moves back, the old one is started.
    GoingBack,
    /// What is installed is what runs.
    Committed,
}

impl Phase {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Fetching => "fetching",
            Phase::Verified => "verified",
            Phase::Extracted => "extracted",
            Phase::Stopping => "stopping",
            Phase::Switched => "switched",
            Phase::Starting => "starting",
            Phase::Probing => "probing",
            Phase::GoingBack => "going-back",
            Phase::Committed => "committed",
        }
    }
}

/// `.pkgs/state.json` of an app's directory on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostState {
    /// [`STATE_SCHEMA`].
    pub schema: String,
    /// How far the install in hand has come.
    pub state: Phase,
    /// The environment that this directory serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The highest number of a log entry that was ever acted on; a lower tip is refused.
    #[serde(default)]
    pub seen: u64,
    /// What was committed last: what runs, or is to run again when what comes fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Installed>,
    /// What is being installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coming: Option<Installed>,
    /// What was installed before [`HostState::installed`]; never pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Installed>,
    /// The process group started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Whether the processes of [`HostState::group`] were the service itself when it was committed, and had not gone into the background.
    #[serde(default)]
    pub foreground: bool,
    /// The log entry whose install was interrupted after the switch and taken back; the second time it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<u64>,
    /// Log entries that failed here, oldest first; none is tried again.
    #[serde(default)]
    pub failed: Vec<FailedEntry>,
}

/// A release on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Its version, or [`BEFORE`].
    pub version: String,
    /// The name of its directory below `releases/`.
    pub directory: String,
    /// The digest of its archive; [`BEFORE`] has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The newest log entry that named it.
    pub seq: u64,
    /// The log entry that made it current.
    pub since: u64,
}

/// A process group that this host started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its id, which is its first process's.
    pub id: u32,
    /// When that process was started, in clock ticks since the machine was; numbers of processes are given out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Which run of the machine it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// A log entry that failed on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedEntry {
    /// The log entry that made the version current.
    pub since: u64,
    /// The version.
    pub version: String,
    /// Why it failed.
    pub why: String,
    /// When, RFC 3339.
    pub at: String,
}

/// `.pkgs/releases/<directory>.json`: the directory `releases/<directory>` is complete, verified, and run like this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// [`MARK_SCHEMA`].
    pub schema: String,
    /// The app.
    pub app: String,
    /// Its version, or [`BEFORE`].
    pub version: String,
    /// The digest of the archive it was unpacked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The log entry it was last installed for; the newest ones are kept.
    pub seq: u64,
    /// How it is started, stopped and asked for its health.
    pub scripts: Scripts,
}

/// `.pkgs/cache/<tar digest>.json`: an archive beside it, kept because a delta may lead from it to the next release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptArchive {
    /// [`KEPT_SCHEMA`].
    pub schema: String,
    /// The version that it is of.
    pub version: String,
    /// The build of that version: `any` or an environment.
    pub variant: String,
    /// The digest of the archive that the build's manifest names.
    pub build: String,
    /// The archive as it lies here, which may be compressed otherwise.
    pub archive: Archive,
}

/// What one host reports about one app and environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// [`REPORT_SCHEMA`].
    pub schema: String,
    /// The host's name.
    pub host: String,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The log entry that this report is about.
    pub seq: u64,
    /// What runs on the host; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `installed`, `went-back`, `failed-before` or `failed`.
    pub state: String,
    /// Why the entry does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}
