//! The first turn of a session: without preparation, with an open WebSocket, and with a request that
//! the server has processed.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example prewarm
//! ```
//!
//! Without a key, the example asks the embedded server, where opening a WebSocket takes
//! 200 ms. The tokens of a request that is processed ahead are billed.

use std::{env, error::Error, time::Duration};

use responses_client::{
    Item, ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn, Upgrade},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let slow = Upgrade::Delay(Duration::from_millis(200));
    let answers = Script::new().respond(|_| Turn::text("Rayleigh scattering."));
    let server = ScriptedServer::start(answers.every_upgrade(slow)).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };
    let request = ResponsesRequest::new("gpt-6-astra").instructions("Answer in one sentence.");

    for ahead in ["nothing", "connect", "prewarm"] {
        let mut session = client.session();
        match ahead {
            "connect" => session.preconnect()?,
            "prewarm" => session.prewarm(&request)?,
            _ => {}
        }
        // The user types the question.
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
