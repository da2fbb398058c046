//! An output item of every kind that the official libraries know.

use responses_client::testing::items;
use serde_json::Value;

/// The items. The first one is a message.
pub(crate) fn items() -> Vec<Value> {
    vec![
        items::message("Grüße from\nthe server."),
        items::message_of([items::cited_text("See there.", "https://example.com/a")]),
        items::message_of([items::probable_text(["Likely", " so."])]),
        items::refusal("That I will not do."),
        items::reasoning("First one thought, then another.", "gAAAAAB="),
        items::reasoning_text("Thinking aloud."),
        items::function_call("call_1", "read_file", r#"{"path":"src/lib.rs"}"#),
        items::function_call("call_2", "list_files", "{}"),
        items::custom_tool_call("call_3", "apply_patch", "*** Begin Patch\n*** End Patch"),
        items::function_call_output("call_1", "a file"),
        items::custom_tool_call_output("call_3", "done"),
        items::web_search_call("rust"),
        items::file_search_call("rust"),
        items::code_interpreter_call("print(42)", "42\n"),
        items::image(96),
        items::computer_call("call_4"),
        items::local_shell_call("call_5", &["ls", "-l"]),
        items::shell_call("call_6", &["ls src", "cat a.txt"]),
        items::shell_call_output("call_6", &["a.txt\n", "a\n"]),
        items::apply_patch_call("call_7", "a.txt", "@@\n-a\n+b"),
        items::mcp_list_tools("docs", &["search", "read"]),
        items::mcp_call("docs", "search", r#"{"q":"rust"}"#, "found"),
        items::failed_mcp_call("docs", "search", r#"{"q":"rust"}"#, "Bad gateway"),
        items::mcp_approval_request("docs", "search", "{}"),
        items::tool_search_call("call_8", "weather"),
        items::tool_search_output(&["forecast"]),
        items::program("call_9", "1 + 1"),
        items::program_output("call_9", "2"),
        items::compaction("gAAAAAC="),
    ]
}
