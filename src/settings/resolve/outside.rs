//! What decides where bytes and credentials go.

use std::collections::BTreeMap;

use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::secret::Secret;
use crate::settings::address::StoreAddress;
use crate::settings::form::{self, named};
use crate::settings::resolve::Resolver;
use crate::settings::{Choice, PUBLIC_REGISTRY, RegistryAddress, StoreSettings};

/// What [setup-node](https://github.com/actions/setup-node/blob/main/src/authutil.ts) puts into `NODE_AUTH_TOKEN` where no token is given, so that
/// npm can read its `.npmrc`: no credential.
const SETUP_NODE_PLACEHOLDER: &str = "XXXXX-XXXXX-XXXXX-XXXXX";

impl Resolver<'_> {
    fn url(&mut self, setting: &str) -> Option<Url> {
        self.checked(setting, |given| form::url(given, setting))
    }

    /// Where npm packages go.
    pub(super) fn registry(&mut self) -> RegistryAddress {
        let url = self.url("registry-url");
        let given = self.inputs.get("registry");
        if let Some(given) = given.filter(|given| given.value.starts_with("file:")) {
            let path = self.kept(form::directory(given, "registry"));
            return RegistryAddress::Directory {
                path: path.unwrap_or_default(),
                url,
            };
        }
        let public = || {
            Url::parse(PUBLIC_REGISTRY)
                .unwrap_or_else(|error| unreachable!("the default registry is an address: {error}"))
        };
        RegistryAddress::Npm(self.url("registry").unwrap_or_else(public))
    }

    /// Where archives and manifests live. One that cannot be read counts as unset, beside the problem.
    pub(super) fn store(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Choice<StoreSettings> {
        let endpoint = self.url("store-endpoint");
        let region = self.text("store-region").or_else(|| {
            ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .iter()
                .find_map(|name| environment.get(*name))
                .filter(|region| !region.is_empty())
                .cloned()
        });
        if self.text("store").as_deref() == Some("none") {
            return Choice::Off;
        }
        let address = self.checked("store", |given| {
            StoreAddress::parse(&given.value).map_err(|failure| named(given, "store", &failure))
        });
        address.map_or(Choice::Unset, |address| {
            Choice::On(StoreSettings {
                address,
                endpoint,
                region,
            })
        })
    }

    /// Where static files are served from, with its placeholders.
    pub(super) fn static_root(&mut self) -> Choice<String> {
        if self.text("static").as_deref() == Some("none") {
            return Choice::Off;
        }
        let checked = self.checked("static", |given| {
            let sample = given
                .value
                .replace("{app}", "app")
                .replace("{environment}", "prod");
            if sample.contains(['{', '}']) {
                let what = format!("{} has an unknown placeholder", given.name("static"));
                return Err(Failure::new(Exit::Usage, "static::placeholder", what)
                    .because(quoted(&given.value))
                    .hint("it may hold {app} and {environment}"));
            }
            StoreAddress::parse(&sample)
                .map(|_| given.value.clone())
                .map_err(|failure| named(given, "static", &failure))
        });
        checked.map_or(Choice::Unset, Choice::On)
    }

    /// The npm credential.
    pub(super) fn npm_token(&mut self, environment: &BTreeMap<String, String>) -> Option<Secret> {
        self.secret("npm-token", environment, &["NODE_AUTH_TOKEN", "NPM_TOKEN"])
    }

    /// The forge's credential.
    pub(super) fn forge_token(&mut self, environment: &BTreeMap<String, String>) -> Option<Secret> {
        self.secret("token", environment, &["GITHUB_TOKEN", "GH_TOKEN"])
    }

    /// A credential from its setting, else from the variables of that name elsewhere.
    fn secret(
        &mut self,
        setting: &str,
        environment: &BTreeMap<String, String>,
        elsewhere: &[&str],
    ) -> Option<Secret> {
        let own = self
            .inputs
            .get(setting)
            .map(|given| (given.name(setting), given.value.clone()));
        let other = || {
            elsewhere.iter().find_map(|name| {
                environment
                    .get(*name)
                    .filter(|value| !value.is_empty() && *value != SETUP_NODE_PLACEHOLDER)
                    .map(|value| ((*name).to_owned(), value.clone()))
            })
        };
        let (name, value) = own.or_else(other)?;
        if value == "none" {
            return None;
        }
        self.kept(Secret::new(&value).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "settings::secret",
                format!("{name} holds a value that cannot be a credential"),
            )
            .because("it contains line breaks or control characters")
            .hint("set the secret again, without surrounding text")
        }))
    }
}
