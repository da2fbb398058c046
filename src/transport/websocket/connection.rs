//! The task that serves a WebSocket.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use tokio::{sync::mpsc, time::timeout};

use super::{
    command::{Create, SendOutcome, SocketOptions, Status},
    socket::{Read, Socket},
};
use crate::{
    error::ProtocolError,
    proto::{
        lane::{IdleAction, Route, StrayFilter},
        turn::response::StreamEnd,
        wire::Role,
    },
    transport::Incoming,
};

/// Serves the socket until its end.
pub(super) async fn serve(
    mut socket: Socket,
    mut requests: mpsc::Receiver<Create>,
    status: Arc<Status>,
    options: SocketOptions,
) {
    let mut strays = StrayFilter::new(options.limits.read_ahead);
    let close = loop {
        let create =
            match poll_fn(|cx| poll_idle(&mut socket, &mut requests, &mut strays, cx)).await {
                Idle::Create(create) => create,
                Idle::Released => break Closing::Ours,
                Idle::Ended(end) => {
                    status.over.store(true, Ordering::Release);
                    // A request that was queued meanwhile was not sent, and is safe to retry.
                    requests.close();
                    if let Some(create) = requests.recv().await {
                        _ = create.sent.send(SendOutcome::No(end));
                    }
                    break Closing::Theirs;
                }
            };
        strays.begin(options.unannounced.load(Ordering::Relaxed));
        let end = run_exchange(&mut socket, create, &mut strays, &status).await;
        if strays.is_unannounced() {
            options.unannounced.store(true, Ordering::Relaxed);
        }
        match end {
            ExchangeEnd::Ended => {}
            ExchangeEnd::Abandoned => break Closing::Ours,
            ExchangeEnd::Broken => break Closing::Theirs,
        }
    };
    status.over.store(true, Ordering::Release);
    // The consumer has received everything by now, and does not wait for the close.
    _ = timeout(options.timeouts.close, async {
        match close {
            // The Close frame makes the server stop generating. Waiting for the server's own Close
            // frame would gain nothing.
            Closing::Ours => socket.close().await,
            Closing::Theirs => socket.answer_close().await,
        }
    })
    .await;
}

/// Side that ended the socket.
enum Closing {
    Ours,
    Theirs,
}

enum Idle {
    Create(Create),
    /// The handle was dropped.
    Released,
    Ended(StreamEnd),
}

/// Watches the socket between requests.
fn poll_idle(
    socket: &mut Socket,
    requests: &mut mpsc::Receiver<Create>,
    strays: &mut StrayFilter,
    cx: &mut Context<'_>,
) -> Poll<Idle> {
    // The socket is read first, because a request must not be sent on a socket whose end has
    // already arrived.
    while let Poll::Ready(read) = socket.poll_read(cx) {
        let end = match read {
            Read::Nothing => continue,
            Read::Frame(frame) => match strays.judge_idle(&frame, socket.last_received()) {
                IdleAction::Drop => continue,
                IdleAction::Retire => StreamEnd::Protocol(ProtocolError::NotAnEvent),
            },
            Read::End(end) => end,
        };
        return Poll::Ready(Idle::Ended(end));
    }
    Poll::Ready(match ready!(requests.poll_recv(cx)) {
        Some(create) => Idle::Create(create),
        None => Idle::Released,
    })
}

/// End of an exchange.
enum ExchangeEnd {
    /// The turn is over.
    Ended,
    /// The consumer dropped or cancelled the exchange.
    Abandoned,
    /// The socket cannot be used any more.
    Broken,
}

/// Sends a request, and passes the frames of its response to the consumer.
async fn run_exchange(
    socket: &mut Socket,
    create: Create,
    strays: &mut StrayFilter,
    status: &Status,
) -> ExchangeEnd {
    let Create { text, answer, sent } = create;
    // A request that was cancelled while it was queued must not be sent.
    if answer.is_closed() {
        return ExchangeEnd::Abandoned;
    }
    let mut sent = Some(sent);
    let mut tell = move || {
        if let Some(sent) = sent.take() {
            _ = sent.send(SendOutcome::Yes);
        }
    };
    let mut writing = match socket.start_send(text) {
        Ok(()) => true,
        Err(end) => {
            answer.push(Incoming::End(end));
            tell();
            return ExchangeEnd::Broken;
        }
    };
    poll_fn(move |cx| {
        if writing {
            let flushed = socket.poll_flush(cx);
            status.note_written(socket.wrote());
            match flushed {
                Poll::Ready(true) => {
                    writing = false;
                    tell();
                }
                // The read below returns a better reason: a server that refuses the rest of the
                // request has usually sent an error or a Close frame.
                Poll::Ready(false) => writing = false,
                // A ping would be queued behind the request. While the request is written, the send
                // timeout detects a dead peer.
                Poll::Pending => socket.pause(),
            }
        }
        loop {
            if answer.is_closed() {
                return Poll::Ready(ExchangeEnd::Abandoned);
            }
            if answer.poll_capacity(cx).is_pending() {
                // Pongs are not read either, so that silence proves nothing about the peer.
                socket.pause();
                return Poll::Pending;
            }
            let route = match ready!(socket.poll_read(cx)) {
                Read::Nothing => continue,
                Read::Frame(frame) => strays.route(frame, socket.last_received()),
                Read::End(end) => {
                    tell();
                    answer.push(Incoming::End(end));
                    return Poll::Ready(ExchangeEnd::Broken);
                }
            };
            let (late, held, frame) = match route {
                Route::Withhold => continue,
                Route::Deliver { late, held, frame } => (late, held, frame),
                Route::Overflow => {
                    tell();
                    answer.push(Incoming::End(StreamEnd::TooLarge));
                    return Poll::Ready(ExchangeEnd::Broken);
                }
            };
            tell();
            if late {
                answer.push(Incoming::LateEvents);
            }
            held.into_iter().for_each(|frame| answer.push(Incoming::Frame(frame)));
            let end = match frame.tag.role {
                Role::Invalid => Some(ExchangeEnd::Broken),
                // The server has refused the request before its end. The rest of the message would
                // have to be sent before the next request.
                role if role.ends_turn() && writing => Some(ExchangeEnd::Broken),
                role if role.ends_turn() => {
                    strays.finish(&frame, socket.last_received());
                    Some(ExchangeEnd::Ended)
                }
                _ => None,
            };
            answer.push(Incoming::Frame(frame));
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
    })
    .await
}
