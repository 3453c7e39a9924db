//! Where npm packages go, and which credential each registry gets: what the workflow says, what npm's own settings say, and what the
//! repository asks for, which counts only where the workflow named the place.

pub mod credentials;
pub(in crate::settings) mod layers;

use std::collections::BTreeMap;

use url::Url;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::PackageName;
use crate::secret::Secret;
use crate::settings::address::{self, NoAddress};
use crate::settings::npmrc::{self, NpmrcFile, Whose};
use crate::settings::{RegistryAddress, variables};
use credentials::Credentials;
use layers::{Layer, layers};

/// Something that says where packages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The address as it was said, variables replaced.
    pub address: String,
    /// What said it: `publishConfig.registry`.
    pub said: String,
    /// Where that stands; a variable stands in no file.
    pub place: Option<Place>,
    /// Whether the repository says it, which may not send credentials anywhere.
    pub is_repositorys: bool,
}

impl Word {
    /// What said it, and where.
    fn spelled(&self) -> String {
        match &self.place {
            Some(place) => format!("{} in {}", self.said, place.file),
            None => self.said.clone(),
        }
    }

    /// The address for people, without what may be a credential in it.
    fn shown(&self) -> String {
        match (
            self.address.split_once("://"),
            self.address.rsplit_once('@'),
        ) {
            (Some((scheme, _)), Some((_, rest))) => quoted(&format!("{scheme}://***@{rest}")),
            _ => quoted(&self.address),
        }
    }

    fn url(&self) -> Result<Url, NoAddress> {
        // As a host, these letters would pass.
        if self.address.contains("${") {
            return Err(NoAddress {
                why: "a variable in it is not set".to_owned(),
                hint: "set the variable",
            });
        }
        address::http(&self.address)
    }
}

/// What the manifest of a package says about its registry.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// `publishConfig.registry`.
    pub registry: Option<Word>,
    /// `publishConfig["@scope:registry"]`, of the package's own scope.
    pub of_scope: Option<Word>,
}

/// Where a package goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The registry; `None`: the one that [`crate::settings::Settings::registry`] names.
    pub registry: Option<Url>,
    /// What else was said and does not count, as a sentence.
    pub warning: Option<String>,
}

/// Where each package of a workspace goes; `None`: where all go.
pub type Destinations = BTreeMap<PackageName, Result<Option<Url>, Failure>>;

/// Everything that was said about registries but for the default one, and all credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    /// The setting `registries`, by scope.
    by_scope: BTreeMap<String, Url>,
    /// What npm's settings say of a scope; of several, what npm follows.
    npm_scopes: BTreeMap<String, Word>,
    /// What the repository says of all packages, where nothing of the workflow does.
    otherwise: Option<Word>,
    /// The addresses that the workflow named.
    named: Vec<Url>,
    /// The credentials.
    pub credentials: Credentials,
}

/// What [`Registries::resolve`] takes from the settings.
#[derive(Debug, Default)]
pub struct Said {
    /// `registries`.
    pub by_scope: BTreeMap<String, Url>,
    /// `registry-tokens`.
    pub tokens: Vec<(Url, Secret)>,
    /// `registry`, where it is set.
    pub registry: Option<RegistryAddress>,
}

impl Registries {
    /// The scopes that the setting `registries` names.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.by_scope.keys().map(String::as_str)
    }

    /// Puts together what was said, and finds the default registry.
    ///
    /// # Errors
    /// `settings::npmrc`, exit 2: a file says more than anybody writes, or the address that decides where packages go is none.
    pub fn resolve(
        said: Said,
        files: &[NpmrcFile],
        environment: &BTreeMap<String, String>,
    ) -> Result<(Registries, RegistryAddress), Failure> {
        let layers = layers(files, environment)?;
        let mut registries = Registries {
            named: said.by_scope.values().cloned().collect(),
            by_scope: said.by_scope,
            ..Registries::default()
        };
        registries.credentials.tokens = said.tokens;
        // A file of the repository reads no credential into an address.
        let without_secrets = variables::of_children(environment);
        let mut words: BTreeMap<String, Vec<Word>> = BTreeMap::new();
        for layer in &layers {
            let known = match layer.whose {
                Whose::Repository => &without_secrets,
                Whose::User => environment,
            };
            registries.read(layer, known, &mut words);
            registries.credentials.read(layer, known);
        }
        registries.named.extend(registries.credentials.places());
        let address = registries.default_address(said.registry, words.remove(""))?;
        if let RegistryAddress::Npm(url) = &address {
            registries.named.push(url.clone());
        }
        let first = |(scope, words): (String, Vec<Word>)| Some((scope, words.into_iter().next()?));
        registries.npm_scopes = words.into_iter().filter_map(first).collect();
        Ok((registries, address))
    }

    /// Takes what one source says; `words` are those about addresses, by scope, with `""` for all packages.
    fn read(
        &mut self,
        layer: &Layer,
        environment: &BTreeMap<String, String>,
        words: &mut BTreeMap<String, Vec<Word>>,
    ) {
        let mut found: BTreeMap<String, Word> = BTreeMap::new();
        for entry in &layer.entries {
            let key = npmrc::expand(&entry.key, environment).text;
            let Some(scope) = scope_of(&key) else {
                continue;
            };
            let word = Word {
                address: npmrc::expand(&entry.value, environment).text,
                said: entry.said.clone(),
                place: entry.place.clone(),
                is_repositorys: layer.whose == Whose::Repository,
            };
            if !word.address.is_empty() {
                found.insert(scope.to_owned(), word);
            }
        }
        for (scope, word) in found {
            if !word.is_repositorys
                && let Ok(url) = word.url()
            {
                self.named.push(url);
            }
            words.entry(scope).or_default().push(word);
        }
    }

    /// Where packages go of which nothing else is said. What the repository says of them waits in `otherwise`.
    fn default_address(
        &mut self,
        set: Option<RegistryAddress>,
        words: Option<Vec<Word>>,
    ) -> Result<RegistryAddress, Failure> {
        if let Some(set) = set {
            return Ok(set);
        }
        let mut words = words.unwrap_or_default().into_iter();
        let mut first = words.next();
        if first.as_ref().is_some_and(|word| word.is_repositorys) {
            self.otherwise = first.take();
            first = words.find(|word| !word.is_repositorys);
        }
        let url = match first {
            Some(word) => word.url().map_err(|why| unusable(&word, &why))?,
            None => return Ok(self.unless_said(RegistryAddress::public())),
        };
        Ok(self.unless_said(RegistryAddress::Npm(url)))
    }

    /// The default registry. A repository that says the same says nothing.
    fn unless_said(&mut self, address: RegistryAddress) -> RegistryAddress {
        let same = |word: &mut Word| matches!((&address, word.url()), (RegistryAddress::Npm(url), Ok(said)) if said == *url);
        self.otherwise.take_if(same);
        address
    }

    /// Where a package goes. The setting for its scope decides; then, as in npm, what its manifest says of its scope, what npm's settings say
    /// of it, and what its manifest says of all packages; else it goes where all go. What the repository says counts where the workflow
    /// named that origin.
    ///
    /// # Errors
    /// `plan::registry`, exit 3: the repository sends the package where the workflow did not. `default` is where all go.
    pub fn destination(
        &self,
        name: &PackageName,
        declared: &Declared,
        default: &RegistryAddress,
    ) -> Result<Destination, Failure> {
        let set = name.scope().and_then(|scope| self.by_scope.get(scope));
        let RegistryAddress::Npm(everywhere) = default else {
            // A directory takes everything but what was set by its scope.
            return Ok(Destination {
                registry: set.cloned(),
                warning: None,
            });
        };
        let refuse = |word: &Word, to: &Url| Err(refusal(name, word, to));
        let manifest = [&declared.of_scope, &declared.registry];
        for word in manifest.into_iter().flatten() {
            if !self.is_named(word) {
                return refuse(word, set.unwrap_or(everywhere));
            }
        }
        let npm = name.scope().and_then(|scope| self.npm_scopes.get(scope));
        let in_order = [
            declared.of_scope.as_ref(),
            npm,
            declared.registry.as_ref(),
            self.otherwise.as_ref(),
        ];
        let (decided, by) = match (set, in_order.into_iter().flatten().next()) {
            (Some(set), _) => (set.clone(), "`registries`".to_owned()),
            (None, None) => (everywhere.clone(), "`registry`".to_owned()),
            (None, Some(word)) => match word.url() {
                Ok(url) if self.is_named(word) => (url, word.spelled()),
                Err(why) if !word.is_repositorys => return Err(unusable(word, &why)),
                _ => return refuse(word, everywhere),
            },
        };
        let overruled = manifest.into_iter().flatten();
        let mut overruled = overruled.filter(|word| word.url().is_ok_and(|url| url != decided));
        let warning = overruled.next().map(|word| {
            format!(
                "{name} goes to {decided}, which {by} says, and not to {}, which {} says",
                word.shown(),
                word.spelled()
            )
        });
        Ok(Destination {
            registry: (decided != *everywhere).then_some(decided),
            warning,
        })
    }

    /// Whether the workflow named the origin of an address, or says it itself.
    fn is_named(&self, word: &Word) -> bool {
        let Ok(url) = word.url() else { return false };
        let mut named = self.named.iter();
        !word.is_repositorys || named.any(|named| named.origin() == url.origin())
    }
}

/// That the repository sends a package where the workflow did not; else it would go `to` another place.
fn refusal(name: &PackageName, word: &Word, to: &Url) -> Failure {
    let what = format!(
        "{name} belongs to the registry {}, and the release goes to {to}",
        word.shown()
    );
    let failure = Failure::new(Exit::Refused, "plan::registry", what).because(format!(
        "{} says so, and what the repository says does not decide where credentials are sent",
        word.spelled()
    ));
    let failure = placed(failure, word.place.clone());
    let address = match word.url() {
        Ok(url) => url,
        Err(why) => {
            return failure
                .because(why)
                .hint("correct it there, or take it out");
        }
    };
    let is_scopes = word.said.ends_with(":registry");
    let is_for_all = word.said == "registry" || (word.place.is_none() && !is_scopes);
    failure.hint(match name.scope() {
        _ if is_for_all => format!("set `registry` to the one that is meant: {address} or {to}"),
        Some(scope) if is_scopes => format!(
            "set `registries` to the one that is meant: {scope}={address} or {scope}={to}"
        ),
        Some(scope) => format!(
            "if it is meant, set `registries` to {scope}={address}, or `registry` to it; if not, take it out there"
        ),
        None => format!("if it is meant, set `registry` to {address}; if not, take it out there"),
    })
}

fn placed(failure: Failure, place: Option<Place>) -> Failure {
    match place {
        Some(place) => failure.place(place),
        None => failure,
    }
}

/// That what decides where packages go is no address.
fn unusable(word: &Word, why: &NoAddress) -> Failure {
    let shown = word.shown();
    let what = format!(
        "{} is {shown}, which is no address of a registry",
        word.spelled()
    );
    let failure = Failure::new(Exit::Usage, "settings::npmrc", what)
        .because(why)
        .hint("correct it there, or set `registry` or `registries`");
    placed(failure, word.place.clone())
}

/// The scope whose registry a key names; `""` for all packages.
fn scope_of(key: &str) -> Option<&str> {
    match key.strip_suffix(":registry") {
        Some(scope) if scope.starts_with('@') => Some(scope),
        _ => (key == "registry").then_some(""),
    }
}

#[cfg(test)]
mod tests;
