//! That the soak finds every defect, and nothing where there is none.

#![expect(
    clippy::expect_used,
    clippy::field_reassign_with_default,
    clippy::indexing_slicing,
    reason = "tests and examples may; a test fails by panicking"
)]

use std::thread;

use super::switch::{Defect, switch};
use driver::{Options, soak};

#[path = "../../examples/soak/driver.rs"]
mod driver;
#[path = "../../examples/soak/oracle.rs"]
mod oracle;
#[path = "../../examples/soak/server.rs"]
mod server;

/// What the soak finds with this defect.
fn found(defect: Option<Defect>, seed: u64, turns: u64) -> Option<String> {
    switch(defect);
    let figures = soak(Options { turns, seed, transport: None });
    switch(None);
    figures.violation
}

#[test]
fn a_sound_client_is_left_alone() {
    for seed in 1..3 {
        assert_eq!(found(None, seed, 300), None, "seed {seed}");
    }
}

#[test]
fn every_defect_is_found() {
    let find = |defects: &[Defect]| -> Vec<Defect> {
        let missed =
            |defect: &&Defect| (1..4).all(|seed| found(Some(**defect), seed, 1500).is_none());
        defects.iter().filter(missed).copied().collect()
    };
    let (one, other) = Defect::ALL.split_at(Defect::ALL.len() / 2);
    let missed = thread::scope(|scope| {
        let other = scope.spawn(|| find(other));
        let mut missed = find(one);
        missed.extend(other.join().unwrap());
        missed
    });
    assert!(missed.is_empty(), "{missed:?}");
}
