//! How long a WebSocket may live.

use std::{future, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::Instant;

use super::{profile::Traits, request, turn::ApiError};

/// When a socket ends by itself.
pub(super) struct Clock {
    traits: Traits,
    opened: Instant,
    active: Instant,
}

/// How a socket ends by itself.
pub(super) struct RunOut {
    /// What it hears before the Close frame.
    pub(super) error: Option<ApiError>,
    /// The code of the Close frame.
    pub(super) code: u16,
}

impl Clock {
    pub(super) fn new(traits: Traits) -> Self {
        let now = Instant::now();
        Self { traits, opened: now, active: now }
    }

    /// Notes that something came or went.
    pub(super) fn active(&mut self) {
        self.active = Instant::now();
    }

    pub(super) fn is_over_age(&self) -> bool {
        self.traits.max_age.is_some_and(|age| self.opened.elapsed() >= age)
    }

    /// Waits until the socket is too old, or idle for too long.
    pub(super) async fn runs_out(&self) -> RunOut {
        let at = |from: Instant, time: Option<Duration>| async move {
            match time {
                Some(time) => tokio::time::sleep_until(from + time).await,
                None => future::pending().await,
            }
        };
        let Traits { max_age, max_idle, silent_age, .. } = self.traits;
        let aged = pin!(at(self.opened, max_age));
        let code = match select(aged, pin!(at(self.active, max_idle))).await {
            Either::Left(_) => silent_age,
            Either::Right(_) => Some(1001),
        };
        let error = code.is_none().then(|| request::too_old(max_age.unwrap_or_default()));
        RunOut { error, code: code.unwrap_or(1000) }
    }
}
