//! A store that is asked once for what never changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Body, Created, Headers, Listed, ObjectInfo, Store, StoreError, Unfinished, too_large};
use crate::name::{Digest, Key};
use crate::release::layout;

/// What is remembered together, in bytes.
const MOST: usize = 16 << 20;

/// Another store, and what was read from it and is written only once ([`layout::is_written_once`]). Everything else goes through, and what this
/// process writes is not remembered before it was read back.
pub struct Remembering {
    inner: Arc<dyn Store>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    objects: BTreeMap<Key, Vec<u8>>,
    size: usize,
}

impl Remembering {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Remembering {
        Remembering {
            inner,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget(&mut self, key: &Key) {
        if let Some(bytes) = self.objects.remove(key) {
            self.size -= bytes.len();
        }
    }

    fn keep(&mut self, key: &Key, bytes: &[u8]) {
        if self.size + bytes.len() <= MOST
            && self.objects.insert(key.clone(), bytes.to_vec()).is_none()
        {
            self.size += bytes.len();
        }
    }
}

#[async_trait]
impl Store for Remembering {
    async fn get(&self, key: &Key, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(bytes) = self.memory().objects.get(key) {
            return if bytes.len() as u64 > limit {
                Err(StoreError::Failed(too_large(&self.describe(), key, limit)))
            } else {
                Ok(Some(bytes.clone()))
            };
        }
        let found = self.inner.get(key, limit).await?;
        if let Some(bytes) = &found
            && layout::is_written_once(key)
        {
            self.memory().keep(key, bytes);
        }
        Ok(found)
    }

    async fn fetch(&self, key: &Key, to: &Path, limit: u64) -> Result<Option<Digest>, StoreError> {
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
        self.inner.create(key, body, headers).await
    }

    async fn replace(&self, key: &Key, body: &Body, headers: &Headers) -> Result<(), StoreError> {
        self.inner.replace(key, body, headers).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Key>, StoreError> {
        self.inner.list(prefix, after).await
    }

    async fn inventory(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.inventory(prefix).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.memory().forget(key);
        self.inner.delete(key).await
    }

    async fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        for key in keys {
            self.memory().forget(key);
        }
        self.inner.delete_all(keys).await
    }

    async fn give_up(&self) {
        self.inner.give_up().await;
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, StoreError> {
        self.inner.unfinished(prefix).await
    }

    async fn give_back(&self, upload: &Unfinished) -> Result<(), StoreError> {
        self.inner.give_back(upload).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::store::memory::MemoryStore;

    #[tokio::test]
    async fn only_what_is_written_once_is_remembered() {
        let inner = Arc::new(MemoryStore::new());
        let store = Remembering::new(Arc::clone(&inner) as Arc<dyn Store>);
        let blob = layout::blob(&Digest::of(b"1"));
        let hint = Key::parse("v1/apps/web/environments/sit/current.json").expect("a key");
        let none = Headers::default();
        let write = async |key: &Key, text: &str| {
            let body = Body::Bytes(text.as_bytes().to_vec());
            inner.replace(key, &body, &none).await.expect("written");
        };
        let read = async |key: &Key, limit: u64| store.get(key, limit).await;
        assert_eq!(read(&blob, 9).await.expect("an answer"), None);
        for key in [&blob, &hint] {
            write(key, "first").await;
            assert_eq!(
                read(key, 9).await.expect("an answer"),
                Some(b"first".to_vec())
            );
            write(key, "other").await;
        }
        assert_eq!(
            read(&blob, 9).await.expect("an answer"),
            Some(b"first".to_vec())
        );
        assert_eq!(
            read(&hint, 9).await.expect("an answer"),
            Some(b"other".to_vec())
        );
        assert!(matches!(read(&blob, 4).await, Err(StoreError::Failed(_))));
        store.delete(&blob).await.expect("removed");
        assert_eq!(read(&blob, 9).await.expect("an answer"), None);
    }
}
