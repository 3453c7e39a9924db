//! Releases that meet: two at once on one commit, and a developer who pushes in the middle.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::crash::{Checkout, Stage, copy, said};
use super::oracle;
use crate::support::monorepo::Monorepo;
use crate::support::sandbox::search_path;
use crate::support::world::{World, output};

/// Two runs in two clones on one HEAD: one release, both end well.
fn two_at_once(stage: &Stage, rounds: usize) {
    for round in 1..=rounds {
        stage.restore();
        let second = stage.checkout(Checkout::Fresh);
        copy(&stage.checkout(Checkout::Same), &second);
        let one = stage.binary(&stage.checkout(Checkout::Same)).start();
        let other = stage.binary(&second).start();
        let (one, other) = (one.wait(), other.wait());
        let context = format!("round {round}");
        assert_eq!(
            (one.code, other.code),
            (0, 0),
            "{context}\n{}\n{}",
            said(&[&one, &other]),
            stage.proxy.transcript()
        );
        // `current.json` is a hint: of two writers the slower one may leave the older hint, and the next run mends it.
        let next = stage.binary(&stage.checkout(Checkout::Same)).run();
        assert_eq!(next.code, 0, "{context}\n{}", said(&[&one, &other, &next]));
        stage.object(2, &context, &[&one, &other, &next]);
    }
}

#[test]
fn two_runs_on_one_commit_make_one_release() {
    two_at_once(&Stage::with_store(), 20);
}

#[test]
fn two_runs_on_one_commit_make_one_release_without_a_store() {
    two_at_once(&Stage::without_store(), 5);
}

/// A developer's commit, pushed into the bare repository past the proxy.
fn push_past(stage: &Stage, developer: &Path, bare: &Path) {
    copy(&stage.checkout(Checkout::Same), developer);
    let path = developer.join("packages/core/src/index.js");
    let text = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, format!("{text}// by a developer\n")).expect("a file");
    let identity = [
        "-c",
        "user.name=Developer",
        "-c",
        "user.email=developer@example.invalid",
    ];
    let commit = ["commit", "--quiet", "--all", "--message", "fix: meanwhile"];
    oracle::git(developer, &[&identity[..], &commit[..]].concat()).expect("a commit");
    let url = bare.display().to_string();
    oracle::git(developer, &["push", "--quiet", &url, "main"]).expect("a push");
}

fn superseded(stage: &Stage, moment: &str, is: fn(&super::support::fault_proxy::Seen) -> bool) {
    stage.restore();
    let bare = stage.bare();
    let developer = stage.checkout(Checkout::Fresh).with_file_name("developer");
    copy(&bare, &developer.with_file_name("before"));
    push_past(stage, &developer, &developer.with_file_name("before"));
    let (source, target) = (developer.clone(), bare.clone());
    let done = AtomicBool::new(false);
    stage.proxy.when(move |seen| {
        if is(seen) && !done.swap(true, Ordering::SeqCst) {
            let url = target.display().to_string();
            oracle::git(&source, &["push", "--quiet", &url, "main"]).expect("a push");
        }
        None
    });
    let tags = oracle::git(&bare, &["tag", "--list"]);
    let run = stage.binary(&stage.checkout(Checkout::Same)).run();
    let context = format!("{moment}\n{}\n{}", said(&[&run]), stage.proxy.transcript());
    assert_eq!(run.code, 0, "{context}");
    assert_eq!(run.json()["outcome"], "superseded", "{context}");
    assert_eq!(oracle::git(&bare, &["tag", "--list"]), tags, "{context}");
    let tip = oracle::git(&bare, &["rev-parse", "main"]);
    assert_eq!(
        tip,
        oracle::git(&developer, &["rev-parse", "HEAD"]),
        "{context}"
    );

    stage.proxy.reset();
    let next = stage.binary(&developer).run();
    assert_eq!(next.code, 0, "{moment}, then {}", said(&[&next]));
    assert_eq!(next.json()["outcome"], "released", "{}", said(&[&next]));
    let released = oracle::git(&bare, &["tag", "--list"]).unwrap_or_default();
    let before = tags.unwrap_or_default().lines().count();
    assert_eq!(released.lines().count(), 2 * before, "{moment}: {released}");
    stage.object(2, moment, &[&run, &next]);
}

#[test]
fn a_push_in_the_middle_supersedes_and_the_next_run_releases_everything() {
    let stage = Stage::with_store();
    superseded(&stage, "while sealing", |seen| {
        seen.writes() && seen.target.contains("/seals/")
    });
    superseded(&stage, "at the push", |seen| {
        seen.writes() && seen.server == "git"
    });
    let stage = Stage::without_store();
    superseded(&stage, "at the push, without a store", |seen| {
        seen.writes() && seen.server == "git"
    });
}

#[test]
fn a_run_that_looked_before_another_released_finds_its_work_done() {
    let monorepo = Monorepo::new()
        .package("core", "1.0.0")
        .commit("feat: begin", &[]);
    let world = World::local(monorepo);
    let other = world.monorepo.clone_fresh(None);
    let held = tempfile::tempdir().expect("a temporary directory");
    let pipe = |name: &str| {
        let path = held.path().join(name);
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        path
    };
    let (looked, go_on) = (pipe("looked"), pipe("go-on"));
    let real = output(Command::new("sh").args(["-c", "command -v git"]));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' ls-remote '*) mkdir {once} 2>/dev/null && {{ said=$({real} \"$@\"); echo > {looked}; cat {go_on}; echo \"$said\"; exit 0; }};; esac\nexec {real} \"$@\"\n",
        once = held.path().join("once").display(),
        real = real.trim(),
        looked = looked.display(),
        go_on = go_on.display(),
    );
    let git = held.path().join("git");
    fs::write(&git, script).expect("a program");
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).expect("permissions");
    let path = format!("{}:{}", held.path().display(), search_path().display());
    let late = world
        .binary(&["release", "--format=json"])
        .env("PATH", path)
        .start();
    fs::read(&looked).expect("that it looked");
    let _ = world.binary_in(&other, &["release"]).run().expect(0);
    fs::write(&go_on, "").expect("the word");
    let late = late.wait().expect(0);
    assert_eq!(late.json()["outcome"], "released", "{}", late.stdout);
    assert_eq!(world.origin_git(&["tag", "--list"]), "core@1.0.0");
    assert_eq!(world.pushes().len(), 1);
}
