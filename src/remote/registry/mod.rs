//! Where packages are published.

pub mod directory;
pub mod npm;
