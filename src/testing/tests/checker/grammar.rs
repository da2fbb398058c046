//! The order of events.

/// The edges of each kind of items: `type: event -> events that may come next`, without the
/// `response.` of the events. Items of other kinds only begin and end.
const GRAMMAR: &str = "
message: output_item.added -> content_part.added output_item.done
message: content_part.added -> output_text.delta output_text.annotation.added output_text.done
message: content_part.added -> refusal.delta refusal.done
message: output_text.delta -> output_text.delta output_text.annotation.added output_text.done
message: output_text.annotation.added -> output_text.delta output_text.annotation.added
message: output_text.annotation.added -> output_text.done
message: output_text.done -> content_part.done
message: refusal.delta -> refusal.delta refusal.done
message: refusal.done -> content_part.done
message: content_part.done -> content_part.added output_item.done
reasoning: output_item.added -> reasoning_summary_part.added content_part.added output_item.done
reasoning: reasoning_summary_part.added -> reasoning_summary_text.delta reasoning_summary_text.done
reasoning: reasoning_summary_text.delta -> reasoning_summary_text.delta reasoning_summary_text.done
reasoning: reasoning_summary_text.done -> reasoning_summary_part.done
reasoning: reasoning_summary_part.done -> reasoning_summary_part.added content_part.added
reasoning: reasoning_summary_part.done -> output_item.done
reasoning: content_part.added -> reasoning_text.delta reasoning_text.done
reasoning: reasoning_text.delta -> reasoning_text.delta reasoning_text.done
reasoning: reasoning_text.done -> content_part.done
reasoning: content_part.done -> content_part.added output_item.done
function_call: output_item.added -> function_call_arguments.delta function_call_arguments.done
function_call: function_call_arguments.delta -> function_call_arguments.delta
function_call: function_call_arguments.delta -> function_call_arguments.done
function_call: function_call_arguments.done -> output_item.done
custom_tool_call: output_item.added -> custom_tool_call_input.delta custom_tool_call_input.done
custom_tool_call: custom_tool_call_input.delta -> custom_tool_call_input.delta
custom_tool_call: custom_tool_call_input.delta -> custom_tool_call_input.done
custom_tool_call: custom_tool_call_input.done -> output_item.done
web_search_call: output_item.added -> web_search_call.in_progress
web_search_call: web_search_call.in_progress -> web_search_call.searching
web_search_call: web_search_call.searching -> web_search_call.completed
web_search_call: web_search_call.completed -> output_item.done
file_search_call: output_item.added -> file_search_call.in_progress
file_search_call: file_search_call.in_progress -> file_search_call.searching
file_search_call: file_search_call.searching -> file_search_call.completed
file_search_call: file_search_call.completed -> output_item.done
code_interpreter_call: output_item.added -> code_interpreter_call.in_progress
code_interpreter_call: code_interpreter_call.in_progress -> code_interpreter_call_code.delta
code_interpreter_call: code_interpreter_call.in_progress -> code_interpreter_call_code.done
code_interpreter_call: code_interpreter_call_code.delta -> code_interpreter_call_code.delta
code_interpreter_call: code_interpreter_call_code.delta -> code_interpreter_call_code.done
code_interpreter_call: code_interpreter_call_code.done -> code_interpreter_call.interpreting
code_interpreter_call: code_interpreter_call.interpreting -> code_interpreter_call.completed
code_interpreter_call: code_interpreter_call.completed -> output_item.done
image_generation_call: output_item.added -> image_generation_call.in_progress
image_generation_call: image_generation_call.in_progress -> image_generation_call.generating
image_generation_call: image_generation_call.generating -> image_generation_call.partial_image
image_generation_call: image_generation_call.generating -> image_generation_call.completed
image_generation_call: image_generation_call.partial_image -> image_generation_call.partial_image
image_generation_call: image_generation_call.partial_image -> image_generation_call.completed
image_generation_call: image_generation_call.completed -> output_item.done
mcp_list_tools: output_item.added -> mcp_list_tools.in_progress
mcp_list_tools: mcp_list_tools.in_progress -> mcp_list_tools.completed mcp_list_tools.failed
mcp_list_tools: mcp_list_tools.completed -> output_item.done
mcp_list_tools: mcp_list_tools.failed -> output_item.done
mcp_call: output_item.added -> mcp_call.in_progress
mcp_call: mcp_call.in_progress -> mcp_call_arguments.delta mcp_call_arguments.done
mcp_call: mcp_call_arguments.delta -> mcp_call_arguments.delta mcp_call_arguments.done
mcp_call: mcp_call_arguments.done -> mcp_call.completed mcp_call.failed
mcp_call: mcp_call.completed -> output_item.done
mcp_call: mcp_call.failed -> output_item.done
shell_call: output_item.added -> shell_call_command.added output_item.done
shell_call: shell_call_command.added -> shell_call_command.delta shell_call_command.done
shell_call: shell_call_command.delta -> shell_call_command.delta shell_call_command.done
shell_call: shell_call_command.done -> shell_call_command.added output_item.done
shell_call_output: output_item.added -> shell_call_output_content.delta
shell_call_output: output_item.added -> shell_call_output_content.done output_item.done
shell_call_output: shell_call_output_content.delta -> shell_call_output_content.delta
shell_call_output: shell_call_output_content.delta -> shell_call_output_content.done
shell_call_output: shell_call_output_content.done -> shell_call_output_content.delta
shell_call_output: shell_call_output_content.done -> shell_call_output_content.done output_item.done
compaction: output_item.added -> compaction.compacting output_item.done
compaction: compaction.compacting -> compaction.compacting output_item.done
";

/// Events that open something, which some servers leave out.
const SETUP: &[&str] =
    &["content_part.added", "reasoning_summary_part.added", "shell_call_command.added"];

/// Returns `true` if `next` may follow `before` in an item of this type.
pub(super) fn follows(item_type: &str, before: &str, next: &str, without_setup: bool) -> bool {
    let mut rows = rows().filter(|(of, ..)| *of == item_type).peekable();
    if rows.peek().is_none() {
        return (before, next) == ("output_item.added", "output_item.done");
    }
    let edges: Vec<_> = rows.map(|(_, before, next)| (before, next)).collect();
    let around = |setup: &&str| edges.contains(&(before, setup)) && edges.contains(&(setup, next));
    edges.contains(&(before, next)) || without_setup && SETUP.iter().any(around)
}

/// The type of an item without `added`, by its first event.
pub(super) fn type_by_first(event: &str) -> Option<&'static str> {
    let mut types = rows().map(|(item_type, ..)| item_type);
    types.find(|item_type| follows(item_type, "output_item.added", event, true))
}

/// Returns `true` if items of this type have events between the first and the last event.
pub(super) fn grows(item_type: &str) -> bool {
    rows().any(|(of, ..)| of == item_type)
}

fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    GRAMMAR.lines().filter(|line| !line.is_empty()).flat_map(|line| {
        let (item_type, edges) = line.split_once(": ").unwrap();
        let (before, next) = edges.split_once(" -> ").unwrap();
        next.split(' ').map(move |next| (item_type, before, next))
    })
}
