//! `rehearse`: the whole release and a rollback of the repository it stands in, against a directory store and a directory registry, on a clone in a temporary place. The repository itself stays untouched, and that is checked.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use url::Url;

use crate::commands::environments::{self, Request};
use crate::commands::{
    Session, Told, connect, decisions, observe, plan, point, release, sample, told,
};
use crate::explain::{Exit, Failure};
use crate::local::git::{Repo, Snapshot};
use crate::local::process::Children;
use crate::local::push::{Address, PushError, RefUpdate, Remote, Seen};
use crate::local::stop::Stop;
use crate::local::{files, worktree};
use crate::name::{CommitId, EnvironmentName, PackageName, RepoPath};
use crate::plan::promote::By;
use crate::plan::render::Missing;
use crate::plan::static_root::StaticSetting;
use crate::report::release::{Ended, ReleaseReport, Released};
use crate::settings::address::StoreAddress;
use crate::settings::config::ConfigFile;
use crate::settings::given::Inputs;
use crate::settings::inputs::Collected;
use crate::settings::runner::Runner;
use crate::settings::{Apps, Choice, Command, RegistryAddress, Settings, StoreSettings, World};
use crate::version::Version;
use crate::workspace::package::Kind;

/// The places of a rehearsal, below one temporary directory that stays, so that a person can look.
struct Stage {
    root: PathBuf,
    work: PathBuf,
    store: PathBuf,
    registry: PathBuf,
    static_root: PathBuf,
}

/// What a rehearsal did, as it is told.
#[derive(Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Rehearsal {
    schema: &'static str,
    of: String,
    directory: String,
    steps: Vec<Step>,
    missing: Vec<Missing>,
}

#[derive(Debug, serde::Serialize)]
struct Step {
    title: String,
    lines: Vec<String>,
}

impl Rehearsal {
    fn step(&mut self, title: impl Into<String>, lines: Vec<String>) {
        self.steps.push(Step {
            title: title.into(),
            lines,
        });
    }

    fn text(&self) -> String {
        let mut text = format!("rehearsal of {}\n", self.of);
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(text, "\n{}. {}", number + 1, step.title);
            for line in &step.lines {
                let _ = writeln!(text, "   {line}");
            }
        }
        let _ = writeln!(
            text,
            "\nlook around in {} (delete it when you are done)",
            self.directory
        );
        for (name, what) in [
            ("work", "the clone that was released"),
            ("origin.git", "the remote: commits and tags"),
            ("npm", "the registry, as files: what would be published"),
            ("store", "archives, manifests and pointer logs"),
            ("static", "static files as they would be served"),
        ] {
            let _ = writeln!(text, "  {name:10} {what}");
        }
        if self.missing.is_empty() {
            text.push_str("\nnothing is missing for the real thing\n");
        } else {
            text.push_str("\nmissing for the real thing\n");
            for Missing { what, hint } in &self.missing {
                let _ = writeln!(text, "  {what:10} {hint}");
            }
        }
        text
    }
}

/// Rehearses a release, a second one, a rollback and the way forward again.
///
/// # Errors
/// What a release or rollback would fail with; `rehearse::touched`, exit 6, if the repository itself changed.
pub async fn rehearse(
    settings: &Settings,
    stop: &Stop,
    children: &Children,
) -> Result<Told, Failure> {
    let stage = Stage::make()?;
    let (source, of, own) = source(settings, &stage)?;
    let settings = own.as_ref().unwrap_or(settings);
    let before = source.snapshot()?;
    let mut rehearsal = Rehearsal {
        schema: "pkgs.rehearsal/1",
        of,
        directory: stage.root.display().to_string(),
        ..Rehearsal::default()
    };
    rehearsal.missing = missing(settings, &stage, &source, stop, children).await?;
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
    let mut told = told(settings, rehearsal.text(), &rehearsal);
    told.failure = ended.err();
    Ok(told)
}

/// The repository to rehearse: the one that contains the directory if it holds a `package.json`, else the sample.
fn source(settings: &Settings, stage: &Stage) -> Result<(Repo, String, Option<Settings>), Failure> {
    if let Ok(repo) = Repo::open(&settings.directory) {
        let head = repo.head()?;
        if repo
            .file(&head, &RepoPath::parse("package.json")?)?
            .is_some()
        {
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
        is_field: false,
    };
    let collected = Collected {
        command: Some("rehearse".to_owned()),
        inputs: Inputs::default(),
        once: false,
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

/// What a real release of the repository would still need.
async fn missing(
    settings: &Settings,
    stage: &Stage,
    source: &Repo,
    stop: &Stop,
    children: &Children,
) -> Result<Vec<Missing>, Failure> {
    let local = Settings {
        directory: source.root().to_path_buf(),
        registry: RegistryAddress::Directory {
            path: stage.registry.clone(),
            url: None,
        },
        ..settings.clone()
    };
    let remotes = crate::apply::Remotes {
        store: None,
        registry: crate::commands::registry(&local)?,
        forge: None,
    };
    let session = Session {
        settings: &local,
        repo: source,
        remotes: &remotes,
        stop,
        children,
        settled: None,
    };
    let planned = plan::plan(&session).await?;
    let mut missing = plan::missing(settings, &planned.plan);
    if source.remote_address(&settings.remote).is_none() {
        missing.push(Missing {
            what: "remote".to_owned(),
            hint: format!(
                "`git remote add {} <address>`: the release commit and its tags are pushed there",
                settings.remote
            ),
        });
    }
    if !settings.opted_in {
        missing.push(Missing {
            what: "pkgs.json".to_owned(),
            hint: "an empty `{}` turns releases on in a workflow".to_owned(),
        });
    }
    Ok(missing)
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
    let local = stage.settings(settings, branch);
    // Earlier releases are finished elsewhere, with a store that is not here.
    let tags = Seen {
        tip: None,
        tags: work.tags()?,
    };
    let settled = decisions::newest(&work, &work.head()?, &decisions::read(&work, &tags))?;
    let settled = settled.as_ref();
    let first = run_release(&local, &work, settled, stop, children).await?;
    rehearsal.step("released what changed", told_release(&first));
    let Some(touched) = touched_by_rehearsal(&local, &work)? else {
        rehearsal.step(
            "nothing to touch",
            vec!["the workspace has no versioned package".to_owned()],
        );
        return Ok(());
    };
    let mut live = BTreeSet::new();
    for (app, version) in apps_of(first.release.as_ref()) {
        let lines = point_at(&local, &app, &version, false).await?;
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
        let next = run_release(&local, &work, settled, stop, children).await?;
        rehearsal.step(
            format!("changed {change} and released again"),
            told_release(&next),
        );
        let apps = apps_of(next.release.as_ref());
        if apps.is_empty() {
            rehearsal.step(
                "no rollback to rehearse",
                vec!["there is no app; npm packages are corrected by a higher version".to_owned()],
            );
            return Ok(());
        }
        if there_and_back(&local, apps, &mut live, rehearsal).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Promotes builds; rolls back and forward again what was live before. Tells whether anything was.
async fn there_and_back(
    settings: &Settings,
    apps: Vec<(PackageName, Version)>,
    live: &mut BTreeSet<PackageName>,
    rehearsal: &mut Rehearsal,
) -> Result<bool, Failure> {
    let mut rolled_back = false;
    for (app, version) in apps {
        let lines = point_at(settings, &app, &version, false).await?;
        rehearsal.step(format!("promoted {app} {version}"), lines);
        if live.contains(&app) {
            let lines = roll_back(settings, &app).await?;
            rehearsal.step(format!("rolled {app} back"), lines);
            let lines = point_at(settings, &app, &version, true).await?;
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

async fn run_release(
    settings: &Settings,
    work: &Repo,
    settled: Option<&CommitId>,
    stop: &Stop,
    children: &Children,
) -> Result<ReleaseReport, Failure> {
    let _alone = worktree::alone(work)?;
    let remotes = connect(settings).await?;
    let session = Session {
        settings,
        repo: work,
        remotes: &remotes,
        stop,
        children,
        settled,
    };
    let report = Box::pin(release::release(&session)).await?;
    match report.ended {
        Ended::Failed(failure) => Err(failure),
        _ => Ok(report),
    }
}

fn told_release(report: &ReleaseReport) -> Vec<String> {
    report.text().lines().map(str::to_owned).collect()
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
    let workspace = observe::workspace_at(work, &work.head()?, settings)?;
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

/// The environment that is rehearsed: the last one, which a release does not activate by itself.
fn environment(settings: &Settings, app: &PackageName) -> Result<EnvironmentName, Failure> {
    let own = settings.app_settings(app);
    own.environments
        .iter()
        .rev()
        .find(|name| !own.auto.contains(name))
        .or(own.environments.last())
        .cloned()
        .map_or_else(|| EnvironmentName::parse("prod"), Ok)
}

fn request(
    settings: &Settings,
    app: &PackageName,
    to: Option<String>,
    force: bool,
    deed: &str,
) -> Result<Request, Failure> {
    Ok(Request {
        apps: Apps::Named(vec![app.clone()]),
        environment: environment(settings, app)?,
        to,
        from: None,
        reason: Some("rehearsal".to_owned()),
        actor: "rehearsal".to_owned(),
        by: By::Person,
        force,
        dry_run: false,
        now: crate::report::moment(settings.now),
        operation: format!("{:032x} {deed}", settings.nonce),
        run: None,
        environments: settings.app_settings(app).environments.clone(),
        static_root: settings
            .static_root
            .value()
            .map_or(StaticSetting::Unset, |root| {
                StaticSetting::Root(root.clone())
            }),
        cdn: None,
        concurrency: settings.max_concurrency,
        ancestry: None,
    })
}

async fn point_at(
    settings: &Settings,
    app: &PackageName,
    version: &Version,
    force: bool,
) -> Result<Vec<String>, Failure> {
    let request = request(
        settings,
        app,
        Some(version.to_string()),
        force,
        &format!("promote {version} {force}"),
    )?;
    let points = environments::promote(&request, &environment_remotes(settings).await?).await?;
    finish(&points)
}

async fn roll_back(settings: &Settings, app: &PackageName) -> Result<Vec<String>, Failure> {
    let request = request(settings, app, None, false, "rollback")?;
    let points = environments::rollback(&request, &environment_remotes(settings).await?).await?;
    finish(&points)
}

async fn environment_remotes(settings: &Settings) -> Result<environments::Remotes, Failure> {
    let Some(store) = settings.store.value() else {
        return Err(Failure::new(
            Exit::Usage,
            "settings::missing",
            "a rehearsal has a store of its own",
        ));
    };
    Ok(point::remotes(
        settings,
        crate::commands::open_store(store).await?,
    ))
}

fn finish(points: &crate::report::environments::Points) -> Result<Vec<String>, Failure> {
    match &points.failure {
        Some(failure) => Err(failure.clone()),
        None => Ok(crate::report::environments::points(points)
            .lines()
            .map(str::to_owned)
            .collect()),
    }
}

/// Copies what git ignores (dependencies, build results) from the repository into the clone, but for files that hold secrets by custom.
fn bring_ignored(source: &Repo, work: &Path) -> Result<Vec<String>, Failure> {
    let mut brought = Vec::new();
    for path in source.ignored()? {
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        if name.starts_with(".env") || name == ".npmrc" {
            continue;
        }
        let (from, to) = (source.root().join(path.as_str()), work.join(path.as_str()));
        if from.is_dir() {
            files::copy_tree(&from, &to, |_, _| true)?;
        } else if from.is_file() {
            let copied = to
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::copy(&from, &to).map(drop));
            copied.map_err(|error| {
                Failure::new(
                    Exit::Temporary,
                    "rehearse::disk",
                    format!("{path} could not be copied"),
                )
                .because(error)
            })?;
        }
        brought.push(path.to_string());
    }
    Ok(brought)
}

impl Stage {
    fn make() -> Result<Stage, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(
                Exit::Temporary,
                "rehearse::disk",
                "a temporary directory could not be made",
            )
            .because(error)
            .hint("check the disk, or set TMPDIR")
        };
        let root = tempfile::Builder::new()
            .prefix("pkgs-action-rehearsal-")
            .tempdir()
            .map_err(failed)?
            .keep();
        let stage = Stage {
            work: root.join("work"),
            store: root.join("store"),
            registry: root.join("npm"),
            static_root: root.join("static"),
            root,
        };
        for directory in [&stage.store, &stage.registry, &stage.static_root] {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        Ok(stage)
    }

    /// The settings of the repository, with everything outside replaced by a directory.
    fn settings(&self, settings: &Settings, branch: String) -> Settings {
        Settings {
            command: Command::Release,
            directory: self.work.clone(),
            dry_run: false,
            registry: RegistryAddress::Directory {
                path: self.registry.clone(),
                url: None::<Url>,
            },
            npm_token: None,
            token: None,
            forge_release: false,
            store: Choice::On(StoreSettings {
                address: StoreAddress::Directory(self.store.clone()),
                endpoint: None,
                region: None,
            }),
            static_root: Choice::On(format!(
                "file://{}/{{environment}}/{{app}}",
                self.static_root.display()
            )),
            remote: "origin".to_owned(),
            branches: vec![branch],
            actor: Some("rehearsal".to_owned()),
            runner: Runner::default(),
            ..settings.clone()
        }
    }
}
