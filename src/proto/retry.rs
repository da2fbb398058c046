//! Whether, when and how a failed attempt is followed by another.
//!
//! Four parts, each by itself: [`cause`] says what kind of failure it was, [`permitted`] whether
//! the request may be sent again at all, the budgets (attempts, replays, the time of a network that
//! is down, bytes) whether another attempt is left, and [`backoff`] when.

use std::time::{Duration, Instant};

use crate::{
    api::{ApiError, ErrorClass},
    config::{ReplayPolicy, RetryPolicy, Transport, TransportPolicy},
    error::{self, Error, ProtocolError},
    kind::{Delivery, ErrorKind, Phase},
    proto::fallback::{self, Mark},
    report::FullReason,
};

/// How much longer a server is left alone that says it is overloaded. At 5, the default waits are
/// 1, 2 and 4 s instead of 200 to 800 ms.
const OVERLOADED: u32 = 5;
/// The shortest wait while the network is down: those attempts are not counted.
const NETWORK_DOWN_LEAST: Duration = Duration::from_millis(100);

/// The attempts of one turn.
#[derive(Debug)]
pub(crate) struct Ladder {
    policy: RetryPolicy,
    transports: TransportPolicy,
    attempts: u32,
    replays: u32,
    /// Number of creates in a row that were lost with their WebSocket before any event.
    creates_lost: u32,
    parent_recovered: bool,
    connection_renewed: bool,
    credential_renewed: bool,
    /// Since when the network is down, and how often it was waited for.
    down: Option<(Instant, u32)>,
    /// The bytes that were sent again; `None` while nothing was sent at all.
    resent: Option<u64>,
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
    /// The connection was kept from an earlier request, and ended without a byte of an answer.
    pub(crate) stale: bool,
    /// Nothing at all came back.
    pub(crate) silent: bool,
    /// A response has come over a WebSocket of this origin.
    pub(crate) answered: bool,
    /// The response runs on without its connection, and can be gone on with.
    pub(crate) resumable: bool,
    /// Events of it came that had not come before.
    pub(crate) progressed: bool,
    /// Another credential can be fetched.
    pub(crate) renewable: bool,
    /// When it failed.
    pub(crate) at: Instant,
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
    /// On another connection, even if this one is open.
    pub(crate) fresh: bool,
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
    /// The connection has served its time, or had died while it was idle.
    StaleConnection,
    /// WebSocket is not served here; `certain` unless the answer can mean other things too.
    NoWebSocket { certain: bool },
    /// Something on the way is in a WebSocket's way.
    HandshakeBroken,
    /// The frame is too large for the server.
    FrameTooLarge,
    /// The server does not take the credential.
    Credential,
    /// The server is out of reach, and so would every other be.
    NetworkDown,
    /// The upgrade went well, and what was sent then had no answer: something on the way may let
    /// no frames through.
    SilentSocket,
    /// The WebSocket was closed or lost before any event came for the request. Unless
    /// `by_policy`, another one may serve it.
    CreateLost { by_policy: bool },
    /// The connection failed; another one may not.
    Connection,
    /// The server wants to be asked later.
    Later { overloaded: bool },
}

/// The least that another attempt takes.
const AT_ONCE: Again = Again {
    delay: Duration::ZERO,
    over_sse: false,
    fresh: false,
    mark: None,
    reason: FullReason::ConnectionChanged,
};

impl Ladder {
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

    /// Decides what follows `failed`. `chance` is uniform in 0..1.
    pub(crate) fn next(&mut self, failed: Failed<'_>, chance: f64) -> Action {
        let error = failed.error;
        let cause = match cause(failed) {
            Cause::NetworkDown => match self.policy.network_down_deadline {
                Some(deadline) => return self.wait_for_network(failed.at, deadline, chance),
                None => Cause::Connection,
            },
            cause => cause,
        };
        self.down = None;
        if failed.resumable {
            return self.resume(failed, cause, chance);
        }
        let websocket = failed.transport == Transport::WebSocket;
        let may_use_sse =
            websocket && (self.transports == TransportPolicy::Auto || defect!(PolicyOverridden));
        self.creates_lost = match cause {
            Cause::CreateLost { .. } => self.creates_lost + 1,
            _ => 0,
        };
        // These lie in the nature of the protocol or of the way, and cost no attempt: each can
        // happen once a turn.
        match cause {
            Cause::Final => return Action::GiveUp,
            Cause::LostParent if self.parent_recovered || !self.permitted(error) => {
                return Action::GiveUp;
            }
            Cause::LostParent => {
                self.parent_recovered = true;
                self.count_replay(error);
                return Action::Again(Again { reason: FullReason::ParentNotFound, ..AT_ONCE });
            }
            Cause::StaleConnection if !self.connection_renewed && self.may_renew(failed) => {
                self.connection_renewed = true;
                if !failed.stale {
                    self.count_replay(error);
                }
                return Action::Again(Again { fresh: true, ..AT_ONCE });
            }
            Cause::Credential
                if failed.renewable && !self.credential_renewed && self.permitted(error) =>
            {
                self.credential_renewed = true;
                self.count_replay(error);
                return Action::Again(Again { fresh: true, ..AT_ONCE });
            }
            Cause::Credential => return Action::GiveUp,
            Cause::FrameTooLarge if may_use_sse && self.permitted(error) => {
                self.count_replay(error);
                return Action::Again(Again { over_sse: true, ..AT_ONCE });
            }
            // The same bytes would meet the same limit.
            Cause::FrameTooLarge => return Action::GiveUp,
            // Another WebSocket would be closed for the same reason.
            Cause::CreateLost { by_policy: true } if !may_use_sse => return Action::GiveUp,
            Cause::NoWebSocket { certain } => {
                return if may_use_sse {
                    let mark = Some(if certain { Mark::Unsupported } else { Mark::Ambiguous });
                    Action::Again(Again { over_sse: true, mark, ..AT_ONCE })
                } else {
                    Action::GiveUp
                };
            }
            Cause::HandshakeBroken if may_use_sse => {
                let mark = Some(Mark::Transient);
                return Action::Again(Again { over_sse: true, mark, ..AT_ONCE });
            }
            _ => {}
        }
        let spent = self.attempts >= self.policy.attempts && !defect!(AttemptsWithoutEnd);
        if !self.permitted(error) || spent {
            return Action::GiveUp;
        }
        let Some(delay) = self.delay(error, cause, chance) else { return Action::GiveUp };
        let last = self.attempts + 1 == self.policy.attempts;
        let again = match cause {
            // It has been waited for long enough.
            Cause::SilentSocket if may_use_sse => {
                Again { over_sse: true, mark: Some(Mark::Silent), ..AT_ONCE }
            }
            Cause::CreateLost { by_policy } => {
                let another = failed.answered && self.creates_lost < 2 && !by_policy;
                if may_use_sse && !another {
                    Again { delay, over_sse: true, mark: Some(Mark::Silent), ..AT_ONCE }
                } else {
                    Again { delay, fresh: true, ..AT_ONCE }
                }
            }
            // A server that is busy is as busy over SSE; one whose socket breaks may not be.
            Cause::Connection if may_use_sse && last => {
                // A server that nobody reaches breaks no WebSockets.
                let mark = (error.kind() != ErrorKind::Connect).then_some(Mark::Transient);
                Again { delay, over_sse: true, mark, ..AT_ONCE }
            }
            Cause::Later { .. } if may_use_sse && last && error.phase() == Phase::Connect => {
                Again { delay, over_sse: true, ..AT_ONCE }
            }
            Cause::Later { .. } => {
                Again { delay, reason: FullReason::PriorNotCompleted, ..AT_ONCE }
            }
            _ => Again { delay, fresh: true, ..AT_ONCE },
        };
        self.attempts += 1;
        self.count_replay(error);
        Action::Again(again)
    }

    /// Goes on with a response: nothing is sent again, so that no policy forbids it.
    fn resume(&mut self, failed: Failed<'_>, cause: Cause, chance: f64) -> Action {
        if failed.progressed {
            self.attempts = 1;
        }
        let renewed = cause == Cause::Credential && failed.renewable && !self.credential_renewed;
        self.credential_renewed |= renewed;
        if cause == Cause::StaleConnection && !self.connection_renewed {
            self.connection_renewed = true;
            return Action::Again(Again { fresh: true, over_sse: true, ..AT_ONCE });
        }
        let passes = matches!(cause, Cause::Connection | Cause::Later { .. }) || renewed;
        if !passes || self.attempts >= self.policy.attempts {
            return Action::GiveUp;
        }
        let Some(delay) = self.delay(failed.error, cause, chance) else { return Action::GiveUp };
        self.attempts += 1;
        Action::Again(Again { delay, over_sse: true, ..AT_ONCE })
    }

    /// How long to wait; `None` where the server wants more than the policy allows.
    fn delay(&self, error: &Error, cause: Cause, chance: f64) -> Option<Duration> {
        let longer = if cause == (Cause::Later { overloaded: true }) { OVERLOADED } else { 1 };
        let wait = |step, base| backoff(base, step, self.policy.backoff_max, chance);
        match error.retry_after() {
            Some(asked) if asked > self.policy.retry_after_max => None,
            // Zero, and a moment that has passed, would have all attempts follow at once.
            Some(asked) if !defect!(RetryAfterIgnored) => {
                Some(asked.max(wait(0, self.policy.backoff)))
            }
            _ => Some(wait(self.attempts - 1, self.policy.backoff.saturating_mul(longer))),
        }
    }

    /// Counts a replay if the request may still run, whatever the reason to send it again.
    fn count_replay(&mut self, error: &Error) {
        if error.delivery() >= Delivery::Unknown && !has_ended(error) {
            self.replays += 1;
        }
    }

    /// Whether a request that got so far may be sent again.
    fn permitted(&self, error: &Error) -> bool {
        let replay = match (error.delivery(), self.policy.replay) {
            (Delivery::NotSent | Delivery::Refused, _) => return true,
            (_, ReplayPolicy::Never) => defect!(ReplaysUnderNever),
            (Delivery::Unknown, _) => true,
            (Delivery::Accepted, ReplayPolicy::BeforeOutput | ReplayPolicy::Restart) => true,
            (Delivery::OutputStarted, ReplayPolicy::Restart) => true,
            (Delivery::Accepted, _) => has_ended(error) || defect!(ReplaysAccepted),
            (Delivery::OutputStarted, _) => defect!(ReplaysAccepted),
        };
        let left = self.replays < self.policy.replays || defect!(ReplaysWithoutEnd);
        replay && (left || has_ended(error))
    }

    /// Returns `true` if a request may be sent again because its connection was stale. A server that closes a
    /// connection between two requests has not read the second one, but for a race that it cannot
    /// rule out: so it is free, but not where nothing may be sent twice.
    fn may_renew(&self, failed: Failed<'_>) -> bool {
        let replays = self.policy.replay != ReplayPolicy::Never;
        self.permitted(failed.error) || failed.stale && replays
    }

    /// Returns `true` if the WebSockets of the origin lose what is sent on them, whatever came over
    /// them before.
    pub(crate) fn loses_creates(&self) -> bool {
        self.creates_lost > 1
    }

    /// Waits for the network by a schedule of its own, which ends with an attempt at `deadline`.
    fn wait_for_network(&mut self, now: Instant, deadline: Duration, chance: f64) -> Action {
        let (since, waits) = self.down.unwrap_or((now, 0));
        let left = deadline.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            return Action::GiveUp;
        }
        self.down = Some((since, waits.saturating_add(1)));
        let RetryPolicy { network_down_backoff, network_down_backoff_max, .. } = self.policy;
        let base = network_down_backoff.max(NETWORK_DOWN_LEAST);
        let wait = backoff(base, waits, network_down_backoff_max.max(base), chance);
        Action::Again(Again { delay: wait.min(left), fresh: true, ..AT_ONCE })
    }

    /// Takes note that an attempt put `bytes` of its request on the wire.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.resent = Some(self.resent.map_or(0, |resent| resent.saturating_add(bytes)));
    }

    /// Whether `bytes` may be sent, if they are sent again.
    pub(crate) fn may_resend(&self, bytes: u64) -> bool {
        self.resent.is_none_or(|resent| resent.saturating_add(bytes) <= self.policy.resend_bytes)
    }
}

/// The wait after `doublings` others, shortened by up to a quarter.
fn backoff(base: Duration, doublings: u32, longest: Duration, chance: f64) -> Duration {
    let full = base.saturating_mul(1 << doublings.min(20)).min(longest);
    let share = 0.75 + 0.25 * chance.clamp(0.0, 1.0);
    Duration::try_from_secs_f64(full.as_secs_f64() * share).unwrap_or(full)
}

/// Whether a WebSocket takes no further request after the server ended a turn with `error`.
/// `kept` is what the provider does with one in general.
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

/// Returns `true` if the server says of a request without output that nothing runs any more.
fn has_ended(error: &Error) -> bool {
    error.delivery() <= Delivery::Accepted
        && error.kind() == ErrorKind::Api
        && error.api_error().is_some_and(ApiError::has_ended)
}

fn class(error: &Error) -> ErrorClass {
    error.api_error().map_or(ErrorClass::Unknown, ApiError::class)
}

fn cause(failed: Failed<'_>) -> Cause {
    let error = failed.error;
    let websocket = failed.transport == Transport::WebSocket;
    let connecting = error.phase() == Phase::Connect;
    match error.kind() {
        ErrorKind::Api => match class(error) {
            ErrorClass::LostParent if failed.incremental => Cause::LostParent,
            ErrorClass::SocketAge => Cause::StaleConnection,
            ErrorClass::Credential => Cause::Credential,
            ErrorClass::Transient => Cause::Later { overloaded: false },
            ErrorClass::Overload => Cause::Later { overloaded: true },
            ErrorClass::LostParent
            | ErrorClass::RetryForbidden
            | ErrorClass::Quota
            | ErrorClass::Permission
            | ErrorClass::WrongEndpoint
            | ErrorClass::Request
            | ErrorClass::Unknown => Cause::Final,
        },
        ErrorKind::UpgradeRefused => {
            let certain = error.status().is_some_and(fallback::decides);
            Cause::NoWebSocket { certain }
        }
        ErrorKind::Closed | ErrorKind::Truncated => {
            let nothing_came = error.delivery() <= Delivery::Unknown;
            match error.close_frame().map(|frame| frame.code) {
                _ if websocket && connecting => Cause::HandshakeBroken,
                _ if failed.stale => Cause::StaleConnection,
                _ if failed.reused && error.delivery() == Delivery::NotSent => {
                    Cause::StaleConnection
                }
                Some(1009) => Cause::FrameTooLarge,
                Some(1008 | 4000..) if nothing_came => Cause::CreateLost { by_policy: true },
                // The server meant to end it.
                Some(1000 | 1008 | 4000..) if !nothing_came => Cause::Final,
                _ if websocket && nothing_came => Cause::CreateLost { by_policy: false },
                _ => Cause::Connection,
            }
        }
        // The caller's own credentials were not had in time.
        ErrorKind::Timeout if error.phase() == Phase::Prepare => Cause::Final,
        ErrorKind::Timeout | ErrorKind::Tls if connecting && websocket => Cause::HandshakeBroken,
        ErrorKind::Timeout
            if websocket
                && failed.silent
                && !failed.answered
                && error.phase() == Phase::FirstEvent =>
        {
            Cause::SilentSocket
        }
        ErrorKind::Timeout => Cause::Connection,
        ErrorKind::Connect => Cause::NetworkDown,
        ErrorKind::Protocol if connecting && websocket => match error.cause() {
            error::Cause::Protocol(ProtocolError::Handshake(_)) => Cause::HandshakeBroken,
            _ => Cause::Final,
        },
        // The response runs on, and its events can be requested.
        ErrorKind::Protocol if failed.resumable && is_unfinished(error) => Cause::Connection,
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
        | ErrorKind::NoRuntime
        | ErrorKind::Decode => Cause::Final,
    }
}

#[cfg(test)]
mod tests;
