//! Joins a character whose surrogates arrive in two deltas of one part.
//!
//! A delta that ends in a high surrogate is held until the low one arrives or can no longer arrive.
//! All events after it are held too, so that the order stays. The joined character moves to the
//! later delta. An unpaired surrogate shows U+FFFD.

use std::collections::VecDeque;

use crate::event::{PartKey, ResponseEvent};

/// Maximum number of held events and bytes. Above it, the oldest surrogate stays unpaired.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 64 * 1024;

/// Queue of events that wait for the second surrogate of a character.
#[derive(Clone, Debug, Default)]
pub(crate) struct HalfJoiner {
    held: VecDeque<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    event: ResponseEvent,
    /// Size of the event's frame, in bytes.
    bytes: usize,
    /// Part whose next delta decides the text of the event.
    waits_for: Option<PartKey>,
}

impl HalfJoiner {
    /// Returns `true` if `event` can be yielded immediately: no event is held, and this one need
    /// not be.
    pub(crate) fn passes(&self, event: &mut ResponseEvent) -> bool {
        self.held.is_empty() && event.delta_mut().is_none_or(|(_, delta)| !delta.ends_with_half())
    }

    /// Takes the next event, whose frame has `bytes` bytes. Returns the first event to yield;
    /// [`pop`](Self::pop) returns those after it.
    pub(crate) fn push(&mut self, mut event: ResponseEvent, bytes: usize) -> Option<ResponseEvent> {
        let waits_for = self.join(&mut event);
        if self.held.is_empty() && waits_for.is_none() {
            return Some(event);
        }
        // Later events wait too, so that the order stays.
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

    /// Releases all held events, because no delta follows.
    pub(crate) fn give_up(&mut self) {
        self.held.iter_mut().for_each(|held| held.waits_for = None);
    }

    /// Returns `true` if no event is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Decides the text of held events by the event after them. Returns the part whose next delta
    /// decides the text of `event` itself.
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

    /// Returns `true` if too much is held. Events that can be yielded do not count.
    fn is_full(&self) -> bool {
        // Events before the first waiting one can be yielded, so they do not count.
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
