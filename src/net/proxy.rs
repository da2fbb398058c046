//! Choice of the proxy of a client.

use std::ffi::OsString;

use http::Uri;

use exempt::Exemptions;
use url::{invalid, parse};

use super::{NetError, probe::Route};
use crate::{
    config::ProxySetting,
    error::{Peer, ProxyPeer},
};

#[cfg(feature = "socks")]
pub(super) use url::Login;
pub(super) use url::{ProxyScheme, ProxyUrl};

mod exempt;
mod url;

/// Proxy of the requests of a client to one server. Default: none.
#[derive(Clone, Default)]
pub(super) struct Proxies {
    proxy: Option<ProxyUrl>,
    /// Name of the setting; empty if it is the caller's own.
    setting: &'static str,
    /// Variables that name a proxy too, and that `setting` overrides.
    overridden: Vec<&'static str>,
    exempt: Exemptions,
    /// Proxies of the operating system.
    #[cfg(all(feature = "system-proxy", any(target_os = "macos", windows)))]
    system: Option<std::sync::Arc<hyper_util::client::proxy::matcher::Matcher>>,
}

/// Variables for an `https` URL in their order. Lower case comes first, as in curl.
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// Variables for an `http` URL in their order.
const FOR_HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
/// Variables that list the hosts without a proxy, in their order.
const EXEMPT: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl Proxies {
    /// Parses `setting` for the server of `uri`. `variable` reads the environment; only the variable
    /// that applies is parsed, unless the server is exempt from the proxy.
    pub(super) fn new(
        setting: &ProxySetting,
        uri: &Uri,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, NetError> {
        match setting {
            ProxySetting::Environment => Self::from_environment(uri, variable),
            ProxySetting::Direct => Ok(Self::default()),
            ProxySetting::Url(url) => match parse("the proxy URL", url)? {
                None => Err(invalid("the proxy URL", "is empty")),
                proxy => Ok(Self { proxy, ..Self::default() }),
            },
        }
    }

    fn from_environment(
        uri: &Uri,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, NetError> {
        // A CGI server sets `HTTP_PROXY` from the header `Proxy` of the request that it serves.
        // Like other clients, this crate then ignores all variables.
        if variable("REQUEST_METHOD").is_some() {
            return Ok(Self::default());
        }
        // An empty variable hides no other.
        let set = |name: &&'static str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.map(|value| (*name, value))
        };
        let secure = uri.scheme_str() == Some("https");
        let names = if secure { FOR_HTTPS } else { FOR_HTTP };
        let mut found = names.iter().filter_map(set);
        let Some((setting, value)) = found.next() else {
            return Self::from_system(secure);
        };
        let exempt = EXEMPT.iter().find_map(set);
        let exempt = exempt.map(|(name, list)| Exemptions::new(name, &list.to_string_lossy()));
        let mut proxies = Self {
            proxy: None,
            setting,
            overridden: found.map(|(name, _)| name).collect(),
            exempt: exempt.unwrap_or_default(),
            #[cfg(all(feature = "system-proxy", any(target_os = "macos", windows)))]
            system: None,
        };
        proxies.warn_of_ignored();
        if proxies.exempting(uri).is_none() {
            let value = value.to_str().ok_or_else(|| invalid(setting, "is not UTF-8"))?;
            proxies.proxy = parse(setting, value)?;
        }
        Ok(proxies)
    }

    /// Writes a warning if entries of the exemptions match no host.
    fn warn_of_ignored(&self) {
        let entries: Vec<_> = self.exempt.ignored().iter().map(|it| format!("`{it}`")).collect();
        let what = match entries.len() {
            0 => return,
            1 => "the entry",
            _ => "the entries",
        };
        let never = if entries.len() == 1 { "never matches" } else { "never match" };
        let (entries, setting) = (entries.join(", "), self.exempt.setting());
        tracing::warn!("{what} {entries} of {setting} {never}");
    }

    #[cfg(all(feature = "system-proxy", any(target_os = "macos", windows)))]
    fn from_system(secure: bool) -> Result<Self, NetError> {
        let (setting, matcher) = (
            "the proxy in the system settings",
            hyper_util::client::proxy::matcher::Matcher::from_system(),
        );
        let uri = if secure { "https://host.invalid/" } else { "http://host.invalid/" };
        // A proxy that is not understood is an error here, and not a direct connection later.
        let proxy = match matcher.intercept(&Uri::from_static(uri)) {
            Some(found) => parse(setting, &found.uri().to_string())?,
            None => None,
        };
        Ok(Self { proxy, setting, system: Some(matcher.into()), ..Self::default() })
    }

    #[cfg(not(all(feature = "system-proxy", any(target_os = "macos", windows))))]
    fn from_system(_: bool) -> Result<Self, NetError> {
        Ok(Self::default())
    }

    /// Returns the proxy for `uri`; `None` if the server is reached directly.
    pub(super) fn of(&self, uri: &Uri) -> Option<ProxyUrl> {
        #[cfg(all(feature = "system-proxy", any(target_os = "macos", windows)))]
        if let Some(system) = &self.system {
            system.intercept(uri)?;
            return self.proxy.clone();
        }
        let proxy = self.proxy.as_ref()?;
        self.exempting(uri).is_none().then(|| proxy.clone())
    }

    /// Returns the entry that exempts the server of `uri` from the proxy.
    fn exempting(&self, uri: &Uri) -> Option<&str> {
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        self.exempt.matching(uri.host().unwrap_or_default(), port)
    }

    /// Returns the way to the server of `uri`.
    pub(super) fn route(&self, uri: &Uri) -> Route {
        let named = |name: &'static str| Some(name).filter(|name| !name.is_empty());
        let proxy = self.of(uri);
        Route {
            has_login: proxy.as_ref().is_some_and(|proxy| proxy.login.is_some()),
            scheme: proxy.as_ref().map(|proxy| proxy.scheme.as_str()),
            proxy: proxy.map(|proxy| proxy.authority()),
            setting: named(self.setting),
            overridden: self.overridden.clone(),
            exemptions: named(self.exempt.setting()),
            exempted_by: self.exempting(uri).map(str::to_owned),
            ignored_exemptions: self.exempt.ignored().to_vec(),
        }
    }

    /// Returns the server of `uri`, and the proxy between.
    pub(super) fn peer(&self, uri: &Uri) -> Peer {
        let proxy = self.of(uri).map(|proxy| ProxyPeer {
            address: proxy.authority(),
            is_local: proxy.is_local(),
            setting: self.setting,
            forwards: proxy.scheme.is_http() && uri.scheme_str() == Some("http"),
        });
        Peer::new(uri, proxy)
    }

    /// Returns `true` if the connection to the proxy uses TLS.
    pub(super) fn uses_tls(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.scheme == ProxyScheme::Https)
    }
}

#[cfg(test)]
mod tests;
