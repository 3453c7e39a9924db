//! npm's JSON: what is read of a packument, and what is written for a version.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use url::Url;

use super::{Publication, PublishedPackage, PublishedVersion};
use crate::name::PackageName;

/// The longest packument that is read, in bytes.
pub(super) const LONGEST_PACKUMENT: u64 = 64 << 20;

/// An object whose values are not looked into: a registry keeps what no strict reader takes, half of a character where a text was cut, and far more
/// than is needed. The order is that of the text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// The value that counts for a key: the last, as in Node.
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        let mut members = self.0.iter().rev();
        members
            .find(|(name, _)| name == key)
            .map(|(_, value)| *value)
    }

    /// That value, where it can be read as it should be.
    fn read<T: Deserialize<'a>>(&self, key: &str) -> Option<T> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        struct Every;
        impl<'de> Visitor<'de> for Every {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Every)
    }
}

/// A packument that was asked for as `name`.
fn packument<'a>(name: &PackageName, bytes: &'a [u8]) -> Result<Members<'a>, String> {
    let packument: Members<'_> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let found: String = packument.read("name").ok_or("it has no name")?;
    if found != name.as_str() {
        return Err(format!(
            "it is the document of {}",
            crate::explain::quoted(&found)
        ));
    }
    Ok(packument)
}

/// The versions of a packument; none where it has none.
fn versions<'a>(packument: &Members<'a>) -> Result<Members<'a>, String> {
    let Some(versions) = packument.get("versions") else {
        return Ok(Members(Vec::new()));
    };
    serde_json::from_str(versions.get()).map_err(|error| format!("its versions: {error}"))
}

/// Reads a packument that was asked for as `name`. Only `versions` and `dist-tags` must have their form; old versions hold anything.
pub(super) fn read(name: &PackageName, bytes: &[u8]) -> Result<PublishedPackage, String> {
    let packument = packument(name, bytes)?;
    let dist_tags = match packument.get("dist-tags") {
        None => BTreeMap::new(),
        Some(tags) => {
            serde_json::from_str(tags.get()).map_err(|error| format!("its dist-tags: {error}"))?
        }
    };
    let versions = versions(&packument)?.0.into_iter();
    Ok(PublishedPackage {
        versions: versions
            .map(|(version, found)| (version, published(found)))
            .collect(),
        dist_tags,
    })
}

fn published(found: &RawValue) -> PublishedVersion {
    let Ok(found) = serde_json::from_str::<Members<'_>>(found.get()) else {
        return PublishedVersion::default();
    };
    let dist: Option<Value> = found.read("dist");
    let text = |key: &str| Some(dist.as_ref()?.get(key)?.as_str()?.to_owned());
    PublishedVersion {
        integrity: text("integrity"),
        shasum: text("shasum"),
        git_head: found.read("gitHead"),
        deprecated: match found.read("deprecated") {
            Some(Value::Bool(true)) => Some(String::new()),
            Some(Value::String(why)) if !why.is_empty() => Some(why),
            _ => None,
        },
    }
}

/// A packument in which some versions are deprecated, as `npm deprecate` sends it: all of it, each message in its place, and everything else as it
/// is written. An empty message takes that back, as `npm undeprecate` does. Versions that are not there are left out.
pub(super) fn deprecated(
    name: &PackageName,
    bytes: &[u8],
    messages: &BTreeMap<String, Option<String>>,
) -> Result<String, String> {
    let packument = packument(name, bytes)?;
    let versions = versions(&packument)?.0.into_iter();
    let versions = versions.map(|(version, found)| {
        let text = match messages.get(&version) {
            None => found.get().to_owned(),
            Some(message) => with_message(found, message.as_deref().unwrap_or_default())?,
        };
        Ok((version, text))
    });
    let versions = versions.collect::<Result<Vec<_>, String>>()?;
    let members = packument.0.into_iter();
    Ok(object(members.map(|(key, value)| match key.as_str() {
        "versions" => (key, object(versions.iter().cloned())),
        _ => (key, value.get().to_owned()),
    })))
}

fn with_message(version: &RawValue, message: &str) -> Result<String, String> {
    let members: Members<'_> =
        serde_json::from_str(version.get()).map_err(|error| error.to_string())?;
    let own = (DEPRECATED.to_owned(), json!(message).to_string());
    let is_new = members.get(DEPRECATED).is_none();
    let members = members
        .0
        .into_iter()
        .map(|(key, value)| match key.as_str() {
            DEPRECATED => own.clone(),
            _ => (key, value.get().to_owned()),
        });
    Ok(object(members.chain(is_new.then(|| own.clone()))))
}

const DEPRECATED: &str = "deprecated";

/// The text of an object of which the values are texts already.
fn object(members: impl Iterator<Item = (String, String)>) -> String {
    let members = members.map(|(key, value)| format!("{}:{value}", json!(key)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
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
        // Half of a character, a number that no double holds, a key twice, and what a version should not be.
        let odd = br#"{"readme":"cut \ud83d","time":1E400,"name":"b","name":"a","versions":{
            "1.0.0":{"description":"\udc00","deprecated":"old"},"2.0.0":7}}"#;
        let found = read(&name, odd).expect("a packument");
        assert_eq!(found.versions["1.0.0"].deprecated.as_deref(), Some("old"));
        assert_eq!(found.versions["2.0.0"], PublishedVersion::default());
        let messages = [("1.0.0", None), ("3.0.0", Some("x"))];
        let messages = messages.map(|(version, why)| (version.to_owned(), why.map(str::to_owned)));
        let text = deprecated(&name, odd, &messages.into()).expect("a packument");
        assert_eq!(
            text,
            r#"{"readme":"cut \ud83d","time":1E400,"name":"b","name":"a","versions":{"1.0.0":{"description":"\udc00","deprecated":""},"2.0.0":7}}"#
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
