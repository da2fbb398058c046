//! Policies for transports and retries.

use std::time::Duration;

use crate::format::named;

use super::setters::setters;

/// Transport of a turn.
///
/// ```
/// # use responses_client::testing::{Script, ScriptedServer, Turn};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ScriptedServer::start(Script::new().respond(|_| Turn::text("hi"))).await?;
/// # let client = server.client()?;
/// use responses_client::{ResponsesRequest, Transport};
///
/// let request = ResponsesRequest::new("gpt-6-astra").input("Say hi");
/// let response = client.session().respond(&request).await?;
/// match response.report().transport {
///     Some(Transport::WebSocket) => println!("over a WebSocket"),
///     Some(Transport::Sse) => println!("over SSE"),
///     _ => println!("nothing was sent"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// One WebSocket for many turns.
    WebSocket,
    /// One HTTP request per turn, answered by server-sent events.
    Sse,
}

/// Transports that a client may use. The policy is never overridden: a turn that it rules out fails
/// before any byte is sent.
///
/// ```
/// use responses_client::{Provider, ResponsesClient, TransportPolicy};
///
/// let client =
///     ResponsesClient::builder().provider(Provider::openai()).transport(TransportPolicy::SseOnly).build()?;
/// # drop(client);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportPolicy {
    /// WebSocket where it works, SSE otherwise.
    #[default]
    Auto,
    /// WebSocket only, never SSE.
    WebSocketOnly,
    /// SSE only, never WebSocket.
    SseOnly,
}

/// Compression of the messages of a WebSocket, by `permessage-deflate` (RFC 7692).
///
/// A turn that sends only new items still sends its instructions and tools again. Compressed, they
/// are nearly free from the second turn of a WebSocket on: a message refers to what the last 32 KiB
/// sent on the WebSocket contain. So a turn gains as long as its instructions, tools and new items
/// fit in there. Larger ones shrink as any text does, to about 40 %.
///
/// The client offers the compression when it opens a WebSocket. If the server accepts, every
/// request is compressed, and the server may compress its events. If the server declines, nothing
/// is compressed, and nothing fails. An answer that the offer does not cover fails the upgrade like
/// any other invalid answer.
///
/// A compressed WebSocket takes about 460 kB more memory: 380 kB for the compressor, and 80 kB for
/// the inflater and its buffers. [`Limits::max_event_bytes`] also limits an event after it was
/// decompressed: a larger one ends the turn with
/// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge), and no more than the limit is decompressed.
///
/// [`Limits::max_event_bytes`]: crate::Limits#structfield.max_event_bytes
///
/// ```
/// use responses_client::{DeflatePolicy, Provider, ResponsesClient};
///
/// let client = ResponsesClient::builder().provider(Provider::openai())
///     .deflate(DeflatePolicy::Offer)
///     .build()?;
/// # drop(client);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[cfg(feature = "deflate")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeflatePolicy {
    /// No compression. Right where the network is fast, or where memory for each WebSocket is short.
    #[default]
    Off,
    /// Compression with the context of earlier messages, if the server accepts it.
    Offer,
}

/// Changes of a request after which a session still continues the previous response by its id.
///
/// ```
/// use responses_client::{ContinuationPolicy, Provider, ResponsesClient};
///
/// let client = ResponsesClient::builder().provider(Provider::openai())
///     .continuation(ContinuationPolicy::AllowNewInstructions)
///     .build()?;
/// # drop(client);
/// # Ok::<_, responses_client::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContinuationPolicy {
    /// Only the input may have grown, and only fields about the delivery of the answer may have
    /// changed. Right for every server: a turn that is continued gives the model the same context
    /// as a full send.
    #[default]
    Strict,
    /// Like `Strict`, and [`instructions`](crate::ResponsesRequest#structfield.instructions) may
    /// have changed, too. The turn sends the new instructions and only the new items.
    ///
    /// Right for servers that never inherit the instructions of the previous response, as OpenAI
    /// documents for its API, if a program changes instructions often: the history is not sent
    /// again. GPT-6.2 and later read the instructions after the input, so that a change also keeps
    /// the prompt cache and the reasoning of earlier turns. Earlier models read them first: a
    /// change costs both, with either policy. Wrong for a server that keeps the old instructions
    /// of a response that is continued.
    AllowNewInstructions,
}

/// Requests that may be sent again although the server may have run them.
///
/// A request that certainly did not run ([`Delivery::NotSent`](crate::Delivery::NotSent),
/// [`Delivery::Refused`](crate::Delivery::Refused)) is sent again under each policy. Any other
/// request can be billed twice.
///
/// ```
/// use responses_client::{ReplayPolicy, RetryPolicy};
///
/// let once = RetryPolicy::default().replay(ReplayPolicy::Never);
/// assert_eq!(once.replay, ReplayPolicy::Never);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayPolicy {
    /// None: a request that may have run is not sent again.
    Never,
    /// A request that may still run, once per turn: it had no answer, its connection was lost, or a
    /// gateway gave up waiting (408, 504, 520 to 529).
    ///
    /// A request that may have run but has ended is sent again within [`RetryPolicy::max_attempts`]:
    /// the server answered with 500, 502, or 503 without a code and `Retry-After`, or ended it with
    /// `server_error` before any output.
    #[default]
    BeforeCreated,
    /// Like `BeforeCreated`, and also a request that the server accepted, as long as it had no
    /// output.
    BeforeOutput,
    /// Like `BeforeOutput`, and also a request that had output.
    Restart,
}

/// Number and timing of the retries of a turn.
///
/// | failure | retry |
/// |---|---|
/// | a lost parent, a socket at its maximum age, a kept connection that died before it answered, an upgrade that is refused or breaks, a frame that the server finds too large | immediately, not counted in `max_attempts`; each once per turn |
/// | 401, and the token is [fetched](crate::Auth::Provider) | immediately with another token, not counted in `max_attempts`; once per turn |
/// | the network is down: the name does not resolve, no server accepts, no route, no answer to TCP | as set by `network_down_…` and `unreached_deadline`, not counted in `max_attempts` |
/// | `rate_limit_exceeded`, 408, 409, 429, 5xx, a broken connection | after `Retry-After`, or `backoff` |
/// | `server_is_overloaded`, `slow_down`, 503 | after `Retry-After`, or five times `backoff` |
/// | a WebSocket that is closed or lost before any event, with close code 1008 or 4000 to 4999 | after `backoff`, only over SSE |
/// | a WebSocket that is closed or lost before any event, with another close code or none | after `backoff`, over another WebSocket if one of this server has answered before, over SSE otherwise |
/// | a quota that is used up, other 4xx, `x-should-retry: false` | never |
///
/// `Retry-After` delays an attempt by at least `backoff`. A resumed response in the background gets
/// all its attempts back after each new event.
///
/// `x-should-retry: true` makes an answer retryable whose status is not, unless its code says that
/// a retry cannot succeed.
///
/// ```
/// use responses_client::{ReplayPolicy, RetryPolicy};
///
/// let retry = RetryPolicy::default().max_attempts(6).replay(ReplayPolicy::Never);
/// # assert_eq!((retry.max_attempts, retry.replay), (6, ReplayPolicy::Never));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts of a turn over both transports together, the first included. Default: 4.
    pub max_attempts: u32,
    /// Delay before the second attempt. Default: 200 ms. The delay doubles with each further
    /// attempt, and is shortened at random by up to a quarter, so that clients do not retry in
    /// step.
    pub backoff: Duration,
    /// Longest back-off. Default: 8 s.
    pub max_backoff: Duration,
    /// Longest delay that a server may ask for. Default: 60 s. Above it, the turn ends with the
    /// error.
    pub max_retry_after: Duration,
    /// Requests that may be sent again when their fate is unknown. Default:
    /// [`ReplayPolicy::BeforeCreated`].
    pub replay: ReplayPolicy,
    /// Number of times that a turn may resend a request that may still run. Default: 1. Requests
    /// that have ended do not count, nor do those over a kept connection that died before an
    /// answer.
    pub max_replays: u32,
    /// First delay while the network is down. Default: 1 s. The delay doubles with each further
    /// attempt, and is shortened like `backoff`.
    pub network_down_backoff: Duration,
    /// Longest delay while the network is down. Default: 30 s; a laptop that wakes up or a roaming
    /// phone is back sooner.
    pub network_down_max_backoff: Duration,
    /// Longest time that a turn waits for a network that is down, from the beginning of the first
    /// attempt that fails for it. Default: 60 s. Zero returns the error immediately; `None` counts such attempts like all
    /// others.
    pub network_down_deadline: Option<Duration>,
    /// Longest time that a turn waits for a server that this client has never reached, counted like
    /// `network_down_deadline` and never longer; `None` for the same time. Default: 5 s, because the
    /// address may be misspelled. An attempt in progress is not cut: where nothing answers, it ends
    /// after [`Timeouts::connect`](crate::Timeouts::connect).
    pub unreached_deadline: Option<Duration>,
    /// Bytes of requests that a turn may resend, all attempts after the first together. Default: 64
    /// MiB, some replays of the largest history. A retry beyond the limit is not made, and
    /// [`Error::is_resend_limited`](crate::Error::is_resend_limited) returns `true`.
    pub max_resend_bytes: u64,
}

named! {
    Transport {
        WebSocket = "websocket",
        Sse = "sse",
    }
    TransportPolicy {
        Auto = "auto",
        WebSocketOnly = "websocket_only",
        SseOnly = "sse_only",
    }
    ReplayPolicy {
        Never = "never",
        BeforeCreated = "before_created",
        BeforeOutput = "before_output",
        Restart = "restart",
    }
    ContinuationPolicy {
        Strict = "strict",
        AllowNewInstructions = "allow_new_instructions",
    }
}

#[cfg(feature = "deflate")]
named! {
    DeflatePolicy {
        Off = "off",
        Offer = "offer",
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(8),
            max_retry_after: Duration::from_secs(60),
            replay: ReplayPolicy::default(),
            max_replays: 1,
            network_down_backoff: Duration::from_secs(1),
            network_down_max_backoff: Duration::from_secs(30),
            network_down_deadline: Some(Duration::from_secs(60)),
            unreached_deadline: Some(Duration::from_secs(5)),
            max_resend_bytes: 64 << 20,
        }
    }
}

setters!(RetryPolicy {
    max_attempts: u32,
    backoff: Duration,
    max_backoff: Duration,
    max_retry_after: Duration,
    replay: ReplayPolicy,
    max_replays: u32,
    network_down_backoff: Duration,
    network_down_max_backoff: Duration,
    network_down_deadline: impl Into<Option<Duration>>,
    unreached_deadline: impl Into<Option<Duration>>,
    max_resend_bytes: u64,
});

/// Allows only this transport.
impl From<Transport> for TransportPolicy {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::WebSocket => Self::WebSocketOnly,
            Transport::Sse => Self::SseOnly,
        }
    }
}
