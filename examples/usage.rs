//! Token usage of a conversation, remaining rates, and what the client does at a rate limit.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example usage
//! ```
//!
//! Without a key, the example uses the embedded server, which refuses the second turn once.

use std::{env, error::Error, time::Duration};

use responses_client::{
    AttemptFailed, Item, ResponsesClient, ResponsesRequest, RetryPolicy, TurnObserver,
    event::Usage,
    testing::{Script, ScriptedServer, Turn},
};

/// Shows the waits between attempts, in which a caller sees no event.
struct ShowWaits;

impl TurnObserver for ShowWaits {
    fn attempt_failed(&self, failed: &AttemptFailed) {
        println!("  {}; next attempt in {:.1?}", failed.message, failed.delay);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let limited = Turn::error(429, "rate_limit_exceeded", "Too many requests.");
    let script = Script::new()
        .header("x-ratelimit-remaining-requests", "41")
        .header("x-ratelimit-remaining-tokens", "149000")
        .turn(Turn::text("One."))
        .turn(limited.retry_after(Duration::ZERO))
        .turn(Turn::text("Two."));
    let server = ScriptedServer::start(script).await?;
    let builder = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::builder_from_env()?,
        None => server.client_builder(),
    };
    // A turn fails, instead of waiting, if the server asks for more than 20 seconds.
    let retry = RetryPolicy::default().max_attempts(6).max_retry_after(Duration::from_secs(20));
    let client = builder.retry(retry).observer(ShowWaits).build()?;

    let mut session = client.session();
    let mut request = ResponsesRequest::new("gpt-6-astra").max_output_tokens(200);
    let mut total = Usage::default();
    for question in ["Say one.", "Say two."] {
        println!("{question}");
        request.input.push(Item::user(question));
        let response = match session.respond(&request).await {
            Ok(response) => response,
            Err(error) if error.is_rate_limited() => {
                println!("  try again in {:?}", error.retry_after());
                break;
            }
            Err(error) => return Err(error.into()),
        };
        request.input.extend(response.output_items());
        let usage = response.usage().unwrap_or_default();
        total += usage;
        println!(
            "  {} {} tokens in ({} cached), {} out",
            response.output_text(),
            usage.input_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.output_tokens,
        );
        let rates = response.report().server.rate_limits();
        println!("  remaining: {:?} requests", rates.requests.remaining);
    }
    println!("{} tokens in total", total.total_tokens);
    Ok(())
}
