//! The table of the events, by the order of how often they come. One `of item` has the members
//! `item_id` and `output_index`.

use std::fmt;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{
    define::{events, of},
    fields::{self, owned},
    unknown::Unknown,
};
use crate::json::{DecodeError, Json};

events! {
    /// A piece of text for the user.
    OutputTextDelta = "response.output_text.delta" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The piece.
        delta: Text,
        /// How likely the tokens were, if the request asked for it: see
        /// [`logprobs`](Self::logprobs).
        logprobs: MaybeJson,
    }
    /// A piece of the arguments of a function call; a fragment of JSON.
    FunctionCallArgumentsDelta = "response.function_call_arguments.delta" of item {
        /// The piece. JSON in the place of a string is its own text.
        delta: Arguments,
    }
    /// A piece of the summary of the model's reasoning.
    ReasoningSummaryTextDelta = "response.reasoning_summary_text.delta" of item {
        /// The part's place in the summary.
        summary_index: Index,
        /// The piece.
        delta: Text,
    }
    /// A piece of the model's reasoning itself (open-weight models).
    ReasoningTextDelta = "response.reasoning_text.delta" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The piece.
        delta: Text,
    }
    /// A piece of the input of a custom tool; free text.
    CustomToolCallInputDelta = "response.custom_tool_call_input.delta" of item {
        /// The piece. JSON in the place of a string is its own text.
        delta: Arguments,
    }
    /// A piece of a refusal.
    RefusalDelta = "response.refusal.delta" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The piece.
        delta: Text,
    }
    /// The server accepted the request; the first event of a response.
    Created = "response.created" {
        /// The response so far: [`Json::member`] reads its members.
        response: MaybeJson,
    }
    /// The response waits for capacity.
    Queued = "response.queued" {
        /// The response so far.
        response: MaybeJson,
    }
    /// The model works on the response.
    InProgress = "response.in_progress" {
        /// The response so far.
        response: MaybeJson,
    }
    /// The response is complete: the last event of a turn that went well.
    Completed = "response.completed" {
        /// The response as the server sent it.
        response: Json,
    }
    /// The response ended early, with usable output: the last event of a turn that went well.
    Incomplete = "response.incomplete" {
        /// The response as the server sent it; its `incomplete_details` say why.
        response: Json,
    }
    /// The response failed. A stream ends with an error instead of this.
    Failed = "response.failed" {
        /// The response as the server sent it.
        response: Json,
    }
    /// The end of a response in an older form. A stream hands it out as what its status says.
    Done = "response.done" {
        /// The response as the server sent it.
        response: Json,
    }
    /// An error. A stream ends with an [`Error`](crate::Error) instead of this.
    ErrorEvent = "error" {
        /// Its own account, where it is nested.
        error: MaybeJson,
    }
    /// An output item begins.
    OutputItemAdded = "response.output_item.added" {
        /// The item's place in the output.
        output_index: Index,
        /// The item so far.
        item: MaybeJson,
    }
    /// An output item is finished. This is the item to keep.
    OutputItemDone = "response.output_item.done" {
        /// The item's place in the output.
        output_index: Index,
        /// The item: see [`output_item`](Self::output_item).
        item: Json,
    }
    /// A part of an item begins.
    ContentPartAdded = "response.content_part.added" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The part so far: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A part of an item is finished.
    ContentPartDone = "response.content_part.done" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The part: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A text is finished.
    OutputTextDone = "response.output_text.done" of item {
        /// The part's place in the item.
        content_index: Index,
        /// All of it.
        text: MaybeText,
        /// How likely the tokens were, if the request asked for it: see
        /// [`logprobs`](Self::logprobs).
        logprobs: MaybeJson,
    }
    /// A text got an annotation.
    OutputTextAnnotationAdded = "response.output_text.annotation.added" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The annotation's place in the part.
        annotation_index: Index,
        /// The annotation: see [`annotation`](Self::annotation).
        annotation: MaybeJson,
    }
    /// A refusal is finished.
    RefusalDone = "response.refusal.done" of item {
        /// The part's place in the item.
        content_index: Index,
        /// All of it.
        refusal: MaybeText,
    }
    /// The arguments of a function call are finished.
    FunctionCallArgumentsDone = "response.function_call_arguments.done" of item {
        /// The function, from older servers.
        name: MaybeText,
        /// All of them. JSON in the place of a string is its own text.
        arguments: MaybeArguments,
    }
    /// The input of a custom tool is finished.
    CustomToolCallInputDone = "response.custom_tool_call_input.done" of item {
        /// All of it. JSON in the place of a string is its own text.
        input: MaybeArguments,
    }
    /// A part of a summary begins.
    ReasoningSummaryPartAdded = "response.reasoning_summary_part.added" of item {
        /// The part's place in the summary.
        summary_index: Index,
        /// The part so far: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A part of a summary is finished.
    ReasoningSummaryPartDone = "response.reasoning_summary_part.done" of item {
        /// The part's place in the summary.
        summary_index: Index,
        /// The part: see [`content_part`](Self::content_part).
        part: MaybeJson,
        /// `incomplete`, if it was cut off.
        status: MaybeText,
    }
    /// The text of a part of a summary is finished.
    ReasoningSummaryTextDone = "response.reasoning_summary_text.done" of item {
        /// The part's place in the summary.
        summary_index: Index,
        /// All of it.
        text: MaybeText,
    }
    /// A text of the model's reasoning is finished.
    ReasoningTextDone = "response.reasoning_text.done" of item {
        /// The part's place in the item.
        content_index: Index,
        /// All of it.
        text: MaybeText,
    }
    /// A piece of what a command of a hosted shell printed.
    ShellCallOutputContentDelta = "response.shell_call_output_content.delta" of item {
        /// The command's place in the call.
        command_index: Index,
        /// `{"stdout": …, "stderr": …}`, either of them.
        delta: MaybeJson,
    }
    /// All that a command of a hosted shell printed.
    ShellCallOutputContentDone = "response.shell_call_output_content.done" of item {
        /// The command's place in the call.
        command_index: Index,
        /// A list of `{"stdout": …, "stderr": …, "outcome": …}`: see
        /// [`command_outputs`](Self::command_outputs).
        output: MaybeJson,
    }
    /// A web search begins.
    WebSearchCallInProgress = "response.web_search_call.in_progress" of item {}
    /// A web search is being made.
    WebSearchCallSearching = "response.web_search_call.searching" of item {}
    /// A web search is finished.
    WebSearchCallCompleted = "response.web_search_call.completed" of item {}
    /// A file search begins.
    FileSearchCallInProgress = "response.file_search_call.in_progress" of item {}
    /// A file search is being made.
    FileSearchCallSearching = "response.file_search_call.searching" of item {}
    /// A file search is finished.
    FileSearchCallCompleted = "response.file_search_call.completed" of item {}
    /// Code for the code interpreter begins.
    CodeInterpreterCallInProgress = "response.code_interpreter_call.in_progress" of item {}
    /// The code is being run.
    CodeInterpreterCallInterpreting = "response.code_interpreter_call.interpreting" of item {}
    /// The code was run.
    CodeInterpreterCallCompleted = "response.code_interpreter_call.completed" of item {}
    /// A piece of the code for the code interpreter.
    CodeInterpreterCallCodeDelta = "response.code_interpreter_call_code.delta" of item {
        /// The piece.
        delta: Text,
    }
    /// The code for the code interpreter is finished.
    CodeInterpreterCallCodeDone = "response.code_interpreter_call_code.done" of item {
        /// All of it.
        code: MaybeText,
    }
    /// An image begins.
    ImageGenerationCallInProgress = "response.image_generation_call.in_progress" of item {}
    /// An image is being made.
    ImageGenerationCallGenerating = "response.image_generation_call.generating" of item {}
    /// An image is finished.
    ImageGenerationCallCompleted = "response.image_generation_call.completed" of item {}
    /// An image as far as it is made.
    ImageGenerationCallPartialImage = "response.image_generation_call.partial_image" of item {
        /// Which of the partial images it is, from 0.
        partial_image_index: Index,
        /// The image in base64, often more than a megabyte: see [`write_to`](Self::write_to).
        partial_image_b64: MaybeText,
    }
    /// The listing of an MCP server's tools begins.
    McpListToolsInProgress = "response.mcp_list_tools.in_progress" of item {}
    /// The listing of an MCP server's tools is finished.
    McpListToolsCompleted = "response.mcp_list_tools.completed" of item {}
    /// The listing of an MCP server's tools failed.
    McpListToolsFailed = "response.mcp_list_tools.failed" of item {}
    /// A call of an MCP server's tool begins.
    McpCallInProgress = "response.mcp_call.in_progress" of item {}
    /// A call of an MCP server's tool is finished.
    McpCallCompleted = "response.mcp_call.completed" of item {}
    /// A call of an MCP server's tool failed.
    McpCallFailed = "response.mcp_call.failed" of item {}
    /// A piece of the arguments of an MCP call.
    McpCallArgumentsDelta = "response.mcp_call_arguments.delta" of item {
        /// The piece: a string, from older servers an object.
        delta: MaybeJson,
    }
    /// The arguments of an MCP call are finished.
    McpCallArgumentsDone = "response.mcp_call_arguments.done" of item {
        /// All of them: a string, from older servers an object.
        arguments: MaybeJson,
    }
    /// A command for a shell begins.
    ShellCallCommandAdded = "response.shell_call_command.added" {
        /// The item's place in the output.
        output_index: Index,
        /// The command's place in the call.
        command_index: Index,
        /// The command so far.
        command: MaybeText,
    }
    /// A piece of a command for a shell.
    ShellCallCommandDelta = "response.shell_call_command.delta" {
        /// The item's place in the output.
        output_index: Index,
        /// The command's place in the call.
        command_index: Index,
        /// The piece.
        delta: Text,
    }
    /// A command for a shell is finished.
    ShellCallCommandDone = "response.shell_call_command.done" {
        /// The item's place in the output.
        output_index: Index,
        /// The command's place in the call.
        command_index: Index,
        /// All of it.
        command: MaybeText,
    }
    /// The history is being compacted.
    CompactionCompacting = "response.compaction.compacting" of item {}
    /// A piece of audio.
    AudioDelta = "response.audio.delta" {
        /// The piece in base64.
        delta: Text,
    }
    /// The audio is finished.
    AudioDone = "response.audio.done" {}
    /// A piece of the transcript of the audio.
    AudioTranscriptDelta = "response.audio.transcript.delta" {
        /// The piece.
        delta: Text,
    }
    /// The transcript of the audio is finished.
    AudioTranscriptDone = "response.audio.transcript.done" {}
    /// A part of reasoning begins (other servers).
    ReasoningPartAdded = "response.reasoning_part.added" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The part so far: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A part of reasoning is finished (other servers).
    ReasoningPartDone = "response.reasoning_part.done" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The part: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A piece of the summary of reasoning, by an early name (other servers).
    ReasoningSummaryDelta = "response.reasoning_summary.delta" of item {
        /// The part's place in the summary.
        summary_index: Index,
        /// The piece, also where an object has it as `text`.
        delta: Piece,
    }
    /// The summary of reasoning is finished, by an early name (other servers).
    ReasoningSummaryDone = "response.reasoning_summary.done" of item {
        /// The part's place in the summary.
        summary_index: Index,
        /// All of it.
        text: Piece,
    }
    /// A piece of reasoning itself, by an early name (other servers).
    ReasoningDelta = "response.reasoning.delta" of item {
        /// The part's place in the item.
        content_index: Index,
        /// The piece, also where an object has it as `text`.
        delta: Piece,
    }
    /// The reasoning itself is finished, by an early name (other servers).
    ReasoningDone = "response.reasoning.done" of item {
        /// The part's place in the item.
        content_index: Index,
        /// All of it.
        text: Piece,
    }
    /// A response was cancelled. A stream ends with an [`Error`](crate::Error) instead of this;
    /// some proxies send it, OpenAI does not.
    Cancelled = "response.cancelled" {
        /// The response as the server sent it.
        response: MaybeJson,
    }
    /// A sign of life over SSE.
    Keepalive = "keepalive" {}
    /// A sign of life of other servers.
    Ping = "ping" {}
    /// Data about the connection or the response.
    ResponseMetadata = "response.metadata" {
        /// What stands in HTTP headers elsewhere.
        headers: MaybeJson,
        /// Further data.
        metadata: MaybeJson,
    }
    /// The same from the ChatGPT backend.
    CodexResponseMetadata = "codex.response.metadata" {
        /// What stands in HTTP headers elsewhere.
        headers: MaybeJson,
        /// Further data.
        metadata: MaybeJson,
        /// The response that it is about.
        response_id: MaybeText,
    }
    /// The limits of a plan (ChatGPT backend).
    CodexRateLimits = "codex.rate_limits" {
        /// The plan.
        plan_type: MaybeText,
        /// `{"primary": …, "secondary": …}`: how much is used, and until when.
        rate_limits: MaybeJson,
        /// `{"has_credits": …, "unlimited": …, "balance": …}`.
        credits: MaybeJson,
    }
    /// What took the server how long (ChatGPT backend).
    WebsocketTiming = "responsesapi.websocket_timing" {}
    /// The server took a steering input over; it is not applied yet.
    SteerAccepted = "response.steer.accepted" {
        /// `{"id": …, "previous_response_id": …}`.
        steer: MaybeJson,
    }
    /// A steering input waits for input that is missing.
    SteerPending = "response.steer.pending" {
        /// Why: `waiting_for_required_input`, say.
        reason: MaybeText,
        /// The items that are missing, to be filled in.
        required_input: MaybeJson,
        /// `{"id": …, "previous_response_id": …}`.
        steer: MaybeJson,
    }
    /// A steering input was given back.
    SteerFailed = "response.steer.failed" {
        /// `{"type": …, "code": …, "message": …}`.
        error: MaybeJson,
        /// `{"input": …, "previous_response_id": …, "id": …}`.
        steer: MaybeJson,
    }
    /// Tool outputs were given to a running response (multi-agent beta).
    InjectCreated = "response.inject.created" {
        /// The response.
        response_id: MaybeText,
    }
    /// They were not (multi-agent beta).
    InjectFailed = "response.inject.failed" {
        /// The response.
        response_id: MaybeText,
        /// What was to be given.
        input: MaybeJson,
        /// `{"code": …, "message": …}`.
        error: MaybeJson,
    }
}
