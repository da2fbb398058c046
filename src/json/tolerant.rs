//! Comparison of an item that the caller sends back with the one that the server sent.

use super::tree::{Members, Tree};

/// Returns `true` if `given` is the item that the server `sent`. Members that only the server adds
/// may be missing: `status` and `created_by` of an item, `annotations` and `logprobs` of its parts,
/// and members that are null.
///
/// Every other difference counts, and strings must be equal byte for byte. Nothing may be missing
/// inside JSON that belongs to the model, for example the arguments of a call.
pub(crate) fn same_item(given: &str, sent: &str) -> bool {
    let (Ok(Tree::Object(given)), Ok(Tree::Object(sent))) = (Tree::read(given), Tree::read(sent))
    else {
        return false;
    };
    same_members(&given, &sent, &["status", "created_by"], |key, given, sent| {
        match (key, given, sent) {
            (b"content" | b"summary", Tree::List(given), Tree::List(sent)) => {
                given.len() == sent.len() && given.iter().zip(sent).all(|(g, s)| same_part(g, s))
            }
            _ => given == sent,
        }
    })
}

fn same_part(given: &Tree<'_>, sent: &Tree<'_>) -> bool {
    match (given, sent) {
        (Tree::Object(given), Tree::Object(sent)) => {
            same_members(given, sent, &["annotations", "logprobs"], |_, given, sent| given == sent)
        }
        _ => given == sent,
    }
}

/// Compares two objects, in which `given` may lack the `droppable` members and null is absent.
fn same_members<'a>(
    given: &Members<'a>,
    sent: &Members<'a>,
    droppable: &[&str],
    same: impl Fn(&[u8], &Tree<'_>, &Tree<'_>) -> bool,
) -> bool {
    let all_sent = given.iter().all(|(key, value)| match sent.get(key) {
        Some(sent) => same(key, value, sent),
        None => value.is_null(),
    });
    let may_lack = |key: &[u8]| droppable.iter().any(|name| name.as_bytes() == key);
    let all_given =
        sent.iter().all(|(key, value)| given.contains_key(key) || value.is_null() || may_lack(key));
    all_sent && all_given
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
    fn null_is_absent_and_nothing_else_is() {
        for (given, sent, same) in [
            (r#"{"a":null}"#, "{}", true),
            ("{}", r#"{"a":null}"#, true),
            (r#"{"a":null}"#, r#"{"a":null}"#, true),
            (r#"{"a":null}"#, r#"{"a":0}"#, false),
            (r#"{"a":0}"#, r#"{"a":null}"#, false),
            (r#"{"a":0}"#, "{}", false),
            ("{}", r#"{"a":0}"#, false),
            (r#"{"content":[null]}"#, r#"{"content":null}"#, false),
            (r#"{"status":null}"#, r#"{"status":"completed"}"#, false),
        ] {
            assert_eq!(same_item(given, sent), same, "{given} {sent}");
        }
    }

    #[test]
    fn parts_are_compared_one_by_one() {
        let parts = |parts: &str| format!(r#"{{"type":"message","content":{parts}}}"#);
        for (given, sent, same) in [
            (r#"["a"]"#, r#"["a"]"#, true),
            (r#"["a"]"#, r#"["b"]"#, false),
            (r#"["a"]"#, r#"["a","b"]"#, false),
            (r#"["a",{}]"#, r#"["a",{"logprobs":[]}]"#, true),
            (r#"["a",{}]"#, r#"["a",{"text":""}]"#, false),
            (r#"[{"text":"a"}]"#, r#"[{"text":"b"}]"#, false),
            (r#"[{"text":"a"}]"#, r#"["a"]"#, false),
            (r#"[{"text":"a"}]"#, r#"{"text":"a"}"#, false),
            (r#""a""#, r#""a""#, true),
        ] {
            assert_eq!(same_item(&parts(given), &parts(sent)), same, "{given} {sent}");
        }
        let summary = |text: &str| format!(r#"{{"type":"reasoning","summary":[{text}]}}"#);
        assert!(same_item(&summary("{}"), &summary(r#"{"annotations":[]}"#)));
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
