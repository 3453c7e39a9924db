//! Strict unpacking. The tar is read by a parser of 512-byte headers of our own: the rules are about the raw fields (checksums,
//! types, double extension headers, end blocks), which the `tar` crate interprets or skips before a caller sees them.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use flate2::bufread::GzDecoder;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::header::{self, BLOCK};
use super::policy::{self, Kind, Problem, Seen};
use super::{Content, ListedFile};
use crate::explain::{Exit, Failure, quoted};
use crate::local::files;
use crate::name::Digest;
use crate::release::app::Encoding;

/// The longest extension header: room for a path, a target and numbers.
const LONGEST_EXTENSION: u64 = 16 << 10;

/// The largest window that the decoder may keep, as a power of two.
const WINDOW_LOG: u32 = 27;

/// What the manifest says of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// How its tar is compressed.
    pub encoding: Encoding,
    /// The digest of the archive.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The digest of the tar inside.
    pub tar_digest: Digest,
    /// The length of the tar inside, in bytes.
    pub tar_size: u64,
    /// How many entries the tar has.
    pub entries: u64,
    /// Every file and link, where the list is at hand.
    pub files: Option<Vec<ListedFile>>,
    /// The most bytes that the tar may have, whatever the manifest says.
    pub most_bytes: u64,
}

/// Unpacks an archive that [`super::pack`] made into `into`, a directory that exists and is empty.
///
/// When it returns, everything is there as the manifest says and outlasts a power cut: files are 0644 or 0755, directories 0755,
/// all owned by whoever runs this. Nothing is ever written through a link, over an existing file, or outside `into`; links are
/// made last. After a failure `into` is gone.
///
/// Two names that differ only in case or in Unicode form are refused by the file systems that take them for one: every file and
/// directory is created anew or not at all.
///
/// # Errors
/// `archive::…`, exit 6, when the archive is not what the manifest says or breaks a rule; `files::…` for the disk.
pub fn unpack(archive: &Path, into: &Path, expect: &Expect) -> Result<(), Failure> {
    let root = open_empty(into)?;
    let result = unpack_into(archive, into, root, expect);
    if result.is_err() {
        // The failure that is on its way matters more than one of cleaning up.
        let _ = fs::remove_dir_all(into);
    }
    result
}

fn unpack_into(archive: &Path, into: &Path, root: OwnedFd, expect: &Expect) -> Result<(), Failure> {
    let mut writer = Writer::new(root, into, expect);
    with_tar(archive, expect, WINDOW_LOG, |reader| {
        writer.read_entries(reader)
    })?;
    let place = Archive::of(archive, expect);
    writer.finish(&place, expect)
}

/// Hands the tar of an archive to `work`, which reads it to its end; afterwards the archive is checked to be what the manifest says, and no more.
fn with_tar<T>(
    archive: &Path,
    expect: &Expect,
    window_log: u32,
    work: impl FnOnce(&mut Reader<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let place = Archive::of(archive, expect);
    let file = place.open_checked(expect)?;
    let mut source = BufReader::with_capacity(files::CHUNK, file);
    let read = |source: &mut dyn Read| {
        let mut reader = Reader {
            place: &place,
            source,
            sum: Sha256::new(),
            position: 0,
            length: expect.tar_size,
        };
        let result = work(&mut reader)?;
        reader.end(&expect.tar_digest)?;
        Ok::<T, Failure>(result)
    };
    let (result, mut rest) = match expect.encoding {
        Encoding::Zstd => {
            place.check_frame(&mut source, expect, window_log)?;
            let mut decoder = zstd::Decoder::with_buffer(source)
                .and_then(|mut decoder| {
                    decoder.window_log_max(window_log)?;
                    Ok(decoder.single_frame())
                })
                .map_err(|error| place.read_failed(&error))?;
            (read(&mut decoder)?, decoder.finish())
        }
        Encoding::Gzip => {
            place.check_member(&mut source)?;
            let mut decoder = GzDecoder::new(source);
            (read(&mut decoder)?, decoder.into_inner())
        }
    };
    place.check_end(&mut rest)?;
    Ok(result)
}

/// The tar of an archive, in memory. Whoever asks has made sure that there is room for [`Expect::tar_size`] bytes.
///
/// # Errors
/// As [`unpack`], but for what only its entries tell; `archive::window` also for a window of more than 16 MiB.
pub(super) fn read_tar(archive: &Path, expect: &Expect) -> Result<Vec<u8>, Failure> {
    with_tar(archive, expect, super::FAR_BACK, |reader| {
        let length = usize::try_from(expect.tar_size).unwrap_or(usize::MAX);
        let mut tar = vec![0; length];
        reader.fill(&mut tar)?;
        Ok(tar)
    })
}

/// Hands the tar of an archive to `each`, in pieces.
///
/// # Errors
/// As [`read_tar`], and those of `each`.
pub(super) fn pieces(
    archive: &Path,
    expect: &Expect,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    with_tar(archive, expect, super::FAR_BACK, |reader| {
        let mut buffer = vec![0; files::CHUNK];
        while reader.position < reader.length {
            let left = usize::try_from(reader.length - reader.position).unwrap_or(usize::MAX);
            let piece = &mut buffer[..left.min(files::CHUNK)];
            reader.fill(piece)?;
            each(piece)?;
        }
        Ok(())
    })
}

/// The archive as failures name it.
struct Archive<'a> {
    path: &'a Path,
    encoding: Encoding,
}

impl<'a> Archive<'a> {
    fn of(path: &'a Path, expect: &Expect) -> Archive<'a> {
        Archive {
            path,
            encoding: expect.encoding,
        }
    }

    fn broken(&self, code: &'static str, why: impl Into<String>) -> Failure {
        Failure::new(
            Exit::Integrity,
            code,
            format!(
                "the archive {} is refused",
                quoted(&self.path.display().to_string())
            ),
        )
        .because(why.into())
        .hint("nothing of it was kept; somebody should look where it came from")
    }

    fn entry_broken(&self, path: &str, (code, why): Problem) -> Failure {
        self.broken(code, format!("entry {}: {why}", quoted(path)))
    }

    /// A failure to read: the disk's, or the decoder's about what it reads.
    fn read_failed(&self, error: &io::Error) -> Failure {
        if error.raw_os_error().is_some() {
            return files::failed("files::read", "read", self.path, error);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.broken("archive::truncated", "it ends in the middle");
        }
        self.broken(
            self.compression(),
            format!("its compression is broken: {error}"),
        )
    }

    /// The code of failures of its compression.
    fn compression(&self) -> &'static str {
        match self.encoding {
            Encoding::Zstd => "archive::zstd",
            Encoding::Gzip => "archive::gzip",
        }
    }

    /// The archive opened, after its length and digest were found to be right.
    fn open_checked(&self, expect: &Expect) -> Result<File, Failure> {
        let fail = |error: io::Error| files::failed("files::read", "read", self.path, &error);
        let (mut file, metadata) = files::open_regular(self.path)?;
        let mut start = Vec::new();
        let mut sum = Sha256::new();
        if metadata.len() == expect.size {
            files::for_each_chunk(&mut file, |chunk| sum.update(chunk)).map_err(fail)?;
        }
        if metadata.len() == expect.size && Digest::from_sha256(sum.finalize()) == expect.digest {
            file.seek(SeekFrom::Start(0)).map_err(fail)?;
            policy::check_sizes(expect.size, expect.tar_size)
                .map_err(|(code, why)| self.broken(code, why))?;
            if expect.tar_size > expect.most_bytes {
                let why = format!(
                    "its tar has {} bytes, {} are allowed",
                    expect.tar_size, expect.most_bytes
                );
                return Err(self.broken("archive::size", why));
            }
            return Ok(file);
        }
        file.seek(SeekFrom::Start(0)).map_err(fail)?;
        file.take(64).read_to_end(&mut start).map_err(fail)?;
        let looks = if start.trim_ascii_start().starts_with(b"<") {
            "; it looks like HTML"
        } else {
            ""
        };
        let why = format!(
            "it has {} bytes and another digest than {} of {} bytes{looks}",
            metadata.len(),
            expect.digest,
            expect.size
        );
        Err(self.broken("archive::digest", why))
    }

    /// Checks the frame's header, which follows RFC 8878, section 3.1.1.1.
    fn check_frame(
        &self,
        source: &mut BufReader<File>,
        expect: &Expect,
        window_log: u32,
    ) -> Result<(), Failure> {
        let start = source
            .fill_buf()
            .map_err(|error| self.read_failed(&error))?;
        let broken = |why: &str| self.broken("archive::zstd", why);
        let too_far = || {
            let why = format!(
                "its window is larger than {} MiB",
                (1_u64 << window_log) >> 20
            );
            self.broken("archive::window", why)
        };
        match start.get(..4) {
            Some([0x28, 0xb5, 0x2f, 0xfd]) => {}
            Some([0x50..=0x5f, 0x2a, 0x4d, 0x18]) => {
                return Err(self.broken("archive::frames", "it starts with a skippable frame"));
            }
            _ => return Err(broken("it is not zstd")),
        }
        let descriptor = *start.get(4).ok_or_else(|| broken("its header is cut"))?;
        let single_segment = descriptor & 0x20 != 0;
        if descriptor & 0x04 == 0 {
            return Err(broken("it has no checksum"));
        }
        if descriptor & 0x03 != 0 {
            return Err(broken("it needs a dictionary"));
        }
        let length_at = if single_segment { 5 } else { 6 };
        if !single_segment {
            let window = u64::from(*start.get(5).ok_or_else(|| broken("its header is cut"))?);
            let base = 1_u64 << (10 + (window >> 3));
            if base + (base >> 3) * (window & 7) > 1 << window_log {
                return Err(too_far());
            }
        }
        let (width, offset) = match descriptor >> 6 {
            0 if !single_segment => (0, 0),
            0 => (1, 0),
            1 => (2, 256),
            2 => (4, 0),
            _ => (8, 0),
        };
        let field = start
            .get(length_at..length_at + width)
            .ok_or_else(|| broken("its header is cut"))?;
        let length = field
            .iter()
            .rev()
            .fold(0, |value: u64, byte| value << 8 | u64::from(*byte))
            .saturating_add(offset);
        if single_segment && length > 1 << window_log {
            return Err(too_far());
        }
        if width > 0 && length != expect.tar_size {
            let why = format!(
                "it claims {length} bytes, the manifest says {}",
                expect.tar_size
            );
            return Err(self.broken("archive::size", why));
        }
        Ok(())
    }

    /// Checks the member's header, which follows RFC 1952, section 2.3: deflate, and none of the fields that it may have besides.
    fn check_member(&self, source: &mut BufReader<File>) -> Result<(), Failure> {
        let start = source
            .fill_buf()
            .map_err(|error| self.read_failed(&error))?;
        let why = match start.get(..10) {
            None => "its header is cut",
            Some([0x1f, 0x8b, 8, 0, ..]) => return Ok(()),
            Some([0x1f, 0x8b, 8, ..]) => "its header has names or comments",
            Some(_) => "it is not gzip",
        };
        Err(self.broken("archive::gzip", why))
    }

    fn check_end(&self, source: &mut BufReader<File>) -> Result<(), Failure> {
        let rest = source
            .fill_buf()
            .map_err(|error| self.read_failed(&error))?;
        match (self.encoding, rest) {
            (_, []) => Ok(()),
            (
                Encoding::Zstd,
                [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..],
            ) => Err(self.broken("archive::frames", "it has more than one frame")),
            (Encoding::Gzip, [0x1f, 0x8b, ..]) => {
                Err(self.broken("archive::frames", "it has more than one member"))
            }
            _ => Err(self.broken("archive::trailing", "something follows its compressed tar")),
        }
    }
}

/// The tar as it comes out of the decoder.
struct Reader<'a> {
    place: &'a Archive<'a>,
    source: &'a mut dyn Read,
    sum: Sha256,
    position: u64,
    /// The length that the manifest says.
    length: u64,
}

impl Reader<'_> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        if buffer.len() as u64 > self.length - self.position {
            return Err(self
                .place
                .broken("archive::truncated", "its tar ends without end blocks"));
        }
        self.source
            .read_exact(buffer)
            .map_err(|error| self.place.read_failed(&error))?;
        self.sum.update(&*buffer);
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Failure> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    /// Reads contents of `size` bytes in pieces, then their padding.
    fn contents(
        &mut self,
        size: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; files::CHUNK.min(usize::try_from(size).unwrap_or(files::CHUNK))];
        let mut left = size;
        while left > 0 {
            let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            self.fill(&mut buffer[..count])?;
            each(&buffer[..count])?;
            left -= count as u64;
        }
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        let mut padding = [0; BLOCK];
        let padding = &mut padding[..usize::try_from(rest).unwrap_or(0)];
        self.fill(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(self
                .place
                .broken("archive::padding", "something hides behind a file's end"));
        }
        Ok(())
    }

    /// Checks that the tar ends where it should, the frame with it, and that all of it is what the manifest says.
    fn end(self, expected: &Digest) -> Result<(), Failure> {
        let trailing = || {
            self.place
                .broken("archive::trailing", "something follows its end blocks")
        };
        if self.position != self.length {
            return Err(trailing());
        }
        let more = self
            .source
            .read(&mut [0])
            .map_err(|error| self.place.read_failed(&error))?;
        if more > 0 {
            return Err(trailing());
        }
        let found = Digest::from_sha256(self.sum.finalize());
        if found != *expected {
            let why = format!("its tar is {found}, the manifest says {expected}");
            return Err(self.place.broken("archive::tar_digest", why));
        }
        Ok(())
    }
}

/// What an extension header may say.
#[derive(Debug, Default)]
struct Extension {
    path: Option<String>,
    target: Option<String>,
    size: Option<u64>,
}

/// An entry's header, read and checked.
#[derive(Debug)]
struct Head {
    path: String,
    kind: u8,
    mode: u32,
    size: u64,
    target: String,
}

/// Reads a header. `Ok(None)` for a block of zeros.
fn read_head(block: &[u8; BLOCK]) -> Result<Option<Head>, Problem> {
    let bad = |why: &str| Err(("archive::header", why.to_owned()));
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if read_number(&block[148..156])? != header::checksum(block) {
        return bad("the checksum of its header is wrong");
    }
    if &block[257..265] != b"ustar\x0000" {
        return bad("its header is not POSIX ustar");
    }
    let name = read_text(&block[..100])?;
    let prefix = read_text(&block[345..500])?;
    let path = if prefix.is_empty() {
        name
    } else {
        format!("{prefix}/{name}")
    };
    let mode = u32::try_from(read_number(&block[100..108])?).unwrap_or(u32::MAX);
    read_number(&block[136..148])?;
    Ok(Some(Head {
        path,
        kind: block[156],
        mode,
        size: read_number(&block[124..136])?,
        target: read_text(&block[157..257])?,
    }))
}

fn read_text(field: &[u8]) -> Result<String, Problem> {
    let end = field.iter().position(|byte| *byte == 0);
    let (text, rest) = field.split_at(end.unwrap_or(field.len()));
    if rest.iter().any(|byte| *byte != 0) {
        return Err(("archive::header", "text hides behind a NUL".to_owned()));
    }
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(("archive::name", "its name is not UTF-8".to_owned())),
    }
}

/// Octal digits, ended by spaces and NULs; nothing else, so no binary and no negative numbers.
fn read_number(field: &[u8]) -> Result<u64, Problem> {
    let digits = field.iter().take_while(|byte| (b'0'..=b'7').contains(byte));
    let count = digits.clone().count();
    if count == 0 || field[count..].iter().any(|byte| !matches!(byte, b' ' | 0)) {
        return Err((
            "archive::header",
            "a number in its header is not octal digits".to_owned(),
        ));
    }
    Ok(digits.fold(0, |value, digit| value * 8 + u64::from(digit - b'0')))
}

/// Reads the records of an extension header.
fn read_extension(mut bytes: &[u8]) -> Result<Extension, Problem> {
    let bad = |why: &str| ("archive::extension", why.to_owned());
    let mut extension = Extension::default();
    let mut has_time = false;
    while !bytes.is_empty() {
        let space = bytes
            .iter()
            .take(6)
            .position(|byte| *byte == b' ')
            .ok_or_else(|| bad("a record has no length"))?;
        let length = read_decimal(&bytes[..space]).ok_or_else(|| bad("a record has no length"))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(bad("a record has a wrong length"));
        }
        let record = std::str::from_utf8(&bytes[space + 1..length - 1])
            .map_err(|_| bad("a record is not UTF-8"))?;
        let (key, value) = record
            .split_once('=')
            .ok_or_else(|| bad("a record has no '='"))?;
        let is_first = match key {
            "path" => extension.path.replace(value.to_owned()).is_none(),
            "linkpath" => extension.target.replace(value.to_owned()).is_none(),
            "size" => {
                let size = read_decimal(value.as_bytes())
                    .ok_or_else(|| bad("its size is not a number"))?;
                extension.size.replace(size).is_none()
            }
            "mtime" => !std::mem::replace(&mut has_time, true),
            _ => return Err(bad(&format!("the record {} is not allowed", quoted(key)))),
        };
        if !is_first {
            return Err(bad("a record occurs twice"));
        }
        bytes = &bytes[length..];
    }
    Ok(extension)
}

fn read_decimal(digits: &[u8]) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_plain
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        b'1' => "a hard link",
        b'3' => "a character device",
        b'4' => "a block device",
        b'6' => "a named pipe",
        b'g' => "a global extension header",
        b'L' | b'K' => "a GNU long name",
        b'S' => "a GNU sparse file",
        _ => "of an unknown type",
    }
}

/// The directory being filled.
struct Writer<'a> {
    into: &'a Path,
    root: OwnedFd,
    /// The open directories from the root to where the last entry went, with their names.
    open: Vec<(String, OwnedFd)>,
    /// The directories created so far.
    made: HashSet<String>,
    seen: Seen,
    listed: Option<HashMap<&'a str, &'a ListedFile>>,
}

impl<'a> Writer<'a> {
    fn new(root: OwnedFd, into: &'a Path, expect: &'a Expect) -> Writer<'a> {
        let listed = expect.files.as_ref().map(|files| {
            files
                .iter()
                .map(|file| (file.path.as_str(), file))
                .collect()
        });
        Writer {
            into,
            root,
            open: Vec::new(),
            made: HashSet::new(),
            seen: Seen::default(),
            listed,
        }
    }

    /// Reads entries until the end blocks.
    fn read_entries(&mut self, reader: &mut Reader<'_>) -> Result<(), Failure> {
        let place = reader.place;
        let mut extension = None;
        loop {
            let block = reader.block()?;
            let head = read_head(&block).map_err(|problem| {
                let name: Vec<u8> = block[..100]
                    .iter()
                    .copied()
                    .take_while(|byte| *byte != 0)
                    .collect();
                place.entry_broken(&String::from_utf8_lossy(&name), problem)
            })?;
            let Some(mut head) = head else {
                return read_end(reader, extension.is_some());
            };
            if head.kind == b'x' {
                if extension.is_some() || head.size > LONGEST_EXTENSION {
                    let why = "its extension header is too long or there are two".to_owned();
                    return Err(place.entry_broken(&head.path, ("archive::extension", why)));
                }
                let mut bytes = Vec::new();
                reader.contents(head.size, |chunk| {
                    bytes.extend_from_slice(chunk);
                    Ok(())
                })?;
                let found = read_extension(&bytes)
                    .map_err(|problem| place.entry_broken(&head.path, problem))?;
                extension = Some(found);
                continue;
            }
            apply(&mut head, extension.take())
                .and_then(|()| check_head(&head))
                .map_err(|problem| place.entry_broken(&head.path, problem))?;
            self.add(reader, head)?;
        }
    }

    fn add(&mut self, reader: &mut Reader<'_>, head: Head) -> Result<(), Failure> {
        let place = reader.place;
        let path = head.path.trim_end_matches('/').to_owned();
        let kind = match head.kind {
            b'5' => Kind::Directory { named: true },
            b'2' => Kind::Link(head.target.clone()),
            _ => Kind::File,
        };
        self.seen
            .add(&path, kind)
            .map_err(|problem| place.entry_broken(&path, problem))?;
        let executable = head.mode & 0o100 != 0;
        let content = match head.kind {
            b'5' => {
                self.enter(&path)?;
                return Ok(());
            }
            b'2' => Content::Link(head.target),
            _ => Content::Digest(self.write_file(reader, &path, executable, head.size)?),
        };
        let found = ListedFile {
            mode: match (&content, executable) {
                (Content::Link(_), _) => 0o777,
                (_, true) => 0o755,
                (_, false) => 0o644,
            },
            size: head.size,
            content,
            path,
        };
        match &self.listed {
            Some(listed) if listed.get(found.path.as_str()) != Some(&&found) => {
                let why = "it is not what the list of files says".to_owned();
                Err(place.entry_broken(&found.path, ("archive::files", why)))
            }
            _ => Ok(()),
        }
    }

    fn write_file(
        &mut self,
        reader: &mut Reader<'_>,
        path: &str,
        executable: bool,
        size: u64,
    ) -> Result<Digest, Failure> {
        let full = self.into.join(path);
        let fail = |error: io::Error| files::failed("files::write", "write", &full, &error);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mode = if executable { 0o755 } else { 0o644 };
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created =
            rustix::fs::openat(self.enter(folder)?, name, flags, Mode::from_raw_mode(mode))
                .map_err(|error| fail(error.into()))?;
        let mut file = File::from(created);
        let mut sum = Sha256::new();
        reader.contents(size, |chunk| {
            sum.update(chunk);
            file.write_all(chunk).map_err(fail)
        })?;
        // The process's umask has a say in the mode at creation, and must not.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|error| fail(error.into()))?;
        Ok(Digest::from_sha256(sum.finalize()))
    }

    /// The open directory `folder`, created where it is not there yet. [`Seen`] has already made sure that it is not a link.
    fn enter(&mut self, folder: &str) -> Result<&OwnedFd, Failure> {
        let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        let common = self
            .open
            .iter()
            .zip(&parts)
            .take_while(|((name, _), part)| name == *part)
            .count();
        self.open.truncate(common);
        for (at, part) in parts.iter().enumerate().skip(common) {
            let parent = self.open.last().map_or(&self.root, |(_, handle)| handle);
            let path = parts[..=at].join("/");
            let full = self.into.join(&path);
            let is_new = self.made.insert(path);
            let handle = open_folder(parent, part, is_new)
                .map_err(|error| files::failed("files::write", "create", &full, &error.into()))?;
            self.open.push(((*part).to_owned(), handle));
        }
        Ok(self.open.last().map_or(&self.root, |(_, handle)| handle))
    }

    /// Compares what was found with the manifest, makes the links, and flushes everything.
    fn finish(mut self, place: &Archive<'_>, expect: &Expect) -> Result<(), Failure> {
        let entries = self.seen.entries();
        if entries != expect.entries {
            let why = format!(
                "it has {entries} entries, the manifest says {}",
                expect.entries
            );
            return Err(place.broken("archive::entries", why));
        }
        if self
            .listed
            .as_ref()
            .is_some_and(|listed| listed.len() as u64 != self.seen.leaves())
        {
            let why = "files are missing that the list of files names";
            return Err(place.broken("archive::files", why));
        }
        self.seen
            .check_links()
            .map_err(|(path, problem)| place.entry_broken(&path, problem))?;
        let seen = std::mem::take(&mut self.seen);
        for (path, target) in seen.links() {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            rustix::fs::symlinkat(target, self.enter(folder)?, name).map_err(|error| {
                files::failed(
                    "files::write",
                    "create",
                    &self.into.join(path),
                    &error.into(),
                )
            })?;
        }
        self.flush()
    }

    /// Flushes the whole file system at once where the system can: one call instead of one for each of thousands of files.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn flush(self) -> Result<(), Failure> {
        rustix::fs::syncfs(&self.root)
            .map_err(|error| files::failed("files::sync", "flush", self.into, &error.into()))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn flush(self) -> Result<(), Failure> {
        let fail =
            |path: &Path, error: &io::Error| files::failed("files::sync", "flush", path, error);
        for entry in walkdir::WalkDir::new(self.into).contents_first(true) {
            let entry = entry.map_err(|error| fail(self.into, &error.into()))?;
            if !entry.file_type().is_symlink() {
                File::open(entry.path())
                    .and_then(|file| file.sync_all())
                    .map_err(|error| fail(entry.path(), &error))?;
            }
        }
        Ok(())
    }
}

/// Checks the second end block, after the first was read.
fn read_end(reader: &mut Reader<'_>, has_extension: bool) -> Result<(), Failure> {
    let place = reader.place;
    if has_extension {
        return Err(place.broken("archive::extension", "an extension header has no entry"));
    }
    if reader.block()?.iter().any(|byte| *byte != 0) {
        return Err(place.broken("archive::header", "a block of zeros lies between entries"));
    }
    Ok(())
}

/// Puts what an extension header says in the place of the short fields.
fn apply(head: &mut Head, extension: Option<Extension>) -> Result<(), Problem> {
    let bad = |why: &str| Err(("archive::extension", why.to_owned()));
    let Some(extension) = extension else {
        return Ok(());
    };
    if extension.size.is_some_and(|size| size != head.size) {
        return bad("its header and its extension header disagree about its length");
    }
    if extension.target.is_some() && head.kind != b'2' {
        return bad("only a link has a target");
    }
    if let Some(path) = extension.path {
        head.path = path;
    }
    if let Some(target) = extension.target {
        head.target = target;
    }
    Ok(())
}

fn check_head(head: &Head) -> Result<(), Problem> {
    if !matches!(head.kind, b'0' | b'2' | b'5') {
        return Err(("archive::kind", format!("it is {}", kind_name(head.kind))));
    }
    if head.mode > 0o777 {
        return Err((
            "archive::mode",
            format!("its mode {:o} has more than permission bits", head.mode),
        ));
    }
    if head.kind != b'0' && head.size != 0 {
        return Err(("archive::size", "only a file has contents".to_owned()));
    }
    if head.kind != b'5' && head.path.ends_with('/') || head.path.ends_with("//") {
        return Err((
            "archive::name",
            "only a directory ends with a slash".to_owned(),
        ));
    }
    if head.kind != b'2' && !head.target.is_empty() {
        return Err(("archive::header", "only a link has a target".to_owned()));
    }
    Ok(())
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens a directory; a new one must not be there yet, under whatever spelling the file system takes for the same.
fn open_folder(parent: &OwnedFd, name: &str, is_new: bool) -> rustix::io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o755);
    if is_new {
        rustix::fs::mkdirat(parent, name, mode)?;
    }
    let handle = rustix::fs::openat(parent, name, FOLDER, Mode::empty())?;
    if is_new {
        rustix::fs::fchmod(&handle, mode)?;
    }
    Ok(handle)
}

fn open_empty(into: &Path) -> Result<OwnedFd, Failure> {
    let fail = |error: io::Error| files::failed("files::write", "unpack into", into, &error);
    let root = rustix::fs::open(into, FOLDER, Mode::empty()).map_err(|error| fail(error.into()))?;
    if fs::read_dir(into).map_err(fail)?.next().is_some() {
        return Err(Failure::new(
            Exit::Refused,
            "archive::not_empty",
            format!(
                "cannot unpack into {}: it is not empty",
                quoted(&into.display().to_string())
            ),
        ));
    }
    Ok(root)
}

#[cfg(test)]
mod tests;
