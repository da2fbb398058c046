//! All orders of what the two sides of some inboxes do, up to a length.

use super::*;

/// Action of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// The task reads a frame of the lane.
    Push(usize),
    /// The task reads the end of the lane's exchange.
    End(usize),
    /// The task hands over what it has read.
    Publish,
    /// The task is polled: it registers, and takes the signals.
    Task,
    /// The consumer asks for the next frame.
    Poll(usize),
    /// The consumer is dropped.
    Drop(usize),
    /// The session cancels the exchange, whose consumer stays.
    Cancel(usize),
    /// The task is dropped, with its runtime.
    Shutdown,
}

/// A lane as the model knows it.
struct Lane {
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    waker: Arc<Flag>,
    /// The last poll found nothing.
    is_pending: bool,
    pushed: usize,
    published: usize,
    received: usize,
    /// Number of frames before the end, once the end was read.
    end: Option<usize>,
    has_ended: bool,
    is_gone: bool,
    /// The task found no room, and has not been signalled since.
    was_full: bool,
    /// The task has to be signalled.
    must_signal: bool,
}

struct Model {
    lanes: Vec<Lane>,
    signals: Arc<Signals>,
    task: Arc<Flag>,
    is_shut_down: bool,
}

/// A limit of two frames.
const LIMIT: usize = 2 * (128 + 4);

impl Model {
    fn new(lanes: usize) -> Self {
        let signals: Arc<Signals> = Arc::default();
        let lanes = (0..lanes).map(|lane| {
            let lane = LaneId(u8::try_from(lane).unwrap());
            let (sender, receiver) = inbox(LIMIT, lane, Arc::clone(&signals));
            Lane {
                sender: Some(sender),
                receiver: Some(receiver),
                waker: flag().0,
                is_pending: false,
                pushed: 0,
                published: 0,
                received: 0,
                end: None,
                has_ended: false,
                is_gone: false,
                was_full: false,
                must_signal: false,
            }
        });
        let model = Self { lanes: lanes.collect(), signals, task: flag().0, is_shut_down: false };
        model.register();
        model
    }

    fn register(&self) {
        let waker = Waker::from(Arc::clone(&self.task));
        self.signals.register(&Context::from_waker(&waker));
    }

    /// Does `op`, unless it is impossible now.
    fn step(&mut self, op: Op) {
        match op {
            Op::Push(lane) => self.lanes[lane].push(),
            Op::End(lane) => self.lanes[lane].end(),
            Op::Publish => self.lanes.iter_mut().for_each(Lane::publish),
            Op::Task if self.is_shut_down => {}
            Op::Task => {
                self.register();
                let signalled: Vec<usize> =
                    self.signals.take().map(|lane| usize::from(lane.0)).collect();
                for (lane, state) in self.lanes.iter_mut().enumerate() {
                    let must = std::mem::take(&mut state.must_signal);
                    assert!(!must || signalled.contains(&lane), "lane {lane} was not signalled");
                    state.was_full &= !signalled.contains(&lane);
                }
                woken(&self.task);
            }
            Op::Poll(lane) => self.lanes[lane].poll(),
            Op::Drop(lane) => {
                let lane = &mut self.lanes[lane];
                lane.must_signal |= lane.receiver.take().is_some();
                lane.is_gone = true;
            }
            Op::Cancel(lane) => {
                let lane = &mut self.lanes[lane];
                if let Some(receiver) = &lane.receiver {
                    receiver.closer().close();
                    lane.must_signal = true;
                    lane.is_gone = true;
                }
            }
            Op::Shutdown => {
                self.is_shut_down = true;
                for lane in &mut self.lanes {
                    if lane.sender.take().is_some() {
                        lane.published = lane.pushed;
                    }
                }
            }
        }
        self.check(op);
    }

    fn check(&mut self, op: Op) {
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            lane.check(self.is_shut_down);
            assert!(
                !lane.must_signal || self.is_shut_down || self.task.0.load(ORDER),
                "{op:?}: the task sleeps although lane {number} has signalled"
            );
        }
    }
}

const ORDER: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;

impl Lane {
    fn push(&mut self) {
        let Some(sender) = self.sender.as_mut().filter(|_| self.end.is_none()) else { return };
        // The task asks before it reads.
        if !sender.has_room() {
            self.published = self.pushed;
            self.was_full = true;
            return;
        }
        if self.published < self.pushed && sender.batch.is_empty() {
            self.published = self.pushed;
        }
        let text = format!("{:04}", self.pushed);
        sender.push(Incoming::Frame(Responses.classify("", text.into())));
        self.pushed += 1;
    }

    fn end(&mut self) {
        let Some(mut sender) = self.sender.take() else { return };
        sender.push(Incoming::End(StreamEnd::PongTimeout));
        self.end = Some(self.pushed);
        self.published = self.pushed;
    }

    fn publish(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.publish();
            self.published = self.pushed;
        }
    }

    fn poll(&mut self) {
        let Some(receiver) = self.receiver.as_mut().filter(|_| !self.has_ended) else { return };
        let waker = Waker::from(Arc::clone(&self.waker));
        woken(&self.waker);
        self.is_pending = false;
        let was_full = self.was_full;
        match receiver.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Incoming::Frame(frame)) => {
                assert_eq!(frame.payload, format!("{:04}", self.received), "order");
                self.received += 1;
                assert!(self.received <= self.published, "not published");
            }
            Poll::Ready(Incoming::End(end)) => {
                self.has_ended = true;
                let by_server = matches!(end, StreamEnd::PongTimeout);
                assert!(by_server || self.is_gone || self.sender.is_none());
                assert!(self.is_gone || self.received == self.pushed, "a frame is lost");
                assert!(!by_server || self.end.is_some());
                assert!(by_server || self.end.is_none() || self.is_gone, "its end is lost");
            }
            Poll::Ready(Incoming::LateEvents) => panic!("nothing is late"),
            Poll::Pending => {
                assert!(!self.is_gone && self.sender.is_some(), "it waits without end");
                assert_eq!(self.received, self.published, "it waits beside its frames");
                self.is_pending = true;
            }
        }
        if was_full && self.has_room() {
            self.must_signal = true;
        }
    }

    fn has_room(&self) -> bool {
        let state = |sender: &Sender| sender.shared.lock().bytes < LIMIT;
        self.sender.as_ref().is_some_and(state)
    }

    fn check(&mut self, is_shut_down: bool) {
        let is_due =
            self.is_gone || self.end.is_some() || is_shut_down || self.received < self.published;
        if self.is_pending && is_due {
            assert!(self.waker.0.load(ORDER), "the consumer sleeps");
        }
        if let Some(sender) = self.sender.as_ref().filter(|_| self.is_gone) {
            assert!(sender.shared.lock().waiting.is_empty(), "kept for nobody");
            assert!(sender.is_closed());
        }
        if let Some(sender) = &self.sender {
            assert!(sender.backlog() <= LIMIT + 132, "over the limit by more than a frame");
        }
        // A task that found no room must learn of the room.
        if self.was_full && self.has_room() && !self.is_gone {
            assert!(self.must_signal, "the task is not told of the room");
        }
    }
}

/// Runs all orders of `length` of these operations.
fn run_all(lanes: usize, ops: &[Op], length: u32) -> usize {
    let count = ops.len().pow(length);
    for number in 0..count {
        let mut model = Model::new(lanes);
        let mut rest = number;
        for _ in 0..length {
            model.step(ops[rest % ops.len()]);
            rest /= ops.len();
        }
    }
    count
}

#[test]
fn c092_all_orders_of_one_lane_lose_nothing_and_wake_who_waits() {
    let ops = [Op::Push(0), Op::Publish, Op::Task, Op::Poll(0), Op::Cancel(0), Op::End(0)];
    assert_eq!(run_all(1, &ops, 7), 279_936);
}

#[test]
fn c092_all_orders_of_three_lanes_lose_nothing_and_wake_who_waits() {
    let ops = [
        Op::Push(0),
        Op::Push(1),
        Op::Push(2),
        Op::Publish,
        Op::Task,
        Op::Poll(0),
        Op::Poll(1),
        Op::Drop(1),
        Op::Cancel(2),
        Op::Shutdown,
    ];
    assert_eq!(run_all(3, &ops, 5), 100_000);
}

#[test]
fn c092_all_orders_of_a_full_lane_signal_the_room() {
    let ops = [Op::Push(0), Op::Publish, Op::Poll(0), Op::Task];
    assert_eq!(run_all(1, &ops, 9), 262_144);
}
