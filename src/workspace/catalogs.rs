//! Catalogs: ranges that a workspace keeps in `pnpm-workspace.yaml`, and packages name as `catalog:`.

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;

/// Catalogs by name, and in each of them ranges by package; `catalog` is the one called `default`.
pub type Catalogs = BTreeMap<String, BTreeMap<String, String>>;

/// A file with catalogs as it stands at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its text.
    pub text: String,
    /// What it says.
    pub catalogs: Catalogs,
}

/// A new range in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The catalog.
    pub catalog: String,
    /// The package.
    pub name: String,
    /// What is written now.
    pub range: String,
}

/// The name of the catalog that a spec speaks of; `None` where it is no `catalog:`.
///
/// ```
/// use pkgs_action::workspace::catalogs::named;
/// assert_eq!(named("catalog:"), Some("default"));
/// assert_eq!(named("catalog:old"), Some("old"));
/// assert_eq!(named("^1.0.0"), None);
/// ```
#[must_use]
pub fn named(spec: &str) -> Option<&str> {
    match spec.strip_prefix("catalog:")?.trim() {
        "" => Some("default"),
        name => Some(name),
    }
}

/// What a `catalog:` spec of the package `name` stands for.
#[must_use]
pub fn entry<'c>(catalogs: &'c Catalogs, name: &str, spec: &str) -> Option<&'c str> {
    let catalog = catalogs.get(named(spec)?)?;
    catalog.get(name).map(String::as_str)
}

/// The failure of a `catalog:` that no catalog answers.
pub(crate) fn unknown(spec: &str, name: &str, place: Place) -> Failure {
    let name = quoted(name);
    let what = format!("no catalog has an entry for {name} as {}", quoted(spec));
    Failure::new(Exit::Refused, "workspace::catalog", what)
        .because("`catalog` and `catalogs` of pnpm-workspace.yaml are read")
        .place(place)
        .hint(format!("add {name} to the catalog, or write a range"))
}

/// The failure of a `catalog:` that stands for a package of the workspace, where no catalogs were read.
pub(crate) fn unread(spec: &str, name: &str, place: Place) -> Failure {
    let what = format!("what {} is as {} is not known", quoted(name), quoted(spec));
    Failure::new(Exit::Refused, "workspace::catalog", what)
        .because("catalogs are read from pnpm-workspace.yaml alone, not yet from .yarnrc.yml and package.json")
        .place(place)
        .hint("it is a package of the workspace: write \"workspace:^\", or a range")
}
