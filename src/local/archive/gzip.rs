//! gzip on all cores. Its bytes depend on what goes in alone: never on how many cores there are, nor on how it was handed over.
//!
//! The stream is cut into blocks, each of which is compressed by itself with the end of the one before as its dictionary, and ends at a byte. What
//! fits into one block is what a single stream would be.

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

/// What npm's begin with: no name, no time, best compression, no operating system. <https://www.rfc-editor.org/rfc/rfc1952>
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];

const LEVEL: Compression = Compression::new(9);

/// Compresses what `work` writes, and gives its result with the bytes.
///
/// # Errors
/// Those of `work`, and what `broken` makes of the compressor's.
pub(super) fn gzip<T, E>(
    broken: impl Fn(io::Error) -> E,
    work: impl FnOnce(&mut Gzip<'_, '_>) -> Result<T, E>,
) -> Result<(T, Vec<u8>), E> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    gzip_on(cores, broken, work)
}

fn gzip_on<T, E>(
    cores: usize,
    broken: impl Fn(io::Error) -> E,
    work: impl FnOnce(&mut Gzip<'_, '_>) -> Result<T, E>,
) -> Result<(T, Vec<u8>), E> {
    std::thread::scope(|scope| {
        let mut gzip = Gzip {
            scope,
            cores,
            pending: Vec::new(),
            dictionary: 0,
            sum: Crc::new(),
            blocks: 0,
            workers: None,
        };
        let result = work(&mut gzip)?;
        Ok((result, gzip.finish().map_err(broken)?))
    })
}

/// Takes what is to be compressed.
pub(super) struct Gzip<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    cores: usize,
    /// The dictionary of the next block, and the block behind it.
    pending: Vec<u8>,
    /// How long the dictionary is.
    dictionary: usize,
    sum: Crc,
    /// How many blocks were handed on.
    blocks: usize,
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

impl Gzip<'_, '_> {
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
            for _ in 0..self.cores {
                let (waiting, finished) = (Arc::clone(&waiting), finished.clone());
                self.scope.spawn(move || work_off(&waiting, &finished));
            }
            Workers { blocks, done }
        });
        workers.blocks.send(block).map_err(io::Error::other)
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = HEADER.to_vec();
        if self.workers.is_none() {
            bytes.extend(compress(
                &mut Compress::new(LEVEL, false),
                &[],
                &self.pending,
                true,
            )?);
        } else {
            self.hand_on(true)?;
        }
        let mut blocks: Vec<Vec<u8>> = vec![Vec::new(); self.blocks];
        if let Some(Workers {
            blocks: no_more,
            done,
        }) = self.workers.take()
        {
            drop(no_more);
            for (number, compressed) in done {
                blocks[number] = compressed?;
            }
        }
        bytes.extend(blocks.concat());
        bytes.extend(self.sum.sum().to_le_bytes());
        bytes.extend(self.sum.amount().to_le_bytes());
        Ok(bytes)
    }
}

impl Write for Gzip<'_, '_> {
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
fn work_off(waiting: &Mutex<Receiver<Block>>, finished: &Sender<Compressed>) {
    let mut compressor = Compress::new(LEVEL, false);
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
        let ((), bytes) = gzip_on(cores, same, |gzip| {
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
                .write(Vec::new(), LEVEL);
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
            |error| error,
            |gzip| -> io::Result<()> {
                gzip.write_all(&text(3 * BLOCK))?;
                Err(io::Error::other("no more"))
            },
        );
        assert_eq!(failed.unwrap_err().to_string(), "no more");
    }
}
