//! The events between the first and the last event of an item, by kind of item.

use serde_json::json;

use super::{item_events::ItemEvents, text};
use crate::testing::script::value::{list, merged, set};

/// Adds nothing, for kinds that only begin and end.
pub(super) fn nothing(_: &mut ItemEvents<'_>) {}

/// Adds the parts of a message, or of reasoning that is not hidden.
pub(super) fn content(events: &mut ItemEvents<'_>) {
    for (index, part) in list(events.item, "content").iter().enumerate() {
        let at = merged(&events.at(), json!({ "content_index": index }));
        match part["type"].as_str() {
            Some(kind @ ("output_text" | "refusal" | "reasoning_text")) => {
                events.part(&at, part, "content_part", kind);
            }
            _ => {
                let whole = merged(&at, json!({ "part": part }));
                events.push("content_part.added", whole.clone());
                events.push("content_part.done", whole);
            }
        }
    }
}

/// Adds the parts of a summary, and the content.
pub(super) fn reasoning(events: &mut ItemEvents<'_>) {
    for (index, part) in list(events.item, "summary").iter().enumerate() {
        let at = merged(&events.at(), json!({ "summary_index": index }));
        events.part(&at, part, "reasoning_summary_part", "reasoning_summary_text");
    }
    content(events);
}

pub(super) fn function_call(events: &mut ItemEvents<'_>) {
    events.member("arguments", "function_call_arguments");
}

pub(super) fn custom_tool_call(events: &mut ItemEvents<'_>) {
    events.member("input", "custom_tool_call_input");
}

/// Adds the stages of a search in the web or in files.
pub(super) fn search(events: &mut ItemEvents<'_>) {
    events.stage("in_progress");
    events.stage("searching");
    events.last_stage();
}

pub(super) fn code_interpreter(events: &mut ItemEvents<'_>) {
    events.stage("in_progress");
    events.member("code", "code_interpreter_call_code");
    events.stage("interpreting");
    events.last_stage();
}

/// Adds as many partial images as the request's tool asks for, else one.
pub(super) fn image_generation(events: &mut ItemEvents<'_>) {
    events.stage("in_progress");
    events.stage("generating");
    let tool =
        list(&events.exchange.body, "tools").iter().find(|tool| tool["type"] == "image_generation");
    let asked = tool.and_then(|tool| tool["partial_images"].as_u64());
    let count = asked.map_or(1, |count| usize::try_from(count).unwrap_or(3).min(3));
    if let Some(result) = events.item["result"].as_str() {
        for index in 0..count {
            // Base64 ends after each four characters.
            let end = result.len() * (index + 1) / (count + 1) / 4 * 4;
            let mut partial = events.at();
            set(&mut partial, "partial_image_index", index);
            set(&mut partial, "partial_image_b64", result.get(..end).unwrap_or(result));
            for name in ["size", "quality", "background", "output_format"] {
                if let Some(value) = events.item.get(name) {
                    set(&mut partial, name, value.clone());
                }
            }
            events.push("image_generation_call.partial_image", partial);
        }
    }
    events.last_stage();
}

pub(super) fn mcp_list_tools(events: &mut ItemEvents<'_>) {
    events.stage("in_progress");
    events.outcome();
}

pub(super) fn mcp_call(events: &mut ItemEvents<'_>) {
    events.stage("in_progress");
    events.member("arguments", "mcp_call_arguments");
    events.outcome();
}

/// Adds the commands. Of all events of items, only these have no `item_id`.
pub(super) fn shell_call(events: &mut ItemEvents<'_>) {
    for (index, command) in list(&events.item["action"], "commands").iter().enumerate() {
        let at = json!({ "output_index": events.index, "command_index": index });
        let text = command.as_str().unwrap_or_default();
        events.push("shell_call_command.added", merged(&at, json!({ "command": "" })));
        for piece in text::pieces(text) {
            events.delta("shell_call_command", &at, piece.len(), &json!(piece));
        }
        events.push("shell_call_command.done", merged(&at, json!({ "command": text })));
    }
}

pub(super) fn shell_call_output(events: &mut ItemEvents<'_>) {
    for (index, output) in list(events.item, "output").iter().enumerate() {
        let at = merged(&events.at(), json!({ "command_index": index }));
        for stream in ["stdout", "stderr"] {
            for piece in text::pieces(output[stream].as_str().unwrap_or_default()) {
                let delta = json!({ stream: piece });
                events.delta("shell_call_output_content", &at, piece.len(), &delta);
            }
        }
        events.push("shell_call_output_content.done", merged(&at, json!({ "output": [output] })));
    }
}

/// Adds the event twice, because a long compaction repeats it.
pub(super) fn compaction(events: &mut ItemEvents<'_>) {
    for _ in 0..2 {
        events.push("compaction.compacting", events.at());
    }
}
