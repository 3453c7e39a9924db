//! Where bytes, manifests and pointers live: one contract, three stores.
//!
//! Only create-if-absent is needed for correctness. The contract test in `tests/it/store_contract.rs` runs against every store.

pub mod directory;
pub mod memory;
pub mod s3;

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::explain::Failure;
use crate::name::{Digest, Key};

/// What travels with an object besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// Our own metadata (`x-amz-meta-pkgs-<name>` on S3): lowercase names, printable ASCII values, in order of name.
    pub metadata: std::collections::BTreeMap<String, String>,
}

/// The bytes of an object to be written. Every body knows its digest and size before it leaves.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file that does not change while it is sent.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Its length in bytes.
        size: u64,
        /// Its digest.
        digest: Digest,
    },
}

/// What a create found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// Nothing was there; now our bytes are.
    New,
    /// Something is there already; nothing was changed. Whether it is ours only a look at it can tell.
    Exists,
}

/// What a look at an object tells without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its length in bytes.
    pub size: u64,
    /// What travels with it.
    pub headers: Headers,
}

/// What can go wrong, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may have happened: timeout, broken connection, 5xx, 409. Read back and compare before deciding anything.
    #[error("{0}")]
    Uncertain(Failure),
    /// It did not happen and trying again will not help.
    #[error("{0}")]
    Failed(Failure),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Uncertain(failure) | StoreError::Failed(failure) => failure,
        }
    }
}

/// A store. Reads are retried inside; writes are sent once, and the caller owns what follows.
#[async_trait]
pub trait Store: Send + Sync {
    /// The bytes of the object at `key`, `None` when there is none. An object longer than `limit` bytes is refused unread
    /// (`store::too_large`, exit 6).
    async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes the object at `key` to the new file `to` while counting and digesting; `None` when there is no object.
    /// More than `limit` bytes are refused, and what was written of them is removed.
    async fn fetch(&self, key: &Key, to: &Path, limit: u64) -> Result<Option<Digest>, StoreError>;

    /// Size and headers of the object at `key`, `None` when there is none.
    async fn head(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError>;

    /// Writes `body` to `key` if nothing is there. No reader ever sees a part of it, and of several racing creators exactly one
    /// gets [`Created::New`].
    async fn create(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
    ) -> Result<Created, StoreError>;

    /// Writes `body` to `key`, whatever is there. No reader ever sees a part of it.
    async fn replace(&self, key: &Key, body: &Body, headers: &Headers) -> Result<(), StoreError>;

    /// The keys that start with `prefix` and come after `after` (both compared as bytes), in byte order, all of them.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError>;

    /// Removes the object at `key`; success when there is none.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// The store as a person wrote it, without credentials: `s3://bucket/prefix` or `file:///dir`.
    fn describe(&self) -> String;
}
