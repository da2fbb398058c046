//! The scripted server: its connections, its log, and the ways to reach it.

mod background;
mod background_body;
mod background_run;
mod client_end;
mod connection;
pub(super) mod connector;
mod control;
mod controlled_stream;
mod endpoints;
pub(super) mod handle;
mod hub;
mod hub_state;
mod listener;
pub(super) mod log;
mod peer;
mod post;
mod server_turn;
mod service;
mod sse_body;
mod sse_step;
mod tls;
mod unstreamed;
mod wait;
mod websocket;
