//! The fault matrix: every fault at every place of a response, over both transports and under three
//! policies, held against one contract.
//!
//! `matrix/contract.rs` is what to read: what each fault means for the turn, for another attempt,
//! for the connection and for the caller. `matrix/cell.rs` runs a cell: the turn with the fault,
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

use responses_client::{Transport, testing::ErrorShape};

use cell::{Cell, Checked, of};
use contract::{At, CODES, Fault, Policy};
use story::{Events, Story};
use support::BOTH;

#[path = "matrix/cell.rs"]
mod cell;
#[path = "matrix/contract.rs"]
mod contract;
#[path = "matrix/story.rs"]
mod story;
mod support;

const SMALL: [Story; 4] = [Story::Text, Story::Calls, Story::Incomplete, Story::Failed];

/// Runs each cell in a runtime of its own, and tells of all that fail. There must be so many.
fn run<C: Copy + std::fmt::Debug + Sync, F: Future<Output = Checked>>(
    group: &str,
    cells: &[C],
    expected: usize,
    cell: impl Fn(C) -> F + Sync,
) {
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
    println!("{group}: cells: {}, failed: {}", cells.len(), failed.len());
    let some = failed.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{group}: {} of {}:\n{some}", failed.len(), cells.len());
    assert_eq!(cells.len(), expected, "{group}: cells came or went");
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
                        cells.extend(Policy::ALL.map(cell));
                    }
                }
            }
        }
    }
    cells
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
    group("cuts", &cells(&SMALL, &CUTS, between, &[false, true]), 0);
}

#[test]
fn c119_the_connection_is_cut_inside_of_events() {
    let cuts = [Fault::Reset, Fault::End, Fault::Close(None)];
    group("torn", &cells(&[Story::Text, Story::Calls], &cuts, inside, &[true]), 0);
}

#[test]
fn c047_the_code_of_a_close_frame_counts() {
    let codes = [1000, 1001, 1008, 1009, 1012, 1013, 4000].map(Some).map(Fault::Close);
    group("close codes", &cells(&[Story::Text], &codes, between, &[false, true]), 0);
}

#[test]
fn c035_silence_ends_by_its_timeout() {
    let silences = [Fault::Stall, Fault::Freeze, Fault::WholeTurn];
    let mut all = cells(&[Story::Text, Story::Calls], &silences, between, &[false, true]);
    all.extend(cells(&[Story::Text], &[Fault::Stall, Fault::Freeze], inside, &[true]));
    group("silences", &all, 0);
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
    group("violations", &cells(&SMALL, &faults, between, &[true]), 0);
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
    group("harmless", &cells(&SMALL, &faults, between, &[true]), 0);
}

#[test]
fn c075_c106_errors_in_every_shape() {
    let faults: Vec<Fault> = ErrorShape::ALL
        .iter()
        .flat_map(|shape| CODES.map(|code| Fault::Error(*shape, code)))
        .collect();
    group("errors", &cells(&[Story::Text], &faults, states, &[false, true]), 0);
}

#[test]
fn c084_responses_that_fail_keep_what_had_come() {
    let mut faults = CODES.map(Fault::Failed).to_vec();
    faults.push(Fault::Cancelled);
    group("failed", &cells(&[Story::Text, Story::Calls], &faults, between, &[true]), 0);
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
    group("odd", &cells(&SMALL, &faults, whole, &[false, true]), 0);
}

#[test]
fn large_items_come_whole_or_not_at_all() {
    let faults = [Fault::Reset, Fault::Close(None), Fault::NoJson];
    let last = |events: &Events| {
        let middle = |event| At::Inside(event, events.size(event) / 2);
        vec![middle(events.len() - 1), At::After(events.len() - 1), At::After(events.len())]
    };
    group("large", &cells(&[Story::Large], &faults, last, &[false]), 0);
}
