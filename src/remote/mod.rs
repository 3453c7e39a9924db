//! The network: asynchronous, retried, with credentials.

pub mod forge;
pub mod registry;
pub mod retry;
pub mod store;
