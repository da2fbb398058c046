//! The table of the items.

use super::{
    define::objects,
    detail::{
        Caller, CodeOutput, ComputerAction, FileSearchResult, ImageError, LocalShellAction,
        McpError, McpTool, PatchOperation, SafetyCheck, ShellAction, ShellCommandOutput,
        ShellEnvironment, ToolOutput, WebSearchAction,
    },
    part::ContentPart,
    table::items,
};
use crate::{
    json::{Json, Text},
    request::Item,
};

items! {
    /// A message of the assistant.
    Message = "message" {
        /// `assistant`.
        role: Option<String>,
        /// `commentary` or `final_answer`, of models that tell them apart.
        phase: Option<String>,
        /// Its parts.
        content: Vec<ContentPart>,
    }
    /// Reasoning.
    Reasoning = "reasoning" {
        /// Its summary, a paragraph a part.
        summary: Vec<ContentPart>,
        /// The reasoning itself, of models that show it.
        content: Vec<ContentPart>,
        /// What only the server can read, to be given back with the history.
        encrypted_content: Option<Text>,
    }
    /// A call of a function of the caller.
    FunctionCall = "function_call" {
        /// What its output must name.
        call_id: String,
        /// The function.
        name: String,
        /// The namespace of the function, where it has one.
        namespace: Option<String>,
        /// The arguments as the model wrote them: JSON, if it kept to the rules.
        arguments: Text as Arguments,
        /// Whether the model goes on without its output.
        is_async = "async": Option<bool>,
        /// Who made the call, where that was not the model itself.
        caller: Option<Caller>,
        /// Names of arguments that are encrypted (ChatGPT backend).
        encrypted_function_args: Vec<Text>,
    }
    /// A call of a custom tool of the caller.
    CustomToolCall = "custom_tool_call" {
        /// What its output must name.
        call_id: String,
        /// The tool.
        name: String,
        /// The namespace of the tool, where it has one.
        namespace: Option<String>,
        /// Its input; free text.
        input: Text as Arguments,
        /// Whether the model goes on without its output.
        is_async = "async": Option<bool>,
        /// Who made the call, where that was not the model itself.
        caller: Option<Caller>,
    }
    /// What a function returned; it stands in the output when a program called it.
    FunctionCallOutput = "function_call_output" {
        /// The call.
        call_id: Option<String>,
        /// The function.
        name: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// What it returned.
        output: Option<ToolOutput>,
        /// Who made the call.
        caller: Option<Caller>,
    }
    /// What a custom tool returned; it stands in the output when a program called it.
    CustomToolCallOutput = "custom_tool_call_output" {
        /// The call.
        call_id: Option<String>,
        /// The tool.
        name: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// What it returned.
        output: Option<ToolOutput>,
        /// Who made the call.
        caller: Option<Caller>,
    }
    /// A search of the web by the server; its status may also be `searching` or `failed`.
    WebSearchCall = "web_search_call" {
        /// What it did.
        action: Option<WebSearchAction>,
    }
    /// A search in files by the server; its status may also be `searching` or `failed`.
    FileSearchCall = "file_search_call" {
        /// What was searched for.
        queries: Vec<Text>,
        /// What was found, if the request asked for it.
        results: Option<Vec<FileSearchResult>>,
    }
    /// Code that the server ran; its status may also be `interpreting` or `failed`.
    CodeInterpreterCall = "code_interpreter_call" {
        /// The code.
        code: Option<Text>,
        /// Where it ran.
        container_id: Option<String>,
        /// What came out, if the request asked for it.
        outputs: Option<Vec<CodeOutput>>,
    }
    /// An image that the server made; its status may also be `generating` or `failed`.
    ImageGenerationCall = "image_generation_call" {
        /// The image in base64, often megabytes: see [`write_to`](Self::write_to).
        result: Option<Text>,
        /// `generate` or `edit`, say.
        action: Option<String>,
        /// `transparent` or `opaque`, say.
        background: Option<String>,
        /// `png`, `webp`, `jpeg`, `gif` or `svg`.
        output_format: Option<String>,
        /// Its quality, `high` say.
        quality: Option<String>,
        /// Its size, `1024x1024` say.
        size: Option<String>,
        /// The prompt that the image was made from.
        revised_prompt: Option<Text>,
        /// Why there is none.
        error: Option<ImageError>,
        /// What an SVG took.
        svg_usage: Option<Json>,
    }
    /// What the caller shall do with a computer.
    ComputerCall = "computer_call" {
        /// What its output must name.
        call_id: String,
        /// What to do, of servers that ask for one thing at a time.
        action: Option<ComputerAction>,
        /// What to do, in order: see [`all_actions`](Self::all_actions).
        actions: Vec<ComputerAction>,
        /// What somebody must acknowledge before.
        pending_safety_checks: Vec<SafetyCheck>,
    }
    /// What a computer shows; its status may also be `failed`.
    ComputerCallOutput = "computer_call_output" {
        /// The call.
        call_id: Option<String>,
        /// The screenshot.
        output: Option<ContentPart>,
        /// What was acknowledged.
        acknowledged_safety_checks: Vec<SafetyCheck>,
    }
    /// A command that the caller shall run; the older form of [`ShellCall`].
    LocalShellCall = "local_shell_call" {
        /// What its output must name.
        call_id: String,
        /// The command.
        action: Option<LocalShellAction>,
    }
    /// What such a command printed. Its `id` is that of the call.
    LocalShellCallOutput = "local_shell_call_output" {
        /// What it printed.
        output: Text,
    }
    /// Commands for a shell, the server's or the caller's.
    ShellCall = "shell_call" {
        /// What its output must name.
        call_id: String,
        /// The commands.
        action: Option<ShellAction>,
        /// Where they run.
        environment: Option<ShellEnvironment>,
        /// Who made the call, where that was not the model itself.
        caller: Option<Caller>,
    }
    /// What the commands printed.
    ShellCallOutput = "shell_call_output" {
        /// The call.
        call_id: Option<String>,
        /// How many characters of output are kept.
        max_output_length: Option<u64>,
        /// A command each.
        output: Vec<ShellCommandOutput>,
        /// Who made the call.
        caller: Option<Caller>,
    }
    /// A change of one file that the caller shall make.
    ApplyPatchCall = "apply_patch_call" {
        /// What its output must name.
        call_id: String,
        /// The change.
        operation: Option<PatchOperation>,
        /// Who made the call, where that was not the model itself.
        caller: Option<Caller>,
    }
    /// What came of a change; its status is `completed` or `failed`.
    ApplyPatchCallOutput = "apply_patch_call_output" {
        /// The call.
        call_id: Option<String>,
        /// What it printed.
        output: Option<Text>,
        /// Who made the call.
        caller: Option<Caller>,
    }
    /// The tools of an MCP server. To be given back as it is.
    McpListTools = "mcp_list_tools" {
        /// The server.
        server_label: Option<String>,
        /// Its tools.
        tools: Vec<McpTool>,
        /// Why they are not known.
        error: Option<McpError>,
    }
    /// A call of a tool of an MCP server; its status may also be `calling` or `failed`.
    McpCall = "mcp_call" {
        /// The server.
        server_label: Option<String>,
        /// The tool.
        name: Option<String>,
        /// The arguments as the model wrote them; from older servers an object.
        arguments: Option<Json>,
        /// What it returned.
        output: Option<Text>,
        /// Why it returned nothing.
        error: Option<McpError>,
        /// The request for approval that led to it.
        approval_request_id: Option<String>,
    }
    /// A call of a tool of an MCP server that somebody must allow: an
    /// `mcp_approval_response` names its `id`.
    McpApprovalRequest = "mcp_approval_request" {
        /// The server.
        server_label: Option<String>,
        /// The tool.
        name: Option<String>,
        /// The arguments as the model wrote them; from older servers an object.
        arguments: Option<Json>,
    }
    /// Whether it was allowed.
    McpApprovalResponse = "mcp_approval_response" {
        /// The request.
        approval_request_id: Option<String>,
        /// Whether it may go on.
        approve: Option<bool>,
        /// Why.
        reason: Option<Text>,
    }
    /// A search for tools.
    ToolSearchCall = "tool_search_call" {
        /// What its output must name; none where the server searches.
        call_id: Option<String>,
        /// Who searches: `server` or `client`.
        execution: Option<String>,
        /// What for.
        arguments: Option<Json>,
    }
    /// The tools that were found.
    ToolSearchOutput = "tool_search_output" {
        /// The call; none where the server searched.
        call_id: Option<String>,
        /// Who searched: `server` or `client`.
        execution: Option<String>,
        /// The tools, as a request declares them.
        tools: Vec<Json>,
    }
    /// Tools that came in the course of a conversation.
    AdditionalTools = "additional_tools" {
        /// Who added them: `developer`, say.
        role: Option<String>,
        /// The tools, as a request declares them.
        tools: Vec<Json>,
    }
    /// A program that the model wrote, which calls tools.
    Program = "program" {
        /// What its output names.
        call_id: Option<String>,
        /// The program, in JavaScript.
        code: Text,
        /// Opaque; to be given back as it is.
        fingerprint: Option<Text>,
    }
    /// What a program came to; its status is `completed` or `incomplete`.
    ProgramOutput = "program_output" {
        /// The program's call.
        call_id: Option<String>,
        /// What it returned.
        result: Option<Json>,
    }
    /// What stands for the conversation so far. The input may begin with it.
    Compaction = "compaction" | "compaction_summary" | "context_compaction" {
        /// What only the server can read.
        encrypted_content: Text,
    }
    /// A message from one agent to another (multi-agent beta).
    AgentMessage = "agent_message" {
        /// Who wrote it.
        author: Option<String>,
        /// To whom.
        recipient: Option<String>,
        /// Its parts.
        content: Vec<ContentPart>,
    }
    /// What an agent does about others (multi-agent beta).
    MultiAgentCall = "multi_agent_call" {
        /// What its output names.
        call_id: Option<String>,
        /// `spawn_agent`, `interrupt_agent`, `list_agents`, `send_message`, `followup_task` or
        /// `wait_agent`.
        action: Option<String>,
        /// The arguments as the model wrote them.
        arguments: Option<Json>,
    }
    /// What came of it (multi-agent beta).
    MultiAgentCallOutput = "multi_agent_call_output" {
        /// The call.
        call_id: Option<String>,
        /// What the call was to do.
        action: Option<String>,
        /// What came of it.
        output: Vec<ContentPart>,
    }
}
