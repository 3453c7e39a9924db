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
        self.directory
            .join("package.json")
            .unwrap_or_else(|failure| {
                unreachable!("a directory's package.json is a path: {failure}")
            })
    }
}
