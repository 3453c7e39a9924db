//! Which credential each registry gets. None goes anywhere but to the place that it was given for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::layers::{Layer, Line};
use super::placed;
use crate::explain::{Exit, Failure, Place, quoted};
use crate::secret::{BoundSecret, Scheme, Secret};
use crate::settings::address;
use crate::settings::npmrc::{self, Expanded, Whose};

/// What [setup-node](https://github.com/actions/setup-node/blob/main/src/authutil.ts) puts into `NODE_AUTH_TOKEN` where no token is given, so that
/// npm can read its `.npmrc`: no credential.
pub const SETUP_NODE_PLACEHOLDER: &str = "XXXXX-XXXXX-XXXXX-XXXXX";

/// The credential that a registry gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// This one.
    Given(BoundSecret),
    /// None can be made of what was said.
    Broken(Failure),
    /// Nothing was said.
    Missing,
}

impl Credential {
    /// The secret, where there is one.
    pub fn given(self) -> Option<BoundSecret> {
        match self {
            Credential::Given(secret) => Some(secret),
            Credential::Broken(_) | Credential::Missing => None,
        }
    }
}

/// A line about a credential: `//host/path/:_authToken = …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthLine {
    /// `//host/path/`, as npm compares it.
    place: String,
    /// `_authToken`, `_auth`, `username` or `_password`.
    field: String,
    value: Expanded,
    /// Where it stands; a variable stands in no file.
    at: Option<Place>,
}

/// All credentials for registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The setting `registry-tokens`, by address.
    pub(super) tokens: Vec<(Url, Secret)>,
    /// The lines about credentials, those that npm follows first.
    lines: Vec<AuthLine>,
    /// The credential of the default registry, and its origin's where nothing is nearer.
    default: Option<(Url, BoundSecret)>,
    /// Where the repository has credentials, which are not used, and what has them.
    ignored: Vec<(String, String)>,
    /// The user's settings file, where a variable names it and it is not there.
    pub absent: Option<String>,
}

impl Credentials {
    /// Takes what one source of npm's settings says; sources that npm follows come first.
    pub(super) fn read(&mut self, layer: &Layer, environment: &BTreeMap<String, String>) {
        let mut lines = BTreeMap::new();
        for entry in &layer.entries {
            let key = npmrc::expand(&entry.key, environment).text;
            let Some((place, field)) = auth_key(&key) else {
                continue;
            };
            match layer.whose {
                Whose::Repository => {
                    let ignored = (place.to_owned(), layer.shown.clone());
                    self.ignored.push(ignored);
                }
                Whose::User => {
                    let line = AuthLine::new(place, field, entry, environment);
                    lines.insert((line.place.clone(), line.field.clone()), line);
                }
            }
        }
        self.lines.extend(lines.into_values());
    }

    /// The addresses for which somebody outside the repository gave a credential. `//host/` has no scheme: what https reaches is meant, and
    /// what is on this machine.
    pub(super) fn places(&self) -> impl Iterator<Item = Url> {
        let tokens = self.tokens.iter().map(|(url, _)| url.clone());
        let lines = self.lines.iter().flat_map(|line| {
            ["https", "http"].map(|scheme| address::http(&format!("{scheme}:{}", line.place)).ok())
        });
        tokens.chain(lines.flatten())
    }

    /// That the repository has a credential for a registry, which is not used: a sentence for people.
    pub fn ignored_for(&self, registry: &Url) -> Option<String> {
        let mut ignored = self.ignored.iter();
        let (place, shown) = ignored.find(|(place, _)| covers(place, registry))?;
        Some(format!(
            "the credential for {} in {shown} is not used: what the repository says gives none",
            quoted(place)
        ))
    }

    /// Why there may be no credential for a registry although somebody gave one.
    pub fn why_missing(&self, registry: &Url) -> Option<String> {
        let absent = || {
            let file = self.absent.as_ref()?;
            Some(format!(
                "{file}, which NPM_CONFIG_USERCONFIG names, is not there; a container action does not see what setup-node writes"
            ))
        };
        self.ignored_for(registry).or_else(absent)
    }

    /// Gives the default registry its credential: the token that was set for it, else what npm's settings have for it.
    pub fn give_default(&mut self, registry: &Url, token: Option<Secret>) -> Credential {
        let token = token.map(|token| BoundSecret::new(token, registry));
        let found = match token {
            Some(token) => Credential::Given(token),
            None => self.of(registry),
        };
        if let Credential::Given(secret) = &found {
            self.default = Some((registry.clone(), secret.clone()));
        }
        found
    }

    /// Whether a variable was given for other registries than `registry`: npm's settings use it there, and not here.
    pub fn is_for_another(&self, variable: &str, registry: &Url) -> bool {
        let mut using = self
            .lines
            .iter()
            .filter(|line| line.value.variables.iter().any(|used| used == variable))
            .peekable();
        using.peek().is_some() && !using.any(|line| covers(&line.place, registry))
    }

    /// The credential that requests to a registry carry: the one that was set for it; then what npm finds on its way up the path.
    pub fn of(&self, registry: &Url) -> Credential {
        if let Some((url, secret)) = &self.default
            && url == registry
        {
            return Credential::Given(secret.clone());
        }
        let near = |(url, _): &&(Url, Secret)| {
            url.origin() == registry.origin() && registry.path().starts_with(url.path())
        };
        let nearest = self.tokens.iter().filter(near);
        if let Some((url, token)) = nearest.max_by_key(|(url, _)| url.path().len()) {
            let (token, path) = (token.clone(), url.path());
            return Credential::Given(BoundSecret::below(token, Scheme::Bearer, url, path));
        }
        match self.found(registry) {
            Credential::Missing => {}
            found => return found,
        }
        match &self.default {
            Some((_, secret)) if secret.is_for(registry) => Credential::Given(secret.clone()),
            _ => Credential::Missing,
        }
    }

    /// As [npm](https://github.com/npm/npm-registry-fetch/blob/main/lib/auth.js) finds it: the nearest place on the way up, and there a
    /// token, else `_auth`, else a user with a password.
    fn found(&self, registry: &Url) -> Credential {
        for place in places_of(registry) {
            let field = |field: &str| {
                let mut lines = self.lines.iter();
                lines.find(|line| {
                    line.place == place && line.field == field && !line.value.text.is_empty()
                })
            };
            let path = place.trim_start_matches('/');
            let path = path.find('/').map_or("", |start| &path[start..]);
            let bound = |secret: Secret, scheme| BoundSecret::below(secret, scheme, registry, path);
            if let Some(line) = field("_authToken") {
                if line.value.text == SETUP_NODE_PLACEHOLDER {
                    continue;
                }
                return credential(line.secret().map(|token| bound(token, Scheme::Bearer)));
            }
            if let Some(line) = field("_auth") {
                return credential(line.secret().map(|basic| bound(basic, Scheme::Basic)));
            }
            if let (Some(user), Some(password)) = (field("username"), field("_password")) {
                let basic = basic(user, password);
                return credential(basic.map(|basic| bound(basic, Scheme::Basic)));
            }
        }
        Credential::Missing
    }

    /// Every credential, in the forms in which it could be printed.
    pub fn values(&self) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        let tokens = self.tokens.iter();
        values.extend(tokens.map(|(_, token)| token.reveal().to_owned()));
        let default = self.default.iter();
        values.extend(default.map(|(_, secret)| secret.secret().reveal().to_owned()));
        let secret = |line: &&AuthLine| line.field != "username" && line.value.unset.is_empty();
        for line in self.lines.iter().filter(secret) {
            let text = &line.value.text;
            if matches!(line.field.as_str(), "_auth" | "_password")
                && let Some(decoded) = decoded(text)
            {
                let password = decoded.split_once(':').map(|(_, password)| password);
                values.extend(password.map(str::to_owned));
                values.push(decoded);
            }
            values.push(text.clone());
        }
        values.retain(|value| value != SETUP_NODE_PLACEHOLDER);
        values
    }
}

impl AuthLine {
    fn new(
        place: &str,
        field: &str,
        entry: &Line,
        environment: &BTreeMap<String, String>,
    ) -> AuthLine {
        AuthLine {
            place: place.to_owned(),
            field: field.to_owned(),
            value: npmrc::expand(&entry.value, environment),
            at: entry.place.clone(),
        }
    }

    /// The value as a credential.
    fn secret(&self) -> Result<Secret, Failure> {
        let spelled = format!("{}:{}", self.place, self.field);
        let at = |failure: Failure| placed(failure, self.at.clone());
        if let Some(variable) = self.value.unset.first() {
            let what =
                format!("{spelled} is ${{{variable}}}, and the variable {variable} is not set");
            return Err(at(Failure::new(Exit::Usage, "npm::unset_variable", what)
                .because("npm would send these letters as the credential")
                .hint(format!(
                    "set {variable}, or give the credential with `npm-token` or `registry-tokens`"
                ))));
        }
        Secret::new(&self.value.text).ok_or_else(|| {
            let what = format!("{spelled} holds a value that cannot be a credential");
            at(Failure::new(Exit::Usage, "settings::secret", what)
                .because("it contains line breaks or control characters")
                .hint("set the secret again, without surrounding text"))
        })
    }
}

fn credential(found: Result<BoundSecret, Failure>) -> Credential {
    match found {
        Ok(secret) => Credential::Given(secret),
        Err(failure) => Credential::Broken(failure),
    }
}

/// `user:password` in base64; npm keeps the password in base64 of its own.
fn basic(user: &AuthLine, password: &AuthLine) -> Result<Secret, Failure> {
    let name = user.secret()?;
    let encoded = password.secret()?;
    let plain = decoded(encoded.reveal());
    let both = plain.map(|plain| STANDARD.encode(format!("{}:{plain}", name.reveal())));
    both.and_then(|both| Secret::new(&both)).ok_or_else(|| {
        let what = format!("{}:_password is not base64", password.place);
        let failure = Failure::new(Exit::Usage, "settings::secret", what)
            .hint("write the password in base64, as `npm login` does");
        placed(failure, password.at.clone())
    })
}

fn decoded(base64: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64.trim()).ok()?).ok()
}

/// The place and the field of a key about a credential.
fn auth_key(key: &str) -> Option<(&str, &str)> {
    const FIELDS: [&str; 4] = ["_authToken", "_auth", "username", "_password"];
    let (place, field) = key.rsplit_once(':')?;
    (place.starts_with("//") && FIELDS.contains(&field)).then_some((place, field))
}

/// The places at which npm looks for the credential of a registry, the nearest first: its address without scheme, then up its path, each with
/// and without the final slash.
fn places_of(registry: &Url) -> Vec<String> {
    let host = registry.host_str().unwrap_or_default();
    let port = registry
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let mut place = format!("//{host}{port}{}", registry.path());
    let mut places = Vec::new();
    while place.len() > 2 {
        places.push(place.clone());
        if place.ends_with('/') {
            place.pop();
        } else {
            let end = place.rfind('/').map_or(0, |end| end + 1);
            place.truncate(end);
        }
    }
    places
}

fn covers(place: &str, registry: &Url) -> bool {
    places_of(registry).iter().any(|one| one == place)
}
