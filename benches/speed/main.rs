//! `cargo bench`: how long `plan` and `version` take on large generated repositories, and `publish`, `pack`, uploads and rollbacks on this machine, beside
//! what people use for the same and beside what no such program can be below.
//!
//! All run in turn, so that a machine whose speed drifts favours none; the ratio of their medians is the figure to quote. The figures stand
//! beside their aims, and nothing fails by them. Other tools are installed from the npm registry, pinned, as for the tests
//! (`PKGS_TEST_CACHE`).
//!
//! `cargo bench -- plan`, `version`, `publish`, `archive` and `upload` measure one of them; a number after that sets how often (30 unless told);
//! `PKGS_BENCH_PACKAGES=1000,5000` how many packages the repositories have (1000 unless told);
//! `cargo bench -- generate DIRECTORY together|spread|left PACKAGES` only makes a repository.
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark has no settings but these variables"
)]

mod archiving;
mod changed;
mod floor;
mod measure;
mod publishing;
mod repository;
mod tools;
mod uploading;
mod versions;

use std::io;
use std::path::Path;

use measure::{Contestant, measure, print};
use repository::{Bases, Ranges, Size};
use tools::Peers;

/// Measures one question in repositories of a size, with all that answer it.
type Page = fn(usize, Size, &Peers) -> io::Result<()>;

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
        ["generate", directory, shape, packages] => {
            std::fs::create_dir_all(directory)?;
            let (bases, ranges) = match *shape {
                "spread" => (Bases::Spread, Ranges::Held),
                "left" => (Bases::Together, Ranges::Left),
                _ => (Bases::Together, Ranges::Held),
            };
            let size = Size::of(number(packages)?);
            repository::generate(Path::new(directory), size, bases, ranges)
        }
        ["plan", rounds @ ..] => bench_all(&[changed::bench], rounds),
        ["send", bodies, registry] => {
            println!("{}", publishing::send(Path::new(bodies), registry)?);
            Ok(())
        }
        ["put", files, endpoint, prefix] => {
            println!("{}", uploading::put(Path::new(files), endpoint, prefix)?);
            Ok(())
        }
        ["archive", rounds @ ..] => bench_all(&[archiving::bench], rounds),
        ["upload", rounds @ ..] => bench_all(&[uploading::bench], rounds),
        ["version", rounds @ ..] => bench_all(&[versions::bench], rounds),
        ["publish", rounds @ ..] => bench_all(&[publishing::bench], rounds),
        rounds => bench_all(
            &[
                changed::bench,
                versions::bench,
                publishing::bench,
                archiving::bench,
                uploading::bench,
            ],
            rounds,
        ),
    }
}

fn bench_all(pages: &[Page], rounds: &[&str]) -> io::Result<()> {
    let rounds = rounds.first().map_or(Ok(30), |text| number(text))?;
    let sizes = std::env::var("PKGS_BENCH_PACKAGES").unwrap_or_else(|_| "1000".to_owned());
    let peers = Peers::install()?;
    for packages in sizes.split(',') {
        bench(pages, rounds, Size::of(number(packages)?), &peers)?;
    }
    Ok(())
}

fn number(text: &str) -> io::Result<usize> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text:?} is no number")))
}

fn bench(pages: &[Page], rounds: usize, size: Size, peers: &Peers) -> io::Result<()> {
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
        named: Box::new(|_| None),
    }];
    print("start", &measure(rounds, &mut started)?);
    for page in pages {
        page(rounds, size, peers)?;
    }
    println!("\nat the end: {}", load());
    Ok(())
}

/// How busy the machine is.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(1).collect();
    format!("load {}", load.concat())
}
