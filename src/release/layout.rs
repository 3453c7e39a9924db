//! The only place where a key of the store is spelled.
//!
//! ```
//! use pkgs_action::name::{EnvironmentName, PackageName};
//! use pkgs_action::release::layout;
//! let app = PackageName::parse("@org/koa-kkl").unwrap();
//! let prod = EnvironmentName::parse("prod").unwrap();
//! assert_eq!(layout::log_entry(&app, &prod, 42).as_str(), "v1/apps/@org/koa-kkl/environments/prod/log/000000000042.json");
//! ```

use crate::name::{CommitId, Digest, EnvironmentName, Key, PackageName, ReleaseId, Variant};
use crate::release::app::Encoding;
use crate::version::Version;

fn key(text: &str) -> Key {
    Key::parse(text)
        .unwrap_or_else(|failure| unreachable!("checked names make checked keys: {failure}"))
}

/// Which repository owns this prefix; written once.
#[must_use]
pub fn repository() -> Key {
    key("v1/repository.json")
}

/// Bytes by their digest.
#[must_use]
pub fn blob(digest: &Digest) -> Key {
    let hex = digest.hex();
    key(&format!("v1/blobs/sha256/{}/{hex}", &hex[..2]))
}

/// What bytes a release consists of; `plan` is the plan's digest.
#[must_use]
pub fn seal(base: &CommitId, plan: &Digest) -> Key {
    key(&format!("v1/seals/{base}/{}.json", plan.hex()))
}

/// The record of a release, complete or abandoned.
#[must_use]
pub fn release(id: &ReleaseId) -> Key {
    key(&format!("v1/releases/{id}.json"))
}

/// The prefix of all bytes that lie below their digests, for listing.
pub const BLOBS: &str = "v1/blobs/sha256/";

/// The prefix of all seals, for listing.
pub const SEALS: &str = "v1/seals/";

/// The prefix of what checks of the store leave, for listing.
pub const PROBES: &str = "v1/probe/";

/// The prefix of everything, for listing.
pub const EVERYTHING: &str = "v1/";

/// The digest of the bytes at `key`, if it is below one.
///
/// ```
/// use pkgs_action::name::{Digest, Key};
/// use pkgs_action::release::layout;
/// let digest = Digest::of(b"1");
/// assert_eq!(layout::blob_of(&layout::blob(&digest)), Some(digest));
/// assert!(layout::blob_of(&Key::parse("v1/blobs/sha256/ab/cd").unwrap()).is_none());
/// ```
#[must_use]
pub fn blob_of(key: &Key) -> Option<Digest> {
    let (_, hex) = key.as_str().strip_prefix(BLOBS)?.split_once('/')?;
    let digest = Digest::parse(&format!("sha256:{hex}")).ok()?;
    (blob(&digest) == *key).then_some(digest)
}

/// The prefix under which the bytes at `key` lie beside others, for listing.
#[must_use]
pub fn shelf_of(key: &Key) -> Option<&str> {
    let (shelf, _) = key.as_str().rsplit_once('/')?;
    key.as_str().get(..=shelf.len())
}

/// The prefix of all release manifests, for listing.
pub const RELEASES: &str = "v1/releases/";

/// The prefix of everything about apps, for listing.
pub const APPS: &str = "v1/apps/";

/// The app manifest of one build.
#[must_use]
pub fn app(app: &PackageName, version: &Version, variant: &Variant) -> Key {
    key(&format!("v1/apps/{app}/{version}/{variant}.json"))
}

/// The archive of one build under the name a person looks for: a copy of the blob.
#[must_use]
pub fn archive(app: &PackageName, version: &Version, variant: &Variant, encoding: Encoding) -> Key {
    key(&format!(
        "v1/apps/{app}/{version}/{}",
        archive_file_name(app, version, variant, encoding)
    ))
}

/// The file name of an archive.
///
/// ```
/// use pkgs_action::name::{PackageName, Variant};
/// use pkgs_action::release::app::Encoding;
/// use pkgs_action::release::layout;
/// use pkgs_action::version::Version;
/// let app = PackageName::parse("@org/koa-kkl").unwrap();
/// let version = Version::parse("1.4.2").unwrap();
/// let prod = Variant::parse("prod").unwrap();
/// assert_eq!(layout::archive_file_name(&app, &version, &Variant::Any, Encoding::Zstd), "koa-kkl-1.4.2.tar.zst");
/// assert_eq!(layout::archive_file_name(&app, &version, &prod, Encoding::Gzip), "koa-kkl-1.4.2-prod.tar.gz");
/// ```
#[must_use]
pub fn archive_file_name(
    app: &PackageName,
    version: &Version,
    variant: &Variant,
    encoding: Encoding,
) -> String {
    let (app, extension) = (app.without_scope(), encoding.extension());
    match variant {
        Variant::Any => format!("{app}-{version}.{extension}"),
        Variant::Environment(environment) => format!("{app}-{version}-{environment}.{extension}"),
    }
}

/// What makes the tar of the build `variant` of version `to` from that of version `from`; derived, never required.
///
/// ```
/// use pkgs_action::name::{PackageName, Variant};
/// use pkgs_action::release::layout;
/// use pkgs_action::version::Version;
/// let app = PackageName::parse("@org/web").unwrap();
/// let version = |text| Version::parse(text).unwrap();
/// let of = |variant| layout::delta(&app, &version("1.1.0"), &version("1.0.0"), &variant);
/// let (any, prod) = (of(Variant::Any), of(Variant::parse("prod").unwrap()));
/// assert_eq!(any.as_str(), "v1/apps/@org/web/deltas/1.1.0/1.0.0.zst");
/// assert_eq!(prod.as_str(), "v1/apps/@org/web/deltas/1.1.0/1.0.0/prod.zst");
/// for key in [any, prod] {
///     assert_eq!(layout::delta_of(&key), Some((app.clone(), version("1.1.0"), version("1.0.0"))));
///     assert!(layout::archive_of(&key).is_none() && layout::build_of(&key).is_none());
/// }
/// ```
#[must_use]
pub fn delta(app: &PackageName, to: &Version, from: &Version, variant: &Variant) -> Key {
    let start = format!("v1/apps/{app}/deltas/{to}/{from}");
    match variant {
        Variant::Any => key(&format!("{start}.zst")),
        Variant::Environment(environment) => key(&format!("{start}/{environment}.zst")),
    }
}

/// The app, and the versions to which and from which the delta at `key` leads, if one lies there.
#[must_use]
pub fn delta_of(key: &Key) -> Option<(PackageName, Version, Version)> {
    let (app, rest) = key.as_str().strip_prefix(APPS)?.split_once("/deltas/")?;
    let (to, rest) = rest.strip_suffix(".zst")?.split_once('/')?;
    let from = rest.split_once('/').map_or(rest, |(from, _)| from);
    Some((
        PackageName::parse(app).ok()?,
        Version::parse(to).ok()?,
        Version::parse(from).ok()?,
    ))
}

fn environment_prefix(app: &PackageName, environment: &EnvironmentName) -> String {
    format!("v1/apps/{app}/environments/{environment}")
}

/// The prefix of everything about an app's environments, for listing.
#[must_use]
pub fn environments(app: &PackageName) -> String {
    format!("v1/apps/{app}/environments/")
}

/// The prefix of everything about an app, for listing.
#[must_use]
pub fn builds(app: &PackageName) -> String {
    format!("v1/apps/{app}/")
}

/// The prefix of everything about one version of an app, for listing.
#[must_use]
pub fn version(app: &PackageName, version: &Version) -> String {
    format!("v1/apps/{app}/{version}/")
}

/// The build whose app manifest lies at `key`, if one does.
///
/// ```
/// use pkgs_action::name::Key;
/// use pkgs_action::release::layout;
/// let (app, version, variant) = layout::build_of(&Key::parse("v1/apps/@org/web/1.4.2/any.json").unwrap()).unwrap();
/// assert_eq!((app.as_str(), version.to_string().as_str(), variant.as_str()), ("@org/web", "1.4.2", "any"));
/// assert!(layout::build_of(&Key::parse("v1/apps/web/environments/prod/current.json").unwrap()).is_none());
/// ```
#[must_use]
pub fn build_of(key: &Key) -> Option<(PackageName, Version, Variant)> {
    let (rest, file) = key.as_str().strip_prefix(APPS)?.rsplit_once('/')?;
    let (app, version) = rest.rsplit_once('/')?;
    Some((
        PackageName::parse(app).ok()?,
        Version::parse(version).ok()?,
        Variant::parse(file.strip_suffix(".json")?).ok()?,
    ))
}

/// The version whose archive lies at `key` under the name that people look for, if one does.
///
/// ```
/// use pkgs_action::name::Key;
/// use pkgs_action::release::layout;
/// let (app, version) = layout::archive_of(&Key::parse("v1/apps/@org/web/1.4.2/web-1.4.2-prod.tar.zst").unwrap()).unwrap();
/// assert_eq!((app.as_str(), version.to_string().as_str()), ("@org/web", "1.4.2"));
/// assert!(layout::archive_of(&Key::parse("v1/apps/@org/web/1.4.2/any.json").unwrap()).is_none());
/// assert!(layout::archive_of(&Key::parse("v1/apps/web/1.4.2/notes.txt").unwrap()).is_none());
/// ```
#[must_use]
pub fn archive_of(key: &Key) -> Option<(PackageName, Version)> {
    let (rest, file) = key.as_str().strip_prefix(APPS)?.rsplit_once('/')?;
    let (app, version) = rest.rsplit_once('/')?;
    let app = PackageName::parse(app).ok()?;
    let beginning = format!("{}-{version}", app.without_scope());
    let rest = file.strip_prefix(&beginning)?;
    let is_archive = rest.ends_with(".tar.zst") || rest.ends_with(".tar.gz");
    Some((app, Version::parse(version).ok()?)).filter(|_| is_archive)
}

/// One entry of the pointer log. Numbers have 12 digits so that byte order is number order.
#[must_use]
pub fn log_entry(app: &PackageName, environment: &EnvironmentName, seq: u64) -> Key {
    key(&format!(
        "{}/log/{seq:012}.json",
        environment_prefix(app, environment)
    ))
}

/// The prefix of a pointer log, for listing.
#[must_use]
pub fn log(app: &PackageName, environment: &EnvironmentName) -> String {
    format!("{}/log/", environment_prefix(app, environment))
}

/// The number of the log entry at `key`, if it is one.
#[must_use]
pub fn log_entry_seq(key: &Key) -> Option<u64> {
    let (_, name) = key.as_str().rsplit_once("/log/")?;
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// A hint at the newest log entry; may lag, may be lost.
#[must_use]
pub fn current(app: &PackageName, environment: &EnvironmentName) -> Key {
    key(&format!(
        "{}/current.json",
        environment_prefix(app, environment)
    ))
}

/// Which static set is fully applied.
#[must_use]
pub fn static_state(app: &PackageName, environment: &EnvironmentName) -> Key {
    key(&format!(
        "{}/static.json",
        environment_prefix(app, environment)
    ))
}

/// What one host reports; `host` is a checked host name.
pub fn host(
    app: &PackageName,
    environment: &EnvironmentName,
    host: &str,
) -> Result<Key, crate::explain::Failure> {
    Key::parse(&format!(
        "{}/hosts/{host}.json",
        environment_prefix(app, environment)
    ))
}

/// The prefix of what hosts report of an app in an environment, for listing.
#[must_use]
pub fn hosts(app: &PackageName, environment: &EnvironmentName) -> String {
    format!("{}/hosts/", environment_prefix(app, environment))
}

/// The app and environment that a key below `apps/` belongs to, for listing what exists.
///
/// ```
/// use pkgs_action::name::Key;
/// use pkgs_action::release::layout;
/// let key = Key::parse("v1/apps/@org/web/environments/prod/log/000000000001.json").unwrap();
/// let (app, environment) = layout::environment_of(&key).unwrap();
/// assert_eq!((app.as_str(), environment.as_str()), ("@org/web", "prod"));
/// ```
#[must_use]
pub fn environment_of(key: &Key) -> Option<(PackageName, EnvironmentName)> {
    let (app, rest) = key
        .as_str()
        .strip_prefix(APPS)?
        .split_once("/environments/")?;
    let (environment, _) = rest.split_once('/')?;
    Some((
        PackageName::parse(app).ok()?,
        EnvironmentName::parse(environment).ok()?,
    ))
}

/// Whether an object at `key` is written once: whoever has read it has read it for ever.
///
/// ```
/// use pkgs_action::name::Key;
/// use pkgs_action::release::layout::is_written_once;
/// let once = |text: &str| is_written_once(&Key::parse(text).unwrap());
/// assert!(once("v1/repository.json") && once("v1/releases/20260102-0123456789ab.json") && once("v1/blobs/sha256/ab/abcd"));
/// assert!(once("v1/apps/@org/web/1.4.2/any.json") && once("v1/apps/web/environments/prod/log/000000000001.json"));
/// assert!(!once("v1/apps/web/environments/prod/current.json") && !once("v1/apps/web/environments/prod/static.json"));
/// assert!(!once("v1/apps/web/environments/prod/hosts/a.json") && !once("v1/probe/1") && !once("v1/board.html"));
/// ```
#[must_use]
pub fn is_written_once(key: &Key) -> bool {
    let written_once = ["v1/blobs/", "v1/seals/", RELEASES];
    let text = key.as_str();
    *key == repository()
        || written_once.iter().any(|prefix| text.starts_with(prefix))
        || build_of(key).is_some()
        || (environment_of(key).is_some() && log_entry_seq(key).is_some())
}

/// The release board in the store.
#[must_use]
pub fn board() -> Key {
    key("v1/board.html")
}

/// The release board at an address of its own: the page that servers show for it.
#[must_use]
pub fn board_page() -> Key {
    key("index.html")
}

/// A key that is tried in a static root or where the board is to lie: right below it, so that no directory is left behind.
#[must_use]
pub fn root_probe(nonce: &str) -> Key {
    key(&format!("pkgs-action-probe-{nonce}"))
}

/// A key that writers race on before a store is trusted.
#[must_use]
pub fn probe(nonce: &str) -> Key {
    key(&format!("v1/probe/{nonce}"))
}
