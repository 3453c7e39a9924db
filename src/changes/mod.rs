//! What changed, and why.

pub mod commit;
pub mod owner;
