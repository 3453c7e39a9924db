//! Reading what a command writes while it runs: shown, kept, and its last lines for a failure.

use std::collections::VecDeque;
use std::io::{PipeReader, Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::explain::without;

/// The most that [`Output::Capture`](super::Output::Capture) keeps of a command's stdout, in bytes.
pub const LONGEST_CAPTURE: usize = 16 << 20;

const TAIL_LINES: usize = 20;

const LONGEST_LINE: usize = 8 << 10;

/// How long output may still arrive after its command ended: someone outside its process group may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) lines: VecDeque<String>,
}

impl Tail {
    fn push(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// The threads that read a command's output.
#[derive(Default)]
pub(super) struct Collectors {
    stdout: Arc<Mutex<Vec<u8>>>,
    tail: Arc<Mutex<Tail>>,
    ends: Vec<Receiver<()>>,
}

impl Collectors {
    pub(super) fn capture(&mut self, mut reader: PipeReader) {
        let kept = Arc::clone(&self.stdout);
        let (done, end) = channel();
        self.ends.push(end);
        std::thread::spawn(move || {
            let mut chunk = [0; 8 << 10];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                // One byte more than allowed tells that there was too much; the rest is read and dropped, so nobody blocks.
                let room = (LONGEST_CAPTURE + 1).saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..length.min(room)]);
            }
            let _ = done.send(());
        });
    }

    /// Reads lines; shows each behind `label`, or keeps it to itself without one. None holds `secrets`.
    pub(super) fn relay(
        &mut self,
        mut reader: PipeReader,
        label: Option<String>,
        secrets: Vec<String>,
    ) {
        let tail = Arc::clone(&self.tail);
        let (done, end) = channel();
        self.ends.push(end);
        std::thread::spawn(move || {
            let mut pending = Vec::new();
            // Many short lines are shown with one write, or a chatty command would wait for us.
            let tell = |lines: &[u8]| {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                let mut shown = Vec::with_capacity(lines.len());
                for line in lines
                    .strip_suffix(b"\n")
                    .unwrap_or(lines)
                    .split(|byte| *byte == b'\n')
                {
                    let hidden = hidden(line, &secrets);
                    let line = hidden.as_deref().unwrap_or(line);
                    tail.push(line);
                    if let Some(label) = &label {
                        shown.extend([label.as_bytes(), line, b"\n"].concat());
                    }
                }
                to_stderr(&shown);
            };
            let mut chunk = [0; 8 << 10];
            while let Ok(length @ 1..) = reader.read(&mut chunk) {
                pending.extend_from_slice(&chunk[..length]);
                let whole = match pending.iter().rposition(|byte| *byte == b'\n') {
                    Some(end) => end + 1,
                    None if pending.len() > LONGEST_LINE => pending.len(),
                    None => continue,
                };
                tell(&pending[..whole]);
                pending.drain(..whole);
            }
            if !pending.is_empty() {
                tell(&pending);
            }
            let _ = done.send(());
        });
    }

    pub(super) fn finish(self) -> (Vec<u8>, Tail) {
        let until = Instant::now() + LAST_WORDS;
        for end in &self.ends {
            let _ = end.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
        let stdout =
            std::mem::take(&mut *self.stdout.lock().unwrap_or_else(PoisonError::into_inner));
        let tail = std::mem::take(&mut *self.tail.lock().unwrap_or_else(PoisonError::into_inner));
        (stdout, tail)
    }
}

/// The line without these secrets; `None` where there are none to look for.
fn hidden(line: &[u8], secrets: &[String]) -> Option<Vec<u8>> {
    let text = (!secrets.is_empty()).then(|| String::from_utf8_lossy(line))?;
    Some(without(&text, secrets).into_bytes())
}

pub(super) fn to_stderr(bytes: &[u8]) {
    // A closed stderr is no reason to fail a command.
    let _ = std::io::stderr().lock().write_all(bytes);
}
