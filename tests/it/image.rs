//! The image: what the Dockerfile must be for a workflow runner, and the binary as the first process of a container.
//!
//! `tests/image.sh` builds the image for real and runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::monorepo::Monorepo;
use crate::support::servers::repository;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The instructions of the Dockerfile: name and rest, lines that go on joined, comments left out.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile")
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("\\\n", " ");
    text.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

#[test]
fn the_image_is_what_a_runner_needs() {
    let instructions = instructions();
    let of = |name: &str| -> Vec<&str> {
        instructions
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, rest)| rest.as_str())
            .collect()
    };
    let stages = of("FROM");
    assert_eq!(stages.len(), 2, "one stage builds, one runs");
    let last = stages[1];
    assert!(
        last.starts_with("node:") && last.contains("bookworm"),
        "{last}: Node on glibc, so that native modules run on ordinary hosts"
    );
    // The runner mounts the workspace with an owner of its own, and reads what the action wrote.
    assert_eq!(of("USER"), Vec::<&str>::new(), "it runs as root");
    // A shell would drop INPUT_DRY-RUN and would stand between the binary and its signals.
    assert_eq!(of("ENTRYPOINT"), ["[\"/usr/local/bin/pkgs-action\"]"]);
    assert_eq!(of("CMD"), Vec::<&str>::new());
    let at = |wanted: &dyn Fn(&(String, String)) -> bool| {
        instructions
            .iter()
            .rposition(wanted)
            .expect("the instruction")
    };
    let runtime = at(&|(name, rest)| name == "FROM" && rest.starts_with("node:"));
    let moved = instructions[runtime..]
        .iter()
        .any(|(name, _)| name == "WORKDIR");
    assert!(!moved, "the runner says where it works");
    let smoke = at(&|(name, rest)| {
        let tools = ["pkgs-action", "node", "npm", "git"];
        name == "RUN"
            && tools
                .iter()
                .all(|tool| rest.contains(&format!("{tool} --version")))
    });
    let copied = at(&|(name, rest)| name == "COPY" && rest.starts_with("--from=build "));
    assert!(runtime < copied && copied < smoke);
    // Older builders lack these.
    for (_, rest) in &instructions {
        assert!(!rest.contains("<<") && !rest.contains("--link"), "{rest}");
    }
}

#[test]
fn what_the_build_copies_is_what_the_build_sees() {
    let copied: Vec<String> = instructions()
        .into_iter()
        .filter(|(name, rest)| name == "COPY" && !rest.starts_with("--from"))
        .flat_map(|(_, rest)| {
            let mut words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect();
    let ignored = read(".dockerignore");
    for path in &copied {
        assert!(Path::new(repository()).join(path).exists(), "{path}");
        assert!(
            ignored.lines().any(|line| line == format!("!{path}")),
            "{path}"
        );
    }
    let seen = ignored.lines().filter(|line| line.starts_with('!')).count();
    assert_eq!(seen, copied.len());
}

/// A release whose build never ends by itself, with the binary as the first process of a process namespace, as in a container.
fn as_first_process(monorepo: &Monorepo, marker: &Path) -> Option<std::process::Child> {
    let namespaces = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status();
    if !namespaces.is_ok_and(|status| status.success()) {
        return None;
    }
    let build = format!("touch '{}'; sleep 600", marker.display());
    let log = fs::File::create(monorepo.sandbox().path().join("log")).expect("a file");
    Some(
        monorepo
            .sandbox()
            .command("unshare", monorepo.path())
            .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(env!("CARGO_BIN_EXE_pkgs-action"))
            .args(["release", "--store", "none", "--install", "none", "--build"])
            .arg(build)
            .env(
                "PKGS_REGISTRY",
                format!("file://{}", monorepo.sandbox().path().join("tmp").display()),
            )
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare starts"),
    )
}

/// The process that `parent` started.
fn child_of(parent: u32) -> Option<i32> {
    fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[test]
fn a_first_process_ends_at_once_when_it_is_told_to_and_puts_the_work_tree_back() {
    use rustix::process::{Pid, Signal, kill_process};
    for (signal, exit) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let monorepo = Monorepo::new()
            .package("core", "1.0.0")
            .released()
            .commit(
                "fix(core): x",
                &[("packages/core/src/index.js", "exports.x = 1;\n")],
            )
            .origin()
            .pushed();
        let marker = monorepo.sandbox().path().join("building");
        let Some(mut unshare) = as_first_process(&monorepo, &marker) else {
            // This machine allows no process namespaces; `tests/image.sh` looks at the same in a container.
            return;
        };
        let log = || fs::read_to_string(monorepo.sandbox().path().join("log")).unwrap_or_default();
        let begun = Instant::now();
        while !marker.exists() {
            assert!(
                unshare.try_wait().expect("a status").is_none()
                    && begun.elapsed() < Duration::from_mins(1),
                "the build never began:\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(
            monorepo
                .git(&["status", "--porcelain"])
                .contains("package.json")
        );
        let first = child_of(unshare.id())
            .and_then(Pid::from_raw)
            .expect("the first process");
        let told = Instant::now();
        kill_process(first, signal).expect("a signal");
        let status = unshare.wait().expect("an end");
        let took = told.elapsed();
        assert_eq!(status.code(), Some(exit), "{}", log());
        // A runner waits 7.5 seconds after SIGINT; `docker stop` kills after 10.
        assert!(took < Duration::from_secs(7), "it took {took:?}");
        assert_eq!(monorepo.git(&["status", "--porcelain"]), "", "{}", log());
        assert_eq!(monorepo.git(&["tag", "--list", "core@1.0.1"]), "");
    }
}
