//! A queue from a connection's task to the consumer of a turn, bounded in bytes.
//!
//! Each frame is charged the size of its payload and a constant overhead. A frame that has to wait
//! behind others is copied out of the read buffer, unless the frame fills a buffer. Without the
//! copy, a small frame would keep the whole buffer allocated.
//!
//! The task waits for room before it reads. Therefore unread data stays in the socket, and TCP
//! slows down the peer. One frame may exceed the limit, because its size is not known before the
//! read.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::Incoming;
use crate::proto::turn::response::StreamEnd;

/// Sending half, held by the connection's task.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

/// Receiving half, held by the consumer.
///
/// A receiver takes all waiting frames in one batch, so that the lock is taken once a batch. Frames
/// of the batch count against the limit until they are consumed.
#[derive(Debug)]
pub(super) struct Receiver {
    shared: Arc<Shared>,
    batch: VecDeque<Incoming>,
    /// Bytes charged for consumed frames of the batch, until the room is given back.
    consumed: usize,
}

/// Handle that closes a queue.
#[derive(Debug)]
pub(super) struct Closer(Arc<Shared>);

/// Number of consumed bytes whose room is given back before the end of a batch. With a limit below
/// 2 MiB, a 32nd of the limit applies instead.
const GIVE_BACK: usize = 64 << 10;

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Incoming>,
    /// Bytes charged for the frames that wait, or that were taken and not consumed.
    bytes: usize,
    receiver_gone: bool,
    sender_gone: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

/// Returns a queue that has room while less than `limit` bytes are charged for its frames.
pub(super) fn queue(limit: usize) -> (Sender, Receiver) {
    let shared = Arc::new(Shared { limit: limit.max(1), state: Mutex::default() });
    let receiver = Receiver { shared: Arc::clone(&shared), batch: VecDeque::new(), consumed: 0 };
    (Sender(shared), receiver)
}

impl Sender {
    /// Appends to the queue, even if there is no room.
    pub(super) fn push(&self, mut incoming: Incoming) {
        let mut state = self.0.lock();
        if let Incoming::Frame(frame) = incoming {
            incoming = Incoming::Frame(match state.waiting.is_empty() {
                true => frame,
                false => frame.compacted(),
            });
        }
        state.bytes += size(&incoming);
        state.waiting.push_back(incoming);
        if let Some(waker) = state.receiver.take() {
            drop(state);
            waker.wake();
        }
    }

    /// Resolves once there is room. The task is also woken when the receiver is dropped.
    pub(super) fn poll_capacity(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        state.sender = Some(cx.waker().clone());
        if state.bytes < self.0.limit { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns `true` if the receiver was dropped or closed.
    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().receiver_gone
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
    fn give_back(&mut self, mut state: MutexGuard<'_, QueueState>) {
        let limit = self.shared.limit;
        let was_full = state.bytes >= limit;
        state.bytes -= std::mem::take(&mut self.consumed);
        let has_room = was_full && state.bytes < limit;
        let waker = if has_room { state.sender.take() } else { None };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.shared))
    }
}

impl Closer {
    /// Drops the waiting frames, and wakes both halves, which then see that the queue is closed.
    pub(super) fn close(self) {
        self.0.close();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.sender_gone = true;
        let waker = state.receiver.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
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
        let wakers = [state.sender.take(), state.receiver.take()];
        drop(state);
        drop(waiting);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(incoming: &Incoming) -> usize {
    match incoming {
        Incoming::Frame(frame) => frame.charge(),
        Incoming::LateEvents | Incoming::End(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;
    use crate::proto::wire::{Wire, responses::Responses};

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
        Incoming::Frame(Responses.classify("".into(), "x".repeat(size).into()))
    }

    #[test]
    fn room_ends_at_the_limit_and_comes_back() {
        let (sender, mut receiver) = queue(10 + 128);
        let ((sender_woken, waker), (receiver_woken, other)) = (flag(), flag());
        let (mut cx, mut other) = (Context::from_waker(&waker), Context::from_waker(&other));
        assert!(receiver.poll_next(&mut other).is_pending());
        assert!(sender.poll_capacity(&mut cx).is_ready());
        sender.push(frame(4));
        assert!(woken(&receiver_woken));
        sender.push(frame(8));
        assert!(sender.poll_capacity(&mut cx).is_pending());
        assert!(receiver.poll_next(&mut other).is_ready());
        assert!(woken(&sender_woken) && sender.poll_capacity(&mut cx).is_ready());
    }

    #[test]
    fn a_long_batch_gives_its_room_back_piece_by_piece() {
        let (sender, mut receiver) = queue(100 << 10);
        let ((sender_woken, waker), (_, other)) = (flag(), flag());
        let (mut cx, mut other) = (Context::from_waker(&waker), Context::from_waker(&other));
        (0..10).for_each(|_| sender.push(frame(20 << 10)));
        assert!(sender.poll_capacity(&mut cx).is_pending());
        let taken = (0..10).take_while(|_| {
            assert!(receiver.poll_next(&mut other).is_ready());
            !woken(&sender_woken)
        });
        // All ten were taken in one batch. With the sixth, less than 100 KiB are left.
        assert_eq!(taken.count(), 5);
    }

    #[test]
    fn c062_what_is_closed_from_elsewhere_yields_its_end_and_stops_the_sender() {
        let (sender, mut receiver) = queue(1);
        let ((sender_woken, waker), (receiver_woken, other)) = (flag(), flag());
        let (mut cx, mut other) = (Context::from_waker(&waker), Context::from_waker(&other));
        assert!(receiver.poll_next(&mut other).is_pending());
        assert!(sender.poll_capacity(&mut cx).is_ready());
        receiver.closer().close();
        assert!(woken(&sender_woken) && woken(&receiver_woken) && sender.is_closed());
        assert!(matches!(receiver.poll_next(&mut other), Poll::Ready(Incoming::End(_))));
    }

    #[test]
    fn c139_frames_without_a_payload_take_room_too() {
        let (sender, _receiver) = queue(1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        let mut frames = 0;
        while sender.poll_capacity(&mut cx).is_ready() {
            sender.push(frame(0));
            frames += 1;
        }
        assert_eq!(frames, (1 << 20) / 128);
    }

    #[test]
    fn c139_what_waits_behind_others_does_not_keep_its_buffer() {
        let (sender, mut receiver) = queue(1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        let buffer = bytestring::ByteString::from("x".repeat(40 << 10));
        let slices = [0..10, 10..20, 20..(20 << 10)].map(|range| buffer.slice_ref(&buffer[range]));
        for slice in &slices {
            sender.push(Incoming::Frame(Responses.classify("".into(), slice.clone())));
        }
        let is_slice = slices.map(|slice| {
            let Poll::Ready(Incoming::Frame(frame)) = receiver.poll_next(&mut cx) else { panic!() };
            assert_eq!(frame.payload, slice);
            frame.payload.as_ptr() == slice.as_ptr()
        });
        assert_eq!(is_slice, [true, false, true], "the first is taken soon, the last is large");
    }

    #[test]
    fn a_sender_that_goes_without_a_word_ends_the_stream() {
        let (sender, mut receiver) = queue(10);
        let (receiver_woken, waker) = flag();
        let mut cx = Context::from_waker(&waker);
        sender.push(frame(1));
        assert!(matches!(receiver.poll_next(&mut cx), Poll::Ready(Incoming::Frame(_))));
        assert!(receiver.poll_next(&mut cx).is_pending());
        drop(sender);
        assert!(woken(&receiver_woken));
        assert!(matches!(receiver.poll_next(&mut cx), Poll::Ready(Incoming::End(_))));
    }

    #[test]
    fn c066_a_consumer_that_goes_wakes_a_sender_without_room() {
        let (sender, receiver) = queue(1);
        let (sender_woken, waker) = flag();
        sender.push(frame(4));
        assert!(sender.poll_capacity(&mut Context::from_waker(&waker)).is_pending());
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(woken(&sender_woken) && sender.is_closed());
    }
}
