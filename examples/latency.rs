//! The same conversation over each transport, with the time to the first text of each turn.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --release --example latency -- 5
//! ```
//!
//! Without a key, the example uses the embedded server on loopback: there the times show only what
//! the client itself takes. The argument is the number of turns.

use std::{env, error::Error, time::Duration};

use responses_client::{
    Item, ResponsesClient, ResponsesRequest, TransportPolicy,
    testing::{Script, ScriptedServer, Turn},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let turns = env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let script = Script::new().respond(|_| Turn::text("A short answer."));
    let server = ScriptedServer::start(script).await?;
    println!("transport   first text of each turn, in ms            sent");
    for policy in [TransportPolicy::WebSocketOnly, TransportPolicy::SseOnly] {
        let builder = match env::var_os("OPENAI_API_KEY") {
            Some(_) => ResponsesClient::builder_from_env()?,
            None => server.client_builder(),
        };
        let client = builder.transport(policy).build()?;
        let (times, bytes) = conversation(&client, turns).await?;
        let times: Vec<String> =
            times.iter().map(|time| format!("{:.1}", time.as_secs_f64() * 1e3)).collect();
        println!("{:<11} {:<40} {bytes:>7} B", format!("{policy:?}"), times.join(" "));
    }
    Ok(())
}

/// Returns the time to the first text of each turn, and the bytes that the conversation sent.
async fn conversation(
    client: &ResponsesClient,
    turns: usize,
) -> Result<(Vec<Duration>, u64), responses_client::Error> {
    let mut session = client.session();
    let mut request = ResponsesRequest::new("gpt-6-astra");
    request.input.push(Item::developer("Be brief. ".repeat(500)));
    let (mut times, mut bytes) = (Vec::new(), 0);
    for turn in 0..turns {
        request.input.push(Item::user(format!("Question {turn}")));
        let response = session.respond(&request).await?;
        request.input.extend(response.output_items());
        times.push(response.report().timings.first_text.unwrap_or_default());
        bytes += response.report().bytes_sent;
    }
    Ok((times, bytes))
}
