//! A deterministic model that calls tools for files.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{builder::Script, digest::history_digest, exchange::Exchange, turn::Turn};

impl Script {
    /// Returns a script with a deterministic model that works through a loop of tool calls.
    ///
    /// The model calls those of the tools `list_files`, `read_file`, `search_files` and
    /// `count_lines` that the request offers, 19 calls in all, and then gives a final answer. A
    /// request that offers none of these tools gets the final answer immediately. The model uses
    /// nothing but the tools of the request and the history of the exchange, so that a full request
    /// gets the same answer as an incremental one. Its arguments and its final answer carry the
    /// [`history_digest`] of that history.
    pub fn agent() -> Self {
        Self::new().respond(agent_reply)
    }
}

/// Returns the turn of the agent of [`Script::agent`] for this exchange.
///
/// Use it in scripts that add faults to some of the agent's turns:
///
/// ```
/// use responses_client::testing::{Script, Step, agent_reply};
///
/// let script = Script::new().respond(|exchange| {
///     let turn = agent_reply(exchange);
///     if exchange.index == 3 { turn.cut_after(2, Step::Reset) } else { turn }
/// });
/// # let _ = script;
/// ```
pub fn agent_reply(exchange: &Exchange) -> Turn {
    let history = &exchange.history;
    let digest = history_digest(history);
    let calls = history.iter().filter(|item| item["type"] == "function_call").count();
    let next = (calls < CALLS).then(|| next_call(exchange, calls)).flatten();
    let thought = match &next {
        Some((name, _)) => format!("Step {}: I call {name} and look at what it says.", calls + 1),
        None => format!("After {calls} calls I have seen enough to answer."),
    };
    let reasoning = json!({
        "id": format!("rs_{digest:.48}"),
        "type": "reasoning",
        "summary": [{ "type": "summary_text", "text": thought }],
        "encrypted_content": STANDARD.encode(digest.repeat(3)),
    });
    let answer = match next {
        Some((name, argument)) => {
            let (key, value) = argument;
            let arguments = json!({ "history_digest": digest, key: value });
            json!({
                "id": format!("fc_{digest:.48}"),
                "type": "function_call",
                "status": "completed",
                "call_id": format!("call_{}", calls + 1),
                "name": name,
                "arguments": arguments.to_string(),
            })
        }
        None => json!({
            "id": format!("msg_{digest:.48}"),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "phase": "final_answer",
            "content": [{
                "type": "output_text",
                "text": format!("I made {calls} tool calls. history_digest:{digest}"),
                "annotations": [],
                "logprobs": [],
            }],
        }),
    };
    Turn::output([reasoning, answer])
}

/// A tool, and its argument by name.
type Call = (&'static str, (&'static str, String));

/// Returns the next tool in turn, or `list_files` if its argument is not known yet.
fn next_call(exchange: &Exchange, calls: usize) -> Option<Call> {
    let tools = exchange.body["tools"].as_array()?;
    let offers = |name: &str| tools.iter().any(|tool| tool["name"] == name);
    let offered: Vec<_> =
        [LIST, READ, SEARCH, COUNT].into_iter().filter(|tool| offers(tool)).collect();
    let name = *offered.get(calls.checked_rem(offered.len())?)?;
    let argument = match name {
        READ | COUNT => file(&exchange.history).map(|path| ("path", path)),
        SEARCH => word(&exchange.history).map(|word| ("query", word)),
        _ => Some(("path", ".".to_owned())),
    };
    match argument {
        Some(argument) => Some((name, argument)),
        None => offers(LIST).then(|| (LIST, ("path", ".".to_owned()))),
    }
}

/// Returns the next file of the latest listing.
fn file(history: &[Value]) -> Option<String> {
    let listing = latest_output(history, LIST)?;
    let files: Vec<_> =
        listing.lines().map(str::trim).filter(|l| !l.is_empty() && !l.ends_with('/')).collect();
    let taken = history.iter().filter(|item| item["name"] == READ || item["name"] == COUNT).count();
    files.get(taken.checked_rem(files.len())?).map(|path| (*path).to_owned())
}

/// Returns the first long word of the latest file.
fn word(history: &[Value]) -> Option<String> {
    let text = latest_output(history, READ)?;
    let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
    words.find(|word| word.len() >= 5).map(str::to_owned)
}

fn latest_output(history: &[Value], tool: &str) -> Option<String> {
    let calls: Vec<_> = history
        .iter()
        .filter(|item| item["type"] == "function_call" && item["name"] == tool)
        .map(|item| &item["call_id"])
        .collect();
    let output = history
        .iter()
        .rev()
        .find(|item| item["type"] == "function_call_output" && calls.contains(&&item["call_id"]))?;
    match &output["output"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            Some(parts.iter().filter_map(|part| part["text"].as_str()).collect())
        }
        _ => None,
    }
}

/// Number of calls that the agent makes before its final answer.
const CALLS: usize = 19;
const LIST: &str = "list_files";
const READ: &str = "read_file";
const SEARCH: &str = "search_files";
const COUNT: &str = "count_lines";
