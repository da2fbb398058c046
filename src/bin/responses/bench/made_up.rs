//! Made-up measurements for the tests of `bench`.

use std::time::Duration;

use serde_json::json;

use super::{
    sample::{FailedTurn, Mode, ModeRun, Sample},
    summary::{Summary, Sweep, SweepPoint},
};

const ROUNDS: usize = 5;
const TURNS: usize = 20;
const RTT_MS: f64 = 50.0;

/// The modes of a run without `--modes`.
const MODES: [Mode; 4] =
    [Mode::WebsocketIncremental, Mode::WebsocketFull, Mode::SseKeepAlive, Mode::SseNewConnection];

/// Returns runs of all modes, as they look on a link of 50 ms.
pub(super) fn runs() -> Vec<ModeRun> {
    let mut random = fastrand::Rng::with_seed(7);
    MODES.into_iter().map(|mode| run(mode, &mut random)).collect()
}

fn run(mode: Mode, random: &mut fastrand::Rng) -> ModeRun {
    let turns = (1..=ROUNDS).flat_map(|round| (1..=TURNS).map(move |turn| (round, turn)));
    let samples = turns.map(|(round, turn)| sample(mode, round, turn, random)).collect();
    ModeRun {
        mode,
        label: mode.name().to_owned(),
        samples,
        cpu: Some(Duration::from_micros(if mode == Mode::SseNewConnection {
            42_000
        } else {
            6_100
        })),
        cpu_turns: TURNS,
    }
}

fn sample(mode: Mode, round: usize, turn: usize, random: &mut fastrand::Rng) -> Sample {
    let ms = |ms: f64| Duration::from_nanos((ms * 1e6) as u64);
    let history = 2_000 + 6_000 * turn as u64;
    let bytes_up = if mode == Mode::WebsocketIncremental { 6_200 } else { history };
    let connects = turn == 1 || mode == Mode::SseNewConnection;
    let connect = if connects { RTT_MS * 3.0 } else { 0.0 };
    // Windows of 14,600 bytes, which double each round trip.
    let trips = (bytes_up as f64 / 14_600.0 + 1.0).log2().floor();
    let stall = if random.f64() < 0.03 { 250.0 } else { 0.0 };
    let noise = -6.0 * (1.0 - random.f64()).ln();
    let first_event = connect + RTT_MS * (1.0 + trips) + noise + stall;
    Sample {
        round,
        turn,
        connect: connects.then(|| ms(connect)),
        first_event: ms(first_event),
        first_text: Some(ms(first_event + 5.0)),
        total: ms(first_event + 60.0 + 20.0 * random.f64()),
        bytes_up,
        bytes_down: 9_000,
    }
}

/// Returns a turn that failed.
pub(super) fn failed_turn() -> FailedTurn {
    let mode = Mode::WebsocketFull.name().to_owned();
    FailedTurn { mode, round: 1, turn: 3, message: "no \x1bgood".to_owned() }
}

/// Returns the summary of [`runs`], with a sweep.
pub(super) fn summary() -> Summary {
    let points = [5.0, 25.0, 50.0, 100.0, 200.0].map(|rtt| SweepPoint {
        value: rtt,
        first_event_ms: (MODES.into_iter().zip([1.0, 2.0, 2.05, 5.0]))
            .map(|(mode, trips)| (mode.name().to_owned(), rtt * trips + 3.0))
            .collect(),
        self_check: Vec::new(),
    });
    let sweep = Sweep { variable: "rtt_ms".to_owned(), points: points.into() };
    Summary { sweep: Some(sweep), ..summary_of(&runs()) }
}

/// Returns the summary of `runs`, without a sweep.
pub(super) fn summary_of(runs: &[ModeRun]) -> Summary {
    Summary::new(json!({"turns": TURNS, "rtt_ms": RTT_MS}), json!(null), runs, None)
}
