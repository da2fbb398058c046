//! Whether the peer of a WebSocket lives.
//!
//! Whatever it sends proves it, half a frame too. When nothing came for the interval, a ping asks;
//! when nothing comes for the deadline after that, the peer is taken for dead. There is one ping
//! at a time, so that none puts off the deadline of the one before.

use std::time::{Duration, Instant};

/// How long silence may last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until a ping is sent; `None` for never.
    pub(crate) interval: Option<Duration>,
    /// From the ping until the peer is taken for dead; `None` for never.
    pub(crate) deadline: Option<Duration>,
}

/// The shortest interval.
const LEAST: Duration = Duration::from_millis(1);

/// What is known of the life of a peer.
#[derive(Debug)]
pub(crate) struct Liveness {
    patience: Patience,
    /// When a ping was sent that nothing has followed.
    asked: Option<Instant>,
}

/// What to do about a peer's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing, unless it lasts until then.
    WaitUntil(Instant),
    /// Nothing, however long it lasts.
    Wait,
    /// Send a ping.
    Ping,
    /// The peer is dead.
    Dead,
}

impl Liveness {
    pub(crate) fn new(mut patience: Patience) -> Self {
        // Without any, each answer would be asked about at once.
        patience.interval = patience.interval.map(|interval| interval.max(LEAST));
        Self { patience, asked: None }
    }

    /// Judges a peer that was heard last at `heard`. What is judged a ping is taken for sent.
    pub(crate) fn judge(&mut self, heard: Instant, now: Instant) -> Verdict {
        let Some(interval) = self.patience.interval else { return Verdict::Wait };
        if self.asked.is_some_and(|asked| heard >= asked) {
            self.asked = None;
        }
        let Some(asked) = self.asked else {
            return match heard.checked_add(interval) {
                Some(due) if due > now => Verdict::WaitUntil(due),
                Some(_) => {
                    self.asked = Some(now);
                    Verdict::Ping
                }
                None => Verdict::Wait,
            };
        };
        match self.patience.deadline.and_then(|deadline| asked.checked_add(deadline)) {
            Some(due) if due > now => Verdict::WaitUntil(due),
            Some(_) => Verdict::Dead,
            None => Verdict::Wait,
        }
    }

    /// Forgets the ping: nobody listened meanwhile.
    pub(crate) fn pause(&mut self) {
        self.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn liveness() -> (Liveness, Instant) {
        let patience = Patience { interval: Some(20 * SECOND), deadline: Some(10 * SECOND) };
        (Liveness::new(patience), Instant::now())
    }

    #[test]
    fn c110_silence_is_asked_about_once_and_then_it_is_death() {
        let (mut peer, start) = liveness();
        let at = |seconds: u32| start + seconds * SECOND;
        assert_eq!(peer.judge(start, start), Verdict::WaitUntil(at(20)));
        assert_eq!(peer.judge(start, at(19)), Verdict::WaitUntil(at(20)));
        assert_eq!(peer.judge(start, at(20)), Verdict::Ping);
        assert_eq!(peer.judge(start, at(29)), Verdict::WaitUntil(at(30)));
        assert_eq!(peer.judge(start, at(30)), Verdict::Dead);
    }

    #[test]
    fn c095_any_byte_is_life_and_no_second_ping_puts_off_the_deadline() {
        let (mut peer, start) = liveness();
        let at = |seconds: u32| start + seconds * SECOND;
        assert_eq!(peer.judge(start, at(20)), Verdict::Ping);
        // What came before the ping is no answer to it, and looking again sends no other.
        assert_eq!(peer.judge(at(19), at(25)), Verdict::WaitUntil(at(30)));
        assert_eq!(peer.judge(at(29), at(29)), Verdict::WaitUntil(at(49)), "any byte");
        assert_eq!(peer.judge(at(29), at(49)), Verdict::Ping);
        assert_eq!(peer.judge(at(29), at(59)), Verdict::Dead);
    }

    #[test]
    fn each_part_can_be_off() {
        let start = Instant::now();
        let far = start + 100_000 * SECOND;
        let mut off = Liveness::new(Patience { interval: None, deadline: Some(SECOND) });
        assert_eq!(off.judge(start, far), Verdict::Wait);
        let mut patient = Liveness::new(Patience { interval: Some(SECOND), deadline: None });
        assert_eq!(patient.judge(start, far), Verdict::Ping);
        assert_eq!(patient.judge(start, far), Verdict::Wait);
    }

    #[test]
    fn no_interval_is_so_short_that_pings_never_end() {
        let start = Instant::now();
        let patience = Patience { interval: Some(Duration::ZERO), deadline: Some(SECOND) };
        assert_eq!(Liveness::new(patience).judge(start, start), Verdict::WaitUntil(start + LEAST));
    }

    #[test]
    fn a_pause_is_no_silence() {
        let (mut peer, start) = liveness();
        assert_eq!(peer.judge(start, start + 20 * SECOND), Verdict::Ping);
        peer.pause();
        let heard = start + 60 * SECOND;
        assert_eq!(peer.judge(heard, heard), Verdict::WaitUntil(heard + 20 * SECOND));
    }
}
