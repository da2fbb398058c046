//! The scripted server for clients of others: answers without streaming, and the API's refusals.

use responses_client::{
    Item, ResponsesRequest, Tool,
    testing::{Script, Turn},
};
use serde_json::{Value, json};

use crate::support::{
    BOTH, builder, only,
    plain::{create, create_over_websocket},
    server,
};

/// A server that answers everything that it does not refuse.
fn strict() -> Script {
    Script::new().respond(|_| Turn::text("fine")).strict()
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

fn call(call_id: &str) -> Value {
    json!({ "type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}" })
}

fn output(call_id: &str) -> Value {
    json!({ "type": "function_call_output", "call_id": call_id, "output": "out" })
}

/// Each refused body, with the message, the param and the code of its error.
fn refused() -> Vec<(Value, &'static str, Value, Value)> {
    let with_input = |input: Value| json!({ "model": "m", "input": input });
    let input = || json!("input");
    vec![
        (
            with_input(json!([user("hi"), output("call_1")])),
            "No tool call found for function call output with call_id call_1.",
            input(),
            Value::Null,
        ),
        (
            with_input(json!([user("hi"), call("call_1"), user("and?")])),
            "No tool output found for function call call_1.",
            input(),
            Value::Null,
        ),
        (
            with_input(json!([call("call_1"), output("call_1"), output("call_1")])),
            "Duplicate function_call_output for call_id 'call_1'. Each function_call must have \
             exactly one matching function_call_output",
            input(),
            Value::Null,
        ),
        (
            with_input(json!([])),
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be \
             provided.",
            Value::Null,
            json!("missing_required_parameter"),
        ),
        (
            json!({ "model": "m" }),
            "Missing required parameter: 'input'.",
            input(),
            json!("missing_required_parameter"),
        ),
        (
            json!({ "input": "hi" }),
            "Missing required parameter: 'model'.",
            json!("model"),
            json!("missing_required_parameter"),
        ),
        (
            with_input(json!([user("hi"), { "role": "tool", "content": "out" }])),
            "Invalid value: 'tool'. Supported values are: 'assistant', 'system', 'developer', and \
             'user'.",
            json!("input[1]"),
            json!("invalid_value"),
        ),
        (
            with_input(json!([{ "role": "assistant", "content": [{ "type": "input_text" }] }])),
            "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'.",
            json!("input[0].content[0]"),
            json!("invalid_value"),
        ),
    ]
}

#[tokio::test]
async fn c184_a_strict_server_refuses_what_the_api_refuses_on_both_transports() {
    for (body, message, param, code) in refused() {
        let server = server(strict()).await;
        let url = server.url();
        let expected = json!({ "error": {
            "type": "invalid_request_error", "message": message, "param": param, "code": code,
        } });
        assert_eq!(create_over_websocket(&url, &body).await, (400, expected.clone()));
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = stream.into();
            assert_eq!(create(&url, &body).await, (400, expected.clone()));
        }
        assert!(server.log().requests.iter().all(|seen| seen.turn.is_none() && seen.finished));

        let lenient = crate::support::server(Script::from([Turn::text("fine")])).await;
        assert_eq!(create(&lenient.url(), &body).await.0, 200, "{body}");
    }
    let server = server(strict()).await;
    let unknown = json!({ "model": "m", "input": [{ "type": "tool_result", "id": "a" }] });
    let (status, error) = create(&server.url(), &unknown).await;
    let message = error["error"]["message"].as_str().unwrap();
    assert_eq!((status, &error["error"]["param"]), (400, &json!("input[0]")));
    assert!(message.starts_with("Invalid value: 'tool_result'. Supported values are: 'additional"));
    let reference = json!({ "model": "m", "input": [{ "type": "item_reference", "id": "rs_1" }] });
    assert_eq!(create(&server.url(), &reference).await.0, 404);
}

#[tokio::test]
async fn c184_the_history_that_a_request_continues_counts() {
    let script = Script::from([
        Turn::output([json!({ "type": "function_call", "name": "f", "arguments": "{}" })]),
        Turn::text("done"),
        Turn::text("by reference"),
    ]);
    let server = server(script.strict()).await;
    let url = server.url();
    let (status, first) = create(&url, &json!({ "model": "m", "input": "hi" })).await;
    assert_eq!(status, 200);
    let (id, item) = (&first["id"], &first["output"][0]);
    let call_id = item["call_id"].as_str().unwrap();
    let next = |input: Value| json!({ "model": "m", "previous_response_id": id, "input": input });
    let (status, error) = create(&url, &next(json!([user("and?")]))).await;
    let message = format!("No tool output found for function call {call_id}.");
    assert_eq!((status, &error["error"]["message"]), (400, &json!(message)));
    let (status, error) = create(&url, &next(json!([item, output(call_id)]))).await;
    let message = error["error"]["message"].as_str().unwrap();
    assert_eq!((status, message.starts_with("Duplicate item found with id fc_")), (400, true));
    assert_eq!(create_over_websocket(&url, &next(json!([output(call_id)]))).await.0, 200);
    let reference = json!({ "type": "item_reference", "id": item["id"] });
    let input = json!([user("hi"), reference, output(call_id)]);
    let (status, last) = create(&url, &json!({ "model": "m", "input": input })).await;
    assert_eq!((status, &last["output"][0]["content"][0]["text"]), (200, &json!("by reference")));
}

#[tokio::test]
async fn c184_a_session_is_not_refused() {
    for transport in BOTH {
        let server = server(Script::agent().strict()).await;
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let mut session = client.session();
        let tools = ["list_files", "read_file"].map(|name| {
            Tool::from_json(json!({ "type": "function", "name": name }).to_string()).unwrap()
        });
        let mut request = ResponsesRequest::new("m").tools(tools).store(false).input("Find it");
        for turn in 0..5 {
            let response = session.respond(&request).await.unwrap();
            request.input.extend(response.output_items());
            let call = response.function_calls().into_iter().next().unwrap();
            request.input.push(Item::function_call_output(&call.call_id, "a.rs"));
            assert_eq!(call.call_id, format!("call_{}", turn + 1), "{transport:?}");
        }
        assert!(server.log().requests.iter().all(|seen| seen.turn.is_some()));
    }
}

#[tokio::test]
async fn c184_a_request_without_streaming_gets_the_response_of_the_last_event() {
    let turn = || {
        Turn::incomplete(
            [json!({ "type": "message", "role": "assistant",
        "content": [{ "type": "output_text", "text": "Hel", "annotations": [] }] })],
            "max_output_tokens",
        )
    };
    let body = json!({ "model": "m", "input": "hi" });
    let streamed = server(Script::from(turn())).await;
    let expected = create_over_websocket(&streamed.url(), &body).await;
    let script = Script::from(turn()).turn(Turn::error(429, "rate_limit_exceeded", "Later."));
    let plain = server(script).await;
    assert_eq!(create(&plain.url(), &body).await, expected);
    assert_eq!(expected.1["output"][0]["status"], "completed");
    let (status, error) = create(&plain.url(), &body).await;
    assert_eq!((status, &error["error"]["code"]), (429, &json!("rate_limit_exceeded")));
}
