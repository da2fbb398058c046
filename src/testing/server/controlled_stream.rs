//! The server's end of a connection: counts bytes, and is cut where the script says.

use std::{
    fmt, io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::control::{Control, CutState};
use crate::{net::Io, testing::script::cut::Cut};

/// Byte stream of a connection.
pub(super) enum ByteStream {
    Tcp(TcpStream),
    Other(Box<dyn Io>),
    /// The connection was cut.
    Gone,
}

/// Byte stream of a connection that obeys its [`Control`].
pub(super) struct ControlledStream {
    socket: ByteStream,
    control: Arc<Control>,
}

impl ControlledStream {
    pub(super) fn new(socket: ByteStream, control: Arc<Control>) -> Self {
        Self { socket, control }
    }

    fn obey(&mut self, cx: &Context<'_>) -> io::Result<()> {
        self.control.register(cx);
        match self.control.cut_state() {
            CutState::None | CutState::AfterFlush(_) => Ok(()),
            CutState::Now(cut) => self.cut(cut),
            CutState::Done(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn cut(&mut self, cut: Cut) -> io::Result<()> {
        self.control.set(|_| CutState::Done(cut));
        if let ByteStream::Tcp(stream) = mem::replace(&mut self.socket, ByteStream::Gone) {
            match cut {
                // Unread bytes would turn the FIN into a reset.
                Cut::Fin => while stream.try_read(&mut [0; 4096]).is_ok_and(|read| read > 0) {},
                Cut::Reset => stream.set_zero_linger()?,
            }
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for ControlledStream {
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
                ByteStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
                ByteStream::Other(stream) => Pin::new(stream).poll_read(cx, buf),
                ByteStream::Gone => Poll::Ready(Ok(())),
            })?;
            let read = buf.filled().len().saturating_sub(before);
            let is_discarded = this.control.add_received(read);
            if read == 0 || !is_discarded {
                return Poll::Ready(Ok(()));
            }
            buf.set_filled(before);
        }
    }
}

impl AsyncWrite for ControlledStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.obey(cx)?;
        let written = ready!(match &mut this.socket {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            ByteStream::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
            ByteStream::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        })?;
        this.control.add_sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.obey(cx)?;
        ready!(match &mut this.socket {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            ByteStream::Other(stream) => Pin::new(stream).poll_flush(cx),
            ByteStream::Gone => Poll::Ready(Ok(())),
        })?;
        // hyper flushes only after it has written all it holds.
        match this.control.cut_state() {
            CutState::AfterFlush(cut) => Poll::Ready(this.cut(cut)),
            CutState::None | CutState::Now(_) | CutState::Done(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.obey(cx)?;
        match &mut this.socket {
            ByteStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            ByteStream::Other(stream) => Pin::new(stream).poll_shutdown(cx),
            ByteStream::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for ControlledStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlledStream").field("control", &self.control).finish_non_exhaustive()
    }
}
