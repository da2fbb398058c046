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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        config::{NetworkSettings, ProxySetting, RetryPolicy, TransportPolicy},
        error::{ConnectError, ConnectStep},
        net::{HttpNetwork, Sockets},
        request::ResponsesRequest,
    };

    /// Returns a client of a server whose name no name server knows within the time to connect.
    fn client(network: &NetworkSettings, transport: TransportPolicy) -> ResponsesClient {
        let limit = Some(Duration::from_millis(50));
        let lookup = Box::new(|_| std::future::pending().boxed());
        let uri = "https://api.example/v1".parse().unwrap();
        let sockets = Sockets::with_lookup(network, &uri, limit, lookup).unwrap();
        let retry = RetryPolicy::default().network_down_deadline(Duration::ZERO);
        let builder = ResponsesClient::builder().base_url("https://api.example/v1").retry(retry);
        let mut builder = builder.transport(transport);
        builder.connector = Some(Arc::new(HttpNetwork::new(sockets)));
        builder.build().unwrap()
    }

    #[tokio::test]
    async fn a_name_server_that_does_not_answer_is_a_timeout_of_that_step() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socks = format!("socks5://{}", listener.local_addr().unwrap());
        for (proxy, of, steps) in [
            (None, "api.example:443", &[][..]),
            (Some("http://proxy.example:3128"), "the proxy proxy.example:3128", &[]),
            (Some(socks.as_str()), "api.example:443 through the proxy", &[ConnectStep::Tcp]),
        ] {
            let proxy = proxy.map_or(ProxySetting::Direct, ProxySetting::from);
            let network = NetworkSettings::new().proxy(proxy);
            for transport in [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly] {
                let client = client(&network, transport);
                let probe = client.probe().await;
                let opened: Vec<_> = probe.steps.iter().map(|step| step.step).collect();
                assert_eq!(opened, steps);
                let turn = client.respond(ResponsesRequest::new("m").input("hi")).await;
                for error in [probe.error.unwrap(), turn.unwrap_err()] {
                    let cause = error.connect_error();
                    assert_eq!(cause, Some(&ConnectError::TimedOut(ConnectStep::Dns)));
                    let text = error.to_string();
                    let start = format!("timed out resolving the host name of {of}");
                    assert!(text.starts_with(&start), "{text}");
                }
            }
        }
    }
}
