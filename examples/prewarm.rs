//! The first turn with nothing done ahead, with an open WebSocket, and with a request that the
//! server has read.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example prewarm
//! ```
//!
//! Without a key it asks the embedded server, where opening a WebSocket takes 200 ms. Reading a
//! request ahead is billed.

use std::time::Duration;

use responses_client::{
    Auth, Item, Provider, ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn, Upgrade},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let slow = Upgrade::Delay(Duration::from_millis(200));
    let answers = Script::new().respond(|_| Turn::text("Rayleigh scattering."));
    let server = ScriptedServer::start(answers.every_upgrade(slow)).await?;
    let (provider, auth) = match std::env::var("OPENAI_API_KEY") {
        Ok(key) => (Provider::openai(), Auth::bearer(key)),
        Err(_) => (Provider::compatible(&server.url())?, Auth::None),
    };
    let client = ResponsesClient::builder(provider).auth(auth).build()?;
    let request = ResponsesRequest::new("gpt-6-astra").instructions("Answer in one sentence.");

    for ahead in ["nothing", "connect", "prewarm"] {
        let mut session = client.session();
        match ahead {
            "connect" => session.preconnect()?,
            "prewarm" => session.prewarm(&request)?,
            _ => {}
        }
        // What the user needs to type the question.
        tokio::time::sleep(Duration::from_millis(500)).await;

        let request = request.clone().input([Item::user("Why is the sky blue?")]);
        let mut stream = session.stream(&request).await?;
        while stream.try_next().await?.is_some() {}
        let report = stream.report();
        println!(
            "{ahead:8} first text after {:4.0?}; {:?}; {:?}",
            report.timings.first_text.unwrap_or_default(),
            report.prewarm,
            report.plan,
        );
    }
    Ok(())
}
