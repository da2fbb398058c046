//! `ScriptedServer`: the server as tests use it.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    panic::resume_unwind,
    sync::Arc,
    thread,
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    connection::Connection,
    connector::Connector,
    controlled_stream::ByteStream,
    hub::Hub,
    listener::Listener,
    log::ServerLog,
    peer::IdleFrame,
    service,
    tls::{self, ServerTls},
};
use crate::testing::script::{builder::Script, turn::Turn};

/// A server for tests that follows a [`Script`] and logs everything it receives.
///
/// It answers `GET …/responses` with a WebSocket and `POST …/responses` with server-sent events, on
/// one port and from one script. A POST without `stream: true` gets one JSON object in place of the
/// events: the response of the terminal event, also of a failed response, with status 200; an error
/// as an HTTP error; and if a fault ends the events before either, no answer. It also has `GET …/responses/{id}` (with `stream=true` and
/// `starting_after`: the past and future events of a response in the background),
/// `POST …/responses/{id}/cancel`, `DELETE …/responses/{id}` and
/// `GET …/responses/{id}/input_items`. `GET …/models` lists one model.
///
/// Dropping the server stops it, and panics with the first panic of the script's closures, unless
/// the test panics already.
///
/// ```
/// use responses_client::{ResponsesRequest, testing::{ScriptedServer, Turn}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = ScriptedServer::start([Turn::text("hi")]).await?;
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
/// let response = server.client()?.session().respond(&request).await?;
/// assert_eq!(response.output_text(), "hi");
/// assert_eq!(server.log().requests.len(), 1);
/// # Ok(()) }
/// ```
pub struct ScriptedServer {
    hub: Arc<Hub>,
    connector: Connector,
    listener: Option<Listener>,
}

impl ScriptedServer {
    /// Starts on a free port of the loopback interface, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if no socket can be opened.
    pub async fn start(script: impl Into<Script>) -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// Starts on this address, for example the address of a stopped server.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is in use or does not belong to this machine.
    pub async fn start_on(address: SocketAddr, script: impl Into<Script>) -> io::Result<Self> {
        Self::listen(address, script.into(), None).await
    }

    /// Starts like [`start`](Self::start), in TLS.
    ///
    /// A client trusts the server by its [`ca_certificate_pem`](Self::ca_certificate_pem). The
    /// server creates its certificate and its authority at the start.
    ///
    /// # Errors
    ///
    /// Returns an error if no socket can be opened, or if no certificate can be created.
    pub async fn start_tls(script: impl Into<Script>) -> io::Result<Self> {
        Self::start_tls_on((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// Starts on this address, in TLS: see [`start_tls`](Self::start_tls).
    ///
    /// # Errors
    ///
    /// Returns an error if the address is in use or does not belong to this machine, or if no
    /// certificate can be created.
    pub async fn start_tls_on(address: SocketAddr, script: impl Into<Script>) -> io::Result<Self> {
        let script = script.into();
        let tls = tls::make(&script.alpn, script.client_certificates)?;
        Self::listen(address, script, Some(tls)).await
    }

    async fn listen(
        address: SocketAddr,
        script: Script,
        tls: Option<ServerTls>,
    ) -> io::Result<Self> {
        let hub = Hub::new(script);
        let listener = Listener::start(address, Arc::clone(&hub), tls).await?;
        Ok(Self { connector: Connector::new(Arc::clone(&hub)), hub, listener: Some(listener) })
    }

    /// Returns a server without sockets; clients reach it by its [`connector`](Self::connector).
    pub fn in_memory(script: impl Into<Script>) -> Self {
        let hub = Hub::new(script.into());
        Self { connector: Connector::new(Arc::clone(&hub)), hub, listener: None }
    }

    /// Returns the base URL, which ends in `/v1` or in the [base path](Script::base_path) of the
    /// script. In TLS its host is `localhost`.
    pub fn url(&self) -> String {
        let path = self.hub.base_path().unwrap_or_else(|| "/v1".to_owned());
        match &self.listener {
            Some(listener) if listener.certificates().is_some() => {
                format!("https://localhost:{}{path}", listener.address().port())
            }
            Some(listener) => format!("http://{}{path}", listener.address()),
            None => format!("http://memory.invalid{path}"),
        }
    }

    /// Returns the address on which the server listens; `None` without sockets.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(Listener::address)
    }

    /// Returns the certificate of the authority that signed the server's certificate, as PEM;
    /// `None` without TLS.
    pub fn ca_certificate_pem(&self) -> Option<&str> {
        Some(&self.listener.as_ref()?.certificates()?.authority)
    }

    /// Returns a client's certificate and its private key, as PEM; `None` unless the script
    /// [requires](Script::require_client_certificate) one. The server creates both at its start.
    pub fn client_certificate_pem(&self) -> Option<&str> {
        self.listener.as_ref()?.certificates()?.client.as_deref()
    }

    /// Returns the connector of this server, which needs no sockets.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// Serves a connection that other code accepted, such as a proxy.
    ///
    /// Must be called on a tokio runtime.
    pub fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        if let Some(connection) = Connection::open(&self.hub) {
            let stream = ByteStream::Other(Box::new(stream));
            tokio::spawn(service::serve(connection, stream, None));
        }
    }

    /// Returns a copy of the log up to now.
    pub fn log(&self) -> ServerLog {
        self.hub.with_log(ServerLog::clone)
    }

    /// Waits until the log satisfies `condition`, which is called after every change of the log
    /// except of the counts of bytes. The condition must not call the server.
    ///
    /// The future may be dropped at any time.
    pub async fn wait_for(&self, mut condition: impl FnMut(&ServerLog) -> bool) {
        let mut versions = self.hub.versions();
        while !self.hub.with_log(&mut condition) {
            // The sender is part of the server.
            let _ = versions.changed().await;
        }
    }

    /// Appends a turn to the running script.
    pub fn push(&self, turn: Turn) {
        self.hub.push(turn);
    }

    /// Sends a Close frame on every open WebSocket without a running turn.
    pub fn close_idle(&self, code: u16, reason: &str) {
        self.hub.send_idle(&IdleFrame::Close { code, reason: reason.to_owned() });
    }

    /// Sends a text frame on every open WebSocket without a running turn.
    pub fn send_idle(&self, text: &str) {
        self.hub.send_idle(&IdleFrame::Text(text.to_owned()));
    }

    /// Sends a ping on every open WebSocket without a running turn.
    pub fn ping_idle(&self, payload: &[u8]) {
        self.hub.send_idle(&IdleFrame::Ping(payload.to_owned()));
    }

    /// Resets every connection.
    pub fn drop_connections(&self) {
        self.hub.drop_connections();
    }

    /// Refuses new connections until it is called with `false`; open connections stay open. A
    /// server with sockets closes a new connection right after the operating system has accepted
    /// it.
    pub fn refuse_connections(&self, refuse: bool) {
        self.hub.refuse_connections(refuse);
    }

    /// Stops listening and resets every connection; new connections are refused.
    pub fn stop(&self) {
        if let Some(listener) = &self.listener {
            listener.stop();
        }
        self.hub.stop();
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stop();
        let panic = self.hub.with_log(|log| log.panics.first().cloned());
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
