//! `Path`: the time and the losses of segments between the sender and the receiver.

use std::time::Duration;

use fastrand::Rng;

use crate::testing::network::link::Link;

/// The network in one direction: a bottleneck with a queue, and a line with a delay.
pub(super) struct Path {
    one_way: Duration,
    way_back: Duration,
    jitter: Duration,
    bits_per_second: Option<u64>,
    loss: f64,
    rng: Rng,
    /// Time at which the bottleneck has sent all earlier segments.
    free_at: Duration,
    last_arrival: Duration,
}

/// Times of a segment.
pub(super) struct Passage {
    /// The segment has left the sender.
    pub(super) left: Duration,
    /// The segment arrives; `None` if it is lost.
    pub(super) arrives: Option<Duration>,
}

impl Path {
    pub(super) fn new(link: &Link, bits_per_second: Option<u64>, rng: Rng) -> Self {
        let one_way = link.rtt / 2;
        Self {
            one_way,
            way_back: link.rtt.saturating_sub(one_way),
            jitter: link.jitter,
            bits_per_second,
            loss: link.loss,
            rng,
            free_at: Duration::ZERO,
            last_arrival: Duration::ZERO,
        }
    }

    /// Sends a segment with `payload` bytes at `now`, behind those in the queue.
    pub(super) fn transmit(&mut self, now: Duration, payload: usize) -> Passage {
        let left = now.max(self.free_at).saturating_add(self.serialisation(payload));
        self.free_at = left;
        // Both are drawn for each segment, so that the loss of one leaves the others as they are.
        let jitter = jitter(self.jitter, &mut self.rng);
        if is_lost(self.loss, &mut self.rng) {
            return Passage { left, arrives: None };
        }
        let arrives = left.saturating_add(self.one_way).saturating_add(jitter);
        self.last_arrival = self.last_arrival.max(arrives);
        Passage { left, arrives: Some(self.last_arrival) }
    }

    /// Returns the time at which the sender learns of an arrival. ACKs cost no bandwidth and are
    /// never lost: an ACK is cumulative, so that the next one repairs the loss of one (RFC 9293
    /// §3.4).
    pub(super) fn acknowledged(&self, arrival: Duration) -> Duration {
        arrival.saturating_add(self.way_back)
    }

    fn serialisation(&self, payload: usize) -> Duration {
        let Some(rate) = self.bits_per_second else { return Duration::ZERO };
        let bits = (payload as u128 + HEADERS) * 8;
        let nanos = bits * 1_000_000_000 / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Draws the extra delay of a segment, at most `greatest`.
pub(super) fn jitter(greatest: Duration, rng: &mut Rng) -> Duration {
    let greatest = u64::try_from(greatest.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(0..=greatest))
}

/// Draws the fate of a segment that is lost with this probability.
pub(super) fn is_lost(probability: f64, rng: &mut Rng) -> bool {
    rng.f64() < probability
}

/// Bytes of the headers of IPv4 (RFC 791 §3.1) and TCP (RFC 9293 §3.1) without options.
const HEADERS: u128 = 40;
