//! Tests of an application against a server with faults.
//!
//! `summarize` is the function to test. In your own code, the functions below it are tests with
//! `#[tokio::test(start_paused = true)]`, which take no real time.

use std::{error::Error, time::Duration};

use responses_client::{
    ResponsesClient, ResponsesRequest, RetryAction,
    testing::{Refusal, Script, ScriptedServer, Step, Turn, Upgrade},
};

/// Summarizes a text. `None` asks the caller to try again later.
async fn summarize(
    client: &ResponsesClient,
    text: &str,
) -> Result<Option<String>, responses_client::Error> {
    let request =
        ResponsesRequest::new("gpt-6-astra").instructions("Summarize in one sentence.").input(text);
    match client.session().respond(&request).await {
        Ok(response) => Ok(Some(response.output_text())),
        Err(error) => match error.retry_action() {
            RetryAction::Retry | RetryAction::RetryMayRepeat => Ok(None),
            _ => Err(error),
        },
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    a_rate_limit_is_waited_out().await?;
    a_blocked_websocket_costs_nothing().await?;
    a_cut_answer_is_no_answer().await?;
    a_bad_key_is_an_error().await?;
    println!("4 tests passed");
    Ok(())
}

async fn a_rate_limit_is_waited_out() -> Result<(), Box<dyn Error>> {
    let limited = Turn::error(429, "rate_limit_exceeded", "Too many requests.");
    let limited = limited.retry_after(Duration::from_secs(20));
    let script = Script::new().turn(limited).turn(Turn::text("Short."));
    let server = ScriptedServer::in_memory(script);
    assert_eq!(summarize(&server.client()?, "Long.").await?.as_deref(), Some("Short."));
    assert_eq!(server.log().requests.len(), 2);
    Ok(())
}

async fn a_blocked_websocket_costs_nothing() -> Result<(), Box<dyn Error>> {
    let script = Script::new().every_upgrade(Upgrade::Refuse(Refusal::status(403)));
    let server = ScriptedServer::in_memory(script.turn(Turn::text("Short.")));
    assert_eq!(summarize(&server.client()?, "Long.").await?.as_deref(), Some("Short."));
    assert_eq!(server.log().posts().count(), 1);
    Ok(())
}

async fn a_cut_answer_is_no_answer() -> Result<(), Box<dyn Error>> {
    let cut = Turn::text("An answer of several words.").cut_after(6, Step::Reset);
    let server = ScriptedServer::in_memory(Script::new().turn(cut));
    assert_eq!(summarize(&server.client()?, "Long.").await?, None);
    Ok(())
}

async fn a_bad_key_is_an_error() -> Result<(), Box<dyn Error>> {
    let refused = Turn::error(401, "invalid_api_key", "Incorrect API key provided.");
    let server = ScriptedServer::in_memory(Script::new().turn(refused));
    let error = summarize(&server.client()?, "Long.").await.expect_err("a bad key");
    assert!(error.is_authentication());
    Ok(())
}
