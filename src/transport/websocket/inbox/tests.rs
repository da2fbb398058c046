//! Room, batches and ends of an inbox.

use std::task::Wake;

use super::*;
use crate::proto::wire::{Wire, responses::Responses};

mod model;

struct Flag(std::sync::atomic::AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

fn flag() -> (Arc<Flag>, Waker) {
    let flag = Arc::new(Flag(false.into()));
    (Arc::clone(&flag), flag.into())
}

fn woken(flag: &Flag) -> bool {
    flag.0.swap(false, std::sync::atomic::Ordering::SeqCst)
}

fn frame(size: usize) -> Incoming {
    Incoming::Frame(Responses.classify("", "x".repeat(size).into()))
}

/// The halves of an inbox, and whether its task was woken.
struct Scene {
    sender: Sender,
    receiver: Receiver,
    task: Arc<Flag>,
    signals: Arc<Signals>,
}

const LANE: LaneId = LaneId(3);

fn scene(limit: usize) -> Scene {
    let signals: Arc<Signals> = Arc::default();
    let (sender, receiver) = inbox(limit, LANE, Arc::clone(&signals));
    let (task, waker) = flag();
    signals.register(&Context::from_waker(&waker));
    Scene { sender, receiver, task, signals }
}

impl Scene {
    /// Returns `true` if the lane has signalled and woken the task.
    fn signalled(&self) -> bool {
        let lanes: Vec<LaneId> = self.signals.take().collect();
        let woken = woken(&self.task);
        let signalled = lanes == [LANE];
        assert_eq!(signalled, woken);
        let waker = Waker::from(Arc::clone(&self.task));
        self.signals.register(&Context::from_waker(&waker));
        signalled
    }
}

#[test]
fn room_ends_at_the_limit_and_comes_back() {
    let mut it = scene(10 + 128);
    let (receiver_woken, waker) = flag();
    let mut cx = Context::from_waker(&waker);
    assert!(it.receiver.poll_next(&mut cx).is_pending());
    assert!(it.sender.has_room());
    it.sender.push(frame(4));
    assert!(!woken(&receiver_woken), "not published");
    it.sender.publish();
    assert!(woken(&receiver_woken) && it.sender.has_room());
    it.sender.push(frame(8));
    assert!(!it.sender.has_room(), "what is not published takes room, too");
    assert!(it.receiver.poll_next(&mut cx).is_ready());
    assert!(it.signalled() && it.sender.has_room());
}

#[test]
fn a_long_batch_gives_its_room_back_piece_by_piece() {
    let mut it = scene(100 << 10);
    let mut cx = Context::from_waker(Waker::noop());
    (0..10).for_each(|_| it.sender.push(frame(20 << 10)));
    assert!(!it.sender.has_room());
    let mut taken = 0;
    while !it.signalled() {
        assert!(it.receiver.poll_next(&mut cx).is_ready());
        taken += 1;
    }
    // All ten were taken in one batch. With the sixth, less than 100 KiB are left.
    assert_eq!(taken, 6);
}

#[test]
fn c062_what_is_closed_from_elsewhere_yields_its_end_and_stops_the_sender() {
    let mut it = scene(1);
    let (receiver_woken, waker) = flag();
    let mut cx = Context::from_waker(&waker);
    assert!(it.receiver.poll_next(&mut cx).is_pending());
    it.receiver.closer().close();
    assert!(it.signalled() && woken(&receiver_woken) && it.sender.is_closed());
    assert!(matches!(it.receiver.poll_next(&mut cx), Poll::Ready(Incoming::End(_))));
    it.sender.push(frame(4));
    it.sender.publish();
    assert_eq!(
        it.sender.shared.lock().waiting.len(),
        0,
        "nothing is kept for a consumer that left"
    );
}

#[test]
fn c139_frames_without_a_payload_take_room_too() {
    let mut it = scene(1 << 20);
    let mut frames = 0;
    while it.sender.has_room() {
        it.sender.push(frame(0));
        frames += 1;
    }
    assert_eq!(frames, (1 << 20) / 128);
}

#[test]
fn c139_what_waits_behind_others_does_not_keep_its_buffer() {
    let mut it = scene(1 << 20);
    let mut cx = Context::from_waker(Waker::noop());
    let buffer = bytestring::ByteString::from("x".repeat(40 << 10));
    let batches = [vec![0..10, 10..20], vec![20..30, 30..40], vec![40..50, 50..(20 << 10)]];
    for batch in &batches {
        for range in batch {
            let slice = buffer.slice_ref(&buffer[range.clone()]);
            it.sender.push(Incoming::Frame(Responses.classify("", slice)));
        }
        it.sender.publish();
    }
    let is_slice = batches.concat().into_iter().map(|range| {
        let Poll::Ready(Incoming::Frame(frame)) = it.receiver.poll_next(&mut cx) else { panic!() };
        assert_eq!(frame.payload, buffer[range.clone()]);
        frame.payload.as_ptr() == buffer[range].as_ptr()
    });
    let is_slice: Vec<bool> = is_slice.collect();
    assert_eq!(is_slice[..2], [true, true], "nothing waits before them");
    assert_eq!(is_slice[2..4], [false, false]);
    assert_eq!(is_slice[4..], [true, true], "they are large");
}

#[test]
fn what_is_not_published_arrives_when_the_sender_goes() {
    let Scene { mut sender, mut receiver, .. } = scene(10);
    let (receiver_woken, waker) = flag();
    let mut cx = Context::from_waker(&waker);
    assert!(receiver.poll_next(&mut cx).is_pending());
    sender.push(frame(1));
    drop(sender);
    assert!(woken(&receiver_woken));
    assert!(matches!(receiver.poll_next(&mut cx), Poll::Ready(Incoming::Frame(_))));
    assert!(matches!(receiver.poll_next(&mut cx), Poll::Ready(Incoming::End(_))));
}

#[test]
fn a_failed_exchange_ends_without_what_waits() {
    let Scene { mut sender, mut receiver, .. } = scene(10);
    let mut cx = Context::from_waker(Waker::noop());
    sender.push(frame(1));
    sender.publish();
    sender.push(frame(2));
    sender.fail(StreamEnd::FellBehind);
    let next = receiver.poll_next(&mut cx);
    assert!(matches!(next, Poll::Ready(Incoming::End(StreamEnd::FellBehind))), "{next:?}");
}

#[test]
fn c066_a_consumer_that_goes_wakes_the_task() {
    let mut it = scene(1);
    it.sender.push(frame(4));
    assert!(!it.sender.has_room() && !it.sender.is_closed() && !it.signalled());
    let Scene { sender, receiver, task, signals } = it;
    drop(receiver);
    assert!(woken(&task) && sender.is_closed());
    assert_eq!(signals.take().collect::<Vec<_>>(), [LANE]);
}
