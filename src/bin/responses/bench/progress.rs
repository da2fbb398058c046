//! Progress of a measurement, on standard error if it is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts turns.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(turns: usize) -> Self {
        let bar = ProgressBar::new(turns as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} turns, {eta} left")
        {
            bar.set_style(style);
        }
        Self(bar)
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
