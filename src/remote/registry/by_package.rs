//! Several registries as one: each package is looked for, and published, at its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use url::Url;

use super::npm::NpmRegistry;
use super::{
    Publication, PublishRight, PublishedPackage, Registry, RegistryError, StageId, Staged, Trust,
};
use crate::explain::Failure;
use crate::name::PackageName;
use crate::settings::RegistryAddress;
use crate::settings::registries::credentials::Credential;
use crate::settings::registries::{Declared, Destinations, Registries};

/// Where packages go, by their names: what a manifest says is known of those that were told by [`ByPackage::told`], what settings say of a
/// scope of all.
pub struct ByPackage {
    everywhere: RegistryAddress,
    default: Arc<dyn Registry>,
    registries: Registries,
    /// The packages of the workspace at the commit that is looked at.
    known: RwLock<Destinations>,
    /// One client for each address.
    clients: Mutex<BTreeMap<Url, Arc<dyn Registry>>>,
}

/// A registry, and what goes there.
pub struct Place<'n> {
    /// Its address; `None`: the default registry.
    pub address: Option<Url>,
    /// The registry.
    pub registry: Arc<dyn Registry>,
    /// The names that go there.
    pub names: Vec<&'n str>,
}

impl ByPackage {
    /// `default` is the registry at `everywhere`, where what has none of its own goes.
    pub fn new(
        everywhere: RegistryAddress,
        default: Arc<dyn Registry>,
        registries: Registries,
    ) -> ByPackage {
        ByPackage {
            everywhere,
            default,
            registries,
            known: RwLock::default(),
            clients: Mutex::default(),
        }
    }

    /// Takes over where the packages of a workspace go. It differs from commit to commit, so it is told of each before anything is asked.
    pub fn told(&self, destinations: Destinations) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = destinations;
    }

    /// Where a package goes; `None`: where all go.
    ///
    /// # Errors
    /// `plan::registry`, exit 3, where the repository names a place that the workflow did not.
    pub fn destination(&self, name: &PackageName) -> Result<Option<Url>, Failure> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = known.get(name) {
            return destination.clone();
        }
        let declared = Declared::default();
        let found = self
            .registries
            .destination(name, &declared, &self.everywhere)?;
        Ok(found.registry)
    }

    /// The registry of a package.
    ///
    /// # Errors
    /// Those of [`ByPackage::destination`], and `npm::url`.
    pub fn of(&self, name: &PackageName) -> Result<Arc<dyn Registry>, Failure> {
        self.at(self.destination(name)?)
    }

    fn at(&self, address: Option<Url>) -> Result<Arc<dyn Registry>, Failure> {
        let Some(address) = address else {
            return Ok(Arc::clone(&self.default));
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&address) {
            return Ok(Arc::clone(client));
        }
        let credential = self.registries.credentials.of(&address).given();
        let client: Arc<dyn Registry> = Arc::new(NpmRegistry::new(address.clone(), credential)?);
        clients.insert(address, Arc::clone(&client));
        Ok(client)
    }

    /// The registries of some packages, each with the names that go there.
    ///
    /// # Errors
    /// Those of [`ByPackage::of`].
    pub fn places<'n>(&self, names: &[&'n str]) -> Result<Vec<Place<'n>>, Failure> {
        let mut places: BTreeMap<Option<Url>, Vec<&'n str>> = BTreeMap::new();
        for name in names {
            let destination = self.destination(&PackageName::parse(name)?)?;
            places.entry(destination).or_default().push(name);
        }
        let place = |(address, names): (Option<Url>, Vec<&'n str>)| {
            Ok(Place {
                registry: self.at(address.clone())?,
                address,
                names,
            })
        };
        places.into_iter().map(place).collect()
    }

    /// The credential of the registry at `address`; `None`: of the default one.
    pub fn credential(&self, address: Option<&Url>) -> Credential {
        match (address, &self.everywhere) {
            (Some(address), _) | (None, RegistryAddress::Npm(address)) => {
                self.registries.credentials.of(address)
            }
            (None, RegistryAddress::Directory { .. }) => Credential::Missing,
        }
    }

    /// Why the registry at `address` may have no credential although somebody gave one; `None`: the default one.
    pub fn why_missing(&self, address: Option<&Url>) -> Option<String> {
        match (address, &self.everywhere) {
            (Some(address), _) | (None, RegistryAddress::Npm(address)) => {
                self.registries.credentials.why_missing(address)
            }
            (None, RegistryAddress::Directory { .. }) => None,
        }
    }

    /// The registry of a package as a person wrote it; of one that goes nowhere, where all go.
    pub fn describe_of(&self, name: &PackageName) -> String {
        self.of(name)
            .map_or_else(|_| self.describe(), |registry| registry.describe())
    }
}

#[async_trait]
impl Registry for ByPackage {
    async fn package(&self, name: &PackageName) -> Result<Option<PublishedPackage>, RegistryError> {
        let registry = self.of(name).map_err(RegistryError::Failed)?;
        registry.package(name).await
    }

    async fn publish(&self, publication: &Publication) -> Result<(), RegistryError> {
        let registry = self.of(&publication.name).map_err(RegistryError::Failed)?;
        registry.publish(publication).await
    }

    async fn check_credential(&self) -> Result<(), RegistryError> {
        self.default.check_credential().await
    }

    async fn check_writable(&self) -> Result<(), RegistryError> {
        self.default.check_writable().await
    }

    async fn publish_right(&self, name: &PackageName) -> PublishRight {
        match self.of(name) {
            Ok(registry) => registry.publish_right(name).await,
            Err(_) => PublishRight::Unknown,
        }
    }

    async fn trusts(
        &self,
        name: &PackageName,
        stages: bool,
    ) -> Result<Option<Trust>, RegistryError> {
        let registry = self.of(name).map_err(RegistryError::Failed)?;
        registry.trusts(name, stages).await
    }

    async fn is_public(&self, name: &PackageName) -> Result<bool, RegistryError> {
        let registry = self.of(name).map_err(RegistryError::Failed)?;
        registry.is_public(name).await
    }

    async fn stage(&self, publication: &Publication) -> Result<Option<StageId>, RegistryError> {
        let registry = self.of(&publication.name).map_err(RegistryError::Failed)?;
        registry.stage(publication).await
    }

    async fn staged(&self, name: &PackageName) -> Option<BTreeMap<String, Staged>> {
        self.of(name).ok()?.staged(name).await
    }

    async fn set_dist_tag(
        &self,
        name: &PackageName,
        tag: &str,
        version: &str,
    ) -> Result<(), RegistryError> {
        let registry = self.of(name).map_err(RegistryError::Failed)?;
        registry.set_dist_tag(name, tag, version).await
    }

    async fn deprecate(
        &self,
        name: &PackageName,
        messages: &BTreeMap<String, Option<String>>,
    ) -> Result<(), RegistryError> {
        let registry = self.of(name).map_err(RegistryError::Failed)?;
        registry.deprecate(name, messages).await
    }

    /// The default registry.
    fn describe(&self) -> String {
        self.default.describe()
    }
}
