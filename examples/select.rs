//! Two turns at the same time, read in one loop with `select!`: the first answer wins, and the
//! other turn is cancelled.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example select
//! ```
//!
//! Without a key, the example uses the embedded server, on which one model is slow.

use std::{env, error::Error, time::Duration};

use responses_client::{
    ResponsesClient, ResponsesRequest,
    testing::{Exchange, Script, ScriptedServer, Step, Turn},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = ScriptedServer::start(Script::new().respond(model)).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };
    let request = |model| ResponsesRequest::new(model).input("Why is the sky blue?");
    let (mut large, mut small) = (client.session(), client.session());
    let (mut large, mut small) = tokio::try_join!(
        large.stream(request("gpt-6.2-astra")),
        small.stream(request("gpt-6-luna")),
    )?;

    let mut progress = tokio::time::interval(Duration::from_millis(100));
    loop {
        // Dropping a wait for the next event loses no event, so that each branch may lose.
        let (name, event) = tokio::select! {
            event = large.try_next() => ("large", event?),
            event = small.try_next() => ("small", event?),
            _ = progress.tick() => {
                println!("waiting");
                continue;
            }
        };
        if event.is_none() {
            let winner = if name == "large" { large } else { small };
            println!("{name}: {}", winner.final_response().await?.output_text());
            return Ok(());
        }
    }
}

/// The models of the embedded server.
fn model(exchange: &Exchange) -> Turn {
    let answer = Turn::text("Rayleigh scattering.");
    match exchange.body["model"] == "gpt-6.2-astra" {
        true => answer.insert(2, Step::Delay(Duration::from_secs(5))),
        false => answer,
    }
}
