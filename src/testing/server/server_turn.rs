//! `ServerTurn`: a request while the server answers it.

#![expect(clippy::indexing_slicing, reason = "a missing member of a JSON value reads as null")]

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    background::Background,
    hub::Hub,
    hub_state::{AdmittedRequest, Received, RequestOrigin},
};
use crate::{
    server::store::{Completed, OutputCollector},
    testing::script::{request, step::Step, turn::answer::ScriptedAnswer, value::set},
};

/// A request while the server answers it: updates the server's state by the events that it sends.
#[derive(Debug)]
pub(super) struct ServerTurn {
    hub: Arc<Hub>,
    request: AdmittedRequest,
    output: OutputCollector,
    /// Input that the client gave while the response ran, each with the number of items finished
    /// before.
    injected: Vec<(usize, Vec<Value>)>,
    /// The response is part of the server's state.
    is_committed: bool,
    is_finished: bool,
}

impl ServerTurn {
    /// Logs a request, and works out its answer.
    pub(super) fn begin(hub: &Arc<Hub>, received: Received) -> (Self, ScriptedAnswer) {
        let (request, answer) = hub.admit(received);
        let (hub, output) = (Arc::clone(hub), OutputCollector::default());
        let injected = Vec::new();
        (Self { hub, request, output, injected, is_committed: false, is_finished: false }, answer)
    }

    /// Returns the steps of the response, if it runs in the background.
    pub(super) fn background(&self) -> Option<Arc<Background>> {
        self.request.background.clone()
    }

    /// Returns the id of the response.
    pub(super) fn response_id(&self) -> &str {
        &self.request.response_id
    }

    /// Returns the body of the request.
    pub(super) fn body(&self) -> &Value {
        &self.request.body
    }

    /// Takes input of the client into the conversation, after the items that are finished.
    pub(super) fn inject(&mut self, input: &[Value]) {
        self.injected.push((self.output.len(), input.to_vec()));
    }

    /// Returns the items that were finished so far: the output of a response that ends now.
    pub(super) fn finished_items(&mut self) -> Vec<Value> {
        let finished = std::mem::take(&mut self.output).finish(&Value::Null);
        if let Some(kept) = &mut self.request.kept {
            kept.truncate(finished.len());
        }
        finished
    }

    /// Returns the request for the response that follows after a steer.
    pub(super) fn successor(&self, steered: Vec<Value>) -> Received {
        let mut body = self.request.body.clone();
        set(&mut body, "previous_response_id", self.response_id());
        set(&mut body, "input", json!([]));
        let RequestOrigin { connection, transport, .. } = self.request.origin;
        let (headers, raw) = (Vec::new(), String::new());
        Received { connection, transport, path: None, headers, body, raw, steered }
    }

    /// Returns `true` if the request asks for events.
    pub(super) fn streams(&self) -> bool {
        self.request.streams
    }

    /// Updates the server's state for an event that is about to be sent.
    ///
    /// Must be called before the event is sent, because a client may continue the response as soon
    /// as it has the event.
    pub(super) fn before_send(&mut self, event: &Value) {
        self.request.stored &= event["response"]["store"] != false;
        let AdmittedRequest { stored, background, input, origin, .. } = &self.request;
        if event["response"]["id"].is_string() && (*stored || background.is_some()) {
            self.hub.update(&event["response"], input, background.as_ref());
        }
        self.output.observe(event);
        match event["type"].as_str() {
            Some("response.completed") => self.commit(&event["response"]),
            Some("response.incomplete") if is_parent(&event["response"]) => {
                self.commit(&event["response"]);
            }
            Some("response.failed" | "error") => {
                self.hub.evict(origin.connection, self.request.lane.name());
            }
            _ => {}
        }
    }

    /// Returns the error that ends a fork whose parent is gone: a newer response has begun on the
    /// parent's lane before `event`, the fork's `response.in_progress`.
    pub(super) fn lost_fork(&mut self, event: &Value) -> Option<Step> {
        if self.request.fork_of.is_none() || event["type"] != "response.in_progress" {
            return None;
        }
        let parent = self.request.fork_of.take()?;
        if self.hub.settle_fork(self.request.origin.request) {
            return None;
        }
        let mut error = [Step::Event(request::not_found(&parent).frame())];
        self.request.lane.tag(&mut error);
        error.into_iter().next()
    }

    /// Records that nothing is left to send.
    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let origin = self.request.origin;
        self.hub.settle_fork(origin.request);
        self.hub.finished(origin.connection, origin.request);
    }

    fn commit(&mut self, response: &Value) {
        // A script may complete a response twice; the first time counts.
        if std::mem::replace(&mut self.is_committed, true) {
            return;
        }
        let AdmittedRequest { origin, response_id, lane, parent, input, stored, kept, .. } =
            &mut self.request;
        let collected = std::mem::take(&mut self.output).finish(response);
        let mut items = std::mem::take(input);
        let mut output = kept.take().unwrap_or(collected).into_iter();
        let mut placed = 0;
        for (place, injected) in std::mem::take(&mut self.injected) {
            items.extend(output.by_ref().take(place.saturating_sub(placed)));
            items.extend(injected);
            placed = place;
        }
        items.extend(output);
        let id = response["id"].as_str().unwrap_or(response_id).to_owned();
        let lane = lane.name().map(str::to_owned);
        let completed = Completed { id, parent: *parent, items, stored: *stored, lane };
        self.hub.commit(origin.connection, origin.transport, completed);
    }
}

/// Returns `true` if an incomplete response can be continued.
fn is_parent(incomplete: &Value) -> bool {
    matches!(incomplete["incomplete_details"]["reason"].as_str(), Some("steered" | "interrupted"))
}
