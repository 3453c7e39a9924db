//! The floor: what any program must do at least to tell which packages changed. `git diff` runs in a child while threads read every
//! manifest from disk; then the packages that changed and all that depend on them are counted.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

#[derive(Deserialize)]
struct Manifest {
    name: String,
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
}

/// Counts the packages that a release since `tag` would take.
pub fn run(repository: &Path, tag: &str) -> io::Result<usize> {
    let diff = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["diff", "--name-only", tag, "HEAD"])
        .stdout(Stdio::piped())
        .spawn()?;
    let directories: Vec<PathBuf> = std::fs::read_dir(repository.join("packages"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    let manifests = read_all(&directories)?;
    let output = diff.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other("git diff failed"));
    }
    let by_directory: HashMap<&str, usize> = directories
        .iter()
        .enumerate()
        .filter_map(|(index, directory)| Some((directory.file_name()?.to_str()?, index)))
        .collect();
    let changed = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|path| by_directory.get(path.split('/').nth(1)?).copied())
        .collect();
    Ok(closure(&manifests, changed))
}

fn read_all(directories: &[PathBuf]) -> io::Result<Vec<Manifest>> {
    let threads = std::thread::available_parallelism()?.get();
    let share = directories.len().div_ceil(threads).max(1);
    let read = |directory: &PathBuf| -> io::Result<Manifest> {
        Ok(serde_json::from_slice(&std::fs::read(
            directory.join("package.json"),
        )?)?)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = directories
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(read).collect::<io::Result<Vec<_>>>()))
            .collect();
        let mut manifests = Vec::with_capacity(directories.len());
        for reader in readers {
            manifests.extend(
                reader
                    .join()
                    .map_err(|_| io::Error::other("a reader failed"))??,
            );
        }
        Ok(manifests)
    })
}

/// How many packages changed or depend, near or far, on one that did.
fn closure(manifests: &[Manifest], changed: Vec<usize>) -> usize {
    let places: HashMap<&str, usize> = manifests
        .iter()
        .enumerate()
        .map(|(index, manifest)| (manifest.name.as_str(), index))
        .collect();
    let mut dependents = vec![Vec::new(); manifests.len()];
    for (index, manifest) in manifests.iter().enumerate() {
        for dependency in manifest.dependencies.keys() {
            if let Some(place) = places.get(dependency.as_str()) {
                dependents[*place].push(index);
            }
        }
    }
    let mut reached = vec![false; manifests.len()];
    let mut open = changed;
    while let Some(index) = open.pop() {
        if !std::mem::replace(&mut reached[index], true) {
            open.extend(&dependents[index]);
        }
    }
    reached.into_iter().filter(|reached| *reached).count()
}
