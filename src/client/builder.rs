//! The builder of a client.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};

use super::handle::ResponsesClient;
use crate::{
    auth::{Auth, Secret},
    config::{
        ConfigError, ContinuationPolicy, Limits, NetworkSettings, Policy, PoolPolicy, Provider,
        ProxySetting, RetryPolicy, Timeouts, TransportPolicy,
    },
    endpoint::{CREDENTIALS, Endpoint, Runtimes, SessionRegistry, parse_header, parse_name},
    error::{Error, ErrorContext},
    net::{HttpNetwork, Network, Sockets},
    observe::{Notifier, TurnObserver},
    proto::wire::{Wire, responses::Responses},
};

/// Builder of a [`ResponsesClient`]. Each method names the default of its setting.
///
/// ```
/// use std::time::Duration;
/// use responses_client::{ResponsesClient, TransportPolicy};
///
/// let client = ResponsesClient::builder()
///     .api_key("a key")
///     .timeout(Duration::from_secs(600))
///     .transport(TransportPolicy::SseOnly)
///     .build()?;
/// # drop(client);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ResponsesClientBuilder {
    /// A fault of the base URL is an error of `build`.
    provider: Result<Provider, ConfigError>,
    auth: Auth,
    pub(super) headers: Vec<(String, String)>,
    policy: Policy,
    network: NetworkSettings,
    account: Option<String>,
    observer: Option<Arc<dyn TurnObserver>>,
    pub(super) connector: Option<Arc<dyn Network>>,
}

impl ResponsesClient {
    /// Returns a builder of a client. By default, the client talks to OpenAI without a credential.
    pub fn builder() -> ResponsesClientBuilder {
        ResponsesClientBuilder::new()
    }

    /// Returns a client of OpenAI with this API key and the defaults of all settings.
    ///
    /// ```
    /// # use responses_client::{Error, ResponsesClient};
    /// # fn new() -> Result<(), Error> {
    /// let client = ResponsesClient::new("sk-example")?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// # new().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`build`](ResponsesClientBuilder::build).
    pub fn new(key: impl Into<Secret>) -> Result<Self, Error> {
        Self::builder().api_key(key).build()
    }
}

impl ResponsesClientBuilder {
    fn new() -> Self {
        Self {
            provider: Ok(Provider::openai()),
            auth: Auth::None,
            headers: Vec::new(),
            policy: Policy::default(),
            network: NetworkSettings::default(),
            account: None,
            observer: None,
            connector: None,
        }
    }

    /// Sets what observes the turns of the client, for logs and metrics. Default: nothing.
    pub fn observer(mut self, observer: impl TurnObserver) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Sets the server. Default: [`Provider::openai`].
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = Ok(provider);
        self
    }

    /// Moves the provider to another base URL, such as `https://gateway.example/v1`: see
    /// [`Provider::with_base_url`]. If the URL is invalid, [`build`](Self::build) fails.
    pub fn base_url(mut self, url: impl AsRef<str>) -> Self {
        self.provider = self.provider.and_then(|provider| provider.with_base_url(url.as_ref()));
        self
    }

    /// Sets the API key, which is sent as a bearer token. Default: none.
    pub fn api_key(self, key: impl Into<Secret>) -> Self {
        self.auth(Auth::bearer(key))
    }

    /// Sets the authentication; a string is a bearer token, such as an API key. Default: none.
    pub fn auth(mut self, auth: impl Into<Auth>) -> Self {
        self.auth = auth.into();
        self
    }

    /// Sets the organization to which the server counts the requests: the header
    /// `OpenAI-Organization`. Default: none; OpenAI then uses the organization of the key.
    pub fn organization(self, id: impl Into<String>) -> Self {
        self.header("OpenAI-Organization", id)
    }

    /// Sets the project to which the server counts the requests: the header `OpenAI-Project`.
    /// Default: none; OpenAI then uses the project of the key.
    pub fn project(self, id: impl Into<String>) -> Self {
        self.header("OpenAI-Project", id)
    }

    /// Sets the header `User-Agent`. Default: `responses-client/` and the version of this crate.
    pub fn user_agent(self, value: impl Into<String>) -> Self {
        self.header("User-Agent", value)
    }

    /// Adds a header to every request and upgrade. A later header of the same name replaces an
    /// earlier one. The value is kept out of logs, like a credential.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the time limit of a whole turn, retries included: [`Timeouts::turn`]. Default: none.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.policy.timeouts.turn = Some(time);
        self
    }

    /// Sets the time limit for connecting: [`Timeouts::connect`]. Default: 10 s.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.policy.timeouts.connect = Some(time);
        self
    }

    /// Sets the time limit between two events, on both transports:
    /// [`Timeouts::between_events_websocket`] and [`Timeouts::between_events_sse`]. Default: none
    /// over WebSocket, where pings show that the server is there, and 10 min over SSE.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.policy.timeouts.between_events_websocket = Some(time);
        self.policy.timeouts.between_events_sse = Some(time);
        self
    }

    /// Sets the time limits. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.policy.timeouts = timeouts;
        self
    }

    /// Sets the sizes of buffers. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.policy.limits = limits;
        self
    }

    /// Sets the number of attempts and the requests that may be resent. Default: four attempts, and
    /// one replay of a request that had no answer.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.policy.retry = retry;
        self
    }

    /// Sets the number of retries of a turn: one less than [`RetryPolicy::max_attempts`]. Default: 3.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.policy.retry.max_attempts = retries.saturating_add(1);
        self
    }

    /// Sets the allowed transports; a [`Transport`](crate::Transport) allows only itself. Default:
    /// [`TransportPolicy::Auto`].
    pub fn transport(mut self, transport: impl Into<TransportPolicy>) -> Self {
        self.policy.transport = transport.into();
        self
    }

    /// Sets whether stored responses are continued by their id over SSE too, instead of sending the
    /// full history. Default: `false`, because not every server that stores responses supports it,
    /// and a lost response costs a round trip.
    pub fn continue_over_sse(mut self, on: bool) -> Self {
        self.policy.continue_over_sse = on;
        self
    }

    /// Sets whether a turn sends only new items when possible. Default: `true`. With `false`, every
    /// turn is sent in full, for comparisons and for servers that continue incorrectly.
    pub fn incremental(mut self, on: bool) -> Self {
        self.policy.incremental = on;
        self
    }

    /// Sets how sessions use WebSockets: how many there are, and who shares them. Default: up to
    /// eight sessions have their own, and further ones share where the server has lanes.
    pub fn pool(mut self, pool: PoolPolicy) -> Self {
        self.policy.pool = pool;
        self
    }

    /// Sets the changes of a request after which a turn still sends only new items. Default:
    /// [`ContinuationPolicy::Strict`].
    pub fn continuation(mut self, continuation: ContinuationPolicy) -> Self {
        self.policy.continuation = continuation;
        self
    }

    /// Sets whether to offer servers to compress the messages of WebSockets. Default:
    /// [`DeflatePolicy::Off`](crate::DeflatePolicy::Off).
    #[cfg(feature = "deflate")]
    #[cfg_attr(docsrs, doc(cfg(feature = "deflate")))]
    pub fn deflate(mut self, deflate: crate::config::DeflatePolicy) -> Self {
        self.policy.deflate = deflate;
        self
    }

    /// Sets the proxy; a string is its URL: see [`ProxySetting::Url`]. Default: the proxy of the
    /// environment.
    pub fn proxy(mut self, proxy: impl Into<ProxySetting>) -> Self {
        self.network = self.network.proxy(proxy.into());
        self
    }

    /// Sets proxies and certificates. Default: the proxies of the environment and the roots of the
    /// platform.
    pub fn network(mut self, network: NetworkSettings) -> Self {
        self.network = network;
        self
    }

    /// Sets the account of the credential. [`set_client`](crate::ResponsesSession::set_client) keeps
    /// the connection of a session if both clients have the same account, even with different
    /// tokens. Default: none; then equal [`Auth`] values count as the same account.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for invalid headers and
    /// headers of the transport, a credential that is empty or has a line break, credentials over
    /// plain `http` to another machine, unreadable certificates, and a
    /// [`ProxySetting`](crate::ProxySetting) or a variable such as `HTTPS_PROXY` that would not be
    /// used exactly as written.
    pub fn build(self) -> Result<ResponsesClient, Error> {
        let provider = self.provider?;
        let headers = headers(provider.headers.iter().chain(&self.headers))?;
        check_auth(&self.auth)?;
        let has_credential =
            !self.auth.is_none() || CREDENTIALS.iter().any(|it| headers.contains_key(*it));
        let wire: &'static dyn Wire = &Responses;
        let uri = provider.url(wire.path()).as_str().parse();
        let uri = uri.map_err(|_| ConfigError::BaseUrl("too long"))?;
        let settings = self.connector.is_none().then(|| self.network.clone());
        let network = match self.connector {
            Some(network) => network,
            None => {
                let limit = self.policy.timeouts.connect;
                let sockets = Sockets::new(&self.network, &uri, limit);
                let sockets = sockets
                    .map_err(|error| ConfigError::Network(error.into_source().to_string()))?;
                Arc::new(HttpNetwork::new(sockets))
            }
        };
        if has_credential
            && provider.exposes_credentials(network.peer(&uri).leaves_machine_by_proxy())
        {
            return Err(ConfigError::ExposedCredentials.into());
        }
        let notifier = Notifier::new(self.observer, provider.origin());
        let error_context = ErrorContext {
            has_credential,
            base_url: provider.address(),
            has_path: provider.has_path(),
        };
        let endpoint = Endpoint {
            provider,
            wire,
            auth: self.auth,
            headers,
            uri,
            policy: self.policy,
            network,
            settings,
            account: self.account,
            error_context: Arc::new(error_context),
            notifier,
            sessions: SessionRegistry::default(),
            origin: Arc::default(),
            runtimes: Runtimes::default(),
            pool: Arc::default(),
        };
        Ok(ResponsesClient { endpoint: Arc::new(endpoint) })
    }
}

/// Returns an error if the credential is fixed and no header can carry it.
fn check_auth(auth: &Auth) -> Result<(), ConfigError> {
    if let Auth::Header(name, _) = auth {
        parse_name(name)?;
    }
    match auth.fixed().and_then(|(credential, secret)| Some((credential, secret.fault()?))) {
        Some((credential, fault)) => Err(ConfigError::InvalidCredential { credential, fault }),
        None => Ok(()),
    }
}

impl fmt::Debug for ResponsesClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any header may be a credential.
        f.debug_struct("ResponsesClientBuilder")
            .field("provider", &self.provider)
            .field("auth", &self.auth)
            .field("transport", &self.policy.transport)
            .finish_non_exhaustive()
    }
}

fn headers<'a>(
    given: impl IntoIterator<Item = &'a (String, String)>,
) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    let agent = concat!("responses-client/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in given {
        let (name, value) = parse_header(name, value)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::ErrorKind;

    fn builder() -> ResponsesClientBuilder {
        ResponsesClient::builder()
    }

    #[test]
    fn a_key_is_not_sent_to_a_proxy_on_another_machine_without_tls() {
        let build = |url: &str, proxy: &str| {
            builder().base_url(url).auth(Auth::bearer("k")).proxy(proxy).build().err()
        };
        let error = build("http://localhost:1/v1", "http://proxy.example:3128").unwrap();
        assert!(matches!(error.config_error(), Some(ConfigError::ExposedCredentials)));
        assert!(build("http://localhost:1/v1", "http://127.0.0.1:3128").is_none());
        assert!(build("https://api.example/v1", "http://proxy.example:3128").is_none());
    }

    #[test]
    fn settings_can_be_shared_and_shown() {
        fn shared<T: Send + Sync + fmt::Debug + 'static>() {}
        shared::<ResponsesClientBuilder>();
        shared::<(ResponsesClient, Auth, Secret, Provider, NetworkSettings, ConfigError)>();
        shared::<(Timeouts, Limits, RetryPolicy, TransportPolicy)>();
    }

    #[test]
    fn headers_of_the_transport_are_refused() {
        for name in ["Host", "connection", "Sec-WebSocket-Key", "content-length", "a b"] {
            let error = builder().header(name, "x").build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}");
        }
        assert!(builder().header("OpenAI-Organization", "org").build().is_ok());
        let auth = Auth::header("Host", "x");
        assert_eq!(builder().auth(auth).build().unwrap_err().kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn c192_a_fault_of_a_key_or_a_header_is_named() {
        let text = |builder: ResponsesClientBuilder| {
            let error = builder.build().unwrap_err();
            assert!(std::error::Error::source(&error).is_none(), "the text is complete");
            error.to_string()
        };
        let settings = |fault: &str| format!("the settings are invalid: {fault}");
        for (auth, fault) in [
            (Auth::bearer(""), "the API key is empty"),
            (Auth::bearer(" "), "the API key is empty"),
            (Auth::bearer("canary\n"), "the API key has a line break, remove it"),
            (Auth::bearer("canary\0"), "the API key has characters that HTTP headers do not allow"),
            (Auth::header("api-key", ""), "the value of the header `api-key` is empty"),
            (
                Auth::header("api-key", "canary\r\n"),
                "the value of the header `api-key` has a line break, remove it",
            ),
            (
                Auth::header("sk-canary-canary", "api-key\n"),
                "the value of the header `[masked]` has a line break, remove it",
            ),
            (Auth::header("", "canary"), "the name of the header `` is empty"),
            (
                Auth::header("a b", "canary"),
                "the name of the header `a b` has characters that HTTP does not allow",
            ),
            (Auth::header("Host", "x"), "the header `host` belongs to the transport, remove it"),
        ] {
            assert_eq!(text(builder().auth(auth)), settings(fault));
        }
        for (name, value, fault) in [
            ("x-one", "a\nb", "the value of the header `x-one` has a line break, remove it"),
            (
                "Bearer sk-canary-canary",
                "Authorization",
                "the name of the header `Bearer [masked]` has characters that HTTP does not allow",
            ),
            (
                "sk-canary-canary",
                "api-key\n",
                "the value of the header `[masked]` has a line break, remove it",
            ),
            ("upgrade", "x", "the header `upgrade` belongs to the transport, remove it"),
        ] {
            assert_eq!(text(builder().header(name, value)), settings(fault));
        }
        assert_eq!(
            text(builder().user_agent("a\nb")),
            settings("the value of the header `user-agent` has a line break, remove it")
        );
        assert_eq!(
            ResponsesClient::new("").unwrap_err().to_string(),
            settings("the API key is empty")
        );
    }

    #[test]
    fn a_credential_that_no_header_can_carry_is_an_error() {
        let by_header = |secret| Auth::header("api-key", secret);
        for auth in [Auth::bearer as fn(&'static str) -> Auth, by_header] {
            for secret in ["", "  ", "canary\n", "canary\r\nx-other: 1", "canary\0"] {
                let error = builder().auth(auth(secret)).build().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{secret:?}");
                assert!(!format!("{error} {error:?}").contains("canary"));
            }
            assert!(builder().auth(auth("canary")).build().is_ok());
        }
    }

    #[test]
    fn credentials_do_not_travel_in_the_clear() {
        let client = |url| {
            ResponsesClient::builder()
                .provider(Provider::compatible(url).unwrap())
                .auth(Auth::bearer("k"))
                .build()
        };
        assert_eq!(client("http://a.example/v1").unwrap_err().kind(), ErrorKind::InvalidConfig);
        assert!(client("https://a.example/v1").is_ok());
        let by_hand = ResponsesClient::builder()
            .provider(Provider::compatible("http://a.example/v1").unwrap());
        let error = by_hand.header("Authorization", "Bearer k").build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let open = Provider::compatible("http://a.example/v1").unwrap();
        let open = ResponsesClient::builder().provider(open.allow_credentials_over_http());
        assert!(open.auth(Auth::bearer("k")).build().is_ok());
    }

    #[test]
    fn a_proxy_that_cannot_be_read_is_not_no_proxy() {
        for url in ["not a url", "ftp://proxy.example", "http://", "http://user:canary@"] {
            let network =
                NetworkSettings::new().proxy(crate::config::ProxySetting::Url(url.to_owned()));
            let error = builder().network(network).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn c102_nothing_of_it_prints_a_credential() {
        let network = NetworkSettings::new()
            .proxy(crate::config::ProxySetting::Url("http://u:canary@127.0.0.1:1".to_owned()));
        let provider = Provider::compatible("https://a.example/v1?key=canary").unwrap();
        let builder = ResponsesClient::builder()
            .provider(provider)
            .auth(Auth::bearer("canary"))
            .header("x-key", "canary")
            .network(network);
        assert!(!format!("{builder:?} {:?}", builder.network).contains("canary"));
        let confused = Auth::header("sk-canary-canary", "api-key");
        assert_eq!(format!("{confused:?}"), "Header([masked], ..)");
        let client = builder.build().unwrap();
        let session = client.session();
        assert!(!format!("{client:?} {session:?}").contains("canary"));
    }
}
