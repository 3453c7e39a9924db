//! What of a package may not leave: ways into it that lead nowhere, keys, and more bytes than it was given. What is wrong with one package
//! is told together with what is wrong with the others, before anything is decided.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use super::Builder;
use crate::explain::{Exit, Failure, Place, exact_size, quoted, size};
use crate::local::archive::{EntrySource, NpmTarball};
use crate::local::files;
use crate::local::npm_package::NpmPackage;
use crate::plan::release::matches;
use crate::workspace::entry_points::{self, Packed};
use crate::workspace::key_files;
use crate::workspace::package::Package;

/// How many of a package's longest files are named.
const SHOWN: usize = 3;

impl Builder<'_> {
    /// Keeps a problem for everything in a tarball that may not leave.
    ///
    /// # Errors
    /// Those of the disk.
    pub(super) fn examine(
        &mut self,
        package: &Package,
        packed: &NpmPackage,
        tarball: &NpmTarball,
    ) -> Result<(), Failure> {
        let paths: BTreeSet<&str> = packed.files.iter().map(|file| file.path.as_str()).collect();
        let present = packed.beside.paths.iter();
        let problems = entry_points::missing(Packed {
            file: package.file().as_str(),
            manifest: &packed.manifest,
            paths: &paths,
            present: &present.map(|(path, _)| path.as_str()).collect(),
        });
        self.problems.extend(problems);
        let keys = self.keys(package, packed)?;
        self.problems.extend(keys);
        let most = self
            .settings
            .longest_tarball(|pattern| matches(package, pattern));
        self.problems.extend(too_long(package, tarball, most));
        Ok(())
    }

    fn keys(&self, package: &Package, packed: &NpmPackage) -> Result<Vec<Failure>, Failure> {
        let mut failures = Vec::new();
        for file in &packed.files {
            let EntrySource::File(at) = &file.source else {
                continue;
            };
            let beginning = beginning(at, key_files::read_of(&file.path))?;
            let Some(why) = key_files::secret(&file.path, &beginning) else {
                continue;
            };
            let path = package.directory.join(&file.path);
            let is_meant = |path| self.key_files.matches(&path, &package.directory);
            if !path.is_ok_and(is_meant) {
                failures.push(key(package, &file.path, why));
            }
        }
        Ok(failures)
    }
}

pub(super) fn beginning(path: &Path, length: u64) -> Result<Vec<u8>, Failure> {
    let (file, metadata) = files::open_regular(path)?;
    let most = usize::try_from(metadata.len().min(length)).unwrap_or(0);
    // One more than there is, so that the end is found without a second buffer.
    let mut bytes = Vec::with_capacity(most + 1);
    file.take(length)
        .read_to_end(&mut bytes)
        .map_err(|error| files::failed("files::read", "read", path, &error))?;
    Ok(bytes)
}

fn key(package: &Package, path: &str, why: &str) -> Failure {
    let what = format!(
        "the tarball of {} would hold {}",
        package.name,
        quoted(path)
    );
    Failure::new(Exit::Refused, "build::key_file", what)
        .because(why)
        .because("what is published once can be read by everybody, for ever")
        .hint("leave it out with `files` in package.json or with .npmignore; where it is meant, `key-files` names it")
}

/// The failure of a tarball of more than `most` bytes.
fn too_long(package: &Package, tarball: &NpmTarball, most: u64) -> Option<Failure> {
    if tarball.size <= most {
        return None;
    }
    let mut longest: Vec<&(String, u64, u32)> = tarball.files.iter().collect();
    longest.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let shown = longest.iter().take(SHOWN);
    let shown = shown.map(|(path, length, _)| format!("{} ({})", quoted(path), size(*length)));
    let shown: Vec<String> = shown.collect();
    let what = format!(
        "the tarball of {} has {}, and may have {}",
        package.name,
        exact_size(tarball.size),
        exact_size(most)
    );
    let failure = Failure::new(Exit::Refused, "build::package_size", what)
        .because(format!("its longest files are {}", shown.join(", ")))
        .hint("leave out what users do not need, with `files` in package.json or with .npmignore; or raise `max-package-size`");
    Some(failure.place(Place::file(package.file().as_str())))
}
