//! Cases: a middlebox in one configuration, and the expected outcome of a session through it.

use std::time::Duration;

use responses_client::{Error, Transport};

use super::{
    certificates,
    program::Program,
    way::{THINK, THOUGHT},
};

/// Middlebox in one configuration.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Configuration, in words.
    pub(super) setup: &'static str,
    /// Boxes on the way, from the server to the client.
    pub(super) boxes: Vec<Program>,
    pub(super) place: Place,
    pub(super) server: Server,
    /// Files of the box with certificates that the client trusts.
    pub(super) trusted: Vec<&'static str>,
    /// Key that the box wants; `None` if it wants none.
    pub(super) key: Option<&'static str>,
    /// Text of the first turn.
    pub(super) text: &'static str,
    /// Time between the two turns.
    pub(super) pause: Duration,
    /// Silence after which the client sends a ping; `None` for the default.
    pub(super) ping: Option<Duration>,
    /// Expected outcome.
    pub(super) ends: Ends,
    /// Maximum time to the first event, or to the error.
    pub(super) within: Duration,
}

/// Place of a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// The client names the box as its proxy, with this scheme and login.
    Proxy { scheme: &'static str, login: &'static str },
    /// The base URL of the client, with this scheme, is the box.
    Server { scheme: &'static str },
}

/// Server behind the boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Server {
    Tls,
    Plain,
    /// Nothing listens on its port.
    Down,
}

/// Outcome of a session of two turns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// Both turns end with a response, over this transport.
    On(Transport),
    /// The first turn fails with such an error.
    Fails(fn(&Error) -> bool),
}

pub(super) const WEBSOCKET: Ends = Ends::On(Transport::WebSocket);
pub(super) const SSE: Ends = Ends::On(Transport::Sse);

/// Refusals and fallbacks without a wait take less, also on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Time for which the client retries a server that it has never reached, and the last attempt.
pub(super) const DOWN: Duration = Duration::from_secs(8);

impl Case {
    /// Returns a case of a proxy in front of a server with TLS.
    pub(super) fn proxy(setup: &'static str, program: Program, ends: Ends) -> Self {
        Self {
            setup,
            boxes: vec![program],
            place: Place::Proxy { scheme: "http", login: "" },
            server: Server::Tls,
            trusted: Vec::new(),
            key: None,
            text: "hi",
            pause: Duration::ZERO,
            ping: None,
            ends,
            within: AT_ONCE,
        }
    }

    /// Returns a case of a box that takes the server's place.
    pub(super) fn reverse(setup: &'static str, program: Program, ends: Ends) -> Self {
        let place = Place::Server { scheme: "http" };
        Self { place, server: Server::Plain, ..Self::proxy(setup, program, ends) }
    }

    /// Sets the scheme of the proxy's URL.
    pub(super) fn scheme(mut self, scheme: &'static str) -> Self {
        self.place = match self.place {
            Place::Proxy { login, .. } => Place::Proxy { scheme, login },
            Place::Server { .. } => Place::Server { scheme },
        };
        self
    }

    /// Sets user name and password, with `@` at the end.
    pub(super) fn login(mut self, login: &'static str) -> Self {
        if let Place::Proxy { scheme, .. } = self.place {
            self.place = Place::Proxy { scheme, login };
        }
        self
    }

    /// Puts `program` in front of the other boxes.
    pub(super) fn behind(mut self, program: Program) -> Self {
        self.boxes.push(program);
        self
    }

    pub(super) fn server(mut self, server: Server) -> Self {
        self.server = server;
        self
    }

    /// Lets no server listen.
    pub(super) fn down(self) -> Self {
        self.server(Server::Down).within(DOWN)
    }

    /// Lets the client trust the authority of the box.
    pub(super) fn trusted(self) -> Self {
        self.trusting(certificates::AUTHORITY)
    }

    /// Lets the client trust the certificates in a file of the box.
    pub(super) fn trusting(mut self, file: &'static str) -> Self {
        self.trusted.push(file);
        self
    }

    /// Gives the box the key that it wants.
    pub(super) fn key(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the text of the first turn.
    pub(super) fn text(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    pub(super) fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    pub(super) fn ping(mut self, ping: Duration) -> Self {
        self.ping = Some(ping);
        self
    }

    pub(super) fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Returns the longest silence on an open connection.
    pub(super) fn longest_silence(&self) -> Duration {
        if self.text == THINK { THOUGHT } else { self.pause }
    }
}
