//! `Emulation`: makes connections over a link.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep_until};

use super::{
    link::Link,
    tcp::path::{is_lost, jitter},
    tls::{self, Tls},
    traffic::Counters,
    wire::{self, Socket},
};

/// Makes connections over a link.
pub(in crate::testing) struct Emulation {
    link: Link,
    tls: Option<Tls>,
    counters: Arc<Counters>,
    /// Gives each connection its own random numbers.
    rng: Mutex<Rng>,
}

impl Emulation {
    pub(in crate::testing) fn new(link: Link, counters: Arc<Counters>) -> io::Result<Self> {
        let tls = link.tls.then(tls::make).transpose()?;
        let rng = Mutex::new(Rng::with_seed(link.seed));
        Ok(Self { link, tls, counters, rng })
    }

    /// Connects to the server; returns the ends of the client and of the server.
    ///
    /// This takes a round trip: SYN and SYN-ACK (RFC 9293 §3.5). If one of them is lost, the SYN is
    /// sent again after 1 s, then after 2 s, and so on (RFC 6298 §2.1, §5.5).
    pub(in crate::testing) async fn connect(&self) -> io::Result<(Socket, Socket)> {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let mut time = Duration::ZERO;
        let mut attempts = 0;
        let is_connected = loop {
            let is_attempt_lost =
                is_lost(self.link.loss, &mut rng) | is_lost(self.link.loss, &mut rng);
            if !is_attempt_lost {
                time += self.link.rtt;
                time += jitter(self.link.jitter, &mut rng) + jitter(self.link.jitter, &mut rng);
                break true;
            }
            self.counters.add_segments_lost(1);
            time += Duration::from_secs(1 << attempts);
            attempts += 1;
            if attempts == SYN_ATTEMPTS {
                break false;
            }
        };
        if let Some(time) = time.checked_mul(self.link.slowdown)
            && let Some(connected) = Instant::now().checked_add(time)
        {
            sleep_until(connected).await;
        }
        match is_connected {
            true => Ok(wire::connection(&self.link, &mut rng, &self.counters)),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Returns the TLS of the link, if it has any.
    pub(in crate::testing) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

impl fmt::Debug for Emulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulation").field("link", &self.link).finish_non_exhaustive()
    }
}

/// Number of times that a SYN is sent: once and six times again, as in Linux.
const SYN_ATTEMPTS: u32 = 7;
