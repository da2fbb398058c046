//! Runs that are refused before anything is sent.

use std::fs;

use clap::ValueEnum;

use super::Args;
use crate::{
    bench::{measure::Plan, sample::Mode},
    stop::Stop,
};

impl Args {
    /// Checks that the server takes each request of `plan`, and that the run takes minutes at most.
    pub(super) fn check_limits(&self, plan: &Plan) -> Result<(), Stop> {
        self.check_websocket()?;
        self.check_frames()?;
        self.check_tokens(plan)
    }

    fn check_websocket(&self) -> Result<(), Stop> {
        if !self.live || !self.modes.iter().any(|mode| mode.is_websocket()) {
            return Ok(());
        }
        match self.client.provider_without_websocket()? {
            None => Ok(()),
            Some(server) => {
                Err(Stop::Bad(format!("{server} has no WebSocket: add --modes {}", sse_modes())))
            }
        }
    }

    fn check_frames(&self) -> Result<(), Stop> {
        // What the answers of a real server and of a recording add is not known.
        let has_known_answers = !self.live && self.recording.is_none();
        let answer = if has_known_answers { self.tokens.saturating_mul(4) } else { 0 };
        let history = || {
            let answers = answer.saturating_mul(self.turns.saturating_sub(1));
            self.item.saturating_mul(self.turns).saturating_add(answers)
        };
        let largest = |mode: &Mode| match mode {
            Mode::WebsocketFull => Some(self.head.saturating_add(history())),
            Mode::WebsocketIncremental | Mode::WebsocketDeflate => {
                Some(self.head.saturating_add(self.item))
            }
            Mode::SseKeepAlive | Mode::SseNewConnection => None,
        };
        let too_large = |mode: &Mode| Some((*mode, largest(mode).filter(|it| *it > MAX_FRAME)?));
        match self.modes.iter().find_map(too_large) {
            None => Ok(()),
            Some((mode, bytes)) => Err(Stop::Bad(format!(
                "the largest request of {} would have {:.1} MB, and a message on a WebSocket has at \
                 most 16 MiB: lower --head, --item, --turns or --tokens, or add --modes {}",
                argument(mode),
                bytes as f64 / 1e6,
                sse_modes()
            ))),
        }
    }

    fn check_tokens(&self, plan: &Plan) -> Result<(), Stop> {
        if self.live && self.tokens == 0 {
            return Err(Stop::Bad(
                "--tokens 0: a real server cannot answer without tokens".to_owned(),
            ));
        }
        if self.live {
            return Ok(());
        }
        let networks = 1 + self.sweep.as_ref().map_or(0, |sweep| sweep.0.len());
        let turns = plan.total_turns().saturating_mul(networks).saturating_add(plan.cpu_turns());
        match turns.saturating_mul(self.tokens_per_turn().saturating_add(TURN_TOKENS)) {
            tokens if tokens > MAX_RUN_TOKENS => Err(Stop::Bad(format!(
                "this run would emulate {tokens} tokens, with each turn counted as {TURN_TOKENS} \
                 more, which takes minutes; it can have at most {MAX_RUN_TOKENS}: lower --tokens, \
                 --turns, --rounds, or the number of --modes or of round trips in --sweep"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns the tokens of an answer. Each event of a recording counts as a token.
    fn tokens_per_turn(&self) -> usize {
        let Some(path) = &self.recording else { return self.tokens };
        // A recording that cannot be read is refused when its script is made.
        fs::read_to_string(path).map_or(0, |text| text.lines().count().div_ceil(self.turns))
    }
}

/// Returns the modes without a WebSocket, as an argument.
fn sse_modes() -> String {
    let modes = Mode::ALL.into_iter().filter(|mode| !mode.is_websocket());
    modes.map(argument).collect::<Vec<_>>().join(",")
}

/// Returns the name of a mode in arguments.
fn argument(mode: Mode) -> String {
    mode.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Greatest message on a WebSocket, as at OpenAI. The emulated server takes larger ones, which
/// nobody could send to a real one.
const MAX_FRAME: usize = 16 << 20;

/// Tokens whose emulation takes as long as the rest of a turn: its request, and the events around its
/// text.
const TURN_TOKENS: usize = 80;

/// Tokens of a whole run, whose emulation takes about two minutes. Each is an event of its own.
const MAX_RUN_TOKENS: usize = 5_000_000;
