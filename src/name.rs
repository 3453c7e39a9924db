//! Names, checked where they are made: whoever holds one may put it into a path, a ref, a key or a log line.
//!
//! Every name has `parse`, which refuses anything outside its grammar and never repairs.

use std::fmt;

use crate::explain::{Exit, Failure, quoted};

/// Declares a checked string: construction through `parse` only, ordering and display by its text. One that writes a sum down keeps its bytes beside.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident $([$length:literal])?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String $(, [u8; $length])?);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Bytes as lowercase hexadecimal digits.
///
/// ```
/// assert_eq!(pkgs_action::name::hexadecimal(&[0, 0xa1]), "00a1");
/// ```
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes that hexadecimal digits, large or small, stand for; `None` for anything else.
///
/// ```
/// use pkgs_action::name::from_hexadecimal;
/// assert_eq!(from_hexadecimal("00Af"), Some(vec![0, 0xaf]));
/// for bad in ["0", "0g", "+f", "é"] {
///     assert_eq!(from_hexadecimal(bad), None, "{bad}");
/// }
/// ```
#[must_use]
pub fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks() else {
        return None;
    };
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(value(*high)? << 4 | value(*low)?).ok();
    pairs.iter().map(byte).collect()
}

/// The bytes of a sum that has so many.
fn sum<const LENGTH: usize>(bytes: Option<Vec<u8>>) -> Option<[u8; LENGTH]> {
    bytes?.try_into().ok()
}

fn refused(code: &'static str, kind: &str, text: &str, rule: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        code,
        format!("{} is not a {kind}: {rule}", quoted(text)),
    )
}

checked_string! {
    /// An npm package name: `name` or `@scope/name`.
    ///
    /// Stricter than npm's own check for new names: each part starts with a lowercase letter or digit and consists of
    /// `a-z 0-9 . _ -`, without `..` and without a final `.`, so that it is safe in a git ref and a path; at most 214 characters.
    ///
    /// ```
    /// use pkgs_action::name::PackageName;
    /// assert_eq!(PackageName::parse("@org/koa-kkl").unwrap().without_scope(), "koa-kkl");
    /// for bad in ["", "../x", "@../a", "A", "a..b", "a.", "-rf", "node_modules", "a b", "@s/", "a/b"] {
    ///     assert!(PackageName::parse(bad).is_err(), "{bad}");
    /// }
    /// ```
    PackageName
}

impl PackageName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<PackageName, Failure> {
        const LONGEST: usize = 214;
        let refuse = |rule: &str| {
            Err(refused("name::package", "package name", text, rule)
                .hint("rename it, for example my-package or @scope/my-package"))
        };
        if text.len() > LONGEST {
            return refuse("it is longer than 214 characters");
        }
        if text == "node_modules" || text == "favicon.ico" {
            return refuse("npm reserves it");
        }
        let parts: Vec<&str> = match text.strip_prefix('@') {
            Some(scoped) => scoped.splitn(2, '/').collect(),
            None => vec![text],
        };
        if text.starts_with('@') && parts.len() != 2 {
            return refuse("a scope is followed by / and a name");
        }
        for part in parts {
            if !part.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            {
                return refuse("each part starts with a lowercase letter or a digit");
            }
            if !part.chars().all(|character| {
                character.is_ascii_lowercase()
                    || character.is_ascii_digit()
                    || "._-".contains(character)
            }) {
                return refuse("only a-z, 0-9, '.', '_' and '-' may occur");
            }
            if part.contains("..") || part.ends_with('.') {
                return refuse("'..' and a final '.' cannot be in a git tag");
            }
        }
        Ok(PackageName(text.to_owned()))
    }

    /// The name without its scope: what file names are made of.
    #[must_use]
    pub fn without_scope(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The scope with its `@`, if there is one.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.0.split_once('/').map(|(scope, _)| scope)
    }

    /// The name as npm spells it in file names: `@org/a` → `org-a`.
    #[must_use]
    pub fn as_file_name(&self) -> String {
        self.0.trim_start_matches('@').replace('/', "-")
    }
}

checked_string! {
    /// An environment: `a-z 0-9 -`, starting with a letter, at most 40 characters.
    EnvironmentName
}

impl EnvironmentName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<EnvironmentName, Failure> {
        let good = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.len() <= 40
            && text.chars().all(|character| {
                character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
            });
        if !good || text == "any" {
            return Err(Failure::new(Exit::Usage, "name::environment", format!("{} is not an environment name", quoted(text)))
                .hint("use lowercase letters, digits and '-', for example stable, sit, pre or prod; 'any' is reserved"));
        }
        Ok(EnvironmentName(text.to_owned()))
    }
}

checked_string! {
    /// A git tag name, without `refs/tags/`. Follows git-check-ref-format(1), and may not look like an option.
    TagName
}

impl TagName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<TagName, Failure> {
        let refuse = |rule: &str| Err(refused("name::tag", "tag name", text, rule));
        if text.is_empty() || text.len() > 400 {
            return refuse("it is empty or too long");
        }
        if text.starts_with('-')
            || text.starts_with('/')
            || text.ends_with('/')
            || text.ends_with('.')
            || text == "@"
        {
            return refuse("git does not allow it at the start or the end");
        }
        let forbidden = |byte: u8| {
            byte.is_ascii_control()
                || matches!(byte, b' ' | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\')
        };
        let is_control = |character: char| !character.is_ascii() && character.is_control();
        if text.bytes().any(forbidden) || (!text.is_ascii() && text.contains(is_control)) {
            return refuse("git does not allow one of its characters");
        }
        let mut pairs = text.as_bytes().windows(2);
        let hidden = |part: &str| part.starts_with('.') || part.strip_suffix(".lock").is_some();
        if pairs.any(|pair| matches!(pair, b".." | b"//" | b"@{")) || text.split('/').any(hidden) {
            return refuse(
                "git does not allow '..', '//', '@{', a part that starts with '.' or ends with '.lock'",
            );
        }
        Ok(TagName(text.to_owned()))
    }

    /// The full name of its ref.
    #[must_use]
    pub fn as_ref_name(&self) -> String {
        format!("refs/tags/{}", self.0)
    }
}

checked_string! {
    /// The full id of a git commit: 40 lowercase hexadecimal digits.
    CommitId
}

impl CommitId {
    /// Checks an id.
    pub fn parse(text: &str) -> Result<CommitId, Failure> {
        if !is_lower_hex(text, 40) {
            return Err(refused(
                "name::commit",
                "commit id",
                text,
                "it has 40 lowercase hexadecimal digits",
            ));
        }
        Ok(CommitId(text.to_owned()))
    }

    /// The first 7 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

checked_string! {
    /// The id of a release: `<yyyymmdd of its commit, UTC>-<first 12 digits of its commit>`.
    ReleaseId
}

impl ReleaseId {
    /// Checks an id.
    pub fn parse(text: &str) -> Result<ReleaseId, Failure> {
        let good = text.split_once('-').is_some_and(|(day, commit)| {
            day.len() == 8
                && day.bytes().all(|byte| byte.is_ascii_digit())
                && is_lower_hex(commit, 12)
        });
        if !good {
            return Err(refused(
                "name::release",
                "release id",
                text,
                "it looks like 20260131-0123456789ab",
            ));
        }
        Ok(ReleaseId(text.to_owned()))
    }

    /// The id of the release whose commit is `commit`, made at `day` (`yyyymmdd`, UTC).
    #[must_use]
    pub fn of(commit: &CommitId, day: &str) -> ReleaseId {
        ReleaseId(format!("{day}-{}", &commit.0[..12]))
    }
}

checked_string! {
    /// A path inside the repository: relative, `/`-separated, no empty, `.` or `..` parts; the root itself is empty.
    RepoPath
}

impl RepoPath {
    /// Checks a path.
    pub fn parse(text: &str) -> Result<RepoPath, Failure> {
        let refuse = |rule: &str| {
            Err(refused(
                "name::path",
                "path inside the repository",
                text,
                rule,
            ))
        };
        if text.is_empty() {
            return Ok(RepoPath(String::new()));
        }
        if text.chars().any(char::is_control) || text.contains('\\') {
            return refuse("control characters and backslashes are not allowed");
        }
        if text.split('/').any(|part| {
            part.is_empty() || part == "." || part == ".." || part.eq_ignore_ascii_case(".git")
        }) {
            return refuse("its parts may not be empty, '.', '..' or '.git'");
        }
        Ok(RepoPath(text.to_owned()))
    }

    /// The repository's root.
    #[must_use]
    pub fn root() -> RepoPath {
        RepoPath(String::new())
    }

    /// Whether this is the repository's root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of `name` (a checked relative path) below this one.
    pub fn join(&self, name: &str) -> Result<RepoPath, Failure> {
        if self.is_root() {
            RepoPath::parse(name)
        } else {
            RepoPath::parse(&format!("{}/{name}", self.0))
        }
    }

    /// Whether this path lies at or below `directory`.
    ///
    /// ```
    /// use pkgs_action::name::RepoPath;
    /// let path = |text| RepoPath::parse(text).unwrap();
    /// assert!(path("packages/a/x.js").is_below(&path("packages/a")));
    /// assert!(!path("packages/ab/x.js").is_below(&path("packages/a")));
    /// assert!(path("x.js").is_below(&RepoPath::root()));
    /// ```
    #[must_use]
    pub fn is_below(&self, directory: &RepoPath) -> bool {
        directory.is_root()
            || self.0 == directory.0
            || self
                .0
                .strip_prefix(&directory.0)
                .is_some_and(|rest| rest.starts_with('/'))
    }

    /// The path for people: `.` for the root.
    #[must_use]
    pub fn display(&self) -> &str {
        if self.is_root() { "." } else { &self.0 }
    }
}

checked_string! {
    /// A key in a store, below its prefix: `/`-separated, at most 900 bytes, no empty, `.` or `..` parts, no control characters.
    ///
    /// Keys of our own making are plain ASCII; keys of static files carry whatever characters the files have.
    Key
}

impl Key {
    /// Checks a key.
    pub fn parse(text: &str) -> Result<Key, Failure> {
        let good = !text.is_empty()
            && text.len() <= 900
            && !text
                .chars()
                .any(|character| character.is_control() || character == '\\')
            && text
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != "..");
        if !good {
            return Err(refused(
                "name::key",
                "key",
                text,
                "its parts may not be empty, '.' or '..', and it has at most 900 bytes",
            ));
        }
        Ok(Key(text.to_owned()))
    }
}

checked_string! {
    /// A sha256 digest, written `sha256:<64 lowercase hexadecimal digits>`.
    Digest[32]
}

impl Digest {
    /// Checks a digest.
    pub fn parse(text: &str) -> Result<Digest, Failure> {
        let hex = text.strip_prefix("sha256:");
        let hex = hex.filter(|hex| is_lower_hex(hex, 64));
        let Some(sum) = sum(hex.and_then(from_hexadecimal)) else {
            return Err(refused(
                "name::digest",
                "digest",
                text,
                "it looks like sha256: and 64 lowercase hexadecimal digits",
            ));
        };
        Ok(Digest(text.to_owned(), sum))
    }

    /// The digest of `bytes`.
    ///
    /// ```
    /// use pkgs_action::name::Digest;
    /// assert_eq!(Digest::of(b"").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /// ```
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        use sha2::Digest as _;
        Digest::from_sha256(sha2::Sha256::digest(bytes))
    }

    /// The digest whose bytes are `sum`.
    #[must_use]
    pub fn from_sha256(sum: impl Into<[u8; 32]>) -> Digest {
        let sum = sum.into();
        Digest(format!("sha256:{}", hexadecimal(&sum)), sum)
    }

    /// The 64 digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The sum in base64.
    ///
    /// ```
    /// use pkgs_action::name::Digest;
    /// assert_eq!(Digest::of(b"").base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    /// ```
    #[must_use]
    pub fn base64(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(self.1)
    }
}

checked_string! {
    /// npm's `integrity`: `sha512-<base64 of 64 bytes>`.
    Integrity[64]
}

impl Integrity {
    /// Checks an integrity.
    pub fn parse(text: &str) -> Result<Integrity, Failure> {
        use base64::Engine as _;
        let decoded = text
            .strip_prefix("sha512-")
            .and_then(|sum| base64::engine::general_purpose::STANDARD.decode(sum).ok());
        let Some(sum) = sum(decoded) else {
            return Err(refused(
                "name::integrity",
                "sha512 integrity",
                text,
                "it looks like sha512- and 88 base64 characters",
            ));
        };
        Ok(Integrity(text.to_owned(), sum))
    }

    /// The integrity of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Integrity {
        use base64::Engine as _;
        use sha2::Digest as _;
        let sum = sha2::Sha512::digest(bytes);
        let text = base64::engine::general_purpose::STANDARD.encode(sum);
        Integrity(format!("sha512-{text}"), sum.into())
    }

    /// The sum in 128 hexadecimal digits.
    ///
    /// ```
    /// use pkgs_action::name::Integrity;
    /// assert!(Integrity::of(b"").hex().starts_with("cf83e1357eefb8bdf1542850d66d8007"));
    /// ```
    #[must_use]
    pub fn hex(&self) -> String {
        hexadecimal(&self.1)
    }
}

/// Which build of an app: one that any environment may run, or one made for a single environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// Made for no environment in particular; written `any`.
    Any,
    /// Made for this environment.
    Environment(EnvironmentName),
}

impl Variant {
    /// Checks a variant: `any` or an environment's name.
    pub fn parse(text: &str) -> Result<Variant, Failure> {
        if text == "any" {
            Ok(Variant::Any)
        } else {
            EnvironmentName::parse(text).map(Variant::Environment)
        }
    }

    /// As it is written in keys and manifests.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Variant::Any => "any",
            Variant::Environment(environment) => environment.as_str(),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(parse: impl Fn(&str) -> Result<T, Failure>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(parse(text).is_ok(), "refused: {text:?}");
        }
        for text in bad {
            assert!(parse(text).is_err(), "accepted: {text:?}");
        }
    }

    #[test]
    fn environments() {
        check(
            EnvironmentName::parse,
            &["prod", "pre", "eu-west-1"],
            &["", "Prod", "any", "a b", "-a", "../x", "1a"],
        );
    }

    #[test]
    fn tags() {
        check(
            TagName::parse,
            &["v1.2.3", "@x/a@1.0.0"],
            &["", "-a", "a..b", "a b", "x.lock", "a/.b", "a@{1}", "a:b"],
        );
    }

    #[test]
    fn paths() {
        check(
            RepoPath::parse,
            &["", "a", "a/b.js", ".github/x"],
            &[
                "/a",
                "a/",
                "a//b",
                "../a",
                "a/../b",
                ".git/config",
                "a/.GIT/x",
                "a\\b",
                "a\nb",
            ],
        );
    }

    #[test]
    fn digests_and_ids() {
        check(
            Digest::parse,
            &["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
            &[
                "",
                "sha256:",
                "sha1:00",
                "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            ],
        );
        check(
            ReleaseId::parse,
            &["20260131-0123456789ab"],
            &[
                "20260131",
                "2026013-0123456789ab",
                "20260131-0123456789aB",
                "20260131-../../../../x",
            ],
        );
        assert_eq!(Integrity::of(b"").as_str().len(), "sha512-".len() + 88);
        assert!(Integrity::parse(Integrity::of(b"x").as_str()).is_ok());
    }
}
