//! One story a page.

pub mod environments;
pub mod pack;
pub mod plan;
pub mod pull;
pub mod rehearse;
pub mod release;
