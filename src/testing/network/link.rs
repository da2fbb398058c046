//! `Link`: the properties of an emulated network.

use std::time::Duration;

/// Properties of an emulated network between clients and a
/// [`ScriptedServer`](crate::testing::ScriptedServer).
///
/// A [`Connector`](crate::testing::Connector) reaches the server
/// [over](crate::testing::Connector::over) a link. The emulation carries real bytes through a model
/// of TCP: connecting costs a round trip, the congestion window starts at ten segments and grows
/// with each acknowledgement, an idle connection starts anew, lost segments are sent again, and a
/// full send buffer makes the writer wait. On tokio's paused clock nothing waits in reality, and
/// two runs with the same seed take exactly the same times.
///
/// ```
/// use std::time::Duration;
///
/// use responses_client::testing::Link;
///
/// let satellite = Link::new()
///     .rtt(Duration::from_millis(600))
///     .bandwidth_down(Some(50_000_000))
///     .bandwidth_up(Some(5_000_000))
///     .loss(0.001)
///     .tls(true);
/// assert_eq!(Link::from_name("mobile"), Some(Link::mobile()));
/// # let _ = satellite;
/// ```
///
/// # Presets
///
/// | name | round trip | jitter | up | down | loss | stands for |
/// |---|---|---|---|---|---|---|
/// | `lan` | 1 ms | none | 1 Gbit/s | 1 Gbit/s | none | two machines of one data centre or office |
/// | `same-region` | 10 ms | 1 ms | 500 Mbit/s | 500 Mbit/s | none | a server and an API in the same region of a cloud |
/// | `transcontinental` | 80 ms | 2 ms | 100 Mbit/s | 100 Mbit/s | 0.01 % | a wired line from one coast of a continent to the other |
/// | `mobile` | 60 ms | 20 ms | 10 Mbit/s | 50 Mbit/s | 0.5 % | a phone on a 4G network |
///
/// The figures are round numbers for common cases, not measurements of one provider. A round trip in
/// fibre takes 1 ms for each 100 km of distance; detours and routers add half as much again, so that
/// 80 ms stand for about 5,000 km. The bandwidths are what one connection gets in a data centre, on
/// an office line and on a 4G network with a fair signal. All presets use TLS.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct Link {
    /// Round-trip time without load. Each direction takes half of it.
    pub rtt: Duration,
    /// Greatest extra delay of a segment in one direction. The delays are distributed uniformly
    /// from zero; segments stay in order.
    pub jitter: Duration,
    /// Bits per second from clients to the server, headers of TCP and IP included. `None`:
    /// unlimited.
    pub bandwidth_up: Option<u64>,
    /// Bits per second from the server to clients, headers of TCP and IP included. `None`:
    /// unlimited.
    pub bandwidth_down: Option<u64>,
    /// Probability that a segment is lost, from 0 to 1.
    pub loss: f64,
    /// Runs TLS 1.3 over the emulated bytes.
    pub tls: bool,
    /// Seed of jitter and losses.
    pub seed: u64,
    /// Number of bytes that a sender's socket takes beyond those in flight, at least one segment.
    pub send_buffer: usize,
    /// Factor by which all times are longer.
    pub(super) slowdown: u32,
}

/// Links.
impl Link {
    /// Names of the presets, which [`from_name`](Self::from_name) knows.
    pub const NAMES: &'static [&'static str] =
        &["lan", "same-region", "transcontinental", "mobile"];

    /// Returns a link without delay, limits, losses and TLS. Its send buffer has 256 KiB.
    pub fn new() -> Self {
        Self {
            rtt: Duration::ZERO,
            jitter: Duration::ZERO,
            bandwidth_up: None,
            bandwidth_down: None,
            loss: 0.0,
            tls: false,
            seed: 0,
            send_buffer: 256 * 1024,
            slowdown: 1,
        }
    }

    /// Returns a local network: 1 ms, 1 Gbit/s.
    pub fn lan() -> Self {
        Self::preset(1, 0, 1_000, 1_000)
    }

    /// Returns a network within a region of a cloud: 10 ms with 1 ms of jitter, 500 Mbit/s.
    pub fn same_region() -> Self {
        Self::preset(10, 1, 500, 500)
    }

    /// Returns a wired line across a continent: 80 ms with 2 ms of jitter, 100 Mbit/s, 0.01 %
    /// losses.
    pub fn transcontinental() -> Self {
        Self::preset(80, 2, 100, 100).loss(0.000_1)
    }

    /// Returns a mobile network: 60 ms with 20 ms of jitter, 10 Mbit/s up and 50 Mbit/s down, 0.5 %
    /// losses.
    pub fn mobile() -> Self {
        Self::preset(60, 20, 10, 50).loss(0.005)
    }

    /// Returns the preset of this name, one of [`NAMES`](Self::NAMES).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "lan" => Some(Self::lan()),
            "same-region" => Some(Self::same_region()),
            "transcontinental" => Some(Self::transcontinental()),
            "mobile" => Some(Self::mobile()),
            _ => None,
        }
    }

    /// Returns a link in TLS with times in milliseconds and bandwidths in Mbit/s.
    fn preset(rtt: u64, jitter: u64, up: u64, down: u64) -> Self {
        Self::new()
            .rtt(Duration::from_millis(rtt))
            .jitter(Duration::from_millis(jitter))
            .bandwidth_up(Some(up * 1_000_000))
            .bandwidth_down(Some(down * 1_000_000))
            .tls(true)
    }
}

/// Settings.
impl Link {
    /// Sets the round-trip time.
    pub fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// Sets the greatest extra delay of a segment.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the bits per second from clients to the server. `None`: unlimited.
    pub fn bandwidth_up(mut self, bits_per_second: Option<u64>) -> Self {
        self.bandwidth_up = bits_per_second;
        self
    }

    /// Sets the bits per second from the server to clients. `None`: unlimited.
    pub fn bandwidth_down(mut self, bits_per_second: Option<u64>) -> Self {
        self.bandwidth_down = bits_per_second;
        self
    }

    /// Sets the probability that a segment is lost, from 0 to 1.
    pub fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Runs TLS 1.3 over the emulated bytes, or not.
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the seed of jitter and losses.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of bytes that a sender's socket takes beyond those in flight.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// Makes all times longer by `factor`, and bandwidths lower by it.
    ///
    /// Tokio's timers have a resolution of one millisecond. On paused time, measure over a link
    /// that is slowed by 1000 and divide the times by 1000 to get microseconds. Timeouts and pings of
    /// the client are not slowed: turn off those that would fire.
    pub fn slowed_by(mut self, factor: u32) -> Self {
        self.slowdown = self.slowdown.saturating_mul(factor.max(1));
        self
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}
