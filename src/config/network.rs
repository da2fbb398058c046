//! How sockets are opened.

use std::fmt;

/// How sockets are opened, the same for both transports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    pub(crate) proxy: ProxySetting,
    pub(crate) roots: Vec<Vec<u8>>,
}

/// Which proxy is used.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxySetting {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, and with the feature
    /// `system-proxy` what the system says.
    #[default]
    Environment,
    /// None.
    Direct,
    /// This one for everything: `http://`, `https://`, and with the feature `socks` `socks5://`
    /// and `socks5h://`, with `user:password@` where it asks for them.
    Url(String),
}

impl NetworkSettings {
    /// The proxy of the environment, and the certificate roots of the platform.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which proxy is used.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxySetting) -> Self {
        self.proxy = proxy;
        self
    }

    /// Trusts the certificates of a PEM file too, besides the platform's: the CA of a proxy that
    /// opens TLS, say.
    #[must_use]
    pub fn root_certificates_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }
}

impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Direct => "Direct",
            Self::Url(_) => "Url(..)",
        })
    }
}
