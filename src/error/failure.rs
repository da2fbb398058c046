//! The error of a turn, or of a client that could not be made.

use std::{error::Error as StdError, time::Duration};

use super::{CloseFrame, ProtocolError};
use crate::{
    api::{ApiError, ErrorClass, ErrorCode},
    config::ConfigError,
    json::DecodeError,
    kind::{Delivery, ErrorKind, Phase},
    report::TurnReport,
    request::RequestError,
    response::{Response, ResponseStatus},
};

/// Why a turn, or the making of a client, failed.
///
/// It is one word wide. [`kind`](Self::kind) says what happened, [`delivery`](Self::delivery) how
/// far the request got, [`retry_action`](Self::retry_action) what to do now,
/// [`report`](Self::report) what was tried, and [`partial`](Self::partial) keeps what the server
/// had sent by then. `Display` tells its own level: what happened, how far the request got, and
/// what to do; what lies below is in [`source`](StdError::source). Neither it nor `Debug` shows a
/// payload or a credential; of the server's own message at most 512 bytes are shown, with what
/// looks like a key masked.
pub struct Error(pub(super) Box<Inner>);

pub(crate) struct Inner {
    pub(crate) kind: ErrorKind,
    pub(crate) phase: Phase,
    pub(crate) delivery: Delivery,
    pub(crate) cause: Cause,
    pub(crate) partial: Option<Response>,
    pub(crate) report: Option<TurnReport>,
    /// The limit on bytes that are sent again kept it from being tried once more.
    pub(crate) resend_limited: bool,
}

/// What lies below an error.
pub(crate) enum Cause {
    None,
    Request(RequestError),
    Config(ConfigError),
    Api(ApiError),
    Closed(Option<CloseFrame>),
    Protocol(ProtocolError),
    Other(Box<dyn StdError + Send + Sync>),
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
            partial: None,
            report: None,
            resend_limited: false,
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

    pub(crate) fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = delivery;
        self
    }

    pub(crate) fn with_partial(mut self, partial: Response) -> Self {
        self.0.partial = Some(partial);
        self
    }

    pub(crate) fn with_report(mut self, report: TurnReport) -> Self {
        self.0.report = Some(report);
        self
    }

    /// Returns the error once more, to be reported twice: without its partial response and its
    /// report, and without a cause that is not of this crate.
    pub(crate) fn clone_without_source(&self) -> Self {
        let Inner { kind, phase, delivery, cause, partial: _, report: _, resend_limited } =
            &*self.0;
        let cause = match cause {
            Cause::None | Cause::Other(_) => Cause::None,
            Cause::Request(cause) => Cause::Request(cause.clone()),
            Cause::Config(cause) => Cause::Config(cause.clone()),
            Cause::Api(cause) => Cause::Api(cause.clone()),
            Cause::Closed(cause) => Cause::Closed(cause.clone()),
            Cause::Protocol(cause) => Cause::Protocol(cause.clone()),
        };
        let mut copy = Self::new(*kind, *phase, cause).with_delivery(*delivery);
        copy.0.resend_limited = *resend_limited;
        copy
    }

    pub(crate) fn set_resend_limited(&mut self) {
        self.0.resend_limited = true;
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where in the turn it happened.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// How far the request got. [`retry_action`](Self::retry_action) says what follows from it.
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// The server's own account, where it gave one.
    pub fn api_error(&self) -> Option<&ApiError> {
        match &self.0.cause {
            Cause::Api(error) => Some(error),
            _ => None,
        }
    }

    /// The HTTP status, of an answer or named in an error frame.
    pub fn status(&self) -> Option<u16> {
        self.api_error().and_then(ApiError::status)
    }

    /// The server's error code.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.api_error().and_then(ApiError::code)
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.api_error().and_then(ApiError::retry_after)
    }

    /// The close frame that ended the WebSocket, where one came.
    pub fn close_frame(&self) -> Option<&CloseFrame> {
        match &self.0.cause {
            Cause::Closed(frame) => frame.as_ref(),
            _ => None,
        }
    }

    /// What the server had sent by then: finished items, and the text of unfinished ones.
    ///
    /// `None` when nothing of a response had come.
    pub fn partial(&self) -> Option<&Response> {
        self.0.partial.as_ref()
    }

    /// What was tried, over which transport and with what plan. `None` for errors outside of a
    /// turn.
    pub fn report(&self) -> Option<&TurnReport> {
        self.0.report.as_ref()
    }

    /// What the server's support asks for: `x-request-id` of the error, or else of the last
    /// answer of the turn.
    pub fn request_id(&self) -> Option<&str> {
        let own = self.api_error().and_then(ApiError::request_id);
        own.or_else(|| self.report()?.server.request_id())
    }

    /// Whether a timeout of this crate's own ended it.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether the next [`stream`](crate::ResponsesSession::stream) of the session ended it.
    pub fn is_superseded(&self) -> bool {
        self.kind() == ErrorKind::Superseded
    }

    /// Whether the server says that there were too many requests or tokens for now; a quota that
    /// is used up is something else.
    pub fn is_rate_limited(&self) -> bool {
        let by_code =
            matches!(self.code(), Some(ErrorCode::RateLimitExceeded | ErrorCode::SlowDown));
        by_code || self.status() == Some(429) && !self.is_quota_exhausted()
    }

    /// Whether a quota, a budget or a plan is used up: only time or money helps.
    pub fn is_quota_exhausted(&self) -> bool {
        self.class() == ErrorClass::Quota
    }

    /// Whether the conversation does not fit into the model.
    pub fn is_context_length_exceeded(&self) -> bool {
        self.code() == Some(&ErrorCode::ContextLengthExceeded)
    }

    /// Whether the server says that it has no capacity: by its code, or by status 503.
    pub fn is_overloaded(&self) -> bool {
        self.code().is_some_and(ErrorCode::is_overload) || self.class() == ErrorClass::Overload
    }

    /// Whether the credentials could not be had, or the server does not take them (401).
    pub fn is_authentication(&self) -> bool {
        self.kind() == ErrorKind::Auth || self.class() == ErrorClass::Credential
    }

    /// Whether the content is against a policy of the provider's.
    pub fn is_policy_violation(&self) -> bool {
        self.code().is_some_and(ErrorCode::is_policy)
    }

    /// Whether the response was cancelled at the server, by whomever.
    pub fn is_cancelled(&self) -> bool {
        self.kind() == ErrorKind::Api
            && self.partial().is_some_and(|it| it.status() == ResponseStatus::Cancelled)
    }

    /// Whether it would have been tried once more, but for
    /// [`RetryPolicy::resend_bytes`](crate::RetryPolicy::resend_bytes).
    pub fn is_resend_limited(&self) -> bool {
        self.0.resend_limited
    }

    /// What the server's account means for the request, where there is one.
    pub(super) fn class(&self) -> ErrorClass {
        self.api_error().map_or(ErrorClass::Unknown, ApiError::class)
    }

    pub(crate) fn cause(&self) -> &Cause {
        &self.0.cause
    }
}

impl From<DecodeError> for Error {
    /// So that `?` works on what an event or a response is read with. Neither
    /// [`phase`](Self::phase) nor [`delivery`](Self::delivery) says anything then.
    fn from(error: DecodeError) -> Self {
        Self::new(ErrorKind::Decode, Phase::Prepare, Cause::Other(Box::new(error)))
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
