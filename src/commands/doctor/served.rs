//! What is served to others: static roots, the CDNs in front of them, and the board. Each is looked at where it is set, whether or not anything is due.

use std::collections::BTreeSet;

use crate::commands::{Session, board, point};
use crate::environment::entry::CdnName;
use crate::explain::{Exit, Failure};
use crate::name::{Digest, EnvironmentName, Key, PackageName};
use crate::plan::static_root;
use crate::release::layout;
use crate::remote::store::{Body, Headers, Store};
use crate::report::doctor::Checkup;
use crate::settings::address::StoreAddress;
use crate::settings::{Choice, Settings};

/// How many static roots are tried; of more it is said that they were not.
const TRIED: usize = 12;
/// The longest probe that is read back.
const LONGEST_PROBE: u64 = 1 << 10;

/// An app in one environment.
type Place<'a> = (&'a PackageName, &'a EnvironmentName);

/// Every environment of every app.
fn places<'a>(settings: &'a Settings, apps: &'a [PackageName]) -> Vec<Place<'a>> {
    let of = |app: &'a PackageName| {
        let environments = &settings.app_settings(app).environments;
        environments
            .iter()
            .map(move |environment| (app, environment))
    };
    apps.iter().flat_map(of).collect()
}

/// Whether the store and every static root lie apart, and whether what is laid out there comes back as it was sent.
pub(super) async fn static_roots(
    session: &Session<'_>,
    apps: &[PackageName],
    probes: bool,
    checkup: &mut Checkup,
) {
    let settings = session.settings;
    let template = match &settings.static_root {
        Choice::On(template) => template,
        Choice::Off => return checkup.skipped("static", "`static` is none"),
        Choice::Unset => return checkup.skipped("static", "`static` is not set"),
    };
    let places = places(settings, apps);
    if places.is_empty() {
        return checkup.skipped(
            "static",
            "this repository has no app, so no files lie there",
        );
    }
    apart(settings, template, &places, checkup);
    let resolved = places.iter().map(|(app, environment)| {
        let root = static_root::resolve(template, app, environment)?;
        probed(&root, template)
    });
    let roots = match resolved.collect::<Result<BTreeSet<Option<String>>, Failure>>() {
        Ok(roots) => roots,
        Err(failure) => return checkup.failed("static", &failure),
    };
    if roots.contains(&None) {
        let why = format!("nothing lies at {template} yet; the first activation makes it");
        checkup.skipped("static", why);
    }
    let roots: Vec<String> = roots.into_iter().flatten().collect();
    let app = places.first().map(|(app, _)| *app);
    for root in roots.iter().take(TRIED) {
        if !probes {
            checkup.skipped(
                "static",
                format!("{root} was not written to: this is a dry run"),
            );
            continue;
        }
        match try_root(session, root, app).await {
            Ok(kept) => {
                checkup.ok(
                    "static",
                    format!("{root} can be written and read; type, caching and metadata come back"),
                );
                if let Some(kept) = kept {
                    checkup.warned("static-delete", &kept);
                }
            }
            Err(failure) => checkup.failed("static", &with_hint(failure)),
        }
    }
    if let Some(more) = roots.len().checked_sub(TRIED).filter(|more| *more > 0) {
        let why = format!("{more} more places that {template} makes were not looked at");
        checkup.skipped("static", why);
    }
}

/// Where a root is tried: there; a directory that an activation would make, in the one above it that was named. `None`: that one would be made, too.
///
/// # Errors
/// `static::directory`, exit 2, where no activation would make it.
fn probed(root: &str, template: &str) -> Result<Option<String>, Failure> {
    let StoreAddress::Directory(path) = StoreAddress::parse(root)? else {
        return Ok(Some(root.to_owned()));
    };
    if path.is_dir() {
        return Ok(Some(root.to_owned()));
    }
    let above = template.split_once('{').map(|(above, _)| above);
    let Some(StoreAddress::Directory(above)) = above.map(StoreAddress::parse).transpose()? else {
        return Err(point::missing(&path));
    };
    if above.is_dir() {
        return Ok(Some(StoreAddress::Directory(above).written()));
    }
    match above.parent().filter(|parent| parent.is_dir()) {
        Some(_) => Ok(None),
        None => Err(point::missing(&path)),
    }
}

/// Writes a file as an activation would, reads it back and removes it; tells why it stays where nothing may be deleted, which only `gc` needs.
async fn try_root(
    session: &Session<'_>,
    root: &str,
    app: Option<&PackageName>,
) -> Result<Option<Failure>, Failure> {
    let store = session.remotes.static_roots.open(root).await?;
    let key = layout::root_probe(&format!("{:032x}", session.settings.nonce));
    let tried = round_trip(store.as_ref(), &key, app).await;
    let removed = store.delete(&key).await;
    tried?;
    Ok(removed.err().map(|error| {
        let what = format!("nothing can be deleted from {root}; the probe {key} stays there");
        Failure::new(Exit::RemoteRefused, "store::keeps", what)
            .because(Failure::from(error))
            .hint("no release needs that; `gc` takes away static files that nothing names any more, and does: s3:DeleteObject")
    }))
}

async fn round_trip(root: &dyn Store, key: &Key, app: Option<&PackageName>) -> Result<(), Failure> {
    let bytes = b"<!doctype html><title>A probe</title>".to_vec();
    let digest = Digest::of(&bytes);
    let metadata = [
        ("app", app.map_or("probe", PackageName::as_str)),
        ("sha256", digest.hex()),
    ];
    let sent = Headers {
        content_type: Some("text/html; charset=utf-8".to_owned()),
        cache_control: Some("no-cache".to_owned()),
        content_encoding: None,
        metadata: metadata
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    root.replace(key, &Body::Bytes(bytes.clone()), &sent)
        .await?;
    let there = root.get(key, LONGEST_PROBE).await?;
    let headers = root.head(key).await?.map(|info| info.headers);
    let why = match (there, headers) {
        (Some(there), Some(headers)) if there == bytes && headers == sent => return Ok(()),
        (Some(there), Some(headers)) if there == bytes => {
            format!("sent {sent:?}, found {headers:?}")
        }
        (Some(_), _) => "its bytes are others".to_owned(),
        (None, _) => "it is not there".to_owned(),
    };
    let what = format!(
        "what is written to {} does not come back as it was sent",
        root.describe()
    );
    Err(Failure::new(Exit::Usage, "static::probe", what)
        .because(why)
        .hint("use a server that keeps Content-Type, Cache-Control and x-amz-meta-*: static files are served and owned by them"))
}

/// Whether the store and every static root lie apart, symbolic links followed.
fn apart(settings: &Settings, template: &str, places: &[Place<'_>], checkup: &mut Checkup) {
    let Some(store) = settings.store.value() else {
        return;
    };
    let mut wrong = Vec::new();
    for (app, environment) in places {
        let root = static_root::resolve(template, app, environment)
            .and_then(|root| StoreAddress::parse(&root));
        let judged =
            root.and_then(|root| static_root::refuse_overlap(&real(&store.address), &real(&root)));
        wrong.extend(judged.err());
    }
    wrong.dedup_by(|one, other| one.what() == other.what());
    match Failure::all(wrong) {
        Some(failure) => checkup.failed("static", &failure),
        None => checkup.ok("static", "what is served lies apart from the store"),
    }
}

/// An address with the symbolic links of a directory followed, as far as it is there.
fn real(address: &StoreAddress) -> StoreAddress {
    match address {
        StoreAddress::Directory(path) => {
            let there = path.ancestors().find_map(|there| {
                let rest = path.strip_prefix(there).ok()?;
                Some(there.canonicalize().ok()?.join(rest))
            });
            StoreAddress::Directory(there.unwrap_or_else(|| path.clone()))
        }
        StoreAddress::S3 { .. } => address.clone(),
    }
}

/// Whether every CDN that is set, or that a release would have to tell, can be told. Nothing is told.
pub(super) async fn cdns(session: &Session<'_>, apps: &[PackageName], checkup: &mut Checkup) {
    let settings = session.settings;
    let Choice::On(template) = &settings.static_root else {
        return checkup.skipped("cdn", "no static root is set, so nothing lies behind a CDN");
    };
    let mut told = BTreeSet::new();
    for (app, environment) in places(settings, apps) {
        let is_automatic = settings.app_settings(app).auto.contains(environment);
        let set = static_root::set(&settings.cdn, environment)
            .value()
            .cloned();
        let cdn = if is_automatic {
            point::cdn_in_front(session, template, app, environment).await
        } else {
            set
        };
        let Some(cdn) = cdn.filter(|cdn| told.insert(cdn.recorded().to_owned())) else {
            continue;
        };
        match session.remotes.cdns.open(&cdn).await {
            Ok(Some(opened)) => match opened.unseen() {
                None => checkup.ok(
                    "cdn",
                    match &cdn {
                        CdnName::Distribution(_) => {
                            format!("{} is there; it is not told anything", named(&cdn))
                        }
                        CdnName::Command => {
                            "'cdn-command' is set; whether it works shows when it is run".to_owned()
                        }
                    },
                ),
                Some(why) => {
                    checkup.skipped(
                        "cdn",
                        format!("{} could not be looked at: {why}", named(&cdn)),
                    );
                }
            },
            Ok(None) => checkup.failed("cdn", &point::untold(app, environment)),
            Err(failure) => checkup.failed("cdn", &failure),
        }
    }
    if told.is_empty() {
        checkup.skipped(
            "cdn",
            "neither a setting nor the log of an environment in `auto` names one",
        );
    }
}

fn named(cdn: &CdnName) -> String {
    match cdn {
        CdnName::Distribution(id) => format!("the CloudFront distribution {id}"),
        CdnName::Command => "the CDN of `cdn-command`".to_owned(),
    }
}

/// Whether the board can be written where it is to lie.
pub(super) async fn board_place(session: &Session<'_>, probes: bool, checkup: &mut Checkup) {
    let Some(place) = &session.settings.board else {
        return checkup.skipped("board", "`board` is not set");
    };
    let nonce = format!("{:032x}", session.settings.nonce);
    let store = session.remotes.store.as_ref();
    match board::check(place, store, probes.then_some(nonce.as_str())).await {
        Ok(message) => checkup.ok("board", message),
        Err(failure) => checkup.failed("board", &with_hint(failure)),
    }
}

/// A failure that says what to do; those of the outside do not know what it was for.
pub(super) fn with_hint(failure: Failure) -> Failure {
    if failure.advice().is_some() {
        return failure;
    }
    failure.hint("let this run write and read there: s3:PutObject, s3:GetObject and s3:ListBucket; for a directory, let this user write there")
}
