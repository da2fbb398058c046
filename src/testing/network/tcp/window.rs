//! `Window`: the congestion window of a sender.

/// Congestion window of a sender, counted in segments as in Linux.
///
/// Segments have numbers in the order in which they are sent; a retransmission has a new number.
pub(in crate::testing::network) struct Window {
    size: usize,
    /// Slow start ends at this size: `ssthresh`.
    threshold: usize,
    /// ACKs since the window last grew in congestion avoidance.
    acks: usize,
    /// Greatest number of segments in flight in the current round.
    greatest_flight: usize,
    /// First segment after those that were acknowledged.
    acknowledged: u64,
    /// The current round ends with the ACK of the segment before this one.
    round_end: u64,
    /// Segments before this one belong to a loss that has already reduced the window.
    recovery_end: u64,
}

impl Window {
    /// Returns the first window of a sender: one segment if the sender had to send its SYN or SYN-ACK
    /// again (RFC 5681 §3.1).
    ///
    /// RFC 6928 §2 spares a sender whose single retransmission may have been needless. Here each one
    /// follows a loss. Linux shrinks the window after the second retransmission only.
    pub(super) fn after_handshake(was_repeated: bool) -> Self {
        Self {
            size: if was_repeated { 1 } else { INITIAL },
            threshold: usize::MAX,
            acks: 0,
            greatest_flight: 0,
            acknowledged: 0,
            round_end: 0,
            recovery_end: 0,
        }
    }

    /// Returns `true` if a further segment may be sent while `flight` segments are in flight.
    pub(super) fn has_room(&self, flight: usize) -> bool {
        flight < self.size
    }

    /// Records that a segment was sent; `flight` includes it.
    pub(super) fn sent(&mut self, number: u64, flight: usize) {
        if self.acknowledged >= self.round_end {
            self.round_end = number + 1;
            self.greatest_flight = flight;
        } else {
            self.greatest_flight = self.greatest_flight.max(flight);
        }
    }

    /// Records an ACK: one segment more in slow start (RFC 5681 §3.1), one segment more for each
    /// round in congestion avoidance.
    ///
    /// The window grows only if it was what limited the sender (RFC 7661 §4.3). Like Linux, slow
    /// start lets it grow to twice the greatest flight.
    pub(super) fn acked(&mut self, number: u64) {
        self.acknowledged = self.acknowledged.max(number + 1);
        if number < self.recovery_end {
            return;
        }
        if self.size < self.threshold {
            self.size += usize::from(self.size < 2 * self.greatest_flight);
        } else if self.size <= self.greatest_flight {
            self.acks += 1;
            if self.acks >= self.size {
                self.acks = 0;
                self.size += 1;
            }
        }
    }

    /// Records the loss of a segment: the window is halved once for all segments that were sent
    /// before the first of them was found to be lost (RFC 5681 §3.2, RFC 6582 §3.2). As in Linux,
    /// the window itself is halved, not what was in flight: a sender of few small segments would
    /// otherwise be left with two.
    pub(super) fn lost(&mut self, number: u64, next: u64) {
        if number >= self.recovery_end {
            self.threshold = (self.size / 2).max(2);
            self.size = self.threshold;
            self.acks = 0;
            self.recovery_end = next;
        }
    }

    /// Records that the retransmission timer has fired: slow start from one segment (RFC 5681
    /// §3.1).
    pub(super) fn timed_out(&mut self, number: u64, next: u64) {
        self.lost(number, next);
        self.size = 1;
        self.recovery_end = next;
    }

    /// Records that the connection was idle for longer than the retransmission timeout (RFC 5681
    /// §4.1).
    pub(super) fn restart(&mut self) {
        self.size = self.size.min(INITIAL);
        self.acks = 0;
    }
}

/// Initial window in segments (RFC 6928 §2).
const INITIAL: usize = 10;
