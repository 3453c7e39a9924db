//! The packages of `status`: what a checkout holds and what of it is not released yet.

use crate::commands::observe;
use crate::explain::Failure;
use crate::local::git::Repo;
use crate::plan::release::{Base, plan};
use crate::report::environments::PackageStatus;
use crate::settings::{Command, Settings};

/// The packages of the checkout that the settings name; none outside of one. Asks git alone, so a package without a tag counts as never released.
pub fn packages(settings: &Settings) -> Result<Vec<PackageStatus>, Failure> {
    let Ok(repo) = Repo::open(&settings.directory) else {
        return Ok(Vec::new());
    };
    let Ok(head) = repo.head() else {
        return Ok(Vec::new());
    };
    if repo.is_shallow()
        || repo
            .file(&head, &crate::name::RepoPath::parse("package.json")?)?
            .is_none()
    {
        return Ok(Vec::new());
    }
    let observed = observe::observe(&repo, &head, settings)?;
    let facts = observed.facts(&repo, settings)?;
    let planning = Settings {
        command: Command::Plan,
        ..settings.clone()
    };
    let planned = plan(&facts, &planning)?;
    let packages = facts.workspace.packages.iter().zip(&facts.packages);
    Ok(packages
        .map(|(package, known)| PackageStatus {
            name: package.name.to_string(),
            dir: package.directory.to_string(),
            version: package.version.as_ref().map(ToString::to_string),
            tag: match &known.base {
                Base::Tag { name, .. } => Some(name.to_string()),
                _ => None,
            },
            published: None,
            unreleased: known.touched.reasons.len() as u64,
            next: planned
                .packages
                .iter()
                .find(|planned| planned.name == package.name)
                .map(|planned| planned.to.to_string()),
        })
        .collect())
}
