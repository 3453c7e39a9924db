//! What stands at a released commit, read from its tree and tags.

use std::collections::BTreeMap;

use crate::commands::{Session, decisions, monorepo};
use crate::explain::Failure;
use crate::name::{CommitId, PackageName, Variant};
use crate::plan::next::{DecidedPackage, Marked};
use crate::release::layout;
use crate::release::seal::SealedApp;
use crate::report::release::{Released, ReleasedApp, ReleasedPackage};
use crate::version::{Bump, Version};
use crate::workspace::Workspace;

/// What was released at `commit`, for the report. `base` is the commit it was planned on; `libraries` and `apps` are what was decided besides versions.
pub fn released(
    session: &Session<'_>,
    commit: &CommitId,
    base: &str,
    libraries: &[DecidedPackage],
    apps: &[SealedApp],
) -> Result<Released, Failure> {
    let base = CommitId::parse(base)?;
    let before = match monorepo::workspace_at(session.repo, &base, session.settings) {
        Ok(workspace) => versions(&workspace),
        Err(failure) => {
            // Everything is done: what is told of it is told without the versions before.
            tracing::warn!("the versions before the release cannot be told: {failure}");
            BTreeMap::new()
        }
    };
    released_upon(session, commit, base, &before, libraries, apps)
}

/// The versions of packages.
pub type Versions = BTreeMap<PackageName, Version>;

/// The same, where the versions at `base` are known already.
pub fn released_upon(
    session: &Session<'_>,
    commit: &CommitId,
    base: CommitId,
    before: &Versions,
    libraries: &[DecidedPackage],
    apps: &[SealedApp],
) -> Result<Released, Failure> {
    let workspace = monorepo::workspace_at(session.repo, commit, session.settings)?;
    let tags = decisions::tags_at(session.repo, commit)?;
    let format = session.settings.tag_format.as_deref();
    let marked = Marked::read(&tags, format);
    let mut packages = Vec::new();
    for package in &workspace.packages {
        let Some(to) = package.version.clone() else {
            continue;
        };
        let Some(tag) = marked.tag(package.name.as_str(), &to).cloned() else {
            continue;
        };
        let library = libraries
            .iter()
            .find(|library| library.name == package.name);
        let from = before
            .get(&package.name)
            .cloned()
            .unwrap_or_else(|| to.clone());
        packages.push(ReleasedPackage {
            name: package.name.clone(),
            directory: package.directory.clone(),
            kind: package.kind,
            bump: grown(&from, &to),
            from,
            tag,
            dist_tag: library.map(|library| library.dist_tag.clone()),
            published: library.is_some(),
            url: library.map(|library| url_of(session, &library.name)),
            integrity: library.map(|library| library.integrity.to_string()),
            to,
        });
    }
    let first = packages.first().map(|first| first.to.clone());
    Ok(Released {
        id: session.release_id(commit)?,
        commit: commit.clone(),
        base,
        tags,
        version: first.filter(|version| packages.iter().all(|package| package.to == *version)),
        packages,
        apps: apps
            .iter()
            .map(released_app)
            .collect::<Result<_, Failure>>()?,
        manifest: None,
        pointers: Vec::new(),
        pending: Vec::new(),
    })
}

/// The address of a package on its registry.
pub(super) fn url_of(session: &Session<'_>, name: &PackageName) -> String {
    let registry = session.remotes.registry.describe_of(name);
    format!("{}/{name}", registry.trim_end_matches('/'))
}

/// The versions of a workspace's packages.
pub fn versions(workspace: &Workspace) -> Versions {
    let packages = workspace.packages.iter();
    packages
        .filter_map(|package| Some((package.name.clone(), package.version.clone()?)))
        .collect()
}

fn released_app(app: &SealedApp) -> Result<ReleasedApp, Failure> {
    let name = PackageName::parse(&app.name)?;
    let version = Version::parse(&app.version)?;
    let variant = Variant::parse(&app.variant)?;
    let archive = app.archive.as_ref().map(|archive| {
        let encoding = archive.known_encoding()?;
        let key = layout::archive(&name, &version, &variant, encoding).to_string();
        Ok::<_, Failure>((key, archive.digest.clone()))
    });
    let archive = archive.transpose()?;
    Ok(ReleasedApp {
        manifest: layout::app(&name, &version, &variant).to_string(),
        name,
        version,
        variant,
        archive,
    })
}

/// How far a version grew; `None` when it is the same.
fn grown(from: &Version, to: &Version) -> Option<Bump> {
    if from == to {
        None
    } else if from.major() != to.major() {
        Some(Bump::Major)
    } else if from.minor() != to.minor() {
        Some(Bump::Minor)
    } else {
        Some(Bump::Patch)
    }
}
