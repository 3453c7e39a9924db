//! An S3 server: moto, everything in memory. It checks conditions, but neither signatures nor checksums: it proves logic, not bytes.

use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::servers::{Server, installed, repository};
use super::{http, s3};

/// A header that makes a request of one's own count as signed.
pub const SIGNED: (&str, &str) = (
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEEXAMPLE00/20260102/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
);

/// A running S3 server.
#[derive(Debug)]
pub struct Moto {
    /// Its address, without a final slash.
    pub endpoint: String,
    _server: Server,
    _directory: TempDir,
}

impl Moto {
    /// Starts one of one's own.
    pub fn start() -> Moto {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (server, port) = Server::start_on_free_port(directory.path(), "/", |port| {
            let mut command = Command::new(installed().join("moto/bin/python"));
            command
                .arg(repository().join("tests/servers/moto_server.py"))
                .arg(port.to_string())
                .env("AWS_EC2_METADATA_DISABLED", "true");
            command
        });
        Moto {
            endpoint: format!("http://127.0.0.1:{port}"),
            _server: server,
            _directory: directory,
        }
    }

    /// The one that all tests of this process share; give buckets names of your own.
    pub fn shared() -> &'static Moto {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Moto::start)
    }

    /// Makes a bucket.
    pub fn bucket(&self, name: &str) {
        let url = format!("{}/{name}", self.endpoint);
        let answer = http::send("PUT", &url, &[SIGNED], b"").expect("the server answers");
        assert_eq!(answer.status, 200, "PUT {url}");
    }

    /// What a client needs to know of this server: endpoint, region, and credentials that it does not check.
    pub fn environment(&self) -> Vec<(String, String)> {
        s3::environment(&self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_creators_one_is_refused() {
        let moto = Moto::shared();
        moto.bucket("moto-self-test");
        let url = format!("{}/moto-self-test/key", moto.endpoint);
        let create = |body: &str| {
            http::send(
                "PUT",
                &url,
                &[SIGNED, ("If-None-Match", "*")],
                body.as_bytes(),
            )
            .unwrap()
            .status
        };
        assert_eq!(create("first"), 200);
        assert_eq!(create("second"), 412);
        assert_eq!(
            http::send("GET", &url, &[SIGNED], b"").unwrap().body,
            b"first"
        );
    }
}
