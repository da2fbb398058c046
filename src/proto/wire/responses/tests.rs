use super::*;
use crate::request::{Item, Tool};

fn text(request: &ResponsesRequest, encoded: Encoded<'_>) -> String {
    Responses.encode(request, encoded).unwrap()
}

#[test]
fn a_null_parent_gives_way_to_the_sessions_own() {
    let body = r#"{"model":"m","previous_response_id":null,"input":[]}"#;
    let request = ResponsesRequest::from_json(body).unwrap();
    let frame = |parent| text(&request, Encoded::Frame { parent, skip: 0, lane: None });
    assert_eq!(frame(Some("r")).matches("previous_response_id").count(), 1);
    assert!(frame(None).contains(r#""previous_response_id":null"#));
}

#[test]
fn c151_a_background_of_false_is_not_sent_over_a_websocket() {
    for json in [r#"{"model":"m","background":false}"#, r#"{"background":false}"#] {
        let request = ResponsesRequest::from_json(json).unwrap();
        for encoded in
            [Encoded::WarmUp { lane: None }, Encoded::Frame { parent: None, skip: 0, lane: None }]
        {
            assert!(!text(&request, encoded).contains("background"), "{encoded:?}");
        }
        let body = text(&request, Encoded::Http { parent: None, skip: 0 });
        assert!(body.contains(r#""background":false"#), "{body}");
        assert!(serde_json::to_string(&request).unwrap().contains(r#""background":false"#));
    }
}

#[test]
fn both_transports_differ_in_their_head_alone() {
    let mut request = ResponsesRequest::new("m\"")
        .tools([Tool::hosted("web_search"), Tool::hosted("shell")])
        .store(false)
        .extra("x", serde_json::json!({"y": 1}));
    request.input.push(Item::from_json("{\"n\": 1.50}").unwrap());
    request.input.push(Item::from_json("{\"n\":2}").unwrap());
    let tail = r#""model":"m\"","store":false,"tools":[{"type":"web_search"},{"type":"shell"}],"x":{"y":1},"#;
    assert_eq!(
        text(&request, Encoded::Http { parent: None, skip: 0 }),
        format!(r#"{{"stream":true,{tail}"input":[{{"n": 1.50}},{{"n":2}}]}}"#)
    );
    assert_eq!(
        text(&request, Encoded::Frame { parent: Some("resp_1"), skip: 1, lane: None }),
        format!(
            r#"{{"type":"response.create",{tail}"previous_response_id":"resp_1","input":[{{"n":2}}]}}"#
        )
    );
}

#[test]
fn the_items_have_the_size_that_the_history_states() {
    const ITEMS: usize = 70;
    let mut request = ResponsesRequest::new("m");
    request.input.extend((0..ITEMS).map(|n| Item::user("\"é".repeat(n))));
    let size = |skip| text(&request, Encoded::Http { parent: None, skip }).len();
    for skip in 0..ITEMS {
        // The empty list has two brackets; any other list has one besides those that count.
        assert_eq!(request.input.bytes(skip), size(skip) - size(ITEMS) + 1, "{skip}");
    }
    assert_eq!((request.input.bytes(ITEMS), request.input.bytes(ITEMS + 1)), (0, 0));
}
