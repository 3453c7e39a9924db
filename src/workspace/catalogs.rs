//! Catalogs: ranges that a workspace keeps in one place, and packages name as `catalog:`.

pub mod package_json;
pub mod yaml;

use std::collections::BTreeMap;

use crate::explain::{Exit, Failure, Place, quoted};
use crate::name::RepoPath;
use crate::workspace::manager::Manager;

/// Catalogs by name, and in each of them ranges by package; `catalog` is the one called `default`.
pub type Catalogs = BTreeMap<String, BTreeMap<String, String>>;

/// Which file of the workspace's root keeps the catalogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// `pnpm-workspace.yaml`.
    PnpmWorkspace,
    /// `.yarnrc.yml` of yarn 4.10 and newer.
    YarnRc,
    /// `package.json`, as bun reads it.
    PackageJson,
}

impl Keeper {
    /// The file that a package manager reads catalogs from; `None` where it has none.
    #[must_use]
    pub fn of(manager: Manager) -> Option<Keeper> {
        match manager {
            Manager::Pnpm => Some(Keeper::PnpmWorkspace),
            Manager::YarnBerry => Some(Keeper::YarnRc),
            Manager::Bun => Some(Keeper::PackageJson),
            Manager::Npm | Manager::YarnClassic => None,
        }
    }

    /// The name of the file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Keeper::PnpmWorkspace => "pnpm-workspace.yaml",
            Keeper::YarnRc => ".yarnrc.yml",
            Keeper::PackageJson => "package.json",
        }
    }
}

/// A file with catalogs as it stands at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Which file it is.
    pub keeper: Keeper,
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its text.
    pub text: String,
    /// What it says.
    pub catalogs: Catalogs,
}

impl CatalogFile {
    /// Reads it.
    ///
    /// # Errors
    /// Those of [`yaml::read`] and [`package_json::read`].
    pub fn read(keeper: Keeper, path: RepoPath, text: String) -> Result<CatalogFile, Failure> {
        let catalogs = catalogs_in(keeper, &path, &text)?;
        Ok(CatalogFile {
            keeper,
            path,
            text,
            catalogs,
        })
    }

    /// The catalogs in another text of the same file.
    ///
    /// # Errors
    /// Those of [`CatalogFile::read`].
    pub fn catalogs_in(&self, text: &str) -> Result<Catalogs, Failure> {
        catalogs_in(self.keeper, &self.path, text)
    }

    /// `text`, another one of the same file, with new ranges; every other byte stays.
    ///
    /// # Errors
    /// Those of [`yaml::edit`] and [`package_json::edit`].
    pub fn edit(&self, text: &str, new: &[NewEntry]) -> Result<String, Failure> {
        let file = self.path.as_str();
        match self.keeper {
            Keeper::PnpmWorkspace | Keeper::YarnRc => yaml::edit(file, text, new),
            Keeper::PackageJson => package_json::edit(file, text, new),
        }
    }
}

fn catalogs_in(keeper: Keeper, path: &RepoPath, text: &str) -> Result<Catalogs, Failure> {
    match keeper {
        Keeper::PnpmWorkspace | Keeper::YarnRc => yaml::read(path.as_str(), text),
        Keeper::PackageJson => package_json::read(path.as_str(), text),
    }
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

/// The failure of a `catalog:` that no catalog of `file` answers.
pub(crate) fn unknown(file: &CatalogFile, spec: &str, name: &str, place: Place) -> Failure {
    let name = quoted(name);
    let what = format!("no catalog has an entry for {name} as {}", quoted(spec));
    Failure::new(Exit::Refused, "workspace::catalog", what)
        .because(format!(
            "`catalog` and `catalogs` of {} are read",
            file.path
        ))
        .place(place)
        .hint(format!("add {name} to the catalog, or write a range"))
}

/// The failure of a `catalog:` that stands for a package of the workspace, where there are no catalogs.
pub(crate) fn absent(manager: Manager, spec: &str, name: &str, place: Place) -> Failure {
    let what = format!("what {} is as {} is not known", quoted(name), quoted(spec));
    let because = match Keeper::of(manager) {
        Some(keeper) => format!("{manager} reads catalogs from {}", keeper.file_name()),
        None => format!("{manager} has no catalogs"),
    };
    Failure::new(Exit::Refused, "workspace::catalog", what)
        .because(because)
        .place(place)
        .hint("it is a package of the workspace: write a range")
}

/// The failure of a range that cannot be changed where it stands.
fn refuse(file: &str, what: &str, because: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        "workspace::catalog_edit",
        format!("{what} in {file} cannot be changed"),
    )
    .because(because)
    .place(Place::file(file))
    .hint("write the range itself, without an anchor, after the package's name")
}
