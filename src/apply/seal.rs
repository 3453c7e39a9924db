//! SEAL: bytes by digest into the store, then the seal, create-once. Whoever reads a seal can read everything it names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;

use crate::apply::build::Packed;
use crate::apply::known::{Known, present};
use crate::apply::until_stopped;
use crate::explain::{Exit, Failure, quoted, size};
use crate::local::files;
use crate::local::progress::{Progress, Transfer, rate};
use crate::local::scratch::Scratch;
use crate::local::stop::Stop;
use crate::name::{CommitId, Digest, Key};
use crate::plan::next::SealName;
use crate::plan::release::Plan;
use crate::plan::render::PlanDocument;
use crate::release::seal::{SCHEMA, Seal, SealedCommit, SealedEdit, SealedPackage};
use crate::release::{LONGEST_DOCUMENT, from_bytes, layout, to_bytes};
use crate::remote::store::{
    Body, Headers, Once, Put, Store, create_once, is_renewed_after, put_blob,
};

/// A seal with the name that tags give it.
#[derive(Debug, Clone)]
pub struct Named {
    /// What it says.
    pub seal: Seal,
    /// Its key and digest.
    pub name: SealName,
}

/// The seal of a plan, if there is one: it is adopted before anything is built. One that has waited for long is written once more: `gc` takes a
/// seal without a decision for forgotten after a while, and whoever adopts one is about to decide it. `now` is in seconds since 1970.
pub async fn adopt(
    store: &dyn Store,
    base: &CommitId,
    plan: &Digest,
    now: i64,
) -> Result<Option<Named>, Failure> {
    let key = layout::seal(base, plan);
    let Some(bytes) = store.get(&key, LONGEST_DOCUMENT).await? else {
        return Ok(None);
    };
    let modified = store.head(&key).await?.and_then(|info| info.modified);
    if is_renewed_after(modified, now) {
        let body = Body::Bytes(bytes.clone());
        store.replace(&key, &body, &Headers::json()).await?;
    }
    Ok(Some(Named {
        seal: from_bytes(SCHEMA, key.as_str(), &bytes)?,
        name: SealName {
            key: key.to_string(),
            digest: Digest::of(&bytes),
        },
    }))
}

/// Reads the seal that a tag names.
///
/// # Errors
/// `seal::missing` and `seal::changed`, exit 6: a decided release must find its seal.
pub async fn read(store: &dyn Store, name: &SealName) -> Result<Named, Failure> {
    let key = Key::parse(&name.key)?;
    let Some(bytes) = store.get(&key, LONGEST_DOCUMENT).await? else {
        return Err(Failure::new(Exit::Integrity, "seal::missing", format!("the seal {key} is not in {}", store.describe())).because("a tag of the release names it").hint("check that `store` is the store the release was made with; if it is lost, the release cannot be finished"));
    };
    if Digest::of(&bytes) != name.digest {
        return Err(Failure::new(
            Exit::Integrity,
            "seal::changed",
            format!("the seal {key} has other bytes than the tags say"),
        )
        .hint("somebody wrote into the store: find out who before anything is released"));
    }
    Ok(Named {
        seal: from_bytes(SCHEMA, key.as_str(), &bytes)?,
        name: name.clone(),
    })
}

/// What a release consists of, as a seal.
pub fn describe(plan: &Plan, document: &PlanDocument, tree: String, packed: &Packed) -> Seal {
    let dist_tags = |name: &crate::name::PackageName| {
        plan.packages
            .iter()
            .find(|package| package.name == *name)
            .and_then(|package| package.dist_tag.clone())
            .unwrap_or_else(|| "latest".to_owned())
    };
    Seal {
        schema: SCHEMA.to_owned(),
        base: plan.head.to_string(),
        plan: serde_json::to_value(document)
            .unwrap_or_else(|error| unreachable!("wire types always serialize: {error}")),
        plan_digest: document.digest.clone(),
        commit: SealedCommit {
            tree,
            message: plan.message.clone(),
            edits: plan
                .edits
                .iter()
                .map(|(path, text)| SealedEdit {
                    path: path.to_string(),
                    digest: text
                        .as_ref()
                        .map(|text| Digest::of(text.as_bytes()).to_string()),
                })
                .collect(),
        },
        tags: plan.tags.iter().map(ToString::to_string).collect(),
        packages: packed
            .packages
            .iter()
            .map(|package| SealedPackage {
                name: package.name.to_string(),
                version: package.version.to_string(),
                dist_tag: dist_tags(&package.name),
                integrity: package.integrity.to_string(),
                digest: package.digest.to_string(),
                size: package.size,
                manifest: package.manifest_digest.as_ref().map(ToString::to_string),
            })
            .collect(),
        apps: packed.apps.clone(),
    }
}

/// How a seal is written.
pub struct Sealing<'a> {
    /// How many requests run side by side.
    pub concurrency: usize,
    /// Asked before each request.
    pub stop: &'a Stop,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// What sealing sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// What was not there.
    pub sent: Transfer,
    /// How long that took.
    pub took: Duration,
    /// What was there.
    pub there: Transfer,
}

/// For people; nothing where there was nothing to send.
impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sent { sent, took, there } = self;
        let bytes = size(sent.bytes);
        match sent.objects {
            0 => f.write_str("nothing to send")?,
            count => {
                let speed = rate(sent.bytes, *took);
                write!(
                    f,
                    "sent {count} objects, {bytes} in {:.1} s ({speed})",
                    took.as_secs_f64()
                )?;
            }
        }
        match there.objects {
            0 => Ok(()),
            count => write!(f, "; {count}, {}, were there", size(there.bytes)),
        }
    }
}

/// Below this it costs more to look for what earlier versions name than to send it.
const WORTH_A_LOOK: usize = 40;

/// Uploads everything that `seal` names, then the seal. Where another run was first, its seal is what counts. Tells whether ours was written, and what
/// was sent.
pub async fn seal(
    store: &dyn Store,
    seal: &Seal,
    plan: &Plan,
    packed: &Packed,
    sealing: &Sealing<'_>,
) -> Result<(Named, bool, Sent), Failure> {
    let edits = plan.edits.iter().filter_map(|(_, text)| {
        let bytes = text.as_ref()?.as_bytes();
        Some((Digest::of(bytes), Source::Bytes(bytes.to_vec())))
    });
    let files = packed
        .blobs
        .iter()
        .map(|(digest, path)| (digest.clone(), Source::File(path.clone())));
    // Two packages may say the same of themselves.
    let blobs: BTreeMap<Digest, Source> = edits.chain(files).collect();
    let known = if blobs.len() < WORTH_A_LOOK {
        Known::default()
    } else {
        Known::look(store, &seal.apps).await?
    };
    let naming = put_seal(store, seal, plan);
    let ((named, ours), sent) = put_all(store, blobs, &known, sealing, naming).await?;
    Ok((named, ours, sent))
}

/// Writes bytes, each below its digest, then what names them.
async fn put_all<T>(
    store: &dyn Store,
    blobs: BTreeMap<Digest, Source>,
    known: &Known,
    sealing: &Sealing<'_>,
    naming: impl Future<Output = Result<T, Failure>>,
) -> Result<(T, Sent), Failure> {
    let Sealing {
        concurrency,
        stop,
        now,
    } = *sealing;
    let mut bodies = Vec::with_capacity(blobs.len());
    for (digest, source) in blobs {
        let body = source.body(&digest)?;
        bodies.push((digest, body));
    }
    let (held, missing) = split(store, bodies, known, concurrency).await?;
    let there = Mutex::new(transfer(&held));
    let progress = Progress::start("sealing", transfer(&missing));
    let renewed = Mutex::new(Vec::new());
    // Once the run is to stop no upload begins; those that are on their way may end.
    let missing_yet = missing.iter().take_while(|_| stop.requested().is_none());
    let uploads = futures_util::stream::iter(missing_yet.map(Ok::<_, Failure>));
    let uploads = uploads.try_for_each_concurrent(concurrency, |(digest, body)| {
        let (progress, renewed, there) = (&progress, &renewed, &there);
        async move {
            let share = progress.share(body.size());
            let put = put_blob(store, digest, &body.clone().told_to(&share), now).await?;
            share.finish();
            match put {
                Put::Created => {}
                Put::Same => {
                    let mut there = there.lock().unwrap_or_else(PoisonError::into_inner);
                    there.objects += 1;
                    there.bytes += body.size();
                }
                Put::Renewed => {
                    let mut renewed = renewed.lock().unwrap_or_else(PoisonError::into_inner);
                    renewed.push((digest, body));
                }
            }
            Ok(())
        }
    });
    let uploaded = until_stopped(store, stop, uploads).await;
    let took = progress.end();
    uploaded?;
    stop.check()?;
    let named = naming.await?;
    // A `gc` that looked right before these were renewed may have deleted them right after; from now on it finds their names.
    let renewed = renewed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let given_up = if held.is_empty() || known.is_current(store).await? {
        &[]
    } else {
        held.as_slice()
    };
    let again = given_up.iter().map(|(digest, body)| (digest, body));
    for (digest, body) in again.chain(renewed) {
        stop.check()?;
        put_blob(store, digest, body, now).await?;
    }
    let there = there.into_inner().unwrap_or_else(PoisonError::into_inner);
    let all = transfer(&missing);
    let before = transfer(&held);
    let sent = Transfer {
        objects: all.objects + before.objects - there.objects,
        bytes: all.bytes + before.bytes - there.bytes,
    };
    Ok((named, Sent { sent, took, there }))
}

type Bodies = Vec<(Digest, Body)>;

/// What the store holds by the lists of earlier versions and at a look, and what is to be sent. A look costs less than to send what is there; what somebody
/// took away is sent again.
async fn split(
    store: &dyn Store,
    bodies: Bodies,
    known: &Known,
    concurrency: usize,
) -> Result<(Bodies, Bodies), Failure> {
    let (named, mut missing): (Bodies, Bodies) = bodies
        .into_iter()
        .partition(|(digest, _)| known.holds(digest));
    let sizes = named
        .iter()
        .map(|(digest, body)| (digest.clone(), body.size()));
    let there = present(store, sizes.collect(), concurrency).await?;
    let (there, gone): (Bodies, Bodies) = named
        .into_iter()
        .partition(|(digest, _)| there.contains(digest));
    missing.extend(gone);
    Ok((there, missing))
}

fn transfer(bodies: &[(Digest, Body)]) -> Transfer {
    Transfer {
        objects: bodies.len() as u64,
        bytes: bodies.iter().map(|(_, body)| body.size()).sum(),
    }
}

/// Writes the seal, create-once; tells whether ours was written.
async fn put_seal(store: &dyn Store, seal: &Seal, plan: &Plan) -> Result<(Named, bool), Failure> {
    let key = layout::seal(&plan.head, &Digest::parse(&seal.plan_digest)?);
    let bytes = to_bytes(seal);
    match create_once(store, &key, &bytes, &Headers::json()).await? {
        Once::Created | Once::Same => Ok((
            Named {
                seal: seal.clone(),
                name: SealName {
                    key: key.to_string(),
                    digest: Digest::of(&bytes),
                },
            },
            true,
        )),
        Once::Other(theirs) => {
            tracing::info!("another run sealed this plan first; its bytes are released");
            Ok((
                Named {
                    seal: from_bytes(SCHEMA, key.as_str(), &theirs)?,
                    name: SealName {
                        key: key.to_string(),
                        digest: Digest::of(&theirs),
                    },
                },
                false,
            ))
        }
    }
}

/// Copies the archives of a decided release to the names under which people look for them. They are copies for people: the blobs are what counts.
/// Before the decision it could not be known whose bytes a version will name.
pub async fn name_archives(
    store: &dyn Store,
    seal: &Seal,
    packed: Option<&Packed>,
    stop: &Stop,
) -> Result<(), Failure> {
    for app in &seal.apps {
        for archive in app.archives() {
            stop.check()?;
            let key = layout::archive(
                &crate::name::PackageName::parse(&app.name)?,
                &crate::version::Version::parse(&app.version)?,
                &crate::name::Variant::parse(&app.variant)?,
                archive.known_encoding()?,
            );
            // A create tells as well whether it is there; a look is worth its while where the bytes would have to be fetched first.
            if packed.is_some() || store.head(&key).await?.is_none() {
                name_archive(store, &key, archive, packed).await?;
            }
        }
    }
    Ok(())
}

async fn name_archive(
    store: &dyn Store,
    key: &Key,
    archive: &crate::release::app::Archive,
    packed: Option<&Packed>,
) -> Result<(), Failure> {
    let digest = Digest::parse(&archive.digest)?;
    let local = packed.and_then(|packed| packed.blobs.get(&digest));
    let directory = Scratch::new()?;
    let path = match local {
        Some(path) => path.clone(),
        None => fetched(store, &digest, archive.size, directory.path()).await?,
    };
    let headers = Headers {
        content_type: Some(archive.known_encoding()?.content_type().to_owned()),
        ..Headers::default()
    };
    let body = Source::File(path).body(&digest)?;
    match store.create(key, &body, &headers).await {
        Ok(_) | Err(crate::remote::store::StoreError::Uncertain(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A blob as a file in `directory`, checked against its digest.
async fn fetched(
    store: &dyn Store,
    digest: &Digest,
    size: u64,
    directory: &std::path::Path,
) -> Result<std::path::PathBuf, Failure> {
    let key = layout::blob(digest);
    let path = directory.join("archive");
    match store.fetch(&key, &path, size).await? {
        Some(found) if found == *digest => Ok(path),
        Some(_) => Err(lost(store, &key, "has other bytes than its name says")),
        None => Err(lost(store, &key, "is missing")),
    }
}

fn lost(store: &dyn Store, key: &Key, why: &str) -> Failure {
    Failure::new(
        Exit::Integrity,
        "seal::blob",
        format!("{key} in {} {why}", store.describe()),
    )
    .hint("the release cannot be finished without it: restore it from a backup")
}

enum Source {
    Bytes(Vec<u8>),
    File(std::path::PathBuf),
}

impl Source {
    fn body(self, digest: &Digest) -> Result<Body, Failure> {
        match self {
            Source::Bytes(bytes) => Ok(Body::Bytes(bytes)),
            Source::File(path) => {
                let size = std::fs::metadata(&path)
                    .map_err(|error| {
                        Failure::new(
                            Exit::Temporary,
                            "seal::read",
                            format!("{} could not be read", quoted(&path.display().to_string())),
                        )
                        .because(error)
                    })?
                    .len();
                Ok(Body::File {
                    path,
                    size,
                    digest: digest.clone(),
                    share: None,
                })
            }
        }
    }
}

/// The bytes of a blob, checked against its digest.
///
/// # Errors
/// `seal::blob`, exit 6, when it is missing or has other bytes.
pub async fn blob(store: &dyn Store, digest: &Digest, limit: u64) -> Result<Vec<u8>, Failure> {
    let key = layout::blob(digest);
    let bytes = store
        .get(&key, limit)
        .await?
        .ok_or_else(|| lost(store, &key, "is missing"))?;
    if Digest::of(&bytes) != *digest {
        return Err(lost(store, &key, "has other bytes than its name says"));
    }
    Ok(bytes)
}

/// Makes sure that the store belongs to this repository: the first release writes whose it is.
pub async fn claim(store: &dyn Store, repository: &str, write: bool) -> Result<(), Failure> {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Owner {
        schema: String,
        repository: String,
    }
    let bytes = to_bytes(&Owner {
        schema: "pkgs.repository/1".to_owned(),
        repository: repository.to_owned(),
    });
    let theirs = match store.get(&layout::repository(), LONGEST_DOCUMENT).await? {
        Some(theirs) => theirs,
        None if !write => return Ok(()),
        None => match create_once(store, &layout::repository(), &bytes, &Headers::json()).await? {
            Once::Created | Once::Same => return Ok(()),
            Once::Other(theirs) => theirs,
        },
    };
    let owner: Owner = from_bytes("pkgs.repository/1", layout::repository().as_str(), &theirs)?;
    // Forges do not tell large letters from small ones.
    if owner.repository.eq_ignore_ascii_case(repository) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        "store::other_repository",
        format!(
            "{} belongs to {}, not to {repository}",
            store.describe(),
            quoted(&owner.repository)
        ),
    )
    .because("two repositories on one prefix would mix their releases")
    .hint("give each repository a prefix of its own: s3://bucket/<repository>"))
}

/// The bytes of a blob that was built on this machine; `None` when it was not.
pub fn local_bytes(
    packed: &Packed,
    digest: &Digest,
    limit: u64,
) -> Option<Result<Vec<u8>, Failure>> {
    packed
        .blobs
        .get(digest)
        .map(|path| files::read_bounded(path, limit))
}

/// Seals bytes as a release does, for tests.
#[cfg(test)]
pub(crate) async fn put_and_name(
    store: &dyn Store,
    bytes: &[u8],
    now: i64,
    naming: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let sealing = Sealing {
        concurrency: 1,
        stop: &Stop::default(),
        now,
    };
    let blobs = BTreeMap::from([(Digest::of(bytes), Source::Bytes(bytes.to_vec()))]);
    let known = Known::default();
    put_all(store, blobs, &known, &sealing, naming)
        .await
        .map(|_| ())
}
