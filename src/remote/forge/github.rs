//! Releases on GitHub: told after everything is decided, repeatable, never decisive.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use octocrab::Octocrab;
use serde_json::{Value, json};
use url::Url;

use crate::explain::{Exit, Failure, quoted};
use crate::name::TagName;
use crate::remote::chain;
use crate::remote::retry::{self, Tried};
use crate::secret::Secret;

const PATIENCE: Duration = Duration::from_mins(1);
/// The longest answer that is read, in bytes: a release with its notes (125,000 characters at most) and its uploader is far shorter.
const LONGEST_ANSWER: usize = 4 << 20;
/// How often a release that may or may not have been made is looked for and made again.
const WRITES: u32 = 3;

/// A repository on GitHub, or on a server with its API.
pub struct GitHub {
    client: Octocrab,
    repository: String,
}

/// What telling the forge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The release was made.
    Done,
    /// There was one for this tag; it was left as it is, because people edit releases.
    AlreadyDone,
}

/// An answer of the API.
struct Answer {
    status: u16,
    after: Option<Duration>,
    body: Value,
}

impl GitHub {
    /// A client for `repository` (`owner/name`) behind the API at `api_url`, with which `token` is shared and nobody else. Called inside a runtime.
    ///
    /// # Errors
    /// `github::repository` and `github::url`, exit 2.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the token lives here from now on"
    )]
    pub fn new(api_url: &Url, token: Secret, repository: &str) -> Result<GitHub, Failure> {
        let good = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part
                    .chars()
                    .all(|character| character.is_ascii_alphanumeric() || "._-".contains(character))
        };
        if !repository
            .split_once('/')
            .is_some_and(|(owner, name)| good(owner) && good(name))
        {
            return Err(Failure::new(
                Exit::Usage,
                "github::repository",
                format!("{} is not a repository", quoted(repository)),
            )
            .hint("write owner/name"));
        }
        let unusable = |error: octocrab::Error| {
            Failure::new(
                Exit::Usage,
                "github::url",
                "cannot set up requests to the GitHub API",
            )
            .because(error)
            .hint("check the address of the API and this machine's certificates")
        };
        let client = Octocrab::builder()
            .personal_token(token.reveal())
            .base_uri(api_url.as_str())
            .map_err(unusable)?
            .build()
            .map_err(unusable)?;
        Ok(GitHub {
            client,
            repository: repository.to_owned(),
        })
    }

    /// Makes the release of `tag` if there is none. `latest` lets GitHub show it as the newest.
    ///
    /// # Errors
    /// `github::forbidden`, exit 5; `github::unreachable`, exit 75.
    pub async fn ensure_release(
        &self,
        tag: &TagName,
        title: &str,
        body: &str,
        prerelease: bool,
        latest: bool,
    ) -> Result<Told, Failure> {
        let release = json!({
            "tag_name": tag.as_str(),
            "name": title,
            "body": body,
            "draft": false,
            "prerelease": prerelease,
            "make_latest": if latest && !prerelease { "true" } else { "false" },
        });
        let route = format!("/repos/{}/releases", self.repository);
        let mut doubt = None;
        for _ in 0..WRITES {
            if self.is_there(tag).await? {
                return Ok(Told::AlreadyDone);
            }
            match self.ask(&route, Some(&release)).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return Ok(Told::Done);
                }
                Ok(answer)
                    if answer.status == 422
                        && answer.body.to_string().contains("already_exists") => {}
                Ok(answer) if !retry::is_temporary(answer.status) => {
                    return Err(self.refused(tag, &answer));
                }
                Ok(answer) => doubt = Some(said(&answer)),
                Err(why) => doubt = Some(why),
            }
        }
        let failure = self.unreachable(tag);
        Err(match doubt {
            Some(why) => failure.because(why),
            None => failure
                .because("it is reported to exist, but is not shown: a draft may hold the tag"),
        })
    }

    /// Whether there is a published release of `tag`.
    async fn is_there(&self, tag: &TagName) -> Result<bool, Failure> {
        let route = format!("/repos/{}/releases/tags/{}", self.repository, escaped(tag));
        retry::read(&route, || async {
            let answer = self
                .ask(&route, None)
                .await
                .map_err(|why| Tried::temporary(self.unreachable(tag).because(why)))?;
            match answer.status {
                200 => Ok(true),
                404 => Ok(false),
                status if retry::is_temporary(status) => Err(Tried::Temporary {
                    error: self.unreachable(tag).because(said(&answer)),
                    after: answer.after,
                }),
                _ => Err(Tried::Final(self.refused(tag, &answer))),
            }
        })
        .await
    }

    /// Sends one request, a GET without `body` and a POST with one, and waits for an answer, but not for ever; the error is why there is none.
    async fn ask(&self, route: &str, body: Option<&Value>) -> Result<Answer, String> {
        let work = async {
            let response = match body {
                Some(_) => self.client._post(route, body).await?,
                None => self.client._get(route).await?,
            };
            let status = response.status().as_u16();
            let headers = response.headers();
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let after =
                header("retry-after").and_then(|value| retry::retry_after(value, header("date")));
            let body = Limited::new(response.into_body(), LONGEST_ANSWER);
            let body = body.collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer {
                status,
                after,
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            })
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(answer) => answer.map_err(|error| chain(error.as_ref())),
            Err(_) => Err(format!("no answer came within {} s", PATIENCE.as_secs())),
        }
    }

    fn unreachable(&self, tag: &TagName) -> Failure {
        Failure::new(
            Exit::Temporary,
            "github::unreachable",
            format!(
                "cannot tell GitHub about the release {tag} of {}",
                self.repository
            ),
        )
        .hint("run again: the release itself is complete, and only what is missing is told")
    }

    fn refused(&self, tag: &TagName, answer: &Answer) -> Failure {
        Failure::new(
            Exit::RemoteRefused,
            "github::forbidden",
            format!("GitHub refuses the release {tag} of {}", self.repository),
        )
        .because(said(answer))
        .hint("give the token `contents: write`")
    }
}

fn said(answer: &Answer) -> String {
    match answer.body.get("message").and_then(Value::as_str) {
        Some(message) => format!("GitHub answered {}: {}", answer.status, quoted(message)),
        None => format!("GitHub answered {}", answer.status),
    }
}

/// The tag as a part of a path; its slashes stay, as GitHub takes them either way.
fn escaped(tag: &TagName) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'@')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'+');
    utf8_percent_encode(tag.as_str(), KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::canned::serve;

    /// Tells a release to a forge with these answers; the result and the requests' first lines.
    fn check(answers: &[&str]) -> (Result<Told, &'static str>, Vec<String>) {
        let (url, server) = serve(answers.iter().map(|answer| (*answer).to_owned()).collect());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let told = runtime.block_on(async {
            let url = url.join("api/v3/").expect("a url");
            let token = Secret::new("t").expect("a token");
            let github = GitHub::new(&url, token, "o/n").expect("a client");
            let tag = TagName::parse("@x/a#b@1.0.0").expect("a tag");
            github
                .ensure_release(&tag, "a 1.0.0", "text", false, true)
                .await
        });
        let lines = server.join().expect("requests").into_iter().map(|request| {
            assert!(
                request
                    .head
                    .to_lowercase()
                    .contains("authorization: bearer t")
            );
            request.head.lines().next().unwrap_or_default().to_owned()
        });
        (told.map_err(|failure| failure.code()), lines.collect())
    }

    const ABSENT: &str = "404 No\r\n\r\n{\"message\":\"Not Found\"}";
    const THERE: &str = "200 OK\r\n\r\n{}";
    const MADE: &str = "201 Created\r\n\r\n{}";

    #[test]
    fn a_release_is_made_once() {
        assert_eq!(
            check(&[ABSENT, MADE]),
            (
                Ok(Told::Done),
                vec![
                    "GET /api/v3/repos/o/n/releases/tags/@x/a%23b@1.0.0 HTTP/1.1".to_owned(),
                    "POST /api/v3/repos/o/n/releases HTTP/1.1".to_owned()
                ]
            )
        );
        let already = Ok(Told::AlreadyDone);
        assert_eq!(check(&[THERE]).0, already);
        assert_eq!(check(&["502 No\r\n\r\n", THERE]).0, already);
        assert_eq!(check(&[ABSENT, "502 No\r\n\r\n", THERE]).0, already);
        let raced = "422 No\r\n\r\n{\"message\":\"Validation Failed\",\"errors\":[{\"code\":\"already_exists\"}]}";
        assert_eq!(check(&[ABSENT, raced, THERE]).0, already);
        let denied = "403 No\r\n\r\n{\"message\":\"Resource not accessible by integration\"}";
        assert_eq!(check(&[ABSENT, denied]).0, Err("github::forbidden"));
    }
}
