//! The conversation that is measured, and the model that answers.

use std::time::Duration;

use responses_client::{
    Item, Response, ResponsesRequest, Tool,
    testing::{Script, Step, Turn, items},
};
use serde_json::json;

/// A conversation of an agent: a head that stays the same, and new input in each turn.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    first: ResponsesRequest,
    /// Bytes of the text of an item.
    item: usize,
}

/// Pace and length of the answers of the emulated model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) tokens: usize,
    pub(super) think: Duration,
    pub(super) per_token: Duration,
}

impl Workload {
    /// Returns a conversation whose first request has `head` bytes before its input, or as many as
    /// the request needs at least. Each turn adds an item with `item` bytes of text. An answer has at
    /// most `max_tokens`, if given.
    pub(super) fn new(model: &str, head: usize, item: usize, max_tokens: Option<usize>) -> Self {
        let schema = json!({ "type": "object", "properties": { "query": { "type": "string" } } });
        let mut bare = ResponsesRequest::new(model)
            .tools([Tool::function("search", "Finds lines of code.", schema)])
            .instructions("");
        if let Some(tokens) = max_tokens {
            bare = bare.max_output_tokens(tokens as u64);
        }
        let size = serde_json::to_string(&bare).map_or(0, |json| json.len());
        let instructions = filler(head.saturating_sub(size), 0);
        let mut first = bare.instructions(instructions);
        first.input.push(Item::user(filler(item, 1)));
        Self { first, item }
    }

    /// Returns the request of the first turn.
    pub(super) fn first(&self) -> ResponsesRequest {
        self.first.clone()
    }

    /// Appends the output of a turn to its request, and the input of the next turn: an output for
    /// each call, or else a message.
    pub(super) fn append_turn(&self, request: &mut ResponsesRequest, response: &Response) {
        request.input.extend(response.output_items());
        // Each turn has another text, which compresses no better than the text of a tool.
        let text = filler(self.item, 1 + request.input.len() as u64);
        let calls = response.function_calls();
        request.input.extend(calls.iter().map(|call| call.output(&text)));
        if calls.is_empty() {
            request.input.push(Item::user(&text));
        }
    }
}

/// Returns a script whose turns each have a text and a call of the tool.
pub(super) fn script(pace: Pace) -> Script {
    let text = filler(pace.tokens * 4, 0);
    Script::new().respond(move |exchange| {
        let call = format!("call_{:06}", exchange.index);
        let call = items::function_call(&call, "search", r#"{"query":"tides"}"#);
        let mut output = vec![items::message(&text), call];
        if text.is_empty() {
            output.remove(0);
        }
        // The API accepts a response immediately, and the model thinks before its first token.
        Turn::output(output).paced(pace.per_token).insert(2, Step::Delay(pace.think))
    })
}

/// Returns as many bytes of text, of words that differ, and another text for each seed.
fn filler(bytes: usize, seed: u64) -> String {
    const SYLLABLES: [&str; 8] = ["ta", "ri", "mo", "ne", "sul", "ka", "ven", "do"];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = String::with_capacity(bytes + 8);
    while text.len() < bytes {
        for _ in 0..random.usize(1..4) {
            text.push_str(SYLLABLES.get(random.usize(..SYLLABLES.len())).copied().unwrap_or("ta"));
        }
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_and_the_items_have_the_sizes_that_were_asked_for() {
        let workload = Workload::new("m", 5000, 300, Some(16));
        let mut without_input = workload.first();
        without_input.input.clear();
        let bare = serde_json::to_value(&without_input).unwrap().to_string();
        assert!((4990..=5010).contains(&bare.len()), "{}", bare.len());
        assert_eq!(workload.first().input[0].as_text().unwrap().len(), 300);
        let small = serde_json::to_string(&Workload::new("m", 0, 0, None).first()).unwrap();
        assert!(small.len() < 400, "{}", small.len());
    }

    #[test]
    fn filler_repeats_little() {
        let text = filler(2000, 0);
        assert_eq!((filler(0, 0).len(), filler(1, 0).len(), text.len()), (0, 1, 2000));
        assert_ne!(text, filler(2000, 1));
        let words: std::collections::BTreeSet<_> = text.split(' ').collect();
        assert!(words.len() > 100, "{}", words.len());
    }
}
