//! `pack.json`: what lies in a directory of tarballs and archives. `pack` writes it; with `artifacts`, `release` and `publish` read it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::release::seal::SealedApp;

/// The schema of [`Pack`].
pub const SCHEMA: &str = "pkgs.pack/1";

/// The name of the document in the directory.
pub const FILE: &str = "pack.json";

/// The directory of the bytes that have no name of their own, by digest.
pub const BLOBS: &str = "blobs";

/// What lies in a directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pack {
    /// [`SCHEMA`].
    pub schema: String,
    /// The commit that was checked out; outside a repository there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The digest of the plan whose versions were packed; `None`: what lies in the directory was packed as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// npm tarballs.
    pub packages: Vec<Tarball>,
    /// Builds of apps.
    pub apps: Vec<App>,
    /// What a person should know about them.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// An npm tarball.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tarball {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The tarball's name in the directory.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// The length of all files in it together, in bytes.
    pub unpacked_size: u64,
    /// Its sha512, as npm's `integrity`.
    pub integrity: String,
    /// Its sha1, in hexadecimal digits.
    pub shasum: String,
    /// The digest of the tar inside.
    pub tar_digest: String,
    /// Its files, in the tarball's order.
    pub files: Vec<TarballFile>,
    /// What a registry is told of it.
    pub manifest: Map<String, Value>,
    /// The digest of that among the bytes without a name; `None` where the tarball tells the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
}

/// A file in a tarball.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TarballFile {
    /// Its path inside the package.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
}

/// A build of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// What a seal says of it.
    #[serde(flatten)]
    pub sealed: SealedApp,
    /// The archive's name in the directory; a static app has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The names of the same archive in other encodings, in the order of `alternatives`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternative_files: Vec<String>,
    /// The archive's digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The digest of the tar inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tar_digest: Option<String>,
    /// How many entries the tar has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
}

/// What a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
}

/// The name of a package's tarball, as npm gives it: the scope without `@` and `/`.
///
/// ```
/// use pkgs_action::release::pack::tarball_name;
/// assert_eq!(tarball_name("core", "1.0.0"), "core-1.0.0.tgz");
/// assert_eq!(tarball_name("@acme/text", "1.0.0-beta.1"), "acme-text-1.0.0-beta.1.tgz");
/// ```
#[must_use]
pub fn tarball_name(package: &str, version: &str) -> String {
    let name = package.strip_prefix('@').unwrap_or(package);
    format!("{}-{version}.tgz", name.replace('/', "-"))
}
