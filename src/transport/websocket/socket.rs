//! The frames of a WebSocket, and its keep-alive.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{Sink, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame as Close, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

#[cfg(feature = "deflate")]
use super::deflate::{self, InflateError, Inflating, Outbound};
#[cfg(feature = "deflate")]
use crate::proto::deflate::Agreement;
use crate::{
    error::{CloseFrame, ProtocolError},
    net::Io,
    proto::{
        keepalive::{KeepAlive, KeepAliveAction, KeepAliveConfig, Traffic},
        turn::response::StreamEnd,
        wire::{Frame, READ_BUFFER, Wire},
    },
};

/// The connection below tungstenite.
#[cfg(feature = "deflate")]
type Link = Inflating<ActivityIo>;
#[cfg(not(feature = "deflate"))]
type Link = ActivityIo;

/// A WebSocket that reads and writes frames, and detects a dead peer with pings.
pub(super) struct Socket {
    stream: WebSocketStream<Link>,
    #[cfg(feature = "deflate")]
    outbound: Option<Outbound>,
    wire: &'static dyn Wire,
    keepalive: KeepAlive,
    timer: Pin<Box<Sleep>>,
    paused: bool,
    /// `true` once the peer has sent a Close frame.
    closing: bool,
}

/// Result of reading a frame.
pub(super) enum Read {
    Frame(Frame),
    /// A pong, or a ping, which tungstenite answers.
    Nothing,
    End(StreamEnd),
}

impl Socket {
    /// Returns the client side of an upgraded connection. `event` is the maximum size of a received
    /// message in bytes.
    pub(super) async fn new(
        io: Box<dyn Io>,
        wire: &'static dyn Wire,
        event: usize,
        keepalive: KeepAliveConfig,
    ) -> Self {
        let now = Instant::now();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(event))
            .max_frame_size(Some(event));
        let io = ActivityIo { io, traffic: Traffic::new(now.into_std()) };
        #[cfg(feature = "deflate")]
        let io = Link::new(io);
        Self {
            stream: WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await,
            #[cfg(feature = "deflate")]
            outbound: None,
            wire,
            keepalive: KeepAlive::new(keepalive),
            timer: Box::pin(sleep_until(now)),
            paused: false,
            closing: false,
        }
    }

    /// Returns the socket with messages that both sides compress. `event` is the maximum size of a
    /// received message in bytes.
    #[cfg(feature = "deflate")]
    pub(super) fn compressed(mut self, agreement: Agreement, event: usize) -> Self {
        self.outbound = Outbound::new(agreement.client);
        self.stream.get_mut().inflate(agreement.server, event);
        self
    }

    /// Returns the time at which a byte last arrived from the peer.
    pub(super) fn last_received(&self) -> std::time::Instant {
        traffic(&self.stream).last_received()
    }

    /// Returns the time at which the system last accepted bytes for sending.
    pub(super) fn wrote(&self) -> std::time::Instant {
        traffic(&self.stream).wrote()
    }

    /// Queues a message, which [`poll_flush`](Self::poll_flush) sends.
    pub(super) fn start_send(&mut self, text: String) -> Result<(), StreamEnd> {
        #[cfg(feature = "deflate")]
        if self.outbound.is_some() {
            // The frames of two messages must not mix.
            while self.start_next_frame()? {}
            if let Some(outbound) = &mut self.outbound {
                outbound.begin(text);
            }
            return self.start_next_frame().map(|_| ());
        }
        self.start(Message::Text(text.into()))
    }

    fn start(&mut self, message: Message) -> Result<(), StreamEnd> {
        Pin::new(&mut self.stream).start_send(message).map_err(end_of)
    }

    /// Queues the next frame of the message that is being compressed. Returns `false` if there is
    /// none.
    #[cfg(feature = "deflate")]
    fn start_next_frame(&mut self) -> Result<bool, StreamEnd> {
        match self.outbound.as_mut().and_then(Outbound::next_frame) {
            Some(frame) => self.start(frame).map(|()| true),
            None => Ok(false),
        }
    }

    /// Resolves once everything is written, with `false` if writing failed.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx)).is_ok();
        #[cfg(feature = "deflate")]
        if flushed {
            // One frame for each call, because compressing takes time.
            return match self.start_next_frame() {
                Ok(true) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Ok(false) => Poll::Ready(true),
                Err(_) => Poll::Ready(false),
            };
        }
        Poll::Ready(flushed)
    }

    /// Returns the bytes of the last message on the connection; `None` if it was not compressed.
    pub(super) fn compressed_size(&self) -> Option<u64> {
        #[cfg(feature = "deflate")]
        return self.outbound.as_ref().map(Outbound::size);
        #[cfg(not(feature = "deflate"))]
        None
    }

    /// Returns the next frame. A peer that is silent for too long counts as ended.
    ///
    /// Uses tokio's cooperative budget, so that a peer that sends without pause does not starve
    /// other tasks.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if std::mem::take(&mut self.paused) {
            traffic_mut(&mut self.stream).note_received(Instant::now().into_std());
            self.keepalive.pause();
        }
        // One read of the socket may return thousands of frames, which tokio's own accounting
        // counts as one operation.
        let turn = ready!(coop::poll_proceed(cx));
        let Poll::Ready(read) = pin!(&mut self.stream).poll_next(cx) else {
            #[cfg(feature = "deflate")]
            if let Some(message) = self.stream.get_mut().take_message() {
                turn.made_progress();
                return Poll::Ready(match message {
                    deflate::Message::Text(text) => self.text(text),
                    deflate::Message::Binary => {
                        Read::End(StreamEnd::Protocol(ProtocolError::BinaryFrame))
                    }
                });
            }
            drop(turn);
            return self.poll_silence(cx).map(Read::End);
        };
        turn.made_progress();
        Poll::Ready(match read {
            Some(Ok(Message::Text(text))) => self.text(text.into()),
            Some(Ok(Message::Binary(_))) => {
                Read::End(StreamEnd::Protocol(ProtocolError::BinaryFrame))
            }
            Some(Ok(Message::Close(frame))) => {
                self.closing = true;
                Read::End(StreamEnd::Closed(frame.map(|frame| {
                    CloseFrame::new(frame.code.into(), frame.reason.as_str().to_owned())
                })))
            }
            Some(Ok(Message::Pong(payload))) => {
                if let Ok(number) = <[u8; 4]>::try_from(payload.as_ref()) {
                    let number = u32::from_be_bytes(number);
                    let traffic = traffic_mut(&mut self.stream);
                    self.keepalive.ping_answered(number, traffic, Instant::now().into_std());
                }
                Read::Nothing
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => Read::Nothing,
            Some(Err(error)) => Read::End(end_of(error)),
            None => Read::End(StreamEnd::Disconnected(None)),
        })
    }

    fn text(&self, text: Bytes) -> Read {
        match ByteString::try_from(text) {
            Ok(text) => Read::Frame(self.wire.classify("", text)),
            Err(_) => Read::End(not_text()),
        }
    }

    /// Pauses the keep-alive until the next read. Meanwhile silence proves nothing about the peer.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// Sends a Close frame.
    pub(super) async fn close(&mut self) {
        let frame = Close { code: CloseCode::Normal, reason: "".into() };
        _ = self.stream.close(Some(frame)).await;
    }

    /// Sends the reply to the peer's Close frame, if there was one. tungstenite has queued the
    /// reply and would send it at the next read, which does not follow.
    pub(super) async fn answer_close(&mut self) {
        if self.closing {
            _ = poll_fn(|cx| self.poll_flush(cx)).await;
        }
    }

    /// Resolves when the peer has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<StreamEnd> {
        loop {
            if self.keepalive.is_ping_leaving() && self.poll_flush(cx).is_ready() {
                self.keepalive.ping_left(Instant::now().into_std());
            }
            match self.keepalive.poll_action(traffic(&self.stream), Instant::now().into_std()) {
                KeepAliveAction::Wait => return Poll::Pending,
                KeepAliveAction::Dead => return Poll::Ready(StreamEnd::PongTimeout),
                KeepAliveAction::Ping(number) => {
                    // A failed write needs no handling: no pong follows, and the peer times out.
                    let payload = Bytes::copy_from_slice(&number.to_be_bytes());
                    _ = Pin::new(&mut self.stream).start_send(Message::Ping(payload));
                }
                KeepAliveAction::WaitUntil(due) => {
                    let due = Instant::from_std(due);
                    // A deadline that moves later leaves the timer as it is. The timer then fires
                    // too early and is reset: resetting it for each read would cost more than the
                    // read.
                    if self.timer.is_elapsed() || self.timer.deadline() > due {
                        self.timer.as_mut().reset(due);
                    }
                    ready!(self.timer.as_mut().poll(cx));
                }
            }
        }
    }
}

fn traffic(stream: &WebSocketStream<Link>) -> &Traffic {
    let link = stream.get_ref();
    #[cfg(feature = "deflate")]
    let link = link.get_ref();
    &link.traffic
}

fn traffic_mut(stream: &mut WebSocketStream<Link>) -> &mut Traffic {
    let link = stream.get_mut();
    #[cfg(feature = "deflate")]
    let link = link.get_mut();
    &mut link.traffic
}

/// A connection that records the times of its reads and writes.
struct ActivityIo {
    io: Box<dyn Io>,
    traffic: Traffic,
}

impl ActivityIo {
    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.traffic.note_written(bytes, Instant::now().into_std());
        }
        written
    }
}

impl AsyncRead for ActivityIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut this.io).poll_read(cx, buf));
        if buf.filled().len() > before {
            this.traffic.note_received(Instant::now().into_std());
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for ActivityIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.written(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

fn not_text() -> StreamEnd {
    StreamEnd::Protocol(ProtocolError::WebSocket("text is not valid UTF-8".to_owned()))
}

fn end_of(error: tungstenite::Error) -> StreamEnd {
    use tungstenite::error::ProtocolError as Broken;
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            StreamEnd::Closed(None)
        }
        tungstenite::Error::Capacity(_) => StreamEnd::TooLarge,
        tungstenite::Error::Protocol(Broken::ResetWithoutClosingHandshake) => {
            StreamEnd::Disconnected(None)
        }
        tungstenite::Error::Protocol(error) => {
            StreamEnd::Protocol(ProtocolError::WebSocket(error.to_string()))
        }
        tungstenite::Error::Utf8(_) => not_text(),
        #[cfg(feature = "deflate")]
        tungstenite::Error::Io(error)
            if error.get_ref().is_some_and(|it| it.is::<InflateError>()) =>
        {
            match error.get_ref().and_then(|it| it.downcast_ref()) {
                Some(InflateError::TooLarge) => StreamEnd::TooLarge,
                _ => StreamEnd::Protocol(ProtocolError::WebSocket(error.to_string())),
            }
        }
        error => StreamEnd::Disconnected(Some(Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::sleep,
    };

    use super::*;
    use crate::proto::wire::responses::Responses;

    #[tokio::test(start_paused = true)]
    async fn c095_any_byte_is_a_sign_of_life_and_half_a_frame_no_event() {
        let seconds = Duration::from_secs;
        let (client, mut server) = duplex(1024);
        let config = KeepAliveConfig { interval: Some(seconds(20)), deadline: Some(seconds(10)) };
        let mut socket = Socket::new(Box::new(client), &Responses, 1024, config).await;
        let start = Instant::now();
        // The server answers no ping. Its only frame takes 75 s, one byte every 25 s.
        let dripping = tokio::spawn(async move {
            for byte in [0x81, 0x02, b'{'] {
                sleep(seconds(25)).await;
                server.write_all(&[byte]).await.unwrap();
            }
            server
        });
        let read = poll_fn(|cx| socket.poll_read(cx)).await;
        assert!(matches!(read, Read::End(StreamEnd::PongTimeout)), "half a frame is no event");
        assert_eq!(start.elapsed(), seconds(75 + 30));
        drop(dripping.await);
    }

    /// A peer that sends these bytes without end.
    struct Endless(&'static [u8]);

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            while buf.remaining() >= self.0.len() {
                buf.put_slice(self.0);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn c139_a_peer_that_never_pauses_leaves_time_for_other_tasks() {
        let config = KeepAliveConfig { interval: None, deadline: None };
        let peer = Box::new(Endless(b"\x81\x02{}"));
        let socket = Socket::new(peer, &Responses, 1024, config).await;
        leaves_time_for_others(socket).await;
    }

    #[cfg(feature = "deflate")]
    #[tokio::test]
    async fn c139_a_peer_that_never_pauses_in_compressed_messages_leaves_time_for_others() {
        let config = KeepAliveConfig { interval: None, deadline: None };
        let agreement = crate::proto::deflate::answer(["permessage-deflate"]).unwrap().unwrap();
        let io = Box::new(Endless(b"\xc1\x04\xaa\xae\x05\x00"));
        let socket = Socket::new(io, &Responses, 1024, config).await;
        let mut socket = socket.compressed(agreement, 1024);
        let read = poll_fn(|cx| socket.poll_read(cx)).await;
        assert!(matches!(read, Read::Frame(_)));
        leaves_time_for_others(socket).await;
        // The empty fragments of a message that does not end.
        let begin = io::Cursor::new(b"\x41\x00");
        let fragments = tokio::io::AsyncReadExt::chain(begin, Endless(b"\x00\x00"));
        let io = Box::new(tokio::io::join(fragments, tokio::io::sink()));
        let socket = Socket::new(io, &Responses, 1024, config).await;
        leaves_time_for_others(socket.compressed(agreement, 1024)).await;
    }

    async fn leaves_time_for_others(mut socket: Socket) {
        for _ in 0..3 {
            let mut reads = 0;
            let yielded = poll_fn(|cx| {
                while socket.poll_read(cx).is_ready() && reads < 10_000 {
                    reads += 1;
                }
                Poll::Ready(reads < 10_000)
            });
            assert!(yielded.await, "{reads}");
            tokio::task::yield_now().await;
        }
    }
}
