//! Services of express and koa with native and pure dependencies, some in two versions: packed, unpacked elsewhere, started, asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::closures::{arguments, empty, run, write_lockfile};
use crate::support::http;
use crate::support::managers::{BERRY_4, BUN, CLASSIC, Manager, NPM, PNPM_10, PNPM_12};
use crate::support::monorepo::Monorepo;
use crate::support::servers::{Server, free_port, installed};
use crate::support::shelf::Shelf;
use crate::support::world::files;

const WEB: &str = "const { compareSync, hashSync } = require('bcrypt');
const express = require('express');
const lib = require('lib');

const app = express();
app.get('/', (request, response) => response.json({ type: lib('a.png'), right: compareSync('x', hashSync('x', 4)) }));
app.listen(Number(process.env.PORT), '127.0.0.1');
";
const LIB: &str = "const { lookup } = require('mime-types');
module.exports = (name) => `${lookup(name)} by ${require('mime-types/package.json').version}`;
";
const API: &str = "const Koa = require('koa');

const app = new Koa();
app.use((context) => { context.body = { type: context.accepts('json') }; });
app.listen(Number(process.env.PORT), '127.0.0.1');
";

/// A registry with express, koa and all that they need.
fn shelf() -> Shelf {
    let mut shelf = Shelf::start();
    let entries = fs::read_dir(installed().join("services")).expect("packages");
    let mut tarballs: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .collect();
    tarballs.sort();
    for tarball in tarballs {
        shelf.offer(&fs::read(tarball).expect("a tarball"));
    }
    shelf.add("tool", "1.0.0", &json!({}));
    // yarn adds it to what has something to compile.
    shelf.add("node-gyp", "11.0.0", &json!({}));
    shelf
}

/// `web` runs with express, a native module and a package of the workspace, `api` with koa; all are developed with a tool.
fn services(manager: &Manager) -> Monorepo {
    empty(manager)
        .service("web", "1.0.0")
        .service("api", "1.0.0")
        .package("lib", "1.0.0")
        .depends("web", "express", "5.1.0")
        .depends("web", "bcrypt", "6.0.0")
        .depends("web", "lib", "^1.0.0")
        .depends_in("devDependencies", "web", "tool", "1.0.0")
        .depends("api", "koa", "3.0.1")
        .depends_in("devDependencies", "api", "tool", "1.0.0")
        .depends("lib", "mime-types", "2.1.35")
        .depends_in("devDependencies", "lib", "tool", "1.0.0")
        .file("packages/web/service/index.js", WEB)
        .file("packages/web/src/unused.js", "")
        .file("packages/web/dist/unused.js", "")
        .file("packages/api/service/index.js", API)
        .file("packages/lib/src/index.js", LIB)
}

fn install(manager: &Manager, shelf: &Shelf, monorepo: Monorepo) -> Monorepo {
    let settings = "pnpm-workspace.yaml";
    let monorepo = if manager.lockfile == "pnpm-lock.yaml" {
        // It does not run the script that looks whether a native module fits.
        let text = monorepo.read(settings);
        monorepo.file(settings, &format!("{text}strictDepBuilds: false\n"))
    } else {
        monorepo
    };
    write_lockfile(manager, &monorepo, shelf);
    run(manager, &monorepo, shelf, arguments(manager)[1]);
    monorepo
}

/// The same, each service developed with what the other runs with, too.
fn entangled(manager: &Manager, shelf: &Shelf) -> Monorepo {
    let monorepo = services(manager)
        .depends_in("devDependencies", "web", "koa", "3.0.1")
        .depends_in("devDependencies", "api", "express", "5.1.0");
    install(manager, shelf, monorepo)
}

/// Archives of a workspace's services, unpacked side by side.
struct Shipped(tempfile::TempDir);

impl Shipped {
    fn root(&self, app: &str) -> PathBuf {
        self.0.path().join(app)
    }
}

fn shipped(monorepo: &Monorepo) -> Shipped {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    let pack = ["pack", "--artifacts", out.to_str().expect("a path")];
    let pack = monorepo.binary(&pack).env("PKGS_INSTALL", "none").run();
    let _ = pack.expect(0);
    for app in ["web", "api"] {
        let archive = fs::read(out.join(format!("{app}-1.0.0.tar.zst"))).expect("an archive");
        let _ = crate::release::unpack(&archive, &directory.path().join(app));
    }
    Shipped(directory)
}

/// Starts what was unpacked, and asks it.
fn answer(monorepo: &Monorepo, root: &Path) -> Value {
    let port = free_port();
    let scratch = tempfile::tempdir().expect("a directory");
    let mut node = monorepo.sandbox().command("node", root);
    node.arg("service/index.js").env("PORT", port.to_string());
    let url = format!("http://127.0.0.1:{port}/");
    let server = Server::start(&node, scratch.path(), &url).expect("a service that answers");
    let answer = http::send("GET", &url, &[("accept", "application/json")], b"");
    let answer = answer.expect("an answer");
    drop(server);
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// The files of every package below a directory, as `name@version/file`.
fn by_package(root: &Path) -> BTreeSet<String> {
    let all = files(root);
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for (path, text) in &all {
        let Some(place) = path.strip_suffix("/package.json") else {
            continue;
        };
        let (_, name) = place.rsplit_once("node_modules/").unwrap_or(("", ""));
        if name.matches('/').count() == usize::from(name.starts_with('@')) && !name.is_empty() {
            let manifest: Value = serde_json::from_slice(text).expect("JSON");
            let version = manifest["version"].as_str().expect("a version");
            names.insert(place, format!("{name}@{version}"));
        }
    }
    let inside = all.keys().filter_map(|path| {
        let end = path.rfind("node_modules/")? + "node_modules/".len();
        let scope = usize::from(path[end..].starts_with('@'));
        let slash = path[end..].match_indices('/').nth(scope)?.0;
        let package = names.get(&path[..end + slash])?;
        Some(format!("{package}{}", &path[end + slash..]))
    });
    inside.collect()
}

#[test]
fn services_of_express_and_koa_run_elsewhere_whichever_manager_installed_them() {
    let shelf = shelf();
    for manager in [&NPM, &PNPM_10, &PNPM_12, &CLASSIC, &BERRY_4, &BUN] {
        let monorepo = entangled(manager, &shelf);
        let shipped = shipped(&monorepo);
        let web = shipped.root("web");
        assert_eq!(
            answer(&monorepo, &web),
            json!({"type": "image/png by 2.1.35", "right": true}),
            "{}",
            manager.name
        );
        assert_eq!(
            answer(&monorepo, &shipped.root("api")),
            json!({"type": "json"})
        );
        for app in ["web", "api"] {
            let mut npm = monorepo.sandbox().command("npm", &shipped.root(app));
            let listed = npm
                .args(["ls", "--all", "--omit=dev"])
                .output()
                .expect("npm");
            assert!(
                listed.status.success(),
                "{} {app}: {listed:?}",
                manager.name
            );
        }
        let held: BTreeSet<String> = fs::read_dir(&web)
            .expect("a directory")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let expected = [manager.lockfile, "node_modules", "package.json", "service"];
        assert_eq!(held, expected.map(str::to_owned).into(), "{}", manager.name);
        let modules = web.join("node_modules");
        for dev in ["koa", "cookies", "koa-compose", "tool"] {
            assert!(!modules.join(dev).exists(), "{}: {dev}", manager.name);
        }
        assert!(!shipped.root("api").join("node_modules/express").exists());
    }
}

#[test]
fn an_archive_holds_what_a_clean_production_install_holds() {
    let shelf = shelf();
    let monorepo = install(&NPM, &shelf, services(&NPM));
    let shipped = shipped(&monorepo);
    let _ = fs::remove_dir_all(monorepo.path().join("node_modules"));
    for app in ["web", "api"] {
        let directory = format!("packages/{app}");
        let _ = fs::remove_dir_all(monorepo.path().join(&directory).join("node_modules"));
        let clean = [
            "ci",
            "--omit=dev",
            "--ignore-scripts",
            "--workspace",
            &directory,
        ];
        run(&NPM, &monorepo, &shelf, &clean);
        let scratch = tempfile::tempdir().expect("a directory");
        let mut copy = monorepo.sandbox().command("sh", monorepo.path());
        let copied = copy
            .args(["-c", "for at in . packages/*; do if [ -d $at/node_modules ]; then mkdir -p \"$0/$at\"; cp -r $at/node_modules \"$0/$at/\"; fi; done"])
            .arg(scratch.path());
        let _ = crate::support::world::output(copied);
        // Deliberate: the packages of the workspace are copied, not linked, and no list of what is installed lies there.
        let held: BTreeSet<String> = by_package(&shipped.root(app))
            .into_iter()
            .filter(|path| !path.starts_with("lib@"))
            .collect();
        assert!(held.len() > 100, "{}", held.len());
        let clean: BTreeSet<String> = by_package(scratch.path())
            .into_iter()
            .filter(|path| {
                !["lib@", "web@", "api@"]
                    .iter()
                    .any(|own| path.starts_with(own))
            })
            .collect();
        let differing: Vec<&String> = held.symmetric_difference(&clean).collect();
        assert!(differing.is_empty(), "{app}: {differing:#?}");
    }
}

#[test]
fn the_manifest_of_a_service_tells_what_its_native_modules_ask_for() {
    let shelf = shelf();
    let monorepo = entangled(&NPM, &shelf).commit("feat: begin", &[]);
    let world = crate::support::world::World::local(monorepo);
    let _ = world
        .binary(&["release"])
        .env("PKGS_INSTALL", "none")
        .run()
        .expect(0);
    let manifest = |app: &str| -> Value {
        let store = world
            .outside
            .path()
            .join(format!("store/v1/apps/{app}/1.0.0"));
        serde_json::from_slice(&files(&store)["any.json"]).expect("JSON")
    };
    let runtime = manifest("web")["runtime"].clone();
    let node = |expression: &str| {
        let mut node = world
            .monorepo
            .sandbox()
            .command("node", world.monorepo.path());
        let said = crate::support::world::output(node.args(["-p", expression]));
        said.trim().to_owned()
    };
    assert_eq!(runtime["os"], node("process.platform"));
    assert_eq!(runtime["arch"], node("process.arch"));
    assert_eq!(runtime["modulesAbi"], node("process.versions.modules"));
    if runtime["libc"] == "glibc" {
        let lowest = runtime["minGlibc"].as_str().expect("a version");
        assert!(lowest.starts_with("2."), "{lowest}");
    }
    for absent in ["os", "arch", "libc", "minGlibc", "modulesAbi"] {
        assert!(manifest("api")["runtime"][absent].is_null(), "{absent}");
    }
}
