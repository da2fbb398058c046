//! Address and properties of a server.

use std::{fmt, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::{
    ConfigError,
    capabilities::Capabilities,
    operations::{Operation, Support},
};

/// Characters that are escaped in query parameters: all but the unreserved ones of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A server of the Responses API: its address and properties.
///
/// ```
/// use responses_client::Provider;
///
/// let openai = Provider::openai();
/// let gateway = Provider::openai().with_base_url("https://gateway.example/v1")?;
/// let other = Provider::compatible("http://localhost:8000/v1")?.websocket(false);
/// # drop((openai, gateway, other));
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Provider {
    pub(super) base: Url,
    pub(crate) capabilities: Capabilities,
    credentials_over_http: bool,
    /// Headers of every request to the server. The headers of a client replace them.
    pub(crate) headers: Vec<(String, String)>,
    /// Query parameters besides those of the base URL.
    query: Vec<(String, String)>,
}

impl Provider {
    /// Returns a provider for any other server, by its base URL: the part before `/responses`, such
    /// as a path `/v1`. A trailing slash makes no difference; a query is kept.
    ///
    /// The provider has the properties of [`openai`](Self::openai) but for its
    /// [lanes](Self::named_lanes), until another method changes them. It is unknown which
    /// [operations](Self::support) besides turns the server has.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BaseUrl`] unless `base_url` is an absolute `http` or `https` URL without
    /// credentials.
    pub fn compatible(base_url: &str) -> Result<Self, ConfigError> {
        let invalid = ConfigError::BaseUrl;
        let mut base = Url::parse(base_url).map_err(|_| invalid("not an absolute URL"))?;
        match base.scheme() {
            "http" | "https" => {}
            _ => return Err(invalid("it does not begin with http:// or https://")),
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(invalid("credentials in the URL: pass them as `Auth`"));
        }
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        Ok(Self {
            base,
            capabilities: Capabilities::COMPATIBLE,
            credentials_over_http: false,
            headers: Vec::new(),
            query: Vec::new(),
        })
    }

    /// Moves the provider to another base URL, for example that of a gateway or a test server. The
    /// properties, headers and query parameters stay, but for the [lanes](Self::named_lanes), which
    /// few gateways have.
    ///
    /// # Errors
    ///
    /// Like [`compatible`](Self::compatible).
    pub fn with_base_url(self, base_url: &str) -> Result<Self, ConfigError> {
        let base = Self::compatible(base_url)?.base;
        Ok(Self { base, ..self }.named_lanes(0).active_responses(1))
    }

    /// Adds a header to every request and upgrade. A later header of the same name replaces an
    /// earlier one, and a [header of the client](crate::ResponsesClientBuilder::header) replaces
    /// both. If the header cannot be sent, [`build`](crate::ResponsesClientBuilder::build) fails.
    /// The value is kept out of logs, like a credential.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to the query of every request and upgrade, after those of the base URL and
    /// in the order of the calls. Name and value are given as they are; the provider escapes them.
    /// The value is kept out of logs, like a credential.
    ///
    /// ```
    /// use responses_client::Provider;
    ///
    /// let preview = Provider::azure("my-resource")?.query("api-version", "preview");
    /// # drop(preview);
    /// # Ok::<_, responses_client::Error>(())
    /// ```
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets whether the server supports WebSocket. Without it, every turn goes over SSE. Default:
    /// `true`.
    #[must_use]
    pub fn websocket(mut self, supported: bool) -> Self {
        self.capabilities.websocket = supported;
        self
    }

    /// Sets whether the server stores a response when `store` is absent. Default: `true`, as at
    /// OpenAI.
    #[must_use]
    pub fn stores_by_default(mut self, stores: bool) -> Self {
        self.capabilities.stores_by_default = stores;
        self
    }

    /// Sets whether a WebSocket stays usable after an error frame. Default: `true`, as at OpenAI.
    /// The ChatGPT backend stops responding and drops the WebSocket.
    #[must_use]
    pub fn reuses_socket_after_error(mut self, keeps: bool) -> Self {
        self.capabilities.reuses_socket_after_error = keeps;
        self
    }

    /// Sets the largest frame that the server accepts, in bytes; `None` for no limit. Default: 16
    /// MiB, as at OpenAI. A larger turn goes over SSE, or fails before anything is sent if the
    /// policy forbids SSE. If the answer to the upgrade names a lower limit in
    /// `x-codex-websocket-max-message-bytes`, the lower limit applies to that WebSocket.
    #[must_use]
    pub fn frame_limit(mut self, bytes: Option<u64>) -> Self {
        self.capabilities.frame_limit = bytes;
        self
    }

    /// Sets the age at which the server closes a WebSocket; `None` for never. Default: 60 minutes,
    /// as at OpenAI. Between turns, a session replaces a WebSocket before that age: five minutes
    /// earlier, or a tenth of the age if that is less.
    #[must_use]
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.capabilities.max_age = age;
        self
    }

    /// Sets the number of named lanes (`stream_id`) that a WebSocket can have besides the default
    /// lane, at most 62; 0 if the server does not know lanes. Default: 0; OpenAI has 32. A turn that
    /// runs on a lane of its own shares its WebSocket with other sessions: see
    /// [`PoolPolicy`](crate::PoolPolicy).
    ///
    /// Set this only for a server that returns `stream_id` in each event: otherwise a session would
    /// receive events of another one. A server that refuses `stream_id` gets no more lanes.
    #[must_use]
    pub fn named_lanes(mut self, lanes: u8) -> Self {
        self.capabilities.named_lanes = lanes.min(62);
        self
    }

    /// Sets the number of responses that the server runs on a WebSocket at the same time, at least
    /// 1. Default: 1; OpenAI runs 16. Further turns wait.
    #[must_use]
    pub fn active_responses(mut self, responses: u8) -> Self {
        self.capabilities.active_responses = responses.max(1);
        self
    }

    /// Sets whether a session returns the server's turn state (`x-codex-turn-state`), by which the
    /// server routes the requests of one user turn to the same place. Default: `false`; the ChatGPT
    /// backend uses it.
    ///
    /// The session keeps the first state that a response of the user turn has, in its headers or in
    /// a metadata event. It sends the state with each further request of the user turn: over SSE as
    /// the header, and over a WebSocket as the member of that name in `client_metadata`. A user turn
    /// ends where the input has a user message after the last output.
    #[must_use]
    pub fn turn_state(mut self, returned: bool) -> Self {
        self.capabilities.turn_state = returned;
        self
    }

    /// Sets whether the bodies of HTTP requests are compressed with zstd. Default: `false`; the
    /// ChatGPT backend accepts such bodies. Bodies below 1 KiB and WebSocket messages are sent as
    /// they are. Bodies above 128 KiB are compressed on a thread for blocking work of the runtime.
    /// Sizes in reports and limits are those before compression.
    #[cfg(feature = "zstd")]
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    #[must_use]
    pub fn zstd_bodies(mut self, accepted: bool) -> Self {
        self.capabilities.zstd = accepted;
        self
    }

    /// Sets whether the server has an operation besides turns. Default: unknown for a server without
    /// a preset.
    #[must_use]
    pub fn operation(mut self, operation: Operation, supported: bool) -> Self {
        let support = if supported { Support::Yes } else { Support::No };
        self.capabilities.operations = self.capabilities.operations.with(support, &[operation]);
        self
    }

    /// Returns whether the server has an operation besides turns, as its preset or
    /// [`operation`](Self::operation) says. Nothing is sent.
    pub fn support(&self, operation: Operation) -> Support {
        self.capabilities.operations.support(operation)
    }

    /// Sets whether the server takes further input for a response that runs over a WebSocket
    /// (`response.steer`): see [`ResponseStream::steer`](crate::ResponseStream::steer). Default:
    /// `false`; OpenAI supports it for GPT-6. A server that does not know the message may answer with
    /// an error that ends the response.
    #[must_use]
    pub fn steers(mut self, supported: bool) -> Self {
        self.capabilities.steer = supported;
        self
    }

    /// Sets whether the server takes outputs of calls for a response that runs over a WebSocket
    /// (`response.inject`): see [`ResponseStream::inject`](crate::ResponseStream::inject). Default:
    /// `false`, because multi-agent responses are a beta. OpenAI documents it; at Azure, it needs the
    /// query parameter `api-version=preview`. A server that does not know the message may answer
    /// with an error that ends the response.
    ///
    /// With it, each request and each upgrade has the header `OpenAI-Beta:
    /// responses_multi_agent=v1`. The value is added to that of another header `OpenAI-Beta`, unless
    /// that one names a version of `responses_multi_agent`. The request itself asks for several agents
    /// by its field `multi_agent`.
    ///
    /// ```
    /// use responses_client::{Json, Provider, ResponsesRequest};
    ///
    /// let provider = Provider::openai().injects(true);
    /// let several = Json::parse(r#"{"enabled": true, "max_concurrent_subagents": 2}"#)?;
    /// let request = ResponsesRequest::new("gpt-6-astra").extra("multi_agent", several);
    /// # drop((provider, request));
    /// # Ok::<_, responses_client::DecodeError>(())
    /// ```
    #[must_use]
    pub fn injects(mut self, supported: bool) -> Self {
        self.capabilities.inject = supported;
        self
    }

    /// Sets whether the server interrupts a response that runs over a WebSocket
    /// (`response.interrupt`): see [`ResponseStream::stop`](crate::ResponseStream::stop). Default:
    /// `false`; the ChatGPT backend supports it.
    #[must_use]
    pub fn interrupts(mut self, supported: bool) -> Self {
        self.capabilities.interrupt = supported;
        self
    }

    /// Allows credentials over plain `http` to hosts other than this machine. Default: not allowed,
    /// because everyone on the network path can read them.
    #[must_use]
    pub fn allow_credentials_over_http(mut self) -> Self {
        self.credentials_over_http = true;
        self
    }

    /// Returns the URL of a path below the base URL.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        if !self.query.is_empty() {
            let escaped = |text| utf8_percent_encode(text, ESCAPED);
            let own = self.query.iter();
            let own = own.map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
            let given = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
            let parameters: Vec<_> = given.into_iter().chain(own).collect();
            url.set_query(Some(&parameters.join("&")));
        }
        url
    }

    /// Returns the URL of a stored response, or of an action on it.
    pub(crate) fn response_url(&self, id: &str, action: Option<&str>) -> Url {
        let mut url = self.url("responses");
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(id).extend(action);
        }
        url
    }

    /// Returns the age at which a session replaces a WebSocket.
    pub(crate) fn rotation(&self) -> Option<Duration> {
        let margin = |age: Duration| (age / 10).min(Duration::from_secs(5 * 60));
        self.capabilities.max_age.map(|age| age.saturating_sub(margin(age)))
    }

    /// Returns the base URL without its query, which may hold a key.
    pub(crate) fn address(&self) -> String {
        format!("{}{}", self.origin(), self.base.path().trim_end_matches('/'))
    }

    /// Returns `true` if the base URL has a path, such as `/v1`.
    pub(crate) fn has_path(&self) -> bool {
        self.base.path().len() > 1
    }

    /// Returns scheme, host and port: the key of the fallback marks.
    pub(crate) fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Returns `true` if the base URL is an `https` URL.
    pub(crate) fn is_secure(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Returns `true` if credentials would travel unencrypted beyond this machine. `by_proxy` is
    /// `true` if a proxy on another machine gets the requests.
    pub(crate) fn exposes_credentials(&self, by_proxy: bool) -> bool {
        // `.invalid` never resolves (RFC 2606): only an in-memory connector takes it.
        let stays = is_this_machine(&self.base)
            || self.base.domain().is_some_and(|name| name.ends_with(".invalid"));
        let leaves = !stays || by_proxy;
        self.base.scheme() == "http" && leaves && !self.credentials_over_http
    }
}

/// Returns `true` if the host of `url` is this machine.
pub(super) fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
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
        let url = |base| Provider::compatible(base).unwrap().url("responses").to_string();
        assert_eq!(
            Provider::openai().url("responses").as_str(),
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
    fn c272_query_parameters_are_escaped_and_keep_their_order() {
        let provider = Provider::compatible("https://a.example/v1?z=%20").unwrap();
        let provider =
            provider.query("b", "x y&c=ü").query("a", "").query("b", "2").query("k/", "-._~+");
        let query = "z=%20&b=x%20y%26c%3D%C3%BC&a=&b=2&k%2F=-._~%2B";
        assert_eq!(
            provider.url("responses").as_str(),
            format!("https://a.example/v1/responses?{query}")
        );
        assert_eq!(
            provider.response_url("r/1", Some("cancel")).as_str(),
            format!("https://a.example/v1/responses/r%2F1/cancel?{query}")
        );
        let moved = provider.with_base_url("https://b.example").unwrap();
        assert_eq!(moved.url("x").query(), Some(&query["z=%20&".len()..]));
    }

    #[test]
    fn c272_no_header_and_no_parameter_is_shown() {
        let provider = Provider::openai().header("x-key", "canary").query("key", "canary");
        assert!(!format!("{provider:?} {provider:#?} {}", provider.address()).contains("canary"));
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
        let exposes = |base| Provider::compatible(base).unwrap().exposes_credentials(false);
        assert!(exposes("http://a.example/v1"));
        assert!(!exposes("https://a.example/v1"));
        assert!(!exposes("http://127.0.0.1:1/v1"));
        assert!(!exposes("http://[::1]:1/v1"));
        assert!(!exposes("http://localhost:1/v1"));
        let by_proxy = |base| Provider::compatible(base).unwrap().exposes_credentials(true);
        assert!(by_proxy("http://localhost:1/v1"));
        assert!(!by_proxy("https://a.example/v1"));
    }
}
