//! The seal: what bytes a release consists of, fixed before anything is decided. The first seal of a plan wins; later builders adopt it.

use serde::{Deserialize, Serialize};

use crate::explain::Failure;
use crate::name::Digest;
use crate::release::app;

/// The schema of [`Seal`].
pub const SCHEMA: &str = "pkgs.seal/1";

/// `seals/<base>/<plan digest>.json`. Nothing in it contains the id of the release commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    /// [`SCHEMA`].
    pub schema: String,
    /// The commit that was planned on.
    pub base: String,
    /// The whole plan (`pkgs.plan/1`), for people.
    pub plan: serde_json::Value,
    /// Its digest, `sha256:…`.
    pub plan_digest: String,
    /// What the release commit is made of.
    pub commit: SealedCommit,
    /// Names of the tags.
    pub tags: Vec<String>,
    /// npm tarballs.
    pub packages: Vec<SealedPackage>,
    /// Builds of apps.
    pub apps: Vec<SealedApp>,
}

/// What the release commit is made of; parent, identity and dates follow from the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCommit {
    /// The id of its tree.
    pub tree: String,
    /// Its message.
    pub message: String,
    /// The files that differ from the base.
    pub edits: Vec<SealedEdit>,
}

/// A file of the release commit that differs from the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedEdit {
    /// Its path in the repository.
    pub path: String,
    /// The digest of its new bytes in `blobs/`; absent when the file is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// An npm tarball of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedPackage {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The dist-tag it is published under.
    pub dist_tag: String,
    /// The tarball's `sha512-…`.
    pub integrity: String,
    /// The tarball's `sha256:…`, its name in `blobs/`.
    pub digest: String,
    /// The tarball's length in bytes.
    pub size: u64,
    /// The digest of what the registry is told of it; `None` where the tarball tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

impl SealedApp {
    /// Its archives in every encoding, the one that counts first.
    pub fn archives(&self) -> impl Iterator<Item = &crate::release::app::Archive> {
        self.archive.iter().chain(&self.alternatives)
    }

    /// The bytes that it names, as those of the app manifest that is made of it ([`AppManifest::blobs`](app::AppManifest::blobs)).
    ///
    /// # Errors
    /// That of [`Digest::parse`].
    pub fn blobs(&self) -> Result<Vec<Digest>, Failure> {
        app::named(
            self.archives(),
            self.files.as_ref(),
            self.static_files.as_ref(),
        )
    }
}

/// One build of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedApp {
    /// The app's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `any` or an environment.
    pub variant: String,
    /// The archive; a static app has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<crate::release::app::Archive>,
    /// The same tar in other encodings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<crate::release::app::Archive>,
    /// The static files; an app without `dist` has none.
    #[serde(rename = "static", skip_serializing_if = "Option::is_none")]
    pub static_files: Option<crate::release::app::StaticFiles>,
    /// The list of files in the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<crate::release::app::FileList>,
    /// What the app manifest will say about the build and the runtime.
    pub build: crate::release::app::Build,
    /// What a host must offer.
    pub runtime: crate::release::app::Runtime,
    /// How it is started and stopped.
    pub scripts: crate::release::app::Scripts,
}
