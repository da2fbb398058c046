//! The server and what a test does with it.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    panic::resume_unwind,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    thread,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::Connection,
    log::ServerLog,
    memory::Connector,
    script::Script,
    shared::{IdleFrame, Shared},
    tls::{self, Tls},
    turn::Turn,
    wire::Socket,
};

/// A server for tests that follows a [`Script`] and logs what it sees.
///
/// It answers `GET …/responses` with a WebSocket and `POST …/responses` with server-sent events, on
/// one port and from one script. What it has of a response can be had by `GET …/responses/{id}`
/// (with `stream=true` and `starting_after` the events of one in the background, past and to come),
/// `POST …/responses/{id}/cancel`, `DELETE …/responses/{id}` and
/// `GET …/responses/{id}/input_items`; `GET …/models` lists one model. Dropping it stops it, and raises the first panic of the script's
/// closures again unless the test panics already.
pub struct ScriptedServer {
    shared: Arc<Shared>,
    connector: Connector,
    listening: Option<Listening>,
}

struct Listening {
    address: SocketAddr,
    // Taken out when the server stops, so that the port is free at once.
    listener: Arc<Mutex<Option<TcpListener>>>,
    task: AbortHandle,
    /// Of the authority that signed the server's certificate, in TLS.
    ca_pem: Option<String>,
}

impl ScriptedServer {
    /// Starts on a free port of the loopback interface, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If no socket can be opened.
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// Starts on this address, such as that of a server that was stopped.
    ///
    /// # Errors
    ///
    /// If the address is in use or not one of this machine.
    pub async fn start_on(address: SocketAddr, script: Script) -> io::Result<Self> {
        Self::listen(address, script, None).await
    }

    /// Starts like [`start`](Self::start), in TLS.
    ///
    /// A client trusts it by its [`ca_certificate_pem`](Self::ca_certificate_pem). Certificate and
    /// authority are made for this server and end with it.
    ///
    /// # Errors
    ///
    /// If no socket can be opened, or no certificate be made.
    pub async fn start_tls(script: Script) -> io::Result<Self> {
        Self::start_tls_on((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// Starts on this address, in TLS: see [`start_tls`](Self::start_tls).
    ///
    /// # Errors
    ///
    /// If the address is in use or not one of this machine, or no certificate can be made.
    pub async fn start_tls_on(address: SocketAddr, script: Script) -> io::Result<Self> {
        let tls = tls::make(&script.alpn)?;
        Self::listen(address, script, Some(tls)).await
    }

    async fn listen(address: SocketAddr, script: Script, tls: Option<Tls>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let mut server = Self::in_memory(script);
        let listener = Arc::new(Mutex::new(Some(listener)));
        let (acceptor, ca_pem) = tls.map(|tls| (tls.acceptor, tls.ca_pem)).unzip();
        let accepting = accept_all(Arc::clone(&server.shared), Arc::clone(&listener), acceptor);
        let task = tokio::spawn(accepting).abort_handle();
        server.listening = Some(Listening { address, listener, task, ca_pem });
        Ok(server)
    }

    /// A server without sockets, to be reached by its [`connector`](Self::connector).
    pub fn in_memory(script: Script) -> Self {
        let shared = Shared::new(script);
        Self { connector: Connector::new(Arc::clone(&shared)), shared, listening: None }
    }

    /// The base URL, with its `/v1`. In TLS its host is `localhost`.
    pub fn url(&self) -> String {
        match &self.listening {
            Some(Listening { address, ca_pem: Some(_), .. }) => {
                format!("https://localhost:{}/v1", address.port())
            }
            Some(Listening { address, .. }) => format!("http://{address}/v1"),
            None => "http://memory.invalid/v1".to_owned(),
        }
    }

    /// Where it listens; `None` without sockets.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.as_ref().map(|listening| listening.address)
    }

    /// The certificate of the authority that signed the server's own, as PEM; `None` without TLS.
    pub fn ca_certificate_pem(&self) -> Option<&str> {
        self.listening.as_ref()?.ca_pem.as_deref()
    }

    /// The way to this server without sockets.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Serves a connection that something else accepted, such as a proxy.
    ///
    /// Must be called on a tokio runtime.
    pub fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        if let Some(connection) = Connection::open(&self.shared) {
            tokio::spawn(connection.serve(Socket::Other(Box::new(stream))));
        }
    }

    /// What the server saw up to now.
    pub fn log(&self) -> ServerLog {
        self.shared.with_log(ServerLog::clone)
    }

    /// Waits until the log satisfies `condition`, which is asked after every change of the log other
    /// than of the counts of bytes. The condition must not call the server.
    ///
    /// May be dropped at any time.
    pub async fn wait_for(&self, mut condition: impl FnMut(&ServerLog) -> bool) {
        let mut versions = self.shared.versions();
        while !self.shared.with_log(&mut condition) {
            // The sender is part of the server.
            let _ = versions.changed().await;
        }
    }

    /// Appends a turn to the running script.
    pub fn push(&self, turn: Turn) {
        self.shared.push(turn);
    }

    /// Sends a Close frame on every open WebSocket that has no turn running.
    pub fn close_idle(&self, code: u16, reason: &str) {
        self.shared.send_idle(&IdleFrame::Close { code, reason: reason.to_owned() });
    }

    /// Sends a text frame on every open WebSocket that has no turn running.
    pub fn send_idle(&self, text: &str) {
        self.shared.send_idle(&IdleFrame::Text(text.to_owned()));
    }

    /// Sends a ping on every open WebSocket that has no turn running.
    pub fn ping_idle(&self, payload: &[u8]) {
        self.shared.send_idle(&IdleFrame::Ping(payload.to_owned()));
    }

    /// Resets every connection.
    pub fn drop_connections(&self) {
        self.shared.drop_connections();
    }

    /// Refuses new connections until it is called with `false`; open ones stay. A server with sockets
    /// closes such a connection instead, right after the operating system has accepted it.
    pub fn refuse_connections(&self, refuse: bool) {
        self.shared.refuse_connections(refuse);
    }

    /// Stops listening and resets every connection; new ones are refused.
    pub fn stop(&self) {
        if let Some(listening) = &self.listening {
            listening.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
            listening.task.abort();
        }
        self.shared.stop();
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stop();
        let panic = self.shared.with_log(|log| log.panics.first().cloned());
        if let Some(message) = panic
            && !thread::panicking()
        {
            resume_unwind(Box::new(message));
        }
    }
}

impl fmt::Debug for ScriptedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedServer").field("url", &self.url()).finish_non_exhaustive()
    }
}

async fn accept_all(
    shared: Arc<Shared>,
    listener: Arc<Mutex<Option<TcpListener>>>,
    tls: Option<TlsAcceptor>,
) {
    while let Some(accepted) = accept(&listener).await {
        // An error is that of a connection which went away before it was accepted.
        let Ok(stream) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let Some(connection) = Connection::open(&shared) else { continue };
        match tls.clone() {
            Some(tls) => tokio::spawn(connection.serve_tls(Socket::Tcp(stream), tls)),
            None => tokio::spawn(connection.serve(Socket::Tcp(stream))),
        };
    }
}

/// The next connection; `None` once the server is stopped.
async fn accept(listener: &Mutex<Option<TcpListener>>) -> Option<io::Result<TcpStream>> {
    poll_fn(|cx| match &*listener.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(listener) => {
            listener.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
        }
        None => Poll::Ready(None),
    })
    .await
}
