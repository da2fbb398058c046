//! The client: endpoint, settings and shared state of its sessions.

pub use builder::ResponsesClientBuilder;
#[cfg(feature = "codex-config")]
#[cfg_attr(docsrs, doc(cfg(feature = "codex-config")))]
pub use codex::CodexConfig;
pub use handle::ResponsesClient;
pub use probe::Probe;

mod builder;
#[cfg(feature = "codex-config")]
mod codex;
mod env;
mod handle;
mod probe;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
mod scripted;
