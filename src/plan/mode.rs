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

/// The release tags of a repository, of which one of each kind is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks<'a> {
    /// A tag of one package.
    pub own: Option<&'a TagName>,
    /// The newest tag of all packages that leads here.
    pub shared: Option<(&'a TagName, &'a Version)>,
}

/// The mode, and why. `is_new` tells of a package whether it was not there yet at the newest tag of all packages.
///
/// # Errors
/// Those of `is_new`.
pub fn mode(
    settings: &Settings,
    packages: &[Package],
    marks: Marks<'_>,
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
    if versions.len() <= 1 {
        return Ok(match marks {
            Marks {
                own: Some(tag),
                shared: None,
            } if packages.len() > 1 => {
                let reason = format!("packages have release tags of their own, as {tag}");
                (Mode::Diff, reason)
            }
            _ => (Mode::Sync, "all packages hold one version".to_owned()),
        });
    }
    if let Marks {
        own: None,
        shared: Some((tag, version)),
    } = marks
        && all_but_new(packages, version, is_new)?
    {
        return Ok((
            Mode::Sync,
            format!("{tag} is a release of all packages, but for those that are new"),
        ));
    }
    let count = versions.len();
    Ok((
        Mode::Diff,
        format!("the packages hold {count} different versions"),
    ))
}

/// Whether packages hold a version, and every other one is new.
fn all_but_new(
    packages: &[Package],
    version: &Version,
    is_new: impl Fn(&Package) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let versioned = packages.iter().filter(|package| package.version.is_some());
    let (released, others): (Vec<_>, Vec<_>) =
        versioned.partition(|package| package.version.as_ref() == Some(version));
    for package in &others {
        if !is_new(package)? {
            return Ok(false);
        }
    }
    Ok(!released.is_empty())
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

    /// The mode of packages whose repository has these tags; those named in `new` are new.
    fn check(
        versions: &[&str],
        own: Option<&str>,
        shared: Option<&str>,
        new: &str,
        expected: Mode,
    ) {
        let tag = |name: &str| TagName::parse(name).unwrap();
        let (own, shared) = (own.map(tag), shared.map(tag));
        let version = shared
            .as_ref()
            .map(|tag| Version::parse(&tag.as_str()[1..]).unwrap());
        let marks = Marks {
            own: own.as_ref(),
            shared: shared.as_ref().zip(version.as_ref()),
        };
        let is_new = |package: &Package| Ok(new.contains(package.name.as_str()));
        let (mode, reason) = mode(&settings(), &packages(versions), marks, is_new).unwrap();
        assert_eq!(mode, expected, "{versions:?} {marks:?} {new}: {reason}");
    }

    #[test]
    fn what_was_released_decides_before_the_versions() {
        use Mode::{Diff, Sync};
        check(&["1.0.0", "1.0.0"], None, None, "", Sync);
        check(&["1.0.0", "1.1.0"], None, None, "", Diff);
        check(&["1.1.0", "1.1.0"], Some("a@1.1.0"), None, "", Diff);
        check(&["1.1.0"], Some("a@1.1.0"), None, "", Sync);
        check(
            &["1.1.0", "1.1.0"],
            Some("a@1.0.0"),
            Some("v1.1.0"),
            "",
            Sync,
        );
        check(&["1.1.0", "0.0.0"], None, Some("v1.1.0"), "b", Sync);
        check(&["1.1.0", "0.0.0"], None, Some("v1.1.0"), "", Diff);
        check(&["1.1.0", "0.0.0"], None, Some("v1.0.0"), "b", Diff);
        check(
            &["1.1.0", "0.0.0"],
            Some("b@0.0.0"),
            Some("v1.1.0"),
            "b",
            Diff,
        );
        check(&["0.0.0", "0.1.0"], None, Some("v1.1.0"), "ab", Diff);
    }
}
