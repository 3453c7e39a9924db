//! The archive of a service with many files, beside `tar` and what people pipe it into; and the production dependencies taken out of what is installed,
//! beside installing them again.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::measure::{Contestant, aim, measure, print};
use crate::repository::{Size, git};
use crate::tools::{self, Peers};

/// How many files the tree has; they are as long as those of `node_modules` usually are.
const FILES: usize = 20_000;

/// Measures it; how large the other repositories are does not matter here.
pub fn bench(rounds: usize, _: Size, peers: &Peers) -> io::Result<()> {
    tree(rounds)?;
    closure(rounds, peers)
}

fn tree(rounds: usize) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let at = directory.path().join("repository");
    let service = at.join("packages/service");
    let data = service.join("data");
    for file in 0..FILES {
        let below = data.join(format!("{}/{}", file % 97, file % 11));
        fs::create_dir_all(&below)?;
        fs::write(below.join(format!("{file}.js")), source(file))?;
    }
    repository(&at, &service, &json!({"include": ["package.json", "data"]}))?;
    let out = directory.path().join("out");
    fs::create_dir(&out)?;
    let size = |name: &'static str| {
        let file = out.join(name);
        move |_: &str| usize::try_from(file.metadata().ok()?.len()).ok()
    };
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", &out.display().to_string()]);
        command.current_dir(&service);
        Ok(command)
    };
    let mut contestants = vec![
        Contestant {
            name: "tar to nowhere",
            command: Box::new(move || shell("tar -cf - data | cat >/dev/null; echo done")),
            named: Box::new(|_| None),
        },
        Contestant {
            name: "pack",
            command: Box::new(|| Ok(packing(&at, &out))),
            named: Box::new(size("service-1.0.0.tar.zst")),
        },
        Contestant {
            name: "tar | zstd -T0 -3",
            command: Box::new(move || {
                shell("tar -cf - data | zstd -q -T0 -3 -f -o \"$1/a.zst\"; echo done")
            }),
            named: Box::new(size("a.zst")),
        },
        Contestant {
            name: "tar -czf",
            command: Box::new(move || shell("tar -czf \"$1/a.gz\" data; echo done")),
            named: Box::new(size("a.gz")),
        },
    ];
    if tools::is_installed("pigz") {
        contestants.push(Contestant {
            name: "tar | pigz",
            command: Box::new(move || shell("tar -cf - data | pigz >\"$1/b.gz\"; echo done")),
            named: Box::new(size("b.gz")),
        });
    }
    let rows = measure(rounds, &mut contestants)?;
    print(&format!("an archive of {FILES} files"), &rows);
    let [limit, pack, zstd, gzip, ..] = rows.as_slice() else {
        return Ok(());
    };
    aim("pack / tar | zstd -T0 -3", pack.over(zstd), true, 1.0);
    aim("pack / tar to nowhere", pack.over(limit), true, 2.0);
    aim("tar -czf / pack", gzip.over(pack), false, 6.0);
    aim("memory of pack in MiB", pack.memory(), true, 200.0);
    Ok(())
}

/// Words that compress as source does, and differ from file to file.
fn source(file: usize) -> String {
    let mut seed = file as u64 + 1;
    let mut word = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        [
            "value", "index", "return", "exports", "function", "length", "const", "request",
        ][usize::try_from(seed % 8).unwrap_or(0)]
    };
    let lines = 20 + file * 13 % 180;
    let mut text = String::new();
    for line in 0..lines {
        let _ = writeln!(
            text,
            "  {} {}.{}({}, {line}); // {file}",
            word(),
            word(),
            word(),
            word()
        );
    }
    text
}

fn repository(at: &Path, service: &Path, app: &serde_json::Value) -> io::Result<()> {
    fs::create_dir_all(service.join("service"))?;
    fs::write(service.join("service/index.js"), "")?;
    let manifest = service.join("package.json");
    if !manifest.exists() {
        let text = json!({"name": "service", "version": "1.0.0", "private": true});
        fs::write(manifest, text.to_string())?;
    }
    let config = json!({"mode": "diff", "install": "none", "apps": {"service": app}});
    fs::write(at.join("pkgs.json"), config.to_string())?;
    let root = json!({"name": "bench", "private": true, "workspaces": ["packages/*"]});
    fs::write(at.join("package.json"), root.to_string())?;
    fs::write(at.join(".gitignore"), "node_modules\ndata\n")?;
    git(at, &["init", "--quiet", "--initial-branch=main"])?;
    git(at, &["add", "--all"])?;
    git(at, &["commit", "--quiet", "-m", "feat: begin"])
}

fn packing(at: &Path, out: &Path) -> Command {
    let out = out.display().to_string();
    tools::tool(at, &["pack", "--artifacts", &out, "--scripts", "skip"])
}

/// What a service with express, koa and a few more needs, out of a workspace that is installed, beside a second install from npm's own cache.
fn closure(rounds: usize, peers: &Peers) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let at = directory.path().join("repository");
    let service = at.join("packages/service");
    fs::create_dir_all(&service)?;
    let manifest = json!({"name": "service", "version": "1.0.0", "private": true,
        "dependencies": {"express": "5.1.0", "koa": "3.0.1", "lodash": "4.17.21", "axios": "1.7.9"},
        "devDependencies": {"typescript": "5.8.3"}});
    fs::write(service.join("package.json"), manifest.to_string())?;
    repository(&at, &service, &json!({}))?;
    let install = |arguments: &[&str]| {
        let mut command = peers.npm_from_cache(&at);
        command.args(arguments);
        command
    };
    let installed = peers.npm_online(&at).arg("install").output()?;
    if !installed.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&installed.stderr).into_owned(),
        ));
    }
    let out = directory.path().join("out");
    fs::create_dir(&out)?;
    let clean = directory.path().join("clean");
    let rows = measure(
        rounds,
        &mut [
            Contestant {
                name: "pack",
                command: Box::new(|| Ok(packing(&at, &out))),
                named: Box::new(|_| None),
            },
            Contestant {
                name: "npm ci --omit=dev",
                command: Box::new(|| {
                    let _ = fs::remove_dir_all(&clean);
                    fs::create_dir_all(clean.join("packages/service"))?;
                    for file in [
                        "package.json",
                        "package-lock.json",
                        "packages/service/package.json",
                    ] {
                        fs::copy(at.join(file), clean.join(file))?;
                    }
                    let mut command = install(&["ci", "--omit=dev", "--ignore-scripts"]);
                    command.current_dir(&clean);
                    Ok(command)
                }),
                named: Box::new(|_| None),
            },
        ],
    )?;
    print("what a service needs", &rows);
    let [pack, npm] = rows.as_slice() else {
        return Ok(());
    };
    aim("npm ci --omit=dev / pack", npm.over(pack), false, 1.0);
    Ok(())
}
