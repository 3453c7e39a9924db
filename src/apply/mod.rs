//! Doing it: the only interpreter of what was decided. Every write is looked at first, and read back when its answer is lost.

pub mod artifacts;
pub mod attest;
pub mod build;
pub mod builds;
pub mod clock;
pub mod decide;
pub mod deltas;
pub mod install;
pub mod known;
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
use std::time::Duration;

use crate::explain::Failure;
use crate::local::stop::Stop;
use crate::remote::cdn::OpenCdn;
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
    /// Opens the CDNs in front of them.
    pub cdns: Arc<dyn OpenCdn>,
}

/// Uploads to a store run so many times as many side by side as other requests: each is small work for either end, and most of its time is the way.
pub const UPLOADS: usize = 4;

/// Runs `uploads` as [`unless_stopped`] does; whatever ended them, what `store` holds of those that were not completed is given back.
///
/// # Errors
/// Theirs, or that the run was interrupted.
pub async fn until_stopped<T>(
    store: &dyn Store,
    stop: &Stop,
    uploads: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let ended = unless_stopped(stop, uploads).await;
    if ended.is_err() {
        store.give_up().await;
    }
    ended
}

/// Runs `work`. Once the run is to stop it has a second to end, then it is dropped.
///
/// # Errors
/// Its own, or that the run was interrupted.
pub async fn unless_stopped<T>(
    stop: &Stop,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    const LAST: Duration = Duration::from_secs(1);
    let stopped = async {
        let interrupted = stop.wished().await;
        tokio::time::sleep(LAST).await;
        interrupted
    };
    tokio::select! {
        ended = work => ended,
        interrupted = stopped => Err(interrupted),
    }
}
