//! Thousands of small files and a few large ones to an S3 server on this machine, first and again, beside what people use for the same, and beside a client
//! that only sends. Then an environment goes back to what it served before, beside a copy of the old files within the server.
//!
//! The server is ceph's gateway, started as for the tests. `PKGS_BENCH_DELAY=50` delays whatever is sent to it by so many milliseconds: what is far away.
//! `PKGS_BENCH_FILES=5000` and `PKGS_BENCH_LARGE=10` say how many small files and how many of 50 MB there are, `PKGS_BENCH_PART=first`, `again` or `back`
//! what is measured alone. `rclone` takes part where it is installed.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pkgs_action::name::Digest;
use serde_json::json;

use crate::measure::{Contestant, aim, measure, print};
use crate::repository::{Size, git, git_says};
use crate::tools::{self, Peers};

const KEY: &str = "BENCHACCESSKEY000001";
const SECRET: &str = "benchsecretbenchsecretbenchsecretbench00";
const BUCKET: &str = "bench";
const LARGE: usize = 50 << 20;
/// How many requests the client without work of its own sends at once.
const AT_ONCE: usize = 64;

/// Measures it; how large the other repositories are does not matter here.
pub fn bench(rounds: usize, _: Size, peers: &Peers) -> io::Result<()> {
    let wanted = std::env::var("PKGS_BENCH_PART").ok();
    let is_wanted = |part: &str| wanted.as_deref().is_none_or(|wanted| wanted == part);
    if !["first", "again", "back"].into_iter().any(is_wanted) {
        return Err(io::Error::other("PKGS_BENCH_PART is first, again or back"));
    }
    let directory = tempfile::tempdir()?;
    let site = Site::make(directory.path())?;
    // The server keeps everything in memory, also what was overwritten: each part has its own.
    if is_wanted("first") {
        first(rounds, &Server::start()?, &site, peers)?;
    }
    if is_wanted("again") {
        again(rounds, &Server::start()?, &site, peers)?;
    }
    if is_wanted("back") {
        back(rounds, &Server::start()?, &site, peers)?;
    }
    Ok(())
}

fn number(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Files to a place where nothing is.
fn first(rounds: usize, server: &Server, site: &Site, peers: &Peers) -> io::Result<()> {
    let runs = Cell::new(0);
    let fresh = || {
        runs.set(runs.get() + 1);
        format!("first-{}", runs.get())
    };
    let dist = &site.dist;
    let mut contestants = vec![
        contestant("raw PUTs", || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([
                "put",
                &dist.display().to_string(),
                &server.endpoint,
                &fresh(),
            ]);
            Ok(command)
        }),
        contestant("release", || {
            site.restore()?;
            Ok(site.tool(server, &fresh(), &["release"]))
        }),
        contestant("s5cmd cp", || {
            let to = format!("s3://{BUCKET}/{}/", fresh());
            Ok(server.client(peers.s5cmd(dist).args(["cp", "./", &to])))
        }),
        contestant("aws s3 sync", || {
            let to = format!("s3://{BUCKET}/{}/", fresh());
            Ok(server.client(
                peers
                    .aws(dist)
                    .args(["s3", "sync", ".", &to, "--no-progress"]),
            ))
        }),
    ];
    let rclone = tools::is_installed("rclone");
    if rclone {
        contestants.push(contestant("rclone copy", || {
            let to = format!(":s3:{BUCKET}/{}", fresh());
            Ok(server.client(tools::rclone(dist).args(["copy", ".", &to])))
        }));
    }
    let rows = measure(rounds, &mut contestants)?;
    print(
        &format!("{} files, {} MB, first", site.files, site.bytes >> 20),
        &rows,
    );
    let [raw, release, s5cmd, aws, ..] = rows.as_slice() else {
        return Ok(());
    };
    aim("release / raw PUTs", release.over(raw), true, 1.1);
    aim(
        "CPU of release / s5cmd",
        release.work_over(s5cmd),
        true,
        0.6,
    );
    aim("s5cmd / release", s5cmd.over(release), false, 1.0);
    aim("aws / release", aws.over(release), false, 2.0);
    aim("CPU of aws / release", aws.work_over(release), false, 8.0);
    aim("memory of release in MiB", release.memory(), true, 200.0);
    Ok(())
}

/// The same files where they are already; and, for us, another page beside them.
fn again(rounds: usize, server: &Server, site: &Site, peers: &Peers) -> io::Result<()> {
    let dist = &site.dist;
    let changes = Cell::new(0);
    let place = format!("s3://{BUCKET}/again/");
    let mut sent = server.client(peers.s5cmd(dist).args(["cp", "./", &place]));
    done(&mut sent)?;
    site.restore()?;
    done(&mut site.tool(server, "ours", &["release"]))?;
    site.follow()?;
    let mut contestants = vec![
        contestant("release, nothing changed", || {
            Ok(site.tool(server, "ours", &["release"]))
        }),
        contestant("s5cmd sync", || {
            Ok(server.client(peers.s5cmd(dist).args(["sync", "./", &place])))
        }),
        contestant("aws s3 sync", || {
            Ok(server.client(
                peers
                    .aws(dist)
                    .args(["s3", "sync", ".", &place, "--no-progress"]),
            ))
        }),
    ];
    if tools::is_installed("rclone") {
        contestants.push(contestant("rclone copy", || {
            let to = format!(":s3:{BUCKET}/again");
            Ok(server.client(tools::rclone(dist).args(["copy", ".", &to])))
        }));
    }
    contestants.push(contestant("release, one page changed", || {
        changes.set(changes.get() + 1);
        site.change(changes.get())?;
        Ok(site.tool(server, "ours", &["release"]))
    }));
    let rows = measure(rounds, &mut contestants)?;
    print(&format!("{} files, again", site.files), &rows);
    let [release, others @ .., page] = rows.as_slice() else {
        return Ok(());
    };
    for peer in others {
        aim(
            &format!("{} / release", peer.name()),
            peer.over(release),
            false,
            10.0,
        );
    }
    for peer in others {
        aim(
            &format!("{} / release, one page changed", peer.name()),
            peer.over(page),
            false,
            1.0,
        );
    }
    Ok(())
}

/// Back to the version before: the pointer alone, then with the static files, beside a copy of the old files within the server.
fn back(rounds: usize, server: &Server, site: &Site, peers: &Peers) -> io::Result<()> {
    let dist = &site.dist;
    let place = format!("s3://{BUCKET}/again/");
    let mut sent = server.client(peers.s5cmd(dist).args(["cp", "./", &place]));
    done(&mut sent)?;
    site.restore()?;
    done(&mut site.tool(server, "ours", &["release"]))?;
    site.change(0)?;
    done(&mut site.tool(server, "ours", &["release"]))?;
    let versions = site.versions()?;
    let [older, newer] = versions.as_slice() else {
        return Err(io::Error::other(format!(
            "two versions are needed: {versions:?}"
        )));
    };
    let root = format!("s3://{BUCKET}/served/{{environment}}");
    let point = |environment: &str, root: &str, version: &str| {
        let arguments = [
            "promote",
            "--environment",
            environment,
            "--to",
            version,
            "--force",
        ];
        let mut command = site.tool(server, "ours", &arguments);
        command.env("PKGS_STATIC", root);
        command
    };
    for (environment, root) in [("sit", "none"), ("prod", root.as_str())] {
        for version in [older, newer] {
            done(&mut point(environment, root, version))?;
        }
    }
    let there_and_back = |environment: &'static str, root: String| {
        move || {
            done(&mut point(environment, &root, newer))?;
            let mut command =
                site.tool(server, "ours", &["rollback", "--environment", environment]);
            command.env("PKGS_STATIC", &root);
            Ok(command)
        }
    };
    let copies = Cell::new(0);
    let rows = measure(
        rounds,
        &mut [
            contestant(
                "rollback, pointer",
                there_and_back("sit", "none".to_owned()),
            ),
            contestant(
                "rollback, static files",
                there_and_back("prod", root.clone()),
            ),
            contestant("s5cmd cp within S3", || {
                copies.set(copies.get() + 1);
                let from = format!("s3://{BUCKET}/again/*");
                let to = format!("s3://{BUCKET}/back-{}/", copies.get());
                Ok(server.client(peers.s5cmd(dist).args(["cp", &from, &to])))
            }),
            contestant("aws s3 sync of the files", || {
                copies.set(copies.get() + 1);
                let to = format!("s3://{BUCKET}/back-{}/", copies.get());
                Ok(server.client(
                    peers
                        .aws(dist)
                        .args(["s3", "sync", ".", &to, "--no-progress"]),
                ))
            }),
        ],
    )?;
    print(&format!("back to {older}"), &rows);
    let [pointer, files, copy, _] = rows.as_slice() else {
        return Ok(());
    };
    aim(
        "s5cmd cp / rollback, pointer",
        copy.over(pointer),
        false,
        100.0,
    );
    aim(
        "s5cmd cp / rollback, static files",
        copy.over(files),
        false,
        100.0,
    );
    Ok(())
}

fn contestant<'a>(
    name: &'a str,
    command: impl FnMut() -> io::Result<Command> + 'a,
) -> Contestant<'a> {
    Contestant {
        name,
        command: Box::new(command),
        named: Box::new(|_| None),
    }
}

/// Tells a program who it is.
fn credentials(command: &mut Command) {
    command
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true");
}

fn done(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{command:?} failed: {told}")))
}

/// A repository whose one app is a site that is built already.
struct Site {
    repository: PathBuf,
    origin: PathBuf,
    dist: PathBuf,
    begin: String,
    files: usize,
    bytes: usize,
}

impl Site {
    fn make(directory: &Path) -> io::Result<Site> {
        let repository = directory.join("repository");
        let origin = directory.join("origin.git");
        let dist = repository.join("packages/site/dist");
        let small = number("PKGS_BENCH_FILES", 5_000);
        let large = number("PKGS_BENCH_LARGE", 10);
        let mut random = Random(7);
        let mut bytes = 0;
        for file in 0..small {
            let below = dist.join(format!("js/{}", file % 50));
            fs::create_dir_all(&below)?;
            let content = random.bytes(200 + file * 7 % 7_800);
            bytes += content.len();
            fs::write(below.join(format!("{file}.js")), content)?;
        }
        for file in 0..large {
            bytes += LARGE;
            fs::write(dist.join(format!("{file}.bin")), random.bytes(LARGE))?;
        }
        fs::create_dir_all(&dist)?;
        fs::write(dist.join("index.html"), "<p>0</p>\n")?;
        let config = json!({"mode": "diff", "install": "none", "changelog": "none", "branch": "main",
            "apps": {"site": {"type": "static", "environments": ["sit", "prod"]}}});
        let manifest = json!({"name": "site", "version": "1.0.0", "private": true});
        let root = json!({"name": "bench", "private": true, "workspaces": ["packages/*"]});
        for (path, text) in [
            ("package.json", root.to_string()),
            ("pkgs.json", config.to_string()),
            (".gitignore", "dist\n".to_owned()),
            ("packages/site/package.json", manifest.to_string()),
        ] {
            fs::write(repository.join(path), text)?;
        }
        fs::create_dir(&origin)?;
        git(
            &origin,
            &["init", "--quiet", "--bare", "--initial-branch=main"],
        )?;
        git(&repository, &["init", "--quiet", "--initial-branch=main"])?;
        let remote = origin.display().to_string();
        git(&repository, &["remote", "add", "origin", &remote])?;
        git(&repository, &["add", "--all"])?;
        git(&repository, &["commit", "--quiet", "-m", "feat: begin"])?;
        git(
            &repository,
            &["push", "--quiet", "--set-upstream", "origin", "main"],
        )?;
        let begin = git_says(&repository, &["rev-parse", "HEAD"])?
            .trim()
            .to_owned();
        Ok(Site {
            repository,
            origin,
            dist,
            begin,
            files: small + large + 1,
            bytes,
        })
    }

    /// Nothing is released.
    fn restore(&self) -> io::Result<()> {
        for place in [&self.repository, &self.origin] {
            for tag in git_says(place, &["tag", "--list"])?.lines() {
                git(place, &["tag", "--delete", tag])?;
            }
        }
        git(
            &self.origin,
            &["update-ref", "refs/heads/main", &self.begin],
        )?;
        git(
            &self.repository,
            &["reset", "--quiet", "--hard", &self.begin],
        )
    }

    /// The work tree is what was released.
    fn follow(&self) -> io::Result<()> {
        git(
            &self.repository,
            &["pull", "--quiet", "--tags", "--ff-only", "origin", "main"],
        )
    }

    /// One page is another.
    fn change(&self, change: usize) -> io::Result<()> {
        self.follow()?;
        fs::write(
            self.dist.join("index.html"),
            format!("<p>change {change}</p>\n"),
        )?;
        self.commit(&format!("fix: page {change}"))
    }

    fn commit(&self, message: &str) -> io::Result<()> {
        fs::write(self.repository.join("packages/site/changed.txt"), message)?;
        git(&self.repository, &["add", "--all"])?;
        git(&self.repository, &["commit", "--quiet", "-m", message])?;
        git(
            &self.repository,
            &["push", "--quiet", "origin", "HEAD:main"],
        )
    }

    /// The two newest versions that are released, the older one first.
    fn versions(&self) -> io::Result<Vec<String>> {
        let tags = git_says(&self.origin, &["tag", "--list", "--sort=-v:refname"])?;
        let versions = tags.lines().filter_map(|tag| tag.rsplit_once('@'));
        let mut newest: Vec<String> = versions
            .map(|(_, version)| version.to_owned())
            .take(2)
            .collect();
        newest.reverse();
        Ok(newest)
    }

    fn tool(&self, server: &Server, prefix: &str, arguments: &[&str]) -> Command {
        let mut command = tools::tool(&self.repository, arguments);
        credentials(&mut command);
        command
            .env("PKGS_STORE", format!("s3://{BUCKET}/{prefix}"))
            .env("PKGS_STORE_ENDPOINT", &server.endpoint)
            .env("PKGS_STATIC", "none")
            .env("PKGS_ACTOR", "bench");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "bench");
            command.env(format!("GIT_{who}_EMAIL"), "bench@acme.example");
        }
        command
    }
}

/// Bytes that nothing compresses, the same each time.
struct Random(u64);

impl Random {
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend(self.0.to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// Ceph's gateway, behind whatever delays it.
struct Server {
    endpoint: String,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start() -> io::Result<Server> {
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/ceph.sh");
        let mut command = Command::new("sh");
        command
            .arg(script)
            .arg(directory.path())
            .arg(port.to_string());
        command
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.process_group(0).spawn()?;
        let direct = format!("127.0.0.1:{port}");
        let begun = Instant::now();
        while !matches!(
            request(&direct, "PUT", &format!("/{BUCKET}"), b"", None),
            Ok(200)
        ) {
            if begun.elapsed() > Duration::from_mins(3) {
                return Err(io::Error::other("tests/servers/ceph.sh did not start"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let delay = u64::try_from(number("PKGS_BENCH_DELAY", 0)).unwrap_or(0);
        let endpoint = if delay == 0 {
            format!("http://{direct}")
        } else {
            delayed(direct, Duration::from_millis(delay))?
        };
        Ok(Server {
            endpoint,
            process,
            _directory: directory,
        })
    }

    /// A client of this server.
    fn client(&self, command: &mut Command) -> Command {
        let mut made = Command::new(command.get_program());
        made.args(command.get_args()).env_clear();
        made.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        if let Some(directory) = command.get_current_dir() {
            made.current_dir(directory);
        }
        credentials(&mut made);
        made.env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("S3_ENDPOINT_URL", &self.endpoint)
            .env("RCLONE_S3_ENDPOINT", &self.endpoint)
            // Ceph takes no checksums behind a body.
            .env("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required");
        made
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = i32::try_from(self.process.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// An address that passes everything on to `to`, what is sent there `delay` later.
fn delayed(to: String, delay: Duration) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    // It ends with the process.
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if let Ok(server) = TcpStream::connect(&to) {
                let _ = pass(client, server, delay);
            }
        }
    });
    Ok(endpoint)
}

fn pass(mut client: TcpStream, mut server: TcpStream, delay: Duration) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut back_from, mut back_to) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(std::net::Shutdown::Write);
    });
    let (late, on_time) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1024);
    std::thread::spawn(move || {
        for (due, bytes) in on_time {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if server.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Write);
    });
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let due = Instant::now() + delay;
            if late.send((due, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Sends every file below `directory`, and does nothing else; tells how many.
pub fn put(directory: &Path, endpoint: &str, prefix: &str) -> io::Result<usize> {
    let host = endpoint.trim_start_matches("http://");
    let mut files = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(files.len()) {
            scope.spawn(|| {
                let mut kept = None;
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let path = file.strip_prefix(directory).unwrap_or(file).display();
                    let target = format!("/{BUCKET}/{prefix}/{path}");
                    let sent = fs::read(file)
                        .and_then(|body| request(host, "PUT", &target, &body, Some(&mut kept)));
                    if !matches!(sent, Ok(200)) {
                        let why = format!("{target}: {sent:?}");
                        *failed
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(why);
                        return;
                    }
                }
            });
        }
    });
    match failed
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        None => Ok(files.len()),
        Some(why) => Err(io::Error::other(why)),
    }
}

/// Sends one signed request, on the connection that is kept where there is one; tells the status.
fn request(
    host: &str,
    method: &str,
    target: &str,
    body: &[u8],
    kept: Option<&mut Option<BufReader<TcpStream>>>,
) -> io::Result<u16> {
    let mut own = None;
    let kept = kept.unwrap_or(&mut own);
    if kept.is_none() {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        *kept = Some(BufReader::new(stream));
    }
    let connection = kept.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    let (date, authorization) = signed(host, method, target);
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nx-amz-date: {date}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
Authorization: {authorization}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all(head.as_bytes())?;
    connection.get_mut().write_all(body)?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let mut length = 0;
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer)?;
    status.ok_or_else(|| io::Error::other("no status"))
}

/// The date and the signature of a request, by [AWS's signature version 4](https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
fn signed(host: &str, method: &str, target: &str) -> (String, String) {
    use aws_lc_rs::hmac;
    let now = time::OffsetDateTime::now_utc();
    let day = format!(
        "{:04}{:02}{:02}",
        now.year(),
        u8::from(now.month()),
        now.day()
    );
    let date = format!(
        "{day}T{:02}{:02}{:02}Z",
        now.hour(),
        now.minute(),
        now.second()
    );
    let names = "host;x-amz-content-sha256;x-amz-date";
    let request = format!(
        "{method}\n{target}\n\nhost:{host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{date}\n\n{names}\nUNSIGNED-PAYLOAD"
    );
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        Digest::of(request.as_bytes()).hex()
    );
    let sign = |key: &[u8], text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let key = scope
        .split('/')
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            sign(&key, part)
        });
    let signature = sign(&key, &text)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    (date, authorization)
}
