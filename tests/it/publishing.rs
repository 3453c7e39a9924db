//! What a registry is asked, beside what npm itself asks.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use pkgs_action::local::archive::read_npm_tarball;
use serde_json::{Value, json};

use crate::support::http::{Headers, Listener, Request, Response, read_request};
use crate::support::managers::{self, Manager};
use crate::support::monorepo::Monorepo;
use crate::support::servers;
use crate::support::verdaccio::npmrc;
use crate::support::world::World;

const TOKEN: &str = "npm_tokenOfThePublisher0123456789abcdef";

/// What happens to a PUT.
#[derive(Clone)]
enum Fault {
    /// It is taken, and this is said.
    Taken(Response),
    /// It is not taken, and this is said.
    Left(Response),
    /// It is taken, and the answer is cut in the middle.
    CutAfter,
    /// It is not taken, and the connection breaks.
    CutBefore,
}

#[derive(Default)]
struct Held {
    /// What was taken.
    puts: Vec<Request>,
    /// What happens to the next PUTs.
    faults: VecDeque<Fault>,
    /// How many more times a document is not shown that is there.
    hidden: usize,
}

/// A registry that takes what it is sent, unless a test says otherwise, and keeps every PUT.
pub(crate) struct Recorder {
    listener: Listener,
    held: Arc<Mutex<Held>>,
}

fn json_answer(status: u16, body: &Value) -> Response {
    Response::new(status, "application/json", body.to_string())
}

impl Recorder {
    pub(crate) fn start() -> Recorder {
        Recorder::with(Vec::new(), 0)
    }

    fn with(faults: Vec<Fault>, hidden: usize) -> Recorder {
        let held = Arc::new(Mutex::new(Held {
            puts: Vec::new(),
            faults: faults.into(),
            hidden,
        }));
        let shared = Arc::clone(&held);
        let listener = Listener::start(move |connection| {
            let mut connection = BufReader::new(connection);
            while let Ok(Some(request)) = read_request(&mut connection) {
                let (answer, cut) = shared.lock().expect("no holder panics").answer(&request);
                let bytes = answer.to_bytes(&request.method);
                let sent = if cut { bytes.len() / 2 } else { bytes.len() };
                let written = connection.get_mut().write_all(&bytes[..sent]);
                if cut || written.is_err() || !request.keeps_alive() {
                    return;
                }
            }
        });
        Recorder { listener, held }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/", self.listener.url().trim_end_matches('/'))
    }

    /// What was taken.
    fn puts(&self) -> Vec<Request> {
        self.held.lock().expect("no holder panics").puts.clone()
    }

    /// The one PUT that was taken.
    pub(crate) fn put(&self) -> Request {
        let mut puts = self.puts();
        assert_eq!(puts.len(), 1, "requests to write that were taken");
        puts.remove(0)
    }
}

impl Held {
    /// The answer, and whether it is cut.
    fn answer(&mut self, request: &Request) -> (Response, bool) {
        let known = self
            .puts
            .iter()
            .find(|put| put.path() == request.path())
            .cloned();
        if request.method == "PUT" {
            if known.is_some() {
                let error = json!({"error": "You cannot publish over the previously published versions: 1.0.0."});
                return (json_answer(403, &error), false);
            }
            let fault = self.faults.pop_front();
            if !matches!(fault, Some(Fault::Left(_) | Fault::CutBefore)) {
                self.puts.push(request.clone());
            }
            let taken = json_answer(201, &json!({"ok": true}));
            return match fault {
                Some(Fault::Taken(answer) | Fault::Left(answer)) => (answer, false),
                Some(Fault::CutAfter | Fault::CutBefore) => (taken, true),
                None => (taken, false),
            };
        }
        if request.path() == "/-/whoami" {
            return (json_answer(200, &json!({"username": "ada"})), false);
        }
        let shown = known.filter(|_| {
            let is_hidden = self.hidden > 0;
            self.hidden = self.hidden.saturating_sub(1);
            !is_hidden
        });
        let answer = match shown {
            Some(put) => Response::new(200, "application/json", put.body),
            None => json_answer(404, &json!({"error": "not found"})),
        };
        (answer, false)
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
    let registry = npms.url();
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
        .env("PKGS_REGISTRY", ours.url())
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

/// A release to a registry; its exit code and what it said.
fn release_to(world: &World, registry: &Recorder) -> (i32, String) {
    let run = world
        .binary(&["release"])
        .env("PKGS_REGISTRY", registry.url())
        .env("PKGS_NPM_TOKEN", TOKEN)
        .run();
    assert!(!run.stderr.contains(TOKEN) && !run.stdout.contains(TOKEN));
    (run.code, format!("{}{}", run.stdout, run.stderr))
}

/// A release whose first PUTs meet `faults`, and whose document is shown after `hidden` looks, ends in `exit` and tells `code`; the next one
/// finishes it. Whatever happens, the version is taken once, and its tag stays.
fn meets(what: &str, faults: Vec<Fault>, hidden: usize, exit: i32, code: &str) {
    let world = World::local(
        Monorepo::new()
            .package("core", "1.0.0")
            .commit("feat: core", &[]),
    );
    let registry = Recorder::with(faults, hidden);
    let (ended, said) = release_to(&world, &registry);
    assert_eq!(ended, exit, "{what}: {said}");
    assert!(said.contains(code), "{what}: {said}");
    let tags = world.origin_git(&["tag", "--list", "--format=%(refname) %(objectname)"]);
    assert!(tags.contains("core@1.0.0"), "{what}: {tags}");
    let (ended, said) = release_to(&world, &registry);
    assert_eq!(ended, 0, "{what}, the next run: {said}");
    assert_eq!(registry.puts().len(), 1, "{what}");
    let now = world.origin_git(&["tag", "--list", "--format=%(refname) %(objectname)"]);
    assert_eq!(now, tags, "{what}");
}

#[test]
fn whatever_a_registry_answers_a_version_is_there_once_and_the_next_run_goes_on() {
    let says = |status: u16, error: &str| json_answer(status, &json!({"error": error}));
    let later = |seconds: &str| {
        let mut answer = says(429, "Too many requests");
        answer
            .headers
            .0
            .push(("Retry-After".to_owned(), seconds.to_owned()));
        answer
    };
    let no = "You may not";
    std::thread::scope(|scope| {
        let cases: Vec<(&str, Vec<Fault>, usize, i32, &str)> = vec![
            (
                "403 although live",
                vec![Fault::Taken(says(403, no))],
                0,
                0,
                "",
            ),
            (
                "409, taken",
                vec![Fault::Taken(says(409, "Failed to save packument"))],
                0,
                0,
                "",
            ),
            (
                "409, not taken",
                vec![Fault::Left(says(409, "Failed to save packument"))],
                0,
                0,
                "",
            ),
            (
                "409, already present",
                vec![Fault::Taken(says(409, "this package is already present"))],
                0,
                0,
                "",
            ),
            (
                "500, taken",
                vec![Fault::Taken(says(500, "later"))],
                0,
                0,
                "",
            ),
            (
                "429",
                vec![Fault::Left(later("1"))],
                0,
                0,
                "published at once from now on",
            ),
            (
                "429 for long",
                vec![Fault::Left(later("1934"))],
                0,
                75,
                "npm::busy",
            ),
            ("cut after", vec![Fault::CutAfter], 0, 0, ""),
            ("cut before", vec![Fault::CutBefore], 0, 0, ""),
            ("shown late", vec![], 2, 0, ""),
            ("cut after, and shown late", vec![Fault::CutAfter], 4, 0, ""),
            (
                "403",
                vec![Fault::Left(says(403, no))],
                0,
                5,
                "npm::forbidden",
            ),
            (
                "404",
                vec![Fault::Left(says(404, "Not found"))],
                0,
                5,
                "npm::no_permission",
            ),
            (
                "422",
                vec![Fault::Left(says(422, "repository.url"))],
                0,
                5,
                "npm::unprocessable",
            ),
        ];
        for (what, faults, hidden, exit, code) in cases {
            scope.spawn(move || meets(what, faults, hidden, exit, code));
        }
    });
}

#[test]
fn no_token_follows_a_publish_that_is_sent_elsewhere() {
    let elsewhere = Recorder::start();
    let mut away = Response::text(307, "over there");
    let address = format!("{}core", elsewhere.url());
    away.headers = Headers(vec![("Location".to_owned(), address)]);
    meets(
        "redirected",
        vec![Fault::Left(away)],
        0,
        5,
        "npm::redirected",
    );
    assert_eq!(elsewhere.puts().len(), 0);
}
