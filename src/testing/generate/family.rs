//! The kinds of items: their ids, how they look when they begin, and the events they come with.

use serde_json::{Value, json};

use super::course::{self, Course};
use crate::testing::script::Exchange;

/// A kind of items.
pub(super) struct Family {
    item_type: &'static str,
    /// What its ids begin with.
    prefix: &'static str,
    /// Its members that are not known yet when it begins.
    emptied: &'static [(&'static str, Empty)],
    /// Adds the events between its first and its last.
    pub(super) course: fn(&mut Course<'_>),
}

/// What stands for a member that is not known yet.
#[derive(Clone, Copy)]
enum Empty {
    Text,
    List,
    Null,
    /// The member is left out.
    Gone,
    /// The first half of a text: some servers begin with it, and it is of no use.
    Half,
    /// An object whose list of this name is empty.
    ListIn(&'static str),
}

use Empty::{Gone, Half, List, ListIn, Null, Text};

const FAMILIES: &[Family] = &[
    family("message", "msg", &[("content", List)], course::content),
    family(
        "reasoning",
        "rs",
        &[("summary", List), ("content", List), ("encrypted_content", Half)],
        course::reasoning,
    ),
    family("function_call", "fc", &[("arguments", Text)], course::function_call),
    family("custom_tool_call", "ctc", &[("input", Text)], course::custom_tool_call),
    family("function_call_output", "fco", &[], course::nothing),
    family("custom_tool_call_output", "ctco", &[], course::nothing),
    family("web_search_call", "ws", &[("action", Gone)], course::search),
    family("file_search_call", "fs", &[("queries", List), ("results", Null)], course::search),
    family(
        "code_interpreter_call",
        "ci",
        &[("code", Text), ("outputs", Null)],
        course::code_interpreter,
    ),
    family(
        "image_generation_call",
        "ig",
        &[("result", Null), ("revised_prompt", Gone), ("error", Null)],
        course::image_generation,
    ),
    family("computer_call", "cu", &[], course::nothing),
    family("local_shell_call", "lsh", &[], course::nothing),
    family("shell_call", "sh", &[("action", ListIn("commands"))], course::shell_call),
    family("shell_call_output", "item", &[("output", List)], course::shell_call_output),
    family("apply_patch_call", "apc", &[], course::nothing),
    family("mcp_list_tools", "mcpl", &[("tools", List), ("error", Null)], course::mcp_list_tools),
    family(
        "mcp_call",
        "mcp",
        &[("arguments", Text), ("output", Null), ("error", Null)],
        course::mcp_call,
    ),
    family("mcp_approval_request", "mcpr", &[], course::nothing),
    family("tool_search_call", "tsc", &[], course::nothing),
    family("tool_search_output", "tso", &[], course::nothing),
    family("additional_tools", "at", &[], course::nothing),
    family("compaction", "cmp", &[("encrypted_content", Text)], course::compaction),
    family("agent_message", "amsg", &[], course::nothing),
];

/// Every other kind, known to the API or not.
const OTHER: Family = family("", "item", &[], course::nothing);

const fn family(
    item_type: &'static str,
    prefix: &'static str,
    emptied: &'static [(&'static str, Empty)],
    course: fn(&mut Course<'_>),
) -> Family {
    Family { item_type, prefix, emptied, course }
}

/// The kind of an item.
pub(super) fn of(item: &Value) -> &'static Family {
    FAMILIES.iter().find(|family| item["type"] == family.item_type).unwrap_or(&OTHER)
}

/// The item, with an id of its kind if it has none.
pub(super) fn with_id(item: &Value, place: usize, exchange: &Exchange) -> Value {
    let mut item = item.clone();
    let prefix = of(&item).prefix;
    if let Some(members) = item.as_object_mut() {
        members.entry("id").or_insert_with(|| {
            let unique = exchange.response_id.trim_start_matches("resp_");
            format!("{prefix}_{unique}{place}").into()
        });
    }
    item
}

/// What is known of an item when it begins.
pub(super) fn skeleton(item: &Value) -> Value {
    let mut skeleton = item.clone();
    let Some(members) = skeleton.as_object_mut() else { return skeleton };
    for (name, empty) in of(item).emptied {
        let Some(member) = members.get_mut(*name).filter(|member| !member.is_null()) else {
            continue;
        };
        match empty {
            Text => *member = "".into(),
            List => *member = json!([]),
            Null => *member = Value::Null,
            Half => *member = half(member.as_str().unwrap_or_default()).into(),
            ListIn(list) => super::set(member, list, json!([])),
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
