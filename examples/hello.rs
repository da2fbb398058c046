//! One question, its answer as it is written.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example hello -- "Why is the sky blue?"
//! ```
//!
//! Without a key it asks the embedded server.

use std::io::Write as _;

use responses_client::{
    Auth, Item, Provider, ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server =
        ScriptedServer::start(Script::new().turn(Turn::text("Rayleigh scattering."))).await?;
    let (provider, auth) = match std::env::var("OPENAI_API_KEY") {
        Ok(key) => (Provider::openai(), Auth::bearer(key)),
        Err(_) => (Provider::compatible(&server.url())?, Auth::None),
    };
    let client = ResponsesClient::builder(provider).auth(auth).build()?;

    let question = std::env::args().nth(1).unwrap_or_else(|| "Why is the sky blue?".to_owned());
    let mut request = ResponsesRequest::new("gpt-6-astra");
    request.input.push(Item::user(&question));

    let mut session = client.session();
    let mut stream = session.stream(&request).await?;
    while let Some(event) = stream.try_next().await? {
        if let Some(text) = event.text_delta() {
            print!("{text}");
            std::io::stdout().flush()?;
        }
    }
    println!();
    Ok(())
}
