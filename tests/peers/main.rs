//! Servers, clients, proxies and types written by others judge this crate.
//!
//! The types are a dependency of the tests. The programs are not there on every machine:
//! `RESPONSES_CLIENT_PEERS=1` asks for their tests, and `.ci/run` installs them.

mod aimock;
mod async_openai;
mod codex;
mod deflate;
mod frameworks;
mod items;
mod kernel;
mod lane_server;
mod lanes;
mod middleboxes;
mod opentelemetry;
mod peer;
mod sdk;
mod serve;
#[path = "../support/mod.rs"]
mod support;
mod types;
