//! One version for all packages, or each its own: what decides where no setting does.
//!
//! What was released so far decides before what the versions are today: packages that have versions of their own may hold the same one for a
//! while, and among packages that share theirs a new one begins with another.

use std::collections::BTreeSet;

use crate::explain::Failure;
use crate::name::TagName;
use crate::settings::{Mode, Settings};
use crate::version::Version;
use crate::workspace::package::Package;

/// The last release that leads here, as its tag marks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastRelease<'a> {
    /// There is none.
    Never,
    /// It was of one package, or each of its packages has a tag of its own.
    OfOne(&'a TagName),
    /// It was of all packages.
    OfAll {
        /// The tag.
        tag: &'a TagName,
        /// The version it marks.
        version: &'a Version,
        /// Whether packages have release tags of their own, older ones: then anybody may have set this one.
        others: bool,
    },
}

/// The mode, and why. `is_new` tells of a package whether it was not there yet at the last release.
///
/// # Errors
/// Those of `is_new`.
pub fn mode(
    settings: &Settings,
    packages: &[Package],
    last: LastRelease<'_>,
    is_new: impl Fn(&Package) -> Result<bool, Failure>,
) -> Result<(Mode, String), Failure> {
    if let Some(mode) = settings.mode {
        let reason = match settings.adopted_from("mode") {
            Some(file) => format!("as {file} says"),
            None => "as it is set".to_owned(),
        };
        return Ok((mode, reason));
    }
    if !settings.fixed.is_empty() || !settings.linked.is_empty() {
        return Ok((Mode::Diff, "there are groups of packages".to_owned()));
    }
    let versions: BTreeSet<&Version> = packages
        .iter()
        .filter_map(|package| package.version.as_ref())
        .collect();
    let is_one = versions.len() <= 1;
    let by_versions = || {
        if is_one {
            return (Mode::Sync, "all packages hold one version".to_owned());
        }
        let count = versions.len();
        let reason = format!("the packages hold {count} different versions");
        (Mode::Diff, reason)
    };
    Ok(match last {
        // With a format of its own, releases of all packages have such tags as well.
        LastRelease::OfOne(tag)
            if is_one && packages.len() > 1 && settings.tag_format.is_none() =>
        {
            let reason = format!("the last release, {tag}, has a tag for each package");
            (Mode::Diff, reason)
        }
        LastRelease::OfAll { tag, version, .. }
            if !is_one && all_but_new(packages, version, is_new)? =>
        {
            let reason = format!("the last release, {tag}, was one of all packages");
            (Mode::Sync, reason)
        }
        LastRelease::OfAll {
            tag,
            version,
            others: true,
        } if is_one && !versions.contains(version) => {
            let reason = format!(
                "packages have release tags of their own, and {tag} is not the version of all"
            );
            (Mode::Diff, reason)
        }
        _ => by_versions(),
    })
}

/// Whether packages hold a version, several where others hold a lower one, and these are new.
fn all_but_new(
    packages: &[Package],
    version: &Version,
    is_new: impl Fn(&Package) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let versioned = packages.iter().filter(|package| package.version.is_some());
    let (released, others): (Vec<_>, Vec<_>) =
        versioned.partition(|package| package.version.as_ref() == Some(version));
    for package in &others {
        if package.version.as_ref() > Some(version) || !is_new(package)? {
            return Ok(false);
        }
    }
    Ok(released.len() > usize::from(!others.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::name::RepoPath;
    use crate::settings::World;
    use crate::settings::inputs::{Asked, collect};
    use crate::workspace::package::Kind;
    use crate::workspace::package_json::PackageJson;

    /// Nothing is set.
    fn settings() -> Settings {
        let Ok(Asked::Run(collected)) = collect(&["plan".to_owned()], &BTreeMap::new()) else {
            panic!("this is a plan");
        };
        Settings::resolve(*collected, &[], World::default()).unwrap()
    }

    /// Packages `a`, `b`, … at these versions.
    fn packages(versions: &[&str]) -> Vec<Package> {
        let names = 'a'..='z';
        let package = |(name, version): (char, &&str)| {
            let text = json!({"name": name.to_string(), "version": version}).to_string();
            let manifest = PackageJson::parse("package.json", &text).unwrap();
            Package {
                name: manifest.name.clone().unwrap(),
                directory: RepoPath::parse(&format!("packages/{name}")).unwrap(),
                version: manifest.version.clone(),
                kind: Kind::Library,
                manifest,
                text,
            }
        };
        names.zip(versions).map(package).collect()
    }

    fn check(versions: &[&str], last: LastRelease<'_>, new: &str, expected: Mode) {
        let is_new = |package: &Package| Ok(new.contains(package.name.as_str()));
        let (mode, reason) = mode(&settings(), &packages(versions), last, is_new).unwrap();
        assert_eq!(mode, expected, "{versions:?} {last:?} {new}: {reason}");
    }

    #[test]
    fn the_last_release_decides_before_the_versions() {
        use LastRelease::{Never, OfAll, OfOne};
        use Mode::{Diff, Sync};
        let own = TagName::parse("a@1.1.0").unwrap();
        let shared = TagName::parse("v1.1.0").unwrap();
        let version = Version::new(1, 1, 0);
        let of_all = |others| OfAll {
            tag: &shared,
            version: &version,
            others,
        };
        check(&["1.0.0", "1.0.0"], Never, "", Sync);
        check(&["1.0.0", "1.1.0"], Never, "", Diff);
        // Versions of their own that happen to be the same.
        check(&["1.1.0", "1.1.0"], OfOne(&own), "", Diff);
        check(&["1.1.0"], OfOne(&own), "", Sync);
        check(&["1.1.0", "1.1.0"], of_all(true), "", Sync);
        // Raised by hand.
        check(&["2.0.0", "2.0.0"], of_all(false), "", Sync);
        check(&["2.0.0", "2.0.0"], of_all(true), "", Diff);
        // A package that is new holds another version.
        check(&["1.1.0", "1.1.0", "0.0.0"], of_all(false), "c", Sync);
        check(&["1.1.0", "1.1.0", "0.0.0"], of_all(true), "c", Sync);
        check(&["1.1.0", "1.1.0", "0.0.0"], of_all(false), "", Diff);
        check(&["1.1.0", "1.1.0", "5.0.0"], of_all(false), "c", Diff);
        // One package that was alone, or one of them in a new directory.
        check(&["1.1.0", "0.0.0"], of_all(false), "b", Diff);
        check(&["0.0.0", "0.1.0"], of_all(false), "ab", Diff);
    }
}
