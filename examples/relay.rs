//! A web handler that relays the events of a turn to a browser, with axum.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example relay -- 8080
//! ```
//!
//! A page reads the answer with `new EventSource("/ask?question=…")`. Without a port, the example
//! asks itself one question and prints what a browser would receive. Without a key, the answer is
//! that of the embedded server, which breaks off once.

use std::{convert::Infallible, env, error::Error};

use axum::{
    Router,
    extract::{Query, State},
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures_util::{Stream, StreamExt as _, stream};
use responses_client::{
    ReplayPolicy, ResponseEvent, ResponsesClient, ResponsesRequest, RetryPolicy,
    testing::{Script, ScriptedServer, Step, Turn},
};
use serde::Deserialize;
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Ask {
    question: String,
}

/// Answers with the events of a turn.
///
/// If the browser disconnects, axum drops the stream, which cancels the turn.
async fn ask(
    State(client): State<ResponsesClient>,
    Query(Ask { question }): Query<Ask>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let request = ResponsesRequest::new("gpt-6-astra").input(question);
    let events = match client.session().stream(&request).await {
        Ok(events) => events.map(|event| Ok(relayed(event))).left_stream(),
        Err(error) => stream::iter([Ok(failed(&error))]).right_stream(),
    };
    // Proxies close connections on which nothing happens; the comments of `KeepAlive` prevent it.
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// Returns the event for the browser: its name is the type, and its data the JSON as received.
fn relayed(event: Result<ResponseEvent, responses_client::Error>) -> Event {
    match event {
        // The answer begins anew: the page must discard the text that it has.
        Ok(ResponseEvent::Restarted) => Event::default().event("restarted").data("{}"),
        Ok(event) => Event::default().event(event.kind().as_str()).data(event.raw()),
        Err(error) => failed(&error),
    }
}

/// Returns the last event of a failed turn. The page gets no details, which may name the request.
fn failed(error: &responses_client::Error) -> Event {
    eprintln!("a turn failed: {error}");
    Event::default().event("failed").data(format!(r#"{{"kind":"{}"}}"#, error.kind()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cut = Turn::text("Light is scattered.").cut_after(6, Step::Reset);
    let script = Script::new().turn(cut).turn(Turn::text("Rayleigh scattering."));
    let server = ScriptedServer::start(script).await?;
    let builder = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::builder_from_env()?,
        None => server.client_builder(),
    };
    // A cut answer is requested again, and announced by `Restarted`.
    let client = builder.retry(RetryPolicy::default().replay(ReplayPolicy::Restart)).build()?;

    let app = Router::new().route("/ask", get(ask)).with_state(client);
    let port = env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}/ask?question=…");
    let serving = axum::serve(listener, app);
    if port != 0 {
        return Ok(serving.await?);
    }
    let browser = reqwest::Client::builder().no_proxy().build()?;
    let question = browser.get(format!("http://{address}/ask?question=Why+is+the+sky+blue%3F"));
    let received = async { question.send().await?.error_for_status()?.text().await };
    tokio::select! {
        served = serving => served?,
        received = received => {
            // The data of most events is long, so that only the names are printed.
            for line in received?.lines().filter(|line| line.starts_with("event:")) {
                println!("{line}");
            }
        }
    }
    Ok(())
}
