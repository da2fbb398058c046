//! `Clock`: the time of a connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Time since a moment, by tokio's clock, and slower than that if the link is slowed.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    slowdown: u32,
}

/// A timer of a task; `None` while the task does not sleep.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Clock {
    /// Returns a clock that starts now.
    pub(super) fn start(slowdown: u32) -> Self {
        Self { start: Instant::now(), slowdown }
    }

    pub(super) fn now(self) -> Duration {
        self.start.elapsed() / self.slowdown
    }

    /// Sleeps until the clock shows `time`.
    pub(super) async fn sleep_until(self, time: Duration) {
        match self.instant(time) {
            Some(instant) => sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }

    /// Returns the moment at which the clock shows `time`; `None` if that is too far away.
    fn instant(self, time: Duration) -> Option<Instant> {
        self.start.checked_add(time.checked_mul(self.slowdown)?)
    }
}

impl Timer {
    /// Sleeps until the clock shows `time`; forever if there is none.
    pub(super) fn poll(
        &mut self,
        clock: Clock,
        time: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(deadline) = time.and_then(|time| clock.instant(time)) else {
            self.0 = None;
            return Poll::Pending;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}
