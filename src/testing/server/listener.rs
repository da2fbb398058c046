//! `Listener`: accepts connections on a port.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::Connection,
    controlled_stream::ByteStream,
    hub::Hub,
    service,
    tls::{Certificates, ServerTls},
};

/// Accepts connections on a port until it is stopped.
pub(super) struct Listener {
    address: SocketAddr,
    // Taken out when the listener stops, so that the port is free immediately.
    socket: Arc<Mutex<Option<TcpListener>>>,
    task: AbortHandle,
    /// Certificates for clients, in TLS.
    certificates: Option<Certificates>,
}

impl Listener {
    /// Listens on `address`, on the current tokio runtime.
    pub(super) async fn start(
        address: SocketAddr,
        hub: Arc<Hub>,
        tls: Option<ServerTls>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let socket = Arc::new(Mutex::new(Some(socket)));
        let (acceptor, certificates) = tls.map(|tls| (tls.acceptor, tls.certificates)).unzip();
        let accepting = accept_all(hub, Arc::clone(&socket), acceptor);
        let task = tokio::spawn(accepting).abort_handle();
        Ok(Self { address, socket, task, certificates })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificates for clients; `None` without TLS.
    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Stops listening; the port is free immediately.
    pub(super) fn stop(&self) {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.task.abort();
    }
}

async fn accept_all(
    hub: Arc<Hub>,
    socket: Arc<Mutex<Option<TcpListener>>>,
    tls: Option<TlsAcceptor>,
) {
    while let Some(accepted) = accept(&socket).await {
        // The error is that of a connection which the client closed before it was accepted.
        let Ok(stream) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let Some(connection) = Connection::open(&hub) else { continue };
        tokio::spawn(service::serve(connection, ByteStream::Tcp(stream), tls.clone()));
    }
}

/// Returns the next connection; `None` once the listener is stopped.
async fn accept(socket: &Mutex<Option<TcpListener>>) -> Option<io::Result<TcpStream>> {
    poll_fn(|cx| match &*socket.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(listener) => {
            listener.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
        }
        None => Poll::Ready(None),
    })
    .await
}
