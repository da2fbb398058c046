//! Whether an item that the caller gives back is the one that the server sent.

use serde_json::{Map, Value};

/// Whether `given` is the item that the server `sent`, apart from what only the server adds and a
/// caller may drop: `status` and `created_by` of an item, `annotations` and `logprobs` of its
/// parts, and members that are null.
///
/// Everything else counts, strings to the letter. Inside JSON that belongs to the model (the
/// arguments of a call, say) nothing may be dropped.
pub(crate) fn same_item(given: &str, sent: &str) -> bool {
    let (Ok(Value::Object(given)), Ok(Value::Object(sent))) =
        (serde_json::from_str(given), serde_json::from_str(sent))
    else {
        return false;
    };
    same_members(&given, &sent, &["status", "created_by"], |key, given, sent| {
        match (key, given, sent) {
            ("content" | "summary", Value::Array(given), Value::Array(sent)) => {
                given.len() == sent.len() && given.iter().zip(sent).all(|(g, s)| same_part(g, s))
            }
            _ => same(given, sent),
        }
    })
}

fn same_part(given: &Value, sent: &Value) -> bool {
    match (given, sent) {
        (Value::Object(given), Value::Object(sent)) => {
            same_members(given, sent, &["annotations", "logprobs"], |_, given, sent| {
                same(given, sent)
            })
        }
        _ => same(given, sent),
    }
}

/// Compares two objects, in which `given` may lack the `droppable` members and null is absent.
fn same_members(
    given: &Map<String, Value>,
    sent: &Map<String, Value>,
    droppable: &[&str],
    same: impl Fn(&str, &Value, &Value) -> bool,
) -> bool {
    let present =
        |map: &'_ Map<String, Value>, key: &str| map.get(key).is_some_and(|v| !v.is_null());
    let all_sent = given.iter().all(|(key, value)| match sent.get(key) {
        Some(sent) if !sent.is_null() => same(key, value, sent),
        _ => value.is_null(),
    });
    let all_given = sent.iter().all(|(key, value)| {
        value.is_null()
            || present(given, key)
            || droppable.contains(&key.as_str()) && !given.contains_key(key)
    });
    all_sent && all_given
}

/// Equal values; 1 and 1.0 are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = r#"{"id":"msg_1","type":"message","status":"completed","role":"assistant",
        "created_by":"x","phase":null,
        "content":[{"type":"output_text","text":"hi","annotations":[{"n":1}],"logprobs":[]}]}"#;

    #[test]
    fn what_only_the_server_adds_may_be_dropped() {
        for given in [
            SENT,
            r#"{"type":"message","role":"assistant","id":"msg_1","content":[{"type":"output_text","text":"hi"}]}"#,
            r#"{"type":"message","role":"assistant","id":"msg_1","status":"completed","extra":null,"content":[{"text":"hi","type":"output_text","annotations":[{"n":1.0}]}]}"#,
        ] {
            assert!(same_item(given, SENT), "{given}");
        }
    }

    #[test]
    fn anything_else_counts() {
        for given in [
            r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"Hi"}]}"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[]}"#,
            r#"{"id":"msg_1","type":"message","role":"user","content":[{"type":"output_text","text":"hi"}]}"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","new":1,"content":[{"type":"output_text","text":"hi"}]}"#,
            r#"{"id":"msg_1","type":"message","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"hi"}]}"#,
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[]}]}"#,
            "[]",
        ] {
            assert!(!same_item(given, SENT), "{given}");
        }
    }

    #[test]
    fn the_models_own_json_is_compared_whole() {
        let sent = r#"{"type":"tool_search_call","arguments":{"status":"open","q":null}}"#;
        assert!(same_item(sent, sent));
        assert!(!same_item(r#"{"type":"tool_search_call","arguments":{"q":null}}"#, sent));
        let call = r#"{"type":"function_call","call_id":"c","arguments":"{\"a\": 1}"}"#;
        assert!(!same_item(
            r#"{"type":"function_call","call_id":"c","arguments":"{\"a\":1}"}"#,
            call
        ));
    }
}
