//! What others hear: the CDN, of what it may hold old copies of, and whoever comes next, by `static.json`. What is said is decided by
//! [`static_trust`](crate::plan::static_trust).

use std::collections::{BTreeMap, BTreeSet};

use super::set::read_set;
use super::{Ground, Survey};
use crate::apply::builds;
use crate::apply::point::{Log, Tip};
use crate::explain::{Exit, Failure};
use crate::name::Digest;
use crate::plan::static_trust::{self, Activation, Copies, Doubt, Ending, Progress, Rest};
use crate::plan::static_urls;
use crate::release::static_set::{StaticFile, StaticSet};
use crate::release::static_state::{Applied, SCHEMA};
use crate::release::{self, LONGEST_DOCUMENT, layout};
use crate::remote::cdn::{Cdn, Change};
use crate::remote::store::{Body, Headers};

/// What this run wrote, and what it found.
pub(super) struct Written<'a> {
    /// The paths.
    pub(super) paths: &'a BTreeSet<String>,
    /// Whether runs before it mended files of which the CDN was never told; which, nobody knows.
    pub(super) was_untold: bool,
}

/// What the CDN may hold old copies of.
struct Stale {
    /// The public address of the static files, where it is known.
    url: Option<String>,
    /// Paths below its host.
    paths: Vec<String>,
}

/// Of how many paths a CDN was told where nobody is told anything.
fn none_told(rest: Rest, survey: &Survey) -> Option<u64> {
    match rest {
        Rest::Said => survey.cdn.as_ref().map(|_| 0),
        Rest::Later(_) => None,
    }
}

impl Stale {
    fn count(&self) -> u64 {
        self.paths.len() as u64
    }
}

/// How far the static files of what is live have come; `None` when it has none.
///
/// # Errors
/// Those of the store. What cannot be read is as good as none: whoever promotes what is live writes it anew.
pub async fn progress(log: Log<'_>, tip: &Tip) -> Result<Option<Progress>, Failure> {
    let (Some(_), Some(since)) = (&tip.entry.static_place, tip.entry.state.since) else {
        return Ok(None);
    };
    let said = of_this_log(log, tip, believed(read(log).await)?).await?;
    let said = said.ok().flatten();
    Ok(Some(static_trust::progress(said.as_ref(), since)))
}

impl Ground<'_> {
    /// The files that lie at `root` as they were laid out last, by path; none where that is not certain. `before` is the entry up to which that
    /// may be believed.
    pub(super) async fn settled(
        &self,
        before: Result<u64, Doubt>,
        root: &str,
    ) -> Result<BTreeMap<String, StaticFile>, Failure> {
        let read = match before {
            Ok(before) => {
                let said = believed(read(self.log).await)?;
                match static_trust::lies_there(said.as_ref(), before, root) {
                    Ok(said) => {
                        let entry = self.log.entry(before).await?;
                        let made = entry.as_ref().and_then(|made| made.entry.state.version());
                        static_trust::is_of_entry(said, made).map(|()| said.clone())
                    }
                    Err(doubt) => Err(doubt),
                }
            }
            Err(doubt) => Err(doubt),
        };
        let set = match read {
            Ok(said) => self.set(&said.digest).await?,
            Err(doubt) => {
                tracing::debug!("every static file is looked at: {doubt}");
                None
            }
        };
        let files = set.map_or_else(Vec::new, |set| set.files);
        let files = files.into_iter().map(|file| (file.path.clone(), file));
        Ok(files.collect())
    }

    /// Has `static.json` say, before the first write, what nobody could tell of a run that dies after it. Answers whether the CDN had not heard of
    /// some files before.
    pub(super) async fn announce(
        &self,
        survey: &Survey,
        activation: &Activation<'_>,
        tip: &Tip,
    ) -> Result<bool, Failure> {
        let needed: BTreeSet<&StaticFile> = survey.needed().map(|(file, _)| file).collect();
        if !static_trust::asks_before_writing(activation, !needed.is_empty()) {
            return Ok(false);
        }
        let Some(said) = self.said(tip).await? else {
            return Ok(false);
        };
        if needed.is_empty() {
            return Ok(said.untold);
        }
        let last = if activation.has_cdn {
            self.set(&said.digest).await?
        } else {
            None
        };
        let mut last = last.iter().flat_map(|set| &set.files);
        let mends = last.any(|file| needed.contains(file));
        if let Some(note) = static_trust::before_writing(activation, Some(&said), mends) {
            self.note(&note).await?;
        }
        Ok(said.untold)
    }

    /// Tells the CDN what changed; then, and only then, `static.json` says that this set lies there and the CDN knows. Answers how many paths the
    /// CDN was told of; `None` where there is none, or a later activation tells it.
    pub(super) async fn conclude(
        &self,
        survey: &Survey,
        activation: &Activation<'_>,
        tip: &Tip,
        written: &Written<'_>,
    ) -> Result<Option<u64>, Failure> {
        let said = self.said(tip).await?;
        let laid = static_trust::Laid {
            wrote: !written.paths.is_empty(),
            is_whole: survey.is_whole,
            was_untold: written.was_untold,
        };
        let (copies, mut says) = match static_trust::ending(activation, said.as_ref(), laid) {
            Ending::Nothing(rest) => {
                tracing::debug!(?rest, "static.json stays as it is");
                return Ok(none_told(rest, survey));
            }
            Ending::Says { copies, says } => (copies, *says),
        };
        let mut told = None;
        if let (Some(cdn), Some(copies)) = (&survey.cdn, copies) {
            let stale = self.stale(survey, copies, written.paths).await?;
            if !stale.paths.is_empty() {
                let waits = static_trust::awaiting_cdn(said.as_ref(), &says);
                if said.as_ref() != Some(&waits) {
                    self.note(&waits).await?;
                }
                self.tell(cdn.as_ref(), activation, said.as_ref(), &stale, written)
                    .await?;
                let now = self.said(tip).await?;
                if static_trust::later(activation, now.as_ref()).is_some() {
                    return Ok(Some(stale.count()));
                }
                says = static_trust::after_telling(&waits, now.as_ref(), says);
            }
            told = Some(stale.count());
        }
        self.note(&says).await?;
        Ok(told)
    }

    /// How many paths the CDN would be told of were `survey` laid out in this turn; `None` where there is none.
    pub(super) async fn would_tell(
        &self,
        survey: &Survey,
        activation: &Activation<'_>,
        tip: &Tip,
    ) -> Result<Option<u64>, Failure> {
        let paths: BTreeSet<String> = survey.needed().map(|(file, _)| file.path.clone()).collect();
        let said = self.said(tip).await?;
        let laid = static_trust::Laid {
            wrote: !paths.is_empty(),
            is_whole: survey.is_whole,
            was_untold: said.as_ref().is_some_and(|said| said.untold),
        };
        match static_trust::ending(activation, said.as_ref(), laid) {
            Ending::Nothing(rest) => Ok(none_told(rest, survey)),
            Ending::Says { copies, .. } => match copies {
                Some(copies) => Ok(Some(self.stale(survey, copies, &paths).await?.count())),
                None => Ok(None),
            },
        }
    }

    /// The addresses of which the CDN may hold old copies once `written` was written.
    async fn stale(
        &self,
        survey: &Survey,
        copies: Copies,
        written: &BTreeSet<String>,
    ) -> Result<Stale, Failure> {
        let sets = self.sets(copies).await?;
        let changed = static_urls::changed(&survey.set, &sets, written);
        let url = survey.place.url.as_deref();
        let url = url
            .map(|url| static_urls::public(url, self.log.app, self.log.environment))
            .transpose()?;
        let paths = static_urls::paths(url.as_deref(), changed);
        Ok(Stale { url, paths })
    }

    /// Tells `cdn` of what is `stale`.
    async fn tell(
        &self,
        cdn: &dyn Cdn,
        activation: &Activation<'_>,
        said: Option<&Applied>,
        stale: &Stale,
        written: &Written<'_>,
    ) -> Result<(), Failure> {
        let Log {
            app, environment, ..
        } = self.log;
        let last = static_trust::heard(said);
        let last = last.map(|last| Digest::of(&release::to_bytes(&last)));
        let reference = static_urls::reference(
            app,
            environment,
            activation.turn.seq,
            activation.set,
            last.as_ref(),
            (!written.paths.is_empty()).then_some(self.attempt),
            &stale.paths,
        );
        cdn.tell(&Change {
            app,
            environment,
            version: activation.version,
            url: stale.url.as_deref(),
            paths: &stale.paths,
            reference: &reference,
        })
        .await
    }

    /// The sets of which a CDN may hold copies; none where one of them is not known.
    async fn sets(&self, copies: Copies) -> Result<Vec<StaticSet>, Failure> {
        let (last, begun) = match copies {
            Copies::Sets { last, begun } => (last, begun),
            Copies::Anything(doubt) => {
                tracing::debug!("the CDN is told of all that may change: {doubt}");
                return Ok(Vec::new());
            }
        };
        let Some(last) = self.set(&last).await? else {
            return Ok(Vec::new());
        };
        let mut sets = vec![last];
        for seq in begun {
            match self.set_of(seq).await? {
                Some(set) => sets.push(set),
                None => return Ok(Vec::new()),
            }
        }
        Ok(sets)
    }

    /// The set that an entry made live, `None` where it has none or its version is gone.
    async fn set_of(&self, seq: u64) -> Result<Option<StaticSet>, Failure> {
        let Some(Tip { entry, .. }) = self.log.entry(seq).await? else {
            return Ok(None);
        };
        let Some(build) = &entry.state.current else {
            return Ok(None);
        };
        let manifest = builds::manifest(self.log.store, self.log.app, build).await;
        let Some(files) = manifest.ok().and_then(|manifest| manifest.static_files) else {
            return Ok(None);
        };
        self.set(&files.digest).await
    }

    /// The set with this digest, as far as it can be read.
    async fn set(&self, digest: &str) -> Result<Option<StaticSet>, Failure> {
        match Digest::parse(digest) {
            Ok(digest) => believed(read_set(self.log.store, &digest).await),
            Err(_) => Ok(None),
        }
    }

    /// What `static.json` says, as far as it can be read and is of this log: where it is damaged nothing of it is believed, and it is written anew.
    async fn said(&self, tip: &Tip) -> Result<Option<Applied>, Failure> {
        let read = believed(read(self.log).await)?;
        match of_this_log(self.log, tip, read).await? {
            Ok(said) => Ok(said),
            Err(why) => {
                let Log {
                    app, environment, ..
                } = self.log;
                tracing::warn!("{app} in {environment}: {why}");
                Ok(None)
            }
        }
    }

    async fn note(&self, applied: &Applied) -> Result<(), Failure> {
        let key = layout::static_state(self.log.app, self.log.environment);
        let (body, headers) = (
            Body::Bytes(release::to_bytes(applied)),
            Headers::changing_json(),
        );
        self.log.store.replace(&key, &body, &headers).await?;
        Ok(())
    }
}

/// What `static.json` says, `None` when nothing was ever laid out.
async fn read(log: Log<'_>) -> Result<Option<Applied>, Failure> {
    let key = layout::static_state(log.app, log.environment);
    match log.store.get(&key, LONGEST_DOCUMENT).await? {
        Some(bytes) => release::from_bytes(SCHEMA, key.as_str(), &bytes).map(Some),
        None => Ok(None),
    }
}

/// What was `read`, where it is of this log; else why it is not. Where it is later than `tip`, another entry may have come meanwhile.
async fn of_this_log(
    log: Log<'_>,
    tip: &Tip,
    read: Option<Applied>,
) -> Result<Result<Option<Applied>, String>, Failure> {
    let foreign = |tip: &Tip| {
        let said = read.as_ref()?;
        let mut moves = tip.entry.state.history.iter();
        let made = moves.find(|made| made.seq == said.seq);
        let made = made.map(|made| made.version.as_str());
        static_trust::foreign(said, tip.entry.state.since, made)
    };
    let foreign = match foreign(tip) {
        Some(_) => foreign(&log.tip_from(tip).await?),
        None => None,
    };
    Ok(foreign.map_or(Ok(read), Err))
}

/// What was read of a document that only spares work; one that is damaged is as good as none, and that is said.
fn believed<T>(read: Result<Option<T>, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Err(failure) if failure.exit() == Exit::Integrity => {
            tracing::warn!("it is as if no static file were laid out: {failure}");
            Ok(None)
        }
        other => other,
    }
}
