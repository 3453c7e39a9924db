//! npm's JSON: what is read of a packument, and what is written for a version.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Publication, PublishedPackage, PublishedVersion};
use crate::name::PackageName;

/// The longest packument that is read, in bytes.
pub(super) const LONGEST_PACKUMENT: u64 = 64 << 20;

/// What we read of a packument. Only `versions` and `dist-tags` must have their form; old versions hold anything.
#[derive(Deserialize)]
struct Packument {
    #[serde(default)]
    versions: BTreeMap<String, Value>,
    #[serde(default, rename = "dist-tags")]
    dist_tags: BTreeMap<String, String>,
}

/// Reads a packument that was asked for as `name`.
pub(super) fn read(name: &PackageName, bytes: &[u8]) -> Result<PublishedPackage, String> {
    #[derive(Deserialize)]
    struct Head {
        name: String,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if head.name != name.as_str() {
        return Err(format!(
            "it is the document of {}",
            crate::explain::quoted(&head.name)
        ));
    }
    let packument: Packument = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let versions = packument
        .versions
        .iter()
        .map(|(version, found)| {
            let published = PublishedVersion {
                integrity: text(found.pointer("/dist/integrity")),
                shasum: text(found.pointer("/dist/shasum")),
                git_head: text(found.get("gitHead")),
                deprecated: match found.get("deprecated") {
                    Some(Value::Bool(deprecated)) => *deprecated,
                    Some(Value::String(why)) => !why.is_empty(),
                    _ => false,
                },
            };
            (version.clone(), published)
        })
        .collect();
    Ok(PublishedPackage {
        versions,
        dist_tags: packument.dist_tags,
    })
}

/// The file name of the attachment and of the tarball below `/-/`, as npm makes it: with the scope.
pub(super) fn attachment_name(publication: &Publication) -> String {
    format!("{}-{}.tgz", publication.name, publication.version)
}

/// The version as it stands in a packument; `tarball` is the address to install it from.
pub(super) fn version(publication: &Publication, tarball: &str) -> Map<String, Value> {
    let mut manifest = normalised(&publication.manifest, &publication.name);
    let (name, version) = (publication.name.as_str(), publication.version.to_string());
    manifest.insert("name".to_owned(), json!(name));
    manifest.insert("version".to_owned(), json!(version));
    manifest.insert("_id".to_owned(), json!(format!("{name}@{version}")));
    manifest.insert("gitHead".to_owned(), json!(publication.git_head.as_str()));
    if let Some(readme) = &publication.readme {
        manifest.insert("readme".to_owned(), json!(readme));
    }
    manifest.insert(
        "dist".to_owned(),
        json!({
            "integrity": publication.integrity.as_str(),
            "shasum": publication.shasum,
            "tarball": tarball,
        }),
    );
    manifest
}

/// The body of the request that publishes a version to the registry at `registry`.
pub(super) fn publish(publication: &Publication, registry: &Url) -> Value {
    let file = attachment_name(publication);
    // npm writes http even for https; registries put their own address in its place.
    let mut host = registry.clone();
    let _ = host.set_scheme("http");
    let tarball = format!("{host}{}/-/{file}", publication.name);
    let version = version(publication, &tarball);
    let number = publication.version.to_string();
    let mut body = json!({
        "_id": publication.name.as_str(),
        "name": publication.name.as_str(),
        "dist-tags": { publication.dist_tag.as_str(): number.as_str() },
        "versions": {},
        "access": publication.access.map(crate::settings::Access::as_str),
        "_attachments": {
            file: {
                "content_type": "application/octet-stream",
                "data": base64::engine::general_purpose::STANDARD.encode(&publication.tarball),
                "length": publication.tarball.len(),
            },
        },
    });
    if let Some(description) = version.get("description") {
        body["description"] = description.clone();
    }
    body["versions"][number.as_str()] = Value::Object(version);
    body
}

/// The manifest in the form that registries and installers expect (npm's `normalize-package-data`, the part that decides how a package installs):
/// `bin` and `repository` as objects, `bundleDependencies` under that name, nothing that starts with `_`.
fn normalised(manifest: &Map<String, Value>, name: &PackageName) -> Map<String, Value> {
    let mut result = Map::new();
    for (key, value) in manifest {
        if key.starts_with('_') {
            continue;
        }
        match key.as_str() {
            "bin" => {
                if let Some(bin) = bin(value, name) {
                    result.insert(key.clone(), bin);
                }
            }
            "repository" => {
                result.insert(key.clone(), repository(value));
            }
            "bundledDependencies" => {
                if !manifest.contains_key("bundleDependencies") {
                    result.insert("bundleDependencies".to_owned(), value.clone());
                }
            }
            _ => {
                result.insert(key.clone(), value.clone());
            }
        }
    }
    // `true` means all dependencies, `false` none.
    match result.get("bundleDependencies") {
        Some(Value::Bool(true)) => {
            let dependencies = manifest.get("dependencies").and_then(Value::as_object);
            let names = dependencies
                .into_iter()
                .flatten()
                .map(|(name, _)| json!(name));
            result.insert("bundleDependencies".to_owned(), names.collect());
        }
        Some(Value::Bool(false)) => {
            result.shift_remove("bundleDependencies");
        }
        _ => {}
    }
    result
}

/// `bin` as an object of checked names and paths inside the package; `None` when nothing is left.
fn bin(value: &Value, name: &PackageName) -> Option<Value> {
    let last = |text: &str| {
        text.rsplit(['/', '\\', ':'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let pairs: Vec<(String, &str)> = match value {
        Value::String(path) => vec![(name.without_scope().to_owned(), path)],
        Value::Array(paths) => paths
            .iter()
            .filter_map(Value::as_str)
            .map(|path| (last(path), path))
            .collect(),
        Value::Object(named) => named
            .iter()
            .filter_map(|(name, path)| Some((last(name), path.as_str()?)))
            .collect(),
        _ => Vec::new(),
    };
    let entries: Map<String, Value> = pairs
        .into_iter()
        .filter(|(name, _)| !matches!(name.as_str(), "" | "." | ".."))
        .filter_map(|(name, path)| Some((name, Value::String(inside(path)?))))
        .collect();
    (!entries.is_empty()).then_some(Value::Object(entries))
}

/// A path of `bin`, relative to the package's root, that cannot lead out of it.
fn inside(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\', ':']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// `repository` as an object; the shortcuts `owner/name` and `github:owner/name` are written out.
fn repository(value: &Value) -> Value {
    let Value::String(text) = value else {
        return value.clone();
    };
    let hosted = |host: &str, path: &str| format!("git+https://{host}/{path}.git");
    let is_pair = |path: &str| {
        path.split('/').count() == 2
            && path.split('/').all(|part| !part.is_empty())
            && !path.contains(':')
    };
    let url = match text.split_once(':') {
        Some(("github", path)) if is_pair(path) => hosted("github.com", path),
        Some(("gitlab", path)) if is_pair(path) => hosted("gitlab.com", path),
        Some(("bitbucket", path)) if is_pair(path) => hosted("bitbucket.org", path),
        None if is_pair(text) && !text.starts_with('.') => hosted("github.com", text),
        _ => text.clone(),
    };
    json!({ "type": "git", "url": url })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: &Value, expected: &Value) {
        let name = PackageName::parse("@x/a").expect("a name");
        let Some(manifest) = manifest.as_object() else {
            panic!("an object");
        };
        assert_eq!(Value::Object(normalised(manifest, &name)), *expected);
    }

    #[test]
    fn manifests() {
        check(
            &json!({"bin": "./cli.js"}),
            &json!({"bin": {"a": "cli.js"}}),
        );
        check(
            &json!({"bin": {"../evil": "../../x.js", "b": "./b/c.js", "..": "y"}}),
            &json!({"bin": {"evil": "x.js", "b": "b/c.js"}}),
        );
        check(
            &json!({"bin": ["./bin/one"]}),
            &json!({"bin": {"one": "bin/one"}}),
        );
        check(&json!({"bin": {}}), &json!({}));
        check(
            &json!({"_secret": 1, "name": "x", "bundledDependencies": ["y"]}),
            &json!({"name": "x", "bundleDependencies": ["y"]}),
        );
        check(
            &json!({"bundleDependencies": true, "dependencies": {"y": "1"}}),
            &json!({"bundleDependencies": ["y"], "dependencies": {"y": "1"}}),
        );
        check(&json!({"bundleDependencies": false}), &json!({}));
        for (written, url) in [
            ("o/n", "git+https://github.com/o/n.git"),
            ("gitlab:o/n", "git+https://gitlab.com/o/n.git"),
            ("https://example.org/o/n.git", "https://example.org/o/n.git"),
            ("git@example.org:o/n.git", "git@example.org:o/n.git"),
        ] {
            check(
                &json!({ "repository": written }),
                &json!({"repository": {"type": "git", "url": url}}),
            );
        }
    }

    #[test]
    fn packuments() {
        let name = PackageName::parse("a").expect("a name");
        let found = read(
            &name,
            br#"{"name":"a","dist-tags":{"latest":"1.0.0"},"versions":{
                "0.1.0":{"gitHead":7,"deprecated":"old"},
                "1.0.0":{"gitHead":"c","deprecated":"","dist":{"integrity":"sha512-x","shasum":"s"}}}}"#,
        )
        .expect("a packument");
        assert_eq!(found.dist_tags["latest"], "1.0.0");
        assert!(found.versions["0.1.0"].deprecated);
        assert_eq!(found.versions["0.1.0"].git_head, None);
        assert!(!found.versions["1.0.0"].deprecated);
        assert_eq!(
            found.versions["1.0.0"].integrity.as_deref(),
            Some("sha512-x")
        );
        for bad in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"name":"b","versions":{}}"#,
            r#"{"name":"a","versions":[]}"#,
        ] {
            assert!(read(&name, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
