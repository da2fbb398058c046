//! Matching of the items of a stream with those of its terminal event.

use std::slice::from_ref;

use responses_client::{
    Item, Transport,
    event::ResponseEvent,
    testing::{Script, ScriptedServer, Turn},
};
use serde_json::{Value, json};

use crate::{
    settled_output::{
        added, arguments_done, call, completed, created, custom, delta, done, ended, message,
        of_item, played, reasoning, with,
    },
    support::{BOTH, builder, guarded, incremental, only, request, turn},
};

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap_or_default()).collect()
}

#[tokio::test(start_paused = true)]
async fn c125_each_item_counts_once_under_whatever_names() {
    let output = |id: &str, call_id: &str| json!({ "id": id, "type": "function_call_output", "call_id": call_id, "output": "42" });
    let cases: Vec<(&str, Vec<Value>, Vec<Value>)> = vec![
        (
            "an output is not its call",
            vec![
                done(0, call("f", "c", "{}")),
                completed(&[call("f", "c", "{}"), output("o", "c")]),
            ],
            vec![call("f", "c", "{}"), output("o", "c")],
        ),
        (
            "a call is not its output",
            vec![done(1, output("o", "c")), completed(&[call("f", "c", "{}"), output("o2", "c")])],
            vec![call("f", "c", "{}"), output("o", "c")],
        ),
        (
            "two calls with one id, the second in the terminal alone",
            vec![
                done(0, call("f", "c1", "{}")),
                completed(&[call("f", "c1", "{}"), call("f", "c2", "{\"a\":1}")]),
            ],
            vec![call("f", "c1", "{}"), call("f", "c2", "{\"a\":1}")],
        ),
        (
            "messages at one index without ids",
            vec![
                done(0, message("", "A")),
                done(0, message("", "B")),
                completed(&[message("", "A"), message("", "B")]),
            ],
            vec![message("", "A"), message("", "B")],
        ),
        (
            "messages under one id, the last in the terminal",
            vec![
                done(0, message("m", "A")),
                done(1, message("m", "B")),
                completed(&[message("m", "B")]),
            ],
            vec![message("m", "A"), message("m", "B")],
        ),
        (
            "cumulative messages",
            vec![
                done(0, message("m1", "A")),
                done(1, message("m2", "A and B")),
                completed(&[message("n1", "A"), message("n2", "A and B")]),
            ],
            vec![message("m1", "A"), message("m2", "A and B")],
        ),
        (
            "ids that rotate on every event",
            vec![
                added(0, with(message("r1", ""), json!({ "content": [] }))),
                delta(0, "r2", "Hel"),
                delta(0, "r3", "lo"),
                done(0, message("r4", "Hello")),
                added(1, call("r5", "c", "")),
                of_item("function_call_arguments.delta", 1, "r6", json!({ "delta": "{}" })),
                arguments_done(1, "r7", "{}"),
                done(1, call("r8", "c", "{}")),
                completed(&[message("r9", "Hello"), call("r10", "c", "{}")]),
            ],
            vec![message("r4", "Hello"), call("r8", "c", "{}")],
        ),
        (
            "ids and call ids that change in the terminal, at shifted places",
            vec![
                done(1, call("f", "c1", "{\"a\":1}")),
                done(2, call("g", "c2", "{\"a\":2}")),
                completed(&[call("x", "d2", "{\"a\":2}"), call("y", "d1", "{\"a\":1}")]),
            ],
            vec![call("g", "c2", "{\"a\":2}"), call("f", "c1", "{\"a\":1}")],
        ),
        (
            "items that are told in turns at one index",
            vec![
                added(0, reasoning("r", "")),
                added(0, message("a", "")),
                added(0, message("b", "")),
                delta(0, "a", "A"),
                delta(0, "b", "B"),
                done(0, reasoning("r", "E")),
                done(0, message("a", "A")),
                done(0, message("b", "B")),
                completed(&[reasoning("r", "E"), message("a", "A"), message("b", "B")]),
            ],
            vec![reasoning("r", "E"), message("a", "A"), message("b", "B")],
        ),
        (
            "a call that is finished at two places",
            vec![done(0, call("f", "c", "{}")), done(3, call("g", "c", "{}")), completed(&[])],
            vec![call("f", "c", "{}")],
        ),
        (
            "a call that the terminal has twice",
            vec![completed(&[call("f", "c", "{}"), call("g", "c", "{}")])],
            vec![call("f", "c", "{}")],
        ),
        (
            "renamed calls whose arguments are written anew",
            vec![
                done(0, call("f", "c", "{\"a\":\" 1\",\"b\":2}")),
                done(1, call("g", "d", "{\"a\":\"1\",\"b\":2}")),
                completed(&[
                    call("x", "y", "{\"a\": \"1\", \"b\": 2}"),
                    call("v", "w", "{ \"a\": \" 1\",\n\"b\": 2 }"),
                ]),
            ],
            vec![
                call("g", "d", "{\"a\": \"1\", \"b\": 2}"),
                call("f", "c", "{ \"a\": \" 1\",\n\"b\": 2 }"),
            ],
        ),
        (
            "custom calls at one index under empty ids",
            vec![
                added(0, custom("", "c1", "")),
                of_item("custom_tool_call_input.done", 0, "", json!({ "input": "a" })),
                added(0, custom("", "c2", "")),
                of_item("custom_tool_call_input.done", 0, "", json!({ "input": "b" })),
                completed(&[]),
            ],
            vec![custom("", "c1", "a"), custom("", "c2", "b")],
        ),
    ];
    for transport in BOTH {
        for (what, case, wanted) in &cases {
            let events: Vec<Value> = [created()].iter().chain(case).cloned().collect();
            let ran = played(transport, &events).await;
            assert_eq!(ran.items, *wanted, "{transport}: {what}");
            let calls = wanted.iter().filter(|item| item["type"] == "function_call").count();
            let answered = wanted.iter().any(|item| item["type"] == "function_call_output");
            assert_eq!(ran.calls().len(), calls - usize::from(answered), "{transport}: {what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c125_messages_that_arrive_as_one_are_those_of_the_terminal() {
    let pieces = |id: &str| [delta(0, id, "text "), delta(0, id, id)];
    let m = |id: &str, name: &str| message(id, &format!("text {name}"));
    let told = [m("t0", "a"), m("t1", "b"), call("f", "c", "{}"), m("t3", "d"), m("t4", "e")];
    let secret = reasoning("rs", "E");
    let runs_of_two = [
        pieces("a").as_slice(),
        &pieces("b"),
        from_ref(&done(0, call("f", "c", "{}"))),
        &pieces("d"),
        &pieces("e"),
        from_ref(&completed(&told)),
    ]
    .concat();
    let left_over = [
        pieces("a").as_slice(),
        &pieces("b"),
        &[done(0, secret.clone()), completed(&[m("a", "a"), m("b", "b")])],
    ]
    .concat();
    // The terminal event's message is the counterpart of the finished item alone.
    let taken = vec![delta(0, "", "text a"), done(1, m("a", "a")), completed(&[m("a", "a")])];
    for transport in BOTH {
        let settled = async |events: &[Value]| {
            played(transport, &[from_ref(&created()), events].concat()).await.items
        };
        assert_eq!(settled(&runs_of_two).await, told, "{transport}");
        assert_eq!(
            settled(&left_over).await,
            [m("a", "a"), m("b", "b"), secret.clone()],
            "{transport}"
        );
        assert_eq!(settled(&taken).await.len(), 2, "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c126_the_order_is_the_terminals_and_the_rest_stays_at_its_place() {
    let m = |id: &str| message(id, id);
    let r = |id: &str| with(reasoning(id, id), json!({ "encrypted_content": id }));
    let c = |id: &str| call(id, id, "{}");
    // What the stream finishes in this order, what the terminal event has, and the order wanted.
    let cases: Vec<(Vec<Value>, Vec<Value>, &[&str])> = vec![
        (vec![m("m")], vec![r("r"), m("m")], &["r", "m"]),
        (vec![r("r"), c("c")], vec![c("c")], &["r", "c"]),
        (
            vec![r("r1"), c("c1"), r("r2"), c("c2")],
            vec![c("c1"), c("c2")],
            &["r1", "c1", "r2", "c2"],
        ),
        (vec![c("c"), r("r"), m("m")], vec![m("m"), c("c")], &["r", "m", "c"]),
        (vec![m("a"), m("b"), m("c")], vec![m("c"), m("a")], &["c", "a", "b"]),
        (vec![m("a"), m("b"), m("c")], vec![m("b")], &["a", "b", "c"]),
        (vec![m("a"), m("b")], vec![m("x")], &["a", "b", "x"]),
        (vec![r("r"), m("m")], vec![], &["r", "m"]),
        (vec![r("r1"), r("r2"), m("m"), c("c")], vec![c("c"), m("m")], &["c", "r1", "r2", "m"]),
    ];
    for transport in BOTH {
        for (streamed, told, wanted) in &cases {
            let mut events = vec![created()];
            events.extend((0..).zip(streamed).map(|(index, item)| done(index, item.clone())));
            events.push(completed(told));
            let ran = played(transport, &events).await;
            let missing = told.len() < streamed.len() && !told.is_empty();
            let noted = (0..3).any(|at| ran.has(&format!("ItemMissing {{ output_index: {at} }}")));
            assert!(noted || !missing, "{transport}: {wanted:?}");
            assert_eq!(names(&ran.items), *wanted, "{transport}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c145_only_failed_cancelled_and_incomplete_override_the_name() {
    for transport in BOTH {
        for kind in ["response.completed", "response.done", "response.incomplete"] {
            for status in
                ["failed", "cancelled", "incomplete", "requires_action", "completed", "new", ""]
            {
                let mut last = ended(
                    "completed",
                    json!({ "output": [message("m", "Hm.")],
                    "error": { "code": "server_error", "message": "No." } }),
                );
                last["type"] = kind.into();
                last["response"]["status"] =
                    if status.is_empty() { Value::Null } else { status.into() };
                let script = Script::new().turn(Turn::events([created(), last]));
                let server = ScriptedServer::in_memory(script);
                let mut retry = responses_client::RetryPolicy::default();
                retry.max_attempts = 1;
                let client = builder(&server).transport(only(transport)).retry(retry);
                let mut session = client.build().expect("a client").session();
                let outcome = guarded(turn(&mut session, &request(&["hi"]))).await;
                let what = format!("{transport}: {kind} with {status}");
                match status {
                    "failed" | "cancelled" => {
                        let partial = outcome.error().response().expect("the response");
                        assert_eq!(partial.output_text(), "Hm.", "{what}");
                        assert!(partial.is_finished(), "{what}");
                    }
                    _ => {
                        let incomplete = status == "incomplete" || kind == "response.incomplete";
                        let event = outcome.events.last().expect("the terminal");
                        let is_incomplete = matches!(event, ResponseEvent::Incomplete(_));
                        assert_eq!(is_incomplete, incomplete, "{what}");
                        assert_eq!(outcome.response().output_text(), "Hm.", "{what}");
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c154_forms_that_the_api_does_not_take_back_are_rewritten_once() {
    for transport in BOTH {
        let cases = [
            (call("f", "c", ""), call("f", "c", "{}")),
            (with(call("f", "c", ""), json!({ "arguments": null })), call("f", "c", "{}")),
            (
                with(call("f", "c", ""), json!({ "arguments": { "q": "x" } })),
                call("f", "c", "{\"q\":\"x\"}"),
            ),
            (
                with(custom("f", "c", ""), json!({ "input": { "q": "x" } })),
                custom("f", "c", "{\"q\":\"x\"}"),
            ),
            (
                with(message("m", ""), json!({ "content": null })),
                with(message("m", ""), json!({ "content": [] })),
            ),
            (
                with(reasoning("r", "E"), json!({ "summary": null, "content": null })),
                with(reasoning("r", "E"), json!({ "content": [] })),
            ),
            // What the API takes stays as it is.
            (
                with(message("m", ""), json!({ "content": "Hello" })),
                with(message("m", ""), json!({ "content": "Hello" })),
            ),
            (custom("f", "c", ""), custom("f", "c", "")),
        ];
        for (received, wanted) in cases {
            for events in [
                [created(), done(0, received.clone()), completed(from_ref(&received))],
                [created(), done(0, received.clone()), completed(&[])],
                [created(), created(), completed(from_ref(&received))],
            ] {
                let ran = played(transport, &events).await;
                assert_eq!(ran.items, from_ref(&wanted), "{transport}: {received}");
                assert!(ran.body.contains(&wanted.to_string()), "{transport}: {received}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c154_a_piece_of_arguments_may_be_an_object() {
    for transport in BOTH {
        let announced = with(call("f", "c", ""), json!({ "status": "in_progress" }));
        let arguments = json!({ "q": "x" });
        let ran = played(
            transport,
            &[
                created(),
                added(0, announced),
                of_item("function_call_arguments.delta", 0, "f", json!({ "delta": arguments })),
                of_item("function_call_arguments.done", 0, "f", json!({ "arguments": arguments })),
                completed(&[]),
            ],
        )
        .await;
        assert_eq!(ran.items, [call("f", "c", "{\"q\":\"x\"}")], "{transport}");
    }
}

#[tokio::test(start_paused = true)]
async fn c154_the_planner_takes_an_item_back_as_it_was_received() {
    let received = with(call("f", "c", ""), json!({ "arguments": { "q": "x" } }));
    let secret = reasoning("r", "E");
    let first = || {
        Turn::events([
            created(),
            done(0, with(secret.clone(), json!({ "encrypted_content": null }))),
            done(1, received.clone()),
            completed(&[secret.clone(), received.clone()]),
        ])
    };
    for as_received in [true, false] {
        let server = ScriptedServer::in_memory(Script::new().turns([first(), Turn::text("two")]));
        let client = builder(&server).transport(only(Transport::WebSocket)).build();
        let mut session = client.expect("a client").session();
        let one = request(&["one"]);
        let outcome = guarded(turn(&mut session, &one)).await;
        let mut two = one.clone();
        if as_received {
            two.input.extend(outcome.events.iter().filter_map(|event| match event {
                ResponseEvent::OutputItemDone(done) => Some(done.to_item()),
                _ => None,
            }));
        } else {
            two.input.extend(outcome.response().output_items());
        }
        two.input.push(Item::function_call_output("c", "fine"));
        let next = guarded(turn(&mut session, &two)).await;
        assert_eq!(next.report.plan, incremental(1), "as received: {as_received}");
    }
    // What the caller builds is sent as it is.
    let own = with(call("own", "c", ""), json!({ "arguments": { "q": "x" }, "content": null }));
    let server = ScriptedServer::in_memory(Script::new().turn(Turn::text("fine")));
    let mut session = builder(&server).build().expect("a client").session();
    let mut asks = request(&["one"]);
    asks.input.push(Item::from_json(own.to_string()).expect("an item"));
    guarded(turn(&mut session, &asks)).await;
    assert!(server.log().requests[0].raw.contains(&own.to_string()));
}

#[tokio::test(start_paused = true)]
async fn c155_a_second_created_with_another_id_begins_the_response_anew() {
    for transport in BOTH {
        let mut before = created();
        before["response"]["id"] = "resp_0".into();
        let events = [
            before,
            done(0, message("old", "Old ")),
            delta(1, "", "and older "),
            created(),
            delta(0, "m", "New"),
            completed(&[]),
        ];
        let ran = played(transport, &events).await;
        assert_eq!(ran.text(), "New", "{transport}");
        assert_eq!(names(&ran.items), ["m"]);
        assert_eq!(ran.response().id(), "resp_1");
        assert!(ran.has("ResponseRestarted"));
        assert!(!ran.has("ResponseId"));
        assert_eq!(ran.outcome.events.len(), events.len(), "all events are handed out");

        // The same id says nothing new.
        let events =
            [created(), delta(0, "m", "Ol"), created(), delta(0, "m", "d"), completed(&[])];
        let ran = played(transport, &events).await;
        assert_eq!(ran.text(), "Old", "{transport}");
        assert!(!ran.has("ResponseRestarted"));
    }
}
