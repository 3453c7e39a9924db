//! Fetch by digest, verify, unpack beside what runs.

use std::path::Path;

use super::{Install, blocking};
use crate::explain::{Exit, Failure, quoted};
use crate::local::archive::{Expect, unpack};
use crate::name::Digest;
use crate::plan::pull::Tip;
use crate::release::app::{AppManifest, Archive};
use crate::release::host::{Installed, MARK_SCHEMA, Mark, Phase};
use crate::release::layout;
use crate::remote::store::Store;

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
            self.unpack(store, archive, &tip.archive, &directory)
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
        archive: &Archive,
        digest: &Digest,
        directory: &str,
    ) -> Result<(), Failure> {
        let host = self.host.clone();
        blocking(move || host.clear_temporary()).await?;
        let file = self.host.temporary("archive");
        fetch(store, archive, digest, &file).await?;
        self.story.did(format_args!(
            "fetched {} KiB, as they were released",
            archive.size.div_ceil(1024)
        ));
        self.enter(Phase::Verified).await?;
        let (entries, place) = (archive.entries, format!("releases/{directory}"));
        let (host, archive, directory) = (self.host.clone(), archive.clone(), directory.to_owned());
        blocking(move || {
            let tree = host.temporary("tree");
            extract(&file, &tree, &archive)?;
            host.place_release(&tree, &directory)?;
            host.clear_temporary()
        })
        .await?;
        self.story.did(format_args!(
            "unpacked {entries} files and directories into {place}"
        ));
        Ok(())
    }
}

/// Fetches an archive and verifies its length and digest.
async fn fetch(
    store: &dyn Store,
    archive: &Archive,
    digest: &Digest,
    to: &Path,
) -> Result<(), Failure> {
    let key = layout::blob(digest);
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
    if fetched != *digest {
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

/// Unpacks the verified archive `file` into the new directory `into`. The digest of the tar inside fixes every entry, so the list of files need not be fetched.
fn extract(file: &Path, into: &Path, archive: &Archive) -> Result<(), Failure> {
    const MOST_BYTES: u64 = 16 << 30;
    if archive.encoding != "tar+zstd" {
        return Err(Failure::new(
            Exit::Integrity,
            "install::encoding",
            format!(
                "archives of encoding {} are not unpacked here",
                quoted(&archive.encoding)
            ),
        ));
    }
    let expect = Expect {
        digest: Digest::parse(&archive.digest)?,
        size: archive.size,
        tar_digest: Digest::parse(&archive.tar_digest)?,
        tar_size: archive.tar_size,
        entries: archive.entries,
        files: None,
        most_bytes: MOST_BYTES,
    };
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
