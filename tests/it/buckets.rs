//! The whole way on a real S3 server that is strict: Ceph. What lies there afterwards is read by boto3.

use std::collections::BTreeMap;

use pkgs_action::name::Digest;
use serde_json::{Value, json};

use crate::doctor::{DOCTOR, WELL, checks};
use crate::release::unpack;
use crate::support::ceph::Ceph;
use crate::support::monorepo::Monorepo;
use crate::support::s3::{self, Object};
use crate::support::world::{World, files};

fn service_and_site() -> Monorepo {
    let more = "const { writeFileSync } = require('node:fs');\nwriteFileSync('dist/version.json', '{}');\nwriteFileSync('dist/a b.svg', '<svg/>');\n";
    Monorepo::new()
        .service("web", "1.0.0")
        .static_site("site", "1.0.0")
        .file("packages/site/more.js", more)
        .config(&json!({
            "mode": "sync",
            "apps": {
                "web": {"type": "service", "environments": ["sit", "prod"], "auto": ["sit"]},
                "site": {"type": "static", "build": "npm run build && node more.js", "environments": ["sit", "prod"], "auto": ["sit"]},
            },
        }))
        .commit("feat: begin", &[])
}

/// What is below a name is what the name says, and documents say what they are.
fn check_store(objects: &BTreeMap<String, Object>) {
    for (key, object) in objects {
        let path = key.strip_prefix("team/v1/").expect("below the prefix");
        if path.starts_with("blobs/") {
            let (_, hex) = path.rsplit_once('/').expect("a name");
            assert_eq!(object.digest, format!("sha256:{hex}"));
            continue;
        }
        let (content_type, cache_control) = match path.rsplit_once('.') {
            Some((_, "zst")) => ("application/zstd", None),
            _ if path.contains("/environments/") => ("application/json", Some("no-cache")),
            _ => ("application/json", None),
        };
        assert_eq!(object.content_type.as_deref(), Some(content_type), "{key}");
        assert_eq!(object.cache_control.as_deref(), cache_control, "{key}");
        assert_eq!(object.content_encoding, None, "{key}");
    }
}

/// What an environment serves is what was built: the same bytes, each with its type, its caching and its owner.
fn check_site(
    served: &BTreeMap<String, Object>,
    environment: &str,
    built: &BTreeMap<String, Vec<u8>>,
) {
    for (path, bytes) in built {
        let object = served.get(&format!("{environment}/{path}"));
        let object = object.unwrap_or_else(|| panic!("{path} is not in {environment}"));
        let digest = Digest::of(bytes).to_string();
        assert_eq!(object.digest, digest, "{path} in {environment}");
        assert_eq!(object.metadata["pkgs-app"], "site");
        assert_eq!(
            object.metadata["pkgs-sha256"],
            digest.replace("sha256:", "")
        );
        let (content_type, cache_control) = match path.as_str() {
            "index.html" => ("text/html; charset=utf-8", "no-cache"),
            "version.json" => ("application/json; charset=utf-8", "no-store"),
            "a b.svg" => (
                "image/svg+xml; charset=utf-8",
                "public, max-age=0, must-revalidate",
            ),
            _ => (
                "text/javascript; charset=utf-8",
                "public, max-age=31536000, immutable",
            ),
        };
        assert_eq!(object.content_type.as_deref(), Some(content_type), "{path}");
        assert_eq!(
            object.cache_control.as_deref(),
            Some(cache_control),
            "{path}"
        );
    }
}

fn deed(world: &World, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    world.operate(&arguments).expect(0).json()
}

#[test]
fn a_release_its_promotion_and_its_rollback_lie_in_a_strict_bucket_as_another_client_reads_it() {
    let endpoint = &Ceph::shared().endpoint;
    let world = World::in_bucket(service_and_site(), endpoint, "story");
    let built = |world: &World| files(&world.monorepo.path().join("packages/site/dist"));
    let run = world.run(&DOCTOR).expect(0);
    assert_eq!(checks(&run), WELL);
    let _ = world.run(&["release"]).expect(0);
    let first = built(&world);
    assert_eq!(first.len(), 4);
    check_site(&world.outside.static_bucket(), "sit", &first);
    let promote = ["promote", "--environment", "prod", "--app", "all"];
    let _ = deed(&world, &[&promote[..], &["--to", "1.0.0"]].concat());

    let world = world.develop(
        "fix: other words",
        &[
            (
                "packages/site/src/index.html",
                "<!doctype html><script src=\"site.js\"></script>2\n",
            ),
            ("packages/site/src/site.js", "console.log(2);\n"),
            ("packages/web/service/more.js", "// more\n"),
        ],
    );
    let _ = world.run(&["release"]).expect(0);
    let second = built(&world);
    check_site(&world.outside.static_bucket(), "sit", &second);
    check_site(&world.outside.static_bucket(), "prod", &first);
    let _ = deed(&world, &[&promote[..], &["--from", "sit"]].concat());
    check_site(&world.outside.static_bucket(), "prod", &second);

    let back = ["rollback", "--environment", "prod", "--app", "all"];
    let back = deed(&world, &back);
    for app in back["apps"].as_array().expect("a list") {
        assert_eq!(
            (&app["from"], &app["to"]),
            (&json!("1.0.1"), &json!("1.0.0"))
        );
    }
    let served = world.outside.static_bucket();
    check_site(&served, "sit", &second);
    check_site(&served, "prod", &first);

    let store = world.outside.bucket();
    check_store(&store);
    let manifest = world.outside.document("team/v1/apps/web/1.0.1/any.json");
    let digest = manifest["archive"]["digest"].as_str().expect("a digest");
    let copy = "team/v1/apps/web/1.0.1/web-1.0.1.tar.zst";
    assert_eq!(store[copy].digest, digest);
    assert_eq!(manifest["archive"]["size"], store[copy].size);
    let scratch = tempfile::tempdir().expect("a directory");
    let _ = unpack(&world.outside.object(copy), &scratch.path().join("web"));
    let unpacked = files(&scratch.path().join("web"));
    assert_eq!(unpacked["service/more.js"], b"// more\n");

    let collected = deed(&world, &["gc", "--dry-run"]);
    assert_eq!(collected["notices"], json!([]));
    assert_eq!(world.outside.bucket(), store);
    assert_eq!(world.outside.static_bucket(), served);
    assert_eq!(s3::uploads(endpoint, "story"), [""; 0]);
}

#[test]
fn a_signature_that_a_server_does_not_accept_is_told_as_what_it_is() {
    let endpoint = &Ceph::shared().endpoint;
    let world = World::in_bucket(service_and_site(), endpoint, "signatures");
    for (name, value) in [
        (
            "AWS_SECRET_ACCESS_KEY",
            "anothersecretanothersecretanothersecret0",
        ),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE99"),
    ] {
        let run = world.binary(&["release"]).env(name, value).run().expect(5);
        let code = "error[store::credentials]";
        assert!(run.stderr.contains(code), "{}", run.stderr);
        assert!(!run.stderr.contains("anothersecret"), "{}", run.stderr);
    }
    assert_eq!(world.pushes().len(), 0);
}
