//! Answers of services over HTTP, read within bounds and told without the credential that was sent.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Response;
use reqwest::header::HeaderMap;

use crate::explain::quoted;
use crate::remote::retry;
use crate::secret::BoundSecret;

/// How much of an answer is read that is no good one.
pub(in crate::remote) const LONGEST_ERROR: u64 = 64 << 10;

/// What a service answered, as far as it is told.
pub(in crate::remote) struct Answer {
    pub(in crate::remote) status: u16,
    /// How long it asks to wait.
    pub(in crate::remote) after: Option<Duration>,
    /// Whether it is a page for people.
    pub(in crate::remote) is_page: bool,
    /// Whether it asks for a second factor.
    pub(in crate::remote) one_time_password: bool,
    /// The sentence in it, without the credential.
    pub(in crate::remote) message: String,
    pub(in crate::remote) bytes: Vec<u8>,
}

impl Answer {
    /// Reads an answer to a request that held `token`.
    pub(in crate::remote) async fn of(response: Response, token: Option<&BoundSecret>) -> Answer {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let header = |name: &str| text_of(&headers, name);
        let bytes = match body(response, LONGEST_ERROR).await {
            Ok((bytes, _)) => bytes,
            Err(_) => Vec::new(),
        };
        let mut message = message_of(&bytes);
        if let Some(token) = token {
            message = token.hidden_in(&message);
        }
        let after =
            header("retry-after").and_then(|value| retry::retry_after(value, header("date")));
        Answer {
            status,
            after,
            is_page: header("content-type").is_some_and(|kind| kind.starts_with("text/html")),
            one_time_password: header("www-authenticate")
                .is_some_and(|how| how.to_ascii_lowercase().contains("otp"))
                || message.to_lowercase().contains("one-time pass"),
            message,
            bytes,
        }
    }

    /// Whether its sentence holds one of `phrases`, in small letters.
    pub(in crate::remote) fn says(&self, phrases: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    /// What a registry answered, for people.
    pub(in crate::remote) fn text(&self) -> String {
        self.said_by("the registry")
    }

    /// What `who` answered, for people.
    pub(in crate::remote) fn said_by(&self, who: &str) -> String {
        if self.message.is_empty() {
            format!("{who} answered {}", self.status)
        } else {
            format!("{who} answered {}: {}", self.status, quoted(&self.message))
        }
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The sentence in an error's body.
fn message_of(bytes: &[u8]) -> String {
    let said = serde_json::from_slice::<serde_json::Value>(bytes)
        .ok()
        .and_then(|body| {
            ["error", "message", "reason"]
                .iter()
                .find_map(|name| body.get(name)?.as_str().map(str::to_owned))
        });
    said.unwrap_or_else(|| String::from_utf8_lossy(bytes).trim().to_owned())
}

/// The body, or its first `limit` bytes, and whether that is all.
pub(in crate::remote) async fn body(
    response: Response,
    limit: u64,
) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        let room = limit - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok((bytes, false));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, true))
}
