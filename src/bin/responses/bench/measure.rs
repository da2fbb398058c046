//! Runs the conversations, and measures their turns.

use std::time::Duration;

use responses_client::{Error, ResponsesRequest, ResponsesSession, error::RequestError};
use tokio::time::{Instant, sleep_until};

use super::{
    cpu_clock::CpuClock,
    sample::{FailedTurn, Mode, ModeRun, SECOND, Sample},
    site::{Access, Site},
    workload::Workload,
};
use crate::stop::{Stop, in_words};

/// Turns to measure.
pub(super) struct Plan {
    pub(super) modes: Vec<Mode>,
    /// Number of conversations in each mode.
    pub(super) rounds: usize,
    /// Number of turns of a conversation.
    pub(super) turns: usize,
    pub(super) workload: Workload,
    /// Time between two turns of a conversation.
    pub(super) tool_time: Duration,
    /// Seed of the emulated networks.
    pub(super) seed: u64,
}

/// Number of conversations in each mode that measure the CPU time. The first one warms the program up.
pub(super) const CPU_PASSES: usize = 2;

/// Measurements of a run.
pub(super) struct Runs {
    pub(super) modes: Vec<ModeRun>,
    /// The failed turn that ended the run.
    pub(super) error: Option<FailedTurn>,
}

/// A conversation in one mode, in progress.
pub(super) struct Conversation<'a> {
    mode: Mode,
    workload: &'a Workload,
    request: ResponsesRequest,
    access: Access,
    session: ResponsesSession,
    slowness: u32,
    /// Number of turns so far.
    turns: usize,
    /// End of the last turn.
    ended: Option<Instant>,
}

impl Plan {
    /// Measures all turns at `site`, in its [order](Site::order), up to the first that fails. Calls
    /// `progress` after each turn. With a `clock`, also measures the CPU time of the turns.
    pub(super) async fn run(
        &self,
        site: &Site,
        clock: Option<CpuClock>,
        mut progress: impl FnMut(),
    ) -> Result<Runs, Stop> {
        let mut modes = self.empty_runs();
        for round in 0..self.rounds {
            let mut conversations = Vec::with_capacity(self.modes.len());
            for (place, mode) in self.modes.iter().enumerate() {
                let seed = seed(self.seed, round, place);
                conversations.push(Conversation::new(&self.workload, site, *mode, seed)?);
            }
            for place in site.order(round, self.turns, self.modes.len()) {
                let (Some(conversation), Some(run)) =
                    (conversations.get_mut(place), modes.get_mut(place))
                else {
                    continue;
                };
                conversation.prepare(self.tool_time).await?;
                let before = clock.map(CpuClock::now);
                let sample = match conversation.turn().await {
                    Ok(sample) => sample,
                    Err(message) => {
                        let (mode, turn) = (run.label.clone(), conversation.turns + 1);
                        let error = Some(FailedTurn { mode, round: round + 1, turn, message });
                        return Ok(Runs { modes, error });
                    }
                };
                if let (Some(clock), Some(before)) = (clock, before) {
                    let cpu = run.cpu.get_or_insert_default();
                    *cpu += clock.now().saturating_sub(before);
                    run.cpu_turns += 1;
                }
                run.samples.push(Sample { round: round + 1, ..sample });
                progress();
            }
        }
        Ok(Runs { modes, error: None })
    }

    /// Returns the number of turns that [`run`](Self::run) sends.
    pub(super) fn total_turns(&self) -> usize {
        self.modes.len().saturating_mul(self.rounds).saturating_mul(self.turns)
    }

    /// Returns the number of turns that the measurement of the CPU time sends.
    pub(super) fn cpu_turns(&self) -> usize {
        self.modes.len().saturating_mul(CPU_PASSES).saturating_mul(self.turns)
    }

    fn empty_runs(&self) -> Vec<ModeRun> {
        let is_second =
            |place: usize, mode: &Mode| self.modes.iter().take(place).any(|it| it == mode);
        let run = |(place, mode): (usize, &Mode)| {
            let second = if is_second(place, mode) { SECOND } else { "" };
            let label = format!("{}{second}", mode.name());
            ModeRun { mode: *mode, label, samples: Vec::new(), cpu: None, cpu_turns: 0 }
        };
        self.modes.iter().enumerate().map(run).collect()
    }
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        workload: &'a Workload,
        site: &Site,
        mode: Mode,
        seed: u64,
    ) -> Result<Self, Stop> {
        let mut access = site.access(mode, seed)?;
        let session = access.client()?.session();
        let (request, slowness) = (workload.first(), site.slowness());
        Ok(Self { mode, workload, request, access, session, slowness, turns: 0, ended: None })
    }

    /// Waits until the tools have run, and prepares the next turn. Creating a client is no part of
    /// a turn: programs keep their client.
    pub(super) async fn prepare(&mut self, tool_time: Duration) -> Result<(), Stop> {
        if let Some(ended) = self.ended {
            sleep_until(ended + tool_time * self.slowness).await;
        }
        if self.mode == Mode::SseNewConnection && self.turns > 0 {
            self.session = self.access.client()?.session();
        }
        Ok(())
    }

    /// Runs the next turn. The error is a text.
    pub(super) async fn turn(&mut self) -> Result<Sample, String> {
        let before = self.access.bytes();
        let start = Instant::now();
        let response = self.session.respond(&self.request).await;
        let total = start.elapsed();
        self.ended = Some(Instant::now());
        let response = response.map_err(|error| failure(&error))?;
        if response.report().attempts.len() > 1 {
            return Err(
                "it took more than one attempt, so that its time is no measurement".to_owned()
            );
        }
        self.workload.append_turn(&mut self.request, &response);
        self.turns += 1;
        let report = response.report();
        let timings = report.timings;
        let (bytes_up, bytes_down) = match (before, self.access.bytes()) {
            (Some(before), Some(after)) => (after.0 - before.0, after.1 - before.1),
            _ => {
                let sent = report.compressed_bytes_sent.unwrap_or(report.bytes_sent);
                (sent, report.bytes_received)
            }
        };
        let real = |time: Duration| time / self.slowness;
        Ok(Sample {
            round: 0,
            turn: self.turns,
            connect: timings.connected.filter(|_| !report.reused).map(real),
            first_event: real(timings.first_event.unwrap_or(total)),
            first_text: timings.first_text.map(real),
            total: real(total),
            bytes_up,
            bytes_down,
        })
    }
}

/// Returns the error of a turn in words of the command line.
fn failure(error: &Error) -> String {
    match error.request_error() {
        Some(RequestError::NoTransport(why)) => {
            format!("{why}: lower --head, --item or --turns, or measure other --modes")
        }
        _ if error.is_resend_limited() => {
            format!("{}: bench sends no turn a second time", in_words(error))
        }
        _ => in_words(error),
    }
}

/// Returns the seed of the network of one conversation. The networks of two modes must not share
/// their random numbers: equal delays would hide the noise of a difference.
fn seed(seed: u64, round: usize, place: usize) -> u64 {
    let conversation = (round as u64) << 16 | place as u64;
    fastrand::Rng::with_seed(seed ^ conversation.wrapping_mul(0x9E37_79B9_7F4A_7C15)).u64(..)
}
