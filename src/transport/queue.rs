//! A queue from a connection's task to the consumer of a turn, bounded in bytes.
//!
//! Each frame is charged its payload and what it costs to keep it. One that has to wait behind
//! others is copied out of the read buffer, unless it fills one: as a slice it would keep all of
//! the buffer, of which the rest may be frames that were dropped.
//!
//! The task asks for room before it reads, so that what the consumer does not take stays in the
//! socket, and the peer learns of it. One frame may overshoot the bound, since its size is not
//! known before.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::Incoming;
use crate::proto::turn::End;

/// The end that the connection's task holds.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

/// The end that the consumer holds.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Incoming>,
    /// Bytes charged for the waiting frames.
    bytes: usize,
    receiver_gone: bool,
    sender_gone: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

/// A queue that has room while less than `limit` bytes are charged for what waits in it.
pub(super) fn queue(limit: usize) -> (Sender, Receiver) {
    let shared = Arc::new(Shared { limit: limit.max(1), state: Mutex::default() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl Sender {
    /// Adds to the queue, whether it has room or not.
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

    /// Ready once there is room. Wakes, too, when the consumer goes.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        state.sender = Some(cx.waker().clone());
        if state.bytes < self.0.limit { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether nobody will take what is added.
    pub(super) fn is_abandoned(&self) -> bool {
        self.0.lock().receiver_gone
    }
}

impl Receiver {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let mut state = self.0.lock();
        let Some(incoming) = state.waiting.pop_front() else {
            if state.sender_gone {
                // Its runtime was shut down: nothing else ends a task without a word.
                return Poll::Ready(Incoming::End(End::Lost(None)));
            }
            state.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let was_full = state.bytes >= self.0.limit;
        state.bytes -= size(&incoming);
        if was_full && state.bytes < self.0.limit {
            let waker = state.sender.take();
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
        Poll::Ready(incoming)
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
        let mut state = self.0.lock();
        state.receiver_gone = true;
        state.waiting.clear();
        let waker = state.sender.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
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
    use crate::proto::classify::Frame;

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
        Incoming::Frame(Frame::new("x".repeat(size).into()))
    }

    #[test]
    fn room_ends_at_the_limit_and_comes_back() {
        let (sender, mut receiver) = queue(10 + 128);
        let ((sender_woken, waker), (receiver_woken, other)) = (flag(), flag());
        let (mut cx, mut other) = (Context::from_waker(&waker), Context::from_waker(&other));
        assert!(receiver.poll_next(&mut other).is_pending());
        assert!(sender.poll_room(&mut cx).is_ready());
        sender.push(frame(4));
        assert!(woken(&receiver_woken));
        sender.push(frame(8));
        assert!(sender.poll_room(&mut cx).is_pending());
        assert!(receiver.poll_next(&mut other).is_ready());
        assert!(woken(&sender_woken) && sender.poll_room(&mut cx).is_ready());
    }

    #[test]
    fn c139_frames_without_a_payload_take_room_too() {
        let (sender, _receiver) = queue(1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        let mut frames = 0;
        while sender.poll_room(&mut cx).is_ready() {
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
            sender.push(Incoming::Frame(Frame::new(slice.clone())));
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
        assert!(sender.poll_room(&mut Context::from_waker(&waker)).is_pending());
        assert!(!sender.is_abandoned());
        drop(receiver);
        assert!(woken(&sender_woken) && sender.is_abandoned());
    }
}
