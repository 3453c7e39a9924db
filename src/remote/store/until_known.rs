//! Sending a write until it is known what became of it.

use super::StoreError;
use crate::explain::Failure;
use crate::name::Key;
use crate::remote::retry::backoff;

/// How often a write is sent while nobody can say whether it happened.
const SENDS: u32 = 8;
/// After how many sends that is told: one lost answer is nothing to speak of.
const TOLD: u32 = 2;

/// Why it is not known what became of a write.
#[derive(Debug)]
pub enum Unknown {
    /// It did not happen, or could not be looked for.
    Failed(Failure),
    /// It was sent so often that it is given up; what became of the last send whose answer was lost.
    Open(Option<Failure>),
}

impl Unknown {
    /// The failure; where it is still open, what `open` makes of the doubt.
    pub fn or(self, open: impl FnOnce(Option<Failure>) -> Failure) -> Failure {
        match self {
            Unknown::Failed(failure) => failure,
            Unknown::Open(doubt) => open(doubt),
        }
    }
}

/// Sends a write to `key` until it is known what became of it: by its answer, or by a look at what is there. Only where neither says it is the write sent
/// again, after a while where its answer was lost.
///
/// Both give `None` where they do not know.
///
/// # Errors
/// Why it is not known.
pub async fn until_known<T, Sending, Looking>(
    key: &Key,
    mut send: impl FnMut() -> Sending + Send,
    mut look: impl FnMut() -> Looking + Send,
) -> Result<T, Unknown>
where
    Sending: Future<Output = Result<Option<T>, StoreError>> + Send,
    Looking: Future<Output = Result<Option<T>, Failure>> + Send,
    T: Send,
{
    let mut doubt = None;
    for tries in 1..=SENDS {
        let is_answered = match send().await {
            Ok(Some(known)) => return Ok(known),
            Ok(None) => true,
            Err(StoreError::Uncertain(failure)) => {
                doubt = Some(failure);
                false
            }
            Err(StoreError::Failed(failure)) => return Err(Unknown::Failed(failure)),
        };
        if let Some(known) = look().await.map_err(Unknown::Failed)? {
            return Ok(known);
        }
        if let Some(doubt) = doubt.as_ref().filter(|_| tries == TOLD) {
            let why = doubt.causes().join("; ");
            tracing::warn!("{key} was sent {tries} times, and its answers are lost: {why}");
        }
        // Tests go on without waiting.
        if !is_answered && tries < SENDS && !cfg!(test) {
            tokio::time::sleep(backoff(tries, key.as_str())).await;
        }
    }
    Err(Unknown::Open(doubt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Exit;

    /// One letter for each send and look: `w` what is wanted, `-` nobody knows, `?` the answer was lost, `!` it failed.
    async fn check(sends: &str, looks: &str, expected: &str) {
        let failure = |what| Failure::new(Exit::Temporary, "test::lost", what);
        let (mut sends, mut looks) = (sends.chars(), looks.chars());
        let send = || {
            let next = sends.next();
            async move {
                match next {
                    Some('w') => Ok(Some("sent")),
                    Some('-') => Ok(None),
                    Some('!') => Err(StoreError::Failed(failure("refused"))),
                    _ => Err(StoreError::Uncertain(failure("lost"))),
                }
            }
        };
        let look = || {
            let next = looks.next();
            async move {
                match next {
                    Some('w') => Ok(Some("found")),
                    Some('!') => Err(failure("unread")),
                    _ => Ok(None),
                }
            }
        };
        let key = Key::parse("a").expect("a key");
        let known = until_known(&key, send, look).await;
        let known = known.map_or_else(
            |unknown| {
                let open = |doubt: Option<Failure>| {
                    doubt.unwrap_or_else(|| failure("open")).because("given up")
                };
                let failure = unknown.or(open);
                format!("{}{}", failure.what(), failure.causes().join(""))
            },
            str::to_owned,
        );
        let rest = format!("{known}|{}|{}", sends.as_str(), looks.as_str());
        assert_eq!(rest, expected);
    }

    #[tokio::test]
    async fn only_what_is_not_known_is_sent_again() {
        check("wx", "x", "sent|x|x").await;
        check("?x", "wx", "found|x|x").await;
        check("-x", "wx", "found|x|x").await;
        check("?wx", "-x", "sent|x|x").await;
        check("??x", "-wx", "found|x|x").await;
        check("!x", "x", "refused|x|x").await;
        check("?x", "!x", "unread|x|x").await;
        check("????????x", "--------x", "lostgiven up|x|x").await;
        check("--------x", "--------x", "opengiven up|x|x").await;
    }
}
