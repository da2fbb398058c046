//! A digest of histories, for comparing two of them.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 of `items` in hexadecimal, independent of the order of object keys.
///
/// The agent script puts the digest of its history into its answers, so that a test can compare it
/// with the digest of the history that it meant to send.
///
/// ```
/// use responses_client::testing::history_digest;
/// use serde_json::json;
///
/// let one = history_digest(&[json!({ "role": "user", "content": "Hello" })]);
/// let other = history_digest(&[json!({ "content": "Hello", "role": "user" })]);
/// assert_eq!(one, other);
/// ```
pub fn history_digest(items: &[Value]) -> String {
    let mut canonical = String::new();
    write_list(&mut canonical, items);
    let mut digest = String::with_capacity(64);
    for byte in Sha256::digest(canonical.as_bytes()) {
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => write_list(out, items),
        Value::Object(members) => {
            // serde_json sorts its maps, unless a crate somewhere asks for `preserve_order`.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (place, (key, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                let _ = write!(out, "{}:", Value::from(key.as_str()));
                write(out, value);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

fn write_list(out: &mut String, items: &[Value]) {
    out.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_that_of_items_does() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let one = parse(r#"{"a":[{"x":1,"y":"é"}],"b":null}"#);
        let other = parse(r#"{ "b": null, "a": [ { "y": "\u00e9", "x": 1 } ] }"#);
        assert_eq!(history_digest(std::slice::from_ref(&one)), history_digest(&[other]));
        let last = Value::from("last");
        assert_ne!(history_digest(&[one.clone(), last.clone()]), history_digest(&[last, one]));
    }

    #[test]
    fn the_form_is_fixed() {
        // sha256sum of `[{"a":1,"b":"x"}]`
        let item: Value = serde_json::from_str(r#"{"b":"x","a":1}"#).unwrap();
        assert_eq!(
            history_digest(&[item]),
            "a103829f0f464d4252e13d7b7911f6abd24978a09a93fdd84e37c32cde9345c2"
        );
    }
}
