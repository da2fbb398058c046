//! The server's end of a connection: counts bytes, and is cut where the script says.

use std::{
    fmt, io, mem,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
};

use crate::net::Io;

/// A socket, or what stands for one.
pub(super) enum Socket {
    Tcp(TcpStream),
    Other(Box<dyn Io>),
    Gone,
}

/// A socket that obeys its [`Control`].
pub(super) struct Wire {
    socket: Socket,
    control: Arc<Control>,
}

/// The handle on a [`Wire`] that stays with the server while hyper owns the wire.
#[derive(Debug, Default)]
pub(super) struct Control {
    received: AtomicU64,
    sent: AtomicU64,
    deaf: AtomicBool,
    fault: Mutex<Fault>,
    // One task polls both directions of a connection, so one waker is enough.
    waker: AtomicWaker,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The peer reads the end of the stream.
    Fin,
    /// The peer reads an error.
    Reset,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    AfterFlush(Cut),
    Now(Cut),
    Done(Cut),
}

/// The client's end of an in-memory connection, which learns of resets.
pub(super) struct ClientEnd {
    pub(super) stream: DuplexStream,
    pub(super) control: Arc<Control>,
}

impl Control {
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Cuts at once; what hyper has not written yet is lost.
    pub(super) fn cut(&self, cut: Cut) {
        self.set(|fault| match fault {
            Fault::None | Fault::AfterFlush(_) => Fault::Now(cut),
            Fault::Now(_) | Fault::Done(_) => fault,
        });
    }

    /// Cuts once everything before it is written.
    pub(super) fn cut_after_flush(&self, cut: Cut) {
        self.set(|fault| if fault == Fault::None { Fault::AfterFlush(cut) } else { fault });
    }

    /// From here on, what arrives is counted and thrown away.
    pub(super) fn deafen(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    fn was_reset(&self) -> bool {
        matches!(self.fault(), Fault::Now(Cut::Reset) | Fault::Done(Cut::Reset))
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, next: impl FnOnce(Fault) -> Fault) {
        {
            let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            *fault = next(*fault);
        }
        self.waker.wake();
    }
}

impl Wire {
    pub(super) fn new(socket: Socket, control: Arc<Control>) -> Self {
        Self { socket, control }
    }

    fn obey(&mut self, cx: &Context<'_>) -> io::Result<()> {
        self.control.waker.register(cx.waker());
        match self.control.fault() {
            Fault::None | Fault::AfterFlush(_) => Ok(()),
            Fault::Now(cut) => self.cut(cut),
            Fault::Done(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn cut(&mut self, cut: Cut) -> io::Result<()> {
        self.control.set(|_| Fault::Done(cut));
        if let Socket::Tcp(stream) = mem::replace(&mut self.socket, Socket::Gone) {
            match cut {
                // Unread bytes would turn the FIN into a reset.
                Cut::Fin => while stream.try_read(&mut [0; 4096]).is_ok_and(|read| read > 0) {},
                Cut::Reset => stream.set_zero_linger()?,
            }
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.obey(cx)?;
        loop {
            let before = buf.filled().len();
            ready!(match &mut this.socket {
                Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
                Socket::Other(stream) => Pin::new(stream).poll_read(cx, buf),
                Socket::Gone => Poll::Ready(Ok(())),
            })?;
            let read = buf.filled().len().saturating_sub(before);
            this.control.received.fetch_add(read as u64, Ordering::Relaxed);
            if read == 0 || !this.control.deaf.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            buf.set_filled(before);
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.obey(cx)?;
        let written = ready!(match &mut this.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        })?;
        this.control.sent.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.obey(cx)?;
        ready!(match &mut this.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Other(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        })?;
        // hyper flushes only after it has written all it holds.
        match this.control.fault() {
            Fault::AfterFlush(cut) => Poll::Ready(this.cut(cut)),
            Fault::None | Fault::Now(_) | Fault::Done(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.obey(cx)?;
        match &mut this.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Other(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("control", &self.control).finish_non_exhaustive()
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if buf.filled().len() == before && this.control.was_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
