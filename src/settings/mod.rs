//! What we were asked.

pub mod config;
pub mod inputs;
pub mod runner;
