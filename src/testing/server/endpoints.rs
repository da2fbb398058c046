//! Answers requests for something other than a new response.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    background::Background,
    background_body::Reader,
    connection::Connection,
    hub::{Hub, StoreError},
    log::OtherLog,
};
use crate::server::{
    endpoint::Endpoint,
    http::{AnswerBody, Query, error_body, header_pairs},
};

enum EndpointAnswer {
    Json(u16, Value),
    Events(Arc<Background>, Reader),
}

/// Answers a request for something other than a new response, and logs it.
pub(super) fn answer(connection: &Connection, request: &Request<Incoming>) -> Response<AnswerBody> {
    let (method, uri) = (request.method(), request.uri());
    let query = Query(uri.query().unwrap_or_default());
    let answer = match Endpoint::parse(method.as_str(), uri.path(), query) {
        Some(endpoint) => {
            look_up(&connection.hub, &endpoint).unwrap_or_else(|error| refused(&endpoint, error))
        }
        None => EndpointAnswer::Json(404, error_body("Invalid URL")),
    };
    let status = match &answer {
        EndpointAnswer::Json(status, _) => *status,
        EndpointAnswer::Events(..) => 200,
    };
    connection.hub.note_other(OtherLog {
        connection: connection.index,
        method: method.to_string(),
        path: uri.to_string(),
        headers: header_pairs(request.headers()),
        status,
    });
    match answer {
        EndpointAnswer::Json(status, body) => connection.json(status, &body),
        EndpointAnswer::Events(background, reader) => connection.follow(background, reader),
    }
}

fn look_up(hub: &Hub, endpoint: &Endpoint<'_>) -> Result<EndpointAnswer, StoreError> {
    let body = match endpoint {
        Endpoint::Stream { id, starting_after } => {
            let reader = Reader::Resumed { starting_after: *starting_after };
            return Ok(EndpointAnswer::Events(hub.background(id)?, reader));
        }
        Endpoint::Get { id } => hub.response(id)?,
        Endpoint::Cancel { id } => hub.cancel(id)?,
        Endpoint::Delete { id } => hub.delete(id)?,
        Endpoint::InputItems { id, page } => hub.input_items(id, page)?,
        Endpoint::Models => json!({ "object": "list", "data": MODELS.map(model) }),
        Endpoint::Model { id } if MODELS.contains(id) => model(id),
        Endpoint::Model { .. } => return Err(StoreError::NotFound),
    };
    Ok(EndpointAnswer::Json(200, body))
}

fn refused(endpoint: &Endpoint<'_>, error: StoreError) -> EndpointAnswer {
    let (status, message) = match (error, endpoint) {
        (StoreError::NotFound, _) => (404, format!("'{}' was not found.", endpoint.id())),
        (StoreError::NotInBackground, Endpoint::Cancel { .. }) => {
            (400, "Only a response in the background can be cancelled.".to_owned())
        }
        (StoreError::NotInBackground, _) => {
            (400, "Only a response in the background can be streamed again.".to_owned())
        }
    };
    EndpointAnswer::Json(status, error_body(&message))
}

fn model(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 1_790_000_000, "owned_by": "scripted" })
}

const MODELS: [&str; 1] = ["scripted"];
