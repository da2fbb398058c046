//! The events of each kind of items.

use serde_json::{Value, json};

use super::checker::{Missing, check};
use crate::{
    Transport,
    testing::{Exchange, NoOutput, Step, Turn, items},
};

/// An item of each kind, what its id begins with, and the kinds of its events between
/// `output_item.added` and `output_item.done`, repetitions left out.
fn kinds() -> Vec<(Value, &'static str, &'static str)> {
    let parts = items::message_of([
        items::cited_text("See there", "https://a.example"),
        items::refusal_part("No"),
    ]);
    let text = "content_part.added output_text.delta output_text.done content_part.done";
    let refusal = "content_part.added refusal.delta refusal.done content_part.done";
    let cited = "content_part.added output_text.delta output_text.annotation.added \
                 output_text.done content_part.done content_part.added refusal.delta refusal.done \
                 content_part.done";
    let summary = "reasoning_summary_part.added reasoning_summary_text.delta \
                   reasoning_summary_text.done reasoning_summary_part.done";
    let raw = "content_part.added reasoning_text.delta reasoning_text.done content_part.done";
    let call = "function_call_arguments.delta function_call_arguments.done";
    let custom = "custom_tool_call_input.delta custom_tool_call_input.done";
    let web = "web_search_call.in_progress web_search_call.searching web_search_call.completed";
    let files =
        "file_search_call.in_progress file_search_call.searching file_search_call.completed";
    let code = "code_interpreter_call.in_progress code_interpreter_call_code.delta \
                code_interpreter_call_code.done code_interpreter_call.interpreting \
                code_interpreter_call.completed";
    let image = "image_generation_call.in_progress image_generation_call.generating \
                 image_generation_call.partial_image image_generation_call.completed";
    let tools = "mcp_list_tools.in_progress mcp_list_tools.completed";
    let mcp = "mcp_call.in_progress mcp_call_arguments.delta mcp_call_arguments.done \
               mcp_call.completed";
    let failed_mcp = "mcp_call.in_progress mcp_call_arguments.delta mcp_call_arguments.done \
                      mcp_call.failed";
    let shell = "shell_call_command.added shell_call_command.delta shell_call_command.done \
                 shell_call_command.added shell_call_command.delta shell_call_command.done";
    let shell_output = "shell_call_output_content.delta shell_call_output_content.done \
                        shell_call_output_content.delta shell_call_output_content.done";
    vec![
        (items::message("héllo there"), "msg_", text),
        (items::refusal("I will not"), "msg_", refusal),
        (parts, "msg_", cited),
        (items::message_of([]), "msg_", ""),
        (items::reasoning("Thinking about it", "gAAAAbbbb"), "rs_", summary),
        (items::reasoning_text("Thinking aloud"), "rs_", raw),
        (items::function_call("call_1", "f", r#"{"a":"long enough"}"#), "fc_", call),
        (items::custom_tool_call("call_1", "f", "free text"), "ctc_", custom),
        (items::function_call_output("call_1", "out"), "fco_", ""),
        (items::custom_tool_call_output("call_1", "out"), "ctco_", ""),
        (items::web_search_call("rust"), "ws_", web),
        (items::file_search_call("rust"), "fs_", files),
        (items::code_interpreter_call("print(1)", "1\n"), "ci_", code),
        (items::image(100), "ig_", image),
        (items::computer_call("call_1"), "cu_", ""),
        (items::local_shell_call("call_1", &["ls"]), "lsh_", ""),
        (items::shell_call("call_1", &["ls -l", "cat it"]), "sh_", shell),
        (items::shell_call_output("call_1", &["a file", "text"]), "item_", shell_output),
        (items::apply_patch_call("call_1", "a", "+x"), "apc_", ""),
        (items::mcp_list_tools("s", &["t"]), "mcpl_", tools),
        (items::mcp_call("s", "t", r#"{"a":1}"#, "out"), "mcp_", mcp),
        (items::failed_mcp_call("s", "t", r#"{"a":1}"#, "no"), "mcp_", failed_mcp),
        (items::mcp_approval_request("s", "t", "{}"), "mcpr_", ""),
        (items::tool_search_call("call_1", "tools"), "tsc_", ""),
        (items::tool_search_output(&["f"]), "tso_", ""),
        (items::program("call_1", "f()"), "item_", ""),
        (items::program_output("call_1", "1"), "item_", ""),
        (items::compaction("gAAAA"), "cmp_", "compaction.compacting"),
        (items::agent_message("a", "b", "gAAAA"), "amsg_", ""),
        (items::multi_agent_call("call_1", "spawn_agent", "{}"), "item_", ""),
        (items::unknown("unheard_of_call"), "item_", ""),
    ]
}

#[test]
fn each_kind_of_items_has_its_events_in_their_order() {
    for (item, prefix, between) in kinds() {
        let events = events(&Turn::output([item.clone()]), json!({}));
        let mut seen: Vec<_> = events
            .iter()
            .map(|event| event["type"].as_str().unwrap().trim_start_matches("response."))
            .collect();
        seen.dedup();
        let item_events = between.split_whitespace();
        let expected: Vec<_> = ["created", "in_progress", "output_item.added"]
            .into_iter()
            .chain(item_events)
            .chain(["output_item.done", "completed"])
            .collect();
        assert_eq!(seen, expected);
        let done = check(&events, Missing::default()).unwrap();
        assert!(done[0]["id"].as_str().unwrap().starts_with(prefix), "{}", done[0]);
        assert_eq!(without_ids(done), [item]);
    }
}

#[test]
fn an_item_without_a_status_gets_that_of_its_stage() {
    for (mut item, ..) in kinds() {
        let is_given = item["status"] == "completed" && item["type"] != "unheard_of_call";
        let is_known = item["type"] != "program_output" && item["type"] != "multi_agent_call";
        item.as_object_mut().unwrap().remove("status");
        let statuses: Vec<_> = events(&Turn::output([item.clone()]), json!({}))
            .iter()
            .filter(|event| event["item"].is_object())
            .map(|event| event["item"]["status"].clone())
            .collect();
        let expected = if is_given && is_known {
            [json!("in_progress"), json!("completed")]
        } else {
            [Value::Null, Value::Null]
        };
        if item["error"].is_null() {
            assert_eq!(statuses, expected, "{item}");
        }
    }
    let mut cut_off = items::message("Hel");
    cut_off["status"] = "incomplete".into();
    let done = check(&events(&Turn::output([cut_off.clone()]), json!({})), Missing::default());
    assert_eq!(without_ids(done.unwrap()), [cut_off]);
}

#[test]
fn all_kinds_pass_the_checker_together_and_interleaved() {
    let all: Vec<Value> = kinds().into_iter().map(|(item, ..)| item).collect();
    let plain = events(&Turn::output(all.clone()), json!({}));
    assert_eq!(without_ids(check(&plain, Missing::default()).unwrap()), all);
    let interleaved = events(&Turn::output(all.clone()).interleaved(), json!({}));
    assert_eq!(without_ids(check(&interleaved, Missing::default()).unwrap()), all);
    let place = |events: &[Value], kind: &str, index: usize| {
        let is_it = |event: &Value| event["type"] == kind && event["output_index"] == index;
        events.iter().position(is_it).unwrap()
    };
    let (added, done) = ("response.output_item.added", "response.output_item.done");
    assert!(place(&plain, added, 1) > place(&plain, done, 0));
    assert!(place(&interleaved, added, all.len() - 1) < place(&interleaved, done, 0));
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let turn = Turn::output([items::message("Hello there"), items::function_call("c", "f", "{}")]);
    let good = events(&turn, json!({}));
    assert!(check(&good, Missing::default()).is_ok());
    for left_out in 0..good.len() {
        let mut bad = good.clone();
        bad.remove(left_out);
        for (number, event) in bad.iter_mut().enumerate() {
            event["sequence_number"] = number.into();
        }
        // Nothing depends on the second of two lifecycle events.
        assert_eq!(check(&bad, Missing::default()).is_ok(), left_out == 1, "{left_out}");
    }
    let broken = |turn: &Turn| check(&events(turn, json!({})), Missing::default()).is_err();
    for turn in [
        turn.clone().double_terminal(),
        turn.clone().without_terminal(),
        turn.clone().stray_after_terminal(json!({ "type": "keepalive" })),
        turn.clone().duplicate_created(),
        turn.clone().changing_response_id(),
        turn.clone().changing_item_ids(),
        turn.clone().constant_output_index(),
        turn.clone().unknown_things(),
        turn.clone().without_setup(),
        turn.clone().without_sequence_numbers(),
        turn.clone().empty_terminal_output(NoOutput::Missing),
    ] {
        assert!(broken(&turn), "{turn:?}");
    }
}

#[test]
fn members_of_events_are_those_of_the_api() {
    let tokens = items::message_of([items::probable_text(["Hel", "lo"])]);
    let events = events(&Turn::output([tokens, items::reasoning("why", "gAAAA")]), json!({}));
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let deltas: Vec<_> = of("response.output_text.delta").collect();
    assert_eq!(deltas.len(), 2);
    assert_eq!(deltas[1]["delta"], "lo");
    assert_eq!(deltas[1]["logprobs"][0]["token"], "lo");
    assert!(deltas[1]["logprobs"][0].get("bytes").is_none());
    assert_eq!(of("response.output_text.done").next().unwrap()["logprobs"][1]["token"], "lo");
    let part = &of("response.content_part.done").next().unwrap()["part"];
    assert_eq!(part["logprobs"][0]["bytes"], json!(b"Hel"));
    let added: Vec<_> = of("response.output_item.added").collect();
    assert_eq!(added[1]["item"]["encrypted_content"], "gA", "it is not whole yet");
}

#[test]
fn the_request_says_how_many_partial_images_and_whether_to_obfuscate() {
    let turn = Turn::output([items::image(3000), items::message("Hello")]);
    for (body, images, obfuscated) in [
        (json!({}), 1, true),
        (json!({ "tools": [{ "type": "image_generation", "partial_images": 3 }] }), 3, true),
        (json!({ "stream_options": { "include_obfuscation": false } }), 1, false),
    ] {
        let events = events(&turn, body);
        let result = items::image(3000)["result"].as_str().unwrap().to_owned();
        let partial: Vec<_> = events
            .iter()
            .filter_map(|event| event["partial_image_b64"].as_str())
            .inspect(|partial| assert!(result.starts_with(partial) && partial.len() % 4 == 0))
            .collect();
        assert_eq!(partial.len(), images);
        assert!(partial.iter().all(|partial| !partial.is_empty() && partial.len() < result.len()));
        let any = events.iter().any(|event| event.get("obfuscation").is_some());
        assert_eq!(any, obfuscated);
    }
}

#[test]
fn images_are_as_large_as_they_should_be() {
    for (bytes, base64) in [(3, 4), (300, 400), (3 << 20, 4 << 20)] {
        assert_eq!(items::image(bytes)["result"].as_str().unwrap().len(), base64);
    }
}

/// The events of a turn, as they would be sent.
pub(super) fn events(turn: &Turn, body: Value) -> Vec<Value> {
    steps(turn, body).iter().map(|step| step.event().unwrap()).collect()
}

/// The steps of a turn.
pub(super) fn steps(turn: &Turn, body: Value) -> Vec<Step> {
    turn.answer(&exchange(body)).steps
}

/// The first request of a conversation.
pub(super) fn exchange(body: Value) -> Exchange {
    Exchange {
        index: 0,
        transport: Transport::Sse,
        connection: 0,
        lane: None,
        body,
        history: Vec::new(),
        response_id: "resp_0".to_owned(),
        headers: Vec::new(),
        known_bytes: 0,
        brought_bytes: 0,
    }
}

pub(super) fn without_ids(mut items: Vec<Value>) -> Vec<Value> {
    for item in &mut items {
        item.as_object_mut().unwrap().remove("id");
    }
    items
}
