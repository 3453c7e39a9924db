//! `rehearse`: the whole release and a rollback of the repository it stands in, against a directory store and a directory registry, on a clone in a temporary place. The repository itself stays untouched, and that is checked.

mod points;
mod stage;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::commands::{
    Answer, Session, answer, connect, decisions, monorepo, plan, registry, release, sample,
};
use crate::explain::{Exit, Failure};
use crate::local::git::{Repo, Snapshot};
use crate::local::process::Children;
use crate::local::push::{Address, PushError, RefUpdate, Remote, Seen};
use crate::local::stop::Stop;
use crate::local::{files, worktree};
use crate::name::{CommitId, PackageName, RepoPath};
use crate::plan::registry::destinations;
use crate::plan::release::Plan;
use crate::plan::render::Missing;
use crate::report::rehearsal::{Rehearsal, SCHEMA};
use crate::report::release::{Ended, ReleaseReport, Released};
use crate::settings::config::{ConfigFile, Form};
use crate::settings::flags::Own;
use crate::settings::given::Inputs;
use crate::settings::inputs::Collected;
use crate::settings::registries::Registries;
use crate::settings::{BumpFrom, RegistryAddress, Settings, World};
use crate::version::Version;
use crate::workspace::package::Kind;
use points::{point_at, roll_back};
use stage::{Stage, bring_ignored};

/// How long a rehearsal waits for the real registry, which it needs for nothing but what is missing.
const REGISTRY_ANSWERS: Duration = Duration::from_secs(20);

/// Rehearses a release, a second one, a rollback and the way forward again.
///
/// # Errors
/// What a release or rollback would fail with; `rehearse::touched`, exit 6, if the repository itself changed.
pub async fn rehearse(
    settings: &Settings,
    stop: &Stop,
    children: &Children,
) -> Result<Answer, Failure> {
    let stage = Stage::make()?;
    let (source, of, own) = source(settings, &stage)?;
    // The sample is nobody's package.
    let asks = own.is_none();
    let settings = own.as_ref().unwrap_or(settings);
    let before = source.snapshot()?;
    let mut rehearsal = Rehearsal {
        schema: SCHEMA,
        of,
        directory: stage.root.display().to_string(),
        ..Rehearsal::default()
    };
    rehearsal.missing = missing(settings, &stage, &source, stop, children, asks).await?;
    let ended = Box::pin(play(
        settings,
        &stage,
        &source,
        stop,
        children,
        &mut rehearsal,
    ))
    .await;
    check_untouched(&source, &before)?;
    let mut answer = answer(settings, rehearsal.text(), &rehearsal);
    answer.failure = ended.err();
    Ok(answer)
}

/// The repository to rehearse: the one that contains the directory if it holds a `package.json`, else the sample.
fn source(settings: &Settings, stage: &Stage) -> Result<(Repo, String, Option<Settings>), Failure> {
    if let Ok(repo) = Repo::open(&settings.directory) {
        let head = repo.head()?;
        if monorepo::is_there(&repo, &head, settings)? {
            if repo.is_shallow() {
                return Err(Failure::new(Exit::Usage, "git::cut_history", "the history here is cut, and a rehearsal changes nothing in the repository, not even that").hint("fetch it all first: actions/checkout with fetch-depth: 0, or `git fetch --unshallow`"));
            }
            let of = format!("{} at {}", repo.root().display(), head.short());
            return Ok((repo, of, None));
        }
    }
    let directory = stage.root.join("sample");
    sample::write(&directory)?;
    let repo = Repo::create(&directory, "main", settings.now)?;
    let of = "the bundled sample, because there is no Node repository here".to_owned();
    let own = settings_of_sample(settings, &directory)?;
    Ok((repo, of, Some(own)))
}

/// The settings that the sample's own configuration makes.
fn settings_of_sample(settings: &Settings, directory: &Path) -> Result<Settings, Failure> {
    let text = files::read_bounded(
        &directory.join("pkgs.json"),
        crate::settings::config::LONGEST,
    )?;
    let file = ConfigFile {
        name: "pkgs.json".to_owned(),
        text: String::from_utf8_lossy(&text).into_owned(),
        form: Form::Own,
    };
    let collected = Collected {
        command: Some("rehearse".to_owned()),
        inputs: Inputs::default(),
        own: Own::default(),
        problems: Vec::new(),
    };
    let world = World {
        directory: directory.to_path_buf(),
        environment: settings.person_environment.clone(),
        now: settings.now,
        nonce: settings.nonce,
        ..World::default()
    };
    let own = Settings::resolve(collected, &[file], world)?;
    Ok(Settings {
        format: settings.format,
        ..own
    })
}

fn check_untouched(source: &Repo, before: &Snapshot) -> Result<(), Failure> {
    if source.snapshot()? == *before {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Integrity,
        "rehearse::touched",
        format!("{} changed during the rehearsal", source.root().display()),
    )
    .because("its HEAD, refs or git status are not what they were")
    .hint("if you did not change it yourself meanwhile, please report this"))
}

/// What a real release of the repository would still need; `asks` tells whether the real registry is asked, too.
async fn missing(
    settings: &Settings,
    stage: &Stage,
    source: &Repo,
    stop: &Stop,
    children: &Children,
    asks: bool,
) -> Result<Vec<Missing>, Failure> {
    let local = Settings {
        registry: RegistryAddress::Directory {
            path: stage.registry.clone(),
            url: None,
        },
        registries: Registries::default(),
        ..settings.clone()
    };
    let remotes = crate::apply::Remotes {
        store: None,
        registry: registry(&local)?,
        signer: None,
        forge: None,
        static_roots: std::sync::Arc::new(crate::commands::point::Roots::new(&local)),
        cdns: std::sync::Arc::new(crate::commands::point::Cdns::new(&local, children)),
    };
    let session = Session {
        settings: &local,
        repo: source,
        remotes: &remotes,
        stop,
        children,
        say: &|_| {},
        terminal: None,
        settled: None,
    };
    let mut planned = plan::plan(&session).await?;
    let unnamed = settle(settings, source, &mut planned.plan)?;
    let mut missing = plan::missing(settings, &planned.plan);
    missing.extend(unnamed);
    if let Some(notice) = plan::uncommitted(source, settings)? {
        missing.push(Missing {
            what: "commit".to_owned(),
            hint: format!("{}; a release refuses that", notice.message),
        });
    }
    if asks {
        missing.extend(refused_by_registry(settings, &session).await?);
    }
    missing.extend(plan::unready(&session));
    if !settings.opted_in {
        missing.push(Missing {
            what: "pkgs.json".to_owned(),
            hint: "an empty `{}` turns releases on in a workflow".to_owned(),
        });
    }
    Ok(missing)
}

/// Notes in a plan that was made for a directory where its packages really go, and that the repository sends one where the workflow did not.
fn settle(settings: &Settings, source: &Repo, plan: &mut Plan) -> Result<Option<Missing>, Failure> {
    let workspace = monorepo::workspace_at(source, &source.head()?, settings)?;
    let destinations = destinations(&workspace, settings);
    let mut unnamed = None;
    for package in &mut plan.packages {
        match destinations.get(&package.name) {
            Some(Ok(registry)) => package.registry.clone_from(registry),
            Some(Err(failure)) => {
                unnamed.get_or_insert_with(|| Missing {
                    what: "registries".to_owned(),
                    hint: failure.to_string(),
                });
            }
            None => {}
        }
    }
    Ok(unnamed)
}

/// Whether the real registry holds packages that nothing here marks, which a release refuses; that it does not answer is said.
async fn refused_by_registry(
    settings: &Settings,
    session: &Session<'_>,
) -> Result<Option<Missing>, Failure> {
    let remotes = crate::apply::Remotes {
        store: None,
        registry: registry(settings)?,
        signer: None,
        forge: None,
        static_roots: session.remotes.static_roots.clone(),
        cdns: session.remotes.cdns.clone(),
    };
    let unasked = |why: String| Missing {
        what: "registry".to_owned(),
        hint: format!(
            "it was not asked whether packages without a tag were published before: {why}"
        ),
    };
    let session = Session {
        remotes: &remotes,
        settings,
        ..*session
    };
    let head = session.repo.head()?;
    let asked = tokio::time::timeout(REGISTRY_ANSWERS, release::plan_at(&session, &head, true));
    Ok(match asked.await {
        Ok(Ok(_)) => None,
        // The release that is rehearsed says the first, and what is missing the second.
        Ok(Err(failure))
            if matches!(
                failure.code(),
                "workspace::unpublishable" | "plan::registry"
            ) =>
        {
            None
        }
        Ok(Err(failure)) if failure.code() == "plan::no_base" => Some(Missing {
            what: "tag".to_owned(),
            hint: failure.to_string(),
        }),
        Ok(Err(failure)) => Some(unasked(failure.to_string())),
        Err(_) => Some(unasked(format!(
            "no answer in {} seconds",
            REGISTRY_ANSWERS.as_secs()
        ))),
    })
}

async fn play(
    settings: &Settings,
    stage: &Stage,
    source: &Repo,
    stop: &Stop,
    children: &Children,
    rehearsal: &mut Rehearsal,
) -> Result<(), Failure> {
    let branch = source.current_branch().unwrap_or_else(|| "main".to_owned());
    let work = source.clone_for_rehearsal(&stage.root.join("origin.git"), &stage.work, &branch)?;
    let copied = bring_ignored(source, &stage.work)?;
    rehearsal.step(
        format!("cloned branch {branch}"),
        if copied.is_empty() {
            Vec::new()
        } else {
            vec![format!(
                "and brought what git ignores: {}",
                copied.join(", ")
            )]
        },
    );
    let workspace = monorepo::workspace_directory(source, settings)?;
    let local = stage.settings(settings, &workspace, branch);
    // Earlier releases are finished elsewhere, with a store that is not here.
    let tags = Seen {
        tip: None,
        tags: work.tags()?,
    };
    let settled = decisions::newest(&work, &work.head()?, &decisions::read(&work, &tags))?;
    let settled = settled.as_ref();
    let (first, told) = run_release(&local, &work, settled, stop, children).await?;
    rehearsal.step("released what changed", told);
    also_missing(settings, &first, rehearsal);
    let Some(touched) = touched_by_rehearsal(&local, &work)? else {
        rehearsal.step(
            "nothing to touch",
            vec!["the workspace has no versioned package".to_owned()],
        );
        return Ok(());
    };
    // What the rehearsal changes itself comes without an intent.
    let local = Settings {
        bump_from: BumpFrom::Commits,
        ..local
    };
    let mut live = BTreeSet::new();
    for (app, version) in apps_of(first.release.as_ref()) {
        let lines = point_at(&local, stop, &app, &version, false).await?;
        rehearsal.step(format!("promoted {app} {version}"), lines);
        live.insert(app);
    }
    // Two builds of an app are what a rollback needs: the release of what changed may have brought one, or none.
    for round in 1..=2 {
        let change = touched.join(&format!("rehearsal-{round}.txt"))?;
        catch_up(&local, &work)?;
        work.commit_file(
            &change,
            b"a change made by the rehearsal\n",
            "fix: a change made by the rehearsal",
            local.now + 60 * round,
        )?;
        push(&local, &work)?;
        let (next, told) = run_release(&local, &work, settled, stop, children).await?;
        rehearsal.step(format!("changed {change} and released again"), told);
        also_missing(settings, &next, rehearsal);
        let apps = apps_of(next.release.as_ref());
        if apps.is_empty() {
            rehearsal.step(
                "no rollback to rehearse",
                vec![
                    "there is no app; packages on npm go back with `rollback --npm-rollback`"
                        .to_owned(),
                ],
            );
            return Ok(());
        }
        if there_and_back(&local, stop, apps, &mut live, rehearsal).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Adds what the real thing would lack for a release that was rehearsed: the plan of the commit itself may hold less.
fn also_missing(settings: &Settings, report: &ReleaseReport, rehearsal: &mut Rehearsal) {
    let Some((plan, _)) = &report.plan else {
        return;
    };
    let mut further = plan::missing(settings, plan);
    further.retain(|further| {
        let mut known = rehearsal.missing.iter();
        !known.any(|known| known.what == further.what)
    });
    rehearsal.missing.splice(0..0, further);
}

/// Promotes builds; rolls back and forward again what was live before. Tells whether anything was.
async fn there_and_back(
    settings: &Settings,
    stop: &Stop,
    apps: Vec<(PackageName, Version)>,
    live: &mut BTreeSet<PackageName>,
    rehearsal: &mut Rehearsal,
) -> Result<bool, Failure> {
    let mut rolled_back = false;
    for (app, version) in apps {
        let lines = point_at(settings, stop, &app, &version, false).await?;
        rehearsal.step(format!("promoted {app} {version}"), lines);
        if live.contains(&app) {
            let lines = roll_back(settings, stop, &app).await?;
            rehearsal.step(format!("rolled {app} back"), lines);
            let lines = point_at(settings, stop, &app, &version, true).await?;
            rehearsal.step(format!("rolled {app} forward to {version} again"), lines);
            rolled_back = true;
        }
        live.insert(app);
    }
    Ok(rolled_back)
}

fn remote<'a>(settings: &Settings, work: &'a Repo) -> Result<Remote<'a>, Failure> {
    let address = Address::Configured {
        remote: settings.remote.clone(),
        environment: settings.person_environment.clone(),
    };
    Remote::open(work, address)
}

/// Moves the clone to its remote's tip, as `git pull` does: a release leaves its commit there.
fn catch_up(settings: &Settings, work: &Repo) -> Result<(), Failure> {
    match remote(settings, work)?.look(&settings.branches[0])?.tip {
        Some(tip) if tip != work.head()? => work.fast_forward(&tip),
        _ => Ok(()),
    }
}

/// Pushes the rehearsal's own change to its own remote.
fn push(settings: &Settings, work: &Repo) -> Result<(), Failure> {
    let remote = remote(settings, work)?;
    let branch = &settings.branches[0];
    let seen = remote.look(branch)?;
    let update = RefUpdate {
        name: format!("refs/heads/{branch}"),
        expected: seen.tip.map(|tip| tip.to_string()),
        new: work.head()?.to_string(),
    };
    remote.push(&[update], false).map_err(|error| match error {
        PushError::Moved(failure) | PushError::Refused(failure) | PushError::Uncertain(failure) => {
            failure
        }
    })
}

/// Releases, and gives what that tells.
async fn run_release(
    settings: &Settings,
    work: &Repo,
    settled: Option<&CommitId>,
    stop: &Stop,
    children: &Children,
) -> Result<(ReleaseReport, Vec<String>), Failure> {
    let _alone = worktree::alone(work)?;
    let remotes = connect(settings, children).await?;
    let said = Mutex::new(String::new());
    let say = |text: &str| {
        if let Ok(mut said) = said.lock() {
            said.push_str(text);
        }
    };
    let session = Session {
        settings,
        repo: work,
        remotes: &remotes,
        stop,
        children,
        say: &say,
        terminal: None,
        settled,
    };
    let report = Box::pin(release::release(&session)).await?;
    if let Ended::Failed(failure) = report.ended {
        return Err(failure);
    }
    say(&report.text());
    let said = said.into_inner().unwrap_or_default();
    Ok((report, said.lines().map(str::to_owned).collect()))
}

fn apps_of(release: Option<&Released>) -> Vec<(PackageName, Version)> {
    let mut apps: Vec<(PackageName, Version)> = release
        .into_iter()
        .flat_map(|release| &release.apps)
        .map(|app| (app.name.clone(), app.version.clone()))
        .collect();
    apps.dedup();
    apps
}

/// The directory that the rehearsal's own change goes into: a library that an app uses, so that the change runs through everything; else an app's, else the first package's.
fn touched_by_rehearsal(settings: &Settings, work: &Repo) -> Result<Option<RepoPath>, Failure> {
    let workspace = monorepo::workspace_at(work, &work.head()?, settings)?;
    let packages = &workspace.packages;
    let edges = workspace.edges()?;
    let used_by_app = edges
        .iter()
        .filter(|edge| {
            edge.from
                .is_some_and(|from| packages[from].kind == Kind::Service)
        })
        .map(|edge| &packages[edge.to])
        .find(|package| package.kind == Kind::Library);
    let versioned = || packages.iter().filter(|package| package.version.is_some());
    let app = versioned().find(|package| package.kind.is_app());
    Ok(used_by_app
        .or(app)
        .or_else(|| versioned().next())
        .map(|package| package.directory.clone()))
}
