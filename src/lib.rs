//! Streams the OpenAI Responses API over WebSocket and SSE.

// The tests run the agent of an example, which knows the crate by its name.
#[cfg(all(test, feature = "testing"))]
extern crate self as responses_client;

pub use auth::{Auth, AuthProvider, Secret};
pub use client::{ResponsesClient, ResponsesClientBuilder};
pub use config::{
    Limits, NetworkSettings, Provider, ProxySetting, ReplayPolicy, RetryPolicy, Timeouts,
    Transport, TransportPolicy,
};
pub use error::{Delivery, Error, ErrorKind, Phase};
pub use event::ResponseEvent;
pub use json::{Json, Text};
pub use report::TurnReport;
pub use request::{History, Item, ResponsesRequest, Tool};
pub use response::{Response, ResponseStatus};
pub use session::{ResponseStream, ResponsesSession};

mod auth;
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
