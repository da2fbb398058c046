//! One conversation that becomes three, which run at the same time.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example fork
//! ```
//!
//! Without a key it asks the embedded server.

use responses_client::{
    Auth, Error, Item, Provider, ResponsesClient, ResponsesRequest, ResponsesSession,
    testing::{Script, ScriptedServer, Turn},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let echo = |exchange: &responses_client::testing::Exchange| {
        Turn::text(format!("(an answer to {} items)", exchange.history.len()))
    };
    let server = ScriptedServer::start(Script::new().respond(echo)).await?;
    let (provider, auth) = match std::env::var("OPENAI_API_KEY") {
        Ok(key) => (Provider::openai(), Auth::bearer(key)),
        Err(_) => (Provider::compatible(&server.url())?, Auth::None),
    };
    let client = ResponsesClient::builder(provider).auth(auth).build()?;

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

/// A turn of a conversation.
async fn ask(
    session: &mut ResponsesSession,
    request: &mut ResponsesRequest,
    text: &str,
) -> Result<String, Error> {
    request.input.push(Item::user(text));
    let stream = session.stream(request).await?;
    if let Some(plan) = &stream.report().plan {
        println!("{text} ({plan})");
    }
    let response = stream.final_response().await?;
    request.input.extend(response.output_items());
    Ok(response.output_text())
}
