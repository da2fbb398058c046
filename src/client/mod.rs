//! The client: endpoint, settings and shared state of its sessions.

pub use builder::ResponsesClientBuilder;
pub use handle::ResponsesClient;
pub use probe::Probe;

mod builder;
mod env;
mod handle;
mod probe;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
mod scripted;
