//! The static files of one build, and the class of each: when it may be written and how long a cache may keep it.

use serde::{Deserialize, Serialize};

use crate::explain::Failure;
use crate::name::Digest;

/// The schema of [`StaticSet`].
pub const SCHEMA: &str = "pkgs.static-set/1";

/// All static files of one build, in order of path; a document in `blobs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticSet {
    /// [`SCHEMA`].
    pub schema: String,
    /// The files.
    pub files: Vec<StaticFile>,
}

impl StaticSet {
    /// The bytes of its files.
    ///
    /// # Errors
    /// That of [`Digest::parse`].
    pub fn blobs(&self) -> Result<Vec<Digest>, Failure> {
        let files = self.files.iter();
        files.map(|file| Digest::parse(&file.digest)).collect()
    }
}

/// One static file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaticFile {
    /// Its path below `dist/`, which is its path below the static root.
    pub path: String,
    /// When it is laid out.
    pub class: Class,
    /// The digest of its bytes in `blobs/`.
    pub digest: String,
    /// Their length.
    pub size: u64,
    /// `Content-Type`.
    pub content_type: String,
    /// `Cache-Control`.
    pub cache_control: String,
    /// `Content-Encoding`: the file is a compressed copy of the one beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
}

/// The class of a static file; files are laid out in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Its name carries a hash of its bytes: it never changes.
    Immutable,
    /// It may change with any release.
    Mutable,
    /// A page: it names the files above.
    Html,
    /// It tells open pages that something new is there.
    Last,
}
