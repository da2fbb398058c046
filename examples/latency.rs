//! The same conversation over each transport, with the time to the first event, to the first text,
//! and of the whole turn: what `responses bench` measures, by calls of the library.
//!
//! ```text
//! cargo run --release --example latency -- 5          # over an emulated network
//! OPENAI_API_KEY=… cargo run --release --example latency -- 5
//! ```
//!
//! The argument is the number of turns. Without a key, the example uses the embedded server behind a
//! network that behaves like one across a continent. The clock is paused, so that nothing waits.

use std::{env, error::Error, time::Duration};

use responses_client::{
    Item, Provider, ResponsesClient, ResponsesClientBuilder, ResponsesRequest, Timeouts,
    TransportPolicy,
    testing::{Link, Script, ScriptedServer, Turn},
};
use tokio::runtime;

/// Factor by which the emulated network is slower than it claims: tokio's timers count whole
/// milliseconds, and a paused clock makes slowness cheap.
const SLOWNESS: u32 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let turns = env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let live = env::var_os("OPENAI_API_KEY").is_some();
    let runtime =
        runtime::Builder::new_current_thread().enable_all().start_paused(!live).build()?;
    runtime.block_on(compare(turns, live))
}

async fn compare(turns: usize, live: bool) -> Result<(), Box<dyn Error>> {
    for (way, policy, incremental) in [
        ("WebSocket, new items", TransportPolicy::WebSocketOnly, true),
        ("WebSocket, in full", TransportPolicy::WebSocketOnly, false),
        ("SSE", TransportPolicy::SseOnly, true),
    ] {
        let pace = Duration::from_micros(12_500) * SLOWNESS; // 80 tokens a second
        let script = Script::new().respond(move |_| Turn::text("A short answer.").paced(pace));
        let server = ScriptedServer::in_memory(script);
        let (builder, slowness) = match live {
            true => (ResponsesClient::builder_from_env()?, 1),
            false => (emulated(&server)?, SLOWNESS),
        };
        let client = builder.transport(policy).incremental(incremental).build()?;
        println!("{way}: first event, first text, whole turn in ms; bytes sent");
        conversation(&client, turns, slowness).await?;
    }
    Ok(())
}

/// Returns a builder of clients that reach `server` over the emulated network. They wait as long as
/// it takes, because the network is slowed and timeouts are not.
fn emulated(server: &ScriptedServer) -> Result<ResponsesClientBuilder, Box<dyn Error>> {
    let connector = server.connector().over(Link::transcontinental().slowed_by(SLOWNESS))?;
    let timeouts = Timeouts::default()
        .connect(None)
        .send(None)
        .first_event_websocket(None)
        .first_event_sse(None)
        .between_events_sse(None)
        .ping(None);
    let provider = Provider::compatible(&server.url())?.max_age(None);
    Ok(server.client_builder().connector(&connector).provider(provider).timeouts(timeouts))
}

async fn conversation(
    client: &ResponsesClient,
    turns: usize,
    slowness: u32,
) -> Result<(), responses_client::Error> {
    let mut session = client.session();
    let mut request = ResponsesRequest::new("gpt-6-astra");
    request.input.push(Item::developer("Be brief. ".repeat(5000)));
    for turn in 1..=turns {
        request.input.push(Item::user(format!("Question {turn}")));
        let response = session.respond(&request).await?;
        request.input.extend(response.output_items());
        let timings = response.report().timings;
        let times = [timings.first_event, timings.first_text, timings.done];
        for time in times {
            print!("{:>9.1}", (time.unwrap_or_default() / slowness).as_secs_f64() * 1e3);
        }
        println!("{:>9} B", response.report().bytes_sent);
    }
    Ok(())
}
