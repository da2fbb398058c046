//! The server that is measured, and the clients that measure it.

use std::{iter::repeat_n, time::Duration};

use responses_client::{
    DeflatePolicy, Provider, ReplayPolicy, ResponsesClient, ResponsesClientBuilder, RetryPolicy,
    Timeouts, TransportPolicy,
    testing::{Connector, Link, Script, ScriptedServer},
};

use super::sample::Mode;
use crate::{client_args::bad_setting, stop::Stop};

/// The server that is measured, and the network to it.
#[expect(clippy::large_enum_variant, reason = "a run has a handful of sites")]
pub(super) enum Site {
    /// The scripted server behind an emulated network.
    Emulated(Emulated),
    /// A real server, with the settings of its clients.
    Live(ResponsesClientBuilder),
}

/// The scripted server behind an emulated network.
#[derive(Clone)]
pub(super) struct Emulated {
    pub(super) link: Link,
    pub(super) script: Script,
    /// Factor by which all times are longer than those that are reported.
    pub(super) slowness: u32,
}

/// The way of one conversation to its server. Every connection of the conversation is counted.
pub(super) struct Access {
    builder: ResponsesClientBuilder,
    emulated: Option<InMemory>,
    /// Bytes sent and received by connectors that are no longer used.
    earlier: (u64, u64),
}

struct InMemory {
    server: ScriptedServer,
    link: Link,
    connector: Connector,
}

impl Site {
    /// Returns the factor by which measured times are longer than those that are reported.
    pub(super) fn slowness(&self) -> u32 {
        match self {
            Self::Emulated(emulated) => emulated.slowness,
            Self::Live(_) => 1,
        }
    }

    /// Returns the order of all turns of a round, each as the place of its mode.
    ///
    /// At a real server, a turn runs in all modes before the next one does, and begins with another
    /// mode each time, so that a change of the network during the run favours none. An emulated
    /// network does not change, and each mode has one of its own. There the modes run one after the
    /// other, so that the time between two turns of a mode does not depend on the others.
    pub(super) fn order(&self, round: usize, turns: usize, modes: usize) -> Vec<usize> {
        match self {
            Self::Emulated(_) => (0..modes).flat_map(|mode| repeat_n(mode, turns)).collect(),
            Self::Live(_) => (0..turns)
                .flat_map(|turn| (0..modes).map(move |offset| (round + turn + offset) % modes))
                .collect(),
        }
    }

    /// Returns a new way to the server, for a conversation in `mode`. The same seed gives the same
    /// network.
    pub(super) fn access(&self, mode: Mode, seed: u64) -> Result<Access, Stop> {
        let (builder, emulated) = match self {
            Self::Live(builder) => (builder.clone(), None),
            Self::Emulated(Emulated { link, script, slowness }) => {
                let server =
                    ScriptedServer::in_memory(script.clone().slowed_by(*slowness).without_bodies());
                let link = link.clone().seed(seed).slowed_by(*slowness);
                let connector = connector(&server, &link)?;
                (patient(&server)?, Some(InMemory { server, link, connector }))
            }
        };
        let builder = match mode {
            Mode::WebsocketIncremental => builder.transport(TransportPolicy::WebSocketOnly),
            Mode::WebsocketDeflate => {
                builder.transport(TransportPolicy::WebSocketOnly).deflate(DeflatePolicy::Offer)
            }
            Mode::WebsocketFull => {
                builder.transport(TransportPolicy::WebSocketOnly).incremental(false)
            }
            Mode::SseKeepAlive | Mode::SseNewConnection => {
                builder.transport(TransportPolicy::SseOnly)
            }
        };
        // A turn that is sent again, or waits for the network, would count as a slow one. No byte may
        // be resent, because some retries use up no attempt, and a real server bills each request.
        let once = RetryPolicy::default().max_attempts(1).replay(ReplayPolicy::Never);
        let once = once.max_resend_bytes(0);
        let builder = builder.retry(once.network_down_deadline(None));
        Ok(Access { builder, emulated, earlier: (0, 0) })
    }
}

impl Access {
    /// Returns a client without connections.
    pub(super) fn client(&mut self) -> Result<ResponsesClient, Stop> {
        let builder = self.builder.clone();
        let builder = match &mut self.emulated {
            None => builder,
            Some(in_memory) => {
                self.earlier = in_memory.bytes(self.earlier);
                let seed = in_memory.link.seed.wrapping_add(1);
                in_memory.link = in_memory.link.clone().seed(seed);
                in_memory.connector = connector(&in_memory.server, &in_memory.link)?;
                builder.connector(&in_memory.connector)
            }
        };
        builder.build().map_err(bad_setting)
    }

    /// Returns the bytes that were sent and received on the emulated network so far; `None` for a
    /// real server.
    pub(super) fn bytes(&self) -> Option<(u64, u64)> {
        self.emulated.as_ref().map(|in_memory| in_memory.bytes(self.earlier))
    }
}

impl InMemory {
    /// Adds the bytes that were sent and received to earlier ones.
    fn bytes(&self, earlier: (u64, u64)) -> (u64, u64) {
        let traffic = self.connector.traffic();
        (earlier.0 + traffic.bytes_up, earlier.1 + traffic.bytes_down)
    }
}

fn connector(server: &ScriptedServer, link: &Link) -> Result<Connector, Stop> {
    server.connector().over(link.clone()).map_err(|error| {
        Stop::Bad(format!("could not create certificates for the emulated network: {error}"))
    })
}

/// Returns a builder of clients that wait as long as it takes, since slowed networks take hours, and
/// that send frames of any size, which the plan has limited.
fn patient(server: &ScriptedServer) -> Result<ResponsesClientBuilder, Stop> {
    let provider =
        Provider::compatible(&server.url()).map_err(bad_setting)?.max_age(None).frame_limit(None);
    let timeouts = Timeouts::default()
        .connect(None)
        .send(None)
        .first_event_websocket(None)
        .first_event_sse(None)
        .between_events_sse(None)
        .ping(None)
        .request(None)
        .close(Duration::MAX);
    Ok(server.client_builder().provider(provider).timeouts(timeouts))
}
