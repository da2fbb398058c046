//! The server that a client talks to: its address, the credential and the policies for it, and the
//! sessions with it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

pub(crate) use headers::{
    CREDENTIALS, header_of_session, headers_of_turn, parse_header, parse_name,
};
pub(crate) use registry::{CloseOnShutdown, SessionRegistry};
pub(crate) use runtime::{RuntimeEnd, Runtimes};

use crate::{
    auth::{Auth, AuthError, Secret},
    config::{NetworkSettings, Policy, Provider, Sharing},
    error::{Cause, Error, ErrorContext},
    kind::{ErrorKind, Phase},
    net::{ConnectionCounts, Network},
    observe::Notifier,
    pool::Pool,
    proto::{origin::Origin, turn::Settings, wire::Wire},
    request::RequestError,
};

mod headers;
mod registry;
mod runtime;

/// Endpoint of a client, which its sessions share.
pub(crate) struct Endpoint {
    pub(crate) provider: Provider,
    pub(crate) auth: Auth,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: http::Uri,
    pub(crate) policy: Policy,
    pub(crate) wire: &'static dyn Wire,
    pub(crate) network: Arc<dyn Network>,
    /// Settings of the network; `None` if the network itself was given.
    pub(crate) settings: Option<NetworkSettings>,
    /// Account of the credential, if the caller named it.
    pub(crate) account: Option<String>,
    /// Facts that explain the errors of turns and calls.
    pub(crate) error_context: Arc<ErrorContext>,
    pub(crate) notifier: Notifier,
    pub(crate) sessions: SessionRegistry,
    pub(crate) origin: Arc<Origin>,
    pub(crate) runtimes: Runtimes,
    pub(crate) pool: Arc<Pool>,
}

/// Headers of one request or upgrade.
#[derive(Default)]
pub(crate) struct Authorized {
    pub(crate) headers: HeaderMap,
    /// Token that the request is signed with, if a provider returned the token.
    pub(crate) token: Option<Secret>,
}

impl Endpoint {
    /// Returns the policies and facts that decide about a turn.
    pub(crate) fn turn_settings(&self) -> Settings {
        let capabilities = self.provider.capabilities;
        Settings {
            policy: self.policy,
            wire: self.wire,
            websocket: capabilities.websocket,
            stores_by_default: capabilities.stores_by_default,
            frame_limit: capabilities.frame_limit,
            reuses_socket_after_error: capabilities.reuses_socket_after_error,
            sticky: capabilities.turn_state,
            steer: capabilities.steer,
            inject: capabilities.inject,
            interrupt: capabilities.interrupt,
            renewable_credential: self.auth.is_renewable(),
            error_context: Arc::clone(&self.error_context),
        }
    }

    /// Returns the number of lanes of a WebSocket, the default lane included.
    pub(crate) fn lanes(&self) -> usize {
        let named = self.provider.capabilities.named_lanes;
        if self.origin.accepts_lanes() { usize::from(named) + 1 } else { 1 }
    }

    /// Returns `true` if a fork may use a lane of the WebSocket of its session.
    pub(crate) fn shares_forks(&self) -> bool {
        self.policy.pool.sharing != Sharing::OwnSocket && self.lanes() > 1
    }

    /// Returns `true` if a session of `other` may keep its connection and its responses here.
    pub(crate) fn is_same_account(&self, other: &Self) -> bool {
        let account = match (&self.account, &other.account) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.auth.is_same(&other.auth),
            _ => false,
        };
        let network = Arc::ptr_eq(&self.network, &other.network)
            || self.settings.is_some() && self.settings == other.settings;
        account && network && self.provider == other.provider && self.headers == other.headers
    }

    /// Returns the URI of a stored response, or of an action on it.
    pub(crate) fn response_uri(&self, id: &str, action: Option<&str>) -> Result<http::Uri, Error> {
        self.build_uri(id, action, |_| {})
    }

    /// Returns the URI of the events of a response: of all, or of those after one of them.
    pub(crate) fn events_uri(&self, id: &str, after: Option<u64>) -> Result<http::Uri, Error> {
        self.build_uri(id, None, |url| {
            let mut query = url.query_pairs_mut();
            query.append_pair("stream", "true");
            if let Some(number) = after {
                query.append_pair("starting_after", &number.to_string());
            }
        })
    }

    fn build_uri(
        &self,
        id: &str,
        action: Option<&str>,
        query: impl FnOnce(&mut url::Url),
    ) -> Result<http::Uri, Error> {
        // As path segments, these ids would address another resource.
        if matches!(id, "" | "." | "..") {
            return Err(Error::invalid_request(RequestError::ResponseId));
        }
        let mut url = self.provider.response_url(id, action);
        query(&mut url);
        url.as_str().parse().map_err(|_| Error::invalid_request(RequestError::ResponseId))
    }

    /// Returns the counts of the connections that requests to the endpoint use.
    pub(crate) fn connection_counts(&self) -> Arc<dyn ConnectionCounts> {
        Arc::clone(self.notifier.counters()) as Arc<dyn ConnectionCounts>
    }

    /// Returns the headers of one request or upgrade, and a current credential. The headers in `own`
    /// replace those of the client, but no credential.
    pub(crate) async fn authorize(&self, own: HeaderMap) -> Result<Authorized, Error> {
        let mut headers = self.headers.clone();
        headers.extend(own);
        if self.provider.capabilities.inject {
            headers::add_beta(&mut headers, "responses_multi_agent", "v1");
        }
        match self.auth.apply(&mut headers).await {
            Ok(token) => Ok(Authorized { headers, token }),
            Err(error) => Err(auth_error(error)),
        }
    }

    /// Adds the credential to a request that is otherwise complete, if a provider returned `token`.
    pub(crate) fn sign(
        &self,
        request: http::Request<Bytes>,
        token: Option<&Secret>,
    ) -> Result<http::Request<Bytes>, Error> {
        self.auth.sign(request, token).map_err(auth_error)
    }
}

fn auth_error(error: AuthError) -> Error {
    let cause = match error {
        AuthError::Provider(source) => Cause::Other(source),
        AuthError::Malformed(fault) => Cause::other(format!("the token {fault}")),
    };
    Error::new(ErrorKind::Auth, Phase::Prepare, cause)
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL and the headers may hold keys.
        f.debug_struct("Endpoint")
            .field("provider", &self.provider)
            .field("auth", &self.auth)
            .field("transport", &self.policy.transport)
            .finish_non_exhaustive()
    }
}
