//! The task that serves a WebSocket. No other task polls the socket.
//!
//! The task moves requests and frames. [`Lanes`] decides to whom a frame belongs and what ends an
//! exchange.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    command::{Command, SendOutcome, SocketOptions, Status},
    socket::{Read, Socket},
};
use crate::{
    error::ProtocolError,
    proto::{
        lane::{ExchangeEnd, LaneId, Lanes, Route},
        turn::response::StreamEnd,
        wire::Frame,
    },
    transport::{Incoming, queue::Sender},
};

/// Serves the socket until its end.
pub(super) async fn serve(
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    status: Arc<Status>,
    options: SocketOptions,
) {
    let mut connection = Connection {
        socket,
        commands,
        lanes: Lanes::new(options.limits.read_ahead),
        consumer: None,
        waiting: None,
        flushes: false,
        status,
        unannounced: options.unannounced,
    };
    let closing = poll_fn(|cx| connection.poll(cx)).await;
    connection.close(closing, options.timeouts.close).await;
}

struct Connection {
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    lanes: Lanes,
    /// Consumer of the exchange in progress.
    consumer: Option<Consumer>,
    /// Request that waits for the end of the exchange.
    waiting: Option<Command>,
    /// `true` while a message about the running response is being written.
    flushes: bool,
    status: Arc<Status>,
    unannounced: Arc<AtomicBool>,
}

/// Side of an exchange that receives its frames.
struct Consumer {
    lane: LaneId,
    answer: Sender,
    /// `None` once the sender of the request knows that the request was sent.
    sent: Option<oneshot::Sender<SendOutcome>>,
}

/// Side that ended the socket.
enum Closing {
    Ours,
    /// The end, if no consumer has received it.
    Theirs(Option<StreamEnd>),
}

impl Connection {
    /// Serves the socket until one side ends it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closing> {
        loop {
            self.poll_write(cx);
            // The socket is read first, because a request must not be sent on a socket whose end
            // has already arrived.
            if let Poll::Ready(closing) = self.poll_read(cx) {
                return Poll::Ready(closing);
            }
            let is_free = self.lanes.accept_requests();
            let command = match self.waiting.take_if(|_| is_free) {
                Some(command) => Some(command),
                None if self.waiting.is_some() => return Poll::Pending,
                None => ready!(self.commands.poll_recv(cx)),
            };
            let closing = match command {
                Some(command @ Command::Create { .. }) if !is_free => {
                    self.waiting = Some(command);
                    None
                }
                Some(command) => self.run(command),
                // The handle was dropped.
                None if is_free => Some(Closing::Ours),
                None => return Poll::Pending,
            };
            if let Some(closing) = closing {
                return Poll::Ready(closing);
            }
        }
    }

    fn run(&mut self, command: Command) -> Option<Closing> {
        let (lane, text, answer, sent) = match command {
            Command::Create { lane, text, answer, sent } => (lane, text, answer, sent),
            Command::Send { lane, text, steers, sent } => {
                let runs = self.lanes.send(lane, steers);
                // The sender knows before the answer of the server can arrive.
                _ = sent.send(runs);
                self.flushes |= runs;
                let end = if runs { self.socket.start_send(text).err()? } else { return None };
                return Some(self.end(end));
            }
        };
        self.lanes.begin(lane, self.unannounced.load(Ordering::Relaxed));
        self.consumer = Some(Consumer { lane, answer, sent: Some(sent) });
        // A request that was cancelled while it was queued must not be sent.
        self.end_abandoned().or_else(|| {
            let end = self.socket.start_send(text).err()?;
            Some(self.end(end))
        })
    }

    /// Writes the request in progress.
    fn poll_write(&mut self, cx: &mut Context<'_>) {
        if !self.lanes.is_writing() {
            if self.flushes {
                self.flushes = self.socket.poll_flush(cx).is_pending();
            }
            return;
        }
        let flushed = self.socket.poll_flush(cx);
        self.status.note_written(self.socket.wrote());
        let Poll::Ready(flushed) = flushed else {
            // A ping would be queued behind the request. While the request is written, the send
            // timeout detects a dead peer.
            return self.socket.pause();
        };
        self.lanes.written();
        // If writing failed, reading returns a better reason: a server that refuses the rest of the
        // request has usually sent an error or a Close frame.
        if let Some(consumer) = self.consumer.as_mut().filter(|_| flushed) {
            consumer.confirm_sent();
        }
    }

    /// Reads frames, as far ahead of the consumer as the limit allows.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Closing> {
        loop {
            if let Some(closing) = self.end_abandoned() {
                return Poll::Ready(closing);
            }
            if let Some(consumer) = &self.consumer
                && consumer.answer.poll_capacity(cx).is_pending()
            {
                // Pongs are not read either, so that silence proves nothing about the peer.
                self.socket.pause();
                return Poll::Pending;
            }
            let frame = match ready!(self.socket.poll_read(cx)) {
                Read::Nothing => continue,
                Read::Frame(frame) => frame,
                Read::End(end) => return Poll::Ready(self.end(end)),
            };
            let closing = match self.lanes.route(frame, self.socket.last_received()) {
                Route::Ignore => None,
                Route::To { lane, late, held, frame, end } => {
                    if let Some(consumer) = self.consumer.as_mut().filter(|it| it.lane == lane) {
                        consumer.deliver(late, held, frame);
                    }
                    end.and_then(|end| self.end_exchange(end, Closing::Theirs(None)))
                }
                Route::Retire => Some(self.end(StreamEnd::Protocol(ProtocolError::NotAnEvent))),
                Route::Overflow => Some(self.end(StreamEnd::TooLarge)),
            };
            if let Some(closing) = closing {
                return Poll::Ready(closing);
            }
        }
    }

    /// Ends the exchange if its consumer dropped or cancelled it.
    fn end_abandoned(&mut self) -> Option<Closing> {
        let lane = self.consumer.as_ref().filter(|it| it.answer.is_closed())?.lane;
        let end = self.lanes.abandon(lane);
        self.end_exchange(end, Closing::Ours)
    }

    /// Ends the exchange. Returns `closing` if the socket must not be used again.
    fn end_exchange(&mut self, end: ExchangeEnd, closing: Closing) -> Option<Closing> {
        self.drop_consumer();
        match end {
            ExchangeEnd::Free => None,
            ExchangeEnd::Close => Some(closing),
        }
    }

    /// Passes the end of the socket to the consumer of the exchange in progress.
    fn end(&mut self, end: StreamEnd) -> Closing {
        // Before the consumer receives the end, so that it finds the socket ended.
        self.status.over.store(true, Ordering::Release);
        let Some(consumer) = &mut self.consumer else { return Closing::Theirs(Some(end)) };
        consumer.confirm_sent();
        consumer.answer.push(Incoming::End(end));
        self.drop_consumer();
        Closing::Theirs(None)
    }

    fn drop_consumer(&mut self) {
        self.consumer = None;
        if self.lanes.is_unannounced() {
            self.unannounced.store(true, Ordering::Relaxed);
        }
    }

    /// Closes the socket. Takes at most `limit`.
    async fn close(self, closing: Closing, limit: Duration) {
        let Self { mut socket, mut commands, mut waiting, status, .. } = self;
        let (is_ours, end) = match closing {
            Closing::Ours => (true, None),
            Closing::Theirs(end) => (false, end),
        };
        status.over.store(true, Ordering::Release);
        // A request that was queued meanwhile was not sent, and is safe to retry.
        commands.close();
        // A message about a response is dropped, which its sender notices.
        while let Some(command) = match waiting.take() {
            None => commands.recv().await,
            waiting => waiting,
        } {
            if let Command::Create { sent, .. } = command {
                _ = sent.send(SendOutcome::No(end));
                break;
            }
        }
        // The consumer has received everything by now, and does not wait for the close.
        _ = timeout(limit, async {
            match is_ours {
                // The Close frame makes the server stop generating. Waiting for the server's own
                // Close frame would gain nothing.
                true => socket.close().await,
                false => socket.answer_close().await,
            }
        })
        .await;
    }
}

impl Consumer {
    fn confirm_sent(&mut self) {
        if let Some(sent) = self.sent.take() {
            _ = sent.send(SendOutcome::Yes);
        }
    }

    /// Passes `frame` to the consumer, after the `held` ones.
    fn deliver(&mut self, late: bool, held: Vec<Frame>, frame: Frame) {
        self.confirm_sent();
        if late {
            self.answer.push(Incoming::LateEvents);
        }
        held.into_iter().chain([frame]).for_each(|it| self.answer.push(Incoming::Frame(it)));
    }
}
