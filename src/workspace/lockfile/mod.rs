//! Lockfiles, edited without calling a package manager.

pub mod npm;
