//! Settled output, made of the stream and the terminal event.

use std::{fs, path::Path, slice::from_ref};

use responses_client::{
    Item, Response, ResponsesRequest, Transport,
    event::{CustomToolCall, FunctionCall, ResponseEvent},
    report::FullSendReason,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::support::{
    BOTH, Outcome, appended, builder, full, guarded, incremental, only, request, turn,
};

pub(crate) fn created() -> Value {
    json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress" } })
}

pub(crate) fn added(index: u32, item: Value) -> Value {
    json!({ "type": "response.output_item.added", "output_index": index, "item": item })
}

pub(crate) fn done(index: u32, item: Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": index, "item": item })
}

/// An event of an item, with these members too.
pub(crate) fn of_item(kind: &str, index: u32, id: &str, members: Value) -> Value {
    let mut event = json!({ "type": format!("response.{kind}"), "output_index": index });
    if !id.is_empty() {
        event["item_id"] = id.into();
    }
    merge(&mut event, members);
    event
}

pub(crate) fn delta(index: u32, id: &str, text: &str) -> Value {
    of_item("output_text.delta", index, id, json!({ "content_index": 0, "delta": text }))
}

pub(crate) fn arguments_done(index: u32, id: &str, arguments: &str) -> Value {
    of_item("function_call_arguments.done", index, id, json!({ "arguments": arguments }))
}

/// A terminal event whose response has these members too.
pub(crate) fn ended(status: &str, members: Value) -> Value {
    let mut response = json!({ "id": "resp_1", "object": "response", "status": status });
    merge(&mut response, members);
    json!({ "type": format!("response.{status}"), "response": response })
}

pub(crate) fn completed(output: &[Value]) -> Value {
    ended("completed", json!({ "output": output }))
}

fn merge(object: &mut Value, members: Value) {
    let members = members.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(members);
}

pub(crate) fn with(mut item: Value, members: Value) -> Value {
    merge(&mut item, members);
    item
}

pub(crate) fn message(id: &str, text: &str) -> Value {
    json!({ "id": id, "type": "message", "status": "completed", "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }] })
}

pub(crate) fn call(id: &str, call_id: &str, arguments: &str) -> Value {
    json!({ "id": id, "type": "function_call", "status": "completed", "call_id": call_id,
        "name": "lookup", "arguments": arguments })
}

pub(crate) fn custom(id: &str, call_id: &str, input: &str) -> Value {
    json!({ "id": id, "type": "custom_tool_call", "status": "completed", "call_id": call_id,
        "name": "patch", "input": input })
}

pub(crate) fn reasoning(id: &str, secret: &str) -> Value {
    json!({ "id": id, "type": "reasoning", "summary": [], "encrypted_content": secret })
}

/// What came of a turn, and what the session sent after it.
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    /// The items of the response.
    pub(crate) items: Vec<Value>,
    /// The full body of the second turn.
    pub(crate) body: String,
}

impl Ran {
    pub(crate) fn response(&self) -> &Response {
        self.outcome.response()
    }

    pub(crate) fn text(&self) -> String {
        self.response().output_text()
    }

    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        let call = |call: FunctionCall| (call.call_id, call.arguments.as_str().to_owned());
        self.response().function_calls().into_iter().map(call).collect()
    }

    pub(crate) fn custom_calls(&self) -> Vec<(String, String)> {
        let call = |call: CustomToolCall| (call.call_id, call.input.as_str().to_owned());
        self.response().custom_tool_calls().into_iter().map(call).collect()
    }

    pub(crate) fn has(&self, anomaly: &str) -> bool {
        self.outcome.report.anomalies.iter().any(|it| format!("{it:?}") == anomaly)
    }
}

/// The request after it: what the server answered, an output for each call, and a message.
fn answered(request: &ResponsesRequest, outcome: &Outcome) -> ResponsesRequest {
    let (mut next, response) = (request.clone(), outcome.response());
    next.input.extend(response.output_items());
    for call in response.function_calls() {
        next.input.push(Item::function_call_output(&call.call_id, "fine"));
    }
    for call in response.custom_tool_calls() {
        next.input.push(Item::custom_tool_call_output(&call.call_id, "fine"));
    }
    next.input.push(Item::user("two"));
    next
}

/// Plays these events in one turn. A second turn must send all items of the response in full, a
/// third must leave out what the server has.
pub(crate) async fn played<S: ToString>(transport: Transport, events: &[S]) -> Ran {
    let first = || Turn::steps(events.iter().map(|event| Step::Text(event.to_string())));
    let script = Script::new().turns([first(), Turn::text("two"), Turn::text("three")]);
    let server = ScriptedServer::in_memory(script);
    let client = builder(&server).transport(only(transport)).build().expect("a client");
    let mut session = client.session();
    let one = request(&["one"]);
    let outcome = guarded(turn(&mut session, &one)).await;
    let mut two = answered(&one, &outcome);
    two.instructions = Some("Now differently".into());
    let second = guarded(turn(&mut session, &two)).await;
    let completed = matches!(outcome.events.last(), Some(ResponseEvent::Completed(_)));
    if completed {
        assert_eq!(second.report.plan, full(FullSendReason::InstructionsChanged));
    }
    let body = server.log().requests[1].raw.clone();
    let items: Vec<Item> = outcome.response().output_items().collect();
    let sent: Vec<&str> = items.iter().map(|item| item.json().as_str()).collect();
    assert!(body.contains(&sent.join(",")), "{transport}: {sent:?} in {body}");
    let third = guarded(turn(&mut session, &appended(&two, &second, "three"))).await;
    assert_eq!(third.response().output_text(), "three");

    // The same turn once more, continued at once.
    if transport == Transport::WebSocket && completed {
        let server = ScriptedServer::in_memory(Script::new().turns([first(), Turn::text("two")]));
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let mut session = client.session();
        let again = guarded(turn(&mut session, &one)).await;
        let two = answered(&one, &again);
        let new = two.input.len() - one.input.len() - items.len();
        let next = guarded(turn(&mut session, &two)).await;
        assert_eq!(next.report.plan, incremental(new));
        assert_eq!(server.log().requests[1].input_items, new);
        let parent = server.log().requests[1].previous_response_id.clone();
        assert_eq!(parent.as_deref(), Some("resp_1"));
    }
    let items = items.iter().map(|item| item.json().decode().expect("JSON")).collect();
    Ran { outcome, items, body }
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

/// The reports of users, and what each must come to.
#[tokio::test(start_paused = true)]
async fn k_reported_streams_settle_as_wanted() {
    const X: &str = "{\"q\":\"x\"}";
    const HERE: &str = "Here you are.";
    let x = || call("fc_1", "call_1", X);
    let here = || message("msg_1", HERE);
    let without_id = |mut item: Value| {
        item.as_object_mut().expect("an object").remove("id");
        item
    };
    let text_part = json!([{ "type": "text", "text": HERE }]);
    let wanted: Vec<(&str, Vec<Value>)> = vec![
        ("arguments-as-an-object", vec![x()]),
        ("call-never-finished-and-terminal-is-empty", vec![x()]),
        ("call_ids-change-at-the-end", vec![x()]),
        ("created-twice", vec![here()]),
        ("finished-items-are-empty", vec![here()]),
        ("half-a-surrogate-in-a-piece", vec![message("msg_1", "x")]),
        ("half-a-surrogate-in-the-item", vec![message("msg_1", "\u{fffd}")]),
        ("indices-from-one", vec![x()]),
        ("item-closed-behind-its-first-piece", vec![here()]),
        ("one-index-empty-ids", vec![call("", "call_1", X), call("", "call_2", "{\"q\":\"y\"}")]),
        ("one-index-for-all", vec![reasoning("rs_1", "ENC"), here(), x()]),
        ("one-index-no-ids", vec![without_id(x()), without_id(here())]),
        ("part-called-text", vec![with(here(), json!({ "content": text_part }))]),
        ("reasoning-secret-in-terminal-alone", vec![reasoning("rs_1", "ENC"), x()]),
        ("surrogates-over-two-pieces", vec![message("msg_1", "ok \u{1f600}")]),
        (
            "text-in-deltas-alone-is-in-the-history",
            vec![json!({ "type": "message",
            "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": HERE, "annotations": [] }] })],
        ),
        ("two-identities", vec![reasoning("aaa", "ENC"), call("bbb", "call_1", X)]),
        ("two-identities-from-one", vec![call("bbb", "call_1", X)]),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports");
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), wanted.len());
    for (name, wanted) in wanted {
        let text = fs::read_to_string(folder.join(format!("{name}.jsonl"))).expect("a text");
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        for transport in BOTH {
            let ran = played(transport, &lines).await;
            assert_eq!(ran.items, wanted, "{name} over {transport}");
            let texts = wanted.iter().flat_map(|item| item["content"].as_array());
            let texts: String = texts.flatten().filter_map(|part| part["text"].as_str()).collect();
            assert_eq!(ran.text(), texts, "{name} over {transport}");
            let calls: Vec<_> = wanted.iter().filter_map(|item| item["call_id"].as_str()).collect();
            let handed_out = ran.calls();
            let handed_out: Vec<_> = handed_out.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(handed_out, calls, "{name} over {transport}");
            if name == "half-a-surrogate-in-the-item" {
                assert!(ran.body.contains(r#""text": "\ud83d""#), "it goes back as it came");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c122_the_terminal_overrules_and_completes_a_finished_item() {
    for transport in BOTH {
        let compaction = |secret: &str| json!({ "id": "cmp_1", "type": "compaction", "encrypted_content": secret });
        let search = |action: Value| {
            json!({ "id": "ws_1", "type": "web_search_call", "status": "completed",
                "action": action })
        };
        let action = json!({ "type": "search", "query": "q" });
        let image = |result: Value| {
            json!({ "id": "ig_1", "type": "image_generation_call", "status": "completed",
                "result": result })
        };
        let code = |outputs: Value| {
            json!({ "id": "ci_1", "type": "code_interpreter_call", "status": "completed",
                "code": "1", "outputs": outputs })
        };
        let logs = json!([{ "type": "logs", "logs": "l" }]);
        let summary = json!([{ "type": "summary_text", "text": "s" }]);
        let thought = |summary: Value| with(reasoning("rs_1", "E"), json!({ "summary": summary }));
        for (finished, told, wanted) in [
            // What it lacks, and what is newer.
            (reasoning("rs_1", ""), reasoning("rs_1", "E"), reasoning("rs_1", "E")),
            (thought(json!([])), thought(summary.clone()), thought(summary.clone())),
            (compaction("old"), compaction("new"), compaction("new")),
            (message("m", "H"), message("m", "Hello"), message("m", "Hello")),
            (message("m", ""), message("m", "Hello"), message("m", "Hello")),
            (call("f", "c", ""), call("f", "c", "{\"a\":1}"), call("f", "c", "{\"a\":1}")),
            (custom("f", "c", ""), custom("f", "c", "in"), custom("f", "c", "in")),
            (search(json!(null)), search(action.clone()), search(action.clone())),
            (image(json!(null)), image(json!("AA==")), image(json!("AA=="))),
            (code(json!(null)), code(logs.clone()), code(logs.clone())),
            // An empty value says nothing.
            (reasoning("rs_1", "E"), reasoning("rs_1", ""), reasoning("rs_1", "E")),
            (thought(summary.clone()), thought(json!(null)), thought(summary.clone())),
            (message("m", "Hello"), message("m", ""), message("m", "Hello")),
            (
                message("m", "Hello"),
                with(message("m", ""), json!({ "content": [], "role": null })),
                message("m", "Hello"),
            ),
            (call("f", "c", "{\"a\":1}"), call("f", "c", ""), call("f", "c", "{\"a\":1}")),
            (search(action.clone()), search(json!({})), search(action.clone())),
            // A tool may have run under the identity.
            (
                call("f", "c", "{}"),
                with(call("other", "c2", "{}"), json!({ "new": 1 })),
                with(call("f", "c", "{}"), json!({ "new": 1 })),
            ),
        ] {
            let events = [created(), done(0, finished.clone()), completed(from_ref(&told))];
            let ran = played(transport, &events).await;
            assert_eq!(ran.items, from_ref(&wanted), "{transport}: {finished} and {told}");
            let changed = ran.has("ItemChanged { output_index: 0 }");
            assert_eq!(changed, finished != wanted, "{finished}");
        }
        // A name that only the announcement has, and one that only the terminal event has.
        let mut nameless = call("f", "c", "{}");
        nameless.as_object_mut().expect("an object").remove("name");
        for events in [
            [created(), added(0, call("f", "c", "")), done(0, nameless.clone()), completed(&[])],
            [
                created(),
                added(0, nameless.clone()),
                done(0, nameless.clone()),
                completed(&[call("f", "c", "{}")]),
            ],
        ] {
            let ran = played(transport, &events).await;
            assert_eq!(ran.items, [call("f", "c", "{}")], "{transport}");
            assert_eq!(ran.calls(), [pair("c", "{}")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c122_an_item_that_needs_no_merge_stays_byte_for_byte() {
    const ODD: &str = r#"{ "type":"message","id" : "m","n":1.50, "content":[{"type":"output_text","text":"\u0041"}] }"#;
    for transport in BOTH {
        let events = |output: &str| {
            [
                created().to_string(),
                format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{ODD}}}"#),
                format!(
                    r#"{{"type":"response.completed","response":{{"id":"resp_1","status":"completed","output":{output}}}}}"#
                ),
            ]
        };
        for output in
            [format!("[{ODD}]"), "[]".to_owned(), r#"[{"type":"message","id":"m"}]"#.into()]
        {
            let ran = played(transport, &events(&output)).await;
            let item = ran.response().output_items().next().expect("an item");
            assert_eq!(item.json().as_str(), ODD, "{transport} {output}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c122_an_end_that_is_repeated_with_less_takes_nothing_away() {
    let bare_call = json!({ "id": "f", "type": "function_call", "call_id": "c" });
    for (item, repeated) in [
        (message("m", "Hello"), json!({ "id": "m", "type": "message", "content": [] })),
        (call("f", "c", "{\"a\":1}"), call("f", "c", "")),
        (call("f", "c", "{\"a\":1}"), bare_call),
        (custom("f", "c", "x"), with(custom("f", "c", ""), json!({ "name": null }))),
        (reasoning("r", "E"), with(reasoning("r", ""), json!({ "encrypted_content": null }))),
    ] {
        for transport in BOTH {
            let ends = [done(0, item.clone()), done(0, repeated.clone())];
            let events = [created(), ends[0].clone(), ends[1].clone(), completed(&[])];
            let ran = played(transport, &events).await;
            assert_eq!(ran.items, from_ref(&item), "{transport} {repeated}");
            assert!(ran.has("ItemFinishedTwice { output_index: 0 }"), "{transport}");
        }
    }
    for transport in BOTH {
        let ends = [done(0, message("m", "Hello")), done(0, message("m", "Hello you"))];
        let events = [created(), ends[0].clone(), ends[1].clone(), completed(&[])];
        assert_eq!(played(transport, &events).await.text(), "Hello you", "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c123_what_was_never_finished_is_settled_from_its_parts() {
    for transport in BOTH {
        let announced = with(call("f", "c", ""), json!({ "status": "in_progress" }));
        let announced_custom = with(custom("t", "d", ""), json!({ "status": "in_progress" }));
        let refused = of_item("refusal.delta", 3, "", json!({ "delta": "No." }));
        let input = of_item("custom_tool_call_input.done", 2, "t", json!({ "input": "in" }));
        let ran = played(
            transport,
            &[
                created(),
                done(0, reasoning("rs", "E")),
                added(1, announced.clone()),
                arguments_done(1, "f", "{\"a\":1}"),
                added(2, announced_custom),
                input,
                refused,
                completed(&[]),
            ],
        )
        .await;
        assert_eq!(
            ran.items[..3],
            [reasoning("rs", "E"), call("f", "c", "{\"a\":1}"), custom("t", "d", "in"),]
        );
        assert_eq!(ran.items[3]["content"], json!([{ "type": "refusal", "refusal": "No." }]));
        assert_eq!(ran.calls(), [pair("c", "{\"a\":1}")], "{transport}");
        assert_eq!(ran.custom_calls(), [pair("d", "in")]);
        assert!(ran.has("ItemUnfinished { output_index: 1 }"));
        assert!(ran.response().unfinished_items().is_empty());

        // Arguments that were declared finished take no more: the rest is another call's.
        let ran = played(
            transport,
            &[
                created(),
                added(0, announced.clone()),
                arguments_done(0, "", "{\"a\":1}"),
                of_item("function_call_arguments.delta", 0, "", json!({ "delta": "{\"b\":2}" })),
                arguments_done(0, "", "{\"b\":2}"),
                completed(&[]),
            ],
        )
        .await;
        assert_eq!(ran.calls(), [pair("c", "{\"a\":1}")], "{transport}");
        assert_eq!(ran.response().unfinished_items().len(), 1, "a call without a name");

        // The terminal event has another item at the index of the unfinished one.
        let events = [created(), delta(0, "m", "Hello"), completed(&[call("f", "c", "{}")])];
        let ran = played(transport, &events).await;
        assert_eq!((ran.text().as_str(), ran.calls()), ("Hello", vec![pair("c", "{}")]));
    }
}

#[tokio::test(start_paused = true)]
async fn c123_a_call_that_was_only_announced_is_neither_run_nor_given_back() {
    for transport in BOTH {
        let announced = with(call("f", "c", ""), json!({ "status": "in_progress" }));
        let piece = of_item("function_call_arguments.delta", 2, "f", json!({ "delta": "{\"a\":" }));
        for events in [vec![added(2, announced.clone())], vec![added(2, announced), piece]] {
            let mut all =
                vec![created(), done(0, message("m", "Hm.")), done(1, reasoning("rs", "E"))];
            all.extend(events);
            all.push(completed(&[]));
            let ran = played(transport, &all).await;
            assert_eq!(ran.items, [message("m", "Hm.")], "{transport}");
            assert!(ran.calls().is_empty());
            let places: Vec<u32> =
                ran.response().unfinished_items().iter().map(|it| it.output_index()).collect();
            assert_eq!(places, [2]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c123_after_an_incomplete_response_only_completed_calls_count() {
    for transport in BOTH {
        let status = |item: Value, status: &str| with(item, json!({ "status": status }));
        let items = [
            reasoning("r1", "E"),
            call("f", "c1", "{}"),
            reasoning("r2", "E"),
            status(call("g", "c2", "{"), "incomplete"),
            status(custom("h", "c3", "x"), "in_progress"),
        ];
        for streamed in [true, false] {
            let mut events = vec![created()];
            if streamed {
                events.extend((0..).zip(&items).map(|(index, item)| done(index, item.clone())));
            }
            let output: &[Value] = if streamed { &[] } else { &items };
            events.push(ended(
                "incomplete",
                json!({ "output": output,
                "incomplete_details": { "reason": "max_output_tokens" } }),
            ));
            let ran = played(transport, &events).await;
            assert_eq!(ran.items, items[..2], "{transport}, streamed: {streamed}");
            assert_eq!(ran.calls(), [pair("c1", "{}")]);
            assert!(ran.custom_calls().is_empty());
        }
        // Without a status, the end of its item is what shows that a call is whole.
        let bare = |mut item: Value| {
            item.as_object_mut().expect("an object").remove("status");
            item
        };
        let cut = bare(custom("h", "c3", "x"));
        let events = [
            created(),
            done(0, bare(call("f", "c1", "{}"))),
            added(1, with(cut.clone(), json!({ "input": "" }))),
            of_item("custom_tool_call_input.delta", 1, "h", json!({ "delta": "x" })),
            ended(
                "incomplete",
                json!({ "output": [bare(call("f", "c1", "{}")), cut, bare(call("g", "c2", "{"))] }),
            ),
        ];
        let ran = played(transport, &events).await;
        assert_eq!(ran.items, [bare(call("f", "c1", "{}"))], "{transport}");
        assert_eq!(ran.calls(), [pair("c1", "{}")]);
        assert!(ran.custom_calls().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn c124_text_counts_wherever_it_is_told() {
    let part_done = of_item(
        "content_part.done",
        0,
        "m",
        json!({ "content_index": 0, "part": { "type": "output_text", "text": "Hello" } }),
    );
    let text_done = |id| of_item("output_text.done", 0, id, json!({ "text": "Hello" }));
    let empty = || with(message("m", ""), json!({ "content": [] }));
    let in_text =
        || with(message("m", ""), json!({ "content": [{ "type": "text", "text": "Hello" }] }));
    let bare = || with(message("m", ""), json!({ "content": "Hello" }));
    let spoken =
        |output: &[Value]| ended("completed", json!({ "output": output, "output_text": "Hello" }));
    let cases: Vec<Vec<Value>> = vec![
        vec![delta(0, "", "Hel"), delta(0, "", "lo"), completed(&[])],
        vec![delta(0, "m", "Hello"), ended("completed", json!({ "output": null }))],
        vec![delta(0, "m", "Hello"), ended("completed", json!({}))],
        vec![text_done("m"), completed(&[])],
        vec![text_done(""), completed(&[])],
        vec![added(0, empty()), part_done, completed(&[])],
        vec![
            delta(0, "m", "Hello"),
            of_item("output_text.done", 0, "m", json!({ "text": "" })),
            completed(&[]),
        ],
        vec![spoken(&[])],
        vec![spoken(&[empty()])],
        vec![done(0, empty()), spoken(&[])],
        vec![done(0, in_text()), completed(&[])],
        vec![completed(&[in_text()])],
        vec![done(0, bare()), completed(&[])],
        vec![completed(&[bare()])],
        vec![delta(0, "m", "Hello"), done(0, empty()), completed(&[])],
        vec![delta(0, "m", "Hello"), done(0, empty()), completed(&[empty()])],
        vec![delta(0, "m", "Hello"), done(0, message("m", "")), completed(&[message("m", "")])],
        vec![delta(0, "m", "Hello"), completed(&[empty()])],
        // An item that is closed too early, told on with and without its id.
        vec![delta(0, "m", "H"), done(0, message("m", "H")), delta(0, "m", "ello"), completed(&[])],
        vec![delta(0, "", "H"), done(0, message("", "H")), delta(0, "", "ello"), completed(&[])],
        vec![
            delta(0, "", "H"),
            done(0, message("", "H")),
            delta(0, "", "ello"),
            completed(&[message("", "Hello")]),
        ],
        vec![done(0, empty()), delta(0, "m", "Hello"), completed(&[])],
    ];
    for transport in BOTH {
        for case in &cases {
            let events: Vec<Value> = [created()].iter().chain(case).cloned().collect();
            let ran = played(transport, &events).await;
            assert_eq!(ran.text(), "Hello", "{transport}: {case:?}");
            let said: String = ran.items.iter().map(text_of).collect();
            assert_eq!(said, "Hello", "{transport}: {case:?}");
            assert!(ran.body.contains("ello"), "it is in the next request");
        }
    }
}

/// The text of a message, whatever form its content has.
fn text_of(item: &Value) -> String {
    match &item["content"] {
        Value::String(text) => text.clone(),
        content => {
            let parts = content.as_array().into_iter().flatten();
            parts.filter_map(|part| part["text"].as_str()).collect()
        }
    }
}
