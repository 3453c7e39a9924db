//! What a bucket holds, read by boto3: another client than ours, so that one mistake is not made twice.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::servers::{installed, repository};
use super::{moto, sandbox};

/// An object as boto3 sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Object {
    /// `sha256:<hex>` of its bytes.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `x-amz-meta-*`, without that prefix.
    pub metadata: BTreeMap<String, String>,
}

/// Every object of a bucket, by key.
pub fn dump(endpoint: &str, bucket: &str) -> BTreeMap<String, Object> {
    let output = Command::new(installed().join("moto/bin/python"))
        .arg(repository().join("tests/servers/dump_bucket.py"))
        .args([endpoint, bucket])
        .env_clear()
        .env("PATH", sandbox::search_path())
        .envs(moto::environment(endpoint))
        .stdin(Stdio::null())
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "dump_bucket.py: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("dump_bucket.py prints JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::http;
    use crate::support::moto::Moto;

    #[test]
    fn the_other_client_sees_bytes_and_headers() {
        let moto = Moto::shared();
        moto.bucket("s3-self-test");
        let url = format!("{}/s3-self-test/a/b%20c.js", moto.endpoint);
        let headers = [
            moto::SIGNED,
            ("Content-Type", "text/javascript"),
            ("Cache-Control", "no-cache"),
            ("x-amz-meta-pkgs-seq", "7"),
        ];
        assert_eq!(http::send("PUT", &url, &headers, b"").unwrap().status, 200);
        let objects = dump(&moto.endpoint, "s3-self-test");
        let object = Object {
            digest: pkgs_action::name::Digest::of(b"").to_string(),
            size: 0,
            content_type: Some("text/javascript".into()),
            cache_control: Some("no-cache".into()),
            content_encoding: None,
            metadata: BTreeMap::from([("pkgs-seq".into(), "7".into())]),
        };
        assert_eq!(objects, BTreeMap::from([("a/b c.js".into(), object)]));
    }
}
