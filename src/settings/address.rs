//! Addresses, as a person writes them: of a store, and of a service on its own host.

use std::fmt;
use std::path::{Path, PathBuf};

use url::{Host, Url};

use crate::explain::{Exit, Failure, quoted};
use crate::name::Key;

/// The longest prefix, in bytes: with a [`Key`] of 900 bytes behind it, the whole stays within the 1024 bytes that S3 allows.
const LONGEST_PREFIX: usize = 120;

/// The health address of a service: plain http on this machine, for a host asks its own service only.
///
/// # Errors
/// Why it is none.
///
/// ```
/// use pkgs_action::settings::address::health;
/// assert!(health("http://127.0.0.1:8080/health").is_ok() && health("http://[::1]/").is_ok() && health("http://localhost").is_ok());
/// assert!(health("https://127.0.0.1/").is_err() && health("http://10.0.0.1/").is_err() && health("health").is_err());
/// ```
pub fn health(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    if url.scheme() == "http" && is_loopback(&url) {
        Ok(url)
    } else {
        Err("a host asks its own service only, by http on a loopback address")
    }
}

/// Whether an address is one of this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(domain)) => domain == "localhost",
        None => false,
    }
}

/// Why a text is no address, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAddress {
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: &'static str,
}

impl fmt::Display for NoAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

/// An http(s) address without credentials in it, ending in `/`; plain http only on loopback.
///
/// # Errors
/// Why it is none.
///
/// ```
/// use pkgs_action::settings::address::http;
/// let text = |address: &str| http(address).map(|url| url.to_string());
/// assert_eq!(text("https://npm.example/team").unwrap(), "https://npm.example/team/");
/// assert_eq!(text("http://127.0.0.1:4873").unwrap(), "http://127.0.0.1:4873/");
/// for bad in ["", "npm.example", "http://npm.example/", "https://user:key@npm.example/", "https://npm.example/?x", "file:///npm", "${URL}"] {
///     assert!(text(bad).is_err(), "{bad}");
/// }
/// ```
pub fn http(text: &str) -> Result<Url, NoAddress> {
    const FORM: &str = "write it like https://registry.example/path/";
    let refuse = |why: &str, hint| {
        let why = why.to_owned();
        Err(NoAddress { why, hint })
    };
    let mut text = text.to_owned();
    if !text.ends_with('/') {
        text.push('/');
    }
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(error) => return refuse(&error.to_string(), FORM),
    };
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_plain {
        return refuse(
            "it must not carry a user, a password, '?' or '#'",
            "give credentials through their own settings",
        );
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => refuse("plain http is for this machine only", "use https://"),
        _ => refuse("it does not start with https://", FORM),
    }
}

/// The address of a store: `s3://bucket/prefix` or `file:///dir`. It holds no credentials.
///
/// ```
/// use pkgs_action::settings::address::StoreAddress;
/// let text = |address: &str| StoreAddress::parse(address).map(|address| address.to_string());
/// assert_eq!(text("s3://releases/team/a/").unwrap(), "s3://releases/team/a");
/// assert_eq!(text("s3://releases").unwrap(), "s3://releases");
/// assert_eq!(text("file:///srv/releases/").unwrap(), "file:///srv/releases");
/// for bad in ["", "releases", "s3://", "s3://A", "s3://key:secret@bucket", "s3://bucket/../x", "s3://bucket/a//b", "s3://bucket?x",
///     "file://host/dir", "file://dir", "file:///a/../b", "file:///a?b", "https://bucket.s3.amazonaws.com/"] {
///     assert_eq!(text(bad).unwrap_err().code(), "settings::store_address", "{bad}");
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// A bucket of an S3-compatible server.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What every key starts with, without `/` at either end; empty for none.
        prefix: String,
    },
    /// A directory, by its absolute path.
    Directory(PathBuf),
}

impl StoreAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// `settings::store_address`, exit 2.
    pub fn parse(text: &str) -> Result<StoreAddress, Failure> {
        if let Some(rest) = text.strip_prefix("s3://") {
            parse_bucket(rest)
        } else if text.starts_with("file:") {
            directory(text).map(StoreAddress::Directory)
        } else {
            Err("it starts with neither s3:// nor file:///")
        }
        .map_err(|why| refused(text, why))
    }

    /// Whether one of the two holds the other, or both are the same place. Servers are not compared: one bucket name means one bucket.
    ///
    /// ```
    /// use pkgs_action::settings::address::StoreAddress;
    /// let overlap = |one: &str, other: &str| {
    ///     StoreAddress::parse(one).unwrap().overlaps(&StoreAddress::parse(other).unwrap())
    /// };
    /// assert!(overlap("s3://bucket", "s3://bucket/static") && overlap("s3://bucket/a", "s3://bucket/a"));
    /// assert!(overlap("file:///srv/www/store", "file:///srv/www"));
    /// assert!(!overlap("s3://bucket/a", "s3://bucket/ab") && !overlap("s3://one", "s3://other"));
    /// assert!(!overlap("file:///srv/store", "file:///srv/static") && !overlap("s3://bucket", "file:///bucket"));
    /// ```
    #[must_use]
    pub fn overlaps(&self, other: &StoreAddress) -> bool {
        match (self, other) {
            (
                StoreAddress::S3 { bucket, prefix },
                StoreAddress::S3 {
                    bucket: other_bucket,
                    prefix: other_prefix,
                },
            ) => {
                let (one, other) = (Path::new(prefix), Path::new(other_prefix));
                bucket == other_bucket && (one.starts_with(other) || other.starts_with(one))
            }
            (StoreAddress::Directory(one), StoreAddress::Directory(other)) => {
                one.starts_with(other) || other.starts_with(one)
            }
            _ => false,
        }
    }
}

impl StoreAddress {
    /// The address as it is read again; what [`fmt::Display`] gives is for people.
    ///
    /// ```
    /// use pkgs_action::settings::address::StoreAddress;
    /// let address = StoreAddress::parse("file:///srv/a%20%2525").unwrap();
    /// assert_eq!(address.written(), "file:///srv/a%20%2525");
    /// assert_eq!(StoreAddress::parse("s3://acme/mono/").unwrap().written(), "s3://acme/mono");
    /// ```
    #[must_use]
    pub fn written(&self) -> String {
        let as_url = match self {
            StoreAddress::S3 { .. } => None,
            StoreAddress::Directory(path) => Url::from_file_path(path).ok(),
        };
        as_url.map_or_else(|| self.to_string(), String::from)
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreAddress::S3 { bucket, prefix } if prefix.is_empty() => {
                write!(formatter, "s3://{bucket}")
            }
            StoreAddress::S3 { bucket, prefix } => write!(formatter, "s3://{bucket}/{prefix}"),
            StoreAddress::Directory(path) => write!(formatter, "file://{}", path.display()),
        }
    }
}

fn refused(text: &str, why: &str) -> Failure {
    // Who puts a credential into an address by mistake shall not find it in a log.
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => text.to_owned(),
    };
    Failure::new(
        Exit::Usage,
        "settings::store_address",
        format!("{} is not the address of a store", quoted(&shown)),
    )
    .because(why)
    .hint("write s3://bucket/prefix or file:///absolute/directory")
}

fn parse_bucket(rest: &str) -> Result<StoreAddress, &'static str> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') {
        return Err("credentials do not belong into an address");
    }
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = (3..=63).contains(&bucket.len())
        && bucket
            .bytes()
            .all(|byte| letter_or_digit(&byte) || byte == b'-' || byte == b'.')
        && bucket.as_bytes().first().is_some_and(letter_or_digit)
        && bucket.as_bytes().last().is_some_and(letter_or_digit)
        && !bucket.contains("..");
    if !good {
        return Err(
            "a bucket's name has 3 to 63 characters of a-z, 0-9, '-' and '.', with a letter or digit at both ends",
        );
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.contains(['?', '#']) {
        return Err("a prefix has no '?' or '#'");
    }
    if prefix.len() > LONGEST_PREFIX {
        return Err("its prefix is longer than 120 bytes");
    }
    if !prefix.is_empty() && Key::parse(prefix).is_err() {
        return Err("the parts of its prefix may not be empty, '.' or '..'");
    }
    Ok(StoreAddress::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

/// The directory of a `file:///` address.
///
/// # Errors
/// Why it is none.
pub fn directory(text: &str) -> Result<PathBuf, &'static str> {
    if !text.starts_with("file:///") {
        return Err("a directory is written with three slashes and its absolute path");
    }
    if text.split('/').any(|part| part == "." || part == "..") {
        return Err("the parts of its path may not be '.' or '..'");
    }
    let url = Url::parse(text).map_err(|_| "it is not a URL")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("write '?' as %3F and '#' as %23");
    }
    let path = url
        .to_file_path()
        .map_err(|()| "it names no path on this machine")?;
    if path
        .components()
        .any(|part| part == std::path::Component::ParentDir)
        || path.as_os_str().as_encoded_bytes().contains(&0)
    {
        return Err("the parts of its path may not be '..' or hold a zero byte");
    }
    // Collecting the components drops a final slash.
    Ok(path.components().collect())
}
