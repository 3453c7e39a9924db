//! Long files in parts. A file is read once, from its start to its end, and digested on the way, so that what arrives is what was to arrive; nobody sees a
//! part before all of them are completed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use sha2::Digest as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::super::{Created, DIGEST, Headers, StoreError, Unfinished, changed, disk, uncertain};
use super::bounded::Page;
use super::patience::{Watch, assembling};
use super::{MOST_PAGES, NO_CONTENT_TYPE, S3Store, is_absent, metadata_of, room_for};
use crate::explain::Failure;
use crate::local::progress::Share;
use crate::name::{Digest, Key};
use crate::remote::aws::{status_of, told};
use crate::remote::retry::{self, Tried};

const PART: u64 = 8 << 20;
const MOST_PARTS: u64 = 10_000;
const PARTS_AT_ONCE: usize = 8;

/// How often an upload is completed while nobody can say whether it is.
const COMPLETIONS: u32 = 5;

/// How a completion did not succeed.
enum Completion {
    /// Something is there.
    Exists,
    /// It may have happened.
    Unclear(Failure),
    /// There is no such upload: an earlier completion whose answer was lost, or it was given back.
    Unknown(Failure),
    /// It did not happen.
    Failed(Failure),
}

/// The uploads that were begun and neither completed nor given up: the key of each, by its id.
#[derive(Debug, Default)]
pub(super) struct Begun(Mutex<BTreeMap<String, String>>);

impl Begun {
    fn add(&self, id: &str, key: &str) {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(id.to_owned(), key.to_owned());
    }

    fn remove(&self, id: &str) {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.remove(id);
    }

    fn take(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One file on its way.
pub(super) struct Upload<'a> {
    pub(super) store: &'a S3Store,
    pub(super) key: &'a Key,
    pub(super) path: &'a Path,
    pub(super) size: u64,
    pub(super) digest: &'a Digest,
    pub(super) once: bool,
    pub(super) share: Option<&'a Share>,
}

/// A part in memory.
struct Part {
    /// From 1.
    number: i32,
    length: u64,
    bytes: SdkBody,
    /// Its place in memory, free again when it has arrived.
    _memory: OwnedSemaphorePermit,
}

/// A file that is read part by part.
struct Reader {
    file: File,
    sum: sha2::Sha256,
    /// Of a part, but for the last one.
    length: u64,
    left: u64,
    /// Of the part before.
    number: i32,
}

impl Reader {
    fn part(mut self, length: u64) -> std::io::Result<(Reader, Vec<u8>)> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_exact(&mut bytes)?;
        self.sum.update(&bytes);
        self.left -= length;
        self.number += 1;
        Ok((self, bytes))
    }
}

/// Reads all parts, each when there is room for it, until nobody takes them any more; tells the digest of all.
async fn read(
    mut reader: Reader,
    memory: Arc<Semaphore>,
    parts: mpsc::Sender<Part>,
) -> std::io::Result<Digest> {
    while reader.left > 0 {
        let length = reader.length.min(reader.left);
        let memory = room_for(&memory, length).await;
        let memory = memory.map_err(std::io::Error::other)?;
        let read = tokio::task::spawn_blocking(move || reader.part(length)).await;
        let (next, bytes) = read.unwrap_or_else(|error| Err(std::io::Error::other(error)))?;
        reader = next;
        let part = Part {
            number: reader.number,
            length,
            bytes: SdkBody::from(bytes),
            _memory: memory,
        };
        if parts.send(part).await.is_err() {
            break;
        }
    }
    Ok(Digest::from_sha256(reader.sum.finalize()))
}

impl Upload<'_> {
    pub(super) async fn run(&self, headers: &Headers) -> Result<Created, StoreError> {
        if self.is_there().await? {
            return Ok(Created::Exists);
        }
        let store = self.store;
        let key = store.full(self.key.as_str());
        let begun = store
            .client
            .create_multipart_upload()
            .bucket(&store.bucket)
            .key(&key)
            .content_type(headers.content_type.as_deref().unwrap_or(NO_CONTENT_TYPE))
            .set_cache_control(headers.cache_control.clone())
            .set_content_encoding(headers.content_encoding.clone())
            .set_metadata(metadata_of(headers))
            .send()
            .await
            .map_err(|error| store.write_error(&error, "s3:PutObject", self.key.as_str(), false))?;
        let Some(id) = begun.upload_id() else {
            return Err(StoreError::Uncertain(
                store
                    .unreachable(self.key.as_str())
                    .because("the upload was given no id"),
            ));
        };
        store.begun.add(id, &key);
        let sent = self.parts(id).await;
        // Some servers ignore the condition on completion, so it is also asked for.
        let ready = match sent {
            Ok(parts) => self.is_there().await.map(|there| (!there).then_some(parts)),
            Err(error) => Err(error),
        };
        match ready {
            Ok(Some(parts)) => self.complete(id, parts, headers).await,
            Ok(None) => {
                store.abort(id, &key).await;
                Ok(Created::Exists)
            }
            Err(error) => {
                store.abort(id, &key).await;
                Err(error)
            }
        }
    }

    async fn is_there(&self) -> Result<bool, StoreError> {
        if !self.once {
            return Ok(false);
        }
        let found = self.store.head_object(self.key).await;
        found.map(|info| info.is_some()).map_err(StoreError::Failed)
    }

    /// Sends all parts: while some travel, the next ones are read.
    async fn parts(&self, id: &str) -> Result<Vec<CompletedPart>, StoreError> {
        let file = File::open(self.path).map_err(|error| self.unread(&error))?;
        let reader = Reader {
            file,
            sum: sha2::Sha256::new(),
            length: PART.max(self.size.div_ceil(MOST_PARTS)),
            left: self.size,
            number: 0,
        };
        let (sender, mut receiver) = mpsc::channel(1);
        let reading = tokio::spawn(read(reader, Arc::clone(&self.store.memory), sender));
        let read = stream::poll_fn(move |context| receiver.poll_recv(context));
        let sent: Vec<CompletedPart> = read
            .map(Ok::<_, StoreError>)
            .map_ok(|part| self.send(id, part))
            .try_buffer_unordered(PARTS_AT_ONCE)
            .try_collect()
            .await?;
        let read = reading
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)));
        if read.map_err(|error| self.unread(&error))? != *self.digest {
            return Err(StoreError::Failed(changed(self.path)));
        }
        let mut parts = sent;
        parts.sort_unstable_by_key(CompletedPart::part_number);
        Ok(parts)
    }

    fn unread(&self, error: &std::io::Error) -> StoreError {
        StoreError::Failed(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => changed(self.path),
            _ => disk(self.path, error),
        })
    }

    async fn send(&self, id: &str, part: Part) -> Result<CompletedPart, StoreError> {
        let store = self.store;
        // A part that is sent twice replaces itself, and nobody sees it before the upload is completed.
        let sent = retry::read(self.key.as_str(), || async {
            let bytes = part.bytes.try_clone().map(ByteStream::new).ok_or_else(|| {
                Tried::Final(
                    store
                        .unreachable(self.key.as_str())
                        .because("a part could not be sent again"),
                )
            })?;
            let watch = Watch::of(part.length);
            let request = store
                .client
                .upload_part()
                .bucket(&store.bucket)
                .key(store.full(self.key.as_str()))
                .upload_id(id)
                .part_number(part.number)
                .body(bytes)
                .customize()
                .interceptor(watch.clone())
                .config_override(Watch::config());
            let sent = watch.wait_for(request.send()).await;
            sent.map_err(|error| store.read_error(&error, "s3:PutObject", self.key.as_str()))
        })
        .await
        .map_err(StoreError::Failed)?;
        if let Some(share) = self.share {
            share.arrived(part.length);
        }
        Ok(CompletedPart::builder()
            .part_number(part.number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .set_checksum_crc32_c(sent.checksum_crc32_c)
            .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
            .build())
    }

    /// Completes an upload. Where the answer is lost, what lies there is looked at, and only where that is not what was sent the same completion is sent
    /// again: [doing that to an upload that is complete](https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html) changes nothing.
    async fn complete(
        &self,
        id: &str,
        parts: Vec<CompletedPart>,
        headers: &Headers,
    ) -> Result<Created, StoreError> {
        let store = self.store;
        let key = store.full(self.key.as_str());
        // From here on it may be completing: giving it up could take its parts away.
        store.begun.remove(id);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let mut tries = 0;
        loop {
            tries += 1;
            let doubt = match self.send_completion(id, &parts).await {
                Ok(()) => return Ok(Created::New),
                Err(Completion::Exists) => {
                    store.abort(id, &key).await;
                    return Ok(Created::Exists);
                }
                Err(Completion::Failed(failure)) if tries == 1 => {
                    store.abort(id, &key).await;
                    return Err(StoreError::Failed(failure));
                }
                Err(Completion::Unclear(failure)) => failure,
                // What is refused now may have been done by the completion before.
                Err(Completion::Unknown(failure) | Completion::Failed(failure)) => {
                    let found = self.found(headers).await;
                    return found.ok_or(StoreError::Uncertain(failure));
                }
            };
            if let Some(found) = self.found(headers).await {
                return Ok(found);
            }
            if tries == COMPLETIONS {
                // One that may be completing right now is left alone, and all its bytes are not sent once more meanwhile.
                return Err(StoreError::Failed(uncertain(store, self.key, Some(doubt))));
            }
            tokio::time::sleep(retry::backoff(tries, self.key.as_str())).await;
        }
    }

    async fn send_completion(
        &self,
        id: &str,
        parts: &CompletedMultipartUpload,
    ) -> Result<(), Completion> {
        let store = self.store;
        let completed = store
            .client
            .complete_multipart_upload()
            .bucket(&store.bucket)
            .key(store.full(self.key.as_str()))
            .upload_id(id)
            .multipart_upload(parts.clone())
            .set_if_none_match(self.once.then(|| "*".to_owned()))
            .customize()
            .config_override(assembling(self.size))
            .send()
            .await;
        let Err(error) = completed else {
            return Ok(());
        };
        if self.once && status_of(&error) == Some(412) {
            return Err(Completion::Exists);
        }
        if error.code() == Some("NoSuchUpload") {
            let failure = store.unreachable(self.key.as_str());
            return Err(Completion::Unknown(failure.because(told(&error))));
        }
        Err(
            match store.write_error(&error, "s3:PutObject", self.key.as_str(), self.once) {
                StoreError::Failed(failure) => Completion::Failed(failure),
                StoreError::Uncertain(failure) => Completion::Unclear(failure),
            },
        )
    }

    /// What lies there after a completion whose answer was lost; `None` where it is not known to be what was sent. Where it was to be created, nothing
    /// was there before, and whose it is whoever asked for it finds out; where it was to be replaced, the digest that travels with it tells.
    async fn found(&self, headers: &Headers) -> Option<Created> {
        let info = match self.store.head_object(self.key).await {
            Ok(info) => info?,
            Err(failure) => {
                tracing::debug!(key = %self.key, %failure, "an upload was not looked for");
                return None;
            }
        };
        if self.once {
            return Some(Created::Exists);
        }
        let digest = headers.metadata.get(DIGEST);
        let is_told = digest.is_some_and(|digest| digest == self.digest.hex());
        let is_ours = is_told && info.size == self.size && info.headers == *headers;
        is_ours.then_some(Created::New)
    }
}

impl S3Store {
    /// Gives the parts of an upload back; where that fails, `gc` or the bucket's lifecycle rule does it.
    async fn abort(&self, id: &str, key: &str) {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(id)
            .send()
            .await;
        self.begun.remove(id);
        if let Err(error) = aborted {
            tracing::debug!(key, error = told(&error), "an upload was not aborted");
        }
    }

    /// Gives up every upload that was begun and of which no write is left that could complete it.
    pub(super) async fn abort_all(&self) {
        let begun = self.begun.take();
        let aborts = begun.iter().map(|(id, key)| self.abort(id, key));
        futures_util::future::join_all(aborts).await;
    }

    /// All uploads below `prefix` that are not completed, page by page, in byte order of their keys.
    pub(super) async fn uploads(&self, prefix: &str) -> Result<Vec<Unfinished>, StoreError> {
        let full = self.full(prefix);
        let mut found: Vec<Unfinished> = Vec::new();
        let mut after: (Option<String>, Option<String>) = (None, None);
        for _ in 0..MOST_PAGES {
            let page = retry::read(&full, || async {
                self.client
                    .list_multipart_uploads()
                    .bucket(&self.bucket)
                    .prefix(&full)
                    .set_key_marker(after.0.clone())
                    .set_upload_id_marker(after.1.clone())
                    .customize()
                    .interceptor(Page)
                    .config_override(Page::config())
                    .send()
                    .await
                    .map_err(|error| {
                        self.read_error(&error, "s3:ListBucketMultipartUploads", &full)
                    })
            })
            .await
            .map_err(StoreError::Failed)?;
            found.extend(page.uploads().iter().filter_map(|upload| {
                let key = upload.key()?.strip_prefix(&self.full(""))?;
                // Not every server keeps to the prefix; what is no key is not ours.
                let key = key.starts_with(prefix).then(|| Key::parse(key).ok())??;
                Some(Unfinished {
                    key,
                    id: upload.upload_id()?.to_owned(),
                    begun: upload.initiated().map(DateTime::secs),
                })
            }));
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) {
                // Not every server keeps to byte order.
                found.sort_by(|left, right| (&left.key, &left.id).cmp(&(&right.key, &right.id)));
                found.dedup();
                return Ok(found);
            }
            if next.0.is_none() || next == after {
                break;
            }
            after = next;
        }
        Err(StoreError::Failed(
            self.unreachable(prefix)
                .because("the server does not come to the end of its list"),
        ))
    }

    pub(super) async fn give_back_upload(&self, upload: &Unfinished) -> Result<(), StoreError> {
        let key = upload.key.as_str();
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full(key))
            .upload_id(&upload.id);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(self.write_error(&error, "s3:AbortMultipartUpload", key, false)),
        }
    }
}
