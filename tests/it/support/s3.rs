//! What a bucket holds, read by boto3 and by requests of our own: other clients than the tool's, so that one mistake is not made twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use pkgs_action::name::Digest;
use serde::Deserialize;
use sha2::Digest as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::http::{self, Response};
use super::sandbox;
use super::servers::{installed, repository};

/// The id of the key that every server of the tests takes.
pub const ACCESS_KEY: &str = "AKIAEXAMPLEEXAMPLE00";
/// The key itself. Only some of the servers check signatures.
pub const SECRET_KEY: &str = "secretsecretsecretsecretsecretsecret0000";
const REGION: &str = "us-east-1";

/// What a client needs to know of the S3 server at `endpoint`, which may be a proxy before it.
pub fn environment(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

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
        .envs(environment(endpoint))
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

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let keyed = |pad: u8| sha2::Sha256::new().chain_update(block.map(|byte| byte ^ pad));
    let inner = keyed(0x36).chain_update(text).finalize();
    keyed(0x5c).chain_update(inner).finalize().into()
}

/// The digest of bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string().replace("sha256:", "")
}

/// Sends one signed request (AWS signature version 4) to `url`, whose path and query hold only what need not be encoded.
///
/// # Panics
/// When the server does not answer.
pub fn send(method: &str, url: &str, body: &[u8]) -> Response {
    let rest = url.strip_prefix("http://").expect("an http address");
    let (host, target) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut query: Vec<String> = query.split('&').map(str::to_owned).collect();
    for name in &mut query {
        if !name.is_empty() && !name.contains('=') {
            name.push('=');
        }
        *name = name.replace('/', "%2F");
    }
    query.sort();
    let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("a date");
    let moment = format!("{}Z", now[..19].replace(['-', ':'], ""));
    let day = &moment[..8];
    let digest = hex(body);
    let request = [
        method,
        &format!("/{path}"),
        &query.join("&"),
        &format!("host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{moment}\n"),
        "host;x-amz-content-sha256;x-amz-date",
        &digest,
    ];
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}",
        hex(request.join("\n").as_bytes())
    );
    let key = scope
        .split('/')
        .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| {
            hmac(&key, part.as_bytes()).to_vec()
        });
    let signature = hmac(&key, text.as_bytes());
    let signature = signature.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={}, Signature={signature}",
        request[4]
    );
    let headers = [
        ("x-amz-date", moment.as_str()),
        ("x-amz-content-sha256", &digest),
        ("Authorization", &authorization),
    ];
    let url = match query.join("&") {
        query if query.is_empty() => format!("http://{host}/{path}"),
        query => format!("http://{host}/{path}?{query}"),
    };
    http::send(method, &url, &headers, body).expect("an answer")
}

/// Makes a bucket.
pub fn make_bucket(endpoint: &str, bucket: &str) {
    let url = format!("{endpoint}/{bucket}");
    assert_eq!(send("PUT", &url, b"").status, 200, "PUT {url}");
}

/// The bytes of an object.
pub fn get(endpoint: &str, bucket: &str, key: &str) -> Option<Vec<u8>> {
    let url = format!("{endpoint}/{bucket}/{key}");
    let answer = send("GET", &url, b"");
    assert!(matches!(answer.status, 200 | 404), "GET {url}: {answer:?}");
    (answer.status == 200).then_some(answer.body)
}

/// What stands in each element of this name.
fn elements(answer: &Response, name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&start)
        .skip(1)
        .filter_map(|part| Some(part.split_once(&end)?.0.to_owned()))
        .collect()
}

/// The keys that start with `prefix`, in order, up to a thousand.
pub fn list(endpoint: &str, bucket: &str, prefix: &str) -> Vec<String> {
    let url = format!("{endpoint}/{bucket}?list-type=2&prefix={prefix}");
    let answer = send("GET", &url, b"");
    assert_eq!(answer.status, 200, "GET {url}: {answer:?}");
    elements(&answer, "Key")
}

/// Begins an upload in parts that nobody completes; tells its id.
pub fn begin_upload(endpoint: &str, bucket: &str, key: &str) -> String {
    let url = format!("{endpoint}/{bucket}/{key}?uploads");
    let answer = send("POST", &url, b"");
    assert_eq!(answer.status, 200, "POST {url}: {answer:?}");
    elements(&answer, "UploadId").remove(0)
}

/// The keys of the uploads that nobody completed, in order, up to a thousand.
pub fn uploads(endpoint: &str, bucket: &str) -> Vec<String> {
    let url = format!("{endpoint}/{bucket}?uploads");
    let answer = send("GET", &url, b"");
    assert_eq!(answer.status, 200, "GET {url}: {answer:?}");
    let mut keys = elements(&answer, "Key");
    keys.sort();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::moto::{self, Moto};

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
