//! The pointer log of an environment.

pub mod entry;
pub mod target;
