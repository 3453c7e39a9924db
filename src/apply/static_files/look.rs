//! Looking at every path before anything is written: what lies there, and whose it is.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};

use super::{Ground, LARGEST_IN_MEMORY, headers};
use crate::apply::point::Log;
use crate::explain::{Exit, Failure, quoted};
use crate::local::scratch::Scratch;
use crate::name::{Digest, Key};
use crate::release::static_set::{Class, StaticFile, StaticSet};
use crate::remote::store::{DIGEST, Store};

/// How many paths a failure names.
const SHOWN: usize = 5;

/// What one file needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Create,
    Replace,
}

/// What lies where a file belongs.
pub(super) enum Look {
    Fine(Need),
    Owned(String),
    OtherBytes,
}

impl Ground<'_> {
    /// What each file of `set` needs, in the set's order. What is the same in `settled`, by path, lies there.
    pub(super) async fn look_at_all(
        &self,
        root: &dyn Store,
        set: &StaticSet,
        settled: &BTreeMap<String, StaticFile>,
        resolved: &str,
    ) -> Result<Vec<Need>, Failure> {
        // Where an environment gets its first files, not each of them is looked for.
        let is_empty = settled.is_empty() && root.is_surely_empty().await?;
        let look = async |file: &StaticFile| match settled.get(&file.path) {
            Some(there) if there == file => Ok(Look::Fine(Need::Nothing)),
            _ if is_empty => Ok(Look::Fine(Need::Create)),
            _ => self.look(root, file).await,
        };
        let looks: Vec<_> = set.files.iter().map(look).collect();
        let mut looks = stream::iter(looks).buffered(self.concurrency.max(1));
        let (mut needs, mut owned, mut other) = (Vec::new(), Vec::new(), Vec::new());
        for file in &set.files {
            self.stop.check()?;
            let Some(look) = looks.next().await else {
                break;
            };
            match look? {
                Look::Fine(need) => needs.push(need),
                Look::Owned(by) => owned.push(format!("{} belongs to {by}", quoted(&file.path))),
                Look::OtherBytes => other.push(format!("{} has other bytes", quoted(&file.path))),
            }
        }
        if !other.is_empty() {
            return Err(immutable_changed(resolved, &other));
        }
        if !owned.is_empty() {
            return Err(self::owned(self.log, resolved, &owned));
        }
        Ok(needs)
    }

    /// What lies where `file` belongs.
    pub(super) async fn look(&self, root: &dyn Store, file: &StaticFile) -> Result<Look, Failure> {
        let key = Key::parse(&file.path)?;
        let Some(info) = root.head(&key).await? else {
            return Ok(Look::Fine(Need::Create));
        };
        let there = &info.headers.metadata;
        let is_immutable = file.class == Class::Immutable;
        let ours = (self.log.app.as_str(), self.log.environment.as_str());
        let owner = there.get("app").map(String::as_str);
        let tenant = there.get("environment").map(String::as_str);
        if owner.is_some_and(|owner| owner != ours.0) {
            return Ok(Look::Owned(format!(
                "the app {}",
                quoted(owner.unwrap_or_default())
            )));
        }
        if !is_immutable && tenant.is_some_and(|tenant| tenant != ours.1) {
            return Ok(Look::Owned(format!(
                "the environment {}",
                quoted(tenant.unwrap_or_default())
            )));
        }
        let digest = Digest::parse(&file.digest)?;
        let same_bytes = info.size == file.size
            && match there.get(DIGEST) {
                Some(hex) => hex == digest.hex(),
                // Laid out by other means: only its bytes can tell.
                None => self.has_bytes(root, &key, file, &digest).await?,
            };
        if is_immutable && !same_bytes {
            // A version in between may have laid it out as one that changes: that one belongs to its environment, and no browser keeps it.
            return Ok(match tenant {
                Some(tenant) if tenant == ours.1 => Look::Fine(Need::Replace),
                Some(tenant) => Look::Owned(format!("the environment {}", quoted(tenant))),
                None => Look::OtherBytes,
            });
        }
        let wanted = headers(file, self.log.app, None);
        let same_headers = info.headers.content_type == wanted.content_type
            && info.headers.cache_control == wanted.cache_control
            && info.headers.content_encoding == wanted.content_encoding
            && there.get(DIGEST) == wanted.metadata.get(DIGEST)
            && owner == Some(ours.0)
            && (is_immutable || tenant == Some(ours.1));
        Ok(Look::Fine(if same_bytes && same_headers {
            Need::Nothing
        } else {
            Need::Replace
        }))
    }

    async fn has_bytes(
        &self,
        root: &dyn Store,
        key: &Key,
        file: &StaticFile,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        let found = if file.size <= LARGEST_IN_MEMORY {
            let bytes = root.get(key, file.size).await?;
            bytes.map(|bytes| Digest::of(&bytes))
        } else {
            let directory = Scratch::new()?;
            root.fetch(key, &directory.path().join("file"), file.size)
                .await?
        };
        Ok(found.as_ref() == Some(digest))
    }
}

pub(super) fn owned(log: Log<'_>, root: &str, paths: &[String]) -> Failure {
    let failure = Failure::new(
        Exit::Refused,
        "static::owned",
        format!(
            "{} static files of {} in {} would overwrite those of others at {}",
            paths.len(),
            log.app,
            log.environment,
            quoted(root)
        ),
    )
    .hint("give each app and environment its own place: put {app} and {environment} into 'static'");
    paths.iter().take(SHOWN).fold(failure, Failure::because)
}

pub(super) fn immutable_changed(root: &str, paths: &[String]) -> Failure {
    let failure = Failure::new(
        Exit::Integrity,
        "static::immutable_changed",
        format!("immutable files at {} have other bytes", quoted(root)),
    )
    .hint("browsers keep such files for a year: give the changed file another name, or list it under 'mutable'");
    paths.iter().take(SHOWN).fold(failure, Failure::because)
}
