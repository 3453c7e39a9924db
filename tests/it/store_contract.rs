//! What every store promises, against every store.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use pkgs_action::explain::Failure;
use pkgs_action::name::{Digest, Key};
use pkgs_action::release::{GRACE, layout};
use pkgs_action::remote::store::directory::DirectoryStore;
use pkgs_action::remote::store::memory::MemoryStore;
use pkgs_action::remote::store::s3::{S3Settings, S3Store};
use pkgs_action::remote::store::{
    Body, Created, Headers, Once, Put, S3Options, Store, StoreError, create_once, open,
    prove_conditions, put_blob,
};
use pkgs_action::settings::address::StoreAddress;

use url::Url;

use crate::support::ceph::Ceph;
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::http::{Listener, Response};
use crate::support::moto::Moto;
use crate::support::s3;
use crate::support::sandbox::Sandbox;
use crate::support::servers::free_port;

const LIMIT: u64 = 1 << 20;

/// Credentials that the servers take.
fn with_credentials() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // The only way that the SDK's usual chain takes; nothing else in this process reads or writes them.
        #[expect(unsafe_code, reason = "set once, before any client is made")]
        unsafe {
            std::env::set_var("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY);
            std::env::set_var("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY);
        }
    });
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

fn bytes(text: &str) -> Body {
    Body::Bytes(text.as_bytes().to_vec())
}

/// A runtime in whose environment the S3 client finds credentials.
pub fn runtime() -> tokio::runtime::Runtime {
    with_credentials();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn memory() {
    runtime().block_on(contract(Arc::new(MemoryStore::new())));
}

#[test]
fn directory() {
    let root = tempfile::tempdir().expect("a directory");
    let store = DirectoryStore::open(root.path()).expect("a store");
    runtime().block_on(contract(Arc::new(store)));
    let left = std::fs::read_dir(root.path().join(".pkgs-tmp")).expect("a directory");
    assert_eq!(left.count(), 0, "temporary files stay");
}

/// The store at `address` on the server at `endpoint`.
async fn bucket(endpoint: &str, address: &str) -> Arc<dyn Store> {
    let options = S3Options {
        endpoint: Some(Url::parse(endpoint).expect("a url")),
        ..S3Options::default()
    };
    let address = StoreAddress::parse(address).expect("an address");
    let store = open(&address, &options).await.expect("a store");
    assert_eq!(store.describe(), address.to_string());
    store
}

/// A whole bucket; the one below is what lies below a prefix.
#[test]
fn moto() {
    let moto = Moto::start();
    moto.bucket("releases");
    runtime().block_on(async {
        contract(bucket(&moto.endpoint, "s3://releases").await).await;
        missing_bucket(&moto.endpoint).await;
    });
}

#[test]
fn ceph() {
    let endpoint = &Ceph::shared().endpoint;
    s3::make_bucket(endpoint, "contract");
    runtime().block_on(async {
        let store = bucket(endpoint, "s3://contract/some/prefix").await;
        contract(store).await;
        missing_bucket(endpoint).await;
    });
    assert_eq!(s3::uploads(endpoint, "contract"), [""; 0]);
}

#[test]
fn an_upload_that_is_dropped_half_way_is_given_back() {
    with_credentials();
    let (moto, proxy) = (Moto::start(), FaultProxy::new());
    moto.bucket("half");
    let endpoint = proxy.before("s3", &moto.endpoint);
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    proxy.when(move |seen| {
        let is_third = seen.method == "PUT" && seen.target.contains("partNumber=3");
        if is_third && let Some(tell) = tell.lock().expect("no holder panics").take() {
            let _ = tell.send(());
        }
        is_third.then_some(Fault::AnswerBefore(503))
    });
    let directory = tempfile::tempdir().expect("a directory");
    let body = large_file(directory.path());
    runtime().block_on(async {
        let store = bucket(&endpoint, "s3://half").await;
        let (key, headers) = (key("large"), Headers::default());
        tokio::select! {
            sent = store.create(&key, &body, &headers) => panic!("it was sent: {sent:?}"),
            told = told => told.expect("a part on its way"),
        }
        assert_eq!(s3::uploads(&moto.endpoint, "half").len(), 1);
        store.give_up().await;
        assert_eq!(
            s3::uploads(&moto.endpoint, "half").len(),
            0,
            "{}",
            proxy.transcript()
        );
        assert_eq!(store.head(&key).await.expect("looked"), None);
    });
}

#[test]
fn a_file_that_changes_while_its_parts_travel_is_refused_and_nothing_of_it_stays() {
    with_credentials();
    let moto = Moto::start();
    moto.bucket("changed");
    let directory = tempfile::tempdir().expect("a directory");
    let body = large_file(directory.path());
    let Body::File { path, .. } = &body else {
        unreachable!("a file")
    };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("opened");
    file.write_all(b"other").expect("written");
    runtime().block_on(async {
        let store = bucket(&moto.endpoint, "s3://changed").await;
        let key = key("large");
        let refused = store.create(&key, &body, &Headers::default()).await;
        let refused = Failure::from(refused.expect_err("refused"));
        assert_eq!(refused.code(), "store::file_changed");
        assert_eq!(store.head(&key).await.expect("looked"), None);
        assert_eq!(s3::uploads(&moto.endpoint, "changed").len(), 0);
    });
}

/// Some servers ignore the condition where parts are put together; then it is asked for right before.
#[test]
fn what_appears_while_parts_travel_stays() {
    let (server, proxy) = (&Ceph::shared().endpoint, FaultProxy::new());
    s3::make_bucket(server, "appears");
    let endpoint = proxy.before("s3", server);
    let url = format!("{server}/appears/large");
    proxy.when(move |seen| {
        if seen.method == "PUT" && seen.target.contains("partNumber=3") {
            assert_eq!(s3::send("PUT", &url, b"another writer").status, 200);
        }
        None
    });
    let directory = tempfile::tempdir().expect("a directory");
    let body = large_file(directory.path());
    runtime().block_on(async {
        let store = bucket(&endpoint, "s3://appears").await;
        let (key, none) = (key("large"), Headers::default());
        let found = store.create(&key, &body, &none).await.expect("sent");
        assert_eq!(found, Created::Exists);
        let there = store.get(&key, LIMIT).await.expect("read").expect("there");
        assert_eq!(there, b"another writer");
    });
    assert_eq!(s3::uploads(server, "appears"), [""; 0]);
}

#[test]
fn unfinished_uploads_are_those_below_the_prefix_all_of_them_and_each_is_given_back() {
    const MANY: usize = 1003;
    let (endpoint, proxy) = (&Ceph::shared().endpoint, FaultProxy::new());
    s3::make_bucket(endpoint, "unfinished");
    let ours: Vec<String> = (0..MANY)
        .map(|number| format!("v1/blobs/{number}"))
        .collect();
    std::thread::scope(|scope| {
        for some in ours.chunks(MANY.div_ceil(8)) {
            scope.spawn(move || {
                for key in some {
                    let _ = s3::begin_upload(endpoint, "unfinished", &format!("team/{key}"));
                }
            });
        }
    });
    for key in [
        "team/v1/blobs/7",
        "team/v2/x",
        "team2/v1/x",
        "v1/x",
        "team/v1/a//b",
    ] {
        let _ = s3::begin_upload(endpoint, "unfinished", key);
    }
    runtime().block_on(async {
        let store = bucket(&proxy.before("s3", endpoint), "s3://unfinished/team").await;
        let there = async || store.unfinished("v1/").await.expect("a list");
        let found = there().await;
        let log = proxy.log();
        let pages = log.iter().filter(|seen| seen.target.contains("?uploads"));
        assert_eq!(pages.count(), 2, "{}", proxy.transcript());
        let told: Vec<&str> = found.iter().map(|upload| upload.key.as_str()).collect();
        let mut wanted: Vec<&str> = ours
            .iter()
            .map(String::as_str)
            .chain(["v1/blobs/7"])
            .collect();
        wanted.sort_unstable();
        assert_eq!(told, wanted);
        for upload in &found {
            let begun = upload.begun.expect("a time");
            assert!((now() - begun).abs() < 300, "{begun}");
        }
        let (gone, left) = found.split_at(MANY - 1);
        for result in join_all(gone.iter().map(|upload| store.give_back(upload))).await {
            result.expect("given back");
        }
        store.give_back(&gone[0]).await.expect("there is none");
        assert_eq!(there().await, left);
        for upload in left {
            store.give_back(upload).await.expect("given back");
        }
        assert_eq!(there().await, []);
    });
    let others = ["team/v1/a//b", "team/v2/x", "team2/v1/x", "v1/x"];
    assert_eq!(s3::uploads(endpoint, "unfinished"), others);
}

#[test]
fn a_list_of_unfinished_uploads_that_does_not_end_or_is_not_known_is_a_failure() {
    let page = |keys: &str, truncated: bool| {
        let page = format!(
            "<ListMultipartUploadsResult><IsTruncated>{truncated}</IsTruncated><NextKeyMarker>team/v1/a</NextKeyMarker>\
<NextUploadIdMarker>1</NextUploadIdMarker>{keys}</ListMultipartUploadsResult>"
        );
        Response::new(200, "application/xml", page)
    };
    let upload = |key: &str| format!("<Upload><Key>{key}</Key><UploadId>1</UploadId></Upload>");
    let check = |answer: Response| {
        let listener = Listener::answering(move |request| {
            if request.query().contains("uploads") {
                return answer.clone();
            }
            Response::new(
                200,
                "application/xml",
                "<ListBucketResult></ListBucketResult>",
            )
        });
        runtime().block_on(async {
            let store = bucket(&listener.url(), "s3://scripted/team").await;
            let found = store.unfinished("v1/").await.map_err(Failure::from);
            found.map_err(|failure| failure.code())
        })
    };
    // What a server tells that was not asked for is not touched.
    let keys = ["team/v1/a", "team2/v1/a", "team/v2/a", "team/v1/", "v1/a"];
    let keys: String = keys.into_iter().map(upload).collect();
    let found = check(page(&keys, false)).expect("a list");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].key.as_str(), found[0].begun), ("v1/a", None));
    assert_eq!(check(page(&keys, true)), Err("store::unreachable"));
    assert_eq!(check(Response::text(501, "")), Err("store::unreachable"));
    assert_eq!(check(Response::text(403, "")), Err("store::forbidden"));
}

/// Where completions are not answered and the server then does not know the upload any more, what is there decides; nothing of it is sent again here.
#[test]
fn an_upload_that_cannot_be_completed_is_looked_for_and_left_to_whoever_sent_it() {
    with_credentials();
    let directory = tempfile::tempdir().expect("a directory");
    let body = large_file(directory.path());
    // What becomes of it, where completions meet `statuses`, the last one for ever, and once one was sent something is there or not; how many were.
    let check = |once: bool, statuses: &'static [u16], is_there: bool| {
        let completed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&completed);
        let xml = |status, text: &str| Response::new(status, "application/xml", text);
        let listener = Listener::answering(move |request| match request.method.as_str() {
            "HEAD" if is_there && counted.load(Ordering::SeqCst) > 0 => Response::text(200, "x"),
            "HEAD" => Response::text(404, ""),
            "POST" if request.query().starts_with("uploads") => xml(
                200,
                "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
            ),
            "POST" => {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                match statuses[number.min(statuses.len() - 1)] {
                    404 => xml(404, "<Error><Code>NoSuchUpload</Code></Error>"),
                    status => Response::text(status, ""),
                }
            }
            "PUT" => Response::text(200, ""),
            _ => xml(200, "<ListBucketResult></ListBucketResult>"),
        });
        let outcome = runtime().block_on(async {
            let store = bucket(&listener.url(), "s3://scripted/team").await;
            let (key, none) = (key("large"), Headers::default());
            let sent = if once {
                store.create(&key, &body, &none).await
            } else {
                let replaced = store.replace(&key, &body, &none).await;
                replaced.map(|()| Created::New)
            };
            match sent {
                Ok(Created::New) => "new",
                Ok(Created::Exists) => "exists",
                Err(StoreError::Uncertain(_)) => "uncertain",
                Err(StoreError::Failed(_)) => "failed",
            }
        });
        (outcome, completed.load(Ordering::SeqCst))
    };
    assert_eq!(check(true, &[503, 404], true), ("exists", 1));
    assert_eq!(check(true, &[503, 404], false), ("uncertain", 2));
    // That something is there proves nothing where it was to be replaced.
    assert_eq!(check(false, &[503, 404], true), ("uncertain", 2));
    // Nor does a refusal say anything of the completion before.
    assert_eq!(check(true, &[503, 400], false), ("uncertain", 2));
    assert_eq!(check(true, &[400], false), ("failed", 1));
    // It may be completing still: it is neither given up nor begun anew with all its bytes.
    assert_eq!(check(true, &[503], false), ("failed", 5));
}

async fn contract(store: Arc<dyn Store>) {
    prove_conditions(store.as_ref(), "nonce-1")
        .await
        .expect("conditions");
    one_wins(store.as_ref()).await;
    what_is_there_stays(store.as_ref()).await;
    objects_are_fetched(store.as_ref()).await;
    lists_are_in_order(store.as_ref()).await;
    headers_travel(store.as_ref()).await;
    racing_headers_stay_with_their_bytes(store.as_ref()).await;
    any_name(store.as_ref()).await;
    large_files(store.as_ref()).await;
    happens_once(store.as_ref()).await;
    an_inventory_tells_length_and_age(store.as_ref()).await;
    many_are_removed_at_once(store.as_ref()).await;
    assert_eq!(store.unfinished("").await.expect("a list"), []);
    for left in store.list("", None).await.expect("a list") {
        store.delete(&left).await.expect("deleted");
    }
    assert_eq!(store.list("", None).await.expect("a list"), []);
}

async fn one_wins(store: &dyn Store) {
    for round in 0..20 {
        let key = key(&format!("race/{round}"));
        let bodies: Vec<Body> = (0..16).map(|racer| bytes(&format!("{racer}"))).collect();
        let headers = Headers::default();
        let racers = bodies.iter().map(|body| store.create(&key, body, &headers));
        let answers = join_all(racers).await;
        let winners: Vec<usize> = answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| matches!(answer, Ok(Created::New)))
            .map(|(racer, _)| racer)
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: {answers:?}");
        let found = store.get(&key, LIMIT).await.expect("read").expect("there");
        assert_eq!(found, winners[0].to_string().into_bytes());
    }
}

async fn what_is_there_stays(store: &dyn Store) {
    let (key, none) = (key("a/b.json"), Headers::default());
    assert_eq!(store.get(&key, LIMIT).await.expect("read"), None);
    assert_eq!(store.head(&key).await.expect("looked"), None);
    store.delete(&key).await.expect("nothing to delete");
    assert_eq!(
        store
            .create(&key, &bytes("one"), &none)
            .await
            .expect("sent"),
        Created::New
    );
    assert_eq!(
        store
            .create(&key, &bytes("two"), &none)
            .await
            .expect("sent"),
        Created::Exists
    );
    assert_eq!(
        store.get(&key, LIMIT).await.expect("read").expect("there"),
        b"one"
    );
    assert_eq!(
        store.get(&key, 3).await.expect("read").expect("there"),
        b"one"
    );
    let too_large = store.get(&key, 2).await.expect_err("too large");
    assert!(
        matches!(&too_large, StoreError::Failed(failure) if failure.code() == "store::too_large"),
        "{too_large}"
    );
    store
        .replace(&key, &bytes("three"), &none)
        .await
        .expect("replaced");
    assert_eq!(
        store.get(&key, LIMIT).await.expect("read").expect("there"),
        b"three"
    );
    store
        .replace(&key, &bytes(""), &none)
        .await
        .expect("replaced");
    assert_eq!(
        store.get(&key, LIMIT).await.expect("read").expect("there"),
        b""
    );
    store.delete(&key).await.expect("deleted");
    assert_eq!(store.get(&key, LIMIT).await.expect("read"), None);
    assert_eq!(
        store
            .create(&key, &bytes("four"), &none)
            .await
            .expect("sent"),
        Created::New
    );
}

async fn objects_are_fetched(store: &dyn Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let (key, to) = (key("fetch/x"), directory.path().join("x"));
    assert_eq!(store.fetch(&key, &to, LIMIT).await.expect("fetched"), None);
    assert!(!to.exists());
    store
        .replace(&key, &bytes("hello"), &Headers::default())
        .await
        .expect("written");
    let digest = store
        .fetch(&key, &to, 5)
        .await
        .expect("fetched")
        .expect("there");
    assert_eq!(digest, Digest::of(b"hello"));
    assert_eq!(std::fs::read(&to).expect("a file"), b"hello");
    store
        .fetch(&key, &to, 5)
        .await
        .expect_err("the file is there already");
    assert_eq!(std::fs::read(&to).expect("a file"), b"hello");
    let short = directory.path().join("short");
    store.fetch(&key, &short, 4).await.expect_err("too large");
    assert!(!short.exists());
}

async fn lists_are_in_order(store: &dyn Store) {
    let names = [
        "list/10", "list/2", "list/a/b", "list/a/c", "list/a-b", "list/ab", "lists/x",
    ];
    for name in names {
        store
            .replace(&key(name), &bytes(name), &Headers::default())
            .await
            .expect("written");
    }
    let list = async |prefix: &str, after: Option<&str>| -> Vec<String> {
        let keys = store.list(prefix, after).await.expect("a list");
        keys.iter().map(|key| key.as_str().to_owned()).collect()
    };
    assert_eq!(
        list("list/", None).await,
        [
            "list/10", "list/2", "list/a-b", "list/a/b", "list/a/c", "list/ab"
        ]
    );
    assert_eq!(list("list/a/", Some("list/a/b")).await, ["list/a/c"]);
    assert_eq!(
        list("list/a", Some("list/a-b")).await,
        ["list/a/b", "list/a/c", "list/ab"]
    );
    assert_eq!(list("list/", Some("list/0")).await.len(), 6);
    assert_eq!(list("list", None).await.len(), 7);
    assert_eq!(list("nothing/", None).await, Vec::<String>::new());
    assert_eq!(list("list/2", None).await, ["list/2"]);
}

fn some_headers() -> Headers {
    Headers {
        content_type: Some("text/html; charset=utf-8".to_owned()),
        cache_control: Some("public, max-age=31536000, immutable".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        metadata: BTreeMap::from([
            ("app".to_owned(), "@org/web".to_owned()),
            ("seq".to_owned(), "42".to_owned()),
        ]),
    }
}

async fn headers_travel(store: &dyn Store) {
    let (key, headers) = (key("static/index.html"), some_headers());
    let head = async || store.head(&key).await.expect("looked").expect("there");
    store
        .create(&key, &bytes("<html>"), &headers)
        .await
        .expect("sent");
    assert_eq!(head().await.size, 6);
    assert_eq!(head().await.headers, headers);
    // What a creator that loses would have sent is nowhere.
    let found = store
        .create(&key, &bytes("other"), &Headers::default())
        .await
        .expect("sent");
    assert_eq!(found, Created::Exists);
    assert_eq!(head().await.headers, headers);
    let plain = Headers {
        content_type: Some("application/octet-stream".to_owned()),
        ..Headers::default()
    };
    store
        .replace(&key, &bytes("<html>"), &plain)
        .await
        .expect("sent");
    assert_eq!(head().await.headers, plain);
    store
        .replace(&key, &bytes("<html>"), &Headers::default())
        .await
        .expect("sent");
    assert_eq!(head().await.headers, Headers::default());
    assert_eq!(
        store.list("static/", None).await.expect("a list"),
        std::slice::from_ref(&key)
    );
}

async fn racing_headers_stay_with_their_bytes(store: &dyn Store) {
    for round in 0..5 {
        let key = key(&format!("headers/{round}"));
        let of = |racer: usize| Headers {
            content_type: Some(format!("text/x-{racer}")),
            ..Headers::default()
        };
        let racers = (0..8).map(|racer| {
            let key = &key;
            async move {
                store
                    .create(key, &bytes(&racer.to_string()), &of(racer))
                    .await
            }
        });
        join_all(racers).await;
        let found = store.get(&key, LIMIT).await.expect("read").expect("there");
        let winner: usize = String::from_utf8(found)
            .expect("text")
            .parse()
            .expect("a number");
        let info = store.head(&key).await.expect("looked").expect("there");
        assert_eq!(info.headers, of(winner));
    }
}

async fn any_name(store: &dyn Store) {
    for name in [
        "n/a b.txt",
        "n/ä€😀.js",
        "n/a+b%20c.js",
        "n/a&b=c?d#e",
        "n/@x/y~(1)'!.map",
        "n/..a/b..",
    ] {
        let (key, headers) = (key(name), some_headers());
        assert_eq!(
            store
                .create(&key, &bytes(name), &headers)
                .await
                .expect("sent"),
            Created::New,
            "{name}"
        );
        assert_eq!(
            store
                .create(&key, &bytes("other"), &headers)
                .await
                .expect("sent"),
            Created::Exists,
            "{name}"
        );
        assert_eq!(
            store.get(&key, LIMIT).await.expect("read").expect("there"),
            name.as_bytes()
        );
        assert!(
            store.list("n/", None).await.expect("a list").contains(&key),
            "{name}"
        );
        store.delete(&key).await.expect("deleted");
        assert_eq!(store.get(&key, LIMIT).await.expect("read"), None, "{name}");
    }
}

/// A file of 70 MiB, with its digest.
fn large_file(directory: &Path) -> Body {
    let path = directory.join("large");
    let mut file = std::fs::File::create(&path).expect("a file");
    let block: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    for _ in 0..70 {
        file.write_all(&block).expect("written");
    }
    file.write_all(b"tail").expect("written");
    let content = std::fs::read(&path).expect("read");
    Body::File {
        path,
        size: content.len() as u64,
        digest: Digest::of(&content),
        share: None,
    }
}

async fn large_files(store: &dyn Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let body = large_file(directory.path());
    let (key, headers) = (key("large/file"), some_headers());
    assert_eq!(
        store.create(&key, &body, &headers).await.expect("sent"),
        Created::New
    );
    assert_eq!(
        store.create(&key, &body, &headers).await.expect("sent"),
        Created::Exists
    );
    let info = store.head(&key).await.expect("looked").expect("there");
    assert_eq!((info.size, info.headers), (body.size(), headers.clone()));
    let to = directory.path().join("back");
    let digest = store.fetch(&key, &to, body.size()).await.expect("fetched");
    assert_eq!(digest, Some(body.digest()));
    store
        .replace(&key, &body, &headers)
        .await
        .expect("replaced");
    let small = directory.path().join("small");
    std::fs::write(&small, "small").expect("written");
    let small = Body::File {
        path: small,
        size: 5,
        digest: Digest::of(b"small"),
        share: None,
    };
    store
        .replace(&key, &small, &headers)
        .await
        .expect("replaced");
    assert_eq!(
        store.get(&key, LIMIT).await.expect("read").expect("there"),
        b"small"
    );
    let lying = match small {
        Body::File { path, digest, .. } => Body::File {
            path,
            size: 4,
            digest,
            share: None,
        },
        Body::Bytes(_) => unreachable!("a file"),
    };
    store
        .replace(&key, &lying, &headers)
        .await
        .expect_err("another length");
    assert_eq!(
        store.get(&key, LIMIT).await.expect("read").expect("there"),
        b"small"
    );
}

async fn happens_once(store: &dyn Store) {
    let (key, none) = (key("once/1.json"), Headers::default());
    let once = async |bytes: &[u8]| create_once(store, &key, bytes, &none).await.expect("known");
    assert_eq!(once(b"one").await, Once::Created);
    assert_eq!(once(b"one").await, Once::Same);
    assert_eq!(once(b"two").await, Once::Other(b"one".to_vec()));
    let blob = bytes("blob");
    let put = async |now: i64| {
        put_blob(store, &blob.digest(), &blob, now)
            .await
            .expect("put")
    };
    let now = now();
    assert_eq!(put(now).await, Put::Created);
    assert_eq!(put(now).await, Put::Same);
    let at = layout::blob(&blob.digest());
    let modified = async || {
        store
            .head(&at)
            .await
            .expect("looked")
            .expect("there")
            .modified
    };
    if modified().await.is_some() {
        assert_eq!(put(now + GRACE / 2 - 60).await, Put::Same);
        assert_eq!(put(now + GRACE / 2 + 60).await, Put::Renewed);
    }
    let wrong = put_blob(store, &Digest::of(b"other"), &blob, now)
        .await
        .expect_err("refused");
    assert_eq!(wrong.code(), "store::blob_mismatch");
}

/// Now, as a file that is written now tells it.
fn now() -> i64 {
    let file = tempfile::tempfile().expect("a file");
    let written = file.metadata().expect("metadata").modified();
    let written = written.expect("a time");
    let since = written.duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("a time after 1970").as_secs()).expect("a number")
}

async fn an_inventory_tells_length_and_age(store: &dyn Store) {
    let none = Headers::default();
    for (name, text) in [
        ("inventory/b", "12"),
        ("inventory/a/x", "123"),
        ("inventoryx", ""),
    ] {
        store
            .create(&key(name), &bytes(text), &none)
            .await
            .expect("sent");
    }
    let found = store.inventory("inventory/").await.expect("an inventory");
    let told: Vec<(&str, u64)> = found
        .iter()
        .map(|object| (object.key.as_str(), object.size))
        .collect();
    assert_eq!(told, [("inventory/a/x", 3), ("inventory/b", 2)]);
    for object in &found {
        let head = store
            .head(&object.key)
            .await
            .expect("looked")
            .expect("there");
        assert_eq!(head.modified, object.modified);
        // The memory has no clock.
        if let Some(modified) = object.modified {
            assert!((now() - modified).abs() < 300, "{modified}");
        }
    }
    assert_eq!(store.inventory("nothing/").await.expect("an inventory"), []);
}

async fn many_are_removed_at_once(store: &dyn Store) {
    let none = Headers::default();
    let keys: Vec<Key> = (0..1203)
        .map(|number| key(&format!("many/{number}")))
        .collect();
    let body = bytes("x");
    for some in keys.chunks(100) {
        let creates = some.iter().map(|key| store.create(key, &body, &none));
        for created in join_all(creates).await {
            assert_eq!(created.expect("sent"), Created::New);
        }
    }
    let (gone, left) = keys.split_at(1201);
    store.delete_all(gone).await.expect("removed");
    let mut there = store.list("many/", None).await.expect("a list");
    there.sort();
    assert_eq!(there, left);
    store.delete_all(gone).await.expect("nothing there");
    store.delete_all(&[]).await.expect("nothing to do");
    store.delete_all(left).await.expect("removed");
    assert_eq!(store.list("many/", None).await.expect("a list"), []);
}

async fn missing_bucket(endpoint: &str) {
    let options = S3Options {
        endpoint: Some(Url::parse(endpoint).expect("a url")),
        ..S3Options::default()
    };
    let address = StoreAddress::parse("s3://absent").expect("an address");
    let refused = open(&address, &options).await.err().expect("refused");
    assert_eq!(
        (refused.code(), refused.exit().code()),
        ("store::no_bucket", 2)
    );
    assert!(refused.advice().is_some());
    let store = S3Store::connect(S3Settings {
        bucket: "absent".to_owned(),
        prefix: String::new(),
        endpoint: Some(Url::parse(endpoint).expect("a url")),
        region: None,
        role: None,
    })
    .await
    .expect("a client");
    let key = key("x");
    let failures = [
        store.get(&key, LIMIT).await.map(|_| ()),
        store
            .create(&key, &bytes("x"), &Headers::default())
            .await
            .map(|_| ()),
        store.list("", None).await.map(|_| ()),
    ];
    for failure in failures {
        let failure = pkgs_action::explain::Failure::from(failure.expect_err("refused"));
        assert_eq!(failure.code(), "store::no_bucket", "{failure}");
    }
}

#[test]
fn what_keeps_us_from_a_bucket_is_told_without_the_words_of_a_library_or_a_secret() {
    const SECRET: &str = "secretsecretsecretsecretsecretsecret0000";
    let sandbox = Sandbox::new();
    let check = |environment: &[(&str, &str)], code: &str, exit: i32, said: &[&str]| {
        let arguments = ["status", "--store=s3://bucket/prefix"];
        let run = sandbox
            .run(sandbox.path(), &arguments, environment)
            .expect(exit);
        for word in [&[code, "hint:"], said].concat() {
            assert!(run.stderr.contains(word), "{word} in {}", run.stderr);
        }
        let debug = [
            "Some(",
            "Error {",
            "ErrorKind",
            "DispatchFailure",
            "source:",
            "Unhandled",
            SECRET,
        ];
        for word in debug {
            assert!(!run.stderr.contains(word), "{word} in {}", run.stderr);
        }
    };
    let region = ("AWS_REGION", "eu-west-1");
    let id = ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00");
    let secret = ("AWS_SECRET_ACCESS_KEY", SECRET);
    let (code, all) = ("store::credentials", "WebIdentityToken");
    check(&[region], code, 2, &[all]);
    check(&[region, id], code, 2, &[all, "AWS_SECRET_ACCESS_KEY"]);
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token");
    check(
        &[region, role, token],
        code,
        2,
        &["AWS_WEB_IDENTITY_TOKEN_FILE", "No such file"],
    );
    let moto = Moto::shared();
    let port = moto.endpoint.rsplit(':').next().unwrap_or_default();
    let closed = format!("http://127.0.0.1:{}", free_port());
    let plain = format!("https://127.0.0.1:{port}");
    for endpoint in [&closed, &plain] {
        let environment = [id, secret, ("AWS_ENDPOINT_URL", endpoint)];
        let place = format!("s3://bucket/prefix at {endpoint}");
        check(&environment, "store::unreachable", 75, &[&place]);
    }
}

#[test]
fn a_missing_directory_is_not_made() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("absent");
    let refused = DirectoryStore::open(&path).expect_err("refused");
    assert_eq!(
        (refused.code(), refused.exit().code()),
        ("store::no_directory", 2)
    );
    assert!(!path.exists());
}

#[test]
fn a_directory_refuses_what_it_cannot_hold() {
    let root = tempfile::tempdir().expect("a directory");
    let store = DirectoryStore::open(root.path()).expect("a store");
    runtime().block_on(async {
        let none = Headers::default();
        let code = async |name: &str| {
            let refused = store
                .create(&key(name), &bytes("x"), &none)
                .await
                .expect_err(name);
            pkgs_action::explain::Failure::from(refused).code()
        };
        store
            .create(&key("x"), &bytes("x"), &none)
            .await
            .expect("sent");
        store
            .create(&key("d/y"), &bytes("x"), &none)
            .await
            .expect("sent");
        assert_eq!(code("x/y").await, "store::key_shape");
        assert_eq!(code("d").await, "store::key_shape");
        assert_eq!(code(".pkgs-headers/x.json").await, "store::key_shape");
        assert_eq!(code(&"n".repeat(300)).await, "store::key_shape");
        std::os::unix::fs::symlink("/tmp", root.path().join("out")).expect("linked");
        assert_eq!(code("out/x").await, "store::symlink");
        assert_eq!(store.get(&key("x/y"), LIMIT).await.expect("read"), None);
        assert_eq!(store.get(&key("d"), LIMIT).await.expect("read"), None);
    });
}

#[test]
fn headers_without_their_object_count_as_absent() {
    let root = tempfile::tempdir().expect("a directory");
    let store = DirectoryStore::open(root.path()).expect("a store");
    runtime().block_on(async {
        let key = key("x.html");
        store
            .create(&key, &bytes("one"), &some_headers())
            .await
            .expect("sent");
        // As after a crash between the headers of a new object and its bytes, or a change by hand.
        std::fs::write(root.path().join("x.html"), "two").expect("written");
        let info = store.head(&key).await.expect("looked").expect("there");
        assert_eq!(info.headers, Headers::default());
    });
}
