//! The client: endpoint, settings and shared state of its sessions.

pub use builder::ResponsesClientBuilder;
pub use handle::ResponsesClient;

mod builder;
mod env;
mod handle;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
mod scripted;
