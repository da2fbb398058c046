//! Decides which frames count after a deadline.
//!
//! A frame that is already received wins over a deadline that passed meanwhile, because the caller
//! may have been busy or the machine asleep. So a deadline ends a turn only if no frame is ready.
//! If nobody polled when the deadline passed, frames get one short grace period, because they may
//! still be in the tasks that read the connection.
//!
//! An endless series of frames must not keep a turn alive. No more than the read-ahead can have
//! arrived in time, so frames beyond it came too late.

use std::time::{Duration, Instant};

/// Grace period for received frames after a deadline that passed unnoticed.
const LAST_LOOK: Duration = Duration::from_millis(50);
/// Delay with which a timer fires while a task waits for it.
const TIMER: Duration = Duration::from_millis(5);
/// Bytes that a frame counts for besides its payload, so that empty frames use up the allowance
/// too.
const FRAME: usize = 128;

/// Frames that may have arrived before a deadline that has passed, and were not taken yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InHand {
    left: usize,
    looked: bool,
}

impl InHand {
    /// Returns an allowance of `read_ahead` bytes, the maximum that may wait for the consumer.
    pub(crate) fn new(read_ahead: usize) -> Self {
        // At least one frame counts, even if nothing is read ahead.
        Self { left: read_ahead.max(1), looked: false }
    }

    /// Returns the time until which to wait for frames: the deadline, or once a later time if the
    /// deadline passed while nobody waited.
    pub(crate) fn wait_until(&mut self, deadline: Instant, now: Instant) -> Instant {
        // A timer that fired in time proves that the turn was being polled.
        if self.looked || now.saturating_duration_since(deadline) <= TIMER {
            return deadline;
        }
        self.looked = true;
        now + LAST_LOOK
    }

    /// Takes a frame that was ready after the deadline. Returns `false` if the frame came too late.
    pub(crate) fn takes(&mut self, size: usize) -> bool {
        let in_time = self.left > 0;
        // As in reading ahead, the last frame may exceed the limit.
        self.left = self.left.saturating_sub(size.saturating_add(FRAME));
        in_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c138_what_was_read_ahead_counts_and_what_never_ends_does_not() {
        let mut in_hand = InHand::new(1000);
        assert!(in_hand.takes(500) && in_hand.takes(5000));
        assert!(!in_hand.takes(0));
        let taken = |size| {
            let mut in_hand = InHand::new(8 << 20);
            (0..1_000_000).take_while(|_| in_hand.takes(size)).count()
        };
        assert_eq!((taken(0), taken(usize::MAX)), ((8 << 20) / FRAME, 1));
        assert!(InHand::new(0).takes(1), "the one that is in hand");
    }

    #[test]
    fn c138_what_came_while_nobody_waited_is_looked_for_once() {
        let deadline = Instant::now();
        let mut in_hand = InHand::new(1000);
        assert_eq!(in_hand.wait_until(deadline, deadline), deadline);
        assert_eq!(in_hand.wait_until(deadline, deadline + TIMER), deadline, "it was waited for");
        let late = deadline + Duration::from_secs(100);
        assert_eq!(in_hand.wait_until(deadline, late), late + LAST_LOOK);
        assert_eq!(in_hand.wait_until(deadline, late + LAST_LOOK), deadline, "not for ever");
        assert_eq!(InHand::new(1).wait_until(late, deadline), late);
    }
}
