//! gzip on all cores. Its bytes depend on what goes in alone: never on how many cores there are, nor on how it was handed over.
//!
//! The stream is cut into blocks, each of which is compressed by itself with the end of the one before as its dictionary, and ends at a byte. What
//! fits into one block is what a single stream would be.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, available_parallelism};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// How much one block holds, in bytes: many enough for all cores in a package of some size, few enough that what they cost is under a hundredth.
const BLOCK: usize = 128 << 10;

/// How far back deflate looks, in bytes.
const WINDOW: usize = 32 << 10;

/// How many blocks for each core may wait for being written.
const AHEAD: usize = 8;

/// How hard a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// As npm does: tarballs are small and fetched by many.
    Best,
    /// As `gzip` does where nothing is said: archives are large, and a third of the time buys all but a hundredth.
    Usual,
}

impl Effort {
    fn level(self) -> Compression {
        match self {
            Effort::Best => Compression::new(9),
            Effort::Usual => Compression::new(6),
        }
    }

    /// What a stream begins with: no name, no time, whether it is compressed best, no operating system. <https://www.rfc-editor.org/rfc/rfc1952>
    fn header(self) -> [u8; 10] {
        let best = match self {
            Effort::Best => 2,
            Effort::Usual => 0,
        };
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, best, 255]
    }
}

/// Compresses what `work` writes into `sink`, and gives its result with the sink.
///
/// # Errors
/// Those of `work`, and what `broken` makes of the compressor's and the sink's.
pub(super) fn gzip<S: Write, T, E>(
    sink: S,
    effort: Effort,
    broken: impl Fn(io::Error) -> E,
    work: impl FnOnce(&mut Gzip<'_, '_, S>) -> Result<T, E>,
) -> Result<(T, S), E> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    gzip_on(cores, sink, effort, broken, work)
}

fn gzip_on<S: Write, T, E>(
    cores: usize,
    sink: S,
    effort: Effort,
    broken: impl Fn(io::Error) -> E,
    work: impl FnOnce(&mut Gzip<'_, '_, S>) -> Result<T, E>,
) -> Result<(T, S), E> {
    std::thread::scope(|scope| {
        let mut gzip = Gzip {
            scope,
            cores,
            effort,
            sink,
            pending: Vec::new(),
            dictionary: 0,
            sum: Crc::new(),
            blocks: 0,
            written: 0,
            early: BTreeMap::new(),
            workers: None,
        };
        gzip.sink.write_all(&effort.header()).map_err(&broken)?;
        let result = work(&mut gzip)?;
        Ok((result, gzip.finish().map_err(broken)?))
    })
}

/// Takes what is to be compressed.
pub(super) struct Gzip<'scope, 'env, S> {
    scope: &'scope Scope<'scope, 'env>,
    cores: usize,
    effort: Effort,
    sink: S,
    /// The dictionary of the next block, and the block behind it.
    pending: Vec<u8>,
    /// How long the dictionary is.
    dictionary: usize,
    sum: Crc,
    /// How many blocks were handed on.
    blocks: usize,
    /// How many of them were written.
    written: usize,
    /// Blocks that were done before one in front of them.
    early: BTreeMap<usize, Vec<u8>>,
    /// Those that compress; a stream of one block needs none.
    workers: Option<Workers>,
}

struct Block {
    number: usize,
    /// Its dictionary, and what it holds.
    bytes: Vec<u8>,
    dictionary: usize,
    is_last: bool,
}

type Compressed = (usize, io::Result<Vec<u8>>);

struct Workers {
    blocks: SyncSender<Block>,
    done: Receiver<Compressed>,
}

impl<S: Write> Gzip<'_, '_, S> {
    fn hand_on(&mut self, is_last: bool) -> io::Result<()> {
        let keep = self.pending.len().saturating_sub(WINDOW);
        let next = if is_last {
            Vec::new()
        } else {
            let mut next = Vec::with_capacity(WINDOW + BLOCK);
            next.extend_from_slice(&self.pending[keep..]);
            next
        };
        let block = Block {
            number: self.blocks,
            dictionary: self.dictionary,
            bytes: std::mem::replace(&mut self.pending, next),
            is_last,
        };
        self.dictionary = self.pending.len();
        self.blocks += 1;
        let workers = self.workers.get_or_insert_with(|| {
            let (blocks, waiting) = sync_channel(self.cores);
            let (finished, done) = channel();
            let waiting = Arc::new(Mutex::new(waiting));
            let level = self.effort.level();
            for _ in 0..self.cores {
                let (waiting, finished) = (Arc::clone(&waiting), finished.clone());
                self.scope
                    .spawn(move || work_off(level, &waiting, &finished));
            }
            Workers { blocks, done }
        });
        workers.blocks.send(block).map_err(io::Error::other)?;
        // However slow one block is, no more than these are held.
        self.write_done(AHEAD * self.cores)
    }

    /// Writes what is done, in order, until no more than `held` blocks are still to be written.
    fn write_done(&mut self, held: usize) -> io::Result<()> {
        let Some(workers) = &self.workers else {
            return Ok(());
        };
        loop {
            let next = if self.blocks - self.written > held {
                Some(workers.done.recv().map_err(io::Error::other)?)
            } else {
                workers.done.try_recv().ok()
            };
            let Some((number, compressed)) = next else {
                return Ok(());
            };
            self.early.insert(number, compressed?);
            while let Some(bytes) = self.early.remove(&self.written) {
                self.sink.write_all(&bytes)?;
                self.written += 1;
            }
        }
    }

    fn finish(mut self) -> io::Result<S> {
        if self.workers.is_none() {
            let mut compressor = Compress::new(self.effort.level(), false);
            let bytes = compress(&mut compressor, &[], &self.pending, true)?;
            self.sink.write_all(&bytes)?;
        } else {
            self.hand_on(true)?;
            self.write_done(0)?;
        }
        self.sink.write_all(&self.sum.sum().to_le_bytes())?;
        self.sink.write_all(&self.sum.amount().to_le_bytes())?;
        Ok(self.sink)
    }
}

impl<S: Write> Write for Gzip<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.len() - self.dictionary == BLOCK && !bytes.is_empty() {
            self.hand_on(false)?;
        }
        let room = BLOCK - (self.pending.len() - self.dictionary);
        let taken = &bytes[..bytes.len().min(room)];
        self.pending.extend_from_slice(taken);
        self.sum.update(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses blocks until no more come.
fn work_off(level: Compression, waiting: &Mutex<Receiver<Block>>, finished: &Sender<Compressed>) {
    let mut compressor = Compress::new(level, false);
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(block) = next else { return };
        let (dictionary, bytes) = block.bytes.split_at(block.dictionary);
        let compressed = compress(&mut compressor, dictionary, bytes, block.is_last);
        if finished.send((block.number, compressed)).is_err() {
            return;
        }
    }
}

fn compress(
    compressor: &mut Compress,
    dictionary: &[u8],
    bytes: &[u8],
    is_last: bool,
) -> io::Result<Vec<u8>> {
    const MORE: usize = 16 << 10;
    compressor.reset();
    if !dictionary.is_empty() {
        compressor.set_dictionary(dictionary)?;
    }
    let flush = if is_last {
        FlushCompress::Finish
    } else {
        FlushCompress::Sync
    };
    let mut out = Vec::with_capacity(bytes.len() / 3 + MORE);
    loop {
        let read = usize::try_from(compressor.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(read..).unwrap_or_default();
        let status = compressor.compress_vec(rest, &mut out, flush)?;
        let is_whole = match status {
            Status::StreamEnd => true,
            // Room that is left says that nothing more was to come.
            _ => !is_last && out.len() < out.capacity(),
        };
        if is_whole {
            return Ok(out);
        }
        out.reserve(MORE);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed(cores: usize, pieces: &[&[u8]]) -> Vec<u8> {
        let same = |error: io::Error| error;
        let ((), bytes) = gzip_on(cores, Vec::new(), Effort::Best, same, |gzip| {
            pieces.iter().try_for_each(|piece| gzip.write_all(piece))
        })
        .unwrap();
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut reader = flate2::bufread::GzDecoder::new(bytes);
        reader.read_to_end(&mut text).unwrap();
        assert_eq!(reader.into_inner(), b"", "something follows");
        text
    }

    /// Words in no order, as many bytes as asked.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let word =
                ["exports", "function", " ", "=> ", "\n", "answer"][(state >> 33) as usize % 6];
            bytes.extend_from_slice(word.as_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn every_length_comes_back_whatever_the_cores_and_the_pieces() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 77] {
            let text = text(length);
            let one = packed(1, &[&text]);
            assert_eq!(unpacked(&one), text, "{length}");
            let pieces: Vec<&[u8]> = text.chunks(1000).collect();
            for cores in [2, 3, 8] {
                assert!(packed(cores, &[&text]) == one, "{length} on {cores}");
                assert!(
                    packed(cores, &pieces) == one,
                    "{length} on {cores} in pieces"
                );
            }
        }
    }

    #[test]
    fn one_block_is_what_a_single_stream_is_and_many_are_hardly_more() {
        let single = |text: &[u8]| {
            let mut single = flate2::GzBuilder::new()
                .operating_system(255)
                .write(Vec::new(), Effort::Best.level());
            single.write_all(text).unwrap();
            single.finish().unwrap()
        };
        let short = text(BLOCK);
        assert!(packed(2, &[&short]) == single(&short));
        let long = text(20 * BLOCK);
        let (ours, theirs) = (packed(2, &[&long]).len(), single(&long).len());
        assert!(ours * 100 <= theirs * 101, "{ours} against {theirs}");
    }

    #[test]
    fn what_cannot_be_compressed_comes_back_too() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(3 * BLOCK)
        .collect();
        assert_eq!(unpacked(&packed(2, &[&noise])), noise);
    }

    #[test]
    fn what_fails_meanwhile_ends_it() {
        let failed = gzip_on(
            2,
            Vec::new(),
            Effort::Usual,
            |error| error,
            |gzip| -> io::Result<()> {
                gzip.write_all(&text(3 * BLOCK))?;
                Err(io::Error::other("no more"))
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "no more");
    }
}
