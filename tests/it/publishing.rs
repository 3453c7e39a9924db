//! What a registry is asked, beside what npm itself asks.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use pkgs_action::local::archive::read_npm_tarball;
use serde_json::{Value, json};

use crate::support::http::{Listener, Request, Response};
use crate::support::managers::{self, Manager};
use crate::support::monorepo::Monorepo;
use crate::support::servers;
use crate::support::verdaccio::npmrc;
use crate::support::world::World;

const TOKEN: &str = "npm_tokenOfThePublisher0123456789abcdef";

/// A registry that takes what it is sent, and keeps every PUT.
struct Recorder {
    listener: Listener,
    puts: Arc<Mutex<Vec<Request>>>,
}

impl Recorder {
    fn start() -> Recorder {
        let puts: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&puts);
        let listener = Listener::answering(move |request| {
            let mut kept = kept.lock().expect("no test panics here");
            let answer =
                |status, body: &Value| Response::new(status, "application/json", body.to_string());
            if request.method == "PUT" {
                kept.push(request.clone());
                return answer(201, &json!({"ok": true}));
            }
            if request.path() == "/-/whoami" {
                return answer(200, &json!({"username": "ada"}));
            }
            let known = kept.iter().find(|put| put.path() == request.path());
            match known {
                Some(put) => Response::new(200, "application/json", put.body.clone()),
                None => answer(404, &json!({"error": "not found"})),
            }
        });
        Recorder { listener, puts }
    }

    /// The one PUT.
    fn put(&self) -> Request {
        let puts = self.puts.lock().expect("no test panics here");
        assert_eq!(puts.len(), 1, "requests to write");
        puts[0].clone()
    }
}

/// The body of a PUT without what no two programs share: the gzip stream, and the versions of the program.
fn told(put: &Request) -> (Value, Vec<u8>) {
    let mut body: Value = serde_json::from_slice(&put.body).expect("JSON");
    let attachments = body["_attachments"].as_object_mut().expect("attachments");
    let (_, tarball) = attachments.iter_mut().next().expect("a tarball");
    let data = tarball["data"].take();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data.as_str().expect("text"))
        .expect("base64");
    assert_eq!(tarball["length"].take(), json!(bytes.len()));
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut tar)
        .expect("gzip");
    let versions = body["versions"].as_object_mut().expect("versions");
    let (_, version) = versions.iter_mut().next().expect("a version");
    for (under, field) in [
        ("", "_nodeVersion"),
        ("", "_npmVersion"),
        ("dist", "integrity"),
        ("dist", "shasum"),
    ] {
        let object = if under.is_empty() {
            &mut *version
        } else {
            &mut version[under]
        };
        object
            .as_object_mut()
            .expect("an object")
            .shift_remove(field);
    }
    let address = version["dist"]["tarball"].as_str().expect("an address");
    let (_, path) = address.split_once("/@acme").expect("a path");
    version["dist"]["tarball"] = json!(path);
    (body, tar)
}

/// A package of which npm reads more than it packs.
fn package() -> Monorepo {
    let manifest = json!({
        "name": "@acme/told", "version": "1.0.0", "description": "told", "license": "MIT",
        "author": "Ada <ada@acme.example> (https://acme.example)",
        "repository": "github:acme/told", "bin": "bin/told.js", "main": "src/index",
        "files": ["src", "bin"], "keywords": ["a", 1], "bundledDependencies": [],
        "scripts": {"test": "true", "7": "node_modules/.bin/x"},
        "dependencies": {"left-pad": "^1.0.0"}, "publishConfig": {"access": "public"},
    });
    let monorepo = Monorepo::empty()
        .file("package.json", &format!("{manifest:#}\n"))
        .file("src/index.js", "module.exports = 1;\n")
        .file("src/index.d.ts", "export = 1;\n")
        .file("bin/told.js", "#!/usr/bin/env node\n")
        .file("AUTHORS", "Ada <ada@acme.example>\n# nobody\nBob\n")
        .file("binding.gyp", "{}\n")
        .file("docs/READ.md", "# Told\n\nWhat is told.\n")
        .config(&json!({"changelog": "none"}));
    symlink("docs/READ.md", monorepo.path().join("README.md")).expect("a link");
    monorepo.commit("feat: told", &[])
}

#[test]
fn a_registry_is_told_what_npm_tells_it() {
    let world = World::local(package());
    let monorepo = &world.monorepo;
    let npms = Recorder::start();
    let registry = format!("{}/", npms.listener.url().trim_end_matches('/'));
    let userconfig = world.outside.path().join("npmrc");
    fs::write(&userconfig, npmrc(&registry, TOKEN)).expect("written");
    let program = servers::installed().join("npm/package/bin/npm-cli.js");
    let published = monorepo
        .sandbox()
        .command("node", monorepo.path())
        .arg(program)
        .args(["publish", "--ignore-scripts", "--loglevel=error"])
        .args(["--registry", &registry])
        .env("npm_config_userconfig", &userconfig)
        .output()
        .expect("node starts");
    assert!(published.status.success(), "{published:?}");

    let ours = Recorder::start();
    let _ = world
        .binary(&["release"])
        .env("PKGS_REGISTRY", ours.listener.url())
        .env("PKGS_NPM_TOKEN", TOKEN)
        .run()
        .expect(0);
    let (npms, ours) = (npms.put(), ours.put());
    assert_eq!(ours.target, npms.target);
    for header in [
        "content-type",
        "authorization",
        "npm-auth-type",
        "npm-command",
    ] {
        assert_eq!(
            ours.headers.get(header),
            npms.headers.get(header),
            "{header}"
        );
    }
    let ((theirs, their_tar), (own, own_tar)) = (told(&npms), told(&ours));
    assert_eq!(own, theirs);
    assert!(own_tar == their_tar, "the tars differ");
}

/// What of a `package.json` a manager packs of `packages/text`, as its own tarball says.
fn packed_by(manager: &Manager, monorepo: &Monorepo, arguments: &[&str]) -> Value {
    let at = monorepo.path().join("packages/text");
    let output = manager
        .command(monorepo, arguments)
        .current_dir(&at)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}: {output:?}", manager.name);
    let entries = fs::read_dir(&at).expect("a directory");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    let tarball = paths.find(|path| path.extension().is_some_and(|kind| kind == "tgz"));
    let bytes = fs::read(tarball.as_ref().expect("a tarball")).expect("bytes");
    fs::remove_file(tarball.expect("a tarball")).expect("removed");
    let contents = read_npm_tarball(&bytes).expect("a tarball of npm");
    Value::Object(contents.manifest)
}

#[test]
fn what_leaves_a_workspace_is_what_its_manager_would_let_leave() {
    for (manager, arguments) in [
        (&managers::PNPM_12, vec!["pack"]),
        (&managers::BERRY_4, vec!["pack", "--out", "%s.tgz"]),
    ] {
        let catalogs = manager.name.starts_with("pnpm");
        let (file, settings) = manager.settings();
        let more = "catalog:\n  left-pad: ^1.3.0\n";
        let settings = if catalogs {
            format!("{settings}{more}")
        } else {
            settings
        };
        let left_pad = if catalogs { "catalog:" } else { "^1.3.0" };
        let text = json!({
            "name": "@acme/text", "version": "1.0.0", "main": "src/index.ts", "type": "commonjs",
            "dependencies": {"core": "workspace:^", "left-pad": left_pad},
            "optionalDependencies": if catalogs { json!({"alias": "workspace:core@*"}) } else { json!({}) },
            "peerDependencies": {"other": "workspace:~"},
            "devDependencies": {"other": "workspace:*"},
            "publishConfig": {
                "access": "public", "main": "index.js", "types": "index.d.ts",
                "exports": {".": "./index.js"}, "bin": "index.js", "os": ["linux"],
            },
        });
        let mut root = json!({"name": "acme", "private": true, "workspaces": ["packages/*"]});
        if !catalogs {
            root["packageManager"] = json!("yarn@4.18.1");
        }
        let monorepo = manager
            .settled(Monorepo::empty())
            .file("package.json", &root.to_string())
            .file(file, &settings)
            .file(
                "packages/core/package.json",
                r#"{"name": "core", "version": "1.2.3"}"#,
            )
            .file(
                "packages/other/package.json",
                r#"{"name": "other", "version": "2.0.0"}"#,
            )
            .file("packages/text/package.json", &format!("{text:#}\n"))
            .file("packages/text/index.js", "");
        let _ = manager.writes(&monorepo);
        let run = monorepo
            .run(&["pack", "--dry-run", "--format=json"])
            .expect(0);
        let pack = run.json();
        let packages = pack["packages"].as_array().expect("a list");
        let own = packages
            .iter()
            .find(|package| package["name"] == "@acme/text");
        let mut own = own.expect("text")["manifest"].clone();
        let theirs = packed_by(manager, &monorepo, &arguments);
        // Of yarn as it is written; the registry is told the object by everybody.
        if !catalogs {
            own["bin"] = json!("index.js");
        }
        let theirs = theirs.as_object().expect("an object");
        for (field, value) in theirs {
            assert_eq!(&own[field], value, "{field} as {} packs it", manager.name);
        }
    }
}
