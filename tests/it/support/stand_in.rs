//! S3 servers that do not do what they should: they stand before moto and change what passes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

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

/// A server whose objects are all a year older in lists than they are.
pub fn of_last_year() -> Listener {
    Listener::answering(|request| {
        let mut answer = forward(request, &[]);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if text.contains("<LastModified>") {
            let mut parts = text.split("<LastModified>");
            let mut changed = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (year, rest) = part.split_at(4);
                let year: u32 = year.parse().expect("a year");
                write!(changed, "<LastModified>{}{rest}", year - 1).expect("text");
            }
            answer.body = changed.into_bytes();
        }
        answer
    })
}
