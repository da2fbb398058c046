//! Items of a response: finished, partial, repeated, and left out of its terminal event.

use super::*;

#[test]
fn c083_an_incomplete_response_keeps_its_calls_and_falls_back_to_its_output() {
    let call = r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"fc_1","type":"function_call","call_id":"c1","name":"f","arguments":"{}","status":"completed"}}"#;
    let cut = r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"fc_2","type":"function_call","call_id":"c2","name":"f","arguments":"{","status":"incomplete"}}"#;
    let end = |output: &str| {
        format!(
            r#"{{"type":"response.incomplete","response":{{"id":"r","status":"incomplete","incomplete_details":{{"reason":"max_output_tokens"}}{output}}}}}"#
        )
    };
    let response = run(&[CREATED, call, cut, &end("")], lost).1.unwrap();
    assert_eq!(response.status(), ResponseStatus::Incomplete);
    assert_eq!(response.incomplete_reason().as_deref(), Some("max_output_tokens"));
    assert_eq!(response.output_items().len(), 1, "the unfinished call is not given back");
    let calls: Vec<_> = response.function_calls().into_iter().map(|call| call.call_id).collect();
    assert_eq!(calls, ["c1"], "the unfinished call must not be run");
    let from_output =
        end(r#","output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}]"#);
    assert_eq!(run(&[CREATED, &from_output], lost).1.unwrap().output_text(), "x");
}

#[test]
fn c084_finished_items_are_never_lost_and_gaps_are_filled() {
    let item = |index: u32, id: &str| {
        format!(
            r#"{{"type":"response.output_item.done","output_index":{index},"item":{{"id":"{id}","type":"x"}}}}"#
        )
    };
    let end = |output: &str| {
        format!(
            r#"{{"type":"response.completed","response":{{"id":"r","status":"completed"{output}}}}}"#
        )
    };
    let ids = |payloads: &[&str]| -> Vec<String> {
        run(payloads, lost)
            .1
            .unwrap()
            .output_items()
            .map(|item| item.id().unwrap().to_owned())
            .collect()
    };
    let (a, c) = (item(0, "a"), item(2, "c"));
    for output in ["", r#","output":null"#, r#","output":[]"#, r#","output":7"#] {
        assert_eq!(ids(&[CREATED, &c, &a, &end(output)]), ["a", "c"], "{output}");
    }
    let all =
        end(r#","output":[{"id":"a","type":"x"},{"id":"b","type":"x"},{"id":"c","type":"x"}]"#);
    assert_eq!(ids(&[CREATED, &a, &c, &all]), ["a", "b", "c"]);
    assert_eq!(ids(&[CREATED, &all]), ["a", "b", "c"]);
    let shifted = end(r#","output":[{"id":"c","type":"x"},{"id":"d","type":"x"}]"#);
    assert_eq!(ids(&[CREATED, &item(1, "c"), &shifted]), ["c", "d"], "no place hides another item");
    let call = |id: &str| {
        format!(r#"{{"type":"function_call","call_id":"{id}","name":"f","arguments":""}}"#)
    };
    let done = |id: &str| {
        format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{}}}"#, call(id))
    };
    let both = end(&format!(r#","output":[{},{}]"#, call("A"), call("B")));
    let response = run(&[CREATED, &done("A"), &done("B"), &both], lost).1.unwrap();
    let calls: Vec<_> = response.function_calls().into_iter().map(|call| call.call_id).collect();
    assert_eq!(calls, ["A", "B"], "calls without ids at one place");
    let twice = end(r#","output":[{"id":"c","type":"x"}]"#);
    assert_eq!(ids(&[CREATED, &c, &twice]), ["c"], "one item, counted in two ways");
}

#[test]
fn c099_the_terminal_object_stays_as_received() {
    for members in [r#""output":null,"error":"""#, r#""output":[]"#, ""] {
        let sep = if members.is_empty() { "" } else { "," };
        let object = format!(r#"{{"id":"r","status":"completed"{sep}{members}}}"#);
        let payload = format!(r#"{{"type":"response.completed","response":{object}}}"#);
        let response = run(&[CREATED, DONE, &payload], lost).1.unwrap();
        assert_eq!(response.raw().unwrap().as_str(), object);
    }
}

#[test]
fn c100_changed_and_repeated_ids_are_reported_and_harm_nothing() {
    let mut turn = ResponseReader::new();
    let steps = [
        CREATED,
        ADDED,
        r#"{"type":"response.output_text.delta","item_id":"other","output_index":0,"delta":"x"}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"msg_9","type":"reasoning"}}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"msg_9","type":"reasoning"}}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"msg_8","type":"reasoning"}}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"id":"msg_9","type":"reasoning"}}"#,
        r#"{"type":"response.completed","response":{"id":"resp_2","status":"completed"}}"#,
    ];
    for payload in steps {
        let step = turn.handle(frame(payload));
        let (ReadStep::Event(event) | ReadStep::Finished(event)) = step else {
            panic!("{payload}")
        };
        assert_eq!(event.raw(), payload);
    }
    assert_eq!(
        turn.anomalies(),
        [
            Anomaly::ItemId { output_index: 0 },
            Anomaly::DuplicateItemId { output_index: 1 },
            Anomaly::OutputIndexShared { output_index: 1 },
            Anomaly::ItemFinishedTwice { output_index: 0 },
            Anomaly::DuplicateItemId { output_index: 0 },
            Anomaly::ResponseId,
            Anomaly::OutputMissing,
            Anomaly::ItemUnfinished { output_index: 0 },
        ]
    );
    let ids: Vec<_> =
        turn.response().output_items().map(|item| item.id().unwrap().to_owned()).collect();
    assert_eq!(ids, ["msg_1", "msg_9", "msg_9", "msg_8"], "none is lost");
}

#[test]
fn c101_partial_snapshots_keep_all_that_came() {
    let events = [
        CREATED,
        r#"{"type":"response.output_text.delta","output_index":5,"content_index":2,"delta":"b"}"#,
        r#"{"type":"response.output_text.delta","output_index":5,"content_index":0,"delta":"a"}"#,
        r#"{"type":"response.output_text.annotation.added","output_index":5,"content_index":0,"annotation_index":3,"annotation":{"type":"url_citation"}}"#,
        r#"{"type":"response.refusal.delta","output_index":5,"content_index":1,"delta":"no"}"#,
        r#"{"type":"response.reasoning_summary_text.delta","output_index":1,"summary_index":0,"delta":"think"}"#,
        r#"{"type":"response.reasoning_text.delta","output_index":1,"content_index":0,"delta":"raw"}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":"}"#,
        r#"{"type":"response.custom_tool_call_input.delta","output_index":3,"delta":"free"}"#,
        r#"{"type":"response.shell_call_output_content.delta","output_index":4,"command_index":1,"delta":{"stderr":"e"}}"#,
        r#"{"type":"response.shell_call_output_content.delta","output_index":4,"command_index":0,"delta":{"stdout":"o"}}"#,
        r#"{"type":"response.shell_call_output_content.done","output_index":4,"command_index":1,"output":[{"stdout":"","stderr":"end"}]}"#,
    ];
    let error = run(&events, lost).1.unwrap_err();
    let partial = error.response().unwrap();
    let indices: Vec<_> =
        partial.unfinished_items().iter().map(|item| item.output_index()).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5]);
    let [reasoning, call, custom, shell, message] = partial.unfinished_items() else { panic!() };
    assert_eq!(
        (reasoning.reasoning_summary(), reasoning.reasoning()),
        ("think".into(), "raw".into())
    );
    assert_eq!(call.arguments(), "{\"a\":");
    assert_eq!(custom.input(), "free");
    assert_eq!((message.text(), message.refusal()), ("ab".into(), "no".into()));
    assert_eq!(message.annotations().count(), 1);
    let shell: Vec<_> = shell
        .shell_output()
        .map(|(n, out)| (n, out.stdout.as_str(), out.stderr.as_str()))
        .collect();
    assert_eq!(shell, [(0, "o", ""), (1, "", "end")]);
    assert_eq!(partial.output_text(), "ab");
    assert!(partial.function_calls().is_empty());
}
