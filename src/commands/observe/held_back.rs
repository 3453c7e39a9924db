//! Packages whose dependencies were released without them, as a `filter` has it: what is published of them declares ranges that these have left.

use std::collections::HashMap;

use super::Observed;
use crate::changes::{Reason, Touched};
use crate::explain::Failure;
use crate::local::git::Repo;
use crate::name::CommitId;
use crate::plan::release::{Base, Effect, effect_of_leaving};
use crate::settings::Settings;
use crate::version::{Bump, Version};
use crate::workspace::package_json::PackageJson;
use crate::workspace::{Edge, Spec, range_in};

/// How far each package grows for such dependencies, in the workspace's order.
pub(super) fn held_back(
    observed: &Observed,
    bases: &[Base],
    touched: &[Touched],
    repo: &Repo,
    settings: &Settings,
) -> Result<Vec<Vec<(Bump, Reason)>>, Failure> {
    let members = &observed.workspace.packages;
    let mut then = Manifests {
        repo,
        read: HashMap::new(),
    };
    let mut found = vec![Vec::new(); members.len()];
    for edge in &observed.edges {
        let Some(from) = edge.from.filter(|from| !members[*from].kind.is_app()) else {
            continue;
        };
        let Effect::Grows(bump) = effect_of_leaving(edge.field, settings) else {
            continue;
        };
        let Some((base, to)) = later(observed, bases, from, edge.to) else {
            continue;
        };
        // A range that stands in the manifest is another one now, or it would not lead here.
        if matches!(edge.spec, Spec::Range(..)) && !touched[from].differs {
            continue;
        }
        let Some(version) = then.version(observed, edge.to, base)? else {
            continue;
        };
        let published = match &edge.spec {
            Spec::Range(..) => then.range(observed, edge, from, base)?,
            of_workspace => Some(of_workspace.effective(&version)),
        };
        let holds =
            |range: &String| range_in(&edge.key, range).is_none_or(|range| range.contains(to));
        if let Some(range) = published.filter(|range| !holds(range)) {
            let reason = Reason::Dependency {
                on: members[edge.to].name.to_string(),
                from: version,
                to: to.clone(),
                range: Some(range),
            };
            found[from].push((bump, reason));
        }
    }
    Ok(found)
}

/// The base of a package and the version of a dependency, where that was released later.
fn later<'o>(
    observed: &Observed,
    bases: &'o [Base],
    from: usize,
    to: usize,
) -> Option<(&'o CommitId, &'o Version)> {
    let (base, released) = (bases[from].commit()?, bases[to].commit()?);
    let version = bases[to].version()?;
    let is_later = observed.age(released)? < observed.age(base)?;
    is_later.then_some((base, version))
}

/// The manifests of packages at their bases, each read once.
struct Manifests<'r> {
    repo: &'r Repo,
    read: HashMap<(usize, CommitId), Option<PackageJson>>,
}

impl Manifests<'_> {
    /// `None` where there was none, or none that can be read: nothing can be told of it then.
    fn at(
        &mut self,
        observed: &Observed,
        index: usize,
        commit: &CommitId,
    ) -> Result<Option<&PackageJson>, Failure> {
        let key = (index, commit.clone());
        if !self.read.contains_key(&key) {
            let file = observed.workspace.packages[index].file();
            let text = self.repo.text(commit, &file)?;
            let manifest = text.and_then(|text| PackageJson::parse(file.as_str(), &text).ok());
            self.read.insert(key.clone(), manifest);
        }
        Ok(self.read[&key].as_ref())
    }

    fn version(
        &mut self,
        observed: &Observed,
        index: usize,
        commit: &CommitId,
    ) -> Result<Option<Version>, Failure> {
        let manifest = self.at(observed, index, commit)?;
        Ok(manifest.and_then(|manifest| manifest.version.clone()))
    }

    /// The text of the range that an edge stands for today.
    fn range(
        &mut self,
        observed: &Observed,
        edge: &Edge,
        index: usize,
        commit: &CommitId,
    ) -> Result<Option<String>, Failure> {
        let manifest = self.at(observed, index, commit)?;
        let spec = manifest.and_then(|manifest| manifest.spec(edge.field, &edge.key));
        Ok(spec.map(str::to_owned))
    }
}
