//! One connection, as long as it speaks HTTP.

use std::{
    convert::Infallible,
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    background::Reader,
    script::{BodyEnd, Refusal, Reuse, Upgrade},
    shared::{Received, Shared},
    sse,
    step::Step,
    turn::{Answer, Label},
    websocket,
    wire::{Control, Cut, Socket, Wire},
};
use crate::{config::Transport, net::Io};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The server's side of a connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    pub(super) control: Arc<Control>,
    upgraded: Arc<AtomicBool>,
    /// A request came on it before.
    served: Arc<AtomicBool>,
}

impl Connection {
    /// A new connection, unless the server is stopped.
    pub(super) fn open(shared: &Arc<Shared>) -> Option<Self> {
        let (index, control) = shared.open()?;
        let (shared, upgraded, served) = (Arc::clone(shared), Arc::default(), Arc::default());
        Some(Self { shared, index, control, upgraded, served })
    }

    /// Serves the connection until it ends or becomes a WebSocket.
    pub(super) async fn serve(self, socket: Socket) {
        let wire = Wire::new(socket, Arc::clone(&self.control));
        self.speak(wire).await;
    }

    /// Like [`serve`](Self::serve), in TLS. Bytes are counted and connections cut below it.
    pub(super) async fn serve_tls(self, socket: Socket, tls: TlsAcceptor) {
        let wire = Wire::new(socket, Arc::clone(&self.control));
        match tls.accept(wire).await {
            Ok(stream) => self.speak(stream).await,
            Err(_) => self.shared.closed(self.index),
        }
    }

    async fn speak(self, stream: impl Io + 'static) {
        let io = TokioIo::new(stream);
        let service = service_fn(|request| {
            let connection = self.clone();
            async { Ok::<_, Infallible>(connection.answer(request).await) }
        });
        // A connection that ends badly is a connection that ended.
        let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
        if !self.upgraded.load(Ordering::Relaxed) {
            self.shared.closed(self.index);
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        if self.served.swap(true, Ordering::Relaxed) {
            match self.shared.next_reuse() {
                Reuse::Serve => {}
                Reuse::Reset => return self.cut(Cut::Reset).await,
                Reuse::End => return self.cut(Cut::Fin).await,
            }
        }
        if !request.uri().path().ends_with("/responses") {
            return self.other(request).await;
        }
        let upgrade = request.headers().get(header::UPGRADE);
        let websocket = upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        match *request.method() {
            Method::GET if websocket => self.upgrade(request).await,
            Method::POST => self.post(request).await,
            _ => self.refuse(Refusal::status(405).header("allow", "GET, POST")).await,
        }
    }

    async fn upgrade(self, request: Request<Incoming>) -> Response<Body> {
        let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
            return self.refuse(Refusal::error(400, "invalid_upgrade", "The key is missing")).await;
        };
        let accept = derive_accept_key(key.as_bytes());
        let mut headers = vec![
            ("upgrade".to_owned(), "websocket".to_owned()),
            ("connection".to_owned(), "Upgrade".to_owned()),
            ("sec-websocket-accept".to_owned(), accept),
        ];
        headers.extend(self.shared.headers());
        let (mut close, mut on_create) = (None, None);
        match self.shared.next_upgrade(self.index, pairs(request.headers())) {
            Upgrade::Accept => {}
            Upgrade::Delay(time) => tokio::time::sleep(time).await,
            Upgrade::Refuse(refusal) => return self.refuse(refusal).await,
            Upgrade::Hang => return future::pending().await,
            Upgrade::Reset => return self.cut(Cut::Reset).await,
            Upgrade::WrongAccept => {
                headers.retain(|(name, _)| name != "sec-websocket-accept");
                headers.push(("sec-websocket-accept".to_owned(), derive_accept_key(b"wrong")));
            }
            Upgrade::Header { name, value } => headers.push((name, value)),
            Upgrade::CloseAfter { code } => close = Some(code),
            Upgrade::CloseOnCreate { code } => on_create = Some(code),
        }
        let idle = self.shared.upgraded(self.index, on_create);
        self.upgraded.store(true, Ordering::Relaxed);
        let response = self.response(101, &headers, empty());
        tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                websocket::serve(&self, upgraded, idle, close).await;
            }
            self.shared.closed(self.index);
        });
        response
    }

    async fn post(self, request: Request<Incoming>) -> Response<Body> {
        let headers = pairs(request.headers());
        let Ok(body) = request.into_body().collect().await else {
            // The client is gone, and nobody reads this.
            return Response::new(empty());
        };
        let (mut run, answer) = self.shared.admit(Received {
            connection: self.index,
            transport: Transport::Sse,
            headers,
            raw: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        });
        let Answer { steps, http, label, kept: _ } = answer;
        if let Some((waits, refusal)) = http {
            for step in waits {
                step.wait().await;
            }
            if let Some(delay) = refusal.delay {
                tokio::time::sleep(delay).await;
            }
            if refusal.status == 200
                && let Some(background) = run.background()
            {
                // Whatever the answer looks like, the response runs on.
                background.start(run, steps);
                return self.refuse(Refusal { delay: None, ..refusal }).await;
            }
            for event in steps.iter().filter_map(Step::event) {
                run.sends(&event);
            }
            if !refusal.silent {
                run.finish();
            }
            return self.refuse(Refusal { delay: None, ..refusal }).await;
        }
        if let Some(background) = run.background() {
            let streams = run.streams();
            Arc::clone(&background).start(run, steps);
            if streams {
                return self.follow(background, Reader::First);
            }
            let mut response = background.first_response().await.unwrap_or_default();
            if let Some(members) = response.as_object_mut() {
                members.insert("status".to_owned(), "queued".into());
            }
            return self.json(200, &response).await;
        }
        let cut = match steps.first() {
            Some(Step::End) => Some(Cut::Fin),
            Some(Step::Reset) => Some(Cut::Reset),
            _ => None,
        };
        if let Some(cut) = cut {
            run.finish();
            return self.cut(cut).await;
        }
        self.stream(&label, sse::body(run, steps, label.untyped, Arc::clone(&self.control)))
    }

    /// An answer of events.
    pub(super) fn stream(&self, label: &Label, body: Body) -> Response<Body> {
        let mut headers = label.headers();
        headers.extend(self.shared.headers());
        self.response(200, &headers, body)
    }

    /// Ends the connection before there is an answer.
    async fn cut(&self, cut: Cut) -> Response<Body> {
        self.control.cut(cut);
        future::pending().await
    }

    pub(super) async fn refuse(&self, refusal: Refusal) -> Response<Body> {
        let Refusal { status, headers, body, body_end, delay, silent } = refusal;
        if silent {
            return future::pending().await;
        }
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let body = match body_end {
            BodyEnd::End => Full::new(body).boxed_unsync(),
            BodyEnd::Nothing => {
                let first = stream::once(future::ready(Ok(Frame::data(body))));
                StreamBody::new(first.chain(stream::pending())).boxed_unsync()
            }
            BodyEnd::Again => {
                let again = stream::repeat(body).map(|body| Ok(Frame::data(body)));
                StreamBody::new(again).boxed_unsync()
            }
        };
        self.response(status, &headers, body)
    }

    fn response(&self, status: u16, headers: &[(String, String)], body: Body) -> Response<Body> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        response.body(body).unwrap_or_else(|error| {
            self.shared.note_panic(format!("the script's status or headers are invalid: {error}"));
            let mut response = Response::new(empty());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }
}

fn empty() -> Body {
    Full::new(Bytes::new()).boxed_unsync()
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}
