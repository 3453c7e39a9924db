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
use crate::workspace::catalogs::{self, Catalogs};
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
    let mut then = Then {
        observed,
        repo,
        manifests: HashMap::new(),
        catalogs: HashMap::new(),
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
        let is_own = edge.catalog.is_none() && matches!(edge.spec, Spec::Range(..));
        if is_own && !touched[from].differs {
            continue;
        }
        let Some(version) = then.version(edge.to, base)? else {
            continue;
        };
        let published = then.range(edge, from, base, &version)?;
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

/// The base of a package and the version of a dependency, where that was released later. A prerelease pulls nobody, and where manifests do not
/// hold what was released, nothing tells what their ranges were.
fn later<'o>(
    observed: &Observed,
    bases: &'o [Base],
    from: usize,
    to: usize,
) -> Option<(&'o CommitId, &'o Version)> {
    let (base, released) = (bases[from].commit()?, bases[to].commit()?);
    let version = bases[to].version()?;
    let is_later = observed.age(released)? < observed.age(base)?;
    let counts = !version.is_prerelease()
        && observed.workspace.packages[to].version.as_ref() >= Some(version);
    (is_later && counts).then_some((base, version))
}

/// What packages and catalogs said at the packages' bases, each read once.
struct Then<'o> {
    observed: &'o Observed,
    repo: &'o Repo,
    manifests: HashMap<(usize, CommitId), Option<PackageJson>>,
    catalogs: HashMap<CommitId, Option<Catalogs>>,
}

impl Then<'_> {
    /// `None` where there was no manifest, or none that can be read: nothing can be told of it then.
    fn manifest(
        &mut self,
        index: usize,
        commit: &CommitId,
    ) -> Result<Option<&PackageJson>, Failure> {
        let key = (index, commit.clone());
        if !self.manifests.contains_key(&key) {
            let file = self.observed.workspace.packages[index].file();
            let text = self.repo.text(commit, &file)?;
            let manifest = text.and_then(|text| PackageJson::parse(file.as_str(), &text).ok());
            // Another package may have been in its place.
            let name = &self.observed.workspace.packages[index].name;
            let manifest = manifest.filter(|manifest| manifest.name.as_ref() == Some(name));
            self.manifests.insert(key.clone(), manifest);
        }
        Ok(self.manifests[&key].as_ref())
    }

    fn catalogs(&mut self, commit: &CommitId) -> Result<Option<&Catalogs>, Failure> {
        let Some(file) = &self.observed.workspace.catalogs else {
            return Ok(None);
        };
        if !self.catalogs.contains_key(commit) {
            let text = self.repo.text(commit, &file.path)?;
            let catalogs = text.and_then(|text| file.catalogs_in(&text).ok());
            self.catalogs.insert(commit.clone(), catalogs);
        }
        Ok(self.catalogs[commit].as_ref())
    }

    fn version(&mut self, index: usize, commit: &CommitId) -> Result<Option<Version>, Failure> {
        let manifest = self.manifest(index, commit)?;
        Ok(manifest.and_then(|manifest| manifest.version.clone()))
    }

    /// The range that the package published where an edge stands today, while the dependency was at `version`.
    fn range(
        &mut self,
        edge: &Edge,
        index: usize,
        commit: &CommitId,
        version: &Version,
    ) -> Result<Option<String>, Failure> {
        let manifest = self.manifest(index, commit)?;
        let declared = manifest.and_then(|manifest| manifest.spec(edge.field, &edge.key));
        let Some(declared) = declared.map(str::to_owned) else {
            return Ok(None);
        };
        let spec = if catalogs::named(&declared).is_some() {
            let catalogs = self.catalogs(commit)?;
            catalogs.and_then(|catalogs| catalogs::entry(catalogs, &edge.key, &declared))
        } else {
            Some(declared.as_str())
        };
        Ok(spec.map(|spec| match spec.strip_prefix("workspace:") {
            Some("*" | "") => Spec::WorkspaceExact.effective(version),
            Some("^") => Spec::WorkspaceCaret.effective(version),
            Some("~") => Spec::WorkspaceTilde.effective(version),
            _ => spec.to_owned(),
        }))
    }
}
