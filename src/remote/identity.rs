//! The job's identity: a token that the platform makes for a registry, which the registry exchanges for one that may publish one package.
//!
//! Requests are those of npm's `lib/utils/oidc.js`. What npm passes over in silence is told here.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use reqwest::{Client, Response};
use serde::Deserialize;
use url::Url;

use crate::explain::{Exit, Failure};
use crate::name::PackageName;
use crate::remote::answer::{Answer, body};
use crate::remote::chain;
use crate::remote::registry::RegistryError;
use crate::remote::retry::{self, Tried};
use crate::secret::{BoundSecret, Secret};
use crate::settings::identity::{Claims, IdentitySource, Refusal};

const CONNECT: Duration = Duration::from_secs(10);
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// Tokens are a few kilobytes.
const LONGEST_ANSWER: u64 = 256 << 10;

/// npm says that trusted publishing [needs its client from 11.5.1 on](https://docs.npmjs.com/trusted-publishers); whether the registry looks at who asks
/// is not documented. The requests here are those of this npm, so its name stands first.
const CLIENT: &str = concat!("npm/12.2.0 pkgs-action/", env!("CARGO_PKG_VERSION"));

/// What exchanges the job's identity. Its tokens go into no message, and each to one origin only.
#[derive(Debug)]
pub struct JobIdentity {
    source: IdentitySource,
    client: OnceLock<Client>,
}

/// What a registry gave for the job's identity.
#[derive(Debug)]
pub struct Exchanged {
    /// What publishes the one package that it was asked for.
    pub token: BoundSecret,
    /// What the job said of itself.
    pub claims: Claims,
}

/// How an exchange failed.
#[derive(Debug)]
pub enum ExchangeError {
    /// The registry does not take this job for this package: asking again would bring the same answer.
    Refused(Box<Claims>, Refusal),
    /// It has no time, the platform gives no identity, or nobody answers: what a write that needs the token fails with.
    Unanswered(RegistryError),
}

impl From<Failure> for ExchangeError {
    fn from(failure: Failure) -> ExchangeError {
        ExchangeError::Unanswered(RegistryError::Failed(failure))
    }
}

/// That there is no time; nothing happened.
fn busy(retry_after: Option<Duration>, failure: Failure) -> ExchangeError {
    ExchangeError::Unanswered(RegistryError::Busy {
        retry_after,
        failure,
    })
}

/// As the platform answers.
#[derive(Deserialize)]
struct Issued {
    value: String,
}

/// As the registry answers.
#[derive(Deserialize)]
struct Given {
    token: String,
}

impl JobIdentity {
    /// The identity that comes from `source`.
    pub fn new(source: IdentitySource) -> JobIdentity {
        JobIdentity {
            source,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWERS_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                Failure::new(
                    Exit::Temporary,
                    "npm::client",
                    "cannot set up HTTPS requests",
                )
                .because(error.without_url())
            })?;
        Ok(self.client.get_or_init(|| client))
    }

    /// A token of the job for `audience`: a registry (`npm:<host>`) or another service. Reads are asked again.
    ///
    /// # Errors
    /// `identity::refused`, exit 5, `identity::unanswered`, exit 75.
    pub(in crate::remote) async fn id_token(&self, audience: &str) -> Result<Secret, Failure> {
        let (url, right) = match &self.source {
            IdentitySource::Given(token) => return Ok(token.clone()),
            IdentitySource::Asked { url, token } => (url, token),
        };
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("audience", audience);
        let client = self.client()?;
        retry::read("the identity of the job", || {
            ask(client, url.clone(), right.clone())
        })
        .await
    }

    /// Exchanges the job's identity for a token that may do `command` (`publish`, `stage`) with `name` at `registry`. It is asked once: an exchange
    /// is a POST.
    pub async fn exchange(
        &self,
        registry: &Url,
        name: &PackageName,
        command: &'static str,
    ) -> Result<Exchanged, ExchangeError> {
        let audience = format!("npm:{}", registry.host_str().unwrap_or_default());
        let identity = self.id_token(&audience).await?;
        let claims = Claims::read(identity.reveal());
        let identity = BoundSecret::new(identity, registry);
        let path = format!(
            "/-/npm/v1/oidc/token/exchange/package/{}",
            name.as_str().replace('/', "%2f")
        );
        let url = registry.join(&path).map_err(|error| {
            Failure::new(
                Exit::Usage,
                "npm::url",
                format!("{registry} is no base address"),
            )
            .because(error)
        })?;
        let response = self.post(&url, &identity, command).await?;
        if response.status().is_success() {
            let token = token_of(response, registry, name).await?;
            return Ok(Exchanged { token, claims });
        }
        let answer = Answer::of(response, Some(&identity)).await;
        if retry::is_temporary(answer.status) {
            let failure = unanswered(registry, name).because(answer.text());
            return Err(busy(answer.after, failure));
        }
        let refusal = Refusal {
            status: answer.status,
            said: answer.text(),
        };
        Err(ExchangeError::Refused(Box::new(claims), refusal))
    }

    async fn post(
        &self,
        url: &Url,
        identity: &BoundSecret,
        command: &'static str,
    ) -> Result<Response, ExchangeError> {
        let client = self.client()?;
        let request = client
            .post(url.clone())
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, CLIENT)
            .header("npm-auth-type", "web")
            .header("npm-command", command)
            .header(
                AUTHORIZATION,
                identity.authorization(url).unwrap_or_default(),
            );
        request.send().await.map_err(|error| {
            let failure = Failure::new(
                Exit::Temporary,
                "identity::unanswered",
                "the registry did not answer the exchange of the job's identity",
            )
            .because(chain(&error.without_url()))
            .hint("run again; nothing was published with it");
            busy(None, failure)
        })
    }
}

fn unanswered(registry: &Url, name: &PackageName) -> Failure {
    Failure::new(
        Exit::Temporary,
        "identity::unanswered",
        format!("{registry} did not exchange the job's identity for {name}"),
    )
    .hint("run again; if it stays so, look at the registry and the network")
}

/// The token in a registry's answer.
async fn token_of(
    response: Response,
    registry: &Url,
    name: &PackageName,
) -> Result<BoundSecret, ExchangeError> {
    let in_vain = |why: String| busy(None, unanswered(registry, name).because(why));
    let (bytes, _) = body(response, LONGEST_ANSWER)
        .await
        .map_err(|error| in_vain(chain(&error.without_url())))?;
    let given = serde_json::from_slice::<Given>(&bytes).ok();
    let token = given.and_then(|given| Secret::new(&given.token));
    let token = token.ok_or_else(|| in_vain("its answer holds no token".to_owned()))?;
    Ok(BoundSecret::new(token, registry))
}

/// Asks the platform once.
async fn ask(client: &Client, url: Url, right: BoundSecret) -> Result<Secret, Tried<Failure>> {
    let failed = |exit, code: &'static str, what: &str| {
        Failure::new(
            exit,
            code,
            format!("the platform {what} an identity of this job"),
        )
        .hint("the job needs `permissions: id-token: write`; without it npm takes a token (npm-token), and AWS its own variables")
    };
    let unanswered = || {
        failed(
            Exit::Temporary,
            "identity::unanswered",
            "was asked in vain for",
        )
    };
    let request = client
        .get(url.clone())
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, right.authorization(&url).unwrap_or_default());
    let broken =
        |error: reqwest::Error| Tried::temporary(unanswered().because(chain(&error.without_url())));
    let response = request.send().await.map_err(broken)?;
    let status = response.status();
    if !status.is_success() {
        let answer = Answer::of(response, Some(&right)).await;
        if retry::is_temporary(answer.status) {
            return Err(Tried::Temporary {
                error: unanswered().because(answer.said_by("it")),
                after: answer.after,
            });
        }
        let refused = failed(Exit::RemoteRefused, "identity::refused", "refuses");
        return Err(Tried::Final(refused.because(answer.said_by("it"))));
    }
    let (bytes, _) = body(response, LONGEST_ANSWER).await.map_err(broken)?;
    let issued = serde_json::from_slice::<Issued>(&bytes).ok();
    let token = issued.and_then(|issued| Secret::new(&issued.value));
    token.ok_or_else(|| {
        Tried::Final(
            failed(Exit::RemoteRefused, "identity::refused", "gives no")
                .because("its answer holds no token"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::canned::{Request, serve};

    const RIGHT: &str = "right0to0ask0canary";
    const JWT: &str = "e30.eyJyZXBvc2l0b3J5IjoiYWNtZS9tb25vIn0.canaryOfTheJob";
    const TOKEN: &str = "npm_canary0of0the0exchange";

    /// Exchanges with a server that gives `answers`, platform and registry in one.
    fn exchange(answers: &[&str]) -> (Result<Exchanged, ExchangeError>, Vec<Request>) {
        let (url, server) = serve(answers.iter().map(|answer| (*answer).to_owned()).collect());
        let asked = url.join("token?api-version=2.0").expect("a url");
        let token = BoundSecret::new(Secret::new(RIGHT).expect("a secret"), &asked);
        let identity = JobIdentity::new(IdentitySource::Asked { url: asked, token });
        let name = PackageName::parse("@acme/text").expect("a name");
        let result = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(identity.exchange(&url, &name, "publish"));
        (result, server.join().expect("requests"))
    }

    fn issued() -> String {
        format!("200 OK\r\n\r\n{{\"count\":1,\"value\":\"{JWT}\"}}")
    }

    #[test]
    fn one_token_is_asked_for_and_exchanged_for_one_package() {
        let given = format!("201 Created\r\n\r\n{{\"token_type\":\"oidc\",\"token\":\"{TOKEN}\"}}");
        let (result, requests) = exchange(&[&issued(), &given]);
        let exchanged = result.expect("exchanged");
        assert_eq!(exchanged.claims.repository.as_deref(), Some("acme/mono"));
        assert!(!format!("{exchanged:?}").contains(TOKEN));
        let [asked, posted] = &requests[..] else {
            panic!("{} requests", requests.len())
        };
        let line = "GET /token?api-version=2.0&audience=npm%3A127.0.0.1 HTTP/1.1\r\n";
        assert!(asked.head.starts_with(line), "{}", asked.head);
        assert!(
            asked
                .head
                .contains(&format!("authorization: Bearer {RIGHT}"))
        );
        let line = "POST /-/npm/v1/oidc/token/exchange/package/@acme%2ftext HTTP/1.1\r\n";
        assert!(posted.head.starts_with(line), "{}", posted.head);
        assert!(
            posted
                .head
                .contains(&format!("authorization: Bearer {JWT}"))
        );
        assert!(posted.head.contains("user-agent: npm/"), "{}", posted.head);
        assert!(posted.body.is_empty() && !posted.head.contains("content-type"));
    }

    /// What answers lead to: a word, and what is told, which holds no token.
    fn check(answers: &[&str], expected: &str) {
        let (result, requests) = exchange(answers);
        let error = result.expect_err("no exchange");
        let found = match &error {
            ExchangeError::Refused(_, refusal) => format!("refused {}", refusal.status),
            ExchangeError::Unanswered(RegistryError::Busy { failure, .. }) => {
                format!("busy {}", failure.code())
            }
            ExchangeError::Unanswered(RegistryError::Failed(failure)) => {
                format!("failed {}", failure.code())
            }
            ExchangeError::Unanswered(other) => format!("otherwise {other}"),
        };
        assert_eq!(found, expected, "{answers:?}");
        assert_eq!(requests.len(), answers.len(), "{answers:?}");
        let told = format!("{error:?}");
        for secret in [RIGHT, JWT, TOKEN] {
            assert!(!told.contains(secret), "{told}");
        }
    }

    #[test]
    fn what_answers_mean() {
        let issued = issued();
        let echo = format!("404 No\r\n\r\n{{\"message\":\"no package for {JWT}\"}}");
        check(&[&issued, &echo], "refused 404");
        check(&[&issued, "401 No\r\n\r\n"], "refused 401");
        check(
            &[&issued, "302 Away\r\nLocation: http://127.0.0.1:1/\r\n\r\n"],
            "refused 302",
        );
        // An exchange is asked once.
        check(&[&issued, "503 No\r\n\r\n"], "busy identity::unanswered");
        check(&[&issued, ""], "busy identity::unanswered");
        check(
            &[&issued, "200 OK\r\n\r\n<html>"],
            "busy identity::unanswered",
        );
        let own = format!("403 No\r\n\r\n{{\"message\":\"{RIGHT} may not\"}}");
        check(&[&own], "failed identity::refused");
        check(&["200 OK\r\n\r\n{}"], "failed identity::refused");
        // The platform is asked again.
        check(
            &["503 No\r\n\r\n", "401 No\r\n\r\n"],
            "failed identity::refused",
        );
    }
}
