//! Ranges of what is published: each must be met by a version of this release, of an earlier one, or of the registry. What nothing here shows
//! to be met, the registry is asked about, once for each name.

use std::collections::{BTreeMap, HashMap};

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::{PackageName, RepoPath};
use crate::plan::release::{Base, Plan, PlannedPackage};
use crate::version::Version;
use crate::version::range::Range;
use crate::workspace::catalogs::{self, Catalogs};
use crate::workspace::package::{Kind, Package};
use crate::workspace::package_json::{Dependency, DependencyField};
use crate::workspace::{Workspace, parts};

/// A range that nothing in the repository shows to be met.
#[derive(Debug, Clone)]
pub struct OpenRange {
    /// The package that it is a range of.
    pub name: PackageName,
    /// What that package is here.
    pub owner: Owner,
    file: RepoPath,
    field: DependencyField,
    key: String,
    spec: String,
    range: Range,
}

/// What a package that is depended on is to the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// No part of it.
    Elsewhere,
    /// A part of it that is never published.
    Private,
    /// A part of it that this release publishes, at a version that does not fit.
    Released,
    /// A part of it that this release leaves out.
    LeftOut,
}

/// The ranges of the packages that a plan publishes, of which neither the plan nor what was released before shows a version that meets them.
/// `bases` are what the packages of the workspace are measured from, in its order. Nothing here shows anything of packages from elsewhere, which
/// are left out unless `with_others`.
///
/// What is bundled, for development, or an optional peer is installed by nobody, and dist-tags and addresses are no ranges. Of a package
/// whose base a person named (`base`), its version is taken for released.
pub fn open(
    workspace: &Workspace,
    plan: &Plan,
    bases: &[Base],
    with_others: bool,
) -> Vec<OpenRange> {
    let none = Catalogs::new();
    let catalogs = workspace.catalogs().unwrap_or(&none);
    let planned = plan.packages.iter();
    let planned: HashMap<&PackageName, &PlannedPackage> =
        planned.map(|package| (&package.name, package)).collect();
    let mut open = Vec::new();
    let libraries = plan.packages.iter();
    let libraries = libraries.filter(|package| package.kind == Kind::Library);
    for package in libraries.filter_map(|package| workspace.package(&package.name)) {
        for dependency in &package.manifest.dependencies {
            if !is_installed(package, dependency) {
                continue;
            }
            let listed = catalogs::entry(catalogs, &dependency.name, &dependency.spec);
            let spec = listed.unwrap_or(&dependency.spec);
            let Some((name, _, text)) = parts(&dependency.name, spec) else {
                continue;
            };
            let position = workspace.position(name);
            if position.is_none() && !with_others {
                continue;
            }
            let Ok(name) = PackageName::parse(name) else {
                continue;
            };
            let beside = position.map(|at| (&workspace.packages[at], bases.get(at)));
            let Some(range) = range_of(text, beside.and_then(|(one, _)| one.version.as_ref()))
            else {
                continue;
            };
            let owner = match beside {
                None => Owner::Elsewhere,
                Some((one, base)) => {
                    let Some(owner) = unmet(one, base, planned.get(&name).copied(), &range) else {
                        continue;
                    };
                    owner
                }
            };
            open.push(OpenRange {
                name,
                owner,
                file: package.file(),
                field: dependency.field,
                key: dependency.name.clone(),
                spec: dependency.spec.clone(),
                range,
            });
        }
    }
    open
}

/// Whether who installs a package gets this dependency from a registry.
fn is_installed(package: &Package, dependency: &Dependency) -> bool {
    let manifest = &package.manifest;
    let is_optional = || manifest.optional_peers.contains(&dependency.name);
    match dependency.field {
        DependencyField::DevDependencies => false,
        DependencyField::PeerDependencies => !is_optional(),
        DependencyField::Dependencies | DependencyField::OptionalDependencies => {
            !manifest.bundled.contains(&dependency.name)
        }
    }
}

/// A range, where a package of the workspace at `beside` is meant by `^` and `~`.
fn range_of(text: &str, beside: Option<&Version>) -> Option<Range> {
    match (text, beside) {
        ("^" | "~", Some(version)) => Range::parse(&format!("{text}{version}")).ok(),
        (text, _) => Range::parse(text).ok(),
    }
}

/// What a package of the workspace is, where no version of it that is or will be published is known to meet a range.
fn unmet(
    package: &Package,
    base: Option<&Base>,
    planned: Option<&PlannedPackage>,
    range: &Range,
) -> Option<Owner> {
    if package.kind != Kind::Library {
        return Some(Owner::Private);
    }
    let meets = |version: &Version| range.contains(version);
    let stands = package.version.as_ref().is_some_and(meets);
    let was_released = match base {
        Some(Base::Asked(_)) => stands,
        Some(base) => base.version().is_some_and(meets),
        None => false,
    };
    match planned {
        _ if was_released => None,
        // What the version that stands there meets follows to the next one.
        Some(planned) => (!stands && !meets(&planned.to)).then_some(Owner::Released),
        None => {
            let is_elsewhere = package.manifest.publish_config.registry.is_some();
            (!is_elsewhere).then_some(Owner::LeftOut)
        }
    }
}

/// Refuses ranges that no version meets. `published` are the versions that registries have, by package, and `registry` tells a package's own; with
/// `is_whole`, a package without a scope that is not there is nowhere. A scope may have a registry of its own.
///
/// # Errors
/// `plan::range_unpublished`, exit 3, for each.
pub fn require_met(
    open: &[OpenRange],
    published: &BTreeMap<PackageName, Vec<Version>>,
    registry: impl Fn(&PackageName) -> String,
    is_whole: bool,
) -> Result<(), Failure> {
    let failures = open.iter().filter_map(|one| {
        let versions = published.get(&one.name);
        let may_be_elsewhere = !is_whole || one.name.scope().is_some();
        let is_met = versions.map_or(
            one.owner == Owner::Elsewhere && may_be_elsewhere,
            |versions| versions.iter().any(|version| one.range.contains(version)),
        );
        (!is_met).then(|| unpublished(one, versions, &registry(&one.name)))
    });
    Failure::all(failures.collect()).map_or(Ok(()), Err)
}

fn unpublished(one: &OpenRange, versions: Option<&Vec<Version>>, registry: &str) -> Failure {
    let OpenRange {
        name,
        file,
        field,
        key,
        spec,
        ..
    } = one;
    let what = format!(
        "{} in {field} of {file} is {}, and neither this release nor the registry has such a version",
        quoted(key),
        quoted(spec)
    );
    let highest = versions.and_then(|versions| versions.iter().max());
    let why = match highest {
        Some(highest) => format!("the highest version of {name} at {registry} is {highest}"),
        None => format!("{registry} does not know {name}"),
    };
    let hint = match one.owner {
        Owner::Private => format!(
            "{name} is private and never published: bundle it (bundleDependencies), make it a devDependency, or take `private` out of its package.json"
        ),
        Owner::LeftOut => {
            format!(
                "release {name} as well (`filter` and `ignore` leave packages out), or write a range of what is published"
            )
        }
        Owner::Released | Owner::Elsewhere => "write a range of what is published".to_owned(),
    };
    Failure::new(Exit::Refused, "plan::range_unpublished", what)
        .because(why)
        .because("who installs the package would get an error")
        .hint(hint)
        .place(Place::file(file.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{CommitId, TagName};

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn only_ranges_are_asked_about() {
        assert!(range_of("latest", None).is_none());
        assert!(range_of("github:b/b", None).is_none());
        assert!(range_of("1 || 2", None).is_some());
        let caret = range_of("^", Some(&version("1.2.0"))).unwrap();
        assert!(caret.contains(&version("1.3.0")) && !caret.contains(&version("1.1.0")));
    }

    #[test]
    fn what_was_released_or_will_be_meets_a_range() {
        let manifest = |kind, text: &str| Package {
            name: PackageName::parse("b").unwrap(),
            directory: RepoPath::parse("b").unwrap(),
            version: Some(version("1.2.0")),
            kind,
            manifest: crate::workspace::package_json::PackageJson::parse("b", text).unwrap(),
            text: text.to_owned(),
        };
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let tag = |text: &str| Base::Tag {
            name: TagName::parse("b@1").unwrap(),
            commit: commit.clone(),
            version: version(text),
        };
        let library = manifest(Kind::Library, "{}");
        let check = |package: &Package, base: Base, range: &str, expected| {
            let range = Range::parse(range).unwrap();
            assert_eq!(unmet(package, Some(&base), None, &range), expected);
        };
        check(&library, tag("1.2.0"), "^1.0.0", None);
        check(&library, tag("1.1.0"), "1.2.0", Some(Owner::LeftOut));
        check(&library, tag("1.2.0"), "^2.0.0", Some(Owner::LeftOut));
        check(&library, Base::First, "^1.0.0", Some(Owner::LeftOut));
        check(&library, Base::Asked(commit.clone()), "^1.0.0", None);
        let other = r#"{"publishConfig": {"registry": "https://npm.example/"}}"#;
        check(&manifest(Kind::Library, other), Base::First, "^1.0.0", None);
        let private = manifest(Kind::Private, "{}");
        check(&private, tag("1.2.0"), "^1.0.0", Some(Owner::Private));
    }

    #[test]
    fn a_range_is_met_by_what_the_registry_has() {
        let check = |owner, name: &str, range: &str, published: Option<&[&str]>, whole, met| {
            let open = OpenRange {
                name: PackageName::parse(name).unwrap(),
                owner,
                file: RepoPath::parse("a/package.json").unwrap(),
                field: DependencyField::Dependencies,
                key: name.to_owned(),
                spec: range.to_owned(),
                range: Range::parse(range).unwrap(),
            };
            let versions = published.map(|all| all.iter().map(|text| version(text)).collect());
            let published = versions.map(|versions| (open.name.clone(), versions));
            let result = require_met(
                &[open],
                &published.into_iter().collect(),
                |_| "r".to_owned(),
                whole,
            );
            assert_eq!(result.is_ok(), met, "{owner:?} {name} {range}");
        };
        for owner in [
            Owner::Elsewhere,
            Owner::Private,
            Owner::Released,
            Owner::LeftOut,
        ] {
            check(owner, "b", "^1.0.0", Some(&["0.9.0", "1.1.0"]), false, true);
            check(
                owner,
                "b",
                "^1.0.0",
                Some(&["2.0.0", "1.1.0-rc.1"]),
                false,
                false,
            );
            check(owner, "b", "*", Some(&[]), false, false);
        }
        check(Owner::Elsewhere, "b", "^1.0.0", None, true, false);
        check(Owner::Elsewhere, "b", "^1.0.0", None, false, true);
        check(Owner::Elsewhere, "@b/b", "^1.0.0", None, true, true);
        check(Owner::Private, "@b/b", "^1.0.0", None, false, false);
        check(Owner::LeftOut, "b", "^1.0.0", None, true, false);
    }
}
