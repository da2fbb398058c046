//! Serves one connection as long as it speaks HTTP.

use std::{convert::Infallible, sync::Arc};

use http::{Method, Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;

use super::{
    connection::Connection,
    controlled_stream::{ByteStream, ControlledStream},
    endpoints, post,
    websocket::upgrade,
};
use crate::{
    net::Io,
    server::{
        endpoint::{CREATE, below_base},
        http::AnswerBody,
        websocket::is_upgrade,
    },
};

/// Serves a connection until it ends or becomes a WebSocket; in TLS if `tls` is given. Bytes are
/// counted and connections cut below TLS.
pub(super) async fn serve(connection: Connection, stream: ByteStream, tls: Option<TlsAcceptor>) {
    let stream = ControlledStream::new(stream, Arc::clone(&connection.control));
    match tls {
        None => serve_http(connection, stream).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => serve_http(connection, stream).await,
            Err(_) => connection.hub.closed(connection.index),
        },
    }
}

async fn serve_http(connection: Connection, stream: impl Io + 'static) {
    let service = service_fn(|request| {
        let connection = connection.clone();
        async { Ok::<_, Infallible>(answer(connection, request).await) }
    });
    // A connection that fails has ended like any other.
    let _ =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    if !connection.is_websocket() {
        connection.hub.closed(connection.index);
    }
}

async fn answer(connection: Connection, request: Request<Incoming>) -> Response<AnswerBody> {
    if connection.mark_served()
        && let Some(cut) = connection.hub.next_reuse().cut()
    {
        return connection.cut(cut).await;
    }
    let base_path = connection.hub.base_path();
    let path = below_base(request.uri().path(), base_path.as_deref());
    let creates = path == Some(CREATE);
    match *request.method() {
        Method::GET if creates && is_upgrade(request.headers()) => {
            upgrade::answer(connection, request).await
        }
        Method::POST if creates => post::answer(connection, request).await,
        _ => endpoints::answer(&connection, &request, path).await,
    }
}
