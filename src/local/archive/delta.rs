//! Deltas: what makes a new tar of an old one.
//!
//! A delta is what `zstd --patch-from=old.tar new.tar` makes, in pieces: one frame for each 16 MiB of the new tar, each with the whole old tar as its
//! prefix. So whoever makes or applies one holds the old tar in memory, and little else.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use zstd::zstd_safe::CParameter;

use super::unpack::{self, Expect};
use super::{FAR_BACK, LEVEL, PackedArchive, Summed};
use crate::explain::{Exit, Failure, quoted};
use crate::local::files;
use crate::name::Digest;
use crate::release::app::Encoding;

/// The longest tar that deltas lead from or to, in bytes.
pub const LONGEST_TAR: u64 = 128 << 20;

/// The shortest archive that a delta leads to: with less, the question costs as much as what it saves.
const SHORTEST: u64 = 64 << 10;

/// How much of the new tar one frame holds. Within that, zstd reaches all of its prefix, however long that is.
const FRAME: u64 = 1 << FAR_BACK;

/// How many places of the old tar are remembered, as a power of two, and in how many bytes there is one of them: enough for the longest. zstd itself
/// would derive both from the window, and forget what lies far back.
const PLACES: (u32, u32) = (20, 7);

/// How hosts compress what they have rebuilt; nobody fetches it.
const REBUILT: i32 = 1;

/// The most bytes that a delta to an archive of this length may have, to be worth it: half of them; `None` where none leads to it.
///
/// ```
/// use pkgs_action::local::archive::longest_delta;
/// assert_eq!(longest_delta(10 << 20, 100 << 20), Some(5 << 20));
/// assert_eq!(longest_delta(10 << 20, 129 << 20), None);
/// assert_eq!(longest_delta(10 << 10, 100 << 10), None);
/// ```
#[must_use]
pub fn longest_delta(archive_size: u64, tar_size: u64) -> Option<u64> {
    (archive_size >= SHORTEST && tar_size <= LONGEST_TAR).then_some(archive_size / 2)
}

/// An archive whose tar is short enough to be held in memory.
fn bounded<'e>(archive: &Path, expect: &'e Expect) -> Result<&'e Expect, Failure> {
    if expect.tar_size <= LONGEST_TAR {
        return Ok(expect);
    }
    let what = format!(
        "no delta leads from or to {}",
        quoted(&archive.display().to_string())
    );
    Err(Failure::new(Exit::Integrity, "archive::size", what)
        .because("it unpacks to more than 128 MiB"))
}

/// Reads the tar of an archive that a delta leads from.
///
/// # Errors
/// `archive::…`, exit 6, when the archive is not what `expect` says, or its tar is longer than [`LONGEST_TAR`]; `files::…` for the disk.
pub fn read_old(archive: &Path, expect: &Expect) -> Result<Vec<u8>, Failure> {
    unpack::read_tar(archive, bounded(archive, expect)?)
}

/// Writes what makes the tar of the archive `new` of `old` to the new file `to`; `None`, when that would have more than `most` bytes.
///
/// # Errors
/// `archive::…`, exit 6, when the archive is not what `expect` says, or its tar is longer than [`LONGEST_TAR`]; `files::…` for the disk.
pub fn make_delta(
    old: &[u8],
    new: &Path,
    expect: &Expect,
    to: &Path,
    most: u64,
) -> Result<Option<(Digest, u64)>, Failure> {
    make_in_frames(old, new, expect, to, most, FRAME)
}

fn make_in_frames(
    old: &[u8],
    new: &Path,
    expect: &Expect,
    to: &Path,
    most: u64,
    frame: u64,
) -> Result<Option<(Digest, u64)>, Failure> {
    let fail = |error: io::Error| files::failed("files::write", "write", to, &error);
    let expect = bounded(new, expect)?;
    let mut sink = Some(Summed::new(BufWriter::new(
        File::create_new(to).map_err(fail)?,
    )));
    let mut open: Option<zstd::Encoder<'_, _>> = None;
    let (mut left, mut room) = (expect.tar_size, 0_u64);
    unpack::pieces(new, expect, |mut piece| {
        while !piece.is_empty() {
            if let Some(sink) = sink.take_if(|sink| sink.length <= most) {
                room = left.min(frame);
                open = Some(encoder(sink, old, room).map_err(fail)?);
            }
            let Some(encoder) = &mut open else {
                return Ok(());
            };
            let count = usize::try_from(room).map_or(piece.len(), |room| room.min(piece.len()));
            encoder.write_all(&piece[..count]).map_err(fail)?;
            piece = &piece[count..];
            (left, room) = (left - count as u64, room - count as u64);
            if room == 0
                && let Some(encoder) = open.take()
            {
                sink = Some(encoder.finish().map_err(fail)?);
            }
        }
        Ok(())
    })?;
    let Some(sink) = sink.filter(|sink| sink.length <= most && left == 0) else {
        return Ok(None);
    };
    let (mut buffer, digest, size) = sink.finish();
    buffer.flush().map_err(fail)?;
    Ok(Some((digest, size)))
}

fn encoder<W: io::Write>(sink: W, old: &[u8], length: u64) -> io::Result<zstd::Encoder<'_, W>> {
    let mut encoder = zstd::Encoder::with_ref_prefix(sink, LEVEL, old)?;
    encoder.include_checksum(true)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(FAR_BACK)?;
    encoder.set_parameter(CParameter::LdmHashLog(PLACES.0))?;
    encoder.set_parameter(CParameter::LdmHashRateLog(PLACES.1))?;
    encoder.set_pledged_src_size(Some(length))?;
    Ok(encoder)
}

/// Rebuilds the tar that `expect` names of `old` by the delta at `delta`, and writes it, compressed, to the new file `to`.
///
/// Whatever the delta holds, no more than the length of the tar is rebuilt.
///
/// # Errors
/// `archive::delta`, exit 6, when that tar does not come out; `files::…` for the disk.
pub fn apply_delta(
    old: &[u8],
    delta: &Path,
    tar_digest: &Digest,
    tar_size: u64,
    to: &Path,
) -> Result<PackedArchive, Failure> {
    let fail = |error: io::Error| files::failed("files::write", "write", to, &error);
    let broken = |why: &dyn std::fmt::Display| broken(delta, why);
    if tar_size > LONGEST_TAR {
        return Err(broken(&"the tar would be longer than 128 MiB"));
    }
    let mut source = BufReader::with_capacity(files::CHUNK, files::open_regular(delta)?.0);
    let sink = Summed::new(BufWriter::new(File::create_new(to).map_err(fail)?));
    let mut out = zstd::Encoder::new(sink, REBUILT).map_err(fail)?;
    out.include_checksum(true)
        .and_then(|()| out.set_pledged_src_size(Some(tar_size)))
        .map_err(fail)?;
    let mut sum = Sha256::new();
    let mut left = tar_size;
    let mut buffer = vec![0; files::CHUNK];
    while left > 0 {
        let mut decoder = zstd::Decoder::with_ref_prefix(source, old)
            .and_then(|mut decoder| {
                decoder.window_log_max(FAR_BACK)?;
                Ok(decoder.single_frame())
            })
            .map_err(|error| broken(&error))?;
        let before = left;
        loop {
            let count = decoder.read(&mut buffer).map_err(|error| broken(&error))?;
            if count == 0 {
                break;
            }
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| broken(&"more comes out than the tar has"))?;
            sum.update(&buffer[..count]);
            out.write_all(&buffer[..count]).map_err(fail)?;
        }
        decoder.finish_frame().map_err(|error| broken(&error))?;
        source = decoder.into_inner();
        if left == before {
            return Err(broken(&"it ends before the tar does"));
        }
    }
    if !source
        .fill_buf()
        .map_err(|error| broken(&error))?
        .is_empty()
    {
        return Err(broken(&"something follows its end"));
    }
    let found = Digest::from_sha256(sum.finalize());
    if found != *tar_digest {
        return Err(broken(&format!(
            "what comes out is {found}, the manifest says {tar_digest}"
        )));
    }
    let (mut buffer, digest, size) = out.finish().map_err(fail)?.finish();
    buffer.flush().map_err(fail)?;
    Ok(PackedArchive {
        encoding: Encoding::Zstd,
        path: to.to_owned(),
        digest,
        size,
    })
}

fn broken(delta: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Integrity,
        "archive::delta",
        format!(
            "the delta {} is of no use",
            quoted(&delta.display().to_string())
        ),
    )
    .because(why)
    .hint("nothing is lost: the whole archive is fetched in its place")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{expect_of, file, pack_zst};
    use super::super::{PackedTar, unpack};
    use super::*;

    const SMALL: u64 = 64 << 10;

    /// Bytes in no order.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(length)
        .collect()
    }

    /// Two tars that have much in common, and a place for deltas.
    struct Pair {
        directory: tempfile::TempDir,
        old: PackedTar,
        new: PackedTar,
    }

    fn pair() -> Pair {
        let directory = tempfile::tempdir().unwrap();
        let common = noise(1, 300_000);
        let pack = |name: &str, own: &[u8]| {
            let entries = vec![file("a", own), file("b", &common), file("c", b"c")];
            pack_zst(entries, 0, &directory.path().join(name))
        };
        let (old, new) = (pack("old", b"one"), pack("new", &noise(2, 70_000)));
        Pair {
            directory,
            old,
            new,
        }
    }

    impl Pair {
        fn place(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join(name)
        }

        fn old_tar(&self) -> Vec<u8> {
            let archive = &self.old.archives[0];
            read_old(&archive.path, &expect_of(&self.old, archive)).unwrap()
        }

        /// The delta, in frames of so many bytes.
        fn made(&self, name: &str, frame: u64) -> Vec<u8> {
            let archive = &self.new.archives[0];
            let expect = expect_of(&self.new, archive);
            let to = self.place(name);
            let old = self.old_tar();
            let made = make_in_frames(&old, &archive.path, &expect, &to, 1 << 30, frame);
            let (digest, size) = made.unwrap().expect("a delta");
            assert_eq!(files::hash_file(&to).unwrap(), (digest, size));
            std::fs::read(&to).unwrap()
        }

        fn applied(&self, old: &[u8], delta: &[u8]) -> Result<PackedArchive, Failure> {
            let (from, to) = (self.place("delta"), self.place("rebuilt"));
            std::fs::write(&from, delta).unwrap();
            let _ = std::fs::remove_file(&to);
            apply_delta(old, &from, &self.new.tar_digest, self.new.tar_size, &to)
        }
    }

    #[test]
    fn a_delta_is_short_and_gives_the_new_tar_in_one_frame_or_many() {
        let pair = pair();
        let old = pair.old_tar();
        for (name, frame) in [("one", FRAME), ("many", SMALL)] {
            let delta = pair.made(name, frame);
            assert!(delta.len() < 80_000, "{name}: {}", delta.len());
            let rebuilt = pair.applied(&old, &delta).unwrap();
            let expect = expect_of(&pair.new, &rebuilt);
            let into = pair.place(&format!("into {name}"));
            std::fs::create_dir(&into).unwrap();
            unpack(&rebuilt.path, &into, &expect).unwrap();
            assert_eq!(std::fs::read(into.join("b")).unwrap(), noise(1, 300_000));
        }
    }

    #[test]
    fn the_program_zstd_applies_a_delta_of_one_frame() {
        let pair = pair();
        std::fs::write(pair.place("old.tar"), pair.old_tar()).unwrap();
        pair.made("delta", FRAME);
        let prefix = format!("--patch-from={}", pair.place("old.tar").display());
        let output = std::process::Command::new("zstd")
            .args(["-q", "-d", &prefix, "-o"])
            .args([pair.place("new.tar"), pair.place("delta")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let (digest, size) = files::hash_file(&pair.place("new.tar")).unwrap();
        assert_eq!((digest, size), (pair.new.tar_digest, pair.new.tar_size));
    }

    #[test]
    fn what_lies_far_back_in_a_long_tar_is_found_too() {
        // One frame reaches all of an old tar, however short its own window is.
        let directory = tempfile::tempdir().unwrap();
        let early = noise(3, 200_000);
        let old = [&early[..], &vec![7; 40 << 20]].concat();
        let to = directory.path().join("new");
        let new = pack_zst(vec![file("a", &early)], 0, &to);
        let delta = directory.path().join("delta");
        let expect = expect_of(&new, &new.archives[0]);
        let made = make_delta(&old, &to, &expect, &delta, 10_000);
        let size = made.unwrap().expect("short").1;
        assert!(size < 10_000, "{size}");
        let rebuilt = directory.path().join("rebuilt");
        apply_delta(&old, &delta, &new.tar_digest, new.tar_size, &rebuilt).unwrap();
    }

    #[test]
    fn what_would_be_too_long_is_not_made() {
        let pair = pair();
        let archive = &pair.new.archives[0];
        let expect = expect_of(&pair.new, archive);
        for (number, frame) in [FRAME, SMALL].into_iter().enumerate() {
            let to = pair.place(&number.to_string());
            let made = make_in_frames(&pair.old_tar(), &archive.path, &expect, &to, 60_000, frame);
            assert_eq!(made.unwrap(), None);
        }
        let long = Expect {
            tar_size: LONGEST_TAR + 512,
            ..expect
        };
        let to = pair.place("long");
        let failure = make_delta(b"", &archive.path, &long, &to, 1).unwrap_err();
        assert_eq!(failure.code(), "archive::size");
        let failure = read_old(&archive.path, &long).unwrap_err();
        assert_eq!(failure.code(), "archive::size");
    }

    #[test]
    fn a_delta_that_is_not_one_is_refused() {
        let pair = pair();
        let old = pair.old_tar();
        let delta = pair.made("right", SMALL);
        let check = |what: &str, old: &[u8], delta: &[u8]| {
            let failure = pair.applied(old, delta).expect_err(what);
            assert_eq!(failure.code(), "archive::delta", "{what}: {failure:?}");
            assert_eq!(failure.exit(), Exit::Integrity, "{what}");
        };
        assert!(pair.applied(&old, &delta).is_ok());
        check("of another tar", &noise(9, 400_000), &delta);
        check("of nothing", b"", &delta);
        check("nothing", &old, b"");
        check("a page", &old, b"<!doctype html>");
        check("cut", &old, &delta[..delta.len() - 1]);
        check("cut in half", &old, &delta[..delta.len() / 2]);
        check("followed", &old, &[&delta[..], b"x"].concat());
        check("twice", &old, &[&delta[..], &delta].concat());
        for at in [5, delta.len() / 3, delta.len() - 2] {
            let mut flipped = delta.clone();
            flipped[at] ^= 0x10;
            check("a flipped bit", &old, &flipped);
        }
        let plain = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        check("empty frames", &old, &plain(b"").repeat(1000));
        check("a bomb", &old, &plain(&vec![0; 64 << 20]));
        check("another tar", &old, &plain(&vec![0; 1024]));
        let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(&[0; 4096]).unwrap();
        check("a wide window", &old, &wide.finish().unwrap());
        let to = pair.place("too long");
        let failure = apply_delta(
            &old,
            &pair.place("right"),
            &pair.new.tar_digest,
            LONGEST_TAR + 1,
            &to,
        );
        assert_eq!(failure.unwrap_err().code(), "archive::delta");
    }
}
