//! A planner and eight workers on one WebSocket: each worker forks the planner's conversation.
//!
//! ```text
//! OPENAI_API_KEY=… cargo run --example subagents
//! ```
//!
//! Without a key, the example runs against the embedded server. On a terminal, a table shows the lanes.

use std::io::{self, IsTerminal, Write};
use std::{env, error::Error, sync::Mutex, time::Duration};

use futures_util::future::try_join_all;
use responses_client::{
    Item, Provider, ResponsesClient, ResponsesRequest, ResponsesSession, TurnReport,
    testing::{Exchange, Script, ScriptedServer, Turn},
};

const TOPICS: [&str; 8] =
    ["errors", "names", "tests", "speed", "memory", "safety", "documentation", "dependencies"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = ScriptedServer::start(Script::new().respond(model)).await?;
    let client = match env::var_os("OPENAI_API_KEY") {
        Some(_) => ResponsesClient::from_env()?,
        None => {
            let provider = Provider::compatible(&server.url())?.named_lanes(32);
            ResponsesClient::builder().provider(provider.active_responses(16)).build()?
        }
    };
    let mut planner = client.session();
    let code = Item::user(concat!("What does this program do?\n", include_str!("agent.rs")));
    // The server keeps the responses for the WebSocket, which is enough for its lanes.
    let mut request = ResponsesRequest::new("gpt-6-astra").store(false).input([code]);
    let board = Mutex::new(Board::default());
    let response = planner.respond(&request).await?;
    board.lock().unwrap().count(&request, response.report())?;
    request.input.extend(response.output_items());

    let workers = planner.fork_n(TOPICS.len()).into_iter().zip(TOPICS).enumerate();
    let workers = workers.map(|(number, (session, topic))| {
        let mut request = request.clone(); // cheap: the history is shared
        request.input.push(Item::user(format!("Review its {topic}.")));
        work(number, session, request, &board)
    });

    for (topic, text) in TOPICS.iter().zip(try_join_all(workers).await?) {
        request.input.push(Item::user(format!("A worker reviewed the {topic}: {text}")));
    }
    let response = planner.respond(&request).await?;
    let mut board = board.into_inner().unwrap();
    board.count(&request, response.report())?;
    println!("{}", response.output_text());
    println!("{} WebSocket", client.metrics().websockets_opened);
    println!("{} bytes sent; full requests have {} bytes", board.sent, board.full);
    client.close().await;
    Ok(())
}

/// Runs the turn of a worker, and returns its text.
async fn work(
    number: usize,
    mut session: ResponsesSession,
    request: ResponsesRequest,
    board: &Mutex<Board>,
) -> Result<String, Box<dyn Error>> {
    let mut stream = session.stream(&request).await?;
    let mut text = String::new();
    while let Some(event) = stream.try_next().await? {
        text += event.text_delta().unwrap_or_default();
        board.lock().unwrap().show(number, stream.report(), &text, false)?;
    }
    let mut board = board.lock().unwrap();
    board.show(number, stream.report(), &text, true)?;
    board.count(&request, stream.report())?;
    Ok(text)
}

/// Bytes of all requests, and a line for each worker.
#[derive(Default)]
struct Board {
    sent: u64,
    full: u64,
    lines: [String; TOPICS.len()],
}

impl Board {
    fn count(&mut self, request: &ResponsesRequest, report: &TurnReport) -> io::Result<()> {
        self.sent += report.bytes_sent;
        self.full += serde_json::to_vec(request)?.len() as u64;
        Ok(())
    }

    /// Draws the lines again on a terminal; otherwise writes the line of a worker at its end.
    fn show(
        &mut self,
        worker: usize,
        report: &TurnReport,
        text: &str,
        end: bool,
    ) -> io::Result<()> {
        let lane = report.lane.as_deref().unwrap_or("default");
        let (topic, sent) = (TOPICS[worker], report.bytes_sent);
        let text: String = text.chars().filter(|c| !c.is_control()).take(50).collect();
        let line = format!("{lane:7}  {topic:13}  {sent} bytes sent  {text}");
        let mut out = io::stdout();
        if !out.is_terminal() {
            return if end { writeln!(out, "{line}") } else { Ok(()) };
        }
        let up = if self.lines.iter().all(String::is_empty) { "" } else { "\x1b[8A" };
        self.lines[worker] = line;
        write!(out, "{up}")?;
        self.lines.iter().try_for_each(|line| writeln!(out, "\x1b[2K{line}"))
    }
}

/// The model of the embedded server.
fn model(exchange: &Exchange) -> Turn {
    Turn::text(format!("{} items", exchange.history.len())).paced(Duration::from_millis(20))
}
