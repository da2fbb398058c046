//! `Handshake`: the time that connecting takes.

use std::time::Duration;

use fastrand::Rng;

use super::{
    path::{is_lost, jitter},
    window::Window,
};
use crate::testing::network::link::Link;

/// Outcome of connecting.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::testing::network) struct Handshake {
    /// Time until the client knows the outcome.
    pub(in crate::testing::network) time: Duration,
    pub(in crate::testing::network) segments_lost: u64,
    /// Number of lost segments that were SYN-ACKs.
    syn_acks_lost: u64,
    pub(in crate::testing::network) is_connected: bool,
}

impl Handshake {
    /// Connects: SYN and SYN-ACK take a round trip (RFC 9293 §3.5). If one of them is lost, the SYN
    /// is sent again after 1 s, then after 2 s, and so on (RFC 6298 §2.1, §5.5).
    pub(in crate::testing::network) fn new(link: &Link, rng: &mut Rng) -> Self {
        let mut handshake =
            Self { time: Duration::ZERO, segments_lost: 0, syn_acks_lost: 0, is_connected: false };
        for attempt in 0..SYN_ATTEMPTS {
            let is_syn_lost = is_lost(link.loss, rng);
            let is_syn_ack_lost = !is_syn_lost && is_lost(link.loss, rng);
            if !is_syn_lost && !is_syn_ack_lost {
                let jitter = jitter(link.jitter, rng).saturating_add(jitter(link.jitter, rng));
                handshake.time = handshake.time.saturating_add(link.rtt).saturating_add(jitter);
                handshake.is_connected = true;
                break;
            }
            handshake.segments_lost += 1;
            handshake.syn_acks_lost += u64::from(is_syn_ack_lost);
            handshake.time += Duration::from_secs(1 << attempt);
        }
        handshake
    }

    /// Returns the first window of the client, which has sent its SYN again if any segment was lost.
    pub(in crate::testing::network) fn client_window(&self) -> Window {
        Window::after_handshake(self.segments_lost > 0)
    }

    /// Returns the first window of the server, which does not learn of a lost SYN.
    pub(in crate::testing::network) fn server_window(&self) -> Window {
        Window::after_handshake(self.syn_acks_lost > 0)
    }
}

/// Number of times that a SYN is sent: once and six times again, as in Linux.
const SYN_ATTEMPTS: u32 = 7;
