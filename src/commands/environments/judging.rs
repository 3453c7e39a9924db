//! What one app's deed comes to on the newest entry of its log.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{Aim, Deed, Story};
use crate::apply::builds::{self, Located};
use crate::apply::point::{Judge, Log, Tip};
use crate::apply::static_files::{Ground, Survey, progress};
use crate::environment::entry::{BadMark, Event, Live, Op, Source, State, StaticPlace};
use crate::environment::target::{Skipped, Standing, Walk, live_at, nothing_to_roll_back_to, walk};
use crate::explain::{Exit, Failure, plain};
use crate::name::{EnvironmentName, PackageName};
use crate::plan::marks::{self, Mark};
use crate::plan::promote::{self, Against, By, Found, Judgement, Wish};
use crate::plan::rollback;
use crate::plan::static_root::{self, Front};
use crate::plan::static_trust::{Doubt, Progress};
use crate::release::app::AppManifest;
use crate::settings::Choice;
use crate::version::Version;

/// Judges one app's deed on the newest entry, as often as another entry comes first.
pub(super) struct Judging<'a> {
    pub(super) story: &'a Story<'a>,
    pub(super) ground: Ground<'a>,
    pub(super) deed: &'a Deed,
    /// What a rollback leaves, fixed when it first looks.
    pub(super) leaves: Option<String>,
    pub(super) version: Option<Version>,
    pub(super) skipped: Vec<Skipped>,
    /// The runs that rolled back several apps and did not finish.
    pub(super) begun: &'a BTreeSet<Moment>,
    /// Where the way back ended.
    pub(super) located: Option<(Version, Located)>,
    pub(super) survey: Option<Survey>,
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
            Deed::Environment(mark) => {
                let judgement = marks::judge(state, &self.wish(), mark, &[]);
                self.dated(state, mark, judgement).await
            }
            Deed::Version(aim, mark) => {
                let version = self.aim_at(state, tip, aim).await?;
                let builds = builds::versions(self.ground.log.store, self.ground.log.app).await?;
                let recorded = builds::newest_first(builds);
                self.version = Some(version.clone());
                Ok(marks::judge(state, &self.wish(), &mark(version), &recorded))
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

    /// Adds since when it is held to what is said of a hold that stays as it is.
    async fn dated(
        &self,
        state: &State,
        mark: &Mark,
        mut judgement: Judgement,
    ) -> Result<Judgement, Failure> {
        if let (Judgement::AlreadyThere { reasons }, Mark::Hold { .. }, Some(hold)) =
            (&mut judgement, mark, &state.hold)
            && let Some(held) = self.ground.log.entry(hold.seq).await?
        {
            reasons.push(format!("held since {}", plain(&held.entry.at)));
        }
        Ok(judgement)
    }

    async fn promote(
        &mut self,
        state: &State,
        tip: Option<&Tip>,
        aim: &Aim,
    ) -> Result<Judgement, Failure> {
        let version = self.aim_at(state, tip, aim).await?;
        self.version = Some(version.clone());
        let (found, manifest) = self.found(&version, state, tip).await?;
        let source = tip.and_then(|tip| tip.entry.source.as_ref());
        let mut against = self.against(&version, tip).await?;
        if self.story.request.by == By::Person {
            against.bad.extend(self.bad_elsewhere(&version).await?);
        }
        let judgement = promote::judge(
            state,
            source,
            &self.wish(),
            &version,
            &found,
            &against,
            self.is_descendant(source, &found),
        );
        self.look_before(state, judgement, manifest.as_deref())
            .await
    }

    async fn rollback(
        &mut self,
        state: &State,
        tip: Option<&Tip>,
        aim: &Aim,
    ) -> Result<Judgement, Failure> {
        if let (Aim::Previous, None, Some(tip)) = (aim, &self.leaves, tip)
            && let Some(made) = self.begun_before(tip).await?
        {
            let live = state.version().unwrap_or("nothing");
            self.version = Some(Version::parse(live)?);
            return Ok(Judgement::AlreadyThere {
                reasons: vec![format!(
                    "entry {made} rolled back to {live} already, in a run that did not finish: that is gone on with, and nothing goes further back"
                )],
            });
        }
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
        let version = self.aim_at(state, tip, aim).await?;
        self.version = Some(version.clone());
        let (found, manifest) = self.found(&version, state, tip).await?;
        let against = self.against(&version, tip).await?;
        let judgement = rollback::judge(state, &self.wish(), &leaves, &version, &found, &against);
        self.look_before(state, judgement, manifest.as_deref())
            .await
    }

    /// The number of the last move, where it was a rollback of a run that did not finish: the same command again finishes that.
    async fn begun_before(&self, tip: &Tip) -> Result<Option<u64>, Failure> {
        let log = self.ground.log;
        if tip.entry.static_place.is_none() && self.begun.is_empty() {
            return Ok(None);
        }
        let Some(made) = last_rollback(log, tip).await? else {
            return Ok(None);
        };
        let is_begun = self.begun.contains(&moment(&made)) || is_unfinished(log, tip).await?;
        Ok(is_begun.then_some(made.entry.seq))
    }

    /// What people said against `version` here.
    async fn against(&self, version: &Version, tip: Option<&Tip>) -> Result<Against<'_>, Failure> {
        let bad = bad_in(self.ground.log, tip, &version.to_string()).await?;
        Ok(Against {
            bad: bad.into_iter().collect(),
            source: self.story.request.from.as_ref(),
        })
    }

    /// The app's other environments in which `version` is marked bad. One that cannot be read is said, and stops nobody, unless the
    /// version is taken from there.
    async fn bad_elsewhere(&self, version: &Version) -> Result<Vec<BadIn>, Failure> {
        let log = self.ground.log;
        let mut bad = Vec::new();
        for environment in log.other_environments().await? {
            let beside = log.beside(&environment);
            let read = async {
                let tip = beside.tip().await?;
                bad_in(beside, tip.as_ref(), &version.to_string()).await
            };
            match read.await {
                Ok(found) => bad.extend(found),
                Err(failure) if self.story.request.from.as_ref() == Some(&environment) => {
                    return Err(failure);
                }
                Err(failure) => {
                    tracing::warn!(%failure, "whether {version} is marked bad in {environment} is not known");
                }
            }
        }
        Ok(bad)
    }

    /// The version that `aim` means while `state` is true, after the entry `tip`.
    async fn aim_at(
        &mut self,
        state: &State,
        tip: Option<&Tip>,
        aim: &Aim,
    ) -> Result<Version, Failure> {
        let Log {
            app, environment, ..
        } = self.ground.log;
        match aim {
            Aim::Version(version) => Ok(version.clone()),
            Aim::Seq(seq) if tip.is_none_or(|tip| *seq > tip.entry.seq) => {
                let newest = tip.map_or(0, |tip| tip.entry.seq);
                let what = format!("there is no entry {seq} in {environment} of {app} yet");
                let failure = Failure::new(Exit::Refused, "environment::unknown_seq", what);
                Err(failure
                    .because(format!("the newest is entry {newest}"))
                    .hint("'status' shows them; a number alone means an entry, a version has dots"))
            }
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
                let (version, located) =
                    end.ok_or_else(|| nothing_to_roll_back_to(app, environment, &skipped))?;
                self.located = Some((version.clone(), located));
                // That the version left is passed over needs no saying.
                self.skipped = skipped
                    .into_iter()
                    .filter(|past| Some(past.version.as_str()) != state.version())
                    .collect();
                Ok(version)
            }
        }
    }

    /// What there is of `version`; where the way back ended at it, that was asked a moment ago.
    async fn found(
        &mut self,
        version: &Version,
        state: &State,
        tip: Option<&Tip>,
    ) -> Result<(Found, Option<Box<AppManifest>>), Failure> {
        let Log {
            store,
            app,
            environment,
        } = self.ground.log;
        let located = match self.located.take() {
            Some((found, located)) if found == *version => located,
            _ => builds::find(store, app, environment, version).await?,
        };
        match located {
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
    ) -> Result<Option<StaticPlace>, Failure> {
        let Some(files) = manifest
            .static_files
            .as_ref()
            .filter(|files| files.count > 0)
        else {
            return Ok(None);
        };
        let request = self.story.request;
        let mut recorded = Some(files.root.clone());
        let mut before = None;
        if matches!(self.deed, Deed::Rollback(_))
            && let Some(step) = state
                .history
                .iter()
                .find(|step| step.version == version.to_string())
            && let Some(was) = self.ground.log.entry(step.seq).await?
        {
            match was.entry.static_place {
                Some(place) => {
                    recorded = Some(place.root.clone());
                    before = Some(place);
                }
                None if request.static_root == Choice::Unset => return Ok(None),
                None => {}
            }
        }
        let app = self.ground.log.app;
        let Some(root) = static_root::choose(&request.static_root, recorded.as_deref(), app)?
        else {
            return Ok(None);
        };
        let newest = tip.and_then(|tip| tip.entry.static_place.as_ref());
        let url = request.static_url.as_deref();
        let Front { cdn, url } =
            static_root::in_front(&root, &request.cdn, url, newest, before.as_ref());
        Ok(Some(StaticPlace {
            root,
            cdn: cdn.map(|cdn| cdn.recorded().to_owned()),
            url,
        }))
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
        state: &State,
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
        let before = state.since.ok_or(Doubt::First);
        let survey = self.ground.survey(&live.build, place, files, before);
        let survey = survey.await?;
        // A release has stored them a moment ago.
        if self.story.request.by == By::Person {
            self.ground.holds_bytes(&survey).await?;
        }
        self.survey = Some(survey);
        Ok(judgement)
    }
}

/// When a run moved pointers, and who asked for it: the same in all of its entries.
pub(super) type Moment = (String, String);

fn moment(made: &Tip) -> Moment {
    (made.entry.at.clone(), made.entry.actor.clone())
}

/// The last move of a log whose newest entry is `tip`, where it was a rollback.
async fn last_rollback(log: Log<'_>, tip: &Tip) -> Result<Option<Tip>, Failure> {
    let made = match tip.entry.state.since {
        Some(since) if since == tip.entry.seq => Some(tip.clone()),
        Some(since) => log.entry(since).await?,
        None => None,
    };
    Ok(made.filter(|made| made.entry.op == Op::Rollback))
}

/// Whether the static files of what is live, or the CDN in front of them, do not follow it yet.
async fn is_unfinished(log: Log<'_>, tip: &Tip) -> Result<bool, Failure> {
    let progress = progress(log, tip).await?;
    Ok(progress.is_some_and(|progress| progress != Progress::Done))
}

impl Story<'_> {
    /// The runs that rolled back some of several apps and did not finish with one of them: whoever repeats that goes on with all of them.
    pub(super) async fn begun(
        &self,
        deeds: &[(PackageName, Deed)],
    ) -> Result<BTreeSet<Moment>, Failure> {
        let mut begun = BTreeSet::new();
        let back = |(_, deed): &&(PackageName, Deed)| matches!(deed, Deed::Rollback(Aim::Previous));
        for (app, _) in deeds.iter().filter(|_| deeds.len() > 1).filter(back) {
            let log = Log {
                store: self.store(),
                app,
                environment: &self.request.environment,
            };
            if let Some(tip) = log.tip().await?
                && let Some(made) = last_rollback(log, &tip).await?
                && is_unfinished(log, &tip).await?
            {
                begun.insert(moment(&made));
            }
        }
        Ok(begun)
    }
}

/// An environment in which a version is marked bad, and the entry that did it.
type BadIn = (EnvironmentName, Option<BadMark>);

/// Who judged `version` bad in the environment of `log`, whose newest entry is `tip`; `None` where nobody did.
async fn bad_in(log: Log<'_>, tip: Option<&Tip>, version: &str) -> Result<Option<BadIn>, Failure> {
    let Some(tip) = tip.filter(|tip| tip.entry.state.is_bad(version)) else {
        return Ok(None);
    };
    let mark = log.bad_mark(tip, version).await?;
    Ok(Some((log.environment.clone(), mark)))
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

/// Walks the history back, looking at one version at a time, to one that is ready.
pub(in crate::commands) async fn walk_back(
    log: Log<'_>,
    state: &State,
) -> Result<(Option<(Version, Located)>, Vec<Skipped>), Failure> {
    let mut known = BTreeMap::new();
    let mut found = BTreeMap::new();
    loop {
        match walk(state, &known) {
            Walk::Go { version, skipped } => {
                let located = found.remove(&version);
                return Ok((located.map(|located| (version, located)), skipped));
            }
            Walk::Nowhere(skipped) => return Ok((None, skipped)),
            Walk::Ask(version) => {
                let located = builds::find(log.store, log.app, log.environment, &version).await?;
                known.insert(version.clone(), standing(&located));
                found.insert(version, located);
            }
        }
    }
}

fn standing(located: &Located) -> Standing {
    match located {
        Located::Ready { .. } => Standing::Ready,
        Located::Not(Found::Abandoned(_)) => Standing::Abandoned,
        Located::Not(Found::Incomplete(_)) => Standing::Incomplete,
        Located::Not(Found::NoBuild(_) | Found::Unknown(_) | Found::Ready(_)) => Standing::NoBuild,
    }
}
