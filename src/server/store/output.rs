//! The output of a response, collected from its events.

use serde_json::Value;

/// Collects the items that the events of a response finish.
#[derive(Debug, Default)]
pub(crate) struct OutputCollector {
    finished: Vec<(u64, Value)>,
}

impl OutputCollector {
    /// Records the item that `event` finishes, if it finishes one.
    pub(crate) fn observe(&mut self, event: &Value) {
        if event["type"] == "response.output_item.done" {
            let index = event["output_index"].as_u64().unwrap_or(u64::MAX);
            self.finished.push((index, event["item"].clone()));
        }
    }

    /// Returns the number of finished items.
    pub(crate) fn len(&self) -> usize {
        self.finished.len()
    }

    /// Returns the output of a response that ends in this form: its own, or the finished items if
    /// its own is empty.
    pub(crate) fn finish(mut self, response: &Value) -> Vec<Value> {
        match response["output"].as_array() {
            Some(output) if !output.is_empty() => output.clone(),
            _ => {
                self.finished.sort_by_key(|(index, _)| *index);
                self.finished.into_iter().map(|(_, item)| item).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finished_items_stand_in_for_an_empty_output() {
        let mut collector = OutputCollector::default();
        for (index, item) in [(1, "b"), (0, "a")] {
            let done =
                json!({ "type": "response.output_item.done", "output_index": index, "item": item });
            collector.observe(&done);
        }
        collector.observe(&json!({ "type": "response.output_text.delta", "delta": "x" }));
        assert_eq!(collector.finish(&json!({ "output": [] })), ["a", "b"]);
        let mut collector = OutputCollector::default();
        collector.observe(&json!({ "type": "response.output_item.done", "item": "a" }));
        assert_eq!(collector.finish(&json!({ "output": ["c"] })), ["c"]);
    }
}
