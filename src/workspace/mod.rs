//! What is there.

pub mod graph;
pub mod json;
pub mod lockfile;
pub mod members;
pub mod pack_list;
pub mod package;
pub mod package_json;
pub mod production;
