//! Responses that run whether or not anyone listens.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::{
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::{sync::watch, task::AbortHandle};

use super::{
    connection::Body,
    generate,
    run::Run,
    step::Step,
    wire::{Control, Cut},
};

/// What a `background: true` response did so far, kept for those who ask for it.
#[derive(Debug, Default)]
pub(super) struct Background {
    log: Mutex<Log>,
    /// Changes with the log.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Log {
    /// Without those that wait.
    steps: Vec<Step>,
    ended: bool,
    worker: Option<AbortHandle>,
}

/// Who reads along.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// The request that began the response: it gets everything, faults included.
    First,
    /// A later one, which gets the events with larger numbers.
    Resumed { starting_after: Option<u64> },
}

impl Background {
    /// Carries out `steps` to their end, on a task of its own.
    pub(super) fn start(self: Arc<Self>, run: Run, steps: Vec<Step>) {
        let worker = tokio::spawn(Arc::clone(&self).work(run, steps)).abort_handle();
        let mut log = self.log();
        // It may have been cancelled by now.
        if log.ended { worker.abort() } else { log.worker = Some(worker) }
    }

    async fn work(self: Arc<Self>, mut run: Run, steps: Vec<Step>) {
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            step.wait().await;
            if let Some(event) = step.event() {
                run.sends(&event);
            }
            if steps.peek().is_none() {
                run.finish();
            }
            if !step.is_wait() {
                self.log().steps.push(step);
                self.changed.send_replace(());
            }
        }
        run.finish();
        self.end();
    }

    /// Ends it before its time, or after it; returns whether that was before.
    pub(super) fn cancel(&self) -> bool {
        let worker = self.log().worker.take();
        if let Some(worker) = worker {
            worker.abort();
        }
        self.end()
    }

    /// Notes that nothing more comes; returns whether that is new.
    fn end(&self) -> bool {
        let was_ended = std::mem::replace(&mut self.log().ended, true);
        self.changed.send_replace(());
        !was_ended
    }

    /// The first response that an event shows; `None` if it ends without one.
    pub(super) async fn first_response(&self) -> Option<Value> {
        let mut place = 0;
        loop {
            let event = self.next(place).await?.event().unwrap_or_default();
            if event["response"].is_object() {
                return Some(event["response"].clone());
            }
            place += 1;
        }
    }

    /// The step at `place`, once it is there; `None` after the last.
    async fn next(&self, place: usize) -> Option<Step> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let log = self.log();
                match log.steps.get(place) {
                    Some(step) => return Some(step.clone()),
                    None if log.ended => return None,
                    None => {}
                }
            }
            // The sender is part of `self`.
            let _ = changed.changed().await;
        }
    }

    /// What `reader` gets to read.
    pub(super) fn body(self: Arc<Self>, reader: Reader, control: Arc<Control>) -> Body {
        let frames = stream::unfold((self, 0), move |(background, mut place)| {
            let control = Arc::clone(&control);
            async move {
                loop {
                    let step = background.next(place).await?;
                    place += 1;
                    if let Some(bytes) = reader.reads(step, &control).await? {
                        return Some((Ok(Frame::data(bytes)), (background, place)));
                    }
                }
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// The bytes of a step, if it has any; `None` at the clean end of the body.
    async fn reads(self, step: Step, control: &Control) -> Option<Option<Bytes>> {
        if let Some(event) = step.event() {
            let number = event["sequence_number"].as_u64();
            let passed = match self {
                Self::First | Self::Resumed { starting_after: None } => false,
                Self::Resumed { starting_after } => number <= starting_after,
            };
            return Some((!passed).then(|| encode(&event)));
        }
        match (self, step) {
            (Self::First, Step::Raw(bytes)) => Some(Some(bytes)),
            (Self::First, Step::Comment(text)) => Some(Some(format!(": {text}\n\n").into())),
            (Self::First, Step::Close { .. }) => None,
            (Self::First, step @ (Step::End | Step::Reset)) => {
                let cut = if matches!(step, Step::End) { Cut::Fin } else { Cut::Reset };
                control.cut_after_flush(cut);
                future::pending().await
            }
            _ => Some(None),
        }
    }
}

fn encode(event: &Value) -> Bytes {
    let name = event["type"].as_str().map(|kind| format!("event: {kind}\n"));
    format!("{}data: {}\n\n", name.unwrap_or_default(), generate::encode(event)).into()
}
