//! What we shall do.

mod adopted;
pub mod asking;
pub mod baseline;
pub mod edits;
pub mod groups;
pub mod intents;
pub mod marks;
pub mod mode;
pub mod next;
pub mod notes;
pub mod npm_rollback;
pub mod pack;
pub mod promote;
pub mod provenance;
pub mod pull;
pub mod ranges;
pub mod registry;
pub mod release;
pub mod render;
pub mod replacements;
pub mod rollback;
pub mod static_files;
pub mod static_root;
pub mod trusted;
pub mod waves;
pub mod way;
pub mod why;
