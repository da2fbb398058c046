//! Progress of a response, as its events show it.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use serde_json::Value;

use crate::testing::script::value::is_terminal;

/// Progress of a response, as its events show it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Items that have begun and not ended.
    open: Vec<OpenItem>,
    end: Option<ResponseEnd>,
}

/// An item that has begun and not ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenItem {
    pub(super) id: Value,
    pub(super) output_index: u64,
}

/// End of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseEnd {
    Terminal,
    Error,
}

impl Progress {
    /// Records an event before it is sent. Returns `true` if the response ends with it.
    pub(super) fn observe(&mut self, event: &Value) -> bool {
        let output_index = event["output_index"].as_u64().unwrap_or_default();
        match event["type"].as_str() {
            Some("response.output_item.added") => {
                self.open.push(OpenItem { id: event["item"]["id"].clone(), output_index });
            }
            Some("response.output_item.done") => {
                self.open.retain(|item| item.output_index != output_index);
            }
            _ => {}
        }
        let end = match event["type"] == "error" {
            true => Some(ResponseEnd::Error),
            false => is_terminal(event).then_some(ResponseEnd::Terminal),
        };
        let is_first = self.end.is_none();
        self.end = self.end.or(end);
        is_first && end.is_some()
    }

    /// Returns `true` if an item has begun and not ended.
    pub(super) fn has_open_items(&self) -> bool {
        !self.open.is_empty()
    }

    /// Takes the items that have begun and not ended.
    pub(super) fn take_open_items(&mut self) -> Vec<OpenItem> {
        std::mem::take(&mut self.open)
    }

    /// Returns the end of the response; `None` before it.
    pub(super) fn end(&self) -> Option<ResponseEnd> {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_are_open_until_they_are_done() {
        let mut progress = Progress::default();
        let event = |kind: &str, index: u64| json!({ "type": kind, "output_index": index, "item": { "id": format!("i{index}") } });
        for index in [0, 1] {
            progress.observe(&event("response.output_item.added", index));
        }
        progress.observe(&event("response.output_item.done", 0));
        assert!(progress.has_open_items());
        assert_eq!(progress.take_open_items(), [OpenItem { id: json!("i1"), output_index: 1 }]);
        assert!(!progress.has_open_items());
    }

    #[test]
    fn a_response_ends_once() {
        let mut progress = Progress::default();
        assert!(!progress.observe(&json!({ "type": "response.created" })));
        assert!(progress.observe(&json!({ "type": "response.completed" })));
        assert!(!progress.observe(&json!({ "type": "error" })));
        assert_eq!(progress.end(), Some(ResponseEnd::Terminal));
    }
}
