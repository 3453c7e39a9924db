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

/// How much of the new tar one frame holds. Within that, zstd reaches all of its prefix, however long that is.
const FRAME: u64 = 1 << FAR_BACK;

/// How many places of the old tar are remembered, as a power of two: one in 128 bytes of the longest.
const PLACES: u32 = 20;

/// How hosts compress what they have rebuilt; nobody fetches it.
const REBUILT: i32 = 1;

/// Reads the tar of an archive that a delta leads from.
///
/// # Errors
/// `archive::…`, exit 6, when the archive is not what `expect` says, or its tar is longer than [`LONGEST_TAR`]; `files::…` for the disk.
pub fn read_old(archive: &Path, expect: &Expect) -> Result<Vec<u8>, Failure> {
    let most_bytes = expect.most_bytes.min(LONGEST_TAR);
    let expect = Expect {
        most_bytes,
        ..expect.clone()
    };
    unpack::read_tar(archive, &expect)
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
    let expect = Expect {
        most_bytes: expect.most_bytes.min(LONGEST_TAR),
        ..expect.clone()
    };
    let mut sink = Some(Summed::new(BufWriter::new(
        File::create_new(to).map_err(fail)?,
    )));
    let mut open: Option<zstd::Encoder<'_, _>> = None;
    let (mut left, mut room) = (expect.tar_size, 0_u64);
    unpack::pieces(new, &expect, |mut piece| {
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

fn encoder<W: io::Write>(
    sink: W,
    old: &[u8],
    length: u64,
) -> io::Result<zstd::Encoder<'_, W>> {
    let mut encoder = zstd::Encoder::with_ref_prefix(sink, LEVEL, old)?;
    encoder.include_checksum(true)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(FAR_BACK)?;
    encoder.set_parameter(CParameter::LdmHashLog(PLACES))?;
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
    if !source.fill_buf().map_err(|error| broken(&error))?.is_empty() {
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
        format!("the delta {} is of no use", quoted(&delta.display().to_string())),
    )
    .because(why)
    .hint("nothing is lost: the whole archive is fetched in its place")
}
