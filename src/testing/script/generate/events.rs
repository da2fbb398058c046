//! All events of a generated response.

use serde_json::{Value, json};

use super::{
    item_kind,
    response::{self, ResponseEnding},
};
use crate::testing::script::{
    exchange::Exchange,
    value::{merged, set},
};

/// Returns all events of a response with these items.
pub(crate) fn events(exchange: &Exchange, items: &[Value], ending: &ResponseEnding) -> Vec<Value> {
    let items: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(place, item)| item_kind::with_added_members(item, place, exchange))
        .collect();
    let begun = response::begun(exchange);
    let mut events = vec![
        event("response.created", json!({ "response": begun })),
        event("response.in_progress", json!({ "response": begun })),
    ];
    for (place, item) in items.iter().enumerate() {
        events.extend(item_kind::events(exchange, place, item));
    }
    let (kind, ended) = response::ended(exchange, items, ending);
    events.push(event(kind, json!({ "response": ended })));
    for (number, event) in events.iter_mut().enumerate() {
        set(event, "sequence_number", number);
    }
    events
}

fn event(kind: &str, members: Value) -> Value {
    merged(&json!({ "type": kind }), members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    fn exchange() -> Exchange {
        Exchange {
            index: 0,
            transport: Transport::Sse,
            connection: 0,
            lane: None,
            body: json!({ "model": "m", "input": "hi" }),
            history: vec![json!({ "role": "user", "content": "hi" })],
            response_id: "resp_0".to_owned(),
            headers: Vec::new(),
            known_bytes: 0,
            brought_bytes: 0,
        }
    }

    #[test]
    fn endings_carry_their_reasons() {
        let reason = ResponseEnding::Incomplete { reason: "max_output_tokens".to_owned() };
        let last = events(&exchange(), &[], &reason).pop().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
        let failed =
            ResponseEnding::Failed { code: "server_error".to_owned(), message: "no".to_owned() };
        let last = events(&exchange(), &[json!({ "type": "x" })], &failed).pop().unwrap();
        assert_eq!(last["response"]["status"], "failed");
        assert_eq!(last["response"]["error"]["code"], "server_error");
        assert_eq!(last["response"]["output"][0]["type"], "x");
    }
}
