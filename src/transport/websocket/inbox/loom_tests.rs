//! The orders of the threads of an inbox. A thread that is not woken is a deadlock, which loom
//! reports.

use std::{future::poll_fn, sync::atomic::AtomicUsize};

use loom::{future::block_on, model::Builder, thread};

use super::*;
use crate::proto::wire::{Wire, responses::Responses};

/// Bytes charged for a frame of [`frame`]. The limit is reached with each frame.
const LIMIT: usize = 128 + 4;

/// Runs `test` in all orders of its threads that have few preemptions: at most two, unless
/// `LOOM_MAX_PREEMPTIONS` sets another number.
fn in_all_orders(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(test);
}

fn frame(number: usize) -> Incoming {
    Incoming::Frame(Responses.classify("", format!("{number:04}").into()))
}

/// The task of a connection, as `connection.rs` runs it.
struct Task {
    signals: Arc<Signals>,
    lanes: Vec<Lane>,
}

struct Lane {
    /// `None` once the exchange has ended.
    sender: Option<Sender>,
    course: Course,
    sent: usize,
    /// Number of frames that the consumer has taken. Not of loom: no further switch of threads.
    received: Arc<AtomicUsize>,
    /// The consumer left before the end.
    was_left: bool,
}

/// Frames that the server sends, by their number, and the end or nothing after them.
#[derive(Clone, Copy)]
enum Course {
    Ends(usize),
    Stays(usize),
}

/// The consumer of an exchange.
struct Consumer {
    receiver: Receiver,
    received: Arc<AtomicUsize>,
}

impl Task {
    /// Returns the task of a connection with these lanes, and their consumers.
    fn new(courses: &[Course]) -> (Self, Vec<Consumer>) {
        let signals: Arc<Signals> = Arc::default();
        let halves = (0..).zip(courses).map(|(lane, course)| {
            let (sender, receiver) = inbox(LIMIT, LaneId(lane), Arc::clone(&signals));
            let received: Arc<AtomicUsize> = Arc::default();
            let consumer = Consumer { receiver, received: Arc::clone(&received) };
            let sender = Some(sender);
            (Lane { sender, course: *course, sent: 0, received, was_left: false }, consumer)
        });
        let (lanes, consumers) = halves.unzip();
        (Self { signals, lanes }, consumers)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.signals.register(cx);
        for lane in self.signals.take() {
            let lane = &mut self.lanes[usize::from(lane.0)];
            if lane.sender.as_ref().is_some_and(Sender::is_closed) {
                lane.sender = None;
                lane.was_left = true;
            }
        }
        self.lanes.iter_mut().for_each(Lane::read);
        match self.lanes.iter().all(|lane| lane.sender.is_none()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Serves the lanes until all exchanges have ended.
    fn run(&mut self) {
        block_on(poll_fn(|cx| self.poll(cx)));
    }
}

impl Lane {
    /// Reads frames as long as there is room.
    fn read(&mut self) {
        while let Some(sender) = &mut self.sender {
            match self.course {
                Course::Ends(frames) if frames == self.sent => {
                    sender.push(Incoming::End(StreamEnd::PongTimeout));
                    self.sender = None;
                    return;
                }
                Course::Stays(frames) if frames == self.sent => return,
                _ => {}
            }
            if !sender.has_room() {
                return;
            }
            sender.push(frame(self.sent));
            // The consumer counts a frame after it has given back the room.
            let waiting = self.sent - self.received.load(Ordering::SeqCst);
            assert!(waiting <= 1, "read without room: {waiting}");
            self.sent += 1;
            // The first frame of a burst goes alone.
            if self.sent == 1 {
                sender.publish();
            }
        }
    }
}

impl Consumer {
    /// Returns the next frame or end. Panics if a frame is lost, doubled or out of order.
    fn next(&mut self) -> Option<StreamEnd> {
        let incoming = block_on(poll_fn(|cx| self.receiver.poll_next(cx)));
        match incoming {
            Incoming::Frame(frame) => {
                let number = self.received.fetch_add(1, Ordering::SeqCst);
                assert_eq!(frame.payload, format!("{number:04}"), "order");
                None
            }
            Incoming::End(end) => Some(end),
            Incoming::LateEvents => panic!("nothing is late"),
        }
    }

    /// Returns the number of frames, and the end after them.
    fn read(&mut self) -> (usize, StreamEnd) {
        loop {
            if let Some(end) = self.next() {
                return (self.received.load(Ordering::SeqCst), end);
            }
        }
    }
}

#[test]
fn c092_each_frame_arrives_once_and_whoever_waits_is_woken() {
    in_all_orders(|| {
        let (mut task, mut consumers) = Task::new(&[Course::Ends(3)]);
        let mut consumer = consumers.remove(0);
        let reader = thread::spawn(move || {
            let read = consumer.read();
            assert!(matches!(read, (3, StreamEnd::PongTimeout)), "{read:?}");
        });
        task.run();
        reader.join().unwrap();
    });
}

#[test]
fn c092_the_signals_of_two_lanes_do_not_hide_each_other() {
    in_all_orders(|| {
        let (mut task, mut consumers) = Task::new(&[Course::Ends(2), Course::Stays(0)]);
        let leaving = consumers.remove(1);
        let leaving = thread::spawn(move || drop(leaving));
        let mut consumer = consumers.remove(0);
        let reader = thread::spawn(move || {
            let read = consumer.read();
            assert!(matches!(read, (2, StreamEnd::PongTimeout)), "{read:?}");
        });
        task.run();
        leaving.join().unwrap();
        reader.join().unwrap();
        assert!(task.lanes[1].was_left);
    });
}

#[test]
fn c066_a_consumer_that_leaves_wakes_the_task() {
    in_all_orders(|| {
        let (mut task, mut consumers) = Task::new(&[Course::Stays(2)]);
        let mut consumer = consumers.remove(0);
        let reader = thread::spawn(move || assert!(consumer.next().is_none()));
        task.run();
        reader.join().unwrap();
        assert!(task.lanes[0].was_left);
    });
}

#[test]
fn c062_a_close_by_another_thread_wakes_the_task_and_the_consumer() {
    in_all_orders(|| {
        let (mut task, mut consumers) = Task::new(&[Course::Stays(2)]);
        let mut consumer = consumers.remove(0);
        let closer = consumer.receiver.closer();
        let closing = thread::spawn(move || closer.close());
        let reader = thread::spawn(move || {
            let (_, end) = consumer.read();
            assert!(matches!(end, StreamEnd::Disconnected(None)), "{end:?}");
            // Dropped after the task has ended, because a drop wakes the task, too.
            consumer
        });
        task.run();
        closing.join().unwrap();
        drop(reader.join().unwrap());
        assert!(task.lanes[0].was_left);
    });
}

#[test]
fn c062_a_close_wakes_a_consumer_whose_task_is_idle() {
    in_all_orders(|| {
        let (task, mut consumers) = Task::new(&[Course::Stays(2)]);
        let mut consumer = consumers.remove(0);
        let closer = consumer.receiver.closer();
        let closing = thread::spawn(move || closer.close());
        let (frames, end) = consumer.read();
        assert!(frames == 0 && matches!(end, StreamEnd::Disconnected(None)), "{frames} {end:?}");
        closing.join().unwrap();
        drop(task);
    });
}

#[test]
fn c092_a_task_that_is_dropped_ends_its_consumer_after_what_was_read() {
    in_all_orders(|| {
        let (mut task, mut consumers) = Task::new(&[Course::Stays(2)]);
        let mut consumer = consumers.remove(0);
        let dropping = thread::spawn(move || {
            let mut sender = task.lanes.remove(0).sender.unwrap();
            sender.push(frame(0));
            sender.publish();
            sender.push(frame(1));
        });
        let (frames, end) = consumer.read();
        assert!(frames == 2 && matches!(end, StreamEnd::Disconnected(None)), "{frames} {end:?}");
        dropping.join().unwrap();
    });
}

#[test]
fn c092_a_failed_exchange_ends_its_consumer_with_the_failure() {
    in_all_orders(|| {
        let (mut task, mut consumers) = Task::new(&[Course::Stays(2)]);
        let mut consumer = consumers.remove(0);
        let failing = thread::spawn(move || {
            let mut sender = task.lanes.remove(0).sender.unwrap();
            sender.push(frame(0));
            sender.publish();
            sender.push(frame(1));
            sender.fail(StreamEnd::FellBehind);
        });
        let (frames, end) = consumer.read();
        assert!(frames <= 1 && matches!(end, StreamEnd::FellBehind), "{frames} {end:?}");
        failing.join().unwrap();
    });
}
