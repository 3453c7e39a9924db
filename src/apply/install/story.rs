//! What a person reads while a host changes: one line a step, with the time it took.

use std::fmt::Display;
use std::time::Instant;

use crate::name::PackageName;

/// One app's story; a pull that changes nothing tells none.
pub struct Story {
    app: String,
    begun: Instant,
    step: Instant,
}

impl Story {
    /// Begins now.
    pub fn of(app: &PackageName) -> Story {
        let now = Instant::now();
        Story {
            app: app.to_string(),
            begun: now,
            step: now,
        }
    }

    /// Something that took no time; the next step begins now.
    pub fn told(&mut self, what: impl Display) {
        tracing::info!("{}: {what}", self.app);
        self.step = Instant::now();
    }

    /// The end of a step.
    pub fn did(&mut self, what: impl Display) {
        let took = self.step.elapsed().as_secs_f64();
        self.told(format_args!("{what} ({took:.1} s)"));
    }

    /// The end of it all.
    pub fn ended(&mut self, what: impl Display) {
        let took = self.begun.elapsed().as_secs_f64();
        self.told(format_args!("{what}, {took:.1} s after the pull began"));
    }
}
