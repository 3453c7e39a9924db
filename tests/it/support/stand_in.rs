//! S3 servers that do not do what they should, or for which days go by: they stand before another one and change what passes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::BufReader;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::fault_proxy;
use super::http::{self, Listener, Request, Response};
use super::moto::Moto;

/// Sends a request on to moto, without the headers that a test takes away.
fn forward(request: &Request, without: &[&str]) -> Response {
    const OWN: [&str; 5] = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "expect",
    ];
    let headers: Vec<(&str, &str)> = request
        .headers
        .0
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            !OWN.contains(&name.as_str()) && !without.contains(&name.as_str())
        })
        .collect();
    let url = format!("{}{}", Moto::shared().endpoint, request.target);
    http::send(&request.method, &url, &headers, &request.body)
        .unwrap_or_else(|error| Response::text(502, &error.to_string()))
}

/// A server that ignores conditions.
pub fn ignoring() -> Listener {
    Listener::answering(|request| forward(request, &["if-none-match"]))
}

/// A server that judges conditions before it writes: of two that create the same probe of a race at once, both win.
pub fn racing() -> Listener {
    let met: Mutex<BTreeSet<String>> = Mutex::default();
    let second = Condvar::new();
    Listener::answering(move |request| {
        let creates = request.headers.get("if-none-match").is_some();
        if !creates {
            return forward(request, &[]);
        }
        let url = format!("{}{}", Moto::shared().endpoint, request.path());
        let there = http::send("HEAD", &url, &[super::moto::SIGNED], b"");
        if there.is_ok_and(|answer| answer.status == 200) {
            return forward(request, &[]);
        }
        if request.target.contains("-race-") {
            // The first one waits until another one has judged too.
            let mut met = met.lock().expect("no holder panics");
            if met.insert(request.path()) {
                let path = request.path();
                let (mut met, _) = second
                    .wait_timeout_while(met, Duration::from_secs(20), |met| {
                        !met.contains(&format!("{path} twice"))
                    })
                    .expect("no holder panics");
                met.remove(&path);
            } else {
                met.insert(format!("{} twice", request.path()));
                second.notify_all();
            }
        }
        forward(request, &["if-none-match"])
    })
}

/// Stands before an S3 server and lets days go by: what was written before a day went by is told to be so much older.
#[derive(Debug)]
pub struct Days {
    listener: Listener,
    gone: Arc<Mutex<Gone>>,
}

/// Until when what was written became older, and by how much.
type Gone = Vec<(OffsetDateTime, time::Duration)>;

impl Days {
    /// Stands before the server at `endpoint`.
    pub fn before(endpoint: &str) -> Days {
        let upstream = endpoint.strip_prefix("http://").expect("an http address");
        let (upstream, gone) = (upstream.to_owned(), Arc::<Mutex<Gone>>::default());
        let known = Arc::clone(&gone);
        let listener = Listener::answering(move |request| {
            let answer = fault_proxy::forward(&upstream, request, request.wire.len());
            let answer = answer.and_then(|stream| {
                http::read_response(&mut BufReader::new(stream), &request.method)
            });
            match answer {
                Ok(answer) => aged(answer, &known.lock().expect("no holder panics")),
                Err(error) => Response::text(502, &error.to_string()),
            }
        });
        Days { listener, gone }
    }

    /// Where it is asked instead.
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// So many days go by.
    pub fn pass(&self, days: i64) {
        let mut gone = self.gone.lock().expect("no holder panics");
        gone.push((OffsetDateTime::now_utc(), time::Duration::days(days)));
    }
}

/// An answer whose times are those after the days that are gone.
fn aged(mut answer: Response, gone: &Gone) -> Response {
    let older = |written: OffsetDateTime| {
        let passed = gone.iter().filter(|(until, _)| written <= *until);
        passed.fold(written, |moment, (_, days)| moment - *days)
    };
    for (name, value) in &mut answer.headers.0 {
        if name.eq_ignore_ascii_case("last-modified") {
            let written = OffsetDateTime::parse(value, &Rfc2822).expect("a date");
            let told = older(written).format(&Rfc2822).expect("a date");
            *value = told.replace("+0000", "GMT");
        }
    }
    for name in ["<LastModified>", "<Initiated>"] {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if !text.contains(name) {
            continue;
        }
        let mut parts = text.split(name);
        let mut changed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (moment, rest) = part.split_once('<').expect("the end of an element");
            let written = OffsetDateTime::parse(moment, &Rfc3339).expect("a date");
            let told = older(written).format(&Rfc3339).expect("a date");
            write!(changed, "{name}{told}<{rest}").expect("text");
        }
        answer.body = changed.into_bytes();
    }
    answer
}
