//! Writing what is missing, class by class, so that no page names a file that is not there yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt as _};

use super::look::{Look, Need, immutable_changed, owned};
use super::{Ground, LARGEST_IN_MEMORY, Survey, headers};
use crate::apply::known::present;
use crate::apply::point::Tip;
use crate::apply::until_stopped;
use crate::explain::{Exit, Failure, quoted};
use crate::local::progress::{Progress, Share, Transfer};
use crate::local::scratch::Scratch;
use crate::name::{Digest, Key};
use crate::release::layout;
use crate::release::static_set::{Class, StaticFile};
use crate::remote::store::until_known::until_known;
use crate::remote::store::{Body, Created};

/// What was written while one entry was live.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The paths.
    pub(super) written: Vec<String>,
    /// Whether another entry was met on the way, so that something is left out.
    pub(super) overtaken: bool,
}

impl Ground<'_> {
    /// Looks whether the store holds the bytes of all that is to be written, so that what is lost refuses all of it before anything moves.
    ///
    /// # Errors
    /// `static::blob`, exit 6, for what is missing or of another length; those of the store.
    pub async fn holds_bytes(&self, survey: &Survey) -> Result<(), Failure> {
        let mut needed: Vec<(Digest, &StaticFile)> = Vec::new();
        for (file, _) in missing(survey, None) {
            needed.push((Digest::parse(&file.digest)?, file));
        }
        let mut sizes = Vec::new();
        for (digest, file) in &needed {
            sizes.push((digest.clone(), file.size));
        }
        let there = present(self.log.store, sizes, self.concurrency.max(1)).await?;
        match needed.iter().find(|(digest, _)| !there.contains(digest)) {
            Some((digest, file)) => {
                let key = layout::blob(digest);
                Err(lost(
                    file,
                    format!("{key} is missing, or of another length"),
                ))
            }
            None => Ok(()),
        }
    }

    /// Writes what the survey found missing, class by class. Before each class of files that others may want otherwise it looks whether
    /// `tip` is still live, so that a slow run writes little over a later one. Where that fails or the run is to stop, the root keeps nothing of what
    /// was sent in part.
    pub(super) async fn lay_out(
        &self,
        survey: &Survey,
        seq: u64,
        tip: &Tip,
    ) -> Result<Round, Failure> {
        let missing = missing(survey, None);
        let progress = Progress::start(
            "laying out",
            Transfer {
                objects: missing.len() as u64,
                bytes: missing.iter().map(|(file, _)| file.size).sum(),
            },
        );
        let writes = self.write(survey, seq, tip, &progress);
        let round = until_stopped(survey.root.as_ref(), self.stop, writes).await;
        progress.end();
        round
    }

    async fn write(
        &self,
        survey: &Survey,
        seq: u64,
        tip: &Tip,
        progress: &Progress,
    ) -> Result<Round, Failure> {
        let mut round = Round::default();
        for class in [Class::Immutable, Class::Mutable, Class::Html, Class::Last] {
            let missing = missing(survey, Some(class));
            let is_shared = class != Class::Immutable && !missing.is_empty();
            if is_shared && !self.is_still_live(tip).await? {
                round.overtaken = true;
                break;
            }
            // Once the run is to stop no file begins; those that are on their way may end.
            let puts = missing
                .into_iter()
                .take_while(|_| self.stop.requested().is_none())
                .map(|(file, need)| self.put(survey, file, need, seq, progress));
            let mut puts = stream::iter(puts).buffer_unordered(self.concurrency.max(1));
            while let Some(path) = puts.next().await {
                round.written.push(path?);
            }
            self.stop.check()?;
        }
        Ok(round)
    }

    async fn put(
        &self,
        survey: &Survey,
        file: &StaticFile,
        need: Need,
        seq: u64,
        progress: &Progress,
    ) -> Result<String, Failure> {
        let share = progress.share(file.size);
        let path = self.send(survey, file, need, seq, &share).await?;
        share.finish();
        Ok(path)
    }

    async fn send(
        &self,
        survey: &Survey,
        file: &StaticFile,
        need: Need,
        seq: u64,
        share: &Arc<Share>,
    ) -> Result<String, Failure> {
        let key = Key::parse(&file.path)?;
        let (body, _directory) = self.body(file).await?;
        let body = body.told_to(share);
        let headers = headers(file, self.log.app, Some((self.log.environment, seq)));
        let root = survey.root.as_ref();
        // What nobody saw there is created, so that nothing that came meanwhile is written over unseen.
        let is_missing = AtomicBool::new(need == Need::Create);
        let send = || async {
            if is_missing.load(Ordering::Relaxed) {
                let created = root.create(&key, &body, &headers).await?;
                return Ok((created == Created::New).then_some(()));
            }
            root.replace(&key, &body, &headers).await.map(Some)
        };
        let look = || async {
            match self.look(root, file).await? {
                Look::Fine(Need::Nothing) => Ok(Some(())),
                Look::OtherBytes => Err(immutable_changed(
                    &survey.resolved,
                    &[format!("{} has other bytes", quoted(&file.path))],
                )),
                Look::Owned(by) => Err(owned(
                    self.log,
                    &survey.resolved,
                    &[format!("{} belongs to {by}", quoted(&file.path))],
                )),
                Look::Fine(need) => {
                    is_missing.store(need == Need::Create, Ordering::Relaxed);
                    Ok(None)
                }
            }
        };
        let known = until_known(&key, send, look).await;
        known.map_err(|unknown| unknown.or(|doubt| uncertain(file, doubt)))?;
        Ok(file.path.clone())
    }

    /// The bytes of a file from `blobs/`, checked; the directory lives as long as the body needs it.
    async fn body(&self, file: &StaticFile) -> Result<(Body, Option<Scratch>), Failure> {
        let digest = Digest::parse(&file.digest)?;
        let key = layout::blob(&digest);
        let refuse = |why: String| lost(file, why);
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
}

fn lost(file: &StaticFile, why: String) -> Failure {
    Failure::new(
        Exit::Integrity,
        "static::blob",
        format!("the bytes of {} are not in the store", quoted(&file.path)),
    )
    .because(why)
    .hint("put it back from the store's own versions or a copy of it; 'rollback' or 'promote' goes to another version")
}

/// The files that are to be written, all or those of one class, with what each needs.
fn missing(survey: &Survey, class: Option<Class>) -> Vec<(&StaticFile, Need)> {
    let needed = survey.needed();
    let missing = needed.filter(|(file, _)| class.is_none_or(|class| file.class == class));
    missing.collect()
}

fn uncertain(file: &StaticFile, doubt: Option<Failure>) -> Failure {
    let failure = Failure::new(
        Exit::Temporary,
        "static::uncertain",
        format!("nobody can say whether {} was written", quoted(&file.path)),
    )
    .hint("run the same command again: it continues");
    match doubt {
        Some(doubt) => failure.because_of(&doubt),
        None => failure.because("someone else writes there at the same time"),
    }
}
