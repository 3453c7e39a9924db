//! Archives that a host keeps: deltas lead from them to the next release. Losing one costs a longer fetch, and nothing else.

use std::path::{Path, PathBuf};

use super::Host;
use super::files::{entries, read_bounded, remove, sync_directory, trouble, write_durably};
use crate::explain::Failure;
use crate::name::Digest;
use crate::release::host::{KEPT_SCHEMA, KeptArchive};
use crate::release::{from_bytes, to_bytes};

/// How the names of the documents end, and those of the archives.
const ENDS: [&str; 2] = [".json", ".archive"];

impl Host {
    fn cache(&self) -> PathBuf {
        self.directory.join(".pkgs/cache")
    }

    /// The archives that are kept, each with its place.
    ///
    /// # Errors
    /// `release::document`, exit 6, when a document is not what this program wrote; those of the disk.
    pub fn kept_archives(&self) -> Result<Vec<(KeptArchive, PathBuf)>, Failure> {
        let mut kept = Vec::new();
        for (name, path) in entries(&self.cache())? {
            let Some(stem) = name.strip_suffix(ENDS[0]) else {
                continue;
            };
            if let Some(bytes) = read_bounded(&path)? {
                let read = from_bytes(KEPT_SCHEMA, &path.to_string_lossy(), &bytes)?;
                kept.push((read, self.cache().join(format!("{stem}{}", ENDS[1]))));
            }
        }
        Ok(kept)
    }

    /// Keeps the archive `from`, which lies in `.pkgs/tmp`.
    pub fn keep_archive(&self, from: &Path, kept: &KeptArchive) -> Result<(), Failure> {
        let tar = Digest::parse(&kept.archive.tar_digest)?;
        let [document, archive] = ENDS.map(|end| self.cache().join(format!("{}{end}", tar.hex())));
        std::fs::rename(from, &archive).map_err(|error| trouble(&archive, &error))?;
        sync_directory(&self.cache())?;
        write_durably(&document, &to_bytes(kept))
    }

    /// Removes what is kept, but for the archives of these builds. What cannot be read goes too.
    pub fn forget_archives(&self, builds: &[&str]) -> Result<(), Failure> {
        let mut needed = Vec::new();
        for (name, path) in entries(&self.cache())? {
            let Some(stem) = name.strip_suffix(ENDS[0]) else {
                continue;
            };
            let read = read_bounded(&path)?
                .map(|bytes| from_bytes::<KeptArchive>(KEPT_SCHEMA, &name, &bytes));
            if read.is_some_and(|read| read.is_ok_and(|kept| builds.contains(&kept.build.as_str())))
            {
                needed.extend(ENDS.map(|end| format!("{stem}{end}")));
            }
        }
        for (name, path) in entries(&self.cache())? {
            if !needed.contains(&name) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;
    use crate::release::app::Archive;

    fn kept(version: &str) -> KeptArchive {
        let digest = Digest::of(version.as_bytes()).to_string();
        KeptArchive {
            schema: KEPT_SCHEMA.to_owned(),
            version: version.to_owned(),
            variant: "any".to_owned(),
            build: format!("build of {version}"),
            archive: Archive {
                digest: digest.clone(),
                size: 1,
                encoding: "tar+zstd".to_owned(),
                tar_digest: digest,
                tar_size: 1,
                entries: 1,
            },
        }
    }

    #[test]
    fn archives_are_kept_until_nobody_needs_their_builds_and_leftovers_go_too() {
        let (_root, host) = host();
        let keep = |version: &str| {
            let from = host.temporary("archive");
            std::fs::write(&from, version).expect("written");
            host.keep_archive(&from, &kept(version)).expect("kept");
        };
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            keep(version);
        }
        std::fs::write(host.cache().join("half.archive"), "").expect("written");
        std::fs::write(host.cache().join("broken.json"), "{").expect("written");
        assert!(host.kept_archives().is_err());
        host.forget_archives(&["build of 1.1.0", "build of 1.2.0"])
            .expect("forgotten");
        let mut versions: Vec<String> = Vec::new();
        for (kept, path) in host.kept_archives().expect("read") {
            assert_eq!(std::fs::read_to_string(path).expect("there"), kept.version);
            versions.push(kept.version);
        }
        versions.sort();
        assert_eq!(versions, ["1.1.0", "1.2.0"]);
        assert_eq!(entries(&host.cache()).expect("listed").len(), 4);
        keep("1.1.0");
        host.forget_archives(&[]).expect("forgotten");
        assert_eq!(entries(&host.cache()).expect("listed"), []);
    }
}
