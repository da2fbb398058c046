//! Tokens that expire: the client fetches one, and fetches another after the server refuses it.
//!
//! The identity provider and the server run in this process.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use responses_client::{
    Auth, ResponsesRequest,
    testing::{Exchange, Script, ScriptedServer, Turn},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = ScriptedServer::start(Script::new().respond(check)).await?;
    let issued = Arc::new(AtomicU32::new(0));
    let login = Arc::clone(&issued);
    // The closure runs for the first token, and again after the server has refused a token. All
    // sessions of the client share the token.
    let auth = Auth::provider_fn(move || {
        let login = Arc::clone(&login);
        async move {
            let number = login.fetch_add(1, Ordering::Relaxed) + 1;
            println!("token {number} is fetched");
            Ok(format!("token-{number}"))
        }
    });
    let client = server.client_builder().auth(auth).build()?;

    let request = ResponsesRequest::new("gpt-6-astra").input("Say hello.");
    for _ in 0..2 {
        let response = client.session().respond(&request).await?;
        println!("{} ({} attempts)", response.output_text(), response.report().attempts.len());
    }
    assert_eq!(issued.load(Ordering::Relaxed), 2);
    Ok(())
}

/// Accepts all tokens but the first.
fn check(exchange: &Exchange) -> Turn {
    let expired = exchange.headers.iter().any(|(_, value)| value == "Bearer token-1");
    match expired {
        true => Turn::error(401, "token_expired", "The token has expired."),
        false => Turn::text("Hello."),
    }
}
