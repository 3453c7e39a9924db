//! An S3 server that ignores conditions: s3rver.

use std::process::Command;

use tempfile::TempDir;

use super::servers::{Server, installed};

/// Its key, and the id of it.
const KEY: &str = "S3RVER";

/// A running server.
#[derive(Debug)]
pub struct S3rver {
    /// Its address, without a final slash.
    pub endpoint: String,
    _server: Server,
    _directory: TempDir,
}

impl S3rver {
    /// Starts one that has the bucket `bucket`.
    pub fn start(bucket: &str) -> S3rver {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (server, port) = Server::start_on_free_port(directory.path(), "/", |port| {
            let mut command = Command::new(installed().join("node/bin/node"));
            command
                .arg(installed().join("s3rver/node_modules/s3rver/bin/s3rver.js"))
                .args(["--address", "127.0.0.1", "--port", &port.to_string()])
                .arg("--directory")
                .arg(directory.path().join("objects"))
                .args(["--configure-bucket", bucket]);
            command
        });
        S3rver {
            endpoint: format!("http://127.0.0.1:{port}"),
            _server: server,
            _directory: directory,
        }
    }

    /// What a client needs to know of it, besides its address.
    pub fn environment() -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", KEY),
            ("AWS_REGION", "us-east-1"),
        ]
    }
}
