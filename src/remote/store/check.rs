//! What a store must do before it is trusted, each promise by itself: for `doctor`.
//!
//! Some servers ignore conditions, and some let several racing creators win now and then, so one race proves little.

use super::{Body, Created, Headers, Store, StoreError, delete_probe, ignores_conditions, race};
use crate::explain::{Exit, Failure};
use crate::name::Key;
use crate::release::{DAY, layout};

/// How often writers race, and how many of them.
const RACES: usize = 8;
const RACERS: usize = 16;
/// The longest probe that is read back.
const LONGEST_PROBE: u64 = 1 << 10;

/// What one check came to.
#[derive(Debug)]
pub struct Found {
    /// What was looked at.
    pub about: &'static str,
    /// What is well, or what is not.
    pub outcome: Result<String, Failure>,
    /// Whether a release can do without it.
    pub only_warns: bool,
}

/// Looks at everything, on probe keys made of `nonce` (fresh for each call; characters that a [`Key`] may have), which are removed again. `now` is in
/// seconds since 1970.
pub async fn check(store: &dyn Store, nonce: &str, now: i64) -> Vec<Found> {
    let mut found = vec![needed("store-race", races(store, nonce).await)];
    if found.iter().any(|found| found.outcome.is_err()) {
        return found;
    }
    let key = layout::probe(&format!("{nonce}-new"));
    found.push(needed("store-condition", conditions(store, &key).await));
    found.push(needed("store-list", lists(store, &key).await));
    found.push(needed("store-headers", headers(store, nonce).await));
    found.push(warning("store-clock", clock(store, &key, now).await));
    found.push(warning("store-delete", deletes(store, &key).await));
    found
}

fn needed(about: &'static str, outcome: Result<String, Failure>) -> Found {
    Found {
        about,
        outcome,
        only_warns: false,
    }
}

fn warning(about: &'static str, outcome: Result<String, Failure>) -> Found {
    Found {
        about,
        outcome,
        only_warns: true,
    }
}

async fn races(store: &dyn Store, nonce: &str) -> Result<String, Failure> {
    for round in 0..RACES {
        let key = layout::probe(&format!("{nonce}-race-{round}"));
        let outcome = race(store, &key, RACERS).await;
        delete_probe(store, &key).await;
        outcome?;
    }
    Ok(format!(
        "{RACES} times {RACERS} writers raced, and one won each time"
    ))
}

/// A fresh create is taken, a stale one refused, and what was there stays.
async fn conditions(store: &dyn Store, key: &Key) -> Result<String, Failure> {
    let body = |text: &str| Body::Bytes(text.as_bytes().to_vec());
    let none = Headers::default();
    if store.create(key, &body("first"), &none).await? == Created::Exists {
        return Err(
            ignores_conditions(store).because("a new object was refused as one that exists")
        );
    }
    let second = store.create(key, &body("second"), &none).await?;
    let there = store.get(key, LONGEST_PROBE).await?;
    if second == Created::New || there.as_deref() != Some(b"first") {
        return Err(ignores_conditions(store)
            .because("an object that was there was written over by a create"));
    }
    Ok("what is new is taken, what is there stays".to_owned())
}

async fn lists(store: &dyn Store, key: &Key) -> Result<String, Failure> {
    let listed = store.list(layout::PROBES, None).await?;
    if listed.contains(key) {
        return Ok("what was written is listed at once".to_owned());
    }
    let what = format!("{} does not list what was just written", store.describe());
    Err(Failure::new(Exit::Usage, "store::list_lags", what)
        .because(format!("{key} is there, and not in the list"))
        .hint("use a server whose lists are consistent, or take away the cache before it: the newest entry of a pointer log is found by a list"))
}

async fn headers(store: &dyn Store, nonce: &str) -> Result<String, Failure> {
    let key = layout::probe(&format!("{nonce}-headers"));
    let sent = Headers {
        content_type: Some("text/html; charset=utf-8".to_owned()),
        cache_control: Some("public, max-age=31536000, immutable".to_owned()),
        content_encoding: None,
        metadata: [("app", "@acme/web"), ("seq", "42")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let body = Body::Bytes(b"<html>".to_vec());
    let written = store.create(&key, &body, &sent).await;
    let there = store.head(&key).await;
    delete_probe(store, &key).await;
    written?;
    let there = there?.map(|info| info.headers);
    if there.as_ref() == Some(&sent) {
        return Ok("type, caching and metadata come back as they were sent".to_owned());
    }
    let what = format!(
        "{} does not keep what travels with an object",
        store.describe()
    );
    Err(Failure::new(Exit::Usage, "store::drops_headers", what)
        .because(match there {
            Some(there) => format!("sent {sent:?}, found {there:?}"),
            None => "the object could not be found again".to_owned(),
        })
        .hint("use a server that keeps Content-Type, Cache-Control and x-amz-meta-*: static files are served and owned by them"))
}

async fn clock(store: &dyn Store, key: &Key, now: i64) -> Result<String, Failure> {
    let modified = store.head(key).await?.and_then(|info| info.modified);
    let differs = |modified: i64| now.abs_diff(modified) > DAY.unsigned_abs();
    match modified {
        Some(modified) if !differs(modified) => {
            Ok("its clock and this machine's agree within a day".to_owned())
        }
        _ => {
            let what = format!(
                "the clock of {} and this machine's differ by more than a day",
                store.describe()
            );
            Err(Failure::new(Exit::Usage, "store::clock_differs", what)
                .hint("set the clock that is wrong: `gc` compares both, and trusts them no further than a day"))
        }
    }
}

async fn deletes(store: &dyn Store, key: &Key) -> Result<String, Failure> {
    match store.delete(key).await {
        Ok(()) => Ok("probes were removed again, as `gc` needs it".to_owned()),
        Err(StoreError::Uncertain(failure) | StoreError::Failed(failure)) => {
            let what = format!("nothing can be deleted from {}", store.describe());
            Err(Failure::new(Exit::RemoteRefused, "store::keeps", what)
                .because(failure)
                .hint("a release needs no such right; `gc` does: s3:DeleteObject"))
        }
    }
}
