//! What changed since the last release: `plan`, the floor, and what people use to ask the same.

use std::io;
use std::path::Path;

use crate::measure::{aim, measure, print};
use crate::repository::{self, Bases, Ranges, Size};
use crate::tools::{self, Peers};

/// Measures it in repositories of a size.
pub fn bench(rounds: usize, size: Size, peers: &Peers) -> io::Result<()> {
    for (bases, told) in [
        (Bases::Together, "bases on one commit"),
        (Bases::Spread, "bases on many commits"),
    ] {
        let directory = tempfile::tempdir()?;
        let repository = directory.path().join("npm");
        std::fs::create_dir(&repository)?;
        repository::generate(&repository, size, bases, Ranges::Held)?;
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
    Ok(())
}

/// Measures `plan` and what answers the same question.
fn beside_peers(rounds: usize, repository: &Path, pnpm: &Path, peers: &Peers) -> io::Result<()> {
    let tag = repository::newest_tag(repository)?;
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
    let tag = repository::newest_tag(repository)?;
    let mut contestants = [tools::floor(repository, &tag), tools::plan(repository)];
    let rows = measure(rounds, &mut contestants)?;
    print(told, &rows);
    if let [floor, plan] = rows.as_slice() {
        aim("plan / floor", plan.over(floor), true, 3.0);
        aim("memory of plan in MiB", plan.memory(), true, 200.0);
    }
    Ok(())
}
