//! The CDN in front of a static root: told which paths have changed.

pub mod cloudfront;
pub mod command;

use std::sync::Arc;

use async_trait::async_trait;

use crate::environment::entry::CdnName;
use crate::explain::Failure;
use crate::name::{EnvironmentName, PackageName};

/// What a CDN is told.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The app whose files changed.
    pub app: &'a PackageName,
    /// Where they are live.
    pub environment: &'a EnvironmentName,
    /// The version that they are of.
    pub version: &'a str,
    /// The public address of the files, with a `/` at its end.
    pub url: Option<&'a str>,
    /// The paths of which copies may be old, as addresses have them: each starts with `/`. There is at least one.
    pub paths: &'a [String],
    /// The name of the change: the same name always stands for the same paths.
    pub reference: &'a str,
}

/// A CDN that keeps copies of static files and can be told.
#[async_trait]
pub trait Cdn: Send + Sync {
    /// Makes it forget its copies. Success means that it has accepted that; telling it twice does no harm.
    ///
    /// # Errors
    /// Where it was not accepted.
    async fn tell(&self, change: &Change<'_>) -> Result<(), Failure>;

    /// Why it could not be looked at when it was opened; `None` where it was, or there is nothing to look at.
    fn unseen(&self) -> Option<&str> {
        None
    }
}

/// Opens the CDN in front of a static root.
#[async_trait]
pub trait OpenCdn: Send + Sync {
    /// The one that is named so, ready to be told; `None` where nothing here can tell it.
    ///
    /// # Errors
    /// Where it is known already that it could not be told; nothing has been written.
    async fn open(&self, name: &CdnName) -> Result<Option<Arc<dyn Cdn>>, Failure>;
}
