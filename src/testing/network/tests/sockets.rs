//! Sockets of emulated connections on paused time.

use std::{io, sync::Arc, time::Duration};

use fastrand::Rng;
use futures_util::future::{join, join4};
use proptest::prelude::*;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::{Instant, timeout},
};

use crate::testing::{
    Link, Traffic,
    network::{
        emulation::Emulation,
        tcp::handshake::Handshake,
        traffic::Counters,
        wire::{self, Socket},
    },
};

const RTT: Duration = Duration::from_millis(80);

/// The client's and the server's end of a connection over `link`.
fn connection(link: &Link) -> (Socket, Socket) {
    let handshake = Handshake::new(&Link::new(), &mut Rng::with_seed(0));
    wire::connection(link, &handshake, &mut Rng::with_seed(link.seed), &Arc::default())
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_a_round_trip_before_the_first_byte() {
    let start = Instant::now();
    let link = Link::new().rtt(RTT);
    let (mut client, mut server) =
        Emulation::new(link, Arc::default()).unwrap().connect().await.unwrap();
    assert_eq!(start.elapsed(), RTT);
    client.write_all(b"hello").await.unwrap();
    let mut seen = [0; 5];
    server.read_exact(&mut seen).await.unwrap();
    assert_eq!((&seen, start.elapsed()), (b"hello", RTT * 3 / 2));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_loses_everything_makes_no_connection() {
    let start = Instant::now();
    let counters = Arc::new(Counters::default());
    let emulation = Emulation::new(Link::new().loss(1.0), Arc::clone(&counters)).unwrap();
    let error = emulation.connect().await.map(drop).unwrap_err();
    assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 127));
    assert_eq!(counters.traffic(), Traffic { segments_lost: 7, ..Traffic::default() });
}

#[tokio::test(start_paused = true)]
async fn replies_take_a_round_trip_to_the_microsecond_on_a_slowed_link() {
    let rtt = Duration::from_micros(12_345);
    let link = Link::new().rtt(rtt).bandwidth_up(Some(1_000_000)).bandwidth_down(Some(2_000_000));
    let (mut client, mut server) = connection(&link.slowed_by(100).slowed_by(10));
    let start = Instant::now();
    for _ in 0..100 {
        let mut seen = [0; 100];
        client.write_all(&seen).await.unwrap();
        server.read_exact(&mut seen).await.unwrap();
        server.write_all(&seen).await.unwrap();
        client.read_exact(&mut seen).await.unwrap();
    }
    // 140 bytes with headers take 1120 µs up and 560 µs down. Each reader wakes at a whole
    // microsecond, up to half of one late.
    let micros = (start.elapsed() / 1000).as_micros();
    let expected = 100 * (12_345 + 1_120 + 560);
    assert!((expected..=expected + 100).contains(&micros), "{micros} µs for {expected} µs");
}

#[tokio::test(start_paused = true)]
async fn late_timers_do_not_add_up() {
    // Segments leave every 120 µs, far below the resolution of the timers.
    let rtt = Duration::from_micros(1_500);
    let link = Link::new().rtt(rtt).bandwidth_up(Some(100_000_000)).send_buffer(1 << 24);
    let (mut client, mut server) = connection(&link);
    let start = Instant::now();
    client.write_all(&vec![0; 1460 * 5000]).await.unwrap();
    server.read_exact(&mut vec![0; 1460 * 5000]).await.unwrap();
    // The bottleneck is idle from 1200 µs, when ten segments have left, to the first ACK at 1620 µs.
    let expected = Duration::from_micros(5000 * 120 + 1_500 / 2) + Duration::from_micros(420);
    assert_eq!(start.elapsed().as_millis(), expected.as_millis() + 1, "{expected:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_shut_down_still_reads() {
    let (mut client, mut server) = connection(&Link::new().rtt(RTT));
    let start = Instant::now();
    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    let error = client.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let mut seen = Vec::new();
    server.read_to_end(&mut seen).await.unwrap();
    assert_eq!((&*seen, start.elapsed()), (&b"request"[..], RTT / 2));
    server.write_all(b"answer").await.unwrap();
    drop(server);
    seen.clear();
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!((&*seen, start.elapsed()), (&b"answer"[..], RTT));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_end_is_seen_after_one_way() {
    let (client, server) = connection(&Link::new().rtt(RTT));
    drop_one(client, server).await;
    let (client, server) = connection(&Link::new().rtt(RTT));
    drop_one(server, client).await;
}

async fn drop_one(mut dropped: Socket, mut other: Socket) {
    let start = Instant::now();
    dropped.write_all(b"last").await.unwrap();
    drop(dropped);
    other.write_all(b"not known yet").await.unwrap();
    let mut seen = Vec::new();
    other.read_to_end(&mut seen).await.unwrap();
    assert_eq!((&*seen, start.elapsed()), (&b"last"[..], RTT / 2));
    let error = other.write_all(b"known").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_writer_without_a_reader_waits_and_then_learns_of_the_end() {
    let (mut client, server) = connection(&Link::new().rtt(RTT).send_buffer(10_000));
    let writing = tokio::spawn(async move {
        let error = client.write_all(&vec![0; 100_000_000]).await.unwrap_err();
        (error.kind(), Instant::now())
    });
    let minute = Duration::from_secs(60);
    tokio::time::sleep(minute).await;
    assert!(!writing.is_finished());
    let start = Instant::now();
    drop(server);
    let (error, end) = writing.await.unwrap();
    assert_eq!((error, end - start), (io::ErrorKind::BrokenPipe, RTT / 2));
}

#[tokio::test(start_paused = true)]
async fn nothing_happens_on_an_idle_connection() {
    let (mut client, server) = connection(&Link::new().rtt(RTT));
    let hour = Duration::from_secs(3600);
    let start = Instant::now();
    assert!(timeout(hour, client.read_u8()).await.is_err());
    assert_eq!(start.elapsed(), hour);
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn a_link_without_delay_delivers_immediately() {
    let (mut client, mut server) = connection(&Link::new());
    let start = Instant::now();
    for size in [1, 100_000, 5_000_000] {
        let sent = vec![7; size];
        let mut seen = vec![0; size];
        let (written, read) = join(client.write_all(&sent), server.read_exact(&mut seen)).await;
        assert!(written.is_ok() && read.is_ok() && seen == sent);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_byte_is_lost_in_either_direction(
        rtt in 0_u64..200,
        jitter in 0_u64..100,
        loss in 0.0..0.3,
        rates in proptest::array::uniform2(proptest::option::of(1_000_000_u64..100_000_000)),
        buffer in 0_usize..100_000,
        seed: u64,
        sizes in proptest::array::uniform2(0_usize..200_000),
    ) {
        let link = Link::new()
            .rtt(Duration::from_millis(rtt))
            .jitter(Duration::from_millis(jitter))
            .loss(loss)
            .bandwidth_up(rates[0])
            .bandwidth_down(rates[1])
            .send_buffer(buffer)
            .seed(seed);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (client, server) = connection(&link);
            let ((client_in, client_out), (server_in, server_out)) = (split(client), split(server));
            let mut rng = Rng::with_seed(seed);
            let [up, down] = sizes.map(|size| (0..size).map(|_| rng.u8(..)).collect::<Vec<_>>());
            let (_, _, seen_up, seen_down) = join4(
                send(client_out, &up),
                send(server_out, &down),
                receive(server_in),
                receive(client_in),
            )
            .await;
            assert!(seen_up == up && seen_down == down);
        });
    }
}

async fn send(mut end: impl AsyncWrite + Unpin, bytes: &[u8]) {
    for chunk in bytes.chunks(7_000) {
        end.write_all(chunk).await.unwrap();
    }
    end.shutdown().await.unwrap();
}

async fn receive(mut end: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut seen = Vec::new();
    end.read_to_end(&mut seen).await.unwrap();
    seen
}
