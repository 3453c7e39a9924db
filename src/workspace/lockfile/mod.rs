//! Lockfiles, edited without calling a package manager: one function a question, whatever the manager.

pub mod bun;
pub mod closure;
pub mod npm;
pub mod pnpm;
mod problems;
pub mod yarn_berry;
pub mod yarn_classic;

use std::collections::BTreeMap;

use crate::explain::Failure;
use crate::name::RepoPath;
use crate::version::Version;
use crate::workspace::catalogs::{Catalogs, NewEntry};
use crate::workspace::manager::Manager;
use crate::workspace::package_json::{DependencyField, PackageJson};

/// The kinds of lockfiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockfileKind {
    /// `package-lock.json`.
    Npm,
    /// `npm-shrinkwrap.json`, which npm prefers to `package-lock.json`.
    Shrinkwrap,
    /// `pnpm-lock.yaml`.
    Pnpm,
    /// `yarn.lock` of yarn 1.
    YarnClassic,
    /// `yarn.lock` of yarn 2 and newer.
    YarnBerry,
    /// `bun.lock`.
    Bun,
}

impl LockfileKind {
    /// The names of lockfiles at the root of a workspace; where npm finds several, it takes the first.
    pub const FILE_NAMES: [&'static str; 5] = [
        "npm-shrinkwrap.json",
        "package-lock.json",
        "pnpm-lock.yaml",
        "yarn.lock",
        "bun.lock",
    ];

    /// The kind of a lockfile by its name; both generations of yarn use one name, so its text decides.
    #[must_use]
    pub fn of(name: &str, text: &str) -> Option<LockfileKind> {
        match name {
            "package-lock.json" => Some(LockfileKind::Npm),
            "npm-shrinkwrap.json" => Some(LockfileKind::Shrinkwrap),
            "pnpm-lock.yaml" => Some(LockfileKind::Pnpm),
            "yarn.lock" if text.lines().any(|line| line.starts_with("__metadata:")) => {
                Some(LockfileKind::YarnBerry)
            }
            "yarn.lock" => Some(LockfileKind::YarnClassic),
            "bun.lock" => Some(LockfileKind::Bun),
            _ => None,
        }
    }

    /// The name of the file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            LockfileKind::Npm => "package-lock.json",
            LockfileKind::Shrinkwrap => "npm-shrinkwrap.json",
            LockfileKind::Pnpm => "pnpm-lock.yaml",
            LockfileKind::YarnClassic | LockfileKind::YarnBerry => "yarn.lock",
            LockfileKind::Bun => "bun.lock",
        }
    }

    /// The command that installs exactly what the lockfile says.
    #[must_use]
    pub fn frozen_install(self) -> &'static str {
        match self {
            LockfileKind::Npm | LockfileKind::Shrinkwrap => "npm ci --no-audit --no-fund",
            LockfileKind::Pnpm => "pnpm install --frozen-lockfile",
            LockfileKind::YarnClassic => "yarn install --frozen-lockfile",
            LockfileKind::YarnBerry => "yarn install --immutable",
            LockfileKind::Bun => "bun install --frozen-lockfile",
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn manager(self) -> Manager {
        match self {
            LockfileKind::Npm | LockfileKind::Shrinkwrap => Manager::Npm,
            LockfileKind::Pnpm => Manager::Pnpm,
            LockfileKind::YarnClassic => Manager::YarnClassic,
            LockfileKind::YarnBerry => Manager::YarnBerry,
            LockfileKind::Bun => Manager::Bun,
        }
    }
}

/// The largest lockfile, in bytes.
pub const LIMIT: usize = 64 * 1024 * 1024;

/// A lockfile as it stands at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockfile {
    /// Its kind.
    pub kind: LockfileKind,
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its text.
    pub text: String,
}

/// The `package.json` files as they are before a release, the root's and all members', by directory below the workspace's root.
pub type Manifests<'a> = [(RepoPath, &'a PackageJson)];

/// A new spec of a declared dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSpec {
    /// The directory of the package that declares it, below the workspace's root.
    pub directory: RepoPath,
    /// The field it stands in.
    pub field: DependencyField,
    /// Its key there.
    pub name: String,
    /// What is written now.
    pub spec: String,
}

/// What a release changes in the `package.json` files; directories are below the workspace's root.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// New versions by directory.
    pub versions: BTreeMap<RepoPath, Version>,
    /// New specs of declared dependencies.
    pub specs: Vec<NewSpec>,
    /// New entries of catalogs.
    pub catalogs: Vec<NewEntry>,
}

impl Changes {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.specs.is_empty() && self.catalogs.is_empty()
    }
}

impl Lockfile {
    /// Checks that the lockfile agrees with the `package.json` files before a release.
    ///
    /// # Errors
    /// `workspace::lockfile_stale` for each disagreement, with what to run; those of the kind's own reader.
    pub fn check(
        &self,
        manifests: &Manifests<'_>,
        catalogs: Option<&Catalogs>,
    ) -> Result<(), Failure> {
        match self.kind {
            LockfileKind::Npm | LockfileKind::Shrinkwrap => {
                npm::check(self.path.as_str(), &self.text, manifests)
            }
            LockfileKind::Pnpm => pnpm::check(self.path.as_str(), &self.text, manifests, catalogs),
            LockfileKind::YarnClassic => {
                yarn_classic::check(self.path.as_str(), &self.text, manifests)
            }
            LockfileKind::YarnBerry => {
                yarn_berry::check(self.path.as_str(), &self.text, manifests, catalogs)
            }
            LockfileKind::Bun => bun::check(self.path.as_str(), &self.text, manifests, catalogs),
        }
    }

    /// The text after a release, as the manager itself would write it; manifests and catalogs are those before it.
    ///
    /// # Errors
    /// Those of the kind's own editor.
    pub fn edit(
        &self,
        manifests: &Manifests<'_>,
        catalogs: Option<&Catalogs>,
        changes: &Changes,
    ) -> Result<String, Failure> {
        match self.kind {
            LockfileKind::Npm | LockfileKind::Shrinkwrap => npm::edit(
                self.path.as_str(),
                &self.text,
                &changes.versions,
                &changes.specs,
            ),
            // yarn 1 writes nothing about workspaces.
            LockfileKind::YarnClassic => Ok(self.text.clone()),
            LockfileKind::Pnpm => pnpm::edit(self.path.as_str(), &self.text, manifests, changes),
            LockfileKind::YarnBerry => {
                let before = (manifests, catalogs);
                yarn_berry::edit(self.path.as_str(), &self.text, before, changes)
            }
            LockfileKind::Bun => bun::edit(self.path.as_str(), &self.text, changes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn new_spec(
        directory: &str,
        field: DependencyField,
        name: &str,
        spec: &str,
    ) -> NewSpec {
        NewSpec {
            directory: RepoPath::parse(directory).unwrap(),
            field,
            name: name.to_owned(),
            spec: spec.to_owned(),
        }
    }

    #[test]
    fn of_a_manifest_that_disagrees_everywhere_the_first_places_are_told() {
        let names: Vec<String> = (0..50)
            .map(|number| format!("\"a{number}\": \"1\""))
            .collect();
        let manifest = format!("{{\"dependencies\": {{{}}}}}", names.join(","));
        let manifest = PackageJson::parse("package.json", &manifest).unwrap();
        for (name, text) in [
            (
                "package-lock.json",
                r#"{"lockfileVersion": 3, "packages": {"": {}}}"#,
            ),
            (
                "pnpm-lock.yaml",
                "lockfileVersion: '9.0'\nimporters:\n  .: {}\n",
            ),
            ("yarn.lock", "# yarn lockfile v1\n"),
            (
                "yarn.lock",
                "__metadata:\n  version: 8\n\"r@workspace:.\":\n  resolution: \"r@workspace:.\"\n",
            ),
            (
                "bun.lock",
                r#"{"lockfileVersion": 2, "workspaces": {"": {},},}"#,
            ),
        ] {
            let lockfile = Lockfile {
                kind: LockfileKind::of(name, text).unwrap(),
                path: RepoPath::parse(name).unwrap(),
                text: text.to_owned(),
            };
            let manifests = [(RepoPath::root(), &manifest)];
            let failure = lockfile.check(&manifests, None).unwrap_err();
            let told: Vec<&str> = failure.each().map(Failure::what).collect();
            assert_eq!(told.len(), 21, "{:?} {told:?}", lockfile.kind);
            assert!(told[20].ends_with("has further disagreements"));
            assert!(
                failure
                    .each()
                    .all(|one| one.code() == "workspace::lockfile_stale")
            );
        }
    }
}
