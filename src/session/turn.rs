//! Options of a single turn: [`TurnBuilder`].

use std::{fmt, future::poll_fn, marker::PhantomData, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    control::TurnControl, core::SessionCore, driver::Driver, final_response::FinalResponse,
    stream::ResponseStream, work::TurnRequest,
};
use crate::{
    api::masked,
    endpoint::{Endpoint, headers_of_turn},
    error::{Cause, Error},
    kind::{ErrorKind, Phase},
    proto::turn::Goal,
    request::ResponsesRequest,
};

/// Builder of one turn with its own headers or time limit, returned by
/// [`ResponsesSession::turn`](crate::ResponsesSession::turn) and
/// [`ResponsesClient::turn`](crate::ResponsesClient::turn).
///
/// Nothing is sent, and the turn in progress continues, until the future of
/// [`stream`](Self::stream) or [`respond`](Self::respond) is polled.
///
/// ```
/// # use std::time::Duration;
/// # use responses_client::{Error, ResponsesRequest, ResponsesSession};
/// # async fn ask(session: &mut ResponsesSession, request: &ResponsesRequest) -> Result<(), Error> {
/// let response = session
///     .turn(request)
///     .header("x-request-tag", "nightly")
///     .timeout(Duration::from_secs(120))
///     .respond()
///     .await?;
/// println!("{}", response.output_text());
/// # Ok(())
/// # }
/// ```
#[must_use = "a turn begins when the future of `stream` or `respond` is polled"]
pub struct TurnBuilder<'a> {
    endpoint: Arc<Endpoint>,
    core: SessionCore,
    /// The session is borrowed, so that no other turn of it begins meanwhile.
    session: PhantomData<&'a mut ()>,
    request: Arc<ResponsesRequest>,
    headers: Vec<(String, String)>,
    timeout: Option<Duration>,
}

impl<'a> TurnBuilder<'a> {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        core: SessionCore,
        request: &ResponsesRequest,
    ) -> Self {
        let (request, headers) = (Arc::new(request.clone()), Vec::new());
        Self { endpoint, core, session: PhantomData, request, headers, timeout: None }
    }

    /// Adds a header to each HTTP request of this turn. The header replaces a header of the same
    /// name that the client sets, and an earlier one of this turn. The value is kept out of logs,
    /// like a credential.
    ///
    /// A turn with a header goes over SSE under [`TransportPolicy::Auto`], because a WebSocket
    /// cannot carry the header: HTTP headers travel only in the upgrade, so that an open WebSocket
    /// takes no more of them, and those of a new one would also apply to the later turns. The
    /// session's WebSocket stays open for the later turns. To label a turn on any transport, use
    /// the fields [`metadata`](ResponsesRequest::metadata) and `client_metadata` of the request.
    ///
    /// [`stream`](Self::stream) and [`respond`](Self::respond) fail with
    /// [`ErrorKind::InvalidRequest`] before anything is sent
    ///
    /// - under [`TransportPolicy::WebSocketOnly`];
    /// - if the name or the value has characters that HTTP does not allow;
    /// - if the transport sets the header itself, for example `Content-Type`;
    /// - if the header holds a credential, for example `Authorization` or the header of
    ///   [`Auth::header`](crate::Auth::header): credentials belong to the client, and [`ResponsesSession::set_client`] changes the client.
    ///
    /// [`ResponsesSession::set_client`]: crate::ResponsesSession::set_client
    /// [`TransportPolicy::Auto`]: crate::TransportPolicy::Auto
    /// [`TransportPolicy::WebSocketOnly`]: crate::TransportPolicy::WebSocketOnly
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the time limit of the whole turn, retries included, instead of
    /// [`Timeouts::turn`](crate::Timeouts::turn). The limits of single phases still apply.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the turn, and resolves at the first event of its response: see
    /// [`ResponsesSession::stream`].
    ///
    /// # Errors
    ///
    /// Like [`ResponsesSession::stream`], and [`ErrorKind::InvalidRequest`] for a
    /// [`header`](Self::header) that cannot be sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn, like that of [`ResponsesSession::stream`].
    ///
    /// [`ResponsesSession::stream`]: crate::ResponsesSession::stream
    pub fn stream(self) -> impl Future<Output = Result<ResponseStream, Error>> + Send + use<'a> {
        let Self { endpoint, core, session: _, request, headers, timeout } = self;
        async move {
            let runtime = runtime()?;
            request.check().map_err(Error::invalid_request)?;
            let headers =
                headers_of_turn(headers, &endpoint.auth).map_err(Error::invalid_request)?;
            let turn: Arc<TurnControl> = Arc::default();
            core.begin(&turn);
            let request = TurnRequest { request, headers, timeout };
            let mut driver =
                Box::pin(Driver::new(Goal::Turn, endpoint, core, turn, request, runtime));
            poll_fn(|cx| driver.as_mut().poll_begun(cx)).await?;
            Ok(ResponseStream::new(driver))
        }
    }

    /// Sends the turn, runs it to its end, and returns the response with the report of the turn:
    /// see [`ResponsesSession::respond`](crate::ResponsesSession::respond).
    ///
    /// # Errors
    ///
    /// Like [`stream`](Self::stream), and the error that ended the response.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the turn, like that of [`stream`](Self::stream).
    pub fn respond(self) -> impl Future<Output = Result<FinalResponse, Error>> + Send + use<'a> {
        let stream = self.stream();
        async move { stream.await?.final_response().await }
    }
}

/// Returns the current tokio runtime.
pub(super) fn runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| Error::new(ErrorKind::NoRuntime, Phase::Prepare, Cause::None))
}

impl fmt::Debug for TurnBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any header may be a credential, and a caller may have confused its name with its value.
        let names: Vec<_> = self.headers.iter().map(|(name, _)| masked(name, 64)).collect();
        f.debug_struct("TurnBuilder")
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
