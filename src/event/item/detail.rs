//! Details of items: actions, results and errors of tools.

use super::{
    define::{objects, unions},
    part::ContentPart,
    read::{Read, elements},
};
use crate::json::{Json, Text};

/// Output of a tool.
///
/// ```
/// use responses_client::event::{ContentPart, item::ToolOutput};
///
/// fn text(output: &ToolOutput) -> String {
///     match output {
///         ToolOutput::Text(text) => text.to_string(),
///         ToolOutput::Parts(parts) => parts.iter().filter_map(ContentPart::text).collect(),
///         other => format!("{other:?}"),
///     }
/// }
/// # let _ = text;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolOutput {
    /// Text.
    Text(Text),
    /// Texts, images and files.
    Parts(Vec<ContentPart>),
    /// Any other value, as received.
    Other(Json),
}

impl Read for ToolOutput {
    fn read(json: &Json) -> Option<Self> {
        let parts = || Some(elements(json)?.filter_map(|part| ContentPart::read(&part)).collect());
        let text = Text::read(json).map(Self::Text);
        Some(text.or_else(|| parts().map(Self::Parts)).unwrap_or_else(|| Self::Other(json.clone())))
    }
}

unions! {
    /// Caller of a tool.
    Caller {
        /// The model itself.
        Direct = "direct",
        /// A [`Program`](super::Program) of the model.
        Program(ProgramCaller) = "program",
    }
    /// Action of a web search.
    WebSearchAction {
        /// A search.
        Search(WebSearch) = "search",
        /// Opening a page.
        OpenPage(OpenPage) = "open_page",
        /// A search in a page.
        FindInPage(FindInPage) = "find_in_page" | "find",
    }
    /// Output of code.
    CodeOutput {
        /// Text that the code printed.
        Logs(CodeLogs) = "logs",
        /// An image that the code drew.
        Image(CodeImage) = "image",
    }
    /// Action on a computer. Coordinates are in pixels from the upper left corner.
    ComputerAction {
        /// A click.
        Click(Click) = "click",
        /// A double click.
        DoubleClick(DoubleClick) = "double_click",
        /// A mouse move with the button held down.
        Drag(Drag) = "drag",
        /// Keys pressed together.
        Keypress(Keypress) = "keypress",
        /// A mouse move.
        Move(MouseMove) = "move",
        /// A screenshot.
        Screenshot = "screenshot",
        /// A turn of the mouse wheel.
        Scroll(Scroll) = "scroll",
        /// Text to type.
        Type(TypeText) = "type",
        /// A short pause.
        Wait = "wait",
    }
    /// Environment in which the commands of a [`ShellCall`](super::ShellCall) run.
    ShellEnvironment {
        /// The caller's machine.
        Local(Json) = "local",
        /// A container of the server.
        Container(ContainerReference) = "container_reference",
    }
    /// Outcome of a command.
    ShellOutcome {
        /// The command exited.
        Exit(ShellExit) = "exit",
        /// The command timed out.
        Timeout = "timeout",
    }
    /// Change of one file.
    PatchOperation {
        /// A file is created.
        CreateFile(FileDiff) = "create_file",
        /// A file is changed.
        UpdateFile(FileDiff) = "update_file",
        /// A file is deleted.
        DeleteFile(FilePath) = "delete_file",
    }
    /// Failure of an MCP server. Older servers send a string, which is [`Other`](Self::Other).
    McpError {
        /// The MCP server violated the protocol.
        Protocol(McpFailure) = "mcp_protocol_error",
        /// The tool failed.
        ToolExecution(McpToolFailure) = "mcp_tool_execution_error",
        /// The MCP server could not be reached.
        Http(McpFailure) = "http_error",
    }
}

objects! {
    /// Agent (multi-agent beta).
    Agent {
        /// Name of the agent.
        agent_name: Option<String>,
    }
    /// Program that made a call.
    ProgramCaller {
        /// `call_id` of the program.
        caller_id: Option<String>,
    }
    /// Search of the web.
    WebSearch {
        /// The query; only some servers send it.
        query: Option<Text>,
        /// The queries.
        queries: Vec<Text>,
        /// Pages found, if the request asked for them.
        sources: Vec<WebSource>,
    }
    /// Page found by a search.
    WebSource {
        /// Type of the source: `url`.
        kind = "type": Option<String>,
        /// URL of the page.
        url: Option<Text>,
    }
    /// Page that was opened.
    OpenPage {
        /// URL of the page.
        url: Option<Text>,
    }
    /// Page that was searched.
    FindInPage {
        /// URL of the page.
        url: Option<Text>,
        /// Text searched for.
        pattern: Option<Text>,
    }
    /// Part of a file found by a search.
    FileSearchResult {
        /// Id of the file.
        file_id: Option<String>,
        /// Name of the file.
        filename: Option<Text>,
        /// Relevance, from 0 to 1.
        score: Option<f64>,
        /// Text of the part.
        text: Option<Text>,
        /// Attributes of the file.
        attributes: Option<Json>,
    }
    /// Text printed by code.
    CodeLogs {
        /// The printed text.
        logs: Text,
    }
    /// Image drawn by code.
    CodeImage {
        /// URL of the image; it may be a data URL.
        url: Option<Text>,
    }
    /// Error of a failed image generation.
    ImageError {
        /// Error type.
        kind = "type": Option<String>,
        /// Error code.
        code: Option<String>,
        /// Human-readable message.
        message: Option<Text>,
        /// Member of the request that caused the error.
        param: Option<String>,
        /// Details of a moderation decision.
        moderation_details: Option<ModerationDetails>,
    }
    /// Details of a moderation decision.
    ModerationDetails {
        /// Categories, as the server names them.
        categories: Option<Json>,
        /// Stage of the decision, for example that of the input or the output.
        moderation_stage: Option<String>,
    }
    /// Safety check that a person must acknowledge before the computer is used further.
    SafetyCheck {
        /// Id of the check.
        id: Option<String>,
        /// Code of the check.
        code: Option<String>,
        /// Human-readable message.
        message: Option<Text>,
    }
    /// Point on a screen.
    Point {
        /// Pixels from the left.
        x: Option<i64>,
        /// Pixels from the top.
        y: Option<i64>,
    }
    /// Click of a mouse button.
    Click {
        /// The button: `left`, `right`, `wheel`, `back` or `forward`.
        button: Option<String>,
        /// Pixels from the left.
        x: Option<i64>,
        /// Pixels from the top.
        y: Option<i64>,
        /// Keys held down.
        keys: Vec<Text>,
    }
    /// Double click.
    DoubleClick {
        /// Pixels from the left.
        x: Option<i64>,
        /// Pixels from the top.
        y: Option<i64>,
        /// Keys held down.
        keys: Vec<Text>,
    }
    /// Mouse move with the button held down.
    Drag {
        /// Points of the move, in order.
        path: Vec<Point>,
        /// Keys held down.
        keys: Vec<Text>,
    }
    /// Keys pressed together.
    Keypress {
        /// Names of the keys.
        keys: Vec<Text>,
    }
    /// Mouse move.
    MouseMove {
        /// Pixels from the left.
        x: Option<i64>,
        /// Pixels from the top.
        y: Option<i64>,
        /// Keys held down.
        keys: Vec<Text>,
    }
    /// Turn of the mouse wheel.
    Scroll {
        /// Pixels from the left.
        x: Option<i64>,
        /// Pixels from the top.
        y: Option<i64>,
        /// Distance to the right, in pixels.
        scroll_x: Option<i64>,
        /// Distance down, in pixels.
        scroll_y: Option<i64>,
        /// Keys held down.
        keys: Vec<Text>,
    }
    /// Text to type.
    TypeText {
        /// The text.
        text: Text,
    }
    /// Command and its arguments.
    LocalShellAction {
        /// Type of the action: `exec`.
        kind = "type": Option<String>,
        /// The command and its arguments.
        command: Vec<Text>,
        /// Environment variables, by name.
        env: Option<Json>,
        /// Time limit, in milliseconds.
        timeout_ms: Option<u64>,
        /// User that runs the command.
        user: Option<String>,
        /// Directory in which the command runs.
        working_directory: Option<Text>,
    }
    /// Commands for a shell.
    ShellAction {
        /// The commands; they may run in parallel.
        commands: Vec<Text>,
        /// Time limit, in milliseconds.
        timeout_ms: Option<u64>,
        /// Maximum number of characters of output to return.
        max_output_length: Option<u64>,
    }
    /// Container of the server.
    ContainerReference {
        /// Id of the container.
        container_id: Option<String>,
    }
    /// Output of a command.
    ShellCommandOutput {
        /// Standard output.
        stdout: Text,
        /// Standard error.
        stderr: Text,
        /// Outcome of the command.
        outcome: Option<ShellOutcome>,
        /// Creator of the output.
        created_by: Option<String>,
    }
    /// Exit of a command.
    ShellExit {
        /// Exit code; 0 means success.
        exit_code: Option<i64>,
    }
    /// File and its change.
    FileDiff {
        /// Path of the file.
        path: Text,
        /// The change in V4A form; for a new file its lines.
        diff: Text,
    }
    /// File without further details.
    FilePath {
        /// Path of the file.
        path: Text,
    }
    /// Tool of an MCP server.
    McpTool {
        /// Name of the tool.
        name: Option<String>,
        /// Description of the tool.
        description: Option<Text>,
        /// JSON schema of the arguments.
        input_schema: Option<Json>,
        /// Annotations of the tool.
        annotations: Option<Json>,
    }
    /// Error of an MCP server.
    McpFailure {
        /// Error code.
        code: Option<i64>,
        /// Human-readable message.
        message: Option<Text>,
    }
    /// Error of a tool of an MCP server.
    McpToolFailure {
        /// Parts of the error, in MCP's form.
        content: Option<Json>,
    }
}
