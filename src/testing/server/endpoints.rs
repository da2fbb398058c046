//! Answers requests for something other than a new response.

use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    background::Background,
    background_body::Reader,
    connection::Connection,
    hub::{Hub, StoreError},
    log::OtherLog,
};
use crate::{
    server::{
        endpoint::{CREATE, Endpoint},
        http::{AnswerBody, Query, header_pairs},
    },
    testing::script::{error_reply::ErrorReply, refusal::Refusal},
};

enum EndpointAnswer {
    Json(Value),
    Events(Arc<Background>, Reader),
    Refusal(Refusal),
}

/// Answers a request for something other than a new response, and logs it. `path` is the path below
/// the base path.
pub(super) async fn answer(
    connection: &Connection,
    request: &Request<Incoming>,
    path: Option<&str>,
) -> Response<AnswerBody> {
    let (method, uri) = (request.method(), request.uri());
    let query = Query(uri.query().unwrap_or_default());
    let endpoint = path.and_then(|path| Endpoint::parse(method.as_str(), path, query));
    let answer = match &endpoint {
        Some(endpoint) => {
            look_up(&connection.hub, endpoint).map_err(|error| refused(endpoint, error))
        }
        None if path == Some(CREATE) => Err(not_allowed(method, uri.path())),
        None => {
            let message = format!("Invalid URL ({method} {})", uri.path());
            Err(ErrorReply::without_code(404, message))
        }
    };
    let answer = answer.unwrap_or_else(|error| EndpointAnswer::Refusal(error.refusal()));
    let status = match &answer {
        EndpointAnswer::Json(_) | EndpointAnswer::Events(..) => 200,
        EndpointAnswer::Refusal(refusal) => refusal.status,
    };
    connection.hub.note_other(OtherLog {
        connection: connection.index,
        method: method.to_string(),
        path: uri.to_string(),
        headers: header_pairs(request.headers()),
        status,
    });
    match answer {
        EndpointAnswer::Json(body) => connection.json(200, &body),
        EndpointAnswer::Events(background, reader) => connection.follow(background, reader),
        EndpointAnswer::Refusal(refusal) => connection.refuse(refusal).await,
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
    Ok(EndpointAnswer::Json(body))
}

fn refused(endpoint: &Endpoint<'_>, error: StoreError) -> ErrorReply {
    match (error, endpoint) {
        (StoreError::NotFound, Endpoint::Model { id }) => {
            let message = format!("The model '{id}' does not exist");
            ErrorReply::new(404, "model_not_found", &message).param("model")
        }
        (StoreError::NotFound, _) => {
            let message = format!("Response with id '{}' not found.", endpoint.id());
            ErrorReply::without_code(404, message)
        }
        (StoreError::NotInBackground, Endpoint::Cancel { .. }) => {
            ErrorReply::without_code(400, "Only a response in the background can be cancelled.")
        }
        (StoreError::NotInBackground, _) => {
            let message = "Only a response in the background can be streamed again.";
            ErrorReply::without_code(400, message)
        }
    }
}

/// Returns the error of a request to create a response with another method than POST.
fn not_allowed(method: &Method, path: &str) -> ErrorReply {
    let message = format!(
        "Not allowed to {method} on {path} (HINT: Perhaps you meant to use a different HTTP method?)"
    );
    let mut error = ErrorReply::new(405, "method_not_supported", &message);
    error.header("allow".to_owned(), "GET, POST".to_owned());
    error
}

fn model(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 1_790_000_000, "owned_by": "scripted" })
}

const MODELS: [&str; 1] = ["scripted"];
