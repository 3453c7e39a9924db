//! Publishing many small packages to a registry on this machine, packing included: beside what people use for the same, and beside a client that
//! is given every request ready and only sends it, as many at once.
//!
//! `PKGS_BENCH_DELAY=50` lets the registry wait so many milliseconds before each answer: what is far away.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::measure::{Contestant, aim, measure, print};
use crate::repository::{self, Size, git};
use crate::tools::{self, Peers};

/// How many packages are published.
const PACKAGES: [usize; 2] = [100, 20];

/// How many requests the client without work of its own sends at once: as many as we do.
const AT_ONCE: usize = 6;

const TOKEN: &str = "npm_benchmarkbenchmarkbenchmarkbenchmar";

/// Measures it; how large the other repositories are does not matter here.
pub fn bench(rounds: usize, _: Size, peers: &Peers) -> io::Result<()> {
    for packages in PACKAGES {
        publish(rounds, packages, peers)?;
    }
    pack(rounds, peers)
}

fn publish(rounds: usize, packages: usize, peers: &Peers) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let registry = Registry::start()?;
    let config = directory.path().join("npmrc");
    let host = registry.url.trim_start_matches("http:");
    let text = format!("registry={}\n{host}:_authToken={TOKEN}\n", registry.url);
    fs::write(&config, text)?;
    let origin = directory.path().join("origin");
    generate(&origin, packages)?;
    let place = |name: &str| -> io::Result<PathBuf> {
        let place = directory.path().join(name);
        repository::copy(&origin, &place)?;
        Ok(place)
    };
    let [ours, npm, pnpm, lerna, changesets] = [
        place("ours")?,
        place("npm")?,
        place("pnpm")?,
        place("lerna")?,
        place("changesets")?,
    ];
    for place in [&ours, &npm, &lerna, &changesets] {
        of_npm_alone(place)?;
    }
    decide(directory.path(), &ours, &registry)?;
    let bodies = directory.path().join("bodies");
    fs::create_dir(&bodies)?;
    if !ours_in(&ours, &registry).output()?.status.success() {
        return Err(io::Error::other("publish failed"));
    }
    registry.save(&bodies)?;
    let rows = measure(
        rounds,
        &mut [
            contestant("raw client", &registry, || raw(&bodies, &registry)),
            contestant("publish", &registry, || Ok(ours_in(&ours, &registry))),
            contestant("npm publish --workspaces", &registry, || {
                Ok(peers.npm_publish(&npm, &config))
            }),
            contestant("pnpm -r publish", &registry, || {
                Ok(peers.pnpm_publish(&pnpm, &config))
            }),
            contestant("lerna publish from-package", &registry, || {
                Ok(peers.lerna_publish(&lerna, &config))
            }),
            contestant("changeset publish", &registry, || {
                Ok(peers.changeset_publish(&changesets, &config))
            }),
        ],
    )?;
    print(&format!("{packages} small packages to a registry"), &rows);
    let [raw, ours, npm, pnpm, lerna, changesets] = rows.as_slice() else {
        return Ok(());
    };
    aim("publish / raw client", ours.over(raw), true, 1.2);
    aim("npm / publish", npm.over(ours), false, 3.0);
    aim("pnpm / publish", pnpm.over(ours), false, 2.0);
    aim("lerna / publish", lerna.over(ours), false, 3.0);
    aim("changesets / publish", changesets.over(ours), false, 40.0);
    Ok(())
}

/// A package of 2,000 files, 20 MB together, as a tarball.
fn pack(rounds: usize, peers: &Peers) -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let at = directory.path().join("package");
    fs::create_dir_all(&at)?;
    let manifest = json!({"name": "large", "version": "1.0.0", "license": "MIT"});
    fs::write(at.join("package.json"), manifest.to_string())?;
    let line = "exports.answer = (question) => question.split(' ').map((word) => word.length);\n";
    for file in 0..2_000 {
        let below = at.join(format!("lib/{}", file % 40));
        fs::create_dir_all(&below)?;
        let rows: Vec<String> = (0..125)
            .map(|row| format!("// {file} {row}\n{line}"))
            .collect();
        let text = rows.concat();
        fs::write(below.join(format!("{file}.js")), text)?;
    }
    let to = directory.path().join("out");
    fs::create_dir(&to)?;
    let size = || {
        let tarball = to.join("large-1.0.0.tgz").metadata().ok()?;
        usize::try_from(tarball.len()).ok()
    };
    let rows = measure(
        rounds,
        &mut [
            Contestant {
                name: "pack",
                command: Box::new(|| {
                    let to = to.display().to_string();
                    Ok(tools::tool(&at, &["pack", "--artifacts", &to]))
                }),
                named: Box::new(|_| size()),
            },
            Contestant {
                name: "npm pack",
                command: Box::new(|| Ok(peers.npm_pack(&at, &to))),
                named: Box::new(|_| size()),
            },
            Contestant {
                name: "pnpm pack",
                command: Box::new(|| Ok(peers.pnpm_pack(&at, &to))),
                named: Box::new(|_| size()),
            },
        ],
    )?;
    print("one package of 2,000 files and 20 MB", &rows);
    let [ours, npm, pnpm] = rows.as_slice() else {
        return Ok(());
    };
    aim("pack / pnpm pack", ours.over(pnpm), true, 0.6);
    aim("npm pack / pack", npm.over(ours), false, 6.0);
    aim("memory of pack in MiB", ours.memory(), true, 200.0);
    Ok(())
}

/// Runs with nothing published yet, and names how many packages are there afterwards.
fn contestant<'a>(
    name: &'a str,
    registry: &'a Registry,
    mut command: impl FnMut() -> io::Result<Command> + 'a,
) -> Contestant<'a> {
    Contestant {
        name,
        command: Box::new(move || {
            registry.clear();
            command()
        }),
        named: Box::new(|_| Some(registry.count())),
    }
}

/// A repository of small packages at 1.0.0, for every tool that takes part.
fn generate(directory: &Path, packages: usize) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let write = |path: &str, text: &str| {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, text)
    };
    let root = json!({"name": "bench", "private": true, "workspaces": ["packages/*"]});
    write("package.json", &root.to_string())?;
    write("pnpm-workspace.yaml", "packages: [packages/*]\n")?;
    write("lerna.json", "{\"version\": \"independent\"}\n")?;
    let changesets =
        json!({"changelog": false, "commit": false, "access": "public", "baseBranch": "main"});
    write(".changeset/config.json", &changesets.to_string())?;
    write(
        "pkgs.json",
        "{\"mode\": \"diff\", \"install\": \"none\", \"changelog\": \"none\"}\n",
    )?;
    for index in 0..packages {
        let mut manifest = json!({"name": format!("@bench/p{index}"), "version": "1.0.0", "license": "MIT",
            "repository": "github:bench/bench", "publishConfig": {"access": "public"}});
        if index >= 10 {
            manifest["dependencies"] = json!({format!("@bench/p{}", index / 10): "^1.0.0"});
        }
        let at = format!("packages/p{index}");
        write(&format!("{at}/package.json"), &manifest.to_string())?;
        write(&format!("{at}/README.md"), &format!("# p{index}\n"))?;
        write(&format!("{at}/index.js"), "exports.answer = 42;\n")?;
    }
    git(directory, &["init", "--quiet", "--initial-branch=main"])?;
    git(directory, &["add", "--all"])?;
    git(directory, &["commit", "--quiet", "-m", "feat: begin"])
}

/// Takes out what makes a repository pnpm's.
fn of_npm_alone(directory: &Path) -> io::Result<()> {
    fs::remove_file(directory.join("pnpm-workspace.yaml"))?;
    let commit = ["commit", "--quiet", "--all", "-m", "chore: npm alone"];
    git(directory, &commit)
}

/// Decides the versions once: what is measured delivers them.
fn decide(within: &Path, directory: &Path, registry: &Registry) -> io::Result<()> {
    let remote = within.join("remote.git");
    git(
        within,
        &[
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            "remote.git",
        ],
    )?;
    git(
        directory,
        &["remote", "add", "origin", &remote.display().to_string()],
    )?;
    git(
        directory,
        &["push", "--quiet", "--set-upstream", "origin", "main"],
    )?;
    let mut version = tools::tool(directory, &["version"]);
    let output = version.env("PKGS_REGISTRY", &registry.url).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("version failed: {said}")))
}

fn ours_in(directory: &Path, registry: &Registry) -> Command {
    let mut command = tools::tool(directory, &["publish"]);
    command.env("PKGS_REGISTRY", &registry.url);
    command.env("PKGS_NPM_TOKEN", TOKEN);
    command
}

fn raw(bodies: &Path, registry: &Registry) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("send").arg(bodies).arg(&registry.url);
    Ok(command)
}

/// The client without work of its own: sends every file of a directory to the address that its name spells.
pub fn send(bodies: &Path, registry: &str) -> io::Result<usize> {
    let entries = fs::read_dir(bodies)?;
    let files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    let authority = registry.trim_start_matches("http://").trim_end_matches('/');
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..AT_ONCE)
            .map(|_| scope.spawn(|| send_each(&files, &next, authority)))
            .collect();
        let mut sent = 0;
        for sender in senders {
            sent += sender
                .join()
                .map_err(|_| io::Error::other("a sender failed"))??;
        }
        Ok(sent)
    })
}

fn send_each(files: &[PathBuf], next: &AtomicUsize, authority: &str) -> io::Result<usize> {
    let mut connection = BufReader::new(TcpStream::connect(authority)?);
    let mut sent = 0;
    while let Some(file) = files.get(next.fetch_add(1, Ordering::SeqCst)) {
        let body = fs::read(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let head = format!(
            "PUT /{name} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // In one piece: the other side would wait for the second with its answer to the first.
        let message = [head.as_bytes(), &body].concat();
        connection.get_mut().write_all(&message)?;
        read_message(&mut connection)?;
        sent += 1;
    }
    Ok(sent)
}

#[derive(Default)]
struct Held {
    documents: BTreeMap<String, Vec<u8>>,
}

/// A registry that takes everything, and shows it.
struct Registry {
    url: String,
    held: Arc<Mutex<Held>>,
}

impl Registry {
    fn start() -> io::Result<Registry> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let held: Arc<Mutex<Held>> = Arc::default();
        let shared = Arc::clone(&held);
        let delay = std::env::var("PKGS_BENCH_DELAY").ok();
        let delay = delay
            .and_then(|text| text.parse().ok())
            .map_or(Duration::ZERO, Duration::from_millis);
        // It ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let held = Arc::clone(&shared);
                std::thread::spawn(move || serve(connection, &held, delay));
            }
        });
        Ok(Registry { url, held })
    }

    fn clear(&self) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .documents
            .clear();
    }

    fn count(&self) -> usize {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .documents
            .len()
    }

    /// Writes what was sent into files, named by the path that it was sent to.
    fn save(&self, directory: &Path) -> io::Result<()> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, body) in &held.documents {
            fs::write(directory.join(path.trim_start_matches('/')), body)?;
        }
        Ok(())
    }
}

/// Answers until the other side has no more to ask.
fn serve(connection: TcpStream, held: &Mutex<Held>, delay: Duration) {
    let mut connection = BufReader::new(connection);
    while let Ok(Some((line, body))) = read_message(&mut connection) {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default().to_lowercase();
        std::thread::sleep(delay);
        let (status, answer) = {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            match (method.as_str(), path.as_str()) {
                ("PUT", _) => {
                    held.documents.insert(path, body);
                    (201, b"{\"ok\":true}".to_vec())
                }
                (_, "/-/whoami") => (200, b"{\"username\":\"bench\"}".to_vec()),
                _ => match held.documents.get(&path) {
                    Some(document) => (200, document.clone()),
                    None => (404, b"{\"error\":\"not found\"}".to_vec()),
                },
            }
        };
        let begin = format!(
            "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        let sent = connection
            .get_mut()
            .write_all(&[begin.as_bytes(), &answer].concat());
        if sent.is_err() {
            return;
        }
    }
}

/// The first line and the body of a message; `None` at the end.
fn read_message(connection: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut first = String::new();
    if connection.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        is_chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    while is_chunked {
        let mut size = String::new();
        connection.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        connection.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
        is_chunked = size > 0;
    }
    Ok(Some((first, body)))
}
