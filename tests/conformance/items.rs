//! Every output item of the API and every member of it: typed, read leniently, and not copied.

use std::collections::{BTreeMap, BTreeSet};

use responses_client::{
    Item, ResponseStatus,
    event::{
        Annotation, ContentPart, OutputItem, ResponseEvent,
        item::{
            Caller, ComputerAction, McpError, PatchOperation, ShellEnvironment, ToolOutput,
            WebSearchAction,
        },
    },
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

use crate::support::{BOTH, builder, only, request, server, socket_client, turn};

/// An item of each type with a value in each member, and which members it cannot do without or
/// cannot have of another type.
fn samples() -> Vec<(Value, &'static [&'static str])> {
    let caller = json!({"type": "program", "caller_id": "call_p"});
    let breakpoint = json!({"mode": "explicit", "ttl": "30m"});
    let logprob = json!({"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs":
        [{"token": "b", "logprob": -1.5, "bytes": [98]}]});
    let output_text = json!({"type": "output_text", "text": "t", "logprobs": [logprob],
        "annotations": [
            {"type": "file_citation", "file_id": "f", "filename": "n", "index": 1},
            {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2},
            {"type": "container_file_citation", "container_id": "c", "file_id": "f",
             "filename": "n", "start_index": 1, "end_index": 2},
            {"type": "file_path", "file_id": "f", "index": 1}]});
    let input_parts = json!([
        {"type": "input_text", "text": "t", "prompt_cache_breakpoint": breakpoint},
        {"type": "input_image", "detail": "high", "image_url": "u", "file_id": "f",
         "prompt_cache_breakpoint": breakpoint},
        {"type": "input_file", "file_id": "f", "file_url": "u", "file_data": "d",
         "filename": "n", "detail": "low", "prompt_cache_breakpoint": breakpoint},
        {"type": "input_audio", "input_audio": {"data": "d", "format": "wav"}}]);
    let checks = json!([{"id": "sc", "code": "c", "message": "m"}]);
    let failure = json!({"type": "mcp_protocol_error", "code": -32600, "message": "m"});
    let samples: Vec<(Value, &[&str])> = vec![
        (
            json!({"type": "message", "role": "assistant", "phase": "final_answer",
            "content": [output_text, {"type": "refusal", "refusal": "r"}]}),
            &["content"],
        ),
        (
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}],
            "content": [{"type": "reasoning_text", "text": "t"}], "encrypted_content": "e"}),
            &["summary", "content"],
        ),
        (
            json!({"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}",
            "namespace": "s", "async": true, "caller": caller,
            "encrypted_function_args": ["a"]}),
            &["call_id", "name", "arguments"],
        ),
        (
            json!({"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "i",
            "namespace": "s", "async": true, "caller": caller}),
            &["call_id", "name", "input"],
        ),
        (
            json!({"type": "function_call_output", "call_id": "c", "name": "n", "namespace": "s",
            "caller": caller, "output": input_parts}),
            &[],
        ),
        (
            json!({"type": "custom_tool_call_output", "call_id": "c", "name": "n", "namespace": "s",
            "caller": caller, "output": input_parts}),
            &[],
        ),
        (
            json!({"type": "web_search_call", "action": {"type": "search", "query": "q",
            "queries": ["q"], "sources": [{"type": "url", "url": "u"}]}}),
            &[],
        ),
        (
            json!({"type": "file_search_call", "queries": ["q"], "results": [{"file_id": "f",
            "filename": "n", "score": 0.5, "text": "t", "attributes": {"k": 1}}]}),
            &[],
        ),
        (
            json!({"type": "code_interpreter_call", "code": "c", "container_id": "k",
            "outputs": [{"type": "logs", "logs": "l"}, {"type": "image", "url": "u"}]}),
            &[],
        ),
        (
            json!({"type": "image_generation_call", "result": "AA==", "action": "edit",
            "background": "opaque", "output_format": "png", "quality": "high",
            "size": "1x1", "revised_prompt": "p", "svg_usage": {"k": 1},
            "error": {"type": "t", "code": "c", "message": "m", "param": "p",
                "moderation_details": {"categories": ["c"], "moderation_stage": "output"}}}),
            &[],
        ),
        (
            json!({"type": "computer_call", "call_id": "c", "pending_safety_checks": checks,
            "action": {"type": "wait"}, "actions": [
                {"type": "click", "button": "left", "x": 1, "y": 2, "keys": ["k"]},
                {"type": "double_click", "x": 1, "y": 2, "keys": ["k"]},
                {"type": "drag", "path": [{"x": 1, "y": 2}], "keys": ["k"]},
                {"type": "keypress", "keys": ["k"]},
                {"type": "move", "x": 1, "y": 2, "keys": ["k"]},
                {"type": "screenshot"},
                {"type": "scroll", "x": 1, "y": 2, "scroll_x": 3, "scroll_y": -4, "keys": ["k"]},
                {"type": "type", "text": "t"}]}),
            &["call_id"],
        ),
        (
            json!({"type": "computer_call_output", "call_id": "c",
            "acknowledged_safety_checks": checks,
            "output": {"type": "computer_screenshot", "image_url": "u", "file_id": "f",
                "detail": "original"}}),
            &[],
        ),
        (
            json!({"type": "local_shell_call", "call_id": "c", "action": {"type": "exec",
            "command": ["ls"], "env": {"K": "v"}, "timeout_ms": 1, "user": "u",
            "working_directory": "/"}}),
            &["call_id"],
        ),
        (json!({"type": "local_shell_call_output", "output": "o"}), &["output"]),
        (
            json!({"type": "shell_call", "call_id": "c", "caller": caller, "action":
            {"commands": ["ls"], "timeout_ms": 1, "max_output_length": 2},
            "environment": {"type": "container_reference", "container_id": "k"}}),
            &["call_id"],
        ),
        (
            json!({"type": "shell_call_output", "call_id": "c", "max_output_length": 2,
            "caller": caller, "output": [
                {"stdout": "o", "stderr": "e", "created_by": "u",
                 "outcome": {"type": "exit", "exit_code": -1}},
                {"stdout": "o", "stderr": "e", "created_by": "u",
                 "outcome": {"type": "timeout"}}]}),
            &[],
        ),
        (
            json!({"type": "apply_patch_call", "call_id": "c", "caller": caller,
            "operation": {"type": "update_file", "path": "p", "diff": "d"}}),
            &["call_id"],
        ),
        (
            json!({"type": "apply_patch_call_output", "call_id": "c", "caller": caller,
            "output": "o"}),
            &[],
        ),
        (
            json!({"type": "mcp_list_tools", "server_label": "s", "error": failure,
            "tools": [{"name": "n", "input_schema": {}, "description": "d",
                "annotations": {"k": 1}}]}),
            &[],
        ),
        (
            json!({"type": "mcp_call", "server_label": "s", "name": "n", "arguments": "{}",
            "output": "o", "approval_request_id": "mcpr", "error": failure}),
            &[],
        ),
        (
            json!({"type": "mcp_approval_request", "server_label": "s", "name": "n",
            "arguments": "{}"}),
            &[],
        ),
        (
            json!({"type": "mcp_approval_response", "approval_request_id": "mcpr",
            "approve": true, "reason": "r"}),
            &[],
        ),
        (
            json!({"type": "tool_search_call", "call_id": "c", "execution": "server",
            "arguments": {"q": 1}}),
            &[],
        ),
        (
            json!({"type": "tool_search_output", "call_id": "c", "execution": "client",
            "tools": [{"type": "function"}]}),
            &[],
        ),
        (json!({"type": "additional_tools", "role": "developer", "tools": [{}]}), &[]),
        (
            json!({"type": "configuration_update", "reasoning": {"effort": "high"},
            "text": {"format": {"type": "json_object"}}}),
            &[],
        ),
        (json!({"type": "compaction_trigger"}), &[]),
        (json!({"type": "program", "call_id": "c", "code": "c", "fingerprint": "f"}), &["code"]),
        (json!({"type": "program_output", "call_id": "c", "result": "r"}), &[]),
        (json!({"type": "compaction", "encrypted_content": "e"}), &["encrypted_content"]),
        (json!({"type": "compaction_summary", "encrypted_content": "e"}), &["encrypted_content"]),
        (json!({"type": "context_compaction", "encrypted_content": "e"}), &["encrypted_content"]),
        (
            json!({"type": "agent_message", "author": "a", "recipient": "r", "content":
            [{"type": "encrypted_content", "encrypted_content": "e"}]}),
            &["content"],
        ),
        (
            json!({"type": "multi_agent_call", "call_id": "c", "action": "spawn_agent",
            "arguments": "{}"}),
            &[],
        ),
        (
            json!({"type": "multi_agent_call_output", "call_id": "c", "action": "spawn_agent",
            "output": [output_text]}),
            &["output"],
        ),
    ];
    let with_common = |(mut item, strict): (Value, _)| {
        item["id"] = json!(format!("id_{}", item["type"].as_str().unwrap()));
        item["status"] = json!("completed");
        item["created_by"] = json!("user_1");
        item["agent"] = json!({"agent_name": "a"});
        (item, strict)
    };
    samples.into_iter().map(with_common).collect()
}

fn read(item: &Value) -> OutputItem {
    try_read(item).unwrap_or_else(|error| panic!("{item}: {error}"))
}

fn try_read(item: &Value) -> Result<OutputItem, responses_client::error::DecodeError> {
    OutputItem::read(&Item::from_json(item.to_string()).unwrap())
}

/// The members of a typed item by their names on the wire, as `Debug` shows them.
fn members(item: &OutputItem) -> BTreeMap<String, String> {
    let text = format!("{item:#?}");
    let mut members: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        let name =
            line.strip_prefix("        ").filter(|line| !line.starts_with([' ', ']', ')', '}']));
        if let Some((name, _)) = name.and_then(|line| line.split_once(": ")) {
            last = if name == "is_async" { "async".to_owned() } else { name.to_owned() };
        }
        if !last.is_empty() && line.starts_with("        ") {
            members.entry(last.clone()).or_default().push_str(line);
        }
    }
    members
}

/// The names of all members in `value`, but in what is free-form.
fn names(value: &Value, typed: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| names(value, typed, found)),
        Value::Object(object) => {
            for (name, value) in object.iter().filter(|(name, _)| *name != "type") {
                let name = if name == "async" { "is_async" } else { name };
                found.insert(name.to_owned());
                let free = ["Json(", "Some(Json(", "[Json("];
                if !free.iter().any(|free| typed.contains(&format!("{name}: {free}"))) {
                    names(value, typed, found);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn each_item_is_typed_with_all_its_members() {
    let mut count = 0;
    for (sample, _) in samples() {
        let item = read(&sample);
        let typed = format!("{item:?}");
        let mut expected = BTreeSet::new();
        names(&sample, &typed, &mut expected);
        for name in &expected {
            assert!(typed.contains(&format!("{name}: ")), "{name} in {typed}");
        }
        for absent in ["None", "[]", "Text(0 bytes)", "\"\"", "Other("] {
            assert!(!typed.contains(absent), "{absent} in {typed}");
        }
        // Nor has the type a member that the sample lacks.
        let given: BTreeSet<String> =
            sample.as_object().unwrap().keys().filter(|name| *name != "type").cloned().collect();
        assert_eq!(members(&item).into_keys().collect::<BTreeSet<_>>(), given);
        count += expected.len();
    }
    let types: Vec<Value> = samples().iter().map(|(item, _)| item["type"].clone()).collect();
    assert_eq!(types, OutputItem::TYPES);
    println!("{} types of items with {count} members", types.len());
    assert_eq!((types.len(), count > 300), (35, true));
}

#[test]
fn an_odd_member_spoils_no_other() {
    for (sample, strict) in samples() {
        let whole = members(&read(&sample));
        for (name, value) in sample.as_object().unwrap().iter().filter(|(name, _)| *name != "type")
        {
            for odd in [json!(7), json!("odd"), json!([7]), json!({"k": []}), json!(false)] {
                let same_type = matches!(
                    (value, &odd),
                    (Value::String(_), Value::String(_))
                        | (Value::Array(_), Value::Array(_))
                        | (Value::Object(_), Value::Object(_))
                        | (Value::Number(_), Value::Number(_))
                        | (Value::Bool(_), Value::Bool(_))
                );
                let mut item = sample.clone();
                item[name] = odd;
                // The forms that C154 and C124 name.
                let stands_for_itself = match (name.as_str(), &item[name]) {
                    ("arguments" | "input", odd) => odd.is_object() || odd.is_array(),
                    (_, odd) => value.is_array() && odd.is_string(),
                };
                if strict.contains(&name.as_str()) && !same_type && !stands_for_itself {
                    assert!(try_read(&item).is_err(), "{item}");
                    continue;
                }
                let without = |mut members: BTreeMap<String, String>| {
                    members.remove(name);
                    members
                };
                assert_eq!(without(members(&read(&item))), without(whole.clone()), "{item}");
            }
            // Missing and null are one; what identifies an item must be there.
            let mut missing = sample.clone();
            missing.as_object_mut().unwrap().remove(name);
            let mut null = sample.clone();
            null[name] = Value::Null;
            let identity =
                ["call_id", "name"].contains(&name.as_str()) && strict.contains(&name.as_str());
            assert_eq!(try_read(&missing).is_err(), identity, "{missing}");
            assert_eq!(try_read(&missing), try_read(&null));
        }
    }
}

#[test]
fn c154_json_in_the_place_of_arguments_is_its_text() {
    let arguments = [r#"{"q": "x"}"#, r#"["x", 1.50]"#, r#"{"q":"\ud83d"}"#, "{}"];
    for text in arguments {
        let item = |item: &str| OutputItem::read(&Item::from_json(item).unwrap()).unwrap();
        let call = item(&format!(
            r#"{{"type":"function_call","call_id":"c","name":"n","arguments":{text}}}"#
        ));
        let OutputItem::FunctionCall(call) = call else { panic!() };
        assert_eq!(call.arguments, text);
        assert!(call.arguments::<Value>().is_ok());
        let call = item(&format!(
            r#"{{"type":"custom_tool_call","call_id":"c","name":"n","input":{text}}}"#
        ));
        let OutputItem::CustomToolCall(call) = call else { panic!() };
        assert_eq!(call.input, text);
    }
}

#[tokio::test]
async fn c154_json_in_the_place_of_arguments_is_its_text_in_events_too() {
    let lines = [
        r#"{"type":"response.function_call_arguments.delta","delta":{"q": "x"}}"#,
        r#"{"type":"response.function_call_arguments.done","arguments":["x"]}"#,
        r#"{"type":"response.custom_tool_call_input.delta","output_index":1,"delta":["x"]}"#,
        r#"{"type":"response.custom_tool_call_input.done","output_index":1,"input":{"q": "x"}}"#,
        r#"{"type":"response.completed","response":{"id":"r","status":"completed"}}"#,
    ];
    for transport in BOTH {
        let steps = lines.iter().map(|line| Step::Text((*line).to_owned()));
        let server = ScriptedServer::in_memory(Script::new().turn(Turn::steps(steps)));
        let client = builder(&server).transport(only(transport)).build().unwrap();
        let outcome = turn(&mut client.session(), &request(&["hi"])).await;
        outcome.response();
        let texts: Vec<&str> = outcome.events.iter().filter_map(arguments).collect();
        assert_eq!(texts, [r#"{"q": "x"}"#, r#"["x"]"#, r#"["x"]"#, r#"{"q": "x"}"#]);
    }
}

/// The arguments in an event about them.
fn arguments(event: &ResponseEvent) -> Option<&str> {
    match event {
        ResponseEvent::FunctionCallArgumentsDelta(e) => Some(&e.delta),
        ResponseEvent::FunctionCallArgumentsDone(e) => e.arguments.as_deref(),
        ResponseEvent::CustomToolCallInputDelta(e) => Some(&e.delta),
        ResponseEvent::CustomToolCallInputDone(e) => e.input.as_deref(),
        _ => None,
    }
}

#[test]
fn c124_a_string_is_one_part_and_parts_called_text_are_text() {
    let message = |content: Value| match read(&json!({"type": "message", "content": content})) {
        OutputItem::Message(message) => message.text(),
        other => panic!("{other:?}"),
    };
    assert_eq!(message(json!("hi")), "hi");
    assert_eq!(
        message(json!([{"type": "text", "text": "h"}, {"type": "output_text", "text": "i"}])),
        "hi"
    );
    assert_eq!(message(Value::Null), "");
    let reasoning = json!({"type": "reasoning", "summary": "why", "content": [{"type": "text", "text": "how"}]});
    let OutputItem::Reasoning(reasoning) = read(&reasoning) else { panic!() };
    assert_eq!((reasoning.summary(), reasoning.text()), ("why".to_owned(), "how".to_owned()));
}

#[tokio::test]
async fn items_come_typed_and_to_the_letter_on_both_transports() {
    let samples: Vec<Value> = samples().into_iter().map(|(item, _)| item).collect();
    let done = |(index, item): (usize, &Value)| json!({"type": "response.output_item.done", "output_index": index, "item": item});
    let end = json!({"type": "response.completed", "response": {"id": "r", "status": "completed"}});
    for transport in BOTH {
        let events = samples.iter().enumerate().map(done).chain([end.clone()]);
        let server = server(Script::new().turn(Turn::events(events))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        let response = outcome.response();
        assert_eq!(response.output(), samples.iter().map(read).collect::<Vec<_>>());
        for (item, sample) in response.output_items().zip(&samples) {
            assert_eq!(item.json().as_str(), sample.to_string(), "{transport}");
        }
    }
}

#[test]
fn unknown_types_and_values_survive() {
    let item = json!({"type": "brand_new_call", "id": "x", "secret_sauce": {"a": [1.5]}});
    let OutputItem::Other(other) = read(&item) else { panic!() };
    assert_eq!(other.json().as_str(), item.to_string());

    let OutputItem::Message(message) = read(&json!({
        "type": "message", "status": "dreaming", "phase": "overture", "role": "narrator",
        "content": [{"type": "brand_new_part", "x": 1}, {"type": "output_text", "text": "T",
            "annotations": [{"type": "brand_new_citation", "shelf": 7}]}, 7],
    })) else {
        panic!()
    };
    assert_eq!(message.status.as_deref(), Some("dreaming"));
    assert_eq!(
        (message.phase.as_deref(), message.role.as_deref()),
        (Some("overture"), Some("narrator"))
    );
    assert_eq!(message.text(), "T");
    let ContentPart::Other(part) = &message.content[0] else { panic!() };
    assert_eq!(part.as_str(), r#"{"type":"brand_new_part","x":1}"#);
    let annotations: Vec<&Annotation> = message.annotations().collect();
    let [Annotation::Other(annotation)] = annotations[..] else { panic!() };
    assert_eq!(annotation.member::<u8>("shelf").unwrap(), Some(7));

    let OutputItem::WebSearchCall(search) =
        read(&json!({"type": "web_search_call", "action": {"type": "dig", "deep": true}}))
    else {
        panic!()
    };
    let Some(WebSearchAction::Other(action)) = search.action else { panic!() };
    assert_eq!(action.as_str(), r#"{"deep":true,"type":"dig"}"#);

    let OutputItem::ComputerCall(call) = read(&json!({"type": "computer_call", "call_id": "c",
        "action": {"type": "wait"}, "actions": [{"type": "juggle"}, {"type": "screenshot"}]}))
    else {
        panic!()
    };
    let actions: Vec<&ComputerAction> = call.all_actions().collect();
    assert!(matches!(
        actions[..],
        [ComputerAction::Wait, ComputerAction::Other(_), ComputerAction::Screenshot]
    ));
}

#[test]
fn the_other_forms_of_members_are_read() {
    let call = |arguments: Value, error: Value| {
        let item = json!({"type": "mcp_call", "arguments": arguments, "error": error});
        let OutputItem::McpCall(call) = read(&item) else { panic!() };
        call
    };
    for arguments in [json!({"city": "Bremen"}), json!("{\"city\":\"Bremen\"}")] {
        let read: Value = call(arguments, Value::Null).arguments().unwrap();
        assert_eq!(read, json!({"city": "Bremen"}));
    }
    assert!(call(Value::Null, Value::Null).arguments::<Value>().is_err());
    let error = |error: Value| call(Value::Null, error).error.unwrap();
    let McpError::Other(text) = error(json!("it broke")) else { panic!() };
    assert_eq!(text.decode::<String>().unwrap(), "it broke");
    let tool = error(json!({"type": "mcp_tool_execution_error", "content": [{"text": "t"}]}));
    let McpError::ToolExecution(tool) = tool else { panic!() };
    assert_eq!(tool.content.unwrap().as_str(), r#"[{"text":"t"}]"#);
    let http = error(json!({"type": "http_error", "code": 502.0, "message": "m"}));
    let McpError::Http(http) = http else { panic!() };
    assert_eq!((http.code, http.message.as_deref()), (Some(502), Some("m")));

    let output = |output: Value| {
        let item =
            json!({"type": "function_call_output", "caller": {"type": "direct"}, "output": output});
        let OutputItem::FunctionCallOutput(read) = read(&item) else { panic!() };
        assert_eq!(read.caller, Some(Caller::Direct));
        read.output.unwrap()
    };
    assert_eq!(output(json!("42")), ToolOutput::Text("42".into()));
    assert!(matches!(output(json!({"k": 1})), ToolOutput::Other(_)));

    let action = |action: Value| {
        let item = json!({"type": "web_search_call", "action": action});
        let OutputItem::WebSearchCall(call) = read(&item) else { panic!() };
        call.action.unwrap()
    };
    let page = action(json!({"type": "open_page", "url": "u"}));
    assert!(matches!(page, WebSearchAction::OpenPage(page) if page.url.as_deref() == Some("u")));
    for kind in ["find_in_page", "find"] {
        let find = action(json!({"type": kind, "url": "u", "pattern": "p"}));
        let WebSearchAction::FindInPage(find) = find else { panic!() };
        assert_eq!((find.url.as_deref(), find.pattern.as_deref()), (Some("u"), Some("p")));
    }

    let patch = |operation: Value| {
        let item = json!({"type": "apply_patch_call", "call_id": "c", "operation": operation});
        let OutputItem::ApplyPatchCall(call) = read(&item) else { panic!() };
        assert!(call.is_complete());
        call.operation.unwrap()
    };
    let created = patch(json!({"type": "create_file", "path": "p", "diff": "+d"}));
    assert!(matches!(created, PatchOperation::CreateFile(file) if file.diff == "+d"));
    let deleted = patch(json!({"type": "delete_file", "path": "p"}));
    assert!(matches!(deleted, PatchOperation::DeleteFile(file) if file.path == "p"));

    let local = json!({"type": "shell_call", "call_id": "c", "status": "incomplete",
        "environment": {"type": "local", "skills": []}});
    let OutputItem::ShellCall(local) = read(&local) else { panic!() };
    assert!(!local.is_complete());
    let Some(ShellEnvironment::Local(environment)) = local.environment else { panic!() };
    assert_eq!(environment.as_str(), r#"{"skills":[],"type":"local"}"#);
}

#[tokio::test]
async fn a_response_says_what_it_took_and_why() {
    let end = json!({"type": "response.completed", "response": {
        "id": "r", "status": "completed", "created_at": 1.79e9, "completed_at": 1790000004,
        "service_tier": "priority", "metadata": {"k": "v"}, "end_turn": false,
        "error": {"code": "server_error", "message": "m", "param": 7},
        "input_transformations": [{"id": "rs_1", "type": "reasoning", "action": "removed",
            "reason": "model_mismatch"}],
        "tool_usage": {"image_gen": {"input_tokens": 5}, "web_search": {"num_requests": 3}},
        "prompt_cache_diagnostics": {"type": "cache_miss", "reason": "expired"},
        "usage": {"input_tokens": 12, "input_tokens_details": {"cache_write_tokens": 5,
            "cache_write_tokens_details": {"ttl_30m_tokens": 2, "ttl_12h_tokens": 3}}},
    }});
    for transport in BOTH {
        let script = Script::new()
            .turn(Turn::events([end.clone()]))
            .turn(Turn::events([json!({"type": "response.completed", "response": {"created_at": "x", "metadata": 7, "error": null}})]));
        let server = server(script).await;
        let mut session = builder(&server).transport(only(transport)).build().unwrap().session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        let response = outcome.response();
        assert_eq!(response.status(), ResponseStatus::Completed);
        assert_eq!(response.created_at(), Some(1_790_000_000.0));
        assert_eq!(response.completed_at(), Some(1_790_000_004.0));
        assert_eq!(response.service_tier().as_deref(), Some("priority"));
        assert_eq!(response.metadata().get("k").map(String::as_str), Some("v"));
        assert_eq!(response.end_turn(), Some(false));
        let error = response.error().unwrap();
        assert_eq!((error.code.as_deref(), error.param), (Some("server_error"), None));
        let [removed] = &response.input_transformations()[..] else { panic!() };
        assert_eq!(removed.reason.as_deref(), Some("model_mismatch"));
        let usage = response.tool_usage().unwrap();
        assert_eq!(usage.web_search.unwrap().num_requests, Some(3));
        assert!(response.prompt_cache_diagnostics().unwrap().as_str().contains("cache_miss"));
        let written = response.usage().unwrap().input_tokens_details.cache_write_tokens_details;
        assert_eq!((written.ttl_30m_tokens, written.ttl_12h_tokens), (2, 3));

        let odd = turn(&mut session, &request(&["again"])).await;
        let odd = odd.response();
        assert_eq!((odd.created_at(), odd.metadata().len(), odd.error()), (None, 0, None));
    }
}

#[tokio::test]
async fn an_item_that_nests_too_deep_to_be_read_spoils_no_other() {
    let deep = format!(
        r#"{{"type":"function_call_output","id":"d","output":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let output = format!(r#"[{deep},{{"type":"message","id":"m","content":[]}}]"#);
    let end = format!(
        r#"{{"type":"response.completed","response":{{"id":"r","status":"completed","output":{output}}}}}"#
    );
    for transport in BOTH {
        let server = server(Script::new().turn(Turn::jsonl(&end))).await;
        let mut session = socket_client(&server, only(transport)).session();
        let outcome = turn(&mut session, &request(&["hi"])).await;
        let items: Vec<Item> = outcome.response().output_items().collect();
        assert_eq!(items.len(), 2, "{transport}");
        assert_eq!(items[0].json().as_str(), deep);
        let [OutputItem::FunctionCallOutput(read), OutputItem::Message(_)] =
            &outcome.response().output()[..]
        else {
            panic!("{:?}", outcome.response().output())
        };
        assert!(matches!(&read.output, Some(ToolOutput::Parts(_) | ToolOutput::Other(_))));
    }
}
