//! Counts of the connections that carry HTTP requests.

use std::sync::Arc;

/// Counts the HTTP connections of a client.
pub(crate) trait ConnectionCounts: Send + Sync {
    /// Counts a connection that was opened.
    fn opened(&self);

    /// Counts a request that was sent over a kept connection.
    fn reused(&self);

    /// Counts a connection that is no longer in use.
    fn retired(&self, reason: HttpRetirement);
}

/// Extension of a request whose connection is counted. A connection counts at the request that
/// opened it.
#[derive(Clone)]
pub(crate) struct CountedBy(pub(crate) Arc<dyn ConnectionCounts>);

/// Reason why an HTTP connection is no longer in use. See
/// [`ClientMetrics::http_connections_retired`](crate::ClientMetrics::http_connections_retired).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpRetirement {
    IdleClosed,
    MaxIdle,
    Evicted,
    Error,
    Unfinished,
    Renewed,
    ClientDropped,
}

impl HttpRetirement {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::IdleClosed => "idle_closed",
            Self::MaxIdle => "max_idle",
            Self::Evicted => "evicted",
            Self::Error => "error",
            Self::Unfinished => "unfinished",
            Self::Renewed => "renewed",
            Self::ClientDropped => "client_dropped",
        }
    }
}

/// Entry of an open connection in the counts. Dropping the entry counts the retirement.
pub(super) struct OpenHttp {
    by: Option<CountedBy>,
    reason: HttpRetirement,
}

impl OpenHttp {
    /// Counts a connection that was opened for a request. Without `by`, nothing is counted.
    pub(super) fn new(by: Option<CountedBy>) -> Self {
        if let Some(CountedBy(counts)) = &by {
            counts.opened();
        }
        Self { by, reason: HttpRetirement::Unfinished }
    }

    /// Sets the reason of the retirement, if the connection is dropped from now on.
    pub(super) fn set_reason(&mut self, reason: HttpRetirement) {
        self.reason = reason;
    }
}

impl Drop for OpenHttp {
    fn drop(&mut self) {
        if let Some(CountedBy(counts)) = &self.by {
            counts.retired(self.reason);
        }
    }
}

/// Request over a kept connection. Counts the reuse when it is dropped, so that a request whose
/// answer is not awaited counts too.
pub(super) struct Reuse(Option<CountedBy>);

impl Reuse {
    pub(super) fn new(by: Option<CountedBy>) -> Self {
        Self(by)
    }

    /// Counts nothing, because the connection did not take the request.
    pub(super) fn discard(mut self) {
        self.0 = None;
    }
}

impl Drop for Reuse {
    fn drop(&mut self) {
        if let Some(CountedBy(counts)) = &self.0 {
            counts.reused();
        }
    }
}
