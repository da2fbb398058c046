//! Carries out a response in the background.

use std::sync::Arc;

use super::{background::Background, server_turn::ServerTurn, wait::wait};
use crate::testing::script::step::Step;

/// Carries out `steps` to their end, on a task of its own.
pub(super) fn start(background: Arc<Background>, turn: ServerTurn, steps: Vec<Step>) {
    let worker = tokio::spawn(run(Arc::clone(&background), turn, steps));
    background.set_worker(worker.abort_handle());
}

async fn run(background: Arc<Background>, mut turn: ServerTurn, steps: Vec<Step>) {
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        wait(&step).await;
        if let Some(event) = step.event() {
            turn.before_send(&event);
        }
        if steps.peek().is_none() {
            turn.finish();
        }
        if !step.is_wait() {
            background.push(step);
        }
    }
    turn.finish();
    background.end();
}
