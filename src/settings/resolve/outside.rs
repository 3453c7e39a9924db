//! What decides where bytes and credentials go.

use std::collections::BTreeMap;

use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::secret::{BoundSecret, Secret};
use crate::settings::address::StoreAddress;
use crate::settings::form::{self, named};
use crate::settings::identity::IdentitySource;
use crate::settings::registries::credentials::SETUP_NODE_PLACEHOLDER;
use crate::settings::registries::{Registries, Said};
use crate::settings::resolve::Resolver;
use crate::settings::{
    BoardPlace, CdnSettings, Choice, RegistryAddress, Role, StoreSettings, World,
};

impl Resolver<'_> {
    fn url(&mut self, setting: &str) -> Option<Url> {
        self.checked(setting, |given| form::url(given, setting))
    }

    /// Where npm packages go, and with which credentials: npm's own settings count where ours say nothing. The last are the credential of the
    /// default registry, and what gave it.
    pub(super) fn npm(
        &mut self,
        world: &World,
    ) -> (
        Registries,
        RegistryAddress,
        Option<BoundSecret>,
        Option<String>,
    ) {
        let said = Said {
            by_scope: self
                .checked("registries", form::registries)
                .unwrap_or_default(),
            tokens: self
                .checked("registry-tokens", form::registry_tokens)
                .unwrap_or_default(),
            registry: self.registry(),
        };
        let environment = &world.environment;
        let resolved = Registries::resolve(said, &world.npmrc, environment);
        let Some((mut registries, address)) = self.kept(resolved) else {
            return (Registries::default(), RegistryAddress::public(), None, None);
        };
        let absent = world.absent_npmrc.as_ref();
        registries.credentials.absent = absent.map(|path| path.display().to_string());
        let is_its_own = |variable: &&str| match &address {
            RegistryAddress::Npm(url) => !registries.credentials.is_for_another(variable, url),
            RegistryAddress::Directory { .. } => true,
        };
        let variables = ["NODE_AUTH_TOKEN", "NPM_TOKEN"].into_iter();
        let variables: Vec<&str> = variables.filter(is_its_own).collect();
        let given = self.secret("npm-token", environment, &variables);
        let (from, token) = given.unzip();
        let token = match &address {
            RegistryAddress::Npm(url) => registries.credentials.give_default(url, token).given(),
            RegistryAddress::Directory { .. } => None,
        };
        let from = token
            .is_some()
            .then(|| from.unwrap_or_else(|| "the user's .npmrc".to_owned()));
        (registries, address, token, from)
    }

    /// The registry that is set.
    fn registry(&mut self) -> Option<RegistryAddress> {
        let url = self.url("registry-url");
        let given = self.inputs.get("registry")?;
        if given.value.starts_with("file:") {
            let path = self.kept(form::directory(given, "registry"));
            return Some(RegistryAddress::Directory {
                path: path.unwrap_or_default(),
                url,
            });
        }
        self.url("registry").map(RegistryAddress::Npm)
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
        let role = self.role(environment);
        let address = self.checked("store", |given| {
            StoreAddress::parse(&given.value).map_err(|failure| named(given, "store", &failure))
        });
        address.map_or(Choice::Unset, |address| {
            Choice::On(StoreSettings {
                address,
                endpoint,
                region,
                role,
            })
        })
    }

    /// The role that the job assumes, which takes an identity of the job that is good for any service.
    fn role(&mut self, environment: &BTreeMap<String, String>) -> Option<Role> {
        let arn = self.checked("role-to-assume", form::role)?;
        let identity = self.kept(IdentitySource::asked(environment)).flatten();
        let identity = identity.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "settings::no_identity",
                format!("the role {arn} cannot be assumed: this job has no identity"),
            )
            .because("ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set")
            .hint("give the job `permissions: id-token: write`; elsewhere leave role-to-assume out, and AWS's own variables (AWS_ROLE_ARN, AWS_PROFILE, …) count")
        });
        let identity = self.kept(identity)?;
        let run = environment.get("GITHUB_RUN_ID").map_or("", String::as_str);
        let run: String = run.chars().filter(char::is_ascii_digit).take(40).collect();
        Some(Role {
            arn,
            identity,
            session: format!("pkgs-action-{run}"),
        })
    }

    /// Where the release board is written, with the endpoint and region of the store.
    pub(super) fn board(&mut self, store: &Choice<StoreSettings>) -> Option<BoardPlace> {
        let beside = store.value();
        self.checked("board", |given| match given.value.as_str() {
            "store" if store.value().is_none() => {
                let what = format!("{} is store, and no store is set", given.name("board"));
                Err(Failure::new(Exit::Usage, "settings::missing", what).hint(
                    "name the store with --store, PKGS_STORE or the input store, or an address for the board",
                ))
            }
            "store" => Ok(BoardPlace::Store),
            address => StoreAddress::parse(address)
                .map_err(|failure| named(given, "board", &failure))
                .map(|address| {
                    BoardPlace::At(Box::new(StoreSettings {
                        address,
                        endpoint: beside.and_then(|store| store.endpoint.clone()),
                        region: beside.and_then(|store| store.region.clone()),
                        role: beside.and_then(|store| store.role.clone()),
                    }))
                }),
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

    /// What hears which static files changed.
    pub(super) fn cdn(&mut self, environment: &BTreeMap<String, String>) -> CdnSettings {
        let names = self
            .checked("cdn-environment", form::cdn_environment)
            .unwrap_or_default();
        let value = |name: String| {
            let value = environment.get(&name).cloned().unwrap_or_default();
            (name, value)
        };
        CdnSettings {
            distributions: self
                .checked("cdn-distribution", form::cdn_distribution)
                .unwrap_or_default(),
            command: match self.text("cdn-command") {
                None => Choice::Unset,
                Some(none) if none == "none" => Choice::Off,
                Some(line) => Choice::On(line),
            },
            variables: names.into_iter().map(value).collect(),
        }
    }

    /// What the job can prove about itself. Where a credential says who publishes, nobody asks for it.
    pub(super) fn identity(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Option<IdentitySource> {
        self.kept(IdentitySource::read(environment)).flatten()
    }

    /// The forge's credential.
    pub(super) fn forge_token(&mut self, environment: &BTreeMap<String, String>) -> Option<Secret> {
        let found = self.secret("token", environment, &["GITHUB_TOKEN", "GH_TOKEN"]);
        found.map(|(_, secret)| secret)
    }

    /// A credential from its setting, else from the variables of that name elsewhere.
    fn secret(
        &mut self,
        setting: &str,
        environment: &BTreeMap<String, String>,
        elsewhere: &[&str],
    ) -> Option<(String, Secret)> {
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
        let secret = self.kept(Secret::new(&value).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "settings::secret",
                format!("{name} holds a value that cannot be a credential"),
            )
            .because("it contains line breaks or control characters")
            .hint("set the secret again, without surrounding text")
        }));
        secret.map(|secret| (name, secret))
    }
}
