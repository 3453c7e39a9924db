//! Static files at activation: whatever a promote or a rollback makes live, its static files are laid out the same way.
//!
//! First everything is looked at, and a path that belongs to someone else refuses all of it; then files are written class by
//! class, so that no page names a file that is not there yet; then the log is read again, because whoever moved the pointer last
//! decides what lies there. Nothing is deleted.

mod look;
mod say;
mod set;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join3;

use self::look::Need;
use self::say::Written;
pub use self::say::progress;
pub use self::set::{check_set, read_set};
use super::builds;
use super::point::{Log, Tip};
use super::unless_stopped;
use crate::environment::entry::{Build, CdnName, State, StaticPlace};
use crate::explain::{Exit, Failure, quoted};
use crate::local::stop::Stop;
use crate::name::{Digest, EnvironmentName, PackageName};
use crate::plan::static_root;
use crate::plan::static_trust::{Activation, Doubt, Turn, may_believe};
use crate::release::app::StaticFiles;
use crate::release::static_set::{StaticFile, StaticSet};
pub use crate::release::static_state::{Applied, SCHEMA};
use crate::remote::cdn::{Cdn, OpenCdn};
use crate::remote::store::{DIGEST, Headers, Store};

/// How often files are laid out again because the pointer moved meanwhile.
const ROUNDS: usize = 5;
/// Larger files travel through a temporary file instead of memory: 64 of them, each there once more while it is sent, are 64 MiB.
const LARGEST_IN_MEMORY: u64 = 512 << 10;

/// Opens a static root.
#[async_trait]
pub trait OpenRoot: Send + Sync {
    /// The store at `root`: `s3://bucket/prefix` or `file:///dir`, placeholders replaced.
    ///
    /// # Errors
    /// Where it cannot be opened; nothing has been written.
    async fn open(&self, root: &str) -> Result<Arc<dyn Store>, Failure>;
}

/// Everything that laying out static files needs.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The pointer log: it decides what lies there.
    pub log: Log<'a>,
    /// Opens static roots.
    pub roots: &'a dyn OpenRoot,
    /// Opens CDNs; `None`: none can be told.
    pub cdns: Option<&'a dyn OpenCdn>,
    /// Whether whoever asks says that no CDN is there any more, whatever the log says.
    pub without_cdn: bool,
    /// A text that differs between runs, attempts of the same run among them.
    pub attempt: &'a str,
    /// How many requests run side by side, at least 1.
    pub concurrency: usize,
    /// Now, RFC 3339.
    pub now: &'a str,
    /// The wish to stop.
    pub stop: &'a Stop,
}

/// What laying out a static set would change.
pub struct Survey {
    build: Build,
    place: StaticPlace,
    resolved: String,
    root: Arc<dyn Store>,
    cdn: Option<Arc<dyn Cdn>>,
    set: StaticSet,
    digest: Digest,
    /// What each file needs, in the order of the set's files.
    needs: Vec<Need>,
    /// Whether every file was looked at.
    is_whole: bool,
}

/// What laying out came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Laid {
    /// Files written.
    pub changed: u64,
    /// Files that were there already.
    pub unchanged: u64,
    /// The paths of which the CDN was told; `None` where there is none, or a later activation tells it.
    pub cdn_paths: Option<u64>,
}

impl Survey {
    /// The files that are not there as they should be, with what each needs.
    fn needed(&self) -> impl Iterator<Item = (&StaticFile, Need)> {
        let needed = self.set.files.iter().zip(self.needs.iter().copied());
        needed.filter(|(_, need)| *need != Need::Nothing)
    }

    fn laid(&self, changed: usize, cdn_paths: Option<u64>) -> Laid {
        Laid {
            changed: changed as u64,
            unchanged: (self.set.files.len() - changed) as u64,
            cdn_paths,
        }
    }

    fn activation<'a>(&'a self, turn: Turn<'a>, now: &'a str) -> Activation<'a> {
        Activation {
            turn,
            version: &self.build.version,
            set: &self.digest,
            root: &self.resolved,
            has_cdn: self.cdn.is_some(),
            leaves_cdn_out: self.cdn.is_none() && self.place.in_front().is_some(),
            now,
        }
    }
}

/// What travels with a static file. An immutable file belongs to its app; any other also to its environment and the entry
/// (`seq`) that made it live.
#[must_use]
pub fn headers(
    file: &StaticFile,
    app: &PackageName,
    activation: Option<(&EnvironmentName, u64)>,
) -> Headers {
    let mut metadata = BTreeMap::from([("app".to_owned(), app.to_string())]);
    if let Ok(digest) = Digest::parse(&file.digest) {
        metadata.insert(DIGEST.to_owned(), digest.hex().to_owned());
    }
    if let Some((environment, seq)) = activation {
        metadata.insert("environment".to_owned(), environment.to_string());
        metadata.insert("seq".to_owned(), seq.to_string());
    }
    Headers {
        content_type: Some(file.content_type.clone()),
        cache_control: Some(file.cache_control.clone()),
        content_encoding: file.content_encoding.clone(),
        metadata,
    }
}

impl Ground<'_> {
    /// Looks at every path of `files`, the static files of `build`, without writing anything. `before` is the entry that made live what is live before
    /// it, where that may be believed: where `static.json` says that its set is fully laid out, what is the same in both lies there.
    ///
    /// # Errors
    /// `static::owned` (exit 3) where a path belongs to another app or environment; `static::immutable_changed` (exit 6) where an
    /// immutable file has other bytes; `static::set` (exit 6) where the set is not what its digest says; `static::no_cdn` (exit 2) where
    /// nothing can tell the CDN in front of them, and what is known to stand against that.
    pub async fn survey(
        &self,
        build: &Build,
        place: &StaticPlace,
        files: &StaticFiles,
        before: Result<u64, Doubt>,
    ) -> Result<Survey, Failure> {
        let Log {
            app, environment, ..
        } = self.log;
        let cdn = match place.in_front().filter(|_| !self.without_cdn) {
            Some(cdn) => Some(self.open_cdn(&cdn).await?),
            None => None,
        };
        let resolved = static_root::resolve(&place.root, app, environment)?;
        let digest = Digest::parse(&files.digest)?;
        let (set, root, settled) = join3(
            read_set(self.log.store, &digest),
            self.roots.open(&resolved),
            self.settled(before, &resolved),
        )
        .await;
        let set = set?.ok_or_else(|| {
            Failure::new(
                Exit::Integrity,
                "static::set",
                format!(
                    "the list of static files of {app} {} is missing",
                    build.version
                ),
            )
            .because(format!("the store has no bytes with {digest}"))
        })?;
        let (root, settled) = (root?, settled?);
        let needs = self
            .look_at_all(root.as_ref(), &set, &settled, &resolved)
            .await?;
        Ok(Survey {
            build: build.clone(),
            place: place.clone(),
            resolved,
            root,
            cdn,
            set,
            digest,
            needs,
            is_whole: settled.is_empty(),
        })
    }

    async fn open_cdn(&self, cdn: &CdnName) -> Result<Arc<dyn Cdn>, Failure> {
        let opened = match self.cdns {
            Some(cdns) => cdns.open(cdn).await?,
            None => None,
        };
        opened.ok_or_else(|| no_cdn(self.log.app, self.log.environment, cdn))
    }

    /// Lays out the static files of what is live, until what is live did not change meanwhile, and moves `static.json`.
    ///
    /// It looks again, because a look from before the pointer moved proves nothing: a run that was live then may have
    /// written since, and have seen itself live after its last write. Doing it again changes nothing.
    ///
    /// `known` is the newest entry that was seen; `is_own` says that this run has written it, so that nobody else lays it out by right. Then, and as long
    /// as nothing else came between, what the set before and this one have in common is believed to lie there.
    ///
    /// # Errors
    /// Those of [`Ground::survey`]; `static::blob` (exit 6) where bytes are missing or others; those of the stores and the CDN; that the run was
    /// interrupted, also while it waits for them.
    pub async fn settle(&self, known: &Tip, is_own: bool) -> Result<Option<Laid>, Failure> {
        // Whoever writes an entry with static files lays them out.
        if known.entry.static_place.is_none() {
            return Ok(None);
        }
        let (mut written, mut was_untold) = (BTreeSet::new(), false);
        let mut tip = known.clone();
        for round in 0..ROUNDS {
            tip = self.log.tip_from(&tip).await?;
            let state = &tip.entry.state;
            let (Some(build), Some(place), Some(since)) =
                (&state.current, &tip.entry.static_place, state.since)
            else {
                return Ok(None);
            };
            let moves = moves(state);
            let turn = Turn {
                seq: since,
                moves: &moves,
                is_ours: is_own && known.entry.state.since == Some(since),
                is_first: round == 0,
            };
            let survey = self.survey_live(build, place, may_believe(&turn)).await?;
            let Some(survey) = survey else {
                return Ok(None);
            };
            let activation = survey.activation(turn, self.now);
            let found = self.announce(&survey, &activation, &tip).await?;
            // In a later round it may have been said by this run itself; then the CDN is told of more than it needs.
            was_untold = was_untold || found;
            let laid = self.lay_out(&survey, since, &tip).await?;
            let wrote_nothing = laid.written.is_empty();
            written.extend(laid.written);
            if laid.overtaken || !(wrote_nothing || self.is_still_live(&tip).await?) {
                continue;
            }
            let written = Written {
                paths: &written,
                was_untold,
            };
            let concluded = self.conclude(&survey, &activation, &tip, &written);
            let told = unless_stopped(self.stop, concluded).await?;
            let files = survey.set.files.iter();
            let changed = files.filter(|file| written.paths.contains(&file.path));
            return Ok(Some(survey.laid(changed.count(), told)));
        }
        Err(self.contended())
    }

    /// What [`Ground::settle`] would come to, were `tip` the newest entry, without writing anything. `survey` is what was seen of the files that it makes
    /// live; without it they are looked at now, all of them, as whoever lays out what is live already does.
    ///
    /// # Errors
    /// Those of [`Ground::survey`].
    pub async fn rehearse(
        &self,
        survey: Option<&Survey>,
        tip: &Tip,
    ) -> Result<Option<Laid>, Failure> {
        let state = &tip.entry.state;
        let (Some(build), Some(place), Some(since)) =
            (&state.current, &tip.entry.static_place, state.since)
        else {
            return Ok(None);
        };
        let moves = moves(state);
        let turn = Turn {
            seq: since,
            moves: &moves,
            is_ours: survey.is_some(),
            is_first: true,
        };
        let looked;
        let survey = match survey {
            Some(survey) => survey,
            None => match self.survey_live(build, place, may_believe(&turn)).await? {
                Some(survey) => {
                    looked = survey;
                    &looked
                }
                None => return Ok(None),
            },
        };
        let activation = survey.activation(turn, self.now);
        let told = self.would_tell(survey, &activation, tip).await?;
        Ok(Some(survey.laid(survey.needed().count(), told)))
    }

    fn contended(&self) -> Failure {
        Failure::new(
            Exit::Temporary,
            "static::contended",
            format!(
                "the static files of {} in {} were not finished",
                self.log.app, self.log.environment
            ),
        )
        .because(format!("the pointer moved {ROUNDS} times meanwhile"))
        .hint("run the same command again: it continues")
    }

    async fn survey_live(
        &self,
        build: &Build,
        place: &StaticPlace,
        before: Result<u64, Doubt>,
    ) -> Result<Option<Survey>, Failure> {
        let manifest = builds::manifest(self.log.store, self.log.app, build).await?;
        match &manifest.static_files {
            Some(files) => self.survey(build, place, files, before).await.map(Some),
            None => Ok(None),
        }
    }

    async fn is_still_live(&self, tip: &Tip) -> Result<bool, Failure> {
        let now = self.log.tip_from(tip).await?;
        Ok(now.entry.state.since == tip.entry.state.since
            && now.entry.state.current == tip.entry.state.current
            && now.entry.static_place == tip.entry.static_place)
    }
}

/// The numbers of the entries that made something live, as far as `state` remembers them.
fn moves(state: &State) -> Vec<u64> {
    state.history.iter().map(|step| step.seq).collect()
}

/// That static files are behind a CDN that nothing here can tell.
#[must_use]
pub fn no_cdn(app: &PackageName, environment: &EnvironmentName, cdn: &CdnName) -> Failure {
    let what = format!(
        "the static files of {app} in {environment} are behind a CDN that nothing here can tell about changes"
    );
    let failure = Failure::new(Exit::Usage, "static::no_cdn", what);
    match cdn {
        CdnName::Distribution(id) => {
            failure.because(format!("it is the CloudFront distribution {}", quoted(id)))
        }
        CdnName::Command => failure
            .because("the log says that a command tells it, and not which: that is never recorded")
            .hint("set 'cdn-command' as where it was promoted; 'cdn-command: none' says that no CDN is there any more"),
    }
}
