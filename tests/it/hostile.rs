//! Servers that answer wrongly: whatever they send, a read ends soon, with a code, without a token in other hands.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pkgs_action::explain::Failure;
use pkgs_action::local::archive::{Expect, unpack};
use pkgs_action::name::{Digest, Key, PackageName};
use pkgs_action::release::app::Encoding;
use pkgs_action::remote::registry::Registry;
use pkgs_action::remote::registry::npm::NpmRegistry;
use pkgs_action::remote::store::s3::{S3Settings, S3Store};
use pkgs_action::remote::store::{Body, Headers, Store};
use pkgs_action::secret::{BoundSecret, Secret};
use url::Url;

use crate::store_contract;

const TOKEN: &str = "npm_hostilehostilehostile";
/// No answer here asks for a wait, so tries and their pauses are over long before.
const SOON: Duration = Duration::from_mins(1);

/// Sends its answer to whoever asks, and closes the connection.
struct Hostile {
    url: Url,
    asked: Arc<AtomicUsize>,
}

impl Hostile {
    fn start(answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Hostile {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let asked: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&asked);
        // It ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(connection);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if !matches!(reader.read_line(&mut head), Ok(1..)) {
                        break;
                    }
                }
                count.fetch_add(1, Ordering::SeqCst);
                // The other side may be gone already.
                let _ = answer(reader.get_mut());
            }
        });
        Hostile {
            url: Url::parse(&format!("http://127.0.0.1:{port}/")).expect("a url"),
            asked,
        }
    }

    fn saying(answer: &str) -> Hostile {
        let answer = answer.as_bytes().to_vec();
        Hostile::start(move |stream| stream.write_all(&answer))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn registry(server: &Hostile) -> NpmRegistry {
    let token = BoundSecret::new(Secret::new(TOKEN).expect("a token"), &server.url);
    NpmRegistry::new(server.url.clone(), Some(token)).expect("a registry")
}

/// Sends spaces without an end.
fn endless(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")?;
    let spaces = vec![b' '; 1 << 20];
    loop {
        stream.write_all(&spaces)?;
    }
}

fn answers() -> Vec<(&'static str, String)> {
    let whole = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n{".to_owned();
    vec![
        ("a page", whole("<html><body>Sign in</body></html>")),
        ("half a document", whole("{\"name\":\"a\",\"versions\":{")),
        ("another package", whole("{\"name\":\"b\",\"versions\":{}}")),
        ("not a document", whole("[]")),
        ("deep nesting", whole(&"[".repeat(100_000))),
        ("a length that is too long", short),
        (
            "a length that is none",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}".to_owned(),
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        ),
        ("no HTTP", "220 mail.example ESMTP\r\n".to_owned()),
        ("nothing", String::new()),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-".to_owned()),
        (
            "a wait below nothing",
            "HTTP/1.1 503 No\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ),
    ]
}

/// Runs `ask` against every answer, side by side, and checks that each ends soon, after a few questions, as `codes` allow.
fn each_ends<Work>(ask: fn(Arc<Hostile>) -> Work, codes: &[&str])
where
    Work: Future<Output = Result<(), Failure>> + 'static,
{
    std::thread::scope(|scope| {
        for (what, answer) in answers() {
            scope.spawn(move || {
                let server = Arc::new(Hostile::saying(&answer));
                let started = Instant::now();
                let failure = store_contract::runtime()
                    .block_on(ask(Arc::clone(&server)))
                    .expect_err(what);
                assert!(codes.contains(&failure.code()), "{what}: {failure:?}");
                assert!(
                    !format!("{failure:?}").contains(TOKEN),
                    "{what}: {failure:?}"
                );
                assert!(started.elapsed() < SOON, "{what}: {:?}", started.elapsed());
                assert!(
                    (1..=6).contains(&server.asked()),
                    "{what}: {}",
                    server.asked()
                );
            });
        }
    });
}

#[test]
fn a_registry_that_answers_wrongly_is_given_up_on() {
    let ask = |server: Arc<Hostile>| async move {
        let name = PackageName::parse("a").expect("a name");
        let known = registry(&server).package(&name).await;
        known.map(|_| ()).map_err(Failure::from)
    };
    each_ends(ask, &["npm::unreachable"]);
}

#[test]
fn a_store_that_answers_wrongly_is_given_up_on() {
    let ask = |server: Arc<Hostile>| async move {
        let store = bucket(&server).await;
        let listed = store.list("", None).await.map(|_| ());
        listed.map_err(Failure::from)
    };
    each_ends(ask, &["store::unreachable"]);
}

async fn bucket(server: &Hostile) -> S3Store {
    let settings = S3Settings {
        bucket: "hostile".to_owned(),
        prefix: String::new(),
        endpoint: Some(server.url.clone()),
        region: None,
        role: None,
    };
    S3Store::connect(settings).await.expect("a client")
}

#[test]
fn nothing_is_read_without_an_end() {
    let server = Hostile::start(endless);
    let name = PackageName::parse("a").expect("a name");
    store_contract::runtime().block_on(async {
        let refused = registry(&server).package(&name).await;
        let refused = Failure::from(refused.expect_err("refused"));
        assert_eq!(
            (refused.code(), refused.exit().code()),
            ("npm::too_large", 6)
        );
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n{";
        let store = bucket(&Hostile::saying(long)).await;
        let key = Key::parse("x").expect("a key");
        let refused = store.get(&key, 1 << 20).await.expect_err("refused");
        assert_eq!(Failure::from(refused).code(), "store::too_large");
    });
}

#[test]
fn no_token_follows_a_redirect_to_another_origin() {
    let other = Hostile::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    for status in [301, 302, 303, 307, 308] {
        let away = format!(
            "HTTP/1.1 {status} Away\r\nLocation: {}x\r\nContent-Length: 0\r\n\r\n",
            other.url
        );
        let server = Hostile::saying(&away);
        let name = PackageName::parse("a").expect("a name");
        store_contract::runtime().block_on(async {
            let refused = registry(&server).package(&name).await;
            let refused = Failure::from(refused.expect_err("refused"));
            assert_eq!(refused.code(), "npm::redirected", "{status}");
            let store = bucket(&server).await;
            let key = Key::parse("x").expect("a key");
            let body = Body::Bytes(b"x".to_vec());
            store.get(&key, 9).await.expect_err("refused");
            let none = Headers::default();
            store.create(&key, &body, &none).await.expect_err("refused");
        });
    }
    assert_eq!(other.asked(), 0);
}

/// A tar with one file.
fn tar(path: &str, contents: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_ustar_mut().expect("ustar").name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(contents.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, contents).expect("an entry");
    tar.into_inner().expect("a tar")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("bytes")
}

#[test]
fn a_gzip_archive_gives_no_more_than_its_manifest_says_and_nothing_outside() {
    let right = tar("a", b"1");
    let archive = gzip(&right);
    let zeros = gzip(&vec![0; 64 << 20]);
    let outside = tar("../a", b"1");
    let link = {
        let mut tar = tar("a", b"");
        tar[156] = b'2';
        tar[157..161].copy_from_slice(b"/etc");
        let mut header = tar::Header::from_byte_slice(&tar[..512]).clone();
        header.set_cksum();
        tar[..512].copy_from_slice(header.as_bytes());
        tar
    };
    let mut with_name = flate2::GzBuilder::new()
        .filename("../../a")
        .write(Vec::new(), flate2::Compression::new(6));
    with_name.write_all(&right).expect("written");
    let with_name = with_name.finish().expect("bytes");
    let cases: Vec<(&str, Vec<u8>, &[u8], &str)> = vec![
        ("a bomb", zeros.clone(), &right, "archive::trailing"),
        (
            "a bomb behind it",
            gzip(&[&right[..], &vec![0; 64 << 20]].concat()),
            &right,
            "archive::trailing",
        ),
        (
            "another member",
            [&archive[..], &zeros].concat(),
            &right,
            "archive::frames",
        ),
        (
            "something behind it",
            [&archive[..], b"<html>"].concat(),
            &right,
            "archive::trailing",
        ),
        (
            "half of it",
            archive[..archive.len() / 2].to_vec(),
            &right,
            "archive::truncated",
        ),
        ("a name", with_name, &right, "archive::gzip"),
        (
            "a page",
            b"<!doctype html><title>502</title>".to_vec(),
            &right,
            "archive::gzip",
        ),
        ("nothing", Vec::new(), &right, "archive::gzip"),
        (
            "a path that leads out",
            gzip(&outside),
            &outside,
            "archive::dotdot",
        ),
        (
            "a link that leads out",
            gzip(&link),
            &link,
            "archive::link_escape",
        ),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let into = directory.path().join("apps/into");
    for (what, bytes, tar, code) in cases {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
        let answer = [head.as_bytes(), &bytes].concat();
        let server = Hostile::start(move |stream| stream.write_all(&answer));
        let file = directory.path().join("archive");
        let _ = std::fs::remove_file(&file);
        let digest = store_contract::runtime().block_on(async {
            let key = Key::parse("x").expect("a key");
            let fetched = bucket(&server).await.fetch(&key, &file, 1 << 20).await;
            fetched.expect(what).expect(what)
        });
        // Whoever wrote the manifest is hostile, too.
        let expect = Expect {
            encoding: Encoding::Gzip,
            digest,
            size: bytes.len() as u64,
            tar_digest: Digest::of(tar),
            tar_size: tar.len() as u64,
            entries: 1,
            files: None,
            most_bytes: 1 << 30,
        };
        std::fs::create_dir_all(&into).expect("a directory");
        let refused = unpack(&file, &into, &expect).expect_err(what);
        assert_eq!(
            (refused.code(), refused.exit().code()),
            (code, 6),
            "{what}: {refused:?}"
        );
        let left = crate::support::world::files(directory.path());
        let left: Vec<&String> = left.keys().collect();
        assert_eq!(left, ["archive"], "{what}");
    }
}
