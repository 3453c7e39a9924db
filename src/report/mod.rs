//! What we tell.

pub mod failure;
pub mod log;
pub mod outputs;
pub mod summary;
