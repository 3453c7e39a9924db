//! An S3 server on loopback: moto, from `.cache/servers/moto`, everything in memory. It checks neither signatures nor checksums.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server, stopped when dropped.
#[derive(Debug)]
pub struct Moto {
    /// Its address, without a final slash.
    pub endpoint: String,
    process: Child,
}

impl Moto {
    /// Starts one with nothing in it.
    pub fn start() -> Moto {
        let program =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache/servers/moto/bin/moto_server");
        assert!(program.exists(), "{} is not installed", program.display());
        let port = free_port();
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        Moto {
            endpoint: format!("http://127.0.0.1:{port}"),
            process: listening(process, port),
        }
    }

    /// Makes a bucket.
    pub fn bucket(&self, name: &str) {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("a connection");
        write!(
            stream,
            "PUT /{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits until `process` listens on `port`.
pub fn listening(mut process: Child, port: u16) -> Child {
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return process;
        }
        if let Some(status) = process.try_wait().expect("its state") {
            panic!("the server ended with {status}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = process.kill();
    panic!("nothing listens on port {port}");
}
