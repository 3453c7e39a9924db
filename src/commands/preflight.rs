//! Everything that can be known before the first outside write is known here, so that a missing credential or permission costs no version.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::apply::{record, seal};
use crate::commands::scene::Scene;
use crate::commands::{Session, plan, point, provenance, trust};
use crate::explain::{Exit, Failure};
use crate::local::push::{PushError, RefUpdate};
use crate::name::{Digest, PackageName};
use crate::plan::provenance::Provenance;
use crate::plan::release::{self as planning, Notice, Plan, PlannedPackage};
use crate::plan::render;
use crate::plan::trusted::Verdict;
use crate::release::layout;
use crate::remote::registry::by_package::{ByPackage, Place};
use crate::remote::registry::{PublishRight, Registry as _, no_stages};
use crate::settings::registries::credentials::Credential;
use crate::settings::{Choice, NpmPublish, RegistryAddress, Settings};
use crate::version::Version;
use crate::workspace::Workspace;
use crate::workspace::package::{Kind, Package};

/// What a plan comes to.
pub enum Checked {
    /// Nothing that can be known stands in its way.
    Ready(Box<Ready>),
    /// New names stay out of it, as was asked: it is planned again without them.
    Without(BTreeSet<PackageName>),
}

/// A plan that can be carried out.
pub struct Ready {
    /// The plan.
    pub plan: Plan,
    /// What is decided about the provenance of its libraries; nothing where none is published.
    pub provenance: BTreeMap<PackageName, Provenance>,
}

/// Checks credentials, trusted publishers, versions that are taken, the store's behaviour and the permission to push; lowers dist-tags that would
/// go backwards. `proven` tells whether this process has seen the store honour its conditions; it is not asked again.
pub async fn preflight(
    session: &Session<'_>,
    scene: &Scene<'_>,
    workspace: &Workspace,
    mut plan: Plan,
    proven: &mut bool,
) -> Result<Checked, Failure> {
    let mut provenance = BTreeMap::new();
    if session.settings.npm_publish != NpmPublish::None {
        credential(session, &plan).await?;
        let verdict = trusted(session, workspace, &plan).await?;
        if !verdict.left_out.is_empty() {
            return Ok(Checked::Without(verdict.left_out));
        }
        provenance = verdict.provenance;
        versions(session, &mut plan).await?;
    }
    static_root(session, &plan)?;
    let apps: Vec<PackageName> = plan.apps.iter().map(|app| app.name.clone()).collect();
    point::check_roots(session, &apps).await?;
    store(session, proven).await?;
    builds(session, &plan).await?;
    permission_to_push(scene)?;
    Ok(Checked::Ready(Box::new(Ready { plan, provenance })))
}

/// Whether this run may publish every library of the plan, and with what, which is told; gives the new names that are to stay out of it, and what is
/// decided about the provenance of the others. Its failures are none.
///
/// # Errors
/// Those of [`crate::plan::trusted::judge`] and [`crate::plan::provenance::failures`], for all packages at once.
pub(super) async fn trusted(
    session: &Session<'_>,
    workspace: &Workspace,
    plan: &Plan,
) -> Result<Verdict, Failure> {
    let packages: Vec<&Package> = libraries(plan)
        .filter_map(|package| workspace.package(&package.name))
        .collect();
    let candidates = trust::candidates(session, &packages).await?;
    trust::tell(session, &candidates);
    let policy = trust::policy(session);
    let mut verdict = trust::verdict(session, &packages, &candidates, policy).await?;
    provenance::tell(session, &packages, &candidates, &verdict.provenance);
    match Failure::all(mem::take(&mut verdict.failures)) {
        Some(failure) => Err(failure),
        None => Ok(verdict),
    }
}

fn libraries(plan: &Plan) -> impl Iterator<Item = &PlannedPackage> {
    plan.packages
        .iter()
        .filter(|package| package.kind == Kind::Library)
}

pub(super) async fn credential(session: &Session<'_>, plan: &Plan) -> Result<(), Failure> {
    let names: Vec<&str> = libraries(plan)
        .map(|package| package.name.as_str())
        .collect();
    credential_for(session, &names).await
}

/// Whether what is called so can be published at all.
pub(super) async fn credential_for(session: &Session<'_>, names: &[&str]) -> Result<(), Failure> {
    let settings = session.settings;
    let registries = &session.remotes.registry;
    let places = registries.places(names)?;
    let is_staged = settings.npm_publish == NpmPublish::Stage;
    if let Some(place) = places
        .iter()
        .find(|place| is_staged && is_directory(settings, place))
    {
        return Err(no_stages(&place.registry.describe()));
    }
    credentials(settings, registries, names, "publish").await
}

/// Whether there is a credential that registries know for `deed` with what is called so, and a directory that can be written to.
///
/// # Errors
/// `npm::no_credential`, exit 2; `npm::unauthorized`, exit 5; `registry::disk`.
pub(super) async fn credentials(
    settings: &Settings,
    registries: &ByPackage,
    names: &[&str],
    deed: &str,
) -> Result<(), Failure> {
    let places = registries.places(names)?;
    let lacks = |place| lacking(settings, registries, place, deed);
    let lacking = places.iter().filter_map(lacks);
    Failure::all(lacking.collect()).map_or(Ok(()), Err)?;
    for place in places {
        let registry = &place.registry;
        if is_directory(settings, &place) {
            if !settings.dry_run {
                registry.check_writable().await?;
            }
        } else if !goes_by_identity(settings, &place) {
            registry.check_credential().await?;
        }
    }
    Ok(())
}

fn is_directory(settings: &Settings, place: &Place<'_>) -> bool {
    place.address.is_none() && !matches!(settings.registry, RegistryAddress::Npm(_))
}

/// Whether the job's identity says who publishes there: at the default registry, where no credential does.
fn goes_by_identity(settings: &Settings, place: &Place<'_>) -> bool {
    place.address.is_none() && settings.identity.is_some()
}

/// That a registry has no credential for `deed` with what goes there.
fn lacking(
    settings: &Settings,
    registries: &ByPackage,
    place: &Place<'_>,
    deed: &str,
) -> Option<Failure> {
    if is_directory(settings, place) || goes_by_identity(settings, place) {
        return None;
    }
    let address = place.address.as_ref();
    match registries.credential(address) {
        Credential::Given(_) => return None,
        Credential::Broken(failure) => return Some(failure),
        Credential::Missing => {}
    }
    let names = place.names.join(", ");
    let (where_to, hint) = match address {
        None => (
            format!(" at {}", place.registry.describe()),
            plan::npm_token(settings).to_owned(),
        ),
        Some(url) => (format!(" at {url}"), plan::registry_token(settings, url)),
    };
    let what = format!("there is no npm credential to {deed} {names}{where_to}");
    let failure = Failure::new(Exit::Usage, "npm::no_credential", what).hint(hint);
    Some(match registries.why_missing(address) {
        Some(why) => failure.because(why),
        None => failure,
    })
}

/// A version that is on the registry although no tag of ours decided it is refused, and one below what the same major has there as its
/// dist-tag; a dist-tag that names a higher major stays there.
async fn versions(session: &Session<'_>, plan: &mut Plan) -> Result<(), Failure> {
    let mut kept = BTreeMap::new();
    let mut notices = Vec::new();
    let known = session
        .published(libraries(plan).map(|package| &package.name))
        .await?;
    let rights = known.keys().map(|name| right(session, name));
    let rights =
        stream::iter(rights.collect::<Vec<_>>()).buffered(session.settings.max_concurrency);
    let rights: Vec<Option<Notice>> = rights.try_collect().await?;
    let rights: BTreeMap<&PackageName, Option<Notice>> = known.keys().zip(rights).collect();
    for package in libraries(plan) {
        let tag = package.dist_tag.as_deref().unwrap_or("latest");
        let Some(published) = known.get(&package.name) else {
            notices.extend((tag != "latest").then(|| first_is_latest(&package.name)));
            continue;
        };
        if published.versions.contains_key(&package.to.to_string()) {
            return Err(Failure::new(
                Exit::Refused,
                "npm::version_taken",
                format!(
                    "{} {} is on the registry already, but no tag of ours decided it",
                    package.name, package.to
                ),
            )
            .hint(
                "raise the version in package.json above it, or tag the commit it was built from",
            ));
        }
        notices.extend(rights.get(&package.name).cloned().flatten());
        let beside = planning::dist_tag_beside(tag, &package.to, &published.dist_tags);
        if let Some(instead) = beside {
            let present = published.dist_tags.get(tag).map_or("", String::as_str);
            let is_asked = session.settings.npm_tag.is_some();
            let higher = Version::parse(present).ok();
            let higher = higher.filter(|present| present.major() == package.to.major());
            if let Some(present) = higher.filter(|_| tag == "latest" && !is_asked) {
                return Err(below(&package.name, &package.to, &present, tag));
            }
            let message = format!(
                "{tag} of {} stays at {}: {} is published as {instead}",
                package.name, present, package.to
            );
            kept.insert(package.name.clone(), (instead, message));
        }
    }
    plan.warnings.extend(notices);
    for package in &mut plan.packages {
        if let Some((instead, message)) = kept.remove(&package.name) {
            package.dist_tag = Some(instead);
            plan.warnings.push(Notice {
                code: "npm::dist_tag_kept",
                message,
            });
        }
    }
    Ok(())
}

/// That a dist-tag will not keep the first version of a name from being what people get.
pub(super) fn first_is_latest(name: &PackageName) -> Notice {
    Notice {
        code: "npm::first_is_latest",
        message: format!(
            "{name} is not on the registry yet, and npm makes the first version of a package latest, whatever its dist-tag"
        ),
    }
}

fn below(name: &PackageName, to: &Version, present: &Version, tag: &str) -> Failure {
    let what = format!("{name} would become {to}, but {tag} on the registry is {present}");
    Failure::new(Exit::Refused, "npm::version_below", what)
        .because("who installs it would never get the lower version")
        .hint(format!(
            "raise the version in package.json above {present}, or tag the commit it was built from; npm-tag releases an older line under a tag of its own"
        ))
}

/// Refuses a package that the registry says we may only read. Where others are listed and we are not, a team may still have the right: that is
/// a warning.
pub(super) async fn right(
    session: &Session<'_>,
    name: &PackageName,
) -> Result<Option<Notice>, Failure> {
    let registry = session.remotes.registry.as_ref();
    match registry.publish_right(name).await {
        PublishRight::Granted | PublishRight::Unknown => Ok(None),
        PublishRight::NotListed => Ok(Some(Notice {
            code: "npm::right_unknown",
            message: format!(
                "the user of the npm token is not among those who may publish {name} at {}",
                registry.describe_of(name)
            ),
        })),
        PublishRight::ReadOnly => Err(Failure::new(
            Exit::RemoteRefused,
            "npm::read_only",
            format!(
                "the user of the npm token may only read {name} at {}",
                registry.describe_of(name)
            ),
        )
        .hint("give that user, or a team of theirs, read and write access; this costs no version")),
    }
}

fn static_root(session: &Session<'_>, plan: &Plan) -> Result<(), Failure> {
    let is_static = |package: &&PlannedPackage| {
        package.kind == Kind::Static && plan.apps.iter().any(|app| app.name == package.name)
    };
    match plan.packages.iter().find(is_static) {
        Some(app) if session.settings.static_root == Choice::Unset => Err(Failure::new(
            Exit::Usage,
            "plan::no_static_root",
            format!("{} is served as files, but no static root is set", app.name),
        )
        .hint(
            "set static to s3://bucket/prefix or file:///dir; `static: none` says that something else serves them",
        )),
        _ => Ok(()),
    }
}

async fn store(session: &Session<'_>, proven: &mut bool) -> Result<(), Failure> {
    let Some(store) = session.remotes.store.as_deref() else {
        return Ok(());
    };
    let writes = !session.settings.dry_run;
    seal::claim(store, &session.repository_name(), writes).await?;
    if writes && !*proven {
        let nonce = format!("{:032x}", session.settings.nonce);
        crate::remote::store::prove_conditions(store, &nonce).await?;
        *proven = true;
    }
    Ok(())
}

/// A version of an app that another release recorded is refused: its tag was deleted, and what is recorded is never written over.
async fn builds(session: &Session<'_>, plan: &Plan) -> Result<(), Failure> {
    let Some(store) = session.remotes.store.as_deref() else {
        return Ok(());
    };
    let digest = render::document(plan, session.settings, Vec::new()).digest;
    let seal = layout::seal(&plan.head, &Digest::parse(&digest)?);
    for app in &plan.apps {
        let Some(build) = record::taken(store, &app.name, &app.to, &seal).await? else {
            continue;
        };
        let (name, version) = (&app.name, &app.to);
        let (tag, commit) = (build.git.tag, build.git.commit);
        return Err(Failure::new(
            Exit::Refused,
            "record::version_taken",
            format!("{name} {version} is in the store already, but no tag here marks it"),
        )
        .because(format!("release {} recorded it at commit {commit}", build.release))
        .hint(format!(
            "put its tag back: git tag {tag} {commit}, then push the tag; or raise the version in package.json above {version}"
        )));
    }
    Ok(())
}

/// Asks the remote whether we may push at all; what protects branches and tags answers only to the push itself, which changes nothing when it refuses.
pub(super) fn permission_to_push(scene: &Scene<'_>) -> Result<(), Failure> {
    let same = RefUpdate {
        name: format!("refs/heads/{}", scene.branch),
        expected: Some(scene.tip.to_string()),
        new: scene.tip.to_string(),
    };
    match scene.remote.push(&[same], true) {
        Ok(()) | Err(PushError::Moved(_)) => Ok(()),
        Err(PushError::Refused(failure) | PushError::Uncertain(failure)) => Err(failure),
    }
}
