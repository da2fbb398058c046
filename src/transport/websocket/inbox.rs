//! The inbox of an exchange: what its consumer has not read yet, bounded in bytes.
//!
//! The connection's task collects the frames of a lane, and publishes them together. The consumer
//! takes all published frames in one batch. So the lock is taken once a batch on either side.
//!
//! Each frame is charged the size of its payload and a constant overhead. Frames that have to wait
//! behind others are copied out of their read buffers, unless they fill most of a buffer. Without
//! the copy, a small frame would keep the whole buffer allocated.
//!
//! One frame may exceed the limit, because its size is not known before the read.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use bytestring::ByteString;

use crate::{
    proto::{lane::LaneId, turn::response::StreamEnd, wire::READ_BUFFER},
    sync::{AtomicU64, AtomicWaker, Mutex, MutexGuard},
    transport::Incoming,
};

/// Signals from the consumers of a connection to its task: a bit for each lane whose consumer has
/// left, or has made room.
#[derive(Debug, Default)]
pub(super) struct Signals {
    lanes: AtomicU64,
    task: AtomicWaker,
}

/// Sending half, held by the connection's task.
#[derive(Debug)]
pub(super) struct Sender {
    shared: Arc<Shared>,
    /// Frames that are not published yet.
    batch: VecDeque<Incoming>,
    /// Bytes charged for the frames in `batch`.
    batch_bytes: usize,
    /// Bytes charged for published frames when the lock was last taken.
    published_bytes: usize,
}

/// Receiving half, held by the consumer. Frames that were taken count against the limit until they
/// are consumed.
#[derive(Debug)]
pub(super) struct Receiver {
    shared: Arc<Shared>,
    batch: VecDeque<Incoming>,
    /// Bytes charged for consumed frames of the batch, until the room is given back.
    consumed: usize,
}

/// Handle that closes an inbox.
#[derive(Debug)]
pub(super) struct Closer(Arc<Shared>);

/// Number of consumed bytes whose room is given back before the end of a batch. With a limit below
/// 2 MiB, a 32nd of the limit applies instead.
const GIVE_BACK: usize = 64 << 10;

#[derive(Debug)]
struct Shared {
    limit: usize,
    lane: LaneId,
    signals: Arc<Signals>,
    state: Mutex<InboxState>,
}

#[derive(Debug, Default)]
struct InboxState {
    waiting: VecDeque<Incoming>,
    /// Bytes charged for the frames that wait, or that were taken and not consumed.
    bytes: usize,
    receiver_gone: bool,
    sender_gone: bool,
    receiver: Option<Waker>,
}

/// Returns the inbox of an exchange on `lane`. It has room while less than `limit` bytes are charged
/// for its frames.
pub(super) fn inbox(limit: usize, lane: LaneId, signals: Arc<Signals>) -> (Sender, Receiver) {
    let state = Mutex::default();
    let shared = Arc::new(Shared { limit: limit.max(1), lane, signals, state });
    let receiver = Receiver { shared: Arc::clone(&shared), batch: VecDeque::new(), consumed: 0 };
    (Sender { shared, batch: VecDeque::new(), batch_bytes: 0, published_bytes: 0 }, receiver)
}

impl Signals {
    /// Registers the task to be woken by the next signal.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }

    /// Removes and returns the lanes that have signalled.
    pub(super) fn take(&self) -> impl Iterator<Item = LaneId> + use<> {
        let lanes = match self.lanes.load(Ordering::Acquire) {
            0 => 0,
            _ => self.lanes.swap(0, Ordering::AcqRel),
        };
        (0..64).filter(move |lane| lanes & (1 << lane) != 0).map(LaneId)
    }

    fn set(&self, lane: LaneId) {
        self.lanes.fetch_or(1 << (lane.0 % 64), Ordering::AcqRel);
        self.task.wake();
    }
}

impl Sender {
    /// Appends to the batch, even if there is no room.
    pub(super) fn push(&mut self, incoming: Incoming) {
        self.batch_bytes = self.batch_bytes.saturating_add(size(&incoming));
        self.batch.push_back(incoming);
    }

    /// Hands the batch to the consumer.
    pub(super) fn publish(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if state.bytes > 0 && self.batch_bytes < READ_BUFFER / 2 {
            drop(state);
            compact(&mut self.batch);
            state = shared.lock();
        }
        let receiver = self.publish_to(&mut state);
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
    }

    /// Returns the consumer's waker, to be woken once the lock is released.
    fn publish_to(&mut self, state: &mut InboxState) -> Option<Waker> {
        if state.receiver_gone {
            self.batch.clear();
        } else if state.waiting.is_empty() {
            std::mem::swap(&mut state.waiting, &mut self.batch);
        } else {
            state.waiting.append(&mut self.batch);
        }
        state.bytes = state.bytes.saturating_add(std::mem::take(&mut self.batch_bytes));
        self.published_bytes = state.bytes;
        state.receiver.take()
    }

    /// Returns the bytes charged for frames that are not consumed, as far as is known.
    pub(super) fn backlog(&self) -> usize {
        self.published_bytes.saturating_add(self.batch_bytes)
    }

    /// Returns `true` if there is room. Otherwise, the consumer signals when there is.
    pub(super) fn has_room(&mut self) -> bool {
        if self.backlog() < self.shared.limit {
            return true;
        }
        self.publish();
        self.refresh();
        self.backlog() < self.shared.limit
    }

    /// Notes what was consumed meanwhile.
    pub(super) fn refresh(&mut self) {
        self.published_bytes = self.shared.lock().bytes;
    }

    /// Returns `true` if the receiver was dropped or closed.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.lock().receiver_gone
    }

    /// Drops the frames that wait, and ends the exchange with `end`.
    pub(super) fn fail(mut self, end: StreamEnd) {
        self.batch.clear();
        self.batch_bytes = 0;
        let waiting = std::mem::take(&mut self.shared.lock().waiting);
        drop(waiting);
        self.push(Incoming::End(end));
    }
}

impl Receiver {
    /// Returns the next item. The lock is taken once a batch, and once for each [`GIVE_BACK`].
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if self.batch.is_empty() {
            self.take_batch(cx);
        }
        let Some(incoming) = self.batch.pop_front() else { return Poll::Pending };
        self.consumed += size(&incoming);
        if self.consumed >= GIVE_BACK.min(self.shared.limit / 32) {
            let shared = Arc::clone(&self.shared);
            self.give_back(shared.lock());
        }
        Poll::Ready(incoming)
    }

    fn take_batch(&mut self, cx: &mut Context<'_>) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        std::mem::swap(&mut self.batch, &mut state.waiting);
        if self.batch.is_empty() {
            if state.sender_gone || state.receiver_gone {
                // Either the runtime of the task has shut down (otherwise the task sends an end
                // before it stops), or the session has cancelled the turn.
                self.batch.push_back(Incoming::End(StreamEnd::Disconnected(None)));
            } else {
                state.receiver = Some(cx.waker().clone());
            }
        }
        self.give_back(state);
    }

    /// Gives back the room of the consumed frames.
    fn give_back(&mut self, mut state: MutexGuard<'_, InboxState>) {
        let limit = self.shared.limit;
        let was_full = state.bytes >= limit;
        state.bytes = state.bytes.saturating_sub(std::mem::take(&mut self.consumed));
        let has_room = was_full && state.bytes < limit;
        drop(state);
        if has_room {
            self.shared.signals.set(self.shared.lane);
        }
    }

    pub(super) fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.shared))
    }
}

impl Closer {
    /// Drops the waiting frames, and wakes both halves, which then see that the inbox is closed.
    pub(super) fn close(self) {
        self.0.close();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let receiver = self.publish_to(&mut state);
        state.sender_gone = true;
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        let mut state = self.lock();
        state.receiver_gone = true;
        let waiting = std::mem::take(&mut state.waiting);
        let receiver = state.receiver.take();
        drop(state);
        drop(waiting);
        receiver.into_iter().for_each(Waker::wake);
        self.signals.set(self.lane);
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies the payloads of a batch into one buffer of their size.
fn compact(batch: &mut VecDeque<Incoming>) {
    let payloads = || {
        batch.iter().filter_map(|incoming| match incoming {
            Incoming::Frame(frame) => Some(&*frame.payload),
            Incoming::LateEvents | Incoming::End(_) => None,
        })
    };
    let mut copy = String::with_capacity(payloads().map(str::len).sum());
    payloads().for_each(|payload| copy.push_str(payload));
    let mut copy = ByteString::from(copy);
    for incoming in batch {
        if let Incoming::Frame(frame) = incoming {
            (frame.payload, copy) = copy.split_at(frame.payload.len());
        }
    }
}

fn size(incoming: &Incoming) -> usize {
    match incoming {
        Incoming::Frame(frame) => frame.charge(),
        Incoming::LateEvents | Incoming::End(_) => 0,
    }
}

#[cfg(all(test, responses_client_loom))]
mod loom_tests;
#[cfg(test)]
mod tests;
