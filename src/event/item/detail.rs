//! What the members of items are made of: actions, results and errors of tools.

use super::{
    define::{objects, unions},
    part::ContentPart,
    read::{Read, elements},
};
use crate::json::{Json, Text};

/// What a tool returned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolOutput {
    /// Text.
    Text(Text),
    /// Texts, images and files.
    Parts(Vec<ContentPart>),
    /// Anything else, as it came.
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
    /// Who made a call.
    Caller {
        /// The model itself.
        Direct = "direct",
        /// A [`Program`](super::Program) of the model.
        Program(ProgramCaller) = "program",
    }
    /// What a search of the web did.
    WebSearchAction {
        /// It searched.
        Search(WebSearch) = "search",
        /// It opened a page.
        OpenPage(OpenPage) = "open_page",
        /// It searched in a page.
        FindInPage(FindInPage) = "find_in_page" | "find",
    }
    /// What code printed or drew.
    CodeOutput {
        /// What it printed.
        Logs(CodeLogs) = "logs",
        /// An image.
        Image(CodeImage) = "image",
    }
    /// What shall be done with a computer. Places are in pixels from the upper left.
    ComputerAction {
        /// A click.
        Click(Click) = "click",
        /// Two clicks.
        DoubleClick(DoubleClick) = "double_click",
        /// The mouse moves with its button held down.
        Drag(Drag) = "drag",
        /// Keys are pressed together.
        Keypress(Keypress) = "keypress",
        /// The mouse moves.
        Move(MouseMove) = "move",
        /// A picture of the screen is taken.
        Screenshot = "screenshot",
        /// The wheel turns.
        Scroll(Scroll) = "scroll",
        /// Text is typed.
        Type(TypeText) = "type",
        /// Nothing is done for a moment.
        Wait = "wait",
    }
    /// Where the commands of a [`ShellCall`](super::ShellCall) run.
    ShellEnvironment {
        /// With the caller.
        Local(Json) = "local",
        /// In a container of the server.
        Container(ContainerReference) = "container_reference",
    }
    /// How a command ended.
    ShellOutcome {
        /// By itself.
        Exit(ShellExit) = "exit",
        /// Its time ran out.
        Timeout = "timeout",
    }
    /// A change of one file.
    PatchOperation {
        /// A new file.
        CreateFile(FileDiff) = "create_file",
        /// A file changes.
        UpdateFile(FileDiff) = "update_file",
        /// A file goes.
        DeleteFile(FilePath) = "delete_file",
    }
    /// Why an MCP server did not do what it should. Older servers give a string, which is
    /// [`Other`](Self::Other).
    McpError {
        /// It broke the protocol.
        Protocol(McpFailure) = "mcp_protocol_error",
        /// The tool failed.
        ToolExecution(McpToolFailure) = "mcp_tool_execution_error",
        /// It could not be reached.
        Http(McpFailure) = "http_error",
    }
}

objects! {
    /// An agent (multi-agent beta).
    Agent {
        /// Its name.
        agent_name: Option<String>,
    }
    /// The program that made a call.
    ProgramCaller {
        /// The program's `call_id`.
        caller_id: Option<String>,
    }
    /// What was searched for.
    WebSearch {
        /// The query, of servers that send one.
        query: Option<Text>,
        /// The queries.
        queries: Vec<Text>,
        /// What was found, if the request asked for it.
        sources: Vec<WebSource>,
    }
    /// A page that was found.
    WebSource {
        /// `url`.
        kind = "type": Option<String>,
        /// Where it is.
        url: Option<Text>,
    }
    /// A page that was opened.
    OpenPage {
        /// Where it is.
        url: Option<Text>,
    }
    /// A page that was searched.
    FindInPage {
        /// Where it is.
        url: Option<Text>,
        /// What was searched for.
        pattern: Option<Text>,
    }
    /// A part of a file that was found.
    FileSearchResult {
        /// The file.
        file_id: Option<String>,
        /// Its name.
        filename: Option<Text>,
        /// How well it fits, from 0 to 1.
        score: Option<f64>,
        /// The part.
        text: Option<Text>,
        /// What the file is marked with.
        attributes: Option<Json>,
    }
    /// What code printed.
    CodeLogs {
        /// The text.
        logs: Text,
    }
    /// What code drew.
    CodeImage {
        /// Where it is; it may be a data URL.
        url: Option<Text>,
    }
    /// Why there is no image.
    ImageError {
        /// Its type.
        kind = "type": Option<String>,
        /// Its code.
        code: Option<String>,
        /// For people.
        message: Option<Text>,
        /// The member of the request that it is about.
        param: Option<String>,
        /// What was objected to.
        moderation_details: Option<ModerationDetails>,
    }
    /// What was objected to.
    ModerationDetails {
        /// The categories, as the server names them.
        categories: Option<Json>,
        /// When: of the input or the output, say.
        moderation_stage: Option<String>,
    }
    /// What somebody must acknowledge before a computer is used further.
    SafetyCheck {
        /// Its id.
        id: Option<String>,
        /// Its code.
        code: Option<String>,
        /// For people.
        message: Option<Text>,
    }
    /// A place on a screen.
    Point {
        /// From the left.
        x: Option<i64>,
        /// From the top.
        y: Option<i64>,
    }
    /// A click.
    Click {
        /// `left`, `right`, `wheel`, `back` or `forward`.
        button: Option<String>,
        /// From the left.
        x: Option<i64>,
        /// From the top.
        y: Option<i64>,
        /// Keys that are held down.
        keys: Vec<Text>,
    }
    /// Two clicks.
    DoubleClick {
        /// From the left.
        x: Option<i64>,
        /// From the top.
        y: Option<i64>,
        /// Keys that are held down.
        keys: Vec<Text>,
    }
    /// A way that the mouse goes with its button held down.
    Drag {
        /// The places, in order.
        path: Vec<Point>,
        /// Keys that are held down.
        keys: Vec<Text>,
    }
    /// Keys that are pressed together.
    Keypress {
        /// Their names.
        keys: Vec<Text>,
    }
    /// A place to which the mouse goes.
    MouseMove {
        /// From the left.
        x: Option<i64>,
        /// From the top.
        y: Option<i64>,
        /// Keys that are held down.
        keys: Vec<Text>,
    }
    /// A turn of the wheel.
    Scroll {
        /// From the left.
        x: Option<i64>,
        /// From the top.
        y: Option<i64>,
        /// How far to the right.
        scroll_x: Option<i64>,
        /// How far down.
        scroll_y: Option<i64>,
        /// Keys that are held down.
        keys: Vec<Text>,
    }
    /// Text to type.
    TypeText {
        /// The text.
        text: Text,
    }
    /// A command and its arguments.
    LocalShellAction {
        /// `exec`.
        kind = "type": Option<String>,
        /// The command and its arguments.
        command: Vec<Text>,
        /// The environment, by name.
        env: Option<Json>,
        /// How long it may take, in milliseconds.
        timeout_ms: Option<u64>,
        /// As whom it runs.
        user: Option<String>,
        /// Where it runs.
        working_directory: Option<Text>,
    }
    /// Commands for a shell.
    ShellAction {
        /// The commands; they may run at the same time.
        commands: Vec<Text>,
        /// How long they may take, in milliseconds.
        timeout_ms: Option<u64>,
        /// How many characters of output to give back.
        max_output_length: Option<u64>,
    }
    /// A container of the server.
    ContainerReference {
        /// Its id.
        container_id: Option<String>,
    }
    /// What a command printed.
    ShellCommandOutput {
        /// To its standard output.
        stdout: Text,
        /// To its standard error.
        stderr: Text,
        /// How it ended.
        outcome: Option<ShellOutcome>,
        /// Who ran it.
        created_by: Option<String>,
    }
    /// A command that ended by itself.
    ShellExit {
        /// Its exit code; 0 is success.
        exit_code: Option<i64>,
    }
    /// A file and how it changes.
    FileDiff {
        /// The file.
        path: Text,
        /// The change, in V4A form: for a new file its lines.
        diff: Text,
    }
    /// A file.
    FilePath {
        /// The file.
        path: Text,
    }
    /// A tool of an MCP server.
    McpTool {
        /// Its name.
        name: Option<String>,
        /// What it does.
        description: Option<Text>,
        /// The schema of its arguments.
        input_schema: Option<Json>,
        /// What it says of itself.
        annotations: Option<Json>,
    }
    /// What went wrong with an MCP server.
    McpFailure {
        /// Its code.
        code: Option<i64>,
        /// For people.
        message: Option<Text>,
    }
    /// What a tool of an MCP server said of its failure.
    McpToolFailure {
        /// Its parts, as MCP has them.
        content: Option<Json>,
    }
}
