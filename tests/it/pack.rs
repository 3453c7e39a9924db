//! Stories of `pack`, and of `release` and `publish` that take what it packed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::release::sample;
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::{Run, Sandbox};
use crate::support::servers::free_port;
use crate::support::world::{World, files};

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    names.sort();
    names
}

/// Where a build leaves its trace.
fn trace(monorepo: &Monorepo) -> PathBuf {
    monorepo.sandbox().path().join("ran")
}

/// Two libraries whose build leaves a trace.
fn libraries() -> Monorepo {
    let monorepo = Monorepo::new();
    let trace = trace(&monorepo);
    monorepo
        .package("core", "1.0.0")
        .package("text", "1.0.0")
        .depends("text", "core", "^1.0.0")
        .edit("package.json", |manifest| {
            let build = format!(
                "date +%s%N > packages/core/src/built.js; touch {}",
                trace.display()
            );
            manifest["scripts"] = json!({"build": build});
        })
        .file(".gitignore", "node_modules/\nbuilt.js\n")
        .edit("packages/core/package.json", |manifest| {
            manifest["files"] = json!(["src"]);
        })
        .config(&json!({"mode": "diff", "build": "npm run build"}))
        .commit("feat: two libraries", &[])
}

/// Whether code of the project ran since this was asked last.
fn has_run(world: &World) -> bool {
    fs::remove_file(trace(&world.monorepo)).is_ok()
}

fn tarball(run: &Run, name: &str) -> Value {
    let pack = run.json();
    let packages = pack["packages"].as_array().expect("a list").clone();
    let found = packages.into_iter().find(|package| package["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {pack}"))
}

#[test]
fn a_directory_is_packed_as_it_is_and_a_dry_run_writes_nothing() {
    let sandbox = Sandbox::new();
    let directory = sandbox.path().join("alone");
    fs::create_dir(&directory).expect("a directory");
    let manifest = json!({
        "name": "@acme/alone", "version": "1.0.0", "private": true, "main": "none.js", "files": ["lib"],
        "scripts": {"prepublishOnly": "exit 1", "prepack": "mkdir lib && echo 1 > lib/a.js", "postpack": "touch packed"},
    });
    fs::write(directory.join("package.json"), manifest.to_string()).expect("written");
    fs::write(directory.join("yarn.lock"), "no lockfile of anybody\n").expect("written");
    fs::write(directory.join("package-lock.json"), "{}").expect("written");

    let skipped = ["pack", "--dry-run", "--format=json", "--scripts=skip"];
    let dry = sandbox.run(&directory, &skipped, &[]).expect(0);
    let pack = dry.json();
    assert_eq!(pack["schema"], "pkgs.pack/1");
    assert_eq!(pack["base"], Value::Null);
    assert_eq!(pack["warnings"][0]["code"], "build::entry_point", "{pack}");
    assert_eq!(tarball(&dry, "@acme/alone")["file"], "acme-alone-1.0.0.tgz");
    assert_eq!(
        names(&directory),
        ["package-lock.json", "package.json", "yarn.lock"]
    );

    let told = sandbox.run(&directory, &["pack"], &[]).expect(0);
    assert!(told.stdout.contains("lib/a.js"), "{}", told.stdout);
    let left = [
        "acme-alone-1.0.0.tgz",
        "lib",
        "package-lock.json",
        "package.json",
        "packed",
        "yarn.lock",
    ];
    assert_eq!(names(&directory), left);
}

#[test]
fn a_workspace_is_packed_whole_or_as_the_filter_says() {
    let monorepo = sample(free_port());
    let out = monorepo.sandbox().path().join("out");
    let out = out.to_str().expect("a path");
    let run = monorepo
        .run(&["pack", "--artifacts", out, "--format=json"])
        .expect(0);
    let pack = run.json();
    assert_eq!(pack["base"], monorepo.head());
    assert_eq!(pack["planDigest"], Value::Null);
    let written: Value =
        serde_json::from_slice(&fs::read(Path::new(out).join("pack.json")).expect("pack.json"))
            .expect("JSON");
    assert_eq!(written, pack);
    let core = tarball(&run, "core");
    let file = Path::new(out).join(core["file"].as_str().expect("a name"));
    assert_eq!(fs::metadata(file).expect("a tarball").len(), core["size"]);
    let left_out = &pack["warnings"][0];
    assert_eq!(left_out["code"], "pack::not_built", "{pack}");
    let web = &pack["apps"][0];
    assert_eq!(
        (&web["name"], &web["variant"]),
        (&json!("web"), &json!("any")),
        "{pack}"
    );
    assert!(
        Path::new(out)
            .join(web["file"].as_str().expect("a name"))
            .is_file()
    );

    let one = monorepo
        .run(&["pack", "--dry-run", "--format=json", "--filter=core"])
        .expect(0);
    assert_eq!(one.json()["packages"].as_array().map(Vec::len), Some(1));
    assert_eq!(one.json()["apps"], json!([]));
    let typo = monorepo
        .run(&["pack", "--dry-run", "--filter=coer"])
        .expect(2);
    assert!(typo.stderr.contains("plan::filter"), "{}", typo.stderr);
}

#[test]
fn what_an_earlier_pack_wrote_is_not_packed() {
    let monorepo =
        Monorepo::new()
            .package("core", "1.0.0")
            .edit("packages/core/package.json", |manifest| {
                manifest.as_object_mut().expect("an object").remove("files");
            });
    let out = "packages/core/out";
    let _ = monorepo.run(&["pack", "--artifacts", out]).expect(0);
    let again = monorepo.run(&["pack", "--artifacts", out]).expect(3);
    assert!(
        again.stderr.contains("pack::inside_package"),
        "{}",
        again.stderr
    );
}

#[test]
fn a_release_takes_what_was_packed_and_runs_no_code_of_the_project() {
    let world = World::local(libraries());
    let out = world.outside.path().join("out");
    let out = out.to_str().expect("a path");
    let packed = world
        .run(&["pack", "--planned", "--artifacts", out, "--format=json"])
        .expect(0);
    assert!(has_run(&world));
    assert_eq!(world.monorepo.git(&["status", "--porcelain"]), "");
    assert_eq!(world.origin_git(&["tag", "--list"]), "");

    let clone = world.monorepo.clone_fresh(None);
    let _ = world
        .binary_in(&clone, &["release", "--artifacts", out])
        .run()
        .expect(0);
    assert!(!has_run(&world), "code of the project ran");
    for name in ["core", "text"] {
        let own = tarball(&packed, name);
        let tag = world.origin_git(&[
            "tag",
            "--list",
            "--format=%(contents)",
            &format!("{name}@1.0.0"),
        ]);
        let integrity = own["integrity"].as_str().expect("an integrity");
        assert!(tag.contains(integrity), "{tag}");
    }
    let published = files(&world.outside.path().join("npm"));
    let packument = published
        .iter()
        .find(|(path, _)| path.starts_with("core") && !path.ends_with("tgz"));
    let packument: Value = serde_json::from_slice(packument.expect("a packument").1).expect("JSON");
    let integrity = &packument["versions"]["1.0.0"]["dist"]["integrity"];
    assert_eq!(*integrity, tarball(&packed, "core")["integrity"]);
}

#[test]
fn what_was_packed_for_another_plan_or_changed_since_is_refused() {
    let world = World::local(libraries());
    let out = world.outside.path().join("out");
    let directory = out.to_str().expect("a path");
    let release = ["release", "--artifacts", directory];
    let refused = |arguments: &[&str], exit: i32, code: &str| {
        let run = world.run(arguments).expect(exit);
        assert!(run.stderr.contains(code), "{code}\n{}", run.stderr);
        assert_eq!(world.origin_git(&["tag", "--list"]), "");
        assert!(!has_run(&world), "code of the project ran");
    };
    refused(&release, 2, "artifacts::missing");
    let _ = world.run(&["pack", "--artifacts", directory]).expect(0);
    has_run(&world);
    refused(&release, 3, "artifacts::other_plan");
    let planned = ["pack", "--planned", "--artifacts", directory];
    let _ = world.run(&planned).expect(0);
    has_run(&world);
    refused(
        &["release", "--artifacts", directory, "--build=true"],
        3,
        "artifacts::other_plan",
    );

    let tarball = out.join("core-1.0.0.tgz");
    let bytes = fs::read(&tarball).expect("a tarball");
    fs::write(&tarball, [&bytes[..bytes.len() - 1], b"x"].concat()).expect("written");
    refused(&release, 6, "artifacts::changed");
    fs::write(
        &tarball,
        fs::read(out.join("text-1.0.0.tgz")).expect("a tarball"),
    )
    .expect("written");
    refused(&release, 6, "artifacts::changed");
    fs::remove_file(&tarball).expect("removed");
    refused(&release, 6, "artifacts::incomplete");
    let document = out.join("pack.json");
    let text = fs::read_to_string(&document).expect("pack.json");
    fs::write(&document, text.replace("core-1.0.0.tgz", "../npm/x")).expect("written");
    refused(&release, 6, "artifacts::incomplete");
    let other = |edit: &dyn Fn(&mut Value)| {
        let mut pack: Value = serde_json::from_str(&text).expect("JSON");
        edit(&mut pack);
        fs::write(&document, pack.to_string()).expect("written");
        refused(&release, 3, "artifacts::other_plan");
    };
    other(&|pack| pack["packages"] = json!([]));
    other(&|pack| pack["packages"][0]["version"] = json!("9.0.0"));
    other(&|pack| pack["packages"][1] = pack["packages"][0].clone());
    other(&|pack| pack["base"] = Value::Null);
    other(&|pack| pack["planDigest"] = json!("sha256:other"));
    fs::write(&document, "{}").expect("written");
    refused(&release, 6, "release::document");
    fs::write(&document, text).expect("written");
    refused(
        &["release", "--snapshot", "pr-1", "--artifacts", directory],
        2,
        "publish::snapshot",
    );
}

#[test]
fn archives_and_static_files_go_the_same_way() {
    let world = World::local(sample(free_port()));
    let out = world.outside.path().join("out");
    let out = out.to_str().expect("a path");
    let packed = world
        .run(&["pack", "--planned", "--artifacts", out, "--format=json"])
        .expect(0);
    let clone = world.monorepo.clone_fresh(None);
    let document = Path::new(out).join("pack.json");
    let text = fs::read_to_string(&document).expect("pack.json");
    let edits: [fn(&mut Value); 3] = [
        |pack| pack["apps"] = json!([]),
        |pack| pack["apps"][1]["version"] = json!("99.0.0"),
        |pack| pack["apps"][1]["scripts"]["start"] = json!("touch /tmp/x"),
    ];
    for edit in edits {
        let mut pack: Value = serde_json::from_str(&text).expect("JSON");
        edit(&mut pack);
        fs::write(&document, pack.to_string()).expect("written");
        let run = world
            .binary_in(&clone, &["release", "--artifacts", out])
            .run();
        let run = run.expect(3);
        assert!(
            run.stderr.contains("artifacts::other_plan"),
            "{}",
            run.stderr
        );
    }
    fs::write(&document, &text).expect("written");
    let foreign = Path::new(out).join("blobs").join("stranger");
    fs::write(foreign, "SECRET").expect("written");
    let released = world
        .binary_in(&clone, &["release", "--artifacts", out, "--format=json"])
        .run()
        .expect(0);
    let digest = |document: &Value, name: &str| {
        let apps = document["apps"].as_array().expect("a list").clone();
        let app = apps
            .into_iter()
            .find(|app| app["name"] == name)
            .expect("an app");
        app["digest"].clone()
    };
    let told: Value = released.json();
    assert!(
        told.to_string()
            .contains(digest(&packed.json(), "web").as_str().expect("a digest")),
        "{told}"
    );
    assert!(
        !clone.path().join("packages/site/dist").exists(),
        "the site was built"
    );
}

#[test]
fn what_is_decided_takes_the_artifacts_that_were_packed_for_it_alone() {
    let world = World::local(libraries());
    let out = world.outside.path().join("out");
    let out = out.to_str().expect("a path");
    let packed = world
        .run(&["pack", "--planned", "--artifacts", out, "--format=json"])
        .expect(0);
    let _ = world.run(&["version", "--filter", "core"]).expect(0);
    has_run(&world);
    let refused = |arguments: &[&str]| {
        let run = world.run(arguments).expect(3);
        let code = "artifacts::other_release";
        assert!(run.stderr.contains(code), "{}", run.stderr);
        let npm = files(&world.outside.path().join("npm"));
        assert!(npm.keys().all(|path| !path.ends_with("tgz")), "{npm:?}");
        assert!(!has_run(&world), "code of the project ran");
    };
    refused(&["publish", "--artifacts", out]);

    let world = World::local(libraries());
    let other = world.outside.path().join("out");
    let other = other.to_str().expect("a path");
    let planned = ["pack", "--planned", "--artifacts", other, "--format=json"];
    let packed_here = world.run(&planned).expect(0);
    let _ = world.run(&["version"]).expect(0);
    has_run(&world);
    let _ = world.run(&["publish", "--artifacts", other]).expect(0);
    assert!(!has_run(&world), "code of the project ran");
    let npm = files(&world.outside.path().join("npm"));
    let core = npm
        .iter()
        .find(|(path, _)| path.starts_with("core") && path.ends_with("core"));
    let text = npm.values().any(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.contains(
            tarball(&packed_here, "core")["integrity"]
                .as_str()
                .expect("text"),
        )
    });
    assert!(text, "{core:?}");
    assert_ne!(
        tarball(&packed, "core")["integrity"],
        tarball(&packed_here, "core")["integrity"]
    );
}

#[test]
fn builds_for_two_environments_that_are_the_same_are_both_there() {
    let monorepo = Monorepo::new()
        .service("web", "1.0.0")
        .edit("packages/web/package.json", |manifest| {
            manifest["scripts"]["build"] = json!("true");
        })
        .config(&json!({
            "mode": "diff", "install": "none",
            "apps": {"web": {"type": "service", "build": "true {environment}", "environments": ["sit", "prod"]}},
        }))
        .commit("feat: web", &[]);
    let world = World::local(monorepo);
    let out = world.outside.path().join("out");
    let out = out.to_str().expect("a path");
    let _ = world
        .run(&["pack", "--planned", "--artifacts", out])
        .expect(0);
    let archives = names(Path::new(out))
        .into_iter()
        .filter(|name| name.ends_with("zst"));
    assert_eq!(archives.count(), 2);
    // Packed again, nothing else lies there.
    let before = names(Path::new(out));
    let _ = world
        .run(&["pack", "--planned", "--artifacts", out])
        .expect(0);
    assert_eq!(names(Path::new(out)), before);
    let _ = world.run(&["release", "--artifacts", out]).expect(0);
}

#[test]
fn in_the_directory_of_a_package_that_one_is_packed_and_what_no_release_takes_is_told() {
    let monorepo = Monorepo::new()
        .package("core", "1.2.0")
        .package("text", "1.0.0")
        .edit("packages/text/package.json", |manifest| {
            manifest["dependencies"] = json!({"core": "file:../core", "x": "github:acme/x"});
        });
    let at = monorepo.path().join("packages/text");
    let arguments = ["pack", "--dry-run", "--format=json"];
    let run = monorepo.sandbox().run(&at, &arguments, &[]).expect(0);
    let pack = run.json();
    assert_eq!(pack["packages"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        tarball(&run, "text")["manifest"]["dependencies"]["core"],
        "file:../core"
    );
    let codes: Vec<&str> = pack["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|warning| warning["code"].as_str().expect("a code"))
        .collect();
    assert_eq!(
        codes,
        ["workspace::unpublishable", "workspace::git_dependency"]
    );
    let filtered = ["pack", "--dry-run", "--filter=core"];
    let run = monorepo.sandbox().run(&at, &filtered, &[]).expect(2);
    assert!(run.stderr.contains("pack::filter"), "{}", run.stderr);
}
