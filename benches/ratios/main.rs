//! The comparisons that the crate is built on, each as a ratio within one run.
//!
//! Machines differ and are noisy, so that absolute times say little. Here both sides of a
//! comparison run in one process, round by round in turns, and the shortest times are compared;
//! of memory, what the process has at two times.
//!
//! ```text
//! cargo bench --bench ratios -- [--quick] [--json] [--check] [NAME…]
//!
//!   --quick   fewer rounds, and a smaller event for the quadratic baseline
//!   --json    one JSON object a line in place of the table
//!   --check   exit with status 1 when a goal is missed
//!   NAME      only the comparisons whose name contains it
//! ```

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to tell")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it measured")]

use std::process::ExitCode;

use measure::Comparison;

mod decode;
mod deflate;
mod lanes;
mod measure;
mod memory;
mod settle;
mod sse_large_event;
mod turn_cost;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    quick: bool,
    /// How often each side of a comparison runs.
    rounds: usize,
}

type Measure = fn(Effort) -> Comparison;

const COMPARISONS: &[(&str, Measure)] = &[
    ("decode_text_deltas", decode::text_deltas),
    ("decode_mixed_turn", decode::mixed_turn),
    ("turn_cost_by_history", turn_cost::core),
    ("turn_cost_by_history_end_to_end", turn_cost::end_to_end),
    ("settle_by_items", settle::items),
    ("sse_large_event", sse_large_event::large_event),
    ("memory_of_a_long_session", memory::long_session),
    ("deflate_turn", deflate::turn),
    ("lanes_busy", lanes::busy),
    ("lanes_slow", lanes::slow),
    ("lanes_idle_memory", lanes::idle_memory),
    ("lanes_own_socket_memory", lanes::own_socket_memory),
];

#[derive(Default)]
struct Options {
    quick: bool,
    json: bool,
    check: bool,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(unknown) => {
            eprintln!("unknown option {unknown}; there are --quick, --json, --check and names");
            return ExitCode::from(2);
        }
    };
    if cfg!(debug_assertions) {
        // `cargo test --all-targets` comes here.
        eprintln!("nothing is measured without optimisation");
        return ExitCode::SUCCESS;
    }
    let effort = Effort { quick: options.quick, rounds: if options.quick { 30 } else { 100 } };
    let wanted = |name: &str| {
        options.names.is_empty() || options.names.iter().any(|part| name.contains(part.as_str()))
    };
    if !options.json {
        println!("{}", measure::HEAD);
    }
    let mut all_met = true;
    for (name, measure) in COMPARISONS.iter().filter(|(name, _)| wanted(name)) {
        let comparison = measure(effort);
        all_met &= comparison.met();
        if options.json {
            println!("{}", comparison.json(name));
        } else {
            println!("{}", comparison.row(name));
        }
    }
    if options.check && !all_met { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    for argument in arguments {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--json" => options.json = true,
            "--check" => options.check = true,
            // Cargo's own.
            "--bench" => {}
            unknown if unknown.starts_with('-') => return Err(argument),
            _ => options.names.push(argument),
        }
    }
    Ok(options)
}
