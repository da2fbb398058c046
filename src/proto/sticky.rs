//! Sticky routing: the value by which a server routes the requests of one user turn to the same
//! place.

use crate::{json::Json, request::ResponsesRequest};

/// Name of the header, and of the member of `client_metadata`, that carries the value.
pub(crate) const HEADER: &str = "x-codex-turn-state";

/// Returns `true` if `request` continues a user turn: the input has no user message after the last
/// output of the model.
pub(crate) fn continues_user_turn(request: &ResponsesRequest) -> bool {
    let mut has_result = false;
    for item in request.input.iter().rev() {
        match (item.role(), item.item_type()) {
            (Some("user"), _) => return false,
            (Some("developer" | "system"), _) => {}
            (_, kind) if kind.ends_with("_output") => has_result = true,
            _ => return true,
        }
    }
    // The call of the result is in the response that the request names.
    has_result
}

/// Returns `request` with the value in `client_metadata`, unless the caller has set one.
pub(crate) fn with_state(request: &ResponsesRequest, state: &str) -> ResponsesRequest {
    let mut request = request.clone();
    let metadata = request.client_metadata.take().unwrap_or_else(|| Json::from([("", ""); 0]));
    let is_set = metadata.get(HEADER).is_some();
    let metadata = if is_set { metadata } else { metadata.with_member(HEADER, &Json::from(state)) };
    request.client_metadata = Some(metadata);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Item;

    #[test]
    fn c276_a_user_turn_ends_at_a_user_message_after_the_last_output() {
        let (user, answer) = (Item::user("hi"), Item::assistant("ho"));
        let call = Item::from_json(r#"{"type":"function_call","call_id":"c"}"#).unwrap();
        let result = Item::function_call_output("c", "1");
        let note = Item::developer("note");
        for (items, continues) in [
            (vec![], false),
            (vec![&user], false),
            (vec![&user, &call, &result], true),
            (vec![&user, &call, &result, &note], true),
            (vec![&user, &call, &result, &user], false),
            (vec![&user, &answer], true),
            (vec![&user, &answer, &user, &note], false),
            (vec![&result], true),
            (vec![&note], false),
        ] {
            let mut request = ResponsesRequest::new("m");
            request.input.extend(items.iter().copied().cloned());
            assert_eq!(continues_user_turn(&request), continues, "{items:?}");
        }
    }

    #[test]
    fn c276_the_state_joins_the_metadata_of_the_caller_and_replaces_none() {
        let metadata = |request: &ResponsesRequest| {
            let metadata = with_state(request, "s").client_metadata.unwrap();
            metadata.as_str().to_owned()
        };
        let request = ResponsesRequest::new("m");
        assert_eq!(metadata(&request), r#"{"x-codex-turn-state":"s"}"#);
        let own = request.clone().client_metadata([("a", "b")]);
        assert_eq!(metadata(&own), r#"{"a":"b","x-codex-turn-state":"s"}"#);
        let set = request.client_metadata([("x-codex-turn-state", "own")]);
        assert_eq!(metadata(&set), r#"{"x-codex-turn-state":"own"}"#);
    }
}
