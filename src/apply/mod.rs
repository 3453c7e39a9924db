//! Doing it: the only interpreter of what was decided. Every write is looked at first, and read back when its answer is lost.

pub mod artifacts;
pub mod attest;
pub mod build;
pub mod builds;
pub mod clock;
pub mod decide;
pub mod deltas;
pub mod install;
pub mod npm_rollback;
pub mod outcome;
pub mod point;
pub mod publish;
pub mod record;
pub mod seal;
pub mod static_files;
#[cfg(test)]
pub(crate) mod trial;

use std::sync::Arc;

use crate::remote::forge::github::GitHub;
use crate::remote::registry::by_package::ByPackage;
use crate::remote::sigstore::Sigstore;
use crate::remote::store::Store;

/// Everything outside that a release speaks to, but for git.
#[derive(Clone)]
pub struct Remotes {
    /// Archives, manifests, pointers; `None`: releases versions only.
    pub store: Option<Arc<dyn Store>>,
    /// npm.
    pub registry: Arc<ByPackage>,
    /// Signs where packages were built; `None`: the job has no identity for that.
    pub signer: Option<Arc<Sigstore>>,
    /// The forge.
    pub forge: Option<Arc<GitHub>>,
    /// Opens the directories and buckets from which static files are served.
    pub static_roots: Arc<dyn static_files::OpenRoot>,
}
