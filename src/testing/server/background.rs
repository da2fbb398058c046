//! A response that runs in the background, with or without a client.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::{sync::watch, task::AbortHandle};

use crate::testing::script::step::Step;

/// The steps of a `background: true` response so far, for everyone who reads them.
#[derive(Debug, Default)]
pub(super) struct Background {
    progress: Mutex<Progress>,
    /// Changes with the progress.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Steps so far, without those that wait.
    steps: Vec<Step>,
    has_ended: bool,
    worker: Option<AbortHandle>,
}

impl Background {
    /// Records the task that carries out the response; aborts it if the response is cancelled.
    pub(super) fn set_worker(&self, worker: AbortHandle) {
        let mut progress = self.lock();
        if progress.has_ended { worker.abort() } else { progress.worker = Some(worker) }
    }

    /// Adds a step for everyone who reads.
    pub(super) fn push(&self, step: Step) {
        self.lock().steps.push(step);
        self.changed.send_replace(());
    }

    /// Cancels the response; returns `true` if it had not ended.
    pub(super) fn cancel(&self) -> bool {
        let worker = self.lock().worker.take();
        if let Some(worker) = worker {
            worker.abort();
        }
        self.end()
    }

    /// Records that no step follows; returns `true` if the response had not ended.
    pub(super) fn end(&self) -> bool {
        let had_ended = std::mem::replace(&mut self.lock().has_ended, true);
        self.changed.send_replace(());
        !had_ended
    }

    /// Returns the first response in an event; `None` if the response ends without one.
    pub(super) async fn first_response(&self) -> Option<Value> {
        let mut index = 0;
        loop {
            let event = self.step(index).await?.event().unwrap_or_default();
            if event["response"].is_object() {
                return Some(event["response"].clone());
            }
            index += 1;
        }
    }

    /// Returns the step at `index` once it is there; `None` after the last.
    pub(super) async fn step(&self, index: usize) -> Option<Step> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let progress = self.lock();
                match progress.steps.get(index) {
                    Some(step) => return Some(step.clone()),
                    None if progress.has_ended => return None,
                    None => {}
                }
            }
            // The sender is part of `self`, so that waiting cannot fail.
            let _ = changed.changed().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
