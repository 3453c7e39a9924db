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
                    Some(Value::Bool(true)) => Some(String::new()),
                    Some(Value::String(why)) if !why.is_empty() => Some(why.clone()),
                    _ => None,
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

/// A packument in which some versions are deprecated, as `npm deprecate` sends it: all of it, each message in its place. An empty one takes
/// that back, as `npm undeprecate` does. Versions that are not there are left out.
pub(super) fn deprecate(
    packument: &mut Map<String, Value>,
    messages: &BTreeMap<String, Option<String>>,
) {
    let Some(Value::Object(versions)) = packument.get_mut("versions") else {
        return;
    };
    for (version, message) in messages {
        if let Some(Value::Object(version)) = versions.get_mut(version) {
            version.insert(
                "deprecated".to_owned(),
                json!(message.as_deref().unwrap_or_default()),
            );
        }
    }
}

/// The file name of the attachment and of the tarball below `/-/`, as npm makes it: with the scope.
pub(super) fn attachment_name(publication: &Publication) -> String {
    format!("{}-{}.tgz", publication.name, publication.version)
}

/// The version as it stands in a packument; `tarball` is the address to install it from.
pub(super) fn version(publication: &Publication, tarball: &str) -> Map<String, Value> {
    let mut manifest = publication.manifest.clone();
    let (name, version) = (publication.name.as_str(), publication.version.to_string());
    manifest.insert("name".to_owned(), json!(name));
    manifest.insert("version".to_owned(), json!(version));
    manifest.insert("_id".to_owned(), json!(format!("{name}@{version}")));
    manifest.insert("gitHead".to_owned(), json!(publication.git_head.as_str()));
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
    if let Some(attestation) = &publication.attestation {
        let file = format!("{}-{number}.sigstore", publication.name);
        body["_attachments"][file.as_str()] = json!({
            "content_type": attestation.media_type,
            "data": attestation.text,
            // What JavaScript calls a length.
            "length": attestation.text.encode_utf16().count(),
        });
    }
    if let Some(description) = version.get("description") {
        body["description"] = description.clone();
    }
    body["versions"][number.as_str()] = Value::Object(version);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(found.versions["0.1.0"].deprecated.as_deref(), Some("old"));
        assert_eq!(found.versions["0.1.0"].git_head, None);
        assert_eq!(found.versions["1.0.0"].deprecated, None);
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
