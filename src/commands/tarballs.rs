//! Where the bytes of a decided package come from: the store, this machine, or a build of its release commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::apply::build::Packed;
use crate::apply::publish::Tarballs;
use crate::apply::seal;
use crate::commands::{Session, rebuild};
use crate::explain::{Exit, Failure};
use crate::name::{CommitId, Digest, PackageName};
use crate::plan::next::DecidedPackage;
use crate::release::seal::Seal;
use crate::remote::store::Store;

/// Tarballs that a seal names: this machine's, where it built them, else the store's.
pub struct Sealed<'a> {
    store: &'a dyn Store,
    digests: BTreeMap<PackageName, (Digest, u64)>,
    packed: Option<Arc<Packed>>,
}

impl<'a> Sealed<'a> {
    /// The tarballs of `seal`.
    pub fn new(
        store: &'a dyn Store,
        seal: &Seal,
        packed: Option<Arc<Packed>>,
    ) -> Result<Sealed<'a>, Failure> {
        let digests = seal
            .packages
            .iter()
            .map(|package| {
                let digest = Digest::parse(&package.digest)?;
                Ok((PackageName::parse(&package.name)?, (digest, package.size)))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Sealed {
            store,
            digests,
            packed,
        })
    }
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Sealed<'_> {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let Some((digest, size)) = self.digests.get(&package.name) else {
            return Err(Failure::new(
                Exit::Integrity,
                "seal::package",
                format!("the seal does not hold {}", package.name),
            ));
        };
        if let Some(local) = self
            .packed
            .as_deref()
            .and_then(|packed| seal::local_bytes(packed, digest, *size))
        {
            return local;
        }
        seal::blob(self.store, digest, *size).await
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
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Built {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let built = self
            .0
            .packages
            .iter()
            .find(|built| built.name == package.name);
        match built.and_then(|built| seal::local_bytes(&self.0, &built.digest, built.size)) {
            Some(bytes) => bytes,
            None => Err(Failure::new(
                Exit::Integrity,
                "build::lost",
                format!("{} was not built", package.name),
            )),
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
}

#[async_trait::async_trait(?Send)]
impl Tarballs for Rebuilt<'_, '_> {
    async fn bytes(&self, package: &DecidedPackage) -> Result<Vec<u8>, Failure> {
        let built = self
            .built
            .get_or_try_init(|| async {
                tokio::task::block_in_place(|| rebuild::rebuild(self.session, self.commit))
                    .map(Arc::new)
            })
            .await?;
        Built(Arc::clone(built)).bytes(package).await
    }
}
