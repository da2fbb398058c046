//! Sessions that share a WebSocket by its lanes.

use responses_client::{
    PoolPolicy, Provider, ResponsesClient, ResponsesClientBuilder, Sharing,
    testing::{Exchange, Gate, Script, ScriptedServer, Step, Turn},
};
use serde_json::{Value, json};

mod backlog;
mod drops;
mod faults;
mod forks;
mod injects;
mod many;
mod pool;
mod rotation;
mod steers;

/// A server with as many lanes as the API has.
fn provider(server: &ScriptedServer) -> Provider {
    let provider = Provider::compatible(&server.url()).expect("a URL");
    provider.named_lanes(32).active_responses(16)
}

fn builder(server: &ScriptedServer, pool: PoolPolicy) -> ResponsesClientBuilder {
    let builder = ResponsesClient::builder().provider(provider(server));
    builder.connector(&server.connector()).pool(pool)
}

/// A client of a server with lanes.
fn client(server: &ScriptedServer, pool: PoolPolicy) -> ResponsesClient {
    builder(server, pool).build().expect("a client")
}

/// A client of a server with `named` lanes besides the default one.
fn client_of(server: &ScriptedServer, named: u8, pool: PoolPolicy) -> ResponsesClient {
    let provider = provider(server).named_lanes(named);
    builder(server, pool).provider(provider).build().expect("a client")
}

fn shared() -> PoolPolicy {
    PoolPolicy::default().sharing(Sharing::Lanes)
}

/// The text of the last message of a request.
fn asked(exchange: &Exchange) -> String {
    let content = exchange.history.last().map(|item| item["content"].clone());
    match content.unwrap_or_default() {
        Value::String(text) => text,
        parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
    }
}

/// The answer to a message, which repeats the message.
fn answer(text: &str) -> Turn {
    Turn::text(format!("answer to {text}"))
}

/// A server that repeats the last message of a request.
fn echo() -> ScriptedServer {
    ScriptedServer::in_memory(Script::new().respond(|exchange| answer(&asked(exchange))))
}

/// Such a server, whose answers to messages that begin with `held` stop after `events` events until
/// the gate opens.
fn holding(events: usize) -> (ScriptedServer, Gate) {
    let gate = Gate::new();
    let held = gate.clone();
    let script = Script::new().respond(move |exchange| {
        let text = asked(exchange);
        match text.starts_with("held") {
            true => answer(&text).insert(events, Step::Gate(held.clone())),
            false => answer(&text),
        }
    });
    (ScriptedServer::in_memory(script), gate)
}

/// An error that names no lane.
fn unnamed_error(status: u16, code: &str) -> Step {
    Step::Stray(json!({ "type": "error", "status": status, "stream_id": null,
        "error": { "type": "invalid_request_error", "code": code, "message": "No." } }))
}

/// The names of the lanes of all requests, in order.
fn lanes(server: &ScriptedServer) -> Vec<Option<String>> {
    server.log().requests.into_iter().map(|request| request.lane).collect()
}

/// The connections of all requests, in order.
fn connections(server: &ScriptedServer) -> Vec<usize> {
    server.log().requests.iter().map(|request| request.connection).collect()
}
