//! What changed of each app's production closure in the lockfile since its base. Reads what is to be compared, and only where it differs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Observed;
use crate::commands::monorepo;
use crate::explain::Failure;
use crate::local::git::Repo;
use crate::local::source::AtCommit;
use crate::name::{CommitId, RepoPath};
use crate::plan::release::Base;
use crate::settings::Settings;
use crate::workspace::graph::Reached;
use crate::workspace::lockfile::Lockfile;
use crate::workspace::lockfile::closure::{Graph, changed};
use crate::workspace::package::ManifestFile;
use crate::workspace::package_json::{DependencyField, PackageJson};

/// Reads lockfiles with the `package.json` files beside them, each once.
struct Locked<'o> {
    observed: &'o Observed,
    repo: &'o Repo,
    settings: &'o Settings,
    lockfile: &'o Lockfile,
    now: Option<Graph>,
    /// By commit; `None` where it could not be read.
    then: BTreeMap<&'o CommitId, Option<Graph>>,
}

/// For each package the names that differ in what it runs with; only apps are judged. Where only one side can be read, the lockfile itself
/// is named; where neither can, nothing tells that it changed.
pub(super) fn changes(
    observed: &Observed,
    bases: &[Base],
    repo: &Repo,
    settings: &Settings,
) -> Result<Vec<BTreeSet<String>>, Failure> {
    let members = &observed.workspace.packages;
    let mut found = vec![BTreeSet::new(); members.len()];
    let Some(lockfile) = &observed.workspace.lockfile else {
        return Ok(found);
    };
    let mut locked = Locked {
        observed,
        repo,
        settings,
        lockfile,
        now: None,
        then: BTreeMap::new(),
    };
    for (index, package) in members.iter().enumerate() {
        let base = bases[index].commit().filter(|_| package.kind.is_app());
        let Some(base) = base else { continue };
        if locked.is_as_it_was(base, index)? {
            continue;
        }
        let directory = observed.workspace.inside(&package.directory);
        let then = locked
            .then(base)?
            .and_then(|graph| graph.installed(&directory));
        let now = locked.now()?.installed(&directory);
        found[index] = match (then, now) {
            (Some(then), Some(now)) => changed(&then, &now),
            (None, None) => BTreeSet::new(),
            _ => BTreeSet::from([lockfile.path.to_string()]),
        };
    }
    Ok(found)
}

impl<'o> Locked<'o> {
    /// Whether everything that tells what an app runs with is the same as at its base.
    fn is_as_it_was(&self, base: &CommitId, app: usize) -> Result<bool, Failure> {
        let is_same = |path: &RepoPath| {
            let then = self.repo.object_at(base, path)?;
            Ok::<bool, Failure>(then == self.repo.object_at(&self.observed.head, path)?)
        };
        if !is_same(&self.lockfile.path)? {
            return Ok(false);
        }
        if !self.lockfile.kind.needs_manifests() {
            return Ok(true);
        }
        let workspace = &self.observed.workspace;
        let root = workspace.directory.join("package.json")?;
        let uses = self.production_uses(app).into_iter();
        let uses = uses.map(|index| workspace.packages[index].file());
        for path in uses.chain([root]) {
            if !is_same(&path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An app and the packages of the workspace that it uses in production, near or far.
    fn production_uses(&self, app: usize) -> BTreeSet<usize> {
        let mut outgoing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for edge in &self.observed.edges {
            if let Some(from) = edge.from
                && edge.field != DependencyField::DevDependencies
            {
                outgoing.entry(from).or_default().push(edge.to);
            }
        }
        let used = Reached::from(app, |from| {
            outgoing.get(&from).into_iter().flatten().copied()
        });
        used.numbers().chain([app]).collect()
    }

    fn now(&mut self) -> Result<&Graph, Failure> {
        let graph = match self.now.take() {
            Some(graph) => graph,
            None => self.read_now()?,
        };
        Ok(self.now.insert(graph))
    }

    fn read_now(&self) -> Result<Graph, Failure> {
        let workspace = &self.observed.workspace;
        Graph::read(self.lockfile, &workspace.manifests_below())
    }

    fn then(&mut self, base: &'o CommitId) -> Result<Option<&Graph>, Failure> {
        if !self.then.contains_key(base) {
            let graph = self.read_then(base)?;
            self.then.insert(base, graph);
        }
        Ok(self.then.get(base).and_then(Option::as_ref))
    }

    /// The lockfile of that commit, also where it is another manager's: the one that is there now, else the first.
    fn read_then(&self, base: &CommitId) -> Result<Option<Graph>, Failure> {
        let workspace = &self.observed.workspace;
        let root = &workspace.directory;
        let lockfiles = monorepo::lockfiles(
            &AtCommit {
                repo: self.repo,
                commit: base,
            },
            root,
        )?;
        let mut same = lockfiles
            .iter()
            .filter(|one| one.path == self.lockfile.path);
        let Some(lockfile) = same.next().or(lockfiles.first()) else {
            return Ok(None);
        };
        if !lockfile.kind.needs_manifests() {
            return Ok(Graph::read(lockfile, &[]).ok());
        }
        // What could not be read then tells nothing.
        let Ok(texts) = monorepo::manifests_at(self.repo, base, root, self.settings) else {
            return Ok(None);
        };
        let now: BTreeMap<&RepoPath, ManifestFile<'_>> = workspace
            .manifests()
            .map(|one| (one.directory, one))
            .collect();
        let manifests: Vec<(RepoPath, Cow<'_, PackageJson>)> = texts
            .iter()
            .filter_map(|(directory, text)| {
                let manifest = match now.get(directory) {
                    Some(now) if now.text == text => Cow::Borrowed(now.manifest),
                    _ => Cow::Owned(PackageJson::parse("package.json", text).ok()?),
                };
                Some((workspace.inside(directory), manifest))
            })
            .collect();
        let manifests: Vec<(RepoPath, &PackageJson)> = manifests
            .iter()
            .map(|(directory, manifest)| (directory.clone(), manifest.as_ref()))
            .collect();
        Ok(Graph::read(lockfile, &manifests).ok())
    }
}
