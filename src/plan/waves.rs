//! In which order decided packages are published.

use std::collections::BTreeMap;

use crate::explain::Failure;
use crate::name::PackageName;
use crate::plan::next::DecidedPackage;
use crate::workspace::Workspace;
use crate::workspace::package_json::DependencyField;

/// Sorts packages of `workspace` into waves: each depends on earlier waves only, as far as dependencies make no circle. Those of one wave may be published
/// side by side; devDependencies count for nothing.
///
/// # Errors
/// Those of [`Workspace::edges`].
pub fn in_waves(
    workspace: &Workspace,
    mut packages: BTreeMap<PackageName, DecidedPackage>,
) -> Result<Vec<Vec<DecidedPackage>>, Failure> {
    let names: Vec<PackageName> = packages.keys().cloned().collect();
    let place = |index: usize| {
        names
            .iter()
            .position(|name| *name == workspace.packages[index].name)
    };
    let dependencies: Vec<(usize, usize)> = workspace
        .edges()?
        .iter()
        .filter(|edge| edge.field != DependencyField::DevDependencies)
        .filter_map(|edge| Some((place(edge.from?)?, place(edge.to)?)))
        .collect();
    let waves = crate::workspace::graph::waves(names.len(), &dependencies);
    Ok(waves
        .into_iter()
        .map(|wave| {
            wave.into_iter()
                .filter_map(|number| packages.remove(&names[number]))
                .collect()
        })
        .collect())
}
