//! What a command on a repository works with.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};

use crate::apply::Remotes;
use crate::commands::{monorepo, repository};
use crate::explain::{Exit, Failure, quoted};
use crate::local::git::Repo;
use crate::local::process::Children;
use crate::local::push::{Address, Remote};
use crate::local::stop::Stop;
use crate::local::terminal::Terminal;
use crate::name::{CommitId, PackageName, ReleaseId};
use crate::plan::registry;
use crate::remote::registry::{PublishedPackage, Registry as _, RegistryError};
use crate::settings::Settings;
use crate::version::line::Line;
use crate::workspace::Workspace;

/// Takes a part of the result as soon as it is known.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// What a command on a repository works with.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// What was asked.
    pub settings: &'a Settings,
    /// The repository.
    pub repo: &'a Repo,
    /// Everything else outside.
    pub remotes: &'a Remotes,
    /// The wish to stop.
    pub stop: &'a Stop,
    /// The project's own commands that run now.
    pub children: &'a Children,
    /// Takes the plan before it is carried out.
    pub say: Say<'a>,
    /// Where a person can be asked; `None`: nobody can.
    pub terminal: Option<&'a Terminal>,
    /// A release that counts as finished although its store is not here: a rehearsal starts after it.
    pub settled: Option<&'a CommitId>,
}

impl Session<'_> {
    /// How to reach the remote that decides.
    pub fn address(&self) -> Result<Address, Failure> {
        let runner = &self.settings.runner;
        match (runner.is_actions, &runner.server_url, &runner.repository) {
            (true, Some(server), Some(repository)) => Ok(Address::Isolated {
                url: format!("{}/{repository}", server.trim_end_matches('/')),
                token: self.settings.token.clone(),
                environment: self.settings.child_environment.clone(),
            }),
            _ => Ok(Address::Configured {
                remote: self.settings.remote.clone(),
                environment: self.settings.person_environment.clone(),
            }),
        }
    }

    /// The workspace at a commit, whose packages are asked for and published from now on.
    pub fn workspace_at(&self, commit: &CommitId) -> Result<Workspace, Failure> {
        let workspace = monorepo::workspace_at(self.repo, commit, self.settings)?;
        self.look_at(&workspace);
        Ok(workspace)
    }

    /// Tells the registries where the packages of a workspace go.
    pub fn look_at(&self, workspace: &Workspace) {
        let destinations = registry::destinations(workspace, self.settings);
        self.remotes.registry.told(destinations);
    }

    /// What the registry holds of packages; of one that it does not know, nothing.
    pub async fn published<'n>(
        &self,
        names: impl IntoIterator<Item = &'n PackageName>,
    ) -> Result<BTreeMap<PackageName, PublishedPackage>, Failure> {
        let mut published = BTreeMap::new();
        for (name, answer) in self.asked(names).await {
            published.extend(answer?.map(|found| (name.clone(), found)));
        }
        Ok(published)
    }

    /// What the registry answers about packages, in their order; all are asked side by side.
    pub async fn asked<'n>(
        &self,
        names: impl IntoIterator<Item = &'n PackageName>,
    ) -> Vec<(
        &'n PackageName,
        Result<Option<PublishedPackage>, RegistryError>,
    )> {
        let registry = self.remotes.registry.as_ref();
        let asked = names
            .into_iter()
            .map(|name| async move { (name, registry.package(name).await) });
        let answers = stream::iter(asked).buffered(self.settings.max_concurrency);
        Box::pin(answers.collect()).await
    }

    /// The branches that releases are made from.
    pub fn release_branches(&self, remote: Option<&Remote<'_>>) -> Result<Vec<String>, Failure> {
        if !self.settings.branches.is_empty() {
            let own = self.settings.branches.clone();
            return Ok(self.settings.release_branches(own));
        }
        let known = default_branch(self.settings, self.repo);
        let asked = match (known, remote) {
            (Some(known), _) => Some(known),
            (None, Some(remote)) => remote.default_branch()?,
            (None, None) => None,
        };
        let all = |branch| self.settings.release_branches(vec![branch]);
        asked.map(all).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "git::default_branch",
                "the repository's default branch is not known",
            )
            .because("the remote has none yet, or this clone was not told which it is")
            .hint("push the branch first, or name the release branch with `branch`")
        })
    }

    /// The release branch that is checked out.
    ///
    /// # Errors
    /// `release::wrong_branch`, exit 3, outside the release branches.
    pub fn release_branch(&self, remote: Option<&Remote<'_>>) -> Result<String, Failure> {
        let branches = self.release_branches(remote)?;
        let current = current_branch(self.settings, self.repo);
        let is_elsewhere = current.is_none() && self.settings.runner.reference.is_some();
        match (current, branches.as_slice()) {
            (Some(current), branches) if branches.contains(&current) => Ok(current),
            (None, [only]) if !self.settings.branches.is_empty() && !is_elsewhere => {
                Ok(only.clone())
            }
            (current, branches) => Err(Failure::new(
                Exit::Refused,
                "release::wrong_branch",
                format!(
                    "{} is not a release branch",
                    current
                        .map_or_else(|| "a detached head".to_owned(), |current| quoted(&current))
                ),
            )
            .because(format!("releases are made from {}", branches.join(", ")))
            .hint("check out a release branch, or name this one with `branch`")),
        }
    }

    /// What the branch is for, where it has a line of its own.
    pub fn line(&self) -> Option<&Line> {
        line(self.settings, self.repo)
    }

    /// The repository as `owner/name`: what a store belongs to. Empty where there is no remote.
    pub fn repository_name(&self) -> String {
        let named = self.settings.runner.repository.clone();
        named.unwrap_or_else(|| {
            let address = self.repo.remote_address(&self.settings.remote);
            address
                .map(|address| repository::name(&address, self.repo.root()))
                .unwrap_or_default()
        })
    }

    /// The id of the release that a commit is.
    pub fn release_id(&self, commit: &CommitId) -> Result<ReleaseId, Failure> {
        Ok(ReleaseId::of(
            commit,
            &crate::report::day(self.repo.committed_at(commit)?),
        ))
    }
}

/// What the branch that a run is for is itself for, where it has a line of its own; of a pull request, the branch that it is for.
pub(super) fn line<'a>(settings: &'a Settings, repo: &Repo) -> Option<&'a Line> {
    let base = || settings.runner.base.clone();
    settings
        .lines
        .get(&current_branch(settings, repo).or_else(base)?)
}

/// The repository's default branch, as far as it is known without asking the remote.
pub(super) fn default_branch(settings: &Settings, repo: &Repo) -> Option<String> {
    let told = settings.runner.default_branch.clone();
    told.or_else(|| repo.default_branch(&settings.remote))
}

/// The branch that a run is for: the event's, where a runner names its ref (which may be a tag or a pull request), else the one checked out.
pub(super) fn current_branch(settings: &Settings, repo: &Repo) -> Option<String> {
    let runner = &settings.runner;
    match runner.reference {
        Some(_) => runner.branch().map(str::to_owned),
        None => repo.current_branch(),
    }
}
