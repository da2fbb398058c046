//! A soak: long conversations with a server that fails in every way it knows, by chance.
//!
//! ```text
//! cargo run --release --example soak -- --turns 20000 --seed 1
//! cargo run --release --example soak -- --turns 20000 --seed 1 --transport websocket --json
//! ```
//!
//! The server's own records say whether the client kept its promises: the history it works with is
//! the caller's, whatever was edited, lost or forked; nothing runs twice that may not; a turn has
//! its own events, all of them, and one outcome; a steer is applied once, to the response that the
//! caller is told of, or is given back; and nothing is left behind. Time is paused and no
//! socket is opened, so that the same seed is the same run. The first violation ends it, with
//! status 1.

mod asked;
mod attempt;
mod driver;
mod lane_server;
mod lanes;
mod login;
mod messages;
mod oracle;
mod server;
mod steered;
mod steers;
mod values;

use std::{collections::BTreeMap, fmt::Display, process::ExitCode};

use responses_client::TransportPolicy;
use serde_json::json;

use driver::{Figures, Options, soak};

const USAGE: &str = "usage: soak [--turns N] [--seed N] [--transport auto|websocket|sse] [--lanes]
            [--json]
  --turns N      how many turns; 2000 unless given
  --seed N       what chance begins with; 1 unless given
  --transport T  over what; chance decides unless given
  --lanes        all conversations run beside others; otherwise, those of one episode in four
  --json         the figures as one line of JSON";

fn main() -> ExitCode {
    let (options, as_json) = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let figures = soak(options);
    match as_json {
        true => println!("{}", as_json_line(options.seed, &figures)),
        false => println!("{}", as_line(options.seed, &figures)),
    }
    match figures.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            eprintln!("seed {}, {violation}", options.seed);
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<(Options, bool), String> {
    let mut options = Options { turns: 2000, seed: 1, transport: None, lanes: false };
    let mut as_json = false;
    let number = |name: &str, value: Option<String>| {
        value.and_then(|it| it.parse().ok()).ok_or(format!("{name} needs a number"))
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--turns" => options.turns = number(&arg, args.next())?,
            "--seed" => options.seed = number(&arg, args.next())?,
            "--transport" => {
                options.transport = Some(match args.next().as_deref() {
                    Some("auto") => TransportPolicy::Auto,
                    Some("websocket") => TransportPolicy::WebSocketOnly,
                    Some("sse") => TransportPolicy::SseOnly,
                    _ => return Err("--transport needs auto, websocket or sse".to_owned()),
                });
            }
            "--lanes" => options.lanes = true,
            "--json" => as_json = true,
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    Ok((options, as_json))
}

fn as_line(seed: u64, figures: &Figures) -> String {
    let Figures {
        turns,
        outcomes,
        faults,
        attempts,
        full,
        incremental,
        connections,
        lanes,
        steers,
        violation,
    } = figures;
    format!(
        "seed {seed}: {turns} turns ({}); faults: {}; steers: {}; {attempts} attempts, {full} full \
         and {incremental} incremental, {connections} connections, {lanes} named lanes; {} \
         violations",
        list(outcomes),
        list(faults),
        list(steers),
        u8::from(violation.is_some()),
    )
}

fn list(counts: &BTreeMap<impl Display, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(name, times)| format!("{times} {name}")).collect();
    counts.join(", ")
}

fn as_json_line(seed: u64, figures: &Figures) -> String {
    let Figures {
        turns,
        outcomes,
        faults,
        attempts,
        full,
        incremental,
        connections,
        lanes,
        steers,
        violation,
    } = figures;
    json!({
        "seed": seed,
        "turns": turns,
        "outcomes": outcomes,
        "faults": faults,
        "attempts": attempts,
        "full": full,
        "incremental": incremental,
        "connections": connections,
        "lanes": lanes,
        "steers": steers,
        "violations": u8::from(violation.is_some()),
        "violation": violation,
    })
    .to_string()
}
