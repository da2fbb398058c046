//! Error of a turn, or of a client that could not be built.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use super::{CloseFrame, ConnectError, ConnectStep, ErrorContext, Peer, ProtocolError};
use crate::{
    api::{ApiError, ErrorClass, ErrorCode},
    config::ConfigError,
    event::ResponseEvent,
    json::DecodeError,
    kind::{Delivery, ErrorKind, Phase},
    report::TurnReport,
    request::RequestError,
    response::{OutputError, Response, ResponseStatus},
};

/// Error of a turn, or of building a client.
///
/// The error is one pointer in size. [`kind`](Self::kind) names the failure,
/// [`delivery`](Self::delivery) the point that the request reached, and
/// [`retry_action`](Self::retry_action) the recommended reaction. [`report`](Self::report) lists
/// the attempts, [`response`](Self::response) keeps the part of the response that had arrived, and
/// [`event`](Self::event) the event in which the server reported the error.
///
/// `Display` shows the failure, the delivery and the recommended reaction. The underlying cause is
/// in [`source`](StdError::source), unless `Display` shows the cause in full. Neither `Display` nor
/// `Debug` shows a payload or a credential. At most 512 bytes of the server's message are shown,
/// with strings that look like keys masked.
///
/// ```
/// # use responses_client::testing::{Script, ScriptedServer, Turn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Script::new().respond(|_| Turn::text("hi"))).await?;
/// # let client = server.client()?;
/// use responses_client::{ErrorKind, ResponsesRequest};
///
/// # server.push(Turn::error(400, "context_length_exceeded", "Too long."));
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
/// match client.session().respond(&request).await {
///     Ok(response) => println!("{}", response.output_text()),
///     Err(error) if error.is_context_length_exceeded() => println!("shorten the history"),
///     Err(error) if error.kind() == ErrorKind::Timeout => println!("took too long: {error}"),
///     Err(error) => println!("{error}; what to do: {:?}", error.retry_action()),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Error(pub(super) Box<Inner>);

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) kind: ErrorKind,
    pub(crate) phase: Phase,
    pub(crate) delivery: Delivery,
    pub(crate) cause: Cause,
    pub(crate) response: Option<Response>,
    /// Event in which the server reported the error.
    pub(crate) event: Option<ResponseEvent>,
    pub(crate) report: Option<TurnReport>,
    /// The limit on resent bytes prevented another attempt.
    pub(crate) resend_limited: bool,
    /// Server or proxy of the connection that failed.
    pub(crate) peer: Option<Peer>,
    /// Facts about the client; `None` outside a turn or a call.
    pub(crate) context: Option<Arc<ErrorContext>>,
}

/// Underlying cause of an error.
#[derive(Clone)]
pub(crate) enum Cause {
    None,
    Request(RequestError),
    Config(ConfigError),
    Api(ApiError),
    Closed(Option<CloseFrame>),
    Protocol(ProtocolError),
    /// No connection. The source is shared, as below.
    Connect {
        error: ConnectError,
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// Shared, because causes from other crates cannot be cloned.
    Other(Arc<dyn StdError + Send + Sync>),
}

impl Cause {
    /// Returns the cause for an error of another type.
    pub(crate) fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Other(Arc::from(error.into()))
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, phase: Phase, cause: Cause) -> Self {
        let delivery = match phase {
            Phase::Prepare | Phase::Connect => Delivery::NotSent,
            Phase::Send | Phase::FirstEvent => Delivery::Unknown,
            Phase::Events => Delivery::OutputStarted,
        };
        Self(Box::new(Inner {
            kind,
            phase,
            delivery,
            cause,
            response: None,
            event: None,
            report: None,
            resend_limited: false,
            peer: None,
            context: None,
        }))
    }

    pub(crate) fn invalid_request(cause: RequestError) -> Self {
        Self::new(ErrorKind::InvalidRequest, Phase::Prepare, Cause::Request(cause))
    }

    pub(crate) fn invalid_config(cause: ConfigError) -> Self {
        Self::new(ErrorKind::InvalidConfig, Phase::Prepare, Cause::Config(cause))
    }

    pub(crate) fn api(phase: Phase, cause: ApiError) -> Self {
        Self::new(ErrorKind::Api, phase, Cause::Api(cause))
    }

    pub(crate) fn protocol(phase: Phase, cause: ProtocolError) -> Self {
        Self::new(ErrorKind::Protocol, phase, Cause::Protocol(cause))
    }

    /// Returns the error of a connection to `peer` that could not be opened.
    pub(crate) fn connect(
        error: ConnectError,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
        peer: Option<Peer>,
    ) -> Self {
        let (kind, source) = (error.kind(), Arc::from(source.into()));
        Self::new(kind, Phase::Connect, Cause::Connect { error, source }).with_peer(peer)
    }

    pub(crate) fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = delivery;
        self
    }

    pub(crate) fn with_response(mut self, response: Response) -> Self {
        self.0.response = Some(response);
        self
    }

    pub(crate) fn with_event(mut self, event: Option<ResponseEvent>) -> Self {
        self.0.event = event;
        self
    }

    pub(crate) fn with_report(mut self, report: TurnReport) -> Self {
        self.0.report = Some(report);
        self
    }

    pub(crate) fn set_resend_limited(&mut self) {
        self.0.resend_limited = true;
    }

    pub(crate) fn with_peer(mut self, peer: Option<Peer>) -> Self {
        self.0.peer = peer;
        self
    }

    /// Adds the facts about the client by which [`Display`](std::fmt::Display) explains the error.
    pub(crate) fn set_context(&mut self, context: &Arc<ErrorContext>) {
        self.0.context = Some(Arc::clone(context));
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the phase of the turn in which the error occurred.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Returns the furthest point that the request reached. [`retry_action`](Self::retry_action)
    /// derives the recommended reaction from it.
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// Returns the error that the server sent, or `None` if the server sent none.
    pub fn api_error(&self) -> Option<&ApiError> {
        match &self.0.cause {
            Cause::Api(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the fault of the settings; `None` unless the kind is
    /// [`InvalidConfig`](ErrorKind::InvalidConfig).
    ///
    /// ```
    /// use responses_client::{Auth, Provider, ResponsesClient, error::ConfigError};
    ///
    /// let provider = Provider::compatible("http://models.example/v1").unwrap();
    /// let error = ResponsesClient::builder().provider(provider).auth(Auth::bearer("key")).build().unwrap_err();
    /// assert!(matches!(error.config_error(), Some(ConfigError::ExposedCredentials)));
    /// ```
    pub fn config_error(&self) -> Option<&ConfigError> {
        match &self.0.cause {
            Cause::Config(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the fault of the request; `None` unless the kind is
    /// [`InvalidRequest`](ErrorKind::InvalidRequest).
    ///
    /// ```
    /// use responses_client::{Error, error::RequestError};
    ///
    /// fn needs_http(error: &Error) -> bool {
    ///     matches!(error.request_error(), Some(RequestError::NoTransport(_)))
    /// }
    /// ```
    pub fn request_error(&self) -> Option<&RequestError> {
        match &self.0.cause {
            Cause::Request(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the reason why no connection could be opened; `None` if one was opened, or if no
    /// connection was needed.
    ///
    /// ```
    /// use responses_client::{Error, error::ConnectError};
    ///
    /// fn is_typo(error: &Error) -> bool {
    ///     matches!(error.connect_error(), Some(ConnectError::NameNotFound))
    /// }
    /// # let _ = is_typo;
    /// ```
    pub fn connect_error(&self) -> Option<&ConnectError> {
        match &self.0.cause {
            Cause::Connect { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Returns `true` if the connection to the proxy itself could not be opened:
    /// [`connect_error`](Self::connect_error) is about the proxy, not about the server.
    ///
    /// ```
    /// # use responses_client::Error;
    /// fn whose(error: &Error) -> &'static str {
    ///     if error.is_at_proxy() { "the proxy" } else { "the server" }
    /// }
    /// # let _ = whose;
    /// ```
    pub fn is_at_proxy(&self) -> bool {
        self.0.peer.as_ref().is_some_and(Peer::is_at_proxy)
    }

    /// Returns `true` if the server can be reached over SSE without the tunnel that its proxy did
    /// not open.
    pub(crate) fn is_tunnel_avoidable(&self) -> bool {
        matches!(
            self.connect_error(),
            Some(ConnectError::Proxy(_) | ConnectError::Lost(ConnectStep::Proxy))
        ) && self.0.peer.as_ref().is_some_and(Peer::forwards)
    }

    /// Returns the HTTP status, of the answer or named in an error frame.
    pub fn status(&self) -> Option<u16> {
        self.api_error().and_then(ApiError::status)
    }

    /// Returns the server's error code.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.api_error().and_then(ApiError::code)
    }

    /// Returns the delay that the server asked for before a retry.
    pub fn retry_after(&self) -> Option<Duration> {
        self.api_error().and_then(ApiError::retry_after)
    }

    /// Returns the close frame that ended the WebSocket. `None` if the error is another one, or the
    /// WebSocket ended without a close frame.
    pub fn close_frame(&self) -> Option<&CloseFrame> {
        match &self.0.cause {
            Cause::Closed(frame) => frame.as_ref(),
            _ => None,
        }
    }

    /// Returns the part of the response that had arrived: finished items, and the text of
    /// unfinished ones. `None` if no part had arrived.
    #[doc(alias = "partial")]
    #[doc(alias = "partial_response")]
    pub fn response(&self) -> Option<&Response> {
        self.0.response.as_ref()
    }

    /// Returns the event that ended the turn: `error`, `response.failed` or `response.cancelled`,
    /// as the server sent it. [`raw`](ResponseEvent::raw) returns its JSON.
    ///
    /// `None` if no event ended the turn, for example if the connection was lost, or if the server
    /// refused the request with an HTTP status: [`api_error`](Self::api_error) has the contents of
    /// such an answer. Also `None` for an error event that is not a JSON object.
    ///
    /// ```
    /// # use responses_client::Error;
    /// fn relay(error: &Error) -> String {
    ///     match error.event() {
    ///         Some(event) => event.raw().to_owned(),
    ///         None => format!(r#"{{"type":"error","message":"{}"}}"#, error.kind()),
    ///     }
    /// }
    /// ```
    pub fn event(&self) -> Option<&ResponseEvent> {
        self.0.event.as_ref()
    }

    /// Returns the report of the turn: its attempts, their transport and what they sent. `None` for
    /// errors outside a turn.
    pub fn report(&self) -> Option<&TurnReport> {
        self.0.report.as_ref()
    }

    /// Returns the id to quote to the server's support: `x-request-id` of the error, or else of the
    /// last answer of the turn.
    pub fn request_id(&self) -> Option<&str> {
        let own = self.api_error().and_then(ApiError::request_id);
        own.or_else(|| self.report()?.server.request_id())
    }

    /// Returns `true` if a limit in [`Timeouts`](crate::Timeouts) ended the turn.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Returns `true` if the next [`stream`](crate::ResponsesSession::stream) of the session ended
    /// the turn.
    pub fn is_superseded(&self) -> bool {
        self.kind() == ErrorKind::Superseded
    }

    /// Returns `true` if the server reports too many requests or tokens at present. A quota that is
    /// used up does not count.
    pub fn is_rate_limited(&self) -> bool {
        let by_code =
            matches!(self.code(), Some(ErrorCode::RateLimitExceeded | ErrorCode::SlowDown));
        by_code || self.status() == Some(429) && !self.is_quota_exhausted()
    }

    /// Returns `true` if a quota, a budget or a plan is used up. Only waiting for its renewal or
    /// paying helps.
    pub fn is_quota_exhausted(&self) -> bool {
        self.class() == ErrorClass::Quota
    }

    /// Returns `true` if the conversation exceeds the context of the model.
    pub fn is_context_length_exceeded(&self) -> bool {
        self.code() == Some(&ErrorCode::ContextLengthExceeded)
    }

    /// Returns `true` if the server reports that it has no capacity, by its code or by status 503.
    pub fn is_overloaded(&self) -> bool {
        self.code().is_some_and(ErrorCode::is_overload) || self.class() == ErrorClass::Overload
    }

    /// Returns `true` if no credential could be obtained, or the server rejected it (401).
    pub fn is_authentication(&self) -> bool {
        self.kind() == ErrorKind::Auth || self.class() == ErrorClass::Credential
    }

    /// Returns `true` if the content violates a policy of the provider.
    pub fn is_policy_violation(&self) -> bool {
        self.code().is_some_and(ErrorCode::is_policy)
    }

    /// Returns `true` if the response was cancelled at the server, by this client or another one.
    pub fn is_cancelled(&self) -> bool {
        self.kind() == ErrorKind::Api
            && self.response().is_some_and(|it| it.status() == ResponseStatus::Cancelled)
    }

    /// Returns `true` if only [`RetryPolicy::max_resend_bytes`](crate::RetryPolicy::max_resend_bytes)
    /// prevented another attempt.
    pub fn is_resend_limited(&self) -> bool {
        self.0.resend_limited
    }

    /// Returns the class of the server's error; [`ErrorClass::Unknown`] if the server sent none.
    pub(super) fn class(&self) -> ErrorClass {
        self.api_error().map_or(ErrorClass::Unknown, ApiError::class)
    }

    pub(crate) fn cause(&self) -> &Cause {
        &self.0.cause
    }
}

impl From<DecodeError> for Error {
    /// Converts the error, so that `?` works when reading an event or a response.
    /// [`phase`](Self::phase) and [`delivery`](Self::delivery) are meaningless then.
    fn from(error: DecodeError) -> Self {
        Self::new(ErrorKind::Decode, Phase::Prepare, Cause::other(error))
    }
}

impl From<OutputError> for Error {
    /// Converts the error, so that `?` works when parsing the output of a response. The
    /// [`source`](StdError::source) is the [`OutputError`]. [`phase`](Self::phase) and
    /// [`delivery`](Self::delivery) are meaningless then.
    fn from(error: OutputError) -> Self {
        Self::new(ErrorKind::Decode, Phase::Prepare, Cause::other(error))
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::invalid_config(error)
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::invalid_request(error)
    }
}
