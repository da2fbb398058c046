//! Tunnels through SOCKS proxies (RFC 1928), over tokio-socks.

use std::{error::Error as StdError, net::SocketAddr};

use tokio_socks::{
    Error as SocksError, TargetAddr,
    tcp::{Socks4Stream, Socks5Stream},
};

use super::{
    Io, NetError,
    proxy::{Login, ProxyScheme},
};
use crate::error::{ConnectError, ConnectStep, ProxyAnswer, ProxyError};

/// Maximum size of a host name in a request to a SOCKS proxy, in bytes: SOCKS5 counts them in one
/// byte.
const MAX_NAME: usize = 255;

/// Asks the SOCKS proxy at the other end of `io` for a tunnel to `target`, and returns the tunnel.
/// With the schemes by which this machine resolves names, `found` has the addresses of a name.
pub(super) async fn open(
    io: Box<dyn Io>,
    scheme: ProxyScheme,
    login: Option<&Login>,
    target: (&str, u16),
    found: Vec<SocketAddr>,
) -> Result<Box<dyn Io>, NetError> {
    // tokio-socks would write a longer name past the end of its buffer.
    if target.0.len() > MAX_NAME {
        return Err(not_found("the host name is too long"));
    }
    let target = match named(target) {
        TargetAddr::Domain(_, port) if scheme.resolves_here() => {
            let is_usable =
                |address: &SocketAddr| scheme != ProxyScheme::Socks4 || address.is_ipv4();
            let address = found.into_iter().find(is_usable);
            let address = address.ok_or_else(|| not_found("the host name has no such address"))?;
            TargetAddr::Ip(SocketAddr::new(address.ip(), port))
        }
        target => target,
    };
    let opened: Result<Box<dyn Io>, SocksError> = match (scheme, login) {
        (ProxyScheme::Socks4 | ProxyScheme::Socks4a, _) => {
            Socks4Stream::connect_with_socket(io, target).await.map(boxed)
        }
        (_, None) => Socks5Stream::connect_with_socket(io, target).await.map(boxed),
        (_, Some(Login { user, password })) => {
            Socks5Stream::connect_with_password_and_socket(io, target, user, password)
                .await
                .map(boxed)
        }
    };
    opened.map_err(|error| NetError::connect(reason(&error, login.is_some()), error))
}

fn boxed<S: Io + 'static>(io: S) -> Box<dyn Io> {
    Box::new(io)
}

/// Returns the target for a proxy that resolves names.
fn named((host, port): (&str, u16)) -> TargetAddr<'static> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(address) => TargetAddr::Ip(SocketAddr::new(address, port)),
        Err(_) => TargetAddr::Domain(host.to_owned().into(), port),
    }
}

fn not_found(why: impl Into<Box<dyn StdError + Send + Sync>>) -> NetError {
    NetError::connect(ConnectError::NameNotFound, why)
}

fn reason(error: &SocksError, has_login: bool) -> ConnectError {
    let answer =
        |reason: &str| ProxyAnswer { reason: Some(reason.to_owned()), ..ProxyAnswer::default() };
    ConnectError::Proxy(match error {
        SocksError::Io(_) | SocksError::ProxyServerUnreachable => {
            return ConnectError::Lost(ConnectStep::Proxy);
        }
        SocksError::NetworkUnreachable => {
            ProxyError::ServerUnreachable(answer("network unreachable"))
        }
        SocksError::HostUnreachable => ProxyError::ServerUnreachable(answer("host unreachable")),
        SocksError::ConnectionRefused => {
            ProxyError::ServerUnreachable(answer("connection refused"))
        }
        SocksError::TtlExpired => ProxyError::ServerUnreachable(answer("TTL expired")),
        // Proxies report with this reply most often that the server is down.
        SocksError::GeneralSocksServerFailure => {
            ProxyError::ServerUnreachable(answer("general failure"))
        }
        SocksError::ConnectionNotAllowedByRuleset => {
            ProxyError::Refused(answer("not allowed by its rules"))
        }
        SocksError::CommandNotSupported | SocksError::AddressTypeNotSupported => {
            ProxyError::Refused(answer("not supported"))
        }
        SocksError::PasswordAuthFailure(_) => {
            ProxyError::CredentialsRejected(ProxyAnswer::default())
        }
        SocksError::NoAcceptableAuthMethods | SocksError::AuthorizationRequired if !has_login => {
            ProxyError::CredentialsRequired(ProxyAnswer::default())
        }
        SocksError::NoAcceptableAuthMethods | SocksError::AuthorizationRequired => {
            ProxyError::CredentialsRejected(ProxyAnswer::default())
        }
        // tokio-socks reports reply codes that RFC 1928 leaves open as an unknown method.
        SocksError::UnknownAuthMethod => ProxyError::Refused(answer("unknown reply")),
        SocksError::IdentdAuthFailure | SocksError::InvalidUserIdAuthFailure => {
            ProxyError::Refused(answer("identd check failed"))
        }
        SocksError::InvalidResponseVersion
        | SocksError::InvalidReservedByte
        | SocksError::UnknownAddressType
        | SocksError::UnknownError
        | SocksError::ParseError(_)
        | SocksError::InvalidTargetAddress(_)
        | SocksError::InvalidAuthValues(_) => ProxyError::NotAProxy(answer("no SOCKS reply")),
    })
}
