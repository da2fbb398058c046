//! Tests that need a process of their own, because what they measure or catch belongs to a whole
//! process: allocated bytes, and the log of the crate.

mod floods;
mod memory;
mod privacy;
mod settling;
mod spans;
#[path = "../support/mod.rs"]
mod support;
mod warnings;

use std::{
    alloc::System,
    env,
    process::Command,
    sync::{Mutex, PoisonError},
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts every byte that this process allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Returns `true` in a process that runs only the test `name`. Elsewhere runs such a process, checks
/// that it succeeds, and returns `false`.
fn is_alone(name: &str) -> bool {
    const ALONE: &str = "RESPONSES_CLIENT_ALONE";
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let _running = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut again = Command::new(env::current_exe().expect("a path"));
    again.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    let ended = again.output().expect("this program");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    print!("{stdout}");
    assert!(ended.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
    false
}

/// Returns the number of bytes that are allocated now.
fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    let more = stats.bytes_allocated - stats.bytes_deallocated;
    more.checked_add_signed(stats.bytes_reallocated).expect("counted since the process started")
}
