//! The files that a release commit changes: versions and left ranges in manifests, and the lockfile beside them.

use std::collections::BTreeMap;

use crate::explain::Failure;
use crate::plan::release::{Edit, Facts, Plan, new_spec};
use crate::settings::Mode;
use crate::version::Version;
use crate::workspace::catalogs::NewEntry;
use crate::workspace::lockfile::NewSpec;
use crate::workspace::package_json::{self, Change};
use crate::workspace::{lerna, lockfile};

/// New texts by path, in order of path; files that stay as they are do not occur.
pub fn edits(facts: &Facts<'_>, plan: &Plan) -> Result<Vec<Edit>, Failure> {
    let workspace = facts.workspace;
    let (changes, lock_changes) = changes(facts, plan);
    let mut edits = BTreeMap::new();
    for manifest in workspace.manifests() {
        if let Some(changes) = changes.get(&manifest.index) {
            let file = manifest.file();
            let text = package_json::edit(file.as_str(), manifest.text, changes)?;
            edits.insert(file, text);
        }
    }
    if let Some(file) = &workspace.catalogs
        && !lock_changes.catalogs.is_empty()
    {
        // The root's package.json may have changed already.
        let text = edits.get(&file.path).unwrap_or(&file.text);
        let text = file.edit(text, &lock_changes.catalogs)?;
        edits.insert(file.path.clone(), text);
    }
    if let (Mode::Sync, Some(version), Some(lerna)) = (plan.mode, &plan.version, &workspace.lerna)
        && !edits.is_empty()
        && let Some(text) = lerna::with_version(lerna.path.as_str(), &lerna.text, version)?
        && text != lerna.text
    {
        edits.insert(lerna.path.clone(), text);
    }
    if let Some(lockfile) = &workspace.lockfile
        && !lock_changes.is_empty()
    {
        let text = lockfile.edit(
            &workspace.manifests_below(),
            workspace.catalogs(),
            &lock_changes,
        )?;
        if text != lockfile.text {
            edits.insert(lockfile.path.clone(), text);
        }
    }
    let edits = edits.into_iter();
    Ok(edits.map(|(path, text)| (path, Some(text))).collect())
}

/// What changes in manifests, by the package, `None` the root, and in the files beside them.
fn changes(
    facts: &Facts<'_>,
    plan: &Plan,
) -> (BTreeMap<Option<usize>, Vec<Change>>, lockfile::Changes) {
    let (workspace, edges) = (facts.workspace, facts.edges);
    let grown: BTreeMap<usize, (&Version, &Version)> = plan
        .packages
        .iter()
        .filter_map(|package| Some((package.index?, (&package.from, &package.to))))
        .collect();
    let mut changes: BTreeMap<Option<usize>, Vec<Change>> = BTreeMap::new();
    let mut lock_changes = lockfile::Changes::default();
    for package in &plan.packages {
        if package.is_written {
            changes
                .entry(package.index)
                .or_default()
                .push(Change::SetVersion(package.to.clone()));
            let directory = workspace.inside(&package.directory);
            lock_changes.versions.insert(directory, package.to.clone());
        }
    }
    for edge in edges {
        let Some((from, to)) = grown.get(&edge.to) else {
            continue;
        };
        let released = edge.from.is_some_and(|from| grown.contains_key(&from));
        let spec = if plan.is_snapshot {
            edge.spec.pinned(to)
        } else {
            new_spec(&edge.spec, from, to, released)
        };
        let Some(spec) = spec else {
            continue;
        };
        if let Some(catalog) = &edge.catalog {
            let entry = NewEntry {
                catalog: catalog.clone(),
                name: edge.key.clone(),
                range: spec,
            };
            if !lock_changes.catalogs.contains(&entry) {
                lock_changes.catalogs.push(entry);
            }
            continue;
        }
        changes.entry(edge.from).or_default().push(Change::SetSpec {
            field: edge.field,
            name: edge.key.clone(),
            spec: spec.clone(),
        });
        let directory = edge.from.map_or(&workspace.directory, |index| {
            &workspace.packages[index].directory
        });
        lock_changes.specs.push(NewSpec {
            directory: workspace.inside(directory),
            field: edge.field,
            name: edge.key.clone(),
            spec,
        });
    }
    (changes, lock_changes)
}
