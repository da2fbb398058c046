//! One conversation in each of the four modes of `responses bench`, by calls of the library: the time
//! to the first event, to the first text, and of the whole turn, and the bytes of the request.
//!
//! ```text
//! cargo run --release --example latency -- 5          # over an emulated network
//! OPENAI_API_KEY=… cargo run --release --example latency -- 5
//! ```
//!
//! The argument is the number of turns. Without a key, the example uses the embedded server behind a
//! network that behaves like one across a continent. The clock is paused, so that nothing waits.
//!
//! The example has no repetitions, statistics, check of the network, CPU time or calls of tools, and
//! does not count the bytes of TLS and of the heads of HTTP: `responses bench` does.

use std::{env, error::Error, time::Duration};

use responses_client::{
    Item, Provider, ResponsesClient, ResponsesClientBuilder, ResponsesRequest, ResponsesSession,
    Timeouts, TransportPolicy,
    testing::{Link, Script, ScriptedServer, Step, Turn},
};
use tokio::{runtime, time::sleep};

/// Factor by which the emulated network is slower than it claims: tokio's timers count whole
/// milliseconds, and a paused clock makes slowness cheap.
const SLOWNESS: u32 = 1000;
/// Time of the model before its first token.
const THINK: Duration = Duration::from_millis(300);
/// Time between two tokens.
const TOKEN: Duration = Duration::from_micros(12_500);
/// Time between two turns, in which the tools of an agent run. It is so long that TCP starts again
/// with a small window.
const TOOLS: Duration = Duration::from_secs(1);

/// Way to send the turns of a conversation.
struct Mode {
    title: &'static str,
    policy: TransportPolicy,
    /// Sends only new items, over a WebSocket.
    incremental: bool,
    /// Uses a new connection for each turn.
    reconnects: bool,
}

const MODES: [Mode; 4] = [
    mode("WebSocket, new items", TransportPolicy::WebSocketOnly, true, false),
    mode("WebSocket, in full", TransportPolicy::WebSocketOnly, false, false),
    mode("SSE, kept connection", TransportPolicy::SseOnly, false, false),
    mode("SSE, new connection", TransportPolicy::SseOnly, false, true),
];

const fn mode(
    title: &'static str,
    policy: TransportPolicy,
    incremental: bool,
    reconnects: bool,
) -> Mode {
    Mode { title, policy, incremental, reconnects }
}

fn main() -> Result<(), Box<dyn Error>> {
    let turns = env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let live = env::var_os("OPENAI_API_KEY").is_some();
    let runtime =
        runtime::Builder::new_current_thread().enable_all().start_paused(!live).build()?;
    MODES.iter().try_for_each(|mode| runtime.block_on(measure(mode, turns, live)))
}

async fn measure(mode: &Mode, turns: usize, live: bool) -> Result<(), Box<dyn Error>> {
    let answer = Turn::text("A short answer.").paced(TOKEN * SLOWNESS);
    let answer = answer.insert(2, Step::Delay(THINK * SLOWNESS));
    let server = ScriptedServer::in_memory(Script::new().respond(move |_| answer.clone()));
    let slowness = if live { 1 } else { SLOWNESS };
    let session = || -> Result<ResponsesSession, Box<dyn Error>> {
        let builder = if live { ResponsesClient::builder_from_env()? } else { emulated(&server)? };
        let builder = builder.transport(mode.policy).incremental(mode.incremental);
        Ok(builder.build()?.session())
    };
    println!("{}: first event, first text, whole turn in ms; bytes sent", mode.title);
    let mut kept = session()?;
    let mut request = ResponsesRequest::new("gpt-6-astra").instructions("Be brief. ".repeat(3800));
    for turn in 1..=turns {
        if turn > 1 {
            sleep(TOOLS * slowness).await;
        }
        if mode.reconnects {
            kept = session()?;
        }
        request.input.push(Item::user("Why? ".repeat(400)));
        let response = kept.respond(&request).await?;
        request.input.extend(response.output_items());
        let timings = response.report().timings;
        for time in [timings.first_event, timings.first_text, timings.done] {
            print!("{:>9.1}", (time.unwrap_or_default() / slowness).as_secs_f64() * 1e3);
        }
        println!("{:>9} B", response.report().bytes_sent);
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
