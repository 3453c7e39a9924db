//! The map of the house. A room may use only the rooms above it; `tests/it/house.rs` keeps that.

pub mod explain;
pub mod name;
pub mod secret;
pub mod version;

pub mod apply;
pub mod changes;
pub mod commands;
pub mod environment;
pub mod local;
pub mod plan;
pub mod release;
pub mod remote;
pub mod report;
pub mod settings;
pub mod workspace;
