//! As much HTTP/1.1 as the servers and the fault proxy of these tests need: whole messages in memory, nothing streamed.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// No peer of a test is silent for so long unless something hangs.
const SILENCE: Duration = Duration::from_mins(1);

/// Header lines in order, names as they were sent.
#[derive(Debug, Clone, Default)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn chunked(&self) -> bool {
        self.get("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"))
    }

    fn content_length(&self) -> io::Result<Option<usize>> {
        self.get("content-length")
            .map(|text| {
                text.parse()
                    .map_err(|_| io::Error::other(format!("a content-length of {text:?}")))
            })
            .transpose()
    }
}

/// A request: the target as it was sent, the body with (`wire`) and without (`body`) its chunk framing.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Headers,
    pub wire: Vec<u8>,
    pub body: Vec<u8>,
}

impl Request {
    /// The path without the query, percent-decoded.
    pub fn path(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        percent_encoding::percent_decode_str(path)
            .decode_utf8_lossy()
            .into_owned()
    }

    /// The query without its `?`; empty when there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Whether the client will send more on this connection.
    pub fn keeps_alive(&self) -> bool {
        !self
            .headers
            .get("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Response {
    /// An answer with a body of the given type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            headers: Headers(vec![("Content-Type".into(), content_type.into())]),
            body: body.into(),
        }
    }

    /// A short answer for a person.
    pub fn text(status: u16, text: &str) -> Response {
        Response::new(status, "text/plain", text)
    }

    /// The bytes of the whole message, as an answer to `method`. To HEAD the length of what GET would give stays, without a body.
    pub fn to_bytes(&self, method: &str) -> Vec<u8> {
        let mut lines = vec![format!("HTTP/1.1 {} Answer", self.status)];
        for (name, value) in &self.headers.0 {
            let ours = ["connection", "keep-alive", "transfer-encoding"]
                .iter()
                .any(|hop| name.eq_ignore_ascii_case(hop));
            let length_of_body = name.eq_ignore_ascii_case("content-length") && method != "HEAD";
            if !ours && !length_of_body {
                lines.push(format!("{name}: {value}"));
            }
        }
        let bodyless = self.status == 204 || self.status == 304 || self.status < 200;
        let has_length = method == "HEAD" && self.headers.get("content-length").is_some();
        if !bodyless && !has_length {
            lines.push(format!("Content-Length: {}", self.body.len()));
        }
        let mut bytes = lines.join("\r\n").into_bytes();
        bytes.extend_from_slice(b"\r\n\r\n");
        if !bodyless && method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    while line.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        line.pop();
    }
    Ok(line.into_iter().map(char::from).collect())
}

fn read_headers(reader: &mut impl BufRead) -> io::Result<Headers> {
    let mut headers = Headers::default();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| io::Error::other(format!("a header line {line:?}")))?;
        headers.0.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// A chunked body: as it travels, and what it says.
fn read_chunks(reader: &mut impl BufRead) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut wire, mut body) = (Vec::new(), Vec::new());
    loop {
        let line = read_line(reader)?;
        wire.extend_from_slice(line.as_bytes());
        wire.extend_from_slice(b"\r\n");
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .map_err(|_| io::Error::other(format!("a chunk size {line:?}")))?;
        if size == 0 {
            loop {
                let trailer = read_line(reader)?;
                wire.extend_from_slice(trailer.as_bytes());
                wire.extend_from_slice(b"\r\n");
                if trailer.is_empty() {
                    return Ok((wire, body));
                }
            }
        }
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        wire.extend_from_slice(&chunk);
        body.extend_from_slice(&chunk[..size]);
    }
}

fn read_sized(reader: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// The next request on a connection, `None` when the client has closed it. A client that asks for permission to send gets it.
pub fn read_request(connection: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    if connection.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let line = read_line(connection)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other(format!("a request line {line:?}")));
    };
    let headers = read_headers(connection)?;
    if headers
        .get("expect")
        .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        connection
            .get_mut()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let (wire, body) = if headers.chunked() {
        read_chunks(connection)?
    } else {
        let body = read_sized(connection, headers.content_length()?.unwrap_or(0))?;
        (body.clone(), body)
    };
    Ok(Some(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        wire,
        body,
    }))
}

/// The answer to a request with `method`; interim answers are skipped.
pub fn read_response(reader: &mut impl BufRead, method: &str) -> io::Result<Response> {
    loop {
        let line = read_line(reader)?;
        let status: u16 = line
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::other(format!("a status line {line:?}")))?;
        let headers = read_headers(reader)?;
        if (100..200).contains(&status) {
            continue;
        }
        let body = if method == "HEAD" || status == 204 || status == 304 {
            Vec::new()
        } else if headers.chunked() {
            read_chunks(reader)?.1
        } else if let Some(length) = headers.content_length()? {
            read_sized(reader, length)?
        } else {
            let mut body = Vec::new();
            reader.read_to_end(&mut body)?;
            body
        };
        return Ok(Response {
            status,
            headers,
            body,
        });
    }
}

/// Sends one request to `http://127.0.0.1:<port>/…` and reads its answer.
pub fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| io::Error::other(format!("not an http address: {url}")))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut connection = TcpStream::connect(authority)?;
    connection.set_read_timeout(Some(SILENCE))?;
    let mut message = Vec::new();
    write!(
        message,
        "{method} /{path} HTTP/1.1\r\nHost: {authority}\r\n"
    )?;
    write!(
        message,
        "Connection: close\r\nContent-Length: {}\r\n",
        body.len()
    )?;
    for (name, value) in headers {
        write!(message, "{name}: {value}\r\n")?;
    }
    message.extend_from_slice(b"\r\n");
    connection.write_all(&message)?;
    connection.write_all(body)?;
    read_response(&mut BufReader::new(connection), method)
}

/// A listener on a free loopback port with a thread for each connection; it stops listening when dropped.
#[derive(Debug)]
pub struct Listener {
    port: u16,
    stopped: Arc<AtomicBool>,
}

impl Listener {
    /// Hands every connection to `serve`.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let port = listener.local_addr().expect("a bound address").port();
        let stopped = Arc::new(AtomicBool::new(false));
        let serve = Arc::new(serve);
        let seen_stopped = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if seen_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let _ = connection.set_read_timeout(Some(SILENCE));
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(connection));
            }
        });
        Listener { port, stopped }
    }

    /// Answers every request by `answer`, keeping connections open as clients wish.
    pub fn answering(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Listener {
        Listener::start(move |connection| {
            let mut connection = BufReader::new(connection);
            while let Ok(Some(request)) = read_request(&mut connection) {
                let bytes = answer(&request).to_bytes(&request.method);
                if connection.get_mut().write_all(&bytes).is_err() || !request.keeps_alive() {
                    return;
                }
            }
        })
    }

    /// `http://127.0.0.1:<port>`, without a final slash.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // One last connection wakes the listening thread up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_request_that_asks_first_is_read_whole_and_the_connection_is_kept() {
        let echo = Listener::answering(|request| {
            Response::new(200, "application/octet-stream", request.body.clone())
        });
        let mut connection = TcpStream::connect(("127.0.0.1", echo.port())).unwrap();
        connection
            .write_all(
                b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            )
            .unwrap();
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        assert_eq!(read_line(&mut reader).unwrap(), "HTTP/1.1 100 Continue");
        assert_eq!(read_line(&mut reader).unwrap(), "");
        connection
            .write_all(b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n")
            .unwrap();
        assert_eq!(read_response(&mut reader, "PUT").unwrap().body, b"abcde");
        connection
            .write_all(b"POST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
            .unwrap();
        assert_eq!(read_response(&mut reader, "POST").unwrap().body, b"hi");
    }

    #[test]
    fn paths_are_decoded_and_queries_kept() {
        let names = Listener::answering(|request| {
            Response::text(200, &format!("{}|{}", request.path(), request.query()))
        });
        let url = format!("{}/@acme%2ftext?a=%20", names.url());
        assert_eq!(
            send("GET", &url, &[], b"").unwrap().body,
            b"/@acme/text|a=%20"
        );
    }
}
