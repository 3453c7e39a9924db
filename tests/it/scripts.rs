//! What the scripts around packing find: the environment that npm gives them, and nothing that is ours alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::publishing::Recorder;
use crate::support::managers::{self, Manager};
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::search_path;
use crate::support::servers;
use crate::support::verdaccio::npmrc;
use crate::support::world::World;

const TOKEN: &str = "npm_tokenOfThePublisher0123456789abcdef";

/// Writes down the environment, under the name of the event.
const DUMP: &str = "const { mkdirSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const seen = join(__dirname, 'seen')
mkdirSync(seen, { recursive: true })
const { env } = process
writeFileSync(join(seen, env.npm_lifecycle_event + '.json'), JSON.stringify(env))
";

type Variables = BTreeMap<String, String>;

/// A workspace with a package that has whatever npm tells its scripts of, all of which write down what they see.
fn telling() -> Monorepo {
    let dump = "node ../../dump.cjs";
    let manifest = json!({
        "name": "@acme/told", "version": "1.0.0", "main": "index.js",
        "bin": {"told": "./bin/../told.js"},
        "engines": {"node": ">=18", "npm": ">=9"},
        "config": {
            "port": 8080, "half": 0.5, "on": true, "off": false, "none": null, "empty": "",
            "hosts": ["a", {"name": "b", "spare": []}], "under_score": {"deep": "x y"},
            "7": "seven", "not-a-name": "a shell drops it",
        },
        "scripts": {
            "prepublishOnly": dump, "prepack": dump, "prepare": dump, "postpack": dump,
            "preprepack": "exit 1", "postprepack": "exit 1",
        },
        "publishConfig": {"access": "public"},
    });
    Monorepo::empty()
        .file(
            "package.json",
            r#"{"name": "acme", "private": true, "workspaces": ["packages/*"]}"#,
        )
        .file(".gitignore", "node_modules/\nseen/\n")
        .file("dump.cjs", DUMP)
        .file("packages/told/package.json", &format!("{manifest:#}\n"))
        .file("packages/told/index.js", "")
        .file("packages/told/told.js", "#!/usr/bin/env node\n")
        .config(&json!({"mode": "diff", "changelog": "none"}))
}

/// What the scripts wrote down, by event; it is taken away.
fn seen(monorepo: &Monorepo) -> BTreeMap<String, Variables> {
    let directory = monorepo.path().join("seen");
    let entries = fs::read_dir(&directory).expect("scripts ran");
    let seen = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        let event = path.file_stem().expect("a name").to_string_lossy();
        (
            event.into_owned(),
            serde_json::from_str(&text).expect("JSON"),
        )
    });
    let seen = seen.collect();
    fs::remove_dir_all(directory).expect("it goes");
    seen
}

/// `PATH` with a directory before it in which `name` is `program`.
fn path_with(within: &Path, name: &str, program: &Path) -> String {
    let directory = within.join(format!("bin-{name}"));
    fs::create_dir(&directory).expect("a directory");
    symlink(program, directory.join(name)).expect("a link");
    format!(
        "{}:{}",
        directory.display(),
        search_path().to_string_lossy()
    )
}

/// npm's `PATH` without the directories for programs that lie above the repository: what lies there is not the project's, and in `/tmp`
/// whoever likes can put programs there.
fn without_above(path: &str, root: &str) -> String {
    let is_above = |entry: &&str| entry.ends_with("/node_modules/.bin") && !entry.starts_with(root);
    let kept: Vec<&str> = path.split(':').filter(|entry| !is_above(entry)).collect();
    kept.join(":")
}

/// Variables around us that are not handed on to what the project runs: they are about git and AWS.
const KEPT_BACK: [&str; 6] = [
    "AWS_CONFIG_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_SHARED_CREDENTIALS_FILE",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_TERMINAL_PROMPT",
];

/// Why a variable of npm's is not there, or is `found` instead; `None` where it has to be.
fn excused(event: &str, name: &str, found: Option<&str>) -> Option<&'static str> {
    match (name, found) {
        (name, None) if KEPT_BACK.contains(&name) => Some("it is not handed on"),
        ("EDITOR", None) => Some("nobody edits: a script has no input"),
        ("npm_package_integrity", None) if event == "prepare" => {
            Some("npm says the word `null` before there is an integrity")
        }
        ("npm_package_integrity", Some(found)) if found.starts_with("sha512-") => {
            Some("of the compressed tarball, which no two programs share")
        }
        ("npm_config_globalconfig", Some(found)) if found.ends_with("/etc/npmrc") => {
            Some("the variable that names another one to npm is not handed on: it is npm's own")
        }
        _ => None,
    }
}

/// Compares what scripts found under npm with what they found under us.
fn compare(world: &World, npms: &Variables, ours: &Variables, event: &str) {
    let root = world.monorepo.path().to_str().expect("text");
    let mut apart = Vec::new();
    for (name, value) in npms {
        let expected = match name.as_str() {
            "PATH" => without_above(value, root),
            _ => value.clone(),
        };
        let found = ours.get(name);
        let is_excused = excused(event, name, found.map(String::as_str)).is_some();
        if found != Some(&expected) && !is_excused {
            apart.push(format!("{name} is {found:?}, not {expected:?}"));
        }
    }
    assert!(apart.is_empty(), "{event}: {}", apart.join("\n"));
    let more: Vec<&String> = ours
        .keys()
        .filter(|name| !npms.contains_key(*name))
        .collect();
    assert!(more.is_empty(), "{event}: npm does not tell {more:?}");
}

#[test]
fn scripts_find_what_npm_tells_them() {
    let world = World::local(telling().commit("feat: told", &[]));
    let program = servers::installed().join("npm/package/bin/npm-cli.js");
    let path = path_with(world.outside.path(), "npm", &program);
    let npms = Recorder::start();
    let ours = Recorder::start();
    // Both registries are called the same: by a variable that scripts see.
    let registry = npms.url();
    let npmrc = npmrc(&registry, TOKEN);
    let credential = npmrc.lines().last().expect("a line").to_owned() + "\n";
    fs::write(world.monorepo.sandbox().npmrc(), credential).expect("written");

    for command in ["publish", "pack"] {
        let mut npm = world
            .monorepo
            .sandbox()
            .command("node", world.monorepo.path());
        npm.arg(&program)
            .args([command, "-w", "packages/told"])
            .env("PATH", &path)
            .env("npm_config_registry", &registry);
        let ended = npm.output().expect("node starts");
        assert!(ended.status.success(), "{ended:?}");
        let theirs = seen(&world.monorepo);

        let arguments: &[&str] = match command {
            "publish" => &["release"],
            _ => &["pack", "--dry-run", "--filter", "@acme/told"],
        };
        let run = world
            .binary(arguments)
            .env("PATH", &path)
            .env("npm_config_registry", &registry)
            .env("PKGS_REGISTRY", ours.url())
            .env("PKGS_NPM_TOKEN", TOKEN)
            .run()
            .expect(0);
        let own = seen(&world.monorepo);
        let events: Vec<&String> = theirs.keys().collect();
        assert_eq!(events, own.keys().collect::<Vec<_>>(), "{command}");
        assert_eq!(events.len(), if command == "publish" { 4 } else { 3 });
        for (event, npms) in &theirs {
            let own = &own[event];
            compare(&world, npms, own, event);
            assert_eq!(own["npm_command"], command);
            assert!(own["npm_config_user_agent"].starts_with("npm/12."));
            let secret = own.iter().find(|(name, value)| {
                name.starts_with("PKGS_") || name.starts_with("INPUT_") || value.contains(TOKEN)
            });
            assert_eq!(secret, None, "{event}");
        }
        let told = &own["postpack"]["npm_package_integrity"];
        if command == "publish" {
            let body: Value = serde_json::from_slice(&ours.put().body).expect("JSON");
            assert_eq!(
                body["versions"]["1.0.0"]["dist"]["integrity"],
                told.as_str()
            );
        } else {
            assert!(told.starts_with("sha512-"), "{told}");
        }
        assert!(!run.stderr.contains(TOKEN));
    }
}

/// What a script under a manager calls itself, for a workspace that names that manager and its version.
fn agent_of(manager: &Manager, monorepo: &Monorepo) -> Variables {
    let mut command = manager.command(monorepo, &["run", "show"]);
    let ended = command
        .current_dir(monorepo.path().join("packages/told"))
        .output()
        .expect("it starts");
    assert!(ended.status.success(), "{}: {ended:?}", manager.name);
    let mut seen = seen(monorepo);
    seen.remove("show").expect("the script ran")
}

#[test]
fn scripts_are_told_whose_workspace_they_belong_to() {
    let installed = |path: &str| servers::installed().join(path);
    let cases: [(&Manager, &str, &str, PathBuf); 5] = [
        (
            &managers::PNPM_10,
            "pnpm",
            "10.34.8",
            installed("pnpm/node_modules/pnpm-10/bin/pnpm.cjs"),
        ),
        (
            &managers::PNPM_12,
            "pnpm",
            "12.21.0",
            installed("pnpm/node_modules/pnpm-12/pnpm"),
        ),
        (
            &managers::CLASSIC,
            "yarn",
            "1.22.22",
            installed("managers/node_modules/yarn-1/bin/yarn.js"),
        ),
        (
            &managers::BERRY_4,
            "yarn",
            "4.18.1",
            installed("managers/node_modules/yarn-4/bin/yarn.js"),
        ),
        (
            &managers::BUN,
            "bun",
            "1.4.5",
            installed("managers/node_modules/bun/bin/bun.exe"),
        ),
    ];
    for (manager, name, version, program) in cases {
        let (file, settings) = manager.settings();
        let root = json!({
            "name": "acme", "private": true, "workspaces": ["packages/*"],
        });
        let monorepo = manager
            .settled(telling())
            .file("package.json", &root.to_string())
            .file(file, &settings)
            .edit("packages/told/package.json", |manifest| {
                manifest["scripts"] =
                    json!({"prepack": "node ../../dump.cjs", "show": "node ../../dump.cjs"});
            });
        let _ = manager.writes(&monorepo);
        if manager.name == "yarn-4" {
            let _ = manager.run(&monorepo, &["install"]).expect("installed");
        }
        let theirs = agent_of(manager, &monorepo);
        // pnpm would fetch what stands there.
        let monorepo = monorepo.edit("package.json", |manifest| {
            manifest["packageManager"] = json!(format!("{name}@{version}"));
        });
        let path = path_with(monorepo.sandbox().path(), name, &program);
        let _ = monorepo
            .binary(&["pack", "--dry-run", "--filter", "@acme/told"])
            .env("PATH", &path)
            .run()
            .expect(0);
        let ours = seen(&monorepo).remove("prepack").expect("it ran");
        let words = |variables: &Variables| {
            let text = &variables["npm_config_user_agent"];
            let words = text.split(' ').map(str::to_owned);
            words.collect::<Vec<String>>()
        };
        let (own, npms) = (words(&ours), words(&theirs));
        for (at, (own, theirs)) in own.iter().zip(&npms).enumerate() {
            // pnpm 12 does not know which Node there is, and bun tells its own in its place.
            assert!(
                at == 2 || own == theirs,
                "{}: {own}, not {theirs}",
                manager.name
            );
        }
        assert_eq!(own.len(), npms.len(), "{}", manager.name);
        // yarn 4 has a program of its own for each run, which calls this one.
        let program = fs::canonicalize(&program).expect("a program");
        let program = program.to_str().expect("text");
        assert_eq!(ours["npm_execpath"], program, "{}", manager.name);
        if manager.name != "yarn-4" {
            let theirs = fs::canonicalize(&theirs["npm_execpath"]).expect("a program");
            assert_eq!(theirs.to_str(), Some(program), "{}", manager.name);
        }
        for name in [
            "npm_package_name",
            "npm_package_version",
            "npm_package_json",
            "PROJECT_CWD",
            "PNPM_SCRIPT_SRC_DIR",
        ] {
            let theirs = theirs.get(name);
            let is_same = theirs.is_none_or(|theirs| ours.get(name) == Some(theirs));
            assert!(is_same, "{name} of {}: {theirs:?}", manager.name);
        }
    }
}

#[test]
fn a_script_that_lets_one_manager_in_knows_it() {
    let only = |name: &str| {
        format!(
            "node -e \"process.exit(process.env.npm_config_user_agent.startsWith('{name}/') ? 0 : 3)\""
        )
    };
    for (name, code) in [("pnpm", 0), ("npm", 1)] {
        let monorepo = telling()
            .file("pnpm-workspace.yaml", "packages:\n  - packages/*\n")
            .edit("packages/told/package.json", |manifest| {
                manifest["scripts"] = json!({"prepack": only(name)});
            });
        let _ = monorepo.run(&["pack", "--dry-run"]).expect(code);
    }
}

/// A user who is nobody else on this machine.
const SOMEBODY: u32 = 4242;

/// Gives everything below a directory to [`SOMEBODY`].
fn give_away(directory: &Path) {
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry.expect("an entry");
        lchown(entry.path(), Some(SOMEBODY), Some(SOMEBODY)).expect("root gives away");
    }
}

/// Who runs the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Root, in a workspace of somebody else, as whom it goes on.
    Root,
    /// The owner of the workspace, who is not root.
    Owner,
    /// Whoever runs the tests, who is not root.
    Ourselves,
}

/// What a script found that looked everywhere while `who` released with these secrets; the token for npm is one of ours, or what npm's own
/// settings file names.
/// A directory above what the story needs that only its owner gets through.
fn out_of_reach() -> Option<PathBuf> {
    let programs = std::env::split_paths(&search_path())
        .filter_map(|directory| directory.join("node").canonicalize().ok())
        .collect::<Vec<_>>();
    let needed = [
        std::env::temp_dir(),
        servers::repository().to_owned(),
        PathBuf::from(env!("CARGO_BIN_EXE_pkgs-action")),
    ];
    let is_closed = |path: &&Path| {
        let mode = path
            .metadata()
            .map_or(0, |metadata| metadata.permissions().mode());
        path.is_dir() && mode & 0o001 == 0
    };
    let mut needed = needed.iter().chain(programs.first());
    let closed = |path: &PathBuf| path.ancestors().find(is_closed).map(Path::to_owned);
    needed.find_map(closed)
}

fn stolen(who: Who, secrets: &[(&str, &str)], token: &str) -> Value {
    let world = World::local(
        telling()
            .edit("packages/told/package.json", |manifest| {
                let thief = servers::repository().join("tests/servers/thief.cjs");
                let line = format!(
                    "mkdir ../../seen && node '{}' ../../seen/found.json",
                    thief.display()
                );
                manifest["scripts"] = json!({"prepack": line});
            })
            .commit("feat: told", &[]),
    );
    let registry = Recorder::start();
    let text = npmrc(&registry.url(), token);
    fs::write(world.monorepo.sandbox().npmrc(), text).expect("written");
    if who != Who::Ourselves {
        give_away(world.monorepo.sandbox().path());
        give_away(world.outside.path());
    }
    let invocation = world
        .binary(&["release"])
        .env("PKGS_REGISTRY", registry.url())
        .envs(secrets);
    let invocation = match who {
        Who::Owner => invocation.by_user(SOMEBODY),
        Who::Root | Who::Ourselves => invocation,
    };
    let _ = invocation.run().expect(0);
    // The credentials were used: nobody hides what is not there.
    let sent = registry
        .put()
        .headers
        .get("authorization")
        .map(str::to_owned);
    assert!(
        sent.is_some_and(|sent| sent.contains("pkgsCanary")),
        "{who:?}"
    );
    serde_json::from_str(&world.monorepo.read("seen/found.json")).expect("JSON")
}

#[test]
#[expect(clippy::print_stderr, reason = "what is not tried here is said")]
fn a_script_that_looks_everywhere_finds_no_secret() {
    // Made here, so that it stands in no program and in no other run of the tests.
    let canary = |number: u64| {
        let unique = u64::from(std::process::id()) << 32 | number;
        format!("pkgsCanary{unique:016x}")
    };
    let [npm, forge, aws, other] = [1, 2, 3, 4].map(canary);
    let named: &[(&str, &str)] = &[
        ("PKGS_NPM_TOKEN", &npm),
        ("PKGS_TOKEN", &forge),
        ("GITHUB_TOKEN", &forge),
        ("AWS_SECRET_ACCESS_KEY", &aws),
        ("AWS_SESSION_TOKEN", &aws),
    ];
    // What a settings file of npm takes from a variable that no list of credentials can know.
    let unnamed: &[(&str, &str)] = &[("ACME_WHATEVER", &other)];
    let whos: &[Who] = if !rustix::process::geteuid().is_root() {
        eprintln!("not root: what root does in a workspace of somebody else is not tried");
        &[Who::Ourselves]
    } else if let Some(place) = out_of_reach() {
        let place = place.display();
        eprintln!(
            "nobody else gets to {place}: what root does in a workspace of somebody else is not tried"
        );
        return;
    } else {
        &[Who::Root, Who::Owner]
    };
    for who in whos {
        for (secrets, token) in [(named, "none"), (unnamed, "${ACME_WHATEVER}")] {
            let stolen = stolen(*who, secrets, token);
            let user = stolen["user"].as_u64().expect("a number");
            assert_ne!(user, 0, "{who:?}");
            // Whoever started us knows what it gave us, and has to hide itself.
            let starter = format!("memory of {}:", std::process::id());
            let found = stolen["found"].as_array().expect("a list").iter();
            let found: Vec<&str> = found
                .filter_map(Value::as_str)
                .filter(|place| *who != Who::Ourselves || !place.starts_with(&starter))
                .collect();
            assert!(found.is_empty(), "{who:?}: {found:?}");
            // It looked at files, at programs of its own user, and at us.
            assert!(stolen["files"].as_u64() > Some(50), "{who:?}: {stolen}");
            let ancestors = stolen["ancestors"].as_array().expect("a list");
            let ancestors = ancestors.iter().filter_map(Value::as_str);
            let processes = &stolen["processes"];
            let (us, others): (Vec<&str>, Vec<&str>) = ancestors
                .filter(|pid| *pid != "0")
                .partition(|pid| processes[*pid]["name"] == "pkgs-action");
            assert_eq!(us.len(), 1, "{who:?}: {processes}");
            assert_eq!(
                processes[others[0]]["environ"], "read",
                "{who:?}: its shell"
            );
            assert_eq!(processes[others[0]]["memory"], "read", "{who:?}: its shell");
            for what in ["environ", "memory"] {
                assert_eq!(processes[us[0]][what], "EACCES", "{who:?}: our {what}");
            }
        }
    }
}
