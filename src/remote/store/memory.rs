//! A store in memory, for tests.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Body, Created, Headers, Listed, ObjectInfo, Store, StoreError, disk, too_large};
use crate::name::{Digest, Key};

/// Objects in memory, gone with it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, (Vec<u8>, Headers)>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, (Vec<u8>, Headers)>> {
        // Every change is one call on the map, so a thread that panicked left nothing half done.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match self.objects().get(key.as_str()) {
            Some((bytes, _)) if bytes.len() as u64 > limit => {
                Err(StoreError::Failed(too_large("memory", key, limit)))
            }
            found => Ok(found.map(|(bytes, _)| bytes.clone())),
        }
    }
}

fn read(body: &Body) -> Result<Vec<u8>, StoreError> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::File { path, size, .. } => {
            let mut bytes = Vec::new();
            File::open(path)
                .and_then(|file| file.take(*size + 1).read_to_end(&mut bytes))
                .map_err(|error| StoreError::Failed(disk(path, &error)))?;
            if bytes.len() as u64 == *size {
                Ok(bytes)
            } else {
                Err(StoreError::Failed(super::changed(path)))
            }
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.bytes(key, limit)
    }

    async fn fetch(&self, key: &Key, to: &Path, limit: u64) -> Result<Option<Digest>, StoreError> {
        let Some(bytes) = self.bytes(key, limit)? else {
            return Ok(None);
        };
        File::create_new(to)
            .and_then(|mut file| file.write_all(&bytes))
            .map_err(|error| StoreError::Failed(disk(to, &error)))?;
        Ok(Some(Digest::of(&bytes)))
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectInfo>, StoreError> {
        Ok(self
            .objects()
            .get(key.as_str())
            .map(|(bytes, headers)| ObjectInfo {
                size: bytes.len() as u64,
                headers: headers.clone(),
                modified: None,
            }))
    }

    async fn create(
        &self,
        key: &Key,
        body: &Body,
        headers: &Headers,
    ) -> Result<Created, StoreError> {
        use std::collections::btree_map::Entry;
        let bytes = read(body)?;
        match self.objects().entry(key.as_str().to_owned()) {
            Entry::Occupied(_) => Ok(Created::Exists),
            Entry::Vacant(place) => {
                place.insert((bytes, headers.clone()));
                Ok(Created::New)
            }
        }
    }

    async fn replace(&self, key: &Key, body: &Body, headers: &Headers) -> Result<(), StoreError> {
        let bytes = read(body)?;
        self.objects()
            .insert(key.as_str().to_owned(), (bytes, headers.clone()));
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError> {
        Ok(self
            .objects()
            .keys()
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .filter_map(|key| Key::parse(key).ok())
            .collect())
    }

    /// It has no clock: nothing in it is ever old.
    async fn inventory(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Ok(self
            .objects()
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, (bytes, _))| {
                Some(Listed {
                    key: Key::parse(key).ok()?,
                    size: bytes.len() as u64,
                    modified: None,
                })
            })
            .collect())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.objects().remove(key.as_str());
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
