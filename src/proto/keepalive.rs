//! WebSocket keep-alive: detects a dead peer with pings.
//!
//! Any received byte proves that the peer is alive. After an interval of silence, a ping is sent.
//! If silence lasts for the deadline after that, the peer is dead. Only one ping is in flight, so
//! that a later one does not extend the deadline.
//!
//! # Bytes written before the ping
//!
//! A ping follows the bytes that were written before it. The deadline starts when the ping has been
//! handed to the system, and not before these bytes can have arrived. No portable interface shows
//! how many of them are still in buffers, and a slow uplink takes a minute for bytes that a send
//! buffer accepts immediately. So every byte is assumed to travel at [`MIN_RATE`], from the time at
//! which the system accepted it. Other frames of the peer do not shorten that time, because the
//! peer need not have read anything to send them. A pong does, because it answers a ping that was
//! written last.
//!
//! A peer that dies after an upload of `n` bytes is detected at the latest `n / MIN_RATE` plus the
//! deadline after the upload: 3 min for 3 MB, 4 s for 64 KiB.

use std::time::{Duration, Instant};

/// Slowest uplink that is not mistaken for a dead peer, in bytes per second: a bad mobile
/// connection.
const MIN_RATE: u64 = 16 << 10;

/// Limits on silence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAliveConfig {
    /// Silence before a ping is sent; `None` for never.
    pub(crate) interval: Option<Duration>,
    /// Time from the ping until a silent peer counts as dead; `None` for never.
    pub(crate) deadline: Option<Duration>,
}

/// The shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Times of the traffic on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    last_received: Instant,
    /// Last time at which the system accepted bytes for sending.
    wrote: Instant,
    /// Time at which all accepted bytes have arrived, at [`MIN_RATE`].
    arrived: Instant,
}

/// Keep-alive state of a connection.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    config: KeepAliveConfig,
    /// The ping that no received byte has followed.
    ping: Option<Ping>,
    /// Number of the last ping.
    pings: u32,
}

#[derive(Clone, Copy, Debug)]
struct Ping {
    number: u32,
    since: Instant,
    /// Time at which the ping was handed to the system; `None` before.
    left: Option<Instant>,
    /// Time at which all earlier bytes have arrived, at [`MIN_RATE`].
    behind: Instant,
}

/// Action on the silence of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepAliveAction {
    /// None, unless the silence lasts until this time.
    WaitUntil(Instant),
    /// None, however long the silence lasts.
    Wait,
    /// Send a ping with this number, and call [`KeepAlive::ping_left`] once the ping has left.
    Ping(u32),
    /// The peer is dead.
    Dead,
}

impl Traffic {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last_received: now, wrote: now, arrived: now }
    }

    /// Returns the last time at which a byte was received.
    pub(crate) fn last_received(&self) -> Instant {
        self.last_received
    }

    /// Returns the last time at which the system accepted bytes for sending.
    pub(crate) fn wrote(&self) -> Instant {
        self.wrote
    }

    /// Records that bytes were received.
    pub(crate) fn note_received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Records that the system accepted `bytes` for sending.
    pub(crate) fn note_written(&mut self, bytes: usize, now: Instant) {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / MIN_RATE;
        let time = Duration::from_nanos(nanos);
        self.wrote = now;
        // The slow uplink works off earlier bytes first.
        self.arrived = self.arrived.max(now).checked_add(time).unwrap_or(self.arrived);
    }

    /// Records that all bytes written until `then` have arrived.
    fn note_arrived(&mut self, then: Instant, now: Instant) {
        // Bytes written after the ping may still be in flight.
        if self.wrote <= then {
            self.arrived = self.arrived.min(now);
        }
    }
}

impl KeepAlive {
    pub(crate) fn new(mut config: KeepAliveConfig) -> Self {
        // Without a minimum, each answer would trigger a ping immediately.
        config.interval = config.interval.map(|interval| interval.max(MIN_INTERVAL));
        Self { config, ping: None, pings: 0 }
    }

    /// Decides about the silence of a peer. A ping that this method returns counts as sent at
    /// `now`.
    pub(crate) fn poll_action(&mut self, traffic: &Traffic, now: Instant) -> KeepAliveAction {
        let Some(interval) = self.config.interval else { return KeepAliveAction::Wait };
        // Any byte received since the ping answers it; a pong is not required.
        if self.ping.is_some_and(|ping| traffic.last_received >= ping.since) {
            self.ping = None;
        }
        let Some(ping) = self.ping else {
            return match traffic.last_received.checked_add(interval) {
                Some(due) if due > now => KeepAliveAction::WaitUntil(due),
                Some(_) => {
                    self.pings = self.pings.wrapping_add(1);
                    let (number, behind) = (self.pings, traffic.arrived);
                    self.ping = Some(Ping { number, since: now, left: None, behind });
                    KeepAliveAction::Ping(number)
                }
                None => KeepAliveAction::Wait,
            };
        };
        // The deadline does not start while earlier bytes are still leaving.
        let start = ping.left.unwrap_or(ping.since.max(traffic.wrote)).max(ping.behind);
        match self.config.deadline.and_then(|deadline| start.checked_add(deadline)) {
            Some(due) if due > now => KeepAliveAction::WaitUntil(due),
            Some(_) => KeepAliveAction::Dead,
            None => KeepAliveAction::Wait,
        }
    }

    /// Returns `true` if the ping in progress has not left.
    pub(crate) fn is_ping_leaving(&self) -> bool {
        self.ping.is_some_and(|ping| ping.left.is_none())
    }

    /// Records that the ping was handed to the system.
    pub(crate) fn ping_left(&mut self, now: Instant) {
        if let Some(ping) = &mut self.ping {
            // Only the first call counts, so that the deadline does not move.
            ping.left.get_or_insert(now);
        }
    }

    /// Records the answer to the ping with this number: all bytes written before the ping have
    /// arrived. Other pongs, which some servers send unasked, do not prove that.
    pub(crate) fn ping_answered(&self, number: u32, traffic: &mut Traffic, now: Instant) {
        let ping = self.ping.filter(|ping| ping.number == number);
        if let Some(left) = ping.and_then(|ping| ping.left) {
            traffic.note_arrived(left, now);
        }
    }

    /// Forgets the ping, because no task was reading meanwhile.
    pub(crate) fn pause(&mut self) {
        self.ping = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keep_alive() -> (KeepAlive, Instant) {
        let config = KeepAliveConfig { interval: Some(20 * SECOND), deadline: Some(10 * SECOND) };
        (KeepAlive::new(config), Instant::now())
    }

    #[test]
    fn c110_silence_is_asked_about_once_and_then_it_is_death() {
        let (mut peer, start) = keep_alive();
        let at = |seconds: u32| start + seconds * SECOND;
        let traffic = Traffic::new(start);
        assert_eq!(peer.poll_action(&traffic, start), KeepAliveAction::WaitUntil(at(20)));
        assert_eq!(peer.poll_action(&traffic, at(19)), KeepAliveAction::WaitUntil(at(20)));
        assert_eq!(peer.poll_action(&traffic, at(20)), KeepAliveAction::Ping(1));
        peer.ping_left(at(20));
        assert_eq!(peer.poll_action(&traffic, at(29)), KeepAliveAction::WaitUntil(at(30)));
        assert_eq!(peer.poll_action(&traffic, at(30)), KeepAliveAction::Dead);
    }

    #[test]
    fn c095_any_byte_is_life_and_no_second_ping_puts_off_the_deadline() {
        let (mut peer, start) = keep_alive();
        let at = |seconds: u32| start + seconds * SECOND;
        assert_eq!(peer.poll_action(&Traffic::new(start), at(20)), KeepAliveAction::Ping(1));
        peer.ping_left(at(20));
        // What came before the ping is no answer to it, and looking again sends no other.
        assert_eq!(
            peer.poll_action(&Traffic::new(at(19)), at(25)),
            KeepAliveAction::WaitUntil(at(30))
        );
        assert_eq!(
            peer.poll_action(&Traffic::new(at(29)), at(29)),
            KeepAliveAction::WaitUntil(at(49)),
            "any byte"
        );
        assert_eq!(peer.poll_action(&Traffic::new(at(29)), at(49)), KeepAliveAction::Ping(2));
        assert_eq!(peer.poll_action(&Traffic::new(at(29)), at(59)), KeepAliveAction::Dead);
    }

    #[test]
    fn each_part_can_be_off() {
        let start = Instant::now();
        let (traffic, far) = (Traffic::new(start), start + 100_000 * SECOND);
        let mut off = KeepAlive::new(KeepAliveConfig { interval: None, deadline: Some(SECOND) });
        assert_eq!(off.poll_action(&traffic, far), KeepAliveAction::Wait);
        let mut patient =
            KeepAlive::new(KeepAliveConfig { interval: Some(SECOND), deadline: None });
        assert_eq!(patient.poll_action(&traffic, far), KeepAliveAction::Ping(1));
        assert_eq!(patient.poll_action(&traffic, far), KeepAliveAction::Wait);
    }

    #[test]
    fn no_interval_is_so_short_that_pings_never_end() {
        let start = Instant::now();
        let config = KeepAliveConfig { interval: Some(Duration::ZERO), deadline: Some(SECOND) };
        let verdict = KeepAlive::new(config).poll_action(&Traffic::new(start), start);
        assert_eq!(verdict, KeepAliveAction::WaitUntil(start + MIN_INTERVAL));
    }

    #[test]
    fn a_pause_is_no_silence() {
        let (mut peer, start) = keep_alive();
        assert_eq!(
            peer.poll_action(&Traffic::new(start), start + 20 * SECOND),
            KeepAliveAction::Ping(1)
        );
        peer.pause();
        let later = start + 60 * SECOND;
        assert_eq!(
            peer.poll_action(&Traffic::new(later), later),
            KeepAliveAction::WaitUntil(later + 20 * SECOND)
        );
    }

    #[test]
    fn c142_the_deadline_starts_when_the_ping_has_left() {
        let (mut peer, start) = keep_alive();
        let at = |seconds: u32| start + seconds * SECOND;
        let mut traffic = Traffic::new(start);
        assert_eq!(peer.poll_action(&traffic, at(20)), KeepAliveAction::Ping(1));
        // Bytes before it leave one by one; each is at its place in no time.
        for second in (20..60).step_by(5) {
            traffic.note_written(1, at(second));
            assert!(peer.is_ping_leaving());
            assert_eq!(
                peer.poll_action(&traffic, at(second + 1)),
                KeepAliveAction::WaitUntil(at(second + 10))
            );
        }
        peer.ping_left(at(60));
        assert!(!peer.is_ping_leaving());
        assert_eq!(peer.poll_action(&traffic, at(69)), KeepAliveAction::WaitUntil(at(70)));
        assert_eq!(peer.poll_action(&traffic, at(70)), KeepAliveAction::Dead);
    }

    #[test]
    fn c142_a_ping_that_cannot_leave_has_its_deadline_too() {
        let (mut peer, start) = keep_alive();
        let traffic = Traffic::new(start);
        assert_eq!(peer.poll_action(&traffic, start + 20 * SECOND), KeepAliveAction::Ping(1));
        assert_eq!(peer.poll_action(&traffic, start + 30 * SECOND), KeepAliveAction::Dead);
    }

    #[test]
    fn c142_what_was_written_before_the_ping_has_its_time_to_arrive() {
        let second = usize::try_from(MIN_RATE).unwrap();
        // What is written at which second, and when the peer counts as dead.
        for (writes, death) in [
            (vec![], 30),
            (vec![(0, 10)], 30),
            (vec![(0, 20)], 30),
            (vec![(0, 50)], 60),
            (vec![(0, 183)], 193),
            // One after the other, not side by side.
            (vec![(0, 30), (1, 30)], 70),
            (vec![(0, 5), (15, 30)], 55),
            // Behind the ping, it holds up no answer.
            (vec![(21, 100)], 30),
        ] {
            let (mut peer, start) = keep_alive();
            let at = |seconds: u32| start + seconds * SECOND;
            let mut traffic = Traffic::new(start);
            let write = |traffic: &mut Traffic, before: bool| {
                for &(when, seconds) in writes.iter().filter(|(when, _)| (*when < 20) == before) {
                    traffic.note_written(seconds * second, at(when));
                }
            };
            write(&mut traffic, true);
            assert_eq!(peer.poll_action(&traffic, at(20)), KeepAliveAction::Ping(1));
            peer.ping_left(at(20));
            write(&mut traffic, false);
            assert_eq!(
                peer.poll_action(&traffic, at(21)),
                KeepAliveAction::WaitUntil(at(death)),
                "{writes:?}"
            );
            assert_eq!(peer.poll_action(&traffic, at(death)), KeepAliveAction::Dead);
        }
    }

    #[test]
    fn c142_the_answer_to_the_ping_and_nothing_else_shows_that_all_arrived() {
        let upload = usize::try_from(MIN_RATE).unwrap() * 300;
        // The number in the pong, whether more was written behind the ping, and the second death.
        for (number, more, death) in
            [(1, false, 52_u64), (2, false, 310), (0, false, 310), (1, true, 310)]
        {
            let (mut peer, start) = keep_alive();
            let at = |seconds: u32| start + seconds * SECOND;
            let mut traffic = Traffic::new(start);
            traffic.note_written(upload, start);
            assert_eq!(peer.poll_action(&traffic, at(20)), KeepAliveAction::Ping(1));
            peer.ping_left(at(20));
            if more {
                traffic.note_written(1, at(21));
            }
            traffic.note_received(at(22));
            peer.ping_answered(number, &mut traffic, at(22));
            assert_eq!(peer.poll_action(&traffic, at(42)), KeepAliveAction::Ping(2), "{number}");
            peer.ping_left(at(42));
            let KeepAliveAction::WaitUntil(due) = peer.poll_action(&traffic, at(43)) else {
                panic!("alive")
            };
            assert_eq!((due - start).as_secs(), death, "{number} {more}");
        }
    }
}
