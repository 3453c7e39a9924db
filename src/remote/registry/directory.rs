//! `file:///dir`: a tree that any static HTTP server can serve to `npm install`.
//!
//! The document of a package is the file `<dir>/<name>` (scoped: `<dir>/@scope/name`), its tarballs are `<dir>/-/tarballs/<name>/<file>.tgz`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use url::Url;

use super::document::{self, LONGEST_PACKUMENT};
use super::{
    Publication, PublishedPackage, Registry, RegistryError, StageId, Staged, no_stages, proven,
};
use crate::explain::{Exit, Failure};
use crate::name::PackageName;
use crate::remote::disk::{DiskError, Root, exit_of};
use crate::settings::PUBLIC_REGISTRY;
use crate::settings::identity::Trust;

const LOCK: &str = ".pkgs-lock";

/// A directory as a registry. Publishing locks it, so that two publishes never lose each other's version; readers see a document before or after a
/// publish, never between, and a tarball is there before the document that names it.
#[derive(Debug, Clone)]
pub struct DirectoryRegistry {
    root: Arc<Root>,
    tarballs: Url,
}

impl DirectoryRegistry {
    /// Opens the directory at `path`, which must be there. `registry_url` is the address that it is served at; without it, npm finds the tarballs at
    /// the host it was asked with (`replace-registry-host`), as long as the tree is served at that host's root. Other package managers, and a server
    /// below a path, need it.
    ///
    /// # Errors
    /// `registry::no_directory`, exit 2.
    pub fn open(path: &Path, registry_url: Option<Url>) -> Result<DirectoryRegistry, Failure> {
        let unusable = |why: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Usage,
                "registry::no_directory",
                format!("cannot use {} as a registry", path.display()),
            )
            .because(why)
            .hint("create the directory, or mount what belongs there")
        };
        let mut base = match registry_url {
            Some(url) => url,
            None => Url::parse(PUBLIC_REGISTRY).map_err(|error| unusable(&error))?,
        };
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(DirectoryRegistry {
            root: Arc::new(Root::open(path).map_err(|error| unusable(&error))?),
            tarballs: base.join("-/tarballs/").map_err(|error| unusable(&error))?,
        })
    }

    /// Writes what `edit` makes of the document of a package, which gives nothing where there is none.
    async fn edited(
        &self,
        name: &PackageName,
        edit: impl FnOnce(&Root, &PackageName) -> Result<Option<Vec<u8>>, RegistryError>
        + Send
        + 'static,
    ) -> Result<(), RegistryError> {
        let name = name.clone();
        self.blocking(move |root| {
            let _lock = root.lock(LOCK).map_err(|error| failed(root, LOCK, error))?;
            let Some(bytes) = edit(root, &name)? else {
                return Err(RegistryError::Failed(
                    Failure::new(
                        Exit::Refused,
                        "registry::no_package",
                        format!("{} has no {name}", root.path().display()),
                    )
                    .hint("check `registry` and `registries`: it may be on another one"),
                ));
            };
            store(root, name.as_str(), &bytes)
        })
        .await
    }

    /// Runs `work` on a thread where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let root = Arc::clone(&self.root);
        let done = tokio::task::spawn_blocking(move || work(&root)).await;
        done.unwrap_or_else(|error| {
            Err(RegistryError::Uncertain(
                Failure::new(
                    Exit::Temporary,
                    "registry::disk",
                    "work on the registry's directory was cut short",
                )
                .because(error),
            ))
        })
    }
}

fn failed(root: &Root, what: &str, error: DiskError) -> RegistryError {
    let failure = |exit, why: &dyn std::fmt::Display| {
        Failure::new(
            exit,
            "registry::disk",
            format!("cannot read or write {what} in {}", root.path().display()),
        )
        .because(why)
        .hint("check that the directory is there, that there is room, and that this user may write to it")
    };
    match error {
        DiskError::Shape(why) => RegistryError::Failed(failure(Exit::Refused, &why)),
        DiskError::Link => RegistryError::Failed(failure(Exit::Refused, &error)),
        DiskError::Before(io) => RegistryError::Failed(failure(exit_of(&io), &io)),
        DiskError::After(io) => RegistryError::Uncertain(failure(Exit::Temporary, &io)),
    }
}

fn damaged(root: &Root, name: &PackageName, why: &str) -> RegistryError {
    RegistryError::Failed(
        Failure::new(
            Exit::Integrity,
            "registry::document",
            format!(
                "the document of {name} in {} is damaged",
                root.path().display()
            ),
        )
        .because(why)
        .hint("restore it from a copy; every published version stands in it"),
    )
}

/// The bytes of a package's document.
fn stored(root: &Root, name: &PackageName) -> Result<Option<Vec<u8>>, RegistryError> {
    let told = |error| failed(root, name.as_str(), error);
    let Some(file) = root.file(name.as_str()).map_err(told)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_PACKUMENT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| told(error.into()))?;
    if bytes.len() as u64 > LONGEST_PACKUMENT {
        return Err(damaged(root, name, "it is too long"));
    }
    Ok(Some(bytes))
}

/// A package's document, checked, to be written again.
fn editable(root: &Root, name: &PackageName) -> Result<Option<Map<String, Value>>, RegistryError> {
    let Some(bytes) = stored(root, name)? else {
        return Ok(None);
    };
    document::read(name, &bytes).map_err(|why| damaged(root, name, &why))?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| damaged(root, name, &error.to_string()))
}

fn store(root: &Root, path: &str, bytes: &[u8]) -> Result<(), RegistryError> {
    root.temporary(|file| file.write_all(bytes))
        .and_then(|temporary| root.replace(&temporary, path))
        .map_err(|error| failed(root, path, error))
}

/// Sets `path`, two names deep, in a document.
fn set(document: &mut Map<String, Value>, path: [&str; 2], value: Value) {
    let inner = document
        .entry(path[0])
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        inner.insert(path[1].to_owned(), value);
    }
}

fn publish(root: &Root, tarballs: &Url, publication: &Publication) -> Result<(), RegistryError> {
    let name = &publication.name;
    let number = publication.version.to_string();
    let _lock = root.lock(LOCK).map_err(|error| failed(root, LOCK, error))?;
    let mut packument = editable(root, name)?.unwrap_or_else(|| {
        Map::from_iter([
            ("_id".to_owned(), json!(name.as_str())),
            ("name".to_owned(), json!(name.as_str())),
            ("dist-tags".to_owned(), json!({})),
            ("versions".to_owned(), json!({})),
        ])
    });
    if packument
        .get("versions")
        .and_then(|versions| versions.get(&number))
        .is_some()
    {
        return Err(RegistryError::AlreadyThere(Failure::new(
            Exit::RemoteRefused,
            "registry::already_there",
            format!("{} has {name} {number} already", root.path().display()),
        )));
    }
    let file = format!("{name}/{}-{number}.tgz", name.as_file_name());
    let address = tarballs
        .join(&file)
        .map_err(|error| failed(root, &file, DiskError::Before(std::io::Error::other(error))))?;
    // What is there without a version that names it was left by a crash.
    store(root, &format!("-/tarballs/{file}"), &publication.tarball)?;
    let version = document::version(publication, address.as_str());
    for field in ["description", "readme"] {
        if let Some(value) = version.get(field) {
            packument.insert(field.to_owned(), value.clone());
        }
    }
    set(
        &mut packument,
        ["versions", &number],
        Value::Object(version),
    );
    set(
        &mut packument,
        ["dist-tags", &publication.dist_tag],
        json!(number),
    );
    // npm refuses a document without `latest`, and the first version has it on every registry.
    if packument["dist-tags"].get("latest").is_none() {
        set(&mut packument, ["dist-tags", "latest"], json!(number));
    }
    store(root, name.as_str(), &crate::release::to_bytes(&packument))
}

#[async_trait]
impl Registry for DirectoryRegistry {
    async fn package(&self, name: &PackageName) -> Result<Option<PublishedPackage>, RegistryError> {
        let name = name.clone();
        self.blocking(move |root| {
            let Some(bytes) = stored(root, &name)? else {
                return Ok(None);
            };
            let package = document::read(&name, &bytes);
            package.map(Some).map_err(|why| damaged(root, &name, &why))
        })
        .await
    }

    async fn publish(&self, publication: &Publication) -> Result<(), RegistryError> {
        proven(publication)?;
        let (publication, tarballs) = (publication.clone(), self.tarballs.clone());
        self.blocking(move |root| publish(root, &tarballs, &publication))
            .await
    }

    async fn check_writable(&self) -> Result<(), RegistryError> {
        self.blocking(|root| {
            root.temporary(|file| file.write_all(b"\n"))
                .map(drop)
                .map_err(|error| failed(root, "a file", error))
        })
        .await
    }

    async fn set_dist_tag(
        &self,
        name: &PackageName,
        tag: &str,
        version: &str,
    ) -> Result<(), RegistryError> {
        let (tag, version) = (tag.to_owned(), version.to_owned());
        self.edited(name, move |root, name| {
            let mut packument = editable(root, name)?;
            if let Some(packument) = &mut packument {
                set(packument, ["dist-tags", &tag], json!(version));
            }
            Ok(packument.map(|packument| crate::release::to_bytes(&packument)))
        })
        .await
    }

    async fn deprecate(
        &self,
        name: &PackageName,
        messages: &BTreeMap<String, Option<String>>,
    ) -> Result<(), RegistryError> {
        let messages = messages.clone();
        self.edited(name, move |root, name| {
            let Some(bytes) = stored(root, name)? else {
                return Ok(None);
            };
            let text = document::deprecated(name, &bytes, &messages);
            let text = text.map_err(|why| damaged(root, name, &why))?;
            Ok(Some(text.into_bytes()))
        })
        .await
    }

    async fn trusts(&self, _: &PackageName, _: bool) -> Result<Option<Trust>, RegistryError> {
        Ok(None)
    }

    async fn stage(&self, _: &Publication) -> Result<Option<StageId>, RegistryError> {
        Err(RegistryError::Failed(no_stages(&self.describe())))
    }

    async fn staged(&self, _: &PackageName) -> Option<BTreeMap<String, Staged>> {
        None
    }

    fn describe(&self) -> String {
        format!("file://{}", self.root.path().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_that_cannot_be_written_to_is_known_before_a_publish() {
        let directory = tempfile::tempdir().unwrap();
        let registry = DirectoryRegistry::open(directory.path(), None).unwrap();
        registry.check_writable().await.unwrap();
        let temporary = directory.path().join(".pkgs-tmp");
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
        std::fs::remove_dir(&temporary).unwrap();
        // Also root cannot make a directory there.
        std::fs::write(temporary, "").unwrap();
        let error = registry.check_writable().await.unwrap_err();
        let RegistryError::Failed(failure) = error else {
            panic!("{error}");
        };
        assert_eq!(failure.code(), "registry::disk");
    }
}
