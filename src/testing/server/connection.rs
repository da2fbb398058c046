//! `Connection`: the server's side of a connection, and its HTTP answers.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Response;
use serde_json::Value;

use super::{
    background::Background,
    background_body::{self, Reader},
    control::Control,
    hub::Hub,
};
use crate::{
    server::http::{self as answers, AnswerBody},
    testing::script::{
        cut::Cut,
        halves,
        refusal::{BodyEnd, Refusal},
        turn::label::Label,
    },
};

/// The server's side of a connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) hub: Arc<Hub>,
    /// Number of the connection in the log.
    pub(super) index: usize,
    pub(super) control: Arc<Control>,
    is_websocket: Arc<AtomicBool>,
    /// A request came on the connection before.
    has_served: Arc<AtomicBool>,
}

impl Connection {
    /// Opens a new connection; returns `None` if the server accepts none.
    pub(super) fn open(hub: &Arc<Hub>) -> Option<Self> {
        let (index, control) = hub.open()?;
        let (hub, is_websocket, has_served) = (Arc::clone(hub), Arc::default(), Arc::default());
        Some(Self { hub, index, control, is_websocket, has_served })
    }

    /// Marks the connection as one that served a request; returns `true` if it was one before.
    pub(super) fn mark_served(&self) -> bool {
        self.has_served.swap(true, Ordering::Relaxed)
    }

    /// Marks the connection as a WebSocket.
    pub(super) fn mark_websocket(&self) {
        self.is_websocket.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if the connection is a WebSocket.
    pub(super) fn is_websocket(&self) -> bool {
        self.is_websocket.load(Ordering::Relaxed)
    }

    /// Cuts the connection before there is an answer; never resolves.
    pub(super) async fn cut(&self, cut: Cut) -> Response<AnswerBody> {
        self.control.cut(cut);
        future::pending().await
    }

    /// Answers with a refusal, after its delay; never resolves if the refusal is silent.
    pub(super) async fn refuse(&self, refusal: Refusal) -> Response<AnswerBody> {
        let Refusal { status, headers, body, body_end, delay, silent } = refusal;
        if silent {
            return future::pending().await;
        }
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let body = match body_end {
            BodyEnd::End => answers::whole(body),
            BodyEnd::Nothing => answers::stalled(body),
            BodyEnd::Again => answers::endless(body),
        };
        self.response(status, &headers, body)
    }

    /// Answers with JSON.
    pub(super) fn json(&self, status: u16, body: &Value) -> Response<AnswerBody> {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let body = halves::with_escapes(body.to_string());
        self.response(status, &headers, answers::whole(body.into()))
    }

    /// Answers with events.
    pub(super) fn stream(&self, label: &Label, body: AnswerBody) -> Response<AnswerBody> {
        let mut headers = label.headers();
        headers.extend(self.hub.headers());
        self.response(200, &headers, body)
    }

    /// Answers with the part of a response in the background that `reader` gets.
    pub(super) fn follow(
        &self,
        background: Arc<Background>,
        reader: Reader,
    ) -> Response<AnswerBody> {
        let body = background_body::body(background, reader, Arc::clone(&self.control));
        self.stream(&Label::default(), body)
    }

    /// Returns an answer; records a mistake of the script if its status or a header is invalid.
    pub(super) fn response(
        &self,
        status: u16,
        headers: &[(String, String)],
        body: AnswerBody,
    ) -> Response<AnswerBody> {
        answers::response(status, headers, body).unwrap_or_else(|error| {
            self.hub.note_panic(format!("the script's status or headers are invalid: {error}"));
            answers::internal_error()
        })
    }
}
