//! Carries out the steps that only wait.

use std::future;

use crate::testing::script::step::Step;

/// Waits as long as a waiting step says; returns immediately for other steps.
pub(super) async fn wait(step: &Step) {
    match step {
        Step::Delay(time) => tokio::time::sleep(*time).await,
        Step::Gate(gate) => future::poll_fn(|cx| gate.poll_opened(cx)).await,
        Step::Stall | Step::Freeze => future::pending().await,
        _ => {}
    }
}
