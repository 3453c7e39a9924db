//! `cargo bench`: how long `plan` takes on large generated repositories, beside a floor that no such program can be below and beside what
//! people use to ask the same.
//!
//! All run in turn, so that a machine whose speed drifts favours none; the ratio of their medians is the figure to quote. The figures stand
//! beside their aims, and nothing fails by them. Other tools are installed from the npm registry, pinned, as for the tests
//! (`PKGS_TEST_CACHE`).
//!
//! `plan` also makes the edits of a release, its lockfile included; the commit and its tags are not measured. `release --dry-run` builds and
//! packs, so it is no measure of them.
//!
//! `cargo bench -- ROUNDS` sets how often (30 unless told); `PKGS_BENCH_PACKAGES=1000,5000` how many packages the repositories have (1000
//! unless told); `cargo bench -- generate DIRECTORY together|spread PACKAGES` only makes a repository.
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark has no settings but these variables"
)]

mod floor;
mod measure;
mod repository;
mod tools;

use std::io;
use std::path::Path;
use std::process::Command;

use measure::{Contestant, aim, measure, print};
use repository::{Bases, Size};
use tools::Peers;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["floor", repository, tag] => {
            println!("{}", floor::run(Path::new(repository), tag)?);
            Ok(())
        }
        ["generate", directory, bases, packages] => {
            std::fs::create_dir_all(directory)?;
            let bases = if *bases == "spread" {
                Bases::Spread
            } else {
                Bases::Together
            };
            let size = Size::of(number(packages)?);
            repository::generate(Path::new(directory), size, bases)
        }
        rounds => {
            let rounds = rounds.first().map_or(Ok(30), |text| number(text))?;
            let sizes = std::env::var("PKGS_BENCH_PACKAGES").unwrap_or_else(|_| "1000".to_owned());
            let peers = Peers::install()?;
            for packages in sizes.split(',') {
                bench(rounds, Size::of(number(packages)?), &peers)?;
            }
            Ok(())
        }
    }
}

fn number(text: &str) -> io::Result<usize> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text:?} is no number")))
}

fn bench(rounds: usize, size: Size, peers: &Peers) -> io::Result<()> {
    println!(
        "\n{} packages, about {} commits, {} annotated tags, {} packages changed; {rounds} rounds; {} cores, {}",
        size.packages,
        size.commits,
        size.tags,
        repository::CHANGED,
        std::thread::available_parallelism()?,
        load(),
    );
    let mut started = [Contestant {
        name: "--version",
        command: Box::new(|| Ok(tools::tool(Path::new("."), &["--version"]))),
        named: |_| None,
    }];
    print("start", &measure(rounds, &mut started)?);
    for (bases, told) in [
        (Bases::Together, "bases on one commit"),
        (Bases::Spread, "bases on many commits"),
    ] {
        let directory = tempfile::tempdir()?;
        let repository = directory.path().join("npm");
        std::fs::create_dir(&repository)?;
        repository::generate(&repository, size, bases)?;
        // The others know one base only: their answer is to the same question where all packages have the same.
        if bases == Bases::Together {
            let pnpm = directory.path().join("pnpm");
            repository::copy_for_pnpm(&repository, &pnpm)?;
            beside_peers(rounds, &repository, &pnpm, peers)?;
        }
        beside_floor(rounds, &repository, &format!("{told}, refs packed"))?;
        repository::loosen_refs(&repository)?;
        beside_floor(rounds, &repository, &format!("{told}, refs loose"))?;
    }
    println!("\nat the end: {}", load());
    Ok(())
}

/// Measures `plan` and what answers the same question.
fn beside_peers(rounds: usize, repository: &Path, pnpm: &Path, peers: &Peers) -> io::Result<()> {
    let tag = newest_tag(repository)?;
    let rows = measure(
        rounds,
        &mut [
            tools::floor(repository, &tag),
            tools::plan(repository),
            peers.pnpm(pnpm, &tag),
            peers.turbo(repository, &tag)?,
            peers.lerna(repository),
        ],
    )?;
    print("what changed since the last release", &rows);
    let [floor, plan, pnpm, turbo, lerna] = rows.as_slice() else {
        return Ok(());
    };
    aim("plan / floor", plan.over(floor), true, 3.0);
    aim("pnpm / plan", pnpm.over(plan), false, 3.0);
    aim("turbo / plan", turbo.over(plan), false, 3.0);
    println!("  lerna / plan: {:.0}", lerna.over(plan));
    Ok(())
}

/// Measures `plan` and the floor in one repository.
fn beside_floor(rounds: usize, repository: &Path, told: &str) -> io::Result<()> {
    let tag = newest_tag(repository)?;
    let mut contestants = [tools::floor(repository, &tag), tools::plan(repository)];
    let rows = measure(rounds, &mut contestants)?;
    print(told, &rows);
    if let [floor, plan] = rows.as_slice() {
        aim("plan / floor", plan.over(floor), true, 3.0);
        #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
        aim("memory of plan in MiB", plan.memory() as f64, true, 200.0);
    }
    Ok(())
}

fn newest_tag(directory: &Path) -> io::Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["describe", "--abbrev=0", "HEAD"])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How busy the machine is.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(1).collect();
    format!("load {}", load.concat())
}
