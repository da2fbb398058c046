//! Whatever a caller does to its history: what the server has and what is sent make that history.
#![no_main]

use libfuzzer_sys::fuzz_target;
use responses_client::{Item, ResponsesRequest, internal::Conversation, report::Plan};
use serde_json::Value;

/// The items of a frame.
fn sent(frame: &str) -> Vec<Value> {
    let frame: Value = serde_json::from_str(frame).unwrap();
    frame["input"].as_array().unwrap().clone()
}

fn item(byte: u8) -> Item {
    Item::user((byte % 4).to_string())
}

fuzz_target!(|input: &[u8]| {
    let mut conversation = Conversation::default();
    let mut request = ResponsesRequest::new("m");
    let mut server: Vec<Value> = Vec::new();
    for (turn, edit) in input.chunks(4).take(64).enumerate() {
        let [kind, at, byte, ..] = *edit else { break };
        let at = usize::from(at).min(request.input.len());
        match kind % 6 {
            0 => request.input.splice(at..at + 1, [item(byte)]),
            1 => request.input.truncate(at),
            2 => request.input.splice(at..at, [item(byte)]),
            3 => request.instructions = Some((byte % 2).to_string()),
            _ => request.input.push(item(byte)),
        }
        let (plan, frame) = conversation.send(&request).unwrap();
        match plan {
            Plan::Incremental { new_items, .. } => {
                let new = sent(&frame);
                assert_eq!(new.len(), new_items);
                server.extend(new);
            }
            _ => server = sent(&frame),
        }
        let given: Vec<Value> =
            request.input.iter().map(|it| it.json().decode().unwrap()).collect();
        assert_eq!(server, given);
        // Every seventh turn fails, and leaves nothing behind.
        if byte % 7 == 0 {
            continue;
        }
        let output = vec![item(byte.wrapping_add(1)); usize::from(byte % 3)];
        server.extend(output.iter().map(|it| it.json().decode::<Value>().unwrap()));
        conversation.complete(&format!("resp_{turn}"), output.clone());
        request.input.extend(output);
    }
});
