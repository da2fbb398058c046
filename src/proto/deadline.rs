//! Decides which frames still count after a deadline.
//!
//! A frame in hand wins over a deadline that passed meanwhile: the caller may have been busy, or
//! the machine asleep, while it waited. So a deadline ends a turn only where nothing is there to be
//! taken. If nobody was there when it passed, what had come by then is looked for once, as it may
//! still be on its way through the tasks that read the connection. Yet frames that never end must
//! not keep a turn alive: no more can have come in time than is read ahead, so that what goes
//! beyond it came too late.

use std::time::{Duration, Instant};

/// Time in which frames that have arrived are looked for after a deadline that nobody noticed.
const LAST_LOOK: Duration = Duration::from_millis(50);
/// Delay with which a timer fires while somebody waits for it.
const TIMER: Duration = Duration::from_millis(5);
/// Bytes charged for a frame besides its payload, so that empty frames come to an end too.
const FRAME: usize = 128;

/// Frames that may have arrived before a deadline that has passed, and were not taken yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InHand {
    left: usize,
    looked: bool,
}

impl InHand {
    /// `read_ahead` is how many bytes may wait for the consumer.
    pub(crate) fn new(read_ahead: usize) -> Self {
        Self { left: read_ahead.max(1), looked: false }
    }

    /// Until when frames are waited for: somewhat beyond a deadline that passed while nobody
    /// waited, once.
    pub(crate) fn wait_until(&mut self, deadline: Instant, now: Instant) -> Instant {
        if self.looked || now.saturating_duration_since(deadline) <= TIMER {
            return deadline;
        }
        self.looked = true;
        now + LAST_LOOK
    }

    /// Takes a frame that was there after the deadline. Returns `false` if it came too late.
    pub(crate) fn takes(&mut self, size: usize) -> bool {
        let in_time = self.left > 0;
        // As when reading ahead, the last frame may go beyond the limit.
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
