//! The client: where requests go, and what its sessions share.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;

use crate::{
    auth::Auth,
    config::{
        ConfigError, Limits, NetworkSettings, Provider, RetryPolicy, Timeouts, TransportPolicy,
    },
    endpoints::responses::{self, ResponseOp},
    error::Error,
    net::{HttpNetwork, Network},
    observe::{Notifier, TurnObserver},
    proto::fallback::Fallback,
    response::Response,
    session::{Checkpoint, ResponsesSession},
    shared::{Runtimes, Shared},
};

/// Where requests go, how, and with which credentials. Cloning it is cheap.
///
/// Its sessions share the connections of SSE, and what is known of origins that break
/// WebSockets. Make one and keep it: reading the certificates of the platform takes milliseconds.
#[derive(Clone, Debug)]
pub struct ResponsesClient {
    shared: Arc<Shared>,
}

/// Makes a [`ResponsesClient`]. What is not set has the default that its method names.
#[must_use]
pub struct ResponsesClientBuilder {
    provider: Provider,
    auth: Auth,
    headers: Vec<(String, String)>,
    timeouts: Timeouts,
    limits: Limits,
    retry: RetryPolicy,
    transport: TransportPolicy,
    continue_over_sse: bool,
    incremental: bool,
    network: NetworkSettings,
    account: Option<String>,
    observer: Option<Arc<dyn TurnObserver>>,
    connector: Option<Arc<dyn Network>>,
}

impl ResponsesSession {
    /// Goes on through `client`: with other credentials, timeouts or policies, say. A turn on its
    /// way is not concerned.
    ///
    /// The connection and what the server has of the conversation are kept when endpoint, network,
    /// fixed headers and [account](ResponsesClientBuilder::account) are the same, and left behind
    /// when one of them is not: nothing of one account is ever named to another.
    pub fn set_client(&mut self, client: &ResponsesClient) {
        self.go_through(Arc::clone(&client.shared));
    }
}

/// Headers that belong to the transports.
const RESERVED: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONTENT_TYPE,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::EXPECT,
];

/// Headers that are credentials, whoever sets them.
const CREDENTIALS: [&str; 5] =
    ["authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"];

impl ResponsesClient {
    /// A client of `provider` in the making.
    pub fn builder(provider: Provider) -> ResponsesClientBuilder {
        ResponsesClientBuilder {
            provider,
            auth: Auth::None,
            headers: Vec::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            retry: RetryPolicy::default(),
            transport: TransportPolicy::default(),
            continue_over_sse: false,
            incremental: true,
            network: NetworkSettings::default(),
            account: None,
            observer: None,
            connector: None,
        }
    }

    /// A new conversation. Nothing is opened before its first turn.
    pub fn session(&self) -> ResponsesSession {
        ResponsesSession::new(Arc::clone(&self.shared))
    }

    /// A session that goes on from a [`checkpoint`](ResponsesSession::checkpoint). Its next turn
    /// continues the last response by its id if the server stores it and this client leads to the
    /// same server and [account](ResponsesClientBuilder::account), and is sent in full otherwise.
    pub fn resume(&self, checkpoint: Checkpoint) -> ResponsesSession {
        ResponsesSession::resumed(Arc::clone(&self.shared), checkpoint)
    }

    /// Asks the server for a response that it keeps, one in the
    /// [background](crate::ResponsesRequest#structfield.background) say: its
    /// [status](Response::status) tells how it stands.
    ///
    /// # Errors
    ///
    /// What ended the last attempt: [`ErrorKind::Api`](crate::ErrorKind::Api) with status 404 when
    /// the server does not have it. Takes at most [`Timeouts::request`].
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn retrieve(&self, response_id: &str) -> Result<Response, Error> {
        responses::run(&self.shared, response_id, ResponseOp::Retrieve).await
    }

    /// Ends a response in the background, and says how it stands then. Asking twice harms nothing.
    ///
    /// # Errors
    ///
    /// As [`retrieve`](Self::retrieve).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the response was ended.
    pub async fn cancel(&self, response_id: &str) -> Result<Response, Error> {
        responses::run(&self.shared, response_id, ResponseOp::Cancel).await
    }

    /// Ends all sessions of this client, as [`ResponsesSession::close`] does, and takes as long at
    /// most. Their streams yield [`ErrorKind::SessionClosed`](crate::ErrorKind::SessionClosed), and
    /// so does every further turn; sessions begun after that are not concerned.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the closing to go on by itself.
    pub async fn close(&self) {
        let ends = self.shared.enrolled();
        join_all(ends.iter().filter_map(|session| session.close())).await;
    }

    /// Whether turns of [`TransportPolicy::Auto`] go over SSE now instead of opening a WebSocket,
    /// why, and for how long still. One that a session has open goes on being used.
    pub fn fallback(&self) -> Option<Fallback> {
        self.shared.origin.fallback(Instant::now().into_std())
    }

    /// Forgets that WebSockets did not get through: the next turn opens one. For when the network
    /// has changed.
    pub fn reset_fallback(&self) {
        self.shared.origin.clear_mark();
    }
}

impl ResponsesClientBuilder {
    /// Sets what is told of the client's turns, for logs and metrics. Default: nothing.
    pub fn observer(mut self, observer: impl TurnObserver) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// How it authenticates. Not at all, by default.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// A header of every request and upgrade, `OpenAI-Organization` say. A later one of the same
    /// name replaces it. Its value is kept out of logs, like a credential.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long each phase may take. [`Timeouts::default`] has the defaults.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The size of every buffer. [`Limits::default`] has the defaults.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How often a turn is tried, and what may be sent again. By default, four times, and once
    /// what had no answer at all.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Which transports it may use. [`TransportPolicy::Auto`] by default.
    pub fn transport(mut self, transport: TransportPolicy) -> Self {
        self.transport = transport;
        self
    }

    /// Continues stored responses by their id over SSE too, instead of sending the history. Off:
    /// not every server that stores responses takes it, and one that lost it costs a round trip.
    pub fn continue_over_sse(mut self, on: bool) -> Self {
        self.continue_over_sse = on;
        self
    }

    /// Sends only what is new, where that is possible. On; turned off, every turn is sent in full,
    /// for comparisons and for servers that continue wrongly.
    pub fn incremental(mut self, on: bool) -> Self {
        self.incremental = on;
        self
    }

    /// Proxies and certificates. By default, the proxies of the environment and the roots of the
    /// platform.
    pub fn network(mut self, network: NetworkSettings) -> Self {
        self.network = network;
        self
    }

    /// Who the credential is for. [`ResponsesSession::set_client`] keeps the connection of a
    /// session when this is the same in both clients, although their tokens differ. Unset, the same
    /// [`Auth`] counts as the same account.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Opens its connections to a scripted server, without sockets if that has none.
    #[cfg(feature = "testing")]
    pub fn connector(mut self, connector: &crate::testing::Connector) -> Self {
        self.connector = Some(connector.network());
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for headers that are none or
    /// belong to the transport, a credential that is empty or has a line break, credentials over
    /// plain `http` to another machine, certificates that cannot be read, and a
    /// [`ProxySetting`](crate::ProxySetting) or a variable such as `HTTPS_PROXY` that would not be
    /// used exactly as written.
    pub fn build(self) -> Result<ResponsesClient, Error> {
        let invalid = Error::invalid_config;
        let headers = headers(self.provider.headers, self.headers).map_err(invalid)?;
        if let Auth::Header(name, _) = &self.auth {
            check_name(name).map_err(invalid)?;
        }
        self.auth.check().map_err(|_| invalid(ConfigError::InvalidHeader))?;
        let credentials =
            !self.auth.is_none() || CREDENTIALS.iter().any(|it| headers.contains_key(*it));
        if credentials && self.provider.exposes_credentials() {
            return Err(invalid(ConfigError::ExposedCredentials));
        }
        let uri = self.provider.responses_url().as_str().parse();
        let uri = uri.map_err(|_| invalid(ConfigError::BaseUrl("it is too long")))?;
        let settings = self.connector.is_none().then(|| self.network.clone());
        let network = match self.connector {
            Some(network) => network,
            None => {
                let network = HttpNetwork::new(self.network, self.timeouts.connect);
                let network = network.map_err(|error| {
                    use std::error::Error as _;
                    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                    invalid(ConfigError::Network(why))
                })?;
                Arc::new(network)
            }
        };
        let notifier = Notifier::new(self.observer, self.provider.origin());
        let shared = Shared {
            provider: self.provider,
            auth: self.auth,
            headers,
            uri,
            timeouts: self.timeouts,
            limits: self.limits,
            retry: self.retry,
            transport: self.transport,
            continue_over_sse: self.continue_over_sse,
            incremental: self.incremental,
            network,
            settings,
            account: self.account,
            notifier,
            sessions: Mutex::default(),
            origin: Arc::default(),
            runtimes: Runtimes::default(),
        };
        Ok(ResponsesClient { shared: Arc::new(shared) })
    }
}

fn check_name(name: &HeaderName) -> Result<(), ConfigError> {
    if RESERVED.contains(name) || name.as_str().starts_with("sec-websocket-") {
        return Err(ConfigError::ReservedHeader(name.to_string()));
    }
    Ok(())
}

impl fmt::Debug for ResponsesClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any header may be a credential.
        f.debug_struct("ResponsesClientBuilder")
            .field("provider", &self.provider)
            .field("auth", &self.auth)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

fn headers(
    of_provider: &'static [(&'static str, &'static str)],
    given: Vec<(String, String)>,
) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    let agent = concat!("responses-client/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for &(name, value) in of_provider {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in given {
        let Ok(parsed) = HeaderName::try_from(name.as_str()) else {
            return Err(ConfigError::InvalidHeader);
        };
        check_name(&parsed)?;
        // Any header may be a credential.
        let mut value = HeaderValue::try_from(value).map_err(|_| ConfigError::InvalidHeader)?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::ErrorKind;

    fn builder() -> ResponsesClientBuilder {
        ResponsesClient::builder(Provider::openai())
    }

    #[test]
    fn headers_of_the_transport_are_refused() {
        for name in ["Host", "connection", "Sec-WebSocket-Key", "content-length", "a b"] {
            let error = builder().header(name, "x").build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}");
        }
        assert!(builder().header("OpenAI-Organization", "org").build().is_ok());
        let auth = Auth::header(header::HOST, "x");
        assert_eq!(builder().auth(auth).build().unwrap_err().kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn a_credential_that_no_header_can_carry_is_an_error() {
        let by_header = |secret| Auth::header(HeaderName::from_static("api-key"), secret);
        for auth in [Auth::bearer as fn(&'static str) -> Auth, by_header] {
            for secret in ["", "  ", "canary\n", "canary\r\nx-other: 1", "canary\0"] {
                let error = builder().auth(auth(secret)).build().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{secret:?}");
                let source = std::error::Error::source(&error).unwrap().to_string();
                assert!(!format!("{error} {error:?} {source}").contains("canary"));
            }
            assert!(builder().auth(auth("canary")).build().is_ok());
        }
    }

    #[test]
    fn credentials_do_not_travel_in_the_clear() {
        let client = |url| {
            ResponsesClient::builder(Provider::compatible(url).unwrap())
                .auth(Auth::bearer("k"))
                .build()
        };
        assert_eq!(client("http://a.example/v1").unwrap_err().kind(), ErrorKind::InvalidConfig);
        assert!(client("https://a.example/v1").is_ok());
        let by_hand =
            ResponsesClient::builder(Provider::compatible("http://a.example/v1").unwrap());
        let error = by_hand.header("Authorization", "Bearer k").build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let open = Provider::compatible("http://a.example/v1").unwrap();
        let open = ResponsesClient::builder(open.allow_credentials_over_http());
        assert!(open.auth(Auth::bearer("k")).build().is_ok());
    }

    #[test]
    fn a_proxy_that_cannot_be_read_is_not_no_proxy() {
        for url in ["not a url", "ftp://proxy.example", "http://", "http://user:canary@"] {
            let network =
                NetworkSettings::new().proxy(crate::config::ProxySetting::Url(url.to_owned()));
            let error = builder().network(network).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(!format!("{error} {error:?} {source}").contains("canary"));
        }
    }

    #[test]
    fn c102_nothing_of_it_prints_a_credential() {
        let network = NetworkSettings::new()
            .proxy(crate::config::ProxySetting::Url("http://u:canary@127.0.0.1:1".to_owned()));
        let provider = Provider::compatible("https://a.example/v1?key=canary").unwrap();
        let builder = ResponsesClient::builder(provider)
            .auth(Auth::bearer("canary"))
            .header("x-key", "canary")
            .network(network);
        assert!(!format!("{builder:?} {:?}", builder.network).contains("canary"));
        let client = builder.build().unwrap();
        let session = client.session();
        assert!(!format!("{client:?} {session:?}").contains("canary"));
    }
}
