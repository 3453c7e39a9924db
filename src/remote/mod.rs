//! The network: asynchronous, retried, with credentials.

#[cfg(test)]
mod canned;
pub mod cdn;
mod disk;
pub mod forge;
pub mod registry;
pub mod retry;
pub mod store;
