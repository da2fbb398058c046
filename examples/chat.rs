//! A chat in the terminal: each line is a question.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example chat
//! ```
//!
//! Without a key, the example talks to the embedded server, which repeats each question.

use std::{
    env,
    error::Error,
    io::{self, BufRead as _, Write as _},
};

use responses_client::{
    Item, ResponsesClient, ResponsesRequest, ResponsesSession,
    testing::{Exchange, Script, ScriptedServer, Turn},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = ScriptedServer::start(Script::new().respond(repeat)).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };

    let mut session = client.session();
    // The WebSocket opens while the user types.
    session.preconnect()?;
    let mut request = ResponsesRequest::new("gpt-6-astra");
    request.input.push(Item::developer("Answer in one sentence."));
    for line in io::stdin().lock().lines() {
        let before = request.clone();
        request.input.push(Item::user(line?));
        if let Err(error) = answer(&mut session, &mut request).await {
            // The conversation goes on without the question that has no answer.
            println!("[{error}]");
            request = before;
        }
    }
    session.close().await;
    Ok(())
}

/// Prints the answer to the last message of `request`, and adds the answer to `request`.
async fn answer(
    session: &mut ResponsesSession,
    request: &mut ResponsesRequest,
) -> Result<(), Box<dyn Error>> {
    let mut stream = session.stream(&*request).await?;
    while let Some(event) = stream.try_next().await? {
        if let Some(text) = event.text_delta().or(event.refusal_delta()) {
            print!("{text}");
            io::stdout().flush()?;
        }
    }
    println!();
    request.input.extend(stream.final_response().await?.output_items());
    Ok(())
}

fn repeat(exchange: &Exchange) -> Turn {
    let question = exchange.history.last().map(|item| &item["content"][0]["text"]);
    Turn::text(format!("You said: {}", question.and_then(|it| it.as_str()).unwrap_or_default()))
}
