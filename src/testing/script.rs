//! What the server does, request by request.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::{
    agent,
    log::Names,
    profile::{self, Profile, Traits},
    turn::{ApiError, Turn},
};
use crate::config::Transport;

/// The turns of a server, and how it answers requests to become a WebSocket.
///
/// Each request takes the next turn, whatever its transport. A request that is not valid, that
/// continues a response the server does not have, or that asks for no generation takes none.
/// After the last turn the function given to [`respond`](Self::respond) answers; without one every
/// further request fails with `script_exhausted`.
#[derive(Clone)]
pub struct Script {
    pub(super) turns: VecDeque<Turn>,
    pub(super) respond: Option<Respond>,
    pub(super) upgrades: VecDeque<Upgrade>,
    every_upgrade: Option<Upgrade>,
    reuses: VecDeque<Reuse>,
    every_reuse: Reuse,
    pub(super) headers: Vec<(String, String)>,
    pub(super) without_bodies: bool,
    pub(super) ignores_generate: bool,
    pub(super) alpn: Vec<String>,
    profile: Option<Profile>,
    max_age: Option<Duration>,
    frame_limit: Option<u64>,
    pub(super) uplink: Option<Uplink>,
}

/// A slow way from clients to the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uplink {
    pub(super) bytes_per_second: u64,
    pub(super) buffer: usize,
}

pub(super) type Respond = Arc<dyn Fn(&Exchange) -> Turn + Send + Sync>;

/// How a request to become a WebSocket is answered.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Upgrade {
    /// With 101.
    #[default]
    Accept,
    /// With 101, after this time by tokio's clock.
    Delay(Duration),
    /// With this instead.
    Refuse(Refusal),
    /// Not at all.
    Hang,
    /// With a TCP reset.
    Reset,
    /// With 101 and a wrong `Sec-WebSocket-Accept`.
    WrongAccept,
    /// With 101 and one more header, such as an extension that nobody asked for.
    Header {
        /// The name of the header.
        name: String,
        /// Its value.
        value: String,
    },
    /// With 101, and a Close frame at once.
    CloseAfter {
        /// The code of the Close frame.
        code: u16,
    },
    /// With 101, and a Close frame in answer to each `response.create`, which takes no turn.
    CloseOnCreate {
        /// The code of the Close frame.
        code: u16,
    },
}

/// Answer to a request on a kept connection, which served another request before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// Like any other.
    #[default]
    Serve,
    /// With a TCP reset, before a byte of an answer. The request takes no turn and is not logged.
    Reset,
    /// Like [`Reset`](Self::Reset), with the end of the connection in place of the reset.
    End,
}

/// An HTTP answer that is neither a WebSocket nor a stream of events.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) body_end: BodyEnd,
    pub(super) delay: Option<Duration>,
    pub(super) silent: bool,
}

/// End of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    End,
    Nothing,
    /// The same bytes again and again.
    Again,
}

/// A request, and what the server knows about it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// How many requests took a turn before this one.
    pub index: usize,
    /// How it came.
    pub transport: Transport,
    /// The connection it came on, as numbered in the [`ServerLog`](super::ServerLog).
    pub connection: usize,
    /// What was sent.
    pub body: Value,
    /// The whole conversation: what the server has of the response it continues, input and output,
    /// and then the input it brings. A string became a user message.
    pub history: Vec<Value>,
    /// The id of the response to it.
    pub response_id: String,
    /// Headers of the POST, or of the upgrade of the WebSocket; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The size of what the server had, and of what the request brings.
    pub(super) known_bytes: usize,
    pub(super) brought_bytes: usize,
}

impl Script {
    /// A script without turns that accepts every upgrade.
    pub fn new() -> Self {
        Self {
            turns: VecDeque::new(),
            respond: None,
            upgrades: VecDeque::new(),
            every_upgrade: None,
            reuses: VecDeque::new(),
            every_reuse: Reuse::Serve,
            headers: Vec::new(),
            without_bodies: false,
            ignores_generate: false,
            alpn: vec!["http/1.1".to_owned()],
            profile: None,
            max_age: None,
            frame_limit: None,
            uplink: None,
        }
    }

    /// A deterministic model that works through a loop of tool calls over files.
    ///
    /// It calls the tools `list_files`, `read_file`, `search_files` and, where the request offers
    /// it, `count_lines`, 19 calls in all, and then gives a final answer. It knows nothing but the
    /// history of the exchange, so that it gives the same answer to a full request as to an
    /// incremental one, and its arguments and final answer carry the
    /// [`history_digest`](super::history_digest) of that history.
    pub fn agent() -> Self {
        Self::new().respond(agent::agent_reply)
    }

    /// Lets what clients send over in-memory connections arrive at this rate, behind a send buffer
    /// that takes `buffer` bytes immediately.
    pub fn uplink(mut self, bytes_per_second: u64, buffer: usize) -> Self {
        self.uplink = Some(Uplink { bytes_per_second, buffer });
        self
    }

    /// Appends a turn.
    pub fn turn(mut self, turn: Turn) -> Self {
        self.turns.push_back(turn);
        self
    }

    /// Appends turns.
    pub fn turns(mut self, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.turns.extend(turns);
        self
    }

    /// Answers every request after the last turn.
    pub fn respond(mut self, respond: impl Fn(&Exchange) -> Turn + Send + Sync + 'static) -> Self {
        self.respond = Some(Arc::new(respond));
        self
    }

    /// Answers the next request to become a WebSocket; each call adds one answer.
    pub fn upgrade(mut self, upgrade: Upgrade) -> Self {
        self.upgrades.push_back(upgrade);
        self
    }

    /// Answers every request to become a WebSocket after those of [`upgrade`](Self::upgrade).
    pub fn every_upgrade(mut self, upgrade: Upgrade) -> Self {
        self.every_upgrade = Some(upgrade);
        self
    }

    /// Answers the next request that comes on a connection which served one before, as servers do
    /// whose keep-alive time has just run out; each call adds one answer.
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuses.push_back(reuse);
        self
    }

    /// Answers every request on such a connection after those of [`reuse`](Self::reuse).
    pub fn every_reuse(mut self, reuse: Reuse) -> Self {
        self.every_reuse = reuse;
        self
    }

    /// Adds a header to every 101 and every 200.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Takes a turn for requests with `generate: false` too, as servers do that do not know of it.
    pub fn ignore_generate(mut self) -> Self {
        self.ignores_generate = true;
        self
    }

    /// Behaves like this server where a client can notice. What the script itself says goes before.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Ends every WebSocket at this age, by tokio's clock, once no turn runs: with the error frame
    /// `websocket_connection_limit_reached` and a Close frame. Requests after it are not answered.
    /// Unlimited unless set here or by a [profile](Self::profile).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Closes a WebSocket with 1009 when a larger message is on its way: as soon as a frame says
    /// so, without waiting for its payload, and without an error frame. Unlimited unless set here
    /// or by a [profile](Self::profile).
    pub fn frame_limit(mut self, bytes: u64) -> Self {
        self.frame_limit = Some(bytes);
        self
    }

    /// Keeps `body` and `raw` of requests out of the log, for long runs with large requests.
    pub fn without_bodies(mut self) -> Self {
        self.without_bodies = true;
        self
    }

    /// The protocols that the server offers in TLS, the one it likes best first; `http/1.1` alone
    /// unless set.
    ///
    /// It speaks HTTP/1.1 whatever a client chooses: `["h2", "http/1.1"]` shows whether a client
    /// lets such a server talk it into HTTP/2, which has no upgrade to a WebSocket.
    pub fn alpn<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }
}

impl Script {
    /// What the server is like: the profile, and what the script says of its limits.
    pub(super) fn traits(&self) -> Traits {
        let mut traits = self.profile.map_or(profile::PLAIN, Profile::traits);
        if let Some(age) = self.max_age {
            (traits.max_age, traits.silent_age) = (Some(age), None);
        }
        traits.frame_limit = self.frame_limit.or(traits.frame_limit);
        traits
    }

    /// The answer to the next request on a connection that served one before.
    pub(super) fn next_reuse(&mut self) -> Reuse {
        self.reuses.pop_front().unwrap_or(self.every_reuse)
    }

    /// The answer to the next request to become a WebSocket.
    pub(super) fn next_upgrade(&mut self) -> Upgrade {
        let next = self.upgrades.pop_front().or_else(|| self.every_upgrade.clone());
        next.unwrap_or_else(|| match self.traits().no_websocket {
            Some(status) => {
                Upgrade::Refuse(Refusal::error(status, "not_found", "There is no WebSocket here."))
            }
            None => Upgrade::Accept,
        })
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            turns,
            respond,
            upgrades,
            every_upgrade,
            reuses,
            every_reuse,
            headers,
            without_bodies,
            ignores_generate,
            alpn,
            profile,
            max_age,
            frame_limit,
            uplink,
        } = self;
        f.debug_struct("Script")
            .field("turns", turns)
            .field("respond", &respond.is_some())
            .field("upgrades", upgrades)
            .field("every_upgrade", every_upgrade)
            .field("reuses", reuses)
            .field("every_reuse", every_reuse)
            .field("headers", &Names(headers))
            .field("without_bodies", without_bodies)
            .field("ignores_generate", ignores_generate)
            .field("alpn", alpn)
            .field("profile", profile)
            .field("max_age", max_age)
            .field("frame_limit", frame_limit)
            .field("uplink", uplink)
            .finish()
    }
}

impl Refusal {
    /// An answer with this status and nothing else.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            body_end: BodyEnd::End,
            delay: None,
            silent: false,
        }
    }

    /// An answer with the API's error body.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        ApiError::new(status, code, message).refusal()
    }

    /// No answer at all, on a connection that stays open.
    pub fn silence() -> Self {
        Self { silent: true, ..Self::status(500) }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body so far and then never ends it.
    pub fn stall_body(mut self) -> Self {
        self.body_end = BodyEnd::Nothing;
        self
    }

    /// Sends the body again and again, and never ends it.
    pub fn endless_body(mut self) -> Self {
        self.body_end = BodyEnd::Again;
        self
    }

    /// Waits before the head, by tokio's clock.
    pub fn delay(mut self, time: Duration) -> Self {
        self.delay = Some(time);
        self
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            transport,
            connection,
            body,
            history,
            response_id,
            headers,
            known_bytes: _,
            brought_bytes: _,
        } = self;
        f.debug_struct("Exchange")
            .field("index", index)
            .field("transport", transport)
            .field("connection", connection)
            .field("body", body)
            .field("history", history)
            .field("response_id", response_id)
            .field("headers", &Names(headers))
            .finish()
    }
}
