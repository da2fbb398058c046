//! Tunnels through SOCKS proxies (RFC 1928), over tokio-socks.

use std::net::SocketAddr;

use hyper_util::client::legacy::connect::dns::Name;
use tokio_socks::{
    Error as SocksError, TargetAddr,
    tcp::{Socks4Stream, Socks5Stream},
};
use tower_service::Service;

use super::{
    Io, NetError,
    proxy::{Login, ProxyScheme},
    sockets::Resolver,
};
use crate::error::{ConnectError, ConnectStep, ProxyAnswer, ProxyError};

/// Asks the SOCKS proxy at the other end of `io` for a tunnel to `target`, and returns the tunnel.
/// The schemes `socks4` and `socks5` resolve the host here, by `resolver`.
pub(super) async fn open(
    io: Box<dyn Io>,
    scheme: ProxyScheme,
    login: Option<&Login>,
    target: (&str, u16),
    resolver: Resolver,
) -> Result<Box<dyn Io>, NetError> {
    let target = match scheme {
        ProxyScheme::Socks4 | ProxyScheme::Socks5 => resolve(target, resolver).await?,
        _ => named(target),
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

async fn resolve(
    target: (&str, u16),
    mut resolver: Resolver,
) -> Result<TargetAddr<'static>, NetError> {
    let TargetAddr::Domain(host, port) = named(target) else { return Ok(named(target)) };
    let name: Name = host.parse().map_err(NetError::setting)?;
    let mut found = resolver
        .call(name)
        .await
        .map_err(|error| NetError::connect(ConnectError::NameNotFound, error))?;
    let mut address = found.next().ok_or_else(|| {
        NetError::connect(ConnectError::NameNotFound, "the host name has no address")
    })?;
    address.set_port(port);
    Ok(TargetAddr::Ip(address))
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
        SocksError::NoAcceptableAuthMethods
        | SocksError::AuthorizationRequired
        | SocksError::UnknownAuthMethod
            if !has_login =>
        {
            ProxyError::CredentialsRequired(ProxyAnswer::default())
        }
        SocksError::NoAcceptableAuthMethods
        | SocksError::AuthorizationRequired
        | SocksError::UnknownAuthMethod
        | SocksError::IdentdAuthFailure
        | SocksError::InvalidUserIdAuthFailure => {
            ProxyError::CredentialsRejected(ProxyAnswer::default())
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
