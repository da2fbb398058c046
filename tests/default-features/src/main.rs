//! Runs two turns over each transport against `responses serve`:
//!
//! ```text
//! cargo build --bin responses --features cli
//! cp Cargo.lock tests/default-features
//! cargo run --offline --manifest-path tests/default-features/Cargo.toml --target-dir target -- \
//!     target/debug/responses
//! ```

use std::{
    error::Error,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use responses_client::{
    Item, Provider, ResponsesClient, ResponsesRequest, Transport, TransportPolicy, report::Plan,
};
use serde_json::Value;

const SCRIPT: &str =
    r#"{ "turns": [{ "text": "one" }, { "text": "two" }, { "text": "one" }, { "text": "two" }] }"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let tool = std::env::args().nth(1).ok_or("usage: default-features PATH_OF_RESPONSES")?;
    let script = std::env::temp_dir().join(format!("default-features-{}.json", std::process::id()));
    std::fs::write(&script, SCRIPT)?;
    let mut server = Command::new(tool)
        .args(["serve", "--script"])
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    std::fs::remove_file(&script)?;
    let ready: Value = serde_json::from_str(&line)?;
    let url = ready["url"].as_str().ok_or("no URL")?;

    turns(url, TransportPolicy::WebSocketOnly, Transport::WebSocket).await?;
    turns(url, TransportPolicy::SseOnly, Transport::Sse).await?;

    // The server ends with its input.
    drop(server.stdin.take());
    assert!(server.wait()?.success());
    Ok(())
}

async fn turns(
    url: &str,
    policy: TransportPolicy,
    transport: Transport,
) -> Result<(), Box<dyn Error>> {
    let client = ResponsesClient::builder()
        .provider(Provider::compatible(url)?)
        .transport(policy)
        .build()?;
    let mut session = client.session();
    let mut request = ResponsesRequest::new("m").store(false);
    for answer in ["one", "two"] {
        request.input.push(Item::user("hi"));
        let mut stream = session.stream(&request).await?;
        let mut streamed = String::new();
        while let Some(event) = stream.try_next().await? {
            streamed += event.text_delta().unwrap_or_default();
        }
        let report = stream.report().clone();
        let response = stream.final_response().await?;
        assert_eq!((&*streamed, &*response.output_text()), (answer, answer));
        assert_eq!(report.transport, Some(transport));
        let is_incremental = matches!(report.plan, Some(Plan::Incremental { .. }));
        assert_eq!(is_incremental, answer == "two" && transport == Transport::WebSocket);
        println!("{transport}: {answer}");
        request.input.extend(response.output_items());
    }
    Ok(())
}
