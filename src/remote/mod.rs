//! The network: asynchronous, retried, with credentials.

#[cfg(test)]
mod canned;
mod disk;
pub mod forge;
pub mod registry;
pub mod retry;
pub mod store;
