//! Address of a proxy, as a setting spells it.
//!
//! A setting is used as written, or it is an error. A parser that repairs or drops what it cannot
//! read would let requests leave directly.

use std::net::Ipv6Addr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Host;

use crate::net::NetError;

/// Maximum size of a SOCKS5 user name or password, in bytes: RFC 1929 counts them in one byte.
const MAX_SOCKS_CREDENTIAL: usize = 255;

/// Maximum length of a DNS name.
const MAX_HOST: usize = 253;

/// A proxy: its protocol, its address and the credentials that it gets.
#[derive(Clone)]
pub(in crate::net) struct ProxyUrl {
    pub(in crate::net) scheme: ProxyScheme,
    pub(in crate::net) host: Host,
    pub(in crate::net) port: u16,
    pub(in crate::net) login: Option<Login>,
}

/// Protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum ProxyScheme {
    /// HTTP over plain TCP.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS4; this machine resolves the host.
    Socks4,
    /// SOCKS4a; the proxy resolves the host.
    Socks4a,
    /// SOCKS5; this machine resolves the host.
    Socks5,
    /// SOCKS5; the proxy resolves the host.
    Socks5h,
}

/// User name and password for a proxy.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::net) struct Login {
    pub(in crate::net) user: String,
    pub(in crate::net) password: String,
}

impl ProxyScheme {
    const ALL: [(&str, Self, u16); 6] = [
        ("http", Self::Http, 80),
        ("https", Self::Https, 443),
        ("socks4", Self::Socks4, 1080),
        ("socks4a", Self::Socks4a, 1080),
        ("socks5", Self::Socks5, 1080),
        ("socks5h", Self::Socks5h, 1080),
    ];

    /// Returns the scheme as it is written in a URL.
    pub(in crate::net) fn as_str(self) -> &'static str {
        let name = Self::ALL.iter().find(|(_, scheme, _)| *scheme == self);
        name.map_or("http", |(name, ..)| name)
    }

    /// Returns `true` for HTTP, over TLS or not.
    pub(in crate::net) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Returns `true` if this machine resolves the host, and the proxy gets an address.
    pub(in crate::net) fn resolves_here(self) -> bool {
        matches!(self, Self::Socks4 | Self::Socks5)
    }
}

impl Login {
    /// Returns the value of `Proxy-Authorization` (RFC 7617).
    pub(in crate::net) fn basic(&self) -> Option<HeaderValue> {
        let token = STANDARD.encode(format!("{}:{}", self.user, self.password));
        let mut header = HeaderValue::try_from(format!("Basic {token}")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl ProxyUrl {
    /// Returns `true` if the proxy runs on this machine.
    pub(super) fn is_local(&self) -> bool {
        match &self.host {
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
            Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Returns the host and the port.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Parses `value`, the setting called `name`. Returns `None` if `value` is empty.
///
/// Accepts `[scheme://][user[:password]@]host[:port][/]`. Anything that another parser would trim,
/// repair or read differently is an error. The exception is the user name and the password: they
/// extend to the last `@`, so that characters that should have been percent-encoded are used as
/// written.
pub(super) fn parse(name: &'static str, value: &str) -> Result<Option<ProxyUrl>, NetError> {
    if value.is_empty() {
        return Ok(None);
    }
    parse_url(value).map(Some).map_err(|fault| invalid(name, fault))
}

/// Parses `value`. An error is a predicate to append to the name of the setting.
fn parse_url(value: &str) -> Result<ProxyUrl, &'static str> {
    if value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("has a blank, a line break or a control character");
    }
    let known = |scheme: &str| {
        ProxyScheme::ALL.iter().find(|(known, ..)| known.eq_ignore_ascii_case(scheme))
    };
    let (scheme, rest) = match (value.split_once("://"), value.split_once(':')) {
        (Some(parts), _) => parts,
        // Before a password, `http:\\` would be a user name and a beginning of that password.
        (None, Some((scheme, rest)))
            if known(scheme).is_some() || rest.starts_with(['/', '\\']) =>
        {
            return Err("has a scheme without `://`");
        }
        (None, _) => ("http", value),
    };
    let &(_, scheme, default_port) = known(scheme).ok_or("has a scheme that is not supported")?;
    if !scheme.is_http() && !cfg!(feature = "socks") {
        return Err("names a SOCKS proxy, which needs the feature `socks`");
    }
    // `/`, `?` and `#` in a password end the authority here as well, since the intended end is a
    // guess.
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !matches!(path, "" | "/") {
        return Err("has a path, a query or a fragment");
    }
    let (login, address) = match authority.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, authority),
    };
    let (host, port) = parse_address(address)?;
    let login = login.map(|login| parse_login(scheme, login)).transpose()?;
    Ok(ProxyUrl { scheme, host, port: port.unwrap_or(default_port), login })
}

fn parse_login(scheme: ProxyScheme, login: &str) -> Result<Login, &'static str> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decode = |text| {
        let text = percent_decode_str(text).decode_utf8();
        text.map_err(|_| "has a user name or a password that is not UTF-8")
    };
    let (user, password) = (decode(user)?, decode(password)?);
    match scheme {
        ProxyScheme::Http | ProxyScheme::Https if user.contains(':') => {
            Err("has a colon in the user name, which basic authentication cannot express")
        }
        ProxyScheme::Socks5 | ProxyScheme::Socks5h
            if user.len().max(password.len()) > MAX_SOCKS_CREDENTIAL =>
        {
            Err("has a user name or a password above the 255 bytes of SOCKS5")
        }
        ProxyScheme::Socks5 | ProxyScheme::Socks5h if user.is_empty() || password.is_empty() => {
            Err("has a user name or a password that is empty, which SOCKS5 cannot express")
        }
        ProxyScheme::Socks4 | ProxyScheme::Socks4a => {
            Err("has a user name, which this crate does not send over SOCKS4")
        }
        _ => Ok(Login { user: user.into_owned(), password: password.into_owned() }),
    }
}

/// Parses `host[:port]`.
fn parse_address(address: &str) -> Result<(Host, Option<u16>), &'static str> {
    if let Some(address) = address.strip_prefix('[') {
        let (host, port) = address.split_once(']').ok_or("has an IPv6 address without its `]`")?;
        let host: Ipv6Addr = host.parse().map_err(|_| "has an invalid IPv6 address")?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if port.is_empty() => None,
            None => return Err("has an invalid port"),
        };
        return Ok((Host::Ipv6(host), port));
    }
    let (host, port) = match address.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            return Err("has an IPv6 address without brackets, or two ports");
        }
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    let port = port.map(parse_port).transpose()?;
    Ok((parse_host(host)?, port))
}

fn parse_port(port: &str) -> Result<u16, &'static str> {
    // `u16::from_str` takes a sign.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port @ 1..) if is_number => Ok(port),
        _ => Err("has an invalid port"),
    }
}

fn parse_host(host: &str) -> Result<Host, &'static str> {
    if host.is_empty() {
        return Err("has no host");
    }
    if !host.is_ascii() {
        return Err("has a host that is not ASCII (use its `xn--` form)");
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = host.len() <= MAX_HOST && host.bytes().all(is_allowed);
    let parsed = Host::parse(host).ok().filter(|_| is_name);
    // The URL parser reads `127.1` or `0x7f.0.0.1` as another address than the one written.
    parsed.filter(|it| it.to_string().eq_ignore_ascii_case(host)).ok_or("has an invalid host")
}

/// Returns the error of a setting: `fault` is a predicate to append to its name.
pub(super) fn invalid(name: &str, fault: &str) -> NetError {
    let why = format!(
        "{name} {fault}: write it as `http://host:port` or `http://user:password@host:port`, with \
         special characters of the user name and the password percent-encoded (`%40` for `@`)"
    );
    NetError::setting(why)
}
