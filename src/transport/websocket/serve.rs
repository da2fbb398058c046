//! The task that serves a WebSocket.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use super::{
    Create, Sent, Status,
    socket::{Read, Socket},
};
use crate::{
    error::ProtocolError,
    proto::{
        classify::{Frame, Role},
        idle::{self, Finished, Verdict, Watch},
        turn::End,
    },
    transport::Incoming,
};

/// Serves the socket to its end.
pub(super) async fn serve(
    mut socket: Socket,
    mut requests: mpsc::Receiver<Create>,
    status: Arc<Status>,
    close: Duration,
) {
    let mut finished = None;
    let polite = loop {
        let create = match poll_fn(|cx| poll_idle(&mut socket, &mut requests, &finished, cx)).await
        {
            Idle::Create(create) => create,
            Idle::Released => break true,
            Idle::Ended(end) => {
                status.over.store(true, Ordering::Release);
                // A request that crossed the end did not leave.
                requests.close();
                if let Some(create) = requests.recv().await {
                    _ = create.sent.send(Sent::No(end));
                }
                break false;
            }
        };
        match converse(&mut socket, create, finished.take()).await {
            Conversed::Ended(response) => finished = Some(response),
            Conversed::Abandoned => break true,
            Conversed::Broken => break false,
        }
    };
    status.over.store(true, Ordering::Release);
    if polite {
        // The close frame tells the server to stop; its own is not waited for.
        _ = timeout(close, socket.close()).await;
    }
}

enum Idle {
    Create(Create),
    /// Nobody holds the handle any more.
    Released,
    Ended(End),
}

/// Watches the socket between requests.
fn poll_idle(
    socket: &mut Socket,
    requests: &mut mpsc::Receiver<Create>,
    finished: &Option<Finished>,
    cx: &mut Context<'_>,
) -> Poll<Idle> {
    // The socket first: a request must not go into one whose end has come already.
    while let Poll::Ready(read) = socket.poll_read(cx) {
        let end = match read {
            Read::Nothing => continue,
            Read::Text(payload) => match idle::judge(&Frame::new(payload), finished.as_ref()) {
                Verdict::Swallow => continue,
                Verdict::Retire => End::Protocol(ProtocolError::NotAnEvent),
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

enum Conversed {
    /// The turn is over.
    Ended(Finished),
    /// The consumer went away.
    Abandoned,
    /// The socket cannot be used any more.
    Broken,
}

/// Sends a request and passes on what comes for it, `before` being the response before: a late
/// event of that one must not be taken for one of this.
async fn converse(socket: &mut Socket, create: Create, before: Option<Finished>) -> Conversed {
    let Create { text, answer, sent } = create;
    // Cancelled before it was taken up: it shall not be sent.
    if answer.is_abandoned() {
        return Conversed::Abandoned;
    }
    let mut sent = Some(sent);
    let mut tell = move || {
        if let Some(sent) = sent.take() {
            _ = sent.send(Sent::Yes);
        }
    };
    let mut writing = match socket.start_send(text) {
        Ok(()) => true,
        Err(end) => {
            answer.push(Incoming::End(end));
            tell();
            return Conversed::Broken;
        }
    };
    let mut watch = Watch::new(before);
    poll_fn(move |cx| {
        if writing {
            match socket.poll_flush(cx) {
                Poll::Ready(true) => {
                    writing = false;
                    tell();
                }
                // Reading tells why, in most cases better: the close frame of a server that does
                // not want to have the rest has come by then.
                Poll::Ready(false) => writing = false,
                // A ping would have to wait behind the request: the time to send it rules.
                Poll::Pending => socket.pause(),
            }
        }
        loop {
            if answer.is_abandoned() && !defect!(DroppedStaysOpen) {
                return Poll::Ready(Conversed::Abandoned);
            }
            if answer.poll_room(cx).is_pending() {
                // Who does not listen cannot judge.
                socket.pause();
                return Poll::Pending;
            }
            let incoming = match ready!(socket.poll_read(cx)) {
                Read::Nothing => continue,
                Read::Text(payload) => Incoming::Frame(Frame::new(payload)),
                Read::End(end) => Incoming::End(end),
            };
            if matches!(&incoming, Incoming::Frame(frame) if watch.is_late(frame)) {
                continue;
            }
            tell();
            let conversed = match &incoming {
                Incoming::End(_) => Some(Conversed::Broken),
                Incoming::Frame(frame)
                    if frame.tag.role == Role::Garbage && !defect!(SocketKeptAfterGarbage) =>
                {
                    Some(Conversed::Broken)
                }
                // The server does not want the rest of the request, which the next would follow.
                Incoming::Frame(frame) if frame.tag.role.ends_turn() && writing => {
                    Some(Conversed::Broken)
                }
                Incoming::Frame(frame) if frame.tag.role.ends_turn() => {
                    Some(Conversed::Ended(watch.finished(frame)))
                }
                Incoming::Frame(_) => None,
            };
            answer.push(incoming);
            if let Some(conversed) = conversed {
                return Poll::Ready(conversed);
            }
        }
    })
    .await
}
