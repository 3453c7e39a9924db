//! promote, rollback, hold, unhold, mark-bad, pin, unpin, status.
//!
//! They need the store and the static root only: no checkout, no git, no npm, no forge. What an environment points at is decided
//! by one conditional write; everything after it can be repeated, and is, by the same command run again.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::apply::builds::{self, Located};
use crate::apply::point::{Judge, Log, Pointed, Tip, environments_of};
use crate::apply::static_files::{Ground, Laid, OpenRoot, Survey};
use crate::environment::entry::{Circumstances, Event, Happened, Live, Source, State};
use crate::environment::target::{
    Skipped, Standing, To, Walk, live_at, nothing_to_roll_back_to, walk,
};
use crate::explain::{Exit, Failure, quoted};
use crate::name::{Digest, EnvironmentName, PackageName, ReleaseId};
use crate::plan::marks::{self, Mark};
use crate::plan::promote::{self, By, Found, Judgement, Wish};
use crate::plan::rollback;
use crate::plan::static_root::{self, StaticSetting};
use crate::release::app::AppManifest;
use crate::release::manifest;
use crate::remote::cdn::Cdn;
use crate::remote::store::Store;
use crate::report::environments::{
    AppStatus, EnvironmentStatus, POINT_SCHEMA, PackageStatus, Point, PointOutcome, Points,
    STATUS_SCHEMA, SkippedVersion, StaticCounts, Status, is_hostile,
};
use crate::settings::Apps;
use crate::version::Version;

/// The longest reason or actor, in characters.
const LONGEST_TEXT: usize = 500;
/// How many versions `unhold` looks at to find the one that waits.
const LOOKED_AT: usize = 10;

/// Whether the second commit descends from the first; `None` where nobody knows.
pub type Ancestry = dyn Fn(&str, &str) -> Option<bool> + Send + Sync;

/// What a person or a workflow asks of an environment.
#[derive(Clone)]
pub struct Request {
    /// Which apps.
    pub apps: Apps,
    /// The environment.
    pub environment: EnvironmentName,
    /// A version, a release id, a number of the log, or `previous`.
    pub to: Option<String>,
    /// Promote what is live in this environment.
    pub from: Option<EnvironmentName>,
    /// Why.
    pub reason: Option<String>,
    /// Who.
    pub actor: String,
    /// Whether a person asks, or automation.
    pub by: By,
    /// Override held, bad, and "not a descendant".
    pub force: bool,
    /// Everything but the writes.
    pub dry_run: bool,
    /// Now, RFC 3339.
    pub now: String,
    /// What makes this request one: the same text in every attempt of the same job step. The operation ids are made of it.
    pub operation: String,
    /// The workflow run.
    pub run: Option<String>,
    /// The environments that are configured; empty where nobody knows.
    pub environments: Vec<EnvironmentName>,
    /// The static root that is configured.
    pub static_root: StaticSetting,
    /// The CDN distribution that is configured.
    pub cdn: Option<String>,
    /// How many requests run side by side.
    pub concurrency: usize,
    /// Answers which commit descends from which, where a history is at hand.
    pub ancestry: Option<Arc<Ancestry>>,
}

/// What `status` is asked.
#[derive(Debug, Clone, Default)]
pub struct StatusRequest {
    /// Which apps; [`Apps::Default`] means all.
    pub apps: Apps,
    /// Only this environment.
    pub environment: Option<EnvironmentName>,
    /// The packages of the repository, where there is one.
    pub packages: Vec<PackageStatus>,
}

/// The outside that these commands speak to.
#[derive(Clone)]
pub struct Remotes {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Opens static roots.
    pub static_roots: Arc<dyn OpenRoot>,
    /// The CDN, where one is configured.
    pub cdn: Option<Arc<dyn Cdn>>,
}

/// Points environments at a version.
///
/// # Errors
/// Usage (2), a refusal (3), an integrity violation (6) or something temporary (75); with several apps, the failure of a later one
/// is in [`Points::failure`].
pub async fn promote(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    check_texts(request)?;
    let story = Story {
        request,
        remotes,
        op: "promote",
    };
    let targets = match (&request.to, &request.from) {
        (Some(_), Some(_)) => {
            return Err(usage("environment::to_and_from", "'to' and 'from' are both set")
                .hint("'to' names a version, 'from' takes the one that is live in another environment"));
        }
        (None, None) => {
            return Err(usage(
                "environment::no_target",
                "promote was not told which version",
            )
            .hint("--to 1.4.2, --to <release id>, or --from sit"));
        }
        (Some(to), None) => story.targets(Some(&To::parse(to)?)).await?,
        (None, Some(from)) => story.live_in(from).await?,
    };
    let deeds = targets
        .into_iter()
        .map(|(app, aim)| (app, Deed::Promote(aim.unwrap_or(Aim::Previous))))
        .collect();
    story.tell(deeds).await
}

/// Points environments at the last good version, marks the one left as bad, and holds automation.
///
/// # Errors
/// As [`promote()`]; `environment::overtaken` (4) when another version became live meanwhile.
pub async fn rollback(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    check_texts(request)?;
    if request.from.is_some() {
        return Err(usage("environment::from", "rollback does not take 'from'")
            .hint("'to' names the version to go back to; without it, the last good one is found"));
    }
    let story = Story {
        request,
        remotes,
        op: "rollback",
    };
    let to = request.to.as_deref().map(To::parse).transpose()?;
    let deeds = story
        .targets(to.as_ref())
        .await?
        .into_iter()
        .map(|(app, aim)| (app, Deed::Rollback(aim.unwrap_or(Aim::Previous))))
        .collect();
    story.tell(deeds).await
}

/// Stops automation.
///
/// # Errors
/// As [`promote()`].
pub async fn hold(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_environment(request, remotes, "hold", Mark::Hold).await
}

/// Allows automation again. Activates nothing, and says what waits.
///
/// # Errors
/// As [`promote()`].
pub async fn unhold(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_environment(request, remotes, "unhold", Mark::Unhold).await
}

/// Judges a version bad.
///
/// # Errors
/// As [`promote()`].
pub async fn mark_bad(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_version(request, remotes, "mark-bad", Mark::Bad).await
}

/// Keeps a version from being deleted.
///
/// # Errors
/// As [`promote()`].
pub async fn pin(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_version(request, remotes, "pin", Mark::Pin).await
}

/// Stops keeping a version.
///
/// # Errors
/// As [`promote()`].
pub async fn unpin(request: &Request, remotes: &Remotes) -> Result<Points, Failure> {
    judge_version(request, remotes, "unpin", Mark::Unpin).await
}

/// What runs where, since when, by whom, and what a rollback would do.
///
/// # Errors
/// Those of the store, and an integrity violation (6).
pub async fn status(request: &StatusRequest, remotes: &Remotes) -> Result<Status, Failure> {
    let store = remotes.store.as_ref();
    let names = match &request.apps {
        Apps::Named(names) => names.clone(),
        Apps::Default | Apps::All => builds::apps(store).await?,
    };
    let mut apps = Vec::new();
    for app in names {
        let mut environments = Vec::new();
        for environment in environments_of(store, &app).await? {
            if request
                .environment
                .as_ref()
                .is_some_and(|only| *only != environment)
            {
                continue;
            }
            let log = Log {
                store,
                app: &app,
                environment: &environment,
            };
            if let Some(tip) = log.tip().await? {
                environments.push(environment_status(log, &tip, remotes).await?);
            }
        }
        apps.push(AppStatus {
            name: app.to_string(),
            environments,
        });
    }
    Ok(Status {
        schema: STATUS_SCHEMA,
        packages: request.packages.clone(),
        apps,
    })
}

async fn environment_status(
    log: Log<'_>,
    tip: &Tip,
    remotes: &Remotes,
) -> Result<EnvironmentStatus, Failure> {
    let state = &tip.entry.state;
    let made_live = match state.since {
        Some(since) if since == tip.entry.seq => Some(tip.clone()),
        Some(since) => log.entry(since).await?,
        None => None,
    };
    let (end, _) = walk_back(log, state).await?;
    let ground = Ground {
        log,
        roots: remotes.static_roots.as_ref(),
        cdn: None,
        concurrency: 1,
        now: "",
    };
    let static_applied = match (&tip.entry.static_place, state.since) {
        (Some(_), Some(since)) => {
            let applied = ground.applied().await?;
            Some(applied.is_some_and(|applied| applied.seq >= since))
        }
        _ => None,
    };
    Ok(EnvironmentStatus {
        environment: log.environment.to_string(),
        current: state.version().map(str::to_owned),
        since: made_live.as_ref().map(|made| made.entry.at.clone()),
        seq: tip.entry.seq,
        by: made_live.as_ref().map(|made| made.entry.actor.clone()),
        op: made_live.as_ref().map(|made| made.entry.op.as_str()),
        hold: state.hold.clone(),
        bad: state.bad.clone(),
        pinned: state.pinned.clone(),
        rollback_to: end.map(|version| version.to_string()),
        static_applied,
        history: state.history.clone(),
    })
}

async fn judge_environment(
    request: &Request,
    remotes: &Remotes,
    op: &'static str,
    mark: Mark,
) -> Result<Points, Failure> {
    check_texts(request)?;
    if request.to.is_some() || request.from.is_some() {
        return Err(usage(
            "environment::target",
            format!("{op} does not take a version"),
        ));
    }
    let story = Story {
        request,
        remotes,
        op,
    };
    let deeds = story
        .targets(None)
        .await?
        .into_iter()
        .map(|(app, _)| (app, Deed::Environment(mark.clone())))
        .collect();
    story.tell(deeds).await
}

async fn judge_version(
    request: &Request,
    remotes: &Remotes,
    op: &'static str,
    mark: fn(Version) -> Mark,
) -> Result<Points, Failure> {
    check_texts(request)?;
    let Some(to) = &request.to else {
        return Err(usage(
            "environment::no_target",
            format!("{op} was not told which version"),
        )
        .hint("--to 1.4.2"));
    };
    let story = Story {
        request,
        remotes,
        op,
    };
    let deeds = story
        .targets(Some(&To::parse(to)?))
        .await?
        .into_iter()
        .map(|(app, aim)| (app, Deed::Version(aim.unwrap_or(Aim::Previous), mark)))
        .collect();
    story.tell(deeds).await
}

/// Where one app is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Aim {
    Version(Version),
    Previous,
    Seq(u64),
}

/// What is to be done to one app.
#[derive(Clone)]
enum Deed {
    Promote(Aim),
    Rollback(Aim),
    Environment(Mark),
    Version(Aim, fn(Version) -> Mark),
}

/// One request on its way through its apps.
struct Story<'a> {
    request: &'a Request,
    remotes: &'a Remotes,
    op: &'static str,
}

impl Story<'_> {
    fn store(&self) -> &dyn Store {
        self.remotes.store.as_ref()
    }

    /// The apps, and where each is to go.
    async fn targets(&self, to: Option<&To>) -> Result<Vec<(PackageName, Option<Aim>)>, Failure> {
        let aim = match to {
            Some(To::Release(id)) => return self.apps_of_release(id).await,
            Some(To::Version(version)) => Some(Aim::Version(version.clone())),
            Some(To::Seq(seq)) => Some(Aim::Seq(*seq)),
            Some(To::Previous) => Some(Aim::Previous),
            None => None,
        };
        let apps = self.apps(aim.as_ref()).await?;
        Ok(apps.into_iter().map(|app| (app, aim.clone())).collect())
    }

    async fn apps(&self, aim: Option<&Aim>) -> Result<Vec<PackageName>, Failure> {
        if let Apps::Named(names) = &self.request.apps {
            let mut names = names.clone();
            names.sort();
            names.dedup();
            return Ok(names);
        }
        let known = builds::apps(self.store()).await?;
        if self.request.apps == Apps::Default && known.len() > 1 {
            return Err(which_app(self.op, &known));
        }
        let mut apps = Vec::new();
        for app in &known {
            if self.request.apps == Apps::Default || self.is_about(app, aim).await? {
                apps.push(app.clone());
            }
        }
        if apps.is_empty() {
            return Err(usage(
                "environment::no_apps",
                format!(
                    "{} knows no app for this {}",
                    self.store().describe(),
                    self.op
                ),
            )
            .hint("check 'store' and 'environment'; 'release' records apps, 'status' lists them"));
        }
        Ok(apps)
    }

    /// `all` means: of the apps that are there, those the request can be about.
    async fn is_about(&self, app: &PackageName, aim: Option<&Aim>) -> Result<bool, Failure> {
        if let (Some(Aim::Version(version)), "promote") = (aim, self.op) {
            let versions = builds::versions(self.store(), app).await?;
            return Ok(versions.iter().any(|(recorded, _)| recorded == version));
        }
        let log = Log {
            store: self.store(),
            app,
            environment: &self.request.environment,
        };
        let tip = log.tip().await?;
        Ok(tip.is_some_and(|tip| self.op != "rollback" || tip.entry.state.current.is_some()))
    }

    async fn apps_of_release(
        &self,
        id: &ReleaseId,
    ) -> Result<Vec<(PackageName, Option<Aim>)>, Failure> {
        let refuse = |code, why: &str| {
            Failure::new(
                Exit::Refused,
                code,
                format!("release {id} cannot be the target"),
            )
            .because(why)
        };
        let Some(release) = builds::release(self.store(), id).await? else {
            return Err(refuse(
                "environment::unknown_release",
                "the store has no record of it",
            )
            .hint("an unfinished release is finished by 'release' on its branch"));
        };
        if release.status == manifest::Status::Abandoned {
            return Err(
                refuse("environment::abandoned", "it was abandoned").hint("take a later release")
            );
        }
        let mut targets = Vec::new();
        for app in &release.apps {
            let name = PackageName::parse(&app.name)?;
            let is_wanted = match &self.request.apps {
                Apps::Named(names) => names.contains(&name),
                Apps::Default | Apps::All => true,
            };
            if is_wanted {
                targets.push((name, Some(Aim::Version(Version::parse(&app.version)?))));
            }
        }
        if targets.is_empty() {
            return Err(refuse("environment::no_apps", "it has no such app"));
        }
        Ok(targets)
    }

    /// What is live in another environment.
    async fn live_in(
        &self,
        from: &EnvironmentName,
    ) -> Result<Vec<(PackageName, Option<Aim>)>, Failure> {
        if *from == self.request.environment {
            return Err(usage(
                "environment::from",
                format!("'from' and 'environment' are both {from}"),
            ));
        }
        let mut targets = Vec::new();
        for app in self.apps_with(from).await? {
            let log = Log {
                store: self.store(),
                app: &app,
                environment: from,
            };
            let tip = log.tip().await?;
            if tip.is_none() {
                self.check_environment(&app, from).await?;
            }
            let live = tip
                .as_ref()
                .and_then(|tip| tip.entry.state.version())
                .map(Version::parse)
                .transpose()?;
            match live {
                Some(version) => targets.push((app.clone(), Some(Aim::Version(version)))),
                None if self.request.apps == Apps::All => {}
                None => {
                    return Err(Failure::new(
                        Exit::Refused,
                        "environment::nothing_live",
                        format!("nothing of {app} is live in {from}"),
                    )
                    .hint("name a version with --to"));
                }
            }
        }
        if targets.is_empty() {
            return Err(Failure::new(
                Exit::Refused,
                "environment::nothing_live",
                format!("nothing is live in {from}"),
            )
            .hint("'status' shows what runs where"));
        }
        Ok(targets)
    }

    async fn apps_with(&self, environment: &EnvironmentName) -> Result<Vec<PackageName>, Failure> {
        if self.request.apps != Apps::All {
            return self.apps(None).await;
        }
        let mut apps = Vec::new();
        for app in builds::apps(self.store()).await? {
            if environments_of(self.store(), &app)
                .await?
                .contains(environment)
            {
                apps.push(app);
            }
        }
        Ok(apps)
    }

    /// Does every deed, one app after the other. With several apps all are judged before the first is touched.
    async fn tell(&self, deeds: Vec<(PackageName, Deed)>) -> Result<Points, Failure> {
        if deeds.len() > 1 && !self.request.dry_run {
            for (app, deed) in &deeds {
                self.point(app, deed, true).await?;
            }
        }
        let mut points = Points {
            schema: POINT_SCHEMA,
            apps: Vec::new(),
            failure: None,
        };
        let alone = deeds.len() == 1;
        for (app, deed) in &deeds {
            if points.failure.is_some() {
                points
                    .apps
                    .push(self.blank(app, PointOutcome::NotStarted, Vec::new()));
                continue;
            }
            match self.point(app, deed, self.request.dry_run).await {
                Ok(point) => points.apps.push(point),
                Err(failure) if alone => return Err(failure),
                Err(failure) => {
                    let mut reasons = vec![failure.what().to_owned()];
                    reasons.extend(failure.causes().iter().cloned());
                    points
                        .apps
                        .push(self.blank(app, PointOutcome::Failed, reasons));
                    points.failure = Some(failure);
                }
            }
        }
        Ok(points)
    }

    fn blank(&self, app: &PackageName, outcome: PointOutcome, reasons: Vec<String>) -> Point {
        Point {
            app: app.to_string(),
            environment: self.request.environment.to_string(),
            seq: None,
            op: self.op,
            from: None,
            to: None,
            held: false,
            static_files: StaticCounts::default(),
            dry_run: self.request.dry_run,
            outcome,
            reasons,
            skipped: Vec::new(),
            waiting: None,
        }
    }

    /// One app: judge, write the entry, then what can be repeated.
    async fn point(&self, app: &PackageName, deed: &Deed, dry_run: bool) -> Result<Point, Failure> {
        let ground = Ground {
            log: Log {
                store: self.store(),
                app,
                environment: &self.request.environment,
            },
            roots: self.remotes.static_roots.as_ref(),
            cdn: self.remotes.cdn.as_deref(),
            concurrency: self.request.concurrency,
            now: &self.request.now,
        };
        let mut judging = Judging {
            story: self,
            ground,
            deed,
            leaves: None,
            version: None,
            skipped: Vec::new(),
            survey: None,
        };
        let by = self.circumstances(app);
        let pointed = if dry_run {
            ground.log.rehearse(&by, &mut judging).await?
        } else {
            ground.log.append(&by, &mut judging).await?
        };
        let mut point = self.point_of(&ground, &pointed, &judging).await?;
        point.dry_run = dry_run;
        if dry_run {
            point.static_files = judging
                .survey
                .as_ref()
                .map_or_else(StaticCounts::default, |survey| counts(survey.counts()));
            if let Deed::Environment(Mark::Unhold) = deed {
                point.waiting = self.waiting(ground.log).await?;
            }
            return Ok(point);
        }
        if is_settled(deed, point.outcome) {
            point.static_files = self.settle(&ground, pointed.tip(), &point).await?;
        }
        if let Deed::Environment(Mark::Unhold) = deed {
            point.waiting = self.waiting(ground.log).await?;
        }
        Ok(point)
    }

    /// Static files, then the hint: everything here is repeated by the next run where it was not finished.
    async fn settle(
        &self,
        ground: &Ground<'_>,
        tip: Option<&Tip>,
        point: &Point,
    ) -> Result<StaticCounts, Failure> {
        if let Some(tip) = tip
            && let Err(failure) = ground.log.advance_hint(tip).await
        {
            tracing::warn!(%failure, "current.json was not moved; readers list the log instead");
        }
        if !matches!(point.op, "promote" | "rollback") {
            return Ok(StaticCounts::default());
        }
        let laid = ground.settle().await.map_err(|failure| {
            failure.because(format!(
                "{} of {} points at {} already; its static files are not finished, run the same command again",
                point.environment,
                point.app,
                point.to.as_deref().unwrap_or("it")
            ))
        })?;
        Ok(laid.map_or_else(StaticCounts::default, counts))
    }

    fn circumstances(&self, app: &PackageName) -> Circumstances {
        Circumstances {
            app: app.clone(),
            environment: self.request.environment.clone(),
            operation: operation_id(self.request, self.op, app),
            actor: self.request.actor.clone(),
            reason: self.request.reason.clone(),
            run: self.request.run.clone(),
            at: self.request.now.clone(),
        }
    }

    async fn point_of(
        &self,
        ground: &Ground<'_>,
        pointed: &Pointed,
        judging: &Judging<'_>,
    ) -> Result<Point, Failure> {
        let mut point = self.blank(ground.log.app, PointOutcome::Done, Vec::new());
        point.skipped = judging.skipped.iter().map(SkippedVersion::from).collect();
        point.to = judging.version.as_ref().map(Version::to_string);
        match pointed {
            Pointed::Appended {
                tip,
                before,
                reasons,
            } => {
                point.seq = Some(tip.entry.seq);
                point.held = tip.entry.state.hold.is_some();
                point.from.clone_from(before);
                point.reasons.clone_from(reasons);
            }
            Pointed::Happened { tip, past } => {
                self.past(ground, tip, past, &mut point).await?;
            }
            Pointed::Stayed { tip, judgement } => {
                point.seq = tip.as_ref().map(|tip| tip.entry.seq);
                let state = tip.as_ref().map(|tip| &tip.entry.state);
                point.from = state.and_then(State::version).map(str::to_owned);
                point.held = state.is_some_and(|state| state.hold.is_some());
                stayed(judgement, &mut point)?;
            }
        }
        Ok(point)
    }

    async fn past(
        &self,
        ground: &Ground<'_>,
        tip: &Tip,
        past: &Happened,
        point: &mut Point,
    ) -> Result<(), Failure> {
        let entry = ground.log.entry(past.seq).await?;
        point.outcome = PointOutcome::AlreadyDone;
        point.seq = Some(past.seq);
        point.from = entry.and_then(|tip| tip.entry.leaves);
        point.to.clone_from(&past.version);
        point.held = tip.entry.state.hold.is_some();
        point.reasons = vec![format!(
            "an earlier attempt did it already: entry {}",
            past.seq
        )];
        let live = tip.entry.state.version();
        if past.version.is_some() && live != past.version.as_deref() {
            point.reasons.push(format!(
                "since then it was pointed at {}",
                live.unwrap_or("nothing")
            ));
        }
        Ok(())
    }

    /// The newest version that could be promoted now, if it is newer than what is live.
    async fn waiting(&self, log: Log<'_>) -> Result<Option<String>, Failure> {
        let Some(tip) = log.tip().await? else {
            return Ok(None);
        };
        let state = &tip.entry.state;
        let live = state.version().map(Version::parse).transpose()?;
        let mut versions: Vec<Version> = builds::versions(log.store, log.app)
            .await?
            .into_iter()
            .map(|(version, _)| version)
            .filter(|version| live.as_ref().is_none_or(|live| version > live))
            .filter(|version| {
                let version = version.to_string();
                !state.is_bad(&version) && !state.is_retired(&version)
            })
            .collect();
        versions.sort();
        versions.dedup();
        for version in versions.into_iter().rev().take(LOOKED_AT) {
            if let Located::Ready { .. } =
                builds::find(log.store, log.app, log.environment, &version).await?
            {
                return Ok(Some(version.to_string()));
            }
        }
        Ok(None)
    }

    /// Refuses names that are neither configured nor used nor built for, where there is anything to compare with.
    async fn check_environment(
        &self,
        app: &PackageName,
        environment: &EnvironmentName,
    ) -> Result<(), Failure> {
        let mut known = environments_of(self.store(), app).await?;
        let versions = builds::versions(self.store(), app).await?;
        if known.is_empty() && versions.is_empty() {
            return Err(unknown_app(app, &builds::apps(self.store()).await?));
        }
        known.extend(self.request.environments.iter().cloned());
        for (_, variant) in versions {
            if let crate::name::Variant::Environment(name) = variant {
                known.push(name);
            }
        }
        known.sort();
        known.dedup();
        if known.is_empty() || known.contains(environment) {
            return Ok(());
        }
        let names: Vec<&str> = known.iter().map(EnvironmentName::as_str).collect();
        Err(usage(
            "environment::unknown",
            format!(
                "{environment} is neither configured nor was it ever used for {app}; there are {}",
                names.join(", ")
            ),
        )
        .hint(did_you_mean(environment.as_str(), &names)))
    }
}

/// Judges one app's deed on the newest entry, as often as another entry comes first.
struct Judging<'a> {
    story: &'a Story<'a>,
    ground: Ground<'a>,
    deed: &'a Deed,
    /// What a rollback leaves, fixed when it first looks.
    leaves: Option<String>,
    version: Option<Version>,
    skipped: Vec<Skipped>,
    survey: Option<Survey>,
}

#[async_trait]
impl Judge for Judging<'_> {
    async fn judge(&mut self, state: &State, tip: Option<&Tip>) -> Result<Judgement, Failure> {
        if tip.is_none() {
            let Log {
                app, environment, ..
            } = self.ground.log;
            self.story.check_environment(app, environment).await?;
        }
        match self.deed {
            Deed::Promote(aim) => self.promote(state, tip, aim).await,
            Deed::Rollback(aim) => self.rollback(state, tip, aim).await,
            Deed::Environment(mark) => Ok(marks::judge(state, &self.wish(), mark, true)),
            Deed::Version(aim, mark) => {
                let version = self.aim_at(state, aim).await?;
                let versions = builds::versions(self.ground.log.store, self.ground.log.app).await?;
                let is_known = versions.iter().any(|(recorded, _)| *recorded == version);
                self.version = Some(version.clone());
                Ok(marks::judge(state, &self.wish(), &mark(version), is_known))
            }
        }
    }
}

impl Judging<'_> {
    fn wish(&self) -> Wish<'_> {
        Wish {
            app: self.ground.log.app,
            environment: self.ground.log.environment,
            by: self.story.request.by,
            force: self.story.request.force,
        }
    }

    async fn promote(
        &mut self,
        state: &State,
        tip: Option<&Tip>,
        aim: &Aim,
    ) -> Result<Judgement, Failure> {
        let version = self.aim_at(state, aim).await?;
        self.version = Some(version.clone());
        let (found, manifest) = self.found(&version, state, tip).await?;
        let source = tip.and_then(|tip| tip.entry.source.as_ref());
        let judgement = promote::judge(
            state,
            source,
            &self.wish(),
            &version,
            &found,
            self.is_descendant(source, &found),
        );
        self.look_before(judgement, manifest.as_deref()).await
    }

    async fn rollback(
        &mut self,
        state: &State,
        tip: Option<&Tip>,
        aim: &Aim,
    ) -> Result<Judgement, Failure> {
        let leaves = match &self.leaves {
            Some(leaves) => leaves.clone(),
            None => rollback::leaves(state, &self.wish())?,
        };
        self.leaves = Some(leaves.clone());
        let live_now = state.version().unwrap_or("nothing");
        if live_now != leaves {
            let failure = rollback::overtaken(&self.wish(), &leaves, live_now);
            return Ok(Judgement::Refused(failure));
        }
        let version = self.aim_at(state, aim).await?;
        self.version = Some(version.clone());
        let (found, manifest) = self.found(&version, state, tip).await?;
        let judgement = rollback::judge(state, &self.wish(), &leaves, &version, &found);
        self.look_before(judgement, manifest.as_deref()).await
    }

    /// The version that `aim` means while `state` is true.
    async fn aim_at(&mut self, state: &State, aim: &Aim) -> Result<Version, Failure> {
        let Log {
            app, environment, ..
        } = self.ground.log;
        match aim {
            Aim::Version(version) => Ok(version.clone()),
            Aim::Seq(seq) => live_at(state, *seq).ok_or_else(|| {
                Failure::new(
                    Exit::Refused,
                    "environment::unknown_seq",
                    format!(
                        "nobody remembers what was live in {environment} of {app} after entry {seq}"
                    ),
                )
                .because("the history holds the newest 100 moves")
                .hint("'status' shows it; name a version instead")
            }),
            Aim::Previous => {
                let (end, skipped) = walk_back(self.ground.log, state).await?;
                let version =
                    end.ok_or_else(|| nothing_to_roll_back_to(app, environment, &skipped))?;
                // That the version left is passed over needs no saying.
                self.skipped = skipped
                    .into_iter()
                    .filter(|past| Some(past.version.as_str()) != state.version())
                    .collect();
                Ok(version)
            }
        }
    }

    async fn found(
        &self,
        version: &Version,
        state: &State,
        tip: Option<&Tip>,
    ) -> Result<(Found, Option<Box<AppManifest>>), Failure> {
        let Log {
            store,
            app,
            environment,
        } = self.ground.log;
        match builds::find(store, app, environment, version).await? {
            Located::Not(found) => Ok((found, None)),
            Located::Ready { build, manifest } => {
                let live = Live {
                    build,
                    source: Source {
                        commit: manifest.git.commit.clone(),
                        committed_at: manifest.git.committed_at.clone(),
                    },
                    static_place: self.place(version, &manifest, state, tip).await?,
                };
                Ok((Found::Ready(Box::new(live)), Some(manifest)))
            }
        }
    }

    /// Where the static files of `version` go. A rollback puts them back where they were; its entry knows.
    async fn place(
        &self,
        version: &Version,
        manifest: &AppManifest,
        state: &State,
        tip: Option<&Tip>,
    ) -> Result<Option<crate::environment::entry::StaticPlace>, Failure> {
        let Some(files) = manifest
            .static_files
            .as_ref()
            .filter(|files| files.count > 0)
        else {
            return Ok(None);
        };
        let request = self.story.request;
        let mut recorded = Some(files.root.clone());
        let mut cdn = tip.and_then(|tip| {
            let place = tip.entry.static_place.as_ref()?;
            place.cdn.clone().filter(|_| place.root == files.root)
        });
        if matches!(self.deed, Deed::Rollback(_))
            && let Some(step) = state
                .history
                .iter()
                .find(|step| step.version == version.to_string())
            && let Some(was) = self.ground.log.entry(step.seq).await?
        {
            match was.entry.static_place {
                Some(place) => {
                    recorded = Some(place.root);
                    cdn = place.cdn.or(cdn);
                }
                None if request.static_root == StaticSetting::Unset => return Ok(None),
                None => {}
            }
        }
        let cdn = request.cdn.clone().or(cdn);
        static_root::choose(
            &request.static_root,
            recorded.as_deref(),
            cdn.as_deref(),
            self.ground.log.app,
        )
    }

    fn is_descendant(&self, live: Option<&Source>, found: &Found) -> Option<bool> {
        let (Some(ancestry), Some(live), Found::Ready(wanted)) =
            (&self.story.request.ancestry, live, found)
        else {
            return None;
        };
        ancestry(&live.commit, &wanted.source.commit)
    }

    /// Everything that could refuse the static files is asked before the entry is written.
    async fn look_before(
        &mut self,
        judgement: Judgement,
        manifest: Option<&AppManifest>,
    ) -> Result<Judgement, Failure> {
        let Judgement::Append {
            event: Event::Promote { live, .. } | Event::Rollback { live, .. },
            ..
        } = &judgement
        else {
            return Ok(judgement);
        };
        let (Some(place), Some(files)) = (
            &live.static_place,
            manifest.and_then(|manifest| manifest.static_files.as_ref()),
        ) else {
            self.survey = None;
            return Ok(judgement);
        };
        let log = self.ground.log;
        if files.mutable > 0 && static_root::is_shared(&place.root) {
            let served = served_from(log, &place.root).await?;
            static_root::refuse_second_environment(
                &place.root,
                files.mutable,
                log.app,
                log.environment,
                &served,
            )?;
        }
        self.survey = Some(self.ground.survey(&live.build, place, files).await?);
        Ok(judgement)
    }
}

/// The other environments whose live version is served from `root`.
async fn served_from(log: Log<'_>, root: &str) -> Result<Vec<EnvironmentName>, Failure> {
    let mut served = Vec::new();
    for environment in log.other_environments().await? {
        let tip = log.beside(&environment).tip().await?;
        let is_served = tip.is_some_and(|tip| {
            tip.entry
                .static_place
                .is_some_and(|place| place.root == root)
        });
        if is_served {
            served.push(environment);
        }
    }
    Ok(served)
}

/// Walks the history back, looking at one version at a time.
async fn walk_back(
    log: Log<'_>,
    state: &State,
) -> Result<(Option<Version>, Vec<Skipped>), Failure> {
    let mut known = BTreeMap::new();
    loop {
        match walk(state, &known) {
            Walk::Go { version, skipped } => return Ok((Some(version), skipped)),
            Walk::Nowhere(skipped) => return Ok((None, skipped)),
            Walk::Ask(version) => {
                let standing =
                    match builds::find(log.store, log.app, log.environment, &version).await? {
                        Located::Ready { .. } => Standing::Ready,
                        Located::Not(Found::Abandoned(_)) => Standing::Abandoned,
                        Located::Not(Found::Incomplete(_)) => Standing::Incomplete,
                        Located::Not(Found::NoBuild(_) | Found::Ready(_)) => Standing::NoBuild,
                    };
                known.insert(version, standing);
            }
        }
    }
}

fn stayed(judgement: &Judgement, point: &mut Point) -> Result<(), Failure> {
    match judgement {
        Judgement::Refused(failure) => return Err(failure.clone()),
        Judgement::AlreadyThere { reasons } => {
            point.outcome = PointOutcome::AlreadyDone;
            point.reasons.clone_from(reasons);
        }
        Judgement::Held { hold, .. } => {
            point.outcome = PointOutcome::Held;
            point.reasons = vec![promote::describe(hold)];
        }
        Judgement::Bad { version } => {
            point.outcome = PointOutcome::Bad;
            point.reasons = vec![format!("{version} is marked bad")];
        }
        Judgement::NotDescendant { live, why, .. } => {
            point.outcome = PointOutcome::NotDescendant;
            point.reasons = vec![format!("{live} stays live"), why.clone()];
        }
        Judgement::Append { reasons, .. } => point.reasons.clone_from(reasons),
    }
    Ok(())
}

/// Whether what follows the entry is done (again): after moves, and after anything that was written.
fn is_settled(deed: &Deed, outcome: PointOutcome) -> bool {
    match outcome {
        PointOutcome::Done => true,
        PointOutcome::AlreadyDone => matches!(deed, Deed::Promote(_) | Deed::Rollback(_)),
        _ => false,
    }
}

fn counts(laid: Laid) -> StaticCounts {
    StaticCounts {
        changed: laid.changed,
        unchanged: laid.unchanged,
    }
}

/// A ULID that is the same in every attempt, and another one for every other deed.
fn operation_id(request: &Request, op: &str, app: &PackageName) -> String {
    let from = request.from.as_ref().map_or("", EnvironmentName::as_str);
    let text = [
        request.operation.as_str(),
        op,
        app.as_str(),
        request.environment.as_str(),
        request.to.as_deref().unwrap_or(""),
        from,
    ]
    .join("\n");
    let digest = Digest::of(text.as_bytes());
    let number = u128::from_str_radix(&digest.hex()[..32], 16).unwrap_or_default();
    ulid::Ulid::from_bytes(number.to_be_bytes()).to_string()
}

/// Text that others will read in their terminals: no control characters, no changes of direction, not too long.
fn check_texts(request: &Request) -> Result<(), Failure> {
    let texts = [
        ("reason", request.reason.as_deref()),
        ("actor", Some(request.actor.as_str())),
    ];
    for (name, text) in texts {
        let Some(text) = text else { continue };
        if text.chars().any(is_hostile) || text.chars().count() > LONGEST_TEXT {
            return Err(usage(
                "environment::text",
                format!("'{name}' cannot be recorded: {}", quoted(text)),
            )
            .hint(format!(
                "one line of at most {LONGEST_TEXT} characters, without control characters"
            )));
        }
    }
    Ok(())
}

fn usage(code: &'static str, what: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, code, what)
}

fn which_app(op: &str, known: &[PackageName]) -> Failure {
    let names: Vec<&str> = known.iter().map(PackageName::as_str).collect();
    usage(
        "environment::which_app",
        format!(
            "{op} was not told which app; there are {}",
            names.join(", ")
        ),
    )
    .hint("--app <name>, several of them, or --app all")
}

fn unknown_app(app: &PackageName, known: &[PackageName]) -> Failure {
    let names: Vec<&str> = known.iter().map(PackageName::as_str).collect();
    let failure = usage(
        "environment::unknown_app",
        format!("the store knows no app {app}"),
    );
    if names.is_empty() {
        return failure.hint("check 'store'; 'release' records apps");
    }
    failure
        .because(format!("it knows {}", names.join(", ")))
        .hint(did_you_mean(app.as_str(), &names))
}

fn did_you_mean(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .min();
    match nearest {
        Some((distance, nearest)) if distance <= 3 && distance < nearest.len() => {
            format!("did you mean {nearest}?")
        }
        _ => format!("one of {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;
