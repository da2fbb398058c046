//! Diagnosis of the way to the server.

use serde::Serialize;

use super::ResponsesClient;
use crate::{
    error::Error,
    kind::Phase,
    net::probe::{ProbeStep, Route},
    transport::http1,
};

/// Outcome of [`ResponsesClient::probe`].
///
/// ```no_run
/// use responses_client::ResponsesClient;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), responses_client::Error> {
/// let probe = ResponsesClient::from_env()?.probe().await;
/// for step in &probe.steps {
///     println!("{}: {:.1?} {}", step.step, step.time, step.detail.as_deref().unwrap_or(""));
/// }
/// if let Some(error) = &probe.error {
///     println!("{error}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Probe {
    /// Way to the server.
    pub route: Route,
    /// Steps that succeeded, in their order.
    pub steps: Vec<ProbeStep>,
    /// Error of the step that failed; `None` if the connection was opened.
    #[serde(skip)]
    pub error: Option<Error>,
}

impl ResponsesClient {
    /// Returns the base URL, without credentials and query.
    pub fn base_url(&self) -> &str {
        &self.endpoint.error_context.base_url
    }

    /// Returns `true` if the server is reached over TLS.
    pub fn is_secure(&self) -> bool {
        self.endpoint.provider.is_secure()
    }

    /// Opens a connection to the server, as for a WebSocket, closes it, and returns the steps. No
    /// request is sent, and no credential leaves this machine except for those of a proxy.
    ///
    /// The steps have the limit [`Timeouts::connect`](crate::Timeouts::connect) together, and are
    /// not retried. With a connector of the scripted server, the probe has no steps. Cancel safe.
    pub async fn probe(&self) -> Probe {
        let endpoint = &self.endpoint;
        let probe = endpoint.network.probe(&endpoint.uri, true).await;
        let error = probe.error.map(|error| {
            let mut error = http1::network_error(error, Phase::Connect);
            error.set_context(&endpoint.error_context);
            error
        });
        Probe { route: probe.route, steps: probe.steps, error }
    }
}
