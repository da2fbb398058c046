//! Interface by which connections are opened.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::time::Instant;

use super::{Io, NetError, probe::NetProbe, tunnel};
use crate::error::{ConnectError, Peer};

/// Opens connections to the server of a URI.
pub(crate) trait Dial: Clone + Send + Sync + Unpin + 'static {
    /// Opens a connection. With `tunnel`, bytes pass every proxy unchanged; otherwise a proxy may
    /// forward requests. The connection must be open by `deadline`.
    fn open(
        &self,
        uri: &Uri,
        tunnel: bool,
        deadline: Option<Instant>,
    ) -> BoxFuture<'static, Result<Opened, NetError>>;

    /// Returns the maximum number of kept connections; the oldest is closed first. Default: 256.
    fn max_kept(&self) -> usize {
        256
    }

    /// Returns the time after which a kept connection is not used again. Default: 90 s, as in reqwest and
    /// hyper; most servers close a connection earlier.
    fn keep_for(&self) -> Duration {
        Duration::from_secs(90)
    }

    /// Opens a connection and closes it, and returns the steps.
    fn probe(&self, uri: &Uri, tunnel: bool) -> BoxFuture<'static, NetProbe> {
        let opening = self.open(uri, tunnel, None);
        async { NetProbe { error: opening.await.err(), ..NetProbe::default() } }.boxed()
    }

    /// Returns the server of `uri`, and the proxy through which requests to `uri` are sent.
    fn peer(&self, uri: &Uri) -> Peer;
}

/// An open connection, and the form of requests on it.
pub(crate) struct Opened {
    pub(crate) io: Box<dyn Io>,
    pub(crate) form: Form,
}

/// Form of the request target (RFC 9112 §3.2).
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// The path, for a server.
    Origin,
    /// The whole URI, for a proxy that forwards the request, with the credentials of the proxy.
    Absolute(Option<HeaderValue>),
}

impl Form {
    /// Gives `request` this form, and the header `Host`.
    pub(super) fn apply(
        &self,
        request: &mut Request<Full<Bytes>>,
        uri: &Uri,
    ) -> Result<(), NetError> {
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::try_from(host).map_err(NetError::setting)?;
        request.headers_mut().insert(header::HOST, host);
        *request.uri_mut() = match self {
            Self::Origin => {
                // Set if the request was meant for a kept connection of the other form.
                request.headers_mut().remove(header::PROXY_AUTHORIZATION);
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                Uri::try_from(path).map_err(NetError::setting)?
            }
            Self::Absolute(authorization) => {
                if let Some(authorization) = authorization {
                    let headers = request.headers_mut();
                    headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
                }
                uri.clone()
            }
        };
        Ok(())
    }

    /// Returns the error of a proxy that does not forward a request without credentials.
    pub(super) fn refusal<B>(&self, response: &Response<B>) -> Option<NetError> {
        let Self::Absolute(authorization) = self else { return None };
        if response.status() != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return None;
        }
        let error = tunnel::refusal(response, authorization.is_some());
        Some(NetError::connect(ConnectError::Proxy(error), "the proxy answered with status 407"))
    }
}
