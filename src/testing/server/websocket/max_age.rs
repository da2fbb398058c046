//! Ends a WebSocket at its maximum age, or after too long an idle time.

use std::{future, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::Instant;

use crate::testing::script::quirks::{Quirks, SocketEnd};

/// Timers of a WebSocket with a maximum age and a maximum idle time.
pub(super) struct MaxAge {
    quirks: Quirks,
    opened: Instant,
    last_active: Instant,
}

impl MaxAge {
    /// Starts the timers of a new WebSocket.
    pub(super) fn new(quirks: Quirks) -> Self {
        let now = Instant::now();
        Self { quirks, opened: now, last_active: now }
    }

    /// Restarts the timer of the idle time.
    pub(super) fn set_active(&mut self) {
        self.last_active = Instant::now();
    }

    /// Returns `true` if the WebSocket has reached its maximum age.
    pub(super) fn is_reached(&self) -> bool {
        self.quirks.max_age.is_some_and(|age| self.opened.elapsed() >= age)
    }

    /// Resolves once the WebSocket is too old, or was idle for too long.
    pub(super) async fn reached(&self) -> SocketEnd {
        let aged = pin!(sleep_until(self.opened, self.quirks.max_age));
        let idle = pin!(sleep_until(self.last_active, self.quirks.max_idle));
        match select(aged, idle).await {
            Either::Left(_) => self.quirks.end_at_max_age(),
            Either::Right(_) => self.quirks.end_when_idle(),
        }
    }
}

async fn sleep_until(start: Instant, time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep_until(start + time).await,
        None => future::pending().await,
    }
}
