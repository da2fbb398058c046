//! The output that events add up to.

use responses_client::{
    Delivery, ErrorKind, Response, ResponseStatus, Transport,
    report::Anomaly,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::support::{
    BOTH, Outcome, anomalies, appended, builder, guarded, incremental, only, request, server,
    socket_client, turn,
};

fn created() -> Value {
    json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress" } })
}

fn added(index: u32, item: Value) -> Value {
    json!({ "type": "response.output_item.added", "output_index": index, "item": item })
}

fn done(index: u32, item: Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": index, "item": item })
}

/// A terminal event whose response has these members too.
fn terminal(status: &str, members: Value) -> Value {
    let mut response = json!({ "id": "resp_1", "object": "response", "status": status });
    for (name, value) in members.as_object().expect("an object") {
        response[name] = value.clone();
    }
    json!({ "type": format!("response.{status}"), "response": response })
}

fn message(id: &str, text: &str) -> Value {
    json!({
        "type": "message",
        "id": id,
        "status": "completed",
        "role": "assistant",
        "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }],
    })
}

fn call(id: &str, status: &str) -> Value {
    json!({
        "type": "function_call",
        "id": id,
        "call_id": format!("call_{id}"),
        "name": "look",
        "arguments": "{\"at\":1}",
        "status": status,
    })
}

/// What comes of these events without sockets.
async fn ran(transport: Transport, steps: impl IntoIterator<Item = Step>) -> Outcome {
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::steps(steps)));
    let client = builder(&server).transport(only(transport)).build().expect("a client");
    guarded(turn(&mut client.session(), &request(&["hi"]))).await
}

async fn ran_events(transport: Transport, events: impl IntoIterator<Item = Value>) -> Outcome {
    ran(transport, events.into_iter().map(Step::Event)).await
}

fn ids(response: &Response) -> Vec<String> {
    response.output_items().filter_map(|item| item.id().map(str::to_owned)).collect()
}

#[tokio::test]
async fn c083_incomplete_keeps_streamed_calls() {
    for transport in BOTH {
        for output in [json!([]), json!(null), json!([message("m", "Hm.")])] {
            let outcome = ran_events(
                transport,
                [
                    created(),
                    done(0, message("m", "Hm.")),
                    done(1, call("f", "completed")),
                    added(2, call("g", "in_progress")),
                    json!({
                        "type": "response.function_call_arguments.delta",
                        "output_index": 2,
                        "delta": "{\"at\":",
                    }),
                    terminal(
                        "incomplete",
                        json!({
                            "output": output,
                            "incomplete_details": { "reason": "max_output_tokens" },
                        }),
                    ),
                ],
            )
            .await;
            let response = outcome.response();
            assert_eq!(response.status(), ResponseStatus::Incomplete);
            assert_eq!(response.incomplete_reason().as_deref(), Some("max_output_tokens"));
            assert!(response.is_incomplete());
            assert_eq!(ids(response), ["m", "f"], "{transport} {output}");
            let calls = response.function_calls();
            assert_eq!((calls.len(), calls[0].arguments.as_str()), (1, "{\"at\":1}"));
            let [unfinished] = response.unfinished_items() else { panic!("one item") };
            assert_eq!((unfinished.output_index(), unfinished.arguments()), (2, "{\"at\":"));
        }
    }
}

#[tokio::test]
async fn c083_incomplete_falls_back_to_its_output() {
    for transport in BOTH {
        let output = json!([message("m", "Cut"), call("f", "completed"), call("g", "incomplete")]);
        let last = terminal(
            "incomplete",
            json!({
                "output": output,
                "incomplete_details": { "reason": "content_filter" },
            }),
        );
        let outcome = ran_events(transport, [created(), last]).await;
        let response = outcome.response();
        assert_eq!(ids(response), ["m", "f"], "a call that is not complete is not given back");
        assert_eq!(response.output_text(), "Cut");
        let calls = response.function_calls();
        assert_eq!(calls.len(), 1, "a call that is not complete is not to be run");
        assert_eq!(calls[0].call_id, "call_f");
        assert_eq!(response.incomplete_reason().as_deref(), Some("content_filter"));
    }
}

#[tokio::test]
async fn c084_items_stand_by_their_index_and_gaps_are_filled_from_the_terminal() {
    for transport in BOTH {
        let all = json!([message("a", "A"), message("b", "B, changed"), message("c", "C")]);
        let outcome = ran_events(
            transport,
            [
                created(),
                done(2, message("c", "C")),
                done(1, message("b", "B")),
                terminal("completed", json!({ "output": all })),
            ],
        )
        .await;
        let response = outcome.response();
        assert_eq!(ids(response), ["a", "b", "c"]);
        assert_eq!(response.output_text(), "AB, changedC", "the terminal has the last word");
        assert!(response.unfinished_items().is_empty());
        assert_eq!(anomalies(&outcome), ["ItemChanged { output_index: 1 }"]);
    }
}

#[tokio::test]
async fn c084_a_terminal_without_output_loses_no_finished_item() {
    for transport in BOTH {
        for members in [json!({ "output": null }), json!({}), json!({ "output": [] })] {
            let outcome = ran_events(
                transport,
                [
                    created(),
                    done(0, message("a", "A")),
                    done(1, call("f", "completed")),
                    terminal("completed", members.clone()),
                ],
            )
            .await;
            let response = outcome.response();
            assert_eq!(ids(response), ["a", "f"], "{transport} {members}");
            assert_eq!(response.function_calls().len(), 1);
            assert_eq!(outcome.report.anomalies, [Anomaly::OutputMissing]);
            // The terminal itself stays as it is.
            let raw: Value = response.raw().expect("the terminal").decode().expect("JSON");
            assert_eq!(raw.get("output"), members.get("output"));
        }
    }
}

#[tokio::test]
async fn c084_the_planner_continues_from_the_same_items() {
    let empty = terminal("completed", json!({ "output": [] }));
    let partly = terminal("completed", json!({ "output": [message("a", "A"), message("b", "B")] }));
    for (last, expected) in [(empty, 2), (partly, 2)] {
        let first =
            Turn::events([created(), done(1, message("b", "B")), done(0, message("a", "A")), last]);
        let script = Script::new().turns([first, Turn::text("next")]);
        let server = server(script).await;
        let mut session = socket_client(&server, only(Transport::WebSocket)).session();
        let one = request(&["one"]);
        let outcome = guarded(turn(&mut session, &one)).await;
        assert_eq!(outcome.response().output_items().len(), expected);
        let next = guarded(turn(&mut session, &appended(&one, &outcome, "two"))).await;
        assert_eq!(next.report.plan, incremental(1));
        assert_eq!(next.response().output_text(), "next");
        let log = server.log();
        assert_eq!(log.requests[1].previous_response_id.as_deref(), Some("resp_1"));
        assert_eq!(log.requests[1].input_items, 1);
    }
}

#[tokio::test]
async fn c099_the_terminal_object_stays_as_received() {
    const ODD: &str = concat!(
        r#"{ "id":"resp_1" ,"created_at": 1.79e9, "#,
        r#""metadata":{}, "error": null,"output" : [], "usage":{"total_tokens":3.0},"#,
        r#" "text\u002dlike": "\u00e9" }"#,
    );
    for transport in BOTH {
        for kind in ["response.completed", "response.incomplete"] {
            let event = format!(r#"{{"type":"{kind}","response":{ODD},"extra":[1]}}"#);
            let steps = [
                Step::Event(created()),
                Step::Event(done(0, message("a", "A"))),
                Step::Text(event.clone()),
            ];
            let outcome = ran(transport, steps).await;
            assert_eq!(outcome.events.last().expect("the terminal").raw(), event);
            let response = outcome.response();
            let raw = response.raw().expect("the terminal object");
            assert_eq!(raw.as_str(), ODD, "{transport} {kind}");
            let object: Value = raw.decode().expect("JSON");
            // Null, empty and absent are not the same.
            assert_eq!(object.get("error"), Some(&Value::Null));
            assert_eq!(object.get("output"), Some(&json!([])));
            assert_eq!(object.get("metadata"), Some(&json!({})));
            assert_eq!(object.get("incomplete_details"), None);
            assert_eq!(response.usage().expect("usage").total_tokens, 3);
            assert_eq!(ids(response), ["a"]);
        }
    }
}

#[tokio::test]
async fn c100_changed_ids_and_types_are_reported_and_end_nothing() {
    for transport in BOTH {
        let at = |index: u32, id: &str| {
            json!({
                "type": "response.output_text.delta",
                "output_index": index,
                "item_id": id,
                "content_index": 0,
                "delta": "x",
            })
        };
        let mut other = terminal("completed", json!({ "output": [] }));
        other["response"]["id"] = "resp_2".into();
        let events = [
            created(),
            added(0, json!({ "type": "message", "id": "m_1" })),
            at(0, "m_1"),
            at(0, "m_other"),
            done(0, message("m_1", "xx")),
            added(1, json!({ "type": "message", "id": "m_2" })),
            done(1, message("m_changed", "A")),
            added(2, json!({ "type": "message", "id": "f" })),
            done(2, call("f", "completed")),
            done(3, message("m_1", "the same id again")),
            done(3, message("m_1", "and the same place")),
            other,
        ];
        let outcome = ran_events(transport, events.clone()).await;
        let response = outcome.response();
        assert_eq!(
            anomalies(&outcome),
            [
                "ItemId { output_index: 0 }",
                "ItemId { output_index: 1 }",
                "ItemType { output_index: 2 }",
                "DuplicateItemId { output_index: 3 }",
                "ItemFinishedTwice { output_index: 3 }",
                "ResponseId",
                "OutputMissing",
            ]
        );
        assert_eq!(ids(response), ["m_1", "m_changed", "f", "m_1"], "{transport}");
        assert_eq!(response.output_text(), "xxAand the same place");
        assert_eq!(response.function_calls().len(), 1);
        assert_eq!(response.id(), "resp_1");
        // None of the events was touched.
        for (event, sent) in outcome.events.iter().zip(&events) {
            assert_eq!(serde_json::from_str::<Value>(event.raw()).expect("JSON"), *sent);
        }
        assert_eq!(outcome.events.len(), events.len());
    }
}

#[tokio::test]
async fn c100_an_item_whose_events_have_all_another_id_is_one_item() {
    for transport in BOTH {
        // As a known gateway does.
        let text = Turn::text("One item").map_events(|place, mut event| {
            if event.get("item_id").is_some() {
                event["item_id"] = format!("id_{place}").into();
            }
            if event.get("item").is_some() {
                event["item"]["id"] = format!("id_{place}").into();
            }
            event
        });
        let server = ScriptedServer::in_memory(Script::new().turn(text));
        let client = builder(&server).transport(only(transport)).build().expect("a client");
        let outcome = guarded(turn(&mut client.session(), &request(&["hi"]))).await;
        let response = outcome.response();
        assert_eq!(response.output_text(), "One item", "{transport}");
        assert_eq!(response.output_items().len(), 1);
        assert!(anomalies(&outcome).iter().any(|it| it == "ItemId { output_index: 0 }"));
    }
}

/// The response as far as it came before the connection was cut.
async fn cut(transport: Transport, events: impl IntoIterator<Item = Value>) -> Response {
    let steps = events.into_iter().map(Step::Event).chain([Step::End]);
    let outcome = ran(transport, [Step::Event(created())].into_iter().chain(steps)).await;
    let error = outcome.error();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Truncated, Delivery::OutputStarted));
    error.response().expect("what came").clone()
}

#[tokio::test]
async fn c101_sparse_indices_are_kept_in_partial_snapshots() {
    for transport in BOTH {
        let delta = |index: u32, part: u32, text: &str| {
            json!({
                "type": "response.output_text.delta",
                "output_index": index,
                "content_index": part,
                "delta": text,
            })
        };
        let partial = cut(
            transport,
            [
                delta(9, 4, "last "),
                delta(3, 2, "second "),
                delta(9, 7, "of all"),
                delta(3, 0, "first "),
                done(6, message("m", "finished ")),
                delta(9, 4, "but one "),
            ],
        )
        .await;
        let places: Vec<u32> =
            partial.unfinished_items().iter().map(|i| i.output_index()).collect();
        assert_eq!(places, [3, 9], "{transport}");
        assert_eq!(partial.unfinished_items()[0].text(), "first second ");
        assert_eq!(partial.unfinished_items()[1].text(), "last but one of all");
        assert_eq!(ids(&partial), ["m"]);
        assert!(partial.output_text().contains("finished "));
        assert!(!partial.is_finished());
    }
}

#[tokio::test]
async fn c101_shell_output_is_kept_whatever_its_order() {
    for transport in BOTH {
        let delta = |command: u32, delta: Value| {
            json!({
                "type": "response.shell_call_output_content.delta",
                "output_index": 0,
                "command_index": command,
                "delta": delta,
            })
        };
        let whole = json!({
            "type": "response.shell_call_output_content.done",
            "output_index": 0,
            "command_index": 2,
            "output": [{ "stdout": "all of it", "stderr": "!", "outcome": { "type": "exit" } }],
        });
        let partial = cut(
            transport,
            [
                added(0, json!({ "type": "shell_call_output", "id": "sh_1" })),
                delta(2, json!({ "stdout": "part" })),
                delta(0, json!({ "stdout": "a" })),
                delta(0, json!({ "stderr": "oh" })),
                whole,
                delta(0, json!({ "stdout": "b", "stderr": " no" })),
            ],
        )
        .await;
        let [shell] = partial.unfinished_items() else { panic!("one item") };
        let output: Vec<_> = shell
            .shell_output()
            .map(|(place, output)| (place, output.stdout.as_str(), output.stderr.as_str()))
            .collect();
        assert_eq!(output, [(0, "ab", "oh no"), (2, "all of it", "!")], "{transport}");
        let skeleton = shell.initial().expect("how it began");
        assert_eq!(skeleton.member::<String>("id").expect("JSON").as_deref(), Some("sh_1"));
    }
}

#[tokio::test]
async fn c101_annotations_refusals_and_reasoning_are_kept() {
    for transport in BOTH {
        let on = |kind: &str, index: u32, members: Value| {
            let mut event = json!({ "type": format!("response.{kind}"), "output_index": index });
            for (name, value) in members.as_object().expect("an object") {
                event[name] = value.clone();
            }
            event
        };
        let annotation = |place: u32| {
            on(
                "output_text.annotation.added",
                1,
                json!({
                    "content_index": 0,
                    "annotation_index": place,
                    "annotation": { "type": "url_citation", "url": format!("https://x.example/{place}") },
                }),
            )
        };
        let partial = cut(
            transport,
            [
                on(
                    "reasoning_summary_text.delta",
                    0,
                    json!({ "summary_index": 1, "delta": "then that" }),
                ),
                on(
                    "reasoning_summary_text.delta",
                    0,
                    json!({ "summary_index": 0, "delta": "This, " }),
                ),
                on("reasoning_text.delta", 0, json!({ "content_index": 0, "delta": "Thi" })),
                on("reasoning_text.done", 0, json!({ "content_index": 0, "text": "Thinking" })),
                on("output_text.delta", 1, json!({ "content_index": 0, "delta": "See " })),
                annotation(1),
                annotation(0),
                on("refusal.delta", 2, json!({ "content_index": 0, "delta": "I " })),
                on("refusal.delta", 2, json!({ "content_index": 0, "delta": "cannot" })),
                on("custom_tool_call_input.delta", 3, json!({ "delta": "*** Beg" })),
            ],
        )
        .await;
        let [reasoning, text, refusal, tool] = partial.unfinished_items() else { panic!("four") };
        assert_eq!(reasoning.reasoning_summary(), "This, then that", "{transport}");
        assert_eq!(reasoning.reasoning(), "Thinking");
        assert_eq!(text.text(), "See ");
        let urls: Vec<Option<String>> =
            text.annotations().map(|annotation| annotation.member("url").expect("JSON")).collect();
        assert_eq!(urls, [0, 1].map(|place| Some(format!("https://x.example/{place}"))));
        assert_eq!(refusal.refusal(), "I cannot");
        assert_eq!(tool.input(), "*** Beg");
        assert!(partial.custom_tool_calls().is_empty() && partial.function_calls().is_empty());
    }
}
