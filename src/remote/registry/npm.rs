//! A registry that speaks npm's protocol over HTTP.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use url::Url;

use super::document::{self, LONGEST_PACKUMENT};
use super::{
    Publication, PublishRight, PublishedPackage, Registry, RegistryError, StageId, Staged, proven,
};
use crate::explain::{Exit, Failure, quoted};
use crate::name::PackageName;
use crate::remote::answer::{Answer, LONGEST_ERROR, body};
use crate::remote::chain;
use crate::remote::identity::{ExchangeError, JobIdentity};
use crate::remote::retry::{self, Tried};
use crate::secret::BoundSecret;
use crate::settings::identity::{IdentitySource, Trust};

const CONNECT: Duration = Duration::from_secs(10);
const READ: Duration = Duration::from_mins(1);
/// The slowest upload that is waited for, in bytes a second.
const SLOWEST: u64 = 64 << 10;
const MOST_REDIRECTS: usize = 5;
/// How registries say that they have a version: npm and GitHub; verdaccio; GitLab; Azure (<https://github.com/microsoft/typespec/pull/11164>);
/// Nexus (<https://github.com/lerna/lerna/issues/2388>).
const ALREADY_THERE: &[&str] = &[
    "cannot publish over",
    "previously published",
    "already present",
    "already exists",
    "already contains",
    "does not allow updating",
];

/// An npm registry. The token goes to the one origin it is bound to, and into no message.
pub struct NpmRegistry {
    url: Url,
    token: Option<BoundSecret>,
    /// What stands in for a token, and what it was exchanged for, package by package.
    identity: Option<JobIdentity>,
    exchanged: Mutex<BTreeMap<PackageName, BoundSecret>>,
    clients: OnceLock<Clients>,
    /// The user that the token belongs to, once the registry has said so.
    user: OnceLock<String>,
    /// Set when the registry has shown that it does not tell who may publish.
    tells_no_rights: OnceLock<()>,
}

/// Made for the first request: reading the machine's certificates takes longer than many a plan, and most plans ask nothing.
struct Clients {
    reader: Client,
    writer: Client,
}

impl Clients {
    fn new(token: Option<BoundSecret>) -> Result<Clients, Failure> {
        let client = || {
            Client::builder()
                .connect_timeout(CONNECT)
                .user_agent(concat!("pkgs-action/", env!("CARGO_PKG_VERSION")))
        };
        let same_origin = reqwest::redirect::Policy::custom(move |attempt| {
            let from = attempt.previous().last().map(Url::origin);
            // The header goes along, so the credential must have been given for that path too.
            let is_ours = token.as_ref().is_none_or(|token| {
                let begun = attempt.previous().first();
                !begun.is_some_and(|begun| token.is_for(begun)) || token.is_for(attempt.url())
            });
            let is_near = attempt.previous().len() <= MOST_REDIRECTS;
            if from == Some(attempt.url().origin()) && is_ours && is_near {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        let broken = |error: reqwest::Error| {
            Failure::new(
                Exit::Temporary,
                "npm::client",
                "cannot set up HTTPS requests",
            )
            .because(error.without_url())
        };
        Ok(Clients {
            reader: client()
                .redirect(same_origin)
                .read_timeout(READ)
                .build()
                .map_err(broken)?,
            writer: client()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(broken)?,
        })
    }
}

/// A request with a credential, where that is for its address.
fn authorized(
    request: RequestBuilder,
    url: &Url,
    credential: Option<&BoundSecret>,
) -> RequestBuilder {
    match credential.and_then(|credential| credential.authorization(url)) {
        Some(authorization) => request.header(AUTHORIZATION, authorization),
        None => request,
    }
}

impl NpmRegistry {
    /// A registry at `url`, to which every request goes; redirects are followed for reads only, and only within the origin.
    ///
    /// # Errors
    /// `npm::url`, exit 2, when `url` is not plain http(s) or carries credentials, a query or a fragment. Each request: `npm::client`, exit 75, when TLS cannot be set up.
    pub fn new(mut url: Url, token: Option<BoundSecret>) -> Result<NpmRegistry, Failure> {
        let good = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !good {
            return Err(Failure::new(
                Exit::Usage,
                "npm::url",
                format!(
                    "the address of the registry on {} is not usable",
                    quoted(url.host_str().unwrap_or_default())
                ),
            )
            .hint("write https://host/path/ without credentials, '?' and '#'"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(NpmRegistry {
            url,
            token,
            identity: None,
            exchanged: Mutex::new(BTreeMap::new()),
            clients: OnceLock::new(),
            user: OnceLock::new(),
            tells_no_rights: OnceLock::new(),
        })
    }

    /// The same, where the job's identity is exchanged for what publishes each package, unless there is a token.
    #[must_use]
    pub fn with_identity(mut self, source: Option<IdentitySource>) -> NpmRegistry {
        let source = source.filter(|_| self.token.is_none());
        self.identity = source.map(JobIdentity::new);
        self
    }

    /// What goes with requests about a package: as npm does, what its own exchange gave, from then on.
    fn credential(&self, name: &PackageName) -> Option<BoundSecret> {
        let exchanged = self.exchanged.lock();
        let exchanged = exchanged.unwrap_or_else(PoisonError::into_inner);
        exchanged.get(name).or(self.token.as_ref()).cloned()
    }

    fn remember(&self, name: &PackageName, token: Option<BoundSecret>) -> bool {
        let exchanged = self.exchanged.lock();
        let mut exchanged = exchanged.unwrap_or_else(PoisonError::into_inner);
        match token {
            Some(token) => exchanged.insert(name.clone(), token).is_some(),
            None => exchanged.remove(name).is_some(),
        }
    }

    /// What a write about a package is sent with. The job's identity is exchanged right before it: what it is exchanged for lives an hour, and a
    /// release may take longer.
    async fn credential_to_write(
        &self,
        name: &PackageName,
        command: &'static str,
    ) -> Result<Option<BoundSecret>, RegistryError> {
        let Some(identity) = &self.identity else {
            return Ok(self.token.clone());
        };
        match identity.exchange(&self.url, name, command).await {
            Ok(exchanged) => {
                self.remember(name, Some(exchanged.token.clone()));
                Ok(Some(exchanged.token))
            }
            Err(ExchangeError::Unanswered(error)) => Err(error),
            Err(ExchangeError::Refused(_, refusal)) => Err(RegistryError::Failed(
                Failure::new(
                    Exit::RemoteRefused,
                    "npm::untrusted",
                    format!("{} does not trust this job with {name}", self.url),
                )
                .because(refusal.said)
                .hint("`doctor` tells what its trusted publisher must say"),
            )),
        }
    }

    fn clients(&self) -> Result<&Clients, Failure> {
        if let Some(clients) = self.clients.get() {
            return Ok(clients);
        }
        let clients = Clients::new(self.token.clone())?;
        Ok(self.clients.get_or_init(|| clients))
    }

    /// The address of a package's document: a scoped name is one path segment, its `/` escaped.
    fn address(&self, below: &str, name: &PackageName, rest: &str) -> Result<Url, Failure> {
        let text = format!("{below}{}{rest}", name.as_str().replace('/', "%2f"));
        self.url.join(&text).map_err(|error| {
            Failure::new(
                Exit::Usage,
                "npm::url",
                format!("{} has no address in {}", quoted(name.as_str()), self.url),
            )
            .because(error)
        })
    }

    /// Asks once; the inner error is that of the network.
    async fn ask(&self, url: &Url) -> Result<Result<Answer, reqwest::Error>, Failure> {
        let request = self
            .clients()?
            .reader
            .get(url.clone())
            .header(ACCEPT, "application/json")
            .timeout(READ);
        let request = authorized(request, url, self.token.as_ref());
        Ok(match request.send().await {
            Ok(response) => Ok(Answer::of(response, self.token.as_ref()).await),
            Err(error) => Err(error),
        })
    }

    async fn read_once(
        &self,
        name: &PackageName,
        url: &Url,
    ) -> Result<Option<PublishedPackage>, Tried<Failure>> {
        let Some(bytes) = self.document_once(name, url).await? else {
            return Ok(None);
        };
        document::read(name, &bytes)
            .map(Some)
            .map_err(|why| self.no_document(name, why))
    }

    /// A package's document as the registry has it, with messages of versions that are deprecated, to be sent back.
    async fn deprecated_once(
        &self,
        name: &PackageName,
        url: &Url,
        messages: &BTreeMap<String, Option<String>>,
    ) -> Result<Option<String>, Tried<Failure>> {
        let Some(bytes) = self.document_once(name, url).await? else {
            return Ok(None);
        };
        document::deprecated(name, &bytes, messages)
            .map(Some)
            .map_err(|why| self.no_document(name, why))
    }

    /// A proxy's page, or a document cut short.
    fn no_document(&self, name: &PackageName, why: impl std::fmt::Display) -> Tried<Failure> {
        let failure = self.unreachable(name);
        Tried::temporary(failure.because(format!("the answer is no npm document: {why}")))
    }

    fn unreachable(&self, name: &PackageName) -> Failure {
        Failure::new(
            Exit::Temporary,
            "npm::unreachable",
            format!("cannot read {name} from {}", self.url),
        )
        .hint("run again; if it stays so, look at the registry and the network")
    }

    /// The bytes of a package's document; `None`: there is none.
    async fn document_once(
        &self,
        name: &PackageName,
        url: &Url,
    ) -> Result<Option<Vec<u8>>, Tried<Failure>> {
        let request = self
            .clients()
            .map_err(Tried::Final)?
            .reader
            .get(url.clone())
            .header(ACCEPT, "application/json")
            .header(CACHE_CONTROL, "no-cache")
            // Whoever sends a byte now and then would hold us for ever.
            .timeout(retry::BUDGET);
        let broken = |error: reqwest::Error| {
            let failure = self.unreachable(name);
            Tried::temporary(failure.because(chain(&error.without_url())))
        };
        let credential = self.credential(name);
        let request = authorized(request, url, credential.as_ref());
        let response = request.send().await.map_err(broken)?;
        let status = response.status().as_u16();
        if status == 404 {
            // Read to its end, so that the connection serves the next request: most of a first release is not there.
            let _ = body(response, LONGEST_ERROR).await;
            return Ok(None);
        }
        if status != 200 {
            let answer = Answer::of(response, credential.as_ref()).await;
            let error = self.unreachable(name).because(answer.text());
            // What publishes may not be what reads, or no longer: anybody may read what is public.
            let forgotten = matches!(status, 401 | 403) && self.remember(name, None);
            return Err(if forgotten || retry::is_temporary(status) {
                Tried::Temporary {
                    error,
                    after: answer.after,
                }
            } else {
                Tried::Final(self.refusal(&answer, name, "read").unwrap_or(error))
            });
        }
        let (bytes, whole) = body(response, LONGEST_PACKUMENT).await.map_err(broken)?;
        if !whole {
            return Err(Tried::Final(Failure::new(
                Exit::Integrity,
                "npm::too_large",
                format!(
                    "the registry's document of {name} is longer than {LONGEST_PACKUMENT} bytes"
                ),
            )));
        }
        Ok(Some(bytes))
    }

    /// The address of a package's document for whoever is about to write: npm asks so itself, and it is answered by the origin, not by a cache.
    fn address_to_write(&self, name: &PackageName) -> Result<Url, RegistryError> {
        let mut url = self.address("", name, "").map_err(RegistryError::Failed)?;
        url.set_query(Some("write=true"));
        Ok(url)
    }

    /// Whether everybody may see a package. Registries that know no such question answer 404.
    async fn shown_once(&self, name: &PackageName, url: &Url) -> Result<bool, Tried<Failure>> {
        let credential = self.credential(name);
        let request = self
            .clients()
            .map_err(Tried::Final)?
            .reader
            .get(url.clone());
        let request = request.header(ACCEPT, "application/json").timeout(READ);
        let unreachable = || {
            let what = format!("cannot ask {} who may see {name}", self.url);
            Failure::new(Exit::Temporary, "npm::unreachable", what)
                .hint("run again; if it stays so, look at the registry and the network")
        };
        let request = authorized(request, url, credential.as_ref());
        let response = request.send().await.map_err(|error| {
            Tried::temporary(unreachable().because(chain(&error.without_url())))
        })?;
        let answer = Answer::of(response, credential.as_ref()).await;
        if retry::is_temporary(answer.status) {
            return Err(Tried::Temporary {
                error: unreachable().because(answer.text()),
                after: answer.after,
            });
        }
        let said = serde_json::from_slice::<serde_json::Value>(&answer.bytes).ok();
        Ok(answer.status == 200 && said.is_some_and(|said| said["public"] == true))
    }

    /// Sends one write and tells what its answer means; gives what it holds.
    async fn write(
        &self,
        write: Write,
        url: Url,
        body: Vec<u8>,
        name: &PackageName,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let command = write.command();
        let credential = self.credential_to_write(name, command).await?;
        let time = READ + Duration::from_secs(body.len() as u64 / SLOWEST);
        let request = self
            .clients()
            .map_err(RegistryError::Failed)?
            .writer
            .request(write.method(), url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header("npm-auth-type", "web")
            .header("npm-command", command)
            .timeout(time)
            .body(body);
        let doubt = || {
            Failure::new(
                Exit::Temporary,
                "npm::uncertain",
                format!("cannot tell whether {} {what}", self.url),
            )
            .hint("run again: it looks at what is there before it goes on")
        };
        let request = authorized(request, &url, credential.as_ref());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let why = chain(&error.without_url());
                return Err(RegistryError::Uncertain(doubt().because(why)));
            }
        };
        let answer = Answer::of(response, credential.as_ref()).await;
        match answer.status {
            // A page that is there for people answers for a proxy, not for a registry.
            200..=299 if answer.is_page => Err(RegistryError::Uncertain(
                doubt().because("the answer is a web page, not a registry's"),
            )),
            200..=299 => Ok(answer.bytes),
            // A second one to be staged is refused as if the first were published:
            // https://github.com/npm/cli/issues/9519
            403 | 409
                if answer.says(&["previously staged", "cannot stage previously published"]) =>
            {
                Err(RegistryError::Waiting(
                    Failure::new(
                        Exit::Temporary,
                        "npm::waiting",
                        format!("{} holds this version of {name} back", self.url),
                    )
                    .because(answer.text())
                    .hint("approve it, or reject it and run again"),
                ))
            }
            400 | 403 | 409 if answer.says(ALREADY_THERE) => Err(RegistryError::AlreadyThere(
                Failure::new(
                    Exit::RemoteRefused,
                    "npm::already_there",
                    format!("{} has this version of {name} already", self.url),
                )
                .because(answer.text()),
            )),
            420 | 429 => Err(self.busy(&answer, name)),
            403 if answer.says(&["rate limit", "too many requests"]) => {
                Err(self.busy(&answer, name))
            }
            409 => Err(RegistryError::Contended(doubt().because(answer.text()))),
            408 | 500..=599 => Err(RegistryError::Uncertain(doubt().because(answer.text()))),
            _ => Err(RegistryError::Failed(
                self.refused_write(&answer, name, write).unwrap_or_else(|| {
                    Failure::new(
                        Exit::RemoteRefused,
                        "npm::refused",
                        format!("{} refuses {name}", self.url),
                    )
                    .because(answer.text())
                }),
            )),
        }
    }

    fn busy(&self, answer: &Answer, name: &PackageName) -> RegistryError {
        RegistryError::Busy {
            retry_after: answer.after,
            failure: Failure::new(
                Exit::Temporary,
                "npm::busy",
                format!("{} has no time for {name}: too many requests", self.url),
            )
            .because(answer.text())
            .hint("run again later: it continues with what is missing"),
        }
    }

    /// A write that was refused: the job's identity may publish, and no more; or what the answer is known for.
    fn refused_write(&self, answer: &Answer, name: &PackageName, write: Write) -> Option<Failure> {
        let registry = &self.url;
        if self.identity.is_none() || !matches!(answer.status, 401 | 403 | 404) {
            return self.refusal(answer, name, write.participle());
        }
        let (code, what, hint) = match write {
            Write::Publish | Write::Stage => (
                "npm::untrusted",
                format!("{registry} does not let this job publish {name}"),
                "its trusted publisher may be for staging only: allow it to publish, or set npm-publish to stage; then run again, it continues here",
            ),
            Write::Tag | Write::Deprecate => (
                "npm::publishes_only",
                format!("{registry} does not let this job change {name} with its identity"),
                "a trusted publisher publishes and no more: set npm-token to a token that may write this package, or do it by hand with `npm dist-tag` and `npm deprecate`",
            ),
        };
        let failure = Failure::new(Exit::RemoteRefused, code, what);
        Some(failure.because(answer.text()).hint(hint))
    }

    /// The refusals that npm's answers are known for.
    fn refusal(&self, answer: &Answer, name: &PackageName, deed: &str) -> Option<Failure> {
        let registry = &self.url;
        let (code, what, hint) = match answer.status {
            401 if answer.one_time_password => (
                "npm::one_time_password",
                format!("{registry} wants a one-time password for {name}"),
                "use a granular token that may bypass it",
            ),
            401 if self.token.is_none() && self.identity.is_none() => (
                "npm::unauthorized",
                format!("{registry} wants a token for {name}"),
                "set npm-token, or registry-tokens for another registry than `registry`",
            ),
            401 => (
                "npm::unauthorized",
                format!("{registry} does not accept the token for {name}"),
                "check that it has not expired and belongs to this registry",
            ),
            402 => (
                "npm::payment",
                format!("{registry} wants payment to publish {name} privately"),
                "set access to public",
            ),
            // What GitHub Packages answers: https://github.com/Doist/todoist-sdk-typescript/pull/162
            403 if answer.says(&["permission_denied"]) => (
                "npm::forbidden",
                format!("{name} may not be {deed} at {registry} with these credentials"),
                "give the job `packages: write`, and the repository the right to write in the settings of the package",
            ),
            // https://github.com/provenance-io/provenance/issues/1500
            403 if answer.says(&["owner not found"]) => (
                "npm::forbidden",
                format!("{registry} knows no owner of that scope, and does not take {name}"),
                "the scope is the user or organisation that owns the repository: rename the package, or send it elsewhere with `registries`",
            ),
            403 => (
                "npm::forbidden",
                format!("{name} may not be {deed} at {registry} with these credentials"),
                "give the token permission to read and write this package or its scope",
            ),
            404 => (
                "npm::no_permission",
                format!(
                    "{name} may not be {deed} at {registry}: to whom it gives no permission, it answers 404"
                ),
                "check the token's scope, and for a new scope that it exists",
            ),
            413 => (
                "npm::too_large",
                format!("{name} is too large for {registry}"),
                "leave files out with `files` in package.json, or raise the registry's limit",
            ),
            422 if answer.says(&["provenance"]) => (
                "npm::unprocessable",
                format!("{registry} refuses the provenance of {name}"),
                "correct what it names and run again, which signs anew; `provenance: false` publishes without",
            ),
            422 => (
                "npm::unprocessable",
                format!("{registry} refuses what was sent for {name}"),
                "correct in package.json what it names",
            ),
            300..=399 => (
                "npm::redirected",
                format!("{registry} redirects {name} elsewhere, which is not followed"),
                "set the registry to the address it redirects to, if you trust it",
            ),
            _ => return None,
        };
        Some(
            Failure::new(Exit::RemoteRefused, code, what)
                .because(answer.text())
                .hint(hint),
        )
    }
}

/// What is written about a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Publish,
    Stage,
    Tag,
    Deprecate,
}

impl Write {
    fn method(self) -> Method {
        match self {
            Write::Stage => Method::POST,
            Write::Publish | Write::Tag | Write::Deprecate => Method::PUT,
        }
    }

    /// npm's command for it, which it names to the registry.
    fn command(self) -> &'static str {
        match self {
            Write::Publish => "publish",
            Write::Stage => "stage",
            Write::Tag => "dist-tag",
            Write::Deprecate => "deprecate",
        }
    }

    /// What becomes of the package.
    fn participle(self) -> &'static str {
        match self {
            Write::Publish | Write::Stage => "published",
            Write::Tag | Write::Deprecate => "changed",
        }
    }
}

/// What a list of collaborators (`{"user": "read-write"}`) says of `user`.
fn right_of(list: &str, user: &str) -> PublishRight {
    let Ok(serde_json::Value::Object(list)) = serde_json::from_str(list) else {
        return PublishRight::Unknown;
    };
    match list.get(user).and_then(serde_json::Value::as_str) {
        Some(right) if right.contains("write") => PublishRight::Granted,
        Some("read") => PublishRight::ReadOnly,
        Some(_) => PublishRight::Unknown,
        None if list.is_empty() => PublishRight::Unknown,
        None => PublishRight::NotListed,
    }
}

/// What a list of staged versions (`{"items": […], "total": 1}`) says of `name`.
fn staged_in(list: &str, name: &PackageName) -> Option<BTreeMap<String, Staged>> {
    let list: serde_json::Value = serde_json::from_str(list).ok()?;
    let items = list.get("items")?.as_array()?.iter();
    let own = items.filter(|item| item["packageName"] == name.as_str());
    let read = |item: &serde_json::Value| {
        let staged = Staged {
            id: StageId::parse(item["id"].as_str()?)?,
            shasum: item["shasum"].as_str().map(str::to_owned),
        };
        Some((item["version"].as_str()?.to_owned(), staged))
    };
    Some(own.filter_map(read).collect())
}

#[async_trait]
impl Registry for NpmRegistry {
    async fn check_credential(&self) -> Result<(), RegistryError> {
        let url = self.url.join("-/whoami").map_err(|error| {
            RegistryError::Failed(
                Failure::new(
                    Exit::Usage,
                    "npm::url",
                    format!("{} is no base address", self.url),
                )
                .because(error),
            )
        })?;
        let answer = match self.ask(&url).await.map_err(RegistryError::Failed)? {
            Ok(answer) => answer,
            Err(error) => {
                let failure = Failure::new(
                    Exit::Temporary,
                    "npm::unreachable",
                    format!("cannot ask {} who we are", self.url),
                )
                .because(chain(&error.without_url()))
                .hint("run again; if it stays so, look at the registry and the network");
                return Err(RegistryError::Uncertain(failure));
            }
        };
        let who = (answer.status == 200)
            .then(|| serde_json::from_str::<serde_json::Value>(&answer.message).ok())
            .flatten()
            .filter(serde_json::Value::is_object);
        let user = who.as_ref().and_then(|who| who["username"].as_str());
        let user = user.filter(|user| !user.is_empty());
        if let Some(user) = user {
            self.user.get_or_init(|| user.to_owned());
        }
        // Some registries take a token that they do not know for nobody, and answer without a name.
        let nobody = who.is_some() && user.is_none();
        if !matches!(answer.status, 401 | 403) && !nobody {
            return Ok(());
        }
        let why = if nobody {
            "it does not know whose token that is".to_owned()
        } else {
            answer.text()
        };
        Err(RegistryError::Failed(
            Failure::new(
                Exit::RemoteRefused,
                "npm::unauthorized",
                format!("{} does not accept the npm token", self.url),
            )
            .because(why)
            .hint("check that it has not expired and belongs to this registry"),
        ))
    }

    async fn publish_right(&self, name: &PackageName) -> PublishRight {
        let (Some(user), None) = (self.user.get(), self.tells_no_rights.get()) else {
            return PublishRight::Unknown;
        };
        // What `npm access list collaborators` asks.
        let Ok(url) = self.address("-/package/", name, "/collaborators?format=cli") else {
            return PublishRight::Unknown;
        };
        match self.ask(&url).await {
            Ok(Ok(answer)) if answer.status == 200 => right_of(&answer.message, user),
            Ok(Ok(answer)) if matches!(answer.status, 404 | 405 | 501) => {
                self.tells_no_rights.get_or_init(|| ());
                PublishRight::Unknown
            }
            _ => PublishRight::Unknown,
        }
    }

    async fn package(&self, name: &PackageName) -> Result<Option<PublishedPackage>, RegistryError> {
        let url = self.address_to_write(name)?;
        retry::read(name.as_str(), || self.read_once(name, &url))
            .await
            .map_err(RegistryError::Failed)
    }

    async fn publish(&self, publication: &Publication) -> Result<(), RegistryError> {
        proven(publication)?;
        let name = &publication.name;
        let url = self.address("", name, "").map_err(RegistryError::Failed)?;
        let body = document::publish(publication, &self.url)
            .to_string()
            .into_bytes();
        let what = format!("published {name} {}", publication.version);
        self.write(Write::Publish, url, body, name, &what)
            .await
            .map(|_| ())
    }

    async fn trusts(
        &self,
        name: &PackageName,
        stages: bool,
    ) -> Result<Option<Trust>, RegistryError> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let command = if stages { "stage" } else { "publish" };
        match identity.exchange(&self.url, name, command).await {
            Ok(exchanged) => {
                self.remember(name, Some(exchanged.token));
                Ok(Some(Trust {
                    claims: exchanged.claims,
                    refused: None,
                }))
            }
            Err(ExchangeError::Refused(claims, refusal)) => Ok(Some(Trust {
                claims: *claims,
                refused: Some(refusal),
            })),
            Err(ExchangeError::Unanswered(error)) => Err(error),
        }
    }

    async fn is_public(&self, name: &PackageName) -> Result<bool, RegistryError> {
        let url = self.address("-/package/", name, "/visibility");
        let url = url.map_err(RegistryError::Failed)?;
        let what = format!("who may see {name}");
        let asked = retry::read(&what, || self.shown_once(name, &url)).await;
        asked.map_err(RegistryError::Failed)
    }

    async fn stage(&self, publication: &Publication) -> Result<Option<StageId>, RegistryError> {
        proven(publication)?;
        let name = &publication.name;
        let url = self.address("-/stage/package/", name, "");
        let url = url.map_err(RegistryError::Failed)?;
        let body = document::publish(publication, &self.url).to_string();
        let what = format!("staged {name} {}", publication.version);
        let answer = self
            .write(Write::Stage, url, body.into_bytes(), name, &what)
            .await?;
        let answer = serde_json::from_slice::<serde_json::Value>(&answer).ok();
        let id = answer
            .as_ref()
            .and_then(|answer| answer["stageId"].as_str());
        Ok(id.and_then(StageId::parse))
    }

    async fn staged(&self, name: &PackageName) -> Option<BTreeMap<String, Staged>> {
        // What the job's identity is exchanged for may stage and publish, and see nothing of what waits.
        self.token.as_ref()?;
        let mut url = self.url.join("-/stage").ok()?;
        url.query_pairs_mut()
            .append_pair("page", "0")
            .append_pair("perPage", "100")
            .append_pair("package", name.as_str());
        let answer = self.ask(&url).await.ok()?.ok()?;
        (answer.status == 200)
            .then(|| staged_in(&answer.message, name))
            .flatten()
    }

    async fn set_dist_tag(
        &self,
        name: &PackageName,
        tag: &str,
        version: &str,
    ) -> Result<(), RegistryError> {
        let url = self.address("-/package/", name, "/dist-tags");
        let mut url = url.map_err(RegistryError::Failed)?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(tag);
        }
        let body = Value::from(version).to_string().into_bytes();
        let what = format!("pointed {tag} of {name} at {version}");
        self.write(Write::Tag, url, body, name, &what)
            .await
            .map(|_| ())
    }

    async fn deprecate(
        &self,
        name: &PackageName,
        messages: &BTreeMap<String, Option<String>>,
    ) -> Result<(), RegistryError> {
        let read = self.address_to_write(name)?;
        let once = || self.deprecated_once(name, &read, messages);
        let packument = retry::read(name.as_str(), once).await;
        let Some(packument) = packument.map_err(RegistryError::Failed)? else {
            let what = format!("{} has no {name}", self.url);
            let failure = Failure::new(Exit::Refused, "npm::no_package", what)
                .hint("check `registry` and `registries`: it may be on another one");
            return Err(RegistryError::Failed(failure));
        };
        let url = self.address("", name, "").map_err(RegistryError::Failed)?;
        let body = packument.into_bytes();
        let what = format!("noted what of {name} is deprecated");
        self.write(Write::Deprecate, url, body, name, &what)
            .await
            .map(|_| ())
    }

    fn describe(&self) -> String {
        self.url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::canned::{Request, serve};
    use crate::secret::Secret;

    const TOKEN: &str = "npm_secretsecretsecret";

    fn publication() -> Publication {
        let tarball = b"tarball".to_vec();
        Publication {
            name: PackageName::parse("@x/a").expect("a name"),
            version: crate::version::Version::parse("1.0.0").expect("a version"),
            dist_tag: "latest".to_owned(),
            access: Some(crate::settings::Access::Public),
            integrity: crate::name::Integrity::of(&tarball),
            shasum: "0".repeat(40),
            tarball,
            manifest: serde_json::Map::new(),
            git_head: crate::name::CommitId::parse(&"a".repeat(40)).expect("an id"),
            attestation: None,
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(work)
    }

    fn registry(url: &Url, bound_to: &Url) -> NpmRegistry {
        let secret = Secret::new(TOKEN).expect("a token");
        NpmRegistry::new(url.clone(), Some(BoundSecret::new(secret, bound_to))).expect("a registry")
    }

    fn publish(answer: &str) -> (Result<(), RegistryError>, Vec<Request>) {
        let (url, server) = serve(vec![answer.to_owned()]);
        let result = run(async { registry(&url, &url).publish(&publication()).await });
        (result, server.join().expect("requests"))
    }

    fn stage(answer: &str) -> (Result<Option<StageId>, RegistryError>, Vec<Request>) {
        let (url, server) = serve(vec![answer.to_owned()]);
        let result = run(async { registry(&url, &url).stage(&publication()).await });
        (result, server.join().expect("requests"))
    }

    #[test]
    fn a_staged_version_has_an_id_that_is_one() {
        const ID: &str = "0e1b6d6c-6f6d-4d9e-9f0e-2b8f4f4f3a10";
        let created = |body: String| format!("201 Created\r\n\r\n{body}");
        let (result, requests) = stage(&created(format!(
            "{{\"message\":\"staged\",\"stageId\":\"{ID}\"}}"
        )));
        let id = result.expect("staged").expect("an id");
        assert_eq!(id.as_str(), ID);
        let head = &requests[0].head;
        assert!(
            head.starts_with("POST /-/stage/package/@x%2fa HTTP/1.1"),
            "{head}"
        );
        assert!(head.contains("npm-command: stage"), "{head}");
        for body in ["{}", "{\"stageId\":\"$(x)\"}", "<html>"] {
            assert_eq!(stage(&created(body.to_owned())).0.expect("staged"), None);
        }
        let list = format!(
            "{{\"items\":[{{\"id\":\"{ID}\",\"packageName\":\"@x/a\",\"version\":\"1.0.0\",\"shasum\":\"00\"}},{{\"id\":\"{ID}\",\"packageName\":\"@x/b\",\"version\":\"2.0.0\"}}],\"total\":2}}"
        );
        let name = PackageName::parse("@x/a").expect("a name");
        let staged = staged_in(&list, &name).expect("a list");
        assert_eq!(staged.keys().collect::<Vec<_>>(), ["1.0.0"]);
        assert_eq!(staged["1.0.0"].id.as_str(), ID);
        assert_eq!(staged_in("<html>", &name), None);
    }

    /// What an answer to a publish leads to: kind and code.
    fn check(answer: &str, kind: &str, code: &str) {
        let error = publish(answer).0.expect_err(answer);
        let found = match &error {
            RegistryError::Uncertain(_) => "uncertain",
            RegistryError::Contended(_) => "contended",
            RegistryError::AlreadyThere(_) => "there",
            RegistryError::Waiting(_) => "waiting",
            RegistryError::Busy { .. } => "busy",
            RegistryError::Failed(_) => "failed",
        };
        let failure = Failure::from(error);
        assert_eq!((found, failure.code()), (kind, code), "{answer}");
        assert!(!format!("{failure:?}").contains(TOKEN), "{failure:?}");
    }

    #[test]
    fn answers_to_a_publish() {
        let body = |status: &str, text: &str| {
            let json = serde_json::json!({ "error": text }).to_string();
            format!("{status}\r\nContent-Type: application/json\r\n\r\n{json}")
        };
        check(
            &body("401 No", &format!("bad token {TOKEN}")),
            "failed",
            "npm::unauthorized",
        );
        check(
            "401 No\r\nwww-authenticate: OTP\r\n\r\n",
            "failed",
            "npm::one_time_password",
        );
        check(&body("402 Pay", "pay"), "failed", "npm::payment");
        check(&body("403 No", "You may not"), "failed", "npm::forbidden");
        check(
            &body(
                "403 No",
                "You cannot publish over the previously published versions: 1.0.0.",
            ),
            "there",
            "npm::already_there",
        );
        check(&body("404 No", "Not found"), "failed", "npm::no_permission");
        check(
            &body("409 No", "Failed to save packument"),
            "contended",
            "npm::uncertain",
        );
        check(
            &body("409 No", "this package is already present"),
            "there",
            "npm::already_there",
        );
        for said in [
            "Cannot publish over previously staged version \"1.0.0\".",
            "Cannot stage previously published version \"1.0.0\"",
        ] {
            check(&body("409 No", said), "waiting", "npm::waiting");
        }
        check(
            &body("422 No", "provenance"),
            "failed",
            "npm::unprocessable",
        );
        check(&body("503 No", "later"), "uncertain", "npm::uncertain");
        check(
            "302 Away\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
            "failed",
            "npm::redirected",
        );
        check(
            "200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
            "uncertain",
            "npm::uncertain",
        );
        check("", "uncertain", "npm::uncertain");
    }

    #[test]
    fn answers_of_other_registries_to_a_publish() {
        let json = |status: &str, body: serde_json::Value| format!("{status}\r\n\r\n{body}");
        let error = |status: &str, text: &str| json(status, serde_json::json!({ "error": text }));
        let github = "Cannot publish over existing version";
        let azure = "The feed 'f' already contains file 'a-1.0.0.tgz' in package '@x/a 1.0.0'.";
        let nexus = "Repository does not allow updating assets: npm-hosted";
        let gitlab = serde_json::json!({ "message": "403 Forbidden - Package already exists." });
        for there in [
            error("409 Conflict", github),
            error("403 Forbidden", azure),
            format!("400 Bad Request\r\n\r\n<html><title>400 - {nexus}</title></html>"),
            json("403 Forbidden", gitlab),
        ] {
            check(&there, "there", "npm::already_there");
        }
        let hint = |answer: &str| {
            let failure = Failure::from(publish(answer).0.expect_err(answer));
            assert_eq!(failure.code(), "npm::forbidden", "{answer}");
            failure.advice().unwrap_or_default().to_owned()
        };
        let denied = "Permission permission_denied: write_package";
        assert!(hint(&error("403 Forbidden", denied)).contains("packages: write"));
        let unknown = "Permission not_found: owner not found";
        assert!(hint(&error("403 Forbidden", unknown)).contains("owns the repository"));
        let other = error("400 Bad Request", "invalid version");
        check(&other, "failed", "npm::refused");
    }

    #[test]
    fn a_registry_that_does_not_know_whoami_passes() {
        let check = |answer: &str| {
            let (url, server) = serve(vec![answer.to_owned()]);
            let checked = run(async { registry(&url, &url).check_credential().await });
            let _ = server.join().expect("requests");
            checked.map_err(|error| Failure::from(error).code())
        };
        // GitLab and older Nexus: https://github.com/lerna/lerna/issues/1687
        assert_eq!(check("404 Not Found\r\n\r\n{}"), Ok(()));
        assert_eq!(check("405 No\r\n\r\n"), Ok(()));
        assert_eq!(check("200 OK\r\n\r\n{\"username\":\"ann\"}"), Ok(()));
        let refused = Err("npm::unauthorized");
        assert_eq!(
            check(
                "401 No\r\n\r\n{\"error\":\"User cannot be authenticated with the token provided.\"}"
            ),
            refused
        );
        assert_eq!(check("403 No\r\n\r\n"), refused);
    }

    #[test]
    fn a_redirect_takes_no_credential_to_another_path() {
        use crate::secret::Scheme;
        let name = PackageName::parse("a").expect("a name");
        let read = |location: &str, below: &str| {
            let good = "200 OK\r\n\r\n{\"name\":\"a\",\"versions\":{}}";
            let moved = format!("302 Away\r\nLocation: {location}\r\n\r\n");
            let (url, server) = serve(vec![moved, good.to_owned()]);
            let base = url.join("team/").expect("an address");
            let secret = Secret::new(TOKEN).expect("a token");
            let secret = BoundSecret::below(secret, Scheme::Bearer, &url, below);
            let registry = NpmRegistry::new(base, Some(secret)).expect("a registry");
            let found = run(async { registry.package(&name).await });
            // Who was not followed did not ask for the second answer.
            if found.is_err() {
                let _ = run(async { reqwest::get(url).await });
            }
            let requests = server.join().expect("requests");
            (found.is_ok(), requests)
        };
        let (followed, requests) = read("/team/b", "/team/");
        assert!(followed && requests[1].head.contains(TOKEN));
        let (followed, requests) = read("/other/b", "/team/");
        assert!(
            !followed && !requests[1].head.contains(TOKEN),
            "{}",
            requests[1].head
        );
        let (followed, _) = read("/other/b", "/");
        assert!(followed);
    }

    #[test]
    fn who_may_publish_is_asked_where_the_registry_tells_it() {
        use PublishRight::{Granted, NotListed, ReadOnly, Unknown};
        const WHO: &str = "200 OK\r\n\r\n{\"username\":\"ann\"}";
        let check = |answers: &[&str], expected: &[PublishRight]| {
            let (url, server) = serve(answers.iter().map(|answer| (*answer).to_owned()).collect());
            let name = PackageName::parse("@x/a").expect("a name");
            let rights = run(async {
                let registry = registry(&url, &url);
                registry.check_credential().await.expect("a user");
                let mut rights = Vec::new();
                for _ in expected {
                    rights.push(registry.publish_right(&name).await);
                }
                rights
            });
            assert_eq!(rights, expected, "{answers:?}");
            let requests = server.join().expect("requests");
            if let Some(asked) = requests.get(1) {
                let line = "GET /-/package/@x%2fa/collaborators?format=cli HTTP/1.1";
                assert!(asked.head.starts_with(line), "{}", asked.head);
            }
        };
        let list = |list: &str| format!("200 OK\r\n\r\n{list}");
        check(&[WHO, &list("{\"ann\":\"read-write\"}")], &[Granted]);
        check(&[WHO, &list("{\"ann\":\"write\"}")], &[Granted]);
        check(&[WHO, &list("{\"ann\":\"read\"}")], &[ReadOnly]);
        check(&[WHO, &list("{\"bob\":\"write\"}")], &[NotListed]);
        check(&[WHO, &list("{}")], &[Unknown]);
        check(&[WHO, &list("<html>")], &[Unknown]);
        check(&[WHO, "503 No\r\n\r\n", &list("{}")], &[Unknown, Unknown]);
        // Asked once of a registry that does not tell.
        check(&[WHO, "404 No\r\n\r\n{}"], &[Unknown, Unknown]);
        // Nobody is nobody's collaborator.
        check(&["404 No\r\n\r\n{}"], &[Unknown]);
    }

    #[test]
    fn a_busy_registry_says_how_long() {
        let (result, _) = publish("429 Slow\r\nRetry-After: 1934\r\n\r\n");
        match result {
            Err(RegistryError::Busy { retry_after, .. }) => {
                assert_eq!(retry_after, Some(Duration::from_secs(1934)));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_put_with_all_that_npm_sends() {
        let (result, requests) = publish("201 Created\r\n\r\n{}");
        result.expect("published");
        assert_eq!(requests.len(), 1);
        assert!(
            requests[0].head.starts_with("PUT /@x%2fa HTTP/1.1"),
            "{}",
            requests[0].head
        );
        assert!(
            requests[0]
                .head
                .contains(&format!("authorization: Bearer {TOKEN}"))
        );
        let body: serde_json::Value = serde_json::from_slice(&requests[0].body).expect("JSON");
        assert_eq!(body["_id"], "@x/a");
        assert_eq!(body["access"], "public");
        assert_eq!(body["dist-tags"]["latest"], "1.0.0");
        assert_eq!(body["versions"]["1.0.0"]["gitHead"], "a".repeat(40));
        assert_eq!(body["versions"]["1.0.0"]["_id"], "@x/a@1.0.0");
        assert_eq!(body["_attachments"]["@x/a-1.0.0.tgz"]["length"], 7);
    }

    #[test]
    fn what_an_exchange_gave_goes_with_its_own_package_and_is_forgotten_when_it_is_refused() {
        const JWT: &str = "e30.e30.canary";
        let good = "200 OK\r\n\r\n{\"name\":\"a\",\"versions\":{}}";
        let issued = format!("200 OK\r\n\r\n{{\"value\":\"{JWT}\"}}");
        let given = format!("201 Created\r\n\r\n{{\"token\":\"{TOKEN}\"}}");
        let of_b = "200 OK\r\n\r\n{\"name\":\"b\",\"versions\":{}}";
        let answers = [&issued, &given, good, of_b, "401 No\r\n\r\n{}", good];
        let (url, server) = serve(answers.map(str::to_owned).to_vec());
        let source = IdentitySource::Asked {
            url: url.clone(),
            token: BoundSecret::new(Secret::new("right").expect("a secret"), &url),
        };
        let registry = NpmRegistry::new(url, None).expect("a registry");
        let registry = registry.with_identity(Some(source));
        let [own, other] = ["a", "b"].map(|name| PackageName::parse(name).expect("a name"));
        run(async {
            let trust = registry.trusts(&own, false).await.expect("an answer");
            assert_eq!(trust.expect("a trust").refused, None);
            registry.package(&own).await.expect("read with it");
            registry.package(&other).await.expect("read without");
            // An hour later it is worth nothing, and what is public can be read all the same.
            registry.package(&own).await.expect("read without");
        });
        let requests = server.join().expect("requests");
        let carried: Vec<bool> = requests[2..]
            .iter()
            .map(|request| {
                request
                    .head
                    .contains(&format!("authorization: Bearer {TOKEN}"))
            })
            .collect();
        assert_eq!(carried, [true, false, true, false]);
        let with_token = NpmRegistry::new(
            Url::parse("http://127.0.0.1:1/").expect("a url"),
            Some(BoundSecret::new(
                Secret::new(TOKEN).expect("a token"),
                &Url::parse("http://127.0.0.1:1/").expect("a url"),
            )),
        );
        let source = IdentitySource::Given(Secret::new(JWT).expect("a token"));
        let with_token = with_token.expect("a registry").with_identity(Some(source));
        assert_eq!(
            run(with_token.trusts(&own, false)).expect("no question"),
            None
        );
    }

    #[test]
    fn the_token_goes_to_its_origin_only() {
        let other = Url::parse("https://registry.example/").expect("a url");
        let (url, server) = serve(vec!["201 Created\r\n\r\n{}".to_owned()]);
        run(async { registry(&url, &other).publish(&publication()).await }).expect("published");
        let requests = server.join().expect("requests");
        assert!(!requests[0].head.to_lowercase().contains("authorization"));
    }

    #[test]
    fn only_404_means_absent_and_half_a_document_is_asked_for_again() {
        let name = PackageName::parse("a").expect("a name");
        let read = |answers: &[&str]| {
            let (url, server) = serve(answers.iter().map(|answer| (*answer).to_owned()).collect());
            let found = run(async { registry(&url, &url).package(&name).await });
            let found = found.map_err(|error| Failure::from(error).code());
            (found, server.join().expect("requests").len())
        };
        let good = "200 OK\r\n\r\n{\"name\":\"a\",\"versions\":{}}";
        assert_eq!(read(&["404 No\r\n\r\n{}"]), (Ok(None), 1));
        assert_eq!(read(&["401 No\r\n\r\n{}"]), (Err("npm::unauthorized"), 1));
        let there = Ok(Some(PublishedPackage::default()));
        assert_eq!(read(&["503 No\r\n\r\n", good]), (there.clone(), 2));
        assert_eq!(
            read(&["200 OK\r\n\r\n{\"name\":\"a\",\"ver", good]),
            (there.clone(), 2)
        );
        assert_eq!(read(&["", good]), (there, 2));
    }
}
