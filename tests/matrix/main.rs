//! The fault matrix: every fault at every place of a response, over both transports and under all
//! policies, held against one contract.
//!
//! `contract.rs` is what to read: what each fault means for the turn, for another attempt,
//! for the connection and for the caller. `cell.rs` runs a cell: the turn with the fault,
//! perhaps a turn before it, and the turns after it, which must know nothing of it.
//! `cargo test --test matrix -- --nocapture` prints how many cells each group has.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use responses_client::{Transport, TransportPolicy, testing::ErrorShape};

use cell::{Cell, Checked, of};
use contract::{At, CODES, Fault, Policy};
use refusals::{Answer, Http, Idle, IdleEvent, UpgradeAnswer, Upgraded};
use story::{Events, Story};
use support::BOTH;

mod cell;
mod contract;
mod refusals;
mod story;
#[path = "../support/mod.rs"]
mod support;

const SMALL: [Story; 4] = [Story::Text, Story::Calls, Story::Incomplete, Story::Failed];

/// Runs each cell in a runtime of its own, and tells of all that fail. There must be so many.
fn run<C: Copy + std::fmt::Debug + Sync, F: Future<Output = Checked>>(
    group: &str,
    cells: &[C],
    expected: usize,
    cell: impl Fn(C) -> F + Sync,
) {
    println!("{group}: cells: {}", cells.len());
    assert_eq!(cells.len(), expected, "{group}: cells came or went");
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(one) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let checked = catch_unwind(AssertUnwindSafe(|| paused(cell(*one))));
                    let checked = checked.unwrap_or_else(|_| Err("it panicked".to_owned()));
                    if let Err(what) = checked {
                        failed.lock().expect("no panic").push(format!("{one:?}\n    {what}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic");
    let some = failed.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{group}: {} of {}:\n{some}", failed.len(), cells.len());
}

fn paused<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().expect("a runtime").block_on(future)
}

/// The events of each story, made once.
fn events() -> &'static [Events] {
    static EVENTS: OnceLock<Vec<Events>> = OnceLock::new();
    EVENTS.get_or_init(|| paused(Events::all()))
}

/// The cells of these faults at these places of these stories, as far as they are possible.
fn cells(
    stories: &[Story],
    faults: &[Fault],
    places: impl Fn(&Events) -> Vec<At>,
    reused: &[bool],
) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &story in stories {
        let events = of(events(), story);
        for at in places(events) {
            let reached = match at {
                At::After(told) | At::Inside(told, _) => events.reached(told),
                At::Head | At::Whole => story::Reached::Nothing,
            };
            for transport in BOTH {
                for &fault in faults.iter().filter(|it| it.is_possible(at, reached, transport)) {
                    for &reused in reused {
                        let cell = |policy| Cell { transport, story, fault, at, reused, policy };
                        cells.extend(Policy::MOST.map(cell));
                    }
                }
            }
        }
    }
    cells
}

/// The same with one attempt alone.
fn with_one_attempt(cells: &[Cell]) -> Vec<Cell> {
    let never = cells.iter().filter(|cell| cell.policy == Policy::Never);
    never.map(|cell| Cell { policy: Policy::Once, ..*cell }).collect()
}

/// Before the first event, between each two, and behind the last.
fn between(events: &Events) -> Vec<At> {
    [At::Head].into_iter().chain((0..=events.len()).map(At::After)).collect()
}

/// In each event: its first byte, half of it, and all but its last byte.
fn inside(events: &Events) -> Vec<At> {
    let torn = |event| {
        let size = events.size(event);
        [1, size / 2, size - 1].map(|bytes| At::Inside(event, bytes))
    };
    (0..events.len()).flat_map(torn).collect()
}

/// Where the response is in another state: before it, accepted, in its output, before its end, and
/// behind it.
fn states(events: &Events) -> Vec<At> {
    [0, 1, 2, 4, events.len() - 1, events.len()].map(At::After).into()
}

fn whole(_: &Events) -> Vec<At> {
    vec![At::Whole]
}

fn group(name: &str, cells: &[Cell], expected: usize) {
    run(name, cells, expected, |cell| cell.run(events()));
}

const CUTS: [Fault; 4] = [Fault::Reset, Fault::End, Fault::Close(None), Fault::Close(Some(1011))];

#[test]
fn c036_c080_c119_the_connection_is_cut_between_events() {
    let mut all = cells(&[Story::Text], &CUTS, between, &[false, true]);
    all.extend(cells(&SMALL[1..], &[Fault::Reset, Fault::Close(None)], between, &[true]));
    all.extend(with_one_attempt(&all));
    group("cuts", &all, 1468);
}

#[test]
fn c119_the_connection_is_cut_inside_of_events() {
    let cuts = [Fault::Reset, Fault::End, Fault::Close(None)];
    let mut all = cells(&[Story::Text], &cuts, inside, &[true]);
    all.extend(with_one_attempt(&all));
    group("torn", &all, 792);
}

#[test]
fn c047_the_code_of_a_close_frame_counts() {
    let codes = [1000, 1001, 1008, 1009, 1012, 1013, 4000].map(Some).map(Fault::Close);
    let mut all = cells(&[Story::Text], &codes, between, &[true]);
    all.extend(with_one_attempt(&all));
    group("close codes", &all, 336);
}

#[test]
fn c035_silence_ends_by_its_timeout() {
    let silences = [Fault::Stall, Fault::Freeze, Fault::WholeTurn];
    let mut all = cells(&[Story::Text], &silences, between, &[false, true]);
    all.extend(cells(&[Story::Text], &[Fault::Stall, Fault::Freeze], inside, &[true]));
    all.extend(with_one_attempt(&all));
    group("silences", &all, 860);
}

#[test]
fn c070_c071_c073_c074_what_breaks_the_protocol_ends_the_turn() {
    let faults = [
        Fault::Binary,
        Fault::NoJson,
        Fault::NoUtf8,
        Fault::Array,
        Fault::TypeIsNumber,
        Fault::WrongDelta,
        Fault::WrongItem,
        Fault::BareTerminal,
    ];
    let mut all = cells(&[Story::Text], &faults, between, &[true]);
    all.extend(cells(&SMALL[1..], &faults, states, &[false]));
    all.extend(with_one_attempt(&all));
    group("violations", &all, 1800);
}

#[test]
fn c071_c072_c079_what_means_nothing_changes_nothing() {
    let faults = [
        Fault::EmptyObject,
        Fault::Done,
        Fault::Unknown,
        Fault::UnknownOfResponse,
        Fault::Keepalive,
        Fault::Comment,
        Fault::Ping,
        Fault::Pong,
    ];
    let mut all = cells(&[Story::Text], &faults, between, &[true]);
    all.extend(cells(&SMALL[1..], &faults, states, &[false]));
    all.extend(with_one_attempt(&all));
    group("harmless", &all, 1560);
}

#[test]
fn c075_c106_errors_in_every_shape() {
    let faults: Vec<Fault> = ErrorShape::ALL
        .iter()
        .flat_map(|shape| CODES.map(|code| Fault::Error(*shape, code)))
        .collect();
    // The shape matters to how it is read, and not to the state of the response.
    let first = |_: &Events| vec![At::After(0)];
    let mut all = cells(&[Story::Text], &faults, first, &[true]);
    let usual = [ErrorShape::Flat, ErrorShape::Nested];
    let faults = usual.map(|shape| CODES.map(|code| Fault::Error(shape, code))).concat();
    all.extend(cells(&[Story::Text], &faults, states, &[false]));
    all.extend(with_one_attempt(&all));
    group("errors", &all, 1680);
}

#[test]
fn c084_responses_that_fail_keep_what_had_come() {
    let mut faults = CODES.map(Fault::Failed).to_vec();
    faults.push(Fault::Cancelled);
    let mut all = cells(&[Story::Text], &faults, states, &[true]);
    all.extend(cells(&[Story::Calls], &faults[..1], between, &[true]));
    all.extend(with_one_attempt(&all));
    group("failed", &all, 600);
}

#[test]
fn c112_odd_responses() {
    let faults = [
        Fault::DoubleTerminal,
        Fault::DuplicateCreated,
        Fault::OtherResponseIds,
        Fault::OtherItemIds,
        Fault::NoTerminal,
        Fault::UnknownThings,
        Fault::NoSetup,
        Fault::NoNumbers,
        Fault::NullOutput,
        Fault::NoOutput,
        Fault::Fragments,
    ];
    let mut all = cells(&SMALL[..3], &faults, whole, &[true]);
    all.extend(with_one_attempt(&all));
    group("odd", &all, 264);
}

#[test]
fn large_items_come_whole_or_not_at_all() {
    let faults = [Fault::Reset, Fault::Close(None), Fault::NoJson];
    let last = |events: &Events| {
        let middle = |event| At::Inside(event, events.size(event) / 2);
        vec![middle(events.len() - 1), At::After(events.len() - 1), At::After(events.len())]
    };
    let mut all = cells(&[Story::Large], &faults, last, &[false]);
    all.extend(with_one_attempt(&all));
    group("large", &all, 64);
}

#[test]
fn c044_c077_http_answers_that_are_no_events() {
    let statuses = [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504];
    let mut answers = statuses.map(Answer::Status).to_vec();
    answers.extend([Answer::RetryAfter(2), Answer::RetryAfter(120)]);
    answers.extend([Answer::Html(200), Answer::Html(502), Answer::Html(403)]);
    answers.extend([Answer::StalledBody, Answer::Redirect, Answer::Silence]);
    let mut all = Vec::new();
    for answer in answers {
        for reused in [false, true] {
            all.extend(Policy::ALL.map(|policy| Http { answer, reused, policy }));
        }
    }
    run("http", &all, 168, |cell| cell.run(events()));
}

#[test]
fn c030_c031_c032_c043_answers_to_the_upgrade() {
    let statuses = [400, 401, 403, 404, 405, 426, 429, 500, 501, 503];
    let mut answers = statuses.map(UpgradeAnswer::Status).to_vec();
    answers.extend([UpgradeAnswer::Html, UpgradeAnswer::Redirect, UpgradeAnswer::Hang]);
    answers.extend([UpgradeAnswer::Reset, UpgradeAnswer::WrongAccept]);
    let mut all = Vec::new();
    for answer in answers {
        for allowed in [TransportPolicy::Auto, TransportPolicy::WebSocketOnly] {
            all.extend(Policy::ALL.map(|policy| Upgraded { answer, allowed, policy }));
        }
    }
    run("upgrades", &all, 120, |cell| cell.run(events()));
}

#[test]
fn c004_c047_what_happens_to_an_idle_connection() {
    let mut happens = vec![(Transport::Sse, IdleEvent::Reset)];
    let texts = [
        "no event",
        "{}",
        r#"{"type":"keepalive"}"#,
        r#"{"type":"response.output_text.delta","delta":"whose?"}"#,
        r#"{"type":"response.completed","response":{"id":"resp_of_nobody","output":[]}}"#,
        r#"{"type":"error","error":{"code":"websocket_connection_limit_reached","message":"m"}}"#,
    ];
    let closes = [1000, 1001, 1008, 1011, 1012, 1013].map(IdleEvent::Close);
    let others = [IdleEvent::Reset, IdleEvent::Ping];
    let all = closes.into_iter().chain(texts.map(IdleEvent::Text)).chain(others);
    happens.extend(all.map(|event| (Transport::WebSocket, event)));
    let cell = |(transport, event)| Policy::ALL.map(|policy| Idle { transport, event, policy });
    let all: Vec<Idle> = happens.into_iter().flat_map(cell).collect();
    run("idle", &all, 60, |cell| cell.run(events()));
}
