//! Arguments of `bench`, checked before anything is sent.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use responses_client::testing::{Link, Script};
use serde_json::{Value, json};

use super::{
    measure::Plan,
    sample::Mode,
    site::{Emulated, Site},
    workload::{self, Pace, Workload},
};
use crate::{client_args::ClientArgs, stop::Stop};

mod limits;

/// Measures what each transport costs, with an agent's conversation over an emulated network
///
/// Each turn is sent in each mode: over one WebSocket with only the new items, over one WebSocket in
/// full, over SSE on a kept connection, and over SSE on a new connection; on request also over one
/// WebSocket with compressed messages (websocket-deflate). Before that, the emulated
/// network is measured against its own settings. Its clock is paused, so that a conversation of
/// minutes takes a moment, and a seed gives the same figures each time, except for CPU time.
///
/// CPU time is that of the client in one more conversation, over loopback and without the model's
/// pace.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
#[command(mut_group("ClientArgs", |group| group.requires("live")))]
#[command(mut_group("LinkArgs", |group| group.conflicts_with("live")))]
pub(crate) struct Args {
    /// Turns of a conversation
    #[arg(long, value_name = "N", default_value = "20", value_parser = at_least_one)]
    turns: usize,

    /// Conversations in each mode
    ///
    /// With less than 3, differences are judged by turns as if these were independent, which they
    /// are not where segments are lost.
    #[arg(long, value_name = "N", default_value = "10", value_parser = at_least_one)]
    rounds: usize,

    /// Modes to measure, separated by commas; a mode that is given twice is compared with itself
    #[arg(long, value_name = "MODES", value_delimiter = ',', default_values = MODES)]
    modes: Vec<Mode>,

    /// Bytes of instructions and tools, for example 20k
    #[arg(long, value_name = "BYTES", default_value = "20k", value_parser = bytes)]
    head: usize,

    /// Bytes of new input in each turn
    #[arg(long, value_name = "BYTES", default_value = "2k", value_parser = bytes)]
    item: usize,

    /// Tokens of an answer, of four characters each
    ///
    /// With --live, the limit of an answer (max_output_tokens), which includes reasoning. OpenAI takes
    /// at least 16.
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        value_parser = tokens,
        conflicts_with = "recording"
    )]
    tokens: usize,

    /// Time of the model before its first token
    #[arg(
        long,
        value_name = "TIME",
        default_value = "300ms",
        value_parser = time,
        allow_hyphen_values = true,
        conflicts_with_all = ["recording", "live"]
    )]
    think: Duration,

    /// Pace of the model
    #[arg(
        long,
        value_name = "N",
        default_value = "80",
        value_parser = rate,
        allow_hyphen_values = true,
        conflicts_with_all = ["recording", "live"]
    )]
    tokens_per_second: f64,

    /// Time between two turns, in which the tools of the agent run
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = time,
        allow_hyphen_values = true
    )]
    tool_time: Duration,

    /// Replay the answers of a recording of `run --record`, at their pace
    ///
    /// A recording has no requests: their sizes are those of --head and --item.
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    recording: Option<PathBuf>,

    #[command(flatten)]
    link: LinkArgs,

    /// Seed of jitter and losses
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Let the emulated network take real time
    #[arg(long, conflicts_with = "live")]
    pub(super) real_time: bool,

    /// Measure also the first event at these round trips, for example rtt=0,25,50,100,200
    #[arg(long, value_name = "rtt=TIMES", value_parser = sweep, conflicts_with = "live")]
    sweep: Option<RoundTrips>,

    /// Measure a real server instead, which may bill each turn
    #[arg(long, requires_all = ["max_turns", "model"])]
    pub(super) live: bool,

    /// Limit of the turns that the real server gets, in all modes together
    #[arg(long, value_name = "N", requires = "live")]
    max_turns: Option<usize>,

    /// Model of the real server
    #[arg(short, long, value_name = "NAME", requires = "live")]
    model: Option<String>,

    /// Write charts to this folder, as SVG
    #[arg(long, value_name = "DIR")]
    pub(super) chart: Option<PathBuf>,

    /// Write the figures as one line of JSON
    #[arg(long)]
    pub(super) json: bool,

    /// Compare two outputs of --json, and measure nothing
    #[arg(long, value_names = ["A", "B"], num_args = 2, exclusive = true)]
    pub(super) compare: Option<Vec<PathBuf>>,

    #[command(flatten)]
    client: ClientArgs,
}

/// The emulated network.
#[derive(clap::Args)]
struct LinkArgs {
    /// Network to emulate: lan, same-region, transcontinental or mobile
    #[arg(long, value_name = "NAME", default_value = "same-region", value_parser = preset)]
    preset: Preset,

    /// Round trip [default: that of the preset]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    rtt: Option<Duration>,

    /// Greatest random delay in one direction [default: that of the preset]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    jitter: Option<Duration>,

    /// Bandwidth in both directions, for example 50mbit or none [default: that of the preset]
    #[arg(long, value_name = "RATE", value_parser = bandwidth, allow_hyphen_values = true)]
    bandwidth: Option<Bandwidth>,

    /// Bandwidth from the client to the server
    #[arg(long, value_name = "RATE", value_parser = bandwidth, allow_hyphen_values = true)]
    bandwidth_up: Option<Bandwidth>,

    /// Bandwidth from the server to the client
    #[arg(long, value_name = "RATE", value_parser = bandwidth, allow_hyphen_values = true)]
    bandwidth_down: Option<Bandwidth>,

    /// Share of the segments that are lost, for example 0.5% [default: that of the preset]
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    loss: Option<f64>,

    /// Use TLS [default: true]
    #[arg(long, value_name = "true|false")]
    tls: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
struct Preset {
    name: String,
    link: Link,
}

/// Bits per second; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bandwidth(Option<u64>);

/// Round trips to measure.
#[derive(Clone, Debug, PartialEq)]
struct RoundTrips(Vec<Duration>);

const MODES: [&str; 4] =
    ["websocket-incremental", "websocket-full", "sse-keep-alive", "sse-new-connection"];

const AFTER_HELP: &str = "\
Examples:
  responses bench
  responses bench --preset mobile --chart charts
  responses bench --rtt 80 --bandwidth 20mbit --json >a.json
  responses bench --compare a.json b.json
  responses bench --modes websocket-incremental,websocket-deflate
  responses bench --modes sse-keep-alive,sse-keep-alive    # no difference is shown
  responses bench --live --model gpt-6-astra --turns 5 --rounds 3 --max-turns 60 --tokens 200

Examples of times: 50, 0.5, 500us, 1s. A number without a unit is in milliseconds.

Exit status: 0 if all turns completed, 1 if a turn failed or the emulated network is off by more
than 5 %, 2 for bad usage.";

impl Args {
    /// Returns what is measured. Sends nothing.
    pub(super) fn plan(&self) -> Result<Plan, Stop> {
        let (turns, rounds, modes) = (self.turns, self.rounds, self.modes.clone());
        let count = |mode: &Mode| modes.iter().filter(|it| *it == mode).count();
        if modes.iter().any(|mode| count(mode) > 2) {
            return Err(Stop::Bad("--modes: a mode may be given at most twice".to_owned()));
        }
        let model = self.model.as_deref().unwrap_or("gpt-6-astra");
        let limit = self.live.then_some(self.tokens);
        let workload = Workload::new(model, self.head, self.item, limit);
        let plan =
            Plan { modes, rounds, turns, workload, tool_time: self.tool_time, seed: self.seed };
        self.check_limits(&plan)?;
        let sent = plan.total_turns();
        match self.max_turns.filter(|limit| sent > *limit) {
            Some(limit) => Err(Stop::Bad(format!(
                "--max-turns {limit} is too low for the {sent} turns of this run: --turns {turns}, \
                 --rounds {rounds}, {} modes",
                self.modes.len()
            ))),
            None => Ok(plan),
        }
    }

    /// Returns the server that is measured, and the network to it.
    pub(super) fn site(&self) -> Result<Site, Stop> {
        match self.live {
            true => Ok(Site::Live(self.client.builder()?)),
            false => Ok(Site::Emulated(self.emulated(self.link.link())?)),
        }
    }

    /// Returns the round trips to sweep over, and the site at each.
    pub(super) fn sweep(&self) -> Result<Vec<(Duration, Emulated)>, Stop> {
        let Some(RoundTrips(times)) = &self.sweep else { return Ok(Vec::new()) };
        let site = |rtt: &Duration| Ok((*rtt, self.emulated(self.link.link().rtt(*rtt))?));
        times.iter().map(site).collect()
    }

    fn emulated(&self, link: Link) -> Result<Emulated, Stop> {
        // Tokio's timers have a resolution of 1 ms; on paused time, slowness costs nothing.
        let slowness = if self.real_time { 1 } else { 1000 };
        Ok(Emulated { link, script: self.script()?, slowness })
    }

    /// Returns the answers of the emulated model.
    fn script(&self) -> Result<Script, Stop> {
        let Some(path) = &self.recording else {
            let per_token = Duration::from_secs_f64(1.0 / self.tokens_per_second);
            return Ok(workload::script(Pace {
                tokens: self.tokens,
                think: self.think,
                per_token,
            }));
        };
        let bad = |why: &dyn std::fmt::Display| {
            Stop::Bad(format!("--recording {}: {why}", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|error| bad(&error))?;
        let script = Script::from_recording(&text).map_err(|error| bad(&error))?;
        let completed = completed_turns(&text);
        match script.turn_count() {
            recorded if recorded < self.turns => {
                Err(bad(&format!("it has {recorded} turns, and --turns is {}", self.turns)))
            }
            _ if completed < self.turns => {
                let failed = completed + 1;
                Err(bad(&format!("turn {failed} did not complete, and cannot be replayed")))
            }
            _ => Ok(script),
        }
    }

    /// Returns the settings for the output.
    pub(super) fn settings(&self) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let modes: Vec<&str> = self.modes.iter().map(|mode| mode.name()).collect();
        let mut settings = json!({
            "turns": self.turns,
            "rounds": self.rounds,
            "modes": modes,
            "head_bytes": self.head,
            "item_bytes": self.item,
            "tool_time_ms": ms(self.tool_time),
            "seed": self.seed,
        });
        let place = match (self.live, &self.recording) {
            (true, _) => json!({
                "live": true,
                "clock": "real",
                "model": self.model,
                "tokens": self.tokens,
            }),
            (false, recording) => {
                let link = self.link.link();
                let clock = if self.real_time { "real" } else { "paused" };
                let pace = match recording {
                    Some(path) => json!({ "recording": path.display().to_string() }),
                    None => json!({
                        "tokens": self.tokens,
                        "think_ms": ms(self.think),
                        "tokens_per_second": self.tokens_per_second,
                    }),
                };
                let link = json!({
                    "live": false,
                    "clock": clock,
                    "preset": self.link.preset.name,
                    "rtt_ms": ms(link.rtt),
                    "jitter_ms": ms(link.jitter),
                    "bandwidth_up": link.bandwidth_up,
                    "bandwidth_down": link.bandwidth_down,
                    "loss": link.loss,
                    "tls": link.tls,
                });
                merged(pace, link)
            }
        };
        settings = merged(settings, place);
        settings
    }
}

impl LinkArgs {
    fn link(&self) -> Link {
        let mut link = self.preset.link.clone();
        link.rtt = self.rtt.unwrap_or(link.rtt);
        link.jitter = self.jitter.unwrap_or(link.jitter);
        let given = |one: Option<Bandwidth>| one.or(self.bandwidth).map(|it| it.0);
        link.bandwidth_up = given(self.bandwidth_up).unwrap_or(link.bandwidth_up);
        link.bandwidth_down = given(self.bandwidth_down).unwrap_or(link.bandwidth_down);
        link.loss = self.loss.unwrap_or(link.loss);
        link.tls = self.tls.unwrap_or(link.tls);
        link
    }
}

/// Returns the number of turns of a recording before the first that did not complete.
fn completed_turns(recording: &str) -> usize {
    let lines = recording.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_completed =
        |line: &Value| line.pointer("/event/type").is_some_and(|it| it == "response.completed");
    let completed: BTreeSet<u64> = lines
        .filter(is_completed)
        .filter_map(|line| line.get("turn").and_then(Value::as_u64))
        .collect();
    // Turns are numbered from 1.
    (1..).zip(&completed).take_while(|(number, turn)| number == *turn).count()
}

/// Returns the members of both objects.
fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

fn preset(name: &str) -> Result<Preset, String> {
    let link = Link::from_name(name)
        .ok_or_else(|| format!("the presets are {}", Link::NAMES.join(", ")))?;
    Ok(Preset { name: name.to_owned(), link })
}

/// Parses a time: a number of milliseconds, or numbers with units.
fn time(text: &str) -> Result<Duration, String> {
    let time = match text.trim().parse::<f64>() {
        Ok(number) if number < 0.0 => return Err("a time cannot be negative".to_owned()),
        Ok(number) => Duration::try_from_secs_f64(number / 1e3).ok(),
        Err(_) => Some(
            humantime::parse_duration(text)
                .map_err(|_| "expected a time, for example 50, 0.5, 500us or 1s".to_owned())?,
        ),
    };
    time.filter(|time| *time <= MAX_TIME).ok_or_else(|| "must be at most 1h".to_owned())
}

fn tokens(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number <= MAX_TOKENS => Ok(number),
        Ok(_) => Err(format!("must be at most {MAX_TOKENS}")),
        Err(error) => Err(format!("{error}")),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// Parses a number of bytes, for example `20k`.
fn bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kb" => Some(1_000),
        "m" | "mb" => Some(1_000_000),
        _ => None,
    };
    let (Ok(number), Some(factor)) = (number.parse::<usize>(), factor) else {
        return Err("expected a number of bytes, for example 2000, 20k or 1m".to_owned());
    };
    match number.checked_mul(factor).filter(|bytes| *bytes <= MAX_BYTES) {
        Some(bytes) => Ok(bytes),
        None => Err("must be at most 16m".to_owned()),
    }
}

/// Parses bits per second, for example `50mbit`.
fn bandwidth(text: &str) -> Result<Bandwidth, String> {
    if text == "none" {
        return Ok(Bandwidth(None));
    }
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_lowercase().trim_end_matches("/s") {
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => {
            return Err("expected kbit, mbit or gbit, for example 50mbit, or none".to_owned());
        }
    };
    let rate: f64 = number.parse().map_err(|error| format!("{error}"))?;
    match rate * factor {
        rate if (1e3..=1e12).contains(&rate) => Ok(Bandwidth(Some(rate as u64))),
        _ => Err("must be from 1kbit to 1000gbit".to_owned()),
    }
}

/// Parses a share, for example `0.5%` or `0.005`.
fn share(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    let share = number.trim().parse::<f64>().map_err(|error| error.to_string())? * factor;
    match (0.0..=0.2).contains(&share) {
        true => Ok(share),
        false => Err("must be from 0% to 20%".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=1e6).contains(&rate) => Ok(rate),
        Ok(_) => Err("must be from 0.1 to 1000000".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Parses `rtt=0,25,50`.
fn sweep(text: &str) -> Result<RoundTrips, String> {
    let times = text
        .strip_prefix("rtt=")
        .ok_or_else(|| "expected round trips, for example rtt=0,25,50,100,200".to_owned())?;
    times.split(',').map(time).collect::<Result<_, _>>().map(RoundTrips)
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.trim(), unit)
}

/// More than any server takes in one request.
const MAX_BYTES: usize = 16_000_000;

/// Most tokens of an answer. More than any model gives.
const MAX_TOKENS: usize = 1_000_000;

/// Longest time of a setting. Tokio's clock ends after years, and the paused one is slowed by 1000.
const MAX_TIME: Duration = Duration::from_secs(3600);
