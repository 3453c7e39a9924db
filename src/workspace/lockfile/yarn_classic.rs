//! yarn classic's lockfile: `yarn.lock` with the head `# yarn lockfile v1`. It holds installed packages only, so a release of
//! workspaces changes nothing in it; what is left to do is to see that it agrees with the `package.json` files.

use std::collections::{BTreeMap, BTreeSet};

use super::npm::LIMIT;
use super::yarn_berry::refuse_size;
use super::{Manifests, problems};
use crate::explain::Failure;
use crate::version::Version;
use crate::version::range::Range;
use crate::workspace::package_json::{Dependency, DependencyField, PackageJson};

const REFRESH: &str = "yarn install";

/// The descriptors that a lockfile has: what is at the left of each entry, `koa@^2.0.0`.
fn descriptors(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with([' ', '\t', '#']))
        .filter_map(|line| line.trim_end().strip_suffix(':'))
        .flat_map(|line| line.split(", "))
        .map(|descriptor| descriptor.trim_matches('"'))
        .collect()
}

/// Checks that every dependency of the `package.json` files that is no workspace has its entry. Where the root has `resolutions`, an entry of the same name is enough: they say what its range is.
///
/// # Errors
/// `workspace::file_size` above 64 MiB; `workspace::lockfile_conflict` where a merge was not finished; `workspace::lockfile_stale`
/// for each of the first 20 dependencies without an entry.
pub fn check(file: &str, text: &str, manifests: &Manifests<'_>) -> Result<(), Failure> {
    refuse_size(file, text, LIMIT)?;
    problems::refuse_conflict(file, text, REFRESH)?;
    let descriptors = descriptors(text);
    let names: BTreeSet<&str> = descriptors
        .iter()
        .filter_map(|descriptor| name_of(descriptor))
        .collect();
    let resolutions = manifests
        .iter()
        .any(|(directory, package)| directory.is_root() && package.has_resolutions);
    let versions: BTreeMap<&str, Option<&Version>> = manifests
        .iter()
        .filter_map(|(_, package)| {
            Some((package.name.as_ref()?.as_str(), package.version.as_ref()))
        })
        .collect();
    let mut found = Vec::new();
    for (directory, package) in manifests {
        for dependency in &package.dependencies {
            let there = is_workspace(dependency, &versions)
                || dependency.field == DependencyField::PeerDependencies
                || dependency.spec.starts_with("link:")
                || is_overridden(dependency, package)
                || descriptors.contains(descriptor(dependency).as_str())
                || resolutions && names.contains(dependency.name.as_str());
            if !there {
                let declared = problems::declared(directory, dependency.field, &dependency.name);
                let written = Some(dependency.spec.as_str());
                found.push((None, problems::differs(file, &declared, None, written)));
            }
        }
    }
    problems::all_stale(file, found, REFRESH)
}

fn descriptor(dependency: &Dependency) -> String {
    format!("{}@{}", dependency.name, dependency.spec)
}

fn name_of(descriptor: &str) -> Option<&str> {
    let at = descriptor.get(1..)?.find('@')? + 1;
    Some(&descriptor[..at])
}

/// Whether yarn links the workspace of that name: its version is in the range.
fn is_workspace(dependency: &Dependency, versions: &BTreeMap<&str, Option<&Version>>) -> bool {
    versions
        .get(dependency.name.as_str())
        .is_some_and(|version| {
            let range = Range::parse(&dependency.spec);
            range.is_ok_and(|range| version.is_none_or(|version| range.contains(version)))
        })
}

/// Whether another field of the same package says what is installed under the name.
fn is_overridden(dependency: &Dependency, package: &PackageJson) -> bool {
    let says = |field| package.spec(field, &dependency.name).is_some();
    match dependency.field {
        DependencyField::Dependencies => {
            says(DependencyField::OptionalDependencies) || says(DependencyField::DevDependencies)
        }
        _ => false,
    }
}
