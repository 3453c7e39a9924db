//! What we tell.

pub mod environments;
pub mod failure;
pub mod log;
pub mod outputs;
pub mod summary;
