//! Where requests go, and how that server differs from others.

use std::{fmt, time::Duration};

use url::Url;

use super::ConfigError;

/// A server of the Responses API: its address, and how it differs from others.
#[derive(Clone, PartialEq, Eq)]
pub struct Provider {
    pub(super) base: Url,
    pub(crate) websocket: bool,
    pub(crate) stores_by_default: bool,
    pub(crate) keeps_socket_after_error: bool,
    pub(crate) frame_limit: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) credentials_over_http: bool,
    /// What every request to it needs besides the credentials; the caller's own come after.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

impl Provider {
    /// Any other server, by its base URL with the `/v1` or whatever stands before `/responses`.
    /// A trailing slash makes no difference; a query is kept.
    ///
    /// It is taken to behave like [`openai`](Self::openai) until one of the other methods says
    /// otherwise.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BaseUrl`] for anything but an absolute `http` or `https` URL without credentials
    /// in it.
    pub fn compatible(base_url: &str) -> Result<Self, ConfigError> {
        let invalid = ConfigError::BaseUrl;
        let mut base = Url::parse(base_url).map_err(|_| invalid("it is not an absolute URL"))?;
        match base.scheme() {
            "http" | "https" => {}
            _ => return Err(invalid("its scheme is neither http nor https")),
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(invalid("it has credentials in it: give them as `Auth`"));
        }
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        Ok(Self {
            base,
            websocket: true,
            stores_by_default: true,
            keeps_socket_after_error: true,
            frame_limit: Some(16 << 20),
            max_age: Some(Duration::from_secs(60 * 60)),
            credentials_over_http: false,
            headers: &[],
        })
    }

    /// Whether the server has the WebSocket at all; without it every turn goes over SSE. `true`
    /// unless set.
    #[must_use]
    pub fn websocket(mut self, supported: bool) -> Self {
        self.websocket = supported;
        self
    }

    /// What an absent `store` means to the server. `true` at OpenAI.
    #[must_use]
    pub fn stores_by_default(mut self, stores: bool) -> Self {
        self.stores_by_default = stores;
        self
    }

    /// Whether a WebSocket goes on serving after an error frame. `true` at OpenAI; the ChatGPT
    /// backend falls silent and drops it.
    #[must_use]
    pub fn keeps_socket_after_error(mut self, keeps: bool) -> Self {
        self.keeps_socket_after_error = keeps;
        self
    }

    /// The largest frame that the server takes, in bytes; `None` for any. 16 MiB at OpenAI. A turn
    /// above it goes over SSE, or fails before anything is sent where SSE is not allowed. If the
    /// answer to the upgrade names a lower limit (`x-codex-websocket-max-message-bytes`), that one
    /// counts for its WebSocket.
    #[must_use]
    pub fn frame_limit(mut self, bytes: Option<u64>) -> Self {
        self.frame_limit = bytes;
        self
    }

    /// After how long the server ends a WebSocket; `None` for never. An hour at OpenAI. Before
    /// that, between turns, a session opens another one that the next turn goes over: five minutes
    /// before, or a tenth of the time where that is less.
    #[must_use]
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.max_age = age;
        self
    }

    /// Allows credentials over plain `http` to hosts that are not this machine. Off: whoever sits
    /// on the way reads them.
    #[must_use]
    pub fn allow_credentials_over_http(mut self) -> Self {
        self.credentials_over_http = true;
        self
    }

    /// The URL that both transports send to.
    pub(crate) fn responses_url(&self) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}/responses", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    /// The URL of a response: of the object, or of something to do with it.
    pub(crate) fn response_url(&self, id: &str, action: Option<&str>) -> Url {
        let mut url = self.responses_url();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id).extend(action);
        }
        url
    }

    /// After how long a WebSocket is to be replaced.
    pub(crate) fn rotation(&self) -> Option<Duration> {
        let margin = |age: Duration| (age / 10).min(Duration::from_secs(5 * 60));
        self.max_age.map(|age| age.saturating_sub(margin(age)))
    }

    /// The base URL without its query, which may hold a key.
    pub(crate) fn address(&self) -> String {
        format!("{}{}", self.origin(), self.base.path().trim_end_matches('/'))
    }

    /// Scheme, host and port: what the fallback marks go by.
    pub(crate) fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Whether credentials would travel in the clear beyond this machine.
    pub(crate) fn exposes_credentials(&self) -> bool {
        let loopback = match self.base.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            // `.invalid` never resolves (RFC 2606): only an in-memory connector takes it.
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".invalid"),
            None => false,
        };
        self.base.scheme() == "http" && !loopback && !self.credentials_over_http
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may hold a key.
        let url = format_args!("{}{}", self.origin(), self.base.path());
        f.debug_tuple("Provider").field(&url.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_joined_whatever_the_slashes_and_the_query_is_kept() {
        let url = |base| Provider::compatible(base).unwrap().responses_url().to_string();
        assert_eq!(
            Provider::openai().responses_url().as_str(),
            "https://api.openai.com/v1/responses"
        );
        assert_eq!(url("http://127.0.0.1:8/v1/"), "http://127.0.0.1:8/v1/responses");
        assert_eq!(url("https://a.example"), "https://a.example/responses");
        assert_eq!(
            url("https://a.example/openai/v1?api-version=x%20y"),
            "https://a.example/openai/v1/responses?api-version=x%20y"
        );
        assert_eq!(
            Provider::compatible("https://a.example/v1/").unwrap(),
            Provider::compatible("https://a.example/v1").unwrap()
        );
    }

    #[test]
    fn other_urls_are_refused() {
        for base in ["", "api.openai.com/v1", "ftp://a.example", "https://u:p@a.example/v1"] {
            let error = Provider::compatible(base).unwrap_err();
            assert!(matches!(error, ConfigError::BaseUrl(_)), "{base}");
            assert!(!format!("{error:?} {error}").contains("u:p"));
        }
    }

    #[test]
    fn credentials_travel_in_the_clear_only_to_this_machine() {
        let exposes = |base| Provider::compatible(base).unwrap().exposes_credentials();
        assert!(exposes("http://a.example/v1"));
        assert!(!exposes("https://a.example/v1"));
        assert!(!exposes("http://127.0.0.1:1/v1"));
        assert!(!exposes("http://[::1]:1/v1"));
        assert!(!exposes("http://localhost:1/v1"));
    }
}
