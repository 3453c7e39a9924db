//! A package of the workspace.

use crate::name::{PackageName, RepoPath};
use crate::version::Version;
use crate::workspace::package_json::PackageJson;

/// A package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: PackageName,
    /// Its directory: what identifies it.
    pub directory: RepoPath,
    /// Its version; a package without one is neither versioned nor released.
    pub version: Option<Version>,
    /// What it becomes.
    pub kind: Kind,
    /// Its `package.json`.
    pub manifest: PackageJson,
    /// The text of its `package.json`.
    pub text: String,
}

/// What a package becomes when it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not private: goes to npm.
    Library,
    /// Private with `service/`, or declared by its `apps` entry: an archive that hosts run.
    Service,
    /// Declared by its `apps` entry: static files.
    Static,
    /// Private otherwise: only versioned.
    Private,
}

impl Kind {
    /// As it is written in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Library => "library",
            Kind::Service => "service",
            Kind::Static => "static",
            Kind::Private => "private",
        }
    }

    /// Whether environments can be pointed at it.
    pub fn is_app(self) -> bool {
        matches!(self, Kind::Service | Kind::Static)
    }
}

impl Package {
    /// The path of its `package.json`.
    pub fn file(&self) -> RepoPath {
        manifest_in(&self.directory)
    }
}

/// The root of a workspace with members. It need not have a name, and is never published.
#[derive(Debug, Clone)]
pub struct Root {
    /// Its directory: the workspace's.
    pub directory: RepoPath,
    /// What it is, as for [`Package::kind`].
    pub kind: Kind,
    /// Its `package.json`.
    pub manifest: PackageJson,
    /// The text of its `package.json`.
    pub text: String,
}

impl Root {
    /// The root as a package like the others; `None` where it has no name.
    pub fn package(&self) -> Option<Package> {
        Some(Package {
            name: self.manifest.name.clone()?,
            directory: self.directory.clone(),
            version: self.manifest.version.clone(),
            kind: self.kind,
            manifest: self.manifest.clone(),
            text: self.text.clone(),
        })
    }
}

/// A `package.json` of the workspace: a package's, or the root's.
#[derive(Debug, Clone, Copy)]
pub struct ManifestFile<'w> {
    /// The place of its package in the workspace; `None`: the root.
    pub index: Option<usize>,
    /// Its directory.
    pub directory: &'w RepoPath,
    /// What it says.
    pub manifest: &'w PackageJson,
    /// Its text.
    pub text: &'w str,
}

impl<'w> ManifestFile<'w> {
    /// Its path.
    pub fn file(&self) -> RepoPath {
        manifest_in(self.directory)
    }

    /// What messages call the package: its name, else its directory.
    pub fn shown(&self) -> &'w str {
        let name = self.manifest.name.as_ref();
        name.map_or(self.directory.display(), |name| name.as_str())
    }
}

pub(super) fn manifest_in(directory: &RepoPath) -> RepoPath {
    directory
        .join("package.json")
        .unwrap_or_else(|failure| unreachable!("a directory's package.json is a path: {failure}"))
}
