//! Versions that were decided before anything was built: what `version` leaves to `publish` and `release`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{deliver_unsealed, dist_tag};
use crate::apply::build::Packed;
use crate::apply::outcome::Deeds;
use crate::apply::publish::Tarballs;
use crate::changes::tag;
use crate::commands::scene::Scene;
use crate::commands::tarballs::{Built, Rebuilt};
use crate::commands::{Session, monorepo, preflight, rebuild};
use crate::explain::Failure;
use crate::name::{CommitId, Integrity, PackageName, TagName};
use crate::plan::next::{DecidedPackage, tag_of};
use crate::remote::registry::PublishedPackage;
use crate::report::release::Released;
use crate::settings::NpmPublish;
use crate::version::Version;
use crate::workspace::Workspace;
use crate::workspace::package::{Kind, Package};

/// A library whose version is decided, and what the registry holds of it.
struct Marked<'a> {
    package: &'a Package,
    version: Version,
    published: Option<PublishedPackage>,
}

impl Marked<'_> {
    fn is_lacking(&self) -> bool {
        let version = self.version.to_string();
        let published = self.published.as_ref();
        published.is_none_or(|published| !published.versions.contains_key(&version))
    }

    /// The bytes on the registry, where they were built from `commit`.
    fn made_of(&self, commit: &CommitId) -> Option<Integrity> {
        let published = self.published.as_ref()?;
        let version = published.versions.get(&self.version.to_string())?;
        let is_ours = version.git_head.as_deref() == Some(commit.as_str());
        let integrity = version.integrity.as_deref().filter(|_| is_ours)?;
        Integrity::parse(integrity).ok()
    }
}

/// Delivers what `version` decided before the newest release and nobody delivered, of the versions that the branch still holds. Gives the first
/// that waits for approval: what comes after it waits, too.
pub(super) async fn older(
    session: &Session<'_>,
    scene: &Scene<'_>,
    newest: Option<&CommitId>,
    deeds: &mut Deeds,
) -> Result<Option<Released>, Failure> {
    let open = scene.decisions.iter();
    let open =
        open.filter(|(commit, decision)| Some(*commit) != newest && decision.is_of_versions());
    let open = open.filter(|(commit, _)| !scene.is_given_up(commit));
    let mut open: Vec<_> = open.collect();
    // A rehearsal starts after everything that was decided before.
    let goes = session.settings.npm_publish != NpmPublish::None;
    if open.is_empty() || session.settled.is_some() || !goes {
        return Ok(None);
    }
    let history = session.repo.history(&scene.tip)?;
    open.retain(|(commit, _)| history.age(commit).is_some());
    open.sort_by_key(|(commit, _)| std::cmp::Reverse(history.age(commit)));
    let tip = monorepo::workspace_at(session.repo, &scene.tip, session.settings)?;
    let format = session.settings.tag_format.as_deref();
    for (commit, decision) in open {
        session.look_at(&tip);
        let libraries = tip.packages.iter();
        let libraries = libraries.filter(|package| package.kind == Kind::Library);
        let standing = libraries.filter_map(|package| {
            let version = package.version.as_ref()?;
            tag_of(&decision.tags, format, package.name.as_str(), version)?;
            Some((package, version.clone()))
        });
        let all = marked(session, standing.collect()).await?;
        let lacking = all.iter().filter(|marked| marked.is_lacking());
        let names: Vec<PackageName> = lacking.map(|marked| marked.package.name.clone()).collect();
        if !names.is_empty() {
            let workspace = session.workspace_at(commit)?;
            let release = (scene.branch.as_str(), commit);
            let released = deliver(session, release, &workspace, &names, deeds).await?;
            if released.is_pending() {
                return Ok(Some(released));
            }
        }
    }
    Ok(None)
}

/// Tells of the versions that `version` decided, that npm lacks and that nothing will deliver: a later decision gave their packages others.
pub(super) async fn tell_overtaken(
    session: &Session<'_>,
    scene: &Scene<'_>,
    newest: Option<&CommitId>,
) -> Result<(), Failure> {
    let history = session.repo.history(&scene.tip)?;
    let overtaken = scene.decisions.iter().filter(|(commit, decision)| {
        Some(*commit) != newest
            && decision.is_of_versions()
            && !scene.is_given_up(commit)
            && history.age(commit).is_some()
    });
    let mut overtaken: Vec<_> = overtaken.collect();
    if overtaken.is_empty() {
        return Ok(());
    }
    overtaken.sort_by_key(|(commit, _)| std::cmp::Reverse(history.age(commit)));
    let tip = session.workspace_at(&scene.tip)?;
    let libraries = tip.packages.iter();
    let libraries = libraries.filter(|package| package.kind == Kind::Library);
    let published = session
        .published(libraries.map(|package| &package.name))
        .await?;
    let format = session.settings.tag_format.as_deref();
    for (commit, decision) in overtaken {
        let lacking = lacking(&tip, &published, &decision.tags, format);
        if lacking.is_empty() {
            continue;
        }
        // One version of all names no package: what had it then tells.
        let then = monorepo::workspace_at(session.repo, commit, session.settings)?;
        for (package, version) in lacking {
            let had = then.package(&package.name);
            let had = had.and_then(|package| package.version.as_ref());
            let (name, now) = (&package.name, package.version.as_ref());
            if let Some(now) = now.filter(|_| had == Some(&version)) {
                tracing::info!(
                    "{name}@{version} is skipped: it was decided at {}, and {now} after it",
                    commit.short()
                );
            }
        }
    }
    Ok(())
}

/// The libraries that `tags` may give a version which the registry lacks and which is not theirs any more.
fn lacking<'w>(
    workspace: &'w Workspace,
    published: &BTreeMap<PackageName, PublishedPackage>,
    tags: &[TagName],
    format: Option<&str>,
) -> Vec<(&'w Package, Version)> {
    let mut lacking = Vec::new();
    for (name, version) in tags.iter().filter_map(|tag| tag::read_with(tag, format)) {
        let meant = workspace.packages.iter().filter(|package| {
            package.kind == Kind::Library
                && name.is_none_or(|name| name == package.name.as_str())
                && package.version.as_ref() != Some(&version)
        });
        let is_lacking = |package: &&Package| {
            let known = published.get(&package.name);
            known.is_none_or(|known| !known.versions.contains_key(&version.to_string()))
        };
        lacking.extend(
            meant
                .filter(is_lacking)
                .map(|package| (package, version.clone())),
        );
    }
    lacking
}

/// What the registry knows of versions that are decided.
async fn marked<'a>(
    session: &Session<'_>,
    versions: Vec<(&'a Package, Version)>,
) -> Result<Vec<Marked<'a>>, Failure> {
    let names = versions.iter().map(|(package, _)| &package.name);
    let mut published = session.published(names).await?;
    let marked = versions.into_iter().map(|(package, version)| Marked {
        package,
        version,
        published: published.remove(&package.name),
    });
    Ok(marked.collect())
}

/// Delivers the libraries `names` of the versions decided at a commit of a branch: builds them there, unless the registry holds what was built from it.
pub(super) async fn deliver(
    session: &Session<'_>,
    release: (&str, &CommitId),
    workspace: &Workspace,
    names: &[PackageName],
    deeds: &mut Deeds,
) -> Result<Released, Failure> {
    let (_, commit) = release;
    let mut meant = Vec::new();
    for name in names {
        let package = workspace.package(name);
        let version = package.and_then(|package| package.version.as_ref());
        if let (Some(package), Some(version)) = (package, version) {
            meant.push((package, version.clone()));
        }
    }
    let all = marked(session, meant).await?;
    let lacking = all.iter().filter(|marked| marked.is_lacking());
    let lacking: Vec<&str> = lacking.map(|marked| marked.package.name.as_str()).collect();
    preflight::credential_for(session, &lacking).await?;
    let is_known = all.iter().all(|marked| marked.made_of(commit).is_some());
    let packed = if is_known {
        None
    } else {
        let built = tokio::task::block_in_place(|| rebuild::rebuild(session, commit))?;
        Some(Arc::new(built))
    };
    let packages = decided(session, commit, &all, packed.as_deref());
    let tarballs: Box<dyn Tarballs + '_> = match &packed {
        Some(packed) => Box::new(Built::new(packed)),
        None => Box::new(Rebuilt::new(session, commit)),
    };
    deliver_unsealed(session, release, packages, tarballs.as_ref(), None, deeds).await
}

/// What is decided, with the bytes that the registry has from this commit, else those that were built.
fn decided(
    session: &Session<'_>,
    commit: &CommitId,
    all: &[Marked<'_>],
    packed: Option<&Packed>,
) -> BTreeMap<PackageName, DecidedPackage> {
    let mut packages = BTreeMap::new();
    for marked in all {
        let name = &marked.package.name;
        let built = packed.into_iter().flat_map(|packed| &packed.packages);
        let built = built.filter(|built| built.name == *name);
        let integrity = marked
            .made_of(commit)
            .or_else(|| built.map(|built| built.integrity.clone()).next());
        let Some(integrity) = integrity else { continue };
        let published = marked.published.as_ref();
        packages.insert(
            name.clone(),
            DecidedPackage {
                name: name.clone(),
                version: marked.version.clone(),
                dist_tag: dist_tag(session, marked.package, &marked.version, published),
                integrity,
            },
        );
    }
    packages
}
