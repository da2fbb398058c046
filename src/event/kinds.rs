//! The table of events, ordered by frequency. An event `of item` also has the members `item_id` and
//! `output_index`.

use std::fmt;

use bytestring::ByteString;
use serde::Deserialize;

use super::{
    define::{events, of},
    fields::{self, owned},
    steered::Steered,
    unknown::Unknown,
};
use crate::{
    format::named,
    json::{DecodeError, FlatMembers, FlatStep, Json},
};

events! {
    /// A piece of text for the user.
    OutputTextDelta = "response.output_text.delta" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Text of this delta.
        delta: WireText,
        /// Log probabilities of the tokens, if the request asked for them: see
        /// [`logprobs`](Self::logprobs).
        logprobs: MaybeJson,
    }
    /// A piece of the arguments of a function call; a fragment of JSON.
    FunctionCallArgumentsDelta = "response.function_call_arguments.delta" of item {
        /// Text of this delta. JSON in the place of a string stands for its own text.
        delta: Arguments,
    }
    /// A piece of the summary of the model's reasoning.
    ReasoningSummaryTextDelta = "response.reasoning_summary_text.delta" of item {
        /// Index of the part in the summary, from 0.
        summary_index: Index,
        /// Text of this delta.
        delta: WireText,
    }
    /// A piece of the model's reasoning text (open-weight models).
    ReasoningTextDelta = "response.reasoning_text.delta" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Text of this delta.
        delta: WireText,
    }
    /// A piece of the input of a custom tool; free text.
    CustomToolCallInputDelta = "response.custom_tool_call_input.delta" of item {
        /// Text of this delta. JSON in the place of a string stands for its own text.
        delta: Arguments,
    }
    /// A piece of a refusal.
    RefusalDelta = "response.refusal.delta" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Text of this delta.
        delta: WireText,
    }
    /// The server accepted the request; the first event of a response.
    Created = "response.created" {
        /// Response object so far; [`Json::member`] reads its members.
        response: MaybeJson,
    }
    /// The response waits for capacity.
    Queued = "response.queued" {
        /// Response object so far.
        response: MaybeJson,
    }
    /// The model works on the response.
    InProgress = "response.in_progress" {
        /// Response object so far.
        response: MaybeJson,
    }
    /// The response is complete: the last event of a successful turn.
    Completed = "response.completed" {
        /// Response object as received.
        response: Json,
    }
    /// The response ended early, with usable output: the last event of a successful turn.
    Incomplete = "response.incomplete" {
        /// Response object as received; its `incomplete_details` have the reason.
        response: Json,
    }
    /// The response failed. A stream ends with an error instead of this.
    Failed = "response.failed" {
        /// Response object as received.
        response: Json,
    }
    /// The end of a response in an older form. A stream yields the event for its status instead.
    Done = "response.done" {
        /// Response object as received.
        response: Json,
    }
    /// An error. A stream ends with an [`Error`](crate::Error) instead of this.
    ErrorEvent = "error" {
        /// Nested error object; `None` if the members are at the top level.
        error: MaybeJson,
    }
    /// An output item starts.
    OutputItemAdded = "response.output_item.added" {
        /// Index of the item in the output, from 0.
        output_index: Index,
        /// Item as announced.
        item: MaybeItem,
    }
    /// An output item is finished. Its `item` is the one to keep.
    OutputItemDone = "response.output_item.done" {
        /// Index of the item in the output, from 0.
        output_index: Index,
        /// The item: see also [`output_item`](Self::output_item) and [`to_item`](Self::to_item).
        item: Item,
    }
    /// A part of an item starts.
    ContentPartAdded = "response.content_part.added" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// The part so far: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A part of an item is finished.
    ContentPartDone = "response.content_part.done" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// The part: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A text is finished.
    OutputTextDone = "response.output_text.done" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Complete text; `None` if the server omits it.
        text: MaybeText,
        /// Log probabilities of the tokens, if the request asked for them: see
        /// [`logprobs`](Self::logprobs).
        logprobs: MaybeJson,
    }
    /// A text got an annotation.
    OutputTextAnnotationAdded = "response.output_text.annotation.added" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Index of the annotation in the part, from 0.
        annotation_index: Index,
        /// The annotation: see [`annotation`](Self::annotation).
        annotation: MaybeJson,
    }
    /// A refusal is finished.
    RefusalDone = "response.refusal.done" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Complete text; `None` if the server omits it.
        refusal: MaybeText,
    }
    /// The arguments of a function call are finished.
    FunctionCallArgumentsDone = "response.function_call_arguments.done" of item {
        /// Name of the function; only older servers send it.
        name: MaybeText,
        /// Complete arguments. JSON in the place of a string stands for its own text.
        arguments: MaybeArguments,
    }
    /// The input of a custom tool is finished.
    CustomToolCallInputDone = "response.custom_tool_call_input.done" of item {
        /// Complete input. JSON in the place of a string stands for its own text.
        input: MaybeArguments,
    }
    /// A part of a summary starts.
    ReasoningSummaryPartAdded = "response.reasoning_summary_part.added" of item {
        /// Index of the part in the summary, from 0.
        summary_index: Index,
        /// The part so far: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A part of a summary is finished.
    ReasoningSummaryPartDone = "response.reasoning_summary_part.done" of item {
        /// Index of the part in the summary, from 0.
        summary_index: Index,
        /// The part: see [`content_part`](Self::content_part).
        part: MaybeJson,
        /// `incomplete`, if it was cut off.
        status: MaybeText,
    }
    /// The text of a part of a summary is finished.
    ReasoningSummaryTextDone = "response.reasoning_summary_text.done" of item {
        /// Index of the part in the summary, from 0.
        summary_index: Index,
        /// Complete text; `None` if the server omits it.
        text: MaybeText,
    }
    /// A text of the model's reasoning is finished.
    ReasoningTextDone = "response.reasoning_text.done" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Complete text; `None` if the server omits it.
        text: MaybeText,
    }
    /// A piece of the output of a command of a hosted shell.
    ShellCallOutputContentDelta = "response.shell_call_output_content.delta" of item {
        /// Index of the command in the call, from 0.
        command_index: Index,
        /// `{"stdout": …, "stderr": …}`, or only one of the two.
        delta: MaybeJson,
    }
    /// The complete output of a command of a hosted shell.
    ShellCallOutputContentDone = "response.shell_call_output_content.done" of item {
        /// Index of the command in the call, from 0.
        command_index: Index,
        /// A list of `{"stdout": …, "stderr": …, "outcome": …}`: see
        /// [`command_outputs`](Self::command_outputs).
        output: MaybeJson,
    }
    /// A web search starts.
    WebSearchCallInProgress = "response.web_search_call.in_progress" of item {}
    /// A web search is in progress.
    WebSearchCallSearching = "response.web_search_call.searching" of item {}
    /// A web search is finished.
    WebSearchCallCompleted = "response.web_search_call.completed" of item {}
    /// A file search starts.
    FileSearchCallInProgress = "response.file_search_call.in_progress" of item {}
    /// A file search is in progress.
    FileSearchCallSearching = "response.file_search_call.searching" of item {}
    /// A file search is finished.
    FileSearchCallCompleted = "response.file_search_call.completed" of item {}
    /// A call of the code interpreter starts.
    CodeInterpreterCallInProgress = "response.code_interpreter_call.in_progress" of item {}
    /// The code interpreter runs the code.
    CodeInterpreterCallInterpreting = "response.code_interpreter_call.interpreting" of item {}
    /// The code interpreter has run the code.
    CodeInterpreterCallCompleted = "response.code_interpreter_call.completed" of item {}
    /// A piece of the code for the code interpreter.
    CodeInterpreterCallCodeDelta = "response.code_interpreter_call_code.delta" of item {
        /// Text of this delta.
        delta: WireText,
    }
    /// The code for the code interpreter is finished.
    CodeInterpreterCallCodeDone = "response.code_interpreter_call_code.done" of item {
        /// Complete text; `None` if the server omits it.
        code: MaybeText,
    }
    /// The generation of an image starts.
    ImageGenerationCallInProgress = "response.image_generation_call.in_progress" of item {}
    /// The generation of an image is in progress.
    ImageGenerationCallGenerating = "response.image_generation_call.generating" of item {}
    /// The generation of an image is finished.
    ImageGenerationCallCompleted = "response.image_generation_call.completed" of item {}
    /// A partial image.
    ImageGenerationCallPartialImage = "response.image_generation_call.partial_image" of item {
        /// Index of the partial image, from 0.
        partial_image_index: Index,
        /// The image in base64, often more than a megabyte: see [`write_to`](Self::write_to).
        partial_image_b64: MaybeText,
    }
    /// The listing of an MCP server's tools starts.
    McpListToolsInProgress = "response.mcp_list_tools.in_progress" of item {}
    /// The listing of an MCP server's tools is finished.
    McpListToolsCompleted = "response.mcp_list_tools.completed" of item {}
    /// The listing of an MCP server's tools failed.
    McpListToolsFailed = "response.mcp_list_tools.failed" of item {}
    /// A call of an MCP server's tool starts.
    McpCallInProgress = "response.mcp_call.in_progress" of item {}
    /// A call of an MCP server's tool is finished.
    McpCallCompleted = "response.mcp_call.completed" of item {}
    /// A call of an MCP server's tool failed.
    McpCallFailed = "response.mcp_call.failed" of item {}
    /// A piece of the arguments of an MCP call.
    McpCallArgumentsDelta = "response.mcp_call_arguments.delta" of item {
        /// Delta: a string, or an object from older servers.
        delta: MaybeJson,
    }
    /// The arguments of an MCP call are finished.
    McpCallArgumentsDone = "response.mcp_call_arguments.done" of item {
        /// Complete arguments: a string, or an object from older servers.
        arguments: MaybeJson,
    }
    /// A command for a shell starts.
    ShellCallCommandAdded = "response.shell_call_command.added" {
        /// Index of the item in the output, from 0.
        output_index: Index,
        /// Index of the command in the call, from 0.
        command_index: Index,
        /// Command as announced; `None` if the server omits it.
        command: MaybeText,
    }
    /// A piece of a command for a shell.
    ShellCallCommandDelta = "response.shell_call_command.delta" {
        /// Index of the item in the output, from 0.
        output_index: Index,
        /// Index of the command in the call, from 0.
        command_index: Index,
        /// Text of this delta.
        delta: WireText,
    }
    /// A command for a shell is finished.
    ShellCallCommandDone = "response.shell_call_command.done" {
        /// Index of the item in the output, from 0.
        output_index: Index,
        /// Index of the command in the call, from 0.
        command_index: Index,
        /// Complete text; `None` if the server omits it.
        command: MaybeText,
    }
    /// The server compacts the history.
    CompactionCompacting = "response.compaction.compacting" of item {}
    /// A piece of audio.
    AudioDelta = "response.audio.delta" {
        /// Delta of the audio, in base64.
        delta: WireText,
    }
    /// The audio is finished.
    AudioDone = "response.audio.done" {}
    /// A piece of the transcript of the audio.
    AudioTranscriptDelta = "response.audio.transcript.delta" {
        /// Text of this delta.
        delta: WireText,
    }
    /// The transcript of the audio is finished.
    AudioTranscriptDone = "response.audio.transcript.done" {}
    /// A part of reasoning starts (other servers).
    ReasoningPartAdded = "response.reasoning_part.added" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// The part so far: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A part of reasoning is finished (other servers).
    ReasoningPartDone = "response.reasoning_part.done" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// The part: see [`content_part`](Self::content_part).
        part: MaybeJson,
    }
    /// A piece of the summary of reasoning, by an early name (other servers).
    ReasoningSummaryDelta = "response.reasoning_summary.delta" of item {
        /// Index of the part in the summary, from 0.
        summary_index: Index,
        /// Text of this delta, a string or the `text` of an object.
        delta: TextOrObject,
    }
    /// The summary of reasoning is finished, by an early name (other servers).
    ReasoningSummaryDone = "response.reasoning_summary.done" of item {
        /// Index of the part in the summary, from 0.
        summary_index: Index,
        /// Complete text; `None` if the server omits it.
        text: TextOrObject,
    }
    /// A piece of reasoning text, by an early name (other servers).
    ReasoningDelta = "response.reasoning.delta" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Text of this delta, a string or the `text` of an object.
        delta: TextOrObject,
    }
    /// The reasoning text is finished, by an early name (other servers).
    ReasoningDone = "response.reasoning.done" of item {
        /// Index of the part in the item, from 0.
        content_index: Index,
        /// Complete text; `None` if the server omits it.
        text: TextOrObject,
    }
    /// A response was cancelled. A stream ends with an [`Error`](crate::Error) instead of this;
    /// some proxies send it, OpenAI does not.
    Cancelled = "response.cancelled" {
        /// Response object as received.
        response: MaybeJson,
    }
    /// Keep-alive over SSE.
    Keepalive = "keepalive" {}
    /// Keep-alive of other servers.
    Ping = "ping" {}
    /// Data about the connection or the response.
    ResponseMetadata = "response.metadata" {
        /// Values that other transports send as HTTP headers.
        headers: MaybeJson,
        /// Additional data about the connection or the response.
        metadata: MaybeJson,
    }
    /// Data about the connection or the response (ChatGPT backend).
    CodexResponseMetadata = "codex.response.metadata" {
        /// Values that other transports send as HTTP headers.
        headers: MaybeJson,
        /// Additional data about the connection or the response.
        metadata: MaybeJson,
        /// Id of the response concerned.
        response_id: MaybeText,
    }
    /// The limits of a plan (ChatGPT backend).
    CodexRateLimits = "codex.rate_limits" {
        /// Name of the plan.
        plan_type: MaybeText,
        /// `{"primary": …, "secondary": …}`: the used share and the reset time of each window.
        rate_limits: MaybeJson,
        /// `{"has_credits": …, "unlimited": …, "balance": …}`.
        credits: MaybeJson,
    }
    /// Timing of the server's work (ChatGPT backend).
    WebsocketTiming = "responsesapi.websocket_timing" {}
    /// The server accepted a steering input, but has not applied it.
    SteerAccepted = "response.steer.accepted" {
        /// `{"id": …, "previous_response_id": …}`.
        steer: MaybeJson,
    }
    /// A steering input waits for missing input.
    SteerPending = "response.steer.pending" {
        /// Reason of the wait, for example `waiting_for_required_input`.
        reason: MaybeText,
        /// Missing items, to be filled in by the caller.
        required_input: MaybeJson,
        /// `{"id": …, "previous_response_id": …}`.
        steer: MaybeJson,
    }
    /// The server rejected a steering input.
    SteerFailed = "response.steer.failed" {
        /// `{"type": …, "code": …, "message": …}`.
        error: MaybeJson,
        /// `{"input": …, "previous_response_id": …, "id": …}`.
        steer: MaybeJson,
    }
    /// Tool outputs were injected into a running response (multi-agent beta).
    InjectCreated = "response.inject.created" {
        /// Id of the response.
        response_id: MaybeText,
    }
    /// Tool outputs could not be injected into a running response (multi-agent beta).
    InjectFailed = "response.inject.failed" {
        /// Id of the response.
        response_id: MaybeText,
        /// Input that could not be injected.
        input: MaybeJson,
        /// `{"code": …, "message": …}`.
        error: MaybeJson,
    }
    /// The server accepted the interruption of a response (ChatGPT backend).
    InterruptAccepted = "response.interrupt.accepted" {
        /// Id of the response.
        response_id: MaybeText,
    }
    /// The server could not interrupt a response (ChatGPT backend).
    InterruptFailed = "response.interrupt.failed" {
        /// Id of the response.
        response_id: MaybeText,
    }
    /// The interruption of a response cut an item off (ChatGPT backend). The item stays unfinished.
    OutputItemInterrupted = "response.output_item.interrupted" of item {
        /// Id of the response.
        response_id: MaybeText,
    }
}
