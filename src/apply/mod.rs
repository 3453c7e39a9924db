//! Doing it.

pub mod decide;
pub mod install;
pub mod outcome;
pub mod point;
pub mod publish;
pub mod record;
pub mod seal;
