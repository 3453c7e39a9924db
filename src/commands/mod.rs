//! One story a page: each command reads, decides, does and tells.

pub mod decisions;
pub mod environments;
pub mod finish;
pub mod observe;
pub mod plan;
pub mod point;
pub mod preflight;
pub mod pull;
pub mod rebuild;
pub mod rehearse;
pub mod release;
pub mod sample;
pub mod scene;
pub mod status;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::apply::Remotes;
use crate::explain::{Exit, Failure, quoted};
use crate::local::git::Repo;
use crate::local::process::Children;
use crate::local::push::{Address, Remote};
use crate::local::stop::Stop;
use crate::name::{CommitId, PackageName, ReleaseId, TagName};
use crate::plan::next::DecidedPackage;
use crate::release::layout;
use crate::release::seal::SealedApp;
use crate::remote::forge::github::GitHub;
use crate::remote::registry::Registry;
use crate::remote::registry::directory::DirectoryRegistry;
use crate::remote::registry::npm::NpmRegistry;
use crate::remote::store::{S3Options, Store};
use crate::report::environments::{STATUS_SCHEMA, Status};
use crate::report::release::{Released, ReleasedApp, ReleasedPackage};
use crate::settings::{
    Command, Deed, Format, PointSettings, RegistryAddress, Settings, StatusSettings, StoreSettings,
};
use crate::version::Version;

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

    /// The branches that releases are made from.
    pub fn release_branches(&self, remote: Option<&Remote<'_>>) -> Result<Vec<String>, Failure> {
        if !self.settings.branches.is_empty() {
            return Ok(self.settings.branches.clone());
        }
        let known = self
            .settings
            .runner
            .default_branch
            .clone()
            .or_else(|| self.repo.default_branch(&self.settings.remote));
        let asked = match (known, remote) {
            (Some(known), _) => Some(known),
            (None, Some(remote)) => remote.default_branch()?,
            (None, None) => None,
        };
        asked.map(|branch| vec![branch]).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "git::default_branch",
                "the repository's default branch is not known",
            )
            .hint("name the release branch with `branch`")
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

    /// The repository as `owner/name`: what a store belongs to.
    pub fn repository_name(&self) -> String {
        self.settings.runner.repository.clone().unwrap_or_else(|| {
            repository_name(
                &self
                    .repo
                    .remote_address(&self.settings.remote)
                    .unwrap_or_default(),
            )
        })
    }

    /// The id of the release that a commit is.
    pub fn release_id(&self, commit: &CommitId) -> Result<ReleaseId, Failure> {
        Ok(ReleaseId::of(
            commit,
            &crate::report::day(self.repo.committed_at(commit)?),
        ))
    }

    /// What was released at a commit, for the report.
    pub fn released(
        &self,
        commit: &CommitId,
        base: &str,
        libraries: &[DecidedPackage],
        apps: &[SealedApp],
    ) -> Result<Released, Failure> {
        let base = CommitId::parse(base)?;
        let before: BTreeMap<PackageName, Version> =
            observe::workspace_at(self.repo, &base, self.settings)
                .map(|workspace| {
                    workspace
                        .packages
                        .into_iter()
                        .filter_map(|package| Some((package.name, package.version?)))
                        .collect()
                })
                .unwrap_or_default();
        let workspace = observe::workspace_at(self.repo, commit, self.settings)?;
        let tags = decisions::tags_at(self.repo, commit)?;
        let format = self.settings.tag_format.as_deref();
        let marked = |name: &PackageName, version: &Version| -> Option<TagName> {
            tags.iter()
                .find(|tag| {
                    crate::changes::tag::read_with(tag, format).is_some_and(|(of, marked)| {
                        of.is_none_or(|of| of == name.as_str()) && marked == *version
                    })
                })
                .cloned()
        };
        let registry = self.remotes.registry.describe();
        let mut packages = Vec::new();
        for package in &workspace.packages {
            let Some(to) = package.version.clone() else {
                continue;
            };
            let Some(tag) = marked(&package.name, &to) else {
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
                url: library
                    .map(|_| format!("{}/{}", registry.trim_end_matches('/'), package.name)),
                integrity: library.map(|library| library.integrity.to_string()),
                to,
            });
        }
        let apps = apps
            .iter()
            .map(|app| {
                let name = PackageName::parse(&app.name)?;
                let version = Version::parse(&app.version)?;
                let variant = crate::name::Variant::parse(&app.variant)?;
                let archive = app.archive.as_ref().map(|archive| {
                    (
                        layout::archive(&name, &version, &variant).to_string(),
                        archive.digest.clone(),
                    )
                });
                Ok(ReleasedApp {
                    manifest: layout::app(&name, &version, &variant).to_string(),
                    name,
                    version,
                    variant,
                    archive,
                })
            })
            .collect::<Result<_, Failure>>()?;
        let version = packages
            .first()
            .map(|first| first.to.clone())
            .filter(|version| packages.iter().all(|package| package.to == *version));
        Ok(Released {
            id: self.release_id(commit)?,
            commit: commit.clone(),
            base,
            tags,
            version,
            packages,
            apps,
            manifest: None,
            pointers: Vec::new(),
        })
    }
}

/// How far a version grew; `None` when it is the same.
fn grown(from: &Version, to: &Version) -> Option<crate::version::Bump> {
    use crate::version::Bump;
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

/// The last two parts of a remote's address, without `.git`: `owner/name`.
///
/// ```
/// use pkgs_action::commands::repository_name;
/// assert_eq!(repository_name("https://git.example/org/mono.git"), "org/mono");
/// assert_eq!(repository_name("git@git.example:org/mono.git"), "org/mono");
/// ```
pub fn repository_name(address: &str) -> String {
    let address = address.trim_end_matches('/').trim_end_matches(".git");
    let mut parts: Vec<&str> = address
        .rsplit(['/', ':'])
        .take(2)
        .filter(|part| !part.is_empty())
        .collect();
    parts.reverse();
    parts.join("/")
}

/// Opens a store.
pub async fn open_store(settings: &StoreSettings) -> Result<Arc<dyn Store>, Failure> {
    crate::remote::store::open(
        &settings.address,
        &S3Options {
            endpoint: settings.endpoint.clone(),
            region: settings.region.clone(),
            path_style: None,
        },
    )
    .await
}

/// Opens everything a release speaks to, but for git.
pub async fn connect(settings: &Settings) -> Result<Remotes, Failure> {
    let store = match settings.store.value() {
        Some(store) => Some(open_store(store).await?),
        None => None,
    };
    Ok(Remotes {
        store,
        registry: registry(settings)?,
        forge: forge(settings)?,
    })
}

/// The registry alone: what `plan` needs.
pub fn registry(settings: &Settings) -> Result<Arc<dyn Registry>, Failure> {
    Ok(match &settings.registry {
        RegistryAddress::Npm(url) => {
            Arc::new(NpmRegistry::new(url.clone(), settings.npm_token.clone())?)
        }
        RegistryAddress::Directory { path, url } => {
            Arc::new(DirectoryRegistry::open(path, url.clone())?)
        }
    })
}

fn forge(settings: &Settings) -> Result<Option<Arc<GitHub>>, Failure> {
    let runner = &settings.runner;
    match (&runner.api_url, &settings.token, &runner.repository) {
        (Some(api), Some(token), Some(repository)) if runner.is_actions => Ok({
            let api = url::Url::parse(api).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    "settings::url",
                    "GITHUB_API_URL is not an address",
                )
                .because(error)
            })?;
            Some(Arc::new(GitHub::new(&api, token.clone(), repository)?))
        }),
        _ => Ok(None),
    }
}

/// What a command leaves to be told.
#[derive(Debug, Default)]
pub struct Told {
    /// The result, for stdout.
    pub stdout: String,
    /// What the runner's files get.
    pub appended: Vec<(std::path::PathBuf, String)>,
    /// What went wrong after something was told.
    pub failure: Option<Failure>,
}

/// Runs the command that `settings` name, or the one that the rules choose.
pub async fn run(
    mut settings: Settings,
    stop: &Stop,
    children: &Children,
) -> Result<Told, Failure> {
    match &settings.command {
        Command::Plan | Command::Release => {
            let repo = Repo::open(&settings.directory)?;
            choose(&mut settings, &repo)?;
            on_repository(&settings, &repo, stop, children).await
        }
        Command::Rehearse => Box::pin(rehearse::rehearse(&settings, stop, children)).await,
        Command::Pull(asked) => {
            let pulled = pull::pull(&settings, asked, children).await?;
            Ok(told(&settings, pulled.text(), &pulled))
        }
        Command::Status(asked) => tell_status(&settings, asked).await,
        Command::Point(deed, asked) => tell_point(&settings, *deed, asked).await,
    }
}

/// The branch that a run is for: the event's, where a runner names its ref (which may be a tag or a pull request), else the one checked out.
fn current_branch(settings: &Settings, repo: &Repo) -> Option<String> {
    let runner = &settings.runner;
    match runner.reference {
        Some(_) => runner.branch().map(str::to_owned),
        None => repo.current_branch(),
    }
}

fn choose(settings: &mut Settings, repo: &Repo) -> Result<(), Failure> {
    if !settings.command_named {
        let current = current_branch(settings, repo);
        let default = settings
            .runner
            .default_branch
            .clone()
            .or_else(|| repo.default_branch(&settings.remote));
        let branches = if settings.branches.is_empty() {
            default.into_iter().collect()
        } else {
            settings.branches.clone()
        };
        settings.choose_command(current.as_deref(), &branches);
    } else if settings.command == Command::Release && !settings.runner.may_release() {
        return Err(Failure::new(
            Exit::Refused,
            "release::untrusted_event",
            format!(
                "a {} event never releases",
                settings.runner.event.as_deref().unwrap_or("nameless")
            ),
        )
        .because("what it carries may come from anybody")
        .hint("release from a push to a release branch, a schedule or workflow_dispatch"));
    }
    Ok(())
}

async fn on_repository(
    settings: &Settings,
    repo: &Repo,
    stop: &Stop,
    children: &Children,
) -> Result<Told, Failure> {
    let is_plan = settings.command == Command::Plan;
    let _alone = (!is_plan)
        .then(|| crate::local::worktree::alone(repo))
        .transpose()?;
    let remotes = if is_plan {
        Remotes {
            store: None,
            registry: registry(settings)?,
            forge: None,
        }
    } else {
        connect(settings).await?
    };
    let session = Session {
        settings,
        repo,
        remotes: &remotes,
        stop,
        children,
        settled: None,
    };
    let whole = repo
        .is_shallow()
        .then(|| plan::whole(&session))
        .transpose()?;
    let session = Session {
        repo: whole.as_ref().unwrap_or(repo),
        ..session
    };
    if is_plan {
        tell_plan(&session).await
    } else {
        tell_release(&session).await
    }
}

async fn tell_plan(session: &Session<'_>) -> Result<Told, Failure> {
    let planned = plan::plan(session).await?;
    let mut text = crate::plan::render::text(&planned.plan, &planned.missing);
    if let Some(reason) = &session.settings.command_reason {
        let _ = writeln!(text, "this was a plan: {reason}");
    }
    Ok(told(session.settings, text, &planned.document))
}

async fn tell_release(session: &Session<'_>) -> Result<Told, Failure> {
    let settings = session.settings;
    let released = release::release(session).await;
    let report = match released {
        Ok(report) => report,
        Err(failure) => {
            let outputs = crate::report::outputs::lines(&crate::report::outputs::of_failure());
            let file = settings.runner.output_file.clone();
            return Ok(Told {
                appended: file.map(|file| (file, outputs)).into_iter().collect(),
                failure: Some(failure),
                ..Told::default()
            });
        }
    };
    let mut told = told(settings, report.text(), &report.json());
    told.failure = match &report.ended {
        crate::report::release::Ended::Failed(failure) => Some(failure.clone()),
        _ => report.deeds.unmoved().cloned(),
    };
    if let Some(file) = &settings.runner.output_file {
        told.appended.push((
            file.clone(),
            crate::report::outputs::lines(&crate::report::outputs::of_release(&report)),
        ));
    }
    if let Some(file) = &settings.runner.summary_file {
        told.appended
            .push((file.clone(), crate::report::summary::of_release(&report)));
    }
    Ok(told)
}

async fn tell_status(settings: &Settings, asked: &StatusSettings) -> Result<Told, Failure> {
    let packages = status::packages(settings)?;
    let status = match &asked.store {
        None => Status {
            schema: STATUS_SCHEMA,
            packages,
            apps: Vec::new(),
        },
        Some(store) => {
            let request = environments::StatusRequest {
                apps: asked.apps.clone(),
                environment: asked.environment.clone(),
                packages,
            };
            let remotes = point::remotes(settings, open_store(store).await?);
            environments::status(&request, &remotes).await?
        }
    };
    let text = crate::report::environments::status(&status);
    Ok(told(settings, text, &status))
}

async fn tell_point(
    settings: &Settings,
    deed: Deed,
    asked: &PointSettings,
) -> Result<Told, Failure> {
    let remotes = point::remotes(settings, open_store(&asked.store).await?);
    let request = point::request(settings, asked);
    let points = match deed {
        Deed::Promote => environments::promote(&request, &remotes).await,
        Deed::Rollback => environments::rollback(&request, &remotes).await,
        Deed::Hold => environments::hold(&request, &remotes).await,
        Deed::Unhold => environments::unhold(&request, &remotes).await,
        Deed::MarkBad => environments::mark_bad(&request, &remotes).await,
        Deed::Pin => environments::pin(&request, &remotes).await,
        Deed::Unpin => environments::unpin(&request, &remotes).await,
    }?;
    let mut told = told(
        settings,
        crate::report::environments::points(&points),
        &points,
    );
    if let Some(file) = &settings.runner.output_file {
        told.appended.push((
            file.clone(),
            crate::report::outputs::lines(&crate::report::outputs::of_points(&points)),
        ));
    }
    told.failure.clone_from(&points.failure);
    Ok(told)
}

fn told(settings: &Settings, text: String, document: &impl serde::Serialize) -> Told {
    let stdout = match settings.format {
        Format::Text => text,
        Format::Json => {
            let mut json = serde_json::to_string_pretty(document)
                .unwrap_or_else(|error| unreachable!("wire types always serialize: {error}"));
            json.push('\n');
            json
        }
    };
    Told {
        stdout,
        ..Told::default()
    }
}
