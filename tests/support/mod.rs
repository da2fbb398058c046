//! Helpers that all test binaries share.

#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

pub(crate) mod fixtures;
pub(crate) mod plain;
pub(crate) mod tool;

use std::time::Duration;

use responses_client::{
    Error, ErrorKind, Item, Provider, Response, ResponseStream, ResponsesClient,
    ResponsesClientBuilder, ResponsesRequest, ResponsesSession, Transport, TransportPolicy,
    event::ResponseEvent,
    report::{Attempt, FullSendReason, Plan, TurnReport},
    testing::{Script, ScriptedServer, Step},
};

/// Both transports, for scenarios that run on each.
pub(crate) const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::Sse];

/// What came of a turn.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<ResponseEvent>,
    pub(crate) result: Result<Response, Error>,
    pub(crate) report: TurnReport,
}

impl Outcome {
    /// The `type` of each event.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.kind().as_str()).collect()
    }

    pub(crate) fn response(&self) -> &Response {
        self.result.as_ref().expect("the turn went well")
    }

    pub(crate) fn error(&self) -> &Error {
        self.result.as_ref().expect_err("the turn failed")
    }
}

pub(crate) async fn server(script: Script) -> ScriptedServer {
    ScriptedServer::start(script).await.expect("a port on loopback")
}

pub(crate) fn builder(server: &ScriptedServer) -> ResponsesClientBuilder {
    let provider = Provider::compatible(&server.url()).expect("a URL");
    ResponsesClient::builder().provider(provider).connector(&server.connector())
}

/// A client over real sockets.
pub(crate) fn socket_client(
    server: &ScriptedServer,
    transport: TransportPolicy,
) -> ResponsesClient {
    let provider = Provider::compatible(&server.url()).expect("a URL");
    ResponsesClient::builder().provider(provider).transport(transport).build().expect("a client")
}

pub(crate) fn only(transport: Transport) -> TransportPolicy {
    match transport {
        Transport::WebSocket => TransportPolicy::WebSocketOnly,
        _ => TransportPolicy::SseOnly,
    }
}

pub(crate) fn request(texts: &[&str]) -> ResponsesRequest {
    let items: Vec<Item> = texts.iter().map(Item::user).collect();
    ResponsesRequest::new("gpt-test").store(false).input(items)
}

/// What an agent loop sends next: the request before, what the server answered, and a message.
pub(crate) fn appended(
    request: &ResponsesRequest,
    outcome: &Outcome,
    text: &str,
) -> ResponsesRequest {
    let mut next = request.clone();
    next.input.extend(outcome.response().output_items());
    next.input.push(Item::user(text));
    next
}

/// A plan that sends what is new.
pub(crate) fn incremental(new_items: usize) -> Option<Plan> {
    Some(Plan::incremental(new_items))
}

/// A plan that sends everything.
pub(crate) fn full(reason: FullSendReason) -> Option<Plan> {
    Some(Plan::Full(reason))
}

/// The anomalies of a turn, as `Debug` shows them.
pub(crate) fn anomalies(outcome: &Outcome) -> Vec<String> {
    outcome.report.anomalies.iter().map(|anomaly| format!("{anomaly:?}")).collect()
}

/// Ends a WebSocket by a Close frame, or a body before its terminal event.
pub(crate) fn close(code: u16) -> Step {
    Step::Close { code: Some(code), reason: String::new() }
}

/// `future`, unless it hangs.
pub(crate) async fn guarded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("no hang")
}

/// Waits until the server sends nothing more; for servers without sockets.
pub(crate) async fn settled(server: &ScriptedServer) {
    let mut before = None;
    while before != Some(server.log().bytes_sent()) {
        before = Some(server.log().bytes_sent());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

/// Runs a turn to its end.
pub(crate) async fn turn(session: &mut ResponsesSession, request: &ResponsesRequest) -> Outcome {
    read(session.stream(request).await).await
}

/// Reads a turn to its end.
pub(crate) async fn read(stream: Result<ResponseStream, Error>) -> Outcome {
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            let report = error.report().cloned().unwrap_or_default();
            return Outcome { events: Vec::new(), result: Err(error), report };
        }
    };
    let mut events = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => {
                let (response, report) =
                    stream.final_response().await.expect("its end").into_parts();
                return Outcome { events, result: Ok(response), report };
            }
            Err(error) => {
                let report = stream.report().clone();
                assert!(matches!(stream.try_next().await, Ok(None)), "an error is the last item");
                return Outcome { events, result: Err(error), report };
            }
        }
    }
}

/// The transports of the attempts, and how each but the last failed.
pub(crate) fn tried(report: &TurnReport) -> Vec<(Transport, Option<ErrorKind>)> {
    let kind = |attempt: &Attempt| {
        (attempt.transport, attempt.failure.as_ref().map(|failure| failure.kind))
    };
    report.attempts.iter().map(kind).collect()
}
