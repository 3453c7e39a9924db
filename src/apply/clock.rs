//! Time as a run sees it, so that tests of what waits go on without waiting.

use std::time::{Duration, Instant};

use crate::explain::Failure;
use crate::local::stop::Stop;

/// Time as a run sees it: tests go on without waiting.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    #[cfg(test)]
    skipped: std::sync::Arc<std::sync::Mutex<Duration>>,
}

#[cfg(not(test))]
impl Clock {
    /// This moment.
    #[expect(clippy::unused_self, reason = "the clock of tests has a state")]
    pub(super) fn now(&self) -> Instant {
        Instant::now()
    }

    /// Waits so long, whatever happens.
    pub(super) async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
impl Clock {
    /// This moment.
    pub(super) fn now(&self) -> Instant {
        // A millisecond of real time counts for nothing: only what is slept does.
        static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BEGIN.get_or_init(Instant::now) + *self.skipped.lock().unwrap()
    }

    /// Waits so long, whatever happens.
    #[expect(clippy::unused_async, reason = "the clock of runs waits")]
    pub(super) async fn sleep(&self, time: Duration) {
        *self.skipped.lock().unwrap() += time;
    }
}

impl Clock {
    /// Waits, unless the run is to stop.
    ///
    /// # Errors
    /// That it was interrupted.
    pub(super) async fn rest(&self, wait: Duration, stop: &Stop) -> Result<(), Failure> {
        const SLICE: Duration = Duration::from_millis(250);
        let until = self.now() + wait;
        loop {
            stop.check()?;
            let left = until.saturating_duration_since(self.now());
            if left.is_zero() {
                return Ok(());
            }
            self.sleep(SLICE.min(left)).await;
        }
    }
}
