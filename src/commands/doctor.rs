//! `doctor`: checks everything that a release needs before it is needed, and goes on after what it finds. What is set is checked, whether or not a
//! release is due; what is not checked is told, and why. It asks; all that it writes are probes, by which a store, a static root and the place of the
//! board show that they can be trusted.

mod served;

use crate::apply::seal;
use crate::commands::scene::Scene;
use crate::commands::{Session, plan, preflight, provenance, release, trust};
use crate::explain::Failure;
use crate::name::PackageName;
use crate::plan::provenance::{Alike, told};
use crate::plan::release::{Notice, Plan};
use crate::plan::trusted::{self, Candidate};
use crate::remote::registry::{PublishRight, Registry as _};
use crate::remote::store::check::check;
use crate::report::doctor::Checkup;
use crate::settings::{Choice, NpmPublish, RegistryAddress, Settings};
use crate::workspace::Workspace;
use crate::workspace::package::{Kind, Package};

/// Checks what a release of this repository needs. `closed` is why the store that is set could not be opened, where that is so.
///
/// # Errors
/// That there is no commit to speak of; whatever else is found is part of the answer.
pub async fn doctor(session: &Session<'_>, closed: Option<Failure>) -> Result<Checkup, Failure> {
    // Nothing is moved or noted here, whatever is found.
    let settings = Settings {
        dry_run: true,
        ..session.settings.clone()
    };
    let probes = !session.settings.dry_run;
    let session = &Session {
        settings: &settings,
        ..*session
    };
    let mut checkup = Checkup::default();
    let head = session.repo.head()?;
    let mut apps: Vec<PackageName> = settings.apps.keys().cloned().collect();
    match release::plan_at(session, &head, false).await {
        Ok((observed, plan)) => {
            let is_app = |package: &&Package| matches!(package.kind, Kind::Service | Kind::Static);
            let packages = observed.workspace.packages.iter().filter(is_app);
            apps.extend(packages.map(|package| package.name.clone()));
            planned(session, plan, &mut checkup)?;
            npm(session, &observed.workspace, &mut checkup).await;
        }
        Err(failure) => checkup.failed("plan", &failure),
    }
    git(session, &mut checkup);
    apps.sort();
    apps.dedup();
    match closed {
        Some(failure) => {
            checkup.failed("store", &served::with_hint(failure));
            checkup.skipped("store-race", "the store could not be opened");
        }
        None => store(session, probes, &mut checkup).await,
    }
    served::static_roots(session, &apps, probes, &mut checkup).await;
    served::cdns(session, &apps, &mut checkup).await;
    served::board_place(session, probes, &mut checkup).await;
    Ok(checkup)
}

/// The plan, and what the settings lack for it.
fn planned(session: &Session<'_>, plan: Plan, checkup: &mut Checkup) -> Result<(), Failure> {
    let packages = plan.packages.len();
    checkup.ok(
        "plan",
        match packages {
            0 => "nothing is to be released".to_owned(),
            1 => "1 package is to be released".to_owned(),
            more => format!("{more} packages are to be released"),
        },
    );
    if let Some(notice) = plan::uncommitted(session.repo, session.settings)? {
        checkup.warn("plan", notice);
    }
    let missing = plan::missing(session.settings, &plan);
    for missing in missing.iter().filter(|missing| missing.what != "npm-token") {
        checkup.missing(missing);
    }
    for notice in plan.warnings {
        checkup.warn("plan", notice);
    }
    Ok(())
}

/// The credential, and for every library of the workspace whether it may be published.
async fn npm(session: &Session<'_>, workspace: &Workspace, checkup: &mut Checkup) {
    let settings = session.settings;
    let packages = workspace.packages.iter();
    let libraries: Vec<&Package> = packages
        .filter(|package| package.kind == Kind::Library && package.version.is_some())
        .collect();
    if libraries.is_empty() {
        return checkup.ok("npm", "no library is to be published");
    }
    if settings.npm_publish == NpmPublish::None {
        return checkup.ok("npm", "npm-publish is none");
    }
    let names: Vec<&str> = libraries
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    if let Err(failure) = preflight::credential_for(session, &names).await {
        return checkup.failed("npm", &failure);
    }
    let registry = session.remotes.registry.describe();
    match (&settings.registry, &settings.npm_token_from) {
        (RegistryAddress::Directory { .. }, _) => {
            return checkup.ok("npm", format!("{registry} is a directory"));
        }
        (_, Some(from)) => checkup.ok("npm", format!("{registry} accepts the token of {from}")),
        (_, None) => {}
    }
    match trust::candidates(session, &libraries).await {
        Ok(candidates) => {
            rights(session, &candidates, checkup).await;
            statements(session, &libraries, &candidates, checkup).await;
        }
        Err(failure) => checkup.failed("npm", &failure),
    }
}

/// Which libraries get a signed statement of where they were built, and why. Nothing is signed.
async fn statements(
    session: &Session<'_>,
    libraries: &[&Package],
    candidates: &[Candidate],
    checkup: &mut Checkup,
) {
    match provenance::settle(session, libraries, candidates).await {
        Ok(settled) => {
            for sentence in told(&settled.by_name).iter().map(Alike::sentence) {
                checkup.ok("provenance", sentence);
            }
            for failure in &settled.failures {
                checkup.failed("provenance", failure);
            }
        }
        Err(failure) => checkup.failed("provenance", &failure),
    }
}

/// A line for each library, and one for the job's identity.
async fn rights(session: &Session<'_>, candidates: &[Candidate], checkup: &mut Checkup) {
    let claims = candidates
        .iter()
        .find_map(|candidate| Some(&candidate.trust.as_ref()?.claims));
    if let Some(claims) = claims {
        let told = trusted::told(claims);
        checkup.ok(
            "npm",
            format!("this job is, and each trusted publisher must say: {told}"),
        );
    }
    for candidate in candidates {
        let about = candidate.name.as_str();
        let verdict = trusted::judge(std::slice::from_ref(candidate), trust::policy(session));
        if let Some(failure) = Failure::all(verdict.failures) {
            checkup.failed(about, &failure);
        } else if !verdict.left_out.is_empty() {
            let message = "not on the registry yet: left out, as first-publish says".to_owned();
            let code = "npm::left_out";
            checkup.warn(about, Notice { code, message });
        } else if candidate.trust.is_some() {
            checkup.ok(about, "trusts this job");
        } else {
            right_of_token(session, candidate, checkup).await;
        }
    }
}

/// What the registry says of the right of a token.
async fn right_of_token(session: &Session<'_>, candidate: &Candidate, checkup: &mut Checkup) {
    let (about, registry) = (candidate.name.as_str(), &session.remotes.registry);
    match registry.package(&candidate.name).await {
        Err(error) => return checkup.failed(about, &error.into()),
        Ok(None) => return checkup.ok(about, "not on the registry yet: the release makes it"),
        Ok(Some(_)) => {}
    }
    match preflight::right(session, &candidate.name).await {
        Err(failure) => checkup.failed(about, &failure),
        Ok(Some(notice)) => checkup.warn(about, notice),
        Ok(None) => match registry.publish_right(&candidate.name).await {
            PublishRight::Granted => checkup.ok(about, "the token may publish it"),
            _ => checkup.ok(
                about,
                "on the registry, which does not say who may publish it",
            ),
        },
    }
}

/// The remote, the branch, and the permission to push.
fn git(session: &Session<'_>, checkup: &mut Checkup) {
    if let Some(missing) = plan::unready(session) {
        return checkup.missing(&missing);
    }
    let looked = Scene::read(session)
        .and_then(|scene| preflight::permission_to_push(&scene).map(|()| scene.branch));
    match looked {
        Ok(branch) => checkup.ok("git", format!("{branch} may be pushed to")),
        Err(failure) => checkup.failed("git", &failure),
    }
}

/// Whose the store is, and whether it keeps its promises.
async fn store(session: &Session<'_>, probes: bool, checkup: &mut Checkup) {
    let settings = session.settings;
    let Some(store) = session.remotes.store.as_deref() else {
        let why = match &settings.store {
            Choice::Off => "`store` is none",
            _ => "`store` is not set",
        };
        return checkup.skipped("store", why);
    };
    if let Err(failure) = seal::claim(store, &session.repository_name(), false).await {
        checkup.failed("store", &failure);
        return checkup.skipped("store-race", "the store is not this repository's");
    }
    checkup.ok("store", format!("{} can be read", store.describe()));
    if !probes {
        return checkup.skipped(
            "store-race",
            "this is a dry run, and checks would leave probes for a moment",
        );
    }
    let nonce = format!("{:032x}", settings.nonce);
    for found in check(store, &nonce, settings.now).await {
        match found.outcome {
            Ok(message) => checkup.ok(found.about, message),
            Err(failure) if found.only_warns => checkup.warned(found.about, &failure),
            Err(failure) => checkup.failed(found.about, &failure),
        }
    }
}
