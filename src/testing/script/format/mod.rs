//! Scripts as text: files written by hand, and recordings of real runs.
//!
//! # A script file
//!
//! A script file is one JSON object. All its members are optional; unknown members are an error.
//!
//! ```
//! use responses_client::testing::Script;
//!
//! let script = Script::from_json(r#"{
//!     "turns": [
//!         { "text": "Hello" },
//!         { "output": [{ "type": "function_call", "call_id": "call_1", "name": "ls",
//!                        "arguments": "{}" }] },
//!         { "error": { "status": 429, "code": "rate_limit_exceeded", "message": "Slow down.",
//!                      "retry_after": 1 } },
//!         { "text": "A long answer that is cut", "edits": [{ "cut_after": [6, "reset"] }] },
//!         { "steps": [{ "event": { "type": "response.created", "response": { "id": "resp_1" } } },
//!                     { "delay_ms": 20 }, "stall"] },
//!         { "text": "Steered", "steering": { "fail_later": "successor_creation_failed" },
//!           "edits": [{ "insert": [4, "await_steer"] }] }
//!     ],
//!     "then": "agent",
//!     "upgrades": [{ "refuse": { "status": 503, "headers": { "retry-after": "1" } } }],
//!     "every_upgrade": "accept",
//!     "headers": { "x-request-id": "req_1" }
//! }"#)?;
//! # let _ = script;
//! # Ok::<_, responses_client::testing::ScriptError>(())
//! ```
//!
//! | member | value | in Rust |
//! |---|---|---|
//! | `turns` | a list of turns | [`Script::turn`] |
//! | `then` | the answer after the last turn: `"agent"`, or one turn for every request | [`Script::agent`], [`Script::respond`] |
//! | `upgrades` | a list of answers to the first requests to become a WebSocket | [`Script::upgrade`] |
//! | `every_upgrade` | the answer to all later requests of this kind | [`Script::every_upgrade`] |
//! | `reuses` | a list of answers to the first requests on kept connections: `"serve"`, `"reset"` or `"end"` | [`Script::reuse`] |
//! | `every_reuse` | the answer to all later requests of this kind | [`Script::every_reuse`] |
//! | `headers` | headers of every 101 and 200 | [`Script::header`] |
//! | `profile` | the [name](crate::testing::Profile::name) of a server to imitate | [`Script::profile`] |
//! | `max_age_ms` | the maximum age of a WebSocket | [`Script::max_age`] |
//! | `lanes` | `"serve"`, `"refuse"`, `"ignore"` or `"strip"`: the treatment of `stream_id` | [`Script::lanes`] |
//! | `lane_order` | a list of lanes, the default lane as `""`: the order in which they send events | [`Script::lane_order`] |
//! | `frame_limit` | the largest message of a client, in bytes | [`Script::frame_limit`] |
//! | `alpn` | a list of protocols that the server offers in TLS | [`Script::alpn`] |
//! | `without_bodies` | `true` omits the bodies of requests from the log | [`Script::without_bodies`] |
//! | `ignore_generate` | `true` answers requests with `generate: false` like others | [`Script::ignore_generate`] |
//! | `strict` | `true` refuses the requests that the API refuses | [`Script::strict`] |
//!
//! **Headers** are an object; a value is a string, or a list of strings for a repeated header.
//! **Times** are whole milliseconds, measured by tokio's clock.
//!
//! ## A turn
//!
//! A turn has exactly one of the members of this table:
//!
//! | member | value | in Rust |
//! |---|---|---|
//! | `text` | one assistant message | [`Turn::text`] |
//! | `output` | a list of output items, with all their events | [`Turn::output`] |
//! | `error` | `{status, code}` and optionally `message`, `headers`, `shape`, and a retry delay: `retry_after` in seconds or `retry_after_ms` | [`Turn::error`], [`Turn::header`], [`Turn::retry_after`] |
//! | `events` | a list of events, sent unchanged | [`Turn::events`] |
//! | `lines` | a list of strings, each the exact text of an event | [`Turn::jsonl`] |
//! | `steps` | a list of steps | [`Turn::steps`] |
//!
//! A turn may also have these members:
//!
//! | member | value | in Rust |
//! |---|---|---|
//! | `incomplete` | with `text` or `output`: the reason for an incomplete response | [`Turn::incomplete`] |
//! | `failed` | with `text` or `output`: `{code, message}` of the response's failure | [`Turn::failed`] |
//! | `http` | a refusal in place of the turn over SSE | [`Turn::http`] |
//! | `content_type` | the content type in the head over SSE, or `null` for none | [`Turn::labelled`] |
//! | `content_encoding` | the content encoding in the head over SSE | [`Turn::encoded`] |
//! | `untyped` | `true` leaves the type of events only in their `event:` field over SSE | [`Turn::untyped`] |
//! | `unstreamed` | `true` answers over SSE with one JSON value | [`Turn::unstreamed`] |
//! | `steering` | the answer to each `response.steer`: `"accept"`, `"successor_first"`, `"successor_last"`, `"pending_late"`, `{"refuse": code}`, `{"fail_later": code}` or `"ignore"` | [`Turn::steering`] |
//! | `injecting` | the answer to each `response.inject`: `"accept"`, `{"refuse": code}` or `"ignore"` | [`Turn::injecting`] |
//! | `interrupting` | the answer to each `response.interrupt`: `"accept"`, `"after_item"`, `"refuse"` or `"ignore"` | [`Turn::interrupting`] |
//! | `edits` | a list of changes, applied in order | |
//!
//! A `shape` is the name of an [`ErrorShape`] in snake case, for example `"then_failed"`. Such an
//! error is part of the stream on both transports ([`Turn::error_shape`]).
//!
//! ## An edit
//!
//! | edit | in Rust |
//! |---|---|
//! | `{"first": step}`, `{"then": step}` | [`Turn::first`], [`Turn::then`] |
//! | `{"insert": [at_event, step]}` | [`Turn::insert`] |
//! | `{"cut_after": [events, step]}` | [`Turn::cut_after`] |
//! | `{"cut_inside": [events, bytes, step]}` | [`Turn::cut_inside`] |
//! | `"interleaved"` | [`Turn::interleaved`] |
//! | `"without_setup"` | [`Turn::without_setup`] |
//! | `"without_sequence_numbers"`, `"without_stream_id"` | [`Turn::without_sequence_numbers`], [`Turn::without_stream_id`] |
//! | `{"tail": bytes}` | [`Turn::tail`] |
//! | `{"keepalives": every}` | [`Turn::keepalives`] |
//! | `{"empty_terminal_output": form}`: `"null"`, `"empty"`, `"missing"` or `"partial"` | [`Turn::empty_terminal_output`] |
//! | `{"dripped_ms": pause}` | [`Turn::dripped`] |
//! | `{"large_event": bytes}` | [`Turn::large_event`] |
//! | `"double_terminal"`, `"without_terminal"` | [`Turn::double_terminal`], [`Turn::without_terminal`] |
//! | `{"stray_after_terminal": event}` | [`Turn::stray_after_terminal`] |
//! | `"duplicate_created"` | [`Turn::duplicate_created`] |
//! | `"changing_response_id"`, `"changing_item_ids"` | [`Turn::changing_response_id`], [`Turn::changing_item_ids`] |
//! | `"constant_output_index"`, `{"output_indices_from": first}` | [`Turn::constant_output_index`], [`Turn::output_indices_from`] |
//! | `"split_item_ids"`, `"split_call_ids"` | [`Turn::split_item_ids`], [`Turn::split_call_ids`] |
//! | `"empty_item_ids"`, `"without_item_ids"` | [`Turn::empty_item_ids`], [`Turn::without_item_ids`] |
//! | `{"withholding": what}`: a [`Withheld`] in snake case | [`Turn::withholding`] |
//! | `"split_surrogates"` | [`Turn::split_surrogates`] |
//! | `"created_twice"`, `"unstored"` | [`Turn::created_twice`], [`Turn::unstored`] |
//! | `"unknown_things"` | [`Turn::unknown_things`] |
//!
//! ## A step
//!
//! | step | in Rust |
//! |---|---|
//! | `{"event": {…}}` | [`Step::Event`] |
//! | `{"text": "…"}` | [`Step::Text`] |
//! | `{"fragmented": {"text": "…", "pieces": 3}}` | [`Step::Fragmented`] |
//! | `{"split": {"text": "…", "at": [1, 5]}}` | [`Step::Split`] |
//! | `{"drip": {"text": "…", "pieces": 3, "pause_ms": 20}}` | [`Step::Drip`] |
//! | `{"partial": {"text": "…", "bytes": 5}}` | [`Step::Partial`] |
//! | `{"stray": {…}}` | [`Step::Stray`] |
//! | `{"flood": {"text": "{}", "times": 1000}}` | [`Step::Flood`] |
//! | `{"raw": "…"}`, or `{"raw_base64": "…"}` for bytes that are not UTF-8 | [`Step::Raw`] |
//! | `{"comment": "…"}` | [`Step::Comment`] |
//! | `{"binary": "…"}`, in base64 | [`Step::Binary`] |
//! | `{"deflated": "…"}`, in base64 | [`Step::Deflated`] |
//! | `{"ping": "…"}`, `{"pong": "…"}` | [`Step::Ping`], [`Step::Pong`] |
//! | `{"delay_ms": 20}` | [`Step::Delay`] |
//! | `"await_steer"`, `"await_inject"`, `"await_interrupt"` | [`Step::AwaitSteer`], [`Step::AwaitInject`], [`Step::AwaitInterrupt`] |
//! | `"expire"` | [`Step::Expire`] |
//! | `{"close": {"code": 1011, "reason": "…"}}`, both optional | [`Step::Close`] |
//! | `"end"`, `"reset"`, `"stall"`, `"freeze"` | [`Step::End`], [`Step::Reset`], [`Step::Stall`], [`Step::Freeze`] |
//!
//! ## An answer to an upgrade
//!
//! An answer to an upgrade is `"accept"`, `"hang"`, `"reset"`, `"wrong_accept"`, `{"delay_ms":
//! 500}`, `{"refuse": refusal}`, `{"header": {"name": "…", "value": "…"}}`, `{"close_after": 1011}`
//! or `{"close_on_create": 1011}`: see [`Upgrade`].
//!
//! A **refusal** is `"silence"` ([`Refusal::silence`]), or an object with `status` and optionally
//! `headers`, `body`, `stall_body`, `endless_body` and `delay_ms`: see [`Refusal`]. A `body` that
//! is not a string is sent as JSON, with its content type.
//!
//! # A recording
//!
//! A recording is the output of `responses run --record`: one JSON object a line, for an event
//!
//! ```json
//! {"turn":1,"at_ms":12,"transport":"websocket","event":{"type":"response.created"}}
//! ```
//!
//! and, where an error ended the turn in place of an event,
//!
//! ```json
//! {"turn":1,"at_ms":15,"transport":"sse","error":{"kind":"api","status":429,"code":"rate_limit_exceeded","message":"…","retry_after_ms":1000}}
//! ```
//!
//! `at_ms` counts from the start of the turn, `kind` is an [`ErrorKind`](crate::ErrorKind::as_str),
//! and unknown members are ignored. [`Script::from_recording`] replays the turns over either
//! transport: the same bytes of each event, with the same pauses. An API error before any event
//! becomes a [`Turn::error`], a later API error an `error` event. A timeout becomes a
//! [`Step::Stall`]; a lost connection, and a turn without an end, become a [`Step::Reset`]. A turn
//! that failed before anything was sent is left out. The recording has the end of a turn, not its
//! earlier attempts: replay failures to a client that does not retry.
//!
//! [`ErrorShape`]: crate::testing::ErrorShape
//! [`Refusal::silence`]: crate::testing::Refusal::silence
//! [`Refusal`]: crate::testing::Refusal
//! [`Script::agent`]: crate::testing::Script::agent
//! [`Script::alpn`]: crate::testing::Script::alpn
//! [`Script::every_reuse`]: crate::testing::Script::every_reuse
//! [`Script::every_upgrade`]: crate::testing::Script::every_upgrade
//! [`Script::frame_limit`]: crate::testing::Script::frame_limit
//! [`Script::from_recording`]: crate::testing::Script::from_recording
//! [`Script::header`]: crate::testing::Script::header
//! [`Script::ignore_generate`]: crate::testing::Script::ignore_generate
//! [`Script::lane_order`]: crate::testing::Script::lane_order
//! [`Script::lanes`]: crate::testing::Script::lanes
//! [`Script::max_age`]: crate::testing::Script::max_age
//! [`Script::profile`]: crate::testing::Script::profile
//! [`Script::respond`]: crate::testing::Script::respond
//! [`Script::reuse`]: crate::testing::Script::reuse
//! [`Script::strict`]: crate::testing::Script::strict
//! [`Script::turn`]: crate::testing::Script::turn
//! [`Script::upgrade`]: crate::testing::Script::upgrade
//! [`Script::without_bodies`]: crate::testing::Script::without_bodies
//! [`Script`]: crate::testing::Script
//! [`Step::AwaitInject`]: crate::testing::Step::AwaitInject
//! [`Step::AwaitInterrupt`]: crate::testing::Step::AwaitInterrupt
//! [`Step::AwaitSteer`]: crate::testing::Step::AwaitSteer
//! [`Step::Binary`]: crate::testing::Step::Binary
//! [`Step::Deflated`]: crate::testing::Step::Deflated
//! [`Step::Close`]: crate::testing::Step::Close
//! [`Step::Comment`]: crate::testing::Step::Comment
//! [`Step::Delay`]: crate::testing::Step::Delay
//! [`Step::Drip`]: crate::testing::Step::Drip
//! [`Step::End`]: crate::testing::Step::End
//! [`Step::Event`]: crate::testing::Step::Event
//! [`Step::Expire`]: crate::testing::Step::Expire
//! [`Step::Flood`]: crate::testing::Step::Flood
//! [`Step::Fragmented`]: crate::testing::Step::Fragmented
//! [`Step::Freeze`]: crate::testing::Step::Freeze
//! [`Step::Partial`]: crate::testing::Step::Partial
//! [`Step::Ping`]: crate::testing::Step::Ping
//! [`Step::Pong`]: crate::testing::Step::Pong
//! [`Step::Raw`]: crate::testing::Step::Raw
//! [`Step::Reset`]: crate::testing::Step::Reset
//! [`Step::Split`]: crate::testing::Step::Split
//! [`Step::Stall`]: crate::testing::Step::Stall
//! [`Step::Stray`]: crate::testing::Step::Stray
//! [`Step::Text`]: crate::testing::Step::Text
//! [`Turn::changing_item_ids`]: crate::testing::Turn::changing_item_ids
//! [`Turn::changing_response_id`]: crate::testing::Turn::changing_response_id
//! [`Turn::constant_output_index`]: crate::testing::Turn::constant_output_index
//! [`Turn::created_twice`]: crate::testing::Turn::created_twice
//! [`Turn::cut_after`]: crate::testing::Turn::cut_after
//! [`Turn::cut_inside`]: crate::testing::Turn::cut_inside
//! [`Turn::double_terminal`]: crate::testing::Turn::double_terminal
//! [`Turn::dripped`]: crate::testing::Turn::dripped
//! [`Turn::duplicate_created`]: crate::testing::Turn::duplicate_created
//! [`Turn::empty_item_ids`]: crate::testing::Turn::empty_item_ids
//! [`Turn::empty_terminal_output`]: crate::testing::Turn::empty_terminal_output
//! [`Turn::encoded`]: crate::testing::Turn::encoded
//! [`Turn::error_shape`]: crate::testing::Turn::error_shape
//! [`Turn::error`]: crate::testing::Turn::error
//! [`Turn::events`]: crate::testing::Turn::events
//! [`Turn::failed`]: crate::testing::Turn::failed
//! [`Turn::first`]: crate::testing::Turn::first
//! [`Turn::header`]: crate::testing::Turn::header
//! [`Turn::http`]: crate::testing::Turn::http
//! [`Turn::incomplete`]: crate::testing::Turn::incomplete
//! [`Turn::injecting`]: crate::testing::Turn::injecting
//! [`Turn::insert`]: crate::testing::Turn::insert
//! [`Turn::interleaved`]: crate::testing::Turn::interleaved
//! [`Turn::interrupting`]: crate::testing::Turn::interrupting
//! [`Turn::jsonl`]: crate::testing::Turn::jsonl
//! [`Turn::keepalives`]: crate::testing::Turn::keepalives
//! [`Turn::labelled`]: crate::testing::Turn::labelled
//! [`Turn::large_event`]: crate::testing::Turn::large_event
//! [`Turn::output_indices_from`]: crate::testing::Turn::output_indices_from
//! [`Turn::output`]: crate::testing::Turn::output
//! [`Turn::retry_after`]: crate::testing::Turn::retry_after
//! [`Turn::split_call_ids`]: crate::testing::Turn::split_call_ids
//! [`Turn::split_item_ids`]: crate::testing::Turn::split_item_ids
//! [`Turn::split_surrogates`]: crate::testing::Turn::split_surrogates
//! [`Turn::steering`]: crate::testing::Turn::steering
//! [`Turn::steps`]: crate::testing::Turn::steps
//! [`Turn::stray_after_terminal`]: crate::testing::Turn::stray_after_terminal
//! [`Turn::tail`]: crate::testing::Turn::tail
//! [`Turn::text`]: crate::testing::Turn::text
//! [`Turn::then`]: crate::testing::Turn::then
//! [`Turn::unknown_things`]: crate::testing::Turn::unknown_things
//! [`Turn::unstored`]: crate::testing::Turn::unstored
//! [`Turn::unstreamed`]: crate::testing::Turn::unstreamed
//! [`Turn::untyped`]: crate::testing::Turn::untyped
//! [`Turn::withholding`]: crate::testing::Turn::withholding
//! [`Turn::without_item_ids`]: crate::testing::Turn::without_item_ids
//! [`Turn::without_sequence_numbers`]: crate::testing::Turn::without_sequence_numbers
//! [`Turn::without_setup`]: crate::testing::Turn::without_setup
//! [`Turn::without_stream_id`]: crate::testing::Turn::without_stream_id
//! [`Turn::without_terminal`]: crate::testing::Turn::without_terminal
//! [`Upgrade`]: crate::testing::Upgrade
//! [`Withheld`]: crate::testing::Withheld

use super::builder::Script;

mod error;
mod file;
mod headers;
mod messages;
mod parts;
mod recording;
mod steps;
#[cfg(test)]
mod tests;

pub use error::ScriptError;

impl Script {
    /// Parses a [script file](crate::testing::format#a-script-file) or a
    /// [recording](crate::testing::format#a-recording).
    ///
    /// The text is a recording if its first line is an object with `turn` and `at_ms`.
    ///
    /// # Errors
    ///
    /// Returns an error with the place of the fault if the text is neither.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        if recording::begins(text) { Self::from_recording(text) } else { Self::from_json(text) }
    }
}
