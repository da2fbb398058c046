//! One conversation that becomes three, which run at the same time.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example fork
//! ```
//!
//! Without a key the example asks the embedded server.

use std::env;

use responses_client::{
    Error, Item, ResponsesClient, ResponsesRequest, ResponsesSession,
    testing::{Exchange, Script, ScriptedServer, Turn},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let echo = |exchange: &Exchange| {
        Turn::text(format!("(an answer to {} items)", exchange.history.len()))
    };
    let server = ScriptedServer::start(Script::new().respond(echo)).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };

    let mut session = client.session();
    // The server keeps the response, so that other connections can continue it.
    let mut request = ResponsesRequest::new("gpt-6-astra").store(true);
    let draft = ask(&mut session, &mut request, "Write one sentence about tides.").await?;
    println!("{draft}");

    let (mut second, mut third) = (session.fork(), session.fork());
    let (mut request2, mut request3) = (request.clone(), request.clone());
    let (shorter, longer, german) = tokio::try_join!(
        ask(&mut session, &mut request, "Make it shorter."),
        ask(&mut second, &mut request2, "Make it longer."),
        ask(&mut third, &mut request3, "Say it in German."),
    )?;
    println!("shorter: {shorter}\nlonger: {longer}\nin German: {german}");
    Ok(())
}

/// Runs a turn of a conversation, and returns the answer.
async fn ask(
    session: &mut ResponsesSession,
    request: &mut ResponsesRequest,
    text: &str,
) -> Result<String, Error> {
    request.input.push(Item::user(text));
    let response = session.respond(&*request).await?;
    if let Some(plan) = &response.report().plan {
        println!("{text} ({plan})");
    }
    request.input.extend(response.output_items());
    Ok(response.output_text())
}
