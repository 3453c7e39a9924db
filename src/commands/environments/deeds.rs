//! Doing what is asked, one app after the other: judge, write the entry, then what can be repeated.

use std::collections::{BTreeMap, BTreeSet};

use super::judging::{Judging, Moment};
use super::request::operation_id;
use super::{Aim, Deed, Story};
use crate::apply::UPLOADS;
use crate::apply::builds::{self, Located};
use crate::apply::point::{Log, Pointed, Tip};
use crate::apply::static_files::{Ground, Laid};
use crate::environment::entry::{Circumstances, Happened, State};
use crate::environment::target::{Walk, walk};
use crate::explain::{Exit, Failure};
use crate::name::PackageName;
use crate::plan::marks::Mark;
use crate::plan::promote::{self, Judgement};
use crate::plan::static_urls;
use crate::report::environments::{
    Now, POINT_SCHEMA, Point, PointOutcome, Points, SkippedVersion, StaticCounts,
};
use crate::settings::Choice;
use crate::version::Version;

/// How many versions `unhold` looks at to find the one that waits.
const LOOKED_AT: usize = 10;

impl Story<'_> {
    /// Does every deed, one app after the other. With several apps all are judged before the first is touched.
    pub(super) async fn tell(&self, deeds: Vec<(PackageName, Deed)>) -> Result<Points, Failure> {
        let begun = self.begun(&deeds).await?;
        if deeds.len() > 1 && !self.request.dry_run {
            for (app, deed) in &deeds {
                let judged = self.point(app, deed, &begun, true).await;
                judged.map_err(|failure| failure.because("no other app was touched either"))?;
            }
        }
        let mut points = Points {
            schema: POINT_SCHEMA,
            apps: Vec::new(),
            npm: None,
            failure: None,
        };
        let alone = deeds.len() == 1;
        let (mut is_over, mut failures) = (false, Vec::new());
        for (app, deed) in &deeds {
            if is_over {
                points
                    .apps
                    .push(self.blank(app, PointOutcome::NotStarted, Vec::new()));
                continue;
            }
            match self.point(app, deed, &begun, self.request.dry_run).await {
                // The pointer has moved: that a CDN is away keeps no other app where it is.
                Ok((point, failure)) => {
                    points.apps.push(point);
                    is_over = failure.as_ref().is_some_and(is_interruption);
                    failures.extend(failure);
                }
                Err(failure) if alone => return Err(failure),
                Err(failure) => {
                    let mut reasons = vec![failure.what().to_owned()];
                    reasons.extend(failure.causes().iter().cloned());
                    points
                        .apps
                        .push(self.blank(app, PointOutcome::Failed, reasons));
                    failures.push(failure);
                    is_over = true;
                }
            }
        }
        points.failure = Failure::all(failures);
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
            url: None,
            dry_run: self.request.dry_run,
            outcome,
            reasons,
            skipped: Vec::new(),
            waiting: None,
            now: None,
        }
    }

    /// One app: judge, write the entry, then what can be repeated, and why that is not finished.
    ///
    /// # Errors
    /// Where nothing was written.
    async fn point(
        &self,
        app: &PackageName,
        deed: &Deed,
        begun: &BTreeSet<Moment>,
        dry_run: bool,
    ) -> Result<(Point, Option<Failure>), Failure> {
        let ground = Ground {
            log: Log {
                store: self.store(),
                app,
                environment: &self.request.environment,
            },
            roots: self.remotes.static_roots.as_ref(),
            cdns: Some(self.remotes.cdns.as_ref()),
            without_cdn: self.request.cdn == Choice::Off,
            attempt: &self.request.attempt,
            concurrency: self.request.concurrency * UPLOADS,
            now: &self.request.now,
            stop: &self.request.stop,
        };
        let mut judging = Judging {
            story: self,
            ground,
            deed,
            leaves: None,
            version: None,
            skipped: Vec::new(),
            begun,
            located: None,
            survey: None,
        };
        let by = self.circumstances(app);
        self.request.stop.check()?;
        let pointed = if dry_run {
            ground.log.rehearse(&by, &mut judging).await?
        } else {
            ground.log.append(&by, &mut judging).await?
        };
        let mut point = self.point_of(&ground, &pointed, &judging).await?;
        point.dry_run = dry_run;
        point.url = pointed.tip().and_then(|tip| address(ground.log, tip));
        point.now = Some(now(&pointed, dry_run));
        if dry_run {
            if let Some(tip) = pointed.tip().filter(|_| moves(deed, point.outcome)) {
                let laid = Box::pin(ground.rehearse(judging.survey.as_ref(), tip)).await?;
                point.static_files = laid.map_or_else(StaticCounts::default, counts);
            }
            if let Deed::Environment(Mark::Unhold) = deed {
                point.waiting = self.waits(ground.log).await;
            }
            return Ok((point, None));
        }
        let mut unfinished = None;
        if is_settled(deed, point.outcome) {
            match self.settle(&ground, &pointed, &point).await {
                Ok(laid) => point.static_files = laid,
                Err(failure) => {
                    point.outcome = PointOutcome::Unfinished;
                    unfinished = Some(failure);
                }
            }
        }
        if let Deed::Environment(Mark::Unhold) = deed {
            point.waiting = self.waits(ground.log).await;
        }
        Ok((point, unfinished))
    }

    /// Static files, then the hint: everything here is repeated by the next run where it was not finished.
    async fn settle(
        &self,
        ground: &Ground<'_>,
        pointed: &Pointed,
        point: &Point,
    ) -> Result<StaticCounts, Failure> {
        let Some(tip) = pointed.tip() else {
            return Ok(StaticCounts::default());
        };
        if let Err(failure) = ground.log.advance_hint(tip).await {
            tracing::warn!(%failure, "current.json was not moved; readers list the log instead");
        }
        if !matches!(point.op, "promote" | "rollback") {
            return Ok(StaticCounts::default());
        }
        let is_own = matches!(pointed, Pointed::Appended { .. });
        match Box::pin(ground.settle(tip, is_own)).await {
            Ok(laid) => Ok(laid.map_or_else(StaticCounts::default, counts)),
            Err(failure) if is_interruption(&failure) => Err(unfinished(failure, point, tip)),
            Err(failure) => {
                // Others may have pointed it elsewhere meanwhile: nobody is led back from there.
                let now = ground.log.tip_from(tip).await;
                Err(unfinished(failure, point, now.as_ref().unwrap_or(tip)))
            }
        }
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
                point.from = before.version().map(str::to_owned);
                point.reasons.clone_from(reasons);
                if matches!(judging.deed, Deed::Rollback(Aim::Previous))
                    && leads_somewhere(&tip.entry.state)
                {
                    point
                        .reasons
                        .push("another 'rollback' would go further back".to_owned());
                }
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
        let hold = tip.entry.state.hold.as_ref();
        point.reasons.extend(hold.map(promote::describe));
        Ok(())
    }

    /// What waits, where that can be told: the entry stands whether or not it can.
    async fn waits(&self, log: Log<'_>) -> Option<String> {
        match self.waiting(log).await {
            Ok(waiting) => waiting,
            Err(failure) => {
                tracing::warn!(%failure, "what waits in {} of {} is not known", log.environment, log.app);
                None
            }
        }
    }

    /// The newest version that could be promoted now, if it is newer than what is live.
    async fn waiting(&self, log: Log<'_>) -> Result<Option<String>, Failure> {
        let Some(tip) = log.tip().await? else {
            return Ok(None);
        };
        let state = &tip.entry.state;
        let live = state.version().map(Version::parse).transpose()?;
        let recorded = builds::newest_first(builds::versions(log.store, log.app).await?);
        let mut bad_elsewhere = BTreeSet::new();
        for environment in log.other_environments().await? {
            let beside = log.beside(&environment).tip().await?;
            bad_elsewhere.extend(beside.into_iter().flat_map(|tip| tip.entry.state.bad));
        }
        let newer = recorded
            .into_iter()
            .filter(|version| live.as_ref().is_none_or(|live| version > live))
            .filter(|version| {
                let version = version.to_string();
                !state.is_bad(&version)
                    && !state.is_retired(&version)
                    && !bad_elsewhere.contains(&version)
            });
        for version in newer.take(LOOKED_AT) {
            if let Located::Ready { .. } =
                builds::find(log.store, log.app, log.environment, &version).await?
            {
                return Ok(Some(version.to_string()));
            }
        }
        Ok(None)
    }
}

/// Static files, or the CDN before them, do not follow the pointer yet. Said is what is live, and what finishes it: a rollback run again would
/// go further back.
fn unfinished(failure: Failure, point: &Point, tip: &Tip) -> Failure {
    let (app, environment) = (&point.app, &point.environment);
    let live = tip.entry.state.version().unwrap_or("nothing");
    let finish = format!(
        "'promote --environment {environment} --app {app} --to {live}' finishes it, also while it is held"
    );
    let failure = failure.because(format!(
        "{environment} of {app} points at {live} already (entry {}); what follows that is not finished",
        tip.entry.seq
    ));
    match failure.advice().map(str::to_owned) {
        Some(advice) if !is_finished_by_going_on(failure.exit()) => {
            failure.hint(format!("{advice}; then {finish}"))
        }
        _ => failure.hint(finish),
    }
}

/// Whether a failure is the wish to stop.
fn is_interruption(failure: &Failure) -> bool {
    matches!(failure.exit(), Exit::Interrupted | Exit::Terminated)
}

/// Whether nothing must be mended before a failure with this exit code.
fn is_finished_by_going_on(exit: Exit) -> bool {
    matches!(exit, Exit::Temporary | Exit::Interrupted | Exit::Terminated)
}

/// The public address of the static files that an entry speaks of.
pub(in crate::commands) fn address(log: Log<'_>, tip: &Tip) -> Option<String> {
    let url = tip.entry.static_place.as_ref()?.url.as_deref()?;
    static_urls::public(url, log.app, log.environment).ok()
}

/// What is true once `pointed` is said; after a dry run, what was true before.
fn now(pointed: &Pointed, dry_run: bool) -> Now {
    let (seq, state) = match pointed {
        Pointed::Appended { tip, before, .. } if dry_run => (tip.entry.seq - 1, Some(before)),
        _ => pointed
            .tip()
            .map_or((0, None), |tip| (tip.entry.seq, Some(&tip.entry.state))),
    };
    Now {
        current: state.and_then(State::version).map(str::to_owned),
        seq: (seq > 0).then_some(seq),
        held: state.is_some_and(|state| state.hold.is_some()),
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
        Judgement::Bad { why, .. } => {
            point.outcome = PointOutcome::Bad;
            point.reasons = vec![why.clone()];
        }
        Judgement::NotDescendant { live, why, .. } => {
            point.outcome = PointOutcome::NotDescendant;
            point.reasons = vec![format!("{live} stays live"), why.clone()];
        }
        Judgement::Append { reasons, .. } => point.reasons.clone_from(reasons),
    }
    Ok(())
}

/// Whether a rollback may have somewhere to go; it finds out which of the versions that were live has a build.
fn leads_somewhere(state: &State) -> bool {
    !matches!(walk(state, &BTreeMap::new()), Walk::Nowhere(_))
}

/// Whether a dry run tells what would follow the entry.
fn moves(deed: &Deed, outcome: PointOutcome) -> bool {
    matches!(deed, Deed::Promote(_) | Deed::Rollback(_)) && is_settled(deed, outcome)
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
        cdn_paths: laid.cdn_paths,
    }
}
