//! A request while it is answered.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::sync::Arc;

use serde_json::Value;

use super::{
    background::Background,
    shared::Shared,
    state::{Completed, Parent},
};
use crate::Transport;

/// A request while it is answered: follows what is sent and keeps the server's state by it.
#[derive(Debug)]
pub(super) struct Run {
    shared: Arc<Shared>,
    origin: Origin,
    response_id: String,
    stored: bool,
    streams: bool,
    background: Option<Arc<Background>>,
    parent: Option<Parent>,
    /// Until it is part of the server's state.
    input: Option<Vec<Value>>,
    done: Vec<(u64, Value)>,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) connection: usize,
    pub(super) transport: Transport,
    /// Its place in the log.
    pub(super) request: usize,
}

impl Run {
    pub(super) fn new(
        shared: Arc<Shared>,
        origin: Origin,
        response_id: String,
        body: &Value,
        parent: Option<Parent>,
        input: Vec<Value>,
    ) -> Self {
        Self {
            shared,
            origin,
            response_id,
            stored: body["store"] != false,
            streams: body["stream"] == true,
            background: (body["background"] == true).then(Arc::default),
            parent,
            input: Some(input),
            done: Vec::new(),
        }
    }

    /// What it becomes if it is to run in the background.
    pub(super) fn background(&self) -> Option<Arc<Background>> {
        self.background.clone()
    }

    /// Whether the request asked for events.
    pub(super) fn streams(&self) -> bool {
        self.streams
    }

    pub(super) fn history(&self) -> Vec<Value> {
        self.shared.history(self.parent, self.input.as_deref().unwrap_or_default())
    }

    /// Notes that `event` is about to be sent.
    ///
    /// Before, because a client may continue a response as soon as it has the event.
    pub(super) fn sends(&mut self, event: &Value) {
        if event["response"]["id"].is_string() && (self.stored || self.background.is_some()) {
            let input = self.input.as_deref().unwrap_or_default();
            self.shared.keep(&event["response"], input, self.background.as_ref());
        }
        match event["type"].as_str() {
            Some("response.output_item.done") => {
                let place = event["output_index"].as_u64().unwrap_or(u64::MAX);
                self.done.push((place, event["item"].clone()));
            }
            Some("response.completed") => self.complete(&event["response"]),
            Some("response.failed" | "error") => self.shared.evict(self.origin.connection),
            _ => {}
        }
    }

    /// Notes that nothing is left to send.
    pub(super) fn finish(&self) {
        self.shared.finished(self.origin.connection, self.origin.request);
    }

    fn complete(&mut self, response: &Value) {
        // A script may complete a response twice; the first time counts.
        let Some(mut items) = self.input.take() else { return };
        self.done.sort_by_key(|(place, _)| *place);
        let done = std::mem::take(&mut self.done).into_iter().map(|(_, item)| item);
        let output = match response["output"].as_array() {
            Some(output) if !output.is_empty() => output.clone(),
            _ => done.collect(),
        };
        items.extend(output);
        let id = response["id"].as_str().unwrap_or(&self.response_id).to_owned();
        let completed = Completed { id, parent: self.parent, items, stored: self.stored };
        self.shared.commit(self.origin.connection, self.origin.transport, completed);
    }
}
