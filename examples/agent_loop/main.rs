//! A tool-calling agent over one session: 20 turns over a WebSocket, then over SSE, then with
//! `TransportPolicy::Auto` where the upgrade is refused.
//!
//! ```text
//! cargo run --release --example agent_loop                # against the embedded server
//! cargo run --release --example agent_loop -- --json      # a JSON line a turn, then a summary
//! OPENAI_API_KEY=… cargo run --release --example agent_loop -- --live [--model NAME]
//! ```
//!
//! The embedded server works with the history as it reconstructed it, and puts a digest of it into
//! its answers; the agent compares that with its own list each turn. Before turn 8 the tools
//! change, and before turn 14 the history is edited: both show as full sends with their reasons.

mod agent;
mod show;
mod tools;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use responses_client::{
    Auth, Provider, ResponsesClient, TransportPolicy,
    testing::{Refusal, Script, ScriptedServer, Upgrade},
};

use agent::Agent;

const USAGE: &str = "usage: agent_loop [--json] [--live [--model NAME]]
  --json        a JSON line a turn, and last a summary
  --live        a real endpoint: OPENAI_API_KEY, and OPENAI_BASE_URL (with its /v1) if it is another
  --model NAME  the model, with --live";

const TASK: &str = "What does this program do, and which rule decides which ship comes in next?";

/// The figures of one run.
struct Summary {
    mode: &'static str,
    turns: usize,
    connections: usize,
    full_sends: usize,
    bytes_sent: u64,
    first: Vec<Duration>,
    total: Vec<Duration>,
}

struct Options {
    json: bool,
    live: bool,
    model: String,
}

// One thread: what is measured is the client, not the scheduler.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            let mut source = std::error::Error::source(&*error);
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { json: false, live: false, model: "gpt-6-astra".to_owned() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => options.json = true,
            "--live" => options.live = true,
            "--model" => options.model = args.next().ok_or("--model needs a name")?,
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    Ok(options)
}

async fn run(options: &Options) -> Result<bool, Box<dyn std::error::Error>> {
    let mut summaries = Vec::new();
    let mut outputs = Vec::new();
    let mut same_history = true;
    let modes = [
        ("websocket", TransportPolicy::WebSocketOnly, Upgrade::Accept),
        ("sse", TransportPolicy::SseOnly, Upgrade::Accept),
        ("auto", TransportPolicy::Auto, Upgrade::Refuse(Refusal::status(426))),
    ];
    for (mode, policy, upgrade) in modes {
        if !options.json {
            println!("\n{mode}");
            show::heading();
        }
        let server = match options.live {
            true => None,
            false => Some(ScriptedServer::start(Script::agent().every_upgrade(upgrade)).await?),
        };
        let client = client(server.as_ref(), policy)?;
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/agent_loop/sample");
        let mut agent = Agent::new(client.session(), &options.model, folder, TASK);
        let mut summary = Summary::new(mode);
        let mut output = Vec::new();
        let answer = loop {
            let turn = agent.turn().await?;
            match options.json {
                true => show::json_line(mode, &turn),
                false => show::row(&turn),
            }
            summary.add(&turn);
            same_history &= turn.same_history != Some(false);
            output.extend(turn.output);
            if turn.answer.is_some() || turn.number == agent::TURNS {
                break turn.answer;
            }
        };
        if let Some(server) = &server {
            // What the server counted at its sockets is worth more than what the client says.
            let connections = server.log().connections;
            summary.bytes_sent = connections.iter().map(|it| it.bytes_received).sum();
            summary.connections = connections.len();
        }
        if let (true, false, Some(answer)) = (options.live, options.json, answer) {
            println!("{answer}");
        }
        summaries.push(summary);
        outputs.push(output);
    }
    // A real model never says the same thing twice.
    let same_output =
        (!options.live).then(|| same_history && outputs.windows(2).all(|pair| pair[0] == pair[1]));
    match options.json {
        true => show::json_summary(&summaries, same_output),
        false => {
            println!();
            show::summary(&summaries, same_output);
        }
    }
    Ok(same_output != Some(false))
}

fn client(
    server: Option<&ScriptedServer>,
    policy: TransportPolicy,
) -> Result<ResponsesClient, Box<dyn std::error::Error>> {
    let (provider, auth) = match server {
        Some(server) => (Provider::compatible(&server.url())?, Auth::None),
        None => {
            let key = std::env::var("OPENAI_API_KEY").map_err(|_| "--live needs OPENAI_API_KEY")?;
            let provider = match std::env::var("OPENAI_BASE_URL") {
                Ok(url) => Provider::compatible(&url)?,
                Err(_) => Provider::openai(),
            };
            (provider, Auth::bearer(key))
        }
    };
    Ok(ResponsesClient::builder().provider(provider).auth(auth).transport(policy).build()?)
}

impl Summary {
    fn new(mode: &'static str) -> Self {
        Self {
            mode,
            turns: 0,
            connections: 0,
            full_sends: 0,
            bytes_sent: 0,
            first: Vec::new(),
            total: Vec::new(),
        }
    }

    fn add(&mut self, turn: &agent::Turn) {
        let report = &turn.report;
        self.turns += 1;
        self.connections += usize::from(!report.reused);
        self.full_sends += usize::from(report.plan.as_ref().is_some_and(|plan| plan.is_full()));
        self.bytes_sent += report.bytes_sent;
        self.first.extend(report.timings.first_event);
        self.total.extend(report.timings.done);
    }
}
