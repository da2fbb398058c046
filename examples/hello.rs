//! One question, and its answer as the model writes it.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example hello -- "Why is the sky blue?"
//! ```
//!
//! Without a key, the example asks the embedded server.

use std::{env, error::Error, io::Write as _};

use responses_client::{
    ResponsesClient, ResponsesRequest,
    testing::{Script, ScriptedServer, Turn},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let script = Script::new().turn(Turn::text("Rayleigh scattering."));
    let server = ScriptedServer::start(script).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };

    let question = env::args().nth(1).unwrap_or_else(|| "Why is the sky blue?".to_owned());
    let request = ResponsesRequest::new("gpt-6-astra").input(question);
    let mut stream = client.session().stream(&request).await?;
    while let Some(event) = stream.try_next().await? {
        if let Some(text) = event.text_delta() {
            print!("{text}");
            // Standard output holds text back until the end of a line.
            std::io::stdout().flush()?;
        }
    }
    println!();
    Ok(())
}
