//! Stories of what `doctor` says of a store.

use serde_json::{Value, json};

use crate::support::monorepo::Monorepo;
use crate::support::moto::Moto;
use crate::support::s3rver::S3rver;
use crate::support::sandbox::Run;
use crate::support::world::World;
use crate::support::{s3, stand_in};

fn service() -> Monorepo {
    Monorepo::new()
        .service("web", "1.0.0")
        .config(&json!({
            "mode": "diff",
            "apps": {"web": {"type": "service", "environments": ["sit", "prod"]}},
        }))
        .commit("feat: begin", &[])
}

fn asked(world: &World, store: &str, endpoint: &str, arguments: &[&str]) -> Run {
    world
        .binary(arguments)
        .envs(Moto::shared().environment())
        .env("PKGS_STORE", store)
        .env("PKGS_STORE_ENDPOINT", endpoint)
        .run()
}

pub const DOCTOR: [&str; 3] = ["doctor", "--format", "json"];

/// How each check of the store ended: its name with its state, or with its code.
pub fn checks(run: &Run) -> Vec<String> {
    let json = run.stdout.split("::error").next().unwrap_or_default();
    let checkup: Value = serde_json::from_str(json)
        .unwrap_or_else(|error| panic!("{error}: {}{}", run.stdout, run.stderr));
    let checks = checkup["checks"].as_array().cloned().unwrap_or_default();
    checks
        .iter()
        .filter(|check| {
            check["about"]
                .as_str()
                .is_some_and(|about| about.starts_with("st"))
        })
        .map(|check| {
            let ended = check["code"].as_str().or(check["state"].as_str());
            if check["state"] == "failed" {
                assert!(check["hint"].is_string(), "{check:#}");
            }
            format!(
                "{} {}",
                check["about"].as_str().unwrap_or_default(),
                ended.unwrap_or_default()
            )
        })
        .collect()
}

pub const WELL: [&str; 8] = [
    "static ok",
    "store ok",
    "store-race ok",
    "store-condition ok",
    "store-list ok",
    "store-headers ok",
    "store-clock ok",
    "store-delete ok",
];

#[test]
fn a_good_store_passes_every_check_and_keeps_nothing_of_them() {
    let moto = Moto::shared();
    moto.bucket("doctor-good");
    let world = World::local(service());
    let run = asked(&world, "s3://doctor-good/team", &moto.endpoint, &DOCTOR).expect(0);
    assert_eq!(checks(&run), WELL);
    assert_eq!(s3::dump(&moto.endpoint, "doctor-good").len(), 0);
    // A directory does the same.
    let run = world.run(&DOCTOR).expect(0);
    assert_eq!(checks(&run), WELL);
    let dry = [&DOCTOR[..], &["--dry-run"]].concat();
    let run = world.run(&dry).expect(0);
    assert_eq!(checks(&run), WELL[..2]);
}

#[test]
fn a_store_that_ignores_or_races_conditions_is_refused_by_doctor_and_by_release() {
    let moto = Moto::shared();
    let world = World::local(service());
    for (bucket, server) in [
        ("doctor-ignores", stand_in::ignoring()),
        ("doctor-races", stand_in::racing()),
    ] {
        moto.bucket(bucket);
        let store = format!("s3://{bucket}/team");
        let run = asked(&world, &store, &server.url(), &DOCTOR).expect(2);
        let wanted = [
            "static ok",
            "store ok",
            "store-race store::ignores_conditions",
        ];
        assert_eq!(checks(&run), wanted, "{bucket}");
        if bucket == "doctor-ignores" {
            let run = asked(&world, &store, &server.url(), &["release"]).expect(2);
            assert!(
                run.stderr.contains("error[store::ignores_conditions]"),
                "{}",
                run.stderr
            );
            assert_eq!(
                world.origin_git(&["tag", "--list"]),
                "",
                "no version is spent"
            );
        }
    }
}

#[test]
fn a_real_server_that_ignores_conditions_is_refused_before_anything_is_decided() {
    let server = S3rver::start("releases");
    let world = World::local(service());
    let asked = |arguments: &[&str]| {
        world
            .binary(arguments)
            .envs(S3rver::environment())
            .env("PKGS_STORE", "s3://releases/team")
            .env("PKGS_STORE_ENDPOINT", &server.endpoint)
            .run()
    };
    let run = asked(&DOCTOR).expect(2);
    let wanted = [
        "static ok",
        "store ok",
        "store-race store::ignores_conditions",
    ];
    assert_eq!(checks(&run), wanted);
    let run = asked(&["release"]).expect(2);
    assert!(
        run.stderr.contains("error[store::ignores_conditions]"),
        "{}",
        run.stderr
    );
    assert_eq!(world.origin_git(&["tag", "--list"]), "");
    assert_eq!(world.pushes().len(), 0);
}

#[test]
fn a_store_of_another_repository_and_one_within_what_is_served_are_refused() {
    let world = World::local(service());
    let owner = json!({"schema": "pkgs.repository/1", "repository": "other/one"});
    let store = world.outside.path().join("store");
    std::fs::create_dir_all(store.join("v1")).expect("a directory");
    std::fs::write(store.join("v1/repository.json"), owner.to_string()).expect("written");
    let run = world.run(&DOCTOR).expect(3);
    assert_eq!(checks(&run), ["static ok", "store store::other_repository"]);
    std::fs::remove_file(store.join("v1/repository.json")).expect("removed");

    let served = store.join("public/{environment}");
    let within = world
        .binary(&DOCTOR)
        .env("PKGS_STATIC", format!("file://{}", served.display()))
        .run()
        .expect(2);
    let checks = checks(&within);
    assert_eq!(checks[0], "static static::in_store", "{checks:?}");
    // By another name it is the same place.
    let link = world.outside.path().join("link");
    std::os::unix::fs::symlink(&store, &link).expect("linked");
    let by_link = world
        .binary(&DOCTOR)
        .env("PKGS_STATIC", format!("file://{}", link.display()))
        .run()
        .expect(2);
    assert!(
        by_link.stdout.contains("static::in_store"),
        "{}",
        by_link.stdout
    );
}
