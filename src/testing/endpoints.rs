//! The API's endpoints besides `/responses` itself.

use std::sync::Arc;

use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    background::{Background, Reader},
    connection::{Body, Connection},
    halves,
    log::OtherLog,
    script::Refusal,
    turn::Label,
};

/// A response that can be asked for.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) response: Value,
    /// What its request brought.
    pub(super) input: Vec<Value>,
    pub(super) background: Option<Arc<Background>>,
}

enum Answer {
    Json(u16, Value),
    Events(Arc<Background>, Reader),
}

impl Connection {
    /// Answers a request for something other than a new response, and notes it.
    pub(super) async fn other(self, request: Request<Incoming>) -> Response<Body> {
        let (method, uri) = (request.method(), request.uri());
        let answer = self.route(method, uri);
        let status = match &answer {
            Answer::Json(status, _) => *status,
            Answer::Events(..) => 200,
        };
        self.shared.note_other(OtherLog {
            connection: self.index,
            method: method.to_string(),
            path: uri.to_string(),
            status,
        });
        match answer {
            Answer::Json(status, body) => self.json(status, &body).await,
            Answer::Events(background, reader) => self.follow(background, reader),
        }
    }

    pub(super) async fn json(&self, status: u16, body: &Value) -> Response<Body> {
        let refusal = Refusal::status(status).header("content-type", "application/json");
        self.refuse(refusal.body(halves::with_escapes(body.to_string()))).await
    }

    /// Sends what `reader` gets of a response in the background.
    pub(super) fn follow(&self, background: Arc<Background>, reader: Reader) -> Response<Body> {
        self.stream(&Label::default(), background.body(reader, Arc::clone(&self.control)))
    }

    fn route(&self, method: &Method, uri: &Uri) -> Answer {
        let segments: Vec<&str> = uri.path().split('/').collect();
        let root = segments.iter().rposition(|name| matches!(*name, "responses" | "models"));
        let tail = root.and_then(|root| segments.get(root..)).unwrap_or_default();
        let query = Query(uri.query().unwrap_or_default());
        let found = match (method.as_str(), tail) {
            ("GET", ["responses", id]) => self.get(id, query),
            ("POST", ["responses", id, "cancel"]) => self.shared.with_stored(id, cancel),
            ("DELETE", ["responses", id]) => self.shared.delete(id).then(|| {
                Answer::Json(200, json!({ "id": id, "object": "response", "deleted": true }))
            }),
            ("GET", ["responses", id, "input_items"]) => {
                self.shared.with_stored(id, |stored| input_items(&stored.input, query))
            }
            ("GET", ["models"]) => {
                let models = MODELS.map(model);
                Some(Answer::Json(200, json!({ "object": "list", "data": models })))
            }
            ("GET", ["models", id]) => MODELS.contains(id).then(|| Answer::Json(200, model(id))),
            _ => return error(404, "Invalid URL"),
        };
        let what = tail.get(1).copied().unwrap_or_default();
        found.unwrap_or_else(|| error(404, &format!("'{what}' was not found.")))
    }

    fn get(&self, id: &str, query: Query<'_>) -> Option<Answer> {
        self.shared.with_stored(id, |stored| {
            if query.get("stream").as_deref() != Some("true") {
                return Answer::Json(200, stored.response.clone());
            }
            let starting_after = query.get("starting_after").and_then(|after| after.parse().ok());
            match &stored.background {
                Some(background) => {
                    Answer::Events(Arc::clone(background), Reader::Resumed { starting_after })
                }
                None => error(400, "Only a response in the background can be streamed again."),
            }
        })
    }
}

/// Ends a response in the background, however often it is asked to.
fn cancel(stored: &mut Stored) -> Answer {
    let Some(background) = &stored.background else {
        return error(400, "Only a response in the background can be cancelled.");
    };
    if background.cancel()
        && let Some(members) = stored.response.as_object_mut()
    {
        members.insert("status".to_owned(), "cancelled".into());
    }
    Answer::Json(200, stored.response.clone())
}

fn input_items(input: &[Value], query: Query<'_>) -> Answer {
    let mut items: Vec<Value> = input.iter().enumerate().map(with_id).collect();
    if query.get("order").as_deref() != Some("asc") {
        items.reverse();
    }
    if let Some(after) = query.get("after") {
        let place = items.iter().position(|item| item.get("id") == Some(&json!(after)));
        items.drain(..place.map_or(0, |place| place + 1));
    }
    let limit = query.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id = |item: Option<&Value>| item.and_then(|item| item.get("id")).cloned();
    let (first, last) = (id(items.first()), id(items.last()));
    let list = json!({
        "object": "list",
        "data": items,
        "first_id": first,
        "last_id": last,
        "has_more": has_more,
    });
    Answer::Json(200, list)
}

fn with_id((place, item): (usize, &Value)) -> Value {
    let mut item = item.clone();
    if let Some(members) = item.as_object_mut() {
        members.entry("id").or_insert_with(|| format!("item_{place}").into());
    }
    item
}

fn model(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 1_790_000_000, "owned_by": "scripted" })
}

fn error(status: u16, message: &str) -> Answer {
    let error = json!({
        "message": message,
        "type": "invalid_request_error",
        "param": null,
        "code": null,
    });
    Answer::Json(status, json!({ "error": error }))
}

#[derive(Clone, Copy)]
struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

const MODELS: [&str; 1] = ["scripted"];
