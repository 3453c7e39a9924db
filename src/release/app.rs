//! The app manifest: one build of an app, and all that a host or a promote must know of it.

use serde::{Deserialize, Serialize};

use crate::explain::{Exit, Failure, quoted};
use crate::name::Digest;

/// The schema of [`AppManifest`].
pub const SCHEMA: &str = "pkgs.app/1";

/// `apps/<app>/<version>/<variant>.json`; written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppManifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The app's name.
    pub app: String,
    /// Its version.
    pub version: String,
    /// `any` or an environment.
    pub variant: String,
    /// The release it belongs to.
    pub release: String,
    /// Where it comes from.
    pub git: Git,
    /// How it was built.
    pub build: Build,
    /// What a host must offer.
    pub runtime: Runtime,
    /// The archive; a static app has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// The same tar in other encodings.
    #[serde(default)]
    pub alternatives: Vec<Archive>,
    /// The list of files in the archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileList>,
    /// The static files.
    #[serde(rename = "static", skip_serializing_if = "Option::is_none")]
    pub static_files: Option<StaticFiles>,
    /// How it is started, stopped and asked for its health.
    pub scripts: Scripts,
}

impl AppManifest {
    /// Its archives in every encoding, the one that counts first.
    pub fn archives(&self) -> impl Iterator<Item = &Archive> {
        self.archive.iter().chain(&self.alternatives)
    }

    /// The bytes that it names; those of the static files themselves are named by their set ([`blobs`](crate::release::static_set::StaticSet::blobs)).
    ///
    /// # Errors
    /// That of [`Digest::parse`].
    pub fn blobs(&self) -> Result<Vec<Digest>, Failure> {
        named(
            self.archives(),
            self.files.as_ref(),
            self.static_files.as_ref(),
        )
    }
}

/// The bytes that whatever describes a build names: what a release stores, what `gc` keeps, and what is not sent again is the same.
pub(super) fn named<'a>(
    archives: impl Iterator<Item = &'a Archive>,
    files: Option<&'a FileList>,
    static_files: Option<&'a StaticFiles>,
) -> Result<Vec<Digest>, Failure> {
    let archives = archives.map(|archive| &archive.digest);
    let lists = files.map(|list| &list.digest).into_iter();
    let sets = static_files.map(|set| &set.digest).into_iter();
    let digests = archives.chain(lists).chain(sets);
    digests.map(|digest| Digest::parse(digest)).collect()
}

/// Where a build comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Git {
    /// The repository as `owner/name`, or its remote's address.
    pub repository: String,
    /// The release commit.
    pub commit: String,
    /// The tag that names it.
    pub tag: String,
    /// The release commit's date, RFC 3339.
    pub committed_at: String,
}

/// How it was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// The workflow run, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// The build command, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The digest of the lockfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockfile_digest: Option<String>,
}

/// What a host must offer. Absent fields are not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// Node's version at the build, without `v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `process.versions.modules`; set only where native modules are inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules_abi: Option<String>,
    /// `linux`; set only where native modules are inside, as are the following.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// `x64`, `arm64`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// `glibc` or `musl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// The lowest glibc that has every symbol the native modules ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_glibc: Option<String>,
    /// `npm@11.6.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_manager: Option<String>,
}

/// An archive in `blobs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Digest of the archive as it is stored.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// `tar+zstd` or `tar+gzip`.
    pub encoding: String,
    /// Digest of the tar inside.
    pub tar_digest: String,
    /// The length of the tar inside, in bytes.
    pub tar_size: u64,
    /// How many entries the tar has.
    pub entries: u64,
}

/// How the tar of an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// One zstd frame.
    Zstd,
    /// One gzip member.
    Gzip,
}

impl Encoding {
    /// As manifests spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Zstd => "tar+zstd",
            Encoding::Gzip => "tar+gzip",
        }
    }

    /// What a manifest says; `None` for one that is not known here.
    ///
    /// ```
    /// use pkgs_action::release::app::Encoding;
    /// assert_eq!(Encoding::parse(Encoding::Gzip.as_str()), Some(Encoding::Gzip));
    /// assert_eq!(Encoding::parse("tar+brotli"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Encoding> {
        [Encoding::Zstd, Encoding::Gzip]
            .into_iter()
            .find(|encoding| encoding.as_str() == text)
    }

    /// How the names of such archives end.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Encoding::Zstd => "tar.zst",
            Encoding::Gzip => "tar.gz",
        }
    }

    /// The `Content-Type` of such archives.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Encoding::Zstd => "application/zstd",
            Encoding::Gzip => "application/gzip",
        }
    }
}

impl Archive {
    /// How its tar is compressed.
    ///
    /// # Errors
    /// `release::encoding`, exit 6, when that is not known here.
    pub fn known_encoding(&self) -> Result<Encoding, Failure> {
        Encoding::parse(&self.encoding).ok_or_else(|| {
            let what = format!(
                "archives of encoding {} are not known here",
                quoted(&self.encoding)
            );
            Failure::new(Exit::Integrity, "release::encoding", what)
                .because("a newer version of pkgs-action wrote it, or somebody else")
                .hint("use the version of pkgs-action that made the release, or a newer one")
        })
    }

    /// Whether `other` holds the same tar.
    #[must_use]
    pub fn is_same_tar(&self, other: &Archive) -> bool {
        (&self.tar_digest, self.tar_size, self.entries)
            == (&other.tar_digest, other.tar_size, other.entries)
    }
}

/// The list of files in an archive: a `pkgs.files/1` document in `blobs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList {
    /// Its digest.
    pub digest: String,
}

/// The static files of a build: a `pkgs.static-set/1` document in `blobs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticFiles {
    /// Its digest.
    pub digest: String,
    /// The static root as it was set, `{app}` and `{environment}` not replaced.
    pub root: String,
    /// How many files.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them are not immutable.
    pub mutable: u64,
}

/// How an app is started, stopped and asked for its health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scripts {
    /// Run through the shell to start it.
    pub start: String,
    /// Run through the shell to stop it.
    pub stop: String,
    /// The variable that tells the app its environment.
    pub environment_variable: String,
    /// The address that answers when it is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}
