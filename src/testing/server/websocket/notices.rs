//! Events that the server inserts into a response, and the numbers of its events.

use std::collections::VecDeque;

use serde_json::Value;

use crate::testing::script::value::set;

/// Events that the server inserts into a response, and the numbers of its events.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Events that come before the next step.
    waiting: VecDeque<Value>,
    /// Sequence number of the next event.
    next_number: u64,
    /// Number of inserted events.
    inserted: u64,
}

impl Notices {
    /// Inserts an event before the next step.
    pub(super) fn push(&mut self, event: Value) {
        self.waiting.push_back(event);
    }

    /// Returns the event that comes before the next step, with its number.
    pub(super) fn next(&mut self) -> Option<Value> {
        let event = self.waiting.pop_front()?;
        Some(self.numbered(event))
    }

    /// Gives an inserted event the next number.
    pub(super) fn numbered(&mut self, mut event: Value) -> Value {
        set(&mut event, "sequence_number", self.next_number);
        self.next_number += 1;
        self.inserted += 1;
        event
    }

    /// Returns the number of the next event in the numbering of the script.
    pub(super) fn number(&self) -> u64 {
        self.next_number.saturating_sub(self.inserted)
    }

    /// Records an event of the script before it is sent. Returns `true` if it has another number
    /// now, because events were inserted before it.
    pub(super) fn observe(&mut self, event: &mut Value) -> bool {
        let Some(number) = event["sequence_number"].as_u64() else { return false };
        self.next_number = number + self.inserted + 1;
        if self.inserted > 0 {
            set(event, "sequence_number", number + self.inserted);
        }
        self.inserted > 0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn inserted_events_shift_the_numbers_of_the_others() {
        let mut notices = Notices::default();
        let mut first = json!({ "sequence_number": 0 });
        assert!(!notices.observe(&mut first));
        notices.push(json!({ "type": "a" }));
        assert_eq!(notices.next().unwrap()["sequence_number"], 1);
        assert!(notices.next().is_none());
        assert_eq!(notices.number(), 1);
        let mut second = json!({ "sequence_number": 1 });
        assert!(notices.observe(&mut second));
        assert_eq!(second["sequence_number"], 2);
        let mut without = json!({ "type": "b" });
        assert!(!notices.observe(&mut without) && without.get("sequence_number").is_none());
        assert_eq!(notices.numbered(json!({}))["sequence_number"], 3);
    }
}
