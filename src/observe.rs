//! Notices about running turns, for logs and metrics: [`TurnObserver`].

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tracing::Span;

pub use counters::ClientMetrics;
pub(crate) use counters::{Counters, LaneWait, OpenWebSocket, Retirement};

use crate::{
    config::Transport,
    error::Error,
    event::ResponseEvent,
    format::milliseconds,
    kind::ErrorKind,
    report::{Plan, TurnReport},
};

mod counters;

/// Observer of the turns of a client, set with
/// [`ResponsesClientBuilder::observer`](crate::ResponsesClientBuilder::observer), or of the turns of
/// one session, set with [`ResponsesSession::set_observer`](crate::ResponsesSession::set_observer).
///
/// An observer is the only way to see progress before the first event.
/// [`ResponsesSession::stream`](crate::ResponsesSession::stream) resolves at that event, so that its
/// caller learns nothing of the attempts before it. With default settings, one attempt over a
/// WebSocket waits 60 s for its first event, one over SSE 10 min, and a network that is down is
/// waited for up to 60 s. [`attempt_failed`](Self::attempt_failed) is called immediately after each
/// failure, before the delay to the next attempt.
///
/// Each method does nothing by default. The methods are called in the order of the notices while a
/// turn is polled, and must not block. No payload and no credential is passed. A [`TurnReport`] and
/// an [`Error`] contain the same data that the caller of the turn receives.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use responses_client::{AttemptFailed, TurnObserver};
///
/// #[derive(Default)]
/// struct Retries(AtomicU64);
///
/// impl TurnObserver for Retries {
///     fn attempt_failed(&self, _: &AttemptFailed) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait TurnObserver: Send + Sync + 'static {
    /// Called before a request of `bytes` bytes is sent according to `plan`.
    fn planned(&self, plan: &Plan, transport: Transport, bytes: u64) {
        _ = (plan, transport, bytes);
    }

    /// Called when an attempt has failed and another attempt follows.
    fn attempt_failed(&self, failed: &AttemptFailed) {
        _ = failed;
    }

    /// Called when the rest of the turn goes over SSE instead of a WebSocket.
    fn fell_back(&self) {}

    /// Called when the turn has ended: successfully, or with `error`. The report contains the
    /// [`warnings`](TurnReport#structfield.warnings) of the turn. Not called if the stream is
    /// dropped before the end of the turn.
    fn done(&self, report: &TurnReport, error: Option<&Error>) {
        _ = (report, error);
    }
}

/// A closure is called with the report of each turn that has ended, like
/// [`done`](TurnObserver::done).
///
/// ```
/// use responses_client::{ResponsesClient, TurnReport};
///
/// let client = ResponsesClient::builder()
///     .api_key("a key")
///     .observer(|report: &TurnReport| println!("{} bytes sent", report.bytes_sent))
///     .build()?;
/// # drop(client);
/// # Ok::<(), responses_client::Error>(())
/// ```
impl<F: Fn(&TurnReport) + Send + Sync + 'static> TurnObserver for F {
    fn done(&self, report: &TurnReport, _: Option<&Error>) {
        self(report);
    }
}

impl<T: TurnObserver + ?Sized> TurnObserver for Arc<T> {
    fn planned(&self, plan: &Plan, transport: Transport, bytes: u64) {
        (**self).planned(plan, transport, bytes);
    }

    fn attempt_failed(&self, failed: &AttemptFailed) {
        (**self).attempt_failed(failed);
    }

    fn fell_back(&self) {
        (**self).fell_back();
    }

    fn done(&self, report: &TurnReport, error: Option<&Error>) {
        (**self).done(report, error);
    }
}

/// A failed attempt that is followed by another attempt. The times serialize as `delay_ms` and
/// `trying_for_ms`, in milliseconds.
///
/// ```
/// use responses_client::{AttemptFailed, TurnObserver};
///
/// struct Log;
///
/// impl TurnObserver for Log {
///     fn attempt_failed(&self, failed: &AttemptFailed) {
///         eprintln!("{}; next attempt in {:.1?}", failed.message, failed.delay);
///     }
/// }
/// # let _ = Log;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AttemptFailed {
    /// Transport of the failed attempt.
    pub transport: Transport,
    /// Kind of the attempt's error.
    pub kind: ErrorKind,
    /// Text of the error, as [`Error`] displays it.
    pub message: String,
    /// Text of the error without advice, as [`Error::summary`] returns it.
    pub summary: String,
    /// Time until the next attempt.
    #[serde(rename = "delay_ms", serialize_with = "milliseconds")]
    pub delay: Duration,
    /// Time for which the turn continues to try from now on, if the server cannot be reached. `None`
    /// for other failures.
    #[serde(rename = "trying_for_ms", serialize_with = "milliseconds")]
    pub trying_for: Option<Duration>,
}

/// Passes notices about turns to the log, to the counters and to the observer.
#[derive(Clone)]
pub(crate) struct Notifier {
    observer: Option<Arc<dyn TurnObserver>>,
    counters: Arc<Counters>,
    /// Scheme, host and port of the server.
    origin: Arc<str>,
}

impl Notifier {
    pub(crate) fn new(observer: Option<Arc<dyn TurnObserver>>, origin: String) -> Self {
        Self { observer, counters: Arc::default(), origin: origin.into() }
    }

    /// Returns the notifier of a session, whose own observer replaces that of the client.
    pub(crate) fn of_session(&self, observer: Option<Arc<dyn TurnObserver>>) -> Self {
        let observer = observer.or_else(|| self.observer.clone());
        Self { observer, ..self.clone() }
    }

    /// Returns the counters of the client.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Returns the span of a session.
    pub(crate) fn session() -> Span {
        tracing::debug_span!(target: TARGET, "session")
    }

    /// Returns the span of a turn in a session.
    pub(crate) fn turn(&self, session: &Span) -> Span {
        tracing::debug_span!(target: TARGET, parent: session, "turn", origin = &*self.origin)
    }

    /// Returns the span of an attempt of a turn. The first attempt has the number 1.
    pub(crate) fn attempt(turn: &Span, number: usize, transport: Transport) -> Span {
        // Signed, like the bytes below: OpenTelemetry has no unsigned integers.
        let number = number as i64;
        tracing::debug_span!(target: TARGET, parent: turn, "attempt", number, %transport)
    }

    pub(crate) fn websocket_opened(&self) {
        tracing::debug!(target: TARGET, origin = &*self.origin, "WebSocket open");
    }

    /// `reused` is `true` if the connection was already open.
    pub(crate) fn planned(&self, plan: &Plan, transport: Transport, reused: bool, bytes: u64) {
        self.counters.planned(plan, transport, reused);
        tracing::debug!(target: TARGET, %transport, ?plan, bytes = bytes as i64, "sending");
        self.notify(|observer| observer.planned(plan, transport, bytes));
    }

    pub(crate) fn attempt_failed(&self, failed: &AttemptFailed) {
        let AttemptFailed { transport, kind, delay, .. } = failed;
        self.counters.attempt_failed(*kind);
        tracing::debug!(target: TARGET, %transport, ?kind, ?delay, "attempt failed");
        if let Some(time) = failed.trying_for {
            // The summary names the server and the proxy, without a payload or a credential.
            tracing::warn!(target: TARGET, "{}; trying for {time:.0?}", failed.summary);
        }
        self.notify(|observer| observer.attempt_failed(failed));
    }

    pub(crate) fn fell_back(&self) {
        self.counters.fell_back();
        tracing::info!(target: TARGET, origin = &*self.origin, "falling back to SSE");
        self.notify(|observer| observer.fell_back());
    }

    pub(crate) fn too_large_for_frame(&self) {
        self.counters.fell_back();
        tracing::info!(target: TARGET, origin = &*self.origin, "frame too large: falling back to SSE");
        self.notify(|observer| observer.fell_back());
    }

    pub(crate) fn prewarm_failed(&self, kind: ErrorKind) {
        tracing::debug!(target: TARGET, ?kind, "prewarming failed");
    }

    pub(crate) fn done(&self, report: &TurnReport, end: Result<&ResponseEvent, &Error>) {
        self.counters.done(report, end);
        for warning in &report.warnings {
            tracing::warn!(target: TARGET, origin = &*self.origin, %warning, "turn with a warning");
        }
        let error = end.err();
        tracing::debug!(target: TARGET, error = ?error.map(Error::kind), "turn ended");
        self.notify(|observer| observer.done(report, error));
    }

    /// Counts a turn that was dropped before its end.
    pub(crate) fn dropped(&self, report: &TurnReport) {
        self.counters.dropped(report);
    }

    fn notify(&self, call: impl FnOnce(&dyn TurnObserver)) {
        if let Some(observer) = &self.observer {
            call(&**observer);
        }
    }
}

/// Target of the log lines and spans.
const TARGET: &str = "responses_client";
