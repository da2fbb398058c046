//! Answers a POST that creates a response.

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{
    background::Background, background_body::Reader, background_run, connection::Connection,
    hub_state::Received, server_turn::ServerTurn, sse_body, unstreamed, wait::wait,
};
use crate::{
    config::Transport,
    server::http::{AnswerBody, empty, header_pairs},
    testing::script::{
        halves::parse_json, refusal::Refusal, step::Step, turn::answer::ScriptedAnswer,
    },
};

/// Answers a POST that creates a response.
pub(super) async fn answer(
    connection: Connection,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let (path, headers) = (request.uri().to_string(), header_pairs(request.headers()));
    let Ok(body) = request.into_body().collect().await else {
        // The client has disconnected and does not get this answer.
        return Response::new(empty());
    };
    let raw = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let received = Received {
        connection: connection.index,
        transport: Transport::Sse,
        path: Some(path),
        headers,
        body: parse_json(&raw).unwrap_or_default(),
        raw,
        steered: Vec::new(),
    };
    let (mut turn, answer) = ServerTurn::begin(&connection.hub, received);
    let ScriptedAnswer { steps, http, label, answers: _, kept: _ } = answer;
    if let Some((waits, refusal)) = http {
        for step in waits {
            wait(&step).await;
        }
        return whole(&connection, turn, steps, refusal).await;
    }
    if let Some(background) = turn.background() {
        return in_background(&connection, turn, steps, background).await;
    }
    if !turn.streams() {
        return unstreamed::answer(&connection, turn, steps, &label).await;
    }
    if let Some(cut) = steps.first().and_then(Step::cut) {
        turn.finish();
        return connection.cut(cut).await;
    }
    let control = Arc::clone(&connection.control);
    connection.stream(&label, sse_body::body(turn, steps, label.untyped, control))
}

/// Answers with `refusal`; the steps only update the server's state.
async fn whole(
    connection: &Connection,
    mut turn: ServerTurn,
    steps: Vec<Step>,
    mut refusal: Refusal,
) -> Response<AnswerBody> {
    if let Some(delay) = refusal.delay.take() {
        tokio::time::sleep(delay).await;
    }
    match turn.background().filter(|_| refusal.status == 200) {
        // The response runs in the background even if its answer is no stream.
        Some(background) => background_run::start(background, turn, steps),
        None => {
            for event in steps.iter().filter_map(Step::event) {
                turn.before_send(&event);
            }
            if !refusal.silent {
                turn.finish();
            }
        }
    }
    connection.refuse(refusal).await
}

/// Runs the response in the background, and answers with its events or its first state.
async fn in_background(
    connection: &Connection,
    turn: ServerTurn,
    steps: Vec<Step>,
    background: Arc<Background>,
) -> Response<AnswerBody> {
    let streams = turn.streams();
    background_run::start(Arc::clone(&background), turn, steps);
    if streams {
        return connection.follow(background, Reader::First);
    }
    let mut response = background.first_response().await.unwrap_or_default();
    if let Some(members) = response.as_object_mut() {
        members.insert("status".to_owned(), "queued".into());
    }
    connection.json(200, &response)
}
