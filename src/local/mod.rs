//! The disk and child processes: synchronous.

pub mod archive;
pub mod files;
pub mod git;
mod git_program;
pub mod hidden;
pub mod host;
pub mod installed;
mod lfs;
pub mod npm_package;
pub mod owner;
mod proc;
pub mod process;
pub mod progress;
pub mod push;
pub mod scratch;
pub mod source;
pub mod status;
pub mod stop;
pub mod terminal;
pub mod worktree;
