//! Static files: the class of each, which decides when it is laid out and how long a cache may keep it, and its headers.
//!
//! A file that changes but is cached for ever cannot be taken back, so what is in doubt is mutable.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::explain::{Exit, Failure, quoted};
use crate::name::{Digest, Key};
use crate::release::static_set::{Class, SCHEMA, StaticFile, StaticSet};

/// Files that tell open pages that something new is there, wherever they lie.
const LAST: [&str; 6] = [
    "sw.js",
    "service-worker.js",
    "serviceworker.js",
    "ngsw-worker.js",
    "ngsw.json",
    "version.json",
];

/// Content types where `mime_guess` knows none, or one that browsers do not take.
const CONTENT_TYPES: [(&str, &str); 22] = [
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    ("cjs", "text/javascript"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("json5", "application/json5"),
    ("webmanifest", "application/manifest+json"),
    ("wasm", "application/wasm"),
    ("ftl", "text/plain"),
    ("md", "text/markdown"),
    ("vtt", "text/vtt"),
    ("ico", "image/x-icon"),
    ("svg", "image/svg+xml"),
    ("avif", "image/avif"),
    ("webp", "image/webp"),
    ("jxl", "image/jxl"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
];

const UNKNOWN: &str = "application/octet-stream";
const UTF_8: &str = "; charset=utf-8";

/// Endings of compressed copies, and the `Content-Encoding` of each.
const ENCODINGS: [(&str, &str); 3] = [(".br", "br"), (".gz", "gzip"), (".zst", "zstd")];

/// The settings `immutable` and `mutable`, compiled.
///
/// Globs match whole paths below `dist`: `*` stops at `/`, `**` does not, case counts.
#[derive(Debug, Clone)]
pub struct Classes {
    immutable: GlobSet,
    mutable: GlobSet,
}

impl Classes {
    /// Reads the globs.
    ///
    /// # Errors
    /// `static::glob`, exit 2.
    pub fn new(immutable: &[String], mutable: &[String]) -> Result<Classes, Failure> {
        Ok(Classes {
            immutable: compile("immutable", immutable)?,
            mutable: compile("mutable", mutable)?,
        })
    }

    /// The class of the file at `path` below `dist`.
    ///
    /// Pages and files that announce a new build keep their class whatever the globs say; of two globs, `mutable` wins.
    #[must_use]
    pub fn of(&self, path: &str) -> Class {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_page = matches!(extension(name).as_deref(), Some("html" | "htm"));
        if LAST.contains(&name) {
            Class::Last
        } else if is_page {
            Class::Html
        } else if self.mutable.is_match(path) {
            Class::Mutable
        } else if self.immutable.is_match(path) || has_hash(name) {
            Class::Immutable
        } else {
            Class::Mutable
        }
    }
}

/// Globs of files below `dist`, compiled once.
///
/// # Errors
/// `static::glob`, exit 2.
pub fn globs(globs: &[String]) -> Result<GlobSet, Failure> {
    compile("dist-in-archive", globs)
}

fn compile(setting: &str, globs: &[String]) -> Result<GlobSet, Failure> {
    let refused = |glob: &str, error: globset::Error| {
        Failure::new(
            Exit::Usage,
            "static::glob",
            format!(
                "the setting {setting} has a glob that cannot be read: {}",
                quoted(glob)
            ),
        )
        .because(error)
    };
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let compiled = GlobBuilder::new(glob)
            .literal_separator(true)
            .build()
            .map_err(|error| refused(glob, error))?;
        set.add(compiled);
    }
    set.build()
        .map_err(|error| refused(&globs.join(" "), error))
}

/// The class of one file; [`Classes`] for many.
///
/// # Errors
/// `static::glob`, exit 2.
///
/// ```
/// use pkgs_action::plan::static_files::classify;
/// use pkgs_action::release::static_set::Class;
/// let class = |path| classify(path, &[], &[]).unwrap();
/// assert_eq!(class("dist/js/app.3f9c1a2b.js"), Class::Immutable);
/// assert_eq!(class("assets/index-BxY3k2_a.js"), Class::Immutable);
/// assert_eq!(class("dist/js/a.js"), Class::Mutable);
/// assert_eq!(class("index.html"), Class::Html);
/// assert_eq!(class("sw.js"), Class::Last);
/// ```
pub fn classify(path: &str, immutable: &[String], mutable: &[String]) -> Result<Class, Failure> {
    Ok(Classes::new(immutable, mutable)?.of(path))
}

/// Whether a file's name carries a hash, as bundlers write it.
///
/// Three forms count: at least 8 hexadecimal digits between separators (webpack, Parcel); 8 or more characters of base64 (Vite,
/// Rollup) or exactly 8 of base32 (esbuild) at the end of the name. Dates, versions and words do not.
fn has_hash(name: &str) -> bool {
    let stem = stem(name);
    if stem.split(['.', '-', '_', '~']).any(is_hex_hash) {
        return true;
    }
    let after = |separator: char| stem.rsplit_once(separator).map(|(_, end)| end);
    if after('.').is_some_and(is_base64_hash) || after('-').is_some_and(is_base64_hash) {
        return true;
    }
    // The hash of Vite has 8 characters and may have a separator within.
    let start = stem.len().saturating_sub(8);
    stem.is_char_boundary(start)
        && stem[..start].ends_with(['-', '.'])
        && is_base64_hash(&stem[start..])
}

/// A name without its extensions: `app.3f9c1a2b.js.map` → `app.3f9c1a2b`.
fn stem(name: &str) -> &str {
    const BEHIND_OTHERS: [&str; 4] = [".map", ".gz", ".br", ".zst"];
    let name = BEHIND_OTHERS
        .iter()
        .find_map(|extension| name.strip_suffix(extension))
        .filter(|name| name.contains('.'))
        .unwrap_or(name);
    let name = name.strip_suffix(".LICENSE.txt").unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Hexadecimal, of one case, with digits and letters mixed: a date or a word such as `facade01` changes between the two once at most.
fn is_hex_hash(token: &str) -> bool {
    let bytes = token.as_bytes();
    let is_lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_upper = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let changes = bytes
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count();
    (8..=64).contains(&bytes.len())
        && (bytes.iter().all(is_lower) || bytes.iter().all(is_upper))
        && changes >= 2
}

fn is_base64_hash(token: &str) -> bool {
    let bytes = token.as_bytes();
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(8..=64).contains(&bytes.len())
        || !bytes.iter().all(is_base64)
        || !has(u8::is_ascii_digit)
        || !has(u8::is_ascii_uppercase)
    {
        return false;
    }
    if has(u8::is_ascii_lowercase) {
        return !reads_as_words(token);
    }
    let is_base32 = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'2'..=b'7');
    let digit_inside = bytes
        .windows(2)
        .any(|pair| pair[0].is_ascii_digit() && pair[1].is_ascii_uppercase());
    bytes.len() == 8 && bytes.iter().all(is_base32) && digit_inside
}

/// Whether a token is made of words and numbers, as `MyPage42` or `Web3Page` are: every capital starts a word.
fn reads_as_words(token: &str) -> bool {
    token.split(['-', '_']).all(|part| {
        let bytes = part.as_bytes();
        bytes.iter().enumerate().all(|(at, byte)| {
            !byte.is_ascii_uppercase() || bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase)
        })
    })
}

fn extension(name: &str) -> Option<String> {
    name.rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
}

/// The `Content-Type` and `Cache-Control` of a file.
///
/// Text says that it is UTF-8; what is unknown is `application/octet-stream`.
///
/// ```
/// use pkgs_action::plan::static_files::headers;
/// use pkgs_action::release::static_set::Class;
/// let (content_type, cache_control) = headers("app.3f9c1a2b.mjs", Class::Immutable);
/// assert_eq!(content_type, "text/javascript; charset=utf-8");
/// assert_eq!(cache_control, "public, max-age=31536000, immutable");
/// ```
#[must_use]
pub fn headers(path: &str, class: Class) -> (String, String) {
    let cache_control = match class {
        Class::Immutable => "public, max-age=31536000, immutable",
        Class::Mutable => "public, max-age=0, must-revalidate",
        Class::Html => "no-cache",
        Class::Last => "no-store",
    };
    (content_type(path), cache_control.to_owned())
}

fn content_type(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = extension(name).unwrap_or_default();
    let known = CONTENT_TYPES
        .iter()
        .find(|(known, _)| *known == extension)
        .map(|(_, content_type)| *content_type)
        .or_else(|| mime_guess::from_ext(&extension).first_raw())
        .unwrap_or(UNKNOWN);
    let is_text = known.starts_with("text/")
        || known.ends_with("+json")
        || known.ends_with("+xml")
        || matches!(
            known,
            "application/json" | "application/json5" | "application/xml"
        );
    if is_text {
        format!("{known}{UTF_8}")
    } else {
        known.to_owned()
    }
}

/// The static set of a build from its files: path below `dist`, digest, length in bytes. Sorted by path.
///
/// # Errors
/// `static::glob`, exit 2; `static::path`, exit 3, for a path that cannot be a key; `static::duplicate`, exit 3.
pub fn static_set(
    mut files: Vec<(String, Digest, u64)>,
    immutable: &[String],
    mutable: &[String],
) -> Result<StaticSet, Failure> {
    let classes = Classes::new(immutable, mutable)?;
    files.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    if let Some(twice) = files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Failure::new(
            Exit::Refused,
            "static::duplicate",
            format!("the static file {} occurs twice", quoted(&twice[0].0)),
        ));
    }
    let files = files
        .into_iter()
        .map(|(path, digest, size)| static_file(&classes, path, &digest, size))
        .collect::<Result<Vec<_>, _>>()?;
    let files = with_compressed_copies(&classes, &files);
    Ok(StaticSet {
        schema: SCHEMA.to_owned(),
        files,
    })
}

fn static_file(
    classes: &Classes,
    path: String,
    digest: &Digest,
    size: u64,
) -> Result<StaticFile, Failure> {
    Key::parse(&path).map_err(|failure| {
        Failure::new(
            Exit::Refused,
            "static::path",
            format!("the static file {} cannot be uploaded", quoted(&path)),
        )
        .because(failure)
        .hint("rename it, or keep it out of dist")
    })?;
    let class = classes.of(&path);
    let (content_type, cache_control) = headers(&path, class);
    Ok(StaticFile {
        path,
        class,
        digest: digest.to_string(),
        size,
        content_type,
        cache_control,
        content_encoding: None,
    })
}

/// Gives compressed copies – `app.js.br` beside `app.js`, where that is text – what the file itself has, and their encoding: whoever is
/// served the copy takes it for the file. Anything else with such an ending is a file like others.
///
/// A copy that `mutable` names is mutable: not every compressor writes the same bytes twice.
fn with_compressed_copies(classes: &Classes, files: &[StaticFile]) -> Vec<StaticFile> {
    let copied = |file: &StaticFile| {
        let (ending, encoding) = ENCODINGS
            .iter()
            .find(|(ending, _)| file.path.ends_with(ending))?;
        let path = &file.path[..file.path.len() - ending.len()];
        let at = files.binary_search_by(|other| other.path.as_str().cmp(path));
        let of = &files[at.ok()?];
        of.content_type.ends_with(UTF_8).then_some((of, *encoding))
    };
    files
        .iter()
        .map(|file| {
            let Some((of, encoding)) = copied(file) else {
                return file.clone();
            };
            let class = if classes.mutable.is_match(&file.path) {
                Class::Mutable
            } else {
                of.class
            };
            let (_, cache_control) = headers(&of.path, class);
            StaticFile {
                class,
                content_type: of.content_type.clone(),
                cache_control,
                content_encoding: Some(encoding.to_owned()),
                ..file.clone()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(class: Class, paths: &[&str]) {
        for path in paths {
            assert_eq!(classify(path, &[], &[]).unwrap(), class, "{path}");
        }
    }

    #[test]
    fn a_hash_in_the_name_makes_it_immutable() {
        check(
            Class::Immutable,
            &[
                "app.3f9c1a2b.js",
                "js/app.3f9c1a2b.js.map",
                "js/app.3f9c1a2b.js.LICENSE.txt",
                "css/main.0a1b2c3d4e5f60718293.chunk.css",
                "3f9c1a2b4d5e.js",
                "logo-6b21a0fe.svg",
                "assets/index-BxY3k2_a.js",
                "assets/index-B-Y3k2_a.css",
                "assets/index-C7x-k2Qa.css",
                "chunk-5J2K7QWX.js",
                "font.D4fK2m9QxZ1.woff2",
                "runtime~main.9c01ab37.js",
            ],
        );
    }

    #[test]
    fn what_is_in_doubt_is_mutable() {
        check(
            Class::Mutable,
            &[
                "a.js",
                "app.js",
                "favicon.ico",
                "manifest.webmanifest",
                "jquery-3.7.1.min.js",
                "report-20240101.js",
                "report-20240101a.js",
                "facade01.js",
                "deadbeef.js",
                "12345678.js",
                "page-Button22.js",
                "page-MyPage42.js",
                "page-Web3Page.js",
                "Component-MyButton.js",
                "chunk-VERSION2.js",
                "assets/index-DiwrgTda.js",
                "3f9c1a2b/app.js",
                "bootstrap-grid-rtl.css",
                "x",
                "",
            ],
        );
    }

    #[test]
    fn pages_and_announcements() {
        check(
            Class::Html,
            &["index.html", "a/b.HTM", "page.3f9c1a2b.html"],
        );
        check(
            Class::Last,
            &["sw.js", "app/service-worker.js", "version.json"],
        );
        check(Class::Mutable, &["sw.js.map", "my-sw.js", "versions.json"]);
    }

    #[test]
    fn globs_decide_between_mutable_and_immutable_only() {
        let globs = |globs: &[&str]| {
            globs
                .iter()
                .map(|glob| (*glob).to_owned())
                .collect::<Vec<_>>()
        };
        let check = |path: &str, immutable: &[&str], mutable: &[&str], class: Class| {
            let found = classify(path, &globs(immutable), &globs(mutable)).unwrap();
            assert_eq!(found, class, "{path}");
        };
        check("v/1/a.js", &["v/**"], &[], Class::Immutable);
        check("v/1/a.js", &["v/*"], &[], Class::Mutable);
        check("app.3f9c1a2b.js", &[], &["*.js"], Class::Mutable);
        check("a.js", &["**"], &["a.js"], Class::Mutable);
        check("index.html", &["**"], &[], Class::Html);
        check("sw.js", &["**"], &[], Class::Last);
        let failure = classify("a", &globs(&["a{"]), &[]).unwrap_err();
        assert_eq!(
            (failure.code(), failure.exit()),
            ("static::glob", Exit::Usage)
        );
    }

    #[test]
    fn content_types() {
        let check = |path: &str, content_type: &str| {
            assert_eq!(headers(path, Class::Mutable).0, content_type, "{path}");
        };
        check("a.js", "text/javascript; charset=utf-8");
        check("a.mjs", "text/javascript; charset=utf-8");
        check("a.CJS", "text/javascript; charset=utf-8");
        check("a.json", "application/json; charset=utf-8");
        check("a.xml", "text/xml; charset=utf-8");
        check("a.css", "text/css; charset=utf-8");
        check("a.html", "text/html; charset=utf-8");
        check("a.js.map", "application/json; charset=utf-8");
        check("a.webmanifest", "application/manifest+json; charset=utf-8");
        check("a.svg", "image/svg+xml; charset=utf-8");
        check("a.ftl", "text/plain; charset=utf-8");
        check("robots.txt", "text/plain; charset=utf-8");
        check("a.wasm", "application/wasm");
        check("a.woff2", "font/woff2");
        check("a.avif", "image/avif");
        check("a.png", "image/png");
        check("a.mp4", "video/mp4");
        check("a.ico", "image/x-icon");
        check("a.pdf", "application/pdf");
        check("a.unheard-of", "application/octet-stream");
        check("a.br", "application/octet-stream");
        check("LICENSE", "application/octet-stream");
    }

    #[test]
    fn a_compressed_copy_of_text_is_served_as_that_text() {
        let file = |path: &&str| ((*path).to_owned(), Digest::of(path.as_bytes()), 1);
        let check = |paths: &[&str], mutable: &[&str], expected: &str| {
            let mutable: Vec<String> = mutable.iter().map(|glob| (*glob).to_owned()).collect();
            let files = paths.iter().map(file).collect();
            let set = static_set(files, &[], &mutable).unwrap();
            let last = set.files.last().unwrap();
            let told = [
                last.path.as_str(),
                last.content_encoding.as_deref().unwrap_or("-"),
                last.content_type.as_str(),
                last.cache_control.as_str(),
            ];
            assert_eq!(told.join(" | "), expected);
        };
        let js = "text/javascript; charset=utf-8";
        let for_ever = "public, max-age=31536000, immutable";
        let again = "public, max-age=0, must-revalidate";
        check(
            &["a.js", "a.js.br"],
            &[],
            &format!("a.js.br | br | {js} | {again}"),
        );
        check(
            &["a.js", "a.js.gz"],
            &[],
            &format!("a.js.gz | gzip | {js} | {again}"),
        );
        check(
            &["a.3f9c1a2b.js", "a.3f9c1a2b.js.zst"],
            &[],
            &format!("a.3f9c1a2b.js.zst | zstd | {js} | {for_ever}"),
        );
        check(
            &["a.3f9c1a2b.js", "a.3f9c1a2b.js.gz"],
            &["**/*.gz"],
            &format!("a.3f9c1a2b.js.gz | gzip | {js} | {again}"),
        );
        check(
            &["sw.js", "sw.js.br"],
            &[],
            &format!("sw.js.br | br | {js} | no-store"),
        );
        check(
            &["index.html", "index.html.gz"],
            &[],
            "index.html.gz | gzip | text/html; charset=utf-8 | no-cache",
        );
        // Without the file itself, or of what is no text, it is a file like others.
        check(
            &["a.js", "b.js.br"],
            &[],
            &format!("b.js.br | - | application/octet-stream | {again}"),
        );
        check(
            &["data.tar", "data.tar.gz"],
            &[],
            &format!("data.tar.gz | - | application/gzip | {again}"),
        );
    }

    #[test]
    fn a_set_is_sorted_and_safe() {
        let file = |path: &str| (path.to_owned(), Digest::of(path.as_bytes()), 1);
        let set = static_set(vec![file("sw.js"), file("a/é.css"), file("a.js")], &[], &[]).unwrap();
        let paths: Vec<_> = set.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a.js", "a/é.css", "sw.js"]);
        assert_eq!(set.files[2].cache_control, "no-store");
        let check = |files, code| assert_eq!(static_set(files, &[], &[]).unwrap_err().code(), code);
        check(vec![file("../a")], "static::path");
        check(vec![file("/a")], "static::path");
        check(vec![file("a\n")], "static::path");
        check(vec![file("a"), file("a")], "static::duplicate");
    }
}
