//! From settings to what they name outside: store, registry, forge.

use std::sync::Arc;

use crate::apply::Remotes;
use crate::commands::point;
use crate::explain::{Exit, Failure};
use crate::local::process::Children;
use crate::remote::forge::github::GitHub;
use crate::remote::registry::Registry;
use crate::remote::registry::by_package::ByPackage;
use crate::remote::registry::directory::DirectoryRegistry;
use crate::remote::registry::npm::NpmRegistry;
use crate::remote::sigstore::Sigstore;
use crate::remote::store::remembering::Remembering;
use crate::remote::store::{S3Options, Store};
use crate::settings::{RegistryAddress, Settings, StoreSettings};

/// Opens a store.
pub async fn open_store(settings: &StoreSettings) -> Result<Arc<dyn Store>, Failure> {
    crate::remote::store::open(
        &settings.address,
        &S3Options {
            endpoint: settings.endpoint.clone(),
            region: settings.region.clone(),
            role: settings.role.clone(),
        },
    )
    .await
}

/// Opens everything a release speaks to, but for git.
pub async fn connect(settings: &Settings, children: &Children) -> Result<Remotes, Failure> {
    let store = match settings.store.value() {
        Some(store) => Some(open_store(store).await?),
        None => None,
    };
    around(settings, children, store)
}

/// The same without a store that cannot be opened, and why it cannot: for `doctor`, which tells that and goes on.
pub async fn connect_as_far(
    settings: &Settings,
    children: &Children,
) -> Result<(Remotes, Option<Failure>), Failure> {
    let (store, why) = match settings.store.value() {
        Some(store) => match open_store(store).await {
            Ok(store) => (Some(store), None),
            Err(failure) => (None, Some(failure)),
        },
        None => (None, None),
    };
    Ok((around(settings, children, store)?, why))
}

fn around(
    settings: &Settings,
    children: &Children,
    store: Option<Arc<dyn Store>>,
) -> Result<Remotes, Failure> {
    Ok(Remotes {
        store: store.map(|store| Arc::new(Remembering::new(store)) as Arc<dyn Store>),
        registry: registry(settings)?,
        signer: signer(settings),
        forge: forge(settings)?,
        static_roots: Arc::new(point::Roots::new(settings)),
        cdns: Arc::new(point::Cdns::new(settings, children)),
    })
}

/// The registries alone: what `plan` needs.
pub fn registry(settings: &Settings) -> Result<Arc<ByPackage>, Failure> {
    let default: Arc<dyn Registry> = match &settings.registry {
        RegistryAddress::Npm(url) => {
            let registry = NpmRegistry::new(url.clone(), settings.npm_token.clone())?;
            Arc::new(registry.with_identity(settings.identity.clone()))
        }
        RegistryAddress::Directory { path, url } => {
            Arc::new(DirectoryRegistry::open(path, url.clone())?)
        }
    };
    let everywhere = settings.registry.clone();
    let registries = settings.registries.clone();
    Ok(Arc::new(ByPackage::new(everywhere, default, registries)))
}

/// What signs where packages were built, where the job has an identity for that.
pub fn signer(settings: &Settings) -> Option<Arc<Sigstore>> {
    let identity = settings.job.identity.clone()?;
    let services = settings.services.clone();
    Some(Arc::new(Sigstore::new(identity, services)))
}

fn forge(settings: &Settings) -> Result<Option<Arc<GitHub>>, Failure> {
    let runner = &settings.runner;
    match (&runner.api_url, &settings.token, &runner.repository) {
        (Some(api), Some(token), Some(repository)) if runner.is_actions => Ok({
            let api = url::Url::parse(api).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    "settings::url",
                    "GITHUB_API_URL is not an address",
                )
                .because(error)
            })?;
            Some(Arc::new(GitHub::new(&api, token.clone(), repository)?))
        }),
        _ => Ok(None),
    }
}
