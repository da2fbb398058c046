//! A scripted server for tests, over WebSocket and SSE.
//!
//! A [`ScriptedServer`] listens on a free port of the loopback interface. A [`Script`] holds the
//! answers, one [`Turn`] for each request over either transport. A turn is a text, a list of output
//! items, or an exact list of [`Step`]s, and may contain faults. The server keeps state as the API
//! does: requests can continue a response by `previous_response_id`, and one with `store: false`
//! only on its own WebSocket. Its [`ServerLog`] records everything it received, with bytes counted
//! at the socket.
//!
//! ```
//! use responses_client::testing::{Script, ScriptedServer, Step, Turn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let script = Script::new()
//!     .turn(Turn::text("Hello"))
//!     .turn(Turn::text("A long answer that is cut").cut_after(6, Step::Reset));
//! let server = ScriptedServer::start(script).await?; // `[Turn::text("Hello")]` is a script, too
//! // … point a client at `server.url()`, run two turns, and then check the log:
//! assert_eq!(server.log().requests.len(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Items
//!
//! [`items`] creates an item of each kind; [`Turn::output`] sends items with all the events that
//! the API has for them, in the API's order. Modifiers give the answer another shape that clients
//! must accept:
//! [`interleaved`](Turn::interleaved), [`without_setup`](Turn::without_setup),
//! [`without_sequence_numbers`](Turn::without_sequence_numbers),
//! [`keepalives`](Turn::keepalives), [`empty_terminal_output`](Turn::empty_terminal_output),
//! [`dripped`](Turn::dripped), [`paced`](Turn::paced), [`large_event`](Turn::large_event).
//!
//! ```
//! use responses_client::testing::{NoOutput, Turn, items};
//!
//! let turn = Turn::output([
//!     items::reasoning("Two files at once", "gAAAA"),
//!     items::function_call("call_1", "read_file", r#"{"path":"a"}"#),
//!     items::function_call("call_2", "read_file", r#"{"path":"b"}"#),
//!     items::image(3_000_000),
//! ])
//! .interleaved()
//! .keepalives(5)
//! .empty_terminal_output(NoOutput::Empty);
//! # let _ = turn;
//! ```
//!
//! # Faults
//!
//! | fault | script |
//! |---|---|
//! | the connection, between events | [`Turn::cut_after`] with [`Step::Reset`], [`Step::End`], [`Step::Close`], [`Step::Stall`] or [`Step::Freeze`] |
//! | the connection, within an event | [`Turn::cut_inside`], [`Step::Partial`] |
//! | events in pieces, or slow | [`Step::Fragmented`], [`Step::Split`], [`Step::Drip`], [`Turn::dripped`], [`Step::Delay`] |
//! | bytes that are not an event | [`Step::Raw`], [`Step::Binary`], [`Step::Text`] |
//! | a compressed message that is too large or invalid, or was not negotiated | [`Step::Deflated`] |
//! | floods of meaningless events | [`Step::Flood`] |
//! | late events of an older response | [`Step::Stray`] |
//! | events of an unknown lane, or of none | an event with a [`stream_id`](self#lanes-and-steering), [`Turn::without_stream_id`] |
//! | servers without lanes, or without the names of lanes | [`Script::lanes`] in every [`Lanes`] |
//! | the order of lanes, and lanes that are held | [`Script::lane_order`], [`Step::Gate`] |
//! | the rest of an abandoned response | [`Turn::tail`] |
//! | the maximum age of a WebSocket, also while responses run | [`Script::max_age`], [`Step::Expire`] |
//! | the order of events | [`Turn::double_terminal`], [`Turn::without_terminal`], [`Turn::stray_after_terminal`], [`Turn::duplicate_created`] |
//! | ids of responses | [`Turn::changing_response_id`], [`Turn::created_twice`] |
//! | ids of items and calls | [`Turn::changing_item_ids`], [`Turn::split_item_ids`], [`Turn::split_call_ids`], [`Turn::empty_item_ids`], [`Turn::without_item_ids`] |
//! | indices of items | [`Turn::constant_output_index`], [`Turn::output_indices_from`] |
//! | content that some events lack | [`Turn::withholding`] in every [`Withheld`], [`Turn::empty_terminal_output`] |
//! | halves of characters | [`Turn::split_surrogates`], [`surrogate_half`] |
//! | responses that are not stored | [`Turn::unstored`] |
//! | unknown events, items and members | [`Turn::unknown_things`], [`items::unknown`] |
//! | errors | [`Turn::error`] and [`Turn::retry_after`], [`Turn::failed`], [`Turn::error_shape`] in every [`ErrorShape`] |
//! | HTTP answers and upgrades | [`Turn::http`], [`Upgrade`], [`Refusal`] |
//! | the label of an SSE body | [`Turn::labelled`], [`Turn::encoded`], [`Turn::untyped`], [`Turn::unstreamed`] |
//! | kept connections that die | [`Script::reuse`] in every [`Reuse`] |
//! | steers that are refused, or that cross requests | [`Turn::steering`] in every [`Steering`] |
//! | refused input and interrupts | [`Turn::injecting`] in every [`Injecting`], [`Turn::interrupting`] in every [`Interrupting`] |
//! | answers to messages that are lost | [`Step::AwaitSteer`], [`Step::AwaitInject`] or [`Step::AwaitInterrupt`], and then the end of the connection |
//!
//! Modifiers apply in the order in which they are called, over both transports. Those that only
//! change the form of an answer do not change the server's own history: a request that continues
//! the response finds the items as they were before the first of these modifiers.
//!
//! An event that crosses the next request on a WebSocket is a [`Step::Stray`] of the next turn:
//!
//! ```
//! use responses_client::testing::{Step, Turn};
//! use serde_json::json;
//!
//! let old = json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "old" });
//! let turn = Turn::text("new").first(Step::Stray(old));
//! # let _ = turn;
//! ```
//!
//! ```
//! use std::time::Duration;
//!
//! use responses_client::testing::{ErrorShape, Script, Step, Turn};
//!
//! let script = Script::new()
//!     // Three events, twenty bytes of the fourth, and then nothing.
//!     .turn(Turn::text("Hello").cut_inside(3, 20, Step::Stall))
//!     .turn(Turn::text("Hello").changing_item_ids().dripped(Duration::from_millis(50)))
//!     .turn(Turn::error(429, "slow_down", "Wait").retry_after(Duration::from_secs(2)))
//!     .turn(Turn::error_shape(ErrorShape::Detail, 400, "invalid_prompt", "No"));
//! # let _ = script;
//! ```
//!
//! # Lanes and steering
//!
//! A `response.create` with a `stream_id` runs on the lane of that name, and each event of its
//! response has the `stream_id`. Requests of one lane are answered one after the other. Turns of
//! several lanes alternate event by event, as far as their waits allow. The limits are those of the
//! API: 16 responses run at the same time on a WebSocket, and further requests wait silently; a
//! WebSocket has 32 names beside the default lane. Each lane holds its last response, for all lanes
//! of its WebSocket, until its next one begins. An unstored response can therefore be continued on
//! another lane, unless its own lane continues before the `response.in_progress` of the other one.
//!
//! An event of a script that has a `stream_id` keeps it, also if it is that of another lane; `null`
//! stands for an event without a `stream_id`. [`RequestLog::lane`] and [`Exchange::lane`] have the
//! name. A server with a [`Profile`] of a provider without lanes refuses the parameter;
//! [`Script::lanes`] sets what a server makes of it.
//!
//! A `response.steer` ends the response that it names, as soon as no item of it is unfinished, with
//! `response.incomplete` and the reason `steered`. The next turn of the script is the response that
//! continues it: its history ends with the input of the steers. If only the terminal event is left,
//! the response is completed first. If it then waits for results of calls, the steer is pending, and
//! the request with the results gets its input, as does a request that is already waiting.
//! [`Turn::steering`] sets other courses, and [`ServerLog::steers`] has the steers.
//! [`RequestLog::is_successor`] marks responses that a steer began.
//!
//! A `response.interrupt` ends the response that it names immediately, with `response.incomplete`
//! and the reason `interrupted`; [`Turn::interrupting`] sets other answers. A `response.inject`, on
//! a WebSocket whose upgrade has the header `OpenAI-Beta: responses_multi_agent=v1`, adds outputs of
//! calls to the conversation of a response that runs; [`Turn::injecting`] sets other answers.
//!
//! Steps such as [`Step::AwaitSteer`] hold a turn until the client has sent such a message. A lost
//! answer is a step after them:
//!
//! ```
//! use responses_client::testing::{Steering, Step, Turn};
//!
//! // The connection ends in place of the answer to the steer.
//! let lost = Turn::text("Hello")
//!     .steering(Steering::Ignore)
//!     .cut_after(4, Step::AwaitSteer)
//!     .then(Step::Reset);
//! # drop(lost);
//! ```
//!
//! # Files, profiles, endpoints
//!
//! A script can also come from a [file or a recording](mod@format), behave like a known server with
//! a [`Profile`], and be served [over TLS](ScriptedServer::start_tls). In addition to `/responses`,
//! the server has the endpoints to get, stream again, cancel and delete a response, to list its
//! input, and to list models. A `background: true` response continues without its client.
//!
//! # Time and order
//!
//! Tests of timers use [`ScriptedServer::in_memory`] with a [`Connector`]: without sockets, tokio's
//! paused clock advances only when all tasks are idle. [`Gate`]s hold a turn until the test opens
//! them, and [`ScriptedServer::wait_for`] waits for a state of the log, so that no test sleeps.
//!
//! Over a [`Link`], a [`Connector`] reaches the server through an
//! [emulated network](Connector::over) with delay, bandwidth, losses and TLS, whose times are exact
//! on paused time.
//!
//! ```
//! use std::time::Duration;
//!
//! use responses_client::{
//!     Item, Provider, ResponsesClient, ResponsesRequest,
//!     testing::{Script, ScriptedServer, Step, Turn},
//! };
//!
//! // In a test: #[tokio::test(start_paused = true)], with tokio's feature `test-util`.
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let slow = Turn::text("Hello").delay(Duration::from_secs(50));
//! let server = ScriptedServer::in_memory(Script::new().turn(slow));
//! let client = ResponsesClient::builder().provider(Provider::compatible(&server.url())?)
//!     .connector(&server.connector())
//!     .build()?;
//! let request = ResponsesRequest::new("gpt-6-astra").input([Item::user("Say hello")]);
//! let response = client.session().stream(&request).await?.final_response().await?;
//! assert_eq!(response.output_text(), "Hello"); // without any real delay
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
pub use network::{link::Link, traffic::Traffic};
#[doc(inline)]
pub use script::{
    agent::agent_reply,
    builder::Script,
    digest::history_digest,
    error_reply::ErrorShape,
    exchange::Exchange,
    format,
    format::ScriptError,
    gate::Gate,
    halves::{parse_json, surrogate_half},
    inject::Injecting,
    interrupt::Interrupting,
    items,
    lane::Lanes,
    profile::Profile,
    refusal::Refusal,
    steer::Steering,
    step::Step,
    turn::{Turn, habits::Withheld, shapes::NoOutput},
    upgrade::{Reuse, Upgrade},
};
#[doc(inline)]
pub use server::{
    connector::Connector,
    handle::ScriptedServer,
    log::{ConnectionLog, MessageLog, OtherLog, RequestLog, ServerLog, SteerLog},
};

mod network;
mod script;
mod server;
#[cfg(test)]
mod tests;
