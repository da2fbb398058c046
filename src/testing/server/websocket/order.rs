//! Order in which the lanes of a WebSocket send their events.

use std::task::{Context, Poll};

use super::play::{Play, RunningTurn};

/// Order in which the lanes of a WebSocket send their events.
#[derive(Debug, Default)]
pub(super) struct LaneOrder {
    /// Names of lanes, one for each event; empty if each lane sends in its turn.
    pattern: Vec<String>,
    /// Index in `pattern` of the lane that sends next.
    next_in_pattern: usize,
    /// Index of the running turn that sends next, among those that the pattern lacks.
    next: usize,
}

impl LaneOrder {
    /// Returns an order of these lanes; `""` is the default lane.
    pub(super) fn new(pattern: Vec<String>) -> Self {
        Self { pattern, ..Self::default() }
    }

    /// Returns the next action of the turns, and the index of its turn.
    pub(super) fn poll_next(
        &mut self,
        running: &mut [RunningTurn],
        cx: &mut Context<'_>,
    ) -> Poll<(usize, Play)> {
        for offset in 0..self.pattern.len() {
            let place = (self.next_in_pattern + offset) % self.pattern.len();
            let Some(name) = self.pattern.get(place) else { continue };
            let index = running.iter().position(|turn| is_named(turn, name));
            let Some((index, turn)) = index.and_then(|it| Some((it, running.get_mut(it)?))) else {
                continue;
            };
            if let Poll::Ready(play) = turn.poll_next(cx) {
                // A wait, or the end of a turn, is no event.
                if matches!(play, Play::Step(_) | Play::Notice(_)) {
                    self.next_in_pattern = place + 1;
                }
                return Poll::Ready((index, play));
            }
        }
        for offset in 0..running.len() {
            let index = (self.next + offset) % running.len();
            if let Some(turn) = running.get_mut(index)
                && !self.pattern.iter().any(|name| is_named(turn, name))
                && let Poll::Ready(play) = turn.poll_next(cx)
            {
                self.next = index + 1;
                return Poll::Ready((index, play));
            }
        }
        Poll::Pending
    }
}

fn is_named(turn: &RunningTurn, name: &str) -> bool {
    turn.lane.name().unwrap_or_default() == name
}
