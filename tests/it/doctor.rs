//! Stories of what `doctor` says of a store.

use serde_json::{Value, json};

use crate::support::fault_proxy::{Fault, FaultProxy};
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

pub const WELL: [&str; 10] = [
    "store ok",
    "store-race ok",
    "store-condition ok",
    "store-list ok",
    "store-headers ok",
    "store-clock ok",
    "store-delete ok",
    "static ok",
    "static ok",
    "static ok",
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
    let dry = [
        "store ok",
        "store-race skipped",
        "static ok",
        "static skipped",
        "static skipped",
    ];
    assert_eq!(checks(&run), dry);
}

#[test]
fn all_that_is_set_is_checked_though_nothing_is_due_and_what_is_not_is_told() {
    let world = World::local(service());
    let _ = world.run(&["release"]).expect(0);
    world.follow();
    let place = |name: &str| {
        let directory = world.outside.path().join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    };
    let (served, board) = (place("served"), place("board"));
    let ask = |root: String, more: &[(&str, &str)]| {
        let run = world.binary(&DOCTOR).env("PKGS_STATIC", root);
        let run = run.env("PKGS_BOARD", format!("file://{}", board.display()));
        run.envs(more).run()
    };
    let ended = |run: &Run, about: &str| -> Vec<String> {
        let json = run.stdout.split("::error").next().unwrap_or_default();
        let checkup: Value = serde_json::from_str(json).expect("JSON");
        let checks = checkup["checks"].as_array().cloned().unwrap_or_default();
        let of = checks.iter().filter(|check| check["about"] == about);
        of.map(|check| {
            let ended = check["code"].as_str().or(check["state"].as_str());
            ended.unwrap_or_default().to_owned()
        })
        .collect()
    };
    let root = || format!("file://{}/{{environment}}", served.display());
    let well = ask(root(), &[]).expect(0);
    assert!(
        well.stdout.contains("nothing is to be released"),
        "{}",
        well.stdout
    );
    assert_eq!(ended(&well, "static"), ["ok", "ok"]);
    assert_eq!(
        (ended(&well, "board"), ended(&well, "cdn")),
        (vec!["ok".to_owned()], vec!["skipped".to_owned()])
    );
    let left = |directory: &std::path::Path| {
        let files = crate::support::world::files(directory);
        files
            .into_keys()
            .filter(|name| !name.starts_with('.'))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (left(&served), left(&board)),
        (vec![], vec![]),
        "probes stay"
    );

    // A disk that is not mounted, another page, a command without what it needs, a store that is not there: each by itself.
    std::fs::write(board.join("index.html"), vec![b' '; (32 << 20) + 1]).expect("a page");
    let nowhere = world.outside.path().join("no/where");
    let missing = format!("file://{}/store", nowhere.display());
    let lacking = [
        ("PKGS_CDN_COMMAND", "true"),
        ("PKGS_CDN_ENVIRONMENT", "CDN_TOKEN"),
        ("PKGS_STORE", missing.as_str()),
    ];
    // What was refused weighs more than what is set wrongly.
    let bad = ask(format!("file://{}/served", nowhere.display()), &lacking).expect(3);
    assert_eq!(
        ended(&bad, "static").last().map(String::as_str),
        Some("static::directory")
    );
    assert_eq!(ended(&bad, "board"), ["board::foreign"]);
    assert_eq!(ended(&bad, "cdn"), ["static::cdn_environment"]);
    assert_eq!(ended(&bad, "store"), ["store::no_directory"]);
    assert_eq!(ended(&bad, "store-race"), ["skipped"]);

    let nothing = world
        .binary(&["doctor"])
        .envs([("PKGS_STORE", "none"), ("PKGS_STATIC", "none")])
        .run()
        .expect(0);
    for line in [
        "skipped store: not checked: `store` is none",
        "skipped static: not checked: `static` is none",
        "skipped board: not checked: `board` is not set",
    ] {
        assert!(nothing.stdout.contains(line), "{line}\n{}", nothing.stdout);
    }
}

/// What README tells people to grant lets nobody delete: `gc` alone needs that.
#[test]
fn a_static_root_where_nothing_may_be_deleted_is_a_warning() {
    let moto = Moto::shared();
    for bucket in ["doctor-keeps", "doctor-keeps-static"] {
        moto.bucket(bucket);
    }
    let proxy = FaultProxy::new();
    let endpoint = proxy.before("s3", &moto.endpoint);
    proxy.when(|seen| {
        let is_refused = seen.method == "DELETE" && seen.target.contains("-static/");
        is_refused.then_some(Fault::AnswerBefore(403))
    });
    let world = World::local(service());
    let run = world
        .binary(&DOCTOR)
        .envs(moto.environment())
        .env("PKGS_STORE", "s3://doctor-keeps/team")
        .env("PKGS_STORE_ENDPOINT", &endpoint)
        .env("PKGS_STATIC", "s3://doctor-keeps-static/{environment}")
        .run()
        .expect(0);
    let told = checks(&run);
    let kept = told
        .iter()
        .filter(|told| *told == "static-delete store::keeps");
    assert_eq!(kept.count(), 2, "{told:?}");
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
            "store ok",
            "store-race store::ignores_conditions",
            "static ok",
            "static ok",
            "static ok",
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
        "store ok",
        "store-race store::ignores_conditions",
        "static ok",
        "static ok",
        "static ok",
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
    let wanted = [
        "store store::other_repository",
        "store-race skipped",
        "static ok",
        "static ok",
        "static ok",
    ];
    assert_eq!(checks(&run), wanted);
    std::fs::remove_file(store.join("v1/repository.json")).expect("removed");

    let served = store.join("public/{environment}");
    let within = world
        .binary(&DOCTOR)
        .env("PKGS_STATIC", format!("file://{}", served.display()))
        .run()
        .expect(2);
    let checks = checks(&within);
    assert!(
        checks.contains(&"static static::in_store".to_owned()),
        "{checks:?}"
    );
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
