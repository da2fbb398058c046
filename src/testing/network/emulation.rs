//! `Emulation`: makes connections over a link.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use fastrand::Rng;

use super::{
    clock::Clock,
    link::Link,
    tcp::handshake::Handshake,
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
    pub(in crate::testing) async fn connect(&self) -> io::Result<(Socket, Socket)> {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let handshake = Handshake::new(&self.link, &mut rng);
        self.counters.add_segments_lost(handshake.segments_lost);
        Clock::start(self.link.slowdown).sleep_until(handshake.time).await;
        match handshake.is_connected {
            true => Ok(wire::connection(&self.link, &handshake, &mut rng, &self.counters)),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Returns the factor by which all times are longer.
    pub(in crate::testing) fn slowdown(&self) -> u32 {
        self.link.slowdown
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
