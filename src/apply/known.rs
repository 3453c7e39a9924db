//! Bytes that need not be sent: a version that no environment has given up names them, so the store holds them.
//!
//! `gc` deletes a version's bytes a day after every environment gave the version up, and not while anything else names them. What was not given up
//! before a seal is written and is not given up after it is there for as long as the seal names it. Whoever
//! relies on it looks whether it is there all the same.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::apply::builds;
use crate::apply::point::{Log, environments_of};
use crate::apply::static_files::read_set;
use crate::explain::Failure;
use crate::name::{Digest, Key, PackageName, Variant};
use crate::release::seal::SealedApp;
use crate::release::{LONGEST_DOCUMENT, layout};
use crate::remote::store::Store;
use crate::version::Version;

/// What earlier versions name.
#[derive(Debug, Clone, Default)]
pub struct Known {
    digests: BTreeSet<Digest>,
    /// The versions that name it.
    by: Vec<(PackageName, Version)>,
}

impl Known {
    /// What the version before each of `apps` names, as far as no environment has given that version up. A version whose documents cannot be read names
    /// nothing, and neither does one whose documents the store does not give.
    ///
    /// # Errors
    /// Those of the store where it tells which versions there are, and which of them are given up.
    pub async fn look(store: &dyn Store, apps: &[SealedApp]) -> Result<Known, Failure> {
        let mut known = Known::default();
        let mut seen = BTreeSet::new();
        for app in apps {
            let (name, version) = (
                PackageName::parse(&app.name)?,
                Version::parse(&app.version)?,
            );
            if !seen.insert(name.clone()) {
                continue;
            }
            let recorded = builds::versions(store, &name).await?;
            let earlier = recorded.iter().map(|(recorded, _)| recorded);
            let Some(before) = earlier.filter(|recorded| **recorded < version).max() else {
                continue;
            };
            if is_given_up(store, &name, before).await? {
                continue;
            }
            let variants = recorded.iter().filter(|(recorded, _)| recorded == before);
            let variants = variants.map(|(_, variant)| variant);
            match named(store, &name, before, variants).await {
                Ok(digests) => known.digests.extend(digests),
                Err(failure) => {
                    tracing::warn!(
                        "everything of {name} is sent: what {before} names is not known: {failure}"
                    );
                    continue;
                }
            }
            known.by.push((name, before.clone()));
        }
        Ok(known)
    }

    /// Whether the store holds these bytes.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }

    /// Whether all of it is still held: no environment has given one of the versions up since.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_current(&self, store: &dyn Store) -> Result<bool, Failure> {
        for (app, version) in &self.by {
            if is_given_up(store, app, version).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Of how many bytes on one shelf it costs less to list the shelf than to look at each.
const WORTH_A_LIST: usize = 2;

/// Which of these bytes the store holds in this length. Shelves of which more than one is asked for are listed whole: of a version with thousands
/// of files that is one request for some dozens of them.
///
/// # Errors
/// Those of the store.
pub async fn present(
    store: &dyn Store,
    sizes: Vec<(Digest, u64)>,
    concurrency: usize,
) -> Result<BTreeSet<Digest>, Failure> {
    let mut shelves: BTreeMap<String, Vec<(Digest, Key, u64)>> = BTreeMap::new();
    for (digest, size) in sizes {
        let key = layout::blob(&digest);
        let shelf = layout::shelf_of(&key).unwrap_or_default().to_owned();
        shelves.entry(shelf).or_default().push((digest, key, size));
    }
    let looks: Vec<_> = shelves
        .into_iter()
        .map(|(shelf, asked)| on_shelf(store, shelf, asked))
        .collect();
    let looks = futures_util::stream::iter(looks).buffer_unordered(concurrency);
    looks.try_concat().await.map(BTreeSet::from_iter)
}

async fn on_shelf(
    store: &dyn Store,
    shelf: String,
    asked: Vec<(Digest, Key, u64)>,
) -> Result<Vec<Digest>, Failure> {
    let mut lie: BTreeMap<Key, u64> = BTreeMap::new();
    if asked.len() < WORTH_A_LIST {
        for (_, key, _) in &asked {
            let info = store.head(key).await?;
            lie.extend(info.map(|info| (key.clone(), info.size)));
        }
    } else {
        let listed = store.inventory(&shelf).await?;
        lie.extend(listed.into_iter().map(|one| (one.key, one.size)));
    }
    let there = asked
        .into_iter()
        .filter(|(_, key, size)| lie.get(key) == Some(size));
    Ok(there.map(|(digest, ..)| digest).collect())
}

async fn is_given_up(
    store: &dyn Store,
    app: &PackageName,
    version: &Version,
) -> Result<bool, Failure> {
    let version = version.to_string();
    for environment in environments_of(store, app).await? {
        let log = Log {
            store,
            app,
            environment: &environment,
        };
        let tip = log.tip().await?;
        if tip.is_some_and(|tip| tip.entry.state.retired.contains(&version)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The digests of all that these builds of a version consist of.
async fn named(
    store: &dyn Store,
    app: &PackageName,
    version: &Version,
    variants: impl Iterator<Item = &Variant>,
) -> Result<BTreeSet<Digest>, Failure> {
    let mut digests = BTreeSet::new();
    for variant in variants {
        let key = layout::app(app, version, variant);
        let Some(bytes) = store.get(&key, LONGEST_DOCUMENT).await? else {
            continue;
        };
        let manifest = builds::read(app, version, variant, key.as_str(), &bytes)?;
        digests.extend(manifest.blobs()?);
        if let Some(files) = &manifest.static_files
            && let Some(set) = read_set(store, &Digest::parse(&files.digest)?).await?
        {
            digests.extend(set.blobs()?);
        }
    }
    Ok(digests)
}
