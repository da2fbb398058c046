//! A scripted server for tests, over WebSocket and SSE alike.
//!
//! A [`ScriptedServer`] listens on a free port of the loopback interface. A [`Script`] says, turn by
//! turn, what it answers, whatever the transport of the request; a [`Turn`] is a text, a list of
//! output items, or an exact list of [`Step`]s, with faults where the test wants them. The server
//! keeps state as the API does: responses can be continued by `previous_response_id`, those with
//! `store: false` only on their own WebSocket. Its [`ServerLog`] says what came in, counted in bytes
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
//! let server = ScriptedServer::start(script).await?;
//! // … point a client at `server.url()`, run two turns, and then look:
//! assert_eq!(server.log().requests.len(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! A script can also come from a [file or a recording](mod@format), behave like a known server with
//! a [`Profile`], and be served [in TLS](ScriptedServer::start_tls). Besides `/responses` the server
//! has the endpoints to get, stream again, cancel and delete a response, to list its input, and to
//! list models; a `background: true` response runs on without its client.
//!
//! For tests of timers there is [`ScriptedServer::in_memory`], reached by a [`Connector`]: without
//! sockets, tokio's paused clock advances only when nothing else is left to do. [`Gate`]s hold a
//! turn until the test has seen enough, and [`ScriptedServer::wait_for`] waits for what the server
//! sees, so that no test sleeps.

pub use agent::agent_reply;
pub use digest::history_digest;
pub use format::ScriptError;
pub use log::{ConnectionLog, OtherLog, RequestLog, ServerLog};
pub use memory::Connector;
pub use profile::Profile;
pub use script::{Exchange, Refusal, Script, Upgrade};
pub use server::ScriptedServer;
pub use step::{Gate, Step};
pub use turn::Turn;

mod agent;
mod background;
mod clock;
mod connection;
mod digest;
mod endpoints;
pub mod format;
mod generate;
mod log;
mod memory;
mod profile;
mod request;
mod run;
mod script;
mod server;
mod shared;
mod sse;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod tls;
mod turn;
mod websocket;
mod wire;
