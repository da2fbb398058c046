//! Frames and events that are malformed or odd, on both transports.

use bytes::Bytes;
use responses_client::{
    Delivery, ErrorKind, Limits, Phase, Provider, ResponsesClient, Transport,
    error::ProtocolError,
    event::{EventKind, OutputItem, ResponseEvent, Usage},
    report::FullSendReason,
    testing::{Script, Step, Turn},
};
use serde_json::{Value, json};

use crate::{
    odd_turn::{
        Bench, after_output, assert_cut_after_output, completed, created, delta, protocol_error,
        text,
    },
    sse_framing::over_sse,
    support::{BOTH, anomalies, full, only, server},
};

#[tokio::test]
async fn c070_a_binary_frame_is_an_error_and_poisons_the_socket() {
    let bench = Bench::new(Transport::WebSocket).await;
    for turn in [
        Turn::steps([Step::Binary(Bytes::from_static(b"{}"))]),
        after_output(Step::Binary(Bytes::from(created().to_string()))),
    ] {
        // The rest of the response must reach nobody.
        let ran = bench.run(turn.then(Step::Event(completed("late")))).await;
        assert_eq!(protocol_error(&ran.odd), ProtocolError::BinaryFrame);
        assert_eq!(ran.odd.report.attempts.len(), 1);
        assert_eq!(ran.odd.error().response().is_some(), ran.odd.events.len() == 2);
        assert_eq!(ran.same_socket, Some(false));
        assert_eq!(ran.next.report.plan, full(FullSendReason::PriorNotCompleted));
    }
}

#[tokio::test]
async fn c071_what_is_no_event_ends_the_turn_and_retires_the_connection() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for garbage in [
            "nonsense",
            "<html><body>502</body></html>",
            "[]",
            "[{\"type\":\"response.created\"}]",
            "null",
            "7",
            "\"response.created\"",
            "{\"type\":7}",
            "{\"type\":null,\"response\":{}}",
            "{\"sequence_number\":4}",
            "{\"type\":\"response.output_text.delta\",\"delta\":",
            "{",
        ] {
            let ran = bench.run(after_output(text(garbage)).then(Step::Event(completed("")))).await;
            assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
            assert!(ran.same_socket != Some(true), "{transport} {garbage}");
            assert_eq!(ran.next.report.plan, full(FullSendReason::PriorNotCompleted));

            let ran = bench.run(Turn::steps([text(garbage), text(created().to_string())])).await;
            let error = ran.odd.error();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{transport} {garbage}");
            assert_eq!((error.phase(), error.delivery()), (Phase::FirstEvent, Delivery::Unknown));
            assert!(error.response().is_none() && ran.odd.events.is_empty());
            assert!(ran.same_socket != Some(true), "{transport} {garbage}");
        }
    }
}

#[tokio::test]
async fn c071_empty_objects_and_done_markers_are_harmless() {
    for (transport, nothing) in [
        (Transport::WebSocket, "{}"),
        (Transport::WebSocket, " { } "),
        (Transport::WebSocket, "[DONE]"),
        (Transport::Sse, "{}"),
        (Transport::Sse, " { } "),
        // Over SSE `[DONE]` ends the body: see c081.
    ] {
        let bench = Bench::new(transport).await;
        let steps = [
            text(nothing),
            Step::Event(created()),
            text(nothing),
            Step::Event(completed("Fine")),
            text(nothing),
        ];
        let ran = bench.run(Turn::steps(steps)).await;
        assert_eq!(ran.odd.kinds(), ["response.created", "response.completed"]);
        assert_eq!(ran.odd.response().output_text(), "Fine");
        assert!(ran.same_socket != Some(false), "{transport} {nothing}");
    }
}

#[tokio::test]
async fn c072_unknown_events_pass_to_the_letter() {
    const ODD: &str =
        "{\"type\": \"response.brand_new\",  \"sequence_number\":9, \"thing\":{\"a\":[1.50,null]}}";
    const OTHER: &str = "{\"vendor\":true,\"type\":\"vendor.notice\"}";
    for transport in BOTH {
        let steps = [
            text(OTHER),
            Step::Event(created()),
            text(ODD),
            text(OTHER),
            Step::Event(completed("Fine")),
        ];
        let odd = Bench::new(transport).await.run(Turn::steps(steps)).await.odd;
        assert_eq!(odd.response().output_text(), "Fine");
        let raws: Vec<&str> = odd.events.iter().map(ResponseEvent::raw).collect();
        assert_eq!((raws[0], raws[2], raws[3]), (OTHER, ODD, OTHER), "{transport}");
        let ResponseEvent::Unknown(unknown) = &odd.events[2] else { panic!("{:?}", odd.events[2]) };
        assert_eq!(odd.events[2].kind(), EventKind::Unknown);
        assert_eq!(unknown.event_type, "response.brand_new");
        assert_eq!(unknown.sequence_number, Some(9));
        let thing: Option<Value> = unknown.member("thing").expect("JSON");
        assert_eq!(thing, Some(json!({ "a": [1.5, null] })));
        assert_eq!(anomalies(&odd), [r#"UnknownEvent { event: "response.brand_new" }"#]);
    }
}

#[tokio::test]
async fn c072_unknown_members_items_and_parts_are_kept() {
    for transport in BOTH {
        let item =
            json!({ "type": "brand_new_call", "id": "x_1", "secret_sauce": [1, { "b": 2 }] });
        let message = json!({
            "type": "message",
            "role": "assistant",
            "status": "brand_new_status",
            "content": [{ "type": "brand_new_part", "x": 1 }, { "type": "output_text", "text": "T" }],
        });
        let output = Turn::output([item.clone(), message]).map_events(|_, mut event| {
            event["brand_new_member"] = json!("kept");
            event
        });
        let odd = Bench::new(transport).await.run(output).await.odd;
        for event in &odd.events {
            let raw: Value = serde_json::from_str(event.raw()).expect("JSON");
            assert_eq!(raw["brand_new_member"], "kept");
        }
        let ResponseEvent::Created(event) = &odd.events[0] else { panic!() };
        let member: Option<String> = event.member("brand_new_member").expect("a string");
        assert_eq!(member.as_deref(), Some("kept"));
        let response = odd.response();
        let [OutputItem::Other(other), OutputItem::Message(read)] = &response.output()[..] else {
            panic!("{:?}", response.output())
        };
        assert_eq!(other.json().decode::<Value>().expect("JSON"), item);
        assert_eq!((read.status.as_deref(), &*read.text()), (Some("brand_new_status"), "T"));
    }
}

#[tokio::test]
async fn c073_a_defect_in_what_the_turn_needs_ends_it() {
    let done = |item: Value| json!({ "type": "response.output_item.done", "output_index": 0, "item": item });
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for defect in [
            json!({ "type": "response.output_text.delta", "output_index": 0 }),
            json!({ "type": "response.output_text.delta", "output_index": 0, "delta": 7 }),
            json!({ "type": "response.output_text.delta", "output_index": 0, "delta": null }),
            json!({ "type": "response.function_call_arguments.delta", "delta": 7 }),
            json!({ "type": "response.custom_tool_call_input.delta" }),
            json!({ "type": "response.reasoning_summary_text.delta", "delta": [] }),
            json!({ "type": "response.reasoning_text.delta" }),
            json!({ "type": "response.refusal.delta", "delta": false }),
            json!({ "type": "response.output_item.done", "output_index": 0 }),
            done(json!("item")),
            done(json!({ "type": "function_call", "name": "f", "arguments": "{}" })),
            done(json!({ "type": "custom_tool_call", "name": "f", "input": "" })),
        ] {
            let event = defect["type"].as_str().expect("a type").to_owned();
            let odd = after_output(Step::Event(defect.clone())).then(Step::Event(completed("")));
            let ran = bench.run(odd).await;
            assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
            let ProtocolError::Event { event: named, .. } = protocol_error(&ran.odd) else {
                panic!("{defect}")
            };
            assert_eq!(named, event);
            assert!(ran.same_socket != Some(true), "{transport} {defect}");
        }
    }
}

#[tokio::test]
async fn c073_a_call_that_no_event_names_ends_the_turn_with_its_response() {
    for transport in BOTH {
        for kind in ["function_call", "custom_tool_call"] {
            let call = json!({ "type": kind, "call_id": "c", "arguments": "{}", "input": "" });
            let done =
                json!({ "type": "response.output_item.done", "output_index": 0, "item": call });
            let odd = Turn::events([created(), done, completed("")]);
            let odd = Bench::new(transport).await.run(odd).await.odd;
            assert_eq!(odd.error().kind(), ErrorKind::Protocol, "{transport} {kind}");
            let ProtocolError::Event { event, .. } = protocol_error(&odd) else { panic!("{kind}") };
            assert_eq!(event, "response.completed", "until then the name could still come");
        }
    }
}

#[tokio::test]
async fn c073_a_defect_elsewhere_shows_when_that_part_is_read() {
    for transport in BOTH {
        let mut last = completed("Fine");
        last["response"]["usage"] = json!("a lot");
        last["response"]["incomplete_details"] = json!(7);
        let steps = [
            json!({ "type": "response.created", "sequence_number": "0", "response": 7 }),
            json!({ "type": "response.in_progress", "response": { "id": ["x"] } }),
            json!({ "type": "response.output_item.added", "output_index": -1, "item": "item" }),
            json!({ "type": "response.output_item.added", "output_index": 0, "item": { "id": 7 } }),
            json!({ "type": "response.content_part.added", "output_index": "0", "part": [] }),
            json!({ "type": "response.output_text.done", "content_index": {}, "text": 7 }),
            json!({
                "type": "response.output_item.done",
                "output_index": 1,
                "item": { "type": "message", "content": 7 },
            }),
            last,
        ];
        let odd = Bench::new(transport).await.run(Turn::events(steps.clone())).await.odd;
        assert_eq!(odd.events.len(), steps.len());
        let response = odd.response();
        assert_eq!((response.id(), &*response.output_text()), ("resp_odd", "Fine"));
        assert_eq!((response.usage(), response.incomplete_reason()), (None, None));
        assert!(!response.is_incomplete());

        let ResponseEvent::Created(created) = &odd.events[0] else { panic!() };
        assert_eq!(created.sequence_number, None);
        assert!(created.response.as_ref().expect("JSON").member::<String>("id").is_err());
        let ResponseEvent::OutputItemAdded(added) = &odd.events[3] else { panic!() };
        assert!(added.item.as_ref().expect("an item").json().member::<String>("id").is_err());
        let ResponseEvent::OutputTextDone(done) = &odd.events[5] else { panic!() };
        assert_eq!((done.text.as_ref(), done.content_index), (None, 0));
        let ResponseEvent::OutputItemDone(item) = &odd.events[6] else { panic!() };
        assert!(item.output_item().is_err());
        let [OutputItem::Message(_), OutputItem::Other(kept)] = &response.output()[..] else {
            panic!("{:?}", response.output())
        };
        assert_eq!(kept.json().as_str(), item.item.json().as_str());
        let ResponseEvent::Completed(end) = &odd.events[7] else { panic!() };
        assert!(end.response.member::<Usage>("usage").is_err());
    }
}

#[tokio::test]
async fn c074_a_terminal_without_response_is_an_error_and_the_connection_stays() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for kind in
            ["response.completed", "response.incomplete", "response.failed", "response.done"]
        {
            for response in [None, Some(json!(null)), Some(json!([])), Some(json!("done"))] {
                let mut terminal = json!({ "type": kind });
                if let Some(response) = response {
                    terminal["response"] = response;
                }
                let ran = bench.run(after_output(Step::Event(terminal.clone()))).await;
                assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
                assert!(
                    matches!(protocol_error(&ran.odd), ProtocolError::Event { event, .. } if event == kind)
                );
                assert!(ran.same_socket != Some(false), "{transport} {terminal}");
                assert!(ran.next.report.reused);
                assert_eq!(ran.next.report.plan, full(FullSendReason::PriorNotCompleted));
            }
        }
    }
}

#[tokio::test]
async fn c079_unsolicited_pongs_are_ignored() {
    let ponged = Turn::text("Fine")
        .first(Step::Pong(Bytes::new()))
        .insert(3, Step::Pong(Bytes::from_static(b"nobody asked")))
        .then(Step::Pong(Bytes::from_static(b"again")));
    let ran = Bench::new(Transport::WebSocket).await.run(ponged).await;
    assert_eq!(ran.odd.response().output_text(), "Fine");
    assert_eq!(ran.odd.kinds()[0], "response.created");
    assert!(ran.same_socket != Some(false));
}

#[tokio::test]
async fn c079_fragmented_and_large_events_are_put_together() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        // Every character has several bytes, so that cuts lie inside of them.
        let large = "☃𝄞".repeat(50_000);
        let fragmented =
            |value: Value, pieces| Step::Fragmented { text: value.to_string(), pieces };
        let steps = [
            fragmented(created(), 7),
            fragmented(delta(&large), 2),
            fragmented(delta(&large), 301),
            text(delta(&large).to_string()),
            fragmented(completed("Fine"), 50),
        ];
        let ran = bench.run(Turn::steps(steps)).await;
        let deltas: Vec<_> = ran.odd.events.iter().filter_map(|event| event.text_delta()).collect();
        assert_eq!(deltas.len(), 3);
        assert!(deltas.iter().all(|delta| *delta == large), "{transport}");
        assert_eq!(ran.odd.response().output_text(), "Fine");
        assert!(ran.same_socket != Some(false));
    }
}

#[tokio::test]
async fn c080_a_close_in_mid_response_is_not_success() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for code in [None, Some(1000), Some(1001), Some(1011), Some(4402)] {
            let close = Step::Close { code, reason: String::new() };
            let ran = bench.run(after_output(close)).await;
            let kind = match transport {
                Transport::WebSocket => ErrorKind::Closed,
                _ => ErrorKind::Truncated,
            };
            assert_cut_after_output(&ran.odd, kind);
            if transport == Transport::WebSocket {
                let told = ran.odd.error().close_frame().map(|frame| frame.code);
                assert_eq!(told, code);
                assert_eq!(ran.same_socket, Some(false));
            }
            assert_eq!(ran.next.report.plan, full(FullSendReason::PriorNotCompleted));
        }
    }
}

#[tokio::test]
async fn c081_invalid_utf_8_spoils_no_event_before_it() {
    for transport in BOTH {
        let mut bytes = delta("x").to_string().into_bytes();
        let place = bytes.len() - 3;
        bytes[place] = 0xff;
        if transport == Transport::Sse {
            bytes = [b"data: ", &bytes[..], b"\n\n"].concat();
        }
        let bench = Bench::new(transport).await;
        let ran = bench.run(after_output(Step::Raw(bytes.into()))).await;
        assert_cut_after_output(&ran.odd, ErrorKind::Protocol);
        assert!(ran.same_socket != Some(true), "{transport}");
    }
}

#[tokio::test]
async fn c081_an_event_of_some_mib_comes_through_in_small_pieces() {
    for transport in BOTH {
        let large: String = ('a'..='z').cycle().take(5 << 20).collect();
        let event = delta(&large).to_string();
        let turn = Turn::steps([
            Step::Event(created()),
            Step::Fragmented { text: event.clone(), pieces: 5000 },
            Step::Event(completed("Fine")),
        ]);
        let odd = Bench::new(transport).await.run(turn).await.odd;
        assert!(odd.events[1].raw() == event, "{transport}");
        assert!(odd.events[1].text_delta() == Some(&large));
        assert_eq!(odd.response().output_text(), "Fine");
        assert!(odd.report.bytes_received > 5 << 20);
    }
}

#[tokio::test]
async fn c081_an_event_above_the_limit_ends_the_turn() {
    for transport in BOTH {
        let server = server(Script::new()).await;
        let mut limits = Limits::default();
        limits.max_event_bytes = 64 << 10;
        let provider = Provider::compatible(&server.url()).expect("a URL");
        let client =
            ResponsesClient::builder().provider(provider).limits(limits).transport(only(transport));
        let bench = Bench { transport, server, client: client.build().expect("a client") };
        let within = delta(&"x".repeat(60 << 10)).to_string();
        let above = delta(&"x".repeat(65 << 10)).to_string();
        for pieces in [1, 100] {
            let event = |text: &String| Step::Fragmented { text: text.clone(), pieces };
            let fine =
                Turn::events([created()]).then(event(&within)).then(Step::Event(completed("Fine")));
            let ran = bench.run(fine).await;
            assert_eq!(ran.odd.events[1].raw(), within, "{transport}");

            let ran = bench.run(after_output(event(&above))).await;
            assert_cut_after_output(&ran.odd, ErrorKind::TooLarge);
            assert!(ran.same_socket != Some(true), "{}", bench.transport);
            assert_eq!(ran.next.report.plan, full(FullSendReason::PriorNotCompleted));
        }
    }
}

#[tokio::test]
async fn c082_an_end_without_a_terminal_event_keeps_what_came() {
    for transport in BOTH {
        let bench = Bench::new(transport).await;
        for end in [Step::End, Step::Reset] {
            let ran = bench.run(after_output(end)).await;
            assert_cut_after_output(&ran.odd, ErrorKind::Truncated);
            assert!(ran.same_socket != Some(true), "{transport}");
        }
    }
    // The clean end of a body is no better.
    let outcome = over_sse([Step::Event(created()), Step::Event(delta("So far"))]).await;
    assert_cut_after_output(&outcome, ErrorKind::Truncated);
}
