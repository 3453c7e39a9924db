//! A server that gives prepared answers, for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use url::Url;

/// A request as it arrived.
pub(super) struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// Answers one request with each of `answers` (from the status code on; empty: the connection is closed without one), then ends with
/// the requests.
pub(super) fn serve(answers: Vec<String>) -> (Url, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).expect("a url");
    let work = move || {
        let answer = |answer: String| {
            let (stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut head).expect("a line"), 0, "{head}");
            }
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            });
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).expect("a body");
            if let Some((start, content)) = answer.split_once("\r\n\r\n") {
                write!(
                    reader.get_mut(),
                    "HTTP/1.1 {start}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{content}",
                    content.len()
                )
                .expect("sent");
            }
            Request { head, body }
        };
        answers.into_iter().map(answer).collect()
    };
    (url, std::thread::spawn(work))
}
