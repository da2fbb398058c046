//! `Script`: the turns of a server, its upgrades and its limits.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use super::{
    exchange::Exchange,
    header_names::HeaderNames,
    lane::Lanes,
    profile::Profile,
    quirks::{PLAIN, Quirks},
    refusal::Refusal,
    turn::Turn,
    upgrade::{Reuse, Upgrade},
};

/// Turns of a server, its answers to upgrade requests, and its limits.
///
/// Each request takes the next turn, over either transport. A request that is invalid, that
/// continues a response that the server does not have, or that asks for no generation takes no
/// turn. After the last turn the function given to [`respond`](Self::respond) answers; without such
/// a function every further request is refused with status 400 and the code `script_exhausted`.
///
/// ```
/// use responses_client::testing::{Script, Turn};
///
/// let script = Script::new()
///     .turn(Turn::error(429, "rate_limit_exceeded", "Too many requests."))
///     .turn(Turn::text("Hello"));
/// # drop(script);
/// ```
#[derive(Clone)]
pub struct Script {
    pub(crate) turns: VecDeque<Turn>,
    pub(crate) respond: Option<Respond>,
    pub(crate) upgrades: VecDeque<Upgrade>,
    every_upgrade: Option<Upgrade>,
    reuses: VecDeque<Reuse>,
    every_reuse: Reuse,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) base_path: Option<String>,
    pub(crate) without_bodies: bool,
    pub(crate) ignores_generate: bool,
    pub(crate) is_strict: bool,
    pub(crate) alpn: Vec<String>,
    pub(crate) client_certificates: bool,
    profile: Option<Profile>,
    max_age: Option<Duration>,
    frame_limit: Option<u64>,
    lanes: Option<Lanes>,
    pub(crate) lane_order: Vec<String>,
    pub(crate) deflate: Option<String>,
}

/// Function that answers requests after the last turn.
pub(crate) type Respond = Arc<dyn Fn(&Exchange) -> Turn + Send + Sync>;

/// The turn of a request.
#[derive(Clone)]
pub(crate) enum NextTurn {
    Fixed(Box<Turn>),
    Respond(Respond),
}

impl Script {
    /// Returns a script without turns that accepts every upgrade.
    pub fn new() -> Self {
        Self {
            turns: VecDeque::new(),
            respond: None,
            upgrades: VecDeque::new(),
            every_upgrade: None,
            reuses: VecDeque::new(),
            every_reuse: Reuse::Serve,
            headers: Vec::new(),
            base_path: None,
            without_bodies: false,
            ignores_generate: false,
            is_strict: false,
            alpn: vec!["http/1.1".to_owned()],
            client_certificates: false,
            profile: None,
            max_age: None,
            frame_limit: None,
            lanes: None,
            lane_order: Vec::new(),
            deflate: cfg!(feature = "deflate").then(|| "permessage-deflate".to_owned()),
        }
    }

    /// Makes the delays in all turns longer by `factor`, those of [`respond`](Self::respond)
    /// included: see [`Turn::slowed_by`].
    pub fn slowed_by(mut self, factor: u32) -> Self {
        self.turns = self.turns.into_iter().map(|turn| turn.slowed_by(factor)).collect();
        self.respond = self.respond.map(|respond| {
            Arc::new(move |exchange: &Exchange| respond(exchange).slowed_by(factor)) as Respond
        });
        self
    }

    /// Returns the number of turns, without those of [`respond`](Self::respond).
    pub fn turn_count(&self) -> usize {
        self.turns.len()
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

    /// Sets the function that answers every request after the last turn.
    pub fn respond(mut self, respond: impl Fn(&Exchange) -> Turn + Send + Sync + 'static) -> Self {
        self.respond = Some(Arc::new(respond));
        self
    }

    /// Adds an answer to the next request to become a WebSocket.
    pub fn upgrade(mut self, upgrade: Upgrade) -> Self {
        self.upgrades.push_back(upgrade);
        self
    }

    /// Sets the answer to every request to become a WebSocket after those of
    /// [`upgrade`](Self::upgrade). Default: [`Upgrade::Accept`].
    pub fn every_upgrade(mut self, upgrade: Upgrade) -> Self {
        self.every_upgrade = Some(upgrade);
        self
    }

    /// Adds an answer to the next request on a connection that served another request before, like
    /// a server whose keep-alive timeout has just expired.
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuses.push_back(reuse);
        self
    }

    /// Sets the answer to every request on such a connection after those of
    /// [`reuse`](Self::reuse). Default: [`Reuse::Serve`].
    pub fn every_reuse(mut self, reuse: Reuse) -> Self {
        self.every_reuse = reuse;
        self
    }

    /// Adds a header to every 101 and every 200.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Answers only requests below this path, such as `/openai/v1`, and all others with 404.
    /// Default: the server answers below every path, and its URL ends in `/v1`.
    pub fn base_path(mut self, path: &str) -> Self {
        let path = path.trim_matches('/');
        self.base_path = Some(if path.is_empty() { String::new() } else { format!("/{path}") });
        self
    }

    /// Takes a turn for requests with `generate: false` too, like a server that ignores the member.
    pub fn ignore_generate(mut self) -> Self {
        self.ignores_generate = true;
        self
    }

    /// Refuses requests that the API refuses, with its errors and on both transports: without a
    /// model or any input, with items or parts of unknown types or roles or without what they
    /// require, with an output without its call, a call without its output, two outputs of one
    /// call, two items with one id, and references to unknown items. These requests take no turn.
    /// Default: the server takes any JSON object.
    ///
    /// ```
    /// use responses_client::testing::{Script, Turn};
    ///
    /// let script = Script::from([Turn::text("Hello")]).strict();
    /// # drop(script);
    /// ```
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Behaves like this server, as far as a client can notice. Settings of the script itself take
    /// precedence.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Ends every WebSocket at this age, measured by tokio's clock, once no turn runs: with the
    /// error frame `websocket_connection_limit_reached` and a Close frame. Later requests on it are
    /// not answered. Default: the limit of the [profile](Self::profile), else none.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Closes a WebSocket with 1009 when a client sends a larger message: as soon as a frame header
    /// announces the size, without waiting for the payload, and without an error frame. Default:
    /// the limit of the [profile](Self::profile), else none.
    pub fn frame_limit(mut self, bytes: u64) -> Self {
        self.frame_limit = Some(bytes);
        self
    }

    /// Treats `stream_id` in this way. Default: that of the [profile](Self::profile), else
    /// [`Lanes::Serve`].
    pub fn lanes(mut self, lanes: Lanes) -> Self {
        self.lanes = Some(lanes);
        self
    }

    /// Sets the order in which the lanes of a WebSocket send their events: one event of each lane
    /// in this list, which begins again at its end. `""` is the default lane, and a lane may stand
    /// in the list more than once. A lane without an event to send is skipped; lanes that are not
    /// in the list send while no other can. Default: each lane in its turn.
    ///
    /// The order of all events is fixed if a [`Gate`](crate::testing::Gate) holds the turns until
    /// all have begun.
    ///
    /// ```
    /// use responses_client::testing::{Gate, Script, Step, Turn};
    ///
    /// let (gate, held) = (Gate::new(), Gate::new());
    /// # let _ = gate;
    /// let script = Script::new()
    ///     .lane_order(["a", "a", "b"]) // two events of `a` for each one of `b`
    ///     .respond(move |_| Turn::text("Hello").first(Step::Gate(held.clone())));
    /// # drop(script);
    /// ```
    pub fn lane_order<L: Into<String>>(mut self, lanes: impl IntoIterator<Item = L>) -> Self {
        self.lane_order = lanes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the answer to a client that offers `permessage-deflate`: a value of
    /// `Sec-WebSocket-Extensions`, or `None` to decline. Default: `permessage-deflate`.
    ///
    /// The server keeps to `client_no_context_takeover` and `server_no_context_takeover` in the
    /// answer, and sends all else to the client unchecked.
    ///
    /// ```
    /// use responses_client::testing::{Script, Turn};
    ///
    /// let declining = Script::from(Turn::text("Hello")).deflate(None);
    /// let forgetful = Script::from(Turn::text("Hello"))
    ///     .deflate(Some("permessage-deflate; client_no_context_takeover"));
    /// # drop((declining, forgetful));
    /// ```
    #[cfg(feature = "deflate")]
    #[cfg_attr(docsrs, doc(cfg(feature = "deflate")))]
    pub fn deflate(mut self, answer: Option<&str>) -> Self {
        self.deflate = answer.map(str::to_owned);
        self
    }

    /// Omits `body` and `raw` of requests from the log, for long runs with large requests.
    pub fn without_bodies(mut self) -> Self {
        self.without_bodies = true;
        self
    }

    /// Sets the protocols that the server offers in TLS, in order of preference. Default: only
    /// `http/1.1`.
    ///
    /// The server speaks HTTP/1.1 in any case. With `["h2", "http/1.1"]` a test sees if a client
    /// negotiates HTTP/2, which has no upgrade to a WebSocket.
    pub fn alpn<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses a client in TLS that has no certificate of the server's authority, such as
    /// [`client_certificate_pem`](crate::testing::ScriptedServer::client_certificate_pem). Default:
    /// clients need no certificate.
    pub fn require_client_certificate(mut self) -> Self {
        self.client_certificates = true;
        self
    }
}

/// A script of these turns.
impl<const N: usize> From<[Turn; N]> for Script {
    fn from(turns: [Turn; N]) -> Self {
        Self::new().turns(turns)
    }
}

/// A script of these turns.
impl From<Vec<Turn>> for Script {
    fn from(turns: Vec<Turn>) -> Self {
        Self::new().turns(turns)
    }
}

/// A script of one turn.
impl From<Turn> for Script {
    fn from(turn: Turn) -> Self {
        Self::new().turn(turn)
    }
}

impl Script {
    /// Returns the quirks of the server: those of the profile, with the limits of the script.
    pub(crate) fn quirks(&self) -> Quirks {
        let mut quirks = self.profile.map_or(PLAIN, Profile::quirks);
        if let Some(age) = self.max_age {
            (quirks.max_age, quirks.silent_age) = (Some(age), None);
        }
        quirks.frame_limit = self.frame_limit.or(quirks.frame_limit);
        quirks.lanes = self.lanes.unwrap_or(quirks.lanes);
        quirks
    }

    /// Takes the next turn, or the function that answers after the last one.
    pub(crate) fn next_turn(&mut self) -> Option<NextTurn> {
        match self.turns.pop_front() {
            Some(turn) => Some(NextTurn::fixed(turn)),
            None => self.respond.clone().map(NextTurn::Respond),
        }
    }

    /// Takes the answer to the next request on a connection that served one before.
    pub(crate) fn next_reuse(&mut self) -> Reuse {
        self.reuses.pop_front().unwrap_or(self.every_reuse)
    }

    /// Takes the answer to the next request to become a WebSocket.
    pub(crate) fn next_upgrade(&mut self) -> Upgrade {
        let next = self.upgrades.pop_front().or_else(|| self.every_upgrade.clone());
        next.unwrap_or_else(|| match self.quirks().no_websocket {
            Some(status) => {
                Upgrade::Refuse(Refusal::error(status, "not_found", "There is no WebSocket here."))
            }
            None => Upgrade::Accept,
        })
    }
}

impl NextTurn {
    pub(crate) fn fixed(turn: Turn) -> Self {
        Self::Fixed(Box::new(turn))
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
            base_path,
            without_bodies,
            ignores_generate,
            is_strict,
            alpn,
            client_certificates,
            profile,
            max_age,
            frame_limit,
            lanes,
            lane_order,
            deflate,
        } = self;
        f.debug_struct("Script")
            .field("turns", turns)
            .field("respond", &respond.is_some())
            .field("upgrades", upgrades)
            .field("every_upgrade", every_upgrade)
            .field("reuses", reuses)
            .field("every_reuse", every_reuse)
            .field("headers", &HeaderNames(headers))
            .field("base_path", base_path)
            .field("without_bodies", without_bodies)
            .field("ignores_generate", ignores_generate)
            .field("is_strict", is_strict)
            .field("alpn", alpn)
            .field("client_certificates", client_certificates)
            .field("profile", profile)
            .field("max_age", max_age)
            .field("frame_limit", frame_limit)
            .field("lanes", lanes)
            .field("lane_order", lane_order)
            .field("deflate", deflate)
            .finish()
    }
}
