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
            ["blobs", "sha256", two, digest] => {
                assert_eq!(object.digest, format!("sha256:{digest}"), "{key}");
                assert_eq!(&digest[..2], *two);
                false
            }
            ["seals", base, plan] => (base.len(), plan.len()) == (40, 64 + ".json".len()),
            ["releases", id] => {
                let (date, commit) = id.split_once('-').expect("date-commit");
                assert_eq!((date.len(), commit.len()), (8, 12 + ".json".len()), "{key}");
                true
            }
            ["repository.json"] | ["apps", "web" | "site", _, "any.json"] => true,
            ["apps", "web", version, archive] if archive.starts_with("web-") => {
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

/// What is cached for ever has a hash in its name; everything says what it is.
fn check_headers(objects: &BTreeMap<String, s3::Object>) {
    for (path, object) in objects {
        let (content_type, cache) = match path.strip_prefix("sit/").expect("below the root") {
            "index.html" => ("text/html; charset=utf-8", "no-cache"),
            "robots.txt" => (
                "text/plain; charset=utf-8",
                "public, max-age=0, must-revalidate",
            ),
            "version.json" => ("application/json; charset=utf-8", "no-store"),
            css if css.starts_with("css/site.") => (
                "text/css; charset=utf-8",
                "public, max-age=31536000, immutable",
            ),
            js if js.starts_with("js/site.") => (
                "text/javascript; charset=utf-8",
                "public, max-age=31536000, immutable",
            ),
            other => panic!("{other} is not of the site"),
        };
        let found = (
            object.content_type.as_deref(),
            object.cache_control.as_deref(),
        );
        assert_eq!(found, (Some(content_type), Some(cache)), "{path}");
    }
}

/// What GNU tar makes of an archive: the directory it was unpacked into, and its listing.
pub fn unpack(archive: &[u8], into: &Path) -> String {
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

    // What browsers get.
    let one = outside.static_bucket();
    check_headers(&one);

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
    let two = outside.static_bucket();
    check_headers(&two);
    for (path, object) in &one {
        let is_hashed = path.contains("/css/") || path.contains("/js/");
        let same = two[path].digest == object.digest;
        // The page names the new script; the style did not change.
        assert_eq!(same, is_hashed, "{path}");
    }
    assert_eq!(two.len(), one.len() + 1);
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
    assert_eq!(settled.stdout, "");
    assert!(
        settled.stderr.contains("runs already"),
        "{}",
        settled.stderr
    );
    check_store(&outside.bucket());

    // The site too, with the old bytes of all that has no hash in its name.
    let back = world.operate(&["rollback", "--environment", "sit", "--app", "site"]);
    let _ = back.expect(0);
    let now = outside.static_bucket();
    for (path, object) in &one {
        assert_eq!(now[path].digest, object.digest, "{path}");
    }
    assert_eq!(now.len(), two.len());
    check_headers(&now);

    // A workflow that promotes tells the next step what is live; with two apps it must say which it means.
    let promote = |more: &[&str]| {
        let arguments = ["promote", "--environment", "prod", "--from", "sit"];
        world.run(&[&arguments[..], more].concat())
    };
    let which = promote(&[]).expect(2);
    assert!(
        which.stderr.contains("site") && which.stderr.contains("web"),
        "{}",
        which.stderr
    );
    assert!(which.stdout.contains("::error"), "{}", which.stdout);
    let promoted = promote(&["--app", "web"]).expect(0);
    assert_eq!(promoted.outputs["environment"], "prod");
    assert_eq!(promoted.outputs["current"], "2.0.2");
    assert_eq!(promoted.outputs["previous"], "");
    assert_eq!(promoted.outputs["seq"], "1");
    assert_eq!(promoted.outputs["held"], "false");
    assert_eq!(promoted.output("pointers")[0]["outcome"], "done");
    // The same step of a re-run of the same job: it happened already.
    let repeated = promote(&["--app", "web"]).expect(0);
    assert_eq!(repeated.outputs["seq"], "1");
    assert_eq!(repeated.output("pointers")[0]["outcome"], "already-done");
    let served = host.pull(outside, "site", "sit", port).run().expect(3);
    assert!(
        served.stderr.contains("error[pull::static_app]"),
        "{}",
        served.stderr
    );

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

/// The work tree as it is: every file but git's and installed ones, and what git's index holds.
fn snapshot(monorepo: &Monorepo) -> (BTreeMap<String, Vec<u8>>, String) {
    let mut files = world::files(monorepo.path());
    files.retain(|path, _| !path.starts_with(".git/") && !path.contains("node_modules/"));
    (files, monorepo.git(&["ls-files", "--stage", "--debug"]))
}

/// The message of an annotated tag in the origin.
fn message(world: &World, tag: &str) -> String {
    world.origin_git(&["tag", "--list", "--format=%(contents)", tag])
}

/// `package.json` of the version `version` of `name` in a directory registry, as npm would read it: in the packument and in the tarball.
fn published(world: &World, name: &str, version: &str) -> Value {
    let directory = world.outside.path().join("npm");
    let packument = fs::read(directory.join(name)).expect("a packument");
    let packument: Value = serde_json::from_slice(&packument).expect("JSON");
    let manifest = packument["versions"][version].clone();
    let tarball = manifest["dist"]["tarball"].as_str().expect("an address");
    let file = tarball.rsplit('/').next().expect("a file name");
    let sandbox = Sandbox::new();
    let mut tar = sandbox.command("tar", sandbox.path());
    let tarball = directory.join("-/tarballs").join(name).join(file);
    tar.args(["-xzO", "package/package.json", "-f"])
        .arg(tarball);
    let inside: Value = serde_json::from_str(&world::output(&mut tar)).expect("JSON");
    for field in ["dependencies", "peerDependencies", "optionalDependencies"] {
        assert_eq!(inside[field], manifest[field], "{field} of {name}");
    }
    inside
}

#[test]
fn libraries_without_a_store_are_decided_by_their_tags() {
    let script = "node -e \"require('fs').writeFileSync('seen.json', JSON.stringify(process.env)); console.log('::warning::injected'); console.log('::set-output name=released::injected'); console.error('::error::injected')\"";
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.1.0")
        .depends("@acme/text", "core", "^1.0.0")
        .file(".gitignore", "node_modules/\nseen.json\n");
    let mut manifest = monorepo.json("packages/core/package.json");
    manifest["scripts"] = json!({"prepack": script});
    let monorepo = monorepo
        .file("packages/core/package.json", &format!("{manifest:#}\n"))
        .commit("feat: begin", &[]);
    let world = World::served(monorepo, "no-store");
    world.close();
    let canary = "canaryOfAllSecrets0123456789";
    let release = || {
        world
            .binary(&["release"])
            .env("PKGS_STORE", "none")
            .env("PKGS_STATIC", "none")
            .env("GITHUB_TOKEN", canary)
            .env("NODE_AUTH_TOKEN", canary)
            .env("AWS_SESSION_TOKEN", canary)
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", canary)
            .env("ACTIONS_RUNTIME_TOKEN", canary)
            .run()
    };
    let before = snapshot(&world.monorepo);
    let run = release().expect(0);
    let seen = world.monorepo.read("packages/core/seen.json");
    fs::remove_file(world.monorepo.path().join("packages/core/seen.json")).expect("it goes");
    assert_eq!(snapshot(&world.monorepo), before);

    // The script saw no secret and none of the files that steer a workflow.
    for secret in [canary, GIT_TOKEN, &world.outside.registry().token] {
        assert!(!seen.contains(secret), "{seen}");
    }
    let seen: BTreeMap<String, String> = serde_json::from_str(&seen).expect("JSON");
    for name in [
        "GITHUB_OUTPUT",
        "GITHUB_ENV",
        "GITHUB_PATH",
        "GITHUB_STEP_SUMMARY",
        "PKGS_TOKEN",
    ] {
        assert!(!seen.contains_key(name), "{name} in {:?}", seen.keys());
    }
    assert_eq!(seen["npm_package_name"], "core");
    assert_eq!(seen["npm_lifecycle_event"], "prepack");

    // What it printed is no command to the runner: commands were stopped by a word that it cannot know.
    for text in [&run.stdout, &run.stderr] {
        let mut stopped: Option<String> = None;
        for line in text.lines() {
            if let Some(word) = line.strip_prefix("::stop-commands::") {
                stopped = Some(format!("::{word}::"));
            } else if stopped.as_deref() == Some(line) {
                stopped = None;
            } else if line.contains("injected") {
                let secret = stopped.as_deref().expect("commands are stopped");
                assert!(
                    !seen
                        .values()
                        .any(|value| value.contains(secret.trim_matches(':')))
                );
            }
        }
        assert_eq!(stopped, None, "commands are never taken again:\n{text}");
    }
    assert!(format!("{}{}", run.stdout, run.stderr).contains("::warning::injected"));
    assert_eq!(run.outputs["released"], "true");

    // The tags hold the decision; what npm has is what they say.
    for (name, version) in [("core", "1.0.0"), ("@acme/text", "1.1.0")] {
        let message = message(&world, &format!("{name}@{version}"));
        let packument = world.outside.registry().packument(name).expect("published");
        let manifest = &packument["versions"][version];
        let integrity = manifest["dist"]["integrity"].as_str().expect("sha512");
        assert!(message.contains("Pkgs-Seal: none\n"), "{message}");
        assert!(
            message.contains(&format!("Pkgs-Integrity: {integrity}")),
            "{message}"
        );
        assert_eq!(manifest["gitHead"], world.monorepo.head());
    }
    check_git(&world);

    // Outputs and summary, as a workflow and its reader get them.
    let packages = run.output("packages");
    let names: Vec<&str> = packages
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| package["name"].as_str())
        .collect();
    assert_eq!(names, ["core", "@acme/text"]);
    assert_eq!(packages[0]["published"], true);
    assert_eq!(packages[0]["dir"], "packages/core");
    assert_eq!(packages[0]["kind"], "library");
    assert_eq!(packages[0]["distTag"], "latest");
    assert_eq!(run.output("matrix"), json!({"include": packages}));
    for name in ["apps", "pointers", "pending"] {
        assert_eq!(run.output(name), json!([]), "{name}");
    }
    assert_eq!(run.output("app-matrix"), json!({"include": []}));
    assert!(run.summary.starts_with("## Released "), "{}", run.summary);
    assert!(run.summary.contains("| `core` | "), "{}", run.summary);
    assert!(
        run.summary.contains("| publish | `@acme/text@1.1.0` | "),
        "{}",
        run.summary
    );

    // Once more: the same outputs, nothing published, nothing pushed.
    let npm = |world: &World| {
        let packument = |name| world.outside.registry().packument(name);
        ["core", "@acme/text"].map(packument)
    };
    let (there, pushes) = (npm(&world), world.pushes());
    let again = release().expect(0);
    assert_eq!(again.outputs["released"], "true");
    for name in ["tags", "packages", "release-id", "commit"] {
        assert_eq!(again.output(name), run.output(name), "{name}");
    }
    assert_eq!((npm(&world), world.pushes()), (there, pushes));
    assert!(!run.summary.contains(GIT_TOKEN) && !run.stderr.contains(GIT_TOKEN));
    let origin = world.monorepo.origin_directory();
    let secrets = [canary, GIT_TOKEN, &world.outside.registry().token];
    let sandbox = world.monorepo.sandbox();
    sandbox.keeps_secret(&secrets, &run, &[origin], &[]);
}

#[test]
fn ranges_of_a_pnpm_workspace_never_leave_it() {
    let monorepo = Monorepo::empty()
        .file(".gitignore", "node_modules/\n")
        .file(
            "package.json",
            "{\n  \"name\": \"root\",\n  \"private\": true\n}\n",
        )
        .file("pnpm-workspace.yaml", "packages:\n  - \"packages/*\"\n")
        .config(&json!({"mode": "diff"}))
        .package("core", "1.0.0")
        .package("tools", "1.0.0")
        .package("text", "1.0.0")
        .depends("text", "core", "workspace:^")
        .depends("text", "tools", "workspace:*")
        .depends_in("peerDependencies", "tools", "core", "workspace:~")
        .depends_in("devDependencies", "core", "tools", "workspace:^1.0.0")
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let release = |world: &World| world.binary(&["release"]).env("PKGS_STORE", "none").run();
    let _ = release(&world).expect(0);
    assert_eq!(
        published(&world, "text", "1.0.0")["dependencies"],
        json!({"core": "^1.0.0", "tools": "1.0.0"})
    );
    let world = world.develop(
        "feat(core): more",
        &[("packages/core/src/index.js", "exports.more = 1;\n")],
    );
    let _ = release(&world).expect(0);
    let core = published(&world, "core", "1.1.0");
    assert!(!core.to_string().contains("workspace:"), "{core}");
    // `~1.0.0` and the exact version do not hold any more, so these follow; the repository keeps its own words.
    let tools = published(&world, "tools", "1.0.1");
    assert_eq!(tools["peerDependencies"], json!({"core": "~1.1.0"}));
    let text = published(&world, "text", "1.0.1");
    assert_eq!(
        text["dependencies"],
        json!({"core": "^1.1.0", "tools": "1.0.1"})
    );
    let kept: Value =
        serde_json::from_str(&world.at("main", "packages/text/package.json")).expect("JSON");
    assert_eq!(
        kept["dependencies"],
        json!({"core": "workspace:^", "tools": "workspace:*"})
    );
    assert_eq!(
        world.at("main", "pnpm-workspace.yaml"),
        world.at("main~1", "pnpm-workspace.yaml")
    );
}

#[test]
fn in_sync_mode_everything_has_one_version_and_one_tag() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.0.0")
        .service("web", "1.0.0")
        .depends("@acme/text", "core", "^1.0.0")
        .config(&json!({"mode": "sync"}));
    let mut root = monorepo.json("package.json");
    root["version"] = json!("1.0.0");
    let monorepo = monorepo
        .file("package.json", &format!("{root:#}\n"))
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    assert_eq!(world.origin_git(&["tag", "--list"]), "v1.0.0");
    let world = world.develop(
        "feat(core): more",
        &[("packages/core/src/index.js", "exports.more = 1;\n")],
    );
    let outputs = world.outside.path().join("outputs");
    let run = world
        .binary(&["release"])
        .env("GITHUB_OUTPUT", outputs)
        .run()
        .expect(0);
    assert_eq!(run.outputs["version"], "1.1.0");
    assert_eq!(run.output("tags"), json!(["v1.1.0"]));
    assert_eq!(world.origin_git(&["tag", "--list"]), "v1.0.0\nv1.1.0");
    let read =
        |path: &str| -> Value { serde_json::from_str(&world.at("v1.1.0", path)).expect("JSON") };
    for path in ["", "packages/core/", "packages/text/", "packages/web/"] {
        assert_eq!(
            read(&format!("{path}package.json"))["version"],
            "1.1.0",
            "{path}"
        );
    }
    // One version has one changelog.
    let changelogs = world.origin_git(&["ls-tree", "-r", "--name-only", "v1.1.0"]);
    let changelogs: Vec<&str> = changelogs
        .lines()
        .filter(|path| path.ends_with("CHANGELOG.md"))
        .collect();
    assert_eq!(changelogs, ["CHANGELOG.md"]);
    let lockfile = read("package-lock.json");
    assert_eq!(lockfile["version"], "1.1.0");
    for path in ["", "packages/core", "packages/text", "packages/web"] {
        assert_eq!(lockfile["packages"][path]["version"], "1.1.0", "{path}");
    }
    assert_eq!(published(&world, "@acme/text", "1.1.0")["version"], "1.1.0");
    world.origin_git(&["fsck", "--strict", "--full"]);
    // What is in the tag is what npm makes of it.
    world.follow();
    let ours = world.monorepo.read("package-lock.json");
    world.monorepo.npm(&[
        "install",
        "--package-lock-only",
        "--offline",
        "--ignore-scripts",
    ]);
    assert_eq!(world.monorepo.read("package-lock.json"), ours);
}

#[test]
fn the_manifest_of_an_app_names_its_own_tag_in_any_format() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .service("web", "1.0.0")
        .config(&json!({"mode": "diff", "tagFormat": "{name}/v{version}"}))
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let _ = world.run(&["release"]).expect(0);
    let tags = world.origin_git(&["tag", "--list"]);
    assert_eq!(tags, "core/v1.0.0\nweb/v1.0.0");
    let manifest = world
        .outside
        .path()
        .join("store/v1/apps/web/1.0.0/any.json");
    let manifest: Value =
        serde_json::from_slice(&fs::read(manifest).expect("a manifest")).expect("JSON");
    assert_eq!(manifest["git"]["tag"], "web/v1.0.0");
}

#[test]
fn a_single_package_keeps_every_other_byte_of_its_manifest() {
    let manifest = "{ \"name\" : \"odd\",\r\n\t\"version\":\"1.0.0\" ,\r\n  \"keywords\":[\"\\u00e9\", \"é\"], \"engines\": {\"node\":\">=1.0.0\"},\r\n\"main\": \"index.js\", \"license\":\"MIT\"}";
    let lockfile = "{\n    \"name\": \"odd\",\n    \"version\": \"1.0.0\",\n    \"lockfileVersion\": 3,\n    \"requires\": true,\n    \"packages\": {\n        \"\": {\n            \"name\": \"odd\",\n            \"version\": \"1.0.0\",\n            \"license\": \"MIT\",\n            \"engines\": {\"node\": \">=1.0.0\"}\n        }\n    }\n}";
    let monorepo = Monorepo::empty()
        .file("package.json", manifest)
        .file("package-lock.json", lockfile)
        .file("pkgs.json", "{}\n")
        .commit("feat: begin", &[("index.js", "")]);
    let world = World::local(monorepo);
    let release = |world: &World| world.binary(&["release"]).env("PKGS_STORE", "none").run();
    let _ = release(&world).expect(0);
    let world = world.develop("fix: it", &[("index.js", "exports.it = 1;\n")]);
    let before = snapshot(&world.monorepo);
    let _ = release(&world).expect(0);
    assert_eq!(snapshot(&world.monorepo), before);
    assert_eq!(world.origin_git(&["tag", "--list"]), "v1.0.0\nv1.0.1");
    let raised = |text: &str, count| text.replacen("\"1.0.0\"", "\"1.0.1\"", count);
    assert_eq!(world.at("v1.0.1", "package.json"), raised(manifest, 1));
    assert_eq!(world.at("v1.0.1", "package-lock.json"), raised(lockfile, 2));
    assert_eq!(published(&world, "odd", "1.0.1")["version"], "1.0.1");
    let changed = world.origin_git(&["diff", "--name-only", "v1.0.1~1", "v1.0.1"]);
    assert_eq!(changed, "CHANGELOG.md\npackage-lock.json\npackage.json");
}

#[test]
fn a_build_that_fails_decides_nothing_and_leaves_everything_as_it_was() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .static_site("site", "1.0.0")
        .released()
        .commit(
            "fix(site): it does not build",
            &[
                (
                    "packages/site/build.js",
                    "require('fs').writeFileSync('../core/package.json', '{}'); process.exit(7);\n",
                ),
                ("packages/core/src/index.js", "exports.one = 1;\n"),
            ],
        );
    let world = World::local(monorepo);
    let (before, refs) = (
        snapshot(&world.monorepo),
        world.origin_git(&["for-each-ref"]),
    );
    let outputs = world.outside.path().join("outputs");
    let run = world.binary(&["release"]).env("GITHUB_OUTPUT", outputs);
    let run = run.run().expect(1);
    assert!(run.stderr.contains("error["), "{}", run.stderr);
    assert_eq!(run.outputs["outcome"], "failed");
    assert_eq!(run.outputs["released"], "false");
    assert_eq!(run.output("packages"), json!([]));
    assert_eq!(snapshot(&world.monorepo), before);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    assert_eq!(world.origin_git(&["for-each-ref"]), refs);
    assert_eq!(world.pushes(), Vec::<Vec<String>>::new());
    assert_eq!(
        world::files(&world.outside.path().join("npm")),
        BTreeMap::new()
    );
    let kept = world::files(&world.outside.path().join("store"));
    let written: Vec<&String> = kept
        .keys()
        .filter(|path| path.contains("seals") || path.contains("releases") || path.contains("apps"))
        .collect();
    assert_eq!(written, Vec::<&String>::new());

    // Mended, it is released.
    let world = world.develop("fix(site): it builds", &[("packages/site/build.js", "require('fs').mkdirSync('dist', {recursive: true}); require('fs').writeFileSync('dist/index.html', '');\n")]);
    let _ = world.run(&["release"]).expect(0);
    let listed = world.origin_git(&["tag", "--list"]);
    assert_eq!(listed, "core@1.0.0\ncore@1.0.1\nsite@1.0.0\nsite@1.0.1");
}

#[test]
fn a_dry_run_tells_sizes_and_digests_and_writes_nothing() {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .service("web", "1.0.0")
            .commit("feat: begin", &[]),
    );
    let (before, refs) = (
        snapshot(&world.monorepo),
        world.origin_git(&["for-each-ref"]),
    );
    let local = world.monorepo.git(&["for-each-ref"]);
    let dry = world.run(&["release", "--dry-run"]).expect(0);
    assert!(
        dry.stdout.contains("dry run: nothing was written"),
        "{}",
        dry.stdout
    );
    assert_eq!(snapshot(&world.monorepo), before);
    assert_eq!(world.origin_git(&["for-each-ref"]), refs);
    assert_eq!(world.monorepo.git(&["for-each-ref"]), local);
    for name in ["store", "npm", "static"] {
        assert_eq!(
            world::files(&world.outside.path().join(name)),
            BTreeMap::new(),
            "{name}"
        );
    }
    // What it told is what the release makes.
    let _ = world.run(&["release"]).expect(0);
    let integrity = message(&world, "core@1.0.0");
    let integrity = integrity
        .lines()
        .find_map(|line| line.strip_prefix("Pkgs-Integrity: "))
        .expect("an integrity");
    assert!(
        dry.stdout.contains(integrity),
        "{integrity}\n{}",
        dry.stdout
    );
    let store = world.outside.path().join("store/v1/apps/web/1.0.0");
    let manifest = fs::read(store.join("any.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let (digest, size) = (&manifest["archive"]["digest"], &manifest["archive"]["size"]);
    let size = pkgs_action::explain::size(size.as_u64().expect("a number"));
    let told = format!("{size}, {}", digest.as_str().expect("a digest"));
    assert!(dry.stdout.contains(&told), "{told}\n{}", dry.stdout);
}

#[test]
fn a_run_for_an_older_commit_is_superseded_and_releases_nothing() {
    for store in ["none", "set"] {
        let monorepo = Monorepo::new()
            .package("core", "1.0.0")
            .commit("feat: begin", &[])
            .commit("feat(core): more", &[("packages/core/a.js", "")]);
        let world = World::local(monorepo);
        let release = |world: &World| {
            let outputs = world.outside.path().join("outputs");
            let run = world.binary(&["release"]).env("GITHUB_OUTPUT", outputs);
            if store == "none" {
                run.env("PKGS_STORE", "none").run().expect(0)
            } else {
                run.run().expect(0)
            }
        };
        // The tip holds versions that were never released, so it is released as it is.
        let tip = world.monorepo.head();
        let run = release(&world);
        assert_eq!(run.outputs["commit"], tip);
        assert_eq!(run.outputs["outcome"], "released");
        // An older run starts late: this release is not of its commit.
        fs::remove_file(world.outside.path().join("outputs")).expect("it goes");
        world
            .monorepo
            .git(&["checkout", "--quiet", "-B", "main", "HEAD~1"]);
        let older = world.monorepo.head();
        let run = release(&world);
        assert_eq!(
            run.outputs["outcome"], "superseded",
            "store {store}: {}",
            run.stdout
        );
        assert_eq!(run.outputs["released"], "false");
        assert!(run.stdout.contains(&tip[..7]), "{}", run.stdout);
        assert_eq!(world.monorepo.head(), older);

        // The same where a release commit of a newer one is the tip.
        let world = world
            .develop("fix(core): two", &[("packages/core/two.js", "")])
            .develop("fix(core): three", &[("packages/core/three.js", "")]);
        let head = world.monorepo.head();
        let newest = release(&world);
        assert_eq!(newest.outputs["outcome"], "released");
        fs::remove_file(world.outside.path().join("outputs")).expect("it goes");
        world
            .monorepo
            .git(&["checkout", "--quiet", "-B", "main", "HEAD~1"]);
        let run = release(&world);
        assert_eq!(run.outputs["outcome"], "superseded", "store {store}");
        assert_eq!(run.outputs["released"], "false");
        assert_eq!(run.output("tags"), json!([]));

        // The run of its own commit, repeated on a checkout without tags, tells all that the first attempt told.
        fs::remove_file(world.outside.path().join("outputs")).expect("it goes");
        let clone = world.monorepo.clone_fresh(None);
        clone.git(&["checkout", "--quiet", "-B", "main", &head]);
        for tag in clone.tags() {
            clone.git(&["tag", "--delete", &tag]);
        }
        let outputs = world.outside.path().join("outputs");
        let run = world
            .binary_in(&clone, &["release"])
            .env("GITHUB_OUTPUT", outputs);
        let run = if store == "none" {
            run.env("PKGS_STORE", "none").run().expect(0)
        } else {
            run.run().expect(0)
        };
        assert_eq!(run.outputs, newest.outputs, "store {store}");
    }
}

#[test]
fn an_archive_holds_what_production_needs_and_nothing_else() {
    let registry = Verdaccio::shared();
    let sandbox = Sandbox::new();
    fs::write(sandbox.npmrc(), registry.npmrc()).expect("a file");
    for (name, version, dependencies) in [
        ("archive-inner", "1.0.0", json!({})),
        ("archive-inner", "2.0.0", json!({})),
        ("archive-outer", "1.0.0", json!({"archive-inner": "^1.0.0"})),
        ("archive-tool", "1.0.0", json!({"archive-inner": "^2.0.0"})),
    ] {
        let directory = sandbox.path().join(format!("{name}-{version}"));
        fs::create_dir(&directory).expect("a directory");
        let manifest = json!({"name": name, "version": version, "dependencies": dependencies});
        fs::write(directory.join("package.json"), manifest.to_string()).expect("a file");
        fs::write(
            directory.join("index.js"),
            format!("module.exports = '{name} {version}';"),
        )
        .expect("a file");
        world::output(sandbox.command("npm", &directory).args([
            "publish",
            "--tag",
            "latest",
            "--registry",
            &registry.url,
        ]));
    }
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("unused", "1.0.0")
        .service("web", "1.0.0")
        .depends("web", "core", "^1.0.0")
        .depends("web", "archive-outer", "^1.0.0")
        .depends("web", "archive-inner", "^2.0.0")
        .depends_in("devDependencies", "web", "archive-tool", "^1.0.0")
        .depends_in("devDependencies", "web", "unused", "^1.0.0")
        .file("packages/web/service/print.js", "console.log([require('core').name, require('archive-outer'), require('archive-inner')].join());\n");
    monorepo.npm(&[
        "install",
        "--package-lock-only",
        "--registry",
        &registry.url,
    ]);
    let world = World::local(monorepo.commit("feat: begin", &[]));
    let _ = world.run(&["release"]).expect(0);
    let archive = world
        .outside
        .path()
        .join("store/v1/apps/web/1.0.0/web-1.0.0.tar.zst");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let web = scratch.path().join("web");
    unpack(&fs::read(archive).expect("an archive"), &web);
    let packages: Vec<String> = world::files(&web)
        .into_keys()
        .filter(|path| path.ends_with("package.json"))
        .collect();
    let expected = [
        "node_modules/archive-inner/package.json",
        "node_modules/archive-outer/node_modules/archive-inner/package.json",
        "node_modules/archive-outer/package.json",
        "node_modules/core/package.json",
        "package.json",
    ];
    assert_eq!(packages, expected);
    let mut node = sandbox.command("node", &web);
    let printed = world::output(node.arg("service/print.js"));
    assert_eq!(printed, "core,archive-outer 1.0.0,archive-inner 2.0.0\n");
}

#[test]
fn a_single_package_without_a_store_is_published_by_the_next_run_when_the_first_was_killed() {
    for format in ["v{version}", "{name}/v{version}"] {
        let monorepo = Monorepo::empty()
            .file(
                "package.json",
                "{\"name\": \"lone\", \"version\": \"1.0.0\"}\n",
            )
            .file("pkgs.json", &format!("{{\"tagFormat\": \"{format}\"}}\n"))
            .commit("feat: begin", &[("index.js", "")]);
        let world = World::local(monorepo);
        let release = || world.binary(&["release"]).env("PKGS_STORE", "none").run();
        let _ = release().expect(0);
        // What is left when a run is killed right after its push: tags, and nothing on the registry.
        let registry = world.outside.path().join("npm");
        fs::remove_dir_all(&registry).expect("removed");
        fs::create_dir(&registry).expect("made");
        let _ = release().expect(0);
        assert_eq!(published(&world, "lone", "1.0.0")["version"], "1.0.0");
    }
}

#[test]
fn what_earlier_steps_made_is_published_by_the_job_that_is_run_again() {
    let lone = Monorepo::empty()
        .file(
            "package.json",
            "{\"name\": \"lone\", \"version\": \"1.0.0\", \"main\": \"dist/index.js\", \"files\": [\"dist\"]}\n",
        )
        .file(".gitignore", "dist/\n")
        .commit("feat: begin", &[("index.js", "")]);
    let world = World::local(lone);
    let made_before = |world: &World| {
        world
            .monorepo
            .write("dist/index.js", "made by an earlier step");
    };
    let release = |world: &World| world.binary(&["release"]).env("PKGS_STORE", "none").run();
    made_before(&world);
    let _ = release(&world).expect(0);
    let world = world.develop("feat: more", &[("index.js", "// more")]);
    let base = world.monorepo.head();
    let _ = release(&world).expect(0);
    let registry = world.outside.path().join("npm");
    fs::remove_dir_all(&registry).expect("removed");
    fs::create_dir(&registry).expect("made");
    world.monorepo.git(&["reset", "--quiet", "--hard", &base]);
    let _ = release(&world).expect(0);
    assert_eq!(published(&world, "lone", "1.1.0")["version"], "1.1.0");
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_run_that_is_superseded_puts_back_what_a_killed_one_left() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .commit("feat: begin", &[])
        .released();
    let world = World::local(monorepo);
    let world = world.develop("feat(core): more", &[("packages/core/src/more.js", "1\n")]);
    let other = world.monorepo.clone_fresh(None);
    let killed = world
        .binary(&["release"])
        .env("PKGS_BUILD", "kill -9 $PPID")
        .run();
    assert_eq!(killed.killed_by, Some(9), "{}", killed.stderr);
    assert_ne!(world.monorepo.git(&["status", "--porcelain"]), "");
    let _ = world.binary_in(&other, &["release"]).run().expect(0);
    other.git(&["pull", "--quiet", "--ff-only"]);
    let other = other.commit("fix(core): again", &[("packages/core/src/more.js", "2\n")]);
    other.git(&["push", "--quiet"]);
    let _ = world.run(&["release"]).expect(0);
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_build_that_changes_tracked_files_is_refused() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .static_site("site", "1.0.0")
        .commit(
            "feat: begin",
            &[(
                "packages/site/build.js",
                "const fs = require('fs'); fs.mkdirSync('dist'); fs.writeFileSync('dist/a.txt', ''); fs.appendFileSync('../core/src/index.js', '// more');\n",
            )],
        );
    let world = World::local(monorepo);
    let run = world.run(&["release"]).expect(3);
    assert!(
        run.stderr.contains("error[build::changed_sources]"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("packages/core/src/index.js"));
    assert_eq!(world.origin_git(&["tag", "--list"]), "");
}

#[test]
fn what_lies_outside_the_repository_is_not_shipped() {
    let monorepo = Monorepo::new().static_site("site", "1.0.0").commit(
        "feat: begin",
        &[(
            "packages/site/build.js",
            "require('fs').symlinkSync('/etc', 'dist');\n",
        )],
    );
    let world = World::local(monorepo);
    let run = world.run(&["release"]).expect(3);
    assert!(
        run.stderr.contains("error[build::outside]"),
        "{}",
        run.stderr
    );
    assert_eq!(world.origin_git(&["tag", "--list"]), "");
}

#[test]
fn what_is_released_of_a_released_commit_has_a_commit_of_its_own() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .package("@acme/text", "1.1.0")
        .config(&json!({"mode": "diff"}))
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let release = |arguments: &[&str]| {
        let arguments = [&["release", "--format", "json"], arguments].concat();
        world.run(&arguments).expect(0).json()["release"].clone()
    };
    let first = release(&["--filter", "core"]);
    world.follow();
    let second = release(&[]);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(second["tags"], json!(["@acme/text@1.1.0"]));
    let files = world::files(world.outside.path());
    for release in [&first, &second] {
        let manifest = release["manifest"].as_str().expect("a key");
        assert!(
            files.keys().any(|key| key.ends_with(manifest)),
            "{manifest}"
        );
    }
    assert!(
        files.keys().any(|key| key.ends_with("npm/@acme/text")),
        "{:?}",
        files.keys()
    );
    world.follow();
    let again = world.run(&["release"]).expect(0);
    assert!(
        again.stdout.contains("already released"),
        "{}",
        again.stdout
    );
}
