#![doc = include_str!("../docs/guide.md")]
// Makes docs.rs show the feature that each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
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
#![warn(unnameable_types, reason = "callers name what public methods take and return")]

pub use api::ErrorCode;
pub use auth::{Auth, AuthProvider, Secret, TokenFuture};
#[cfg(feature = "codex-config")]
#[cfg_attr(docsrs, doc(cfg(feature = "codex-config")))]
pub use client::CodexConfig;
pub use client::{ResponsesClient, ResponsesClientBuilder};
#[cfg(feature = "deflate")]
#[cfg_attr(docsrs, doc(cfg(feature = "deflate")))]
pub use config::DeflatePolicy;
pub use config::{
    AtCapacity, ContinuationPolicy, Limits, NetworkSettings, Operation, PoolPolicy, Provider,
    ProxySetting, ReplayPolicy, RetryPolicy, Sharing, Support, Timeouts, Transport,
    TransportPolicy,
};
pub use error::{Error, RetryAction};
// The header types of `http` are part of this crate's public API.
pub use event::ResponseEvent;
#[doc(no_inline)]
pub use http;
pub use json::{DecodeError, Json, JsonIndex, Text};
pub use kind::{Delivery, ErrorKind, Phase};
pub use observe::{AttemptFailed, ClientMetrics, TurnObserver};
pub use proto::{
    route::{Fallback, FallbackKind},
    turn::{inject::InjectState, message::InputErrorKind, steer::SteerState},
};
pub use report::TurnReport;
pub use request::{
    History, InputPart, Item, ReasoningConfig, ResponsesRequest, TextConfig, Tool, ToolChoice,
};
pub use response::{OutputError, Response, ResponseStatus};
pub use session::{
    Checkpoint, FinalResponse, InjectError, InjectHandle, ResponseStream, ResponsesSession,
    SteerError, SteerHandle, TurnBuilder,
};

mod api;
mod auth;
mod client;
mod config;
mod endpoint;
mod endpoints;
pub mod error;
pub mod event;
mod format;
#[cfg(feature = "internal")]
#[doc(hidden)]
pub mod internal;
mod json;
mod kind;
mod net;
mod observe;
mod pool;
/// Diagnosis of the way to the server: the outcome of [`ResponsesClient::probe`].
pub mod probe {
    pub use crate::{
        client::Probe,
        net::probe::{ProbeStep, Route},
    };
}
mod proto;
pub mod report;
mod request;
pub mod response;
#[cfg(feature = "testing")]
mod server;
mod session;
mod sync;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod transport;

/// The code examples in the README and in `docs`, compiled and run as doc tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/migrating.md")]
    struct Migrating;
    #[doc = include_str!("../docs/recipes.md")]
    struct Recipes;
    #[doc = include_str!("../docs/providers.md")]
    struct Providers;
    #[doc = include_str!("../docs/transports.md")]
    struct Transports;
    #[doc = include_str!("../docs/retries.md")]
    struct Retries;
    #[cfg(feature = "metrics")]
    #[doc = include_str!("../docs/observability.md")]
    struct Observability;
    #[doc = include_str!("../docs/testing.md")]
    struct Testing;
}
