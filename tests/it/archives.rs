//! Archives of services: what they hold, whichever package manager installed it, and that it runs elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::closures::{arguments, generated, run, write_lockfile};
use crate::support::managers::{BERRY_3, BERRY_4, BUN, CLASSIC, Manager, NPM, PNPM_10, PNPM_12};
use crate::support::monorepo::Monorepo;
use crate::support::random::seeds;
use crate::support::sandbox::Run;
use crate::support::shelf::Shelf;
use crate::support::world::World;

/// Lets a manager write its lockfile, and install.
fn install(manager: &Manager, monorepo: &Monorepo, shelf: &Shelf) {
    write_lockfile(manager, monorepo, shelf);
    run(manager, monorepo, shelf, arguments(manager)[1]);
}

/// Runs `pack` for the service `web`.
fn pack(monorepo: &Monorepo, out: &Path) -> Run {
    let out = out.to_str().expect("a path");
    let pack = monorepo.binary(&["pack", "--filter=web", "--artifacts", out]);
    pack.env("PKGS_INSTALL", "none").run()
}

/// What the archive of the service `web` holds, unpacked outside of the workspace.
struct Unpacked {
    _directory: tempfile::TempDir,
    root: PathBuf,
}

fn unpacked(monorepo: &Monorepo) -> Unpacked {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    let _ = pack(monorepo, &out).expect(0);
    let archive = fs::read(out.join("web-1.0.0.tar.zst")).expect("an archive");
    let root = fs::canonicalize(directory.path()).expect("a directory");
    let root = root.join("web");
    crate::release::unpack(&archive, &root);
    Unpacked {
        _directory: directory,
        root,
    }
}

fn manifest(package: &Path) -> Value {
    let text = fs::read_to_string(package.join("package.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

/// What Node finds under a name from a package, below `root`.
fn find(root: &Path, package: &Path, name: &str) -> Option<PathBuf> {
    let within = package
        .ancestors()
        .take_while(|above| above.starts_with(root));
    let mut places = within.map(|above| above.join("node_modules").join(name));
    let found = places.find(|place| place.exists())?;
    Some(fs::canonicalize(found).expect("a package"))
}

/// Checks that every package in an archive finds what it finds in the workspace, and that nothing else is there; gives how many there are.
fn leads_where_it_led(monorepo: &Monorepo, archive: &Path) -> usize {
    let workspace = fs::canonicalize(monorepo.path()).expect("a directory");
    let mut met = BTreeSet::new();
    let mut open = vec![(archive.to_owned(), workspace.join("packages/web"))];
    while let Some((here, there)) = open.pop() {
        if !met.insert(here.clone()) {
            continue;
        }
        let (own, original) = (manifest(&here), manifest(&there));
        for key in ["name", "version"] {
            assert_eq!(own[key], original[key], "{}", here.display());
        }
        for field in ["dependencies", "optionalDependencies", "peerDependencies"] {
            for name in own[field]
                .as_object()
                .into_iter()
                .flat_map(|all| all.keys())
            {
                let led = find(&workspace, &there, name);
                let leads = find(archive, &here, name);
                // Where nothing is linked in the workspace, something may be found here.
                assert!(
                    leads.is_some() || led.is_none(),
                    "{name} of {}",
                    here.display()
                );
                open.extend(leads.zip(led));
            }
        }
    }
    let packages = packages(archive);
    assert_eq!(packages, met, "packages that nothing asks for");
    met.len()
}

/// Every package in an archive.
fn packages(archive: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![archive.to_owned()];
    while let Some(package) = open.pop() {
        found.insert(package.clone());
        let scopes = fs::read_dir(package.join("node_modules"));
        for entry in scopes.into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if name.starts_with('@') {
                let inside = fs::read_dir(path).expect("a scope");
                open.extend(inside.map(|entry| entry.expect("an entry").path()));
            } else if name != ".bin" {
                open.push(path);
            }
        }
    }
    found
}

/// More settings of a manager.
struct Layout {
    manager: &'static Manager,
    file: &'static str,
    settings: &'static str,
}

const PLAIN: [&Manager; 6] = [&PNPM_10, &PNPM_12, &CLASSIC, &BERRY_3, &BERRY_4, &BUN];
const LAYOUTS: [Layout; 4] = [
    Layout {
        manager: &PNPM_10,
        file: "pnpm-workspace.yaml",
        settings: "nodeLinker: hoisted\n",
    },
    Layout {
        manager: &PNPM_12,
        file: "pnpm-workspace.yaml",
        settings: "injectWorkspacePackages: true\n",
    },
    Layout {
        manager: &BERRY_4,
        file: ".yarnrc.yml",
        settings: "nodeLinker: pnpm\n",
    },
    Layout {
        manager: &BUN,
        file: "bunfig.toml",
        settings: "[install]\nlinker = \"isolated\"\n",
    },
];

#[test]
fn every_package_in_an_archive_finds_what_it_finds_in_the_workspace() {
    for manager in PLAIN {
        for seed in seeds(2) {
            let (monorepo, shelf) = generated(manager, seed);
            install(manager, &monorepo, &shelf);
            let count = leads_where_it_led(&monorepo, &unpacked(&monorepo).root);
            assert!(count > 3, "{} seed {seed}: {count}", manager.name);
        }
    }
}

#[test]
fn whatever_the_layout_every_package_in_an_archive_finds_what_it_finds_in_the_workspace() {
    for layout in LAYOUTS {
        for seed in seeds(2) {
            let (monorepo, shelf) = generated(layout.manager, seed);
            let path = monorepo.path().join(layout.file);
            let before = fs::read_to_string(path).unwrap_or_default();
            let before = before.replace("nodeLinker: node-modules\n", "");
            let monorepo = monorepo.file(layout.file, &format!("{before}{}", layout.settings));
            install(layout.manager, &monorepo, &shelf);
            let count = leads_where_it_led(&monorepo, &unpacked(&monorepo).root);
            assert!(count > 3, "{} seed {seed}: {count}", layout.settings);
        }
    }
}

#[test]
fn what_is_missing_or_another_version_than_the_lockfile_says_is_refused() {
    for manager in PLAIN {
        let mut shelf = Shelf::start();
        shelf.add(
            "koa",
            "1.0.0",
            &json!({"dependencies": {"inner": "^1.0.0"}}),
        );
        shelf.add("inner", "1.0.0", &json!({}));
        let monorepo = crate::closures::empty(manager)
            .service("web", "1.0.0")
            .depends("web", "koa", "^1.0.0");
        install(manager, &monorepo, &shelf);
        let inner = find(
            monorepo.path(),
            &monorepo.path().join("packages/web"),
            "koa",
        )
        .and_then(|koa| {
            find(
                &fs::canonicalize(monorepo.path()).expect("a directory"),
                &koa,
                "inner",
            )
        })
        .expect("what koa needs");
        let out = tempfile::tempdir().expect("a directory");
        fs::remove_file(inner.join("package.json")).expect("it was there");
        fs::write(
            inner.join("package.json"),
            "{\"name\": \"inner\", \"version\": \"1.0.1\"}",
        )
        .expect("a file");
        let told = pack(&monorepo, &out.path().join("one")).expect(3);
        for said in [
            "error[workspace::installed_differs]",
            "is installed as inner@1.0.1",
            "says inner@1.0.0",
        ] {
            assert!(
                told.stderr.contains(said),
                "{}: {}",
                manager.name,
                told.stderr
            );
        }
        fs::remove_dir_all(&inner).expect("it was there");
        let told = pack(&monorepo, &out.path().join("two")).expect(3);
        for said in [
            "error[workspace::not_installed]",
            "\"inner\" of ",
            "install",
        ] {
            assert!(
                told.stderr.contains(said),
                "{}: {}",
                manager.name,
                told.stderr
            );
        }
    }
}

/// What is special to lay out: a forced version, an alias, a patch, a package for another system, one that carries others, a copied
/// package of the workspace that was built after it was installed.
fn special() -> (Monorepo, Shelf) {
    let mut shelf = Shelf::start();
    let code = [("index.js", "module.exports = 'as published';\n")];
    shelf.add_with("patched", "1.0.0", &json!({}), &code);
    shelf.add("forced", "1.0.0", &json!({}));
    shelf.add("forced", "2.0.0", &json!({}));
    shelf.add(
        "real",
        "1.0.0",
        &json!({"dependencies": {"forced": "^1.0.0"}}),
    );
    shelf.add(
        "elsewhere",
        "1.0.0",
        &json!({"os": ["aix"], "dependencies": {"forced": "^1.0.0"}}),
    );
    shelf.add("host", "1.0.0", &json!({}));
    shelf.add("host", "2.0.0", &json!({}));
    shelf.add(
        "plugin",
        "1.0.0",
        &json!({"peerDependencies": {"host": "*"}, "bin": "index.js"}),
    );
    let carrying =
        json!({"dependencies": {"carried": "^1.0.0"}, "bundleDependencies": ["carried"]});
    let inner =
        "{\"name\": \"carried\", \"version\": \"1.0.0\", \"dependencies\": {\"deeper\": \"1\"}}";
    let deeper = "{\"name\": \"deeper\", \"version\": \"1.0.0\"}";
    shelf.add("carried", "1.0.0", &json!({}));
    shelf.add_with(
        "carries",
        "1.0.0",
        &carrying,
        &[
            ("node_modules/carried/package.json", inner),
            (
                "node_modules/carried/node_modules/deeper/package.json",
                deeper,
            ),
        ],
    );
    let monorepo = crate::closures::empty(&PNPM_10)
        .file(
            "pnpm-workspace.yaml",
            "packages:\n  - packages/*\noverrides:\n  forced: 2.0.0\npatchedDependencies:\n  patched@1.0.0: patches/patched.patch\n",
        )
        .file(
            "patches/patched.patch",
            "diff --git a/index.js b/index.js\n--- a/index.js\n+++ b/index.js\n@@ -1 +1 @@\n-module.exports = 'as published';\n+module.exports = 'as patched';\n",
        )
        .service("web", "1.0.0")
        .package("lib", "1.0.0")
        .depends("web", "lib", "workspace:*")
        .depends("web", "alias", "npm:real@^1.0.0")
        .depends("web", "patched", "1.0.0")
        .depends("web", "carries", "1.0.0")
        .depends("web", "host", "1.0.0")
        .depends_in("optionalDependencies", "web", "elsewhere", "1.0.0")
        .depends("lib", "plugin", "1.0.0")
        .depends_in("peerDependencies", "lib", "host", "*")
        .depends_in("devDependencies", "lib", "host", "2.0.0")
        .edit("packages/web/package.json", |manifest| {
            manifest["dependenciesMeta"] = json!({"lib": {"injected": true}});
        })
        .edit("packages/lib/package.json", |manifest| {
            manifest["files"] = json!(["dist"]);
        });
    (monorepo, shelf)
}

#[test]
fn what_pnpm_forces_renames_patches_copies_and_leaves_out_is_in_the_archive_as_installed() {
    let (monorepo, shelf) = special();
    install(&PNPM_10, &monorepo, &shelf);
    monorepo.write("packages/lib/dist/built.js", "built after the install");
    let unpacked = unpacked(&monorepo);
    let files = crate::support::world::files(&unpacked.root);
    let at = |path: &str| String::from_utf8_lossy(&files[path]).into_owned();
    let version = |path: &str| {
        let manifest = at(&format!("node_modules/{path}/package.json"));
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        format!(
            "{} {}",
            manifest["name"].as_str().expect("a name"),
            manifest["version"].as_str().expect("a version")
        )
    };
    assert_eq!(
        at("node_modules/patched/index.js"),
        "module.exports = 'as patched';\n"
    );
    assert_eq!(
        at("node_modules/lib/dist/built.js"),
        "built after the install"
    );
    assert_eq!(version("forced"), "forced 2.0.0");
    assert_eq!(version("alias"), "real 1.0.0");
    assert_eq!(version("carried"), "carried 1.0.0");
    assert_eq!(version("deeper"), "deeper 1.0.0");
    // The copy has the peers of the app, not those that it is developed with.
    assert_eq!(version("host"), "host 1.0.0");
    assert_eq!(version("plugin"), "plugin 1.0.0");
    let names = packages(&unpacked.root);
    assert_eq!(names.len(), 9 + 1, "{names:#?}");
    assert!(
        !files
            .keys()
            .any(|path| path.contains(".pnpm") || path.starts_with("src/"))
    );
    assert!(files.contains_key("pnpm-lock.yaml"));
}

#[test]
fn an_archive_without_node_modules_is_refused() {
    for (manager, file, setting, said) in [
        (
            &BERRY_4,
            ".yarnrc.yml",
            "nodeLinker: pnp\n",
            "nodeLinker: node-modules",
        ),
        (
            &BERRY_3,
            ".yarnrc.yml",
            "nodeLinker: pnp\n",
            "nodeLinker: node-modules",
        ),
        (
            &PNPM_10,
            "pnpm-workspace.yaml",
            "nodeLinker: pnp\nsymlink: false\n",
            "nodeLinker: isolated",
        ),
    ] {
        let mut shelf = Shelf::start();
        shelf.add("koa", "1.0.0", &json!({}));
        let monorepo = crate::closures::empty(manager)
            .service("web", "1.0.0")
            .depends("web", "koa", "^1.0.0");
        let before = monorepo
            .read(file)
            .replace("nodeLinker: node-modules\n", "");
        let monorepo = monorepo.file(file, &format!("{before}{setting}"));
        install(manager, &monorepo, &shelf);
        let out = tempfile::tempdir().expect("a directory");
        let told = pack(&monorepo, &out.path().join("out")).expect(3);
        assert!(
            told.stderr.contains("error[build::plug_and_play]"),
            "{}",
            told.stderr
        );
        assert!(told.stderr.contains(said), "{}", told.stderr);
    }
}

/// A service in an npm workspace that depends on `koa`, installed from a shelf.
fn with_koa(files: &[(&str, &str)]) -> (Monorepo, Shelf) {
    let mut shelf = Shelf::start();
    let bin = [(
        "bin/koa.js",
        "#!/usr/bin/env node\nconsole.log('started by ' + require('koa/package.json').name);\n",
    )];
    let koa = json!({"bin": "bin/koa.js", "dependencies": {"inner": "^1.0.0"}});
    shelf.add_with("koa", "1.0.0", &koa, &bin);
    let key = [(
        "test/server.key",
        "-----BEGIN PRIVATE KEY-----\nof a test\n",
    )];
    shelf.add_with(
        "inner",
        "1.0.0",
        &json!({"peerDependencies": {"host": "^1.0.0"}}),
        &key,
    );
    let monorepo = crate::closures::empty(&NPM)
        .file(".npmrc", "legacy-peer-deps=true\n")
        .service("web", "1.0.0")
        .package("lib", "1.0.0")
        .depends("web", "koa", "^1.0.0")
        .depends("web", "lib", "^1.0.0")
        .edit("packages/web/package.json", |manifest| {
            manifest["scripts"] = json!({"start": "koa"});
        });
    let monorepo =
        { files.iter() }.fold(monorepo, |monorepo, (path, text)| monorepo.file(path, text));
    write_lockfile(&NPM, &monorepo, &shelf);
    run(&NPM, &monorepo, &shelf, arguments(&NPM)[1]);
    (monorepo, shelf)
}

#[test]
fn a_service_is_started_by_the_program_of_a_dependency() {
    let (monorepo, _shelf) = with_koa(&[]);
    let unpacked = unpacked(&monorepo);
    let mut npm = monorepo.sandbox().command("npm", &unpacked.root);
    let said = crate::support::world::output(npm.args(["run", "--silent", "start"]));
    assert_eq!(said, "started by koa\n");
    let link = unpacked.root.join("node_modules/.bin/koa");
    assert_eq!(
        fs::read_link(link).expect("a link"),
        Path::new("../koa/bin/koa.js")
    );
}

#[test]
fn what_an_archive_lacks_and_the_secrets_in_it_are_told_together_before_anything_is_stored() {
    let secrets = [
        ("packages/web/service/.env", "PASSWORD=1\n"),
        (
            "packages/web/service/tls/server.pem",
            "-----BEGIN PRIVATE KEY-----\n",
        ),
        ("packages/lib/src/id_rsa", ""),
        ("packages/lib/src/.env.example", "PASSWORD=\n"),
    ];
    let (monorepo, _shelf) = with_koa(&secrets);
    let koa = monorepo.path().join("node_modules/inner");
    fs::remove_dir_all(&koa).expect("it was there");
    fs::create_dir(&koa).expect("an empty directory");
    let world = World::local(monorepo.commit("feat: begin", &[]));
    let release = |key_files: &str| {
        let release = world.binary(&["release", "--format=json"]);
        release
            .env("PKGS_INSTALL", "none")
            .env("PKGS_KEY_FILES", key_files)
            .run()
    };
    let run = release("").expect(3);
    for said in [
        "the archive of web would hold \"service/.env\"",
        "the archive of web would hold \"service/tls/server.pem\"",
        "the archive of web would hold \"node_modules/lib/src/id_rsa\"",
        "the archive of web would lack \"inner\" of node_modules/koa",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("example"), "{}", run.stderr);
    let store = world.outside.path().join("store");
    assert!(
        crate::support::world::files(&store)
            .keys()
            .all(|key| !key.contains("blobs"))
    );
    assert_eq!(world.origin_git(&["tag", "--list"]), "");

    fs::write(
        koa.join("package.json"),
        "{\"name\": \"inner\", \"version\": \"1.0.0\", \"peerDependencies\": {\"host\": \"*\"}}",
    )
    .expect("a file");
    let run = release("service/tls/*.pem\n.env").expect(3);
    assert!(
        !run.stderr.contains("would hold \"service/"),
        "{}",
        run.stderr
    );
    let run = release("service/tls/*.pem\n.env\nid_rsa").expect(0);
    let peer = json!({
        "code": "archive::missing_peer",
        "message": "the archive of web lacks peers, as the workspace does: \"host\" of node_modules/inner",
    });
    assert_eq!(run.json()["plan"]["warnings"], json!([peer]));
}
