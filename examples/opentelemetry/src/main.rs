//! Exports the spans of an agent to an OpenTelemetry collector, with OTLP over HTTP.
//!
//! ```text
//! export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 OTEL_SERVICE_NAME=calculator
//! OPENAI_API_KEY=… cargo run --manifest-path examples/opentelemetry/Cargo.toml -- "2 + 3 + 4?"
//! ```
//!
//! Without a key, the agent runs against the embedded server, which refuses the second turn once:
//!
//! ```text
//! agent             one span for the whole job
//! ├─ session        the conversation
//! │  ├─ turn
//! │  │  └─ attempt
//! │  ├─ turn
//! │  │  ├─ attempt  refused: rate limit
//! │  │  └─ attempt
//! │  └─ turn
//! │     └─ attempt
//! ├─ tool           between the turns
//! └─ tool
//! ```

use std::{env, error::Error, io, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SdkTracerProvider;
use responses_client::{
    Item, ResponsesClient, ResponsesRequest, Tool,
    event::FunctionCall,
    testing::{Script, ScriptedServer, Turn, items},
};
use serde_json::{Value, json};
use tracing::{Level, instrument};
use tracing_subscriber::{filter::Targets, fmt, prelude::*};

const MODEL: &str = "gpt-6-astra";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = export_spans()?;
    let question = env::args().nth(1).unwrap_or_else(|| "What is 2 + 3 + 4?".to_owned());
    let answer = run(&question).await;
    // Exports the spans of a failed job, too. Unlike `shutdown`, reports a failed export.
    let flushed = provider.force_flush();
    println!("{}", answer?);
    Ok(flushed?)
}

/// Exports the spans of this program from now on, in batches.
fn export_spans() -> Result<SdkTracerProvider, Box<dyn Error>> {
    let exporter = SpanExporter::builder().with_http().build()?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("agent"));
    // No other targets: some trace the export itself, and tungstenite logs whole messages.
    let exported = Targets::new()
        .with_target("responses_client", Level::DEBUG)
        .with_target(env!("CARGO_CRATE_NAME"), Level::INFO);
    // Failed exports are among the warnings.
    let warnings = fmt::layer().with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(spans.with_filter(exported))
        .with(warnings.with_filter(Targets::new().with_default(Level::WARN)))
        .init();
    Ok(provider)
}

async fn run(question: &str) -> Result<String, Box<dyn Error>> {
    let add = |id, arguments| Turn::output([items::function_call(id, "add", arguments)]);
    let script = Script::new()
        .turn(add("call_1", r#"{"a":2,"b":3}"#))
        .turn(Turn::error(429, "rate_limit_exceeded", "Slow down.").retry_after(Duration::ZERO))
        .turn(add("call_2", r#"{"a":5,"b":4}"#))
        .turn(Turn::text("2 + 3 + 4 = 9"));
    let server = ScriptedServer::start(script).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => server.client()?,
    };
    agent(&client, question).await
}

/// Answers the question. Its span, like the others here, has no text of the conversation.
#[instrument(skip_all, fields(gen_ai.request.model = MODEL))]
async fn agent(client: &ResponsesClient, question: &str) -> Result<String, Box<dyn Error>> {
    let integer = json!({ "type": "integer" });
    let schema = json!({
        "type": "object",
        "properties": { "a": integer, "b": integer },
        "required": ["a", "b"],
        "additionalProperties": false,
    });
    let mut request = ResponsesRequest::new(MODEL)
        .tools([Tool::function("add", "Adds two integers.", schema)])
        .input(question);
    // The session's span is a child of the span that is current here.
    let mut session = client.session();
    loop {
        let response = session.respond(&request).await?;
        let calls = response.function_calls();
        if calls.is_empty() {
            // Ends the session's span: a span is exported when it has ended.
            session.close().await;
            return Ok(response.output_text());
        }
        request.input.extend(response.output_items());
        request.input.extend(calls.iter().map(tool));
    }
}

/// Runs a call.
#[instrument(skip_all, fields(gen_ai.tool.name = call.name))]
fn tool(call: &FunctionCall) -> Item {
    let arguments = call.arguments::<Value>().unwrap_or_default();
    match (arguments["a"].as_i64(), arguments["b"].as_i64()) {
        (Some(a), Some(b)) => call.output((a + b).to_string()),
        _ => call.output("invalid arguments"),
    }
}
