//! Incremental sends: which requests are sent in part, and which in full.

use responses_client::{
    Item, Json, ResponsesRequest, ResponsesSession, Tool, Transport,
    report::FullSendReason,
    testing::{Script, ScriptedServer, Step, Turn, history_digest},
};
use serde_json::{Value, json};

use crate::support::{BOTH, appended, builder, full, incremental, only, request, turn};

/// Answers each request with a text of its own.
pub(crate) fn answers() -> ScriptedServer {
    ScriptedServer::in_memory(
        Script::new().respond(|exchange| Turn::text(format!("answer {}", exchange.index))),
    )
}

/// A session that continues stored responses over this transport.
pub(crate) fn session(server: &ScriptedServer, transport: Transport) -> ResponsesSession {
    let client = builder(server).transport(only(transport)).continue_over_sse(true);
    client.build().unwrap().session()
}

/// A request whose response is stored, so that both transports can continue it.
pub(crate) fn stored(texts: &[&str]) -> ResponsesRequest {
    request(texts).store(true)
}

/// `item`, taken apart.
fn value(item: &Item) -> Value {
    item.json().decode().unwrap()
}

/// Gives back `item`, rewritten by `edit`, in place of the only output item of a first turn;
/// returns the plan of the second turn.
async fn plan_after(
    transport: Transport,
    item: &Value,
    edit: impl Fn(&Item) -> String,
) -> Option<responses_client::report::Plan> {
    let script = Script::new().turn(Turn::output([item.clone()])).turn(Turn::text("b"));
    let server = ScriptedServer::in_memory(script);
    let mut session = session(&server, transport);
    let mut request = stored(&["one"]);
    let first = turn(&mut session, &request).await;
    let given = edit(&first.response().output_items().next().unwrap());
    request.input.push(Item::from_json(given).unwrap());
    request.input.push(Item::user("two"));
    let second = turn(&mut session, &request).await;
    assert_eq!(second.response().output_text(), "b");
    second.report.plan
}

fn message() -> Value {
    json!({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "created_by": "someone",
        "phase": null,
        "content": [{
            "type": "output_text",
            "text": "hello",
            "annotations": [{ "type": "url_citation", "start_index": 0 }],
            "logprobs": [],
        }],
    })
}

fn call(arguments: &str) -> Value {
    json!({
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "f",
        "arguments": arguments,
    })
}

#[tokio::test]
async fn c014_what_was_appended_is_sent_with_the_id_of_the_response_before() {
    for transport in BOTH {
        let server = answers();
        let mut session = session(&server, transport);
        let request = stored(&["one", "two"]);
        let first = turn(&mut session, &request).await;
        let second = turn(&mut session, &appended(&request, &first, "three")).await;
        assert_eq!(first.report.plan, full(FullSendReason::FirstTurn), "{transport}");
        assert_eq!(second.report.plan, incremental(1), "{transport}");
        let sent = &server.log().requests[1];
        assert_eq!(sent.previous_response_id.as_deref(), Some(first.response().id()));
        assert_eq!(sent.body["input"], json!([value(&Item::user("three"))]));
    }
}

#[tokio::test]
async fn c014_the_outputs_of_calls_are_all_that_is_new() {
    let calls = [
        call("{}"),
        json!({ "type": "custom_tool_call", "call_id": "call_2", "name": "g", "input": "" }),
    ];
    let script = Script::new().turn(Turn::output(calls)).turn(Turn::text("done"));
    let server = ScriptedServer::in_memory(script);
    let mut session = session(&server, Transport::WebSocket);
    let mut request = request(&["one"]);
    let first = turn(&mut session, &request).await;
    request.input.extend(first.response().output_items());
    request.input.push(Item::function_call_output("call_1", "1"));
    request.input.push(Item::custom_tool_call_output("call_2", "2"));
    assert_eq!(turn(&mut session, &request).await.report.plan, incremental(2));
    assert_eq!(server.log().requests[1].input_items, 2);
}

/// The digests of the histories that the server sees in a loop of five turns.
async fn histories(transport: Transport, incremental: bool) -> Vec<String> {
    let server = ScriptedServer::in_memory(
        Script::new().respond(|exchange| Turn::text(history_digest(&exchange.history))),
    );
    let mut session = session(&server, transport);
    let mut request = stored(&["begin"]).instructions("all of it");
    let mut digests = Vec::new();
    for index in 0..5 {
        let outcome = turn(&mut session, &request).await;
        let parent = server.log().requests[index].previous_response_id.is_some();
        assert_eq!(parent, incremental && index > 0, "{transport} {index}");
        digests.push(outcome.response().output_text());
        request = appended(&request, &outcome, "go on");
        if !incremental {
            // What a server does not know cannot be compared, and is sent whole.
            request = request.prompt_cache_key(index.to_string());
        }
    }
    digests
}

#[tokio::test]
async fn c014_the_server_sees_the_same_history_however_it_came() {
    let whole = histories(Transport::Sse, false).await;
    for transport in BOTH {
        assert_eq!(histories(transport, true).await, whole, "{transport}");
    }
}

#[tokio::test]
async fn c015_an_edited_history_is_sent_in_full() {
    for transport in BOTH {
        for edited in 0..3 {
            let server = answers();
            let mut session = session(&server, transport);
            let request = stored(&["one", "two"]);
            let first = turn(&mut session, &request).await;
            let mut next = appended(&request, &first, "three");
            next.input.splice(edited..edited + 1, [Item::user("something else")]);
            let second = turn(&mut session, &next).await;
            let reason = FullSendReason::prefix_diverged(edited);
            assert_eq!(second.report.plan, full(reason), "{transport}");
            let sent = &server.log().requests[1];
            assert_eq!((sent.input_items, &sent.previous_response_id), (4, &None));
        }
    }
}

/// Changes one field between two turns; returns the plan of the second.
async fn plan_with(
    transport: Transport,
    change: impl FnOnce(ResponsesRequest) -> ResponsesRequest,
) -> Option<responses_client::report::Plan> {
    let server = answers();
    let mut session = session(&server, transport);
    let request = stored(&["one"]);
    let first = turn(&mut session, &request).await;
    let second = turn(&mut session, &change(appended(&request, &first, "two"))).await;
    second.response();
    let log = server.log();
    let whole = log.requests[1].previous_response_id.is_none();
    assert_eq!(log.requests[1].input_items, if whole { 3 } else { 1 });
    second.report.plan
}

#[tokio::test]
async fn c016_a_change_of_what_the_model_sees_is_sent_in_full() {
    for transport in BOTH {
        for (body, reason) in [
            (json!({ "model": "other" }), FullSendReason::ModelChanged),
            (json!({ "instructions": "new" }), FullSendReason::InstructionsChanged),
            (json!({ "tools": [{ "type": "web_search" }] }), FullSendReason::ToolsChanged),
            (json!({ "tools": [] }), FullSendReason::ToolsChanged),
        ] {
            let plan = plan_with(transport, |request| with(&request, &body)).await;
            assert_eq!(plan, full(reason), "{transport} {body}");
        }
        for (name, new) in [
            ("store", json!(false)),
            ("include", json!(["reasoning.encrypted_content"])),
            ("tool_choice", json!("none")),
            ("parallel_tool_calls", json!(false)),
            ("max_tool_calls", json!(3)),
            ("max_output_tokens", json!(100)),
            ("reasoning", json!({ "effort": "low" })),
            ("text", json!({ "verbosity": "low" })),
            ("temperature", json!(0.5)),
            ("top_p", json!(0.5)),
            ("top_logprobs", json!(2)),
            ("truncation", json!("auto")),
            ("context_management", json!([{ "type": "compaction" }])),
            ("prompt", json!({ "id": "pmpt_1" })),
            ("prompt_cache_key", json!("key")),
            ("prompt_cache_options", json!({ "ttl": "1h" })),
            ("prompt_cache_retention", json!("24h")),
            ("service_tier", json!("flex")),
            ("image", json!({ "context_compression": "auto" })),
            ("moderation", json!({ "policy": "strict" })),
            ("access_programs", json!({ "cyber": true })),
            ("multi_agent", json!({ "enabled": true })),
            ("of_a_later_version", json!(1)),
        ] {
            let plan = plan_with(transport, |request| with(&request, &json!({ name: new }))).await;
            assert_eq!(plan, full(FullSendReason::FieldChanged(name.to_owned())), "{transport}");
        }
    }
}

/// `request` with the members of `changed` in place of its own.
fn with(request: &ResponsesRequest, changed: &Value) -> ResponsesRequest {
    let mut body = json!({ "model": request.model, "store": request.store });
    body.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    ResponsesRequest::from_json(body.to_string()).unwrap().input(request.input.clone())
}

#[tokio::test]
async fn c016_what_only_goes_along_may_change() {
    for transport in BOTH {
        for body in [
            json!({}),
            json!({ "metadata": { "turn": "2" } }),
            json!({ "client_metadata": { "turn": "2" } }),
            json!({ "stream_options": { "include_obfuscation": false } }),
            json!({ "user": "u" }),
            json!({ "safety_identifier": "s" }),
        ] {
            let plan = plan_with(transport, |request| with(&request, &body)).await;
            assert_eq!(plan, incremental(1), "{transport} {body}");
        }
    }
}

#[tokio::test]
async fn c016_a_field_spelled_otherwise_is_the_same_field() {
    let tool = |json: &str| Tool::from_json(json).unwrap();
    let server = answers();
    let mut session = session(&server, Transport::WebSocket);
    let text = Json::parse(r#"{"verbosity":"low","format":{"type":"text"}}"#).unwrap();
    let request =
        stored(&["one"]).tools([tool(r#"{"type":"custom","name":"g","n":1.0}"#)]).text(text);
    let first = turn(&mut session, &request).await;
    let other = Json::parse(r#"{ "format": { "type": "text" }, "verbosity": "low" }"#).unwrap();
    let next = appended(&request, &first, "two")
        .tools([tool(r#"{ "n": 1, "name": "g", "type": "custom" }"#)])
        .text(other);
    assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
}

#[tokio::test]
async fn c017_a_shorter_history_is_sent_in_full() {
    for transport in BOTH {
        // The second request lacks this many items of what the server has: two and an answer.
        for missing in 1..=3 {
            let server = answers();
            let mut session = session(&server, transport);
            let request = stored(&["one", "two"]);
            let first = turn(&mut session, &request).await;
            let mut next = appended(&request, &first, "three");
            next.input.truncate(3 - missing);
            let second = turn(&mut session, &next).await;
            assert_eq!(second.report.plan, full(FullSendReason::InputShorter), "{transport}");
            let sent = &server.log().requests[1];
            assert_eq!((sent.input_items, &sent.previous_response_id), (3 - missing, &None));
        }
    }
}

#[tokio::test]
async fn c017_a_history_with_nothing_new_is_sent_in_full() {
    for transport in BOTH {
        let server = answers();
        let mut session = session(&server, transport);
        let mut request = stored(&["one"]);
        let first = turn(&mut session, &request).await;
        request.input.extend(first.response().output_items());
        let second = turn(&mut session, &request).await;
        assert_eq!(second.report.plan, full(FullSendReason::NothingNew), "{transport}");
        assert_eq!(server.log().requests[1].input_items, 2);
    }
}

#[tokio::test]
async fn c018_items_are_compared_by_value() {
    for transport in BOTH {
        let item =
            json!({ "id": "x_1", "type": "new_thing", "n": 1.5, "deep": { "a": [10, true] } });
        for given in [
            r#"{"id":"x_1","type":"new_thing","n":1.5,"deep":{"a":[10,true]}}"#,
            r#"{ "deep" : { "a" : [ 10.0, true ] }, "n": 1.50, "type": "new_thing", "id": "x_1" }"#,
            r#"{"n":15e-1,"id":"x_1","deep":{"a":[1e1,true]},"type":"new_\u0074hing"}"#,
        ] {
            let plan = plan_after(transport, &item, |_| given.to_owned()).await;
            assert_eq!(plan, incremental(1), "{transport} {given}");
        }
        let other = r#"{"id":"x_1","type":"new_thing","n":1.5,"deep":{"a":[true,10]}}"#;
        let plan = plan_after(transport, &item, |_| other.to_owned()).await;
        assert_eq!(plan, full(FullSendReason::prefix_diverged(1)), "{transport}");
    }
}

#[tokio::test]
async fn c147_integers_are_compared_exactly() {
    let sent = |n: &str| format!(r#"{{"id":"x","type":"new_thing","n":[{n}]}}"#);
    for (n, same, other) in [
        ("9007199254740993", "9007199254740993.0", "9007199254740992"),
        ("18446744073709551617", "1844674407370955161.7e1", "18446744073709551616"),
        ("-18446744073709551617", "-18446744073709551617", "18446744073709551617"),
        ("100000000000000000000", "1E+20", "100000000000000000001"),
        (
            "123456789012345678901234567890",
            "12345678901234567890123456789e1",
            "1.2345678901234567e29",
        ),
        ("1e999999999999", "10e999999999998", "1e999999999998"),
        ("-0", "0", "1"),
    ] {
        for transport in BOTH {
            let item = format!(r#"{{"type":"response.output_item.done","item":{}}}"#, sent(n));
            for (given, plan) in
                [(same, incremental(1)), (other, full(FullSendReason::prefix_diverged(1)))]
            {
                let end =
                    r#"{"type":"response.completed","response":{"id":"r","status":"completed"}}"#;
                let lines = [&*item, end].map(|line| Step::Text(line.to_owned()));
                let script = Script::new().turn(Turn::steps(lines)).turn(Turn::text("b"));
                let server = ScriptedServer::in_memory(script);
                let mut session = session(&server, transport);
                let mut request = stored(&["one"]);
                turn(&mut session, &request).await.response();
                // `null` is absent, so that the items are compared member by member.
                let given = sent(given).replace("{", r#"{"more":null,"#);
                request.input.push(Item::from_json(given).unwrap());
                request.input.push(Item::user("two"));
                assert_eq!(turn(&mut session, &request).await.report.plan, plan, "{n} {transport}");
            }
        }
    }
}

#[tokio::test]
async fn c147_a_history_of_large_integers_is_compared_exactly() {
    for (n, same, other) in [
        ("9007199254740993", "9007199254740993.0", "9007199254740992"),
        ("18446744073709551617", "18446744073709551617e0", "18446744073709551616"),
        ("100000000000000000000", "1e20", "100000000000000000001"),
    ] {
        let request = |n: &str| {
            let item = format!(r#"{{"role":"user","content":"hi","n":{n}}}"#);
            let schema = format!(r#"{{"type":"object","maximum":{n}}}"#);
            let mut request = stored(&[]).json_schema("a", Json::parse(schema).unwrap());
            request.input.push(Item::from_json(item).unwrap());
            request
        };
        for (given, is_same) in [(same, true), (other, false)] {
            let server = answers();
            let mut session = session(&server, Transport::WebSocket);
            let first = turn(&mut session, &request(n)).await;
            let mut next = appended(&request(given), &first, "two");
            next.text = request(n).text;
            let plan = turn(&mut session, &next).await.report.plan;
            assert_eq!(plan == incremental(1), is_same, "{given}");

            let second = turn(&mut session, &request(n)).await;
            let mut next = appended(&request(n), &second, "two");
            next.text = request(given).text;
            let plan = turn(&mut session, &next).await.report.plan;
            assert_eq!(plan == incremental(1), is_same, "{given}");
        }
    }
}

#[tokio::test]
async fn c018_the_callers_own_items_may_be_spelled_anew() {
    let server = answers();
    let mut session = session(&server, Transport::WebSocket);
    let mut request = request(&[]);
    request.input.push(Item::from_json(r#"{"role":"user","content":"hi","n":1.0}"#).unwrap());
    let first = turn(&mut session, &request).await;
    let mut next = appended(&request, &first, "two");
    let anew = Item::from_json("{ \"n\": 1, \"content\": \"h\\u0069\", \"role\": \"user\" }");
    next.input.splice(0..1, [anew.unwrap()]);
    assert_eq!(turn(&mut session, &next).await.report.plan, incremental(1));
}

#[tokio::test]
async fn c018_strings_within_items_are_compared_to_the_letter() {
    for transport in BOTH {
        let sent = call(r#"{"a": 1, "b": 2}"#);
        let same = plan_after(transport, &sent, |item| item.json().as_str().to_owned()).await;
        assert_eq!(same, incremental(1), "{transport}");
        for arguments in [r#"{"a":1,"b":2}"#, r#"{"b": 2, "a": 1}"#, r#"{"a": 1.0, "b": 2}"#] {
            let plan = plan_after(transport, &sent, |_| call(arguments).to_string()).await;
            assert_eq!(plan, full(FullSendReason::prefix_diverged(1)), "{transport}");
        }
    }
}

/// Takes these members out of a message, or of its only part.
fn without(item: &Item, members: &[&str]) -> String {
    let mut item = value(item);
    for member in members {
        item.as_object_mut().unwrap().remove(*member);
        item["content"][0].as_object_mut().unwrap().remove(*member);
    }
    item.to_string()
}

#[tokio::test]
async fn c019_what_only_the_server_adds_may_be_dropped() {
    for transport in BOTH {
        for members in [
            &["status"][..],
            &["annotations"],
            &["logprobs"],
            &["created_by"],
            &["phase"],
            &["status", "annotations", "logprobs", "created_by", "phase"],
        ] {
            let plan = plan_after(transport, &message(), |item| without(item, members)).await;
            assert_eq!(plan, incremental(1), "{transport} {members:?}");
        }
        for member in ["id", "role", "text"] {
            let plan = plan_after(transport, &message(), |item| without(item, &[member])).await;
            let diverged = full(FullSendReason::prefix_diverged(1));
            assert_eq!(plan, diverged, "{transport} {member}");
        }
    }
}

#[tokio::test]
async fn c025_items_are_sent_as_they_were_given() {
    for transport in BOTH {
        let server = answers();
        let mut session = session(&server, transport);
        let given = [
            r#"{"type" : "new_thing",  "n": 1.50, "z": null}"#,
            r#"{"role":"user","content":"caf\u00e9 \/"}"#,
            r#"{"role":"user","content":"caf\u00e9 \/"}"#,
            r#"{"type":"function_call_output","call_id":"nobody","output":"{ }"}"#,
        ];
        let mut request = stored(&[]);
        request.input.extend(given.iter().map(|item| Item::from_json(*item).unwrap()));
        let first = turn(&mut session, &request).await;
        let mut next = request.clone();
        next.input.extend(first.response().output_items());
        next.input.extend(given.iter().map(|item| Item::from_json(*item).unwrap()));
        assert_eq!(turn(&mut session, &next).await.report.plan, incremental(4));
        let to_the_letter = format!("\"input\":[{}]", given.join(","));
        for sent in server.log().requests {
            assert!(sent.raw.contains(&to_the_letter), "{transport}");
        }
    }
}

#[tokio::test]
async fn c025_the_servers_items_go_back_as_they_came() {
    let item = r#"{"id":"x_1","type":"new_thing","n":1.50,"u":"\u00e9","z":null}"#;
    let done = format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{item}}}"#);
    let first = Turn::output([]).insert(2, Step::Text(done));
    let script = Script::new().turn(first).respond(|_| Turn::text("b"));
    let server = ScriptedServer::in_memory(script);
    let mut session = session(&server, Transport::Sse);
    let request = request(&["one"]);
    let first = turn(&mut session, &request).await;
    turn(&mut session, &appended(&request, &first, "two")).await.response();
    assert!(server.log().requests[1].raw.contains(item));
}
