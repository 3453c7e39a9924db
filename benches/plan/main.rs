//! `cargo bench`: how long `plan` takes on a large generated repository, beside a floor that no such program can be below.
//!
//! Floor and tool run in turn, so that a machine whose speed drifts favours neither; the ratio of their medians is the figure to quote.
//! `cargo bench -- ROUNDS` sets how often (30 unless told); `cargo bench -- generate DIRECTORY together|spread` only makes a repository.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

mod floor;
mod repository;

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use repository::Bases;

const TOOL: &str = env!("CARGO_BIN_EXE_pkgs-action");
/// Rounds that are run first and not counted.
const WARM_UP: usize = 2;

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
        ["generate", directory, bases] => {
            std::fs::create_dir_all(directory)?;
            let bases = if *bases == "spread" {
                Bases::Spread
            } else {
                Bases::Together
            };
            repository::generate(Path::new(directory), bases)
        }
        rounds => bench(
            rounds
                .first()
                .and_then(|text| text.parse().ok())
                .unwrap_or(30),
        ),
    }
}

fn bench(rounds: usize) -> io::Result<()> {
    println!(
        "{} packages, about {} commits, {} annotated tags, {} packages changed; {rounds} rounds; milliseconds",
        repository::PACKAGES,
        repository::COMMITS,
        repository::TAGS,
        repository::CHANGED
    );
    println!("{:<34} {:>8} {:>8} {:>8}", "", "min", "median", "max");
    let started = times(
        rounds,
        &mut [&mut || Ok(tool(Path::new("."), &["--version"]))],
    )?;
    print("--version", &started[0]);
    for (bases, told) in [
        (Bases::Together, "bases on one commit"),
        (Bases::Spread, "bases on many commits"),
    ] {
        let directory = tempfile::tempdir()?;
        let directory = directory.path();
        repository::generate(directory, bases)?;
        compare(rounds, directory, &format!("{told}, refs packed"))?;
        repository::loosen_refs(directory)?;
        compare(rounds, directory, &format!("{told}, refs loose"))?;
    }
    Ok(())
}

/// Measures floor and tool in one repository.
fn compare(rounds: usize, directory: &Path, told: &str) -> io::Result<()> {
    let tag = newest_tag(directory)?;
    let floor = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor").arg(directory).arg(&tag);
        Ok(command)
    };
    let plan = || tool(directory, &["plan", "--format", "json"]);
    let measured = times(rounds, &mut [&mut || floor(), &mut || Ok(plan())])?;
    println!("{told}");
    print("  floor", &measured[0]);
    print("  plan --format json", &measured[1]);
    let ratio = median(&measured[1]).as_secs_f64() / median(&measured[0]).as_secs_f64();
    println!(
        "  plan / floor {ratio:.2}, peak memory {} MiB",
        peak_memory(plan())? >> 10
    );
    Ok(())
}

/// The tool as a person without settings or credentials would run it.
fn tool(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.args(arguments).current_dir(directory).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // All packages have tags: whoever asked a registry after all would fail here, and be seen.
    command.env("PKGS_REGISTRY", "http://127.0.0.1:9");
    command
}

fn newest_tag(directory: &Path) -> io::Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["describe", "--abbrev=0", "HEAD"])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs each command in turn, `rounds` times after a warm-up, and gives the sorted times of each.
fn times(
    rounds: usize,
    commands: &mut [&mut dyn FnMut() -> io::Result<Command>],
) -> io::Result<Vec<Vec<Duration>>> {
    let mut measured = vec![Vec::with_capacity(rounds); commands.len()];
    for round in 0..rounds + WARM_UP {
        for (make, times) in commands.iter_mut().zip(&mut measured) {
            let mut command = make()?;
            let start = Instant::now();
            let output = command.output()?;
            let time = start.elapsed();
            if !output.status.success() || output.stdout.is_empty() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(io::Error::other(format!("{command:?} failed: {said}")));
            }
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    for times in &mut measured {
        times.sort_unstable();
    }
    Ok(measured)
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn print(what: &str, sorted: &[Duration]) {
    let milliseconds =
        |time: Option<&Duration>| time.copied().unwrap_or_default().as_secs_f64() * 1000.0;
    println!(
        "{what:<34} {:>8.1} {:>8.1} {:>8.1}",
        milliseconds(sorted.first()),
        milliseconds(Some(&median(sorted))),
        milliseconds(sorted.last()),
    );
}

/// The most memory a run held, in KiB: the kernel's own high-water mark, read until the process is gone.
fn peak_memory(mut command: Command) -> io::Result<u64> {
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let seen = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = seen
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(mark.unwrap_or(0));
    }
    Ok(peak)
}
