//! Stories of how archives travel: as zstd, gzip or both, and as deltas between them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::http::send;
use crate::support::monorepo::Monorepo;
use crate::support::moto::Moto;
use crate::support::s3;
use crate::support::sandbox::{Run, Sandbox};
use crate::support::servers::free_port;
use crate::support::world::{Machine, World, files, output};

const SERVER: &str = "const { version } = require('../package.json');
require('node:http').createServer((request, response) => response.end(version)).listen(Number(process.env.PORT), '127.0.0.1');
";

/// Text in no order, so that an archive is not much shorter.
fn noise() -> String {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{:08x}", state >> 32)
    })
    .take(40_000)
    .collect()
}

fn service(port: u16, settings: &Value) -> World {
    let mut app = json!({
        "type": "service",
        "environments": ["sit"],
        "auto": ["sit"],
        "health": format!("http://127.0.0.1:{port}/health"),
    });
    for (name, value) in settings.as_object().into_iter().flatten() {
        app[name] = value.clone();
    }
    let monorepo = Monorepo::new()
        .service("web", "1.0.0")
        .file("packages/web/service/index.js", SERVER)
        .file("packages/web/service/data.txt", &noise())
        .config(&json!({"mode": "diff", "apps": {"web": app}}))
        .commit("feat: begin", &[]);
    World::local(monorepo)
}

fn store(world: &World) -> PathBuf {
    world.outside.path().join("store/v1")
}

fn manifest(world: &World, version: &str) -> Value {
    let file = store(world).join(format!("apps/web/{version}/any.json"));
    serde_json::from_slice(&fs::read(file).expect("a manifest")).expect("JSON")
}

fn blob(world: &World, archive: &Value) -> PathBuf {
    let digest = archive["digest"].as_str().expect("a digest");
    let hex = digest.trim_start_matches("sha256:");
    store(world).join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// What a program makes of an archive.
fn unpacked(program: &str, archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let sandbox = Sandbox::new();
    let into = sandbox.path().join("into");
    fs::create_dir(&into).expect("a directory");
    let mut command = sandbox.command(program, &into);
    output(command.arg("-xf").arg(archive));
    files(&into)
}

fn health(port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/health");
    let answer = send("GET", &url, &[], b"").expect("the service answers");
    String::from_utf8(answer.body).expect("text")
}

fn has_told(run: &Run, part: &str) {
    assert!(run.stderr.contains(part), "{part:?}:\n{}", run.stderr);
}

#[test]
fn both_archives_hold_one_tar_that_gnu_tar_and_bsdtar_read_and_hosts_take_either() {
    let port = free_port();
    let world = service(port, &json!({"compress": "both"}));
    let out = world.outside.path().join("out");
    let out = out.to_str().expect("a path");
    let packed = world.run(&["pack", "--planned", "--artifacts", out]);
    has_told(&packed.expect(0), "");
    let pack: Value =
        serde_json::from_slice(&fs::read(Path::new(out).join("pack.json")).expect("a file"))
            .expect("JSON");
    let app = &pack["apps"][0];
    assert_eq!(app["file"], "web-1.0.0.tar.zst");
    assert_eq!(app["alternativeFiles"], json!(["web-1.0.0.tar.gz"]));

    // Changed since it was packed, the other archive is refused as the first is.
    let gz = Path::new(out).join("web-1.0.0.tar.gz");
    let right = fs::read(&gz).expect("an archive");
    let release = ["release", "--artifacts", out];
    fs::write(&gz, [&right[..], b"x"].concat()).expect("written");
    has_told(&world.run(&release).expect(6), "artifacts::changed");
    fs::write(&gz, &right).expect("written");
    let _ = world.run(&release).expect(0);

    let manifest = manifest(&world, "1.0.0");
    let (zst, gz) = (&manifest["archive"], &manifest["alternatives"][0]);
    assert_eq!(
        (&zst["encoding"], &gz["encoding"]),
        (&json!("tar+zstd"), &json!("tar+gzip"))
    );
    for field in ["tarDigest", "tarSize", "entries"] {
        assert_eq!(zst[field], gz[field], "{field}");
    }
    let named = |end: &str| store(&world).join(format!("apps/web/1.0.0/web-1.0.0.{end}"));
    for (archive, end) in [(zst, "tar.zst"), (gz, "tar.gz")] {
        let copy = fs::read(named(end)).expect("a copy");
        assert_eq!(copy, fs::read(blob(&world, archive)).expect("a blob"));
    }
    let right = unpacked("tar", &named("tar.zst"));
    assert!(right.contains_key("service/index.js"), "{:?}", right.keys());
    for (program, end) in [
        ("tar", "tar.gz"),
        ("bsdtar", "tar.gz"),
        ("bsdtar", "tar.zst"),
    ] {
        assert!(unpacked(program, &named(end)) == right, "{program} {end}");
    }

    // Somebody lost the one: the other is taken.
    fs::remove_file(blob(&world, zst)).expect("it goes");
    let host = Machine::new();
    let pull = host.pull(&world.outside, "web", "sit", port);
    let pulled = pull.env("PKGS_FORMAT", "json").run().expect(0);
    has_told(&pulled, "the same as tar+gzip is taken");
    assert_eq!(pulled.json()["fetchedBytes"], gz["size"]);
    assert_eq!(health(port), "1.0.0");
}

#[test]
fn an_archive_in_a_bucket_is_gzip_or_both_and_deltas_lead_from_either() {
    let moto = Moto::shared();
    moto.bucket("gzip");
    let port = free_port();
    let world = service(port, &json!({"compress": "gz"}));
    let with_store = |invocation: crate::support::sandbox::Invocation| {
        invocation
            .envs(moto.environment())
            .env("PKGS_STORE", "s3://gzip/team")
            .env("PKGS_STORE_ENDPOINT", &moto.endpoint)
            .run()
    };
    let _ = with_store(world.binary(&["release"])).expect(0);
    let world = world.develop("fix(web): more", &[("packages/web/more", "")]);
    let released = with_store(world.binary(&["release"])).expect(0);
    has_told(&released, "KiB lead from 1.0.0 to 1.0.1");
    let there = s3::dump(&moto.endpoint, "gzip");
    let object = |key: &str| &there[&format!("team/v1/apps/web/{key}")];
    let copy = object("1.0.1/web-1.0.1.tar.gz");
    assert_eq!(copy.content_type.as_deref(), Some("application/gzip"));
    let delta = object("deltas/1.0.1/1.0.0.zst");
    assert_eq!(delta.content_type.as_deref(), Some("application/zstd"));
    let host = Machine::new();
    let pull = || host.pull(&world.outside, "web", "sit", port);
    let pulled = with_store(pull()).expect(0);
    assert_eq!(pulled.stdout, "web 1.0.1 runs (sit)\n");
    let world = world.develop("fix(web): more yet", &[("packages/web/more", "1")]);
    let both = world.binary(&["release"]).env("PKGS_COMPRESS", "both");
    let _ = with_store(both).expect(0);
    let there = s3::dump(&moto.endpoint, "gzip");
    for (end, of) in [("zst", "zstd"), ("gz", "gzip")] {
        let copy = &there[&format!("team/v1/apps/web/1.0.2/web-1.0.2.tar.{end}")];
        let wanted = format!("application/{of}");
        assert_eq!(copy.content_type.as_deref(), Some(wanted.as_str()));
    }
    has_told(
        &with_store(host.pull(&world.outside, "web", "sit", port)).expect(0),
        "the delta from 1.0.1, in the place of",
    );
    assert_eq!(health(port), "1.0.2");
}

#[test]
fn a_host_fetches_deltas_and_a_pull_over_one_that_is_killed_is_finished_by_the_next() {
    const STEPS: [&str; 5] = ["fetching", "verified", "extracted", "stopping", "switched"];
    let port = free_port();
    let world = service(port, &json!({}));
    let host = Machine::new();
    let pull = |world: &World| {
        host.pull(&world.outside, "web", "sit", port)
            .env("PKGS_FORMAT", "json")
    };
    let _ = world.run(&["release"]).expect(0);
    let first = pull(&world).run().expect(0).json();
    assert_eq!(first["fetchedBytes"], first["archiveBytes"]);

    let world = world.develop("fix(web): more", &[("packages/web/service/more.js", "1")]);
    let released = world.run(&["release"]).expect(0);
    has_told(&released, "KiB lead from 1.0.0 to 1.0.1");
    let delta = store(&world).join("apps/web/deltas/1.0.1/1.0.0.zst");
    let size = fs::metadata(&delta).expect("a delta").len();
    // Over and over, from the version before.
    let mut killed = 0;
    let cache = host.app("web").join(".pkgs/cache");
    for (wanted, step) in STEPS.iter().enumerate() {
        if wanted > 0 {
            let back = ["promote", "--app=web", "--environment=sit", "--to=1.0.0"];
            let _ = world.run(&back).expect(0);
            let _ = pull(&world).run().expect(0);
            let _ = world.run(&[&back[..3], &["--to=1.0.1"]].concat()).expect(0);
            let _ = fs::remove_dir_all(host.app("web").join("releases/1.0.1"));
        }
        let running = pull(&world).start();
        loop {
            let state = host.state("web");
            let comes = state["coming"]["version"] == "1.0.1";
            let reached = STEPS.iter().position(|step| state["state"] == *step);
            if comes && reached >= Some(wanted) {
                running.signal(Signal::KILL);
                break;
            }
            if state["installed"]["version"] == "1.0.1" {
                break;
            }
        }
        let first = running.wait();
        killed += usize::from(first.killed_by.is_some());
        let next = pull(&world).run().expect(0);
        let said = format!("{step}:\n{}\n{}", first.stderr, next.stderr);
        let by_delta = "the delta from 1.0.0, in the place of";
        let fetched =
            first.stderr.matches(by_delta).count() + next.stderr.matches(by_delta).count();
        assert!(fetched > 0, "{said}");
        if next.json()["outcome"] == "installed" && next.stderr.contains(by_delta) {
            assert_eq!(next.json()["fetchedBytes"], size, "{said}");
        }
        assert_eq!(health(port), "1.0.1", "{said}");
        let state = host.state("web");
        assert_eq!(
            (&state["state"], &state["failed"]),
            (&json!("committed"), &json!([]))
        );
        // What was killed leaves nothing: two archives, each with its document.
        assert_eq!(files(&cache).len(), 4, "{said}");
        assert!(
            files(&host.app("web").join(".pkgs/tmp")).is_empty(),
            "{said}"
        );
    }
    assert!(killed > 0, "no pull was killed");
    let named = store(&world).join("apps/web/1.0.1/web-1.0.1.tar.zst");
    let installed = files(&host.app("web").join("releases/1.0.1"));
    assert!(unpacked("tar", &named) == installed);

    // A delta of somebody else is of no use, and one that is not wanted is not made.
    let world = world.develop("fix(web): again", &[("packages/web/service/more.js", "2")]);
    let _ = world.run(&["release"]).expect(0);
    let foreign = store(&world).join("apps/web/deltas/1.0.2/1.0.1.zst");
    fs::copy(&delta, &foreign).expect("copied");
    let pulled = pull(&world).run().expect(0);
    has_told(&pulled, "the delta from 1.0.1 is not used");
    assert_eq!(pulled.json()["fetchedBytes"], pulled.json()["archiveBytes"]);
    assert_eq!(health(port), "1.0.2");
    let world = world.develop("fix(web): last", &[("packages/web/service/more.js", "3")]);
    let released = world.binary(&["release"]).env("PKGS_DELTAS", "false").run();
    let _ = released.expect(0);
    assert!(!store(&world).join("apps/web/deltas/1.0.3").exists());
    let pulled = pull(&world).env("PKGS_DELTAS", "false").run().expect(0);
    assert_eq!(pulled.json()["fetchedBytes"], pulled.json()["archiveBytes"]);
    assert!(files(&cache).is_empty());
}

#[test]
fn what_compresses_decides_bytes_and_deltas_do_not() {
    let world = service(1, &json!({}));
    let digest = |name: &str, value: &str| {
        let plan = world.binary(&["plan", "--format=json"]).env(name, value);
        plan.run().expect(0).json()["digest"].clone()
    };
    let plain = digest("PKGS_COMPRESS", "zst");
    assert_eq!(digest("PKGS_DELTAS", "false"), plain);
    let others = ["gz", "both"].map(|value| digest("PKGS_COMPRESS", value));
    assert!(others[0] != plain && others[1] != plain && others[0] != others[1]);
    for (name, value, code) in [
        ("PKGS_COMPRESS", "zip", "settings::choice"),
        ("PKGS_DELTAS", "perhaps", "settings::boolean"),
    ] {
        let refused = world.binary(&["plan"]).env(name, value).run().expect(2);
        // Once, though the app has it from there as well as all others.
        assert_eq!(
            refused.stderr.matches(code).count(),
            1,
            "{}",
            refused.stderr
        );
    }
}
