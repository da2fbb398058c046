//! Progress of a measurement, on standard error if it is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts turns: those that are measured, those of the checks, and those of the CPU time.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(turns: usize) -> Self {
        Self::on(ProgressBar::new(turns as u64))
    }

    /// Counts on this bar.
    pub(super) fn on(bar: ProgressBar) -> Self {
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} turns, {eta} left")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Adds turns that were not expected.
    pub(super) fn add(&self, turns: usize) {
        self.0.inc_length(turns as u64);
    }

    /// Counts one turn.
    pub(super) fn turn(&self) {
        self.0.inc(1);
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
