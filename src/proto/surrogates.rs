//! Joins a character whose two halves come in two deltas of one part.
//!
//! A delta that ends in the first half of a surrogate pair is held until the second half comes or
//! cannot come any more, and with it all events after it, so that the order stays. The joined
//! character moves to the later delta. A half that stays without its other shows U+FFFD.

use std::collections::VecDeque;

use crate::event::{PartKey, ResponseEvent};

/// Limits of what is held before the oldest half is given up.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 64 * 1024;

/// Events that wait for the second half of a character.
#[derive(Clone, Debug, Default)]
pub(crate) struct HalfJoiner {
    held: VecDeque<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    event: ResponseEvent,
    /// Size of its frame.
    bytes: usize,
    /// The part whose next delta decides what the event shows.
    waits_for: Option<PartKey>,
}

impl HalfJoiner {
    /// Returns `true` if `event` can be handed out at once: nothing is held, nor is it.
    pub(crate) fn passes(&self, event: &mut ResponseEvent) -> bool {
        self.held.is_empty() && event.delta_mut().is_none_or(|(_, delta)| !delta.ends_with_half())
    }

    /// Takes the next event, whose frame has `bytes` bytes. Returns the first event to hand out;
    /// [`pop`](Self::pop) returns those after it.
    pub(crate) fn push(&mut self, mut event: ResponseEvent, bytes: usize) -> Option<ResponseEvent> {
        let waits_for = self.join(&mut event);
        if self.held.is_empty() && waits_for.is_none() {
            return Some(event);
        }
        self.held.push_back(Held { event, bytes, waits_for });
        while self.is_full() {
            self.give_up_first();
        }
        self.pop()
    }

    /// Returns the next event that waits for nothing.
    pub(crate) fn pop(&mut self) -> Option<ResponseEvent> {
        let is_ready = self.held.front()?.waits_for.is_none();
        is_ready.then(|| self.held.pop_front())?.map(|held| held.event)
    }

    /// Gives up all halves: no delta follows.
    pub(crate) fn give_up(&mut self) {
        self.held.iter_mut().for_each(|held| held.waits_for = None);
    }

    /// Returns `true` if no event is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Decides what held events show, by the event after them. Returns the part whose next delta
    /// decides what `event` itself shows.
    fn join(&mut self, event: &mut ResponseEvent) -> Option<PartKey> {
        for held in &mut self.held {
            if held.waits_for.is_some_and(|key| key.is_ended_by(event)) {
                held.waits_for = None;
            }
        }
        let (key, delta) = event.delta_mut()?;
        let before = self.held.iter_mut().find(|held| held.waits_for == Some(key));
        // An empty delta decides nothing.
        if let (Some(before), false) = (before, delta.is_empty()) {
            before.waits_for = None;
            if let Some((_, text)) = before.event.delta_mut() {
                text.join(delta);
            }
        }
        delta.ends_with_half().then_some(key)
    }

    /// Returns `true` if too much waits. What can be handed out does not count.
    fn is_full(&self) -> bool {
        let waiting = || self.held.iter().skip_while(|held| held.waits_for.is_none());
        waiting().count() > MAX_EVENTS
            || waiting().map(|held| held.bytes).sum::<usize>() > MAX_BYTES
    }

    fn give_up_first(&mut self) {
        if let Some(held) = self.held.iter_mut().find(|held| held.waits_for.is_some()) {
            held.waits_for = None;
        }
    }
}

#[cfg(test)]
mod tests;
