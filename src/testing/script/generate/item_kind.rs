//! The kinds of items: their ids, their first form, and their events.

use serde_json::{Value, json};

use super::{item_events::ItemEvents, kind_events};
use crate::testing::script::{exchange::Exchange, value::set};

/// A kind of items.
struct ItemKind {
    item_type: &'static str,
    /// Prefix of the ids.
    prefix: &'static str,
    /// Members that are not known yet when an item begins.
    emptied: &'static [(&'static str, Empty)],
    /// Adds the events between the first and the last.
    add_events: fn(&mut ItemEvents<'_>),
}

/// Placeholder of a member that is not known yet.
#[derive(Clone, Copy)]
enum Empty {
    Text,
    List,
    Null,
    /// The member is missing.
    Gone,
    /// The first half of a text: some servers begin with it, although it is useless.
    Half,
    /// An object whose list of this name is empty.
    ListIn(&'static str),
}

use Empty::{Gone, Half, List, ListIn, Null, Text};

const KINDS: &[ItemKind] = &[
    kind("message", "msg", &[("content", List)], kind_events::content),
    kind(
        "reasoning",
        "rs",
        &[("summary", List), ("content", List), ("encrypted_content", Half)],
        kind_events::reasoning,
    ),
    kind("function_call", "fc", &[("arguments", Text)], kind_events::function_call),
    kind("custom_tool_call", "ctc", &[("input", Text)], kind_events::custom_tool_call),
    kind("function_call_output", "fco", &[], kind_events::nothing),
    kind("custom_tool_call_output", "ctco", &[], kind_events::nothing),
    kind("web_search_call", "ws", &[("action", Gone)], kind_events::search),
    kind("file_search_call", "fs", &[("queries", List), ("results", Null)], kind_events::search),
    kind(
        "code_interpreter_call",
        "ci",
        &[("code", Text), ("outputs", Null)],
        kind_events::code_interpreter,
    ),
    kind(
        "image_generation_call",
        "ig",
        &[("result", Null), ("revised_prompt", Gone), ("error", Null)],
        kind_events::image_generation,
    ),
    kind("computer_call", "cu", &[], kind_events::nothing),
    kind("local_shell_call", "lsh", &[], kind_events::nothing),
    kind("shell_call", "sh", &[("action", ListIn("commands"))], kind_events::shell_call),
    kind("shell_call_output", "item", &[("output", List)], kind_events::shell_call_output),
    kind("apply_patch_call", "apc", &[], kind_events::nothing),
    kind(
        "mcp_list_tools",
        "mcpl",
        &[("tools", List), ("error", Null)],
        kind_events::mcp_list_tools,
    ),
    kind(
        "mcp_call",
        "mcp",
        &[("arguments", Text), ("output", Null), ("error", Null)],
        kind_events::mcp_call,
    ),
    kind("mcp_approval_request", "mcpr", &[], kind_events::nothing),
    kind("tool_search_call", "tsc", &[], kind_events::nothing),
    kind("tool_search_output", "tso", &[], kind_events::nothing),
    kind("additional_tools", "at", &[], kind_events::nothing),
    kind("compaction", "cmp", &[("encrypted_content", Text)], kind_events::compaction),
    kind("agent_message", "amsg", &[], kind_events::nothing),
];

/// Every other kind, known to the API or not.
const OTHER: ItemKind = kind("", "item", &[], kind_events::nothing);

/// The kinds whose items need no status, or have none.
const WITHOUT_STATUS: [&str; 7] = [
    OTHER.item_type,
    "reasoning",
    "mcp_list_tools",
    "mcp_approval_request",
    "additional_tools",
    "compaction",
    "agent_message",
];

const fn kind(
    item_type: &'static str,
    prefix: &'static str,
    emptied: &'static [(&'static str, Empty)],
    add_events: fn(&mut ItemEvents<'_>),
) -> ItemKind {
    ItemKind { item_type, prefix, emptied, add_events }
}

/// Returns the kind of an item.
fn kind_of(item: &Value) -> &'static ItemKind {
    KINDS.iter().find(|kind| item["type"] == kind.item_type).unwrap_or(&OTHER)
}

/// Returns all events of an item.
pub(super) fn events(exchange: &Exchange, index: usize, item: &Value) -> Vec<Value> {
    let mut events = ItemEvents::new(exchange, index, item);
    let added = json!({ "output_index": index, "item": skeleton(item) });
    events.push("output_item.added", added);
    (kind_of(item).add_events)(&mut events);
    events.push("output_item.done", json!({ "output_index": index, "item": item }));
    events.into_events()
}

/// Returns the item with the members that the API adds: an id of its kind, the `call_id` of a
/// function call, and the status of a finished item.
pub(super) fn with_added_members(item: &Value, index: usize, exchange: &Exchange) -> Value {
    let mut item = item.clone();
    let ItemKind { item_type, prefix, .. } = kind_of(&item);
    let is_call = item.get("type").is_some_and(|it| it == "function_call");
    if let Some(members) = item.as_object_mut() {
        let unique = exchange.response_id.trim_start_matches("resp_");
        let id = |prefix: &str| Value::from(format!("{prefix}_{unique}{index}"));
        members.entry("id").or_insert_with(|| id(prefix));
        if is_call {
            members.entry("call_id").or_insert_with(|| id("call"));
        }
        if !WITHOUT_STATUS.contains(item_type) {
            members.entry("status").or_insert_with(|| "completed".into());
        }
    }
    item
}

/// Returns the part of an item that is known when it begins.
fn skeleton(item: &Value) -> Value {
    let mut skeleton = item.clone();
    let Some(members) = skeleton.as_object_mut() else { return skeleton };
    for (name, empty) in kind_of(item).emptied {
        let Some(member) = members.get_mut(*name).filter(|member| !member.is_null()) else {
            continue;
        };
        match empty {
            Text => *member = "".into(),
            List => *member = json!([]),
            Null => *member = Value::Null,
            Half => *member = half(member.as_str().unwrap_or_default()).into(),
            ListIn(list) => set(member, list, json!([])),
            Gone => {
                members.remove(*name);
            }
        }
    }
    // These two know no such status.
    let begins_done = ["apply_patch_call_output", "program_output"].map(Value::from);
    if let Some(status) = members.get_mut("status").filter(|_| !begins_done.contains(&item["type"]))
    {
        *status = "in_progress".into();
    }
    skeleton
}

fn half(text: &str) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}
