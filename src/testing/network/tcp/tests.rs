//! The model with exact times.

use std::{collections::BTreeSet, time::Duration};

use fastrand::Rng;
use proptest::prelude::*;

use super::{
    flow::Flow,
    handshake::Handshake,
    path::{is_lost, jitter},
    window::Window,
};
use crate::testing::network::link::Link;

const RTT: Duration = ms(100);
const SEGMENT: usize = 1460;
/// Probability with which the tests of single losses search for a seed.
const LOSS: f64 = 0.2;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn link() -> Link {
    Link::new().rtt(RTT).send_buffer(1 << 30)
}

fn flow(link: &Link) -> Flow {
    flow_with(Window::after_handshake(false), link)
}

fn flow_with(window: Window, link: &Link) -> Flow {
    Flow::new(link, link.bandwidth_up, window, Rng::with_seed(link.seed))
}

/// A flow that loses exactly these of its first transmissions.
fn losing(lost: &[usize], link: Link) -> Flow {
    let link = link.loss(LOSS);
    let fits = |seed: &u64| {
        let mut rng = Rng::with_seed(*seed);
        (0..30).all(|index| {
            jitter(link.jitter, &mut rng);
            is_lost(LOSS, &mut rng) == lost.contains(&index)
        })
    };
    let seed = (0..).find(fits).unwrap();
    flow(&link.seed(seed))
}

/// Reads everything until nothing happens any more; returns when each number of bytes had arrived.
fn drain(flow: &mut Flow) -> Vec<(Duration, usize)> {
    let (mut seen, mut total) = (Vec::new(), 0);
    while let Some(at) = flow.next_event() {
        flow.advance(at);
        let before = total;
        while let Some(bytes) = flow.read(at, usize::MAX) {
            total += bytes.len();
        }
        if total > before {
            seen.push((at, total));
        }
    }
    seen
}

/// The time at which the last of `segments` has arrived, from their writing at `start`.
fn transfer(flow: &mut Flow, start: Duration, segments: usize) -> Duration {
    flow.advance(start);
    assert_eq!(flow.write(start, &vec![0; segments * SEGMENT]), segments * SEGMENT);
    let seen = drain(flow);
    assert_eq!(seen.last().unwrap().1, segments * SEGMENT);
    seen.last().unwrap().0 - start
}

#[test]
fn connecting_takes_a_round_trip_and_a_lost_syn_a_second_and_then_two() {
    let mut seen = Vec::new();
    for seed in 0..200 {
        let handshake = Handshake::new(&link().loss(0.1), &mut Rng::with_seed(seed));
        let waits = [0, 1, 3, 7, 15, 31, 63][usize::try_from(handshake.segments_lost).unwrap()];
        assert!(handshake.is_connected);
        assert_eq!(handshake.time, Duration::from_secs(waits) + RTT);
        seen.push(waits);
    }
    assert!([0, 1, 3].iter().all(|waits| seen.contains(waits)));
    let dead = Handshake::new(&link().loss(1.0), &mut Rng::with_seed(1));
    assert_eq!((dead.time, dead.segments_lost), (Duration::from_secs(127), 7));
    assert!(!dead.is_connected);
}

#[test]
fn a_lost_syn_or_syn_ack_shrinks_the_first_window_of_those_who_sent_it_again() {
    // Half round trips of ten segments: one flight from a whole window; flights of 1, 2, 4 and 3
    // segments from one of a single segment.
    let half_trips = |window| {
        let time = transfer(&mut flow_with(window, &link()), Duration::ZERO, 10);
        time.as_millis() / (RTT / 2).as_millis()
    };
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut fates = Rng::with_seed(seed);
        let [is_syn_lost, is_syn_ack_lost] = [(); 2].map(|()| is_lost(LOSS, &mut fates));
        let handshake = Handshake::new(&link().loss(LOSS), &mut Rng::with_seed(seed));
        let expected = match (is_syn_lost, is_syn_ack_lost) {
            (false, false) => (1, 1),
            (false, true) if handshake.segments_lost == 1 => (7, 7),
            (true, _) if handshake.segments_lost == 1 => (7, 1),
            _ => continue,
        };
        let windows = (handshake.client_window(), handshake.server_window());
        assert_eq!((half_trips(windows.0), half_trips(windows.1)), expected, "seed {seed}");
        seen.insert(expected);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn slow_start_doubles_from_ten_segments() {
    for (segments, half_trips) in
        [(1, 1), (10, 1), (11, 3), (30, 3), (31, 5), (70, 5), (71, 7), (150, 7), (151, 9)]
    {
        let time = transfer(&mut flow(&link()), Duration::ZERO, segments);
        assert_eq!(time, RTT / 2 * half_trips, "{segments} segments");
    }
}

#[test]
fn an_idle_connection_starts_anew_after_a_retransmission_timeout() {
    // All were acknowledged after two round trips, the last were sent after one.
    let last_left = RTT;
    for (start, half_trips) in [
        (2 * RTT, 1),
        (last_left + RTT + ms(200), 1),
        (last_left + RTT + ms(200) + Duration::from_nanos(1), 3),
        (Duration::from_secs(10), 3),
    ] {
        let mut flow = flow(&link());
        assert_eq!(transfer(&mut flow, Duration::ZERO, 30), RTT / 2 * 3);
        assert_eq!(transfer(&mut flow, start, 30), RTT / 2 * half_trips, "{start:?}");
    }
}

#[test]
fn small_turns_do_not_grow_the_window() {
    let mut flow = flow(&link());
    for turn in 0..100 {
        assert_eq!(transfer(&mut flow, turn * RTT, 3), RTT / 2);
    }
    // The window still has ten segments: it was not what limited the sender.
    assert_eq!(transfer(&mut flow, 100 * RTT, 30), RTT / 2 * 3);
}

#[test]
fn the_bottleneck_sends_at_its_rate() {
    for (rate, bytes) in [(10_000_000, 5_000_000), (1_000_000, 1_000_000), (64_000, 30_000)] {
        let mut flow = flow(&Link::new().rtt(ms(10)).bandwidth_up(Some(rate)).send_buffer(1 << 30));
        assert_eq!(flow.write(Duration::ZERO, &vec![0; bytes]), bytes);
        let seen = drain(&mut flow).last().unwrap().0.as_secs_f64();
        let bits = (bytes + bytes.div_ceil(SEGMENT) * 40) as f64 * 8.0;
        let expected = bits / rate as f64 + 0.005;
        assert!((seen / expected - 1.0).abs() < 0.01, "{seen} s for {expected} s");
    }
}

#[test]
fn a_single_segment_takes_its_serialisation_and_half_a_round_trip() {
    let mut flow = flow(&link().bandwidth_up(Some(1_000_000)));
    flow.write(Duration::ZERO, &[0; 1000]);
    assert_eq!(drain(&mut flow), [(Duration::from_micros(1040 * 8) + RTT / 2, 1000)]);
}

#[test]
fn jitter_delays_each_segment_by_a_random_time_up_to_it() {
    let delays: Vec<Duration> = (0..1000)
        .map(|seed| transfer(&mut flow(&link().jitter(ms(20)).seed(seed)), Duration::ZERO, 1))
        .map(|time| time - RTT / 2)
        .collect();
    let (least, greatest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    let mean = delays.iter().sum::<Duration>() / 1000;
    assert!(*least < ms(1) && ms(19) < *greatest && *greatest <= ms(20));
    assert!(ms(9) < mean && mean < ms(11), "{mean:?}");
    // A late segment holds up those behind it, so that none arrives early and none is resent.
    for seed in 0..100 {
        let mut flow = flow(&link().jitter(ms(200)).seed(seed));
        flow.write(Duration::ZERO, &[0; 10 * SEGMENT]);
        let seen = drain(&mut flow);
        assert!(seen.is_sorted() && seen.last().unwrap().0 <= RTT / 2 + ms(200));
    }
}

#[test]
fn segments_are_lost_with_the_probability_of_the_link() {
    for loss in [0.005, 0.05, 0.3] {
        let mut flow = flow(&Link::new().rtt(ms(1)).loss(loss).seed(7).send_buffer(1 << 30));
        let segments = 50_000_u32;
        transfer(&mut flow, Duration::ZERO, segments as usize);
        let lost = flow.take_segments_lost() as f64;
        // Each lost segment is transmitted again.
        let rate = lost / (f64::from(segments) + lost);
        let deviation = (loss * (1.0 - loss) / f64::from(segments)).sqrt();
        assert!((rate - loss).abs() < 4.0 * deviation, "{rate} for {loss}");
    }
}

#[test]
fn three_later_acks_resend_a_segment_after_one_round_trip() {
    let mut flow = losing(&[2], link());
    assert_eq!(flow.write(Duration::ZERO, &[0; 10 * SEGMENT]), 10 * SEGMENT);
    let seen = drain(&mut flow);
    assert_eq!(seen, [(RTT / 2, 2 * SEGMENT), (RTT * 3 / 2, 10 * SEGMENT)]);
}

#[test]
fn one_later_ack_resends_a_segment_after_a_quarter_more() {
    let mut flow = losing(&[8], link());
    flow.write(Duration::ZERO, &[0; 10 * SEGMENT]);
    let seen = drain(&mut flow);
    assert_eq!(seen, [(RTT / 2, 8 * SEGMENT), (RTT * 7 / 4, 10 * SEGMENT)]);
}

#[test]
fn a_lost_tail_is_probed() {
    // Two in flight: the probe is sent two round trips after the last ACK, and the ACK of the probe
    // reports the other one.
    let mut flow = losing(&[8, 9], link());
    flow.write(Duration::ZERO, &[0; 10 * SEGMENT]);
    let seen = drain(&mut flow);
    assert_eq!(seen, [(RTT / 2, 8 * SEGMENT), (RTT * 9 / 2, 10 * SEGMENT)]);
    // On a long path the retransmission timeout comes before two round trips.
    let mut flow = losing(&[0, 1], link().rtt(ms(600)));
    flow.write(Duration::ZERO, &[0; 2 * SEGMENT]);
    assert_eq!(drain(&mut flow), [(ms(800 + 600 + 300), 2 * SEGMENT)]);
    // One in flight.
    let mut flow = losing(&[0], link());
    flow.write(Duration::ZERO, &[0; 100]);
    assert_eq!(drain(&mut flow), [(RTT + ms(200) + RTT / 2, 100)]);
}

#[test]
fn a_retransmission_can_be_lost_again() {
    let timeout = RTT + ms(200);
    for (lost, timeouts) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        let lost: Vec<usize> = (0..lost).collect();
        let mut flow = losing(&lost, link());
        flow.write(Duration::ZERO, &[0; 100]);
        assert_eq!(drain(&mut flow), [(timeout * timeouts + RTT / 2, 100)], "{lost:?}");
        assert_eq!(flow.take_segments_lost(), lost.len() as u64);
    }
    // A fast retransmission that is lost is found like a lost tail.
    let mut flow = losing(&[0, 10], link());
    flow.write(Duration::ZERO, &[0; 10 * SEGMENT]);
    assert_eq!(drain(&mut flow), [(RTT + timeout + RTT / 2, 10 * SEGMENT)]);
}

#[test]
fn a_loss_halves_the_window_once_and_then_it_grows_by_one_a_round() {
    let mut window = Window::after_handshake(false);
    let mut next = 0;
    let mut send = |window: &mut Window| {
        let first = next;
        while window.has_room(usize::try_from(next - first).unwrap()) {
            next += 1;
            window.sent(next - 1, usize::try_from(next - first).unwrap());
        }
        first..next
    };
    let round = send(&mut window);
    assert_eq!(round.clone().count(), 10);
    window.lost(0, round.end);
    window.lost(1, round.end);
    round.for_each(|number| window.acked(number));
    for expected in [5, 6, 7, 8] {
        let round = send(&mut window);
        assert_eq!(round.clone().count(), expected);
        round.for_each(|number| window.acked(number));
    }
    // A retransmission timeout starts slow start anew, up to half of the window.
    let round = send(&mut window);
    window.timed_out(round.start, round.end);
    for expected in [1, 2, 4, 5, 6] {
        let round = send(&mut window);
        assert_eq!(round.clone().count(), expected);
        round.for_each(|number| window.acked(number));
    }
}

#[test]
fn one_seed_gives_the_same_times_and_another_seed_other_times() {
    let times = |seed| {
        let link = link().jitter(ms(20)).loss(0.01).bandwidth_up(Some(20_000_000)).seed(seed);
        let mut flow = flow(&link);
        flow.write(Duration::ZERO, &[0; 500_000]);
        drain(&mut flow)
    };
    assert_eq!(times(1), times(1));
    assert_ne!(times(1), times(2));
}

#[test]
fn late_calls_do_not_change_the_times() {
    let link = link().jitter(ms(20)).loss(0.02).bandwidth_up(Some(20_000_000));
    let [mut punctual, mut late] = [flow(&link), flow(&link)];
    for flow in [&mut punctual, &mut late] {
        flow.write(Duration::ZERO, &[0; 1_000_000]);
    }
    let end = drain(&mut punctual).last().unwrap().0;
    late.advance(end - Duration::from_nanos(1));
    let read = |flow: &mut Flow| {
        let mut total = 0;
        while let Some(bytes) = flow.read(end, usize::MAX) {
            total += bytes.len();
        }
        total
    };
    let before = read(&mut late);
    assert!(before < 1_000_000);
    late.advance(end);
    assert_eq!(before + read(&mut late), 1_000_000);
}

#[test]
fn a_reader_that_does_not_read_makes_the_writer_wait() {
    let mut flow = flow(&link().send_buffer(100 * SEGMENT));
    let (mut written, mut now) = (0, Duration::ZERO);
    loop {
        let taken = flow.write(now, &[0; 50 * SEGMENT]);
        written += taken;
        match flow.next_event() {
            Some(at) => now = at,
            None if taken == 0 => break,
            None => {}
        }
        flow.advance(now);
    }
    // The receiver's buffer, in whole segments, and the sender's.
    let receiver = 6 * 1024 * 1024 / SEGMENT * SEGMENT;
    assert_eq!((written, flow.room()), (receiver + 100 * SEGMENT, 0));
    assert_eq!(flow.read(now, 1000).unwrap().len(), 1000);
    assert_eq!(flow.room(), 0, "less than a segment has become free");
    assert_eq!(flow.read(now, 460).unwrap().len(), 460);
    assert_eq!(flow.room(), SEGMENT);
    assert_eq!(flow.write(now, &[0; 5000]), SEGMENT);
}

#[test]
fn the_end_arrives_after_the_bytes() {
    let mut flow = losing(&[1], link());
    flow.write(Duration::ZERO, &[0; 2 * SEGMENT]);
    flow.finish(Duration::ZERO);
    assert_eq!(flow.write(Duration::ZERO, b"more"), 0);
    assert!(flow.is_finished());
    flow.advance(RTT / 2);
    assert_eq!(flow.read(RTT / 2, usize::MAX).map(|bytes| bytes.len()), Some(SEGMENT));
    assert!(!flow.has_ended());
    assert_eq!(drain(&mut flow).last(), Some(&(RTT * 7 / 4, SEGMENT)));
    assert!(flow.has_ended());
}

/// The byte of the test's stream at `offset`.
fn byte(offset: usize) -> u8 {
    u8::try_from(offset % 251).unwrap()
}

proptest! {
    #[test]
    fn no_byte_is_lost_added_or_reordered(
        rtt in 0_u64..200,
        jitter in 0_u64..100,
        loss in 0.0..0.4,
        rate in proptest::option::of(100_000_u64..1_000_000_000),
        buffer in 0_usize..100_000,
        seed: u64,
        chunks in proptest::collection::vec((0_usize..20_000, 0_u64..300, 1_usize..5_000), 1..40),
    ) {
        let link = Link::new().rtt(ms(rtt)).jitter(ms(jitter)).loss(loss).bandwidth_up(rate);
        let mut flow = flow(&link.seed(seed).send_buffer(buffer));
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let mut now = Duration::ZERO;
        let mut last = Duration::ZERO;
        for (size, pause, read) in chunks {
            let chunk: Vec<u8> = (sent.len()..sent.len() + size).map(byte).collect();
            let written = flow.write(now, &chunk);
            sent.extend_from_slice(&chunk[..written]);
            received.extend(flow.read(now, read).into_iter().flatten());
            now += ms(pause);
            flow.advance(now);
        }
        flow.finish(now);
        while let Some(at) = flow.next_event() {
            prop_assert!(at >= last, "events are in order");
            last = at;
            flow.advance(at);
            while let Some(bytes) = flow.read(at.max(now), usize::MAX) {
                received.extend(bytes);
            }
        }
        received.extend(std::iter::from_fn(|| flow.read(now, 100)).flatten());
        prop_assert!(flow.has_ended());
        prop_assert!(sent == received, "{} bytes sent, {} received", sent.len(), received.len());
    }
}
