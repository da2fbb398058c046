//! Output items for [`Turn::output`](crate::testing::Turn::output), one function for each kind.
//!
//! Each function returns a finished item without an `id`; the server adds an id of the item's kind.
//! Items are plain JSON, so that a test can change any member.
//!
//! ```
//! use responses_client::testing::{Turn, items};
//!
//! let mut cut_off = items::function_call("call_1", "read_file", r#"{"path":"#);
//! cut_off["status"] = "incomplete".into();
//! let turn = Turn::incomplete(
//!     [items::reasoning("Look at the file", "gAAAA"), items::message("I read it."), cut_off],
//!     "max_output_tokens",
//! );
//! # let _ = turn;
//! ```

use serde_json::{Value, json};

/// Returns a message with one text.
pub fn message(text: &str) -> Value {
    message_of([output_text(text)])
}

/// Returns a message of these parts.
pub fn message_of(parts: impl IntoIterator<Item = Value>) -> Value {
    json!({
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": parts.into_iter().collect::<Vec<_>>(),
    })
}

/// Returns a message with a refusal.
pub fn refusal(text: &str) -> Value {
    message_of([refusal_part(text)])
}

/// Returns a part of a message: a text.
pub fn output_text(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

/// Returns a part of a message: a text that cites this page from its first character to its last.
pub fn cited_text(text: &str, url: &str) -> Value {
    let citation = json!({
        "type": "url_citation",
        "url": url,
        "title": url,
        "start_index": 0,
        "end_index": text.chars().count(),
    });
    json!({ "type": "output_text", "text": text, "annotations": [citation], "logprobs": [] })
}

/// Returns a part of a message: a text of these tokens with their probabilities. Each token is one
/// delta.
pub fn probable_text<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Value {
    let tokens: Vec<&str> = tokens.into_iter().collect();
    let logprob = |token: &&str| {
        json!({
            "token": token,
            "bytes": token.as_bytes(),
            "logprob": -0.25,
            "top_logprobs": [{ "token": token, "bytes": token.as_bytes(), "logprob": -0.25 }],
        })
    };
    json!({
        "type": "output_text",
        "text": tokens.concat(),
        "annotations": [],
        "logprobs": tokens.iter().map(logprob).collect::<Vec<_>>(),
    })
}

/// Returns a part of a message: a refusal.
pub fn refusal_part(text: &str) -> Value {
    json!({ "type": "refusal", "refusal": text })
}

/// Returns reasoning with a summary of one part, and encrypted content.
pub fn reasoning(summary: &str, encrypted_content: &str) -> Value {
    json!({
        "type": "reasoning",
        "summary": [{ "type": "summary_text", "text": summary }],
        "encrypted_content": encrypted_content,
    })
}

/// Returns reasoning in plain text, as models with open weights return it.
pub fn reasoning_text(text: &str) -> Value {
    json!({
        "type": "reasoning",
        "summary": [],
        "content": [{ "type": "reasoning_text", "text": text }],
    })
}

/// Returns a call of a function; `arguments` is the text of a JSON value.
pub fn function_call(call_id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    })
}

/// Returns a call of a custom tool.
pub fn custom_tool_call(call_id: &str, name: &str, input: &str) -> Value {
    json!({
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "input": input,
    })
}

/// Returns the output of a function that a program called.
pub fn function_call_output(call_id: &str, output: &str) -> Value {
    json!({
        "type": "function_call_output",
        "status": "completed",
        "call_id": call_id,
        "output": output,
    })
}

/// Returns the output of a custom tool that a program called.
pub fn custom_tool_call_output(call_id: &str, output: &str) -> Value {
    json!({
        "type": "custom_tool_call_output",
        "status": "completed",
        "call_id": call_id,
        "output": output,
    })
}

/// Returns a web search.
pub fn web_search_call(query: &str) -> Value {
    json!({
        "type": "web_search_call",
        "status": "completed",
        "action": { "type": "search", "query": query, "queries": [query] },
    })
}

/// Returns a file search with one result.
pub fn file_search_call(query: &str) -> Value {
    let result = json!({
        "file_id": "file-1",
        "filename": "notes.txt",
        "score": 0.5,
        "text": query,
        "attributes": {},
    });
    json!({
        "type": "file_search_call",
        "status": "completed",
        "queries": [query],
        "results": [result],
    })
}

/// Returns executed code with its output.
pub fn code_interpreter_call(code: &str, logs: &str) -> Value {
    json!({
        "type": "code_interpreter_call",
        "status": "completed",
        "container_id": "cntr_1",
        "code": code,
        "outputs": [{ "type": "logs", "logs": logs }],
    })
}

/// Returns an image of `bytes` bytes, rounded up to a multiple of three. Its base64 is a third
/// longer.
pub fn image(bytes: usize) -> Value {
    // This base64 does not decode to a valid image.
    const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let length = bytes.div_ceil(3) * 4;
    let mut result = BASE64.repeat(length.div_ceil(BASE64.len()));
    result.truncate(length);
    json!({
        "type": "image_generation_call",
        "status": "completed",
        "output_format": "png",
        "size": "1024x1024",
        "quality": "high",
        "background": "opaque",
        "revised_prompt": "A painting",
        "result": result,
    })
}

/// Returns a click on the screen.
pub fn computer_call(call_id: &str) -> Value {
    json!({
        "type": "computer_call",
        "status": "completed",
        "call_id": call_id,
        "pending_safety_checks": [],
        "actions": [{ "type": "click", "button": "left", "x": 1, "y": 2 }],
    })
}

/// Returns a command for the shell of the client, in the form of the older tool.
pub fn local_shell_call(call_id: &str, command: &[&str]) -> Value {
    json!({
        "type": "local_shell_call",
        "status": "completed",
        "call_id": call_id,
        "action": { "type": "exec", "command": command, "env": {} },
    })
}

/// Returns commands for a shell.
pub fn shell_call(call_id: &str, commands: &[&str]) -> Value {
    json!({
        "type": "shell_call",
        "status": "completed",
        "call_id": call_id,
        "action": { "commands": commands, "timeout_ms": null, "max_output_length": null },
        "environment": null,
    })
}

/// Returns the standard output of commands in a hosted shell, one text for each command.
pub fn shell_call_output(call_id: &str, stdout: &[&str]) -> Value {
    let output = |stdout: &&str| {
        let outcome = json!({ "type": "exit", "exit_code": 0 });
        json!({ "stdout": stdout, "stderr": "", "outcome": outcome })
    };
    json!({
        "type": "shell_call_output",
        "status": "completed",
        "call_id": call_id,
        "max_output_length": null,
        "output": stdout.iter().map(output).collect::<Vec<_>>(),
    })
}

/// Returns a change of a file.
pub fn apply_patch_call(call_id: &str, path: &str, diff: &str) -> Value {
    json!({
        "type": "apply_patch_call",
        "status": "completed",
        "call_id": call_id,
        "operation": { "type": "update_file", "path": path, "diff": diff },
    })
}

/// Returns the list of an MCP server's tools with these names.
pub fn mcp_list_tools(server_label: &str, names: &[&str]) -> Value {
    let tool = |name: &&str| json!({ "name": name, "input_schema": { "type": "object" } });
    json!({
        "type": "mcp_list_tools",
        "server_label": server_label,
        "tools": names.iter().map(tool).collect::<Vec<_>>(),
        "error": null,
    })
}

/// Returns a successful call of an MCP server's tool.
pub fn mcp_call(server_label: &str, name: &str, arguments: &str, output: &str) -> Value {
    json!({
        "type": "mcp_call",
        "status": "completed",
        "server_label": server_label,
        "name": name,
        "arguments": arguments,
        "output": output,
        "error": null,
    })
}

/// Returns a failed call of an MCP server's tool.
pub fn failed_mcp_call(server_label: &str, name: &str, arguments: &str, message: &str) -> Value {
    json!({
        "type": "mcp_call",
        "status": "failed",
        "server_label": server_label,
        "name": name,
        "arguments": arguments,
        "output": null,
        "error": { "type": "http_error", "code": 502, "message": message },
    })
}

/// Returns a request for approval to call an MCP server's tool.
pub fn mcp_approval_request(server_label: &str, name: &str, arguments: &str) -> Value {
    json!({
        "type": "mcp_approval_request",
        "server_label": server_label,
        "name": name,
        "arguments": arguments,
    })
}

/// Returns a search for tools, which the client carries out.
pub fn tool_search_call(call_id: &str, query: &str) -> Value {
    json!({
        "type": "tool_search_call",
        "status": "completed",
        "call_id": call_id,
        "execution": "client",
        "arguments": { "query": query },
    })
}

/// Returns the functions with these names, which the server found.
pub fn tool_search_output(names: &[&str]) -> Value {
    let tool = |name: &&str| json!({ "type": "function", "name": name, "parameters": {} });
    json!({
        "type": "tool_search_output",
        "status": "completed",
        "call_id": null,
        "execution": "server",
        "tools": names.iter().map(tool).collect::<Vec<_>>(),
    })
}

/// Returns a program that calls tools.
pub fn program(call_id: &str, code: &str) -> Value {
    json!({ "type": "program", "call_id": call_id, "code": code, "fingerprint": "fp_1" })
}

/// Returns the result of a program.
pub fn program_output(call_id: &str, result: &str) -> Value {
    json!({
        "type": "program_output",
        "status": "completed",
        "call_id": call_id,
        "result": result,
    })
}

/// Returns a compacted history.
pub fn compaction(encrypted_content: &str) -> Value {
    json!({ "type": "compaction", "encrypted_content": encrypted_content })
}

/// Returns a message between agents.
pub fn agent_message(author: &str, recipient: &str, encrypted_content: &str) -> Value {
    json!({
        "type": "agent_message",
        "author": author,
        "recipient": recipient,
        "content": [{ "type": "encrypted_content", "encrypted_content": encrypted_content }],
    })
}

/// Returns a request of one agent to others; `action` is for example `spawn_agent`.
pub fn multi_agent_call(call_id: &str, action: &str, arguments: &str) -> Value {
    json!({
        "type": "multi_agent_call",
        "call_id": call_id,
        "action": action,
        "arguments": arguments,
    })
}

/// Returns an item of an unknown kind.
pub fn unknown(item_type: &str) -> Value {
    json!({ "type": item_type, "status": "completed", "data": { "deep": [1, null, "x"] } })
}
