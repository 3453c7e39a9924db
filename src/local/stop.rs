//! The wish to stop, as SIGINT, SIGTERM and, at a terminal, SIGHUP express it: looked at before every write, so that none starts after it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::explain::{Exit, Failure};

/// Shared by everything that writes.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<watch::Sender<u8>>);

impl Stop {
    /// Notes that `signal` (2 or 15) arrived.
    pub fn request(&self, signal: u8) {
        self.0.send_replace(signal);
    }

    /// How the process shall end, if it shall.
    pub fn requested(&self) -> Option<Exit> {
        match *self.0.borrow() {
            0 => None,
            2 => Some(Exit::Interrupted),
            _ => Some(Exit::Terminated),
        }
    }

    /// Refuses to go on once a signal arrived.
    pub fn check(&self) -> Result<(), Failure> {
        match self.requested() {
            None => Ok(()),
            Some(exit) => Err(Failure::new(exit, "run::interrupted", "interrupted")
                .hint("run the same command again: it continues where this run stopped")),
        }
    }

    /// Waits for the wish, and tells what [`Stop::check`] does from then on.
    pub async fn wished(&self) -> Failure {
        let mut signals = self.0.subscribe();
        loop {
            if let Err(interrupted) = self.check() {
                return interrupted;
            }
            if signals.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
