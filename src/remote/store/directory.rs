//! `file:///dir`: objects as plain files, so that any static HTTP server can serve them.
//!
//! An object is written to a temporary file in the same file system, made durable, and given its name by `link(2)`, which fails where something
//! is there; so no reader sees a part of it and of several creators one wins. Headers that are not default lie in `.pkgs-headers/<key>.json` beside
//! the digest of the object they belong to: headers without their object (a crash came between) count as absent.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Body, Created, Headers, Listed, ObjectInfo, Store, StoreError, changed, disk, too_large,
};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{Digest, Key};
use crate::remote::disk::{DiskError, Lock, RESERVED, Root, Temporary, copy, exit_of};

const HEADERS: &str = ".pkgs-headers";
const HEADERS_LOCK: &str = ".pkgs-headers/.lock";
const HEADERS_SCHEMA: &str = "pkgs.headers/1";
const LONGEST_HEADERS: u64 = 64 << 10;

/// A directory as a store. It must be there; below it, directories are made as keys need them.
///
/// Beside the contract: a key may not also be a prefix of another one's path (`x` and `x/y`), and keys that start with `.pkgs-` are the store's own;
/// both are refused as `store::key_shape`. Symbolic links below the directory are refused as `store::symlink`.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: Arc<Root>,
}

/// The file of an object's headers.
#[derive(Serialize, Deserialize)]
struct HeadersFile {
    schema: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, String>,
}

impl DirectoryStore {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// `store::no_directory`, exit 2, when there is none: a directory that is missing may be a mount that is not there, so it is never made.
    pub fn open(path: &Path) -> Result<DirectoryStore, Failure> {
        let root = Root::open(path).map_err(|error| {
            Failure::new(
                Exit::Usage,
                "store::no_directory",
                format!("cannot open the store's directory {}", path.display()),
            )
            .because(error)
            .hint("create it, or mount what belongs there")
        })?;
        Ok(DirectoryStore {
            root: Arc::new(root),
        })
    }

    /// Runs `work` on a thread where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let root = Arc::clone(&self.root);
        tokio::task::spawn_blocking(move || work(&root))
            .await
            .map_err(|error| {
                StoreError::Uncertain(
                    Failure::new(
                        Exit::Temporary,
                        "store::disk",
                        "work on the store's directory was cut short",
                    )
                    .because(error),
                )
            })?
    }
}

/// The key as a path below the root, if a directory can hold it.
fn path_of(key: &Key) -> Result<&str, StoreError> {
    if key.as_str().starts_with(RESERVED) {
        return Err(key_shape(
            key,
            "keys that start with .pkgs- are the store's own",
        ));
    }
    Ok(key.as_str())
}

fn headers_path(key: &Key) -> String {
    format!("{HEADERS}/{key}.json")
}

fn key_shape(key: &Key, why: &str) -> StoreError {
    StoreError::Failed(
        Failure::new(
            Exit::Refused,
            "store::key_shape",
            format!("a directory cannot hold the key {}", quoted(key.as_str())),
        )
        .because(why)
        .hint("rename it; in a directory a name is either a file or a directory"),
    )
}

/// The error of work on `key`.
fn failed(root: &Root, key: &Key, error: DiskError) -> StoreError {
    let told = |exit, io: std::io::Error| {
        Failure::new(
            exit,
            "store::disk",
            format!(
                "cannot read or write {} in {}",
                quoted(key.as_str()),
                root.path().display()
            ),
        )
        .because(io)
    };
    match error {
        DiskError::Shape(why) => key_shape(key, why),
        DiskError::Link => StoreError::Failed(
            Failure::new(
                Exit::Refused,
                "store::symlink",
                format!(
                    "{} in {} lies behind a symbolic link",
                    quoted(key.as_str()),
                    root.path().display()
                ),
            )
            .hint("a store's directory holds no symbolic links; the directory itself may be one"),
        ),
        DiskError::Before(io) => StoreError::Failed(told(exit_of(&io), io)),
        DiskError::After(io) => StoreError::Uncertain(told(Exit::Temporary, io)),
    }
}

/// The error of listing what starts with `prefix`.
fn unlisted(root: &Root, prefix: &str, error: DiskError) -> StoreError {
    let io = match error {
        DiskError::Before(io) | DiskError::After(io) => io,
        other => std::io::Error::other(other.to_string()),
    };
    let place = PathBuf::from(format!("{}/{prefix}", root.path().display()));
    unreadable(&place, &io)
}

/// A temporary file with the bytes of `body`.
fn temporary(root: &Root, key: &Key, body: &Body) -> Result<Temporary, StoreError> {
    let mut mismatch = false;
    let written = match body {
        Body::Bytes(bytes) => root.temporary(|file| file.write_all(bytes)),
        Body::File {
            path, size, digest, ..
        } => {
            let mut from = File::open(path).map_err(|error| unreadable(path, &error))?;
            root.temporary(|file| {
                let copied = copy(&mut from, file, *size)?;
                mismatch = copied.is_none_or(|(length, sum)| length != *size || sum != *digest);
                Ok(())
            })
        }
    };
    let temporary = written.map_err(|error| failed(root, key, error))?;
    match body {
        Body::File { path, .. } if mismatch => Err(StoreError::Failed(changed(path))),
        _ => Ok(temporary),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Failed(disk(path, error))
}

/// Writes the headers that belong to `body`; where none do, removes those of an object before it.
fn put_headers(root: &Root, key: &Key, body: &Body, headers: &Headers) -> Result<(), DiskError> {
    let name = headers_path(key);
    if headers.is_empty() {
        return root.remove(&name);
    }
    let document = crate::release::to_bytes(&HeadersFile {
        schema: HEADERS_SCHEMA.to_owned(),
        digest: body.digest().as_str().to_owned(),
        size: body.size(),
        content_type: headers.content_type.clone(),
        cache_control: headers.cache_control.clone(),
        content_encoding: headers.content_encoding.clone(),
        metadata: headers.metadata.clone(),
    });
    let temporary = root.temporary(|file| file.write_all(&document))?;
    root.replace(&temporary, &name)
}

/// The lock under which headers and their object change together; without it a creator that loses could leave its headers beside the winner's
/// bytes. Objects without headers need none.
fn headers_lock(root: &Root, key: &Key, headers: &Headers) -> Result<Option<Lock>, DiskError> {
    if headers.is_empty() && root.file(&headers_path(key))?.is_none() {
        return Ok(None);
    }
    root.lock(HEADERS_LOCK).map(Some)
}

/// The headers of the object in `file`; none when their file speaks of other bytes.
fn headers_of(root: &Root, key: &Key, file: &mut File, size: u64) -> Result<Headers, DiskError> {
    let Some(stored) = root.file(&headers_path(key))? else {
        return Ok(Headers::default());
    };
    let mut document = Vec::new();
    stored.take(LONGEST_HEADERS).read_to_end(&mut document)?;
    let Some(found) = serde_json::from_slice::<HeadersFile>(&document)
        .ok()
        .filter(|found| found.schema == HEADERS_SCHEMA && found.size == size)
    else {
        return Ok(Headers::default());
    };
    let theirs = copy(file, &mut std::io::sink(), u64::MAX)?;
    if theirs.is_none_or(|(_, digest)| digest.as_str() != found.digest) {
        return Ok(Headers::default());
    }
    Ok(Headers {
        content_type: found.content_type,
        cache_control: found.cache_control,
        content_encoding: found.content_encoding,
        metadata: found.metadata,
    })
}

fn create(root: &Root, key: &Key, body: &Body, headers: &Headers) -> Result<Created, StoreError> {
    let path = path_of(key)?;
    let told = |error| failed(root, key, error);
    if root.file(path).map_err(told)?.is_some() {
        return Ok(Created::Exists);
    }
    let temporary = temporary(root, key, body)?;
    let lock = headers_lock(root, key, headers).map_err(told)?;
    if lock.is_some() {
        if root.file(path).map_err(told)?.is_some() {
            return Ok(Created::Exists);
        }
        put_headers(root, key, body, headers).map_err(told)?;
    }
    let created = root.create(&temporary, path).map_err(told)?;
    Ok(if created {
        Created::New
    } else {
        Created::Exists
    })
}

#[async_trait]
impl Store for DirectoryStore {
    async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.clone();
        self.blocking(move |root| {
            let told = |error| failed(root, &key, error);
            let Some(file) = root.file(path_of(&key)?).map_err(told)? else {
                return Ok(None);
            };
            let mut bytes = Vec::new();
            file.take(limit.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|error| told(error.into()))?;
            if bytes.len() as u64 > limit {
                let place = root.path().display().to_string();
                return Err(StoreError::Failed(too_large(&place, &key, limit)));
            }
            Ok(Some(bytes))
        })
        .await
    }

    async fn fetch(&self, key: &Key, to: &Path, limit: u64) -> Result<Option<Digest>, StoreError> {
        let (key, to) = (key.clone(), to.to_owned());
        self.blocking(move |root| {
            let Some(mut from) = root
                .file(path_of(&key)?)
                .map_err(|error| failed(root, &key, error))?
            else {
                return Ok(None);
            };
            let mut file = File::create_new(&to).map_err(|error| unreadable(&to, &error))?;
            let copied = copy(&mut from, &mut file, limit);
            if !matches!(copied, Ok(Some(_))) {
                let _ = std::fs::remove_file(&to);
            }
            match copied {
                Ok(Some((_, digest))) => Ok(Some(digest)),
                Ok(None) => {
                    let place = root.path().display().to_string();
                    Err(StoreError::Failed(too_large(&place, &key, limit)))
                }
                Err(error) => Err(unreadable(&to, &error)),
            }
        })
        .await
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        let key = key.clone();
        self.blocking(move |root| {
            let told = |error| failed(root, &key, error);
            let Some(mut file) = root.file(path_of(&key)?).map_err(told)? else {
                return Ok(None);
            };
            let metadata = file.metadata().map_err(|error| told(error.into()))?;
            let size = metadata.len();
            let headers = headers_of(root, &key, &mut file, size).map_err(told)?;
            Ok(Some(ObjectInfo {
                size,
                headers,
                modified: Some(metadata.mtime()),
            }))
        })
        .await
    }

    async fn create(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
    ) -> Result<Created, StoreError> {
        let (key, body, headers) = (key.clone(), body.clone(), headers.clone());
        self.blocking(move |root| create(root, &key, &body, &headers))
            .await
    }

    async fn replace(&self, key: &Key, body: &Body, headers: &Headers) -> Result<(), StoreError> {
        let (key, body, headers) = (key.clone(), body.clone(), headers.clone());
        self.blocking(move |root| {
            let path = path_of(&key)?;
            let told = |error| failed(root, &key, error);
            let temporary = temporary(root, &key, &body)?;
            let lock = headers_lock(root, &key, &headers).map_err(told)?;
            if lock.is_some() {
                put_headers(root, &key, &body, &headers).map_err(told)?;
            }
            root.replace(&temporary, path).map_err(told)
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.blocking(move |root| {
            let names = root
                .files(&prefix)
                .map_err(|error| unlisted(root, &prefix, error))?;
            Ok(names
                .iter()
                .filter(|name| after.as_ref().is_none_or(|after| *name > after))
                .filter_map(|name| Key::parse(name).ok())
                .collect())
        })
        .await
    }

    async fn inventory(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let prefix = prefix.to_owned();
        self.blocking(move |root| {
            let told = |error| unlisted(root, &prefix, error);
            let mut found = Vec::new();
            for name in root.files(&prefix).map_err(told)? {
                let Ok(key) = Key::parse(&name) else { continue };
                // One that is gone was removed while we looked.
                let Some(file) = root.file(&name).map_err(told)? else {
                    continue;
                };
                let metadata = file.metadata().map_err(|error| told(error.into()))?;
                found.push(Listed {
                    key,
                    size: metadata.len(),
                    modified: Some(metadata.mtime()),
                });
            }
            Ok(found)
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        self.blocking(move |root| {
            let told = |error| failed(root, &key, error);
            root.remove(path_of(&key)?).map_err(told)?;
            let name = headers_path(&key);
            if root.file(&name).map_err(told)?.is_some() {
                let _lock = root.lock(HEADERS_LOCK).map_err(told)?;
                root.remove(&name).map_err(told)?;
            }
            Ok(())
        })
        .await
    }

    fn describe(&self) -> String {
        format!("file://{}", self.root.path().display())
    }
}
