//! Archives: packing production files for hosts, unpacking them again, and packing npm tarballs.
//!
//! The same entries give the same bytes, on any machine and whatever its number of cores. Unpacking is strict: an archive
//! that holds anything but what its manifest says leaves nothing behind.

mod delta;
mod gzip;
mod header;
mod policy;
mod unpack;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use zstd::stream::raw::CParameter;

use crate::explain::{Exit, Failure, exact_size, quoted};
use crate::local::{files, lfs};
use crate::name::{Digest, Integrity};
use crate::release::app::Encoding;
use crate::workspace::npm_manifest::Beside;
use crate::workspace::pack_list::sort_as_npm;
use gzip::Effort;
use header::{BLOCK, Header, Style};
use policy::{Kind, Problem, Seen};

pub use delta::{LONGEST_TAR, apply_delta, longest_delta, make_delta, read_old};
pub use unpack::{Expect, unpack};

/// With matches from far back the fastest of the usual levels gives archives that are smaller than those of the levels above without: what a service
/// needs often holds one package in several places.
const LEVEL: i32 = 3;

/// How far back matches may lie, as a power of two: what is there, hosts hold in memory while they unpack.
const FAR_BACK: u32 = 24;

/// How much one worker compresses at a time, in bytes. Left to itself zstd takes four times what matches may lie apart, and most archives are one such
/// piece: then one worker does all.
const PIECE: u32 = 8 << 20;

/// zstd gives other bytes without worker threads than with any number of them, so there is always one at least; more than four only cost memory.
const MOST_WORKERS: u32 = 4;

/// npm's time of change for every file, 1985-10-26T08:15:00Z, in seconds since 1970.
pub const NPM_MOMENT: u32 = 499_162_500;

/// The most bytes of the files of an npm tarball.
const MOST_NPM_BYTES: u64 = 512 << 20;

/// One file or link to be packed; directories follow from the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path in the archive, `/`-separated.
    pub path: String,
    /// Where its contents come from.
    pub source: EntrySource,
    /// Whether it may be run: mode 0755 instead of 0644.
    pub executable: bool,
}

/// Where the contents of an entry come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntrySource {
    /// A regular file on disk.
    File(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A symbolic link.
    Link {
        /// Where it points, relative to its own directory; may not lead out of the archive.
        target: String,
    },
}

/// A tar on disk, in one or more encodings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedTar {
    /// The archives, in the order in which they were asked for.
    pub archives: Vec<PackedArchive>,
    /// The digest of the tar inside.
    pub tar_digest: Digest,
    /// The length of the tar inside, in bytes.
    pub tar_size: u64,
    /// How many entries the tar has.
    pub entries: u64,
    /// Every entry, in order of path.
    pub files: Vec<ListedFile>,
}

/// An archive on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedArchive {
    /// How its tar is compressed.
    pub encoding: Encoding,
    /// Where it lies.
    pub path: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A file or link in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path in the archive.
    pub path: String,
    /// 0644, 0755, or 0777 for a link.
    pub mode: u32,
    /// Its length in bytes; 0 for a link.
    pub size: u64,
    /// Its contents.
    pub content: Content,
}

/// What a file or link in an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file whose bytes have this digest.
    Digest(Digest),
    /// A link that points here.
    Link(String),
}

impl EntrySource {
    fn kind(&self) -> Kind {
        match self {
            EntrySource::Link { target } => Kind::Link(target.clone()),
            _ => Kind::File,
        }
    }

    /// The length of the contents as of now.
    fn size(&self) -> Result<u64, Failure> {
        match self {
            EntrySource::File(path) => files::regular_length(path),
            EntrySource::Bytes(bytes) => Ok(bytes.len() as u64),
            EntrySource::Link { .. } => Ok(0),
        }
    }

    fn target(&self) -> &str {
        match self {
            EntrySource::Link { target } => target,
            _ => "",
        }
    }
}

fn refused(path: &str, (code, why): Problem) -> Failure {
    Failure::new(
        Exit::Refused,
        code,
        format!("cannot pack {}: {why}", quoted(path)),
    )
    .hint("leave it out of the archive, or rename it")
}

/// Packs a tar once, and writes it to every place of `to` in its encoding, replacing what is there; a failure leaves what was there.
///
/// The tar is plain POSIX: entries in byte order of their paths and no directories, owner 0:0, every time `moment` (seconds
/// since 1970; before that is 0), modes 0644, 0755 and, for links, 0777. With zstd it is one frame, which says its length and carries a checksum; with
/// gzip one member. Files are read once and in pieces.
///
/// # Errors
/// `archive::…`, exit 3, for entries that [`unpack`] would refuse; `build::lfs_pointer`, exit 3, for a file that git-lfs did not fetch; `archive::changed`, exit 75, when a file grows or shrinks meanwhile;
/// `files::…` for the disk.
pub fn pack(
    entries: Vec<Entry>,
    moment: i64,
    to: &[(Encoding, PathBuf)],
) -> Result<PackedTar, Failure> {
    let moment = u64::try_from(moment).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = u32::try_from(cores).map_or(MOST_WORKERS, |cores| cores.min(MOST_WORKERS));
    pack_with(entries, moment, to, workers)
}

fn compressor<W: Write>(
    sink: W,
    length: u64,
    workers: u32,
) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(sink, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(FAR_BACK)?;
    encoder.multithread(workers)?;
    encoder.set_parameter(CParameter::JobSize(PIECE))?;
    encoder.set_pledged_src_size(Some(length))?;
    Ok(encoder)
}

/// An archive while it is written.
struct Target<'a> {
    encoding: Encoding,
    to: &'a Path,
    temporary: NamedTempFile,
}

/// Where the bytes of an archive go.
type Sink<'a> = Summed<io::BufWriter<&'a mut File>>;

impl<'a> Target<'a> {
    fn at((encoding, to): &'a (Encoding, PathBuf)) -> Result<Target<'a>, Failure> {
        Ok(Target {
            encoding: *encoding,
            to,
            temporary: files::temporary_beside(to)?,
        })
    }

    fn sink(&mut self) -> Sink<'_> {
        let file = self.temporary.as_file_mut();
        Summed::new(io::BufWriter::with_capacity(files::CHUNK, file))
    }

    fn failed(to: &Path, error: &io::Error) -> Failure {
        files::failed("files::write", "write", to, error)
    }

    /// The end of what went into its sink: its digest and length.
    fn written(to: &Path, sink: Sink<'_>) -> Result<(Digest, u64), Failure> {
        let (mut buffer, digest, size) = sink.finish();
        buffer.flush().map_err(|error| Target::failed(to, &error))?;
        Ok((digest, size))
    }
}

/// A tar that was written.
struct Written {
    tar_digest: Digest,
    tar_size: u64,
    listed: Vec<ListedFile>,
    /// Digest and length of every archive.
    archives: Vec<(Digest, u64)>,
}

fn pack_with(
    mut entries: Vec<Entry>,
    moment: u64,
    to: &[(Encoding, PathBuf)],
    workers: u32,
) -> Result<PackedTar, Failure> {
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let (sizes, tar_size) = measure(&entries, moment)?;
    let contents = Contents {
        entries: &entries,
        sizes: &sizes,
        moment,
        tar_size,
        workers,
        place: to.first().map_or(Path::new(""), |(_, to)| to),
    };
    let mut targets = to
        .iter()
        .map(Target::at)
        .collect::<Result<Vec<_>, Failure>>()?;
    let written = contents.write(&mut targets, &mut io::sink())?;
    let mut archives = Vec::new();
    for (target, (digest, size)) in targets.into_iter().zip(written.archives) {
        policy::check_sizes(size, written.tar_size)
            .map_err(|problem| refused(&target.to.display().to_string(), problem))?;
        files::persist(target.temporary, target.to, 0o644)?;
        archives.push(PackedArchive {
            encoding: target.encoding,
            path: target.to.to_owned(),
            digest,
            size,
        });
    }
    Ok(PackedTar {
        archives,
        tar_digest: written.tar_digest,
        tar_size: written.tar_size,
        entries: written.listed.len() as u64,
        files: written.listed,
    })
}

/// What a tar will hold, measured.
#[derive(Clone, Copy)]
struct Contents<'a> {
    entries: &'a [Entry],
    sizes: &'a [u64],
    moment: u64,
    tar_size: u64,
    workers: u32,
    /// What failures to write name.
    place: &'a Path,
}

impl Contents<'_> {
    /// Writes the tar into all `targets`, and into what is in front of them.
    fn write(self, targets: &mut [Target<'_>], front: &mut dyn Write) -> Result<Written, Failure> {
        let Some((target, others)) = targets.split_first_mut() else {
            return self.write_tar(front);
        };
        let to = target.to;
        let broken = |error: io::Error| Target::failed(to, &error);
        match target.encoding {
            Encoding::Zstd => {
                let mut encoder =
                    compressor(target.sink(), self.tar_size, self.workers).map_err(broken)?;
                let mut written = self.write(others, &mut Both(front, &mut encoder))?;
                let sink = encoder.finish().map_err(broken)?;
                written.archives.insert(0, Target::written(to, sink)?);
                Ok(written)
            }
            Encoding::Gzip => {
                let work = |gzip: &mut gzip::Gzip<'_, '_, Sink<'_>>| {
                    self.write(others, &mut Both(front, gzip))
                };
                let (mut written, sink) = gzip::gzip(target.sink(), Effort::Usual, broken, work)?;
                written.archives.insert(0, Target::written(to, sink)?);
                Ok(written)
            }
        }
    }

    fn write_tar(self, out: &mut dyn Write) -> Result<Written, Failure> {
        let mut tar = Tar {
            out: Summed::new(out),
            style: Style::Plain,
            moment: self.moment,
            place: self.place,
        };
        let mut listed = Vec::with_capacity(self.entries.len());
        for (entry, size) in self.entries.iter().zip(self.sizes) {
            listed.push(tar.add(&entry.path, &entry.source, mode_of(entry), *size)?);
        }
        let (_, tar_digest, tar_size) = tar.end()?;
        Ok(Written {
            tar_digest,
            tar_size,
            listed,
            archives: Vec::new(),
        })
    }
}

/// Writes everything to both.
struct Both<'a>(&'a mut dyn Write, &'a mut dyn Write);

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

fn mode_of(entry: &Entry) -> u32 {
    match (&entry.source, entry.executable) {
        (EntrySource::Link { .. }, _) => 0o777,
        (_, true) => 0o755,
        (_, false) => 0o644,
    }
}

/// Checks all entries before the first byte is written: the length of each, and of the whole tar.
fn measure(entries: &[Entry], moment: u64) -> Result<(Vec<u64>, u64), Failure> {
    let mut seen = Seen::default();
    let mut sizes = Vec::with_capacity(entries.len());
    let mut tar_size = header::END.len() as u64;
    for entry in entries {
        seen.add(&entry.path, entry.source.kind())
            .map_err(|problem| refused(&entry.path, problem))?;
        let size = entry.source.size()?;
        if size > header::LARGEST {
            let problem = ("archive::size", "it is longer than 8 GiB".to_owned());
            return Err(refused(&entry.path, problem));
        }
        let header = Header {
            path: &entry.path,
            mode: 0,
            size,
            moment,
            kind: kind_byte(&entry.source),
            target: entry.source.target(),
        };
        tar_size += header.encode(Style::Plain).len() as u64 + size.next_multiple_of(BLOCK as u64);
        sizes.push(size);
    }
    seen.check_links()
        .map_err(|(path, problem)| refused(&path, problem))?;
    policy::check_sizes(u64::MAX, tar_size).map_err(|problem| refused("the archive", problem))?;
    Ok((sizes, tar_size))
}

fn kind_byte(source: &EntrySource) -> u8 {
    match source {
        EntrySource::Link { .. } => b'2',
        _ => b'0',
    }
}

/// A writer that knows the digest and length of what went through it.
struct Summed<W> {
    inner: W,
    sum: Sha256,
    length: u64,
}

impl<W> Summed<W> {
    fn new(inner: W) -> Summed<W> {
        Summed {
            inner,
            sum: Sha256::new(),
            length: 0,
        }
    }

    fn finish(self) -> (W, Digest, u64) {
        (
            self.inner,
            Digest::from_sha256(self.sum.finalize()),
            self.length,
        )
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sum.update(&bytes[..count]);
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A tar being written.
struct Tar<'a, W> {
    out: Summed<W>,
    style: Style,
    moment: u64,
    /// What failures to write name.
    place: &'a Path,
}

impl<W: Write> Tar<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out
            .write_all(bytes)
            .map_err(|error| files::failed("files::write", "write", self.place, &error))
    }

    /// Writes one entry, whose contents must have the length `size`, and lists it.
    fn add(
        &mut self,
        path: &str,
        source: &EntrySource,
        mode: u32,
        size: u64,
    ) -> Result<ListedFile, Failure> {
        let mut sum = Sha256::new();
        self.append(path, source, mode, size, |bytes| sum.update(bytes))?;
        Ok(ListedFile {
            path: path.to_owned(),
            mode,
            size,
            content: match source {
                EntrySource::Link { target } => Content::Link(target.clone()),
                _ => Content::Digest(Digest::from_sha256(sum.finalize())),
            },
        })
    }

    /// Writes one entry, whose contents must have the length `size`; `each` is shown them.
    fn append(
        &mut self,
        path: &str,
        source: &EntrySource,
        mode: u32,
        size: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let header = Header {
            path,
            mode,
            size,
            moment: self.moment,
            kind: kind_byte(source),
            target: source.target(),
        };
        self.write(&header.encode(self.style))?;
        match source {
            EntrySource::Link { .. } => {}
            EntrySource::Bytes(bytes) => {
                each(bytes);
                self.write(bytes)?;
            }
            EntrySource::File(file) => self.append_contents(file, size, each)?,
        }
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        self.write(&header::END[..usize::try_from(rest).unwrap_or(0)])
    }

    fn append_contents(
        &mut self,
        path: &Path,
        size: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let (file, metadata) = lfs::open(path)?;
        if metadata.len() != size {
            return Err(changed(path));
        }
        let mut failure = None;
        let length = files::for_each_chunk(&mut file.take(size), |chunk| {
            each(chunk);
            if failure.is_none() {
                failure = self.write(chunk).err();
            }
        })
        .map_err(|error| files::failed("files::read", "read", path, &error))?;
        match failure {
            Some(failure) => Err(failure),
            None if length != size => Err(changed(path)),
            None => Ok(()),
        }
    }

    fn end(mut self) -> Result<(W, Digest, u64), Failure> {
        self.write(&header::END)?;
        Ok(self.out.finish())
    }
}

fn changed(path: &Path) -> Failure {
    Failure::new(
        Exit::Temporary,
        "archive::changed",
        format!(
            "{} changed while it was packed",
            quoted(&path.display().to_string())
        ),
    )
    .hint("let whatever writes there come to its end, then run again")
}

/// What an npm tarball says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NpmContents {
    /// Its `package.json`.
    pub manifest: serde_json::Map<String, serde_json::Value>,
    /// What else npm reads for the manifest that it publishes.
    pub beside: Beside,
}

/// The longest `package.json`, README and `AUTHORS` that are read out of a tarball, in bytes.
const LONGEST_TEXT: u64 = 16 << 20;

/// Reads `package.json` and README out of an npm tarball.
///
/// # Errors
/// `archive::npm`, exit 6, when it is none, or longer than 512 MiB unpacked.
pub fn read_npm_tarball(bytes: &[u8]) -> Result<NpmContents, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Integrity,
            "archive::npm",
            "the bytes are no npm tarball",
        )
        .because(why)
    };
    let unpacked = flate2::read::GzDecoder::new(bytes).take(MOST_NPM_BYTES + (64 << 20));
    let mut archive = tar::Archive::new(unpacked);
    let (mut paths, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for entry in archive.entries().map_err(|error| refuse(&error))? {
        let mut entry = entry.map_err(|error| refuse(&error))?;
        let path = entry
            .path()
            .map_err(|error| refuse(&error))?
            .to_string_lossy()
            .into_owned();
        let plain = |name: &&str| !name.split('/').any(|part| matches!(part, "" | "." | ".."));
        let is_file = entry.header().entry_type().is_file();
        let name = path.strip_prefix("package/").filter(plain);
        let Some(name) = name.filter(|_| is_file) else {
            return Err(refuse(&format!(
                "{} is no file below package/",
                quoted(&path)
            )));
        };
        if paths.contains_key(name) {
            return Err(refuse(&format!("it holds {} twice", quoted(name))));
        }
        for (slash, _) in name.match_indices('/') {
            paths.insert(name[..slash].to_owned(), true);
        }
        paths.insert(name.to_owned(), false);
        let is_readme = !name.contains('/') && name.to_lowercase().starts_with("readme");
        if is_readme || matches!(name, "package.json" | "AUTHORS") {
            let mut text = Vec::new();
            entry
                .by_ref()
                .take(LONGEST_TEXT)
                .read_to_end(&mut text)
                .map_err(|error| refuse(&error))?;
            let text = String::from_utf8_lossy(&text).into_owned();
            texts.insert(name.to_owned(), text);
        }
    }
    let manifest = texts
        .get("package.json")
        .ok_or_else(|| refuse(&"it holds no package.json"))?;
    let manifest = serde_json::from_str(manifest.trim_start_matches('\u{feff}'))
        .map_err(|error| refuse(&error))?;
    let names: Vec<&str> = texts.keys().map(String::as_str).collect();
    let readme = Beside::readme_of(&names).and_then(|name| texts.get_key_value(name));
    Ok(NpmContents {
        manifest,
        beside: Beside {
            paths: paths.into_iter().collect(),
            dangling: Vec::new(),
            readme: readme.map(|(name, text)| (name.clone(), text.clone())),
            authors: texts.get("AUTHORS").cloned(),
        },
    })
}

/// An npm tarball in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmTarball {
    /// The tarball.
    pub bytes: Vec<u8>,
    /// Its sha512, as npm's `integrity`.
    pub integrity: Integrity,
    /// The sha256 of the tar inside.
    pub tar_digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Path inside the package, length and mode of every file, in the tarball's order.
    pub files: Vec<(String, u64, u32)>,
}

/// A file of an npm package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmFile {
    /// Its path inside the package, `/`-separated.
    pub path: String,
    /// Where its contents come from; never a link.
    pub source: EntrySource,
    /// Its permission bits in the tarball.
    pub mode: u32,
}

/// Packs an npm tarball: every file as `package/<path>`.
///
/// The tar inside is the one that npm makes of the same files, byte for byte; order, header fields and extension records follow
/// `npm-packlist` and `tar` in npm 12. The compression differs from npm's, as npm's own differs between machines.
///
/// # Errors
/// `archive::…`, exit 3: a path that npm could not unpack again, a link, no `package.json`, more than 512 MiB; `build::lfs_pointer`, exit 3, for a file that git-lfs did not fetch; `files::…` for the disk.
pub fn npm_tarball(files: &[NpmFile]) -> Result<NpmTarball, Failure> {
    let mut ordered: Vec<&NpmFile> = files.iter().collect();
    sort_as_npm(&mut ordered, |file| &file.path);
    let sizes = measure_npm(&ordered)?;

    let place = Path::new("the tarball");
    let broken = |error| files::failed("files::write", "compress", place, &error);
    let ((tar_digest, listed), bytes) = gzip::gzip(Vec::new(), Effort::Best, broken, |gzip| {
        let mut tar = Tar {
            out: Summed::new(gzip),
            style: Style::Npm,
            moment: u64::from(NPM_MOMENT),
            place,
        };
        let mut listed = Vec::with_capacity(ordered.len());
        for (file, size) in ordered.into_iter().zip(sizes) {
            let path = format!("package/{}", file.path);
            tar.append(&path, &file.source, file.mode, size, |_| ())?;
            listed.push((file.path.clone(), size, file.mode));
        }
        let (_, tar_digest, _) = tar.end()?;
        Ok((tar_digest, listed))
    })?;
    Ok(NpmTarball {
        integrity: Integrity::of(&bytes),
        tar_digest,
        size: bytes.len() as u64,
        files: listed,
        bytes,
    })
}

fn measure_npm(files: &[&NpmFile]) -> Result<Vec<u64>, Failure> {
    let mut sizes = Vec::with_capacity(files.len());
    let mut total: u64 = 0;
    for NpmFile { path, source, .. } in files {
        if matches!(source, EntrySource::Link { .. }) {
            let problem = ("archive::kind", "npm packages hold no links".to_owned());
            return Err(refused(path, problem));
        }
        policy::check_npm_path(path).map_err(|problem| refused(path, problem))?;
        let size = source.size()?;
        total = total.saturating_add(size);
        sizes.push(size);
    }
    if total > MOST_NPM_BYTES {
        return Err(Failure::new(
            Exit::Refused,
            "archive::size",
            format!(
                "the package has {}; at most 512 MiB are packed",
                exact_size(total)
            ),
        )
        .hint("leave out what users do not need, with \"files\" in package.json"));
    }
    if !files.iter().any(|file| file.path == "package.json") {
        return Err(Failure::new(
            Exit::Refused,
            "archive::manifest",
            "the package has no package.json",
        ));
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    pub(super) fn file(path: &str, bytes: &[u8]) -> Entry {
        Entry {
            path: path.to_owned(),
            source: EntrySource::Bytes(bytes.to_vec()),
            executable: false,
        }
    }

    pub(super) fn link(path: &str, target: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            source: EntrySource::Link {
                target: target.to_owned(),
            },
            executable: false,
        }
    }

    /// Packs with zstd alone.
    pub(super) fn pack_zst(entries: Vec<Entry>, moment: i64, to: &Path) -> PackedTar {
        pack(entries, moment, &[(Encoding::Zstd, to.to_owned())]).unwrap()
    }

    /// What a manifest says of an archive of a tar.
    pub(super) fn expect_of(packed: &PackedTar, archive: &PackedArchive) -> Expect {
        Expect {
            encoding: archive.encoding,
            digest: archive.digest.clone(),
            size: archive.size,
            tar_digest: packed.tar_digest.clone(),
            tar_size: packed.tar_size,
            entries: packed.entries,
            files: Some(packed.files.clone()),
            most_bytes: 1 << 30,
        }
    }

    fn sample() -> Vec<Entry> {
        let mut run = file("service/run.sh", b"#!/bin/sh\n");
        run.executable = true;
        vec![
            file("service/index.js", b"listen()"),
            run,
            link("node_modules/.bin/run", "../../service/run.sh"),
            file(
                &format!("long/{}/{}", "p".repeat(120), "n".repeat(98)),
                b"long",
            ),
            file(&format!("long/{}.js", "n".repeat(200)), b"longer"),
            file("é/ü.js", "ü".as_bytes()),
            link("l", &"t/".repeat(80)),
            file("empty", b""),
        ]
    }

    #[test]
    fn the_same_entries_give_the_same_bytes_in_every_encoding() {
        let directory = tempfile::tempdir().unwrap();
        let both = |name: &str| {
            [Encoding::Zstd, Encoding::Gzip].map(|encoding| {
                let name = format!("{name}.{}", encoding.extension());
                (encoding, directory.path().join(name))
            })
        };
        let one = pack(sample(), 1_700_000_000, &both("a")).unwrap();
        let mut turned = sample();
        turned.reverse();
        let other = pack(turned, 1_700_000_000, &both("b")).unwrap();
        assert_eq!(one.archives.len(), 2);
        for (one, other) in one.archives.iter().zip(&other.archives) {
            assert_eq!(one.digest, other.digest);
            let found = files::hash_file(&one.path).unwrap();
            assert_eq!(found, (one.digest.clone(), one.size));
        }
        // Each is what it is alone, and what is inside is one tar.
        for (place, archive) in both("c").into_iter().zip(&one.archives) {
            let alone = pack(sample(), 1_700_000_000, &[place]).unwrap();
            assert_eq!(alone.archives[0].digest, archive.digest);
            assert_eq!(alone.tar_digest, one.tar_digest);
        }
        let read = |index: usize| std::fs::read(&one.archives[index].path).unwrap();
        let mut tars = [zstd::decode_all(&read(0)[..]).unwrap(), Vec::new()];
        flate2::bufread::GzDecoder::new(&read(1)[..])
            .read_to_end(&mut tars[1])
            .unwrap();
        for tar in tars {
            assert_eq!(Digest::of(&tar), one.tar_digest);
            assert_eq!(tar.len() as u64, one.tar_size);
        }
        let later = pack(sample(), 1_700_000_001, &both("d")).unwrap();
        assert_ne!(one.archives[0].digest, later.archives[0].digest);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 8);
    }

    #[test]
    fn the_number_of_cores_does_not_change_the_bytes() {
        // Longer than what one worker takes at a time.
        let mut state: u32 = 1;
        let noise: Vec<u8> = (0..(20 << 20))
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24).to_le_bytes()[0] & 0x87
            })
            .collect();
        let compressed = |workers| {
            let mut encoder = compressor(Vec::new(), noise.len() as u64, workers).unwrap();
            encoder.write_all(&noise).unwrap();
            encoder.finish().unwrap()
        };
        let one = compressed(1);
        assert!(one == compressed(2) && one == compressed(4));
        assert!(
            one != compressed(0),
            "without workers the bytes are others, so there is always one"
        );
    }

    #[test]
    fn gnu_tar_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let packed = pack_zst(sample(), 1_700_000_000, &directory.path().join("a.tar.zst"));
        let bytes = std::fs::read(&packed.archives[0].path).unwrap();
        let tar = directory.path().join("a.tar");
        std::fs::write(&tar, zstd::decode_all(&bytes[..]).unwrap()).unwrap();
        let output = Command::new("tar")
            .args([
                "--list",
                "--verbose",
                "--numeric-owner",
                "--utc",
                "--quoting-style=literal",
                "--file",
            ])
            .arg(&tar)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        let listing = String::from_utf8(output.stdout).unwrap();
        let paths: Vec<_> = listing
            .lines()
            .map(|line| line.split_ascii_whitespace().nth(5).unwrap())
            .collect();
        let listed: Vec<_> = packed.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, listed);
        assert!(listing.contains("-rwxr-xr-x 0/0"), "{listing}");
        assert!(
            listing.contains("lrwxrwxrwx 0/0               0 2023-11-14 22:13 l -> t/t/"),
            "{listing}"
        );
    }

    #[test]
    fn what_a_host_would_refuse_is_not_packed() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("a.tar.zst");
        let check = |entries: Vec<Entry>, code: &str| {
            let failure = pack(entries, 0, &[(Encoding::Zstd, to.clone())]).unwrap_err();
            assert_eq!((failure.code(), failure.exit()), (code, Exit::Refused));
            assert!(!to.exists());
        };
        check(vec![file("../a", b"")], "archive::dotdot");
        check(vec![file("a", b""), file("a", b"")], "archive::duplicate");
        check(vec![file("a", b""), file("a/b", b"")], "archive::collision");
        check(vec![link("a", "../b")], "archive::link_escape");
        check(vec![file("z", &vec![0; 20 << 20])], "archive::ratio");
        let directory = Entry {
            path: "a".to_owned(),
            source: EntrySource::File(directory.path().to_owned()),
            executable: false,
        };
        check(vec![directory], "files::kind");
    }

    fn npm(files: &[(&str, &str, bool)]) -> NpmTarball {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text, executable)| {
                let source = EntrySource::Bytes(text.as_bytes().to_vec());
                NpmFile {
                    path: (*path).to_owned(),
                    source,
                    mode: if *executable { 0o755 } else { 0o644 },
                }
            })
            .collect();
        npm_tarball(&files).unwrap()
    }

    #[test]
    fn an_npm_tarball_starts_as_npm_starts_it() {
        let tarball = npm(&[("package.json", "{}", false), ("cli.js", "x", true)]);
        assert_eq!(tarball.bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff]);
        assert_eq!(
            tarball.files,
            [
                ("cli.js".to_owned(), 1, 0o755),
                ("package.json".to_owned(), 2, 0o644)
            ]
        );
        assert_eq!(tarball.integrity, Integrity::of(&tarball.bytes));
    }

    #[test]
    fn the_tar_of_an_npm_tarball_is_npms() {
        let folder = "d".repeat(60);
        let files = [
            (
                "package.json".to_owned(),
                "{\"name\":\"p\",\"version\":\"1.0.0\",\"bin\":\"cli.js\"}\n".to_owned(),
                false,
            ),
            ("cli.js".to_owned(), "hi\n".to_owned(), true),
            ("lib/a.js".to_owned(), "a\n".to_owned(), false),
            (
                format!("lib/{folder}/{}.js", "n".repeat(90)),
                "b\n".to_owned(),
                false,
            ),
            (
                format!("lib/{folder}/{folder}/{}.js", "n".repeat(90)),
                "c\n".to_owned(),
                false,
            ),
            (
                format!("lib/{}.js", "m".repeat(120)),
                "d\n".to_owned(),
                false,
            ),
            ("lib/é/x.js".to_owned(), "e\n".to_owned(), false),
            ("@s/q.js".to_owned(), "f\n".to_owned(), false),
            ("empty".to_owned(), String::new(), false),
            (
                format!("lib/{folder}/{}.js", "k".repeat(130)),
                "g\n".to_owned(),
                false,
            ),
            ("z.bin".to_owned(), "\0".repeat(5000), false),
            ("h".repeat(91), "h\n".to_owned(), false),
            ("i".repeat(92), "h\n".to_owned(), false),
            ("j".repeat(93), "h\n".to_owned(), false),
        ];
        let files: Vec<_> = files
            .iter()
            .map(|(path, text, executable)| (path.as_str(), text.as_str(), *executable))
            .collect();
        // What `npm pack` of npm 12.2.0 makes of the same files.
        assert_eq!(
            npm(&files).tar_digest.hex(),
            "d0d1ce9c6b33d68e797571c74fc4623e24262194cc88bba95682b3e5ac9e8d31"
        );
    }

    #[test]
    fn an_npm_tarball_has_a_manifest_and_no_links() {
        let check = |path: &str, source: EntrySource, code: &str| {
            let path = path.to_owned();
            let mode = 0o644;
            let failure = npm_tarball(&[NpmFile { path, source, mode }]).unwrap_err();
            assert_eq!(failure.code(), code);
        };
        check("a.js", EntrySource::Bytes(Vec::new()), "archive::manifest");
        let target = "a".to_owned();
        check("b", EntrySource::Link { target }, "archive::kind");
        check("C:/x", EntrySource::Bytes(Vec::new()), "archive::name");
    }
}
