//! Progress of many small deeds: a bar on a terminal, nothing in a log, where every deed has a line of its own.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Counts deeds as they end.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Starts counting `total` deeds under `title`. Drawn on stderr if that is a terminal.
    #[must_use]
    pub fn start(title: &'static str, total: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg:>10} [{wide_bar}] {pos}/{len} {eta}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(title);
        Progress(bar)
    }

    /// One more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// All is done, or given up: the bar goes away.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
