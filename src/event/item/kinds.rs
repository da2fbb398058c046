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
    /// Message of the assistant.
    ///
    /// ```
    /// use responses_client::Response;
    ///
    /// fn show(response: &Response) {
    ///     for message in response.messages() {
    ///         println!("{:?}: {}", message.phase(), message.text());
    ///     }
    /// }
    /// # let _ = show;
    /// ```
    Message = "message" {
        /// Role of the author: `assistant`.
        role: Option<String>,
        /// Phase as received: see [`phase`](Self::phase).
        phase: Option<String>,
        /// Parts of the message.
        content: Vec<ContentPart>,
    }
    /// Reasoning of the model.
    ///
    /// ```
    /// use responses_client::{Response, event::OutputItem};
    ///
    /// fn thoughts(response: &Response) -> Vec<String> {
    ///     let summary = |item| match item {
    ///         OutputItem::Reasoning(reasoning) => Some(reasoning.summary()),
    ///         _ => None,
    ///     };
    ///     response.output().into_iter().filter_map(summary).collect()
    /// }
    /// # let _ = thoughts;
    /// ```
    Reasoning = "reasoning" {
        /// Summary, one part per paragraph.
        summary: Vec<ContentPart>,
        /// Reasoning text, of models that show it.
        content: Vec<ContentPart>,
        /// Reasoning encrypted for the server, to be sent back with the history.
        encrypted_content: Option<Text>,
    }
    /// Call of a function of the caller.
    ///
    /// ```
    /// use responses_client::{Item, Response};
    ///
    /// /// Returns the items that answer the calls of `response`.
    /// fn answers(response: &Response) -> Vec<Item> {
    ///     let calls = response.function_calls().into_iter();
    ///     calls.map(|call| call.output(format!("there is no function {}", call.name))).collect()
    /// }
    /// # let _ = answers;
    /// ```
    FunctionCall = "function_call" {
        /// `call_id` that the output must name.
        call_id: String,
        /// Name of the function.
        name: String,
        /// Namespace of the function; `None` if the function has none.
        namespace: Option<String>,
        /// Arguments as the model wrote them: JSON, unless the model broke the schema.
        arguments: Text as Arguments,
        /// `true` if the model continues without the output of the call.
        is_async = "async": Option<bool>,
        /// Caller of the tool; `None` stands for the model itself.
        caller: Option<Caller>,
        /// Names of arguments that are encrypted (ChatGPT backend).
        encrypted_function_args: Vec<Text>,
    }
    /// Call of a custom tool of the caller.
    ///
    /// ```
    /// use responses_client::{Item, Response};
    ///
    /// fn answers(response: &Response) -> Vec<Item> {
    ///     let calls = response.custom_tool_calls().into_iter();
    ///     calls.map(|call| call.output(format!("{} bytes of input", call.input.len()))).collect()
    /// }
    /// # let _ = answers;
    /// ```
    CustomToolCall = "custom_tool_call" {
        /// `call_id` that the output must name.
        call_id: String,
        /// Name of the tool.
        name: String,
        /// Namespace of the tool; `None` if the tool has none.
        namespace: Option<String>,
        /// Input of the tool; free text.
        input: Text as Arguments,
        /// `true` if the model continues without the output of the call.
        is_async = "async": Option<bool>,
        /// Caller of the tool; `None` stands for the model itself.
        caller: Option<Caller>,
    }
    /// Output of a function that a program called.
    FunctionCallOutput = "function_call_output" {
        /// `call_id` of the call.
        call_id: Option<String>,
        /// Name of the function.
        name: Option<String>,
        /// Namespace of the function.
        namespace: Option<String>,
        /// Output of the function.
        output: Option<ToolOutput>,
        /// Caller of the tool.
        caller: Option<Caller>,
    }
    /// Output of a custom tool that a program called.
    CustomToolCallOutput = "custom_tool_call_output" {
        /// `call_id` of the call.
        call_id: Option<String>,
        /// Name of the tool.
        name: Option<String>,
        /// Namespace of the tool.
        namespace: Option<String>,
        /// Output of the tool.
        output: Option<ToolOutput>,
        /// Caller of the tool.
        caller: Option<Caller>,
    }
    /// Web search by the server. Its status may also be `searching` or `failed`.
    WebSearchCall = "web_search_call" {
        /// Action of the search.
        action: Option<WebSearchAction>,
    }
    /// File search by the server. Its status may also be `searching` or `failed`.
    FileSearchCall = "file_search_call" {
        /// Queries of the search.
        queries: Vec<Text>,
        /// Results, if the request asked for them.
        results: Option<Vec<FileSearchResult>>,
    }
    /// Code run by the server. Its status may also be `interpreting` or `failed`.
    CodeInterpreterCall = "code_interpreter_call" {
        /// Source code.
        code: Option<Text>,
        /// Id of the container in which the code ran.
        container_id: Option<String>,
        /// Outputs, if the request asked for them.
        outputs: Option<Vec<CodeOutput>>,
    }
    /// Image generated by the server. Its status may also be `generating` or `failed`.
    ///
    /// ```
    /// use std::{fs::File, io};
    ///
    /// use responses_client::{Response, event::OutputItem};
    ///
    /// fn save(response: &Response) -> io::Result<()> {
    ///     for item in response.output() {
    ///         if let OutputItem::ImageGenerationCall(image) = item {
    ///             image.write_to(&mut File::create("image.png")?)?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = save;
    /// ```
    ImageGenerationCall = "image_generation_call" {
        /// Image in base64, often megabytes: see [`write_to`](Self::write_to).
        result: Option<Text>,
        /// Action, for example `generate` or `edit`.
        action: Option<String>,
        /// Background, for example `transparent` or `opaque`.
        background: Option<String>,
        /// File format: `png`, `webp`, `jpeg`, `gif` or `svg`.
        output_format: Option<String>,
        /// Quality, for example `high`.
        quality: Option<String>,
        /// Size in pixels, for example `1024x1024`.
        size: Option<String>,
        /// Prompt from which the image was generated.
        revised_prompt: Option<Text>,
        /// Error of a failed generation.
        error: Option<ImageError>,
        /// Usage of an SVG.
        svg_usage: Option<Json>,
    }
    /// Actions on a computer, for the caller to perform.
    ComputerCall = "computer_call" {
        /// `call_id` that the output must name.
        call_id: String,
        /// Single action, of servers that send one at a time.
        action: Option<ComputerAction>,
        /// Actions, in order: see [`all_actions`](Self::all_actions).
        actions: Vec<ComputerAction>,
        /// Safety checks that a person must acknowledge first.
        pending_safety_checks: Vec<SafetyCheck>,
    }
    /// Screenshot of a computer. Its status may also be `failed`.
    ComputerCallOutput = "computer_call_output" {
        /// `call_id` of the call.
        call_id: Option<String>,
        /// Screenshot, as a part with its URL or file id.
        output: Option<ContentPart>,
        /// Safety checks that were acknowledged.
        acknowledged_safety_checks: Vec<SafetyCheck>,
    }
    /// Command for the caller to run; the older form of [`ShellCall`].
    LocalShellCall = "local_shell_call" {
        /// `call_id` that the output must name.
        call_id: String,
        /// Command with its arguments.
        action: Option<LocalShellAction>,
    }
    /// Output of a [`LocalShellCall`]. Its `id` is that of the call.
    LocalShellCallOutput = "local_shell_call_output" {
        /// Text that the command printed.
        output: Text,
    }
    /// Commands for a shell of the server or of the caller.
    ShellCall = "shell_call" {
        /// `call_id` that the output must name.
        call_id: String,
        /// Commands and their limits.
        action: Option<ShellAction>,
        /// Environment in which the commands run.
        environment: Option<ShellEnvironment>,
        /// Caller of the tool; `None` stands for the model itself.
        caller: Option<Caller>,
    }
    /// Output of a [`ShellCall`].
    ShellCallOutput = "shell_call_output" {
        /// `call_id` of the call.
        call_id: Option<String>,
        /// Maximum number of characters of output that are kept.
        max_output_length: Option<u64>,
        /// Outputs, one per command.
        output: Vec<ShellCommandOutput>,
        /// Caller of the tool.
        caller: Option<Caller>,
    }
    /// Change of one file, for the caller to make.
    ApplyPatchCall = "apply_patch_call" {
        /// `call_id` that the output must name.
        call_id: String,
        /// Change of the file.
        operation: Option<PatchOperation>,
        /// Caller of the tool; `None` stands for the model itself.
        caller: Option<Caller>,
    }
    /// Result of a change. Its status is `completed` or `failed`.
    ApplyPatchCallOutput = "apply_patch_call_output" {
        /// `call_id` of the call.
        call_id: Option<String>,
        /// Text output of the change.
        output: Option<Text>,
        /// Caller of the tool.
        caller: Option<Caller>,
    }
    /// Tools of an MCP server. Send the item back unchanged.
    McpListTools = "mcp_list_tools" {
        /// Label of the server.
        server_label: Option<String>,
        /// Tools of the server.
        tools: Vec<McpTool>,
        /// Error that prevented the listing.
        error: Option<McpError>,
    }
    /// Call of a tool of an MCP server. Its status may also be `calling` or `failed`.
    McpCall = "mcp_call" {
        /// Label of the server.
        server_label: Option<String>,
        /// Name of the tool.
        name: Option<String>,
        /// Arguments as the model wrote them; an object from older servers.
        arguments: Option<Json>,
        /// Output of the tool.
        output: Option<Text>,
        /// Error of a failed call.
        error: Option<McpError>,
        /// Id of the approval request before the call.
        approval_request_id: Option<String>,
    }
    /// Request for approval of a call of an MCP server's tool. An `mcp_approval_response` names its
    /// `id`.
    McpApprovalRequest = "mcp_approval_request" {
        /// Label of the server.
        server_label: Option<String>,
        /// Name of the tool.
        name: Option<String>,
        /// Arguments as the model wrote them; an object from older servers.
        arguments: Option<Json>,
    }
    /// Answer to a request for approval.
    McpApprovalResponse = "mcp_approval_response" {
        /// Id of the request.
        approval_request_id: Option<String>,
        /// `true` if the call is approved.
        approve: Option<bool>,
        /// Reason of the answer.
        reason: Option<Text>,
    }
    /// Search for tools.
    ToolSearchCall = "tool_search_call" {
        /// `call_id` for the output; `None` if the server searches.
        call_id: Option<String>,
        /// Side that searches: `server` or `client`.
        execution: Option<String>,
        /// Arguments of the search.
        arguments: Option<Json>,
    }
    /// Tools found by a search.
    ToolSearchOutput = "tool_search_output" {
        /// `call_id` of the search; `None` if the server searched.
        call_id: Option<String>,
        /// Side that searched: `server` or `client`.
        execution: Option<String>,
        /// Tools, in the form in which a request declares them.
        tools: Vec<Json>,
    }
    /// Tools added in the course of a conversation.
    AdditionalTools = "additional_tools" {
        /// Role that added the tools, for example `developer`.
        role: Option<String>,
        /// Tools, in the form in which a request declares them.
        tools: Vec<Json>,
    }
    /// Change of settings in the course of a conversation. Each setting applies from the item on,
    /// until the next change.
    ConfigurationUpdate = "configuration_update" {
        /// Settings for reasoning: see [`reasoning_effort`](Self::reasoning_effort).
        reasoning: Option<Json>,
        /// Settings for text: see [`text_format`](Self::text_format).
        text: Option<Json>,
    }
    /// Request to compact the conversation. The server answers with a [`Compaction`].
    CompactionTrigger = "compaction_trigger" {}
    /// Program that the model wrote and that calls tools.
    Program = "program" {
        /// `call_id` that the output names.
        call_id: Option<String>,
        /// Source code, in JavaScript.
        code: Text,
        /// Opaque fingerprint. Send it back unchanged.
        fingerprint: Option<Text>,
    }
    /// Result of a program. Its status is `completed` or `incomplete`.
    ProgramOutput = "program_output" {
        /// `call_id` of the program.
        call_id: Option<String>,
        /// Return value of the program.
        result: Option<Json>,
    }
    /// Compacted form of the conversation so far. The input may begin with it.
    Compaction = "compaction" | "compaction_summary" | "context_compaction" {
        /// Content encrypted for the server.
        encrypted_content: Text,
    }
    /// Message from one agent to another (multi-agent beta).
    AgentMessage = "agent_message" {
        /// Agent that wrote the message.
        author: Option<String>,
        /// Agent that receives the message.
        recipient: Option<String>,
        /// Parts of the message.
        content: Vec<ContentPart>,
    }
    /// Action of an agent on other agents (multi-agent beta).
    MultiAgentCall = "multi_agent_call" {
        /// `call_id` that the output names.
        call_id: Option<String>,
        /// Action: `spawn_agent`, `interrupt_agent`, `list_agents`, `send_message`, `followup_task`
        /// or `wait_agent`.
        action: Option<String>,
        /// Arguments as the model wrote them.
        arguments: Option<Json>,
    }
    /// Result of an action on other agents (multi-agent beta).
    MultiAgentCallOutput = "multi_agent_call_output" {
        /// `call_id` of the call.
        call_id: Option<String>,
        /// Action of the call.
        action: Option<String>,
        /// Parts of the result.
        output: Vec<ContentPart>,
    }
}
