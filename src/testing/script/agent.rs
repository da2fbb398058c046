//! A deterministic model that calls the tools of a request.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{builder::Script, digest::history_digest, exchange::Exchange, schema, turn::Turn};

impl Script {
    /// Returns a script with a deterministic model that works through a loop of tool calls.
    ///
    /// The model calls those of the tools `list_files`, `read_file`, `search_files` and
    /// `count_lines` that the request offers, 19 calls in all, and then gives a final answer. If a
    /// request offers only other functions or custom tools, the model calls the first one, or that
    /// of `tool_choice`, with the required properties of its schema, and gives a final answer once
    /// the user's message is followed by an output. A request without tools, or with
    /// `tool_choice: "none"`, gets the final answer immediately.
    ///
    /// The model uses nothing but the tools of the request and the history of the exchange, so that
    /// a full request gets the same answer as an incremental one. The final answer, and the
    /// arguments of the four tools, carry the [`history_digest`] of that history.
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
    let is_call = |item: &&Value| item["type"] == "function_call" || item["type"] == CUSTOM_CALL;
    let calls = history.iter().filter(is_call).count();
    let next = if exchange.body["tool_choice"] == "none" {
        None
    } else {
        file_call(exchange, calls, &digest).or_else(|| first_call(exchange))
    };
    let thought = match &next {
        Some(call) => format!("Step {}: I call {} and look at what it says.", calls + 1, call.name),
        None => format!("After {calls} calls I have seen enough to answer."),
    };
    let reasoning = json!({
        "id": format!("rs_{digest:.48}"),
        "type": "reasoning",
        "summary": [{ "type": "summary_text", "text": thought }],
        "encrypted_content": STANDARD.encode(digest.repeat(3)),
    });
    let answer = match next {
        Some(call) => call.item(calls, &digest),
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

/// A call of a tool.
struct Call {
    name: String,
    /// Arguments of a function; `None` for a custom tool.
    arguments: Option<Value>,
}

impl Call {
    /// Returns the call as an item, after this number of calls.
    fn item(&self, calls: usize, digest: &str) -> Value {
        let Self { name, arguments } = self;
        let (prefix, kind, member, text) = match arguments {
            Some(arguments) => ("fc", "function_call", "arguments", arguments.to_string()),
            None => ("ctc", CUSTOM_CALL, "input", "text".to_owned()),
        };
        json!({
            "id": format!("{prefix}_{digest:.48}"),
            "type": kind,
            "status": "completed",
            "call_id": format!("call_{}", calls + 1),
            "name": name,
            member: text,
        })
    }
}

/// Returns the next call of a tool for files, if the request offers one and more calls are due.
fn file_call(exchange: &Exchange, calls: usize, digest: &str) -> Option<Call> {
    let (name, (key, value)) =
        (calls < CALLS).then(|| next_file_tool(exchange, calls)).flatten()?;
    let arguments = json!({ "history_digest": digest, key: value });
    Some(Call { name: name.to_owned(), arguments: Some(arguments) })
}

/// Returns a call of the first tool of a request without tools for files, unless the user's last
/// message is followed by an output.
fn first_call(exchange: &Exchange) -> Option<Call> {
    let history = &exchange.history;
    let from = history.iter().rposition(|item| item["role"] == "user").unwrap_or_default();
    let is_output =
        |item: &Value| item["type"] == "function_call_output" || item["type"] == CUSTOM_OUTPUT;
    if history.iter().skip(from).any(is_output) {
        return None;
    }
    let tools = exchange.body["tools"].as_array()?;
    if tools.iter().any(|tool| FILE_TOOLS.iter().any(|name| tool["name"] == **name)) {
        return None;
    }
    let wanted = exchange.body["tool_choice"]["name"].as_str();
    tools.iter().find_map(|tool| {
        let name = tool["name"].as_str().filter(|name| wanted.is_none_or(|it| it == *name))?;
        let arguments = match tool["type"].as_str()? {
            "function" => Some(schema::arguments(&tool["parameters"])),
            "custom" => None,
            _ => return None,
        };
        Some(Call { name: name.to_owned(), arguments })
    })
}

/// A tool, and its argument by name.
type FileTool = (&'static str, (&'static str, String));

/// Returns the next tool in turn, or `list_files` if its argument is not known yet.
fn next_file_tool(exchange: &Exchange, calls: usize) -> Option<FileTool> {
    let tools = exchange.body["tools"].as_array()?;
    let offers = |name: &str| tools.iter().any(|tool| tool["name"] == name);
    let offered: Vec<_> = FILE_TOOLS.into_iter().filter(|tool| offers(tool)).collect();
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
const FILE_TOOLS: [&str; 4] = [LIST, READ, SEARCH, COUNT];
const CUSTOM_CALL: &str = "custom_tool_call";
const CUSTOM_OUTPUT: &str = "custom_tool_call_output";
