//! Streams the OpenAI Responses API over one incremental WebSocket, or over server-sent events, as
//! one event stream.
//!
//! A [`ResponsesSession`] is one conversation. It is given the **full** request each turn,
//! compares it with the full request before and the server's answer, and sends what is new if it
//! may, or everything if it must. It hides which transport ran: the events, the outcomes and the
//! errors are the same on both.
//!
//! # A turn
//!
//! ```
//! # use responses_client::testing::{Script, ScriptedServer, Turn};
//! use responses_client::{Item, Provider, ResponsesClient, ResponsesRequest};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = ScriptedServer::start(Script::new().turn(Turn::text("hi")).turn(Turn::text("ho"))).await?;
//! # let url = server.url();
//! let client = ResponsesClient::builder(Provider::compatible(&url)?).build()?;
//! let mut session = client.session();
//! let mut request = ResponsesRequest::new("gpt-6-astra");
//! request.input.push(Item::user("Say hi"));
//!
//! let mut stream = session.stream(&request).await?;
//! while let Some(event) = stream.try_next().await? {
//!     if let Some(text) = event.text_delta() {
//!         print!("{text}");
//!     }
//! }
//! let response = stream.final_response().await?;
//!
//! // The next turn: all of the history again. One item of it is new.
//! request.input.extend(response.output_items());
//! request.input.push(Item::user("Say ho"));
//! let stream = session.stream(&request).await?;
//! println!("{:?}", stream.report().plan);
//! # stream.final_response().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tools
//!
//! Offer them with [`ResponsesRequest::tools`]; run what
//! [`Response::function_calls`] gives, and push the results as
//! [`Item::function_call_output`]. Calls that the model did not finish are not among them. See
//! `examples/agent_loop`.
//!
//! [`ResponseEvent::function_call`] gives a call as soon as the model has finished it, before the
//! response ends.
//!
//! # Answers by a schema, images and files
//!
//! [`ResponsesRequest::json_schema`] asks for JSON, [`Response::parsed`] reads it.
//! [`Item::user_parts`] takes images and files.
//! [`ImageGenerationCall::write_to`](event::ImageGenerationCall::write_to) gives a generated one.
//!
//! [`Response::output`] has what else the model did: searches, code, patches, calls of MCP servers
//! ([`event::item`]).
//!
//! # When it goes wrong
//!
//! A turn ends in one of three ways, on both transports at once: with
//! [`Completed`](event::ResponseEvent::Completed), with
//! [`Incomplete`](event::ResponseEvent::Incomplete) (usable output), or with an [`Error`]. The end
//! of a connection is never success. An error says [what happened](Error::kind), [how far the
//! request got](Error::delivery), [what had come by then](Error::partial), [what was
//! tried](Error::report), and [what to do now](Error::retry_action).
//! [`Response::replayable_items`] of what had come leads on from there.
//!
//! What certainly did not run, and may go well next time, is tried again within [`RetryPolicy`];
//! what may have run is sent again only as its [`ReplayPolicy`] allows. What is in a WebSocket's
//! way leads to SSE, and is [remembered](ResponsesClient::fallback) for a time, so that it is paid
//! for once.
//!
//! # Cancel safety
//!
//! Everything may be dropped at any await point. Dropping a [`ResponseStream`] before its end
//! closes its connection, so that the server stops; the next turn opens another and sends
//! everything. Dropping a wait for an event loses none.
//!
//! # Log levels
//!
//! Through `tracing`, under the target `responses_client`: `INFO` when a turn falls back to SSE,
//! `DEBUG` for connections, plans and failed attempts. No payload and no credential is logged at
//! any level. (tungstenite logs whole messages at `TRACE`, under its own target.)
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `system-proxy` | yes | the proxy settings of macOS and Windows |
//! | `socks` | no | proxies with a `socks5://` or `socks5h://` address |
//! | `testing` | no | `testing`: a scripted server of both transports, for your tests |
//! | `cli` | no | the command-line tool `responses` |

#![warn(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "a panic in a long agent loop loses the loop; the error type has room for all failures"
)]
#![warn(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "payloads and keys pass through here; nothing may print them in passing"
)]

// The tests run the agent of an example, which knows the crate by its name.
#[cfg(all(test, feature = "testing"))]
extern crate self as responses_client;

pub use auth::{Auth, AuthProvider, Secret, TokenFuture};
pub use client::{ResponsesClient, ResponsesClientBuilder};
pub use config::{
    Limits, NetworkSettings, Provider, ProxySetting, ReplayPolicy, RetryPolicy, Timeouts,
    Transport, TransportPolicy,
};
pub use error::{Delivery, Error, ErrorKind, Phase, RetryAction};
// Its header types stand in this crate's own signatures.
pub use event::ResponseEvent;
#[doc(no_inline)]
pub use http;
pub use json::{Json, Text};
pub use proto::fallback::{Fallback, FallbackKind};
pub use report::TurnReport;
pub use request::{History, InputPart, Item, ResponsesRequest, Tool};
pub use response::{Response, ResponseStatus};
pub use session::{ResponseStream, ResponsesSession};

#[macro_use]
mod defects;

mod auth;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod bench;
mod client;
mod config;
pub mod error;
pub mod event;
mod json;
mod net;
mod proto;
pub mod report;
mod request;
pub mod response;
mod session;
mod shared;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;

/// The code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
