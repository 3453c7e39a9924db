//! Fetch by digest, verify, unpack beside what runs.

use std::path::{Path, PathBuf};

use super::{Install, blocking, in_one_line};
use crate::explain::{self, Exit, Failure};
use crate::local::archive::{Expect, LONGEST_TAR, apply_delta, longest_delta, read_old, unpack};
use crate::local::files;
use crate::name::{Digest, Variant};
use crate::plan::pull::Tip;
use crate::release::app::{AppManifest, Archive};
use crate::release::host::{Installed, KEPT_SCHEMA, KeptArchive, MARK_SCHEMA, Mark, Phase};
use crate::release::layout;
use crate::remote::store::Store;
use crate::version::Version;

impl Install<'_> {
    /// Brings the release to its place below `releases/`, complete and verified, and makes it the one that comes.
    pub(super) async fn prepare(
        &mut self,
        store: &dyn Store,
        manifest: &AppManifest,
        archive: &Archive,
        tip: &Tip,
    ) -> Result<(), Failure> {
        let directory = self.directory_for(tip)?;
        self.state.coming = Some(Installed {
            version: tip.version.to_string(),
            directory: directory.clone(),
            digest: Some(tip.archive.to_string()),
            seq: tip.seq,
            since: tip.since,
        });
        self.enter(Phase::Fetching).await?;
        // Who asks again for what failed may doubt the files too.
        let there = self.host.mark(&directory)?;
        let whole = there.is_some() && !self.settings.retry;
        let mark = Mark {
            schema: MARK_SCHEMA.to_owned(),
            app: manifest.app.clone(),
            version: manifest.version.clone(),
            digest: Some(archive.digest.clone()),
            seq: there.as_ref().map_or(0, |mark| mark.seq),
            scripts: manifest.scripts.clone(),
        };
        if !whole {
            self.unpack(store, manifest, archive, tip, &directory)
                .await?;
        }
        let host = self.host.clone();
        blocking(move || host.write_mark(&directory, &mark)).await?;
        self.enter(Phase::Extracted).await
    }

    /// The name of a release's directory: its version, unless other bytes of that version (another environment's build) are there.
    fn directory_for(&self, tip: &Tip) -> Result<String, Failure> {
        let version = tip.version.to_string();
        let taken = self
            .host
            .mark(&version)?
            .is_some_and(|mark| mark.digest.as_deref() != Some(tip.archive.as_str()));
        Ok(if taken {
            format!("{version}+{}", &tip.archive.hex()[..12])
        } else {
            version
        })
    }

    async fn unpack(
        &mut self,
        store: &dyn Store,
        manifest: &AppManifest,
        archive: &Archive,
        tip: &Tip,
        directory: &str,
    ) -> Result<(), Failure> {
        let host = self.host.clone();
        blocking(move || host.clear_temporary()).await?;
        let file = self.host.temporary("archive");
        let here = match self.by_delta(store, manifest, archive, tip, &file).await? {
            Some(rebuilt) => rebuilt,
            None => self.fetch_whole(store, manifest, &file).await?,
        };
        self.enter(Phase::Verified).await?;
        let (entries, place) = (archive.entries, format!("releases/{directory}"));
        let kept = self.settings.deltas.then(|| KeptArchive {
            schema: KEPT_SCHEMA.to_owned(),
            version: manifest.version.clone(),
            variant: manifest.variant.clone(),
            build: archive.digest.clone(),
            archive: here.clone(),
        });
        let needed: Vec<String> = self.needed_builds();
        let (host, directory) = (self.host.clone(), directory.to_owned());
        let unkept = blocking(move || {
            let tree = host.temporary("tree");
            extract(&file, &tree, &here)?;
            host.place_release(&tree, &directory)?;
            let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
            let unkept = host.forget_archives(&needed).and_then(|()| match &kept {
                Some(kept) => host.keep_archive(&file, kept),
                None => Ok(()),
            });
            host.clear_temporary()?;
            Ok(unkept.err())
        })
        .await?;
        if let Some(failure) = unkept {
            let app = self.host.app();
            let why = in_one_line(&failure);
            tracing::warn!("{app}: the archive is not kept, so no delta leads from it: {why}");
        }
        self.story.did(format_args!(
            "unpacked {entries} files and directories into {place}"
        ));
        Ok(())
    }

    /// The builds whose archives stay while another one comes: none where no deltas are used.
    pub(super) fn needed_builds(&self) -> Vec<String> {
        let installed = [&self.state.installed, &self.state.previous];
        let releases = installed.into_iter().flatten();
        let builds = releases.filter_map(|release| release.digest.clone());
        builds.filter(|_| self.settings.deltas).collect()
    }

    /// Fetches an archive of the build, as small as there is one.
    async fn fetch_whole(
        &mut self,
        store: &dyn Store,
        manifest: &AppManifest,
        file: &Path,
    ) -> Result<Archive, Failure> {
        let mut refused: Option<Failure> = None;
        for archive in by_preference(manifest)? {
            let fetched = fetch(store, archive, file).await;
            let failure = match fetched {
                Ok(()) => {
                    if let Some(other) = &refused {
                        let (app, why) = (self.host.app(), in_one_line(other));
                        tracing::warn!("{app}: the same as {} is taken: {why}", archive.encoding);
                    }
                    let size = archive.size;
                    self.fetched += size;
                    self.story.did(format_args!(
                        "fetched {}, as they were released",
                        explain::size(size)
                    ));
                    return Ok(archive.clone());
                }
                Err(failure) => failure,
            };
            // What cannot be reached now may be there later; only what is not as it was released is looked for elsewhere.
            if failure.exit() != Exit::Integrity {
                return Err(failure);
            }
            if let Some(first) = refused.replace(failure) {
                refused = Some(first);
            }
            remove(file).await?;
        }
        Err(refused.unwrap_or_else(|| unreachable!("every build has an archive")))
    }

    /// Rebuilds the archive from one that was kept, where a delta leads from there; `None`: it has to be fetched. Whatever is wrong with a delta is told,
    /// and no reason to fail.
    async fn by_delta(
        &mut self,
        store: &dyn Store,
        manifest: &AppManifest,
        archive: &Archive,
        tip: &Tip,
        file: &Path,
    ) -> Result<Option<Archive>, Failure> {
        let most = longest_delta(archive.size, archive.tar_size);
        let Some(most) = most.filter(|_| self.settings.deltas) else {
            return Ok(None);
        };
        let host = self.host.clone();
        let kept = blocking(move || host.kept_archives()).await;
        let kept = kept.unwrap_or_else(|failure| {
            self.without_delta(&in_one_line(&failure));
            Vec::new()
        });
        for (kept, at) in leading(kept, manifest, self.state.installed.as_ref()) {
            match self
                .rebuild(store, (archive, most), tip, &kept, at, file)
                .await
            {
                Ok(Some((rebuilt, size))) => {
                    self.fetched += size;
                    self.story.did(format_args!(
                        "fetched {}, the delta from {}, in the place of {}",
                        explain::size(size),
                        kept.version,
                        explain::size(archive.size)
                    ));
                    return Ok(Some(rebuilt));
                }
                Ok(None) => {}
                Err(failure) => self.without_delta(&format!(
                    "the delta from {} is not used: {}",
                    kept.version,
                    in_one_line(&failure)
                )),
            }
            let host = self.host.clone();
            blocking(move || host.clear_temporary()).await?;
        }
        Ok(None)
    }

    fn without_delta(&self, why: &str) {
        tracing::warn!("{}: {why}; the whole archive is fetched", self.host.app());
    }

    /// The archive, rebuilt from `kept`, and how many bytes were fetched for it; `None` where there is no delta.
    async fn rebuild(
        &self,
        store: &dyn Store,
        (archive, most): (&Archive, u64),
        tip: &Tip,
        kept: &KeptArchive,
        at: PathBuf,
        file: &Path,
    ) -> Result<Option<(Archive, u64)>, Failure> {
        let variant = Variant::parse(&kept.variant)?;
        let from = Version::parse(&kept.version)?;
        let key = layout::delta(&tip.app, &tip.version, &from, &variant);
        let delta = self.host.temporary("delta");
        let fetched = store.fetch(&key, &delta, most).await?;
        if fetched.is_none() {
            return Ok(None);
        }
        let (kept, archive, file) = (kept.archive.clone(), archive.clone(), file.to_owned());
        let rebuilt = blocking(move || {
            let size = files::open_regular(&delta)?.1.len();
            let old = read_old(&at, &expect(&kept)?)?;
            let tar = Digest::parse(&archive.tar_digest)?;
            let packed = apply_delta(&old, &delta, &tar, archive.tar_size, &file)?;
            let rebuilt = Archive {
                digest: packed.digest.to_string(),
                size: packed.size,
                encoding: packed.encoding.as_str().to_owned(),
                ..archive
            };
            Ok((rebuilt, size))
        });
        rebuilt.await.map(Some)
    }
}

/// The archives of a build in the order in which a host would have them: zstd is smaller, and faster to unpack.
///
/// # Errors
/// `release::encoding`, exit 6, when none of them is known here.
pub(in crate::apply) fn by_preference(manifest: &AppManifest) -> Result<Vec<&Archive>, Failure> {
    let known = |archive: &&Archive| archive.known_encoding().is_ok();
    let mut archives: Vec<&Archive> = manifest.archives().filter(known).collect();
    if let (true, Some(archive)) = (archives.is_empty(), &manifest.archive) {
        archive.known_encoding()?;
    }
    archives.sort_by_key(|archive| archive.known_encoding().ok());
    Ok(archives)
}

/// Those of the kept archives from which a delta may lead to a build: what runs first.
fn leading(
    mut kept: Vec<(KeptArchive, PathBuf)>,
    manifest: &AppManifest,
    installed: Option<&Installed>,
) -> Vec<(KeptArchive, PathBuf)> {
    kept.retain(|(kept, _)| {
        kept.variant == manifest.variant
            && kept.version != manifest.version
            && kept.archive.tar_size <= LONGEST_TAR
    });
    let runs = installed.and_then(|installed| installed.digest.as_deref());
    kept.sort_by_key(|(kept, _)| Some(kept.build.as_str()) != runs);
    kept
}

async fn remove(file: &Path) -> Result<(), Failure> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(files::failed("files::write", "remove", file, &error))
        }
        _ => Ok(()),
    }
}

/// Fetches an archive and verifies its length and digest.
pub(in crate::apply) async fn fetch(
    store: &dyn Store,
    archive: &Archive,
    to: &Path,
) -> Result<(), Failure> {
    let digest = Digest::parse(&archive.digest)?;
    let key = layout::blob(&digest);
    let refuse = |why: String| {
        Failure::new(
            Exit::Integrity,
            "install::archive",
            format!(
                "{key} in {} is not the archive that was released",
                store.describe()
            ),
        )
        .because(why)
        .hint("nothing was changed on this host; roll back, or restore the object")
    };
    let fetched = store
        .fetch(&key, to, archive.size)
        .await
        .map_err(Failure::from)?
        .ok_or_else(|| refuse("it is not there".to_owned()))?;
    if fetched != digest {
        return Err(refuse(format!("its digest is {fetched}")));
    }
    let length = tokio::fs::metadata(to)
        .await
        .map_err(|error| refuse(error.to_string()))?
        .len();
    if length != archive.size {
        return Err(refuse(format!(
            "it has {length} bytes instead of {}",
            archive.size
        )));
    }
    Ok(())
}

/// What an archive must be. The digest of the tar inside fixes every entry, so the list of files need not be fetched.
pub(in crate::apply) fn expect(archive: &Archive) -> Result<Expect, Failure> {
    const MOST_BYTES: u64 = 16 << 30;
    Ok(Expect {
        encoding: archive.known_encoding()?,
        digest: Digest::parse(&archive.digest)?,
        size: archive.size,
        tar_digest: Digest::parse(&archive.tar_digest)?,
        tar_size: archive.tar_size,
        entries: archive.entries,
        files: None,
        most_bytes: MOST_BYTES,
    })
}

/// Unpacks the verified archive `file` into the new directory `into`.
fn extract(file: &Path, into: &Path, archive: &Archive) -> Result<(), Failure> {
    let expect = expect(archive)?;
    std::fs::create_dir(into).map_err(|error| {
        Failure::new(
            Exit::Temporary,
            "install::disk",
            format!("{} could not be made", into.display()),
        )
        .because(error)
    })?;
    unpack(file, into, &expect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::install::InstallOutcome;
    use crate::apply::install::site::{GOOD, Site};

    #[tokio::test]
    async fn wrong_bytes_touch_nothing() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let pid = site.pid();
        let next = site.release("1.1.0", GOOD);
        let key = layout::blob(&next.1.archive).to_string();
        let good = site.shelf.0.remove(&key).expect("there");
        let mut other = good.clone();
        other[0] ^= 1;
        for bytes in [None, Some(other)] {
            if let Some(bytes) = bytes {
                site.shelf.0.insert(key.clone(), bytes);
            }
            let failure = site.install(&next).await.expect_err("refused");
            assert_eq!(
                (failure.code(), failure.exit()),
                ("install::archive", Exit::Integrity)
            );
            assert_eq!(site.state().state, Phase::Committed);
            assert_eq!(site.pid(), pid);
        }
        site.shelf.0.insert(key, good);
        assert_eq!(site.install(&next).await, Ok(InstallOutcome::Installed));
    }

    /// A server with so much in it that deltas are worth it.
    fn large(own: &str) -> String {
        let mut state = 7_u64;
        let noise: String = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            format!("{:08x}", state >> 32)
        })
        .take(30_000)
        .collect();
        format!("{GOOD}//{noise} {own}")
    }

    fn archive_of(release: &(AppManifest, Tip)) -> &Archive {
        release.0.archive.as_ref().expect("an archive")
    }

    /// The delta between two releases, as a release makes it.
    fn delta(site: &Site, old: &(AppManifest, Tip), new: &(AppManifest, Tip)) -> Vec<u8> {
        let at = |release: &(AppManifest, Tip)| {
            let file = site.root.path().join(release.1.archive.hex());
            let key = layout::blob(&release.1.archive).to_string();
            std::fs::write(&file, &site.shelf.0[&key]).expect("written");
            (file, expect(archive_of(release)).expect("known"))
        };
        let ((old, of_old), (new, of_new)) = (at(old), at(new));
        let tar = read_old(&old, &of_old).expect("a tar");
        let to = site.root.path().join("delta");
        let _ = std::fs::remove_file(&to);
        let made = crate::local::archive::make_delta(&tar, &new, &of_new, &to, 1 << 20);
        assert!(made.expect("made").is_some());
        std::fs::read(to).expect("a delta")
    }

    fn place(old: &(AppManifest, Tip), new: &(AppManifest, Tip)) -> String {
        layout::delta(&new.1.app, &new.1.version, &old.1.version, &Variant::Any).to_string()
    }

    /// Installs and says how many bytes were fetched.
    async fn fetched(site: &Site, release: &(AppManifest, Tip)) -> u64 {
        let mut install = Install::begin(&site.host, &site.settings)
            .await
            .expect("begun");
        let outcome = install.run(&site.shelf, &release.0, &release.1).await;
        assert_eq!(outcome, Ok(InstallOutcome::Installed), "{}", site.log());
        install.fetched()
    }

    #[tokio::test]
    async fn a_host_follows_by_deltas_as_long_as_it_has_what_they_lead_from() {
        let mut site = Site::new();
        let mut old = site.release("1.0.0", &large("0"));
        assert_eq!(fetched(&site, &old).await, archive_of(&old).size);
        for number in 1..=3 {
            let version = format!("1.{number}.0");
            let new = site.release(&version, &large(&version));
            let delta = delta(&site, &old, &new);
            let length = delta.len() as u64;
            assert!(length < 2000, "{length}");
            site.shelf.0.insert(place(&old, &new), delta);
            // The archive itself is not needed.
            let key = layout::blob(&new.1.archive).to_string();
            let whole = site.shelf.0.remove(&key).expect("there");
            assert_eq!(fetched(&site, &new).await, length);
            let answer = site.answer().expect("an answer");
            assert_eq!(answer, format!("{version} prod"));
            let kept = site.host.kept_archives().expect("readable").len();
            assert_eq!(kept, 2, "what runs and what ran before");
            site.shelf.0.insert(key, whole);
            old = new;
        }
        // Somebody empties the cache.
        site.host.forget_archives(&[]).expect("gone");
        let new = site.release("1.4.0", &large("4"));
        let right = delta(&site, &old, &new);
        site.shelf.0.insert(place(&old, &new), right);
        assert_eq!(fetched(&site, &new).await, archive_of(&new).size);
        // Without deltas nothing is kept.
        site.settings.deltas = false;
        let last = site.release("1.5.0", &large("5"));
        let right = delta(&site, &new, &last);
        site.shelf.0.insert(place(&new, &last), right);
        assert_eq!(fetched(&site, &last).await, archive_of(&last).size);
        assert!(site.host.kept_archives().expect("readable").is_empty());
    }

    #[tokio::test]
    async fn whatever_is_wrong_with_a_delta_the_archive_is_fetched() {
        type Break = fn(Vec<u8>) -> Vec<u8>;
        let mut site = Site::new();
        let mut old = site.release("1.0.0", &large("0"));
        fetched(&site, &old).await;
        let cases: [(&str, Break); 6] = [
            ("nothing", |_| Vec::new()),
            ("a page", |_| b"<!doctype html>".to_vec()),
            ("cut", |delta| delta[..delta.len() / 2].to_vec()),
            ("flipped", |mut delta| {
                let at = delta.len() / 2;
                delta[at] ^= 1;
                delta
            }),
            ("a bomb", |_| {
                zstd::encode_all(&vec![0; 8 << 20][..], 1).expect("bytes")
            }),
            ("followed", |mut delta| {
                delta.extend(b"x");
                delta
            }),
        ];
        for (number, (what, broken)) in cases.into_iter().enumerate() {
            let version = format!("1.{}.0", number + 1);
            let new = site.release(&version, &large(what));
            let delta = broken(delta(&site, &old, &new));
            site.shelf.0.insert(place(&old, &new), delta);
            assert_eq!(fetched(&site, &new).await, archive_of(&new).size, "{what}");
            assert!(!site.host.temporary("delta").exists(), "{what}");
            old = new;
        }
        // What is kept was changed, or cannot be read at all.
        let break_kept: [fn(&Path); 2] = [
            |archive| std::fs::write(archive, "other bytes").expect("written"),
            |archive| std::fs::write(archive.with_extension("json"), "{").expect("written"),
        ];
        for (number, break_kept) in break_kept.into_iter().enumerate() {
            let new = site.release(&format!("2.{number}.0"), &large("new"));
            let right = delta(&site, &old, &new);
            site.shelf.0.insert(place(&old, &new), right);
            for (_, archive) in site.host.kept_archives().expect("readable") {
                break_kept(&archive);
            }
            assert_eq!(fetched(&site, &new).await, archive_of(&new).size);
            old = new;
        }
        // A manifest that lies about the tar is refused, with a delta as without.
        let pid = site.pid();
        let mut new = site.release("3.0.0", &large("3"));
        let right = delta(&site, &old, &new);
        site.shelf.0.insert(place(&old, &new), right);
        let archive = new.0.archive.as_mut().expect("an archive");
        archive.tar_digest = Digest::of(b"").to_string();
        let failure = site.install(&new).await.expect_err("refused");
        let found = (failure.code(), failure.exit());
        assert_eq!(found, ("archive::tar_digest", Exit::Integrity));
        assert_eq!((site.pid(), site.state().state), (pid, Phase::Committed));
    }

    #[tokio::test]
    async fn the_other_encoding_is_taken_where_the_first_is_not_there() {
        let mut site = Site::new();
        let mut release = site.release("1.0.0", GOOD);
        let key = layout::blob(&release.1.archive).to_string();
        let zstd = site.shelf.0.remove(&key).expect("there");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        let tar = zstd::decode_all(&zstd[..]).expect("a tar");
        std::io::Write::write_all(&mut encoder, &tar).expect("written");
        let gzip = encoder.finish().expect("bytes");
        let alternative = Archive {
            digest: Digest::of(&gzip).to_string(),
            size: gzip.len() as u64,
            encoding: "tar+gzip".to_owned(),
            ..archive_of(&release).clone()
        };
        let unknown = Archive {
            encoding: "tar+brotli".to_owned(),
            ..alternative.clone()
        };
        release.0.alternatives = vec![unknown, alternative];
        let failure = site.install(&release).await.expect_err("neither is there");
        assert_eq!(failure.code(), "install::archive");
        let of_gzip = layout::blob(&Digest::of(&gzip)).to_string();
        site.shelf.0.insert(of_gzip, gzip.clone());
        assert_eq!(fetched(&site, &release).await, gzip.len() as u64);
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));

        let mut lying = site.release("1.1.0", GOOD);
        lying.0.alternatives = release.0.alternatives.clone();
        lying.0.alternatives[1].tar_digest = Digest::of(b"").to_string();
        let failure = site.install(&lying).await.expect_err("refused");
        assert_eq!(failure.code(), "install::manifest");
    }

    #[tokio::test]
    async fn another_build_of_the_same_version_lies_beside_it() {
        let mut site = Site::new();
        site.installed("1.0.0", GOOD).await;
        let other = site.installed("1.0.0", &format!("{GOOD}//")).await;
        let name = format!("1.0.0+{}", &other.1.archive.hex()[..12]);
        assert_eq!(site.current(), Some(name));
        assert!(site.host.release("1.0.0").exists());
        assert_eq!(site.answer().as_deref(), Some("1.0.0 prod"));
    }
}
