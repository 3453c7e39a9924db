//! The release board: a page that is made from what the store says, and put where `board` says.

use std::sync::Arc;

use crate::apply::builds;
use crate::apply::point::{Log, environments_of};
use crate::commands::status::{self, StatusRequest, Unreleased};
use crate::commands::{open_store, point};
use crate::explain::{Exit, Failure};
use crate::local::process::Children;
use crate::name::Key;
use crate::plan::static_root;
use crate::release::layout;
use crate::remote::store::{Body, Headers, Store, StoreError};
use crate::report::board::{self, MARK};
use crate::report::environments::StoreStatus;
use crate::settings::address::StoreAddress;
use crate::settings::{Apps, BoardPlace, Settings, StoreSettings};

/// How often the page is made when others change environments meanwhile.
const ROUNDS: usize = 3;
/// How often a write is sent whose answer was lost: it writes the same again.
const WRITES: usize = 3;
/// The longest page that is looked at before it is replaced; ours are shorter.
const LONGEST_PAGE: u64 = 32 << 20;

/// Makes the page anew after environments changed, and puts it where `board` says. It shows what the store says and decides nothing: what goes
/// wrong is a warning, and the next change writes it again. Does nothing in a dry run and where `board` is not set.
///
/// Of several that write at once the last one looks again after it wrote, so that what stays is what the store says.
pub async fn refresh(settings: &Settings, store_settings: &StoreSettings, store: &Arc<dyn Store>) {
    let Some(place) = settings.board.as_ref().filter(|_| !settings.dry_run) else {
        return;
    };
    match Box::pin(written(settings, place, store_settings, store)).await {
        Ok(address) => tracing::info!("the board is written to {address}"),
        Err(failure) => {
            let why = failure.causes().join(": ");
            tracing::warn!(
                %failure, why,
                "the board is not written; the next change of an environment writes it again"
            );
        }
    }
}

async fn written(
    settings: &Settings,
    place: &BoardPlace,
    store_settings: &StoreSettings,
    store: &Arc<dyn Store>,
) -> Result<String, Failure> {
    let shelf = Shelf::open(place, store).await?;
    apart(place, store.as_ref()).await?;
    let remotes = point::remotes(settings, Arc::clone(store), &Children::default());
    let request = StatusRequest {
        apps: Apps::All,
        ..request(settings, store_settings)
    };
    let mut told = None;
    for _ in 0..ROUNDS {
        let status = status::status(&request, &remotes).await?;
        if told.as_ref() == Some(&status) {
            break;
        }
        shelf.put(&board::page(&status)).await?;
        told = Some(status);
    }
    Ok(shelf.describe())
}

/// What the page asks of the store, of all apps and environments.
pub fn request(settings: &Settings, store: &StoreSettings) -> StatusRequest {
    StatusRequest {
        apps: Apps::Default,
        environment: None,
        environments: point::environments_of(settings),
        store: Some(StoreStatus::from(store)),
        builds: true,
        now: crate::report::moment(settings.now),
        unreleased: Unreleased::default(),
    }
}

/// Puts `page` where `board` says, which was asked for by name: what goes wrong is told.
///
/// # Errors
/// `board::foreign` (3) where something else is there; those of the store there.
pub async fn put(place: &BoardPlace, store: &Arc<dyn Store>, page: &str) -> Result<(), Failure> {
    let shelf = Shelf::open(place, store).await?;
    apart(place, store.as_ref()).await?;
    shelf.put(page).await
}

/// Refuses a place among the static files that are live somewhere, whatever is set now: they are served to everybody. Where a log cannot be read, what
/// it would say is not known.
async fn apart(place: &BoardPlace, store: &dyn Store) -> Result<(), Failure> {
    let BoardPlace::At(board) = place else {
        return Ok(());
    };
    for app in builds::apps(store).await? {
        for environment in environments_of(store, &app).await? {
            let log = Log {
                store,
                app: &app,
                environment: &environment,
            };
            let tip = log.tip().await.unwrap_or_else(|failure| {
                tracing::warn!(%failure, "where {environment} of {app} is served from is not known");
                None
            });
            let Some(served) = tip.and_then(|tip| tip.entry.static_place) else {
                continue;
            };
            let root = static_root::resolve(&served.root, &app, &environment)?;
            if StoreAddress::parse(&root)?.overlaps(&board.address) {
                let what = format!(
                    "the board is to lie at {}, among the static files of {app} in {environment} at {root}",
                    board.address
                );
                return Err(Failure::new(Exit::Usage, "board::in_static", what)
                    .because("the board names people and reasons, and static files are served to everybody")
                    .hint("give the board a place of its own, beside the static root"));
            }
        }
    }
    Ok(())
}

/// Whether a page could be put where `board` says; with a `nonce` a probe is written beside it and removed. Gives what is well.
///
/// # Errors
/// As [`put`]; `board::no_store` (2) where it is to lie in a store that is not open.
pub async fn check(
    place: &BoardPlace,
    store: Option<&Arc<dyn Store>>,
    nonce: Option<&str>,
) -> Result<String, Failure> {
    let shelf = match (place, store) {
        (BoardPlace::At(settings), _) => Shelf::at(settings).await?,
        (BoardPlace::Store, Some(store)) => Shelf::beside(store),
        (BoardPlace::Store, None) => {
            let what = "the board is to lie in the store, which cannot be opened";
            return Err(Failure::new(Exit::Usage, "board::no_store", what)
                .hint("mend what is said of the store"));
        }
    };
    if let Some(store) = store {
        apart(place, store.as_ref()).await?;
    }
    shelf.look().await?;
    let Some(nonce) = nonce.filter(|_| matches!(place, BoardPlace::At(_))) else {
        return Ok(format!("{} is free, or a board", shelf.describe()));
    };
    let key = layout::root_probe(nonce);
    let body = Body::Bytes(b"A probe".to_vec());
    let written = shelf.store.replace(&key, &body, &Headers::default()).await;
    // What cannot be removed is a few bytes, and the board never removes anything.
    let removed = shelf.store.delete(&key).await;
    written?;
    if let Err(error) = removed {
        tracing::warn!(failure = %Failure::from(error), "{key} stays at {}", shelf.store.describe());
    }
    Ok(format!("{} can be written", shelf.describe()))
}

/// The place of the page.
struct Shelf {
    store: Arc<dyn Store>,
    key: Key,
}

impl Shelf {
    async fn open(place: &BoardPlace, store: &Arc<dyn Store>) -> Result<Shelf, Failure> {
        match place {
            BoardPlace::Store => Ok(Shelf::beside(store)),
            BoardPlace::At(settings) => Shelf::at(settings).await,
        }
    }

    fn beside(store: &Arc<dyn Store>) -> Shelf {
        Shelf {
            store: Arc::clone(store),
            key: layout::board(),
        }
    }

    async fn at(settings: &StoreSettings) -> Result<Shelf, Failure> {
        Ok(Shelf {
            store: open_store(settings).await?,
            key: layout::board_page(),
        })
    }

    fn describe(&self) -> String {
        format!("{}/{}", self.store.describe(), self.key)
    }

    fn foreign(&self) -> Failure {
        Failure::new(
            Exit::Refused,
            "board::foreign",
            format!("{} is no release board", self.describe()),
        )
        .because("`board` names a place where another page lies, and that is not written over")
        .hint("name a place of its own for the board, or remove that page")
    }

    /// Refuses what is there and is no board.
    async fn look(&self) -> Result<(), Failure> {
        match self.store.get(&self.key, LONGEST_PAGE).await {
            Ok(Some(there)) if !is_board(&there) => Err(self.foreign()),
            Ok(_) => Ok(()),
            // No board of ours is that long.
            Err(StoreError::Failed(failure)) if failure.code() == "store::too_large" => {
                Err(self.foreign().because(failure))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the page that is there, if it is one.
    async fn put(&self, page: &str) -> Result<(), Failure> {
        self.look().await?;
        let headers = Headers {
            content_type: Some("text/html; charset=utf-8".to_owned()),
            cache_control: Some("no-cache".to_owned()),
            ..Headers::default()
        };
        let body = Body::Bytes(page.as_bytes().to_vec());
        let mut tries = 1;
        loop {
            match self.store.replace(&self.key, &body, &headers).await {
                Err(StoreError::Uncertain(_)) if tries < WRITES => tries += 1,
                written => return Ok(written?),
            }
        }
    }
}

/// Whether bytes are a page of ours: it says so at its beginning.
fn is_board(bytes: &[u8]) -> bool {
    const BEGINNING: usize = 2048;
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    String::from_utf8_lossy(beginning).contains(MARK)
}
