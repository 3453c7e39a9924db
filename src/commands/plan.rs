//! `plan`: what a release would do, and why. Reads git and files; runs no project code, writes nothing, needs no credential.

use std::collections::BTreeSet;

use url::Url;

use crate::commands::{Session, provenance, release};
use crate::explain::Failure;
use crate::local::git::Repo;
use crate::local::push::Remote;
use crate::local::{status, worktree};
use crate::plan::provenance::Foreseen;
use crate::plan::release::{Notice, Plan, PlannedPackage};
use crate::plan::render::{self, Missing, PlanDocument};
use crate::settings::registries::credentials::Credential;
use crate::settings::{Choice, NpmPublish, RegistryAddress, Settings};
use crate::workspace::package::Kind;

/// A plan with its document and what a release would still need.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// As `pkgs.plan/1`.
    pub document: PlanDocument,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// What it says of provenance.
    pub provenance: Foreseen,
}

/// Plans a release of the commit checked out.
pub async fn plan(session: &Session<'_>) -> Result<Planned, Failure> {
    let head = session.repo.head()?;
    let (observed, mut plan) = release::plan_at(session, &head, false).await?;
    // To look at every file costs more than a plan; whoever sees their change planned does not ask for it.
    if plan.packages.is_empty() {
        plan.warnings
            .extend(uncommitted(session.repo, session.settings)?);
    }
    let mut missing = missing(session.settings, &plan);
    missing.extend(unready(session));
    if observed.tags.is_empty() && session.repo.leaves_tags_out(&session.settings.remote) {
        missing.push(Missing {
            what: "tags".to_owned(),
            hint: format!(
                "`git fetch --tags {}`: this clone was told to leave tags out, and what they mark as released may look new",
                session.settings.remote
            ),
        });
    }
    let provenance = Foreseen::of(
        libraries(session.settings, &plan)
            .filter_map(|package| observed.workspace.package(&package.name))
            .map(|package| provenance::unasked(session, package)),
    );
    missing.extend(provenance.refused().map(|(name, refused)| Missing {
        what: "provenance".to_owned(),
        hint: format!("{name}: {}; {}", refused.why(), refused.hint()),
    }));
    let document = render::document(&plan, session.settings, missing.clone());
    let document = document.foreseeing(&provenance);
    Ok(Planned {
        plan,
        document,
        missing,
        provenance,
    })
}

/// The packages of a plan that go to a registry.
fn libraries<'p>(
    settings: &Settings,
    plan: &'p Plan,
) -> impl Iterator<Item = &'p PlannedPackage> + use<'p> {
    let publishes = settings.npm_publish != NpmPublish::None;
    let packages = plan.packages.iter();
    packages.filter(move |package| publishes && package.kind == Kind::Library)
}

/// That tracked files differ from the commit, which a plan does not count and a release refuses.
pub fn uncommitted(repo: &Repo, settings: &Settings) -> Result<Option<Notice>, Failure> {
    let dirty = status::dirty(repo, &settings.child_environment)?;
    let notice = || Notice {
        code: "plan::uncommitted",
        message: format!(
            "tracked files are changed and not committed, and count for nothing: {}",
            worktree::named(&dirty)
        ),
    };
    Ok((!dirty.is_empty()).then(notice))
}

/// Fetches the rest of a history that is cut: a shallow clone is never taken for a repository in which everything changed. Gives the repository
/// opened again, because one that is open remembers where it was cut.
pub fn whole(session: &Session<'_>) -> Result<Repo, Failure> {
    tracing::info!("the history here is cut: fetching the rest");
    let cut = |failure: Failure| {
        Failure::new(
            crate::explain::Exit::Usage,
            "git::cut_history",
            "the history here is cut: what changed since the last release cannot be told",
        )
        .because(failure)
        .hint("fetch it all: actions/checkout with fetch-depth: 0, or `git fetch --unshallow`")
    };
    let remote = Remote::open(session.repo, session.address()?)?;
    let branch = session
        .settings
        .runner
        .branch()
        .map(str::to_owned)
        .or_else(|| session.repo.current_branch())
        .map_or_else(|| session.release_branch(Some(&remote)), Ok)
        .map_err(cut)?;
    remote.deepen(&branch)?;
    let seen = remote.look(&branch).map_err(cut)?;
    remote.fetch(&branch, &seen).map_err(cut)?;
    let tip = seen.tip.clone().map_or_else(|| session.repo.head(), Ok)?;
    session
        .repo
        .note_remote(&session.settings.remote, &branch, &tip, &seen.tags)?;
    Repo::open(session.repo.root())
}

/// Where a credential for npm is given.
pub fn npm_token(settings: &Settings) -> &'static str {
    if settings.runner.is_actions {
        "set the input npm-token, or NODE_AUTH_TOKEN; or give the job `permissions: id-token: write` for trusted publishing"
    } else {
        "set PKGS_NPM_TOKEN, NODE_AUTH_TOKEN or NPM_TOKEN"
    }
}

/// How the token of another registry than the default one is given.
pub fn registry_token(settings: &Settings, registry: &Url) -> String {
    let setting = if settings.runner.is_actions {
        "the input registry-tokens"
    } else {
        "PKGS_REGISTRY_TOKENS"
    };
    format!("set {setting} to {registry}=<token>")
}

/// The credential that a registry lacks; `None` is the default one.
fn missing_credential(settings: &Settings, place: Option<&Url>) -> Option<Missing> {
    let (address, what, hint) = match (place, &settings.registry) {
        (Some(url), _) => (url, "registry-tokens", registry_token(settings, url)),
        (None, RegistryAddress::Npm(url)) => (url, "npm-token", npm_token(settings).to_owned()),
        (None, RegistryAddress::Directory { .. }) => return None,
    };
    let hint = match settings.registries.credentials.of(address) {
        Credential::Given(_) => return None,
        Credential::Broken(failure) => format!("{}; {hint}", failure.what()),
        Credential::Missing => hint,
    };
    let what = what.to_owned();
    Some(Missing { what, hint })
}

/// What the repository lacks for a release by hand; a workflow has its own.
pub fn unready(session: &Session<'_>) -> Option<Missing> {
    let missing = |what: &str, hint: String| {
        let what = what.to_owned();
        Some(Missing { what, hint })
    };
    let remote = &session.settings.remote;
    if session.settings.runner.is_actions {
        None
    } else if session.repo.remote_address(remote).is_none() {
        let hint = format!(
            "`git remote add {remote} <address>`: the release commit and its tags are pushed there"
        );
        missing("remote", hint)
    } else {
        // The remote, which a plan does not ask, may know more branches.
        let failure = session.release_branch(None).err();
        let failure = failure.filter(|failure| failure.code() == "release::wrong_branch")?;
        let hint = format!("{}: {}", failure.what(), failure.causes().join("; "));
        missing("branch", hint)
    }
}

/// What a release of this plan would still need.
pub fn missing(settings: &Settings, plan: &Plan) -> Vec<Missing> {
    let mut missing = Vec::new();
    let places: BTreeSet<Option<&Url>> = libraries(settings, plan)
        .map(|package| package.registry.as_ref())
        .collect();
    missing.extend(
        places
            .into_iter()
            .filter(|place| place.is_some() || settings.identity.is_none())
            .filter_map(|place| missing_credential(settings, place)),
    );
    if !plan.apps.is_empty() && settings.store == Choice::Unset {
        missing.push(Missing {
            what: "store".to_owned(),
            hint: "set store to s3://bucket/prefix or file:///dir; `none` releases versions only"
                .to_owned(),
        });
    }
    let is_static = |app: &crate::plan::release::PlannedApp| {
        plan.packages
            .iter()
            .any(|package| package.name == app.name && package.kind == Kind::Static)
    };
    if plan.apps.iter().any(is_static) && settings.static_root == Choice::Unset {
        missing.push(Missing { what: "static".to_owned(), hint: "set static to where files are served from; `none` says that something else serves them".to_owned() });
    }
    missing
}
