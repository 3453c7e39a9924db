//! What we were asked.

pub mod config;
pub mod inputs;
pub mod runner;

/// The registry that packages go to when nothing else is said. Tarball addresses that start with it are rewritten by npm to whatever
/// registry it was asked with (`replace-registry-host`, default `npmjs`).
pub const PUBLIC_REGISTRY: &str = "https://registry.npmjs.org/";
