//! A request while it is answered.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::sync::Arc;

use serde_json::Value;

use super::{
    background::Background,
    shared::Shared,
    state::{Completed, Parent},
    turn::Told,
};
use crate::config::Transport;

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
    told: Told,
    /// The output that is kept, whatever the events say.
    kept: Option<Vec<Value>>,
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
            told: Told::default(),
            kept: None,
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

    /// Has the server keep this output, if it is given.
    pub(super) fn keeps(&mut self, output: Option<Vec<Value>>) {
        self.kept = output;
    }

    pub(super) fn history(&self) -> Vec<Value> {
        self.shared.history(self.parent, self.input.as_deref().unwrap_or_default())
    }

    /// Notes that `event` is about to be sent.
    ///
    /// Before, because a client may continue a response as soon as it has the event.
    pub(super) fn sends(&mut self, event: &Value) {
        self.stored &= event["response"]["store"] != false;
        if event["response"]["id"].is_string() && (self.stored || self.background.is_some()) {
            let input = self.input.as_deref().unwrap_or_default();
            self.shared.keep(&event["response"], input, self.background.as_ref());
        }
        self.told.notes(event);
        match event["type"].as_str() {
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
        let told = std::mem::take(&mut self.told).output(response);
        items.extend(self.kept.take().unwrap_or(told));
        let id = response["id"].as_str().unwrap_or(&self.response_id).to_owned();
        let completed = Completed { id, parent: self.parent, items, stored: self.stored };
        self.shared.commit(self.origin.connection, self.origin.transport, completed);
    }
}
