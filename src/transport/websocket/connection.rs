//! The task that serves a WebSocket. No other task polls the socket.
//!
//! The task moves requests and frames. [`Lanes`] decides to whom a frame belongs and what ends an
//! exchange.
//!
//! Frames that arrive together reach their consumers together. The first frame of a burst goes
//! alone, so that its consumer need not wait for the others to be read.
//!
//! A consumer that is slow while no other exchange is in progress stops the reading, so that TCP
//! slows down the peer. Beside others, it loses its exchange instead.

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
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::yield_now,
    time::timeout,
};

use super::{
    command::{Command, SendOutcome, SocketOptions, Status},
    inbox::Sender,
    socket::{Read, Socket},
};
use crate::{
    error::ProtocolError,
    proto::{
        lane::{ExchangeEnd, LaneId, Lanes, Message, Route},
        turn::response::StreamEnd,
        wire::Frame,
    },
    transport::Incoming,
};

/// Most frames that are read for each lane before other tasks may run.
const BATCH: usize = 64;
/// Most frames that are read for all lanes together before other tasks may run.
const MAX_BATCH: usize = 256;
/// Limit of the frames that wait in all lanes, as a multiple of the limit of one lane.
const LANES_AT_LIMIT: usize = 4;

/// Serves the socket until its end.
pub(super) async fn serve(
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    status: Arc<Status>,
    options: SocketOptions,
) {
    let limit = options.limits.read_ahead;
    let mut connection = Connection {
        socket,
        commands,
        lanes: Lanes::new(limit),
        exchanges: Vec::new(),
        consumers: 0,
        full: None,
        quantum: 1,
        flushes: false,
        limit,
        status,
        unannounced: options.unannounced,
    };
    let closing = loop {
        match poll_fn(|cx| connection.poll(cx)).await {
            Served::Batch => yield_now().await,
            Served::Closing(closing) => break closing,
        }
    };
    connection.close(closing, options.timeouts.close).await;
}

struct Connection {
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    lanes: Lanes,
    /// Exchanges in progress, by the number of their lane.
    exchanges: Vec<Option<Exchange>>,
    /// Number of exchanges that have a consumer.
    consumers: usize,
    /// Lane whose consumer had no room for more frames.
    full: Option<LaneId>,
    /// Frames to deliver before other tasks may run.
    quantum: usize,
    /// `true` while a message about a running response is being written.
    flushes: bool,
    /// Bytes that may wait for a consumer.
    limit: usize,
    status: Arc<Status>,
    unannounced: Arc<AtomicBool>,
}

/// An exchange, up to the end of its response.
struct Exchange {
    /// `None` if nobody reads the response.
    consumer: Option<Consumer>,
    /// Place among the responses that may run on the socket.
    _place: OwnedSemaphorePermit,
}

/// Side of an exchange that receives its frames.
struct Consumer {
    answer: Sender,
    /// `None` once the sender of the request knows that the request was sent.
    sent: Option<oneshot::Sender<SendOutcome>>,
}

/// Result of serving the socket.
enum Served {
    /// Enough frames were delivered for now.
    Batch,
    Closing(Closing),
}

/// Side that ended the socket.
enum Closing {
    Ours,
    /// The end, if no consumer has received it.
    Theirs(Option<StreamEnd>),
}

impl Connection {
    /// Serves the socket until one side ends it, or until other tasks should run.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Served> {
        // A signal that comes after this line wakes the task.
        self.status.signals.register(cx);
        loop {
            if let Some(closing) = self.take_signals() {
                return Poll::Ready(Served::Closing(closing));
            }
            self.poll_write(cx);
            // The socket is read first, because a request must not be sent on a socket whose end
            // has already arrived.
            let served = self.poll_read(cx);
            self.publish();
            if served.is_ready() {
                return served;
            }
            if self.lanes.writing().is_some() {
                return Poll::Pending;
            }
            let closing = match ready!(self.commands.poll_recv(cx)) {
                Some(command) => self.run(command),
                // The handle was dropped.
                None if self.consumers == 0 => Some(Closing::Ours),
                None => return Poll::Pending,
            };
            if let Some(closing) = closing {
                return Poll::Ready(Served::Closing(closing));
            }
        }
    }

    fn run(&mut self, command: Command) -> Option<Closing> {
        let (lane, text, answer, sent, place) = match command {
            Command::Create { lane, text, answer, sent, place } => {
                (lane, text, answer, sent, place)
            }
            Command::Send { lane, message, sent } => {
                return self.send_during(lane, message, sent);
            }
        };
        let is_cancelled = answer.is_closed();
        if self.status.is_retired() && !is_cancelled {
            // Nothing was sent, so that the request is safe to retry on another socket.
            _ = sent.send(SendOutcome::No(None));
            return None;
        }
        let index = usize::from(lane.0);
        if self.exchanges.len() <= index {
            self.exchanges.resize_with(index + 1, || None);
        }
        self.lanes.begin(lane, self.unannounced.load(Ordering::Relaxed));
        let consumer = Some(Consumer { answer, sent: Some(sent) });
        if let Some(exchange) = self.exchanges.get_mut(index) {
            *exchange = Some(Exchange { consumer, _place: place });
            self.consumers += 1;
        }
        // A request that was cancelled while it was queued must not be sent.
        if is_cancelled {
            self.lanes.cancel(lane);
            self.end_exchange(lane);
            return self.status.is_over().then_some(Closing::Ours);
        }
        let end = self.socket.start_send(text).err()?;
        Some(self.end(end))
    }

    /// Sends a message about the running response of `lane`, unless the response has ended.
    fn send_during(
        &mut self,
        lane: LaneId,
        message: Message,
        sent: oneshot::Sender<bool>,
    ) -> Option<Closing> {
        let runs = self.lanes.send(lane, &message);
        // The sender knows before the answer of the server can arrive.
        _ = sent.send(runs);
        self.flushes |= runs;
        let end = if runs { self.socket.start_send(message.frame).err()? } else { return None };
        Some(self.end(end))
    }

    /// Writes the request in progress.
    fn poll_write(&mut self, cx: &mut Context<'_>) {
        let Some(lane) = self.lanes.writing() else {
            self.flushes = self.flushes && self.socket.poll_flush(cx).is_pending();
            return;
        };
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
        let compressed = self.socket.compressed_size();
        if let Some(consumer) = self.consumer(lane).filter(|_| flushed) {
            consumer.confirm_sent(compressed);
        }
    }

    /// Reads frames, as far ahead of the consumers as the limit allows.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Served> {
        loop {
            if !self.has_room() {
                // Pongs are not read either, so that silence proves nothing about the peer.
                self.socket.pause();
                return Poll::Pending;
            }
            let Poll::Ready(read) = self.socket.poll_read(cx) else {
                self.quantum = 1;
                return Poll::Pending;
            };
            let frame = match read {
                Read::Nothing => continue,
                Read::Frame(frame) => frame,
                Read::End(end) => return Poll::Ready(Served::Closing(self.end(end))),
            };
            let route = self.lanes.route(frame, self.socket.last_received());
            let (delivered, closing) = self.deliver(route);
            if let Some(closing) = closing {
                return Poll::Ready(Served::Closing(closing));
            }
            self.quantum = self.quantum.saturating_sub(usize::from(delivered));
            if self.quantum == 0 {
                self.quantum = MAX_BATCH.min(BATCH * self.consumers.max(1));
                return Poll::Ready(Served::Batch);
            }
        }
    }

    /// Carries out the decision about a frame. Returns `true` if a consumer receives the frame.
    fn deliver(&mut self, route: Route) -> (bool, Option<Closing>) {
        match route {
            Route::Ignore => (false, None),
            Route::To { lane, late, held, frame, end } => {
                if let Some(consumer) = self.consumer(lane) {
                    consumer.deliver(late, held, frame);
                }
                if end.is_none() {
                    self.limit_backlog(lane);
                }
                (true, end.and_then(|end| self.finish(lane, end)))
            }
            Route::ToAll { lanes, frame, end } => {
                // The server may continue some of the responses. No other exchange on their lanes
                // may receive those events.
                self.status.retire();
                let mut closing = None;
                for lane in lanes {
                    if let Some(consumer) = self.consumer(lane) {
                        consumer.deliver(false, Vec::new(), frame.clone());
                    }
                    closing = closing.or(self.finish(lane, end));
                }
                (true, closing)
            }
            Route::Freed { lane, retires } => {
                if retires {
                    self.status.retire();
                }
                (false, self.finish(lane, ExchangeEnd::Free))
            }
            Route::Retire if self.consumers > 0 => {
                self.status.retire();
                (false, None)
            }
            Route::Retire => {
                (false, Some(self.end(StreamEnd::Protocol(ProtocolError::NotAnEvent))))
            }
            Route::Overflow(lane) if self.consumers > 1 => {
                self.fail(lane, StreamEnd::TooLarge);
                (false, None)
            }
            Route::Overflow(_) => (false, Some(self.end(StreamEnd::TooLarge))),
        }
    }

    /// Hands the frames that were read to their consumers.
    fn publish(&mut self) {
        for exchange in self.exchanges.iter_mut().flatten() {
            if let Some(consumer) = &mut exchange.consumer {
                consumer.answer.publish();
            }
        }
    }

    /// Returns `true` if a consumer may receive more frames.
    fn has_room(&mut self) -> bool {
        let Some(lane) = self.full else { return true };
        let is_full = self.consumer(lane).is_some_and(|it| !it.answer.has_room());
        if is_full && self.consumers == 1 {
            return false;
        }
        if is_full {
            self.fail(lane, StreamEnd::FellBehind);
        }
        self.full = None;
        true
    }

    /// Notes whether the consumer of `lane` has no room for more frames. Ends the exchange with the
    /// most waiting bytes if all of them exceed the limit of the connection.
    fn limit_backlog(&mut self, lane: LaneId) {
        let (limit, consumers) = (self.limit, self.consumers);
        let Some(consumer) = self.consumer(lane) else { return };
        let backlog = consumer.answer.backlog();
        if backlog >= limit {
            self.full = Some(lane);
        } else if consumers > LANES_AT_LIMIT && backlog >= limit / 32 {
            let limit = limit.saturating_mul(LANES_AT_LIMIT);
            if let Some(largest) = self.largest_above(limit) {
                self.fail(largest, StreamEnd::FellBehind);
            }
        }
    }

    /// Returns the lane with the most waiting bytes if all lanes have `limit` together.
    fn largest_above(&mut self, limit: usize) -> Option<LaneId> {
        let mut total = 0_usize;
        let mut largest = None;
        for (lane, exchange) in (0_u8..).zip(&mut self.exchanges) {
            let Some(consumer) = exchange.as_mut().and_then(|it| it.consumer.as_mut()) else {
                continue;
            };
            // What was consumed meanwhile counts no more.
            consumer.answer.refresh();
            let backlog = consumer.answer.backlog();
            total = total.saturating_add(backlog);
            if largest.is_none_or(|(_, most)| backlog > most) {
                largest = Some((LaneId(lane), backlog));
            }
        }
        largest.filter(|_| total >= limit).map(|(lane, _)| lane)
    }

    /// Ends the exchange of `lane` with `end`. Its response runs on, and nobody reads it.
    fn fail(&mut self, lane: LaneId, end: StreamEnd) {
        self.status.table().detach(lane);
        if let Some(consumer) = self.detach(lane) {
            consumer.answer.fail(end);
        }
    }

    /// Handles the signals of the consumers.
    fn take_signals(&mut self) -> Option<Closing> {
        for lane in self.status.signals.take() {
            let is_closed = self.consumer(lane).is_some_and(|it| it.answer.is_closed());
            if is_closed {
                self.detach(lane);
                if self.status.is_over() {
                    // Only closing the connection makes the server stop generating.
                    return Some(Closing::Ours);
                }
            } else if self.exchange(lane).is_none() {
                // The response had ended before its consumer left.
                let was_detached = self.status.table().end_detached(lane);
                if was_detached {
                    self.status.announce();
                }
            }
        }
        None
    }

    /// Lets the response of `lane` run to its end without its consumer.
    fn detach(&mut self, lane: LaneId) -> Option<Consumer> {
        let consumer = self.exchange(lane)?.consumer.take()?;
        self.consumers -= 1;
        self.lanes.detach(lane);
        Some(consumer)
    }

    /// Ends the exchange of `lane`, whose response has ended. Returns how to close the socket if it
    /// must not be used again.
    fn finish(&mut self, lane: LaneId, end: ExchangeEnd) -> Option<Closing> {
        let was_detached = self.status.table().end(lane, self.lanes.last_response(lane));
        if was_detached {
            self.status.announce();
        }
        self.end_exchange(lane);
        match end {
            ExchangeEnd::Free => None,
            // The rest of the request is sent for the sake of the other exchanges.
            ExchangeEnd::Unsent if self.consumers > 0 => None,
            ExchangeEnd::Unsent => Some(Closing::Theirs(None)),
            ExchangeEnd::Broken => Some(self.end(StreamEnd::Protocol(ProtocolError::NotAnEvent))),
        }
    }

    fn end_exchange(&mut self, lane: LaneId) {
        let exchange = self.exchanges.get_mut(usize::from(lane.0)).and_then(Option::take);
        if exchange.is_some_and(|it| it.consumer.is_some()) {
            self.consumers -= 1;
        }
        if self.lanes.is_unannounced() {
            self.unannounced.store(true, Ordering::Relaxed);
        }
    }

    /// Passes the end of the socket to the consumers of the exchanges in progress.
    fn end(&mut self, end: StreamEnd) -> Closing {
        // Before a consumer receives the end, so that it finds the socket ended.
        self.status.close();
        let mut rest = Some(end);
        let exchanges = self.exchanges.iter_mut().filter_map(Option::take);
        for mut consumer in exchanges.filter_map(|exchange| exchange.consumer) {
            self.consumers -= 1;
            let Some(end) = rest.take() else { continue };
            rest = (self.consumers > 0).then(|| end.copy());
            consumer.confirm_sent(None);
            consumer.answer.push(Incoming::End(end));
        }
        Closing::Theirs(rest)
    }

    fn exchange(&mut self, lane: LaneId) -> Option<&mut Exchange> {
        self.exchanges.get_mut(usize::from(lane.0))?.as_mut()
    }

    fn consumer(&mut self, lane: LaneId) -> Option<&mut Consumer> {
        self.exchange(lane)?.consumer.as_mut()
    }

    /// Closes the socket. Takes at most `limit`.
    async fn close(self, closing: Closing, limit: Duration) {
        let Self { mut socket, mut commands, status, exchanges, .. } = self;
        let (is_ours, mut end) = match closing {
            Closing::Ours => (true, None),
            Closing::Theirs(end) => (false, end),
        };
        status.close();
        status.announce();
        drop(exchanges);
        // A request that was queued meanwhile was not sent, and is safe to retry.
        commands.close();
        while let Some(command) = commands.recv().await {
            // A message about a response is dropped, which its sender notices.
            if let Command::Create { sent, .. } = command {
                _ = sent.send(SendOutcome::No(end.take()));
            }
        }
        // The consumers have received everything by now, and do not wait for the close.
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
    fn confirm_sent(&mut self, compressed: Option<u64>) {
        if let Some(sent) = self.sent.take() {
            _ = sent.send(SendOutcome::Yes(compressed));
        }
    }

    /// Passes `frame` to the consumer, after the `held` ones.
    fn deliver(&mut self, late: bool, held: Vec<Frame>, frame: Frame) {
        self.confirm_sent(None);
        if late {
            self.answer.push(Incoming::LateEvents);
        }
        held.into_iter().chain([frame]).for_each(|it| self.answer.push(Incoming::Frame(it)));
    }
}
