//! Progress of bytes on their way: a bar on a terminal, a line now and then in a log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::explain::size;

/// How often a log is told how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// Counts objects and their bytes as they arrive.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    title: &'static str,
    bar: ProgressBar,
    all: Transfer,
    objects: AtomicU64,
    bytes: AtomicU64,
    begun: Instant,
    told: Mutex<Instant>,
}

/// So many objects, and their bytes together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transfer {
    /// How many.
    pub objects: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
}

/// What one object adds to a [`Progress`].
#[derive(Debug)]
pub struct Share {
    of: Progress,
    size: u64,
    arrived: AtomicU64,
}

impl Progress {
    /// Starts counting up to `all` under `title`. Drawn on stderr if that is a terminal; else the log is told every ten seconds.
    #[must_use]
    pub fn start(title: &'static str, all: Transfer) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(all.bytes), ProgressDrawTarget::stderr());
        let template = "{msg:>10} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(title);
        let begun = Instant::now();
        Progress(Arc::new(Counted {
            title,
            bar,
            all,
            objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            begun,
            told: Mutex::new(begun),
        }))
    }

    /// The part of one object of `size` bytes.
    #[must_use]
    pub fn share(&self, size: u64) -> Arc<Share> {
        Arc::new(Share {
            of: self.clone(),
            size,
            arrived: AtomicU64::new(0),
        })
    }

    /// All is done, or given up: the bar goes away. Tells how long it took.
    pub fn end(&self) -> Duration {
        self.0.bar.finish_and_clear();
        self.0.begun.elapsed()
    }

    fn add(&self, bytes: u64) {
        let counted = &self.0;
        let bytes = counted.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        counted.bar.set_position(bytes);
        if !counted.bar.is_hidden() {
            return;
        }
        let mut told = counted.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= EVERY {
            *told = Instant::now();
            let Transfer {
                objects: most,
                bytes: length,
            } = counted.all;
            let objects = counted.objects.load(Ordering::Relaxed);
            let speed = rate(bytes, counted.begun.elapsed());
            tracing::info!(
                "{}: {objects} of {most} objects, {} of {}, {speed}",
                counted.title,
                size(bytes),
                size(length),
            );
        }
    }
}

impl Share {
    /// So many more of its bytes have arrived.
    pub fn arrived(&self, bytes: u64) {
        let before = self.arrived.fetch_add(bytes, Ordering::Relaxed);
        self.of.add(bytes.min(self.size.saturating_sub(before)));
    }

    /// All of it is there, however much of it was told before.
    pub fn finish(&self) {
        self.of.0.objects.fetch_add(1, Ordering::Relaxed);
        self.arrived(self.size);
    }
}

/// Bytes per second, as people read them.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(pkgs_action::local::progress::rate(3 << 20, Duration::from_millis(1500)), "2 MiB/s");
/// ```
#[must_use]
pub fn rate(bytes: u64, time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let each = u128::from(bytes) * 1000 / u128::from(millis);
    format!("{}/s", size(u64::try_from(each).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_counts_once_however_its_bytes_arrive() {
        let all = Transfer {
            objects: 2,
            bytes: 30,
        };
        let progress = Progress::start("sealing", all);
        let (parts, whole) = (progress.share(20), progress.share(10));
        parts.arrived(8);
        parts.arrived(8);
        assert_eq!(progress.0.bytes.load(Ordering::Relaxed), 16);
        parts.finish();
        whole.finish();
        assert_eq!(progress.0.bytes.load(Ordering::Relaxed), 30);
        assert_eq!(progress.0.objects.load(Ordering::Relaxed), 2);
    }
}
