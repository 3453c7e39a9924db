//! The CDN in front of a static root: told which paths have changed.

use async_trait::async_trait;

use crate::explain::Failure;

/// A CDN that keeps copies of static files.
#[async_trait]
pub trait Cdn: Send + Sync {
    /// Makes `distribution` forget its copies of `paths` (each starts with `/`). Success means that the CDN has accepted it;
    /// telling it twice does no harm.
    ///
    /// # Errors
    /// Where it was not accepted.
    async fn invalidate(&self, distribution: &str, paths: &[String]) -> Result<(), Failure>;
}
