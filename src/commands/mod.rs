//! One story a page: each command reads, decides, does and tells.

pub mod abandon;
pub mod board;
pub mod connect;
pub mod decisions;
pub mod doctor;
pub mod environments;
pub mod finish;
pub mod gc;
pub mod mirror;
pub mod monorepo;
pub mod npm_rollback;
pub mod observe;
pub mod pack;
pub mod plan;
pub mod point;
pub mod preflight;
pub mod provenance;
pub mod publish;
pub mod pull;
pub mod ranges;
pub mod rebuild;
pub mod rehearse;
pub mod release;
pub mod released;
pub mod repository;
pub mod sample;
pub mod scene;
pub mod session;
pub mod snapshot;
pub mod status;
pub mod tag;
pub mod tarballs;
pub mod trust;
pub mod version;
pub mod why;

pub use connect::{connect, open_store, registry, signer};
pub use session::{Say, Session};

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::apply::Remotes;
use crate::explain::{Exit, Failure};
use crate::local::git::Repo;
use crate::local::process::Children;
use crate::local::stop::Stop;
use crate::local::terminal::Terminal;
use crate::release::pack::Pack;
use crate::report::environments::{Points, STATUS_SCHEMA, Status};
use crate::report::gc::Collected;
use crate::report::release::{Ended, ReleaseReport};
use crate::report::{self, outputs, summary};
use crate::settings::command::AbandonSettings;
use crate::settings::{Command, Deed, Format, PointSettings, Settings, StatusSettings};
use session::{current_branch, default_branch};

/// What a command leaves to be told.
#[derive(Debug, Default)]
pub struct Answer {
    /// The result, for stdout.
    pub stdout: String,
    /// What the runner's files get.
    pub appended: Vec<(PathBuf, String)>,
    /// What went wrong after something was told.
    pub failure: Option<Failure>,
}

/// Runs the command that `settings` name, or the one that the rules choose. What cannot wait for the end goes to `stdout`;
/// what nothing decides is asked at the `terminal`, where there is one.
pub async fn run(
    mut settings: Settings,
    stdout: Say<'_>,
    terminal: Option<&Terminal>,
    stop: &Stop,
    children: &Children,
) -> Answer {
    let told = tell(&mut settings, stdout, terminal, stop, children).await;
    told.unwrap_or_else(|failure| failed(&settings, failure))
}

async fn tell(
    settings: &mut Settings,
    stdout: Say<'_>,
    terminal: Option<&Terminal>,
    stop: &Stop,
    children: &Children,
) -> Result<Answer, Failure> {
    match &settings.command {
        Command::Plan
        | Command::Why(_)
        | Command::Release
        | Command::Version
        | Command::Publish
        | Command::Tag
        | Command::Pack { planned: true }
        | Command::Doctor
        | Command::Abandon(_)
        | Command::OnNpm(..) => {
            let repo = Repo::open(&settings.directory)?;
            choose(settings, &repo)?;
            let told = on_repository(settings, &repo, stdout, terminal, stop, children).await;
            let mut answer = told.map_err(|failure| of_partial_clone(failure, &repo))?;
            let failure = answer.failure.take();
            answer.failure = failure.map(|failure| of_partial_clone(failure, &repo));
            Ok(answer)
        }
        Command::Pack { planned: false } => {
            let packed = tokio::task::block_in_place(|| pack::as_it_is(settings, children))?;
            Ok(tell_packed(settings, &packed))
        }
        Command::Rehearse => Box::pin(rehearse::rehearse(settings, stop, children)).await,
        Command::Pull(asked) => {
            let pulled = Box::pin(pull::pull(settings, asked, children)).await?;
            Ok(answer(settings, pulled.text(), &pulled))
        }
        Command::Gc(store) => {
            let collected = Box::pin(gc::gc(settings, store, stop)).await?;
            Ok(tell_collected(settings, &collected))
        }
        Command::Status(asked) => tell_status(settings, asked, children).await,
        Command::Point(deed, asked) => tell_point(settings, *deed, asked, stop, children).await,
    }
}

/// What a failure to read is in a clone that was told to leave objects out: no damage.
fn of_partial_clone(failure: Failure, repo: &Repo) -> Failure {
    let partial = repo
        .partial_from()
        .filter(|_| failure.code() == "git::read");
    let Some(remote) = partial else {
        return failure;
    };
    let what = "this clone leaves out objects that are needed";
    Failure::new(Exit::Usage, "git::partial_clone", what)
        .because(failure)
        .hint(format!(
            "clone without --filter, or fetch what is left out: `git -c remote.{remote}.partialclonefilter= fetch --refetch {remote}`"
        ))
}

fn choose(settings: &mut Settings, repo: &Repo) -> Result<(), Failure> {
    if settings.snapshot.is_some()
        && matches!(settings.command, Command::Version | Command::Publish)
    {
        let what = "`snapshot` is set, and a snapshot is never decided";
        return Err(Failure::new(Exit::Usage, "version::snapshot", what).hint(
            "`release` publishes snapshots; leave `snapshot` out of `version` and `publish`",
        ));
    }
    if !settings.command_named {
        let current = current_branch(settings, repo);
        let default = default_branch(settings, repo);
        let branches = if settings.branches.is_empty() {
            default.into_iter().collect()
        } else {
            settings.branches.clone()
        };
        let branches = settings.release_branches(branches);
        settings.choose_command(current.as_deref(), &branches);
    } else if writes(&settings.command) && !is_trusted(settings) {
        return Err(Failure::new(
            Exit::Refused,
            "release::untrusted_event",
            format!(
                "a {} event never releases",
                settings.runner.event.as_deref().unwrap_or("nameless")
            ),
        )
        .because("what it carries may come from anybody")
        .hint("release from a push to a release branch, a schedule or workflow_dispatch; snapshots also from pull requests of the repository itself"));
    }
    Ok(())
}

/// Whether a command on a repository writes to the outside.
fn writes(command: &Command) -> bool {
    matches!(
        command,
        Command::Release
            | Command::Version
            | Command::Publish
            | Command::Tag
            | Command::Abandon(_)
            | Command::OnNpm(..)
    )
}

/// Whether the event may cause what was asked for.
fn is_trusted(settings: &Settings) -> bool {
    let runner = &settings.runner;
    match settings.snapshot {
        None => runner.may_release(),
        Some(_) => runner.may_snapshot(),
    }
}

async fn on_repository(
    settings: &Settings,
    repo: &Repo,
    stdout: Say<'_>,
    terminal: Option<&Terminal>,
    stop: &Stop,
    children: &Children,
) -> Result<Answer, Failure> {
    let edits = matches!(settings.command, Command::Pack { planned: true });
    let _alone = (edits || writes(&settings.command))
        .then(|| crate::local::worktree::alone(repo))
        .transpose()?;
    let delivers = matches!(
        settings.command,
        Command::Release | Command::Publish | Command::Abandon(_)
    );
    let mut closed = None;
    let remotes = if matches!(settings.command, Command::Doctor) {
        let (remotes, why) = connect::connect_as_far(settings, children).await?;
        closed = why;
        remotes
    } else if delivers && settings.snapshot.is_none() {
        connect(settings, children).await?
    } else {
        Remotes {
            store: None,
            registry: registry(settings)?,
            // A snapshot is published, too.
            signer: signer(settings),
            forge: None,
            static_roots: std::sync::Arc::new(point::Roots::new(settings)),
            cdns: std::sync::Arc::new(point::Cdns::new(settings, children)),
        }
    };
    let session = Session {
        settings,
        repo,
        remotes: &remotes,
        stop,
        children,
        say: &|text| match settings.format {
            Format::Text => stdout(text),
            Format::Json => text.lines().for_each(|line| tracing::info!("{line}")),
        },
        terminal: terminal.filter(|_| may_ask(settings)),
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
    match &settings.command {
        Command::Why(package) => {
            let why = why::why(&session, package).await?;
            Ok(answer(settings, report::why::text(&why), &why))
        }
        Command::Release => {
            let report = match settings.snapshot {
                None => release::release(&session).await?,
                Some(_) => snapshot::snapshot(&session).await?,
            };
            Ok(tell_release(settings, &report))
        }
        Command::Version => {
            let report = Box::pin(version::version(&session)).await?;
            Ok(tell_release(settings, &report))
        }
        Command::Publish => {
            let report = publish::publish(&session).await?;
            if publish::had_nothing_to_do(&report) {
                (session.say)(
                    "nothing to publish: the registry has every decided version that the branch still holds\n",
                );
            }
            Ok(tell_release(settings, &report))
        }
        Command::Pack { .. } => {
            let packed = Box::pin(pack::planned(&session)).await?;
            Ok(tell_packed(settings, &packed))
        }
        Command::Tag => tell_tagged(&session).await,
        Command::Doctor => tell_checkup(&session, closed).await,
        Command::Abandon(asked) => tell_abandoned(&session, asked).await,
        Command::OnNpm(direction, asked) => {
            let points = Box::pin(npm_rollback::by_tags(&session, *direction, asked)).await?;
            Ok(tell_points(settings, direction.title(), &points))
        }
        _ => tell_plan(&session).await,
    }
}

/// Whether a person may be there who can be asked.
fn may_ask(settings: &Settings) -> bool {
    let runner = &settings.runner;
    settings.format == Format::Text && !runner.is_actions && !runner.is_ci
}

async fn tell_plan(session: &Session<'_>) -> Result<Answer, Failure> {
    let settings = session.settings;
    let planned = plan::plan(session).await?;
    let (missing, provenance) = (&planned.missing, &planned.provenance);
    let mut text = crate::plan::render::text(&planned.plan, missing, provenance);
    if let Some(reason) = &settings.command_reason {
        let _ = writeln!(text, "this was a plan: {reason}");
    }
    let mut answer = answer(settings, text, &planned.document);
    let ended = if planned.plan.packages.is_empty() {
        Ended::Nothing
    } else {
        Ended::Planned
    };
    let report = ReleaseReport::new(ended).planned(planned.plan, planned.document);
    answer.appended = for_runner(settings, &report, None);
    Ok(answer)
}

/// What the files of the runner get of a release or a plan, and of what it failed of.
fn for_runner(
    settings: &Settings,
    report: &ReleaseReport,
    failure: Option<&Failure>,
) -> Vec<(PathBuf, String)> {
    let outputs = settings
        .runner
        .output_file
        .clone()
        .map(|file| (file, outputs::lines(&outputs::of_release(report))));
    let summary = settings
        .runner
        .summary_file
        .clone()
        .map(|file| (file, summary::of_release(report, failure)));
    outputs.into_iter().chain(summary).collect()
}

/// The answer of a command that failed before it could tell anything.
fn failed(settings: &Settings, failure: Failure) -> Answer {
    let (what, outputs) = match &settings.command {
        Command::Release => ("Release", outputs::of_failure()),
        Command::Version => ("Version", outputs::of_failure()),
        Command::Publish => ("Publish", outputs::of_failure()),
        Command::Plan => ("Plan", outputs::of_failure()),
        Command::Tag => ("Tag", Vec::new()),
        Command::Doctor => ("Doctor", Vec::new()),
        Command::Abandon(_) => ("Abandon", Vec::new()),
        Command::Gc(_) => ("Gc", Vec::new()),
        Command::Point(deed, _) => (deed.title(), Vec::new()),
        Command::OnNpm(direction, _) => (direction.title(), Vec::new()),
        Command::Why(_)
        | Command::Pack { .. }
        | Command::Rehearse
        | Command::Status(_)
        | Command::Pull(_) => {
            return Answer {
                failure: Some(failure),
                ..Answer::default()
            };
        }
    };
    let files = &settings.runner;
    let outputs = files
        .output_file
        .clone()
        .map(|file| (file, outputs::lines(&outputs)));
    let summary = files
        .summary_file
        .clone()
        .map(|file| (file, summary::of_failure(what, &failure)));
    Answer {
        appended: outputs.into_iter().chain(summary).collect(),
        failure: Some(failure),
        ..Answer::default()
    }
}

fn tell_release(settings: &Settings, report: &ReleaseReport) -> Answer {
    let mut answer = answer(settings, report.text(), &report.json());
    answer.failure = match &report.ended {
        // What was refused after the decision changed something all the same, and is gone on with.
        Ended::Failed(failure) if failure.exit() == Exit::Refused && report.stands_decided() => {
            Some(failure.clone().ending_in(Exit::Temporary))
        }
        Ended::Failed(failure) => Some(failure.clone()),
        _ => report.deeds.unmoved().cloned(),
    };
    answer.appended = for_runner(settings, report, answer.failure.as_ref());
    answer
}

fn tell_packed(settings: &Settings, packed: &Pack) -> Answer {
    let directory = settings.artifacts.as_deref();
    let directory = directory.map_or_else(|| ".".to_owned(), |path| path.display().to_string());
    let directory = (!settings.dry_run).then_some(directory.as_str());
    answer(settings, report::pack::text(packed, directory), packed)
}

async fn tell_checkup(session: &Session<'_>, closed: Option<Failure>) -> Result<Answer, Failure> {
    let settings = session.settings;
    let checkup = Box::pin(doctor::doctor(session, closed)).await?;
    let mut answer = answer(settings, checkup.text(), &checkup);
    if let Some(file) = &settings.runner.summary_file {
        answer.appended.push((file.clone(), checkup.summary()));
    }
    answer.failure = checkup.failure();
    Ok(answer)
}

async fn tell_tagged(session: &Session<'_>) -> Result<Answer, Failure> {
    let settings = session.settings;
    let tagged = tag::tag(session).await?;
    let mut answer = answer(settings, tagged.text(), &tagged);
    if let Some(file) = &settings.runner.output_file {
        let text = outputs::lines(&tagged.outputs());
        answer.appended.push((file.clone(), text));
    }
    Ok(answer)
}

async fn tell_abandoned(session: &Session<'_>, asked: &AbandonSettings) -> Result<Answer, Failure> {
    let settings = session.settings;
    let abandoned = abandon::abandon(session, asked).await?;
    let mut answer = answer(settings, abandoned.text(), &abandoned);
    if let Some(file) = &settings.runner.output_file {
        let text = outputs::lines(&abandoned.outputs());
        answer.appended.push((file.clone(), text));
    }
    Ok(answer)
}

async fn tell_point(
    settings: &Settings,
    deed: Deed,
    asked: &PointSettings,
    stop: &Stop,
    children: &Children,
) -> Result<Answer, Failure> {
    let remotes = point::remotes(settings, open_store(&asked.store).await?, children);
    let request = point::request(settings, asked, stop);
    if matches!(deed, Deed::Promote | Deed::Rollback) {
        point::warn_of_unknown_distributions(settings, asked, remotes.store.as_ref()).await;
    }
    let pointed = match deed {
        Deed::Promote => environments::promote(&request, &remotes).await,
        Deed::Rollback => environments::rollback(&request, &remotes).await,
        Deed::Hold => environments::hold(&request, &remotes).await,
        Deed::Unhold => environments::unhold(&request, &remotes).await,
        Deed::MarkBad => environments::mark_bad(&request, &remotes).await,
        Deed::Pin => environments::pin(&request, &remotes).await,
        Deed::Unpin => environments::unpin(&request, &remotes).await,
    };
    // A failure that is no refusal may have come after the entry was written.
    let unchanged = [Exit::Usage, Exit::Refused];
    let changed = pointed
        .as_ref()
        .map_or_else(|failure| !unchanged.contains(&failure.exit()), |_| true);
    if changed && stop.requested().is_none() {
        board::refresh(settings, &asked.store, &remotes.store).await;
    }
    let mut points = pointed?;
    if let Some(direction) = asked.npm {
        let registry = registry(settings)?;
        let writing = npm_rollback::Writing {
            settings,
            registry: &registry,
            stop,
            direction,
            reason: asked.reason.as_deref(),
        };
        let store = remotes.store.as_ref();
        let followed = npm_rollback::follow(&writing, store, &request, &mut points).await;
        if let Err(failure) = followed {
            points.failure.get_or_insert(failure);
        }
    }
    Ok(tell_points(settings, deed.title(), &points))
}

fn tell_points(settings: &Settings, title: &str, points: &Points) -> Answer {
    let mut answer = answer(settings, report::environments::points(points), points);
    if let Some(file) = &settings.runner.output_file {
        let text = outputs::lines(&outputs::of_points(points));
        answer.appended.push((file.clone(), text));
    }
    if let Some(file) = &settings.runner.summary_file {
        let text = summary::of_points(title, points);
        answer.appended.push((file.clone(), text));
    }
    answer.failure.clone_from(&points.failure);
    answer
}

fn tell_collected(settings: &Settings, collected: &Collected) -> Answer {
    let mut answer = answer(settings, collected.text(), collected);
    if let Some(file) = &settings.runner.summary_file {
        answer.appended.push((file.clone(), collected.summary()));
    }
    answer.failure.clone_from(&collected.failure);
    answer
}

async fn tell_status(
    settings: &Settings,
    asked: &StatusSettings,
    children: &Children,
) -> Result<Answer, Failure> {
    let unreleased = status::unreleased(settings, &asked.apps)?;
    let mut store = None;
    let status = match &asked.store {
        None => Status {
            schema: STATUS_SCHEMA,
            at: report::moment(settings.now),
            store: None,
            environments: point::environments_of(settings)
                .iter()
                .map(ToString::to_string)
                .collect(),
            packages: unreleased.packages,
            next_unknown: unreleased.next_unknown,
            apps: Vec::new(),
            asked: None,
            failure: None,
        },
        Some(named) => {
            let opened = store.insert(open_store(named).await?);
            let remotes = point::remotes(settings, Arc::clone(opened), children);
            let request = status::StatusRequest {
                apps: asked.apps.clone(),
                environment: asked.environment.clone(),
                builds: asked.as_page || settings.format == Format::Json,
                unreleased,
                ..board::request(settings, named)
            };
            Box::pin(status::status(&request, &remotes)).await?
        }
    };
    if !asked.as_page {
        let text = report::environments::status(&status);
        return Ok(Answer {
            failure: status.failure.clone(),
            ..answer(settings, text, &status)
        });
    }
    let page = report::board::page(&status);
    let failure = match (&settings.board, store) {
        (Some(place), Some(store)) if !settings.dry_run => {
            board::put(place, &store, &page).await.err()
        }
        _ => None,
    };
    Ok(Answer {
        stdout: page,
        failure: Failure::all(status.failure.into_iter().chain(failure).collect()),
        ..Answer::default()
    })
}

fn answer(settings: &Settings, text: String, document: &impl serde::Serialize) -> Answer {
    let stdout = match settings.format {
        Format::Text => text,
        Format::Json => {
            let mut json = serde_json::to_string_pretty(document)
                .unwrap_or_else(|error| unreachable!("wire types always serialize: {error}"));
            json.push('\n');
            json
        }
    };
    Answer {
        stdout,
        ..Answer::default()
    }
}
