//! The map of the house. A room may use only the rooms above it; `tests/it/house.rs` keeps that.
//!
//! An empty line between the rooms keeps rustfmt from sorting them.

pub mod explain;

pub mod secret;

pub mod name;

pub mod version;

pub mod settings;

pub mod workspace;

pub mod changes;

pub mod release;

pub mod environment;

pub mod plan;

pub mod local;

pub mod remote;

pub mod apply;

pub mod report;

pub mod commands;
