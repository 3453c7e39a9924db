//! What is stored: keys, seals, manifests. Every type here is a wire type with its own `schema`; unknown fields are ignored, fields are only ever added.

pub mod app;
pub mod host;
pub mod layout;
pub mod manifest;
pub mod pack;
pub mod provenance;
pub mod seal;
pub mod static_set;
pub mod static_state;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::explain::{Exit, Failure};

/// A day, in seconds.
pub const DAY: i64 = 86_400;

/// How long what nothing names stays, in seconds. Whoever is about to name what is older than half of it writes it once more first.
pub const GRACE: i64 = 7 * DAY;

/// The longest stored JSON document that is read, in bytes.
pub const LONGEST_DOCUMENT: u64 = 32 << 20;

/// A stored document as the bytes that are written and digested: JSON with two-space indentation and a final line break.
pub fn to_bytes<T: Serialize>(document: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document)
        .unwrap_or_else(|error| unreachable!("wire types always serialize: {error}"));
    bytes.push(b'\n');
    bytes
}

/// Reads a stored document of the given `schema` from `bytes`; `key` says where they came from.
///
/// # Errors
/// `release::document`, exit 6, when the bytes are not such a document; a newer schema says so.
pub fn from_bytes<T: DeserializeOwned>(
    schema: &str,
    key: &str,
    bytes: &[u8],
) -> Result<T, Failure> {
    #[derive(serde::Deserialize)]
    struct Head {
        schema: String,
    }
    let refuse = |why: String| {
        Failure::new(
            Exit::Integrity,
            "release::document",
            format!("{key} is not a {schema} document"),
        )
        .because(why)
    };
    let head: Head = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
    if head.schema != schema {
        return Err(refuse(format!(
            "its schema is {}",
            crate::explain::quoted(&head.schema)
        ))
        .hint("a newer version of pkgs-action may have written it: update this one"));
    }
    serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))
}
