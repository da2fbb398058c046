//! Settings of a client: provider, network, policies, limits and timeouts. Every default is defined
//! here once, with its reason.

pub use error::ConfigError;
pub use limits::Limits;
pub use network::{NetworkSettings, ProxySetting};
pub use policy::{ReplayPolicy, RetryPolicy, Transport, TransportPolicy};
pub use provider::Provider;
pub use timeouts::Timeouts;

mod error;
mod limits;
mod network;
mod policy;
mod profile;
mod provider;
mod timeouts;
