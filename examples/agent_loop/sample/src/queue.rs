//! Ships that wait outside.

use std::collections::VecDeque;

/// First come, first served, unless a later ship fits where the first does not.
pub struct Queue {
    waiting: VecDeque<(String, f32)>,
}

impl Queue {
    /// The first waiting ship that a berth takes.
    pub fn next_for(&mut self, takes: impl Fn(f32) -> bool) -> Option<String> {
        let place = self.waiting.iter().position(|(_, length)| takes(*length))?;
        self.waiting.remove(place).map(|(name, _)| name)
    }
}
