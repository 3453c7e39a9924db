//! The files that a release commit changes: versions and left ranges in manifests, and the lockfile beside them.

use std::collections::BTreeMap;

use crate::explain::Failure;
use crate::name::RepoPath;
use crate::plan::release::{Plan, new_spec};
use crate::version::Version;
use crate::workspace::lockfile;
use crate::workspace::package_json::{self, Change, DependencyField};
use crate::workspace::{Edge, Workspace};

/// New texts by path, in order of path; files that stay as they are do not occur.
pub fn edits(
    workspace: &Workspace,
    edges: &[Edge],
    plan: &Plan,
) -> Result<Vec<(RepoPath, String)>, Failure> {
    let grown: BTreeMap<usize, (&Version, &Version)> = plan
        .packages
        .iter()
        .filter_map(|package| Some((package.index?, (&package.from, &package.to))))
        .collect();
    let mut changes: BTreeMap<Option<usize>, Vec<Change>> = BTreeMap::new();
    let mut versions: BTreeMap<RepoPath, Version> = BTreeMap::new();
    for package in &plan.packages {
        if package.is_written {
            changes
                .entry(package.index)
                .or_default()
                .push(Change::SetVersion(package.to.clone()));
            versions.insert(package.directory.clone(), package.to.clone());
        }
    }
    let mut specs: Vec<(RepoPath, DependencyField, String, String)> = Vec::new();
    for edge in edges {
        let Some((from, to)) = grown.get(&edge.to) else {
            continue;
        };
        let Some(spec) = new_spec(&edge.spec, from, to) else {
            continue;
        };
        changes.entry(edge.from).or_default().push(Change::SetSpec {
            field: edge.field,
            name: edge.key.clone(),
            spec: spec.clone(),
        });
        let directory = edge.from.map_or(&workspace.directory, |index| {
            &workspace.packages[index].directory
        });
        specs.push((directory.clone(), edge.field, edge.key.clone(), spec));
    }
    let mut edits = BTreeMap::new();
    for (index, changes) in changes {
        let Some(package) = index.map_or(workspace.root.as_ref(), |index| {
            workspace.packages.get(index)
        }) else {
            continue;
        };
        let file = package.file();
        let text = package_json::edit(file.as_str(), &package.text, &changes)?;
        edits.insert(file, text);
    }
    if let Some((path, text)) = &workspace.lockfile
        && (!versions.is_empty() || !specs.is_empty())
    {
        let edited = lockfile::npm::edit(path.as_str(), text, &versions, &specs)?;
        if edited != *text {
            edits.insert(path.clone(), edited);
        }
    }
    Ok(edits.into_iter().collect())
}
