//! Whether, when and how a failed attempt is followed by another.
//!
//! Four parts, each by itself: [`cause`] says what kind of failure it was, [`permitted`] whether
//! the request may be sent again at all, the budget whether another attempt is left, and
//! [`backoff`] when.

use std::time::Duration;

use crate::{
    Delivery, Error, ErrorKind, Phase, ReplayPolicy, RetryPolicy, Transport, TransportPolicy,
    error::{ErrorCode, ProtocolError},
    proto::{fallback::Mark, turn},
    report::FullReason,
};

/// The attempts of one turn.
#[derive(Debug)]
pub(crate) struct Ladder {
    policy: RetryPolicy,
    transports: TransportPolicy,
    attempts: u32,
    replays: u32,
    parent_recovered: bool,
    socket_renewed: bool,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed<'a> {
    pub(crate) error: &'a Error,
    pub(crate) transport: Transport,
    /// The connection was open before.
    pub(crate) reused: bool,
    /// It named a parent that the session had chosen.
    pub(crate) incremental: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// The caller gets the error.
    GiveUp,
    /// Another attempt.
    Again(Again),
}

/// Another attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Again {
    /// After this time.
    pub(crate) delay: Duration,
    /// Over SSE, whatever the route says.
    pub(crate) over_sse: bool,
    /// On another WebSocket, even if this one is open.
    pub(crate) fresh_socket: bool,
    /// What is to be remembered of the origin.
    pub(crate) mark: Option<Mark>,
    /// Why it is a full one, if the attempt before was none.
    pub(crate) reason: FullReason,
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Trying again cannot help.
    Final,
    /// The response to be continued is gone.
    LostParent,
    /// The socket has served its time, or had died while it was idle.
    StaleSocket,
    /// WebSocket is not served here; `certain` unless the answer can mean other things too.
    NoWebSocket { certain: bool },
    /// Something on the way is in a WebSocket's way.
    HandshakeBroken,
    /// The frame is too large for the server.
    FrameTooLarge,
    /// The connection failed; another one may not.
    Connection,
    /// The server wants to be asked later.
    Later,
}

impl Ladder {
    pub(crate) fn new(policy: RetryPolicy, transports: TransportPolicy) -> Self {
        Self {
            policy,
            transports,
            attempts: 1,
            replays: 0,
            parent_recovered: false,
            socket_renewed: false,
        }
    }

    /// Decides what follows `failed`. `chance` is uniform in 0..1.
    pub(crate) fn next(&mut self, failed: Failed<'_>, chance: f64) -> Action {
        let error = failed.error;
        let cause = cause(failed);
        let websocket = failed.transport == Transport::WebSocket;
        let may_use_sse = websocket && self.transports == TransportPolicy::Auto;
        let at_once = Again {
            delay: Duration::ZERO,
            over_sse: false,
            fresh_socket: false,
            mark: None,
            reason: FullReason::ConnectionChanged,
        };
        // These lie in the nature of the protocol or of the way, and cost no attempt: each can
        // happen once a turn.
        match cause {
            Cause::Final => return Action::GiveUp,
            Cause::LostParent if self.parent_recovered || !self.permitted(error.delivery()) => {
                return Action::GiveUp;
            }
            Cause::LostParent => {
                self.parent_recovered = true;
                self.count_replay(error);
                return Action::Again(Again { reason: FullReason::ParentNotFound, ..at_once });
            }
            Cause::StaleSocket if !self.socket_renewed && self.permitted(error.delivery()) => {
                self.socket_renewed = true;
                self.count_replay(error);
                return Action::Again(Again { fresh_socket: true, ..at_once });
            }
            Cause::NoWebSocket { certain } => {
                return if may_use_sse {
                    let mark = Some(if certain { Mark::Unsupported } else { Mark::Ambiguous });
                    Action::Again(Again { over_sse: true, mark, ..at_once })
                } else {
                    Action::GiveUp
                };
            }
            Cause::HandshakeBroken if may_use_sse => {
                let mark = Some(Mark::Transient);
                return Action::Again(Again { over_sse: true, mark, ..at_once });
            }
            _ => {}
        }
        if !self.permitted(error.delivery()) || self.attempts >= self.policy.attempts {
            return Action::GiveUp;
        }
        let backoff = self.backoff(chance);
        let delay = match error.retry_after() {
            Some(asked) if asked > self.policy.retry_after_max => return Action::GiveUp,
            Some(asked) => asked,
            None => backoff,
        };
        let last = self.attempts + 1 == self.policy.attempts;
        let again = match cause {
            Cause::FrameTooLarge if may_use_sse => Again { over_sse: true, ..at_once },
            // The same bytes would meet the same limit.
            Cause::FrameTooLarge => return Action::GiveUp,
            // A server that is busy is as busy over SSE; one whose socket breaks may not be.
            Cause::Connection if may_use_sse && last => {
                // A server that nobody reaches breaks no WebSockets.
                let mark = (error.kind() != ErrorKind::Connect).then_some(Mark::Transient);
                Again { delay, over_sse: true, mark, ..at_once }
            }
            Cause::Later if may_use_sse && last && error.phase() == Phase::Connect => {
                Again { delay, over_sse: true, ..at_once }
            }
            Cause::Later => Again { delay, reason: FullReason::PriorNotCompleted, ..at_once },
            _ => Again { delay, fresh_socket: true, ..at_once },
        };
        self.attempts += 1;
        self.count_replay(error);
        Action::Again(again)
    }

    /// What may have run counts as a replay, whatever the reason to send it again.
    fn count_replay(&mut self, error: &Error) {
        if error.delivery() >= Delivery::Unknown {
            self.replays += 1;
        }
    }

    /// Whether a request that got so far may be sent again.
    fn permitted(&self, delivery: Delivery) -> bool {
        let replay = match (delivery, self.policy.replay) {
            (Delivery::NotSent | Delivery::Refused, _) => return true,
            (_, ReplayPolicy::Never) => false,
            (Delivery::Unknown, _) => true,
            (Delivery::Accepted, ReplayPolicy::BeforeOutput | ReplayPolicy::Restart) => true,
            (Delivery::OutputStarted, ReplayPolicy::Restart) => true,
            (Delivery::Accepted | Delivery::OutputStarted, _) => false,
        };
        replay && self.replays < self.policy.replays
    }

    fn backoff(&self, chance: f64) -> Duration {
        let doubled = self.policy.backoff.saturating_mul(1 << (self.attempts - 1).min(20));
        let longest = doubled.min(self.policy.backoff_max);
        let share = 0.75 + 0.25 * chance.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(longest.as_secs_f64() * share).unwrap_or(longest)
    }
}

/// Whether a WebSocket takes no further request after the server ended a turn with `error`.
/// `kept` is what the provider does with one in general.
pub(crate) fn retires_socket(error: &Error, kept: bool) -> bool {
    error.kind() == ErrorKind::Api
        && (!kept
            || error.status() == Some(401)
            || error.code() == Some(&ErrorCode::ConnectionLimitReached))
}

fn cause(failed: Failed<'_>) -> Cause {
    let error = failed.error;
    let websocket = failed.transport == Transport::WebSocket;
    let connecting = error.phase() == Phase::Connect;
    match error.kind() {
        ErrorKind::Api => match error.api_error() {
            Some(api) if failed.incremental && api.is_lost_parent() => Cause::LostParent,
            Some(api) if api.code() == Some(&ErrorCode::ConnectionLimitReached) => {
                Cause::StaleSocket
            }
            Some(api) if turn::is_retryable(api) => Cause::Later,
            _ => Cause::Final,
        },
        ErrorKind::UpgradeRefused => {
            let certain = matches!(error.status(), Some(..400 | 404 | 405 | 426 | 501));
            Cause::NoWebSocket { certain }
        }
        ErrorKind::Closed | ErrorKind::Truncated => {
            match error.close_frame().map(|frame| frame.code) {
                _ if websocket && connecting => Cause::HandshakeBroken,
                _ if failed.reused && error.delivery() == Delivery::NotSent => Cause::StaleSocket,
                Some(1009) => Cause::FrameTooLarge,
                // The server meant to end it.
                Some(1000 | 1008 | 4000..) => Cause::Final,
                _ => Cause::Connection,
            }
        }
        // The caller's own credentials were not had in time.
        ErrorKind::Timeout if error.phase() == Phase::Prepare => Cause::Final,
        ErrorKind::Timeout | ErrorKind::Tls if connecting && websocket => Cause::HandshakeBroken,
        ErrorKind::Timeout | ErrorKind::Connect => Cause::Connection,
        ErrorKind::Protocol if connecting && websocket => match error.cause() {
            crate::error::Cause::Protocol(ProtocolError::Handshake(_)) => Cause::HandshakeBroken,
            _ => Cause::Final,
        },
        ErrorKind::InvalidRequest
        | ErrorKind::InvalidConfig
        | ErrorKind::Auth
        | ErrorKind::Tls
        | ErrorKind::Proxy
        | ErrorKind::ProxyAuthentication
        | ErrorKind::Protocol
        | ErrorKind::TooLarge
        | ErrorKind::Superseded
        | ErrorKind::SessionClosed
        | ErrorKind::NoRuntime => Cause::Final,
    }
}

#[cfg(test)]
mod tests;
