//! The release board: where it is written, and in a real browser, who can read it and that it asks nobody for anything.
//!
//! With `PKGS_TEST_PICTURES` set to a directory, what the browser shows is written there.

use std::fs;
use std::path::{Path, PathBuf};

use pkgs_action::environment::entry::Hold;
use pkgs_action::report::board;
use pkgs_action::report::environments::{
    AppStatus, BuildStatus, EnvironmentStatus, HostStatus, PackageStatus, Past, STATUS_SCHEMA,
    Status, StoreStatus, VersionStatus, WayBack, rollback_command,
};
use serde_json::{Value, json};

use crate::support::browser::{Browser, View};
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::Sandbox;
use crate::support::servers::{free_port, installed};
use crate::support::static_server::StaticServer;
use crate::support::world::{Machine, World};

/// What the tests look at pages with: phone and desk, light and dark.
const VIEWS: [(&str, View); 4] = [
    ("phone-light", view(360, 780, false)),
    ("phone-dark", view(360, 780, true)),
    ("desktop-light", view(1280, 900, false)),
    ("desktop-dark", view(1280, 900, true)),
];

const fn view(width: u32, height: u32, dark: bool) -> View {
    View {
        width,
        height,
        dark,
    }
}

/// Two services and a site; `sit` follows every release of the services.
fn apps() -> Monorepo {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .service("web", "2.0.0")
        .service("@acme/api", "0.4.0")
        .depends("web", "core", "^1.0.0");
    let service = json!({"type": "service", "environments": ["sit", "prod"], "auto": ["sit"]});
    monorepo
        .config(&json!({"mode": "diff", "apps": {"web": service, "@acme/api": service}}))
        .commit("feat: begin", &[])
}

/// An outside with a directory for the board.
fn world() -> (World, PathBuf) {
    let world = World::local(apps());
    let directory = world.outside.path().join("board");
    fs::create_dir(&directory).expect("a directory");
    (world, directory)
}

fn place(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

/// Runs a command about environments without a checkout, with the board at `place`.
fn operate(world: &World, place: &str, arguments: &[&str]) -> crate::support::sandbox::Run {
    let mut all = arguments.to_vec();
    all.extend(["--board", place]);
    world.operate(&all)
}

#[test]
fn the_board_follows_every_change_of_an_environment_and_stops_none() {
    let (world, directory) = world();
    let board = place(&directory);
    let file = directory.join("index.html");
    let _ = world
        .binary(&["release", "--board", &board])
        .run()
        .expect(0);
    let released = fs::read_to_string(&file).expect("a board after a release");
    assert!(released.contains("2 apps · 2 versions live"), "{released}");

    let promote = [
        "promote",
        "--environment",
        "prod",
        "--app",
        "web",
        "--from",
        "sit",
    ];
    let dry = operate(&world, &board, &[&promote[..], &["--dry-run"]].concat()).expect(0);
    assert!(!dry.stderr.contains("board"), "{}", dry.stderr);
    assert_eq!(fs::read_to_string(&file).expect("a board"), released);
    let _ = operate(&world, &board, &promote).expect(0);
    let promoted = fs::read_to_string(&file).expect("a board");
    assert!(promoted.contains("2 apps · 3 versions live"), "{promoted}");
    let hold = [
        "hold",
        "--environment",
        "prod",
        "--app",
        "web",
        "--reason",
        "an incident",
    ];
    let _ = operate(&world, &board, &hold).expect(0);
    let with_hold = fs::read_to_string(&file).expect("a board");
    assert!(
        with_hold.contains("held by ada: an incident"),
        "{with_hold}"
    );

    // In the store it lies beside what it tells of, and nothing there takes it for something else.
    let unhold = ["unhold", "--environment", "prod", "--app", "web"];
    let _ = operate(&world, "store", &unhold).expect(0);
    let in_store = world.outside.path().join("store/v1/board.html");
    let freed = fs::read_to_string(in_store).expect("a board in the store");
    assert!(!freed.contains("held by ada"), "{freed}");
    let _ = world.operate(&["gc"]).expect(0);

    // What is no board of ours is not written over, and what cannot be written keeps no pointer from moving.
    fs::write(&file, "<!doctype html><title>Welcome</title>").expect("a file");
    let run = operate(&world, &board, &hold).expect(0);
    assert!(
        run.stderr.contains("the board is not written"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("is no release board"), "{}", run.stderr);
    let welcome = fs::read_to_string(&file).expect("a file");
    assert!(welcome.contains("Welcome"), "{welcome}");
    let nowhere = place(&directory.join("missing"));
    let run = operate(&world, &nowhere, &unhold).expect(0);
    assert!(
        run.stderr.contains("the board is not written"),
        "{}",
        run.stderr
    );

    // Asked for by name, it is a failure, and the page is told all the same.
    let page = ["status", "--format", "html"];
    let run = operate(&world, &board, &page).expect(3);
    assert!(
        run.stderr.contains("error[board::foreign]"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.starts_with("<!doctype html>"), "{}", run.stdout);
    fs::remove_file(&file).expect("a file");
    let run = operate(&world, &board, &page).expect(0);
    assert_eq!(fs::read_to_string(&file).expect("a board"), run.stdout);
}

#[test]
fn a_page_is_asked_of_status_alone_and_a_board_in_the_store_needs_one() {
    let sandbox = Sandbox::new();
    let check = |arguments: &[&str], code: &str| {
        let run = sandbox.run(sandbox.path(), arguments, &[]).expect(2);
        assert!(
            run.stderr.contains(&format!("error[{code}]")),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    };
    check(&["plan", "--format", "html"], "settings::choice");
    check(&["--format", "html"], "settings::choice");
    check(&["status", "--format", "htm"], "settings::choice");
    check(&["status", "--board", "store"], "settings::missing");
    check(
        &["status", "--board", "https://a.example"],
        "settings::store_address",
    );
    let json = sandbox.run(sandbox.path(), &["status", "--format", "html"], &[]);
    assert!(json.expect(0).stdout.contains("no store was looked into"));
}

/// Asserts that everybody can read the page, in every view; `pictures` are called after it.
fn everybody_can_read(browser: &Browser, url: &str, pictures: &str) {
    let mut grounds = Vec::new();
    for (name, view) in VIEWS {
        browser.look(view);
        browser.open(url);
        if let Some(directory) = std::env::var_os("PKGS_TEST_PICTURES") {
            let file = Path::new(&directory).join(format!("{pictures}{name}.png"));
            browser.picture(&file);
        }
        let seen = browser.script(include_str!("board.js"));
        let about = format!("{name}: {seen:#}");
        assert!(seen["overflow"].as_i64().expect("a number") <= 0, "{about}");
        assert_eq!(seen["faint"], json!([]), "{about}");
        assert_eq!(seen["covered"], json!([]), "{about}");
        assert_eq!(seen["nameless"], 0, "{about}");
        assert_eq!(seen["odd"], 0, "{about}");
        assert_eq!(
            seen["landmarks"],
            json!(["header", "nav", "main", "footer"]),
            "{about}"
        );
        assert!(
            seen["texts"].as_u64() > Some(40) && seen["images"].as_u64() > Some(1),
            "{about}"
        );
        let headings = seen["headings"].as_array().expect("headings");
        let levels: Vec<u64> = headings.iter().filter_map(Value::as_u64).collect();
        assert_eq!(
            levels.iter().filter(|level| **level == 1).count(),
            1,
            "{about}"
        );
        assert_eq!(levels.first(), Some(&1), "{about}");
        assert!(
            levels.windows(2).all(|pair| pair[1] <= pair[0] + 1),
            "{about}"
        );
        grounds.push(seen["ground"].clone());
    }
    assert_ne!(grounds[0], grounds[1], "dark is as light");
    assert_eq!(
        browser.log("browser"),
        Vec::<Value>::new(),
        "the console is not empty"
    );
    let mut requests = browser.requests();
    requests.retain(|request| request != url);
    assert_eq!(
        requests,
        Vec::<String>::new(),
        "the page asks for more than itself"
    );
}

/// Asserts that the rules of axe-core find nothing serious.
fn axe_finds_nothing(browser: &Browser) {
    let axe = installed().join("axe-core/package/axe.min.js");
    let axe = fs::read_to_string(axe).expect("axe-core");
    let found = browser.script(&format!(
        "{axe}; return axe.run().then((found) => found.violations.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 200)).slice(0, 3)]))"
    ));
    assert_eq!(found, json!([]), "{found:#}");
}

#[test]
fn everybody_can_read_the_board_and_copy_the_way_back() {
    let (world, directory) = world();
    let _ = world.run(&["release"]).expect(0);
    let mut world = world;
    for patch in 1..=3 {
        let file = format!("packages/web/service/{patch}.js");
        let more = "// more\n".repeat(patch * 2000);
        world = world.develop(&format!("fix(web): {patch}"), &[(&file, &more)]);
        let _ = world.run(&["release"]).expect(0);
    }
    let web = ["--environment", "prod", "--app", "web"];
    let point = |command: &str, more: &[&str]| {
        let _ = world
            .operate(&[&[command], &web[..], more].concat())
            .expect(0);
    };
    point("promote", &["--to", "2.0.1"]);
    point("promote", &["--to", "2.0.2"]);
    point("promote", &["--to", "2.0.3"]);
    point("rollback", &["--reason", "loses </script> & \"orders\""]);
    let machine = Machine::new();
    let pull = machine.pull(&world.outside, "web", "prod", free_port());
    let _ = pull.run().expect(0);
    let api = ["--environment", "prod", "--app", "@acme/api"];
    let _ = world
        .operate(&[&["promote", "--from", "sit"], &api[..]].concat())
        .expect(0);
    let _ = world
        .operate(&[&["hold", "--reason", "an audit"], &api[..]].concat())
        .expect(0);
    let world = world.develop("feat(core): more", &[("packages/core/src/more.js", "")]);

    let page = world.run(&["status", "--format", "html"]).expect(0).stdout;
    for words in ["loses &#60;/script&#62;", "host-1", "an audit", "2.0.1"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    fs::write(directory.join("index.html"), &page).expect("a file");
    let server = StaticServer::start(&directory);
    let url = server.url();
    let browser = Browser::start();
    everybody_can_read(&browser, &url, "");
    axe_finds_nothing(&browser);

    // The button is there for the keyboard and copies the very command.
    let origin = url.trim_end_matches('/');
    browser.command(
        "Browser.grantPermissions",
        &json!({"origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}),
    );
    browser.open(&url);
    browser.press("\u{e004}");
    let focused = "const focused = document.activeElement; return [focused.className, getComputedStyle(focused).outlineStyle]";
    assert_eq!(browser.script(focused), json!(["skip", "solid"]));
    let web_in_prod = "button[aria-label='Copy the rollback command of web in prod']";
    browser.click(web_in_prod);
    let copied = browser.script("return navigator.clipboard.readText()");
    let copied = copied.as_str().expect("text").to_owned();
    let shown = format!(
        "return document.getElementById(document.querySelector(\"{web_in_prod}\").dataset.copies).textContent"
    );
    assert_eq!(browser.script(&shown), copied.as_str());
    let told = browser.script("return document.getElementById('told').textContent");
    assert_eq!(told, "The command is copied");

    // Wherever it is run, it does what stands beside it.
    let words = shell_words::split(&copied).expect("a command");
    assert_eq!(words[0], "pkgs-action");
    let mut arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    arguments.extend(["--dry-run", "--format", "json"]);
    let elsewhere = Sandbox::new();
    let run = elsewhere.run(elsewhere.path(), &arguments, &[("PKGS_ACTOR", "ada")]);
    let told = run.expect(0).json();
    let point = &told["apps"][0];
    assert_eq!(
        (&point["from"], &point["to"]),
        (&json!("2.0.2"), &json!("2.0.1"))
    );
    assert!(page.contains("Rollback goes to <span class=\"version\"><bdi>2.0.1</bdi>"));
}

/// Text that a page must show and never obey.
const HOSTILE: &str = "</script><script>document.title='hostile'</script><img src=x onerror=\"document.title='hostile'\">\u{202e}\u{7}";

/// As much as nobody has: `apps` with `environments` each, long names, and hostile words wherever words may be.
fn crowd(apps: usize, environments: usize) -> Status {
    let store = StoreStatus {
        address: format!("s3://acme/{}", "deep/".repeat(20)),
        endpoint: Some("https://store.example/".to_owned()),
        region: None,
    };
    let apps = (0..apps).map(|index| {
        let name = format!("@acme/{index}-{}", "long".repeat(48));
        let environments = (0..environments).map(|place| crowded(&store, &name, place));
        AppStatus {
            environments: environments.collect(),
            versions: (0..30).rev().map(weighed).collect(),
            name,
        }
    });
    let package = |index: usize| PackageStatus {
        name: format!("@acme/package-{index}-{HOSTILE}"),
        dir: String::new(),
        version: Some("1.0.0-beta.1+build.20261130".to_owned()),
        tag: None,
        published: None,
        unreleased: 1,
        next: Some("1.0.0".to_owned()),
    };
    Status {
        schema: STATUS_SCHEMA,
        at: "2026-11-30T12:00:00Z".to_owned(),
        environments: vec!["stable".to_owned(), "sit".to_owned()],
        packages: (0..120).map(package).collect(),
        next_unknown: None,
        apps: apps.collect(),
        asked: None,
        failure: None,
        store: Some(store),
    }
}

fn crowded(store: &StoreStatus, app: &str, place: usize) -> EnvironmentStatus {
    let environment = format!("environment-{place}-{}", "wide".repeat(10));
    let version = |seq: u64| format!("{seq}.0.0-beta.{seq}+build.20261130120000");
    let moves = (1..=12).rev().map(|seq| Past {
        seq,
        op: if seq % 5 == 0 { "rollback" } else { "promote" },
        version: Some(version(seq)),
        operation: seq.to_string(),
        at: format!("2026-11-{:02}T12:00:00Z", seq + 1),
        actor: Some(HOSTILE.to_owned()),
        reason: Some(HOSTILE.repeat(20)),
    });
    EnvironmentStatus {
        current: Some(version(12)),
        since: Some("2026-11-13T12:00:00Z".to_owned()),
        seq: 12,
        by: Some(HOSTILE.to_owned()),
        op: Some("promote"),
        hold: Some(Hold {
            by: "ada".to_owned(),
            reason: Some(HOSTILE.to_owned()),
            seq: 12,
        }),
        bad: vec![version(3), version(9)],
        pinned: vec![version(1)],
        rollback_to: Some(version(11)),
        rollback_command: Some(rollback_command(
            store,
            &WayBack {
                app,
                environment: &environment,
                leaves: &version(12),
                to: &version(11),
                needs_cdn_command: place.is_multiple_of(2),
            },
        )),
        static_applied: Some(false),
        awaits_cdn: None,
        url: Some(format!("https://static.example/{}/", "wide".repeat(40))),
        unreadable: vec![],
        hosts: vec![HostStatus {
            host: "host".repeat(30),
            version: Some(version(12)),
            state: "failed".to_owned(),
            seq: 3,
            behind: true,
            error: Some(HOSTILE.to_owned()),
            at: "2026-11-13T12:00:00Z".to_owned(),
        }],
        history: moves.collect(),
        environment,
    }
}

fn weighed(patch: u64) -> VersionStatus {
    VersionStatus {
        version: format!("1.0.{patch}"),
        variants: vec!["any".to_owned()],
        builds: vec![BuildStatus {
            variant: "any".to_owned(),
            release: String::new(),
            committed_at: "2026-11-13T12:00:00Z".to_owned(),
            archive_bytes: Some(1 << (patch + 10)),
            static_bytes: Some(u64::MAX - patch),
        }],
    }
}

#[test]
fn crowds_long_names_and_hostile_words_stay_readable_and_harmless() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = StaticServer::start(directory.path());
    let browser = Browser::start();
    for (name, status) in [("apps", crowd(120, 3)), ("environments", crowd(1, 300))] {
        let page = board::page(&status);
        let file = format!("{name}.html");
        fs::write(directory.path().join(&file), page).expect("a file");
        let url = format!("{}{file}", server.url());
        everybody_can_read(&browser, &url, &format!("{name}-"));
        assert_eq!(browser.script("return document.title"), "Release board");
    }
    // The rules of axe-core take long on long pages, and these have all that longer ones have.
    let page = board::page(&crowd(2, 14));
    fs::write(directory.path().join("both.html"), page).expect("a file");
    browser.open(&format!("{}both.html", server.url()));
    axe_finds_nothing(&browser);
}
