//! Settings of a client: provider, network, policies, limits and timeouts. Every default is defined
//! here once, with its reason.

pub(crate) use capabilities::SessionHeaders;
pub use error::ConfigError;
pub use limits::Limits;
pub(crate) use network::{ClientCertificate, Pem};
pub use network::{NetworkSettings, ProxySetting};
pub use operations::{Operation, Support};
#[cfg(feature = "deflate")]
pub use policy::DeflatePolicy;
pub use policy::{ContinuationPolicy, ReplayPolicy, RetryPolicy, Transport, TransportPolicy};
pub use pool::{AtCapacity, PoolPolicy, Sharing};
pub use provider::Provider;
pub use timeouts::Timeouts;

mod capabilities;
#[cfg(feature = "codex-config")]
pub(crate) mod codex;
mod error;
mod limits;
mod network;
mod operations;
mod policy;
mod pool;
mod profile;
mod provider;
mod setters;
mod timeouts;

/// Policies of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) transport: TransportPolicy,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    /// Continue stored responses by their id over SSE.
    pub(crate) continue_over_sse: bool,
    /// Send only new items where possible.
    pub(crate) incremental: bool,
    pub(crate) continuation: ContinuationPolicy,
    pub(crate) pool: PoolPolicy,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: DeflatePolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            transport: TransportPolicy::default(),
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            continue_over_sse: false,
            incremental: true,
            continuation: ContinuationPolicy::default(),
            pool: PoolPolicy::default(),
            #[cfg(feature = "deflate")]
            deflate: DeflatePolicy::default(),
        }
    }
}
