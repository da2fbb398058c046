//! The emulated network against the kernel's token bucket, in a network namespace.
//! `RESPONSES_CLIENT_PEERS=1` asks for this test, which needs `unshare`, `ip` and `tc`.

use std::{io::Write, time::Duration};

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

/// Bits per second in both directions: so few that processing takes a small part of the time.
const RATE: u64 = 5_000_000;

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
    session.respond(&request(&["hi"])).await.unwrap();
    let response = session.respond(&request(&[&"x".repeat(SIZE)])).await.unwrap();
    let report = response.report();
    assert!(report.reused && report.bytes_sent > SIZE as u64, "{report:?}");
    report.timings.first_event.unwrap()
}

/// Returns the shortest time of two large turns: other load of the machine only adds time.
async fn fastest_of_2(client: &ResponsesClient) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..2 {
        fastest = fastest.min(large_turn(client).await);
    }
    fastest
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
    // The emulation has the congestion control of RFC 5681.
    let mut congestion = std::fs::OpenOptions::new();
    let congestion = congestion.write(true).open("/proc/sys/net/ipv4/tcp_congestion_control");
    congestion.and_then(|mut it| it.write_all(b"reno")).expect("Reno, which each kernel has");
    let server = ScriptedServer::start(script()).await.unwrap();
    let client = socket_client(&server, TransportPolicy::WebSocketOnly);
    let processing = fastest_of_2(&client).await;
    // Some 50 ms of the rate: a busy machine wakes the bucket late.
    must("tc qdisc add dev lo root tbf rate 5mbit burst 32kb latency 400ms").await;
    let kernel = fastest_of_2(&client).await;
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
