//! Lists of static files, as they are stored.

use std::collections::BTreeSet;

use crate::explain::{Exit, Failure, quoted};
use crate::name::{Digest, Key};
use crate::release::static_set::{self, StaticSet};
use crate::release::{self, LONGEST_DOCUMENT, layout};
use crate::remote::store::Store;

/// The static set with this digest, `None` when the store does not have it.
///
/// # Errors
/// `static::set`, exit 6, when it is not what its digest says.
pub async fn read_set(store: &dyn Store, digest: &Digest) -> Result<Option<StaticSet>, Failure> {
    let key = layout::blob(digest);
    let Some(bytes) = store.get(&key, LONGEST_DOCUMENT).await? else {
        return Ok(None);
    };
    let refuse = |why: String| {
        Failure::new(
            Exit::Integrity,
            "static::set",
            format!("{key} is not a list of static files"),
        )
        .because(why)
    };
    let found = Digest::of(&bytes);
    if found != *digest {
        return Err(refuse(format!("its bytes have {found}")));
    }
    let set: StaticSet = release::from_bytes(static_set::SCHEMA, key.as_str(), &bytes)?;
    check_set(&set).map_err(refuse)?;
    Ok(Some(set))
}

/// Whether a list of static files can be laid out: paths that are keys, each once, digests, and headers of one line.
///
/// # Errors
/// Why it cannot.
pub fn check_set(set: &StaticSet) -> Result<(), String> {
    let mut paths = BTreeSet::new();
    for file in &set.files {
        Key::parse(&file.path).map_err(|failure| failure.to_string())?;
        Digest::parse(&file.digest).map_err(|failure| failure.to_string())?;
        if !paths.insert(&file.path) {
            return Err(format!("it names {} twice", quoted(&file.path)));
        }
        let headers = [
            Some(&file.content_type),
            Some(&file.cache_control),
            file.content_encoding.as_ref(),
        ];
        let is_header = |text: &&String| {
            !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        if !headers.iter().flatten().all(is_header) {
            return Err(format!("{} has no proper headers", quoted(&file.path)));
        }
    }
    Ok(())
}
