//! What a repository, a checkout, a registry and a bucket hold, as text: two equal texts mean that a run starts from the same.
//!
//! Left out is only what no run reads a decision from: the moment at which something was written, and the port that a server listens on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use pkgs_action::name::Digest;
use regex::Regex;
use serde_json::Value;

use super::{http, moto};
use crate::oracle;

/// A bare repository: every file; of logs, how many moves they hold.
pub fn bare(directory: &Path) -> String {
    files(directory, |path, bytes| match path {
        path if path.starts_with("logs/") => moves(bytes),
        _ => digest(bytes),
    })
}

/// A checkout: every file and link below it, and what git's index stages.
pub fn checkout(directory: &Path) -> String {
    let text = files(directory, |path, bytes| match path {
        // It holds the moments at which files were changed.
        ".git/index" => oracle::git(directory, &["ls-files", "--stage"]).unwrap_or_default(),
        path if path.starts_with(".git/logs/") => moves(bytes),
        _ => digest(bytes),
    });
    assert!(text.contains("\n.git/HEAD "), "not a checkout: {text}");
    text
}

/// verdaccio's storage: versions, dist-tags, attachments and tarballs.
pub fn registry(storage: &Path) -> String {
    files(storage, |path, bytes| {
        if !is_json(path) {
            return digest(bytes);
        }
        let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let kept = ["versions", "dist-tags", "_attachments", "list"];
        let kept: Vec<&Value> = kept.iter().map(|name| &document[*name]).collect();
        digest(serde_json::to_string(&kept).expect("JSON").as_bytes())
    })
}

/// A bucket: every object.
pub fn bucket(endpoint: &str, bucket: &str) -> String {
    let tags = oracle::bucket_tags(endpoint, bucket);
    tags.iter().fold(String::new(), |mut text, (key, tag)| {
        // Objects that are named after their bytes hold no moment.
        let named_after_bytes = key.contains("/blobs/") || key.contains("/seals/");
        let held = if named_after_bytes || !is_json(key) {
            tag.clone()
        } else {
            let url = format!("{endpoint}/{bucket}/{key}");
            let answer = http::send("GET", &url, &[moto::SIGNED], b"").expect("the server answers");
            assert_eq!(answer.status, 200, "GET {url}");
            digest(&answer.body)
        };
        let _ = writeln!(text, "{key} {held}");
        text
    })
}

fn is_json(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|name| name == "json")
}

fn moves(log: &[u8]) -> String {
    let moves = String::from_utf8_lossy(log).lines().count();
    format!("{moves} moves")
}

fn digest(bytes: &[u8]) -> String {
    static PASSING: LazyLock<Regex> = LazyLock::new(|| {
        let moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z";
        Regex::new(&format!(r"{moment}|127\.0\.0\.1:\d+")).expect("a pattern")
    });
    match std::str::from_utf8(bytes) {
        Ok(text) => Digest::of(PASSING.replace_all(text, "-").as_bytes()).to_string(),
        Err(_) => Digest::of(bytes).to_string(),
    }
}

/// A line for every file and link below `root`, with what `describe` makes of its path and bytes.
fn files(root: &Path, describe: impl Fn(&str, &[u8]) -> String) -> String {
    let mut text = String::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.expect("nobody writes here");
        let path = entry.path();
        let shown = path.strip_prefix(root).expect("below the root").display();
        let what = if entry.file_type().is_symlink() {
            fs::read_link(path).expect("a link").display().to_string()
        } else if entry.file_type().is_file() {
            describe(&shown.to_string(), &fs::read(path).expect("a file"))
        } else {
            "directory".to_owned()
        };
        let _ = writeln!(text, "{shown} {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_moments_and_ports_are_left_out() {
        let same = |one: &str, other: &str| digest(one.as_bytes()) == digest(other.as_bytes());
        assert!(same(
            "\"2026-01-02T03:04:05Z\"",
            "\"2026-01-02T03:04:06.5Z\""
        ));
        assert!(same("http://127.0.0.1:80/a", "http://127.0.0.1:81/a"));
        assert!(!same("http://127.0.0.1:80/a", "http://127.0.0.1:80/b"));
        assert!(!same("1.0.0", "1.0.1"));
    }

    #[test]
    fn a_file_more_or_other_bytes_are_another_state() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| fs::write(directory.path().join(name), text);
        file("a", "1").expect("a file");
        let first = bare(directory.path());
        assert_eq!(first, bare(directory.path()));
        file("a", "2").expect("a file");
        let second = bare(directory.path());
        file("b", "").expect("a file");
        assert_ne!(first, second);
        assert_ne!(second, bare(directory.path()));
    }
}
