//! `Receiver`: puts segments in order, and keeps their bytes until they are read.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// A piece of a stream.
pub(super) struct Segment {
    /// Number of bytes of the stream before the payload.
    pub(super) offset: u64,
    pub(super) payload: Bytes,
    /// The stream ends after the payload (FIN).
    pub(super) is_last: bool,
}

/// The receiving end of a stream.
#[derive(Default)]
pub(super) struct Receiver {
    /// Segments that arrived before an earlier one, by their offsets.
    early: BTreeMap<u64, Segment>,
    /// Bytes in order that were not read yet.
    ready: VecDeque<Bytes>,
    /// Number of bytes that arrived in order.
    arrived: u64,
    /// Number of bytes that were read or discarded.
    taken: u64,
    has_ended: bool,
    is_gone: bool,
}

impl Receiver {
    pub(super) fn receive(&mut self, segment: Segment) {
        self.early.insert(segment.offset, segment);
        while let Some(segment) = self.early.remove(&self.arrived) {
            self.arrived += segment.payload.len() as u64;
            self.has_ended |= segment.is_last;
            if !segment.payload.is_empty() {
                self.ready.push_back(segment.payload);
            }
        }
        if self.is_gone {
            self.discard();
        }
    }

    /// Takes at most `max` bytes; returns `None` if there are none.
    pub(super) fn read(&mut self, max: usize) -> Option<Bytes> {
        let mut bytes = self.ready.pop_front()?;
        if bytes.len() > max {
            self.ready.push_front(bytes.split_off(max));
        }
        self.taken += bytes.len() as u64;
        Some(bytes)
    }

    /// Discards the bytes that have arrived and all later ones.
    pub(super) fn discard(&mut self) {
        self.is_gone = true;
        self.ready.clear();
        self.taken = self.arrived;
    }

    /// Returns `true` if the stream has arrived up to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns the offset up to which the sender may send.
    pub(super) fn window_end(&self) -> u64 {
        self.taken.saturating_add(BUFFER)
    }
}

/// Maximum number of bytes that were sent and not read: the default limit of Linux's receive buffer
/// (`tcp_rmem`), to which it grows with the traffic.
const BUFFER: u64 = 6 * 1024 * 1024;
