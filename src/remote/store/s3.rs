//! `s3://bucket/prefix`: AWS and servers that speak like it.
//!
//! The SDK's own retries are off: reads are asked again by [`retry::read`], and of the writes only the parts of a multipart upload are, which
//! nobody sees before it is completed. Everything else is sent once.

mod bounded;
mod multipart;
mod patience;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{
    ProvideCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use url::Url;

use self::bounded::Page;
use self::multipart::{Begun, Upload};
use self::patience::{Watch, time_for};

use super::{
    Body, Created, Headers, Listed, ObjectInfo, Store, StoreError, Unfinished, changed, disk,
    too_large,
};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{Digest, Key};
use crate::remote::aws::{self, Assumed, status_of, told, wait_of};
use crate::remote::chain;
use crate::remote::retry::{self, Tried};
use crate::settings::Role;

/// Files up to this length are sent from memory.
const LONGEST_IN_MEMORY: u64 = 8 << 20;
/// Files above this length are sent in parts.
const LONGEST_PUT: u64 = 64 << 20;
/// How much is read of a file at once that is sent as it is read.
const BUFFER: usize = 256 << 10;
/// What is in memory on its way to a store, in all, in MiB; a single part that is longer goes alone.
const MEMORY: u32 = 96;
/// How many objects one request may remove.
const MOST_DELETED: usize = 1000;
/// How many pages of a list are read, each of up to 1000 entries.
const MOST_PAGES: usize = 100_000;
/// What S3 reports for an object that was given no content type.
const NO_CONTENT_TYPE: &str = "binary/octet-stream";
const METADATA: &str = "pkgs-";
/// Where the SDK looks for credentials, in this order.
const SOURCES: &str = "the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), a profile (AWS_PROFILE, ~/.aws), a web identity (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE), the container, the instance";

/// Which bucket, and how it is reached. Credentials come from the usual AWS chain: environment, profile, container, instance.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// What every key starts with, without `/` at either end; empty for none. Callers never see it.
    pub prefix: String,
    /// The server, for anything but AWS.
    pub endpoint: Option<Url>,
    /// The region; without it, what the usual AWS settings say, and `us-east-1` where there is an endpoint.
    pub region: Option<String>,
    /// The role that the job assumes; without one the usual AWS chain gives credentials.
    pub role: Option<Role>,
}

/// A bucket, or what lies in it below a prefix.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
    /// Where it is reached, for messages: ` at https://…` or ` in <region>`.
    place: String,
    /// The room for what is in memory on its way there, in MiB.
    memory: Arc<Semaphore>,
    begun: Arc<Begun>,
}

impl S3Store {
    /// Prepares a client and finds the credentials; asks nothing of the server yet.
    ///
    /// # Errors
    /// `store::credentials` and `store::region`, exit 2.
    pub async fn connect(settings: S3Settings) -> Result<S3Store, Failure> {
        let mut loader = aws::defaults(settings.region.clone());
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint.as_str());
        }
        if let Some(role) = &settings.role {
            let assumed = Assumed::by(role, settings.region.clone()).await?;
            loader = loader.credentials_provider(assumed);
        }
        let shared = loader.load().await;
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(shared.endpoint_url().is_some());
        if shared.endpoint_url().is_some() {
            // Ceph and Garage refuse the trailers that the SDK sends by default (400, 403).
            config = config
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        if shared.region().is_none() {
            if shared.endpoint_url().is_none() {
                return Err(Failure::new(
                    Exit::Usage,
                    "store::region",
                    format!("no region is set for the bucket {}", settings.bucket),
                )
                .hint("set AWS_REGION, or the region of the store"));
            }
            config = config.region(Region::new("us-east-1"));
        }
        if settings.role.is_none() {
            prove_credentials(&shared, &settings.bucket).await?;
        }
        let place = place(shared.endpoint_url(), shared.region());
        Ok(S3Store {
            client: Client::from_conf(config.build()),
            bucket: settings.bucket,
            prefix: settings.prefix,
            place,
            memory: Arc::new(Semaphore::new(MEMORY as usize)),
            begun: Arc::default(),
        })
    }

    /// Lists one key, which a missing bucket, wrong credentials and a missing permission all fail.
    ///
    /// # Errors
    /// As [`super::open`].
    pub async fn look(&self) -> Result<(), Failure> {
        self.holds_something().await.map(|_| ())
    }

    async fn holds_something(&self) -> Result<bool, Failure> {
        let prefix = self.full("");
        let listed = retry::read(&self.describe(), || async {
            self.client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(&prefix)
                .max_keys(1)
                .customize()
                .interceptor(Page)
                .config_override(Page::config())
                .send()
                .await
                .map_err(|error| self.read_error(&error, "s3:ListBucket", &prefix))
        })
        .await?;
        // A page may be empty and go on.
        Ok(!listed.contents().is_empty() || listed.is_truncated() == Some(true))
    }

    /// The key as the server knows it.
    fn full(&self, key: &str) -> String {
        if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.prefix)
        }
    }

    async fn get_object(
        &self,
        key: &Key,
        limit: u64,
    ) -> Result<Option<(u64, ByteStream)>, Tried<Failure>> {
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.full(key.as_str()));
        let object = match request.send().await {
            Ok(object) => object,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(self.read_error(&error, "s3:GetObject", key.as_str())),
        };
        let length = object
            .content_length()
            .and_then(|length| u64::try_from(length).ok())
            .ok_or_else(|| {
                Tried::temporary(
                    self.unreachable(key.as_str())
                        .because("its length was not told"),
                )
            })?;
        if length > limit {
            return Err(Tried::Final(too_large(&self.describe(), key, limit)));
        }
        Ok(Some((length, object.body)))
    }

    /// Writes an object's bytes to `file` from its start, and tells their digest.
    async fn fetch_once(
        &self,
        key: &Key,
        file: &mut File,
        to: &Path,
        limit: u64,
    ) -> Result<Option<Digest>, Tried<Failure>> {
        use sha2::Digest as _;
        let Some((length, mut body)) = self.get_object(key, limit).await? else {
            return Ok(None);
        };
        let disk = |error| Tried::Final(disk(to, &error));
        file.set_len(0).map_err(disk)?;
        file.seek(SeekFrom::Start(0)).map_err(disk)?;
        let mut sum = sha2::Sha256::new();
        let mut received = 0u64;
        let end = tokio::time::Instant::now() + time_for(length);
        while let Some(chunk) = tokio::time::timeout_at(end, body.next())
            .await
            .map_err(|_| self.cut_short(key, &"it comes too slowly"))?
        {
            let chunk = chunk.map_err(|error| self.cut_short(key, &error))?;
            received += chunk.len() as u64;
            if received > length {
                break;
            }
            sum.update(&chunk);
            file.write_all(&chunk).map_err(disk)?;
        }
        if received != length {
            return Err(self.cut_short(key, &format!("{received} of {length} bytes came")));
        }
        Ok(Some(Digest::from_sha256(sum.finalize())))
    }

    fn cut_short(&self, key: &Key, why: &dyn std::fmt::Display) -> Tried<Failure> {
        Tried::temporary(self.unreachable(key.as_str()).because(why))
    }

    fn unreachable(&self, key: &str) -> Failure {
        Failure::new(
            Exit::Temporary,
            "store::unreachable",
            format!(
                "cannot read {} from {}{}",
                quoted(key),
                self.describe(),
                self.place
            ),
        )
        .hint("run again; if it stays so, look at the server and the network")
    }

    async fn head_object(&self, key: &Key) -> Result<Option<ObjectInfo>, Failure> {
        let full = self.full(key.as_str());
        retry::read(&full, || async {
            let request = self.client.head_object().bucket(&self.bucket).key(&full);
            let object = match request.send().await {
                Ok(object) => object,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(self.read_error(&error, "s3:GetObject", key.as_str())),
            };
            let size = object
                .content_length()
                .and_then(|length| u64::try_from(length).ok())
                .ok_or_else(|| self.cut_short(key, &"its length was not told"))?;
            let metadata = object.metadata().into_iter().flatten();
            Ok(Some(ObjectInfo {
                size,
                headers: Headers {
                    content_type: object
                        .content_type()
                        .filter(|found| *found != NO_CONTENT_TYPE)
                        .map(str::to_owned),
                    cache_control: object.cache_control().map(str::to_owned),
                    content_encoding: object.content_encoding().map(str::to_owned),
                    metadata: metadata
                        .filter_map(|(name, value)| {
                            Some((name.strip_prefix(METADATA)?.to_owned(), value.clone()))
                        })
                        .collect(),
                },
                modified: object.last_modified().map(DateTime::secs),
            }))
        })
        .await
    }

    /// All objects below `prefix` after `after`, page by page, in byte order.
    async fn listed(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let own = self.full("");
        let full = self.full(prefix);
        let start = after.map(|after| self.full(after));
        let mut found: Vec<Listed> = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = retry::read(&full, || async {
                self.client
                    .list_objects_v2()
                    .bucket(&self.bucket)
                    .prefix(&full)
                    .set_start_after(start.clone())
                    .set_continuation_token(next.clone())
                    .customize()
                    .interceptor(Page)
                    .config_override(Page::config())
                    .send()
                    .await
                    .map_err(|error| self.read_error(&error, "s3:ListBucket", &full))
            })
            .await
            .map_err(StoreError::Failed)?;
            found.extend(page.contents().iter().filter_map(|object| {
                let key = object.key()?.strip_prefix(&own)?;
                let is_asked = key.starts_with(prefix) && after.is_none_or(|after| key > after);
                // What is no key, such as the empty object `dir/` of a web console, is not ours.
                let key = is_asked.then(|| Key::parse(key).ok())??;
                Some(Listed {
                    key,
                    size: object
                        .size()
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or_default(),
                    modified: object.last_modified().map(DateTime::secs),
                })
            }));
            match page.next_continuation_token {
                Some(token) if page.is_truncated == Some(true) && next.as_ref() != Some(&token) => {
                    next = Some(token);
                }
                _ if page.is_truncated == Some(true) => break,
                _ => {
                    // Not every server keeps to byte order.
                    found.sort_unstable_by(|left, right| left.key.cmp(&right.key));
                    found.dedup_by(|left, right| left.key == right.key);
                    return Ok(found);
                }
            }
        }
        Err(StoreError::Failed(
            self.unreachable(prefix)
                .because("the server does not come to the end of its list"),
        ))
    }

    /// Removes up to [`MOST_DELETED`] objects with one request, and tells those that are not known to be gone.
    async fn delete_batch<'keys>(&self, keys: &'keys [Key]) -> Vec<&'keys Key> {
        let objects = keys.iter().filter_map(|key| {
            let full = self.full(key.as_str());
            ObjectIdentifier::builder().key(full).build().ok()
        });
        let batch = Delete::builder()
            .set_objects(Some(objects.collect()))
            .quiet(true)
            .build();
        let Ok(batch) = batch else {
            return keys.iter().collect();
        };
        let request = self
            .client
            .delete_objects()
            .bucket(&self.bucket)
            .delete(batch);
        match request.send().await {
            Ok(answer) => {
                let left: std::collections::BTreeSet<&str> = answer
                    .errors()
                    .iter()
                    .filter_map(|error| error.key())
                    .collect();
                keys.iter()
                    .filter(|key| left.contains(self.full(key.as_str()).as_str()))
                    .collect()
            }
            Err(error) => {
                tracing::debug!(error = told(&error), "objects are removed one by one");
                keys.iter().collect()
            }
        }
    }

    /// Sends `body` in one or in many requests; `once` makes it conditional on nothing being there.
    async fn write(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
        once: bool,
    ) -> Result<Created, StoreError> {
        match body {
            Body::File {
                path,
                size,
                digest,
                share,
            } if *size > LONGEST_PUT => {
                let share = share.as_deref();
                let (store, size) = (self, *size);
                let upload = Upload {
                    store,
                    key,
                    path,
                    size,
                    digest,
                    once,
                    share,
                };
                upload.run(headers).await
            }
            _ => self.put(key, body, headers, once).await,
        }
    }

    /// The bytes of a file, where it is short as a whole; its place in memory is free again when the second is dropped.
    async fn stream(
        &self,
        path: &Path,
        size: u64,
        digest: &Digest,
    ) -> Result<(ByteStream, Option<OwnedSemaphorePermit>), StoreError> {
        let failed = |error: std::io::Error| StoreError::Failed(disk(path, &error));
        if size > LONGEST_IN_MEMORY {
            let length = std::fs::metadata(path).map_err(failed)?.len();
            if length != size {
                return Err(StoreError::Failed(changed(path)));
            }
            let stream = ByteStream::read_from()
                .path(path)
                .buffer_size(BUFFER)
                .build()
                .await
                .map_err(|error| failed(std::io::Error::other(error)))?;
            return Ok((stream, None));
        }
        let memory = room_for(&self.memory, size).await;
        let memory = memory.map_err(|error| failed(std::io::Error::other(error)))?;
        let file = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
            File::open(file)?.take(size + 1).read_to_end(&mut bytes)?;
            let digest = Digest::of(&bytes);
            Ok((bytes, digest))
        });
        let read = read
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let (bytes, found) = read.map_err(failed)?;
        if found != *digest || bytes.len() as u64 != size {
            return Err(StoreError::Failed(changed(path)));
        }
        Ok((ByteStream::new(SdkBody::from(bytes)), Some(memory)))
    }

    async fn put(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
        once: bool,
    ) -> Result<Created, StoreError> {
        let size = body.size();
        let mut request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full(key.as_str()))
            .content_length(i64::try_from(size).unwrap_or(i64::MAX))
            .content_type(headers.content_type.as_deref().unwrap_or(NO_CONTENT_TYPE))
            .set_cache_control(headers.cache_control.clone())
            .set_content_encoding(headers.content_encoding.clone())
            .set_metadata(metadata_of(headers));
        let (body, digest, _memory) = match body {
            Body::Bytes(bytes) => (ByteStream::from(bytes.clone()), None, None),
            Body::File { path, digest, .. } => {
                let (stream, memory) = self.stream(path, size, digest).await?;
                (stream, Some(digest), memory)
            }
        };
        // As a header it needs no trailer, so every server takes it, and those that can compare it with the bytes.
        request = request
            .body(body)
            .set_checksum_sha256(digest.map(Digest::base64));
        if once {
            request = request.if_none_match("*");
        }
        let watch = Watch::of(size);
        let request = request
            .customize()
            .interceptor(watch.clone())
            .config_override(Watch::config());
        let sent = watch.wait_for(request.send()).await;
        match sent {
            Ok(_) => Ok(Created::New),
            Err(error) if once && status_of(&error) == Some(412) => Ok(Created::Exists),
            Err(error) => Err(self.write_error(&error, "s3:PutObject", key.as_str(), once)),
        }
    }

    /// What a failed read means.
    fn read_error<E>(
        &self,
        error: &SdkError<E, HttpResponse>,
        permission: &str,
        key: &str,
    ) -> Tried<Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if let Some(failure) = self.refusal(error, permission, key) {
            return Tried::Final(failure);
        }
        let failure = self.unreachable(key).because(told(error));
        match status_of(error) {
            Some(status) if !retry::is_temporary(status) && !is_broken(error) => {
                Tried::Final(failure)
            }
            _ => Tried::Temporary {
                error: failure,
                after: wait_of(error),
            },
        }
    }

    /// What a failed write means. Only an answer that rules the write out is a failure; all else may have happened.
    fn write_error<E>(
        &self,
        error: &SdkError<E, HttpResponse>,
        permission: &str,
        key: &str,
        once: bool,
    ) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if let Some(failure) = self.refusal(error, permission, key) {
            return StoreError::Failed(failure);
        }
        let failure = |exit, code| {
            Failure::new(
                exit,
                code,
                format!(
                    "cannot write {} to {}{}",
                    quoted(key),
                    self.describe(),
                    self.place
                ),
            )
            .because(told(error))
        };
        let never_sent = matches!(error, SdkError::ConstructionFailure(_));
        match status_of(error) {
            Some(501) if once => {
                StoreError::Failed(failure(Exit::Usage, "store::ignores_conditions").hint(
                    "the server does not know `If-None-Match` on PutObject; use one that does",
                ))
            }
            Some(400 | 404 | 405 | 411 | 413 | 501) if !is_broken(error) => {
                StoreError::Failed(failure(Exit::RemoteRefused, "store::refused"))
            }
            _ if never_sent => StoreError::Failed(failure(Exit::RemoteRefused, "store::refused")),
            _ => StoreError::Uncertain(
                failure(Exit::Temporary, "store::unreachable").hint("run again"),
            ),
        }
    }

    /// The failures that mean the same for reads and writes: the bucket, the region, the clock, the permission.
    fn refusal<E>(
        &self,
        error: &SdkError<E, HttpResponse>,
        permission: &str,
        key: &str,
    ) -> Option<Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = status_of(error)?;
        let store = self.describe();
        let failure = |exit, code, what| Some(Failure::new(exit, code, what).because(told(error)));
        match (status, error.code().unwrap_or_default()) {
            (_, "NoSuchBucket") => failure(
                Exit::Usage,
                "store::no_bucket",
                format!("there is no bucket {} for {store}", quoted(&self.bucket)),
            )
            .map(|failure| failure.hint("create it, or correct the store's address, endpoint and region")),
            (301 | 307, _) | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => failure(
                Exit::Usage,
                "store::region",
                format!("the bucket of {store} lies in another region"),
            )
            .map(|failure| failure.hint("set AWS_REGION, or the region of the store, to the bucket's own")),
            (_, "RequestTimeTooSkewed") => failure(
                Exit::RemoteRefused,
                "store::clock",
                format!("{store} refuses this machine's clock"),
            )
            .map(|failure| failure.hint("set the clock")),
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken")
            | (401, _) => failure(
                Exit::RemoteRefused,
                "store::credentials",
                format!("{store} does not accept the credentials"),
            )
            .map(|failure| failure.hint("check that they are current and belong to this server")),
            (403, _) => failure(
                Exit::RemoteRefused,
                "store::forbidden",
                format!("{permission} is not permitted on {} in {store}", quoted(key)),
            )
            .map(|failure| {
                failure.hint("grant s3:GetObject, s3:PutObject, s3:AbortMultipartUpload and s3:ListBucket, for `gc` also s3:DeleteObject and s3:ListBucketMultipartUploads; without s3:ListBucket a missing key looks forbidden")
            }),
            _ => None,
        }
    }
}

/// Resolves the credentials once, so that their absence is told as what it is.
async fn prove_credentials(shared: &aws_config::SdkConfig, bucket: &str) -> Result<(), Failure> {
    let missing = || {
        Failure::new(
            Exit::Usage,
            "store::credentials",
            format!("no AWS credentials could be had for the bucket {bucket}"),
        )
        .hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or let the job assume a role; correct or unset what is set and does not work")
    };
    let provider = shared.credentials_provider().ok_or_else(missing)?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(missing()
            .because(chain(&error))
            .because(format!("the first source that is set counts: {SOURCES}"))),
    }
}

/// Waits until there is room for `length` bytes.
async fn room_for(
    memory: &Arc<Semaphore>,
    length: u64,
) -> Result<OwnedSemaphorePermit, AcquireError> {
    let wanted = u32::try_from(length.div_ceil(1 << 20)).unwrap_or(MEMORY);
    Arc::clone(memory)
        .acquire_many_owned(wanted.clamp(1, MEMORY))
        .await
}

/// Where a bucket is reached, without what an address may carry of a credential.
fn place(endpoint: Option<&str>, region: Option<&Region>) -> String {
    let shown = |endpoint: &str| {
        let mut url = Url::parse(endpoint).ok()?;
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_query(None);
        Some(format!(" at {url}"))
    };
    match (endpoint, region) {
        (Some(endpoint), _) => shown(endpoint).unwrap_or_default(),
        (None, Some(region)) => format!(" in {}", quoted(region.as_ref())),
        (None, None) => String::new(),
    }
}

fn metadata_of(headers: &Headers) -> Option<std::collections::HashMap<String, String>> {
    (!headers.metadata.is_empty()).then(|| {
        headers
            .metadata
            .iter()
            .map(|(name, value)| (format!("{METADATA}{name}"), value.clone()))
            .collect()
    })
}

/// There is no such object. A missing bucket is something else.
fn is_absent<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    status_of(error) == Some(404) && error.code() != Some("NoSuchBucket")
}

/// An answer that cannot be believed: not understood, or a request that the server did not get in full.
fn is_broken<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    matches!(error, SdkError::ResponseError(_)) || error.code() == Some("RequestTimeout")
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        retry::read(key.as_str(), || async {
            let Some((length, body)) = self.get_object(key, limit).await? else {
                return Ok(None);
            };
            let bytes = tokio::time::timeout(time_for(length), body.collect())
                .await
                .map_err(|_| self.cut_short(key, &"it comes too slowly"))?
                .map_err(|error| self.cut_short(key, &error))?
                .to_vec();
            if bytes.len() as u64 != length {
                let why = format!("{} of {length} bytes came", bytes.len());
                return Err(self.cut_short(key, &why));
            }
            Ok(Some(bytes))
        })
        .await
        .map_err(StoreError::Failed)
    }

    async fn fetch(&self, key: &Key, to: &Path, limit: u64) -> Result<Option<Digest>, StoreError> {
        let told = |error: std::io::Error| StoreError::Failed(disk(to, &error));
        let file = File::create_new(to).map_err(told)?;
        let file = tokio::sync::Mutex::new(file);
        let fetched = retry::read(key.as_str(), || async {
            let mut file = file.lock().await;
            self.fetch_once(key, &mut file, to, limit).await
        })
        .await;
        if !matches!(fetched, Ok(Some(_))) {
            let _ = std::fs::remove_file(to);
        }
        fetched.map_err(StoreError::Failed)
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        self.head_object(key).await.map_err(StoreError::Failed)
    }

    async fn create(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
    ) -> Result<Created, StoreError> {
        self.write(key, body, headers, true).await
    }

    async fn replace(&self, key: &Key, body: &Body, headers: &Headers) -> Result<(), StoreError> {
        self.write(key, body, headers, false).await.map(|_| ())
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError> {
        let found = self.listed(prefix, after).await?;
        Ok(found.into_iter().map(|object| object.key).collect())
    }

    async fn inventory(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.listed(prefix, None).await
    }

    async fn is_surely_empty(&self) -> Result<bool, StoreError> {
        self.holds_something()
            .await
            .map(|holds| !holds)
            .map_err(StoreError::Failed)
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let request = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(self.full(key.as_str()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(self.write_error(&error, "s3:DeleteObject", key.as_str(), false)),
        }
    }

    /// What a batch leaves, whatever the reason, is removed one by one: that tells why it cannot be.
    async fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        for batch in keys.chunks(MOST_DELETED) {
            for left in self.delete_batch(batch).await {
                self.delete(left).await?;
            }
        }
        Ok(())
    }

    async fn give_up(&self) {
        self.abort_all().await;
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, StoreError> {
        self.uploads(prefix).await
    }

    async fn give_back(&self, upload: &Unfinished) -> Result<(), StoreError> {
        self.give_back_upload(upload).await
    }

    fn describe(&self) -> String {
        if self.prefix.is_empty() {
            format!("s3://{}", self.bucket)
        } else {
            format!("s3://{}/{}", self.bucket, self.prefix)
        }
    }
}
