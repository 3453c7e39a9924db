//! Static files at activation: whatever a promote or a rollback makes live, its static files are laid out the same way.
//!
//! First everything is looked at, and a path that belongs to someone else refuses all of it; then files are written class by
//! class, so that no page names a file that is not there yet; then the log is read again, because whoever moved the pointer last
//! decides what lies there. Nothing is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::builds;
use super::point::{Log, Tip};
use crate::environment::entry::{Build, Cdn as InFront, State, StaticPlace};
use crate::explain::{Exit, Failure, quoted};
use crate::local::scratch::Scratch;
use crate::name::{Digest, EnvironmentName, Key, PackageName};
use crate::plan::{static_root, static_urls};
use crate::release::app::StaticFiles;
use crate::release::static_set::{self, Class, StaticFile, StaticSet};
use crate::release::{self, DAY, LONGEST_DOCUMENT, layout};
use crate::remote::cdn::{Cdn, Change};
use crate::remote::store::{Body, Created, Headers, Store, StoreError};

/// The schema of [`Applied`].
pub const SCHEMA: &str = "pkgs.static/1";

/// How often files are laid out again because the pointer moved meanwhile.
const ROUNDS: usize = 5;
/// How often one file is sent while nobody can say whether it arrived.
const SENDS: usize = 5;
/// Larger files travel through a temporary file instead of memory.
const LARGEST_IN_MEMORY: u64 = 8 << 20;
/// How many paths a failure names.
const SHOWN: usize = 5;
/// How many activations that were begun and not finished are looked at; behind more, all that may have changed has.
const UNFINISHED: usize = 8;

/// `apps/<app>/environments/<env>/static.json`: which static set is fully laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// [`SCHEMA`].
    pub schema: String,
    /// The number of the entry that made it live.
    pub seq: u64,
    /// The version.
    pub version: String,
    /// The digest of its static set.
    pub digest: String,
    /// The static root, placeholders replaced.
    pub root: String,
    /// When, RFC 3339.
    pub at: String,
    /// When it was last found that an activation before this one was begun and not finished, RFC 3339: whoever made it may still write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
    /// Whether files were written since of which the CDN was not told yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
}

/// How far what is written down is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Not at all: every file is looked at.
    Nothing,
    /// Where `static.json` says that the set of this entry is fully laid out, and nobody who was begun before it may still write, what is the same in
    /// both sets lies there.
    UpTo(u64),
}

/// Opens a static root.
#[async_trait]
pub trait OpenRoot: Send + Sync {
    /// The store at `root`: `s3://bucket/prefix` or `file:///dir`, placeholders replaced.
    ///
    /// # Errors
    /// Where it cannot be opened; nothing has been written.
    async fn open(&self, root: &str) -> Result<Arc<dyn Store>, Failure>;
}

/// Opens the CDN in front of a static root.
#[async_trait]
pub trait OpenCdn: Send + Sync {
    /// What tells it, ready to be used; `None` where nothing here can.
    ///
    /// # Errors
    /// Where it is known already that it could not be told; nothing has been written.
    async fn open(&self, cdn: &InFront) -> Result<Option<Arc<dyn Cdn>>, Failure>;
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
    /// A text that differs between runs, attempts of the same run among them.
    pub attempt: &'a str,
    /// How many requests run side by side, at least 1.
    pub concurrency: usize,
    /// Now, RFC 3339.
    pub now: &'a str,
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
    needs: Vec<Need>,
    /// Whether every file was looked at.
    is_whole: bool,
}

/// What one file needs, in the order of the set's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Create,
    Replace,
}

/// What was written while one entry was live.
#[derive(Debug, Default)]
struct Round {
    /// The paths.
    written: Vec<String>,
    /// Whether another entry was met on the way, so that something is left out.
    overtaken: bool,
}

/// Of what the CDN is told.
struct Unheard<'a> {
    /// The paths that this run wrote.
    written: &'a BTreeSet<String>,
    /// Whether runs before it mended files of which it was never told; which, nobody knows.
    untold: bool,
}

/// What lies where a file belongs.
enum Look {
    Fine(Need),
    Owned(String),
    OtherBytes,
}

/// What laying out came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Laid {
    /// Files written.
    pub changed: u64,
    /// Files that were there already.
    pub unchanged: u64,
}

impl Survey {
    /// What would be written, and what is there already.
    #[must_use]
    pub fn counts(&self) -> Laid {
        let unchanged = self.needs.iter().filter(|need| **need == Need::Nothing);
        let unchanged = unchanged.count() as u64;
        Laid {
            changed: self.needs.len() as u64 - unchanged,
            unchanged,
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
        metadata.insert("sha256".to_owned(), digest.hex().to_owned());
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
    /// Looks at every path of `files`, the static files of `build`, without writing anything; at those that `trust` answers for, not.
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
        trust: Trust,
    ) -> Result<Survey, Failure> {
        let Log {
            app, environment, ..
        } = self.log;
        let cdn = match place.in_front() {
            Some(cdn) => Some(self.open_cdn(&cdn).await?),
            None => None,
        };
        let resolved = static_root::resolve(&place.root, app, environment)?;
        let digest = Digest::parse(&files.digest)?;
        let set = read_set(self.log.store, &digest).await?.ok_or_else(|| {
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
        let root = self.roots.open(&resolved).await?;
        let settled = self.settled(trust, &resolved).await?;
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

    async fn open_cdn(&self, cdn: &InFront) -> Result<Arc<dyn Cdn>, Failure> {
        let opened = match self.cdns {
            Some(cdns) => cdns.open(cdn).await?,
            None => None,
        };
        opened.ok_or_else(|| {
            let what = format!(
                "the static files of {} in {} are behind a CDN that nothing here can tell about changes",
                self.log.app, self.log.environment
            );
            let failure = Failure::new(Exit::Usage, "static::no_cdn", what);
            match cdn {
                InFront::Distribution(id) => {
                    failure.because(format!("it is the CloudFront distribution {}", quoted(id)))
                }
                InFront::Command => failure
                    .because("the log says that a command tells it, and not which: that is never recorded")
                    .hint("set 'cdn-command' as where it was promoted; 'cdn-command: none' says that no CDN is there any more"),
            }
        })
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
    /// Those of [`Ground::survey`]; `static::blob` (exit 6) where bytes are missing or others; those of the stores and the CDN.
    pub async fn settle(&self, known: &Tip, is_own: bool) -> Result<Option<Laid>, Failure> {
        let (mut written, mut untold) = (BTreeSet::new(), false);
        // Whoever writes an entry with static files lays them out.
        if known.entry.static_place.is_none() {
            return Ok(None);
        }
        let mut tip = known.clone();
        for round in 0..ROUNDS {
            tip = self.log.tip_from(&tip).await?;
            let (Some(build), Some(place), Some(since)) = (
                &tip.entry.state.current,
                &tip.entry.static_place,
                tip.entry.state.since,
            ) else {
                return Ok(None);
            };
            let is_ours = is_own && known.entry.state.since == Some(since);
            let trust = match move_before(&tip.entry.state, since) {
                Some(before) if is_ours && round == 0 => Trust::UpTo(before),
                _ => Trust::Nothing,
            };
            let Some(survey) = self.survey_live(build, place, trust).await? else {
                return Ok(None);
            };
            let found = self.announce(&survey, is_ours).await?;
            untold = untold || (round == 0 && found);
            let laid = self.write(&survey, since, &tip).await;
            if laid.is_err() {
                survey.root.give_up().await;
            }
            let laid = laid?;
            let wrote_nothing = laid.written.is_empty();
            written.extend(laid.written);
            if laid.overtaken {
                continue;
            }
            if wrote_nothing || self.is_still_live(&tip).await? {
                let unheard = Unheard {
                    written: &written,
                    untold,
                };
                self.confirm(&survey, &tip, is_ours, &unheard).await?;
                let all = survey.set.files.len() as u64;
                let changed = survey
                    .set
                    .files
                    .iter()
                    .filter(|file| written.contains(&file.path))
                    .count() as u64;
                return Ok(Some(Laid {
                    changed,
                    unchanged: all - changed,
                }));
            }
        }
        Err(Failure::new(
            Exit::Temporary,
            "static::contended",
            format!(
                "the static files of {} in {} were not finished",
                self.log.app, self.log.environment
            ),
        )
        .because(format!("the pointer moved {ROUNDS} times meanwhile"))
        .hint("run the same command again: it continues"))
    }

    async fn survey_live(
        &self,
        build: &Build,
        place: &StaticPlace,
        trust: Trust,
    ) -> Result<Option<Survey>, Failure> {
        let manifest = builds::manifest(self.log.store, self.log.app, build).await?;
        match &manifest.static_files {
            Some(files) => self.survey(build, place, files, trust).await.map(Some),
            None => Ok(None),
        }
    }

    async fn is_still_live(&self, tip: &Tip) -> Result<bool, Failure> {
        let now = self.log.tip_from(tip).await?;
        Ok(now.entry.state.since == tip.entry.state.since
            && now.entry.state.current == tip.entry.state.current
            && now.entry.static_place == tip.entry.static_place)
    }

    /// The files that lie at `root` as they were laid out last, by path; none where that is not certain.
    async fn settled(
        &self,
        trust: Trust,
        root: &str,
    ) -> Result<BTreeMap<String, StaticFile>, Failure> {
        let Trust::UpTo(seq) = trust else {
            return Ok(BTreeMap::new());
        };
        let applied = self.believed().await?;
        let applied = applied.filter(|applied| {
            applied.seq == seq && applied.root == root && applied.unfinished.is_none()
        });
        let set = match applied {
            Some(applied) => self.believed_set(&applied).await?,
            None => None,
        };
        let files = set.map_or_else(Vec::new, |set| set.files);
        let files = files.into_iter().map(|file| (file.path.clone(), file));
        Ok(files.collect())
    }

    async fn look_at_all(
        &self,
        root: &dyn Store,
        set: &StaticSet,
        settled: &BTreeMap<String, StaticFile>,
        resolved: &str,
    ) -> Result<Vec<Need>, Failure> {
        let look = async |file: &StaticFile| match settled.get(&file.path) {
            Some(there) if there == file => Ok(Look::Fine(Need::Nothing)),
            _ => self.look(root, file).await,
        };
        let looks: Vec<_> = set.files.iter().map(look).collect();
        let mut looks = stream::iter(looks).buffered(self.concurrency.max(1));
        let (mut needs, mut owned, mut other) = (Vec::new(), Vec::new(), Vec::new());
        for file in &set.files {
            let Some(look) = looks.next().await else {
                break;
            };
            match look? {
                Look::Fine(need) => needs.push(need),
                Look::Owned(by) => owned.push(format!("{} belongs to {by}", quoted(&file.path))),
                Look::OtherBytes => other.push(format!("{} has other bytes", quoted(&file.path))),
            }
        }
        if !other.is_empty() {
            return Err(immutable_changed(resolved, &other));
        }
        if !owned.is_empty() {
            let failure = Failure::new(
                Exit::Refused,
                "static::owned",
                format!(
                    "{} static files of {} in {} would overwrite those of others at {}",
                    owned.len(),
                    self.log.app,
                    self.log.environment,
                    quoted(resolved)
                ),
            )
            .hint("give each app and environment its own place: put {app} and {environment} into 'static'");
            return Err(owned.iter().take(SHOWN).fold(failure, Failure::because));
        }
        Ok(needs)
    }

    async fn look(&self, root: &dyn Store, file: &StaticFile) -> Result<Look, Failure> {
        let key = Key::parse(&file.path)?;
        let Some(info) = root.head(&key).await? else {
            return Ok(Look::Fine(Need::Create));
        };
        let there = &info.headers.metadata;
        let is_immutable = file.class == Class::Immutable;
        let ours = (self.log.app.as_str(), self.log.environment.as_str());
        let owner = there.get("app").map(String::as_str);
        let tenant = there.get("environment").map(String::as_str);
        if owner.is_some_and(|owner| owner != ours.0) {
            return Ok(Look::Owned(format!(
                "the app {}",
                quoted(owner.unwrap_or_default())
            )));
        }
        if !is_immutable && tenant.is_some_and(|tenant| tenant != ours.1) {
            return Ok(Look::Owned(format!(
                "the environment {}",
                quoted(tenant.unwrap_or_default())
            )));
        }
        let digest = Digest::parse(&file.digest)?;
        let same_bytes = info.size == file.size
            && match there.get("sha256") {
                Some(hex) => hex == digest.hex(),
                // Laid out by other means: only its bytes can tell.
                None => self.has_bytes(root, &key, file, &digest).await?,
            };
        if is_immutable && !same_bytes {
            return Ok(Look::OtherBytes);
        }
        let wanted = headers(file, self.log.app, None);
        let same_headers = info.headers.content_type == wanted.content_type
            && info.headers.cache_control == wanted.cache_control
            && info.headers.content_encoding == wanted.content_encoding
            && there.get("sha256") == wanted.metadata.get("sha256")
            && owner == Some(ours.0)
            && (is_immutable || tenant == Some(ours.1));
        Ok(Look::Fine(if same_bytes && same_headers {
            Need::Nothing
        } else {
            Need::Replace
        }))
    }

    async fn has_bytes(
        &self,
        root: &dyn Store,
        key: &Key,
        file: &StaticFile,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        let found = if file.size <= LARGEST_IN_MEMORY {
            let bytes = root.get(key, file.size).await?;
            bytes.map(|bytes| Digest::of(&bytes))
        } else {
            let directory = Scratch::new()?;
            root.fetch(key, &directory.path().join("file"), file.size)
                .await?
        };
        Ok(found.as_ref() == Some(digest))
    }

    /// Writes what the survey found missing, class by class. Before each class of files that others may want otherwise it looks whether
    /// `tip` is still live, so that a slow run writes little over a later one.
    async fn write(&self, survey: &Survey, seq: u64, tip: &Tip) -> Result<Round, Failure> {
        let mut round = Round::default();
        for class in [Class::Immutable, Class::Mutable, Class::Html, Class::Last] {
            let puts: Vec<_> = survey
                .set
                .files
                .iter()
                .zip(&survey.needs)
                .filter(|(file, need)| file.class == class && **need != Need::Nothing)
                .map(|(file, need)| self.put(survey, file, *need, seq))
                .collect();
            let is_shared = class != Class::Immutable && !puts.is_empty();
            if is_shared && !self.is_still_live(tip).await? {
                round.overtaken = true;
                break;
            }
            let mut puts = stream::iter(puts).buffer_unordered(self.concurrency.max(1));
            while let Some(path) = puts.next().await {
                round.written.push(path?);
            }
        }
        Ok(round)
    }

    async fn put(
        &self,
        survey: &Survey,
        file: &StaticFile,
        need: Need,
        seq: u64,
    ) -> Result<String, Failure> {
        let key = Key::parse(&file.path)?;
        let (body, _directory) = self.body(file).await?;
        let headers = headers(file, self.log.app, Some((self.log.environment, seq)));
        let root = survey.root.as_ref();
        let creates = file.class == Class::Immutable && need == Need::Create;
        let mut last = None;
        for _ in 0..SENDS {
            let sent = if creates {
                root.create(&key, &body, &headers).await
            } else {
                root.replace(&key, &body, &headers)
                    .await
                    .map(|()| Created::New)
            };
            match sent {
                Ok(Created::New) => return Ok(file.path.clone()),
                Ok(Created::Exists) => {}
                Err(StoreError::Uncertain(failure)) => last = Some(failure),
                Err(StoreError::Failed(failure)) => return Err(failure),
            }
            match self.look(root, file).await? {
                Look::Fine(Need::Nothing) => return Ok(file.path.clone()),
                Look::OtherBytes => {
                    return Err(immutable_changed(
                        &survey.resolved,
                        &[format!("{} has other bytes", quoted(&file.path))],
                    ));
                }
                Look::Owned(_) | Look::Fine(_) => {}
            }
        }
        let failure = Failure::new(
            Exit::Temporary,
            "static::uncertain",
            format!("nobody can say whether {} was written", quoted(&file.path)),
        )
        .hint("run the same command again: it continues");
        Err(match last {
            Some(cause) => failure.because(cause),
            None => failure.because("someone else writes there at the same time"),
        })
    }

    /// The bytes of a file from `blobs/`, checked; the directory lives as long as the body needs it.
    async fn body(&self, file: &StaticFile) -> Result<(Body, Option<Scratch>), Failure> {
        let digest = Digest::parse(&file.digest)?;
        let key = layout::blob(&digest);
        let refuse = |why: String| {
            Failure::new(
                Exit::Integrity,
                "static::blob",
                format!("the bytes of {} are not in the store", quoted(&file.path)),
            )
            .because(why)
            .hint("'release' at the released commit stores a missing build again; 'rollback' goes to another version")
        };
        let missing = || refuse(format!("{key} is missing"));
        if file.size <= LARGEST_IN_MEMORY {
            let bytes = self
                .log
                .store
                .get(&key, file.size)
                .await?
                .ok_or_else(missing)?;
            let found = Digest::of(&bytes);
            if found != digest {
                return Err(refuse(format!("{key} has {found}")));
            }
            return Ok((Body::Bytes(bytes), None));
        }
        let directory = Scratch::new()?;
        let path = directory.path().join("file");
        let found = self
            .log
            .store
            .fetch(&key, &path, file.size)
            .await?
            .ok_or_else(missing)?;
        if found != digest {
            return Err(refuse(format!("{key} has {found}")));
        }
        let body = Body::File {
            path,
            size: file.size,
            digest,
            share: None,
        };
        Ok((body, Some(directory)))
    }

    /// Notes in `static.json`, before the first write, what nobody could tell of a run that dies after it: that files are mended of which the CDN has not
    /// heard, because they are the same in the set before; and that files are written by a run that is not the one which made them live. Answers whether
    /// the CDN had not heard of some before.
    async fn announce(&self, survey: &Survey, is_ours: bool) -> Result<bool, Failure> {
        let needed = survey.set.files.iter().zip(&survey.needs);
        let needed = needed.filter(|(_, need)| **need != Need::Nothing);
        let needed: BTreeSet<&StaticFile> = needed.map(|(file, _)| file).collect();
        if survey.cdn.is_none() && (is_ours || needed.is_empty()) {
            return Ok(false);
        }
        // Where nothing was ever laid out, whoever comes next believes nothing.
        let Some(before) = self.believed().await? else {
            return Ok(false);
        };
        if needed.is_empty() {
            return Ok(before.untold);
        }
        let last = self.believed_set(&before).await?;
        let last = last.map_or_else(Vec::new, |set| set.files);
        let mends = last.iter().any(|file| needed.contains(file));
        let noted = Applied {
            untold: before.untold || (mends && survey.cdn.is_some()),
            unfinished: if is_ours {
                before.unfinished.clone()
            } else {
                Some(self.now.to_owned())
            },
            ..before.clone()
        };
        if noted != before {
            self.note(&noted).await?;
        }
        Ok(before.untold)
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

    /// Tells the CDN what changed; then, and only then, `static.json` says that this set lies there.
    async fn confirm(
        &self,
        survey: &Survey,
        tip: &Tip,
        is_ours: bool,
        unheard: &Unheard<'_>,
    ) -> Result<(), Failure> {
        let state = &tip.entry.state;
        let seq = state.since.unwrap_or_default();
        let before = self.believed().await?;
        if before.as_ref().is_some_and(|before| before.seq > seq) {
            return Ok(());
        }
        let is_told = before.as_ref().is_some_and(|before| {
            before.digest == survey.digest.as_str()
                && before.root == survey.resolved
                && before.seq == seq
                && !before.untold
        });
        if is_told && unheard.written.is_empty() {
            return Ok(());
        }
        if let Some(cdn) = &survey.cdn {
            self.tell(cdn.as_ref(), survey, tip, before.as_ref(), unheard)
                .await?;
            // That may have taken minutes, in which a later activation may have come to its end.
            let now = self.believed().await?;
            if now.is_some_and(|now| now.seq > seq) {
                return Ok(());
            }
        }
        let applied = Applied {
            schema: SCHEMA.to_owned(),
            seq,
            version: survey.build.version.clone(),
            digest: survey.digest.to_string(),
            root: survey.resolved.clone(),
            at: self.now.to_owned(),
            unfinished: self.unfinished_after(survey, state, is_ours, before.as_ref()),
            untold: false,
        };
        self.note(&applied).await
    }

    /// Since when somebody else may still write, once this set is laid out: from now on where the activation before was not finished, or this run finished
    /// another's. It is forgotten when all files were looked at a day later or more.
    fn unfinished_after(
        &self,
        survey: &Survey,
        state: &State,
        is_ours: bool,
        before: Option<&Applied>,
    ) -> Option<String> {
        let seq = state.since.unwrap_or_default();
        let is_next = before.map(|before| before.seq) == move_before(state, seq);
        if !is_ours || !is_next {
            return Some(self.now.to_owned());
        }
        let found = before.and_then(|before| before.unfinished.as_ref())?;
        let is_over = survey.is_whole && is_a_day_later(found, self.now);
        (!is_over).then(|| found.clone())
    }

    /// Tells `cdn` of what it may hold old copies of, if there is any.
    async fn tell(
        &self,
        cdn: &dyn Cdn,
        survey: &Survey,
        tip: &Tip,
        before: Option<&Applied>,
        unheard: &Unheard<'_>,
    ) -> Result<(), Failure> {
        let Log {
            app, environment, ..
        } = self.log;
        let Unheard { written, untold } = unheard;
        let known = before.filter(|_| !untold);
        let sets = self.sets_before(survey, tip, known).await?;
        let changed = static_urls::changed(&survey.set, &sets, written);
        let url = survey.place.url.as_deref();
        let url = url
            .map(|url| static_urls::public(url, app, environment))
            .transpose()?;
        let paths = static_urls::paths(url.as_deref(), changed);
        if paths.is_empty() {
            return Ok(());
        }
        let last = before.map(|before| Digest::of(&release::to_bytes(before)));
        let reference = static_urls::reference(
            app,
            environment,
            tip.entry.state.since.unwrap_or_default(),
            &survey.digest,
            last.as_ref(),
            (!written.is_empty()).then_some(self.attempt),
            &paths,
        );
        cdn.tell(&Change {
            app,
            environment,
            version: &survey.build.version,
            url: url.as_deref(),
            paths: &paths,
            reference: &reference,
        })
        .await
    }

    /// The sets of which copies may have been made since the CDN was told last: the one that `static.json` names, and those whose
    /// activation was begun after it. None where that is not known.
    async fn sets_before(
        &self,
        survey: &Survey,
        tip: &Tip,
        before: Option<&Applied>,
    ) -> Result<Vec<StaticSet>, Failure> {
        let Some(before) = before.filter(|before| before.root == survey.resolved) else {
            return Ok(Vec::new());
        };
        let Some(last) = self.believed_set(before).await? else {
            return Ok(Vec::new());
        };
        let mut sets = vec![last];
        let state = &tip.entry.state;
        let unfinished = state.history.iter().map(|step| step.seq);
        let unfinished = unfinished.filter(|seq| *seq > before.seq && Some(*seq) != state.since);
        for (looked_at, seq) in unfinished.enumerate() {
            if looked_at == UNFINISHED {
                return Ok(Vec::new());
            }
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
        let Ok(digest) = Digest::parse(&files.digest) else {
            return Ok(None);
        };
        believed(read_set(self.log.store, &digest).await)
    }

    /// What `static.json` says, as far as it can be read: where it is damaged nothing of it is believed, and it is written anew.
    async fn believed(&self) -> Result<Option<Applied>, Failure> {
        believed(self.applied().await)
    }

    /// The set that was laid out last, as far as it can be read.
    async fn believed_set(&self, applied: &Applied) -> Result<Option<StaticSet>, Failure> {
        match Digest::parse(&applied.digest) {
            Ok(digest) => believed(read_set(self.log.store, &digest).await),
            Err(_) => Ok(None),
        }
    }

    /// What `static.json` says, `None` when nothing was ever laid out.
    ///
    /// # Errors
    /// Those of the store, and `release::document`.
    pub async fn applied(&self) -> Result<Option<Applied>, Failure> {
        let key = layout::static_state(self.log.app, self.log.environment);
        match self.log.store.get(&key, LONGEST_DOCUMENT).await? {
            Some(bytes) => release::from_bytes(SCHEMA, key.as_str(), &bytes).map(Some),
            None => Ok(None),
        }
    }
}

/// What was read of a document that only spares work; one that is damaged is as good as none, and that is said.
fn believed<T>(read: Result<Option<T>, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Err(failure) if failure.exit() == Exit::Integrity => {
            tracing::warn!("every static file is looked at: {failure}");
            Ok(None)
        }
        other => other,
    }
}

/// The number of the entry that made something live before the one with this number did.
fn move_before(state: &State, seq: u64) -> Option<u64> {
    let moves = state.history.iter().map(|event| event.seq);
    moves.filter(|before| *before < seq).max()
}

/// Whether it is a day after `then` now; both RFC 3339, and where one is not, no.
fn is_a_day_later(then: &str, now: &str) -> bool {
    let read = |text| OffsetDateTime::parse(text, &Rfc3339).ok();
    match (read(then), read(now)) {
        (Some(then), Some(now)) => (now - then).whole_seconds() >= DAY,
        _ => false,
    }
}

/// The static set with this digest, `None` when the store does not have it.
///
/// # Errors
/// `static::set`, exit 6, when it is not what its digest says.
pub async fn read_set(store: &dyn Store, digest: &Digest) -> Result<Option<StaticSet>, Failure> {
    let key = layout::blob(digest);
    let Some(bytes) = store.get(&key, LONGEST_DOCUMENT).await? else {
        return Ok(None);
    };
    let refuse = |why: String| {
        Failure::new(
            Exit::Integrity,
            "static::set",
            format!("{key} is not a list of static files"),
        )
        .because(why)
    };
    let found = Digest::of(&bytes);
    if found != *digest {
        return Err(refuse(format!("its bytes have {found}")));
    }
    let set: StaticSet = release::from_bytes(static_set::SCHEMA, key.as_str(), &bytes)?;
    check_set(&set).map_err(refuse)?;
    Ok(Some(set))
}

/// Whether a list of static files can be laid out: paths that are keys, each once, digests, and headers of one line.
///
/// # Errors
/// Why it cannot.
pub fn check_set(set: &StaticSet) -> Result<(), String> {
    let mut paths = BTreeSet::new();
    for file in &set.files {
        Key::parse(&file.path).map_err(|failure| failure.to_string())?;
        Digest::parse(&file.digest).map_err(|failure| failure.to_string())?;
        if !paths.insert(&file.path) {
            return Err(format!("it names {} twice", quoted(&file.path)));
        }
        let headers = [
            Some(&file.content_type),
            Some(&file.cache_control),
            file.content_encoding.as_ref(),
        ];
        let is_header = |text: &&String| {
            !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        if !headers.iter().flatten().all(is_header) {
            return Err(format!("{} has no proper headers", quoted(&file.path)));
        }
    }
    Ok(())
}

fn immutable_changed(root: &str, paths: &[String]) -> Failure {
    let failure = Failure::new(
        Exit::Integrity,
        "static::immutable_changed",
        format!("immutable files at {} have other bytes", quoted(root)),
    )
    .hint("browsers keep such files for a year: give the changed file another name, or list it under 'mutable'");
    paths.iter().take(SHOWN).fold(failure, Failure::because)
}
