//! Fifty conversations at the same time, each with its own session, and a limit on those that run.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example many_sessions
//! ```
//!
//! Without a key, the example runs against the embedded server.

use std::{env, error::Error, sync::Arc};

use responses_client::{
    Item, ResponsesClient, ResponsesRequest,
    event::Usage,
    testing::{Script, ScriptedServer, Turn},
};
use tokio::{sync::Semaphore, task::JoinSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let script = Script::new().respond(|exchange| Turn::text(exchange.history.len().to_string()));
    let server = ScriptedServer::start(script).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };

    let running = Arc::new(Semaphore::new(16));
    let mut conversations = JoinSet::new();
    for number in 0..50 {
        // A client is cheap to clone, and its sessions share settings and connections.
        let (client, running) = (client.clone(), Arc::clone(&running));
        conversations.spawn(async move {
            let _permit = running.acquire().await;
            conversation(&client, number).await
        });
    }
    let results = conversations.join_all().await;
    let failed = results.iter().filter(|result| result.is_err()).count();
    let usage: Usage = results.iter().flatten().copied().sum();
    println!("{} conversations, {failed} failed", results.len());
    println!("{} tokens in, {} out", usage.input_tokens, usage.output_tokens);
    client.close().await;
    Ok(())
}

/// Runs a conversation of two turns, and returns its token usage.
async fn conversation(
    client: &ResponsesClient,
    number: u32,
) -> Result<Usage, responses_client::Error> {
    let mut session = client.session();
    let mut request = ResponsesRequest::new("gpt-6-astra");
    let mut usage = Usage::default();
    for question in [format!("Name the number after {number}."), "And the next one?".to_owned()] {
        request.input.push(Item::user(question));
        let response = session.respond(&request).await?;
        request.input.extend(response.output_items());
        usage += response.usage().unwrap_or_default();
    }
    Ok(usage)
}
