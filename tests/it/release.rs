//! Stories of `release`: what is there afterwards, seen with other eyes than ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::http::send;
use crate::support::monorepo::Monorepo;
use crate::support::s3;
use crate::support::sandbox::{Run, Sandbox};
use crate::support::servers::free_port;
use crate::support::verdaccio::Verdaccio;
use crate::support::world::{self, GIT_TOKEN, Machine, World};

/// `pkgs.json` of the sample, with the health address of `web`.
pub fn sample_configuration(port: u16) -> String {
    let config = json!({
        "mode": "diff",
        "apps": {
            "web": {
                "type": "service",
                "environments": ["sit", "prod"],
                "auto": ["sit"],
                "health": format!("http://127.0.0.1:{port}/health"),
            },
            "site": {
                "type": "static",
                "build": "npm run build",
                "environments": ["sit", "prod"],
                "auto": ["sit"],
                "immutable": ["css/**", "js/**"],
            },
        },
    });
    format!("{config:#}\n")
}

/// The sample with a health address.
pub fn sample(port: u16) -> Monorepo {
    Monorepo::five().commit(
        "chore: ask the service for its health",
        &[("pkgs.json", &sample_configuration(port))],
    )
}

fn get(port: u16, path: &str) -> String {
    let url = format!("http://127.0.0.1:{port}{path}");
    let answer = send("GET", &url, &[], b"").expect("the service answers");
    String::from_utf8(answer.body).expect("text")
}

fn tags(run: &Run) -> BTreeSet<String> {
    let tags = run.output("tags");
    let tags = tags.as_array().expect("a list");
    tags.iter()
        .map(|tag| tag.as_str().expect("a tag").to_owned())
        .collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The repository is sound; every tag is annotated and points at a tree that holds its version; a push moved branch and tags together.
fn check_git(world: &World) {
    world.origin_git(&["fsck", "--strict", "--full"]);
    let listed = world.origin_git(&["tag", "--list"]);
    for tag in listed.lines() {
        assert_eq!(world.origin_git(&["cat-file", "-t", tag]), "tag", "{tag}");
        let (name, version) = tag.rsplit_once('@').expect("name@version");
        let directory = name.rsplit('/').next().expect("a name");
        let path = format!("packages/{directory}/package.json");
        let manifest: Value = serde_json::from_str(&world.at(tag, &path)).expect("JSON");
        assert_eq!(manifest["version"], version, "{tag}");
        let lockfile = world.at(tag, "package-lock.json");
        let lockfile: Value = serde_json::from_str(&lockfile).expect("JSON");
        let locked = &lockfile["packages"][format!("packages/{directory}")];
        assert_eq!(locked["version"], version, "{tag} in package-lock.json");
    }
}

/// Everything in the store lies where the protocol says, and is what its name says.
fn check_store(objects: &BTreeMap<String, s3::Object>) {
    for (key, object) in objects {
        let key = key.strip_prefix("team/v1/").expect("below the prefix");
        let parts: Vec<&str> = key.split('/').collect();
        let is_document = match parts.as_slice() {
            ["repository.json"] => true,
            ["blobs", "sha256", two, digest] => {
                assert_eq!(object.digest, format!("sha256:{digest}"), "{key}");
                assert_eq!(&digest[..2], *two);
                false
            }
            ["seals", base, plan] => base.len() == 40 && plan.ends_with(".json"),
            ["releases", id] => {
                let (date, commit) = id.split_once('-').expect("date-commit");
                assert_eq!((date.len(), commit.len()), (8, 12 + ".json".len()), "{key}");
                true
            }
            ["apps", "web" | "site", _, "any.json"] => true,
            ["apps", "web", version, archive] if archive.ends_with(".zst") => {
                assert_eq!(*archive, format!("web-{version}.tar.zst"));
                assert_eq!(object.content_type.as_deref(), Some("application/zstd"));
                false
            }
            [
                "apps",
                "web" | "site",
                "environments",
                "sit" | "prod",
                "log",
                entry,
            ] => {
                let number = entry.strip_suffix(".json").expect("JSON");
                assert!(number.len() == 12 && number.parse::<u64>().is_ok(), "{key}");
                true
            }
            [
                "apps",
                "web" | "site",
                "environments",
                "sit" | "prod",
                "current.json",
            ]
            | [
                "apps",
                "site",
                "environments",
                "sit" | "prod",
                "static.json",
            ]
            | [
                "apps",
                "web",
                "environments",
                "sit" | "prod",
                "hosts",
                "host-1.json",
            ] => true,
            _ => panic!("{key} has no place in the protocol"),
        };
        if is_document {
            let content_type = object.content_type.as_deref();
            assert_eq!(content_type, Some("application/json"), "{key}");
        }
    }
}

/// What GNU tar makes of an archive: the directory it was unpacked into, and its listing.
fn unpack(archive: &[u8], into: &Path) -> String {
    fs::create_dir_all(into).expect("a directory");
    let file = into.with_extension("tar.zst");
    fs::write(&file, archive).expect("a file");
    let sandbox = Sandbox::new();
    let tar = |arguments: &[&str]| {
        let mut tar = sandbox.command("tar", into);
        world::output(tar.arg("--zstd").args(arguments).arg("-f").arg(&file))
    };
    tar(&["-x"]);
    tar(&["-tv"])
}

/// Installs `packages` from the registry into an empty project.
fn npm_install(registry: &Verdaccio, packages: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    let project = sandbox.path().join("project");
    fs::create_dir(&project).expect("a directory");
    fs::write(project.join("package.json"), "{}").expect("a file");
    let mut npm = sandbox.command("npm", &project);
    npm.arg("install").arg("--registry").arg(&registry.url);
    world::output(npm.args(packages));
    sandbox
}

/// What the command `acme` of an installed project prints.
fn acme(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let project = sandbox.path().join("project");
    let mut command = sandbox.command(project.join("node_modules/.bin/acme"), &project);
    world::output(command.args(arguments))
}

#[test]
fn five_packages_three_releases_a_rollback_and_a_roll_forward() {
    let port = free_port();
    let world = World::served(sample(port), "five-packages");
    let outside = &world.outside;
    let clone = world.monorepo.clone_fresh(None);
    world.close();

    // A dry run builds everything and writes nothing.
    let before = world.origin_git(&["for-each-ref"]);
    let dry = world
        .binary_in(&clone, &["release", "--dry-run", "--format", "json"])
        .run()
        .expect(0);
    assert_eq!(dry.outputs["outcome"], "planned");
    assert_eq!(dry.outputs["released"], "false");
    assert_eq!(dry.output("tags"), json!([]));
    assert_eq!(outside.bucket(), BTreeMap::new());
    assert_eq!(outside.static_bucket(), BTreeMap::new());
    assert_eq!(world.origin_git(&["for-each-ref"]), before);
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    for package in ["core", "@acme/text", "@acme/cli"] {
        assert_eq!(outside.registry().packument(package), None);
    }
    drop(clone);

    // The first release: every package at the version it holds, nothing to edit, so only tags are pushed.
    let head = world.monorepo.head();
    let first = world.run(&["release"]).expect(0);
    let first_tags = set(&[
        "@acme/cli@0.3.0",
        "@acme/text@1.1.0",
        "core@1.0.0",
        "site@1.0.0",
        "web@2.0.0",
    ]);
    assert_eq!(tags(&first), first_tags);
    assert_eq!(first.outputs["released"], "true");
    assert_eq!(first.outputs["outcome"], "released");
    assert_eq!(first.outputs["commit"], head);
    assert_eq!(first.outputs["held"], "false");
    check_git(&world);
    let manifest = outside.document(&format!("team/{}", first.outputs["manifest"]));
    assert_eq!(manifest["schema"], "pkgs.release/1");
    assert_eq!(manifest["status"], "complete");
    assert_eq!(manifest["commit"], head);
    assert_eq!(manifest["id"], first.outputs["release-id"].as_str());
    let project = npm_install(outside.registry(), &["@acme/cli"]);
    assert_eq!(acme(&project, &["hello", "world"]), "Hello World\n");

    // The archive: the same bytes as the build in the other clone; GNU tar reads it; it runs.
    let app = outside.document("team/v1/apps/web/2.0.0/any.json");
    let digest = app["archive"]["digest"].as_str().expect("a digest");
    assert!(
        dry.stdout.contains(digest),
        "{digest} is not in\n{}",
        dry.stdout
    );
    let archive = outside.object("team/v1/apps/web/2.0.0/web-2.0.0.tar.zst");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let listing = unpack(&archive, &scratch.path().join("web"));
    let entries = app["archive"]["entries"].as_u64().expect("a number");
    assert_eq!(listing.lines().count() as u64, entries, "{listing}");
    let unpacked = world::files(&scratch.path().join("web"));
    assert!(
        unpacked.contains_key("service/index.js"),
        "{:?}",
        unpacked.keys()
    );
    let core = &unpacked["node_modules/core/package.json"];
    let core: Value = serde_json::from_slice(core).expect("JSON");
    assert_eq!(core["version"], "1.0.0");
    assert!(
        !unpacked.keys().any(|path| path.contains("cli")),
        "{:?}",
        unpacked.keys()
    );

    // The same commit again: the same outputs, and nothing is written.
    let objects = outside.bucket();
    let again = world.run(&["release"]).expect(0);
    for name in ["released", "outcome", "release-id", "commit", "manifest"] {
        assert_eq!(again.outputs[name], first.outputs[name], "{name}");
    }
    for name in ["tags", "packages", "apps", "matrix", "app-matrix"] {
        assert_eq!(again.output(name), first.output(name), "{name}");
    }
    assert_eq!(outside.bucket(), objects);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");

    // The host runs what `sit` names.
    let host = Machine::new();
    let pull = || host.pull(outside, "web", "sit", port).run().expect(0);
    pull();
    assert_eq!(get(port, "/health"), "2.0.0");
    assert_eq!(get(port, "/environment"), "sit");
    assert_eq!(host.current("web").as_deref(), Some("2.0.0"));

    // The second release: a feature of a library, and what uses it.
    let world = world.develop(
        "feat(core): count words",
        &[(
            "packages/core/src/index.js",
            "exports.words = (text) => text.split(/\\s+/).filter(Boolean);\nexports.count = (text) => exports.words(text).length;\n",
        )],
    );
    let world = world.develop(
        "fix(site): greet everybody",
        &[
            (
                "packages/site/src/js/site.js",
                "document.getElementById('greeting').textContent = 'Hello, all';\n",
            ),
            (
                "packages/site/src/robots.txt",
                "User-agent: *\nDisallow: /x\n",
            ),
        ],
    );
    let outside = &world.outside;
    let head = world.monorepo.head();
    let second = world.run(&["release"]).expect(0);
    assert_eq!(
        tags(&second),
        set(&["core@1.1.0", "site@1.0.1", "web@2.0.1"])
    );
    let commit = &second.outputs["commit"];
    assert_eq!(world.origin_git(&["rev-parse", "main"]), *commit);
    assert_eq!(world.origin_git(&["rev-parse", "main^"]), head);
    assert_eq!(world.monorepo.head(), head);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    let pull = || host.pull(outside, "web", "sit", port).run().expect(0);
    pull();
    assert_eq!(get(port, "/health"), "2.0.1");

    // The third: a break, so that the range of the dependent library is left.
    let world = world.develop(
        "feat(core)!: words are counted\n\nBREAKING CHANGE: no empty words",
        &[("packages/core/README.md", "Counts words.\n")],
    );
    let outside = &world.outside;
    let third = world.run(&["release"]).expect(0);
    assert_eq!(
        tags(&third),
        set(&["@acme/text@1.1.1", "core@2.0.0", "web@2.0.2"])
    );
    let text: Value =
        serde_json::from_str(&world.at("main", "packages/text/package.json")).expect("JSON");
    assert_eq!(text["dependencies"]["core"], "^2.0.0");
    let host_pull = || host.pull(outside, "web", "sit", port).run().expect(0);
    host_pull();
    assert_eq!(get(port, "/health"), "2.0.2");

    // One push for each release, with everything in it.
    let releases: Vec<BTreeSet<String>> = world
        .pushes()
        .into_iter()
        .filter(|refs| refs.iter().any(|name| name.starts_with("refs/tags/")))
        .map(|refs| refs.into_iter().collect())
        .collect();
    let expected: Vec<BTreeSet<String>> = [&first, &second, &third]
        .iter()
        .enumerate()
        .map(|(index, run)| {
            let mut refs: BTreeSet<String> = tags(run)
                .iter()
                .map(|tag| format!("refs/tags/{tag}"))
                .collect();
            if index > 0 {
                refs.insert("refs/heads/main".to_owned());
            }
            refs
        })
        .collect();
    assert_eq!(releases, expected);
    check_git(&world);
    check_store(&outside.bucket());

    // What is on the registry, as npm sees it.
    assert_eq!(
        outside.registry().versions("core"),
        ["1.0.0", "1.1.0", "2.0.0"]
    );
    assert_eq!(
        outside.registry().versions("@acme/text"),
        ["1.1.0", "1.1.1"]
    );
    assert_eq!(outside.registry().versions("@acme/cli"), ["0.3.0"]);
    assert_eq!(outside.registry().packument("web"), None);
    assert_eq!(outside.registry().packument("site"), None);
    let packument = outside.registry().packument("core").expect("published");
    assert_eq!(packument["dist-tags"], json!({"latest": "2.0.0"}));
    let project = npm_install(outside.registry(), &["@acme/cli"]);
    assert_eq!(
        acme(&project, &["a", "third", "release"]),
        "A Third Release\n"
    );
    let installed = project
        .path()
        .join("project/node_modules/core/package.json");
    let installed: Value =
        serde_json::from_slice(&fs::read(installed).expect("core")).expect("JSON");
    assert_eq!(installed["version"], "2.0.0");

    // Back, without a checkout: the service answers as before the break.
    let back = world
        .operate(&[
            "rollback",
            "--environment",
            "sit",
            "--app",
            "web",
            "--format",
            "json",
        ])
        .expect(0)
        .json();
    assert_eq!(back["apps"][0]["from"], "2.0.2");
    assert_eq!(back["apps"][0]["to"], "2.0.1");
    assert_eq!(back["apps"][0]["held"], true);
    host_pull();
    assert_eq!(get(port, "/health"), "2.0.1");
    assert_eq!(host.current("web").as_deref(), Some("2.0.1"));

    // And forward again, which a person has to insist on.
    let promote = [
        "promote",
        "--environment",
        "sit",
        "--app",
        "web",
        "--to",
        "2.0.2",
    ];
    let refused = world.operate(&promote).expect(3);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    let mut forced = promote.to_vec();
    forced.push("--force");
    let _ = world.operate(&forced).expect(0);
    host_pull();
    assert_eq!(get(port, "/health"), "2.0.2");
    let settled = host_pull();
    assert!(
        settled.stdout.contains("runs already"),
        "{}",
        settled.stdout
    );
    check_store(&outside.bucket());

    // No secret went anywhere.
    let secrets = [GIT_TOKEN, outside.registry().token.as_str()];
    for run in [&first, &second, &third] {
        let origin = world.monorepo.origin_directory();
        world
            .monorepo
            .sandbox()
            .keeps_secret(&secrets, run, &[origin], &[]);
    }
}
