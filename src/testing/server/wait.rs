//! Carries out the steps that only wait.

use std::{future, time::Duration};

use crate::testing::script::step::Step;

/// Waits as long as a waiting step says; returns immediately for other steps.
pub(super) async fn wait(step: &Step) {
    match step {
        // A sleep would last for up to a millisecond.
        Step::Delay(Duration::ZERO) => tokio::task::yield_now().await,
        Step::Delay(time) => tokio::time::sleep(*time).await,
        Step::Gate(gate) => future::poll_fn(|cx| gate.poll_opened(cx)).await,
        Step::Stall | Step::Freeze => future::pending().await,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_delay_of_zero_takes_no_time() {
        // Timers fire at whole milliseconds.
        advance(Duration::from_micros(100)).await;
        let start = Instant::now();
        wait(&Step::Delay(Duration::ZERO)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
