//! The network: asynchronous, retried, with credentials.

mod disk;
pub mod forge;
pub mod registry;
pub mod retry;
pub mod store;
