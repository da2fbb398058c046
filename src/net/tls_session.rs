//! TLS sessions of the client, and the refusal of its certificate.
//!
//! A server refuses a client certificate, or its absence, in the handshake (RFC 8446 §4.4.2.4).
//! With TLS 1.3 the handshake is complete for the client before the server has read the
//! certificate, so that the client may have written a request when the alert arrives. The server
//! reads the certificate before the request, and processes no request of a handshake that it aborts
//! (§4.4.4, §6.2): the request did not run.
//!
//! This holds only while the server may be in the handshake. Once it has sent a session ticket or a
//! byte of an answer, it has accepted the client. The same alerts then say nothing about a request.
//! Authentication after the handshake (§4.6.2) needs the client's consent, which rustls never gives.

use std::{
    error::Error as StdError,
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{AlertDescription, ClientConnection, Error as RustlsError, ProtocolVersion};
use tokio::{
    io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::Io;
use crate::error::TlsError;

/// Maximum time for which a server that asked for a client certificate is given to accept it.
const ACCEPTANCE_TIME: Duration = Duration::from_secs(1);

/// Alerts by which a server that asked for a certificate refuses the client in the handshake
/// (RFC 8446 §6.2). Servers with TLS 1.2 refuse a missing certificate with `handshake_failure`, and
/// one that another authority of the same name signed with `decrypt_error`.
const REFUSALS: [AlertDescription; 11] = [
    AlertDescription::NoCertificate,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    AlertDescription::CertificateRequired,
    AlertDescription::HandshakeFailure,
    AlertDescription::DecryptError,
];

/// Session of a client whose handshake is complete.
pub(super) struct TlsSession<S> {
    stream: TlsStream<S>,
    /// Meaning of an alert that refuses the client; `None` once the server has accepted the client.
    refusal: Option<TlsError>,
}

/// Refusal of the client, received after the handshake was complete for the client.
#[derive(Debug)]
struct ClientRefused {
    fault: TlsError,
    source: io::Error,
}

impl<S: Io> TlsSession<S> {
    /// Returns the session of `stream`. `refusal` is the meaning of an alert that refuses the
    /// client; `None` if the server has accepted the client.
    pub(super) fn new(stream: TlsStream<S>, refusal: Option<TlsError>) -> Self {
        Self { stream, refusal }
    }

    /// Returns the error of a read, as a [`ClientRefused`] if it is one.
    fn read_error(&mut self, error: io::Error) -> io::Error {
        let refuses = match rustls_error(&error) {
            Some(RustlsError::AlertReceived(alert)) => is_refusal(*alert),
            _ => false,
        };
        match self.refusal.take() {
            Some(fault) if refuses && !has_ticket(&self.stream) => {
                io::Error::other(ClientRefused { fault, source: error })
            }
            _ => error,
        }
    }
}

impl<S> TlsSession<S> {
    pub(super) fn connection(&self) -> &ClientConnection {
        self.stream.get_ref().1
    }
}

pub(super) fn is_refusal(alert: AlertDescription) -> bool {
    REFUSALS.contains(&alert)
}

/// Waits until the server has accepted the certificate of the client, or its absence. Returns
/// `false` if the server leaves it open.
///
/// With TLS 1.3 the handshake is complete for the client before; if the server then refuses the
/// client, a request that is already on its way can destroy the alert, and nobody knows whether it
/// ran. Servers accept with a session ticket; those without tickets cost [`ACCEPTANCE_TIME`].
pub(super) async fn accepted<S: Io>(session: &mut TlsStream<S>) -> io::Result<bool> {
    if session.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(true);
    }
    let ticket = poll_fn(|cx| {
        let read = Pin::new(&mut *session).poll_fill_buf(cx).map_ok(<[u8]>::is_empty);
        match read {
            Poll::Ready(Ok(true)) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(read) => Poll::Ready(read.map(|_| true)),
            Poll::Pending if has_ticket(session) => Poll::Ready(Ok(true)),
            Poll::Pending => Poll::Pending,
        }
    });
    timeout(ACCEPTANCE_TIME, ticket).await.unwrap_or(Ok(false))
}

/// Returns `true` if the server has sent a session ticket. A server that asks for a certificate can
/// do so only after the last message of the client's handshake (RFC 8446 §4.6.1).
fn has_ticket<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.tls13_tickets_received() > 0
}

/// Returns the refusal of the client that `error`, of an open connection, is about.
pub(super) fn refusal(error: &(dyn StdError + 'static)) -> Option<TlsError> {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.find_map(|cause| {
        let refused = cause.downcast_ref::<io::Error>()?.get_ref()?;
        Some(refused.downcast_ref::<ClientRefused>()?.fault.clone())
    })
}

/// Returns `true` if `error`, of an open connection, is one of TLS, such as an alert.
pub(super) fn is_fault(error: &(dyn StdError + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.any(|cause| cause.downcast_ref().and_then(rustls_error).is_some())
}

/// Returns the TLS error in an IO error; connectors wrap one in another.
pub(super) fn rustls_error(error: &io::Error) -> Option<&RustlsError> {
    let mut inner = error.get_ref()?;
    loop {
        if let Some(error) = inner.downcast_ref() {
            return Some(error);
        }
        inner = inner.downcast_ref::<io::Error>()?.get_ref()?;
    }
}

impl fmt::Display for ClientRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server refused the client in the TLS handshake")
    }
}

impl StdError for ClientRefused {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

impl<S: Io> AsyncRead for TlsSession<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = read {
            this.refusal = None;
        }
        read.map_err(|error| this.read_error(error))
    }
}

impl<S: Io> AsyncWrite for TlsSession<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
