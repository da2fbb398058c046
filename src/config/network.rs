//! Network settings.

use std::{fmt, path::PathBuf};

/// Settings for opening sockets, shared by both transports.
///
/// ```
/// use responses_client::NetworkSettings;
///
/// let network = NetworkSettings::new().proxy("http://localhost:3128");
/// # drop(network);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    pub(crate) proxy: ProxySetting,
    pub(crate) roots: Vec<Pem>,
    pub(crate) client_certificate: Option<ClientCertificate>,
}

/// A PEM text, or the file that holds one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

/// Certificate and private key of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) certificate: Pem,
    /// `None` if the key follows the certificate.
    pub(crate) key: Option<Pem>,
}

/// Choice of the proxy.
///
/// ```
/// use responses_client::{NetworkSettings, Provider, ProxySetting, ResponsesClient};
///
/// let direct = NetworkSettings::new().proxy(ProxySetting::Direct);
/// let client = ResponsesClient::builder().provider(Provider::openai()).network(direct).build()?;
/// # drop(client);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxySetting {
    /// The proxy in `HTTPS_PROXY` (for `https`), `HTTP_PROXY` (for `http`) or `ALL_PROXY`, except
    /// for the hosts in `NO_PROXY`. With the feature `system-proxy`, the proxy in the settings of
    /// macOS or Windows applies if no variable names one.
    ///
    /// A variable has the form that [`Url`](Self::Url) describes. A malformed variable is an error
    /// of [`build`](crate::ResponsesClientBuilder::build), never a direct connection.
    #[default]
    Environment,
    /// No proxy: direct connections.
    Direct,
    /// The given proxy for every request: `[scheme://][user[:password]@]host[:port]`.
    ///
    /// The scheme is `http` (the default) or `https`, with the feature `socks` also `socks5`,
    /// `socks5h`, `socks4` or `socks4a`. Special characters of the user name and the password are
    /// percent-encoded (`%40` for `@`); a host outside ASCII is written in its `xn--` form.
    Url(String),
}

impl NetworkSettings {
    /// Returns settings with the proxy of the environment and the certificate roots of the
    /// platform.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the proxy; a string is its URL: see [`ProxySetting::Url`]. Default:
    /// [`ProxySetting::Environment`].
    #[must_use]
    pub fn proxy(mut self, proxy: impl Into<ProxySetting>) -> Self {
        self.proxy = proxy.into();
        self
    }

    /// Adds the certificates of a PEM file to the trusted roots, for example the CA of a proxy that
    /// intercepts TLS. The trusted roots are those of the platform, or those that `SSL_CERT_FILE`
    /// and `SSL_CERT_DIR` name in their place.
    #[must_use]
    pub fn root_certificates_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(Pem::Text(pem.into()));
        self
    }

    /// Like [`root_certificates_pem`](Self::root_certificates_pem), with the path of the file.
    /// [`build`](crate::ResponsesClientBuilder::build) reads the file, and its errors name it.
    #[must_use]
    pub fn root_certificates_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots.push(Pem::File(path.into()));
        self
    }

    /// Sets the certificate by which the client authenticates itself in TLS, for servers that
    /// require one: a PEM text with the certificate, any intermediate certificates, and the private
    /// key (PKCS #8, PKCS #1 or SEC1). Default: none.
    ///
    /// An https proxy that requires a certificate gets the same one. The text is checked by
    /// [`build`](crate::ResponsesClientBuilder::build), unless the base URL and the proxy are
    /// without TLS. `Debug` does not show it.
    #[must_use]
    pub fn client_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        let certificate = Pem::Text(pem.into());
        self.client_certificate = Some(ClientCertificate { certificate, key: None });
        self
    }

    /// Like [`client_certificate_pem`](Self::client_certificate_pem), with the file of the
    /// certificate and the file of its key; with `None`, the key is in the file of the certificate.
    /// [`build`](crate::ResponsesClientBuilder::build) reads the files, and its errors name them.
    #[must_use]
    pub fn client_certificate_file(
        mut self,
        certificate: impl Into<PathBuf>,
        key: Option<PathBuf>,
    ) -> Self {
        let certificate = Pem::File(certificate.into());
        self.client_certificate = Some(ClientCertificate { certificate, key: key.map(Pem::File) });
        self
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The text may hold a key.
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => write!(f, "File({path:?})"),
        }
    }
}

/// A string is the URL of a proxy.
impl From<&str> for ProxySetting {
    fn from(url: &str) -> Self {
        Self::Url(url.to_owned())
    }
}

/// A string is the URL of a proxy.
impl From<String> for ProxySetting {
    fn from(url: String) -> Self {
        Self::Url(url)
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
