//! Where bytes, manifests and pointers live: one contract, three stores.
//!
//! Only create-if-absent is needed for correctness. The contract test in `tests/it/store_contract.rs` runs against every store.

pub mod check;
pub mod directory;
pub mod memory;
pub mod remembering;
pub mod s3;
pub mod until_known;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use url::Url;

use self::until_known::until_known;

use crate::explain::{Exit, Failure};
use crate::local::progress::Share;
use crate::name::{Digest, Key};
use crate::release::{GRACE, LONGEST_DOCUMENT, layout};
use crate::remote::disk::exit_of;
use crate::settings::Role;
use crate::settings::address::StoreAddress;

/// The name, in [`Headers::metadata`], of the digest of an object's bytes in hexadecimal, where whoever writes it says so.
pub const DIGEST: &str = "sha256";

/// What travels with an object besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// Our own metadata (`x-amz-meta-pkgs-<name>` on S3): lowercase names, printable ASCII values, in order of name.
    pub metadata: std::collections::BTreeMap<String, String>,
}

impl Headers {
    /// Those of a JSON document that is written once.
    #[must_use]
    pub fn json() -> Headers {
        Headers {
            content_type: Some("application/json".to_owned()),
            ..Headers::default()
        }
    }

    /// Those of a JSON document that is written over: no cache may keep it.
    #[must_use]
    pub fn changing_json() -> Headers {
        Headers {
            cache_control: Some("no-cache".to_owned()),
            ..Headers::json()
        }
    }

    /// Whether nothing travels with the object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Headers::default()
    }
}

/// The bytes of an object to be written. Every body knows its digest and size before it leaves.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file that does not change while it is sent.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Its length in bytes.
        size: u64,
        /// Its digest.
        digest: Digest,
        /// What is told of its bytes before all of it has arrived, where somebody listens.
        share: Option<Arc<Share>>,
    },
}

impl Body {
    /// The same, of whose bytes `share` is told while they travel. Only what takes long is told of.
    #[must_use]
    pub fn told_to(mut self, listener: &Arc<Share>) -> Body {
        if let Body::File { share, .. } = &mut self {
            *share = Some(Arc::clone(listener));
        }
        self
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { size, .. } => *size,
        }
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Body::Bytes(bytes) => Digest::of(bytes),
            Body::File { digest, .. } => digest.clone(),
        }
    }
}

/// What a create found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// Nothing was there; now our bytes are.
    New,
    /// Something is there already; nothing was changed. Whether it is ours only a look at it can tell.
    Exists,
}

/// What a look at an object tells without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its length in bytes.
    pub size: u64,
    /// What travels with it.
    pub headers: Headers,
    /// When it was last written, in seconds since 1970 by the store's clock; `None` where the store does not tell.
    pub modified: Option<i64>,
}

/// An object as a list tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
    /// As [`ObjectInfo::modified`].
    pub modified: Option<i64>,
}

/// An upload that was begun and is neither completed nor given back: nobody can read it, and the store holds what has arrived of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Where its object would lie.
    pub key: Key,
    /// What the store calls it; several may be under way to one key.
    pub id: String,
    /// When it was begun, in seconds since 1970 by the store's clock; `None` where the store does not tell.
    pub begun: Option<i64>,
}

/// What can go wrong, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may have happened: timeout, broken connection, 5xx, 409. Read back and compare before deciding anything.
    #[error("{0}")]
    Uncertain(Failure),
    /// It did not happen, or was tried until nothing could tell whether it did; trying again now will not help.
    #[error("{0}")]
    Failed(Failure),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Uncertain(failure) | StoreError::Failed(failure) => failure,
        }
    }
}

/// A store. Reads are retried inside; writes are sent once, and the caller owns what follows.
#[async_trait]
pub trait Store: Send + Sync {
    /// The bytes of the object at `key`, `None` when there is none. An object longer than `limit` bytes is refused unread
    /// (`store::too_large`, exit 6).
    async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes the object at `key` to the new file `to` while counting and digesting; `None` when there is no object.
    /// More than `limit` bytes are refused, and what was written of them is removed.
    async fn fetch(&self, key: &Key, to: &Path, limit: u64) -> Result<Option<Digest>, StoreError>;

    /// Size and headers of the object at `key`, `None` when there is none.
    async fn head(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError>;

    /// Writes `body` to `key` if nothing is there. No reader ever sees a part of it, and of several racing creators exactly one
    /// gets [`Created::New`].
    async fn create(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
    ) -> Result<Created, StoreError>;

    /// Writes `body` to `key`, whatever is there. No reader ever sees a part of it.
    async fn replace(&self, key: &Key, body: &Body, headers: &Headers) -> Result<(), StoreError>;

    /// The keys that start with `prefix` and come after `after` (both compared as bytes), in byte order, all of them.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError>;

    /// The objects whose keys start with `prefix`, in byte order, all of them, each with its length and when it was last written.
    async fn inventory(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Whether it is certain, for one request, that nothing lies there; `false` where finding out costs more.
    async fn is_surely_empty(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Removes the object at `key`; success when there is none.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// Removes the objects at `keys`, in whatever order and with as few requests as the store takes; success where there are none.
    async fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        for key in keys {
            self.delete(key).await?;
        }
        Ok(())
    }

    /// Gives back what the store holds of writes that were begun and given up half-way. To be called when no write runs any more.
    async fn give_up(&self) {}

    /// The uploads to keys that start with `prefix` that were begun and are not completed, whoever began them, in byte order of their keys, all of them.
    /// A store that writes every object at once has none.
    async fn unfinished(&self, _prefix: &str) -> Result<Vec<Unfinished>, StoreError> {
        Ok(Vec::new())
    }

    /// Gives back what the store holds of `upload`, which can then not be completed any more; success when there is no such upload.
    async fn give_back(&self, _upload: &Unfinished) -> Result<(), StoreError> {
        Ok(())
    }

    /// The store as a person wrote it, without credentials: `s3://bucket/prefix` or `file:///dir`.
    fn describe(&self) -> String;
}

/// How an `s3://` store is reached, beside its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    /// The server, for anything but AWS; then the bucket's name stands in the path, not in the host's name.
    pub endpoint: Option<Url>,
    /// The region; without it, what the usual AWS settings say.
    pub region: Option<String>,
    /// The role that the job assumes.
    pub role: Option<Role>,
}

/// Opens the store at `address` and looks into it once, so that a missing bucket, directory or credential is told before anything is done.
///
/// # Errors
/// `store::no_bucket`, `store::no_directory`, `store::credentials`, `store::region` (exit 2); `store::forbidden` (exit 5); `store::unreachable` (exit 75).
pub async fn open(address: &StoreAddress, options: &S3Options) -> Result<Arc<dyn Store>, Failure> {
    match address {
        StoreAddress::Directory(path) => Ok(Arc::new(directory::DirectoryStore::open(path)?)),
        StoreAddress::S3 { bucket, prefix } => {
            let store = s3::S3Store::connect(s3::S3Settings {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                endpoint: options.endpoint.clone(),
                region: options.region.clone(),
                role: options.role.clone(),
            })
            .await?;
            store.look().await?;
            Ok(Arc::new(store))
        }
    }
}

/// What a create that happens once found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    /// Nothing was there; now our bytes are.
    Created,
    /// Our bytes are there: another run wrote them, or an earlier try of ours whose answer was lost.
    Same,
    /// These other bytes are there; nothing was changed.
    Other(Vec<u8>),
}

/// Writes `bytes` to `key` if nothing is there, and finds out what happened when the answer was lost: it reads back and compares, and where
/// nothing is there, sends the same create again. [`Once::Same`] and [`Once::Created`] both mean that exactly `bytes` are there.
///
/// # Errors
/// `store::uncertain`, exit 75, when after several rounds it is still open; `store::too_large`, exit 6, when what is there is longer than
/// `bytes` and than [`LONGEST_DOCUMENT`]; whatever the store refuses.
pub async fn create_once(
    store: &dyn Store,
    key: &Key,
    bytes: &[u8],
    headers: &Headers,
) -> Result<Once, Failure> {
    let body = Body::Bytes(bytes.to_vec());
    let limit = LONGEST_DOCUMENT.max(bytes.len() as u64);
    let send = || async {
        let created = store.create(key, &body, headers).await?;
        Ok((created == Created::New).then_some(Once::Created))
    };
    let look = || async {
        let found = store.get(key, limit).await?;
        Ok(found.map(|found| {
            if found == bytes {
                Once::Same
            } else {
                Once::Other(found)
            }
        }))
    };
    let known = until_known(key, send, look).await;
    known.map_err(|unknown| unknown.or(|doubt| uncertain(store, key, doubt)))
}

/// What became of bytes that were to be below their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// They were not there; now they are.
    Created,
    /// They were there.
    Same,
    /// They were there for so long that they were written once more, so that nobody takes them for forgotten.
    Renewed,
}

/// Writes `body` below its digest, if it is not there: what lies below a digest has that digest. What is there and was written longer than half of
/// [`GRACE`] before `now` (seconds since 1970) is written once more: `gc` deletes what nothing names, by its age, and nothing names these bytes yet.
///
/// After a lost answer, the object's presence and size decide.
///
/// # Errors
/// `store::blob_mismatch`, exit 6, when `body` does not have `digest`, or an object of another size is there; `store::uncertain`, exit 75, when after
/// several rounds it is still open; whatever the store refuses.
pub async fn put_blob(
    store: &dyn Store,
    digest: &Digest,
    body: &Body,
    now: i64,
) -> Result<Put, Failure> {
    let key = layout::blob(digest);
    if body.digest() != *digest {
        return Err(Failure::new(
            Exit::Integrity,
            "store::blob_mismatch",
            format!("the bytes to be stored as {digest} have another digest"),
        )
        .because(format!("theirs is {}", body.digest())));
    }
    let none = Headers::default();
    let renews = AtomicBool::new(false);
    let send = || async {
        if renews.load(Ordering::SeqCst) {
            store.replace(&key, body, &none).await?;
            return Ok(Some(Put::Renewed));
        }
        let created = store.create(&key, body, &none).await?;
        Ok((created == Created::New).then_some(Put::Created))
    };
    let look = || async {
        let Some(info) = store.head(&key).await? else {
            renews.store(false, Ordering::SeqCst);
            return Ok(None);
        };
        if info.size != body.size() {
            return Err(other_size(store, &key, info.size, body.size()));
        }
        if is_renewed_after(info.modified, now) {
            renews.store(true, Ordering::SeqCst);
            return Ok(None);
        }
        let was_renewed = renews.load(Ordering::SeqCst);
        Ok(Some(if was_renewed { Put::Renewed } else { Put::Same }))
    };
    let known = until_known(&key, send, look).await;
    known.map_err(|unknown| unknown.or(|doubt| uncertain(store, &key, doubt)))
}

/// Whether what was last written at `modified` is so old at `now` that whoever relies on it writes it once more.
#[must_use]
pub fn is_renewed_after(modified: Option<i64>, now: i64) -> bool {
    modified.is_some_and(|modified| now.saturating_sub(modified) > GRACE / 2)
}

fn other_size(store: &dyn Store, key: &Key, found: u64, expected: u64) -> Failure {
    Failure::new(
        Exit::Integrity,
        "store::blob_mismatch",
        format!(
            "{key} in {} has another size than its bytes",
            store.describe()
        ),
    )
    .because(format!("it has {found} bytes instead of {expected}"))
    .hint("look at who wrote it; remove it only when nothing else names it")
}

/// Proves that the store honours create-if-absent: several writers race on a probe key made of `nonce` (fresh for each call; characters that a
/// [`Key`] may have), and exactly one may win. The probe object is removed again; where that is not allowed it stays, because publishers need no
/// permission to delete.
///
/// # Errors
/// `store::ignores_conditions`, exit 2, when more than one won or a later create overwrote the winner; `store::uncertain`, exit 75, when the answers
/// got lost; whatever the store refuses.
pub async fn prove_conditions(store: &dyn Store, nonce: &str) -> Result<(), Failure> {
    const RACERS: usize = 8;
    let key = layout::probe(nonce);
    let outcome = race(store, &key, RACERS).await;
    delete_probe(store, &key).await;
    outcome
}

/// Not allowed, or gone already: a probe object that stays harms nobody, and `gc` removes it.
async fn delete_probe(store: &dyn Store, key: &Key) {
    let _ = store.delete(key).await;
}

async fn race(store: &dyn Store, key: &Key, racers: usize) -> Result<(), Failure> {
    let none = Headers::default();
    let bodies: Vec<Body> = (0..=racers)
        .map(|racer| Body::Bytes(format!("{key} {racer}\n").into_bytes()))
        .collect();
    let answers = join_all(
        bodies[..racers]
            .iter()
            .map(|body| store.create(key, body, &none)),
    )
    .await;
    let mut winners = Vec::new();
    let mut doubt = None;
    for (racer, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(Created::New) => winners.push(racer),
            Ok(Created::Exists) => {}
            Err(StoreError::Uncertain(failure)) => doubt = Some(failure),
            Err(StoreError::Failed(failure)) => return Err(failure),
        }
    }
    if winners.len() > 1 {
        return Err(ignores_conditions(store).because(format!(
            "{} of {racers} writers were told that they created the same object",
            winners.len()
        )));
    }
    // A racer whose answer was lost may be the winner; then this one tells whether the condition holds.
    let late = create_once(store, key, late_bytes(&bodies), &none).await?;
    let Once::Other(found) = late else {
        return Err(match (winners.is_empty(), doubt) {
            (true, Some(doubt)) => uncertain(store, key, Some(doubt)),
            _ => ignores_conditions(store)
                .because("an object that was there was written over by a create"),
        });
    };
    match winners.first().map(|winner| &bodies[*winner]) {
        None if doubt.is_none() => Err(uncertain(store, key, None)
            .because("nobody won the race: the probe key was taken before")),
        Some(Body::Bytes(won)) if *won != found => Err(ignores_conditions(store)
            .because("the object holds other bytes than those of the writer that created it")),
        _ => Ok(()),
    }
}

fn late_bytes(bodies: &[Body]) -> &[u8] {
    match bodies.last() {
        Some(Body::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

/// That nothing can tell whether `key` was written, and the `doubt` that is left.
fn uncertain(store: &dyn Store, key: &Key, doubt: Option<Failure>) -> Failure {
    let failure = Failure::new(
        Exit::Temporary,
        "store::uncertain",
        format!(
            "cannot tell whether {key} was written to {}",
            store.describe()
        ),
    )
    .hint("run again: it continues from what is there");
    match doubt {
        Some(doubt) => failure.because_of(&doubt),
        None => failure.because("it was reported to exist, but could not be read"),
    }
}

fn ignores_conditions(store: &dyn Store) -> Failure {
    Failure::new(
        Exit::Usage,
        "store::ignores_conditions",
        format!("{} does not honour create-if-absent, so two runs could overwrite each other", store.describe()),
    )
    .hint("use a server that honours `If-None-Match: *` on PutObject, such as AWS S3, R2, Ceph or MinIO")
}

/// A failure of a read or a write that no object may exceed.
fn too_large(what: &str, key: &Key, limit: u64) -> Failure {
    Failure::new(
        Exit::Integrity,
        "store::too_large",
        format!("{key} in {what} is longer than the {limit} bytes that are read of it"),
    )
}

/// A file of this machine that could not be read or written on its way to or from a store.
fn disk(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        exit_of(error),
        "store::disk",
        format!("cannot read or write {}", path.display()),
    )
    .because(error)
}

/// A file that did not stay as it was while it was sent.
fn changed(path: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        "store::file_changed",
        format!("{} changed while it was stored", path.display()),
    )
    .hint("nothing else may write it during a release; run again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    /// How a store misbehaves.
    #[derive(Clone, Copy)]
    enum Fault {
        /// It creates what is there already.
        IgnoresConditions,
        /// Its condition is judged before its write, so racers overwrite each other.
        Races,
        /// The first `n` creates happen, but their answers are lost.
        LosesAnswers(u32),
        /// The first `n` creates are lost.
        LosesRequests(u32),
    }

    struct Faulty {
        inner: memory::MemoryStore,
        fault: Fault,
        creates: AtomicU32,
    }

    impl Faulty {
        fn new(fault: Fault) -> Faulty {
            Faulty {
                inner: memory::MemoryStore::new(),
                fault,
                creates: AtomicU32::new(0),
            }
        }
    }

    fn lost() -> StoreError {
        StoreError::Uncertain(Failure::new(Exit::Temporary, "store::unreachable", "lost"))
    }

    #[async_trait]
    impl Store for Faulty {
        async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
            self.inner.get(key, limit).await
        }
        async fn fetch(
            &self,
            key: &Key,
            to: &Path,
            limit: u64,
        ) -> Result<Option<Digest>, StoreError> {
            self.inner.fetch(key, to, limit).await
        }
        async fn head(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
            self.inner.head(key).await
        }
        async fn create(
            &self,
            key: &Key,
            body: &Body,
            headers: &Headers,
        ) -> Result<Created, StoreError> {
            let number = self.creates.fetch_add(1, Ordering::SeqCst) + 1;
            match self.fault {
                Fault::IgnoresConditions => {
                    self.inner.replace(key, body, headers).await?;
                    Ok(Created::New)
                }
                Fault::Races => {
                    let there = self.inner.head(key).await?.is_some();
                    tokio::task::yield_now().await;
                    if there {
                        return Ok(Created::Exists);
                    }
                    self.inner.replace(key, body, headers).await?;
                    Ok(Created::New)
                }
                Fault::LosesAnswers(count) if number <= count => {
                    self.inner.create(key, body, headers).await?;
                    Err(lost())
                }
                Fault::LosesRequests(count) if number <= count => Err(lost()),
                _ => self.inner.create(key, body, headers).await,
            }
        }
        async fn replace(
            &self,
            key: &Key,
            body: &Body,
            headers: &Headers,
        ) -> Result<(), StoreError> {
            self.inner.replace(key, body, headers).await
        }
        async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError> {
            self.inner.list(prefix, after).await
        }
        async fn inventory(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
            self.inner.inventory(prefix).await
        }
        async fn delete(&self, _key: &Key) -> Result<(), StoreError> {
            Err(lost())
        }
        fn describe(&self) -> String {
            "memory".to_owned()
        }
    }

    /// Runs `work` to its end.
    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(work)
    }

    #[test]
    fn a_store_is_trusted_only_when_one_racer_wins() {
        let prove = |fault| {
            let proven = run(prove_conditions(&Faulty::new(fault), "nonce"));
            proven.map_err(|failure| failure.code())
        };
        assert_eq!(prove(Fault::LosesAnswers(0)), Ok(()));
        assert_eq!(prove(Fault::LosesAnswers(3)), Ok(()));
        assert_eq!(prove(Fault::LosesRequests(3)), Ok(()));
        assert_eq!(prove(Fault::LosesRequests(8)), Err("store::uncertain"));
        assert_eq!(
            prove(Fault::IgnoresConditions),
            Err("store::ignores_conditions")
        );
        assert_eq!(prove(Fault::Races), Err("store::ignores_conditions"));
    }

    #[test]
    fn a_lost_answer_is_looked_up() {
        let key = Key::parse("x").expect("a key");
        let create = |fault, there: Option<&[u8]>| {
            let store = Faulty::new(fault);
            run(async {
                if let Some(there) = there {
                    let body = Body::Bytes(there.to_vec());
                    store
                        .replace(&key, &body, &Headers::default())
                        .await
                        .expect("written");
                }
                create_once(&store, &key, b"mine", &Headers::default())
                    .await
                    .map_err(|failure| (failure.code(), failure.exit().code()))
            })
        };
        assert_eq!(create(Fault::LosesAnswers(1), None), Ok(Once::Same));
        assert_eq!(create(Fault::LosesRequests(1), None), Ok(Once::Created));
        assert_eq!(
            create(Fault::LosesAnswers(1), Some(b"theirs")),
            Ok(Once::Other(b"theirs".to_vec()))
        );
        assert_eq!(
            create(Fault::LosesRequests(1), Some(b"mine")),
            Ok(Once::Same)
        );
    }

    #[test]
    fn a_blob_whose_answer_is_lost_is_looked_up() {
        let body = Body::Bytes(b"blob".to_vec());
        let put = |fault| run(put_blob(&Faulty::new(fault), &body.digest(), &body, 0));
        assert_eq!(put(Fault::LosesAnswers(1)), Ok(Put::Same));
        assert_eq!(put(Fault::LosesRequests(1)), Ok(Put::Created));
    }
}
