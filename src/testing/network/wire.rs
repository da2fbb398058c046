//! `Socket`: an end of an emulated connection.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    clock::{Clock, Timer},
    link::Link,
    tcp::{flow::Flow, handshake::Handshake},
    traffic::Counters,
};

/// An end of an emulated connection.
///
/// There is no task that moves bytes. Each read and write lets the model catch up with the clock,
/// and sleeps until its next event. The model processes events at their own times, so that the
/// result does not depend on late wake-ups.
pub(in crate::testing) struct Socket {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    clock: Clock,
    read_timer: Timer,
    write_timer: Timer,
}

/// One direction of a connection, which its two ends share.
struct Pipe {
    state: Mutex<PipeState>,
    counters: Arc<Counters>,
}

struct PipeState {
    flow: Flow,
    is_reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Returns the two ends of a connection that `handshake` has made now.
pub(super) fn connection(
    link: &Link,
    handshake: &Handshake,
    rng: &mut Rng,
    counters: &Arc<Counters>,
) -> (Socket, Socket) {
    let pipe = |bits_per_second, window, rng| {
        let flow = Flow::new(link, bits_per_second, window, rng);
        let state = PipeState { flow, is_reader_gone: false, reader: None, writer: None };
        Arc::new(Pipe { state: Mutex::new(state), counters: Arc::clone(counters) })
    };
    let up = pipe(link.bandwidth_up, handshake.client_window(), rng.fork());
    let down = pipe(link.bandwidth_down, handshake.server_window(), rng.fork());
    let clock = Clock::start(link.slowdown);
    let client = Socket::new(Arc::clone(&down), Arc::clone(&up), clock);
    (client, Socket::new(up, down, clock))
}

impl Socket {
    fn new(incoming: Arc<Pipe>, outgoing: Arc<Pipe>, clock: Clock) -> Self {
        let (read_timer, write_timer) = (Timer::default(), Timer::default());
        Self { incoming, outgoing, clock, read_timer, write_timer }
    }

    /// Returns `true` if nothing can be written: this end has shut down, or the other end was
    /// dropped and one way has passed since.
    fn is_broken(&self, now: Duration) -> bool {
        let (is_finished, is_reader_gone) = {
            let outgoing = self.outgoing.lock();
            (outgoing.flow.is_finished(), outgoing.is_reader_gone)
        };
        is_finished || (is_reader_gone && self.incoming.advanced(now).flow.has_ended())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let now = this.clock.now();
            let next_event = {
                let mut pipe = this.incoming.advanced(now);
                let before = buf.remaining();
                while buf.remaining() > 0
                    && let Some(bytes) = pipe.flow.read(now, buf.remaining())
                {
                    buf.put_slice(&bytes);
                }
                if buf.remaining() < before || before == 0 || pipe.flow.has_ended() {
                    pipe.wake_writer();
                    return Poll::Ready(Ok(()));
                }
                pipe.reader = Some(cx.waker().clone());
                pipe.flow.next_event()
            };
            ready!(this.read_timer.poll(this.clock, next_event, cx));
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let now = this.clock.now();
            if this.is_broken(now) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let next_event = {
                let mut pipe = this.outgoing.advanced(now);
                let written = pipe.flow.write(now, bytes);
                if written > 0 || bytes.is_empty() {
                    pipe.wake_reader();
                    return Poll::Ready(Ok(written));
                }
                pipe.writer = Some(cx.waker().clone());
                pipe.flow.next_event()
            };
            ready!(this.write_timer.poll(this.clock, next_event, cx));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.finish(self.clock.now());
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let now = self.clock.now();
        {
            let mut incoming = self.incoming.advanced(now);
            incoming.is_reader_gone = true;
            incoming.flow.discard(now);
            incoming.wake_writer();
        }
        self.outgoing.finish(now);
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the model catch up with the clock.
    fn advanced(&self, now: Duration) -> MutexGuard<'_, PipeState> {
        let mut pipe = self.lock();
        pipe.flow.advance(now);
        self.counters.add_segments_lost(pipe.flow.take_segments_lost());
        pipe
    }

    /// Ends the stream after the bytes that were written.
    fn finish(&self, now: Duration) {
        let mut pipe = self.advanced(now);
        pipe.flow.finish(now);
        pipe.wake_reader();
    }
}

impl PipeState {
    /// Wakes the writer if there is room in the send buffer.
    fn wake_writer(&mut self) {
        if self.flow.room() > 0
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }

    /// Wakes the reader, which has to wait for another event than before.
    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
