//! Deltas from the archives that hosts have to the one that comes. They are derived and never required: whatever goes wrong is told, and the release
//! goes on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::apply::build::Packed;
use crate::apply::builds;
use crate::apply::install::fetch::{by_preference, expect, fetch};
use crate::apply::point::{Log, environments_of};
use crate::apply::until_stopped;
use crate::explain::{Exit, Failure};
use crate::local::archive::{LONGEST_TAR, longest_delta, make_delta, read_old};
use crate::local::scratch::Scratch;
use crate::local::stop::Stop;
use crate::name::{Digest, PackageName, Variant};
use crate::release::app::{AppManifest, Archive};
use crate::release::{LONGEST_DOCUMENT, layout};
use crate::remote::store::{Body, Headers, Store, StoreError};
use crate::version::Version;

/// The most deltas that lead to one build: environments seldom run more than these.
const MOST: usize = 4;

/// How deltas are made.
pub struct Making<'a> {
    /// Where archives are, and deltas go.
    pub store: &'a dyn Store,
    /// What was built on this machine.
    pub packed: Option<&'a Packed>,
    /// Asked before each delta.
    pub stop: &'a Stop,
}

/// A build that is released, and one from which a delta shall lead to it.
struct Step<'a> {
    app: &'a PackageName,
    variant: &'a Variant,
    to: &'a Version,
    new: &'a AppManifest,
    from: Version,
    /// The most bytes that the delta may have.
    most: u64,
}

impl Making<'_> {
    /// Makes the deltas that lead to a build: from what is live in any environment, else from the version before. What is there already stays.
    ///
    /// # Errors
    /// Only where the run shall stop.
    pub async fn lead_to(&self, new: &AppManifest) -> Result<(), Failure> {
        let archive = new.archive.as_ref();
        let worth = archive.and_then(|new| longest_delta(new.size, new.tar_size));
        let Some(most) = worth else {
            return Ok(());
        };
        let (app, version) = (&new.app, &new.version);
        let made = until_stopped(self.store, self.stop, self.try_lead_to(new, most)).await;
        self.stop.check()?;
        if let Err(failure) = made {
            tracing::warn!(
                "no deltas lead to {app} {version}: {failure}; hosts fetch the whole archive"
            );
        }
        Ok(())
    }

    async fn try_lead_to(&self, new: &AppManifest, most: u64) -> Result<(), Failure> {
        let app = PackageName::parse(&new.app)?;
        let to = Version::parse(&new.version)?;
        let variant = Variant::parse(&new.variant)?;
        let mut failed = None;
        for from in self.versions_before(&app, &to, &variant).await? {
            self.stop.check()?;
            let step = Step {
                app: &app,
                variant: &variant,
                to: &to,
                new,
                from,
                most,
            };
            // One that cannot be made keeps no other from being made.
            if let Err(failure) = self.make(&step).await {
                failed = Some(failure.because(format!("the delta would lead from {}", step.from)));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The versions from which hosts will come, the newest first.
    async fn versions_before(
        &self,
        app: &PackageName,
        to: &Version,
        variant: &Variant,
    ) -> Result<Vec<Version>, Failure> {
        let mut live = BTreeSet::new();
        for environment in environments_of(self.store, app).await? {
            let log = Log {
                store: self.store,
                app,
                environment: &environment,
            };
            let tip = log.tip().await?;
            let build = tip.and_then(|tip| tip.entry.state.current);
            if let Some(build) = build.filter(|build| build.variant == variant.as_str()) {
                live.insert(Version::parse(&build.version)?);
            }
        }
        live.remove(to);
        if live.is_empty() {
            let recorded = builds::versions(self.store, app).await?.into_iter();
            let same = recorded.filter(|(version, of)| of == variant && version < to);
            live.extend(same.map(|(version, _)| version).max());
        }
        Ok(live.into_iter().rev().take(MOST).collect())
    }

    async fn make(&self, step: &Step<'_>) -> Result<(), Failure> {
        let key = layout::delta(step.app, step.to, &step.from, step.variant);
        if self.store.head(&key).await?.is_some() {
            return Ok(());
        }
        let manifest = layout::app(step.app, &step.from, step.variant);
        let Some(bytes) = self.store.get(&manifest, LONGEST_DOCUMENT).await? else {
            return Ok(());
        };
        let old = builds::read(
            step.app,
            &step.from,
            step.variant,
            manifest.as_str(),
            &bytes,
        )?;
        let (app, from, to) = (step.app, &step.from, step.to);
        let short = |archive: &Archive| archive.tar_size <= LONGEST_TAR;
        if !old.archive.as_ref().is_some_and(short) {
            return Ok(());
        }
        let directory = Scratch::new()?;
        let place = |name: &str| directory.path().join(name);
        let before = self.archive(&old, place("old")).await?;
        let after = self.archive(step.new, place("new")).await?;
        let delta = place("delta");
        let whole = after.0.size;
        let made = tokio::task::spawn_blocking({
            let (delta, most) = (delta.clone(), step.most);
            move || delta_between(&before, &after, &delta, most)
        });
        let made = made.await.unwrap_or_else(|error| {
            let what = "the work on a delta was interrupted";
            Err(Failure::new(Exit::Temporary, "install::interrupted", what).because(error))
        })?;
        let Some((digest, size)) = made else {
            tracing::info!(
                "no delta leads from {app} {from} to {to}: it would be longer than half of the archive"
            );
            return Ok(());
        };
        let body = Body::File {
            path: delta,
            size,
            digest,
            share: None,
        };
        let headers = Headers {
            content_type: Some("application/zstd".to_owned()),
            ..Headers::default()
        };
        match self.store.create(&key, &body, &headers).await {
            Ok(_) | Err(StoreError::Uncertain(_)) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!(
            "{app}: {} KiB lead from {from} to {to}, in the place of {} KiB",
            size.div_ceil(1024),
            whole.div_ceil(1024)
        );
        Ok(())
    }

    /// An archive of a build as a file: the one on this machine, else one that is fetched to `to`.
    async fn archive(
        &self,
        manifest: &AppManifest,
        to: PathBuf,
    ) -> Result<(Archive, PathBuf), Failure> {
        let archives = by_preference(manifest)?;
        let mut failed = None;
        for archive in archives {
            let digest = Digest::parse(&archive.digest)?;
            if let Some(here) = self.packed.and_then(|packed| packed.blobs.get(&digest)) {
                return Ok((archive.clone(), here.clone()));
            }
            match fetch(self.store, archive, &to).await {
                Ok(()) => return Ok((archive.clone(), to)),
                Err(failure) => failed = Some(failure),
            }
            let _ = tokio::fs::remove_file(&to).await;
        }
        Err(failed.unwrap_or_else(|| unreachable!("every build has an archive")))
    }
}

fn delta_between(
    (old, old_at): &(Archive, PathBuf),
    (new, new_at): &(Archive, PathBuf),
    to: &Path,
    most: u64,
) -> Result<Option<(Digest, u64)>, Failure> {
    let tar = read_old(old_at, &expect(old)?)?;
    make_delta(&tar, new_at, &expect(new)?, to, most)
}
