//! Reads are asked again; writes are not, but where each is another one: else whoever writes looks at what is there before writing again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a read is sent at most.
pub const TRIES: u32 = 6;

/// The longest wait that a server's `Retry-After` is granted.
pub const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// What all tries of one read may take together, waits included; the last try may run past it.
pub const BUDGET: Duration = Duration::from_mins(10);

/// What lasts longer is told: nobody waits before a silent screen for minutes.
const TOLD: Duration = Duration::from_secs(15);

const FIRST_CEILING: Duration = Duration::from_millis(250);
const HIGHEST_CEILING: Duration = Duration::from_secs(20);

/// How one try failed.
#[derive(Debug)]
pub enum Tried<E> {
    /// Reset, timeout, 408, 429, 5xx, or a body cut short: worth asking again, not before `after` has passed.
    Temporary {
        /// What is told when no further try succeeds.
        error: E,
        /// The server's `Retry-After`.
        after: Option<Duration>,
    },
    /// Asking again would bring the same answer.
    Final(E),
}

impl<E> Tried<E> {
    /// A temporary failure of a server that did not say how long to wait.
    pub fn temporary(error: E) -> Tried<E> {
        Tried::Temporary { error, after: None }
    }
}

/// Runs `attempt` until it succeeds, fails for good, or [`TRIES`] and [`BUDGET`] are used up; between tries it waits with full jitter,
/// the ceiling growing from 0.25 s to 20 s, and at least as long as the server asked (up to [`LONGEST_WAIT`]).
///
/// `what` names the read in the log; it holds no secret.
///
/// # Errors
/// The error of the last try.
pub async fn read<T, E, Work>(what: &str, attempt: impl FnMut() -> Work + Send) -> Result<T, E>
where
    Work: Future<Output = Result<T, Tried<E>>> + Send,
    T: Send,
    E: std::fmt::Display + Send,
{
    let begun = Instant::now();
    let wait = |tries, asked: Option<Duration>| {
        let wait = backoff(tries, what).max(asked.unwrap_or_default().min(LONGEST_WAIT));
        (tries < TRIES && begun.elapsed() + wait <= BUDGET).then_some(wait)
    };
    repeat(what, wait, attempt).await
}

/// Runs `attempt` until it succeeds, fails for good, or `wait` gives none: it is told how many tries failed and how long the server asked to wait.
/// Whoever repeats a write makes sure that each is one of its own.
///
/// `what` is named in the log; it holds no secret.
///
/// # Errors
/// The error of the last try.
pub async fn repeat<T, E, Work>(
    what: &str,
    wait: impl Fn(u32, Option<Duration>) -> Option<Duration> + Send,
    mut attempt: impl FnMut() -> Work + Send,
) -> Result<T, E>
where
    Work: Future<Output = Result<T, Tried<E>>> + Send,
    T: Send,
    E: std::fmt::Display + Send,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let sent = Instant::now();
        let (error, after) = match attempt().await {
            Ok(value) => return Ok(value),
            Err(Tried::Final(error)) => return Err(error),
            Err(Tried::Temporary { error, after }) => (error, after),
        };
        let Some(wait) = wait(tries, after) else {
            return Err(error);
        };
        if sent.elapsed() + wait >= TOLD {
            tracing::warn!("{what} is asked again in {wait:.0?} (try {tries} failed): {error}");
        } else {
            tracing::debug!(what, tries, ?wait, %error, "asking again");
        }
        sleep(wait).await;
    }
}

/// How long to wait after the failed try number `tries` (from 1): anything between nothing and a ceiling that doubles from 0.25 s to 20 s.
/// Different `key`s and different processes wait differently, so that they do not return at the same moment.
#[must_use]
pub fn backoff(tries: u32, key: &str) -> Duration {
    let ceiling = FIRST_CEILING
        .saturating_mul(1 << tries.saturating_sub(1).min(16))
        .min(HIGHEST_CEILING);
    let random = RandomState::new().hash_one((tries, key));
    let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % (millis + 1))
}

/// Whether a status means: ask again later.
#[must_use]
pub fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 420 | 425 | 429) || (status >= 500 && status != 501)
}

/// The wait that a `Retry-After` header asks for: seconds, or a date, which is measured against the `Date` header of the same answer
/// (RFC 9110, 10.2.3). `None` for anything else; a date in the past is no wait.
///
/// ```
/// use pkgs_action::remote::retry::retry_after;
/// use std::time::Duration;
/// assert_eq!(retry_after("7", None), Some(Duration::from_secs(7)));
/// let (early, late) = ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:30 GMT");
/// assert_eq!(retry_after(late, Some(early)), Some(Duration::from_secs(30)));
/// assert_eq!(retry_after(early, Some(late)), Some(Duration::ZERO));
/// assert_eq!(retry_after("-1", None), None);
/// assert_eq!(retry_after("soon", Some(late)), None);
/// ```
#[must_use]
pub fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc2822;
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = OffsetDateTime::parse(value, &Rfc2822).ok()?;
    let now = OffsetDateTime::parse(date?.trim(), &Rfc2822).ok()?;
    Some((until - now).try_into().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Runs a read whose tries fail `failures` times; tells the result and how many tries were made.
    async fn check(
        failures: u32,
        fail: impl Fn() -> Tried<String> + Send + Sync,
    ) -> (Result<u32, String>, u32) {
        let tries = AtomicU32::new(0);
        let result = read("test", || {
            let number = tries.fetch_add(1, Ordering::SeqCst) + 1;
            let outcome = if number <= failures {
                Err(fail())
            } else {
                Ok(number)
            };
            async move { outcome }
        })
        .await;
        (result, tries.load(Ordering::SeqCst))
    }

    fn paused<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(work)
    }

    #[test]
    fn what_is_final_is_asked_once() {
        let (result, tries) = paused(check(9, || Tried::Final("no".to_owned())));
        assert_eq!((result, tries), (Err("no".to_owned()), 1));
    }

    #[test]
    fn what_is_temporary_is_asked_again() {
        let (result, tries) = paused(check(1, || Tried::temporary("later".to_owned())));
        assert_eq!((result, tries), (Ok(2), 2));
    }

    #[test]
    fn the_wait_stays_below_its_ceiling() {
        for (tries, ceiling) in [
            (1, 250),
            (2, 500),
            (3, 1000),
            (7, 16_000),
            (8, 20_000),
            (40, 20_000),
        ] {
            for key in 0..50 {
                assert!(backoff(tries, &key.to_string()) <= Duration::from_millis(ceiling));
            }
        }
    }

    #[test]
    fn statuses() {
        for status in [408, 429, 500, 502, 503, 504, 599] {
            assert!(is_temporary(status), "{status}");
        }
        for status in [200, 304, 400, 401, 403, 404, 409, 412, 501] {
            assert!(!is_temporary(status), "{status}");
        }
    }
}
