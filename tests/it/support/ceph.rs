//! An S3 server: Ceph's radosgw, everything in memory. It checks signatures, takes no trailers, and ignores conditions where parts are put together.

use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::s3;
use super::servers::{Server, repository};

/// A running cluster with its gateway.
#[derive(Debug)]
pub struct Ceph {
    /// Its address, without a final slash.
    pub endpoint: String,
    _server: Server,
    _directory: TempDir,
}

impl Ceph {
    /// Starts one.
    fn start() -> Ceph {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (server, port) = Server::start_on_free_port(directory.path(), "/", |port| {
            let mut command = Command::new(repository().join("tests/servers/ceph.sh"));
            command
                .arg(directory.path().join(port.to_string()))
                .arg(port.to_string())
                .envs(s3::environment(""));
            command
        });
        Ceph {
            endpoint: format!("http://127.0.0.1:{port}"),
            _server: server,
            _directory: directory,
        }
    }

    /// The one that all tests of this process share; give buckets names of your own.
    pub fn shared() -> &'static Ceph {
        static SHARED: OnceLock<Ceph> = OnceLock::new();
        SHARED.get_or_init(Ceph::start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::http;

    #[test]
    fn signatures_and_conditions_are_checked() {
        let endpoint = &Ceph::shared().endpoint;
        s3::make_bucket(endpoint, "ceph-self-test");
        let url = format!("{endpoint}/ceph-self-test/key");
        assert_eq!(s3::send("PUT", &url, b"first").status, 200);
        assert_eq!(
            s3::get(endpoint, "ceph-self-test", "key").unwrap(),
            b"first"
        );
        assert_eq!(s3::list(endpoint, "ceph-self-test", "k"), ["key"]);
        let unsigned = [super::super::moto::SIGNED];
        let refused = http::send("GET", &url, &unsigned, b"").unwrap();
        assert_eq!(refused.status, 403);
    }
}
