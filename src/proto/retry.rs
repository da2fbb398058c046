//! Retry decisions: whether, when and over which connection a failed attempt is followed by
//! another.
//!
//! Four separate parts decide. [`cause`] classifies the failure. [`may_replay`](RetryState::may_replay)
//! decides about a resend. The budgets (attempts, replays, the time of a network that is down,
//! bytes) limit further attempts. [`backoff`] computes the delay.

use std::time::{Duration, Instant};

use crate::{
    api::{ApiError, ErrorClass},
    config::{ReplayPolicy, RetryPolicy, Transport, TransportPolicy},
    error::{self, ConnectError, Error, ProtocolError},
    kind::{Delivery, ErrorKind, Phase},
    proto::route::{self, BreakerTrip},
    report::FullSendReason,
};

/// Factor of the back-off for a server that reports overload. At 5, the default delays are 1, 2 and
/// 4 s instead of 200 to 800 ms.
const OVERLOAD_FACTOR: u32 = 5;
/// Shortest delay while the network is down, because those attempts are not counted.
const NETWORK_DOWN_MIN_DELAY: Duration = Duration::from_millis(100);

/// Retry state of one turn.
#[derive(Debug)]
pub(crate) struct RetryState {
    policy: RetryPolicy,
    transports: TransportPolicy,
    attempts: u32,
    replays: u32,
    /// Number of consecutive creates that were lost with their WebSocket before any event.
    creates_lost: u32,
    parent_recovered: bool,
    connection_renewed: bool,
    credential_renewed: bool,
    /// Beginning of the first attempt that found the network down, and the number of waits for it.
    down: Option<(Instant, u32)>,
    /// Bytes that were resent; `None` until the first attempt has sent its request.
    resent: Option<u64>,
}

/// Failed attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptFailure<'a> {
    pub(crate) error: &'a Error,
    pub(crate) transport: Transport,
    /// `true` if the connection was open before the attempt.
    pub(crate) reused: bool,
    /// `true` if the attempt named a parent that the session had chosen.
    pub(crate) incremental: bool,
    /// `true` if the connection was kept from an earlier request, and ended without a byte of an
    /// answer.
    pub(crate) stale: bool,
    /// `true` if no byte was received.
    pub(crate) silent: bool,
    /// `true` if a response has arrived over a WebSocket of this origin.
    pub(crate) answered: bool,
    /// `true` if this client has reached the server before.
    pub(crate) reached: bool,
    /// `true` if the response runs on without its connection and can be resumed.
    pub(crate) resumable: bool,
    /// `true` if new events of the response arrived.
    pub(crate) progressed: bool,
    /// `true` if another credential can be fetched.
    pub(crate) renewable: bool,
    /// `true` if the request named a lane.
    pub(crate) laned: bool,
    /// Time at which the attempt began.
    pub(crate) began: Instant,
    /// Time of the failure.
    pub(crate) at: Instant,
}

/// Decision after a failed attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RetryDecision {
    /// Return the error to the caller.
    Fail,
    /// Make another attempt.
    Retry(NextAttempt),
}

/// Parameters of the next attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NextAttempt {
    /// Delay before the attempt.
    pub(crate) delay: Duration,
    /// Use SSE, whatever the route says.
    pub(crate) over_sse: bool,
    /// Use another connection, even if this one is open.
    pub(crate) fresh: bool,
    /// Time for which the turn continues to try, if the network is down.
    pub(crate) trying_for: Option<Duration>,
    /// Observation to record about the origin.
    pub(crate) trip: Option<BreakerTrip>,
    /// Reason of a full request, if the previous attempt was incremental.
    pub(crate) reason: FullSendReason,
}

/// Class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureClass {
    /// A retry cannot help.
    Final,
    /// The response to continue is gone.
    LostParent,
    /// The connection reached its maximum age, died while it was idle, or accepts no further lane.
    StaleConnection,
    /// WebSocket is not supported. `certain` is `false` if the answer can have another meaning.
    NoWebSocket { certain: bool },
    /// A middlebox broke the WebSocket handshake.
    HandshakeBroken,
    /// The frame is too large for the server.
    FrameTooLarge,
    /// The server rejects the credential.
    Credential,
    /// The network is down: no server is reachable.
    NetworkDown,
    /// The upgrade succeeded, and the request had no answer. A middlebox may block frames.
    SilentSocket,
    /// The WebSocket was closed or lost before any event of the request. Another WebSocket may
    /// serve the request, unless `by_policy`.
    CreateLost { by_policy: bool },
    /// The connection failed; another one may succeed.
    Connection,
    /// The server asks for a later retry.
    Later { overloaded: bool },
}

/// Next attempt without delay, with all other defaults.
const IMMEDIATE: NextAttempt = NextAttempt {
    delay: Duration::ZERO,
    over_sse: false,
    fresh: false,
    trying_for: None,
    trip: None,
    reason: FullSendReason::ConnectionChanged,
};

impl RetryState {
    pub(crate) fn new(policy: RetryPolicy, transports: TransportPolicy) -> Self {
        Self {
            policy,
            transports,
            attempts: 1,
            replays: 0,
            creates_lost: 0,
            parent_recovered: false,
            connection_renewed: false,
            credential_renewed: false,
            down: None,
            resent: None,
        }
    }

    /// Decides about the attempt after `failed`. `chance` is uniform in 0..1.
    pub(crate) fn next(&mut self, failed: AttemptFailure<'_>, chance: f64) -> RetryDecision {
        let error = failed.error;
        let cause = match classify(failed) {
            FailureClass::NetworkDown => match self.policy.network_down_deadline {
                Some(deadline) => {
                    // A server that was never reached may have been misspelled.
                    let first = self.policy.unreached_deadline.filter(|_| !failed.reached);
                    let deadline = first.map_or(deadline, |first| first.min(deadline));
                    return self.wait_for_network(failed, deadline, chance);
                }
                None => FailureClass::Connection,
            },
            cause => cause,
        };
        // The network counts as up again, so a later outage has its full schedule.
        self.down = None;
        if failed.resumable {
            return self.resume(failed, cause, chance);
        }
        let websocket = failed.transport == Transport::WebSocket;
        // A policy of the caller is never overridden, not even by the last attempt.
        let may_use_sse = websocket && self.transports == TransportPolicy::Auto;
        // Two in a row show that WebSockets lose requests, even if responses arrived before.
        self.creates_lost = match cause {
            FailureClass::CreateLost { .. } => self.creates_lost + 1,
            _ => 0,
        };
        // These failures belong to the protocol or to the network path, and cost no attempt. Each
        // can happen once per turn.
        match cause {
            FailureClass::Final => return RetryDecision::Fail,
            FailureClass::LostParent if self.parent_recovered || !self.may_replay(error) => {
                return RetryDecision::Fail;
            }
            FailureClass::LostParent => {
                self.parent_recovered = true;
                self.count_replay(error);
                return RetryDecision::Retry(NextAttempt {
                    reason: FullSendReason::ParentNotFound,
                    ..IMMEDIATE
                });
            }
            FailureClass::StaleConnection if !self.connection_renewed && self.may_renew(failed) => {
                self.connection_renewed = true;
                if !failed.stale {
                    self.count_replay(error);
                }
                return RetryDecision::Retry(NextAttempt { fresh: true, ..IMMEDIATE });
            }
            FailureClass::Credential
                if failed.renewable && !self.credential_renewed && self.may_replay(error) =>
            {
                self.credential_renewed = true;
                self.count_replay(error);
                return RetryDecision::Retry(NextAttempt { fresh: true, ..IMMEDIATE });
            }
            FailureClass::Credential => return RetryDecision::Fail,
            FailureClass::FrameTooLarge if may_use_sse && self.may_replay(error) => {
                self.count_replay(error);
                return RetryDecision::Retry(NextAttempt { over_sse: true, ..IMMEDIATE });
            }
            // The same bytes would exceed the same limit.
            FailureClass::FrameTooLarge => return RetryDecision::Fail,
            // The server would close another WebSocket for the same reason.
            FailureClass::CreateLost { by_policy: true } if !may_use_sse => {
                return RetryDecision::Fail;
            }
            FailureClass::NoWebSocket { certain } => {
                return if may_use_sse {
                    let trip = Some(if certain {
                        BreakerTrip::Unsupported
                    } else {
                        BreakerTrip::Unconfirmed
                    });
                    RetryDecision::Retry(NextAttempt { over_sse: true, trip, ..IMMEDIATE })
                } else {
                    RetryDecision::Fail
                };
            }
            // The failed handshake is evidence enough, so SSE does not wait for the last attempt.
            FailureClass::HandshakeBroken if may_use_sse => {
                let trip = Some(BreakerTrip::Transient);
                return RetryDecision::Retry(NextAttempt { over_sse: true, trip, ..IMMEDIATE });
            }
            _ => {}
        }
        if !self.may_replay(error) || self.attempts >= self.policy.max_attempts {
            return RetryDecision::Fail;
        }
        let Some(delay) = self.delay(error, cause, chance) else { return RetryDecision::Fail };
        let last = self.attempts + 1 == self.policy.max_attempts;
        let again = match cause {
            // The timeout was delay enough.
            FailureClass::SilentSocket if may_use_sse => {
                NextAttempt { over_sse: true, trip: Some(BreakerTrip::Silent), ..IMMEDIATE }
            }
            FailureClass::CreateLost { by_policy } => {
                let another = failed.answered && self.creates_lost < 2 && !by_policy;
                if may_use_sse && !another {
                    NextAttempt {
                        delay,
                        over_sse: true,
                        trip: Some(BreakerTrip::Silent),
                        ..IMMEDIATE
                    }
                } else {
                    NextAttempt { delay, fresh: true, ..IMMEDIATE }
                }
            }
            // A busy server is as busy over SSE. A server whose WebSocket fails may not be.
            FailureClass::Connection if may_use_sse && last => {
                // An unreachable server is no evidence against WebSockets.
                let trip = (!is_unreachable(error)).then_some(BreakerTrip::Transient);
                NextAttempt { delay, over_sse: true, trip, ..IMMEDIATE }
            }
            FailureClass::Later { .. }
                if may_use_sse && last && error.phase() == Phase::Connect =>
            {
                NextAttempt { delay, over_sse: true, ..IMMEDIATE }
            }
            FailureClass::Later { .. } => {
                NextAttempt { delay, reason: FullSendReason::PriorNotCompleted, ..IMMEDIATE }
            }
            _ => NextAttempt { delay, fresh: true, ..IMMEDIATE },
        };
        self.attempts += 1;
        self.count_replay(error);
        RetryDecision::Retry(again)
    }

    /// Resumes a response. Nothing is resent, so that no replay policy applies.
    fn resume(
        &mut self,
        failed: AttemptFailure<'_>,
        cause: FailureClass,
        chance: f64,
    ) -> RetryDecision {
        // New events prove that resuming works, so the response gets all its attempts back.
        if failed.progressed {
            self.attempts = 1;
        }
        let renewed =
            cause == FailureClass::Credential && failed.renewable && !self.credential_renewed;
        self.credential_renewed |= renewed;
        if cause == FailureClass::StaleConnection && !self.connection_renewed {
            self.connection_renewed = true;
            return RetryDecision::Retry(NextAttempt { fresh: true, over_sse: true, ..IMMEDIATE });
        }
        let passes =
            matches!(cause, FailureClass::Connection | FailureClass::Later { .. }) || renewed;
        if !passes || self.attempts >= self.policy.max_attempts {
            return RetryDecision::Fail;
        }
        let Some(delay) = self.delay(failed.error, cause, chance) else {
            return RetryDecision::Fail;
        };
        self.attempts += 1;
        RetryDecision::Retry(NextAttempt { delay, over_sse: true, ..IMMEDIATE })
    }

    /// Returns the delay; `None` if the server asks for more than the policy allows.
    fn delay(&self, error: &Error, cause: FailureClass, chance: f64) -> Option<Duration> {
        let longer =
            if cause == (FailureClass::Later { overloaded: true }) { OVERLOAD_FACTOR } else { 1 };
        let wait = |step, base| backoff(base, step, self.policy.max_backoff, chance);
        match error.retry_after() {
            Some(asked) if asked > self.policy.max_retry_after => None,
            // Without a minimum, zero or a time in the past would make all attempts follow
            // immediately.
            Some(asked) => Some(asked.max(wait(0, self.policy.backoff))),
            None => Some(wait(self.attempts - 1, self.policy.backoff.saturating_mul(longer))),
        }
    }

    /// Counts a replay if the request may still run, whatever the reason of the resend.
    fn count_replay(&mut self, error: &Error) {
        if error.delivery() >= Delivery::Unknown && !has_ended(error) {
            self.replays += 1;
        }
    }

    /// Returns `true` if a request that reached this point may be resent.
    fn may_replay(&self, error: &Error) -> bool {
        let replay = match (error.delivery(), self.policy.replay) {
            (Delivery::NotSent | Delivery::Refused, _) => return true,
            (_, ReplayPolicy::Never) => false,
            (Delivery::Unknown, _) => true,
            (Delivery::Accepted, ReplayPolicy::BeforeOutput | ReplayPolicy::Restart) => true,
            (Delivery::OutputStarted, ReplayPolicy::Restart) => true,
            (Delivery::Accepted, _) => has_ended(error),
            (Delivery::OutputStarted, _) => false,
        };
        // A request that has ended cannot run twice at a time, so `replays` does not limit it.
        replay && (self.replays < self.policy.max_replays || has_ended(error))
    }

    /// Returns `true` if a request may be resent because its connection was stale. A server that
    /// closes a connection between two requests has not read the second one, except for a race that
    /// it cannot rule out. So the resend is free, but not where nothing may be sent twice.
    fn may_renew(&self, failed: AttemptFailure<'_>) -> bool {
        let replays = self.policy.replay != ReplayPolicy::Never;
        self.may_replay(failed.error) || failed.stale && replays
    }

    /// Returns `true` if the WebSockets of the origin lose requests, even if responses arrived over
    /// them before.
    pub(crate) fn loses_creates(&self) -> bool {
        self.creates_lost > 1
    }

    /// Returns a wait for the network, by a schedule of its own that ends with an attempt at
    /// `deadline`.
    fn wait_for_network(
        &mut self,
        failed: AttemptFailure<'_>,
        deadline: Duration,
        chance: f64,
    ) -> RetryDecision {
        // An attempt without any answer takes all the time for connecting.
        let (since, waits) = self.down.unwrap_or((failed.began, 0));
        let left = deadline.saturating_sub(failed.at.saturating_duration_since(since));
        if left.is_zero() {
            return RetryDecision::Fail;
        }
        self.down = Some((since, waits.saturating_add(1)));
        let RetryPolicy { network_down_backoff, network_down_max_backoff, .. } = self.policy;
        let base = network_down_backoff.max(NETWORK_DOWN_MIN_DELAY);
        let wait = backoff(base, waits, network_down_max_backoff.max(base), chance);
        RetryDecision::Retry(NextAttempt {
            delay: wait.min(left),
            trying_for: Some(left),
            fresh: true,
            ..IMMEDIATE
        })
    }

    /// Records that an attempt sent `bytes` of its request.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.resent = Some(self.resent.map_or(0, |resent| resent.saturating_add(bytes)));
    }

    /// Returns `true` if `bytes` may be sent within the limit on resent bytes.
    pub(crate) fn may_resend(&self, bytes: u64) -> bool {
        self.resent
            .is_none_or(|resent| resent.saturating_add(bytes) <= self.policy.max_resend_bytes)
    }
}

/// Returns the delay after `doublings` earlier ones, shortened at random by up to a quarter.
fn backoff(base: Duration, doublings: u32, longest: Duration, chance: f64) -> Duration {
    let full = base.saturating_mul(1 << doublings.min(20)).min(longest);
    let share = 0.75 + 0.25 * chance.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(full.as_secs_f64() * share).unwrap_or(full)
}

/// Returns `true` if a WebSocket accepts no further request after the server ended a turn with
/// `error`. `kept` is `true` if the provider keeps it open after errors.
pub(crate) fn retires_socket(error: &Error, kept: bool) -> bool {
    error.kind() == ErrorKind::Api
        && (!kept
            || error.status() == Some(401)
            || matches!(class(error), ErrorClass::Credential | ErrorClass::SocketAge))
}

/// Returns `true` if the answer was an unfinished response instead of a stream of its events.
pub(crate) fn is_unfinished(error: &Error) -> bool {
    matches!(error.cause(), error::Cause::Protocol(ProtocolError::Unfinished))
}

/// Returns `true` if the server reports, for a request without output, that no execution continues.
fn has_ended(error: &Error) -> bool {
    error.delivery() <= Delivery::Accepted
        && error.kind() == ErrorKind::Api
        && error.api_error().is_some_and(ApiError::has_ended)
}

/// Returns `true` if the host could not be reached over either transport.
fn is_unreachable(error: &Error) -> bool {
    error.kind() == ErrorKind::Connect
        || error.connect_error().is_some_and(ConnectError::is_unanswered)
}

fn class(error: &Error) -> ErrorClass {
    error.api_error().map_or(ErrorClass::Unknown, ApiError::class)
}

fn classify(failed: AttemptFailure<'_>) -> FailureClass {
    let error = failed.error;
    let websocket = failed.transport == Transport::WebSocket;
    let connecting = error.phase() == Phase::Connect;
    match error.kind() {
        ErrorKind::Api => match class(error) {
            // A new WebSocket begins with the default lane, which every server has.
            _ if failed.laned && error.api_error().is_some_and(ApiError::is_lane_refused) => {
                FailureClass::StaleConnection
            }
            ErrorClass::LostParent if failed.incremental => FailureClass::LostParent,
            ErrorClass::SocketAge => FailureClass::StaleConnection,
            ErrorClass::Credential => FailureClass::Credential,
            ErrorClass::Transient => FailureClass::Later { overloaded: false },
            ErrorClass::Overload => FailureClass::Later { overloaded: true },
            ErrorClass::LostParent
            | ErrorClass::RetryForbidden
            | ErrorClass::Quota
            | ErrorClass::Permission
            | ErrorClass::WrongEndpoint
            | ErrorClass::Request
            | ErrorClass::Unknown => FailureClass::Final,
        },
        ErrorKind::UpgradeRefused => {
            let certain = error.status().is_some_and(route::decides);
            FailureClass::NoWebSocket { certain }
        }
        ErrorKind::Closed | ErrorKind::Truncated => {
            let nothing_came = error.delivery() <= Delivery::Unknown;
            match error.close_frame().map(|frame| frame.code) {
                _ if websocket && connecting => FailureClass::HandshakeBroken,
                // No byte of an answer arrived over the kept connection, so a new one may work.
                _ if failed.stale => FailureClass::StaleConnection,
                _ if failed.reused && error.delivery() == Delivery::NotSent => {
                    FailureClass::StaleConnection
                }
                Some(1009) => FailureClass::FrameTooLarge,
                Some(1008 | 4000..) if nothing_came => FailureClass::CreateLost { by_policy: true },
                // The server ended the response deliberately.
                Some(1000 | 1008 | 4000..) if !nothing_came => FailureClass::Final,
                _ if websocket && nothing_came => FailureClass::CreateLost { by_policy: false },
                _ => FailureClass::Connection,
            }
        }
        // The caller's own credentials were not obtained in time.
        ErrorKind::Timeout if error.phase() == Phase::Prepare => FailureClass::Final,
        // Neither transport gets that far.
        ErrorKind::Timeout if is_unreachable(error) => FailureClass::NetworkDown,
        ErrorKind::Timeout if connecting && websocket => FailureClass::HandshakeBroken,
        // SSE needs no tunnel, so the proxy may let it through.
        _ if websocket && error.is_tunnel_avoidable() => {
            FailureClass::NoWebSocket { certain: false }
        }
        // The peer may accept the next connection; a certificate or a setting stays wrong.
        ErrorKind::Tls | ErrorKind::Proxy
            if error.connect_error().is_some_and(ConnectError::may_pass) =>
        {
            FailureClass::Connection
        }
        ErrorKind::Timeout
            if websocket
                && failed.silent
                && !failed.answered
                && error.phase() == Phase::FirstEvent =>
        {
            FailureClass::SilentSocket
        }
        ErrorKind::Timeout => FailureClass::Connection,
        ErrorKind::Connect => FailureClass::NetworkDown,
        ErrorKind::Protocol if connecting && websocket => match error.cause() {
            error::Cause::Protocol(ProtocolError::Handshake(_)) => FailureClass::HandshakeBroken,
            _ => FailureClass::Final,
        },
        // The response runs on, and its events can be requested.
        ErrorKind::Protocol if failed.resumable && is_unfinished(error) => FailureClass::Connection,
        ErrorKind::InvalidRequest
        | ErrorKind::InvalidConfig
        | ErrorKind::Auth
        | ErrorKind::Tls
        | ErrorKind::Proxy
        | ErrorKind::ProxyAuthentication
        | ErrorKind::Protocol
        | ErrorKind::TooLarge
        | ErrorKind::FellBehind
        | ErrorKind::PoolFull
        | ErrorKind::Superseded
        | ErrorKind::SessionClosed
        | ErrorKind::Stopped
        | ErrorKind::NoRuntime
        | ErrorKind::Decode => FailureClass::Final,
    }
}

#[cfg(test)]
mod tests;
