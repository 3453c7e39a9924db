//! Where the bytes of a decided package come from: the store, this machine, or a build of its release commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::apply::build::{Packed, PackedPackage};
use crate::apply::publish::Tarballs;
use crate::apply::seal;
use crate::commands::{Session, rebuild};
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, Digest, Integrity, PackageName};
use crate::plan::next::DecidedPackage;
use crate::release::LONGEST_DOCUMENT;
use crate::release::seal::Seal;
use crate::remote::store::Store;

/// What a seal names of a package.
struct Blobs {
    tarball: Digest,
    size: u64,
    manifest: Option<Digest>,
}

/// Tarballs that a seal names: this machine's, where it built them, else the store's.
pub struct Sealed<'a> {
    store: &'a dyn Store,
    packages: BTreeMap<PackageName, Blobs>,
    packed: Option<Arc<Packed>>,
}

impl<'a> Sealed<'a> {
    /// The tarballs of `seal`.
    pub fn new(
        store: &'a dyn Store,
        seal: &Seal,
        packed: Option<Arc<Packed>>,
    ) -> Result<Sealed<'a>, Failure> {
        let packages = seal.packages.iter().map(|package| {
            let blobs = Blobs {
                tarball: Digest::parse(&package.digest)?,
                size: package.size,
                manifest: package.manifest.as_deref().map(Digest::parse).transpose()?,
            };
            Ok((PackageName::parse(&package.name)?, blobs))
        });
        Ok(Sealed {
            store,
            packages: packages.collect::<Result<_, Failure>>()?,
            packed,
        })
    }

    fn blobs(&self, package: &DecidedPackage) -> Result<&Blobs, Failure> {
        self.packages.get(&package.name).ok_or_else(|| {
            Failure::new(
                Exit::Integrity,
                "seal::package",
                format!("the seal does not hold {}", package.name),
            )
        })
    }

    /// A blob of at most `limit` bytes: this machine's, where it is here, else the store's.
    async fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Failure> {
        let packed = self.packed.as_deref();
        match packed.and_then(|packed| seal::local_bytes(packed, digest, limit)) {
            Some(local) => local,
            None => seal::blob(self.store, digest, limit).await,
        }
    }
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Sealed<'_> {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let blobs = self.blobs(package)?;
        self.blob(&blobs.tarball, blobs.size).await
    }

    async fn manifest(
        &self,
        package: &DecidedPackage,
    ) -> Result<Option<Map<String, Value>>, Failure> {
        let Some(digest) = &self.blobs(package)?.manifest else {
            return Ok(None);
        };
        let bytes = self.blob(digest, LONGEST_DOCUMENT).await?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let what = format!("the seal names what is no manifest of {}", package.name);
            Failure::new(Exit::Integrity, "seal::package", what).because(error)
        })
    }
}

/// Tarballs in a store that was not named: whoever needs one is told this.
pub struct Storeless(pub Failure);

#[async_trait::async_trait(?Send)]
impl Tarballs for Storeless {
    async fn bytes(&self, _: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        Err(self.0.clone())
    }
}

/// Tarballs that were built on this machine.
pub struct Built(Arc<Packed>);

impl Built {
    /// The tarballs of a build.
    pub fn new(packed: &Arc<Packed>) -> Built {
        Built(Arc::clone(packed))
    }

    fn built(&self, package: &DecidedPackage) -> Option<&PackedPackage> {
        let mut packages = self.0.packages.iter();
        packages.find(|built| built.name == package.name)
    }
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Built {
    async fn manifest(
        &self,
        package: &DecidedPackage,
    ) -> Result<Option<Map<String, Value>>, Failure> {
        Ok(self.built(package).map(|built| built.manifest.clone()))
    }

    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let lost = |what| Failure::new(Exit::Integrity, "build::lost", what);
        let Some(built) = self.built(package) else {
            return Err(lost(format!("{} was not built", package.name)));
        };
        match seal::local_bytes(&self.0, &built.digest, built.size) {
            // What lies on a disk can be written by others until it is sent.
            Some(Ok(bytes)) if Integrity::of(&bytes) == built.integrity => Ok(bytes),
            Some(Err(failure)) => Err(failure),
            _ => Err(lost(format!(
                "the tarball of {} is not what it was any more",
                package.name
            ))),
        }
    }
}

/// Tarballs of a decided release without a seal, built only when one is missing on the registry.
pub struct Rebuilt<'a, 'b> {
    session: &'a Session<'b>,
    commit: &'a CommitId,
    built: tokio::sync::OnceCell<Arc<Packed>>,
}

impl<'a, 'b> Rebuilt<'a, 'b> {
    /// The tarballs of the release at `commit`; nothing is built yet.
    pub fn new(session: &'a Session<'b>, commit: &'a CommitId) -> Rebuilt<'a, 'b> {
        Rebuilt {
            session,
            commit,
            built: tokio::sync::OnceCell::new(),
        }
    }

    async fn built(&self) -> Result<Built, Failure> {
        let built = self.built.get_or_try_init(|| async {
            tokio::task::block_in_place(|| rebuild::rebuild(self.session, self.commit))
                .map(Arc::new)
        });
        Ok(Built(Arc::clone(built.await?)))
    }
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Rebuilt<'_, '_> {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let built = self.built().await?;
        let integrity = built.built(package).map(|built| &built.integrity);
        match (&self.session.settings.artifacts, integrity) {
            // What is built again may differ; what was packed once is what was decided, or it is something else.
            (Some(given), Some(integrity)) if *integrity != package.integrity => {
                let why = format!(
                    "its tarball of {} is not the one that was decided",
                    package.name
                );
                Err(rebuild::other_release(given, self.commit, why))
            }
            _ => built.bytes(package).await,
        }
    }

    async fn manifest(
        &self,
        package: &DecidedPackage,
    ) -> Result<Option<Map<String, Value>>, Failure> {
        self.built().await?.manifest(package).await
    }
}
