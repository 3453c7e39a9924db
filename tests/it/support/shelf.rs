//! An npm registry of small packages that a test puts on a shelf: static files over HTTP.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha512};
use tempfile::TempDir;

use super::monorepo::Monorepo;
use super::static_server::StaticServer;

/// A registry, and what it has by package.
#[derive(Debug)]
pub struct Shelf {
    directory: TempDir,
    server: StaticServer,
    versions: BTreeMap<String, Map<String, Value>>,
}

impl Shelf {
    /// An empty one.
    pub fn start() -> Shelf {
        let directory = tempfile::tempdir().expect("a directory");
        Shelf {
            server: StaticServer::start(directory.path()),
            directory,
            versions: BTreeMap::new(),
        }
    }

    /// Puts a version there, the newest of its package. `fields` are those of its manifest beside name and version.
    pub fn add(&mut self, name: &str, version: &str, fields: &Value) {
        self.add_with(name, version, fields, &[]);
    }

    /// The same with files beside `package.json`, each by its path in the package.
    pub fn add_with(&mut self, name: &str, version: &str, fields: &Value, files: &[(&str, &str)]) {
        let mut manifest = fields.clone();
        manifest["name"] = json!(name);
        manifest["version"] = json!(version);
        let tarball = tarball(&manifest, files);
        self.put(manifest, &tarball);
    }

    /// Puts a tarball of a registry there.
    pub fn offer(&mut self, bytes: &[u8]) {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let manifest = archive.entries().expect("a tarball").find_map(|entry| {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").into_owned();
            let is_manifest = path.ends_with("package.json") && path.components().count() == 2;
            let mut text = String::new();
            is_manifest.then(|| entry.read_to_string(&mut text).expect("text"))?;
            Some(text)
        });
        let manifest = serde_json::from_str(&manifest.expect("a manifest")).expect("JSON");
        self.put(manifest, bytes);
    }

    fn put(&mut self, mut manifest: Value, tarball: &[u8]) {
        let text = |key: &str| manifest[key].as_str().expect("text").to_owned();
        let (name, version) = (text("name"), text("version"));
        let file = format!("{name}/-/{name}-{version}.tgz");
        self.write(&file, tarball);
        let shasum = Sha1::digest(tarball)
            .iter()
            .fold(String::new(), |mut shasum, byte| {
                let _ = write!(shasum, "{byte:02x}");
                shasum
            });
        manifest["dist"] = json!({
            "tarball": format!("{}{file}", self.server.url()),
            "integrity": format!("sha512-{}", STANDARD.encode(Sha512::digest(tarball))),
            "shasum": shasum,
        });
        let versions = self.versions.entry(name.clone()).or_default();
        versions.insert(version.clone(), manifest);
        // Long ago: what is new, some managers do not take yet.
        let time: Map<String, Value> = ["created", "modified"]
            .into_iter()
            .chain(versions.keys().map(String::as_str))
            .map(|key| (key.to_owned(), json!("2020-01-01T00:00:00.000Z")))
            .collect();
        let document = json!({"name": name, "dist-tags": {"latest": version}, "versions": versions, "time": time});
        self.write(
            &format!("{name}/index.json"),
            document.to_string().as_bytes(),
        );
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
    }

    /// Lets a package manager use it, with nothing left from earlier runs.
    pub fn serves(&self, command: &mut Command, monorepo: &Monorepo) {
        let home = tempfile::tempdir_in(monorepo.sandbox().path()).expect("a directory");
        let home = home.keep();
        command
            .env("npm_config_registry", self.server.url())
            .env("pnpm_config_registry", self.server.url())
            .env("npm_config_cache", home.join("npm"))
            .env("BUN_INSTALL_CACHE_DIR", home.join("bun"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .env("YARN_NPM_REGISTRY_SERVER", self.server.url())
            .env("YARN_UNSAFE_HTTP_WHITELIST", "127.0.0.1")
            .env("HOME", home);
    }
}

fn tarball(manifest: &Value, files: &[(&str, &str)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    let text = manifest.to_string();
    for (path, text) in [("package.json", text.as_str())].iter().chain(files) {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder
            .append_data(&mut header, format!("package/{path}"), text.as_bytes())
            .expect("an entry");
    }
    let gzip = builder.into_inner().expect("an archive");
    gzip.finish().expect("a tarball")
}
