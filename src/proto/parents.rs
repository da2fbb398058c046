//! Records that an origin does not support `previous_response_id`.
//!
//! A parent can be gone for many reasons, and a full request solves each of them. Only a server that
//! calls the parameter itself unsupported would make every turn cost two requests. So after two such
//! refusals in a row in one session, whose full requests succeeded, all turns are sent in full for a
//! time. Then one turn probes whether the server supports the parameter again.

use std::time::{Duration, Instant};

/// Number of consecutive refusals in a session that turn parents off.
const REFUSALS: u32 = 2;
/// Time for which turns are sent in full. 10 min: deployments change rarely.
const OFF: Duration = Duration::from_secs(600);
/// Time in which the probing turn must report. Without a report another turn probes.
const PROBE: Duration = Duration::from_secs(30);

/// Fate of the parent in the first attempt of a successful turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParentFate {
    /// The server continued the parent.
    Continued,
    /// The server did not have the parent, or not all of it.
    Gone,
    /// The server does not support the parameter.
    Unsupported,
}

/// Time until which the turns of an origin are sent in full; `None` if they need not be.
#[derive(Debug, Default)]
pub(crate) struct Parents(Option<Instant>);

impl Parents {
    /// Returns `true` while turns are sent in full.
    pub(crate) fn are_off(&self, now: Instant) -> bool {
        self.0.is_some_and(|until| now < until)
    }

    /// Returns `true` if this turn may name a parent. The first turn after the time probes.
    pub(crate) fn may_be_named(&mut self, now: Instant) -> bool {
        match &mut self.0 {
            Some(until) if now < *until => false,
            // This turn probes. Until it reports, the others are sent in full.
            Some(until) => {
                *until = now + PROBE;
                true
            }
            None => true,
        }
    }

    /// Records the fate of a turn's parent. `refusals` is the number of consecutive refusals in its
    /// session, this one included.
    pub(crate) fn note(&mut self, fate: ParentFate, refusals: u32, now: Instant) {
        match fate {
            ParentFate::Continued => self.0 = None,
            // A missing parent proves nothing about the parameter.
            ParentFate::Gone => {}
            ParentFate::Unsupported => {
                // One refusal is enough for a probe, whichever session makes it.
                if refusals >= REFUSALS || self.0.is_some() {
                    self.0 = Some(now + OFF);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn c128_two_refusals_of_the_parameter_turn_it_off_for_a_time_and_one_turn_finds_out() {
        let (mut parents, start) = (Parents::default(), Instant::now());
        for _ in 0..50 {
            parents.note(ParentFate::Gone, 0, start);
            parents.note(ParentFate::Unsupported, 1, start);
            assert!(parents.may_be_named(start), "one session cannot say");
        }
        parents.note(ParentFate::Unsupported, 2, start);
        assert!(!parents.may_be_named(start) && !parents.may_be_named(start + OFF - SECOND));
        assert!(parents.are_off(start) && !parents.are_off(start + OFF));
        let later = start + OFF;
        assert!(parents.may_be_named(later));
        assert!(!parents.may_be_named(later), "one probe at a time");
        // Whichever session it is of.
        parents.note(ParentFate::Unsupported, 1, later);
        assert!(!parents.may_be_named(later + OFF - SECOND));
        let later = later + OFF;
        assert!(parents.may_be_named(later));
        assert!(parents.may_be_named(later + PROBE), "a lost probe");
        parents.note(ParentFate::Continued, 0, later + PROBE);
        assert!(parents.may_be_named(later + PROBE) && parents.may_be_named(later + PROBE));
    }
}
