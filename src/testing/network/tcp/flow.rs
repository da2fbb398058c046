//! `Flow`: one direction of a connection, from the bytes that are written to those that are read.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use fastrand::Rng;

use super::{
    path::{Passage, Path},
    receiver::{Receiver, Segment},
    window::Window,
};
use crate::testing::network::link::Link;

/// One direction of a connection: its sender, the network, and its receiver.
///
/// Times are given by the caller and never decrease. Events, such as arrivals and timers, are
/// processed in order at their own times by [`advance`](Self::advance), however late it is called,
/// so that late wake-ups do not add up.
pub(in crate::testing::network) struct Flow {
    path: Path,
    rtt: Duration,
    window: Window,
    send_buffer: usize,
    /// Bytes that were written and did not fit into the window yet.
    unsent: VecDeque<u8>,
    end: End,
    /// Number of bytes that were sent at least once.
    sent: u64,
    /// Number of the next segment to send; retransmissions count.
    next: u64,
    /// Segments that will arrive, in order.
    arriving: VecDeque<(Duration, Segment)>,
    /// ACKs that will reach the sender, in order.
    acks: VecDeque<Ack>,
    /// Segments that the network has lost, in order of their numbers.
    missing: Vec<Missing>,
    /// Time at which the last segment had left the sender.
    last_left: Duration,
    last_ack: Duration,
    /// Number of timeouts since the last ACK.
    timeouts: u32,
    receiver: Receiver,
    segments_lost: u64,
}

/// End of the stream at the sender.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Further bytes may be written.
    Open,
    /// The stream ends after the bytes that were written.
    Requested,
    /// The end was sent.
    Sent,
}

/// ACK of the segment with this number.
struct Ack {
    at: Duration,
    number: u64,
}

/// A segment that the network has lost.
struct Missing {
    segment: Segment,
    number: u64,
    left: Duration,
    /// Number of ACKs of segments that were sent later.
    later_acks: u32,
    /// Time at which ACKs of later segments prove the loss.
    proven: Option<Duration>,
}

/// The caller's side.
impl Flow {
    pub(in crate::testing::network) fn new(
        link: &Link,
        bits_per_second: Option<u64>,
        window: Window,
        rng: Rng,
    ) -> Self {
        Self {
            path: Path::new(link, bits_per_second, rng),
            rtt: link.rtt,
            window,
            send_buffer: link.send_buffer.max(SEGMENT),
            unsent: VecDeque::new(),
            end: End::Open,
            sent: 0,
            next: 0,
            arriving: VecDeque::new(),
            acks: VecDeque::new(),
            missing: Vec::new(),
            last_left: Duration::ZERO,
            last_ack: Duration::ZERO,
            timeouts: 0,
            receiver: Receiver::default(),
            segments_lost: 0,
        }
    }

    /// Processes the events up to `now`.
    pub(in crate::testing::network) fn advance(&mut self, now: Duration) {
        while let Some(at) = self.next_event().filter(|at| *at <= now) {
            self.process(at);
            self.send(at);
        }
    }

    /// Returns the time of the next event; `None` if nothing happens until the caller acts.
    pub(in crate::testing::network) fn next_event(&self) -> Option<Duration> {
        let arrival = self.arriving.front().map(|(at, _)| *at);
        let ack = self.acks.front().map(|ack| ack.at);
        arrival.into_iter().chain(ack).chain(self.next_repair()).min()
    }

    /// Takes as many of `bytes` as the send buffer has room for; returns their number.
    pub(in crate::testing::network) fn write(&mut self, now: Duration, bytes: &[u8]) -> usize {
        let taken = bytes.get(..self.room()).unwrap_or(bytes);
        let is_idle = self.flight() == 0 && self.unsent.is_empty();
        if is_idle && now.saturating_sub(self.last_left) > self.retransmission_timeout() {
            self.window.restart();
        }
        self.unsent.extend(taken);
        self.send(now);
        taken.len()
    }

    /// Returns the number of bytes that the send buffer has room for; zero after the end.
    pub(in crate::testing::network) fn room(&self) -> usize {
        match self.end {
            End::Open => self.send_buffer.saturating_sub(self.unsent.len()),
            End::Requested | End::Sent => 0,
        }
    }

    /// Ends the stream after the bytes that were written.
    pub(in crate::testing::network) fn finish(&mut self, now: Duration) {
        if self.end == End::Open {
            self.end = End::Requested;
            self.send(now);
        }
    }

    /// Returns `true` if the sender has ended the stream.
    pub(in crate::testing::network) fn is_finished(&self) -> bool {
        self.end != End::Open
    }

    /// Takes at most `max` bytes that have arrived; returns `None` if there are none.
    pub(in crate::testing::network) fn read(&mut self, now: Duration, max: usize) -> Option<Bytes> {
        let bytes = self.receiver.read(max)?;
        // The sender learns of the room without delay. A full buffer covers the difference: the
        // reader has it to read meanwhile.
        self.send(now);
        Some(bytes)
    }

    /// Discards all bytes that arrive, since nobody reads them any more.
    pub(in crate::testing::network) fn discard(&mut self, now: Duration) {
        self.receiver.discard();
        self.send(now);
    }

    /// Returns `true` if the stream has arrived up to its end.
    pub(in crate::testing::network) fn has_ended(&self) -> bool {
        self.receiver.has_ended()
    }

    /// Returns the number of segments lost since the last call.
    pub(in crate::testing::network) fn take_segments_lost(&mut self) -> u64 {
        std::mem::take(&mut self.segments_lost)
    }
}

/// Sending.
impl Flow {
    /// Sends what the congestion window and the receiver's buffer allow.
    fn send(&mut self, now: Duration) {
        while self.window.has_room(self.flight()) {
            let Some(segment) = self.next_segment() else { break };
            self.transmit(now, segment);
        }
    }

    /// Takes the next segment off the send buffer. Small writes are not held back, as with
    /// `TCP_NODELAY`.
    fn next_segment(&mut self) -> Option<Segment> {
        let length = self.unsent.len().min(SEGMENT);
        let offset = self.sent;
        let end = offset + length as u64;
        let is_last = self.end == End::Requested && length == self.unsent.len();
        if (length == 0 && !is_last) || end > self.receiver.window_end() {
            return None;
        }
        if is_last {
            self.end = End::Sent;
        }
        self.sent = end;
        Some(Segment { offset, payload: self.unsent.drain(..length).collect(), is_last })
    }

    fn transmit(&mut self, now: Duration, segment: Segment) {
        let number = self.next;
        self.next += 1;
        let Passage { left, arrives } = self.path.transmit(now, segment.payload.len());
        self.last_left = left;
        match arrives {
            Some(arrives) => {
                self.acks.push_back(Ack { at: self.path.acknowledged(arrives), number });
                self.arriving.push_back((arrives, segment));
            }
            None => {
                self.segments_lost += 1;
                let missing = Missing { segment, number, left, later_acks: 0, proven: None };
                self.missing.push(missing);
            }
        }
        self.window.sent(number, self.flight());
    }

    /// Returns the number of segments that the sender believes to be in the network.
    fn flight(&self) -> usize {
        self.acks.len() + self.missing.len()
    }
}

/// Events.
impl Flow {
    /// Processes the next event, whose time is `at`.
    fn process(&mut self, at: Duration) {
        if self.arriving.front().is_some_and(|(arrives, _)| *arrives <= at) {
            if let Some((_, segment)) = self.arriving.pop_front() {
                self.receiver.receive(segment);
            }
        } else if self.acks.front().is_some_and(|ack| ack.at <= at) {
            if let Some(ack) = self.acks.pop_front() {
                self.acknowledge(&ack);
            }
        } else {
            self.repair(at);
        }
    }

    /// Processes an ACK, which also reports the segments missing before its own (SACK, RFC 2018).
    ///
    /// Three ACKs of later segments prove a loss immediately (fast retransmit, RFC 5681 §3.2), one
    /// proves it a quarter of a round trip after its ACK would have come (RFC 8985 §6.2).
    fn acknowledge(&mut self, ack: &Ack) {
        (self.last_ack, self.timeouts) = (ack.at, 0);
        self.window.acked(ack.number);
        for missing in self.missing.iter_mut().filter(|missing| missing.number < ack.number) {
            missing.later_acks += 1;
            let overdue = missing.left + self.rtt + self.rtt / 4;
            let proven = if missing.later_acks >= 3 { ack.at } else { overdue.max(ack.at) };
            missing.proven = Some(missing.proven.map_or(proven, |earlier| earlier.min(proven)));
        }
    }

    /// Returns the time of the next retransmission.
    fn next_repair(&self) -> Option<Duration> {
        let proven = self.missing.iter().filter_map(|missing| missing.proven).min();
        // A timer that would fire while ACKs are due is restarted by them, since the sender's
        // estimate of the round trip contains the time in the queue of the bottleneck.
        let is_silent = self.acks.is_empty() && !self.missing.is_empty();
        let timer = || self.last_left.max(self.last_ack).saturating_add(self.timeout());
        proven.or_else(|| is_silent.then(timer))
    }

    /// Returns the time without an ACK after which the timer fires.
    fn timeout(&self) -> Duration {
        let limit = self.retransmission_timeout();
        match self.timeouts {
            // The probe is sent after two round trips, but not later than a retransmission. For a
            // single segment, room for a delayed ACK makes it later than that (RFC 8985 §7.2).
            0 if self.flight() > 1 => limit.min(2 * self.rtt),
            0 | 1 => limit,
            // The timeout doubles with each retransmission (RFC 6298 §5.5), up to some minutes.
            timeouts => limit.saturating_mul(1 << (timeouts - 1).min(10)),
        }
    }

    /// Retransmission timeout (RFC 6298 §2.3) of a path with little variance: its other term is not
    /// below 200 ms in Linux.
    fn retransmission_timeout(&self) -> Duration {
        self.rtt.saturating_add(Duration::from_millis(200))
    }

    /// Sends a missing segment again, which may be lost again.
    fn repair(&mut self, now: Duration) {
        let is_proven = |missing: &Missing| missing.proven.is_some_and(|proven| proven <= now);
        let proven = self.missing.iter().position(is_proven);
        let offsets = self.missing.iter().map(|missing| missing.segment.offset).enumerate();
        // A probe is the last segment, and its ACK reports all others that are missing (RFC 8985
        // §7.3). A retransmission is the first one (RFC 6298 §5.4).
        let chosen = proven.or_else(|| match self.timeouts {
            0 => offsets.max_by_key(|(_, offset)| *offset).map(|(index, _)| index),
            _ => offsets.min_by_key(|(_, offset)| *offset).map(|(index, _)| index),
        });
        let missing = self.missing.remove(chosen.unwrap_or_default());
        if proven.is_some() || self.timeouts == 0 {
            self.window.lost(missing.number, self.next);
        } else {
            self.window.timed_out(missing.number, self.next);
        }
        self.timeouts += u32::from(proven.is_none());
        self.transmit(now, missing.segment);
    }
}

/// Bytes of payload of a full segment: 1500 bytes of an Ethernet frame without the headers of IPv4
/// and TCP (RFC 6691 §2).
const SEGMENT: usize = 1460;
