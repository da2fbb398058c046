//! The emulated network against the kernel's token bucket, in a network namespace.
//! `RESPONSES_CLIENT_PEERS=1` asks for this test, which needs `unshare`, `ip` and `tc`.

use std::time::Duration;

use responses_client::{
    ResponsesClient, ResponsesClientBuilder, TransportPolicy,
    testing::{Link, Script, ScriptedServer, Turn},
};
use tokio::{process::Command, runtime};

use crate::{
    peer::{is_inside, isolated, run, wanted},
    support::{builder, request, socket_client},
};

/// Bytes of the large turn.
const SIZE: usize = 2_000_000;

/// Bits per second in both directions.
const RATE: u64 = 20_000_000;

/// Runs a program that must succeed.
async fn must(line: &str) {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let ended = run(command.args(words)).await;
    assert!(ended.status.success(), "`{line}` failed, which this test needs: {ended}");
}

/// Returns the time from the start of a large turn over an open WebSocket to its first event.
async fn large_turn(client: &ResponsesClient) -> Duration {
    let mut session = client.session();
    session.respond(&request("hi")).await.unwrap();
    let response = session.respond(&request(&"x".repeat(SIZE))).await.unwrap();
    let report = response.report();
    assert!(report.reused && report.bytes_sent > SIZE as u64, "{report:?}");
    report.timings.first_event.unwrap()
}

fn script() -> Script {
    Script::new().respond(|_| Turn::text("hi"))
}

/// Returns the time over an emulated link of the rate.
fn emulated() -> Duration {
    let paused = runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    paused.unwrap().block_on(async {
        let server = ScriptedServer::in_memory(script());
        let link = Link::new().bandwidth_up(Some(RATE)).bandwidth_down(Some(RATE));
        let connector = server.connector().over(link).unwrap();
        let client: ResponsesClientBuilder = builder(&server).connector(&connector);
        large_turn(&client.transport(TransportPolicy::WebSocketOnly).build().unwrap()).await
    })
}

#[tokio::test]
async fn the_emulated_bandwidth_is_that_of_the_kernel() {
    let name = "kernel::the_emulated_bandwidth_is_that_of_the_kernel";
    if !wanted() || !isolated(name).await {
        return;
    }
    // The loopback of the machine itself must not be slowed.
    assert!(is_inside(), "there is no network namespace for this test: `unshare -rn` failed");
    // The segments of a network: those of loopback are larger than the bucket.
    must("ip link set lo mtu 1500").await;
    let server = ScriptedServer::start(script()).await.unwrap();
    let client = socket_client(&server, TransportPolicy::WebSocketOnly);
    let processing = large_turn(&client).await;
    must("tc qdisc add dev lo root tbf rate 20mbit burst 32kbit latency 400ms").await;
    let kernel = large_turn(&client).await;
    let emulated = std::thread::spawn(emulated).join().unwrap();
    let off = (kernel - processing).as_secs_f64() / emulated.as_secs_f64() - 1.0;
    let figures = format!(
        "{SIZE} bytes at {RATE} bit/s: emulated {emulated:?}; kernel {kernel:?}, of which \
         {processing:?} also without a limit; {:+.1} %",
        off * 100.0
    );
    println!("{figures}");
    assert!(off.abs() < 0.1, "{figures}");
}
