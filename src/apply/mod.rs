//! Doing it.

pub mod builds;
pub mod decide;
pub mod install;
pub mod outcome;
pub mod point;
pub mod publish;
pub mod record;
pub mod seal;
pub mod static_files;
#[cfg(test)]
pub(crate) mod trial;
