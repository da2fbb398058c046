//! Measurements on paused time, as a whole.

use std::{thread, time::Duration};

use clap::Parser;
use indicatif::ProgressBar;
use responses_client::testing::{Link, Turn};
use serde_json::json;
use tokio::runtime;

use super::{
    Args, emulate, emulated_turns,
    measure::{Plan, Runs},
    progress::Progress,
    sample::{Mode, ModeRun},
    self_check::{self, Check},
    site::{Emulated, Site},
    summary::{Difference, Figure, Summary},
    workload::{self, Pace, Workload},
};
use crate::stop::Stop;

const MS: Duration = Duration::from_millis(1);
const TURNS: usize = 20;

/// Runs on paused time.
fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(work)
}

fn plan(modes: &[Mode], turns: usize, seed: u64) -> Plan {
    let (workload, tool_time) = (Workload::new("m", 500, 40, None), Duration::from_secs(1));
    Plan { modes: modes.to_vec(), rounds: 1, turns, workload, tool_time, seed }
}

/// Returns a site whose model thinks for this time, and answers with two tokens.
fn site(link: Link, think: Duration) -> Site {
    let script = workload::script(Pace { tokens: 2, think, per_token: MS * 10 });
    Site::Emulated(Emulated { link, script, slowness: 1000 })
}

fn link() -> Link {
    Link::new().rtt(MS * 20)
}

/// Returns a link with jitter and losses.
fn noisy_link() -> Link {
    link().jitter(MS * 3).loss(0.02)
}

fn run(plan: &Plan, site: &Site) -> Vec<ModeRun> {
    let runs = paused(plan.run(site, None, || ())).ok().unwrap();
    assert_eq!(runs.error, None);
    runs.modes
}

fn difference(runs: &[ModeRun]) -> Difference {
    let summary = Summary::new(json!({}), json!([]), runs, None);
    summary.differences.into_iter().find(|it| it.figure == Figure::Turn).unwrap()
}

fn check(link: Link) -> Result<Vec<Check>, Stop> {
    let Site::Emulated(site) = site(link, MS) else { panic!("emulated") };
    paused(self_check::check(&site, &Progress::new(0)))
}

#[test]
fn a_seed_gives_the_same_samples() {
    let samples = |seed| {
        let runs = run(&plan(&Mode::ALL, 6, seed), &site(noisy_link().tls(true), MS * 50));
        runs.iter().flat_map(|run| &run.samples).map(|it| format!("{it:?}")).collect::<Vec<_>>()
    };
    let first = samples(1);
    assert_eq!(first.len(), Mode::ALL.len() * 6);
    assert_eq!(samples(1), first);
    assert_ne!(samples(2), first);
}

#[test]
fn a_handicap_of_5_ms_is_found_despite_jitter() {
    for seed in 0..5 {
        let one = |mode, think| {
            let plan = plan(&[mode], TURNS, seed << 8 | mode as u64);
            run(&plan, &site(link().jitter(MS * 3), think)).remove(0)
        };
        let runs = [one(Mode::SseKeepAlive, MS * 50), one(Mode::WebsocketFull, MS * 55)];
        // The turn that connects has another cost in each mode.
        let later = |run: ModeRun| {
            let samples = run.samples.into_iter().filter(|it| it.turn > 1).collect();
            ModeRun { samples, ..run }
        };
        let Difference { shown, low_ms, high_ms, .. } = difference(&runs.map(later));
        assert!(shown && low_ms <= 5.0 && 5.0 <= high_ms, "seed {seed}: {low_ms} to {high_ms} ms");
    }
}

#[test]
fn a_mode_compared_with_itself_shows_no_difference() {
    // A conversation of small turns, and an answer without text.
    let script = workload::script(Pace { tokens: 0, think: MS * 50, per_token: MS });
    let emulated = Emulated { link: noisy_link(), script, slowness: 1000 };
    let shows = &|seed: u64| {
        let mode = Mode::ALL[seed as usize % Mode::ALL.len()];
        let plan = Plan {
            workload: Workload::new("m", 0, 1, None),
            rounds: 5,
            ..plan(&[mode; 2], TURNS / 5, seed)
        };
        let runs = run(&plan, &Site::Emulated(emulated.clone()));
        assert_eq!(runs[1].label, format!("{}_2", mode.name()));
        difference(&runs).shown
    };
    let shown: Vec<u64> = thread::scope(|scope| {
        let half = |first: u64| {
            scope.spawn(move || (first..100).step_by(2).filter(|it| shows(*it)).collect())
        };
        let halves: Vec<thread::ScopedJoinHandle<'_, Vec<u64>>> = [half(0), half(1)].into();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(shown.len() <= 5, "a difference is shown for {shown:?}");
}

#[test]
fn each_preset_passes_the_check_of_the_network() {
    for name in Link::NAMES {
        let checks = check(Link::from_name(name).unwrap()).ok().unwrap();
        let names: Vec<_> = checks.iter().map(|it| it.name.as_str()).collect();
        let expected = [
            "new_tls_connection",
            "three_windows",
            "restart_after_idle",
            "bandwidth_up",
            "bandwidth_down",
        ];
        assert_eq!(names, expected);
        let worst = checks.iter().map(|it| it.off_percent.abs()).fold(0.0, f64::max);
        assert!(worst < 1.0, "{name}: {checks:?}");
    }
}

#[test]
fn a_long_fast_link_passes_the_check_of_the_network() {
    let fast = check(Link::lan().rtt(MS * 200)).ok().unwrap();
    assert!(fast.iter().all(|it| it.off_percent.abs() < 1.0), "{fast:?}");
}

#[test]
fn a_network_that_is_off_is_an_error() {
    // Without slowness, tokio's timers of 1 ms are too coarse for this bandwidth.
    let Site::Emulated(site) = site(link().bandwidth_up(Some(900_000_000_000)), MS) else {
        panic!("emulated")
    };
    let coarse = Emulated { slowness: 2, ..site };
    let Err(Stop::Failed(why)) = paused(self_check::check(&coarse, &Progress::new(0))) else {
        panic!("no error")
    };
    assert!(why.starts_with("the emulated network is off by "), "{why}");
    assert!(why.contains("nothing was measured: bandwidth_up should take 0.0 ms"), "{why}");
}

#[test]
fn an_incremental_turn_sends_fewer_bytes() {
    let modes = [Mode::WebsocketIncremental, Mode::WebsocketFull];
    let runs = run(&plan(&modes, 5, 1), &site(link(), MS));
    let (incremental, full) = (&runs[0].samples, &runs[1].samples);
    assert_eq!(incremental[0].bytes_up, full[0].bytes_up);
    // Without the history, each turn sends equally many bytes, but for digits of numbers.
    let later = |samples: &[_]| -> Vec<u64> {
        samples.iter().skip(1).map(|it: &super::sample::Sample| it.bytes_up).collect()
    };
    let (incremental, full) = (later(incremental), later(full));
    let (least, most) = (incremental.iter().min().unwrap(), incremental.iter().max().unwrap());
    assert!(most - least < 10, "{incremental:?}");
    assert!(full.windows(2).all(|pair| pair[1] > pair[0] + 100), "{full:?}");
    assert!(incremental.iter().zip(&full).skip(1).all(|(one, other)| one < other));
}

#[test]
fn c305_a_compressed_turn_sends_less_and_saves_round_trips_after_a_pause() {
    let modes = [Mode::WebsocketIncremental, Mode::WebsocketDeflate];
    let plan = Plan {
        workload: Workload::new("m", 20_000, 2_000, None),
        // A pause after which TCP begins with ten segments again.
        tool_time: MS * 10_000,
        ..plan(&modes, 4, 1)
    };
    let runs = run(&plan, &site(link(), MS));
    for (plain, compressed) in runs[0].samples.iter().zip(&runs[1].samples).skip(1) {
        assert!(plain.bytes_up > 22_000, "{plain:?}");
        assert!(compressed.bytes_up < plain.bytes_up / 10, "{compressed:?}");
        // One for the request, and one for the first event, which repeats the instructions.
        assert!(plain.first_event - compressed.first_event >= MS * 40, "{plain:?} {compressed:?}");
    }
}

#[test]
fn a_new_connection_costs_its_round_trips_in_each_turn() {
    let modes = [Mode::SseKeepAlive, Mode::SseNewConnection, Mode::WebsocketFull];
    for (tls, handshake) in [(false, 1), (true, 2)] {
        let runs = run(&plan(&modes, 4, 1), &site(link().tls(tls), MS));
        let [kept, new, websocket] = <[ModeRun; 3]>::try_from(runs).unwrap();
        for turn in 0..4 {
            let (kept, new) = (&kept.samples[turn], &new.samples[turn]);
            let extra = new.first_event - kept.first_event;
            let expected = if turn == 0 { Duration::ZERO } else { MS * 20 * handshake };
            let off = extra.abs_diff(expected);
            assert!(off < MS / 10, "turn {turn}: {extra:?}, not {expected:?}");
        }
        let connected: Vec<_> = websocket.samples.iter().map(|it| it.connect.is_some()).collect();
        assert_eq!(connected, [true, false, false, false]);
    }
}

#[test]
fn a_mode_has_the_same_samples_with_and_without_others() {
    let site = site(noisy_link(), MS * 50);
    let alone = run(&plan(&[Mode::SseKeepAlive], 5, 1), &site).remove(0);
    let all = [Mode::SseKeepAlive, Mode::WebsocketFull, Mode::SseNewConnection];
    let beside = run(&plan(&all, 5, 1), &site).remove(0);
    assert_eq!(format!("{:?}", alone.samples), format!("{:?}", beside.samples));
}

#[test]
fn a_failed_turn_ends_the_run_and_leaves_the_turns_before() {
    let Site::Emulated(emulated) = site(link(), MS) else { panic!("emulated") };
    let script = emulated.script.clone().respond(|exchange| match exchange.index {
        2 => Turn::error(400, "invalid_prompt", "no good"),
        _ => Turn::text("hi"),
    });
    let modes = [Mode::SseKeepAlive, Mode::WebsocketFull];
    let site = Site::Emulated(Emulated { script, ..emulated });
    let Runs { modes, error } = paused(plan(&modes, 4, 1).run(&site, None, || ())).ok().unwrap();
    let error = error.unwrap();
    assert_eq!((error.mode.as_str(), error.round, error.turn), ("sse_keep_alive", 1, 3));
    assert!(error.message.contains("no good"), "{error}");
    assert_eq!(modes.iter().map(|run| run.samples.len()).collect::<Vec<_>>(), [2, 0]);
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

#[test]
fn each_point_of_a_sweep_is_checked_and_all_turns_count_as_progress() {
    let flags = "bench --turns 2 --rounds 1 --tokens 2 --head 0 --item 9 --bandwidth 1mbit \
                 --sweep rtt=100,200 --modes sse-keep-alive";
    let Command { args } = Command::try_parse_from(flags.split_whitespace()).unwrap();
    let (plan, site, sweep) =
        (args.plan().ok().unwrap(), args.site().ok().unwrap(), args.sweep().ok().unwrap());
    let Site::Emulated(emulated) = &site else { panic!("emulated") };
    let bar = ProgressBar::hidden();
    bar.set_length(emulated_turns(&plan, sweep.len()) as u64);
    let progress = Progress::on(bar.clone());
    let measured = emulate(&args, &plan, &site, emulated, &sweep, &progress).ok().unwrap();
    // Three networks, and the CPU time on systems that measure it.
    let cpu_turns = if cfg!(unix) { 2 * 2 } else { 0 };
    assert_eq!(bar.position(), 3 * (18 + 2) + cpu_turns);
    assert_eq!(bar.length(), Some(3 * (18 + 2) + cpu_turns));
    let trip =
        |checks: &[Check]| checks.iter().find(|it| it.name == "three_windows").unwrap().expected_ms;
    assert_eq!(trip(&measured.checks), 50.0);
    let points = measured.sweep.unwrap().points;
    assert_eq!(points.iter().map(|it| trip(&it.self_check)).collect::<Vec<_>>(), [100.0, 200.0]);
}
