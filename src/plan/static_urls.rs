//! Under which addresses static files are known to browsers and CDNs, and which of them have changed.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

use crate::explain::Failure;
use crate::name::{Digest, EnvironmentName, PackageName};
use crate::plan::static_root;
use crate::release::static_set::{Class, StaticFile, StaticSet};

/// What is encoded in the path of an address: what [`CloudFront`](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html)
/// asks for – bytes beyond ASCII and what RFC 1738 calls unsafe, and nothing else, or it does not find its copy – and `?`, behind which a
/// path would end.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'~');

/// The page that a directory answers with.
const INDEX: &str = "index.html";

/// The public address of the static files of one app in one environment, with a `/` at its end: `static-url` with its placeholders
/// replaced.
///
/// ```
/// use pkgs_action::name::{EnvironmentName, PackageName};
/// use pkgs_action::plan::static_urls::public;
/// let web = PackageName::parse("@org/web").unwrap();
/// let prod = EnvironmentName::parse("prod").unwrap();
/// assert_eq!(public("https://static.example/{environment}", &web, &prod).unwrap(), "https://static.example/prod/");
/// ```
///
/// # Errors
/// `static::placeholder`, exit 2.
pub fn public(
    url: &str,
    app: &PackageName,
    environment: &EnvironmentName,
) -> Result<String, Failure> {
    let resolved = static_root::resolve(url, app, environment)?;
    Ok(format!("{}/", resolved.trim_end_matches('/')))
}

/// The paths under which browsers and CDNs know files of a static root, each starting with `/`, in order: the path of its public address
/// `url`, which is `/` where none is known, and the path below the root. A page that its directory answers with is known under that, too.
///
/// ```
/// use pkgs_action::plan::static_urls::paths;
/// assert_eq!(paths(None, ["a b.js", "docs/index.html"]), ["/a%20b.js", "/docs/", "/docs/index.html"]);
/// assert_eq!(paths(Some("https://example.org/web/"), ["a.js"]), ["/web/a.js"]);
/// ```
#[must_use]
pub fn paths<'a>(url: Option<&str>, files: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let url = url.and_then(|url| Url::parse(url).ok());
    let base = url
        .as_ref()
        .map_or("", |url| url.path().trim_end_matches('/'));
    let mut paths = BTreeSet::new();
    for file in files {
        let path = format!("{base}/{}", utf8_percent_encode(file, ENCODED));
        if file.rsplit('/').next() == Some(INDEX) {
            paths.insert(path[..path.len() - INDEX.len()].to_owned());
        }
        paths.insert(path);
    }
    paths.into_iter().collect()
}

/// The files of `set` of which a CDN may hold old copies: those that differ from any of the sets that were laid out or begun `before`
/// it, and those that were `written` now. An immutable file that was in none of them is new, and nobody has a copy of it.
#[must_use]
pub fn changed<'a>(
    set: &'a StaticSet,
    before: &[StaticSet],
    written: &BTreeSet<String>,
) -> Vec<&'a str> {
    let mut known: BTreeMap<&str, Vec<&StaticFile>> = BTreeMap::new();
    for file in before.iter().flat_map(|set| &set.files) {
        known.entry(&file.path).or_default().push(file);
    }
    let is_changed = |file: &&StaticFile| {
        let was = known.get(file.path.as_str()).map_or(&[][..], Vec::as_slice);
        let differs = was.iter().any(|was| *was != *file);
        if file.class == Class::Immutable {
            return differs;
        }
        let was_there = !before.is_empty() && was.len() == before.len();
        differs || !was_there || written.contains(&file.path)
    };
    let changed = set.files.iter().filter(is_changed);
    changed.map(|file| file.path.as_str()).collect()
}

/// Under which name a CDN is told about changes: the same as long as the same is to be told, so that telling it again does nothing.
///
/// `last` is the digest of what `static.json` held before. Whoever wrote files names its run in `run`: what others may have laid out
/// between two runs must be forgotten once more.
#[must_use]
pub fn reference(
    app: &PackageName,
    environment: &EnvironmentName,
    seq: u64,
    set: &Digest,
    last: Option<&Digest>,
    run: Option<&str>,
    paths: &[String],
) -> String {
    let mut text = [
        app.as_str(),
        environment.as_str(),
        &seq.to_string(),
        set.as_str(),
        last.map_or("none", Digest::as_str),
        run.unwrap_or("none"),
    ]
    .join("\n");
    for path in paths {
        text.push('\n');
        text.push_str(path);
    }
    let digest = Digest::of(text.as_bytes());
    format!("pkgs-{seq}-{}", &digest.hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::static_set;

    #[test]
    fn only_what_is_unsafe_is_encoded() {
        let check = |file: &str, path: &str| assert_eq!(paths(None, [file]), [path], "{file}");
        check("js/app.js", "/js/app.js");
        check("a b.js", "/a%20b.js");
        check("é.css", "/%C3%A9.css");
        check("100%.txt", "/100%25.txt");
        check("a?b#c.js", "/a%3Fb%23c.js");
        check("~me/[id].html", "/%7Eme/%5Bid%5D.html");
        check(
            "@scope/a+b,c;d=e&f!$'()*.js",
            "/@scope/a+b,c;d=e&f!$'()*.js",
        );
    }

    #[test]
    fn pages_of_directories_are_known_under_these_too() {
        let check = |url, expected: &[&str]| {
            assert_eq!(
                paths(url, ["index.html", "a/index.html", "my-index.html"]),
                expected
            );
        };
        check(
            None,
            &["/", "/a/", "/a/index.html", "/index.html", "/my-index.html"],
        );
        check(
            Some("https://example.org/web/prod/"),
            &[
                "/web/prod/",
                "/web/prod/a/",
                "/web/prod/a/index.html",
                "/web/prod/index.html",
                "/web/prod/my-index.html",
            ],
        );
    }

    fn set(files: &[(&str, &str)]) -> StaticSet {
        let file = |(path, text): &(&str, &str)| StaticFile {
            path: (*path).to_owned(),
            class: if path.contains("hash") {
                Class::Immutable
            } else {
                Class::Mutable
            },
            digest: Digest::of(text.as_bytes()).to_string(),
            size: 1,
            content_type: "text/plain".to_owned(),
            cache_control: "no-cache".to_owned(),
            content_encoding: None,
        };
        StaticSet {
            schema: static_set::SCHEMA.to_owned(),
            files: files.iter().map(file).collect(),
        }
    }

    #[test]
    fn exactly_what_may_be_old_is_changed() {
        let now = set(&[("a", "1"), ("b", "1"), ("c", "1"), ("hash1", "1")]);
        let check = |before: &[&[(&str, &str)]], written: &[&str], expected: &[&str]| {
            let before: Vec<StaticSet> = before.iter().map(|files| set(files)).collect();
            let written = written.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(changed(&now, &before, &written), expected, "{before:?}");
        };
        let same: &[(&str, &str)] = &[("a", "1"), ("b", "1"), ("c", "1"), ("hash1", "1")];
        // Nothing is known: everything that may change.
        check(&[], &[], &["a", "b", "c"]);
        check(&[same], &[], &[]);
        check(&[&[("a", "1"), ("b", "2"), ("c", "1")]], &[], &["b"]);
        // Put back by us: copies may have been made of what lay there meanwhile.
        check(&[same], &["b", "hash1"], &["b"]);
        // A run between began with another set, and never told anybody.
        check(&[same, &[("a", "2"), ("b", "1"), ("c", "1")]], &[], &["a"]);
        // What was not there answered with an error, which is copied too.
        check(&[&[("a", "1"), ("b", "1")]], &[], &["c"]);
    }

    #[test]
    fn a_reference_is_the_same_while_the_same_is_told() {
        let app = PackageName::parse("web").unwrap();
        let prod = EnvironmentName::parse("prod").unwrap();
        let digest = |text: &str| Digest::of(text.as_bytes());
        let paths = ["/a".to_owned()];
        let of = |seq, set: &str, last: &str, run| {
            let (set, last) = (digest(set), digest(last));
            reference(&app, &prod, seq, &set, Some(&last), run, &paths)
        };
        let first = of(7, "set", "last", None);
        assert!(first.starts_with("pkgs-7-"), "{first}");
        assert_eq!(first, of(7, "set", "last", None));
        for other in [
            of(8, "set", "last", None),
            of(7, "other", "last", None),
            of(7, "set", "other", None),
            of(7, "set", "last", Some("run")),
        ] {
            assert_ne!(first, other);
        }
    }
}
