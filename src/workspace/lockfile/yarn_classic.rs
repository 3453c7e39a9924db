//! yarn classic's lockfile: `yarn.lock` with the head `# yarn lockfile v1`. It holds installed packages only, so a release of
//! workspaces changes nothing in it; what is left to do is to see that it agrees with the `package.json` files.

use std::collections::{BTreeMap, BTreeSet};

use super::Manifests;
use super::problems::{self, Disagreements};
use crate::explain::Failure;
use crate::name::RepoPath;
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

/// Refuses a lockfile that is too large to be meant, or holds an unfinished merge.
pub(super) fn readable(file: &str, text: &str) -> Result<(), Failure> {
    problems::refuse_size(file, text)?;
    problems::refuse_conflict(file, text, REFRESH)
}

/// Checks that every dependency of the `package.json` files that is no workspace has its entry. Where the root has `resolutions`, an entry of the same name is enough: they say what its range is.
///
/// # Errors
/// `workspace::file_size` above 64 MiB; `workspace::lockfile_conflict` where a merge was not finished; `workspace::lockfile_stale`
/// for each of the first 20 dependencies without an entry.
pub fn check(file: &str, text: &str, manifests: &Manifests<'_>) -> Result<(), Failure> {
    readable(file, text)?;
    let descriptors = descriptors(text);
    let names: BTreeSet<&str> = descriptors
        .iter()
        .filter_map(|descriptor| name_of(descriptor))
        .collect();
    let resolutions = manifests
        .iter()
        .any(|(directory, package)| directory.is_root() && !package.resolutions.is_empty());
    let versions: BTreeMap<&str, Option<&Version>> = manifests
        .iter()
        .filter_map(|(_, package)| {
            Some((package.name.as_ref()?.as_str(), package.version.as_ref()))
        })
        .collect();
    let mut found = Disagreements::new(file, REFRESH);
    for (directory, package) in manifests {
        for dependency in &package.dependencies {
            let there = is_workspace(dependency, &versions)
                || dependency.field == DependencyField::PeerDependencies
                || dependency.spec.starts_with("link:")
                || is_overridden(dependency, package)
                || match descriptor(directory, dependency) {
                    Some(descriptor) => descriptors.contains(descriptor.as_str()),
                    None => names.contains(dependency.name.as_str()),
                }
                || resolutions && names.contains(dependency.name.as_str());
            if !there {
                found.add(|| {
                    let Dependency { field, name, spec } = dependency;
                    let declared = problems::declared(directory, field.as_str(), name);
                    (None, problems::differs(file, &declared, None, Some(spec)))
                });
            }
        }
    }
    found.into_result()
}

/// What stands at the left of the entry of a dependency that the package in `directory` declares; `None` where it depends on where
/// the workspace lies.
pub(super) fn descriptor(directory: &RepoPath, dependency: &Dependency) -> Option<String> {
    let Dependency { name, spec, .. } = dependency;
    match spec.strip_prefix("file:") {
        Some(path) => Some(format!("{name}@file:{}", from_root(directory, path)?)),
        None if spec.starts_with('/') => None,
        None => Some(format!("{name}@{spec}")),
    }
}

/// A path relative to `directory` as yarn writes it: relative to the root, with a `./` before it where it was written with one.
pub(super) fn from_root(directory: &RepoPath, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.as_str().split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    let is_marked = path == "." || path.starts_with("./");
    Some(match joined.as_str() {
        "" => ".".to_owned(),
        _ if is_marked && !joined.starts_with("../") => format!("./{joined}"),
        _ => joined,
    })
}

pub(super) fn name_of(descriptor: &str) -> Option<&str> {
    let at = descriptor.get(1..)?.find('@')? + 1;
    Some(&descriptor[..at])
}

/// Whether yarn links the workspace of that name: its version is in the range.
pub(super) fn is_workspace(
    dependency: &Dependency,
    versions: &BTreeMap<&str, Option<&Version>>,
) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "# THIS IS AN AUTOGENERATED FILE. DO NOT EDIT THIS FILE DIRECTLY.\r\n# yarn lockfile v1\r\n\r\n\r\n\"@y/koa@^2.0.0\", \"@y/koa@>=2\":\r\n  version \"2.1.0\"\r\n  dependencies:\r\n    left \"1\"\r\n\r\nleft@1:\r\n  version \"1.0.0\"\r\n";

    fn checked(text: &str, root: &str, web: &str) -> Vec<String> {
        let manifests = [("", root), ("web", web)].map(|(directory, text)| {
            let directory = RepoPath::parse(directory).unwrap();
            (directory, PackageJson::parse("package.json", text).unwrap())
        });
        let manifests: Vec<(RepoPath, &PackageJson)> = manifests
            .iter()
            .map(|(directory, package)| (directory.clone(), package))
            .collect();
        match check("yarn.lock", text, &manifests) {
            Ok(()) => Vec::new(),
            Err(failure) => failure
                .each()
                .map(|one| format!("{}: {}", one.code(), one.what()))
                .collect(),
        }
    }

    #[test]
    fn paths_are_relative_to_the_root() {
        // As yarn 1.22 writes them.
        for (directory, path, expected) in [
            ("", "./third", Some("./third")),
            ("", "third/", Some("third")),
            ("", ".", Some(".")),
            ("", "../third", Some("../third")),
            ("packages/web", "../../third", Some("third")),
            ("packages/web", "../third/", Some("packages/third")),
            ("packages/web", "./../third", Some("./packages/third")),
            ("packages/web", "inner", Some("packages/web/inner")),
            (
                "packages/web",
                "./inner.tgz",
                Some("./packages/web/inner.tgz"),
            ),
            ("packages/web", "../..", Some(".")),
            ("packages/web", "./../../../third", Some("../third")),
            ("packages/web", "./../../..", Some("./..")),
            ("packages/web", "../../..", Some("..")),
            ("packages/web", "/third", None),
        ] {
            let directory = RepoPath::parse(directory).unwrap();
            let found = from_root(&directory, path);
            assert_eq!(found.as_deref(), expected, "{directory} {path}");
        }
    }

    #[test]
    fn every_dependency_that_is_no_workspace_has_its_entry() {
        let root =
            r#"{"devDependencies": {"@y/koa": ">=2", "web": "^1.0.0", "other": "link:./other"}}"#;
        let web = |dependencies: &str| {
            format!(
                r#"{{"name": "web", "version": "1.5.0", "peerDependencies": {{"p": "*"}}, "dependencies": {{{dependencies}}}}}"#
            )
        };
        let agreeing = web(r#""@y/koa": "^2.0.0", "left": "1""#);
        assert_eq!(checked(LOCK, root, &agreeing), [""; 0]);
        let drifted = web(r#""@y/koa": "^3.0.0", "right": "1""#);
        let says = |name: &str, spec: &str| {
            format!(
                "workspace::lockfile_stale: yarn.lock has nothing for dependencies{name} of web, its package.json has \"{spec}\""
            )
        };
        let (koa, right) = (says("[\"@y/koa\"]", "^3.0.0"), says(".right", "1"));
        assert_eq!(checked(LOCK, root, &drifted), [koa, right.clone()]);
        let resolved = root.replacen('{', r#"{"resolutions": {"@y/koa": "^2.0.0"},"#, 1);
        assert_eq!(checked(LOCK, &resolved, &drifted), [right]);
        let outside = root.replace("\"web\": \"^1.0.0\"", "\"web\": \"^2.0.0\"");
        assert_eq!(
            checked(LOCK, &outside, &agreeing),
            [
                "workspace::lockfile_stale: yarn.lock has nothing for devDependencies.web of ., its package.json has \"^2.0.0\""
            ]
        );
        assert_eq!(
            checked("<<<<<<< HEAD\n", root, &agreeing),
            ["workspace::lockfile_conflict: yarn.lock holds an unfinished merge"]
        );
    }
}
