//! Choice of the proxy of a request.
//!
//! A setting is parsed once, and the proxy is built from the parsed value. The network stack parses
//! settings by rules of its own and drops what it cannot read, so that the request would leave
//! directly; it never sees what was written.

use std::{ffi::OsString, net::Ipv6Addr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use super::{NetError, NetErrorKind};
use crate::{config::ProxySetting, error::Peer};

/// Schemes and their default ports.
const SCHEMES: [(&str, u16); 6] = [
    ("http", 80),
    ("https", 443),
    ("socks4", 1080),
    ("socks4a", 1080),
    ("socks5", 1080),
    ("socks5h", 1080),
];

/// Maximum size of a SOCKS5 user name or password, in bytes: RFC 1929 counts them in one byte.
const MAX_SOCKS_CREDENTIAL: usize = 255;

/// Maximum length of a DNS name. The network stack drops a proxy whose URL does not fit into 64
/// KiB.
const MAX_HOST: usize = 253;

/// Proxies of a client. Default: none.
#[derive(Default)]
pub(super) struct Proxies {
    http: Option<ProxyUrl>,
    https: Option<ProxyUrl>,
    /// Hosts that are reached directly, as `NO_PROXY` lists them.
    exempt: Option<String>,
    /// `true` if the settings of the operating system apply.
    system: bool,
}

impl Proxies {
    /// Parses `setting`; `variable` reads the environment.
    pub(super) fn new(
        setting: &ProxySetting,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, NetError> {
        match setting {
            ProxySetting::Environment => Self::from_environment(variable),
            ProxySetting::Direct => Ok(Self::default()),
            ProxySetting::Url(url) => match parse("the proxy URL", url)? {
                None => Err(invalid("the proxy URL", "is empty")),
                proxy => Ok(Self { http: proxy.clone(), https: proxy, ..Self::default() }),
            },
        }
    }

    fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, NetError> {
        // A CGI server sets `HTTP_PROXY` from the header `Proxy` of the request that it serves.
        // Like reqwest, this crate then ignores all variables.
        if variable("REQUEST_METHOD").is_some() {
            return Ok(Self::default());
        }
        let first = |names: [&'static str; 2]| {
            let set = |name| variable(name).filter(|value| !value.is_empty());
            let Some((name, value)) = names.iter().find_map(|name| Some((*name, set(name)?)))
            else {
                return Ok(None);
            };
            match value.to_str() {
                Some(value) => parse(name, value),
                None => Err(invalid(name, "is not UTF-8")),
            }
        };
        let all = first(["ALL_PROXY", "all_proxy"])?;
        let http = first(["HTTP_PROXY", "http_proxy"])?.or_else(|| all.clone());
        let https = first(["HTTPS_PROXY", "https_proxy"])?.or(all);
        let system = http.is_none() && https.is_none();
        let exempt = ["NO_PROXY", "no_proxy"];
        let exempt = exempt.into_iter().find_map(|name| variable(name)?.into_string().ok());
        Ok(Self { http, https, exempt, system })
    }

    pub(super) fn apply(
        &self,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, reqwest::Error> {
        // reqwest reads these settings only together with the environment, which names no proxy
        // here.
        if self.system && cfg!(any(target_os = "macos", windows)) {
            return Ok(builder);
        }
        let exempt = self.exempt.as_deref().and_then(reqwest::NoProxy::from_string);
        let mut builder = builder.no_proxy();
        if let Some(proxy) = &self.http {
            builder = builder.proxy(proxy.rule(reqwest::Proxy::http, exempt.clone())?);
        }
        if let Some(proxy) = &self.https {
            builder = builder.proxy(proxy.rule(reqwest::Proxy::https, exempt)?);
        }
        Ok(builder)
    }
}

/// Choice of the proxy of a request, as the network stack makes it.
#[derive(Clone)]
pub(super) struct Routes(Arc<Matcher>);

impl Routes {
    pub(super) fn new(proxies: &Proxies) -> Self {
        if proxies.system && cfg!(any(target_os = "macos", windows)) {
            return Self(Arc::new(Matcher::from_system()));
        }
        let address = |proxy: &Option<ProxyUrl>| {
            proxy.as_ref().map_or_else(String::new, |proxy| proxy.address.to_string())
        };
        let matcher = Matcher::builder()
            .http(address(&proxies.http))
            .https(address(&proxies.https))
            .no(proxies.exempt.clone().unwrap_or_default());
        Self(Arc::new(matcher.build()))
    }

    /// Returns the server of `uri`, and the proxy between.
    pub(super) fn peer(&self, uri: &Uri) -> Peer {
        let proxy = self.0.intercept(uri).map(|proxy| {
            let uri = proxy.uri();
            let port = uri.port_u16().unwrap_or_else(|| {
                let known = SCHEMES.iter().find(|(scheme, _)| uri.scheme_str() == Some(scheme));
                known.map_or(80, |(_, port)| *port)
            });
            format!("{}:{port}", uri.host().unwrap_or_default())
        });
        Peer::new(uri, proxy)
    }

    /// Returns `true` if the only connection that a request to `uri` opens is to a proxy: the proxy
    /// itself sends the request on.
    pub(super) fn forwards(&self, uri: &Uri) -> bool {
        let is_http = |scheme: Option<&str>| matches!(scheme, Some("http" | "https"));
        uri.scheme_str() == Some("http")
            && self.0.intercept(uri).is_some_and(|proxy| is_http(proxy.uri().scheme_str()))
    }
}

/// A proxy URL that the network stack uses as written.
#[derive(Clone)]
pub(super) struct ProxyUrl {
    /// `scheme://host:port`, with the credentials of a SOCKS proxy.
    address: Url,
    /// Credentials of an HTTP proxy.
    authorization: Option<HeaderValue>,
}

impl ProxyUrl {
    fn rule(
        &self,
        intercept: fn(Url) -> Result<reqwest::Proxy, reqwest::Error>,
        exempt: Option<reqwest::NoProxy>,
    ) -> Result<reqwest::Proxy, reqwest::Error> {
        let rule = intercept(self.address.clone())?.no_proxy(exempt);
        Ok(match &self.authorization {
            Some(header) => rule.custom_http_auth(header.clone()),
            None => rule,
        })
    }
}

/// Parses `value`, the setting called `name`. Returns `None` if `value` is empty.
///
/// Accepts `[scheme://][user[:password]@]host[:port][/]`. Anything that another parser would trim,
/// repair or read differently is an error. The exception is the user name and the password: they
/// extend to the last `@`, so that characters that should have been percent-encoded are used as
/// written.
fn parse(name: &'static str, value: &str) -> Result<Option<ProxyUrl>, NetError> {
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
    let known = |scheme: &str| SCHEMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme));
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
    let &(scheme, default_port) = known(scheme).ok_or("has a scheme that is not supported")?;
    if scheme.starts_with("socks") && !cfg!(feature = "socks") {
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
    let address = format!("{host}:{}", port.unwrap_or(default_port));
    with_login(scheme, &address, login)
}

fn with_login(scheme: &str, address: &str, login: Option<&str>) -> Result<ProxyUrl, &'static str> {
    let url = |login: &str| {
        let url = Url::parse(&format!("{scheme}://{login}{address}"));
        url.map_err(|_| "is not a URL")
    };
    let Some(login) = login else {
        return Ok(ProxyUrl { address: url("")?, authorization: None });
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decode = |text| {
        let text = percent_decode_str(text).decode_utf8();
        text.map_err(|_| "has a user name or a password that is not UTF-8")
    };
    let (user, password) = (decode(user)?, decode(password)?);
    match scheme {
        "http" | "https" if user.contains(':') => {
            Err("has a colon in the user name, which basic authentication cannot express")
        }
        "http" | "https" => {
            let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            let mut header = HeaderValue::try_from(basic)
                .map_err(|_| "has a user name or a password that no header can carry")?;
            header.set_sensitive(true);
            Ok(ProxyUrl { address: url("")?, authorization: Some(header) })
        }
        "socks5" | "socks5h" if user.len().max(password.len()) > MAX_SOCKS_CREDENTIAL => {
            Err("has a user name or a password above the 255 bytes of SOCKS5")
        }
        "socks5" | "socks5h" => {
            let [user, password] =
                [&user, &password].map(|it| utf8_percent_encode(it, NON_ALPHANUMERIC));
            Ok(ProxyUrl { address: url(&format!("{user}:{password}@"))?, authorization: None })
        }
        _ => Err("has a user name, which the network stack does not send over SOCKS4"),
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

fn invalid(name: &str, fault: &str) -> NetError {
    let why = format!(
        "{name} {fault}: write it as `http://host:port` or `http://user:password@host:port`, with \
         special characters of the user name and the password percent-encoded (`%40` for `@`)"
    );
    NetError::new(NetErrorKind::Request, why)
}

#[cfg(test)]
mod tests;
